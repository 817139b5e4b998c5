//! Whether a login may go on: what is asked before anything of an account is decided (L1, L3).

use crate::id::FamilyId;

/// Why a login may not do what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefusal {
    /// It has ended, or its account is closed or gone.
    #[error("the login has ended")]
    Ended,
    /// The password was set by somebody else, and must be changed first.
    #[error("the password must be changed first")]
    PasswordChangeRequired,
}

/// The account of a login, as far as it decides whether the login may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginAccount {
    /// Whether it is closed.
    pub disabled: bool,
    /// Whether the password must be changed first.
    pub must_change_password: bool,
}

impl LoginRefusal {
    /// Whether a login may go on, from the account that is found by it: `None` where there is no such login. The
    /// server itself (no login) always may.
    ///
    /// # Errors
    /// The refusal.
    pub fn check(login: Option<FamilyId>, found: Option<LoginAccount>) -> Result<(), Self> {
        match found.filter(|account| !account.disabled) {
            _ if login.is_none() => Ok(()),
            Some(account) if account.must_change_password => Err(Self::PasswordChangeRequired),
            Some(_) => Ok(()),
            None => Err(Self::Ended),
        }
    }

    /// What is said of a user who is not there, or is being removed: every login of theirs has ended.
    pub const fn of_unknown_user() -> Self {
        Self::Ended
    }
}
