//! Lists, search, tags and single records.
//!
//! A list is one SQL statement, put together from the conditions of a [`RecordQuery`] whatever the type. Values are
//! always bound, never written into the statement.

use async_trait::async_trait;
use mosaic_domain::pull::PageLimits;
use mosaic_domain::query::{Listing, Order, PageNumber, RecordQuery, TagCount};
use mosaic_domain::search::SearchTerms;
use mosaic_domain::{EntityType, Record, RecordKey, RevisionId, UserId};
use mosaic_ports::{KeptRevision, RecordReader, RevisionPage, StoreError, SyncDigest};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::SqliteStore;
use crate::error::Failure;
use crate::rows::{self, RECORD_COLUMNS};
use crate::{digest, history, records};

/// The trigram index knows no shorter terms: those are looked for in the text alone.
const INDEXED_TERM_CHARS: usize = 3;

/// The tags of a record called `r`: none of a document that is no JSON, which would end the whole statement.
const TAGS: &str = "json_each(CASE WHEN json_valid(r.document) THEN r.document END, '$.tags')";

#[async_trait]
impl RecordReader for SqliteStore {
    async fn record(&self, user: UserId, key: RecordKey) -> Result<Option<Record>, StoreError> {
        let look_up = move |conn: &Connection| records::one(conn, user, key);
        Ok(self.readers.read(look_up).await?)
    }

    async fn list(&self, user: UserId, query: &RecordQuery) -> Result<Listing<Record>, StoreError> {
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
    (i64::from(page.size()), offset)
}

/// The conditions of a list, with the values that they compare to.
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
            let (first, last) = day.utc_range();
            let values: [Value; 3] = [day.to_string().into(), first.get().into(), last.get().into()];
            all.and("(r.day = ? OR r.created_at BETWEEN ? AND ?)", values);
        }
        if let Some(from) = query.created_from {
            all.and("r.created_at >= ?", [from.get()]);
        }
        if let Some(to) = query.created_to {
            all.and("r.created_at <= ?", [to.get()]);
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
        for tag in &query.tags {
            let carries = format!("EXISTS (SELECT 1 FROM {TAGS} AS tag WHERE tag.value = ?)");
            all.and(&carries, [tag.as_str().to_owned()]);
        }
        all.search(&query.search);
        all
    }

    fn and<V: Into<Value>>(&mut self, condition: &str, values: impl IntoIterator<Item = V>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.extend(values.into_iter().map(Into::into));
    }

    /// The index narrows the candidates where a term is long enough for it; the text decides.
    fn search(&mut self, terms: &SearchTerms) {
        if terms.is_empty() {
            return;
        }
        if let Some(phrases) = indexed_phrases(terms) {
            let candidates = "r.search_id IN (SELECT rowid FROM record_search WHERE record_search MATCH ?)";
            self.and(candidates, [phrases]);
        }
        let contains = vec!["instr(text.body, ?) > 0"; terms.iter().count()].join(" AND ");
        let decides = format!(
            "EXISTS (SELECT 1 FROM record_search AS text WHERE text.rowid = r.search_id AND {contains})"
        );
        self.and(&decides, terms.iter().map(str::to_owned));
    }
}

/// The terms that the index can look for, each as one phrase, all of which must match.
fn indexed_phrases(terms: &SearchTerms) -> Option<String> {
    let phrases: Vec<String> = terms
        .iter()
        .filter(|term| term.chars().count() >= INDEXED_TERM_CHARS)
        .map(|term| format!("\"{}\"", term.replace('"', "\"\"")))
        .collect();
    (!phrases.is_empty()).then(|| phrases.join(" AND "))
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

fn page_sql(conditions: &str, order: Order) -> String {
    let order = order_by(order);
    format!("SELECT {RECORD_COLUMNS} FROM records AS r WHERE {conditions} ORDER BY {order} LIMIT ? OFFSET ?")
}

fn list(conn: &Connection, user: UserId, query: &RecordQuery) -> Result<Listing<Record>, Failure> {
    let Conditions { sql, mut values } = Conditions::of(user, query);
    let total: i64 = conn
        .prepare_cached(&format!("SELECT count(*) FROM records AS r WHERE {sql}"))?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    let mut statement = conn.prepare_cached(&page_sql(&sql, query.order))?;
    let (limit, offset) = bounds(query.page);
    values.extend([limit.into(), offset.into()]);
    let mut rows = statement.query(params_from_iter(&values))?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(rows::record(row, query.entity_type)?);
    }
    Ok(Listing {
        items,
        total: total.unsigned_abs(),
    })
}

fn tags(conn: &Connection, user: UserId, entity_type: EntityType) -> Result<Vec<TagCount>, Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT tag.value, count(*) FROM records AS r, {TAGS} AS tag
         WHERE r.user_id = ?1 AND r.entity_type = ?2 AND r.is_deleted = 0 AND tag.type = 'text'
         GROUP BY tag.value ORDER BY count(*) DESC, tag.value"
    ))?;
    let mut rows = statement.query((user.uuid(), entity_type.name()))?;
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

    /// How SQLite goes about a list.
    fn plan(order: Order, terms: &str) -> Vec<String> {
        let ids = mosaic_testkit::SequentialIds::default();
        let (conn, ..) = open_writer(&SqliteSettings::new(Location::Memory), &ids).unwrap();
        let mut query = RecordQuery::all(EntityType::Memo, order, PageNumber::EVERYTHING);
        query.search = SearchTerms::parse(terms).unwrap();
        let Conditions { sql, values } = Conditions::of(UserId::new(uuid::Uuid::nil()), &query);
        let mut statement = conn
            .prepare(&format!("EXPLAIN QUERY PLAN {}", page_sql(&sql, order)))
            .unwrap();
        let values = values.into_iter().chain([Value::from(20), Value::from(0)]);
        let steps = statement
            .query_map(params_from_iter(values), |row| row.get("detail"))
            .unwrap();
        steps.collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn a_list_is_read_from_an_index_in_its_order() {
        let index = "(user_id=? AND entity_type=? AND is_deleted=?)";
        let newest = format!("SEARCH r USING INDEX records_by_creation {index}");
        assert_eq!(plan(Order::NewestFirst, ""), [newest]);
        let siblings = format!("SEARCH r USING INDEX records_by_parent {index}");
        assert_eq!(plan(Order::Siblings, ""), [siblings]);
        let keys = "SEARCH r USING INDEX sqlite_autoindex_records_2 (user_id=? AND entity_type=?)";
        assert_eq!(plan(Order::KeyDescending, ""), [keys]);
    }

    #[test]
    fn a_search_looks_a_term_up_once_and_reads_the_text_of_the_user_s_own_records_by_row() {
        let short = plan(Order::NewestFirst, "天气");
        assert!(short[0].starts_with("SEARCH r USING INDEX"), "{short:#?}");
        assert_eq!(
            short.last().unwrap(),
            "SCAN text VIRTUAL TABLE INDEX 0:=",
            "{short:#?}"
        );
        let long = plan(Order::NewestFirst, "world");
        assert!(long[0].starts_with("SEARCH r USING INDEX"), "{long:#?}");
        assert!(
            long.contains(&"SCAN record_search VIRTUAL TABLE INDEX 0:M1".to_owned()),
            "{long:#?}"
        );
        assert!(!long.iter().any(|step| step.contains("SCAN r ")), "{long:#?}");
    }
}
