//! Orders placed through Daybook: recorded first, sent once, and followed until nothing more becomes of them.

use super::books::BROKER;
use super::broker::{Broker, Call, Method};
use super::wire;
use crate::journal::{Draft, Journal, JournalError};
use crate::sync::alpaca_http::Answer;
use crate::sync::board::Source;
use crate::sync::instruments::{SymbolError, known_symbol};
use daybook_projections::{Order, Resolution};
use daybook_schemas::events::{
    IdentifierScheme, OrderKind, OrderStatus, OrderSubmitted, OrderUpdated, Side, TimeInForce,
};
use daybook_schemas::{
    AccountId, BrokerOrderId, InstrumentId, OrderId, PortfolioId, Price, Quantity, Timestamp, stream,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How long after it was recorded an order that the broker does not know counts as never sent.
const LOST_AFTER: Duration = Duration::from_secs(120);

/// The id under which the broker knows an order of ours; the strategy stands before it, so that fills carry it.
pub(crate) fn client_order_id(order: OrderId, strategy: Option<&str>) -> String {
    strategy.map_or_else(|| order.to_string(), |strategy| format!("{strategy}:{order}"))
}

/// The body that places an order.
fn body(order: &OrderSubmitted, symbol: &str) -> Vec<u8> {
    let kind = match &order.kind {
        OrderKind::Market => "market",
        OrderKind::Limit => "limit",
        OrderKind::Stop => "stop",
        OrderKind::StopLimit => "stop_limit",
        OrderKind::TrailingStop => "trailing_stop",
        OrderKind::Other(text) => text,
    };
    let time_in_force = match &order.time_in_force {
        TimeInForce::Day => "day",
        TimeInForce::GoodTillCancelled => "gtc",
        TimeInForce::AtOpen => "opg",
        TimeInForce::AtClose => "cls",
        TimeInForce::ImmediateOrCancel => "ioc",
        TimeInForce::FillOrKill => "fok",
        TimeInForce::Other(text) => text,
    };
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    put("symbol", Some(json!(symbol)));
    put("side", Some(json!(if order.side == Side::Sell { "sell" } else { "buy" })));
    put("type", Some(json!(kind)));
    put("time_in_force", Some(json!(time_in_force)));
    put("qty", order.quantity.map(|quantity| json!(quantity.to_string())));
    put("notional", order.amount.map(|amount| json!(amount.amount().to_string())));
    put("limit_price", order.limit.map(|price| json!(price.to_string())));
    put("stop_price", order.stop.map(|price| json!(price.to_string())));
    put("client_order_id", order.client_order_id.as_ref().map(|id| json!(id)));
    put("extended_hours", order.extended_hours.then_some(Value::Bool(true)));
    Value::Object(fields).to_string().into_bytes()
}

/// The broker's word for what became of an order, in ours.
fn status(text: &str) -> OrderStatus {
    match text {
        "accepted" | "pending_new" | "accepted_for_bidding" | "held" => OrderStatus::Accepted,
        "new" | "pending_cancel" | "pending_replace" | "stopped" | "calculated" | "done_for_day" => {
            OrderStatus::Working
        }
        "partially_filled" => OrderStatus::PartiallyFilled,
        "filled" => OrderStatus::Filled,
        "canceled" => OrderStatus::Cancelled,
        "replaced" => OrderStatus::Replaced,
        "rejected" => OrderStatus::Rejected,
        "expired" => OrderStatus::Expired,
        other => OrderStatus::Other(other.into()),
    }
}

/// What the broker says of an order of ours, as an event.
fn update(order: OrderId, said: &wire::Order, now: Timestamp) -> OrderUpdated {
    OrderUpdated {
        order: Some(order),
        broker_order: Some(BrokerOrderId::new(said.id.as_str())),
        status: status(&said.status),
        filled: said.filled_qty.map(|filled| Quantity::new(filled.0)),
        average_price: said.filled_avg_price.map(|price| Price::new(price.0)),
        reason: None,
        at: said.updated_at.as_deref().and_then(|text| Timestamp::parse(text).ok()).unwrap_or(now),
    }
}

fn refused(order: OrderId, reason: &str, now: Timestamp) -> OrderUpdated {
    OrderUpdated {
        order: Some(order),
        broker_order: None,
        status: OrderStatus::Rejected,
        filled: None,
        average_price: None,
        reason: Some(reason.chars().take(300).collect::<String>().into()),
        at: now,
    }
}

/// Sends an order that is recorded, and says what is to be recorded of the answer; nothing, if nobody knows whether it
/// arrived: following it finds out.
pub(crate) async fn send(
    broker: &dyn Broker,
    order: &OrderSubmitted,
    symbol: &str,
    now: Timestamp,
) -> Option<OrderUpdated> {
    let call = Call {
        method: Method::Post,
        path: "/v2/orders".to_owned(),
        query: Vec::new(),
        body: Some(body(order, symbol)),
    };
    match broker.call(&call).await {
        Ok(answer @ Answer { status: 200..=299, .. }) => {
            let said: wire::Order = serde_json::from_slice(&answer.body).ok()?;
            Some(update(order.order, &said, now))
        }
        // It was read and refused. Of anything else nobody knows what the broker did with it.
        Ok(answer @ Answer { status: 400..=428 | 430..=499, .. }) => {
            Some(refused(order.order, &answer.excerpt(), now))
        }
        Ok(answer) => {
            tracing::warn!(order = %order.order, status = answer.status, "whether the order arrived is not known yet");
            None
        }
        Err(error) => {
            tracing::warn!(order = %order.order, "whether the order arrived is not known yet: {error}");
            None
        }
    }
}

/// What the broker's list of orders says that is new of ours.
pub(crate) fn news(
    journal: &Journal,
    portfolio: PortfolioId,
    listed: &[wire::Order],
    now: Timestamp,
) -> Result<Vec<Draft>, JournalError> {
    let ours = journal.orders(portfolio, u64::MAX)?;
    let mut drafts = Vec::new();
    for order in ours.list().filter(|order| !order.is_done()) {
        let said = listed.iter().find(|said| {
            let by_broker = order.broker_order.as_ref().is_some_and(|id| id.as_str() == said.id);
            by_broker
                || said.client_order_id.is_some()
                    && said.client_order_id.as_deref() == order.submitted.client_order_id.as_deref()
        });
        let Some(said) = said else { continue };
        let update = update(order.submitted.order, said, now);
        let same = order.status.as_ref() == Some(&update.status)
            && order.filled.unwrap_or_default() == update.filled.unwrap_or_default();
        if !same {
            drafts.push(Draft::new(stream::portfolio(portfolio), update.at, update));
        }
    }
    Ok(drafts)
}

/// The orders of an account of which nobody knows whether they arrived.
pub(crate) fn unanswered(
    journal: &Journal,
    portfolio: PortfolioId,
    account: AccountId,
    now: Timestamp,
) -> Result<Vec<Order>, JournalError> {
    let lost_after = i64::try_from(LOST_AFTER.as_nanos()).unwrap_or(i64::MAX);
    let orders = journal.orders(portfolio, u64::MAX)?;
    Ok(orders
        .list()
        .filter(|order| {
            order.submitted.account == account
                && order.status.is_none()
                && order.submitted_at.plus_nanos(lost_after) <= now
        })
        .cloned()
        .collect())
}

/// Asks the broker for an order by the id that it was given here.
pub(crate) fn asking_for(order: &Order) -> Option<Call> {
    let id = order.submitted.client_order_id.as_deref()?;
    Some(Call::get("/v2/orders:by_client_order_id", vec![("client_order_id", id.to_owned())]))
}

/// What is to be recorded of an order that was asked for: what the broker says, or that it never arrived.
pub(crate) fn found_out(order: &Order, answer: &Answer, now: Timestamp) -> Option<OrderUpdated> {
    match answer.status {
        200..=299 => {
            let said: wire::Order = serde_json::from_slice(&answer.body).ok()?;
            Some(update(order.submitted.order, &said, now))
        }
        404 => Some(refused(order.submitted.order, "it never reached the broker", now)),
        _ => None,
    }
}

/// An account in which orders may be placed.
#[derive(Clone)]
pub(crate) struct Counter {
    /// The source that keeps the account in step.
    pub(crate) source: Arc<Source>,
    /// The portfolio it belongs to.
    pub(crate) portfolio: PortfolioId,
    /// Whether clients may place orders in it for themselves.
    pub(crate) for_clients: bool,
    /// The broker.
    pub(crate) broker: Arc<dyn Broker>,
}

impl std::fmt::Debug for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counter")
            .field("name", &self.source.name)
            .field("portfolio", &self.portfolio)
            .finish()
    }
}

/// What somebody wants to have traded.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    /// The symbol.
    pub(crate) symbol: String,
    /// Which way.
    pub(crate) side: Side,
    /// Units.
    pub(crate) quantity: Option<Quantity>,
    /// Money, in the place of units.
    pub(crate) amount: Option<rust_decimal::Decimal>,
    /// On what terms.
    pub(crate) kind: OrderKind,
    /// For how long.
    pub(crate) time_in_force: TimeInForce,
    /// The limit price.
    pub(crate) limit: Option<Price>,
    /// The stop price.
    pub(crate) stop: Option<Price>,
    /// The way of trading.
    pub(crate) strategy: Option<String>,
    /// Whether it may trade outside regular hours.
    pub(crate) extended_hours: bool,
}

/// Checks a ticket and turns it into what is recorded.
pub(crate) fn submission(
    journal: &Journal,
    counter: &Counter,
    ticket: &Ticket,
) -> Result<(OrderSubmitted, String), JournalError> {
    let symbol = crate::importers::symbols::read(&ticket.symbol)
        .map_err(|why| JournalError::field("symbol", why))?
        .text;
    let instrument = tradable(journal, &symbol, ticket.side == Side::Sell)?;
    let (account, currency) = {
        let library = journal.library()?;
        let portfolio = library
            .directory
            .get(counter.portfolio)
            .ok_or_else(|| JournalError::not_found("portfolio", counter.portfolio))?;
        // The account is the one that the keys opened, whatever it is called: an order is sent with these keys.
        let opened = counter.source.status().account;
        let account = portfolio
            .accounts
            .iter()
            .filter(|(_, account)| !account.unlinked && account.linked.broker.as_deref() == Some(BROKER))
            .find(|(_, account)| {
                let external = account.linked.external_id.as_ref();
                opened.is_some() && external.map(daybook_schemas::ExternalId::as_str) == opened.as_deref()
            })
            .map(|(id, _)| *id)
            .ok_or_else(|| JournalError::Conflict {
                detail: format!(
                    "`{}` has not been synchronised yet, so its account is not known: wait until /sync says that it is current",
                    counter.source.name
                ),
                sequence: None,
            })?;
        let currency = library.instruments.get(instrument).map(|known| known.currency);
        (account, currency.unwrap_or(portfolio.base_currency))
    };
    let order = Journal::new_order_id()?;
    let needs = |present: bool, field: &str, why: &str| {
        if present { Ok(()) } else { Err(JournalError::field(field, why)) }
    };
    needs(
        ticket.quantity.is_some() != ticket.amount.is_some(),
        "quantity",
        "an order states either `quantity` (units) or `amount` (money)",
    )?;
    let positive =
        |value: Option<rust_decimal::Decimal>| value.is_none_or(|value| value > rust_decimal::Decimal::ZERO);
    needs(positive(ticket.quantity.map(Quantity::get)), "quantity", "it is positive: `side` says which way")?;
    needs(positive(ticket.amount), "amount", "it is positive: `side` says which way")?;
    needs(positive(ticket.limit.map(Price::get)), "limit", "it is positive")?;
    needs(positive(ticket.stop.map(Price::get)), "stop", "it is positive")?;
    let limited = matches!(ticket.kind, OrderKind::Limit | OrderKind::StopLimit);
    let stopped = matches!(ticket.kind, OrderKind::Stop | OrderKind::StopLimit);
    needs(
        limited == ticket.limit.is_some(),
        "limit",
        "a `limit` or `stop_limit` order states it, and no other does",
    )?;
    needs(
        stopped == ticket.stop.is_some(),
        "stop",
        "a `stop` or `stop_limit` order states it, and no other does",
    )?;
    let strategy = ticket.strategy.as_deref().map(str::trim);
    let plain = |name: &str| {
        (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
    };
    needs(
        strategy.is_none_or(plain),
        "strategy",
        "for an order it has 1 to 64 visible ASCII characters and no colon",
    )?;
    let submitted = OrderSubmitted {
        order,
        account,
        instrument,
        side: ticket.side.clone(),
        effect: daybook_schemas::events::Effect::Unstated,
        kind: ticket.kind.clone(),
        time_in_force: ticket.time_in_force.clone(),
        quantity: ticket.quantity,
        amount: ticket.amount.map(|amount| daybook_schemas::Money::new(amount, currency)),
        limit: ticket.limit,
        stop: ticket.stop,
        client_order_id: Some(client_order_id(order, strategy).into()),
        strategy: strategy.map(daybook_schemas::Strategy::new),
        plan: None,
        recommendation: None,
        extended_hours: ticket.extended_hours,
    };
    Ok((submitted, symbol))
}

/// The instrument that a symbol means today. What is sold may be held though no list has it; what is bought must be on the
/// list, where there is one.
fn tradable(journal: &Journal, symbol: &str, held: bool) -> Result<InstrumentId, JournalError> {
    let library = journal.library()?;
    match known_symbol(journal, &library, symbol, held) {
        Ok(_) => {}
        Err(SymbolError::Unknown(unknown)) => return Err(JournalError::field("symbol", unknown.to_string())),
        Err(SymbolError::Journal(error)) => return Err(error),
    }
    match library.instruments.resolve(&IdentifierScheme::Symbol, symbol, None, None, None) {
        Resolution::One(id) => Ok(id),
        Resolution::Ambiguous(_) => Err(JournalError::field(
            "symbol",
            format!("`{symbol}` means several instruments: give it as the broker writes it"),
        )),
        Resolution::Unknown => {
            Err(JournalError::field("symbol", format!("no instrument is known as `{symbol}`")))
        }
    }
}
