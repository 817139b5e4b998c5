//! What nobody needs any more.

use async_trait::async_trait;
use mosaic_domain::attachment::{self, AvatarFacts, Collected, ContentFacts};
use mosaic_domain::{AvatarId, EntityType, UnixMillis, UserId};
use mosaic_ports::{OrphanIndex, StoreError};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::content;
use crate::PostgresStore;
use crate::error::Failure;
use crate::retry::retrying;
use crate::rows::{bytes, checked, column};
use crate::scope::lock_and_run;
use crate::session::{Step, Value};
use mosaic_ports::rows::type_names;

#[async_trait]
impl OrphanIndex for PostgresStore {
    async fn collect_unreferenced(
        &self,
        user: UserId,
        before: UnixMillis,
        limit: u32,
    ) -> Result<Collected, StoreError> {
        // A look that waits for nobody, however many contents there are. What it finds is judged under the lock.
        let candidates = self.candidates(user, before, limit).await?;
        if candidates.is_empty() {
            return Ok(Collected::default());
        }
        match retrying(|| self.collect_once(user, before, limit, &candidates)).await {
            // The account is gone or being removed, and what is known of its blobs goes with it.
            Err(Failure::UnknownUser) => Ok(Collected::default()),
            collected => Ok(collected?),
        }
    }

    async fn referenced(&self, user: UserId, blobs: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        let values: [Value<'_>; 2] = [(&user.uuid(), Type::UUID), (&blobs, Type::UUID_ARRAY)];
        Ok(blobs_in(&self.database.read(REFERENCED, &values).await?)?)
    }

    async fn removed_users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        let sql = "
            SELECT user_id FROM removed_users WHERE $1::uuid IS NULL OR user_id > $1 ORDER BY user_id LIMIT (SELECT $2)";
        let (after, limit) = (after.map(UserId::uuid), i64::from(limit));
        let rows = self
            .database
            .read(sql, &[(&after, Type::UUID), (&limit, Type::INT8)])
            .await?;
        let users: Result<Vec<_>, Failure> = rows
            .iter()
            .map(|row| Ok(UserId::new(column(row, 0, "removed_users.user_id")?)))
            .collect();
        Ok(users?)
    }
}

/// No record and no revision of the user $1 names the content `c`: two look-ups by the hash. Without OFFSET they could be made
/// joins, which read all that name any.
pub(super) const IN_NO_RECORD: &str = "
    NOT EXISTS (SELECT 1 FROM records AS r WHERE r.user_id = $1 AND r.attachment = c.sha256 OFFSET 0)
    AND NOT EXISTS (SELECT 1 FROM revisions AS k WHERE k.user_id = $1 AND k.attachment = c.sha256 OFFSET 0)";

/// No avatar of the user $1 has the content `c`.
pub(super) const IN_NO_AVATAR: &str = "
    NOT EXISTS (SELECT 1 FROM avatars AS a WHERE a.user_id = $1 AND a.sha256 = c.sha256)";

/// The address of the picture of the account $1, which is kept apart from what else the user has.
const ADDRESS: &str = "SELECT avatar_url FROM users WHERE user_id = $1";

/// What [`ADDRESS`] says; nothing where there is none.
fn address(rows: &[Row]) -> Result<String, Failure> {
    let address = rows.first().map(|row| column(row, 0, "users.avatar_url"));
    Ok(address.transpose()?.flatten().unwrap_or_default())
}

/// The id of the avatar `a` of the user $1 stands nowhere: not in the address of the account's picture, nor in any version of a
/// record whose type names avatars. Said so, these are joins; as a value they would be questions for each avatar.
fn in_no_address(of_account: &str) -> String {
    let types = type_names(
        EntityType::ALL
            .into_iter()
            .filter(|entity| entity.names_avatars()),
    );
    format!(
        "position(a.avatar_id::text IN {of_account}) = 0
         AND NOT EXISTS (SELECT 1 FROM records AS r
                         WHERE r.user_id = $1 AND r.entity_type IN ({types})
                           AND position(a.avatar_id::text IN r.document) > 0)
         AND NOT EXISTS (SELECT 1 FROM revisions AS k
                         WHERE k.user_id = $1 AND k.entity_type IN ({types})
                           AND position(a.avatar_id::text IN k.document) > 0)"
    )
}

/// At most $3 avatars and $3 contents of the user $1 that nothing from $2 on brought and nothing names, as if these avatars
/// were gone. $4 is the address of the account's picture.
pub(crate) fn candidates_sql() -> String {
    let in_no_address = in_no_address("$4");
    format!(
        "WITH stale AS MATERIALIZED (
             SELECT a.avatar_id FROM avatars AS a
             WHERE a.user_id = $1 AND a.created_at < $2 AND {in_no_address} ORDER BY a.avatar_id LIMIT (SELECT $3)
         )
         SELECT ARRAY(SELECT avatar_id FROM stale), ARRAY(
             SELECT c.sha256 FROM contents AS c
             WHERE c.user_id = $1 AND c.touched_at < $2 AND {IN_NO_RECORD}
               AND NOT EXISTS (SELECT 1 FROM avatars AS a
                               WHERE a.user_id = $1 AND a.sha256 = c.sha256
                                 AND a.avatar_id NOT IN (SELECT avatar_id FROM stale))
             LIMIT (SELECT $3)
         )"
    )
}

/// The avatars $2 of the user $1, and whether each is referenced. $3 is the address of the account's picture.
pub(crate) fn avatar_facts_sql() -> String {
    let in_no_address = in_no_address("$3");
    format!(
        "WITH free AS MATERIALIZED (
             SELECT a.avatar_id FROM avatars AS a
             WHERE a.user_id = $1 AND a.avatar_id = ANY ($2) AND {in_no_address}
         )
         SELECT a.avatar_id, a.created_at, a.avatar_id NOT IN (SELECT avatar_id FROM free) FROM avatars AS a
         WHERE a.user_id = $1 AND a.avatar_id = ANY ($2)"
    )
}

/// The contents $2 of the user $1, and what references each.
pub(crate) fn content_facts_sql() -> String {
    format!(
        "SELECT c.sha256, c.blob_id, c.size, c.touched_at, NOT ({IN_NO_RECORD}),
                ARRAY(SELECT a.avatar_id FROM avatars AS a WHERE a.user_id = $1 AND a.sha256 = c.sha256),
                ARRAY(SELECT v.blob_id FROM content_variants AS v WHERE v.user_id = $1 AND v.sha256 = c.sha256)
         FROM contents AS c WHERE c.user_id = $1 AND c.sha256 = ANY ($2)"
    )
}

const DROP_AVATARS: &str = "DELETE FROM avatars WHERE user_id = $1 AND avatar_id = ANY ($2)";

const DROP_CONTENTS: &str = "DELETE FROM contents WHERE user_id = $1 AND sha256 = ANY ($2)";

const DROP_VARIANTS: &str = "DELETE FROM content_variants WHERE user_id = $1 AND sha256 = ANY ($2)";

pub(crate) const REFERENCED: &str = "
    SELECT b.blob_id FROM unnest((SELECT $2::uuid[])) WITH ORDINALITY AS b (blob_id, place)
    WHERE EXISTS (SELECT 1 FROM contents AS c WHERE c.user_id = $1 AND c.blob_id = b.blob_id)
       OR EXISTS (SELECT 1 FROM content_variants AS v WHERE v.user_id = $1 AND v.blob_id = b.blob_id)
       OR EXISTS (SELECT 1 FROM upload_parts AS p WHERE p.user_id = $1 AND p.blob_id = b.blob_id)
       OR EXISTS (SELECT 1 FROM uploads AS u
                  WHERE u.user_id = $1 AND u.direct_blob_id = b.blob_id AND NOT u.is_finished)
    ORDER BY b.place";

pub(crate) const NOTE_REMOVED: &str =
    "INSERT INTO removed_users (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING";

pub(crate) const FORGET_REMOVED: &str = "DELETE FROM removed_users WHERE user_id = $1";

/// Reads rows that are blobs.
fn blobs_in(rows: &[Row]) -> Result<Vec<Uuid>, Failure> {
    rows.iter().map(|row| column(row, 0, "blob_id")).collect()
}

/// What nothing named when it was looked for.
struct Candidates {
    avatars: Vec<Uuid>,
    contents: Vec<Vec<u8>>,
}

impl Candidates {
    fn is_empty(&self) -> bool {
        self.avatars.is_empty() && self.contents.is_empty()
    }
}

fn avatar_facts(row: &Row) -> Result<AvatarFacts, Failure> {
    Ok(AvatarFacts {
        id: AvatarId::new(column(row, 0, "avatars.avatar_id")?),
        created_at: checked(row, 1, "avatars.created_at", UnixMillis::new)?,
        is_referenced: column(row, 2, "avatars.avatar_id")?,
    })
}

fn content_facts(row: &Row) -> Result<ContentFacts, Failure> {
    let avatars: Vec<Uuid> = column(row, 5, "avatars.avatar_id")?;
    Ok(ContentFacts {
        content: content(row)?,
        is_referenced: column(row, 4, "contents.sha256")?,
        avatars: avatars.into_iter().map(AvatarId::new).collect(),
        variants: column(row, 6, "content_variants.blob_id")?,
    })
}

/// The values of a statement about some rows of a user.
fn of<'a>(user: &'a Uuid, rows: Value<'a>) -> Vec<Value<'a>> {
    vec![(user, Type::UUID), rows]
}

impl PostgresStore {
    async fn candidates(&self, user: UserId, before: UnixMillis, limit: u32) -> Result<Candidates, Failure> {
        let user = user.uuid();
        let address = address(&self.database.read(ADDRESS, &[(&user, Type::UUID)]).await?)?;
        let values: [Value<'_>; 4] = [
            (&user, Type::UUID),
            (&before.get(), Type::INT8),
            (&i64::from(limit), Type::INT8),
            (&address, Type::TEXT),
        ];
        let rows = self.database.read(&candidates_sql(), &values).await?;
        let row = rows
            .first()
            .ok_or_else(|| Failure::corrupt("contents", "a question has no answer"))?;
        Ok(Candidates {
            avatars: column(row, 0, "avatars.avatar_id")?,
            contents: column(row, 1, "contents.sha256")?,
        })
    }

    async fn collect_once(
        &self,
        user: UserId,
        before: UnixMillis,
        limit: u32,
        candidates: &Candidates,
    ) -> Result<Collected, Failure> {
        let user = user.uuid();
        let (avatars_sql, contents_sql) = (avatar_facts_sql(), content_facts_sql());
        let steps = vec![Step::Fixed(ADDRESS, vec![(&user, Type::UUID)])];
        let (mut session, answers) = lock_and_run(&self.database, &user, steps).await?;
        let address = address(answers.first().map_or(&[], Vec::as_slice))?;
        let mut of_avatars = of(&user, (&candidates.avatars, Type::UUID_ARRAY));
        of_avatars.push((&address, Type::TEXT));
        let of_contents = of(&user, (&candidates.contents, Type::BYTEA_ARRAY));
        let steps = vec![
            Step::Fixed(&avatars_sql, of_avatars),
            Step::Fixed(&contents_sql, of_contents),
        ];
        let answers = session.run(steps).await?;
        let [avatars, contents] = answers.as_slice() else {
            return Err(Failure::Lost);
        };
        let avatars: Vec<_> = avatars.iter().map(avatar_facts).collect::<Result<_, _>>()?;
        let contents: Vec<_> = contents.iter().map(content_facts).collect::<Result<_, _>>()?;
        let plan = attachment::collect(&avatars, &contents, before, limit);
        let avatars: Vec<Uuid> = plan.avatars.into_iter().map(AvatarId::uuid).collect();
        let contents: Vec<Vec<u8>> = plan.contents.into_iter().map(bytes).collect();
        let drops = vec![
            Step::Fixed(DROP_AVATARS, of(&user, (&avatars, Type::UUID_ARRAY))),
            Step::Fixed(DROP_VARIANTS, of(&user, (&contents, Type::BYTEA_ARRAY))),
            Step::Fixed(DROP_CONTENTS, of(&user, (&contents, Type::BYTEA_ARRAY))),
        ];
        session.commit(drops).await?;
        Ok(plan.collected)
    }
}
