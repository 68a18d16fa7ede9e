//! What can be traded.

use crate::market::{Class, Listing};
use crate::wire::{Request, Response};
use crate::world::World;
use serde_json::{Value, json};

pub(super) fn list(world: &World, request: &Request) -> Response {
    let wanted = |name: &str, value: &str| {
        request
            .parameter(name)
            .is_none_or(|list| list.split(',').any(|wanted| wanted.eq_ignore_ascii_case(value)))
    };
    let shown: Vec<Value> = world
        .market
        .listings()
        .filter(|listing| {
            let status = if listing.active { "active" } else { "inactive" };
            wanted("status", status)
                && wanted("asset_class", listing.class.code())
                && wanted("exchange", listing.exchange)
        })
        .map(shown)
        .collect();
    Response::json(200, &Value::Array(shown))
}

pub(super) fn one(world: &World, wanted: &str) -> Response {
    let by_id = || world.market.listings().find(|listing| listing.asset_id() == wanted);
    match world.market.listing(wanted).or_else(by_id) {
        Some(listing) => Response::json(200, &shown(listing)),
        None => Response::error(404, 40_410_000, &format!("asset not found for {wanted}")),
    }
}

fn shown(listing: &Listing) -> Value {
    let mut asset = json!({
        "id": listing.asset_id(),
        "class": listing.class.code(),
        "exchange": listing.exchange,
        "symbol": listing.symbol,
        "name": listing.name,
        "status": if listing.active { "active" } else { "inactive" },
        "tradable": listing.active,
        "fractionable": listing.fractionable,
        "attributes": [],
    });
    match listing.class {
        Class::Equity => {
            asset["marginable"] = json!(true);
            asset["shortable"] = json!(true);
            asset["easy_to_borrow"] = json!(true);
            asset["borrow_status"] = json!("easy_to_borrow");
            asset["maintenance_margin_requirement"] = json!(30);
            asset["margin_requirement_long"] = json!("30");
            asset["margin_requirement_short"] = json!("30");
            asset["cusip"] = json!(listing.cusip);
        }
        Class::Crypto => {
            asset["marginable"] = json!(false);
            asset["shortable"] = json!(false);
            asset["easy_to_borrow"] = json!(false);
            asset["min_order_size"] = json!("0.000001");
            asset["min_trade_increment"] = json!("0.000000001");
            asset["price_increment"] = json!("0.01");
        }
    }
    asset
}
