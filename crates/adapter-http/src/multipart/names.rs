//! The names in the `Content-Disposition` of a part of a form.
//!
//! Forms have rules of their own (the HTML standard, RFC 7578): a quotation mark travels as `%22`, the ends of lines as `%0D` and
//! `%0A`, and everything else as it is, in UTF-8. A backslash is a letter, but before a quotation mark, where clients of before those rules
//! mean that mark.

use percent_encoding::percent_decode_str;

/// The names of a field and of its file; `None` where they can't be read, or stand there twice. Of two spellings of the latter the one in
/// `filename*` counts: forms should have none, and who sends it nevertheless means it (RFC 6266).
pub(super) fn read(disposition: &str) -> Option<(String, Option<String>)> {
    let (kind, mut rest) = disposition.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data")
        || disposition.contains(|c: char| c.is_control() && c != '\t')
    {
        return None;
    }
    let (mut name, mut filename, mut extended) = (None, None, None);
    while !rest.trim().is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = value(after.trim_start())?;
        rest = after;
        let key = key.trim().to_ascii_lowercase();
        let (place, value) = match key.as_str() {
            "name" => (&mut name, unescaped(value)),
            "filename" => (&mut filename, unescaped(value)),
            "filename*" => (&mut extended, in_utf8(value)?),
            _ => continue,
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    Some((name?, extended.or(filename)))
}

/// The value that a text begins with, and what comes after the semicolon behind it.
fn value(text: &str) -> Option<(&str, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once(';').unwrap_or((text, ""));
        return Some((value.trim(), rest));
    };
    let mut marks = quoted.match_indices('"').map(|(at, _)| at);
    // Where all of them are escaped, the last one ends a name that ends in a backslash.
    let end = marks
        .find(|at| !quoted[..*at].ends_with('\\'))
        .or_else(|| quoted.rfind('"'))?;
    let rest = quoted[end + 1..].trim_start();
    match rest.strip_prefix(';') {
        Some(rest) => Some((&quoted[..end], rest)),
        None => rest.is_empty().then_some((&quoted[..end], "")),
    }
}

fn unescaped(text: &str) -> String {
    text.replace("\\\"", "\"")
        .replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

/// What `UTF-8''` and percent signs stand for (RFC 8187).
fn in_utf8(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    let decoded = percent_decode_str(encoded).decode_utf8().ok()?;
    charset
        .eq_ignore_ascii_case("utf-8")
        .then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_browsers_write_them() {
        for (written, filename) in [
            (r#"filename="say %22hi%22.txt""#, r#"say "hi".txt"#),
            (r#"filename="C:\dir\photo.jpg""#, r"C:\dir\photo.jpg"),
            (r"filename=C:\dir\photo.jpg", r"C:\dir\photo.jpg"),
            (r#"filename="a%0D%0Ab%0Ac.txt""#, "a\r\nb\nc.txt"),
            // Nothing else is encoded: these are names with percent signs.
            (r#"filename="100%25 %41%2F %0d.txt""#, "100%25 %41%2F %0d.txt"),
            (r#"filename="a\"b\".txt""#, r#"a"b".txt"#),
            (r#"filename="a; name=b.txt""#, "a; name=b.txt"),
            (r#"filename="a\""#, r"a\"),
            (r#"filename="a\\b""#, r"a\\b"),
            ("filename=\"日記 (1)=ü.txt\"", "日記 (1)=ü.txt"),
            (r#"FileName = "a.txt" ; size=3"#, "a.txt"),
            (r#"filename="""#, ""),
            ("filename=", ""),
            (r#"filename="x"; filename*=UTF-8''%E6%97%A5.txt"#, "日.txt"),
            (r#"filename*=utf-8'en'a%22b; filename="x""#, "a\"b"),
        ] {
            let disposition = format!(r#"form-data; name="f"; {written}"#);
            let read = read(&disposition);
            assert_eq!(
                read,
                Some(("f".to_owned(), Some(filename.to_owned()))),
                "{written}"
            );
        }
        assert_eq!(read("FORM-DATA;name=f"), Some(("f".to_owned(), None)));
        assert_eq!(
            read(r#"form-data; name="a%22b""#),
            Some(("a\"b".to_owned(), None))
        );
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        for disposition in [
            "form-data",
            "form-data; filename=\"a\"",
            "attachment; name=f",
            "form-data; name=\"f",
            "form-data; name=\"f\"x; filename=\"a\"",
            "form-data; name=f; name=f",
            "form-data; name=f; filename=\"a\"; filename=\"b\"",
            "form-data; name=f; filename*=a",
            "form-data; name=f; filename*=latin1''a",
            "form-data; name=f; filename*=UTF-8''%FF",
            "form-data; name=\"f\0\"",
            "form-data; name=f; what",
        ] {
            assert_eq!(read(disposition), None, "{disposition}");
        }
    }
}
