//! What a decision comes to. The rules of accounts, logins, leases and attachments are functions from what a store found, under
//! its lock, to a [`Plan`]; the store carries it out in the same transaction, all or nothing, and then answers. They
//! are pure, so a store may ask again after a retry. Records have a plan of their own
//! ([`WritePlan`](crate::write::WritePlan)).

/// What a store writes after a decision, and what it answers once that is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<W, O> {
    /// What is written; `None`: nothing.
    pub write: Option<W>,
    /// What became of what was asked for.
    pub outcome: O,
}

impl<W, O> Plan<W, O> {
    /// Writes something.
    pub fn write(write: W, outcome: O) -> Self {
        Self {
            write: Some(write),
            outcome,
        }
    }

    /// Writes nothing.
    pub fn nothing(outcome: O) -> Self {
        Self { write: None, outcome }
    }
}
