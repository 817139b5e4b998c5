//! What is locked and looked at before anything of a user is decided: the user's clock, the account's row, and whether a
//! login of it goes on.

use mosaic_domain::FamilyId;
use mosaic_domain::login::LoginRefusal;
use mosaic_ports::rows;
use tokio_postgres::Row;

use crate::error::Failure;
use crate::rows::PostgresRow;

/// Whoever holds it writes alone for this user, on any instance (S1). Its answer is the last stamp that was drawn,
/// and what the records and revisions of the user come to.
///
/// A statement that could write, and never does, stands before it: no clock is below 0. Where users are spread over machines, a
/// user that moves to another one waits for transactions that write, and not for those that hold a row, whose lock would stay
/// behind: two would hold it, on two machines.
pub(crate) const LOCK: &str = "
    WITH stays AS (UPDATE sync_clocks SET last_stamp = last_stamp WHERE user_id = $1 AND last_stamp < 0 RETURNING 1)
    SELECT last_stamp, record_bytes FROM sync_clocks WHERE user_id = $1 FOR NO KEY UPDATE";

/// What the user $1 may store. The account is not where the user's rows are, so this is asked for by itself.
pub(crate) const QUOTA: &str = "SELECT quota_bytes FROM users WHERE user_id = $1";

/// The place of the quota in the answer to [`standing_sql`].
pub(crate) const QUOTA_AT: usize = 2;

pub(crate) const LOCK_USER: &str = "SELECT 1 FROM users WHERE user_id = $1 FOR NO KEY UPDATE";

/// The account of a login of a user, and at [`QUOTA_AT`] what it may store; the parameters or columns name them. No row: there
/// is no such login.
pub(crate) fn standing_sql(user: &str, login: &str) -> String {
    format!(
        "SELECT u.is_disabled, u.must_change_password, u.quota_bytes
         FROM logins AS l JOIN users AS u ON u.user_id = l.user_id
         WHERE l.user_id = {user} AND l.login_id = {login}"
    )
}

/// Whether a login may go on, from what [`standing_sql`] says in the columns from `at` on; `None`: the server itself
/// asks.
pub(crate) fn standing(
    login: Option<FamilyId>,
    row: Option<&Row>,
    at: usize,
) -> Result<Result<(), LoginRefusal>, Failure> {
    let account = row.map(|row| rows::login_account(&PostgresRow(row), at));
    Ok(LoginRefusal::check(login, account.transpose()?.flatten()))
}

/// Ends every login of the user $1.
pub(crate) const END_ALL: &str = "
    WITH earlier AS (DELETE FROM earlier_tokens WHERE user_id = $1)
    DELETE FROM logins WHERE user_id = $1";
