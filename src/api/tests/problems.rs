//! Everything that can be wrong with a request is a problem of its own kind, which says what to do.

use super::{BOUNDARY, Daybook, buy, deposit, form};
use crate::api::catching_panics;
use crate::api::gate::Gate;
use crate::api::operations::Operations;
use crate::api::service::{Config, Service};
use crate::metrics::{Metrics, Requests};
use poem::http::Method;
use poem::{Endpoint, EndpointExt, Request, Response};
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_by_kind_and_place() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let transactions = format!("/v1/portfolios/{mine}/transactions");
    let known = json!({ "time": "2024-01-02", "type": "deposit", "amount": "5", "id": "d1" });
    daybook.post(&transactions, &known).await.has(201);
    let head = daybook.head();

    for (path, status, slug) in [
        ("/v1/nothing", 404, "no-such-route"),
        ("/nothing", 404, "no-such-route"),
        ("/v1", 404, "no-such-route"),
        ("/v1/", 404, "no-such-route"),
        ("/v1/portfolios/", 404, "no-such-route"),
        ("/v1/portfolios/mine", 400, "invalid-parameter"),
        ("/v1/portfolios/00000000000000000000000001", 404, "not-found"),
        ("/v1/events/0", 404, "not-found"),
        ("/v1/events/-1", 400, "invalid-parameter"),
        ("/v1/events/99999999999999999999", 400, "invalid-parameter"),
        ("/v1/imports/00000000000000000000000001", 404, "not-found"),
        ("/v1/prices/NOSUCH", 404, "not-found"),
        ("/v1/tile/entries/abc", 404, "not-found"),
        ("/v1/portfolios?colour=red", 400, "unknown-parameter"),
        ("/v1/portfolios?limit=1&limit=2", 400, "invalid-parameter"),
        ("/v1/portfolios?limit=0", 400, "invalid-parameter"),
        ("/v1/portfolios?limit=1001", 400, "invalid-parameter"),
        ("/v1/portfolios?as_of=yesterday", 400, "invalid-parameter"),
        ("/v1/portfolios?at_sequence=999999", 400, "invalid-parameter"),
        ("/v1/portfolios?known_at=2024-01-01&at_sequence=1", 400, "invalid-parameter"),
        ("/v1/portfolios?cursor=x", 400, "invalid-cursor"),
        ("/v1/quarantine?state=lost", 400, "invalid-parameter"),
    ] {
        daybook.get(path).await.is(status, slug);
    }
    let at = |below: &str| format!("/v1/portfolios/{mine}{below}");
    daybook.get(&at("/equity?interval=hour")).await.is(400, "invalid-parameter");
    daybook.get(&at("/equity?from=2024-02-01&to=2024-01-01")).await.is(400, "invalid-parameter");
    daybook.get(&at("/trades/99999")).await.is(404, "not-found");
    let named = daybook.get(&at("/trades/first")).await.is(400, "invalid-parameter");
    assert_eq!(named["errors"][0]["field"], "trade");
    let named = daybook.get("/v1/portfolios?as_of=2024-02-30").await.is(400, "invalid-parameter");
    assert_eq!(named["errors"][0]["field"], "as_of");
    assert!(named["errors"][0]["detail"].as_str().unwrap().starts_with("`2024-02-30`"), "{named}");

    for (body, status, slug, fields) in [
        (json!({}), 422, "invalid-input", &["time", "type"][..]),
        (json!({ "time": "2024-01-02", "type": "deposit" }), 422, "invalid-input", &["amount"]),
        (json!({ "time": "2024-01-02", "type": "deposit", "amount": 5 }), 422, "invalid-input", &["amount"]),
        (
            json!({ "time": "2024-01-02", "type": "deposit", "amount": "5", "colour": "red", "size": "9" }),
            400,
            "unknown-field",
            &["colour", "size"],
        ),
        (json!({ "time": "2024-01-02", "type": "deposit", "amount": "6", "id": "d1" }), 409, "conflict", &[]),
        (json!([known]), 400, "malformed-json", &[]),
    ] {
        let problem = daybook.post(&transactions, &body).await.is(status, slug);
        let named: Vec<&str> = problem["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|error| error["field"].as_str())
            .collect();
        assert!(fields.iter().all(|field| named.contains(field)), "{body}: {problem}");
    }
    let json_kind = ("content-type", "application/json");
    let administrator = Some(daybook.administrator.as_str());
    for (headers, body, status, slug) in [
        (&[json_kind][..], "{", 400, "malformed-json"),
        (&[json_kind], "", 400, "malformed-json"),
        (&[json_kind], "null", 400, "malformed-json"),
        (&[json_kind], "{\"time\":\"x\",\"time\":\"y\"}", 400, "malformed-json"),
        (&[], "{}", 415, "unsupported-media-type"),
        (&[json_kind, ("content-encoding", "gzip")], "{}", 415, "unsupported-media-type"),
        (&[("content-type", "text/csv")], "{}", 415, "unsupported-media-type"),
        (&[json_kind, ("idempotency-key", "")], "{}", 400, "invalid-parameter"),
        (&[json_kind, ("idempotency-key", "two words")], "{}", 400, "invalid-parameter"),
        (&[json_kind, ("idempotency-key", "a"), ("idempotency-key", "b")], "{}", 400, "invalid-parameter"),
        (&[json_kind, ("x-request-id", "two words")], "{}", 400, "invalid-parameter"),
    ] {
        daybook.send(administrator, Method::POST, &transactions, headers, body).await.is(status, slug);
    }
    let long = "k".repeat(256);
    daybook
        .send(administrator, Method::POST, &transactions, &[json_kind, ("idempotency-key", &long)], "{}")
        .await
        .is(400, "invalid-parameter");

    let refused = daybook.send(administrator, Method::DELETE, "/v1/portfolios", &[], ()).await;
    assert_eq!(refused.header("allow"), "GET, HEAD, POST");
    refused.is(405, "method-not-allowed");
    daybook.send(administrator, Method::PATCH, &transactions, &[], ()).await.is(405, "method-not-allowed");
    daybook.send(administrator, Method::DELETE, "/health/live", &[], ()).await.is(405, "method-not-allowed");
    assert_eq!(daybook.head(), head, "a refused request recorded something");
}

#[tokio::test]
async fn an_upload_that_cannot_be_used_is_told_by_part_and_line() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let path = format!("/v1/portfolios/{mine}/imports");
    let good = "time,type,amount\n2024-01-02,deposit,5\n";
    let bad = "time,type,amount\n2024-01-02,deposit,5\n2024-01-03,deposit,x\n";
    let head = daybook.head();
    for (parts, file, status, slug, field) in [
        (&[("format", "csv")][..], bad, 422, "invalid-input", "amount"),
        (&[], good, 422, "invalid-input", "format"),
        (&[("format", "quicken")], good, 422, "invalid-input", "format"),
        (&[("format", "csv"), ("format", "csv")], good, 422, "invalid-input", "format"),
        (&[("format", "csv"), ("mood", "good")], good, 422, "invalid-input", "mood"),
        (&[("format", "csv"), ("dry_run", "maybe")], good, 422, "invalid-input", "dry_run"),
    ] {
        let problem = daybook.upload(&path, parts, file, &[]).await.is(status, slug);
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let problem = daybook.upload(&path, &[("format", "csv")], bad, &[]).await.is(422, "invalid-input");
    assert_eq!(problem["errors"][0]["line"], 3, "{problem}");
    daybook.upload(&path, &[("format", "robinhood")], good, &[]).await.is(422, "invalid-input");

    let whole = form(&[("format", "csv")], good);
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let administrator = Some(daybook.administrator.as_str());
    for (kind, body, status, slug) in [
        (kind.as_str(), &whole[..whole.len() / 2], 400, "invalid-multipart"),
        (kind.as_str(), "", 400, "invalid-multipart"),
        ("multipart/form-data", whole.as_str(), 400, "invalid-multipart"),
        ("application/json", "{}", 415, "unsupported-media-type"),
    ] {
        let headers = [("content-type", kind)];
        daybook.send(administrator, Method::POST, &path, &headers, body.to_owned()).await.is(status, slug);
    }
    assert_eq!(daybook.head(), head);
}

#[tokio::test]
async fn prices_that_cannot_be_used_are_told_by_their_place_among_the_items() {
    let daybook = Daybook::new();
    let head = daybook.head();
    for (items, field) in [
        (
            json!([{ "symbol": "A", "date": "2024-01-02", "close": "1" }, { "symbol": "A", "date": "2024-01-99", "close": "1" }]),
            "items[1].date",
        ),
        (json!([{ "symbol": "A", "date": "2024-01-02", "close": 1 }]), "items[0].close"),
        (json!([{ "symbol": "A", "date": "2024-01-02", "close": "x" }]), "items[0].close"),
        (json!([{ "symbol": "A", "date": "2024-01-02", "close": "1", "mood": "good" }]), "items[0].mood"),
        (json!([]), "items"),
        (json!({}), "items"),
    ] {
        let answer = daybook.post("/v1/prices", &json!({ "items": items })).await;
        assert!(matches!(answer.status.as_u16(), 400 | 422), "{answer}");
        assert_eq!(answer.json()["errors"][0]["field"], field, "{answer}");
    }
    daybook.post("/v1/prices", &json!({ "items": [], "adjusted": "yes" })).await.is(422, "invalid-input");
    assert_eq!(daybook.head(), head);
}

#[tokio::test]
async fn what_contradicts_the_ledger_is_a_conflict() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let trade = daybook.transact(&mine, buy("2024-01-02", "ACME", "1", "10")).await;
    let path = format!("/v1/events/{trade}/reverse");
    daybook.post(&path, &json!({ "reason": "typo" })).await.has(201);
    let problem = daybook.post(&path, &json!({ "reason": "typo" })).await.is(409, "conflict");
    assert_eq!(problem["sequence"], daybook.head());
    daybook.post("/v1/events/1/reverse", &json!({ "reason": "typo" })).await.is(422, "invalid-input");
    daybook.post(&path, &json!({ "reason": " " })).await.is(422, "invalid-input");
    daybook.post(&path, &json!({})).await.is(422, "invalid-input");
}

#[tokio::test]
async fn a_token_that_cannot_be_issued_is_told_by_the_fields_of_the_request() {
    let daybook = Daybook::new();
    let head = daybook.head();
    for (body, field) in [
        (json!({}), "role"),
        (json!({ "role": "king" }), "role"),
        (json!({ "role": "client" }), "subject"),
        (json!({ "role": "advisor", "subject": "anna" }), "subject"),
        (json!({ "role": "display" }), "portfolios"),
        (json!({ "role": "auditor", "percentages_only": true }), "percentages_only"),
        (json!({ "role": "service" }), "portfolios"),
        (json!({ "role": "service", "portfolios": ["mine"] }), "portfolios"),
        (json!({ "role": "service", "portfolios": "mine" }), "portfolios"),
        (json!({ "role": "auditor", "expires": "2001-01-01T00:00:00Z" }), "expires"),
        (json!({ "role": "auditor", "expires": "soon" }), "expires"),
        (json!({ "role": "auditor", "subject": " " }), "subject"),
    ] {
        let problem = daybook.post("/v1/tokens", &body).await.is(422, "invalid-input");
        assert_eq!(problem["errors"][0]["field"], field, "{body}: {problem}");
    }
    assert_eq!(daybook.head(), head);
}

#[tokio::test]
async fn a_request_keeps_the_id_that_it_came_with_and_its_records_carry_it() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let path = format!("/v1/portfolios/{mine}/transactions");
    let id = "01hw2y3z4a5b6c7d8e9f0g1h2j";
    let answer =
        daybook.post_keyed(&path, &deposit("2024-01-02", "5"), &[("x-request-id", id)]).await.has(201);
    assert_eq!(answer.header("x-request-id"), id);
    let event = daybook.get(answer.header("location")).await.has(200).json();
    assert_eq!(event["correlation"], id);
    assert_eq!(event["source"], "api");
    assert!(event["actor"].as_str().is_some_and(|actor| actor.starts_with("administrator ")), "{event}");
    let other = daybook.get("/v1/nothing").await;
    assert_eq!(other.header("x-request-id").len(), 26, "{other}");
}

#[tokio::test]
async fn a_panic_is_a_problem_and_the_next_request_is_answered() {
    let daybook = Daybook::new();
    let service = Service::new(daybook.journal.clone(), std::sync::Arc::default(), Config::default());
    let routes = poem::endpoint::make_sync(|request: Request| {
        assert!(request.uri().path() != "/broken", "a fault of the program");
        Response::default()
    });
    let operations = Arc::new(Operations::of(&json!({ "paths": {} })));
    let metrics = Arc::new(Metrics {
        requests: Requests::of([]),
        connections: Arc::default(),
        journal: daybook.journal.clone(),
        shared: daybook.shared.clone(),
    });
    let gate = Gate::new(routes.with(catching_panics()), service.clone(), operations, metrics);
    let answer = gate.call(Request::builder().uri_str("/broken").finish()).await.unwrap();
    assert_eq!(answer.status().as_u16(), 500);
    assert_eq!(answer.content_type(), Some("application/problem+json"));
    let text = answer.into_body().into_string().await.unwrap();
    assert!(text.contains("/problems/internal") && !text.contains("a fault of the program"), "{text}");
    assert!(gate.call(Request::builder().uri_str("/sound").finish()).await.unwrap().is_success());
    let blocked = service.blocking::<()>(|_| panic!("a fault of the program")).await.unwrap_err();
    assert_eq!(blocked.kind().slug(), "internal");
}

#[tokio::test]
async fn health_and_documentation_need_no_token() {
    let daybook = Daybook::new();
    for path in ["/health/live", "/health/ready", "/openapi.json", "/docs", "/problems/cursor-gone"] {
        daybook.send(None, Method::GET, path, &[], ()).await.has(200);
    }
    let ready = daybook.send(None, Method::GET, "/health/ready", &[], ()).await.json();
    assert_eq!(ready, serde_json::json!({ "status": "ready" }), "and says nothing of what is recorded");
    let page = daybook.send(None, Method::GET, "/docs", &[], ()).await;
    let text = String::from_utf8(page.bytes).unwrap();
    assert!(text.contains("SwaggerUIBundle") && text.contains("/portfolios/{id}/positions"));
    assert!(text.contains("/tile/entries/{tile}") && !text.contains("/tile/entries/*"));
    let unknown = daybook.send(None, Method::GET, "/problems/cursor-lost", &[], ()).await;
    unknown.is(404, "not-found");
}

#[tokio::test]
async fn the_type_of_a_problem_is_an_address_that_says_what_it_means() {
    let daybook = Daybook::new();
    let problem = daybook.get("/v1/nothing").await.is(404, "no-such-route");
    let meaning =
        daybook.send(None, Method::GET, problem["type"].as_str().unwrap(), &[], ()).await.has(200).json();
    assert_eq!((&meaning["type"], &meaning["title"]), (&problem["type"], &problem["title"]));
    assert!(meaning["meaning"].as_str().is_some_and(|text| !text.is_empty()), "{meaning}");
}
