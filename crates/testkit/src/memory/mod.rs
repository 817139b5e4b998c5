//! A store in memory: the ports' promises in the fewest words.
//!
//! [`Model`] is one user's data without any lock or thread, for property tests that replay thousands of histories.
//! [`MemoryStore`] puts the ports around it, so that the suite is tested itself and use cases can be tested against the
//! real rules.

mod accounts;
mod contents;
mod model;
mod store;
mod transfer;
mod upkeep;
mod uploads;

pub use model::Model;
pub use store::{MemoryFixture, MemoryStore};
