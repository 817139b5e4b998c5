//! Pictures: smaller ones of attachments, and those of accounts and bots.

use std::io::{Cursor, Write};

use image::{DynamicImage, GenericImageView, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use reqwest::Method;
use serde_json::{Value, json};

use crate::files::{Fetched, Folder, Form, file};
use crate::harness::{Client, Data, Server};
use crate::kinds::BOT;

const AVATARS: &str = "/resources/upload-avatar";
const RED: [u8; 3] = [220, 20, 20];
const BLUE: [u8; 3] = [20, 20, 220];

/// The left half is red, the right one blue.
fn halves(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| Rgb(if x < width / 2 { RED } else { BLUE }))
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("a picture");
    bytes.into_inner()
}

/// A PNG of two halves.
pub fn png(width: u32, height: u32) -> Vec<u8> {
    encoded(&halves(width, height).into(), ImageFormat::Png)
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    encoded(&halves(width, height).into(), ImageFormat::Jpeg)
}

/// Where the picture was taken, as a camera notes it: three fractions.
const PLACE: [u8; 24] = [
    52, 0, 0, 0, 1, 0, 0, 0, 31, 0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0,
];

/// What a camera notes: how it was held (turn by a quarter, clockwise), and where.
fn noted_by_a_camera() -> Vec<u8> {
    fn entry(tag: u16, kind: u16, count: u32, value: [u8; 4]) -> Vec<u8> {
        let mut entry = [tag.to_le_bytes(), kind.to_le_bytes()].concat();
        entry.extend_from_slice(&count.to_le_bytes());
        entry.extend_from_slice(&value);
        entry
    }
    let mut tiff = b"II*\0\x08\0\0\0".to_vec();
    // Two entries from 8 on, and those of the place from 38 on; the place itself stands at 68.
    tiff.extend_from_slice(&2_u16.to_le_bytes());
    tiff.extend(entry(0x0112, 3, 1, [6, 0, 0, 0]));
    tiff.extend(entry(0x8825, 4, 1, 38_u32.to_le_bytes()));
    tiff.extend_from_slice(&0_u32.to_le_bytes());
    tiff.extend_from_slice(&2_u16.to_le_bytes());
    tiff.extend(entry(0x0001, 2, 2, *b"N\0\0\0"));
    tiff.extend(entry(0x0002, 5, 3, 68_u32.to_le_bytes()));
    tiff.extend_from_slice(&0_u32.to_le_bytes());
    assert_eq!(tiff.len(), 68);
    tiff.extend_from_slice(&PLACE);
    tiff
}

/// A JPEG as a phone takes it that was held upright.
fn photo(width: u32, height: u32) -> Vec<u8> {
    let plain = jpeg(width, height);
    let noted = [b"Exif\0\0".to_vec(), noted_by_a_camera()].concat();
    let length = u16::try_from(noted.len() + 2).expect("a short segment");
    [
        &plain[..2],
        b"\xff\xe1",
        &length.to_be_bytes(),
        &noted,
        &plain[2..],
    ]
    .concat()
}

/// A PNG that says that it is so large, with the pixels of nothing.
fn said_to_be(width: u32, height: u32) -> Vec<u8> {
    fn chunk(name: &[u8], data: &[u8]) -> Vec<u8> {
        let mut sum = flate2::Crc::new();
        sum.update(name);
        sum.update(data);
        let length = u32::try_from(data.len()).expect("a small chunk");
        [&length.to_be_bytes()[..], name, data, &sum.sum().to_be_bytes()].concat()
    }
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let mut pixels = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    pixels.write_all(&[0; 1_000]).expect("memory");
    [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &header),
        chunk(b"IDAT", &pixels.finish().expect("memory")),
        chunk(b"IEND", b""),
    ]
    .concat()
}

fn decoded(answer: &Fetched) -> DynamicImage {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
    let format = match answer.header("content-type") {
        "image/jpeg" => ImageFormat::Jpeg,
        "image/png" => ImageFormat::Png,
        other => panic!("{other} is no picture of ours"),
    };
    image::load_from_memory_with_format(&answer.bytes, format).expect("a picture that can be read")
}

fn is_near(picture: &DynamicImage, x: u32, y: u32, wanted: [u8; 3]) -> bool {
    let Rgba(found) = picture.get_pixel(x, y);
    let mut pairs = found.iter().zip(wanted);
    pairs.all(|(found, wanted)| found.abs_diff(wanted) < 40)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn download(resource: &Value, variant: &str) -> String {
    let id = resource["id"].as_str().expect("an id");
    format!("/resources/{id}/download?variant={variant}")
}

async fn phone() -> (Server, Client, Folder) {
    let data = Data::new();
    let server = data.start(&[]);
    let phone = server.device("phone").await;
    (server, phone, Folder::of(&data))
}

#[tokio::test(flavor = "multi_thread")]
async fn smaller_pictures_fit_their_square_whatever_the_format() {
    let (_server, phone, folder) = phone().await;
    let transparent = RgbaImage::from_fn(1_000, 2_000, |_, y| {
        Rgba([20, 20, 220, if y < 1_000 { 255 } else { 0 }])
    });
    let (wide, large) = (halves(900, 300), halves(2_400, 1_200));
    for (name, picture, format, thumb, opt, mime_type) in [
        (
            "a.jpg",
            large.clone().into(),
            ImageFormat::Jpeg,
            (320, 160),
            (1_600, 800),
            "image/jpeg",
        ),
        (
            "a.png",
            large.into(),
            ImageFormat::Png,
            (320, 160),
            (1_600, 800),
            "image/jpeg",
        ),
        (
            "a.webp",
            wide.clone().into(),
            ImageFormat::WebP,
            (320, 107),
            (900, 300),
            "image/jpeg",
        ),
        (
            "a.gif",
            wide.into(),
            ImageFormat::Gif,
            (320, 107),
            (900, 300),
            "image/jpeg",
        ),
        (
            "b.png",
            transparent.into(),
            ImageFormat::Png,
            (160, 320),
            (800, 1_600),
            "image/png",
        ),
    ] {
        let picture: DynamicImage = picture;
        let bytes = encoded(&picture, format);
        let resource = phone.upload(file(name, "", &bytes)).await.ok();
        let thumbnail = resource["thumbnailUrl"].as_str().expect("a thumbnail");
        let small = phone.download(thumbnail).await;
        assert_eq!(small.header("content-type"), mime_type, "{name}");
        assert_eq!(decoded(&small).dimensions(), thumb, "{name}");
        let again = phone.download(&download(&resource, "thumb")).await;
        assert!(
            again.bytes == small.bytes,
            "{name}: the same picture by its other name"
        );
        let opt_picture = phone.download(&download(&resource, "opt")).await;
        assert_eq!(decoded(&opt_picture).dimensions(), opt, "{name}");
        assert_ne!(small.header("etag"), opt_picture.header("etag"));
        let known = phone
            .download_with(thumbnail, "if-none-match", small.header("etag"))
            .await;
        assert_eq!(known.status, 304);
        let part = phone.download_with(thumbnail, "range", "bytes=2-9").await;
        assert_eq!((part.status, &part.bytes[..]), (206, &small.bytes[2..10]));
        assert!(small.header("content-disposition").starts_with("inline"));
    }
    folder.assert_holds(5 * 3, "five pictures in three sizes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn smaller_pictures_are_upright_and_do_not_say_where_they_were_taken() {
    let (_server, phone, _) = phone().await;
    let photo = photo(640, 320);
    assert!(contains(&photo, &PLACE));
    let resource = phone.upload(file("a.jpg", "image/jpeg", &photo)).await.ok();
    for (variant, width, height) in [("thumb", 160, 320), ("opt", 320, 640)] {
        let answer = phone.download(&download(&resource, variant)).await;
        let small = decoded(&answer);
        assert_eq!(small.dimensions(), (width, height), "{variant} stands upright");
        assert!(is_near(&small, width / 2, height / 8, RED), "{variant}: above");
        assert!(
            is_near(&small, width / 2, height * 7 / 8, BLUE),
            "{variant}: below"
        );
        for noted in [&b"Exif"[..], &PLACE, b"II*\0"] {
            assert!(!contains(&answer.bytes, noted), "{variant}: {noted:?}");
        }
    }
    let whole = phone.download(resource["url"].as_str().unwrap()).await;
    assert!(whole.whole() == photo, "what was uploaded stays as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_for_one_thumbnail_get_the_same() {
    let (_server, phone, folder) = phone().await;
    let resource = phone.upload(file("a.png", "", &png(900, 900))).await.ok();
    let path = resource["thumbnailUrl"].as_str().unwrap().to_owned();
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let (phone, path) = (phone.clone(), path.clone());
            tokio::spawn(async move { phone.download(&path).await.whole() })
        })
        .collect();
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.expect("a picture"));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    folder.assert_holds(2, "a picture and its thumbnail").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_are_too_large_or_broken_are_kept_and_have_no_smaller_ones() {
    let (server, phone, folder) = phone().await;
    let bomb = said_to_be(60_000, 60_000);
    let whole = png(500, 500);
    for (name, bytes, code) in [
        ("bomb.png", &bomb[..], "picture_too_large"),
        ("cut.png", &whole[..whole.len() / 2], "not_a_picture"),
        ("head.png", &whole[..8], "not_a_picture"),
        ("small.gif", b"GIF89a", "not_a_picture"),
    ] {
        let resource = phone.upload(file(name, "", bytes)).await.ok();
        assert_eq!(resource["thumbnailUrl"], Value::Null, "{name}");
        let thumbnail = &download(&resource, "thumb");
        let before = resident(&server);
        for path in [thumbnail, &download(&resource, "opt")] {
            phone.get(path).await.problem(422, code);
        }
        let grown = resident(&server).saturating_sub(before);
        assert!(grown < 100 << 20, "{name} took {grown} bytes");
        assert_eq!(
            phone.download(resource["url"].as_str().unwrap()).await.whole(),
            bytes
        );
    }
    folder
        .assert_holds(4, "four files and nothing made of them")
        .await;
    let text = phone.upload(file("a.txt", "text/plain", b"words")).await.ok();
    assert_eq!(text["thumbnailUrl"], Value::Null);
    let thumbnail = format!("/resources/{}/thumbnail", text["id"].as_str().unwrap());
    phone.get(&thumbnail).await.problem(422, "not_a_picture");
}

/// The most memory that the server has had, in bytes.
fn resident(server: &Server) -> u64 {
    crate::files::memory(server.pid(), "VmHWM")
}

/// A form with a picture for an account.
fn avatar(bytes: &[u8]) -> Form {
    file("me.png", "image/png", bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_avatar_becomes_the_caller_s_and_is_shown_to_them() {
    let (server, phone, folder) = phone().await;
    let picture = png(64, 64);
    let stranger = server.new_user("anna", "phone").await;
    let first = phone.send_form(AVATARS, avatar(&picture)).await.ok();
    let address = first["avatarUrl"].as_str().expect("an address");
    assert!(address.contains(first["id"].as_str().expect("an id")), "{first}");
    assert_eq!(phone.get("/auth/me").await.ok()["avatarUrl"], address);
    let shown = phone.download(address).await;
    assert_eq!(shown.header("content-type"), "image/png");
    assert_eq!(shown.header("x-content-type-options"), "nosniff");
    assert!(shown.whole() == picture);
    let head = phone.fetch(phone.request(Method::HEAD, address)).await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, &*picture.len().to_string())
    );
    assert_eq!(phone.everything().await.delivered, [], "no record");
    stranger.get(address).await.problem(404, "not_found");
    server
        .anonymous()
        .get(address)
        .await
        .problem(401, "unauthenticated");

    // One for a bot leaves the account as it is.
    let for_a_bot = avatar(&png(32, 32)).field("purpose", "bot");
    let second = phone.send_form(AVATARS, for_a_bot).await.ok();
    assert_eq!(phone.get("/auth/me").await.ok()["avatarUrl"], address);
    let url = json!({"avatarUrl": second["avatarUrl"]});
    let bot = BOT.create(&phone, 1, "Mo", &url).await.ok();
    let shown = phone.download(bot["avatarUrl"].as_str().unwrap()).await;
    assert!(shown.whole() == png(32, 32));
    folder.assert_holds(2, "two avatars").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_picture_or_too_large_is_no_avatar() {
    let data = Data::new();
    let server = data.start(&["--attachments-max-avatar-bytes", "4096"]);
    let phone = server.device("phone").await;
    let large = crate::files::noise(1, 5_000);
    let me = phone.get("/auth/me").await.ok();
    for (form, status, code) in [
        (file("a.png", "image/png", b"just words"), 422, "not_a_picture"),
        (
            file(
                "a.svg",
                "image/svg+xml",
                b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            ),
            422,
            "not_a_picture",
        ),
        (
            file("a.png", "image/png", &[&png(4, 4)[..], &large].concat()),
            413,
            "file_too_large",
        ),
    ] {
        phone.send_form(AVATARS, form).await.problem(status, code);
    }
    phone
        .send_form(AVATARS, Form::new().field("purpose", "bot"))
        .await
        .invalid("file", "required");
    let purpose = avatar(&png(4, 4)).field("purpose", "fun");
    phone
        .send_form(AVATARS, purpose)
        .await
        .invalid("purpose", "unknown_value");
    assert_eq!(phone.get("/auth/me").await.ok(), me);
    Folder::of(&data).assert_holds(0, "avatars that are none").await;
}
