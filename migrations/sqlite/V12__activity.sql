-- What happened to accounts: who logged in, who changed what, from where. Of the server itself under the nil id, so there is
-- no foreign key.
CREATE TABLE activity (
    user_id     BLOB    NOT NULL CHECK (length(user_id) = 16),
    kind        TEXT    NOT NULL,
    -- Of version 7: later ones are greater, and the newest of a kind stay.
    event_id    BLOB    NOT NULL CHECK (length(event_id) = 16),
    happened_at INTEGER NOT NULL,
    -- Who did it: user (doer_id), command_line, server, stranger.
    doer        TEXT    NOT NULL,
    doer_id     BLOB    CHECK (length(doer_id) = 16),
    address     TEXT,
    client_id   TEXT,
    agent       TEXT,
    detail      TEXT,
    PRIMARY KEY (user_id, kind, event_id)
) STRICT, WITHOUT ROWID;
