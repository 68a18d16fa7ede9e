//! Bodies of requests, bounded in size and in time, whoever reads them and however far.

use poem::Body;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Why a body was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// It has more bytes than the route takes.
    TooLarge,
    /// It paused for too long.
    TooSlow,
}

/// What is left of a body that somebody stopped reading.
pub(super) type Rest = Pin<Box<dyn AsyncRead + Send>>;

/// Tells how the reading of a body ended, after the fact.
#[derive(Clone, Default)]
pub(super) struct Ending(Arc<Noted>);

#[derive(Default)]
struct Noted {
    trouble: AtomicU8,
    rest: Mutex<Option<Rest>>,
}

impl Ending {
    /// The trouble that there was.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        match self.0.trouble.load(Ordering::Acquire) {
            1 => Some(Trouble::TooLarge),
            2 => Some(Trouble::TooSlow),
            _ => None,
        }
    }

    /// What nobody read of it; nothing where its end was met, or an error.
    pub(super) fn rest(&self) -> Option<Rest> {
        self.0.rest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, trouble: Trouble) -> io::Error {
        let code = match trouble {
            Trouble::TooLarge => 1,
            Trouble::TooSlow => 2,
        };
        self.0.trouble.store(code, Ordering::Release);
        io::Error::other(match trouble {
            Trouble::TooLarge => "the body is too large",
            Trouble::TooSlow => "the body came too slowly",
        })
    }
}

/// Bytes that a body must bring on average in a millisecond, once it had the time of three pauses: four kilobytes a
/// second, so that nobody holds an upload's memory by sending it drop by drop.
const BYTES_PER_MILLISECOND: u64 = 4;

/// A body that ends with an error once it is too large, pauses for too long, or comes too slowly on the whole.
pub(super) struct Metered {
    /// None once it ended.
    inner: Option<Rest>,
    left: u64,
    read: u64,
    began: Instant,
    pause_max: Duration,
    pause: Pin<Box<Sleep>>,
    ending: Ending,
}

impl Metered {
    /// Puts a limit on a body, and tells later how it ended.
    pub(super) fn new(body: Body, bytes_max: u64, pause_max: Duration) -> (Self, Ending) {
        let ending = Ending::default();
        let metered = Self {
            inner: Some(Box::pin(body.into_async_read())),
            left: bytes_max,
            read: 0,
            began: Instant::now(),
            pause_max,
            pause: Box::pin(tokio::time::sleep(pause_max)),
            ending: ending.clone(),
        };
        (metered, ending)
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let Some(inner) = &mut self.inner else { return Poll::Ready(Ok(())) };
        match inner.as_mut().poll_read(context, out) {
            Poll::Ready(Ok(())) => {
                let read = (out.filled().len() - before) as u64;
                if read == 0 && out.remaining() > 0 {
                    self.inner = None;
                    return Poll::Ready(Ok(()));
                }
                match self.left.checked_sub(read) {
                    Some(left) => self.left = left,
                    None => return Poll::Ready(Err(self.ending.set(Trouble::TooLarge))),
                }
                self.read += read;
                let earned = Duration::from_millis(self.read / BYTES_PER_MILLISECOND);
                let latest = self.began + self.pause_max * 3 + earned;
                let now = Instant::now();
                if now > latest && read > 0 {
                    return Poll::Ready(Err(self.ending.set(Trouble::TooSlow)));
                }
                let deadline = latest.min(now + self.pause_max);
                self.pause.as_mut().reset(deadline);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(error) => {
                self.inner = None;
                Poll::Ready(error)
            }
            Poll::Pending => match self.pause.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(self.ending.set(Trouble::TooSlow))),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        *self.ending.0.rest.lock().unwrap_or_else(PoisonError::into_inner) = self.inner.take();
    }
}

/// How much is read of what nobody asked for, so that its connection can go on, in bytes.
const REST_BYTES_MAX: u64 = 64 << 10;
/// How long that may take.
const REST_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Reads what is left of a body, if it is little and comes at once, and tells whether that was all of it.
///
/// A connection on which a body lies unread cannot carry another request: it would be closed without a word, and
/// whoever sends the next request on it meets a broken pipe in place of an answer.
pub(super) async fn read_out(rest: Rest) -> bool {
    let mut rest = rest.take(REST_BYTES_MAX + 1);
    let reading = async {
        let mut read = 0;
        let mut part = [0; 4096];
        loop {
            match rest.read(&mut part).await {
                Ok(0) => return read <= REST_BYTES_MAX,
                Ok(bytes) => read += bytes as u64,
                Err(_) => return false,
            }
        }
    };
    tokio::time::timeout(REST_PAUSE_MAX, reading).await.unwrap_or(false)
}
