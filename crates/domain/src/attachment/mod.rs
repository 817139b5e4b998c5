//! The bytes behind resources and avatars: what a user may store, and what of it is still needed (rules A1, A4, A6).
//!
//! Stores load facts under the user's lock, ask one function here, and carry out what it answers. No function does any
//! I/O: a store may ask again when its database wants the transaction to be repeated.
//!
//! A *content* is what one hash stands for, within one user: the same bytes are stored once, in one *blob*. The bytes
//! themselves are elsewhere; here are their names. Names of blobs are made anew for everything that is stored, and never
//! given again.

mod contents;
mod garbage;
mod upload;

pub use contents::{
    AttachmentUsage, Avatar, ContentRef, ReferenceOutcome, VariantRef, add_variant, reference, replace,
};
pub use garbage::{AvatarFacts, CollectPlan, Collected, ContentFacts, collect};
pub use upload::{
    AppendOutcome, BeginOutcome, ExpirePlan, ExpiredUpload, LengthOutcome, Upload, UploadFacts, UploadKind,
    UploadPart, UploadState, append, begin, expire, settle_length,
};
