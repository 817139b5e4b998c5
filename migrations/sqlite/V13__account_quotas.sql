-- What a user may store, in bytes; -1 for any number, none for what the settings of the server say.
ALTER TABLE users ADD COLUMN quota_bytes INTEGER;
