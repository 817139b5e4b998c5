//! The bytes of resources, up in parts (tus 1.0.0) and down.

use std::ffi::OsStr;
use std::io::{ErrorKind, SeekFrom};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use hyper::header::{CONTENT_TYPE, HeaderName, LOCATION, RANGE};
use hyper::{Method, StatusCode};
use mosaic_domain::entity::{Filename, Resource, Sha256};
use mosaic_domain::{MemoId, ResourceId};
use sha2::Digest as _;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use crate::client::Client;
use crate::error::{Error, Problem, Result};
use crate::http::{Answer, Request};
use crate::store::{Store, Upload};

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
/// What a server says of an upload that it has another state of, or none: ask, or begin anew.
const OTHER_STATE: [&str; 3] = ["upload_offset_conflict", "not_found", "upload_expired"];

impl Client {
    /// Attaches a file to a memo, or to none. Its bytes are copied, and sent by the next [`sync`](Self::sync), which goes on where an
    /// earlier one broke off; then there is a resource with this id. Until then it is among [`Status::uploads`](crate::Status::uploads).
    ///
    /// # Errors
    /// [`Error::Invalid`] where the file's name can't be one of a resource; [`Error::Local`].
    pub fn attach(&self, file: &Path, memo: Option<MemoId>) -> Result<ResourceId> {
        let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let filename = Filename::new(name.to_owned())?;
        let resource = ResourceId::new(self.new_id());
        std::fs::create_dir_all(self.files())?;
        let bytes = std::fs::copy(file, self.file_of(resource))?;
        self.store().note_upload(&Upload {
            resource,
            filename: filename.as_str().to_owned(),
            memo,
            bytes,
            attached_at: self.now().get(),
            address: None,
            problem: None,
        })?;
        Ok(resource)
    }

    /// Gives a file up that is not on the server yet; answers whether it was so.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn discard(&self, resource: ResourceId) -> Result<bool> {
        let was_there = self.store().end_upload(resource)?;
        if was_there {
            std::fs::remove_file(self.file_of(resource))?;
        }
        Ok(was_there)
    }

    /// Writes the bytes of a resource to a file, which is there whole or not at all. `progress` is told how many bytes have come, of
    /// how many.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such resource here, or its bytes are not uploaded yet; as [`sync`](Self::sync).
    pub async fn download(
        &self,
        resource: ResourceId,
        to: &Path,
        mut progress: impl FnMut(u64, u64) + Send,
    ) -> Result<()> {
        let found = self
            .blocking(move |store| store.visible::<Resource>(Some(resource)))
            .await?;
        let content = found.into_iter().next().ok_or(Error::NotFound)?.content;
        let wanted = content.sha256.ok_or(Error::NotFound)?;
        let size = content.file_size.get().cast_unsigned();
        let mut partial = to.as_os_str().to_owned();
        partial.push(".partial");
        let mut receiving = Receiving {
            file: File::create(&partial).await?,
            hash: sha2::Sha256::new(),
            count: 0,
        };
        let mut failures = 0;
        while let Err(error) = self
            .receive(resource, &mut receiving, |count| progress(count, size))
            .await
        {
            failures += 1;
            match error {
                Error::Later { after, .. } if failures < self.settings().attempts => {
                    self.back_off(failures, after).await;
                }
                error => {
                    tokio::fs::remove_file(&partial).await?;
                    return Err(error);
                }
            }
        }
        receiving.file.sync_all().await?;
        if Sha256::from_bytes(receiving.hash.finalize().into()) != wanted {
            tokio::fs::remove_file(&partial).await?;
            return Err(Error::NotTheServer(
                "other bytes than those of the resource".into(),
            ));
        }
        Ok(tokio::fs::rename(&partial, to).await?)
    }

    /// Takes what is still to come.
    async fn receive(
        &self,
        resource: ResourceId,
        to: &mut Receiving,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<()> {
        let mut request = Request::get(format!("/resources/{resource}/download")).streamed();
        if to.count > 0 {
            request = request.with(RANGE, format!("bytes={}-", to.count));
        }
        let mut answer = self.request(&request).await?;
        if answer.status.is_redirection() {
            // The storage wants no login of this server's.
            request.path = answer.header(LOCATION.as_str()).unwrap_or_default().to_owned();
            answer = self.http().send("", &request, None).await?;
        }
        if answer.status != StatusCode::PARTIAL_CONTENT {
            to.begin_anew().await?;
        }
        let mut stream = answer
            .stream
            .ok_or_else(|| Error::NotTheServer("no bytes".into()))?;
        loop {
            let frame = tokio::time::timeout(self.settings().timeout, stream.frame()).await;
            let Some(frame) = frame.map_err(Error::later)? else {
                return Ok(());
            };
            if let Ok(bytes) = frame.map_err(Error::later)?.into_data() {
                to.file.write_all(&bytes).await?;
                to.hash.update(&bytes);
                to.count += bytes.len() as u64;
                progress(to.count);
            }
        }
    }

    /// Sends a file; answers why the server does not take it, if so.
    pub(crate) async fn send_file(
        &self,
        mut upload: Upload,
        progress: impl FnMut(u64, u64) + Send,
    ) -> Result<Option<Problem>> {
        let resource = upload.resource;
        match self.send_bytes(&mut upload, progress).await {
            Ok(()) => {
                if self.blocking(move |store| store.end_upload(resource)).await? {
                    tokio::fs::remove_file(self.file_of(resource)).await?;
                }
                Ok(None)
            }
            Err(Error::Refused(problem)) => {
                upload.problem = Some(problem.clone());
                self.note(&upload).await?;
                Ok(Some(problem))
            }
            Err(error) => Err(error),
        }
    }

    async fn send_bytes(&self, upload: &mut Upload, mut progress: impl FnMut(u64, u64) + Send) -> Result<()> {
        let mut file = match File::open(self.file_of(upload.resource)).await {
            // Another process has sent it.
            Err(error) if error.kind() == ErrorKind::NotFound && !self.waits(upload.resource).await? => {
                return Ok(());
            }
            opened => opened?,
        };
        let mut offset = self.resume(upload).await?;
        let mut failures = 0;
        loop {
            progress(offset, upload.bytes);
            if offset >= upload.bytes {
                return Ok(());
            }
            match self.send_part(upload, &mut file, offset).await {
                Ok(arrived) => (offset, failures) = (arrived, 0),
                Err(error) => {
                    failures += 1;
                    let after = match &error {
                        Error::Later { after, .. } => *after,
                        Error::Refused(problem) if OTHER_STATE.contains(&problem.code.as_str()) => None,
                        _ => return Err(error),
                    };
                    if failures >= self.settings().attempts {
                        return Err(error);
                    }
                    self.back_off(failures, after).await;
                    offset = self.resume(upload).await?;
                }
            }
        }
    }

    async fn send_part(&self, upload: &Upload, file: &mut File, offset: u64) -> Result<u64> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(offset)).await?;
        file.take(self.settings().chunk_bytes as u64)
            .read_to_end(&mut bytes)
            .await?;
        let mut request = tus(Method::PATCH, upload)
            .with(UPLOAD_OFFSET, offset.to_string())
            .with(CONTENT_TYPE, "application/offset+octet-stream");
        request.body = bytes.into();
        // Where no answer comes, it has to be asked how much arrived.
        request.is_repeatable = false;
        arrived(&self.request(&request).await?)
    }

    /// How many bytes the server has. An upload that it does not know, or not any more, begins anew.
    async fn resume(&self, upload: &mut Upload) -> Result<u64> {
        if upload.address.is_some() {
            // Answers to HEAD could not say what is wrong.
            let request = tus(Method::POST, upload).with(METHOD_OVERRIDE, "HEAD");
            match self.request(&request).await {
                Ok(answer) => return arrived(&answer),
                Err(Error::Refused(problem)) if OTHER_STATE.contains(&problem.code.as_str()) => {
                    upload.address = None;
                }
                Err(error) => return Err(error),
            }
        }
        let request = tus(Method::POST, upload)
            .with(UPLOAD_LENGTH, upload.bytes.to_string())
            .with(UPLOAD_METADATA, metadata(upload));
        let answer = self.request(&request).await?;
        let address = answer
            .header(LOCATION.as_str())
            .and_then(|address| address.rsplit('/').next());
        upload.address = Some(address.unwrap_or_default().to_owned());
        self.note(upload).await?;
        arrived(&answer)
    }

    async fn note(&self, upload: &Upload) -> Result<()> {
        let upload = upload.clone();
        self.blocking(move |store: &Store| store.note_upload(&upload))
            .await
    }

    async fn waits(&self, resource: ResourceId) -> Result<bool> {
        let uploads = self.blocking(Store::uploads).await?;
        Ok(uploads.iter().any(|upload| upload.resource == resource))
    }

    fn file_of(&self, resource: ResourceId) -> PathBuf {
        self.files().join(resource.to_string())
    }
}

/// What has come of a download.
struct Receiving {
    file: File,
    hash: sha2::Sha256,
    count: u64,
}

impl Receiving {
    async fn begin_anew(&mut self) -> Result<()> {
        self.file.set_len(0).await?;
        self.file.rewind().await?;
        (self.hash, self.count) = (sha2::Sha256::new(), 0);
        Ok(())
    }
}

/// A request about an upload, or one that begins it.
fn tus(method: Method, upload: &Upload) -> Request {
    let path = match &upload.address {
        Some(id) => format!("/uploads/{id}"),
        None => "/uploads".to_owned(),
    };
    Request::new(method, path).with(TUS_RESUMABLE, "1.0.0")
}

/// `Upload-Metadata`. With an id of this device's, an upload that begins twice makes one resource (A1, A2).
fn metadata(upload: &Upload) -> String {
    let mut pairs = vec![
        ("filename", upload.filename.clone()),
        ("id", upload.resource.to_string()),
        ("createdAt", upload.attached_at.to_string()),
    ];
    pairs.extend(upload.memo.map(|memo| ("memoId", memo.to_string())));
    let pairs = pairs
        .into_iter()
        .map(|(name, text)| format!("{name} {}", STANDARD.encode(text)));
    pairs.collect::<Vec<_>>().join(",")
}

fn arrived(answer: &Answer) -> Result<u64> {
    let offset = answer
        .header(UPLOAD_OFFSET.as_str())
        .and_then(|offset| offset.parse().ok());
    offset.ok_or_else(|| Error::NotTheServer("no Upload-Offset".into()))
}
