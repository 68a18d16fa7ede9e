//! What a connection is doing and since when: felt at its socket, at its requests and at its answers, so that one that
//! does nothing for too long can be hung up on.

use super::{Ended, Limits};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long what a peer goes on saying is dropped after the last was said to it.
const LINGER: Duration = Duration::from_secs(2);
/// Nothing waits to be written.
const FLOWING: u64 = u64::MAX;

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct Pulse {
    began: Instant,
    /// Requests whose answers are not yet all given away.
    requests: AtomicU32,
    /// Between requests: whether the head of the next one has begun.
    head: AtomicBool,
    /// Between requests: since when, in milliseconds after it began.
    since: AtomicU64,
    /// Since when bytes wait because nobody takes them.
    blocked: AtomicU64,
    /// Whether something was read that no request was made of yet.
    unheeded: AtomicBool,
    /// Whether requests are multiplexed: what is read between them is then not the head of one.
    multiplexed: AtomicBool,
}

/// What is to be done about a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Look again then.
    Until(Instant),
    /// It has taken too long; in which way.
    Over(Ended),
}

impl Pulse {
    /// A connection that begins: the head of its first request is awaited.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            requests: AtomicU32::new(0),
            head: AtomicBool::new(true),
            since: AtomicU64::new(0),
            blocked: AtomicU64::new(FLOWING),
            unheeded: AtomicBool::new(false),
            multiplexed: AtomicBool::new(false),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(FLOWING - 1)
    }

    /// The head of a request came; its answer is under way until what this gives is dropped.
    pub(super) fn request(self: &Arc<Self>, multiplexed: bool) -> Beat {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.head.store(false, Ordering::Relaxed);
        self.unheeded.store(false, Ordering::Relaxed);
        if multiplexed {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
        Beat(Arc::clone(self))
    }

    fn answered(&self) {
        // The time is stored first: nobody may see the connection idle since the request before.
        self.since.store(self.now(), Ordering::Release);
        self.unheeded.store(false, Ordering::Relaxed);
        self.requests.fetch_sub(1, Ordering::AcqRel);
    }

    fn read(&self) {
        self.unheeded.store(true, Ordering::Relaxed);
        if self.requests.load(Ordering::Acquire) == 0
            && !self.multiplexed.load(Ordering::Relaxed)
            && !self.head.load(Ordering::Relaxed)
        {
            self.since.store(self.now(), Ordering::Relaxed);
            self.head.store(true, Ordering::Relaxed);
        }
    }

    fn wrote<T>(&self, polled: &Poll<T>) {
        let blocked = self.blocked.load(Ordering::Relaxed);
        match polled {
            Poll::Pending if blocked == FLOWING => self.blocked.store(self.now(), Ordering::Relaxed),
            Poll::Ready(_) if blocked != FLOWING => self.blocked.store(FLOWING, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Whether the connection ends while its peer may still be speaking, as when the head of a request was refused.
    fn interrupts(&self) -> bool {
        self.unheeded.load(Ordering::Relaxed) && !self.multiplexed.load(Ordering::Relaxed)
    }

    /// Whether the connection has taken too long, or when that is to be asked again.
    pub(super) fn verdict(&self, limits: &Limits) -> Verdict {
        // Whatever begins from now on has at least this long.
        let least = limits.header_timeout.min(limits.keep_alive).min(limits.write_timeout);
        let mut next = Instant::now() + least;
        let mut look = |since: u64, limit: Duration, how| {
            let end = self.began + Duration::from_millis(since) + limit;
            next = next.min(end);
            (end <= Instant::now()).then_some(how)
        };
        let blocked = self.blocked.load(Ordering::Relaxed);
        let mut over = None;
        if blocked != FLOWING {
            over = look(blocked, limits.write_timeout, Ended::Stalled);
        }
        if self.requests.load(Ordering::Acquire) == 0 {
            let since = self.since.load(Ordering::Acquire);
            over = over.or(if self.head.load(Ordering::Relaxed) {
                look(since, limits.header_timeout, Ended::SlowHead)
            } else {
                look(since, limits.keep_alive, Ended::Idle)
            });
        }
        over.map_or(Verdict::Until(next), Verdict::Over)
    }
}

/// A request whose answer is under way.
#[derive(Debug)]
pub(super) struct Beat(Arc<Pulse>);

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// A socket whose pulse is felt.
pub(super) struct Felt<Io> {
    inner: Io,
    pulse: Arc<Pulse>,
    /// Whether the peer was told that nothing more comes.
    shut: bool,
    /// While what it still says is dropped: when that ends.
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<Io> Felt<Io> {
    /// Feels the pulse of a socket.
    pub(super) const fn new(inner: Io, pulse: Arc<Pulse>) -> Self {
        Self { inner, pulse, shut: false, lingering: None }
    }
}

impl<Io: AsyncRead + Unpin> Felt<Io> {
    /// Reads and drops what the peer still says: closing with bytes unread would take back what it was told last.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut dropped = [0; 4096];
        loop {
            let mut read = ReadBuf::new(&mut dropped);
            let polled = Pin::new(&mut self.inner).poll_read(context, &mut read);
            if polled.is_ready() && read.filled().is_empty() {
                return Poll::Ready(());
            }
            if polled.is_ready() && self.lingering.is_none() {
                self.lingering = Some(Box::pin(tokio::time::sleep(LINGER)));
            }
            let Some(end) = &mut self.lingering else { return Poll::Ready(()) };
            let over = end.as_mut().poll(context);
            if polled.is_pending() || over.is_ready() {
                return over;
            }
        }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Felt<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, out);
        if polled.is_ready() && out.filled().len() > before {
            self.pulse.read();
        }
        polled
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Felt<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.pulse.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
        self.pulse.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(context);
        self.pulse.wrote(&polled);
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            let polled = Pin::new(&mut self.inner).poll_shutdown(context);
            self.pulse.wrote(&polled);
            ready!(polled)?;
            self.shut = true;
            self.lingering = self.pulse.interrupts().then(|| Box::pin(tokio::time::sleep(LINGER)));
        }
        self.poll_linger(context).map(Ok)
    }
}
