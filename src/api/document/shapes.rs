//! What texts look like: the closed sets of words, the patterns of numbers and codes, the lengths of names.
//!
//! A route reads texts, and says in words what each may be. Here the same is said to programs. A word has one meaning
//! throughout the service, so most of it goes by the names of members and parameters, wherever they stand.

use crate::api::summaries;
use daybook_schemas::Currency;
use daybook_schemas::events::{
    AssignmentRole, Calendar, DeclineReason, Dimension, InstrumentClass, LotMethod, Mandate, Objective,
    OrderKind, PartyKind, ReviewOutcome, RiskLevel, Role, Side, TimeInForce, Verdict,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// A plain decimal as callers write it.
const DECIMAL: &str = r"^[-+]?([0-9]+(\.[0-9]+)?|\.[0-9]+)$";

/// Where a recommendation can stand.
const ADVICE_STATES: &[&str] = &[
    "blocked",
    "awaiting_override",
    "issued",
    "accepted",
    "declined",
    "expired",
    "withdrawn",
    "executed",
    "replaced",
];

/// What a text is.
enum Shape {
    /// A decimal.
    Decimal,
    /// A day.
    Day,
    /// An instant, or a day.
    Moment,
    /// The code of a currency.
    Currency,
    /// A symbol.
    Symbol,
    /// One of these words.
    Words(Vec<String>),
    /// A text of at least one character.
    Text,
}

/// The shape of a member of a request, by its name.
fn of_member(name: &str) -> Option<Shape> {
    Some(match name {
        "amount" | "quantity" | "price" | "entry_price" | "target" | "risk" | "fee" | "multiplier"
        | "fx_rate" | "basis" | "limit" | "stop" | "open" | "high" | "low" | "close" | "volume"
        | "dividend" | "split" => Shape::Decimal,
        "settle" | "acquired" | "date" | "from" | "until" | "on" | "review_due" | "next_due" => Shape::Day,
        "time" | "expires" => Shape::Moment,
        "currency" | "fee_currency" => Shape::Currency,
        "symbol" | "to_symbol" => Shape::Symbol,
        "name" | "reason" | "zone" => Shape::Text,
        _ => return None,
    })
}

/// The words that a member may be, of those schemas whose words are a closed set.
fn words_of(schema: &str, member: &str) -> Option<Vec<String>> {
    Some(match (schema, member) {
        ("PortfolioRequest" | "OpenedPortfolio" | "PortfolioSummary", "lots") => coded(LotMethod::CODED),
        ("PortfolioRequest" | "OpenedPortfolio" | "PortfolioSummary", "calendar") => coded(Calendar::CODED),
        ("TokenRequest" | "IssuedToken" | "TokenItem", "role") => coded(Role::CODED),
        ("TokenItem", "state") => texts(&["valid", "expired", "revoked"]),
        ("OrderRequest" | "OrderItem" | "PlanRequest" | "PlanItem", "side") => coded(Side::CODED),
        ("OrderRequest" | "OrderItem", "kind") => {
            coded(&[OrderKind::Market, OrderKind::Limit, OrderKind::Stop, OrderKind::StopLimit])
        }
        ("OrderRequest" | "OrderItem", "time_in_force") => coded(TimeInForce::CODED),
        ("TransactionRequest" | "TransactionItem", "type") => texts(crate::importers::transaction::TYPES),
        ("TransactionRequest" | "TransactionItem", "effect") => texts(&["open", "close"]),
        ("TradeRequest" | "ProposedTradeItem" | "SizedTradeItem" | "ProposalItem", "side") => {
            coded(Side::CODED)
        }
        ("DeclineRequest", "reason") => coded(DeclineReason::CODED),
        ("Finding", "verdict") | ("ScreeningItem" | "RecommendationItem", "overall") => coded(Verdict::CODED),
        ("RecommendationItem", "state") => texts(ADVICE_STATES),
        ("OutcomeItem", "state") => texts(&["known", "pending", "absent"]),
        ("ProposalItem", "way") => texts(&["cash_flow", "trade"]),
        ("RecommendationEvent", "by") => texts(&["client", "firm"]),
        ("Finding", "unit") => texts(&["class", "part", "amount", "years"]),
        ("ClassificationRequest", "class") => coded(InstrumentClass::CODED),
        ("PartyRequest", "kind") => coded(PartyKind::CODED),
        ("AssignmentRequest", "role") => coded(AssignmentRole::CODED),
        ("MandateRequest", "mandate") => coded(Mandate::CODED),
        ("ProfileRequest", "risk_tolerance" | "loss_capacity") => coded(RiskLevel::CODED),
        ("ProfileRequest", "objectives") => coded(Objective::CODED),
        ("ExclusionRequest" | "CapRequest", "dimension") => coded(Dimension::CODED),
        ("ReviewRequest", "outcome") => coded(ReviewOutcome::CODED),
        ("PlanItem", "state") => texts(&["open", "followed", "expired"]),
        ("TradeItem" | "TradeDetail", "direction") => texts(&["long", "short"]),
        ("TradeItem" | "TradeDetail", "state") => texts(&["open", "closed"]),
        ("ContractItem", "right") => texts(&["call", "put"]),
        ("ImportItem", "state") => texts(&["visible", "reverted", "interrupted"]),
        ("InstrumentChangeItem", "change") => {
            texts(&["listed", "confirmed", "renamed", "delisted", "relisted", "merged"])
        }
        ("QuarantineItem", "state") => texts(&["open", "resolved"]),
        ("ResolutionRequest", "resolution") => texts(&["dismissed", "recorded"]),
        ("SourceItem", "kind") => texts(&["alpaca", "robinhood", "prices", "ticks", "folder", "instruments"]),
        ("SourceItem", "state") => texts(&["starting", "syncing", "current", "retrying", "halted"]),
        ("PositionItem", "price_source") => texts(&["market", "trade"]),
        ("PricesRequest" | "PriceFile", "adjusted") => texts(&["none", "splits"]),
        ("PriceFile", "format") => texts(&["prices"]),
        ("TransactionFile", "format") => texts(&["csv", "schwab", "robinhood", "alpaca"]),
        ("TransactionFile" | "PriceFile", "dry_run") => texts(&["true", "false"]),
        _ => return None,
    })
}

/// The words that a parameter may be.
fn words_of_parameter(operation: &str, name: &str) -> Option<Vec<String>> {
    Some(match (operation, name) {
        ("listEquity", "interval") => texts(&["day"]),
        ("listInstruments", "class") => coded(InstrumentClass::CODED),
        ("listInstruments", "provisional") => texts(&["true", "false"]),
        ("listInstruments", "state") => texts(&["traded", "delisted", "all"]),
        ("listRecommendations", "state") => texts(ADVICE_STATES),
        ("listAdvisors", "state") => texts(&["active", "departed", "all"]),
        ("listParties" | "listClients", "state") => texts(&["client", "former", "all"]),
        ("listParties" | "listClients", "kind") => coded(PartyKind::CODED),
        ("listQuarantine", "state") => texts(&["open", "resolved", "all"]),
        _ => return None,
    })
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn coded<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// Says of every text in the document what it may be.
pub(super) fn tighten(document: &mut Value) {
    whole(document);
    let mut requested = BTreeSet::new();
    for operation in super::operations(document) {
        let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten();
        for parameter in parameters {
            let name = parameter["name"].as_str().unwrap_or_default().to_owned();
            if let Some(words) = words_of_parameter(&id, &name) {
                shape(&mut parameter["schema"], Shape::Words(words));
            }
            match name.as_str() {
                "Idempotency-Key" => {
                    parameter["schema"] =
                        json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" });
                    parameter["example"] = "b7f3c1de-transfer-17".into();
                }
                "If-Match" => {
                    let tag = r#"(W/)?"[!#-+\--~]*""#;
                    parameter["schema"] = json!({ "type": "string", "minLength": 1, "pattern": format!(r"^(\*|{tag}(, ?{tag})*)$") });
                    parameter["example"] = r#"W/"5d0a3c7e9b1f2468.c2a4""#.into();
                }
                "contribution" => shape(&mut parameter["schema"], Shape::Decimal),
                "currency" => {
                    let codes = Currency::known().map(str::to_owned).collect();
                    shape(&mut parameter["schema"], Shape::Words(codes));
                }
                "Last-Event-ID" => {
                    parameter["schema"] = json!({ "type": "string", "pattern": "^[0-9]{1,15}$" });
                    parameter["example"] = "4711".into();
                }
                "ids" => {
                    let id = "[0-7][0-9a-hjkmnp-tv-z]{25}";
                    parameter["schema"] =
                        json!({ "type": "string", "pattern": format!("^{id}(,{id}){{0,199}}$") });
                }
                "figures" => {
                    let words: Vec<&str> =
                        summaries::FIGURES.iter().chain(summaries::FRACTIONS).copied().collect();
                    let words = words.join("|");
                    parameter["schema"] =
                        json!({ "type": "string", "pattern": format!("^({words})(,({words}))*$") });
                }
                "cursor" => {
                    parameter["schema"] = json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]+$" });
                }
                _ => {}
            }
        }
        let contents = operation["requestBody"]["content"].as_object().into_iter().flat_map(Map::iter);
        for (media, content) in contents {
            if let Some(reference) = content["schema"]["$ref"].as_str() {
                let name = reference.rsplit('/').next().unwrap_or_default().to_owned();
                requested.insert((name, media == "application/json"));
            }
        }
    }
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    for (name, schema) in schemas.iter_mut() {
        for (member, described) in members(schema) {
            if let Some(words) = words_of(name, member) {
                shape(described, Shape::Words(words));
            }
            // What is always there and may be null is described as anything by those who write it.
            if ["type", "$ref", "allOf", "anyOf", "oneOf"].iter().all(|word| described.get(*word).is_none()) {
                described["nullable"] = true.into();
                if matches!(member, "payload" | "fact") {
                    described["type"] = "object".into();
                    described["additionalProperties"] = true.into();
                } else {
                    described["type"] = "string".into();
                }
            }
        }
    }
    // What a body refers to is part of the body.
    let mut rest: Vec<(String, bool)> = requested.into_iter().collect();
    let mut done = BTreeSet::new();
    while let Some((name, json)) = rest.pop() {
        let Some(schema) = schemas.get_mut(&name).filter(|_| done.insert(name.clone())) else { continue };
        let mut referred = Vec::new();
        references(schema, &mut referred);
        rest.extend(referred.into_iter().map(|name| (name, json)));
        strict(schema, json);
    }
}

/// Writes the bounds of whole numbers as whole numbers.
fn whole(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("type").is_some_and(|kind| kind == "integer") {
                for name in ["minimum", "maximum"] {
                    let bound = members.get(name).and_then(Value::as_f64).map(|bound| format!("{bound:.0}"));
                    if let Some(bound) = bound.and_then(|bound| bound.parse::<i64>().ok()) {
                        members.insert(name.to_owned(), bound.into());
                    }
                }
            }
            members.values_mut().for_each(whole);
        }
        Value::Array(items) => items.iter_mut().for_each(whole),
        _ => {}
    }
}

/// Makes an object of a request one that has no other members; an optional one of JSON may be null.
fn strict(schema: &mut Value, json: bool) {
    if schema["type"] != "object" || schema.get("additionalProperties").is_some() {
        return;
    }
    schema["additionalProperties"] = false.into();
    let required: BTreeSet<String> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    for (name, member) in members(schema) {
        if plain(member)
            && let Some(text) = of_member(name)
        {
            shape(member, text);
        }
        if json && !required.contains(name) && member.get("$ref").is_none() {
            member["nullable"] = true.into();
            // What only refers to an object does not say that it is one.
            if member.get("allOf").is_some() {
                member["type"] = "object".into();
            }
            if let Some(words) = member.get_mut("enum").and_then(Value::as_array_mut) {
                words.push(Value::Null);
            }
        }
    }
}

/// Whether nothing is said of a text but that it is one.
fn plain(schema: &Value) -> bool {
    schema["type"] == "string"
        && ["format", "pattern", "enum", "minLength"].iter().all(|name| schema.get(*name).is_none())
}

fn shape(schema: &mut Value, shape: Shape) {
    match shape {
        Shape::Decimal => {
            schema["format"] = "decimal".into();
            schema["pattern"] = DECIMAL.into();
        }
        Shape::Day => schema["format"] = "date".into(),
        Shape::Moment => schema["anyOf"] = moment(),
        Shape::Currency => {
            schema["format"] = "currency".into();
            schema["pattern"] = "^[A-Za-z0-9]{2,8}$".into();
        }
        Shape::Symbol | Shape::Text => schema["minLength"] = 1.into(),
        // Of a list it is the items that are words.
        Shape::Words(words) if schema["type"] == "array" => schema["items"]["enum"] = words.into(),
        Shape::Words(words) => schema["enum"] = words.into(),
    }
}

/// An instant, or a day.
fn moment() -> Value {
    json!([{ "type": "string", "format": "date-time" }, { "type": "string", "format": "date" }])
}

fn members(schema: &mut Value) -> impl Iterator<Item = (&str, &mut Value)> {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    properties
        .into_iter()
        .flat_map(|members| members.iter_mut().map(|(name, member)| (name.as_str(), member)))
}

/// The schemas that a schema refers to.
fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(target) if name == "$ref" => {
                        found.push(target.rsplit('/').next().unwrap_or_default().to_owned());
                    }
                    _ => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}
