//! What bytes are, and smaller pictures of them.

#![cfg_attr(
    feature = "mock",
    expect(clippy::ref_option_ref, reason = "the mock keeps references to its arguments")
)]

use async_trait::async_trait;
use bytes::Bytes;
use mosaic_domain::entity::{Filename, MimeType};

use crate::error::BoxError;

/// Recognises what bytes are.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait MediaTypes: Send + Sync {
    /// The type of a file, by its beginning ([`HEAD_BYTES`] of it, or all where it is shorter). What was declared, and the ending
    /// of the name, decide only between types that the bytes do not tell apart.
    #[expect(clippy::needless_lifetimes, reason = "the mock needs it named")]
    fn recognise<'a>(&self, head: &[u8], declared: Option<&'a MimeType>, filename: &Filename) -> MimeType;
}

/// How much of a file's beginning [`MediaTypes`] is shown, in bytes.
pub const HEAD_BYTES: usize = 8 * 1024;

/// A smaller picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmallerPicture {
    /// The picture, as a file. It carries no metadata but its colour profile.
    pub bytes: Bytes,
    /// What kind of picture it is.
    pub mime_type: MimeType,
}

/// Why there is no smaller picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// It is no picture of a kind that is known, or a damaged one.
    #[error("the picture can not be read")]
    Unreadable(#[source] BoxError),
    /// It says that it has more pixels than are ever decoded.
    #[error("the picture has {width} x {height} pixels, which is more than is decoded")]
    TooLarge {
        /// How wide it says that it is.
        width: u32,
        /// How high it says that it is.
        height: u32,
    },
    /// Anything else.
    #[error("making a smaller picture failed")]
    Failed(#[source] BoxError),
}

/// Makes smaller pictures.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Pictures: Send + Sync {
    /// A picture (JPEG, PNG, WebP, or the first frame of a GIF) that fits into a square of `longest_side` pixels, never larger than it was. It stands
    /// upright, whatever way the camera was held, and says nothing of where or when it was taken.
    ///
    /// Decodes no picture before it has looked at its size, off the async workers, and no more at once than the memory
    /// allows: others wait.
    ///
    /// # Errors
    /// [`PictureError`].
    async fn smaller(&self, picture: Bytes, longest_side: u32) -> Result<SmallerPicture, PictureError>;
}
