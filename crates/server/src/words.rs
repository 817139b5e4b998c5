//! Numbers as a person reads them.

/// So many of a thing: `1 user`, `1,234 users`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number))
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes: `18.2 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return counted(bytes, "byte");
    }
    // In tenths of the unit, rounded down.
    let (mut tenths, mut unit) = (u128::from(bytes) * 10 / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn numbers_and_sizes_can_be_read() {
        for (bytes, said) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1_023, "1,023 bytes"),
            (1_024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (1_048_576, "1.0 MiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(size(bytes), said);
        }
        for (count, said) in [
            (0, "0 users"),
            (1, "1 user"),
            (2, "2 users"),
            (999, "999 users"),
            (1_000, "1,000 users"),
            (12_345_678, "12,345,678 users"),
        ] {
            assert_eq!(counted(count, "user"), said);
        }
    }

    /// What is counted in the texts of the commands.
    const THINGS: [&str; 15] = [
        "account",
        "attachment",
        "backup",
        "byte",
        "edit",
        "file",
        "finding",
        "line",
        "new file",
        "page",
        "record",
        "revision",
        "scenario",
        "step",
        "user",
    ];

    /// The texts of a source in which a number stands before a plural: `{users} users`, which one day is `1 users`.
    fn numbers_before_plurals(source: &str) -> Vec<&str> {
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        // A constant is never 1.
        let is_constant = |before: &str| before.ends_with(|c: char| c.is_ascii_uppercase());
        let is_plural = |word: &str| THINGS.iter().any(|thing| word.strip_suffix('s') == Some(thing));
        let is_wrong = |line: &&str| {
            let pieces: Vec<_> = line.split("} ").collect();
            let mut pairs = pieces.windows(2);
            pairs.any(|pair| {
                let word = pair[1].split(|c: char| !c.is_alphabetic()).next();
                !is_constant(pair[0]) && word.is_some_and(is_plural)
            })
        };
        code.lines().filter(is_wrong).collect()
    }

    fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
                found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }

    #[test]
    fn one_thing_is_no_plural_anywhere() {
        assert_eq!(numbers_before_plurals(r#"format!("{n} users")"#).len(), 1);
        assert!(numbers_before_plurals(r#"format!("{} of {}", counted(n, "user"))"#).is_empty());
        let mut found = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        for (path, source) in &found {
            let wrong = numbers_before_plurals(source);
            assert!(wrong.is_empty(), "{path}: {wrong:#?}: use `words::counted`");
        }
    }
}
