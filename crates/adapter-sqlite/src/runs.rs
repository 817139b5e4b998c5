//! Which runs of three characters a long text has, as a bitmap that stands beside it: a search passes over a text that
//! lacks a run of its terms without reading it. What decides is the text.
//!
//! The bitmaps are stored: changing how a run finds its bit takes a migration that sets them to NULL.

use mosaic_domain::search::SearchTerms;

/// Texts of fewer bytes have none: they are read faster than their bitmaps would be.
const LONG: usize = 2_048;
/// The most bits that a bitmap has: no text makes it longer than 4 KiB.
const MOST_BITS: usize = 1 << 15;
/// How many runs of one term are looked for, at most.
const OF_A_TERM: usize = 8;

/// The bitmap of a normalised text that is long enough to have one.
pub(crate) fn of(body: &str) -> Option<Vec<u8>> {
    if body.len() < LONG {
        return None;
    }
    let bits = (2 * body.chars().count()).next_power_of_two().min(MOST_BITS);
    let mut bitmap = vec![0; bits / 8];
    for run in hashes(body) {
        let bit = run % bits;
        bitmap[bit / 8] |= 1 << (bit % 8);
    }
    Some(bitmap)
}

/// The runs that a search looks for: few of each term, spread over it, whatever its length.
#[derive(Debug)]
pub(crate) struct SearchRuns(Vec<usize>);

impl SearchRuns {
    pub(crate) fn of(terms: &SearchTerms) -> Self {
        let mut wanted = Vec::new();
        for term in terms.iter() {
            let runs: Vec<usize> = hashes(term).collect();
            let every = runs.len().div_ceil(OF_A_TERM).max(1);
            wanted.extend(runs.into_iter().step_by(every));
        }
        wanted.sort_unstable();
        wanted.dedup();
        Self(wanted)
    }

    /// Whether the text of this bitmap may contain all terms.
    pub(crate) fn may_be_in(&self, bitmap: &[u8]) -> bool {
        let bits = bitmap.len() * 8;
        let has = |run: &usize| {
            let bit = run % bits;
            bitmap[bit / 8] & (1 << (bit % 8)) != 0
        };
        bits == 0 || self.0.iter().all(has)
    }
}

/// A number below [`MOST_BITS`] for each run of the text.
fn hashes(text: &str) -> impl Iterator<Item = usize> {
    let mut chars = text.chars().map(|c| u64::from(u32::from(c)));
    let mut run = chars.next().unwrap_or_default() << 21 | chars.next().unwrap_or_default();
    chars.map(move |next| {
        // A character has 21 bits, so that the run has 63.
        run = (run << 21 | next) & (u64::MAX >> 1);
        let mixed = run.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        usize::try_from(mixed >> (64 - MOST_BITS.ilog2())).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(terms: &str) -> SearchRuns {
        SearchRuns::of(&SearchTerms::parse(terms).unwrap())
    }

    fn long(text: &str) -> Vec<u8> {
        of(&format!("{text} {}", "z".repeat(LONG))).unwrap()
    }

    #[test]
    fn a_text_has_the_runs_of_what_it_contains() {
        let bitmap = long("今天天气很好 and the weather, too");
        for term in ["天天气", "很好 a", "weather", "r, too zz", "天", "and"] {
            assert!(wanted(term).may_be_in(&bitmap), "{term}");
        }
        for term in ["天気予報", "whether", "and nothing"] {
            assert!(!wanted(term).may_be_in(&bitmap), "{term}");
        }
    }

    #[test]
    fn only_long_texts_have_a_bitmap_and_no_text_a_long_one() {
        assert_eq!(of("short"), None);
        let all: String = ('一'..='龥').chain('가'..='힣').collect();
        assert_eq!(of(&all.repeat(20)).unwrap().len(), MOST_BITS / 8);
        assert_eq!(of(&"z".repeat(LONG)).unwrap().len(), 512);
    }

    #[test]
    fn of_a_long_term_few_runs_are_looked_for() {
        let term: String = ('a'..='z').cycle().take(900).collect();
        assert!(wanted(&term).0.len() <= OF_A_TERM);
        assert!(wanted("ab").0.is_empty());
        let many = ('a'..='z').map(|c| format!("{c}{}", &term[..20]));
        let many = many.collect::<Vec<_>>().join(" ");
        assert!(wanted(&many).0.len() <= 26 * OF_A_TERM);
    }

    /// They are stored: this fails if they change.
    #[test]
    fn bits_stay_where_they_are() {
        let bitmap = of(&"memo".repeat(LONG / 4)).unwrap();
        let set: Vec<usize> = (0..bitmap.len() * 8)
            .filter(|bit| bitmap[bit / 8] & (1 << (bit % 8)) != 0)
            .collect();
        assert_eq!(set, [674, 860, 3_390, 3_948]);
    }
}
