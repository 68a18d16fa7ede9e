//! Trades: round trips, from flat to flat.

use super::access::Caller;
use super::annotations::{Annotated, AnnotationItem};
use super::answer::{Found, Question};
use super::page::{Limit, List, Page};
use super::problem::Problem;
use super::record::{record, schema};
use super::scalar::{Account, CurrencyCode, Date, Exact, Instrument, Portfolio, Sequence, Time, TimeOrDate};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use super::transactions::TransactionItem;
use crate::journal::PortfolioView;
use daybook_projections::Trip;
use daybook_projections::state::Direction;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::types::ToJSON;
use std::collections::BTreeMap;

record! {
    /// A round trip: from flat to flat in one instrument of one account. A figure that cannot be known is absent, and `missing` says why.
    TradeItem {
        /// The event that opened it
        id: Sequence,
        /// What the instrument is called; absent where that is not known
        symbol: Option<String>,
        /// The instrument
        instrument: Instrument,
        /// The account
        account: Account,
        /// What the owner calls the account
        account_name: String,
        /// `long` or `short`
        direction: String,
        /// `open` or `closed`
        state: String,
        /// When it was opened
        opened_at: Time,
        /// The day of that
        opened_on: Date,
        /// When it was closed
        closed_at: Option<Time>,
        /// The day of that
        closed_on: Option<Date>,
        /// How long it lasted, in seconds
        held_seconds: Option<u64>,
        /// The most units that were held
        quantity: Exact,
        /// What one unit was entered at, charges not included
        entry_price: Option<Exact>,
        /// What one unit was left at, charges not included
        exit_price: Option<Exact>,
        /// Units of the underlying in one unit
        multiplier: Exact,
        /// The gain before charges
        gross: Option<Exact>,
        /// Charges on all of it
        fees: Exact,
        /// What was realised, charges inside
        net: Exact,
        /// The currency of the figures
        currency: CurrencyCode,
        /// The events that it is made of, in the order in which they are accounted for
        fills: Vec<Sequence>,
        /// The way of trading that its first fill states
        strategy: Option<String>,
        /// The latest that was written of it
        annotation: Option<AnnotationItem>,
        /// Whether units came or went by transfer
        transferred: bool,
        /// Whether more was closed than had been opened: history is missing
        incomplete_history: bool,
        /// Figure by figure, why it is absent
        missing: Option<BTreeMap<String, String>>,
    }
}

schema! {
    /// A round trip and the transactions that it is made of; beside these members it has all those of a trade in the list.
    TradeDetail {
        /// The event that opened it
        id: Sequence,
        /// What it is made of, in the order in which it is accounted for
        transactions: Vec<TransactionItem>,
        /// The ledger's head that the figures reflect
        sequence: Sequence,
    }
}

/// The routes of trades.
pub(super) struct Trades(pub(super) Service);

#[OpenApi(tag = "Tag::Portfolios")]
#[expect(clippy::too_many_arguments, reason = "they are the routes' parameters, as the document lists them")]
impl Trades {
    /// List trades
    ///
    /// Closed ones first, in the order in which they were closed, then open ones.
    #[oai(path = "/portfolios/:id/trades", method = "get", operation_id = "listTrades")]
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
    ) -> Result<Found<List<TradeItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        seen::list(&self.0, question, id.0.0, moment, page, |journal, view, pin, page| {
            let annotated = Annotated::seen(journal, view, pin.as_of, pin.known)?;
            let key = |trip: &&Trip| format!("{}/{}/{}", trip.id, trip.account, trip.instrument);
            let list = page.cut(pin, view.trips(), key, |trip| {
                Ok(item(view, trip, &annotated).to_json().unwrap_or_default())
            })?;
            Ok(list.written())
        })
        .await
    }

    /// Read a trade with its transactions
    #[oai(path = "/portfolios/:id/trades/:trade", method = "get", operation_id = "readTrade")]
    async fn read(
        &self,
        _caller: Caller,
        question: Question,
        /// The portfolio
        id: Path<Portfolio>,
        /// The trade: any of its fills, such as the one that opened it
        trade: Path<Sequence>,
        /// Only what had occurred by then; a date means the end of that day in the portfolio's zone; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Found<TradeDetail>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let wanted = trade.0.0;
        seen::one(&self.0, question, id.0.0, moment, move |journal, view, pin| {
            // A late fill can change where a trade opens, so any of its fills finds it.
            let trip = view.state.trip_of_fill(wanted);
            let trip = trip.ok_or_else(|| Problem::not_found("trade", wanted))?;
            let records = seen::records(journal, trip.fills.clone())?;
            let transactions = trip
                .fills
                .iter()
                .filter_map(|sequence| records.get(sequence))
                .map(|record| seen::transaction(view, record))
                .collect::<Result<Vec<_>, _>>()?;
            let annotated = Annotated::seen(journal, view, pin.as_of, pin.known)?;
            let mut json = item(view, trip, &annotated).to_json().unwrap_or_default();
            json["transactions"] = transactions.into();
            json["sequence"] = pin.known.into();
            Ok(json.to_string().into_bytes())
        })
        .await
    }
}

fn item(view: &PortfolioView<'_>, trip: &Trip, annotated: &Annotated) -> TradeItem {
    let (gross, entry, exit) = (trip.gross(), trip.entry_average(), trip.exit_average());
    let mut missing = BTreeMap::new();
    if gross.is_none() {
        let why = match (trip.transferred, trip.closed_at) {
            (true, _) => "units came or went by transfer: entry and exit do not tell the whole gain",
            (false, None) => "the trade is still open",
            (false, Some(_)) => "the exact figure has more digits than a decimal holds",
        };
        missing.insert("gross".to_owned(), why.to_owned());
    }
    if entry.is_none() {
        missing.insert("entry_price".to_owned(), "no unit was bought or sold to enter it".to_owned());
    }
    if exit.is_none() && trip.closed_at.is_some() {
        missing.insert("exit_price".to_owned(), "no unit was bought or sold to leave it".to_owned());
    }
    TradeItem {
        id: Sequence(trip.id),
        symbol: view.symbol(trip.instrument).map(str::to_owned),
        instrument: trip.instrument.into(),
        account: trip.account.into(),
        account_name: view.account_name(trip.account),
        direction: match trip.direction {
            Direction::Long => "long",
            Direction::Short => "short",
        }
        .to_owned(),
        state: if trip.closed_at.is_some() { "closed" } else { "open" }.to_owned(),
        opened_at: trip.opened_at.into(),
        opened_on: trip.opened_on.into(),
        closed_at: trip.closed_at.map(Time),
        closed_on: trip.closed_on.map(Date),
        held_seconds: trip.held_nanos().and_then(|nanos| u64::try_from(nanos / 1_000_000_000).ok()),
        quantity: trip.sums.quantity_max.into(),
        entry_price: entry.map(Exact),
        exit_price: exit.map(Exact),
        multiplier: trip.multiplier.into(),
        gross: gross.map(Exact),
        fees: trip.sums.fees.into(),
        net: trip.sums.net.into(),
        currency: trip.currency.into(),
        fills: trip.fills.iter().copied().map(Sequence).collect(),
        strategy: trip.strategy.as_ref().map(ToString::to_string),
        annotation: annotated.of(view, trip),
        transferred: trip.transferred,
        incomplete_history: trip.incomplete,
        missing: (!missing.is_empty()).then_some(missing),
    }
}
