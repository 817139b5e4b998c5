//! Forms with a file (`multipart/form-data`, RFC 7578), read as they arrive.
//!
//! Nothing is kept in memory but what is being looked at. A part ends where its boundary stands: a length that a part gives
//! itself must be the one that it has, or what was sent is not what was meant. Bodies that break off, and bodies that stand
//! still, are errors wherever that happens; how long a body takes as a whole does not matter.

mod names;

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use memchr::memmem::{self, Finder};

use crate::body;
use crate::problem::{Problem, ProblemCode};

/// A form may have so many parts.
const MOST_PARTS: usize = 32;
/// All that is not the content of a part may have so many bytes: boundaries, heads, what stands before the first part and after
/// the last.
pub(crate) const AROUND_BYTES: usize = 64 * 1024;
/// The longest boundary there is (RFC 2046).
const BOUNDARY_BYTES: usize = 70;

/// A form that is being read.
pub(crate) struct Multipart {
    payload: Payload,
    idle: Duration,
    /// What has arrived and was not given out.
    buffer: BytesMut,
    /// Finds the line break, the dashes and the boundary that end a part.
    delimiter: Finder<'static>,
    parts: usize,
    /// How much more may stand around the parts.
    room: usize,
    /// How many bytes the part has so far, and how many it says that it has.
    size: u64,
    announced: Option<u64>,
}

/// What a part says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The field that it is.
    pub(crate) name: String,
    /// The name of its file.
    pub(crate) filename: Option<String>,
    /// What kind of file it says that it is.
    pub(crate) content_type: Option<String>,
}

impl Multipart {
    /// Begins to read the body of a request. A client that sends nothing for as long as `idle` is given up.
    ///
    /// # Errors
    /// 415 where it is no form, or packed; 400 `invalid_multipart` where its boundary is missing.
    pub(crate) fn open(request: &HttpRequest, payload: Payload, idle: Duration) -> Result<Self, Problem> {
        body::check_unpacked(request)?;
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let mut said = content_type.unwrap_or_default().split(';').map(str::trim);
        if !said
            .next()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/form-data"))
        {
            return Err(Problem::new(
                ProblemCode::UnsupportedMediaType,
                "the content type must be multipart/form-data",
            ));
        }
        let boundary = said
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.eq_ignore_ascii_case("boundary"))
            .map_or("", |(_, value)| value.trim_matches('"'));
        if !(1..=BOUNDARY_BYTES).contains(&boundary.len()) {
            return Err(invalid(
                "the content type must name a boundary of 1 to 70 characters",
            ));
        }
        // The first boundary has no line before it: with one, all look the same.
        Ok(Self {
            payload,
            idle,
            buffer: BytesMut::from(&b"\r\n"[..]),
            delimiter: Finder::new(format!("\r\n--{boundary}").as_bytes()).into_owned(),
            parts: 0,
            room: AROUND_BYTES,
            size: 0,
            announced: None,
        })
    }

    /// The next part. What is left of the one before is skipped, and counts as standing around it. `None`: the form has ended as it should.
    ///
    /// # Errors
    /// 400 `invalid_multipart`, 408 `request_timeout`.
    pub(crate) async fn next_part(&mut self) -> Result<Option<Part>, Problem> {
        while let Some(bytes) = self.chunk().await? {
            self.spend(bytes.len())?;
        }
        let after = self.delimiter.needle().len();
        self.have(after + 2).await?;
        self.spend(after)?;
        let _ = self.buffer.split_to(after);
        if self.buffer.starts_with(b"--") {
            self.end().await?;
            return Ok(None);
        }
        if !self.buffer.starts_with(b"\r\n") {
            return Err(invalid("a boundary is followed by something else"));
        }
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return Err(invalid(format!("the form has more than {MOST_PARTS} parts")));
        }
        let head = self.head().await?;
        self.begin(&head).map(Some)
    }

    /// The next bytes of the part; never empty. `None`: it has ended.
    ///
    /// # Errors
    /// 400 `invalid_multipart`, 408 `request_timeout`.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let found = self.delimiter.find(&self.buffer);
            if found == Some(0) {
                self.check_announced()?;
                return Ok(None);
            }
            // Without a boundary, its beginning may stand at the end.
            let sure = found.unwrap_or((self.buffer.len() + 1).saturating_sub(self.delimiter.needle().len()));
            if sure > 0 {
                self.size += sure as u64;
                return Ok(Some(self.buffer.split_to(sure).freeze()));
            }
            self.have(self.buffer.len() + 1).await?;
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Problem> {
        let room = self.room.checked_sub(bytes);
        self.room = room.ok_or_else(|| invalid("too much stands around the parts, or in their heads"))?;
        Ok(())
    }

    /// Waits until there are so many bytes.
    async fn have(&mut self, bytes: usize) -> Result<(), Problem> {
        while self.buffer.len() < bytes {
            if !self.more().await? {
                return Err(invalid("the body ends before its last boundary"));
            }
        }
        Ok(())
    }

    /// Waits for more bytes. `false`: there are none.
    async fn more(&mut self) -> Result<bool, Problem> {
        let bytes = body::next_bytes(&mut self.payload, self.idle).await?;
        self.buffer
            .extend_from_slice(bytes.as_deref().unwrap_or_default());
        Ok(bytes.is_some())
    }

    /// The lines between a boundary and the content of its part.
    async fn head(&mut self) -> Result<Bytes, Problem> {
        let mut looked_at = 0;
        loop {
            if let Some(found) = memmem::find(&self.buffer[looked_at..], b"\r\n\r\n") {
                let end = looked_at + found;
                self.spend(end + 4)?;
                return Ok(self.buffer.split_to(end + 4).freeze());
            }
            if self.buffer.len() > self.room {
                self.spend(self.buffer.len())?;
            }
            looked_at = self.buffer.len().saturating_sub(3);
            self.have(self.buffer.len() + 1).await?;
        }
    }

    fn begin(&mut self, head: &[u8]) -> Result<Part, Problem> {
        let head = std::str::from_utf8(head).map_err(|_| invalid("the head of a part is not UTF-8"))?;
        let mut lines = Vec::new();
        for line in head.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| invalid("the head of a part has a line that is no header"))?;
            lines.push((name.trim(), value.trim()));
        }
        let header = |wanted: &str| {
            let mut found = lines
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| *value);
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(invalid(format!("a part has two headers {wanted}"))),
                (one, None) => Ok(one),
            }
        };
        if let Some(encoding) = header("content-transfer-encoding")?
            && !["7bit", "8bit", "binary"]
                .iter()
                .any(|plain| encoding.eq_ignore_ascii_case(plain))
        {
            return Err(invalid("a part is encoded: it must be sent as it is"));
        }
        self.size = 0;
        self.announced = match header("content-length")? {
            Some(length) => Some(
                length
                    .parse()
                    .map_err(|_| invalid("the Content-Length of a part is no number"))?,
            ),
            None => None,
        };
        let disposition =
            header("content-disposition")?.ok_or_else(|| invalid("a part has no Content-Disposition"))?;
        let (name, filename) = names::read(disposition)
            .ok_or_else(|| invalid("the Content-Disposition of a part names no field that can be read"))?;
        Ok(Part {
            name,
            filename,
            content_type: header("content-type")?.map(str::to_owned),
        })
    }

    fn check_announced(&self) -> Result<(), Problem> {
        match self.announced {
            Some(announced) if announced != self.size => Err(invalid(format!(
                "a part says that it has {announced} bytes, but it has {}",
                self.size
            ))),
            _ => Ok(()),
        }
    }

    /// Reads what comes after the last boundary, so that the connection can go on.
    async fn end(&mut self) -> Result<(), Problem> {
        loop {
            self.spend(self.buffer.len())?;
            self.buffer.clear();
            if !self.more().await? {
                return Ok(());
            }
        }
    }
}

fn invalid(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(ProblemCode::InvalidMultipart, detail)
}

impl std::fmt::Debug for Multipart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Multipart")
            .field("parts", &self.parts)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use actix_web::error::PayloadError;
    use actix_web::test::TestRequest;
    use futures_util::{StreamExt, stream};

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=XyZ";

    /// A form over these pieces of a body.
    fn open(content_type: &str, pieces: Vec<Result<Bytes, PayloadError>>) -> Result<Multipart, Problem> {
        let request = TestRequest::post()
            .insert_header(("content-type", content_type))
            .to_http_request();
        let payload = Payload::Stream {
            payload: stream::iter(pieces).boxed_local(),
        };
        Multipart::open(&request, payload, Duration::from_secs(20))
    }

    type Read = Vec<(Part, Vec<u8>)>;

    async fn read_all(mut form: Multipart) -> Result<Read, Problem> {
        let mut read = Vec::new();
        while let Some(part) = form.next_part().await? {
            let mut content = Vec::new();
            while let Some(bytes) = form.chunk().await? {
                assert!(!bytes.is_empty());
                content.extend_from_slice(&bytes);
            }
            read.push((part, content));
        }
        Ok(read)
    }

    /// Reads a body in one piece, and in pieces of some sizes: the outcome is always the same.
    async fn read(body: &[u8]) -> Result<Read, String> {
        let mut outcomes = Vec::new();
        for size in [body.len().max(1), 1, 2, 7] {
            let pieces = body
                .chunks(size)
                .map(|piece| Ok(Bytes::copy_from_slice(piece)))
                .collect();
            let outcome = read_all(open(TYPE, pieces).unwrap()).await;
            outcomes.push(outcome.map_err(|problem| {
                assert_eq!(problem.code(), ProblemCode::InvalidMultipart, "{problem:?}");
                problem.detail().to_owned()
            }));
        }
        assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{outcomes:?}");
        outcomes.remove(0)
    }

    fn part(name: &str, filename: Option<&str>, content_type: Option<&str>) -> Part {
        Part {
            name: name.to_owned(),
            filename: filename.map(str::to_owned),
            content_type: content_type.map(str::to_owned),
        }
    }

    #[actix_web::test]
    async fn parts_are_read_to_the_byte() {
        let body = b"before it\r\n--XyZ\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\n7\r\n--XyZ\r\n\
            content-type: image/png\r\nCONTENT-DISPOSITION: form-data; name=\"file\"; filename=\"a b.png\"\r\n\
            Content-Length: 21\r\n\r\n\r\n--XyY\r\n\0\xff--XyZ\r\n\r\n\r\r\n--XyZ\r\n\
            Content-Disposition: form-data; name=empty\r\n\r\n\r\n--XyZ--\r\nafter it";
        let read = read(body).await.unwrap();
        assert_eq!(
            read,
            [
                (part("id", None, None), b"7".to_vec()),
                (
                    part("file", Some("a b.png"), Some("image/png")),
                    b"\r\n--XyY\r\n\0\xff--XyZ\r\n\r\n\r".to_vec()
                ),
                (part("empty", None, None), Vec::new()),
            ]
        );
    }

    #[actix_web::test]
    async fn a_form_without_parts_is_one() {
        assert_eq!(read(b"--XyZ--").await, Ok(Vec::new()));
        assert_eq!(read(b"--XyZ--\r\n").await, Ok(Vec::new()));
    }

    #[actix_web::test]
    async fn what_is_no_form_is_refused() {
        const HEAD: &str = "Content-Disposition: form-data; name=\"f\"";
        let many = format!("--XyZ\r\n{HEAD}\r\n\r\n\r\n").repeat(33);
        for (body, detail) in [
            (String::new(), "before its last boundary"),
            ("no form".to_owned(), "before its last boundary"),
            ("x".repeat(70_000), "too much stands around"),
            ("--XyZ".to_owned(), "before its last boundary"),
            ("--XyZ\r\n".to_owned(), "before its last boundary"),
            (format!("--XyZ\r\n{HEAD}\r\n\r\nabc"), "before its last boundary"),
            (
                format!("--XyZ\r\n{HEAD}\r\n\r\nabc\r\n--Xy"),
                "before its last boundary",
            ),
            (
                format!("--XyZ\r\n{HEAD}\r\n\r\nabc\r\n--XyZ"),
                "before its last boundary",
            ),
            (
                format!("--XyZ\r\n{HEAD}\r\n\r\nabc\r\n--XyZ-"),
                "before its last boundary",
            ),
            (
                format!("--XyZ\r\n{HEAD}\r\n\r\nabc\r\n--XyZQ--"),
                "something else",
            ),
            ("--XyZ\r\n\r\nabc\r\n--XyZ--".to_owned(), "no Content-Disposition"),
            (
                "--XyZ\r\nContent-Disposition: form-data\r\n\r\n\r\n--XyZ--".to_owned(),
                "names no field",
            ),
            (
                "--XyZ\r\nContent-Disposition: attachment; name=f\r\n\r\n\r\n--XyZ--".to_owned(),
                "names no field",
            ),
            (
                "--XyZ\r\nContent-Disposition: form-data; name=\"f\0\"\r\n\r\n\r\n--XyZ--".to_owned(),
                "names no field",
            ),
            (
                format!("--XyZ\r\n{HEAD}\r\n{HEAD}\r\n\r\n\r\n--XyZ--"),
                "two headers",
            ),
            (
                format!("--XyZ\r\n{HEAD}\r\nno header\r\n\r\n\r\n--XyZ--"),
                "no header",
            ),
            (
                format!("--XyZ\r\n{HEAD}\r\nContent-Transfer-Encoding: base64\r\n\r\n\r\n--XyZ--"),
                "encoded",
            ),
            (
                format!("--XyZ\r\n{HEAD}\r\nX: {}", "x".repeat(70_000)),
                "too much stands around",
            ),
            (format!("{many}--XyZ--"), "more than 32 parts"),
            (format!("--XyZ--{}", "x".repeat(70_000)), "too much stands around"),
        ] {
            let refused = read(body.as_bytes()).await.unwrap_err();
            let start: String = body.chars().take(200).collect();
            assert!(refused.contains(detail), "{start}: {refused}");
        }
    }

    #[actix_web::test]
    async fn a_part_that_lies_about_its_length_is_refused() {
        for length in ["2", "4", "99", "-1", "x", "18446744073709551616"] {
            let body = format!(
                "--XyZ\r\nContent-Disposition: form-data; name=\"f\"\r\nContent-Length: {length}\r\n\r\nabc\r\n--XyZ--"
            );
            let refused = read(body.as_bytes()).await.unwrap_err();
            assert!(
                refused.contains("says that it has") || refused.contains("no number"),
                "{refused}"
            );
        }
    }

    #[actix_web::test]
    async fn what_is_not_announced_as_a_form_with_a_boundary_is_refused() {
        use ProblemCode::{InvalidMultipart, UnsupportedMediaType};
        let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
        for (content_type, code) in [
            ("", UnsupportedMediaType),
            ("application/json", UnsupportedMediaType),
            ("multipart/mixed; boundary=b", UnsupportedMediaType),
            ("multipart/form-data; boundary=", InvalidMultipart),
            ("multipart/form-data", InvalidMultipart),
            ("multipart/form-data; boundary=\"\"", InvalidMultipart),
            (&long, InvalidMultipart),
        ] {
            let problem = open(content_type, Vec::new()).unwrap_err();
            assert_eq!(problem.code(), code, "{content_type}");
        }
        for content_type in [
            "Multipart/Form-Data; charset=utf-8; BOUNDARY=\"a b\"",
            "multipart/form-data;boundary=a/b:c=d?e",
        ] {
            assert!(open(content_type, Vec::new()).is_ok(), "{content_type}");
        }
    }

    #[actix_web::test]
    async fn a_body_that_breaks_off_is_an_error() {
        let pieces = vec![
            Ok(Bytes::from_static(
                b"--XyZ\r\nContent-Disposition: form-data; name=f\r\n\r\nab",
            )),
            Err(PayloadError::Incomplete(None)),
        ];
        let problem = read_all(open(TYPE, pieces).unwrap()).await.unwrap_err();
        assert_eq!(problem.code(), ProblemCode::BadRequest);
    }

    #[actix_web::test]
    async fn a_body_that_stands_still_is_given_up_wherever_it_does() {
        let body: &[u8] = b"--XyZ\r\nContent-Disposition: form-data; name=f\r\n\r\nab\r\n--XyZ--\r\n";
        for end in [0, 3, 20, 50, body.len()] {
            let request = TestRequest::post()
                .insert_header(("content-type", TYPE))
                .to_http_request();
            let begun = stream::iter([Ok(Bytes::from_static(&body[..end]))]);
            let payload = Payload::Stream {
                payload: begun.chain(stream::pending()).boxed_local(),
            };
            let form = Multipart::open(&request, payload, Duration::from_millis(20)).unwrap();
            let problem = read_all(form).await.unwrap_err();
            assert_eq!(problem.code(), ProblemCode::RequestTimeout, "{end}");
        }
    }
}
