-- A clock of an account that nothing was written to stands where the account was made, as that of a new one does: there are
-- apps to which a cursor of 0 means that they were never served.
UPDATE sync_clocks
SET last_stamp = (SELECT max(0, created_at) FROM users WHERE users.user_id = sync_clocks.user_id)
WHERE last_stamp = 0;
