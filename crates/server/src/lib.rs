//! The mosaic binary: arguments, configuration, telemetry, wiring. Thin: nothing here decides anything.

pub mod cli;
mod commands;
pub mod config;
mod copy;
pub mod secrets;
mod serve;
pub mod telemetry;
mod users;
mod wiring;

pub use crate::commands::run;
