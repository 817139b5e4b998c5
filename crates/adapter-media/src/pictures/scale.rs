//! From the bytes of a picture to those of a smaller one. Blocking work.

use std::io::Cursor;

use bytes::Bytes;
use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::codecs::png::{CompressionType, FilterType, PngDecoder, PngEncoder};
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{
    DynamicImage, ExtendedColorType, GrayImage, ImageDecoder, ImageEncoder, ImageError, ImageFormat,
    ImageResult, Limits, RgbImage, Rgba, RgbaImage,
};
use mosaic_domain::entity::MimeType;
use mosaic_ports::{PictureError, SmallerPicture};

use super::average::average;
use super::header::Header;
use super::whole::picture_of;
use super::{MAX_SIDE, MEGAPIXEL, megapixels, unreadable};

/// Of a JPEG: above it files grow quicker than anybody sees.
const QUALITY: u8 = 80;

/// What a decoder may take beside the pixels: a profile, a row, metadata that is unpacked.
const ASIDE_BYTES: u64 = 16 * 1024 * 1024;

/// Longer colour profiles are left out: they would outweigh the picture.
const MAX_PROFILE_BYTES: usize = 512 * 1024;

/// A picture of which only the pixels are left, upright, that fits into a square.
pub(super) fn smaller(
    bytes: &[u8],
    header: Header,
    longest_side: u32,
) -> Result<SmallerPicture, PictureError> {
    let picture =
        picture_of(bytes, header).ok_or_else(|| unreadable("it has no pixels, or its parts do not fit"))?;
    let refused = |error: ImageError| PictureError::Unreadable(error.into());
    let mut decoder = open(&picture, header).map_err(refused)?;
    if decoder.dimensions() != (header.width, header.height) {
        return Err(unreadable("its sizes do not agree"));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder
        .icc_profile()
        .ok()
        .flatten()
        .filter(|profile| is_rgb(profile));
    let picture = DynamicImage::from_decoder(decoder).map_err(refused)?;
    // Upright last: then it is the small one that is turned.
    let mut small = shrink(picture, longest_side);
    small.apply_orientation(orientation);
    encode(&small, profile).map_err(|error| PictureError::Failed(error.into()))
}

/// The decoder of a format, with limits on what it may take.
fn open(bytes: &[u8], header: Header) -> ImageResult<Box<dyn ImageDecoder + '_>> {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    let bytes = Cursor::new(bytes);
    let mut decoder: Box<dyn ImageDecoder + '_> = match header.format {
        ImageFormat::Png => {
            // It takes its limits at once, and none of them for the pixels.
            limits.max_alloc = Some(ASIDE_BYTES);
            return Ok(Box::new(PngDecoder::with_limits(bytes, limits)?));
        }
        ImageFormat::Jpeg => Box::new(JpegDecoder::new(bytes)?),
        ImageFormat::Gif => Box::new(GifDecoder::new(bytes)?),
        _ => Box::new(WebPDecoder::new(bytes)?),
    };
    let pixels = u64::from(megapixels(header.pixels())) * MEGAPIXEL;
    limits.max_alloc = Some(4 * pixels + ASIDE_BYTES);
    decoder.set_limits(limits)?;
    Ok(decoder)
}

/// Whether this is a profile of RGB colours, as the smaller picture has: one of other colours (CMYK) went with the decoding.
fn is_rgb(profile: &[u8]) -> bool {
    (128..=MAX_PROFILE_BYTES).contains(&profile.len())
        && &profile[16..20] == b"RGB "
        && &profile[36..40] == b"acsp"
}

/// Makes it fit into a square.
fn shrink(picture: DynamicImage, longest_side: u32) -> DynamicImage {
    let from = (picture.width(), picture.height());
    let to = fit(from.0, from.1, longest_side.max(1));
    if from == to {
        return picture;
    }
    let small = if picture.color().has_alpha() {
        let pixels = average::<4>(&picture.into_rgba8(), from, to);
        RgbaImage::from_raw(to.0, to.1, pixels).map(DynamicImage::from)
    } else if picture.color().has_color() {
        let pixels = average::<3>(&picture.into_rgb8(), from, to);
        RgbImage::from_raw(to.0, to.1, pixels).map(DynamicImage::from)
    } else {
        let pixels = average::<1>(&picture.into_luma8(), from, to);
        GrayImage::from_raw(to.0, to.1, pixels).map(DynamicImage::from)
    };
    small.expect("these are as many pixels as it is large")
}

/// The largest size of the same shape that fits into a square, and is no larger than it was.
fn fit(width: u32, height: u32, longest_side: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= longest_side {
        return (width, height);
    }
    let scaled = |side: u32| {
        let scaled =
            (u64::from(side) * u64::from(longest_side) + u64::from(longest) / 2) / u64::from(longest);
        u32::try_from(scaled).unwrap_or(longest_side).max(1)
    };
    (scaled(width), scaled(height))
}

/// JPEG where nothing shines through, else PNG.
fn encode(picture: &DynamicImage, profile: Option<Vec<u8>>) -> ImageResult<SmallerPicture> {
    let (width, height) = (picture.width(), picture.height());
    let mut bytes = Vec::new();
    let seen_through = picture
        .color()
        .has_alpha()
        .then(|| picture.to_rgba8())
        .filter(has_holes);
    let name = if let Some(pixels) = seen_through {
        let mut encoder =
            PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive);
        if let Some(profile) = profile {
            encoder
                .set_icc_profile(profile)
                .map_err(ImageError::Unsupported)?;
        }
        encoder.write_image(&pixels, width, height, ExtendedColorType::Rgba8)?;
        "image/png"
    } else {
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
        if picture.color().has_color() {
            if let Some(profile) = profile {
                encoder
                    .set_icc_profile(profile)
                    .map_err(ImageError::Unsupported)?;
            }
            encoder.encode(&picture.to_rgb8(), width, height, ExtendedColorType::Rgb8)?;
        } else {
            encoder.encode(&picture.to_luma8(), width, height, ExtendedColorType::L8)?;
        }
        "image/jpeg"
    };
    Ok(SmallerPicture {
        bytes: Bytes::from(bytes),
        mime_type: MimeType::new(name).expect("it is one of two"),
    })
}

/// Whether anything shines through.
fn has_holes(pixels: &RgbaImage) -> bool {
    pixels.pixels().any(|Rgba([.., alpha])| *alpha < u8::MAX)
}
