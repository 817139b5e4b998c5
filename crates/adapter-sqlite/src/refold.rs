//! Forms of text that an earlier version stored, made anew when the store is opened: letter case is folded in full now.
//!
//! Names are few, and those that need it are told by their letters, so they are looked at each time; texts once, which is
//! noted. What was interrupted goes on at the next start.

use mosaic_domain::search::{REFOLDED, normalise};
use rusqlite::Connection;
use uuid::Uuid;

use crate::runs;

/// How many texts are changed in one transaction.
const TEXTS_AT_ONCE: i64 = 32;

/// What needs another form.
fn pattern() -> String {
    format!("*[{REFOLDED}]*")
}

/// Folds the names of accounts in full. One that is taken then keeps its form of before, by which it is found as ever.
pub(crate) fn names(conn: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT user_id, username_folded FROM users WHERE username_folded GLOB ?1 ORDER BY created_at, user_id";
    let mut statement = conn.prepare(sql)?;
    let found: Vec<(Uuid, String)> = statement
        .query_map([pattern()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (user, before) in found {
        let sql = "UPDATE users SET username_folded = ?2
                   WHERE user_id = ?1 AND NOT EXISTS (SELECT 1 FROM users WHERE username_folded = ?2)";
        if conn.execute(sql, (user, normalise(&before)))? == 0 {
            tracing::warn!(%user, "the name of this account differs from another one in letter case alone: rename one of them");
        }
    }
    Ok(())
}

/// Folds the texts that are searched in full.
pub(crate) fn texts(conn: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT texts_folded FROM meta WHERE only_row = 1";
    if conn.query_row(sql, [], |row| row.get(0))? {
        return Ok(());
    }
    let mut after = 0;
    let mut changed = 0;
    loop {
        let page = page(conn, after)?;
        let transaction = conn.unchecked_transaction()?;
        for (id, body) in &page {
            let folded = normalise(body);
            let sql = "UPDATE record_search SET runs = ?3, body = ?2 WHERE search_id = ?1";
            transaction.execute(sql, (id, &folded, runs::of(&folded)))?;
        }
        let Some((last, _)) = page.last() else {
            transaction.execute("UPDATE meta SET texts_folded = 1 WHERE only_row = 1", [])?;
            transaction.commit()?;
            break;
        };
        transaction.commit()?;
        changed += page.len();
        after = *last;
    }
    if changed > 0 {
        tracing::info!(
            texts = changed,
            "letter case was folded in full in the texts that are searched"
        );
    }
    Ok(())
}

fn page(conn: &Connection, after: i64) -> rusqlite::Result<Vec<(i64, String)>> {
    let sql = "SELECT search_id, body FROM record_search WHERE search_id > ?1 AND body GLOB ?2 ORDER BY search_id LIMIT ?3";
    conn.prepare_cached(sql)?
        .query_map((after, pattern(), TEXTS_AT_ONCE), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}

#[cfg(test)]
mod tests {
    use mosaic_testkit::SequentialIds;

    use super::*;
    use crate::accounts::by_name;
    use crate::connect::open_writer;
    use crate::settings::{Location, SqliteSettings};

    #[test]
    fn what_was_stored_before_is_folded_in_full_and_everybody_logs_in_as_ever() {
        let ids = SequentialIds::default();
        let (conn, ..) = open_writer(&SqliteSettings::new(Location::Memory), &ids).unwrap();
        let accounts = [
            ("Straße", "straße"),
            ("ΣΑΣ", "σασ"),
            ("σας", "σας"),
            ("anna", "anna"),
        ];
        for (n, (name, folded)) in (1_i64..).zip(accounts) {
            let sql = "INSERT INTO users (user_id, username, username_folded, password_hash, role, must_change_password,
                                          is_disabled, created_at, updated_at)
                       VALUES (?1, ?2, ?3, 'hash', 'user', 0, 0, ?4, 0)";
            let id = Uuid::from_u128(n.unsigned_abs().into());
            conn.execute(sql, (id, name, folded, n)).unwrap();
        }
        conn.execute_batch(
            "INSERT INTO record_search (body) VALUES ('κοσμος'), ('plain'), ('straße');
             UPDATE meta SET texts_folded = 0;",
        )
        .unwrap();
        let column = |sql: &str| -> Vec<String> {
            let mut statement = conn.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        for _ in 0..2 {
            names(&conn).unwrap();
            texts(&conn).unwrap();
            let forms = column("SELECT username_folded FROM users ORDER BY created_at");
            assert_eq!(forms, ["strasse", "σασ", "σας", "anna"]);
            let bodies = column("SELECT body FROM record_search ORDER BY search_id");
            assert_eq!(bodies, ["κοσμοσ", "plain", "strasse"]);
        }
        for (typed, found) in [
            ("STRASSE", "Straße"),
            ("straße", "Straße"),
            ("σας", "σας"),
            ("Σας", "σας"),
            ("σασ", "ΣΑΣ"),
            ("ΣΑΣ", "ΣΑΣ"),
        ] {
            let account = by_name(&conn, &typed.parse().unwrap()).unwrap().unwrap();
            assert_eq!(account.user.username.as_str(), found, "{typed}");
        }
    }
}
