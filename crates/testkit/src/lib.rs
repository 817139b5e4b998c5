//! For tests only: the storage conformance suite, builders, a clock that tests set, ids in sequence.
//!
//! Every promise of a store's ports is a small case of the suite, named after its rule (`docs/protocol.md`). A store
//! implements [`StoreFixture`] and joins with one line, which makes one test of each case:
//!
//! ```ignore
//! mosaic_testkit::conformance!(MyFixture);
//! ```
//!
//! A new case is an `async fn(&Harness)` in a module of `cases` and one line in the list of [`conformance!`].
#![expect(clippy::unwrap_used, reason = "a test that can't go on has to say so at once")]

pub mod cases;
mod device;
mod edits;
mod fixture;
mod gate;
mod harness;
mod memory;
mod stand_ins;

pub use device::Device;
pub use edits::{
    EditExt, bot, bot_key, by, delete, diary, diary_key, memo, memo_id, memo_key, patch, patch_memo, put,
    resource, resource_id, resource_key, resource_of, tagged,
};
pub use fixture::{StoreFixture, Stores, run};
pub use gate::{Door, Gate};
pub use harness::{Harness, at};
pub use memory::{MemoryFixture, MemoryStore, Model};
pub use stand_ins::{ManualClock, SequentialIds};

/// Makes one test of each case of the suite, for one [`StoreFixture`].
///
/// The crate that calls it needs `tokio` with the features `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! conformance {
    ($fixture:ty) => {
        $crate::conformance! { $fixture:
            stamps {
                s1_stamps_are_unique_and_increasing_across_types
                s1_writes_of_one_user_never_interleave
                s1_a_new_user_has_a_clock
                s2_time_is_read_under_the_lock
                s2_a_clock_that_steps_back_moves_stamps_forward
                s3_updates_and_tombstones_of_all_types_share_one_clock
                s4_a_replay_draws_no_stamp_and_writes_nothing
                s5_integers_up_to_2_pow_53_minus_1_survive
            }
        }
    };
    ($fixture:ty: $($module:ident { $($case:ident)* })*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::run::<$fixture>($crate::cases::$module::$case).await;
            }
        )*)*
    };
}
