//! The head of a request: the strict reading of RFC 9112. What two programs in a row could understand in two ways is refused.

use actix_web::http::Uri;
use actix_web::http::uri::Authority;
use actix_web::web::{Buf as _, Bytes, BytesMut};

use crate::problem::{Problem, ProblemCode};

/// The longest head, in bytes.
pub(crate) const LONGEST: usize = 64 * 1024;
/// The longest address, in bytes.
const ADDRESS: usize = 32 * 1024;
/// The most headers. actix takes as many.
const HEADERS: usize = 96;

/// How far a head was looked through for its end.
#[derive(Debug, Default)]
pub(super) struct Scan {
    at: usize,
    has_line: bool,
}

/// A head that is beyond doubt.
#[derive(Debug)]
pub(super) struct Head {
    /// What actix is to read.
    pub(super) bytes: Bytes,
    pub(super) body: BodyLength,
    /// Whether the client waits with the body until it is told to send it.
    pub(super) expects_continue: bool,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    None,
    Sized(u64),
    Chunked,
}

fn malformed(what: &'static str) -> Problem {
    Problem::new(ProblemCode::BadRequest, what)
}

/// Takes a head from the buffer, once it is there as a whole.
///
/// # Errors
/// Why the request is refused.
pub(super) fn read(scan: &mut Scan, buffer: &mut BytesMut) -> Result<Option<Head>, Problem> {
    let Some(end) = end_of_head(scan, buffer)? else {
        return Ok(None);
    };
    let bytes = buffer.split_to(end).freeze();
    inspect(&bytes).map(Some)
}

/// Where the head ends. Each byte is looked at once, however they come.
fn end_of_head(scan: &mut Scan, buffer: &mut BytesMut) -> Result<Option<usize>, Problem> {
    // One empty line before a request is what old clients send after a body.
    if scan.at == 0 {
        if buffer.starts_with(b"\r\n") {
            buffer.advance(2);
        }
        match &buffer[..] {
            [] | [b'\r'] => return Ok(None),
            [first, ..] if first.is_ascii_alphabetic() => {}
            // TLS, mostly.
            _ => return Err(malformed("this is not a request of HTTP")),
        }
    }
    while let Some(found) = memchr::memchr(b'\n', &buffer[scan.at..]) {
        let end = scan.at + found + 1;
        if !buffer[..end].ends_with(b"\r\n") {
            return Err(malformed("a line of the head ends without a carriage return"));
        }
        scan.at = end;
        if buffer[..end].ends_with(b"\r\n\r\n") {
            return if end > LONGEST {
                Err(too_large(true))
            } else {
                Ok(Some(end))
            };
        }
        scan.has_line = true;
    }
    scan.at = buffer.len();
    if buffer.len() > LONGEST || (!scan.has_line && buffer.len() > ADDRESS + 64) {
        return Err(too_large(scan.has_line));
    }
    Ok(None)
}

fn too_large(has_line: bool) -> Problem {
    if has_line {
        Problem::new(
            ProblemCode::HeadersTooLarge,
            "the head of the request is too large",
        )
    } else {
        Problem::new(ProblemCode::UriTooLong, "the address is too long")
    }
}

fn inspect(bytes: &Bytes) -> Result<Head, Problem> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(malformed("the head of the request ends where it should not")),
        Err(httparse::Error::TooManyHeaders) => return Err(too_large(true)),
        Err(httparse::Error::Version) => {
            return Err(Problem::new(
                ProblemCode::VersionNotSupported,
                "the version of HTTP is neither 1.1 nor 1.0",
            ));
        }
        Err(_) => return Err(malformed("the head of the request is malformed")),
    }
    let address = request.path.unwrap_or_default();
    if address.len() > ADDRESS {
        return Err(too_large(false));
    }
    let is_everything = address == "*";
    if address.parse::<Uri>().is_err() || is_everything && request.method != Some("OPTIONS") {
        return Err(malformed("the address is malformed"));
    }
    if request.method == Some("CONNECT") {
        return Err(Problem::new(
            ProblemCode::MethodNotAllowed,
            "this server is no proxy",
        ));
    }
    let is_modern = request.version == Some(1);
    check_host(request.headers, is_modern)?;
    let body = body_length(request.headers, is_modern)?;
    let expects = expects_continue(request.headers)?;
    Ok(Head {
        bytes: without_hop_by_hop(bytes, request.headers),
        body,
        expects_continue: expects && is_modern && !matches!(body, BodyLength::None | BodyLength::Sized(0)),
    })
}

fn values<'a>(headers: &'a [httparse::Header<'_>], name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let named = headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| header.value.trim_ascii())
}

/// A request names one host (RFC 9112, 3.2).
fn check_host(headers: &[httparse::Header<'_>], is_modern: bool) -> Result<(), Problem> {
    let mut hosts = values(headers, "host");
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None) => Err(malformed("the Host header names no host")),
        (None, _) if !is_modern => Ok(()),
        _ => Err(malformed("a request has one Host header")),
    }
}

/// A name or an address, and perhaps a port; nothing, where the address of the request has no host.
fn is_host(host: &[u8]) -> bool {
    let is_port = |port: Option<&str>| port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    host.is_empty()
        || Authority::try_from(host).is_ok_and(|host| {
            let port = host.as_str().strip_prefix(host.host());
            !host.as_str().contains('@') && is_port(port.and_then(|port| port.strip_prefix(':')))
        })
}

/// How long the body is, said in one way (RFC 9112, 6.3).
fn body_length(headers: &[httparse::Header<'_>], is_modern: bool) -> Result<BodyLength, Problem> {
    let mut lengths = values(headers, "content-length");
    let mut codings = values(headers, "transfer-encoding");
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(BodyLength::None),
        (Some(length), None) if lengths.next().is_none() => {
            let digits = length.iter().all(u8::is_ascii_digit).then_some(length);
            let length = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
            length
                .map(BodyLength::Sized)
                .ok_or_else(|| malformed("Content-Length is no number of bytes"))
        }
        (None, Some(coding)) if codings.next().is_none() && is_modern => {
            if coding.eq_ignore_ascii_case(b"chunked") {
                Ok(BodyLength::Chunked)
            } else {
                Err(malformed(
                    "the only Transfer-Encoding that is understood is chunked",
                ))
            }
        }
        _ => Err(malformed("the length of the body is said in more than one way")),
    }
}

fn expects_continue(headers: &[httparse::Header<'_>]) -> Result<bool, Problem> {
    let mut expects = false;
    for value in values(headers, "expect") {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Problem::new(
                ProblemCode::ExpectationFailed,
                "the only expectation that can be met is 100-continue",
            ));
        }
        expects = true;
    }
    Ok(expects)
}

/// The head without what is settled here. Its expectation: actix would meet it at once. An upgrade: nobody here can do any, so that it
/// is to be ignored (RFC 9110, 7.8), but actix would wait for the bytes of another protocol.
fn without_hop_by_hop(bytes: &Bytes, headers: &[httparse::Header<'_>]) -> Bytes {
    let upgrades = |value: &[u8]| has_token(value, b"upgrade");
    if values(headers, "expect")
        .chain(values(headers, "upgrade"))
        .next()
        .is_none()
        && !values(headers, "connection").any(upgrades)
    {
        return bytes.clone();
    }
    let mut kept = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if name.eq_ignore_ascii_case(b"connection") && upgrades(value) {
            if has_token(value, b"close") {
                kept.extend_from_slice(b"connection: close\r\n");
            }
        } else if !name.eq_ignore_ascii_case(b"expect") && !name.eq_ignore_ascii_case(b"upgrade") {
            kept.extend_from_slice(line);
        }
    }
    kept.into()
}

fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',')
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> Result<Option<Head>, Problem> {
        read(&mut Scan::default(), &mut BytesMut::from(text))
    }

    fn code_of(text: &str) -> ProblemCode {
        match read_all(text) {
            Err(problem) => problem.code(),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn a_head_is_taken_when_it_is_whole_and_nothing_else_is() {
        let text = "\r\nPOST /memos?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
        for cut in 0..text.len() - 7 {
            let (mut scan, mut buffer) = (Scan::default(), BytesMut::from(&text[..cut]));
            assert!(read(&mut scan, &mut buffer).unwrap().is_none(), "{cut}");
            buffer.extend_from_slice(&text.as_bytes()[cut..]);
            let head = read(&mut scan, &mut buffer).unwrap().unwrap();
            assert_eq!(head.body, BodyLength::Sized(7));
            assert_eq!(&buffer[..], b"{\"a\":1}");
            assert!(head.bytes.starts_with(b"POST") && head.bytes.ends_with(b"\r\n\r\n"));
        }
    }

    #[test]
    fn what_could_be_understood_in_two_ways_is_refused() {
        for (code, head) in [
            (ProblemCode::BadRequest, "GET / HTTP/1.1\nHost: x\n\n"),
            (ProblemCode::BadRequest, "GET / HTTP/1.1\r\nHost: x\n\r\n"),
            (
                ProblemCode::BadRequest,
                "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
            ),
            (
                ProblemCode::BadRequest,
                "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
            ),
            (
                ProblemCode::BadRequest,
                "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
            ),
            (
                ProblemCode::BadRequest,
                "GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
            ),
            (ProblemCode::BadRequest, "GET / HTTP/1.1\r\n\r\n"),
            (
                ProblemCode::BadRequest,
                "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            ),
            (
                ProblemCode::BadRequest,
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\n",
            ),
            (
                ProblemCode::BadRequest,
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n",
            ),
            (
                ProblemCode::BadRequest,
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n",
            ),
            (
                ProblemCode::BadRequest,
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
            ),
            (
                ProblemCode::BadRequest,
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
            ),
            (
                ProblemCode::BadRequest,
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            (
                ProblemCode::BadRequest,
                "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            ),
            (
                ProblemCode::BadRequest,
                "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
            ),
            (
                ProblemCode::BadRequest,
                "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            (ProblemCode::BadRequest, "GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
            (ProblemCode::BadRequest, "GET http:// HTTP/1.1\r\nHost: x\r\n\r\n"),
            (ProblemCode::BadRequest, "\x16\x03\x01\x02"),
            (ProblemCode::BadRequest, " GET / HTTP/1.1\r\n\r\n"),
            (
                ProblemCode::MethodNotAllowed,
                "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
            ),
            (
                ProblemCode::VersionNotSupported,
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            ),
            (
                ProblemCode::ExpectationFailed,
                "GET / HTTP/1.1\r\nHost: x\r\nExpect: gold\r\n\r\n",
            ),
        ] {
            assert_eq!(code_of(head), code, "{head:?}");
        }
    }

    /// RFC 9110, 7.8: what can't be upgraded to is ignored, and with it what belongs to the wish.
    #[test]
    fn a_wish_for_another_protocol_is_ignored() {
        for (wish, left) in [
            ("Upgrade: websocket\r\n", ""),
            (
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nA: b\r\n",
                "A: b\r\n",
            ),
            (
                "Connection: close , UPGRADE\r\nUpgrade: x\r\n",
                "connection: close\r\n",
            ),
            ("Connection: keep-alive\r\n", "Connection: keep-alive\r\n"),
        ] {
            let head = read_all(&format!("GET / HTTP/1.1\r\nHost: x\r\n{wish}\r\n"));
            let expected = format!("GET / HTTP/1.1\r\nHost: x\r\n{left}\r\n");
            assert_eq!(head.unwrap().unwrap().bytes, expected, "{wish:?}");
        }
    }

    /// RFC 9112, 3.2.
    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for host in [
            "x",
            "",
            "sync.example:8080",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8080",
            "x:",
        ] {
            let head = read_all(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert!(matches!(head, Ok(Some(_))), "{host}: {head:?}");
        }
        for host in [
            "a b", "a/b", "user@x", "x:port", "x?y", "x#y", "x\\y", "x:1:2", "[::1",
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(code_of(&head), ProblemCode::BadRequest, "{host}");
        }
    }

    #[test]
    fn a_head_has_limits() {
        let host = "Host: x\r\n";
        let long = "a".repeat(ADDRESS + 1);
        assert_eq!(
            code_of(&format!("GET /{long} HTTP/1.1\r\n{host}\r\n")),
            ProblemCode::UriTooLong
        );
        assert_eq!(
            code_of(&format!("GET /{}", "a".repeat(ADDRESS + 64))),
            ProblemCode::UriTooLong
        );
        let large = format!("A: {}\r\n", "b".repeat(LONGEST));
        assert_eq!(
            code_of(&format!("GET / HTTP/1.1\r\n{host}{large}\r\n")),
            ProblemCode::HeadersTooLarge
        );
        assert_eq!(
            code_of(&format!("GET / HTTP/1.1\r\n{host}{large}")),
            ProblemCode::HeadersTooLarge
        );
        let many = "A: b\r\n".repeat(HEADERS);
        assert_eq!(
            code_of(&format!("GET / HTTP/1.1\r\n{host}{many}\r\n")),
            ProblemCode::HeadersTooLarge
        );
    }

    #[test]
    fn other_forms_are_as_good() {
        for head in [
            "GET http://x/memos HTTP/1.1\r\nHost: x\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET /?q=%C3%A4 HTTP/1.1\r\nhost:x\r\nEmpty:\r\n\r\n",
        ] {
            assert_eq!(read_all(head).unwrap().unwrap().bytes, head, "{head:?}");
        }
    }

    #[test]
    fn actix_is_not_told_of_the_expectation() {
        let head = |version, body| {
            format!("POST / HTTP/1.{version}\r\nHost: x\r\nEXPECT: 100-Continue\r\n{body}\r\n")
        };
        for (version, body, expects) in [
            (1, "Content-Length: 5\r\n", true),
            (1, "Transfer-Encoding: chunked\r\n", true),
            (1, "Content-Length: 0\r\n", false),
            (1, "", false),
            (0, "Content-Length: 5\r\n", false),
        ] {
            let found = read_all(&head(version, body)).unwrap().unwrap();
            assert_eq!(found.expects_continue, expects, "{version} {body:?}");
            let kept = format!("POST / HTTP/1.{version}\r\nHost: x\r\n{body}\r\n");
            assert_eq!(found.bytes, kept);
        }
    }
}
