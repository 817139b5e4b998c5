//! The traits through which the use cases reach the world. Adapters implement them, tests mock them.
//!
//! Every port is `Send + Sync`, object-safe, and says in its rustdoc what it promises: isolation, ordering, errors. Each
//! promise of a store is a case of the conformance suite in `mosaic-testkit`, which every store runs unchanged. With the
//! feature `mock` every trait has a `mockall` mock next to it: `MockWriteStore`, `MockClock` and so on.
//!
//! To add a store: implement [`WriteStore`], [`ChangeFeed`], [`RecordReader`], [`DeviceCursors`], [`AccountStore`],
//! [`RefreshTokens`], [`Health`], [`StoreIdentity`], [`UserIds`], [`DumpReader`], [`DumpWriter`], [`Retention`], [`Jobs`],
//! [`CommitFeed`], [`ActivityLog`], [`InviteStore`], [`AttachmentIndex`], [`VariantIndex`], [`AvatarIndex`], [`OrphanIndex`],
//! [`AttachmentAudit`] and [`UploadStore`] over one database, hand them out as [`Stores`], and run the suite.

mod accounts;
mod activity;
mod attachments;
mod blobs;
mod commits;
mod error;
mod figures;
mod invites;
mod logins;
mod marks;
mod media;
mod migration;
pub mod rows;
mod store;
mod stores;
mod system;
mod transfer;
mod upkeep;
mod uploads;

// What the ports' methods take and answer of the rules about accounts, logins and leases.
pub use accounts::AccountStore;
pub use activity::ActivityLog;
pub use attachments::{AttachmentAudit, AttachmentIndex, AvatarIndex, OrphanIndex, VariantIndex};
pub use blobs::{BlobBytes, BlobError, BlobInfo, BlobName, BlobReader, BlobStore, BlobWriter, PresignedRead};
pub use commits::{CommitFeed, CommitListener};
pub use error::{BoxError, StoreError, WriteError};
pub use figures::{CommitFigures, Counter, Figure, Figures, Histogram, Label, Reading, Series, Spread};
pub use invites::InviteStore;
pub use logins::{DeviceLogin, RefreshTokens};
pub use marks::MarkStore;
pub use media::{HEAD_BYTES, MediaTypes, PictureError, Pictures, SmallerPicture};
pub use migration::{
    AppliedMigration, CREATE_HISTORY, Migration, SELECT_HISTORY, SchemaMismatch, in_words, pending_migrations,
};
pub use store::{
    ChangeFeed, DEVICES_MAX, Decide, DeviceCursor, DeviceCursors, Health, KeptRevision, MissingPart,
    RecordReader, RevisionPage, ServedCursors, SyncDigest, WriteStore,
};
pub use stores::Stores;
pub use system::{
    AccessClaims, AccessTokenError, AccessTokens, Clock, IdGenerator, Opens, PasswordHasher, Randomness,
    TicketClaims,
};
pub use transfer::{
    DumpReader, DumpWriter, DumpedRecord, EarlierToken, Loaded, RevisionPlace, StoreIdentity, UserDump,
    UserIds,
};
pub use upkeep::{Jobs, Purged, Retention};
pub use uploads::UploadStore;

#[cfg(feature = "mock")]
pub use accounts::MockAccountStore;
#[cfg(feature = "mock")]
pub use activity::MockActivityLog;
#[cfg(feature = "mock")]
pub use attachments::{
    MockAttachmentAudit, MockAttachmentIndex, MockAvatarIndex, MockOrphanIndex, MockVariantIndex,
};
#[cfg(feature = "mock")]
pub use blobs::{MockBlobStore, MockBlobWriter};
#[cfg(feature = "mock")]
pub use commits::{MockCommitFeed, MockCommitListener};
#[cfg(feature = "mock")]
pub use invites::MockInviteStore;
#[cfg(feature = "mock")]
pub use logins::MockRefreshTokens;
#[cfg(feature = "mock")]
pub use marks::MockMarkStore;
#[cfg(feature = "mock")]
pub use media::{MockMediaTypes, MockPictures};
#[cfg(feature = "mock")]
pub use store::{MockChangeFeed, MockDeviceCursors, MockHealth, MockRecordReader, MockWriteStore};
#[cfg(feature = "mock")]
pub use system::{MockAccessTokens, MockClock, MockIdGenerator, MockPasswordHasher, MockRandomness};
#[cfg(feature = "mock")]
pub use transfer::{MockDumpReader, MockDumpWriter, MockStoreIdentity, MockUserIds};
#[cfg(feature = "mock")]
pub use upkeep::{MockJobs, MockRetention};
#[cfg(feature = "mock")]
pub use uploads::MockUploadStore;
