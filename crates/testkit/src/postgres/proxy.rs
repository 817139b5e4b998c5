//! A network between a client and its database that breaks when it is told to.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::Config;

use super::address::{Address, at_port, parse};
use super::keeper::free_port;

/// How a server says that it is ready and in no transaction.
const IDLE: &[u8] = b"Z\0\0\0\x05I";
/// How a server says that it has committed.
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// A TCP proxy in front of a database, which passes everything on until it is told to do harm. Without TLS only: it looks
/// for texts in what clients send.
///
/// It works on the runtime that it was started on. Dropping it cuts all connections.
///
/// ```no_run
/// # async fn example(database: mosaic_testkit::postgres::TestDatabase) {
/// use mosaic_testkit::postgres::{Proxy, When};
///
/// let proxy = Proxy::start(&database.url()).await;
/// // … open a store at proxy.url() …
/// proxy.cut_at("COMMIT", When::Carried);
/// // … the next write is committed, and its client never gets to know …
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy {
    database: Config,
    port: u16,
    network: Arc<Network>,
    accepting: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

/// Which of the two sides a trap hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The server never gets the text.
    Lost,
    /// The server gets the text, and the client gets no answer, neither to it nor to what came with it. The connection ends
    /// when the transaction has.
    Carried,
    /// The server gets the text and commits, and the client is told of an error with this SQLSTATE instead; nothing is cut. So
    /// does a server that passes the commit on to another one, and loses that.
    Denied(&'static str),
}

/// What all connections look at.
#[derive(Debug)]
struct Network {
    server: Address,
    orders: watch::Sender<Orders>,
    trap: Mutex<Option<(Vec<u8>, When)>>,
    trapped: AtomicUsize,
    open: AtomicUsize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    /// How often all connections were cut: those from before end.
    cuts: u64,
    delay: Duration,
    frozen: bool,
}

impl Proxy {
    /// Starts a proxy in front of the server of `url`.
    pub async fn start(url: &str) -> Self {
        let database = parse(url);
        let network = Arc::new(Network {
            server: Address::of(&database),
            orders: watch::Sender::default(),
            trap: Mutex::default(),
            trapped: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        });
        let (port, listener) = listen().await;
        let accepting = tokio::spawn(Arc::clone(&network).accept(listener));
        Self {
            database,
            port,
            network,
            accepting: tokio::sync::Mutex::new(Some(accepting)),
        }
    }

    /// The URL of the same database through the proxy.
    pub fn url(&self) -> String {
        at_port(&self.database, self.port)
    }

    /// Ends all connections now, on both sides. New ones are taken.
    pub fn cut(&self) {
        self.network.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// Refuses new connections, as a server that is down, from when this returns. Those that are there go on.
    pub async fn refuse(&self) {
        if let Some(accepting) = self.accepting.lock().await.take() {
            accepting.abort();
            // The port is closed when the task is gone, cancelled as it is.
            let _ = accepting.await;
        }
    }

    /// Takes new connections again.
    ///
    /// # Panics
    /// If another process has taken the port.
    pub async fn admit(&self) {
        let mut accepting = self.accepting.lock().await;
        if accepting.is_none() {
            let listener = TcpListener::bind(("127.0.0.1", self.port))
                .await
                .expect("the port is still free");
            *accepting = Some(tokio::spawn(Arc::clone(&self.network).accept(listener)));
        }
    }

    /// Holds back what goes either way by this much; zero: not at all.
    pub fn delay(&self, by: Duration) {
        self.network.orders.send_modify(|orders| orders.delay = by);
    }

    /// Passes nothing on, and ends nothing, until [`thaw`](Self::thaw): a network that has gone silent.
    pub fn freeze(&self) {
        self.network.orders.send_modify(|orders| orders.frozen = true);
    }

    /// Passes on what was held back, and everything after it.
    pub fn thaw(&self) {
        self.network.orders.send_modify(|orders| orders.frozen = false);
    }

    /// Harms the first connection whose client sends `text` from now on; once.
    pub fn cut_at(&self, text: &str, when: When) {
        *self.network.trap() = Some((text.as_bytes().to_owned(), when));
    }

    /// How often [`cut_at`](Self::cut_at) has done harm.
    pub fn trapped(&self) -> usize {
        self.network.trapped.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.network.open.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        if let Some(accepting) = self.accepting.get_mut().take() {
            accepting.abort();
        }
    }
}

async fn listen() -> (u16, TcpListener) {
    loop {
        let port = free_port();
        // Another process may have been quicker.
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            return (port, listener);
        }
    }
}

impl Network {
    fn trap(&self) -> MutexGuard<'_, Option<(Vec<u8>, When)>> {
        locked(&self.trap)
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        while let Ok((client, _)) = listener.accept().await {
            let network = Arc::clone(&self);
            // Counted from before the client can know that it is connected.
            network.open.fetch_add(1, Ordering::SeqCst);
            let orders = network.orders.subscribe();
            tokio::spawn(async move {
                // A server that is not there is a connection that ends.
                drop(network.carry(client, orders).await);
                network.open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }

    /// One connection, from its beginning to its end.
    async fn carry(&self, client: TcpStream, mut orders: watch::Receiver<Orders>) -> io::Result<()> {
        let cuts = orders.borrow().cuts;
        client.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = self.connect().await?;
        let sprung = Mutex::default();
        let mut ways = (orders.clone(), orders.clone());
        tokio::select! {
            done = self.up(from_client, to_server, &mut ways.0, &sprung) => done,
            done = self.down(from_server, to_client, &mut ways.1, &sprung) => done,
            _ = orders.wait_for(|orders| orders.cuts > cuts) => Ok(()),
        }
    }

    async fn connect(&self) -> io::Result<(Reader, Writer)> {
        match &self.server {
            Address::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                let (from, to) = stream.into_split();
                Ok((Box::new(from), Box::new(to)))
            }
            Address::Unix(socket) => {
                let (from, to) = UnixStream::connect(socket).await?.into_split();
                Ok((Box::new(from), Box::new(to)))
            }
        }
    }

    /// What the client says.
    async fn up(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: Writer,
        orders: &mut watch::Receiver<Orders>,
        sprung: &Mutex<Option<When>>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        // The end of what came before: a text may come in two pieces.
        let mut seen = Vec::new();
        loop {
            let length = from.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            hold_back(orders).await;
            seen.extend_from_slice(&buffer[..length]);
            match self.spring(&mut seen) {
                Some(When::Lost) => {
                    self.trapped.fetch_add(1, Ordering::SeqCst);
                    return Ok(());
                }
                Some(when) => *locked(sprung) = Some(when),
                None => {}
            }
            to.write_all(&buffer[..length]).await?;
            to.flush().await?;
        }
    }

    /// What the server answers.
    async fn down(
        &self,
        mut from: Reader,
        mut to: impl AsyncWrite + Unpin,
        orders: &mut watch::Receiver<Orders>,
        sprung: &Mutex<Option<When>>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        let mut kept_back = Vec::new();
        loop {
            let length = from.read(&mut buffer).await?;
            kept_back.extend_from_slice(&buffer[..length]);
            let when = *locked(sprung);
            if when.is_some() {
                if length > 0 && place_of(IDLE, &kept_back).is_none() {
                    continue;
                }
                self.trapped.fetch_add(1, Ordering::SeqCst);
                let Some(When::Denied(code)) = when else {
                    return Ok(());
                };
                *locked(sprung) = None;
                deny(&mut kept_back, code);
            }
            if length == 0 {
                return Ok(());
            }
            hold_back(orders).await;
            to.write_all(&kept_back).await?;
            to.flush().await?;
            kept_back.clear();
        }
    }

    /// Whether what was seen springs the trap. Leaves of it what may be the beginning of the text.
    fn spring(&self, seen: &mut Vec<u8>) -> Option<When> {
        let mut trap = self.trap();
        let Some((text, when)) = trap.as_ref() else {
            seen.clear();
            return None;
        };
        if place_of(text, seen).is_some() {
            let when = *when;
            *trap = None;
            return Some(when);
        }
        seen.drain(..seen.len().saturating_sub(text.len() - 1));
        None
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a text begins in what was seen.
fn place_of(text: &[u8], seen: &[u8]) -> Option<usize> {
    seen.windows(text.len()).position(|window| window == text)
}

/// Puts an error in the place of the answer to a `COMMIT`.
fn deny(answers: &mut Vec<u8>, code: &str) {
    let Some(place) = place_of(COMMITTED, answers) else {
        return;
    };
    let fields = format!("SERROR\0VERROR\0C{code}\0Mdenied\0\0");
    let length = u32::try_from(4 + fields.len()).unwrap_or(u32::MAX);
    let error = [b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat();
    answers.splice(place..place + COMMITTED.len(), error);
}

async fn hold_back(orders: &mut watch::Receiver<Orders>) {
    let delay = orders.borrow().delay;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    // An error says that the proxy is gone, and the connection with it.
    drop(orders.wait_for(|orders| !orders.frozen).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_two_pieces_springs_the_trap_once() {
        let network = Network {
            server: Address::Tcp(String::new(), 0),
            orders: watch::Sender::default(),
            trap: Mutex::new(Some((b"COMMIT".to_vec(), When::Lost))),
            trapped: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        };
        let mut seen = b"BEGIN COM".to_vec();
        assert_eq!(network.spring(&mut seen), None);
        seen.extend_from_slice(b"MIT");
        assert_eq!(network.spring(&mut seen), Some(When::Lost));
        assert_eq!(network.spring(&mut b"COMMIT".to_vec()), None);
    }
}
