//! The body of an answer on its way out: written down, and cut where that was asked for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::Response;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use mosaic_ports::BoxError;

use super::server::DevServer;

/// A request that was written down. It is over when this is dropped.
pub(super) struct Noted {
    dev: Arc<DevServer>,
    id: u64,
}

impl Noted {
    /// The one with this id.
    pub(super) fn of(dev: Arc<DevServer>, id: u64) -> Self {
        Self { dev, id }
    }

    /// This is the answer.
    pub(super) fn answered<B>(&self, answer: Response<B>) -> Response<B> {
        self.dev.requests.answered(self.id, answer.status().as_u16());
        answer
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.dev.requests.end(self.id);
    }
}

/// A body that tells of each piece and of its end.
pub(super) struct Recorded {
    body: Incoming,
    noted: Noted,
    cut: Option<Cut>,
}

/// Where a body ends too early.
enum Cut {
    /// After so many more bytes.
    After(u64),
    /// Here: what was written before went out.
    Here,
}

impl Recorded {
    /// Of the answer to this request, cut after so many bytes.
    pub(super) fn of(body: Incoming, noted: Noted, cut_at: Option<u64>) -> Self {
        let cut = cut_at.map(Cut::After);
        Self { body, noted, cut }
    }
}

impl Body for Recorded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match this.cut {
            Some(Cut::After(0)) => {
                this.cut = Some(Cut::Here);
                // What was written before goes out while this waits.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Cut::Here) => return Poll::Ready(Some(Err("cut, as it was asked for".into()))),
            _ => {}
        }
        let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(context)?) else {
            return Poll::Ready(None);
        };
        let Ok(mut bytes) = frame.into_data() else {
            // Trailers: the server sends none.
            return Poll::Ready(None);
        };
        if let Some(Cut::After(left)) = &mut this.cut {
            bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= bytes.len() as u64;
        }
        this.noted.dev.requests.sent(this.noted.id, &bytes);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.cut.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
