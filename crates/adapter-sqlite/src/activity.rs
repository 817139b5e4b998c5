//! What happened to accounts. The primary key keeps the events of a user and kind in their order, so those that go are the
//! first ones.

use async_trait::async_trait;
use mosaic_domain::activity::{Activity, ActivityQuery, KEPT_OF_A_KIND, Note, SERVER};
use mosaic_domain::{ActivityId, ClientId, UnixMillis, UserId};
use mosaic_ports::rows::{self, ACTIVITY_COLUMNS};
use mosaic_ports::{ActivityLog, StoreError};
use rusqlite::{Connection, named_params};

use crate::SqliteStore;
use crate::error::Failure;
use crate::rows::read_all;

#[async_trait]
impl ActivityLog for SqliteStore {
    async fn keep(&self, event: Activity) -> Result<(), StoreError> {
        let job = move |conn: &Connection| {
            put(conn, &event)?;
            conn.prepare_cached(FORGET_OLDEST)?.execute((
                event.user.uuid(),
                event.kind.name(),
                KEPT_OF_A_KIND,
            ))?;
            Ok(())
        };
        Ok(self.writer.aside(job).await?)
    }

    async fn trail(&self, user: UserId, query: ActivityQuery) -> Result<Vec<Activity>, StoreError> {
        let look_up = move |conn: &Connection| trail(conn, user, &query);
        Ok(self.readers.read(look_up).await?)
    }

    async fn forget_before(&self, user: UserId, before: UnixMillis) -> Result<u64, StoreError> {
        let job = move |conn: &Connection| {
            let sql = "DELETE FROM activity WHERE user_id = ?1 AND happened_at < ?2";
            let gone = conn.prepare_cached(sql)?.execute((user.uuid(), before.get()))?;
            Ok(gone as u64)
        };
        Ok(self.writer.aside(job).await?)
    }
}

/// Of nobody who has no account, but the server.
const PUT: &str = "
    INSERT INTO activity (user_id, kind, event_id, happened_at, doer, doer_id, address, client_id, agent, detail)
    SELECT :user_id, :kind, :event_id, :happened_at, :doer, :doer_id, :address, :client_id, :agent, :detail
    WHERE :user_id = :server OR EXISTS (SELECT 1 FROM users WHERE user_id = :user_id)
    ON CONFLICT (user_id, kind, event_id) DO NOTHING";

/// Those of the user ?1 and the kind ?2 that came before the newest ?3.
const FORGET_OLDEST: &str = "
    DELETE FROM activity WHERE user_id = ?1 AND kind = ?2 AND event_id <= (
        SELECT event_id FROM activity WHERE user_id = ?1 AND kind = ?2 ORDER BY event_id DESC LIMIT 1 OFFSET ?3)";

/// Writes an event, unless it is there.
pub(crate) fn put(conn: &Connection, event: &Activity) -> Result<(), Failure> {
    conn.prepare_cached(PUT)?.execute(named_params! {
        ":user_id": event.user.uuid(),
        ":server": SERVER.uuid(),
        ":kind": event.kind.name(),
        ":event_id": event.id.uuid(),
        ":happened_at": event.at.get(),
        ":doer": event.by.name(),
        ":doer_id": event.by.user().map(UserId::uuid),
        ":address": event.origin.address.map(|address| address.to_string()),
        ":client_id": event.origin.client.as_ref().map(ClientId::as_str),
        ":agent": event.origin.agent.as_ref().map(Note::as_str),
        ":detail": event.detail.as_ref().map(Note::as_str),
    })?;
    Ok(())
}

fn trail(conn: &Connection, user: UserId, query: &ActivityQuery) -> Result<Vec<Activity>, Failure> {
    let sql = format!(
        "SELECT {ACTIVITY_COLUMNS} FROM activity
         WHERE user_id = ?1 AND kind IN ({}) AND happened_at >= ?2 AND (?3 IS NULL OR event_id < ?3)
         ORDER BY event_id DESC LIMIT ?4",
        rows::kind_names(query)
    );
    let before = query.before.map(ActivityId::uuid);
    read_all(
        conn,
        &sql,
        (user.uuid(), query.since.get(), before, query.limit),
        |row| rows::activity(row, user),
    )
}
