//! Accounts, keys, orders, positions, and a life that goes by itself.

use crate::support::{SECOND, START, at, d, get, keys, send, world};
use daybook_simulator::broker::order::Side;
use daybook_simulator::{Answer, Event, Hours, Life, Matching, PerMillion, Request, World};
use rust_decimal::Decimal;
use serde_json::json;

fn order(body: &serde_json::Value) -> Request {
    Request::to("POST", "/v2/orders").with_json(body)
}

#[test]
fn an_order_is_filled_within_a_tenth_of_a_second_at_the_markets_price() {
    let mut world = world();
    world.matching = Matching::Automatic { partial: PerMillion(0) };
    let placed = send(
        &mut world,
        order(
            &json!({ "symbol": "AAPL", "qty": "3", "side": "buy", "type": "market", "time_in_force": "day", "client_order_id": "value:1" }),
        ),
    );
    assert_eq!((placed.status, &placed.body_json()["status"]), (200, &"new".into()));
    world.advance(world.now().plus_nanos(100_000_000));
    let books = world.books(&keys().id).unwrap();
    assert_eq!(books.positions["AAPL"], d("3"));
    let fill = &books.fills[0];
    assert_eq!(Some(fill.fill.price), world.market.price("AAPL", fill.at));
    assert_eq!(books.cash, d("100000") - d("3") * fill.fill.price);
    let position = get(&mut world, "/v2/positions/AAPL").body_json();
    assert_eq!((&position["qty"], &position["side"]), (&"3".into(), &"long".into()));
    let account = get(&mut world, "/v2/account").body_json();
    assert_eq!(account["cash"], books.cash.normalize().to_string());
}

#[test]
fn orders_that_make_no_sense_are_refused_with_alpacas_codes() {
    let mut world = world();
    let good = json!({ "symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day", "client_order_id": "one" });
    assert_eq!(send(&mut world, order(&good)).status, 200);
    let with = |name: &str, value: serde_json::Value| {
        let mut body = good.clone();
        body["client_order_id"] = json!(name);
        body[name] = value;
        body
    };
    for (body, status) in [
        (good.clone(), 422),
        (with("symbol", json!("NOSUCH")), 422),
        (with("qty", json!("0")), 422),
        (with("qty", json!("-1")), 422),
        (with("qty", json!("123456789012345678901234567890")), 422),
        (with("qty", json!("0.1234567891")), 422),
        (with("qty", json!("x")), 422),
        (with("qty", json!("100000")), 403),
        (with("side", json!("hold")), 422),
        (with("type", json!("limit")), 422),
        (with("time_in_force", json!("never")), 422),
        (with("notional", json!("5")), 422),
        (with("client_order_id", json!("x".repeat(129))), 422),
    ] {
        let response = send(&mut world, order(&body));
        assert_eq!(response.status, status, "{body}");
        assert!(response.body_json()["code"].is_number(), "{body}");
    }
    let mut garbled = Request::to("POST", "/v2/orders");
    garbled.body = b"{".to_vec();
    assert_eq!(send(&mut world, garbled).status, 400);
}

#[test]
fn an_order_can_be_taken_back_once() {
    let mut world = world();
    let body = json!({ "symbol": "AAPL", "qty": "3", "side": "buy", "type": "limit", "limit_price": "1", "time_in_force": "gtc" });
    let id = send(&mut world, order(&body)).body_json()["id"].as_str().unwrap().to_owned();
    assert_eq!(get(&mut world, "/v2/orders").body_json().as_array().map(Vec::len), Some(1));
    assert_eq!(send(&mut world, Request::to("DELETE", &format!("/v2/orders/{id}"))).status, 204);
    assert_eq!(send(&mut world, Request::to("DELETE", &format!("/v2/orders/{id}"))).status, 422);
    assert_eq!(send(&mut world, Request::to("DELETE", "/v2/orders/none")).status, 404);
    assert_eq!(get(&mut world, "/v2/orders?status=closed").body_json()[0]["status"], "canceled");
    assert_eq!(get(&mut world, "/v2/orders").body_json(), json!([]));
}

#[test]
fn a_limit_waits_for_its_price_and_the_day_ends_what_still_waits() {
    let mut world = world();
    world.matching = Matching::Automatic { partial: PerMillion(0) };
    world.set_hours(Hours::NewYork);
    let body = json!({ "symbol": "AAPL", "qty": "3", "side": "buy", "type": "limit", "limit_price": "1", "time_in_force": "day" });
    let id = send(&mut world, order(&body)).body_json()["id"].as_str().unwrap().to_owned();
    world.advance(at("2024-06-03T19:59:00Z"));
    assert_eq!(get(&mut world, &format!("/v2/orders/{id}")).body_json()["status"], "new");
    world.advance(at("2024-06-03T20:00:10Z"));
    let order = get(&mut world, &format!("/v2/orders/{id}")).body_json();
    assert_eq!((&order["status"], &order["expired_at"]), (&"expired".into(), &"2024-06-03T20:00:00Z".into()));
}

#[test]
fn an_order_of_the_night_is_filled_when_the_market_opens() {
    let mut world = World::new(3, at("2024-06-03T02:00:00Z"));
    world.open(&keys(), true, d("100000"));
    let body = json!({ "symbol": "AAPL", "notional": "500.50", "side": "buy", "type": "market", "time_in_force": "day" });
    assert_eq!(send(&mut world, order(&body)).status, 200);
    world.advance(at("2024-06-03T13:29:59Z"));
    assert_eq!(world.books(&keys().id).unwrap().fills, vec![]);
    world.advance(at("2024-06-03T13:30:01Z"));
    let books = world.books(&keys().id).unwrap();
    let spent = d("100000") - books.cash;
    assert!((spent - d("500.50")).abs() < d("0.01"), "{spent}");
    assert_eq!(get(&mut world, "/v2/orders?status=all").body_json()[0]["status"], "filled");
}

#[test]
fn wrong_keys_dead_keys_and_no_keys_are_told_apart_from_live_ones() {
    let mut world = world();
    let now = world.now();
    let status = |world: &mut World, key: &str, secret: &str| {
        world.handle(&Request::get("/v2/account").with_keys(key, secret), now).response().unwrap().status
    };
    assert_eq!(status(&mut world, "PKTEST", "secret"), 200);
    assert_eq!(status(&mut world, "PKTEST", "wrong"), 403);
    assert_eq!(status(&mut world, "NOBODY", "secret"), 401);
    assert_eq!(world.handle(&Request::get("/v2/account"), now).response().unwrap().status, 401);
    let id = get(&mut world, "/v2/account").body_json()["id"].clone();
    world.happen("PKTEST", &Event::Swap).unwrap();
    let swapped = get(&mut world, "/v2/account").body_json();
    assert_ne!(swapped["id"], id);
    world.happen("PKTEST", &Event::Reset).unwrap();
    assert_eq!(status(&mut world, "PKTEST", "secret"), 401);
    let fresh = world.resets()[0].clone();
    assert_eq!(status(&mut world, &fresh.id, &fresh.secret), 200);
    world.happen(&fresh.id, &Event::Revoke).unwrap();
    assert_eq!(status(&mut world, &fresh.id, &fresh.secret), 401);
}

#[test]
fn two_hundred_requests_a_minute_and_no_more() {
    let mut world = world();
    world.limits.per_minute = Some(200);
    for n in 1..=200 {
        let response = get(&mut world, "/v2/clock");
        assert_eq!(response.status, 200);
        assert_eq!(response.header("x-ratelimit-remaining"), Some((200 - n).to_string().as_str()));
    }
    let refused = get(&mut world, "/v2/clock");
    assert_eq!(refused.status, 429);
    let reset: i64 = refused.header("X-RateLimit-Reset").unwrap().parse().unwrap();
    assert_eq!(reset, at("2024-06-03T14:01:00Z").nanos() / SECOND);
    world.advance(at("2024-06-03T14:01:00Z"));
    assert_eq!(get(&mut world, "/v2/clock").status, 200);
}

#[test]
fn the_broker_knows_what_it_lists_and_when_it_trades() {
    let mut world = world();
    let active = get(&mut world, "/v2/assets?status=active&asset_class=us_equity").body_json();
    assert!(active.as_array().unwrap().iter().all(|asset| asset["class"] == "us_equity"));
    world.market.delist("KO");
    assert_eq!(get(&mut world, "/v2/assets/KO").body_json()["status"], "inactive");
    assert_eq!(get(&mut world, "/v2/assets/BTC%2FUSD").body_json()["symbol"], "BTC/USD");
    assert_eq!(get(&mut world, "/v2/assets/NOSUCH").status, 404);
    world.advance(at("2024-07-03T18:00:00Z"));
    let clock = get(&mut world, "/v2/clock").body_json();
    assert_eq!(
        (&clock["is_open"], &clock["next_open"]),
        (&false.into(), &"2024-07-05T09:30:00-04:00".into())
    );
    let days = get(&mut world, "/v2/calendar?start=2024-07-03&end=2024-07-05").body_json();
    assert_eq!(days.as_array().map(Vec::len), Some(2));
    assert_eq!((&days[0]["close"], &days[0]["settlement_date"]), (&"13:00".into(), &"2024-07-05".into()));
}

/// Everything that a world told and did, for comparing two.
fn live(seed: u64, paper: bool) -> (World, Vec<String>) {
    let mut world = World::new(seed, at(START));
    world.open(&keys(), paper, d("100000"));
    world.animate(Life::new(seed, &keys().id, 40));
    world.faults.rates = daybook_simulator::Rates::all(PerMillion::percent(2));
    world.scatter(&keys().id, at(START), at("2024-06-10T14:00:00Z"), 40);
    let mut told = Vec::new();
    let mut now = at(START);
    while now < at("2024-06-12T14:00:00Z") {
        now = now.plus_nanos(3_600 * SECOND);
        let request = Request::get("/v2/account/activities").with_keys("PKTEST", "secret");
        told.push(format!("{:?}", world.handle(&request, now)));
    }
    (world, told)
}

#[test]
fn the_same_seed_and_the_same_calls_give_the_same_world() {
    let (one, told) = live(7, true);
    let (other, again) = live(7, true);
    assert_eq!(told, again);
    assert_eq!(one.books("PKTEST").unwrap(), other.books("PKTEST").unwrap());
    assert_ne!(live(8, true).1, told);
    assert!(one.faults.counts().len() >= 5, "{:?}", one.faults.counts());
}

#[test]
fn a_life_trades_pays_fees_and_its_books_add_up() {
    for paper in [true, false] {
        let (world, _) = live(11, paper);
        let books = world.books("PKTEST").unwrap();
        assert!(books.fills.len() > 300, "{}", books.fills.len());
        let of = |kind: &str| books.non_trades.iter().filter(|row| row.row.activity_type == kind).count();
        assert!(of("FEE") > 3 && of("CFEE") > 3);
        assert!(books.fills.iter().any(|fill| !fill.fill.leaves.is_zero()), "some fills are partial");
        assert!(books.fills.iter().any(|fill| fill.fill.client_order_id.starts_with("momentum:")));
        let fills = books.fills.iter().filter(|fill| !fill.fill.busted);
        let traded: Decimal =
            fills.clone().map(|fill| fill.fill.side.signed(fill.fill.quantity) * fill.fill.price).sum();
        let booked: Decimal = books.non_trades.iter().map(|row| row.row.cash_effect()).sum();
        assert_eq!(books.cash, booked - traded);
        let bought: Decimal = fills
            .filter(|fill| fill.fill.symbol == "MSFT")
            .map(|fill| fill.fill.side.signed(fill.fill.quantity))
            .sum();
        assert_eq!(bought, books.positions.get("MSFT").copied().unwrap_or_default());
        let coins: Decimal = books
            .fills
            .iter()
            .filter(|fill| fill.fill.symbol == "ETH/USD" && !fill.fill.busted)
            .map(|fill| fill.fill.side.signed(fill.fill.quantity))
            .sum();
        let fees: Decimal = books
            .non_trades
            .iter()
            .filter(|row| row.row.symbol.as_deref() == Some("ETHUSD"))
            .filter_map(|row| row.row.share_effect().map(|(_, quantity)| quantity))
            .sum();
        assert!(fees < Decimal::ZERO, "coin fees are taken from what was received");
        assert_eq!(coins + fees, books.positions.get("ETH/USD").copied().unwrap_or_default());
    }
}

#[test]
fn a_dividend_is_paid_on_what_was_held_and_a_split_multiplies_it() {
    let mut world = World::new(2, at("2024-06-03T14:00:00Z"));
    world.open(&keys(), false, d("100000"));
    let account = world.broker.account_of(&keys().id).unwrap();
    let now = world.now();
    world.broker.trade(account, "NFLX", Side::Buy, d("10"), d("780"), now);
    let day = |text: &str| daybook_schemas::Day::parse(text).unwrap();
    world.market.add_dividend("NFLX", day("2024-06-05"), day("2024-06-07"), d("0.25"));
    world.market.add_split("NFLX", day("2024-06-06"), 3, 2);
    world.animate(Life::new(2, &keys().id, 1).trading(&[]));
    world.advance(at("2024-06-10T14:00:00Z"));
    let books = world.books(&keys().id).unwrap();
    assert_eq!(books.positions["NFLX"], d("15"));
    let paid: Vec<_> = books.non_trades.iter().filter(|row| row.row.activity_type == "DIV").collect();
    assert_eq!(paid.len(), 1);
    assert_eq!((paid[0].row.net_amount, paid[0].row.date), (Some(d("2.5")), day("2024-06-07")));
    let position = get(&mut world, "/v2/positions/NFLX").body_json();
    assert_eq!(position["cost_basis"], "7800");
}

#[test]
fn an_answer_can_be_spoiled_only_on_the_way() {
    let mut world = world();
    world.faults.next_answers([Some(daybook_simulator::RestFault::Truncated)]);
    let body = json!({ "symbol": "AAPL", "qty": "3", "side": "buy", "type": "market", "time_in_force": "day", "client_order_id": "value:1" });
    let now = world.now();
    let answer = world.handle(&order(&body).with_keys("PKTEST", "secret"), now);
    assert!(
        matches!(&answer, Answer::Truncated(response, kept) if *kept < response.body.len()),
        "{answer:?}"
    );
    assert_eq!(get(&mut world, "/v2/orders:by_client_order_id?client_order_id=value:1").status, 200);
}

#[test]
fn a_position_is_closed_before_it_is_turned() {
    let mut world = world();
    let account = world.broker.account_of(&keys().id).unwrap();
    let now = world.now();
    world.broker.trade(account, "KO", Side::Buy, d("5"), d("60"), now);
    let sell = |quantity: &str| {
        order(
            &json!({ "symbol": "KO", "qty": quantity, "side": "sell", "type": "market", "time_in_force": "day" }),
        )
    };
    assert_eq!(send(&mut world, sell("6")).status, 403);
    assert_eq!(send(&mut world, sell("5")).status, 200);
    world.broker.trade(account, "KO", Side::Sell, d("5"), d("60"), now);
    assert_eq!(send(&mut world, sell("0.5")).status, 403, "no parts of shares are sold short");
    assert_eq!(send(&mut world, sell("2")).status, 200);
    let id = world.broker.trade(account, "KO", Side::Sell, d("2"), d("61"), now);
    assert_eq!(
        get(&mut world, "/v2/account/activities/FILL")
            .body_json()
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["id"] == *id)
            .unwrap()["side"],
        "sell_short"
    );
    let position = get(&mut world, "/v2/positions/KO").body_json();
    assert_eq!(
        (&position["qty"], &position["side"], &position["avg_entry_price"]),
        (&"-2".into(), &"short".into(), &"61".into())
    );
}

#[test]
fn a_request_for_all_of_time_is_answered_soon() {
    let mut world = world();
    world.set_hours(Hours::NewYork);
    let began = std::time::Instant::now();
    for target in [
        "/v2/stocks/bars?symbols=AAPL,KO&timeframe=12Month&start=1900-01-01&end=2199-12-31",
        "/v8/finance/chart/AAPL?period1=-99999999999999&period2=99999999999999&interval=3mo",
        "/v2/calendar?start=1900-01-01&end=2200-12-31",
        "/v1/corporate-actions?start=1900-01-01&end=2200-12-31",
    ] {
        assert_eq!(get(&mut world, target).status, 200, "{target}");
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
}
