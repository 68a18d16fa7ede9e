//! Bars, latest prices, corporate actions, Alpha Vantage and Yahoo.

use crate::support::{SECOND, at, d, get, keys, world};
use daybook_schemas::Day;
use daybook_simulator::market::{Adjustment, Bar, BarQuery, Timeframe};
use daybook_simulator::{Hours, Market, Request, World};
use rust_decimal::Decimal;
use serde_json::Value;

fn in_hours() -> World {
    let mut world = world();
    world.set_hours(Hours::NewYork);
    world.advance(at("2024-06-28T18:00:30Z"));
    world
}

/// All bars by symbol, page by page.
fn all_bars(world: &mut World, query: &str) -> (Vec<(String, Value)>, usize) {
    let (mut found, mut pages, mut token) = (Vec::new(), 0, String::new());
    loop {
        let body = get(world, &format!("/v2/stocks/bars?{query}{token}")).body_json();
        pages += 1;
        for (symbol, bars) in body["bars"].as_object().unwrap() {
            found.extend(bars.as_array().unwrap().iter().map(|bar| (symbol.clone(), bar.clone())));
        }
        match body["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={}", next.replace('=', "%3D")),
            None => return (found, pages),
        }
    }
}

#[test]
fn bars_come_page_by_page_symbol_after_symbol_and_none_twice() {
    let mut world = in_hours();
    let query = "symbols=MSFT,AAPL,KO,NOSUCH&timeframe=1Day&start=2024-06-03&end=2024-06-14";
    let (whole, pages) = all_bars(&mut world, query);
    assert_eq!((whole.len(), pages), (30, 1));
    for limit in [1, 7, 10, 29, 30] {
        for sort in ["asc", "desc"] {
            let (mut paged, pages) = all_bars(&mut world, &format!("{query}&limit={limit}&sort={sort}"));
            assert_eq!(pages, 30_usize.div_ceil(limit), "{limit} {sort}");
            if sort == "desc" {
                paged.sort_by_key(|(symbol, bar)| (symbol.clone(), bar["t"].as_str().unwrap().to_owned()));
            }
            assert_eq!(paged, whole, "{limit} {sort}");
        }
    }
    let one =
        get(&mut world, "/v2/stocks/AAPL/bars?timeframe=1Day&start=2024-06-03&end=2024-06-14").body_json();
    let of_aapl: Vec<&Value> =
        whole.iter().filter(|(symbol, _)| symbol == "AAPL").map(|(_, bar)| bar).collect();
    assert_eq!(
        (one["symbol"].as_str(), one["bars"].as_array().unwrap().iter().collect::<Vec<_>>()),
        (Some("AAPL"), of_aapl)
    );
}

#[test]
fn the_latest_bar_and_trade_are_those_of_the_path() {
    let mut world = in_hours();
    let bars = get(&mut world, "/v2/stocks/bars/latest?symbols=AAPL,KO,NOSUCH").body_json();
    assert_eq!(bars["bars"].as_object().map(serde_json::Map::len), Some(2));
    assert_eq!(bars["bars"]["AAPL"]["t"], "2024-06-28T17:59:00Z");
    let bar = get(&mut world, "/v2/stocks/AAPL/bars/latest").body_json();
    assert_eq!(bar["bar"], bars["bars"]["AAPL"]);
    let trades = get(&mut world, "/v2/stocks/trades/latest?symbols=AAPL").body_json();
    let price = world.market.price("AAPL", world.now()).unwrap();
    assert_eq!(trades["trades"]["AAPL"]["p"].to_string(), price.to_string());
    world.advance(at("2024-06-29T12:00:00Z"));
    let trades = get(&mut world, "/v2/stocks/trades/latest?symbols=AAPL").body_json();
    assert_eq!(trades["trades"]["AAPL"]["t"], "2024-06-28T19:59:59Z", "on a Saturday the last is Friday's");
    assert_eq!(get(&mut world, "/v2/stocks/NOSUCH/bars/latest").status, 404);
    let coins = get(&mut world, "/v1beta3/crypto/us/bars?symbols=BTC/USD&timeframe=1Hour&start=2024-06-28T00:00:00Z&end=2024-06-28T05:00:00Z").body_json();
    assert_eq!(coins["bars"]["BTC/USD"].as_array().map(Vec::len), Some(6));
}

#[test]
fn a_restated_bar_is_served_instead_of_the_paths_own() {
    let mut world = in_hours();
    let query = "/v2/stocks/bars?symbols=KO&timeframe=1Day&start=2024-06-03&end=2024-06-03";
    let before = get(&mut world, query).body_json();
    let bar = Bar {
        start: at("2024-06-03T04:00:00Z"),
        open: d("60"),
        high: d("59"),
        low: d("61"),
        close: d("60.5"),
        volume: d("1"),
        trades: 1,
        vwap: d("60"),
    };
    world.market.restate("KO", Timeframe::Day, bar);
    let after = get(&mut world, query).body_json();
    assert_ne!(before, after);
    assert_eq!(after["bars"]["KO"][0]["h"].to_string(), "59", "even one whose high is below its low");
}

#[test]
fn what_makes_no_sense_is_a_bad_request() {
    let mut world = in_hours();
    for wrong in [
        "timeframe=1Day",
        "symbols=AAPL",
        "symbols=AAPL&timeframe=1Fortnight",
        "symbols=AAPL&timeframe=1Day&start=x",
        "symbols=AAPL&timeframe=1Day&start=2024-06-02&end=2024-06-01",
        "symbols=AAPL&timeframe=1Day&limit=10001",
        "symbols=AAPL&timeframe=1Day&sort=up",
        "symbols=AAPL&timeframe=1Day&adjustment=some",
        "symbols=AAPL&timeframe=1Day&page_token=x",
    ] {
        let response = get(&mut world, &format!("/v2/stocks/bars?{wrong}"));
        assert_eq!(response.status, 400, "{wrong}");
        assert!(response.body_json()["message"].is_string(), "{wrong}");
    }
    let now = world.now();
    let refused = world
        .handle(&Request::get("/v2/stocks/bars?symbols=AAPL&timeframe=1Day").with_keys("PKTEST", "x"), now);
    assert_eq!(refused.response().unwrap().status, 403);
}

#[test]
fn a_day_of_minutes_for_five_hundred_symbols_is_served_whole() {
    let mut world = World::new(1, at("2024-06-28T21:00:00Z"));
    world.market = Market::with_more_shares(1, 500);
    world.limits.per_minute = None;
    world.open(&keys(), true, Decimal::from(1_000));
    let symbols: Vec<String> = world
        .market
        .listings()
        .map(|listing| listing.symbol.clone())
        .filter(|symbol| symbol.len() == 4 && symbol.starts_with('Q'))
        .collect();
    assert_eq!(symbols.len(), 500);
    let query =
        format!("symbols={}&timeframe=1Min&start=2024-06-28&end=2024-06-28&limit=10000", symbols.join(","));
    let (bars, pages) = all_bars(&mut world, &query);
    assert_eq!((bars.len(), pages), (195_000, 20));
}

#[test]
fn splits_and_dividends_are_announced_by_kind_and_page() {
    let mut world = in_hours();
    world.market.add_split("KO", Day::parse("2024-06-20").unwrap(), 3, 1);
    world.market.add_split("F", Day::parse("2024-06-21").unwrap(), 1, 5);
    let body =
        get(&mut world, "/v1/corporate-actions?symbols=KO,F&start=2024-06-20&end=2024-06-21").body_json();
    assert_eq!(body["corporate_actions"]["forward_splits"][0]["new_rate"], 3);
    assert_eq!(body["corporate_actions"]["reverse_splits"][0]["symbol"], "F");
    let (mut count, mut token) = (0, String::new());
    loop {
        let page = get(
            &mut world,
            &format!(
                "/v1/corporate-actions?types=cash_dividend&start=2024-01-01&end=2024-12-31&limit=7{token}"
            ),
        )
        .body_json();
        count += page["corporate_actions"]["cash_dividends"].as_array().map_or(0, Vec::len);
        match page["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={}", next.replace('=', "%3D")),
            None => break,
        }
    }
    let payers = world.market.listings().filter(|listing| listing.yield_bp > 0).count();
    assert_eq!(count, payers * 4);
}

#[test]
fn alpha_vantage_answers_200_whatever_happens_and_counts_the_day() {
    let mut world = in_hours();
    let ask = |world: &mut World, query: &str| {
        let now = world.now();
        let response = world.handle(&Request::get(&format!("/query?{query}")), now).response().unwrap();
        assert_eq!(response.status, 200);
        response.body_json()
    };
    world.market.add_split("KO", Day::parse("2024-06-20").unwrap(), 3, 1);
    let daily = ask(&mut world, "function=TIME_SERIES_DAILY_ADJUSTED&symbol=KO&apikey=k");
    let series = daily["Time Series (Daily)"].as_object().unwrap();
    assert_eq!(series.len(), 100);
    assert_eq!(series["2024-06-20"]["8. split coefficient"], "3");
    let close = |day: &str, name: &str| d(series[day][name].as_str().unwrap());
    assert_eq!(close("2024-06-21", "4. close"), close("2024-06-21", "5. adjusted close"));
    assert!(close("2024-06-18", "4. close") > close("2024-06-18", "5. adjusted close") * d("2.9"));
    let query = BarQuery {
        timeframe: Timeframe::Day,
        from: at("2024-06-18T00:00:00Z"),
        until: at("2024-06-18T23:00:00Z"),
        now: world.now(),
        adjustment: Adjustment::default(),
        descending: false,
    };
    assert_eq!(close("2024-06-18", "4. close"), world.market.bars("KO", &query, 1)[0].close);
    let quote = ask(&mut world, "function=GLOBAL_QUOTE&symbol=KO&apikey=k");
    assert_eq!(quote["Global Quote"]["07. latest trading day"], "2024-06-28");
    assert!(ask(&mut world, "function=GLOBAL_QUOTE&symbol=NOSUCH&apikey=k")["Error Message"].is_string());
    assert!(ask(&mut world, "function=GLOBAL_QUOTE&symbol=KO")["Error Message"].is_string());
    for _ in 0..22 {
        assert!(ask(&mut world, "function=GLOBAL_QUOTE&symbol=KO&apikey=k")["Global Quote"].is_object());
    }
    assert!(ask(&mut world, "function=GLOBAL_QUOTE&symbol=KO&apikey=k")["Information"].is_string());
    world.advance(at("2024-06-29T12:00:00Z"));
    assert!(ask(&mut world, "function=GLOBAL_QUOTE&symbol=KO&apikey=k")["Global Quote"].is_object());
}

#[test]
fn yahoos_arrays_stand_side_by_side_have_holes_and_are_adjusted_for_splits() {
    let mut world = in_hours();
    world.market.add_split("KO", Day::parse("2024-06-20").unwrap(), 3, 1);
    world.market.add_dividend(
        "KO",
        Day::parse("2024-06-10").unwrap(),
        Day::parse("2024-06-24").unwrap(),
        d("0.6"),
    );
    let now = world.now();
    let from = at("2023-06-01T00:00:00Z").nanos() / SECOND;
    let target = format!(
        "/v8/finance/chart/KO?period1={from}&period2={}&interval=1d&events=div,splits",
        now.nanos() / SECOND
    );
    let body = world.handle(&Request::get(&target), now).response().unwrap().body_json();
    let result = &body["chart"]["result"][0];
    let times = result["timestamp"].as_array().unwrap();
    let closes = result["indicators"]["quote"][0]["close"].as_array().unwrap();
    assert_eq!(times.len(), closes.len());
    assert!(
        closes.iter().any(Value::is_null)
            && closes.iter().filter(|close| close.is_null()).count() < times.len() / 20
    );
    assert_eq!(times.last().and_then(Value::as_i64), Some(at("2024-06-28T13:30:00Z").nanos() / SECOND));
    let events = &result["events"];
    let split = events["splits"].as_object().unwrap().values().next().unwrap();
    assert_eq!((&split["numerator"], &split["splitRatio"]), (&3.into(), &"3:1".into()));
    let special = &events["dividends"][(at("2024-06-10T13:30:00Z").nanos() / SECOND).to_string()];
    assert_eq!(special["amount"].to_string(), "0.2", "told in shares of today");
    let index = times
        .iter()
        .position(|time| time.as_i64() == Some(at("2024-06-17T13:30:00Z").nanos() / SECOND))
        .unwrap();
    let raw =
        get(&mut world, "/v2/stocks/KO/bars?timeframe=1Day&start=2024-06-17&end=2024-06-17").body_json();
    let (raw, told) = (d(&raw["bars"][0]["c"].to_string()), d(&closes[index].to_string()));
    assert!((raw / d("3") - told).abs() < d("0.01"), "{raw} {told}");
    for symbol in ["BRK-B", "BTC-USD"] {
        let body = world
            .handle(&Request::get(&format!("/v8/finance/chart/{symbol}?range=5d")), now)
            .response()
            .unwrap()
            .body_json();
        assert_eq!(body["chart"]["result"][0]["meta"]["symbol"], symbol);
    }
    let missing = world.handle(&Request::get("/v8/finance/chart/NOSUCH"), now).response().unwrap();
    assert_eq!(
        (missing.status, missing.body_json()["chart"]["error"]["code"].as_str()),
        (404, Some("Not Found"))
    );
}
