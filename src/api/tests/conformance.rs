//! Answers are what the OpenAPI document says they are, and the log is served as it is.

use super::{Daybook, buy, deposit};
use crate::api::specification;
use daybook_ledger::Record;
use serde_json::{Value, json};

fn document() -> Value {
    serde_json::from_str(&specification()).unwrap()
}

/// Checks a value against a schema of the document: types, required members, and none that it does not describe.
fn check(document: &Value, schema: &Value, value: &Value, place: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => &document["components"]["schemas"][reference.rsplit('/').next().unwrap()],
        None => schema,
    };
    if let Some(all) = schema["allOf"].as_array() {
        for part in all {
            check(document, part, value, place);
        }
        return;
    }
    if value.is_null() {
        assert!(schema["nullable"] == true || schema.get("type").is_none(), "{place} is null");
        return;
    }
    match schema["type"].as_str() {
        None => {}
        Some("object") => {
            let object = value.as_object().unwrap_or_else(|| panic!("{place} is no object: {value}"));
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(object.contains_key(required.as_str().unwrap()), "{place} lacks {required}: {value}");
            }
            for (name, member) in object {
                let place = format!("{place}.{name}");
                if let Some(described) = schema["properties"].get(name) {
                    check(document, described, member, &place);
                } else {
                    let rest = schema.get("additionalProperties");
                    check(
                        document,
                        rest.unwrap_or_else(|| panic!("{place} is not described")),
                        member,
                        &place,
                    );
                }
            }
        }
        Some("array") => {
            let items = value.as_array().unwrap_or_else(|| panic!("{place} is no array: {value}"));
            for (at, item) in items.iter().enumerate() {
                check(document, &schema["items"], item, &format!("{place}[{at}]"));
            }
        }
        Some("string") => {
            let text = value.as_str().unwrap_or_else(|| panic!("{place} is no string: {value}"));
            if schema["format"] == "decimal" {
                assert!(text.parse::<rust_decimal::Decimal>().is_ok(), "{place}: {text}");
            }
        }
        Some("integer") => assert!(value.is_u64(), "{place} is no whole number: {value}"),
        Some("boolean") => assert!(value.is_boolean(), "{place}: {value}"),
        Some(other) => panic!("{place} has the type {other}"),
    }
}

/// A ledger in which every list has something to show.
async fn furnished() -> (Daybook, String, u64) {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    daybook.transact(&mine, deposit("2024-01-02", "100000")).await;
    let trade = daybook.transact(&mine, buy("2024-01-03", "ACME", "10", "10")).await;
    daybook.transact(&mine, json!({ "time": "2024-01-04T15:00:00Z", "type": "sell", "symbol": "ACME", "quantity": "10", "price": "12", "fee": "1", "strategy": "swing" })).await;
    daybook.transact(&mine, buy("2024-01-05", "ZETA", "3", "7.5")).await;
    daybook.transact(&mine, json!({ "time": "2024-01-05", "type": "buy", "symbol": "EURO", "quantity": "1", "price": "5", "currency": "EUR" })).await;
    daybook
        .transact(
            &mine,
            json!({ "time": "2024-01-06", "type": "transfer_in", "symbol": "GIFT", "quantity": "4" }),
        )
        .await;
    daybook
        .transact(
            &mine,
            json!({ "time": "2024-01-06", "type": "adjustment", "amount": "1", "note": "found" }),
        )
        .await;
    let bars = json!({ "items": [
        { "symbol": "ZETA", "date": "2024-01-05", "open": "7", "high": "9", "low": "7", "close": "8", "volume": "100" },
        { "symbol": "ZETA", "date": "2024-01-08", "close": "8.25" },
    ] });
    daybook.post("/v1/prices", &bars).await.has(201);
    let path = format!("/v1/portfolios/{mine}/imports");
    let rows = "Date,Action,Symbol,Description,Quantity,Price,Fees & Comm,Amount\n01/09/2024,Qual. Div. Reinvest Of Nothing Known,ZETA,Zeta,1,,,\n01/09/2024,Cash Dividend,ZETA,Zeta,,,,$2.00\n";
    daybook.upload(&path, &[("format", "schwab")], rows, &[]).await.has(201);
    super::orders::furnish(&daybook, &mine);
    (daybook, mine, trade)
}

#[tokio::test]
async fn every_read_answers_as_the_document_describes_it() {
    let (daybook, mine, trade) = furnished().await;
    let document = document();
    let import = daybook.get("/v1/imports").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    for (template, path) in [
        ("/portfolios", "/portfolios".to_owned()),
        ("/portfolios/{id}", format!("/portfolios/{mine}")),
        ("/portfolios/{id}/positions", format!("/portfolios/{mine}/positions")),
        ("/portfolios/{id}/lots", format!("/portfolios/{mine}/lots")),
        ("/portfolios/{id}/transactions", format!("/portfolios/{mine}/transactions")),
        ("/portfolios/{id}/trades", format!("/portfolios/{mine}/trades")),
        ("/portfolios/{id}/equity", format!("/portfolios/{mine}/equity?interval=day&to=2024-01-12")),
        ("/portfolios/{id}/imports", format!("/portfolios/{mine}/imports")),
        ("/imports", "/imports".to_owned()),
        ("/imports/{id}", format!("/imports/{import}")),
        ("/quarantine", "/quarantine?state=all".to_owned()),
        ("/prices/{symbol}", "/prices/ZETA?from=2024-01-01&to=2024-12-31".to_owned()),
        ("/events", "/events?limit=1000".to_owned()),
        ("/events/{sequence}", format!("/events/{trade}")),
        ("/portfolios/{id}/orders", format!("/portfolios/{mine}/orders")),
        ("/sync", "/sync".to_owned()),
        ("/sync/{name}", "/sync/main".to_owned()),
        ("/tokens", "/tokens".to_owned()),
    ] {
        let answer = daybook.get(&format!("/v1{path}")).await.has(200).json();
        let content = &document["paths"][template]["get"]["responses"]["200"]["content"];
        let schema = &content["application/json"]["schema"];
        assert!(schema.is_object(), "{template} is not in the document: {content}");
        check(&document, schema, &answer, template);
        if let Some(items) = answer["items"].as_array() {
            assert!(!items.is_empty(), "{template} shows nothing to check");
        }
    }
}

#[tokio::test]
async fn a_summary_has_the_promised_members_and_no_figure_that_cannot_be_known() {
    let (daybook, mine, _) = furnished().await;
    let summary = daybook.get(&format!("/v1/portfolios/{mine}?as_of=2024-01-08")).await.has(200).json();
    for name in [
        "cash",
        "currency",
        "as_of",
        "sequence",
        "complete",
        "unpriced",
        "stale",
        "unknown_basis",
        "unaccounted",
        "missing",
    ] {
        assert!(summary.get(name).is_some(), "no {name}: {summary}");
    }
    assert_eq!(summary["as_of"], "2024-01-08");
    assert_eq!(summary["complete"], false);
    let figures = [
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
        "unaccounted_cash",
    ];
    for figure in figures {
        match summary.get(figure) {
            Some(value) => assert!(value.is_string(), "{figure}: {summary}"),
            None => assert!(
                summary["missing"][figure].is_string(),
                "{figure} is absent without a reason: {summary}"
            ),
        }
    }
    // A holding without a price, and one in another currency.
    assert!(summary.get("market_value").is_none(), "{summary}");
    let early = daybook.get(&format!("/v1/portfolios/{mine}?as_of=2024-01-04")).await.has(200).json();
    assert_eq!(
        (&early["equity"], &early["realised"], &early["trade_fees"]),
        (&json!("100019"), &json!("19"), &json!("1"))
    );
}

#[tokio::test]
async fn a_transaction_is_listed_by_the_columns_that_it_was_recorded_by() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let sent = json!({
        "time": "2024-01-04T15:00:00Z", "type": "buy", "symbol": "ACME", "quantity": "10", "price": "12", "fee": "1",
        "strategy": "swing", "note": "a hunch", "id": "t1", "account": "Main",
    });
    let sequence = daybook.transact(&mine, sent.clone()).await;
    let listed = daybook.get(&format!("/v1/portfolios/{mine}/transactions")).await.json();
    let item = &listed["items"][0];
    assert_eq!(item["sequence"], sequence);
    for (name, value) in sent.as_object().unwrap() {
        assert_eq!(&item[name], value, "{name}: {item}");
    }
    let trades = daybook.get(&format!("/v1/portfolios/{mine}/trades")).await.json();
    let detail = daybook
        .get(&format!("/v1/portfolios/{mine}/trades/{}", trades["items"][0]["id"]))
        .await
        .has(200)
        .json();
    assert_eq!(&detail["transactions"][0], item);
    assert_eq!(detail["account_name"], "Main");
}

#[tokio::test]
async fn bundles_hold_the_canonical_records_and_only_those_that_are_recorded() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    while daybook.head() < 300 {
        daybook.transact(&mine, deposit("2024-01-02", "1")).await;
    }
    let head = daybook.head();
    let mut sequence = 0;
    for (path, count) in [("000".to_owned(), 256), (format!("001.p/{}", head - 256), head - 256)] {
        let answer = daybook.get(&format!("/v1/tile/entries/{path}")).await.has(200);
        assert!(answer.header("cache-control").contains("immutable"), "{answer}");
        let mut rest = &answer.bytes[..];
        for _ in 0..count {
            let (length, after) = rest.split_first_chunk::<2>().unwrap();
            let (record, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            sequence += 1;
            assert_eq!(Record::decode_canonical(record).unwrap(), daybook.journal.event(sequence).unwrap());
            rest = after;
        }
        assert!(rest.is_empty());
    }
    assert_eq!(sequence, head);
    for path in ["001".to_owned(), format!("001.p/{}", head - 255), "002".to_owned(), "x999/999".to_owned()] {
        daybook.get(&format!("/v1/tile/entries/{path}")).await.is(404, "not-found");
    }
}

#[tokio::test]
async fn an_instrument_with_a_slash_in_its_symbol_is_found_by_it() {
    let daybook = Daybook::new();
    let body = json!({ "items": [{ "symbol": "BTC/USD", "date": "2024-01-05", "close": "43000.5" }] });
    daybook.post("/v1/prices", &body).await.has(201);
    for symbol in ["BTC%2FUSD", "BTCUSD"] {
        let found = daybook.get(&format!("/v1/prices/{symbol}")).await.has(200).json();
        assert_eq!(found["items"][0]["close"], "43000.5", "{symbol}");
        let id = found["items"][0]["instrument"].as_str().unwrap();
        assert_eq!(daybook.get(&format!("/v1/prices/{id}")).await.has(200).json()["items"], found["items"]);
    }
}

#[tokio::test]
async fn prices_are_listed_as_their_feed_stated_them_last_ticks_and_rates_among_them() {
    let daybook = Daybook::new();
    let post = async |item: Value| {
        daybook.post("/v1/prices", &json!({ "items": [item] })).await.has(201).json()["import"].clone()
    };
    post(json!({ "symbol": "ACME", "date": "2024-01-05", "open": "9", "high": "11", "low": "8", "close": "10", "volume": "70" })).await;
    let restated = post(json!({ "symbol": "ACME", "date": "2024-01-05", "close": "10.5" })).await;
    post(json!({ "symbol": "ACME", "time": "2024-01-05T15:30:00Z", "close": "10.25" })).await;
    post(json!({ "symbol": "ACME", "date": "2024-01-04", "close": "9.5" })).await;
    post(json!({ "symbol": "EURUSD", "date": "2024-01-05", "close": "1.0935" })).await;
    let closes = async |path: &str| -> Vec<String> {
        let prices = daybook.get(path).await.has(200).json();
        prices["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["close"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(closes("/v1/prices/ACME").await, ["9.5", "10.25", "10.5"]);
    assert_eq!(closes("/v1/prices/ACME?from=2024-01-05").await, ["10.25", "10.5"]);
    assert_eq!(closes("/v1/prices/ACME?to=2024-01-04").await, ["9.5"]);
    assert_eq!(closes("/v1/prices/EURUSD").await, ["1.0935"]);
    assert_eq!(closes("/v1/prices/EUR%2FUSD").await, ["1.0935"]);
    let rate = daybook.get("/v1/prices/EURUSD").await.json();
    assert_eq!((&rate["items"][0]["kind"], &rate["items"][0]["currency"]), (&json!("rate"), &json!("USD")));
    // Taking the restatement back brings back what was stated before, highs and lows with it.
    let revert = format!("/v1/imports/{}/revert", restated.as_str().unwrap());
    daybook.post(&revert, &json!({})).await.has(201);
    let first = daybook.get("/v1/prices/ACME?from=2024-01-05").await.json();
    assert_eq!((&first["items"][1]["close"], &first["items"][1]["high"]), (&json!("10"), &json!("11")));
}

#[tokio::test]
async fn a_record_that_was_kept_aside_is_listed_until_somebody_deals_with_it() {
    let (daybook, mine, _) = furnished().await;
    let open = daybook.get(&format!("/v1/quarantine?portfolio={mine}")).await.has(200).json();
    let item = &open["items"][0];
    assert_eq!((&item["state"], &item["format"]), (&json!("open"), &json!("schwab")));
    let path = format!("/v1/quarantine/{}/resolve", item["sequence"]);
    daybook.post(&path, &json!({ "resolution": "lost" })).await.is(422, "invalid-input");
    let body = json!({ "resolution": "dismissed", "note": "a test" });
    daybook.post(&path, &body).await.has(201);
    let left = daybook.get(&format!("/v1/quarantine?portfolio={mine}")).await.json();
    assert_eq!(left["items"].as_array().unwrap().len(), open["items"].as_array().unwrap().len() - 1);
    let resolved = daybook.get("/v1/quarantine?state=resolved").await.json();
    assert_eq!(resolved["items"][0]["resolution"], "dismissed");
    daybook.post("/v1/quarantine/1/resolve", &body).await.is(404, "not-found");
}
