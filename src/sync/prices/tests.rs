//! Feeds that are made up, on a clock that is made up, at a ledger that is real.

mod actions;
mod alpaca;
mod seeds;
mod stand_in;

use super::feed::{Aside, BarAsk, Feed, FeedBar, FeedError, LatestOf, Market, Moment, Page, Series};
use super::rota::Rota;
use super::schedule::{Failure, Keeper, Round};
use super::*;
use crate::config::{BarSize, Cadence};
use crate::importers::symbols::Symbol;
use crate::journal::{Access, Opening};
use async_trait::async_trait;
use daybook_projections::Resolution;
use daybook_schemas::events::{IdentifierScheme, QuarantineReason};
use daybook_schemas::{Currency, Day, InstrumentId, Timestamp, calendar};
use rust_decimal::Decimal;
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::time::Instant;

/// Time as the test has it: it begins somewhere and runs with tokio's.
pub(super) struct SimulatedClock {
    begins: Timestamp,
    since: Instant,
}

impl SimulatedClock {
    pub(super) fn at(text: &str) -> Arc<Self> {
        Arc::new(Self { begins: at(text), since: Instant::now() })
    }
}

impl WallClock for SimulatedClock {
    fn now(&self) -> Timestamp {
        due::after(self.begins, self.since.elapsed())
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

/// A feed that has a price for every trading day up to now, and says what it was told to say.
pub(super) struct MadeUp {
    clock: Arc<SimulatedClock>,
    /// What it answers before it comes to its prices.
    pub(super) script: Mutex<VecDeque<FeedError>>,
    /// Symbols that it does not know.
    strangers: Vec<&'static str>,
    /// Closes that differ from the usual one.
    pub(super) closes: Mutex<BTreeMap<(String, Day), Decimal>>,
    /// What it says of days that is no bar.
    pub(super) asides: Mutex<BTreeMap<(String, Day), Aside>>,
    /// All that it was asked.
    pub(super) asked: Mutex<Vec<BarAsk>>,
    symbols_max: usize,
    /// Bars on a page.
    page: usize,
    actions: Vec<feed::Action>,
}

impl MadeUp {
    fn new(clock: &Arc<SimulatedClock>) -> Self {
        Self {
            clock: clock.clone(),
            script: Mutex::default(),
            strangers: Vec::new(),
            closes: Mutex::default(),
            asides: Mutex::default(),
            asked: Mutex::default(),
            symbols_max: 100,
            page: 1000,
            actions: Vec::new(),
        }
    }

    fn asks(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn says(&self, error: FeedError) {
        self.script.lock().unwrap().push_back(error);
    }

    fn bar(&self, symbol: &str, day: Day) -> FeedBar {
        let usual = Decimal::from(100 + day.number().rem_euclid(50));
        let close = self.closes.lock().unwrap().get(&(symbol.to_owned(), day)).copied().unwrap_or(usual);
        FeedBar {
            moment: Moment::Day(day),
            open: None,
            high: None,
            low: None,
            close,
            volume: Some(Decimal::ONE_HUNDRED),
            average: None,
            trades: None,
        }
    }
}

#[async_trait]
impl Feed for MadeUp {
    fn spell(&self, symbol: &Symbol, market: Market, size: BarSize) -> Option<String> {
        (market != Market::Crypto && size == BarSize::Day).then(|| symbol.text.clone())
    }

    fn symbols_max(&self) -> usize {
        self.symbols_max
    }

    fn delay(&self, _size: BarSize) -> Duration {
        Duration::from_secs(900)
    }

    fn freshness(&self, _size: BarSize) -> Duration {
        Duration::from_secs(1800)
    }

    async fn bars(&self, ask: &BarAsk, page: Option<&str>) -> Result<Page, FeedError> {
        self.asked.lock().unwrap().push(ask.clone());
        if let Some(error) = self.script.lock().unwrap().pop_front() {
            return Err(error);
        }
        if let Some(strange) = ask.symbols.iter().find(|symbol| self.strangers.contains(&symbol.as_str())) {
            return Err(FeedError::UnknownSymbol {
                symbol: strange.clone(),
                said: "no such thing".to_owned(),
            });
        }
        let now = self.clock.now();
        let first = ask.after.day_in(daybook_schemas::Zone::NEW_YORK);
        let mut bars = Vec::new();
        for symbol in &ask.symbols {
            for ahead in 0..400 {
                let day = first.plus_days(ahead);
                let closes = calendar::close_of(day);
                // The bar of the day that is still traded is among them, as feeds have it.
                if calendar::is_trading_day(day)
                    && closes > ask.after
                    && calendar::hours(day).unwrap().opens <= now
                {
                    bars.push((symbol.clone(), day));
                }
            }
        }
        let from: usize = page.map_or(0, |page| page.parse().unwrap());
        let until = (from + self.page).min(bars.len());
        let mut series: BTreeMap<String, Series> = BTreeMap::new();
        for (symbol, day) in &bars[from..until] {
            let one = series.entry(symbol.clone()).or_insert_with(|| Series {
                symbol: symbol.clone(),
                actions: if from == 0 { self.actions.clone() } else { Vec::new() },
                ..Series::default()
            });
            match self.asides.lock().unwrap().get(&(symbol.clone(), *day)) {
                Some(aside) => one.asides.push(aside.clone()),
                None => one.bars.push(self.bar(symbol, *day)),
            }
        }
        Ok(Page {
            series: series.into_values().collect(),
            next: (until < bars.len()).then(|| until.to_string()),
        })
    }

    async fn latest(&self, _symbols: &[String], _market: Market) -> Result<Vec<LatestOf>, FeedError> {
        Ok(Vec::new())
    }
}

fn config(name: &str, symbols: &[&str]) -> PriceFeed {
    PriceFeed {
        name: name.to_owned(),
        kind: FeedKind::Yahoo,
        base_url: None,
        key_id: None,
        secret_key: None,
        folder: None,
        cadence: Cadence::Daily,
        bars: vec![BarSize::Day],
        symbols: symbols.iter().map(|symbol| (*symbol).to_owned()).collect(),
        requests_per_minute: 600,
        requests_per_day: None,
        backfill_days: 10,
        restated_days: 3,
    }
}

pub(super) struct World {
    pub(super) journal: Arc<Journal>,
    pub(super) clock: Arc<SimulatedClock>,
    pub(super) board: Board,
    pub(super) tell: watch::Sender<bool>,
    pub(super) directory: tempfile::TempDir,
}

impl World {
    pub(super) fn new(begins: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let opening = Opening { access: Access::Create, progress: None };
        Self {
            journal: Arc::new(Journal::open(directory.path(), &opening).unwrap()),
            clock: SimulatedClock::at(begins),
            board: Board::default(),
            tell: watch::channel(false).0,
            directory,
        }
    }

    fn keeper(&self, feed: &Arc<MadeUp>, config: &PriceFeed) -> Keeper {
        let rota = Arc::new(Rota::new(&[], std::slice::from_ref(config)));
        self.keeper_at(feed, config, 0, &rota)
    }

    fn keeper_at(&self, feed: &Arc<MadeUp>, config: &PriceFeed, place: usize, rota: &Arc<Rota>) -> Keeper {
        Keeper::new(
            feed.clone(),
            config.clone(),
            place,
            rota.clone(),
            self.journal.clone(),
            self.clock.clone(),
            self.board.add(&config.name, "prices", None),
            self.tell.subscribe(),
        )
    }

    fn instrument(&self, symbol: &str) -> Option<InstrumentId> {
        let library = self.journal.library().unwrap();
        match library.instruments.resolve(&IdentifierScheme::Symbol, symbol, None, None, None) {
            Resolution::One(id) => Some(id),
            _ => None,
        }
    }

    /// The bars of a symbol that count, by day, with close, revision and feed.
    fn bars(&self, symbol: &str) -> Vec<String> {
        let Some(id) = self.instrument(symbol) else { return Vec::new() };
        let library = self.journal.library().unwrap();
        let bars = library.prices.bars(id, None, None, library.applied());
        bars.iter().map(|bar| format!("{} {} #{} {}", bar.day, bar.close, bar.revision, bar.feed)).collect()
    }
}

fn prices(round: &Round, symbol: &str) -> (u64, u64) {
    let tally = round.tallies.get(symbol).copied().unwrap_or_default();
    (tally.prices, tally.restated)
}

/// A Friday evening.
const FRIDAY: &str = "2024-01-05T22:00:00Z";

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_asked_for_once_and_recorded_once() {
    let world = World::new(FRIDAY);
    let feed = Arc::new(MadeUp { page: 4, ..MadeUp::new(&world.clock) });
    let config = config("made-up", &["ACME", "BOLT"]);
    let round = world.keeper(&feed, &config).round().await;
    assert_eq!(round.failure, None);
    // From Tuesday after Christmas to Friday, with New Year's Day left out.
    assert_eq!((prices(&round, "ACME"), prices(&round, "BOLT")), ((8, 0), (8, 0)));
    assert_eq!(world.bars("ACME").first().unwrap(), "2023-12-26 117 #0 made-up");
    assert_eq!(world.bars("BOLT").last().unwrap(), "2024-01-05 127 #0 made-up");
    assert_eq!(feed.asks(), 4, "sixteen bars on pages of four");
    let head = world.journal.ledger().head();
    let again = world.keeper(&feed, &config).round().await;
    assert_eq!((again.failure, again.appended, feed.asks()), (None, 0, 4), "there is nothing left to ask");
    assert_eq!(world.journal.ledger().head(), head);
}

#[tokio::test(start_paused = true)]
async fn the_bar_of_a_day_that_is_still_traded_is_not_its_close() {
    let world = World::new("2024-01-05T18:00:00Z");
    let feed = Arc::new(MadeUp::new(&world.clock));
    world.keeper(&feed, &config("made-up", &["ACME"])).round().await;
    assert_eq!(world.bars("ACME").last().unwrap(), "2024-01-04 126 #0 made-up");
}

#[tokio::test(start_paused = true)]
async fn days_pass_and_each_brings_its_bar_and_what_was_restated() {
    let world = World::new(FRIDAY);
    let feed = Arc::new(MadeUp::new(&world.clock));
    let config = config("made-up", &["ACME"]);
    let running = tokio::spawn(world.keeper(&feed, &config).run());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.bars("ACME").len(), 8);
    feed.closes.lock().unwrap().insert(("ACME".to_owned(), day("2024-01-04")), Decimal::new(12_625, 2));
    tokio::time::sleep(Duration::from_secs(14 * 86_400)).await;
    let bars = world.bars("ACME");
    assert_eq!(bars.len(), 8 + 9, "two weeks without Martin Luther King Jr. Day");
    assert!(bars.contains(&"2024-01-04 126.25 #1 made-up".to_owned()), "{bars:?}");
    assert!(bars.iter().filter(|bar| !bar.contains("#0")).count() == 1, "{bars:?}");
    assert_eq!(feed.asks(), 1 + 9, "once a trading day");
    let status = world.board.get("made-up").unwrap().status();
    assert_eq!((status.state, status.detail), (State::Current, None));
    assert_eq!(status.next_attempt.unwrap().to_string(), "2024-01-22T21:15:00Z");
    world.tell.send(true).unwrap();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_bar_that_comes_late_is_looked_for_before_the_next_day() {
    let world = World::new(FRIDAY);
    let feed = Arc::new(MadeUp::new(&world.clock));
    let friday = ("ACME".to_owned(), day("2024-01-05"));
    let nothing = Aside {
        moment: None,
        reason: QuarantineReason::MissingField,
        detail: "no close yet".to_owned(),
        raw: "{}".to_owned(),
    };
    feed.asides.lock().unwrap().insert(friday.clone(), nothing);
    let running = tokio::spawn(world.keeper(&feed, &config("made-up", &["ACME"])).run());
    tokio::time::sleep(Duration::from_secs(3000)).await;
    assert_eq!(world.bars("ACME").last().unwrap(), "2024-01-04 126 #0 made-up");
    feed.asides.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.bars("ACME").last().unwrap(), "2024-01-05 127 #0 made-up");
    assert!(feed.asks() <= 4, "{}", feed.asks());
    world.tell.send(true).unwrap();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_symbol_that_nobody_knows_halts_nothing_and_is_named() {
    let world = World::new(FRIDAY);
    let feed = Arc::new(MadeUp { strangers: vec!["NOPE"], ..MadeUp::new(&world.clock) });
    let config = config("made-up", &["ACME", "NOPE", "A\u{200b}B", "AAPL240119C00150000"]);
    let mut keeper = world.keeper(&feed, &config);
    let round = keeper.round().await;
    assert_eq!(round.failure, None);
    assert_eq!(prices(&round, "ACME"), (8, 0));
    assert_eq!(world.instrument("NOPE"), None, "what no feed prices is not listed");
    let status = world.board.get("made-up").unwrap().status();
    assert_eq!(status.state, State::Current);
    let detail = status.detail.unwrap();
    for said in
        ["NOPE (no such thing)", "zero width space", "AAPL240119C00150000 (no feed prices what it is)"]
    {
        assert!(detail.contains(said), "{detail}");
    }
    let asks = feed.asks();
    assert!(keeper.round().await.unknown.contains_key("NOPE"), "it stays named");
    assert_eq!(feed.asks(), asks, "and is not asked for");
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    keeper.round().await;
    assert!(feed.asked.lock().unwrap().last().unwrap().symbols.contains(&"NOPE".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_bar_that_cannot_be_is_kept_aside_and_understood_when_it_is_corrected() {
    let world = World::new(FRIDAY);
    let feed = Arc::new(MadeUp::new(&world.clock));
    let thursday = ("ACME".to_owned(), day("2024-01-04"));
    let aside = Aside {
        moment: Some(Moment::Day(thursday.1)),
        reason: QuarantineReason::Contradiction,
        detail: "the highest price, 9, is below the lowest, 11".to_owned(),
        raw: r#"{"h":9,"l":11}"#.to_owned(),
    };
    feed.asides.lock().unwrap().insert(thursday, aside);
    let mut keeper = world.keeper(&feed, &config("made-up", &["ACME"]));
    let round = keeper.round().await;
    let tally = round.tallies["ACME"];
    assert_eq!((tally.prices, tally.quarantined, round.failure), (7, 1, None));
    let kept_aside = || {
        let library = world.journal.library().unwrap();
        library.quarantine.list(&library.imports).filter(|item| item.resolved.is_none()).count()
    };
    assert_eq!(kept_aside(), 1);
    feed.asides.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_secs(3 * 86_400)).await;
    let round = keeper.round().await;
    assert_eq!(prices(&round, "ACME").0, 2, "Thursday's and Monday's");
    assert!(world.bars("ACME").iter().any(|bar| bar.starts_with("2024-01-04 126 ")));
    assert_eq!(kept_aside(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_is_said_and_asked_again_only_where_that_may_help() {
    let world = World::new(FRIDAY);
    let feed = Arc::new(MadeUp::new(&world.clock));
    feed.says(FeedError::Unavailable("busy".to_owned()));
    feed.says(FeedError::RateLimited {
        retry_after: Some(Duration::from_secs(40)),
        said: "slowly".to_owned(),
    });
    feed.says(FeedError::Nonsense("<html>".to_owned()));
    let began = Instant::now();
    let config = config("made-up", &["ACME"]);
    let mut keeper = world.keeper(&feed, &config);
    let round = keeper.round().await;
    assert_eq!(
        (round.failure.clone(), prices(&round, "ACME").0),
        (Some(Failure::Later("<html>".to_owned(), None)), 0)
    );
    assert!(began.elapsed() >= Duration::from_secs(40), "it was left alone for as long as it asked for");
    let status = world.board.get("made-up").unwrap().status();
    assert_eq!(
        (status.state, status.detail.as_deref(), status.failures),
        (State::Retrying, Some("<html>"), 1)
    );
    feed.says(FeedError::RateLimited {
        retry_after: Some(Duration::from_secs(3600)),
        said: "tomorrow".to_owned(),
    });
    let round = keeper.round().await;
    assert!(
        matches!(round.failure, Some(Failure::Later(_, Some(wait))) if wait == Duration::from_secs(3600))
    );
    assert_eq!(keeper.round().await.failure, None);
    assert_eq!(world.board.get("made-up").unwrap().status().failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_halts_until_somebody_rings() {
    let world = World::new(FRIDAY);
    let feed = Arc::new(MadeUp::new(&world.clock));
    feed.says(FeedError::Refused("wrong keys: correct them".to_owned()));
    let running = tokio::spawn(world.keeper(&feed, &config("made-up", &["ACME"])).run());
    tokio::time::sleep(Duration::from_secs(10 * 86_400)).await;
    let source = world.board.get("made-up").unwrap();
    assert_eq!((source.status().state, feed.asks()), (State::Halted, 1));
    assert_eq!(source.status().detail.as_deref(), Some("wrong keys: correct them"));
    source.ring();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(source.status().state, State::Current);
    assert!(!world.bars("ACME").is_empty());
    world.tell.send(true).unwrap();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_goes_on_where_it_was_recorded() {
    let world = World::new(FRIDAY);
    let feed = Arc::new(MadeUp { page: 3, ..MadeUp::new(&world.clock) });
    let config = PriceFeed { restated_days: 0, ..config("made-up", &["ACME"]) };
    // The second page fails as often as it is asked for.
    let mut keeper = world.keeper(&feed, &config);
    feed.says(FeedError::Unavailable("busy".to_owned()));
    keeper.round().await;
    let whole = world.bars("ACME").len();
    assert_eq!(whole, 8);
    let world = World::new(FRIDAY);
    let feed = Arc::new(FailsAfter { pages: 1, feed: MadeUp { page: 3, ..MadeUp::new(&world.clock) } });
    let rota = Arc::new(Rota::new(&[], std::slice::from_ref(&config)));
    let keeper = |feed: Arc<dyn Feed>| {
        let source = world.board.add("made-up", "prices", None);
        let (clock, stop) = (world.clock.clone(), world.tell.subscribe());
        Keeper::new(feed, config.clone(), 0, rota.clone(), world.journal.clone(), clock, source, stop)
    };
    let round = keeper(feed.clone()).round().await;
    assert!(round.failure.is_some());
    assert_eq!(world.bars("ACME").len(), 3);
    let feed = Arc::new(MadeUp::new(&world.clock));
    keeper(feed.clone()).round().await;
    assert_eq!(world.bars("ACME").len(), 8);
    let asked = feed.asked.lock().unwrap()[0].after;
    assert_eq!(asked.to_string(), "2023-12-28T21:00:00Z", "the cursor moved with the page");
}

#[tokio::test(start_paused = true)]
async fn a_feed_says_nothing_of_what_another_one_prices_again() {
    let world = World::new(FRIDAY);
    let feed = Arc::new(MadeUp::new(&world.clock));
    let configs = [config("first", &[]), config("second", &[])];
    let rota = Arc::new(Rota::new(&["ACME".to_owned()], &configs));
    let mut second = world.keeper_at(&feed, &configs[1], 1, &rota);
    let cursor = || world.board.get("second").unwrap().status().cursor;
    rota.report(0, false);
    second.round().await;
    assert_eq!(cursor().as_deref(), Some("2024-01-05T21:00:00Z"));
    rota.report(0, true);
    tokio::time::sleep(Duration::from_secs(5 * 86_400)).await;
    second.round().await;
    assert_eq!((cursor(), feed.asks()), (None, 1), "what it once asked for is no place where it stands");
}

#[test]
fn a_feed_that_knows_a_symbol_by_one_size_of_bars_only_leaves_the_others_to_the_next_one() {
    let of = |name: &str, bars: &[BarSize]| PriceFeed { bars: bars.to_vec(), ..config(name, &[]) };
    let both = [BarSize::Minute, BarSize::Day];
    let configs = [of("first", &both), of("second", &both), of("third", &[BarSize::Day])];
    let rota = Rota::new(&["ACME".to_owned()], &configs);
    assert!(!rota.is_its_turn(1, "ACME"));
    // The minutes are not known, and the days, which are asked for after them, are.
    rota.stranger(0, "ACME", BarSize::Minute, true);
    rota.stranger(0, "ACME", BarSize::Day, false);
    assert!(rota.is_its_turn(1, "ACME"));
    assert!(!rota.is_its_turn(2, "ACME"), "for days alone, the first will do");
    rota.stranger(0, "ACME", BarSize::Minute, false);
    assert!(!rota.is_its_turn(1, "ACME"));
}

struct FailsAfter {
    pages: usize,
    feed: MadeUp,
}

#[async_trait]
impl Feed for FailsAfter {
    fn spell(&self, symbol: &Symbol, market: Market, size: BarSize) -> Option<String> {
        self.feed.spell(symbol, market, size)
    }
    fn symbols_max(&self) -> usize {
        self.feed.symbols_max()
    }
    fn delay(&self, size: BarSize) -> Duration {
        self.feed.delay(size)
    }
    fn freshness(&self, size: BarSize) -> Duration {
        self.feed.freshness(size)
    }
    async fn bars(&self, ask: &BarAsk, page: Option<&str>) -> Result<Page, FeedError> {
        if self.feed.asks() >= self.pages {
            return Err(FeedError::Unavailable("it broke off".to_owned()));
        }
        self.feed.bars(ask, page).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_feed_fills_in_while_a_more_trusted_one_fails() {
    let world = World::new(FRIDAY);
    let (first, second) = (
        Arc::new(MadeUp { strangers: vec!["BOLT"], ..MadeUp::new(&world.clock) }),
        Arc::new(MadeUp::new(&world.clock)),
    );
    let configs = [config("first", &[]), config("second", &[])];
    let rota = Arc::new(Rota::new(&["ACME".to_owned(), "BOLT".to_owned()], &configs));
    let mut keepers =
        [world.keeper_at(&first, &configs[0], 0, &rota), world.keeper_at(&second, &configs[1], 1, &rota)];
    for keeper in &mut keepers {
        keeper.round().await;
    }
    assert!(world.bars("ACME").iter().all(|bar| bar.ends_with(" first")), "{:?}", world.bars("ACME"));
    assert!(world.bars("BOLT").iter().all(|bar| bar.ends_with(" second")), "the first does not know it");
    assert_eq!(world.bars("BOLT").len(), 8);
    tokio::time::sleep(Duration::from_secs(3 * 86_400)).await;
    first.says(FeedError::Refused("the key was revoked".to_owned()));
    for keeper in &mut keepers {
        keeper.round().await;
    }
    assert!(
        world.bars("ACME").iter().any(|bar| bar == "2024-01-08 130 #0 second"),
        "{:?}",
        world.bars("ACME")
    );
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_day_are_counted_and_the_rest_waits_for_the_next() {
    let world = World::new(FRIDAY);
    let feed = Arc::new(MadeUp { symbols_max: 1, ..MadeUp::new(&world.clock) });
    let config =
        PriceFeed { requests_per_day: Some(2), ..config("made-up", &["AA", "BB", "CC", "DD", "EE"]) };
    let mut keeper = world.keeper(&feed, &config);
    let round = keeper.round().await;
    let Some(Failure::Later(text, Some(wait))) = round.failure else { panic!("{round:?}") };
    assert!(
        text.contains("the 2 requests of this day are used up: it goes on at 2024-01-06T00:00:00Z"),
        "{text}"
    );
    assert_eq!((feed.asks(), wait), (2, Duration::from_secs(2 * 3600)));
    let running = tokio::spawn(keeper.run());
    tokio::time::sleep(Duration::from_secs(2 * 86_400 + 7200)).await;
    assert_eq!(feed.asks(), 5, "each was asked for once");
    for symbol in ["AA", "BB", "CC", "DD", "EE"] {
        assert_eq!(world.bars(symbol).len(), 8, "{symbol}");
    }
    world.tell.send(true).unwrap();
    running.await.unwrap();
}

/// A feed that has bars, and no price of now.
struct NotNow(MadeUp);

#[async_trait]
impl Feed for NotNow {
    fn spell(&self, symbol: &Symbol, market: Market, size: BarSize) -> Option<String> {
        self.0.spell(symbol, market, size)
    }
    fn symbols_max(&self) -> usize {
        self.0.symbols_max()
    }
    fn delay(&self, size: BarSize) -> Duration {
        self.0.delay(size)
    }
    fn freshness(&self, size: BarSize) -> Duration {
        self.0.freshness(size)
    }
    async fn bars(&self, ask: &BarAsk, page: Option<&str>) -> Result<Page, FeedError> {
        self.0.bars(ask, page).await
    }
    fn has_latest(&self) -> bool {
        true
    }
    async fn latest(&self, _: &[String], _: Market) -> Result<Vec<LatestOf>, FeedError> {
        Err(FeedError::Nonsense("nothing there".to_owned()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_without_a_price_of_now_has_its_bars_all_the_same() {
    let world = World::new("2024-01-05T15:00:00Z");
    let config = PriceFeed { cadence: Cadence::Hourly, ..config("made-up", &["ACME"]) };
    let feed = Arc::new(NotNow(MadeUp::new(&world.clock)));
    let (rota, source) =
        (Arc::new(Rota::new(&[], std::slice::from_ref(&config))), world.board.add("made-up", "prices", None));
    let (journal, clock, stop) = (world.journal.clone(), world.clock.clone(), world.tell.subscribe());
    let round = Keeper::new(feed, config, 0, rota, journal, clock, source.clone(), stop).round().await;
    assert_eq!((round.failure, world.bars("ACME").len()), (None, 7));
    assert_eq!(source.status().state, State::Current);
    assert_eq!(source.status().detail.as_deref(), Some("no price of now: nothing there"));
}

#[tokio::test(start_paused = true)]
async fn a_pair_of_currencies_is_a_rate_of_exchange() {
    let world = World::new(FRIDAY);
    let feed = Arc::new(MadeUp::new(&world.clock));
    let round = world.keeper(&feed, &config("made-up", &["EURUSD"])).round().await;
    assert_eq!((round.failure.clone(), round.tallies.contains_key("EUR/USD")), (None, true));
    let library = world.journal.library().unwrap();
    let (euro, dollar) = (Currency::parse("EUR").unwrap(), Currency::USD);
    let rate = library.prices.rate(euro, dollar, at("2024-01-05T12:00:00Z"), library.applied()).unwrap();
    assert_eq!((rate.rate, rate.occurred_at), (Decimal::from(126), at("2024-01-04T23:59:59.999999999Z")));
}

#[tokio::test(start_paused = true)]
async fn a_ticker_that_no_list_has_is_refused_with_the_nearest_ones() {
    let world = World::new(FRIDAY);
    let list = world.directory.path().join("list.csv");
    std::fs::write(&list, "symbol,name\nACME,Acme\nBOLT,Bolt\n").unwrap();
    let source = config::InstrumentSource::List { path: list, every: Duration::from_secs(60) };
    let listed = config::Config { instruments: source, ..config::Config::default() };
    let clock: Arc<dyn WallClock> = world.clock.clone();
    crate::sync::instruments::refresh_once(&listed, &world.journal, &clock).await.unwrap().unwrap();
    let feed = Arc::new(MadeUp::new(&world.clock));
    let round = world.keeper(&feed, &config("made-up", &["BOLT", "ACNE"])).round().await;
    assert_eq!((round.failure.clone(), prices(&round, "BOLT").0), (None, 8));
    assert!(round.unknown["ACNE"].contains("the nearest is ACME"), "{:?}", round.unknown);
    assert!(feed.asked.lock().unwrap().iter().all(|ask| ask.symbols == ["BOLT"]));
}

#[test]
fn a_feed_that_lacks_its_keys_says_what_to_add() {
    let clock: Arc<dyn WallClock> = Arc::new(crate::sync::pace::MachineClock);
    let mut feed = config("bars", &[]);
    feed.kind = FeedKind::Alpaca;
    feed.base_url = Some(Url::parse("http://127.0.0.1:1").unwrap());
    let Err(text) = make(&feed, &clock) else { panic!("made without keys") };
    assert_eq!(text, "the feed `bars` needs `key_id`: add it to its configuration");
}

#[test]
fn a_folder_is_imported_file_by_file_and_a_bad_file_stops_no_other() {
    let world = tempfile::tempdir().unwrap();
    let dropped = tempfile::tempdir().unwrap();
    let opening = Opening { access: Access::Create, progress: None };
    let journal = Journal::open(world.path(), &opening).unwrap();
    let write = |name: &str, text: &str| std::fs::write(dropped.path().join(name), text).unwrap();
    write("ACME.csv", "date,close\n2024-01-04,10\n2024-01-05,11\n");
    write("all.csv", "date,symbol,close\n2024-01-05,BOLT,5\n");
    write("bad.csv", "date,symbol,close\n2024-01-05,BOLT,five\n");
    write("notes.txt", "not a table");
    let mut folder = PriceFolder::new(dropped.path().to_owned());
    let gathered = folder.gather(&journal, false).unwrap();
    assert!(gathered.tallies.is_empty(), "a file may still be being written when it is first seen");
    let gathered = folder.gather(&journal, false).unwrap();
    assert_eq!(gathered.tallies.keys().collect::<Vec<_>>(), ["ACME.csv", "all.csv"]);
    assert!(gathered.faults["bad.csv"].contains("bad.csv:2: `close`"), "{:?}", gathered.faults);
    let head = journal.ledger().head();
    let gathered = folder.gather(&journal, false).unwrap();
    assert_eq!((gathered.appended, gathered.faults.len()), (0, 1), "what is wrong stays said");
    write("ACME.csv", "date,close\n2024-01-04,10\n2024-01-05,11\n2024-01-08,12\n");
    folder.gather(&journal, false).unwrap();
    let gathered = folder.gather(&journal, false).unwrap();
    assert_eq!(gathered.tallies["ACME.csv"].prices, 1, "only what is new of it");
    assert!(journal.ledger().head() > head);
    let gone = PriceFolder::new(dropped.path().join("nowhere")).gather(&journal, false).unwrap_err();
    assert!(gone.contains("correct `folder` of the feed"), "{gone}");
}

#[cfg(unix)]
#[test]
fn a_price_file_keeps_to_the_rules_of_every_dropped_file() {
    let world = tempfile::tempdir().unwrap();
    let (dropped, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let opening = Opening { access: Access::Create, progress: None };
    let journal = Journal::open(world.path(), &opening).unwrap();
    let write = |name: &str, text: &str| std::fs::write(dropped.path().join(name), text).unwrap();
    let look = || PriceFolder::new(dropped.path().to_owned()).gather(&journal, true).unwrap();
    let bolt = "date,symbol,close\n2024-01-05,BOLT,5\n";
    std::fs::write(elsewhere.path().join("other.csv"), bolt).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("other.csv"), dropped.path().join("link.csv")).unwrap();
    write("half.csv", "date,symbol,close\n2024-01-05,BOLT,5");
    write("~new.csv.part", bolt);
    write(".hidden.csv", bolt);
    let gathered = look();
    assert!(gathered.tallies.is_empty() && gathered.faults.is_empty(), "{gathered:?}");
    assert_eq!(journal.ledger().head(), 0, "half a number is a number too");
    write("half.csv", bolt);
    assert_eq!(look().tallies["half.csv"].prices, 1);
    let head = journal.ledger().head();
    assert_eq!((look().appended, journal.ledger().head()), (0, head), "it is known");
    let import = journal.library().unwrap().imports.list().last().unwrap().id;
    journal.revert_import(&crate::journal::Author::operator(), import, None, None).unwrap();
    let head = journal.ledger().head();
    let gathered = look();
    assert!(gathered.tallies.is_empty() && gathered.faults.is_empty(), "{gathered:?}");
    assert_eq!(journal.ledger().head(), head, "what was taken back does not come in again by itself");
}
