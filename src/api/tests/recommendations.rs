//! Recommendations through the service: screened, issued, answered, allowed by a second person, carried out.

mod standing;

use super::{Answer, Daybook, buy, deposit};
use crate::journal::{Author, Draft, Terms, now};
use daybook_schemas::events::{AdvisorRegistered, Objective};
use daybook_schemas::events::{
    Assignee, AssignmentRole, Cap, ClientAssigned, Dimension, Exclusion, InvestmentProfileSet, Mandate,
    MandateSet, Ownership, PartyKind, PartyOnboarded, PortfolioOwnersSet, RiskLevel, Role, TargetWeight,
};
use daybook_schemas::{
    AdvisorId, Day, Event, Fraction, KeyId, PartyId, PortfolioId, Sealed, Zone, decimal, stream,
};
use poem::http::Method;
use serde_json::{Value, json};

const IRIS: AdvisorId = AdvisorId::from_bytes([1; 16]);
const TOMAS: AdvisorId = AdvisorId::from_bytes([2; 16]);
const ANN: PartyId = PartyId::from_bytes([3; 16]);
const BO: PartyId = PartyId::from_bytes([4; 16]);

/// A firm: Iris serves Ann, who owns a portfolio with cash and ACME; Tomas serves Bo, who owns another.
struct Firm {
    daybook: Daybook,
    anns: String,
    bos: String,
    iris: String,
    tomas: String,
    ann: String,
    bo: String,
    auditor: String,
    /// Another administrator than the one of the first token.
    approver: String,
}

fn since() -> Day {
    Day::parse("2020-01-01").unwrap()
}

fn today() -> Day {
    now().day_in(Zone::NEW_YORK)
}

fn fraction(text: &str) -> Fraction {
    Fraction::new(decimal::parse(text).unwrap())
}

fn profile(version: u32) -> InvestmentProfileSet {
    InvestmentProfileSet {
        party: ANN,
        version,
        portfolio: None,
        objectives: vec![Objective::Growth],
        risk_tolerance: RiskLevel::High,
        loss_capacity: None,
        horizon_years: Some(10),
        liquidity_reserve: None,
        drawdown_max: None,
        details: None,
        exclusions: vec![Exclusion { dimension: Dimension::Instrument, value: "SMOKE".into() }],
        caps: vec![Cap { dimension: Dimension::Instrument, value: None, share_max: fraction("0.5") }],
        targets: Vec::new(),
        review_due: None,
        from: since(),
    }
}

impl Firm {
    async fn new() -> Self {
        let daybook = Daybook::new();
        let (anns, bos) = (daybook.portfolio("Ann's").await, daybook.portfolio("Bo's").await);
        for portfolio in [&anns, &bos] {
            daybook.transact(portfolio, deposit("2024-01-02", "10000")).await;
            for symbol in ["ACME", "SMOKE"] {
                daybook.transact(portfolio, buy("2024-01-03", symbol, "1", "10")).await;
            }
            let sold = json!({ "time": "2024-01-04", "type": "sell", "symbol": "SMOKE", "quantity": "1", "price": "10" });
            daybook.transact(portfolio, sold).await;
        }
        // Seventy weeks, up and down by a hundredth.
        let closes: Vec<Value> = (0..70)
            .flat_map(|week| {
                let close = if week % 2 == 0 { "10" } else { "10.1" };
                let date = today().plus_days(-7 * week).to_string();
                ["ACME", "SMOKE"].map(|symbol| json!({ "symbol": symbol, "date": date, "close": close }))
            })
            .collect();
        daybook.post("/v1/prices", &json!({ "items": closes })).await.has(201);
        let firm = Self {
            iris: String::new(),
            tomas: String::new(),
            ann: String::new(),
            bo: String::new(),
            auditor: daybook.token(Role::Auditor, &[]),
            approver: daybook.token_of(Role::Administrator, Some("ada"), Vec::new()),
            anns,
            bos,
            daybook,
        };
        firm.people();
        let token = |role, id: &dyn ToString| firm.daybook.token_of(role, Some(&id.to_string()), Vec::new());
        Self {
            iris: token(Role::Advisor, &IRIS),
            tomas: token(Role::Advisor, &TOMAS),
            ann: token(Role::Client, &ANN),
            bo: token(Role::Client, &BO),
            ..firm
        }
    }

    fn record(&self, stream: String, event: impl Into<Event>) {
        let draft = Draft::new(stream, now(), event);
        self.daybook.journal.record(&Author::operator(), vec![draft], Terms::default()).unwrap();
    }

    fn sealed(&self, key: KeyId) -> Sealed<String> {
        let byte = key.to_string().bytes().last().unwrap();
        self.daybook.journal.add_keys(&[(key, [byte; 64])]).unwrap();
        Sealed::seal(&self.daybook.journal.keys(), key, &"somebody".to_owned()).unwrap()
    }

    fn people(&self) {
        for advisor in [IRIS, TOMAS] {
            let name = self.sealed(KeyId::Advisor(advisor));
            let registered = AdvisorRegistered { advisor, name, contact: None, licence: None, from: since() };
            self.record(stream::advisor(advisor), registered);
        }
        for (party, advisor, portfolio) in [(ANN, IRIS, &self.anns), (BO, TOMAS, &self.bos)] {
            let onboarded = PartyOnboarded {
                party,
                kind: PartyKind::Person,
                name: self.sealed(KeyId::Party(party)),
                contact: None,
                members: Vec::new(),
                tax_country: None,
                on: since(),
            };
            self.record(stream::party(party), onboarded);
            let assigned = ClientAssigned {
                party,
                to: Assignee::Advisor(advisor),
                role: AssignmentRole::Lead,
                from: since(),
                until: None,
            };
            self.record(stream::party(party), assigned);
            let id: PortfolioId = portfolio.parse().unwrap();
            let owners = vec![Ownership { party, share: fraction("1") }];
            self.record(stream::portfolio(id), PortfolioOwnersSet { owners, from: since() });
            let mandate = MandateSet { mandate: Mandate::Advisory, from: since() };
            self.record(stream::portfolio(id), mandate);
        }
        self.record(stream::party(ANN), profile(1));
    }

    async fn post(&self, token: &str, path: &str, body: &Value) -> Answer {
        self.post_with(token, path, body, &[]).await
    }

    async fn post_with(&self, token: &str, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.daybook.send(Some(token), Method::POST, path, &headers, body.to_string()).await
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        self.daybook.send(Some(token), Method::GET, path, &[], ()).await
    }

    /// A recommendation to buy so many of a symbol.
    fn advice(&self, symbol: &str, quantity: &str) -> Value {
        json!({
            "portfolio": self.anns,
            "trades": [{ "symbol": symbol, "side": "buy", "quantity": quantity }],
            "profile_version": 1,
            "rationale": "it is a sound business",
            "expected_cost": "0.01",
        })
    }

    async fn issue(&self, symbol: &str, quantity: &str) -> Value {
        self.post(&self.iris, "/v1/recommendations", &self.advice(symbol, quantity)).await.has(201).json()
    }

    async fn step(&self, token: &str, advice: &Value, step: &str) -> Answer {
        let body = if step == "override" { json!({ "reason": "she asked for it" }) } else { json!({}) };
        self.post(token, &at(advice, &format!("/{step}")), &body).await
    }

    async fn state(&self, advice: &Value) -> Value {
        self.get(&self.auditor, &at(advice, "")).await.has(200).json()["state"].clone()
    }
}

fn at(advice: &Value, below: &str) -> String {
    format!("/v1/recommendations/{}{below}", advice["id"].as_str().unwrap())
}

fn finding<'a>(findings: &'a Value, rule: &str) -> &'a Value {
    findings.as_array().unwrap().iter().find(|finding| finding["rule"] == rule).unwrap()
}

#[tokio::test]
async fn what_was_seen_on_the_day_of_issue_is_frozen_and_todays_stands_beside_it() {
    let firm = Firm::new().await;
    let issued = firm.issue("ACME", "100").await;
    assert_eq!((&issued["state"], &issued["overall"]), (&json!("issued"), &json!("pass")), "{issued}");
    assert_eq!(issued["rationale"], "it is a sound business");
    assert_eq!(issued["trades"][0]["reference_price"], "10");
    assert_eq!(issued["seen_equity"], "10000");
    // 101 of 9,999.99, the cost taken off.
    let cap = finding(&issued["screening"], "cap:instrument");
    assert_eq!((&cap["verdict"], &cap["unit"]), (&json!("pass"), &json!("part")));
    assert_eq!(cap["measured"], "0.101000101");
    firm.daybook.price("ACME", &today().to_string(), "90").await;
    let read = firm.get(&firm.ann, &at(&issued, "")).await.has(200).json();
    assert_eq!(read["screening"], issued["screening"]);
    assert!(read.get("today").is_none());
    let both = firm.get(&firm.iris, &at(&issued, "?rescreen=true")).await.has(200).json();
    assert_eq!(both["screening"], issued["screening"]);
    assert_eq!(finding(&both["today"]["findings"], "cap:instrument")["verdict"], "block");
    let event = firm.get(&firm.auditor, &format!("/v1/events/{}", issued["sequence"])).await.has(200);
    assert!(!event.to_string().contains("sound business"), "personal words are sealed");
}

/// The words and the reason of the last thing that happened to a recommendation.
async fn last_told(firm: &Firm, advice: &Value) -> (Value, Value) {
    let history = firm.get(&firm.auditor, &at(advice, "/history")).await.has(200).json();
    let last = history["items"].as_array().unwrap().last().unwrap().clone();
    (last["type"].clone(), last["words"].clone())
}

#[tokio::test]
async fn what_waits_for_a_client_who_leaves_is_withdrawn_with_the_leaving_and_says_so() {
    let firm = Firm::new().await;
    let (waits, accepted, blocked) =
        (firm.issue("ACME", "1").await, firm.issue("ACME", "2").await, firm.issue("SMOKE", "1").await);
    firm.step(&firm.ann, &accepted, "accept").await.has(201);
    let today = crate::journal::today();
    // It runs out before the last day does.
    let mut brief = firm.advice("ACME", "3");
    brief["expires"] = json!(now().plus_nanos(3_600_000_000_000).to_string());
    let brief = firm.post(&firm.iris, "/v1/recommendations", &brief).await.has(201).json();
    let on = today.plus_days(2);
    let path = format!("/v1/parties/{ANN}/offboarding");
    let key = [("idempotency-key", "bye")];
    let left = firm.daybook.post_keyed(&path, &json!({ "on": on.to_string() }), &key).await.has(201).json();
    let mut withdrawn: Vec<&str> =
        left["withdrawn"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    withdrawn.sort_unstable();
    let mut expected = [waits["id"].as_str().unwrap(), blocked["id"].as_str().unwrap()];
    expected.sort_unstable();
    assert_eq!(withdrawn, expected, "{left}");
    for (advice, state) in
        [(&waits, "withdrawn"), (&blocked, "withdrawn"), (&accepted, "accepted"), (&brief, "issued")]
    {
        assert_eq!(firm.state(advice).await, state, "{advice}");
    }
    let told = last_told(&firm, &waits).await;
    let words = format!("the client's last day with the firm is {on}");
    assert_eq!(told, (json!("RecommendationWithdrawn"), json!(words)));
    // All of it is one commit, done once.
    let head = firm.daybook.head();
    let again = firm.daybook.post_keyed(&path, &json!({ "on": on.to_string() }), &key).await.has(201).json();
    assert_eq!((again, firm.daybook.head()), (left, head));
    // What is issued from now on ends with the last day.
    let issued = firm.issue("ACME", "4").await;
    assert_eq!(issued["expires"], json!(on.end_in(Zone::UTC).to_string()), "{issued}");
    let mut late = firm.advice("ACME", "4");
    late["expires"] = json!(on.plus_days(1).to_string());
    let problem = firm.post(&firm.iris, "/v1/recommendations", &late).await.is(422, "invalid-input");
    assert_eq!(problem["errors"][0]["field"], "expires");
    assert!(problem.to_string().contains("the client's last day"), "{problem}");
}

#[tokio::test]
async fn an_advisor_whom_nobody_succeeds_leaves_no_recommendation_open_and_a_successor_takes_them_over() {
    for succeeded in [false, true] {
        let firm = Firm::new().await;
        let waits = firm.issue("ACME", "1").await;
        let on = crate::journal::today().plus_days(-1);
        let mut body = json!({ "on": on.to_string() });
        if succeeded {
            body["successor"] = json!(TOMAS.to_string());
        }
        let path = format!("/v1/advisors/{IRIS}/departure");
        let left = firm.daybook.post(&path, &body).await.has(201).json();
        if succeeded {
            assert_eq!((&left["withdrawn"], firm.state(&waits).await), (&json!([]), json!("issued")));
            firm.step(&firm.tomas, &waits, "withdraw").await.has(201);
        } else {
            assert_eq!(left["withdrawn"], json!([waits["id"]]));
            let words = format!("the advisor's last day with the firm is {on}, and nobody succeeds");
            assert_eq!(last_told(&firm, &waits).await, (json!("RecommendationWithdrawn"), json!(words)));
            firm.step(&firm.ann, &waits, "accept").await.is(409, "conflict");
        }
    }
}

#[tokio::test]
async fn a_screening_records_nothing_and_says_what_issuing_would() {
    let firm = Firm::new().await;
    let head = firm.daybook.head();
    let mut asked = firm.advice("ACME", "100");
    for name in ["profile_version", "rationale"] {
        asked.as_object_mut().unwrap().remove(name);
    }
    let screened = firm.post(&firm.iris, "/v1/recommendations/screen", &asked).await.has(200).json();
    assert_eq!(firm.daybook.head(), head);
    let issued = firm.issue("ACME", "100").await;
    assert_eq!(screened["findings"], issued["screening"]);
    assert_eq!((&screened["party"], &screened["profile_version"]), (&json!(ANN.to_string()), &json!(1)));
    assert_eq!(screened["trades"][0]["amount"], "1000");
    // A tenth of what moves by about 7.2 % a year.
    assert_eq!(screened["risk_after"]["class"], 2);
    let held =
        firm.get(&firm.ann, &format!("/v1/portfolios/{}/suitability", firm.anns)).await.has(200).json();
    assert_eq!(held["screening"]["trades"], json!([]));
    assert_eq!(held["screening"]["equity"], "10000");
    let risk = firm.get(&firm.ann, "/v1/instruments/ACME/risk").await.has(200).json();
    assert_eq!(risk["class"], 4, "{risk}");
}

#[tokio::test]
async fn a_stale_profile_version_is_refused_and_the_present_one_is_named() {
    let firm = Firm::new().await;
    firm.record(stream::party(ANN), profile(2));
    let head = firm.daybook.head();
    let refused = firm.post(&firm.iris, "/v1/recommendations", &firm.advice("ACME", "1")).await;
    let problem = refused.is(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("version 2 is in force"), "{problem}");
    assert_eq!(problem["sequence"], head);
    let mut without = firm.advice("ACME", "1");
    without.as_object_mut().unwrap().remove("profile_version");
    let problem = firm.post(&firm.iris, "/v1/recommendations", &without).await.is(422, "invalid-input");
    assert_eq!(problem["errors"][0]["field"], "profile_version");
    assert_eq!(firm.daybook.head(), head, "nothing is half done");
}

#[tokio::test]
async fn without_a_profile_it_is_blocked() {
    let firm = Firm::new().await;
    let mut advice = firm.advice("ACME", "1");
    advice["portfolio"] = json!(firm.bos);
    firm.post(&firm.tomas, "/v1/recommendations", &advice).await.is(409, "conflict");
    advice.as_object_mut().unwrap().remove("profile_version");
    let issued = firm.post(&firm.tomas, "/v1/recommendations", &advice).await.has(201).json();
    assert_eq!((&issued["state"], &issued["party"]), (&json!("blocked"), &json!(BO.to_string())));
    assert_eq!(finding(&issued["screening"], "profile")["verdict"], "block");
}

#[tokio::test]
async fn bad_trades_are_named_one_by_one_and_an_unknown_ticker_with_its_neighbours() {
    let firm = Firm::new().await;
    let head = firm.daybook.head();
    let mut advice = firm.advice("ACME", "1");
    advice["trades"] = json!([
        { "symbol": "NOWHERE", "side": "buy", "quantity": "1" },
        { "symbol": "ACME", "side": "buy" },
        { "symbol": "ACME", "side": "buy", "quantity": "1", "amount": "1" },
        { "symbol": "ACME", "side": "buy", "quantity": "-1" },
        { "symbol": "ACME", "side": "sell", "weight": "1.1" },
    ]);
    let problem = firm.post(&firm.iris, "/v1/recommendations", &advice).await.is(422, "invalid-input");
    let fields: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|fault| fault["field"].as_str().unwrap()).collect();
    let expected = [
        "trades[0].symbol",
        "trades[1].quantity",
        "trades[2].quantity",
        "trades[3].quantity",
        "trades[4].weight",
    ];
    assert_eq!(fields, expected, "{problem}");
    advice["trades"] = json!([{ "symbol": "ACME", "side": "sell", "weight": "0.9" }]);
    let problem = firm.post(&firm.iris, "/v1/recommendations", &advice).await.is(422, "invalid-input");
    assert_eq!(problem["errors"][0]["field"], "trades[0].weight");
    advice["trades"] = json!([{ "symbol": "ACME", "side": "hold", "quantity": "1" }]);
    firm.post(&firm.iris, "/v1/recommendations", &advice).await.is(422, "invalid-input");
    let past = json!({ "expires": "2020-01-01" });
    advice = firm.advice("ACME", "1");
    advice["expires"] = past["expires"].clone();
    firm.post(&firm.iris, "/v1/recommendations", &advice).await.is(422, "invalid-input");
    assert_eq!(firm.daybook.head(), head);
}

#[tokio::test]
async fn what_a_rule_holds_back_is_hidden_from_the_client_until_a_second_person_allows_it() {
    let firm = Firm::new().await;
    let blocked = firm.issue("SMOKE", "1").await;
    assert_eq!((&blocked["state"], &blocked["overall"]), (&json!("blocked"), &json!("block")), "{blocked}");
    for path in ["", "/history"] {
        firm.get(&firm.ann, &at(&blocked, path)).await.is(404, "not-found");
    }
    let listed = firm.get(&firm.ann, "/v1/recommendations").await.has(200).json();
    assert_eq!(listed["items"], json!([]));
    firm.step(&firm.ann, &blocked, "accept").await.is(404, "not-found");
    firm.step(&firm.iris, &blocked, "accept").await.is(409, "conflict");
    firm.step(&firm.approver, &blocked, "override/approve").await.is(409, "conflict");
    firm.step(&firm.iris, &blocked, "override").await.has(201);
    assert_eq!(firm.state(&blocked).await, "awaiting_override");
    firm.step(&firm.iris, &blocked, "override/approve").await.is(403, "forbidden");
    firm.get(&firm.ann, &at(&blocked, "")).await.is(404, "not-found");
    let refused = firm.step(&firm.approver, &blocked, "override/refuse").await.has(201).json();
    assert_eq!(refused["state"], "blocked");
    firm.step(&firm.iris, &blocked, "override").await.has(201);
    let allowed = firm.step(&firm.approver, &blocked, "override/approve").await.has(201).json();
    assert_eq!((&allowed["state"], &allowed["overall"]), (&json!("issued"), &json!("block")));
    let accepted = firm.step(&firm.ann, &blocked, "accept").await.has(201).json();
    assert_eq!(accepted["state"], "accepted");
    let told = firm.get(&firm.auditor, &at(&blocked, "/history")).await.has(200).json();
    let told: Vec<(&str, &str)> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (event["type"].as_str().unwrap(), event["by"].as_str().unwrap()))
        .collect();
    let expected = [
        ("RecommendationIssued", "firm"),
        ("OverrideRequested", "firm"),
        ("OverrideRefused", "firm"),
        ("OverrideRequested", "firm"),
        ("OverrideApproved", "firm"),
        ("RecommendationAccepted", "client"),
    ];
    assert_eq!(told, expected);
    let seen = firm.get(&firm.ann, &at(&blocked, "/history")).await.has(200).json();
    assert_eq!(seen["items"].as_array().unwrap().len(), 2, "the client is told of no exception");
}

#[tokio::test]
async fn whoever_issued_or_asked_does_not_decide_on_the_exception() {
    let firm = Firm::new().await;
    let mut advice = firm.advice("SMOKE", "1");
    advice["advisor"] = json!(IRIS.to_string());
    let first = firm.daybook.administrator.clone();
    let issued = firm.post(&first, "/v1/recommendations", &advice).await.has(201).json();
    firm.step(&firm.approver, &issued, "override").await.has(201);
    for token in [&first, &firm.approver] {
        let problem = firm.step(token, &issued, "override/approve").await.is(403, "forbidden");
        assert!(problem["detail"].as_str().unwrap().contains("another administrator"));
    }
    let third = firm.daybook.token_of(Role::Administrator, Some("cleo"), Vec::new());
    firm.step(&third, &issued, "override/approve").await.has(201);
    // An administrator under the advisor's own name is the advisor.
    let again =
        firm.post(&firm.iris, "/v1/recommendations", &firm.advice("SMOKE", "1")).await.has(201).json();
    firm.step(&firm.iris, &again, "override").await.has(201);
    for spelling in [IRIS.to_string(), IRIS.to_string().to_uppercase()] {
        let herself = firm.daybook.token_of(Role::Administrator, Some(&spelling), Vec::new());
        firm.step(&herself, &again, "override/approve").await.is(403, "forbidden");
    }
    // Nor does a second self that whoever asked gave a token to.
    let asking = firm.daybook.token_of(Role::Administrator, Some("dora"), Vec::new());
    let asked =
        firm.post(&firm.iris, "/v1/recommendations", &firm.advice("SMOKE", "2")).await.has(201).json();
    firm.step(&asking, &asked, "override").await.has(201);
    let minted = json!({ "role": "administrator" });
    let minted =
        firm.post(&asking, "/v1/tokens", &minted).await.has(201).json()["token"].as_str().unwrap().to_owned();
    let problem = firm.step(&minted, &asked, "override/approve").await.is(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("issued by whoever"), "{problem}");
    firm.step(&firm.approver, &asked, "override/approve").await.has(201);
}

#[tokio::test]
async fn what_cannot_be_measured_is_held_back_too() {
    let firm = Firm::new().await;
    firm.daybook.transact(&firm.anns, buy("2024-01-05", "NEWCO", "1", "10")).await;
    let issued = firm.issue("NEWCO", "1").await;
    assert_eq!((&issued["state"], &issued["overall"]), (&json!("blocked"), &json!("unknown")), "{issued}");
    assert_eq!(finding(&issued["screening"], "risk_class")["verdict"], "unknown");
}

#[tokio::test]
async fn every_step_that_cannot_be_taken_is_refused_and_changes_nothing() {
    let firm = Firm::new().await;
    let steps =
        ["accept", "decline", "withdraw", "execute", "override", "override/approve", "override/refuse"];
    let paths: [(&str, &[&str], &[&str]); 6] = [
        ("issued", &[], &["accept", "decline", "withdraw"]),
        ("accepted", &["accept"], &["execute", "withdraw"]),
        ("declined", &["decline"], &[]),
        ("withdrawn", &["withdraw"], &[]),
        ("blocked", &[], &["override", "withdraw"]),
        ("awaiting_override", &["override"], &["withdraw", "override/approve", "override/refuse"]),
    ];
    for (state, path, possible) in paths {
        let held_back = matches!(state, "blocked" | "awaiting_override");
        let advice = firm.issue(if held_back { "SMOKE" } else { "ACME" }, "1").await;
        for step in path {
            firm.step(&firm.iris, &advice, step).await.has(201);
        }
        assert_eq!(firm.state(&advice).await, state);
        for step in steps.into_iter().filter(|step| !possible.contains(step)) {
            let token = if step.starts_with("override/") { &firm.approver } else { &firm.iris };
            let head = firm.daybook.head();
            let problem = firm.step(token, &advice, step).await.is(409, "conflict");
            assert!(problem["detail"].as_str().unwrap().contains(state), "{state} {step}: {problem}");
            assert_eq!((firm.state(&advice).await, firm.daybook.head()), (json!(state), head));
        }
    }
}

#[tokio::test]
async fn of_an_acceptance_and_a_refusal_at_once_exactly_one_counts() {
    let firm = Firm::new().await;
    for round in 0..8 {
        let advice = firm.issue("ACME", "1").await;
        let (yes, no) =
            tokio::join!(firm.step(&firm.ann, &advice, "accept"), firm.step(&firm.ann, &advice, "decline"));
        let statuses = [yes.status.as_u16(), no.status.as_u16()];
        assert!(statuses == [201, 409] || statuses == [409, 201], "{round}: {yes} {no}");
        let state = firm.state(&advice).await;
        assert_eq!(state == "accepted", statuses[0] == 201);
    }
}

#[tokio::test]
async fn one_that_ran_out_is_expired_at_once_and_the_log_says_so_later() {
    let firm = Firm::new().await;
    let mut asked = firm.advice("ACME", "1");
    let expires = now().plus_nanos(1_500_000_000);
    asked["expires"] = json!(expires.to_string());
    let advice = firm.post(&firm.iris, "/v1/recommendations", &asked).await.has(201).json();
    assert_eq!(advice["state"], "issued");
    while now() <= expires {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(firm.state(&advice).await, "expired");
    let problem = firm.step(&firm.ann, &advice, "accept").await.is(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("expired"));
    let expired = firm.get(&firm.iris, "/v1/recommendations?state=expired").await.has(200).json();
    assert_eq!(expired["items"].as_array().unwrap().len(), 1);
    let swept = firm.daybook.journal.expire_recommendations(&Author::operator(), now()).unwrap();
    let again = firm.daybook.journal.expire_recommendations(&Author::operator(), now()).unwrap();
    assert_eq!((swept, again), (1, 0));
    assert_eq!(firm.state(&advice).await, "expired");
    let before = firm.get(&firm.iris, &at(&advice, &format!("?at_sequence={}", advice["sequence"]))).await;
    assert_eq!(before.has(200).json()["state"], "expired", "time has run out, whatever was recorded");
    let then = format!("?as_of={}", expires.plus_nanos(-1));
    assert_eq!(firm.get(&firm.iris, &at(&advice, &then)).await.has(200).json()["state"], "issued");
}

#[tokio::test]
async fn one_is_replaced_by_another_in_the_same_moment() {
    let firm = Firm::new().await;
    let old = firm.issue("ACME", "1").await;
    let mut asked = firm.advice("ACME", "2");
    asked["replaces"] = old["id"].clone();
    let new = firm.post(&firm.iris, "/v1/recommendations", &asked).await.has(201).json();
    assert_eq!(firm.state(&old).await, "replaced");
    let problem = firm.step(&firm.ann, &old, "accept").await.is(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("another took its place"));
    let read = firm.get(&firm.ann, &at(&old, "")).await.has(200).json();
    assert_eq!((&read["replaced_by"], &new["replaces"]), (&new["id"], &old["id"]));
    firm.post(&firm.iris, "/v1/recommendations", &asked).await.is(409, "conflict");
    asked["portfolio"] = json!(firm.bos);
    firm.post(&firm.iris, "/v1/recommendations", &asked).await.is(404, "not-found");
}

#[tokio::test]
async fn it_is_carried_out_by_fills_of_its_trades_and_by_no_others() {
    let firm = Firm::new().await;
    let advice = firm.issue("ACME", "2").await;
    let early = firm.daybook.transact(&firm.anns, buy("2024-01-05", "ACME", "2", "10")).await;
    firm.step(&firm.ann, &advice, "accept").await.has(201);
    let problem = firm.step(&firm.iris, &advice, "execute").await.is(422, "invalid-input");
    assert_eq!(problem["errors"][0]["field"], "fills");
    let path = at(&advice, "/execute");
    let when = now().plus_nanos(1_000_000).to_string();
    let fill = firm.daybook.transact(&firm.anns, buy(&when, "ACME", "2", "10")).await;
    let other = firm.daybook.transact(&firm.anns, buy(&when, "SMOKE", "2", "10")).await;
    for named in [early, other, 1, 999_999] {
        let body = json!({ "fills": [fill, named] });
        let problem = firm.post(&firm.iris, &path, &body).await.is(422, "invalid-input");
        assert_eq!(problem["errors"][0]["field"], "fills[1]", "{named}");
    }
    let executed = firm.step(&firm.iris, &advice, "execute").await.has(201).json();
    assert_eq!(executed["state"], "executed");
    let told = firm.get(&firm.iris, &at(&advice, "/history")).await.has(200).json();
    assert_eq!(told["items"].as_array().unwrap().last().unwrap()["fills"], json!([fill]));
}

#[tokio::test]
async fn a_repetition_is_done_once_and_a_stale_tag_is_refused() {
    let firm = Firm::new().await;
    let key = [("idempotency-key", "one")];
    let body = firm.advice("ACME", "1");
    let first = firm.post_with(&firm.iris, "/v1/recommendations", &body, &key).await.has(201).json();
    let head = firm.daybook.head();
    let again = firm.post_with(&firm.iris, "/v1/recommendations", &body, &key).await.has(201);
    assert_eq!((again.header("idempotent-replayed"), &again.json()["id"]), ("true", &first["id"]));
    let other = firm.advice("ACME", "2");
    firm.post_with(&firm.iris, "/v1/recommendations", &other, &key).await.is(409, "idempotency-key-reused");
    assert_eq!(firm.daybook.head(), head);
    let accept = at(&first, "/accept");
    let seen = firm.get(&firm.ann, &at(&first, "")).await.has(200).header("etag").to_owned();
    firm.post_with(&firm.ann, &accept, &json!({}), &key).await.has(201);
    let head = firm.daybook.head();
    firm.post_with(&firm.ann, &accept, &json!({}), &key).await.has(201);
    assert_eq!(firm.daybook.head(), head, "the same answer twice is one");
    let stale = [("if-match", seen.as_str())];
    firm.post_with(&firm.iris, &at(&first, "/withdraw"), &json!({}), &stale)
        .await
        .is(412, "precondition-failed");
    let fresh = firm.get(&firm.iris, &at(&first, "")).await.has(200).header("etag").to_owned();
    let fresh = [("if-match", fresh.as_str())];
    firm.post_with(&firm.iris, &at(&first, "/withdraw"), &json!({}), &fresh).await.has(201);
}

#[tokio::test]
async fn each_sees_and_does_what_is_theirs() {
    let firm = Firm::new().await;
    let advice = firm.issue("ACME", "1").await;
    for stranger in [&firm.tomas, &firm.bo] {
        firm.get(stranger, &at(&advice, "")).await.is(404, "not-found");
        firm.get(stranger, &at(&advice, "/history")).await.is(404, "not-found");
        assert_eq!(firm.get(stranger, "/v1/recommendations").await.has(200).json()["items"], json!([]));
        firm.step(stranger, &advice, "accept").await.is(404, "not-found");
    }
    firm.step(&firm.tomas, &advice, "withdraw").await.is(404, "not-found");
    firm.step(&firm.ann, &advice, "withdraw").await.is(403, "forbidden");
    firm.step(&firm.auditor, &advice, "accept").await.is(403, "forbidden");
    firm.post(&firm.tomas, "/v1/recommendations", &firm.advice("ACME", "1")).await.is(404, "not-found");
    let mut in_anothers_name = firm.advice("ACME", "1");
    in_anothers_name["advisor"] = json!(TOMAS.to_string());
    firm.post(&firm.iris, "/v1/recommendations", &in_anothers_name).await.has(404);
    let problem = firm.post(&firm.daybook.administrator, "/v1/recommendations", &in_anothers_name).await;
    assert_eq!(problem.is(422, "invalid-input")["errors"][0]["field"], "advisor");
    let mut to_another = firm.advice("ACME", "1");
    to_another["party"] = json!(BO.to_string());
    let problem = firm.post(&firm.daybook.administrator, "/v1/recommendations", &to_another).await;
    problem.is(422, "invalid-input");
    // An advisor records the client's word, and the history says so.
    let path = at(&advice, "/decline");
    let body = json!({ "reason": "timing", "note": "after the holidays" });
    firm.post(&firm.iris, &path, &body).await.has(201);
    let told = firm.get(&firm.ann, &at(&advice, "/history")).await.has(200).json();
    let last = told["items"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["by"], &last["actor"]), (&json!("firm"), &json!(IRIS.to_string())));
    assert_eq!((&last["reason"], &last["words"]), (&json!("timing"), &json!("after the holidays")));
}

#[tokio::test]
async fn a_list_is_filtered_newest_first_and_its_pages_fit_together() {
    let firm = Firm::new().await;
    let mut ids = Vec::new();
    for quantity in ["1", "2", "3"] {
        ids.push(firm.issue("ACME", quantity).await["id"].clone());
    }
    let blocked = firm.issue("SMOKE", "1").await;
    let first = firm.get(&firm.ann, "/v1/recommendations?limit=2").await.has(200).json();
    let next = first["next"].as_str().unwrap();
    firm.issue("ACME", "4").await;
    let second =
        firm.get(&firm.ann, &format!("/v1/recommendations?limit=2&cursor={next}")).await.has(200).json();
    let listed: Vec<Value> = [&first, &second]
        .into_iter()
        .flat_map(|page| page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()))
        .collect();
    ids.reverse();
    assert_eq!(listed, ids);
    let of = async |query: &str| {
        let path = format!("/v1/recommendations?{query}");
        firm.get(&firm.auditor, &path).await.has(200).json()["items"].as_array().unwrap().len()
    };
    assert_eq!(of("state=blocked").await, 1);
    assert_eq!(of(&format!("party={ANN}&advisor={IRIS}&portfolio={}", firm.anns)).await, 5);
    assert_eq!(of(&format!("advisor={TOMAS}")).await, 0);
    assert_eq!(of(&format!("at_sequence={}", blocked["sequence"])).await, 4);
    firm.get(&firm.auditor, "/v1/recommendations?state=nonsense").await.is(400, "invalid-parameter");
}

#[tokio::test]
async fn an_instrument_counts_as_what_was_said_from_its_day_on() {
    let firm = Firm::new().await;
    let path = "/v1/instruments/ACME/classification";
    let said = |sector: &str, from: &str| json!({ "class": "equity", "sector": sector, "issuer": "Acme", "country": "US", "from": from });
    firm.daybook.post(path, &said("energy", "2020-01-01")).await.has(201);
    firm.daybook.post(path, &said("utilities", &today().plus_days(9).to_string())).await.has(201);
    let read = firm.daybook.get("/v1/instruments/ACME").await.has(200).json();
    assert_eq!(read["classification"]["sector"], "energy");
    assert_eq!(read["classified"].as_array().unwrap().len(), 2);
    for (body, field) in [
        (json!({ "country": "Sweden" }), "country"),
        (json!({ "class": "share" }), "class"),
        (json!({}), "class"),
        (json!({ "sector": "", "from": "soon" }), "from"),
        (json!({ "sector": " " }), "sector"),
    ] {
        let problem = firm.daybook.post(path, &body).await.is(422, "invalid-input");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let missing =
        firm.daybook.post("/v1/instruments/NOWHERE/classification", &said("energy", "2020-01-01")).await;
    missing.is(404, "not-found");
    firm.post(&firm.iris, path, &said("energy", "2020-01-01")).await.is(403, "forbidden");
    let risk = firm.daybook.get("/v1/instruments/ACME/risk").await.has(200).json();
    assert_eq!((risk["class"].as_u64(), risk["weeks"].as_u64()), (Some(4), Some(69)), "{risk}");
}

#[tokio::test]
async fn a_portfolio_shows_its_drift_and_what_would_mend_it() {
    let firm = Firm::new().await;
    let target =
        TargetWeight { instrument: None, sleeve: Some("equity".into()), weight: fraction("0.5"), band: None };
    let set = InvestmentProfileSet { targets: vec![target], ..profile(2) };
    firm.record(stream::party(ANN), set);
    let path = format!("/v1/portfolios/{}/suitability", firm.anns);
    let unclassified = firm.get(&firm.ann, &path).await.has(200).json();
    assert!(unclassified["drift_missing"].as_str().unwrap().contains("ACME"), "{unclassified}");
    let class = json!({ "class": "equity", "sector": "energy", "from": "2020-01-01" });
    firm.daybook.post("/v1/instruments/ACME/classification", &class).await.has(201);
    let shown = firm.get(&firm.ann, &path).await.has(200).json();
    assert_eq!(shown["drift"][0]["alert"], true);
    assert_eq!(shown["proposals"][0]["amount"], "4990");
    assert_eq!(shown["proposals"][0]["way"], "cash_flow");
    let flowing = firm.get(&firm.ann, &format!("{path}?contribution=2000")).await.has(200).json();
    assert_eq!(flowing["proposals"][0]["amount"], "5990");
    firm.get(&firm.ann, &format!("{path}?contribution=lots")).await.is(400, "invalid-parameter");
    firm.get(&firm.bo, &path).await.is(404, "not-found");
}
