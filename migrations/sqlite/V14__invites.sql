-- Links by which people make accounts of their own: each makes one. An account that is removed takes with it those that it
-- made, and the one that it was made by, so there are no foreign keys.
CREATE TABLE invites (
    invite_id   BLOB    NOT NULL PRIMARY KEY CHECK (length(invite_id) = 16),
    -- The SHA-256 of the secret in the link.
    secret_hash BLOB    NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    -- The administrator who made it; none: whoever may use the command line.
    made_by     BLOB    CHECK (length(made_by) = 16),
    -- What the account that is made by it may do and store, as in users.
    role        TEXT    NOT NULL,
    quota_bytes INTEGER,
    made_at     INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    -- When it came to an end before it expired: used by that account, or else taken back.
    ended_at    INTEGER,
    used_by     BLOB    CHECK (length(used_by) = 16),
    CHECK (used_by IS NULL OR ended_at IS NOT NULL)
) STRICT, WITHOUT ROWID;
