//! Which tables are spread where users are too many for one machine, and by what: all rows of a user are in one place, so
//! that every statement about one user is answered there.

/// The tables that hold rows of users. Every key of theirs has the column `user_id`, and no foreign key leaves them.
pub const USERS_TABLES: [&str; 11] = [
    "sync_clocks",
    "records",
    "record_search",
    "revisions",
    "purged_revisions",
    "sync_cursors",
    "contents",
    "content_variants",
    "avatars",
    "uploads",
    "upload_parts",
];

/// The table of which every machine has a copy.
pub const REFERENCE_TABLE: &str = "meta";
