//! Invites: on the coordinator, beside accounts. What becomes of one is decided under the lock that changes of accounts take.

use async_trait::async_trait;
use mosaic_domain::account::{Account, ActingLogin};
use mosaic_domain::activity::SERVER;
use mosaic_domain::invite::{
    AcceptOutcome, AcceptWrite, FoundInvite, Invite, InviteEnd, InviteOutcome, InviteWrite, RevokeOutcome,
};
use mosaic_domain::login::TokenHash;
use mosaic_domain::plan::Plan;
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_domain::{InviteId, UnixMillis, UserId};
use mosaic_ports::rows::{self, INVITE_COLUMNS, INVITE_WIDTH};
use mosaic_ports::{InviteStore, StoreError};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::accounts::{self, UserValues};
use crate::error::Failure;
use crate::query::bounds;
use crate::retry::retrying;
use crate::rows::{PostgresRow, column};
use crate::session::{Session, Step, Value};

#[async_trait]
impl InviteStore for PostgresStore {
    async fn make(&self, invite: Invite, by: Option<ActingLogin>) -> Result<InviteOutcome, StoreError> {
        Ok(retrying(|| self.make_once(&invite, by)).await?)
    }

    async fn by_secret(&self, secret: TokenHash) -> Result<Option<FoundInvite>, StoreError> {
        let found = self
            .database
            .read(&select(BY_SECRET), &[(&secret.0.as_slice(), Type::BYTEA)])
            .await?;
        Ok(found.first().map(invite).transpose()?)
    }

    async fn accept(
        &self,
        secret: TokenHash,
        account: Account,
        now: UnixMillis,
    ) -> Result<AcceptOutcome, StoreError> {
        Ok(retrying(|| self.accept_once(secret, &account, now)).await?)
    }

    async fn revoke(
        &self,
        id: InviteId,
        now: UnixMillis,
        by: Option<ActingLogin>,
    ) -> Result<RevokeOutcome, StoreError> {
        Ok(retrying(|| self.revoke_once(id, now, by)).await?)
    }

    async fn list(&self, page: PageNumber) -> Result<Listing<FoundInvite>, StoreError> {
        Ok(self.list_invites(page).await?)
    }

    async fn forget_expired(&self, before: UnixMillis) -> Result<u64, StoreError> {
        let sql = "DELETE FROM invites WHERE expires_at < $1 RETURNING 1";
        let before = before.get();
        let forget = || self.database.run(Step::Fixed(sql, vec![(&before, Type::INT8)]));
        Ok(retrying(forget).await?.len() as u64)
    }
}

const BY_SECRET: &str = "WHERE i.secret_hash = $1";

/// The invites of which a condition says which.
fn select(which: &str) -> String {
    format!("SELECT {INVITE_COLUMNS} FROM invites AS i {which}")
}

fn invite(row: &Row) -> Result<FoundInvite, Failure> {
    rows::invite(&PostgresRow(row))
}

const FORGET: &str = "DELETE FROM invites WHERE invite_id = ANY ($1)";

/// Forgets what an account that goes has made, and what it was made by.
pub(crate) const FORGET_OF: &str = "DELETE FROM invites WHERE made_by = $1 OR used_by = $1";

/// Writes an invite, whether it is there or not.
const PUT: &str = "
    INSERT INTO invites (invite_id, secret_hash, made_by, role, quota_bytes, made_at, expires_at, ended_at, used_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (invite_id) DO UPDATE SET ended_at = excluded.ended_at, used_by = excluded.used_by";

/// The columns of an invite that is to be stored.
pub(crate) struct InviteValues {
    id: Uuid,
    secret: Vec<u8>,
    made_by: Option<Uuid>,
    role: &'static str,
    quota: Option<i64>,
    made_at: i64,
    expires_at: i64,
    ended_at: Option<i64>,
    used_by: Option<Uuid>,
}

impl InviteValues {
    pub(crate) fn new(invite: &Invite) -> Self {
        let (ended_at, used_by) = InviteEnd::stored(invite.end);
        Self {
            id: invite.id.uuid(),
            secret: invite.secret.0.to_vec(),
            made_by: invite.made_by.map(UserId::uuid),
            role: invite.role.name(),
            quota: invite.quota.stored(),
            made_at: invite.made_at.get(),
            expires_at: invite.expires_at.get(),
            ended_at,
            used_by,
        }
    }

    pub(crate) fn put(&self) -> Step<'_> {
        let values: Vec<Value<'_>> = vec![
            (&self.id, Type::UUID),
            (&self.secret, Type::BYTEA),
            (&self.made_by, Type::UUID),
            (&self.role, Type::TEXT),
            (&self.quota, Type::INT8),
            (&self.made_at, Type::INT8),
            (&self.expires_at, Type::INT8),
            (&self.ended_at, Type::INT8),
            (&self.used_by, Type::UUID),
        ];
        Step::Fixed(PUT, values)
    }
}

/// Whose account is looked at besides; that of the server is none.
fn asker(by: Option<ActingLogin>) -> UserId {
    by.map_or(SERVER, |by| by.user)
}

impl PostgresStore {
    async fn make_once(&self, new: &Invite, by: Option<ActingLogin>) -> Result<InviteOutcome, Failure> {
        let (mut session, facts) = self.lock_account(asker(by), None, by).await?;
        let maker = new.made_by.map(UserId::uuid);
        let which = select("WHERE i.made_by IS NOT DISTINCT FROM $1");
        let of_maker = found(&mut session, &which, vec![(&maker, Type::UUID)]).await?;
        carry_out(session, new.clone().make(&facts, &of_maker)).await
    }

    async fn accept_once(
        &self,
        secret: TokenHash,
        account: &Account,
        now: UnixMillis,
    ) -> Result<AcceptOutcome, Failure> {
        let name = &account.user.username;
        let (mut session, facts) = self.lock_account(account.user.id, Some(name), None).await?;
        let secret = secret.0.as_slice();
        let found = found(&mut session, &select(BY_SECRET), vec![(&secret, Type::BYTEA)])
            .await?
            .pop();
        let plan = Invite::accept(found, account.clone(), &facts, now);
        if let Some(AcceptWrite { account, invite }) = plan.write {
            let (new, invite) = (
                UserValues::new(&account.user, &account.password),
                InviteValues::new(&invite),
            );
            let first_stamp = account.user.first_stamp().get();
            let mut steps = accounts::insert(&new, &first_stamp);
            steps.push(invite.put());
            session.commit(steps).await?;
        }
        Ok(plan.outcome)
    }

    async fn revoke_once(
        &self,
        id: InviteId,
        now: UnixMillis,
        by: Option<ActingLogin>,
    ) -> Result<RevokeOutcome, Failure> {
        let (mut session, facts) = self.lock_account(asker(by), None, by).await?;
        let which = select("WHERE i.invite_id = $1");
        let found = found(&mut session, &which, vec![(&id.uuid(), Type::UUID)])
            .await?
            .pop();
        carry_out(session, Invite::revoke(found, &facts, now)).await
    }

    async fn list_invites(&self, page: PageNumber) -> Result<Listing<FoundInvite>, Failure> {
        let sql = format!(
            "SELECT {INVITE_COLUMNS}, total.invites
             FROM (SELECT count(*) AS invites FROM invites) AS total
             LEFT JOIN LATERAL (
                 SELECT * FROM invites ORDER BY made_at DESC, invite_id DESC LIMIT (SELECT $1) OFFSET (SELECT $2)
             ) AS i ON true
             ORDER BY i.made_at DESC, i.invite_id DESC"
        );
        let (limit, offset) = bounds(page);
        let found = self
            .database
            .read(&sql, &[(&limit, Type::INT8), (&offset, Type::INT8)])
            .await?;
        let mut listing = Listing {
            items: Vec::with_capacity(found.len()),
            total: 0,
        };
        for row in &found {
            listing.total = column::<i64>(row, INVITE_WIDTH, "count")?.unsigned_abs();
            if column::<Option<Uuid>>(row, 0, "invites.invite_id")?.is_some() {
                listing.items.push(invite(row)?);
            }
        }
        Ok(listing)
    }
}

/// What a statement finds in a transaction that has begun.
async fn found(
    session: &mut Session,
    sql: &str,
    values: Vec<Value<'_>>,
) -> Result<Vec<FoundInvite>, Failure> {
    let answers = session.run(vec![Step::Fixed(sql, values)]).await?;
    answers.iter().flatten().map(invite).collect()
}

/// Writes what was decided, and commits it.
async fn carry_out<O>(session: Session, plan: Plan<InviteWrite, O>) -> Result<O, Failure> {
    if let Some(InviteWrite { keep, forget }) = plan.write {
        let forget: Vec<Uuid> = forget.iter().map(|id| id.uuid()).collect();
        let keep = InviteValues::new(&keep);
        let steps = vec![Step::Fixed(FORGET, vec![(&forget, Type::UUID_ARRAY)]), keep.put()];
        session.commit(steps).await?;
    }
    Ok(plan.outcome)
}
