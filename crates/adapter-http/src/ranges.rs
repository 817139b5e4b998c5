//! Which bytes of a file a `Range` header asks for (RFC 9110, section 14).
//!
//! A header that is not understood counts for nothing. What would make the server work more than the file is worth (a
//! thousand pieces of one byte) is refused before anything is read.

use std::ops::Range;

/// A request may name so many ranges.
const MOST_ASKED: usize = 64;
/// An answer has so many parts at most.
const MOST_SENT: usize = 32;

/// The bytes that are to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The whole file: nothing else was asked for, or in a way that is not understood.
    Whole,
    /// These parts of it, none of them empty, in the order in which they were asked for. None touches another.
    Parts(Vec<Range<u64>>),
    /// Nothing; why.
    Refused(&'static str),
}

/// Reads the value of a `Range` header for a file of so many bytes.
pub(crate) fn select(header: &str, size: u64) -> Selection {
    let Some((unit, set)) = header.split_once('=') else {
        return Selection::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Selection::Whole;
    }
    if set.split(',').nth(MOST_ASKED).is_some() {
        return Selection::Refused("more than 64 ranges are not answered at once");
    }
    let items = set.split(',').map(str::trim).filter(|item| !item.is_empty());
    let Some(asked) = items.map(Asked::read).collect::<Option<Vec<Asked>>>() else {
        return Selection::Whole;
    };
    if asked.is_empty() || (size == 0 && asked.iter().any(|asked| asked.is_end_of_file())) {
        return Selection::Whole;
    }
    let parts = coalesce(asked.into_iter().filter_map(|asked| asked.within(size)));
    match parts.len() {
        0 => Selection::Refused("none of these bytes are in the file"),
        1..=MOST_SENT => Selection::Parts(parts),
        _ => Selection::Refused("more than 32 ranges that do not touch are not answered at once"),
    }
}

/// One range, as it was asked for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    From { first: u64, last: u64 },
    Last(u64),
}

impl Asked {
    fn read(item: &str) -> Option<Self> {
        let (first, last) = item.split_once('-')?;
        match (first, last) {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From {
                first: number(first)?,
                last: u64::MAX,
            }),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From { first, last })
            }
        }
    }

    /// Whether it asks for the end of the file, however long that is: an empty file has one, too.
    fn is_end_of_file(self) -> bool {
        matches!(self, Self::Last(1..))
    }

    fn within(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From { first, last } => first..last.saturating_add(1).min(size),
            Self::Last(bytes) => size.saturating_sub(bytes)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

/// Digits; what is too large for 64 bits lies beyond every file.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Joins ranges that overlap or follow each other; each stands where the first of them stood.
fn coalesce(ranges: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::new();
    for mut range in ranges {
        let mut place = joined.len();
        while let Some(at) = joined
            .iter()
            .position(|other| other.start <= range.end && range.start <= other.end)
        {
            let other = joined.remove(at);
            range = range.start.min(other.start)..range.end.max(other.end);
            place = place.min(at);
        }
        joined.insert(place, range);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(header: &str, size: u64) -> Vec<(u64, u64)> {
        match select(header, size) {
            Selection::Parts(parts) => parts.iter().map(|part| (part.start, part.end)).collect(),
            other => panic!("{header}: {other:?}"),
        }
    }

    fn is_refused(header: &str, size: u64) -> bool {
        matches!(select(header, size), Selection::Refused(_))
    }

    #[test]
    fn one_range_is_read() {
        for (header, from, to) in [
            ("bytes=0-0", 0, 1),
            ("bytes=0-99", 0, 100),
            ("bytes=10-", 10, 100),
            ("bytes=99-99", 99, 100),
            ("bytes=90-1000", 90, 100),
            ("bytes=-1", 99, 100),
            ("bytes=-1000", 0, 100),
            ("Bytes= 5-6 ", 5, 7),
            ("bytes=,5-6,", 5, 7),
            ("bytes=0-18446744073709551615", 0, 100),
            ("bytes=0-99999999999999999999999999", 0, 100),
            ("bytes=-99999999999999999999999999", 0, 100),
        ] {
            assert_eq!(parts(header, 100), [(from, to)], "{header}");
        }
    }

    #[test]
    fn what_is_not_understood_counts_for_nothing() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=2-1",
            "bytes=+1-2",
            "bytes=1-+2",
            "bytes=--5",
            "bytes=0x1-2",
            "bytes=1-2-3",
            "bytes=1.5-2",
            "bytes=0-1,x",
            "bytes=0-1;2-3",
            "pages=1-2",
            "=1-2",
        ] {
            assert_eq!(select(header, 100), Selection::Whole, "{header}");
        }
    }

    #[test]
    fn what_lies_beyond_the_end_is_refused() {
        for header in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=100-,200-300"] {
            assert!(is_refused(header, 100), "{header}");
        }
        assert!(is_refused("bytes=99999999999999999999999999-", 100));
    }

    #[test]
    fn of_several_ranges_those_that_are_there_are_sent_in_order() {
        assert_eq!(
            parts("bytes=50-59, 0-9,100-,-10", 100),
            [(50, 60), (0, 10), (90, 100)]
        );
    }

    #[test]
    fn ranges_that_touch_become_one() {
        for (header, joined) in [
            ("bytes=0-9,10-19", vec![(0, 20)]),
            ("bytes=10-19,0-9", vec![(0, 20)]),
            ("bytes=0-,-1", vec![(0, 100)]),
            ("bytes=5-5,5-5,5-5", vec![(5, 6)]),
            ("bytes=80-89,0-9,20-29,5-25", vec![(80, 90), (0, 30)]),
            ("bytes=0-9,20-29,40-49,60-69,5-65", vec![(0, 70)]),
            ("bytes=0-9,11-19", vec![(0, 10), (11, 20)]),
        ] {
            assert_eq!(parts(header, 100), joined, "{header}");
        }
    }

    #[test]
    fn an_empty_file_has_an_end_and_no_bytes() {
        assert_eq!(select("bytes=-5", 0), Selection::Whole);
        for header in ["bytes=0-", "bytes=0-0", "bytes=-0"] {
            assert!(is_refused(header, 0), "{header}");
        }
    }

    #[test]
    fn many_ranges_are_refused() {
        let header = |count: u64, step: u64| {
            let ranges: Vec<String> = (0..count).map(|i| format!("{0}-{0}", i * step)).collect();
            format!("bytes={}", ranges.join(","))
        };
        assert_eq!(parts(&header(64, 1), 10_000), [(0, 64)]);
        assert!(is_refused(&header(65, 1), 10_000));
        assert_eq!(parts(&header(32, 2), 10_000).len(), 32);
        assert!(is_refused(&header(33, 2), 10_000));
        assert!(is_refused(&header(1_000, 2), 10_000));
    }
}
