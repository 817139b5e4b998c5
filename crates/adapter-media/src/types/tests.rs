use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::*;

fn filename(name: &str) -> Filename {
    Filename::new(name.to_owned()).unwrap()
}

/// What `head` is, declared as `declared` (empty: as nothing) and named `name`.
fn recognised(head: &[u8], declared: &str, name: &str) -> String {
    let declared = (!declared.is_empty()).then(|| MimeType::new(declared).unwrap());
    Signatures
        .recognise(head, declared.as_ref(), &filename(name))
        .as_str()
        .to_owned()
}

fn zip(first: &str) -> Vec<u8> {
    let mut head = b"PK\x03\x04\x14\0\0\0\0\0\0\0!\0\0\0\0\0\x14\0\0\0\x14\0\0\0".to_vec();
    head.push(u8::try_from(first.len()).unwrap());
    head.extend([0, 0, 0]);
    head.extend(first.as_bytes());
    head.extend(b"application/epub+zip");
    head
}

fn ftyp(brands: &[&str]) -> Vec<u8> {
    let mut head = u32::try_from(12 + 4 * brands.len())
        .unwrap()
        .to_be_bytes()
        .to_vec();
    head.extend(b"ftyp");
    head.extend(brands[0].as_bytes());
    head.extend([0; 4]);
    brands[1..].iter().for_each(|brand| head.extend(brand.as_bytes()));
    head.extend(b"\0\0\0\x08mdat");
    head
}

const JPEG: &[u8] = b"\xFF\xD8\xFF\xE0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
const PNG: &[u8] = b"\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";
const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xFF\xFF\xFF;";
const WEBP: &[u8] = b"RIFF\x1A\0\0\0WEBPVP8L\x0D\0\0\0\x2F\0\0\0\x10\x07\x10\x11\x11\x88\x88\xFE\x07\0";
const PDF: &[u8] = b"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n1 0 obj";
const OGG: &[u8] = b"OggS\0\x02\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x01\x13OpusHead\x01\x01";
const WEBM: &[u8] = b"\x1A\x45\xDF\xA3\x9F\x42\x86\x81\x01\x42\xF7\x81\x01\x42\x82\x84webm\x42\x87\x81\x04";
const MATROSKA: &[u8] =
    b"\x1A\x45\xDF\xA3\xA3\x42\x86\x81\x01\x42\xF7\x81\x01\x42\x82\x88matroska\x42\x87\x81";
const OLE: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0\0\0\0\0\0\0\0";
const WAV: &[u8] = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0";
const MP3: &[u8] = b"ID3\x04\0\0\0\0\0\x23TSSE\0\0\0\x0F\0\0";
const EXE: &[u8] = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xFF\xFF\0\0";
const NOISE: &[u8] = b"\x92\x07\x13\xF1\0\x01\x02\x9A\xD5\xEE\x10\x81";
const TEXT: &[u8] = b"A short note.\nWith two lines.\n";

#[test]
fn signatures_say_what_bytes_are_whatever_was_declared() {
    let heic = ftyp(&["heic", "mif1", "heic"]);
    let avif = ftyp(&["avif", "mif1", "miaf"]);
    let mif1 = ftyp(&["mif1", "heic"]);
    let mif1_avif = ftyp(&["mif1", "avif"]);
    let cr3 = ftyp(&["crx ", "isom"]);
    let cases: &[(&[u8], &str)] = &[
        (JPEG, "image/jpeg"),
        (PNG, "image/png"),
        (GIF, "image/gif"),
        (WEBP, "image/webp"),
        (PDF, "application/pdf"),
        (&heic, "image/heic"),
        (&mif1, "image/heic"),
        (&avif, "image/avif"),
        (&mif1_avif, "image/avif"),
        (&cr3, "image/x-canon-cr3"),
        (b"II*\0\x08\0\0\0\x0E\0\xFE\0", "image/tiff"),
        (b"8BPS\0\x01\0\0\0\0\0\0\0\x03", "image/vnd.adobe.photoshop"),
        (WAV, "audio/wav"),
        (b"fLaC\0\0\0\x22\x10\0\x10\0", "audio/flac"),
        (b"\x1F\x8B\x08\0\0\0\0\0\0\x03", "application/gzip"),
        (b"7z\xBC\xAF\x27\x1C\0\x04", "application/x-7z-compressed"),
        (b"SQLite format 3\0\x10\0", "application/vnd.sqlite3"),
        (b"\0asm\x01\0\0\0\x01\x04", "application/wasm"),
        (br"{\rtf1\ansi A short note.}", "application/rtf"),
    ];
    for (head, expected) in cases {
        for declared in [
            "",
            "application/octet-stream",
            "image/svg+xml",
            "text/html",
            "text/plain",
            "video/mp4",
            "application/x-unheard-of",
        ] {
            for name in ["file", "note.txt", "page.html"] {
                assert_eq!(
                    recognised(head, declared, name),
                    *expected,
                    "declared {declared:?}, named {name:?}"
                );
            }
        }
    }
}

#[test]
fn containers_are_what_is_claimed_of_them() {
    let mp4 = ftyp(&["isom", "iso2", "mp41"]);
    let unheard_of = ftyp(&["zzzz", "mp42"]);
    let m4a = ftyp(&["M4A ", "mp42"]);
    let mov = ftyp(&["qt  "]);
    let phone = ftyp(&["3gp5", "isom"]);
    let plain_zip = zip("a.txt");
    let epub = zip("mimetype");
    let docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    let xlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    let odt = "application/vnd.oasis.opendocument.text";
    let apk = "application/vnd.android.package-archive";
    let macros = "application/vnd.ms-excel.sheet.macroenabled.12";
    let cases: &[(&[u8], &str, &str, &str)] = &[
        (&mp4, "", "film", "video/mp4"),
        (&mp4, "audio/mp4", "song.m4a", "audio/mp4"),
        (&mp4, "audio/x-m4a", "song.m4a", "audio/mp4"),
        (&mp4, "", "song.M4A", "audio/mp4"),
        (&mp4, "video/quicktime", "film.mov", "video/quicktime"),
        (&mp4, "audio/mpeg", "film.mp3", "video/mp4"),
        (&unheard_of, "", "film", "video/mp4"),
        (&m4a, "", "song", "audio/mp4"),
        (&m4a, "video/mp4", "song", "video/mp4"),
        (&m4a, "audio/aac", "song.aac", "audio/mp4"),
        (&mov, "", "film", "video/quicktime"),
        (&phone, "", "memo", "video/3gpp"),
        (&phone, "audio/3gpp", "memo.3gp", "audio/3gpp"),
        (WEBM, "", "file", "video/webm"),
        (WEBM, "audio/webm", "memo.webm", "audio/webm"),
        (WEBM, "", "memo.weba", "audio/webm"),
        (MATROSKA, "", "file", "video/x-matroska"),
        (MATROSKA, "video/mp4", "file.mp4", "video/x-matroska"),
        (OGG, "", "file", "audio/ogg"),
        (OGG, "application/ogg", "file", "application/ogg"),
        (OGG, "video/ogg", "file", "video/ogg"),
        (OGG, "audio/mpeg", "file", "audio/ogg"),
        (&plain_zip, "", "file", "application/zip"),
        (
            &plain_zip,
            "application/x-zip-compressed",
            "file.zip",
            "application/zip",
        ),
        (&plain_zip, docx, "letter.docx", docx),
        (&plain_zip, "", "letter.docx", docx),
        (&plain_zip, xlsx, "table.xlsx", xlsx),
        (&plain_zip, odt, "letter.odt", odt),
        (&plain_zip, apk, "app.apk", apk),
        (
            &plain_zip,
            "application/java-archive",
            "app.jar",
            "application/java-archive",
        ),
        (&plain_zip, macros, "table.xlsm", macros),
        (
            &plain_zip,
            "application/octet-stream",
            "book.epub",
            "application/epub+zip",
        ),
        (&plain_zip, "image/jpeg", "photo.jpg", "application/zip"),
        (b"PK\x05\x06\0\0\0\0\0\0", "", "file", "application/zip"),
        (&epub, "", "book", "application/epub+zip"),
        (&epub, "application/zip", "book", "application/epub+zip"),
        (OLE, "", "file", "application/x-ole-storage"),
        (OLE, "application/msword", "letter.doc", "application/msword"),
        (OLE, "", "table.xls", "application/vnd.ms-excel"),
        (OLE, "text/plain", "letter.txt", "application/x-ole-storage"),
        (
            b"II*\0\x08\0\0\0\x0E\0\xFE\0",
            "image/x-adobe-dng",
            "raw.dng",
            "image/x-adobe-dng",
        ),
    ];
    for (head, declared, name, expected) in cases {
        assert_eq!(
            recognised(head, declared, name),
            *expected,
            "declared {declared:?}, named {name:?}"
        );
    }
}

#[test]
fn types_with_several_names_get_one() {
    for (head, declared, expected) in [
        (JPEG, "image/jpg", "image/jpeg"),
        (PNG, "image/x-png", "image/png"),
        (WAV, "audio/x-wav", "audio/wav"),
        (PDF, "application/x-pdf", "application/pdf"),
        (MP3, "audio/mp3", "audio/mpeg"),
        (TEXT, "application/x-javascript", "text/javascript"),
        (TEXT, "text/x-markdown", "text/markdown"),
    ] {
        assert_eq!(recognised(head, declared, "file"), expected, "{declared}");
    }
}

#[test]
fn drawings_are_svg_whatever_was_declared() {
    for drawing in [
        "<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
        "<svg>",
        "\u{FEFF}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg width=\"1\"></svg>",
        "<?xml version='1.0'?><!-- drawn by hand -->\n<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"x\">\n<svg/>",
        "<!DOCTYPE svg [ <!ENTITY a \"b>c\"> ]><svg onload='alert(1)'>",
        " \r\n\t<!-- a --><!-- b --><?style?><s:svg xmlns:s=\"http://www.w3.org/2000/svg\">",
    ] {
        for declared in [
            "",
            "image/svg+xml",
            "text/plain",
            "text/xml",
            "image/png",
            "text/html",
        ] {
            assert_eq!(
                recognised(drawing.as_bytes(), declared, "file.txt"),
                "image/svg+xml",
                "{drawing:?} declared {declared:?}"
            );
        }
    }
}

#[test]
fn pages_are_html_whatever_was_declared() {
    for page in [
        "<html>",
        "<!DOCTYPE html><title>a</title>",
        "\u{FEFF} \r\n\t<!doctype HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\">",
        "<!-- a --> <!-- <p> -->\n<HTML lang=en>",
        "<!--> <body>",
        "<script/src=x>",
        "<ScRiPt>alert(1)</script>",
        "<p>A part of one.</p>",
        "<img src=x onerror=alert(1)>",
        "<?php echo 1 ?><html>",
        "<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\">",
        "<!-- a comment without an end <html>",
        "<body>\0 with what no text has",
    ] {
        for declared in [
            "",
            "text/html",
            "text/plain",
            "image/png",
            "image/svg+xml",
            "application/pdf",
        ] {
            assert_eq!(
                recognised(page.as_bytes(), declared, "file.txt"),
                "text/html",
                "{page:?} declared {declared:?}"
            );
        }
        assert_eq!(
            recognised(page.as_bytes(), "application/xhtml+xml", "file"),
            "application/xhtml+xml",
            "{page:?}"
        );
    }
}

#[test]
fn texts_with_a_few_tags_are_no_pages() {
    for text in [
        "a < b",
        "<a@example.org> wrote:",
        "<note> remember",
        "<",
        "<!-- toc -->\n# A title",
        "<3",
    ] {
        assert_eq!(
            recognised(text.as_bytes(), "text/plain", "note.txt"),
            "text/plain",
            "{text:?}"
        );
    }
    let readme = b"<p align=\"center\"><img src=\"logo.png\"></p>\n\n# A title\n";
    assert_eq!(recognised(readme, "text/markdown", "README.md"), "text/markdown");
    assert_eq!(recognised(readme, "", "README.md"), "text/markdown");
    assert_eq!(
        recognised(b"<script>alert(1)</script>", "text/markdown", "a.md"),
        "text/html"
    );
}

#[test]
fn xml_is_what_is_claimed_to_be_written_in_it() {
    let track = b"<?xml version=\"1.0\"?>\n<gpx version=\"1.1\"></gpx>";
    for (declared, name, expected) in [
        ("", "file", "text/xml"),
        ("text/xml", "file.xml", "text/xml"),
        ("application/xml", "file.xml", "application/xml"),
        ("application/gpx+xml", "way.gpx", "application/gpx+xml"),
        ("", "way.gpx", "application/gpx+xml"),
        ("text/plain", "note.txt", "text/plain"),
        ("image/svg+xml", "drawing.svg", "text/xml"),
        ("image/png", "photo.png", "text/xml"),
        ("application/pdf", "file.pdf", "text/xml"),
    ] {
        assert_eq!(
            recognised(track, declared, name),
            expected,
            "declared {declared:?}, named {name:?}"
        );
    }
}

#[test]
fn texts_are_believed_if_they_are_texts() {
    let umlauts = "Grüße, 日本語, 🙂\r\n\tund mehr\u{C}".as_bytes();
    for (declared, name, expected) in [
        ("", "file", "text/plain"),
        ("", "note.txt", "text/plain"),
        ("", "NOTE.MD", "text/markdown"),
        ("", "table.csv", "text/csv"),
        ("", "data.json", "application/json"),
        ("", "file.unheard-of", "text/plain"),
        ("", "photo.jpg", "text/plain"),
        ("text/csv", "note.txt", "text/csv"),
        ("text/calendar", "file", "text/calendar"),
        ("application/json", "file", "application/json"),
        ("application/ld+json", "file", "application/ld+json"),
        ("application/octet-stream", "notes.md", "text/markdown"),
        ("application/x-unheard-of", "file", "application/x-unheard-of"),
        ("message/rfc822", "mail.eml", "message/rfc822"),
    ] {
        assert_eq!(
            recognised(umlauts, declared, name),
            expected,
            "declared {declared:?}, named {name:?}"
        );
    }
    for no_text in [NOISE, b"a\0b", b"Gr\xFC\xDFe", b"\xFF\xFEa\0b\0", b"caf\xC3"] {
        for declared in ["", "text/plain", "text/html", "application/json"] {
            assert_eq!(
                recognised(no_text, declared, "note.txt"),
                "application/octet-stream",
                "{no_text:?} declared {declared:?}"
            );
        }
    }
}

#[test]
fn a_character_that_the_head_cuts_is_no_damage() {
    let mut long = "日".repeat(HEAD_BYTES).into_bytes();
    long.truncate(HEAD_BYTES);
    assert!(str::from_utf8(&long).is_err(), "it is cut within a character");
    assert_eq!(recognised(&long, "text/markdown", "note.md"), "text/markdown");
    long.truncate(HEAD_BYTES - 1);
    assert!(str::from_utf8(&long).is_err());
    assert_eq!(
        recognised(&long, "text/markdown", "note.md"),
        "application/octet-stream"
    );
}

#[test]
fn claims_that_the_bytes_belie_do_not_count() {
    for declared in [
        "image/png",
        "image/jpeg",
        "image/jpg",
        "image/gif",
        "image/webp",
        "image/svg+xml",
        "image/heic",
        "application/pdf",
        "video/mp4",
        "video/webm",
        "audio/mp4",
        "audio/ogg",
        "application/zip",
        "application/msword",
        "application/gzip",
    ] {
        assert_eq!(recognised(TEXT, declared, "file"), "text/plain", "{declared}");
        assert_eq!(
            recognised(NOISE, declared, "file"),
            "application/octet-stream",
            "{declared}"
        );
    }
}

#[test]
fn claims_that_nothing_speaks_against_count() {
    for declared in [
        "application/x-unheard-of",
        "video/mp2t",
        "audio/mpeg",
        "video/quicktime",
        "model/stl",
    ] {
        assert_eq!(recognised(NOISE, declared, "file"), declared);
    }
    assert_eq!(recognised(NOISE, "", "song.mp3"), "audio/mpeg");
    assert_eq!(recognised(NOISE, "", "file"), "application/octet-stream");
}

#[test]
fn signatures_of_a_few_bytes_give_way() {
    let bmp = b"BM\x3A\0\0\0\0\0\0\0\x36\0\0\0";
    for (head, declared, expected) in [
        (EXE, "", "application/vnd.microsoft.portable-executable"),
        (EXE, "application/x-msdownload", "application/x-msdownload"),
        (EXE, "image/png", "application/vnd.microsoft.portable-executable"),
        (EXE, "text/plain", "application/vnd.microsoft.portable-executable"),
        (bmp, "", "image/bmp"),
        (bmp, "image/x-ms-bmp", "image/bmp"),
        (bmp, "application/x-unheard-of", "application/x-unheard-of"),
        (MP3, "", "audio/mpeg"),
        (MP3, "audio/aac", "audio/aac"),
        (b"BMW is a maker of cars", "", "text/plain"),
        (b"BMW is a maker of cars", "text/plain", "text/plain"),
        (b"ID3 is a kind of metadata", "", "text/plain"),
        (b"GIFs are fun", "", "text/plain"),
        (b"-----BEGIN CERTIFICATE-----\n", "", "text/plain"),
        (b"#!/bin/sh\necho\n", "", "text/x-shellscript"),
        (b"#!/usr/bin/env python3\n", "text/x-python", "text/x-python"),
    ] {
        assert_eq!(
            recognised(head, declared, "file"),
            expected,
            "{head:?} declared {declared:?}"
        );
    }
}

#[test]
fn a_picture_that_could_be_read_as_a_script_stays_a_picture() {
    for declared in ["image/gif", "text/javascript", "text/html", ""] {
        assert_eq!(
            recognised(b"GIF89a=1;alert(1)//<script>", declared, "file"),
            "image/gif"
        );
    }
    let mut png = PNG.to_vec();
    png.extend(b"<!DOCTYPE html><script>alert(1)</script>");
    assert_eq!(recognised(&png, "text/html", "page.html"), "image/png");
}

#[test]
fn empty_files_are_texts_if_that_is_claimed() {
    for (declared, name, expected) in [
        ("", "file", "application/octet-stream"),
        ("", "note.txt", "text/plain"),
        ("text/markdown", "file", "text/markdown"),
        ("application/json", "file", "application/json"),
        ("image/png", "photo.png", "application/octet-stream"),
        ("image/svg+xml", "drawing.svg", "application/octet-stream"),
        ("application/x-unheard-of", "file", "application/octet-stream"),
    ] {
        assert_eq!(
            recognised(b"", declared, name),
            expected,
            "declared {declared:?}, named {name:?}"
        );
    }
}

proptest! {
    #![proptest_config(Config { cases: 512, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..Config::default() })]

    /// Whatever the bytes are, something is said of them; and what passes for a picture, a film or a PDF begins like one.
    #[test]
    fn any_bytes_are_something(
        start in proptest::sample::select(vec![
            &b""[..], JPEG, PNG, GIF, WEBP, PDF, OGG, WEBM, OLE, WAV, EXE, TEXT, b"PK\x03\x04", b"<", b"<?xml", b"\0\0\0\x18ftyp",
        ]),
        cut in 0..32_usize,
        rest in proptest::collection::vec(any::<u8>(), 0..200),
        declared in proptest::sample::select(vec!["", "image/png", "text/plain", "application/zip", "application/x-a"]),
    ) {
        let mut head = start[..cut.min(start.len())].to_vec();
        head.extend(rest);
        let name = recognised(&head, declared, "file.bin");
        prop_assert!(name != "image/png" || head.starts_with(b"\x89PNG"));
        prop_assert!(name != "text/plain" || is_text(&head));
    }
}
