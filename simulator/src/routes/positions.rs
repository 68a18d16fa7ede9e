//! Positions: what is held, at what cost, worth what.

use super::orders;
use crate::broker::AccountNo;
use crate::broker::account::Holding;
use crate::broker::order::{NewOrder, Side, Size, TimeInForce};
use crate::calendar;
use crate::market::{Class, asset_id};
use crate::wire::{Request, Response, plain};
use crate::world::World;
use daybook_schemas::decimal;
use rust_decimal::Decimal;
use serde_json::{Value, json};

pub(super) fn list(world: &World, account: AccountNo) -> Response {
    let positions: Vec<Value> =
        world.account(account).holdings().map(|(symbol, holding)| shown(world, symbol, holding)).collect();
    Response::json(200, &Value::Array(positions))
}

pub(super) fn one(world: &World, account: AccountNo, symbol: &str) -> Response {
    match find(world, account, symbol) {
        Some((symbol, holding)) => Response::json(200, &shown(world, &symbol, holding)),
        None => missing(),
    }
}

fn missing() -> Response {
    Response::error(404, 40_410_000, "position does not exist")
}

/// By symbol, with or without a pair's slash, or by the asset's id.
fn find(world: &World, account: AccountNo, wanted: &str) -> Option<(String, Holding)> {
    world
        .account(account)
        .holdings()
        .find(|(symbol, _)| symbol.replace('/', "") == wanted.replace('/', "") || asset_id(symbol) == wanted)
        .map(|(symbol, holding)| (symbol.to_owned(), holding))
}

fn shown(world: &World, symbol: &str, holding: Holding) -> Value {
    let listing = world.market.listing(symbol);
    let quantity = holding.quantity;
    let ratio =
        |part: Decimal, whole: Decimal| plain(part.checked_div(whole.abs()).unwrap_or_default().round_dp(10));
    let average = holding.cost.checked_div(quantity).unwrap_or_default().round_dp(6);
    let price = world.market.price(symbol, world.now()).unwrap_or(average);
    // The last instant of the session before the running one, or before the last one that ran.
    let last_session = calendar::session_before(world.now()).open.plus_nanos(-1);
    let last_day = world.market.price(symbol, last_session).unwrap_or(price);
    let (value, gain, today) =
        (quantity * price, quantity * price - holding.cost, quantity * (price - last_day));
    let crypto = listing.map_or(symbol.contains('/'), |listing| listing.class == Class::Crypto);
    json!({
        "asset_id": asset_id(symbol),
        // Positions name a pair without its slash.
        "symbol": symbol.replace('/', ""),
        "exchange": listing.map_or("", |listing| listing.exchange),
        "asset_class": if crypto { "crypto" } else { "us_equity" },
        "asset_marginable": !crypto,
        "avg_entry_price": plain(average),
        "qty": plain(quantity),
        "qty_available": plain(quantity),
        "side": if quantity.is_sign_negative() { "short" } else { "long" },
        "market_value": plain(value.round_dp(6)),
        "cost_basis": plain(holding.cost.round_dp(6)),
        "unrealized_pl": plain(gain.round_dp(6)),
        "unrealized_plpc": ratio(gain, holding.cost),
        "unrealized_intraday_pl": plain(today.round_dp(6)),
        "unrealized_intraday_plpc": ratio(today, quantity * last_day),
        "current_price": plain(price),
        "lastday_price": plain(last_day),
        "change_today": ratio(price - last_day, last_day),
    })
}

fn closing(symbol: &str, holding: Holding, quantity: Decimal) -> NewOrder {
    let side = if holding.quantity.is_sign_negative() { Side::Buy } else { Side::Sell };
    let crypto = symbol.contains('/');
    NewOrder {
        size: Size::Quantity(quantity),
        time_in_force: if crypto { TimeInForce::Gtc } else { TimeInForce::Day },
        ..NewOrder::market(symbol, side, quantity)
    }
}

pub(super) fn close(world: &mut World, request: &Request, account: AccountNo, symbol: &str) -> Response {
    let Some((symbol, holding)) = find(world, account, symbol) else { return missing() };
    let held = holding.quantity.abs();
    let number = |name: &str| request.parameter(name).map(decimal::parse).transpose();
    let quantity = match (number("qty"), number("percentage")) {
        (Ok(None), Ok(None)) => held,
        (Ok(Some(quantity)), Ok(None)) => quantity,
        (Ok(None), Ok(Some(percentage))) if percentage <= Decimal::ONE_HUNDRED => {
            (held * percentage / Decimal::ONE_HUNDRED).trunc_with_scale(9)
        }
        _ => return super::unprocessable("either qty or percentage (0 to 100) may be given, as a number"),
    };
    if quantity > held {
        return Response::error(403, 40_310_000, "insufficient qty available for order");
    }
    match world.submit(account, closing(&symbol, holding, quantity)) {
        Ok(id) => orders::one(world, account, &id),
        Err(error) => orders::refused(&error),
    }
}

pub(super) fn close_all(world: &mut World, account: AccountNo) -> Response {
    let held: Vec<(String, Holding)> =
        world.account(account).holdings().map(|(symbol, holding)| (symbol.to_owned(), holding)).collect();
    let answers: Vec<Value> = held
        .into_iter()
        .map(|(symbol, holding)| {
            let response = match world.submit(account, closing(&symbol, holding, holding.quantity.abs())) {
                Ok(id) => orders::one(world, account, &id),
                Err(error) => orders::refused(&error),
            };
            json!({ "symbol": symbol.replace('/', ""), "status": response.status, "body": response.body_json() })
        })
        .collect();
    Response::json(207, &Value::Array(answers))
}
