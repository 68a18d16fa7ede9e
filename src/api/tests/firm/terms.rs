//! The terms of portfolios: owners, mandates, benchmarks; and facts that are taken back.

use super::{House, NOBODY, day, names, text};
use daybook_schemas::events::Role;
use poem::http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_portfolio_is_opened_for_a_client_and_its_terms_are_read_as_of_any_day() {
    let house = House::new().await;
    house.daybook.price("ACME", "2024-01-05", "10").await;
    let base = format!("/v1/portfolios/{}", house.hers);
    let terms = house.get(&format!("{base}/terms")).await.has(200).json();
    assert_eq!(terms["owners"], json!([{ "party": house.ann, "name": "Ann Lind", "share": "1" }]));
    assert_eq!(terms["serving"][0]["advisors"][0]["name"], "Iris Vale");
    assert_eq!(terms.get("mandate"), None);
    house
        .post(&format!("{base}/mandate"), &json!({ "mandate": "advisory", "from": "2024-03-01" }))
        .await
        .has(201);
    house
        .post(&format!("{base}/mandate"), &json!({ "mandate": "discretionary", "from": "2024-06-01" }))
        .await
        .has(201);
    let chosen = json!({ "instrument": "acme", "from": "2024-03-01" });
    let chosen = house.post(&format!("{base}/benchmark"), &chosen).await.has(201).json();
    assert_eq!(chosen["benchmark"]["symbol"], "ACME");
    let read = async |day: &str| house.get(&format!("{base}/terms?as_of={day}")).await.has(200).json();
    assert_eq!(read("2024-05-31").await["mandate"]["mandate"], "advisory");
    assert_eq!(read("2024-06-01").await["mandate"]["mandate"], "discretionary");
    house.post(&format!("{base}/benchmark"), &json!({ "from": "2024-08-01" })).await.has(201);
    assert_eq!(read("2024-08-01").await.get("benchmark"), None);
    let history = house.get(&format!("{base}/terms/history")).await.json();
    assert_eq!(history["items"].as_array().unwrap().len(), 5);
    for (path, body, field, words) in [
        ("mandate", json!({}), "mandate", "required"),
        ("mandate", json!({ "mandate": "whatever" }), "mandate", "discretionary, advisory"),
        ("benchmark", json!({ "instrument": "ACMF" }), "instrument", "no instrument"),
    ] {
        house.refuses(&format!("{base}/{path}"), body, field, words).await;
    }
    let nobody = json!({ "name": "X", "client": NOBODY });
    house.post("/v1/portfolios", &nobody).await.is(404, "not-found");
    let odd = house.post("/v1/portfolios", &json!({ "name": "X", "client": "ann" })).await;
    assert!(odd.is(422, "invalid-input").to_string().contains("26 letters"));
    // The same request under one key opens one portfolio.
    let body = json!({ "name": "Once", "client": house.ann });
    let key = [("idempotency-key", "once")];
    let first = house.daybook.post_keyed("/v1/portfolios", &body, &key).await.has(201).json();
    assert_eq!(
        house.daybook.post_keyed("/v1/portfolios", &body, &key).await.has(201).json()["id"],
        first["id"]
    );
}

#[tokio::test]
async fn shares_sum_to_exactly_one_and_both_owners_see_the_portfolio() {
    let house = House::new().await;
    let path = format!("/v1/portfolios/{}/owners", house.hers);
    let owner = |party: &str, share: &str| json!({ "party": party, "share": share });
    for (owners, field, words) in [
        (json!([]), "owners", "name 1 to 100"),
        (json!([owner(&house.ann, "0.5")]), "owners", "sum to 0.5, not 1"),
        (json!([owner(&house.ann, "0.5"), owner(&house.bo, "0.6")]), "owners", "sum to 1.1"),
        (json!([owner(&house.ann, "0.333"), owner(&house.bo, "0.666")]), "owners", "sum to 0.999"),
        (json!([owner(&house.ann, "0"), owner(&house.bo, "1")]), "owners[0].share", "more than 0"),
        (json!([owner(&house.ann, "0.5"), owner(&house.ann, "0.5")]), "owners[1].party", "twice"),
        (json!([{ "party": house.ann }]), "owners[0].share", "required"),
    ] {
        house.refuses(&path, json!({ "owners": owners }), field, words).await;
    }
    let unknown = json!({ "owners": [owner(NOBODY, "1")] });
    house.refuses(&path, unknown, "owners[0].party", "there is no party").await;
    let early = json!({ "owners": [owner(&house.ann, "1")], "from": "2024-01-31" });
    house.refuses(&path, early, "owners[0].party", "becomes a client on 2024-02-01").await;

    let bo = house.token(Role::Client, &house.bo);
    let base = format!("/v1/portfolios/{}", house.hers);
    house.read(&bo, &base).await.is(404, "not-found");
    let both = json!({ "owners": [owner(&house.ann, "0.25"), owner(&house.bo, "0.75")] });
    house.post(&path, &both).await.has(201);
    house.read(&bo, &base).await.has(200);
    let seen = house.read(&bo, &format!("{base}/terms")).await.json();
    assert_eq!(seen["owners"], json!([{ "party": house.bo, "name": "Bo Berg", "share": "0.75" }]));
    let history = house.get(&path).await.json();
    let items = history["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["in_force"], &items[1]["in_force"]), (2, &json!(false), &json!(true)));
    let client = house.get(&format!("/v1/clients/{}", house.bo)).await.json();
    let owned: Vec<(&str, &str)> = client["portfolios"]
        .as_array()
        .unwrap()
        .iter()
        .map(|owned| (owned["name"].as_str().unwrap(), owned["share"].as_str().unwrap()))
        .collect();
    assert_eq!(owned, [("Hers", "0.75"), ("His", "1")]);
}

#[tokio::test]
async fn terms_set_at_once_are_all_kept_and_fills_do_not_stand_in_their_way() {
    let house = House::new().await;
    let base = format!("/v1/portfolios/{}", house.hers);
    let mandate = format!("{base}/mandate");
    let advisory = json!({ "mandate": "advisory", "from": "2024-03-01" });
    let execution = json!({ "mandate": "execution_only", "from": "2024-04-01" });
    let owners = json!({ "owners": [{ "party": house.bo, "share": "1" }], "from": "2024-05-01" });
    let path = format!("{base}/transactions");
    let deposit = json!({ "time": "2024-01-05", "type": "deposit", "amount": "5" });
    let owners_path = format!("{base}/owners");
    let (a, b, c, d, e) = tokio::join!(
        house.post(&mandate, &advisory),
        house.post(&path, &deposit),
        house.post(&mandate, &execution),
        house.post(&path, &deposit),
        house.post(&owners_path, &owners),
    );
    for answer in [a, b, c, d, e] {
        answer.has(201);
    }
    let history = house.get(&format!("{base}/terms/history")).await.json();
    assert_eq!(history["items"].as_array().unwrap().len(), 4, "{history}");
}

#[tokio::test]
async fn a_fact_that_never_was_is_taken_back_on_the_knowledge_axis_alone() {
    let house = House::new().await;
    let path = format!("/v1/clients/{}/profiles", house.ann);
    let profile =
        |risk: &str| json!({ "objectives": ["growth"], "risk_tolerance": risk, "from": "2024-03-01" });
    house.post(&path, &profile("low")).await.has(201);
    let wrong = house.post(&path, &profile("very_high")).await.has(201).json();
    let event = wrong["event"].as_u64().unwrap();
    let client = format!("/v1/clients/{}", house.ann);
    let risk = async |more: &str| {
        let read = house.get(&format!("{client}?as_of=2024-04-01{more}")).await.has(200).json();
        text(&read["profile"], "risk_tolerance")
    };
    assert_eq!(risk("").await, "very_high");
    let reverse = format!("/v1/events/{event}/reverse");
    let reason = json!({ "reason": "a slip of the pen" });
    let iris = house.token(Role::Advisor, &house.iris);
    house.write(&iris, Method::POST, &reverse, &reason).await.is(404, "not-found");
    let taken = house.post(&reverse, &reason).await.has(201).json();
    assert_eq!(risk("").await, "low");
    assert_eq!(risk(&format!("&at_sequence={event}")).await, "very_high");
    let problem = house.post(&reverse, &reason).await.is(409, "conflict");
    assert_eq!(problem["sequence"], taken["sequence"]);
    let listed = house.get(&path).await.json();
    assert_eq!(listed["items"][0]["reversed_by"], taken["sequence"]);
    let history = house.get(&format!("/v1/parties/{}/history", house.ann)).await.json();
    assert_eq!(
        history["items"].as_array().unwrap().last().unwrap()["reversed"]["reason"],
        "a slip of the pen"
    );
    // The number of a version is given once.
    assert_eq!(house.post(&path, &profile("medium")).await.has(201).json()["version"], 3);
}

#[tokio::test]
async fn owners_that_were_set_by_mistake_are_taken_back_and_reach_nothing_any_more() {
    let house = House::new().await;
    let path = format!("/v1/portfolios/{}/owners", house.hers);
    house.post(&path, &json!({ "owners": [{ "party": house.bo, "share": "1" }] })).await.has(201);
    let bo = house.token(Role::Client, &house.bo);
    let iris = house.token(Role::Advisor, &house.iris);
    let base = format!("/v1/portfolios/{}", house.hers);
    house.read(&bo, &base).await.has(200);
    house.read(&iris, &base).await.is(404, "not-found");
    let items = house.get(&path).await.json();
    let event = &items["items"][1]["event"];
    let tomas = house.token(Role::Advisor, &house.tomas);
    let reason = json!({ "reason": "the wrong client" });
    let reverse = format!("/v1/events/{event}/reverse");
    house.write(&tomas, Method::POST, &reverse, &reason).await.is(403, "forbidden");
    house.post(&reverse, &reason).await.has(201);
    house.read(&bo, &base).await.is(404, "not-found");
    house.read(&iris, &base).await.has(200);
    let terms = house.get(&format!("{base}/terms")).await.json();
    assert_eq!(terms["owners"][0]["name"], "Ann Lind");
    let listed = house.get("/v1/portfolios").await.has(200).json();
    assert_eq!(names(&listed), ["Hers", "His"]);
}

#[tokio::test]
async fn nobody_is_taken_back_while_something_rests_on_them() {
    let house = House::new().await;
    let first = async |path: String| {
        let history: Value = house.get(&path).await.has(200).json();
        history["items"][0]["event"].clone()
    };
    let reason = json!({ "reason": "never came" });
    for (path, words) in [
        (format!("/v1/parties/{}/history", house.ann), "owns portfolio"),
        (format!("/v1/advisors/{}/history", house.iris), "the advisor serves"),
    ] {
        let event = first(path).await;
        let problem = house.post(&format!("/v1/events/{event}/reverse"), &reason).await.is(409, "conflict");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    }
    let new = json!({ "kind": "person", "name": "Cora" });
    let cora = text(&house.post("/v1/parties", &new).await.has(201).json(), "id");
    let event = first(format!("/v1/parties/{cora}/history")).await;
    house.post(&format!("/v1/events/{event}/reverse"), &reason).await.has(201);
    house.get(&format!("/v1/clients/{cora}")).await.is(404, "not-found");
    assert_eq!(names(&house.get("/v1/clients").await.json()), ["Ann Lind", "Bo Berg"]);
    let token = house.get("/v1/events?stream=access").await.json()["items"][0]["sequence"].clone();
    let problem = house.post(&format!("/v1/events/{token}/reverse"), &reason).await.is(422, "invalid-input");
    assert!(problem["detail"].as_str().unwrap().contains("neither an entry of an account nor a fact"));
    assert_eq!(day(0).len(), 10);
}
