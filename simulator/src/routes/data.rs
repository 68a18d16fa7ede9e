//! Bars and latest prices of the data API.

use crate::market::{Adjustment, Bar, BarQuery, Class, Market, Timeframe};
use crate::random::{hash, hash_text};
use crate::wire::{Request, Response, instant_or_day, iso, number};
use crate::world::World;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use daybook_schemas::{Timestamp, Zone};
use serde_json::{Map, Value, json};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;

pub(crate) fn bar_json(bar: &Bar) -> Value {
    json!({
        "t": iso(bar.start),
        "o": number(bar.open),
        "h": number(bar.high),
        "l": number(bar.low),
        "c": number(bar.close),
        "v": number(bar.volume),
        "n": bar.trades,
        "vw": number(bar.vwap),
    })
}

/// The last trade by then: one at each full second while the symbol trades. None where it does not trade then.
pub(crate) fn trade_json(market: &Market, symbol: &str, at: Timestamp) -> Option<Value> {
    let listing = market.listing(symbol)?;
    let second = at.nanos().div_euclid(SECOND);
    let at = Timestamp::from_nanos(second * SECOND);
    if !market.is_open(&listing.symbol, at) {
        return None;
    }
    let dice = hash(&[hash_text(&listing.symbol), second.cast_unsigned()]);
    Some(json!({
        "t": iso(at),
        "x": "V",
        "p": number(market.price(&listing.symbol, at)?),
        "s": 1 + dice % 300,
        "c": ["@"],
        "i": second,
        "z": if listing.exchange == "NASDAQ" { "C" } else { "A" },
    }))
}

/// The data API words its errors without a code.
fn bad(message: &str) -> Response {
    Response::json(400, &json!({ "message": message }))
}

fn symbols(request: &Request) -> Option<Vec<String>> {
    let mut symbols: Vec<String> = request
        .parameter("symbols")?
        .split(',')
        .filter(|symbol| !symbol.is_empty())
        .map(str::to_owned)
        .collect();
    symbols.sort();
    symbols.dedup();
    Some(symbols)
}

struct Page {
    query: BarQuery,
    limit: usize,
    /// The last bar of the page before: its symbol and start.
    after: Option<(String, Timestamp)>,
}

fn page(world: &World, request: &Request) -> Result<Page, String> {
    let timeframe = request.parameter("timeframe").ok_or("timeframe is required")?;
    let timeframe = Timeframe::parse(timeframe).ok_or_else(|| format!("invalid timeframe: {timeframe}"))?;
    let now = world.now();
    let today = now.day_in(Zone::NEW_YORK).start_in(Zone::NEW_YORK);
    let instant = |name: &str| -> Result<Option<Timestamp>, String> {
        let Some(text) = request.parameter(name) else { return Ok(None) };
        let at = instant_or_day(text, Zone::NEW_YORK).ok_or_else(|| format!("invalid {name}: {text}"))?;
        // A day as an end is the whole of it.
        let whole_day = name == "end" && text.len() == 10;
        Ok(Some(if whole_day { at.plus_nanos(1_440 * MINUTE - 1) } else { at }))
    };
    let from = instant("start")?.unwrap_or(today);
    let until = instant("end")?.unwrap_or(now);
    if until < from {
        return Err("end should not be before start".to_owned());
    }
    let limit = match request.parameter("limit").map(str::parse::<usize>) {
        None => 1_000,
        Some(Ok(limit @ 1..=10_000)) => limit,
        Some(_) => return Err("limit must be between 1 and 10000".to_owned()),
    };
    let mut adjustment = Adjustment::default();
    for wanted in request.parameter("adjustment").unwrap_or("raw").split(',') {
        match wanted {
            "raw" | "spin-off" => {}
            "split" => adjustment.splits = true,
            "dividend" => adjustment.dividends = true,
            "all" => adjustment = Adjustment { splits: true, dividends: true },
            other => return Err(format!("invalid adjustment: {other}")),
        }
    }
    let descending = match request.parameter("sort") {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(other) => return Err(format!("invalid sort: {other}")),
    };
    let after = request.parameter("page_token").map(read_token).transpose()?;
    Ok(Page { query: BarQuery { timeframe, from, until, now, adjustment, descending }, limit, after })
}

/// A page token is the last bar's symbol, its series and its start, as Alpaca's own are.
fn token(request: &Request, symbol: &str, start: Timestamp) -> String {
    let series = request.parameter("timeframe").unwrap_or_default();
    STANDARD.encode(format!("{symbol}|{series}|{start}"))
}

fn read_token(token: &str) -> Result<(String, Timestamp), String> {
    let wrong = || "invalid page_token".to_owned();
    let text =
        STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
    let mut parts = text.split('|');
    match (parts.next(), parts.next(), parts.next().map(Timestamp::parse)) {
        (Some(symbol), Some(_), Some(Ok(start))) => Ok((symbol.to_owned(), start)),
        _ => Err(wrong()),
    }
}

/// Symbols in their order, each with its bars.
type BarsBySymbol = Vec<(String, Vec<Bar>)>;

/// One page over several symbols: all of one symbol's bars before the next symbol's.
fn collect(
    world: &World,
    request: &Request,
    symbols: &[String],
) -> Result<(BarsBySymbol, Option<String>), String> {
    let page = page(world, request)?;
    let mut room = page.limit;
    let mut found: BarsBySymbol = Vec::new();
    let mut next = None;
    for symbol in symbols {
        let mut query = page.query;
        if let Some((last, start)) = &page.after {
            if symbol < last {
                continue;
            }
            if symbol == last && query.descending {
                query.until = query.until.min(start.plus_nanos(-1));
            } else if symbol == last {
                query.from = query.from.max(start.plus_nanos(1));
            }
        }
        // One more than there is room for shows whether there is a next page.
        let mut bars = world.market.bars(symbol, &query, room + 1);
        if bars.len() > room {
            bars.truncate(room);
            let last = match (bars.last(), found.last()) {
                (Some(bar), _) => Some((symbol.as_str(), bar.start)),
                (None, Some((before, bars))) => bars.last().map(|bar| (before.as_str(), bar.start)),
                (None, None) => None,
            };
            next = last.map(|(symbol, start)| token(request, symbol, start));
        }
        room -= bars.len();
        if !bars.is_empty() {
            found.push((symbol.clone(), bars));
        }
        if next.is_some() {
            break;
        }
    }
    Ok((found, next))
}

pub(super) fn bars(world: &World, request: &Request) -> Response {
    let Some(symbols) = symbols(request) else { return bad("symbols is required") };
    match collect(world, request, &symbols) {
        Err(message) => bad(&message),
        Ok((found, next)) => {
            let bars: Map<String, Value> = found
                .into_iter()
                .map(|(symbol, bars)| (symbol, bars.iter().map(bar_json).collect()))
                .collect();
            Response::json(200, &json!({ "bars": bars, "next_page_token": next }))
        }
    }
}

pub(super) fn bars_of_one(world: &World, request: &Request, symbol: &str) -> Response {
    match collect(world, request, &[symbol.to_owned()]) {
        Err(message) => bad(&message),
        Ok((found, next)) => {
            let bars: Vec<Value> = found.iter().flat_map(|(_, bars)| bars.iter().map(bar_json)).collect();
            Response::json(200, &json!({ "symbol": symbol, "bars": bars, "next_page_token": next }))
        }
    }
}

/// Each symbol's newest of something; symbols without are left out.
fn newest(request: &Request, name: &str, of: impl Fn(&str) -> Option<Value>) -> Response {
    let Some(symbols) = symbols(request) else { return bad("symbols is required") };
    let found: Map<String, Value> =
        symbols.into_iter().filter_map(|symbol| of(&symbol).map(|value| (symbol, value))).collect();
    let mut body = Map::new();
    body.insert(name.to_owned(), Value::Object(found));
    Response::json(200, &Value::Object(body))
}

pub(super) fn latest_bars(world: &World, request: &Request) -> Response {
    newest(request, "bars", |symbol| latest_bar(world, symbol))
}

pub(super) fn latest_trades(world: &World, request: &Request) -> Response {
    newest(request, "trades", |symbol| latest_trade(world, symbol))
}

pub(super) fn latest_bar_of_one(world: &World, symbol: &str) -> Response {
    match latest_bar(world, symbol) {
        Some(bar) => Response::json(200, &json!({ "symbol": symbol, "bar": bar })),
        None => Response::json(404, &json!({ "message": format!("no bar found for {symbol}") })),
    }
}

pub(super) fn latest_trade_of_one(world: &World, symbol: &str) -> Response {
    match latest_trade(world, symbol) {
        Some(trade) => Response::json(200, &json!({ "symbol": symbol, "trade": trade })),
        None => Response::json(404, &json!({ "message": format!("no trade found for {symbol}") })),
    }
}

fn latest_bar(world: &World, symbol: &str) -> Option<Value> {
    world.market.latest_bar(symbol, Timeframe::Minutes(1), world.now()).as_ref().map(bar_json)
}

fn latest_trade(world: &World, symbol: &str) -> Option<Value> {
    let listing = world.market.listing(symbol)?;
    let now = world.now();
    trade_json(&world.market, symbol, now).or_else(|| {
        // Closed: the last second before the close.
        let close = crate::calendar::session_before(now).close.plus_nanos(-1);
        (listing.class == Class::Equity).then(|| trade_json(&world.market, symbol, close.min(now))).flatten()
    })
}
