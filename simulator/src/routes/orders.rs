//! Orders: listed, taken, taken back.

use super::unprocessable;
use crate::broker::order::{NewOrder, Order, Side, Size, Terms, TimeInForce};
use crate::broker::{AccountNo, BrokerError};
use crate::wire::{Request, Response, instant_or_day};
use crate::world::World;
use daybook_schemas::{Zone, decimal};
use rust_decimal::Decimal;
use serde_json::{Value, json};

pub(super) fn refused(error: &BrokerError) -> Response {
    match error {
        BrokerError::Refused { status, code, message } => Response::error(*status, *code, message),
        BrokerError::NoSuchOrder(id) => {
            Response::error(404, 40_410_000, &format!("order not found for {id}"))
        }
        other => unprocessable(&other.to_string()),
    }
}

pub(super) fn list(world: &World, request: &Request, account: AccountNo) -> Response {
    let wanted: fn(&Order) -> bool = match request.parameter("status") {
        None | Some("open") => |order| order.status.is_open(),
        Some("closed") => |order| !order.status.is_open(),
        Some("all") => |_| true,
        Some(_) => return unprocessable("status must be open, closed or all"),
    };
    let limit = match request.parameter("limit").map(str::parse::<usize>) {
        None => 50,
        Some(Ok(limit @ 1..=500)) => limit,
        Some(_) => return unprocessable("limit must be between 1 and 500"),
    };
    let descending = match request.parameter("direction") {
        None | Some("desc") => true,
        Some("asc") => false,
        Some(_) => return unprocessable("direction must be asc or desc"),
    };
    let mut bounds = [None, None];
    for (bound, name) in bounds.iter_mut().zip(["after", "until"]) {
        if let Some(text) = request.parameter(name) {
            let Some(at) = instant_or_day(text, Zone::UTC) else {
                return unprocessable(&format!("{name} must be YYYY-MM-DD or RFC 3339"));
            };
            *bound = Some(at);
        }
    }
    let [after, until] = bounds;
    let symbols: Vec<String> = request
        .parameter("symbols")
        .map(|list| list.split(',').map(without_slash).collect())
        .unwrap_or_default();
    let side = request.parameter("side");
    let account = world.account(account);
    let matches = |order: &&Order| {
        wanted(order)
            && after.is_none_or(|after| order.submitted_at > after)
            && until.is_none_or(|until| order.submitted_at < until)
            && (symbols.is_empty() || symbols.contains(&without_slash(&order.asked.symbol)))
            && side.is_none_or(|side| side == order.asked.side.order_code())
    };
    let all = account.orders().iter();
    let shown: Vec<Value> = if matches!(request.parameter("status"), None | Some("open")) {
        let mut open: Vec<&Order> =
            account.open_orders.iter().map(|index| &account.orders[*index]).filter(matches).collect();
        if descending {
            open.reverse();
        }
        open.into_iter().take(limit).map(Order::shown).collect()
    } else if descending {
        all.rev().filter(matches).take(limit).map(Order::shown).collect()
    } else {
        all.filter(matches).take(limit).map(Order::shown).collect()
    };
    Response::json(200, &Value::Array(shown))
}

fn without_slash(symbol: &str) -> String {
    symbol.replace('/', "")
}

pub(super) fn one(world: &World, account: AccountNo, id: &str) -> Response {
    match world.account(account).order(id) {
        Some(order) => Response::json(200, &order.shown()),
        None => refused(&BrokerError::NoSuchOrder(id.to_owned())),
    }
}

pub(super) fn by_client_id(world: &World, request: &Request, account: AccountNo) -> Response {
    let Some(id) = request.parameter("client_order_id") else {
        return unprocessable("client_order_id is required");
    };
    match world.account(account).order_by_client_id(id) {
        Some(order) => Response::json(200, &order.shown()),
        None => refused(&BrokerError::NoSuchOrder(id.to_owned())),
    }
}

pub(super) fn submit(world: &mut World, request: &Request, account: AccountNo) -> Response {
    let order = match serde_json::from_slice::<Value>(&request.body) {
        Ok(body) => read(&body),
        Err(_) => return Response::error(400, 40_010_000, "request body format is invalid"),
    };
    let placed = order.and_then(|order| world.submit(account, order));
    match placed {
        Ok(id) => one(world, account, &id),
        Err(error) => refused(&error),
    }
}

fn read(body: &Value) -> Result<NewOrder, BrokerError> {
    let wrong = |message: String| BrokerError::unprocessable(message);
    let text = |name: &str| body[name].as_str();
    let number = |name: &str| -> Result<Option<Decimal>, BrokerError> {
        let digits = match &body[name] {
            Value::Null => return Ok(None),
            Value::String(digits) => digits.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(wrong(format!("{name} must be a number"))),
        };
        decimal::parse(&digits).map(Some).map_err(|_| wrong(format!("{name} must be a number")))
    };
    let symbol = text("symbol")
        .filter(|symbol| !symbol.is_empty())
        .ok_or_else(|| wrong("symbol is required".to_owned()))?;
    let side = match text("side") {
        Some("buy") => Side::Buy,
        Some("sell") => Side::Sell,
        _ => return Err(wrong("side must be buy or sell".to_owned())),
    };
    let size = match (number("qty")?, number("notional")?) {
        (Some(quantity), None) => Size::Quantity(quantity),
        (None, Some(dollars)) if dollars.normalize().scale() <= 2 => Size::Notional(dollars),
        (None, Some(_)) => return Err(wrong("notional must have at most 2 decimals".to_owned())),
        _ => return Err(wrong("either qty or notional is required".to_owned())),
    };
    let (limit, stop) = (number("limit_price")?, number("stop_price")?);
    let required = |price: Option<Decimal>, name: &str, kind: &str| {
        price.ok_or_else(|| wrong(format!("{kind} orders require {name}")))
    };
    let terms = match text("type") {
        Some("market") => Terms::Market,
        Some("limit") => Terms::Limit(required(limit, "limit_price", "limit")?),
        Some("stop") => Terms::Stop(required(stop, "stop_price", "stop")?),
        Some("stop_limit") => Terms::StopLimit(
            required(stop, "stop_price", "stop_limit")?,
            required(limit, "limit_price", "stop_limit")?,
        ),
        Some("trailing_stop") => {
            return Err(wrong("trailing_stop is not accepted here: use stop".to_owned()));
        }
        _ => return Err(wrong("type must be market, limit, stop or stop_limit".to_owned())),
    };
    if !matches!(text("order_class"), None | Some("" | "simple")) {
        return Err(wrong("order_class must be simple: orders with legs are not accepted here".to_owned()));
    }
    let time_in_force = TimeInForce::ALL
        .into_iter()
        .find(|known| Some(known.code()) == text("time_in_force"))
        .ok_or_else(|| wrong("time_in_force must be day, gtc, opg, cls, ioc or fok".to_owned()))?;
    if symbol.contains('/') && !matches!(time_in_force, TimeInForce::Gtc | TimeInForce::Ioc) {
        return Err(wrong("invalid crypto time_in_force: use gtc or ioc".to_owned()));
    }
    Ok(NewOrder {
        symbol: symbol.to_owned(),
        side,
        size,
        terms,
        time_in_force,
        client_order_id: text("client_order_id").filter(|id| !id.is_empty()).map(str::to_owned),
        extended_hours: body["extended_hours"].as_bool().unwrap_or(false),
    })
}

pub(super) fn cancel(world: &mut World, account: AccountNo, id: &str) -> Response {
    let now = world.broker_now();
    match world.broker.cancel(account, id, now) {
        Ok(()) => Response::empty(204),
        Err(error) => refused(&error),
    }
}

pub(super) fn cancel_all(world: &mut World, account: AccountNo) -> Response {
    let now = world.broker_now();
    let open: Vec<String> = {
        let account = world.account(account);
        account.open_orders.iter().map(|index| account.orders[*index].id.clone()).collect()
    };
    let answers: Vec<Value> = open
        .into_iter()
        .map(|id| {
            let status = if world.broker.cancel(account, &id, now).is_ok() { 200 } else { 422 };
            json!({ "id": id, "status": status })
        })
        .collect();
    Response::json(207, &Value::Array(answers))
}
