//! Files: resources, as the protocol calls them.

use std::io::Write;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use mosaic_client::domain::entity::{Memo, Resource};
use mosaic_client::{Client, Record};

use crate::Failure;
use crate::notes::{end_of, find};
use crate::syncing::style;

pub(crate) fn attach(
    client: &Client,
    file: &Path,
    to: Option<&str>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let memo: Option<Record<Memo>> = to.map(|id| find(client, id)).transpose()?;
    let id = client.attach(file, memo.map(|memo| memo.key))?;
    Ok(writeln!(out, "{}", end_of(id))?)
}

pub(crate) async fn get(
    client: &Client,
    id: &str,
    to: Option<PathBuf>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let file: Record<Resource> = find(client, id)?;
    let to = to.unwrap_or_else(|| file.content.filename.as_str().into());
    if to.symlink_metadata().is_ok() {
        return Err(Failure::Exists(to));
    }
    let bar = ProgressBar::no_length().with_style(style("{bar:30} {percent:>3}%"));
    let done = client.download(file.key, &to, |count, of| {
        bar.set_length(of);
        bar.set_position(count);
    });
    let done = done.await;
    bar.finish_and_clear();
    done?;
    Ok(writeln!(out, "{}", to.display())?)
}
