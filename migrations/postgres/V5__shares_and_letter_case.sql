-- What the records of each user come to, and texts whose letter case is folded in full.

-- How many bytes the user's records and revisions have: their documents, and 200 for each of them.
ALTER TABLE sync_clocks ADD COLUMN record_bytes bigint NOT NULL DEFAULT 0;

UPDATE sync_clocks AS c SET record_bytes =
    (SELECT coalesce(sum(200 + r.document_bytes), 0) FROM records AS r WHERE r.user_id = c.user_id)
    + (SELECT coalesce(sum(200 + octet_length(k.document)), 0) FROM revisions AS k WHERE k.user_id = c.user_id);

-- Whether the texts that are searched have the form of today: a step of the server sees to it.
ALTER TABLE meta ADD COLUMN texts_folded boolean NOT NULL DEFAULT false;
