//! What bytes are: by how they begin, and only then by what was said of them.

mod claims;
mod markup;
mod signature;
#[cfg(test)]
mod tests;

use mosaic_domain::entity::{Filename, MimeType};
use mosaic_ports::{HEAD_BYTES, MediaTypes};

use self::claims::{always_signed, by_ending, canonical, is_textual, same_container};
use self::markup::Markup;
use self::signature::Found;

/// Text of no other type.
const PLAIN: &str = "text/plain";
/// Bytes of no known type.
const UNKNOWN: &str = "application/octet-stream";

/// Recognises types by signatures.
///
/// A type is *claimed* by what was declared, or where that says nothing by the ending of the name. The bytes come first:
///
/// * SVG and HTML are what they look like, whatever was claimed, so that no page passes for a text or a picture. So is XML,
///   but for what the claim says it is XML of.
/// * Where the signature is that of a container (zip, MP4, Matroska, Ogg, old office files ...), the claim says what is in it.
/// * Where there is any other signature that leaves no doubt, the claim does not count. Where it is one of a few bytes, any
///   claim is believed that is no lie.
/// * It is a lie where files of the claimed type have signatures and this one has none: then it is plain text or bytes.
/// * A type of text is believed of text in UTF-8 without control characters only.
///
/// An empty file is a text if that is claimed, and else bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Signatures;

impl MediaTypes for Signatures {
    fn recognise(&self, head: &[u8], declared: Option<&MimeType>, filename: &Filename) -> MimeType {
        let claimed = declared
            .map(|declared| canonical(declared.as_str()))
            .filter(|name| *name != UNKNOWN)
            .or_else(|| by_ending(filename.as_str()));
        MimeType::new(decide(head, claimed)).expect("it is one of ours, or was declared")
    }
}

fn decide<'a>(head: &[u8], claimed: Option<&'a str>) -> &'a str {
    if head.is_empty() {
        return claimed
            .filter(|name| is_textual(name) && !always_signed(name))
            .unwrap_or(UNKNOWN);
    }
    let text = is_text(head);
    match markup::look(head, claimed == Some("text/markdown")) {
        Some(Markup::Svg) => return "image/svg+xml",
        Some(Markup::Html) => {
            return claimed
                .filter(|name| *name == "application/xhtml+xml")
                .unwrap_or("text/html");
        }
        Some(Markup::Xml) => {
            return claimed
                .filter(|name| text && is_textual(name) && !always_signed(name))
                .unwrap_or("text/xml");
        }
        None => {}
    }
    let guess = match signature::look(head, text) {
        Some(Found::Surely(name)) => {
            return claimed
                .filter(|claimed| same_container(claimed, name))
                .unwrap_or(name);
        }
        Some(Found::Likely(name)) => name,
        None if text => PLAIN,
        None => UNKNOWN,
    };
    claimed
        .filter(|name| !always_signed(name) && (text || !is_textual(name)))
        .unwrap_or(guess)
}

/// Whether a file begins with text in UTF-8, without the control characters that no text has.
fn is_text(head: &[u8]) -> bool {
    let text = match str::from_utf8(head) {
        Ok(text) => text.as_bytes(),
        // The last character was cut, where the file goes on.
        Err(error) if error.error_len().is_none() && head.len() >= HEAD_BYTES => &head[..error.valid_up_to()],
        Err(_) => return false,
    };
    !text
        .iter()
        .any(|byte| matches!(byte, 0..=8 | 11 | 14..=26 | 28..=31 | 127))
}
