//! Profiles and models, version by version, and reviews.

use super::{House, NOBODY, day, text};
use daybook_schemas::events::Role;
use poem::http::Method;
use serde_json::{Value, json};

#[expect(clippy::needless_pass_by_value, reason = "a test writes what it means in place")]
fn profile(more: Value) -> Value {
    let mut profile = json!({ "objectives": ["growth"], "risk_tolerance": "high" });
    for (name, value) in more.as_object().unwrap() {
        profile[name] = value.clone();
    }
    profile
}

/// A house whose prices name two instruments.
async fn priced() -> House {
    let house = House::new().await;
    house.daybook.price("ACME", "2024-01-05", "10").await;
    house.daybook.price("ZETA", "2024-01-05", "20").await;
    house
}

#[tokio::test]
async fn a_profile_says_all_of_it_anew_and_each_version_is_read_as_of_any_day() {
    let house = priced().await;
    let path = format!("/v1/clients/{}/profiles", house.ann);
    let first = profile(json!({
        "expects_version": 0,
        "from": "2024-03-01",
        "objectives": ["growth", "income"],
        "loss_capacity": "medium",
        "horizon_years": 12,
        "liquidity_reserve": { "amount": "5000.50", "currency": "USD" },
        "drawdown_max": "0.25",
        "details": { "born": "1980-05-17", "needs": "a house", "experience": "ten years" },
        "exclusions": [
            { "dimension": "instrument", "value": "zeta" },
            { "dimension": "sector", "value": "Tobacco" },
            { "dimension": "country", "value": "ru" },
        ],
        "caps": [
            { "dimension": "instrument", "share_max": "0.2" },
            { "dimension": "instrument", "value": "ACME", "share_max": "0.1" },
            { "dimension": "currency", "value": "EUR", "share_max": "0" },
            { "dimension": "class", "value": "crypto", "share_max": "0.05" },
        ],
        "targets": [
            { "instrument": "ACME", "weight": "0.6", "band": "0.05" },
            { "sleeve": "bond", "weight": "0.35" },
        ],
        "review_due": "2025-03-01",
    }));
    let made = house.post(&path, &first).await.has(201);
    assert!(made.header("location").ends_with("/profiles/1"), "{made}");
    let made = made.json();
    assert_eq!((&made["version"], &made["in_force"]), (&json!(1), &json!(true)));
    assert_eq!(made["exclusions"][0]["symbol"], "ZETA");
    assert_eq!(made["exclusions"][0]["value"].as_str().unwrap().len(), 26);
    assert_eq!(made["exclusions"][2]["value"], "RU");
    assert_eq!(made["caps"][1]["symbol"], "ACME");
    assert_eq!(made["targets"][0]["weight"], "0.6");
    assert_eq!(made["liquidity_reserve"], json!({ "amount": "5000.5", "currency": "USD" }));
    assert_eq!(made["details"]["born"], "1980-05-17");
    // The second has nothing of the first.
    house.post(&path, &profile(json!({ "expects_version": 1, "from": "2024-06-01" }))).await.has(201);
    let second = house.get(&format!("{path}/2")).await.has(200).json();
    assert_eq!((&second["targets"], second.get("details")), (&json!([]), None));
    let client = async |day: &str| {
        let path = format!("/v1/clients/{}?as_of={day}", house.ann);
        house.get(&path).await.has(200).json()
    };
    assert_eq!(client("2024-02-29").await.get("profile"), None);
    assert_eq!(client("2024-05-31").await["profile"]["version"], 1);
    assert_eq!(client("2024-06-01").await["profile"]["version"], 2);
    let late = client("2025-03-02").await;
    assert_eq!(late["profile"]["version"], 2);
    let of_first = house.get(&format!("{path}/1?as_of=2024-04-01")).await.json();
    assert_eq!(of_first["in_force"], true);
    assert_eq!(house.get(&format!("{path}/1")).await.json()["in_force"], false);
    house.get(&format!("{path}/3")).await.is(404, "not-found");
    let listed = house.get(&path).await.json();
    let versions: Vec<u64> =
        listed["items"].as_array().unwrap().iter().map(|item| item["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [2, 1]);
    let overdue = house.get("/v1/clients?review_overdue=true&as_of=2025-03-02").await.json();
    assert_eq!(overdue["items"], json!([]), "the version in force names no day");
    let overdue = house.get("/v1/clients?review_overdue=true&as_of=2025-03-02&at_sequence=14").await.has(200);
    assert!(overdue.json()["items"].is_array());
}

#[tokio::test]
async fn of_two_versions_set_at_once_one_is_a_conflict() {
    let house = House::new().await;
    let path = format!("/v1/clients/{}/profiles", house.ann);
    for round in 0..8 {
        // With and without the version that they saw.
        let body =
            if round % 2 == 0 { profile(json!({ "expects_version": round })) } else { profile(json!({})) };
        let (one, other) = tokio::join!(house.post(&path, &body), house.post(&path, &body));
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        if round % 2 == 0 {
            assert_eq!(statuses, [201, 409], "{one} {other}");
            let refused = if one.status.as_u16() == 409 { one } else { other };
            let problem = refused.is(409, "conflict");
            assert!(
                problem["detail"].as_str().unwrap().contains(&format!("newest version is {}", round + 1))
            );
        } else {
            // One may have begun after the other was done: then there are two versions, and neither is lost.
            assert!(statuses[0] == 201 && matches!(statuses[1], 201 | 409), "{one} {other}");
            if statuses[1] == 201 {
                break;
            }
        }
    }
    let listed = house.get(&path).await.json();
    let mut versions: Vec<u64> =
        listed["items"].as_array().unwrap().iter().map(|item| item["version"].as_u64().unwrap()).collect();
    versions.reverse();
    let dense: Vec<u64> = (1..=versions.len() as u64).collect();
    assert_eq!(versions, dense);
}

#[tokio::test]
async fn what_is_wrong_with_a_profile_is_named_and_an_unknown_ticker_is_told_the_nearest() {
    let house = priced().await;
    let path = format!("/v1/clients/{}/profiles", house.ann);
    for (more, field, words) in [
        (json!({ "objectives": [] }), "objectives", "at least one"),
        (json!({ "objectives": ["growth", "growth"] }), "objectives", "twice"),
        (json!({ "objectives": ["fame"] }), "objectives[0]", "preservation, income"),
        (json!({ "risk_tolerance": null }), "risk_tolerance", "required"),
        (json!({ "risk_tolerance": "wild" }), "risk_tolerance", "very_low"),
        (json!({ "horizon_years": 101 }), "horizon_years", "0 to 100"),
        (json!({ "horizon_years": "12" }), "horizon_years", "whole number"),
        (json!({ "horizon_years": -1 }), "horizon_years", "whole number"),
        (json!({ "horizon_years": 1.5 }), "horizon_years", "whole number"),
        (json!({ "drawdown_max": "1.01" }), "drawdown_max", "at most 1"),
        (json!({ "drawdown_max": "0" }), "drawdown_max", "more than 0"),
        (json!({ "drawdown_max": 0.25 }), "drawdown_max", "in quotes"),
        (
            json!({ "liquidity_reserve": { "amount": "-1", "currency": "USD" } }),
            "liquidity_reserve.amount",
            "negative",
        ),
        (json!({ "liquidity_reserve": { "amount": "1" } }), "liquidity_reserve.currency", "required"),
        (
            json!({ "liquidity_reserve": { "amount": "1", "currency": "Dollars" } }),
            "liquidity_reserve.currency",
            "Dollars",
        ),
        (json!({ "caps": [{ "dimension": "sector", "share_max": "1.5" }] }), "caps[0].share_max", "0 to 1"),
        (json!({ "caps": [{ "dimension": "sector" }] }), "caps[0].share_max", "required"),
        (
            json!({ "caps": [{ "dimension": "colour", "share_max": "1" }] }),
            "caps[0].dimension",
            "instrument, issuer",
        ),
        (
            json!({ "caps": [{ "dimension": "sector", "share_max": "1" }, { "dimension": "sector", "share_max": "0.5" }] }),
            "caps[1].dimension",
            "already",
        ),
        (json!({ "exclusions": [{ "dimension": "sector" }] }), "exclusions[0].value", "required"),
        (
            json!({ "exclusions": [{ "dimension": "instrument", "value": "AMCE" }] }),
            "exclusions[0].value",
            "AMCE",
        ),
        (
            json!({ "exclusions": [{ "dimension": "country", "value": "ZZ" }] }),
            "exclusions[0].value",
            "ISO 3166",
        ),
        (
            json!({ "exclusions": [{ "dimension": "class", "value": "toys" }] }),
            "exclusions[0].value",
            "equity",
        ),
        (
            json!({ "targets": [{ "sleeve": "bond", "weight": "0.6" }, { "instrument": "ACME", "weight": "0.41" }] }),
            "targets",
            "sum to 1.01",
        ),
        (json!({ "targets": [{ "weight": "0.6" }] }), "targets[0].instrument", "either instrument or sleeve"),
        (json!({ "targets": [{ "sleeve": "bond", "weight": "-0.1" }] }), "targets[0].weight", "0 to 1"),
        (
            json!({ "targets": [{ "sleeve": "bond", "weight": "0.1" }, { "sleeve": "Bond", "weight": "0.1" }] }),
            "targets[1].weight",
            "already",
        ),
        (
            json!({ "targets": [{ "sleeve": "bond", "weight": "0.1", "band": "2" }] }),
            "targets[0].band",
            "at most 1",
        ),
        (json!({ "review_due": day(0) }), "review_due", "not after"),
        (json!({ "from": "2024-01-31" }), "from", "becomes a client on 2024-02-01"),
        (json!({ "details": { "born": day(1) } }), "details.born", "not before"),
        (json!({ "details": { "needs": "" } }), "details.needs", "leave the field out"),
    ] {
        house.refuses(&path, profile(more), field, words).await;
    }
    let others = profile(json!({ "portfolio": house.his }));
    house.refuses(&path, others, "portfolio", "does not own").await;
    let stale = profile(json!({ "expects_version": 3 }));
    let problem = house.post(&path, &stale).await.is(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("newest version is 0, not 3"), "{problem}");
    let nobody = format!("/v1/clients/{NOBODY}/profiles");
    house.post(&nobody, &profile(json!({}))).await.is(404, "not-found");
}

#[tokio::test]
async fn a_portfolio_has_a_profile_of_its_own_beside_that_of_its_owner() {
    let house = House::new().await;
    let path = format!("/v1/clients/{}/profiles", house.ann);
    house.post(&path, &profile(json!({}))).await.has(201);
    let own = profile(json!({ "portfolio": house.hers, "risk_tolerance": "low" }));
    assert_eq!(house.post(&path, &own).await.has(201).json()["version"], 2);
    let client = house.get(&format!("/v1/clients/{}", house.ann)).await.json();
    assert_eq!(client["profile"]["version"], 1);
    assert_eq!(client["portfolio_profiles"][0]["version"], 2);
    let terms = house.get(&format!("/v1/portfolios/{}/terms", house.hers)).await.json();
    assert_eq!(terms["profile"], json!({ "party": house.ann, "version": 2 }));
    let listed = house.get(&format!("{path}?portfolio={}", house.hers)).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_client_reads_profile_and_reviews_but_not_the_firms_note() {
    let house = House::new().await;
    let (iris, ann) = (house.token(Role::Advisor, &house.iris), house.token(Role::Client, &house.ann));
    let bo = house.token(Role::Client, &house.bo);
    let path = format!("/v1/clients/{}", house.ann);
    let profiles = format!("{path}/profiles");
    house.write(&iris, Method::POST, &profiles, &profile(json!({}))).await.has(201);
    let reviews = format!("{path}/reviews");
    let held = json!({ "outcome": "confirmed", "note": "worries about the house", "next_due": day(300), "portfolios": [house.hers] });
    let made = house.write(&iris, Method::POST, &reviews, &held).await.has(201).json();
    assert_eq!((&made["advisor"], &made["advisor_name"]), (&json!(house.iris), &json!("Iris Vale")));
    assert_eq!(house.read(&iris, &reviews).await.json()["items"][0]["note"], "worries about the house");
    let seen = house.read(&ann, &reviews).await.has(200).json();
    assert_eq!(seen["items"][0]["outcome"], "confirmed");
    assert!(!seen.to_string().contains("worries"), "{seen}");
    let own = house.read(&ann, &path).await.has(200).json();
    assert_eq!((&own["profile"]["version"], &own["review_due"]), (&json!(1), &json!(day(300))));
    house.write(&ann, Method::POST, &profiles, &profile(json!({}))).await.is(403, "forbidden");
    for below in ["", "/profiles", "/profiles/1", "/reviews", "/assignments"] {
        house.read(&bo, &format!("{path}{below}")).await.is(404, "not-found");
    }
    house.read(&ann, &format!("/v1/parties/{}/history", house.ann)).await.is(403, "forbidden");
    for (body, field, words) in [
        (json!({}), "outcome", "required"),
        (json!({ "outcome": "confirmed", "on": day(1) }), "on", "still to come"),
        (json!({ "outcome": "confirmed", "next_due": day(0) }), "next_due", "not after"),
        (json!({ "outcome": "confirmed", "portfolios": [house.his] }), "portfolios", "does not own"),
        (json!({ "outcome": "confirmed", "advisor": NOBODY }), "advisor", "there is no advisor"),
    ] {
        house.refuses(&reviews, body, field, words).await;
    }
    let others = json!({ "outcome": "confirmed", "advisor": house.tomas });
    house.write(&iris, Method::POST, &reviews, &others).await.is(404, "not-found");
}

#[tokio::test]
async fn a_model_is_published_version_by_version_and_portfolios_follow_it() {
    let house = priced().await;
    let body = json!({ "name": "Core", "from": "2024-03-01", "targets": [{ "instrument": "ACME", "weight": "0.7" }, { "sleeve": "bond", "weight": "0.2" }] });
    let made = house.post("/v1/models", &body).await.has(201).json();
    assert_eq!((&made["version"], &made["cash"]), (&json!(1), &json!("0.1")));
    assert_eq!(made["targets"][0]["symbol"], "ACME");
    let model = text(&made, "id");
    let path = format!("/v1/models/{model}/versions");
    for (body, field, words) in [
        (json!({}), "targets", "at least one"),
        (
            json!({ "targets": [{ "instrument": "AMCE", "weight": "1" }] }),
            "targets[0].instrument",
            "no instrument",
        ),
        (
            json!({ "targets": [{ "sleeve": "a", "weight": "0.7" }, { "sleeve": "b", "weight": "0.7" }] }),
            "targets",
            "sum to 1.4",
        ),
    ] {
        house.refuses(&path, body.clone(), field, words).await;
        let mut named = body;
        named["name"] = json!("New");
        house.refuses("/v1/models", named, field, words).await;
    }
    let second = json!({ "expects_version": 1, "from": "2024-06-01", "targets": [{ "sleeve": "bond", "weight": "1" }] });
    let (one, other) = tokio::join!(house.post(&path, &second), house.post(&path, &second));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    let follow = format!("/v1/portfolios/{}/model", house.hers);
    for (body, field, words) in [
        (json!({ "model": NOBODY }), "model", "there is no model"),
        (json!({ "version": 1 }), "version", "which model"),
        (json!({ "model": model, "version": 3 }), "version", "no version 3"),
        (json!({ "model": model, "from": "2024-02-01" }), "from", "no such model yet"),
    ] {
        house.refuses(&follow, body, field, words).await;
    }
    let terms = house.post(&follow, &json!({ "model": model, "from": "2024-03-01" })).await.has(201).json();
    assert_eq!(terms["model"], json!({ "model": model, "name": "Core", "version": 1 }));
    let read = async |day: &str| {
        house.get(&format!("/v1/portfolios/{}/terms?as_of={day}", house.hers)).await.has(200).json()
    };
    assert_eq!(read("2024-06-01").await["model"]["version"], 2);
    house.post(&follow, &json!({ "from": "2024-09-01" })).await.has(201);
    assert_eq!(read("2024-09-01").await.get("model"), None);
    let versions = house.get(&path).await.json();
    assert_eq!(versions["items"][0]["version"], 2);
    assert_eq!(
        (&versions["items"][1]["in_force"], &versions["items"][0]["in_force"]),
        (&json!(false), &json!(true))
    );
}
