//! What is looked at before anything of a user is decided: the account, and whether a login of it goes on.

use mosaic_domain::account::{Account, AccountFacts, ActingLogin, Username};
use mosaic_domain::login::LoginRefusal;
use mosaic_domain::{FamilyId, Quota, UserId};
use mosaic_ports::rows::{self, ACCOUNT_COLUMNS};
use rusqlite::{Connection, Params};

use crate::error::Failure;
use crate::rows::read_all;

pub(crate) fn find(
    conn: &Connection,
    condition: &str,
    value: impl Params,
) -> Result<Option<Account>, Failure> {
    let sql = format!("SELECT {ACCOUNT_COLUMNS} FROM users WHERE {condition}");
    Ok(read_all(conn, &sql, value, |row| rows::account(row))?
        .into_iter()
        .next())
}

/// The account with that id.
pub(crate) fn by_id(conn: &Connection, id: UserId) -> Result<Option<Account>, Failure> {
    find(conn, "user_id = ?1", [id.uuid()])
}

/// Whether anybody has an account, whether somebody other than ?1 has the name ?2, whether somebody other than ?1
/// administers the server, and whether ?1 has a clock.
const FACTS: &str = "
    SELECT EXISTS (SELECT 1 FROM users),
           EXISTS (SELECT 1 FROM users WHERE username_folded = ?2 AND user_id <> ?1),
           EXISTS (SELECT 1 FROM users WHERE role = 'admin' AND is_disabled = 0 AND user_id <> ?1),
           EXISTS (SELECT 1 FROM sync_clocks WHERE user_id = ?1)";

/// What decides about an account, and about a name for it, where that login asks.
pub(crate) fn facts(
    conn: &Connection,
    id: UserId,
    name: Option<&Username>,
    by: Option<ActingLogin>,
) -> Result<AccountFacts, Failure> {
    let account = by_id(conn, id)?;
    let standing = standing(conn, by.map_or(id, |by| by.user), by.map(|by| by.login))?;
    let values = (id.uuid(), name.map(Username::folded));
    Ok(conn.prepare_cached(FACTS)?.query_row(values, |row| {
        Ok(AccountFacts {
            account,
            any: row.get(0)?,
            name_taken: row.get(1)?,
            other_admin: row.get(2)?,
            has_clock: row.get(3)?,
            standing,
        })
    })?)
}

/// The account of a login. No row: there is no such login.
pub(crate) const STANDING: &str = "
    SELECT u.is_disabled, u.must_change_password FROM logins AS l JOIN users AS u ON u.user_id = l.user_id
    WHERE l.user_id = ?1 AND l.login_id = ?2";

/// Whether a login may go on; `None`: the server itself asks.
pub(crate) fn standing(
    conn: &Connection,
    user: UserId,
    login: Option<FamilyId>,
) -> Result<Result<(), LoginRefusal>, Failure> {
    let found = match login {
        Some(login) => read_all(conn, STANDING, (user.uuid(), login.uuid()), |row| {
            rows::login_account(row, 0)
        })?,
        None => Vec::new(),
    };
    Ok(LoginRefusal::check(login, found.into_iter().next().flatten()))
}

/// What a user may store; what others may, of one who is not known.
pub(crate) fn quota(conn: &Connection, user: UserId) -> Result<Quota, Failure> {
    let sql = "SELECT quota_bytes FROM users WHERE user_id = ?1";
    let found = read_all(conn, sql, [user.uuid()], |row| rows::quota(row, 0))?;
    Ok(found.into_iter().next().unwrap_or_default())
}

/// Ends every login of a user. Says how many rows went.
pub(crate) fn end_all(conn: &Connection, user: UserId) -> Result<usize, Failure> {
    let mut ended = 0;
    for sql in [
        "DELETE FROM earlier_tokens WHERE user_id = ?1",
        "DELETE FROM logins WHERE user_id = ?1",
    ] {
        ended += conn.prepare_cached(sql)?.execute([user.uuid()])?;
    }
    Ok(ended)
}
