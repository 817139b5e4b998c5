//! Whether two sides hold the same records: a count and a hash per entity type, whatever the order of the records.
//!
//! The hash of a type is the sum, modulo 2^64, of one number per live record: the first eight bytes, big-endian, of the
//! SHA-256 of the record's key, a space and its edit time in decimal digits. Key and edit time are what an app has in its
//! own database, so that it can compute the same (`docs/protocol.md`). A sum needs no order, and one record that differs,
//! is missing or stands twice changes it.

use sha2::{Digest as _, Sha256};

use crate::entity::RecordKey;
use crate::time::EditTime;

/// The digest of one entity type.
///
/// ```
/// use mosaic_domain::{EditTime, RecordKey, digest::Digest};
/// let key = "0198f3a2-7b1c-7def-8000-1234567890ab".parse().map(RecordKey::Memo).unwrap();
/// let mut digest = Digest::default();
/// digest.add(key, EditTime::clamped(1_715_000_000_000));
/// assert_eq!(digest.count(), 1);
/// // printf '0198f3a2-7b1c-7def-8000-1234567890ab 1715000000000' | sha256sum | cut -c 1-16
/// assert_eq!(digest.hash(), "6539ad11bf03a7f0");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    count: u64,
    sum: u64,
}

impl Digest {
    /// Adds a live record.
    pub fn add(&mut self, key: RecordKey, edit_time: EditTime) {
        let hash = Sha256::digest(format!("{key} {edit_time}").as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        self.count += 1;
        self.sum = self.sum.wrapping_add(u64::from_be_bytes(first));
    }

    /// How many live records.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The hash: 16 hexadecimal digits in lower case, all zeros where there is no record.
    pub fn hash(&self) -> String {
        format!("{:016x}", self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(records: &[(u128, i64)]) -> Digest {
        let mut digest = Digest::default();
        for (id, time) in records {
            let key = RecordKey::Memo(crate::MemoId::new(uuid::Uuid::from_u128(*id)));
            digest.add(key, EditTime::clamped(*time));
        }
        digest
    }

    #[test]
    fn the_order_does_not_matter_and_everything_else_does() {
        let all = digest(&[(1, 10), (2, 20), (3, 30)]);
        assert_eq!(all, digest(&[(3, 30), (1, 10), (2, 20)]));
        assert_eq!(all.count(), 3);
        for other in [
            &[(1, 10), (2, 20)][..],
            &[(1, 10), (2, 20), (3, 31)],
            &[(1, 20), (2, 10), (3, 30)],
            &[(1, 10), (2, 20), (3, 30), (3, 30)],
        ] {
            assert_ne!(all, digest(other), "{other:?}");
        }
    }

    #[test]
    fn the_numbers_of_the_records_are_added_up_beyond_their_end() {
        let number = |records: &[_]| u64::from_str_radix(&digest(records).hash(), 16).unwrap();
        let records: Vec<_> = (1..=9).map(|n| (n, 10)).collect();
        let numbers: Vec<_> = records.iter().map(|record| number(&[*record])).collect();
        assert!(numbers.iter().map(|n| u128::from(*n)).sum::<u128>() > u128::from(u64::MAX));
        let sum = numbers.into_iter().fold(0, u64::wrapping_add);
        assert_eq!(number(&records), sum);
    }

    #[test]
    fn nothing_has_a_hash_of_zeros() {
        assert_eq!((digest(&[]).count(), digest(&[]).hash()), (0, "0".repeat(16)));
    }
}
