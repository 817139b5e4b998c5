//! Each rule as the domain decides it, edit by edit, and what must hold for every history. No database, no clock.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has to say so at once")]

mod convergence;
mod entities;
mod kept_json;
mod partial_edits;
mod pull_rules;
mod pulling;
mod room;
mod support;
mod versions;
mod write_rules;
