mod turns;

mod files;

use std::sync::mpsc;
use std::time::Duration;

use image::{
    DynamicImage, GenericImageView, GrayImage, ImageDecoder, ImageReader, Rgb, RgbImage, Rgba, RgbaImage,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use tokio::time::timeout;

use self::files::{Metadata, gif, jpeg, png, webp};
use super::*;

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const WHITE: [u8; 3] = [255, 255, 255];

/// Red, green, blue and white, from the upper left to the lower right.
fn quarters(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb(match (x < width / 2, y < height / 2) {
            (true, true) => RED,
            (false, true) => GREEN,
            (true, false) => BLUE,
            (false, false) => WHITE,
        })
    })
}

/// The colours of the corners, from the upper left to the lower right.
fn corners(picture: &DynamicImage) -> [[u8; 3]; 4] {
    let (right, lower) = (picture.width() - 2, picture.height() - 2);
    [(1, 1), (right, 1), (1, lower), (right, lower)].map(|(x, y)| {
        let Rgba([red, green, blue, _]) = picture.get_pixel(x, y);
        [red, green, blue].map(|colour| if colour < 128 { 0 } else { 255 })
    })
}

fn smaller_now(picture: &[u8], longest_side: u32) -> Result<SmallerPicture, PictureError> {
    let header = PictureScaler::default().admit(picture)?;
    scale::smaller(picture, header, longest_side)
}

/// What became of a picture: its kind, and its pixels.
fn smaller(picture: &[u8], longest_side: u32) -> (String, DynamicImage) {
    let small = smaller_now(picture, longest_side).unwrap();
    let pixels = image::load_from_memory(&small.bytes).unwrap();
    (small.mime_type.as_str().to_owned(), pixels)
}

fn profile_of(picture: &[u8]) -> Option<Vec<u8>> {
    let reader = ImageReader::new(std::io::Cursor::new(picture));
    let mut decoder = reader.with_guessed_format().unwrap().into_decoder().unwrap();
    decoder.icc_profile().unwrap()
}

/// The first part of a colour profile, as far as anybody looks at it here.
fn profile(colours: &[u8]) -> Vec<u8> {
    let mut profile = vec![0; 400];
    profile[16..20].copy_from_slice(colours);
    profile[36..40].copy_from_slice(b"acsp");
    profile
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn is_unreadable(picture: &[u8]) -> bool {
    matches!(smaller_now(picture, 320), Err(PictureError::Unreadable(_)))
}

#[test]
fn pictures_fit_and_keep_their_shape() {
    for (from, longest, to) in [
        ((1600, 1200), 320, (320, 240)),
        ((1200, 1600), 320, (240, 320)),
        ((2000, 1000), 1600, (1600, 800)),
        ((1000, 2000), 1600, (800, 1600)),
        ((1601, 1601), 1600, (1600, 1600)),
        ((1600, 900), 1600, (1600, 900)),
        ((320, 320), 320, (320, 320)),
        ((100, 50), 320, (100, 50)),
        ((1, 1), 320, (1, 1)),
        ((3000, 2), 320, (320, 1)),
        ((2, 3000), 320, (1, 320)),
        ((640, 480), 1, (1, 1)),
        ((640, 480), 0, (1, 1)),
    ] {
        let picture = GrayImage::from_pixel(from.0, from.1, image::Luma([200]));
        let (_, small) = smaller(&png(picture, &Metadata::default()), longest);
        assert_eq!(small.dimensions(), to, "{from:?} into {longest}");
        let Rgba([grey, ..]) = small.get_pixel(0, 0);
        assert!(grey.abs_diff(200) < 3, "{from:?} into {longest}: {grey}");
    }
}

#[test]
fn pictures_stand_upright_whatever_way_the_camera_was_held() {
    let seen = [
        [RED, GREEN, BLUE, WHITE],
        [GREEN, RED, WHITE, BLUE],
        [WHITE, BLUE, GREEN, RED],
        [BLUE, WHITE, RED, GREEN],
        [RED, BLUE, GREEN, WHITE],
        [BLUE, RED, WHITE, GREEN],
        [WHITE, GREEN, BLUE, RED],
        [GREEN, WHITE, RED, BLUE],
    ];
    for (orientation, seen) in (1..).zip(seen) {
        let metadata = Metadata {
            orientation,
            profile: None,
        };
        let turned = orientation >= 5;
        for file in [
            jpeg(quarters(64, 32), &metadata),
            png(quarters(64, 32), &metadata),
            webp(&quarters(64, 32), &metadata),
        ] {
            for (longest, long, short) in [(320, 64, 32), (32, 32, 16)] {
                let (_, small) = smaller(&file, longest);
                let size = if turned { (short, long) } else { (long, short) };
                assert_eq!(small.dimensions(), size, "{orientation}");
                assert_eq!(corners(&small), seen, "{orientation}");
            }
        }
    }
}

#[test]
fn nothing_is_left_of_where_and_when_a_picture_was_taken() {
    let metadata = Metadata {
        orientation: 1,
        profile: Some(profile(b"RGB ")),
    };
    let opaque = quarters(64, 32);
    let seen_through = RgbaImage::from_pixel(64, 32, Rgba([1, 2, 3, 100]));
    for file in [
        jpeg(opaque.clone(), &metadata),
        png(opaque.clone(), &metadata),
        png(seen_through, &metadata),
        webp(&opaque, &metadata),
    ] {
        assert!(contains(&file, files::SECRET.as_bytes()), "it is in the original");
        for longest in [16, 320] {
            let small = smaller_now(&file, longest).unwrap().bytes;
            for part in [
                files::SECRET.as_bytes(),
                b"Exif",
                b"EXIF",
                b"eXIf",
                b"GPS",
                b"tEXt",
                b"http:",
            ] {
                assert!(!contains(&small, part), "{part:?}");
            }
        }
    }
}

#[test]
fn profiles_of_rgb_are_kept_and_no_others() {
    let rgb = profile(b"RGB ");
    let with = |profile: Vec<u8>| Metadata {
        orientation: 1,
        profile: Some(profile),
    };
    let seen_through = RgbaImage::from_pixel(64, 32, Rgba([1, 2, 3, 100]));
    for (file, kept) in [
        (jpeg(quarters(64, 32), &with(rgb.clone())), true),
        (png(quarters(64, 32), &with(rgb.clone())), true),
        (png(seen_through, &with(rgb.clone())), true),
        (webp(&quarters(64, 32), &with(rgb.clone())), true),
        (jpeg(quarters(64, 32), &with(profile(b"CMYK"))), false),
        (png(quarters(64, 32), &with(profile(b"GRAY"))), false),
        (png(GrayImage::new(64, 32), &with(rgb.clone())), false),
        (jpeg(quarters(64, 32), &with(rgb[..100].to_vec())), false),
        (jpeg(quarters(64, 32), &with(vec![0; 400])), false),
    ] {
        let small = smaller_now(&file, 32).unwrap().bytes;
        assert_eq!(profile_of(&small), kept.then(|| rgb.clone()));
    }
}

#[test]
fn pictures_of_all_kinds_of_colours_are_read() {
    let colours = DynamicImage::from(quarters(64, 64));
    for (picture, kind) in [
        (colours.to_rgb8().into(), "image/jpeg"),
        (colours.to_rgba8().into(), "image/jpeg"),
        (colours.to_rgb16().into(), "image/jpeg"),
        (colours.to_rgba16().into(), "image/jpeg"),
    ] {
        let picture: DynamicImage = picture;
        let (became, small) = smaller(&png(picture, &Metadata::default()), 32);
        assert_eq!((became.as_str(), small.dimensions()), (kind, (32, 32)));
        assert_eq!(corners(&small), [RED, GREEN, BLUE, WHITE]);
    }
    let black = [0; 3];
    let shades: DynamicImage =
        GrayImage::from_fn(64, 64, |x, _| image::Luma([if x < 32 { 0 } else { 255 }])).into();
    let files = [
        png(shades.to_luma8(), &Metadata::default()),
        png(shades.to_luma_alpha8(), &Metadata::default()),
        png(shades.to_luma16(), &Metadata::default()),
        png(shades.to_luma_alpha16(), &Metadata::default()),
        jpeg(shades.to_luma8(), &Metadata::default()),
        files::palette_png(64, 64, [black, WHITE], |x, _| x >= 32),
        gif(&[shades.to_rgba8()]),
        webp(&shades.to_rgb8(), &Metadata::default()),
    ];
    for file in files {
        let (became, small) = smaller(&file, 32);
        assert_eq!(became, "image/jpeg");
        assert_eq!(corners(&small), [black, WHITE, black, WHITE]);
    }
}

#[test]
fn pictures_for_printers_are_read() {
    // In files of Adobe's, 255 is no ink.
    let (_, small) = smaller(&files::cmyk_jpeg([0, 255, 255, 255]), 320);
    assert_eq!(small.dimensions(), (8, 8));
    let Rgba([red, green, blue, _]) = small.get_pixel(4, 4);
    assert!(
        red < 30 && green > 200 && blue > 200,
        "cyan: {red} {green} {blue}"
    );
}

#[test]
fn lossy_webps_are_read() {
    let (kind, small) = smaller(files::LOSSY_WEBP, 320);
    assert_eq!((kind.as_str(), small.dimensions()), ("image/jpeg", (1, 1)));
}

#[test]
fn of_a_film_the_first_frame_is_taken() {
    let frames =
        [RED, GREEN].map(|[red, green, blue]| RgbaImage::from_pixel(16, 16, Rgba([red, green, blue, 255])));
    for film in [gif(&frames), files::animated_webp(&frames)] {
        let (kind, small) = smaller(&film, 320);
        assert_eq!((kind.as_str(), corners(&small)[0]), ("image/jpeg", RED));
    }
}

#[test]
fn what_is_seen_through_stays_so() {
    let half = RgbaImage::from_fn(64, 64, |x, _| {
        Rgba(if x < 32 { [255, 0, 0, 255] } else { [0, 255, 0, 0] })
    });
    for file in [
        png(half.clone(), &Metadata::default()),
        webp(&half, &Metadata::default()),
        gif(std::slice::from_ref(&half)),
    ] {
        for longest in [320, 31] {
            let (kind, small) = smaller(&file, longest);
            assert_eq!(kind, "image/png");
            let end = small.width() - 1;
            assert_eq!(small.get_pixel(0, 5), Rgba([255, 0, 0, 255]));
            assert_eq!(small.get_pixel(end, 5).0[3], 0);
            let red_only = small
                .pixels()
                .all(|(.., Rgba([_, green, _, alpha]))| alpha == 0 || green == 0);
            assert!(
                red_only || longest == 320,
                "the colour of what is not seen shines through"
            );
        }
    }
}

#[test]
fn what_says_that_it_is_too_large_is_refused_by_its_header() {
    for (what, file) in [
        ("png", files::png_header(60_000, 60_000)),
        ("jpeg", files::jpeg_header(60_000, 60_000)),
        ("gif", files::gif_header(60_000, 60_000)),
        ("webp", files::webp_header(60_000, 60_000)),
    ] {
        let refused = smaller_now(&file, 320);
        let at_once = matches!(
            refused,
            Err(PictureError::TooLarge {
                width: 60_000,
                height: 60_000
            })
        );
        assert!(at_once, "{what}: {refused:?}");
    }
    for (width, height) in [(65_536, 1), (1, 65_536), (u32::MAX, u32::MAX), (12_001, 10_000)] {
        let refused = smaller_now(&files::png_header(width, height), 320);
        assert!(
            matches!(refused, Err(PictureError::TooLarge { .. })),
            "{width} x {height}"
        );
    }
}

#[test]
fn pixels_of_16_bits_count_as_two() {
    let deep = png(DynamicImage::new_rgb16(100, 100), &Metadata::default());
    let flat = png(DynamicImage::new_rgb8(100, 100), &Metadata::default());
    let admits = |max_pixels, file: &[u8]| {
        let settings = PictureSettings {
            max_pixels,
            ..PictureSettings::default()
        };
        PictureScaler::new(settings).admit(file).is_ok()
    };
    assert!(admits(10_000, &flat) && !admits(9_999, &flat));
    assert!(admits(20_000, &deep) && !admits(19_999, &deep));
}

/// Some kilobytes took a gigabyte.
#[test]
fn pixels_of_a_progressive_jpeg_count_as_three() {
    let mut file = files::jpeg_header(8_000, 5_001);
    let admits = |file: &[u8]| PictureScaler::default().admit(file).is_ok();
    assert!(admits(&file));
    let frame = file.windows(2).position(|two| two == [0xFF, 0xC0]).unwrap();
    file[frame + 1] = 0xC2;
    assert!(!admits(&file));
    assert_eq!(Header::read(&file).unwrap().pixels(), 3 * 8_000 * 5_001);
}

#[test]
fn a_small_file_of_many_pixels_is_read() {
    let file = png(GrayImage::new(30_000, 3_000), &Metadata::default());
    assert!(file.len() < 1_000_000);
    let (_, small) = smaller(&file, 320);
    assert_eq!(small.dimensions(), (320, 32));
}

#[test]
fn what_is_no_picture_or_a_damaged_one_is_unreadable() {
    let noise = RgbImage::from_fn(64, 64, |x, y| {
        Rgb([x * y, x * 31, y * 17].map(|colour| colour.to_le_bytes()[0]))
    });
    let none = Metadata::default();
    let (jpeg, png, webp) = (
        jpeg(noise.clone(), &none),
        png(noise.clone(), &none),
        webp(&noise, &none),
    );
    let gif = gif(&[DynamicImage::from(noise).to_rgba8()]);
    let scan = jpeg.windows(2).position(|two| two == [0xFF, 0xDA]).unwrap();
    let mut bad_crc = png.clone();
    let pixels = bad_crc.windows(4).position(|four| four == b"IDAT").unwrap();
    bad_crc[pixels + 20] ^= 0xFF;
    let mut two_frames = jpeg.clone();
    let frame = two_frames.windows(2).position(|two| two == [0xFF, 0xC0]).unwrap();
    two_frames.splice(frame..frame, files::jpeg_header(9_000, 9_000)[2..].to_vec());
    for (what, file) in [
        ("nothing", Vec::new()),
        ("text", b"A short note.".to_vec()),
        ("svg", b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec()),
        (
            "bmp",
            b"BM\x3A\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0".to_vec(),
        ),
        ("half a png", png[..png.len() / 2].to_vec()),
        ("half a webp", webp[..webp.len() / 2].to_vec()),
        ("half a gif", gif[..gif.len() / 2].to_vec()),
        ("the header of a jpeg", files::jpeg_header(100, 100)),
        ("the header of a png", files::png_header(100, 100)),
        ("the header of a webp", files::webp_header(100, 100)),
        ("the header of a gif", files::gif_header(100, 100)),
        ("no pixels", files::gif_header(0, 100)),
        ("a jpeg before its pixels", jpeg[..scan].to_vec()),
        ("a bad checksum", bad_crc),
        ("a jpeg with two frames", two_frames),
        (
            "a webp with a frame that is larger",
            files::webp_of_frame(16_000, 16_000),
        ),
    ] {
        assert!(is_unreadable(&file), "{what}");
    }
}

/// Whatever decoder comes after: a second frame could have another size.
#[test]
fn a_jpeg_has_one_frame() {
    let one = jpeg(quarters(64, 32), &Metadata::default());
    let header = Header::read(&one).unwrap();
    assert!(whole::picture_of(&one, header).is_some());
    let frame = one.windows(2).position(|two| two == [0xFF, 0xC0]).unwrap();
    for side in [64, 9_000] {
        let mut two = one.clone();
        two.splice(frame..frame, files::jpeg_header(side, side)[2..].to_vec());
        assert!(whole::picture_of(&two, header).is_none(), "{side}");
    }
}

#[test]
fn a_profile_that_unpacks_to_megabytes_is_left_out() {
    let small = smaller_now(&files::png_with_large_profile(), 320).unwrap();
    assert_eq!(profile_of(&small.bytes), None);
}

#[test]
fn a_gif_with_a_frame_that_is_larger_takes_no_more_memory_than_it_said() {
    let mut file = files::gif_header(1, 1);
    file.extend(b"\x2C\0\0\0\0\x60\xEA\x60\xEA\0\x02\x02\x4C\x01\0\x3B");
    assert!(is_unreadable(&file));
}

#[test]
fn what_follows_the_end_of_a_picture_is_nobodys_business() {
    let mut file = jpeg(quarters(64, 32), &Metadata::default());
    file.extend(b"\0\0\0\x18ftypmp42 the film that a phone keeps behind the photo");
    assert_eq!(corners(&smaller(&file, 320).1), [RED, GREEN, BLUE, WHITE]);
}

#[test]
fn a_jpeg_needs_no_marker_at_its_end() {
    let file = jpeg(quarters(64, 32), &Metadata::default());
    let pixels = &file[..file.len() - 2];
    for (what, trailer) in [
        ("nothing", Vec::new()),
        ("half a marker", vec![0xFF]),
        (
            "what a camera noted",
            b"\0\0\x01\x0A\x0E\0\0\0Panorama_Shot_InfoSEFH\x6B\0\0\0SEFT".to_vec(),
        ),
        ("a map of depths", b"\xFF\xE2\0\x06depth\0\0".to_vec()),
        (
            "another picture",
            jpeg(GrayImage::new(8, 8), &Metadata::default()),
        ),
        ("another frame", files::jpeg_header(9_000, 9_000)[2..].to_vec()),
    ] {
        let file = [pixels, &trailer].concat();
        let (_, small) = smaller(&file, 320);
        assert_eq!(small.dimensions(), (64, 32), "{what}");
        assert_eq!(corners(&small), [RED, GREEN, BLUE, WHITE], "{what}");
    }
    // What is missing is grey, as every app shows it.
    let (_, small) = smaller(&pixels[..pixels.len() - 8], 320);
    assert_eq!(corners(&small)[0], RED);
}

/// One small picture of each kind.
fn originals() -> Vec<Vec<u8>> {
    let metadata = Metadata {
        orientation: 6,
        profile: Some(profile(b"RGB ")),
    };
    let picture = quarters(24, 17);
    let frames = [
        DynamicImage::from(picture.clone()).to_rgba8(),
        RgbaImage::new(24, 17),
    ];
    vec![
        jpeg(picture.clone(), &metadata),
        png(picture.clone(), &metadata),
        webp(&picture, &metadata),
        gif(&frames),
        files::animated_webp(&frames),
        files::cmyk_jpeg([1, 100, 200, 30]),
        files::palette_png(24, 17, [RED, BLUE], |x, y| x > y),
        files::LOSSY_WEBP.to_vec(),
    ]
}

proptest! {
    #![proptest_config(Config { rng_seed: RngSeed::Fixed(11), failure_persistence: None, ..Config::with_cases(512) })]

    /// However a picture is damaged: it is read, or refused, and no decoder panics.
    #[test]
    fn damaged_pictures_are_read_or_refused(
        original in proptest::sample::select(originals()),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::weighted(0.4, any::<proptest::sample::Index>()),
    ) {
        let mut file = original;
        for (at, bits) in flips {
            let at = at.index(file.len());
            file[at] ^= bits;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        match smaller_now(&file, 16) {
            Ok(small) => prop_assert!(image::load_from_memory(&small.bytes).is_ok()),
            Err(PictureError::Failed(error)) => prop_assert!(false, "{error}"),
            Err(_) => {}
        }
    }
}
