//! What happened to an account, for whoever looks back: who logged in, who changed what, from where.
//!
//! Events of one user and kind are kept apart: of each kind the newest [`KEPT_OF_A_KIND`] stay. So whoever tries passwords
//! takes the place of earlier attempts, and of nothing else.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use uuid::Uuid;

use crate::id::{ActivityId, ClientId, UserId};
use crate::text::misleads;
use crate::time::UnixMillis;
use crate::violation::Violation;

/// How many events of one kind are kept of a user; of more, the oldest go.
pub const KEPT_OF_A_KIND: u32 = 1_000;

/// Whose trail has what happened to the server itself, or to nobody who has an account.
pub const SERVER: UserId = UserId::new(Uuid::nil());

/// Declares the kinds, with their names on the wire and in the database.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal;)*) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ActivityKind {
            $($(#[$doc])* $kind,)*
        }

        impl ActivityKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The name on the wire and in the database.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// Somebody logged in.
    LoggedIn = "login";
    /// A password was wrong, or the account is closed.
    LoginFailed = "login_failed";
    /// A login was ended by whoever has it.
    LoggedOut = "logout";
    /// A login was ended because one of its refresh tokens was used twice: somebody has a copy.
    TokenReused = "token_reused";
    /// The password was changed, which ended the logins.
    PasswordChanged = "password_changed";
    /// The account was made.
    AccountCreated = "account_created";
    /// It has another name.
    AccountRenamed = "account_renamed";
    /// It may do other things, which ended its logins.
    RoleChanged = "role_changed";
    /// It may store more, or less.
    QuotaChanged = "quota_changed";
    /// It was closed, which ended its logins.
    AccountDisabled = "account_disabled";
    /// It was opened again.
    AccountEnabled = "account_enabled";
    /// An account was removed. In the trail of the server, since that of the account went with it.
    AccountRemoved = "account_removed";
    /// An invite was made: a link by which somebody makes an account.
    InviteMade = "invite_made";
    /// An invite was taken back.
    InviteRevoked = "invite_revoked";
    /// Somebody made an account by an invite. In the trail of whoever made the invite.
    InviteUsed = "invite_used";
    /// A device was forgotten, which ended its logins.
    DeviceForgotten = "device_forgotten";
    /// Everything of the account was exported, or began to be.
    Exported = "exported";
    /// An export was brought into the account, or began to be.
    Imported = "imported";
    /// A backup took the place of the database, or something else set it back.
    Restored = "restored";
    /// The history got a new name.
    EpochRenewed = "epoch_renewed";
}

impl FromStr for ActivityKind {
    type Err = Violation;
    fn from_str(name: &str) -> Result<Self, Violation> {
        let known = Self::ALL.iter().find(|kind| kind.name() == name);
        known.copied().ok_or_else(|| {
            let names = Self::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>();
            Violation::new("unknown_value", format!("must be one of {}", names.join(", ")))
        })
    }
}

impl fmt::Display for ActivityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doer {
    /// Whoever has that account: the user, or an administrator.
    User(UserId),
    /// Whoever may use the command line of the server.
    CommandLine,
    /// The server, by itself.
    Server,
    /// Somebody who proved nothing.
    Stranger,
}

impl Doer {
    /// The names of all kinds of them.
    pub const NAMES: &[&'static str] = &["user", "command_line", "server", "stranger"];

    /// The name on the wire and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User(_) => Self::NAMES[0],
            Self::CommandLine => Self::NAMES[1],
            Self::Server => Self::NAMES[2],
            Self::Stranger => Self::NAMES[3],
        }
    }

    /// Which account, where it is one.
    pub const fn user(self) -> Option<UserId> {
        match self {
            Self::User(user) => Some(user),
            _ => None,
        }
    }

    /// Reads what [`Doer::name`] and [`Doer::user`] said.
    ///
    /// # Errors
    /// `unknown_value`.
    pub fn of(name: &str, user: Option<UserId>) -> Result<Self, Violation> {
        match (name, user) {
            ("user", Some(user)) => Ok(Self::User(user)),
            ("command_line", None) => Ok(Self::CommandLine),
            ("server", None) => Ok(Self::Server),
            ("stranger", None) => Ok(Self::Stranger),
            _ => Err(Violation::new(
                "unknown_value",
                "must be somebody who does things",
            )),
        }
    }
}

/// A short text of whatever origin, as it may be kept and shown: on one line, without what is invisible, at most
/// [`Note::MAX_BYTES`] long.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Note(String);

impl Note {
    /// The most bytes of a note: what is longer is cut.
    pub const MAX_BYTES: usize = 200;

    /// What can be kept of a text; `None`: nothing.
    pub fn of(text: &str) -> Option<Self> {
        let mut kept = String::new();
        let shown = |letter: &char| !letter.is_control() && !misleads(*letter);
        for letter in text.trim().chars().filter(shown) {
            if kept.len() + letter.len_utf8() > Self::MAX_BYTES {
                break;
            }
            kept.push(letter);
        }
        (!kept.is_empty()).then_some(Self(kept))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where something was asked for, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The address that it was asked from.
    pub address: Option<IpAddr>,
    /// The device that asked.
    pub client: Option<ClientId>,
    /// What the program that asked calls itself.
    pub agent: Option<Note>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Its id. Later events have greater ones, as far as clocks can tell.
    pub id: ActivityId,
    /// In whose trail it is.
    pub user: UserId,
    /// What happened.
    pub kind: ActivityKind,
    /// When.
    pub at: UnixMillis,
    /// Who did it.
    pub by: Doer,
    /// From where.
    pub origin: Origin,
    /// What else there is to say: the new role, the device that was forgotten.
    pub detail: Option<Note>,
}

/// Which events of a trail are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityQuery {
    /// Of this kind alone.
    pub kind: Option<ActivityKind>,
    /// Not from before this moment.
    pub since: UnixMillis,
    /// With lesser ids than this one.
    pub before: Option<ActivityId>,
    /// At most so many, the newest.
    pub limit: u32,
}

impl ActivityQuery {
    /// The newest, whatever they are.
    pub const fn newest(limit: u32) -> Self {
        Self {
            kind: None,
            since: UnixMillis::ZERO,
            before: None,
            limit,
        }
    }

    /// The kinds that are wanted.
    pub fn kinds(&self) -> impl Iterator<Item = ActivityKind> {
        let wanted = self.kind;
        let all = ActivityKind::ALL.iter().copied();
        all.filter(move |kind| wanted.is_none_or(|wanted| wanted == *kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_doers_are_read_as_they_are_named() {
        for kind in ActivityKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(*kind));
        }
        let unknown = "Login".parse::<ActivityKind>().unwrap_err();
        assert!(unknown.code == "unknown_value" && unknown.message.contains("login_failed"));
        let user = UserId::new(Uuid::from_u128(7));
        for doer in [Doer::User(user), Doer::CommandLine, Doer::Server, Doer::Stranger] {
            assert_eq!(Doer::of(doer.name(), doer.user()), Ok(doer));
        }
        assert!(Doer::of("user", None).is_err() && Doer::of("server", Some(user)).is_err());
    }

    #[test]
    fn a_trail_is_asked_for_one_kind_or_for_all() {
        let mut query = ActivityQuery::newest(7);
        assert!(query.kinds().eq(ActivityKind::ALL.iter().copied()));
        query.kind = Some(ActivityKind::LoginFailed);
        assert!(query.kinds().eq([ActivityKind::LoginFailed]));
    }

    #[test]
    fn a_note_is_on_one_line_shows_all_that_it_has_and_is_cut_between_letters() {
        let note = |text: &str| Note::of(text).map(|note| note.as_str().to_owned());
        assert_eq!(
            note(" Mosaic/1.0 (a\u{1b}[2J\n\u{202e}b) "),
            Some("Mosaic/1.0 (a[2Jb)".into())
        );
        assert_eq!((note(""), note(" \u{200b}\n")), (None, None));
        let long = note(&"ä日".repeat(100)).unwrap();
        assert_eq!(long, "ä日".repeat(40));
        assert_eq!(note(&"ä".repeat(101)).unwrap().len(), Note::MAX_BYTES);
    }
}
