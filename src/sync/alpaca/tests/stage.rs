//! A simulated afternoon: a broker from a seed, a network that spoils things, a clock that runs as soon as nobody has
//! anything left to do, and a ledger that survives the daemon.

use crate::config::{AlpacaAccount, Secret};
use crate::journal::{Author, Draft, Journal, Terms};
use crate::sync::alpaca::broker::{Broker, Call, Deaf, Ear, Heard, Method};
use crate::sync::alpaca::engine::{Engine, Flaw};
use crate::sync::alpaca::{Books, wire};
use crate::sync::alpaca_http::{Answer, Unreachable};
use crate::sync::board::{Board, Source, Status};
use crate::sync::pace::WallClock;
use async_trait::async_trait;
use daybook_ledger::{Clock, FaultyStore, Ledger, MemoryStore, Options, PutFault};
use daybook_schemas::events::{Calendar, LotMethod, PortfolioOpened};
use daybook_schemas::{Currency, KeyId, KeyRing, PortfolioId, Sealed, Timestamp, Zone, stream};
use daybook_simulator::{Answer as Told, Incoming, Keys, Outgoing, Request, Socket, SocketKind, World};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a hanging answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stream may say nothing, not even a pong, before it is given up.
const PONG: Duration = Duration::from_secs(60);
/// The key in use.
pub(super) const KEY: &str = "PKSIMULATED";

/// What everybody on the stage shares.
pub(super) struct Stage {
    world: Mutex<World>,
    dice: Mutex<ChaCha8Rng>,
    start: Timestamp,
    origin: Instant,
    /// The present for the ledger's own thread, which simulated time does not reach.
    present: AtomicI64,
    keys: Keys,
}

impl Stage {
    /// A stage for a world that begins now.
    pub(super) fn new(world: World, keys: Keys, seed: u64) -> Arc<Self> {
        let start = world.now();
        Arc::new(Self {
            world: Mutex::new(world),
            dice: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
            start,
            origin: Instant::now(),
            present: AtomicI64::new(start.nanos()),
            keys,
        })
    }

    /// The world, brought up to the present.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        let now = self.now();
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance(now);
        world
    }

    fn latency(&self) -> Duration {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_millis(dice.random_range(5..80))
    }
}

impl WallClock for Stage {
    fn now(&self) -> Timestamp {
        let nanos = i64::try_from(self.origin.elapsed().as_nanos()).unwrap();
        let now = self.start.plus_nanos(nanos);
        self.present.store(now.nanos(), Ordering::Relaxed);
        now
    }
}

/// The ledger's clock.
struct Hands(Arc<Stage>);

impl Clock for Hands {
    fn now(&self) -> i64 {
        self.0.present.load(Ordering::Relaxed)
    }
}

/// The broker over the simulated network.
pub(super) struct Line(pub(super) Arc<Stage>);

#[async_trait]
impl Broker for Line {
    async fn call(&self, call: &Call) -> Result<Answer, Unreachable> {
        let method = match call.method {
            Method::Get => "GET",
            Method::Post => "POST",
        };
        let mut request = Request::to(method, &call.path).with_keys(&self.0.keys.id, &self.0.keys.secret);
        request.query = call.query.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        request.body = call.body.clone().unwrap_or_default();
        tokio::time::sleep(self.0.latency()).await;
        let told = {
            let now = self.0.now();
            self.0.world.lock().unwrap_or_else(PoisonError::into_inner).handle(&request, now)
        };
        match told {
            Told::Whole(response) => {
                tokio::time::sleep(self.0.latency()).await;
                Ok(Answer { status: response.status, body: response.body })
            }
            Told::Slow(response, wait) if wait < TIMEOUT => {
                tokio::time::sleep(wait).await;
                Ok(Answer { status: response.status, body: response.body })
            }
            Told::Slow(..) | Told::Hang(_) => {
                tokio::time::sleep(TIMEOUT).await;
                Err(Unreachable::Silent(TIMEOUT))
            }
            Told::Truncated(..) => Err(Unreachable::Truncated),
            Told::Reset => Err(Unreachable::Connection("reset".to_owned())),
        }
    }

    async fn listen(&self) -> Result<Box<dyn Ear>, Deaf> {
        tokio::time::sleep(self.0.latency()).await;
        let socket = {
            let now = self.0.now();
            Socket::connect(&mut self.0.world(), SocketKind::Trading, now)
        };
        let mut ear = Wire { stage: self.0.clone(), socket, heard: VecDeque::new(), last: Instant::now() };
        let Keys { id, secret, .. } = &self.0.keys;
        ear.say(&format!(r#"{{"action":"auth","key":"{id}","secret":"{secret}"}}"#));
        ear.expect("\"authorized\"").await?;
        ear.say(r#"{"action":"listen","data":{"streams":["trade_updates"]}}"#);
        ear.expect("\"listening\"").await?;
        Ok(Box::new(ear))
    }
}

/// One end of the stream.
struct Wire {
    stage: Arc<Stage>,
    socket: Socket,
    heard: VecDeque<String>,
    last: Instant,
}

impl Wire {
    fn say(&mut self, text: &str) {
        let now = self.stage.now();
        self.socket.receive(&mut self.stage.world(), Incoming::Text(text), now);
    }

    async fn expect(&mut self, part: &str) -> Result<(), Deaf> {
        let message = self.next().await?;
        if message.contains(part) { Ok(()) } else { Err(Deaf(message)) }
    }

    async fn next(&mut self) -> Result<String, Deaf> {
        loop {
            if let Some(message) = self.heard.pop_front() {
                return Ok(message);
            }
            let now = self.stage.now();
            let out = self.socket.poll(&mut self.stage.world(), now);
            for message in out {
                match message {
                    Outgoing::Text(text) => self.heard.push_back(text),
                    Outgoing::Binary(bytes) => {
                        self.heard.push_back(String::from_utf8_lossy(&bytes).into_owned());
                    }
                    Outgoing::Pong(_) => {}
                    Outgoing::Close(_, reason) => return Err(Deaf(reason)),
                    Outgoing::Reset => return Err(Deaf("reset".to_owned())),
                }
            }
            if !self.heard.is_empty() {
                self.last = Instant::now();
                continue;
            }
            // A silent socket answers no ping.
            if self.socket.is_silent() && self.last.elapsed() >= PONG {
                return Err(Deaf("no pong".to_owned()));
            }
            let world_due = self.stage.world().next_due();
            let due = [world_due, self.socket.next_due()].into_iter().flatten().min();
            let wait = due.map_or(PONG, |due| {
                Duration::from_nanos(u64::try_from(due.nanos() - now.nanos()).unwrap_or(0))
            });
            tokio::time::sleep(wait.clamp(Duration::from_millis(5), PONG)).await;
        }
    }
}

#[async_trait]
impl Ear for Wire {
    async fn hear(&mut self) -> Result<Heard, Deaf> {
        let message = self.next().await?;
        Ok(understood(&message))
    }
}

fn understood(message: &str) -> Heard {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(message) else { return Heard::Something };
    let event = value["data"]["event"].as_str().unwrap_or_default();
    match event {
        "fill" | "partial_fill" => Heard::Raw(message.into()),
        "new" | "canceled" | "accepted" | "pending_new" => Heard::Noted,
        _ => Heard::Something,
    }
}

/// The order of a stream's message about a fill, and how much of it is filled.
pub(in crate::sync::alpaca) fn order_of(message: &str) -> Option<(String, rust_decimal::Decimal)> {
    let value: serde_json::Value = serde_json::from_str(message).ok()?;
    let order: wire::Order = serde_json::from_value(value["data"]["order"].clone()).ok()?;
    Some((order.id, order.filled_qty?.0))
}

/// A ledger that outlives the daemons that write to it.
pub(super) struct Disk {
    stage: Arc<Stage>,
    store: Arc<MemoryStore>,
    ring: KeyRing,
    pub(super) portfolio: PortfolioId,
    /// How often the daemon reads what is no fill, and the last ninety days.
    pub(super) sweeps: (Duration, Duration),
}

impl Disk {
    /// An empty ledger with one portfolio.
    pub(super) fn new(stage: Arc<Stage>) -> Self {
        let portfolio = PortfolioId::from_bytes([7; 16]);
        let key = KeyId::Portfolio(portfolio);
        let mut ring = KeyRing::default();
        ring.insert(key, [9; 64]);
        let sweeps = (Duration::from_secs(3_600), Duration::from_secs(86_400));
        let disk = Self { stage, store: Arc::new(MemoryStore::new()), ring, portfolio, sweeps };
        let journal = disk.open();
        let opened = PortfolioOpened {
            portfolio,
            name: Sealed::seal(&disk.ring, key, &"Simulated".to_owned()).unwrap(),
            base_currency: Currency::USD,
            zone: Zone::NEW_YORK,
            lot_method: LotMethod::Fifo,
            calendar: Calendar::Weekdays,
        };
        let draft = Draft::new(stream::portfolio(portfolio), disk.stage.now(), opened);
        journal.record(&Author::operator(), vec![draft], Terms::default()).unwrap();
        disk
    }

    /// The journal, as a start finds it.
    pub(super) fn open(&self) -> Arc<Journal> {
        self.open_failing(Vec::new())
    }

    /// The journal on a disk that fails by a plan, commit by commit.
    fn open_failing(&self, plan: Vec<PutFault>) -> Arc<Journal> {
        let options = Options { clock: Arc::new(Hands(self.stage.clone())), ..Options::default() };
        let store = FaultyStore::new(self.store.clone(), plan);
        let ledger = Ledger::with_store(Arc::new(store), &options).unwrap();
        Arc::new(Journal::over(ledger, self.ring.clone()).unwrap())
    }

    /// The configuration of the account.
    pub(super) fn account(&self) -> AlpacaAccount {
        let url = |text: &str| text.parse().unwrap();
        AlpacaAccount {
            name: "main".to_owned(),
            portfolio: self.portfolio,
            key_id: Secret::new(self.stage.keys.id.clone()),
            secret_key: Secret::new(self.stage.keys.secret.clone()),
            base_url: url("http://127.0.0.1:1"),
            stream_url: url("ws://127.0.0.1:1/stream"),
            data_url: url("http://127.0.0.1:1"),
            orders: false,
            requests_per_second: 3,
            sweep_fills: Duration::from_secs(60),
            sweep_activities: self.sweeps.0,
            sweep_deep: self.sweeps.1,
        }
    }

    /// A daemon over the journal.
    pub(super) fn engine(&self, journal: &Arc<Journal>, flaw: Flaw) -> (Engine<Line>, Arc<Source>) {
        let board = Board::default();
        let source = board.add("main", "alpaca", Some(self.portfolio));
        let mut engine = Engine::new(
            self.account(),
            Arc::new(Line(self.stage.clone())),
            Books::in_place(journal.clone()),
            self.stage.clone(),
            source.clone(),
        );
        engine.flaw = flaw;
        (engine, source)
    }

    /// Lets the daemon run for a while on a disk that fails by a plan, and kills it in whatever it does.
    pub(super) async fn run_for(&self, flaw: Flaw, time: Duration, plan: Vec<PutFault>) -> Status {
        let journal = self.open_failing(plan);
        let (engine, source) = self.engine(&journal, flaw);
        let (_stop, stopped) = watch::channel(false);
        // Dropping the future is the kill: nothing of it runs on.
        let _ = tokio::time::timeout(time, engine.run(stopped)).await;
        source.status()
    }
}
