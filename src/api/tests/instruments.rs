//! The registry of instruments, as callers see it.

use super::{Daybook, buy};
use crate::journal::{Author, Draft, Terms, now};
use daybook_schemas::events::{
    Event, IdentifierAssigned, IdentifierScheme, InstrumentClass, InstrumentDelisted, InstrumentListed,
    ListingAdded, Role,
};
use daybook_schemas::{Currency, Day, InstrumentId, ListingId, stream};
use poem::http::Method;
use serde_json::Value;

fn id(number: u8) -> InstrumentId {
    InstrumentId::from_bytes([number; 16])
}

fn record(daybook: &Daybook, instrument: InstrumentId, event: impl Into<Event>) -> u64 {
    let draft = Draft::new(stream::instrument(instrument), now(), event);
    daybook.journal.record(&Author::operator(), vec![draft], Terms::default()).unwrap().sequences[0]
}

/// Lists an instrument as a list of instruments does.
pub(super) fn list(daybook: &Daybook, number: u8, symbol: &str, name: &str, class: InstrumentClass) {
    let (instrument, currency) = (id(number), Currency::USD);
    let listed = InstrumentListed {
        instrument,
        class,
        currency,
        name: Some(name.into()),
        contract: None,
        provisional: false,
    };
    record(daybook, instrument, listed);
    let listing = ListingAdded {
        listing: ListingId::from_bytes([number; 16]),
        instrument,
        venue: Some("XNAS".into()),
        symbol: symbol.into(),
        currency,
        from: None,
    };
    record(daybook, instrument, listing);
}

async fn furnished() -> Daybook {
    let daybook = Daybook::new();
    list(&daybook, 1, "AAPL", "Apple Inc.", InstrumentClass::Equity);
    list(&daybook, 2, "APLE", "Apple Hospitality REIT", InstrumentClass::Equity);
    list(&daybook, 3, "SPY", "SPDR S&P 500", InstrumentClass::Etf);
    list(&daybook, 4, "FB", "Meta Platforms", InstrumentClass::Equity);
    let portfolio = daybook.portfolio("Mine").await;
    daybook.transact(&portfolio, buy("2024-01-03", "ODDX", "1", "10")).await;
    daybook
}

async fn symbols(daybook: &Daybook, query: &str) -> Vec<String> {
    let list = daybook.get(&format!("/v1/instruments{query}")).await.has(200).json();
    let symbol = |item: &Value| item["symbol"].as_str().unwrap().to_owned();
    list["items"].as_array().unwrap().iter().map(symbol).collect()
}

#[tokio::test]
async fn instruments_are_searched_by_symbol_name_and_number_the_symbol_itself_first() {
    let daybook = furnished().await;
    assert_eq!(symbols(&daybook, "").await, ["AAPL", "APLE", "FB", "ODDX", "SPY"]);
    assert_eq!(symbols(&daybook, "?q=aple").await, ["APLE"]);
    assert_eq!(symbols(&daybook, "?q=ap").await, ["APLE", "AAPL"], "what begins so comes first");
    assert_eq!(symbols(&daybook, "?q=apple").await, ["AAPL", "APLE"], "by name");
    assert_eq!(symbols(&daybook, "?class=etf").await, ["SPY"]);
    assert_eq!(symbols(&daybook, "?provisional=true").await, ["ODDX"]);
    assert_eq!(symbols(&daybook, "?provisional=false&q=o").await.len(), 2, "Hospitality and Platforms");
    assert!(symbols(&daybook, "?q=nothing").await.is_empty());
    let assigned = IdentifierAssigned {
        instrument: id(1),
        scheme: IdentifierScheme::Isin,
        value: "US0378331005".into(),
        venue: None,
        from: None,
        to: None,
    };
    record(&daybook, id(1), assigned);
    assert_eq!(symbols(&daybook, "?q=us03783").await, ["AAPL"]);
    for wrong in ["?class=stock", "?provisional=maybe", "?state=gone", &format!("?q={}", "x".repeat(101))] {
        daybook.get(&format!("/v1/instruments{wrong}")).await.is(400, "invalid-parameter");
    }
}

#[tokio::test]
async fn pages_fit_together_until_the_registry_changes() {
    let daybook = furnished().await;
    let first = daybook.get("/v1/instruments?limit=2").await.has(200).json();
    let next = first["next"].as_str().unwrap().to_owned();
    let second = daybook.get(&format!("/v1/instruments?limit=2&cursor={next}")).await.has(200).json();
    assert_eq!(second["items"][0]["symbol"], "FB");
    list(&daybook, 9, "BRANDNEW", "Brand New", InstrumentClass::Equity);
    daybook.get(&format!("/v1/instruments?limit=2&cursor={next}")).await.is(410, "cursor-gone");
}

#[tokio::test]
async fn an_instrument_is_read_by_its_id_or_its_symbol_and_a_slip_is_told_the_nearest() {
    let daybook = furnished().await;
    let apple = daybook.get("/v1/instruments/aapl").await.has(200);
    let tag = apple.header("etag").to_owned();
    let body = apple.json();
    assert_eq!(
        (&body["symbol"], &body["name"], &body["class"]),
        (&"AAPL".into(), &"Apple Inc.".into(), &"equity".into())
    );
    assert_eq!(body["listings"][0]["venue"], "XNAS");
    let path = format!("/v1/instruments/{}", body["id"].as_str().unwrap());
    assert_eq!(daybook.get(&path).await.has(200).json(), body);
    daybook.get_knowing("/v1/instruments/aapl", &tag).await.has(304);
    let problem = daybook.get("/v1/instruments/AAPPL").await.is(404, "not-found");
    assert!(problem["detail"].as_str().unwrap().contains("the nearest is AAPL"), "{problem}");
    list(&daybook, 8, "AAPL", "Another Apple", InstrumentClass::Equity);
    let problem = daybook.get("/v1/instruments/AAPL").await.is(400, "invalid-parameter");
    assert!(problem.to_string().contains("ask by id"), "{problem}");
}

#[tokio::test]
async fn what_changed_since_last_time_is_told_in_the_order_of_the_log() {
    let daybook = furnished().await;
    let all = daybook.get("/v1/instruments/changes").await.has(200).json();
    assert!(all["items"].as_array().unwrap().iter().all(|item| item["change"] == "listed"));
    assert_eq!(all["items"].as_array().unwrap().len(), 5);
    let since = all["sequence"].as_u64().unwrap();
    let path = format!("/v1/instruments/changes?since={since}");
    assert_eq!(daybook.get(&path).await.has(200).json()["items"], Value::Array(vec![]));

    let day = Day::parse("2022-06-09").unwrap();
    let renamed = IdentifierAssigned {
        instrument: id(4),
        scheme: IdentifierScheme::Symbol,
        value: "META".into(),
        venue: None,
        from: Some(day),
        to: None,
    };
    record(&daybook, id(4), renamed);
    record(&daybook, id(3), InstrumentDelisted { instrument: id(3), venue: None, on: day, reason: None });
    let changes = daybook.get(&path).await.has(200).json();
    let items = changes["items"].as_array().unwrap();
    assert_eq!(
        (&items[0]["change"], &items[0]["was"], &items[0]["to"]),
        (&"renamed".into(), &"FB".into(), &"META".into())
    );
    assert_eq!((&items[1]["change"], &items[1]["symbol"]), (&"delisted".into(), &"SPY".into()));
    assert_eq!(items.len(), 2);
    assert_eq!(symbols(&daybook, "?state=delisted").await, ["SPY"]);
    assert!(!symbols(&daybook, "?state=traded").await.contains(&"SPY".to_owned()));
}

#[tokio::test]
async fn a_service_does_not_learn_from_the_registry_what_others_hold() {
    let daybook = furnished().await;
    let other = daybook.portfolio("Other").await;
    let service = daybook.token(Role::Service, &[&other]);
    let read = async |path: &str| daybook.send(Some(&service), Method::GET, path, &[], ()).await;
    let list = read("/v1/instruments").await.has(200).json();
    assert_eq!(
        list["items"].as_array().unwrap().len(),
        4,
        "what a list confirmed, and nothing that was imported"
    );
    let unknown = read("/v1/instruments/ODDX").await.is(404, "not-found");
    let never = read("/v1/instruments/ODDY").await.is(404, "not-found");
    assert_eq!(
        unknown["detail"].as_str().unwrap().replace("ODDX", "S"),
        never["detail"].as_str().unwrap().replace("ODDY", "S")
    );
    assert_eq!(read("/v1/instruments/changes").await.has(200).json()["items"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_refresh_rings_the_source_or_says_that_there_is_none() {
    let daybook = furnished().await;
    let post = async || {
        daybook.send(Some(&daybook.administrator), Method::POST, "/v1/instruments/refresh", &[], ()).await
    };
    let problem = post().await.is(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("[instruments]"), "{problem}");
    let source = daybook.shared.board.add("instruments", "instruments", None);
    post().await.has(204);
    tokio::time::timeout(std::time::Duration::from_secs(5), source.rung()).await.expect("it was rung");
}
