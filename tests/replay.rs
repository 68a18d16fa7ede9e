//! Replay: the statement from the log alone, as of any moment and as known at any moment, and its check of itself.

use crate::support::{Client, Directory, Service, d, decimal, figures, identity_holds, position, without};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const TRADES: &str = "time,type,symbol,quantity,price,amount,fee,id\n\
                      2024-01-02,deposit,,,,10000,,t1\n\
                      2024-01-03T15:00:00Z,buy,ACME,100,10,,1,t2\n\
                      2024-02-01,dividend,ACME,,,25,,t3\n\
                      2024-03-04T18:30:00Z,sell,ACME,40,12.50,,1,t4\n";

fn quantity(statement: &Value, symbol: &str) -> Decimal {
    let positions = statement["positions"].as_array().unwrap();
    positions.iter().filter(|line| line["symbol"] == symbol).map(|line| decimal(&line["quantity"])).sum()
}

/// A statement without its sequence.
fn told(statement: Value) -> Value {
    without(statement, &["sequence"])
}

fn reverse(client: &Client, key: &str, reason: &str) -> u64 {
    let events = client.pages("/v1/events?limit=1000");
    // An id may hold the same letters by chance: only a whole part of the key is meant.
    let is_meant = |text: &str| text.split([':', '#']).any(|part| part == key);
    let found = events.iter().find(|event| event["key"].as_str().is_some_and(is_meant));
    let sequence =
        found.unwrap_or_else(|| panic!("no event has {key} in its key"))["sequence"].as_u64().unwrap();
    client.post(&format!("/v1/events/{sequence}/reverse"), &json!({ "reason": reason })).ok();
    sequence
}

#[test]
fn only_what_had_occurred_by_a_moment_is_in_the_statement_as_of_it() {
    let (directory, portfolio) = Directory::with_portfolio();
    directory.import("csv", &portfolio, TRADES).ok();
    for (moment, cash, held) in [
        ("2024-01-01", "0", "0"),
        ("2024-01-02", "10000", "0"),
        ("2024-01-03", "8999", "100"),
        ("2024-01-03T14:59:59.999999999Z", "10000", "0"),
        ("2024-01-03T15:00:00Z", "8999", "100"),
        ("2024-01-31", "8999", "100"),
        ("2024-02-01", "9024", "100"),
        // A dividend without a time comes at the end of its day in New York.
        ("2024-02-02T04:59:59Z", "8999", "100"),
        ("2024-02-02T05:00:00Z", "9024", "100"),
        ("2024-03-04T18:29:59Z", "9024", "100"),
        ("2024-03-04T18:30:00+00:00", "9523", "60"),
        ("2024-03-04T13:30:00-05:00", "9523", "60"),
        ("2030-01-01", "9523", "60"),
    ] {
        let statement = directory.statement(&portfolio, &["--as-of", moment]);
        assert_eq!(decimal(&statement["cash"]["USD"]), d(cash), "cash as of {moment}: {statement:#}");
        assert_eq!(quantity(&statement, "ACME"), d(held), "position as of {moment}");
        identity_holds(&statement);
    }
}

#[test]
fn a_backdated_trade_changes_the_past_as_known_now_and_not_as_known_then() {
    let (directory, portfolio) = Directory::with_portfolio();
    directory.import("csv", &portfolio, TRADES).ok();
    let last = directory.events().pop().unwrap();
    let (sequence, recorded) =
        (last["sequence"].to_string(), last["recorded_at"].as_str().unwrap().to_owned());
    let at = |day: &str, more: &[&str]| directory.statement(&portfolio, &[&["--as-of", day], more].concat());
    let days = ["2024-01-05", "2024-01-31", "2024-12-31"];
    let before: Vec<Value> = days.iter().map(|day| told(at(day, &[]))).collect();

    let late = "time,type,symbol,quantity,price,id\n2024-01-10T16:00:00Z,buy,ACME,10,11,late-1\n";
    directory.import("csv", &portfolio, late).ok();
    let now: Vec<Value> = days.iter().map(|day| told(at(day, &[]))).collect();
    assert_eq!(now[0], before[0], "a day before it is touched by a backdated trade");
    assert_eq!(quantity(&now[1], "ACME"), d("110"));
    assert_eq!(quantity(&now[2], "ACME"), d("70"));
    for (day, before) in days.iter().zip(&before) {
        assert_eq!(&told(at(day, &["--at-sequence", &sequence])), before, "known at a sequence, {day}");
        assert_eq!(&told(at(day, &["--known-at", &recorded])), before, "known at a time, {day}");
        assert_eq!(at(day, &["--at-sequence", &sequence])["sequence"].to_string(), sequence);
    }
    // Without a day, too.
    let known = |more: &[&str]| figures(directory.statement(&portfolio, more));
    assert_eq!(known(&["--at-sequence", &sequence]), known(&["--known-at", &recorded]));
    assert_eq!(quantity(&known(&["--at-sequence", &sequence]), "ACME"), d("60"));
    assert_eq!(quantity(&known(&[]), "ACME"), d("70"));
    directory.is_sound();
}

#[test]
fn a_reversal_acts_on_what_is_known_and_not_on_what_was() {
    let (directory, portfolio) = Directory::with_portfolio();
    directory.import("csv", &portfolio, TRADES).ok();
    let last = directory.events().pop().unwrap();
    let (sequence, recorded) =
        (last["sequence"].to_string(), last["recorded_at"].as_str().unwrap().to_owned());
    let days = ["2024-01-31", "2024-03-04", "2024-12-31"];
    let at = |day: &str, more: &[&str]| directory.statement(&portfolio, &[&["--as-of", day], more].concat());
    let before: Vec<Value> = days.iter().map(|day| told(at(day, &[]))).collect();
    let service = Service::start(&directory);
    reverse(&service.client(), "t4", "never filled");
    service.stop();
    // As of a day before the reversal was recorded it holds all the same: the sale never happened.
    for (day, (held, cash)) in days.iter().zip([("100", "8999"), ("100", "9024"), ("100", "9024")]) {
        let now = at(day, &[]);
        assert_eq!((quantity(&now, "ACME"), decimal(&now["cash"]["USD"])), (d(held), d(cash)), "{day}");
        assert_eq!(decimal(&now["realised"]), d("0"));
        identity_holds(&now);
    }
    for (day, before) in days.iter().zip(&before) {
        assert_eq!(&told(at(day, &["--at-sequence", &sequence])), before);
        assert_eq!(&told(at(day, &["--known-at", &recorded])), before);
    }
    directory.is_sound();
}

#[test]
fn event_and_reversal_are_as_if_neither_had_been() {
    let (directory, portfolio) = Directory::with_portfolio();
    let other = directory.open_portfolio("Other");
    directory.import("csv", &portfolio, TRADES).ok();
    let without_sale = TRADES.lines().take(4).collect::<Vec<_>>().join("\n");
    directory.import("csv", &other, without_sale).ok();
    let service = Service::start(&directory);
    let reversed = reverse(&service.client(), "t4", "never filled");
    let again =
        service.client().post(&format!("/v1/events/{reversed}/reverse"), &json!({ "reason": "twice" }));
    again.refuses(409);
    service.stop();
    let as_of = ["--as-of", "2024-12-31"];
    let of = |id: &str| without(figures(directory.statement(id, &as_of)), &["id", "name", "stale"]);
    assert_eq!(without(of(&portfolio), &["positions"]), without(of(&other), &["positions"]));
    let line = |id: &str| without(position(&directory.statement(id, &as_of), "ACME").clone(), &["account"]);
    assert_eq!(line(&portfolio), line(&other));
}

#[test]
fn a_view_that_cannot_be_is_refused_and_says_why() {
    let (directory, portfolio) = Directory::with_portfolio();
    directory.import("csv", &portfolio, TRADES).ok();
    let head = directory.head();
    let ahead = (head + 1).to_string();
    for (arguments, said) in [
        (&["--as-of", "yesterday"][..], "yesterday"),
        (&["--as-of", "2024-02-30"], "2024-02-30"),
        (&["--as-of", "2024-01-01T10:00:00"], "2024-01-01T10:00:00"),
        (&["--known-at", "never"], "never"),
        (&["--at-sequence", "-1"], "-1"),
        (&["--at-sequence", "first"], "first"),
        (&["--at-sequence", &ahead], &ahead),
        (&["--at-sequence", "1", "--known-at", "2024-01-01T00:00:00Z"], "--known-at"),
    ] {
        let ran = directory.run(&[&["replay", "--portfolio", &portfolio], arguments].concat());
        ran.refuses(&[said]);
    }
}

#[test]
fn an_empty_ledger_has_no_statement_and_nothing_to_check() {
    let directory = Directory::new();
    directory.run(&["replay"]).refuses(&[]);
    directory.run(&["replay", "--check"]).refuses(&[]);
    // A ledger that was made and holds no event is no more than none.
    directory.run(&["portfolio", "open", "A", "--zone", "Mars/Olympus"]).exits(2);
    let service = Service::start(&directory);
    service.stop();
    // The first token is an event: now there is one.
    directory.run(&["replay", "--check"]).ok();
}

#[test]
fn the_statement_says_the_same_in_text_json_and_csv() {
    let (directory, portfolio) = Directory::with_portfolio();
    directory.import("csv", &portfolio, TRADES).ok();
    directory.import_prices("date,symbol,close\n2024-04-01,ACME,13\n", &[]).ok();
    let arguments = ["replay", "--portfolio", &portfolio, "--as-of", "2024-04-01"];
    let run = |format: &str| directory.run(&[&arguments[..], &["--format", format]].concat()).ok();
    let statement = run("json").json();
    for key in [
        "cash",
        "market_value",
        "equity",
        "realised",
        "unrealised",
        "income",
        "costs",
        "fx",
        "transferred_gain",
        "net_contributions",
        "trade_fees",
        "taxes",
        "currency",
        "as_of",
        "sequence",
        "complete",
        "unpriced",
        "stale",
        "unknown_basis",
        "unaccounted",
        "unaccounted_cash",
        "positions",
    ] {
        assert!(statement.get(key).is_some(), "no {key}: {statement:#}");
    }
    let line = position(&statement, "ACME");
    for key in [
        "symbol",
        "instrument",
        "account",
        "quantity",
        "basis",
        "currency",
        "price",
        "price_at",
        "market_value",
        "unrealised",
        "realised",
    ] {
        assert!(line.get(key).is_some(), "a position has no {key}: {line:#}");
    }
    let text = run("text");
    for part in ["Trading", "ACME", "10,303.00", "9,523.00", "780.00", "98.60", "179.40"] {
        assert!(text.stdout.contains(part), "no {part}: {text}");
    }
    assert_eq!(directory.run(&arguments).ok().stdout, text.stdout, "text is the default");
    let csv = run("csv");
    let mut reader = csv::Reader::from_reader(csv.stdout.as_bytes());
    assert!(reader.headers().unwrap().iter().any(|name| name == "symbol"), "{csv}");
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert!(
        rows.iter()
            .any(|row| row.iter().any(|cell| cell == "ACME") && row.iter().any(|cell| cell == "600.6")),
        "{csv}"
    );
}

#[test]
fn replay_says_what_the_service_says() {
    let (directory, portfolio) = Directory::with_portfolio();
    directory.import("csv", &portfolio, TRADES).ok();
    directory.import_prices("date,symbol,close\n2024-04-01,ACME,13\n", &[]).ok();
    // The first start issues a token, which is an event.
    Service::start(&directory).stop();
    for moment in ["2024-01-31", "2024-04-01", "2024-04-01T12:00:00Z"] {
        let replayed = directory.statement(&portfolio, &["--as-of", moment]);
        let service = Service::start(&directory);
        let summary = service.client().get(&format!("/v1/portfolios/{portfolio}?as_of={moment}")).ok().json();
        let positions =
            service.client().pages(&format!("/v1/portfolios/{portfolio}/positions?as_of={moment}"));
        service.stop();
        for (key, value) in replayed.as_object().unwrap() {
            if key != "positions" {
                assert_eq!(summary.get(key), Some(value), "{key} as of {moment}");
            }
        }
        assert_eq!(replayed["positions"], Value::Array(positions), "positions as of {moment}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn a_stored_snapshot_of_another_history_is_found_and_the_first_event_that_differs_named() {
    let (directory, portfolio) = Directory::with_portfolio();
    let deposit = |amount: u32| format!("time,type,amount\n2024-01-02,deposit,{amount}\n");
    directory.import("csv", &portfolio, deposit(1)).ok();
    let head = directory.head();
    // The same ledger goes on in two ways, and one gets the other's index with all that is stored in it.
    let other = Directory::new();
    copy(directory.data(), other.data());
    directory.import("csv", &portfolio, deposit(5)).ok();
    other.import("csv", &portfolio, deposit(6)).ok();
    directory.run(&["replay", "--check"]).ok();
    fs::remove_dir_all(directory.data().join("index")).unwrap();
    copy(&other.data().join("index"), &directory.data().join("index"));
    let check = directory.run(&["replay", "--check"]).exits(1);
    // The deposit counts from the event that ends its import.
    assert!(check.stdout.contains(&format!("differs from event {} on", head + 2)), "{check}");
    directory.run(&["verify"]).exits(1);
    // What is printed comes from the log alone.
    assert_eq!(decimal(&directory.statement(&portfolio, &[])["cash"]["USD"]), d("6"));
}

#[test]
fn the_worked_example_of_a_flip_through_zero_comes_out() {
    let (directory, portfolio) = Directory::with_portfolio();
    let rows = "time,type,symbol,quantity,price,amount,fee\n\
                2024-01-02,deposit,,,,5000,\n\
                2024-01-03,buy,ACME,100,10,,1\n\
                2024-01-04,sell,ACME,150,12,,1.50\n";
    directory.import("csv", &portfolio, rows).ok();
    let statement = directory.statement(&portfolio, &["--as-of", "2024-01-05"]);
    assert_eq!(decimal(&statement["realised"]), d("198.00"));
    let line = position(&statement, "ACME");
    assert_eq!(decimal(&line["quantity"]), d("-50"));
    assert_eq!(decimal(&line["basis"]).abs(), d("599.50"));
    identity_holds(&statement);
    directory.is_sound();
}

#[test]
fn the_worked_examples_of_first_in_first_out_come_out() {
    let (directory, portfolio) = Directory::with_portfolio();
    let rows = "time,type,symbol,quantity,price,amount\n\
                2024-01-02,deposit,,,,9000\n\
                2024-01-03,buy,ACME,100,10,\n\
                2024-01-04,buy,ACME,100,12,\n\
                2024-01-05,sell,ACME,150,15,\n\
                2024-01-08,buy,BOLT,109,,-3149.20\n\
                2024-01-09,buy,BOLT,52,,-1684.92\n\
                2024-01-10,sell,BOLT,15,,531.50\n";
    directory.import("csv", &portfolio, rows).ok();
    let statement = directory.statement(&portfolio, &["--as-of", "2024-01-10"]);
    let acme = position(&statement, "ACME");
    assert_eq!((decimal(&acme["realised"]), decimal(&acme["quantity"])), (d("650"), d("50")));
    assert_eq!(decimal(&acme["basis"]), d("600"), "what is left is 50 at 12");
    let bolt = position(&statement, "BOLT");
    assert_eq!(decimal(&bolt["realised"]).round_dp(2), d("98.12"));
    // Nothing is lost to rounding: what was relieved and what is left are what was paid.
    assert_eq!(decimal(&bolt["basis"]) + (d("531.50") - decimal(&bolt["realised"])), d("4834.12"));
    identity_holds(&statement);
}

/// Rows that a person could have entered, from a seed: trades both ways, cash of every kind, transfers and splits.
fn year(seed: u64) -> String {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut rows = String::from("time,type,symbol,quantity,price,amount,fee,basis,note\n");
    rows.push_str("2024-01-01,deposit,,,,100000,,,\n");
    for place in 0..160u32 {
        let (month, day) = (1 + place * 12 / 160, 1 + random.random_range(0..28));
        let date = format!("2024-{month:02}-{day:02}");
        let symbol = ["ACME", "BOLT", "CRUX"][random.random_range(0..3)];
        let quantity = Decimal::new(random.random_range(1..90_000), 3);
        let price = Decimal::new(random.random_range(100..9_999), 2);
        let cents = Decimal::new(random.random_range(1..99_999), 2);
        let fee = Decimal::new(random.random_range(0..300), 2);
        match random.random_range(0..16) {
            0..5 => writeln!(rows, "{date},buy,{symbol},{quantity},{price},,{fee},,"),
            5..9 => writeln!(rows, "{date},sell,{symbol},{quantity},{price},,{fee},,"),
            9 => writeln!(rows, "{date},deposit,,,,{cents},,,"),
            10 => writeln!(rows, "{date},withdrawal,,,,-{cents},,,"),
            11 => writeln!(rows, "{date},dividend,{symbol},,,{cents},,,"),
            12 => writeln!(rows, "{date},interest,,,,{},,,", if random.random() { cents } else { -cents }),
            13 => writeln!(rows, "{date},fee,,,,-{cents},,,"),
            14 => writeln!(rows, "{date},tax,,,,-{cents},,,"),
            _ => writeln!(rows, "{date},transfer_in,DUNE,{quantity},{price},,,{cents},"),
        }
        .unwrap();
    }
    rows
}

#[test]
fn the_identity_holds_to_the_last_decimal_on_every_day() {
    for seed in [1, 20_240_229, 77_777] {
        println!("seed {seed}");
        let (directory, portfolio) = Directory::with_portfolio();
        directory.import("csv", &portfolio, year(seed)).ok();
        let prices =
            "date,symbol,close\n2024-03-28,ACME,33.33\n2024-03-28,BOLT,7.77\n2024-09-30,CRUX,0.0001\n";
        directory.import_prices(prices, &[]).ok();
        for day in ["2024-01-31", "2024-03-31", "2024-07-04", "2024-10-10", "2024-12-31"] {
            let statement = directory.statement(&portfolio, &["--as-of", day]);
            assert_eq!(statement["complete"], true, "{statement:#}");
            identity_holds(&statement);
        }
        directory.is_sound();
    }
}

#[test]
fn rows_that_come_late_leave_the_state_of_rows_that_came_on_time() {
    let seed = 4_711;
    println!("seed {seed}");
    let rows = year(seed);
    let (header, lines) = rows.split_once('\n').unwrap();
    // Rows that differ only in their place within a day are ordered by that place, so each gets a time of its own.
    let lines: Vec<String> = lines
        .lines()
        .enumerate()
        .map(|(place, line)| {
            let (date, rest) = line.split_once(',').unwrap();
            format!("{date}T{:02}:{:02}:00Z,{rest},r{place}\n", 12 + place / 60, place % 60)
        })
        .collect();
    let header = format!("{header},id\n");
    let (directory, portfolio) = Directory::with_portfolio();
    let late = directory.open_portfolio("Late");
    directory.import("csv", &portfolio, format!("{header}{}", lines.concat())).ok();
    for part in [2, 0, 1] {
        let rows: String = lines.iter().skip(part).step_by(3).map(String::as_str).collect();
        directory.import("csv", &late, format!("{header}{rows}")).ok();
    }
    let of = |id: &str| {
        let mut statement = figures(directory.statement(id, &["--as-of", "2024-12-31"]));
        for line in statement["positions"].as_array_mut().unwrap() {
            line.as_object_mut().unwrap().remove("account");
        }
        without(statement, &["id", "name", "stale"])
    };
    assert_eq!(of(&portfolio), of(&late));
    directory.is_sound();
}

#[test]
fn a_day_is_that_of_the_portfolios_zone_and_splits_come_at_its_start() {
    let directory = Directory::new();
    let rows = "time,type,symbol,quantity,price,amount\n\
                2024-01-02,deposit,,,,5000\n\
                2024-01-03,buy,ACME,100,10,\n\
                2024-01-05,split,ACME,2,,\n\
                2024-01-05,sell,ACME,50,6,\n";
    // Of each zone, when the 2nd ends there, and the first instants of the 5th and of the 6th.
    for (zone, second_ends, fifth, sixth) in [
        ("Asia/Tokyo", "2024-01-02T14:59:59.999999999Z", "2024-01-04T15:00:00Z", "2024-01-05T15:00:00Z"),
        ("UTC", "2024-01-02T23:59:59.999999999Z", "2024-01-05T00:00:00Z", "2024-01-06T00:00:00Z"),
        (
            "America/New_York",
            "2024-01-03T04:59:59.999999999Z",
            "2024-01-05T05:00:00Z",
            "2024-01-06T05:00:00Z",
        ),
    ] {
        let portfolio = directory.run(&["portfolio", "open", zone, "--zone", zone]).ok().line().to_owned();
        directory.import("csv", &portfolio, rows).ok();
        let at = |moment: &str| directory.statement(&portfolio, &["--as-of", moment]);
        assert_eq!(decimal(&at(second_ends)["cash"]["USD"]), d("5000"), "{zone}");
        let before = second_ends.replace("999999999Z", "999999998Z");
        assert_eq!(decimal(&at(&before)["cash"]["USD"]), d("0"), "{zone}");
        assert_eq!(quantity(&at(fifth), "ACME"), d("200"), "{zone}: the split comes at the open");
        assert_eq!(quantity(&at("2024-01-04"), "ACME"), d("100"), "{zone}");
        assert_eq!(
            quantity(&at(sixth), "ACME"),
            d("150"),
            "{zone}: the sale without a time comes at the close"
        );
        assert_eq!(quantity(&at("2024-01-05"), "ACME"), d("150"), "{zone}");
        identity_holds(&at("2024-01-05"));
    }
    directory.is_sound();
}

#[test]
fn a_split_moves_no_equity_whatever_the_prices_were_before_it() {
    let (directory, portfolio) = Directory::with_portfolio();
    let rows = "time,type,symbol,quantity,price,amount\n\
                2024-06-03,deposit,,,,50000\n\
                2024-06-03,buy,ACME,100,398,\n\
                2024-06-10,split,ACME,4,,\n";
    directory.import("csv", &portfolio, rows).ok();
    // On the day of the split and on the two days of a weekend before it there is no price of its own.
    let prices = "date,close\n2024-06-05,400\n2024-06-06,404\n2024-06-07,404\n2024-06-11,101\n";
    directory.import_prices(prices, &["--symbol", "ACME"]).ok();
    let at = |moment: &str| {
        let statement = directory.statement(&portfolio, &["--as-of", moment]);
        identity_holds(&statement);
        (quantity(&statement, "ACME"), decimal(&statement["equity"]))
    };
    assert_eq!(at("2024-06-07"), (d("100"), d("50600")));
    assert_eq!(at("2024-06-10"), (d("400"), d("50600")), "the price before the split is not rescaled");
    assert_eq!(at("2024-06-11"), (d("400"), d("50600")));
    let service = Service::start(&directory);
    let path = format!("/v1/portfolios/{portfolio}/equity?interval=day&to=2024-06-11");
    let days = service.client().pages(&path);
    service.stop();
    let dates: Vec<&str> = days.iter().map(|day| day["date"].as_str().unwrap()).collect();
    let weekdays = ["03", "04", "05", "06", "07", "10", "11"].map(|day| format!("2024-06-{day}"));
    assert_eq!(dates, weekdays);
    for day in &days[4..] {
        assert_eq!(decimal(&day["equity"]), d("50600"), "{day}");
    }
    for day in &days[5..] {
        assert_eq!(decimal(&day["return"]), d("0"), "{day}");
    }
    let risen = decimal(&days[3]["return"]);
    assert_eq!(risen.round_dp(12), (d("50600") / d("50200") - d("1")).round_dp(12));
}

#[test]
fn transactions_as_the_service_lists_them_make_the_same_portfolio_again() {
    const COLUMNS: [&str; 24] = [
        "time",
        "type",
        "symbol",
        "quantity",
        "price",
        "amount",
        "fee",
        "currency",
        "multiplier",
        "id",
        "strategy",
        "note",
        "account",
        "effect",
        "settle",
        "fee_currency",
        "fx_rate",
        "isin",
        "mic",
        "basis",
        "acquired",
        "kind",
        "group",
        "to_symbol",
    ];
    let seed = 16_180;
    println!("seed {seed}");
    let (directory, portfolio) = Directory::with_portfolio();
    let other = directory.open_portfolio("Other");
    directory.import("csv", &portfolio, year(seed)).ok();
    let service = Service::start(&directory);
    let transactions =
        service.client().pages(&format!("/v1/portfolios/{portfolio}/transactions?as_of=2024-12-31"));
    service.stop();
    assert_eq!(transactions.len(), 161);
    let mut file = csv::Writer::from_writer(Vec::new());
    file.write_record(COLUMNS).unwrap();
    for transaction in &transactions {
        file.write_record(COLUMNS.map(|column| transaction[column].as_str().unwrap_or_default())).unwrap();
    }
    directory.import("csv", &other, file.into_inner().unwrap()).ok();
    let of = |id: &str| {
        let mut statement = figures(directory.statement(id, &["--as-of", "2024-12-31"]));
        for line in statement["positions"].as_array_mut().unwrap() {
            line.as_object_mut().unwrap().remove("account");
        }
        without(statement, &["id", "name", "stale"])
    };
    assert_eq!(of(&portfolio), of(&other));
    directory.is_sound();
}

/// A file that was imported, and what has become of it.
struct Imported {
    rows: Vec<usize>,
    id: String,
    visible: bool,
    /// Rows whose events were reversed since it became visible.
    reversed: Vec<usize>,
}

/// Imports, reverts, reverses and imports again by chance, and holds what is left against a ledger in which only that
/// ever was.
fn corrected(seed: u64) {
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let all = year(seed);
    let (header, lines) = all.split_once('\n').unwrap();
    let header = format!("{header},id\n");
    let lines: Vec<String> = lines
        .lines()
        .enumerate()
        .map(|(place, line)| {
            let (date, rest) = line.split_once(',').unwrap();
            format!("{date}T{:02}:{:02}:00Z,{rest},r{place}q\n", 12 + place / 60, place % 60)
        })
        .collect();
    let file =
        |rows: &[usize]| format!("{header}{}", rows.iter().map(|row| &*lines[*row]).collect::<String>());
    let (directory, portfolio) = Directory::with_portfolio();
    let service = Service::start(&directory);
    let client = service.client();
    let import = |rows: &[usize]| {
        let path = format!("/v1/portfolios/{portfolio}/imports");
        let answer =
            client.upload(&path, &[("format", "csv")], "rows.csv", file(rows).as_bytes()).ok().json();
        answer["import"].as_str().unwrap().to_owned()
    };
    let mut rest: Vec<usize> = (0..lines.len()).collect();
    let mut files: Vec<Imported> = Vec::new();
    for _ in 0..30 {
        let visible: Vec<usize> = (0..files.len()).filter(|at| files[*at].visible).collect();
        let gone: Vec<usize> = (0..files.len()).filter(|at| !files[*at].visible).collect();
        match random.random_range(0..6) {
            0..3 if !rest.is_empty() => {
                let count = random.random_range(1..=rest.len().min(20));
                let rows: Vec<usize> =
                    (0..count).map(|_| rest.swap_remove(random.random_range(0..rest.len()))).collect();
                let id = import(&rows);
                files.push(Imported { rows, id, visible: true, reversed: Vec::new() });
            }
            3 if !visible.is_empty() => {
                let file = &mut files[visible[random.random_range(0..visible.len())]];
                client.post(&format!("/v1/imports/{}/revert", file.id), &json!({ "reason": "wrong" })).ok();
                file.visible = false;
                file.reversed.clear();
            }
            4 if !gone.is_empty() => {
                let file = &mut files[gone[random.random_range(0..gone.len())]];
                file.id = import(&file.rows);
                file.visible = true;
            }
            5 if !visible.is_empty() => {
                let file = &mut files[visible[random.random_range(0..visible.len())]];
                let row = file.rows[random.random_range(0..file.rows.len())];
                if !file.reversed.contains(&row) {
                    let events = client.pages("/v1/events?limit=1000");
                    let mark = format!(":r{row}q#");
                    let event = events
                        .iter()
                        .rfind(|event| event["key"].as_str().is_some_and(|key| key.contains(&mark)));
                    let sequence = event.unwrap()["sequence"].as_u64().unwrap();
                    client
                        .post(&format!("/v1/events/{sequence}/reverse"), &json!({ "reason": "wrong" }))
                        .ok();
                    file.reversed.push(row);
                }
            }
            _ => {}
        }
    }
    service.stop();
    directory.is_sound();
    let mut left: Vec<usize> = Vec::new();
    for file in files.iter().filter(|file| file.visible) {
        left.extend(file.rows.iter().filter(|row| !file.reversed.contains(row)));
    }
    left.sort_unstable();
    assert!(!left.is_empty());
    let (fresh, only) = Directory::with_portfolio();
    fresh.import("csv", &only, file(&left)).ok();
    let of = |directory: &Directory, id: &str| {
        let mut statement = figures(directory.statement(id, &["--as-of", "2024-12-31"]));
        for line in statement["positions"].as_array_mut().unwrap() {
            line.as_object_mut().unwrap().remove("account");
        }
        without(statement, &["id", "stale", "unaccounted", "incomplete_history"])
    };
    assert_eq!(of(&directory, &portfolio), of(&fresh, &only));
}

#[test]
fn whatever_was_corrected_what_is_left_is_as_if_only_that_had_been() {
    for seed in [3, 1_415, 92_653] {
        corrected(seed);
    }
}

#[test]
fn a_figure_that_cannot_be_known_is_absent_with_its_reason() {
    let (directory, portfolio) = Directory::with_portfolio();
    let rows = "time,type,symbol,quantity,price,amount,currency,basis\n\
                2024-01-02,deposit,,,,5000,,\n\
                2024-01-03,transfer_in,ACME,10,,,,400\n\
                2024-01-04,deposit,,,,100,EUR,\n";
    directory.import("csv", &portfolio, rows).ok();
    let statement = directory.statement(&portfolio, &["--as-of", "2024-01-05"]);
    assert_eq!(statement["complete"], false);
    assert_eq!(statement["cash"], json!({ "USD": "5000", "EUR": "100" }));
    let missing = statement["missing"].as_object().unwrap();
    for name in ["equity", "market_value", "net_contributions"] {
        assert!(statement.get(name).is_none(), "{name} is there and cannot be known: {statement:#}");
        let reason = missing
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no reason for {name}: {statement:#}"));
        assert!(reason.len() > 10, "{reason}");
    }
    for (name, value) in statement.as_object().unwrap() {
        assert!(!value.is_null(), "{name} is null rather than absent");
    }
}
