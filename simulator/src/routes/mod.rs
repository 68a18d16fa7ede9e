//! Which request is answered by whom, after faults, keys and limits had their say.

mod account;
mod activities;
mod alpha_vantage;
mod assets;
mod corporate_actions;
pub(crate) mod data;
mod orders;
mod positions;
mod robinhood;
mod yahoo;

use crate::broker::{AccountNo, Admission};
use crate::faults::RestFault;
use crate::wire::{Answer, Request, Response};
use crate::world::World;
use daybook_schemas::{Day, Zone};
use serde_json::json;
use std::collections::BTreeMap;

const SECOND: i64 = 1_000_000_000;

const KEYS_COUNTED: usize = 1_000;

/// How many requests each key has made in its current minute and day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    minutes: BTreeMap<(Service, String), (i64, u32)>,
    pub(crate) days: BTreeMap<String, (Day, u32)>,
    requests: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Service {
    Trading,
    Data,
    AlphaVantage,
    Yahoo,
    Robinhood,
}

impl Service {
    fn of(path: &str) -> Option<Self> {
        let is_below = |prefix: &str| path == prefix || path.starts_with(&format!("{prefix}/"));
        if is_below("/v2/stocks") || is_below("/v1/corporate-actions") || is_below("/v1beta3/crypto") {
            Some(Self::Data)
        } else if is_below("/v2") {
            Some(Self::Trading)
        } else if path == "/query" {
            Some(Self::AlphaVantage)
        } else if is_below("/v8/finance/chart") {
            Some(Self::Yahoo)
        } else if is_below("/api/v1/crypto") {
            Some(Self::Robinhood)
        } else {
            None
        }
    }

    const fn is_alpaca(self) -> bool {
        matches!(self, Self::Trading | Self::Data)
    }
}

pub(crate) fn answer(world: &mut World, request: &Request) -> Answer {
    let service = Service::of(&request.path);
    let fault = world.faults.for_answer();
    let response = match fault {
        Some(RestFault::TooManyRequests) => too_many(world, service),
        Some(RestFault::ServerError(status)) => {
            Response::error(status, 50_010_000, "internal server error occurred")
        }
        Some(RestFault::ErrorWith200) => error_with_200(service),
        _ => respond(world, request, service),
    };
    match fault {
        Some(RestFault::Truncated) => {
            let kept = world.faults.cut(response.body.len());
            Answer::Truncated(response, kept)
        }
        Some(RestFault::Hang) => {
            let kept = world.faults.cut(response.body.len() + 1);
            Answer::Hang(kept.checked_sub(1).map(|kept| (response, kept)))
        }
        Some(RestFault::Slow(by)) => Answer::Slow(response, by),
        Some(RestFault::Reset) => Answer::Reset,
        _ => Answer::Whole(response),
    }
}

/// A 429 that dice and not the counters decided: it is over in a second or two.
fn too_many(world: &World, service: Option<Service>) -> Response {
    let mut response = match service {
        Some(Service::Robinhood) => robinhood::error(429, "client_error", "Request was throttled."),
        Some(Service::Yahoo) => Response::text(429, "Too Many Requests\r\n".to_owned()),
        Some(Service::AlphaVantage) => {
            return Response::json(
                200,
                &json!({ "Note": "Our standard call frequency was exceeded. Please call again later." }),
            );
        }
        _ => Response::error(429, 42_910_000, "rate limit exceeded"),
    };
    if service.is_some_and(Service::is_alpaca) {
        let limit = world.limits.per_minute.unwrap_or(200);
        put_limits(&mut response, limit, 0, world.broker_now().nanos().div_euclid(SECOND) + 2);
    }
    response
}

fn error_with_200(service: Option<Service>) -> Response {
    let body = match service {
        Some(Service::AlphaVantage) => {
            json!({ "Information": "The service is being maintained. Please call again later." })
        }
        Some(Service::Yahoo) => {
            json!({ "chart": { "result": null, "error": { "code": "Internal", "description": "try again" } } })
        }
        _ => json!({ "code": 50_010_000, "message": "internal server error occurred" }),
    };
    Response::json(200, &body)
}

fn put_limits(response: &mut Response, limit: u32, remaining: u32, reset: i64) {
    response.headers.extend([
        ("X-RateLimit-Limit".to_owned(), limit.to_string()),
        ("X-RateLimit-Remaining".to_owned(), remaining.to_string()),
        ("X-RateLimit-Reset".to_owned(), reset.to_string()),
    ]);
}

fn respond(world: &mut World, request: &Request, service: Option<Service>) -> Response {
    let Some(service) = service else { return not_found() };
    if !service.is_alpaca() {
        return match service {
            Service::AlphaVantage => alpha_vantage::answer(world, request),
            Service::Robinhood => robinhood::answer(world, request),
            _ => yahoo::answer(world, request),
        };
    }
    let key = request.header("APCA-API-KEY-ID").unwrap_or_default().to_owned();
    let secret = request.header("APCA-API-SECRET-KEY").unwrap_or_default();
    let admission = world.broker.admit(&key, secret);
    let counted = count(world, service, &key, world.limits.per_minute);
    let mut response = match (counted, admission) {
        (Counted::Over(..), _) => Response::error(429, 42_910_000, "rate limit exceeded"),
        // Crypto data is open to everybody.
        (_, Admission::Granted(account)) => alpaca(world, request, service, Some(account)),
        _ if request.path.starts_with("/v1beta3/crypto/") => alpaca(world, request, service, None),
        (_, Admission::Unknown) if service == Service::Trading => {
            Response::error(401, 40_110_000, "request is not authorized")
        }
        (_, Admission::Unknown | Admission::WrongSecret) => {
            Response::json(403, &json!({ "message": "forbidden." }))
        }
    };
    if let Counted::Within(limit, remaining, reset) | Counted::Over(limit, remaining, reset) = counted {
        put_limits(&mut response, limit, remaining, reset);
    }
    world.counters.requests += 1;
    response.headers.push(("X-Request-ID".to_owned(), format!("{:032x}", world.counters.requests)));
    response
}

/// Limit, what remains, and the second at which it begins anew.
#[derive(Clone, Copy)]
enum Counted {
    Unlimited,
    Within(u32, u32, i64),
    Over(u32, u32, i64),
}

fn count(world: &mut World, service: Service, key: &str, limit: Option<u32>) -> Counted {
    let Some(limit) = limit else { return Counted::Unlimited };
    let minute = world.broker_now().nanos().div_euclid(60 * SECOND);
    let reset = (minute + 1) * 60;
    // Keys are whatever a client sends: those of past minutes are forgotten before they fill the memory.
    if world.counters.minutes.len() >= KEYS_COUNTED {
        world.counters.minutes.retain(|_, (counted, _)| *counted == minute);
    }
    let (counted, made) = world.counters.minutes.entry((service, key.to_owned())).or_insert((minute, 0));
    if *counted != minute {
        (*counted, *made) = (minute, 0);
    }
    if *made >= limit {
        return Counted::Over(limit, 0, reset);
    }
    *made += 1;
    Counted::Within(limit, limit - *made, reset)
}

fn alpaca(world: &mut World, request: &Request, service: Service, account: Option<AccountNo>) -> Response {
    let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    if service == Service::Data {
        return match (request.method.as_str(), path.as_slice()) {
            ("GET", ["v2", "stocks", "bars"]) => data::bars(world, request),
            ("GET", ["v2", "stocks", "bars", "latest"]) => data::latest_bars(world, request),
            ("GET", ["v2", "stocks", "trades", "latest"]) => data::latest_trades(world, request),
            ("GET", ["v2", "stocks", symbol, "bars"]) => data::bars_of_one(world, request, symbol),
            ("GET", ["v2", "stocks", symbol, "bars", "latest"]) => data::latest_bar_of_one(world, symbol),
            ("GET", ["v2", "stocks", symbol, "trades", "latest"]) => data::latest_trade_of_one(world, symbol),
            ("GET", ["v1", "corporate-actions"]) => corporate_actions::answer(world, request),
            ("GET", ["v1beta3", "crypto", _, "bars"]) => data::bars(world, request),
            _ => not_found(),
        };
    }
    let Some(account) = account else { return not_found() };
    match (request.method.as_str(), path.as_slice()) {
        ("GET", ["v2", "account"]) => account::account(world, account),
        ("GET", ["v2", "account", "configurations"]) => account::configurations(),
        ("GET", ["v2", "account", "activities"]) => activities::answer(world, request, account, None),
        ("GET", ["v2", "account", "activities", kind]) => {
            activities::answer(world, request, account, Some(kind))
        }
        ("GET", ["v2", "orders"]) => orders::list(world, request, account),
        ("POST", ["v2", "orders"]) => orders::submit(world, request, account),
        ("DELETE", ["v2", "orders"]) => orders::cancel_all(world, account),
        ("GET", ["v2", "orders", id]) => orders::one(world, account, id),
        ("DELETE", ["v2", "orders", id]) => orders::cancel(world, account, id),
        ("GET", ["v2", "orders:by_client_order_id"]) => orders::by_client_id(world, request, account),
        ("GET", ["v2", "positions"]) => positions::list(world, account),
        ("DELETE", ["v2", "positions"]) => positions::close_all(world, account),
        // A pair's slash may come unescaped.
        ("GET", ["v2", "positions", symbol @ ..]) => positions::one(world, account, &symbol.join("/")),
        ("DELETE", ["v2", "positions", symbol @ ..]) => {
            positions::close(world, request, account, &symbol.join("/"))
        }
        ("GET", ["v2", "assets"]) => assets::list(world, request),
        ("GET", ["v2", "assets", symbol @ ..]) => assets::one(world, &symbol.join("/")),
        ("GET", ["v2", "clock"]) => account::clock(world),
        ("GET", ["v2", "calendar"]) => account::calendar(request),
        _ => not_found(),
    }
}

fn not_found() -> Response {
    Response::error(404, 40_410_000, "endpoint not found.")
}

/// 422 as Alpaca gives it for parameters that make no sense.
fn unprocessable(message: &str) -> Response {
    Response::error(422, 42_210_000, message)
}

/// Today, by the broker's clock in New York.
fn today(world: &World) -> Day {
    world.broker_now().day_in(Zone::NEW_YORK)
}
