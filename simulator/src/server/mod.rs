//! The world on a real port: HTTP/1.1 and WebSockets written by hand, because an answer that stops in its middle cannot be
//! had from a server that means well.

mod connection;
mod http;

use crate::world::World;
use daybook_schemas::Timestamp;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// What time it is in the world, and how long that takes here.
pub trait Clock: Send + Sync + 'static {
    /// The world's instant now; never earlier than the one before.
    fn now(&self) -> Timestamp;
    /// How long a span of the world's time takes here.
    fn here(&self, span: Duration) -> Duration;
}

/// Everybody's time.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_nanos(nanos(since))
    }

    fn here(&self, span: Duration) -> Duration {
        span
    }
}

/// Time that begins at an instant and runs so many times as fast as everybody's.
#[derive(Clone, Copy, Debug)]
pub struct FastClock {
    start: Timestamp,
    began: Instant,
    speed: u32,
}

impl FastClock {
    /// A clock that begins now. A speed of zero counts as one.
    #[must_use]
    pub fn new(start: Timestamp, speed: u32) -> Self {
        Self { start, began: Instant::now(), speed: speed.max(1) }
    }
}

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        self.start.plus_nanos(nanos(self.began.elapsed()).saturating_mul(i64::from(self.speed)))
    }

    fn here(&self, span: Duration) -> Duration {
        span / self.speed
    }
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// What connections and the owner share.
pub(crate) struct Shared {
    world: Mutex<World>,
    clock: Box<dyn Clock>,
    /// Counts what happened, so that whoever waits looks again.
    happened: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
}

impl Shared {
    /// The world, brought up to now.
    fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance(self.clock.now());
        world
    }

    /// Does something with the world and wakes everybody where it changed anything.
    fn act<T>(&self, act: impl FnOnce(&mut World, Timestamp) -> T) -> T {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let before = world.broker.revision();
        // The world may have been told a later instant than the clock has reached.
        let now = self.clock.now().max(world.now());
        let done = act(&mut world, now);
        let changed = world.broker.revision() != before;
        drop(world);
        if changed {
            self.wake();
        }
        done
    }

    fn wake(&self) {
        self.happened.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// How long it takes here until an instant of the world.
    fn until(&self, when: Timestamp) -> Duration {
        let left = when.nanos().saturating_sub(self.clock.now().nanos());
        // Rounded up, so that the instant has really come when one wakes.
        self.clock.here(Duration::from_nanos(left.max(0).unsigned_abs())) + Duration::from_micros(50)
    }
}

/// The stand-in as a server.
#[derive(Debug)]
pub struct StandIn;

impl StandIn {
    /// Serves a world on an address (port 0 picks a free one), on threads of its own: it can be started from anywhere.
    ///
    /// # Errors
    /// The address cannot be listened on, or no thread can be had.
    pub fn start(address: &str, world: World, clock: impl Clock) -> io::Result<Running> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            clock: Box::new(clock),
            happened: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let serving = shared.clone();
        let thread = std::thread::Builder::new().name("stand-in".to_owned()).spawn(move || {
            runtime.block_on(serve(&serving, listener));
            // Connections that hang on purpose are not waited for.
            runtime.shutdown_timeout(Duration::from_millis(200));
        })?;
        Ok(Running { address, shared, thread: Some(thread) })
    }
}

async fn serve(shared: &Arc<Shared>, listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the stand-in cannot listen"),
    };
    let mut stopping = shared.stopping.subscribe();
    let ticking = tokio::spawn(tick(shared.clone()));
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(connection::attend(shared.clone(), stream))),
                // Out of file handles, most likely: others will be closed.
                Err(error) => {
                    tracing::warn!(%error, "the stand-in cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
            _ = stopping.wait_for(|stop| *stop) => break,
        }
    }
    ticking.abort();
}

/// Lets the world do what is due when it is due.
async fn tick(shared: Arc<Shared>) {
    let mut happened = shared.happened.subscribe();
    loop {
        let due = shared.act(|world, now| {
            world.advance(now);
            world.next_due()
        });
        let wait = due.map_or(Duration::from_secs(3_600), |due| shared.until(due));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            // The sender lives in `shared`.
            _ = happened.changed() => {}
        }
    }
}

/// A server that runs. Dropping it stops it.
pub struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// `http://127.0.0.1:PORT`: trading API, data API, Alpha Vantage, Yahoo and Robinhood.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same: one port serves both APIs.
    #[must_use]
    pub fn data_url(&self) -> String {
        self.base_url()
    }

    /// `ws://127.0.0.1:PORT/stream`: `trade_updates`.
    #[must_use]
    pub fn stream_url(&self) -> String {
        format!("ws://{}/stream", self.address)
    }

    /// `ws://127.0.0.1:PORT/v2/iex`: trades and bars.
    #[must_use]
    pub fn data_stream_url(&self) -> String {
        format!("ws://{}/v2/iex", self.address)
    }

    /// The world, brought up to now. While it is held nobody is answered; when it is let go, whoever waits looks again.
    #[must_use]
    pub fn world(&self) -> WorldGuard<'_> {
        WorldGuard { world: Some(self.shared.lock()), shared: &self.shared }
    }

    /// Stops listening and closes what is open.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.stopping.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed there.
            drop(thread.join());
        }
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// The world for as long as it is held.
pub struct WorldGuard<'a> {
    world: Option<MutexGuard<'a, World>>,
    shared: &'a Shared,
}

impl std::fmt::Debug for WorldGuard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WorldGuard")
    }
}

impl Deref for WorldGuard<'_> {
    type Target = World;
    fn deref(&self) -> &World {
        self.world.as_ref().expect("it is let go only when dropped")
    }
}

impl DerefMut for WorldGuard<'_> {
    fn deref_mut(&mut self) -> &mut World {
        self.world.as_mut().expect("it is let go only when dropped")
    }
}

impl Drop for WorldGuard<'_> {
    fn drop(&mut self) {
        self.world = None;
        self.shared.wake();
    }
}
