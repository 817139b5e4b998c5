-- Links by which people make accounts of their own: each makes one. An account that is removed takes with it those that it
-- made, and the one that it was made by, so there are no foreign keys.
CREATE TABLE invites (
    invite_id   uuid   NOT NULL PRIMARY KEY,
    -- The SHA-256 of the secret in the link.
    secret_hash bytea  NOT NULL CONSTRAINT invites_secret_is_sha256 CHECK (octet_length(secret_hash) = 32),
    -- The administrator who made it; none: whoever may use the command line.
    made_by     uuid,
    -- What the account that is made by it may do and store, as in users.
    role        text   NOT NULL,
    quota_bytes bigint,
    made_at     bigint NOT NULL,
    expires_at  bigint NOT NULL,
    -- When it came to an end before it expired: used by that account, or else taken back.
    ended_at    bigint,
    used_by     uuid,
    CONSTRAINT invites_used_have_ended CHECK (used_by IS NULL OR ended_at IS NOT NULL)
);

CREATE UNIQUE INDEX invites_by_secret ON invites (secret_hash);
