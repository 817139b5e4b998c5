//! Whether a picture is all there, and of one size, where its decoder would not notice.

use image::ImageFormat;

use super::header::{Header, be16, le32, marker, webp_frame};

/// Whether a decoder may be let at a picture.
pub(super) fn is_whole(bytes: &[u8], header: Header) -> bool {
    match header.format {
        ImageFormat::Jpeg => jpeg(bytes).is_some(),
        ImageFormat::WebP => webp(bytes, header),
        _ => true,
    }
}

/// A JPEG that is cut off would be decoded, and be grey from there on. So its end is looked for, past segments that may hold
/// another one (a small picture of the camera's). It has one frame: a second one could have another size.
fn jpeg(bytes: &[u8]) -> Option<()> {
    let mut at = 2;
    let mut frames = 0;
    loop {
        let marker = marker(bytes, &mut at)?;
        match marker {
            0xD9 => return (frames == 1).then_some(()),
            0x01 | 0xD0..=0xD8 => continue,
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => frames += 1,
            _ => {}
        }
        // Behind the header of a scan come its pixels, in which the bytes of a marker do not occur.
        at += usize::try_from(be16(bytes, at)?.max(2)).ok()?;
    }
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
