//! What a plan writes, as columns: one statement per table, whatever the number of rows.

use std::collections::BTreeSet;

use mosaic_domain::search::normalise;
use mosaic_domain::write::WritePlan;
use mosaic_domain::{Content, Record, Revision, State, UserId};
use mosaic_ports::KeptRevision;
use mosaic_ports::rows::stored;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::grams;
use crate::rows::bytes;
use crate::session::{Step, Value};

/// The rows of a plan.
#[derive(Debug)]
pub(crate) struct Batch {
    user: Uuid,
    /// None where nothing moves it (S4).
    clock: Option<i64>,
    /// By how much the records grow (W10).
    bytes: i64,
    records: RecordColumns,
    texts: TextColumns,
    without_text: KeyColumns,
    revisions: RevisionColumns,
}

impl Batch {
    pub(crate) fn of(user: UserId, plan: &WritePlan) -> Self {
        let mut batch = Self::of_records(user, &plan.records);
        if !plan.records.is_empty() {
            (batch.clock, batch.bytes) = (Some(plan.clock.get()), plan.record_bytes);
        }
        let mut kept = BTreeSet::new();
        for revision in &plan.revisions {
            if kept.insert(revision.id) {
                batch.revisions.add(revision);
            }
        }
        batch
    }

    /// Records alone, as they are.
    pub(crate) fn of_records<'a>(user: UserId, records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut batch = Self {
            user: user.uuid(),
            clock: None,
            bytes: 0,
            records: RecordColumns::default(),
            texts: TextColumns::default(),
            without_text: KeyColumns::default(),
            revisions: RevisionColumns::default(),
        };
        for record in records {
            batch.add_record(user, record);
        }
        batch
    }

    fn add_record(&mut self, user: UserId, record: &Record) {
        let facets = record.state.content().map(Content::facets).unwrap_or_default();
        let (document, seal) = stored(&record.state);
        let key = record.key.to_string();
        let searched = match &record.state {
            State::Live(_) => facets.search_text.as_deref().map(normalise),
            State::Deleted(_) => None,
        };
        match searched {
            Some(body) => self.texts.add(user, record, key.clone(), body),
            None => self.without_text.add(record, key.clone()),
        }
        let records = &mut self.records;
        records.tags.add(facets.tags.iter().map(str::to_owned));
        records.entity_type.push(record.key.entity_type().name());
        records.record_key.push(key);
        records.stamp.push(record.stamp.get());
        records.edit_time.push(record.version.time.get());
        records.author.push(record.version.author.to_string());
        records.created_at.push(record.created_at.get());
        records.revision_count.push(record.revision_count.into());
        records.is_deleted.push(record.is_deleted());
        records.is_archived.push(facets.archived);
        records
            .parent_key
            .push(facets.parent.map(|memo| memo.to_string()));
        records.day.push(facets.day.map(|day| day.to_string()));
        records.sort_order.push(facets.sort_order);
        records.attachment.push(facets.attachment.map(bytes));
        records.document.push(document);
        records.seal.push(seal);
    }

    /// The statements that write it all.
    pub(crate) fn steps(&self) -> Vec<Step<'_>> {
        let clock = vec![
            (&self.user as _, Type::UUID),
            (&self.clock as _, Type::INT8),
            (&self.bytes as _, Type::INT8),
            (&self.revisions.revision_id as _, Type::UUID_ARRAY),
            (&self.revisions.bytes as _, Type::INT8_ARRAY),
        ];
        // What is counted is what is not there yet.
        let mut steps = vec![Step::Fixed(SET_CLOCK, clock)];
        if !self.revisions.revision_id.is_empty() {
            steps.push(Step::Fixed(KEEP_REVISIONS, self.revisions.values(&self.user)));
        }
        steps.extend(self.record_steps());
        steps
    }

    /// The statements that write the records and index their texts.
    pub(crate) fn record_steps(&self) -> Vec<Step<'_>> {
        let mut steps = Vec::with_capacity(3);
        if !self.records.stamp.is_empty() {
            steps.push(Step::Fixed(UPSERT_RECORDS, self.records.values(&self.user)));
        }
        if !self.without_text.record_key.is_empty() {
            steps.push(Step::Fixed(FORGET_TEXTS, self.without_text.values(&self.user)));
        }
        if !self.texts.record_key.is_empty() {
            steps.push(Step::Fixed(INDEX_TEXTS, self.texts.values(&self.user)));
        }
        steps
    }
}

/// Moves the clock of the user $1 to $2, if to anything, and counts $3 for the records, and for those of the revisions $4 that
/// are not kept already what [`Revision::bytes`] says: $5 are the lengths of their documents.
const SET_CLOCK: &str = "
    UPDATE sync_clocks SET
        last_stamp = coalesce($2, last_stamp),
        record_bytes = greatest(0, record_bytes + $3 + (
            SELECT coalesce(sum(200 + n.bytes), 0)
            FROM unnest((SELECT $4::uuid[]), (SELECT $5::bigint[])) AS n (revision_id, bytes)
            WHERE NOT EXISTS (SELECT 1 FROM revisions AS k WHERE k.user_id = $1 AND k.revision_id = n.revision_id)
        )::bigint)
    WHERE user_id = $1";

/// A list for each row. An array of arrays would have to be rectangular, so all lists stand in one array, and each row
/// has the first and the last place of its own.
#[derive(Debug)]
struct Lists<T> {
    all: Vec<T>,
    first: Vec<i32>,
    last: Vec<i32>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            first: Vec::new(),
            last: Vec::new(),
        }
    }
}

impl<T> Lists<T> {
    fn add(&mut self, list: impl IntoIterator<Item = T>) {
        let place = |len: usize| i32::try_from(len).unwrap_or(i32::MAX);
        self.first.push(place(self.all.len() + 1));
        self.all.extend(list);
        self.last.push(place(self.all.len()));
    }
}

#[derive(Debug, Default)]
struct RecordColumns {
    entity_type: Vec<&'static str>,
    record_key: Vec<String>,
    stamp: Vec<i64>,
    edit_time: Vec<i64>,
    author: Vec<String>,
    created_at: Vec<i64>,
    revision_count: Vec<i64>,
    is_deleted: Vec<bool>,
    is_archived: Vec<bool>,
    parent_key: Vec<Option<String>>,
    day: Vec<Option<String>>,
    sort_order: Vec<Option<i64>>,
    tags: Lists<String>,
    document: Vec<Option<String>>,
    attachment: Vec<Option<Vec<u8>>>,
    seal: Vec<Option<i64>>,
}

/// As everything that is inserted it takes the user from the clock, which proves that there is such a user, and says to a
/// database of several nodes where the rows are.
const UPSERT_RECORDS: &str = "
    INSERT INTO records AS r (user_id, entity_type, record_key, stamp, edit_time, author, created_at, revision_count,
                              is_deleted, is_archived, parent_key, day, sort_order, tags, document, attachment, seal)
    SELECT c.user_id, n.entity_type, n.record_key, n.stamp, n.edit_time, n.author, n.created_at, n.revision_count,
           n.is_deleted, n.is_archived, n.parent_key, n.day, n.sort_order, ($14::text[])[n.tags_first:n.tags_last],
           n.document, n.attachment, n.seal
    FROM sync_clocks AS c,
         unnest((SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::bigint[]), (SELECT $5::bigint[]),
                (SELECT $6::text[]), (SELECT $7::bigint[]), (SELECT $8::bigint[]), (SELECT $9::boolean[]),
                (SELECT $10::boolean[]), (SELECT $11::text[]), (SELECT $12::text[]), (SELECT $13::bigint[]),
                (SELECT $15::integer[]), (SELECT $16::integer[]), (SELECT $17::text[]), (SELECT $18::bytea[]),
                (SELECT $19::bigint[]))
         AS n (entity_type, record_key, stamp, edit_time, author, created_at, revision_count, is_deleted, is_archived,
               parent_key, day, sort_order, tags_first, tags_last, document, attachment, seal)
    WHERE c.user_id = $1
    ON CONFLICT (user_id, entity_type, record_key) DO UPDATE SET
        stamp = excluded.stamp, edit_time = excluded.edit_time, author = excluded.author,
        created_at = excluded.created_at, revision_count = excluded.revision_count,
        is_deleted = excluded.is_deleted, is_archived = excluded.is_archived, parent_key = excluded.parent_key,
        day = excluded.day, sort_order = excluded.sort_order, tags = excluded.tags, document = excluded.document,
        attachment = excluded.attachment, seal = excluded.seal";

impl RecordColumns {
    fn values<'a>(&'a self, user: &'a Uuid) -> Vec<Value<'a>> {
        vec![
            (user, Type::UUID),
            (&self.entity_type, Type::TEXT_ARRAY),
            (&self.record_key, Type::TEXT_ARRAY),
            (&self.stamp, Type::INT8_ARRAY),
            (&self.edit_time, Type::INT8_ARRAY),
            (&self.author, Type::TEXT_ARRAY),
            (&self.created_at, Type::INT8_ARRAY),
            (&self.revision_count, Type::INT8_ARRAY),
            (&self.is_deleted, Type::BOOL_ARRAY),
            (&self.is_archived, Type::BOOL_ARRAY),
            (&self.parent_key, Type::TEXT_ARRAY),
            (&self.day, Type::TEXT_ARRAY),
            (&self.sort_order, Type::INT8_ARRAY),
            (&self.tags.all, Type::TEXT_ARRAY),
            (&self.tags.first, Type::INT4_ARRAY),
            (&self.tags.last, Type::INT4_ARRAY),
            (&self.document, Type::TEXT_ARRAY),
            (&self.attachment, Type::BYTEA_ARRAY),
            (&self.seal, Type::INT8_ARRAY),
        ]
    }
}

/// What is found by its text from now on.
#[derive(Debug, Default)]
struct TextColumns {
    entity_type: Vec<&'static str>,
    record_key: Vec<String>,
    body: Vec<String>,
    grams: Lists<i32>,
}

/// Most edits leave the text as it is: archiving, moving to another day.
const INDEX_TEXTS: &str = "
    INSERT INTO record_search AS s (user_id, entity_type, record_key, body, grams)
    SELECT c.user_id, t.entity_type, t.record_key, t.body, ($5::integer[])[t.grams_first:t.grams_last]
    FROM sync_clocks AS c,
         unnest((SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::text[]), (SELECT $6::integer[]),
                (SELECT $7::integer[]))
         AS t (entity_type, record_key, body, grams_first, grams_last)
    WHERE c.user_id = $1
    ON CONFLICT (user_id, entity_type, record_key) DO UPDATE SET body = excluded.body, grams = excluded.grams
    WHERE s.body <> excluded.body";

impl TextColumns {
    fn add(&mut self, user: UserId, record: &Record, key: String, body: String) {
        self.entity_type.push(record.key.entity_type().name());
        self.record_key.push(key);
        self.grams.add(grams::of(user, &body));
        self.body.push(body);
    }

    fn values<'a>(&'a self, user: &'a Uuid) -> Vec<Value<'a>> {
        vec![
            (user, Type::UUID),
            (&self.entity_type, Type::TEXT_ARRAY),
            (&self.record_key, Type::TEXT_ARRAY),
            (&self.body, Type::TEXT_ARRAY),
            (&self.grams.all, Type::INT4_ARRAY),
            (&self.grams.first, Type::INT4_ARRAY),
            (&self.grams.last, Type::INT4_ARRAY),
        ]
    }
}

/// What is no longer found by a text, if it ever was.
#[derive(Debug, Default)]
struct KeyColumns {
    entity_type: Vec<&'static str>,
    record_key: Vec<String>,
}

const FORGET_TEXTS: &str = "
    DELETE FROM record_search AS s USING unnest((SELECT $2::text[]), (SELECT $3::text[])) AS t (entity_type, record_key)
    WHERE s.user_id = $1 AND s.entity_type = t.entity_type AND s.record_key = t.record_key";

impl KeyColumns {
    fn add(&mut self, record: &Record, key: String) {
        self.entity_type.push(record.key.entity_type().name());
        self.record_key.push(key);
    }

    fn values<'a>(&'a self, user: &'a Uuid) -> Vec<Value<'a>> {
        vec![
            (user, Type::UUID),
            (&self.entity_type, Type::TEXT_ARRAY),
            (&self.record_key, Type::TEXT_ARRAY),
        ]
    }
}

#[derive(Debug, Default)]
struct RevisionColumns {
    revision_id: Vec<Uuid>,
    entity_type: Vec<&'static str>,
    record_key: Vec<String>,
    edit_time: Vec<i64>,
    author: Vec<String>,
    created_at: Vec<i64>,
    reason: Vec<&'static str>,
    recorded_at: Vec<i64>,
    document: Vec<String>,
    attachment: Vec<Option<Vec<u8>>>,
    /// How long the documents are.
    bytes: Vec<i64>,
}

/// A version that is kept already stays as it is, and takes no number (W3). The numbers of purged ones are not given again
/// (H2). Nobody else counts meanwhile: the user's lock is held.
///
/// Everything is looked up before the first row is inserted (`OFFSET 0` keeps the look-ups below the sort of the window): later
/// ones would walk over all rows that were, and take the square of their number.
const KEEP_REVISIONS: &str = "
    INSERT INTO revisions (user_id, revision_id, entity_type, record_key, revision_number, edit_time, author,
                           created_at, reason, recorded_at, document, attachment)
    SELECT f.user_id, f.revision_id, f.entity_type, f.record_key,
           f.last_number + row_number() OVER (PARTITION BY f.user_id, f.entity_type, f.record_key ORDER BY f.place),
           f.edit_time, f.author, f.created_at, f.reason, f.recorded_at, f.document, f.attachment
    FROM (SELECT c.user_id, n.*,
                 greatest((SELECT coalesce(max(k.revision_number), 0) FROM revisions AS k
                           WHERE k.user_id = $1 AND k.entity_type = n.entity_type AND k.record_key = n.record_key),
                          (SELECT coalesce(max(p.last_number), 0) FROM purged_revisions AS p
                           WHERE p.user_id = $1 AND p.entity_type = n.entity_type AND p.record_key = n.record_key))
                     AS last_number
          FROM sync_clocks AS c,
               unnest((SELECT $2::uuid[]), (SELECT $3::text[]), (SELECT $4::text[]), (SELECT $5::bigint[]),
                      (SELECT $6::text[]), (SELECT $7::bigint[]), (SELECT $8::text[]), (SELECT $9::bigint[]),
                      (SELECT $10::text[]), (SELECT $11::bytea[])) WITH ORDINALITY
               AS n (revision_id, entity_type, record_key, edit_time, author, created_at, reason, recorded_at,
                     document, attachment, place)
          WHERE c.user_id = $1
            AND NOT EXISTS (SELECT 1 FROM revisions AS k WHERE k.user_id = $1 AND k.revision_id = n.revision_id)
          OFFSET 0) AS f
    ON CONFLICT (user_id, revision_id) DO NOTHING";

impl RevisionColumns {
    fn add(&mut self, revision: &Revision) {
        self.revision_id.push(revision.id.uuid());
        self.entity_type.push(revision.key.entity_type().name());
        self.record_key.push(revision.key.to_string());
        self.edit_time.push(revision.version.time.get());
        self.author.push(revision.version.author.to_string());
        self.created_at.push(revision.created_at.get());
        self.reason.push(revision.reason.name());
        self.recorded_at.push(revision.recorded_at.get());
        let document = revision.content.to_document();
        self.bytes.push(i64::try_from(document.len()).unwrap_or(i64::MAX));
        self.document.push(document);
        self.attachment
            .push(revision.content.facets().attachment.map(bytes));
    }

    fn values<'a>(&'a self, user: &'a Uuid) -> Vec<Value<'a>> {
        vec![
            (user, Type::UUID),
            (&self.revision_id, Type::UUID_ARRAY),
            (&self.entity_type, Type::TEXT_ARRAY),
            (&self.record_key, Type::TEXT_ARRAY),
            (&self.edit_time, Type::INT8_ARRAY),
            (&self.author, Type::TEXT_ARRAY),
            (&self.created_at, Type::INT8_ARRAY),
            (&self.reason, Type::TEXT_ARRAY),
            (&self.recorded_at, Type::INT8_ARRAY),
            (&self.document, Type::TEXT_ARRAY),
            (&self.attachment, Type::BYTEA_ARRAY),
        ]
    }
}

/// Revisions that have their numbers already.
#[derive(Debug, Default)]
pub(crate) struct NumberedRevisions {
    columns: RevisionColumns,
    numbers: Vec<i64>,
}

const LOAD_REVISIONS: &str = "
    INSERT INTO revisions (user_id, revision_id, entity_type, record_key, edit_time, author, created_at, reason,
                           recorded_at, document, attachment, revision_number)
    SELECT c.user_id, n.*
    FROM sync_clocks AS c,
         unnest((SELECT $2::uuid[]), (SELECT $3::text[]), (SELECT $4::text[]), (SELECT $5::bigint[]), (SELECT $6::text[]),
                (SELECT $7::bigint[]), (SELECT $8::text[]), (SELECT $9::bigint[]), (SELECT $10::text[]),
                (SELECT $11::bytea[]), (SELECT $12::bigint[])) AS n
    WHERE c.user_id = $1
    ON CONFLICT (user_id, revision_id) DO NOTHING";

impl NumberedRevisions {
    pub(crate) fn of(revisions: &[KeptRevision]) -> Self {
        let mut numbered = Self::default();
        for kept in revisions {
            numbered.columns.add(&kept.revision);
            numbered.numbers.push(kept.number.into());
        }
        numbered
    }

    /// The statement that writes them; those that are there stay.
    pub(crate) fn step<'a>(&'a self, user: &'a Uuid) -> Step<'a> {
        let mut values = self.columns.values(user);
        values.push((&self.numbers, Type::INT8_ARRAY));
        Step::Fixed(LOAD_REVISIONS, values)
    }
}
