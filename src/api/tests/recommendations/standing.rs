//! What was offered and cannot be taken any more, and fills that are somebody else's, too small, or never were.

use super::*;

impl Firm {
    fn owners(&self, owners: &[(PartyId, &str)]) {
        let owners = owners.iter().map(|(party, share)| Ownership { party: *party, share: fraction(share) });
        let id: PortfolioId = self.anns.parse().unwrap();
        let set = PortfolioOwnersSet { owners: owners.collect(), from: since() };
        self.record(stream::portfolio(id), set);
    }

    /// A purchase in Ann's portfolio from now on, and its event.
    async fn bought(&self, quantity: &str) -> u64 {
        let when = now().plus_nanos(1_000_000).to_string();
        self.daybook.transact(&self.anns, buy(&when, "ACME", quantity, "10")).await
    }

    async fn execute(&self, advice: &Value, fills: &[u64]) -> Answer {
        self.post(&self.iris, &at(advice, "/execute"), &json!({ "fills": fills })).await
    }

    async fn accepted(&self, quantity: &str) -> Value {
        let advice = self.issue("ACME", quantity).await;
        self.step(&self.ann, &advice, "accept").await.has(201);
        advice
    }

    /// Whether Ann's view says that she can answer it.
    async fn is_answerable(&self, advice: &Value) -> bool {
        let view = self.get(&self.ann, &format!("/v1/views/client/{ANN}")).await.has(200).json();
        let all = view["recommendations"].as_array().unwrap();
        let shown = all.iter().find(|one| one["recommendation"] == advice["id"]);
        shown.unwrap()["answerable"].as_bool().unwrap()
    }
}

#[tokio::test]
async fn a_fill_carries_out_one_recommendation_alone() {
    let firm = Firm::new().await;
    let (first, second) = (firm.accepted("2").await, firm.accepted("2").await);
    let fill = firm.bought("2").await;
    firm.execute(&first, &[fill]).await.has(201);
    let problem = firm.execute(&second, &[fill]).await.is(422, "invalid-input");
    assert_eq!(problem["errors"][0]["field"], "fills[0]");
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains(first["id"].as_str().unwrap()), "{detail}");
    let problem = firm.step(&firm.iris, &second, "execute").await.is(422, "invalid-input");
    assert_eq!(problem["errors"][0]["field"], "fills", "nor is it found without a name");
    assert_eq!(firm.state(&second).await, "accepted");
    let own = firm.bought("2").await;
    let executed = firm.step(&firm.iris, &second, "execute").await.has(201).json();
    assert_eq!((&executed["state"], &executed["fills"]), (&json!("executed"), &json!([own])));
}

#[tokio::test]
async fn of_two_recommendations_executed_by_one_fill_at_once_one_is() {
    let firm = Firm::new().await;
    let (first, second) = (firm.accepted("2").await, firm.accepted("2").await);
    let fill = [firm.bought("2").await];
    let answers = tokio::join!(firm.execute(&first, &fill), firm.execute(&second, &fill));
    let states = [firm.state(&first).await, firm.state(&second).await];
    let executed = states.iter().filter(|state| **state == "executed").count();
    assert_eq!(executed, 1, "{states:?} {:?}", [answers.0.status, answers.1.status]);
}

#[tokio::test]
async fn what_was_carried_out_stands_beside_what_was_recommended() {
    let firm = Firm::new().await;
    let advice = firm.accepted("10").await;
    let before = firm.get(&firm.iris, &at(&advice, "")).await.has(200).json();
    assert_eq!((&before["fills"], &before["carried_out"]), (&json!([]), &json!([])));
    let fills = [firm.bought("0.0001").await, firm.bought("4").await];
    let answer = firm.execute(&advice, &fills).await.has(201).json();
    for told in [&answer, &firm.get(&firm.ann, &at(&advice, "")).await.has(200).json()] {
        let one = &told["carried_out"][0];
        assert_eq!(
            (&one["symbol"], &one["side"], &one["unit"]),
            (&json!("ACME"), &json!("buy"), &json!("units"))
        );
        assert_eq!((&one["advised"], &one["carried_out"]), (&json!("10"), &json!("4.0001")));
        assert_eq!(one["part"], "0.40001");
    }
    let mut asked = firm.advice("ACME", "1");
    asked["trades"] = json!([{ "symbol": "ACME", "side": "buy", "amount": "100" }]);
    let money = firm.post(&firm.iris, "/v1/recommendations", &asked).await.has(201).json();
    firm.step(&firm.ann, &money, "accept").await.has(201);
    let fill = firm.bought("9").await;
    let one = &firm.execute(&money, &[fill]).await.has(201).json()["carried_out"][0];
    assert_eq!(
        (&one["unit"], &one["carried_out"], &one["part"]),
        (&json!("amount"), &json!("90"), &json!("0.9"))
    );
}

#[tokio::test]
async fn after_its_fill_was_reversed_it_says_so_and_can_be_carried_out_again() {
    let firm = Firm::new().await;
    let advice = firm.accepted("2").await;
    let fill = firm.bought("2").await;
    firm.execute(&advice, &[fill]).await.has(201);
    let body = json!({ "reason": "it was another client's" });
    firm.daybook.post(&format!("/v1/events/{fill}/reverse"), &body).await.has(201);
    let read = firm.get(&firm.iris, &at(&advice, "")).await.has(200).json();
    assert_eq!((&read["state"], &read["fills"]), (&json!("accepted"), &json!([])));
    assert_eq!(
        (&read["reversed_fills"], &read["carried_out"][0]["carried_out"]),
        (&json!([fill]), &json!("0"))
    );
    let told = firm.get(&firm.iris, &at(&advice, "/history")).await.has(200).json();
    let last = told["items"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["fills"], &last["reversed_fills"]), (&json!([fill]), &json!([fill])));
    firm.execute(&advice, &[fill]).await.is(422, "invalid-input");
    let right = firm.bought("2").await;
    let again = firm.execute(&advice, &[right]).await.has(201).json();
    assert_eq!((&again["state"], &again["fills"]), (&json!("executed"), &json!([right])));
    assert_eq!(again["reversed_fills"], json!([fill]));
}

#[tokio::test]
async fn whoever_owns_the_portfolio_no_longer_accepts_nothing_in_any_name() {
    let firm = Firm::new().await;
    firm.owners(&[(ANN, "0.6"), (BO, "0.4")]);
    let advice = firm.issue("ACME", "1").await;
    assert!(firm.is_answerable(&advice).await);
    firm.owners(&[(BO, "1")]);
    for token in [&firm.daybook.administrator, &firm.tomas] {
        let problem = firm.step(token, &advice, "accept").await.is(409, "conflict");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(&ANN.to_string()) && detail.contains("does not own"), "{detail}");
    }
    assert_eq!(firm.state(&advice).await, "issued");
    firm.owners(&[(ANN, "0.5"), (BO, "0.5")]);
    firm.step(&firm.ann, &advice, "accept").await.has(201);
}

#[tokio::test]
async fn of_owners_with_equal_shares_one_is_named() {
    let firm = Firm::new().await;
    firm.owners(&[(BO, "0.5"), (ANN, "0.5")]);
    let mut asked = firm.advice("ACME", "1");
    asked["advisor"] = json!(IRIS);
    let administrator = &firm.daybook.administrator;
    for (token, named) in [(administrator, format!("{ANN}, {BO}")), (&firm.iris, ANN.to_string())] {
        let problem = firm.post(token, "/v1/recommendations", &asked).await.is(422, "invalid-input");
        assert_eq!(problem["errors"][0]["field"], "party");
        let detail = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.ends_with(&format!("name one of {named}")), "{detail}");
    }
    asked["party"] = json!(BO);
    let issued = firm.post(administrator, "/v1/recommendations", &asked).await.has(201).json();
    assert_eq!(issued["party"], BO.to_string());
    asked["party"] = Value::Null;
    firm.owners(&[(BO, "0.4"), (ANN, "0.6")]);
    let issued = firm.post(&firm.iris, "/v1/recommendations", &asked).await.has(201).json();
    assert_eq!(issued["party"], ANN.to_string());
}

#[tokio::test]
async fn a_profile_that_came_since_decides_whether_an_offer_still_stands() {
    let firm = Firm::new().await;
    let (first, second) = (firm.issue("ACME", "1").await, firm.issue("ACME", "2").await);
    firm.record(stream::party(ANN), profile(2));
    assert!(firm.is_answerable(&first).await, "the new one says nothing against it");
    firm.step(&firm.ann, &first, "accept").await.has(201);
    let mut strict = profile(3);
    strict.exclusions.push(Exclusion { dimension: Dimension::Instrument, value: "ACME".into() });
    firm.record(stream::party(ANN), strict);
    assert!(!firm.is_answerable(&second).await);
    for token in [&firm.ann, &firm.iris] {
        let problem = firm.step(token, &second, "accept").await.is(409, "conflict");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("version 3") && detail.contains("exclusion:instrument:ACME"), "{detail}");
        assert!(detail.contains("issue it anew"), "{detail}");
    }
    assert_eq!(firm.state(&second).await, "issued");
    firm.step(&firm.ann, &second, "decline").await.has(201);
}

#[tokio::test]
async fn an_offer_on_a_profile_that_never_was_does_not_stand() {
    let firm = Firm::new().await;
    firm.record(stream::party(ANN), InvestmentProfileSet { exclusions: Vec::new(), ..profile(2) });
    let set = firm.daybook.journal.library().unwrap().applied();
    let mut asked = firm.advice("SMOKE", "1");
    asked["profile_version"] = json!(2);
    let advice = firm.post(&firm.iris, "/v1/recommendations", &asked).await.has(201).json();
    assert_eq!(advice["state"], "issued");
    assert!(firm.is_answerable(&advice).await);
    let body = json!({ "reason": "she never said so" });
    firm.daybook.post(&format!("/v1/events/{set}/reverse"), &body).await.has(201);
    assert!(!firm.is_answerable(&advice).await);
    let problem = firm.step(&firm.ann, &advice, "accept").await.is(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("version 1 is in force"));
}

#[tokio::test]
async fn a_client_is_not_told_which_one_that_they_never_saw_took_the_place_of_another() {
    let firm = Firm::new().await;
    let old = firm.issue("ACME", "1").await;
    let mut asked = firm.advice("SMOKE", "1");
    asked["replaces"] = old["id"].clone();
    let new = firm.post(&firm.iris, "/v1/recommendations", &asked).await.has(201).json();
    assert_eq!(new["state"], "blocked");
    let read = firm.get(&firm.ann, &at(&old, "")).await.has(200).json();
    assert_eq!((&read["state"], read.get("replaced_by")), (&json!("replaced"), None));
    let list = firm.get(&firm.ann, "/v1/recommendations").await.has(200).json();
    assert!(!list.to_string().contains(new["id"].as_str().unwrap()));
    let read = firm.get(&firm.iris, &at(&old, "")).await.has(200).json();
    assert_eq!(read["replaced_by"], new["id"]);
}
