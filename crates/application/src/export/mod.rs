//! Everything of one user as lines of JSON, there and back.
//!
//! An export is a header, a line for each record (tombstones included), a line for each revision, and a last line with the
//! counts and a SHA-256 of everything before it: a file that was cut short is recognised.
//!
//! An import is a set of edits: each line that holds a version is judged by last-writer-wins like any other edit, with the
//! author and the edit time that it has (W2). So it can be repeated, overwrites nothing that is newer, and may go into an
//! account that is in use. Stamps, and the numbers of revisions, are those of the account that it goes into.

mod import;
mod lines;

use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::try_unfold;
use mosaic_domain::activity::{ActivityKind, Doer, Origin};
use mosaic_domain::{RecordKey, Stamp, UserId};
use mosaic_ports::{AccountStore, Clock, DumpReader, DumpedRecord, RevisionPlace, StoreIdentity};
use sha2::{Digest, Sha256};

use self::lines::{BATCH, End, FORMAT, FORMAT_VERSION, Header, Line, hex, record_line, revision_line};
use crate::activity::Trail;
use crate::error::{AppError, Unauthenticated};

pub use self::import::{Check, Import, ImportError, Imported, Manifest, Pass};

/// Writes exports.
#[derive(Clone)]
pub struct Export {
    accounts: Arc<dyn AccountStore>,
    dump: Arc<dyn DumpReader>,
    identity: Arc<dyn StoreIdentity>,
    clock: Arc<dyn Clock>,
    trail: Trail,
}

/// How an export goes on.
enum Next {
    Header,
    Records(Stamp),
    Revisions(Option<RevisionPlace>),
    Done,
}

struct Writing {
    export: Export,
    user: UserId,
    by: Doer,
    next: Next,
    hash: Sha256,
    records: u64,
    revisions: u64,
    skipped: u64,
}

impl Export {
    /// An export over these ports.
    pub fn new(
        accounts: Arc<dyn AccountStore>,
        dump: Arc<dyn DumpReader>,
        identity: Arc<dyn StoreIdentity>,
        clock: Arc<dyn Clock>,
        trail: Trail,
    ) -> Self {
        Self {
            accounts,
            dump,
            identity,
            clock,
            trail,
        }
    }

    /// The same, for what is asked for from there.
    #[must_use]
    pub fn asked_from(&self, origin: Origin) -> Self {
        Self {
            trail: self.trail.asked_from(origin),
            ..self.clone()
        }
    }

    /// Everything of a user, in chunks of whole lines, for whoever asks, which is noted before the first of them. Others may write meanwhile: a record that changes after it was
    /// written comes again, as it is then, and nothing is left out.
    ///
    /// # Errors
    /// [`AppError::NotFound`] where there is no such user; a store's error. The export is cut short then, and has no last
    /// line.
    pub fn run(&self, user: UserId, by: Doer) -> impl Stream<Item = Result<String, AppError>> + Send + use<> {
        let writing = Writing {
            export: self.clone(),
            user,
            by,
            next: Next::Header,
            hash: Sha256::new(),
            records: 0,
            revisions: 0,
            skipped: 0,
        };
        try_unfold(writing, Writing::chunk)
    }
}

impl Writing {
    async fn chunk(mut self) -> Result<Option<(String, Self)>, AppError> {
        let mut text = String::new();
        while text.is_empty() {
            match std::mem::replace(&mut self.next, Next::Done) {
                Next::Header => {
                    let header = self.header().await?;
                    let (trail, kind) = (&self.export.trail, ActivityKind::Exported);
                    trail.note(self.user, kind, self.by, None).await;
                    self.push(&mut text, &Line::Header(header))?;
                    self.next = Next::Records(Stamp::ZERO);
                }
                Next::Records(after) => {
                    let records = self.export.dump.dump_records(self.user, after, BATCH).await?;
                    self.next = match records.last() {
                        Some(last) => Next::Records(last.record.stamp),
                        None => Next::Revisions(None),
                    };
                    for DumpedRecord { record, .. } in &records {
                        if record.is_unreadable() {
                            self.skip(record.key, None);
                            continue;
                        }
                        self.records += 1;
                        self.push(&mut text, &Line::Record(record_line(record)?))?;
                    }
                }
                Next::Revisions(after) => {
                    let revisions = self.export.dump.dump_revisions(self.user, after, BATCH).await?;
                    for kept in &revisions {
                        if kept.revision.content.is_unreadable() {
                            self.skip(kept.revision.key, Some(kept.number));
                            continue;
                        }
                        self.revisions += 1;
                        self.push(&mut text, &Line::Revision(revision_line(kept)?))?;
                    }
                    if let Some(last) = revisions.last() {
                        self.next = Next::Revisions(Some(RevisionPlace::of(last)));
                    } else {
                        self.still_there().await?;
                        let end = End {
                            records: self.records,
                            revisions: self.revisions,
                            skipped: self.skipped,
                            sha256: hex(self.hash.clone()),
                        };
                        self.push(&mut text, &Line::End(end))?;
                    }
                }
                Next::Done => return Ok(None),
            }
        }
        Ok(Some((text, self)))
    }

    /// Leaves out what can't be read, and says so.
    fn skip(&mut self, key: RecordKey, revision: Option<u32>) {
        let (user, entity) = (self.user, key.entity_type());
        tracing::warn!(%user, %entity, %key, revision, "it can not be read, and is not in the export");
        self.skipped += 1;
    }

    /// An account that is being removed while it is read must not look as if this were all that it had.
    async fn still_there(&self) -> Result<(), AppError> {
        let there = self.export.dump.dump_user(self.user).await?;
        there.map(drop).ok_or_else(|| Unauthenticated::LoginEnded.into())
    }

    async fn header(&self) -> Result<Header, AppError> {
        let account = self.export.accounts.by_id(self.user).await?;
        let user = account.ok_or(AppError::NotFound)?.user;
        Ok(Header {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            username: user.username.as_str().to_owned(),
            avatar_url: user.avatar_url.map(String::from),
            epoch: self.export.identity.epoch().await?.to_string(),
            exported_at: self.export.clock.now().get(),
        })
    }

    fn push(&mut self, text: &mut String, line: &Line) -> Result<(), AppError> {
        let line = serde_json::to_string(line).map_err(|error| AppError::Internal(error.into()))?;
        for part in [line.as_str(), "\n"] {
            self.hash.update(part.as_bytes());
            text.push_str(part);
        }
        Ok(())
    }
}

/// How much an export left out because it can't be read; its last chunk says so.
pub fn skipped(chunk: &str) -> u64 {
    let last = chunk.lines().last().filter(|line| line.starts_with(r#"{"end":"#));
    match last.map(serde_json::from_str) {
        Some(Ok(Line::End(end))) => end.skipped,
        _ => 0,
    }
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Export")
    }
}
