//! The command line: exit codes, what goes to which stream, and the same result with and without a service.

use crate::support::{Directory, Ran, Service, figures, without};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

const TRADES: &str = "time,type,symbol,quantity,price,amount,fee,note\n\
                      2024-01-02,deposit,,,,10000,,\n\
                      2024-01-03,buy,ACME,100,10,,1,first\n\
                      2024-02-01,dividend,ACME,,,25,,\n\
                      2024-03-04,sell,ACME,40,12.50,,1,\n";

const PRICES: &str = "date,open,high,low,close,volume\n\
                      2024-03-28,12,13,11.5,12.75,1000\n\
                      2024-04-01,12.8,13.1,12.6,13,900\n";

#[test]
fn opening_a_portfolio_prints_its_id_alone_on_a_line() {
    let directory = Directory::new();
    let ran = directory.run(&["portfolio", "open", "Long term"]).ok();
    let id = ran.line();
    assert_eq!(id.len(), 26);
    assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{id}");
    assert_eq!(ran.stdout, format!("{id}\n"));
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_portfolio_has_the_promised_defaults_unless_told_otherwise() {
    let directory = Directory::new();
    let usual = directory.open_portfolio("Usual");
    let other =
        ["portfolio", "open", "Other", "--currency", "EUR", "--zone", "Europe/Berlin", "--calendar", "daily"];
    let other = directory.run(&[&other[..], &["--lots", "fifo"]].concat()).ok().line().to_owned();
    let list = directory.run(&["portfolio", "list", "--format", "json"]).ok().json();
    assert_eq!(list["next"], Value::Null);
    let facts = |id: &str| {
        let item = list["items"].as_array().unwrap().iter().find(|item| item["id"] == id).unwrap();
        ["name", "currency", "lots", "zone", "calendar"].map(|key| item[key].as_str().unwrap().to_owned())
    };
    assert_eq!(facts(&usual), ["Usual", "USD", "fifo", "America/New_York", "weekdays"]);
    assert_eq!(facts(&other), ["Other", "EUR", "fifo", "Europe/Berlin", "daily"]);
    let text = directory.run(&["portfolio", "list"]).ok();
    assert!(text.stdout.contains(&usual) && text.stdout.contains("Europe/Berlin"), "{text}");
}

#[test]
fn a_portfolio_that_cannot_be_opened_names_the_option_and_what_it_takes() {
    let directory = Directory::new();
    for (arguments, said) in [
        (&["--currency", "XXY"][..], "currency"),
        (&["--lots", "random"], "fifo"),
        (&["--zone", "Mars/Olympus"], "zone"),
        (&["--calendar", "lunar"], "weekdays"),
    ] {
        directory.run(&[&["portfolio", "open", "A"], arguments].concat()).refuses(&[said]);
    }
    directory.run(&["portfolio", "open", ""]).refuses(&["name"]);
    directory.run(&["portfolio", "open", "two\nlines"]).refuses(&["name"]);
    directory.run(&["portfolio", "open"]).refuses(&["NAME"]);
}

#[test]
fn what_was_not_understood_ends_with_2_and_leaves_stdout_empty() {
    let directory = Directory::new();
    directory.run(&["fly"]).refuses(&["fly"]);
    directory.run(&["import", "quicken", "x.csv", "--portfolio", "p"]).refuses(&["quicken"]);
    directory.run(&["replay", "--format", "xml"]).refuses(&["xml"]);
    directory.run(&["export", "pdf"]).refuses(&["pdf"]);
    directory.run(&["portfolio", "open", "A", "--colour", "red"]).refuses(&["--colour"]);
    assert!(!directory.data().exists(), "a refused command made a ledger");
}

#[test]
fn help_and_version_are_results() {
    let directory = Directory::new();
    let help = directory.run(&["--help"]).ok();
    for command in ["serve", "portfolio", "import", "replay", "verify", "export", "token"] {
        assert!(help.stdout.contains(command), "{command} is not in: {help}");
    }
    let version = directory.run(&["--version"]).ok();
    assert_eq!(version.line(), format!("daybook {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn formats_that_are_promised_for_later_say_so() {
    let (directory, portfolio) = Directory::with_portfolio();
    let file = directory.write("file.csv", "a,b\n");
    directory.run(&["import", "ibkr", &file, "--portfolio", &portfolio]).refuses(&["ibkr", "yet"]);
    for format in ["csv", "parquet", "beancount", "hledger"] {
        directory.run(&["export", format]).refuses(&[format, "yet"]);
    }
    assert_eq!(directory.head(), 1);
}

#[test]
fn commands_that_only_read_make_no_ledger_where_there_is_none() {
    let directory = Directory::new();
    for arguments in [
        &["portfolio", "list"][..],
        &["import", "list"],
        &["import", "revert", "00000000000000000000000001"],
        &["replay"],
        &["replay", "--check"],
        &["verify"],
        &["export", "jsonl"],
        &["token", "list"],
        &["token", "revoke", "00000000000000000000000001"],
    ] {
        directory.run(arguments).refuses(&["no ledger", "data"]);
        assert!(!directory.data().exists(), "{arguments:?} made something");
    }
}

#[test]
fn the_directory_comes_from_the_option_then_the_environment_then_the_default() {
    let directory = Directory::new();
    let list = |command: std::process::Command| {
        let ran = Ran::of(command).ok();
        ran.json()["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let open = |name: &str, data: Option<&str>, option: &[&str]| {
        let mut command = directory.bare(&[&["portfolio", "open", name], option].concat());
        if let Some(data) = data {
            command.env("DAYBOOK_DATA", data);
        }
        Ran::of(command).ok();
    };
    let (one, two) = (directory.path("one"), directory.path("two"));
    open("by environment", Some(&one), &[]);
    open("by option", Some(&one), &["--data", &two]);
    open("by default", None, &[]);
    for (data, name) in
        [(&one, "by environment"), (&two, "by option"), (&directory.path("daybook-data"), "by default")]
    {
        let mut command = directory.bare(&["portfolio", "list", "--format", "json"]);
        command.env("DAYBOOK_DATA", data);
        assert_eq!(list(command), [name]);
    }
}

#[test]
fn an_import_prints_its_id_last_on_stdout_and_all_else_on_stderr() {
    let (directory, portfolio) = Directory::with_portfolio();
    let ran = directory.import("csv", &portfolio, TRADES).ok();
    assert_eq!(ran.stdout, format!("import {}\n", ran.import_id()));
    let ran = ran.says(&["4 rows", "TradeExecuted", "CashTransferred", "DividendPosted"]);
    let list = directory.run(&["import", "list", "--format", "json"]).ok().json();
    assert_eq!(list["items"][0]["id"], ran.import_id());
}

#[test]
fn nothing_moves_on_stderr_when_it_is_a_pipe() {
    let (directory, portfolio) = Directory::with_portfolio();
    let mut rows = String::from("time,type,amount\n");
    for cents in 0..3_000 {
        writeln!(rows, "2024-01-02,deposit,{}.{:02}", 1 + cents / 100, cents % 100).unwrap();
    }
    for ran in [
        directory.import("csv", &portfolio, rows).ok(),
        directory.run(&["verify"]).ok(),
        directory.run(&["replay", "--check"]).ok(),
        directory.run(&["export", "jsonl"]).ok(),
    ] {
        assert!(!ran.stderr.contains(['\r', '\u{1b}', '█']), "a progress bar in a pipe: {:?}", ran.stderr);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let (directory, portfolio) = Directory::with_portfolio();
    let mut rows = String::from("time,type,amount\n");
    for cents in 0..2_000 {
        writeln!(rows, "2024-01-02,deposit,{}.{:02}", 1 + cents / 100, cents % 100).unwrap();
    }
    directory.import("csv", &portfolio, rows).ok();
    let mut command = directory.command(&["export", "jsonl"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    // The pipe holds far less than the export, so that the writer must notice.
    BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    assert_eq!(said, "");
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap()["sequence"], 1);
}

#[test]
fn a_held_directory_is_said_in_one_line_that_names_the_way_through_the_service() {
    let (directory, portfolio) = Directory::with_portfolio();
    let import = directory.import("csv", &portfolio, TRADES).ok().import_id();
    let file = directory.write("late.csv", TRADES);
    let service = Service::start(&directory);
    let before = service.client().head();
    for arguments in [
        &["portfolio", "list"][..],
        &["portfolio", "open", "Another"],
        &["import", "csv", &file, "--portfolio", &portfolio],
        &["import", "prices", &file, "--symbol", "ACME"],
        &["import", "list"],
        &["import", "revert", &import],
        &["replay"],
        &["replay", "--check"],
        &["replay", "--portfolio", &portfolio, "--format", "json"],
        &["verify"],
        &["export", "jsonl"],
        &["token", "issue", "--role", "auditor"],
        &["token", "list"],
        &["token", "revoke", &import],
        &["serve", "--listen", "127.0.0.1:0"],
    ] {
        let ran = directory.run(arguments).refuses(&["--server URL"]);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran}");
    }
    assert_eq!(service.client().head(), before);
    service.stop();
}

#[test]
fn a_port_in_use_is_said_and_leaves_no_ledger_behind() {
    let directory = Directory::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    directory.run(&["serve", "--listen", &address]).refuses(&[&address]);
    assert!(!directory.data().exists());
    directory.run(&["serve", "--server", "http://127.0.0.1:1"]).refuses(&["serve", "--server"]);
}

/// A statement without the names in it, the keys of which stay with the directory.
fn nameless(mut statement: Value) -> Value {
    for position in statement["positions"].as_array_mut().unwrap() {
        position.as_object_mut().unwrap().remove("account_name");
    }
    without(statement, &["name"])
}

#[test]
fn each_command_through_a_service_has_the_result_that_it_has_at_the_directory() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let (url, token) = (service.url.clone(), service.token.clone());
    let through = |arguments: &[&str]| directory.run_through(&url, &token, arguments);

    // What is written through the service prints what it prints at the directory.
    let opened = through(&["portfolio", "open", "Through", "--calendar", "daily"]).ok();
    let portfolio = opened.line().to_owned();
    assert_eq!((portfolio.len(), &*opened.stderr), (26, ""));
    let (trades, prices) = (directory.write("trades.csv", TRADES), directory.write("prices.csv", PRICES));
    let dry = through(&["import", "csv", &trades, "--portfolio", &portfolio, "--dry-run"]).ok();
    assert_eq!(dry.stdout, "");
    let import =
        through(&["import", "csv", &trades, "--portfolio", &portfolio]).ok().says(&["4 rows"]).import_id();
    through(&["import", "prices", &prices, "--symbol", "ACME"]).ok().says(&["2 rows"]).import_id();
    let issued = through(&["token", "issue", "--role", "auditor", "--subject", "A. Uditor"]).ok();
    let auditor = issued.line().to_owned();
    // Stopping records that the token was used today, which nothing that follows has to.
    service.stop();

    // What is read through it is the same to the byte.
    let service = Service::start(&directory);
    let (url, token) = (service.url.clone(), service.token.clone());
    let through = |arguments: &[&str]| directory.run_through(&url, &token, arguments);
    let reads: [&[&str]; 8] = [
        &["portfolio", "list"],
        &["portfolio", "list", "--format", "json"],
        &["import", "list"],
        &["import", "list", "--format", "json"],
        &["token", "list", "--format", "json"],
        &["replay", "--portfolio", &portfolio, "--format", "csv", "--as-of", "2024-04-30"],
        &["export", "jsonl"],
        &["export", "jsonl", "--portfolio", &portfolio],
    ];
    let statement = ["replay", "--portfolio", &portfolio, "--format", "json", "--as-of", "2024-04-30"];
    let told = through(&statement).ok().json();
    let there: Vec<String> = reads.iter().map(|arguments| through(arguments).ok().stdout).collect();
    through(&["verify"]).ok();
    through(&["replay", "--check"]).ok();
    service.stop();
    for (arguments, there) in reads.iter().zip(&there) {
        let here = directory.run(arguments).ok().stdout;
        assert!(!here.is_empty());
        assert_eq!(&here, there, "{arguments:?} differs");
    }
    assert_eq!(nameless(directory.run(&statement).ok().json()), nameless(told));
    directory.is_sound();

    // Reverting and revoking through it do what they do at the directory.
    let service = Service::start(&directory);
    let (url, token) = (service.url.clone(), service.token.clone());
    let through = |arguments: &[&str]| directory.run_through(&url, &token, arguments);
    through(&["import", "revert", &import]).ok();
    let tokens = through(&["token", "list", "--format", "json"]).ok().json();
    let auditors = tokens["items"].as_array().unwrap().iter().find(|item| item["role"] == "auditor").unwrap();
    through(&["token", "revoke", auditors["id"].as_str().unwrap()]).ok();
    service.client().showing(Some(&auditor)).get("/v1/portfolios").refuses(401);
    service.stop();
    let imports = directory.run(&["import", "list", "--format", "json"]).ok().json();
    let reverted = imports["items"].as_array().unwrap().iter().find(|item| item["id"] == import).unwrap();
    assert_eq!(reverted["state"], "reverted");
    assert_eq!(directory.statement(&portfolio, &[])["cash"], json!({ "USD": "0" }));
    directory.is_sound();
}

#[test]
fn a_file_refused_through_a_service_names_the_same_place_as_at_the_directory() {
    let (directory, portfolio) = Directory::with_portfolio();
    let bad = directory.write("bad.csv", "time,type,amount\n2024-01-02,deposit,10\n2024-01-03,deposit,ten\n");
    let arguments = ["import", "csv", &bad, "--portfolio", &portfolio];
    directory.run(&arguments).refuses(&["bad.csv", "3", "amount", "ten"]);
    let service = Service::start(&directory);
    directory.run_through(&service.url, &service.token, &arguments).refuses(&["3", "amount", "ten"]);
    assert_eq!(
        service.client().get(&format!("/v1/portfolios/{portfolio}/transactions")).ok().json()["items"],
        json!([])
    );
    service.stop();
}

#[test]
fn a_service_that_cannot_be_reached_or_does_not_know_the_token_is_said() {
    let directory = Directory::new();
    let mut command = directory.bare(&["portfolio", "list", "--server", "http://127.0.0.1:1"]);
    Ran::of(command).refuses(&["DAYBOOK_TOKEN"]);
    command = directory.bare(&["portfolio", "list", "--server", "http://127.0.0.1:1"]);
    command.env("DAYBOOK_TOKEN", "x");
    Ran::of(command).refuses(&["127.0.0.1:1"]);
    let service = Service::start(&directory);
    let ran = directory.run_through(&service.url, "daybook_notatoken", &["portfolio", "list"]);
    let ran = ran.refuses(&["token"]);
    assert!(!ran.stderr.contains("notatoken"), "a token in a message: {ran}");
    service.stop();
}

#[test]
fn a_token_is_printed_alone_on_a_line_and_never_again() {
    let directory = Directory::new();
    let portfolio = directory.open_portfolio("Trading");
    let issued = directory
        .run(&["token", "issue", "--role", "service", "--subject", "feed", "--portfolio", &portfolio])
        .ok();
    let token = issued.line();
    assert!(token.len() >= 40 && !token.contains(' '), "{token}");
    assert!(!issued.stderr.contains(token));
    let listed = directory.run(&["token", "list", "--format", "json"]).ok();
    assert!(!listed.stdout.contains(token));
    let item = listed.json()["items"][0].clone();
    assert_eq!(
        (&item["role"], &item["subject"], &item["state"]),
        (&json!("service"), &json!("feed"), &json!("valid"))
    );
    assert_eq!(item["portfolios"], json!([portfolio]));
    assert!(!directory.run(&["export", "jsonl"]).ok().stdout.contains(token), "the log holds a token");
    directory.run(&["token", "revoke", item["id"].as_str().unwrap()]).ok();
    let listed = directory.run(&["token", "list", "--format", "json"]).ok().json();
    assert_eq!(listed["items"][0]["state"], "revoked");
}

#[test]
fn tokens_that_make_no_sense_are_refused() {
    let (directory, portfolio) = Directory::with_portfolio();
    for (arguments, said) in [
        (&["--role", "king"][..], "administrator"),
        (&["--role", "service"], "portfolio"),
        (&["--role", "auditor", "--portfolio", &portfolio], "auditor"),
        (&["--role", "service", "--portfolio", "00000000000000000000000001"], "no portfolio"),
        (&["--role", "service", "--portfolio", "mine"], "portfolio"),
        (&["--role", "auditor", "--expires", "2001-01-01T00:00:00Z"], "past"),
        (&["--role", "auditor", "--expires", "soon"], "expires"),
    ] {
        directory.run(&[&["token", "issue"], arguments].concat()).refuses(&[said]);
    }
    directory.run(&["token", "revoke", "00000000000000000000000001"]).refuses(&["no token"]);
    directory.run(&["token", "revoke", "x"]).exits(2);
    assert_eq!(directory.head(), 1);
}

#[test]
fn ids_that_name_nothing_are_refused_by_every_command_that_takes_one() {
    let (directory, _) = Directory::with_portfolio();
    let file = directory.write("trades.csv", TRADES);
    let nobody = "00000000000000000000000001";
    for id in [nobody, "mine", ""] {
        directory.run(&["import", "csv", &file, "--portfolio", id]).exits(2);
        directory.run(&["replay", "--portfolio", id]).exits(2);
        directory.run(&["export", "jsonl", "--portfolio", id]).exits(2);
        directory.run(&["import", "revert", id]).exits(2);
    }
    directory.run(&["replay", "--portfolio", nobody]).refuses(&["no portfolio", nobody]);
    assert_eq!(directory.head(), 1);
}

#[test]
fn an_export_is_every_event_losslessly_and_a_portfolios_is_its_stream() {
    let (directory, portfolio) = Directory::with_portfolio();
    let other = directory.open_portfolio("Other");
    directory.import("csv", &portfolio, TRADES).ok();
    let events = directory.events();
    for (place, event) in events.iter().enumerate() {
        assert_eq!(event["sequence"], place + 1);
        for key in
            ["stream", "version", "type", "occurred_at", "recorded_at", "actor", "source", "key", "payload"]
        {
            assert!(event.get(key).is_some(), "no {key}: {event:#}");
        }
    }
    let of = |id: &str| directory.run(&["export", "jsonl", "--portfolio", id]).ok().lines_of_json();
    let stream = |id: &str| {
        let name = format!("portfolio-{id}");
        events.iter().filter(|event| event["stream"] == *name).cloned().collect::<Vec<_>>()
    };
    assert_eq!(of(&portfolio), stream(&portfolio));
    assert_eq!(of(&other), stream(&other));
    assert!(of(&portfolio).len() >= 5 && of(&other).len() == 1);
}

#[test]
fn commands_repeated_on_a_ledger_at_rest_change_nothing_on_disk_that_counts() {
    let (directory, portfolio) = Directory::with_portfolio();
    directory.import("csv", &portfolio, TRADES).ok();
    let before = crate::support::tree(directory.data());
    let first = figures(directory.statement(&portfolio, &["--as-of", "2024-04-30"]));
    for arguments in [
        &["portfolio", "list"][..],
        &["import", "list"],
        &["replay"],
        &["replay", "--check"],
        &["verify"],
        &["export", "jsonl"],
        &["token", "list"],
    ] {
        directory.run(arguments).ok();
        assert!(crate::support::tree(directory.data()) == before, "{arguments:?} changed the directory");
    }
    assert_eq!(figures(directory.statement(&portfolio, &["--as-of", "2024-04-30"])), first);
}
