//! What is configured, as `daybook config` tells it: each value with where it came from, and no secret.

use crate::support::{Directory, Ran};
use serde_json::Value;

const HIDDEN: &str = "hunter2-is-hidden";

/// Runs `daybook config` with an account in the environment.
fn with_account(directory: &Directory, arguments: &[&str]) -> Ran {
    let mut command = directory.command(&[&["config"], arguments].concat());
    command.env("APCA_API_KEY_ID", HIDDEN).env("APCA_API_SECRET_KEY", HIDDEN);
    let ran = Ran::of(command);
    for output in [&ran.stdout, &ran.stderr] {
        assert!(!output.contains(HIDDEN), "a secret is printed: {output}");
    }
    ran
}

#[test]
fn the_effective_configuration_is_told_with_where_each_value_came_from() {
    let directory = Directory::new();
    let text = with_account(&directory, &[]).ok().stdout;
    let line =
        |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{text}"));
    assert!(line("alpaca.alpaca.secret_key").ends_with("environment variable APCA_API_SECRET_KEY"), "{text}");
    assert!(line("alpaca.alpaca.base_url").contains("https://paper-api.alpaca.markets"));
    assert!(line("alpaca.alpaca.base_url").ends_with("default"));
    assert!(!directory.data().exists(), "to ask makes no ledger");

    let json = with_account(&directory, &["--format", "json"]).ok().json();
    assert_eq!(json["file"], Value::Null);
    let settings = json["settings"].as_array().unwrap();
    let secret = settings.iter().find(|setting| setting["key"] == "alpaca.alpaca.secret_key").unwrap();
    assert_eq!((&secret["secret"], &secret["value"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(secret["from"]["name"], "APCA_API_SECRET_KEY");
}

#[test]
fn a_file_in_the_data_directory_is_read_and_a_ledger_can_still_be_made_there() {
    let directory = Directory::new();
    std::fs::create_dir(directory.data()).unwrap();
    std::fs::write(directory.data().join("daybook.toml"), "\norders = true\n").unwrap();
    let json = directory.run(&["config", "--format", "json"]).ok().json();
    let setting =
        &json["settings"].as_array().unwrap().iter().find(|s| s["key"] == "orders").unwrap().clone();
    assert_eq!((&setting["value"], &setting["from"]["line"]), (&Value::Bool(true), &Value::from(2)));
    directory.open_portfolio("Trading");
    directory.is_sound();
}

#[test]
fn the_printed_example_is_a_file_that_can_be_used() {
    let directory = Directory::new();
    let example = directory.run(&["config", "--example"]).ok().stdout;
    let file = directory.write("example.toml", example);
    let mut command = directory.command(&["config", "--config", &file]);
    for name in [
        "APCA_API_KEY_ID",
        "APCA_API_SECRET_KEY",
        "ROBINHOOD_API_KEY",
        "ROBINHOOD_PRIVATE_KEY",
        "ALPHAVANTAGE_API_KEY",
        "FUND_ADMIN_SECRET",
        "TRADINGVIEW_SECRET",
        "CRM_SECRET",
    ] {
        command.env(name, HIDDEN);
    }
    let ran = Ran::of(command).ok();
    assert!(ran.stdout.contains("folder.downloads.format") && !ran.stdout.contains(HIDDEN), "{ran}");
}

#[test]
fn a_fault_ends_with_2_and_names_file_line_and_key() {
    let directory = Directory::new();
    let file =
        directory.write("bad.toml", format!("[[alpaca]]\nname = \"main\"\nsecret_key = \"{HIDDEN}\"\n"));
    let ran = with_account(&directory, &["--config", &file])
        .refuses(&["bad.toml:3: `secret_key`", "secret_key_env"]);
    assert!(ran.stderr.contains("bad.toml:1: `portfolio`"), "{ran}");
    directory
        .run(&["serve", "--listen", "127.0.0.1:0", "--config", &file])
        .refuses(&["bad.toml:3: `secret_key`"]);
    assert!(!directory.data().exists(), "a service that cannot start makes no ledger");
    directory
        .run(&["config", "--config", "missing.toml"])
        .refuses(&["--config", "missing.toml cannot be read"]);
}
