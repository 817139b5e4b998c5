//! Tags and words of a list: looked for in one record after the other, each read once whatever their number.

use memchr::memmem::Finder;
use mosaic_domain::query::RecordQuery;
use rusqlite::{Connection, Row};
use serde_json::Value;

use crate::error::Failure;
use crate::runs::SearchRuns;

/// What a record must have.
pub(crate) struct Filter {
    tags: Vec<String>,
    terms: Vec<Finder<'static>>,
    runs: SearchRuns,
}

impl Filter {
    /// What a query asks of each record; `None` where it is nothing.
    pub(crate) fn of(query: &RecordQuery) -> Option<Self> {
        if query.tags.is_empty() && query.search.is_empty() {
            return None;
        }
        Some(Self {
            tags: query.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            terms: query
                .search
                .iter()
                .map(|term| Finder::new(term).into_owned())
                .collect(),
            runs: SearchRuns::of(&query.search),
        })
    }

    /// Whether it finds a record with this row, and this one for its text.
    pub(crate) fn finds(&self, conn: &Connection, record: i64, text: Option<i64>) -> Result<bool, Failure> {
        Ok((self.terms.is_empty() || self.finds_text(conn, text)?)
            && (self.tags.is_empty() || self.finds_tags(conn, record)?))
    }

    /// A long text is read only where its runs let it contain the terms.
    fn finds_text(&self, conn: &Connection, text: Option<i64>) -> Result<bool, Failure> {
        let Some(text) = text else { return Ok(false) };
        let mut statement = conn.prepare_cached(
            "SELECT runs, CASE WHEN runs IS NULL THEN body END FROM record_search WHERE search_id = ?1",
        )?;
        let mut rows = statement.query([text])?;
        let Some(row) = rows.next()? else { return Ok(false) };
        let runs = row.get_ref(0)?.as_blob_or_null();
        match runs.map_err(|error| Failure::corrupt("record_search.runs", error))? {
            None => self.contained_in(row, 1),
            Some(runs) if !self.runs.may_be_in(runs) => Ok(false),
            Some(_) => {
                let mut statement =
                    conn.prepare_cached("SELECT body FROM record_search WHERE search_id = ?1")?;
                let mut rows = statement.query([text])?;
                rows.next()?.map_or(Ok(false), |row| self.contained_in(row, 0))
            }
        }
    }

    /// What decides.
    fn contained_in(&self, row: &Row<'_>, at: usize) -> Result<bool, Failure> {
        let body = row.get_ref(at)?.as_bytes();
        let body = body.map_err(|error| Failure::corrupt("record_search.body", error))?;
        Ok(self.terms.iter().all(|term| term.find(body).is_some()))
    }

    /// A document that can't be read carries none.
    fn finds_tags(&self, conn: &Connection, record: i64) -> Result<bool, Failure> {
        let mut statement = conn.prepare_cached(
            "SELECT CASE WHEN json_valid(document) THEN json_extract(document, '$.tags') END
             FROM records WHERE rowid = ?1",
        )?;
        let mut rows = statement.query([record])?;
        let Some(row) = rows.next()? else { return Ok(false) };
        let found: Vec<Value> = row
            .get_ref(0)?
            .as_str()
            .ok()
            .and_then(|tags| serde_json::from_str(tags).ok())
            .unwrap_or_default();
        let carries = |tag: &String| found.iter().any(|found| found.as_str() == Some(tag));
        Ok(self.tags.iter().all(carries))
    }
}
