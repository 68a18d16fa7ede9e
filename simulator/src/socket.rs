//! The two WebSockets, one value for each connection: what comes in is given to it, what is to go out is asked of it.

use crate::broker::account::Update;
use crate::broker::{AccountNo, Admission};
use crate::faults::MessageFault;
use crate::market::{Bar, Timeframe};
use crate::routes::data::{bar_json, trade_json};
use crate::wire::{iso, plain};
use crate::world::World;
use daybook_schemas::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const SECOND: i64 = 1_000_000_000;

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A text frame.
    Text(&'a str),
    /// A binary frame.
    Binary(&'a [u8]),
    /// A ping with its payload.
    Ping(&'a [u8]),
}

/// What goes out to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A text frame.
    Text(String),
    /// A binary frame.
    Binary(Vec<u8>),
    /// A pong with the ping's payload.
    Pong(Vec<u8>),
    /// A close frame with a code and a reason; nothing follows.
    Close(u16, String),
    /// The connection is reset; nothing follows.
    Reset,
}

/// Which of the two sockets a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// `/stream`: `trade_updates`.
    Trading,
    /// `/v2/iex`: trades and bars.
    Data,
}

/// One connection.
#[derive(Debug)]
pub struct Socket {
    kind: SocketKind,
    number: u64,
    /// Who has authenticated.
    owner: Option<(String, AccountNo)>,
    binary: bool,
    /// The next message of the account's, once it listens.
    next_update: Option<u64>,
    trades: BTreeSet<String>,
    bars: BTreeSet<String>,
    /// Until when market data was told.
    told: Timestamp,
    outbox: BTreeMap<(Timestamp, u64), Outgoing>,
    sent: u64,
    silent: bool,
    over: bool,
}

impl Socket {
    /// A connection made now. It answers pings at once, everything else when it is polled.
    #[must_use]
    pub fn connect(world: &mut World, kind: SocketKind, now: Timestamp) -> Self {
        world.advance(now);
        world.sockets += 1;
        let mut socket = Self {
            kind,
            number: world.sockets,
            owner: None,
            binary: false,
            next_update: None,
            trades: BTreeSet::new(),
            bars: BTreeSet::new(),
            told: now,
            outbox: BTreeMap::new(),
            sent: 0,
            silent: false,
            over: false,
        };
        if kind == SocketKind::Data {
            socket.send(&json!([{ "T": "success", "msg": "connected" }]), now);
        }
        socket
    }

    /// Whether nothing will come of it any more: no message, no pong. The transport need not read it either.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        self.silent
    }

    /// Whether it was closed or reset.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Takes in what the client sent. What it answers comes out of the next [`Self::poll`].
    pub fn receive(&mut self, world: &mut World, message: Incoming<'_>, now: Timestamp) {
        world.advance(now);
        if self.silent || self.over {
            return;
        }
        let text = match message {
            Incoming::Ping(payload) => return self.push(Outgoing::Pong(payload.to_vec()), now),
            Incoming::Text(text) => text.as_bytes(),
            Incoming::Binary(bytes) => bytes,
        };
        match (serde_json::from_slice::<Value>(text), self.kind) {
            (Ok(message), SocketKind::Trading) => self.trading(world, &message, now),
            (Ok(message), SocketKind::Data) => self.data(world, &message, now),
            (Err(_), SocketKind::Trading) => {
                self.send(&json!({ "stream": "error", "data": { "error_message": "invalid message" } }), now);
            }
            (Err(_), SocketKind::Data) => {
                self.send(&json!([{ "T": "error", "code": 400, "msg": "invalid syntax" }]), now);
            }
        }
    }

    /// What is to go out by now, in its order.
    pub fn poll(&mut self, world: &mut World, now: Timestamp) -> Vec<Outgoing> {
        world.advance(now);
        if self.over || self.silent {
            return Vec::new();
        }
        self.look_after_owner(world, now);
        match self.kind {
            SocketKind::Trading => self.pick_up_updates(world, now),
            SocketKind::Data => self.pick_up_prices(world, now),
        }
        let mut out = Vec::new();
        while let Some(entry) = self.outbox.first_entry().filter(|entry| entry.key().0 <= now) {
            let message = entry.remove();
            self.over = matches!(message, Outgoing::Close(..) | Outgoing::Reset);
            out.push(message);
            if self.over {
                break;
            }
        }
        out
    }

    /// When it will next have something to say by itself, if nothing happens in the world before.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        if self.over || self.silent {
            return None;
        }
        let delayed = self.outbox.first_key_value().map(|((when, _), _)| *when);
        let tick = (!self.trades.is_empty() || !self.bars.is_empty()).then(|| self.told.plus_nanos(SECOND));
        [delayed, tick].into_iter().flatten().min()
    }

    fn push(&mut self, message: Outgoing, when: Timestamp) {
        self.sent += 1;
        self.outbox.insert((when, self.sent), message);
    }

    fn send(&mut self, message: &Value, when: Timestamp) {
        let text = message.to_string();
        self.push(if self.binary { Outgoing::Binary(text.into_bytes()) } else { Outgoing::Text(text) }, when);
    }

    /// A key that died, or that has a newer socket, loses this one.
    fn look_after_owner(&mut self, world: &World, now: Timestamp) {
        let Some((key, account)) = &self.owner else { return };
        let lives = world.broker.account_of(key) == Ok(*account)
            && !world.account(*account).closed
            && world.broker.is_live(key);
        let reason = if !lives {
            "access key is no longer valid"
        } else if world.listeners.get(&self.listener(key)) != Some(&self.number) {
            "another connection uses this key"
        } else {
            return;
        };
        self.outbox.clear();
        self.push(Outgoing::Close(1008, reason.to_owned()), now);
    }

    fn listener(&self, key: &str) -> String {
        format!("{:?} {key}", self.kind)
    }

    fn admit(&mut self, world: &mut World, key: Option<&str>, secret: Option<&str>) -> bool {
        let (Some(key), Some(secret)) = (key, secret) else { return false };
        let Admission::Granted(account) = world.broker.admit(key, secret) else { return false };
        world.listeners.insert(self.listener(key), self.number);
        self.owner = Some((key.to_owned(), account));
        true
    }

    fn trading(&mut self, world: &mut World, message: &Value, now: Timestamp) {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let data = &message["data"];
        match message["action"].as_str() {
            Some(action @ ("authenticate" | "auth")) => {
                let (key, secret) = if action == "auth" {
                    (text(&message["key"]), text(&message["secret"]))
                } else {
                    (text(&data["key_id"]), text(&data["secret_key"]))
                };
                let admitted = self.admit(world, key.as_deref(), secret.as_deref());
                // Paper speaks in binary frames.
                self.binary = self.owner.as_ref().is_some_and(|(_, account)| world.account(*account).paper);
                let status = if admitted { "authorized" } else { "unauthorized" };
                self.send(
                    &json!({ "stream": "authorization", "data": { "status": status, "action": "authenticate" } }),
                    now,
                );
            }
            Some("listen") => {
                let Some((_, account)) = &self.owner else {
                    let refused = json!({ "stream": "authorization", "data": { "status": "unauthorized", "action": "listen" } });
                    return self.send(&refused, now);
                };
                let listens = data["streams"]
                    .as_array()
                    .is_some_and(|streams| streams.iter().any(|stream| stream == "trade_updates"));
                // Nothing is replayed: what came before is not told.
                self.next_update = listens.then(|| world.account(*account).updates_end());
                let streams: &[&str] = if listens { &["trade_updates"] } else { &[] };
                self.send(&json!({ "stream": "listening", "data": { "streams": streams } }), now);
            }
            _ => self.send(&json!({ "stream": "error", "data": { "error_message": "invalid action" } }), now),
        }
    }

    fn pick_up_updates(&mut self, world: &mut World, now: Timestamp) {
        let (Some((_, account)), Some(mut next)) = (self.owner.clone(), self.next_update) else { return };
        let end = world.account(account).updates_end();
        while next < end && !self.silent {
            let number = next;
            next += 1;
            // One that lags too far behind has missed what was forgotten.
            let Some(message) = world.account(account).update(number).map(update_json) else { continue };
            let older = match world.faults.for_message() {
                fault @ Some(MessageFault::Replayed) => {
                    let back = 1 + world.faults.back(20);
                    let older =
                        number.checked_sub(back).and_then(|number| world.account(account).update(number));
                    if let Some(older) = older.map(update_json) {
                        self.send(&older, now);
                    }
                    fault
                }
                fault => fault,
            };
            self.deliver(&message, older, now);
        }
        self.next_update = Some(next);
    }

    fn deliver(&mut self, message: &Value, fault: Option<MessageFault>, now: Timestamp) {
        match fault {
            None | Some(MessageFault::Replayed) => self.send(message, now),
            Some(MessageFault::Dropped) => {}
            Some(MessageFault::Duplicated) => {
                self.send(message, now);
                self.send(message, now);
            }
            Some(MessageFault::Reordered(by)) => {
                let later = now.plus_nanos(i64::try_from(by.as_nanos()).unwrap_or(SECOND));
                self.send(message, later);
            }
            Some(MessageFault::Garbage) => {
                self.push(Outgoing::Text("{\"stream\":\"trade_up\u{fffd}".to_owned()), now);
                self.send(message, now);
            }
            Some(MessageFault::Silent) => {
                self.silent = true;
                self.outbox.clear();
            }
            Some(MessageFault::Closed) => self.push(Outgoing::Close(1001, "going away".to_owned()), now),
            Some(MessageFault::Reset) => self.push(Outgoing::Reset, now),
        }
    }

    fn data(&mut self, world: &mut World, message: &Value, now: Timestamp) {
        let error = |code: u32, text: &str| json!([{ "T": "error", "code": code, "msg": text }]);
        let names = |value: &Value| -> BTreeSet<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        match message["action"].as_str() {
            Some("auth") if self.owner.is_some() => self.send(&error(403, "already authenticated"), now),
            Some("auth") => {
                let answer = if self.admit(world, message["key"].as_str(), message["secret"].as_str()) {
                    json!([{ "T": "success", "msg": "authenticated" }])
                } else {
                    error(402, "auth failed")
                };
                self.send(&answer, now);
            }
            Some("subscribe" | "unsubscribe") if self.owner.is_none() => {
                self.send(&error(401, "not authenticated"), now);
            }
            Some("subscribe") => {
                self.told = self.told.max(floor_second(now));
                self.trades.extend(names(&message["trades"]));
                self.bars.extend(names(&message["bars"]));
                self.tell_subscription(now);
            }
            Some("unsubscribe") => {
                let (trades, bars) = (names(&message["trades"]), names(&message["bars"]));
                self.trades.retain(|symbol| !trades.contains(symbol));
                self.bars.retain(|symbol| !bars.contains(symbol));
                self.tell_subscription(now);
            }
            _ => self.send(&error(400, "invalid syntax"), now),
        }
    }

    fn tell_subscription(&mut self, now: Timestamp) {
        let answer = json!([{ "T": "subscription", "trades": self.trades, "quotes": [], "bars": self.bars,
            "updatedBars": [], "dailyBars": [], "statuses": [], "lulds": [], "corrections": self.trades,
            "cancelErrors": self.trades }]);
        self.send(&answer, now);
    }

    /// A trade of each symbol each second, a bar at the end of each minute, while the symbol trades. One who was away
    /// for longer hears of the last minutes only.
    fn pick_up_prices(&mut self, world: &mut World, now: Timestamp) {
        if self.owner.is_none() || self.trades.is_empty() && self.bars.is_empty() {
            return;
        }
        let mut second = self.told.plus_nanos(SECOND).max(floor_second(now).plus_nanos(-120 * SECOND));
        while second <= now && !self.silent {
            let mut ticks = Vec::new();
            for symbol in wanted(&self.trades, world) {
                if let Some(trade) = trade_json(&world.market, &symbol, second) {
                    ticks.push(stamped("t", &symbol, trade));
                }
            }
            if second.nanos() % (60 * SECOND) == 0 {
                for symbol in wanted(&self.bars, world) {
                    let bar: Option<Bar> = world.market.latest_bar(&symbol, Timeframe::Minutes(1), second);
                    if let Some(bar) = bar.filter(|bar| bar.start.plus_nanos(60 * SECOND) == second) {
                        ticks.push(stamped("b", &symbol, bar_json(&bar)));
                    }
                }
            }
            if !ticks.is_empty() {
                let fault = world.faults.for_message();
                self.deliver(&Value::Array(ticks), fault, now);
            }
            self.told = second;
            second = second.plus_nanos(SECOND);
        }
    }
}

/// `*` is everything that trades.
fn wanted(symbols: &BTreeSet<String>, world: &World) -> Vec<String> {
    if symbols.contains("*") {
        world
            .market
            .listings()
            .filter(|listing| listing.active)
            .map(|listing| listing.symbol.clone())
            .collect()
    } else {
        symbols.iter().filter(|symbol| world.market.listing(symbol).is_some()).cloned().collect()
    }
}

fn stamped(kind: &str, symbol: &str, mut message: Value) -> Value {
    message["T"] = json!(kind);
    message["S"] = json!(symbol);
    message
}

fn floor_second(at: Timestamp) -> Timestamp {
    Timestamp::from_nanos(at.nanos().div_euclid(SECOND) * SECOND)
}

fn update_json(update: &Update) -> Value {
    let mut data = json!({
        "event": update.event,
        "timestamp": iso(update.at),
        "order": update.order.shown(),
    });
    if let Some(execution) = &update.execution {
        data["execution_id"] = json!(execution.id);
        data["price"] = json!(plain(execution.price));
        data["qty"] = json!(plain(execution.quantity));
        data["position_qty"] = json!(plain(execution.position));
    }
    json!({ "stream": "trade_updates", "data": data })
}
