//! Imports end to end: each row once however often its file comes, refused or kept aside with the reason, and taken
//! back whole.

use crate::support::{Directory, Service, d, decimal, figures, identity_holds, position, strace, without};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::fmt::Write as _;

const HEADER: &str = "time,type,symbol,quantity,price,amount,fee,note\n";
const TRADES: [&str; 4] = [
    "2024-01-02,deposit,,,,10000,,\n",
    "2024-01-03,buy,ACME,100,10,,1,first\n",
    "2024-02-01,dividend,ACME,,,25,,\n",
    "2024-03-04,sell,ACME,40,12.50,,1,\n",
];
const CLOSE: &str = "date,symbol,close\n2024-03-28,ACME,12.75\n2024-04-01,ACME,13\n";

const SCHWAB: &str = r#""Date","Action","Symbol","Description","Quantity","Price","Fees & Comm","Amount"
"03/15/2024","Sell","ACME","ACME CORP","40","$12.50","$1.00","$499.00"
"03/01/2024","Cash Dividend","ACME","ACME CORP","","","","$25.00"
"02/15/2024 as of 02/14/2024","Credit Interest","","SCHWAB1 INT 01/30-02/14","","","","$0.42"
"02/01/2024","Buy","ACME","ACME CORP","100","$10.00","$1.00","-$1001.00"
"01/31/2024","MoneyLink Transfer","","Tfr BANK","","","","$5000.00"
"Transactions Total","","","","","","","$4523.42"
"#;

fn file(rows: &[&str]) -> String {
    format!("{HEADER}{}", rows.concat())
}

/// A statement without what names sequences: those differ between two recordings of the same.
fn state(statement: Value) -> Value {
    without(figures(statement), &["unaccounted", "warnings"])
}

fn cash(statement: &Value) -> Decimal {
    decimal(&statement["cash"]["USD"])
}

/// How many events of each type there are.
fn count(events: &[Value], name: &str) -> usize {
    events.iter().filter(|event| event["type"] == name).count()
}

#[test]
fn a_generic_csv_becomes_the_statement_that_its_rows_add_up_to() {
    let (directory, portfolio) = Directory::with_portfolio();
    directory.import("csv", &portfolio, file(&TRADES)).ok();
    directory.import_prices(CLOSE, &[]).ok();
    let statement = directory.statement(&portfolio, &["--as-of", "2024-04-01"]);
    let expected = [
        ("realised", d("98.6")),
        ("unrealised", d("179.4")),
        ("income", d("25")),
        ("costs", d("0")),
        ("fx", d("0")),
        ("transferred_gain", d("0")),
        ("unaccounted_cash", d("0")),
        ("net_contributions", d("10000")),
        ("market_value", d("780")),
        ("equity", d("10303")),
        ("trade_fees", d("2")),
        ("taxes", d("0")),
    ];
    for (name, figure) in expected {
        assert_eq!(decimal(&statement[name]), figure, "{name} in {statement:#}");
    }
    assert_eq!(cash(&statement), d("9523"));
    assert_eq!(statement["complete"], true, "{statement:#}");
    let acme = position(&statement, "ACME");
    for (name, figure) in
        [("quantity", d("60")), ("basis", d("600.6")), ("price", d("13")), ("market_value", d("780"))]
    {
        assert_eq!(decimal(&acme[name]), figure, "{name} in {acme:#}");
    }
    identity_holds(&statement);
    directory.is_sound();
}

#[test]
fn columns_may_come_in_any_order_with_a_mark_and_carriage_returns() {
    let (directory, portfolio) = Directory::with_portfolio();
    let other = directory.open_portfolio("Other");
    directory.import("csv", &portfolio, file(&TRADES)).ok();
    let turned = "\u{feff}note,amount,type,price,fee,time,symbol,quantity\r\n\
                  ,10000,deposit,,,2024-01-02,,\r\n\
                  first,,buy,10,1,2024-01-03,ACME,100\r\n\
                  ,25,dividend,,,2024-02-01,ACME,\r\n\
                  ,,sell,12.50,1,2024-03-04,ACME,40\r\n";
    directory.import("csv", &other, turned).ok();
    let told = |id: &str| {
        without(
            state(directory.statement(id, &["--as-of", "2024-04-01"])),
            &["id", "name", "positions", "stale"],
        )
    };
    assert_eq!(told(&portfolio), told(&other));
}

#[test]
fn a_file_that_is_newest_first_means_the_same_as_oldest_first() {
    let (directory, portfolio) = Directory::with_portfolio();
    let other = directory.open_portfolio("Other");
    let rows = [
        "2024-01-02,deposit,,,,10000,,\n",
        "2024-01-03,buy,ACME,100,10,,1,\n",
        "2024-01-03,sell,ACME,100,11,,1,\n",
        "2024-01-03,buy,ACME,50,10.50,,1,\n",
        "2024-01-04,sell,ACME,20,12,,1,\n",
    ];
    let backwards: Vec<&str> = rows.iter().rev().copied().collect();
    directory.import("csv", &portfolio, file(&rows)).ok();
    directory.import("csv", &other, file(&backwards)).ok();
    let told = |id: &str| {
        let statement = directory.statement(id, &["--as-of", "2024-01-31"]);
        (decimal(&statement["realised"]), decimal(&position(&statement, "ACME")["basis"]), cash(&statement))
    };
    assert_eq!(told(&portfolio), told(&other));
    assert_eq!(told(&portfolio).1, d("315.6"));
}

#[test]
fn a_dry_run_says_what_it_would_do_and_adds_nothing() {
    let (directory, portfolio) = Directory::with_portfolio();
    let before = directory.events();
    let trades = directory.write("trades.csv", file(&TRADES));
    let dry = directory.run(&["import", "csv", &trades, "--portfolio", &portfolio, "--dry-run"]).ok();
    assert_eq!(dry.stdout, "", "a dry run made an import");
    dry.says(&["4 rows", "TradeExecuted", "WOULD BE"]);
    directory.import_prices(CLOSE, &["--dry-run"]).ok().says(&["2 rows", "BarClosed"]);
    let schwab = directory.write("schwab.csv", SCHWAB);
    directory.run(&["import", "schwab", &schwab, "--portfolio", &portfolio, "--dry-run"]).ok();
    assert_eq!(directory.events(), before);
    assert_eq!(directory.run(&["import", "list", "--format", "json"]).ok().json()["items"], json!([]));
}

#[test]
fn the_same_file_twice_adds_nothing() {
    let (directory, portfolio) = Directory::with_portfolio();
    for (format, contents) in [("csv", file(&TRADES)), ("schwab", SCHWAB.to_owned())] {
        let first = directory.import(format, &portfolio, &contents).ok().import_id();
        let before = directory.events();
        let again = directory.import(format, &portfolio, &contents).ok();
        assert_eq!(again.import_id(), first, "the import that holds the rows is another");
        again.says(&["known already", "nothing new"]);
        // Under another name, too: what counts is what the file says.
        let renamed = directory.write("renamed.csv", &contents);
        directory.run(&["import", format, &renamed, "--portfolio", &portfolio]).ok();
        assert_eq!(directory.events(), before);
    }
    directory.import_prices(CLOSE, &[]).ok();
    let before = directory.events();
    directory.import_prices(CLOSE, &[]).ok().says(&["nothing new"]);
    assert_eq!(directory.events(), before);
}

#[test]
fn files_that_overlap_count_each_row_once() {
    let (directory, portfolio) = Directory::with_portfolio();
    let whole = directory.open_portfolio("Whole");
    directory.import("csv", &portfolio, file(&TRADES[..3])).ok();
    let ran = directory.import("csv", &portfolio, file(&TRADES[1..])).ok().says(&["2 known already"]);
    assert_eq!(ran.import_id().len(), 26);
    directory.import("csv", &whole, file(&TRADES)).ok();
    let told = |id: &str| without(state(directory.statement(id, &[])), &["id", "name", "positions", "stale"]);
    assert_eq!(told(&portfolio), told(&whole));
}

#[test]
fn equal_rows_of_one_file_all_count_and_come_out_right_in_files_that_overlap() {
    let (directory, portfolio) = Directory::with_portfolio();
    let fee = "2024-01-05,fee,,,,-26.58,,\n";
    directory.import("csv", &portfolio, file(&[TRADES[0], fee, fee])).ok();
    assert_eq!(cash(&directory.statement(&portfolio, &[])), d("9946.84"));
    // A later file shows the day in full: one of its three is new.
    directory.import("csv", &portfolio, file(&[fee, fee, fee])).ok().says(&["2 known already"]);
    assert_eq!(cash(&directory.statement(&portfolio, &[])), d("9920.26"));
    // And an earlier part of it once more brings nothing.
    directory.import("csv", &portfolio, file(&[fee])).ok().says(&["nothing new"]);
    assert_eq!(cash(&directory.statement(&portfolio, &[])), d("9920.26"));
    assert_eq!(count(&directory.events(), "FeePosted"), 3);

    let other = directory.open_portfolio("Schwab");
    let row = "\"01/05/2024\",\"Advisor Fee\",\"\",\"ADVISOR FEE\",\"\",\"\",\"\",\"-$26.58\"\n";
    let header =
        "\"Date\",\"Action\",\"Symbol\",\"Description\",\"Quantity\",\"Price\",\"Fees & Comm\",\"Amount\"\n";
    directory.import("schwab", &other, format!("{header}{row}{row}")).ok();
    directory.import("schwab", &other, format!("{header}{row}{row}{row}")).ok();
    assert_eq!(cash(&directory.statement(&other, &[])), d("-79.74"));
}

#[test]
fn an_id_is_the_identity_of_its_row_whatever_the_file() {
    let (directory, portfolio) = Directory::with_portfolio();
    let header = "time,type,amount,id\n";
    directory
        .import("csv", &portfolio, format!("{header}2024-01-02,deposit,10,a\n2024-01-02,deposit,10,b\n"))
        .ok();
    directory
        .import("csv", &portfolio, format!("{header}2024-01-02,deposit,10,b\n2024-01-02,deposit,10,c\n"))
        .ok();
    assert_eq!(cash(&directory.statement(&portfolio, &[])), d("30"));
    let head = directory.head();
    // Another content under a known id is a contradiction, and nothing of its file is recorded.
    let contradiction = format!("{header}2024-01-09,deposit,5,d\n2024-01-02,deposit,11,a\n");
    directory.import("csv", &portfolio, contradiction).refuses(&["csv.csv:3", "id"]);
    let within = format!("{header}2024-01-09,deposit,5,d\n2024-01-09,deposit,6,d\n");
    directory.import("csv", &portfolio, within).refuses(&["csv.csv", "3", "id"]);
    assert_eq!(directory.head(), head);
    // An id belongs to its portfolio.
    let other = directory.open_portfolio("Other");
    directory.import("csv", &other, format!("{header}2024-01-02,deposit,11,a\n")).ok();
    assert_eq!(cash(&directory.statement(&other, &[])), d("11"));
}

#[test]
fn a_reverted_import_never_happened_and_can_come_again() {
    let (directory, portfolio) = Directory::with_portfolio();
    for (format, contents) in [("csv", file(&TRADES)), ("schwab", SCHWAB.to_owned())] {
        let empty = state(directory.statement(&portfolio, &["--as-of", "2024-12-31"]));
        let first = directory.import(format, &portfolio, &contents).ok().import_id();
        let with = state(directory.statement(&portfolio, &["--as-of", "2024-12-31"]));
        assert_ne!(with, empty);
        directory.run(&["import", "revert", &first, "--reason", "wrong account"]).ok();
        assert_eq!(state(directory.statement(&portfolio, &["--as-of", "2024-12-31"])), empty);
        directory.run(&["import", "revert", &first]).refuses(&[&first, "already"]);
        for _ in 0..2 {
            let again = directory.import(format, &portfolio, &contents).ok().import_id();
            assert_ne!(again, first);
            assert_eq!(state(directory.statement(&portfolio, &["--as-of", "2024-12-31"])), with);
            // What came again is known like anything else.
            directory.import(format, &portfolio, &contents).ok().says(&["nothing new"]);
            directory.run(&["import", "revert", &again]).ok();
            assert_eq!(state(directory.statement(&portfolio, &["--as-of", "2024-12-31"])), empty);
        }
        directory.is_sound();
    }
    let list = directory.run(&["import", "list", "--format", "json"]).ok().json();
    let states: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["state"].clone()).collect();
    assert_eq!(states, vec![json!("reverted"); 6]);
}

#[test]
fn rows_of_a_reverted_import_come_back_with_any_file_that_has_them() {
    let (directory, portfolio) = Directory::with_portfolio();
    let first = directory.import("csv", &portfolio, file(&TRADES[..3])).ok().import_id();
    directory.import("csv", &portfolio, file(&TRADES[2..])).ok();
    directory.run(&["import", "revert", &first]).ok();
    // Only the sale is left, which without its purchase is a short.
    assert_eq!(decimal(&position(&directory.statement(&portfolio, &[]), "ACME")["quantity"]), d("-40"));
    directory.import("csv", &portfolio, file(&TRADES)).ok().says(&["1 known already"]);
    let statement = directory.statement(&portfolio, &[]);
    assert_eq!((cash(&statement), decimal(&position(&statement, "ACME")["quantity"])), (d("9523"), d("60")));
    directory.is_sound();
}

#[test]
fn one_bad_row_refuses_the_whole_csv() {
    let (directory, portfolio) = Directory::with_portfolio();
    let head = directory.head();
    let bad = file(&[TRADES[0], TRADES[1], "2024-02-30,dividend,ACME,,,25,,\n", TRADES[3]]);
    directory.import("csv", &portfolio, bad).refuses(&["csv.csv:4", "time", "2024-02-30"]);
    let several = file(&["2024-01-02,deposit,,,,-5,,\n", TRADES[1], "2024-02-01,dividend,,,,25,,\n"]);
    directory.import("csv", &portfolio, several).refuses(&["csv.csv:2", "amount", "csv.csv:4", "symbol"]);
    assert_eq!(directory.head(), head);
    assert_eq!(cash(&directory.statement(&portfolio, &[])), d("0"));
}

#[test]
fn of_several_files_none_is_imported_if_one_cannot_be_read() {
    let (directory, portfolio) = Directory::with_portfolio();
    let good = directory.write("good.csv", file(&TRADES));
    let missing = directory.path("missing.csv");
    directory.run(&["import", "csv", &good, &missing, "--portfolio", &portfolio]).refuses(&["missing.csv"]);
    assert_eq!(directory.head(), 1);
    let more = directory.write("more.csv", file(&["2024-05-01,deposit,,,,5,,\n"]));
    let ran = directory.run(&["import", "csv", &good, &more, "--portfolio", &portfolio]).ok();
    assert_eq!(ran.stdout.lines().count(), 2, "{ran}");
    assert_eq!(cash(&directory.statement(&portfolio, &[])), d("9528"));
}

#[test]
fn a_schwab_history_becomes_events_of_the_right_types() {
    let (directory, portfolio) = Directory::with_portfolio();
    let id =
        directory.import("schwab", &portfolio, SCHWAB).ok().says(&["5 rows", "0 quarantined"]).import_id();
    let events = directory.events();
    for (name, expected) in [
        ("TradeExecuted", 2),
        ("DividendPosted", 1),
        ("InterestPosted", 1),
        ("CashTransferred", 1),
        ("RecordQuarantined", 0),
        ("FileImported", 1),
    ] {
        assert_eq!(count(&events, name), expected, "{name}");
    }
    let imported: Vec<_> = events.iter().filter(|event| event["import"] == *id).collect();
    assert_eq!(imported.len(), 6);
    let statement = directory.statement(&portfolio, &["--as-of", "2024-03-31"]);
    assert_eq!(cash(&statement), d("4523.42"));
    assert_eq!(decimal(&statement["realised"]), d("98.6"));
    assert_eq!(decimal(&statement["income"]), d("25.42"));
    assert_eq!(decimal(&statement["net_contributions"]), d("5000"));
    assert_eq!(decimal(&position(&statement, "ACME")["quantity"]), d("60"));
    identity_holds(&statement);
    directory.is_sound();
}

#[test]
fn a_brokers_row_that_cannot_be_understood_is_kept_aside_with_its_reason_and_the_rest_goes_on() {
    let (directory, portfolio) = Directory::with_portfolio();
    let odd = "\"01/30/2024\",\"Frobnicate\",\"ACME\",\"ACME CORP\",\"1\",\"$1.00\",\"\",\"$1.00\"\n\
               \"01/29/2024\",\"Buy\",\"ACME\",\"ACME CORP\",\"a few\",\"$10.00\",\"\",\"-$10.00\"\n\
               \"13/45/2024\",\"Sell\",\"ACME\",\"ACME CORP\",\"1\",\"$10.00\",\"\",\"$10.00\"\n";
    let contents = SCHWAB.replace("\"Transactions Total\"", &format!("{odd}\"Transactions Total\""));
    let ran = directory.import("schwab", &portfolio, &contents).ok();
    let ran = ran.says(&[
        "3 quarantined",
        "schwab.csv:7",
        "Frobnicate",
        "schwab.csv:8",
        "a few",
        "schwab.csv:9",
        "13/45/2024",
    ]);
    let events = directory.events();
    assert_eq!((count(&events, "RecordQuarantined"), count(&events, "TradeExecuted")), (3, 2));
    assert_eq!(cash(&directory.statement(&portfolio, &["--as-of", "2024-03-31"])), d("4523.42"));
    let list = directory.run(&["import", "list", "--format", "json"]).ok().json();
    assert_eq!(list["items"][0]["quarantined"], 3);
    let service = Service::start(&directory);
    let quarantine = service.client().pages("/v1/quarantine");
    assert_eq!(quarantine.len(), 3);
    service.stop();
    // They are kept aside once, and are gone with their import.
    let head = directory.head();
    directory.import("schwab", &portfolio, &contents).ok();
    assert_eq!(directory.head(), head);
    directory.run(&["import", "revert", &ran.import_id()]).ok();
    let service = Service::start(&directory);
    assert_eq!(service.client().pages("/v1/quarantine"), Vec::<Value>::new());
    service.stop();
}

const SPLIT_ADJUSTED: &str = "date,close,volume,split\n\
                              2024-06-05,100,400,\n\
                              2024-06-06,102,440,\n\
                              2024-06-07,103,420,\n\
                              2024-06-10,104,410,4\n\
                              2024-06-11,101,390,\n";
const AS_TRADED: &str = "date,close,volume,split\n\
                         2024-06-05,400,100,\n\
                         2024-06-06,408,110,\n\
                         2024-06-07,412,105,\n\
                         2024-06-10,104,410,4\n\
                         2024-06-11,101,390,\n";

/// The daily closes and volumes of a symbol, as the service lists them.
fn bars(directory: &Directory, symbol: &str) -> Vec<(String, Decimal, Decimal)> {
    let service = Service::start(directory);
    let bars = service.client().pages(&format!("/v1/prices/{symbol}"));
    service.stop();
    let bar = |bar: &Value| {
        (bar["date"].as_str().unwrap().to_owned(), decimal(&bar["close"]), decimal(&bar["volume"]))
    };
    bars.iter().map(bar).collect()
}

#[test]
fn prices_adjusted_for_splits_are_recorded_as_traded_exactly() {
    let directory = Directory::new();
    directory.import_prices(SPLIT_ADJUSTED, &["--symbol", "ACME", "--adjusted", "splits"]).ok();
    directory.import_prices(AS_TRADED, &["--symbol", "RAWC"]).ok();
    let adjusted = bars(&directory, "ACME");
    assert_eq!(adjusted, bars(&directory, "RAWC"));
    assert_eq!(adjusted[0], ("2024-06-05".to_owned(), d("400"), d("100")));
    assert_eq!(adjusted[4], ("2024-06-11".to_owned(), d("101"), d("390")));
}

#[test]
fn adjusted_prices_imported_as_traded_are_warned_of_and_true_ones_are_not() {
    let directory = Directory::new();
    directory
        .import_prices(SPLIT_ADJUSTED, &["--symbol", "ACME"])
        .ok()
        .says(&["warning", "--adjusted splits"]);
    let quiet = directory.import_prices(AS_TRADED, &["--symbol", "RAWC"]).ok();
    assert!(!quiet.stderr.contains("warning"), "{quiet}");
}

#[test]
fn a_close_stated_again_supersedes_and_what_was_known_before_stays() {
    let (directory, portfolio) = Directory::with_portfolio();
    directory.import("csv", &portfolio, file(&TRADES)).ok();
    directory.import_prices("date,symbol,close\n2024-04-01,ACME,13\n", &[]).ok();
    let before = directory.head().to_string();
    directory.import_prices("date,symbol,close\n2024-04-01,ACME,14\n", &[]).ok();
    let price = |more: &[&str]| {
        let statement = directory.statement(&portfolio, &[&["--as-of", "2024-04-01"], more].concat());
        decimal(&position(&statement, "ACME")["price"])
    };
    assert_eq!(price(&[]), d("14"));
    assert_eq!(price(&["--at-sequence", &before]), d("13"));
    // And the day before it occurred, neither is seen: the last fill is.
    let earlier = directory.statement(&portfolio, &["--as-of", "2024-03-31"]);
    assert_eq!(decimal(&position(&earlier, "ACME")["price"]), d("12.5"));
}

#[test]
fn a_reverted_import_of_prices_no_longer_counts() {
    let (directory, portfolio) = Directory::with_portfolio();
    directory.import("csv", &portfolio, file(&TRADES)).ok();
    let import = directory.import_prices(CLOSE, &[]).ok().import_id();
    let price =
        || decimal(&position(&directory.statement(&portfolio, &["--as-of", "2024-04-01"]), "ACME")["price"]);
    assert_eq!(price(), d("13"));
    directory.run(&["import", "revert", &import]).ok();
    assert_eq!(price(), d("12.5"));
    directory.import_prices(CLOSE, &[]).ok();
    assert_eq!(price(), d("13"));
}

#[test]
fn a_daily_bar_is_not_seen_before_its_venue_closed() {
    let (directory, portfolio) = Directory::with_portfolio();
    directory.import("csv", &portfolio, file(&TRADES)).ok();
    directory.import_prices(CLOSE, &[]).ok();
    let price =
        |at: &str| decimal(&position(&directory.statement(&portfolio, &["--as-of", at]), "ACME")["price"]);
    // On the first of April New York closes at 20:00 UTC.
    assert_eq!(price("2024-04-01T19:59:59Z"), d("12.75"));
    assert_eq!(price("2024-04-01T20:00:00Z"), d("13"));
    assert_eq!(price("2024-03-31"), d("12.75"));
}

/// A csv of so many deposits of one cent.
fn deposits(rows: usize) -> String {
    let mut contents = String::from("time,type,amount,id\n");
    for row in 0..rows {
        writeln!(contents, "2024-01-02,deposit,0.01,{row}").unwrap();
    }
    contents
}

#[test]
fn an_import_killed_between_its_commits_leaves_nothing_visible_and_can_be_made_again() {
    const ROWS: usize = 1_500;
    // A commit takes a part of a segment, so that small segments make many commits of few rows.
    let directory = Directory::new().with_segments(256 << 10);
    let portfolio = directory.open_portfolio("Trading");
    directory.import("csv", &portfolio, file(&TRADES)).ok();
    let before = state(directory.statement(&portfolio, &[]));
    let contents = directory.write("deposits.csv", deposits(ROWS));
    let arguments = ["import", "csv", &contents, "--portfolio", &portfolio];
    let mut halves = 0;
    // The import is killed as it is about to sync for the first, second… time, until it gets through.
    for nth in 1..40 {
        let kill = format!("inject=fdatasync:signal=KILL:when={nth}");
        let options = ["-e", "trace=fdatasync", "-e", &kill];
        let Some(mut command) = strace(&directory, &options, &arguments, &directory.path("trace")) else {
            println!("skipped: strace cannot be used here");
            return;
        };
        let output = command.output().unwrap();
        if output.status.success() {
            break;
        }
        let events = directory.events();
        let brought = events.iter().filter(|event| event["import"] != Value::Null).count() - 5;
        if count(&events, "FileImported") == 1 {
            halves += usize::from(brought > 0);
            assert_eq!(state(directory.statement(&portfolio, &[])), before, "after dying at sync {nth}");
        } else {
            // It was done and died as it was closing.
            assert_eq!(brought, ROWS + 1);
        }
        directory.is_sound();
    }
    assert!(halves > 0, "no kill fell between two commits");
    let statement = directory.statement(&portfolio, &[]);
    assert_eq!(cash(&statement), d("9523") + Decimal::new(i64::try_from(ROWS).unwrap(), 2));
    directory.run(&arguments).ok().says(&["nothing new"]);
    directory.is_sound();
}
