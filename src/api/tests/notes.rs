//! Plans and annotations: written once, kept through late fills and reversals, seen on both clocks.

use super::{Daybook, buy, deposit};
use daybook_schemas::events::Role;
use poem::http::Method;
use serde_json::{Value, json};

fn sell(time: &str, symbol: &str, quantity: &str, price: &str) -> Value {
    json!({ "time": time, "type": "sell", "symbol": symbol, "quantity": quantity, "price": price })
}

struct Desk {
    daybook: Daybook,
    mine: String,
}

impl Desk {
    async fn new() -> Self {
        let daybook = Daybook::new();
        let mine = daybook.portfolio("Mine").await;
        daybook.transact(&mine, deposit("2024-01-02", "10000")).await;
        Self { daybook, mine }
    }

    fn below(&self, path: &str) -> String {
        format!("/v1/portfolios/{}{path}", self.mine)
    }

    async fn transact(&self, transaction: Value) -> u64 {
        self.daybook.transact(&self.mine, transaction).await
    }

    async fn annotate(&self, fill: u64, body: Value) -> Value {
        let path = self.below(&format!("/trades/{fill}/annotations"));
        self.daybook.post(&path, &body).await.has(201).json()
    }

    async fn trade(&self, fill: u64) -> Value {
        self.daybook.get(&self.below(&format!("/trades/{fill}"))).await.has(200).json()
    }
}

#[tokio::test]
async fn the_latest_annotation_stands_for_a_trade_and_the_earlier_ones_are_kept() {
    let desk = Desk::new().await;
    let entry = desk.transact(buy("2024-01-03", "ACME", "10", "10")).await;
    let exit = desk.transact(sell("2024-01-04", "ACME", "10", "12")).await;
    let body = json!({ "tags": ["breakout"], "strategy": "swing", "setup": "flag", "mistakes": ["chased"], "rating": 2, "note": "too late" });
    let first = desk.annotate(entry, body).await;
    assert_eq!(
        (&first["trade"], &first["fill"], &first["orphaned"]),
        (&json!(entry), &json!(entry), &json!(false))
    );
    assert_eq!(
        (&first["note"], &first["rating"], &first["mistakes"]),
        (&json!("too late"), &json!(2), &json!(["chased"]))
    );
    // By its exit too, which belongs to the same trade.
    let second = desk.annotate(exit, json!({ "rating": 4 })).await;
    assert_eq!(second["trade"], json!(entry));
    let trade = desk.trade(entry).await;
    assert_eq!(trade["annotation"], second);
    assert_eq!(desk.daybook.get(&desk.below("/trades")).await.json()["items"][0]["annotation"], second);
    let path = desk.below(&format!("/trades/{exit}/annotations"));
    assert_eq!(desk.daybook.get(&path).await.has(200).json()["items"], json!([first, second]));
    // What was known before the second does not know of it.
    let past = desk.daybook.get(&format!("{path}?at_sequence={}", first["sequence"])).await.json();
    assert_eq!(past["items"].as_array().unwrap().len(), 1);
    // Nor had either been written on the day of the trade.
    let then = desk.daybook.get(&desk.below(&format!("/trades/{entry}?as_of=2024-01-05"))).await.json();
    assert!(then.get("annotation").is_none(), "{then}");
    // The note is sealed where it is kept.
    let event = desk.daybook.get(&format!("/v1/events/{}", first["sequence"])).await.json();
    assert_eq!(event["type"], "TradeAnnotated");
    assert!(!event.to_string().contains("too late"));
}

#[tokio::test]
async fn an_annotation_goes_with_its_fill_when_late_fills_make_other_trades_of_it() {
    let desk = Desk::new().await;
    let bought = desk.transact(buy("2024-01-05", "ACME", "10", "10")).await;
    let sold = desk.transact(sell("2024-01-08", "ACME", "10", "12")).await;
    let written = desk.annotate(sold, json!({ "tags": ["patient"] })).await;
    assert_eq!(written["trade"], json!(bought));
    // Late: units had been bought before and stay on, so that the sale closes nothing yet and the trade began earlier.
    let late = desk.transact(buy("2024-01-03", "ACME", "5", "9")).await;
    let trade = desk.trade(sold).await;
    assert_eq!((&trade["id"], &trade["state"]), (&json!(late), &json!("open")));
    assert_eq!(trade["annotation"]["tags"], json!(["patient"]));
    assert_eq!(trade["annotation"]["trade"], json!(late));
}

#[tokio::test]
async fn an_annotation_whose_fill_is_reversed_is_orphaned_and_not_lost() {
    let desk = Desk::new().await;
    let bought = desk.transact(buy("2024-01-05", "ACME", "10", "10")).await;
    desk.annotate(bought, json!({ "note": "a typo, this fill" })).await;
    let other = desk.transact(buy("2024-01-05", "ZETA", "1", "1")).await;
    desk.annotate(other, json!({ "rating": 5 })).await;
    let reverse = format!("/v1/events/{bought}/reverse");
    desk.daybook.post(&reverse, &json!({ "reason": "typo" })).await.has(201);
    let list = async |query: &str| {
        let found = desk.daybook.get(&desk.below(&format!("/annotations{query}"))).await.has(200).json();
        found["items"].as_array().unwrap().clone()
    };
    assert_eq!(list("").await.len(), 2);
    let orphaned = list("?orphaned=true").await;
    assert_eq!(orphaned.len(), 1);
    assert_eq!((&orphaned[0]["note"], &orphaned[0]["fill"]), (&json!("a typo, this fill"), &json!(bought)));
    assert!(orphaned[0].get("trade").is_none());
    assert_eq!(list("?orphaned=false").await[0]["rating"], 5);
    // By its fill it is found still; what never was a trade is not.
    let path = desk.below(&format!("/trades/{bought}/annotations"));
    let found = desk.daybook.get(&path).await.has(200).json();
    assert_eq!(found["items"][0]["orphaned"], true);
    desk.daybook.get(&desk.below("/trades/999999/annotations")).await.is(404, "not-found");
    desk.daybook.post(&path, &json!({ "rating": 1 })).await.is(404, "not-found");
}

#[tokio::test]
async fn annotations_that_say_nothing_or_too_much_are_refused_by_field() {
    let desk = Desk::new().await;
    let bought = desk.transact(buy("2024-01-05", "ACME", "10", "10")).await;
    let path = desk.below(&format!("/trades/{bought}/annotations"));
    let head = desk.daybook.head();
    for (body, field) in [
        (json!({}), "tags"),
        (json!({ "rating": 6 }), "rating"),
        (json!({ "rating": 0 }), "rating"),
        (json!({ "rating": "5" }), "rating"),
        (json!({ "rating": 4.5 }), "rating"),
        (json!({ "tags": "one" }), "tags"),
        (json!({ "tags": [""] }), "tags"),
        (json!({ "tags": vec!["t"; 51] }), "tags"),
        (json!({ "mistakes": ["a\u{202e}b"] }), "mistakes"),
        (json!({ "strategy": "s".repeat(201) }), "strategy"),
        (json!({ "note": " " }), "note"),
        (json!({ "note": "n".repeat(16_385) }), "note"),
    ] {
        let problem = desk.daybook.post(&path, &body).await.is(422, "invalid-input");
        assert_eq!(problem["errors"][0]["field"], field, "{body}");
    }
    desk.daybook.post(&path, &json!({ "rating": 5, "stars": 5 })).await.is(400, "unknown-field");
    assert_eq!(desk.daybook.head(), head);
}

#[tokio::test]
async fn notes_are_written_once_under_one_key_and_on_a_present_tag() {
    let desk = Desk::new().await;
    let bought = desk.transact(buy("2024-01-05", "ACME", "10", "10")).await;
    let posts = [
        (
            desk.below(&format!("/trades/{bought}/annotations")),
            json!({ "rating": 3 }),
            json!({ "rating": 4 }),
        ),
        (
            desk.below("/plans"),
            json!({ "symbol": "ACME", "side": "buy", "stop": "8" }),
            json!({ "symbol": "ACME", "side": "buy", "stop": "9" }),
        ),
    ];
    for (number, (path, body, other)) in posts.into_iter().enumerate() {
        let seen = desk.daybook.get(&desk.below("")).await.header("etag").to_owned();
        let key = format!("note-{number}");
        let headers = [("idempotency-key", key.as_str()), ("if-match", seen.as_str())];
        let first = desk.daybook.post_keyed(&path, &body, &headers).await.has(201);
        let head = desk.daybook.head();
        let again = desk.daybook.post_keyed(&path, &body, &headers).await.has(201);
        assert_eq!((again.json(), again.header("idempotent-replayed")), (first.json(), "true"));
        desk.daybook.post_keyed(&path, &other, &headers[..1]).await.is(409, "idempotency-key-reused");
        desk.daybook.post_keyed(&path, &other, &headers[1..]).await.is(412, "precondition-failed");
        assert_eq!(desk.daybook.head(), head);
    }
}

#[tokio::test]
async fn a_plan_is_listed_with_what_became_of_it() {
    let desk = Desk::new().await;
    desk.transact(buy("2024-01-05", "ACME", "10", "10")).await;
    let body = json!({
        "symbol": "ACME", "side": "buy", "strategy": "swing", "setup": "flag", "quantity": "10", "entry_price": "10",
        "stop": "9.5", "target": "12", "risk": "5", "expires": "2200-01-01", "note": "only above yesterday's high",
    });
    let planned = desk.daybook.post(&desk.below("/plans"), &body).await.has(201).json();
    assert_eq!((&planned["state"], &planned["risk_currency"]), (&json!("open"), &json!("USD")));
    assert_eq!((&planned["stop"], &planned["target"]), (&json!("9.5"), &json!("12")));
    let second =
        json!({ "symbol": "ACME", "side": "sell", "entry_price": "10", "stop": "11", "target": "7" });
    let second = desk.daybook.post(&desk.below("/plans"), &second).await.has(201).json();
    let listed = desk.daybook.get(&desk.below("/plans")).await.has(200).json();
    assert_eq!(listed["items"], json!([second, planned]));
    for (change, field) in [
        (json!({ "symbol": "NOSUCH" }), "symbol"),
        (json!({ "side": "hold" }), "side"),
        (json!({ "stop": "10.5" }), "stop"),
        (json!({ "target": "9" }), "entry_price"),
        (json!({ "quantity": "-1" }), "quantity"),
        (json!({ "risk": "many" }), "risk"),
        (json!({ "expires": "2001-01-01" }), "expires"),
    ] {
        let mut faulty = body.clone();
        for (name, value) in change.as_object().unwrap() {
            faulty[name] = value.clone();
        }
        let problem = desk.daybook.post(&desk.below("/plans"), &faulty).await.is(422, "invalid-input");
        assert_eq!(problem["errors"][0]["field"], field, "{change}");
    }
}

#[tokio::test]
async fn a_service_writes_no_notes_and_an_auditor_reads_them() {
    let desk = Desk::new().await;
    let bought = desk.transact(buy("2024-01-05", "ACME", "10", "10")).await;
    desk.annotate(bought, json!({ "rating": 3 })).await;
    let path = desk.below(&format!("/trades/{bought}/annotations"));
    let (service, auditor) =
        (desk.daybook.token(Role::Service, &[&desk.mine]), desk.daybook.token(Role::Auditor, &[]));
    for token in [&service, &auditor] {
        let read = desk.daybook.send(Some(token), Method::GET, &path, &[], ()).await.has(200).json();
        assert_eq!(read["items"][0]["rating"], 3);
        let headers = [("content-type", "application/json")];
        let body = json!({ "rating": 1 }).to_string();
        desk.daybook.send(Some(token), Method::POST, &path, &headers, body).await.is(403, "forbidden");
    }
}
