//! Deliveries of others: who may send, what is recorded of it, and that nothing is recorded twice or in part.

use super::{Answer, Daybook};
use crate::config::{InboundWebhook, Secret, Taken};
use crate::webhooks::inbound::Inbound;
use crate::webhooks::mapping::{Mapping, Recorded, Template};
use crate::webhooks::signature;
use poem::http::Method;
use regex::Regex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const SECRET: &str = "a-secret-of-the-desk";
const ALERTS: &str = "a-secret-of-the-alerts";

/// A ledger with a portfolio, a source that signs and one that cannot.
async fn furnished() -> (Daybook, String) {
    let daybook = Daybook::new();
    let portfolio = daybook.portfolio("Mine").await;
    daybook.shared.webhooks.open(Inbound::new(source("desk", &portfolio, &[SECRET])));
    let columns = [
        ("type", "/order/action"),
        ("symbol", "/ticker"),
        ("quantity", "/order/size"),
        ("price", "/close"),
        ("time", "?/time"),
        ("currency", "USD"),
    ];
    daybook.shared.webhooks.open(Inbound::new(alerts("tv", &portfolio, &columns)));
    (daybook, portfolio)
}

fn source(name: &str, portfolio: &str, secrets: &[&str]) -> InboundWebhook {
    InboundWebhook {
        name: name.to_owned(),
        portfolio: portfolio.parse().unwrap(),
        account: None,
        secrets: secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect(),
        window: Duration::from_secs(300),
        takes: vec![Taken::Fills, Taken::Cash, Taken::Prices],
        map: None,
    }
}

fn alerts(name: &str, portfolio: &str, columns: &[(&str, &str)]) -> InboundWebhook {
    let template = |(column, text): &(&str, &str)| ((*column).to_owned(), Template::parse(text).unwrap());
    let map = Mapping {
        recorded: Recorded::Transaction,
        columns: columns.iter().map(template).collect(),
        delivery: None,
        pattern: None,
        types: BTreeMap::from([("long".to_owned(), "buy".to_owned())]),
    };
    InboundWebhook { map: Some(map), ..source(name, portfolio, &[ALERTS]) }
}

fn seconds() -> i64 {
    crate::journal::now().nanos() / 1_000_000_000
}

/// Sends a body, signed with a secret as of so many seconds ago.
async fn signed(daybook: &Daybook, secret: &str, ago: i64, body: &str, more: &[(&str, &str)]) -> Answer {
    let timestamp = (seconds() - ago).to_string();
    let signature = signature::header(&[Secret::new(secret.to_owned())], &timestamp, body.as_bytes());
    let headers = [
        &[
            ("content-type", "application/json"),
            ("daybook-timestamp", timestamp.as_str()),
            ("daybook-signature", signature.as_str()),
        ],
        more,
    ]
    .concat();
    daybook.send(None, Method::POST, "/v1/webhooks/desk", &headers, body.to_owned()).await
}

async fn deliver(daybook: &Daybook, body: &Value) -> Answer {
    signed(daybook, SECRET, 0, &body.to_string(), &[]).await
}

async fn alert(daybook: &Daybook, body: &str) -> Answer {
    let path = format!("/v1/webhooks/tv/{ALERTS}");
    daybook.send(None, Method::POST, &path, &[("content-type", "text/plain")], body.to_owned()).await
}

fn a_day(id: &str) -> Value {
    json!({
        "id": id,
        "fills": [
            { "time": "2024-01-03T15:00:00Z", "type": "buy", "symbol": "ACME", "quantity": "10", "price": "10.5", "id": "F1" },
            { "time": "2024-01-03T15:01:00Z", "type": "buy", "symbol": "ACME", "quantity": "5", "price": "10.6" },
        ],
        "cash": [{ "time": "2024-01-02", "type": "deposit", "amount": "1000" }],
        "prices": [{ "symbol": "ACME", "date": "2024-01-03", "close": "10.75" }],
    })
}

fn without_sequence(mut summary: Value) -> Value {
    summary.as_object_mut().unwrap().remove("sequence");
    summary
}

async fn summary(daybook: &Daybook, portfolio: &str) -> Value {
    daybook.get(&format!("/v1/portfolios/{portfolio}?as_of=2024-01-04")).await.has(200).json()
}

#[tokio::test]
async fn a_signed_delivery_is_recorded_in_one_commit_and_shows_in_the_figures() {
    let (daybook, portfolio) = furnished().await;
    let answer = deliver(&daybook, &a_day("d-1")).await.has(201).json();
    assert_eq!(answer["delivery"], "d-1");
    assert_eq!(answer["sequences"].as_array().unwrap().len(), 4, "{answer}");
    let summary = summary(&daybook, &portfolio).await;
    assert_eq!(summary["cash"], json!({ "USD": "842" }), "{summary}");
    assert_eq!(summary["market_value"], "161.25");
    for sequence in answer["sequences"].as_array().unwrap() {
        let event = daybook.get(&format!("/v1/events/{sequence}")).await.json();
        assert_eq!((&event["source"], &event["actor"]), (&json!("webhook-desk"), &json!("webhook-desk")));
    }
}

#[tokio::test]
async fn the_same_delivery_again_is_answered_200_and_recorded_once_also_signed_anew() {
    let (daybook, portfolio) = furnished().await;
    let first = deliver(&daybook, &a_day("d-1")).await.has(201).json();
    let head = daybook.head();
    for ago in [0, 7, -7] {
        let again = signed(&daybook, SECRET, ago, &a_day("d-1").to_string(), &[]).await.has(200);
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(again.json()["sequences"], first["sequences"]);
        assert_eq!(again.json()["already"], true);
    }
    // The same content in other words is the same content.
    let pretty = serde_json::to_string_pretty(&a_day("d-1")).unwrap();
    signed(&daybook, SECRET, 0, &pretty, &[]).await.has(200);
    assert_eq!(daybook.head(), head);
    assert_eq!(summary(&daybook, &portfolio).await["cash"], json!({ "USD": "842" }));
}

#[tokio::test]
async fn one_id_with_another_content_is_a_conflict_that_says_so() {
    let (daybook, _) = furnished().await;
    deliver(&daybook, &a_day("d-1")).await.has(201);
    let head = daybook.head();
    let mut other = a_day("d-1");
    other["fills"][0]["quantity"] = json!("11");
    let problem = deliver(&daybook, &other).await.is(409, "idempotency-key-reused");
    assert!(problem["detail"].as_str().unwrap().contains("`d-1`"), "{problem}");
    assert!(problem["sequence"].as_u64().is_some(), "{problem}");
    // Another delivery with a fill that is known otherwise contradicts the ledger, too.
    other["id"] = json!("d-2");
    deliver(&daybook, &other).await.is(409, "conflict");
    assert_eq!(daybook.head(), head, "nothing half done");
}

#[tokio::test]
async fn who_signs_wrongly_learns_no_more_than_who_names_no_source() {
    let (daybook, _) = furnished().await;
    let head = daybook.head();
    let body = a_day("d-1").to_string();
    let wrong = signed(&daybook, "another-secret-here", 0, &body, &[]).await.is(401, "signature-refused");
    let timestamp = seconds().to_string();
    let own = |secret: &str, timestamp: &str, body: &str| {
        signature::header(&[Secret::new(secret.to_owned())], timestamp, body.as_bytes())
    };
    let good = own(SECRET, &timestamp, &body);
    let cases = [
        ("/v1/webhooks/nobody", timestamp.as_str(), good.as_str(), body.as_str()),
        // A source of alerts takes nothing signed.
        ("/v1/webhooks/tv", &timestamp, &own(ALERTS, &timestamp, &body), &body),
        ("/v1/webhooks/desk", &timestamp, "", &body),
        ("/v1/webhooks/desk", "", &good, &body),
        ("/v1/webhooks/desk", &timestamp, &good.to_uppercase(), &body),
        ("/v1/webhooks/desk", &timestamp, &good, &body.replace("d-1", "d-2")),
        ("/v1/webhooks/desk", &(seconds() - 1).to_string(), &good, &body),
    ];
    for (path, timestamp, signature, body) in cases {
        let headers = [
            ("content-type", "application/json"),
            ("daybook-timestamp", timestamp),
            ("daybook-signature", signature),
        ];
        let answer = daybook.send(None, Method::POST, path, &headers, body.to_owned()).await;
        assert_eq!(answer.is(401, "signature-refused"), wrong, "{path}");
    }
    // An administrator's token is no signature.
    let headers = [("content-type", "application/json")];
    let token = daybook.administrator.clone();
    let answer = daybook.send(Some(&token), Method::POST, "/v1/webhooks/desk", &headers, body).await;
    assert_eq!(answer.is(401, "signature-refused"), wrong);
    assert_eq!(daybook.head(), head);
}

#[tokio::test]
async fn a_delivery_outside_the_window_is_refused_to_either_side() {
    let (daybook, _) = furnished().await;
    let head = daybook.head();
    for ago in [302, 100_000, -302] {
        let answer = signed(&daybook, SECRET, ago, &a_day("d-1").to_string(), &[]).await;
        let problem = answer.is(401, "signature-refused");
        assert!(problem["detail"].as_str().unwrap().contains("300 s"), "{problem}");
    }
    assert_eq!(daybook.head(), head);
    signed(&daybook, SECRET, 290, &a_day("d-1").to_string(), &[]).await.has(201);
}

#[tokio::test]
async fn a_captured_delivery_cannot_be_replayed_under_another_id_of_the_header() {
    let (daybook, portfolio) = furnished().await;
    let mut body = a_day("");
    body.as_object_mut().unwrap().remove("id");
    let body = body.to_string();
    let timestamp = seconds().to_string();
    let signature = signature::header(&[Secret::new(SECRET.to_owned())], &timestamp, body.as_bytes());
    let send = async |id: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("daybook-timestamp", timestamp.as_str()),
            ("daybook-signature", signature.as_str()),
            ("daybook-delivery", id),
        ];
        daybook.send(None, Method::POST, "/v1/webhooks/desk", &headers, body.clone()).await
    };
    let first = send("mine").await.has(201).json();
    let head = daybook.head();
    let replayed = send("stolen").await.has(200).json();
    assert_eq!(replayed["already"], true);
    // A price that is known is no event of the second delivery.
    assert_eq!(replayed["sequences"].as_array().unwrap()[..3], first["sequences"].as_array().unwrap()[..3]);
    assert_eq!(daybook.head(), head);
    assert_eq!(summary(&daybook, &portfolio).await["cash"], json!({ "USD": "842" }));
    // Signed anew it is another delivery, and brings its rows without an id once more.
    signed(&daybook, SECRET, 20, &body, &[("daybook-delivery", "second")]).await.has(201);
    assert_eq!(summary(&daybook, &portfolio).await["cash"], json!({ "USD": "1789" }));
}

#[tokio::test]
async fn while_a_secret_is_changed_the_old_and_the_new_one_are_good() {
    let (daybook, portfolio) = furnished().await;
    daybook.shared.webhooks.open(Inbound::new(source("desk", &portfolio, &["the-new-secret-x", SECRET])));
    deliver(&daybook, &a_day("d-1")).await.has(201);
    signed(&daybook, "the-new-secret-x", 0, &a_day("d-1").to_string(), &[]).await.has(200);
}

#[tokio::test]
async fn every_fault_is_named_by_its_list_and_its_row_and_nothing_is_recorded() {
    let (daybook, portfolio) = furnished().await;
    let head = daybook.head();
    let mut body = a_day("d-1");
    body["fills"][1]["price"] = json!("ten");
    body["cash"][0]["amount"] = json!("-5");
    body["prices"][0]["close"] = json!("");
    let problem = deliver(&daybook, &body).await.is(422, "invalid-input");
    let fields: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|fault| fault["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["fills[1].price", "cash[0].amount", "prices[0].close"], "{problem}");
    let refusals = [
        (json!({ "id": "x" }), "invalid-input", "empty"),
        (
            json!({ "cash": [{ "time": "2024-01-02", "type": "deposit", "amount": "1" }] }),
            "invalid-input",
            "id",
        ),
        (
            json!({ "id": "x", "fills": [{ "time": "2024-01-02", "type": "deposit", "amount": "1" }] }),
            "invalid-input",
            "cash",
        ),
        (
            json!({ "id": "x", "cash": [{ "time": "2024-01-02", "type": "Buy", "symbol": "A", "quantity": "1", "price": "1" }] }),
            "invalid-input",
            "fills",
        ),
        (
            json!({ "id": "x", "fills": [{ "time": "2024-01-02", "type": "buy", "symbol": "A", "quantity": 1, "price": "1" }] }),
            "invalid-input",
            "quotes",
        ),
        (json!({ "id": "x", "fils": [] }), "unknown-field", "fils"),
        (
            json!({ "id": "", "cash": [{ "time": "2024-01-02", "type": "deposit", "amount": "1" }] }),
            "invalid-input",
            "bytes",
        ),
        (
            json!({ "id": "x", "cash": [{ "time": "2024-01-02", "type": "rename", "symbol": "A", "to_symbol": "B" }] }),
            "invalid-input",
            "administrator",
        ),
        (json!([]), "malformed-json", "object"),
    ];
    for (body, slug, word) in refusals {
        let answer = deliver(&daybook, &body).await;
        let status = if slug == "invalid-input" { 422 } else { 400 };
        let problem = answer.is(status, slug);
        assert!(problem.to_string().contains(word), "{body}: {problem}");
    }
    let twice = json!({ "id": "x", "cash": [
        { "time": "2024-01-02", "type": "deposit", "amount": "1", "id": "A" },
        { "time": "2024-01-02", "type": "deposit", "amount": "2", "id": "A" },
    ] });
    let problem = deliver(&daybook, &twice).await.is(422, "invalid-input");
    assert!(problem["detail"].as_str().unwrap().contains("cash[1].id"), "{problem}");
    signed(&daybook, SECRET, 0, "time,type", &[("content-type", "text/csv")]).await;
    assert_eq!(daybook.head(), head);
    let equal = json!({ "id": "x", "cash": [
        { "time": "2024-01-02", "type": "deposit", "amount": "1", "id": "A" },
        { "time": "2024-01-02", "type": "deposit", "amount": "1", "id": "A" },
    ] });
    let answer = deliver(&daybook, &equal).await.has(201).json();
    assert_eq!(answer["sequences"][0], answer["sequences"][1], "one transaction, named twice");
    assert_eq!(summary(&daybook, &portfolio).await["cash"], json!({ "USD": "1" }));
}

#[tokio::test]
async fn a_source_brings_only_what_it_may_and_into_its_own_account() {
    let (daybook, portfolio) = furnished().await;
    let config = InboundWebhook {
        takes: vec![Taken::Cash],
        account: Some("custody".to_owned()),
        ..source("desk", &portfolio, &[SECRET])
    };
    daybook.shared.webhooks.open(Inbound::new(config));
    let problem = deliver(&daybook, &a_day("d-1")).await.is(422, "invalid-input");
    let fields: Vec<&Value> =
        problem["errors"].as_array().unwrap().iter().map(|fault| &fault["field"]).collect();
    assert_eq!(fields, ["fills", "prices"]);
    let cash = |account: Value| json!({ "id": "d-2", "cash": [{ "time": "2024-01-02", "type": "deposit", "amount": "5", "account": account }] });
    let problem = deliver(&daybook, &cash(json!("other"))).await.is(422, "invalid-input");
    assert!(problem["detail"].as_str().unwrap().contains("`custody`"), "{problem}");
    deliver(&daybook, &cash(json!(null))).await.has(201);
    let listed = daybook.get(&format!("/v1/portfolios/{portfolio}/transactions")).await.json();
    assert_eq!(listed["items"][0]["account"], "custody");
}

#[tokio::test]
async fn a_delivery_that_adds_nothing_takes_its_id_and_leaves_nothing_else() {
    let (daybook, portfolio) = furnished().await;
    deliver(&daybook, &a_day("d-1")).await.has(201);
    let head = daybook.head();
    let before = summary(&daybook, &portfolio).await;
    let price =
        json!({ "id": "d-2", "prices": [{ "symbol": "ACME", "date": "2024-01-03", "close": "10.75" }] });
    let fill = json!({ "id": "d-4", "fills": [a_day("")["fills"][0].clone()] });
    for (known, sequences) in [(price, 0), (fill, 1)] {
        let head = daybook.head();
        for _ in 0..2 {
            let answer = deliver(&daybook, &known).await.has(200).json();
            assert_eq!(answer["already"], true, "{answer}");
            assert_eq!(answer["sequences"].as_array().unwrap().len(), sequences, "{answer}");
            assert_eq!(daybook.head(), head + 1, "sent again, it is not acknowledged again");
        }
        let mut other = known.clone();
        other["cash"] = json!([{ "time": "2024-01-02", "type": "deposit", "amount": "5" }]);
        let problem = deliver(&daybook, &other).await.is(409, "idempotency-key-reused");
        assert_eq!(problem["sequence"], head + 1, "{problem}");
        let event = daybook.get(&format!("/v1/events/{}", head + 1)).await.json();
        assert_eq!(
            (&event["type"], &event["payload"]["source"]),
            (&json!("DeliveryAcknowledged"), &json!("webhook-desk"))
        );
    }
    assert_eq!(daybook.head(), head + 2);
    assert_eq!(without_sequence(summary(&daybook, &portfolio).await), without_sequence(before));
    let restated =
        json!({ "id": "d-3", "prices": [{ "symbol": "ACME", "date": "2024-01-03", "close": "10.80" }] });
    deliver(&daybook, &restated).await.has(201);
    let prices = daybook.get("/v1/prices/ACME").await.json();
    assert_eq!(prices["items"][0]["close"], "10.8");
    assert_eq!(
        (&prices["items"][0]["feed"], &prices["items"][0]["revision"]),
        (&json!("webhook-desk"), &json!(1))
    );
}

const ALERT: &str =
    r#"{"ticker":"ACME","close":10.25,"order":{"action":"long","size":3},"time":"2024-01-03T15:00:00Z"}"#;

#[tokio::test]
async fn an_alert_becomes_a_transaction_by_the_map_and_its_numbers_keep_their_digits() {
    let (daybook, portfolio) = furnished().await;
    let answer = alert(&daybook, ALERT).await.has(201).json();
    let event = daybook.get(&format!("/v1/events/{}", answer["sequences"][0])).await.json();
    assert_eq!(event["source"], "webhook-tv");
    let listed = daybook.get(&format!("/v1/portfolios/{portfolio}/transactions")).await.json();
    let row = &listed["items"][0];
    assert_eq!(
        (&row["type"], &row["symbol"], &row["price"], &row["quantity"]),
        (&json!("buy"), &json!("ACME"), &json!("10.25"), &json!("3"))
    );
    // Without a time of its own it happened when it came.
    let now = crate::journal::now().to_string();
    alert(&daybook, &ALERT.replace(r#","time":"2024-01-03T15:00:00Z""#, "")).await.has(201);
    let listed = daybook.get(&format!("/v1/portfolios/{portfolio}/transactions")).await.json();
    assert!(listed["items"][1]["time"].as_str().unwrap() >= now.as_str());
}

#[tokio::test]
async fn equal_alerts_within_the_window_are_one_and_later_ones_are_not() {
    let (daybook, portfolio) = furnished().await;
    let first = alert(&daybook, ALERT).await.has(201).json();
    let again = alert(&daybook, ALERT).await.has(200).json();
    assert_eq!(again["sequences"], first["sequences"]);
    alert(&daybook, &ALERT.replace(":3", ":4")).await.has(201);
    let mut short = daybook.shared.webhooks.source("tv").unwrap().config.clone();
    short.window = Duration::from_millis(400);
    daybook.shared.webhooks.open(Inbound::new(short));
    alert(&daybook, ALERT).await.has(201);
    let begun = std::time::Instant::now();
    // However the window lies between its stretches, what comes within it is the same.
    while begun.elapsed() < Duration::from_millis(250) {
        alert(&daybook, ALERT).await.has(200);
    }
    tokio::time::sleep(Duration::from_millis(450)).await;
    alert(&daybook, ALERT).await.has(201);
    let listed = daybook.get(&format!("/v1/portfolios/{portfolio}/transactions")).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn an_alert_with_an_id_is_one_for_ever() {
    let (daybook, portfolio) = furnished().await;
    let mut config = daybook.shared.webhooks.source("tv").unwrap().config.clone();
    config.window = Duration::from_millis(50);
    config.map.as_mut().unwrap().delivery = Some(Template::parse("/id").unwrap());
    daybook.shared.webhooks.open(Inbound::new(config));
    let body = ALERT.replacen('{', r#"{"id":"a-1","#, 1);
    alert(&daybook, &body).await.has(201);
    tokio::time::sleep(Duration::from_millis(120)).await;
    alert(&daybook, &body).await.has(200);
    alert(&daybook, &body.replace(":3", ":4")).await.is(409, "idempotency-key-reused");
    alert(&daybook, ALERT).await.is(422, "invalid-input");
    let listed = daybook.get(&format!("/v1/portfolios/{portfolio}/transactions")).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_fault_of_an_alert_names_the_pointer_and_the_column() {
    let (daybook, _) = furnished().await;
    let head = daybook.head();
    let problem = alert(&daybook, &ALERT.replace("10.25", "\"ten\"")).await.is(422, "invalid-input");
    assert_eq!(problem["errors"][0]["field"], "price", "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("`/close`"), "{problem}");
    let problem = alert(&daybook, &ALERT.replace("ticker", "tocker")).await.is(422, "invalid-input");
    assert_eq!(problem["errors"][0]["field"], "symbol");
    assert!(problem["detail"].as_str().unwrap().contains("`/ticker`"), "{problem}");
    alert(&daybook, "buy ACME").await.is(422, "invalid-input");
    alert(&daybook, "").await.is(422, "invalid-input");
    assert_eq!(daybook.head(), head);
    let received = daybook.get("/v1/webhooks/tv").await.json();
    assert_eq!((&received["refused"], &received["recorded"]), (&json!(4), &json!(0)), "{received}");
    assert!(received["last_error"].as_str().is_some());
}

#[tokio::test]
async fn plain_text_and_prices_are_alerts_too() {
    let (daybook, portfolio) = furnished().await;
    let mut config = alerts(
        "text",
        &portfolio,
        &[("symbol", "/what"), ("close", "/price"), ("time", "2024-01-03T20:00:00Z")],
    );
    let map = config.map.as_mut().unwrap();
    map.recorded = Recorded::Price;
    map.pattern = Some(Regex::new(r"^(?<what>\w+) crossed (?<price>[0-9.]+)$").unwrap());
    daybook.shared.webhooks.open(Inbound::new(config));
    let path = format!("/v1/webhooks/text/{ALERTS}");
    let send = async |body: &str| {
        let headers = [("content-type", "text/plain; charset=utf-8")];
        daybook.send(None, Method::POST, &path, &headers, body.to_owned()).await
    };
    send("ACME crossed 10.125\n").await.has(201);
    let prices = daybook.get("/v1/prices/ACME").await.json();
    assert_eq!(
        (&prices["items"][0]["close"], &prices["items"][0]["feed"]),
        (&json!("10.125"), &json!("webhook-text"))
    );
    let problem = send("ACME crossed 10..5").await.is(422, "invalid-input");
    assert!(problem["detail"].as_str().unwrap().contains("`/price`"), "{problem}");
    assert_eq!(problem["errors"][0]["field"], "close");
}

#[tokio::test]
async fn the_secret_of_a_path_opens_its_own_source_alone_and_is_told_to_nobody() {
    let (daybook, _) = furnished().await;
    let said = log::capture();
    let headers = [("content-type", "application/json")];
    let mut answers = Vec::new();
    for path in [
        format!("/v1/webhooks/tv/{ALERTS}x"),
        "/v1/webhooks/tv/x".to_owned(),
        format!("/v1/webhooks/nobody/{ALERTS}"),
        // A source that signs has no secret in its path.
        format!("/v1/webhooks/desk/{SECRET}"),
    ] {
        let answer = daybook.send(None, Method::POST, &path, &headers, ALERT).await;
        answers.push(answer.is(401, "signature-refused"));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let path = format!("/v1/webhooks/tv/{ALERTS}");
    daybook.send(None, Method::POST, &path, &headers, ALERT).await.has(201);
    let mut shown = String::new();
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::POST, format!("{path}/more")),
        (Method::POST, format!("/v1/%77ebhooks/tv/{ALERTS}")),
        (Method::POST, format!("/v1//webhooks/tv/{ALERTS}")),
        (Method::POST, path.clone()),
    ] {
        let token = daybook.administrator.clone();
        let answer = daybook.send(Some(&token), method, &path, &headers, "nothing").await;
        shown.push_str(&String::from_utf8_lossy(&answer.bytes));
        shown.push_str(&format!("{:?}", answer.headers));
    }
    shown.push_str(&String::from_utf8_lossy(&daybook.get("/v1/webhooks").await.has(200).bytes));
    shown.push_str(&format!("{:?}", daybook.shared.webhooks));
    for secret in [ALERTS, SECRET] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!said.text().contains(secret), "{}", said.text());
    }
    assert!(said.text().contains("/v1/webhooks/tv/…"), "{}", said.text());
}

#[tokio::test]
async fn who_never_signs_rightly_is_soon_told_to_wait_and_who_did_is_heard_all_the_same() {
    let (daybook, _) = furnished().await;
    let wrong = async |name: &str| {
        let headers = [("content-type", "application/json"), ("daybook-signature", "v1=00")];
        let path = format!("/v1/webhooks/{name}");
        daybook.send(None, Method::POST, &path, &headers, "{}").await
    };
    let mut refused = 0;
    let told = loop {
        let answer = wrong("desk").await;
        if answer.status.as_u16() == 429 {
            break answer;
        }
        answer.is(401, "signature-refused");
        refused += 1;
        assert!(refused < 1_000, "it is never told to wait");
    };
    assert!(refused >= 60, "{refused}");
    assert!((1..=2).contains(&told.header("retry-after").parse::<u64>().unwrap()));
    told.is(429, "rate-limited");
    // Neither another name, nor a secret in the path, nor a right signature is looked at now.
    wrong("nobody").await.is(429, "rate-limited");
    let (path, headers) = ("/v1/webhooks/tv/guess", [("content-type", "application/json")]);
    daybook.send(None, Method::POST, path, &headers, ALERT).await.is(429, "rate-limited");
    let head = daybook.head();
    deliver(&daybook, &a_day("d-1")).await.is(429, "rate-limited");
    assert_eq!(daybook.head(), head);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    deliver(&daybook, &a_day("d-1")).await.has(201);
    while wrong("nobody").await.status.as_u16() != 429 {}
    for _ in 0..100 {
        deliver(&daybook, &a_day("d-1")).await.has(200);
    }
}

#[tokio::test]
async fn deliveries_that_come_at_once_are_recorded_once() {
    let (daybook, portfolio) = furnished().await;
    let body = a_day("d-1");
    let sends = (0..8).map(|_| deliver(&daybook, &body));
    let statuses: Vec<u16> =
        futures_util::future::join_all(sends).await.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 7, "{statuses:?}");
    assert_eq!(summary(&daybook, &portfolio).await["cash"], json!({ "USD": "842" }));
}

/// What is written to the log while a test runs, on its own thread.
mod log {
    use std::io;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Clone, Default)]
    pub(super) struct Said(Arc<Mutex<Vec<u8>>>);

    impl Said {
        pub(super) fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
        }
    }

    impl io::Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Said {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    pub(super) struct Captured {
        said: Said,
        _guard: tracing::subscriber::DefaultGuard,
    }

    impl Captured {
        pub(super) fn text(&self) -> String {
            self.said.text()
        }
    }

    /// Writes down everything that this thread says, in every detail.
    pub(super) fn capture() -> Captured {
        let said = Said::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(said.clone())
            .finish();
        Captured { said, _guard: tracing::subscriber::set_default(subscriber) }
    }
}
