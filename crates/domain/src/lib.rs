//! The rules of Mosaic sync, pure: no I/O, no async, no clock, no database, no HTTP.
//!
//! Everything that decides anything lives here, so that it exists once, can be tested without a database, and both
//! stores only carry it out:
//!
//! * [`attachment`]: the bytes behind resources and avatars (A1, A4, A6).
//! * [`entity`]: the four entity types, their fields and limits, and the registry that lists them.
//! * [`version`]: what makes one edit newer than another (rule W2, last-writer-wins).
//! * [`stamp`]: the user's clock, from which every change draws its place in history (S1 to S5).
//! * [`mod@write`]: what a set of edits does to the records that a store has locked (W1 to W9, H1).
//! * [`pull`]: how one snapshot of changes becomes the pages of a response (P1, P2, P5, R1, R2).
//! * [`account`], [`login`], [`lease`]: what becomes of an account, a refresh token, the lease of a job ([`plan`]).
//! * [`invite`]: links by which people make accounts of their own (I1 to I3).
//! * [`activity`]: what happened to an account, for whoever looks back.
//! * [`quota`]: what an account may store (A4, W10).
//! * [`high_water`]: whether a database was set back behind the server's back (R2).
//! * [`header`]: in which a device says who it is.
//! * [`digest`]: whether two sides hold the same records.
//! * [`zone`]: which moments a person's day has.
//! * [`skew`]: what is done about devices whose clocks are wrong (W6).
//!
//! Rule numbers in comments (S1, P3, W2 ...) are those of `docs/protocol.md`.

pub mod account;
pub mod activity;
pub mod attachment;
pub mod digest;
pub mod entity;
pub mod header;
pub mod high_water;
pub mod id;
pub mod invite;
pub mod json;
pub mod lease;
pub mod login;
pub mod plan;
pub mod pull;
pub mod query;
pub mod quota;
pub mod record;
pub mod search;
pub mod skew;
pub mod stamp;
mod standing;
pub mod text;
pub mod time;
pub mod version;
pub mod violation;
pub mod write;
pub mod zone;

pub use entity::{Content, Entity, EntitySet, EntityType, Patch, PerEntity, RecordKey};
pub use id::{
    ActivityId, AvatarId, BotId, ClientId, DiaryDate, Epoch, FamilyId, InviteId, MemoId, ResourceId,
    RevisionId, UploadId, UserId,
};
pub use quota::Quota;
pub use record::{Live, Record, Revision, RevisionReason, State};
pub use stamp::{Cursor, Stamp, SyncClock};
pub use time::{EditTime, MAX_SAFE_INTEGER, UnixMillis};
pub use version::Version;
pub use violation::{Violation, Violations};
pub use zone::{Day, TimeOfDay, TimeZone};
