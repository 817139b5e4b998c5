//! Bodies that are packed, and how they are unpacked.

use std::io::Read;

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::Bytes;

use crate::budget::Lease;
use crate::problem::{Problem, ProblemCode};

/// The most members that a body packed with gzip may have. What programs send has one.
pub(super) const GZIP_MEMBERS: usize = 64;
/// So many bytes are unpacked before they are counted.
const UNPACKED_AT_ONCE: usize = 16 * 1024;

/// How a body may be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

/// How a request says that its body is packed.
///
/// # Errors
/// 415 `unsupported_encoding`.
pub(super) fn content_encoding(request: &HttpRequest) -> Result<Encoding, Problem> {
    let Some(value) = request.headers().get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    match value
        .to_str()
        .unwrap_or("unreadable")
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        _ => Err(
            Problem::new(ProblemCode::UnsupportedEncoding, "a body may be packed with gzip")
                .with_header(header::ACCEPT_ENCODING, "gzip"),
        ),
    }
}

/// Refuses a body that is packed: bytes of files are stored as they come.
///
/// # Errors
/// 415 `unsupported_encoding`.
pub(crate) fn check_unpacked(request: &HttpRequest) -> Result<(), Problem> {
    match content_encoding(request)? {
        Encoding::Identity => Ok(()),
        Encoding::Gzip => Err(Problem::new(
            ProblemCode::UnsupportedEncoding,
            "a file must not be packed on its way",
        )),
    }
}

/// A body as it was before it was packed.
///
/// # Errors
/// 413 `body_too_large`, 400 `malformed_encoding`, 503 `busy` where there is no memory for it.
pub(super) fn unpack(
    packed: Bytes,
    encoding: Encoding,
    limit: usize,
    lease: &mut Lease,
) -> Result<Bytes, Problem> {
    let unpacked = match encoding {
        Encoding::Identity if packed.len() > limit => return Err(too_large(limit)),
        Encoding::Identity => return Ok(packed),
        Encoding::Gzip => gunzip(&packed, limit, lease)?,
    };
    lease.shrink(packed.len());
    Ok(unpacked)
}

/// A body has more bytes than it may have, packed or unpacked.
pub(super) fn too_large(limit: usize) -> Problem {
    Problem::new(
        ProblemCode::BodyTooLarge,
        format!("the body is larger than {limit} bytes"),
    )
}

/// The members of a gzip file one after the other. An empty one has twenty bytes, unpacks to nothing, and takes as long as one of
/// some kilobytes: so they are counted.
fn gunzip(packed: &[u8], limit: usize, lease: &mut Lease) -> Result<Bytes, Problem> {
    let (mut unpacked, mut rest) = (Vec::new(), packed);
    for _ in 0..GZIP_MEMBERS {
        let mut member = flate2::bufread::GzDecoder::new(rest);
        read_up_to(&mut member, &mut unpacked, limit, lease)?;
        rest = member.into_inner();
        if rest.is_empty() {
            return Ok(unpacked.into());
        }
    }
    Err(Problem::new(
        ProblemCode::MalformedEncoding,
        "the body is packed in too many pieces",
    ))
}

/// Everything that the reader gives.
fn read_up_to(
    mut reader: impl Read,
    unpacked: &mut Vec<u8>,
    limit: usize,
    lease: &mut Lease,
) -> Result<(), Problem> {
    let mut chunk = vec![0; UNPACKED_AT_ONCE];
    loop {
        let read = reader
            .read(&mut chunk)
            .map_err(|_| Problem::new(ProblemCode::MalformedEncoding, "the body can not be unpacked"))?;
        if read == 0 {
            return Ok(());
        }
        if unpacked.len() + read > limit {
            return Err(too_large(limit));
        }
        lease.grow(read)?;
        unpacked.extend_from_slice(&chunk[..read]);
    }
}
