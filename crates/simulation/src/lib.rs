//! For tests only: nothing is lost. Devices of several users, which are the client in Rust, go through a script made from a seed
//! against real servers, whatever fails: requests and answers are cut at any byte or come twice, servers are killed, stores are set
//! back, clocks are wrong, phones are reinstalled, restored and copied. After each sync the server is held against a model of
//! the protocol, and at the end all devices are held against the server.
//!
//! Times in a script are those of the devices: the server's clock is the real one, and a device's is ahead or behind. So a device that
//! was offline for days is one whose clock was days behind when its edits were made.

mod device;
mod model;
mod run;
mod script;
mod shrink;
mod steps;
mod world;

pub use run::{Figures, RunFailed, run};
pub use script::{STEPS, Script, Store, generate};
pub use shrink::shrink;

/// Why a run failed, for people.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// What may fail.
pub type Outcome<T = ()> = Result<T, Failure>;
