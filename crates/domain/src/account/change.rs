//! What becomes of an account that is made, changed or removed. A store looks up the [`AccountFacts`], under the lock
//! that changes of accounts take, and carries out the [`Plan`].

use std::fmt;

use super::{Role, User, Username};
use crate::id::{FamilyId, UserId};
use crate::plan::Plan;
use crate::quota::Quota;
use crate::standing::LoginRefusal;
use crate::text::Label;
use crate::time::UnixMillis;
use crate::zone::TimeZone;

/// A password's hash, in PHC form. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// A hash that a password hasher made.
    pub fn new(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(hidden)")
    }
}

/// An account with what it is proved by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account.
    pub user: User,
    /// Its password.
    pub password: PasswordHash,
}

/// The login that asks for a change of an account. It may have ended since the request was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActingLogin {
    /// Whose it is.
    pub user: UserId,
    /// The login.
    pub login: FamilyId,
}

/// What is stored, as far as it decides what becomes of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct AccountFacts {
    /// The account, if there is one with that id.
    pub account: Option<Account>,
    /// Whether it has a clock. One without is being removed: nobody can change or open it any more.
    pub has_clock: bool,
    /// Whether anybody has an account.
    pub any: bool,
    /// Whether another account has the name that is asked for, letter case aside. Where none is asked for: no.
    pub name_taken: bool,
    /// Whether another account administers the server ([`User::administers`]).
    pub other_admin: bool,
    /// Whether the login that asks may go on (L1). Nothing stands against the server itself.
    pub standing: Result<(), LoginRefusal>,
}

/// What became of making an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateOutcome {
    /// It was made, and its clock with it (S1).
    Created,
    /// The name is taken, letter case aside.
    NameTaken,
    /// It was to be the first account, and there is one already.
    NotFirst,
    /// The login that asks may not go on.
    Refused(LoginRefusal),
}

impl Account {
    /// What becomes of making this account; with `only_first`, only where there is none yet. It is written with a
    /// clock, which stands at its [`User::first_stamp`].
    pub fn create(&self, facts: &AccountFacts, only_first: bool) -> Plan<Self, CreateOutcome> {
        if let Err(refusal) = facts.standing {
            Plan::nothing(CreateOutcome::Refused(refusal))
        } else if only_first && facts.any {
            Plan::nothing(CreateOutcome::NotFirst)
        } else if facts.name_taken {
            Plan::nothing(CreateOutcome::NameTaken)
        } else {
            Plan::write(self.clone(), CreateOutcome::Created)
        }
    }
}

/// A change of an account; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountChange {
    /// A new name.
    pub username: Option<Username>,
    /// A new picture, or none.
    pub avatar_url: Option<Option<Label<2048>>>,
    /// A new role.
    pub role: Option<Role>,
    /// Closes the account or opens it again.
    pub disabled: Option<bool>,
    /// What it may store from now on.
    pub quota: Option<Quota>,
    /// A new time zone, or that of the server.
    pub time_zone: Option<Option<TimeZone>>,
    /// A new password.
    pub password: Option<PasswordHash>,
    /// The hash that the change was proved by: nothing changes where the stored one is another by now.
    pub expected_password_hash: Option<PasswordHash>,
    /// Whether the password should be changed.
    pub must_change_password: Option<bool>,
    /// Whether every login of the account ends. Another role ends them anyway (L1).
    pub end_logins: bool,
}

/// What a change writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountWrite {
    /// The account as it is now.
    pub account: Account,
    /// Whether every login of it ends.
    pub end_logins: bool,
}

/// What became of changing an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// It is now so.
    Updated {
        /// The account.
        user: User,
        /// What it was before, as the change found it.
        before: Box<User>,
    },
    /// There is no such account.
    NotFound,
    /// The new name is taken, letter case aside.
    NameTaken,
    /// The change would leave no administrator whose account is open.
    LastAdmin,
    /// The password is not the one that the change was proved by any more.
    StaleCredential,
    /// The login that asks may not go on.
    Refused(LoginRefusal),
}

impl AccountChange {
    /// What becomes of the change at that moment. A name that stays as it is may be one that others have too, from when
    /// names were compared otherwise ([`Username::folded_before`]).
    pub fn decide(&self, facts: &AccountFacts, now: UnixMillis) -> Plan<AccountWrite, UpdateOutcome> {
        if let Err(refusal) = facts.standing {
            return Plan::nothing(UpdateOutcome::Refused(refusal));
        }
        let Some(old) = facts.account.as_ref().filter(|_| facts.has_clock) else {
            return Plan::nothing(UpdateOutcome::NotFound);
        };
        let expected = self.expected_password_hash.as_ref();
        if expected.is_some_and(|expected| *expected != old.password) {
            return Plan::nothing(UpdateOutcome::StaleCredential);
        }
        let account = self.apply(old, now);
        if account.user.username != old.user.username && facts.name_taken {
            return Plan::nothing(UpdateOutcome::NameTaken);
        }
        if old.user.loses_admin(&account.user) && !facts.other_admin {
            return Plan::nothing(UpdateOutcome::LastAdmin);
        }
        let outcome = UpdateOutcome::Updated {
            user: account.user.clone(),
            before: Box::new(old.user.clone()),
        };
        let end_logins = self.end_logins || account.user.role != old.user.role;
        Plan::write(AccountWrite { account, end_logins }, outcome)
    }

    fn apply(&self, old: &Account, now: UnixMillis) -> Account {
        let Account { user, password } = old.clone();
        let change = self.clone();
        Account {
            user: User {
                id: user.id,
                username: change.username.unwrap_or(user.username),
                avatar_url: change.avatar_url.unwrap_or(user.avatar_url),
                role: change.role.unwrap_or(user.role),
                must_change_password: change.must_change_password.unwrap_or(user.must_change_password),
                disabled: change.disabled.unwrap_or(user.disabled),
                quota: change.quota.unwrap_or(user.quota),
                time_zone: change.time_zone.unwrap_or(user.time_zone),
                created_at: user.created_at,
                updated_at: now,
            },
            password: change.password.unwrap_or(password),
        }
    }
}

/// How far the removal of an account has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveOutcome {
    /// Everything of it is gone.
    Removed,
    /// A part of it is gone; the same call goes on. Nobody can log in, pull or write any more.
    Removing,
    /// There is no such account.
    NotFound,
    /// It is the last administrator whose account is open.
    LastAdmin,
    /// The login that asks may not go on.
    Refused(LoginRefusal),
}

/// How a step of a removal begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalStep {
    /// The account is closed, its logins end and its clock goes, so that nothing can be written any more; then rows go.
    Close,
    /// That was done before: rows go.
    RemoveRows,
}

impl AccountFacts {
    /// What the next step of removing the account does; its outcome is that of a step that leaves rows. Only the first step asks
    /// for the login: it ends those of the account, and whoever removes their own goes on.
    pub fn remove(&self) -> Plan<RemovalStep, RemoveOutcome> {
        let Some(Account { user, .. }) = &self.account else {
            return Plan::nothing(RemoveOutcome::NotFound);
        };
        if user.administers() && !self.other_admin {
            return Plan::nothing(RemoveOutcome::LastAdmin);
        }
        let is_closed = user.disabled && !self.has_clock;
        if let Err(refusal) = self.standing
            && !is_closed
        {
            return Plan::nothing(RemoveOutcome::Refused(refusal));
        }
        let step = if is_closed {
            RemovalStep::RemoveRows
        } else {
            RemovalStep::Close
        };
        Plan::write(step, RemoveOutcome::Removing)
    }
}

/// The account itself goes, after everything of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoveAccount;

impl RemoveOutcome {
    /// How a step ends that removed so many rows and might have removed `limit`. As many: there may be more.
    pub fn of_rows(removed: u64, limit: u32) -> Plan<RemoveAccount, Self> {
        if removed >= u64::from(limit) {
            Plan::nothing(Self::Removing)
        } else {
            Plan::write(RemoveAccount, Self::Removed)
        }
    }
}

#[cfg(test)]
mod tests;
