//! Lists, search, tags and single records.
//!
//! A list is one SQL statement, which is one snapshot, put together from the conditions of a [`RecordQuery`] whatever the
//! type. Values are always bound, never written into the statement. It is planned for the values of each call: which index
//! is best depends on them.

use async_trait::async_trait;
use mosaic_domain::pull::PageLimits;
use mosaic_domain::query::{
    CHILDREN_SHOWN, Listed, Listing, Order, PageNumber, RecordQuery, TAGS_COUNTED, TagCount,
};
use mosaic_domain::search::SearchTerms;
use mosaic_domain::{EntityType, MemoId, Record, RecordKey, RevisionId, UserId};
use mosaic_ports::{KeptRevision, RecordReader, RevisionPage, StoreError, SyncDigest};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::PostgresStore;
use crate::blocking::read_rows;
use crate::error::Failure;
use crate::grams;
use crate::rows::{self, RECORD_COLUMNS};
use crate::session::Value;

#[async_trait]
impl RecordReader for PostgresStore {
    async fn record(&self, user: UserId, key: RecordKey) -> Result<Option<Record>, StoreError> {
        let sql = format!(
            "SELECT {RECORD_COLUMNS} FROM records AS r WHERE user_id = $1 AND entity_type = $2 AND record_key = $3"
        );
        let rows = self
            .database
            .read(&sql, &RecordValues::new(user, key).values())
            .await?;
        Ok(rows.first().map(rows::record).transpose()?)
    }

    async fn records(&self, user: UserId, keys: &[RecordKey]) -> Result<Vec<Record>, StoreError> {
        Ok(self.read_records(user, keys).await?)
    }

    async fn sizes(&self, user: UserId, keys: &[RecordKey]) -> Result<Vec<u64>, StoreError> {
        Ok(self.read_sizes(user, keys).await?)
    }

    async fn children(
        &self,
        user: UserId,
        parents: &[MemoId],
        limits: PageLimits,
    ) -> Result<Vec<Record>, StoreError> {
        Ok(self.read_children(user, parents, limits).await?)
    }

    async fn list(&self, user: UserId, query: &RecordQuery) -> Result<Listing<Listed>, StoreError> {
        Ok(self.list_records(user, query).await?)
    }

    async fn tags(&self, user: UserId, entity_type: EntityType) -> Result<Vec<TagCount>, StoreError> {
        Ok(self.count_tags(user, entity_type).await?)
    }

    async fn revisions(
        &self,
        user: UserId,
        key: RecordKey,
        before: Option<u32>,
        limits: PageLimits,
    ) -> Result<RevisionPage, StoreError> {
        Ok(self.revision_page(user, key, before, limits).await?)
    }

    async fn revision(
        &self,
        user: UserId,
        key: RecordKey,
        id: RevisionId,
    ) -> Result<Option<KeptRevision>, StoreError> {
        Ok(self.one_revision(user, key, id).await?)
    }

    async fn digest(&self, user: UserId) -> Result<Option<SyncDigest>, StoreError> {
        Ok(self.digest_of(user).await?)
    }
}

/// The values that name one record.
pub(crate) struct RecordValues {
    user: uuid::Uuid,
    entity_type: &'static str,
    key: String,
}

impl RecordValues {
    pub(crate) fn new(user: UserId, key: RecordKey) -> Self {
        Self {
            user: user.uuid(),
            entity_type: key.entity_type().name(),
            key: key.to_string(),
        }
    }

    pub(crate) fn values(&self) -> [Value<'_>; 3] {
        [
            (&self.user, Type::UUID),
            (&self.entity_type, Type::TEXT),
            (&self.key, Type::TEXT),
        ]
    }
}

/// `LIMIT` and `OFFSET` of a page.
pub(crate) fn bounds(page: PageNumber) -> (i64, i64) {
    let offset = i64::try_from(page.offset()).unwrap_or(i64::MAX);
    (i64::from(page.limit()), offset)
}

/// A value that a statement keeps until it is sent.
type Kept = (Box<dyn ToSql + Sync + Send>, Type);

/// The conditions of a list, with the values that they compare to.
struct Conditions {
    sql: String,
    /// The conditions of a text `s`, where words are looked for.
    text: Option<String>,
    values: Vec<Kept>,
}

impl Conditions {
    /// The conditions of every list: live records of one type of one user.
    fn live(user: UserId, entity_type: EntityType) -> Self {
        let mut all = Self {
            sql: String::new(),
            text: None,
            values: Vec::new(),
        };
        let user = all.bind(user.uuid(), Type::UUID);
        let entity_type = all.bind(entity_type.name(), Type::TEXT);
        all.sql = format!("r.user_id = {user} AND r.entity_type = {entity_type} AND NOT r.is_deleted");
        all
    }

    fn of(user: UserId, query: &RecordQuery) -> Self {
        let mut all = Self::live(user, query.entity_type);
        if let Some(archived) = query.archived {
            all.and(archived, Type::BOOL, |v| format!("r.is_archived = {v}"));
        }
        if let Some(day) = query.day {
            all.and(day.to_string(), Type::TEXT, |v| format!("r.day = {v}"));
        }
        if let Some(day) = query.on_day {
            let begin = all.bind(day.begin.get(), Type::INT8);
            let end = all.bind(day.end.get(), Type::INT8);
            all.and(day.date.to_string(), Type::TEXT, |v| {
                format!("(r.day = {v} OR (r.created_at >= {begin} AND r.created_at < {end}))")
            });
        }
        if let Some(from) = query.created_from {
            all.and(from.get(), Type::INT8, |v| format!("r.created_at >= {v}"));
        }
        if let Some(end) = query.created_before {
            all.and(end.get(), Type::INT8, |v| format!("r.created_at < {v}"));
        }
        if let Some(from) = query.date_from {
            all.and(from.to_string(), Type::TEXT, |v| format!("r.record_key >= {v}"));
        }
        if let Some(to) = query.date_to {
            all.and(to.to_string(), Type::TEXT, |v| format!("r.record_key <= {v}"));
        }
        if let Some(parents) = &query.parents {
            let ids: Vec<String> = parents.iter().map(ToString::to_string).collect();
            all.and(ids, Type::TEXT_ARRAY, |v| format!("r.parent_key = ANY ({v})"));
        }
        if !query.tags.is_empty() {
            let tags: Vec<String> = query.tags.iter().map(|tag| tag.as_str().to_owned()).collect();
            all.and(tags, Type::TEXT_ARRAY, |v| format!("r.tags @> {v}"));
        }
        all.search(user, &query.search);
        all
    }

    /// Binds a value; gives its name in the statement.
    fn bind(&mut self, value: impl ToSql + Sync + Send + 'static, of: Type) -> String {
        self.values.push((Box::new(value), of));
        format!("${}", self.values.len())
    }

    fn and(
        &mut self,
        value: impl ToSql + Sync + Send + 'static,
        of: Type,
        condition: impl FnOnce(&str) -> String,
    ) {
        let value = self.bind(value, of);
        self.sql.push_str(" AND ");
        self.sql.push_str(&condition(&value));
    }

    /// The index narrows the candidates where a term is long enough for it; the text decides, and is read once whatever
    /// the number of terms.
    fn search(&mut self, user: UserId, terms: &SearchTerms) {
        if terms.is_empty() {
            return;
        }
        let mut found = String::new();
        let hashes = grams::few(user, terms.iter());
        if !hashes.is_empty() {
            let hashes = self.bind(hashes, Type::INT4_ARRAY);
            found.extend(["s.grams @> ", &hashes, " AND "]);
        }
        let terms: Vec<String> = terms.iter().map(str::to_owned).collect();
        let terms = self.bind(terms, Type::TEXT_ARRAY);
        found.extend([
            "NOT EXISTS (SELECT FROM (SELECT s.body || '' AS body OFFSET 0) AS whole, unnest(",
            &terms,
            ") AS t (term) WHERE strpos(whole.body, t.term) = 0)",
        ]);
        self.text = Some(found);
    }

    fn values(&self) -> Vec<Value<'_>> {
        self.values
            .iter()
            .map(|(value, of)| (value.as_ref() as &(dyn ToSql + Sync), of.clone()))
            .collect()
    }
}

/// Records that are alike otherwise are ordered by key. Without a parent comes before any parent.
const fn order_by(order: Order) -> &'static str {
    match order {
        Order::NewestFirst => "r.created_at DESC, r.record_key",
        Order::KeyDescending => "r.record_key DESC",
        Order::Siblings => "r.parent_key NULLS FIRST, r.sort_order NULLS FIRST, r.record_key",
    }
}

/// The type that records of the type in a column belong to, as an expression.
pub(crate) fn parent_type_of(column: &str) -> String {
    let parents = EntityType::ALL
        .into_iter()
        .filter_map(|child| Some((child, child.parent_type()?)));
    let cases: Vec<_> = parents
        .map(|(child, parent)| format!("WHEN '{child}' THEN '{parent}'"))
        .collect();
    format!("CASE {column} {} END", cases.join(" "))
}

/// The type and key of a record `r` of the user $1 and of a type, and the bytes of its document and of those that are shown with it.
fn listed_columns(entity_type: EntityType) -> String {
    let children = mosaic_ports::rows::type_names(entity_type.child_types());
    format!(
        "r.entity_type, r.record_key, r.document_bytes + coalesce((
             SELECT sum(shown.document_bytes) FROM (
                 SELECT child.document_bytes FROM records AS child
                 WHERE child.user_id = $1 AND child.entity_type IN ({children})
                   AND child.parent_key = r.record_key AND NOT child.is_deleted
                 LIMIT {CHILDREN_SHOWN}) AS shown), 0)"
    )
}

/// One page, in its order, and how many records there are on all pages; that alone where the page is empty.
fn list_sql(
    entity_type: EntityType,
    conditions: &Conditions,
    order: Order,
    limit: &str,
    offset: &str,
) -> String {
    let (listed, order) = (listed_columns(entity_type), order_by(order));
    let Some(text) = &conditions.text else {
        let conditions = &conditions.sql;
        return format!(
            "SELECT {listed}, total.records
             FROM (SELECT count(*) AS records FROM records AS r WHERE {conditions}) AS total
             LEFT JOIN LATERAL (
                 SELECT * FROM records AS r WHERE {conditions} ORDER BY {order} LIMIT (SELECT {limit}) OFFSET (SELECT {offset})
             ) AS r ON true
             ORDER BY {order}"
        );
    };
    // What is found is looked for once, and of it only what the order needs is kept.
    let conditions = &conditions.sql;
    let candidate = rows::by_key("by_key.*", "$2", "s.record_key");
    let whole = rows::by_key("by_key.*", "$2", "page.record_key");
    format!(
        "WITH found AS MATERIALIZED (
             SELECT r.record_key, r.created_at, r.parent_key, r.sort_order
             FROM record_search AS s CROSS JOIN LATERAL ({candidate}) AS r
             WHERE s.user_id = $1 AND s.entity_type = $2 AND {text} AND {conditions}
         )
         SELECT {listed}, total.records
         FROM (SELECT count(*) AS records FROM found) AS total
         LEFT JOIN LATERAL (
             SELECT whole.* FROM (
                 SELECT r.record_key FROM found AS r ORDER BY {order} LIMIT (SELECT {limit}) OFFSET (SELECT {offset})
             ) AS page CROSS JOIN LATERAL ({whole}) AS whole
         ) AS r ON true
         ORDER BY {order}"
    )
}

/// Records by their keys, in their order. Each is looked up by itself, whatever the planner thinks of the table.
pub(crate) fn records_sql() -> String {
    let by_key = rows::by_key("by_key.*", "k.entity_type", "k.record_key");
    format!(
        "SELECT {RECORD_COLUMNS} FROM unnest((SELECT $2::text[]), (SELECT $3::text[])) WITH ORDINALITY AS k (entity_type, record_key, place)
         CROSS JOIN LATERAL ({by_key}) AS r
         ORDER BY k.place"
    )
}

/// How many bytes the documents of records have, in the order of their keys.
pub(crate) fn sizes_sql() -> String {
    let by_key = rows::by_key("by_key.document_bytes", "k.entity_type", "k.record_key");
    format!(
        "SELECT coalesce(r.document_bytes, 0)::bigint
         FROM unnest((SELECT $2::text[]), (SELECT $3::text[])) WITH ORDINALITY AS k (entity_type, record_key, place)
         LEFT JOIN LATERAL ({by_key}) AS r ON true
         ORDER BY k.place"
    )
}

/// The types of the children that some records may have, each with the key of the parent: as columns.
pub(crate) fn child_columns(
    parents: impl IntoIterator<Item = RecordKey>,
) -> (Vec<&'static str>, Vec<String>) {
    let of = |parent: RecordKey| {
        let types = parent.entity_type().child_types();
        types.map(move |child| (child.name(), parent.to_string()))
    };
    parents.into_iter().flat_map(of).unzip()
}

/// The children of some records, each one's in their order, as many as the limits allow.
pub(crate) fn children_sql() -> String {
    let order = "sort_order NULLS FIRST, record_key";
    format!(
        "SELECT {RECORD_COLUMNS} FROM unnest((SELECT $2::text[]), (SELECT $3::text[])) WITH ORDINALITY AS p (child_type, parent_key, parent)
         CROSS JOIN LATERAL (
             SELECT page.*, row_number() OVER siblings AS place,
                    sum(page.document_bytes)
                        OVER (siblings ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
             FROM (SELECT * FROM records AS child
                   WHERE child.user_id = $1 AND child.entity_type = p.child_type AND NOT child.is_deleted
                     AND child.parent_key = p.parent_key
                   ORDER BY {order} LIMIT (SELECT $4)) AS page
             WINDOW siblings AS (ORDER BY {order})
         ) AS r
         WHERE r.place = 1 OR r.bytes_before < $5
         ORDER BY p.parent, r.place"
    )
}

/// How many live records carry each tag.
const TAGS: &str = "
    SELECT tag.name, count(*) FROM records AS r, unnest(r.tags) AS tag (name)
    WHERE r.user_id = $1 AND r.entity_type = $2 AND NOT r.is_deleted
    GROUP BY tag.name ORDER BY count(*) DESC, tag.name COLLATE \"C\" LIMIT (SELECT $3)";

/// A list as one statement.
pub(crate) struct ListStatement {
    pub(crate) sql: String,
    conditions: Conditions,
}

impl ListStatement {
    pub(crate) fn new(user: UserId, query: &RecordQuery) -> Self {
        let mut conditions = Conditions::of(user, query);
        let (limit, offset) = bounds(query.page);
        let limit = conditions.bind(limit, Type::INT8);
        let offset = conditions.bind(offset, Type::INT8);
        let sql = list_sql(query.entity_type, &conditions, query.order, &limit, &offset);
        Self { sql, conditions }
    }

    pub(crate) fn values(&self) -> Vec<Value<'_>> {
        self.conditions.values()
    }
}

fn listing(rows: &[Row]) -> Result<Listing<Listed>, Failure> {
    let mut items = Vec::with_capacity(rows.len());
    let mut total: i64 = 0;
    for row in rows {
        total = rows::column(row, 3, "count")?;
        if let Some(entity_type) = rows::column::<Option<&str>>(row, 0, "records.entity_type")? {
            let entity_type = entity_type
                .parse::<EntityType>()
                .map_err(|violation| Failure::corrupt("records.entity_type", violation))?;
            items.push(Listed {
                key: rows::key(row, 1, entity_type)?,
                bytes: rows::column::<i64>(row, 2, "bytes")?.unsigned_abs(),
            });
        }
    }
    Ok(Listing {
        items,
        total: total.unsigned_abs(),
    })
}

impl PostgresStore {
    async fn read_records(&self, user: UserId, keys: &[RecordKey]) -> Result<Vec<Record>, Failure> {
        let rows = self.read_by_keys(&records_sql(), user, keys).await?;
        read_rows(rows, |rows| rows.iter().map(rows::record).collect()).await
    }

    async fn read_sizes(&self, user: UserId, keys: &[RecordKey]) -> Result<Vec<u64>, Failure> {
        let rows = self.read_by_keys(&sizes_sql(), user, keys).await?;
        let size = |row: &Row| Ok(rows::column::<i64>(row, 0, "records.document_bytes")?.unsigned_abs());
        rows.iter().map(size).collect()
    }

    async fn read_by_keys(&self, sql: &str, user: UserId, keys: &[RecordKey]) -> Result<Vec<Row>, Failure> {
        let user = user.uuid();
        let types: Vec<&str> = keys.iter().map(|key| key.entity_type().name()).collect();
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let values: [Value<'_>; 3] = [
            (&user, Type::UUID),
            (&types, Type::TEXT_ARRAY),
            (&keys, Type::TEXT_ARRAY),
        ];
        self.database.read(sql, &values).await
    }

    async fn read_children(
        &self,
        user: UserId,
        parents: &[MemoId],
        limits: PageLimits,
    ) -> Result<Vec<Record>, Failure> {
        let user = user.uuid();
        let (types, parents) = child_columns(parents.iter().copied().map(RecordKey::from));
        let records = i64::try_from(limits.records.max(1)).unwrap_or(i64::MAX);
        let bytes = i64::try_from(limits.bytes).unwrap_or(i64::MAX);
        let values: [Value<'_>; 5] = [
            (&user, Type::UUID),
            (&types, Type::TEXT_ARRAY),
            (&parents, Type::TEXT_ARRAY),
            (&records, Type::INT8),
            (&bytes, Type::INT8),
        ];
        let rows = self.database.read(&children_sql(), &values).await?;
        read_rows(rows, |rows| rows.iter().map(rows::record).collect()).await
    }

    async fn list_records(&self, user: UserId, query: &RecordQuery) -> Result<Listing<Listed>, Failure> {
        let statement = ListStatement::new(user, query);
        let rows = self
            .database
            .read_composed(&statement.sql, &statement.values())
            .await?;
        read_rows(rows, listing).await
    }

    async fn count_tags(&self, user: UserId, entity_type: EntityType) -> Result<Vec<TagCount>, Failure> {
        let (user, entity_type) = (user.uuid(), entity_type.name());
        let most = i64::try_from(TAGS_COUNTED).unwrap_or(i64::MAX);
        let values: [Value<'_>; 3] = [
            (&user, Type::UUID),
            (&entity_type, Type::TEXT),
            (&most, Type::INT8),
        ];
        let rows = self.database.read(TAGS, &values).await?;
        let tag_count = |row| {
            Ok(TagCount {
                tag: rows::column(row, 0, "records.tags")?,
                count: rows::column::<i64>(row, 1, "count")?.unsigned_abs(),
            })
        };
        rows.iter().map(tag_count).collect()
    }
}
