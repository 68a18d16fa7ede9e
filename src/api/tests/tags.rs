//! ETags: a read that would say the same again is not said again.

use super::{Daybook, buy, deposit};
use poem::http::Method;

async fn unchanged(daybook: &Daybook, path: &str, tag: &str) -> bool {
    let answer = daybook.get_knowing(path, tag).await;
    match answer.status.as_u16() {
        304 => {
            assert!(answer.bytes.is_empty(), "{answer}");
            assert_eq!(answer.header("etag"), tag);
            true
        }
        200 => {
            assert_ne!(answer.header("etag"), tag, "{answer}");
            false
        }
        _ => panic!("{answer}"),
    }
}

#[tokio::test]
async fn a_portfolio_is_unchanged_until_something_that_it_depends_on_changes() {
    let daybook = Daybook::new();
    let (mine, other) = (daybook.portfolio("Mine").await, daybook.portfolio("Other").await);
    daybook.transact(&mine, deposit("2024-01-02", "1000")).await;
    daybook.transact(&mine, buy("2024-01-03", "ACME", "2", "10")).await;
    for below in ["", "/positions", "/lots", "/transactions", "/trades", "/equity?to=2024-01-10"] {
        let path = format!("/v1/portfolios/{mine}{below}");
        let tag = daybook.get(&path).await.has(200).header("etag").to_owned();
        assert!(tag.starts_with("W/\"") && tag.ends_with('"'), "{tag}");
        assert!(unchanged(&daybook, &path, &tag).await, "{path}");
        // Another portfolio, another's token: nothing that this answer depends on.
        daybook.transact(&other, deposit("2024-01-02", "7")).await;
        assert!(unchanged(&daybook, &path, &tag).await, "{path} changed with another portfolio");
        daybook.transact(&mine, deposit("2024-01-04", "1")).await;
        assert!(!unchanged(&daybook, &path, &tag).await, "{path} did not change with its own entry");
        let tag = daybook.get(&path).await.header("etag").to_owned();
        daybook.price("ACME", "2024-01-05", &format!("{}", 10 + below.len())).await;
        assert!(!unchanged(&daybook, &path, &tag).await, "{path} did not change with a price");
        let tag = daybook.get(&path).await.header("etag").to_owned();
        let csv = format!("time,type,amount,id\n2024-01-06,deposit,5,x{}\n", below.len());
        let imports = format!("/v1/portfolios/{mine}/imports");
        let report = daybook.upload(&imports, &[("format", "csv")], &csv, &[]).await.has(201).json();
        assert!(!unchanged(&daybook, &path, &tag).await, "{path} did not change with an import");
        let tag = daybook.get(&path).await.header("etag").to_owned();
        let revert = format!("/v1/imports/{}/revert", report["import"].as_str().unwrap());
        daybook.post(&revert, &serde_json::json!({})).await.has(201);
        assert!(!unchanged(&daybook, &path, &tag).await, "{path} did not change with a reversion");
    }
}

#[tokio::test]
async fn two_answers_under_one_tag_differ_in_the_head_alone() {
    let daybook = Daybook::new();
    let (mine, other) = (daybook.portfolio("Mine").await, daybook.portfolio("Other").await);
    daybook.transact(&mine, deposit("2024-01-02", "1000")).await;
    let path = format!("/v1/portfolios/{mine}");
    let before = daybook.get(&path).await;
    daybook.transact(&other, deposit("2024-01-02", "7")).await;
    let after = daybook.get(&path).await;
    assert_eq!(before.header("etag"), after.header("etag"));
    let (mut before, mut after) = (before.json(), after.json());
    assert_eq!(after["sequence"], daybook.head());
    assert!(before["sequence"].take().as_u64() < after["sequence"].take().as_u64());
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_view_of_the_past_is_unchanged_whatever_comes() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let known = daybook.transact(&mine, deposit("2024-01-02", "1000")).await;
    let path = format!("/v1/portfolios/{mine}?at_sequence={known}&as_of=2024-01-31");
    let seen = daybook.get(&path).await.has(200);
    assert_eq!(seen.json()["sequence"], known);
    let tag = seen.header("etag").to_owned();
    daybook.transact(&mine, deposit("2024-01-03", "1")).await;
    assert!(unchanged(&daybook, &path, &tag).await);
    assert_eq!(daybook.get(&path).await.json()["cash"]["USD"], "1000");
    let now = daybook.get(&format!("/v1/portfolios/{mine}?as_of=2024-01-31")).await.json();
    assert_eq!(now["cash"]["USD"], "1001");
    // The same tag under another question is another answer.
    let other = format!("/v1/portfolios/{mine}?at_sequence={known}&as_of=2024-01-30");
    assert!(!unchanged(&daybook, &other, &tag).await);
}

#[tokio::test]
async fn any_tag_of_a_list_and_the_asterisk_match_and_a_strange_one_does_not() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let path = format!("/v1/portfolios/{mine}");
    let tag = daybook.get(&path).await.header("etag").to_owned();
    let strong = tag.trim_start_matches("W/").to_owned();
    for (sent, status) in [
        (tag.clone(), 304),
        (strong.clone(), 304),
        (format!("\"x\", {tag}"), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
        (String::new(), 200),
    ] {
        daybook.get_knowing(&path, &sent).await.has(status);
    }
}

#[tokio::test]
async fn every_read_has_a_tag_and_is_private() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    daybook.transact(&mine, buy("2024-01-03", "ACME", "2", "10")).await;
    daybook.price("ACME", "2024-01-05", "11").await;
    for path in [
        "/v1/portfolios",
        "/v1/imports",
        "/v1/quarantine",
        "/v1/prices/ACME",
        "/v1/events",
        "/v1/events/1",
        "/v1/tokens",
        &format!("/v1/portfolios/{mine}/imports"),
    ] {
        let answer = daybook.get(path).await.has(200);
        let tag = answer.header("etag").to_owned();
        assert!(answer.header("cache-control").contains("private"), "{answer}");
        assert!(unchanged(&daybook, path, &tag).await, "{path}");
        let head = daybook.send(Some(&daybook.administrator), Method::HEAD, path, &[], ()).await.has(200);
        assert_eq!((head.header("etag"), head.bytes.len()), (tag.as_str(), 0));
    }
    for path in ["/v1/imports", "/v1/prices/ACME", "/v1/events"] {
        let tag = daybook.get(path).await.header("etag").to_owned();
        daybook.price("ACME", "2024-01-05", &format!("1{}", path.len())).await;
        assert!(!unchanged(&daybook, path, &tag).await, "{path}");
    }
}
