//! Plans: what is to be traded, at what price it is wrong and at what price it is done, before the first fill.

use super::access::Caller;
use super::annotations::{check_note, check_words};
use super::answer::{Found, Made, Question};
use super::attempt::{self, Attempt};
use super::body::{Fields, Form, Input};
use super::page::{Limit, List, Page};
use super::precondition::{Precondition, Standing};
use super::problem::{Fault, Problem};
use super::record::record;
use super::scalar::{CurrencyCode, Exact, Instrument, Portfolio, Sequence, Time, TimeOrDate};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use crate::journal::{Journal, Plan, PortfolioView, Terms, now};
use crate::sync::instruments::nearest_said;
use daybook_projections::{AsOf, Resolution};
use daybook_schemas::events::{IdentifierScheme, Side, TradePlanned};
use daybook_schemas::{Money, PlanId, PortfolioId, Price, Quantity, Strategy, Timestamp, decimal};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::types::ToJSON;
use rust_decimal::Decimal;

record! {
    /// A plan for a trade. It counts as made when it was recorded.
    PlanItem {
        /// Its id
        id: String,
        /// Its event
        sequence: Sequence,
        /// `open`, `followed` once a fill names it, or `expired` if none did in time
        state: String,
        /// What the instrument is called; absent where that is not known
        symbol: Option<String>,
        /// The instrument
        instrument: Instrument,
        /// `buy` or `sell`
        side: String,
        /// The way of trading
        strategy: Option<String>,
        /// The setup
        setup: Option<String>,
        /// Units
        quantity: Option<Exact>,
        /// The price to enter at
        entry_price: Option<Exact>,
        /// The price at which the idea is wrong
        stop: Option<Exact>,
        /// The price at which it is done
        target: Option<Exact>,
        /// What may be lost
        risk: Option<Exact>,
        /// The currency of the risk
        risk_currency: Option<CurrencyCode>,
        /// When it lapses
        expires: Option<Time>,
        /// The trader's words; absent where the key is erased
        note: Option<String>,
        /// The fills that follow it
        fills: Vec<Sequence>,
        /// Who planned it
        author: String,
        /// When it was recorded
        recorded_at: Time,
    }
}

record! {
    /// A plan for a trade. Numbers are strings.
    PlanRequest {
        /// The symbol
        symbol: String,
        /// `buy` or `sell`
        side: String,
        /// The way of trading
        strategy: Option<String>,
        /// The setup
        setup: Option<String>,
        /// Units, positive
        quantity: Option<String>,
        /// The price to enter at
        entry_price: Option<String>,
        /// The price at which the idea is wrong: below the entry of a purchase, above that of a sale
        stop: Option<String>,
        /// The price at which it is done: above the entry of a purchase, below that of a sale
        target: Option<String>,
        /// What may be lost, in the portfolio's currency
        risk: Option<String>,
        /// When it lapses: RFC 3339, or a date for the end of that day in the portfolio's zone
        expires: Option<String>,
        /// The trader's words, at most 16,384 bytes; they are sealed under the portfolio's key
        note: Option<String>,
    }
}

impl Form for PlanRequest {
    fn read(fields: &mut Fields) -> Self {
        let request = Self {
            symbol: fields.required_text("symbol"),
            side: fields.required_text("side"),
            strategy: fields.text("strategy"),
            setup: fields.text("setup"),
            quantity: fields.text("quantity"),
            entry_price: fields.text("entry_price"),
            stop: fields.text("stop"),
            target: fields.text("target"),
            risk: fields.text("risk"),
            expires: fields.text("expires"),
            note: fields.text("note"),
        };
        for (name, text) in [("strategy", &request.strategy), ("setup", &request.setup)] {
            check_words(fields, name, text.as_slice());
        }
        check_note(fields, request.note.as_ref());
        if !request.side.is_empty() && side(&request.side).is_none() {
            fields.fault("side", "write buy or sell");
        }
        let mut number = |name, text: &Option<String>| positive(fields, name, text.as_deref());
        number("quantity", &request.quantity);
        number("risk", &request.risk);
        let prices =
            [("stop", &request.stop), ("entry_price", &request.entry_price), ("target", &request.target)];
        let prices: Vec<(&str, Decimal)> =
            prices.into_iter().filter_map(|(name, text)| Some((name, number(name, text)?))).collect();
        // From the stop over the entry to the target, prices rise for a purchase and fall for a sale.
        let rises = side(&request.side) != Some(Side::Sell);
        for pair in prices.windows(2) {
            if (pair[0].1 < pair[1].1) != rises || pair[0].1 == pair[1].1 {
                let order = if rises { "below" } else { "above" };
                let detail = format!(
                    "the stop lies {order} the entry and the entry {order} the target, for this side"
                );
                fields.fault(pair[0].0, detail);
            }
        }
        request
    }
}

fn side(text: &str) -> Option<Side> {
    [Side::Buy, Side::Sell].into_iter().find(|side| side.to_string() == text)
}

/// A positive number; a fault is noted if it is none.
fn positive(fields: &mut Fields, name: &str, text: Option<&str>) -> Option<Decimal> {
    match decimal::parse(text?) {
        Ok(number) if number > Decimal::ZERO => Some(number),
        Ok(_) => {
            fields.fault(name, "it is positive");
            None
        }
        Err(why) => {
            fields.fault(name, why);
            None
        }
    }
}

impl PlanRequest {
    /// The plan; its instrument, its currency and its end are the portfolio's matter.
    fn planned(&self, journal: &Journal, portfolio: PortfolioId) -> Result<TradePlanned, Problem> {
        let number = |text: &Option<String>| text.as_deref().and_then(|text| decimal::parse(text).ok());
        let facts = journal.portfolio_facts(portfolio)?;
        let expires = self
            .expires
            .as_deref()
            .map(|text| end(text, facts.zone))
            .transpose()
            .map_err(|why| Problem::from(vec![Fault::new("expires", why)]))?;
        Ok(TradePlanned {
            plan: Journal::new_plan_id()?,
            instrument: instrument(journal, &self.symbol)?,
            side: side(&self.side).unwrap_or(Side::Buy),
            strategy: self.strategy.clone().map(Strategy::new),
            setup: self.setup.clone().map(Into::into),
            quantity: number(&self.quantity).map(Quantity::new),
            entry_price: number(&self.entry_price).map(Price::new),
            stop: number(&self.stop).map(Price::new),
            target: number(&self.target).map(Price::new),
            risk: number(&self.risk).map(|amount| Money::new(amount, facts.base_currency)),
            expires,
            note: None,
        })
    }
}

/// When a plan lapses.
fn end(text: &str, zone: daybook_schemas::Zone) -> Result<Timestamp, String> {
    let end = match daybook_schemas::Day::parse(text) {
        Ok(day) => day.end_in(zone),
        Err(_) => Timestamp::parse(text).map_err(|error| error.to_string())?,
    };
    if end <= now() { Err("a plan cannot lapse in the past".to_owned()) } else { Ok(end) }
}

/// The instrument that a symbol means now.
fn instrument(journal: &Journal, text: &str) -> Result<daybook_schemas::InstrumentId, Problem> {
    let refused = |why: String| Problem::from(vec![Fault::new("symbol", why)]);
    let symbol = crate::importers::symbols::read(text).map_err(|why| refused(why.to_string()))?.text;
    let library = journal.library()?;
    match library.instruments.resolve(&IdentifierScheme::Symbol, &symbol, None, None, None) {
        Resolution::One(id) => Ok(id),
        Resolution::Ambiguous(_) => Err(refused(format!(
            "`{symbol}` means several instruments: write it with its venue, as /instruments lists it"
        ))),
        Resolution::Unknown => {
            let meant = nearest_said(&library, &symbol, |_| true).map(|near| format!(" ({near})"));
            let meant = meant.unwrap_or_default();
            Err(refused(format!("no instrument is known as `{symbol}`{meant}")))
        }
    }
}

/// The routes of plans.
pub(super) struct Plans(pub(super) Service);

#[OpenApi(tag = "Tag::Transactions")]
impl Plans {
    /// List the plans for trades, newest first
    #[oai(path = "/portfolios/:id/plans", method = "get", operation_id = "listPlans")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn list(
        &self,
        _caller: Caller,
        question: Question,
        /// The portfolio
        id: Path<Portfolio>,
        /// Only what had occurred by then; a date means the end of that day in the portfolio's zone; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<PlanItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        seen::list(&self.0, question, id.0.0, moment, page, |journal, view, pin, page| {
            let plans = journal.plans(view.portfolio.id, pin.as_of, pin.known)?;
            let key = |plan: &Plan| plan.noted.said.plan.to_string();
            let list = page.cut(pin, plans.into_iter().rev(), key, |plan| {
                Ok(item(view, &plan, pin.as_of).to_json().unwrap_or_default())
            })?;
            Ok(list.written())
        })
        .await
    }

    /// Plan a trade
    ///
    /// A plan counts as made when it is recorded, and is never changed: a new idea is a new plan. A fill follows it by
    /// naming its id.
    #[oai(path = "/portfolios/:id/plans", method = "post", operation_id = "planTrade")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn plan(
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
        input: Input<PlanRequest>,
    ) -> Result<Made<PlanItem>, Problem> {
        let key = attempt.commit_key(&caller, &input.canonical);
        let (portfolio, request) = (id.0.0, input.value);
        self.0
            .blocking(move |journal| {
                let earlier = attempt::earlier(journal, key.as_ref())?;
                let sequence = match &earlier {
                    Some(commit) => commit.sequences.last().copied().unwrap_or(commit.head),
                    None => {
                        let planned = request.planned(journal, portfolio)?;
                        let written = precondition.guard(
                            || Standing::of_portfolio(journal, portfolio),
                            |expected| {
                                let terms = Terms { commit_key: key.clone(), expected, ..Terms::default() };
                                journal.plan(
                                    &caller.author(),
                                    portfolio,
                                    planned.clone(),
                                    request.note.clone(),
                                    terms,
                                )
                            },
                        );
                        attempt::done(journal, key.as_ref(), written)?
                    }
                };
                let always = crate::journal::Moment { as_of: Some(AsOf::ALWAYS), ..Default::default() };
                let item = journal.portfolio(portfolio, &always, |view| {
                    let plans = journal.plans(portfolio, AsOf::ALWAYS, view.view.known)?;
                    let plan = plans.iter().find(|plan| plan.noted.meta.sequence == sequence);
                    Ok(plan.map(|plan| item(view, plan, AsOf::Instant(now()))))
                })?;
                let item = item.ok_or_else(|| Problem::key_reused(sequence))?;
                let place = format!("/portfolios/{portfolio}/plans");
                Ok(Made::new(&item).at(&place).replayed(earlier.is_some()))
            })
            .await
    }
}

fn item(view: &PortfolioView<'_>, plan: &Plan, as_of: AsOf) -> PlanItem {
    let (noted, said) = (&plan.noted, &plan.noted.said);
    // A view of today's end is one of the present moment as far as lapsing is concerned.
    let moment = as_of.instant(view.portfolio.zone).min(now());
    let state = match said.expires {
        _ if !plan.fills.is_empty() => "followed",
        Some(expires) if expires <= moment => "expired",
        _ => "open",
    };
    let id: PlanId = said.plan;
    PlanItem {
        id: id.to_string(),
        sequence: Sequence(noted.meta.sequence),
        state: state.to_owned(),
        symbol: view.symbol(said.instrument).map(str::to_owned),
        instrument: said.instrument.into(),
        side: said.side.to_string(),
        strategy: said.strategy.as_ref().map(ToString::to_string),
        setup: said.setup.as_ref().map(ToString::to_string),
        quantity: said.quantity.map(|quantity| Exact(quantity.get())),
        entry_price: said.entry_price.map(|price| Exact(price.get())),
        stop: said.stop.map(|price| Exact(price.get())),
        target: said.target.map(|price| Exact(price.get())),
        risk: said.risk.map(|risk| Exact(risk.amount())),
        risk_currency: said.risk.map(|risk| risk.currency().into()),
        expires: said.expires.map(Time),
        note: said.note.as_ref().and_then(|note| note.open(view.keys).ok()),
        fills: plan.fills.iter().copied().map(Sequence).collect(),
        author: noted.actor.to_string(),
        recorded_at: Time(noted.meta.recorded_at),
    }
}
