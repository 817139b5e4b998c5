//! The pictures of accounts and of bots.

use async_trait::async_trait;
use mosaic_domain::attachment::Avatar;
use mosaic_domain::{AvatarId, UserId};
use mosaic_ports::rows::{self, AVATAR_COLUMNS};
use mosaic_ports::{AvatarIndex, StoreError, WriteError};
use rusqlite::Connection;

use super::ensure_open;
use crate::SqliteStore;
use crate::error::Failure;
use crate::rows::{SqliteRow, read_all};

#[async_trait]
impl AvatarIndex for SqliteStore {
    async fn add_avatar(&self, user: UserId, avatar: Avatar) -> Result<(), WriteError> {
        let job = move |conn: &Connection| {
            ensure_open(conn, user)?;
            put_avatar(conn, user, &avatar)
        };
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn avatar(&self, user: UserId, id: AvatarId) -> Result<Option<Avatar>, StoreError> {
        let look_up = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {AVATAR_COLUMNS} FROM avatars WHERE user_id = ?1 AND avatar_id = ?2"
            ))?;
            let mut rows = statement.query((user.uuid(), id.uuid()))?;
            rows.next()?.map(|row| rows::avatar(&SqliteRow(row))).transpose()
        };
        Ok(self.readers.read(look_up).await?)
    }

    async fn avatars(&self, user: UserId) -> Result<Vec<Avatar>, StoreError> {
        Ok(self.readers.read(move |conn| avatars(conn, user)).await?)
    }
}

/// The avatars of a user, by id.
pub(crate) fn avatars(conn: &Connection, user: UserId) -> Result<Vec<Avatar>, Failure> {
    let sql = format!("SELECT {AVATAR_COLUMNS} FROM avatars WHERE user_id = ?1 ORDER BY avatar_id");
    read_all(conn, &sql, [user.uuid()], |row| rows::avatar(row))
}

/// Writes an avatar.
pub(crate) fn put_avatar(conn: &Connection, user: UserId, avatar: &Avatar) -> Result<(), Failure> {
    conn.prepare_cached(
        "INSERT INTO avatars (user_id, avatar_id, sha256, mime_type, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((
        user.uuid(),
        avatar.id.uuid(),
        avatar.sha256.as_bytes(),
        avatar.mime_type.as_str(),
        avatar.created_at.get(),
    ))?;
    Ok(())
}
