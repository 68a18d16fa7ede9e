//! Robinhood's crypto API: who signs is let in, and every fill is an execution of some order.

use crate::support::{START, at, d};
use daybook_simulator::{Event, Life, PerMillion, Request, Response, World};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};

const KEY: &str = "rh-api-key";

fn signer() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn world() -> World {
    let mut world = World::new(4, at(START));
    world.open_robinhood(KEY, signer().verifying_key(), d("50000"));
    world
}

fn send(world: &mut World, request: Request) -> Response {
    let now = world.now();
    world.handle(&request.signed(KEY, &signer(), now), now).response().unwrap()
}

fn get(world: &mut World, target: &str) -> Response {
    send(world, Request::get(&format!("/api/v1/crypto/{target}")))
}

#[test]
fn only_a_fresh_signature_over_the_whole_request_is_let_in() {
    let mut world = world();
    let now = world.now();
    let target = "/api/v1/crypto/trading/orders/?symbol=BTC-USD";
    let status = |world: &mut World, request: &Request| world.handle(request, now).response().unwrap().status;
    let good = Request::get(target).signed(KEY, &signer(), now);
    assert_eq!(status(&mut world, &good), 200);
    let other_key = Request::get(target).signed(KEY, &SigningKey::from_bytes(&[8; 32]), now);
    assert_eq!(status(&mut world, &other_key), 401);
    let late = Request::get(target).signed(KEY, &signer(), now.plus_nanos(-31_000_000_000));
    assert_eq!(status(&mut world, &late), 401);
    let nobody = Request::get(target).signed("nobody", &signer(), now);
    assert_eq!(status(&mut world, &nobody), 401);
    let moved = Request {
        headers: good.headers.clone(),
        ..Request::get("/api/v1/crypto/trading/orders/?symbol=ETH-USD")
    };
    assert_eq!(status(&mut world, &moved), 401, "the query is signed too");
    let changed = Request { body: b"{}".to_vec(), ..good.clone() };
    assert_eq!(status(&mut world, &changed), 401, "the body is signed too");
    assert_eq!(status(&mut world, &Request::get(target)), 401);
    assert_eq!(
        status(&mut world, &Request::get("/v2/account").with_keys(KEY, "")),
        403,
        "Alpaca's API does not know it"
    );
    world.happen(KEY, &Event::Revoke).unwrap();
    assert_eq!(status(&mut world, &good), 401);
}

#[test]
fn an_order_becomes_executions_a_holding_and_less_buying_power() {
    let mut world = world();
    let body = json!({
        "client_order_id": "11299b2b-61e3-43e7-b9f7-dee77210bb29", "side": "buy", "symbol": "BTC-USD", "type": "market",
        "market_order_config": { "asset_quantity": "0.01" },
    });
    let placed = send(&mut world, Request::to("POST", "/api/v1/crypto/trading/orders/").with_json(&body));
    assert_eq!((placed.status, &placed.body_json()["state"]), (201, &"open".into()));
    world.advance(at("2024-06-03T14:01:00Z"));
    let id = placed.body_json()["id"].as_str().unwrap().to_owned();
    let order = get(&mut world, &format!("trading/orders/{id}/")).body_json();
    assert_eq!((&order["state"], &order["symbol"]), (&"filled".into(), &"BTC-USD".into()));
    let executed: rust_decimal::Decimal =
        order["executions"].as_array().unwrap().iter().map(|one| d(one["quantity"].as_str().unwrap())).sum();
    assert_eq!(executed, d("0.01"));
    let holdings = get(&mut world, "trading/holdings/?asset_code=BTC").body_json();
    assert_eq!(d(holdings["results"][0]["total_quantity"].as_str().unwrap()), d("0.01"));
    let account = get(&mut world, "trading/accounts/").body_json();
    assert!(d(account["buying_power"].as_str().unwrap()) < d("50000"));
    let again = send(&mut world, Request::to("POST", "/api/v1/crypto/trading/orders/").with_json(&body));
    assert_eq!((again.status, &again.body_json()["type"]), (400, &"validation_error".into()));
    assert_eq!(
        send(&mut world, Request::to("POST", &format!("/api/v1/crypto/trading/orders/{id}/cancel/"))).status,
        400
    );
    assert_eq!(
        get(&mut world, "marketdata/best_bid_ask/?symbol=BTC-USD").body_json()["results"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[test]
fn following_next_shows_every_fill_once_newest_first() {
    let mut world = world();
    world.limits.robinhood_per_minute = None;
    world.matching = daybook_simulator::Matching::Automatic { partial: PerMillion::percent(30) };
    world.animate(Life::new(4, KEY, 60).trading(&["BTC/USD", "ETH/USD", "SOL/USD"]).without_fees());
    world.advance(at("2024-06-04T02:00:00Z"));
    let (mut orders, mut target) =
        (Vec::<Value>::new(), "/api/v1/crypto/trading/orders/?limit=37&state=filled".to_owned());
    loop {
        let page = send(&mut world, Request::get(&target)).body_json();
        orders.extend(page["results"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => target = next.trim_start_matches("https://trading.robinhood.com").to_owned(),
            None => break,
        }
    }
    let executions: usize = orders.iter().map(|order| order["executions"].as_array().unwrap().len()).sum();
    let books = world.books(KEY).unwrap();
    assert!(books.fills.len() > 300, "{}", books.fills.len());
    let of_filled = books
        .fills
        .iter()
        .filter(|fill| orders.iter().any(|order| order["id"] == *fill.fill.order_id))
        .count();
    assert_eq!(executions, of_filled);
    assert_eq!(orders.len(), books.filled.len());
    assert!(orders.windows(2).all(|two| two[0]["created_at"].as_str() >= two[1]["created_at"].as_str()));
    assert!(books.non_trades.iter().all(|row| row.row.activity_type == "CSD"), "nobody takes fees");
}

#[test]
fn a_hundred_requests_a_minute_and_no_more() {
    let mut world = world();
    for _ in 0..100 {
        assert_eq!(get(&mut world, "trading/accounts/").status, 200);
    }
    assert_eq!(get(&mut world, "trading/accounts/").status, 429);
}
