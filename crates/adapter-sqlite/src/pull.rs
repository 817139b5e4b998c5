//! What a pull reads (P1 to P5): one look-up for a device at rest, one indexed scan per type that is behind.

use async_trait::async_trait;
use mosaic_domain::login::LoginRefusal;
use mosaic_domain::pull::{Change, PageLimits, PullRequest, Snapshot, TypeChanges};
use mosaic_domain::{Cursor, EntityType, Epoch, FamilyId, PerEntity, Stamp, UserId};
use mosaic_ports::{ChangeFeed, StoreError};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::SqliteStore;
use crate::error::Failure;
use crate::rows::{self, PULLED_COLUMNS, PULLED_WIDTH};
use crate::standing;

#[async_trait]
impl ChangeFeed for SqliteStore {
    async fn snapshot(
        &self,
        user: UserId,
        request: &PullRequest,
        limits: PageLimits,
    ) -> Result<Result<Snapshot, LoginRefusal>, StoreError> {
        let at_rest = self.writer.at_rest();
        let remembered = request.login.and_then(|login| at_rest.look(user, login));
        if let Some((clock, epoch)) = remembered.filter(|(clock, epoch)| request.is_at_rest(*clock, *epoch)) {
            return Ok(Ok(Snapshot::at_rest(clock, epoch)));
        }
        let since = at_rest.since();
        let (login, request) = (request.login, request.clone());
        let look_up = move |conn: &Connection| snapshot(conn, user, &request, limits);
        let found = self.readers.read(look_up).await?;
        if let (Some(login), Ok(snapshot)) = (login, &found) {
            at_rest.learn(since, user, login, snapshot.clock, snapshot.epoch);
        }
        Ok(found)
    }

    async fn clock(
        &self,
        user: UserId,
        login: Option<FamilyId>,
    ) -> Result<Result<Stamp, LoginRefusal>, StoreError> {
        let found = match login {
            Some(login) => self.clock_and_epoch(user, login).await?,
            None => self.readers.read(move |conn| clock_of(conn, user, None)).await?,
        };
        Ok(found.map(|(clock, _)| clock))
    }
}

impl SqliteStore {
    /// The user's clock and the epoch, where the login may go on: from memory, or else from the file.
    pub(crate) async fn clock_and_epoch(
        &self,
        user: UserId,
        login: FamilyId,
    ) -> Result<Result<(Stamp, Epoch), LoginRefusal>, Failure> {
        let at_rest = self.writer.at_rest();
        if let Some(found) = at_rest.look(user, login) {
            return Ok(Ok(found));
        }
        let since = at_rest.since();
        let found = self
            .readers
            .read(move |conn| clock_of(conn, user, Some(login)))
            .await?;
        if let Ok((clock, epoch)) = found {
            at_rest.learn(since, user, login, clock, epoch);
        }
        Ok(found)
    }
}

/// Clock and epoch, which is all that a device at rest needs.
pub(crate) const CLOCK: &str =
    "SELECT last_stamp, (SELECT epoch FROM meta WHERE only_row = 1) FROM sync_clocks WHERE user_id = ?1";

/// The changes of one type after a cursor, each with the stamp of the record that it belongs to, where it belongs to one of
/// that type.
pub(crate) fn changes_sql(parent: Option<EntityType>) -> String {
    let (stamp, parent) = match parent {
        Some(parent) => (
            "parent.stamp",
            format!(
                "LEFT JOIN records AS parent ON parent.user_id = r.user_id
                    AND parent.entity_type = '{parent}' AND parent.record_key = r.parent_key"
            ),
        ),
        None => ("NULL", String::new()),
    };
    format!(
        "SELECT {PULLED_COLUMNS}, {stamp} FROM records AS r {parent}
         WHERE r.user_id = ?1 AND r.entity_type = ?2 AND r.stamp > ?3
         ORDER BY r.stamp LIMIT ?4"
    )
}

fn snapshot(
    conn: &Connection,
    user: UserId,
    request: &PullRequest,
    limits: PageLimits,
) -> Result<Result<Snapshot, LoginRefusal>, Failure> {
    let (clock, epoch) = match clock_of(conn, user, request.login)? {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let start = request.start(clock, epoch);
    let mut changes = PerEntity::<TypeChanges>::default();
    for entity in start.behind(request.entities, clock).iter() {
        changes[entity] = changes_after(conn, user, entity, start.cursors[entity], limits)?;
    }
    Ok(Ok(Snapshot {
        clock,
        epoch,
        changes,
    }))
}

/// The user's clock and the epoch, where the login may go on.
fn clock_of(
    conn: &Connection,
    user: UserId,
    login: Option<FamilyId>,
) -> Result<Result<(Stamp, Epoch), LoginRefusal>, Failure> {
    let Some(found) = clock_and_epoch(conn, user)? else {
        return Ok(Err(LoginRefusal::of_unknown_user()));
    };
    Ok(standing::standing(conn, user, login)?.map(|()| found))
}

/// The user's clock and the epoch; `None` where there is no such user.
pub(crate) fn clock_and_epoch(conn: &Connection, user: UserId) -> Result<Option<(Stamp, Epoch)>, Failure> {
    let read = |row: &Row<'_>| {
        Ok((|| {
            let clock = rows::checked(row, 0, "sync_clocks.last_stamp", Stamp::new)?;
            Ok((clock, Epoch::new(rows::column(row, 1, "meta.epoch")?)))
        })())
    };
    let mut statement = conn.prepare_cached(CLOCK)?;
    statement.query_row([user.uuid()], read).optional()?.transpose()
}

fn changes_after(
    conn: &Connection,
    user: UserId,
    entity: EntityType,
    cursor: Cursor,
    limits: PageLimits,
) -> Result<TypeChanges, Failure> {
    let one_more = i64::try_from(limits.records)
        .unwrap_or(i64::MAX)
        .saturating_add(1);
    let mut statement = conn.prepare_cached(&changes_sql(entity.parent_type()))?;
    let mut rows = statement.query((user.uuid(), entity.name(), cursor.get(), one_more))?;
    let mut changes = Vec::new();
    let mut bytes = 0;
    while changes.len() < limits.records && (changes.is_empty() || bytes < limits.bytes) {
        let Some(row) = rows.next()? else {
            return Ok(TypeChanges { changes, more: false });
        };
        bytes += rows::document_bytes(row, PULLED_WIDTH - 1)?;
        changes.push(Change {
            record: rows::pulled(row, entity)?,
            parent_stamp: parent_stamp(row)?,
        });
    }
    let more = rows.next()?.is_some();
    Ok(TypeChanges { changes, more })
}

fn parent_stamp(row: &Row<'_>) -> Result<Option<Stamp>, Failure> {
    rows::column::<Option<i64>>(row, PULLED_WIDTH, "records.stamp")?
        .map(Stamp::new)
        .transpose()
        .map_err(|violation| Failure::corrupt("records.stamp", violation))
}

#[cfg(test)]
mod tests {
    use rusqlite::{Params, StatementStatus};

    use super::*;
    use crate::connect::open_writer;
    use crate::settings::{Location, SqliteSettings};

    /// How SQLite goes about a statement.
    fn plan(conn: &Connection, sql: &str, values: impl Params) -> Vec<String> {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.query_map(values, |row| row.get("detail")).unwrap();
        steps.collect::<rusqlite::Result<_>>().unwrap()
    }

    fn database() -> Connection {
        let ids = mosaic_testkit::SequentialIds::default();
        open_writer(&SqliteSettings::new(Location::Memory), &ids)
            .unwrap()
            .0
    }

    #[test]
    fn p2_a_device_at_rest_costs_one_look_up_by_key() {
        let steps = plan(&database(), CLOCK, [[0_u8; 16]]);
        assert!(steps.iter().all(|step| !step.starts_with("SCAN")), "{steps:#?}");
        assert!(
            steps[0].contains("SEARCH sync_clocks USING PRIMARY KEY (user_id=?)"),
            "{steps:#?}"
        );
    }

    #[test]
    fn a_page_is_planned_once_whatever_the_values_are() {
        let conn = database();
        let mut statement = conn
            .prepare(&changes_sql(EntityType::Resource.parent_type()))
            .unwrap();
        for stamp in 0..3 {
            let mut rows = statement.query(([0_u8; 16], "resource", stamp, 201)).unwrap();
            assert!(rows.next().unwrap().is_none());
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }

    #[test]
    fn a_login_is_looked_up_by_its_keys() {
        let mut steps = plan(&database(), standing::STANDING, [[0_u8; 16], [1; 16]]);
        steps.sort();
        assert_eq!(
            steps,
            [
                "SEARCH l USING PRIMARY KEY (user_id=? AND login_id=?)",
                "SEARCH u USING PRIMARY KEY (user_id=?)",
            ],
            "{steps:#?}"
        );
    }

    #[test]
    fn p1_a_page_is_read_from_the_index_in_stamp_order() {
        let page = "SEARCH r USING INDEX records_by_stamp (user_id=? AND entity_type=? AND stamp>?)";
        let parent = "SEARCH parent USING INDEX sqlite_autoindex_records_2 (user_id=? AND entity_type=? AND record_key=?) \
                      LEFT-JOIN";
        for (entity, expected) in [
            (EntityType::Memo, vec![page]),
            (EntityType::Resource, vec![page, parent]),
        ] {
            let values = ([0_u8; 16], entity.name(), 0, 201);
            let steps = plan(&database(), &changes_sql(entity.parent_type()), values);
            assert_eq!(steps, expected, "{steps:#?}");
        }
    }
}
