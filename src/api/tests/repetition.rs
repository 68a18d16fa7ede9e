//! Writes that are sent again under one Idempotency-Key.

use super::{Daybook, buy, deposit};
use daybook_schemas::events::Role;
use poem::http::Method;
use serde_json::{Value, json};

const KEY: [(&str, &str); 1] = [("idempotency-key", "once")];

#[tokio::test]
async fn the_same_write_under_the_same_key_is_done_once_and_answered_the_same() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let trade = daybook.transact(&mine, buy("2024-01-03", "ACME", "1", "10")).await;
    let below = |path: &str| format!("/v1/portfolios/{mine}{path}");
    for (number, (path, body)) in [
        ("/v1/portfolios".to_owned(), json!({ "name": "Other" })),
        (below("/transactions"), deposit("2024-01-02", "5")),
        (below("/transactions"), buy("2024-01-02", "NEWCO", "5", "2")),
        (
            "/v1/prices".to_owned(),
            json!({ "items": [{ "symbol": "ZETA", "date": "2024-01-05", "close": "9" }] }),
        ),
        (format!("/v1/events/{trade}/reverse"), json!({ "reason": "a typo" })),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("key-{number}");
        let headers = [("idempotency-key", key.as_str())];
        let first = daybook.post_keyed(&path, &body, &headers).await.has(201);
        let head = daybook.head();
        for _ in 0..2 {
            let again = daybook.post_keyed(&path, &body, &headers).await.has(201);
            assert_eq!(again.json(), first.json(), "{path}");
            assert_eq!(again.header("location"), first.header("location"), "{path}");
            assert_eq!(
                (again.header("idempotent-replayed"), first.header("idempotent-replayed")),
                ("true", "")
            );
        }
        assert_eq!(daybook.head(), head, "{path} recorded something again");
        let other = match path.as_str() {
            "/v1/portfolios" => json!({ "name": "Third" }),
            "/v1/prices" => json!({ "items": [{ "symbol": "ZETA", "date": "2024-01-05", "close": "8" }] }),
            path if path.ends_with("reverse") => json!({ "reason": "another" }),
            _ => deposit("2024-01-02", "6"),
        };
        let problem = daybook.post_keyed(&path, &other, &headers).await.is(409, "idempotency-key-reused");
        assert!(problem["sequence"].as_u64().is_some_and(|sequence| sequence <= head), "{problem}");
        assert_eq!(daybook.head(), head, "{path} recorded another request under a used key");
    }
}

#[tokio::test]
async fn an_upload_under_the_same_key_is_answered_with_the_first_report() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let path = format!("/v1/portfolios/{mine}/imports");
    let rows =
        "time,type,symbol,quantity,price,amount\n2024-01-02,deposit,,,,50\n2024-01-03,buy,ACME,1,10,\n";
    let parts = [("format", "csv")];
    let first = daybook.upload(&path, &parts, rows, &KEY).await.has(201);
    let report = first.json();
    assert_eq!(report["rows"], 2);
    assert_eq!(report["events"]["TradeExecuted"], 1);
    let head = daybook.head();
    let again = daybook.upload(&path, &parts, rows, &KEY).await.has(201);
    assert_eq!(again.json(), report);
    assert_eq!(again.header("location"), first.header("location"));
    daybook
        .upload(&path, &parts, &format!("{rows}2024-01-04,deposit,,,,1\n"), &KEY)
        .await
        .is(409, "idempotency-key-reused");
    // Without the key the file says nothing new, and that is no error.
    let known = daybook.upload(&path, &parts, rows, &[]).await.has(200).json();
    assert_eq!((&known["known"], &known["import"]), (&json!(2), &report["import"]));
    assert_eq!(daybook.head(), head);
    let revert = format!("/v1/imports/{}/revert", report["import"].as_str().unwrap());
    let key = [("idempotency-key", "revert")];
    let first = daybook.post_keyed(&revert, &json!({ "reason": "wrong file" }), &key).await.has(201).json();
    let again = daybook.post_keyed(&revert, &json!({ "reason": "wrong file" }), &key).await.has(201).json();
    assert_eq!(first, again);
    daybook.post(&revert, &json!({})).await.is(409, "conflict");
    // A reverted import can be imported again.
    let anew = daybook.upload(&path, &parts, rows, &[]).await.has(201).json();
    assert_ne!(anew["import"], report["import"]);
}

#[tokio::test]
async fn a_dry_run_records_nothing_and_uses_up_no_key() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let path = format!("/v1/portfolios/{mine}/imports");
    let rows = "time,type,amount\n2024-01-02,deposit,50\n";
    let head = daybook.head();
    let report =
        daybook.upload(&path, &[("format", "csv"), ("dry_run", "true")], rows, &KEY).await.has(200).json();
    assert_eq!((&report["dry_run"], &report["events"]["CashTransferred"]), (&json!(true), &json!(1)));
    assert_eq!(daybook.head(), head);
    daybook.upload(&path, &[("format", "csv")], rows, &KEY).await.has(201);
}

#[tokio::test]
async fn a_key_belongs_to_the_subject_that_used_it() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let id = mine.parse().unwrap();
    let anna = daybook.token_of(Role::Service, Some("anna"), vec![id]);
    let also_anna = daybook.token_of(Role::Service, Some("anna"), vec![id]);
    let ben = daybook.token_of(Role::Service, Some("ben"), vec![id]);
    let path = format!("/v1/portfolios/{mine}/transactions");
    let send = async |token: &str, amount: &str| {
        let headers = [("content-type", "application/json"), KEY[0]];
        daybook
            .send(Some(token), Method::POST, &path, &headers, deposit("2024-01-02", amount).to_string())
            .await
    };
    let first = send(&anna, "1").await.has(201).json();
    assert_eq!(send(&also_anna, "1").await.has(201).json(), first);
    let other = send(&ben, "1").await.has(201).json();
    assert_ne!(other["sequence"], first["sequence"]);
    send(&also_anna, "2").await.is(409, "idempotency-key-reused");
    let cash = daybook.get(&format!("/v1/portfolios/{mine}")).await.json();
    assert_eq!(cash["cash"]["USD"], "2");
}

#[tokio::test]
async fn without_a_key_equal_transactions_are_two_and_an_id_is_recorded_once() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let path = format!("/v1/portfolios/{mine}/transactions");
    let first = daybook.transact(&mine, deposit("2024-01-02", "5")).await;
    assert_ne!(daybook.transact(&mine, deposit("2024-01-02", "5")).await, first);
    let named = json!({ "time": "2024-01-02", "type": "deposit", "amount": "5", "id": "d1" });
    let recorded = daybook.post(&path, &named).await.has(201).json();
    assert_eq!(recorded["already"], false);
    let again = daybook.post(&path, &named).await.has(200).json();
    assert_eq!((&again["already"], &again["sequence"]), (&json!(true), &recorded["sequence"]));
    let mut contradicting: Value = named;
    contradicting["amount"] = "6".into();
    let problem = daybook.post(&path, &contradicting).await.is(409, "conflict");
    assert_eq!(problem["sequence"], recorded["sequence"]);
}

#[tokio::test]
async fn attempts_at_once_under_one_key_record_it_once_and_all_answer_the_same() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let path = format!("/v1/portfolios/{mine}/transactions");
    let body = buy("2024-01-02", "ACME", "1", "10");
    let attempts = (0..8).map(|_| daybook.post_keyed(&path, &body, &KEY));
    let mut answers = Vec::new();
    let handles: Vec<_> = attempts.collect();
    for answer in join_all(handles).await {
        answers.push(answer.has(201).json());
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    let listed = daybook.get(&path).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}

/// Runs futures at once.
async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut done = true;
        for (future, output) in &mut pending {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => done = false,
                }
            }
        }
        if done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}

#[tokio::test]
async fn a_revocation_uses_up_its_key() {
    let daybook = Daybook::new();
    let mut paths = Vec::new();
    for _ in 0..2 {
        let issued = daybook.post("/v1/tokens", &json!({ "role": "auditor" })).await.has(201).json();
        paths.push(format!("/v1/tokens/{}", issued["id"].as_str().unwrap()));
    }
    let administrator = Some(daybook.administrator.as_str());
    for _ in 0..2 {
        daybook.send(administrator, Method::DELETE, &paths[0], &KEY, ()).await.has(204);
    }
    let other = daybook.send(administrator, Method::DELETE, &paths[1], &KEY, ()).await;
    other.is(409, "idempotency-key-reused");
    // Ids made within one millisecond stand in no order.
    let listed = daybook.get("/v1/tokens").await.json();
    let mut tokens = listed["items"].as_array().unwrap().iter();
    let second = tokens.find(|token| paths[1].ends_with(token["id"].as_str().unwrap())).unwrap();
    assert_eq!(second["state"], "valid");
}

#[tokio::test]
async fn a_token_is_not_shown_again() {
    let daybook = Daybook::new();
    let body = json!({ "role": "auditor" });
    daybook.post_keyed("/v1/tokens", &body, &KEY).await.has(201);
    daybook.post_keyed("/v1/tokens", &body, &KEY).await.is(409, "conflict");
}
