//! What of a file a decoder may be let at: its picture, of one size.

use std::borrow::Cow;

use image::ImageFormat;

use super::header::{Header, be16, le32, marker, webp_frame};

/// What a decoder may be let at; `None` where the parts of the picture do not fit.
pub(super) fn picture_of(bytes: &[u8], header: Header) -> Option<Cow<'_, [u8]>> {
    match header.format {
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::WebP => webp(bytes, header).then_some(Cow::Borrowed(bytes)),
        _ => Some(Cow::Borrowed(bytes)),
    }
}

/// A JPEG up to its end. Panoramas of phones have no marker there, and what the camera noted, or another picture, comes right
/// behind the pixels: it ends before the first thing that can't stand between two scans, and gets its marker. It has one
/// frame: a second one could have another size. Where pixels are missing the picture is grey.
fn jpeg(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    const END: u8 = 0xD9;
    let mut at = 2;
    let (mut frames, mut scans) = (0, 0);
    let end = loop {
        let behind = at;
        let Some(marker) = marker(bytes, &mut at) else {
            break bytes.len();
        };
        match marker {
            END if frames == 1 => return Some(Cow::Borrowed(bytes)),
            0x01 | 0xD0..=0xD7 => continue,
            // Tables, and what is said of the picture: before the pixels and between the scans.
            0xC4 | 0xCC | 0xDB..=0xDD | 0xE0..=0xEF | 0xFE => {}
            0xDA => scans += 1,
            // After the pixels nothing else is of this picture.
            _ if scans > 0 => break behind + bytes[behind..at].iter().rposition(|byte| *byte == 0xFF)?,
            0xD8 => continue,
            0xC0..=0xCF => frames += 1,
            _ => {}
        }
        // Behind the header of a scan come its pixels, in which the bytes of a marker do not occur.
        let Some(length) = be16(bytes, at) else {
            break bytes.len();
        };
        at += usize::try_from(length.max(2)).ok()?;
    };
    let picture = &bytes[..end];
    (frames == 1 && scans > 0).then(|| Cow::Owned([picture, &[0xFF, END]].concat()))
}

/// The frames of a WebP are decoded before it is seen that they are larger than the picture.
fn webp(bytes: &[u8], header: Header) -> bool {
    let fits = |at| {
        webp_frame(bytes, at).is_none_or(|(width, height)| width <= header.width && height <= header.height)
    };
    let mut at = 12;
    while let Some(size) = le32(bytes, at + 4) {
        if !fits(at) {
            return false;
        }
        at += if bytes[at..].starts_with(b"ANMF") {
            // What is in it follows.
            8 + 16
        } else {
            let Ok(size) = usize::try_from(size) else {
                return false;
            };
            8 + size.next_multiple_of(2)
        };
    }
    true
}
