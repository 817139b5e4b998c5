//! A way to an HTTP server on which requests and answers get lost, as a test says.

use std::fmt;
use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::program::Program;

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The server gets so many bytes of it, and no more comes.
    CutRequest(usize),
    /// The device gets so many bytes of the answer.
    CutAnswer(usize),
    /// The server gets it twice at the same time; the device is told one of the answers.
    Twice,
    /// It takes so long on its way.
    Delay(Duration),
    /// The server is killed when it has got so many bytes of it.
    KillAfter(usize),
    /// The server is killed when it has answered, and the device gets no byte of it.
    KillBeforeAnswer,
}

type Choose = Box<dyn FnMut(&str) -> Option<Fault> + Send>;

/// A proxy before one server at a time. It ends with the runtime that it was made in.
#[derive(Clone)]
pub struct Proxy {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Not held by what passes requests on, which lives as long as the runtime: a server ends with whoever started it.
    server: Weak<Program>,
    choose: Option<Choose>,
    requests: Vec<String>,
    struck: usize,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxy").field(&self.url).finish()
    }
}

impl Proxy {
    /// A proxy on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub async fn before(server: &Arc<Program>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        let proxy = Self { url, state };
        proxy.lead_to(server);
        let passing = proxy.clone();
        tokio::spawn(async move {
            while let Ok((device, _)) = listener.accept().await {
                let proxy = passing.clone();
                tokio::spawn(async move {
                    // What breaks off here is what a device sees of a bad network.
                    let _ = proxy.pass(device).await;
                });
            }
        });
        proxy
    }

    /// Where devices find it: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server has moved.
    pub fn lead_to(&self, server: &Arc<Program>) {
        self.state().server = Arc::downgrade(server);
    }

    /// From now on this says what goes wrong with a request, by its first line.
    pub fn fail(&self, choose: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        self.state().choose = Some(Box::new(choose));
    }

    /// After so many requests that begin like this, the server does what one more asks for, and nobody hears of it.
    pub fn lose(&self, request: &'static str, after: usize) {
        let mut left = Some(after);
        self.fail(move |line| {
            if !line.starts_with(request) {
                return None;
            }
            let now = left?;
            left = now.checked_sub(1);
            (now == 0).then_some(Fault::CutAnswer(0))
        });
    }

    /// How many requests came that begin like this.
    pub fn count(&self, request: &str) -> usize {
        let state = self.state();
        state
            .requests
            .iter()
            .filter(|line| line.starts_with(request))
            .count()
    }

    /// How many requests something went wrong with since this was asked last. An answer that was cut after its end is none of them.
    pub fn take_struck(&self) -> usize {
        std::mem::take(&mut self.state().struck)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, line: &str) -> Option<(Option<Fault>, Arc<Program>)> {
        let mut state = self.state();
        state.requests.push(line.to_owned());
        let fault = state.choose.as_mut().and_then(|choose| choose(line));
        Some((fault, state.server.upgrade()?))
    }

    /// One request, and one answer, as it comes. Each has a connection of its own.
    async fn pass(&self, mut device: TcpStream) -> Result<()> {
        let Some(request) = read_request(&mut device).await? else {
            return Ok(());
        };
        let line = String::from_utf8_lossy(request.split(|byte| *byte == b'\r').next().unwrap_or_default());
        let Some((fault, server)) = self.begin(&line) else {
            return Ok(());
        };
        let mut most = u64::MAX;
        // Of a cut answer it shows later.
        self.state().struck += usize::from(!matches!(fault, None | Some(Fault::CutAnswer(_))));
        match fault {
            None => {}
            Some(Fault::CutRequest(bytes)) => {
                let mut upstream = connect(&server).await?;
                return upstream.write_all(&request[..bytes.min(request.len())]).await;
            }
            Some(Fault::KillAfter(bytes)) => {
                let mut upstream = connect(&server).await?;
                let sent = upstream.write_all(&request[..bytes.min(request.len())]).await;
                server.kill();
                return sent;
            }
            Some(Fault::KillBeforeAnswer) => {
                let mut answer = send(&server, &request).await?;
                let read = answer.read_u8().await;
                server.kill();
                return read.map(|_| ());
            }
            Some(Fault::CutAnswer(bytes)) => most = bytes as u64,
            Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
            Some(Fault::Twice) => {
                let (mut first, mut second) =
                    tokio::try_join!(send(&server, &request), send(&server, &request))?;
                let mut unheard = Vec::new();
                let (heard, _) = tokio::join!(pass_on(&mut second, &mut device, most), async {
                    first.read_to_end(&mut unheard).await
                });
                return heard.map(|_| ());
            }
        }
        let mut answer = send(&server, &request).await?;
        let is_cut = pass_on(&mut answer, &mut device, most).await?;
        self.state().struck += usize::from(is_cut);
        Ok(())
    }
}

async fn connect(server: &Program) -> Result<TcpStream> {
    TcpStream::connect(server.url().trim_start_matches("http://")).await
}

async fn send(server: &Program, request: &[u8]) -> Result<TcpStream> {
    let mut upstream = connect(server).await?;
    upstream.write_all(request).await?;
    Ok(upstream)
}

/// At least one byte of an answer is waited for: what it answers is done then. Tells whether the device gets less than there is.
async fn pass_on(answer: &mut TcpStream, device: &mut TcpStream, most: u64) -> Result<bool> {
    let first = answer.read_u8().await?;
    if most == 0 {
        return Ok(true);
    }
    device.write_u8(first).await?;
    tokio::io::copy(&mut (&mut *answer).take(most - 1), device).await?;
    device.shutdown().await?;
    Ok(answer.read(&mut [0]).await? > 0)
}

/// The next request, which asks the server to close the connection after its answer; none where the device has closed it.
async fn read_request(device: &mut TcpStream) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 2;
        }
        if device.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(Ok(0), |length| length.trim().parse::<usize>())
        .map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
    while bytes.len() < head + 2 + length {
        if device.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    bytes.splice(head..head, *b"connection: close\r\n");
    Ok(Some(bytes))
}
