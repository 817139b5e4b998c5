//! The traits through which the use cases reach the world. Adapters implement them, tests mock them.
//!
//! Every port is `Send + Sync`, object-safe, and says in its rustdoc what it promises: isolation, ordering, errors. Each
//! promise of a store is a case of the conformance suite in `mosaic-testkit`, which every store runs unchanged. With the
//! feature `mock` every trait has a `mockall` mock next to it: `MockWriteStore`, `MockClock` and so on.
//!
//! To add a store: implement [`WriteStore`], [`ChangeFeed`], [`RecordReader`], [`DeviceCursors`], [`Accounts`],
//! [`RefreshTokens`], [`Health`] and [`Transfer`] over one database, hand them out as [`Stores`], and run the suite.

mod accounts;
mod error;
mod store;
mod stores;
mod system;
mod transfer;

pub use accounts::{
    Account, AccountChange, Accounts, CreateOutcome, IssueOutcome, NewAccount, NewRefreshToken, PasswordHash,
    RefreshTokens, Rotation, StoredRefreshToken, TokenHash, UpdateOutcome,
};
pub use error::{BoxError, StoreError, WriteError};
pub use store::{
    ChangeFeed, Decide, DeviceCursor, DeviceCursors, Health, KeptRevision, RecordReader, ServedCursors,
    WriteStore,
};
pub use stores::Stores;
pub use system::{
    AccessClaims, AccessTokenError, AccessTokens, Clock, IdGenerator, PasswordHasher, Randomness,
};
pub use transfer::{DumpedRefreshToken, Loaded, RevisionPlace, Transfer, UserDump};

#[cfg(feature = "mock")]
pub use accounts::{MockAccounts, MockRefreshTokens};
#[cfg(feature = "mock")]
pub use store::{MockChangeFeed, MockDeviceCursors, MockHealth, MockRecordReader, MockWriteStore};
#[cfg(feature = "mock")]
pub use system::{MockAccessTokens, MockClock, MockIdGenerator, MockPasswordHasher, MockRandomness};
#[cfg(feature = "mock")]
pub use transfer::MockTransfer;
