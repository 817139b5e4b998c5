-- Uploads whose length is told later: until then `length` is the most that they may have.
ALTER TABLE uploads ADD COLUMN is_deferred INTEGER NOT NULL DEFAULT 0 CHECK (is_deferred IN (0, 1));
