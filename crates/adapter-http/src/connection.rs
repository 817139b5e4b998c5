//! Closes connections that stay between two requests for too long.
//!
//! actix times the first request's head and idle keep-alive connections, but not the head of a later request: a client
//! that has been answered once could send half a head and hold the connection for ever. Here each connection has a
//! watch of its own, which stops the clock while a request is being answered, its body included.

use std::any::Any;
use std::cell::Cell;
use std::error::Error;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::rt;
use actix_web::web::Bytes;

/// A client takes a piece of an answer within so long, or is given up: else it would hold what the rest of the answer takes for as
/// long as it likes.
const STALLED: Duration = Duration::from_mins(1);
/// How many bytes a piece has at most. The system sends one while the next is asked for, and what it keeps for a connection
/// grows with the largest.
const PIECE: usize = 64 * 1024;

/// What is known about one connection.
#[derive(Debug)]
struct Connection {
    answering: Cell<usize>,
    idle_since: Cell<Instant>,
    /// Since when the client is to take a piece of an answer; `None`: it has taken all that there was.
    sending_since: Cell<Option<Instant>>,
}

impl Connection {
    /// How much longer it may stay as it is. `None`: it may be closed.
    fn left(&self, idle: Duration) -> Option<Duration> {
        let (since, limit) = match self.sending_since.get() {
            Some(since) => (since, STALLED),
            None if self.answering.get() > 0 => return Some(idle.min(STALLED)),
            None => (self.idle_since.get(), idle),
        };
        let left = limit.saturating_sub(since.elapsed());
        (!left.is_zero()).then(|| left.min(STALLED))
    }
}

/// Ends the watch together with its connection.
struct Watch(rt::task::JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A client that acknowledges nothing for so long is gone: it lost its network without a word, and would hold its stream of
/// nudges for as long as TCP tries, a quarter of an hour.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_mins(1);

/// Puts a watch on a new connection, which may be between requests for at most `limit`.
pub(crate) fn watch(limit: Duration, io: &dyn Any, extensions: &mut Extensions) {
    let Some(socket) = io.downcast_ref::<rt::net::TcpStream>().and_then(second_handle) else {
        return;
    };
    bound_silence(&socket);
    let connection = Rc::new(Connection {
        answering: Cell::new(0),
        idle_since: Cell::new(Instant::now()),
        sending_since: Cell::new(None),
    });
    extensions.insert(Rc::clone(&connection));
    extensions.insert(Watch(rt::spawn(close_when_idle(connection, limit, socket))));
}

/// Has the system give up what is sent and not acknowledged. A system that can't only takes longer.
fn bound_silence(socket: &TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(
        socket,
        u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX),
    ) {
        tracing::debug!(%error, "a connection has no limit for what is not acknowledged");
    }
}

fn second_handle(stream: &rt::net::TcpStream) -> Option<TcpStream> {
    stream.as_fd().try_clone_to_owned().ok().map(TcpStream::from)
}

async fn close_when_idle(connection: Rc<Connection>, limit: Duration, socket: TcpStream) {
    while let Some(left) = connection.left(limit) {
        rt::time::sleep(left).await;
    }
    // An error means that the connection is closed already.
    let _ = socket.shutdown(Shutdown::Both);
}

/// Middleware, the outermost one: stops the watch until the whole answer has been handed over.
///
/// # Errors
/// Those of the inner service.
pub(crate) async fn hold<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<HeldBody>, actix_web::Error> {
    let hold = request
        .conn_data::<Rc<Connection>>()
        .map(|connection| Hold::new(Rc::clone(connection)));
    let response = next.call(request).await?;
    Ok(response.map_body(|_, body| HeldBody {
        body: body.boxed(),
        rest: Bytes::new(),
        hold,
    }))
}

/// As long as it lives, the connection counts as busy.
#[derive(Debug)]
struct Hold(Rc<Connection>);

impl Hold {
    fn new(connection: Rc<Connection>) -> Self {
        connection.answering.set(connection.answering.get() + 1);
        Self(connection)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.answering.set(self.0.answering.get() - 1);
        self.0.sending_since.set(None);
        self.0.idle_since.set(Instant::now());
    }
}

/// A body that keeps its connection busy until it is sent or given up, and comes in pieces that the client takes in time.
#[derive(Debug)]
pub(crate) struct HeldBody {
    body: BoxBody,
    /// What is left of a piece of the body that was too long.
    rest: Bytes,
    hold: Option<Hold>,
}

impl HeldBody {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Box<dyn Error>>>> {
        // A piece of nothing would end a body of unknown length.
        while self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_next(context) {
                Poll::Ready(Some(Ok(bytes))) => self.rest = bytes,
                other => return other,
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(piece)))
    }
}

impl MessageBody for HeldBody {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        // Asked for more, all before was taken.
        let this = self.get_mut();
        let piece = this.poll_piece(context);
        if let Some(Hold(connection)) = &this.hold {
            let sending = matches!(piece, Poll::Ready(Some(Ok(_))));
            connection.sending_since.set(sending.then(Instant::now));
        }
        piece
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    fn connection() -> Connection {
        Connection {
            answering: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            sending_since: Cell::new(None),
        }
    }

    #[test]
    fn a_connection_is_closed_that_is_idle_or_takes_nothing_and_not_one_that_waits_for_its_answer() {
        let idle = Duration::from_secs(5);
        let connection = connection();
        assert!(connection.left(idle).is_some_and(|left| left <= idle));
        let before = |ago| Instant::now().checked_sub(ago).unwrap();
        connection.idle_since.set(before(idle));
        assert_eq!(connection.left(idle), None);
        connection.answering.set(1);
        assert_eq!(
            connection.left(idle),
            Some(idle),
            "the answer is still being made"
        );
        connection.sending_since.set(Some(before(STALLED / 2)));
        assert!(connection.left(idle).is_some());
        connection.sending_since.set(Some(before(STALLED)));
        assert_eq!(connection.left(idle), None, "nobody takes the answer");
    }

    #[actix_web::test]
    async fn a_long_answer_is_handed_over_in_pieces() {
        let text = Bytes::from(vec![b'x'; 3 * PIECE + 1]);
        let body = || HeldBody {
            body: text.clone().boxed(),
            rest: Bytes::new(),
            hold: Some(Hold::new(Rc::new(connection()))),
        };
        let mut one = body();
        let piece = std::future::poll_fn(|context| Pin::new(&mut one).poll_next(context)).await;
        assert_eq!(piece.unwrap().unwrap().len(), PIECE);
        assert!(one.hold.as_ref().unwrap().0.sending_since.get().is_some());
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
