//! Splits and dividends, as the data API announces them.

use super::today;
use crate::market::{CorporateAction, asset_id};
use crate::random::{hash, hash_text, uuid};
use crate::wire::{Request, Response, number};
use crate::world::World;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use daybook_schemas::Day;
use serde_json::{Map, Value, json};

pub(super) fn answer(world: &World, request: &Request) -> Response {
    let bad = |message: &str| Response::json(400, &json!({ "message": message }));
    let mut bounds = [today(world), today(world)];
    for (bound, name) in bounds.iter_mut().zip(["start", "end"]) {
        if let Some(text) = request.parameter(name) {
            let Ok(day) = Day::parse(text) else { return bad(&format!("invalid {name}: {text}")) };
            *bound = day;
        }
    }
    let limit = match request.parameter("limit").map(str::parse::<usize>) {
        None => 100,
        Some(Ok(limit @ 1..=1_000)) => limit,
        Some(_) => return bad("limit must be between 1 and 1000"),
    };
    let list =
        |name: &str| -> Option<Vec<&str>> { request.parameter(name).map(|list| list.split(',').collect()) };
    let (symbols, types) = (list("symbols"), list("types"));
    let mut found = world.market.corporate_actions(bounds[0], bounds[1]);
    found.retain(|action| {
        symbols.as_ref().is_none_or(|wanted| wanted.contains(&action.symbol()))
            && types.as_ref().is_none_or(|wanted| wanted.contains(&kind(action)))
    });
    if request.parameter("sort") == Some("desc") {
        found.reverse();
    }
    let skip = match request.parameter("page_token") {
        None => 0,
        Some(token) => {
            let text = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let Some(skip) = text.and_then(|text| text.parse::<usize>().ok()) else {
                return bad("invalid page_token");
            };
            skip
        }
    };
    let next =
        (found.len() > skip.saturating_add(limit)).then(|| STANDARD.encode((skip + limit).to_string()));
    let mut groups: Map<String, Value> = Map::new();
    for action in found.iter().skip(skip).take(limit) {
        let group = groups.entry(format!("{}s", kind(action))).or_insert_with(|| json!([]));
        if let Value::Array(group) = group {
            group.push(shown(world, action));
        }
    }
    Response::json(200, &json!({ "corporate_actions": groups, "next_page_token": next }))
}

const fn kind(action: &CorporateAction) -> &'static str {
    match action {
        CorporateAction::Dividend { .. } => "cash_dividend",
        CorporateAction::Split { new, old, .. } if *new < *old => "reverse_split",
        CorporateAction::Split { .. } => "forward_split",
    }
}

fn shown(world: &World, action: &CorporateAction) -> Value {
    let symbol = action.symbol();
    let ex = action.ex().to_string();
    let cusip = world.market.listing(symbol).map_or("", |listing| listing.cusip.as_str());
    let identity = hash(&[hash_text(&asset_id(symbol)), hash_text(&ex), hash_text(kind(action))]);
    let id = uuid(identity, hash(&[identity]));
    match action {
        CorporateAction::Dividend { payable, rate, .. } => json!({
            "id": id, "symbol": symbol, "cusip": cusip, "rate": number(*rate), "special": false, "foreign": false,
            "ex_date": ex, "record_date": ex, "payable_date": payable.to_string(), "process_date": payable.to_string(),
        }),
        CorporateAction::Split { new, old, .. } if new < old => json!({
            "id": id, "symbol": symbol, "old_cusip": cusip, "new_cusip": cusip, "new_rate": new, "old_rate": old,
            "ex_date": ex, "record_date": ex, "payable_date": ex, "process_date": ex,
        }),
        CorporateAction::Split { new, old, .. } => json!({
            "id": id, "symbol": symbol, "cusip": cusip, "new_rate": new, "old_rate": old,
            "ex_date": ex, "record_date": ex, "payable_date": ex, "process_date": ex,
        }),
    }
}
