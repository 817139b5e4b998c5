//! Uploads that are under way.

use async_trait::async_trait;
use mosaic_domain::attachment::{
    self, AppendOutcome, BeginOutcome, Collected, ExpiredUpload, Upload, UploadFacts, UploadPart, UploadState,
};
use mosaic_domain::{UnixMillis, UploadId, UserId};
use mosaic_ports::{StoreError, UploadStore, WriteError};
use uuid::Uuid;

use super::contents::Attachments;
use super::model::Model;
use super::store::MemoryStore;

/// An upload, with its parts in order.
pub(super) struct UploadRow {
    pub(super) upload: Upload,
    pub(super) parts: Vec<UploadPart>,
    pub(super) finished: bool,
}

impl UploadRow {
    fn state(&self) -> UploadState {
        let bytes = self.parts.iter().map(|part| part.size).sum();
        let parts = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        UploadState::new(self.upload.clone(), bytes, parts, self.finished)
    }

    /// The blobs that hold what was received.
    pub(super) fn blobs(&self) -> Vec<Uuid> {
        self.state().blobs(&self.parts)
    }

    fn finish(&mut self) -> Vec<Uuid> {
        let blobs = self.blobs();
        self.parts.clear();
        self.finished = true;
        blobs
    }

    fn expired(&self) -> ExpiredUpload {
        ExpiredUpload {
            id: self.upload.id,
            kind: self.upload.kind,
            finished: self.finished,
            parts: self.parts.iter().rev().copied().collect(),
        }
    }
}

impl Attachments {
    fn begin(&mut self, upload: Upload, quota: u64, most: u32) -> BeginOutcome {
        let unfinished = self.uploads.values().filter(|row| !row.finished).count();
        let facts = UploadFacts {
            unfinished: u32::try_from(unfinished).unwrap_or(u32::MAX),
            usage: self.usage(),
        };
        let plan = attachment::begin(facts, upload.length, quota, most);
        if plan.write.is_some() {
            let row = UploadRow {
                upload,
                parts: Vec::new(),
                finished: false,
            };
            self.uploads.insert(row.upload.id, row);
        }
        plan.outcome
    }

    fn append(&mut self, id: UploadId, part: UploadPart, expires_at: UnixMillis) -> AppendOutcome {
        let row = self.uploads.get_mut(&id);
        let plan = attachment::append(row.as_ref().map(|row| row.state()).as_ref(), &part);
        if let (Some(()), Some(row)) = (plan.write, row) {
            row.parts.push(part);
            row.upload.expires_at = expires_at;
        }
        plan.outcome
    }

    fn drop_expired(&mut self, now: UnixMillis, limit: u32) -> Collected {
        let expired = self.uploads.values().filter(|row| row.upload.expires_at <= now);
        let expired: Vec<_> = expired.map(UploadRow::expired).collect();
        let plan = attachment::expire(&expired, limit);
        for (id, offset) in plan.parts {
            if let Some(row) = self.uploads.get_mut(&id) {
                row.parts.retain(|part| part.offset != offset);
            }
        }
        self.uploads.retain(|id, _| !plan.uploads.contains(id));
        plan.dropped
    }
}

#[async_trait]
impl UploadStore for MemoryStore {
    async fn begin(
        &self,
        user: UserId,
        upload: Upload,
        quota: u64,
        most: u32,
    ) -> Result<BeginOutcome, WriteError> {
        let begin = move |_: &Model, held: &mut Attachments| held.begin(upload, quota, most);
        self.in_turn(user, begin).await?.ok_or(WriteError::UnknownUser)
    }

    async fn upload(&self, user: UserId, id: UploadId) -> Result<Option<UploadState>, StoreError> {
        let state = self.look(user, |_, held| held.uploads.get(&id).map(UploadRow::state));
        Ok(state.flatten())
    }

    async fn append(
        &self,
        user: UserId,
        id: UploadId,
        part: UploadPart,
        expires_at: UnixMillis,
    ) -> Result<AppendOutcome, StoreError> {
        let append = move |_: &Model, held: &mut Attachments| held.append(id, part, expires_at);
        let outcome = self.in_turn(user, append).await?;
        Ok(outcome.unwrap_or(AppendOutcome::Gone))
    }

    async fn parts(&self, user: UserId, id: UploadId) -> Result<Vec<UploadPart>, StoreError> {
        let parts = self.look(user, |_, held| held.uploads.get(&id).map(|row| row.parts.clone()));
        Ok(parts.flatten().unwrap_or_default())
    }

    async fn finish(&self, user: UserId, id: UploadId) -> Result<Vec<Uuid>, StoreError> {
        let finish =
            move |_: &Model, held: &mut Attachments| held.uploads.get_mut(&id).map(UploadRow::finish);
        Ok(self.in_turn(user, finish).await?.flatten().unwrap_or_default())
    }

    async fn end(&self, user: UserId, id: UploadId) -> Result<Option<Vec<Uuid>>, StoreError> {
        let end = move |_: &Model, held: &mut Attachments| {
            let row = held.uploads.remove(&id)?;
            Some(row.blobs())
        };
        Ok(self.in_turn(user, end).await?.flatten())
    }

    async fn drop_expired(&self, user: UserId, now: UnixMillis, limit: u32) -> Result<Collected, StoreError> {
        let drop = move |_: &Model, held: &mut Attachments| held.drop_expired(now, limit);
        Ok(self.in_turn(user, drop).await?.unwrap_or_default())
    }
}
