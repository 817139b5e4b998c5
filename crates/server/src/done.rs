//! What a command has to say when it has ended well.

/// What a command did that goes on past what it can't read.
#[derive(Debug)]
pub(crate) struct Done {
    /// What to print.
    pub(crate) said: String,
    /// How many records and revisions can't be read; of a backup with attachments also how many of these are missing.
    pub(crate) unreadable: u64,
}
