//! `daybook sync prices` in real processes, against a stand-in on a real port.

use crate::support::{Directory, Ran};
use daybook_schemas::Timestamp;
use daybook_simulator::broker::Keys;
use daybook_simulator::{Clock, Running, StandIn, SystemClock, World};
use rust_decimal::Decimal;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

const SECRET: &str = "stand-in-secret";

/// A market whose time is everybody's.
fn market() -> Running {
    let now: Timestamp = SystemClock.now();
    let mut world = World::new(11, now);
    world.open(&Keys::new("PKSTANDIN", SECRET), true, Decimal::ONE_THOUSAND);
    world.limits.per_minute = None;
    StandIn::start("127.0.0.1:0", world, SystemClock).unwrap()
}

/// Follows these symbols once a day.
fn configure(directory: &Directory, market: &Running, symbols: &str) {
    let text = format!(
        "[prices]\nsymbols = [{symbols}]\n[[prices.feed]]\nname = \"bars\"\nkind = \"alpaca\"\nbase_url = \"{}\"\nkey_id_env = \"THE_KEY\"\nsecret_key_env = \"THE_SECRET\"\ncadence = \"daily\"\nbackfill_days = 90\n",
        market.base_url()
    );
    directory.write("prices.toml", text);
}

fn command(directory: &Directory, more: &[&str]) -> Command {
    let config = directory.path("prices.toml");
    let mut command = directory.command(&[&["sync", "prices", "--config", &config], more].concat());
    command.env("THE_KEY", "PKSTANDIN").env("THE_SECRET", SECRET);
    command
}

fn once(directory: &Directory) -> Ran {
    Ran::of(command(directory, &["--once"]))
}

/// The keys of all bars; each stands there once.
fn bars(directory: &Directory) -> BTreeSet<String> {
    let events = directory.events();
    let keys: Vec<String> = events
        .iter()
        .filter(|event| event["type"] == "BarClosed")
        .map(|event| event["key"].as_str().unwrap().to_owned())
        .collect();
    let once: BTreeSet<String> = keys.iter().cloned().collect();
    assert_eq!(once.len(), keys.len());
    once
}

#[test]
fn what_is_held_and_what_is_followed_is_priced_once() {
    let market = market();
    let (directory, portfolio) = Directory::with_portfolio();
    directory
        .import("csv", &portfolio, "time,type,symbol,quantity,price\n2024-01-03T15:00:00Z,buy,KO,10,60\n")
        .ok();
    configure(&directory, &market, "\"IBM\", \"NOSUCH\"");
    let ran = once(&directory).ok().says(&["bars: NOSUCH is not priced: the feed has no prices of it"]);
    let rows: Vec<Vec<&str>> = ran.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..3], ["FEED", "SYMBOL", "PRICES"], "{ran}");
    assert_eq!(
        (rows[1][..2].to_vec(), rows[2][..2].to_vec()),
        (vec!["bars", "IBM"], vec!["bars", "KO"]),
        "{ran}"
    );
    assert!(bars(&directory).len() > 2 * 58, "{ran}");
    let position = &directory.statement(&portfolio, &[])["positions"][0];
    assert!(position["price"].is_string() && position["market_value"].is_string(), "{position}");
    let head = directory.head();
    assert_eq!(once(&directory).ok().line(), "nothing new");
    assert_eq!(directory.head(), head);
    directory.is_sound();
}

#[test]
fn a_feed_that_failed_ends_with_1_and_what_is_missing_in_the_configuration_with_2() {
    let market = market();
    let directory = Directory::new();
    configure(&directory, &market, "\"IBM\"");
    let mut wrong = command(&directory, &["--once"]);
    wrong.env("THE_SECRET", "wr0ng");
    let ran = Ran::of(wrong).exits(1).says(&["bars: ", "correct key_id and secret_key of the feed"]);
    assert!(!ran.stderr.contains("wr0ng") && !ran.stdout.contains("wr0ng"), "{ran}");
    market.stop();
    once(&directory).exits(1).says(&["bars: Alpaca: "]);
    Directory::new().run(&["sync", "prices", "--once"]).refuses(&["no feed of prices is configured"]);
}

#[test]
fn a_backfill_that_is_killed_again_and_again_ends_as_one_that_was_not() {
    let market = market();
    let symbols =
        r#""AAPL","AMD","AMZN","BA","DIS","F","GOOGL","IBM","INTC","JNJ","JPM","KO","META","MSFT","NFLX""#;
    let (whole, killed) = (Directory::new(), Directory::new());
    for directory in [&whole, &killed] {
        configure(directory, &market, symbols);
    }
    once(&whole).ok();
    for round in 0..8u64 {
        let mut command = command(&killed, &["--once"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(40 + 45 * round));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    once(&killed).ok();
    assert_eq!(bars(&killed), bars(&whole));
    killed.is_sound();
}

#[cfg(unix)]
#[test]
fn the_daemon_keeps_prices_current_until_it_is_told_to_stop() {
    let market = market();
    let directory = Directory::new();
    configure(&directory, &market, "\"IBM\"");
    let child = command(&directory, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let recorded = || {
        let files = std::fs::read_dir(directory.data()).into_iter().flatten().filter_map(Result::ok);
        let mut bytes = files.filter_map(|file| std::fs::read(file.path()).ok());
        bytes.any(|bytes| bytes.windows(12).any(|window| window == b"prices:bars:"))
    };
    for _ in 0..300 {
        if recorded() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    let ran = Ran::ended("sync prices".to_owned(), child.wait_with_output().unwrap()).ok();
    assert!(ran.stderr.contains("keeping bars in step (prices)"), "{ran}");
    assert!(bars(&directory).len() > 58, "one commit holds all of a page: {ran}");
    directory.is_sound();
}
