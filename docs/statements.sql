-- The statements of the PostgreSQL store on its tables, as the conformance suite sends them, by whose rows they
-- are about. Written by the test in crates/adapter-postgres/tests/store/locality.rs (UPDATE_DOCS=1).

-- Of one user
PREPARE statement_1 (uuid, int8) AS DELETE FROM activity WHERE user_id = $1 AND happened_at < $2 RETURNING 1;
PREPARE statement_2 (uuid, text, int8) AS DELETE FROM activity WHERE user_id = $1 AND kind = $2 AND event_id <= ( SELECT
    event_id FROM activity WHERE user_id = $1 AND kind = $2 ORDER BY event_id DESC LIMIT 1 OFFSET (SELECT $3));
PREPARE statement_3 (uuid) AS DELETE FROM avatars WHERE user_id = $1;
PREPARE statement_4 (uuid, _uuid) AS DELETE FROM avatars WHERE user_id = $1 AND avatar_id = ANY ($2);
PREPARE statement_5 (uuid) AS DELETE FROM content_variants WHERE user_id = $1;
PREPARE statement_6 (uuid, bytea, text, uuid) AS DELETE FROM content_variants WHERE user_id = $1 AND sha256 = $2 AND
    variant = $3 AND blob_id = $4;
PREPARE statement_7 (uuid, _bytea) AS DELETE FROM content_variants WHERE user_id = $1 AND sha256 = ANY ($2);
PREPARE statement_8 (uuid) AS DELETE FROM contents WHERE user_id = $1;
PREPARE statement_9 (uuid, _bytea) AS DELETE FROM contents WHERE user_id = $1 AND sha256 = ANY ($2);
PREPARE statement_10 (uuid, _text, _text) AS DELETE FROM record_search AS s USING unnest((SELECT $2::text[]), (SELECT
    $3::text[])) AS t (entity_type, record_key) WHERE s.user_id = $1 AND s.entity_type = t.entity_type AND s.record_key
    = t.record_key;
PREPARE statement_11 (uuid) AS DELETE FROM sync_clocks WHERE user_id = $1;
PREPARE statement_12 (uuid) AS DELETE FROM sync_cursors WHERE user_id = $1;
PREPARE statement_13 (uuid, text) AS DELETE FROM sync_cursors WHERE user_id = $1 AND client_id = $2 RETURNING 1;
PREPARE statement_14 (uuid, int8, _text) AS DELETE FROM sync_cursors WHERE user_id = $1 AND client_id = ANY (ARRAY(
    SELECT client_id FROM sync_cursors WHERE user_id = $1 GROUP BY client_id ORDER BY client_id = ANY ($3) DESC,
    max(served_at) DESC, client_id OFFSET (SELECT $2)));
PREPARE statement_15 (uuid, _uuid, _int8) AS DELETE FROM upload_parts AS p USING unnest((SELECT $2::uuid[]), (SELECT
    $3::bigint[])) AS d (upload_id, part_offset) WHERE p.user_id = $1 AND p.upload_id = d.upload_id AND p.part_offset =
    d.part_offset;
PREPARE statement_16 (uuid, uuid) AS DELETE FROM upload_parts WHERE user_id = $1 AND upload_id = $2;
PREPARE statement_17 (uuid, uuid) AS DELETE FROM uploads WHERE user_id = $1 AND upload_id = $2;
PREPARE statement_18 (uuid, _uuid) AS DELETE FROM uploads WHERE user_id = $1 AND upload_id = ANY ($2);
PREPARE statement_19 (uuid, text, uuid, int8, text, uuid, text, text, text, text) AS INSERT INTO activity (user_id,
    kind, event_id, happened_at, doer, doer_id, address, client_id, agent, detail) SELECT c.user_id, $2, $3, $4, $5, $6,
    $7, $8, $9, $10 FROM sync_clocks AS c WHERE c.user_id = $1 FOR KEY SHARE ON CONFLICT (user_id, kind, event_id) DO
    NOTHING;
PREPARE statement_20 (uuid, text, uuid, int8, text, uuid, text, text, text, text) AS INSERT INTO activity (user_id,
    kind, event_id, happened_at, doer, doer_id, address, client_id, agent, detail) VALUES ($1, $2, $3, $4, $5, $6, $7,
    $8, $9, $10) ON CONFLICT (user_id, kind, event_id) DO NOTHING;
PREPARE statement_21 (uuid, _uuid, _bytea, _text, _int8) AS INSERT INTO avatars (user_id, avatar_id, sha256, mime_type,
    created_at) SELECT c.user_id, n.avatar_id, n.sha256, n.mime_type, n.created_at FROM sync_clocks AS c, unnest((SELECT
    $2::uuid[]), (SELECT $3::bytea[]), (SELECT $4::text[]), (SELECT $5::bigint[])) AS n (avatar_id, sha256, mime_type,
    created_at) WHERE c.user_id = $1;
PREPARE statement_22 (uuid, bytea, text, uuid, int8, text) AS INSERT INTO content_variants (user_id, sha256, variant,
    blob_id, size, mime_type) VALUES ($1, $2, $3, $4, $5, $6);
PREPARE statement_23 (uuid, _bytea, _uuid, _int8, _int8) AS INSERT INTO contents (user_id, sha256, blob_id, size,
    touched_at) SELECT c.user_id, n.sha256, n.blob_id, n.size, n.touched_at FROM sync_clocks AS c, unnest((SELECT
    $2::bytea[]), (SELECT $3::uuid[]), (SELECT $4::bigint[]), (SELECT $5::bigint[])) AS n (sha256, blob_id, size,
    touched_at) WHERE c.user_id = $1 ON CONFLICT (user_id, sha256) DO UPDATE SET blob_id = excluded.blob_id, size =
    excluded.size, touched_at = excluded.touched_at;
PREPARE statement_24 (uuid, bytea, uuid, int8, int8) AS INSERT INTO contents (user_id, sha256, blob_id, size,
    touched_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (user_id, sha256) DO UPDATE SET blob_id = excluded.blob_id, size
    = excluded.size, touched_at = excluded.touched_at;
PREPARE statement_25 (uuid, _text, _text, _int8) AS INSERT INTO purged_revisions AS p (user_id, entity_type, record_key,
    last_number) SELECT c.user_id, n.entity_type, n.record_key, n.last_number FROM sync_clocks AS c, unnest((SELECT
    $2::text[]), (SELECT $3::text[]), (SELECT $4::bigint[])) AS n (entity_type, record_key, last_number) WHERE c.user_id
    = $1 AND n.last_number > 0 ON CONFLICT (user_id, entity_type, record_key) DO UPDATE SET last_number =
    excluded.last_number WHERE p.last_number < excluded.last_number;
PREPARE statement_26 (uuid, _text, _text, _text, _int4, _int4, _int4) AS INSERT INTO record_search AS s (user_id,
    entity_type, record_key, body, grams) SELECT c.user_id, t.entity_type, t.record_key, t.body,
    ($5::integer[])[t.grams_first:t.grams_last] FROM sync_clocks AS c, unnest((SELECT $2::text[]), (SELECT $3::text[]),
    (SELECT $4::text[]), (SELECT $6::integer[]), (SELECT $7::integer[])) AS t (entity_type, record_key, body,
    grams_first, grams_last) WHERE c.user_id = $1 ON CONFLICT (user_id, entity_type, record_key) DO UPDATE SET body =
    excluded.body, grams = excluded.grams WHERE s.body <> excluded.body;
PREPARE statement_27 (uuid, _text, _text, _int8, _int8, _text, _int8, _int8, _bool, _bool, _text, _text, _int8, _text,
    _int4, _int4, _text, _bytea, _int8) AS INSERT INTO records AS r (user_id, entity_type, record_key, stamp, edit_time,
    author, created_at, revision_count, is_deleted, is_archived, parent_key, day, sort_order, tags, document,
    attachment, seal) SELECT c.user_id, n.entity_type, n.record_key, n.stamp, n.edit_time, n.author, n.created_at,
    n.revision_count, n.is_deleted, n.is_archived, n.parent_key, n.day, n.sort_order,
    ($14::text[])[n.tags_first:n.tags_last], n.document, n.attachment, n.seal FROM sync_clocks AS c, unnest((SELECT
    $2::text[]), (SELECT $3::text[]), (SELECT $4::bigint[]), (SELECT $5::bigint[]), (SELECT $6::text[]), (SELECT
    $7::bigint[]), (SELECT $8::bigint[]), (SELECT $9::boolean[]), (SELECT $10::boolean[]), (SELECT $11::text[]), (SELECT
    $12::text[]), (SELECT $13::bigint[]), (SELECT $15::integer[]), (SELECT $16::integer[]), (SELECT $17::text[]),
    (SELECT $18::bytea[]), (SELECT $19::bigint[])) AS n (entity_type, record_key, stamp, edit_time, author, created_at,
    revision_count, is_deleted, is_archived, parent_key, day, sort_order, tags_first, tags_last, document, attachment,
    seal) WHERE c.user_id = $1 ON CONFLICT (user_id, entity_type, record_key) DO UPDATE SET stamp = excluded.stamp,
    edit_time = excluded.edit_time, author = excluded.author, created_at = excluded.created_at, revision_count =
    excluded.revision_count, is_deleted = excluded.is_deleted, is_archived = excluded.is_archived, parent_key =
    excluded.parent_key, day = excluded.day, sort_order = excluded.sort_order, tags = excluded.tags, document =
    excluded.document, attachment = excluded.attachment, seal = excluded.seal;
PREPARE statement_28 (uuid, _uuid, _text, _text, _int8, _text, _int8, _text, _int8, _text, _bytea, _int8) AS INSERT INTO
    revisions (user_id, revision_id, entity_type, record_key, edit_time, author, created_at, reason, recorded_at,
    document, attachment, revision_number) SELECT c.user_id, n.* FROM sync_clocks AS c, unnest((SELECT $2::uuid[]),
    (SELECT $3::text[]), (SELECT $4::text[]), (SELECT $5::bigint[]), (SELECT $6::text[]), (SELECT $7::bigint[]), (SELECT
    $8::text[]), (SELECT $9::bigint[]), (SELECT $10::text[]), (SELECT $11::bytea[]), (SELECT $12::bigint[])) AS n WHERE
    c.user_id = $1 ON CONFLICT (user_id, revision_id) DO NOTHING;
PREPARE statement_29 (uuid, _uuid, _text, _text, _int8, _text, _int8, _text, _int8, _text, _bytea) AS INSERT INTO
    revisions (user_id, revision_id, entity_type, record_key, revision_number, edit_time, author, created_at, reason,
    recorded_at, document, attachment) SELECT f.user_id, f.revision_id, f.entity_type, f.record_key, f.last_number +
    row_number() OVER (PARTITION BY f.user_id, f.entity_type, f.record_key ORDER BY f.place), f.edit_time, f.author,
    f.created_at, f.reason, f.recorded_at, f.document, f.attachment FROM (SELECT c.user_id, n.*, greatest((SELECT
    coalesce(max(k.revision_number), 0) FROM revisions AS k WHERE k.user_id = $1 AND k.entity_type = n.entity_type AND
    k.record_key = n.record_key), (SELECT coalesce(max(p.last_number), 0) FROM purged_revisions AS p WHERE p.user_id =
    $1 AND p.entity_type = n.entity_type AND p.record_key = n.record_key)) AS last_number FROM sync_clocks AS c,
    unnest((SELECT $2::uuid[]), (SELECT $3::text[]), (SELECT $4::text[]), (SELECT $5::bigint[]), (SELECT $6::text[]),
    (SELECT $7::bigint[]), (SELECT $8::text[]), (SELECT $9::bigint[]), (SELECT $10::text[]), (SELECT $11::bytea[])) WITH
    ORDINALITY AS n (revision_id, entity_type, record_key, edit_time, author, created_at, reason, recorded_at, document,
    attachment, place) WHERE c.user_id = $1 AND NOT EXISTS (SELECT 1 FROM revisions AS k WHERE k.user_id = $1 AND
    k.revision_id = n.revision_id) OFFSET 0) AS f ON CONFLICT (user_id, revision_id) DO NOTHING;
PREPARE statement_30 (uuid, int8) AS INSERT INTO sync_clocks (user_id, last_stamp) VALUES ($1, $2);
PREPARE statement_31 (uuid, int8, int8) AS INSERT INTO sync_clocks (user_id, last_stamp, record_bytes) VALUES ($1, $2,
    $3) ON CONFLICT (user_id) DO UPDATE SET last_stamp = excluded.last_stamp, record_bytes = excluded.record_bytes;
PREPARE statement_32 (uuid, _text, _text, _int8, _int8) AS INSERT INTO sync_cursors (client_id, user_id, entity_type,
    last_sync_at, served_at) SELECT n.client_id, c.user_id, n.entity_type, n.last_sync_at, n.served_at FROM sync_clocks
    AS c, unnest((SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::bigint[]), (SELECT $5::bigint[])) AS n
    (client_id, entity_type, last_sync_at, served_at) WHERE c.user_id = $1;
PREPARE statement_33 (uuid, _text, _text, _int8, _int8) AS INSERT INTO sync_cursors AS c (client_id, user_id,
    entity_type, last_sync_at, served_at) SELECT n.client_id, owner.user_id, n.entity_type, n.last_sync_at, n.served_at
    FROM sync_clocks AS owner, unnest((SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::bigint[]), (SELECT
    $5::bigint[])) AS n (client_id, entity_type, last_sync_at, served_at) WHERE owner.user_id = $1 AND NOT EXISTS (
    SELECT 1 FROM sync_cursors AS same WHERE same.user_id = $1 AND same.client_id = n.client_id AND same.entity_type =
    n.entity_type AND same.last_sync_at = n.last_sync_at ) ORDER BY n.client_id, n.entity_type FOR KEY SHARE OF owner ON
    CONFLICT (client_id, user_id, entity_type) DO UPDATE SET last_sync_at = excluded.last_sync_at, served_at =
    excluded.served_at WHERE c.last_sync_at IS DISTINCT FROM excluded.last_sync_at;
PREPARE statement_34 (uuid, uuid, int8, int8, uuid) AS INSERT INTO upload_parts (user_id, upload_id, part_offset, size,
    blob_id) VALUES ($1, $2, $3, $4, $5);
PREPARE statement_35 (uuid, uuid, uuid, text, int8, bool, uuid, text, int8, int8) AS INSERT INTO uploads (user_id,
    upload_id, resource_id, client_id, length, is_deferred, direct_blob_id, fields, created_at, expires_at, is_finished)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, false);
PREPARE statement_36 (uuid) AS SELECT (SELECT coalesce(sum(size), 0) FROM contents WHERE user_id = $1)::bigint, (SELECT
    coalesce(sum(length), 0) FROM uploads WHERE user_id = $1 AND NOT is_finished)::bigint;
PREPARE statement_37 (uuid) AS SELECT (SELECT count(*) FROM records WHERE user_id = $1), (SELECT coalesce(max(stamp), 0)
    FROM records WHERE user_id = $1), (SELECT count(*) FROM revisions WHERE user_id = $1), (SELECT count(*) FROM
    contents WHERE user_id = $1);
PREPARE statement_38 (uuid) AS SELECT 1 FROM sync_clocks WHERE user_id = $1;
PREPARE statement_39 (uuid, int8) AS SELECT 1 FROM uploads WHERE user_id = $1 AND expires_at <= $2 LIMIT 1;
PREPARE statement_40 (uuid, _text, _text) AS SELECT CASE WHEN g.parent_key IS NULL THEN (SELECT r.sort_order FROM
    records AS r WHERE r.user_id = $1 AND r.entity_type = g.entity_type AND NOT r.is_deleted AND r.parent_key IS NULL
    ORDER BY r.parent_key DESC NULLS LAST, r.sort_order DESC NULLS LAST LIMIT 1) ELSE (SELECT max(r.sort_order) FROM
    records AS r WHERE r.user_id = $1 AND r.entity_type = g.entity_type AND NOT r.is_deleted AND r.parent_key =
    g.parent_key) END FROM unnest((SELECT $2::text[]), (SELECT $3::text[])) WITH ORDINALITY AS g (entity_type,
    parent_key, place) ORDER BY g.place;
PREPARE statement_41 (uuid, uuid) AS SELECT avatar_id, sha256, mime_type, created_at FROM avatars WHERE user_id = $1 AND
    avatar_id = $2;
PREPARE statement_42 (uuid) AS SELECT avatar_id, sha256, mime_type, created_at FROM avatars WHERE user_id = $1 ORDER BY
    avatar_id;
PREPARE statement_43 (uuid, _uuid) AS SELECT b.blob_id FROM unnest((SELECT $2::uuid[])) WITH ORDINALITY AS b (blob_id,
    place) WHERE EXISTS (SELECT 1 FROM contents AS c WHERE c.user_id = $1 AND c.blob_id = b.blob_id) OR EXISTS (SELECT 1
    FROM content_variants AS v WHERE v.user_id = $1 AND v.blob_id = b.blob_id) OR EXISTS (SELECT 1 FROM upload_parts AS
    p WHERE p.user_id = $1 AND p.blob_id = b.blob_id) OR EXISTS (SELECT 1 FROM uploads AS u WHERE u.user_id = $1 AND
    u.direct_blob_id = b.blob_id AND NOT u.is_finished) ORDER BY b.place;
PREPARE statement_44 (uuid, _text, _int8, int8, int8) AS SELECT c.last_stamp, (SELECT epoch FROM meta WHERE only_row =
    1), changed.* FROM sync_clocks AS c LEFT JOIN LATERAL ( SELECT r.entity_type, r.record_key, r.stamp, r.edit_time,
    r.created_at, r.revision_count, r.is_deleted, r.seal, CASE WHEN NOT r.is_deleted THEN r.document END, r.has_next,
    CASE WHEN r.parent_key IS NOT NULL THEN (SELECT by_key.stamp FROM ( SELECT * FROM records AS next WHERE next.user_id
    = $1 AND (next.entity_type, next.record_key) >= (CASE r.entity_type WHEN 'resource' THEN 'memo' END, r.parent_key)
    ORDER BY next.entity_type, next.record_key LIMIT 1 ) AS by_key WHERE by_key.entity_type = CASE r.entity_type WHEN
    'resource' THEN 'memo' END AND by_key.record_key = r.parent_key) END FROM unnest((SELECT $2::text[]), (SELECT
    $3::bigint[])) AS t (entity_type, cursor) CROSS JOIN LATERAL ( SELECT page.*, row_number() OVER by_stamp AS place,
    lead(true) OVER by_stamp AS has_next, sum(page.document_bytes) OVER (by_stamp ROWS BETWEEN UNBOUNDED PRECEDING AND 1
    PRECEDING) AS bytes_before FROM (SELECT * FROM records AS next WHERE t.cursor < c.last_stamp AND next.user_id = $1
    AND next.entity_type = t.entity_type AND next.stamp > t.cursor ORDER BY next.stamp LIMIT (SELECT $4 + 1)) AS page
    WINDOW by_stamp AS (ORDER BY page.stamp) ) AS r WHERE r.place <= $4 AND (r.place = 1 OR r.bytes_before < $5) ) AS
    changed ON true WHERE c.user_id = $1;
PREPARE statement_45 (uuid) AS SELECT c.last_stamp, (SELECT epoch FROM meta WHERE only_row = 1), live.* FROM sync_clocks
    AS c LEFT JOIN LATERAL ( SELECT r.entity_type, array_agg(r.record_key) AS keys, array_agg(r.edit_time) AS edit_times
    FROM records AS r WHERE r.user_id = $1 AND NOT r.is_deleted GROUP BY r.entity_type ) AS live ON true WHERE c.user_id
    = $1;
PREPARE statement_46 (uuid, _bytea) AS SELECT c.sha256 FROM unnest((SELECT $2::bytea[])) WITH ORDINALITY AS n (sha256,
    place) JOIN contents AS c ON c.user_id = $1 AND c.sha256 = n.sha256 WHERE NOT EXISTS (SELECT 1 FROM records AS r
    WHERE r.user_id = $1 AND r.attachment = c.sha256 OFFSET 0) AND NOT EXISTS (SELECT 1 FROM revisions AS k WHERE
    k.user_id = $1 AND k.attachment = c.sha256 OFFSET 0) AND NOT EXISTS (SELECT 1 FROM avatars AS a WHERE a.user_id = $1
    AND a.sha256 = c.sha256) ORDER BY n.place;
PREPARE statement_47 (uuid, _bytea) AS SELECT c.sha256, c.blob_id, c.size, c.touched_at, NOT ( NOT EXISTS (SELECT 1 FROM
    records AS r WHERE r.user_id = $1 AND r.attachment = c.sha256 OFFSET 0) AND NOT EXISTS (SELECT 1 FROM revisions AS k
    WHERE k.user_id = $1 AND k.attachment = c.sha256 OFFSET 0)), ARRAY(SELECT a.avatar_id FROM avatars AS a WHERE
    a.user_id = $1 AND a.sha256 = c.sha256), ARRAY(SELECT v.blob_id FROM content_variants AS v WHERE v.user_id = $1 AND
    v.sha256 = c.sha256) FROM contents AS c WHERE c.user_id = $1 AND c.sha256 = ANY ($2);
PREPARE statement_48 (uuid) AS SELECT client_id, entity_type, last_sync_at, served_at FROM sync_cursors WHERE user_id =
    $1;
PREPARE statement_49 (uuid, int8) AS SELECT coalesce((SELECT min(recorded_at) FROM revisions WHERE user_id = $1) < $2,
    false) OR coalesce((SELECT min(stamp) FROM records WHERE user_id = $1 AND is_deleted AND document IS NOT NULL) < $2,
    false);
PREPARE statement_50 (uuid, _text, _text) AS SELECT coalesce(r.document_bytes, 0)::bigint FROM unnest((SELECT
    $2::text[]), (SELECT $3::text[])) WITH ORDINALITY AS k (entity_type, record_key, place) LEFT JOIN LATERAL (SELECT
    by_key.document_bytes FROM ( SELECT * FROM records AS next WHERE next.user_id = $1 AND (next.entity_type,
    next.record_key) >= (k.entity_type, k.record_key) ORDER BY next.entity_type, next.record_key LIMIT 1 ) AS by_key
    WHERE by_key.entity_type = k.entity_type AND by_key.record_key = k.record_key) AS r ON true ORDER BY k.place;
PREPARE statement_51 (uuid) AS SELECT count(*) FROM uploads WHERE user_id = $1 AND NOT is_finished;
PREPARE statement_52 (uuid, int8) AS SELECT count(DISTINCT client_id) > $2 FROM sync_cursors WHERE user_id = $1;
PREPARE statement_53 (uuid, int8, uuid, int8) AS SELECT event_id, kind, happened_at, doer, doer_id, address, client_id,
    agent, detail FROM activity WHERE user_id = $1 AND kind IN ('login', 'login_failed', 'logout', 'token_reused',
    'password_changed', 'account_created', 'account_renamed', 'role_changed', 'quota_changed', 'account_disabled',
    'account_enabled', 'account_removed', 'invite_made', 'invite_revoked', 'invite_used', 'device_forgotten',
    'exported', 'imported', 'restored', 'epoch_renewed') AND happened_at >= $2 AND ($3::uuid IS NULL OR event_id < $3)
    ORDER BY event_id DESC LIMIT (SELECT $4);
PREPARE statement_54 (uuid, int8, uuid, int8) AS SELECT event_id, kind, happened_at, doer, doer_id, address, client_id,
    agent, detail FROM activity WHERE user_id = $1 AND kind IN ('login_failed') AND happened_at >= $2 AND ($3::uuid IS
    NULL OR event_id < $3) ORDER BY event_id DESC LIMIT (SELECT $4);
PREPARE statement_55 (uuid, _text, _text, _text, _text, int8) AS SELECT g.entity_type, g.parent_key, (SELECT count(*)
    FROM (SELECT 1 FROM records AS r WHERE r.user_id = $1 AND r.entity_type = g.entity_type AND NOT r.is_deleted AND
    r.parent_key = g.parent_key LIMIT (SELECT $6)) AS child) FROM (SELECT * FROM unnest((SELECT $2::text[]), (SELECT
    $3::text[])) UNION SELECT r.entity_type, r.parent_key FROM unnest((SELECT $4::text[]), (SELECT $5::text[])) AS n
    (entity_type, record_key) CROSS JOIN LATERAL (SELECT by_key.entity_type, by_key.parent_key FROM ( SELECT * FROM
    records AS next WHERE next.user_id = $1 AND (next.entity_type, next.record_key) >= (n.entity_type, n.record_key)
    ORDER BY next.entity_type, next.record_key LIMIT 1 ) AS by_key WHERE by_key.entity_type = n.entity_type AND
    by_key.record_key = n.record_key) AS r WHERE r.parent_key IS NOT NULL) AS g (entity_type, parent_key);
PREPARE statement_56 (uuid, text, text, int8, int8, int8) AS SELECT k.entity_type, k.record_key, k.revision_id,
    k.edit_time, k.author, k.created_at, k.reason, k.recorded_at, k.revision_number, k.attachment, k.document FROM (
    SELECT *, sum(octet_length(document)) OVER (ORDER BY entity_type, record_key, revision_number) -
    octet_length(document) AS bytes_before FROM (SELECT * FROM revisions WHERE user_id = $1 AND (entity_type,
    record_key, revision_number) > ($2, $3, $4) ORDER BY entity_type, record_key, revision_number LIMIT (SELECT $5)) AS
    page ) AS k WHERE bytes_before < $6 ORDER BY entity_type, record_key, revision_number;
PREPARE statement_57 (uuid, text, text, uuid) AS SELECT k.entity_type, k.record_key, k.revision_id, k.edit_time,
    k.author, k.created_at, k.reason, k.recorded_at, k.revision_number, k.attachment, k.document FROM revisions AS k
    WHERE user_id = $1 AND entity_type = $2 AND record_key = $3 AND revision_id = $4;
PREPARE statement_58 (uuid, _text, _text, _int8, _text) AS SELECT k.entity_type, k.record_key, k.revision_id,
    k.edit_time, k.author, k.created_at, k.reason, k.recorded_at, k.revision_number, k.attachment, k.document FROM
    unnest((SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::bigint[]), (SELECT $5::text[])) AS v (entity_type,
    record_key, edit_time, author) JOIN revisions AS k ON k.user_id = $1 AND k.entity_type = v.entity_type AND
    k.record_key = v.record_key AND k.edit_time = v.edit_time AND k.author = v.author ORDER BY k.entity_type,
    k.record_key, k.revision_number;
PREPARE statement_59 (uuid, text, text, int8, int8, int8) AS SELECT k.entity_type, k.record_key, k.revision_id,
    k.edit_time, k.author, k.created_at, k.reason, k.recorded_at, k.revision_number, k.attachment, k.document,
    k.has_next FROM ( SELECT page.*, row_number() OVER latest_first AS place, lead(true) OVER latest_first AS has_next,
    sum(octet_length(page.document)) OVER (latest_first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS
    bytes_before FROM (SELECT * FROM revisions WHERE user_id = $1 AND entity_type = $2 AND record_key = $3 AND
    revision_number < $4 ORDER BY revision_number DESC LIMIT (SELECT $5 + 1)) AS page WINDOW latest_first AS (ORDER BY
    page.revision_number DESC) ) AS k WHERE k.place <= $5 AND (k.place = 1 OR k.bytes_before < $6) ORDER BY
    k.revision_number DESC;
PREPARE statement_60 (uuid) AS SELECT last_stamp FROM sync_clocks WHERE user_id = $1;
PREPARE statement_61 (uuid) AS SELECT last_stamp, record_bytes FROM sync_clocks WHERE user_id = $1;
PREPARE statement_62 (uuid, int8, int8) AS SELECT p.part_offset, p.size, p.blob_id, p.upload_id FROM uploads AS u JOIN
    upload_parts AS p ON p.user_id = $1 AND p.upload_id = u.upload_id WHERE u.user_id = $1 AND u.expires_at <= $2 ORDER
    BY p.upload_id, p.part_offset DESC LIMIT (SELECT $3);
PREPARE statement_63 (uuid, uuid) AS SELECT part_offset, size, blob_id FROM upload_parts WHERE user_id = $1 AND
    upload_id = $2 ORDER BY part_offset;
PREPARE statement_64 (uuid, text, text, int8) AS SELECT r.entity_type, r.record_key, r.attachment FROM records AS r
    WHERE r.user_id = $1 AND r.attachment IS NOT NULL AND NOT r.is_deleted AND (r.record_key, r.entity_type) > ($2, $3)
    AND NOT EXISTS (SELECT 1 FROM contents AS c WHERE c.user_id = $1 AND c.sha256 = r.attachment) ORDER BY r.record_key,
    r.entity_type LIMIT (SELECT $4);
PREPARE statement_65 (uuid, text, int8, int8, text, int8, int8) AS SELECT r.entity_type, r.record_key, r.document_bytes
    + coalesce(( SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE
    child.user_id = $1 AND child.entity_type IN ('resource') AND child.parent_key = r.record_key AND NOT
    child.is_deleted LIMIT 1000) AS shown), 0), total.records FROM (SELECT count(*) AS records FROM records AS r WHERE
    r.user_id = $1 AND r.entity_type = $2 AND NOT r.is_deleted AND (r.day = $5 OR (r.created_at >= $3 AND r.created_at <
    $4))) AS total LEFT JOIN LATERAL ( SELECT * FROM records AS r WHERE r.user_id = $1 AND r.entity_type = $2 AND NOT
    r.is_deleted AND (r.day = $5 OR (r.created_at >= $3 AND r.created_at < $4)) ORDER BY r.created_at DESC, r.record_key
    LIMIT (SELECT $6) OFFSET (SELECT $7) ) AS r ON true ORDER BY r.created_at DESC, r.record_key;
PREPARE statement_66 (uuid, text, int8, int8, int8, int8) AS SELECT r.entity_type, r.record_key, r.document_bytes +
    coalesce(( SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE
    child.user_id = $1 AND child.entity_type IN ('resource') AND child.parent_key = r.record_key AND NOT
    child.is_deleted LIMIT 1000) AS shown), 0), total.records FROM (SELECT count(*) AS records FROM records AS r WHERE
    r.user_id = $1 AND r.entity_type = $2 AND NOT r.is_deleted AND r.created_at >= $3 AND r.created_at < $4) AS total
    LEFT JOIN LATERAL ( SELECT * FROM records AS r WHERE r.user_id = $1 AND r.entity_type = $2 AND NOT r.is_deleted AND
    r.created_at >= $3 AND r.created_at < $4 ORDER BY r.created_at DESC, r.record_key LIMIT (SELECT $5) OFFSET (SELECT
    $6) ) AS r ON true ORDER BY r.created_at DESC, r.record_key;
PREPARE statement_67 (uuid, text, int8, int8, int8) AS SELECT r.entity_type, r.record_key, r.document_bytes + coalesce((
    SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE child.user_id = $1
    AND child.entity_type IN ('resource') AND child.parent_key = r.record_key AND NOT child.is_deleted LIMIT 1000) AS
    shown), 0), total.records FROM (SELECT count(*) AS records FROM records AS r WHERE r.user_id = $1 AND r.entity_type
    = $2 AND NOT r.is_deleted AND r.created_at >= $3) AS total LEFT JOIN LATERAL ( SELECT * FROM records AS r WHERE
    r.user_id = $1 AND r.entity_type = $2 AND NOT r.is_deleted AND r.created_at >= $3 ORDER BY r.created_at DESC,
    r.record_key LIMIT (SELECT $4) OFFSET (SELECT $5) ) AS r ON true ORDER BY r.created_at DESC, r.record_key;
PREPARE statement_68 (uuid, text, text, int8, int8) AS SELECT r.entity_type, r.record_key, r.document_bytes + coalesce((
    SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE child.user_id = $1
    AND child.entity_type IN ('resource') AND child.parent_key = r.record_key AND NOT child.is_deleted LIMIT 1000) AS
    shown), 0), total.records FROM (SELECT count(*) AS records FROM records AS r WHERE r.user_id = $1 AND r.entity_type
    = $2 AND NOT r.is_deleted AND r.day = $3) AS total LEFT JOIN LATERAL ( SELECT * FROM records AS r WHERE r.user_id =
    $1 AND r.entity_type = $2 AND NOT r.is_deleted AND r.day = $3 ORDER BY r.created_at DESC, r.record_key LIMIT (SELECT
    $4) OFFSET (SELECT $5) ) AS r ON true ORDER BY r.created_at DESC, r.record_key;
PREPARE statement_69 (uuid, text, bool, text, int8, int8) AS SELECT r.entity_type, r.record_key, r.document_bytes +
    coalesce(( SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE
    child.user_id = $1 AND child.entity_type IN ('resource') AND child.parent_key = r.record_key AND NOT
    child.is_deleted LIMIT 1000) AS shown), 0), total.records FROM (SELECT count(*) AS records FROM records AS r WHERE
    r.user_id = $1 AND r.entity_type = $2 AND NOT r.is_deleted AND r.is_archived = $3 AND r.day = $4) AS total LEFT JOIN
    LATERAL ( SELECT * FROM records AS r WHERE r.user_id = $1 AND r.entity_type = $2 AND NOT r.is_deleted AND
    r.is_archived = $3 AND r.day = $4 ORDER BY r.created_at DESC, r.record_key LIMIT (SELECT $5) OFFSET (SELECT $6) ) AS
    r ON true ORDER BY r.created_at DESC, r.record_key;
PREPARE statement_70 (uuid, text, bool, int8, int8) AS SELECT r.entity_type, r.record_key, r.document_bytes + coalesce((
    SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE child.user_id = $1
    AND child.entity_type IN ('resource') AND child.parent_key = r.record_key AND NOT child.is_deleted LIMIT 1000) AS
    shown), 0), total.records FROM (SELECT count(*) AS records FROM records AS r WHERE r.user_id = $1 AND r.entity_type
    = $2 AND NOT r.is_deleted AND r.is_archived = $3) AS total LEFT JOIN LATERAL ( SELECT * FROM records AS r WHERE
    r.user_id = $1 AND r.entity_type = $2 AND NOT r.is_deleted AND r.is_archived = $3 ORDER BY r.created_at DESC,
    r.record_key LIMIT (SELECT $4) OFFSET (SELECT $5) ) AS r ON true ORDER BY r.created_at DESC, r.record_key;
PREPARE statement_71 (uuid, text, _text, int8, int8) AS SELECT r.entity_type, r.record_key, r.document_bytes +
    coalesce(( SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE
    child.user_id = $1 AND child.entity_type IN ('resource') AND child.parent_key = r.record_key AND NOT
    child.is_deleted LIMIT 1000) AS shown), 0), total.records FROM (SELECT count(*) AS records FROM records AS r WHERE
    r.user_id = $1 AND r.entity_type = $2 AND NOT r.is_deleted AND r.tags @> $3) AS total LEFT JOIN LATERAL ( SELECT *
    FROM records AS r WHERE r.user_id = $1 AND r.entity_type = $2 AND NOT r.is_deleted AND r.tags @> $3 ORDER BY
    r.created_at DESC, r.record_key LIMIT (SELECT $4) OFFSET (SELECT $5) ) AS r ON true ORDER BY r.created_at DESC,
    r.record_key;
PREPARE statement_72 (uuid, text, int8, int8) AS SELECT r.entity_type, r.record_key, r.document_bytes + coalesce((
    SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE child.user_id = $1
    AND child.entity_type IN ('resource') AND child.parent_key = r.record_key AND NOT child.is_deleted LIMIT 1000) AS
    shown), 0), total.records FROM (SELECT count(*) AS records FROM records AS r WHERE r.user_id = $1 AND r.entity_type
    = $2 AND NOT r.is_deleted) AS total LEFT JOIN LATERAL ( SELECT * FROM records AS r WHERE r.user_id = $1 AND
    r.entity_type = $2 AND NOT r.is_deleted ORDER BY r.created_at DESC, r.record_key LIMIT (SELECT $3) OFFSET (SELECT
    $4) ) AS r ON true ORDER BY r.created_at DESC, r.record_key;
PREPARE statement_73 (uuid, text, int8, int8) AS SELECT r.entity_type, r.record_key, r.document_bytes + coalesce((
    SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE child.user_id = $1
    AND child.entity_type IN ('resource') AND child.parent_key = r.record_key AND NOT child.is_deleted LIMIT 1000) AS
    shown), 0), total.records FROM (SELECT count(*) AS records FROM records AS r WHERE r.user_id = $1 AND r.entity_type
    = $2 AND NOT r.is_deleted) AS total LEFT JOIN LATERAL ( SELECT * FROM records AS r WHERE r.user_id = $1 AND
    r.entity_type = $2 AND NOT r.is_deleted ORDER BY r.record_key DESC LIMIT (SELECT $3) OFFSET (SELECT $4) ) AS r ON
    true ORDER BY r.record_key DESC;
PREPARE statement_74 (uuid, text, _text, int8, int8) AS SELECT r.entity_type, r.record_key, r.document_bytes +
    coalesce(( SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE
    child.user_id = $1 AND child.entity_type IN (NULL) AND child.parent_key = r.record_key AND NOT child.is_deleted
    LIMIT 1000) AS shown), 0), total.records FROM (SELECT count(*) AS records FROM records AS r WHERE r.user_id = $1 AND
    r.entity_type = $2 AND NOT r.is_deleted AND r.parent_key = ANY ($3)) AS total LEFT JOIN LATERAL ( SELECT * FROM
    records AS r WHERE r.user_id = $1 AND r.entity_type = $2 AND NOT r.is_deleted AND r.parent_key = ANY ($3) ORDER BY
    r.parent_key NULLS FIRST, r.sort_order NULLS FIRST, r.record_key LIMIT (SELECT $4) OFFSET (SELECT $5) ) AS r ON true
    ORDER BY r.parent_key NULLS FIRST, r.sort_order NULLS FIRST, r.record_key;
PREPARE statement_75 (uuid, text, text, int8, int8) AS SELECT r.entity_type, r.record_key, r.document_bytes + coalesce((
    SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE child.user_id = $1
    AND child.entity_type IN (NULL) AND child.parent_key = r.record_key AND NOT child.is_deleted LIMIT 1000) AS shown),
    0), total.records FROM (SELECT count(*) AS records FROM records AS r WHERE r.user_id = $1 AND r.entity_type = $2 AND
    NOT r.is_deleted AND r.record_key <= $3) AS total LEFT JOIN LATERAL ( SELECT * FROM records AS r WHERE r.user_id =
    $1 AND r.entity_type = $2 AND NOT r.is_deleted AND r.record_key <= $3 ORDER BY r.record_key DESC LIMIT (SELECT $4)
    OFFSET (SELECT $5) ) AS r ON true ORDER BY r.record_key DESC;
PREPARE statement_76 (uuid, text, text, text, int8, int8) AS SELECT r.entity_type, r.record_key, r.document_bytes +
    coalesce(( SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE
    child.user_id = $1 AND child.entity_type IN (NULL) AND child.parent_key = r.record_key AND NOT child.is_deleted
    LIMIT 1000) AS shown), 0), total.records FROM (SELECT count(*) AS records FROM records AS r WHERE r.user_id = $1 AND
    r.entity_type = $2 AND NOT r.is_deleted AND r.record_key >= $3 AND r.record_key <= $4) AS total LEFT JOIN LATERAL (
    SELECT * FROM records AS r WHERE r.user_id = $1 AND r.entity_type = $2 AND NOT r.is_deleted AND r.record_key >= $3
    AND r.record_key <= $4 ORDER BY r.record_key DESC LIMIT (SELECT $5) OFFSET (SELECT $6) ) AS r ON true ORDER BY
    r.record_key DESC;
PREPARE statement_77 (uuid, text, int8, int8) AS SELECT r.entity_type, r.record_key, r.document_bytes + coalesce((
    SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE child.user_id = $1
    AND child.entity_type IN (NULL) AND child.parent_key = r.record_key AND NOT child.is_deleted LIMIT 1000) AS shown),
    0), total.records FROM (SELECT count(*) AS records FROM records AS r WHERE r.user_id = $1 AND r.entity_type = $2 AND
    NOT r.is_deleted) AS total LEFT JOIN LATERAL ( SELECT * FROM records AS r WHERE r.user_id = $1 AND r.entity_type =
    $2 AND NOT r.is_deleted ORDER BY r.created_at DESC, r.record_key LIMIT (SELECT $3) OFFSET (SELECT $4) ) AS r ON true
    ORDER BY r.created_at DESC, r.record_key;
PREPARE statement_78 (uuid, text, int8, int8) AS SELECT r.entity_type, r.record_key, r.document_bytes + coalesce((
    SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE child.user_id = $1
    AND child.entity_type IN (NULL) AND child.parent_key = r.record_key AND NOT child.is_deleted LIMIT 1000) AS shown),
    0), total.records FROM (SELECT count(*) AS records FROM records AS r WHERE r.user_id = $1 AND r.entity_type = $2 AND
    NOT r.is_deleted) AS total LEFT JOIN LATERAL ( SELECT * FROM records AS r WHERE r.user_id = $1 AND r.entity_type =
    $2 AND NOT r.is_deleted ORDER BY r.parent_key NULLS FIRST, r.sort_order NULLS FIRST, r.record_key LIMIT (SELECT $3)
    OFFSET (SELECT $4) ) AS r ON true ORDER BY r.parent_key NULLS FIRST, r.sort_order NULLS FIRST, r.record_key;
PREPARE statement_79 (uuid, text, int8, int8) AS SELECT r.entity_type, r.record_key, r.document_bytes + coalesce((
    SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE child.user_id = $1
    AND child.entity_type IN (NULL) AND child.parent_key = r.record_key AND NOT child.is_deleted LIMIT 1000) AS shown),
    0), total.records FROM (SELECT count(*) AS records FROM records AS r WHERE r.user_id = $1 AND r.entity_type = $2 AND
    NOT r.is_deleted) AS total LEFT JOIN LATERAL ( SELECT * FROM records AS r WHERE r.user_id = $1 AND r.entity_type =
    $2 AND NOT r.is_deleted ORDER BY r.record_key DESC LIMIT (SELECT $3) OFFSET (SELECT $4) ) AS r ON true ORDER BY
    r.record_key DESC;
PREPARE statement_80 (uuid, text, text) AS SELECT r.entity_type, r.record_key, r.stamp, r.edit_time, r.author,
    r.created_at, r.revision_count, r.is_deleted, r.parent_key, r.attachment, r.document FROM records AS r WHERE user_id
    = $1 AND entity_type = $2 AND record_key = $3;
PREPARE statement_81 (uuid, _text, _text) AS SELECT r.entity_type, r.record_key, r.stamp, r.edit_time, r.author,
    r.created_at, r.revision_count, r.is_deleted, r.parent_key, r.attachment, r.document FROM unnest((SELECT
    $2::text[]), (SELECT $3::text[])) WITH ORDINALITY AS k (entity_type, record_key, place) CROSS JOIN LATERAL (SELECT
    by_key.* FROM ( SELECT * FROM records AS next WHERE next.user_id = $1 AND (next.entity_type, next.record_key) >=
    (k.entity_type, k.record_key) ORDER BY next.entity_type, next.record_key LIMIT 1 ) AS by_key WHERE
    by_key.entity_type = k.entity_type AND by_key.record_key = k.record_key) AS r ORDER BY k.place;
PREPARE statement_82 (uuid, _text, _text, int8, int8) AS SELECT r.entity_type, r.record_key, r.stamp, r.edit_time,
    r.author, r.created_at, r.revision_count, r.is_deleted, r.parent_key, r.attachment, r.document FROM unnest((SELECT
    $2::text[]), (SELECT $3::text[])) WITH ORDINALITY AS p (child_type, parent_key, parent) CROSS JOIN LATERAL ( SELECT
    page.*, row_number() OVER siblings AS place, sum(page.document_bytes) OVER (siblings ROWS BETWEEN UNBOUNDED
    PRECEDING AND 1 PRECEDING) AS bytes_before FROM (SELECT * FROM records AS child WHERE child.user_id = $1 AND
    child.entity_type = p.child_type AND NOT child.is_deleted AND child.parent_key = p.parent_key ORDER BY sort_order
    NULLS FIRST, record_key LIMIT (SELECT $4)) AS page WINDOW siblings AS (ORDER BY sort_order NULLS FIRST, record_key)
    ) AS r WHERE r.place = 1 OR r.bytes_before < $5 ORDER BY p.parent, r.place;
PREPARE statement_83 (uuid, int8, int8, int8) AS SELECT r.entity_type, r.record_key, r.stamp, r.edit_time, r.author,
    r.created_at, r.revision_count, r.is_deleted, r.parent_key, r.attachment, r.document, coalesce(p.last_number, 0)
    FROM ( SELECT *, sum(document_bytes) OVER (ORDER BY stamp) - document_bytes AS bytes_before FROM (SELECT * FROM
    records WHERE user_id = $1 AND stamp > $2 ORDER BY stamp LIMIT (SELECT $3)) AS page ) AS r LEFT JOIN
    purged_revisions AS p ON p.user_id = $1 AND p.entity_type = r.entity_type AND p.record_key = r.record_key WHERE
    r.bytes_before < $4 ORDER BY r.stamp;
PREPARE statement_84 (uuid, bytea) AS SELECT sha256, blob_id, size, touched_at FROM contents WHERE user_id = $1 AND
    sha256 = $2;
PREPARE statement_85 (uuid, bytea, int8) AS SELECT sha256, blob_id, size, touched_at FROM contents WHERE user_id = $1
    AND sha256 > $2 ORDER BY sha256 LIMIT (SELECT $3);
PREPARE statement_86 (uuid, text, int8) AS SELECT tag.name, count(*) FROM records AS r, unnest(r.tags) AS tag (name)
    WHERE r.user_id = $1 AND r.entity_type = $2 AND NOT r.is_deleted GROUP BY tag.name ORDER BY count(*) DESC, tag.name
    COLLATE "C" LIMIT (SELECT $3);
PREPARE statement_87 (uuid, uuid) AS SELECT u.upload_id, u.resource_id, u.client_id, u.length, u.direct_blob_id,
    u.fields, u.created_at, u.expires_at, u.is_finished, u.is_deferred, p.received, p.parts FROM uploads AS u, LATERAL (
    SELECT coalesce(sum(size), 0)::bigint AS received, count(*) AS parts FROM upload_parts WHERE user_id = $1 AND
    upload_id = $2 ) AS p WHERE u.user_id = $1 AND u.upload_id = $2;
PREPARE statement_88 (uuid, int8, int8) AS SELECT upload_id, direct_blob_id, is_finished FROM uploads WHERE user_id = $1
    AND expires_at <= $2 ORDER BY upload_id LIMIT (SELECT $3);
PREPARE statement_89 (uuid) AS SELECT user_id, last_stamp, (SELECT epoch FROM meta WHERE only_row = 1) FROM sync_clocks
    WHERE user_id = $1;
PREPARE statement_90 (uuid, bytea, text) AS SELECT variant, blob_id, size, mime_type FROM content_variants WHERE user_id
    = $1 AND sha256 = $2 AND variant = $3;
PREPARE statement_91 (uuid, int8, int8, _uuid, _int8) AS UPDATE sync_clocks SET last_stamp = coalesce($2, last_stamp),
    record_bytes = greatest(0, record_bytes + $3 + ( SELECT coalesce(sum(200 + n.bytes), 0) FROM unnest((SELECT
    $4::uuid[]), (SELECT $5::bigint[])) AS n (revision_id, bytes) WHERE NOT EXISTS (SELECT 1 FROM revisions AS k WHERE
    k.user_id = $1 AND k.revision_id = n.revision_id) )::bigint) WHERE user_id = $1;
PREPARE statement_92 (uuid, uuid, int8) AS UPDATE uploads SET expires_at = $3 WHERE user_id = $1 AND upload_id = $2;
PREPARE statement_93 (uuid, uuid) AS UPDATE uploads SET is_finished = true WHERE user_id = $1 AND upload_id = $2;
PREPARE statement_94 (uuid, uuid, int8) AS UPDATE uploads SET length = $3, is_deferred = false WHERE user_id = $1 AND
    upload_id = $2;
PREPARE statement_95 (uuid, text, _text, int8, int8) AS WITH found AS MATERIALIZED ( SELECT r.record_key, r.created_at,
    r.parent_key, r.sort_order FROM record_search AS s CROSS JOIN LATERAL (SELECT by_key.* FROM ( SELECT * FROM records
    AS next WHERE next.user_id = $1 AND (next.entity_type, next.record_key) >= ($2, s.record_key) ORDER BY
    next.entity_type, next.record_key LIMIT 1 ) AS by_key WHERE by_key.entity_type = $2 AND by_key.record_key =
    s.record_key) AS r WHERE s.user_id = $1 AND s.entity_type = $2 AND NOT EXISTS (SELECT FROM (SELECT s.body || '' AS
    body OFFSET 0) AS whole, unnest($3) AS t (term) WHERE strpos(whole.body, t.term) = 0) AND r.user_id = $1 AND
    r.entity_type = $2 AND NOT r.is_deleted ) SELECT r.entity_type, r.record_key, r.document_bytes + coalesce(( SELECT
    sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE child.user_id = $1 AND
    child.entity_type IN ('resource') AND child.parent_key = r.record_key AND NOT child.is_deleted LIMIT 1000) AS
    shown), 0), total.records FROM (SELECT count(*) AS records FROM found) AS total LEFT JOIN LATERAL ( SELECT whole.*
    FROM ( SELECT r.record_key FROM found AS r ORDER BY r.created_at DESC, r.record_key LIMIT (SELECT $4) OFFSET (SELECT
    $5) ) AS page CROSS JOIN LATERAL (SELECT by_key.* FROM ( SELECT * FROM records AS next WHERE next.user_id = $1 AND
    (next.entity_type, next.record_key) >= ($2, page.record_key) ORDER BY next.entity_type, next.record_key LIMIT 1 ) AS
    by_key WHERE by_key.entity_type = $2 AND by_key.record_key = page.record_key) AS whole ) AS r ON true ORDER BY
    r.created_at DESC, r.record_key;
PREPARE statement_96 (uuid, text, _int4, _text, int8, int8) AS WITH found AS MATERIALIZED ( SELECT r.record_key,
    r.created_at, r.parent_key, r.sort_order FROM record_search AS s CROSS JOIN LATERAL (SELECT by_key.* FROM ( SELECT *
    FROM records AS next WHERE next.user_id = $1 AND (next.entity_type, next.record_key) >= ($2, s.record_key) ORDER BY
    next.entity_type, next.record_key LIMIT 1 ) AS by_key WHERE by_key.entity_type = $2 AND by_key.record_key =
    s.record_key) AS r WHERE s.user_id = $1 AND s.entity_type = $2 AND s.grams @> $3 AND NOT EXISTS (SELECT FROM (SELECT
    s.body || '' AS body OFFSET 0) AS whole, unnest($4) AS t (term) WHERE strpos(whole.body, t.term) = 0) AND r.user_id
    = $1 AND r.entity_type = $2 AND NOT r.is_deleted ) SELECT r.entity_type, r.record_key, r.document_bytes + coalesce((
    SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE child.user_id = $1
    AND child.entity_type IN ('resource') AND child.parent_key = r.record_key AND NOT child.is_deleted LIMIT 1000) AS
    shown), 0), total.records FROM (SELECT count(*) AS records FROM found) AS total LEFT JOIN LATERAL ( SELECT whole.*
    FROM ( SELECT r.record_key FROM found AS r ORDER BY r.created_at DESC, r.record_key LIMIT (SELECT $5) OFFSET (SELECT
    $6) ) AS page CROSS JOIN LATERAL (SELECT by_key.* FROM ( SELECT * FROM records AS next WHERE next.user_id = $1 AND
    (next.entity_type, next.record_key) >= ($2, page.record_key) ORDER BY next.entity_type, next.record_key LIMIT 1 ) AS
    by_key WHERE by_key.entity_type = $2 AND by_key.record_key = page.record_key) AS whole ) AS r ON true ORDER BY
    r.created_at DESC, r.record_key;
PREPARE statement_97 (uuid, text, _int4, _text, int8, int8) AS WITH found AS MATERIALIZED ( SELECT r.record_key,
    r.created_at, r.parent_key, r.sort_order FROM record_search AS s CROSS JOIN LATERAL (SELECT by_key.* FROM ( SELECT *
    FROM records AS next WHERE next.user_id = $1 AND (next.entity_type, next.record_key) >= ($2, s.record_key) ORDER BY
    next.entity_type, next.record_key LIMIT 1 ) AS by_key WHERE by_key.entity_type = $2 AND by_key.record_key =
    s.record_key) AS r WHERE s.user_id = $1 AND s.entity_type = $2 AND s.grams @> $3 AND NOT EXISTS (SELECT FROM (SELECT
    s.body || '' AS body OFFSET 0) AS whole, unnest($4) AS t (term) WHERE strpos(whole.body, t.term) = 0) AND r.user_id
    = $1 AND r.entity_type = $2 AND NOT r.is_deleted ) SELECT r.entity_type, r.record_key, r.document_bytes + coalesce((
    SELECT sum(shown.document_bytes) FROM ( SELECT child.document_bytes FROM records AS child WHERE child.user_id = $1
    AND child.entity_type IN (NULL) AND child.parent_key = r.record_key AND NOT child.is_deleted LIMIT 1000) AS shown),
    0), total.records FROM (SELECT count(*) AS records FROM found) AS total LEFT JOIN LATERAL ( SELECT whole.* FROM (
    SELECT r.record_key FROM found AS r ORDER BY r.parent_key NULLS FIRST, r.sort_order NULLS FIRST, r.record_key LIMIT
    (SELECT $5) OFFSET (SELECT $6) ) AS page CROSS JOIN LATERAL (SELECT by_key.* FROM ( SELECT * FROM records AS next
    WHERE next.user_id = $1 AND (next.entity_type, next.record_key) >= ($2, page.record_key) ORDER BY next.entity_type,
    next.record_key LIMIT 1 ) AS by_key WHERE by_key.entity_type = $2 AND by_key.record_key = page.record_key) AS whole
    ) AS r ON true ORDER BY r.parent_key NULLS FIRST, r.sort_order NULLS FIRST, r.record_key;
PREPARE statement_98 (uuid, text, bool, _text, _int4, _text, int8, int8) AS WITH found AS MATERIALIZED ( SELECT
    r.record_key, r.created_at, r.parent_key, r.sort_order FROM record_search AS s CROSS JOIN LATERAL (SELECT by_key.*
    FROM ( SELECT * FROM records AS next WHERE next.user_id = $1 AND (next.entity_type, next.record_key) >= ($2,
    s.record_key) ORDER BY next.entity_type, next.record_key LIMIT 1 ) AS by_key WHERE by_key.entity_type = $2 AND
    by_key.record_key = s.record_key) AS r WHERE s.user_id = $1 AND s.entity_type = $2 AND s.grams @> $5 AND NOT EXISTS
    (SELECT FROM (SELECT s.body || '' AS body OFFSET 0) AS whole, unnest($6) AS t (term) WHERE strpos(whole.body,
    t.term) = 0) AND r.user_id = $1 AND r.entity_type = $2 AND NOT r.is_deleted AND r.is_archived = $3 AND r.tags @> $4
    ) SELECT r.entity_type, r.record_key, r.document_bytes + coalesce(( SELECT sum(shown.document_bytes) FROM ( SELECT
    child.document_bytes FROM records AS child WHERE child.user_id = $1 AND child.entity_type IN ('resource') AND
    child.parent_key = r.record_key AND NOT child.is_deleted LIMIT 1000) AS shown), 0), total.records FROM (SELECT
    count(*) AS records FROM found) AS total LEFT JOIN LATERAL ( SELECT whole.* FROM ( SELECT r.record_key FROM found AS
    r ORDER BY r.created_at DESC, r.record_key LIMIT (SELECT $7) OFFSET (SELECT $8) ) AS page CROSS JOIN LATERAL (SELECT
    by_key.* FROM ( SELECT * FROM records AS next WHERE next.user_id = $1 AND (next.entity_type, next.record_key) >=
    ($2, page.record_key) ORDER BY next.entity_type, next.record_key LIMIT 1 ) AS by_key WHERE by_key.entity_type = $2
    AND by_key.record_key = page.record_key) AS whole ) AS r ON true ORDER BY r.created_at DESC, r.record_key;
PREPARE statement_99 (uuid, _uuid, text) AS WITH free AS MATERIALIZED ( SELECT a.avatar_id FROM avatars AS a WHERE
    a.user_id = $1 AND a.avatar_id = ANY ($2) AND position(a.avatar_id::text IN $3) = 0 AND NOT EXISTS (SELECT 1 FROM
    records AS r WHERE r.user_id = $1 AND r.entity_type IN ('bot') AND position(a.avatar_id::text IN r.document) > 0)
    AND NOT EXISTS (SELECT 1 FROM revisions AS k WHERE k.user_id = $1 AND k.entity_type IN ('bot') AND
    position(a.avatar_id::text IN k.document) > 0) ) SELECT a.avatar_id, a.created_at, a.avatar_id NOT IN (SELECT
    avatar_id FROM free) FROM avatars AS a WHERE a.user_id = $1 AND a.avatar_id = ANY ($2);
PREPARE statement_100 (uuid, int8, int8) AS WITH gone AS ( DELETE FROM revisions WHERE user_id = $1 AND ctid = ANY
    (ARRAY( SELECT ctid FROM revisions WHERE user_id = $1 AND recorded_at < $2 ORDER BY recorded_at LIMIT (SELECT $3) ))
    RETURNING entity_type, record_key, revision_number, octet_length(document) AS bytes ), old AS MATERIALIZED ( SELECT
    ctid AS place, document_bytes AS bytes FROM records WHERE user_id = $1 AND stamp < $2 AND is_deleted AND document IS
    NOT NULL ORDER BY stamp LIMIT (SELECT $3 - count(*) FROM gone) ), erased AS ( UPDATE records SET document = NULL,
    is_archived = false, parent_key = NULL, day = NULL, sort_order = NULL, tags = '{}', attachment = NULL WHERE user_id
    = $1 AND ctid = ANY (ARRAY(SELECT place FROM old)) RETURNING entity_type, record_key ), texts AS ( DELETE FROM
    record_search AS s USING erased AS e WHERE s.user_id = $1 AND s.entity_type = e.entity_type AND s.record_key =
    e.record_key ), counted AS ( UPDATE sync_clocks SET record_bytes = greatest(0, record_bytes - (SELECT
    coalesce(sum(200 + bytes), 0) FROM gone)::bigint - (SELECT coalesce(sum(bytes), 0) FROM old)::bigint) WHERE user_id
    = $1 ) SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM erased), coalesce(array_agg(p.entity_type), '{}'),
    coalesce(array_agg(p.record_key), '{}'), coalesce(array_agg(p.last_number), '{}') FROM (SELECT entity_type,
    record_key, max(revision_number) AS last_number FROM gone GROUP BY entity_type, record_key) AS p;
PREPARE statement_101 (uuid, _text, _text, _text, _text) AS WITH named AS ( SELECT r.entity_type, r.record_key,
    r.parent_key FROM unnest((SELECT $2::text[]), (SELECT $3::text[])) AS n (entity_type, record_key) CROSS JOIN LATERAL
    (SELECT by_key.* FROM ( SELECT * FROM records AS next WHERE next.user_id = $1 AND (next.entity_type,
    next.record_key) >= (n.entity_type, n.record_key) ORDER BY next.entity_type, next.record_key LIMIT 1 ) AS by_key
    WHERE by_key.entity_type = n.entity_type AND by_key.record_key = n.record_key) AS r UNION SELECT r.entity_type,
    r.record_key, r.parent_key FROM unnest((SELECT $4::text[]), (SELECT $5::text[])) AS p (child_type, parent_key) CROSS
    JOIN LATERAL ( SELECT child.entity_type, child.record_key, child.parent_key FROM records AS child WHERE
    child.user_id = $1 AND child.entity_type = p.child_type AND NOT child.is_deleted AND child.parent_key = p.parent_key
    OFFSET 0) AS r ), loaded AS ( SELECT entity_type, record_key FROM named UNION SELECT CASE entity_type WHEN
    'resource' THEN 'memo' END, parent_key FROM named WHERE parent_key IS NOT NULL ) SELECT r.entity_type, r.record_key,
    r.stamp, r.edit_time, r.author, r.created_at, r.revision_count, r.is_deleted, r.parent_key, r.attachment, r.document
    FROM loaded AS w CROSS JOIN LATERAL (SELECT by_key.* FROM ( SELECT * FROM records AS next WHERE next.user_id = $1
    AND (next.entity_type, next.record_key) >= (w.entity_type, w.record_key) ORDER BY next.entity_type, next.record_key
    LIMIT 1 ) AS by_key WHERE by_key.entity_type = w.entity_type AND by_key.record_key = w.record_key) AS r;
PREPARE statement_102 (uuid, int8) AS WITH of_sync_cursors AS ( DELETE FROM sync_cursors WHERE user_id = $1 AND ctid =
    ANY (ARRAY( SELECT ctid FROM sync_cursors WHERE user_id = $1 ORDER BY user_id LIMIT (SELECT $2 - (0)) )) RETURNING 1
    ), of_activity AS ( DELETE FROM activity WHERE user_id = $1 AND ctid = ANY (ARRAY( SELECT ctid FROM activity WHERE
    user_id = $1 ORDER BY kind, event_id LIMIT (SELECT $2 - (0 + (SELECT count(*) FROM of_sync_cursors))) )) RETURNING 1
    ), of_revisions AS ( DELETE FROM revisions WHERE user_id = $1 AND ctid = ANY (ARRAY( SELECT ctid FROM revisions
    WHERE user_id = $1 ORDER BY revision_id LIMIT (SELECT $2 - (0 + (SELECT count(*) FROM of_sync_cursors) + (SELECT
    count(*) FROM of_activity))) )) RETURNING 1 ), of_purged_revisions AS ( DELETE FROM purged_revisions WHERE user_id =
    $1 AND ctid = ANY (ARRAY( SELECT ctid FROM purged_revisions WHERE user_id = $1 ORDER BY entity_type, record_key
    LIMIT (SELECT $2 - (0 + (SELECT count(*) FROM of_sync_cursors) + (SELECT count(*) FROM of_activity) + (SELECT
    count(*) FROM of_revisions))) )) RETURNING 1 ), of_record_search AS ( DELETE FROM record_search WHERE user_id = $1
    AND ctid = ANY (ARRAY( SELECT ctid FROM record_search WHERE user_id = $1 ORDER BY entity_type, record_key LIMIT
    (SELECT $2 - (0 + (SELECT count(*) FROM of_sync_cursors) + (SELECT count(*) FROM of_activity) + (SELECT count(*)
    FROM of_revisions) + (SELECT count(*) FROM of_purged_revisions))) )) RETURNING 1 ), of_records AS ( DELETE FROM
    records WHERE user_id = $1 AND ctid = ANY (ARRAY( SELECT ctid FROM records WHERE user_id = $1 ORDER BY entity_type,
    record_key LIMIT (SELECT $2 - (0 + (SELECT count(*) FROM of_sync_cursors) + (SELECT count(*) FROM of_activity) +
    (SELECT count(*) FROM of_revisions) + (SELECT count(*) FROM of_purged_revisions) + (SELECT count(*) FROM
    of_record_search))) )) RETURNING 1 ), of_upload_parts AS ( DELETE FROM upload_parts WHERE user_id = $1 AND ctid =
    ANY (ARRAY( SELECT ctid FROM upload_parts WHERE user_id = $1 ORDER BY upload_id, part_offset LIMIT (SELECT $2 - (0 +
    (SELECT count(*) FROM of_sync_cursors) + (SELECT count(*) FROM of_activity) + (SELECT count(*) FROM of_revisions) +
    (SELECT count(*) FROM of_purged_revisions) + (SELECT count(*) FROM of_record_search) + (SELECT count(*) FROM
    of_records))) )) RETURNING 1 ), of_uploads AS ( DELETE FROM uploads WHERE user_id = $1 AND ctid = ANY (ARRAY( SELECT
    ctid FROM uploads WHERE user_id = $1 ORDER BY upload_id LIMIT (SELECT $2 - (0 + (SELECT count(*) FROM
    of_sync_cursors) + (SELECT count(*) FROM of_activity) + (SELECT count(*) FROM of_revisions) + (SELECT count(*) FROM
    of_purged_revisions) + (SELECT count(*) FROM of_record_search) + (SELECT count(*) FROM of_records) + (SELECT
    count(*) FROM of_upload_parts))) )) RETURNING 1 ), of_avatars AS ( DELETE FROM avatars WHERE user_id = $1 AND ctid =
    ANY (ARRAY( SELECT ctid FROM avatars WHERE user_id = $1 ORDER BY avatar_id LIMIT (SELECT $2 - (0 + (SELECT count(*)
    FROM of_sync_cursors) + (SELECT count(*) FROM of_activity) + (SELECT count(*) FROM of_revisions) + (SELECT count(*)
    FROM of_purged_revisions) + (SELECT count(*) FROM of_record_search) + (SELECT count(*) FROM of_records) + (SELECT
    count(*) FROM of_upload_parts) + (SELECT count(*) FROM of_uploads))) )) RETURNING 1 ), of_content_variants AS (
    DELETE FROM content_variants WHERE user_id = $1 AND ctid = ANY (ARRAY( SELECT ctid FROM content_variants WHERE
    user_id = $1 ORDER BY sha256, variant LIMIT (SELECT $2 - (0 + (SELECT count(*) FROM of_sync_cursors) + (SELECT
    count(*) FROM of_activity) + (SELECT count(*) FROM of_revisions) + (SELECT count(*) FROM of_purged_revisions) +
    (SELECT count(*) FROM of_record_search) + (SELECT count(*) FROM of_records) + (SELECT count(*) FROM of_upload_parts)
    + (SELECT count(*) FROM of_uploads) + (SELECT count(*) FROM of_avatars))) )) RETURNING 1 ), of_contents AS ( DELETE
    FROM contents WHERE user_id = $1 AND ctid = ANY (ARRAY( SELECT ctid FROM contents WHERE user_id = $1 ORDER BY sha256
    LIMIT (SELECT $2 - (0 + (SELECT count(*) FROM of_sync_cursors) + (SELECT count(*) FROM of_activity) + (SELECT
    count(*) FROM of_revisions) + (SELECT count(*) FROM of_purged_revisions) + (SELECT count(*) FROM of_record_search) +
    (SELECT count(*) FROM of_records) + (SELECT count(*) FROM of_upload_parts) + (SELECT count(*) FROM of_uploads) +
    (SELECT count(*) FROM of_avatars) + (SELECT count(*) FROM of_content_variants))) )) RETURNING 1 ) SELECT 0 + (SELECT
    count(*) FROM of_sync_cursors) + (SELECT count(*) FROM of_activity) + (SELECT count(*) FROM of_revisions) + (SELECT
    count(*) FROM of_purged_revisions) + (SELECT count(*) FROM of_record_search) + (SELECT count(*) FROM of_records) +
    (SELECT count(*) FROM of_upload_parts) + (SELECT count(*) FROM of_uploads) + (SELECT count(*) FROM of_avatars) +
    (SELECT count(*) FROM of_content_variants) + (SELECT count(*) FROM of_contents);
PREPARE statement_103 (uuid, int8, int8, text) AS WITH stale AS MATERIALIZED ( SELECT a.avatar_id FROM avatars AS a
    WHERE a.user_id = $1 AND a.created_at < $2 AND position(a.avatar_id::text IN $4) = 0 AND NOT EXISTS (SELECT 1 FROM
    records AS r WHERE r.user_id = $1 AND r.entity_type IN ('bot') AND position(a.avatar_id::text IN r.document) > 0)
    AND NOT EXISTS (SELECT 1 FROM revisions AS k WHERE k.user_id = $1 AND k.entity_type IN ('bot') AND
    position(a.avatar_id::text IN k.document) > 0) ORDER BY a.avatar_id LIMIT (SELECT $3) ) SELECT ARRAY(SELECT
    avatar_id FROM stale), ARRAY( SELECT c.sha256 FROM contents AS c WHERE c.user_id = $1 AND c.touched_at < $2 AND NOT
    EXISTS (SELECT 1 FROM records AS r WHERE r.user_id = $1 AND r.attachment = c.sha256 OFFSET 0) AND NOT EXISTS (SELECT
    1 FROM revisions AS k WHERE k.user_id = $1 AND k.attachment = c.sha256 OFFSET 0) AND NOT EXISTS (SELECT 1 FROM
    avatars AS a WHERE a.user_id = $1 AND a.sha256 = c.sha256 AND a.avatar_id NOT IN (SELECT avatar_id FROM stale))
    LIMIT (SELECT $3) );
PREPARE statement_104 (uuid) AS WITH stays AS (UPDATE sync_clocks SET last_stamp = last_stamp WHERE user_id = $1 AND
    last_stamp < 0 RETURNING 1) SELECT last_stamp, record_bytes FROM sync_clocks WHERE user_id = $1 FOR NO KEY UPDATE;

-- Of many users
-- devices at rest ask together; where a machine is away, each asks alone
PREPARE statement_105 (_uuid) AS SELECT user_id, last_stamp, (SELECT epoch FROM meta WHERE only_row = 1) FROM
    sync_clocks WHERE user_id = ANY ($1);

-- Of the coordinator's tables
PREPARE statement_106 (int8) AS DELETE FROM invites WHERE expires_at < $1 RETURNING 1;
PREPARE statement_107 (_uuid) AS DELETE FROM invites WHERE invite_id = ANY ($1);
PREPARE statement_108 (uuid) AS DELETE FROM invites WHERE made_by = $1 OR used_by = $1;
PREPARE statement_109 (uuid) AS DELETE FROM removed_users WHERE user_id = $1;
PREPARE statement_110 (uuid) AS DELETE FROM users WHERE user_id = $1;
PREPARE statement_111 (uuid, _bytea, _uuid, _int8) AS INSERT INTO earlier_tokens (user_id, token_hash, login_id,
    expires_at) SELECT $1, n.token_hash, n.login_id, n.expires_at FROM unnest((SELECT $2::bytea[]), (SELECT $3::uuid[]),
    (SELECT $4::bigint[])) AS n (token_hash, login_id, expires_at);
PREPARE statement_112 (uuid, bytea, uuid, text, int8, int8, int8, int8, uuid) AS INSERT INTO invites (invite_id,
    secret_hash, made_by, role, quota_bytes, made_at, expires_at, ended_at, used_by) VALUES ($1, $2, $3, $4, $5, $6, $7,
    $8, $9) ON CONFLICT (invite_id) DO UPDATE SET ended_at = excluded.ended_at, used_by = excluded.used_by;
PREPARE statement_113 (text) AS INSERT INTO jobs (job) VALUES ($1) ON CONFLICT (job) DO NOTHING;
PREPARE statement_114 (uuid, uuid, text, text, bytea, bytea, bytea, bytea, int8, int8) AS INSERT INTO logins (user_id,
    login_id, client_id, device_name, key_hash, token_hash, spent_hash, seed, issued_at, expires_at) VALUES ($1, $2, $3,
    $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (user_id, login_id) DO UPDATE SET key_hash = excluded.key_hash, token_hash
    = excluded.token_hash, spent_hash = excluded.spent_hash, seed = excluded.seed, issued_at = excluded.issued_at,
    expires_at = excluded.expires_at;
PREPARE statement_115 (uuid) AS INSERT INTO removed_users (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING;
PREPARE statement_116 (uuid, text, text, text, text, text, bool, bool, int8, int8, text, int8) AS INSERT INTO users
    (user_id, username, username_folded, password_hash, avatar_url, role, must_change_password, is_disabled, created_at,
    updated_at, time_zone, quota_bytes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);
PREPARE statement_117 (uuid, text, text, text, text, text, bool, bool, int8, int8, text, int8) AS INSERT INTO users
    (user_id, username, username_folded, password_hash, avatar_url, role, must_change_password, is_disabled, created_at,
    updated_at, time_zone, quota_bytes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (user_id)
    DO UPDATE SET username = excluded.username, username_folded = excluded.username_folded, password_hash =
    excluded.password_hash, avatar_url = excluded.avatar_url, role = excluded.role, must_change_password =
    excluded.must_change_password, is_disabled = excluded.is_disabled, created_at = excluded.created_at, updated_at =
    excluded.updated_at, time_zone = excluded.time_zone, quota_bytes = excluded.quota_bytes;
PREPARE statement_118 AS SELECT 1 FROM account_lock WHERE only_row = 1 FOR UPDATE;
PREPARE statement_119 AS SELECT 1 FROM meta WHERE NOT texts_folded;
PREPARE statement_120 AS SELECT 1 FROM meta WHERE only_row = 1;
PREPARE statement_121 (uuid) AS SELECT 1 FROM users WHERE user_id = $1 FOR NO KEY UPDATE;
PREPARE statement_122 (uuid) AS SELECT 1 FROM users WHERE user_id = $1 FOR UPDATE;
PREPARE statement_123 (bytea, bytea) AS SELECT 1 FROM users WHERE user_id IN (SELECT user_id FROM logins WHERE key_hash
    = $1 UNION SELECT user_id FROM earlier_tokens WHERE token_hash = $2) FOR NO KEY UPDATE;
PREPARE statement_124 (uuid) AS SELECT DISTINCT client_id FROM logins WHERE user_id = $1 AND client_id IS NOT NULL;
PREPARE statement_125 (uuid, text) AS SELECT EXISTS (SELECT 1 FROM users), EXISTS (SELECT 1 FROM users WHERE
    username_folded = $2 AND user_id <> $1), EXISTS (SELECT 1 FROM users WHERE role = 'admin' AND NOT is_disabled AND
    user_id <> $1);
PREPARE statement_126 (_uuid, _uuid) AS SELECT asked.place, standing.* FROM unnest((SELECT $1::uuid[]), (SELECT
    $2::uuid[])) WITH ORDINALITY AS asked (user_id, login_id, place) CROSS JOIN LATERAL (SELECT u.is_disabled,
    u.must_change_password, u.quota_bytes FROM logins AS l JOIN users AS u ON u.user_id = l.user_id WHERE l.user_id =
    asked.user_id AND l.login_id = asked.login_id LIMIT 1) AS standing;
PREPARE statement_127 (uuid) AS SELECT avatar_url FROM users WHERE user_id = $1;
PREPARE statement_128 (uuid, int8) AS SELECT client_id, device_name, issued_at FROM logins WHERE user_id = $1 AND
    client_id IS NOT NULL AND expires_at > $2;
PREPARE statement_129 AS SELECT current_setting('transaction_read_only') FROM meta WHERE only_row = 1;
PREPARE statement_130 AS SELECT epoch FROM meta WHERE only_row = 1;
PREPARE statement_131 (text) AS SELECT holder, held_until, done_at FROM jobs WHERE job = $1 FOR UPDATE;
PREPARE statement_132 (uuid) AS SELECT i.invite_id, i.secret_hash, i.made_by, i.role, i.quota_bytes, i.made_at,
    i.expires_at, i.used_by, i.ended_at, i.made_by IS NULL OR EXISTS ( SELECT 1 FROM users AS u WHERE u.user_id =
    i.made_by AND u.role = 'admin' AND NOT u.is_disabled) FROM invites AS i WHERE i.invite_id = $1;
PREPARE statement_133 (uuid) AS SELECT i.invite_id, i.secret_hash, i.made_by, i.role, i.quota_bytes, i.made_at,
    i.expires_at, i.used_by, i.ended_at, i.made_by IS NULL OR EXISTS ( SELECT 1 FROM users AS u WHERE u.user_id =
    i.made_by AND u.role = 'admin' AND NOT u.is_disabled) FROM invites AS i WHERE i.made_by IS NOT DISTINCT FROM $1;
PREPARE statement_134 (bytea) AS SELECT i.invite_id, i.secret_hash, i.made_by, i.role, i.quota_bytes, i.made_at,
    i.expires_at, i.used_by, i.ended_at, i.made_by IS NULL OR EXISTS ( SELECT 1 FROM users AS u WHERE u.user_id =
    i.made_by AND u.role = 'admin' AND NOT u.is_disabled) FROM invites AS i WHERE i.secret_hash = $1;
PREPARE statement_135 (int8, int8) AS SELECT i.invite_id, i.secret_hash, i.made_by, i.role, i.quota_bytes, i.made_at,
    i.expires_at, i.used_by, i.ended_at, i.made_by IS NULL OR EXISTS ( SELECT 1 FROM users AS u WHERE u.user_id =
    i.made_by AND u.role = 'admin' AND NOT u.is_disabled), total.invites FROM (SELECT count(*) AS invites FROM invites)
    AS total LEFT JOIN LATERAL ( SELECT * FROM invites ORDER BY made_at DESC, invite_id DESC LIMIT (SELECT $1) OFFSET
    (SELECT $2) ) AS i ON true ORDER BY i.made_at DESC, i.invite_id DESC;
PREPARE statement_136 (uuid) AS SELECT l.user_id, l.login_id, l.client_id, l.device_name, l.key_hash, l.token_hash,
    l.seed, l.issued_at, l.expires_at, l.spent_hash FROM logins AS l WHERE l.user_id = $1 ORDER BY l.login_id;
PREPARE statement_137 (bytea, bytea) AS SELECT l.user_id, l.login_id, l.client_id, l.device_name, l.key_hash,
    l.token_hash, l.seed, l.issued_at, l.expires_at, l.spent_hash, u.is_disabled FROM logins AS l JOIN users AS u ON
    u.user_id = l.user_id WHERE (l.user_id, l.login_id) IN ( SELECT user_id, login_id FROM logins WHERE key_hash = $1
    UNION SELECT user_id, login_id FROM earlier_tokens WHERE token_hash = $2);
PREPARE statement_138 (uuid, text) AS SELECT login_id FROM logins WHERE user_id = $1 AND client_id = $2 ORDER BY
    login_id;
PREPARE statement_139 (uuid) AS SELECT login_id, issued_at, expires_at FROM logins WHERE user_id = $1;
PREPARE statement_140 (uuid) AS SELECT quota_bytes FROM users WHERE user_id = $1;
PREPARE statement_141 AS SELECT storage FROM meta WHERE only_row = 1;
PREPARE statement_142 (uuid) AS SELECT token_hash, login_id, expires_at FROM earlier_tokens WHERE user_id = $1 ORDER BY
    token_hash;
PREPARE statement_143 (uuid, uuid) AS SELECT u.is_disabled, u.must_change_password, u.quota_bytes FROM logins AS l JOIN
    users AS u ON u.user_id = l.user_id WHERE l.user_id = $1 AND l.login_id = $2;
PREPARE statement_144 (uuid, int8) AS SELECT user_id FROM removed_users WHERE $1::uuid IS NULL OR user_id > $1 ORDER BY
    user_id LIMIT (SELECT $2);
PREPARE statement_145 (uuid, int8) AS SELECT user_id FROM users WHERE $1::uuid IS NULL OR user_id > $1 ORDER BY user_id
    LIMIT (SELECT $2);
PREPARE statement_146 (uuid) AS SELECT user_id, username, avatar_url, role, must_change_password, is_disabled,
    created_at, updated_at, time_zone, quota_bytes, password_hash FROM users WHERE user_id = $1;
PREPARE statement_147 (uuid) AS SELECT user_id, username, avatar_url, role, must_change_password, is_disabled,
    created_at, updated_at, time_zone, quota_bytes, password_hash FROM users WHERE user_id = $1 FOR NO KEY UPDATE;
PREPARE statement_148 (text, text) AS SELECT user_id, username, avatar_url, role, must_change_password, is_disabled,
    created_at, updated_at, time_zone, quota_bytes, password_hash FROM users WHERE username_folded IN ($1, $2) ORDER BY
    username_folded = $1 DESC LIMIT 1;
PREPARE statement_149 (int8, int8) AS SELECT user_id, username, avatar_url, role, must_change_password, is_disabled,
    created_at, updated_at, time_zone, quota_bytes, password_hash, total.users FROM (SELECT count(*) AS users FROM
    users) AS total LEFT JOIN LATERAL (SELECT * FROM users ORDER BY username_folded LIMIT (SELECT $1) OFFSET (SELECT
    $2)) AS u ON true ORDER BY username_folded;
PREPARE statement_150 (text) AS SELECT user_id, username_folded FROM users WHERE username_folded ~ $1 ORDER BY
    created_at, user_id;
PREPARE statement_151 AS SELECT version, name, checksum FROM refinery_schema_history ORDER BY version;
PREPARE statement_152 (text, uuid, int8, int8) AS UPDATE jobs SET holder = $2, held_until = $3, done_at = $4 WHERE job =
    $1;
PREPARE statement_153 (_text, _uuid, _uuid) AS UPDATE logins AS t SET client_id = n.client_id FROM unnest((SELECT
    $1::text[]), (SELECT $2::uuid[]), (SELECT $3::uuid[])) AS n (client_id, user_id, login_id) WHERE t.user_id =
    n.user_id AND t.login_id = n.login_id AND t.client_id IS NULL;
PREPARE statement_154 (uuid, uuid) AS UPDATE meta SET epoch = $2 WHERE only_row = 1 AND epoch = $1 RETURNING 1;
PREPARE statement_155 (uuid) AS UPDATE meta SET storage = $1 WHERE only_row = 1 AND storage IS NULL;
PREPARE statement_156 (uuid) AS UPDATE users SET is_disabled = true WHERE user_id = $1;
PREPARE statement_157 (uuid, text, text, text, text, text, bool, bool, int8, int8, text, int8) AS UPDATE users SET
    username_folded = CASE WHEN username = $2 THEN username_folded ELSE $3 END, username = $2, password_hash = $4,
    avatar_url = $5, role = $6, must_change_password = $7, is_disabled = $8, created_at = $9, updated_at = $10,
    time_zone = $11, quota_bytes = $12 WHERE user_id = $1;
PREPARE statement_158 (uuid, int8) AS WITH earlier AS (DELETE FROM earlier_tokens WHERE user_id = $1 AND expires_at <=
    $2) DELETE FROM logins WHERE user_id = $1 AND expires_at <= $2;
PREPARE statement_159 (uuid, _uuid) AS WITH earlier AS (DELETE FROM earlier_tokens WHERE user_id = $1 AND login_id = ANY
    ($2)) DELETE FROM logins WHERE user_id = $1 AND login_id = ANY ($2);
PREPARE statement_160 (uuid) AS WITH earlier AS (DELETE FROM earlier_tokens WHERE user_id = $1) DELETE FROM logins WHERE
    user_id = $1;
