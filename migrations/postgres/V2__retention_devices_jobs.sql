-- Retention (H2), what people see of their devices (D2), and jobs that one instance at a time does.

-- When a device was served up to last_sync_at, in Unix milliseconds; 0 where it was served before this was noted.
ALTER TABLE sync_cursors ADD COLUMN served_at BIGINT NOT NULL DEFAULT 0;

-- What a purge looks for: revisions by their age, and deleted records that still have their content.
CREATE INDEX revisions_by_age ON revisions (user_id, recorded_at);
CREATE INDEX records_to_erase ON records (user_id, stamp) WHERE is_deleted AND document IS NOT NULL;

-- The greatest number of a purged revision of each record: numbers go on from there, none is given again.
CREATE TABLE purged_revisions (
    user_id     uuid             NOT NULL,
    entity_type text COLLATE "C" NOT NULL,
    record_key  text COLLATE "C" NOT NULL,
    last_number bigint           NOT NULL CONSTRAINT purged_revisions_count_from_one CHECK (last_number >= 1),
    PRIMARY KEY (user_id, entity_type, record_key)
);

-- Jobs of the whole installation: who is at it, until when nobody else may be, and when it was last finished.
CREATE TABLE jobs (
    job        text COLLATE "C" NOT NULL PRIMARY KEY,
    holder     uuid,
    held_until bigint,
    done_at    bigint
);
