//! Where the bytes of attachments are: [`LocalBlobs`] in a folder, [`S3Blobs`] in storage that speaks S3. Both are a
//! [`BlobStore`](mosaic_ports::BlobStore), and both run the suite `blob_conformance!` of `mosaic-testkit`.
//!
//! * The folder is written over `std::fs` on tokio's blocking pool, not over `object_store`'s `LocalFileSystem`: that one
//!   calls no `fsync`, so what it says is stored may be gone after a power cut; it puts unfinished files beside finished ones,
//!   reads a whole tree before it can list in order, and sets no modes. What is left of it would be `open` and `read`.
//! * S3 is spoken by `object_store`'s `AmazonS3`: requests, signatures, retries, presigned addresses. The one thing that it
//!   does not know, to list the multipart uploads that were left behind, is asked for with an address that it signs (`s3::uploads`).
//! * Its HTTP client is ours, over hyper and rustls with ring: that takes fewer crates than `reqwest` would.

mod blocking;
mod local;
mod name;
mod s3;

pub use local::{LocalBlobs, LocalSettings, OpenFolderError};
pub use s3::{S3Blobs, S3Settings, S3SettingsError, Secret};
