//! A server that misbehaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// What it does with every request.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// Answers with this, and closes the connection.
    Answers(String),
    /// Answers with this, and keeps the connection without another word.
    Stalls(String),
    /// Never answers.
    Hangs,
    /// Cuts the connection, rudely.
    Resets,
}

/// The server.
pub(crate) struct Unruly {
    pub(crate) endpoint: String,
    requests: Arc<AtomicUsize>,
    server: AbortHandle,
}

impl Unruly {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                connections.spawn(serve(socket, manner.clone(), Arc::clone(&count)));
            }
        });
        Self {
            endpoint,
            requests,
            server: server.abort_handle(),
        }
    }

    /// An answer with this status, and this code in its body.
    pub(crate) async fn answering(status: u16, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>says the storage</Message></Error>");
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        Self::start(Manner::Answers(answer)).await
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Unruly {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(mut socket: TcpStream, manner: Manner, requests: Arc<AtomicUsize>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match socket.read_buf(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    requests.fetch_add(1, Ordering::Relaxed);
    match manner {
        Manner::Answers(answer) => {
            socket.write_all(answer.as_bytes()).await.ok();
            socket.shutdown().await.ok();
            // Until the client has read it: closing now could reset the connection.
            tokio::io::copy(&mut socket, &mut tokio::io::sink()).await.ok();
        }
        Manner::Stalls(answer) => {
            socket.write_all(answer.as_bytes()).await.ok();
            std::future::pending::<()>().await;
        }
        Manner::Hangs => std::future::pending::<()>().await,
        Manner::Resets => socket.set_zero_linger().unwrap(),
    }
}
