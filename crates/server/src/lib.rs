//! The mosaic binary: arguments, configuration, telemetry, wiring. Thin: nothing here decides anything.

mod atomic_file;
mod backup;
mod bundle;
mod certificate;
mod check_client;
pub mod cli;
mod commands;
pub mod config;
mod confirm;
mod control;
mod copy;
mod daily;
mod dev;
mod doctor;
mod done;
mod drawing;
mod epoch;
mod export;
mod first;
mod import;
mod listen;
mod lost;
mod progress;
mod purge;
mod screen;
pub mod secrets;
mod serve;
mod signals;
mod storage;
mod tasks;
pub mod telemetry;
mod users;
mod wiring;
mod words;

pub use crate::commands::run;
