//! What goes over the wire between a store and its database, message by message.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Told of each message by its kind and its body.
pub(crate) trait Listener: Send + Sync + 'static {
    fn asked(&self, _kind: u8, _body: &[u8]) {}
    fn answered(&self, _kind: u8, _body: &[u8]) {}
    /// Something is sent outside of a transaction, before what was sent earlier is answered.
    fn piled_up(&self, _body: &[u8]) {}
}

/// How long the end of an answer is held back that comes at once with the rest of it otherwise.
const HELD: Duration = Duration::from_millis(20);

/// What is under way on one connection.
#[derive(Default)]
struct Turns {
    unanswered: u32,
    ended: u32,
    in_transaction: bool,
}

impl Turns {
    /// Whether this begins what takes several messages, outside of a transaction, and something is not answered yet.
    fn asked(&mut self, kind: u8, body: &[u8]) -> bool {
        let piles_up = kind == b'P' && self.unanswered > 0 && !self.in_transaction;
        if kind == b'Q' {
            self.in_transaction |= body.starts_with(b"BEGIN");
            self.in_transaction &= !body.starts_with(b"COMMIT") && !body.starts_with(b"ROLLBACK");
        }
        self.unanswered += u32::from(matches!(kind, b'Q' | b'S'));
        piles_up
    }

    /// Whether this ends what was asked first on the connection.
    fn ends_the_first(&mut self, kind: u8) -> bool {
        // The login ends in the same way.
        self.ended += u32::from(kind == b'Z');
        kind == b'Z' && self.ended == 2
    }

    fn answered(&mut self, kind: u8) {
        self.unanswered = self.unanswered.saturating_sub(u32::from(kind == b'Z'));
    }
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
            let turns = Arc::new(Mutex::new(Turns::default()));
            let turns_of_server = Arc::clone(&turns);
            // The first message of a client has no kind.
            tokio::spawn(pass(from_client, to_server, true, async move |kind, body| {
                asked.asked(kind, body);
                if turns.lock().unwrap().asked(kind, body) {
                    asked.piled_up(body);
                }
            }));
            tokio::spawn(pass(from_server, to_client, false, async move |kind, body| {
                if turns_of_server.lock().unwrap().ends_the_first(kind) {
                    tokio::time::sleep(HELD).await;
                }
                turns_of_server.lock().unwrap().answered(kind);
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
    told: impl AsyncFn(u8, &[u8]),
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
            told(kind, &message[head..]).await;
        }
        to.write_all(&message).await?;
    }
}
