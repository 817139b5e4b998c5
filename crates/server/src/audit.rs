//! `mosaic audit`: what happened to accounts.

use std::collections::BTreeMap;

use mosaic_application::AppError;
use mosaic_domain::account::Username;
use mosaic_domain::activity::{Activity, ActivityKind, ActivityQuery, Doer, Note, SERVER};
use mosaic_domain::query::PageNumber;
use mosaic_domain::{ClientId, DiaryDate, TimeZone, UnixMillis, UserId};
use mosaic_ports::StoreError;

use crate::screen::{Screen, Shown, Unseen};
use crate::tasks::Workbench;
use crate::wiring;
use crate::words::counted;

/// How many lines are shown at once.
const LINES_AT_ONCE: usize = 500;

/// Why nobody is told what happened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    /// There is no such account.
    #[error("there is no user {0}")]
    NoSuchUser(Username),
    /// Nobody looks any more.
    #[error(transparent)]
    Unseen(#[from] Unseen),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The same.
    #[error(transparent)]
    App(#[from] AppError),
}

/// Which events are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Of this kind alone.
    pub(crate) kind: Option<ActivityKind>,
    /// Of this day and later.
    pub(crate) since: Option<DiaryDate>,
    /// So many.
    pub(crate) limit: u32,
}

/// Shows what happened to one account, or to all of them and the server, the newest last.
///
/// # Errors
/// [`AuditError`].
pub(crate) async fn run(
    work: &Workbench,
    username: Option<&Username>,
    wanted: Wanted,
    screen: &Screen,
) -> Result<(), AuditError> {
    let (ports, zone) = (&work.store.ports, &work.config.server.time_zone);
    let all = ports.accounts.list(PageNumber::EVERYTHING).await?;
    let names: BTreeMap<UserId, Username> = all
        .items
        .into_iter()
        .map(|user| (user.id, user.username))
        .collect();
    let users: Vec<UserId> = match username {
        Some(name) => {
            let account = ports.accounts.by_name(name).await?;
            vec![
                account
                    .ok_or_else(|| AuditError::NoSuchUser(name.clone()))?
                    .user
                    .id,
            ]
        }
        None => names.keys().copied().chain([SERVER]).collect(),
    };
    let query = ActivityQuery {
        kind: wanted.kind,
        since: wanted.since.map_or(UnixMillis::ZERO, |date| zone.day(date).begin),
        ..ActivityQuery::newest(wanted.limit)
    };
    let mut gauge = screen.gauge("reading", users.len() as u64);
    let mut read = 0;
    let tell = || {
        read += 1;
        gauge.at(read, counted(read, "account"));
    };
    let trail = wiring::trail(ports);
    let mut events = trail.newest_of(&users, query, tell).await?;
    events.reverse();
    let mut lines = vec![line([
        "TIME", "KIND", "ACCOUNT", "BY", "FROM", "DEVICE", "DETAIL", "PROGRAM",
    ])];
    lines.extend(events.iter().map(|event| row(event, &names, zone)));
    for lines in lines.chunks(LINES_AT_ONCE) {
        screen.show(Shown::Text(lines.concat())).await?;
    }
    Ok(())
}

/// An event, as a line of the table.
fn row(event: &Activity, names: &BTreeMap<UserId, Username>, zone: &TimeZone) -> String {
    let shown = |user: UserId| match names.get(&user) {
        Some(name) => name.to_string(),
        None if user == SERVER => "-".to_owned(),
        None => user.to_string(),
    };
    let by = match event.by {
        Doer::User(user) if user == event.user => "itself".to_owned(),
        Doer::User(user) => shown(user),
        other => other.name().replace('_', " "),
    };
    let address = event.origin.address.map(|address| address.to_string());
    let text = |note: Option<&Note>| note.map_or("-", Note::as_str).to_owned();
    line([
        &zone.show(event.at),
        event.kind.name(),
        &shown(event.user),
        &by,
        address.as_deref().unwrap_or("-"),
        event.origin.client.as_ref().map_or("-", ClientId::as_str),
        &text(event.detail.as_ref()),
        &text(event.origin.agent.as_ref()),
    ])
}

fn line(columns: [&str; 8]) -> String {
    let [time, kind, account, by, from, device, detail, program] = columns;
    let line = format!(
        "{time:25}  {kind:16}  {account:16}  {by:12}  {from:15}  {device:16}  {detail:16}  {program}"
    );
    line.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use mosaic_domain::ActivityId;
    use mosaic_domain::activity::Origin;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_line_says_who_did_it_and_from_where() {
        let id = |n| UserId::new(Uuid::from_u128(n));
        let names = BTreeMap::from([(id(1), "anna".parse().unwrap()), (id(2), "boss".parse().unwrap())]);
        let event = |user, by| Activity {
            id: ActivityId::new(Uuid::from_u128(9)),
            user,
            kind: ActivityKind::RoleChanged,
            at: UnixMillis::clamped(1_795_750_200_999),
            by,
            origin: Origin {
                address: Some("2001:db8::7".parse().unwrap()),
                client: Some("anna-phone".parse().unwrap()),
                agent: Note::of("Mosaic/1.0 (phone)"),
            },
            detail: Note::of("admin"),
        };
        let words = |event: Activity| {
            let line = row(&event, &names, &TimeZone::UTC);
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let rest = "2001:db8::7 anna-phone admin Mosaic/1.0 (phone)";
        for (user, by, said) in [
            (id(1), Doer::User(id(1)), "anna itself"),
            (id(1), Doer::User(id(2)), "anna boss"),
            (
                id(1),
                Doer::User(id(3)),
                "anna 00000000-0000-0000-0000-000000000003",
            ),
            (SERVER, Doer::CommandLine, "- command line"),
        ] {
            let expected = format!("2026-11-27T03:30:00+00:00 role_changed {said} {rest}");
            assert_eq!(words(event(user, by)), expected);
        }
    }
}
