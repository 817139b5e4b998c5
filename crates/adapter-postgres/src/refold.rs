//! Forms of text that an earlier version stored, made anew when the store is opened: letter case is folded in full now.
//!
//! Names are few, and those that need it are told by their letters, so they are looked at each time; texts once, which is
//! noted. What was interrupted goes on at the next start. Several instances may be at it at once: all come to the same, and a
//! text that somebody has written meanwhile stays.

use mosaic_domain::UserId;
use mosaic_domain::search::{REFOLDED, normalise};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};
use uuid::Uuid;

use crate::grams;

/// What needs another form.
fn pattern() -> String {
    format!("[{REFOLDED}]")
}

/// Folds letter case in full in what is stored.
pub(crate) async fn all(client: &Client) -> Result<(), Error> {
    names(client).await?;
    texts(client).await
}

/// Folds the names of accounts. One that is taken then keeps its form of before, by which it is found as ever.
async fn names(client: &Client) -> Result<(), Error> {
    let sql =
        "SELECT user_id, username_folded FROM users WHERE username_folded ~ $1 ORDER BY created_at, user_id";
    for row in client.query_typed(sql, &[(&pattern(), Type::TEXT)]).await? {
        let (user, before): (Uuid, String) = (row.try_get(0)?, row.try_get(1)?);
        let sql = "UPDATE users SET username_folded = $2
                   WHERE user_id = $1 AND NOT EXISTS (SELECT 1 FROM users WHERE username_folded = $2) RETURNING 1";
        let folded = normalise(&before);
        let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&user, Type::UUID), (&folded, Type::TEXT)];
        if client.query_typed(sql, &values).await?.is_empty() {
            tracing::warn!(%user, "the name of this account differs from another one in letter case alone: rename one of them");
        }
    }
    Ok(())
}

/// Of all users, so where these are spread over machines each is asked for so many, which must be a constant there.
const PAGE: &str = "
    SELECT user_id, entity_type, record_key, body FROM record_search
    WHERE (user_id, entity_type, record_key) > ($1, $2, $3) AND body ~ $4
    ORDER BY user_id, entity_type, record_key LIMIT 32";

const PUT: &str = "
    UPDATE record_search SET body = $5, grams = $6
    WHERE user_id = $1 AND entity_type = $2 AND record_key = $3 AND body = $4";

/// Folds the texts that are searched. A store without a row of `meta` is a new one: there is nothing in it.
async fn texts(client: &Client) -> Result<(), Error> {
    let sql = "SELECT 1 FROM meta WHERE NOT texts_folded";
    if client.query_typed(sql, &[]).await?.is_empty() {
        return Ok(());
    }
    let mut place = (Uuid::nil(), String::new(), String::new());
    let mut changed = 0;
    loop {
        let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] = [
            (&place.0, Type::UUID),
            (&place.1, Type::TEXT),
            (&place.2, Type::TEXT),
            (&pattern(), Type::TEXT),
        ];
        let page = client.query_typed(PAGE, &values).await?;
        for row in &page {
            let body: String = row.try_get(3)?;
            place = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let folded = normalise(&body);
            let grams = grams::of(UserId::new(place.0), &folded);
            let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 6] = [
                (&place.0, Type::UUID),
                (&place.1, Type::TEXT),
                (&place.2, Type::TEXT),
                (&body, Type::TEXT),
                (&folded, Type::TEXT),
                (&grams, Type::INT4_ARRAY),
            ];
            client.query_typed(PUT, &values).await?;
        }
        if page.is_empty() {
            break;
        }
        changed += page.len();
    }
    client
        .query_typed("UPDATE meta SET texts_folded = true WHERE only_row = 1", &[])
        .await?;
    if changed > 0 {
        tracing::info!(
            texts = changed,
            "letter case was folded in full in the texts that are searched"
        );
    }
    Ok(())
}
