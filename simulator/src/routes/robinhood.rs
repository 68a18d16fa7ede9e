//! Robinhood's crypto API: signed requests about an account of coins.

use super::{Counted, Service, count};
use crate::broker::activity::{Content, Fill};
use crate::broker::order::{NewOrder, Order, OrderStatus, Side, Size, Terms, TimeInForce};
use crate::broker::{AccountNo, BrokerError};
use crate::market::Class;
use crate::wire::{Request, Response, iso, plain};
use crate::world::World;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use daybook_schemas::{Timestamp, decimal};
use ed25519_dalek::Signature;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const SECOND: i64 = 1_000_000_000;
/// A signature is good for so many seconds to either side.
const SIGNATURE_SECONDS: u64 = 30;
const PAGE: usize = 100;

pub(super) fn error(status: u16, kind: &str, detail: &str) -> Response {
    Response::json(status, &json!({ "type": kind, "errors": [{ "detail": detail, "attr": null }] }))
}

fn invalid(detail: &str) -> Response {
    error(400, "validation_error", detail)
}

pub(super) fn answer(world: &mut World, request: &Request) -> Response {
    let account = match admit(world, request) {
        Ok(account) => account,
        Err(refusal) => return refusal,
    };
    let path: Vec<&str> = request.path.trim_matches('/').split('/').skip(3).collect();
    match (request.method.as_str(), path.as_slice()) {
        ("GET", ["trading", "accounts"]) => accounts(world, account),
        ("GET", ["trading", "holdings"]) => holdings(world, request, account),
        ("GET", ["trading", "trading_pairs"]) => pairs(world, request),
        ("GET", ["trading", "orders"]) => orders(world, request, account),
        ("POST", ["trading", "orders"]) => submit(world, request, account),
        ("GET", ["trading", "orders", id]) => one(world, account, id, 200),
        ("POST", ["trading", "orders", id, "cancel"]) => cancel(world, account, id),
        ("GET", ["marketdata", "best_bid_ask"]) => quotes(world, request),
        _ => error(404, "client_error", "Not found."),
    }
}

/// Whoever signs with the key that belongs to the account, now.
fn admit(world: &mut World, request: &Request) -> Result<AccountNo, Response> {
    let refused = |detail: &str| error(401, "client_error", detail);
    let header = |name: &str| request.header(name).ok_or_else(|| refused(&format!("{name} is missing")));
    let (key, second, signature) = (header("x-api-key")?, header("x-timestamp")?, header("x-signature")?);
    let limit = world.limits.robinhood_per_minute;
    if let Counted::Over(..) = count(world, Service::Robinhood, key, limit) {
        return Err(error(429, "client_error", "Request was throttled."));
    }
    let signer = world
        .signers
        .get(key)
        .filter(|_| world.broker.is_live(key))
        .ok_or_else(|| refused("Invalid API key."))?;
    let now = world.broker_now().nanos().div_euclid(SECOND);
    let fresh = second.parse::<i64>().is_ok_and(|second| now.abs_diff(second) <= SIGNATURE_SECONDS);
    if !fresh {
        return Err(refused("The timestamp is invalid or too far from now."));
    }
    let signature = STANDARD.decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
    let message = request.signed_message(key, second);
    if signature.is_none_or(|signature| signer.verify_strict(&message, &signature).is_err()) {
        return Err(refused("The signature is invalid."));
    }
    world.broker.account_of(key).map_err(|_| refused("Invalid API key."))
}

/// The API writes BTC-USD where the market has BTC/USD.
fn dashed(symbol: &str) -> String {
    symbol.replace('/', "-")
}

/// Eighteen places, always.
fn long(value: Decimal) -> String {
    format!("{value:.18}")
}

fn list(results: &[Value], next: Option<&str>) -> Response {
    Response::json(200, &json!({ "next": next, "previous": null, "results": results }))
}

fn accounts(world: &World, account: AccountNo) -> Response {
    let account = world.account(account);
    Response::json(
        200,
        &json!({
            "account_number": account.number,
            "status": if account.closed { "deactivated" } else { "active" },
            "buying_power": format!("{:.4}", account.cash().max(Decimal::ZERO)),
            "buying_power_currency": "USD",
        }),
    )
}

fn holdings(world: &World, request: &Request, account: AccountNo) -> Response {
    let wanted: Vec<&str> = all(request, "asset_code");
    let account = world.account(account);
    let results: Vec<Value> = account
        .holdings()
        .filter_map(|(symbol, holding)| Some((symbol.split_once('/')?.0, holding)))
        .filter(|(code, _)| wanted.is_empty() || wanted.contains(code))
        .map(|(code, holding)| {
            json!({
                "account_number": account.number,
                "asset_code": code,
                "total_quantity": long(holding.quantity),
                "quantity_available_for_trading": long(holding.quantity),
            })
        })
        .collect();
    list(&results, None)
}

fn coins(world: &World, request: &Request) -> Vec<String> {
    let wanted = all(request, "symbol");
    let coins = world.market.listings().filter(|listing| listing.class == Class::Crypto);
    coins
        .map(|listing| listing.symbol.clone())
        .filter(|symbol| wanted.is_empty() || wanted.contains(&dashed(symbol).as_str()))
        .collect()
}

fn pairs(world: &World, request: &Request) -> Response {
    let results: Vec<Value> = coins(world, request)
        .iter()
        .map(|symbol| {
            let (asset, quote) = symbol.split_once('/').unwrap_or((symbol, "USD"));
            json!({
                "symbol": dashed(symbol),
                "asset_code": asset,
                "quote_code": quote,
                "quote_increment": "0.010000000000000000",
                "asset_increment": "0.000000010000000000",
                "max_order_size": "1000.0000000000000000",
                "min_order_size": "0.000001000000000000",
                "status": "tradable",
            })
        })
        .collect();
    list(&results, None)
}

fn quotes(world: &World, request: &Request) -> Response {
    let now = world.now();
    let spread = Decimal::new(85, 4);
    let results: Vec<Value> = coins(world, request)
        .iter()
        .filter_map(|symbol| {
            let price = world.market.price(symbol, now)?;
            Some(json!({
                "symbol": dashed(symbol),
                "price": plain(price),
                "bid_inclusive_of_sell_spread": plain((price * (Decimal::ONE - spread)).round_dp(8)),
                "sell_spread": plain(spread),
                "ask_inclusive_of_buy_spread": plain((price * (Decimal::ONE + spread)).round_dp(8)),
                "buy_spread": plain(spread),
                "timestamp": iso(now),
            }))
        })
        .collect();
    Response::json(200, &json!({ "results": results }))
}

fn all<'a>(request: &'a Request, name: &str) -> Vec<&'a str> {
    request.query.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
}

const fn state(order: &Order) -> &'static str {
    match order.status {
        OrderStatus::Accepted | OrderStatus::New => "open",
        OrderStatus::PartiallyFilled => "partially_filled",
        OrderStatus::Filled => "filled",
        OrderStatus::Canceled | OrderStatus::Expired => "canceled",
    }
}

/// Newest first; the cursor is the number of the last order shown, so that newer ones shift nothing.
fn orders(world: &World, request: &Request, number: AccountNo) -> Response {
    let mut bounds: [Option<Timestamp>; 4] = [None; 4];
    let names = ["created_at_start", "created_at_end", "updated_at_start", "updated_at_end"];
    for (bound, name) in bounds.iter_mut().zip(names) {
        if let Some(text) = request.parameter(name) {
            let Ok(at) = Timestamp::parse(text) else {
                return invalid(&format!("{name} must be a time of ISO 8601."));
            };
            *bound = Some(at);
        }
    }
    let [created_from, created_until, updated_from, updated_until] = bounds;
    let limit = match request.parameter("limit").map(str::parse::<usize>) {
        None => PAGE,
        Some(Ok(limit @ 1..=PAGE)) => limit,
        Some(_) => return invalid("limit must be between 1 and 100."),
    };
    let end = match request.parameter("cursor") {
        None => usize::MAX,
        Some(cursor) => {
            let text = STANDARD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let Some(end) =
                text.and_then(|text| text.strip_prefix("o=").and_then(|index| index.parse().ok()))
            else {
                return invalid("Invalid cursor.");
            };
            end
        }
    };
    let is = |name: &str, value: &str| {
        let wanted = all(request, name);
        wanted.is_empty() || wanted.contains(&value)
    };
    let within = |at: Timestamp, from: Option<Timestamp>, until: Option<Timestamp>| {
        from.is_none_or(|from| at >= from) && until.is_none_or(|until| at <= until)
    };
    let account = world.account(number);
    let mut found: Vec<(usize, &Order)> = account
        .orders()
        .iter()
        .enumerate()
        .take(end)
        .rev()
        .filter(|(_, order)| {
            is("symbol", &dashed(&order.asked.symbol))
                && is("id", &order.id)
                && is("side", order.asked.side.order_code())
                && is("state", state(order))
                && is("type", order.asked.terms.code())
                && within(order.submitted_at, created_from, created_until)
                && within(order.updated_at, updated_from, updated_until)
        })
        .take(limit + 1)
        .collect();
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(index, _)| next_page(request, *index));
    let ids: Vec<&str> = found.iter().map(|(_, order)| order.id.as_str()).collect();
    let fills = fills(world, number, &ids);
    let results: Vec<Value> = found.iter().map(|(_, order)| shown(world, number, order, &fills)).collect();
    list(&results, next.as_deref())
}

/// The whole address of the next page: what was asked for, with another cursor.
fn next_page(request: &Request, index: usize) -> String {
    let host = request
        .header("Host")
        .map_or("https://trading.robinhood.com".to_owned(), |host| format!("http://{host}"));
    let escaped =
        |text: &str| text.replace('%', "%25").replace('+', "%2B").replace('=', "%3D").replace('&', "%26");
    let mut query: Vec<String> = vec![format!("cursor={}", escaped(&STANDARD.encode(format!("o={index}"))))];
    let kept = request.query.iter().filter(|(name, _)| name != "cursor");
    query.extend(kept.map(|(name, value)| format!("{name}={}", escaped(value))));
    format!("{host}{}?{}", request.path, query.join("&"))
}

type Fills<'a> = BTreeMap<&'a str, Vec<(Timestamp, &'a Fill)>>;

fn fills<'a>(world: &'a World, account: AccountNo, orders: &[&str]) -> Fills<'a> {
    let mut found: Fills<'a> = BTreeMap::new();
    for row in world.account(account).activities() {
        if let Content::Fill(fill) = &row.content
            && !fill.busted
            && orders.contains(&fill.order_id.as_str())
        {
            found.entry(&fill.order_id).or_default().push((row.at, fill));
        }
    }
    found
}

fn shown(world: &World, account: AccountNo, order: &Order, fills: &Fills<'_>) -> Value {
    let executions: Vec<Value> = fills
        .get(order.id.as_str())
        .into_iter()
        .flatten()
        .map(|(at, fill)| {
            json!({ "effective_price": long(fill.price), "quantity": long(fill.quantity), "timestamp": iso(*at) })
        })
        .collect();
    let (limit, _) = order.asked.terms.prices();
    let mut config = Map::new();
    if let Some(quantity) = order.quantity() {
        config.insert("asset_quantity".to_owned(), json!(long(quantity)));
    }
    if let Some(limit) = limit {
        config.insert("limit_price".to_owned(), json!(long(limit)));
    }
    let mut shown = json!({
        "id": order.id,
        "account_number": world.account(account).number,
        "symbol": dashed(&order.asked.symbol),
        "client_order_id": order.client_order_id,
        "side": order.asked.side.order_code(),
        "type": order.asked.terms.code(),
        "state": state(order),
        "executions": executions,
        "average_price": order.average_price().map(long),
        "filled_asset_quantity": long(order.filled),
        "created_at": iso(order.submitted_at),
        "updated_at": iso(order.updated_at),
    });
    shown[format!("{}_order_config", order.asked.terms.code())] = Value::Object(config);
    shown
}

fn one(world: &World, account: AccountNo, id: &str, status: u16) -> Response {
    match world.account(account).order(id) {
        Some(order) => Response::json(status, &shown(world, account, order, &fills(world, account, &[id]))),
        None => error(404, "client_error", "Not found."),
    }
}

fn submit(world: &mut World, request: &Request, account: AccountNo) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        return invalid("The body is no JSON.");
    };
    let order = match read(&body) {
        Ok(order) => order,
        Err(detail) => return invalid(&detail),
    };
    match world.submit(account, order) {
        Ok(id) => one(world, account, &id, 201),
        Err(refusal) => invalid(&refusal.to_string()),
    }
}

fn read(body: &Value) -> Result<NewOrder, String> {
    let kind = body["type"].as_str().unwrap_or_default();
    let config = &body[format!("{kind}_order_config")];
    let number = |name: &str| -> Result<Decimal, String> {
        let digits = match &config[name] {
            Value::String(digits) => digits.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(format!("{name} is required.")),
        };
        decimal::parse(&digits).map_err(|_| format!("{name} must be a number."))
    };
    let terms = match kind {
        "market" => Terms::Market,
        "limit" => Terms::Limit(number("limit_price")?),
        _ => return Err("type must be market or limit.".to_owned()),
    };
    let side = match body["side"].as_str() {
        Some("buy") => Side::Buy,
        Some("sell") => Side::Sell,
        _ => return Err("side must be buy or sell.".to_owned()),
    };
    let symbol = body["symbol"]
        .as_str()
        .filter(|symbol| symbol.contains('-'))
        .ok_or("symbol must be a pair, such as BTC-USD.")?;
    let id = body["client_order_id"].as_str().ok_or("client_order_id is required.")?;
    let quantity = number("asset_quantity")?;
    Ok(NewOrder {
        terms,
        size: Size::Quantity(quantity),
        time_in_force: TimeInForce::Gtc,
        client_order_id: Some(id.to_owned()),
        ..NewOrder::market(&symbol.replace('-', "/"), side, quantity)
    })
}

fn cancel(world: &mut World, account: AccountNo, id: &str) -> Response {
    let now = world.broker_now();
    match world.broker.cancel(account, id, now) {
        Ok(()) => Response::json(200, &json!(format!("Cancel request was submitted for order {id}"))),
        Err(BrokerError::NoSuchOrder(_)) => error(404, "client_error", "Not found."),
        Err(refusal) => invalid(&refusal.to_string()),
    }
}
