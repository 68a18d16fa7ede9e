//! Orders: recorded before they are sent, sent once, and refused where they may not be placed.

use super::Daybook;
use crate::journal::{Author, Draft, Terms, now};
use crate::sync::alpaca::orders::Counter;
use crate::sync::alpaca::{Broker, Call, Deaf, Ear};
use crate::sync::alpaca_http::{Answer, Unreachable};
use crate::sync::board::State;
use async_trait::async_trait;
use daybook_ledger::CursorMove;
use daybook_schemas::events::{
    AccountKind, AccountLinked, Effect, IdentifierAssigned, IdentifierScheme, InstrumentClass, Mandate,
    MandateSet, OrderKind, OrderSubmitted, Ownership, PartyKind, PartyOnboarded, PortfolioOwnersSet, Role,
    Side, TimeInForce,
};
use daybook_schemas::{
    AccountId, Day, ExternalId, Fraction, InstrumentId, KeyId, OrderId, PartyId, PortfolioId, Quantity,
    Sealed, stream,
};
use poem::http::Method;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// A broker that says what it was told to say, and remembers what it was asked.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Result<Answer, Unreachable>>>,
    asked: Mutex<Vec<Value>>,
}

impl Scripted {
    fn say(&self, status: u16, body: &Value) {
        let answer = Answer { status, body: body.to_string().into_bytes() };
        self.answers.lock().unwrap().push_back(Ok(answer));
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Broker for Scripted {
    async fn call(&self, call: &Call) -> Result<Answer, Unreachable> {
        let body = serde_json::from_slice(call.body.as_deref().unwrap_or_default()).unwrap_or_default();
        self.asked.lock().unwrap().push(body);
        let next = self.answers.lock().unwrap().pop_front();
        next.unwrap_or(Err(Unreachable::Truncated))
    }

    async fn listen(&self) -> Result<Box<dyn Ear>, Deaf> {
        Err(Deaf("nobody listens to it".to_owned()))
    }
}

const ACCOUNT: AccountId = AccountId::from_bytes([5; 16]);

/// Alpaca's id of it.
const AT_ALPACA: &str = "904837e3-3b76-47ec-b432-046db621571b";

/// Links an account at Alpaca.
fn link(daybook: &Daybook, portfolio: &str) -> PortfolioId {
    let portfolio: PortfolioId = portfolio.parse().unwrap();
    let name =
        Sealed::seal(&daybook.journal.keys(), KeyId::Portfolio(portfolio), &"main".to_owned()).unwrap();
    let linked = AccountLinked {
        account: ACCOUNT,
        kind: AccountKind::Paper,
        name,
        broker: Some("alpaca".into()),
        number: None,
        external_id: Some(ExternalId::new(AT_ALPACA)),
    };
    let draft = Draft::new(stream::portfolio(portfolio), now(), linked);
    daybook.journal.record(&Author::operator(), vec![draft], Terms::default()).unwrap();
    portfolio
}

/// A source and an order, so that every list has something to show.
pub(super) fn furnish(daybook: &Daybook, portfolio: &str) {
    let portfolio = link(daybook, portfolio);
    let source = daybook.shared.board.add("main", "alpaca", Some(portfolio));
    source.update(|status| status.state = State::Current);
    let instrument = daybook.journal.library().unwrap().instruments.list().next().unwrap().id;
    let submitted = OrderSubmitted {
        order: OrderId::from_bytes([6; 16]),
        account: ACCOUNT,
        instrument,
        side: Side::Buy,
        effect: Effect::Unstated,
        kind: OrderKind::Market,
        time_in_force: TimeInForce::Day,
        quantity: Some(Quantity::new(1.into())),
        amount: None,
        limit: None,
        stop: None,
        client_order_id: None,
        strategy: None,
        plan: None,
        recommendation: None,
        extended_hours: false,
    };
    daybook.journal.submit_order(&Author::operator(), portfolio, submitted, None).unwrap();
}

async fn trading() -> (Daybook, String, Arc<Scripted>) {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    daybook.transact(&mine, super::buy("2024-01-03", "ACME", "10", "10")).await;
    let portfolio = link(&daybook, &mine);
    let broker = Arc::new(Scripted::default());
    let source = daybook.shared.board.add("main", "alpaca", Some(portfolio));
    source.update(|status| status.account = Some(AT_ALPACA.to_owned()));
    daybook.shared.open_counter(Counter { source, portfolio, for_clients: true, broker: broker.clone() });
    (daybook, mine, broker)
}

#[tokio::test]
async fn orders_are_off_unless_somebody_switched_them_on() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let path = format!("/v1/portfolios/{mine}/orders");
    let order = json!({ "symbol": "ACME", "side": "buy", "quantity": "1" });
    let refused = daybook.post(&path, &order).await.is(409, "conflict");
    assert!(refused["detail"].as_str().unwrap().contains("orders = true"), "{refused}");
    assert_eq!(daybook.get(&path).await.has(200).json()["items"], json!([]));
}

#[tokio::test]
async fn an_order_is_recorded_and_sent_once_however_often_it_is_asked_for() {
    let (daybook, mine, broker) = trading().await;
    let path = format!("/v1/portfolios/{mine}/orders");
    broker.say(200, &json!({ "id": "b-1", "status": "accepted", "filled_qty": "0" }));
    let order = json!({ "symbol": "acme", "side": "buy", "quantity": "2.5", "kind": "limit", "limit": "9.99", "strategy": "swing" });
    let key = [("idempotency-key", "once")];
    let made = daybook.post_keyed(&path, &order, &key).await.has(201).json();
    assert_eq!((&made["status"], &made["broker_order"]), (&json!("accepted"), &json!("b-1")));
    let again = daybook.post_keyed(&path, &order, &key).await.has(201).json();
    assert_eq!(again["id"], made["id"]);
    let asked = broker.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(
        asked[0],
        json!({ "symbol": "ACME", "side": "buy", "type": "limit", "time_in_force": "day", "qty": "2.5",
                "limit_price": "9.99", "client_order_id": format!("swing:{}", made["id"].as_str().unwrap()) })
    );
    let listed = daybook.get(&path).await.has(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0], again);
}

#[tokio::test]
async fn what_the_broker_refuses_is_told_and_what_it_does_not_answer_stays_open() {
    let (daybook, mine, broker) = trading().await;
    let path = format!("/v1/portfolios/{mine}/orders");
    let order = json!({ "symbol": "ACME", "side": "sell", "quantity": "1000000" });
    broker.say(403, &json!({ "code": 40_310_000, "message": "insufficient qty available for order" }));
    let refused = daybook.post(&path, &order).await.has(201).json();
    assert_eq!(refused["status"], "rejected");
    assert_eq!(refused["reason"], "insufficient qty available for order");
    let open = daybook.post(&path, &order).await.has(201).json();
    assert_eq!(open["status"], "submitted");
    broker.say(500, &json!({ "message": "internal server error" }));
    assert_eq!(daybook.post(&path, &order).await.has(201).json()["status"], "submitted");
    assert_eq!(daybook.get(&path).await.has(200).json()["items"].as_array().unwrap().len(), 3);
    assert_eq!(broker.asked().len(), 3, "what is not answered is not sent again");
    // Nor is it when it is asked for again under the key of the first attempt.
    let key = [("idempotency-key", "lost")];
    let lost = daybook.post_keyed(&path, &order, &key).await.has(201).json();
    let again = daybook.post_keyed(&path, &order, &key).await.has(201).json();
    assert_eq!((&again["id"], &again["status"]), (&lost["id"], &json!("submitted")));
    assert_eq!(broker.asked().len(), 4);
}

#[tokio::test]
async fn an_order_waits_for_the_account_that_its_keys_open() {
    let (daybook, mine, broker) = trading().await;
    let path = format!("/v1/portfolios/{mine}/orders");
    let order = json!({ "symbol": "ACME", "side": "buy", "quantity": "1" });
    // The portfolio has an account at Alpaca, and the keys are another's.
    for opened in [None, Some("another".to_owned())] {
        daybook.shared.board.get("main").unwrap().update(|status| status.account = opened);
        daybook.post(&path, &order).await.is(409, "conflict");
    }
    assert_eq!(broker.asked(), Vec::<Value>::new());
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused_by_its_field_and_never_sent() {
    let (daybook, mine, broker) = trading().await;
    let path = format!("/v1/portfolios/{mine}/orders");
    for (order, field) in [
        (json!({ "symbol": "ACMEE", "side": "buy", "quantity": "1" }), "symbol"),
        (json!({ "symbol": "ACME", "side": "hold", "quantity": "1" }), "side"),
        (json!({ "symbol": "ACME", "side": "", "quantity": "1" }), "side"),
        (json!({ "symbol": "ACME", "side": "buy" }), "quantity"),
        (json!({ "symbol": "ACME", "side": "buy", "quantity": "1", "amount": "5" }), "quantity"),
        (json!({ "symbol": "ACME", "side": "buy", "quantity": "-1" }), "quantity"),
        (json!({ "symbol": "ACME", "side": "buy", "quantity": "one" }), "quantity"),
        (json!({ "symbol": "ACME", "side": "buy", "quantity": "1", "kind": "limit" }), "limit"),
        (json!({ "symbol": "ACME", "side": "buy", "quantity": "1", "stop": "5" }), "stop"),
        (json!({ "symbol": "ACME", "side": "buy", "quantity": "1", "strategy": "a:b" }), "strategy"),
        (
            json!({ "symbol": "ACME", "side": "buy", "quantity": "1", "extended_hours": "yes" }),
            "extended_hours",
        ),
    ] {
        let answer = daybook.post(&path, &order).await.has(422).json();
        assert!(answer.to_string().contains(&format!("\"{field}\"")), "{field}: {answer}");
    }
    assert_eq!(broker.asked(), Vec::<Value>::new());
    assert_eq!(daybook.get(&path).await.has(200).json()["items"], json!([]));
}

#[tokio::test]
async fn what_is_on_no_list_cannot_be_bought_and_can_be_sold() {
    let (daybook, mine, broker) = trading().await;
    let path = format!("/v1/portfolios/{mine}/orders");
    super::instruments::list(&daybook, 1, "ACMX", "Acme Tools", InstrumentClass::Equity);
    let cursor = CursorMove { source: "instruments".into(), to: b"read"[..].into() };
    let renamed = IdentifierAssigned {
        instrument: InstrumentId::from_bytes([1; 16]),
        scheme: IdentifierScheme::Cusip,
        value: "037833100".into(),
        venue: None,
        from: None,
        to: None,
    };
    let draft = Draft::new(stream::instrument(renamed.instrument), now(), renamed);
    let terms = Terms { cursors: vec![cursor], ..Terms::default() };
    daybook.journal.record(&Author::operator(), vec![draft], terms).unwrap();
    let order = |symbol: &str, side: &str| json!({ "symbol": symbol, "side": side, "quantity": "1" });
    let refused = daybook.post(&path, &order("ACME", "buy")).await.has(422).json();
    assert!(
        refused.to_string().contains("`ACME` is in no list of instruments (the nearest is ACMX)"),
        "{refused}"
    );
    assert_eq!(broker.asked(), Vec::<Value>::new());
    for listed in [order("ACMX", "buy"), order("ACME", "sell")] {
        broker.say(200, &json!({ "id": "b", "status": "accepted", "filled_qty": "0" }));
        daybook.post(&path, &listed).await.has(201);
    }
    assert_eq!(broker.asked().len(), 2);
}

/// A client who owns a portfolio under a mandate, by token.
pub(super) fn client_of(
    daybook: &Daybook,
    portfolio: PortfolioId,
    mandate: Option<Mandate>,
    number: u8,
) -> String {
    let party = PartyId::from_bytes([number; 16]);
    let key = KeyId::Party(party);
    daybook.journal.add_keys(&[(key, [number; 64])]).unwrap();
    let name = Sealed::seal(&daybook.journal.keys(), key, &"Anna".to_owned()).unwrap();
    let on = Day::parse("2021-01-01").unwrap();
    let onboarded = PartyOnboarded {
        party,
        kind: PartyKind::Person,
        name,
        contact: None,
        members: Vec::new(),
        tax_country: None,
        on,
    };
    let whole = Fraction::new(1.into());
    let owned = PortfolioOwnersSet { owners: vec![Ownership { party, share: whole }], from: on };
    let mut drafts = vec![
        Draft::new(stream::party(party), now(), onboarded),
        Draft::new(stream::portfolio(portfolio), now(), owned),
    ];
    if let Some(mandate) = mandate {
        drafts.push(Draft::new(stream::portfolio(portfolio), now(), MandateSet { mandate, from: on }));
    }
    daybook.journal.record(&Author::operator(), drafts, Terms::default()).unwrap();
    daybook.token_of(Role::Client, Some(&party.to_string()), Vec::new())
}

#[tokio::test]
async fn a_client_orders_where_mandate_and_operator_leave_it_to_the_client() {
    for (number, (mandate, operator, may)) in [
        (Some(Mandate::ExecutionOnly), true, true),
        (Some(Mandate::Advisory), true, true),
        (Some(Mandate::Discretionary), true, false),
        (None, true, false),
        (Some(Mandate::ExecutionOnly), false, false),
    ]
    .into_iter()
    .enumerate()
    {
        let daybook = Daybook::new();
        let mine = daybook.portfolio("Mine").await;
        daybook.transact(&mine, super::buy("2024-01-03", "ACME", "10", "10")).await;
        let portfolio = link(&daybook, &mine);
        let broker = Arc::new(Scripted::default());
        let source = daybook.shared.board.add("main", "alpaca", Some(portfolio));
        source.update(|status| status.account = Some(AT_ALPACA.to_owned()));
        let counter = Counter { source, portfolio, for_clients: operator, broker: broker.clone() };
        daybook.shared.open_counter(counter);
        let client = client_of(&daybook, portfolio, mandate.clone(), u8::try_from(number + 20).unwrap());
        broker.say(200, &json!({ "id": "b1", "status": "accepted", "filled_qty": "0" }));
        let path = format!("/v1/portfolios/{mine}/orders");
        let order = json!({ "symbol": "ACME", "side": "sell", "quantity": "1" }).to_string();
        let headers = [("content-type", "application/json")];
        let answer = daybook.send(Some(&client), Method::POST, &path, &headers, order.clone()).await;
        if may {
            answer.has(201);
            assert_eq!(broker.asked().len(), 1);
        } else {
            let problem = answer.is(403, "forbidden");
            let about = if operator { "mandate" } else { "client_orders" };
            assert!(problem["detail"].as_str().unwrap().contains(about), "{mandate:?} {problem}");
            assert!(broker.asked().is_empty());
        }
        // What belongs to others is not there, whatever the mandate.
        let other = daybook.portfolio("Other").await;
        let path = format!("/v1/portfolios/{other}/orders");
        daybook.send(Some(&client), Method::POST, &path, &headers, order).await.is(404, "not-found");
    }
}
