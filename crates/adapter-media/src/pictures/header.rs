//! What a picture says of its size, read without decoding anything.

use image::ImageFormat;

/// JPEGs with more in front of their size are refused, in segments and in bytes. Those of phones have some dozens of them, and a
/// few megabytes where a map of depths is among them.
const MAX_SEGMENTS: usize = 10_000;
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// What a picture says of itself before its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) format: ImageFormat,
    pub(super) width: u32,
    pub(super) height: u32,
    /// How much memory a pixel takes while it is decoded, in pixels of four bytes: 2 where each colour has 16 bits, 3 where all
    /// coefficients of a JPEG are held until its last scan.
    pub(super) cost: u64,
}

impl Header {
    /// Reads the header of a JPEG, PNG, WebP or GIF.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let header = |format, (width, height)| Self {
            format,
            width,
            height,
            cost: 1,
        };
        if bytes.starts_with(&[0xFF, 0xD8]) {
            let (marker, size) = jpeg(bytes)?;
            Some(Self {
                cost: if is_progressive(marker) { 3 } else { 1 },
                ..header(ImageFormat::Jpeg, size)
            })
        } else if bytes.starts_with(b"\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR") {
            let size = (be32(bytes, 16)?, be32(bytes, 20)?);
            Some(Self {
                cost: if *bytes.get(24)? == 16 { 2 } else { 1 },
                ..header(ImageFormat::Png, size)
            })
        } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
            Some(header(ImageFormat::Gif, (le16(bytes, 6)?, le16(bytes, 8)?)))
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12)? == b"WEBP" {
            Some(header(ImageFormat::WebP, webp(bytes)?))
        } else {
            None
        }
    }

    /// How many pixels it takes the memory of.
    pub(super) fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * self.cost
    }
}

/// Whether the frame that begins with this marker comes in several scans.
const fn is_progressive(frame: u8) -> bool {
    matches!(frame, 0xC2 | 0xC6 | 0xCA | 0xCE)
}

/// The marker of the first frame header of a JPEG, and the size in it.
fn jpeg(bytes: &[u8]) -> Option<(u8, (u32, u32))> {
    let bytes = &bytes[..bytes.len().min(MAX_BYTES)];
    let mut at = 2;
    for _ in 0..MAX_SEGMENTS {
        let marker = marker(bytes, &mut at)?;
        match marker {
            // The frame headers, but for three markers that mean something else.
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                return Some((marker, (be16(bytes, at + 5)?, be16(bytes, at + 3)?)));
            }
            // The pixels, or the end, without a frame.
            0xD9 | 0xDA => return None,
            0x01 | 0xD0..=0xD8 => {}
            _ => at += usize::try_from(be16(bytes, at)?.max(2)).ok()?,
        }
    }
    None
}

/// The next marker of a JPEG, and moves behind it. What lies between segments is skipped.
pub(super) fn marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        let rest = bytes.get(*at..)?;
        *at += rest.iter().position(|byte| *byte == 0xFF)? + 1;
        while *bytes.get(*at)? == 0xFF {
            *at += 1;
        }
        let marker = *bytes.get(*at)?;
        *at += 1;
        if marker != 0 {
            return Some(marker);
        }
    }
}

/// The size in the first chunk of a WebP.
fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    match bytes.get(12..16)? {
        b"VP8X" => Some((le24(bytes, 24)? + 1, le24(bytes, 27)? + 1)),
        _ => webp_frame(bytes, 12),
    }
}

/// The size in a chunk of pixels of a WebP, that begins at `at`.
pub(super) fn webp_frame(bytes: &[u8], at: usize) -> Option<(u32, u32)> {
    let body = at + 8;
    match bytes.get(at..at + 4)? {
        b"VP8 " => Some((le16(bytes, body + 6)? & 0x3FFF, le16(bytes, body + 8)? & 0x3FFF)),
        b"VP8L" => {
            let bits = le32(bytes, body + 1)?;
            Some(((bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1))
        }
        _ => None,
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|two| u16::from_be_bytes(two).into())
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|two| u16::from_le_bytes(two).into())
}

fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|[low, middle, high]| u32::from_le_bytes([low, middle, high, 0]))
}

pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}
