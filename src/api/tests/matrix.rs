//! Who may do what: every operation with every kind of token.

use super::{BOUNDARY, Daybook, buy, deposit, form};
use crate::api::access::{self, Callers};
use crate::api::operations::Operations;
use crate::api::specification;
use daybook_schemas::events::Role;
use poem::http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn document() -> Value {
    serde_json::from_str(&specification()).unwrap()
}

#[test]
fn every_operation_says_who_may_call_it() {
    let operations = Operations::of(&document());
    let documented: BTreeSet<&str> = operations.iter().map(|operation| operation.id.as_str()).collect();
    let permitted: BTreeSet<&str> = access::operations().collect();
    assert_eq!(documented, permitted);
    assert!(documented.len() >= 27);
}

#[test]
fn what_no_table_permits_is_refused() {
    use Callers::{
        Administrators, Advisers, Appenders, Deciders, Firm, Onlookers, Parties, Readers, Signers, Watchers,
    };
    for role in
        [Role::Administrator, Role::Auditor, Role::Advisor, Role::Client, Role::Service, Role::Display]
    {
        assert!(!access::permits(&role, Signers), "{role}");
    }
    let all = [Onlookers, Readers, Firm, Watchers, Appenders, Parties, Deciders, Advisers, Administrators];
    for callers in all {
        assert!(!access::permits(&Role::Other("robot".into()), callers), "{callers:?}");
        assert_eq!(access::permits(&Role::Display, callers), callers == Onlookers, "{callers:?}");
        let may_change = matches!(callers, Appenders | Parties | Deciders | Advisers | Administrators);
        assert_eq!(access::permits(&Role::Auditor, callers), !may_change, "{callers:?}");
        let by_clients = matches!(callers, Onlookers | Readers | Parties | Deciders);
        assert_eq!(access::permits(&Role::Client, callers), by_clients, "{callers:?}");
    }
    assert_eq!(access::callers("inventedOperation"), None);
}

/// A request that an administrator may make, by operation.
fn request(operation: &str, portfolio: &str, event: u64) -> (Method, String, Option<Value>) {
    let below = |path: &str| format!("/v1/portfolios/{portfolio}{path}");
    let get = |path: String| (Method::GET, path, None);
    let advice = |step: &str, body: Value| {
        (Method::POST, format!("/v1/recommendations/00000000000000000000000001/{step}"), Some(body))
    };
    match operation {
        "listPortfolios" => get("/v1/portfolios".to_owned()),
        "listSummaries" => get(format!("/v1/portfolios/summaries?ids={portfolio}&figures=equity,gain")),
        "openPortfolio" => (Method::POST, "/v1/portfolios".to_owned(), Some(json!({ "name": "New" }))),
        "readPortfolio" => get(below("")),
        "listPositions" => get(below("/positions")),
        "listLots" => get(below("/lots")),
        "listTransactions" => get(below("/transactions")),
        "recordTransaction" => (Method::POST, below("/transactions"), Some(deposit("2024-01-05", "1"))),
        "listOrders" => get(below("/orders")),
        "placeOrder" => (
            Method::POST,
            below("/orders"),
            Some(json!({ "symbol": "ACME", "side": "buy", "quantity": "1" })),
        ),
        "listTrades" => get(below("/trades")),
        "readTrade" => get(below(&format!("/trades/{event}"))),
        "listAnnotations" => get(below("/annotations")),
        "listTradeAnnotations" => get(below(&format!("/trades/{event}/annotations"))),
        "annotateTrade" => {
            (Method::POST, below(&format!("/trades/{event}/annotations")), Some(json!({ "rating": 4 })))
        }
        "listPlans" => get(below("/plans")),
        "planTrade" => {
            (Method::POST, below("/plans"), Some(json!({ "symbol": "ACME", "side": "buy", "stop": "8" })))
        }
        "listEquity" => get(below("/equity")),
        "importFile" => (Method::POST, below("/imports"), None),
        "listPortfolioImports" => get(below("/imports")),
        "listImports" => get("/v1/imports".to_owned()),
        "readImport" => get("/v1/imports/00000000000000000000000001".to_owned()),
        "revertImport" => {
            (Method::POST, "/v1/imports/00000000000000000000000001/revert".to_owned(), Some(json!({})))
        }
        "listQuarantine" => get("/v1/quarantine".to_owned()),
        "resolveQuarantined" => {
            (Method::POST, "/v1/quarantine/1/resolve".to_owned(), Some(json!({ "resolution": "dismissed" })))
        }
        "listPrices" => get("/v1/prices/ACME".to_owned()),
        "recordPrices" => (
            Method::POST,
            "/v1/prices".to_owned(),
            Some(json!({ "items": [{ "symbol": "ACME", "date": "2024-01-05", "close": "9" }] })),
        ),
        "importPrices" => (Method::POST, "/v1/prices/imports".to_owned(), None),
        "listInstruments" => get("/v1/instruments".to_owned()),
        "listInstrumentChanges" => get("/v1/instruments/changes".to_owned()),
        "readInstrument" => get("/v1/instruments/ACME".to_owned()),
        "refreshInstruments" => (Method::POST, "/v1/instruments/refresh".to_owned(), None),
        "classifyInstrument" => (
            Method::POST,
            "/v1/instruments/ACME/classification".to_owned(),
            Some(json!({ "sector": "technology" })),
        ),
        "readInstrumentRisk" => get("/v1/instruments/ACME/risk".to_owned()),
        "readSuitability" => get(below("/suitability")),
        "listRecommendations" => get("/v1/recommendations".to_owned()),
        "screenRecommendation" => (
            Method::POST,
            "/v1/recommendations/screen".to_owned(),
            Some(json!({ "portfolio": portfolio, "trades": [] })),
        ),
        "issueRecommendation" => (
            Method::POST,
            "/v1/recommendations".to_owned(),
            Some(json!({ "portfolio": portfolio, "trades": [], "rationale": "hold" })),
        ),
        "readRecommendation" => get("/v1/recommendations/00000000000000000000000001".to_owned()),
        "listRecommendationHistory" => {
            get("/v1/recommendations/00000000000000000000000001/history".to_owned())
        }
        "acceptRecommendation" => advice("accept", json!({})),
        "declineRecommendation" => advice("decline", json!({})),
        "withdrawRecommendation" => advice("withdraw", json!({})),
        "executeRecommendation" => advice("execute", json!({})),
        "requestOverride" => advice("override", json!({ "reason": "she asked for it" })),
        "approveOverride" => advice("override/approve", json!({})),
        "refuseOverride" => advice("override/refuse", json!({})),
        "listEvents" => get("/v1/events".to_owned()),
        "followEvents" => get("/v1/events/stream".to_owned()),
        "followPortfolio" => get(below("/stream")),
        "readEvent" => get("/v1/events/1".to_owned()),
        "reverseEvent" => {
            (Method::POST, "/v1/events/999999/reverse".to_owned(), Some(json!({ "reason": "typo" })))
        }
        "readTile" => get("/v1/tile/0/000.p/1".to_owned()),
        "proveEvent" => get("/v1/events/1/proof".to_owned()),
        "readCheckpoint" => get("/v1/checkpoint".to_owned()),
        "readCheckpointKey" => get("/v1/checkpoint/key".to_owned()),
        "readEntries" => get("/v1/tile/entries/000.p/1".to_owned()),
        "listSources" => get("/v1/sync".to_owned()),
        "readSource" => get("/v1/sync/main".to_owned()),
        "synchroniseNow" => (Method::POST, "/v1/sync/main/now".to_owned(), None),
        "viewAdvisor" => get("/v1/views/advisor/00000000000000000000000001".to_owned()),
        "viewFirm" => get("/v1/views/firm".to_owned()),
        "viewClient" => get("/v1/views/client/00000000000000000000000001".to_owned()),
        "listTokens" => get("/v1/tokens".to_owned()),
        "issueToken" => (Method::POST, "/v1/tokens".to_owned(), Some(json!({ "role": "auditor" }))),
        "revokeToken" => (Method::DELETE, "/v1/tokens/00000000000000000000000001".to_owned(), None),
        "receiveDelivery" => (Method::POST, "/v1/webhooks/desk".to_owned(), Some(json!({}))),
        "receiveAlert" => (Method::POST, "/v1/webhooks/desk/not-the-secret".to_owned(), Some(json!({}))),
        "listWebhooks" => get("/v1/webhooks".to_owned()),
        "readWebhook" => get("/v1/webhooks/desk".to_owned()),
        "retryWebhook" => (Method::POST, "/v1/webhooks/desk/retry".to_owned(), None),
        other => super::firm::request(other, portfolio)
            .unwrap_or_else(|| panic!("a new operation: say here how it is called: {other}")),
    }
}

#[tokio::test]
async fn each_role_does_what_the_table_says_and_nothing_else() {
    let daybook = Daybook::new();
    let (mine, other) = (daybook.portfolio("Mine").await, daybook.portfolio("Other").await);
    let mut trades = Vec::new();
    for portfolio in [&mine, &other] {
        daybook.transact(portfolio, deposit("2024-01-02", "1000")).await;
        trades.push(daybook.transact(portfolio, buy("2024-01-03", "ACME", "1", "10")).await);
    }
    let administrator = daybook.administrator.clone();
    let auditor = daybook.token(Role::Auditor, &[]);
    let service = daybook.token(Role::Service, &[&mine]);
    for operation in access::operations() {
        let callers = access::callers(operation).unwrap();
        for (portfolio, trade) in [(&mine, trades[0]), (&other, trades[1])] {
            let (method, path, body) = request(operation, portfolio, trade);
            let uploads = matches!(operation, "importFile" | "importPrices");
            let (kind, body) = match body {
                _ if uploads => (
                    format!("multipart/form-data; boundary={BOUNDARY}"),
                    form(&[("format", if operation == "importFile" { "csv" } else { "prices" })], "nothing"),
                ),
                Some(body) => ("application/json".to_owned(), body.to_string()),
                None => (String::new(), String::new()),
            };
            let headers = if kind.is_empty() { vec![] } else { vec![("content-type", kind.as_str())] };
            // A batch says for itself what is not there.
            let named = |path: &str| path.contains("/portfolios/") && !path.contains("/summaries");
            let people = ["/advisors/", "/parties/", "/clients/", "/views/advisor/", "/views/client/"];
            let reaches = |path: &str| {
                (named(path) && portfolio == &other) || people.iter().any(|people| path.contains(people))
            };
            for (name, token, role) in [
                ("nobody", None, None),
                ("a stranger", Some("daybook_invented"), None),
                ("administrator", Some(administrator.as_str()), Some(Role::Administrator)),
                ("auditor", Some(auditor.as_str()), Some(Role::Auditor)),
                ("service", Some(service.as_str()), Some(Role::Service)),
            ] {
                let answer = daybook.send(token, method.clone(), &path, &headers, body.clone()).await;
                let found = answer.status.as_u16();
                match role {
                    // Nor is a token asked for, nor one that opens nothing refused.
                    _ if callers == Callers::Anyone => {
                        answer.has(200);
                    }
                    // A token opens nothing where a signature is asked for.
                    _ if callers == Callers::Signers => {
                        let challenge = answer.header("www-authenticate").to_owned();
                        answer.is(401, "signature-refused");
                        assert!(challenge.starts_with("Daybook-Signature"), "{name} {path}: {challenge}");
                    }
                    None => {
                        let challenge = answer.header("www-authenticate").to_owned();
                        answer.is(401, "unauthorized");
                        assert!(challenge.starts_with("Bearer"), "{name} {path}: {challenge}");
                    }
                    Some(Role::Service) if reaches(&path) => {
                        answer.is(404, "not-found");
                    }
                    Some(role) if !access::permits(&role, callers) => {
                        answer.is(403, "forbidden");
                    }
                    Some(_) => assert!(!matches!(found, 401 | 403 | 500), "{name}: {answer}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_service_sees_its_own_portfolios_and_what_belongs_to_them() {
    let daybook = Daybook::new();
    let (mine, other) = (daybook.portfolio("Mine").await, daybook.portfolio("Other").await);
    let rows = "time,type,amount\n2024-01-02,deposit,5\n";
    for portfolio in [&mine, &other] {
        let path = format!("/v1/portfolios/{portfolio}/imports");
        daybook.upload(&path, &[("format", "csv")], rows, &[]).await.has(201);
    }
    let service = daybook.token(Role::Service, &[&mine]);
    let read =
        async |path: &str| daybook.send(Some(&service), Method::GET, path, &[], ()).await.has(200).json();
    let portfolios = read("/v1/portfolios").await;
    assert_eq!(portfolios["items"].as_array().unwrap().len(), 1);
    assert_eq!(portfolios["items"][0]["id"], mine);
    let imports = read("/v1/imports").await;
    assert_eq!(imports["items"].as_array().unwrap().len(), 1);
    assert_eq!(imports["items"][0]["portfolio"], mine);
    let all = daybook.get("/v1/imports").await.json();
    let foreign =
        all["items"].as_array().unwrap().iter().find(|import| import["portfolio"] == other.as_str()).unwrap();
    let path = format!("/v1/imports/{}", foreign["id"].as_str().unwrap());
    daybook.send(Some(&service), Method::GET, &path, &[], ()).await.is(404, "not-found");
    let path = format!("/v1/quarantine?portfolio={other}");
    daybook.send(Some(&service), Method::GET, &path, &[], ()).await.is(404, "not-found");
}

#[tokio::test]
async fn a_portfolio_of_others_and_one_that_never_was_are_refused_in_the_same_words() {
    let daybook = Daybook::new();
    let (mine, other) = (daybook.portfolio("Mine").await, daybook.portfolio("Other").await);
    let service = daybook.token(Role::Service, &[&mine]);
    let never = "00000000000000000000000001";
    let mut answers = Vec::new();
    for id in [other.as_str(), never] {
        let path = format!("/v1/portfolios/{id}/positions");
        let problem = daybook.send(Some(&service), Method::GET, &path, &[], ()).await.is(404, "not-found");
        answers.push(problem.to_string().replace(id, "ID"));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn a_token_that_was_revoked_or_has_ended_opens_nothing() {
    let daybook = Daybook::new();
    let issued =
        daybook.post("/v1/tokens", &json!({ "role": "auditor", "subject": "anna" })).await.has(201).json();
    let secret = issued["token"].as_str().unwrap();
    daybook.send(Some(secret), Method::GET, "/v1/portfolios", &[], ()).await.has(200);
    let path = format!("/v1/tokens/{}", issued["id"].as_str().unwrap());
    daybook.send(Some(&daybook.administrator), Method::DELETE, &path, &[], ()).await.has(204);
    daybook.send(Some(secret), Method::GET, "/v1/portfolios", &[], ()).await.is(401, "unauthorized");
    daybook.send(Some(&daybook.administrator), Method::DELETE, &path, &[], ()).await.has(204);
    let listed = daybook.get("/v1/tokens").await.has(200).json();
    assert_eq!(listed["items"][1]["state"], "revoked");
    assert!(!listed.to_string().contains(secret));
}
