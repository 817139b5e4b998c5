//! Accounts: who may use the server.

use std::fmt;
use std::str::FromStr;

use crate::id::UserId;
use crate::text::{PictureAddress, check_label};
use crate::time::UnixMillis;
use crate::violation::Violation;

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
    /// When the account was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
}

impl User {
    /// Whether a change into `new` takes an administrator from the server: there must be another one.
    pub fn steps_down_as(&self, new: &Self) -> bool {
        self.administers() && !new.administers()
    }

    /// Whether the user manages accounts now.
    pub fn administers(&self) -> bool {
        self.role == Role::Admin && !self.disabled
    }
}

/// The name to log in with: 1 to 64 characters without white space or control characters. Unique whatever its letter
/// case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// The most characters a name may have.
    pub const MAX_CHARS: usize = 64;

    /// The name as the user writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which names are compared: two users can't differ in letter case alone.
    pub fn folded(&self) -> String {
        crate::search::normalise(&self.0)
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

/// A password in the clear, on its way to the hash. Never shown.
#[derive(Clone)]
pub struct Password(String);

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
        Ok(Self(text))
    }

    /// A password that is being set.
    ///
    /// # Errors
    /// `too_short`, `nul` or `too_long`.
    pub fn chosen(text: String) -> Result<Self, Violation> {
        if text.chars().count() < Self::MIN_CHARS {
            return Err(Violation::new("too_short", "must be at least 8 characters"));
        }
        if text.contains('\0') {
            return Err(Violation::new("nul", "must not contain the character U+0000"));
        }
        Self::given(text)
    }

    /// The password in the clear.
    pub fn expose(&self) -> &str {
        &self.0
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
            created_at: UnixMillis::clamped(1),
            updated_at: UnixMillis::clamped(1),
        };
        let admin = user(Role::Admin, false);
        assert!(admin.steps_down_as(&user(Role::User, false)));
        assert!(admin.steps_down_as(&user(Role::Admin, true)));
        assert!(!admin.steps_down_as(&admin));
        assert!(!user(Role::Admin, true).steps_down_as(&user(Role::User, true)));
        assert!(!user(Role::User, false).steps_down_as(&user(Role::User, true)));
    }

    #[test]
    fn user_names_have_no_white_space_and_fold_their_case() {
        assert_eq!("Änna".parse::<Username>().unwrap().folded(), "änna");
        assert_eq!("a b".parse::<Username>().unwrap_err().code, "white_space");
        assert_eq!("".parse::<Username>().unwrap_err().code, "empty");
        assert_eq!("a\0".parse::<Username>().unwrap_err().code, "nul");
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
