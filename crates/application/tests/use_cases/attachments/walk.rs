//! Whatever happens in whatever order: what a record or a revision names can be read, and what nothing names is gone some day
//! (A1, A6).

use std::collections::BTreeSet;

use bytes::Bytes;
use mosaic_application::records::REVISIONS_PER_PAGE;
use mosaic_domain::entity::{Bot, Filename, Resource, ResourcePatch, Sha256, Variant};
use mosaic_domain::text::Label;
use mosaic_domain::{AvatarId, RecordKey, UploadId};
use mosaic_ports::BlobName;
use mosaic_testkit::{
    BlobCall, BlobFailure, EditExt as _, at, blobs, bot, bot_key, delete, put, resource, resource_id,
    resource_key,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::world::{DAY_MS, World, file, file_as, png, sha256};

const HOUR_MS: i64 = 3_600_000;
/// Longer than what nothing names is kept.
const LIFETIME_MS: i64 = 60 * HOUR_MS;
/// So many resources and contents: few, so that they meet.
const FEW: u64 = 4;

/// What may happen.
#[derive(Debug, Clone)]
enum Step {
    /// In one request; `twice`: the answer was lost.
    Upload {
        resource: u64,
        content: u64,
        twice: bool,
    },
    /// In one request, in two, or in one and never the other.
    InParts {
        resource: u64,
        content: u64,
        requests: Requests,
    },
    /// Past the server; confirmed, or not.
    Directly {
        resource: u64,
        content: u64,
        ends: bool,
    },
    /// Somebody looks at it in a list.
    Thumb {
        resource: u64,
    },
    Rename {
        resource: u64,
    },
    /// An app that does not know that it has bytes writes the whole record.
    Forget {
        resource: u64,
    },
    Delete {
        resource: u64,
    },
    /// To the revision that was kept that many before the last.
    Restore {
        resource: u64,
        back: usize,
    },
    /// A bot gets a picture, or a new one.
    Avatar {
        content: u64,
        is_named: bool,
    },
    Wait {
        hours: i64,
    },
    /// What is older than so many days is forgotten.
    Retention {
        days: i64,
    },
    GarbageCollector,
    /// The storage will fail once, after so many calls.
    Fail {
        call: BlobCall,
        after: u64,
    },
    /// The store of the records will fail once, before or after it has written.
    FailWrite {
        written: bool,
    },
    /// Phones ask how far their uploads came.
    Resume,
    /// The server is killed while somebody uploads.
    Kill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Requests {
    One,
    Two,
    OneOfTwo,
}

fn steps() -> impl Strategy<Value = Step> {
    let (few, contents) = (1..=FEW, 1..=FEW);
    let calls = prop_oneof![
        Just(BlobCall::Create),
        Just(BlobCall::Write),
        Just(BlobCall::Finish),
        Just(BlobCall::Read),
        Just(BlobCall::Piece),
        Just(BlobCall::Info),
        Just(BlobCall::Remove),
        Just(BlobCall::List),
    ];
    let requests = prop_oneof![Just(Requests::One), Just(Requests::Two), Just(Requests::OneOfTwo)];
    let three = (few.clone(), contents, any::<bool>());
    prop_oneof![
        4 => three.clone().prop_map(|(resource, content, twice)| Step::Upload { resource, content, twice }),
        3 => (few.clone(), 1..=FEW, requests).prop_map(|(resource, content, requests)| Step::InParts {
            resource,
            content,
            requests
        }),
        1 => three.clone().prop_map(|(resource, content, ends)| Step::Directly { resource, content, ends }),
        1 => few.clone().prop_map(|resource| Step::Thumb { resource }),
        1 => few.clone().prop_map(|resource| Step::Rename { resource }),
        1 => few.clone().prop_map(|resource| Step::Forget { resource }),
        2 => few.clone().prop_map(|resource| Step::Delete { resource }),
        1 => (few, 0..4_usize).prop_map(|(resource, back)| Step::Restore { resource, back }),
        1 => three.prop_map(|(_, content, is_named)| Step::Avatar { content, is_named }),
        3 => (1..40_i64).prop_map(|hours| Step::Wait { hours }),
        2 => (0..3_i64).prop_map(|days| Step::Retention { days }),
        4 => Just(Step::GarbageCollector),
        2 => (calls, 0..3_u64).prop_map(|(call, after)| Step::Fail { call, after }),
        2 => any::<bool>().prop_map(|written| Step::FailWrite { written }),
        1 => Just(Step::Resume),
        1 => Just(Step::Kill),
    ]
}

fn bytes_of(content: u64) -> Bytes {
    png(&format!("{content} {:?}", blobs::bytes(content, 40)))
}

impl World {
    /// Whether it succeeds is not the point here: only what is there afterwards.
    async fn take(&self, step: Step, under_way: &mut Vec<UploadId>) {
        self.h.clock.advance(1);
        match step {
            Step::Upload {
                resource,
                content,
                twice,
            } => {
                for _ in 0..=u8::from(twice) {
                    self.add(file_as(resource), &bytes_of(content)).await.ok();
                }
            }
            Step::InParts {
                resource,
                content,
                requests,
            } => {
                let upload = self.upload_in_parts(resource, &bytes_of(content), requests).await;
                under_way.extend(upload);
            }
            Step::Directly {
                resource,
                content,
                ends,
            } => {
                self.upload_directly(resource, bytes_of(content), ends).await;
            }
            Step::Thumb { resource } => {
                self.attachments
                    .file(self.user, resource_id(resource), Some(Variant::Thumb))
                    .await
                    .ok();
            }
            Step::Rename { resource } => {
                let filename = Some(Filename::new(format!("{}.png", self.h.clock.ms())).unwrap());
                let patch = ResourcePatch {
                    filename,
                    ..ResourcePatch::default()
                };
                let draft = mosaic_application::records::Upsert {
                    patch,
                    attachments: None,
                    creates: false,
                };
                self.records
                    .write::<Resource>(&self.by(), resource_id(resource), draft)
                    .await
                    .ok();
            }
            Step::Forget { resource: n } => {
                self.h
                    .write(
                        self.user,
                        [put(resource_key(n), resource("a.png")).at(self.h.clock.ms())],
                    )
                    .await;
            }
            Step::Delete { resource } => {
                self.h.write(self.user, [delete(resource_key(resource))]).await;
            }
            Step::Restore { resource, back } => self.restore(resource, back).await,
            Step::Avatar { content, is_named } => self.give_avatar(&bytes_of(content), is_named).await,
            Step::Wait { hours } => self.h.clock.advance(hours * HOUR_MS),
            Step::Retention { days } => {
                let before = at(self.h.clock.ms() - days * DAY_MS);
                self.h.stores.retention.purge(self.user, before, 3).await.unwrap();
            }
            Step::GarbageCollector => {
                self.garbage.step(self.user).await.ok();
                self.garbage.remove_orphans(self.user, None).await.ok();
                self.garbage.sweep().await.unwrap();
            }
            Step::Fail { call, after } => self.blobs.fail_after(call, after, BlobFailure::Unavailable),
            Step::FailWrite { written } => self.writes.fail_next(written),
            Step::Resume => {
                for id in under_way {
                    self.state(*id).await.ok();
                }
            }
            Step::Kill => {
                let ingest = self.attachments.receive(self.user).await;
                self.blobs.kill();
                drop(ingest);
            }
        }
    }

    async fn upload_in_parts(&self, n: u64, bytes: &Bytes, requests: Requests) -> Option<UploadId> {
        let length = bytes.len() as u64;
        let begun = self
            .uploads
            .begin(&self.by(), Some(length), file_as(n), None)
            .await;
        let id = begun.ok()?.id;
        let first = if requests == Requests::One {
            bytes.len()
        } else {
            10
        };
        let sent = self.send(id, 0, &bytes[..first], None).await;
        if requests == Requests::Two && sent.is_ok() {
            self.send(id, 10, &bytes[10..], None).await.ok();
        }
        Some(id)
    }

    async fn upload_directly(&self, n: u64, bytes: Bytes, ends: bool) {
        let quarter = std::time::Duration::from_mins(15);
        let length = bytes.len() as u64;
        let begun = self
            .uploads
            .begin_direct(&self.by(), length, file_as(n), quarter)
            .await;
        let Ok(direct) = begun else { return };
        assert!(self.blobs.send(&direct.address, bytes));
        if ends {
            self.uploads.confirm(self.user, direct.upload.id).await.ok();
            // Whoever has the address still may do this.
            self.blobs.send(&direct.address, png("something else"));
        }
    }

    async fn restore(&self, n: u64, back: usize) {
        let id = resource_id(n);
        let kept = self
            .records
            .revisions::<Resource>(self.user, id, None, REVISIONS_PER_PAGE)
            .await;
        if let Ok(kept) = kept
            && let Some(kept) = kept.items.get(back)
        {
            self.records
                .restore::<Resource>(&self.by(), id, kept.revision.id)
                .await
                .ok();
        }
    }

    async fn give_avatar(&self, bytes: &Bytes, is_named: bool) {
        let add = async {
            let mut ingest = self.attachments.receive_avatar(self.user).await?;
            ingest.write(bytes.clone()).await?;
            let name = file("mo.png").filename;
            self.attachments.add_avatar(None, name, ingest).await
        };
        let Ok(id) = add.await else { return };
        if is_named {
            let avatar_url = Some(Label::new(format!("/avatars/{id}/download")).unwrap());
            let pictured = Bot {
                avatar_url,
                ..bot("Mo")
            };
            self.h
                .write(self.user, [put(bot_key(1), pictured).at(self.h.clock.ms())])
                .await;
        }
    }

    /// The contents that anything names, and the avatars that a bot names or named.
    async fn named(&self) -> (BTreeSet<Sha256>, BTreeSet<AvatarId>) {
        let (mut contents, mut avatars) = (BTreeSet::new(), BTreeSet::new());
        let keys: Vec<RecordKey> = (1..=FEW).map(resource_key).chain([bot_key(1)]).collect();
        for key in keys {
            let record = self.h.record(self.user, key).await;
            let current = record.and_then(|record| record.state.content().cloned());
            let kept = self.h.revisions(self.user, key).await;
            for content in current
                .into_iter()
                .chain(kept.into_iter().map(|kept| kept.revision.content))
            {
                contents.extend(content.facets().attachment);
                if let mosaic_domain::Content::Bot(Bot {
                    avatar_url: Some(url),
                    ..
                }) = content
                {
                    let id = url.as_str().split('/').nth(2).unwrap();
                    avatars.insert(AvatarId::new(id.parse().unwrap()));
                }
            }
        }
        (contents, avatars)
    }

    async fn assert_everything_named_is_there(&self) {
        let (mut contents, avatars) = self.named().await;
        for id in avatars {
            let avatar = self.h.stores.avatars.avatar(self.user, id).await.unwrap();
            contents.insert(avatar.expect("a bot names it").sha256);
        }
        for named in contents {
            let held = self.h.stores.contents.content(self.user, named).await.unwrap();
            let blob = held.expect("something names it").blob;
            let bytes = self.blobs.bytes(BlobName {
                user: self.user,
                id: blob,
            });
            assert_eq!(sha256(&bytes.expect("something names it")), named);
        }
    }

    /// What came of uploads that are not given up is there.
    async fn assert_all_parts_are_there(&self, under_way: &[UploadId]) {
        for id in under_way {
            for part in self.h.stores.uploads.parts(self.user, *id).await.unwrap() {
                let name = BlobName {
                    user: self.user,
                    id: part.blob,
                };
                let bytes = self.blobs.bytes(name).expect("it is a part");
                assert_eq!(bytes.len() as u64, part.size);
            }
        }
    }

    /// Time goes by, and nothing fails any more.
    async fn assert_nothing_else_is_there_some_day(&self) {
        self.blobs.heal();
        self.h.clock.advance(LIFETIME_MS + DAY_MS + 1);
        self.collect_garbage().await;
        self.garbage.sweep().await.unwrap();
        self.assert_clean().await;
        let (contents, _) = self.named().await;
        for bytes in (1..=FEW).map(bytes_of) {
            let held = self
                .h
                .stores
                .contents
                .content(self.user, sha256(&bytes))
                .await
                .unwrap();
            let avatars = self.h.stores.avatars.avatars(self.user).await.unwrap();
            let is_avatar = avatars.iter().any(|avatar| avatar.sha256 == sha256(&bytes));
            assert_eq!(held.is_some(), is_avatar || contents.contains(&sha256(&bytes)));
        }
    }
}

proptest! {
    #![proptest_config(Config { rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..Config::with_cases(100) })]

    /// After every step, what is named is there; at the end, nothing else.
    #[test]
    fn a1_a6_what_is_named_is_there_and_nothing_else_some_day(steps in proptest::collection::vec(steps(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build().unwrap();
        runtime.block_on(async {
            let w = World::new().await.with_lifetime(LIFETIME_MS);
            let mut under_way = Vec::new();
            for step in steps {
                w.take(step, &mut under_way).await;
                w.assert_everything_named_is_there().await;
                w.assert_all_parts_are_there(&under_way).await;
            }
            w.assert_nothing_else_is_there_some_day().await;
        });
    }
}
