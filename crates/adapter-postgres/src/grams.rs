//! The index of the search: hashes of runs of three characters.
//!
//! A hash is made of the user and of the run's bucket, one of [`BUCKETS`]. So the same word in the texts of two users has
//! two hashes, a search never wades through the texts of others, and a text of any length has a bounded number of hashes.
//! Two runs in one bucket, or two users with one hash, only let a text be looked at that does not contain the term.
//!
//! The hashes are stored: changing anything here takes a migration that makes them anew.

use mosaic_domain::UserId;

/// How many buckets there are, and so the most hashes that a text can have.
const BUCKETS: usize = 1 << 15;

/// How many characters a run has. A term that is shorter can't be looked up.
const RUN: usize = 3;

/// The hashes of a normalised text, or of a term, ascending and without repetition.
pub(crate) fn of(user: UserId, text: &str) -> Vec<i32> {
    let of_user = fnv(OFFSET, user.uuid().as_bytes());
    // A bit for each bucket.
    let mut seen = [0_u64; BUCKETS / 64];
    let mut hashes = Vec::new();
    let mut chars = text.chars();
    let mut run = [chars.next(), chars.next()].map(Option::unwrap_or_default);
    for next in chars {
        let [first, second] = run;
        let bucket = bucket([first, second, next]);
        let (word, bit) = (&mut seen[bucket / 64], 1 << (bucket % 64));
        if *word & bit == 0 {
            *word |= bit;
            hashes.push(fold(fnv(of_user, &bucket.to_le_bytes())));
        }
        run = [second, next];
    }
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// How many hashes of one term are looked up, at most, and how many of a whole search.
const OF_A_TERM: usize = 4;
const OF_A_SEARCH: usize = 16;

/// The hashes that a search is looked up by: few, whatever the length and the number of its terms. The text decides.
pub(crate) fn few<'a>(user: UserId, terms: impl Iterator<Item = &'a str>) -> Vec<i32> {
    let of_term = |term: &'a str| {
        let hashes = of(user, term);
        let every = hashes.len().div_ceil(OF_A_TERM).max(1);
        hashes.into_iter().step_by(every)
    };
    terms.flat_map(of_term).take(OF_A_SEARCH).collect()
}

fn bucket(run: [char; RUN]) -> usize {
    let hash = run
        .into_iter()
        .fold(OFFSET, |hash, c| fnv(hash, &u32::from(c).to_le_bytes()));
    let folded = hash ^ (hash >> 32);
    usize::try_from(folded % BUCKETS as u64).unwrap_or_default()
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a, 64 bits.
fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// 64 bits to the 32 that are stored.
fn fold(hash: u64) -> i32 {
    let folded = (hash ^ (hash >> 32)) & u64::from(u32::MAX);
    u32::try_from(folded).unwrap_or_default().cast_signed()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn user(n: u128) -> UserId {
        UserId::new(Uuid::from_u128(n))
    }

    #[test]
    fn what_a_text_contains_has_hashes_that_the_text_has() {
        let text = of(user(1), "今天天气很好 and the weather, too");
        for term in ["天天气", "很好 a", "weather", "r, too"] {
            let term = of(user(1), term);
            assert!(!term.is_empty());
            assert!(term.iter().all(|hash| text.contains(hash)));
        }
        assert!(of(user(1), "ab").is_empty());
        assert!(of(user(1), "").is_empty());
    }

    #[test]
    fn a_search_has_few_hashes_all_of_them_of_its_terms() {
        let long: String = ('a'..='z').chain('0'..='9').cycle().take(900).collect();
        let hashes = few(user(1), [long.as_str(), "ab"].into_iter());
        assert!((2..=OF_A_TERM).contains(&hashes.len()), "{hashes:?}");
        let all = of(user(1), &long);
        assert!(hashes.iter().all(|hash| all.contains(hash)));
        assert_eq!(
            few(user(1), std::iter::repeat_n("weather", 32)).len(),
            OF_A_SEARCH
        );
        assert_eq!(few(user(1), ["ab"].into_iter()), [0; 0]);
    }

    #[test]
    fn two_users_have_different_hashes_of_one_text() {
        let (a, b) = (of(user(1), "weather"), of(user(2), "weather"));
        assert!(a.iter().all(|hash| !b.contains(hash)));
    }

    #[test]
    fn a_long_text_has_no_more_hashes_than_there_are_buckets() {
        let text: String = ('一'..='龥').chain('가'..='힣').collect();
        let hashes = of(user(1), &text);
        assert!(
            hashes.len() > BUCKETS / 2 && hashes.len() <= BUCKETS,
            "{}",
            hashes.len()
        );
    }

    /// They are stored: this fails if they change.
    #[test]
    fn hashes_stay_as_they_are() {
        assert_eq!(of(user(7), "memo"), [-847_647_795, 586_846_340]);
    }
}
