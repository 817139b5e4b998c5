//! The pictures of accounts and of bots.

use async_trait::async_trait;
use mosaic_domain::attachment::Avatar;
use mosaic_domain::{AvatarId, UserId};
use mosaic_ports::rows::{self, AVATAR_COLUMNS};
use mosaic_ports::{AvatarIndex, StoreError, WriteError};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::error::Failure;
use crate::retry::retrying;
use crate::rows::{PostgresRow, bytes};
use crate::scope::lock_and_run;
use crate::session::{Database, Step, Value};

#[async_trait]
impl AvatarIndex for PostgresStore {
    async fn add_avatar(&self, user: UserId, avatar: Avatar) -> Result<(), WriteError> {
        let (user, columns) = (user.uuid(), AvatarColumns::of(&[avatar]));
        let values = columns.values(&user);
        Ok(retrying(|| self.add_avatars_once(&user, &values)).await?)
    }

    async fn avatar(&self, user: UserId, id: AvatarId) -> Result<Option<Avatar>, StoreError> {
        let sql = format!("SELECT {AVATAR_COLUMNS} FROM avatars WHERE user_id = $1 AND avatar_id = $2");
        let values: [Value<'_>; 2] = [(&user.uuid(), Type::UUID), (&id.uuid(), Type::UUID)];
        let rows = self.database.read(&sql, &values).await?;
        Ok(rows.first().map(avatar).transpose()?)
    }

    async fn avatars(&self, user: UserId) -> Result<Vec<Avatar>, StoreError> {
        Ok(avatars_of(&self.database, user).await?)
    }
}

impl PostgresStore {
    async fn add_avatars_once(&self, user: &Uuid, values: &[Value<'_>]) -> Result<(), Failure> {
        let steps = vec![Step::Fixed(ADD_AVATARS, values.to_vec())];
        let (session, _) = lock_and_run(&self.database, user, steps).await?;
        session.commit(Vec::new()).await?;
        Ok(())
    }
}

fn avatar(row: &Row) -> Result<Avatar, Failure> {
    rows::avatar(&PostgresRow(row))
}

/// The avatars of a user, by id.
pub(crate) async fn avatars_of(database: &Database, user: UserId) -> Result<Vec<Avatar>, Failure> {
    let sql = format!("SELECT {AVATAR_COLUMNS} FROM avatars WHERE user_id = $1 ORDER BY avatar_id");
    let rows = database.read(&sql, &[(&user.uuid(), Type::UUID)]).await?;
    rows.iter().map(avatar).collect()
}

pub(crate) const ADD_AVATARS: &str = "
    INSERT INTO avatars (user_id, avatar_id, sha256, mime_type, created_at)
    SELECT c.user_id, n.avatar_id, n.sha256, n.mime_type, n.created_at
    FROM sync_clocks AS c,
         unnest((SELECT $2::uuid[]), (SELECT $3::bytea[]), (SELECT $4::text[]), (SELECT $5::bigint[]))
         AS n (avatar_id, sha256, mime_type, created_at)
    WHERE c.user_id = $1";

/// Avatars that are to be stored, as columns.
#[derive(Default)]
pub(crate) struct AvatarColumns {
    avatar_id: Vec<Uuid>,
    sha256: Vec<Vec<u8>>,
    mime_type: Vec<String>,
    created_at: Vec<i64>,
}

impl AvatarColumns {
    pub(crate) fn of(avatars: &[Avatar]) -> Self {
        let mut columns = Self::default();
        for avatar in avatars {
            columns.avatar_id.push(avatar.id.uuid());
            columns.sha256.push(bytes(avatar.sha256));
            columns.mime_type.push(avatar.mime_type.as_str().to_owned());
            columns.created_at.push(avatar.created_at.get());
        }
        columns
    }

    pub(crate) fn values<'a>(&'a self, user: &'a Uuid) -> Vec<Value<'a>> {
        vec![
            (user, Type::UUID),
            (&self.avatar_id, Type::UUID_ARRAY),
            (&self.sha256, Type::BYTEA_ARRAY),
            (&self.mime_type, Type::TEXT_ARRAY),
            (&self.created_at, Type::INT8_ARRAY),
        ]
    }
}
