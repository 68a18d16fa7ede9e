//! The made-up firm: whole, of the promised size, true to its own checks, and the same for everybody on one day.

use crate::support::{Directory, Service, identity_holds, without};
use serde_json::Value;
use std::collections::BTreeMap;

#[test]
fn the_demo_is_a_whole_firm_whose_figures_are_complete_or_say_why_not() {
    let directory = Directory::new();
    let service = Service::start_with(&directory, &["--demo"]);
    let client = service.client();
    let portfolios = client.pages("/v1/portfolios");
    assert!((22..=28).contains(&portfolios.len()), "{} portfolios", portfolios.len());
    let mut whole = 0;
    for portfolio in &portfolios {
        let id = portfolio["id"].as_str().unwrap();
        let summary = client.get(&format!("/v1/portfolios/{id}")).ok().json();
        if summary["complete"] == true {
            whole += 1;
            identity_holds(&summary);
        } else {
            let reasons =
                ["missing", "unpriced", "unknown_basis", "unaccounted", "incomplete_history", "warnings"];
            let said = reasons.iter().any(|name| match &summary[*name] {
                Value::Object(reasons) => !reasons.is_empty(),
                Value::Array(items) => !items.is_empty(),
                _ => false,
            });
            assert!(said, "{id} is not complete and does not say why: {summary:#}");
        }
        assert!(
            summary["stale"].as_array().is_none_or(Vec::is_empty),
            "a demo of today is stale: {summary:#}"
        );
        let equity = client.pages(&format!("/v1/portfolios/{id}/equity?interval=day&limit=1000"));
        assert!(!equity.is_empty(), "{id} has no curve");
    }
    assert!(
        whole * 10 >= portfolios.len() * 8,
        "only {whole} of {} portfolios are complete",
        portfolios.len()
    );
    let mut types: BTreeMap<String, usize> = BTreeMap::new();
    for event in client.pages("/v1/events?limit=1000") {
        *types.entry(event["type"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    let count = |name: &str| types.get(name).copied().unwrap_or(0);
    assert_eq!(count("AdvisorRegistered"), 3, "{types:?}");
    assert!((10..=14).contains(&count("PartyOnboarded")), "{types:?}");
    assert_eq!(count("PortfolioOpened"), portfolios.len());
    for name in
        ["TradeExecuted", "CashTransferred", "DividendPosted", "BarClosed", "SplitApplied", "EventReversed"]
    {
        assert!(count(name) > 0, "no {name}: {types:?}");
    }
    service.stop();
    directory.is_sound();

    // Started again, it is served as it is: nothing is added.
    let head = directory.head();
    let service = Service::start_with(&directory, &["--demo"]);
    assert_eq!(service.client().head(), head);
    assert_eq!(service.client().pages("/v1/portfolios").len(), portfolios.len());
    service.stop();
}

#[test]
fn a_ledger_that_is_not_empty_is_not_made_into_a_demo() {
    let (directory, portfolio) = Directory::with_portfolio();
    let service = Service::start_with(&directory, &["--demo"]);
    let portfolios = service.client().pages("/v1/portfolios");
    assert_eq!(portfolios.len(), 1);
    assert_eq!(portfolios[0]["id"], portfolio);
    assert!(service.said().contains("already"), "{}", service.said());
    service.stop();
    let types: Vec<Value> = directory.events().into_iter().map(|mut event| event["type"].take()).collect();
    assert_eq!(types, ["PortfolioOpened", "AccessGranted", "AccessUsed"]);
}

#[test]
fn two_demos_of_one_day_are_the_same_but_for_their_tokens() {
    let made = || {
        let directory = Directory::new();
        Service::start_with(&directory, &["--demo"]).stop();
        let events = directory.events();
        let day = events
            .iter()
            .filter_map(|event| event["occurred_at"].as_str())
            .max()
            .map(|at| at[..10].to_owned());
        let events: Vec<Value> = events
            .into_iter()
            .filter(|event| event["type"] != "AccessGranted")
            .map(|event| without(event, &["recorded_at"]))
            .collect();
        (day, events)
    };
    let (first, second) = (made(), made());
    // Unless midnight came in between, there is nothing to tell them apart by.
    if first.0 == second.0 {
        assert!(first.1 == second.1, "the events of two demos differ");
    }
}

#[test]
fn on_the_live_desk_fills_trickle_in_and_a_restart_finds_the_same_broker() {
    let directory = Directory::new();
    let live = |service: &Service| {
        let source = service.client().get("/v1/sync/demo-live").json();
        assert_eq!(source["breaks"], serde_json::json!([]), "{source}");
        source
    };
    let wait_for = |service: &Service, done: &dyn Fn(&serde_json::Value) -> bool| {
        let began = std::time::Instant::now();
        while !done(&live(service)) {
            assert!(began.elapsed().as_secs() < 60, "it did not come to that: {}", live(service));
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    };
    let service = Service::start_with(&directory, &["--demo-live"]);
    // The deposit, and what the first fill brings: instrument, symbol, trade.
    wait_for(&service, &|source| source["appended"].as_u64().unwrap_or(0) >= 4);
    service.stop();
    let trades = || {
        let events = directory.events();
        assert!(!events.iter().any(|event| event["type"] == "ReconciliationBreakFound"));
        let of_trades = events.into_iter().filter(|event| event["type"] == "TradeExecuted");
        of_trades.map(|mut event| event["key"].take()).collect::<Vec<_>>()
    };
    let before = trades();
    assert!(!before.is_empty(), "no fill came");
    let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--demo-live"]);
    command.env("RUST_LOG", "info,daybook=debug");
    let again = Service::run(&directory, command);
    wait_for(&again, &|source| {
        source["state"] == "current" && source["listening"] == true && again.said().contains("compared")
    });
    again.stop();
    // The same broker has the same books: what came before comes no second time, under no other key.
    let after = trades();
    assert_eq!(after[..before.len()], before[..]);
    let different: std::collections::BTreeSet<String> = after.iter().map(Value::to_string).collect();
    assert_eq!(different.len(), after.len());
    directory.is_sound();
}
