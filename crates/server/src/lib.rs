//! The mosaic binary: arguments, configuration, telemetry, wiring. Thin: nothing here decides anything.

pub mod cli;
mod commands;
pub mod config;
pub mod secrets;
pub mod telemetry;

pub use crate::commands::run;
