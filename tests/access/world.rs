//! The firm in which the table is walked: who calls, and what is theirs and what is others'.

use super::Whose;
use crate::support::{Client, Directory, Service};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What is one advisor's: a client, the client's portfolio, and an object of every kind that belongs to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Estate {
    pub(crate) advisor: String,
    pub(crate) party: String,
    pub(crate) portfolio: String,
    pub(crate) trade: String,
    pub(crate) event: u64,
    pub(crate) import: String,
    pub(crate) recommendation: String,
    pub(crate) quarantined: u64,
}

/// A service over the made-up firm, with a credential of every kind.
pub(crate) struct World {
    directory: Directory,
    service: Service,
    /// Every credential, by its column of the table.
    pub(crate) credentials: Vec<(&'static str, Client)>,
    own: Estate,
    others: Estate,
    /// The portfolios of each party, and the parties of each advisor.
    owned: BTreeMap<String, BTreeSet<String>>,
    served: BTreeMap<String, BTreeSet<String>>,
    recommended: BTreeMap<String, String>,
    shared: BTreeMap<&'static str, String>,
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = Directory::new();
        let service = Service::start_with(&directory, &["--demo"]);
        let administrator = service.client();
        let events = administrator.pages("/v1/events?limit=1000");
        let mut world = Self {
            credentials: Vec::new(),
            own: Estate::default(),
            others: Estate::default(),
            owned: BTreeMap::new(),
            served: BTreeMap::new(),
            recommended: BTreeMap::new(),
            shared: BTreeMap::new(),
            directory,
            service,
        };
        world.read(&events);
        let advisors: Vec<String> = world.served.keys().cloned().collect();
        world.own = world.estate(&advisors[0], &events);
        world.others = world.estate(&advisors[1], &events);
        world.admit();
        world
    }

    /// Who serves whom and who owns what today, from the log itself.
    fn read(&mut self, events: &[Value]) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut assigned = BTreeMap::new();
        let mut teams: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in events {
            let payload = &event["payload"];
            match event["type"].as_str().unwrap() {
                // In each role the one who was assigned last serves.
                "ClientAssigned" => {
                    drop(
                        assigned
                            .insert((text(&payload["party"]), text(&payload["role"])), payload["to"].clone()),
                    );
                }
                "PortfolioOwnersSet" => {
                    let portfolio =
                        event["stream"].as_str().unwrap().trim_start_matches("portfolio-").to_owned();
                    for portfolios in self.owned.values_mut() {
                        portfolios.remove(&portfolio);
                    }
                    for owner in payload["owners"].as_array().unwrap() {
                        self.owned.entry(text(&owner["party"])).or_default().insert(portfolio.clone());
                    }
                }
                "RecommendationIssued" => {
                    let id = event["stream"].as_str().unwrap().trim_start_matches("advice-").to_owned();
                    self.recommended.insert(id, text(&payload["portfolio"]));
                }
                "TeamFormed" => {
                    let members = payload["members"].as_array().unwrap().iter().map(text).collect();
                    teams.insert(text(&payload["team"]), members);
                    self.shared.insert("teams", text(&payload["team"]));
                }
                "HouseholdFormed" => drop(self.shared.insert("households", text(&payload["household"]))),
                "ModelPublished" => drop(self.shared.insert("models", text(&payload["model"]))),
                "InstrumentListed" => drop(self.shared.insert("symbol", text(&payload["symbol"]))),
                _ => {}
            }
        }
        for ((party, _), to) in assigned {
            let team = to["team"].as_str().and_then(|team| teams.get(team)).cloned().unwrap_or_default();
            for advisor in team.into_iter().chain(to["advisor"].as_str().map(str::to_owned)) {
                self.served.entry(advisor).or_default().insert(party.clone());
            }
        }
        let symbol = self.service.client().get("/v1/instruments?limit=1").ok().json();
        self.shared.insert("symbol", text(&symbol["items"][0]["symbol"]));
    }

    /// An advisor's client that owns a portfolio with trades and a recommendation, and what else is needed of it.
    fn estate(&self, advisor: &str, events: &[Value]) -> Estate {
        let client = self.service.client();
        for party in &self.served[advisor] {
            for portfolio in self.owned.get(party).into_iter().flatten() {
                let Some((recommendation, _)) = self.recommended.iter().find(|(_, of)| *of == portfolio)
                else {
                    continue;
                };
                let trades = client.get(&format!("/v1/portfolios/{portfolio}/trades?limit=1")).ok().json();
                let Some(trade) = trades["items"].get(0) else { continue };
                let stream = format!("portfolio-{portfolio}");
                let event = events
                    .iter()
                    .find(|event| event["stream"] == stream.as_str() && event["type"] == "CashTransferred");
                let Some(event) = event else { continue };
                let rows = "Date,Action,Symbol,Description,Quantity,Price,Fees & Comm,Amount\n01/09/2024,Qual. Div. Reinvest Of Nothing Known,ZETA,Zeta,1,,,\n01/09/2024,Cash Dividend,ZETA,Zeta,,,,$2.00\n";
                let path = format!("/v1/portfolios/{portfolio}/imports");
                let imported =
                    client.upload(&path, &[("format", "schwab")], "rows.csv", rows.as_bytes()).ok().json();
                let kept = client.get(&format!("/v1/quarantine?portfolio={portfolio}")).ok().json();
                return Estate {
                    advisor: advisor.to_owned(),
                    party: party.clone(),
                    portfolio: portfolio.clone(),
                    trade: trade["id"].as_str().map_or_else(|| trade["id"].to_string(), str::to_owned),
                    event: event["sequence"].as_u64().unwrap(),
                    import: imported["id"].as_str().or(imported["import"].as_str()).unwrap().to_owned(),
                    recommendation: recommendation.clone(),
                    quarantined: kept["items"][0]["sequence"].as_u64().unwrap(),
                };
            }
        }
        panic!("no client of {advisor} has what is needed");
    }

    /// Issues a credential of every kind. Those that change things come last, the administrator at the very end.
    fn admit(&mut self) {
        let administrator = self.service.client();
        let issue = |body: Value| administrator.post("/v1/tokens", &body).ok().json();
        let portfolios = json!([self.own.portfolio]);
        let secret = |issued: &Value| issued["token"].as_str().unwrap().to_owned();
        let soon = chrono::Utc::now() + chrono::Duration::seconds(1);
        let expired = issue(json!({ "role": "administrator", "expires": soon.to_rfc3339() }));
        let revoked = issue(json!({ "role": "administrator" }));
        administrator.delete(&format!("/v1/tokens/{}", revoked["id"].as_str().unwrap())).ok();
        let stranger = Directory::new();
        stranger.open_portfolio("Elsewhere");
        let stranger = stranger.run(&["token", "issue", "--role", "administrator"]).ok().line().to_owned();
        let tokens = [
            ("nobody", None),
            ("expired", Some(secret(&expired))),
            ("revoked", Some(secret(&revoked))),
            ("of another ledger", Some(stranger)),
            (
                "display, percentages",
                Some(secret(&issue(
                    json!({ "role": "display", "percentages_only": true, "portfolios": portfolios }),
                ))),
            ),
            ("display", Some(secret(&issue(json!({ "role": "display", "portfolios": portfolios }))))),
            ("auditor", Some(secret(&issue(json!({ "role": "auditor" }))))),
            ("service", Some(secret(&issue(json!({ "role": "service", "portfolios": portfolios }))))),
            ("client", Some(secret(&issue(json!({ "role": "client", "subject": self.own.party }))))),
            ("advisor", Some(secret(&issue(json!({ "role": "advisor", "subject": self.own.advisor }))))),
            ("administrator", Some(self.service.token.clone())),
        ];
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        self.credentials =
            tokens.into_iter().map(|(name, token)| (name, administrator.showing(token.as_deref()))).collect();
    }

    /// A token that may be revoked.
    pub(crate) fn spare_token(&self) -> String {
        let issued = self.service.client().post("/v1/tokens", &json!({ "role": "auditor" })).ok().json();
        issued["id"].as_str().unwrap().to_owned()
    }

    pub(crate) const fn estate_of(&self, whose: Whose) -> &Estate {
        match whose {
            Whose::Any | Whose::Own => &self.own,
            Whose::Others => &self.others,
        }
    }

    pub(crate) fn shared(&self, kind: &str) -> &str {
        self.shared.get(kind).map_or("00000000000000000000000001", String::as_str)
    }

    /// The ids that a credential must never be told; none for those that may know everything or nothing.
    pub(crate) fn foreign_to(&self, credential: &str) -> Option<BTreeSet<String>> {
        let mut parties = BTreeSet::new();
        let mut portfolios = BTreeSet::from([self.own.portfolio.clone()]);
        match credential {
            "advisor" => parties.extend(self.served[&self.own.advisor].iter().cloned()),
            "client" => drop(parties.insert(self.own.party.clone())),
            "service" | "display" | "display, percentages" => {}
            _ => return None,
        }
        for party in &parties {
            portfolios.extend(self.owned.get(party).into_iter().flatten().cloned());
        }
        let mut foreign: BTreeSet<String> = self.owned.values().flatten().cloned().collect();
        foreign.retain(|portfolio| !portfolios.contains(portfolio));
        for (recommendation, portfolio) in &self.recommended {
            if !portfolios.contains(portfolio) {
                foreign.insert(recommendation.clone());
            }
        }
        let owners: BTreeSet<&String> = self
            .owned
            .iter()
            .filter(|(_, owned)| !owned.is_disjoint(&portfolios))
            .map(|(party, _)| party)
            .collect();
        for party in self.served.values().flatten() {
            if !parties.contains(party) && !owners.contains(party) {
                foreign.insert(party.clone());
            }
        }
        assert!(foreign.len() > 5, "{credential} is told of nearly everything");
        Some(foreign)
    }

    pub(crate) fn stop(self) {
        self.service.stop();
        self.directory.is_sound();
    }
}
