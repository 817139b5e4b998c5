//! The pictures of accounts and of bots.

use async_trait::async_trait;
use mosaic_domain::attachment::Avatar;
use mosaic_domain::{AvatarId, UnixMillis, UserId};
use mosaic_ports::{AvatarIndex, StoreError, WriteError};
use rusqlite::{Connection, Row};

use super::{ensure_open, mime_type};
use crate::SqliteStore;
use crate::error::Failure;
use crate::rows::{checked, column, sha256};

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
            rows.next()?.map(avatar).transpose()
        };
        Ok(self.readers.read(look_up).await?)
    }

    async fn avatars(&self, user: UserId) -> Result<Vec<Avatar>, StoreError> {
        Ok(self.readers.read(move |conn| avatars(conn, user)).await?)
    }
}

/// The columns that [`avatar`] reads, in its order.
const AVATAR_COLUMNS: &str = "avatar_id, sha256, mime_type, created_at";

fn avatar(row: &Row<'_>) -> Result<Avatar, Failure> {
    Ok(Avatar {
        id: AvatarId::new(column(row, 0, "avatars.avatar_id")?),
        sha256: sha256(row, 1, "avatars.sha256")?,
        mime_type: mime_type(row, 2, "avatars.mime_type")?,
        created_at: checked(row, 3, "avatars.created_at", UnixMillis::new)?,
    })
}

/// The avatars of a user, by id.
pub(crate) fn avatars(conn: &Connection, user: UserId) -> Result<Vec<Avatar>, Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {AVATAR_COLUMNS} FROM avatars WHERE user_id = ?1 ORDER BY avatar_id"
    ))?;
    let mut rows = statement.query([user.uuid()])?;
    let mut avatars = Vec::new();
    while let Some(row) = rows.next()? {
        avatars.push(avatar(row)?);
    }
    Ok(avatars)
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
