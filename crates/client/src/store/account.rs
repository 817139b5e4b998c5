//! Whose database it is, and the tokens of the login.

use mosaic_domain::{ClientId, UserId};
use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Store, set_state, state};
use crate::error::{Error, Result};
use crate::wire::Tokens;

/// Whose database it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) server: String,
    pub(crate) user: UserId,
    pub(crate) username: String,
}

impl Store {
    /// The name of this installation (D1), made with the database.
    pub(crate) fn client_id(&self, new: Uuid) -> Result<ClientId> {
        self.write(|tx| {
            if let Some(id) = state(tx, "client_id")? {
                return Ok(id);
            }
            let id: ClientId = new.to_string().parse()?;
            set_state(tx, "client_id", &id)?;
            Ok(id)
        })
    }

    /// The account of the last login, also after it ended.
    pub(crate) fn account(&self) -> Result<Option<Account>> {
        self.read(|tx| state(tx, "account"))
    }

    /// The tokens of the login that goes on.
    pub(crate) fn tokens(&self) -> Result<Option<Tokens>> {
        self.read(tokens)
    }

    /// Begins a login. A database is one user's.
    pub(crate) fn begin_login(&self, account: &Account, tokens: &Tokens) -> Result<()> {
        self.write(|tx| {
            let before: Option<Account> = state(tx, "account")?;
            if before.is_some_and(|before| before.user != account.user) {
                return Err(Error::OtherUser);
            }
            set_state(tx, "account", account)?;
            set_state(tx, "tokens", tokens)
        })
    }

    /// Begins another login of the same user.
    pub(crate) fn set_tokens(&self, tokens: &Tokens) -> Result<()> {
        self.write(|tx| set_state(tx, "tokens", tokens))
    }

    /// Puts tokens in the place of those that were spent for them (`None`: the login has ended), before anybody uses them. Where
    /// another process was first, its tokens stay. Answers those that stand now.
    pub(crate) fn renew(&self, spent: &Tokens, renewed: Option<Tokens>) -> Result<Option<Tokens>> {
        self.write(|tx| {
            let kept = tokens(tx)?;
            if kept.as_ref() != Some(spent) {
                return Ok(kept);
            }
            set_state(tx, "tokens", &renewed)?;
            Ok(renewed)
        })
    }
}

fn tokens(tx: &Transaction<'_>) -> Result<Option<Tokens>> {
    Ok(state::<Option<Tokens>>(tx, "tokens")?.flatten())
}
