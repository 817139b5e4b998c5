//! What is known of the bytes of attachments.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use mosaic_domain::attachment::{
    self, AttachmentUsage, Avatar, AvatarFacts, Collected, ContentFacts, ContentRef, ReferenceOutcome,
    VariantRef,
};
use mosaic_domain::entity::{Sha256, Variant};
use mosaic_domain::{AvatarId, Content, EntityType, Record, RecordKey, UnixMillis, UploadId, UserId};
use mosaic_ports::{
    AccountStore as _, AttachmentAudit, AttachmentIndex, AvatarIndex, OrphanIndex, StoreError, VariantIndex,
    WriteError,
};
use uuid::Uuid;

use super::model::Model;
use super::store::{MemoryStore, lock};
use super::uploads::UploadRow;

/// One user's contents, avatars and uploads.
#[derive(Default)]
pub(super) struct Attachments {
    contents: BTreeMap<Sha256, ContentRef>,
    /// By content and the name of the variant.
    variants: BTreeMap<(Sha256, &'static str), VariantRef>,
    avatars: BTreeMap<AvatarId, Avatar>,
    pub(super) uploads: BTreeMap<UploadId, UploadRow>,
}

impl Attachments {
    fn reference(&mut self, content: ContentRef, quota: u64) -> ReferenceOutcome {
        let there = self.contents.get(&content.sha256).copied();
        let plan = attachment::reference(there, content, self.usage().held, quota);
        self.write(plan.write);
        plan.outcome
    }

    fn write(&mut self, content: Option<ContentRef>) {
        self.contents
            .extend(content.map(|content| (content.sha256, content)));
    }

    fn replace(&mut self, gone: &ContentRef, by: ContentRef) -> bool {
        let there = self.contents.get(&by.sha256).copied();
        let plan = attachment::replace(there, gone, by);
        self.write(plan);
        plan.is_some()
    }

    pub(super) fn usage(&self) -> AttachmentUsage {
        let under_way = self.uploads.values().filter(|row| !row.finished);
        AttachmentUsage {
            held: self.contents.values().map(|held| held.size).sum(),
            announced: under_way.map(|row| row.upload.length).sum(),
        }
    }

    fn add_variant(&mut self, sha256: Sha256, variant: VariantRef) -> bool {
        let content = self.contents.get(&sha256).copied();
        let place = (sha256, variant.variant.name());
        let plan = attachment::add_variant(content, self.variants.get(&place), &variant);
        if plan.write.is_some() {
            self.variants.insert(place, variant);
        }
        plan.outcome
    }

    /// Avatars first: a content that only they had goes in the same step.
    fn collect(
        &mut self,
        model: &Model,
        avatar_url: Option<&str>,
        before: UnixMillis,
        limit: u32,
    ) -> Collected {
        let candidates = self.old_avatars(model, avatar_url, before, limit);
        let avatars = attachment::collect(&candidates, &[], before, limit);
        for id in &avatars.avatars {
            self.avatars.remove(id);
        }
        let contents = attachment::collect(&[], &self.old_contents(model, before, limit), before, limit);
        for sha256 in &contents.contents {
            self.contents.remove(sha256);
            self.variants.retain(|(of, _), _| of != sha256);
        }
        Collected {
            more: avatars.collected.more || contents.collected.more,
            ..contents.collected
        }
    }

    fn old_avatars(
        &self,
        model: &Model,
        avatar_url: Option<&str>,
        before: UnixMillis,
        limit: u32,
    ) -> Vec<AvatarFacts> {
        let is_named = |id: AvatarId| {
            let id = id.to_string();
            avatar_url.is_some_and(|url| url.contains(&id))
                || documents_that_name_avatars(model).any(|document| document.contains(&id))
        };
        let facts = self.avatars.values().map(|avatar| AvatarFacts {
            id: avatar.id,
            created_at: avatar.created_at,
            is_referenced: is_named(avatar.id),
        });
        let old = facts.filter(|facts| facts.created_at < before && !facts.is_referenced);
        old.take(limit as usize).collect()
    }

    fn old_contents(&self, model: &Model, before: UnixMillis, limit: u32) -> Vec<ContentFacts> {
        let named = self.named(model);
        let variants = |sha256: Sha256| self.variants.iter().filter(move |((of, _), _)| *of == sha256);
        let facts = self.contents.values().map(|content| ContentFacts {
            content: *content,
            is_referenced: named.contains(&content.sha256),
            avatars: Vec::new(),
            variants: variants(content.sha256)
                .map(|(_, variant)| variant.blob)
                .collect(),
        });
        let old = facts.filter(|facts| facts.content.touched_at < before && !facts.is_referenced);
        old.take(limit as usize).collect()
    }

    /// The contents that an avatar, a record or a revision names.
    fn named(&self, model: &Model) -> BTreeSet<Sha256> {
        let avatars = self.avatars.values().map(|avatar| avatar.sha256);
        let records = contents_of(model).filter_map(|(_, content)| content.facets().attachment);
        avatars.chain(records).collect()
    }

    fn unreferenced(&self, model: &Model, mut contents: Vec<Sha256>) -> Vec<Sha256> {
        let named = self.named(model);
        contents.retain(|sha256| self.contents.contains_key(sha256) && !named.contains(sha256));
        contents
    }

    fn is_referenced(&self, blob: Uuid) -> bool {
        self.contents.values().any(|held| held.blob == blob)
            || self.variants.values().any(|variant| variant.blob == blob)
            || self.uploads.values().any(|row| row.blobs().contains(&blob))
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
    pub(super) fn contents(&self) -> impl Iterator<Item = &ContentRef> {
        self.contents.values()
    }

    /// Puts a content in, as it is.
    pub(super) fn put(&mut self, content: ContentRef) {
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

fn documents_that_name_avatars(model: &Model) -> impl Iterator<Item = String> {
    let contents = contents_of(model).filter(|(entity, _)| entity.names_avatars());
    contents.map(|(_, content)| content.to_document())
}

#[async_trait]
impl AttachmentIndex for MemoryStore {
    async fn reference(
        &self,
        user: UserId,
        content: ContentRef,
        quota: u64,
    ) -> Result<ReferenceOutcome, WriteError> {
        let reference = move |_: &Model, held: &mut Attachments| held.reference(content, quota);
        self.in_turn(user, reference)
            .await?
            .ok_or(WriteError::UnknownUser)
    }

    async fn replace(&self, user: UserId, gone: ContentRef, by: ContentRef) -> Result<bool, WriteError> {
        let replace = move |_: &Model, held: &mut Attachments| held.replace(&gone, by);
        self.in_turn(user, replace).await?.ok_or(WriteError::UnknownUser)
    }

    async fn content(&self, user: UserId, sha256: Sha256) -> Result<Option<ContentRef>, StoreError> {
        let content = self.look(user, |_, held| held.contents.get(&sha256).copied());
        Ok(content.flatten())
    }

    async fn usage(&self, user: UserId) -> Result<AttachmentUsage, StoreError> {
        Ok(self.look(user, |_, held| held.usage()).unwrap_or_default())
    }
}

#[async_trait]
impl VariantIndex for MemoryStore {
    async fn add_variant(
        &self,
        user: UserId,
        sha256: Sha256,
        variant: VariantRef,
    ) -> Result<bool, WriteError> {
        let add = move |_: &Model, held: &mut Attachments| held.add_variant(sha256, variant);
        self.in_turn(user, add).await?.ok_or(WriteError::UnknownUser)
    }

    async fn remove_variant(&self, user: UserId, sha256: Sha256, gone: VariantRef) -> Result<(), StoreError> {
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
    ) -> Result<Option<VariantRef>, StoreError> {
        let place = (sha256, variant.name());
        let variant = self.look(user, |_, held| held.variants.get(&place).cloned());
        Ok(variant.flatten())
    }
}

#[async_trait]
impl AvatarIndex for MemoryStore {
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
}

#[async_trait]
impl OrphanIndex for MemoryStore {
    async fn collect_unreferenced(
        &self,
        user: UserId,
        before: UnixMillis,
        limit: u32,
    ) -> Result<Collected, StoreError> {
        let account = self.by_id(user).await?;
        let avatar_url = account.and_then(|account| account.user.avatar_url);
        let collect = move |model: &Model, held: &mut Attachments| {
            let avatar_url = avatar_url.as_ref().map(mosaic_domain::text::Label::as_str);
            held.collect(model, avatar_url, before, limit.max(1))
        };
        Ok(self.in_turn(user, collect).await?.unwrap_or_default())
    }

    async fn referenced(&self, user: UserId, mut blobs: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        let referenced = self.look(user, |_, held| {
            blobs.retain(|blob| held.is_referenced(*blob));
            blobs
        });
        Ok(referenced.unwrap_or_default())
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

#[async_trait]
impl AttachmentAudit for MemoryStore {
    async fn unreferenced(&self, user: UserId, contents: Vec<Sha256>) -> Result<Vec<Sha256>, StoreError> {
        let unreferenced = self.look(user, |model, held| held.unreferenced(model, contents));
        Ok(unreferenced.unwrap_or_default())
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
}
