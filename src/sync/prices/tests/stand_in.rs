//! The feeds against a stand-in on a real port: what they record is what its market says.

use super::*;
use crate::sync::prices::{run_once, start};
use daybook_projections::PriceSource;
use daybook_schemas::events::{EventType, TickKind};
use daybook_schemas::{Event, Zone};
use daybook_simulator::broker::Keys;
use daybook_simulator::faults::{MessageFault, RestFault};
use daybook_simulator::market::{Adjustment, Bar, BarQuery, Timeframe};
use daybook_simulator::{Clock, FastClock, Running, StandIn, World as Outside};
use std::sync::atomic::{AtomicI64, Ordering};

/// A clock that the test sets, for both sides.
#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn at(text: &str) -> Self {
        Self(Arc::new(AtomicI64::new(at(text).nanos())))
    }

    fn set(&self, text: &str) {
        self.0.store(at(text).nanos(), Ordering::SeqCst);
    }
}

impl WallClock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        WallClock::now(self)
    }
    fn here(&self, span: Duration) -> Duration {
        span
    }
}

struct Scene {
    outside: Running,
    hands: Hands,
    clock: Arc<dyn WallClock>,
    journal: Arc<Journal>,
    _directory: tempfile::TempDir,
}

fn keys() -> Keys {
    Keys::new("the-key", "the-secret")
}

impl Scene {
    fn new(begins: &str) -> Self {
        let hands = Hands::at(begins);
        let mut world = Outside::new(7, at(begins));
        world.open(&keys(), true, Decimal::ONE_THOUSAND);
        world.limits.per_minute = None;
        world.market.add_split("KO", day("2024-06-04"), 3, 1);
        world.market.add_dividend("KO", day("2024-05-30"), day("2024-06-10"), Decimal::new(51, 2));
        let directory = tempfile::tempdir().unwrap();
        let opening = Opening { access: Access::Create, progress: None };
        Self {
            outside: StandIn::start("127.0.0.1:0", world, hands.clone()).unwrap(),
            clock: Arc::new(hands.clone()),
            hands,
            journal: Arc::new(Journal::open(directory.path(), &opening).unwrap()),
            _directory: directory,
        }
    }

    fn feed(&self, kind: FeedKind, name: &str, symbols: &[&str]) -> PriceFeed {
        let secret = |text: &str| Some(Secret::new(text.to_owned()));
        PriceFeed {
            kind,
            base_url: Some(Url::parse(&self.outside.base_url()).unwrap()),
            key_id: secret("the-key"),
            secret_key: secret("the-secret"),
            requests_per_minute: 100_000,
            backfill_days: 20,
            ..config(name, symbols)
        }
    }

    async fn once(&self, feeds: Vec<PriceFeed>) -> Vec<OnceOf> {
        let prices = config::Prices { symbols: Vec::new(), feeds, ticks: None };
        run_once(&prices, &self.journal, &self.clock).await.feeds
    }

    fn id(&self, symbol: &str) -> InstrumentId {
        let library = self.journal.library().unwrap();
        match library.instruments.resolve(&IdentifierScheme::Symbol, symbol, None, None, None) {
            Resolution::One(id) => id,
            other => panic!("{symbol}: {other:?}"),
        }
    }

    fn closes(&self, symbol: &str, feed: &str) -> BTreeMap<Day, (Decimal, u32)> {
        let id = self.id(symbol);
        let library = self.journal.library().unwrap();
        let bars = library.prices.bars(id, None, None, library.applied());
        bars.into_iter()
            .filter(|bar| &*bar.feed == feed)
            .map(|bar| (bar.day, (bar.close, bar.revision)))
            .collect()
    }

    /// What the market says that was traded.
    fn traded(&self, symbol: &str) -> BTreeMap<Day, Decimal> {
        let world = self.outside.world();
        let now = WallClock::now(&self.hands);
        let query = BarQuery {
            timeframe: Timeframe::Day,
            from: now.plus_nanos(-21 * 86_400 * 1_000_000_000),
            until: now,
            now,
            adjustment: Adjustment::default(),
            descending: false,
        };
        let bars = world.market.bars(symbol, &query, usize::MAX);
        bars.into_iter().map(|bar| (bar.start.day_in(Zone::NEW_YORK), bar.close)).collect()
    }
}

/// A Friday evening after a split and a dividend.
const EVENING: &str = "2024-06-07T23:00:00Z";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_feeds_say_what_was_traded_and_one_split_is_one() {
    let scene = Scene::new(EVENING);
    let feeds = vec![
        scene.feed(FeedKind::Alpaca, "alpaca", &["KO", "BRK.B", "BTC/USD", "NOSUCH"]),
        scene.feed(FeedKind::AlphaVantage, "vantage", &["KO", "NOSUCH"]),
        scene.feed(FeedKind::Yahoo, "yahoo", &["KO", "BRK.B", "NOSUCH"]),
    ];
    for once in scene.once(feeds.clone()).await {
        assert_eq!(once.failure, None, "{once:?}");
        assert_eq!(once.unknown.keys().collect::<Vec<_>>(), ["NOSUCH"], "{once:?}");
        assert!(once.tallies.values().all(|tally| tally.quarantined == 0), "{once:?}");
    }
    let traded = scene.traded("KO");
    assert!(traded.len() >= 13, "{traded:?}");
    let cent = Decimal::new(1, 2);
    for feed in ["alpaca", "vantage", "yahoo"] {
        let closes = scene.closes("KO", feed);
        assert!(closes.len() >= 13, "{feed}: {closes:?}");
        for (day, (close, revision)) in closes {
            let Some(traded) = traded.get(&day) else { continue };
            // Yahoo's figures are adjusted and rounded; put back they are right to the cent.
            let exact = feed != "yahoo";
            assert!(
                (close - traded).abs() <= if exact { Decimal::ZERO } else { cent },
                "{feed} {day}: {close} for {traded}"
            );
            assert_eq!(revision, 0);
        }
    }
    assert!(scene.closes("BRK.B", "yahoo").len() >= 13 && scene.closes("BTC/USD", "alpaca").len() >= 19);
    let id = scene.id("KO");
    let known = scene.journal.library().unwrap().applied();
    let splits = scene.journal.library().unwrap().prices.announced_splits(id, known);
    let [split] = splits.as_slice() else { panic!("{splits:?}") };
    assert_eq!((split.effective, split.ratio.to_string()), (day("2024-06-04"), "3:1".to_owned()));
    let dividends = scene.journal.library().unwrap().prices.announced_dividends(id, known);
    assert!(
        dividends
            .iter()
            .any(|one| one.effective == day("2024-05-30") && one.cash.amount() == Decimal::new(51, 2)),
        "{dividends:?}"
    );

    let head = scene.journal.ledger().head();
    for once in scene.once(feeds).await {
        assert!(
            once.failure.is_none() && once.tallies.values().all(|tally| tally.prices + tally.actions == 0),
            "{once:?}"
        );
    }
    assert_eq!(scene.journal.ledger().head(), head, "asked again they say nothing new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restated_bar_supersedes_and_an_impossible_one_is_kept_aside() {
    let scene = Scene::new(EVENING);
    let feeds = vec![scene.feed(FeedKind::Alpaca, "alpaca", &["KO"])];
    let restate = |text: &str, close: i64, high: i64| {
        let start = day(text).start_in(Zone::NEW_YORK);
        let (close, high) = (Decimal::new(close, 2), Decimal::new(high, 2));
        let low = close.min(high + Decimal::ONE);
        let bar = Bar { start, open: close, high, low, close, volume: Decimal::TEN, trades: 3, vwap: close };
        scene.outside.world().market.restate("KO", Timeframe::Day, bar);
    };
    restate("2024-06-06", 2_000, 1_500);
    let once = scene.once(feeds.clone()).await;
    assert_eq!(once[0].failure, None);
    assert_eq!(once[0].tallies["KO"].quarantined, 1, "its high lies below its low: {once:?}");
    let closes = scene.closes("KO", "alpaca");
    assert!(
        !closes.contains_key(&day("2024-06-06")) && closes.contains_key(&day("2024-06-07")),
        "the others go on"
    );
    // On Monday evening one day is put right and another is restated.
    restate("2024-06-06", 2_001, 2_002);
    restate("2024-06-07", 2_010, 2_020);
    scene.hands.set("2024-06-10T23:00:00Z");
    let once = scene.once(feeds).await;
    assert_eq!(once[0].failure, None);
    let closes = scene.closes("KO", "alpaca");
    assert_eq!(closes[&day("2024-06-06")].0, Decimal::new(2_001, 2));
    assert_eq!(closes[&day("2024-06-07")], (Decimal::new(2_010, 2), 1));
    assert!(closes.contains_key(&day("2024-06-10")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_spoilt_lose_nothing_and_double_nothing() {
    let scene = Scene::new(EVENING);
    scene.outside.world().faults.next_answers([
        Some(RestFault::Truncated),
        Some(RestFault::ErrorWith200),
        None,
        Some(RestFault::ServerError(503)),
        Some(RestFault::Reset),
        None,
        None,
    ]);
    let feeds = vec![scene.feed(FeedKind::Alpaca, "alpaca", &["KO", "IBM"])];
    let mut rounds = 0;
    loop {
        rounds += 1;
        let once = scene.once(feeds.clone()).await;
        if once[0].failure.is_none() {
            break;
        }
        assert!(rounds < 5, "{once:?}");
    }
    for symbol in ["KO", "IBM"] {
        let closes = scene.closes(symbol, "alpaca");
        assert!(closes.len() >= 13 && closes.values().all(|(_, revision)| *revision == 0), "{closes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_market_is_open_the_price_of_now_is_asked_for_too() {
    for (kind, name) in
        [(FeedKind::Alpaca, "alpaca"), (FeedKind::AlphaVantage, "vantage"), (FeedKind::Yahoo, "yahoo")]
    {
        let scene = Scene::new("2024-06-07T15:00:30Z");
        let cadence = Cadence::MarketHours(Duration::from_secs(60));
        let feed = PriceFeed { cadence, ..scene.feed(kind, name, &["KO"]) };
        let once = scene.once(vec![feed]).await;
        assert_eq!(once[0].failure, None, "{name}");
        let id = scene.id("KO");
        let library = scene.journal.library().unwrap();
        let now = WallClock::now(&scene.hands);
        let latest = library.prices.latest(id, now, library.applied()).unwrap().unwrap();
        assert!(latest.occurred_at > at("2024-06-07T14:55:00Z"), "{name}: {latest:?}");
        assert_eq!(latest.day, None, "{name}: the day that is still traded has no close");
        let price = scene.outside.world().market.price("KO", latest.occurred_at).unwrap();
        assert!((latest.price - price).abs() < Decimal::ONE, "{name}: {latest:?} for {price}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_keys_halt_and_say_what_to_do() {
    let scene = Scene::new(EVENING);
    let wrong = PriceFeed {
        key_id: Some(Secret::new("wr0ng-key".to_owned())),
        ..scene.feed(FeedKind::Alpaca, "alpaca", &["KO"])
    };
    let once = scene.once(vec![wrong]).await;
    let text = once[0].failure.clone().unwrap();
    assert!(text.contains("key_id and secret_key of the feed"), "{text}");
    assert!(!text.contains("wr0ng-key") && !text.contains("the-secret"), "{text}");
}

/// The market's time, for both sides.
#[derive(Clone, Copy)]
struct Together(FastClock);

impl WallClock for Together {
    fn now(&self) -> Timestamp {
        Clock::now(&self.0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticks_come_from_the_socket_thinned_and_go_on_after_it_broke() {
    let begins = "2024-06-06T15:00:00Z";
    let fast = FastClock::new(at(begins), 10);
    let mut world = Outside::new(7, at(begins));
    world.open(&keys(), true, Decimal::ONE_THOUSAND);
    let outside = StandIn::start("127.0.0.1:0", world, fast).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let opening = Opening { access: Access::Create, progress: None };
    let journal = Arc::new(Journal::open(directory.path(), &opening).unwrap());
    let clock: Arc<dyn WallClock> = Arc::new(Together(fast));
    let secret = |text: &str| Secret::new(text.to_owned());
    let feed = PriceFeed {
        kind: FeedKind::Alpaca,
        base_url: Some(Url::parse(&outside.base_url()).unwrap()),
        key_id: Some(secret("the-key")),
        secret_key: Some(secret("the-secret")),
        ..config("alpaca", &[])
    };
    let ticks = config::Ticks {
        url: Url::parse(&outside.data_stream_url()).unwrap(),
        key_id: secret("the-key"),
        secret_key: secret("the-secret"),
        every: Duration::from_secs(5),
        basis_points: 0,
    };
    let mut prices = config::Prices { symbols: vec!["KO".to_owned()], feeds: vec![feed], ticks: None };
    // Bars list the instrument, so that there is something to listen for.
    assert_eq!(run_once(&prices, &journal, &clock).await.feeds[0].failure, None);
    prices.feeds.clear();
    prices.ticks = Some(ticks);
    let (tell, stop) = watch::channel(false);
    let board = Board::default();
    let tasks = start(&prices, &journal, &board, &clock, &stop);
    let recorded = || {
        let mut ticks: Vec<(Timestamp, Decimal)> = Vec::new();
        let visit = &mut |record: &daybook_ledger::RecordView<'_>| {
            if record.type_id == EventType::PriceTick.id()
                && let Ok(Event::PriceTick(tick)) = crate::journal::decode(record)
            {
                assert_eq!(tick.kind, TickKind::Trade);
                assert!(record.stream.starts_with("market-ticks-"), "{}", record.stream);
                ticks.push((Timestamp::from_nanos(record.occurred_at), tick.price.get()));
            }
            std::ops::ControlFlow::Continue(())
        };
        journal.ledger().scan(1, journal.ledger().head(), visit).unwrap();
        ticks
    };
    let wait_for = async |count: usize| {
        for _ in 0..150 {
            if recorded().len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{:?} {:?}", recorded(), board.get("ticks").unwrap().status());
    };
    wait_for(2).await;
    assert_eq!(board.get("ticks").unwrap().status().listening, Some(true));
    let before = recorded().len();
    outside.world().faults.next_messages([Some(MessageFault::Garbage), Some(MessageFault::Closed)]);
    wait_for(before + 2).await;
    tell.send_replace(true);
    for task in tasks {
        task.await.unwrap();
    }
    let ticks = recorded();
    for pair in ticks.windows(2) {
        assert!(pair[1].0.nanos() - pair[0].0.nanos() >= 5_000_000_000, "{ticks:?}");
    }
    for (when, price) in &ticks {
        assert_eq!(outside.world().market.price("KO", *when), Some(*price));
    }
}
