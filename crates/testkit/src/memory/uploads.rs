//! Uploads that are under way.

use async_trait::async_trait;
use mosaic_domain::{UnixMillis, UploadId, UserId};
use mosaic_ports::{
    AppendOutcome, BeginOutcome, Dropped, StoreError, Upload, UploadKind, UploadPart, UploadState, Uploads,
    WriteError,
};
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
    fn received(&self) -> u64 {
        if self.finished {
            self.upload.length
        } else {
            self.parts.iter().map(|part| part.size).sum()
        }
    }

    fn state(&self) -> UploadState {
        UploadState {
            upload: self.upload.clone(),
            received: self.received(),
            parts: u32::try_from(self.parts.len()).unwrap_or(u32::MAX),
            finished: self.finished,
        }
    }

    /// The blobs that hold what was received.
    pub(super) fn blobs(&self) -> impl Iterator<Item = Uuid> {
        let direct = match self.upload.kind {
            UploadKind::Direct { blob } if !self.finished => Some(blob),
            _ => None,
        };
        self.parts.iter().map(|part| part.blob).chain(direct)
    }

    fn append(&mut self, part: UploadPart, expires_at: UnixMillis) -> AppendOutcome {
        let received = self.received();
        if self.finished || self.upload.kind != UploadKind::Parts || part.offset != received {
            return AppendOutcome::Conflict { received };
        }
        if part.offset.saturating_add(part.size) > self.upload.length {
            return AppendOutcome::TooLong;
        }
        self.parts.push(part);
        self.upload.expires_at = expires_at;
        AppendOutcome::Appended
    }

    fn finish(&mut self) -> Vec<Uuid> {
        let blobs = self.blobs().collect();
        self.parts.clear();
        self.finished = true;
        blobs
    }
}

impl Attachments {
    fn begin(&mut self, upload: Upload, quota: u64, most: u32) -> BeginOutcome {
        let under_way = self.uploads.values().filter(|row| !row.finished).count();
        if under_way >= most as usize {
            return BeginOutcome::TooMany;
        }
        let usage = self.usage();
        let with_it = usage
            .held
            .saturating_add(usage.announced)
            .saturating_add(upload.length);
        if with_it > quota {
            return BeginOutcome::OverQuota(usage);
        }
        let row = UploadRow {
            upload,
            parts: Vec::new(),
            finished: false,
        };
        self.uploads.insert(row.upload.id, row);
        BeginOutcome::Begun
    }

    /// The last parts go first, so that what is left of an upload is its beginning.
    fn drop_expired(&mut self, now: UnixMillis, limit: usize) -> Dropped {
        let mut left = limit;
        let mut blobs = Vec::new();
        self.uploads.retain(|_, row| {
            if row.upload.expires_at > now {
                return true;
            }
            while left > 0
                && let Some(part) = row.parts.pop()
            {
                blobs.push(part.blob);
                left -= 1;
            }
            if left == 0 {
                return true;
            }
            blobs.extend(row.blobs());
            left -= 1;
            false
        });
        Dropped {
            blobs,
            more: left == 0,
        }
    }
}

#[async_trait]
impl Uploads for MemoryStore {
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
        let append = move |_: &Model, held: &mut Attachments| {
            let row = held.uploads.get_mut(&id);
            row.map(|row| row.append(part, expires_at))
        };
        let outcome = self.in_turn(user, append).await?.flatten();
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
            Some(row.blobs().collect())
        };
        Ok(self.in_turn(user, end).await?.flatten())
    }

    async fn drop_expired(&self, user: UserId, now: UnixMillis, limit: u32) -> Result<Dropped, StoreError> {
        let drop = move |_: &Model, held: &mut Attachments| held.drop_expired(now, limit as usize);
        Ok(self.in_turn(user, drop).await?.unwrap_or_default())
    }
}
