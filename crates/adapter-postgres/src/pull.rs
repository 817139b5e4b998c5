//! What a pull reads (P1 to P5): one statement, which is one snapshot and one round trip.

use async_trait::async_trait;
use mosaic_domain::login::LoginRefusal;
use mosaic_domain::pull::{Change, PageLimits, PullRequest, Snapshot, TypeChanges};
use mosaic_domain::{Cursor, EntitySet, EntityType, Epoch, FamilyId, PerEntity, Stamp, UserId};
use mosaic_ports::{ChangeFeed, StoreError};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::blocking::read_rows;
use crate::error::Failure;
use crate::query::parent_type_of;
use crate::rows::{self, PULLED_COLUMNS, PULLED_WIDTH, checked, column};
use crate::session::Value;
use crate::standing;

/// How often a pull is read again because the history changed under it, before it gives up.
const READS_MAX: u32 = 4;

#[async_trait]
impl ChangeFeed for PostgresStore {
    async fn snapshot(
        &self,
        user: UserId,
        request: &PullRequest,
        limits: PageLimits,
    ) -> Result<Result<Snapshot, LoginRefusal>, StoreError> {
        if let Some(login) = request.login.filter(|_| request.may_be_at_rest()) {
            match self.at_rest.look(user, login).await? {
                Err(refusal) => return Ok(Err(refusal)),
                Ok((clock, epoch)) if request.is_at_rest(clock, epoch) => {
                    return Ok(Ok(Snapshot::at_rest(clock, epoch)));
                }
                Ok(_) => {}
            }
        }
        // Where a type starts is decided with the snapshot's own clock and epoch (R1, R2). Nearly always that is where
        // the request says, so this is what is read first. A type that starts elsewhere is read from there.
        let mut cursors = request.cursors.clone();
        for _ in 0..READS_MAX {
            let question = Question::new(user, request.login, request.entities, &cursors, limits);
            let (rows, standing) = self.ask(&question).await?;
            let Some(snapshot) = read_rows(rows, snapshot).await? else {
                return Ok(Err(LoginRefusal::of_unknown_user()));
            };
            if let Err(refusal) = standing::standing(request.login, standing.first(), 0)? {
                return Ok(Err(refusal));
            }
            let start = request.start(snapshot.clock, snapshot.epoch);
            if request
                .entities
                .iter()
                .all(|entity| start.cursors[entity] == cursors[entity])
            {
                return Ok(Ok(snapshot));
            }
            cursors = start.cursors;
        }
        let restless = Failure::corrupt("meta.epoch", "it changes all the time");
        Err(restless.into())
    }

    async fn clock(
        &self,
        user: UserId,
        login: Option<FamilyId>,
    ) -> Result<Result<Stamp, LoginRefusal>, StoreError> {
        if let Some(login) = login {
            return Ok(self.at_rest.look(user, login).await?.map(|(clock, _)| clock));
        }
        let rows = self.database.read(CLOCK, &[(&user.uuid(), Type::UUID)]).await?;
        let Some(row) = rows.first() else {
            return Ok(Err(LoginRefusal::of_unknown_user()));
        };
        Ok(Ok(checked(row, 0, "sync_clocks.last_stamp", Stamp::new)?))
    }
}

impl PostgresStore {
    /// What changed, and whether the login goes on. The login is looked at last: one that is found has not ended before the
    /// snapshot was taken.
    async fn ask(&self, question: &Question) -> Result<(Vec<Row>, Vec<Row>), Failure> {
        let (snapshot_sql, standing_sql) = (snapshot_sql(), standing::standing_sql("$1", "$2"));
        let (changes, login) = (question.values(), question.of_login());
        let mut statements: Vec<(&str, &[Value<'_>])> = vec![(&snapshot_sql, &changes)];
        if question.login.is_some() {
            statements.push((&standing_sql, &login));
        }
        let mut answers = self.database.read_all(&statements, false).await?.into_iter();
        Ok((
            answers.next().unwrap_or_default(),
            answers.next().unwrap_or_default(),
        ))
    }
}

const CLOCK: &str = "SELECT last_stamp FROM sync_clocks WHERE user_id = $1";

/// The clock and the epoch, and with them the changes of each type that is behind its clock: none for a device at rest, for which no index of the records is touched.
///
/// A page is cut by the lengths of the documents before the documents themselves are fetched. Each row knows whether
/// there is another one after it.
pub(crate) fn snapshot_sql() -> String {
    let parent = rows::by_key("by_key.stamp", &parent_type_of("r.entity_type"), "r.parent_key");
    format!(
        "SELECT c.last_stamp, (SELECT epoch FROM meta WHERE only_row = 1), changed.*
         FROM sync_clocks AS c
         LEFT JOIN LATERAL (
             SELECT {PULLED_COLUMNS}, r.has_next,
                    CASE WHEN r.parent_key IS NOT NULL THEN ({parent}) END
             FROM unnest((SELECT $2::text[]), (SELECT $3::bigint[])) AS t (entity_type, cursor)
             CROSS JOIN LATERAL (
                 SELECT page.*, row_number() OVER by_stamp AS place, lead(true) OVER by_stamp AS has_next,
                        sum(page.document_bytes)
                            OVER (by_stamp ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
                 FROM (SELECT * FROM records AS next
                       WHERE t.cursor < c.last_stamp
                         AND next.user_id = $1 AND next.entity_type = t.entity_type AND next.stamp > t.cursor
                       ORDER BY next.stamp LIMIT (SELECT $4 + 1)) AS page
                 WINDOW by_stamp AS (ORDER BY page.stamp)
             ) AS r
             WHERE r.place <= $4 AND (r.place = 1 OR r.bytes_before < $5)
         ) AS changed ON true
         WHERE c.user_id = $1"
    )
}

/// The values of [`snapshot_sql`].
pub(crate) struct Question {
    user: Uuid,
    login: Option<Uuid>,
    entities: Vec<&'static str>,
    cursors: Vec<i64>,
    records: i64,
    bytes: i64,
}

impl Question {
    pub(crate) fn new(
        user: UserId,
        login: Option<FamilyId>,
        entities: EntitySet,
        cursors: &PerEntity<Cursor>,
        limits: PageLimits,
    ) -> Self {
        Self {
            user: user.uuid(),
            login: login.map(FamilyId::uuid),
            entities: entities.iter().map(EntityType::name).collect(),
            cursors: entities.iter().map(|entity| cursors[entity].get()).collect(),
            records: i32::try_from(limits.records).unwrap_or(i32::MAX).into(),
            bytes: i64::try_from(limits.bytes).unwrap_or(i64::MAX),
        }
    }

    pub(crate) fn values(&self) -> [Value<'_>; 5] {
        [
            (&self.user, Type::UUID),
            (&self.entities, Type::TEXT_ARRAY),
            (&self.cursors, Type::INT8_ARRAY),
            (&self.records, Type::INT8),
            (&self.bytes, Type::INT8),
        ]
    }

    fn of_login(&self) -> [Value<'_>; 2] {
        [(&self.user, Type::UUID), (&self.login, Type::UUID)]
    }
}

/// What comes before the columns of the record, and where they begin.
const BEFORE: usize = 2;

/// `None`: there is no such user.
fn snapshot(rows: &[Row]) -> Result<Option<Snapshot>, Failure> {
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        found.extend(change(row)?);
    }
    found.sort_by_key(|(change, _)| change.record.stamp);
    let mut changes = PerEntity::<TypeChanges>::default();
    for (change, has_next) in found {
        let of_type = &mut changes[change.record.key.entity_type()];
        of_type.changes.push(change);
        of_type.more = has_next;
    }
    Ok(Some(Snapshot {
        clock: checked(first, 0, "sync_clocks.last_stamp", Stamp::new)?,
        epoch: Epoch::new(column(first, 1, "meta.epoch")?),
        changes,
    }))
}

/// A change, and whether another one of its type comes after it. `None` in the one row of a device at rest.
fn change(row: &Row) -> Result<Option<(Change, bool)>, Failure> {
    if column::<Option<&str>>(row, BEFORE, "records.entity_type")?.is_none() {
        return Ok(None);
    }
    let has_next: Option<bool> = column(row, BEFORE + PULLED_WIDTH, "has_next")?;
    let parent_stamp = column::<Option<i64>>(row, BEFORE + PULLED_WIDTH + 1, "records.stamp")?
        .map(Stamp::new)
        .transpose()
        .map_err(|violation| Failure::corrupt("records.stamp", violation))?;
    let record = rows::pulled(row, BEFORE)?;
    Ok(Some((Change { record, parent_stamp }, has_next.unwrap_or(false))))
}
