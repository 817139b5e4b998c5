//! Pictures as files.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, Frame, ImageEncoder, RgbaImage};

/// What stands in the description of a picture, and nowhere in a smaller one.
pub(super) const SECRET: &str = "GPS 52.5200 N 13.4050 E";

/// A lossy WebP of one pixel.
pub(super) const LOSSY_WEBP: &[u8] =
    b"RIFF\x22\0\0\0WEBPVP8 \x16\0\0\0\x30\x01\0\x9D\x01\x2A\x01\0\x01\0\x0E\xC0\xFE\x25\xA4\0\x03\x70\0\0\0\0";

/// What a picture says beside its pixels.
#[derive(Default)]
pub(super) struct Metadata {
    /// How the camera was held, 1 to 8; 0: it does not say.
    pub(super) orientation: u8,
    pub(super) profile: Option<Vec<u8>>,
}

impl Metadata {
    /// In the form of EXIF: an orientation, and a description.
    fn exif(&self) -> Vec<u8> {
        let mut exif = b"II*\0\x08\0\0\0\x02\0".to_vec();
        exif.extend(b"\x0E\x01\x02\0");
        exif.extend(u32::try_from(SECRET.len() + 1).unwrap().to_le_bytes());
        exif.extend(38_u32.to_le_bytes());
        exif.extend(b"\x12\x01\x03\0\x01\0\0\0");
        exif.extend([self.orientation, 0, 0, 0]);
        exif.extend([0; 4]);
        exif.extend(SECRET.as_bytes());
        exif.push(0);
        exif
    }

    fn write(&self, mut encoder: impl ImageEncoder, picture: &DynamicImage) {
        if self.orientation > 0 {
            encoder.set_exif_metadata(self.exif()).unwrap();
        }
        if let Some(profile) = &self.profile {
            encoder.set_icc_profile(profile.clone()).unwrap();
        }
        let (width, height) = (picture.width(), picture.height());
        encoder
            .write_image(picture.as_bytes(), width, height, picture.color().into())
            .unwrap();
    }
}

pub(super) fn jpeg(picture: impl Into<DynamicImage>, metadata: &Metadata) -> Vec<u8> {
    let mut file = Vec::new();
    metadata.write(JpegEncoder::new_with_quality(&mut file, 90), &picture.into());
    file
}

pub(super) fn png(picture: impl Into<DynamicImage>, metadata: &Metadata) -> Vec<u8> {
    let mut file = Vec::new();
    metadata.write(PngEncoder::new(&mut file), &picture.into());
    file
}

/// A lossless WebP.
pub(super) fn webp<P>(picture: &P, metadata: &Metadata) -> Vec<u8>
where
    P: Clone + Into<DynamicImage>,
{
    let mut file = Vec::new();
    metadata.write(WebPEncoder::new_lossless(&mut file), &picture.clone().into());
    file
}

pub(super) fn gif(frames: &[RgbaImage]) -> Vec<u8> {
    let mut file = Vec::new();
    GifEncoder::new(&mut file)
        .encode_frames(frames.iter().cloned().map(Frame::new))
        .unwrap();
    file
}

fn chunk(name: &[u8], body: &[u8]) -> Vec<u8> {
    let mut chunk = name.to_vec();
    chunk.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    chunk.extend(body);
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    chunk
}

fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for chunk in chunks {
        body.extend(chunk);
    }
    let mut file = b"RIFF".to_vec();
    file.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    file.extend(body);
    file
}

/// The header of a WebP with several parts.
fn canvas(flags: u8, width: u32, height: u32) -> Vec<u8> {
    let mut body = vec![flags, 0, 0, 0];
    body.extend(&(width - 1).to_le_bytes()[..3]);
    body.extend(&(height - 1).to_le_bytes()[..3]);
    chunk(b"VP8X", &body)
}

/// A WebP of several frames.
pub(super) fn animated_webp(frames: &[RgbaImage]) -> Vec<u8> {
    let (width, height) = frames[0].dimensions();
    let mut chunks = vec![canvas(0b10, width, height), chunk(b"ANIM", &[0; 6])];
    for frame in frames {
        let mut body = vec![0; 6];
        body.extend(&(width - 1).to_le_bytes()[..3]);
        body.extend(&(height - 1).to_le_bytes()[..3]);
        body.extend([100, 0, 0, 0]);
        body.extend(&webp(frame, &Metadata::default())[12..]);
        chunks.push(chunk(b"ANMF", &body));
    }
    riff(&chunks)
}

/// A WebP that says that it is small, and has a frame of another size.
pub(super) fn webp_of_frame(width: u16, height: u16) -> Vec<u8> {
    let mut body = vec![0x30, 0x01, 0, 0x9D, 0x01, 0x2A];
    body.extend(width.to_le_bytes());
    body.extend(height.to_le_bytes());
    body.extend([0x0E, 0xC0, 0xFE, 0x25, 0xA4, 0, 0x03, 0x70, 0, 0, 0, 0]);
    riff(&[canvas(0, 1, 1), chunk(b"VP8 ", &body)])
}

pub(super) fn webp_header(width: u32, height: u32) -> Vec<u8> {
    riff(&[canvas(0, width, height)])
}

pub(super) fn gif_header(width: u16, height: u16) -> Vec<u8> {
    let mut file = b"GIF89a".to_vec();
    file.extend(width.to_le_bytes());
    file.extend(height.to_le_bytes());
    file.extend(b"\x80\0\0\0\0\0\xFF\xFF\xFF");
    file
}

fn png_chunk(name: &[u8], body: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(name);
    crc.update(body);
    let mut chunk = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    chunk.extend(name);
    chunk.extend(body);
    chunk.extend(crc.sum().to_be_bytes());
    chunk
}

/// The header of a PNG with so many bits for each colour, of this kind.
fn png_start(width: u32, height: u32, bits: u8, kind: u8) -> Vec<u8> {
    let mut body = width.to_be_bytes().to_vec();
    body.extend(height.to_be_bytes());
    body.extend([bits, kind, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1A\n".to_vec();
    file.extend(png_chunk(b"IHDR", &body));
    file
}

pub(super) fn png_header(width: u32, height: u32) -> Vec<u8> {
    png_start(width, height, 8, 2)
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A PNG with a palette of two colours, and a bit for each pixel.
pub(super) fn palette_png(
    width: u32,
    height: u32,
    palette: [[u8; 3]; 2],
    second: impl Fn(u32, u32) -> bool,
) -> Vec<u8> {
    let mut rows = Vec::new();
    for y in 0..height {
        rows.push(0);
        for byte in 0..width.div_ceil(8) {
            let bit = |at| u8::from(second(8 * byte + at, y)) << (7 - at);
            rows.push((0..8).map(bit).sum());
        }
    }
    let mut file = png_start(width, height, 1, 3);
    file.extend(png_chunk(b"PLTE", palette.as_flattened()));
    file.extend(png_chunk(b"IDAT", &packed(&rows)));
    file.extend(png_chunk(b"IEND", &[]));
    file
}

/// A PNG of one pixel, and a colour profile that is small as long as it is packed.
pub(super) fn png_with_large_profile() -> Vec<u8> {
    let mut profile = b"a\0\0".to_vec();
    profile.extend(packed(&vec![0; 17 << 20]));
    let mut file = png_start(1, 1, 8, 2);
    file.extend(png_chunk(b"iCCP", &profile));
    file.extend(png_chunk(b"IDAT", &packed(&[0; 4])));
    file.extend(png_chunk(b"IEND", &[]));
    file
}

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    let mut segment = vec![0xFF, marker];
    segment.extend(u16::try_from(body.len() + 2).unwrap().to_be_bytes());
    segment.extend(body);
    segment
}

fn frame(width: u16, height: u16, components: u8) -> Vec<u8> {
    let mut body = vec![8];
    body.extend(height.to_be_bytes());
    body.extend(width.to_be_bytes());
    body.push(components);
    (1..=components).for_each(|component| body.extend([component, 0x11, 0]));
    segment(0xC0, &body)
}

pub(super) fn jpeg_header(width: u16, height: u16) -> Vec<u8> {
    let mut file = vec![0xFF, 0xD8];
    file.extend(frame(width, height, 3));
    file
}

/// A JPEG of 8 x 8 pixels of one colour of four inks, as Adobe's programs write them.
pub(super) fn cmyk_jpeg(inks: [u8; 4]) -> Vec<u8> {
    let mut file = vec![0xFF, 0xD8];
    file.extend(segment(0xEE, b"Adobe\0\x64\0\0\0\0\0"));
    // All steps are of 8, so that the first coefficient of a block is its colour.
    let mut steps = vec![0];
    steps.extend([8; 64]);
    file.extend(segment(0xDB, &steps));
    file.extend(frame(8, 8, 4));
    // How many bits a colour takes, 0 to 8: itself in four bits. And that nothing else follows: in one.
    let mut sizes = vec![0, 0, 0, 0, 9];
    sizes.extend([0; 12]);
    sizes.extend(0..=8);
    file.extend(segment(0xC4, &sizes));
    let mut end = vec![0x10, 1];
    end.extend([0; 15]);
    end.push(0);
    file.extend(segment(0xC4, &end));
    file.extend(segment(0xDA, &[4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0]));
    let mut bits = String::new();
    for ink in inks {
        let value = i32::from(ink) - 128;
        let size = (32 - value.unsigned_abs().leading_zeros()) as usize;
        let code = if value < 0 { value + (1 << size) - 1 } else { value };
        write!(bits, "{size:04b}").unwrap();
        if size > 0 {
            write!(bits, "{code:0size$b}").unwrap();
        }
        bits.push('0');
    }
    while !bits.len().is_multiple_of(8) {
        bits.push('1');
    }
    for byte in bits.as_bytes().chunks(8) {
        let byte = byte.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0'));
        file.push(byte);
        if byte == 0xFF {
            file.push(0);
        }
    }
    file.extend([0xFF, 0xD9]);
    file
}
