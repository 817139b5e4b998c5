//! What the columns of events mean.

use mosaic_domain::activity::{Activity, ActivityQuery, Doer, Note, Origin};
use mosaic_domain::{ActivityId, ClientId, UserId};

use super::{Columns, id, optional, parsed, some, time, valid};

/// The columns that [`activity`] reads, in its order.
pub const ACTIVITY_COLUMNS: &str =
    "event_id, kind, happened_at, doer, doer_id, address, client_id, agent, detail";

/// Reads an event of a user's trail.
///
/// # Errors
/// As [`checked`](super::checked).
pub fn activity<C: Columns>(row: &C, user: UserId) -> Result<Activity, C::Error> {
    let doer = some(row.text(3, "activity.doer")?, "activity.doer")?;
    let doer_id = row.uuid(4, "activity.doer_id")?.map(UserId::new);
    let address = row.text(5, "activity.address")?.map(str::parse);
    let note = |at, what| -> Result<_, C::Error> { Ok(row.text(at, what)?.and_then(Note::of)) };
    Ok(Activity {
        id: ActivityId::new(id(row, 0, "activity.event_id")?),
        user,
        kind: parsed(row, 1, "activity.kind")?,
        at: time(row, 2, "activity.happened_at")?,
        by: valid(Doer::of(doer, doer_id), "activity.doer")?,
        origin: Origin {
            address: valid(address.transpose(), "activity.address")?,
            client: optional(row, 6, "activity.client_id", ClientId::try_from)?,
            agent: note(7, "activity.agent")?,
        },
        detail: note(8, "activity.detail")?,
    })
}

/// The names of the kinds that are wanted, as a list in a statement. Others may be from a later version.
pub fn kind_names(query: &ActivityQuery) -> String {
    let quoted: Vec<_> = query.kinds().map(|kind| format!("'{kind}'")).collect();
    quoted.join(", ")
}
