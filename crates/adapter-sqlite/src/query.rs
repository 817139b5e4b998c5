//! Lists, search, tags and single records.
//!
//! A list is put together from the conditions of a [`RecordQuery`] whatever the type. Values are always bound, never
//! written into the statement. Tags and words are looked for record by record (`filter`).

use async_trait::async_trait;
use mosaic_domain::pull::PageLimits;
use mosaic_domain::query::{
    CHILDREN_SHOWN, Listed, Listing, Order, PageNumber, RecordQuery, TAGS_COUNTED, TagCount,
};
use mosaic_domain::{EntityType, MemoId, Record, RecordKey, RevisionId, UserId};
use mosaic_ports::{KeptRevision, RecordReader, RevisionPage, StoreError, SyncDigest};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use crate::SqliteStore;
use crate::error::Failure;
use crate::filter::Filter;
use crate::rows;
use crate::{digest, history, records};

/// The tags of a record called `r`: none of a document that is no JSON, which would end the whole statement.
const TAGS: &str = "json_each(CASE WHEN json_valid(r.document) THEN r.document END, '$.tags')";

#[async_trait]
impl RecordReader for SqliteStore {
    async fn record(&self, user: UserId, key: RecordKey) -> Result<Option<Record>, StoreError> {
        let look_up = move |conn: &Connection| records::one(conn, user, key);
        Ok(self.readers.read(look_up).await?)
    }

    async fn records(&self, user: UserId, keys: &[RecordKey]) -> Result<Vec<Record>, StoreError> {
        let keys = keys.to_vec();
        let look_up = move |conn: &Connection| {
            let found = keys.iter().map(|key| records::one(conn, user, *key));
            found.filter_map(Result::transpose).collect()
        };
        Ok(self.readers.read(look_up).await?)
    }

    async fn sizes(&self, user: UserId, keys: &[RecordKey]) -> Result<Vec<u64>, StoreError> {
        let keys = keys.to_vec();
        let look_up = move |conn: &Connection| keys.iter().map(|key| size(conn, user, *key)).collect();
        Ok(self.readers.read(look_up).await?)
    }

    async fn children(
        &self,
        user: UserId,
        parents: &[MemoId],
        limits: PageLimits,
    ) -> Result<Vec<Record>, StoreError> {
        let parents = parents.to_vec();
        let look_up = move |conn: &Connection| {
            let mut all = Vec::new();
            for parent in parents.into_iter().map(RecordKey::from) {
                for child_type in parent.entity_type().child_types() {
                    records::children_within(conn, user, parent, child_type, limits, &mut all)?;
                }
            }
            Ok(all)
        };
        Ok(self.readers.read(look_up).await?)
    }

    async fn list(&self, user: UserId, query: &RecordQuery) -> Result<Listing<Listed>, StoreError> {
        let query = query.clone();
        let look_up = move |conn: &Connection| list(conn, user, &query);
        Ok(self.readers.read(look_up).await?)
    }

    async fn tags(&self, user: UserId, entity_type: EntityType) -> Result<Vec<TagCount>, StoreError> {
        let look_up = move |conn: &Connection| tags(conn, user, entity_type);
        Ok(self.readers.read(look_up).await?)
    }

    async fn revisions(
        &self,
        user: UserId,
        key: RecordKey,
        before: Option<u32>,
        limits: PageLimits,
    ) -> Result<RevisionPage, StoreError> {
        let look_up = move |conn: &Connection| history::page(conn, user, key, before, limits);
        Ok(self.readers.read(look_up).await?)
    }

    async fn revision(
        &self,
        user: UserId,
        key: RecordKey,
        id: RevisionId,
    ) -> Result<Option<KeptRevision>, StoreError> {
        let look_up = move |conn: &Connection| history::one(conn, user, key, id);
        Ok(self.readers.read(look_up).await?)
    }

    async fn digest(&self, user: UserId) -> Result<Option<SyncDigest>, StoreError> {
        let look_up = move |conn: &Connection| digest::of(conn, user);
        Ok(self.readers.read(look_up).await?)
    }
}

/// `LIMIT` and `OFFSET` of a page.
pub(crate) fn bounds(page: PageNumber) -> (i64, i64) {
    let offset = i64::try_from(page.offset()).unwrap_or(i64::MAX);
    (i64::from(page.limit()), offset)
}

/// The conditions of a list that SQLite looks at, with the values that they compare to. There are few texts of them, so
/// that their statements stay prepared: what a [`Filter`] looks at is none of them.
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// The conditions of every list: live records of one type of one user.
    fn live(user: UserId, entity_type: EntityType) -> Self {
        Self {
            sql: "r.user_id = ? AND r.entity_type = ? AND r.is_deleted = 0".to_owned(),
            values: vec![
                user.uuid().as_bytes().to_vec().into(),
                entity_type.name().to_owned().into(),
            ],
        }
    }

    fn of(user: UserId, query: &RecordQuery) -> Self {
        let mut all = Self::live(user, query.entity_type);
        if let Some(archived) = query.archived {
            all.and("r.is_archived = ?", [archived]);
        }
        if let Some(day) = query.day {
            all.and("r.day = ?", [day.to_string()]);
        }
        if let Some(day) = query.on_day {
            let (begin, end) = (day.begin.get().into(), day.end.get().into());
            let values: [Value; 3] = [day.date.to_string().into(), begin, end];
            all.and("(r.day = ? OR (r.created_at >= ? AND r.created_at < ?))", values);
        }
        if let Some(from) = query.created_from {
            all.and("r.created_at >= ?", [from.get()]);
        }
        if let Some(end) = query.created_before {
            all.and("r.created_at < ?", [end.get()]);
        }
        if let Some(from) = query.date_from {
            all.and("r.record_key >= ?", [from.to_string()]);
        }
        if let Some(to) = query.date_to {
            all.and("r.record_key <= ?", [to.to_string()]);
        }
        if let Some(parents) = &query.parents {
            let ids: Vec<String> = parents.iter().map(ToString::to_string).collect();
            all.and(
                "r.parent_key IN (SELECT value FROM json_each(?))",
                [json_list(&ids)],
            );
        }
        all
    }

    fn and<V: Into<Value>>(&mut self, condition: &str, values: impl IntoIterator<Item = V>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.extend(values.into_iter().map(Into::into));
    }
}

fn json_list(texts: &[String]) -> String {
    serde_json::Value::from(texts).to_string()
}

/// Records that are alike otherwise are ordered by key. Without a parent comes before any parent.
const fn order_by(order: Order) -> &'static str {
    match order {
        Order::NewestFirst => "r.created_at DESC, r.record_key",
        Order::KeyDescending => "r.record_key DESC",
        Order::Siblings => "r.parent_key, r.sort_order, r.record_key",
    }
}

/// The key of a record of a type, and the bytes of its document and of those that are shown with it.
fn listed_columns(entity_type: EntityType) -> String {
    let children = mosaic_ports::rows::type_names(entity_type.child_types());
    format!(
        "r.record_key, octet_length(r.document) + coalesce((
             SELECT sum(octet_length(shown.document)) FROM (
                 SELECT child.document FROM records AS child
                 WHERE child.user_id = r.user_id AND child.entity_type IN ({children}) AND child.is_deleted = 0
                   AND child.parent_key = r.record_key
                 LIMIT {CHILDREN_SHOWN}) AS shown), 0)"
    )
}

/// How many bytes the document of a record has.
fn size(conn: &Connection, user: UserId, key: RecordKey) -> Result<u64, Failure> {
    let sql = "SELECT coalesce(octet_length(document), 0) FROM records
               WHERE user_id = ?1 AND entity_type = ?2 AND record_key = ?3";
    let mut statement = conn.prepare_cached(sql)?;
    let key = (user.uuid(), key.entity_type().name(), key.to_string());
    let bytes: Option<i64> = statement.query_row(key, |row| row.get(0)).optional()?;
    Ok(bytes.unwrap_or_default().unsigned_abs())
}

fn listed(row: &Row<'_>, entity_type: EntityType) -> Result<Listed, Failure> {
    Ok(Listed {
        key: rows::key(row, 0, entity_type)?,
        bytes: rows::column::<i64>(row, 1, "bytes")?.unsigned_abs(),
    })
}

fn page_sql(entity_type: EntityType, conditions: &str, order: Order) -> String {
    let (columns, order) = (listed_columns(entity_type), order_by(order));
    format!("SELECT {columns} FROM records AS r WHERE {conditions} ORDER BY {order} LIMIT ? OFFSET ?")
}

fn list(conn: &Connection, user: UserId, query: &RecordQuery) -> Result<Listing<Listed>, Failure> {
    let conditions = Conditions::of(user, query);
    match Filter::of(query) {
        Some(filter) => filtered(conn, conditions, query, &filter),
        None => counted(conn, conditions, query),
    }
}

/// A page, and how many there are, where SQLite knows without reading a document.
fn counted(
    conn: &Connection,
    conditions: Conditions,
    query: &RecordQuery,
) -> Result<Listing<Listed>, Failure> {
    let Conditions { sql, mut values } = conditions;
    let total: i64 = conn
        .prepare_cached(&format!("SELECT count(*) FROM records AS r WHERE {sql}"))?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    let mut statement = conn.prepare_cached(&page_sql(query.entity_type, &sql, query.order))?;
    let (limit, offset) = bounds(query.page);
    values.extend([limit.into(), offset.into()]);
    let mut rows = statement.query(params_from_iter(&values))?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(listed(row, query.entity_type)?);
    }
    Ok(Listing {
        items,
        total: total.unsigned_abs(),
    })
}

/// Every record that a filter looks at, in the order of the list.
fn walk_sql(conditions: &str, order: Order) -> String {
    let order = order_by(order);
    format!("SELECT r.rowid, r.search_id FROM records AS r WHERE {conditions} ORDER BY {order}")
}

/// A page, and how many there are, in one pass that looks at each record once.
fn filtered(
    conn: &Connection,
    conditions: Conditions,
    query: &RecordQuery,
    filter: &Filter,
) -> Result<Listing<Listed>, Failure> {
    let mut walk = conn.prepare_cached(&walk_sql(&conditions.sql, query.order))?;
    let mut rows = walk.query(params_from_iter(conditions.values))?;
    let first = query.page.offset();
    let page = first..first.saturating_add(query.page.limit().into());
    let (mut total, mut found) = (0_u64, Vec::new());
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        if filter.finds(conn, id, row.get(1)?)? {
            if page.contains(&total) {
                found.push(id);
            }
            total += 1;
        }
    }
    let columns = listed_columns(query.entity_type);
    let mut statement =
        conn.prepare_cached(&format!("SELECT {columns} FROM records AS r WHERE r.rowid = ?1"))?;
    let mut items = Vec::with_capacity(found.len());
    for id in found {
        let mut rows = statement.query([id])?;
        if let Some(row) = rows.next()? {
            items.push(listed(row, query.entity_type)?);
        }
    }
    Ok(Listing { items, total })
}

fn tags(conn: &Connection, user: UserId, entity_type: EntityType) -> Result<Vec<TagCount>, Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT tag.value, count(*) FROM records AS r, {TAGS} AS tag
         WHERE r.user_id = ?1 AND r.entity_type = ?2 AND r.is_deleted = 0 AND tag.type = 'text'
         GROUP BY tag.value ORDER BY count(*) DESC, tag.value LIMIT ?3"
    ))?;
    let most = i64::try_from(TAGS_COUNTED).unwrap_or(i64::MAX);
    let mut rows = statement.query((user.uuid(), entity_type.name(), most))?;
    let mut tags = Vec::new();
    while let Some(row) = rows.next()? {
        tags.push(TagCount {
            tag: rows::column(row, 0, "records.document")?,
            count: rows::column::<i64>(row, 1, "count")?.unsigned_abs(),
        });
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::open_writer;
    use crate::settings::{Location, SqliteSettings};

    /// How SQLite goes about a list, and about one that is filtered.
    fn plans(order: Order) -> [Vec<String>; 2] {
        let ids = mosaic_testkit::SequentialIds::default();
        let (conn, ..) = open_writer(&SqliteSettings::new(Location::Memory), &ids).unwrap();
        let query = RecordQuery::all(EntityType::Memo, order, PageNumber::EVERYTHING);
        let Conditions { sql, values } = Conditions::of(UserId::new(uuid::Uuid::nil()), &query);
        let plan = |sql: String, values: Vec<Value>| {
            let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let steps = statement
                .query_map(params_from_iter(values), |row| row.get("detail"))
                .unwrap();
            steps.collect::<rusqlite::Result<_>>().unwrap()
        };
        let bounds = [Value::from(20), Value::from(0)];
        let of_page = values.iter().cloned().chain(bounds).collect();
        [
            plan(page_sql(EntityType::Memo, &sql, order), of_page),
            plan(walk_sql(&sql, order), values),
        ]
    }

    #[test]
    fn a_list_is_read_from_an_index_in_its_order() {
        let index = "(user_id=? AND entity_type=? AND is_deleted=?)";
        let newest = format!("SEARCH r USING INDEX records_by_creation {index}");
        let siblings = format!("SEARCH r USING INDEX records_by_parent {index}");
        let keys = "SEARCH r USING INDEX sqlite_autoindex_records_2 (user_id=? AND entity_type=?)";
        for (order, expected) in [
            (Order::NewestFirst, newest.as_str()),
            (Order::Siblings, &siblings),
            (Order::KeyDescending, keys),
        ] {
            let [page, walk] = plans(order);
            assert_eq!((page[0].as_str(), walk), (expected, vec![expected.to_owned()]));
            // The children of each record are counted from their index, up to a number.
            let children = "SEARCH child USING INDEX records_by_parent \
                            (user_id=? AND entity_type=? AND is_deleted=? AND parent_key=?)";
            assert!(page.iter().any(|step| step == children), "{page:#?}");
            assert!(!page.iter().any(|step| step.contains("TEMP B-TREE")), "{page:#?}");
        }
    }
}
