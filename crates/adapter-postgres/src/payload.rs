//! What instances tell each other by `NOTIFY`: a small text format, one kind per first letter.
//!
//! * `c<sender>;<user>:<clock>,<user>:<clock>…`: commits, several users in one payload. The sender does not listen to itself:
//!   it knows already.
//! * `e<sender>;<user>,<user>…`: users whose logins have ended.
//! * `p<token>`: a listener's question whether it hears anything.
//!
//! Numbers are hexadecimal, users without hyphens. What can't be read is left alone: another version may have sent it.

use std::fmt;

use mosaic_domain::{Stamp, UserId};
use uuid::Uuid;

/// PostgreSQL takes payloads that are shorter than 8,000 bytes.
const BYTES_MAX: usize = 7_900;

/// Who sends, or what is asked: random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token(pub(crate) u64);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a payload says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Commits, and who tells of them.
    Commits(Token, Vec<(UserId, Stamp)>),
    /// Users whose logins have ended, and who tells of it.
    LoginsEnded(Token, Vec<UserId>),
    /// A listener's question to itself.
    Probe(Token),
}

impl Payload {
    /// Reads a payload; `None` where it is of some other kind.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if let Some(token) = text.strip_prefix('p') {
            return hexadecimal(token).map(|token| Self::Probe(Token(token)));
        }
        if let Some(ended) = text.strip_prefix('e') {
            let (sender, users) = ended.split_once(';')?;
            let users: Option<Vec<_>> = users.split(',').map(read_user).collect();
            return Some(Self::LoginsEnded(Token(hexadecimal(sender)?), users?));
        }
        let (sender, commits) = text.strip_prefix('c')?.split_once(';')?;
        let sender = Token(hexadecimal(sender)?);
        let commits: Option<Vec<_>> = commits.split(',').map(read_commit).collect();
        Some(Self::Commits(sender, commits?))
    }
}

fn read_commit(text: &str) -> Option<(UserId, Stamp)> {
    let (user, clock) = text.split_once(':')?;
    let clock = Stamp::new(i64::try_from(hexadecimal(clock)?).ok()?).ok()?;
    Some((read_user(user)?, clock))
}

fn read_user(text: &str) -> Option<UserId> {
    Some(UserId::new(Uuid::try_parse(text).ok()?))
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// The payload of a probe.
pub(crate) fn probe(token: Token) -> String {
    format!("p{token}")
}

/// The payloads that tell of these commits: as few as it takes.
pub(crate) fn of_commits(sender: Token, commits: impl IntoIterator<Item = (UserId, Stamp)>) -> Vec<String> {
    let commit = |(user, clock): (UserId, Stamp)| format!("{}:{:x}", user.uuid().simple(), clock.get());
    joined(&format!("c{sender};"), commits.into_iter().map(commit))
}

/// The payloads that tell whose logins have ended.
pub(crate) fn of_ended(sender: Token, users: impl IntoIterator<Item = UserId>) -> Vec<String> {
    let user = |user: UserId| user.uuid().simple().to_string();
    joined(&format!("e{sender};"), users.into_iter().map(user))
}

fn joined(start: &str, items: impl Iterator<Item = String>) -> Vec<String> {
    let mut payloads: Vec<String> = Vec::new();
    for item in items {
        match payloads.last_mut() {
            Some(last) if last.len() + 1 + item.len() <= BYTES_MAX => last.extend([",", &item]),
            _ => payloads.push(format!("{start}{item}")),
        }
    }
    payloads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(n: u32) -> (UserId, Stamp) {
        let id = UserId::new(Uuid::from_u128(u128::MAX - u128::from(n)));
        (id, Stamp::new((1 << 53) - 1 - i64::from(n)).unwrap())
    }

    #[test]
    fn commits_come_back_as_they_were_sent_however_many() {
        for count in [1, 2, 161, 162, 1_000] {
            let commits: Vec<_> = (0..count).map(commit).collect();
            let payloads = of_commits(Token(7), commits.iter().copied());
            assert!(payloads.iter().all(|payload| payload.len() < 8_000));
            assert_eq!(payloads.len(), usize::try_from(count).unwrap().div_ceil(164));
            let mut read = Vec::new();
            for payload in &payloads {
                let Some(Payload::Commits(Token(7), commits)) = Payload::read(payload) else {
                    panic!("{payload}");
                };
                read.extend(commits);
            }
            assert_eq!(read, commits);
        }
        assert!(of_commits(Token(7), []).is_empty());
    }

    #[test]
    fn users_whose_logins_ended_come_back_as_they_were_sent() {
        for count in [1, 240, 1_000] {
            let users: Vec<_> = (0..count).map(|n| commit(n).0).collect();
            let mut read = Vec::new();
            for payload in of_ended(Token(7), users.iter().copied()) {
                assert!(payload.len() < 8_000);
                let Some(Payload::LoginsEnded(Token(7), users)) = Payload::read(&payload) else {
                    panic!("{payload}");
                };
                read.extend(users);
            }
            assert_eq!(read, users);
        }
    }

    #[test]
    fn a_probe_comes_back_as_it_was_sent() {
        let token = Token(u64::MAX);
        assert_eq!(Payload::read(&probe(token)), Some(Payload::Probe(token)));
    }

    #[test]
    fn what_is_something_else_is_left_alone() {
        let user = "0".repeat(32);
        for other in [
            "", "c", "e", "e1", "e1;", "e1;x", "p", "x1", "p-", "pq", "c1", "c1;", "c1;1:2", "cx;1:2",
            "hello", "ç1;2",
        ] {
            assert_eq!(Payload::read(other), None, "{other}");
        }
        for (clock, is_read) in [("2", true), ("-2", false), ("20000000000000", false), ("", false)] {
            let read = Payload::read(&format!("c1;{user}:{clock}"));
            assert_eq!(read.is_some(), is_read, "{clock}");
        }
    }
}
