//! Whatever is asked and whatever is sent, there is an answer.

use crate::support::{SECOND, at, d, keys};
use daybook_simulator::{Hours, Incoming, Life, PerMillion, Rates, Request, Socket, SocketKind, World};
use proptest::prelude::*;
use proptest::sample::select;

const PATHS: [&str; 31] = [
    "/",
    "/v2/account",
    "/v2/account/activities",
    "/v2/account/activities/DIV",
    "/v2/account/activities/%F0%9F%92%A5",
    "/v2/orders",
    "/v2/orders/x",
    "/v2/orders:by_client_order_id",
    "/v2/positions",
    "/v2/positions/BTC/USD",
    "/v2/positions/AAPL",
    "/v2/assets",
    "/v2/assets/",
    "/v2/clock",
    "/v2/calendar",
    "/v2/stocks/bars",
    "/v2/stocks/AAPL/bars",
    "/v2/stocks/bars/latest",
    "/v2/stocks//bars/latest",
    "/v2/stocks/trades/latest",
    "/v1/corporate-actions",
    "/v1beta3/crypto/us/bars",
    "/query",
    "/v8/finance/chart/AAPL",
    "/v8/finance/chart/",
    "/v8/finance/chart/%00",
    "/api/v1/crypto/trading/orders/",
    "/api/v1/crypto/trading/accounts/",
    "/api/v1/crypto/",
    "/v2/account/activities/FILL",
    "/v2/stocks/BRK.B/bars",
];

const NAMES: [&str; 26] = [
    "after",
    "until",
    "date",
    "direction",
    "page_size",
    "page_token",
    "category",
    "activity_types",
    "status",
    "limit",
    "symbols",
    "timeframe",
    "start",
    "end",
    "sort",
    "adjustment",
    "types",
    "function",
    "symbol",
    "apikey",
    "period1",
    "period2",
    "interval",
    "range",
    "qty",
    "percentage",
];

const VALUES: [&str; 33] = [
    "",
    "0",
    "1",
    "-1",
    "7",
    "100",
    "10000",
    "18446744073709551615",
    "99999999999999999999999999999999",
    "0.1",
    "AAPL",
    "AAPL,KO,BTC/USD",
    "BTC-USD",
    "asc",
    "desc",
    "all",
    "closed",
    "2024-06-03",
    "1900-01-01",
    "2200-12-31",
    "2262-04-12",
    "2024-06-03T14:00:00Z",
    "2200-12-31T23:59:59.999999999Z",
    "1Min",
    "1Day",
    "1Month",
    "1d",
    "1m",
    "max",
    "k",
    "GLOBAL_QUOTE",
    "TIME_SERIES_DAILY_ADJUSTED",
    "QUFQTHwxRGF5fDIyMDAtMTItMzFUMDA6MDA6MDBa",
];

const BODIES: [&str; 9] = [
    "",
    "{}",
    "[]",
    "null",
    "{\"symbol\":\"AAPL\",\"qty\":1e400}",
    "{\"symbol\":\"AAPL\",\"qty\":\"999999999.999999999\",\"side\":\"sell\",\"type\":\"market\",\"time_in_force\":\"day\"}",
    "{\"symbol\":\"AAPL\",\"qty\":\"1000000000\",\"side\":\"sell\",\"type\":\"limit\",\"limit_price\":\"1000000000\",\"time_in_force\":\"gtc\"}",
    "{\"symbol\":\"BTC/USD\",\"notional\":\"50.01\",\"side\":\"buy\",\"type\":\"market\",\"time_in_force\":\"ioc\"}",
    "{\"symbol\":\"KO\",\"qty\":3,\"side\":\"buy\",\"type\":\"stop_limit\",\"stop_price\":\"0.000000001\",\"limit_price\":\"1000000000\",\"time_in_force\":\"fok\"}",
];

fn request() -> impl Strategy<Value = Request> {
    let pair = (select(&NAMES[..]), select(&VALUES[..]));
    (
        select(&["GET", "POST", "DELETE", "PATCH"][..]),
        select(&PATHS[..]),
        prop::collection::vec(pair, 0..5),
        select(&BODIES[..]),
    )
        .prop_map(|(method, path, pairs, body)| {
            let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let mut request = Request::to(method, &format!("{path}?{}", query.join("&")));
            request.body = body.as_bytes().to_vec();
            request.with_keys(&keys().id, &keys().secret)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_request_and_no_message_brings_the_world_down(
        requests in prop::collection::vec((request(), 0_i64..4_000), 1..25),
        messages in prop::collection::vec(prop_oneof![
            select(&["{\"action\":\"auth\",\"key\":\"PKTEST\",\"secret\":\"secret\"}", "{\"action\":\"listen\",\"data\":{\"streams\":[\"trade_updates\"]}}",
                "{\"action\":\"subscribe\",\"trades\":[\"*\",7],\"bars\":[\"AAPL\"]}", "{\"action\":\"unsubscribe\"}", "[]", "{", "7"][..]).prop_map(str::to_owned),
            ".*",
        ], 0..8),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(seed, at("2024-06-03T14:00:00Z"));
        world.set_hours(Hours::Always);
        world.limits.per_minute = None;
        world.faults.rates = Rates::all(PerMillion::percent(1));
        world.open(&keys(), seed % 2 == 0, d("100000"));
        world.animate(Life::new(seed, &keys().id, 30));
        let now = world.now();
        let mut sockets = [SocketKind::Trading, SocketKind::Data].map(|kind| Socket::connect(&mut world, kind, now));
        let mut messages = messages.iter();
        for (request, seconds) in requests {
            let now = world.now().plus_nanos(seconds * SECOND);
            if let Some(response) = world.handle(&request, now).response() {
                prop_assert!((200..600).contains(&response.status));
                if response.status == 200 && request.path != "/v8/finance/chart/" {
                    prop_assert!(serde_json::from_slice::<serde_json::Value>(&response.body).is_ok(), "{request:?}");
                }
            }
            for socket in &mut sockets {
                if let Some(message) = messages.next() {
                    socket.receive(&mut world, Incoming::Text(message), now);
                }
                socket.poll(&mut world, now);
            }
        }
    }
}
