//! The cases of the conformance suite, by what they are about.

pub mod accounts;
pub mod devices;
pub mod history;
pub mod pull;
pub mod reading;
pub mod stamps;
pub mod transfer;
pub mod writes;
