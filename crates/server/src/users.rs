//! `mosaic user ...`: accounts, on the store itself.

use std::fmt::Write;
use std::io::{self, BufRead};

use mosaic_application::AppError;
use mosaic_application::accounts::{AccountPatch, AccountRequest};
use mosaic_domain::Violation;
use mosaic_domain::account::{Password, Role, User, Username};
use mosaic_domain::query::{Listing, PageNumber};

use crate::cli::UserCommand;
use crate::config::Config;
use crate::confirm::{ConfirmError, confirm};
use crate::progress::Meter;
use crate::wiring::{Migrations, Services, WiringError};

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
    /// Standard input can't be read.
    #[error("can not read the password from standard input: {0}")]
    Input(io::Error),
}

/// Does what was asked; returns what to print.
pub(crate) async fn run(config: &Config, command: UserCommand) -> Result<String, UserError> {
    // Read before the store is opened, which keeps others out of it: nobody should wait for a person at a keyboard.
    let given = match &command {
        UserCommand::Add {
            password_stdin: true, ..
        }
        | UserCommand::Passwd {
            password_stdin: true, ..
        } => Some(read_password()?),
        UserCommand::Delete { username, yes } => {
            let question = format!("The account {username} and everything in it goes, for good.");
            confirm(&question, username.as_str(), *yes)?;
            None
        }
        _ => None,
    };
    let services = Services::open(config, Migrations::Apply).await?;
    let done = execute(&services, command, given).await;
    services.close().await;
    done
}

async fn execute(
    services: &Services,
    command: UserCommand,
    given: Option<Password>,
) -> Result<String, UserError> {
    match command {
        UserCommand::Add { username, admin, .. } => add(services, username, admin, given).await,
        UserCommand::Passwd { username, .. } => set_password(services, &username, given).await,
        UserCommand::Disable { username } => {
            let patch = AccountPatch {
                disabled: Some(true),
                ..AccountPatch::default()
            };
            let user = change(services, &username, patch).await?;
            Ok(said(&user, "is closed; its logins are ended", None))
        }
        UserCommand::Delete { username, .. } => delete(services, &username).await,
        UserCommand::List => list(services).await,
    }
}

/// The password that was given, or a random one with its text.
fn or_generated(
    services: &Services,
    given: Option<Password>,
) -> Result<(Password, Option<String>), UserError> {
    if let Some(password) = given {
        return Ok((password, None));
    }
    let (password, text) = services
        .state
        .accounts
        .generate_password()
        .map_err(UserError::Refused)?;
    Ok((password, Some(text)))
}

async fn set_password(
    services: &Services,
    username: &Username,
    given: Option<Password>,
) -> Result<String, UserError> {
    let (password, generated) = or_generated(services, given)?;
    let patch = AccountPatch {
        password: Some(password),
        must_change_password: Some(generated.is_some()),
        ..AccountPatch::default()
    };
    let user = change(services, username, patch).await?;
    Ok(said(
        &user,
        "has a new password; its logins are ended",
        generated.as_deref(),
    ))
}

async fn add(
    services: &Services,
    username: Username,
    admin: bool,
    given: Option<Password>,
) -> Result<String, UserError> {
    let (password, generated) = or_generated(services, given)?;
    let request = AccountRequest {
        username,
        password,
        role: if admin { Role::Admin } else { Role::User },
        must_change_password: generated.is_some(),
    };
    let user = services
        .state
        .accounts
        .create(request, None)
        .await
        .map_err(UserError::Refused)?;
    Ok(said(&user, "is created", generated.as_deref()))
}

async fn change(services: &Services, username: &Username, patch: AccountPatch) -> Result<User, UserError> {
    let missing = |error| match error {
        AppError::NotFound => UserError::NoSuchUser(username.clone()),
        other => UserError::Refused(other),
    };
    let user = services.state.accounts.by_name(username).await.map_err(missing)?;
    services
        .state
        .accounts
        .update(user.id, patch, None)
        .await
        .map_err(missing)
}

async fn delete(services: &Services, username: &Username) -> Result<String, UserError> {
    let accounts = &services.state.accounts;
    let refused = |error| match error {
        AppError::NotFound => UserError::NoSuchUser(username.clone()),
        AppError::LastAdmin => UserError::LastAdmin(username.clone()),
        other => UserError::Refused(other),
    };
    let user = accounts.by_name(username).await.map_err(refused)?;
    let mut meter = Meter::open_ended("removing");
    let mut steps = 0;
    let tell = || {
        steps += 1;
        meter.at(steps, format!("{steps} steps"));
    };
    accounts.remove(user.id, None, tell).await.map_err(refused)?;
    meter.at(steps, "the files of attachments");
    services.forget(user.id);
    // The account is gone already: what fails now is no reason to say that it is not.
    match services.garbage().remove_account(user.id).await {
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

async fn list(services: &Services) -> Result<String, UserError> {
    let listed = services.state.accounts.list(PageNumber::EVERYTHING).await;
    let Listing { items, .. } = listed.map_err(UserError::Refused)?;
    let mut table = format!("{:36}  {:5}  {:8}  USERNAME\n", "ID", "ROLE", "STATE");
    for user in items {
        let state = if user.disabled { "disabled" } else { "open" };
        // Writing to a string can't fail.
        let _ = writeln!(
            table,
            "{:36}  {:5}  {state:8}  {}",
            user.id.to_string(),
            user.role.name(),
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

fn read_password() -> Result<Password, UserError> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(UserError::Input)?;
    let text = line.trim_end_matches(['\r', '\n']).to_owned();
    Password::chosen(text).map_err(UserError::Password)
}
