//! What goes over the wire between a store and its database, message by message.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Told of each message by its kind and its body.
pub(crate) trait Listener: Send + Sync + 'static {
    fn asked(&self, _kind: u8, _body: &[u8]) {}
    fn answered(&self, _kind: u8, _body: &[u8]) {}
}

/// The same database by a way on which somebody listens. Without TLS, which it has no ear for.
pub(crate) async fn tapped(url: &str, listener: Arc<impl Listener>) -> String {
    let (head, database) = url.rsplit_once('/').unwrap();
    let (host, port) = head.rsplit_once(':').unwrap();
    let port: u16 = port.parse().unwrap();
    let own = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let tapped = format!(
        "{host}:{}/{database}?sslmode=disable",
        own.local_addr().unwrap().port()
    );
    tokio::spawn(async move {
        while let Ok((client, _)) = own.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            // A message that waits for the last one to be acknowledged takes 40 ms.
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let (asked, answered) = (Arc::clone(&listener), Arc::clone(&listener));
            // The first message of a client has no kind.
            tokio::spawn(pass(from_client, to_server, true, move |kind, body| {
                asked.asked(kind, body);
            }));
            tokio::spawn(pass(from_server, to_client, false, move |kind, body| {
                answered.answered(kind, body);
            }));
        }
    });
    tapped
}

/// A message is its kind, its length with the length itself, and its body.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut is_first: bool,
    told: impl Fn(u8, &[u8]),
) -> std::io::Result<()> {
    loop {
        let kind = if is_first {
            None
        } else {
            Some(from.read_u8().await?)
        };
        is_first = false;
        let length = from.read_u32().await?;
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend(length.to_be_bytes());
        let head = message.len();
        message.resize(head + usize::try_from(length).unwrap() - 4, 0);
        from.read_exact(&mut message[head..]).await?;
        if let Some(kind) = kind {
            told(kind, &message[head..]);
        }
        to.write_all(&message).await?;
    }
}
