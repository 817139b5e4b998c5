-- The schema of the embedded store. Every key of what a user owns begins with user_id, and no statement leaves it out.
-- UUIDs are blobs of 16 bytes, moments are Unix milliseconds, flags are 0 or 1.

-- One row. The epoch names the history that this database holds (R2).
CREATE TABLE meta (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    epoch    BLOB    NOT NULL CHECK (length(epoch) = 16)
) STRICT;

CREATE TABLE users (
    user_id              BLOB    NOT NULL PRIMARY KEY CHECK (length(user_id) = 16),
    username             TEXT    NOT NULL,
    -- The form in which names are compared: no two users differ in letter case alone.
    username_folded      TEXT    NOT NULL UNIQUE,
    password_hash        TEXT    NOT NULL,
    avatar_url           TEXT,
    role                 TEXT    NOT NULL CHECK (role IN ('admin', 'user')),
    must_change_password INTEGER NOT NULL CHECK (must_change_password IN (0, 1)),
    is_disabled          INTEGER NOT NULL CHECK (is_disabled IN (0, 1)),
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One clock per user, made with the user (S1).
CREATE TABLE sync_clocks (
    user_id    BLOB    NOT NULL PRIMARY KEY REFERENCES users (user_id),
    last_stamp INTEGER NOT NULL CHECK (last_stamp BETWEEN 0 AND 9007199254740991)
) STRICT, WITHOUT ROWID;

-- All records of all types. The document is the content; what stands beside it is what sync needs to know, and copies
-- of the fields that are searched and sorted by. So a new type needs no new table. The document comes last: it is the
-- long one, and columns after it would be slow to reach.
CREATE TABLE records (
    user_id        BLOB    NOT NULL REFERENCES users (user_id),
    entity_type    TEXT    NOT NULL,
    record_key     TEXT    NOT NULL,
    stamp          INTEGER NOT NULL CHECK (stamp BETWEEN 0 AND 9007199254740991),
    edit_time      INTEGER NOT NULL CHECK (edit_time BETWEEN 0 AND 9007199254740991),
    author         TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    revision_count INTEGER NOT NULL,
    is_deleted     INTEGER NOT NULL CHECK (is_deleted IN (0, 1)),
    is_archived    INTEGER NOT NULL CHECK (is_archived IN (0, 1)),
    parent_key     TEXT,
    day            TEXT,
    sort_order     INTEGER,
    -- The row of record_search that holds the text; NULL for what is never found, tombstones among them.
    search_id      INTEGER UNIQUE,
    -- NULL only for a tombstone whose content is unknown or erased.
    document       TEXT,
    PRIMARY KEY (user_id, entity_type, record_key),
    CONSTRAINT records_stamp_is_unique UNIQUE (user_id, stamp),
    CHECK (is_deleted = 1 OR document IS NOT NULL)
) STRICT;

-- Pulls: what changed of one type after a cursor, in stamp order (P1, P2).
CREATE INDEX records_by_stamp ON records (user_id, entity_type, stamp);
-- Lists, the newest first.
CREATE INDEX records_by_creation ON records (user_id, entity_type, is_deleted, created_at DESC, record_key);
-- The children of a memo, in their order, and the greatest place among them.
CREATE INDEX records_by_parent ON records (user_id, entity_type, is_deleted, parent_key, sort_order, record_key);
-- What is filed under a day.
CREATE INDEX records_by_day ON records (user_id, entity_type, day) WHERE is_deleted = 0 AND day IS NOT NULL;

-- Normalised text, cut into runs of three characters, so that it finds parts of words, also in languages that write no
-- spaces. It only narrows the candidates: what decides is that the text contains the term.
CREATE VIRTUAL TABLE record_search USING fts5 (body, tokenize = 'trigram case_sensitive 1', columnsize = 0);

-- Every version that lost, was overwritten or was deleted (H1). revision_id is derived from what it holds, so that
-- keeping a version twice keeps it once (W3).
CREATE TABLE revisions (
    user_id         BLOB    NOT NULL REFERENCES users (user_id),
    revision_id     BLOB    NOT NULL CHECK (length(revision_id) = 16),
    entity_type     TEXT    NOT NULL,
    record_key      TEXT    NOT NULL,
    revision_number INTEGER NOT NULL CHECK (revision_number >= 1),
    edit_time       INTEGER NOT NULL,
    author          TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    reason          TEXT    NOT NULL CHECK (reason IN ('overwritten', 'superseded', 'deleted')),
    recorded_at     INTEGER NOT NULL,
    document        TEXT    NOT NULL,
    PRIMARY KEY (user_id, revision_id),
    UNIQUE (user_id, entity_type, record_key, revision_number)
) STRICT;

-- Recognises the replay of a version that was overwritten since (W3).
CREATE INDEX revisions_by_version ON revisions (user_id, entity_type, record_key, edit_time, author);

-- What each device was served up to, in the words of rule D1; SQLite holds to the CHECKs instead of the lengths.
CREATE TABLE sync_cursors (
    client_id    VARCHAR(64) NOT NULL CHECK (length(client_id) BETWEEN 1 AND 64),
    user_id      UUID        NOT NULL CHECK (typeof(user_id) = 'blob') REFERENCES users (user_id),
    entity_type  VARCHAR(32) NOT NULL CHECK (length(entity_type) BETWEEN 1 AND 32),
    last_sync_at BIGINT      NOT NULL CHECK (last_sync_at BETWEEN 0 AND 9007199254740991),
    PRIMARY KEY (client_id, user_id, entity_type)
) WITHOUT ROWID;

-- The devices of one user.
CREATE INDEX sync_cursors_by_user ON sync_cursors (user_id, client_id, entity_type);

-- Refresh tokens: only their SHA-256. A spent one stays until it expires, to recognise its reuse.
CREATE TABLE refresh_tokens (
    user_id     BLOB    NOT NULL REFERENCES users (user_id),
    token_hash  BLOB    NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    family_id   BLOB    NOT NULL CHECK (length(family_id) = 16),
    client_id   TEXT,
    device_name TEXT,
    issued_at   INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    is_spent    INTEGER NOT NULL CHECK (is_spent IN (0, 1)),
    PRIMARY KEY (user_id, token_hash)
) STRICT;

CREATE INDEX refresh_tokens_by_family ON refresh_tokens (user_id, family_id);
