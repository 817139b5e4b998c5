//! Invites. The writer does one thing at a time, so what a decision is made from is still true when it is carried out.

use async_trait::async_trait;
use mosaic_domain::account::{Account, ActingLogin};
use mosaic_domain::activity::SERVER;
use mosaic_domain::invite::{
    AcceptOutcome, AcceptWrite, FoundInvite, Invite, InviteEnd, InviteOutcome, InviteWrite, RevokeOutcome,
};
use mosaic_domain::login::TokenHash;
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_domain::{InviteId, UnixMillis, UserId};
use mosaic_ports::rows::{self, INVITE_COLUMNS};
use mosaic_ports::{InviteStore, StoreError};
use rusqlite::{Connection, Params, named_params};

use crate::error::Failure;
use crate::query::bounds;
use crate::rows::read_all;
use crate::standing::facts;
use crate::{SqliteStore, accounts};

#[async_trait]
impl InviteStore for SqliteStore {
    async fn make(&self, invite: Invite, by: Option<ActingLogin>) -> Result<InviteOutcome, StoreError> {
        let job = move |conn: &Connection| {
            let facts = facts(conn, asker(by), None, by)?;
            let of_maker = select(conn, "WHERE i.made_by IS ?1", [invite.made_by.map(UserId::uuid)])?;
            let plan = invite.make(&facts, &of_maker);
            carry_out(conn, plan.write)?;
            Ok(plan.outcome)
        };
        Ok(self.writer.run(job).await?)
    }

    async fn by_secret(&self, secret: TokenHash) -> Result<Option<FoundInvite>, StoreError> {
        Ok(self.readers.read(move |conn| by_secret(conn, secret)).await?)
    }

    async fn accept(
        &self,
        secret: TokenHash,
        account: Account,
        now: UnixMillis,
    ) -> Result<AcceptOutcome, StoreError> {
        let job = move |conn: &Connection| {
            let facts = facts(conn, account.user.id, Some(&account.user.username), None)?;
            let plan = Invite::accept(by_secret(conn, secret)?, account, &facts, now);
            if let Some(AcceptWrite { account, invite }) = plan.write {
                accounts::insert(conn, &account)?;
                put(conn, &invite)?;
            }
            Ok(plan.outcome)
        };
        Ok(self.writer.run(job).await?)
    }

    async fn revoke(
        &self,
        id: InviteId,
        now: UnixMillis,
        by: Option<ActingLogin>,
    ) -> Result<RevokeOutcome, StoreError> {
        let job = move |conn: &Connection| {
            let found = select(conn, "WHERE i.invite_id = ?1", [id.uuid()])?.pop();
            let plan = Invite::revoke(found, &facts(conn, asker(by), None, by)?, now);
            carry_out(conn, plan.write)?;
            Ok(plan.outcome)
        };
        Ok(self.writer.run(job).await?)
    }

    async fn list(&self, page: PageNumber) -> Result<Listing<FoundInvite>, StoreError> {
        let look_up = move |conn: &Connection| {
            let total: i64 = conn.query_row("SELECT count(*) FROM invites", [], |row| row.get(0))?;
            let order = "ORDER BY i.made_at DESC, i.invite_id DESC LIMIT ?1 OFFSET ?2";
            Ok(Listing {
                items: select(conn, order, bounds(page))?,
                total: total.unsigned_abs(),
            })
        };
        Ok(self.readers.read(look_up).await?)
    }

    async fn forget_expired(&self, before: UnixMillis) -> Result<u64, StoreError> {
        let job = move |conn: &Connection| {
            let sql = "DELETE FROM invites WHERE expires_at < ?1";
            Ok(conn.prepare_cached(sql)?.execute([before.get()])? as u64)
        };
        Ok(self.writer.aside(job).await?)
    }
}

/// Whose account is looked at besides; that of the server is none.
fn asker(by: Option<ActingLogin>) -> UserId {
    by.map_or(SERVER, |by| by.user)
}

/// The invites of which a condition, or an order, says which.
fn select(conn: &Connection, which: &str, values: impl Params) -> Result<Vec<FoundInvite>, Failure> {
    let sql = format!("SELECT {INVITE_COLUMNS} FROM invites AS i {which}");
    read_all(conn, &sql, values, |row| rows::invite(row))
}

fn by_secret(conn: &Connection, secret: TokenHash) -> Result<Option<FoundInvite>, Failure> {
    Ok(select(conn, "WHERE i.secret_hash = ?1", [secret.0])?.pop())
}

fn carry_out(conn: &Connection, write: Option<InviteWrite>) -> Result<(), Failure> {
    let Some(InviteWrite { keep, forget }) = write else {
        return Ok(());
    };
    for id in forget {
        conn.prepare_cached("DELETE FROM invites WHERE invite_id = ?1")?
            .execute([id.uuid()])?;
    }
    put(conn, &keep)
}

/// Writes an invite, whether it is there or not.
pub(crate) fn put(conn: &Connection, invite: &Invite) -> Result<(), Failure> {
    let (ended_at, used_by) = InviteEnd::stored(invite.end);
    conn.prepare_cached(
        "INSERT INTO invites (invite_id, secret_hash, made_by, role, quota_bytes, made_at, expires_at, ended_at, used_by)
         VALUES (:invite_id, :secret_hash, :made_by, :role, :quota_bytes, :made_at, :expires_at, :ended_at, :used_by)
         ON CONFLICT (invite_id) DO UPDATE SET ended_at = excluded.ended_at, used_by = excluded.used_by",
    )?
    .execute(named_params! {
        ":invite_id": invite.id.uuid(),
        ":secret_hash": invite.secret.0,
        ":made_by": invite.made_by.map(UserId::uuid),
        ":role": invite.role.name(),
        ":quota_bytes": invite.quota.stored(),
        ":made_at": invite.made_at.get(),
        ":expires_at": invite.expires_at.get(),
        ":ended_at": ended_at,
        ":used_by": used_by,
    })?;
    Ok(())
}

/// Forgets what an account that goes has made, and what it was made by. Says how many there were.
pub(crate) fn forget_of(conn: &Connection, user: UserId) -> Result<usize, Failure> {
    let sql = "DELETE FROM invites WHERE made_by = ?1 OR used_by = ?1";
    Ok(conn.prepare_cached(sql)?.execute([user.uuid()])?)
}
