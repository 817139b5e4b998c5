-- The schema of the production store. Every key of what a user owns begins with user_id, no statement leaves it out, and
-- no foreign key crosses users, so the tables can be distributed by user as they are. Moments are Unix milliseconds.
--
-- What is compared or sorted has the collation "C": code points, the same order on every machine.

-- One row. The epoch names the history that this database holds (R2). Its lock makes changes of accounts wait for each
-- other.
CREATE TABLE meta (
    only_row smallint NOT NULL PRIMARY KEY CONSTRAINT meta_has_one_row CHECK (only_row = 1),
    epoch    uuid     NOT NULL
);

CREATE TABLE users (
    user_id              uuid             NOT NULL PRIMARY KEY,
    username             text COLLATE "C" NOT NULL,
    -- The form in which names are compared: no two users differ in letter case alone.
    username_folded      text COLLATE "C" NOT NULL CONSTRAINT users_username_is_unique UNIQUE,
    password_hash        text             NOT NULL,
    avatar_url           text,
    role                 text COLLATE "C" NOT NULL CONSTRAINT users_role_is_known CHECK (role IN ('admin', 'user')),
    must_change_password boolean          NOT NULL,
    is_disabled          boolean          NOT NULL,
    created_at           bigint           NOT NULL,
    updated_at           bigint           NOT NULL
);

-- Whether an administrator is the last one.
CREATE INDEX users_administrators ON users (user_id) WHERE role = 'admin' AND NOT is_disabled;

-- One clock per user, made with the user (S1). Every write of a user changes its row: room is left for the new version
-- beside the old one.
CREATE TABLE sync_clocks (
    user_id    uuid   NOT NULL PRIMARY KEY REFERENCES users (user_id),
    last_stamp bigint NOT NULL CONSTRAINT sync_clocks_stamp_is_safe CHECK (last_stamp BETWEEN 0 AND 9007199254740991)
) WITH (fillfactor = 50);

-- All records of all types. The document is the content; what stands beside it is what sync needs to know, and copies
-- of the fields that are searched and sorted by. So a new type needs no new table. The document is text: it comes back
-- byte for byte.
--
-- No foreign key: whoever writes holds the lock of the user's clock, which proves that there is such a user.
CREATE TABLE records (
    user_id        uuid               NOT NULL,
    entity_type    text COLLATE "C"   NOT NULL,
    record_key     text COLLATE "C"   NOT NULL,
    stamp          bigint             NOT NULL,
    edit_time      bigint             NOT NULL,
    author         text COLLATE "C"   NOT NULL,
    created_at     bigint             NOT NULL,
    revision_count bigint             NOT NULL,
    is_deleted     boolean            NOT NULL,
    is_archived    boolean            NOT NULL,
    parent_key     text COLLATE "C",
    day            text COLLATE "C",
    sort_order     bigint,
    tags           text[] COLLATE "C" NOT NULL,
    -- How long the document is: a page ends by it, without reading the documents that come after.
    document_bytes integer            NOT NULL GENERATED ALWAYS AS (coalesce(octet_length(document), 0)) STORED,
    -- NULL only for a tombstone whose content is unknown or erased.
    document       text,
    PRIMARY KEY (user_id, entity_type, record_key),
    CONSTRAINT records_stamp_is_safe CHECK (stamp BETWEEN 0 AND 9007199254740991),
    CONSTRAINT records_edit_time_is_safe CHECK (edit_time BETWEEN 0 AND 9007199254740991),
    CONSTRAINT records_live_have_documents CHECK (is_deleted OR document IS NOT NULL)
);

-- S1. The condition always holds: it keeps the planner from reading a pull from this index, where it would wade through
-- the records of all types to find those of one.
CREATE UNIQUE INDEX records_stamp_is_unique ON records (user_id, stamp) WHERE stamp >= 0;
-- Pulls: what changed of one type after a cursor, in stamp order (P1, P2).
CREATE INDEX records_by_stamp ON records (user_id, entity_type, stamp);
-- Lists, the newest first.
CREATE INDEX records_by_creation ON records (user_id, entity_type, created_at DESC, record_key) WHERE NOT is_deleted;
-- The children of a memo, in their order, and the greatest place among them.
CREATE INDEX records_by_parent
    ON records (user_id, entity_type, parent_key NULLS FIRST, sort_order NULLS FIRST, record_key)
    WHERE NOT is_deleted;
-- What is filed under a day.
CREATE INDEX records_by_day ON records (user_id, entity_type, day) WHERE NOT is_deleted AND day IS NOT NULL;

-- The normalised text of the live records that have one. grams are hashes of the user and of runs of three characters, so
-- that a term is looked up among the user's own texts, and parts of words are found, also in languages that write no
-- spaces. They only narrow the candidates: what decides is that the text contains the term.
CREATE TABLE record_search (
    user_id     uuid             NOT NULL,
    entity_type text COLLATE "C" NOT NULL,
    record_key  text COLLATE "C" NOT NULL,
    grams       integer[]        NOT NULL,
    body        text COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, entity_type, record_key)
);

CREATE INDEX record_search_by_grams ON record_search USING gin (grams);

-- Every version that lost, was overwritten or was deleted (H1). revision_id is derived from what it holds, so that
-- keeping a version twice keeps it once (W3).
CREATE TABLE revisions (
    user_id         uuid             NOT NULL,
    revision_id     uuid             NOT NULL,
    entity_type     text COLLATE "C" NOT NULL,
    record_key      text COLLATE "C" NOT NULL,
    revision_number bigint           NOT NULL CONSTRAINT revisions_count_from_one CHECK (revision_number >= 1),
    edit_time       bigint           NOT NULL,
    author          text COLLATE "C" NOT NULL,
    created_at      bigint           NOT NULL,
    reason          text COLLATE "C" NOT NULL
        CONSTRAINT revisions_reason_is_known CHECK (reason IN ('overwritten', 'superseded', 'deleted')),
    recorded_at     bigint           NOT NULL,
    document        text             NOT NULL,
    PRIMARY KEY (user_id, revision_id),
    CONSTRAINT revisions_number_is_unique UNIQUE (user_id, entity_type, record_key, revision_number)
);

-- Recognises the replay of a version that was overwritten since (W3).
CREATE INDEX revisions_by_version ON revisions (user_id, entity_type, record_key, edit_time, author);

-- What each device was served up to, in the words of rule D1.
CREATE TABLE sync_cursors (
    client_id    VARCHAR(64) COLLATE "C" NOT NULL,
    user_id      UUID                    NOT NULL REFERENCES users (user_id),
    entity_type  VARCHAR(32) COLLATE "C" NOT NULL,
    last_sync_at BIGINT                  NOT NULL
        CONSTRAINT sync_cursors_stamp_is_safe CHECK (last_sync_at BETWEEN 0 AND 9007199254740991),
    PRIMARY KEY (client_id, user_id, entity_type)
);

-- The devices of one user.
CREATE INDEX sync_cursors_by_user ON sync_cursors (user_id);

-- Refresh tokens: only their SHA-256. A spent one stays until it expires, to recognise its reuse.
CREATE TABLE refresh_tokens (
    user_id     uuid    NOT NULL REFERENCES users (user_id),
    token_hash  bytea   NOT NULL CONSTRAINT refresh_tokens_hash_is_sha256 CHECK (octet_length(token_hash) = 32),
    family_id   uuid    NOT NULL,
    client_id   text,
    device_name text,
    issued_at   bigint  NOT NULL,
    expires_at  bigint  NOT NULL,
    is_spent    boolean NOT NULL,
    PRIMARY KEY (user_id, token_hash)
);

-- A device sends its token and nothing else. Not unique, so that the table can be distributed by user: two of these hashes
-- are never alike.
CREATE INDEX refresh_tokens_by_hash ON refresh_tokens (token_hash);
CREATE INDEX refresh_tokens_by_family ON refresh_tokens (user_id, family_id);
