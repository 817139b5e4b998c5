//! Stands between a device and its server, and loses answers.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::Server;

/// A way to a server on which answers get lost, as a test says.
pub struct Proxy {
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    server: String,
    /// The method and path of a request whose answer is lost, and how many of its kind are answered before.
    losing: Option<(&'static str, usize)>,
    /// The first lines of the requests that came.
    requests: Vec<String>,
}

impl Proxy {
    pub async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        let proxy = Self { url, state };
        proxy.lead_to(server);
        let state = Arc::clone(&proxy.state);
        tokio::spawn(async move {
            while let Ok((device, _)) = listener.accept().await {
                tokio::spawn(pass(device, Arc::clone(&state)));
            }
        });
        proxy
    }

    /// The server has moved.
    pub fn lead_to(&self, server: &Server) {
        self.state.lock().unwrap().server = server.url.replace("http://", "");
    }

    /// After so many requests that begin like this, the server does what one more asks for, and nobody hears of it.
    pub fn lose(&self, request: &'static str, after: usize) {
        self.state.lock().unwrap().losing = Some((request, after));
    }

    /// How many requests came that begin like this.
    pub fn count(&self, request: &str) -> usize {
        let state = self.state.lock().unwrap();
        state
            .requests
            .iter()
            .filter(|line| line.starts_with(request))
            .count()
    }
}

impl State {
    /// Whether the answer to this request is lost.
    fn note(&mut self, bytes: &[u8]) -> bool {
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        let is_lost = match &mut self.losing {
            Some((request, 0)) if head.starts_with(*request) => true,
            Some((request, after)) if head.starts_with(*request) => {
                *after -= 1;
                false
            }
            _ => false,
        };
        if is_lost {
            self.losing = None;
        }
        self.requests.push(head);
        is_lost
    }
}

/// Passes bytes on until one side closes, or an answer is lost.
async fn pass(mut device: TcpStream, state: Arc<Mutex<State>>) {
    let address = state.lock().unwrap().server.clone();
    let Ok(mut server) = TcpStream::connect(address).await else {
        return;
    };
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut loses = false;
    loop {
        tokio::select! {
            read = device.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                loses |= state.lock().unwrap().note(&asked[..count]);
                if server.write_all(&asked[..count]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                if loses || device.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
