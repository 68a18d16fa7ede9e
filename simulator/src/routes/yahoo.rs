//! Yahoo's chart: arrays side by side, with holes, in prices adjusted for splits.

use crate::calendar;
use crate::market::{Adjustment, Bar, BarQuery, Class, CorporateAction, Listing, Timeframe};
use crate::random::{hash, hash_text};
use crate::wire::{Request, Response, number};
use crate::world::World;
use chrono::Offset;
use daybook_schemas::{Timestamp, Zone};
use serde_json::{Map, Value, json};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// One bar in so many is a hole.
const HOLES: u64 = 83;

fn error(status: u16, code: &str, description: &str) -> Response {
    Response::json(
        status,
        &json!({ "chart": { "result": null, "error": { "code": code, "description": description } } }),
    )
}

pub(super) fn answer(world: &World, request: &Request) -> Response {
    let asked = request.path.trim_start_matches("/v8/finance/chart/").to_owned();
    let Some(listing) = find(world, &asked) else {
        return error(404, "Not Found", "No data found, symbol may be delisted");
    };
    let interval = request.parameter("interval").unwrap_or("1d");
    let timeframe = match interval {
        "1m" => Timeframe::Minutes(1),
        "5m" => Timeframe::Minutes(5),
        "15m" => Timeframe::Minutes(15),
        "30m" => Timeframe::Minutes(30),
        "60m" | "1h" => Timeframe::Minutes(60),
        "1d" => Timeframe::Day,
        "1wk" => Timeframe::Week,
        "1mo" => Timeframe::Months(1),
        "3mo" => Timeframe::Months(3),
        _ => return error(400, "Bad Request", "Invalid input - interval is not supported"),
    };
    let now = world.now();
    let Some((from, until)) = span(request, now) else {
        return error(400, "Bad Request", "Invalid input - period1, period2 or range is not supported");
    };
    let adjustment = Adjustment { splits: true, dividends: false };
    let query = BarQuery { timeframe, from, until, now, adjustment, descending: false };
    let bars = world.market.bars(&listing.symbol, &query, 50_000);
    let adjusted = BarQuery { adjustment: Adjustment { splits: true, dividends: true }, ..query };
    let adjusted = world.market.bars(&listing.symbol, &adjusted, 50_000);
    Response::json(200, &chart(world, listing, &asked, interval, &query, &bars, &adjusted))
}

/// Yahoo writes BRK-B and BTC-USD.
fn find<'a>(world: &'a World, asked: &str) -> Option<&'a Listing> {
    let market = &world.market;
    market
        .listing(asked)
        .or_else(|| market.listing(&asked.replace('-', ".")))
        .or_else(|| market.listing(&asked.replace('-', "/")))
}

fn span(request: &Request, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let seconds = |name: &str| request.parameter(name).map(str::parse::<i64>).transpose().ok();
    match (seconds("period1")?, seconds("period2")?) {
        (Some(from), until) => {
            let at = |seconds: i64| Timestamp::from_nanos(seconds.saturating_mul(SECOND));
            // The end is not included.
            Some((at(from), until.map_or(now, |until| at(until).plus_nanos(-1))))
        }
        (None, _) => {
            let days = match request.parameter("range").unwrap_or("1mo") {
                "1d" => 1,
                "5d" => 5,
                "1mo" => 31,
                "3mo" => 92,
                "6mo" => 183,
                "1y" => 366,
                "2y" => 731,
                "5y" => 1_827,
                "10y" | "max" => 3_653,
                _ => return None,
            };
            Some((now.plus_nanos(-days * DAY), now))
        }
    }
}

/// A day is stamped with its session's opening.
fn stamp(listing: &Listing, timeframe: Timeframe, start: Timestamp) -> i64 {
    let at = match (timeframe, listing.class) {
        (Timeframe::Day, Class::Equity) => {
            calendar::session(start.day_in(Zone::NEW_YORK)).map_or(start, |session| session.open)
        }
        _ => start,
    };
    at.nanos().div_euclid(SECOND)
}

fn chart(
    world: &World,
    listing: &Listing,
    asked: &str,
    interval: &str,
    query: &BarQuery,
    bars: &[Bar],
    adjusted: &[Bar],
) -> Value {
    let name = hash_text(&listing.symbol);
    let newest = bars.len().saturating_sub(1);
    let is_hole = |index: usize, bar: &Bar| {
        index != newest && hash(&[name, bar.start.nanos().cast_unsigned(), 5]).is_multiple_of(HOLES)
    };
    let column = |bars: &[Bar], value: fn(&Bar) -> Value| -> Vec<Value> {
        bars.iter()
            .enumerate()
            .map(|(index, bar)| if is_hole(index, bar) { Value::Null } else { value(bar) })
            .collect()
    };
    let times: Vec<i64> = bars.iter().map(|bar| stamp(listing, query.timeframe, bar.start)).collect();
    let zone = if listing.class == Class::Crypto { Zone::UTC } else { Zone::NEW_YORK };
    let offset = world.now().to_utc().with_timezone(&zone.tz()).offset().fix().local_minus_utc();
    let price = world.market.price(&listing.symbol, world.now()).map(number);
    let mut result = json!({
        "meta": {
            "currency": "USD",
            "symbol": asked,
            "exchangeName": listing.exchange,
            "instrumentType": if listing.class == Class::Crypto { "CRYPTOCURRENCY" } else { "EQUITY" },
            "gmtoffset": offset,
            "timezone": if offset == -14_400 { "EDT" } else if offset == -18_000 { "EST" } else { "UTC" },
            "exchangeTimezoneName": zone.name(),
            "regularMarketPrice": price,
            "regularMarketTime": world.now().nanos().div_euclid(SECOND),
            "dataGranularity": interval,
            "priceHint": 2,
        },
        "timestamp": times,
        "indicators": {
            "quote": [{
                "open": column(bars, |bar| number(bar.open)),
                "high": column(bars, |bar| number(bar.high)),
                "low": column(bars, |bar| number(bar.low)),
                "close": column(bars, |bar| number(bar.close)),
                "volume": column(bars, |bar| number(bar.volume.trunc())),
            }],
            "adjclose": [{ "adjclose": column(adjusted, |bar| number(bar.close)) }],
        },
    });
    if bars.is_empty() {
        // Without bars there are no arrays either.
        result["timestamp"] = Value::Null;
        result["indicators"] = json!({ "quote": [{}], "adjclose": [{}] });
    }
    let (dividends, splits) = events(world, listing, query);
    if !dividends.is_empty() || !splits.is_empty() {
        result["events"] = json!({ "dividends": dividends, "splits": splits });
    }
    json!({ "chart": { "result": [result], "error": null } })
}

fn events(world: &World, listing: &Listing, query: &BarQuery) -> (Map<String, Value>, Map<String, Value>) {
    let (mut dividends, mut splits) = (Map::new(), Map::new());
    let (from, until) =
        (query.from.day_in(Zone::NEW_YORK), query.until.min(query.now).day_in(Zone::NEW_YORK));
    let later = world.market.corporate_actions_of(&listing.symbol, from, query.now.day_in(Zone::NEW_YORK));
    for action in later.iter().filter(|action| action.ex() <= until) {
        let at = calendar::session(action.ex())
            .map_or_else(|| action.ex().start_in(Zone::NEW_YORK), |session| session.open);
        let at = at.nanos().div_euclid(SECOND);
        match action {
            CorporateAction::Dividend { rate, ex, .. } => {
                // Dividends are told in today's shares too.
                let factor =
                    later.iter().filter(|later| later.ex() > *ex).fold(*rate, |rate, later| match later {
                        CorporateAction::Split { new, old, .. } => {
                            rate * rust_decimal::Decimal::from(*old) / rust_decimal::Decimal::from(*new)
                        }
                        CorporateAction::Dividend { .. } => rate,
                    });
                dividends.insert(at.to_string(), json!({ "amount": number(factor.round_dp(6)), "date": at }));
            }
            CorporateAction::Split { new, old, .. } => {
                splits.insert(at.to_string(), json!({ "date": at, "numerator": new, "denominator": old, "splitRatio": format!("{new}:{old}") }));
            }
        }
    }
    (dividends, splits)
}
