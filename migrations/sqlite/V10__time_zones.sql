-- What the days of a user go by: an IANA name, or none for the zone of the server.
ALTER TABLE users ADD COLUMN time_zone TEXT;
