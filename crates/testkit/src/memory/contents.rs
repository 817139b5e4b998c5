//! What is known of the bytes of attachments.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use mosaic_domain::entity::{Sha256, Variant};
use mosaic_domain::{AvatarId, Content, EntityType, Record, RecordKey, UnixMillis, UploadId, UserId};
use mosaic_ports::{
    AccountStore as _, AttachmentUsage, Avatar, ContentIndex, Dropped, HeldContent, HeldVariant, HoldOutcome,
    StoreError, WriteError,
};
use uuid::Uuid;

use super::model::Model;
use super::store::{MemoryStore, lock};
use super::uploads::UploadRow;

/// One user's contents, avatars and uploads.
#[derive(Default)]
pub(super) struct Attachments {
    contents: BTreeMap<Sha256, HeldContent>,
    /// By content and the name of the variant.
    variants: BTreeMap<(Sha256, &'static str), HeldVariant>,
    avatars: BTreeMap<AvatarId, Avatar>,
    pub(super) uploads: BTreeMap<UploadId, UploadRow>,
}

impl Attachments {
    fn hold(&mut self, content: HeldContent, quota: u64) -> HoldOutcome {
        let used = self.usage().held;
        match self.contents.entry(content.sha256) {
            Entry::Occupied(held) => {
                let held = held.into_mut();
                held.touched_at = held.touched_at.max(content.touched_at);
                HoldOutcome::HeldBy(*held)
            }
            Entry::Vacant(_) if used.saturating_add(content.size) > quota => HoldOutcome::OverQuota { used },
            Entry::Vacant(free) => {
                free.insert(content);
                HoldOutcome::Held
            }
        }
    }

    fn replace(&mut self, gone: &HeldContent, by: HeldContent) -> bool {
        let held = self.contents.get_mut(&gone.sha256);
        let Some(held) = held.filter(|held| held.blob == gone.blob) else {
            return false;
        };
        *held = HeldContent {
            touched_at: held.touched_at.max(by.touched_at),
            ..by
        };
        true
    }

    pub(super) fn usage(&self) -> AttachmentUsage {
        let under_way = self.uploads.values().filter(|row| !row.finished);
        AttachmentUsage {
            held: self.contents.values().map(|held| held.size).sum(),
            announced: under_way.map(|row| row.upload.length).sum(),
        }
    }

    fn hold_variant(&mut self, sha256: Sha256, variant: HeldVariant) -> bool {
        if !self.contents.contains_key(&sha256) {
            return false;
        }
        match self.variants.entry((sha256, variant.variant.name())) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(variant);
                true
            }
        }
    }

    fn drop_unnamed(
        &mut self,
        model: &Model,
        avatar_url: Option<&str>,
        before: UnixMillis,
        limit: usize,
    ) -> Dropped {
        let is_named = |id: AvatarId| {
            let id = id.to_string();
            let in_bot = |document: String| document.contains(&id);
            avatar_url.is_some_and(|url| url.contains(&id)) || documents_of_bots(model).any(in_bot)
        };
        let avatars = self.avatars.values();
        let avatars: Vec<_> = avatars
            .filter(|avatar| avatar.created_at < before && !is_named(avatar.id))
            .map(|avatar| avatar.id)
            .take(limit)
            .collect();
        for id in &avatars {
            self.avatars.remove(id);
        }
        let named = self.named(model);
        let contents = self.contents.values();
        let contents: Vec<_> = contents
            .filter(|held| held.touched_at < before && !named.contains(&held.sha256))
            .copied()
            .take(limit)
            .collect();
        let mut blobs = Vec::new();
        for held in &contents {
            self.contents.remove(&held.sha256);
            blobs.push(held.blob);
            let variants = Variant::NAMES.iter();
            let variants = variants.filter_map(|name| self.variants.remove(&(held.sha256, *name)));
            blobs.extend(variants.map(|variant| variant.blob));
        }
        Dropped {
            blobs,
            more: avatars.len() == limit || contents.len() == limit,
        }
    }

    /// The contents that an avatar, a record or a revision names.
    fn named(&self, model: &Model) -> BTreeSet<Sha256> {
        let avatars = self.avatars.values().map(|avatar| avatar.sha256);
        let records = contents_of(model).filter_map(|(_, content)| content.facets().attachment);
        avatars.chain(records).collect()
    }

    fn unnamed(&self, model: &Model, mut contents: Vec<Sha256>) -> Vec<Sha256> {
        let named = self.named(model);
        contents.retain(|sha256| self.contents.contains_key(sha256) && !named.contains(sha256));
        contents
    }

    fn is_known(&self, blob: Uuid) -> bool {
        self.contents.values().any(|held| held.blob == blob)
            || self.variants.values().any(|variant| variant.blob == blob)
            || self
                .uploads
                .values()
                .any(|row| row.blobs().any(|one| one == blob))
    }

    fn without_content(
        &self,
        model: &Model,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Vec<(RecordKey, Sha256)> {
        let after = after.map(|key| key.to_string());
        let missing = |record: &Record| {
            let names = record.live_content()?.facets().attachment?;
            (!self.contents.contains_key(&names)).then_some((record.key, names))
        };
        let mut found: Vec<_> = model.records().filter_map(missing).collect();
        found.retain(|(key, _)| after.as_ref().is_none_or(|after| key.to_string() > *after));
        found.sort_by_key(|(key, _)| key.to_string());
        found.truncate(limit);
        found
    }

    /// The avatars, by id.
    pub(super) fn avatars(&self) -> Vec<Avatar> {
        self.avatars.values().cloned().collect()
    }

    /// Forgets the contents and what was made of them.
    pub(super) fn forget_contents(&mut self) {
        self.contents.clear();
        self.variants.clear();
    }

    /// Replaces the avatars.
    pub(super) fn set_avatars(&mut self, avatars: Vec<Avatar>) {
        self.avatars = avatars.into_iter().map(|avatar| (avatar.id, avatar)).collect();
    }

    /// The contents, by hash.
    pub(super) fn contents(&self) -> impl Iterator<Item = &HeldContent> {
        self.contents.values()
    }

    /// Puts a content in, as it is.
    pub(super) fn put(&mut self, content: HeldContent) {
        self.contents.insert(content.sha256, content);
    }

    /// Removes at most so many rows. Says how many.
    pub(super) fn remove(&mut self, limit: usize) -> usize {
        let mut left = limit;
        while left > 0
            && (self.remove_upload_row().is_some()
                || self.variants.pop_first().is_some()
                || self.contents.pop_first().is_some()
                || self.avatars.pop_first().is_some())
        {
            left -= 1;
        }
        limit - left
    }

    fn remove_upload_row(&mut self) -> Option<()> {
        let mut row = self.uploads.first_entry()?;
        if row.get_mut().parts.pop().is_none() {
            row.remove();
        }
        Some(())
    }
}

/// The contents of records, tombstones and revisions, with the type that they are of.
fn contents_of(model: &Model) -> impl Iterator<Item = (EntityType, &Content)> {
    let records = model
        .records()
        .filter_map(|record| Some((record.key.entity_type(), record.state.content()?)));
    let revisions = model.revisions().iter();
    records.chain(revisions.map(|kept| (kept.key.entity_type(), &kept.content)))
}

fn documents_of_bots(model: &Model) -> impl Iterator<Item = String> {
    let bots = contents_of(model).filter(|(entity, _)| *entity == EntityType::Bot);
    bots.map(|(_, content)| content.to_document())
}

#[async_trait]
impl ContentIndex for MemoryStore {
    async fn hold(&self, user: UserId, content: HeldContent, quota: u64) -> Result<HoldOutcome, WriteError> {
        let hold = move |_: &Model, held: &mut Attachments| held.hold(content, quota);
        self.in_turn(user, hold).await?.ok_or(WriteError::UnknownUser)
    }

    async fn replace(&self, user: UserId, gone: HeldContent, by: HeldContent) -> Result<bool, WriteError> {
        let replace = move |_: &Model, held: &mut Attachments| held.replace(&gone, by);
        self.in_turn(user, replace).await?.ok_or(WriteError::UnknownUser)
    }

    async fn content(&self, user: UserId, sha256: Sha256) -> Result<Option<HeldContent>, StoreError> {
        let content = self.look(user, |_, held| held.contents.get(&sha256).copied());
        Ok(content.flatten())
    }

    async fn usage(&self, user: UserId) -> Result<AttachmentUsage, StoreError> {
        Ok(self.look(user, |_, held| held.usage()).unwrap_or_default())
    }

    async fn hold_variant(
        &self,
        user: UserId,
        sha256: Sha256,
        variant: HeldVariant,
    ) -> Result<bool, WriteError> {
        let hold = move |_: &Model, held: &mut Attachments| held.hold_variant(sha256, variant);
        self.in_turn(user, hold).await?.ok_or(WriteError::UnknownUser)
    }

    async fn drop_variant(&self, user: UserId, sha256: Sha256, gone: HeldVariant) -> Result<(), StoreError> {
        self.change_attachments(user, |held| {
            let place = (sha256, gone.variant.name());
            if held
                .variants
                .get(&place)
                .is_some_and(|held| held.blob == gone.blob)
            {
                held.variants.remove(&place);
            }
        });
        Ok(())
    }

    async fn variant(
        &self,
        user: UserId,
        sha256: Sha256,
        variant: Variant,
    ) -> Result<Option<HeldVariant>, StoreError> {
        let place = (sha256, variant.name());
        let variant = self.look(user, |_, held| held.variants.get(&place).cloned());
        Ok(variant.flatten())
    }

    async fn add_avatar(&self, user: UserId, avatar: Avatar) -> Result<(), WriteError> {
        let add = move |_: &Model, held: &mut Attachments| {
            held.avatars.insert(avatar.id, avatar);
        };
        self.in_turn(user, add).await?.ok_or(WriteError::UnknownUser)
    }

    async fn avatar(&self, user: UserId, id: AvatarId) -> Result<Option<Avatar>, StoreError> {
        let avatar = self.look(user, |_, held| held.avatars.get(&id).cloned());
        Ok(avatar.flatten())
    }

    async fn avatars(&self, user: UserId) -> Result<Vec<Avatar>, StoreError> {
        Ok(self.look(user, |_, held| held.avatars()).unwrap_or_default())
    }

    async fn drop_unnamed(
        &self,
        user: UserId,
        before: UnixMillis,
        limit: u32,
    ) -> Result<Dropped, StoreError> {
        let account = self.by_id(user).await?;
        let avatar_url = account.and_then(|account| account.user.avatar_url);
        let drop = move |model: &Model, held: &mut Attachments| {
            let avatar_url = avatar_url.as_ref().map(mosaic_domain::text::Label::as_str);
            held.drop_unnamed(model, avatar_url, before, limit as usize)
        };
        Ok(self.in_turn(user, drop).await?.unwrap_or_default())
    }

    async fn unnamed(&self, user: UserId, contents: Vec<Sha256>) -> Result<Vec<Sha256>, StoreError> {
        let unnamed = self.look(user, |model, held| held.unnamed(model, contents));
        Ok(unnamed.unwrap_or_default())
    }

    async fn known(&self, user: UserId, mut blobs: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        let known = self.look(user, |_, held| {
            blobs.retain(|blob| held.is_known(*blob));
            blobs
        });
        Ok(known.unwrap_or_default())
    }

    async fn without_content(
        &self,
        user: UserId,
        after: Option<RecordKey>,
        limit: u32,
    ) -> Result<Vec<(RecordKey, Sha256)>, StoreError> {
        let without = self.look(user, |model, held| {
            held.without_content(model, after, limit as usize)
        });
        Ok(without.unwrap_or_default())
    }

    async fn removed_users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        let removed = lock(&self.removed);
        let later = removed
            .iter()
            .copied()
            .filter(|user| after.is_none_or(|after| *user > after));
        Ok(later.take(limit as usize).collect())
    }
}
