//! `mosaic user invite`, `invites` and `uninvite`.

use std::collections::BTreeMap;
use std::fmt::Write;

use mosaic_adapter_system::SystemClock;
use mosaic_application::AppError;
use mosaic_application::accounts::{Accounts, InviteRequest, NewInvite};
use mosaic_domain::account::Username;
use mosaic_domain::invite::{FoundInvite, InviteEnd};
use mosaic_domain::query::PageNumber;
use mosaic_domain::{InviteId, UserId};
use mosaic_ports::Clock as _;

use super::UserError;
use crate::config::{Endpoint, HttpConfig};
use crate::tasks::Workbench;

/// Makes an invite; returns its link.
pub(super) async fn make(
    work: &Workbench,
    accounts: &Accounts,
    request: InviteRequest,
    url: Option<&Endpoint>,
) -> Result<String, UserError> {
    let made = accounts.invite(request, None).await;
    let made = made.map_err(UserError::Refused)?;
    let NewInvite { invite, .. } = &made;
    let zone = &work.config.server.time_zone;
    let mut said = format!(
        "Whoever opens this link until {} chooses a name and a password, once. It is shown only now:\n",
        zone.show(invite.invite.expires_at)
    );
    if let Some(url) = url.or(work.config.http.public_url.as_ref()) {
        said += &url.join(&made.address());
    } else {
        // Writing to a string can't fail.
        let _ = write!(
            said,
            "{}\n\nNeither --url nor {} says where people reach this server: put that before it, like \
             https://sync.example.org",
            made.address(),
            HttpConfig::public_url.key
        );
    }
    said.push('\n');
    Ok(said)
}

/// The invites, as a table.
pub(super) async fn list(work: &Workbench, accounts: &Accounts) -> Result<String, UserError> {
    let users = accounts.list(PageNumber::EVERYTHING).await;
    let names: BTreeMap<UserId, Username> = users
        .map_err(UserError::Refused)?
        .items
        .into_iter()
        .map(|user| (user.id, user.username))
        .collect();
    let listed = accounts.invites(PageNumber::EVERYTHING).await;
    let mut table = line(["ID", "STATE", "ROLE", "QUOTA", "EXPIRES", "MADE BY", "ACCOUNT"]);
    for found in listed.map_err(UserError::Refused)?.items {
        table += &row(work, &found, &names);
    }
    Ok(table)
}

fn row(work: &Workbench, found: &FoundInvite, names: &BTreeMap<UserId, Username>) -> String {
    let FoundInvite { invite, .. } = found;
    let shown = |user: UserId| {
        names
            .get(&user)
            .map_or_else(|| user.to_string(), ToString::to_string)
    };
    let made_by = invite.made_by.map_or_else(|| "command line".to_owned(), shown);
    let account = match invite.end {
        Some(InviteEnd::Used { by, .. }) => shown(by),
        _ => "-".to_owned(),
    };
    line([
        &invite.id.to_string(),
        found.state(SystemClock.now()),
        invite.role.name(),
        &invite.quota.to_string(),
        &work.config.server.time_zone.show(invite.expires_at),
        &made_by,
        &account,
    ])
}

fn line(columns: [&str; 7]) -> String {
    let [id, state, role, quota, expires, made_by, account] = columns;
    format!("{id:36}  {state:7}  {role:5}  {quota:8}  {expires:25}  {made_by:16}  {account}\n")
}

/// Takes an invite back.
pub(super) async fn take_back(accounts: &Accounts, id: InviteId) -> Result<String, UserError> {
    accounts
        .revoke_invite(id, None)
        .await
        .map_err(|error| match error {
            AppError::NotFound => UserError::NoSuchInvite(id),
            other => UserError::Refused(other),
        })?;
    Ok(format!("The invite {id} is taken back.\n"))
}
