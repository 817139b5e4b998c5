//! The signatures that files begin with.

/// What a signature says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// No other file begins like that.
    Surely(&'static str),
    /// So few bytes that others may begin like that too.
    Likely(&'static str),
}

/// Signatures of two to four bytes, and types of which `infer` only has some.
const LIKELY: &[&str] = &[
    "application/postscript",
    "application/vnd.microsoft.portable-executable",
    "application/x-compress",
    "application/x-executable",
    "application/x-nintendo-nes-rom",
    "application/x-x509-ca-cert",
    "audio/aac",
    "audio/mpeg",
    "image/bmp",
    "image/jxl",
    "image/vnd.microsoft.icon",
    "image/vnd.ms-photo",
    "text/x-shellscript",
    "video/mpeg",
];

/// The signature that a file begins with. A text has one of a few only: there are notes that begin with `BM` or `ID3`.
pub(super) fn look(head: &[u8], text: bool) -> Option<Found> {
    if let Some(name) = own(head) {
        return Some(Found::Surely(name));
    }
    if text && !head.starts_with(b"#!") {
        return None;
    }
    let name = match infer::get(head)?.mime_type() {
        // These know three letters of GIF, and no RIFF before WEBP; and markup is looked at elsewhere.
        "image/gif" | "image/webp" | "text/html" | "text/xml" | "application/octet-stream" => return None,
        "application/font-sfnt" => "font/sfnt",
        "application/font-woff" if head.starts_with(b"wOF2") => "font/woff2",
        "application/font-woff" => "font/woff",
        "application/java" => "application/java-vm",
        "audio/midi" => "audio/midi",
        "audio/x-wav" => "audio/wav",
        "audio/x-flac" => "audio/flac",
        "audio/x-aiff" => "audio/aiff",
        "text/x-shellscript" if !text => return None,
        name => name,
    };
    Some(if LIKELY.contains(&name) {
        Found::Likely(name)
    } else {
        Found::Surely(name)
    })
}

/// Signatures that `infer` does not know, knows less of, or wants more bytes for.
fn own(head: &[u8]) -> Option<&'static str> {
    let starts = |with: &[u8]| head.starts_with(with);
    if starts(b"GIF87a") || starts(b"GIF89a") {
        Some("image/gif")
    } else if starts(b"\x89PNG\r\n\x1A\n") {
        Some("image/png")
    } else if starts(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        Some("image/webp")
    } else if starts(b"%PDF-") {
        Some("application/pdf")
    } else if starts(br"{\rtf") {
        Some("application/rtf")
    } else if starts(b"%!PS") {
        Some("application/postscript")
    } else if starts(b"PK\x05\x06") {
        // A zip of no files.
        Some("application/zip")
    } else if starts(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1") {
        Some("application/x-ole-storage")
    } else if starts(b"OggS") {
        Some("audio/ogg")
    } else if starts(b"\x1A\x45\xDF\xA3") {
        let start = &head[..head.len().min(256)];
        let webm = start.windows(4).any(|window| window == b"webm");
        Some(if webm { "video/webm" } else { "video/x-matroska" })
    } else if head.get(4..8) == Some(b"ftyp") {
        Some(brand(head))
    } else {
        None
    }
}

/// What is in a file of the family of MP4, by its main brand and those that it is compatible with.
fn brand(head: &[u8]) -> &'static str {
    let Some(main) = head.get(8..12) else {
        return "video/mp4";
    };
    let size = head.first_chunk().map_or(0, |size| u32::from_be_bytes(*size));
    let size = usize::try_from(size).map_or(head.len(), |size| size.min(head.len()));
    let others = head.get(16..size).unwrap_or_default();
    let compatible = |with: &[&[u8]]| others.chunks_exact(4).any(|brand| with.contains(&brand));
    match main {
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => "image/heic",
        b"avif" | b"avis" => "image/avif",
        b"mif1" | b"msf1" | b"miaf" if compatible(&[b"avif", b"avis"]) => "image/avif",
        b"mif1" | b"msf1" | b"miaf" if compatible(&[b"heic", b"heix", b"hevc", b"hevx"]) => "image/heic",
        b"mif1" | b"msf1" | b"miaf" => "image/heif",
        b"crx " => "image/x-canon-cr3",
        b"qt  " => "video/quicktime",
        b"M4A " | b"M4B " | b"M4P " | b"F4A " | b"F4B " => "audio/mp4",
        main if main.starts_with(b"3gp") => "video/3gpp",
        main if main.starts_with(b"3g2") => "video/3gpp2",
        _ => "video/mp4",
    }
}
