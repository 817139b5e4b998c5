//! The way back: a file is checked from its first to its last line, and its edits are judged like any others.

use std::sync::Arc;

use mosaic_domain::skew::Shift;
use mosaic_domain::write::{Action, Locked, Outcome, RecordEdit, WriteScope, decide};
use mosaic_domain::{EditTime, EntityType, RevisionReason, UnixMillis, UserId};
use mosaic_ports::{Decide, StoreError, WriteStore};
use sha2::{Digest, Sha256};

use super::lines::{BATCH, Document, End, FORMAT, FORMAT_VERSION, Line, RecordLine, RevisionLine, hex};

/// Why a file is not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file does not begin as an export does.
    #[error("this is no export of a Mosaic server: {0}")]
    Foreign(String),
    /// The file was written by a newer version.
    #[error("the export has version {0} of the format, and this server reads up to version {FORMAT_VERSION}")]
    Newer(u32),
    /// A line can't be read.
    #[error("line {line} can not be read: {why}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// Why.
        why: String,
    },
    /// A line has an edit time that no device could push: it would win for years (W6).
    #[error("line {line} has an edit time that is more than 5 minutes ahead of this machine's clock")]
    Ahead {
        /// Which, from 1.
        line: u64,
    },
    /// The file ends before its last line.
    #[error("the export was cut short: its last line is missing")]
    CutShort,
    /// The file is not as it was written.
    #[error("the export was changed or damaged since it was written: {0}")]
    Damaged(&'static str),
    /// The write was not carried out.
    #[error(transparent)]
    Write(#[from] mosaic_ports::WriteError),
}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> Self {
        Self::Write(error.into())
    }
}

/// Reads an export from its first to its last line, before anything of it is imported.
#[derive(Debug)]
pub struct Check {
    now: UnixMillis,
    line: u64,
    header: Option<Manifest>,
    hash: Sha256,
    records: u64,
    revisions: u64,
    end: Option<End>,
}

/// What an export is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Whose it is.
    pub username: String,
    /// When it was written.
    pub exported_at: UnixMillis,
    /// How many records it holds, tombstones included.
    pub records: u64,
    /// How many revisions.
    pub revisions: u64,
}

impl Check {
    /// The check of a file at this moment.
    pub fn at(now: UnixMillis) -> Self {
        Self {
            now,
            line: 0,
            header: None,
            hash: Sha256::new(),
            records: 0,
            revisions: 0,
            end: None,
        }
    }

    /// Reads the next line, without its line feed.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn line(&mut self, text: &str) -> Result<(), ImportError> {
        self.line += 1;
        if self.end.is_some() {
            return Err(ImportError::Damaged("there are lines after the last one"));
        }
        let parsed = parse(self.line, text);
        if self.header.is_none() {
            let header = match parsed {
                Ok(Line::Header(header)) if header.format == FORMAT => header,
                Ok(_) => return Err(ImportError::Foreign("its first line is no header".to_owned())),
                Err(error) => return Err(ImportError::Foreign(error.to_string())),
            };
            if header.version > FORMAT_VERSION {
                return Err(ImportError::Newer(header.version));
            }
            self.header = Some(Manifest {
                username: header.username,
                exported_at: UnixMillis::clamped(header.exported_at),
                records: 0,
                revisions: 0,
            });
        } else {
            match parsed? {
                Line::Header(_) => return Err(ImportError::Damaged("it has two headers")),
                Line::Record(line) => {
                    let edit = edit_of_record(self.line, line)?;
                    self.not_ahead(&edit)?;
                    self.records += 1;
                }
                Line::Revision(line) => {
                    let edit = edit_of_revision(self.line, &line)?;
                    self.not_ahead(&edit)?;
                    self.revisions += 1;
                }
                Line::End(end) => {
                    self.end = Some(end);
                    return Ok(());
                }
            }
        }
        self.hash.update(text.as_bytes());
        self.hash.update(b"\n");
        Ok(())
    }

    fn not_ahead(&self, edit: &RecordEdit) -> Result<(), ImportError> {
        let within = |time| Shift::default().apply(time, self.now).is_ok();
        if edit.time.is_none_or(within) {
            Ok(())
        } else {
            Err(ImportError::Ahead { line: self.line })
        }
    }

    /// The file ends here.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn finish(self) -> Result<Manifest, ImportError> {
        let Some(manifest) = self.header else {
            return Err(ImportError::Foreign("it is empty".to_owned()));
        };
        let end = self.end.ok_or(ImportError::CutShort)?;
        if (end.records, end.revisions) != (self.records, self.revisions) {
            return Err(ImportError::Damaged("lines are missing, or there are too many"));
        }
        if end.sha256 != hex(self.hash) {
            return Err(ImportError::Damaged("the SHA-256 in its last line is another"));
        }
        Ok(Manifest {
            records: self.records,
            revisions: self.revisions,
            ..manifest
        })
    }
}

fn parse(line: u64, text: &str) -> Result<Line, ImportError> {
    serde_json::from_str(text).map_err(bad(line))
}

fn bad<E: std::fmt::Display>(line: u64) -> impl Fn(E) -> ImportError {
    move |why| ImportError::Line {
        line,
        why: why.to_string(),
    }
}

/// One of the passes in which a file is imported, so that history comes about again as it was: parents first (W9), of each
/// type what was overwritten before what took its place, and deletes last, children before their memos, when nothing is
/// written any more that belongs to a memo that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    entity: EntityType,
    part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Replaced,
    Live,
    Superseded,
    Tombstones,
}

impl Pass {
    /// All passes, in their order. Each reads the whole file.
    pub fn all() -> impl Iterator<Item = Self> {
        let types = EntityType::ALL.into_iter();
        let of = |parts: &'static [Part]| {
            move |entity: EntityType| parts.iter().map(move |part| Self { entity, part: *part })
        };
        // A memo that is deleted before its resources would delete them with its own version (W9).
        let children_first = types.clone().rev().flat_map(of(&[Part::Tombstones]));
        types
            .clone()
            .flat_map(of(&[Part::Replaced, Part::Live]))
            .chain(types.flat_map(of(&[Part::Superseded])))
            .chain(children_first)
    }
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Edits that took the place of what was stored.
    pub applied: u64,
    /// Edits that were there already.
    pub unchanged: u64,
    /// Edits that lost against what was stored, and are kept as revisions.
    pub superseded: u64,
    /// Edits that could not be done.
    pub refused: u64,
}

/// Imports a checked file into an account.
pub struct Import {
    store: Arc<dyn WriteStore>,
    user: UserId,
    pass: Option<Pass>,
    line: u64,
    edits: Vec<RecordEdit>,
    bytes: usize,
    done: Imported,
}

impl Import {
    /// An import into an account.
    pub fn new(store: Arc<dyn WriteStore>, user: UserId) -> Self {
        Self {
            store,
            user,
            pass: None,
            line: 0,
            edits: Vec::new(),
            bytes: 0,
            done: Imported::default(),
        }
    }

    /// Begins one of the passes over the file ([`Pass::all`]).
    ///
    /// # Errors
    /// A store's error.
    pub async fn begin(&mut self, pass: Pass) -> Result<(), ImportError> {
        self.flush().await?;
        self.pass = Some(pass);
        self.line = 0;
        Ok(())
    }

    /// Reads the next line of the pass, without its line feed.
    ///
    /// # Errors
    /// A store's error; a line that can't be read, which a checked file does not have.
    pub async fn line(&mut self, text: &str) -> Result<(), ImportError> {
        self.line += 1;
        let Some(Pass { entity, part }) = self.pass else {
            return Ok(());
        };
        let edit = match parse(self.line, text)? {
            Line::Record(line) if line.entity == entity.name() => {
                let of = if line.deleted {
                    Part::Tombstones
                } else {
                    Part::Live
                };
                (of == part)
                    .then(|| edit_of_record(self.line, line))
                    .transpose()?
            }
            Line::Revision(line) if line.entity == entity.name() => {
                let superseded = line.reason == RevisionReason::Superseded.name();
                let of = if superseded {
                    Part::Superseded
                } else {
                    Part::Replaced
                };
                (of == part)
                    .then(|| edit_of_revision(self.line, &line))
                    .transpose()?
            }
            _ => None,
        };
        let Some(edit) = edit else { return Ok(()) };
        self.edits.push(edit);
        self.bytes += text.len();
        if self.edits.len() >= BATCH.records || self.bytes >= BATCH.bytes {
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes what is left, and says what became of it all.
    ///
    /// # Errors
    /// A store's error.
    pub async fn finish(mut self) -> Result<Imported, ImportError> {
        self.flush().await?;
        Ok(self.done)
    }

    async fn flush(&mut self) -> Result<(), ImportError> {
        if self.edits.is_empty() {
            return Ok(());
        }
        let edits = std::mem::take(&mut self.edits);
        self.bytes = 0;
        let scope = WriteScope::of(self.user, &edits);
        let decide: Decide = Arc::new(move |locked: &Locked| decide(locked, &edits));
        for result in self.store.write(scope, decide).await?.results {
            match result.outcome {
                Outcome::Applied => self.done.applied += 1,
                Outcome::Unchanged => self.done.unchanged += 1,
                Outcome::Superseded => self.done.superseded += 1,
                Outcome::Refused(refusal) => {
                    tracing::warn!(record = %result.key, %refusal, "not imported");
                    self.done.refused += 1;
                }
            }
        }
        Ok(())
    }
}

/// The edit that a record is the outcome of.
fn edit_of_record(at: u64, line: RecordLine) -> Result<RecordEdit, ImportError> {
    let RecordLine {
        entity,
        key,
        updated_at,
        client_id,
        created_at,
        deleted,
        content,
        ..
    } = line;
    let whole = Whole::read(at, &entity, &key, updated_at, &client_id)?;
    if deleted {
        let action = Action::Delete {
            tombstone_if_missing: true,
        };
        return Ok(whole.edit(action));
    }
    let content = content.ok_or_else(|| bad(at)("a live record has no content"))?;
    whole.put(at, created_at, &content)
}

fn edit_of_revision(at: u64, line: &RevisionLine) -> Result<RecordEdit, ImportError> {
    line.reason.parse::<RevisionReason>().map_err(bad(at))?;
    Whole::read(at, &line.entity, &line.key, line.updated_at, &line.client_id)?.put(
        at,
        line.created_at,
        &line.content,
    )
}

/// The name and the version of one line.
struct Whole {
    entity: EntityType,
    edit: RecordEdit,
}

impl Whole {
    fn read(at: u64, entity: &str, key: &str, updated_at: i64, client: &str) -> Result<Self, ImportError> {
        let entity: EntityType = entity.parse().map_err(bad(at))?;
        let edit = RecordEdit {
            key: entity.parse_key(key).map_err(bad(at))?,
            author: client.parse().map_err(bad(at))?,
            time: Some(EditTime::new(updated_at).map_err(bad(at))?),
            action: Action::Delete {
                tombstone_if_missing: true,
            },
        };
        Ok(Self { entity, edit })
    }

    fn edit(self, action: Action) -> RecordEdit {
        RecordEdit { action, ..self.edit }
    }

    fn put(self, at: u64, created_at: i64, document: &Document) -> Result<RecordEdit, ImportError> {
        let content = self.entity.parse_document(document.as_str()).map_err(bad(at))?;
        let action = Action::Put {
            content,
            created_at: UnixMillis::new(created_at).map_err(bad(at))?,
        };
        Ok(self.edit(action))
    }
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import")
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}
