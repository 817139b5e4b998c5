//! The cases of the conformance suite, by what they are about.

pub mod history;
pub mod pull;
pub mod stamps;
pub mod writes;
