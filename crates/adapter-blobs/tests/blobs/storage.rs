//! An S3 server in this process, over a folder. It checks signatures, and knows which uploads are under way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use mosaic_adapter_blobs::{S3Blobs, S3Settings, Secret};
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::RwLock;
use tokio::task::{AbortHandle, JoinSet};

pub(crate) const BUCKET: &str = "notes";
pub(crate) const ACCESS_KEY: &str = "AKIAEXAMPLE";
pub(crate) const SECRET_KEY: &str = "a-secret-that-must-not-be-shown";

/// Pages of uploads are this small, so that there are several.
const PAGE: usize = 2;

/// The server.
pub(crate) struct Storage {
    folder: TempDir,
    endpoint: String,
    uploads: Arc<Mutex<Uploads>>,
    server: AbortHandle,
}

type Uploads = BTreeMap<(String, String), Upload>;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Upload {
    pub(crate) parts: usize,
    initiated: SystemTime,
}

impl Storage {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let uploads = Arc::default();
        let tracked = Tracked {
            files: Arc::new(FileSystem::new(folder.path()).unwrap()),
            uploads: Arc::clone(&uploads),
            turns: Arc::default(),
        };
        let mut builder = S3ServiceBuilder::new(tracked);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let service = service.clone();
                connections.spawn(async move {
                    let io = TokioIo::new(socket);
                    http1::Builder::new().serve_connection(io, service).await.ok();
                });
            }
        });
        Self {
            folder,
            endpoint,
            uploads,
            server: server.abort_handle(),
        }
    }

    pub(crate) fn settings(&self) -> S3Settings {
        settings(&self.endpoint)
    }

    pub(crate) fn store(&self) -> S3Blobs {
        S3Blobs::new(&self.settings()).unwrap()
    }

    pub(crate) fn uploads(&self) -> Vec<Upload> {
        self.uploads.lock().unwrap().values().copied().collect()
    }

    /// Whatever is there that is no finished object.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let uploads = self.uploads.lock().unwrap();
        let uploads = uploads.keys().map(|(key, id)| format!("upload {id} of {key}"));
        let files = files_in(self.folder.path()).into_iter().filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            // `.tmp.` is what this server keeps to itself of a request that was cut off: nobody could remove it over S3.
            let unfinished = [".upload_id-", ".upload-"];
            let is_unfinished = unfinished.iter().any(|prefix| name.starts_with(prefix));
            is_unfinished.then(|| name.to_owned())
        });
        uploads.chain(files).collect()
    }

    pub(crate) fn put_foreign(&self, key: &str) {
        let path = self.folder.path().join(BUCKET).join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "foreign").unwrap();
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Settings for a server at this address, impatient ones.
pub(crate) fn settings(endpoint: &str) -> S3Settings {
    let settings = S3Settings::new(BUCKET, "us-east-1", ACCESS_KEY, Secret::new(SECRET_KEY)).at(endpoint);
    S3Settings {
        allow_http: true,
        prefix: "mosaic".into(),
        part_size: 5 * 1024 * 1024,
        timeout: Duration::from_secs(30),
        ..settings
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// `s3s-fs` with what it lacks: it can't list uploads, overrides no headers, makes buckets that are missing,
/// and may mix up what goes on at the same time.
struct Tracked {
    files: Arc<FileSystem>,
    uploads: Arc<Mutex<Uploads>>,
    /// Parts come at the same time; the end of an upload comes alone.
    turns: Arc<RwLock<()>>,
}

impl Tracked {
    /// Does it to the end, even if the client goes away.
    async fn alone<T: Send + 'static>(&self, work: impl AsyncFnOnceSend<T>) -> S3Result<S3Response<T>> {
        let (files, turns) = (Arc::clone(&self.files), Arc::clone(&self.turns));
        let work = async move {
            let _alone = turns.write().await;
            work.call(files).await
        };
        tokio::spawn(work).await.unwrap()
    }
}

/// What [`Tracked::alone`] does.
trait AsyncFnOnceSend<T>: Send + 'static {
    fn call(self, files: Arc<FileSystem>) -> impl Future<Output = S3Result<S3Response<T>>> + Send;
}

impl<T, F, R> AsyncFnOnceSend<T> for F
where
    F: FnOnce(Arc<FileSystem>) -> R + Send + 'static,
    R: Future<Output = S3Result<S3Response<T>>> + Send,
{
    fn call(self, files: Arc<FileSystem>) -> impl Future<Output = S3Result<S3Response<T>>> + Send {
        self(files)
    }
}

/// The one bucket that there is.
fn known(bucket: &str) -> S3Result<()> {
    if bucket == BUCKET {
        Ok(())
    } else {
        Err(s3s::s3_error!(NoSuchBucket))
    }
}

#[async_trait]
impl S3 for Tracked {
    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        known(&req.input.bucket)?;
        let content_type = req.input.response_content_type.clone();
        let disposition = req.input.response_content_disposition.clone();
        let mut answer = self.files.get_object(req).await?;
        answer.output.content_type = content_type.or(answer.output.content_type);
        answer.output.content_disposition = disposition.or(answer.output.content_disposition);
        Ok(answer)
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        known(&req.input.bucket)?;
        self.files.head_object(req).await
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        known(&req.input.bucket)?;
        self.files.put_object(req).await
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        known(&req.input.bucket)?;
        self.files.delete_object(req).await
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        known(&req.input.bucket)?;
        self.files.list_objects_v2(req).await
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        known(&req.input.bucket)?;
        let key = req.input.key.clone();
        let uploads = Arc::clone(&self.uploads);
        self.alone(move |files: Arc<FileSystem>| async move {
            let answer = files.create_multipart_upload(req).await?;
            let id = answer.output.upload_id.clone().unwrap();
            let metadata = tempfile::tempfile().unwrap().metadata().unwrap();
            let upload = Upload {
                parts: 0,
                initiated: metadata.modified().unwrap(),
            };
            uploads.lock().unwrap().insert((key, id), upload);
            Ok(answer)
        })
        .await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let _with_others = self.turns.read().await;
        let upload = (req.input.key.clone(), req.input.upload_id.clone());
        let answer = self.files.upload_part(req).await?;
        if let Some(upload) = self.uploads.lock().unwrap().get_mut(&upload) {
            upload.parts += 1;
        }
        Ok(answer)
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let upload = (req.input.key.clone(), req.input.upload_id.clone());
        let uploads = Arc::clone(&self.uploads);
        self.alone(move |files: Arc<FileSystem>| async move {
            let answer = files.complete_multipart_upload(req).await?;
            uploads.lock().unwrap().remove(&upload);
            Ok(answer)
        })
        .await
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let upload = (req.input.key.clone(), req.input.upload_id.clone());
        let uploads = Arc::clone(&self.uploads);
        self.alone(move |files: Arc<FileSystem>| async move {
            if uploads.lock().unwrap().remove(&upload).is_none() {
                return Err(s3s::s3_error!(NoSuchUpload));
            }
            files.abort_multipart_upload(req).await
        })
        .await
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        known(&req.input.bucket)?;
        let input = req.input;
        let marker = input.key_marker.zip(input.upload_id_marker);
        let prefix = input.prefix.unwrap_or_default();
        let uploads = self.uploads.lock().unwrap();
        let mut after = uploads.iter().filter(|(name, _)| {
            name.0.starts_with(&prefix) && marker.as_ref().is_none_or(|marker| *name > marker)
        });
        let page: Vec<_> = after.by_ref().take(PAGE).collect();
        let is_truncated = after.next().is_some();
        let last = page
            .last()
            .map(|(name, _)| (*name).clone())
            .filter(|_| is_truncated);
        let (next_key_marker, next_upload_id_marker) = last.unzip();
        let listed = page.into_iter().map(|((key, id), upload)| MultipartUpload {
            key: Some(key.clone()),
            upload_id: Some(id.clone()),
            initiated: Some(Timestamp::from(upload.initiated)),
            ..MultipartUpload::default()
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            is_truncated: Some(is_truncated),
            next_key_marker,
            next_upload_id_marker,
            uploads: Some(listed.collect()),
            ..ListMultipartUploadsOutput::default()
        }))
    }
}
