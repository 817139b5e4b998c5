//! Removing an account, in steps that are each short.
//!
//! The first one closes the account and removes its clock, under the lock that changes of accounts take: without a clock
//! nobody can write or pull, so what is left only becomes less. Then come the rows, batch by batch under a lock on nothing
//! but the account itself, and at last the account. Each step finds out by itself how far the others came.

use mosaic_domain::UserId;
use mosaic_domain::account::{ActingLogin, RemovalStep, RemoveAccount, RemoveOutcome};
use tokio_postgres::types::Type;

use crate::PostgresStore;
use crate::error::Failure;
use crate::rows::column;
use crate::session::{Session, Step, Value};
use crate::standing;
use crate::{accounts, contents, invites};

const CLOSE: &str = "UPDATE users SET is_disabled = true WHERE user_id = $1";

/// Waits for a write that holds it.
const REMOVE_CLOCK: &str = "DELETE FROM sync_clocks WHERE user_id = $1";

/// What a user's rows stand in, each with an order that an index of the user's has, so that they come from it, however many
/// there are.
const TABLES: [(&str, &str); 11] = [
    ("sync_cursors", "user_id"),
    ("activity", "kind, event_id"),
    ("revisions", "revision_id"),
    ("purged_revisions", "entity_type, record_key"),
    ("record_search", "entity_type, record_key"),
    ("records", "entity_type, record_key"),
    ("upload_parts", "upload_id, part_offset"),
    ("uploads", "upload_id"),
    ("avatars", "avatar_id"),
    ("content_variants", "sha256, variant"),
    ("contents", "sha256"),
];

/// At most $2 rows of the user $1, whatever they are. Says how many there were. Nobody changes them any more, so their
/// places in the tables name them.
pub(crate) fn remove_rows_sql() -> String {
    let (mut steps, mut so_far) = (Vec::new(), "0".to_owned());
    for (table, key) in TABLES {
        steps.push(format!(
            "of_{table} AS (
                 DELETE FROM {table} WHERE user_id = $1 AND ctid = ANY (ARRAY(
                     SELECT ctid FROM {table} WHERE user_id = $1 ORDER BY {key} LIMIT (SELECT $2 - ({so_far}))
                 )) RETURNING 1
             )"
        ));
        so_far = format!("{so_far} + (SELECT count(*) FROM of_{table})");
    }
    format!("WITH {} SELECT {so_far}", steps.join(", "))
}

/// Removals of one account take turns: of two that choose the same rows, the second finds none of them there, which does
/// not mean that none are left. Nobody gives the account a login meanwhile.
const LOCK_USER: &str = "SELECT 1 FROM users WHERE user_id = $1 FOR UPDATE";

const FORGET_CURSORS: &str = "DELETE FROM sync_cursors WHERE user_id = $1";

const REMOVE_USER: &str = "DELETE FROM users WHERE user_id = $1";

impl PostgresStore {
    pub(crate) async fn remove_once(
        &self,
        id: UserId,
        limit: u32,
        by: Option<ActingLogin>,
    ) -> Result<RemoveOutcome, Failure> {
        let (session, facts) = self.lock_account(id, None, by).await?;
        let plan = facts.remove();
        match plan.write {
            None => return Ok(plan.outcome),
            Some(RemovalStep::Close) => self.close_account(session, id).await?,
            Some(RemovalStep::RemoveRows) => session.commit(Vec::new()).await?,
        }
        let limit = limit.max(1);
        let plan = RemoveOutcome::of_rows(self.remove_rows(id, limit).await?, limit);
        if let Some(RemoveAccount) = plan.write {
            self.remove_user(id).await?;
        }
        Ok(plan.outcome)
    }

    /// Closes the account, under the lock that changes of accounts take.
    async fn close_account(&self, session: Session, id: UserId) -> Result<(), Failure> {
        let uuid = id.uuid();
        let user = || -> Vec<Value<'_>> { vec![(&uuid, Type::UUID)] };
        let steps = vec![
            Step::Fixed(CLOSE, user()),
            Step::Fixed(REMOVE_CLOCK, user()),
            Step::Fixed(standing::END_ALL, user()),
            Step::Fixed(invites::FORGET_OF, user()),
        ];
        session.commit(steps).await?;
        self.commits.logins_ended(Some(id));
        Ok(())
    }

    /// Removes a batch of rows. Says how many.
    async fn remove_rows(&self, id: UserId, limit: u32) -> Result<u64, Failure> {
        let (uuid, limit) = (id.uuid(), i64::from(limit));
        let sql = remove_rows_sql();
        let steps = vec![
            Step::Fixed(LOCK_USER, vec![(&uuid, Type::UUID)]),
            Step::Fixed(&sql, vec![(&uuid, Type::UUID), (&limit, Type::INT8)]),
        ];
        let mut session = self.database.session().await?;
        let answers = session.begin(steps).await?;
        let count = answers.last().and_then(|rows| rows.first());
        let removed: i64 = count.map_or(Ok(0), |row| column(row, 0, "count"))?;
        session.commit(Vec::new()).await?;
        Ok(removed.unsigned_abs())
    }

    /// Removes the account, and whatever a login or a copy of it left behind meanwhile: without a clock nothing is written any
    /// more. Notes that its blobs are to be removed.
    async fn remove_user(&self, id: UserId) -> Result<(), Failure> {
        let uuid = id.uuid();
        let user = || -> Vec<Value<'_>> { vec![(&uuid, Type::UUID)] };
        let mut session = self.database.session().await?;
        session
            .begin(vec![accounts::LOCK, Step::Fixed(LOCK_USER, user())])
            .await?;
        let steps = vec![
            Step::Fixed(REMOVE_CLOCK, user()),
            Step::Fixed(FORGET_CURSORS, user()),
            Step::Fixed(standing::END_ALL, user()),
            Step::Fixed(REMOVE_USER, user()),
            Step::Fixed(contents::NOTE_REMOVED, user()),
        ];
        Ok(session.commit(steps).await?)
    }
}
