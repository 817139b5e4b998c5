-- Attachments: which content a record names, which blob holds which content, and the uploads that are under way. A content
-- is what one SHA-256 stands for, within one user. The bytes themselves are kept elsewhere, under the names of blobs.
--
-- No foreign keys, as with records: whoever changes something holds the lock of the user's clock.

-- The content that a record or a revision names: NULL where it names none, and where its own content is erased.
ALTER TABLE records
    ADD COLUMN attachment bytea CONSTRAINT records_attachment_is_sha256 CHECK (octet_length(attachment) = 32);
ALTER TABLE revisions
    ADD COLUMN attachment bytea CONSTRAINT revisions_attachment_is_sha256 CHECK (octet_length(attachment) = 32);

UPDATE records
SET attachment = decode(substring(document::json ->> 'sha256' FROM '^[0-9A-Fa-f]{64}$'), 'hex')
WHERE entity_type = 'resource' AND document LIKE '%"sha256":"%';
UPDATE revisions
SET attachment = decode(substring(document::json ->> 'sha256' FROM '^[0-9A-Fa-f]{64}$'), 'hex')
WHERE entity_type = 'resource' AND document LIKE '%"sha256":"%';

-- Whether a content is named.
CREATE INDEX records_by_attachment ON records (user_id, attachment) WHERE attachment IS NOT NULL;
CREATE INDEX revisions_by_attachment ON revisions (user_id, attachment) WHERE attachment IS NOT NULL;

CREATE TABLE contents (
    user_id    uuid   NOT NULL,
    sha256     bytea  NOT NULL CONSTRAINT contents_hash_is_sha256 CHECK (octet_length(sha256) = 32),
    blob_id    uuid   NOT NULL,
    size       bigint NOT NULL CONSTRAINT contents_size_is_not_negative CHECK (size >= 0),
    -- When somebody last brought these bytes.
    touched_at bigint NOT NULL,
    PRIMARY KEY (user_id, sha256),
    CONSTRAINT contents_blob_is_unique UNIQUE (user_id, blob_id)
);

-- Smaller pictures that were made of a content. They go with it.
CREATE TABLE content_variants (
    user_id   uuid             NOT NULL,
    sha256    bytea            NOT NULL CONSTRAINT content_variants_hash_is_sha256 CHECK (octet_length(sha256) = 32),
    variant   text COLLATE "C" NOT NULL CONSTRAINT content_variants_variant_is_known CHECK (variant IN ('thumb', 'opt')),
    blob_id   uuid             NOT NULL,
    size      bigint           NOT NULL CONSTRAINT content_variants_size_is_not_negative CHECK (size >= 0),
    mime_type text             NOT NULL,
    PRIMARY KEY (user_id, sha256, variant),
    CONSTRAINT content_variants_blob_is_unique UNIQUE (user_id, blob_id)
);

-- Pictures of accounts and bots, which are named by their addresses.
CREATE TABLE avatars (
    user_id    uuid   NOT NULL,
    avatar_id  uuid   NOT NULL,
    sha256     bytea  NOT NULL CONSTRAINT avatars_hash_is_sha256 CHECK (octet_length(sha256) = 32),
    mime_type  text   NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (user_id, avatar_id)
);

CREATE INDEX avatars_by_content ON avatars (user_id, sha256);

-- Uploads that may take several requests. A finished one stays until it expires.
CREATE TABLE uploads (
    user_id        uuid             NOT NULL,
    upload_id      uuid             NOT NULL,
    resource_id    uuid             NOT NULL,
    client_id      text COLLATE "C" NOT NULL,
    length         bigint           NOT NULL CONSTRAINT uploads_length_is_not_negative CHECK (length >= 0),
    -- The blob that the bytes come into past the server; NULL where they come through it, in parts.
    direct_blob_id uuid,
    fields         text             NOT NULL,
    created_at     bigint           NOT NULL,
    expires_at     bigint           NOT NULL,
    is_finished    boolean          NOT NULL,
    PRIMARY KEY (user_id, upload_id)
);

CREATE TABLE upload_parts (
    user_id     uuid   NOT NULL,
    upload_id   uuid   NOT NULL,
    part_offset bigint NOT NULL CONSTRAINT upload_parts_offset_is_not_negative CHECK (part_offset >= 0),
    size        bigint NOT NULL CONSTRAINT upload_parts_have_bytes CHECK (size >= 1),
    blob_id     uuid   NOT NULL,
    PRIMARY KEY (user_id, upload_id, part_offset),
    CONSTRAINT upload_parts_blob_is_unique UNIQUE (user_id, blob_id)
);

-- Accounts that are gone, and whose blobs are still to be removed.
CREATE TABLE removed_users (
    user_id uuid NOT NULL PRIMARY KEY
);

-- The name of the storage in which the blobs are: a blob of that name is there, so that another storage is not taken for it.
ALTER TABLE meta ADD COLUMN storage uuid;
