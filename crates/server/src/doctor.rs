//! `mosaic doctor`: whether every record has its bytes, and all bytes are as they were stored. Changes nothing.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use mosaic_adapter_system::SystemClock;
use mosaic_application::doctor::{Doctor, Finding, Progress};
use mosaic_application::garbage::GarbageError;
use mosaic_domain::UserId;
use mosaic_domain::account::Username;
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_ports::{BlobStore, Stores};
use tokio::sync::watch;

use crate::daily::go_on_unless;
use crate::screen::Screen;
use crate::tasks::Workbench;
use crate::wiring::{Opening, WiringError};
use crate::words::{counted, grouped, size};

/// Why nothing was examined, or not everything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoctorError {
    /// The storage of attachments can't be opened.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// The store or the storage of attachments failed.
    #[error(transparent)]
    Failed(#[from] GarbageError),
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Report {
    /// What to print.
    pub(crate) said: String,
    /// How many attachments are lost or damaged, and how many records can't be read.
    pub(crate) losses: u64,
    /// Whether everything was looked at.
    pub(crate) is_whole: bool,
}

/// Examines everything; with `quick`, bytes are not read. With `accept_storage`, the storage of attachments becomes the one that
/// the store belongs to before that.
pub(crate) async fn run(
    work: &Workbench,
    quick: bool,
    accept_storage: bool,
    screen: &Screen,
    stopping: &watch::Receiver<bool>,
) -> Result<Report, DoctorError> {
    // A storage that takes the place of one that was lost may be new.
    let opening = if accept_storage {
        Opening::Create
    } else {
        Opening::Existing
    };
    let storage = work.storage(opening).await.map_err(WiringError::from)?;
    if accept_storage {
        storage.accept().await.map_err(GarbageError::from)?;
    }
    Ok(look(&work.store.ports, &storage.blobs, quick, screen, stopping).await?)
}

/// Compares a store with bytes, wherever both are.
///
/// # Errors
/// [`GarbageError`].
pub(crate) async fn look(
    ports: &Stores,
    blobs: &Arc<dyn BlobStore>,
    quick: bool,
    screen: &Screen,
    stopping: &watch::Receiver<bool>,
) -> Result<Report, GarbageError> {
    let Listing { items, .. } = ports.accounts.list(PageNumber::EVERYTHING).await?;
    let mut bytes = 0;
    for user in &items {
        bytes += ports.contents.usage(user.id).await?.held;
    }
    let mut gauge = if quick {
        screen.gauge("checking", 0)
    } else {
        screen.gauge("reading", bytes)
    };
    let names = items.into_iter().map(|user| (user.id, user.username)).collect();
    let mut findings = Findings::of(names);
    let doctor = Doctor::new(
        Arc::clone(&ports.user_ids),
        Arc::clone(&ports.dump_reader),
        Arc::clone(&ports.audit),
        Arc::clone(&ports.orphans),
        Arc::clone(blobs),
        Arc::new(SystemClock),
    );
    let mut reached = Progress::default();
    let tell = |progress: Progress| {
        reached = progress;
        gauge.at(progress.bytes, totals(&progress, quick));
        go_on_unless(stopping)
    };
    let ended = doctor.run(!quick, |finding| findings.add(&finding), tell).await?;
    Ok(findings.report(&reached, quick, ended.is_continue()))
}

/// What was found so far.
struct Findings {
    names: HashMap<UserId, Username>,
    said: String,
    losses: u64,
    others: u64,
}

impl Findings {
    fn of(names: HashMap<UserId, Username>) -> Self {
        Self {
            names,
            said: String::new(),
            losses: 0,
            others: 0,
        }
    }

    fn add(&mut self, finding: &Finding) {
        if finding.is_loss() {
            self.losses += 1;
        } else {
            self.others += 1;
        }
        let line = self.line(finding);
        // Writing to a string can't fail.
        let _ = writeln!(self.said, "{line}");
    }

    fn line(&self, finding: &Finding) -> String {
        match finding {
            Finding::Unreadable { user, key, revision } => {
                let (entity, whose) = (key.entity_type().name(), self.whose(*user));
                match revision {
                    None => format!(
                        "unreadable: {entity} {key} of {whose} holds a document that can not be read. Bring it back from a \
                         backup; or write it anew, or delete it"
                    ),
                    Some(number) => format!(
                        "unreadable: revision {number} of {entity} {key} of {whose} can not be read. It goes with its time"
                    ),
                }
            }
            Finding::WithoutBytes { user, key, sha256 } => format!(
                "not uploaded: {} {key} of {} names the content {sha256}, which never came. A device that has the file can \
                 upload it",
                key.entity_type().name(),
                self.whose(*user)
            ),
            Finding::BlobMissing { user, content } => format!(
                "lost: the file {} of {} is gone ({}, SHA-256 {}). Bring it back from a backup, or upload it again",
                content.blob,
                self.whose(*user),
                size(content.size),
                content.sha256
            ),
            Finding::BlobDamaged { user, content } => format!(
                "damaged: the file {} of {} has other bytes than were stored ({}, SHA-256 {}). Bring it back from a backup; \
                 or remove it, and upload it again",
                content.blob,
                self.whose(*user),
                size(content.size),
                content.sha256
            ),
            Finding::Unnamed {
                user,
                content,
                is_new,
            } => format!(
                "not needed: nothing of {} names the content {} ({}). {}",
                self.whose(*user),
                content.sha256,
                size(content.size),
                fate(*is_new)
            ),
            Finding::UnknownBlob { blob, is_new } => format!(
                "not needed: the file {} of {} holds nothing that is known ({}). {}",
                blob.name.id,
                self.whose(blob.name.user),
                size(blob.size),
                fate(*is_new)
            ),
            Finding::RemovedUser { user, blobs } => format!(
                "not needed: {} of the account {user}, which was removed. The next purge removes what is there",
                counted(*blobs, "file")
            ),
            Finding::UnknownUser { user, blobs } => format!(
                "unknown: {} of the account {user}, which this store never had. Nothing removes what is there by itself: \
                 it may be of another store, or of a time that a backup does not know",
                counted(*blobs, "file")
            ),
        }
    }

    fn whose(&self, user: UserId) -> String {
        match self.names.get(&user) {
            Some(name) => format!("{name} ({user})"),
            None => format!("the account {user}"),
        }
    }

    fn report(self, reached: &Progress, quick: bool, is_whole: bool) -> Report {
        let Self {
            mut said,
            losses,
            others,
            ..
        } = self;
        let totals = totals(reached, quick);
        let outcome = match (losses, others) {
            (0, 0) => "all as they should be".to_owned(),
            (0, others) => format!(
                "none is lost or damaged, and {} besides",
                counted(others, "finding")
            ),
            (losses, _) => format!("{} lost, damaged or unreadable", grouped(losses)),
        };
        let how_far = if is_whole {
            ""
        } else {
            "Stopped before it was done: "
        };
        // Writing to a string can't fail.
        let _ = writeln!(said, "{how_far}{totals}: {outcome}.");
        Report {
            said,
            losses,
            is_whole,
        }
    }
}

/// What becomes of bytes that nobody needs.
fn fate(is_new: bool) -> &'static str {
    if is_new {
        "It came within the last day, and its record may be on the way"
    } else {
        "The next purge removes it"
    }
}

fn totals(progress: &Progress, quick: bool) -> String {
    let Progress {
        users,
        contents,
        bytes,
    } = *progress;
    let (contents, users) = (counted(contents, "attachment"), counted(users, "account"));
    if quick {
        format!("{contents} of {users}, not read")
    } else {
        format!("{contents} of {users}, {} read", size(bytes))
    }
}

#[cfg(test)]
mod tests {
    use mosaic_domain::attachment::ContentRef;
    use mosaic_domain::entity::Sha256;
    use mosaic_domain::{RecordKey, ResourceId, UnixMillis};
    use mosaic_ports::{BlobInfo, BlobName};
    use uuid::Uuid;

    use super::*;

    const ANNA: UserId = UserId::new(Uuid::from_u128(1));

    fn content() -> ContentRef {
        ContentRef {
            sha256: Sha256::from_bytes([0xab; 32]),
            blob: Uuid::from_u128(7),
            size: 1_536,
            touched_at: UnixMillis::clamped(0),
        }
    }

    fn findings(found: &[Finding]) -> Findings {
        let mut findings = Findings::of(HashMap::from([(ANNA, "anna".parse().unwrap())]));
        for finding in found {
            findings.add(finding);
        }
        findings
    }

    const REACHED: Progress = Progress {
        users: 3,
        contents: 12_345,
        bytes: 19_542_101_197,
    };

    #[test]
    fn what_is_as_it_should_be_is_one_line() {
        let report = findings(&[]).report(&REACHED, false, true);
        assert_eq!(
            report.said,
            "12,345 attachments of 3 accounts, 18.2 GiB read: all as they should be.\n"
        );
        assert_eq!(report.losses, 0);
        let quick = findings(&[]).report(&REACHED, true, false);
        assert_eq!(
            quick.said,
            "Stopped before it was done: 12,345 attachments of 3 accounts, not read: all as they should be.\n"
        );
        assert!(!quick.is_whole);
    }

    #[test]
    fn a_finding_says_whose_what_and_what_to_do() {
        let blob = BlobInfo {
            name: BlobName {
                user: ANNA,
                id: Uuid::from_u128(8),
            },
            size: 10,
            stored_at: UnixMillis::clamped(0),
        };
        let nobody = UserId::new(Uuid::from_u128(2));
        let (user, content) = (ANNA, content());
        let all = [
            Finding::WithoutBytes {
                user,
                key: RecordKey::Resource(ResourceId::new(Uuid::from_u128(9))),
                sha256: content.sha256,
            },
            Finding::BlobMissing { user, content },
            Finding::BlobDamaged { user, content },
            Finding::Unnamed {
                user,
                content,
                is_new: true,
            },
            Finding::UnknownBlob { blob, is_new: false },
            Finding::RemovedUser {
                user: nobody,
                blobs: 1_000,
            },
            Finding::UnknownUser {
                user: nobody,
                blobs: 2,
            },
        ];
        let report = findings(&all).report(&REACHED, false, true);
        let lines: Vec<&str> = report.said.lines().collect();
        for (line, parts) in lines.iter().zip([
            [
                "not uploaded: resource 00000000-0000-0000-0000-000000000009",
                "of anna (",
                "can upload it",
            ],
            [
                "lost: the file 00000000-0000-0000-0000-000000000007",
                "1.5 KiB",
                "from a backup",
            ],
            [
                "damaged: the file 00000000-0000-0000-0000-000000000007",
                "abab",
                "remove it, and upload it again",
            ],
            ["not needed: nothing of anna", "abab", "may be on the way"],
            [
                "not needed: the file 00000000-0000-0000-0000-000000000008",
                "10 bytes",
                "next purge removes it",
            ],
            ["not needed: 1,000 files", "which was removed", "next purge"],
            ["unknown: 2 files", "never had", "Nothing removes"],
        ]) {
            assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        }
        assert_eq!(
            lines[7],
            "12,345 attachments of 3 accounts, 18.2 GiB read: 2 lost, damaged or unreadable."
        );
        assert_eq!((report.losses, lines.len()), (2, 8));
        let waste = findings(&all[3..5]).report(&REACHED, false, true);
        assert!(
            waste
                .said
                .ends_with("none is lost or damaged, and 2 findings besides.\n")
        );
        assert_eq!(waste.losses, 0);
    }
}
