//! How served cursors come into the tables: the statements of one user after the other, so that each touches the rows of
//! one user alone, and many of them in one transaction.

use std::collections::BTreeMap;

use mosaic_domain::{ClientId, UserId};
use mosaic_ports::DEVICES_MAX;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Devices, Served};
use crate::error::Failure;
use crate::retry::retrying;
use crate::rows::column;
use crate::session::{Database, Step, Value};

/// A login that named no device belongs to the one that it pulled as.
const BIND_LOGINS: &str = "
    UPDATE logins AS t SET client_id = n.client_id
    FROM unnest((SELECT $1::text[]), (SELECT $2::uuid[]), (SELECT $3::uuid[])) AS n (client_id, user_id, login_id)
    WHERE t.user_id = n.user_id AND t.login_id = n.login_id AND t.client_id IS NULL";

/// Writes what differs from what is stored of the user $1: a row that is as it should be is not even locked. What a user was
/// served who is gone, or going and has no clock any more, is dropped: whoever removes the clock is waited for.
const WRITE: &str = "
    INSERT INTO sync_cursors AS c (client_id, user_id, entity_type, last_sync_at, served_at)
    SELECT n.client_id, owner.user_id, n.entity_type, n.last_sync_at, n.served_at
    FROM sync_clocks AS owner,
         unnest((SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::bigint[]), (SELECT $5::bigint[]))
         AS n (client_id, entity_type, last_sync_at, served_at)
    WHERE owner.user_id = $1 AND NOT EXISTS (
        SELECT 1 FROM sync_cursors AS same
        WHERE same.user_id = $1 AND same.client_id = n.client_id AND same.entity_type = n.entity_type
          AND same.last_sync_at = n.last_sync_at
    )
    ORDER BY n.client_id, n.entity_type
    FOR KEY SHARE OF owner
    ON CONFLICT (client_id, user_id, entity_type)
        DO UPDATE SET last_sync_at = excluded.last_sync_at, served_at = excluded.served_at
    WHERE c.last_sync_at IS DISTINCT FROM excluded.last_sync_at";

/// Whether the user $1 has more than $2 devices.
const IS_CROWDED: &str = "SELECT count(DISTINCT client_id) > $2 FROM sync_cursors WHERE user_id = $1";

/// The devices of the user $1 that have a login.
const WITH_LOGIN: &str = "SELECT DISTINCT client_id FROM logins WHERE user_id = $1 AND client_id IS NOT NULL";

/// Forgets what the user $1 has more than $2 of: the devices that have no login, of which $3 are none, first, and of these
/// those that were not served for the longest time.
const TRIM: &str = "
    DELETE FROM sync_cursors WHERE user_id = $1 AND client_id = ANY (ARRAY(
        SELECT client_id FROM sync_cursors WHERE user_id = $1 GROUP BY client_id
        ORDER BY client_id = ANY ($3) DESC, max(served_at) DESC, client_id OFFSET (SELECT $2)))";

#[expect(clippy::cast_possible_wrap, reason = "it is a few hundred")]
const MOST: i64 = DEVICES_MAX as i64;

/// Has the logins belong to the devices that they pulled as.
pub(super) async fn bind_logins(
    database: &Database,
    served: &BTreeMap<UserId, Devices>,
) -> Result<(), Failure> {
    let (mut clients, mut users, mut logins) = (Vec::new(), Vec::new(), Vec::new());
    for (user, devices) in served {
        for (client, served) in devices {
            for login in &served.logins {
                clients.push(client.to_string());
                users.push(user.uuid());
                logins.push(login.uuid());
            }
        }
    }
    let values: [Value<'_>; 3] = [
        (&clients, Type::TEXT_ARRAY),
        (&users, Type::UUID_ARRAY),
        (&logins, Type::UUID_ARRAY),
    ];
    let bound = retrying(|| async { database.run(Step::Fixed(BIND_LOGINS, values.to_vec())).await });
    bound.await.map(drop)
}

/// Writes what some users were served, in one transaction. Gives those who have too many devices by now.
pub(super) async fn write(database: &Database, of: &[CursorColumns]) -> Result<Vec<UserId>, Failure> {
    let steps = of.iter().flat_map(CursorColumns::steps).collect();
    let mut session = database.session().await?;
    let answers = session.begin(steps).await?;
    session.commit(Vec::new()).await?;
    let mut crowded = Vec::new();
    for (columns, answer) in of.iter().zip(answers.iter().skip(1).step_by(2)) {
        let is_crowded = |row: &Row| column::<bool>(row, 0, "count");
        if answer.first().map_or(Ok(false), is_crowded)? {
            crowded.push(columns.user);
        }
    }
    Ok(crowded)
}

/// Forgets the devices that a user has too many of.
pub(super) async fn trim(database: &Database, user: UserId) -> Result<(), Failure> {
    let user = user.uuid();
    let rows = database.read(WITH_LOGIN, &[(&user, Type::UUID)]).await?;
    let with_login: Result<Vec<String>, Failure> = rows
        .iter()
        .map(|row| column(row, 0, "logins.client_id"))
        .collect();
    let with_login = with_login?;
    let values: [Value<'_>; 3] = [
        (&user, Type::UUID),
        (&MOST, Type::INT8),
        (&with_login, Type::TEXT_ARRAY),
    ];
    let trimmed = retrying(|| async { database.run(Step::Fixed(TRIM, values.to_vec())).await });
    trimmed.await.map(drop)
}

/// What one user was served, as columns, in the order of the table's key: two instances that write the same rows take their
/// locks in one order.
pub(super) struct CursorColumns {
    pub(super) user: UserId,
    id: Uuid,
    client_id: Vec<String>,
    entity_type: Vec<&'static str>,
    last_sync_at: Vec<i64>,
    served_at: Vec<i64>,
}

impl CursorColumns {
    pub(super) fn of(user: UserId, devices: &BTreeMap<ClientId, Served>) -> Self {
        let mut columns = Self {
            user,
            id: user.uuid(),
            client_id: Vec::new(),
            entity_type: Vec::new(),
            last_sync_at: Vec::new(),
            served_at: Vec::new(),
        };
        for (client, served) in devices {
            for (entity, (cursor, served_at)) in &served.cursors {
                columns.client_id.push(client.to_string());
                columns.entity_type.push(entity.name());
                columns.last_sync_at.push(cursor.get());
                columns.served_at.push(served_at.get());
            }
        }
        columns
    }

    /// Writing it, and the question whether it is too much.
    fn steps(&self) -> [Step<'_>; 2] {
        let cursors: Vec<Value<'_>> = vec![
            (&self.id, Type::UUID),
            (&self.client_id, Type::TEXT_ARRAY),
            (&self.entity_type, Type::TEXT_ARRAY),
            (&self.last_sync_at, Type::INT8_ARRAY),
            (&self.served_at, Type::INT8_ARRAY),
        ];
        let devices: Vec<Value<'_>> = vec![(&self.id, Type::UUID), (&MOST, Type::INT8)];
        [Step::Fixed(WRITE, cursors), Step::Fixed(IS_CROWDED, devices)]
    }
}
