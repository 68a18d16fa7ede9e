//! Orders: placed where an account is linked and the operator switched it on, and followed until they are done.

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::attempt::{self, Attempt};
use super::body::{Fields, Form, Input};
use super::page::{Limit, List, Page, Pin};
use super::precondition::{Precondition, Standing};
use super::problem::{Kind, Problem};
use super::record::record;
use super::scalar::{Account, Exact, Instrument, Portfolio, Sequence, Time};
use super::service::Service;
use super::tags::Tag;
use crate::journal::{Journal, Terms, decode, now};
use crate::sync::alpaca::orders::{Ticket, send, submission};
use daybook_projections::{Library, Order};
use daybook_schemas::events::{Mandate, OrderKind, Role, Side, TimeInForce};
use daybook_schemas::{Event, PortfolioId, Price, Quantity, decimal};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use rust_decimal::Decimal;

record! {
    /// An order and what became of it.
    OrderItem {
        /// Its id here
        id: String,
        /// The event that submitted it
        sequence: Sequence,
        /// The account it trades in
        account: Account,
        /// The symbol
        symbol: Option<String>,
        /// The instrument
        instrument: Instrument,
        /// `buy` or `sell`
        side: String,
        /// `market`, `limit`, `stop`, `stop_limit`
        kind: String,
        /// `day`, `gtc`, `opg`, `cls`, `ioc`, `fok`
        time_in_force: String,
        /// Units, where it is stated in units
        quantity: Option<Exact>,
        /// Money, where it is stated in money
        amount: Option<Exact>,
        /// The limit price
        limit: Option<Exact>,
        /// The stop price
        stop: Option<Exact>,
        /// The trader's way of trading
        strategy: Option<String>,
        /// Whether it may trade outside regular hours
        extended_hours: bool,
        /// `submitted` until the broker said something; then `accepted`, `working`, `partially_filled`, `filled`, `cancelled`, `replaced`, `rejected` or `expired`
        status: String,
        /// The broker's reason, for what was refused
        reason: Option<String>,
        /// Units filled so far
        filled: Option<Exact>,
        /// The average price of what is filled
        average_price: Option<Exact>,
        /// The broker's id of it
        broker_order: Option<String>,
        /// The id that it was given at the broker
        client_order_id: Option<String>,
        /// When it was submitted
        submitted_at: Time,
        /// When it changed last, as the broker says
        updated_at: Option<Time>,
    }
}

record! {
    /// An order to be placed. It states either units or money.
    OrderRequest {
        /// The symbol
        symbol: String,
        /// `buy` or `sell`
        side: String,
        /// Units, positive
        quantity: Option<String>,
        /// Money, positive, in the place of units
        amount: Option<String>,
        /// `market` (the default), `limit`, `stop`, `stop_limit`
        kind: Option<String>,
        /// `day` (the default), `gtc`, `opg`, `cls`, `ioc`, `fok`
        time_in_force: Option<String>,
        /// The limit price
        limit: Option<String>,
        /// The stop price
        stop: Option<String>,
        /// The trader's way of trading: the fills come tagged with it
        strategy: Option<String>,
        /// The source of `/sync` to place it through, where the portfolio has several
        source: Option<String>,
        /// Whether it may trade outside regular hours
        extended_hours: Option<bool>,
    }
}

const KINDS: [(&str, OrderKind); 4] = [
    ("market", OrderKind::Market),
    ("limit", OrderKind::Limit),
    ("stop", OrderKind::Stop),
    ("stop_limit", OrderKind::StopLimit),
];
const TIMES: [(&str, TimeInForce); 6] = [
    ("day", TimeInForce::Day),
    ("gtc", TimeInForce::GoodTillCancelled),
    ("opg", TimeInForce::AtOpen),
    ("cls", TimeInForce::AtClose),
    ("ioc", TimeInForce::ImmediateOrCancel),
    ("fok", TimeInForce::FillOrKill),
];
const SIDES: [(&str, Side); 2] = [("buy", Side::Buy), ("sell", Side::Sell)];

fn choice<T: Clone>(text: Option<&str>, choices: &[(&str, T)], usual: &T) -> Result<T, String> {
    let Some(text) = text else { return Ok(usual.clone()) };
    choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| choice.clone()).ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        format!("write one of {}", words.join(", "))
    })
}

fn number(text: Option<&str>) -> Result<Option<Decimal>, String> {
    text.map(decimal::parse).transpose()
}

impl OrderRequest {
    /// What is wanted, or what is wrong with each field.
    fn ticket(&self) -> Result<Ticket, Vec<(&'static str, String)>> {
        let mut faults = Vec::new();
        let ticket = Ticket {
            symbol: self.symbol.clone(),
            side: noted(&mut faults, "side", choice(Some(&self.side), &SIDES, &Side::Buy), Side::Buy),
            quantity: noted(&mut faults, "quantity", number(self.quantity.as_deref()), None)
                .map(Quantity::new),
            amount: noted(&mut faults, "amount", number(self.amount.as_deref()), None),
            kind: noted(
                &mut faults,
                "kind",
                choice(self.kind.as_deref(), &KINDS, &OrderKind::Market),
                OrderKind::Market,
            ),
            time_in_force: noted(
                &mut faults,
                "time_in_force",
                choice(self.time_in_force.as_deref(), &TIMES, &TimeInForce::Day),
                TimeInForce::Day,
            ),
            limit: noted(&mut faults, "limit", number(self.limit.as_deref()), None).map(Price::new),
            stop: noted(&mut faults, "stop", number(self.stop.as_deref()), None).map(Price::new),
            strategy: self.strategy.clone(),
            extended_hours: self.extended_hours.unwrap_or(false),
        };
        if faults.is_empty() { Ok(ticket) } else { Err(faults) }
    }
}

/// What was read, or the usual and a note of what is wrong.
fn noted<T>(
    faults: &mut Vec<(&'static str, String)>,
    field: &'static str,
    read: Result<T, String>,
    usual: T,
) -> T {
    read.unwrap_or_else(|fault| {
        faults.push((field, fault));
        usual
    })
}

impl Form for OrderRequest {
    fn read(fields: &mut Fields) -> Self {
        let request = Self {
            symbol: fields.required_text("symbol"),
            side: fields.required_text("side"),
            quantity: fields.text("quantity"),
            amount: fields.text("amount"),
            kind: fields.text("kind"),
            time_in_force: fields.text("time_in_force"),
            limit: fields.text("limit"),
            stop: fields.text("stop"),
            strategy: fields.text("strategy"),
            source: fields.text("source"),
            extended_hours: fields.flag("extended_hours"),
        };
        if let Err(faults) = request.ticket() {
            for (field, fault) in faults {
                // One that is not there is found out already.
                if !fields.is_faulty(field) {
                    fields.fault(field, fault);
                }
            }
        }
        request
    }
}

/// The routes of orders.
pub(super) struct Orders(pub(super) Service);

#[OpenApi(tag = "Tag::Orders")]
impl Orders {
    /// List the orders that were placed through Daybook, newest first
    #[oai(path = "/portfolios/:id/orders", method = "get", operation_id = "listOrders")]
    async fn list(
        &self,
        _caller: Caller,
        question: Question,
        /// The portfolio
        id: Path<Portfolio>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<OrderItem>>, Problem> {
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let portfolio = id.0.0;
        self.0
            .blocking(move |journal| {
                let library = journal.library()?;
                let pin = page.pinned(library.applied(), Pin::known(library.applied()))?;
                if library.directory.get(portfolio).is_none_or(|entry| entry.opened > pin.known) {
                    return Err(Problem::not_found("portfolio", portfolio));
                }
                let orders = journal.orders(portfolio, pin.known)?;
                let newest: Vec<&Order> = orders.list().rev().collect();
                let last = newest.iter().map(|order| order.last_sequence).max().unwrap_or(0);
                // What an instrument is called changes without its orders.
                let standing = match page.pin {
                    Some(pin) => Standing::fixed(pin.known),
                    None => Standing::seen(&library, portfolio),
                };
                let seen = [last, newest.len() as u64, library.instruments.changed_at()];
                let tag = question.tag_of(&standing, &seen);
                Found::new(tag, || {
                    let key = |order: &&Order| order.submitted.order.to_string();
                    page.cut(pin, newest, key, |order| Ok(shown(&library, order)))
                })
            })
            .await
    }

    /// Place an order
    ///
    /// It is recorded before it is sent, and sent once. Where the broker's answer is lost, the order stays `submitted`
    /// until the synchronisation finds out what became of it. Fills arrive like any other fill. Orders are off unless
    /// the operator switched them on, for the service and for the account. A client places orders in an own portfolio
    /// where the operator allows that too and the mandate, `advisory` or `execution_only`, leaves the decision to the
    /// client.
    #[oai(path = "/portfolios/:id/orders", method = "post", operation_id = "placeOrder")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn place(
        &self,
        caller: Caller,
        attempt: Attempt,
        precondition: Precondition,
        /// The portfolio
        id: Path<Portfolio>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        /// The ETag of a read of the portfolio: the write is refused if it changed since
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        input: Input<OrderRequest>,
    ) -> Result<Made<OrderItem>, Problem> {
        let key = attempt.commit_key(&caller, &input.canonical);
        let portfolio = id.0.0;
        let source = input.value.source.clone();
        let ticket = input
            .value
            .ticket()
            .map_err(|_| Problem::internal("an order that was read twice differently"))?;
        if let Some(made) = self
            .0
            .blocking({
                let key = key.clone();
                move |journal| {
                    if journal.library()?.directory.get(portfolio).is_none() {
                        return Err(Problem::not_found("portfolio", portfolio));
                    }
                    let Some(commit) = attempt::earlier(journal, key.as_ref())? else { return Ok(None) };
                    let sequence = commit.sequences.last().copied().unwrap_or(commit.head);
                    Ok(Some(made(&found(journal, portfolio, sequence)?).replayed(true)))
                }
            })
            .await?
        {
            return Ok(made);
        }
        let mut counters = self.0.shared.counters(portfolio);
        if *caller.role() == Role::Client {
            self.0.blocking(move |journal| decides(journal, portfolio)).await?;
            counters.retain(|counter| counter.for_clients);
            if counters.is_empty() {
                return Err(Problem::forbidden(
                    "clients may place no orders in this portfolio: the operator allows it with `client_orders = true`, where orders are switched on at all",
                ));
            }
        }
        let mut fitting = counters
            .into_iter()
            .filter(|counter| source.as_ref().is_none_or(|name| counter.source.name == *name));
        let Some(counter) = fitting.next() else {
            return Err(Problem::new(
                Kind::Conflict,
                "no account in which orders may be placed is bound to this portfolio: the operator switches them on with `orders = true`, for the service and for the account",
            ));
        };
        if fitting.next().is_some() {
            return Err(Problem::parameter(
                "source",
                "several accounts are bound to this portfolio: say which, by its name in /sync",
            ));
        }
        let author = caller.author();
        let (submitted, symbol, sequence, already) = self
            .0
            .blocking({
                let (author, counter) = (author.clone(), counter.clone());
                move |journal| {
                    let (submitted, symbol) = submission(journal, &counter, &ticket)?;
                    let written = precondition.guard(
                        || Standing::of_portfolio(journal, portfolio),
                        |expected| {
                            let terms = Terms { commit_key: key.clone(), expected, ..Terms::default() };
                            journal.submit_order(&author, portfolio, submitted.clone(), terms)
                        },
                    );
                    let (sequence, already) = attempt::done(journal, key.as_ref(), written)?;
                    Ok((submitted, symbol, sequence, already))
                }
            })
            .await?;
        if !already && let Some(update) = send(&*counter.broker, &submitted, &symbol, now()).await {
            let author = author.through("alpaca");
            self.0.blocking(move |journal| Ok(journal.update_order(&author, portfolio, update)?)).await?;
        }
        self.0
            .blocking(move |journal| Ok(made(&found(journal, portfolio, sequence)?).replayed(already)))
            .await
    }
}

/// Whether the client of a portfolio decides on its trades.
fn decides(journal: &Journal, portfolio: PortfolioId) -> Result<(), Problem> {
    let library = journal.library()?;
    let entry = library.directory.get(portfolio);
    match entry.ok_or_else(|| Problem::not_found("portfolio", portfolio))?.mandate.as_ref() {
        Some(Mandate::Advisory | Mandate::ExecutionOnly) => Ok(()),
        Some(mandate) => Err(Problem::forbidden(format!(
            "the portfolio's mandate is {mandate}, which leaves its trades to the firm: ask your advisor"
        ))),
        None => Err(Problem::forbidden(
            "the portfolio has no mandate that leaves its trades to its client: ask your advisor to have one set",
        )),
    }
}

fn made(order: &OrderItem) -> Made<OrderItem> {
    Made::new(order).at(&format!("/events/{}", order.sequence.0))
}

/// The order that an event submitted.
fn found(journal: &Journal, portfolio: PortfolioId, sequence: u64) -> Result<OrderItem, Problem> {
    let event = decode(&journal.event(sequence)?.view())?;
    let Event::OrderSubmitted(submitted) = event else { return Err(Problem::key_reused(sequence)) };
    let orders = journal.orders(portfolio, u64::MAX)?;
    let order = orders.get(submitted.order).ok_or_else(|| Problem::not_found("order", submitted.order))?;
    Ok(shown(&*journal.library()?, order))
}

fn shown(library: &Library, order: &Order) -> OrderItem {
    let submitted = &order.submitted;
    let symbol = library.instruments.symbol(submitted.instrument, None).map(str::to_owned);
    OrderItem {
        id: submitted.order.to_string(),
        sequence: Sequence(order.sequence),
        account: Account(submitted.account),
        symbol,
        instrument: Instrument(submitted.instrument),
        side: submitted.side.to_string(),
        kind: submitted.kind.to_string(),
        time_in_force: submitted.time_in_force.to_string(),
        quantity: submitted.quantity.map(|quantity| Exact(quantity.get())),
        amount: submitted.amount.map(|amount| Exact(amount.amount())),
        limit: submitted.limit.map(|price| Exact(price.get())),
        stop: submitted.stop.map(|price| Exact(price.get())),
        strategy: submitted.strategy.as_ref().map(ToString::to_string),
        extended_hours: submitted.extended_hours,
        status: order.status.as_ref().map_or_else(|| "submitted".to_owned(), ToString::to_string),
        reason: order.reason.as_ref().map(ToString::to_string),
        filled: order.filled.map(|filled| Exact(filled.get())),
        average_price: order.average_price.map(|price| Exact(price.get())),
        broker_order: order.broker_order.as_ref().map(ToString::to_string),
        client_order_id: submitted.client_order_id.as_ref().map(ToString::to_string),
        submitted_at: Time(order.submitted_at),
        updated_at: order.updated_at.map(Time),
    }
}
