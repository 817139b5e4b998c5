//! What stands between a connection and actix: it hands over one request at a time, and only those whose head is beyond
//! doubt. [ADR 24](../../../docs/adr/0024-one-strict-request-at-a-time.md) says why.
//!
//! * The head of a request is looked at as a whole before actix sees any of it. It has a limit in bytes, and a deadline that
//!   counts from its first byte, on whichever request of the connection (`head`).
//! * The next request is handed over when the answer to the one before it has been written. So answers can't be mixed up.
//! * `Expect: 100-continue` is answered when somebody asks for the body, and not at all where the answer is no.
//! * What is refused here is answered like everything else: the application gets a request that stands for it, and finds the
//!   refusal with the connection.

mod chunks;
mod head;

use std::cell::{Cell, RefCell};
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use actix_web::rt::net::{ActixStream, Ready};
use actix_web::rt::time::{Sleep, sleep};
use actix_web::web::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::budget::Lease;
use crate::problem::{Problem, ProblemCode};
use crate::socket::Socket;
use chunks::Chunks;
pub(crate) use head::LONGEST as LONGEST_HEAD;
use head::{BodyLength, Scan};

/// How much is read at once.
const PIECE: usize = 8 * 1024;
/// How much of later requests is kept while one is answered, in bytes. What is beyond waits in the client.
const AHEAD: usize = PIECE;
/// A head of so many bytes is what every connection may have. What is beyond is counted, for as long as the connection lasts: actix
/// keeps the memory that the largest head took.
const COMMON_HEAD: usize = PIECE;
/// A client takes something of an answer within so long, or is given up: else it would hold what the rest of the answer takes for
/// as long as it likes.
const STALLED: Duration = Duration::from_mins(1);
/// What the application is asked in the place of a request that is refused.
const STAND_IN: &[u8] = b"GET * HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is none.
    Idle,
    /// It is being answered.
    Answering,
    /// Its answer is known, and not yet written.
    Answered,
}

/// Whether the body of a request comes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expectation {
    /// It does.
    None,
    /// The client waits until it is told to send it.
    Waits,
    /// Somebody wants to read it.
    Wanted,
    /// The client was told.
    Told,
}

/// What the two ends of a connection know of each other: the stream below actix, and the application above it.
#[derive(Debug)]
pub(crate) struct Connection {
    phase: Cell<Phase>,
    expectation: Cell<Expectation>,
    refusal: RefCell<Option<Problem>>,
    reader: RefCell<Option<Waker>>,
}

impl Connection {
    fn begin(&self, expects: bool) {
        self.phase.set(Phase::Answering);
        let expectation = if expects {
            Expectation::Waits
        } else {
            Expectation::None
        };
        self.expectation.set(expectation);
    }

    /// The whole answer was handed over to be written.
    pub(crate) fn answered(&self) {
        self.phase.set(Phase::Answered);
        self.wake();
    }

    /// Somebody is about to read the body of the request.
    pub(crate) fn want_body(&self) {
        if self.expectation.get() == Expectation::Waits {
            self.expectation.set(Expectation::Wanted);
            self.wake();
        }
    }

    /// Whether the client waits with its body for a word that it has not got.
    pub(crate) fn is_body_awaited(&self) -> bool {
        matches!(self.expectation.get(), Expectation::Waits | Expectation::Wanted)
    }

    /// Why the request was refused, once.
    pub(crate) fn take_refusal(&self) -> Option<Problem> {
        self.refusal.borrow_mut().take()
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }
}

/// What comes next.
#[derive(Debug)]
enum Next {
    Head(Scan),
    Body(Body),
    /// Nothing, until the request is answered.
    Answer,
    /// Nothing any more.
    End,
}

#[derive(Debug)]
enum Body {
    Sized(u64),
    Chunked(Chunks),
    /// Its framing is broken, and actix is about to find out.
    Broken,
}

impl Body {
    /// How many of these bytes belong to it, and whether it ends with them.
    fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        match self {
            Self::Sized(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                (taken, *left == 0)
            }
            Self::Chunked(chunks) => {
                if let Ok(taken) = chunks.take(bytes) {
                    return taken;
                }
                *self = Self::Broken;
                (bytes.len(), false)
            }
            Self::Broken => (bytes.len(), false),
        }
    }
}

/// A connection that hands over one request at a time.
#[derive(Debug)]
pub(crate) struct Wire {
    io: Socket,
    connection: Rc<Connection>,
    /// What was read and not handed over.
    buffer: BytesMut,
    /// What is to be handed over before anything else.
    ready: Bytes,
    /// What of the word that the client waits for is not written yet.
    told: &'static [u8],
    next: Next,
    /// What its heads take.
    held: Lease,
    head_timeout: Duration,
    linger: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Until when the client has to take something; `None`: it has taken all that there was.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    /// Over a connection. A head may take `head_timeout` from its first byte to its last, and a client may go on sending for
    /// `linger` after it was answered. What large heads take is counted as `held`.
    pub(crate) fn new(io: Socket, held: Lease, head_timeout: Duration, linger: Duration) -> Self {
        Self {
            io,
            connection: Rc::new(Connection {
                phase: Cell::new(Phase::Idle),
                expectation: Cell::new(Expectation::None),
                refusal: RefCell::default(),
                reader: RefCell::default(),
            }),
            buffer: BytesMut::new(),
            ready: Bytes::new(),
            told: &[],
            next: Next::Head(Scan::default()),
            held,
            head_timeout,
            linger,
            deadline: None,
            stalled: None,
        }
    }

    /// What is known of the connection.
    pub(crate) fn connection(&self) -> Rc<Connection> {
        Rc::clone(&self.connection)
    }

    /// Reads what there is into the buffer. 0: the client sends no more.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut piece = [0; PIECE];
        let mut read = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
        self.buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Whether the time is up that began with the first of these questions.
    fn is_late(&mut self, cx: &mut Context<'_>, limit: Duration) -> bool {
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
        let is_late = deadline.as_mut().poll(cx).is_ready();
        if is_late {
            self.deadline = None;
        }
        is_late
    }

    /// What came of sending something, with an end to waiting for a client that takes nothing.
    fn unless_stalled<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.stalled = None;
            return sent;
        }
        let deadline = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALLED)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Counts what there is of a head.
    fn count_head(&mut self) -> Result<(), Problem> {
        let beyond = self.buffer.len().saturating_sub(COMMON_HEAD);
        self.held.grow(beyond.saturating_sub(self.held.bytes()))
    }

    /// Answers with this, and asks for nothing more.
    pub(crate) fn refuse(&mut self, refusal: Problem) {
        self.deadline = None;
        self.buffer.clear();
        *self.connection.refusal.borrow_mut() = Some(refusal);
        self.connection.begin(false);
        self.ready = Bytes::from_static(STAND_IN);
        self.next = Next::End;
    }

    /// Gets on until there is something to hand over, or the client has to send more. `false`: it sends no more.
    fn poll_head(&mut self, cx: &mut Context<'_>, mut scan: Scan) -> Poll<io::Result<bool>> {
        loop {
            match head::read(&mut scan, &mut self.buffer) {
                Ok(Some(head)) => {
                    self.deadline = None;
                    if self.buffer.is_empty() {
                        // It would keep the memory of the head for as long as the connection is idle.
                        self.buffer = BytesMut::new();
                    }
                    self.connection.begin(head.expects_continue);
                    self.ready = head.bytes;
                    self.next = match head.body {
                        BodyLength::None | BodyLength::Sized(0) => Next::Answer,
                        BodyLength::Sized(length) => Next::Body(Body::Sized(length)),
                        BodyLength::Chunked => Next::Body(Body::Chunked(Chunks::default())),
                    };
                    return Poll::Ready(Ok(true));
                }
                Ok(None) => {}
                Err(refusal) => {
                    self.refuse(refusal);
                    return Poll::Ready(Ok(true));
                }
            }
            match self.poll_fill(cx)? {
                Poll::Ready(read) if read > 0 => {
                    if let Err(refusal) = self.count_head() {
                        self.refuse(refusal);
                        return Poll::Ready(Ok(true));
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Ok(false)),
                Poll::Pending => {
                    let limit = self.head_timeout;
                    if !self.buffer.is_empty() && self.is_late(cx, limit) {
                        let late = "the head of the request took too long to arrive";
                        self.refuse(Problem::new(ProblemCode::RequestTimeout, late));
                        return Poll::Ready(Ok(true));
                    }
                    self.next = Next::Head(scan);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Hands over what is there of the body.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        mut body: Body,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.connection.expectation.get() == Expectation::Wanted {
            // The client need not be told what it does already.
            let is_sent = !self.buffer.is_empty();
            self.told = if is_sent { &[] } else { CONTINUE };
            self.connection.expectation.set(Expectation::Told);
        }
        while !self.told.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, self.told)? {
                Poll::Ready(written) => self.told = self.told.get(written..).unwrap_or_default(),
                Poll::Pending => {
                    self.next = Next::Body(body);
                    return Poll::Pending;
                }
            }
        }
        *self.connection.reader.borrow_mut() = Some(cx.waker().clone());
        let (is_answered, linger) = (self.connection.phase.get() == Phase::Idle, self.linger);
        if is_answered && (self.connection.is_body_awaited() || self.is_late(cx, linger)) {
            // Nobody asks for the rest of it any more.
            self.next = Next::End;
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        if self.buffer.is_empty() {
            match Pin::new(&mut self.io).poll_read(cx, out)? {
                Poll::Ready(()) => {}
                Poll::Pending => {
                    self.next = Next::Body(body);
                    return Poll::Pending;
                }
            }
        } else {
            let piece = self.buffer.len().min(out.remaining());
            out.put_slice(&self.buffer[..piece]);
            self.buffer.advance(piece);
        }
        let new = &out.filled()[before..];
        let sent = new.len();
        let (taken, is_whole) = body.take(new);
        if taken < sent {
            // They come first: nothing of the buffer is left, or they are from its beginning.
            let mut beyond = BytesMut::from(&new[taken..]);
            beyond.extend_from_slice(&self.buffer);
            self.buffer = beyond;
            out.set_filled(before + taken);
        }
        self.next = if is_whole { Next::Answer } else { Next::Body(body) };
        Poll::Ready(Ok(()))
    }

    /// Waits for the answer. `false`: the client has hung up.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            if self.connection.phase.get() == Phase::Idle {
                self.deadline = None;
                self.next = Next::Head(Scan::default());
                return Poll::Ready(Ok(true));
            }
            *self.connection.reader.borrow_mut() = Some(cx.waker().clone());
            if self.buffer.len() >= AHEAD {
                return Poll::Pending;
            }
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Ok(false));
            }
        }
    }

    /// Reads what nobody wants any more. Ends when the client does.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.buffer.clear();
        while ready!(self.poll_fill(cx))? > 0 {
            self.buffer.clear();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.ready.is_empty() {
                let piece = this.ready.split_to(this.ready.len().min(out.remaining()));
                out.put_slice(&piece);
                return Poll::Ready(Ok(()));
            }
            let goes_on = match std::mem::replace(&mut this.next, Next::Answer) {
                Next::Head(scan) => ready!(this.poll_head(cx, scan))?,
                Next::Body(body) => return this.poll_body(cx, body, out),
                Next::Answer => ready!(this.poll_answer(cx))?,
                Next::End => {
                    this.next = Next::End;
                    return this.poll_discard(cx);
                }
            };
            if !goes_on {
                this.next = Next::End;
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.unless_stalled(cx, written)
    }

    /// actix flushes when it has written all that it has: an answer that is known by then is out.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // TLS takes more than it has sent.
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        ready!(this.unless_stalled(cx, flushed))?;
        if this.connection.phase.get() == Phase::Answered {
            this.connection.phase.set(Phase::Idle);
            this.connection.wake();
        }
        Poll::Ready(Ok(()))
    }

    /// A client that has sent more than was read would lose its answer if the connection were simply closed.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        if !matches!(this.next, Next::End) && this.buffer.is_empty() {
            return Poll::Ready(Ok(()));
        }
        this.next = Next::End;
        let limit = this.linger;
        match this.poll_discard(cx) {
            Poll::Pending if !this.is_late(cx, limit) => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl ActixStream for Wire {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(&self.io, cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(&self.io, cx)
    }
}
