//! The bytes of resources, up in parts (tus 1.0.0) and down.

use std::ffi::OsStr;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{CONTENT_TYPE, HeaderName, LOCATION, RANGE};
use hyper::{Method, StatusCode};
use mosaic_domain::entity::{Filename, Resource, Sha256};
use mosaic_domain::{MemoId, ResourceId};
use sha2::Digest as _;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use crate::client::Client;
use crate::error::{Error, Problem, Result};
use crate::files::{Partial, copy_durably, create_private_folder, remove, sync_folder_of};
use crate::http::{Answer, Failures, Request, next_part};
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
    /// [`Error::Invalid`] where the file's name can't be one of a resource; [`Error::Local`], also where it is no regular file.
    pub fn attach(&self, file: &Path, memo: Option<MemoId>) -> Result<ResourceId> {
        let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let filename = Filename::new(name.to_owned())?;
        let resource = ResourceId::new(self.new_id());
        create_private_folder(self.files())?;
        let copy = self.file_of(resource);
        let attached = copy_durably(file, &copy).and_then(|bytes| {
            self.store().add_upload(&Upload {
                resource,
                filename: filename.as_str().to_owned(),
                memo,
                bytes,
                attached_at: self.now().get(),
                address: None,
                problem: None,
            })
        });
        if attached.is_err() {
            remove(&copy)?;
        }
        attached.map(|()| resource)
    }

    /// Gives a file up that is not on the server yet; answers whether it was so.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn discard(&self, resource: ResourceId) -> Result<bool> {
        let was_there = self.store().end_upload(resource)?;
        if was_there {
            remove(&self.file_of(resource))?;
        }
        Ok(was_there)
    }

    /// Writes the bytes of a resource to a file, over what is there, which is then there whole and durable, or as it was. Meanwhile
    /// they are beside it, in a file whose name ends in `.partial`. `progress` is told how many bytes have come, of how many.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such resource here, or its bytes are not uploaded yet; [`Error::NotTheServer`] where other
    /// bytes come; [`Error::Local`] where the file can't be written; as [`sync`](Self::sync).
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
        let partial = Partial::beside(to);
        let mut receiving = Receiving {
            file: File::create(&partial.0).await?,
            hash: sha2::Sha256::new(),
            count: 0,
            most: 0,
        };
        let mut failures = Failures::default();
        let mut progress = |count| progress(count, size);
        while let Err(error) = self
            .receive(resource, &mut receiving, &mut failures, &mut progress)
            .await
        {
            match error {
                error @ Error::Later { .. } => self.http().wait(error, &mut failures).await?,
                error => return Err(error),
            }
        }
        // What `write_all` has taken is written behind, and only `flush` tells what became of it.
        receiving.file.flush().await?;
        receiving.file.sync_all().await?;
        if Sha256::from_bytes(receiving.hash.finalize().into()) != wanted {
            return Err(Error::NotTheServer(
                "other bytes than those of the resource".into(),
            ));
        }
        tokio::fs::rename(&partial.0, to).await?;
        Ok(sync_folder_of(to)?)
    }

    /// Takes what is still to come.
    async fn receive(
        &self,
        resource: ResourceId,
        to: &mut Receiving,
        failures: &mut Failures,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<()> {
        let mut request = Request::get(format!("/resources/{resource}/download")).streamed();
        if to.count > 0 {
            request = request.with(RANGE, format!("bytes={}-", to.count));
        }
        let mut answer = self.request(&request, failures).await?;
        if answer.status.is_redirection() {
            // The storage wants no login of this server's.
            request.path = answer.header(LOCATION.as_str()).unwrap_or_default().to_owned();
            answer = self.http().send("", &request, None, failures).await?;
        }
        if to.count > 0 && answer.status != StatusCode::PARTIAL_CONTENT {
            to.begin_anew().await?;
        }
        let mut stream = answer
            .stream
            .ok_or_else(|| Error::NotTheServer("no bytes".into()))?;
        while let Some(bytes) = next_part(&mut stream, self.settings().timeout).await? {
            to.file.write_all(&bytes).await?;
            to.hash.update(&bytes);
            to.count += bytes.len() as u64;
            if to.count > to.most {
                to.most = to.count;
                failures.end();
            }
            progress(to.count);
        }
        Ok(())
    }

    /// Sends a file; answers why it is not taken, if so.
    pub(crate) async fn send_file(
        &self,
        mut upload: Upload,
        failures: &mut Failures,
        progress: impl FnMut(u64, u64) + Send,
    ) -> Result<Option<Problem>> {
        let resource = upload.resource;
        match self.send_bytes(&mut upload, failures, progress).await {
            Ok(()) => {
                if self.blocking(move |store| store.end_upload(resource)).await? {
                    remove(&self.file_of(resource))?;
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

    async fn send_bytes(
        &self,
        upload: &mut Upload,
        failures: &mut Failures,
        mut progress: impl FnMut(u64, u64) + Send,
    ) -> Result<()> {
        let mut file = match self.open_copy(upload).await {
            // Another process has sent it, or somebody has given it up.
            Err(_) if !self.waits(upload.resource).await? => return Ok(()),
            opened => opened?,
        };
        let mut offset = self.resume(upload, &mut file, failures).await?;
        let mut most = offset;
        loop {
            progress(offset, upload.bytes);
            if offset >= upload.bytes {
                return Ok(());
            }
            match self.send_part(upload, &mut file, offset, failures).await {
                Ok(arrived) => {
                    offset = arrived;
                    if offset > most {
                        most = offset;
                        failures.end();
                    }
                }
                Err(error) => {
                    let is_other_state = OTHER_STATE.iter().any(|code| error.is_refused(code));
                    if !is_other_state && !matches!(error, Error::Later { .. }) {
                        return Err(error);
                    }
                    self.http().wait(error, failures).await?;
                    offset = self.resume(upload, &mut file, failures).await?;
                }
            }
        }
    }

    /// The copy of a file that waits. Without it only this upload can't go on.
    async fn open_copy(&self, upload: &Upload) -> Result<File> {
        let unreadable = |reason: String| {
            Error::Refused(Problem {
                code: "file_unreadable".to_owned(),
                detail: format!("the copy of {} can't be sent: {reason}", upload.filename),
                errors: Vec::new(),
            })
        };
        let opened = async {
            let file = File::open(self.file_of(upload.resource)).await?;
            let bytes = file.metadata().await?.len();
            Ok::<_, std::io::Error>((file, bytes))
        };
        match opened.await {
            Ok((file, bytes)) if bytes == upload.bytes => Ok(file),
            Ok((_, bytes)) => Err(unreadable(format!(
                "it has {bytes} bytes, and had {}",
                upload.bytes
            ))),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    async fn send_part(
        &self,
        upload: &Upload,
        file: &mut File,
        offset: u64,
        failures: &mut Failures,
    ) -> Result<u64> {
        let mut request = tus(Method::PATCH, upload).with(UPLOAD_OFFSET, offset.to_string());
        request = self.with_part(request, file, offset).await?;
        // Where no answer comes, it has to be asked how much arrived.
        request.is_repeatable = false;
        match arrived(&self.request(&request, failures).await?)? {
            arrived if arrived > offset => Ok(arrived),
            _ => Err(Error::later("the upload does not move on")),
        }
    }

    /// The request, with the next part of the file.
    async fn with_part(&self, request: Request, file: &mut File, offset: u64) -> Result<Request> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(offset)).await?;
        file.take(self.settings().chunk_bytes as u64)
            .read_to_end(&mut bytes)
            .await?;
        let mut request = request.with(CONTENT_TYPE, "application/offset+octet-stream");
        request.body = bytes.into();
        Ok(request)
    }

    /// How many bytes the server has. An upload that it does not know, or not any more, begins anew: with all of its bytes, where they
    /// are one part. Should the answer get lost it is sent again, which changes nothing (A2).
    async fn resume(&self, upload: &mut Upload, file: &mut File, failures: &mut Failures) -> Result<u64> {
        if upload.address.is_some() {
            // Answers to HEAD could not say what is wrong.
            let request = tus(Method::POST, upload).with(METHOD_OVERRIDE, "HEAD");
            match self.request(&request, failures).await {
                Ok(answer) => return arrived(&answer),
                Err(error) if OTHER_STATE.iter().any(|code| error.is_refused(code)) => {
                    upload.address = None;
                }
                Err(error) => return Err(error),
            }
        }
        let mut request = tus(Method::POST, upload)
            .with(UPLOAD_LENGTH, upload.bytes.to_string())
            .with(UPLOAD_METADATA, metadata(upload));
        if upload.bytes <= self.settings().chunk_bytes as u64 {
            request = self.with_part(request, file, 0).await?;
        }
        let answer = self.request(&request, failures).await?;
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
    /// The most that it has been.
    most: u64,
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
