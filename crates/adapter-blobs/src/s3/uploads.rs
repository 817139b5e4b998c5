//! Multipart uploads that were left behind. The library can't list them, but it signs the address that does.

use std::time::Duration;

use http_body_util::BodyExt;
use mosaic_domain::UnixMillis;
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Bucket;
use super::error::Failure;

/// How long the address is good for. It is used at once.
const EXPIRY: Duration = Duration::from_mins(5);

const LIST: &str = "list uploads";

/// A page of uploads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Page {
    is_truncated: bool,
    next_key_marker: String,
    next_upload_id_marker: String,
    upload: Vec<Upload>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    #[serde(rename = "UploadId")]
    id: String,
    initiated: String,
}

impl Bucket {
    /// Aborts the uploads of blobs that were begun before this moment, but for those of this process that still go on.
    pub(super) async fn sweep(&self, before: UnixMillis) -> Result<u64, Failure> {
        let mut swept = 0;
        let mut markers = None;
        loop {
            let page = match self.uploads(markers.take()).await {
                Ok(page) => page,
                Err(failure) if failure.is_unsupported() => {
                    tracing::warn!(
                        "the storage can't list uploads: a rule of the bucket has to remove old ones"
                    );
                    return Ok(swept);
                }
                Err(failure) => return Err(failure),
            };
            for upload in &page.upload {
                if self.is_left_behind(upload, before)? && self.abort(upload).await? {
                    swept += 1;
                }
            }
            if !page.is_truncated || page.next_key_marker.is_empty() {
                return Ok(swept);
            }
            markers = Some((page.next_key_marker, page.next_upload_id_marker));
        }
    }

    fn is_left_behind(&self, upload: &Upload, before: UnixMillis) -> Result<bool, Failure> {
        let initiated = OffsetDateTime::parse(&upload.initiated, &Rfc3339)
            .map_err(|error| Failure::other(LIST, &error))?;
        Ok(
            initiated.unix_timestamp_nanos() < i128::from(before.get()) * 1_000_000
                && self.name_of(&upload.key).is_some()
                && !self.live().contains(&upload.id),
        )
    }

    /// Whether it was still there.
    async fn abort(&self, upload: &Upload) -> Result<bool, Failure> {
        let path = Path::from(upload.key.as_str());
        let aborted = self.s3.abort_multipart(&path, &upload.id);
        match self.answer("abort an upload", aborted).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_not_found() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    async fn uploads(&self, markers: Option<(String, String)>) -> Result<Page, Failure> {
        tokio::time::timeout(self.timeout, self.ask_for_uploads(markers))
            .await
            .unwrap_or_else(|_| Err(Failure::timeout(LIST, self.timeout)))
    }

    async fn ask_for_uploads(&self, markers: Option<(String, String)>) -> Result<Page, Failure> {
        let mut query = vec![("uploads".to_owned(), String::new())];
        if !self.prefix.is_empty() {
            query.push(("prefix".to_owned(), self.prefix.clone()));
        }
        if let Some((key, id)) = markers {
            query.push(("key-marker".to_owned(), key));
            query.push(("upload-id-marker".to_owned(), id));
        }
        let options = SignedUrlOptions::default().with_query(query);
        let bucket = Path::default();
        let url = self
            .s3
            .signed_url_opts(Method::GET, &bucket, EXPIRY, &options)
            .await
            .map_err(|error| Failure::of(LIST, &error))?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url
            .as_str()
            .parse()
            .map_err(|_| Failure::other(LIST, &"the signed address is none"))?;
        let answer = self.http.execute(request).await;
        let answer = answer.map_err(|error| Failure::connection(LIST, &error))?;
        let status = answer.status();
        let body = answer.into_body().collect().await;
        let body = body
            .map_err(|error| Failure::connection(LIST, &error))?
            .to_bytes();
        let body = String::from_utf8_lossy(&body);
        if !status.is_success() {
            return Err(Failure::answer(LIST, status.as_u16(), &body));
        }
        quick_xml::de::from_str(&body).map_err(|error| Failure::other(LIST, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read() {
        let page: Page = quick_xml::de::from_str(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Bucket>b</Bucket><KeyMarker/><UploadIdMarker/>
              <NextKeyMarker>k2</NextKeyMarker><NextUploadIdMarker>u2</NextUploadIdMarker>
              <MaxUploads>2</MaxUploads><IsTruncated>true</IsTruncated>
              <Upload><Key>k1</Key><UploadId>u1</UploadId><Owner><ID>x</ID></Owner>
                <StorageClass>STANDARD</StorageClass><Initiated>2010-11-10T20:48:33.000Z</Initiated></Upload>
              <Upload><Key>k2</Key><UploadId>u2</UploadId><Initiated>2010-11-10T20:48:34.000Z</Initiated></Upload>
            </ListMultipartUploadsResult>"#,
        )
        .unwrap();
        assert!(page.is_truncated);
        assert_eq!(page.upload.len(), 2);
        assert_eq!(page.next_key_marker, "k2");
        let initiated = OffsetDateTime::parse(&page.upload[0].initiated, &Rfc3339).unwrap();
        assert_eq!(initiated.unix_timestamp(), 1_289_422_113);
    }

    #[test]
    fn an_empty_page_is_read() {
        let page: Page = quick_xml::de::from_str(
            "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>",
        )
        .unwrap();
        assert!(!page.is_truncated && page.upload.is_empty());
    }
}
