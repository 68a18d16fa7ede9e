//! Writes that hold only if nothing changed since a read.

use super::{Daybook, buy, deposit};
use poem::http::Method;
use serde_json::{Value, json};

/// The ETag of a read.
async fn tag(daybook: &Daybook, path: &str) -> String {
    daybook.get(path).await.has(200).header("etag").to_owned()
}

#[tokio::test]
async fn a_write_goes_through_on_any_present_tag_of_the_portfolio_and_on_no_older_one() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    daybook.transact(&mine, buy("2024-01-03", "ACME", "1", "10")).await;
    let below = |path: &str| format!("/v1/portfolios/{mine}{path}");
    let transactions = below("/transactions");
    for read in ["", "/positions", "/transactions?limit=1", "/trades", "/orders", "/equity?to=2024-01-05"] {
        let seen = tag(&daybook, &below(read)).await;
        let strong = seen.trim_start_matches("W/").to_owned();
        let listed = format!("\"0123456789abcdef.0\", {strong}");
        let first =
            daybook.post_keyed(&transactions, &deposit("2024-01-02", "1"), &[("if-match", &listed)]).await;
        first.has(201);
        let head = daybook.head();
        let stale =
            daybook.post_keyed(&transactions, &deposit("2024-01-02", "1"), &[("if-match", &seen)]).await;
        let problem = stale.is(412, "precondition-failed");
        assert_eq!(daybook.head(), head, "{read}: nothing is recorded");
        assert_eq!(problem["current"]["sequence"], head);
        // What the problem says can be sent as it is, once the caller has decided again.
        let present = problem["current"]["etag"].as_str().unwrap().to_owned();
        let again =
            daybook.post_keyed(&transactions, &deposit("2024-01-02", "1"), &[("if-match", &present)]).await;
        again.has(201);
    }
}

#[tokio::test]
async fn what_does_not_change_the_portfolio_leaves_its_tags_good() {
    let daybook = Daybook::new();
    let (mine, other) = (daybook.portfolio("Mine").await, daybook.portfolio("Other").await);
    daybook.transact(&mine, buy("2024-01-03", "ACME", "1", "10")).await;
    let seen = tag(&daybook, &format!("/v1/portfolios/{mine}")).await;
    daybook.transact(&other, deposit("2024-01-02", "1")).await;
    daybook.price("ACME", "2024-01-05", "12").await;
    // The figures are others now, and so is the tag; but nobody wrote to the portfolio.
    assert_ne!(tag(&daybook, &format!("/v1/portfolios/{mine}")).await, seen);
    let path = format!("/v1/portfolios/{mine}/transactions");
    daybook.post_keyed(&path, &deposit("2024-01-02", "1"), &[("if-match", &seen)]).await.has(201);
    let other_tag = tag(&daybook, &format!("/v1/portfolios/{other}")).await;
    let foreign = daybook.post_keyed(&path, &deposit("2024-01-02", "1"), &[("if-match", &other_tag)]).await;
    foreign.is(412, "precondition-failed");
}

#[tokio::test]
async fn an_import_that_is_taken_back_makes_tags_stale_and_every_write_route_says_so() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let trade = daybook.transact(&mine, buy("2024-01-03", "ACME", "1", "10")).await;
    let imports = format!("/v1/portfolios/{mine}/imports");
    let rows = "time,type,amount\n2024-01-02,deposit,50\n";
    let import = daybook.upload(&imports, &[("format", "csv")], rows, &[]).await.has(201).json();
    let revert = format!("/v1/imports/{}/revert", import["import"].as_str().unwrap());
    let stale = tag(&daybook, &format!("/v1/portfolios/{mine}")).await;
    daybook.post_keyed(&revert, &json!({}), &[("if-match", &stale)]).await.has(201);
    let head = daybook.head();
    let condition = [("if-match", stale.as_str())];
    let posts = [
        (format!("/v1/portfolios/{mine}/transactions"), deposit("2024-01-02", "1")),
        (format!("/v1/events/{trade}/reverse"), json!({ "reason": "typo" })),
    ];
    for (path, body) in &posts {
        daybook.post_keyed(path, body, &condition).await.is(412, "precondition-failed");
    }
    daybook.upload(&imports, &[("format", "csv")], rows, &condition).await.is(412, "precondition-failed");
    assert_eq!(daybook.head(), head);
    let any = [("if-match", "*")];
    for (path, body) in &posts {
        daybook.post_keyed(path, body, &any).await.has(201);
    }
    daybook.upload(&imports, &[("format", "csv")], rows, &any).await.has(201);
    let head = daybook.head();
    for malformed in ["abc", "\"a", "W/", "", " ", ","] {
        let path = &posts[0].0;
        let problem = daybook
            .post_keyed(path, &posts[0].1, &[("if-match", malformed)])
            .await
            .is(400, "invalid-parameter");
        assert_eq!(problem["errors"][0]["field"], "If-Match");
    }
    assert_eq!(daybook.head(), head);
}

#[tokio::test]
async fn a_tag_of_the_past_is_no_tag_of_the_present() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let first = daybook.transact(&mine, deposit("2024-01-02", "1")).await;
    daybook.transact(&mine, deposit("2024-01-02", "2")).await;
    let path = format!("/v1/portfolios/{mine}/transactions");
    let past = tag(&daybook, &format!("/v1/portfolios/{mine}?at_sequence={first}")).await;
    let refused = daybook.post_keyed(&path, &deposit("2024-01-02", "3"), &[("if-match", &past)]).await;
    refused.is(412, "precondition-failed");
    // A view that fixes what is known never changes, and says nothing of what is known by now.
    let now = tag(&daybook, &format!("/v1/portfolios/{mine}?at_sequence={}", daybook.head())).await;
    daybook
        .post_keyed(&path, &deposit("2024-01-02", "3"), &[("if-match", &now)])
        .await
        .is(412, "precondition-failed");
}

#[tokio::test]
async fn a_write_that_was_done_is_answered_again_though_it_made_its_own_tag_stale() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let trade = daybook.transact(&mine, buy("2024-01-03", "ACME", "1", "10")).await;
    for (number, (path, body)) in [
        (format!("/v1/portfolios/{mine}/transactions"), deposit("2024-01-02", "1")),
        (format!("/v1/events/{trade}/reverse"), json!({ "reason": "typo" })),
    ]
    .into_iter()
    .enumerate()
    {
        let seen = tag(&daybook, &format!("/v1/portfolios/{mine}")).await;
        let key = format!("key-{number}");
        let headers = [("if-match", seen.as_str()), ("idempotency-key", key.as_str())];
        let first = daybook.post_keyed(&path, &body, &headers).await.has(201);
        let again = daybook.post_keyed(&path, &body, &headers).await.has(201);
        assert_eq!(again.json(), first.json());
        assert_eq!(again.header("idempotent-replayed"), "true");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writes_on_one_tag_at_once_exactly_one_is_done() {
    let daybook = std::sync::Arc::new(Daybook::new());
    let mine = daybook.portfolio("Mine").await;
    daybook.transact(&mine, deposit("2024-01-02", "1")).await;
    for round in 0..5 {
        let seen = tag(&daybook, &format!("/v1/portfolios/{mine}")).await;
        let head = daybook.head();
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (daybook, mine, seen) = (daybook.clone(), mine.clone(), seen.clone());
                tokio::spawn(async move {
                    let path = format!("/v1/portfolios/{mine}/transactions");
                    let body = deposit("2024-01-02", &format!("{}", 10 + writer));
                    daybook.post_keyed(&path, &body, &[("if-match", &seen)]).await.status.as_u16()
                })
            })
            .collect();
        let mut statuses = Vec::new();
        for writer in writers {
            statuses.push(writer.await.unwrap());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 412, 412, 412, 412, 412, 412, 412], "round {round}");
        assert_eq!(daybook.head(), head + 1);
    }
}

#[tokio::test]
async fn a_key_that_was_used_for_another_request_shows_both() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let path = format!("/v1/portfolios/{mine}/transactions");
    let key = [("idempotency-key", "once")];
    let first = daybook.post_keyed(&path, &deposit("2024-01-02", "1"), &key).await.has(201).json();
    let other_content = daybook.post_keyed(&path, &deposit("2024-01-02", "2"), &key).await;
    let other_route = daybook.post_keyed("/v1/tokens", &json!({ "role": "auditor" }), &key).await;
    let administrator = Some(daybook.administrator.as_str());
    let token = "/v1/tokens/00000000000000000000000001";
    let deleted = daybook.send(administrator, Method::DELETE, token, &key, ()).await;
    for (answer, request) in [
        (other_content, "POST /v1/portfolios/{id}/transactions"),
        (other_route, "POST /v1/tokens"),
        (deleted, "DELETE /v1/tokens/{id}"),
    ] {
        let problem = answer.is(409, "idempotency-key-reused");
        let (earlier, present) = (&problem["earlier"], &problem["present"]);
        assert_eq!(earlier["request"], "POST /v1/portfolios/{id}/transactions");
        assert_eq!((&earlier["sequence"], &earlier["type"]), (&first["sequence"], &json!("CashTransferred")));
        assert_eq!(earlier["stream"], format!("portfolio-{mine}"));
        assert!(earlier["recorded_at"].is_string());
        assert_eq!(present["request"], request);
        let hash = |request: &Value| request["content_hash"].as_str().unwrap().to_owned();
        assert_eq!((hash(earlier).len(), hash(present).len()), (64, 64));
        assert_ne!(hash(earlier), hash(present));
    }
}

#[test]
fn every_write_takes_an_idempotency_key() {
    // They set something going that records under keys of its own, or nothing.
    const ERRANDS: &[&str] = &["retryWebhook", "synchroniseNow"];
    let document: Value = serde_json::from_str(&crate::api::specification()).unwrap();
    let mut without = Vec::new();
    for methods in document["paths"].as_object().unwrap().values() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let mut parameters = operation["parameters"].as_array().into_iter().flatten();
            let takes = parameters.any(|parameter| parameter["name"] == "Idempotency-Key");
            if method != "get" && !takes && !ERRANDS.contains(&id) {
                without.push(id.to_owned());
            }
        }
    }
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn keys_that_were_kept_before_hashes_told_the_operation_are_known_still() {
    let whole: [u8; 32] = *blake3::hash(b"POST /v1/x\n{}").as_bytes();
    let mut told = [7; 32];
    told[8..].copy_from_slice(&whole[..24]);
    assert!(crate::journal::is_same_request(&whole, &told));
    assert!(crate::journal::is_same_request(&told, &told));
    let other: [u8; 32] = *blake3::hash(b"POST /v1/x\n{1}").as_bytes();
    assert!(!crate::journal::is_same_request(&other, &told));
}
