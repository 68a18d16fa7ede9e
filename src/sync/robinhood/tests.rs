//! The synchronisation against a stand-in for Robinhood on a real port, and against answers of our own.

use super::*;
use crate::config::Secret;
use crate::importers::TransactionFields;
use crate::journal::{Access, Moment, NewPortfolio, Opening};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use daybook_schemas::{Event as Recorded, PortfolioId};
use daybook_simulator::{
    Clock, Event, Life, Matching, PerMillion, RestFault, Running, StandIn, World as Outside,
};
use ed25519_dalek::SigningKey;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;

const KEY: &str = "rh-api-key";
const START: &str = "2024-06-03T14:00:00Z";

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A clock that the test sets, for both sides.
#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

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

struct World {
    outside: Running,
    hands: Hands,
    journal: Arc<Journal>,
    portfolio: PortfolioId,
    _directory: TempDir,
}

fn signer(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

impl World {
    /// A stand-in whose account trades coins for some hours.
    fn trading(until: &str) -> Self {
        let world = Self::resting();
        {
            let mut outside = world.outside.world();
            outside.matching = Matching::Automatic { partial: PerMillion::percent(30) };
            outside.animate(Life::new(4, KEY, 40).trading(&["BTC/USD", "ETH/USD"]).without_fees());
        }
        world.set(until);
        world
    }

    fn resting() -> Self {
        let hands = Hands(Arc::new(AtomicI64::new(at(START).nanos())));
        let mut outside = Outside::new(4, at(START));
        outside.limits.robinhood_per_minute = None;
        outside.open_robinhood(KEY, signer(7).verifying_key(), Decimal::new(50_000, 0));
        let directory = tempfile::tempdir().unwrap();
        let journal =
            Journal::open(directory.path(), &Opening { access: Access::Create, progress: None }).unwrap();
        let new = NewPortfolio::parse("Coins", "USD", "fifo", "America/New_York", "daily").unwrap();
        let portfolio = journal.open_portfolio(&Author::operator(), &new, None).unwrap();
        Self {
            outside: StandIn::start("127.0.0.1:0", outside, hands.clone()).unwrap(),
            hands,
            journal: Arc::new(journal),
            portfolio,
            _directory: directory,
        }
    }

    fn set(&self, text: &str) {
        self.hands.0.store(at(text).nanos(), Ordering::SeqCst);
        drop(self.outside.world());
    }

    fn config(&self, key: u8) -> RobinhoodAccount {
        RobinhoodAccount {
            name: "coins".to_owned(),
            portfolio: self.portfolio,
            api_key: Secret::new(KEY.to_owned()),
            private_key: Secret::new(STANDARD.encode(signer(key).to_bytes())),
            base_url: self.outside.base_url().parse().unwrap(),
            sweep: Duration::from_millis(50),
        }
    }

    fn engine(&self) -> Engine {
        self.engine_of(&self.config(7))
    }

    fn engine_of(&self, config: &RobinhoodAccount) -> Engine {
        let clock: Arc<dyn WallClock> = Arc::new(self.hands.clone());
        let mut engine = Engine::new(config, &self.journal, &clock).unwrap();
        engine.pause = Duration::ZERO;
        engine.settling = Duration::ZERO;
        engine
    }

    async fn sweep(&self) -> Swept {
        self.engine().sweep().await.unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// What the ledger holds, as (order, quantity, price), by what was executed.
    fn trades(&self) -> BTreeMap<String, Vec<(Decimal, Decimal)>> {
        let mut trades: BTreeMap<String, Vec<(Decimal, Decimal)>> = BTreeMap::new();
        let mut reversed = BTreeSet::new();
        let mut all = Vec::new();
        for sequence in 1..=self.journal.ledger().head() {
            match crate::journal::decode(&self.journal.event(sequence).unwrap().view()).unwrap() {
                Recorded::TradeExecuted(trade) => all.push((sequence, trade)),
                Recorded::EventReversed(reversal) => {
                    reversed.insert(reversal.target);
                }
                _ => {}
            }
        }
        for (_, trade) in all.into_iter().filter(|(sequence, _)| !reversed.contains(sequence)) {
            let order = trade.order.unwrap().as_str().to_owned();
            trades.entry(order).or_default().push((trade.quantity.get(), trade.price.unwrap().get()));
        }
        trades.values_mut().for_each(|executions| executions.sort_unstable());
        trades
    }

    /// What the broker holds to be true.
    fn truth(&self) -> BTreeMap<String, Vec<(Decimal, Decimal)>> {
        let mut truth: BTreeMap<String, Vec<(Decimal, Decimal)>> = BTreeMap::new();
        for fill in self.outside.world().books(KEY).unwrap().fills {
            truth
                .entry(fill.fill.order_id.clone())
                .or_default()
                .push((fill.fill.quantity.normalize(), fill.fill.price.normalize()));
        }
        truth.values_mut().for_each(|executions| executions.sort_unstable());
        truth
    }

    fn head(&self) -> u64 {
        self.journal.ledger().head()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_execution_is_recorded_once_and_the_books_agree() {
    let world = World::trading("2024-06-03T20:00:00Z");
    let swept = world.sweep().await;
    assert!(swept.orders > 100, "several pages: {swept:?}");
    assert_eq!(swept.breaks, Vec::<String>::new());
    assert_eq!(world.trades(), world.truth());
    let head = world.head();
    let again = world.sweep().await;
    assert_eq!((again.report.appended(), world.head()), (0, head));
    // What happens later comes later, and nothing twice.
    world.set("2024-06-04T09:00:00Z");
    assert_eq!(world.sweep().await.breaks, Vec::<String>::new());
    assert_eq!(world.trades(), world.truth());
    let statement =
        world.journal.portfolio(world.portfolio, &Moment::default(), |view| Ok(view.holdings().count()));
    assert!(statement.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_fail_break_off_or_make_no_sense_lose_nothing_and_double_nothing() {
    let world = World::trading("2024-06-03T17:30:00Z");
    let faults = [
        RestFault::TooManyRequests,
        RestFault::ServerError(503),
        RestFault::ErrorWith200,
        RestFault::Truncated,
        RestFault::Reset,
    ];
    let mut engine = world.engine();
    for fault in faults {
        // At each of the questions of a sweep in turn: whose keys these are, two pages of orders, the holdings.
        for place in 0..4 {
            let answers = std::iter::repeat_n(None, place).chain([Some(fault)]);
            world.outside.world().faults.next_answers(answers);
            let failed = engine.sweep().await;
            assert!(matches!(failed, Err(Fault::Later(..))), "{fault:?} at {place}: {failed:?}");
        }
    }
    let swept = engine.sweep().await.unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(swept.breaks, Vec::<String>::new());
    assert_eq!(world.trades(), world.truth());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_nobody_and_keys_of_another_halt_and_say_what_to_do() {
    let world = World::trading("2024-06-03T15:00:00Z");
    let halted = world.engine_of(&world.config(8)).sweep().await;
    let Err(Fault::Halt(why)) = halted else { panic!("it is not halted: {halted:?}") };
    assert!(why.contains("check the API key"), "{why}");
    world.sweep().await;
    // Another account under the same name.
    let other = signer(9);
    world.outside.world().open_robinhood("another", other.verifying_key(), Decimal::ONE_THOUSAND);
    let config = RobinhoodAccount { api_key: Secret::new("another".to_owned()), ..world.config(9) };
    let head = world.head();
    let halted = world.engine_of(&config).sweep().await;
    let Err(Fault::Halt(why)) = halted else { panic!("it is not halted: {halted:?}") };
    assert!(why.contains("another account"), "{why}");
    assert_eq!(world.head(), head, "nothing is recorded");
    // The same account for another portfolio.
    let new = NewPortfolio::parse("Other", "USD", "fifo", "America/New_York", "daily").unwrap();
    let portfolio = world.journal.open_portfolio(&Author::operator(), &new, None).unwrap();
    let halted = world.engine_of(&RobinhoodAccount { portfolio, ..world.config(7) }).sweep().await;
    assert!(
        matches!(&halted, Err(Fault::Halt(why)) if why.contains("one account feeds one portfolio")),
        "{halted:?}"
    );
    world.outside.world().happen(KEY, &Event::Revoke).unwrap();
    assert!(matches!(world.engine().sweep().await, Err(Fault::Halt(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_disagree_are_told_and_not_taken_for_wrong_keys() {
    let world = World::trading("2024-06-03T15:00:00Z");
    let clock: Arc<dyn WallClock> =
        Arc::new(Hands(Arc::new(AtomicI64::new(at("2024-06-03T14:50:00Z").nanos()))));
    let mut engine = Engine::new(&world.config(7), &world.journal, &clock).unwrap();
    let failed = engine.sweep().await;
    let Err(Fault::Later(why, _)) = failed else { panic!("it is tried again: {failed:?}") };
    assert!(why.contains("600 seconds behind") && why.contains("set the clock"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_an_event_once_and_is_settled_when_the_books_agree() {
    let world = World::trading("2024-06-03T15:00:00Z");
    world.sweep().await;
    let text = |text: &str| Some(text.to_owned());
    let fields = TransactionFields {
        time: text("2024-06-03T14:30:00Z"),
        kind_of: text("buy"),
        symbol: text("BTC/USD"),
        quantity: text("0.5"),
        price: text("60000"),
        account: text("coins"),
        ..TransactionFields::default()
    };
    let typed = world.journal.transact(&Author::operator(), world.portfolio, &fields, None).unwrap();
    let swept = world.sweep().await;
    assert_eq!(swept.breaks.len(), 1, "Robinhood knows nothing of it: {swept:?}");
    assert!(swept.breaks[0].contains("units of BTC/USD"), "{swept:?}");
    let head = world.head();
    assert_eq!(world.sweep().await.breaks, swept.breaks);
    assert_eq!(world.head(), head, "it is told once");
    world.journal.reverse(&Author::operator(), typed.sequence, "a slip", None).unwrap();
    let head = world.head();
    let settled = world.sweep().await;
    assert_eq!((settled.breaks.len(), world.head()), (0, head + 1));
    let record = world.journal.event(world.head()).unwrap();
    let event = crate::journal::decode(&record.view()).unwrap();
    assert!(matches!(event, Recorded::ReconciliationBreakResolved(_)), "{event:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_task_says_how_the_account_is_doing() {
    let world = World::trading("2024-06-03T15:00:00Z");
    let clock: Arc<dyn WallClock> = Arc::new(world.hands.clone());
    let board = Board::default();
    let (tell, stop) = watch::channel(false);
    let broken = RobinhoodAccount {
        name: "broken".to_owned(),
        private_key: Secret::new("no key".to_owned()),
        ..world.config(7)
    };
    let tasks = start(&[world.config(7), broken], &world.journal, &board, &clock, &stop);
    let source = board.get("coins").unwrap();
    for _ in 0..1_000 {
        if source.status().state == State::Current {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = source.status();
    assert_eq!((status.state, status.breaks.len()), (State::Current, 0), "{status:?}");
    assert!(status.appended > 0 && status.last_success.is_some());
    let status = board.get("broken").unwrap().status();
    assert!(status.state == State::Halted && status.detail.unwrap().contains("Ed25519"));
    tell.send_replace(true);
    for task in tasks {
        task.await.unwrap();
    }
}

/// The books of an account, and answers of our own.
struct Desk {
    world: World,
    bound: Bound,
    found: Found,
}

impl Desk {
    fn new() -> Self {
        let world = World::resting();
        let number = "12345".to_owned();
        let bound =
            books::bind(&world.journal, &Author::operator(), "coins", world.portfolio, number, at(START))
                .unwrap();
        Self { world, bound, found: Found::default() }
    }

    fn take(&mut self, orders: &[serde_json::Value]) -> Result<FeedReport, Fault> {
        let rows: Vec<Box<RawValue>> =
            orders.iter().map(|order| RawValue::from_string(order.to_string()).unwrap()).collect();
        let author = Author::operator();
        let config = self.world.config(7);
        let (journal, found) = (&self.world.journal, &mut self.found);
        books::take_in(journal, &author, &config, &self.bound, &rows, found, None, at("2024-07-01T00:00:00Z"))
    }

    fn quantities(&self) -> Vec<Decimal> {
        self.world.trades().into_values().flatten().map(|(quantity, _)| quantity).collect()
    }
}

fn order(id: &str, filled: &str, executions: &[(&str, &str, &str)]) -> serde_json::Value {
    let executions: Vec<_> = executions
        .iter()
        .map(|(price, quantity, timestamp)| {
            serde_json::json!({ "effective_price": price, "quantity": quantity, "timestamp": timestamp })
        })
        .collect();
    serde_json::json!({
        "id": id, "account_number": "12345", "symbol": "BTC-USD", "client_order_id": "strategy:dip:1", "side": "buy",
        "executions": executions, "type": "market", "state": "filled", "filled_asset_quantity": filled,
        "updated_at": "2024-06-03T15:00:00Z",
    })
}

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

#[test]
fn equal_executions_of_one_instant_all_count_and_come_once() {
    let mut desk = Desk::new();
    let execution = ("60000.000000000000000000", "0.1", "2024-06-03T14:00:00Z");
    let twice = order("a", "0.2", &[execution, execution]);
    desk.take(std::slice::from_ref(&twice)).unwrap();
    desk.take(&[twice]).unwrap();
    assert_eq!(desk.quantities(), [d("0.1"), d("0.1")]);
    let record = desk.world.journal.event(desk.world.head()).unwrap();
    assert!(!record.key.as_deref().unwrap().contains("12345"), "an account's number is its owner's secret");
    let Recorded::TradeExecuted(trade) = crate::journal::decode(&record.view()).unwrap() else { panic!() };
    assert_eq!(trade.strategy.unwrap().as_str(), "dip");
    assert_eq!(trade.cumulative_quantity.unwrap().get(), d("0.2"));
}

#[test]
fn a_difference_of_an_order_that_is_read_no_more_stays_open_until_the_ledger_has_what_was_said() {
    let mut desk = Desk::new();
    let name = stream::sync(NAME, &desk.bound.account.to_string());
    let look = |desk: &mut Desk, held: &str| {
        let journal = desk.world.journal.clone();
        let (portfolio, now) = (desk.world.portfolio, at("2024-07-01T00:00:00Z"));
        let holding = format!("{{\"asset_code\":\"BTC\",\"total_quantity\":\"{held}\"}}");
        let holdings = [Holding::read(&holding).unwrap()];
        let open = breaks::open_breaks(&journal, &name).unwrap();
        let (bound, found) = (&desk.bound, &mut desk.found);
        let differences =
            books::differences(&journal, portfolio, bound, &holdings, found, &open, now).unwrap();
        // Nothing happens between two looks here: it is seen twice.
        let standing = breaks::standing(&differences, &differences, &open);
        let remarks = breaks::settle(&name, bound.account, &open, &standing, now);
        books::record(&journal, &Author::operator(), portfolio, remarks, now).unwrap();
        (breaks::open_breaks(&journal, &name).unwrap().len(), journal.ledger().head())
    };
    let (first, second) =
        (("60000", "0.1", "2024-06-03T14:00:00Z"), ("60010", "0.2", "2024-06-03T14:00:05Z"));
    desk.take(&[order("a", "0.3", &[first])]).unwrap();
    let (open, head) = look(&mut desk, "0.1");
    assert_eq!(open, 1, "0.3 are filled, and 0.1 are here");
    // Begun anew, the order is not among those that changed.
    desk.found = Found::default();
    assert_eq!(look(&mut desk, "0.1"), (1, head));
    desk.take(&[order("a", "0.3", &[first, second])]).unwrap();
    desk.found = Found::default();
    assert_eq!(look(&mut desk, "0.3").0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_is_kept_though_an_answer_is_refused() {
    let world = World::trading("2024-06-03T15:00:00Z");
    let mut engine = world.engine();
    engine.sweep().await.unwrap_or_else(|fault| panic!("{fault}"));
    let found = format!("{:?}", engine.found);
    assert!(found.len() > format!("{:?}", Found::default()).len(), "{found}");
    let other = Bound { number: "another".to_owned(), ..engine.bound.clone().unwrap() };
    engine.deep = None;
    assert!(matches!(engine.pull(&other).await, Err(Fault::Halt(_))));
    assert_eq!(format!("{:?}", engine.found), found);
}

#[test]
fn a_restated_execution_stands_instead_and_one_that_is_listed_no_more_never_happened() {
    let mut desk = Desk::new();
    let (first, second) =
        (("60000", "0.1", "2024-06-03T14:00:00Z"), ("60010", "0.3", "2024-06-03T14:00:05Z"));
    desk.take(&[order("a", "0.4", &[first, second])]).unwrap();
    desk.take(&[order("a", "0.4", &[("60001", "0.1", first.2), second])]).unwrap();
    assert_eq!(desk.world.trades()["a"].len(), 2);
    assert!(desk.world.trades()["a"].contains(&(d("0.1"), d("60001"))), "{:?}", desk.world.trades());
    // An answer that lacks executions of what it calls filled takes nothing back.
    desk.take(&[order("a", "0.4", &[second])]).unwrap();
    desk.take(&[order("a", "0.4", &[])]).unwrap();
    assert_eq!(desk.quantities().len(), 2);
    desk.take(&[order("a", "0.3", &[second])]).unwrap();
    assert_eq!(desk.quantities(), [d("0.3")]);
    // It comes back as it went.
    desk.take(&[order("a", "0.4", &[("60001", "0.1", first.2), second])]).unwrap();
    assert_eq!(desk.quantities().len(), 2);
}

#[test]
fn a_row_that_cannot_be_understood_is_kept_aside_and_the_others_go_on() {
    let mut desk = Desk::new();
    let good = order("good", "1", &[("60000", "1", "2024-06-03T14:00:00Z")]);
    let mut odd = order("odd", "1", &[("60000", "1", "2024-06-03T14:00:00Z")]);
    odd["side"] = "borrow".into();
    let bad = [
        order("long", "1", &[("60000.1234567890123456789012345678901", "1", "2024-06-03T14:00:00Z")]),
        order("less", "1", &[("60000", "-1", "2024-06-03T14:00:00Z")]),
        order("when", "1", &[("60000", "1", "yesterday")]),
        order("bad id #", "1", &[("60000", "1", "2024-06-03T14:00:00Z")]),
        odd,
        serde_json::json!(["no order"]),
        serde_json::json!({ "id": "x" }),
    ];
    let rows: Vec<serde_json::Value> = bad.iter().cloned().chain([good]).collect();
    let report = desk.take(&rows).unwrap();
    assert_eq!((report.quarantined, desk.quantities()), (7, vec![d("1")]));
    let report = desk.take(&rows).unwrap();
    assert_eq!((report.quarantined, report.appended()), (0, 0), "each once");
    let mut foreign = order("foreign", "1", &[("60000", "1", "2024-06-03T14:00:00Z")]);
    foreign["account_number"] = "999".into();
    assert!(matches!(desk.take(&[foreign]), Err(Fault::Halt(_))));
    // What is understood later is recorded then.
    let mended = order("less", "1", &[("60000", "1", "2024-06-03T14:00:00Z")]);
    desk.take(&[mended]).unwrap();
    assert_eq!(desk.quantities().len(), 2);
}

#[test]
fn the_next_page_is_asked_of_the_same_host_and_list_only() {
    let next = |address: &str| target_of(address, ORDERS).map_err(|fault| fault.to_string());
    let same = next("https://trading.robinhood.com/api/v1/crypto/trading/orders/?cursor=b%3D%3D&limit=2");
    assert_eq!(same.unwrap(), format!("{ORDERS}?cursor=b%3D%3D&limit=2"));
    assert_eq!(
        next("https://evil.example/api/v1/crypto/trading/orders/?cursor=1").unwrap(),
        format!("{ORDERS}?cursor=1")
    );
    for wrong in
        ["/api/v1/crypto/trading/orders/?cursor=1", "https://x.org/elsewhere/?cursor=1", "https://x.org/", ""]
    {
        assert!(next(wrong).is_err(), "{wrong}");
    }
}
