//! Last-writer-wins (W2) is one total order, so taking the greatest of any set of states needs no order of arrival.

use std::cmp::Ordering;

use mosaic_domain::version::{MergeState, compare};
use mosaic_domain::{Content, UnixMillis, Version};
use proptest::prelude::*;

use crate::support::{config, memos, versions};

/// A state that was offered for a record: live with a content and a creation time, or deleted.
type Offered = (Version, Option<(Content, UnixMillis)>);

fn offered() -> impl Strategy<Value = Offered> {
    let live = (memos(), (0..3_i64).prop_map(UnixMillis::clamped));
    (versions(), proptest::option::of(live))
}

fn judge(a: &Offered, b: &Offered) -> Ordering {
    compare((&a.0, claim(a)), (&b.0, claim(b)))
}

fn claim(offered: &Offered) -> MergeState<'_> {
    match &offered.1 {
        Some((content, created_at)) => MergeState::Live(content, *created_at),
        None => MergeState::Deleted,
    }
}

fn winner(a: Offered, b: Offered) -> Offered {
    if judge(&a, &b) == Ordering::Less { b } else { a }
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn w2_the_order_is_total(a in offered(), b in offered(), c in offered()) {
        prop_assert_eq!(judge(&a, &b), judge(&b, &a).reverse());
        prop_assert_eq!(judge(&a, &b) == Ordering::Equal, a == b);
        if judge(&a, &b) != Ordering::Less && judge(&b, &c) != Ordering::Less {
            prop_assert_ne!(judge(&a, &c), Ordering::Less);
        }
    }

    #[test]
    fn w2_taking_the_winner_is_commutative_associative_and_idempotent(a in offered(), b in offered(), c in offered()) {
        prop_assert_eq!(winner(a.clone(), b.clone()), winner(b.clone(), a.clone()));
        prop_assert_eq!(
            winner(winner(a.clone(), b.clone()), c.clone()),
            winner(a.clone(), winner(b, c))
        );
        prop_assert_eq!(winner(a.clone(), a.clone()), a);
    }
}
