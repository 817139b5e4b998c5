//! How a browser is told to treat a file, and what it is called: `Content-Disposition` (RFC 6266).

use mosaic_domain::entity::MimeType;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands as it is in a name in UTF-8 (RFC 8187).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// What a browser shows without running anything that is in it. No SVG, no PDF, no XML.
const SHOWN: &[&str] = &[
    "audio/3gpp",
    "audio/aac",
    "audio/amr",
    "audio/flac",
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "audio/opus",
    "audio/wav",
    "audio/webm",
    "audio/x-flac",
    "audio/x-m4a",
    "audio/x-wav",
    "image/avif",
    "image/bmp",
    "image/gif",
    "image/heic",
    "image/jpeg",
    "image/png",
    "image/webp",
    PLAIN,
    "video/3gpp",
    "video/mp4",
    "video/mpeg",
    "video/ogg",
    "video/quicktime",
    "video/webm",
    "video/x-m4v",
    "video/x-matroska",
];

const PLAIN: &str = "text/plain";

/// The `Content-Type` of a file. What is plain text is taken to be UTF-8.
pub(crate) fn content_type(mime_type: &MimeType) -> String {
    match mime_type.as_str() {
        PLAIN => format!("{PLAIN}; charset=utf-8"),
        other => other.to_owned(),
    }
}

/// The `Content-Disposition` of a file: shown where that is known to be safe, else kept.
pub(crate) fn content_disposition(mime_type: &MimeType, name: &str) -> String {
    let kind = if SHOWN.contains(&mime_type.as_str()) {
        "inline"
    } else {
        "attachment"
    };
    let plain: String = name.chars().map(plain).collect();
    let encoded = utf8_percent_encode(name, ENCODED);
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

/// A letter that every client reads in the same way between quotes.
fn plain(letter: char) -> char {
    match letter {
        '"' | '\\' | '%' => '_',
        ' '..='~' => letter,
        _ => '_',
    }
}

/// The name of a smaller picture, after that of the file that it was made of.
pub(crate) fn renamed(name: &str, mime_type: &MimeType) -> String {
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && is_ending(ending) => (stem, ending),
        _ => (name, ""),
    };
    let (right, other) = match mime_type.as_str() {
        "image/jpeg" => ("jpg", "jpeg"),
        "image/png" => ("png", "png"),
        "image/webp" => ("webp", "webp"),
        "image/gif" => ("gif", "gif"),
        _ => return name.to_owned(),
    };
    if ending.eq_ignore_ascii_case(right) || ending.eq_ignore_ascii_case(other) {
        name.to_owned()
    } else {
        format!("{stem}.{right}")
    }
}

/// What looks like the ending of a file's name, and not like a part of it.
fn is_ending(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mime(text: &str) -> MimeType {
        MimeType::new(text).unwrap()
    }

    #[test]
    fn only_what_runs_nothing_is_shown() {
        for shown in ["image/png", "video/mp4", "audio/mpeg", "text/plain", "image/heic"] {
            assert!(
                content_disposition(&mime(shown), "a").starts_with("inline;"),
                "{shown}"
            );
        }
        for kept in [
            "text/html",
            "image/svg+xml",
            "application/xhtml+xml",
            "text/xml",
            "application/pdf",
            "text/css",
            "text/javascript",
            "application/octet-stream",
            "application/json",
            "application/wasm",
            "message/rfc822",
            "multipart/related",
        ] {
            assert!(
                content_disposition(&mime(kept), "a").starts_with("attachment;"),
                "{kept}"
            );
        }
    }

    #[test]
    fn names_are_told_twice_and_break_out_of_nothing() {
        for (name, plain, encoded) in [
            ("photo.jpg", "photo.jpg", "photo.jpg"),
            ("日記.pdf", "__.pdf", "%E6%97%A5%E8%A8%98.pdf"),
            (
                "a\"; filename=\"b.exe",
                "a_; filename=_b.exe",
                "a%22%3B%20filename%3D%22b.exe",
            ),
            ("a\\b", "a_b", "a%5Cb"),
            ("100%25.txt", "100_25.txt", "100%2525.txt"),
            (
                "a\r\nSet-Cookie: x",
                "a__Set-Cookie: x",
                "a%0D%0ASet-Cookie%3A%20x",
            ),
            ("it's (1)*.txt", "it's (1)*.txt", "it%27s%20%281%29%2A.txt"),
            ("\u{202e}gpj.exe", "_gpj.exe", "%E2%80%AEgpj.exe"),
            ("\u{1f600}", "_", "%F0%9F%98%80"),
        ] {
            assert_eq!(
                content_disposition(&mime("image/png"), name),
                format!("inline; filename=\"{plain}\"; filename*=UTF-8''{encoded}"),
                "{name:?}"
            );
        }
    }

    #[test]
    fn plain_text_says_its_encoding() {
        assert_eq!(content_type(&mime("text/plain")), "text/plain; charset=utf-8");
        assert_eq!(content_type(&mime("text/html")), "text/html");
    }

    #[test]
    fn a_smaller_picture_has_the_ending_of_what_it_is() {
        let jpeg = mime("image/jpeg");
        for (name, renamed_to) in [
            ("a.jpg", "a.jpg"),
            ("a.JPEG", "a.JPEG"),
            ("a.webp", "a.jpg"),
            ("a.b.gif", "a.b.jpg"),
            ("a", "a.jpg"),
            (".gif", ".gif.jpg"),
            ("v1.2 of it", "v1.2 of it.jpg"),
            ("a.", "a..jpg"),
        ] {
            assert_eq!(renamed(name, &jpeg), renamed_to, "{name}");
        }
        assert_eq!(renamed("a.gif", &mime("image/png")), "a.png");
    }
}
