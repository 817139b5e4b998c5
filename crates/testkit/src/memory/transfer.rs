//! Reading the store out whole and writing one in.

use async_trait::async_trait;
use mosaic_domain::attachment::ContentRef;
use mosaic_domain::entity::Sha256;
use mosaic_domain::pull::PageLimits;
use mosaic_domain::{Epoch, Stamp, UserId};
use mosaic_ports::{
    AccountStore as _, DeviceCursors as _, DumpReader, DumpWriter, DumpedRecord, KeptRevision, Loaded,
    RevisionPlace, StoreError, StoreIdentity, UserDump, UserIds,
};

use uuid::Uuid;

use super::model::{Model, take};
use super::store::{MemoryStore, lock};

#[async_trait]
impl StoreIdentity for MemoryStore {
    async fn epoch(&self) -> Result<Epoch, StoreError> {
        Ok(*lock(&self.epoch))
    }

    async fn set_epoch(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.rename(epoch);
        Ok(())
    }

    async fn storage(&self) -> Result<Option<Uuid>, StoreError> {
        Ok(*lock(&self.storage))
    }

    async fn name_storage(&self, name: Uuid) -> Result<Uuid, StoreError> {
        Ok(*lock(&self.storage).get_or_insert(name))
    }
}

#[async_trait]
impl UserIds for MemoryStore {
    async fn user_ids(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        let ids = self
            .users()
            .into_iter()
            .filter(|id| after.is_none_or(|after| *id > after));
        Ok(ids.take(limit as usize).collect())
    }
}

#[async_trait]
impl DumpReader for MemoryStore {
    async fn dump_user(&self, user: UserId) -> Result<Option<UserDump>, StoreError> {
        let Some(account) = self.by_id(user).await? else {
            return Ok(None);
        };
        if self.read(user, Model::is_closed) == Some(true) {
            return Ok(None);
        }
        let clock = self.read(user, Model::clock).unwrap_or_default();
        let (logins, earlier_tokens) = lock(&self.accounts).dump_logins(user);
        Ok(Some(UserDump {
            account,
            clock,
            record_bytes: self.read(user, Model::bytes).unwrap_or_default(),
            cursors: self.cursors(user).await?,
            logins,
            earlier_tokens,
            avatars: self.look(user, |_, held| held.avatars()).unwrap_or_default(),
        }))
    }

    async fn dump_records(
        &self,
        user: UserId,
        after: Stamp,
        limits: PageLimits,
    ) -> Result<Vec<DumpedRecord>, StoreError> {
        let found = self.read(user, |model| {
            let mut found: Vec<_> = model
                .records()
                .filter(|record| record.stamp > after)
                .map(|record| DumpedRecord {
                    record: record.clone(),
                    purged_revisions: model.purged_revisions(record.key),
                })
                .collect();
            found.sort_by_key(|dumped| dumped.record.stamp);
            found
        });
        let bytes = |dumped: &DumpedRecord| {
            dumped
                .record
                .state
                .content()
                .map_or(0, |content| content.to_document().len())
        };
        Ok(take(found.unwrap_or_default(), limits, bytes))
    }

    async fn dump_revisions(
        &self,
        user: UserId,
        after: Option<RevisionPlace>,
        limits: PageLimits,
    ) -> Result<Vec<KeptRevision>, StoreError> {
        let place = |kept: &KeptRevision| {
            let RevisionPlace {
                entity_type,
                key,
                number,
            } = RevisionPlace::of(kept);
            (entity_type, key, number)
        };
        let after = after.map(|place| (place.entity_type, place.key, place.number));
        let found = self.read(user, |model| {
            let keys: std::collections::BTreeSet<_> = model.revisions().iter().map(|kept| kept.key).collect();
            let all = keys.into_iter().flat_map(|key| model.revisions_of(key));
            let mut found: Vec<_> = all
                .filter(|kept| after.as_ref().is_none_or(|after| place(kept) > *after))
                .collect();
            found.sort_by_key(place);
            found
        });
        let bytes = |kept: &KeptRevision| kept.revision.content.to_document().len();
        Ok(take(found.unwrap_or_default(), limits, bytes))
    }

    async fn dump_contents(
        &self,
        user: UserId,
        after: Option<Sha256>,
        limit: u32,
    ) -> Result<Vec<ContentRef>, StoreError> {
        let found = self.look(user, |_, held| {
            let later = held
                .contents()
                .filter(|content| after.is_none_or(|after| content.sha256 > after));
            later.take(limit as usize).copied().collect()
        });
        Ok(found.unwrap_or_default())
    }

    async fn loaded(&self, user: UserId) -> Result<Loaded, StoreError> {
        let loaded = self.look(user, |model, held| Loaded {
            records: model.records().count() as u64,
            last_stamp: model
                .records()
                .map(|record| record.stamp)
                .max()
                .unwrap_or_default(),
            revisions: model.revisions().len() as u64,
            contents: held.contents().count() as u64,
        });
        Ok(loaded.unwrap_or_default())
    }
}

#[async_trait]
impl DumpWriter for MemoryStore {
    async fn load_user(&self, dump: UserDump) -> Result<(), StoreError> {
        let user = dump.account.user.id;
        if self.read(user, |_| ()).is_none() {
            self.add_user(user);
        }
        self.change(user, |model| model.set_clock(dump.clock));
        lock(&self.accounts).load(dump.account, dump.logins, dump.earlier_tokens);
        self.set_cursors(user, dump.cursors);
        self.change_attachments(user, |held| {
            held.forget_contents();
            held.set_avatars(dump.avatars);
        });
        lock(&self.removed).remove(&user);
        Ok(())
    }

    async fn load_records(&self, user: UserId, records: Vec<DumpedRecord>) -> Result<(), StoreError> {
        self.change(user, |model| {
            for dumped in records {
                model.set_purged_revisions(dumped.record.key, dumped.purged_revisions);
                model.put(dumped.record);
            }
        });
        Ok(())
    }

    async fn load_revisions(&self, user: UserId, revisions: Vec<KeptRevision>) -> Result<(), StoreError> {
        self.change(user, |model| {
            for kept in revisions {
                model.keep_as(kept);
            }
        });
        Ok(())
    }

    async fn load_contents(&self, user: UserId, contents: Vec<ContentRef>) -> Result<(), StoreError> {
        self.change_attachments(user, |held| {
            for content in contents {
                held.put(content);
            }
        });
        Ok(())
    }

    async fn refresh_statistics(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
