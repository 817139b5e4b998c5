//! The login, and sync with its bar.

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::time::Duration;

use console::Term;
use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use mosaic_client::domain::EntityType;
use mosaic_client::{Client, Error, Login, Progress, Rejection};

use crate::{Failure, Variables, standard_input};

/// How long what is written here waits while nothing comes from elsewhere.
const WATCHES_EVERY: Duration = Duration::from_mins(1);

pub(crate) async fn log_in(
    client: &Client,
    server: &str,
    username: &str,
    device_name: Option<&str>,
    variables: Variables<'_>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let password = password("MOSAIC_PASSWORD", "Password: ", variables)?;
    let login = Login {
        server,
        username,
        password: &password,
        device_name,
    };
    let logged_in = client.login(login).await?;
    writeln!(out, "logged in as {}", logged_in.username)?;
    if logged_in.must_change_password {
        writeln!(out, "somebody else chose this password: mosaic-cli password")?;
    }
    Ok(())
}

pub(crate) async fn change_password(
    client: &Client,
    variables: Variables<'_>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let old = password("MOSAIC_PASSWORD", "Old password: ", variables)?;
    let new = password("MOSAIC_NEW_PASSWORD", "New password: ", variables)?;
    client.change_password(&old, &new).await?;
    Ok(writeln!(out, "changed; other machines log in again")?)
}

/// A password, from a variable, typed unseen, or from a line of standard input.
fn password(variable: &str, question: &str, variables: Variables<'_>) -> Result<String, Failure> {
    if let Some(password) = variables(variable).and_then(|password| password.into_string().ok()) {
        return Ok(password);
    }
    if io::stdin().is_terminal() {
        let terminal = Term::stderr();
        terminal.write_str(question)?;
        return Ok(terminal.read_secure_line()?);
    }
    let line = standard_input(|bytes, input| input.read_until(b'\n', bytes))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

pub(crate) async fn sync(client: &Client, out: &mut impl Write) -> Result<(), Failure> {
    let bar = bar(client).await?;
    let done = client.sync(|progress| show(&bar, progress)).await;
    bar.finish_and_clear();
    let done = done?;
    tell(&done, out)?;
    Ok(writeln!(
        out,
        "in sync: {} came, {} sent",
        done.pulled,
        done.pushed + done.uploaded
    )?)
}

/// Of a first sync it is known how much there is to come.
async fn bar(client: &Client) -> Result<ProgressBar, Failure> {
    let status = client.status()?;
    let bar = if status.has_synced {
        ProgressBar::no_length().with_style(style("{spinner} {msg}"))
    } else {
        let there = client.digest().await?.server;
        let total = there.iter().map(|(_, digest)| digest.count).sum::<u64>() + status.waiting;
        ProgressBar::new(total).with_style(style("{bar:30} {percent:>3}%, {msg}"))
    };
    Ok(bar)
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_position((progress.pulled + progress.pushed) as u64);
    bar.set_message(match progress.file {
        Some((sent, of)) => format!("{sent} of {of} bytes of a file"),
        None => format!("{} came, {} sent", progress.pulled, progress.pushed),
    });
}

pub(crate) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn tell(done: &Progress, out: &mut impl Write) -> Result<(), Failure> {
    if done.superseded > 0 {
        writeln!(
            out,
            "{} lost against newer edits, and are revisions now",
            done.superseded
        )?;
    }
    done.rejected
        .iter()
        .try_for_each(|rejection| refused(rejection, out))
}

fn refused(rejection: &Rejection, out: &mut impl Write) -> Result<(), Failure> {
    let (entity, key): (EntityType, _) = (rejection.key.entity_type(), rejection.key);
    Ok(writeln!(out, "refused: {entity} {key}: {}", rejection.problem)?)
}

/// Syncs at once, when the server nudges, and when something waits. A network that is away comes back.
pub(crate) async fn watch(client: &Client, out: &mut impl Write) -> Result<(), Failure> {
    let mut nudges = Box::pin(client.nudges());
    loop {
        match client.sync(|_| {}).await {
            Ok(done) if done != Progress::default() => {
                tell(&done, out)?;
                writeln!(out, "{} came, {} sent", done.pulled, done.pushed + done.uploaded)?;
                out.flush()?;
            }
            Ok(_) => {}
            Err(error @ Error::Later { .. }) => {
                writeln!(out, "{error}")?;
                out.flush()?;
                tokio::time::sleep(error.after().unwrap_or_default()).await;
            }
            Err(error) => return Err(error.into()),
        }
        if let Ok(Some(nudge)) = tokio::time::timeout(WATCHES_EVERY, nudges.next()).await {
            nudge?;
        }
    }
}

/// So many of a thing: `1 edit`, `2 edits`.
fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

pub(crate) fn status(client: &Client, out: &mut impl Write) -> Result<(), Failure> {
    let status = client.status()?;
    match (&status.server, &status.username) {
        (Some(server), Some(username)) if status.is_logged_in => writeln!(out, "{username} at {server}")?,
        (Some(server), Some(username)) => writeln!(out, "{username} at {server}, logged out")?,
        _ => writeln!(out, "never logged in")?,
    }
    writeln!(
        out,
        "{} and {} to send",
        counted(status.waiting, "edit"),
        counted(status.uploads.len() as u64, "file")
    )?;
    status
        .rejected
        .iter()
        .try_for_each(|rejection| refused(rejection, out))?;
    for upload in &status.uploads {
        if let Some(problem) = &upload.problem {
            writeln!(out, "refused: file {}: {problem}", upload.filename)?;
        }
    }
    Ok(())
}
