//! Loading what a write's decision is made from: the user's lock first, then, in the same round trip, everything that
//! the scope asks for, one statement per kind.

use std::collections::BTreeMap;

use mosaic_domain::entity::SortGroup;
use mosaic_domain::write::{CHILDREN_MAX, Locked, WriteScope};
use mosaic_domain::{FamilyId, Stamp, SyncClock};
use mosaic_ports::Clock;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::error::Failure;
use crate::query::{child_columns, parent_type_of};
use crate::rows::{self, RECORD_COLUMNS, REVISION_COLUMNS};
use crate::session::{Database, Session, Step, Value};
use crate::standing::{self, LOCK, QUOTA, QUOTA_AT};

/// The records that are named, the live children that are asked for, and the parent of each of them.
pub(crate) fn records_sql() -> String {
    let named = rows::by_key("by_key.*", "n.entity_type", "n.record_key");
    let record = rows::by_key("by_key.*", "w.entity_type", "w.record_key");
    let parent_type = parent_type_of("entity_type");
    format!(
        "WITH named AS (
             SELECT r.entity_type, r.record_key, r.parent_key
             FROM unnest((SELECT $2::text[]), (SELECT $3::text[])) AS n (entity_type, record_key)
             CROSS JOIN LATERAL ({named}) AS r
             UNION
             SELECT r.entity_type, r.record_key, r.parent_key
             FROM unnest((SELECT $4::text[]), (SELECT $5::text[])) AS p (child_type, parent_key)
             CROSS JOIN LATERAL (
                 SELECT child.entity_type, child.record_key, child.parent_key FROM records AS child
                 WHERE child.user_id = $1 AND child.entity_type = p.child_type AND NOT child.is_deleted
                   AND child.parent_key = p.parent_key OFFSET 0) AS r
         ), loaded AS (
             SELECT entity_type, record_key FROM named
             UNION
             SELECT {parent_type}, parent_key FROM named WHERE parent_key IS NOT NULL
         )
         SELECT {RECORD_COLUMNS} FROM loaded AS w
         CROSS JOIN LATERAL ({record}) AS r"
    )
}

/// How many live records there are in the groups that are asked for, and in those of the children that are named.
pub(crate) fn children_sql() -> String {
    let named = rows::by_key(
        "by_key.entity_type, by_key.parent_key",
        "n.entity_type",
        "n.record_key",
    );
    format!(
        "SELECT g.entity_type, g.parent_key,
                (SELECT count(*) FROM (SELECT 1 FROM records AS r
                                       WHERE r.user_id = $1 AND r.entity_type = g.entity_type AND NOT r.is_deleted
                                         AND r.parent_key = g.parent_key LIMIT (SELECT $6)) AS child)
         FROM (SELECT * FROM unnest((SELECT $2::text[]), (SELECT $3::text[]))
               UNION
               SELECT r.entity_type, r.parent_key
               FROM unnest((SELECT $4::text[]), (SELECT $5::text[])) AS n (entity_type, record_key)
               CROSS JOIN LATERAL ({named}) AS r
               WHERE r.parent_key IS NOT NULL) AS g (entity_type, parent_key)"
    )
}

/// The greatest place of each group: the last entry of an index. Without a parent is a group of its own, and needs a
/// condition and an order of its own to be read from there.
pub(crate) const LAST_PLACES: &str = "
    SELECT CASE WHEN g.parent_key IS NULL THEN
               (SELECT r.sort_order FROM records AS r
                WHERE r.user_id = $1 AND r.entity_type = g.entity_type AND NOT r.is_deleted AND r.parent_key IS NULL
                ORDER BY r.parent_key DESC NULLS LAST, r.sort_order DESC NULLS LAST LIMIT 1)
           ELSE
               (SELECT max(r.sort_order) FROM records AS r
                WHERE r.user_id = $1 AND r.entity_type = g.entity_type AND NOT r.is_deleted
                  AND r.parent_key = g.parent_key)
           END
    FROM unnest((SELECT $2::text[]), (SELECT $3::text[])) WITH ORDINALITY AS g (entity_type, parent_key, place)
    ORDER BY g.place";

/// The revisions that hold one of the versions.
pub(crate) fn history_sql() -> String {
    format!(
        "SELECT {REVISION_COLUMNS}
         FROM unnest((SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::bigint[]), (SELECT $5::text[])) AS v (entity_type, record_key, edit_time, author)
         JOIN revisions AS k
           ON k.user_id = $1 AND k.entity_type = v.entity_type AND k.record_key = v.record_key
          AND k.edit_time = v.edit_time AND k.author = v.author
         ORDER BY k.entity_type, k.record_key, k.revision_number"
    )
}

const CHILDREN_LIMIT: i64 = CHILDREN_MAX as i64;

/// The values that a scope is asked for with, as columns.
pub(crate) struct ScopeParams {
    user: Uuid,
    keys: (Vec<&'static str>, Vec<String>),
    children: (Vec<&'static str>, Vec<String>),
    counted: (Vec<&'static str>, Vec<String>),
    child_keys: (Vec<&'static str>, Vec<String>),
    groups: (Vec<&'static str>, Vec<Option<String>>),
    history: (Vec<&'static str>, Vec<String>, Vec<i64>, Vec<String>),
}

impl ScopeParams {
    pub(crate) fn of(scope: &WriteScope) -> Self {
        let mut params = Self {
            user: scope.user.uuid(),
            keys: Default::default(),
            children: child_columns(scope.children_of.iter().copied()),
            counted: Default::default(),
            child_keys: Default::default(),
            groups: Default::default(),
            history: Default::default(),
        };
        for key in &scope.keys {
            params.keys.0.push(key.entity_type().name());
            params.keys.1.push(key.to_string());
        }
        for group in &scope.counted {
            params.counted.0.push(group.entity_type.name());
            params
                .counted
                .1
                .extend(group.parent.map(|parent| parent.to_string()));
        }
        for key in scope.child_keys() {
            params.child_keys.0.push(key.entity_type().name());
            params.child_keys.1.push(key.to_string());
        }
        for group in &scope.sort_groups {
            params.groups.0.push(group.entity_type.name());
            params.groups.1.push(group.parent.map(|memo| memo.to_string()));
        }
        for (key, version) in &scope.history {
            params.history.0.push(key.entity_type().name());
            params.history.1.push(key.to_string());
            params.history.2.push(version.time.get());
            params.history.3.push(version.author.to_string());
        }
        params
    }

    fn user(&self) -> Value<'_> {
        (&self.user, Type::UUID)
    }

    pub(crate) fn records(&self) -> Vec<Value<'_>> {
        vec![
            self.user(),
            (&self.keys.0, Type::TEXT_ARRAY),
            (&self.keys.1, Type::TEXT_ARRAY),
            (&self.children.0, Type::TEXT_ARRAY),
            (&self.children.1, Type::TEXT_ARRAY),
        ]
    }

    pub(crate) fn children(&self) -> Vec<Value<'_>> {
        vec![
            self.user(),
            (&self.counted.0, Type::TEXT_ARRAY),
            (&self.counted.1, Type::TEXT_ARRAY),
            (&self.child_keys.0, Type::TEXT_ARRAY),
            (&self.child_keys.1, Type::TEXT_ARRAY),
            (&CHILDREN_LIMIT, Type::INT8),
        ]
    }

    pub(crate) fn places(&self) -> Vec<Value<'_>> {
        vec![
            self.user(),
            (&self.groups.0, Type::TEXT_ARRAY),
            (&self.groups.1, Type::TEXT_ARRAY),
        ]
    }

    pub(crate) fn history(&self) -> Vec<Value<'_>> {
        vec![
            self.user(),
            (&self.history.0, Type::TEXT_ARRAY),
            (&self.history.1, Type::TEXT_ARRAY),
            (&self.history.2, Type::INT8_ARRAY),
            (&self.history.3, Type::TEXT_ARRAY),
        ]
    }
}

/// The rows that a scope asked for.
#[derive(Debug, Default)]
pub(crate) struct ScopeRows {
    clock: Vec<Row>,
    /// Of the login that writes, or of the user where the server itself does.
    account: Vec<Row>,
    records: Vec<Row>,
    children: Vec<Row>,
    places: Vec<Row>,
    history: Vec<Row>,
}

/// Begins a transaction, takes the user's lock, and loads what the scope asks for. In this isolation every statement sees
/// what was committed before it began, so what is read after the lock was given is what the last holder left.
pub(crate) async fn lock_and_load(session: &mut Session, scope: &WriteScope) -> Result<ScopeRows, Failure> {
    let params = ScopeParams::of(scope);
    let (records_sql, children_sql, history_sql) = (records_sql(), children_sql(), history_sql());
    let mut steps = vec![Step::Fixed(LOCK, vec![params.user()])];
    let mut targets: Vec<fn(&mut ScopeRows) -> &mut Vec<Row>> =
        vec![|found| &mut found.clock, |found| &mut found.account];
    let (standing_sql, login) = (
        standing::standing_sql("$1", "$2"),
        scope.login.map(FamilyId::uuid),
    );
    steps.push(match &login {
        Some(_) => Step::Fixed(&standing_sql, vec![params.user(), (&login, Type::UUID)]),
        None => Step::Fixed(QUOTA, vec![params.user()]),
    });
    if !scope.keys.is_empty() || !scope.children_of.is_empty() {
        steps.push(Step::Fixed(&records_sql, params.records()));
        targets.push(|found| &mut found.records);
    }
    if !params.counted.0.is_empty() || !params.child_keys.0.is_empty() {
        steps.push(Step::Fixed(&children_sql, params.children()));
        targets.push(|found| &mut found.children);
    }
    if !scope.sort_groups.is_empty() {
        steps.push(Step::Fixed(LAST_PLACES, params.places()));
        targets.push(|found| &mut found.places);
    }
    if !scope.history.is_empty() {
        steps.push(Step::Fixed(&history_sql, params.history()));
        targets.push(|found| &mut found.history);
    }
    let mut found = ScopeRows::default();
    for (rows, target) in session.begin(steps).await?.into_iter().zip(targets) {
        *target(&mut found) = rows;
    }
    Ok(found)
}

/// Begins a transaction, takes the user's lock, and runs steps under it. Gives their answers. Without a clock there is no
/// lock, and the user is not known: nothing is done.
pub(crate) async fn lock_and_run(
    database: &Database,
    user: &Uuid,
    steps: Vec<Step<'_>>,
) -> Result<(Session, Vec<Vec<Row>>), Failure> {
    let mut all = vec![Step::Fixed(LOCK, vec![(user, Type::UUID)])];
    all.extend(steps);
    let mut session = database.session_of(*user).await?;
    let mut answers = session.begin(all).await?.into_iter();
    if answers.next().is_none_or(|clock| clock.is_empty()) {
        // The session goes, and the transaction with it.
        return Err(Failure::UnknownUser);
    }
    Ok((session, answers.collect()))
}

impl ScopeRows {
    /// What the rows mean. The time is read here, while the lock is held (S2).
    pub(crate) fn read(self, scope: &WriteScope, clock: &dyn Clock) -> Result<Locked, Failure> {
        let lock = self.clock.first().ok_or(Failure::UnknownUser)?;
        let last = rows::checked(lock, 0, "sync_clocks.last_stamp", Stamp::new)?;
        let account = self.account.first();
        standing::standing(scope.login, account.filter(|_| scope.login.is_some()), 0)??;
        let quota_at = scope.login.map_or(0, |_| QUOTA_AT);
        let mut records = BTreeMap::new();
        for row in &self.records {
            let record = rows::record(row)?;
            records.insert(record.key, record);
        }
        let mut revisions = Vec::with_capacity(self.history.len());
        for row in &self.history {
            revisions.push(rows::revision(row)?.revision);
        }
        Ok(Locked {
            clock: SyncClock::new(last, clock.now()),
            records,
            children: self.children()?,
            last_places: self.last_places(scope)?,
            revisions,
            bytes: rows::column::<i64>(lock, 1, "sync_clocks.record_bytes")?
                .max(0)
                .unsigned_abs(),
            quota: rows::quota(account, quota_at)?,
        })
    }

    fn children(&self) -> Result<BTreeMap<SortGroup, u32>, Failure> {
        let count = |row: &Row| {
            let group = SortGroup {
                entity_type: rows::parsed(row, 0, "records.entity_type")?,
                parent: Some(rows::parsed(row, 1, "records.parent_key")?),
            };
            let count: i64 = rows::column(row, 2, "count")?;
            Ok((group, u32::try_from(count).unwrap_or(u32::MAX)))
        };
        self.children.iter().map(count).collect()
    }

    fn last_places(&self, scope: &WriteScope) -> Result<BTreeMap<SortGroup, i64>, Failure> {
        let mut places = BTreeMap::new();
        for (row, group) in self.places.iter().zip(&scope.sort_groups) {
            let last: Option<i64> = rows::column(row, 0, "records.sort_order")?;
            places.extend(last.map(|last| (*group, last)));
        }
        Ok(places)
    }
}
