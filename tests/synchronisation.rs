//! The daemon as a process of its own against a broker that stands in for Alpaca: every fill once, whatever fails and
//! however often it is killed.

use crate::support::{Directory, Ran, Service};
use daybook_simulator::broker::activity::NonTrade;
use daybook_simulator::broker::order::Side;
use daybook_simulator::world::Event;
use daybook_simulator::{
    FastClock, Hours, Keys, Life, Limits, PerMillion, Rates, Running, StandIn, SystemClock, World,
};
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const KEY: &str = "PKTEST";
const SECRET: &str = "a-secret-that-nobody-prints";

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// The present.
fn now() -> daybook_schemas::Timestamp {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    daybook_schemas::Timestamp::from_nanos(i64::try_from(nanos).unwrap())
}

/// A world with one account, whose time began so many seconds ago.
fn world(seed: u64, seconds_ago: i64) -> World {
    let mut world = World::new(seed, now().plus_nanos(-seconds_ago * 1_000_000_000));
    world.set_hours(Hours::Always);
    world.limits = Limits { per_minute: None, ..Limits::default() };
    world.open(&Keys::new(KEY, SECRET), true, Decimal::from(1_000_000));
    world
}

fn stand_in(world: World) -> Running {
    StandIn::start("127.0.0.1:0", world, SystemClock).unwrap()
}

/// Tells a command where the broker is.
fn with_broker<'c>(command: &'c mut Command, broker: &Running) -> &'c mut Command {
    command
        .env("APCA_API_KEY_ID", KEY)
        .env("APCA_API_SECRET_KEY", SECRET)
        .env("APCA_API_BASE_URL", broker.base_url())
        .env("APCA_API_STREAM_URL", broker.stream_url())
        .env("APCA_API_DATA_URL", broker.data_url())
}

fn once(directory: &Directory, broker: &Running) -> Ran {
    let mut command = directory.command(&["sync", "alpaca", "--once", "--format", "json"]);
    with_broker(&mut command, broker);
    Ran::of(command)
}

/// The events of a type.
fn events<'e>(all: &'e [Value], kind: &str) -> Vec<&'e Value> {
    all.iter().filter(|event| event["type"] == kind).collect()
}

/// The ledger says what the broker's books say, fill for fill.
fn agrees(directory: &Directory, portfolio: &str, broker: &Running) {
    let books = broker.world().books(KEY).unwrap();
    let all = directory.events();
    let reversed: Vec<u64> = events(&all, "EventReversed")
        .iter()
        .filter_map(|event| event["payload"]["target"].as_u64())
        .collect();
    let mut ours: BTreeMap<String, (String, String)> = BTreeMap::new();
    for event in events(&all, "TradeExecuted") {
        if reversed.contains(&event["sequence"].as_u64().unwrap()) {
            continue;
        }
        let payload = &event["payload"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let id = text(&payload["entry"]["external_id"]);
        let known = ours.insert(id.clone(), (text(&payload["quantity"]), text(&payload["price"])));
        assert!(known.is_none(), "fill {id} is there twice");
    }
    let theirs: BTreeMap<String, (String, String)> = books
        .fills
        .iter()
        .filter(|booked| !booked.fill.busted)
        .map(|booked| {
            let text = |value: Decimal| value.normalize().to_string();
            (booked.id.to_string(), (text(booked.fill.quantity), text(booked.fill.price)))
        })
        .collect();
    let lost: Vec<&String> = theirs.keys().filter(|id| !ours.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} fills of {} are lost: {lost:?}", lost.len(), theirs.len());
    assert_eq!(ours, theirs);
    figures_agree(directory, portfolio, broker);
}

/// The ledger has the broker's cash and units.
fn figures_agree(directory: &Directory, portfolio: &str, broker: &Running) {
    let books = broker.world().books(KEY).unwrap();
    let statement = directory.statement(portfolio, &["--as-of", "2200-01-01"]);
    // What nobody understands is kept aside, with its cash.
    let unknown = books.non_trades.iter().filter(|booked| booked.row.activity_type == "XQZ");
    let aside: Decimal = unknown.map(|booked| booked.row.cash_effect()).sum();
    assert_eq!(statement["cash"]["USD"].as_str().map(d), Some(books.cash - aside), "{statement}");
    let mut positions: BTreeMap<String, Decimal> = BTreeMap::new();
    for position in statement["positions"].as_array().unwrap() {
        let symbol = position["symbol"].as_str().unwrap().to_owned();
        *positions.entry(symbol).or_default() += d(position["quantity"].as_str().unwrap());
    }
    let theirs: BTreeMap<String, Decimal> = books.positions.into_iter().collect();
    assert_eq!(positions, theirs);
    directory.is_sound();
}

#[test]
fn reading_once_brings_everything_and_reading_again_brings_nothing() {
    let (directory, portfolio) = Directory::with_portfolio();
    let mut world = world(11, 600);
    // More orders than one page of them holds.
    world.animate(Life::new(11, KEY, 4_500));
    world.advance(now().plus_nanos(-1_000_000_000));
    world.rest();
    for event in [Event::Amend, Event::CancelNonTrade, Event::Bust, Event::Autumn, Event::Burst(4)] {
        // What there is nothing of cannot be amended; trades there are.
        let happened = world.happen(KEY, &event);
        let may_lack = matches!(event, Event::Amend | Event::CancelNonTrade);
        assert!(happened.is_ok() || may_lack, "{event:?}: {happened:?}");
    }
    let broker = stand_in(world);
    let first = once(&directory, &broker).ok().json();
    assert!(first[0]["events"]["TradeExecuted"].as_u64().unwrap() > 100, "{first}");
    assert_eq!(first[0]["breaks"], serde_json::json!([]));
    agrees(&directory, &portfolio, &broker);
    let tagged: usize = {
        let world = broker.world();
        let number = world.broker.account_of(KEY).unwrap();
        let account = world.broker.account(number);
        let of_strategy = |order: &str| {
            let id = account.order(order).and_then(|order| order.asked.client_order_id.clone());
            id.is_some_and(|id| id.contains(':'))
        };
        let books = world.broker.books(number);
        books.fills.iter().filter(|booked| of_strategy(&booked.fill.order_id)).count()
    };
    let all = directory.events();
    let ours = events(&all, "TradeExecuted")
        .into_iter()
        .filter(|event| event["payload"]["strategy"].is_string())
        .count();
    assert!(tagged > 250 && ours == tagged, "{ours} of {tagged} fills carry the strategy of their order");
    let head = directory.head();
    let again = once(&directory, &broker).ok().json();
    assert_eq!(again[0]["appended"], 0, "{again}");
    assert_eq!(directory.head(), head);
}

#[test]
fn an_account_that_trades_while_it_is_read_does_not_differ_for_that() {
    let (directory, _) = Directory::with_portfolio();
    let mut world = world(22, 30);
    world.animate(Life::new(22, KEY, 7_200));
    let broker = stand_in(world);
    let fills = || broker.world().books(KEY).unwrap().fills.len();
    let before = fills();
    let report = once(&directory, &broker).ok().json();
    assert!(fills() > before, "nothing was traded while it was read");
    assert!(report[0]["events"]["TradeExecuted"].as_u64() > Some(0), "{report}");
    assert_eq!(report[0]["breaks"], serde_json::json!([]), "{report}");
    assert!(events(&directory.events(), "ReconciliationBreakFound").is_empty());
}

#[test]
fn a_fill_that_is_taken_back_later_is_reversed_and_nothing_else_changes() {
    let (directory, portfolio) = Directory::with_portfolio();
    let mut world = world(12, 600);
    for _ in 0..5 {
        world.happen(KEY, &Event::Trade).unwrap();
    }
    let broker = stand_in(world);
    once(&directory, &broker).ok();
    broker.world().happen(KEY, &Event::Bust).unwrap();
    let report = once(&directory, &broker).ok().json();
    assert_eq!(
        (&report[0]["events"]["EventReversed"], &report[0]["appended"]),
        (&1.into(), &1.into()),
        "{report}"
    );
    agrees(&directory, &portfolio, &broker);
}

#[test]
fn books_that_differ_are_told_and_end_with_1() {
    let (directory, _) = Directory::with_portfolio();
    let mut world = world(13, 600);
    world.happen(KEY, &Event::Trade).unwrap();
    // Nobody knows what it means; its cash is at the broker and not here.
    world.happen(KEY, &Event::UnknownType).unwrap();
    let broker = stand_in(world);
    let report = once(&directory, &broker).exits(1).json();
    assert_eq!(report[0]["quarantined"], 1, "{report}");
    let difference = report[0]["breaks"][0].as_str().unwrap();
    assert!(difference.starts_with("cash in USD: "), "{difference}");
    let all = directory.events();
    assert_eq!(events(&all, "RecordQuarantined").len(), 1);
    assert_eq!(events(&all, "ReconciliationBreakFound").len(), 1);
    // It is found once, however often it is looked at.
    once(&directory, &broker).exits(1);
    assert_eq!(directory.events().len(), all.len());
}

#[test]
fn keys_that_are_wrong_revoked_or_of_another_account_are_refused_and_nothing_is_recorded() {
    let (directory, _) = Directory::with_portfolio();
    let mut world = world(14, 600);
    world.happen(KEY, &Event::Trade).unwrap();
    let broker = stand_in(world);
    let mut wrong = directory.command(&["sync", "alpaca", "--once"]);
    with_broker(&mut wrong, &broker).env("APCA_API_SECRET_KEY", "another-secret");
    let refused = Ran::of(wrong).exits(2);
    assert!(refused.stdout.contains("refuses the keys"), "{refused}");
    assert!(!format!("{}{}", refused.stdout, refused.stderr).contains("another-secret"), "{refused}");
    once(&directory, &broker).ok();
    let head = directory.head();
    broker.world().happen(KEY, &Event::Swap).unwrap();
    let swapped = once(&directory, &broker).exits(2);
    assert!(swapped.stdout.contains("another `name`"), "{swapped}");
    broker.world().happen(KEY, &Event::Revoke).unwrap();
    let revoked = once(&directory, &broker).exits(2);
    assert!(revoked.stdout.contains("refuses the keys"), "{revoked}");
    assert_eq!(directory.head(), head);
}

#[test]
fn one_account_never_feeds_two_portfolios() {
    let (directory, _) = Directory::with_portfolio();
    let mut world = world(15, 600);
    world.happen(KEY, &Event::Trade).unwrap();
    let broker = stand_in(world);
    once(&directory, &broker).ok();
    let other = directory.open_portfolio("Other");
    let mut command = directory.command(&["sync", "alpaca", "--once", "--portfolio", &other]);
    with_broker(&mut command, &broker);
    let refused = Ran::of(command).exits(2);
    assert!(refused.stdout.contains("feeds portfolio"), "{refused}");
    assert_eq!(directory.statement(&other, &[])["positions"], serde_json::json!([]));
}

#[test]
fn what_an_import_brought_and_took_back_is_brought_again_however_old_it_is() {
    let (directory, portfolio) = Directory::with_portfolio();
    // The account is much older than what is read of it every day.
    let mut world = World::new(18, now().plus_nanos(-200 * 86_400 * 1_000_000_000));
    world.set_hours(Hours::Always);
    world.limits = Limits { per_minute: None, ..Limits::default() };
    let number = world.open(&Keys::new(KEY, SECRET), true, Decimal::from(1_000_000));
    for _ in 0..3 {
        world.happen(KEY, &Event::Trade).unwrap();
    }
    let rows: Vec<String> = world
        .broker
        .account(number)
        .activities()
        .iter()
        .map(daybook_simulator::broker::activity::Activity::row)
        .collect();
    world.advance(now());
    let broker = stand_in(world);
    let file = directory.write("old.json", format!("[{}]", rows.join(",")));
    let import = directory.run(&["import", "alpaca", &file, "--portfolio", &portfolio]).ok().import_id();
    broker.world().happen(KEY, &Event::Trade).unwrap();
    once(&directory, &broker).ok();
    directory.run(&["import", "revert", &import]).ok();
    let report = once(&directory, &broker).ok().json();
    assert_eq!(report[0]["events"]["TradeExecuted"], 3, "{report}");
    figures_agree(&directory, &portfolio, &broker);
}

#[test]
fn two_rows_of_one_id_and_two_types_are_two() {
    let (directory, portfolio) = Directory::with_portfolio();
    let mut world = World::new(20, now().plus_nanos(-3_600_000_000_000));
    let number = world.open(&Keys::new(KEY, SECRET), true, Decimal::from(1_000));
    let (then, day) = (world.now(), world.now().day_in(daybook_schemas::Zone::NEW_YORK));
    for (kind, amount) in [("INT", "5"), ("FEE", "-3")] {
        let mut row = NonTrade::cash(kind, day, d(amount));
        row.extra.insert("id".to_owned(), serde_json::json!("20260101000000000::one-and-the-same"));
        world.broker.book(number, row, then);
    }
    let broker = stand_in(world);
    let report = once(&directory, &broker).ok().json();
    let of = |event: &str| report[0]["events"][event].as_u64();
    assert_eq!((of("InterestPosted"), of("FeePosted")), (Some(1), Some(1)), "{report}");
    figures_agree(&directory, &portfolio, &broker);
}

#[test]
fn books_that_cannot_be_told_do_not_agree() {
    let (directory, _) = Directory::with_portfolio();
    let mut world = World::new(21, now().plus_nanos(-3_600_000_000_000));
    let number = world.open(&Keys::new(KEY, SECRET), true, Decimal::from(1_000));
    let then = world.now();
    world.broker.trade(number, "AAPL", Side::Buy, d("1.0000000000000000000000000001"), Decimal::ONE, then);
    let broker = stand_in(world);
    let report = once(&directory, &broker).exits(1).json();
    assert!(report[0]["breaks"].to_string().contains("cannot be told here"), "{report}");
}

#[test]
fn the_keys_are_in_no_log_however_much_is_logged() {
    let (directory, _) = Directory::with_portfolio();
    let mut world = world(19, 60);
    world.happen(KEY, &Event::Trade).unwrap();
    let broker = stand_in(world);
    let mut command = directory.command(&["sync", "alpaca"]);
    let log = directory.path("log");
    with_broker(&mut command, &broker)
        .env("RUST_LOG", "trace")
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap());
    let mut running = command.spawn().unwrap();
    let (said, began) = (|| std::fs::read_to_string(&log).unwrap(), Instant::now());
    while !(said().contains("recorded") && said().contains("compared")) {
        assert!(began.elapsed() < Duration::from_secs(60), "it did not get so far: {}", said());
        std::thread::sleep(Duration::from_millis(100));
    }
    running.kill().unwrap();
    running.wait().unwrap();
    let said = said();
    for traced in ["TRACE", "DEBUG"] {
        assert!(said.contains(traced), "it is not logged so closely: {said}");
    }
    for key in [SECRET, KEY] {
        assert!(!said.contains(key), "a key is in the log: {said}");
    }
}

/// The daemon in the background.
fn daemon(directory: &Directory, broker: &Running) -> Child {
    let mut command = directory.command(&["sync", "alpaca"]);
    with_broker(&mut command, broker).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn a_thousand_fills_arrive_once_each_though_everything_fails_and_the_daemon_is_killed_twenty_times() {
    let (directory, portfolio) = Directory::with_portfolio();
    // Ten minutes of the market in half a minute, which end now.
    let speed = 20;
    let mut world = world(16, 600);
    world.faults.rates = Rates::all(PerMillion(15_000));
    let begins = world.now();
    world.animate(Life::new(16, KEY, 6_000));
    world.scatter(KEY, begins, begins.plus_nanos(600_000_000_000), 25);
    let clock = FastClock::new(begins, speed);
    let broker = StandIn::start("127.0.0.1:0", world, clock).unwrap();
    let began = Instant::now();
    let mut dice: u64 = 16;
    for _ in 0..20 {
        let mut running = daemon(&directory, &broker);
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(300 + (dice >> 33) % 2_200));
        running.kill().unwrap();
        running.wait().unwrap();
    }
    let left = Duration::from_secs(31).saturating_sub(began.elapsed());
    std::thread::sleep(left);
    {
        let mut world = broker.world();
        world.rest();
        world.faults.rates = Rates::default();
    }
    let report = once(&directory, &broker);
    let fills = broker.world().books(KEY).unwrap().fills.len();
    assert!(fills >= 900, "only {fills} fills happened");
    // Only cash that nobody understands may differ, and whether it does is how the command ends.
    let breaks = report.json()[0]["breaks"].clone();
    let breaks: Vec<&str> = breaks.as_array().unwrap().iter().map(|words| words.as_str().unwrap()).collect();
    assert!(breaks.iter().all(|words| words.starts_with("cash in USD: ")), "{report}");
    assert_eq!(report.code, Some(i32::from(!breaks.is_empty())), "{report}");
    agrees(&directory, &portfolio, &broker);
}

#[test]
fn a_service_with_keys_keeps_the_ledger_current_and_shows_how_it_is_doing() {
    let (directory, portfolio) = Directory::with_portfolio();
    let mut world = world(17, 60);
    world.happen(KEY, &Event::Trade).unwrap();
    let broker = stand_in(world);
    let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0"]);
    with_broker(&mut command, &broker);
    let service = Service::run(&directory, command);
    let client = service.client();
    let until = |done: &dyn Fn(&Value) -> bool| {
        let began = Instant::now();
        loop {
            let sources = client.get("/v1/sync").json();
            let source =
                sources["items"].as_array().unwrap().iter().find(|item| item["kind"] == "alpaca").cloned();
            if let Some(source) = source.filter(|source| done(source)) {
                return source;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "it did not come to that: {sources}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    until(&|source| source["state"] == "current" && source["listening"] == true);
    broker.world().happen(KEY, &Event::Trade).unwrap();
    let began = Instant::now();
    loop {
        let transactions = client.get(&format!("/v1/portfolios/{portfolio}/transactions")).json();
        let trades =
            transactions["items"].as_array().unwrap().iter().filter(|row| row["event"] == "TradeExecuted");
        if trades.count() as u64 >= broker.world().books(KEY).unwrap().fills.len() as u64 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "the fill did not arrive: {transactions}");
        std::thread::sleep(Duration::from_millis(20));
    }
    broker.world().happen(KEY, &Event::Revoke).unwrap();
    let name = until(&|_| true)["name"].as_str().unwrap().to_owned();
    client.post(&format!("/v1/sync/{name}/now"), &serde_json::json!({}));
    let halted = until(&|source| source["state"] == "halted");
    assert!(halted["detail"].as_str().unwrap().contains("refuses the keys"), "{halted}");
    let said = service.stop();
    assert!(!said.contains(SECRET), "{said}");
    agrees(&directory, &portfolio, &broker);
}
