//! Invites: links by which people make accounts of their own, with the role and the quota that whoever invites has chosen
//! (I1 to I3). A store looks up what is kept of them under the lock that changes of accounts take, and carries out the
//! [`Plan`].

use std::cmp::Reverse;
use std::str::FromStr;

use crate::account::{Account, AccountFacts, Role, User};
use crate::id::{InviteId, UserId};
use crate::login::{LoginRefusal, TokenHash};
use crate::plan::Plan;
use crate::quota::Quota;
use crate::time::UnixMillis;
use crate::violation::Violation;

/// The most open invites of one who invites (I3).
pub const OPEN_MAX: usize = 100;
/// Of those that are over, so many are kept besides, the newest: who comes late is told why the link does not work.
const OVER_MAX: usize = 100;
/// How long after it has expired an invite is kept, in milliseconds.
pub const KEPT_AFTER_MS: i64 = 30 * DAY_MS;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// An invite: whoever has its secret makes one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Its id, which is no secret.
    pub id: InviteId,
    /// What is kept of its secret.
    pub secret: TokenHash,
    /// The administrator who made it; `None`: whoever may use the command line of the server.
    pub made_by: Option<UserId>,
    /// What the new user may do.
    pub role: Role,
    /// What the new user may store.
    pub quota: Quota,
    /// When it was made.
    pub made_at: UnixMillis,
    /// When it stops working.
    pub expires_at: UnixMillis,
    /// How it came to an end, where it did before it expired.
    pub end: Option<InviteEnd>,
}

/// How an invite came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteEnd {
    /// An account was made by it.
    Used {
        /// Which one.
        by: UserId,
        /// When.
        at: UnixMillis,
    },
    /// It was taken back.
    Revoked {
        /// When.
        at: UnixMillis,
    },
}

impl InviteEnd {
    /// How databases keep it: when, in milliseconds, and the account that was made.
    pub fn stored(end: Option<Self>) -> (Option<i64>, Option<uuid::Uuid>) {
        match end {
            None => (None, None),
            Some(Self::Used { by, at }) => (Some(at.get()), Some(by.uuid())),
            Some(Self::Revoked { at }) => (Some(at.get()), None),
        }
    }

    /// Reads what [`InviteEnd::stored`] said; a user without a moment is none.
    pub fn of_stored(at: Option<UnixMillis>, by: Option<UserId>) -> Option<Self> {
        let at = at?;
        Some(by.map_or(Self::Revoked { at }, |by| Self::Used { by, at }))
    }
}

/// How long an invite works, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InviteLifetime(i64);

impl InviteLifetime {
    /// 7 days.
    pub const DEFAULT: Self = Self(7 * DAY_MS);
    /// The shortest, in milliseconds: 1 minute.
    pub const MIN_MS: i64 = MINUTE_MS;
    /// The longest, in milliseconds: 90 days.
    pub const MAX_MS: i64 = 90 * DAY_MS;

    /// So many milliseconds.
    ///
    /// # Errors
    /// `out_of_range` unless it is a minute to 90 days.
    pub fn of_ms(ms: i64) -> Result<Self, Violation> {
        if (Self::MIN_MS..=Self::MAX_MS).contains(&ms) {
            Ok(Self(ms))
        } else {
            Err(Violation::new(
                "out_of_range",
                "must be at least a minute and at most 90 days",
            ))
        }
    }

    /// It in milliseconds.
    pub const fn ms(self) -> i64 {
        self.0
    }
}

/// A number of days, hours or minutes: `7d`, `12h`, `30m`.
impl FromStr for InviteLifetime {
    type Err = Violation;
    fn from_str(text: &str) -> Result<Self, Violation> {
        let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        let unit = match &text[digits.len()..] {
            "m" => Some(MINUTE_MS),
            "h" => Some(HOUR_MS),
            "d" => Some(DAY_MS),
            _ => None,
        };
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = plain.then(|| digits.parse::<i64>().ok()).flatten();
        let ms = number.zip(unit).map(|(number, unit)| number.saturating_mul(unit));
        ms.map_or_else(
            || {
                Err(Violation::new(
                    "invalid_duration",
                    "must be a number of days, hours or minutes, like 7d, 12h or 30m",
                ))
            },
            Self::of_ms,
        )
    }
}

/// Why an invite makes no account (I2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteRefusal {
    /// No invite has that secret.
    #[error("there is no such invite: look whether the link is whole")]
    Unknown,
    /// An account was made by it.
    #[error("the invite was used: it makes one account, and that is made")]
    Used,
    /// It was taken back, or who made it does not administer the server any more.
    #[error("the invite was taken back: ask for another one")]
    Revoked,
    /// It was not used in time.
    #[error("the invite has expired: ask for another one")]
    Expired,
}

/// An invite as a store finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundInvite {
    /// The invite.
    pub invite: Invite,
    /// Whether who made it administers the server now ([`User::administers`]); the command line always does.
    pub maker_administers: bool,
}

impl FoundInvite {
    /// What an invite may be at a moment.
    pub const STATES: [&'static str; 4] = ["open", "used", "revoked", "expired"];

    /// Whether it makes an account at that moment (I2).
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, now: UnixMillis) -> Result<(), InviteRefusal> {
        match self.invite.end {
            Some(InviteEnd::Used { .. }) => Err(InviteRefusal::Used),
            Some(InviteEnd::Revoked { .. }) => Err(InviteRefusal::Revoked),
            None if now >= self.invite.expires_at => Err(InviteRefusal::Expired),
            None if !self.maker_administers => Err(InviteRefusal::Revoked),
            None => Ok(()),
        }
    }

    /// What was looked for by its secret, where it makes an account at that moment.
    ///
    /// # Errors
    /// Why not.
    pub fn usable(found: Option<Self>, now: UnixMillis) -> Result<Self, InviteRefusal> {
        let found = found.ok_or(InviteRefusal::Unknown)?;
        found.check(now).map(|()| found)
    }

    /// What lists call it at that moment: one of [`FoundInvite::STATES`].
    pub fn state(&self, now: UnixMillis) -> &'static str {
        let [open, used, revoked, expired] = Self::STATES;
        match self.check(now) {
            Ok(()) => open,
            Err(InviteRefusal::Used) => used,
            Err(InviteRefusal::Revoked | InviteRefusal::Unknown) => revoked,
            Err(InviteRefusal::Expired) => expired,
        }
    }
}

/// What is written of invites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteWrite {
    /// Written, whether it is there or not.
    pub keep: Invite,
    /// These go.
    pub forget: Vec<InviteId>,
}

/// What became of making an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteOutcome {
    /// It was made.
    Made,
    /// Who makes it has as many open ones as they may have.
    TooMany,
    /// The login that asks may not go on.
    Refused(LoginRefusal),
}

/// What became of taking an invite back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// It was taken back.
    Revoked(Box<Invite>),
    /// That was done before.
    Before,
    /// There is no such invite.
    NotFound,
    /// An account was made by it already.
    Used,
    /// The login that asks may not go on.
    Refused(LoginRefusal),
}

/// What using an invite writes, all or nothing (I1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptWrite {
    /// The account that is made.
    pub account: Account,
    /// The invite, which is used now.
    pub invite: Invite,
}

/// What became of using an invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptOutcome {
    /// There is this account now, and the invite is used.
    Accepted(Box<AcceptWrite>),
    /// The name is taken, letter case aside. The invite is good for another one.
    NameTaken,
    /// The invite makes no account.
    Refused(InviteRefusal),
}

impl Invite {
    /// What becomes of making this invite, for who has these already (I3).
    pub fn make(self, facts: &AccountFacts, of_maker: &[FoundInvite]) -> Plan<InviteWrite, InviteOutcome> {
        if let Err(refusal) = facts.standing {
            return Plan::nothing(InviteOutcome::Refused(refusal));
        }
        let now = self.made_at;
        let (open, over): (Vec<_>, Vec<_>) = of_maker.iter().partition(|found| found.check(now).is_ok());
        if open.len() >= OPEN_MAX {
            return Plan::nothing(InviteOutcome::TooMany);
        }
        let mut over: Vec<_> = over.iter().map(|found| &found.invite).collect();
        over.sort_by_key(|invite| Reverse((invite.made_at, invite.id)));
        let write = InviteWrite {
            keep: self,
            forget: over.iter().skip(OVER_MAX).map(|invite| invite.id).collect(),
        };
        Plan::write(write, InviteOutcome::Made)
    }

    /// What becomes of taking back the invite that was found: for any administrator, whoever made it.
    pub fn revoke(
        found: Option<FoundInvite>,
        facts: &AccountFacts,
        now: UnixMillis,
    ) -> Plan<InviteWrite, RevokeOutcome> {
        if let Err(refusal) = facts.standing {
            return Plan::nothing(RevokeOutcome::Refused(refusal));
        }
        let Some(FoundInvite { mut invite, .. }) = found else {
            return Plan::nothing(RevokeOutcome::NotFound);
        };
        match invite.end {
            Some(InviteEnd::Used { .. }) => return Plan::nothing(RevokeOutcome::Used),
            Some(InviteEnd::Revoked { .. }) => return Plan::nothing(RevokeOutcome::Before),
            None => invite.end = Some(InviteEnd::Revoked { at: now }),
        }
        let outcome = RevokeOutcome::Revoked(Box::new(invite.clone()));
        let write = InviteWrite {
            keep: invite,
            forget: Vec::new(),
        };
        Plan::write(write, outcome)
    }

    /// What becomes of making that account by the invite that was found (I1, I2). The account gets the role and the quota of
    /// the invite.
    pub fn accept(
        found: Option<FoundInvite>,
        account: Account,
        facts: &AccountFacts,
        now: UnixMillis,
    ) -> Plan<AcceptWrite, AcceptOutcome> {
        let mut invite = match FoundInvite::usable(found, now) {
            Ok(found) => found.invite,
            Err(refusal) => return Plan::nothing(AcceptOutcome::Refused(refusal)),
        };
        if facts.name_taken {
            return Plan::nothing(AcceptOutcome::NameTaken);
        }
        let user = User {
            role: invite.role,
            quota: invite.quota,
            ..account.user
        };
        invite.end = Some(InviteEnd::Used { by: user.id, at: now });
        let account = Account { user, ..account };
        let write = AcceptWrite { account, invite };
        Plan::write(write.clone(), AcceptOutcome::Accepted(Box::new(write)))
    }
}

#[cfg(test)]
mod tests;
