-- Logins. A login is a row for as long as it lasts: writes, pulls and all other requests of people look whether theirs is
-- still there. What is kept of its refresh tokens does not grow with their number.
CREATE TABLE logins (
    user_id     uuid   NOT NULL REFERENCES users (user_id),
    login_id    uuid   NOT NULL,
    client_id   text,
    device_name text,
    -- The SHA-256 of the key that all tokens of the login carry.
    key_hash    bytea  NOT NULL CONSTRAINT logins_key_is_sha256 CHECK (octet_length(key_hash) = 32),
    -- The SHA-256 of the current token, and of the one that was spent for it.
    token_hash  bytea  NOT NULL CONSTRAINT logins_token_is_sha256 CHECK (octet_length(token_hash) = 32),
    spent_hash  bytea  CONSTRAINT logins_spent_is_sha256 CHECK (octet_length(spent_hash) = 32),
    -- What the current token was derived from, with the text of the spent one.
    seed        bytea  NOT NULL CONSTRAINT logins_seed_has_32_bytes CHECK (octet_length(seed) = 32),
    issued_at   bigint NOT NULL,
    expires_at  bigint NOT NULL,
    PRIMARY KEY (user_id, login_id)
);

-- A device sends its token and nothing else. Not unique, so that the table can be distributed by user: two of these hashes
-- are never alike.
CREATE INDEX logins_by_key ON logins (key_hash);

-- Tokens that were given out before, which carry no key: whose they are, until they expire. No more are added.
CREATE TABLE earlier_tokens (
    user_id    uuid   NOT NULL REFERENCES users (user_id),
    token_hash bytea  NOT NULL CONSTRAINT earlier_tokens_hash_is_sha256 CHECK (octet_length(token_hash) = 32),
    login_id   uuid   NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (user_id, token_hash)
);

CREATE INDEX earlier_tokens_by_hash ON earlier_tokens (token_hash);

INSERT INTO logins (user_id, login_id, client_id, device_name, key_hash, token_hash, seed, issued_at, expires_at)
SELECT DISTINCT ON (user_id, family_id)
       user_id, family_id, client_id, device_name, token_hash, token_hash, token_hash, issued_at, expires_at
FROM refresh_tokens WHERE NOT is_spent
ORDER BY user_id, family_id, issued_at DESC, token_hash;

INSERT INTO earlier_tokens (user_id, token_hash, login_id, expires_at)
SELECT user_id, token_hash, family_id, expires_at FROM refresh_tokens;

DROP TABLE refresh_tokens;
