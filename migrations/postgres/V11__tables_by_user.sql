-- What belongs to a user refers to nothing but rows of that user, so that each user's rows can stand on a node of their own
-- (ADR 40). That there is such a user is known by the clock, which every statement that inserts reads.
ALTER TABLE sync_clocks DROP CONSTRAINT sync_clocks_user_id_fkey;
ALTER TABLE sync_cursors DROP CONSTRAINT sync_cursors_user_id_fkey;

-- One row, whose lock makes changes of accounts wait for each other: meta is what every node has, and this is not.
CREATE TABLE account_lock (
    only_row smallint NOT NULL PRIMARY KEY CONSTRAINT account_lock_has_one_row CHECK (only_row = 1)
);

INSERT INTO account_lock (only_row) VALUES (1);
