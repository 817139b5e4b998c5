//! `mosaic user ...`: accounts.

mod invites;

use std::fmt::Write;
use std::io::{self, BufRead, IsTerminal};

use console::Term;
use mosaic_application::AppError;
use mosaic_application::accounts::{AccountPatch, AccountRequest, Accounts, InviteRequest};
use mosaic_application::garbage::GarbageCollector;
use mosaic_domain::account::{Password, Role, User, Username};
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_domain::{InviteId, Violation};

use crate::cli::UserCommand;
use crate::confirm::{ConfirmError, confirm};
use crate::screen::Screen;
use crate::tasks::Workbench;
use crate::wiring::{self, Opening, WiringError};
use crate::words::counted;

/// Why a command on accounts did nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    /// The parts could not be put together.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// There is no such account.
    #[error("there is no user {0}")]
    NoSuchUser(Username),
    /// The account can't be made or changed so.
    #[error(transparent)]
    Refused(AppError),
    /// No administrator would be left.
    #[error("{0} is the last administrator, and stays")]
    LastAdmin(Username),
    /// Nobody said that it should be done.
    #[error(transparent)]
    Unconfirmed(#[from] ConfirmError),
    /// The password on standard input can't be used.
    #[error("the password {}", .0.message)]
    Password(Violation),
    /// There is no such invite.
    #[error("there is no invite {0}")]
    NoSuchInvite(InviteId),
    /// Standard input can't be read.
    #[error("can not read the password from standard input: {0}")]
    Input(io::Error),
}

/// Asks a person for what the command still needs: a password, or that it is meant.
pub(crate) fn ask(command: &UserCommand) -> Result<Option<Password>, UserError> {
    match command {
        UserCommand::Add {
            password_stdin: true, ..
        }
        | UserCommand::Passwd {
            password_stdin: true, ..
        } => Ok(Some(read_password()?)),
        UserCommand::Delete { username, yes } => {
            let question = format!("The account {username} and everything in it goes, for good.");
            confirm(&question, username.as_str(), *yes)?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// Whether a command could be carried out now.
pub(crate) async fn check(work: &Workbench, command: &UserCommand) -> Result<(), UserError> {
    let accounts = wiring::accounts(&work.config, &work.store.ports)?;
    match command {
        UserCommand::Add { username, .. } => match accounts.by_name(username).await {
            Ok(_) => Err(UserError::Refused(AppError::NameTaken)),
            Err(AppError::NotFound) => Ok(()),
            Err(error) => Err(UserError::Refused(error)),
        },
        UserCommand::Delete { username, .. } => {
            let user = accounts.by_name(username).await.map_err(refused(username))?;
            let all = accounts
                .list(PageNumber::EVERYTHING)
                .await
                .map_err(refused(username))?;
            let is_other_admin = |other: &User| other.administers() && other.id != user.id;
            if user.administers() && !all.items.iter().any(is_other_admin) {
                return Err(UserError::LastAdmin(username.clone()));
            }
            Ok(())
        }
        UserCommand::Passwd { username, .. }
        | UserCommand::Disable { username }
        | UserCommand::Enable { username }
        | UserCommand::Set { username, .. } => accounts
            .by_name(username)
            .await
            .map_err(refused(username))
            .map(drop),
        UserCommand::List
        | UserCommand::Invite { .. }
        | UserCommand::Invites
        | UserCommand::Uninvite { .. } => Ok(()),
    }
}

/// For `map_err`: why nothing is done with the account of that name.
fn refused(username: &Username) -> impl Fn(AppError) -> UserError {
    move |error| match error {
        AppError::NotFound => UserError::NoSuchUser(username.clone()),
        AppError::LastAdmin => UserError::LastAdmin(username.clone()),
        other => UserError::Refused(other),
    }
}

/// Does what was asked, with the password that was given; returns what to print.
pub(crate) async fn execute(
    work: &Workbench,
    command: &UserCommand,
    given: Option<Password>,
    screen: &Screen,
) -> Result<String, UserError> {
    let ports = &work.store.ports;
    let accounts = &wiring::accounts(&work.config, ports)?;
    match command {
        UserCommand::Add { username, admin, .. } => add(accounts, username.clone(), *admin, given).await,
        UserCommand::Passwd { username, .. } => set_password(accounts, username, given).await,
        UserCommand::Disable { username } => {
            set_disabled(accounts, username, true, "is closed; its logins are ended").await
        }
        UserCommand::Enable { username } => set_disabled(accounts, username, false, "is open").await,
        UserCommand::Set { username, quota } => {
            let patch = AccountPatch {
                quota: Some(*quota),
                ..AccountPatch::default()
            };
            let user = change(accounts, username, patch).await?;
            Ok(said(&user, &format!("has the quota {quota}"), None))
        }
        UserCommand::Delete { username, .. } => {
            let storage = work.storage(Opening::Existing).await;
            let storage = storage.map_err(WiringError::from)?;
            delete(accounts, &storage.garbage(ports), username, screen).await
        }
        UserCommand::List => list(accounts).await,
        UserCommand::Invite {
            role,
            quota,
            expires,
            url,
        } => {
            let request = InviteRequest {
                role: *role,
                quota: *quota,
                lifetime: *expires,
            };
            invites::make(work, accounts, request, url.as_ref()).await
        }
        UserCommand::Invites => invites::list(work, accounts).await,
        UserCommand::Uninvite { id } => invites::take_back(accounts, *id).await,
    }
}

async fn set_disabled(
    accounts: &Accounts,
    username: &Username,
    disabled: bool,
    what: &str,
) -> Result<String, UserError> {
    let patch = AccountPatch {
        disabled: Some(disabled),
        ..AccountPatch::default()
    };
    Ok(said(&change(accounts, username, patch).await?, what, None))
}

/// The password that was given, or a random one with its text.
fn or_generated(
    accounts: &Accounts,
    given: Option<Password>,
) -> Result<(Password, Option<String>), UserError> {
    if let Some(password) = given {
        return Ok((password, None));
    }
    let (password, text) = accounts.generate_password().map_err(UserError::Refused)?;
    Ok((password, Some(text)))
}

async fn set_password(
    accounts: &Accounts,
    username: &Username,
    given: Option<Password>,
) -> Result<String, UserError> {
    let (password, generated) = or_generated(accounts, given)?;
    let patch = AccountPatch {
        password: Some(password),
        must_change_password: Some(generated.is_some()),
        ..AccountPatch::default()
    };
    let user = change(accounts, username, patch).await?;
    Ok(said(
        &user,
        "has a new password; its logins are ended",
        generated.as_deref(),
    ))
}

async fn add(
    accounts: &Accounts,
    username: Username,
    admin: bool,
    given: Option<Password>,
) -> Result<String, UserError> {
    let (password, generated) = or_generated(accounts, given)?;
    let request = AccountRequest {
        username,
        password,
        role: if admin { Role::Admin } else { Role::User },
        must_change_password: generated.is_some(),
    };
    let user = accounts.create(request, None).await.map_err(UserError::Refused)?;
    Ok(said(&user, "is created", generated.as_deref()))
}

async fn change(accounts: &Accounts, username: &Username, patch: AccountPatch) -> Result<User, UserError> {
    let user = accounts.by_name(username).await.map_err(refused(username))?;
    let updated = accounts.update(user.id, patch, None).await;
    updated.map_err(refused(username))
}

async fn delete(
    accounts: &Accounts,
    garbage: &GarbageCollector,
    username: &Username,
    screen: &Screen,
) -> Result<String, UserError> {
    let user = accounts.by_name(username).await.map_err(refused(username))?;
    let mut gauge = screen.gauge("removing", 0);
    let mut steps = 0;
    let tell = || {
        steps += 1;
        gauge.at(steps, counted(steps, "step"));
    };
    let removed = accounts.remove(user.id, None, tell).await;
    removed.map_err(refused(username))?;
    gauge.at(steps, "the files of attachments");
    // The account is gone already: what fails now is no reason to say that it is not.
    match garbage.remove_account(user.id).await {
        Ok(_) => Ok(said(&user, "is removed, with everything in it", None)),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "files of attachments are still there, and go with the next purge"
            );
            Ok(said(
                &user,
                "is removed. The next purge removes the files of its attachments",
                None,
            ))
        }
    }
}

async fn list(accounts: &Accounts) -> Result<String, UserError> {
    let listed = accounts.list(PageNumber::EVERYTHING).await;
    let Listing { items, .. } = listed.map_err(UserError::Refused)?;
    let mut table = format!(
        "{:36}  {:5}  {:8}  {:8}  USERNAME\n",
        "ID", "ROLE", "STATE", "QUOTA"
    );
    for user in items {
        let state = if user.disabled { "disabled" } else { "open" };
        // Writing to a string can't fail.
        let _ = writeln!(
            table,
            "{:36}  {:5}  {state:8}  {:8}  {}",
            user.id.to_string(),
            user.role.name(),
            user.quota.to_string(),
            user.username
        );
    }
    Ok(table)
}

fn said(user: &User, what: &str, generated: Option<&str>) -> String {
    match generated {
        Some(password) => format!(
            "{} {what}. Its password, which has to be changed:\n{password}\n",
            user.username
        ),
        None => format!("{} {what}.\n", user.username),
    }
}

fn ask_unseen(terminal: &Term) -> io::Result<String> {
    if !terminal.is_term() {
        return Err(io::Error::other("standard error is no terminal to ask at"));
    }
    terminal.write_str("Password: ")?;
    terminal.read_secure_line()
}

/// The first line of standard input; typed unseen where that is a terminal.
fn read_password() -> Result<Password, UserError> {
    let line = if io::stdin().is_terminal() {
        ask_unseen(&Term::stderr())
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    };
    let line = line.map_err(UserError::Input)?;
    let text = line.trim_end_matches(['\r', '\n']).to_owned();
    Password::chosen(text).map_err(UserError::Password)
}
