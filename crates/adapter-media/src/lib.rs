//! What bytes are, and smaller pictures of them.
//!
//! | port | adapter |
//! |---|---|
//! | [`MediaTypes`](mosaic_ports::MediaTypes) | [`Signatures`] |
//! | [`Pictures`](mosaic_ports::Pictures) | [`PictureScaler`] |
//!
//! Both are shown bytes of strangers. The sizes of a picture are read here, by hand and within bounds, before a decoder of
//! the `image` crate sees any of it.

mod pictures;
mod types;

pub use pictures::{PictureScaler, PictureSettings};
pub use types::Signatures;
