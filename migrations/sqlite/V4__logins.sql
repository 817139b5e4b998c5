-- Logins. A login is a row for as long as it lasts: writes, pulls and all other requests of people look whether theirs is
-- still there. What is kept of its refresh tokens does not grow with their number.
CREATE TABLE logins (
    user_id     BLOB    NOT NULL REFERENCES users (user_id),
    login_id    BLOB    NOT NULL CHECK (length(login_id) = 16),
    client_id   TEXT,
    device_name TEXT,
    -- The SHA-256 of the key that all tokens of the login carry.
    key_hash    BLOB    NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    -- The SHA-256 of the current token, and of the one that was spent for it.
    token_hash  BLOB    NOT NULL CHECK (length(token_hash) = 32),
    spent_hash  BLOB    CHECK (length(spent_hash) = 32),
    -- What the current token was derived from, with the text of the spent one.
    seed        BLOB    NOT NULL CHECK (length(seed) = 32),
    issued_at   INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (user_id, login_id)
) STRICT, WITHOUT ROWID;

-- Tokens that were given out before, which carry no key: whose they are, until they expire. No more are added.
CREATE TABLE earlier_tokens (
    user_id    BLOB    NOT NULL REFERENCES users (user_id),
    token_hash BLOB    NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    login_id   BLOB    NOT NULL CHECK (length(login_id) = 16),
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, token_hash)
) STRICT, WITHOUT ROWID;

INSERT INTO logins (user_id, login_id, client_id, device_name, key_hash, token_hash, seed, issued_at, expires_at)
SELECT user_id, family_id, client_id, device_name, token_hash, token_hash, token_hash, issued_at, expires_at
FROM (SELECT *, row_number() OVER (PARTITION BY user_id, family_id ORDER BY issued_at DESC, token_hash) AS place
      FROM refresh_tokens WHERE is_spent = 0)
WHERE place = 1;

INSERT INTO earlier_tokens (user_id, token_hash, login_id, expires_at)
SELECT user_id, token_hash, family_id, expires_at FROM refresh_tokens;

DROP TABLE refresh_tokens;
