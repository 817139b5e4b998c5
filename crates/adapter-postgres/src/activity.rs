//! What happened to accounts. The primary key keeps the events of a user and kind in their order, so those that go are the
//! first ones.

use async_trait::async_trait;
use mosaic_domain::activity::{Activity, ActivityQuery, KEPT_OF_A_KIND, Note, SERVER};
use mosaic_domain::{ActivityId, UnixMillis, UserId};
use mosaic_ports::rows::{self, ACTIVITY_COLUMNS};
use mosaic_ports::{ActivityLog, StoreError};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::error::Failure;
use crate::retry::retrying;
use crate::rows::PostgresRow;
use crate::session::{Step, Value};

#[async_trait]
impl ActivityLog for PostgresStore {
    async fn keep(&self, event: Activity) -> Result<(), StoreError> {
        Ok(retrying(|| self.keep_once(&event)).await?)
    }

    async fn trail(&self, user: UserId, query: ActivityQuery) -> Result<Vec<Activity>, StoreError> {
        let sql = format!(
            "SELECT {ACTIVITY_COLUMNS} FROM activity
             WHERE user_id = $1 AND kind IN ({}) AND happened_at >= $2 AND ($3::uuid IS NULL OR event_id < $3)
             ORDER BY event_id DESC LIMIT (SELECT $4)",
            rows::kind_names(&query)
        );
        let (before, limit) = (query.before.map(ActivityId::uuid), i64::from(query.limit));
        let values: [Value<'_>; 4] = [
            (&user.uuid(), Type::UUID),
            (&query.since.get(), Type::INT8),
            (&before, Type::UUID),
            (&limit, Type::INT8),
        ];
        let found = self.database.read(&sql, &values).await?;
        let events: Result<Vec<_>, Failure> = found
            .iter()
            .map(|row| rows::activity(&PostgresRow(row), user))
            .collect();
        Ok(events?)
    }

    async fn forget_before(&self, user: UserId, before: UnixMillis) -> Result<u64, StoreError> {
        Ok(retrying(|| self.forget_activity(user, before)).await?)
    }
}

/// Of nobody who has no clock: whoever removes it waits for the last event, and writes of the user wait for none.
const PUT: &str = "
    INSERT INTO activity (user_id, kind, event_id, happened_at, doer, doer_id, address, client_id, agent, detail)
    SELECT c.user_id, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM sync_clocks AS c WHERE c.user_id = $1 FOR KEY SHARE
    ON CONFLICT (user_id, kind, event_id) DO NOTHING";

/// Of the server, which has no account.
const PUT_SERVERS: &str = "
    INSERT INTO activity (user_id, kind, event_id, happened_at, doer, doer_id, address, client_id, agent, detail)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (user_id, kind, event_id) DO NOTHING";

/// Those of the user $1 and the kind $2 that came before the newest $3.
pub(crate) const FORGET_OLDEST: &str = "
    DELETE FROM activity WHERE user_id = $1 AND kind = $2 AND event_id <= (
        SELECT event_id FROM activity WHERE user_id = $1 AND kind = $2 ORDER BY event_id DESC
        LIMIT 1 OFFSET (SELECT $3))";

const FORGET_BEFORE: &str = "DELETE FROM activity WHERE user_id = $1 AND happened_at < $2 RETURNING 1";

/// The columns of an event that is to be stored.
pub(crate) struct ActivityValues {
    user: Uuid,
    kind: &'static str,
    id: Uuid,
    at: i64,
    doer: &'static str,
    doer_id: Option<Uuid>,
    address: Option<String>,
    client: Option<String>,
    agent: Option<String>,
    detail: Option<String>,
}

impl ActivityValues {
    pub(crate) fn new(event: &Activity) -> Self {
        let text = |note: &Option<Note>| note.as_ref().map(|note| note.as_str().to_owned());
        Self {
            user: event.user.uuid(),
            kind: event.kind.name(),
            id: event.id.uuid(),
            at: event.at.get(),
            doer: event.by.name(),
            doer_id: event.by.user().map(UserId::uuid),
            address: event.origin.address.map(|address| address.to_string()),
            client: event.origin.client.as_ref().map(ToString::to_string),
            agent: text(&event.origin.agent),
            detail: text(&event.detail),
        }
    }

    /// Writes it, unless it is there.
    pub(crate) fn put(&self) -> Step<'_> {
        let values = vec![
            (&self.user as _, Type::UUID),
            (&self.kind as _, Type::TEXT),
            (&self.id as _, Type::UUID),
            (&self.at as _, Type::INT8),
            (&self.doer as _, Type::TEXT),
            (&self.doer_id as _, Type::UUID),
            (&self.address as _, Type::TEXT),
            (&self.client as _, Type::TEXT),
            (&self.agent as _, Type::TEXT),
            (&self.detail as _, Type::TEXT),
        ];
        let is_servers = self.user == SERVER.uuid();
        Step::Fixed(if is_servers { PUT_SERVERS } else { PUT }, values)
    }
}

impl PostgresStore {
    async fn keep_once(&self, event: &Activity) -> Result<(), Failure> {
        let (values, kept) = (ActivityValues::new(event), i64::from(KEPT_OF_A_KIND));
        let oldest: Vec<Value<'_>> = vec![
            (&values.user, Type::UUID),
            (&values.kind, Type::TEXT),
            (&kept, Type::INT8),
        ];
        let mut session = self.database.session().await?;
        session.begin(Vec::new()).await?;
        let steps = vec![values.put(), Step::Fixed(FORGET_OLDEST, oldest)];
        Ok(session.commit(steps).await?)
    }

    async fn forget_activity(&self, user: UserId, before: UnixMillis) -> Result<u64, Failure> {
        let (user, before) = (user.uuid(), before.get());
        let values: Vec<Value<'_>> = vec![(&user, Type::UUID), (&before, Type::INT8)];
        let gone = self.database.run(Step::Fixed(FORGET_BEFORE, values)).await?;
        Ok(gone.len() as u64)
    }
}
