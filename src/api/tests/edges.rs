//! The edges of the API: metrics, pages of other origins, rate limits, time limits, and on which days tokens were used.

use super::{Answer, Daybook, deposit};
use crate::api::service::Config;
use crate::config::Rate;
use crate::journal::Moment;
use daybook_schemas::events::Role;
use poem::http::Method;
use poem::{Endpoint, Request};
use serde_json::json;
use std::num::NonZeroU32;
use std::time::Duration;

async fn metrics(daybook: &Daybook, token: Option<&str>) -> Answer {
    daybook.send(token, Method::GET, "/metrics", &[], ()).await
}

/// The value of a sample.
fn sample(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}

fn text(answer: Answer) -> String {
    String::from_utf8(answer.has(200).bytes).unwrap()
}

#[tokio::test]
async fn metrics_are_for_administrators_and_auditors() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    metrics(&daybook, None).await.is(401, "unauthorized");
    metrics(&daybook, Some("daybook_invented")).await.is(401, "unauthorized");
    for role in [Role::Service, Role::Display] {
        let token = daybook.token(role, &[&mine]);
        metrics(&daybook, Some(&token)).await.is(403, "forbidden");
    }
    let auditor = daybook.token(Role::Auditor, &[]);
    let answer = metrics(&daybook, Some(&auditor)).await.has(200);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    metrics(&daybook, Some(&daybook.administrator)).await.has(200);
}

#[tokio::test]
async fn metrics_alone_are_read_without_a_token_and_nothing_else_is() {
    let daybook = Daybook::new();
    for (method, path, status) in [
        (Method::GET, "/metrics", 200),
        (Method::POST, "/metrics", 405),
        (Method::GET, "/v1/portfolios", 404),
        (Method::GET, "/health/live", 404),
    ] {
        let request = Request::builder().method(method).uri_str(path).finish();
        let answer = daybook.metrics.get_response(request).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn what_is_done_is_counted() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    for day in 1..=5 {
        daybook.transact(&mine, deposit(&format!("2024-01-0{day}"), "10")).await;
    }
    daybook.get(&format!("/v1/portfolios/{mine}")).await.has(200);
    daybook.get("/v1/portfolios/00000000000000000000000001").await.has(404);
    daybook.send(None, Method::GET, "/v1/portfolios", &[], ()).await.has(401);
    let page = text(metrics(&daybook, Some(&daybook.administrator)).await);
    let requests = |operation: &str, status: &str| {
        sample(
            &page,
            &format!("daybook_http_requests_total{{operation=\"{operation}\",status=\"{status}\"}}"),
        )
    };
    assert_eq!(requests("recordTransaction", "2xx"), 5.0);
    assert_eq!((requests("readPortfolio", "2xx"), requests("readPortfolio", "4xx")), (1.0, 1.0));
    assert_eq!(requests("other", "4xx"), 1.0);
    let count = "daybook_http_request_duration_seconds_count{operation=\"recordTransaction\"}";
    assert_eq!(sample(&page, count), 5.0);
    // The page itself is being answered.
    assert_eq!(sample(&page, "daybook_http_requests_in_flight"), 1.0);
    #[expect(clippy::cast_precision_loss, reason = "a head of a few events")]
    let head = daybook.head() as f64;
    assert_eq!(sample(&page, "daybook_ledger_head"), head);
    assert_eq!(sample(&page, "daybook_ledger_records_total"), head);
    assert!(sample(&page, "daybook_ledger_sync_seconds_count") >= 7.0);
    assert!(sample(&page, "daybook_ledger_sync_seconds_sum") > 0.0);
    assert_eq!(sample(&page, "daybook_ledger_writable"), 1.0);
    assert_eq!(sample(&page, "daybook_books"), 1.0);
    daybook.get("/v1/portfolios").await.has(200);
    let page = text(metrics(&daybook, Some(&daybook.administrator)).await);
    assert_eq!(sample(&page, "daybook_projection_lag_records{projection=\"library\"}"), 0.0);
}

#[tokio::test]
async fn every_family_of_metrics_is_described_once_and_holds_only_its_own_samples() {
    let daybook = Daybook::new();
    let source = daybook.shared.board.add("broker", "alpaca", None);
    source.update(|status| {
        status.last_success = Some(crate::journal::now());
        status.breaks = vec!["cash differs".to_owned()];
    });
    daybook.get("/v1/portfolios").await.has(200);
    let page = text(metrics(&daybook, Some(&daybook.administrator)).await);
    assert_eq!(sample(&page, "daybook_source_breaks_open{source=\"broker\",kind=\"alpaca\"}"), 1.0);
    assert!(
        sample(&page, "daybook_source_last_success_age_seconds{source=\"broker\",kind=\"alpaca\"}") < 60.0
    );
    let mut families = std::collections::BTreeSet::new();
    let mut family = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, meaning) = rest.split_once(' ').unwrap();
            assert!(families.insert(name.to_owned()), "{name} is described twice");
            assert!(meaning.ends_with('.'), "{line}");
            family = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest.split_once(' ').unwrap().0, family);
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let name = name.split_once('{').map_or(name, |(name, _)| name);
            let own =
                ["", "_bucket", "_sum", "_count"].iter().any(|suffix| name == format!("{family}{suffix}"));
            assert!(own, "{line} is under {family}");
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        }
    }
    assert!(families.len() > 20);
}

fn within(requests: u32, per: Duration) -> Config {
    Config { rate: Some(Rate { requests: NonZeroU32::new(requests).unwrap(), per }), ..Config::default() }
}

#[tokio::test]
async fn a_token_over_its_rate_is_told_when_to_come_back_and_others_go_on() {
    let daybook = Daybook::within(within(3, Duration::from_secs(3_600)));
    let auditor = daybook.token(Role::Auditor, &[]);
    let ask = async |token: &str| daybook.send(Some(token), Method::GET, "/v1/portfolios", &[], ()).await;
    for left in [2, 1, 0] {
        let answer = ask(&auditor).await.has(200);
        assert!(answer.header("ratelimit").starts_with(&format!("\"token\";r={left};t=")), "{answer}");
        assert_eq!(answer.header("ratelimit-policy"), "\"token\";q=3;w=3600");
    }
    let refused = ask(&auditor).await;
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=1_200).contains(&seconds), "{seconds}");
    assert!(refused.header("ratelimit").starts_with("\"token\";r=0"), "{refused}");
    refused.is(429, "rate-limited");
    // An error is an answer as any other.
    daybook.send(Some(&auditor), Method::GET, "/v1/nothing", &[], ()).await.is(429, "rate-limited");
    ask(&daybook.administrator).await.has(200);
    let page = text(metrics(&daybook, Some(&daybook.administrator)).await);
    assert_eq!(sample(&page, "daybook_http_requests_limited_total"), 2.0);
}

#[tokio::test]
async fn without_a_rate_nothing_is_said_of_one() {
    let daybook = Daybook::new();
    for _ in 0..200 {
        let answer = daybook.get("/v1/portfolios").await.has(200);
        assert!(
            !answer.headers.contains_key("ratelimit") && !answer.headers.contains_key("ratelimit-policy")
        );
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up_and_a_write_may_be_sent_again() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let written = daybook.transact(&mine, deposit("2024-01-02", "5")).await;
    let soon = Config { request_max: Duration::from_millis(20), ..Config::default() };
    let daybook = daybook.served_within(soon);
    // While somebody looks at a portfolio's book, whoever needs that book waits.
    let (looking, seen) = std::sync::mpsc::channel();
    let (let_go, told) = std::sync::mpsc::channel::<()>();
    let (journal, id) = (daybook.journal.clone(), mine.parse().unwrap());
    let holder = std::thread::spawn(move || {
        let held = journal.portfolio(id, &Moment::default(), |_| {
            looking.send(()).unwrap();
            Ok(told.recv().unwrap())
        });
        held.unwrap();
    });
    seen.recv().unwrap();
    let read = daybook.get(&format!("/v1/portfolios/{mine}/lots")).await;
    assert_eq!(read.header("retry-after"), "5");
    read.is(503, "timed-out");
    let key = [("idempotency-key", "once")];
    let path = format!("/v1/events/{written}/reverse");
    let problem = daybook.post_keyed(&path, &json!({ "reason": "a slip" }), &key).await.is(503, "timed-out");
    assert!(problem["detail"].as_str().unwrap().contains("Idempotency-Key"), "{problem}");
    let page = text(metrics(&daybook, Some(&daybook.administrator)).await);
    assert_eq!(sample(&page, "daybook_http_requests_timed_out_total"), 2.0);
    let_go.send(()).unwrap();
    holder.join().unwrap();
}

fn for_pages(origins: &[&str]) -> Daybook {
    let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    Daybook::within(Config { origins, ..Config::default() })
}

const PAGE: &str = "https://desk.example.org";

async fn preflight(daybook: &Daybook, origin: &str) -> Answer {
    let headers = [("origin", origin), ("access-control-request-method", "POST")];
    daybook.send(None, Method::OPTIONS, "/v1/portfolios", &headers, ()).await
}

#[tokio::test]
async fn a_page_of_a_configured_origin_may_call_and_ask_before_without_a_token() {
    let daybook = for_pages(&[PAGE]);
    let answer = preflight(&daybook, PAGE).await.has(204);
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
    assert!(answer.header("access-control-allow-headers").contains("authorization"));
    assert!(answer.header("access-control-allow-methods").contains("POST"));
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    let token = daybook.administrator.clone();
    let read =
        daybook.send(Some(&token), Method::GET, "/v1/portfolios", &[("origin", PAGE)], ()).await.has(200);
    assert_eq!(read.header("access-control-allow-origin"), PAGE);
    assert!(read.header("access-control-expose-headers").contains("etag"));
    let vary: Vec<_> = read.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(vary.contains(&"origin") && vary.contains(&"authorization"), "{vary:?}");
    // A refusal can be read by the page as well.
    let refused = daybook.send(None, Method::GET, "/v1/portfolios", &[("origin", PAGE)], ()).await;
    assert_eq!(refused.header("access-control-allow-origin"), PAGE);
    refused.is(401, "unauthorized");
}

#[tokio::test]
async fn a_page_of_any_other_origin_is_told_nothing() {
    for (daybook, origin) in [
        (for_pages(&[PAGE]), "https://evil.example.org"),
        (for_pages(&[PAGE]), "https://desk.example.org.evil.example"),
        (for_pages(&[PAGE]), "http://desk.example.org"),
        (for_pages(&[PAGE]), "null"),
        (Daybook::new(), PAGE),
    ] {
        let refused = preflight(&daybook, origin).await;
        assert!(!refused.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{refused}");
        refused.is(401, "unauthorized");
        let token = daybook.administrator.clone();
        let headers = [("origin", origin)];
        let read = daybook.send(Some(&token), Method::GET, "/v1/portfolios", &headers, ()).await.has(200);
        assert!(!read.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{read}");
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_what_not_to_do_with_it() {
    let daybook = Daybook::new();
    for path in ["/v1/portfolios", "/v1/nothing", "/health/live", "/openapi.json", "/nowhere"] {
        let answer = daybook.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert_eq!(answer.header("strict-transport-security"), "", "{path}");
    }
    let docs = daybook.get("/docs").await.has(200);
    assert!(docs.header("content-security-policy").contains("script-src 'unsafe-inline'"));
    let encrypted = Daybook::within(Config { encrypted: true, ..Config::default() });
    let answer = encrypted.get("/v1/portfolios").await;
    assert!(answer.header("strict-transport-security").starts_with("max-age="));
}

#[tokio::test]
async fn the_day_on_which_a_token_was_used_last_is_recorded_once_and_changes_no_other_tag() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    daybook.transact(&mine, deposit("2024-01-02", "10")).await;
    let idle = daybook.token(Role::Auditor, &[]);
    let paths = [
        "/v1/portfolios".to_owned(),
        format!("/v1/portfolios/{mine}"),
        format!("/v1/portfolios/{mine}/transactions"),
        format!("/v1/portfolios/{mine}/equity"),
        "/v1/imports".to_owned(),
        "/v1/instruments".to_owned(),
        "/v1/quarantine".to_owned(),
    ];
    let mut tags = Vec::new();
    for path in &paths {
        tags.push(daybook.get(path).await.has(200).header("etag").to_owned());
    }
    let listed = daybook.get("/v1/tokens").await.has(200);
    assert!(listed.json()["items"].as_array().unwrap().iter().all(|token| token.get("last_used").is_none()));
    let head = daybook.head();
    daybook.journal.record_uses().unwrap();
    assert_eq!(daybook.head(), head + 1, "one token was used, another was not");
    for (path, tag) in paths.iter().zip(&tags) {
        daybook.get_knowing(path, tag).await.has(304);
    }
    let now = daybook.get_knowing("/v1/tokens", listed.header("etag")).await.has(200).json();
    let today = crate::journal::now().day_in(daybook_schemas::Zone::UTC).to_string();
    assert_eq!(now["items"][0]["last_used"], json!(today));
    assert!(now["items"][1].get("last_used").is_none(), "{now}");
    // However often it is used on that day, and whoever asks again.
    daybook.journal.record_uses().unwrap();
    assert_eq!(daybook.head(), head + 1);
    // A use of a token that a crash forgot is noted again, and known by its key.
    daybook.send(Some(&idle), Method::GET, "/v1/portfolios", &[], ()).await.has(200);
    daybook.journal.record_uses().unwrap();
    assert_eq!(daybook.head(), head + 2);
    assert_eq!(daybook.journal.token_list().unwrap()[1]["last_used"], json!(today));
    let event = daybook.get(&format!("/v1/events/{}", head + 1)).await.has(200).json();
    assert_eq!(event["type"], "AccessUsed");
    assert!(event["key"].as_str().unwrap().starts_with("used:"), "{event}");
}

#[tokio::test]
async fn a_request_without_a_valid_token_is_no_use_of_one() {
    let daybook = Daybook::new();
    let head = daybook.head();
    daybook.send(Some("daybook_invented"), Method::GET, "/v1/portfolios", &[], ()).await.has(401);
    daybook.send(None, Method::GET, "/v1/portfolios", &[], ()).await.has(401);
    daybook.send(None, Method::GET, "/health/ready", &[], ()).await.has(200);
    daybook.journal.record_uses().unwrap();
    assert_eq!(daybook.head(), head);
}
