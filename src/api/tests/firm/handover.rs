//! A client handed from one advisor to another, seen by each of them and as of any day.

use super::{House, NOBODY, day, names, text};
use daybook_schemas::events::Role;
use poem::http::Method;
use serde_json::{Value, json};

/// Who leads on a day.
async fn lead(house: &House, path: &str, day: &str) -> Vec<String> {
    let read = house.get(&format!("{path}?as_of={day}")).await.has(200).json();
    let advisors = read["advisors"].as_array().unwrap();
    advisors
        .iter()
        .map(|serving| format!("{} {}", serving["name"].as_str().unwrap(), serving["role"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_client_handed_over_on_a_day_to_come_is_served_by_each_until_and_from_that_day() {
    let house = House::new().await;
    let (iris, tomas) = (house.token(Role::Advisor, &house.iris), house.token(Role::Advisor, &house.tomas));
    let path = format!("/v1/clients/{}", house.ann);
    let assignments = format!("{path}/assignments");
    let body = json!({ "advisor": house.tomas, "from": day(30) });
    let made = house.post(&assignments, &body).await.has(201).json();
    assert_eq!((&made["role"], &made["in_force"]), (&json!("lead"), &json!(true)));
    assert_eq!(lead(&house, &path, &day(0)).await, ["Iris Vale lead"]);
    assert_eq!(lead(&house, &path, &day(29)).await, ["Iris Vale lead"]);
    assert_eq!(lead(&house, &path, &day(30)).await, ["Tomas Rune lead"]);
    // Present grants decide, also about a day to come.
    for more in ["".to_owned(), format!("?as_of={}", day(31))] {
        house.read(&iris, &format!("{path}{more}")).await.has(200);
        house.read(&tomas, &format!("{path}{more}")).await.is(404, "not-found");
    }
    assert_eq!(names(&house.read(&tomas, "/v1/clients").await.json()), ["Bo Berg"]);
    let later = house.get(&format!("/v1/clients?advisor={}&as_of={}", house.tomas, day(30))).await.json();
    assert_eq!(names(&later), ["Ann Lind", "Bo Berg"]);
    let listed = house.get(&assignments).await.json();
    let in_force: Vec<&Value> =
        listed["items"].as_array().unwrap().iter().map(|item| &item["in_force"]).collect();
    assert_eq!(in_force, [&json!(true), &json!(false)]);
    // As it was known before, nobody knew of it.
    let before = made["event"].as_u64().unwrap() - 1;
    let read = house.get(&format!("{path}?as_of={}&at_sequence={before}", day(30))).await.json();
    assert_eq!(read["advisors"][0]["name"], "Iris Vale");
}

#[tokio::test]
async fn a_client_handed_over_today_is_out_of_the_reach_of_one_and_within_that_of_the_other_at_once() {
    let house = House::new().await;
    let (iris, tomas) = (house.token(Role::Advisor, &house.iris), house.token(Role::Advisor, &house.tomas));
    let client = format!("/v1/clients/{}", house.ann);
    let portfolio = format!("/v1/portfolios/{}", house.hers);
    for path in [&client, &portfolio] {
        house.read(&iris, path).await.has(200);
        house.read(&tomas, path).await.is(404, "not-found");
    }
    let tag = house.read(&iris, "/v1/clients").await.header("etag").to_owned();
    house.post(&format!("{client}/assignments"), &json!({ "advisor": house.tomas })).await.has(201);
    for path in [&client, &portfolio] {
        house.read(&iris, path).await.is(404, "not-found");
        house.read(&tomas, path).await.has(200);
    }
    // Not even of the days on which Iris led.
    house.read(&iris, &format!("{client}?as_of={}", day(-1))).await.is(404, "not-found");
    let known = [("if-none-match", tag.as_str())];
    let list = house.daybook.send(Some(&iris), Method::GET, "/v1/clients", &known, ()).await.has(200);
    assert_eq!(list.json()["items"], json!([]));
    // The client sees who serves it now.
    let ann = house.token(Role::Client, &house.ann);
    let own = house.read(&ann, &client).await.json();
    assert_eq!(own["advisors"][0]["name"], "Tomas Rune");
    house.read(&ann, &format!("/v1/advisors/{}", house.tomas)).await.has(200);
    house.read(&ann, &format!("/v1/advisors/{}", house.iris)).await.is(404, "not-found");
    assert_eq!(names(&house.read(&ann, "/v1/advisors").await.json()), ["Tomas Rune"]);
    assert_eq!(names(&house.read(&ann, "/v1/parties").await.json()), ["Ann Lind"]);
}

#[tokio::test]
async fn a_team_and_a_deputy_serve_beside_the_lead_until_their_last_day() {
    let house = House::new().await;
    let team = json!({ "name": "North", "members": [house.tomas], "from": "2024-01-01" });
    let team = house.post("/v1/teams", &team).await.has(201).json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/clients/{}", house.ann);
    let assignments = format!("{path}/assignments");
    let support = json!({ "team": team, "role": "support", "from": "2024-03-01" });
    house.post(&assignments, &support).await.has(201);
    let deputy =
        json!({ "advisor": house.tomas, "role": "deputy", "from": "2024-05-01", "until": "2024-05-31" });
    house.post(&assignments, &deputy).await.has(201);
    assert_eq!(lead(&house, &path, "2024-02-29").await, ["Iris Vale lead"]);
    assert_eq!(lead(&house, &path, "2024-03-01").await, ["Iris Vale lead", "North support"]);
    let all = ["Iris Vale lead", "North support", "Tomas Rune deputy"];
    assert_eq!(lead(&house, &path, "2024-05-31").await, all);
    assert_eq!(lead(&house, &path, "2024-06-01").await, all[..2]);
    // Said again with a last day, the assignment ends.
    let ended = json!({ "team": team, "role": "support", "from": "2024-03-01", "until": "2024-06-30" });
    house.post(&assignments, &ended).await.has(201);
    assert_eq!(lead(&house, &path, "2024-07-01").await, ["Iris Vale lead"]);
    for (body, field, words) in [
        (json!({}), "advisor", "required"),
        (json!({ "advisor": house.iris, "team": team }), "team", "either advisor or team"),
        (json!({ "advisor": NOBODY }), "advisor", "there is no advisor"),
        (json!({ "team": NOBODY }), "team", "there is no team"),
        (json!({ "advisor": house.iris, "role": "boss" }), "role", "lead, support, deputy"),
        (
            json!({ "advisor": house.iris, "from": "2024-05-02", "until": "2024-05-01" }),
            "until",
            "before the first day",
        ),
        (json!({ "advisor": house.iris, "from": "2024-01-15" }), "from", "becomes a client on 2024-02-01"),
    ] {
        house.refuses(&assignments, body, field, words).await;
    }
    house
        .daybook
        .post(&format!("/v1/clients/{NOBODY}/assignments"), &json!({ "team": team }))
        .await
        .is(404, "not-found");
}

#[tokio::test]
async fn an_answer_is_unchanged_until_something_about_the_firm_is() {
    let house = House::new().await;
    for path in [
        "/v1/clients".to_owned(),
        format!("/v1/clients/{}", house.ann),
        format!("/v1/advisors/{}", house.iris),
        format!("/v1/portfolios/{}/terms", house.hers),
    ] {
        let tag = house.get(&path).await.has(200).header("etag").to_owned();
        house.daybook.get_knowing(&path, &tag).await.has(304);
        // What happens in a portfolio of others is none of it.
        let deposit = json!({ "time": "2024-01-05", "type": "deposit", "amount": "5" });
        house.daybook.transact(&house.his, deposit).await;
        house.daybook.get_knowing(&path, &tag).await.has(304);
        let more = json!({ "advisor": house.iris, "role": "support", "from": "2024-06-01" });
        house.post(&format!("/v1/clients/{}/assignments", house.ann), &more).await.has(201);
        house.daybook.get_knowing(&path, &tag).await.has(200);
    }
}

#[tokio::test]
async fn an_auditor_reads_all_of_the_firm_and_changes_nothing() {
    let house = House::new().await;
    let auditor = house.daybook.token(Role::Auditor, &[]);
    for path in ["/v1/advisors", "/v1/parties", "/v1/clients", "/v1/teams", "/v1/households", "/v1/models"] {
        house.read(&auditor, path).await.has(200);
    }
    for path in [
        format!("/v1/parties/{}/history", house.ann),
        format!("/v1/advisors/{}/history", house.iris),
        format!("/v1/portfolios/{}/terms/history", house.hers),
    ] {
        let read = house.read(&auditor, &path).await.has(200).json();
        assert!(!read["items"].as_array().unwrap().is_empty(), "{path}");
    }
    let path = format!("/v1/clients/{}/assignments", house.ann);
    house.write(&auditor, Method::POST, &path, &json!({ "advisor": house.tomas })).await.is(403, "forbidden");
    house
        .read(&auditor, "/v1/clients?as_of=2024-01-31&at_sequence=999999")
        .await
        .is(400, "invalid-parameter");
    house.read(&auditor, "/v1/clients?state=asleep").await.is(400, "invalid-parameter");
    house.read(&auditor, "/v1/clients?kind=robot").await.is(400, "invalid-parameter");
}

#[tokio::test]
async fn a_write_holds_to_what_was_read_and_says_what_stands_when_it_does_not() {
    let house = House::new().await;
    let profile = json!({ "objectives": ["growth"], "risk_tolerance": "high" });
    let party = format!("/v1/parties/{}", house.ann);
    let client = format!("/v1/clients/{}", house.ann);
    let profiles = format!("{client}/profiles");
    let administrator = house.daybook.administrator.clone();
    let write = async |method: Method, path: &str, tag: &str, body: &Value, key: &str| {
        let headers = [("content-type", "application/json"), ("if-match", tag), ("idempotency-key", key)];
        house.daybook.send(Some(&administrator), method, path, &headers, body.to_string()).await
    };
    let tag = async |path: &str| house.get(path).await.has(200).header("etag").to_owned();
    let of_client = tag(&client).await;
    let first = write(Method::POST, &profiles, &of_client, &profile, "1").await.has(201).json();
    let problem =
        write(Method::POST, &profiles, &of_client, &profile, "2").await.is(412, "precondition-failed");
    assert_eq!(problem["sequence"], first["event"], "{problem}");
    // The same attempt again finds what it did, whatever changed since.
    let again = write(Method::POST, &profiles, &of_client, &profile, "1").await.has(201);
    assert_eq!(again.header("idempotent-replayed"), "true");
    // Another client's changes are none of it, and any read of the same party will do.
    let of_party = tag(&party).await;
    house.patch(&format!("/v1/parties/{}", house.bo), &json!({ "tax_country": "SE" })).await.has(201);
    write(Method::PATCH, &party, &of_party, &json!({ "name": "Ann Berg" }), "3").await.has(201);
    let of_list = tag(&profiles).await;
    let (one, other) = tokio::join!(
        write(Method::POST, &profiles, &of_list, &profile, "4"),
        write(Method::POST, &profiles, &of_list, &profile, "5"),
    );
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 412], "{one} {other}");
    // Nothing is written on the strength of a view of the past.
    let past = tag(&format!("{client}?at_sequence={}", house.daybook.head())).await;
    write(Method::POST, &profiles, &past, &profile, "6").await.is(412, "precondition-failed");
    write(Method::POST, &profiles, "*", &profile, "7").await.has(201);
    let advisor = format!("/v1/advisors/{}", house.iris);
    let terms = format!("/v1/portfolios/{}/terms", house.hers);
    let mandate = format!("/v1/portfolios/{}/mandate", house.hers);
    for (read, method, path, body) in [
        (&advisor, Method::PATCH, &advisor, json!({ "name": "Iris" })),
        (&terms, Method::POST, &mandate, json!({ "mandate": "advisory" })),
    ] {
        let read = tag(read).await;
        write(method.clone(), path, &read, &body, &format!("{method}-a")).await.has(201);
        write(method.clone(), path, &read, &body, &format!("{method}-b"))
            .await
            .is(412, "precondition-failed");
    }
}

#[tokio::test]
async fn a_change_of_one_team_household_or_model_leaves_the_tags_of_the_others_good() {
    let house = House::new().await;
    let administrator = house.daybook.administrator.clone();
    let write = async |method: Method, path: &str, tag: &str, body: &Value| {
        let headers = [("content-type", "application/json"), ("if-match", tag)];
        house.daybook.send(Some(&administrator), method, path, &headers, body.to_string()).await
    };
    let tag = async |path: &str| house.get(path).await.has(200).header("etag").to_owned();
    let made = async |path: &str, body: Value| {
        let made = house.post(path, &body).await.has(201).json();
        (format!("{path}/{}", text(&made, "id")), made)
    };
    let team = async |name: &str| made("/v1/teams", json!({ "name": name, "members": [house.iris] })).await.0;
    let (north, south) = (team("North").await, team("South").await);
    let home = json!({ "name": "Home", "members": [house.ann] });
    let other = json!({ "name": "Other", "members": [house.bo] });
    let (home, other) = (made("/v1/households", home).await.0, made("/v1/households", other).await.0);
    let model = |name: &str, weight: &str| json!({ "name": name, "targets": [{ "sleeve": "bond", "weight": weight }] });
    let (calm, _) = made("/v1/models", model("Calm", "0.5")).await;
    let (bold, _) = made("/v1/models", model("Bold", "0.9")).await;
    let (calm_versions, bold_versions) = (format!("{calm}/versions"), format!("{bold}/versions"));
    let named = |name: &str| json!({ "name": name });
    let changes = [
        (&north, &south, Method::PATCH, &north, &south, named("A"), named("B")),
        (&home, &other, Method::PATCH, &home, &other, named("A"), named("B")),
        (&calm, &bold, Method::POST, &calm_versions, &bold_versions, model("A", "0.4"), model("B", "0.8")),
    ];
    for (mine, others, method, to_mine, to_others, first, second) in changes {
        let (seen, of_others) = (tag(mine).await, tag(others).await);
        let change = write(method.clone(), to_others, &of_others, &second).await.has(201);
        // What happened to the other is none of it, and what happened to itself is.
        write(method.clone(), to_mine, &of_others, &first).await.is(412, "precondition-failed");
        write(method.clone(), to_mine, &seen, &first).await.has(201);
        let stale = write(method.clone(), to_mine, &seen, &second).await;
        let problem = stale.is(412, "precondition-failed");
        assert_eq!(problem["current"]["sequence"], house.daybook.head(), "{problem}");
        write(method.clone(), to_others, &of_others, &second).await.is(412, "precondition-failed");
        // Two at once that concern different ones both go through.
        let (seen, of_others) = (tag(mine).await, tag(others).await);
        let (one, two) = tokio::join!(
            write(method.clone(), to_mine, &seen, &second),
            write(method.clone(), to_others, &of_others, &first),
        );
        one.has(201);
        two.has(201);
        // A reversal rests on the same.
        let change = change.json();
        let sequence = change["last_event"].as_u64().or(change["event"].as_u64()).unwrap();
        let reverse = format!("/v1/events/{sequence}/reverse");
        let of_others = tag(others).await;
        write(method.clone(), to_mine, &tag(mine).await, &first).await.has(201);
        let reason = json!({ "reason": "a slip" });
        write(Method::POST, &reverse, &tag(mine).await, &reason).await.is(412, "precondition-failed");
        write(Method::POST, &reverse, &of_others, &reason).await.has(201);
        write(method, to_others, &of_others, &second).await.is(412, "precondition-failed");
    }
}
