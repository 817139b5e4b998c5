//! Answers that may be large: written off the workers, in pieces, within the budget of memory.

use std::io::{self, Write};

use actix_web::body::SizedStream;
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::{StreamExt, stream};
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

use crate::budget::Lease;
use crate::problem::Problem;

/// The media type of nearly everything.
pub(crate) const JSON: &str = "application/json";

/// How many bytes a piece has.
const PIECE: usize = 64 * 1024;

/// An answer of so many bytes is not counted: it takes no more than its head.
const FEW: usize = 4 * 1024;

/// Answers with JSON that may be many megabytes: it is made and written on a blocking thread, and takes its share of the memory
/// as it grows, until it is sent.
///
/// # Errors
/// Those of making it; 503 `busy` where there is no memory for it.
pub(crate) async fn large<T: Serialize>(
    request: &HttpRequest,
    response: HttpResponseBuilder,
    value: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<HttpResponse, Problem> {
    let lease = Lease::of(request);
    let written = web::block(move || write(&value()?, 0, lease));
    let (pieces, lease) = written.await.map_err(Problem::internal)??;
    Ok(answer(response, pieces, lease))
}

/// The same for what is written sooner than it goes to another thread: in one piece, which comes to about so many bytes.
///
/// # Errors
/// As [`large`].
pub(crate) fn small(
    request: &HttpRequest,
    response: HttpResponseBuilder,
    value: &impl Serialize,
    bytes: usize,
) -> Result<HttpResponse, Problem> {
    let (pieces, lease) = write(value, bytes, Lease::of(request))?;
    Ok(answer(response, pieces, lease))
}

/// Answers with JSON in pieces, which hold their memory until the last one is taken. A few bytes hold none.
pub(crate) fn answer(
    mut response: HttpResponseBuilder,
    mut pieces: Vec<Bytes>,
    mut lease: Lease,
) -> HttpResponse {
    let bytes: usize = pieces.iter().map(Bytes::len).sum();
    // What it was made of is gone.
    lease.shrink(lease.bytes().saturating_sub(bytes));
    if bytes <= FEW {
        return response.content_type(JSON).body(pieces.pop().unwrap_or_default());
    }
    let body = stream::iter(pieces).map(move |piece| {
        let _held = &lease;
        Ok::<_, io::Error>(piece)
    });
    response
        .content_type(JSON)
        .body(SizedStream::new(bytes as u64, body))
}

/// What is JSON already. In a [`large`] or [`small`] answer it stands as it is; no other serializer must see it.
#[derive(Debug)]
pub(crate) struct Written(pub(crate) String);

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_bytes())
    }
}

/// Compact JSON, and what is [`Written`]: nothing else of an answer is bytes.
struct AsWritten;

impl Formatter for AsWritten {
    fn write_byte_array<W: Write + ?Sized>(&mut self, writer: &mut W, value: &[u8]) -> io::Result<()> {
        writer.write_all(value)
    }
}

/// JSON in pieces, of which the first has room for so many bytes, and what they hold of the memory.
fn write<T: Serialize>(value: &T, first: usize, lease: Lease) -> Result<(Vec<Bytes>, Lease), Problem> {
    let mut pieces = Pieces {
        done: Vec::new(),
        current: Vec::with_capacity(first),
        piece: PIECE.max(first),
        lease,
        refused: None,
    };
    let mut serializer = serde_json::Serializer::with_formatter(&mut pieces, AsWritten);
    let written = value.serialize(&mut serializer);
    if let Some(busy) = pieces.refused.take() {
        return Err(busy);
    }
    written.map_err(Problem::internal)?;
    pieces.cut()?;
    Ok((pieces.done, pieces.lease))
}

/// Collects what is written.
struct Pieces {
    done: Vec<Bytes>,
    current: Vec<u8>,
    /// How many bytes a piece has.
    piece: usize,
    lease: Lease,
    /// Why there is no room for more.
    refused: Option<Problem>,
}

impl Pieces {
    fn cut(&mut self) -> Result<(), Problem> {
        if !self.current.is_empty() {
            if !self.done.is_empty() || self.current.len() > FEW {
                self.lease.grow(self.current.len())?;
            }
            self.done.push(std::mem::take(&mut self.current).into());
        }
        Ok(())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.current.len() >= self.piece
            && let Err(busy) = self.cut()
        {
            self.refused = Some(busy);
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let fits = bytes.len().min(PIECE);
        self.current.extend_from_slice(&bytes[..fits]);
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What an answer with that value says.
#[cfg(test)]
pub(crate) fn text(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, AsWritten);
    value.serialize(&mut serializer).unwrap();
    String::from_utf8(text).unwrap()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::budget::{Holder, MemoryBudget};
    use crate::problem::ProblemCode;

    fn lease(budget: &MemoryBudget) -> Lease {
        budget.lease(Holder::Network(Ipv4Addr::LOCALHOST.into()))
    }

    #[test]
    fn what_is_written_is_the_same_in_pieces_and_is_counted() {
        let value = vec!["a text of some length".to_owned(); 20_000];
        let budget = MemoryBudget::new(8 * 1024 * 1024, 1);
        let (pieces, lease) = write(&value, 0, lease(&budget)).unwrap();
        assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.len() <= 2 * PIECE));
        assert_eq!(pieces.concat(), serde_json::to_vec(&value).unwrap());
        assert_eq!(lease.bytes(), pieces.concat().len());
    }

    #[test]
    fn an_answer_in_one_piece_is_counted_until_it_is_sent_unless_it_is_a_few_bytes() {
        let share = 1_000_000;
        let budget = MemoryBudget::new(4 * share, 1);
        let has_room = |bytes| lease(&budget).grow(bytes).is_ok();
        for (bytes, counted) in [(FEW - 2, 0), (FEW - 1, FEW + 1), (200_000, 200_002)] {
            let text = "x".repeat(bytes);
            let (pieces, mut held) = write(&text, bytes + 2, lease(&budget)).unwrap();
            assert_eq!((pieces.len(), held.bytes()), (1, counted));
            held.grow(counted).unwrap();
            let answered = answer(HttpResponse::Ok(), pieces, held);
            assert!(has_room(share - counted) && !has_room(share - counted + 1));
            drop(answered);
            assert!(has_room(share));
        }
    }

    #[test]
    fn what_is_json_already_stands_as_it_is() {
        let value = [
            ("a", Written("1,\"b\": [ ]".to_owned())),
            ("\"", Written("{}".to_owned())),
        ];
        let written = text(&value);
        assert_eq!(written, r#"[["a",1,"b": [ ]],["\"",{}]]"#);
    }

    #[test]
    fn an_answer_that_there_is_no_memory_for_is_refused() {
        let value = "x".repeat(10 * PIECE);
        let refused = write(&value, 0, lease(&MemoryBudget::new(4 * PIECE, 1)));
        assert_eq!(refused.unwrap_err().code(), ProblemCode::Busy);
    }
}
