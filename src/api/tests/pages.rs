//! Pages: the pages of one list fit together however the ledger grows in between.

use super::{Daybook, buy, deposit};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// All items of a list by pages of a size, doing something between the pages.
async fn pages(daybook: &Daybook, path: &str, limit: usize, between: impl AsyncFn(usize)) -> Vec<Value> {
    let (mut items, mut cursor, mut page) = (Vec::new(), String::new(), 0);
    let joint = if path.contains('?') { '&' } else { '?' };
    let mut sequence = None;
    loop {
        let answer = daybook.get(&format!("{path}{joint}limit={limit}{cursor}")).await.has(200).json();
        let found = answer["items"].as_array().unwrap();
        assert!(found.len() <= limit);
        assert_eq!(*sequence.get_or_insert(answer["sequence"].clone()), answer["sequence"], "the pin moved");
        items.extend(found.iter().cloned());
        match answer["next"].as_str() {
            Some(next) => {
                assert_eq!(found.len(), limit, "a page that is not the last is full");
                assert!(
                    next.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                );
                cursor = format!("&cursor={next}");
            }
            None => {
                assert!(answer["next"].is_null());
                return items;
            }
        }
        between(page).await;
        page += 1;
    }
}

#[tokio::test]
async fn pages_of_every_list_are_those_of_the_first_moment_while_entries_come_in() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    daybook.transact(&mine, deposit("2024-01-02", "100000")).await;
    for number in 1..=7 {
        daybook.transact(&mine, buy(&format!("2024-01-0{number}"), &format!("S{number}"), "2", "10")).await;
        daybook.price("S1", &format!("2024-02-0{number}"), "11").await;
        daybook.token(daybook_schemas::events::Role::Auditor, &[]);
    }
    let bystander = daybook.portfolio("Bystander").await;
    let prices = std::cell::Cell::new(0);
    for path in [
        format!("/v1/portfolios/{mine}/transactions"),
        format!("/v1/portfolios/{mine}/positions"),
        format!("/v1/portfolios/{mine}/lots"),
        format!("/v1/portfolios/{mine}/trades"),
        format!("/v1/portfolios/{mine}/equity?to=2024-01-20"),
        "/v1/portfolios".to_owned(),
        "/v1/events".to_owned(),
        format!("/v1/events?stream=portfolio-{mine}"),
        "/v1/prices/S1".to_owned(),
        "/v1/imports".to_owned(),
        "/v1/tokens".to_owned(),
    ] {
        let whole =
            daybook.get(&format!("{path}{}limit=1000", if path.contains('?') { '&' } else { '?' })).await;
        let whole = whole.has(200).json()["items"].as_array().unwrap().clone();
        assert!(whole.len() >= 2, "{path}");
        let paged = pages(&daybook, &path, 3, async |page| {
            prices.set(prices.get() + 1);
            // Entries before, among and after what was shown.
            daybook.transact(&mine, buy("2023-12-01", &format!("N{page}"), "1", "1")).await;
            daybook.transact(&mine, deposit("2024-01-04", "1")).await;
            daybook.transact(&bystander, deposit("2024-01-04", "1")).await;
            daybook
                .price("S1", &format!("2024-01-{:02}", 10 + page % 18), &format!("{}", 1_000 + prices.get()))
                .await;
            daybook.portfolio("Late").await;
            daybook.token(daybook_schemas::events::Role::Auditor, &[]);
        })
        .await;
        assert_eq!(paged, whole, "{path}");
    }
}

#[tokio::test]
async fn a_cursor_serves_its_own_list_alone() {
    let daybook = Daybook::new();
    let (mine, other) = (daybook.portfolio("Mine").await, daybook.portfolio("Other").await);
    for number in 1..=3 {
        daybook.transact(&mine, deposit("2024-01-02", &number.to_string())).await;
    }
    let first = daybook.get(&format!("/v1/portfolios/{mine}/transactions?limit=1")).await.has(200).json();
    let cursor = first["next"].as_str().unwrap();
    for path in [
        format!("/v1/portfolios/{other}/transactions?cursor={cursor}"),
        format!("/v1/portfolios/{mine}/trades?cursor={cursor}"),
        format!("/v1/portfolios/{mine}/transactions?as_of=2024-01-02&cursor={cursor}"),
        format!("/v1/events?cursor={cursor}"),
    ] {
        daybook.get(&path).await.is(400, "invalid-cursor");
    }
    let auditor = daybook.token(daybook_schemas::events::Role::Auditor, &[]);
    let path = format!("/v1/portfolios/{mine}/transactions?cursor={cursor}");
    let method = poem::http::Method::GET;
    daybook.send(Some(&auditor), method, &path, &[], ()).await.is(400, "invalid-cursor");
    // The size of the page may change from page to page.
    let rest = daybook.get(&format!("{path}&limit=10")).await.has(200).json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_cursor_that_can_no_longer_be_served_is_gone_and_one_that_never_was_is_refused() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    daybook.transact(&mine, deposit("2024-01-02", "1")).await;
    daybook.transact(&mine, deposit("2024-01-03", "1")).await;
    let path = format!("/v1/portfolios/{mine}/transactions");
    let first = daybook.get(&format!("{path}?limit=1")).await.has(200).json();
    let cursor = URL_SAFE_NO_PAD.decode(first["next"].as_str().unwrap()).unwrap();
    let cursor: Value = serde_json::from_slice(&cursor).unwrap();
    let sent = |changed: &[(&str, Value)]| {
        let mut cursor = cursor.clone();
        for (name, value) in changed {
            cursor[*name] = value.clone();
        }
        format!("{path}?cursor={}", URL_SAFE_NO_PAD.encode(cursor.to_string()))
    };
    daybook.get(&sent(&[])).await.has(200);
    daybook.get(&sent(&[("k", json!(1_000_000))])).await.is(410, "cursor-gone");
    daybook.get(&sent(&[("f", json!(0))])).await.is(410, "cursor-gone");
    daybook.get(&sent(&[("l", json!("9999"))])).await.is(410, "cursor-gone");
    daybook.get(&sent(&[("q", json!("another"))])).await.is(400, "invalid-cursor");
    daybook.get(&sent(&[("x", json!(1))])).await.is(400, "invalid-cursor");
    for nonsense in ["AAAA", "!!", "%F0%9F%98%80", "e30"] {
        daybook.get(&format!("{path}?cursor={nonsense}")).await.is(400, "invalid-cursor");
    }
}

#[tokio::test]
async fn events_are_listed_from_a_sequence_and_by_stream_in_the_order_of_the_log() {
    let daybook = Daybook::new();
    let (mine, other) = (daybook.portfolio("Mine").await, daybook.portfolio("Other").await);
    for number in 1..=5 {
        daybook.transact(&mine, deposit("2024-01-02", &number.to_string())).await;
        daybook.transact(&other, deposit("2024-01-02", &number.to_string())).await;
    }
    let all = daybook.get("/v1/events?limit=1000").await.has(200).json();
    let sequences: Vec<u64> =
        all["items"].as_array().unwrap().iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=daybook.head()).collect::<Vec<_>>());
    assert_eq!(all["sequence"], daybook.head());
    let events = daybook.get(&format!("/v1/events?stream=portfolio-{mine}")).await.has(200).json();
    let of_mine: Vec<&Value> = events["items"].as_array().unwrap().iter().collect();
    assert_eq!(
        of_mine.iter().map(|event| event["version"].as_u64().unwrap()).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6, 7]
    );
    for from in 1..=daybook.head() + 1 {
        let path = format!("/v1/events?stream=portfolio-{mine}&from={from}&limit=2");
        let found = daybook.get(&path).await.has(200).json();
        let expected: Vec<&&Value> =
            of_mine.iter().filter(|event| event["sequence"].as_u64().unwrap() >= from).take(2).collect();
        assert_eq!(
            found["items"].as_array().unwrap().iter().collect::<Vec<_>>(),
            expected.into_iter().copied().collect::<Vec<_>>()
        );
    }
    assert_eq!(daybook.get("/v1/events?stream=nothing").await.has(200).json()["items"], json!([]));
    let one = daybook.get("/v1/events/2").await.has(200).json();
    assert_eq!(one, all["items"][1]);
}
