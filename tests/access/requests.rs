//! A request for every operation, about one's own things or about others'.

use super::world::World;
use super::{Operation, Whose};
use serde_json::{Value, json};

/// Headers and a body.
type Sent = (String, Vec<(&'static str, String)>, Option<Vec<u8>>);

/// Operations that name what belongs to somebody elsewhere than in their path.
const NAMING: [&str; 9] = [
    "listQuarantine",
    "listRecommendations",
    "listClients",
    "listHouseholds",
    "listTeams",
    "openPortfolio",
    "onboardParty",
    "issueRecommendation",
    "screenRecommendation",
];

/// Whether an operation is about what belongs to somebody.
pub(crate) fn has_owner(operation: &Operation) -> bool {
    let first = operation.path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let owned = [
        "portfolios",
        "parties",
        "clients",
        "advisors",
        "recommendations",
        "imports",
        "quarantine",
        "events",
        "views",
    ];
    NAMING.contains(&operation.id.as_str()) || (owned.contains(&first) && operation.path.contains('{'))
}

/// The path with the ids of what it is about.
fn path(world: &World, operation: &Operation, whose: Whose) -> String {
    let estate = world.estate_of(whose);
    let mut path = String::from("/v1");
    let mut before = "";
    for segment in operation.path.trim_start_matches('/').split('/') {
        path.push('/');
        if !segment.starts_with('{') {
            path.push_str(segment);
            before = segment;
            continue;
        }
        let value = match before {
            "portfolios" => estate.portfolio.clone(),
            "parties" | "clients" | "client" => estate.party.clone(),
            "advisors" | "advisor" => estate.advisor.clone(),
            "recommendations" => estate.recommendation.clone(),
            "imports" => estate.import.clone(),
            "events" => estate.event.to_string(),
            "trades" => estate.trade.clone(),
            "quarantine" => estate.quarantined.to_string(),
            "profiles" | "versions" => "1".to_owned(),
            "teams" | "households" | "models" => world.shared(before).to_owned(),
            "instruments" | "prices" => world.shared("symbol").to_owned(),
            "tokens" => world.spare_token(),
            "tile" => "0".to_owned(),
            "entries" | "{level}" => "000".to_owned(),
            // Nothing of this kind is there: whoever may ask is told so.
            _ => "absent".to_owned(),
        };
        path.push_str(&value);
        before = segment;
    }
    if operation.id == "listSummaries" {
        let ids = [Whose::Own, Whose::Others].map(|whose| world.estate_of(whose).portfolio.clone());
        path.push_str(&format!("?ids={}", ids.join(",")));
    }
    let named = match operation.id.as_str() {
        "listQuarantine" | "listRecommendations" => Some(("portfolio", &estate.portfolio)),
        "listClients" | "listTeams" => Some(("advisor", &estate.advisor)),
        "listHouseholds" => Some(("party", &estate.party)),
        _ => None,
    };
    if let Some((name, id)) = named {
        path.push_str(&format!("?{name}={id}"));
    }
    path
}

/// What a write says. One that says too little is let in and then refused (422), which tells it from one that is not
/// let in at all; where saying it any number of times does no harm, it is said.
fn body(world: &World, operation: &Operation, whose: Whose) -> Value {
    let estate = world.estate_of(whose);
    match operation.id.as_str() {
        "openPortfolio" => json!({ "name": "New", "client": estate.party }),
        "onboardParty" => json!({ "kind": "person", "name": "New", "advisor": estate.advisor }),
        "issueRecommendation" | "screenRecommendation" => json!({ "portfolio": estate.portfolio }),
        "recordTransaction" => json!({ "time": "2024-01-05", "type": "deposit", "amount": "1" }),
        "recordPrices" => json!({ "items": [{ "symbol": "ACME", "date": "2024-01-05", "close": "9" }] }),
        "issueToken" => json!({ "role": "auditor" }),
        "reverseEvent" | "requestOverride" => json!({ "reason": "a reason" }),
        "resolveQuarantined" => json!({ "resolution": "dismissed", "note": "a note" }),
        _ => json!({}),
    }
}

/// What an operation is sent.
pub(crate) fn request(world: &World, operation: &Operation, whose: Whose) -> Sent {
    let path = path(world, operation, whose);
    match (operation.method.as_str(), operation.id.as_str()) {
        ("GET" | "DELETE", _) => (path, Vec::new(), None),
        (_, "importFile" | "importPrices") => {
            let form = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\nnothing\r\n--x--\r\n";
            (path, vec![("content-type", "multipart/form-data; boundary=x".to_owned())], Some(form.into()))
        }
        _ => {
            let body = body(world, operation, whose).to_string().into_bytes();
            (path, vec![("content-type", "application/json".to_owned())], Some(body))
        }
    }
}
