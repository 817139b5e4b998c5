//! Smaller pictures: off the async workers, and no more pixels at once than the memory allows.
//!
//! A picture is small as a file and large as pixels: a few kilobytes may say that they are sixty thousand pixels wide. So its
//! size is read first, by hand ([`header`]), and what is too large is refused before a decoder sees it. What is decoded then
//! takes its pixels from a common store of them, and whoever finds too few left waits in line, in the order of arrival.

mod average;
mod header;
mod scale;
#[cfg(test)]
mod tests;
mod whole;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::{fmt, thread};

use async_trait::async_trait;
use bytes::Bytes;
use mosaic_ports::{BoxError, PictureError, Pictures, SmallerPicture};
use tokio::sync::Semaphore;
use tokio::task;

use self::header::Header;

/// What is counted where pictures wait for memory: a million pixels, of four bytes each while they are worked on.
const MEGAPIXEL: u64 = 1_000_000;

/// The longest side that is decoded: the longest that a JPEG can have.
const MAX_SIDE: u32 = 65_535;

/// How much is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureSettings {
    /// Pictures with more pixels than that are not decoded. A pixel of 16 bits for each colour counts as two, one of a progressive
    /// JPEG as three: that is the memory they take.
    pub max_pixels: u64,
    /// How many pixels the pictures have that are decoded at once, rounded up to millions. A picture that has more is decoded
    /// alone.
    pub pixels_at_once: u64,
}

impl Default for PictureSettings {
    /// 120 million pixels each, and at once: about half a gigabyte. 40 million of a progressive JPEG.
    fn default() -> Self {
        Self {
            max_pixels: 120 * MEGAPIXEL,
            pixels_at_once: 120 * MEGAPIXEL,
        }
    }
}

/// Makes smaller pictures of JPEG, PNG, WebP and GIF.
///
/// Opaque ones become JPEG, others PNG, with nothing beside their pixels but a profile of their RGB colours. Must be called
/// within a tokio runtime.
pub struct PictureScaler {
    max_pixels: u64,
    megapixels: Arc<Semaphore>,
    /// How many of them there are if nothing is decoded.
    all_megapixels: u32,
    cores: Arc<Semaphore>,
}

impl PictureScaler {
    /// A scaler that decodes at most so much, and keeps at most all cores busy.
    pub fn new(settings: PictureSettings) -> Self {
        let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self::with_cores(settings, cores.get())
    }

    fn with_cores(settings: PictureSettings, cores: usize) -> Self {
        let all_megapixels = megapixels(settings.pixels_at_once);
        Self {
            max_pixels: settings.max_pixels,
            megapixels: Arc::new(Semaphore::new(all_megapixels as usize)),
            all_megapixels,
            cores: Arc::new(Semaphore::new(cores)),
        }
    }

    /// The size of a picture that may be decoded.
    fn admit(&self, picture: &[u8]) -> Result<Header, PictureError> {
        let header =
            Header::read(picture).ok_or_else(|| unreadable("it has no header of a picture that is known"))?;
        let Header { width, height, .. } = header;
        if width == 0 || height == 0 {
            Err(unreadable("it has no pixels"))
        } else if width.max(height) > MAX_SIDE || header.pixels() > self.max_pixels {
            Err(PictureError::TooLarge { width, height })
        } else {
            Ok(header)
        }
    }

    /// Runs `work` on the blocking pool once there is memory for so many pixels, and a core.
    ///
    /// The permits move into the work: a caller who gives up does not free the memory that is still in use.
    async fn with_memory<T, F>(&self, pixels: u64, work: F) -> Result<T, PictureError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, PictureError> + Send + 'static,
    {
        let closed = |error| PictureError::Failed(BoxError::from(error));
        let weight = megapixels(pixels).min(self.all_megapixels);
        let memory = Arc::clone(&self.megapixels)
            .acquire_many_owned(weight)
            .await
            .map_err(closed)?;
        let core = Arc::clone(&self.cores).acquire_owned().await.map_err(closed)?;
        let task = task::spawn_blocking(move || {
            let outcome = work();
            drop((memory, core));
            outcome
        });
        match task.await {
            Ok(outcome) => outcome,
            // Bytes that a decoder stumbles over are no picture.
            Err(error) if error.is_panic() => Err(unreadable("its decoder panicked")),
            Err(error) => Err(PictureError::Failed(error.into())),
        }
    }
}

#[async_trait]
impl Pictures for PictureScaler {
    async fn smaller(&self, picture: Bytes, longest_side: u32) -> Result<SmallerPicture, PictureError> {
        let header = self.admit(&picture)?;
        self.with_memory(header.pixels(), move || {
            scale::smaller(&picture, header, longest_side)
        })
        .await
    }
}

impl Default for PictureScaler {
    fn default() -> Self {
        Self::new(PictureSettings::default())
    }
}

impl fmt::Debug for PictureScaler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PictureScaler")
            .field("max_pixels", &self.max_pixels)
            .field("free_megapixels", &self.megapixels.available_permits())
            .field("free_cores", &self.cores.available_permits())
            .finish_non_exhaustive()
    }
}

/// Pixels in millions, rounded up, at least one.
fn megapixels(pixels: u64) -> u32 {
    u32::try_from(pixels.div_ceil(MEGAPIXEL).max(1)).unwrap_or(u32::MAX)
}

fn unreadable(reason: &'static str) -> PictureError {
    PictureError::Unreadable(reason.into())
}
