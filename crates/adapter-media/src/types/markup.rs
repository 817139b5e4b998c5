//! What is written in tags: HTML, SVG, other XML.

/// A language of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Markup {
    /// A page or a part of one.
    Html,
    /// A drawing.
    Svg,
    /// Any other XML.
    Xml,
}

/// What a page begins with.
const PAGE: &[&str] = &[
    "base", "body", "embed", "form", "frameset", "head", "html", "iframe", "link", "meta", "object",
    "script", "style", "title",
];

/// What a part of a page begins with; and many a text in Markdown.
const PART: &[&str] = &[
    "a",
    "article",
    "audio",
    "b",
    "blockquote",
    "br",
    "button",
    "center",
    "details",
    "div",
    "em",
    "font",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "i",
    "img",
    "input",
    "li",
    "main",
    "marquee",
    "math",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "span",
    "strong",
    "table",
    "td",
    "tr",
    "u",
    "ul",
    "video",
];

/// What tags a file begins with, behind a byte order mark, white space, declarations and comments.
///
/// A comment or declaration that does not end within the head hides what follows: that is a page, so that it is never
/// shown as anything else.
pub(super) fn look(head: &[u8], markdown: bool) -> Option<Markup> {
    let mut rest = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let mut xml = false;
    loop {
        rest = rest.trim_ascii_start();
        if rest.starts_with(b"<!--") {
            // `<!-->` is a whole comment.
            match after(&rest[2..], b"-->") {
                Some(behind) => rest = behind,
                None => return Some(if xml { Markup::Xml } else { Markup::Html }),
            }
        } else if rest.starts_with(b"<?") {
            xml |= begins(rest, b"<?xml");
            match after(rest, b"?>") {
                Some(behind) => rest = behind,
                None => return xml.then_some(Markup::Xml),
            }
        } else if begins(rest, b"<!doctype") {
            let name = rest[b"<!doctype".len()..].trim_ascii_start();
            if begins(name, b"html") {
                return Some(Markup::Html);
            }
            xml = true;
            match after_doctype(name) {
                Some(behind) => rest = behind,
                None => return Some(Markup::Xml),
            }
        } else {
            break;
        }
    }
    let other = xml.then_some(Markup::Xml);
    let Some(name) = tag(rest) else { return other };
    let local = name.rsplit(|byte| *byte == b':').next().unwrap_or(name);
    let is_one_of = |names: &[&str]| names.iter().any(|tag| name.eq_ignore_ascii_case(tag.as_bytes()));
    if local == b"svg" {
        Some(Markup::Svg)
    } else if local == b"html" || !xml && (is_one_of(PAGE) || !markdown && is_one_of(PART)) {
        Some(Markup::Html)
    } else {
        other
    }
}

/// The name of the tag that begins here, if it is a whole one.
fn tag(rest: &[u8]) -> Option<&[u8]> {
    let rest = rest.strip_prefix(b"<")?;
    let end = rest
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))?;
    Some(&rest[..end])
}

fn begins(rest: &[u8], with: &[u8]) -> bool {
    rest.get(..with.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(with))
}

fn after<'a>(rest: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let at = rest.windows(end.len()).position(|window| window == end)?;
    Some(&rest[at + end.len()..])
}

/// Behind a document type, which may have declarations in brackets.
fn after_doctype(name: &[u8]) -> Option<&[u8]> {
    let end = name.iter().position(|byte| matches!(byte, b'[' | b'>'))?;
    match name[end] {
        b'[' => after(after(&name[end..], b"]")?, b">"),
        _ => Some(&name[end + 1..]),
    }
}
