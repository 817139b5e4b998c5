-- Attachments: what records name, which blobs hold the bytes, and the uploads that are under way. Sizes are in bytes, hashes
-- are the 32 bytes of a SHA-256, and a blob_id names a blob among those of the user.

-- The content that a record names; NULL where it names none, or where what it was about is erased (H2). Looked up in the
-- indexes alone: it stands after the document.
ALTER TABLE records ADD COLUMN attachment BLOB CHECK (length(attachment) = 32);
ALTER TABLE revisions ADD COLUMN attachment BLOB CHECK (length(attachment) = 32);

-- A document that can't be read stays what it is: a matter of whoever reads it.
UPDATE records SET attachment = unhex(json_extract(document, '$.sha256'))
WHERE entity_type = 'resource'
  AND CASE WHEN json_valid(document) THEN length(unhex(json_extract(document, '$.sha256'))) = 32 END;
UPDATE revisions SET attachment = unhex(json_extract(document, '$.sha256'))
WHERE entity_type = 'resource'
  AND CASE WHEN json_valid(document) THEN length(unhex(json_extract(document, '$.sha256'))) = 32 END;

-- Whether a content is still named.
CREATE INDEX records_by_attachment ON records (user_id, attachment) WHERE attachment IS NOT NULL;
CREATE INDEX revisions_by_attachment ON revisions (user_id, attachment) WHERE attachment IS NOT NULL;
-- The live records that name one, by key.
CREATE INDEX records_with_attachment ON records (user_id, record_key, entity_type, attachment)
    WHERE is_deleted = 0 AND attachment IS NOT NULL;

-- Which blob holds which content. Somebody last brought the bytes at touched_at.
CREATE TABLE contents (
    user_id    BLOB    NOT NULL REFERENCES users (user_id),
    sha256     BLOB    NOT NULL CHECK (length(sha256) = 32),
    blob_id    BLOB    NOT NULL CHECK (length(blob_id) = 16),
    size       INTEGER NOT NULL CHECK (size >= 0),
    touched_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, sha256),
    UNIQUE (user_id, blob_id)
) STRICT, WITHOUT ROWID;

-- Smaller pictures that were made of contents. They go with their content.
CREATE TABLE content_variants (
    user_id   BLOB    NOT NULL REFERENCES users (user_id),
    sha256    BLOB    NOT NULL CHECK (length(sha256) = 32),
    variant   TEXT    NOT NULL,
    blob_id   BLOB    NOT NULL CHECK (length(blob_id) = 16),
    size      INTEGER NOT NULL CHECK (size >= 0),
    mime_type TEXT    NOT NULL,
    PRIMARY KEY (user_id, sha256, variant),
    UNIQUE (user_id, blob_id)
) STRICT, WITHOUT ROWID;

-- Pictures of accounts and of bots.
CREATE TABLE avatars (
    user_id    BLOB    NOT NULL REFERENCES users (user_id),
    avatar_id  BLOB    NOT NULL CHECK (length(avatar_id) = 16),
    sha256     BLOB    NOT NULL CHECK (length(sha256) = 32),
    mime_type  TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, avatar_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX avatars_by_content ON avatars (user_id, sha256);

-- Uploads that may take several requests. direct_blob_id: the bytes come past the server, as this blob.
CREATE TABLE uploads (
    user_id        BLOB    NOT NULL REFERENCES users (user_id),
    upload_id      BLOB    NOT NULL CHECK (length(upload_id) = 16),
    resource_id    BLOB    NOT NULL CHECK (length(resource_id) = 16),
    client_id      TEXT    NOT NULL,
    length         INTEGER NOT NULL CHECK (length >= 0),
    direct_blob_id BLOB    CHECK (length(direct_blob_id) = 16),
    fields         TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    is_finished    INTEGER NOT NULL CHECK (is_finished IN (0, 1)),
    PRIMARY KEY (user_id, upload_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX uploads_by_expiry ON uploads (user_id, expires_at);

-- What came of an upload, a blob for each request.
CREATE TABLE upload_parts (
    user_id     BLOB    NOT NULL REFERENCES users (user_id),
    upload_id   BLOB    NOT NULL CHECK (length(upload_id) = 16),
    part_offset INTEGER NOT NULL CHECK (part_offset >= 0),
    size        INTEGER NOT NULL CHECK (size > 0),
    blob_id     BLOB    NOT NULL CHECK (length(blob_id) = 16),
    PRIMARY KEY (user_id, upload_id, part_offset)
) STRICT, WITHOUT ROWID;

CREATE INDEX upload_parts_by_blob ON upload_parts (user_id, blob_id);

-- Accounts that were removed, and whose blobs are still to be removed.
CREATE TABLE removed_users (
    user_id BLOB NOT NULL PRIMARY KEY CHECK (length(user_id) = 16)
) STRICT, WITHOUT ROWID;

-- The name of the storage in which the blobs are: a blob of that name is there, so that another storage is not taken for it.
ALTER TABLE meta ADD COLUMN storage BLOB CHECK (length(storage) = 16);
