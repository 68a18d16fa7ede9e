//! Alpha Vantage's `/query`: everything with status 200, errors included.

use super::today;
use crate::market::{Adjustment, BarQuery, CorporateAction, Market, Timeframe};
use crate::wire::{Request, Response};
use crate::world::World;
use daybook_schemas::{Day, Zone};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

/// Trading days in a compact answer.
const COMPACT: usize = 100;
/// Years in a full one.
const FULL_DAYS: i32 = 20 * 366;

pub(super) fn answer(world: &mut World, request: &Request) -> Response {
    Response::json(200, &body(world, request))
}

fn body(world: &mut World, request: &Request) -> Value {
    let error = |message: &str| json!({ "Error Message": message });
    let Some(key) = request.parameter("apikey") else {
        return error("the parameter apikey is invalid or missing");
    };
    if is_over_limit(world, key) {
        return json!({ "Information": "The daily limit of requests for this key is reached. Come back tomorrow, or subscribe." });
    }
    let Some(listing) = request.parameter("symbol").and_then(|symbol| world.market.listing(symbol)) else {
        return error("Invalid API call: the parameter symbol is missing or unknown");
    };
    let symbol = listing.symbol.clone();
    let full = request.parameter("outputsize") == Some("full");
    match request.parameter("function") {
        Some("TIME_SERIES_DAILY") => daily(world, &symbol, full, false),
        Some("TIME_SERIES_DAILY_ADJUSTED") => daily(world, &symbol, full, true),
        Some("GLOBAL_QUOTE") => quote(world, &symbol),
        _ => error("This API function does not exist"),
    }
}

fn is_over_limit(world: &mut World, key: &str) -> bool {
    let Some(limit) = world.limits.alpha_vantage_per_day else { return false };
    let today = today(world);
    if world.counters.days.len() >= super::KEYS_COUNTED {
        world.counters.days.retain(|_, (day, _)| *day == today);
    }
    let (day, made) = world.counters.days.entry(key.to_owned()).or_insert((today, 0));
    if *day != today {
        (*day, *made) = (today, 0);
    }
    *made = made.saturating_add(1);
    *made > limit
}

/// Four places, always.
fn four(value: Decimal) -> String {
    format!("{:.4}", value.round_dp(4))
}

fn days(world: &World, symbol: &str, adjustment: Adjustment, count: usize) -> Vec<crate::market::Bar> {
    let query = BarQuery {
        timeframe: Timeframe::Day,
        from: today(world).plus_days(-FULL_DAYS).start_in(Zone::NEW_YORK),
        until: world.now(),
        now: world.now(),
        adjustment,
        descending: true,
    };
    world.market.bars(symbol, &query, count)
}

fn daily(world: &World, symbol: &str, full: bool, adjusted: bool) -> Value {
    let count = if full { usize::MAX } else { COMPACT };
    let raw = days(world, symbol, Adjustment::default(), count);
    let closes = if adjusted {
        days(world, symbol, Adjustment { splits: true, dividends: true }, count)
    } else {
        Vec::new()
    };
    let mut series = Map::new();
    for (index, bar) in raw.iter().enumerate() {
        let day = bar.start.day_in(Zone::NEW_YORK);
        let mut row = Map::new();
        row.insert("1. open".into(), json!(four(bar.open)));
        row.insert("2. high".into(), json!(four(bar.high)));
        row.insert("3. low".into(), json!(four(bar.low)));
        row.insert("4. close".into(), json!(four(bar.close)));
        if adjusted {
            let (dividend, coefficient) = actions(&world.market, symbol, day);
            row.insert(
                "5. adjusted close".into(),
                json!(four(closes.get(index).map_or(bar.close, |bar| bar.close))),
            );
            row.insert("6. volume".into(), json!(bar.volume.trunc().to_string()));
            row.insert("7. dividend amount".into(), json!(four(dividend)));
            row.insert("8. split coefficient".into(), json!(coefficient.round_dp(6).to_string()));
        } else {
            row.insert("5. volume".into(), json!(bar.volume.trunc().to_string()));
        }
        series.insert(day.to_string(), Value::Object(row));
    }
    let newest = raw.first().map_or_else(String::new, |bar| bar.start.day_in(Zone::NEW_YORK).to_string());
    json!({
        "Meta Data": {
            "1. Information": "Daily Prices and Volumes",
            "2. Symbol": symbol,
            "3. Last Refreshed": newest,
            "4. Output Size": if full { "Full size" } else { "Compact" },
            "5. Time Zone": "US/Eastern",
        },
        "Time Series (Daily)": series,
    })
}

fn actions(market: &Market, symbol: &str, day: Day) -> (Decimal, Decimal) {
    let (mut dividend, mut coefficient) = (Decimal::ZERO, Decimal::new(10, 1));
    for action in market.corporate_actions_of(symbol, day, day) {
        match action {
            CorporateAction::Dividend { rate, .. } => dividend += rate,
            CorporateAction::Split { new, old, .. } => coefficient = Decimal::from(new) / Decimal::from(old),
        }
    }
    (dividend, coefficient)
}

fn quote(world: &World, symbol: &str) -> Value {
    let days = days(world, symbol, Adjustment::default(), 2);
    let [last, before] = days.as_slice() else { return json!({ "Global Quote": {} }) };
    let change = last.close - before.close;
    let percent = change.checked_div(before.close).unwrap_or_default() * Decimal::ONE_HUNDRED;
    json!({ "Global Quote": {
        "01. symbol": symbol,
        "02. open": four(last.open),
        "03. high": four(last.high),
        "04. low": four(last.low),
        "05. price": four(last.close),
        "06. volume": last.volume.trunc().to_string(),
        "07. latest trading day": last.start.day_in(Zone::NEW_YORK).to_string(),
        "08. previous close": four(before.close),
        "09. change": four(change),
        "10. change percent": format!("{}%", four(percent)),
    } })
}
