//! What a public page is shown: named portfolios, in proportions where the token says so, never an amount.

use super::{BOUNDARY, Daybook, buy, deposit, form};
use crate::api::access;
use crate::journal::{Author, NewToken};
use daybook_schemas::events::Role;
use poem::http::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A portfolio with amounts that nothing else has by chance.
async fn furnished(daybook: &Daybook) -> String {
    let mine = daybook.portfolio("Shown").await;
    daybook.transact(&mine, deposit("2024-01-02", "98765.43")).await;
    daybook.transact(&mine, buy("2024-01-03", "ACME", "137", "41.17")).await;
    let sale = json!({ "time": "2024-01-05", "type": "sell", "symbol": "ACME", "quantity": "39", "price": "43.91", "fee": "1.23" });
    daybook.transact(&mine, sale).await;
    daybook.transact(&mine, buy("2024-01-05", "ZETA", "53", "77.77")).await;
    let gift = json!({ "time": "2024-01-06", "type": "transfer_in", "symbol": "GIFT", "quantity": "417", "basis": "912.34" });
    daybook.transact(&mine, gift).await;
    daybook
        .transact(
            &mine,
            json!({ "time": "2024-01-08", "type": "dividend", "symbol": "ACME", "amount": "6.78" }),
        )
        .await;
    daybook
        .transact(
            &mine,
            json!({ "time": "2024-01-08", "type": "adjustment", "amount": "3.21", "note": "found 3.21" }),
        )
        .await;
    for (symbol, day, close) in
        [("ACME", "2024-01-09", "44.44"), ("ZETA", "2024-01-09", "71.31"), ("GIFT", "2024-01-09", "2.19")]
    {
        daybook.price(symbol, day, close).await;
    }
    mine
}

fn display(daybook: &Daybook, portfolio: &str, percentages_only: bool) -> String {
    let new = NewToken {
        role: Role::Display,
        subject: None,
        portfolios: vec![portfolio.parse().unwrap()],
        expires: None,
        percentages_only,
    };
    daybook.journal.issue_token(&Author::operator(), new, None).unwrap().secret
}

/// Every decimal of an answer, as text or as a number, wherever it stands.
fn decimals(value: &Value, found: &mut BTreeSet<Decimal>) {
    match value {
        Value::String(text) => {
            // Words are looked through as well: an amount in a sentence is an amount.
            let parts = text.split(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != '-');
            found.extend(
                parts
                    .filter_map(|part| part.trim_end_matches('.').parse::<Decimal>().ok())
                    .map(|d| d.normalize()),
            );
        }
        Value::Number(number) => {
            found.extend(number.to_string().parse::<Decimal>().ok().map(|d| d.normalize()));
        }
        Value::Array(items) => items.iter().for_each(|item| decimals(item, found)),
        Value::Object(members) => members.values().for_each(|member| decimals(member, found)),
        Value::Bool(_) | Value::Null => {}
    }
}

/// The reads that a page may make of a portfolio.
fn reads(portfolio: &str) -> Vec<(&'static str, String)> {
    vec![
        ("listPortfolios", "/v1/portfolios".to_owned()),
        ("readPortfolio", format!("/v1/portfolios/{portfolio}")),
        ("readPortfolio", format!("/v1/portfolios/{portfolio}?as_of=2024-01-05")),
        ("listSummaries", format!("/v1/portfolios/summaries?ids={portfolio}")),
        (
            "listSummaries",
            format!(
                "/v1/portfolios/summaries?ids={portfolio}&figures=equity,cash,market_value,gain,realised"
            ),
        ),
        ("listPositions", format!("/v1/portfolios/{portfolio}/positions")),
        ("listPositions", format!("/v1/portfolios/{portfolio}/positions?as_of=2024-01-06")),
        ("listEquity", format!("/v1/portfolios/{portfolio}/equity?to=2024-01-12")),
    ]
}

#[tokio::test]
async fn no_amount_leaks_to_a_token_that_shows_percentages_alone() {
    let daybook = Daybook::new();
    let mine = furnished(&daybook).await;
    let secret = display(&daybook, &mine, true);
    // All amounts, quantities and prices that anybody could read.
    let mut amounts = BTreeSet::new();
    let more = ["/lots", "/transactions", "/trades"].map(|path| format!("/v1/portfolios/{mine}{path}"));
    for path in reads(&mine).into_iter().map(|(_, path)| path).chain(more) {
        let mut json = daybook.get(&path).await.has(200).json();
        for name in ["sequence", "items"].iter().filter(|name| **name == "sequence") {
            json.as_object_mut().unwrap().remove(*name);
        }
        let mut found = BTreeSet::new();
        decimals(&json, &mut found);
        amounts.extend(found);
    }
    // What dates, ids and zeros have in common with proportions is no amount.
    amounts.retain(|amount| amount.abs() > Decimal::from(32) && amount.fract() != Decimal::ZERO);
    assert!(amounts.len() > 20, "{amounts:?}");
    for (operation, path) in reads(&mine) {
        assert!(access::answers_in_percentages(operation), "{operation}");
        let answer = daybook.send(Some(&secret), Method::GET, &path, &[], ()).await.has(200);
        assert_eq!(answer.header("content-type"), "application/vnd.daybook.proportions+json", "{answer}");
        let json = answer.json();
        let mut shown = BTreeSet::new();
        decimals(&json, &mut shown);
        let leaked: Vec<_> = shown.intersection(&amounts).collect();
        assert!(leaked.is_empty(), "{path}: {leaked:?} in {json}");
        let text = json.to_string();
        for word in
            ["\"quantity\"", "\"price\"", "\"equity\"", "\"basis\"", "\"account", "net_flow", "warnings"]
        {
            assert!(!text.contains(word), "{path} has {word}: {text}");
        }
        // A fraction of amounts has three places at most, a day's return four.
        for fraction in shown.iter().filter(|fraction| fraction.fract() != Decimal::ZERO) {
            assert!(fraction.scale() <= if path.contains("/equity") { 4 } else { 3 }, "{path}: {fraction}");
        }
    }
}

#[tokio::test]
async fn a_page_sees_weights_gains_and_returns_of_its_portfolio() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Shown").await;
    daybook.transact(&mine, deposit("2024-01-02", "1000")).await;
    daybook.transact(&mine, buy("2024-01-03", "ACME", "10", "50")).await;
    daybook.price("ACME", "2024-01-04", "60").await;
    let secret = display(&daybook, &mine, true);
    let read =
        async |path: &str| daybook.send(Some(&secret), Method::GET, path, &[], ()).await.has(200).json();
    let summary = read(&format!("/v1/portfolios/{mine}")).await;
    assert_eq!((&summary["gain"], &summary["unrealised_gain"]), (&json!("0.1"), &json!("0.1")));
    assert_eq!((&summary["invested_weight"], &summary["cash_weight"]), (&json!("0.545"), &json!("0.455")));
    let positions = read(&format!("/v1/portfolios/{mine}/positions")).await;
    assert_eq!(
        (&positions["items"][0]["weight"], &positions["items"][0]["gain"]),
        (&json!("0.545"), &json!("0.2"))
    );
    let returns = read(&format!("/v1/portfolios/{mine}/equity?from=2024-01-04&to=2024-01-04")).await;
    assert_eq!(
        (&returns["items"][0]["return"], &returns["items"][0]["drawdown"]),
        (&json!("0.1"), &json!("0"))
    );
}

#[tokio::test]
async fn a_page_may_read_its_portfolios_and_nothing_else() {
    let daybook = Daybook::new();
    let (mine, other) = (furnished(&daybook).await, daybook.portfolio("Other").await);
    for percentages_only in [true, false] {
        let secret = display(&daybook, &mine, percentages_only);
        let get = async |path: &str| daybook.send(Some(&secret), Method::GET, path, &[], ()).await;
        for (_, path) in reads(&mine) {
            let answer = get(&path).await.has(200);
            assert!(answer.header("cache-control").starts_with("private, max-age="), "{answer}");
            assert!(answer.header("cache-control").contains("stale-while-revalidate="), "{answer}");
            let tag = answer.header("etag").to_owned();
            let again = daybook.send(Some(&secret), Method::GET, &path, &[("if-none-match", &tag)], ()).await;
            assert!(again.has(304).header("cache-control").starts_with("private, max-age="));
            let foreign = get(&path.replace(&mine, &other)).await;
            if path.contains("summaries") {
                assert_eq!(foreign.json()["not_found"], json!([other]));
            } else if path.contains(&mine) {
                foreign.is(404, "not-found");
            }
        }
        for path in ["/lots", "/transactions", "/trades", "/orders", "/imports", "/annotations", "/plans"] {
            get(&format!("/v1/portfolios/{mine}{path}")).await.is(403, "forbidden");
        }
        for path in
            ["/v1/events", "/v1/events/stream", "/v1/prices/ACME", "/v1/tokens", "/v1/sync", "/v1/imports"]
        {
            get(path).await.is(403, "forbidden");
        }
        let headers = [("content-type", "application/json")];
        let path = format!("/v1/portfolios/{mine}/transactions");
        let body = deposit("2024-01-02", "1").to_string();
        daybook.send(Some(&secret), Method::POST, &path, &headers, body).await.is(403, "forbidden");
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let path = format!("/v1/portfolios/{mine}/imports");
        let upload = form(&[("format", "csv")], "time,type,amount\n");
        let refused =
            daybook.send(Some(&secret), Method::POST, &path, &[("content-type", &kind)], upload).await;
        refused.is(403, "forbidden");
    }
    // Others are told to ask each time.
    let own = daybook.get(&format!("/v1/portfolios/{mine}")).await;
    assert_eq!(own.header("cache-control"), "private, no-cache");
}

#[tokio::test]
async fn many_portfolios_are_read_at_once_under_one_tag() {
    let daybook = Daybook::new();
    let mut ids = Vec::new();
    for number in 1..=3 {
        let id = daybook.portfolio("One of many").await;
        daybook.transact(&id, deposit("2024-01-02", &format!("{number}00"))).await;
        ids.push(id);
    }
    let never = "00000000000000000000000001";
    let path = format!(
        "/v1/portfolios/summaries?ids={},{never},{},{},{}&figures=equity,cash",
        ids[2], ids[0], ids[1], ids[0]
    );
    let answer = daybook.get(&path).await.has(200);
    let (tag, json) = (answer.header("etag").to_owned(), answer.json());
    let equities: Vec<&Value> =
        json["items"].as_array().unwrap().iter().map(|item| &item["equity"]).collect();
    assert_eq!(equities, [&json!("300"), &json!("100"), &json!("200")]);
    assert_eq!((&json["not_found"], &json["sequence"]), (&json!([never]), &json!(daybook.head())));
    let item = json["items"][0].as_object().unwrap();
    let members: Vec<&str> = item.keys().map(String::as_str).collect();
    assert_eq!(members, ["as_of", "cash", "complete", "currency", "equity", "id", "missing", "name"]);
    daybook.get_knowing(&path, &tag).await.has(304);
    daybook.transact(&ids[1], deposit("2024-01-02", "1")).await;
    let changed = daybook.get_knowing(&path, &tag).await.has(200).json();
    assert_eq!(changed["items"][2]["equity"], "201");
    // As it was, on either clock.
    let past = daybook.get(&format!("{path}&at_sequence={}", json["sequence"])).await.has(200).json();
    assert_eq!(past["items"][2]["equity"], "200");
    let before = daybook.get(&format!("{path}&as_of=2024-01-01")).await.has(200).json();
    assert_eq!(before["items"][2]["equity"], "0");
    let many: Vec<String> = (0..201).map(|number| format!("{number:026}")).collect();
    for (query, field) in [
        ("ids=", "ids"),
        ("ids=abc", "ids"),
        (&*format!("ids={}", many.join(",")), "ids"),
        (&*format!("ids={never}&figures=equty"), "figures"),
    ] {
        let problem =
            daybook.get(&format!("/v1/portfolios/summaries?{query}")).await.is(400, "invalid-parameter");
        assert_eq!(problem["errors"][0]["field"], field, "{query}");
    }
    let slip = daybook.get(&format!("/v1/portfolios/summaries?ids={never}&figures=equty")).await.json();
    assert!(slip["detail"].as_str().unwrap().contains("did you mean `equity`?"), "{slip}");
}
