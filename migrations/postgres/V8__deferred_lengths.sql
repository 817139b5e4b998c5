-- Uploads whose length is told later: until then `length` is the most that they may have.
ALTER TABLE uploads ADD COLUMN is_deferred boolean NOT NULL DEFAULT false;
