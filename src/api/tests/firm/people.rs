//! Advisors, parties, teams and households: joined, changed, left.

use super::{House, NOBODY, day, names, text};
use daybook_schemas::events::Role;
use poem::http::Method;
use serde_json::json;

#[tokio::test]
async fn an_advisor_is_registered_once_under_one_key_and_listed_with_clients_and_teams() {
    let house = House::new().await;
    let daybook = &house.daybook;
    let body = json!({ "name": "Uma Field", "licence": "L-77", "contact": { "email": "uma@example.org", "telephone": "+1 555 0100" } });
    let key = [("idempotency-key", "uma")];
    let first = daybook.post_keyed("/v1/advisors", &body, &key).await.has(201);
    assert!(first.header("location").starts_with("/v1/advisors/"), "{first}");
    let again = daybook.post_keyed("/v1/advisors", &body, &key).await.has(201);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.json()["id"], first.json()["id"]);
    daybook
        .post_keyed("/v1/advisors", &json!({ "name": "Other" }), &key)
        .await
        .is(409, "idempotency-key-reused");
    let id = text(&first.json(), "id");
    house.post("/v1/teams", &json!({ "name": "North", "members": [id, house.iris] })).await.has(201);
    let read = house.get(&format!("/v1/advisors/{id}")).await.has(200).json();
    assert_eq!(read["name"], "Uma Field");
    assert_eq!(read["licence"], "L-77");
    assert_eq!(read["contact"], json!({ "email": "uma@example.org", "telephone": "+1 555 0100" }));
    assert_eq!(read["teams"][0]["name"], "North");
    assert_eq!((&read["state"], &read["as_of"]), (&json!("active"), &json!(day(0))));
    assert_eq!(read["sequence"], daybook.head());
    let iris = house.get(&format!("/v1/advisors/{}", house.iris)).await.json();
    assert_eq!(iris["clients"][0]["name"], "Ann Lind");
    let page = house.get("/v1/advisors?limit=2").await.has(200).json();
    assert_eq!(names(&page), ["Iris Vale", "Tomas Rune"]);
    let next =
        house.get(&format!("/v1/advisors?limit=2&cursor={}", page["next"].as_str().unwrap())).await.json();
    assert_eq!(names(&next), ["Uma Field"]);
    assert!(next["next"].is_null());
}

#[tokio::test]
async fn what_is_wrong_with_a_person_is_named_field_by_field() {
    let house = House::new().await;
    let long = "x".repeat(201);
    for (body, field, words) in [
        (json!({ "name": "" }), "name", "required"),
        (json!({ "name": long }), "name", "200 bytes"),
        (json!({ "name": "A\u{202e}nn" }), "name", "printable"),
        (json!({ "name": "A", "contact": {} }), "contact", "email, telephone or address"),
        (json!({ "name": "A", "contact": { "email": "nowhere" } }), "contact.email", "one address"),
        (json!({ "name": "A", "contact": { "telephone": "call me" } }), "contact.telephone", "digits"),
        (json!({ "name": "A", "from": "tomorrow" }), "from", "tomorrow"),
        (json!({ "name": "A", "from": "2024-02-30" }), "from", "2024-02-30"),
        (json!({ "from": "2024-02-03" }), "name", "required"),
        (json!({ "name": 7 }), "name", "in quotes"),
    ] {
        house.refuses("/v1/advisors", body, field, words).await;
    }
    let (ann, bo) = (house.ann.as_str(), house.bo.as_str());
    for (body, field, words) in [
        (json!({ "kind": "person" }), "name", "required"),
        (json!({ "kind": "robot", "name": "A" }), "kind", "person, joint, trust, entity"),
        (json!({ "kind": "other:robot", "name": "A" }), "kind", "person, joint, trust, entity"),
        (json!({ "kind": "person", "name": "A", "members": [ann] }), "members", "no members"),
        (json!({ "kind": "joint", "name": "A", "members": [ann] }), "members", "two persons"),
        (json!({ "kind": "joint", "name": "A", "members": [ann, ann] }), "members", "twice"),
        (json!({ "kind": "joint", "name": "A", "members": [ann, NOBODY] }), "members", "there is no party"),
        (json!({ "kind": "trust", "name": "A", "members": ["abc"] }), "members[0]", "26 letters"),
        (
            json!({ "kind": "trust", "name": "A", "members": [bo], "on": "2024-01-31" }),
            "members",
            "no party yet",
        ),
        (json!({ "kind": "person", "name": "A", "tax_country": "UK" }), "tax_country", "GB"),
        (json!({ "kind": "person", "name": "A", "tax_country": "ZZ" }), "tax_country", "ISO 3166"),
        (json!({ "kind": "person", "name": "A", "advisor": NOBODY }), "advisor", "there is no advisor"),
        (
            json!({ "kind": "person", "name": "A", "advisor": house.iris, "on": "2023-12-31" }),
            "advisor",
            "not on 2023-12-31",
        ),
    ] {
        house.refuses("/v1/parties", body, field, words).await;
    }
    house
        .post("/v1/parties", &json!({ "kind": "person", "name": "A", "nickname": "B" }))
        .await
        .is(400, "unknown-field");
}

#[tokio::test]
async fn joint_holders_are_persons_and_nobody_stands_behind_themselves() {
    let house = House::new().await;
    let make = async |kind: &str, name: &str, members: &[&str]| {
        let body = json!({ "kind": kind, "name": name, "members": members });
        text(&house.post("/v1/parties", &body).await.has(201).json(), "id")
    };
    let both = make("joint", "Ann and Bo", &[&house.ann, &house.bo]).await;
    let trust = make("trust", "The Trust", &[&both]).await;
    let company = make("entity", "The Company", &[&trust]).await;
    let body = json!({ "kind": "joint", "name": "Odd", "members": [house.ann, trust] });
    house.refuses("/v1/parties", body, "members", "joint holders are persons").await;
    let before = house.daybook.head();
    for party in [&trust, &company] {
        let path = format!("/v1/parties/{trust}");
        let problem = house.patch(&path, &json!({ "members": [party] })).await.is(422, "invalid-input");
        assert!(problem.to_string().contains("behind itself"), "{problem}");
    }
    assert_eq!(house.daybook.head(), before);
    let read = house.get(&format!("/v1/parties/{both}")).await.json();
    let members: Vec<&str> =
        read["members"].as_array().unwrap().iter().filter_map(|member| member["name"].as_str()).collect();
    assert_eq!(members.len(), 2, "{read}");
    let clients = house.get("/v1/clients?kind=entity").await.has(200).json();
    assert_eq!(names(&clients), ["The Company"]);
    let detail = house.get(&format!("/v1/clients/{}", house.ann)).await.json();
    assert_eq!(detail["behind"][0]["name"], "Ann and Bo");
}

#[tokio::test]
async fn a_change_holds_from_its_day_on_and_the_history_keeps_what_was() {
    let house = House::new().await;
    let path = format!("/v1/parties/{}", house.ann);
    let change = json!({ "name": "Ann Berg", "contact": { "email": "ann@example.org" }, "tax_country": "se", "from": "2024-06-01" });
    let changed = house.patch(&path, &change).await.has(201).json();
    assert_eq!((&changed["name"], &changed["tax_country"]), (&json!("Ann Berg"), &json!("SE")));
    assert_eq!(changed["as_of"], "2024-06-01");
    let on = async |day: &str| text(&house.get(&format!("{path}?as_of={day}")).await.has(200).json(), "name");
    assert_eq!(on("2024-05-31").await, "Ann Lind");
    assert_eq!(on("2024-06-01").await, "Ann Berg");
    // What is left out stays; what is null is known no more.
    let cleared = house.patch(&path, &json!({ "contact": null, "from": "2024-07-01" })).await.has(201).json();
    assert_eq!((cleared.get("contact"), &cleared["name"]), (None, &json!("Ann Berg")));
    assert_eq!(cleared["tax_country"], "SE");
    let problem = house.patch(&path, &json!({})).await.is(422, "invalid-input");
    assert!(problem.to_string().contains("nothing changes"), "{problem}");
    let early = json!({ "name": "X", "from": "2024-01-31" });
    let problem = house.patch(&path, &early).await.is(422, "invalid-input");
    assert!(problem.to_string().contains("becomes a client on 2024-02-01"), "{problem}");
    house.get(&format!("{path}?as_of=2024-01-31")).await.is(404, "not-found");
    let history = house.get(&format!("{path}/history")).await.has(200).json();
    let kinds: Vec<&str> =
        history["items"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["PartyOnboarded", "ClientAssigned", "PartyAmended", "PartyAmended"]);
    assert_eq!(history["items"][2]["fact"]["contact"]["email"], "ann@example.org");
    assert_eq!(history["items"][2]["from"], "2024-06-01");
    assert!(history["items"][0]["actor"].as_str().unwrap().starts_with("administrator"));
    let bounded = house.get(&format!("{path}/history?as_of=2024-06-01")).await.json();
    assert_eq!(bounded["items"].as_array().unwrap().len(), 3);
    // Known at the sequence before the change, nothing of it was known.
    let before = history["items"][2]["event"].as_u64().unwrap() - 1;
    let known = house.get(&format!("{path}?at_sequence={before}")).await.json();
    assert_eq!((&known["name"], &known["sequence"]), (&json!("Ann Lind"), &json!(before)));
}

#[tokio::test]
async fn an_advisor_who_leaves_passes_the_clients_on_and_everything_left_behind_is_named() {
    let house = House::new().await;
    let token = house.token(Role::Advisor, &house.iris);
    house.post("/v1/teams", &json!({ "name": "North", "members": [house.iris, house.tomas] })).await.has(201);
    let path = format!("/v1/advisors/{}/departure", house.iris);
    for (body, field, words) in [
        (json!({}), "on", "required"),
        (json!({ "on": "2023-12-31" }), "on", "joins on 2024-01-01"),
        (json!({ "on": day(0), "successor": house.iris }), "successor", "their own successor"),
        (json!({ "on": day(0), "successor": NOBODY }), "successor", "there is no advisor"),
    ] {
        house.refuses(&path, body, field, words).await;
    }
    let yesterday = day(-1);
    let body = json!({ "on": yesterday, "successor": house.tomas });
    let left = house.daybook.post_keyed(&path, &body, &[("idempotency-key", "bye")]).await.has(201).json();
    assert_eq!(left["clients"][0]["client"]["name"], "Ann Lind");
    assert_eq!(left["clients"][0]["served_by"][0]["name"], "Tomas Rune");
    assert_eq!(left["teams"][0]["name"], "North");
    assert_eq!(left["tokens"].as_array().unwrap().len(), 1);
    let again = house.daybook.post_keyed(&path, &body, &[("idempotency-key", "bye")]).await.has(201);
    assert_eq!(again.json(), left);
    house.post(&path, &body).await.is(409, "conflict");
    // The token opens nothing any more, and the successor's list has the client.
    let seen = house.read(&token, "/v1/clients").await.has(200).json();
    assert_eq!(seen["items"], json!([]));
    house.read(&token, &format!("/v1/clients/{}", house.ann)).await.is(404, "not-found");
    let tomas = house.token(Role::Advisor, &house.tomas);
    let seen = house.read(&tomas, "/v1/clients").await.json();
    assert_eq!(names(&seen), ["Ann Lind", "Bo Berg"]);
    assert_eq!(names(&house.get("/v1/advisors").await.json()), ["Tomas Rune"]);
    assert_eq!(names(&house.get("/v1/advisors?state=departed").await.json()), ["Iris Vale"]);
    let before = format!("/v1/clients?advisor={}&as_of={yesterday}", house.iris);
    assert_eq!(names(&house.get(&before).await.json()), ["Ann Lind"]);
}

#[tokio::test]
async fn a_party_that_leaves_is_a_former_client_and_what_it_still_owns_is_named() {
    let house = House::new().await;
    let path = format!("/v1/parties/{}/offboarding", house.ann);
    house.refuses(&path, json!({ "on": "2024-01-01" }), "on", "becomes a client on 2024-02-01").await;
    let body = json!({ "on": day(0), "reason": "moved abroad" });
    let left = house.post(&path, &body).await.has(201).json();
    assert_eq!(left["portfolios"], json!([house.hers]));
    house.post(&path, &body).await.is(409, "conflict");
    let tomorrow = day(1);
    assert_eq!(names(&house.get(&format!("/v1/clients?as_of={tomorrow}")).await.json()), ["Bo Berg"]);
    let former = house.get(&format!("/v1/clients?state=former&as_of={tomorrow}")).await.json();
    assert_eq!(names(&former), ["Ann Lind"]);
    assert_eq!(former["items"][0]["advisors"], json!([]));
    let history = house.get(&format!("/v1/parties/{}/history", house.ann)).await.json();
    assert_eq!(history["items"].as_array().unwrap().last().unwrap()["fact"]["reason"], "moved abroad");
    let late = json!({ "advisor": house.iris, "from": tomorrow });
    let assignments = format!("/v1/clients/{}/assignments", house.ann);
    house.refuses(&assignments, late, "from", "was a client to").await;
}

#[tokio::test]
async fn a_party_that_left_comes_back_under_its_id_and_no_other_does() {
    let house = House::new().await;
    let back = |on: String| json!({ "party": house.ann, "kind": "person", "name": "Ann Berg", "on": on, "advisor": house.tomas });
    let problem = house.post("/v1/parties", &back(day(1))).await.is(409, "conflict");
    assert!(problem.to_string().contains("change what is known of it instead"), "{problem}");
    let left = json!({ "on": day(-10) });
    house.post(&format!("/v1/parties/{}/offboarding", house.ann), &left).await.has(201);
    house.refuses("/v1/parties", back(day(-10)), "on", "a client to").await;
    let mut other = back(day(-2));
    other["kind"] = json!("trust");
    house.refuses("/v1/parties", other.clone(), "kind", "was a person").await;
    other["party"] = json!(NOBODY);
    house.refuses("/v1/parties", other, "party", "there is no party").await;
    // An advisor may not know of a client of the past.
    let iris = house.token(Role::Advisor, &house.iris);
    let mut own = back(day(-2));
    own["advisor"] = json!(house.iris);
    house.write(&iris, Method::POST, "/v1/parties", &own).await.is(404, "not-found");
    let party = house.post("/v1/parties", &back(day(-2))).await.has(201).json();
    assert_eq!((&party["id"], &party["from"]), (&json!(house.ann), &json!(day(-2))), "{party}");
    let read = async |on: i32| {
        house.get(&format!("/v1/parties/{}?as_of={}", house.ann, day(on))).await.has(200).json()
    };
    let (before, between, now) = (read(-10).await, read(-5).await, read(0).await);
    let states = [&before["state"], &between["state"], &now["state"]];
    assert_eq!(states, [&json!("client"), &json!("former"), &json!("client")]);
    assert_eq!((&between["name"], &now["name"]), (&json!("Ann Lind"), &json!("Ann Berg")));
    assert!(now.get("until").is_none(), "{now}");
    let tomas = house.token(Role::Advisor, &house.tomas);
    house.read(&tomas, &format!("/v1/clients/{}", house.ann)).await.has(200);
    house.read(&iris, &format!("/v1/clients/{}", house.ann)).await.is(404, "not-found");
    house.post("/v1/parties", &back(day(1))).await.is(409, "conflict");
}

#[tokio::test]
async fn teams_and_households_change_over_time() {
    let house = House::new().await;
    let (ann, bo) = (house.ann.as_str(), house.bo.as_str());
    for (path, body, field, words) in [
        ("/v1/teams", json!({ "members": [house.iris] }), "name", "required"),
        ("/v1/teams", json!({ "name": "North" }), "members", "required"),
        ("/v1/teams", json!({ "name": "North", "members": [] }), "members", "at least one"),
        ("/v1/teams", json!({ "name": "North", "members": [house.iris, house.iris] }), "members", "twice"),
        ("/v1/teams", json!({ "name": "North", "members": [NOBODY] }), "members", "there is no advisor"),
        ("/v1/households", json!({ "name": "Home", "members": [] }), "members", "at least one"),
        ("/v1/households", json!({ "name": "Home", "members": [NOBODY] }), "members", "no party"),
        (
            "/v1/households",
            json!({ "name": "Home", "members": [ann], "from": "2024-01-15" }),
            "members",
            "no party on 2024-01-15",
        ),
    ] {
        house.refuses(path, body, field, words).await;
    }
    let team = json!({ "name": "North", "members": [house.iris], "from": "2024-03-01" });
    let team = text(&house.post("/v1/teams", &team).await.has(201).json(), "id");
    let path = format!("/v1/teams/{team}");
    house.patch(&path, &json!({ "members": [house.tomas], "from": "2024-04-01" })).await.has(201);
    let on = async |path: &str, day: &str| house.get(&format!("{path}?as_of={day}")).await.has(200).json();
    assert_eq!(on(&path, "2024-03-31").await["members"][0]["name"], "Iris Vale");
    let later = on(&path, "2024-04-01").await;
    assert_eq!((&later["members"][0]["name"], &later["name"]), (&json!("Tomas Rune"), &json!("North")));
    house.get(&format!("{path}?as_of=2024-02-29")).await.is(404, "not-found");
    let early = house.patch(&path, &json!({ "name": "South", "from": "2024-02-01" })).await;
    assert!(early.is(422, "invalid-input").to_string().contains("no such team yet"));
    let history = house.get(&format!("{path}/history")).await.json();
    assert_eq!(history["items"].as_array().unwrap().len(), 2);

    let home = json!({ "name": "Home", "members": [ann], "from": "2024-03-01" });
    let home = text(&house.post("/v1/households", &home).await.has(201).json(), "id");
    let other = json!({ "name": "Other", "members": [bo, ann], "from": "2024-03-05" });
    house.refuses("/v1/households", other, "members", "belongs to household").await;
    let path = format!("/v1/households/{home}");
    house.patch(&path, &json!({ "members": [bo, ann], "from": "2024-05-01" })).await.has(201);
    let later = on(&path, "2024-05-01").await;
    assert_eq!((&later["name"], later["members"].as_array().unwrap().len()), (&json!("Home"), 2));
    let clients = house.get(&format!("/v1/clients?household={home}&as_of=2024-03-02")).await.json();
    assert_eq!(names(&clients), ["Ann Lind"]);
    assert_eq!(clients["items"][0]["household"]["name"], "Home");
    // An advisor sees of a household only whom they serve.
    let iris = house.token(Role::Advisor, &house.iris);
    let seen = house.read(&iris, &path).await.has(200).json();
    assert_eq!(seen["members"], json!([{ "party": ann, "name": "Ann Lind" }]));
    house.patch(&path, &json!({ "members": [] })).await.has(201);
    let gone = house.get(&path).await.json();
    assert_eq!(gone["members"], json!([]));
}

#[tokio::test]
async fn an_advisor_onboards_clients_of_their_own_and_changes_no_others() {
    let house = House::new().await;
    let iris = house.token(Role::Advisor, &house.iris);
    let new = json!({ "kind": "person", "name": "Cora Dahl" });
    let made = house.write(&iris, Method::POST, "/v1/parties", &new).await.has(201).json();
    let cora = text(&made, "id");
    let seen = house.read(&iris, &format!("/v1/clients/{cora}")).await.has(200).json();
    assert_eq!(seen["advisors"][0]["advisor"], house.iris);
    let other = json!({ "kind": "person", "name": "Dan", "advisor": house.tomas });
    house.write(&iris, Method::POST, "/v1/parties", &other).await.is(404, "not-found");
    let with = json!({ "kind": "trust", "name": "Trust", "members": [house.bo] });
    house.write(&iris, Method::POST, "/v1/parties", &with).await.is(404, "not-found");
    let name = json!({ "name": "Changed" });
    let of = |id: &str| format!("/v1/parties/{id}");
    house.write(&iris, Method::PATCH, &of(&house.bo), &name).await.is(404, "not-found");
    house.write(&iris, Method::PATCH, &of(&cora), &name).await.has(201);
    let opened = json!({ "name": "Hers", "client": cora });
    let opened = house.write(&iris, Method::POST, "/v1/portfolios", &opened).await.has(201).json();
    house.read(&iris, &format!("/v1/portfolios/{}", text(&opened, "id"))).await.has(200);
    let nobodys = house.write(&iris, Method::POST, "/v1/portfolios", &json!({ "name": "Mine" })).await;
    assert!(nobodys.is(422, "invalid-input").to_string().contains("client"));
    let others = json!({ "name": "His", "client": house.bo });
    house.write(&iris, Method::POST, "/v1/portfolios", &others).await.is(404, "not-found");
}
