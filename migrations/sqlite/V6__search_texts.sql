-- Searches look through the user's own texts, one after the other: no index that all users share, whose upkeep took most
-- of a write's time and whose look-ups took the longer the more others had written (ADR 21). The rows keep their numbers,
-- so that records.search_id stays as it is.
CREATE TABLE search_texts (
    search_id INTEGER NOT NULL PRIMARY KEY,
    -- Which runs of three characters a long text has: passes over it without reading it. NULL: read the text. It comes
    -- before the text, which may be long.
    runs      BLOB,
    -- Normalised.
    body      TEXT    NOT NULL
) STRICT;

INSERT INTO search_texts (search_id, body) SELECT rowid, body FROM record_search;
DROP TABLE record_search;
ALTER TABLE search_texts RENAME TO record_search;
