//! Closes connections that stay between two requests for too long.
//!
//! actix times the first request's head and idle keep-alive connections, but not the head of a later request: a client
//! that has been answered once could send half a head and hold the connection for ever. Here each connection has a
//! watch of its own, which stops the clock while a request is being answered, its body included.

use std::any::Any;
use std::cell::Cell;
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

/// What is known about one connection.
#[derive(Debug)]
struct Connection {
    answering: Cell<usize>,
    idle_since: Cell<Instant>,
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
    loop {
        let answering = connection.answering.get() > 0;
        let left = limit.saturating_sub(connection.idle_since.get().elapsed());
        if !answering && left.is_zero() {
            // An error means that the connection is closed already.
            let _ = socket.shutdown(Shutdown::Both);
            return;
        }
        rt::time::sleep(if answering { limit } else { left }).await;
    }
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
        _hold: hold,
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
        self.0.idle_since.set(Instant::now());
    }
}

/// A body that keeps its connection busy until it is sent or given up.
#[derive(Debug)]
pub(crate) struct HeldBody {
    body: BoxBody,
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
        Pin::new(&mut self.get_mut().body).poll_next(context)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_acknowledges_nothing_is_given_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        bound_silence(&socket);
        let limit = rustix::net::sockopt::tcp_user_timeout(&socket).unwrap();
        assert_eq!(u128::from(limit), SILENCE.as_millis());
    }
}
