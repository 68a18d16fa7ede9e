//! Paging through history, and what makes it hard.

use crate::support::{SECOND, at, d, get, keys, world};
use daybook_schemas::{Day, Timestamp};
use daybook_simulator::broker::activity::NonTrade;
use daybook_simulator::broker::order::{NewOrder, Side};
use daybook_simulator::{Event, World};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::Value;

/// All ids by paging with the last id as the token until a page is empty.
fn page_through(world: &mut World, query: &str, size: usize) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    loop {
        let token = ids.last().map(|id| format!("&page_token={id}")).unwrap_or_default();
        let page = get(world, &format!("/v2/account/activities?page_size={size}{query}{token}"));
        assert_eq!(page.status, 200, "{page:?}");
        let rows = page.body_json();
        let rows = rows.as_array().unwrap();
        assert!(rows.len() <= size);
        if rows.is_empty() {
            return ids;
        }
        ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
    }
}

/// Fills at the given offsets, in nanoseconds from the start.
fn with_fills(offsets: &[i64]) -> World {
    let mut world = world();
    let account = world.broker.account_of(&keys().id).unwrap();
    for offset in offsets {
        let now = world.now().plus_nanos(*offset);
        world.broker.trade(account, "AAPL", Side::Buy, Decimal::ONE, d("100"), now);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn paging_shows_each_row_once_in_either_direction_whatever_the_page_size(
        offsets in prop::collection::vec(0_i64..6, 0..40),
        days in prop::collection::vec(0_i32..3, 0..10),
        size in 1_usize..9,
    ) {
        let mut world = with_fills(&offsets.iter().map(|ms| ms * 1_000_000).collect::<Vec<_>>());
        let account = world.broker.account_of(&keys().id).unwrap();
        let now = world.now();
        for back in &days {
            let date = Day::parse("2024-06-03").unwrap().plus_days(-back);
            world.broker.book(account, NonTrade::cash("FEE", date, d("-1")), now);
        }
        let ascending = page_through(&mut world, "&direction=asc", size);
        let mut unique = ascending.clone();
        unique.sort();
        unique.dedup();
        prop_assert_eq!(unique.len(), ascending.len());
        prop_assert_eq!(ascending.len(), offsets.len() + days.len() + 1);
        let mut descending = page_through(&mut world, "", size);
        descending.reverse();
        prop_assert_eq!(&descending, &ascending);
        let fills = page_through(&mut world, "&direction=asc&category=trade_activity", size);
        let others = page_through(&mut world, "&direction=asc&category=non_trade_activity", size);
        prop_assert_eq!(fills.len(), offsets.len());
        prop_assert_eq!(others.len(), days.len() + 1);
    }

    #[test]
    fn after_and_until_select_by_when_a_row_was_written_down(
        offsets in prop::collection::vec(0_i64..20, 1..40),
        after in 0_i64..20,
        until in 0_i64..20,
        size in 1_usize..9,
    ) {
        let mut world = with_fills(&offsets.iter().map(|seconds| seconds * SECOND).collect::<Vec<_>>());
        let bound = |seconds: i64| at(crate::support::START).plus_nanos(seconds * SECOND);
        let query = format!("&direction=asc&category=trade_activity&after={}&until={}", bound(after), bound(until));
        let shown = page_through(&mut world, &query, size);
        let expected = offsets.iter().filter(|offset| **offset > after && **offset < until).count();
        prop_assert_eq!(shown.len(), expected);
    }
}

#[test]
fn a_row_written_down_late_is_behind_a_kept_page_token_and_found_by_when_it_was_created() {
    let mut world = with_fills(&[0, SECOND]);
    let token = page_through(&mut world, "&direction=asc", 100).pop().unwrap();
    world.advance(at("2024-06-03T15:00:00Z"));
    world.happen(&keys().id, &Event::LateNonTrade { days_ago: 3, created_hours_ago: 0 }).unwrap();
    let behind = get(&mut world, &format!("/v2/account/activities?direction=asc&page_token={token}"));
    assert_eq!(behind.body_json(), Value::Array(vec![]));
    let created =
        get(&mut world, "/v2/account/activities?direction=asc&after=2024-06-03T14:30:00Z").body_json();
    assert_eq!(created.as_array().map(Vec::len), Some(1));
    assert_eq!(created[0]["date"], "2024-05-31");
    assert_eq!(created[0]["created_at"], "2024-06-03T15:00:00Z");
    assert!(created[0]["id"].as_str().unwrap().starts_with("20240531000000000::"), "{created}");
}

#[test]
fn a_row_that_comes_between_two_pages_does_not_shift_what_follows() {
    let mut world = with_fills(&(0..10).map(|n| n * SECOND).collect::<Vec<_>>());
    world.after_pages(1, &keys().id, Event::LateNonTrade { days_ago: 2, created_hours_ago: 0 });
    let ids = page_through(&mut world, "&direction=asc&category=trade_activity", 4);
    assert_eq!(ids.len(), 10);
    assert_eq!(page_through(&mut world, "&direction=asc", 100).len(), 12);
}

#[test]
fn the_hour_that_autumn_gives_twice_gives_ids_that_run_backwards() {
    let mut world = world();
    world.advance(at("2024-11-10T15:00:00Z"));
    let account = world.broker.account_of(&keys().id).unwrap();
    for (time, _) in [("2024-11-03T05:45:00Z", 1), ("2024-11-03T06:30:00Z", 2)] {
        world.broker.trade(account, "BTC/USD", Side::Buy, d("0.1"), d("60000"), at(time));
    }
    let rows = get(&mut world, "/v2/account/activities/FILL?direction=asc").body_json();
    let (first, second) = (rows[0]["id"].as_str().unwrap(), rows[1]["id"].as_str().unwrap());
    assert!(rows[0]["transaction_time"].as_str() < rows[1]["transaction_time"].as_str());
    assert!(first > second, "{first} {second}");
}

#[test]
fn a_fills_row_has_the_fields_of_alpacas_own() {
    let mut world = world();
    let account = world.broker.account_of(&keys().id).unwrap();
    let now = at("2024-06-03T14:00:01.123456Z");
    let parts = [(d("1.5"), d("190.12"), now), (d("0.5"), d("190.13"), now.plus_nanos(-2_000_000))];
    world.broker.trade_in_parts(
        account,
        NewOrder::market("AAPL", Side::Buy, d("2")).called("value:1"),
        &parts,
        now,
    );
    let rows = get(&mut world, "/v2/account/activities?activity_types=FILL&direction=asc").body_json();
    assert_eq!(rows[0]["cum_qty"], "2", "within an order the times need not ascend with what was filled");
    assert_eq!(rows[1]["cum_qty"], "1.5");
    for (field, value) in [
        ("activity_type", "FILL"),
        ("type", "partial_fill"),
        ("transaction_time", "2024-06-03T14:00:01.123456Z"),
        ("price", "190.12"),
        ("qty", "1.5"),
        ("side", "buy"),
        ("symbol", "AAPL"),
        ("leaves_qty", "0.5"),
        ("order_status", "partially_filled"),
    ] {
        assert_eq!(rows[1][field], value, "{field}");
    }
    assert!(rows[1]["id"].as_str().unwrap().starts_with("20240603100001123::"));
    let order = get(&mut world, "/v2/orders:by_client_order_id?client_order_id=value:1").body_json();
    assert_eq!(
        (&order["id"], &order["filled_qty"], &order["status"]),
        (&rows[0]["order_id"], &"2".into(), &"filled".into())
    );
}

#[test]
fn an_amended_row_keeps_its_id_and_cash_follows_it() {
    let mut world = world();
    let account = world.broker.account_of(&keys().id).unwrap();
    let now = world.now();
    let id =
        world.broker.book(account, NonTrade::cash("INT", Day::parse("2024-06-03").unwrap(), d("1.25")), now);
    world.broker.amend(account, &id, |row| row.net_amount = Some(d("1.20"))).unwrap();
    let row = &get(&mut world, "/v2/account/activities/INT").body_json()[0];
    assert_eq!(
        (&row["id"], &row["net_amount"], &row["status"]),
        (&(&*id).into(), &"1.2".into(), &"correct".into())
    );
    assert_eq!(world.books(&keys().id).unwrap().cash, d("100001.20"));
    world.broker.cancel_activity(account, &id).unwrap();
    let row = &get(&mut world, "/v2/account/activities/INT").body_json()[0];
    assert_eq!(row["status"], "canceled");
    assert_eq!(world.books(&keys().id).unwrap().cash, d("100000"));
}

#[test]
fn a_busted_fill_leaves_position_cash_and_order_as_if_it_had_not_been() {
    let mut world = world();
    let account = world.broker.account_of(&keys().id).unwrap();
    let now = world.now();
    world.broker.trade(account, "KO", Side::Buy, d("10"), d("60"), now);
    let before = world.books(&keys().id).unwrap();
    let id = world.broker.trade(account, "KO", Side::Buy, d("5"), d("66"), now);
    world.broker.bust(account, &id, now).unwrap();
    let after = world.books(&keys().id).unwrap();
    assert_eq!(
        (after.cash, &after.positions, &after.filled),
        (before.cash, &before.positions, &before.filled)
    );
    let row = &get(&mut world, "/v2/account/activities?page_size=100").body_json();
    let row = row.as_array().unwrap().iter().find(|row| row["id"] == *id).unwrap().clone();
    assert_eq!(row["status"], "canceled");
    assert!(world.broker.bust(account, &id, now).is_err(), "it can be taken back once");
    let position = get(&mut world, "/v2/positions/KO").body_json();
    assert_eq!((&position["qty"], &position["avg_entry_price"]), (&"10".into(), &"60".into()));
}

#[test]
fn a_page_is_refused_where_its_parameters_make_no_sense() {
    let mut world = world();
    for wrong in [
        "page_size=101",
        "page_size=0",
        "page_size=x",
        "direction=up",
        "after=yesterday",
        "until=2024-13-01",
        "date=2024-01-01&after=2024-01-01",
        "category=all",
        "category=trade_activity&activity_types=FILL",
        "activity_types=fill",
        "page_token=nothing",
    ] {
        let response = get(&mut world, &format!("/v2/account/activities?{wrong}"));
        assert_eq!(response.status, 422, "{wrong}");
        assert!(response.body_json()["message"].is_string());
    }
}

#[test]
fn a_page_out_of_a_hundred_thousand_costs_a_page() {
    let mut world = world();
    let account = world.broker.account_of(&keys().id).unwrap();
    let start = world.now();
    for n in 0..100_000 {
        world.broker.trade(account, "AAPL", Side::Buy, Decimal::ONE, d("1"), start.plus_nanos(n * 1_000_000));
    }
    let last = start.plus_nanos(99_998 * 1_000_000);
    let began = std::time::Instant::now();
    for _ in 0..100 {
        let page = get(&mut world, &format!("/v2/account/activities/FILL?direction=asc&after={last}"));
        assert_eq!(page.body_json().as_array().map(Vec::len), Some(1));
        get(&mut world, "/v2/account/activities?direction=desc&page_size=1");
        get(&mut world, "/v2/account/activities?direction=asc&category=non_trade_activity");
    }
    // Three hundred pages that each looked at all rows would take minutes here.
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    let _: Timestamp = last;
}

#[test]
fn with_a_lag_a_row_is_told_of_before_it_shows() {
    let mut world = with_fills(&[0]);
    world.lag = std::time::Duration::from_secs(2);
    let shown = |world: &mut World| {
        let rows = get(world, "/v2/account/activities/FILL?direction=asc").body_json();
        rows.as_array().map(Vec::len)
    };
    assert_eq!(shown(&mut world), Some(0));
    world.advance(at("2024-06-03T14:00:01.9Z"));
    assert_eq!(shown(&mut world), Some(0));
    world.advance(at("2024-06-03T14:00:02Z"));
    assert_eq!(shown(&mut world), Some(1));
}

/// What a schedule of the daemon's simulation costs on this side.
#[test]
fn a_world_is_cheap_enough_to_make_thousands_of_them() {
    let began = std::time::Instant::now();
    for seed in 0..100 {
        let mut world = World::new(seed, at(crate::support::START));
        world.open(&keys(), true, d("100000"));
        world.scatter(&keys().id, at(crate::support::START), at("2024-06-03T15:00:00Z"), 20);
        for minute in 1..=60 {
            world.advance(at(crate::support::START).plus_nanos(minute * 60 * SECOND));
            get(&mut world, "/v2/account/activities/FILL?direction=asc");
        }
    }
    println!("a schedule of sixty pages: {:?}", began.elapsed() / 100);
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
}
