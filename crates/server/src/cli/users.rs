//! `mosaic user ...` on the command line.

use std::str::FromStr;

use clap::Subcommand;
use mosaic_domain::account::{Role, Username};
use mosaic_domain::invite::InviteLifetime;
use mosaic_domain::{InviteId, Quota};

use crate::config::Endpoint;

/// What can be done with accounts.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum UserCommand {
    /// Create an account
    ///
    /// Without --password-stdin it gets a random password, which is printed once and has to be changed.
    Add {
        /// The name to log in with: 1 to 64 characters, letters, digits and the signs of ASCII
        #[arg(value_parser = Username::chosen)]
        username: Username,
        /// May manage accounts
        #[arg(long)]
        admin: bool,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the accounts
    List,
    /// Set a new password, and end every login of the account
    ///
    /// Without --password-stdin it is a random one, which is printed once and has to be changed.
    Passwd {
        /// The name to log in with
        username: Username,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Close an account and end its logins; its data stays
    Disable {
        /// The name to log in with
        username: Username,
    },
    /// Open an account again that was closed
    Enable {
        /// The name to log in with
        username: Username,
    },
    /// Change what an account may store
    Set {
        /// The name to log in with
        username: Username,
        /// What its attachments may come to, and its records no more than that: a number of bytes like 50GiB, `default` (what
        /// attachments.user_quota_bytes says) or `none`
        #[arg(long, value_name = "SIZE", value_parser = Quota::from_str)]
        quota: Quota,
    },
    /// Make a link by which somebody makes one account, with a name and a password of their own
    ///
    /// The link is printed once and kept nowhere. It works until it is used, taken back or expired.
    Invite {
        /// What the account may do: user, or admin, who may manage accounts
        #[arg(long, value_name = "ROLE", default_value = "user", value_parser = Role::from_str)]
        role: Role,
        /// What its attachments may come to, and its records no more than that, as in `mosaic user set`
        #[arg(long, value_name = "SIZE", default_value = "default", value_parser = Quota::from_str)]
        quota: Quota,
        /// How long the link works: a number of days, hours or minutes, like 7d, 12h or 30m, up to 90d
        #[arg(long, value_name = "TIME", default_value = "7d", value_parser = InviteLifetime::from_str)]
        expires: InviteLifetime,
        /// Where people reach the server, like `https://sync.example.org` [default: http.public_url]
        #[arg(long, value_name = "URL", value_parser = Endpoint::of_argument)]
        url: Option<Endpoint>,
    },
    /// List the invites, the newest first
    Invites,
    /// Take an invite back, so that it makes no account
    Uninvite {
        /// Its id, as `mosaic user invites` shows it
        #[arg(value_parser = InviteId::from_str)]
        id: InviteId,
    },
    /// Remove an account and everything in it, for good
    ///
    /// What was interrupted goes on with the same command.
    Delete {
        /// The name to log in with
        username: Username,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl UserCommand {
    /// Whether somebody has to answer or to type something before it is carried out.
    pub fn asks(&self) -> bool {
        match self {
            Self::Add { password_stdin, .. } | Self::Passwd { password_stdin, .. } => *password_stdin,
            Self::Delete { yes, .. } => !yes,
            Self::List
            | Self::Disable { .. }
            | Self::Enable { .. }
            | Self::Set { .. }
            | Self::Invite { .. }
            | Self::Invites
            | Self::Uninvite { .. } => false,
        }
    }
}
