//! What the machine itself provides: clock, ids, randomness, password hashing, token signing, a small file.
//!
//! These are the adapters behind the ports of `mosaic_ports::system`, and the only crate that may read the system's
//! clock and its source of randomness: everywhere else now, ids and secrets are values (rule 2 of the house).
//!
//! | port | adapter |
//! |---|---|
//! | [`Clock`](mosaic_ports::Clock) | [`SystemClock`] |
//! | [`IdGenerator`](mosaic_ports::IdGenerator) | [`UuidV7Ids`] |
//! | [`Randomness`](mosaic_ports::Randomness) | [`OsRandomness`] |
//! | [`PasswordHasher`](mosaic_ports::PasswordHasher) | [`Argon2Hasher`] |
//! | [`AccessTokens`](mosaic_ports::AccessTokens) | [`PasetoTokens`] |
//! | [`MarkStore`](mosaic_ports::MarkStore) | [`MarkFile`] |

mod clock;
mod ids;
mod mark_file;
mod password;
mod randomness;
mod token;

pub use clock::SystemClock;
pub use ids::UuidV7Ids;
pub use mark_file::MarkFile;
pub use password::Argon2Hasher;
pub use randomness::OsRandomness;
pub use token::{PasetoTokens, UnusableSeed};
