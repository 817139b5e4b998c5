//! The body of a request, taken whole.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::{Body, Bytes};
use tokio::time::timeout;

use super::answer::{Answer, problem};
use crate::words::counted;

/// What a body may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// The most bytes.
    pub(super) bytes: usize,
    /// How long it may take.
    pub(super) within: Duration,
}

/// A whole body; where it is not what it may be, the answer that says so.
pub(super) async fn whole<B: Body<Data = Bytes> + Unpin>(
    body: B,
    limits: Limits,
) -> Result<Bytes, Box<Answer>> {
    let Limits { bytes, within } = limits;
    let (status, code, detail) = match timeout(within, collected(body, bytes)).await {
        Ok(Ok(Some(body))) => return Ok(body),
        Ok(Ok(None)) => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("the body is larger than {}", counted(bytes as u64, "byte")),
        ),
        Ok(Err(_)) => (
            StatusCode::BAD_REQUEST,
            "bad_request",
            "the body broke off".to_owned(),
        ),
        Err(_) => (
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            format!("the body was not there after {} seconds", within.as_secs()),
        ),
    };
    Err(Box::new(problem(status, code, &detail)))
}

/// None of one that is too large, which is read to its end for nothing: whoever goes on sending would not see the answer.
async fn collected<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    most: usize,
) -> Result<Option<Bytes>, B::Error> {
    let mut taken = Some(Vec::new());
    while let Some(frame) = body.frame().await {
        let piece = frame?.into_data().unwrap_or_default();
        taken = taken.filter(|taken| taken.len() + piece.len() <= most);
        if let Some(taken) = &mut taken {
            taken.extend_from_slice(&piece);
        }
    }
    Ok(taken.map(Bytes::from))
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    const LIMITS: Limits = Limits {
        bytes: 4,
        within: Duration::from_millis(50),
    };

    #[tokio::test]
    async fn a_body_has_a_greatest_length_and_a_deadline() {
        let sent = |pieces: &'static [&'static str]| {
            stream::iter(pieces).map(|piece| Ok::<_, &str>(Frame::data(Bytes::from(*piece))))
        };
        let status = |answer: Result<Bytes, Box<Answer>>| answer.unwrap_err().status().as_u16();
        let body = StreamBody::new(sent(&["ab", "cd"]));
        assert_eq!(whole(body, LIMITS).await.unwrap(), "abcd");
        let body = StreamBody::new(sent(&["ab", "cd", "e"]));
        assert_eq!(status(whole(body, LIMITS).await), 413);
        let body = StreamBody::new(sent(&["ab"]).chain(stream::iter([Err("gone")])));
        assert_eq!(status(whole(body, LIMITS).await), 400);
        let body = StreamBody::new(sent(&["ab"]).chain(stream::pending()));
        assert_eq!(status(whole(body, LIMITS).await), 408);
    }
}
