//! The statements of a script, one by one.

/// The statements of a script, with the comments before them, and without the semicolons that end them. A semicolon in a
/// quoted text, a quoted name, a body between dollars or a comment ends nothing.
pub(crate) fn statements(script: &str) -> Vec<&str> {
    let (mut found, mut start, mut at) = (Vec::new(), 0, 0);
    let mut says_something = false;
    while at < script.len() {
        let rest = &script[at..];
        let (token, length) = token(rest);
        at += length;
        match token {
            Token::End if says_something => {
                found.push(script[start..at - length].trim());
                says_something = false;
                start = at;
            }
            Token::Text => says_something = true,
            Token::Space | Token::End => {}
        }
    }
    if says_something {
        found.push(script[start..].trim());
    }
    found
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// The end of a statement.
    End,
    /// A comment, or what is between words.
    Space,
    /// All else.
    Text,
}

/// What a text begins with, and how long that is.
fn token(rest: &str) -> (Token, usize) {
    let Some(first) = rest.chars().next() else {
        return (Token::Space, 0);
    };
    if first == ';' {
        return (Token::End, 1);
    }
    if rest.starts_with("--") {
        return (Token::Space, up_to("\n", rest, 0));
    }
    if rest.starts_with("/*") {
        return (Token::Space, comment(rest));
    }
    let is_of_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    let length = match first {
        // A quote that is meant to be one is doubled, and so looks like the beginning of another text.
        '\'' | '"' => up_to(&rest[..1], rest, 1),
        'e' | 'E' if rest[1..].starts_with('\'') => escaped(rest),
        '$' => body(rest),
        // A whole word: neither a dollar nor an E within it begins anything.
        _ if is_of_word(first) => rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()),
        _ => first.len_utf8(),
    };
    let token = if first.is_whitespace() {
        Token::Space
    } else {
        Token::Text
    };
    (token, length)
}

/// The length of what ends with the next `end` from a place on.
fn up_to(end: &str, rest: &str, from: usize) -> usize {
    rest[from..]
        .find(end)
        .map_or(rest.len(), |place| from + place + end.len())
}

/// The length of a comment, in which others may stand.
fn comment(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        let step = &rest.as_bytes()[at..];
        at += if step.starts_with(b"/*") {
            depth += 1;
            2
        } else if step.starts_with(b"*/") {
            depth -= 1;
            2
        } else {
            1
        };
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The length of `E'...'`, in which a backslash takes what follows for itself.
fn escaped(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(2) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '\'' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of what stands between two equal `$tag$`, or of a dollar that is one.
fn body(rest: &str) -> usize {
    let tag = rest[1..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
    let Some(end) = tag
        .map(|length| length + 1)
        .filter(|end| rest[*end..].starts_with('$'))
    else {
        return 1;
    };
    if rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return 1;
    }
    up_to(&rest[..=end], rest, end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_semicolon_ends_a_statement_only_where_it_stands_for_itself() {
        for one in [
            "SELECT ';', 'it''s; ', \"a;\"\"b\"",
            "SELECT E'\\';', e'\\\\', 'E;'",
            "SELECT 1 -- one; and ' no quote\n + 1",
            "SELECT 1 /* ; /* ; */ '; */ + 1",
            "DO $$ BEGIN PERFORM ';'; END; $$",
            "DO $body$ SELECT $$;$$; $1$; $body$",
            "SELECT a$$b, $1 + $2, 'größer;'",
            "SELECT name'; '",
        ] {
            let script = format!("{one};\n-- Nothing;\nSELECT 2;");
            let more = "-- Nothing;\nSELECT 2";
            assert_eq!(statements(&script), [one, more]);
        }
    }

    #[test]
    fn what_says_nothing_is_no_statement() {
        for nothing in ["", " ;; ; ", "-- only; this", "/* or; this */;\n"] {
            assert_eq!(statements(nothing), [""; 0], "{nothing}");
        }
        assert_eq!(statements("SELECT 1; -- the end"), ["SELECT 1"]);
    }

    /// No form of text that is not ended keeps it from coming to an end.
    #[test]
    fn a_text_without_an_end_goes_up_to_the_end() {
        for open in [
            "SELECT 'a;",
            "SELECT E'\\",
            "SELECT \"a;",
            "DO $x$ ;$y$",
            "SELECT 1 /* ; /* */",
        ] {
            assert_eq!(statements(open), [open]);
        }
    }
}
