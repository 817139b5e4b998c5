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
    /// Whether every login of the account ends.
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
        let end_logins = self.end_logins;
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
mod tests {
    use super::*;

    fn account(role: Role, disabled: bool) -> Account {
        Account {
            user: User {
                id: UserId::new(uuid::Uuid::nil()),
                username: "anna".parse().unwrap(),
                avatar_url: None,
                role,
                must_change_password: true,
                disabled,
                quota: Quota::Default,
                time_zone: None,
                created_at: UnixMillis::clamped(1),
                updated_at: UnixMillis::clamped(1),
            },
            password: PasswordHash::new("old".into()),
        }
    }

    /// An open account among others, with nothing in its way.
    fn facts(role: Role) -> AccountFacts {
        AccountFacts {
            account: Some(account(role, false)),
            has_clock: true,
            any: true,
            name_taken: false,
            other_admin: true,
            standing: Ok(()),
        }
    }

    #[test]
    fn l1_nothing_is_made_changed_or_removed_for_a_login_that_may_not_go_on() {
        for refusal in [LoginRefusal::Ended, LoginRefusal::PasswordChangeRequired] {
            let facts = AccountFacts {
                standing: Err(refusal),
                ..facts(Role::User)
            };
            let new = account(Role::User, false);
            assert_eq!(
                new.create(&facts, false),
                Plan::nothing(CreateOutcome::Refused(refusal))
            );
            let change = AccountChange::default().decide(&facts, UnixMillis::ZERO);
            assert_eq!(change, Plan::nothing(UpdateOutcome::Refused(refusal)));
            assert_eq!(facts.remove(), Plan::nothing(RemoveOutcome::Refused(refusal)));
            // What has begun goes on: whoever removes their own account has no login from the first step on.
            let begun = AccountFacts {
                account: Some(account(Role::User, true)),
                has_clock: false,
                ..facts
            };
            assert_eq!(
                begun.remove(),
                Plan::write(RemovalStep::RemoveRows, RemoveOutcome::Removing)
            );
        }
    }

    #[test]
    fn an_account_is_made_where_its_name_is_free_and_it_may_be_the_first() {
        use CreateOutcome::{Created, NameTaken, NotFirst};
        for (any, name_taken, only_first, outcome) in [
            (false, false, true, Created),
            (false, false, false, Created),
            (true, false, false, Created),
            (true, true, false, NameTaken),
            (true, false, true, NotFirst),
            (true, true, true, NotFirst),
        ] {
            let facts = AccountFacts {
                account: None,
                has_clock: false,
                any,
                name_taken,
                other_admin: false,
                standing: Ok(()),
            };
            let new = account(Role::User, false);
            let plan = new.create(&facts, only_first);
            let written = (outcome == Created).then_some(new);
            assert_eq!((plan.write, plan.outcome), (written, outcome), "{facts:?}");
        }
    }

    #[test]
    fn a_change_writes_what_it_names_and_leaves_the_rest() {
        let change = AccountChange {
            username: Some("Anna".parse().unwrap()),
            password: Some(PasswordHash::new("new".into())),
            expected_password_hash: Some(PasswordHash::new("old".into())),
            end_logins: true,
            ..AccountChange::default()
        };
        let plan = change.decide(&facts(Role::Admin), UnixMillis::clamped(9));
        let mut new = account(Role::Admin, false);
        new.user.username = "Anna".parse().unwrap();
        new.user.updated_at = UnixMillis::clamped(9);
        new.password = PasswordHash::new("new".into());
        let outcome = UpdateOutcome::Updated {
            user: new.user.clone(),
            before: Box::new(account(Role::Admin, false).user),
        };
        assert_eq!(plan.outcome, outcome);
        let write = AccountWrite {
            account: new,
            end_logins: true,
        };
        assert_eq!(plan.write, Some(write));
    }

    #[test]
    fn a_change_is_refused_for_the_first_of_these_reasons() {
        use UpdateOutcome::{LastAdmin, NameTaken, NotFound, StaleCredential};
        let everything = AccountChange {
            username: Some("Anna".parse().unwrap()),
            role: Some(Role::User),
            expected_password_hash: Some(PasswordHash::new("another".into())),
            ..AccountChange::default()
        };
        let proved = AccountChange {
            expected_password_hash: None,
            ..everything.clone()
        };
        let same_name = AccountChange {
            username: Some("anna".parse().unwrap()),
            ..proved.clone()
        };
        let alone = AccountFacts {
            name_taken: true,
            other_admin: false,
            ..facts(Role::Admin)
        };
        let without_clock = AccountFacts {
            has_clock: false,
            ..alone.clone()
        };
        let gone = AccountFacts {
            account: None,
            ..alone.clone()
        };
        for (change, facts, outcome) in [
            (&everything, &gone, NotFound),
            (&everything, &without_clock, NotFound),
            (&everything, &alone, StaleCredential),
            (&proved, &alone, NameTaken),
            (&same_name, &alone, LastAdmin),
        ] {
            let plan = change.decide(facts, UnixMillis::clamped(9));
            assert_eq!((plan.write, plan.outcome), (None, outcome), "{change:?}");
        }
    }

    #[test]
    fn the_last_administrator_neither_steps_down_nor_is_closed_or_removed() {
        let alone = AccountFacts {
            other_admin: false,
            ..facts(Role::Admin)
        };
        let (demote, close) = (
            AccountChange {
                role: Some(Role::User),
                ..AccountChange::default()
            },
            AccountChange {
                disabled: Some(true),
                ..AccountChange::default()
            },
        );
        for change in [demote, close] {
            let outcome = |facts: &AccountFacts| change.decide(facts, UnixMillis::clamped(9)).outcome;
            assert_eq!(outcome(&alone), UpdateOutcome::LastAdmin, "{change:?}");
            for facts in [facts(Role::Admin), facts(Role::User)] {
                assert!(
                    matches!(outcome(&facts), UpdateOutcome::Updated { .. }),
                    "{change:?}"
                );
            }
        }
        assert_eq!(alone.remove(), Plan::nothing(RemoveOutcome::LastAdmin));
    }

    #[test]
    fn a_removal_closes_the_account_once() {
        use RemovalStep::{Close, RemoveRows};
        let closed = |role| AccountFacts {
            account: Some(account(role, true)),
            has_clock: false,
            other_admin: false,
            ..facts(role)
        };
        let half_closed = AccountFacts {
            has_clock: true,
            ..closed(Role::Admin)
        };
        let gone = AccountFacts {
            account: None,
            ..closed(Role::User)
        };
        for (facts, step) in [
            (facts(Role::User), Close),
            (facts(Role::Admin), Close),
            (half_closed, Close),
            (closed(Role::User), RemoveRows),
            (closed(Role::Admin), RemoveRows),
        ] {
            assert_eq!(
                facts.remove(),
                Plan::write(step, RemoveOutcome::Removing),
                "{facts:?}"
            );
        }
        assert_eq!(gone.remove(), Plan::nothing(RemoveOutcome::NotFound));
    }

    #[test]
    fn an_account_goes_with_the_step_that_finds_fewer_rows_than_it_may_take() {
        let removing = Plan::nothing(RemoveOutcome::Removing);
        assert_eq!(RemoveOutcome::of_rows(10, 10), removing);
        assert_eq!(RemoveOutcome::of_rows(11, 10), removing);
        let removed = Plan::write(RemoveAccount, RemoveOutcome::Removed);
        assert_eq!(RemoveOutcome::of_rows(9, 10), removed);
        assert_eq!(RemoveOutcome::of_rows(0, 1), removed);
    }

    #[test]
    fn a_hash_is_never_shown() {
        assert_eq!(
            format!("{:?}", PasswordHash::new("old".into())),
            "PasswordHash(hidden)"
        );
    }
}
