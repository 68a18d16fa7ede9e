//! The firm through its routes: who may do what to whom, and what everybody sees of it on any day.

mod handover;
mod people;
mod profiles;
mod terms;

use super::{Answer, Daybook};
use daybook_schemas::events::Role;
use poem::http::Method;
use serde_json::{Value, json};

const NOBODY: &str = "00000000000000000000000001";

/// A request that an administrator may make, by operation.
pub(super) fn request(operation: &str, portfolio: &str) -> Option<(Method, String, Option<Value>)> {
    let get = |path: String| Some((Method::GET, path, None));
    let post = |path: String, body: Value| Some((Method::POST, path, Some(body)));
    let patch = |path: String, body: Value| Some((Method::PATCH, path, Some(body)));
    let of = |what: &str, below: &str| format!("/v1/{what}/{NOBODY}{below}");
    let terms = |below: &str| format!("/v1/portfolios/{portfolio}{below}");
    let named = json!({ "name": "New" });
    let target = json!([{ "sleeve": "bond", "weight": "0.5" }]);
    match operation {
        "listAdvisors" => get("/v1/advisors".to_owned()),
        "registerAdvisor" => post("/v1/advisors".to_owned(), named),
        "readAdvisor" => get(of("advisors", "")),
        "amendAdvisor" => patch(of("advisors", ""), named),
        "departAdvisor" => post(of("advisors", "/departure"), json!({ "on": "2024-01-31" })),
        "listAdvisorHistory" => get(of("advisors", "/history")),
        "listTeams" => get("/v1/teams".to_owned()),
        "formTeam" => post("/v1/teams".to_owned(), json!({ "name": "New", "members": [] })),
        "readTeam" => get(of("teams", "")),
        "amendTeam" => patch(of("teams", ""), named),
        "listTeamHistory" => get(of("teams", "/history")),
        "listParties" => get("/v1/parties".to_owned()),
        "onboardParty" => post("/v1/parties".to_owned(), json!({ "name": "New", "kind": "person" })),
        "readParty" => get(of("parties", "")),
        "amendParty" => patch(of("parties", ""), named),
        "offboardParty" => post(of("parties", "/offboarding"), json!({ "on": "2024-01-31" })),
        "listPartyHistory" => get(of("parties", "/history")),
        "listClients" => get("/v1/clients".to_owned()),
        "readClient" => get(of("clients", "")),
        "listAssignments" => get(of("clients", "/assignments")),
        "assignClient" => post(of("clients", "/assignments"), json!({ "team": NOBODY })),
        "listProfiles" => get(of("clients", "/profiles")),
        "setProfile" => {
            let profile = json!({ "objectives": ["growth"], "risk_tolerance": "high" });
            post(of("clients", "/profiles"), profile)
        }
        "readProfile" => get(of("clients", "/profiles/1")),
        "listReviews" => get(of("clients", "/reviews")),
        "holdReview" => post(of("clients", "/reviews"), json!({ "outcome": "confirmed" })),
        "listHouseholds" => get("/v1/households".to_owned()),
        "formHousehold" => post("/v1/households".to_owned(), json!({ "name": "New", "members": [] })),
        "readHousehold" => get(of("households", "")),
        "amendHousehold" => patch(of("households", ""), named),
        "listHouseholdHistory" => get(of("households", "/history")),
        "listModels" => get("/v1/models".to_owned()),
        "publishModel" => post("/v1/models".to_owned(), json!({ "name": "New", "targets": target })),
        "readModel" => get(of("models", "")),
        "listModelVersions" => get(of("models", "/versions")),
        "publishModelVersion" => post(of("models", "/versions"), json!({ "targets": target })),
        "readTerms" => get(terms("/terms")),
        "listTermsHistory" => get(terms("/terms/history")),
        "listOwners" => get(terms("/owners")),
        "setOwners" => post(terms("/owners"), json!({ "owners": [] })),
        "setMandate" => post(terms("/mandate"), json!({ "mandate": "advisory" })),
        "chooseBenchmark" => post(terms("/benchmark"), json!({})),
        "assignModel" => post(terms("/model"), json!({})),
        _ => None,
    }
}

/// A firm with two advisors, each with one client who owns a portfolio.
struct House {
    daybook: Daybook,
    iris: String,
    tomas: String,
    ann: String,
    bo: String,
    hers: String,
    his: String,
}

fn text(json: &Value, name: &str) -> String {
    json[name].as_str().unwrap_or_else(|| panic!("no {name}: {json}")).to_owned()
}

/// Today, so many days later.
fn day(later: i32) -> String {
    crate::journal::today().plus_days(later).to_string()
}

impl House {
    async fn new() -> Self {
        let daybook = Daybook::new();
        let advisor = async |name: &str| {
            let body = json!({ "name": name, "from": "2024-01-01", "contact": { "email": "a@example.org" } });
            text(&daybook.post("/v1/advisors", &body).await.has(201).json(), "id")
        };
        let (iris, tomas) = (advisor("Iris Vale").await, advisor("Tomas Rune").await);
        let party = async |name: &str, advisor: &str| {
            let body = json!({ "kind": "person", "name": name, "on": "2024-02-01", "advisor": advisor });
            text(&daybook.post("/v1/parties", &body).await.has(201).json(), "id")
        };
        let (ann, bo) = (party("Ann Lind", &iris).await, party("Bo Berg", &tomas).await);
        let portfolio = async |name: &str, client: &str| {
            let body = json!({ "name": name, "client": client });
            text(&daybook.post("/v1/portfolios", &body).await.has(201).json(), "id")
        };
        let (hers, his) = (portfolio("Hers", &ann).await, portfolio("His", &bo).await);
        Self { daybook, iris, tomas, ann, bo, hers, his }
    }

    /// A token of somebody's own.
    fn token(&self, role: Role, subject: &str) -> String {
        self.daybook.token_of(role, Some(subject), Vec::new())
    }

    async fn get(&self, path: &str) -> Answer {
        self.daybook.get(path).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.daybook.post(path, body).await
    }

    /// Reads with a token.
    async fn read(&self, token: &str, path: &str) -> Answer {
        self.daybook.send(Some(token), Method::GET, path, &[], ()).await
    }

    /// Writes with a token.
    async fn write(&self, token: &str, method: Method, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.daybook.send(Some(token), method, path, &headers, body.to_string()).await
    }

    /// Changes as the administrator.
    async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.write(&self.daybook.administrator, Method::PATCH, path, body).await
    }

    /// It is refused for a fault of this field, in words that hold this.
    async fn refuses(&self, path: &str, body: Value, field: &str, words: &str) {
        let before = self.daybook.head();
        let problem = self.post(path, &body).await.is(422, "invalid-input");
        let fault = problem["errors"].as_array().unwrap().iter().find(|fault| fault["field"] == field);
        let fault = fault.unwrap_or_else(|| panic!("no fault of {field}: {problem}"));
        assert!(fault["detail"].as_str().unwrap().contains(words), "{problem}");
        assert_eq!(self.daybook.head(), before, "something was recorded: {problem}");
    }
}

/// The names of a list's items.
fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().filter_map(|item| item["name"].as_str()).collect()
}
