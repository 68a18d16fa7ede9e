//! The account itself, the clock and the calendar.

use crate::broker::{AccountNo, buying_power, market_values};
use crate::calendar;
use crate::wire::{Request, Response, iso, plain};
use crate::world::World;
use daybook_schemas::{Day, Timestamp, Zone};
use rust_decimal::Decimal;
use serde_json::{Value, json};

pub(super) fn account(world: &World, number: AccountNo) -> Response {
    let account = world.account(number);
    let now = world.now();
    let cents = |value: Decimal| plain(value.round_dp(2));
    let (long, short) = market_values(account, &world.market, now);
    let equity = account.cash() + long + short;
    let last_close = calendar::session_before(now).open;
    let (last_long, last_short) = market_values(account, &world.market, last_close);
    let means = cents(buying_power(account, &world.market, now));
    let margin = cents((long - short) / Decimal::TWO);
    Response::json(
        200,
        &json!({
            "id": account.id,
            "account_number": account.number,
            "status": "ACTIVE",
            "crypto_status": "ACTIVE",
            "currency": "USD",
            "cash": plain(account.cash()),
            "accrued_fees": "0",
            "pending_transfer_in": "0",
            "pending_transfer_out": "0",
            "portfolio_value": cents(equity),
            "equity": cents(equity),
            "last_equity": cents(account.cash() + last_long + last_short),
            "long_market_value": cents(long),
            "short_market_value": cents(short),
            "buying_power": means,
            "regt_buying_power": means,
            "daytrading_buying_power": means,
            "options_buying_power": means,
            "non_marginable_buying_power": cents(account.cash().max(Decimal::ZERO)),
            "initial_margin": margin,
            "maintenance_margin": margin,
            "last_maintenance_margin": margin,
            "multiplier": "2",
            "sma": "0",
            "pattern_day_trader": false,
            "trading_blocked": false,
            "transfers_blocked": false,
            "account_blocked": false,
            "trade_suspended_by_user": false,
            "shorting_enabled": true,
            "daytrade_count": 0,
            "options_approved_level": 1,
            "options_trading_level": 1,
            "intraday_adjustments": "0",
            "pending_reg_taf_fees": "0",
            "balance_asof": calendar::session_before(now).day.to_string(),
            "created_at": iso(account.opened),
        }),
    )
}

pub(super) fn configurations() -> Response {
    Response::json(
        200,
        &json!({
            "dtbp_check": "entry",
            "pdt_check": "entry",
            "fractional_trading": true,
            "max_margin_multiplier": "2",
            "max_options_trading_level": 1,
            "no_shorting": false,
            "suspend_trade": false,
            "trade_confirm_email": "all",
            "ptp_no_exception_entry": false,
        }),
    )
}

pub(super) fn clock(world: &World) -> Response {
    let now = world.broker_now();
    let running = calendar::session_after(now);
    let is_open = running.open <= now;
    let next = if is_open { calendar::next_session_day(running.day) } else { running };
    Response::json(
        200,
        &json!({
            "timestamp": local(now),
            "is_open": is_open,
            "next_open": local(next.open),
            "next_close": local(running.close),
        }),
    )
}

/// The clock speaks New York's time, with its offset.
fn local(at: Timestamp) -> String {
    at.to_utc().with_timezone(&Zone::NEW_YORK.tz()).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, false)
}

pub(super) fn calendar(request: &Request) -> Response {
    let day = |name: &str, default: (i32, u32, u32)| match request.parameter(name) {
        // A full time stands for its day.
        Some(text) => Day::parse(text.get(..10).unwrap_or(text)).ok(),
        None => Day::from_ymd(default.0, default.1, default.2),
    };
    let (Some(start), Some(end)) = (day("start", (1970, 1, 1)), day("end", (2029, 12, 31))) else {
        return super::unprocessable("start and end must be dates: YYYY-MM-DD");
    };
    let mut days: Vec<Value> = Vec::new();
    let mut at = start.max(Day::from_number(0));
    // The calendar that is published ends somewhere too.
    while at <= end && days.len() < 16_000 {
        if let Some(session) = calendar::session(at) {
            days.push(json!({
                "date": at.to_string(),
                "open": "09:30",
                "close": if session.early { "13:00" } else { "16:00" },
                "session_open": "0400",
                "session_close": if session.early { "1700" } else { "2000" },
                "settlement_date": calendar::next_session_day(at).day.to_string(),
            }));
        }
        at = at.plus_days(1);
    }
    Response::json(200, &Value::Array(days))
}
