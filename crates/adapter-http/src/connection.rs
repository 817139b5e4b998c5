//! What the application tells the connection below it about a request: that its body is wanted, and that it is answered.

use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::{ConnectionType, Version};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{HttpMessage as _, HttpRequest, ResponseError as _};
use futures_util::Stream;

use crate::problem::{Problem, ProblemCode};
use crate::wire::Connection;

/// How many bytes a piece of an answer has at most. The system sends one while the next is asked for, and what it keeps for a
/// connection grows with the largest.
const PIECE: usize = 64 * 1024;

/// A client that acknowledges nothing for so long is gone: it lost its network without a word, and would hold its stream of
/// nudges for as long as TCP tries, a quarter of an hour.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_mins(1);

/// Has the system give up what is sent and not acknowledged. A system that can't only takes longer.
pub(crate) fn bound_silence(socket: &impl AsFd) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(
        socket,
        u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX),
    ) {
        tracing::debug!(%error, "a connection has no limit for what is not acknowledged");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

/// Whether the client of a request waits with the body until it is told to send it.
pub(crate) fn is_body_awaited(request: &HttpRequest) -> bool {
    let connection = request.conn_data::<Rc<Connection>>();
    connection.is_some_and(|connection| connection.is_body_awaited())
}

/// The longest path that is looked up among the routes, in bytes. The name of a device takes 768, percent-encoded; the
/// time that a look-up takes grows with the length.
const PATH: usize = 1024;

/// Middleware, the innermost one: answers what was refused before it was a request, and what no route can match.
///
/// # Errors
/// Those of the inner service.
pub(crate) async fn refuse<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let refusal = request
        .conn_data::<Rc<Connection>>()
        .and_then(|connection| connection.take_refusal());
    let too_long = || Problem::new(ProblemCode::UriTooLong, "the path is too long");
    match refusal.or_else(|| (request.path().len() > PATH).then(too_long)) {
        Some(problem) => Ok(request.into_response(problem.error_response())),
        None => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
    }
}

/// Middleware, the outermost one: lets the connection go on when the whole answer has been handed over.
///
/// # Errors
/// Those of the inner service.
pub(crate) async fn hold<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<HeldBody>, actix_web::Error> {
    let hold = request
        .conn_data::<Rc<Connection>>()
        .map(|connection| Hold(Rc::clone(connection)));
    let is_old = request.version() < Version::HTTP_11;
    if let Some(Hold(connection)) = &hold
        && connection.is_body_awaited()
    {
        let body = AwaitedBody {
            body: request.take_payload(),
            connection: Rc::clone(connection),
        };
        request.set_payload(Payload::Stream {
            payload: Box::pin(body),
        });
    }
    let mut response = next.call(request).await?;
    let is_body_awaited = hold.as_ref().is_some_and(|hold| hold.0.is_body_awaited());
    if is_old || is_body_awaited {
        // Nobody knows whether a client that was not told to send its body sends it all the same.
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
        head.no_chunking(is_old);
    }
    Ok(response.map_body(|_, body| HeldBody {
        body: body.boxed(),
        rest: Bytes::new(),
        _hold: hold,
    }))
}

/// As long as it lives, the request is being answered.
#[derive(Debug)]
struct Hold(Rc<Connection>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// An answer's body that keeps its connection busy until it is sent or given up, and comes in pieces.
#[derive(Debug)]
pub(crate) struct HeldBody {
    body: BoxBody,
    /// What is left of a piece of the body that was too long.
    rest: Bytes,
    _hold: Option<Hold>,
}

impl MessageBody for HeldBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        // A piece of nothing would end a body of unknown length.
        while this.rest.is_empty() {
            match Pin::new(&mut this.body).poll_next(context) {
                Poll::Ready(Some(Ok(bytes))) => this.rest = bytes,
                other => return other,
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(piece)))
    }
}

/// A request's body that its client sends when it is told to: when it is first asked for.
struct AwaitedBody {
    body: Payload,
    connection: Rc<Connection>,
}

impl Stream for AwaitedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.connection.want_body();
        Pin::new(&mut this.body).poll_next(context)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpStream;

    use actix_web::body::to_bytes;

    use super::*;

    #[actix_web::test]
    async fn a_long_answer_is_handed_over_in_pieces() {
        let text = Bytes::from(vec![b'x'; 3 * PIECE + 1]);
        let body = || HeldBody {
            body: text.clone().boxed(),
            rest: Bytes::new(),
            _hold: None,
        };
        let mut one = body();
        let piece = std::future::poll_fn(|context| Pin::new(&mut one).poll_next(context)).await;
        assert_eq!(piece.unwrap().unwrap().len(), PIECE);
        assert_eq!(to_bytes(body()).await.unwrap(), text);
    }

    #[test]
    fn a_client_that_acknowledges_nothing_is_given_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        bound_silence(&socket);
        let limit = rustix::net::sockopt::tcp_user_timeout(&socket).unwrap();
        assert_eq!(u128::from(limit), SILENCE.as_millis());
    }
}
