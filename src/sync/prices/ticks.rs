//! Live ticks: trades of what is held, from Alpaca's data socket, thinned to what a journal needs of them.

use super::feed::Market;
use super::figure::Figure;
use super::recording;
use super::symbols::{self, Subject, Wanted};
use crate::config;
use crate::journal::{Draft, Journal, Terms};
use crate::sync::board::{Source, State};
use crate::sync::pace::{Backoff, WallClock};
use daybook_schemas::events::{PriceTick, TickKind};
use daybook_schemas::{Currency, InstrumentId, Price, Quantity, Timestamp, Zone, calendar, decimal, stream};
use futures_util::{SinkExt, StreamExt};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// The feed that the socket is, in the names of streams and on the board.
pub(super) const FEED: &str = "ticks";
/// How long a connection, or an answer while it begins, may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often ticks are appended.
const FLUSH: Duration = Duration::from_secs(1);
/// How often it is looked what is held.
const LOOK: Duration = Duration::from_secs(60);
/// How often the other side is asked whether it is there.
const PING: Duration = Duration::from_secs(20);
/// A socket of which nothing was heard for so long is dropped.
const SILENCE_MAX: Duration = Duration::from_secs(50);
/// How far ahead of the clock here a trade may be told.
const AHEAD_MAX: Duration = Duration::from_secs(60);
/// Ten thousand basis points are the whole.
const BASIS_POINTS: u32 = 10_000;
/// Conditions of trades whose price is not that of the market at their moment: averages, derived and prior prices,
/// sales on other terms, reports out of order, and what is traded outside the session.
const OFF_MARKET: [&str; 15] = ["B", "W", "4", "7", "V", "N", "R", "C", "P", "H", "Z", "U", "T", "9", "G"];

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A trade, as the socket tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Trade {
    symbol: String,
    price: Decimal,
    size: Option<Decimal>,
    at: Timestamp,
}

/// What one part of a message says.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Said {
    Connected,
    Authenticated,
    Subscribed,
    Trade(Trade),
    Error { code: i64, text: String },
    Else,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(rename = "T", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    msg: Option<Cow<'a, str>>,
    code: Option<i64>,
}

#[derive(Deserialize)]
struct TradePart<'a> {
    #[serde(rename = "S", borrow)]
    symbol: Cow<'a, str>,
    p: Figure,
    s: Option<Figure>,
    #[serde(borrow)]
    t: Cow<'a, str>,
    #[serde(borrow, default)]
    c: Vec<Cow<'a, str>>,
}

/// Reads a message; what cannot be read says nothing.
fn read(message: &[u8]) -> Vec<Said> {
    let Ok(parts) = serde_json::from_slice::<Vec<&RawValue>>(message) else { return vec![Said::Else] };
    parts.into_iter().map(|raw| part(raw.get())).collect()
}

fn part(raw: &str) -> Said {
    let Ok(part) = serde_json::from_str::<Part<'_>>(raw) else { return Said::Else };
    match (&*part.kind, part.msg.as_deref()) {
        ("success", Some("connected")) => Said::Connected,
        ("success", Some("authenticated")) => Said::Authenticated,
        ("subscription", _) => Said::Subscribed,
        ("error", text) => {
            Said::Error { code: part.code.unwrap_or(0), text: text.unwrap_or("an error").to_owned() }
        }
        ("t", _) => trade(raw).map_or(Said::Else, Said::Trade),
        _ => Said::Else,
    }
}

fn trade(raw: &str) -> Option<Trade> {
    let part: TradePart<'_> = serde_json::from_str(raw).ok()?;
    let at = Timestamp::parse(&part.t).ok()?;
    let on_market = !part.c.iter().any(|condition| OFF_MARKET.contains(&&**condition));
    (on_market && part.p.0 > Decimal::ZERO).then(|| Trade {
        symbol: part.symbol.into_owned(),
        price: part.p.0,
        size: part.s.map(|size| size.0),
        at,
    })
}

/// What was appended last of an instrument, and what came since.
#[derive(Clone, Debug, Default)]
struct Thread {
    appended: Option<(Timestamp, Decimal)>,
    latest: Option<Trade>,
}

/// Lets through at most one tick of an instrument in a while, and only if its price moved.
#[derive(Debug)]
struct Thinning {
    every: Duration,
    basis_points: u32,
    threads: BTreeMap<InstrumentId, Thread>,
}

impl Thinning {
    const fn new(every: Duration, basis_points: u32) -> Self {
        Self { every, basis_points, threads: BTreeMap::new() }
    }

    /// Takes in a trade. Of trades that come out of order the latest stands.
    fn take(&mut self, instrument: InstrumentId, trade: Trade) {
        let thread = self.threads.entry(instrument).or_default();
        let newest = thread.latest.as_ref().map(|trade| trade.at).or(thread.appended.map(|(at, _)| at));
        if newest.is_none_or(|newest| newest <= trade.at) {
            thread.latest = Some(trade);
        }
    }

    /// The ticks that are due.
    fn due(&mut self) -> Vec<(InstrumentId, Trade)> {
        let mut due = Vec::new();
        for (instrument, thread) in &mut self.threads {
            let Some(trade) = &thread.latest else { continue };
            if let Some((at, price)) = thread.appended
                && (trade.at < super::due::after(at, self.every)
                    || !moved(price, trade.price, self.basis_points))
            {
                continue;
            }
            thread.appended = Some((trade.at, trade.price));
            due.extend(thread.latest.take().map(|trade| (*instrument, trade)));
        }
        due
    }
}

/// Whether a price lies at least so many basis points away from another.
fn moved(from: Decimal, to: Decimal, basis_points: u32) -> bool {
    let distance =
        decimal::subtract(to, from).and_then(|by| decimal::multiply(by.abs(), BASIS_POINTS.into()));
    let bound = decimal::multiply(from, basis_points.into());
    // What has too many digits to be compared has moved.
    !matches!((distance, bound), (Ok(distance), Ok(bound)) if distance < bound)
}

/// Why listening ended.
enum End {
    Stopped,
    /// It is of no use to connect again before somebody acts.
    Halt(String),
    Broken(String),
}

/// Listens to the socket until it is told to stop.
pub(super) struct Listener {
    pub(super) ticks: config::Ticks,
    pub(super) followed: Vec<String>,
    pub(super) journal: Arc<Journal>,
    pub(super) clock: Arc<dyn WallClock>,
    pub(super) source: Arc<Source>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Listener {
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60), 11);
        let mut thinning = Thinning::new(self.ticks.every, self.ticks.basis_points);
        while !*self.stop.borrow() {
            let now = self.clock.now();
            self.source.update(|status| {
                status.state = State::Syncing;
                status.last_attempt = Some(now);
            });
            let listened = Instant::now();
            let end = self.listen(&mut thinning).await;
            self.source.update(|status| status.listening = Some(false));
            let wait = match end {
                End::Stopped => return,
                End::Halt(text) => {
                    tracing::error!("ticks: {text}");
                    self.source.update(|status| {
                        status.state = State::Halted;
                        status.detail = Some(text);
                        status.failures += 1;
                    });
                    None
                }
                End::Broken(text) => {
                    tracing::warn!("ticks: {text}");
                    if listened.elapsed() > Duration::from_secs(60) {
                        backoff.succeed();
                    }
                    let wait = backoff.fail();
                    let next = super::due::after(self.clock.now(), wait);
                    self.source.update(|status| {
                        status.state = State::Retrying;
                        status.detail = Some(text);
                        status.failures += 1;
                        status.next_attempt = Some(next);
                    });
                    Some(wait)
                }
            };
            let source = self.source.clone();
            let wait = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = source.rung() => {}
                _ = self.stop.changed() => {}
            }
        }
    }

    async fn listen(&mut self, thinning: &mut Thinning) -> End {
        let mut stop = self.stop.clone();
        let mut socket = tokio::select! {
            opened = self.open() => match opened {
                Ok(socket) => socket,
                Err(end) => return end,
            },
            _ = stop.changed() => return End::Stopped,
        };
        let mut subscribed: BTreeMap<String, (InstrumentId, Currency)> = BTreeMap::new();
        let (mut flush, mut look, mut ping) = (interval(FLUSH), interval(LOOK), interval(PING));
        for ticking in [&mut flush, &mut look, &mut ping] {
            ticking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                message = socket.next() => {
                    heard = Instant::now();
                    let message = match message {
                        Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                        Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
                        Some(Ok(Message::Close(_))) | None => {
                            return End::Broken("the other side closed the socket".to_owned());
                        }
                        Some(Ok(_)) => continue,
                        Some(Err(error)) => return End::Broken(format!("the socket failed: {error}")),
                    };
                    for said in read(&message) {
                        match said {
                            Said::Trade(trade) => {
                                // A trade before or after the session would stand in for the day's close.
                                if let Some((instrument, _)) = subscribed.get(&trade.symbol)
                                    && calendar::is_open(trade.at)
                                    && self.is_of_the_past(&trade)
                                {
                                    thinning.take(*instrument, trade);
                                }
                            }
                            Said::Error { code, text } => return refused(code, &text),
                            _ => {}
                        }
                    }
                }
                _ = flush.tick() => {
                    let due = thinning.due();
                    if let Err(text) = self.append(due, &subscribed).await {
                        return End::Broken(text);
                    }
                }
                _ = look.tick() => {
                    match self.held().await {
                        Ok(held) => {
                            if let Err(end) = subscribe(&mut socket, &subscribed, &held).await {
                                return end;
                            }
                            subscribed = held;
                            self.source.update(|status| {
                                status.state = State::Current;
                                status.detail = None;
                                status.failures = 0;
                                status.listening = Some(true);
                            });
                        }
                        Err(text) => return End::Broken(text),
                    }
                }
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE_MAX {
                        return End::Broken(format!("nothing was heard for {} seconds", SILENCE_MAX.as_secs()));
                    }
                    if let Err(error) = socket.send(Message::Ping(Vec::new().into())).await {
                        return End::Broken(format!("the socket failed: {error}"));
                    }
                }
                _ = stop.changed() => {
                    let due = thinning.due();
                    if let Err(text) = self.append(due, &subscribed).await {
                        tracing::warn!("ticks: {text}");
                    }
                    let _ = timeout(Duration::from_secs(1), socket.close(None)).await;
                    return End::Stopped;
                }
            }
        }
    }

    /// Whether a trade has been made by the clock here, or nearly so. Clocks that disagree by more are said to.
    fn is_of_the_past(&self, trade: &Trade) -> bool {
        let now = self.clock.now();
        let is_past = trade.at <= super::due::after(now, AHEAD_MAX);
        if !is_past {
            let text = format!(
                "the clocks disagree: it is {now} here and a trade was made at {} there: set this machine's clock",
                trade.at
            );
            self.source.update(|status| status.detail = Some(text));
        }
        is_past
    }

    /// Connects and says who we are.
    async fn open(&self) -> Result<Socket, End> {
        let broken = |text: String| End::Broken(text);
        let connecting = timeout(PATIENCE, connect_async(self.ticks.url.as_str())).await;
        let (mut socket, _) = connecting
            .map_err(|_| broken(format!("no connection within {} seconds", PATIENCE.as_secs())))?
            .map_err(|error| broken(format!("no connection: {error}")))?;
        let auth = json!({
            "action": "auth",
            "key": self.ticks.key_id.expose(),
            "secret": self.ticks.secret_key.expose(),
        });
        let sent = socket.send(Message::Text(auth.to_string().into())).await;
        sent.map_err(|error| broken(format!("the socket failed: {error}")))?;
        let answered = async {
            while let Some(message) = socket.next().await {
                let bytes = match message {
                    Ok(Message::Text(text)) => text.as_bytes().to_vec(),
                    Ok(Message::Binary(bytes)) => bytes.to_vec(),
                    Ok(_) => continue,
                    Err(error) => return Err(End::Broken(format!("the socket failed: {error}"))),
                };
                for said in read(&bytes) {
                    match said {
                        Said::Authenticated => return Ok(()),
                        Said::Error { code, text } => return Err(refused(code, &text)),
                        _ => {}
                    }
                }
            }
            Err(End::Broken("the other side closed the socket".to_owned()))
        };
        timeout(PATIENCE, answered)
            .await
            .map_err(|_| broken(format!("no answer to the keys within {} seconds", PATIENCE.as_secs())))??;
        Ok(socket)
    }

    /// What is held and followed, by the symbols that the socket knows.
    async fn held(&self) -> Result<BTreeMap<String, (InstrumentId, Currency)>, String> {
        let (journal, followed) = (self.journal.clone(), self.followed.clone());
        let today = self.clock.now().day_in(Zone::NEW_YORK);
        let wanted = tokio::task::spawn_blocking(move || {
            let held = symbols::held(&journal)?;
            symbols::wanted(&journal, &followed, &held, today)
        });
        let wanted: Wanted = wanted
            .await
            .map_err(|error| format!("internal error: {error}"))?
            .map_err(|error| error.to_string())?;
        let of_shares = wanted.targets.into_values().filter(|target| target.market == Market::Stocks);
        Ok(of_shares
            .filter_map(|target| match target.subject {
                // The socket is one of shares in dollars; the same letters in another currency are another share.
                Some(Subject::Instrument(id, currency)) if currency == Currency::USD => {
                    Some((target.symbol.text.replace([' ', '/', '-'], "."), (id, currency)))
                }
                _ => None,
            })
            .collect())
    }

    async fn append(
        &self,
        due: Vec<(InstrumentId, Trade)>,
        subscribed: &BTreeMap<String, (InstrumentId, Currency)>,
    ) -> Result<(), String> {
        let drafts: Vec<Draft> = due
            .into_iter()
            .filter_map(|(instrument, trade)| {
                let (_, currency) = subscribed.get(&trade.symbol)?;
                let tick = PriceTick {
                    instrument,
                    price: Price::new(trade.price),
                    currency: *currency,
                    size: trade.size.map(Quantity::new),
                    kind: TickKind::Trade,
                };
                Some(Draft::new(stream::market(FEED, instrument), trade.at, tick))
            })
            .collect();
        let (count, last) = (drafts.len() as u64, drafts.iter().map(|draft| draft.occurred_at).max());
        if count == 0 {
            return Ok(());
        }
        let journal = self.journal.clone();
        let recorded = tokio::task::spawn_blocking(move || {
            journal.record(&recording::author(), drafts, Terms::default())
        });
        recorded
            .await
            .map_err(|error| format!("internal error: {error}"))?
            .map_err(|error| format!("the ledger does not take it: {error}"))?;
        let now = self.clock.now();
        self.source.update(|status| {
            status.appended += count;
            status.last_success = Some(now);
            status.cursor = last.map(|last| last.to_string());
        });
        Ok(())
    }
}

/// Asks for the trades of what is new, and for no more of what is not wanted any longer.
async fn subscribe(
    socket: &mut Socket,
    before: &BTreeMap<String, (InstrumentId, Currency)>,
    now: &BTreeMap<String, (InstrumentId, Currency)>,
) -> Result<(), End> {
    let names = |of: &BTreeMap<String, (InstrumentId, Currency)>| of.keys().cloned().collect::<BTreeSet<_>>();
    let (before, now) = (names(before), names(now));
    for (action, symbols) in [("subscribe", &now - &before), ("unsubscribe", &before - &now)] {
        if !symbols.is_empty() {
            let message = json!({ "action": action, "trades": symbols });
            let sent = socket.send(Message::Text(message.to_string().into())).await;
            sent.map_err(|error| End::Broken(format!("the socket failed: {error}")))?;
        }
    }
    Ok(())
}

/// What an error that the socket tells means.
fn refused(code: i64, text: &str) -> End {
    let text = decimal::shorten(text);
    match code {
        401 | 402 | 404 => End::Halt(format!(
            "Alpaca's data socket does not know these keys ({text}): correct key_id and secret_key under [ticks]"
        )),
        409 => End::Halt(format!(
            "Alpaca's data socket does not serve this with these keys ({text}): take another `url` under [ticks], or subscribe to the data"
        )),
        // One connection for each key: the other one may end.
        _ => End::Broken(format!("Alpaca's data socket says {code}: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::parse("2024-01-05T15:00:00Z").unwrap().plus_nanos(second * 1_000_000_000)
    }

    fn trade_of(cents: i64, second: i64) -> Trade {
        Trade { symbol: "ACME".to_owned(), price: Decimal::new(cents, 2), size: None, at: at(second) }
    }

    fn id() -> InstrumentId {
        InstrumentId::from_bytes([7; 16])
    }

    #[test]
    fn a_message_is_read_part_by_part_and_what_is_garbage_says_nothing() {
        let message = br#"[{"T":"success","msg":"connected"},{"T":"t","i":1,"S":"ACME","x":"D","p":126.5500,"s":100,"t":"2024-01-05T15:51:44.208Z","c":["@","I"],"z":"A"},
            {"T":"t","S":"ACME","p":1,"t":"2024-01-05T15:51:44Z","c":["4"]},{"T":"t","S":"ACME","p":-1,"t":"2024-01-05T15:51:44Z"},
            {"T":"t","S":"ACME","p":"x","t":"2024-01-05T15:51:44Z"},{"T":"error","code":402,"msg":"auth failed"},{"T":"q"},7]"#;
        let said = read(message);
        assert_eq!(said.len(), 8);
        assert_eq!(said[0], Said::Connected);
        let Said::Trade(trade) = &said[1] else { panic!("{said:?}") };
        assert_eq!(
            (trade.price.to_string().as_str(), trade.at.to_string().as_str()),
            ("126.55", "2024-01-05T15:51:44.208Z")
        );
        assert_eq!(said[2..5], [Said::Else, Said::Else, Said::Else], "off the market, below zero, no number");
        assert_eq!(said[5], Said::Error { code: 402, text: "auth failed".to_owned() });
        assert_eq!(read(b"\x93garbage"), [Said::Else]);
    }

    #[test]
    fn one_tick_in_a_while_gets_through_and_it_is_the_latest() {
        let mut thinning = Thinning::new(Duration::from_secs(60), 10);
        let mut price = |cents, second| {
            thinning.take(id(), trade_of(cents, second));
            thinning.due().first().map(|(_, trade)| trade.price.normalize().to_string())
        };
        assert_eq!(price(10_000, 0).as_deref(), Some("100"), "the first is let through");
        assert_eq!(price(10_100, 10), None, "too soon");
        assert_eq!(price(10_009, 60), None, "nine basis points are less than ten");
        assert_eq!(price(10_010, 61).as_deref(), Some("100.1"));
        assert_eq!(price(9_900, 50), None, "it came out of order");
        assert_eq!(price(9_000, 122).as_deref(), Some("90"));
    }

    proptest! {
        #[test]
        fn however_many_trades_come_ticks_lie_apart_and_differ(trades in proptest::collection::vec((9_000i64..11_000, 0i64..600), 0..300), every in 1u64..120, basis_points in 0u32..200) {
            let mut thinning = Thinning::new(Duration::from_secs(every), basis_points);
            let mut appended: Vec<Trade> = Vec::new();
            for (cents, second) in trades {
                thinning.take(id(), trade_of(cents, second));
                appended.extend(thinning.due().into_iter().map(|(_, trade)| trade));
            }
            for pair in appended.windows(2) {
                let apart = pair[1].at.nanos() - pair[0].at.nanos();
                prop_assert!(apart >= i64::try_from(every).unwrap() * 1_000_000_000);
                prop_assert!(moved(pair[0].price, pair[1].price, basis_points));
            }
        }
    }
}
