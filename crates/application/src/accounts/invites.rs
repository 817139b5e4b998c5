//! Invites (I1 to I3): made by administrators, used by whoever has the link.

use std::fmt;

use mosaic_domain::account::{Account, ActingLogin, Password, Role, Username};
use mosaic_domain::activity::{ActivityKind, Doer, SERVER};
use mosaic_domain::invite::{
    AcceptOutcome, AcceptWrite, FoundInvite, Invite, InviteLifetime, InviteOutcome, InviteRefusal,
    RevokeOutcome,
};
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_domain::text::Label;
use mosaic_domain::{ClientId, InviteId, Quota};

use super::{AccountRequest, Accounts, Login, doer};
use crate::error::AppError;
use crate::refresh_tokens::{hash, hex};

/// How many random bytes a secret has: 160 bits.
const SECRET_BYTES: usize = 20;

/// An invite to make.
#[derive(Debug, Clone, Copy)]
pub struct InviteRequest {
    /// What the new user may do.
    pub role: Role,
    /// What the new user may store.
    pub quota: Quota,
    /// How long it works.
    pub lifetime: InviteLifetime,
}

/// An invite that was made just now, with its secret: that is shown once and kept nowhere.
#[derive(Clone)]
pub struct NewInvite {
    /// The invite.
    pub invite: FoundInvite,
    /// Its secret.
    pub secret: String,
}

impl NewInvite {
    /// Where it is used, relative to the server. The secret is in the fragment, which browsers send nowhere, so that it stands in
    /// no log.
    pub fn address(&self) -> String {
        format!("/invite#{}", self.secret)
    }
}

impl fmt::Debug for NewInvite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewInvite")
            .field("invite", &self.invite)
            .finish_non_exhaustive()
    }
}

/// Who makes an account of their own.
#[derive(Debug, Clone)]
pub struct Newcomer {
    /// The name.
    pub username: Username,
    /// The password.
    pub password: Password,
    /// The device.
    pub client: Option<ClientId>,
    /// What its user calls the device.
    pub device_name: Option<Label<100>>,
}

impl Accounts {
    /// Makes an invite, for a login or, with `None`, for the server itself.
    ///
    /// # Errors
    /// [`AppError::TooManyInvites`]; those of a login that has ended by then (L1).
    pub async fn invite(
        &self,
        request: InviteRequest,
        by: Option<ActingLogin>,
    ) -> Result<NewInvite, AppError> {
        let secret = hex(&self.ports.randomness.secret()[..SECRET_BYTES]);
        let now = self.ports.clock.now();
        let invite = Invite {
            id: InviteId::new(self.ports.ids.next()),
            secret: hash(&secret),
            made_by: by.map(|by| by.user),
            role: request.role,
            quota: request.quota,
            made_at: now,
            expires_at: now.plus(request.lifetime.ms()),
            end: None,
        };
        let this = self.clone();
        let work = async move {
            match this.ports.invites.make(invite.clone(), by).await? {
                InviteOutcome::Made => {
                    this.note_invite(&invite, ActivityKind::InviteMade, doer(by))
                        .await;
                    Ok(invite)
                }
                InviteOutcome::TooMany => Err(AppError::TooManyInvites),
                InviteOutcome::Refused(refusal) => Err(refusal.into()),
            }
        };
        let invite = crate::joined(tokio::spawn(work).await)?;
        let maker_administers = true;
        Ok(NewInvite {
            invite: FoundInvite {
                invite,
                maker_administers,
            },
            secret,
        })
    }

    /// The invites, the newest first.
    ///
    /// # Errors
    /// A store's error.
    pub async fn invites(&self, page: PageNumber) -> Result<Listing<FoundInvite>, AppError> {
        Ok(self.ports.invites.list(page).await?)
    }

    /// Takes an invite back, whoever made it. One that was taken back before stays so.
    ///
    /// # Errors
    /// [`AppError::NotFound`]; [`AppError::Invite`] where it was used already; those of a login that has ended by then (L1).
    pub async fn revoke_invite(&self, id: InviteId, by: Option<ActingLogin>) -> Result<(), AppError> {
        let this = self.clone();
        let work = async move {
            match this.ports.invites.revoke(id, this.ports.clock.now(), by).await? {
                RevokeOutcome::Revoked(invite) => {
                    this.note_invite(&invite, ActivityKind::InviteRevoked, doer(by))
                        .await;
                    Ok(())
                }
                RevokeOutcome::Before => Ok(()),
                RevokeOutcome::NotFound => Err(AppError::NotFound),
                RevokeOutcome::Used => Err(InviteRefusal::Used.into()),
                RevokeOutcome::Refused(refusal) => Err(refusal.into()),
            }
        };
        crate::joined(tokio::spawn(work).await)
    }

    /// Makes an account by the invite with that secret, and logs it in. A secret that is worth nothing costs no hash of a
    /// password; who has one that is good is told whether a name is taken, and nobody else.
    ///
    /// # Errors
    /// [`AppError::Invite`], [`AppError::NameTaken`].
    pub async fn accept_invite(&self, secret: &str, newcomer: Newcomer) -> Result<Login, AppError> {
        let secret = hash(secret);
        let found = self.ports.invites.by_secret(secret).await?;
        let FoundInvite { invite, .. } = FoundInvite::usable(found, self.ports.clock.now())?;
        let request = AccountRequest {
            username: newcomer.username,
            password: newcomer.password,
            role: invite.role,
            must_change_password: false,
        };
        let account = self.new_account(request).await?;
        let this = self.clone();
        let work = async move {
            let now = this.ports.clock.now();
            match this.ports.invites.accept(secret, account, now).await? {
                AcceptOutcome::Accepted(made) => {
                    this.note_accepted(&made).await;
                    Ok(made.account)
                }
                AcceptOutcome::NameTaken => Err(AppError::NameTaken),
                AcceptOutcome::Refused(refusal) => Err(refusal.into()),
            }
        };
        let Account { user, password } = crate::joined(tokio::spawn(work).await)?;
        self.log_in(user.id, password, newcomer.client, newcomer.device_name)
            .await
    }

    async fn note_accepted(&self, made: &AcceptWrite) {
        let user = &made.account.user;
        let (kind, by) = (ActivityKind::AccountCreated, Doer::User(user.id));
        self.trail.note(user.id, kind, by, Some(user.role.name())).await;
        self.note_invite(&made.invite, ActivityKind::InviteUsed, by).await;
    }

    /// In the trail of whoever made the invite.
    async fn note_invite(&self, invite: &Invite, kind: ActivityKind, by: Doer) {
        let detail = format!("{} {}", invite.role.name(), invite.id);
        let trail = invite.made_by.unwrap_or(SERVER);
        self.trail.note(trail, kind, by, Some(&detail)).await;
    }
}
