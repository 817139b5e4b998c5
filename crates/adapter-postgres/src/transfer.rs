//! Reading the store out whole and writing one in, for `mosaic copy`.

use async_trait::async_trait;
use mosaic_domain::activity::Activity;
use mosaic_domain::attachment::ContentRef;
use mosaic_domain::entity::Sha256;
use mosaic_domain::invite::Invite;
use mosaic_domain::pull::PageLimits;
use mosaic_domain::{Epoch, Stamp, UserId};
use mosaic_ports::{
    AccountStore as _, DeviceCursors as _, DumpReader, DumpWriter, DumpedRecord, KeptRevision, Loaded,
    RevisionPlace, StoreError, StoreIdentity, UserDump, UserIds,
};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::activity::ActivityValues;
use crate::batch::{Batch, NumberedRevisions};
use crate::contents::AvatarColumns;
use crate::error::Failure;
use crate::invites::InviteValues;
use crate::retention::PurgedNumbers;
use crate::rows::{self, RECORD_COLUMNS, RECORD_WIDTH, REVISION_COLUMNS, checked, column};
use crate::scope::lock_and_run;
use crate::session::{Step, Value};
use crate::standing;
use crate::tokens::{EarlierColumns, LoginValues};
use crate::{accounts, contents, tokens};

/// Each by itself, so that none takes long. What texts are indexed by is never compared to statistics.
const ANALYZE: [&str; 5] = [
    "ANALYZE sync_clocks",
    "ANALYZE records (user_id, entity_type, record_key, stamp, created_at, is_deleted, parent_key, day, attachment)",
    "ANALYZE record_search (user_id, entity_type, record_key)",
    "ANALYZE revisions (user_id, entity_type, record_key, edit_time, recorded_at, attachment)",
    "ANALYZE contents",
];

#[async_trait]
impl StoreIdentity for PostgresStore {
    async fn epoch(&self) -> Result<Epoch, StoreError> {
        let rows = self
            .database
            .read("SELECT epoch FROM meta WHERE only_row = 1", &[])
            .await?;
        let row = rows
            .first()
            .ok_or_else(|| Failure::corrupt("meta.epoch", "there is none"))?;
        Ok(Epoch::new(column(row, 0, "meta.epoch")?))
    }

    async fn replace_epoch(&self, old: Epoch, new: Epoch) -> Result<bool, StoreError> {
        let sql = "UPDATE meta SET epoch = $2 WHERE only_row = 1 AND epoch = $1 RETURNING 1";
        let (old, new) = (old.uuid(), new.uuid());
        let step = Step::Fixed(sql, vec![(&old, Type::UUID), (&new, Type::UUID)]);
        Ok(!self.database.run(step).await?.is_empty())
    }

    async fn storage(&self) -> Result<Option<Uuid>, StoreError> {
        let sql = "SELECT storage FROM meta WHERE only_row = 1";
        let rows = self.database.read(sql, &[]).await?;
        let row = rows
            .first()
            .ok_or_else(|| Failure::corrupt("meta.storage", "there is no row"))?;
        Ok(column(row, 0, "meta.storage")?)
    }

    async fn name_storage(&self, name: Uuid) -> Result<Uuid, StoreError> {
        let sql = "UPDATE meta SET storage = $1 WHERE only_row = 1 AND storage IS NULL";
        self.database
            .run(Step::Fixed(sql, vec![(&name, Type::UUID)]))
            .await?;
        Ok(self.storage().await?.unwrap_or(name))
    }
}

#[async_trait]
impl UserIds for PostgresStore {
    async fn user_ids(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        let sql = "SELECT user_id FROM users WHERE $1::uuid IS NULL OR user_id > $1 ORDER BY user_id LIMIT (SELECT $2)";
        let (after, limit) = (after.map(UserId::uuid), i64::from(limit));
        let rows = self
            .database
            .read(sql, &[(&after, Type::UUID), (&limit, Type::INT8)])
            .await?;
        let ids: Result<Vec<_>, Failure> = rows
            .iter()
            .map(|row| Ok(UserId::new(column(row, 0, "users.user_id")?)))
            .collect();
        Ok(ids?)
    }
}

#[async_trait]
impl DumpReader for PostgresStore {
    async fn dump_user(&self, user: UserId) -> Result<Option<UserDump>, StoreError> {
        let Some(account) = self.by_id(user).await? else {
            return Ok(None);
        };
        let sql = "SELECT last_stamp, record_bytes FROM sync_clocks WHERE user_id = $1";
        let clocks = self.database.read(sql, &[(&user.uuid(), Type::UUID)]).await?;
        let Some(clock) = clocks.first() else {
            // The account is being removed.
            return Ok(None);
        };
        let record_bytes = column::<i64>(clock, 1, "sync_clocks.record_bytes")?.max(0);
        let clock = checked(clock, 0, "sync_clocks.last_stamp", Stamp::new)?;
        Ok(Some(UserDump {
            account,
            clock,
            record_bytes: record_bytes.unsigned_abs(),
            cursors: self.cursors(user).await?,
            logins: tokens::all_of(&self.database, user).await?,
            earlier_tokens: tokens::earlier_of(&self.database, user).await?,
            avatars: contents::avatars_of(&self.database, user).await?,
        }))
    }

    async fn dump_records(
        &self,
        user: UserId,
        after: Stamp,
        limits: PageLimits,
    ) -> Result<Vec<DumpedRecord>, StoreError> {
        let sql = format!(
            "SELECT {RECORD_COLUMNS}, coalesce(p.last_number, 0) FROM (
                 SELECT *, sum(document_bytes) OVER (ORDER BY stamp) - document_bytes AS bytes_before
                 FROM (SELECT * FROM records WHERE user_id = $1 AND stamp > $2 ORDER BY stamp LIMIT (SELECT $3)) AS page
             ) AS r
             LEFT JOIN purged_revisions AS p
               ON p.user_id = $1 AND p.entity_type = r.entity_type AND p.record_key = r.record_key
             WHERE r.bytes_before < $4 ORDER BY r.stamp"
        );
        let (after, (records, bytes)) = (after.get(), bounds(limits));
        let values: [Value<'_>; 4] = [
            (&user.uuid(), Type::UUID),
            (&after, Type::INT8),
            (&records, Type::INT8),
            (&bytes, Type::INT8),
        ];
        let rows = self.database.read(&sql, &values).await?;
        Ok(read_all(&rows, dumped_record)?)
    }

    async fn dump_revisions(
        &self,
        user: UserId,
        after: Option<RevisionPlace>,
        limits: PageLimits,
    ) -> Result<Vec<KeptRevision>, StoreError> {
        let sql = format!(
            "SELECT {REVISION_COLUMNS} FROM (
                 SELECT *, sum(octet_length(document)) OVER (ORDER BY entity_type, record_key, revision_number)
                           - octet_length(document) AS bytes_before
                 FROM (SELECT * FROM revisions
                       WHERE user_id = $1 AND (entity_type, record_key, revision_number) > ($2, $3, $4)
                       ORDER BY entity_type, record_key, revision_number LIMIT (SELECT $5)) AS page
             ) AS k WHERE bytes_before < $6 ORDER BY entity_type, record_key, revision_number"
        );
        let (entity_type, key, number) = after.map_or_else(Default::default, |place| {
            (place.entity_type, place.key, i64::from(place.number))
        });
        let (records, bytes) = bounds(limits);
        let values: [Value<'_>; 6] = [
            (&user.uuid(), Type::UUID),
            (&entity_type, Type::TEXT),
            (&key, Type::TEXT),
            (&number, Type::INT8),
            (&records, Type::INT8),
            (&bytes, Type::INT8),
        ];
        let rows = self.database.read(&sql, &values).await?;
        Ok(read_all(&rows, rows::revision)?)
    }

    async fn dump_contents(
        &self,
        user: UserId,
        after: Option<Sha256>,
        limit: u32,
    ) -> Result<Vec<ContentRef>, StoreError> {
        // Every hash comes after no bytes at all.
        let after = after.map(rows::bytes).unwrap_or_default();
        let values: [Value<'_>; 3] = [
            (&user.uuid(), Type::UUID),
            (&after, Type::BYTEA),
            (&i64::from(limit), Type::INT8),
        ];
        let rows = self.database.read(&contents::page_sql(), &values).await?;
        Ok(read_all(&rows, contents::content)?)
    }

    async fn loaded(&self, user: UserId) -> Result<Loaded, StoreError> {
        let sql = "SELECT (SELECT count(*) FROM records WHERE user_id = $1),
                          (SELECT coalesce(max(stamp), 0) FROM records WHERE user_id = $1),
                          (SELECT count(*) FROM revisions WHERE user_id = $1),
                          (SELECT count(*) FROM contents WHERE user_id = $1)";
        let rows = self.database.read(sql, &[(&user.uuid(), Type::UUID)]).await?;
        let Some(row) = rows.first() else {
            return Ok(Loaded::default());
        };
        let count = |at| -> Result<u64, Failure> { Ok(column::<i64>(row, at, "count")?.unsigned_abs()) };
        Ok(Loaded {
            records: count(0)?,
            last_stamp: checked(row, 1, "records.stamp", Stamp::new)?,
            revisions: count(2)?,
            contents: count(3)?,
        })
    }
}

#[async_trait]
impl DumpWriter for PostgresStore {
    async fn load_user(&self, dump: UserDump) -> Result<(), StoreError> {
        self.load_user_once(&dump).await?;
        self.commits.committed(dump.account.user.id, dump.clock);
        Ok(())
    }

    async fn load_records(&self, user: UserId, records: Vec<DumpedRecord>) -> Result<(), StoreError> {
        let batch = Batch::of_records(user, records.iter().map(|dumped| &dumped.record));
        let purged = PurgedNumbers::of(&records);
        let user = user.uuid();
        let mut steps = batch.record_steps();
        steps.push(purged.step(&user));
        self.load(&user, steps).await
    }

    async fn load_revisions(&self, user: UserId, revisions: Vec<KeptRevision>) -> Result<(), StoreError> {
        let (user, numbered) = (user.uuid(), NumberedRevisions::of(&revisions));
        self.load(&user, vec![numbered.step(&user)]).await
    }

    async fn load_contents(&self, user: UserId, contents: Vec<ContentRef>) -> Result<(), StoreError> {
        let (user, columns) = (user.uuid(), ContentColumns::of(&contents));
        self.load(&user, vec![Step::Fixed(PUT_CONTENTS, columns.values(&user))])
            .await
    }

    async fn load_activity(&self, _: UserId, events: Vec<Activity>) -> Result<(), StoreError> {
        let events: Vec<_> = events.iter().map(ActivityValues::new).collect();
        let mut session = self.database.session().await?;
        session.begin(Vec::new()).await?;
        let steps = events.iter().map(ActivityValues::put).collect();
        session.commit(steps).await.map_err(Failure::from)?;
        Ok(())
    }

    async fn load_invites(&self, invites: Vec<Invite>) -> Result<(), StoreError> {
        let invites: Vec<_> = invites.iter().map(InviteValues::new).collect();
        let mut session = self.database.session().await?;
        session.begin(Vec::new()).await?;
        let steps = invites.iter().map(InviteValues::put).collect();
        session.commit(steps).await.map_err(Failure::from)?;
        Ok(())
    }

    async fn refresh_statistics(&self) -> Result<(), StoreError> {
        for sql in ANALYZE {
            self.database.run(Step::Command(sql)).await?;
        }
        Ok(())
    }
}

fn bounds(limits: PageLimits) -> (i64, i64) {
    let bound = |limit| i64::try_from(limit).unwrap_or(i64::MAX);
    (bound(limits.records), bound(limits.bytes))
}

fn read_all<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
    rows.iter().map(read).collect()
}

fn dumped_record(row: &Row) -> Result<DumpedRecord, Failure> {
    Ok(DumpedRecord {
        record: rows::record(row)?,
        purged_revisions: rows::count(row, RECORD_WIDTH, "purged_revisions.last_number")?,
    })
}

const PUT_CONTENTS: &str = "
    INSERT INTO contents (user_id, sha256, blob_id, size, touched_at)
    SELECT c.user_id, n.sha256, n.blob_id, n.size, n.touched_at
    FROM sync_clocks AS c,
         unnest((SELECT $2::bytea[]), (SELECT $3::uuid[]), (SELECT $4::bigint[]), (SELECT $5::bigint[]))
         AS n (sha256, blob_id, size, touched_at)
    WHERE c.user_id = $1
    ON CONFLICT (user_id, sha256) DO UPDATE SET
        blob_id = excluded.blob_id, size = excluded.size, touched_at = excluded.touched_at";

/// The contents of a dump, as columns.
#[derive(Default)]
struct ContentColumns {
    sha256: Vec<Vec<u8>>,
    blob_id: Vec<Uuid>,
    size: Vec<i64>,
    touched_at: Vec<i64>,
}

impl ContentColumns {
    fn of(contents: &[ContentRef]) -> Self {
        let mut columns = Self::default();
        for content in contents {
            columns.sha256.push(rows::bytes(content.sha256));
            columns.blob_id.push(content.blob);
            columns.size.push(rows::bigint(content.size));
            columns.touched_at.push(content.touched_at.get());
        }
        columns
    }

    fn values<'a>(&'a self, user: &'a Uuid) -> Vec<Value<'a>> {
        vec![
            (user, Type::UUID),
            (&self.sha256, Type::BYTEA_ARRAY),
            (&self.blob_id, Type::UUID_ARRAY),
            (&self.size, Type::INT8_ARRAY),
            (&self.touched_at, Type::INT8_ARRAY),
        ]
    }
}

const PUT_CLOCK: &str = "
    INSERT INTO sync_clocks (user_id, last_stamp, record_bytes) VALUES ($1, $2, $3)
    ON CONFLICT (user_id) DO UPDATE SET last_stamp = excluded.last_stamp, record_bytes = excluded.record_bytes";

const FORGET_CURSORS: &str = "DELETE FROM sync_cursors WHERE user_id = $1";

const PUT_CURSORS: &str = "
    INSERT INTO sync_cursors (client_id, user_id, entity_type, last_sync_at, served_at)
    SELECT n.client_id, c.user_id, n.entity_type, n.last_sync_at, n.served_at
    FROM sync_clocks AS c,
         unnest((SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::bigint[]), (SELECT $5::bigint[]))
         AS n (client_id, entity_type, last_sync_at, served_at)
    WHERE c.user_id = $1";

const FORGET_AVATARS: &str = "DELETE FROM avatars WHERE user_id = $1";
const FORGET_VARIANTS: &str = "DELETE FROM content_variants WHERE user_id = $1";
const FORGET_CONTENTS: &str = "DELETE FROM contents WHERE user_id = $1";

impl PostgresStore {
    async fn load_user_once(&self, dump: &UserDump) -> Result<(), Failure> {
        let id = dump.account.user.id.uuid();
        let user = || -> Value<'_> { (&id, Type::UUID) };
        let account = accounts::UserValues::to_load(&dump.account.user, &dump.account.password);
        let (clock, bytes) = (dump.clock.get(), rows::bigint(dump.record_bytes));
        let clients: Vec<String> = dump
            .cursors
            .iter()
            .map(|cursor| cursor.client.to_string())
            .collect();
        let types: Vec<&str> = dump
            .cursors
            .iter()
            .map(|cursor| cursor.entity_type.name())
            .collect();
        let stamps: Vec<i64> = dump
            .cursors
            .iter()
            .map(|cursor| cursor.last_sync_at.get())
            .collect();
        let served: Vec<i64> = dump.cursors.iter().map(|cursor| cursor.served_at.get()).collect();
        let cursors = vec![
            user(),
            (&clients as _, Type::TEXT_ARRAY),
            (&types as _, Type::TEXT_ARRAY),
            (&stamps as _, Type::INT8_ARRAY),
            (&served as _, Type::INT8_ARRAY),
        ];
        let logins: Vec<LoginValues> = dump
            .logins
            .iter()
            .map(|kept| LoginValues::new(&kept.stored, kept.spent))
            .collect();
        let earlier = EarlierColumns::of(&dump.earlier_tokens);
        let avatars = AvatarColumns::of(&dump.avatars);
        let mut steps = vec![
            Step::Fixed(accounts::PUT, account.values()),
            Step::Fixed(
                PUT_CLOCK,
                vec![user(), (&clock, Type::INT8), (&bytes, Type::INT8)],
            ),
            Step::Fixed(FORGET_CURSORS, vec![user()]),
            Step::Fixed(PUT_CURSORS, cursors),
            Step::Fixed(standing::END_ALL, vec![user()]),
            earlier.put(&id),
            Step::Fixed(FORGET_AVATARS, vec![user()]),
            Step::Fixed(contents::ADD_AVATARS, avatars.values(&id)),
            // One that was removed here before is back, with its blobs.
            Step::Fixed(FORGET_VARIANTS, vec![user()]),
            Step::Fixed(FORGET_CONTENTS, vec![user()]),
            Step::Fixed(contents::FORGET_REMOVED, vec![user()]),
        ];
        steps.extend(logins.iter().map(LoginValues::put));
        let mut session = self.database.session().await?;
        session.begin(Vec::new()).await?;
        Ok(session.commit(steps).await?)
    }

    /// Carries out the steps for a user who is there, and stays. Loading is idempotent, so a commit whose answer was lost is
    /// simply not known: the copy is run again.
    async fn load(&self, user: &Uuid, steps: Vec<Step<'_>>) -> Result<(), StoreError> {
        let (session, _) = lock_and_run(&self.database, user, Vec::new()).await?;
        session.commit(steps).await.map_err(Failure::from)?;
        Ok(())
    }
}
