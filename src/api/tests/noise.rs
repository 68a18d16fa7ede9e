//! Requests made at random: whatever comes, the service answers, and never that it failed.

use super::{BOUNDARY, Daybook, buy, deposit};
use poem::http::Method;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Texts near to what the service reads, and far from it.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("2024-01-02".to_owned()),
        Just("2024-01-02T10:00:00Z".to_owned()),
        Just("9999-12-31T23:59:59.999999999Z".to_owned()),
        Just("buy".to_owned()),
        Just("split".to_owned()),
        Just("1/0".to_owned()),
        Just("-79228162514264337593543950335".to_owned()),
        Just("0.0000000000000000000000000001".to_owned()),
        Just("ACME".to_owned()),
        Just("18446744073709551615".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        "[ -~]{0,12}",
        "\\PC{0,6}",
    ]
}

fn json() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
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
        "note",
        "account",
        "effect",
        "settle",
        "fx_rate",
        "basis",
        "kind",
        "to_symbol",
        "name",
        "role",
        "portfolios",
        "items",
        "reason",
        "zone",
    ]);
    let value = prop_oneof![
        4 => text().prop_map(serde_json::Value::from),
        1 => any::<f64>().prop_map(serde_json::Value::from),
        1 => Just(serde_json::Value::Null),
        1 => prop::collection::vec(text(), 0..3).prop_map(serde_json::Value::from),
    ];
    prop_oneof![
        6 => prop::collection::btree_map(names.prop_map(str::to_owned), value, 0..8)
            .prop_map(|members| serde_json::Value::from_iter(members).to_string()),
        1 => "\\PC{0,40}",
    ]
}

#[test]
fn no_request_makes_the_service_fail() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let daybook = Daybook::new();
    let mine = runtime.block_on(async {
        let mine = daybook.portfolio("Mine").await;
        daybook.transact(&mine, deposit("2024-01-02", "1000")).await;
        daybook.transact(&mine, buy("2024-01-03", "ACME", "2", "10")).await;
        daybook.price("ACME", "2024-01-04", "11").await;
        mine
    });
    let routes: Vec<String> = [
        "/v1/portfolios",
        "/v1/portfolios/ID",
        "/v1/portfolios/ID/positions",
        "/v1/portfolios/ID/lots",
        "/v1/portfolios/ID/transactions",
        "/v1/portfolios/ID/trades",
        "/v1/portfolios/ID/trades/5",
        "/v1/portfolios/ID/equity",
        "/v1/portfolios/ID/imports",
        "/v1/imports",
        "/v1/quarantine",
        "/v1/prices",
        "/v1/prices/ACME",
        "/v1/prices/imports",
        "/v1/events",
        "/v1/events/4",
        "/v1/events/5/reverse",
        "/v1/tokens",
        "/v1/webhooks",
        "/v1/webhooks/desk",
        "/v1/webhooks/desk/secret",
        "/v1/tile/entries/000.p/3",
        "/health/ready",
    ]
    .iter()
    .map(|route| route.replace("ID", &mine))
    .collect();
    let parameters = vec![
        "as_of",
        "known_at",
        "at_sequence",
        "cursor",
        "limit",
        "from",
        "to",
        "stream",
        "state",
        "interval",
    ];
    let query = prop::collection::vec((prop::sample::select(parameters), text()), 0..3);
    let kinds = prop::sample::select(vec![
        "application/json".to_owned(),
        format!("multipart/form-data; boundary={BOUNDARY}"),
        "text/plain".to_owned(),
    ]);
    let methods = prop::sample::select(vec![Method::GET, Method::POST, Method::HEAD, Method::PUT]);
    let requests = (prop::sample::select(routes), query, methods, kinds, json(), text());
    let mut runner = TestRunner::new(Config { cases: 600, failure_persistence: None, ..Config::default() });
    runner
        .run(&requests, |(route, query, method, kind, body, key)| {
            let query: Vec<String> =
                query.iter().map(|(name, text)| format!("{name}={}", encoded(text))).collect();
            let path = format!("{route}?{}", query.join("&"));
            let mut headers = vec![("content-type", kind.as_str())];
            if key.is_ascii() && !key.bytes().any(|byte| byte.is_ascii_control()) {
                headers.push(("idempotency-key", key.as_str()));
            }
            let administrator = Some(daybook.administrator.as_str());
            let answer = runtime.block_on(daybook.send(administrator, method, &path, &headers, body));
            prop_assert!(!answer.status.is_server_error(), "{answer}");
            if answer.status.is_client_error() && !answer.bytes.is_empty() {
                prop_assert!(
                    answer.json()["type"].as_str().is_some_and(|kind| kind.starts_with("/problems/"))
                );
            }
            Ok(())
        })
        .unwrap();
    // What was taken among it can be read.
    for below in ["", "/positions", "/lots", "/transactions", "/trades", "/equity?to=2024-03-01"] {
        runtime.block_on(daybook.get(&format!("/v1/portfolios/{mine}{below}"))).has(200);
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
