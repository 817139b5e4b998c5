//! Documents with their seals: how they are written, and what a pull reads.

use mosaic_domain::entity::{Document, seal};
use mosaic_domain::pull::{PulledRecord, PulledState};
use mosaic_domain::{Content, EditTime, EntityType, Stamp, State};

use super::{Columns, checked, count, flag, key, time};

/// The document of a record, and its seal. Only what lives and can be read has one: nothing else is pulled as it is stored.
pub fn stored(state: &State) -> (Option<String>, Option<i64>) {
    let State::Live(content) = state else {
        return (state.content().map(Content::to_document), None);
    };
    let document = content.to_document();
    let seal = (!content.is_unreadable()).then(|| seal(content.entity_type(), document.as_bytes()));
    (Some(document), seal)
}

/// How many columns [`pulled`] reads.
pub const PULLED_WIDTH: usize = 8;

/// Reads what a pull says of a record of a known type from the columns that begin at a place: key, stamp, edit time,
/// creation time, number of revisions, whether it is deleted, seal, document. The document is read only where the seal
/// does not fit: another version wrote it, or somebody changed it by hand.
///
/// # Errors
/// As [`checked`].
pub fn pulled<C: Columns>(row: &C, at: usize, entity_type: EntityType) -> Result<PulledRecord, C::Error> {
    let state = if flag(row, at + 5, "records.is_deleted")? {
        PulledState::Deleted
    } else {
        let seal = row.integer(at + 6, "records.seal")?;
        let document = row.document(at + 7, "document")?.unwrap_or_default();
        let sealed = seal.and_then(|seal| Document::sealed(entity_type, document, seal));
        let read = || PulledState::live(&entity_type.stored_content(document, || (None, None)));
        sealed.map_or_else(read, PulledState::Live)
    };
    Ok(PulledRecord {
        key: key(row, at, entity_type)?,
        stamp: checked(row, at + 1, "records.stamp", Stamp::new)?,
        edit_time: checked(row, at + 2, "edit_time", EditTime::new)?,
        created_at: time(row, at + 3, "records.created_at")?,
        revision_count: count(row, at + 4, "records.revision_count")?,
        state,
    })
}
