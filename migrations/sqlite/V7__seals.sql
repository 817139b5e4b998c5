-- Says of the document beside it which form it has and that it is whole: a hash. It goes out as it is stored then (ADR 31).
-- NULL: read it.
ALTER TABLE records ADD COLUMN seal INTEGER;
