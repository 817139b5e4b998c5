//! New ids: UUIDs of version 7, which begin with the time, so that new rows sit next to each other in an index.

use mosaic_ports::IdGenerator;
use uuid::Uuid;

/// Makes UUIDs of version 7: 48 bits of time, then a counter and randomness of the operating system.
///
/// Within one process each id sorts after those before it, also within a millisecond. Nothing depends on that: ids say
/// who a record is, stamps say when it changed.
#[derive(Debug, Clone, Copy, Default)]
pub struct UuidV7Ids;

impl IdGenerator for UuidV7Ids {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the IdGenerator port's implementation: ids enter here and nowhere else"
    )]
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    #[test]
    fn ids_are_version_7_of_the_standard_layout() {
        let id = UuidV7Ids.next();
        assert_eq!(id.get_version(), Some(uuid::Version::SortRand));
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn ids_of_one_thread_sort_in_the_order_they_were_made() {
        let ids: Vec<Uuid> = (0..10_000).map(|_| UuidV7Ids.next()).collect();
        assert!(ids.is_sorted_by(|earlier, later| earlier < later));
    }

    #[test]
    fn threads_never_make_the_same_id() {
        let threads: Vec<_> = (0..4)
            .map(|_| thread::spawn(|| (0..5_000).map(|_| UuidV7Ids.next()).collect::<Vec<_>>()))
            .collect();
        let ids: HashSet<Uuid> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        assert_eq!(ids.len(), 20_000);
    }
}
