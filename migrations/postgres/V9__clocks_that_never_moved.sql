-- A clock of an account that nothing was written to stands where the account was made, as that of a new one does: there are
-- apps to which a cursor of 0 means that they were never served.
UPDATE sync_clocks SET last_stamp = greatest(0, users.created_at)
FROM users WHERE users.user_id = sync_clocks.user_id AND last_stamp = 0;
