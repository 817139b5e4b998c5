//! Making, changing and removing accounts, each with its event in a trail.
//!
//! What is done is noted also where whoever asked for it has gone by then: both run to their end on a task of their own.

use mosaic_domain::account::{
    Account, AccountChange, ActingLogin, CreateOutcome, RemoveOutcome, UpdateOutcome, User,
};
use mosaic_domain::activity::{ActivityKind, Doer, SERVER};
use mosaic_domain::{Quota, UserId};

use super::{AccountRequest, Accounts, ROWS_AT_ONCE};
use crate::error::AppError;

/// What a change did, and what else there is to say of it.
type Noted = (ActivityKind, Option<String>);

impl Accounts {
    pub(super) async fn change(
        &self,
        id: UserId,
        change: AccountChange,
        by: Option<ActingLogin>,
        doer: Doer,
    ) -> Result<User, AppError> {
        let this = self.clone();
        let work = async move {
            let new_password = change.password.is_some();
            let (before, user) = this.change_unnoted(id, change, by).await?;
            for (kind, detail) in changes(&before, &user, new_password) {
                this.trail.note(id, kind, doer, detail.as_deref()).await;
            }
            Ok(user)
        };
        crate::joined(tokio::spawn(work).await)
    }

    /// The account as it was, and as it is now.
    async fn change_unnoted(
        &self,
        id: UserId,
        change: AccountChange,
        by: Option<ActingLogin>,
    ) -> Result<(Box<User>, User), AppError> {
        match self
            .ports
            .accounts
            .update(id, change, self.ports.clock.now(), by)
            .await?
        {
            UpdateOutcome::Updated { user, before } => Ok((before, user)),
            UpdateOutcome::NotFound => Err(AppError::NotFound),
            UpdateOutcome::NameTaken => Err(AppError::NameTaken),
            UpdateOutcome::LastAdmin => Err(AppError::LastAdmin),
            UpdateOutcome::StaleCredential => Err(AppError::WrongPassword),
            UpdateOutcome::Refused(refusal) => Err(refusal.into()),
        }
    }

    pub(super) async fn store_any(
        &self,
        request: AccountRequest,
        by: Option<ActingLogin>,
        doer: Doer,
    ) -> Result<Account, AppError> {
        self.store(request, false, by, doer)
            .await?
            .ok_or_else(|| AppError::Internal("an account was not the first".into()))
    }

    /// Makes an account; `None` where it was to be the first and is not.
    pub(super) async fn store(
        &self,
        request: AccountRequest,
        only_first: bool,
        by: Option<ActingLogin>,
        doer: Doer,
    ) -> Result<Option<Account>, AppError> {
        let account = self.new_account(request).await?;
        let this = self.clone();
        let work = async move {
            let id = account.user.id;
            let created = this.ports.accounts.create(account.clone(), only_first, by);
            match created.await? {
                CreateOutcome::Created => {
                    let role = account.user.role.name();
                    let kind = ActivityKind::AccountCreated;
                    this.trail.note(id, kind, doer, Some(role)).await;
                    Ok(Some(account))
                }
                CreateOutcome::NotFirst => Ok(None),
                CreateOutcome::NameTaken => Err(AppError::NameTaken),
                CreateOutcome::Refused(refusal) => Err(refusal.into()),
            }
        };
        crate::joined(tokio::spawn(work).await)
    }

    /// An account that is not stored yet.
    pub(super) async fn new_account(&self, request: AccountRequest) -> Result<Account, AppError> {
        let password = self
            .ports
            .passwords
            .hash(request.password)
            .await
            .map_err(AppError::Internal)?;
        let now = self.ports.clock.now();
        let user = User {
            id: UserId::new(self.ports.ids.next()),
            username: request.username,
            avatar_url: None,
            role: request.role,
            must_change_password: request.must_change_password,
            disabled: false,
            quota: Quota::Default,
            time_zone: None,
            created_at: now,
            updated_at: now,
        };
        Ok(Account { user, password })
    }

    /// One step of a removal. The last one is noted in the trail of the server: that of the account is gone.
    pub(super) async fn remove_step(
        &self,
        id: UserId,
        name: Option<String>,
        by: Option<ActingLogin>,
    ) -> Result<RemoveOutcome, AppError> {
        let this = self.clone();
        let work = async move {
            let outcome = this.ports.accounts.remove(id, ROWS_AT_ONCE, by).await?;
            if outcome == RemoveOutcome::Removed {
                let kind = ActivityKind::AccountRemoved;
                let doer = super::doer(by);
                this.trail.note(SERVER, kind, doer, name.as_deref()).await;
            }
            Ok(outcome)
        };
        crate::joined(tokio::spawn(work).await)
    }
}

/// What a change made of an account, as events. What it left as it was is none.
fn changes(before: &User, after: &User, new_password: bool) -> Vec<Noted> {
    let mut events = Vec::new();
    if before.username != after.username {
        let old = format!("from {}", before.username);
        events.push((ActivityKind::AccountRenamed, Some(old)));
    }
    if before.role != after.role {
        events.push((ActivityKind::RoleChanged, Some(after.role.name().to_owned())));
    }
    if before.quota != after.quota {
        events.push((ActivityKind::QuotaChanged, Some(after.quota.to_string())));
    }
    match (before.disabled, after.disabled) {
        (false, true) => events.push((ActivityKind::AccountDisabled, None)),
        (true, false) => events.push((ActivityKind::AccountEnabled, None)),
        _ => {}
    }
    if new_password {
        events.push((ActivityKind::PasswordChanged, None));
    }
    events
}
