//! Reading the store out whole and writing one in, for `mosaic copy`.

use async_trait::async_trait;
use mosaic_domain::activity::Activity;
use mosaic_domain::attachment::ContentRef;
use mosaic_domain::entity::Sha256;
use mosaic_domain::invite::Invite;
use mosaic_domain::pull::PageLimits;
use mosaic_domain::{EntityType, Epoch, RecordKey, Stamp, UserId};
use mosaic_ports::{
    DumpReader, DumpWriter, DumpedRecord, KeptRevision, Loaded, RevisionPlace, StoreError, StoreIdentity,
    UserDump, UserIds,
};
use rusqlite::{Connection, Row, Rows};
use uuid::Uuid;

use crate::SqliteStore;
use crate::error::Failure;
use crate::rows::{self, RECORD_COLUMNS, RECORD_WIDTH, REVISION_COLUMNS, REVISION_WIDTH, column, parsed};
use crate::standing;
use crate::{accounts, activity, contents, cursors, invites, records, tokens};

#[async_trait]
impl StoreIdentity for SqliteStore {
    async fn epoch(&self) -> Result<Epoch, StoreError> {
        let read = |conn: &Connection| {
            let sql = "SELECT epoch FROM meta WHERE only_row = 1";
            Ok(Epoch::new(conn.query_row(sql, [], |row| row.get(0))?))
        };
        Ok(self.readers.read(read).await?)
    }

    async fn replace_epoch(&self, old: Epoch, new: Epoch) -> Result<bool, StoreError> {
        let job = move |conn: &Connection| {
            let sql = "UPDATE meta SET epoch = ?2 WHERE only_row = 1 AND epoch = ?1";
            Ok(conn.execute(sql, [old.uuid(), new.uuid()])? > 0)
        };
        Ok(self.writer.run(job).await?)
    }

    async fn storage(&self) -> Result<Option<Uuid>, StoreError> {
        Ok(self.readers.read(storage).await?)
    }

    async fn name_storage(&self, name: Uuid) -> Result<Uuid, StoreError> {
        let job = move |conn: &Connection| {
            let sql = "UPDATE meta SET storage = ?1 WHERE only_row = 1 AND storage IS NULL";
            conn.execute(sql, [name])?;
            Ok(storage(conn)?.unwrap_or(name))
        };
        Ok(self.writer.run(job).await?)
    }
}

#[async_trait]
impl UserIds for SqliteStore {
    async fn user_ids(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        Ok(self
            .readers
            .read(move |conn| user_ids(conn, after, limit))
            .await?)
    }
}

#[async_trait]
impl DumpReader for SqliteStore {
    async fn dump_user(&self, user: UserId) -> Result<Option<UserDump>, StoreError> {
        // Through the writer, which writes first what the devices were served.
        Ok(self
            .writer
            .run_for(user, move |conn| dump_user(conn, user))
            .await?)
    }

    async fn dump_records(
        &self,
        user: UserId,
        after: Stamp,
        limits: PageLimits,
    ) -> Result<Vec<DumpedRecord>, StoreError> {
        Ok(self
            .readers
            .read(move |conn| dump_records(conn, user, after, limits))
            .await?)
    }

    async fn dump_revisions(
        &self,
        user: UserId,
        after: Option<RevisionPlace>,
        limits: PageLimits,
    ) -> Result<Vec<KeptRevision>, StoreError> {
        Ok(self
            .readers
            .read(move |conn| dump_revisions(conn, user, after, limits))
            .await?)
    }

    async fn dump_contents(
        &self,
        user: UserId,
        after: Option<Sha256>,
        limit: u32,
    ) -> Result<Vec<ContentRef>, StoreError> {
        Ok(self
            .readers
            .read(move |conn| contents::after(conn, user, after, limit))
            .await?)
    }

    async fn loaded(&self, user: UserId) -> Result<Loaded, StoreError> {
        Ok(self.readers.read(move |conn| loaded(conn, user)).await?)
    }
}

#[async_trait]
impl DumpWriter for SqliteStore {
    async fn load_user(&self, dump: UserDump) -> Result<(), StoreError> {
        Ok(self.writer.run(move |conn| load_user(conn, &dump)).await?)
    }

    async fn load_records(&self, user: UserId, records: Vec<DumpedRecord>) -> Result<(), StoreError> {
        let job = move |conn: &Connection| {
            records
                .iter()
                .try_for_each(|dumped| load_record(conn, user, dumped))
        };
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn load_revisions(&self, user: UserId, revisions: Vec<KeptRevision>) -> Result<(), StoreError> {
        let job = move |conn: &Connection| {
            revisions
                .iter()
                .try_for_each(|kept| records::keep_numbered(conn, user, &kept.revision, kept.number))
        };
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn load_contents(&self, user: UserId, contents: Vec<ContentRef>) -> Result<(), StoreError> {
        let job = move |conn: &Connection| {
            contents
                .iter()
                .try_for_each(|content| contents::put_content(conn, user, content))
        };
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn load_activity(&self, user: UserId, events: Vec<Activity>) -> Result<(), StoreError> {
        let job = move |conn: &Connection| events.iter().try_for_each(|event| activity::put(conn, event));
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn load_invites(&self, invites: Vec<Invite>) -> Result<(), StoreError> {
        let job = move |conn: &Connection| invites.iter().try_for_each(|invite| invites::put(conn, invite));
        Ok(self.writer.run(job).await?)
    }

    async fn refresh_statistics(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn user_ids(conn: &Connection, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, Failure> {
    let sql = "SELECT user_id FROM users WHERE ?1 IS NULL OR user_id > ?1 ORDER BY user_id LIMIT ?2";
    let mut statement = conn.prepare_cached(sql)?;
    let ids = statement.query_map((after.map(UserId::uuid), limit), |row| row.get(0))?;
    Ok(ids.map(|id| id.map(UserId::new)).collect::<Result<_, _>>()?)
}

fn dump_user(conn: &Connection, user: UserId) -> Result<Option<UserDump>, Failure> {
    let Some(account) = standing::by_id(conn, user)? else {
        return Ok(None);
    };
    // What has no clock any more is being removed.
    let Some(clock) = records::last_stamp(conn, user)? else {
        return Ok(None);
    };
    Ok(Some(UserDump {
        account,
        clock,
        record_bytes: records::record_bytes(conn, user)?,
        cursors: cursors::read(conn, user)?,
        logins: tokens::all_of(conn, user)?,
        earlier_tokens: tokens::earlier_of(conn, user)?,
        avatars: contents::avatars(conn, user)?,
    }))
}

fn storage(conn: &Connection) -> Result<Option<Uuid>, Failure> {
    let sql = "SELECT storage FROM meta WHERE only_row = 1";
    Ok(conn.query_row(sql, [], |row| row.get(0))?)
}

fn load_user(conn: &Connection, dump: &UserDump) -> Result<(), Failure> {
    let user = dump.account.user.id;
    accounts::put(conn, &dump.account)?;
    conn.execute(
        "INSERT INTO sync_clocks (user_id, last_stamp, record_bytes) VALUES (?1, ?2, ?3)
         ON CONFLICT (user_id) DO UPDATE SET last_stamp = excluded.last_stamp, record_bytes = excluded.record_bytes",
        (
            user.uuid(),
            dump.clock.get(),
            i64::try_from(dump.record_bytes).unwrap_or(i64::MAX),
        ),
    )?;
    conn.execute("DELETE FROM sync_cursors WHERE user_id = ?1", [user.uuid()])?;
    dump.cursors
        .iter()
        .try_for_each(|cursor| cursors::put(conn, user, cursor))?;
    tokens::load(conn, user, &dump.logins, &dump.earlier_tokens)?;
    for sql in [
        "DELETE FROM content_variants WHERE user_id = ?1",
        "DELETE FROM contents WHERE user_id = ?1",
        "DELETE FROM avatars WHERE user_id = ?1",
    ] {
        conn.execute(sql, [user.uuid()])?;
    }
    dump.avatars
        .iter()
        .try_for_each(|avatar| contents::put_avatar(conn, user, avatar))?;
    // Whoever is there again keeps the blobs.
    contents::forget_removed(conn, user)
}

fn load_record(conn: &Connection, user: UserId, dumped: &DumpedRecord) -> Result<(), Failure> {
    records::upsert(conn, user, &dumped.record)?;
    set_purged(conn, user, dumped.record.key, dumped.purged_revisions)
}

/// Notes up to which number a record's revisions are purged.
fn set_purged(conn: &Connection, user: UserId, key: RecordKey, last: u32) -> Result<(), Failure> {
    let (user, entity, key) = (user.uuid(), key.entity_type().name(), key.to_string());
    if last == 0 {
        let sql = "DELETE FROM purged_revisions WHERE user_id = ?1 AND entity_type = ?2 AND record_key = ?3";
        conn.prepare_cached(sql)?.execute((user, entity, key))?;
    } else {
        conn.prepare_cached(
            "INSERT INTO purged_revisions (user_id, entity_type, record_key, last_number) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (user_id, entity_type, record_key) DO UPDATE SET last_number = excluded.last_number",
        )?
        .execute((user, entity, key, last))?;
    }
    Ok(())
}

fn dump_records(
    conn: &Connection,
    user: UserId,
    after: Stamp,
    limits: PageLimits,
) -> Result<Vec<DumpedRecord>, Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {RECORD_COLUMNS}, r.entity_type, coalesce(purged.last_number, 0) FROM records AS r
         LEFT JOIN purged_revisions AS purged
           ON purged.user_id = r.user_id AND purged.entity_type = r.entity_type AND purged.record_key = r.record_key
         WHERE r.user_id = ?1 AND r.stamp > ?2 ORDER BY r.stamp"
    ))?;
    let rows = statement.query((user.uuid(), after.get()))?;
    take(rows, limits, RECORD_WIDTH - 1, |row| {
        let entity: EntityType = parsed(row, RECORD_WIDTH, "records.entity_type")?;
        Ok(DumpedRecord {
            record: rows::record(row, entity)?,
            purged_revisions: column(row, RECORD_WIDTH + 1, "purged_revisions.last_number")?,
        })
    })
}

fn dump_revisions(
    conn: &Connection,
    user: UserId,
    after: Option<RevisionPlace>,
    limits: PageLimits,
) -> Result<Vec<KeptRevision>, Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {REVISION_COLUMNS}, entity_type FROM revisions
         WHERE user_id = ?1 AND (entity_type, record_key, revision_number) > (?2, ?3, ?4)
         ORDER BY entity_type, record_key, revision_number"
    ))?;
    let (entity_type, key, number) = after.map_or_else(Default::default, |place| {
        (place.entity_type, place.key, place.number)
    });
    let rows = statement.query((user.uuid(), entity_type, key, number))?;
    take(rows, limits, REVISION_WIDTH - 1, |row| {
        let entity: EntityType = parsed(row, REVISION_WIDTH, "revisions.entity_type")?;
        rows::revision(row, entity)
    })
}

/// Reads rows until the limits are reached.
fn take<T>(
    mut rows: Rows<'_>,
    limits: PageLimits,
    document: usize,
    read: impl Fn(&Row<'_>) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    while taken.len() < limits.records && (taken.is_empty() || bytes < limits.bytes) {
        let Some(row) = rows.next()? else { break };
        bytes += rows::document_bytes(row, document)?;
        taken.push(read(row)?);
    }
    Ok(taken)
}

fn loaded(conn: &Connection, user: UserId) -> Result<Loaded, Failure> {
    let count = |sql: &str| -> Result<u64, Failure> {
        let count: i64 = conn
            .prepare_cached(sql)?
            .query_row([user.uuid()], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    };
    let last: Option<i64> = conn
        .prepare_cached("SELECT max(stamp) FROM records WHERE user_id = ?1")?
        .query_row([user.uuid()], |row| row.get(0))?;
    Ok(Loaded {
        records: count("SELECT count(*) FROM records WHERE user_id = ?1")?,
        last_stamp: Stamp::clamped(last.unwrap_or_default()),
        revisions: count("SELECT count(*) FROM revisions WHERE user_id = ?1")?,
        contents: count("SELECT count(*) FROM contents WHERE user_id = ?1")?,
    })
}
