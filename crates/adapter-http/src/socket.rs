//! What connections come by: sockets that are bound already, and the streams that they give.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::rt::net::{ActixStream, Ready, TcpStream, UnixStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::connection;

/// A socket that is bound, and on which clients may already wait.
#[derive(Debug)]
pub enum Listener {
    /// Of the network.
    Tcp(TcpListener),
    /// A file of this machine. Its clients have no address.
    Unix(UnixListener),
}

/// One connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Settles how a connection of the network behaves, which may be lost without a word.
pub(crate) fn settle(io: &TcpStream) {
    connection::bound_silence(io);
    if let Err(error) = io.set_nodelay(true) {
        tracing::debug!(%error, "a connection gathers what it sends");
    }
}

impl Socket {
    /// The address of the other end, where it has one.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(io) => io.peer_addr().ok(),
            Self::Unix(_) => None,
            Self::Tls(io) => io.get_ref().0.peer_addr().ok(),
        }
    }
}

/// The same of each kind of stream.
macro_rules! on_stream {
    ($socket:expr, $io:ident => $done:expr) => {
        match $socket {
            Socket::Tcp($io) => $done,
            Socket::Unix($io) => $done,
            Socket::Tls($io) => $done,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = on_stream!(self.get_mut(), io => Pin::new(io).poll_read(cx, out));
        match ready!(read) {
            // Who hangs up without the farewell of TLS has hung up. What was cut short HTTP knows by itself.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            read => Poll::Ready(read),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_stream!(self.get_mut(), io => Pin::new(io).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self.get_mut(), io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self.get_mut(), io => Pin::new(io).poll_shutdown(cx))
    }
}

impl ActixStream for Socket {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        match self {
            Self::Tcp(io) => ActixStream::poll_read_ready(io, cx),
            Self::Unix(io) => ActixStream::poll_read_ready(io, cx),
            Self::Tls(io) => ActixStream::poll_read_ready(io.get_ref().0, cx),
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        match self {
            Self::Tcp(io) => ActixStream::poll_write_ready(io, cx),
            Self::Unix(io) => ActixStream::poll_write_ready(io, cx),
            Self::Tls(io) => ActixStream::poll_write_ready(io.get_ref().0, cx),
        }
    }
}
