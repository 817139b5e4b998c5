//! Accounts: who may use the server.

mod change;

use std::fmt;
use std::str::FromStr;

use precis_profiles::precis_core::Error as Unprepared;
use precis_profiles::precis_core::profile::PrecisFastInvocation as _;
use precis_profiles::{OpaqueString, UsernameCasePreserved};

use crate::id::UserId;
use crate::quota::Quota;
use crate::search::{normalise, normalise_before};
use crate::stamp::Stamp;
use crate::text::{PictureAddress, check_label};
use crate::time::UnixMillis;
use crate::violation::Violation;
use crate::zone::TimeZone;

pub use change::{
    Account, AccountChange, AccountFacts, AccountWrite, ActingLogin, CreateOutcome, PasswordHash,
    RemovalStep, RemoveAccount, RemoveOutcome, UpdateOutcome,
};

/// A user's account, without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The id that everything of the user is stored under.
    pub id: UserId,
    /// The name to log in with.
    pub username: Username,
    /// A picture.
    pub avatar_url: Option<PictureAddress>,
    /// What the user may do.
    pub role: Role,
    /// Whether the password was set by somebody else and should be changed.
    pub must_change_password: bool,
    /// Whether the account is closed.
    pub disabled: bool,
    /// What the user may store.
    pub quota: Quota,
    /// Where the user's days begin and end; `None`: where those of the server do.
    pub time_zone: Option<TimeZone>,
    /// When the account was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
}

impl User {
    /// Where the user's clock begins (S1): at the moment when the account was made, never at 0 in a world whose clocks are right.
    /// There are apps to which a cursor of 0 means that they were never served.
    pub fn first_stamp(&self) -> Stamp {
        Stamp::clamped(self.created_at.get())
    }

    /// Whether a change into `new` takes an administrator from the server: there must be another one.
    pub fn loses_admin(&self, new: &Self) -> bool {
        self.administers() && !new.administers()
    }

    /// Whether the user manages accounts now.
    pub fn administers(&self) -> bool {
        self.role == Role::Admin && !self.disabled
    }
}

/// The name to log in with: 1 to 64 characters without white space or control characters. Unique whatever its letter
/// case. Parsing takes any name that was ever allowed, so that new rules lock nobody out; [`Username::chosen`] has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// The most characters of a name.
    pub const MAX_CHARS: usize = 64;

    /// A name that is being given to an account: the profile UsernameCasePreserved of RFC 8265. Letters, digits and the
    /// signs of ASCII, of any script; nothing invisible, no letters that only look wider, and one direction.
    ///
    /// # Errors
    /// `empty`, `nul`, `control_character`, `white_space`, `too_long`, `invalid_character` or `mixed_direction`.
    pub fn chosen(name: &str) -> Result<Self, Violation> {
        let Self(name) = name.parse()?;
        UsernameCasePreserved::enforce(name)
            .map_err(|why| unprepared(&why))?
            .parse()
    }

    /// The name as the user writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which names are compared: two users can't differ in letter case alone.
    pub fn folded(&self) -> String {
        normalise(&self.0)
    }

    /// The form in which names were compared before letter case was folded in full. Accounts from then that differ in
    /// nothing else keep it, all but one, and are found by it first: so everybody logs in as ever.
    pub fn folded_before(&self) -> String {
        normalise_before(&self.0)
    }
}

impl FromStr for Username {
    type Err = Violation;
    fn from_str(name: &str) -> Result<Self, Violation> {
        check_label(name, Self::MAX_CHARS)?;
        if name.chars().any(char::is_whitespace) {
            return Err(Violation::new("white_space", "must not contain white space"));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Manage accounts, besides what every user may.
    Admin,
    /// Sync.
    User,
}

impl Role {
    /// The name on the wire and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::User => "user",
        }
    }
}

impl FromStr for Role {
    type Err = Violation;
    fn from_str(name: &str) -> Result<Self, Violation> {
        match name {
            "admin" => Ok(Self::Admin),
            "user" => Ok(Self::User),
            _ => Err(Violation::new("unknown_value", "must be admin or user")),
        }
    }
}

/// Why a name or a password can't be set.
fn unprepared(why: &Unprepared) -> Violation {
    match why {
        Unprepared::BadCodepoint(found) => Violation::new(
            "invalid_character",
            format!("must not contain the character U+{:04X}", found.cp),
        ),
        _ => Violation::new(
            "mixed_direction",
            "must not mix letters that are written from right to left with others",
        ),
    }
}

/// A password in the clear, on its way to the hash. Never shown.
///
/// Keyboards and systems encode one password in several ways: what counts is its form by the profile OpaqueString of
/// RFC 8265.
#[derive(Clone)]
pub struct Password {
    prepared: String,
    /// As it was typed, where that is something else.
    typed: Option<String>,
}

impl Password {
    /// The fewest characters a new password may have.
    pub const MIN_CHARS: usize = 8;
    /// The most bytes that are hashed: more would only keep the server busy.
    pub const MAX_BYTES: usize = 1_024;

    /// A password somebody logs in with: anything, so that old rules never lock anybody out.
    ///
    /// # Errors
    /// `too_long`.
    pub fn given(text: String) -> Result<Self, Violation> {
        if text.len() > Self::MAX_BYTES {
            return Err(Violation::new("too_long", "must be at most 1024 bytes"));
        }
        Ok(match OpaqueString::enforce(text.as_str()) {
            Ok(prepared) if prepared != text => Self {
                prepared: prepared.into_owned(),
                typed: Some(text),
            },
            _ => Self {
                prepared: text,
                typed: None,
            },
        })
    }

    /// A password that is being set.
    ///
    /// # Errors
    /// `too_short`, `nul`, `too_long` or `invalid_character`.
    pub fn chosen(text: String) -> Result<Self, Violation> {
        if text.contains('\0') {
            return Err(Violation::new("nul", "must not contain the character U+0000"));
        }
        let Self { prepared, .. } = Self::given(text)?;
        if prepared.chars().count() < Self::MIN_CHARS {
            return Err(Violation::new("too_short", "must be at least 8 characters"));
        }
        OpaqueString::prepare(prepared.as_str()).map_err(|why| unprepared(&why))?;
        Ok(Self {
            prepared,
            typed: None,
        })
    }

    /// The password in the clear, in the form that is hashed.
    pub fn expose(&self) -> &str {
        &self.prepared
    }

    /// The password in the clear in each form that a stored hash may be of: hashes from before have that of what was typed.
    pub fn spellings(&self) -> impl Iterator<Item = &str> {
        [Some(self.expose()), self.typed.as_deref()].into_iter().flatten()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_administrator_with_an_open_account_can_step_down() {
        let user = |role, disabled| User {
            id: UserId::new(uuid::Uuid::nil()),
            username: "anna".parse().unwrap(),
            avatar_url: None,
            role,
            must_change_password: false,
            disabled,
            quota: Quota::Default,
            time_zone: None,
            created_at: UnixMillis::clamped(1),
            updated_at: UnixMillis::clamped(1),
        };
        let admin = user(Role::Admin, false);
        assert!(admin.loses_admin(&user(Role::User, false)));
        assert!(admin.loses_admin(&user(Role::Admin, true)));
        assert!(!admin.loses_admin(&admin));
        assert!(!user(Role::Admin, true).loses_admin(&user(Role::User, true)));
        assert!(!user(Role::User, false).loses_admin(&user(Role::User, true)));
        assert_eq!(admin.first_stamp(), Stamp::clamped(1));
    }

    #[test]
    fn roles_are_named_on_the_wire_and_in_the_database() {
        for (role, name) in [(Role::Admin, "admin"), (Role::User, "user")] {
            assert_eq!((role.name(), name.parse()), (name, Ok(role)));
        }
        assert_eq!("Admin".parse::<Role>().unwrap_err().code, "unknown_value");
    }

    #[test]
    fn a_name_is_shown_as_it_is_written_and_was_folded_to_lower_case_before() {
        let name: Username = "Änna.STRAẞE".parse().unwrap();
        assert_eq!(name.to_string(), "Änna.STRAẞE");
        assert_eq!(name.folded_before(), "änna.straße");
    }

    #[test]
    fn passwords_have_bounds_and_one_spelling_where_they_were_typed_as_they_are_kept() {
        let bytes = |n| "x".repeat(n);
        assert!(Password::given(bytes(Password::MAX_BYTES)).is_ok());
        let long = Password::given(bytes(Password::MAX_BYTES + 1));
        assert_eq!(long.unwrap_err().code, "too_long");
        let chosen = |n| Password::chosen("ä".repeat(n)).map_err(|violation| violation.code);
        assert_eq!(chosen(Password::MIN_CHARS - 1).unwrap_err(), "too_short");
        assert!(chosen(Password::MIN_CHARS).is_ok());
        let given = Password::given(bytes(3)).unwrap();
        assert_eq!(given.spellings().collect::<Vec<_>>(), ["xxx"]);
    }

    #[test]
    fn user_names_have_no_white_space_and_fold_their_case() {
        assert_eq!("Änna".parse::<Username>().unwrap().folded(), "änna");
        assert_eq!("a b".parse::<Username>().unwrap_err().code, "white_space");
        assert_eq!("".parse::<Username>().unwrap_err().code, "empty");
        assert_eq!("a\0".parse::<Username>().unwrap_err().code, "nul");
    }

    #[test]
    fn chosen_names_have_nothing_invisible_and_no_second_form() {
        for (bad, code) in [
            ("admin\u{200b}", "invalid_character"),
            ("ad\u{ad}min", "invalid_character"),
            ("admin\u{200d}", "invalid_character"),
            ("\u{202e}nimda", "invalid_character"),
            ("\u{2066}admin", "invalid_character"),
            ("admin\u{feff}", "invalid_character"),
            ("a\u{115f}b", "invalid_character"),
            ("a\u{34f}b", "invalid_character"),
            ("a\u{e0041}", "invalid_character"),
            ("a\u{378}", "invalid_character"),
            ("a\u{e000}", "invalid_character"),
            ("ﬁg", "invalid_character"),
            ("𝐚dmin", "invalid_character"),
            ("anna😀", "invalid_character"),
            ("a\u{5d0}b", "mixed_direction"),
            ("a b", "white_space"),
            ("a\u{3000}b", "white_space"),
            ("", "empty"),
        ] {
            assert_eq!(Username::chosen(bad).unwrap_err().code, code, "{bad:?}");
        }
        for (name, kept) in [
            ("Änna", "Änna"),
            ("A\u{308}nna", "Änna"),
            ("ａｎｎａ", "anna"),
            ("σας", "σας"),
            ("anna.b+c@example.org", "anna.b+c@example.org"),
            ("日記", "日記"),
            ("שרה", "שרה"),
        ] {
            assert_eq!(Username::chosen(name).unwrap().as_str(), kept, "{name:?}");
        }
    }

    #[test]
    fn names_are_compared_with_letter_case_folded_in_full() {
        let folded = |name: &str| name.parse::<Username>().unwrap().folded();
        for same in [
            ["σας", "ΣΑΣ", "σασ"].as_slice(),
            &["straße", "STRASSE", "STRAẞE"],
            &["ısı", "ISI"],
            &["ｂｅｎ", "Ben"],
        ] {
            assert!(
                same.iter().all(|name| folded(name) == folded(same[0])),
                "{same:?}"
            );
        }
        assert_ne!(
            folded("admin\u{200b}"),
            folded("admin"),
            "such a name from before stays another"
        );
    }

    #[test]
    fn a_password_is_the_same_however_it_is_encoded() {
        let chosen = Password::chosen("Pässword 1\u{3000}2".into()).unwrap();
        let typed = Password::given("Pa\u{308}ssword 1\u{a0}2".into()).unwrap();
        assert_eq!(chosen.expose(), "Pässword 1 2");
        assert_eq!(
            typed.spellings().collect::<Vec<_>>(),
            ["Pässword 1 2", "Pa\u{308}ssword 1\u{a0}2"]
        );
        let odd = Password::given("old\u{7}password".into()).unwrap();
        assert_eq!(odd.spellings().collect::<Vec<_>>(), ["old\u{7}password"]);
        let refused = Password::chosen("old\u{7}password".into()).unwrap_err();
        assert_eq!(refused.code, "invalid_character");
    }

    #[test]
    fn passwords_are_long_enough_and_never_shown() {
        assert_eq!(Password::chosen("1234567".into()).unwrap_err().code, "too_short");
        assert_eq!(Password::given("x".repeat(1_025)).unwrap_err().code, "too_long");
        assert_eq!(
            format!("{:?}", Password::chosen("correct horse".into()).unwrap()),
            "Password(hidden)"
        );
    }
}
