//! Logins: what is kept of them, the refresh tokens that renew them, and what becomes of both (L1 to L4).
//!
//! A login is a row for as long as it lasts, and its access tokens count for as long as the row is there. What is
//! kept of its refresh tokens does not grow with their number: all of them carry the login's key, so that one which
//! is neither the current one nor the one before is known to be an old copy.

use std::cmp::Reverse;
use std::fmt;

use crate::account::{Account, PasswordHash, User};
use crate::id::{ClientId, FamilyId, UserId};
use crate::plan::Plan;
use crate::text::Label;
use crate::time::UnixMillis;

pub use crate::standing::{LoginAccount, LoginRefusal};

/// The most logins of one user. With one more, the one that was renewed longest ago ends.
pub const LOGINS_MAX: usize = 100;

/// The SHA-256 of a refresh token, or of its key: what a store keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(pub [u8; 32]);

/// What a refresh token is derived from, together with the text of the one before. Worth nothing without that text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenSeed(pub [u8; 32]);

impl fmt::Debug for TokenSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSeed(hidden)")
    }
}

/// A refresh token as somebody presents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresentedToken {
    /// The hash of its key, which finds its login. A token of a version before has none: its own hash stands here.
    pub key: TokenHash,
    /// Its hash.
    pub hash: TokenHash,
}

/// A refresh token to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRefreshToken {
    /// The hash of the login's key.
    pub key: TokenHash,
    /// Its hash.
    pub hash: TokenHash,
    /// What it was derived from.
    pub seed: TokenSeed,
    /// When it was given out.
    pub issued_at: UnixMillis,
    /// When it stops working, and its login ends.
    pub expires_at: UnixMillis,
}

/// A login with its current refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRefreshToken {
    /// The token.
    pub token: NewRefreshToken,
    /// Whose it is.
    pub user: UserId,
    /// The login.
    pub family: FamilyId,
    /// The device that logged in, if it said so.
    pub client: Option<ClientId>,
    /// What its user calls the device.
    pub device_name: Option<Label<100>>,
}

/// A login as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLogin {
    /// The login, and its current token.
    pub stored: StoredRefreshToken,
    /// The token that was spent for the current one.
    pub spent: Option<TokenHash>,
}

/// What a store writes of the logins of one user. Where logins end, the lock of the user's clock is taken first, and
/// whoever listens is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginWrite {
    /// Whose logins.
    pub user: UserId,
    /// The logins that end, by id, with what is kept of their tokens.
    pub end: Vec<FamilyId>,
    /// The login to keep, whether it is there or not. What has expired when its token was given out is forgotten.
    pub keep: Option<KeptLogin>,
}

impl LoginWrite {
    /// Ends logins, which are the outcome; nothing is written where there are none.
    pub fn end(user: UserId, families: Vec<FamilyId>) -> Plan<Self, Vec<FamilyId>> {
        let write = (!families.is_empty()).then(|| Self {
            user,
            end: families.clone(),
            keep: None,
        });
        Plan {
            write,
            outcome: families,
        }
    }

    /// Whose logins end.
    pub fn ends_logins_of(&self) -> Option<UserId> {
        (!self.end.is_empty()).then_some(self.user)
    }
}

/// How old a login of a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginAge {
    /// The login.
    pub family: FamilyId,
    /// When its current token was given out.
    pub issued_at: UnixMillis,
    /// When that expires.
    pub expires_at: UnixMillis,
}

/// What became of giving out the first token of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssueOutcome {
    /// It is stored. The user is as they were then.
    Issued(User),
    /// The password is another one by now, or the account is gone. Nothing is stored.
    StaleCredential,
    /// The account is closed. Nothing is stored.
    Closed,
}

impl StoredRefreshToken {
    /// What becomes of a new login to `account`, as it is now, that was proved by a password with the hash
    /// `expected`. Of the user's logins that have not expired as many go on as leave room for it ([`LOGINS_MAX`]),
    /// those that were renewed last.
    pub fn issue(
        self,
        expected: &PasswordHash,
        account: Option<Account>,
        logins: Vec<LoginAge>,
    ) -> Plan<LoginWrite, IssueOutcome> {
        let user = match account {
            Some(Account { user, password }) if password == *expected => user,
            _ => return Plan::nothing(IssueOutcome::StaleCredential),
        };
        if user.disabled {
            return Plan::nothing(IssueOutcome::Closed);
        }
        let mut others = logins;
        others.retain(|other| other.expires_at > self.token.issued_at);
        others.sort_unstable_by_key(|other| (Reverse(other.issued_at), other.family));
        let over = others.iter().skip(LOGINS_MAX - 1);
        let write = LoginWrite {
            user: self.user,
            end: over.map(|other| other.family).collect(),
            keep: Some(KeptLogin {
                stored: self,
                spent: None,
            }),
        };
        Plan::write(write, IssueOutcome::Issued(user))
    }
}

/// What became of spending a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// It was good: it is spent now, and the next one of its login is stored.
    Rotated(StoredRefreshToken),
    /// It was spent a moment ago, and what it was spent for is unused: this, again.
    Again(StoredRefreshToken),
    /// It had been spent before: somebody else has a copy. The login is ended.
    Reused {
        /// Whose it was.
        user: UserId,
        /// The login that is ended.
        family: FamilyId,
    },
    /// It is unknown, has ended or expired, or its account is closed.
    Refused,
}

/// The login that a token was found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLogin {
    /// The login.
    pub kept: KeptLogin,
    /// Whether its account is closed.
    pub disabled: bool,
}

impl FoundLogin {
    /// What becomes of ending the login of a token, from what was found by it: whose it was, and the login.
    pub fn end(found: Option<Self>) -> Plan<LoginWrite, Option<(UserId, FamilyId)>> {
        let Some(Self { kept, .. }) = found else {
            return Plan::nothing(None);
        };
        let (user, family) = (kept.stored.user, kept.stored.family);
        let Plan { write, .. } = LoginWrite::end(user, vec![family]);
        let outcome = Some((user, family));
        Plan { write, outcome }
    }
}

impl PresentedToken {
    /// What becomes of spending this token for `next`, now. A spent one is good again for `grace_ms` after it was
    /// spent, unless what it was spent for was used since. A clock that stepped back ends no grace. A login that has
    /// expired is over: no token of it is good, and none is a copy.
    pub fn rotate(
        self,
        found: Option<FoundLogin>,
        next: &NewRefreshToken,
        grace_ms: i64,
    ) -> Plan<LoginWrite, Rotation> {
        let Some(FoundLogin {
            kept,
            disabled: false,
        }) = found
        else {
            return Plan::nothing(Rotation::Refused);
        };
        let KeptLogin { stored, spent } = kept;
        let (now, current, user, family) = (next.issued_at, stored.token.clone(), stored.user, stored.family);
        if now >= current.expires_at {
            Plan::nothing(Rotation::Refused)
        } else if self.hash == current.hash {
            let token = next.clone();
            let stored = StoredRefreshToken { token, ..stored };
            let write = LoginWrite {
                user,
                end: Vec::new(),
                keep: Some(KeptLogin {
                    stored: stored.clone(),
                    spent: Some(current.hash),
                }),
            };
            Plan::write(write, Rotation::Rotated(stored))
        } else if spent == Some(self.hash) && now.since(current.issued_at) <= grace_ms {
            Plan::nothing(Rotation::Again(stored))
        } else {
            let Plan { write, .. } = LoginWrite::end(user, vec![family]);
            let outcome = Rotation::Reused { user, family };
            Plan { write, outcome }
        }
    }
}

#[cfg(test)]
mod tests;
