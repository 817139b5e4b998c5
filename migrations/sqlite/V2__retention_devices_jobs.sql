-- Retention (H2), what people see of their devices (D2), jobs that one instance at a time does, and a mark by which a
-- backup file is recognised.

-- "MSIC" in ASCII: whose file this is.
PRAGMA application_id = 0x4D534943;

-- When a device was served up to last_sync_at, in Unix milliseconds; 0 where it was served before this was noted.
ALTER TABLE sync_cursors ADD COLUMN served_at INTEGER NOT NULL DEFAULT 0;

-- What a purge looks for: revisions by their age, and deleted records that still have their content.
CREATE INDEX revisions_by_age ON revisions (user_id, recorded_at);
CREATE INDEX records_to_erase ON records (user_id, stamp) WHERE is_deleted = 1 AND document IS NOT NULL;

-- The greatest number of a purged revision of each record: numbers go on from there, none is given again.
CREATE TABLE purged_revisions (
    user_id     BLOB    NOT NULL REFERENCES users (user_id),
    entity_type TEXT    NOT NULL,
    record_key  TEXT    NOT NULL,
    last_number INTEGER NOT NULL CHECK (last_number >= 1),
    PRIMARY KEY (user_id, entity_type, record_key)
) STRICT, WITHOUT ROWID;

-- Jobs of the whole installation: who is at it, until when nobody else may be, and when it was last finished.
CREATE TABLE jobs (
    job        TEXT NOT NULL PRIMARY KEY,
    holder     BLOB CHECK (length(holder) = 16),
    held_until INTEGER,
    done_at    INTEGER
) STRICT, WITHOUT ROWID;
