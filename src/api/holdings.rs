//! What a portfolio holds: its positions, and the lots they are made of.

use super::access::Caller;
use super::answer::{Found, Question, Shown};
use super::page::{Limit, List, Page};
use super::problem::Problem;
use super::proportions::{self, PositionWeight};
use super::record::{record, schema};
use super::scalar::{Account, CurrencyCode, Date, Exact, Instrument, Portfolio, Sequence, Time, TimeOrDate};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use daybook_projections::state::BasisState;
use daybook_projections::{Holding, Lot};
use daybook_schemas::{AccountId, InstrumentId};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::types::{Any, ToJSON};
use std::collections::BTreeMap;

schema! {
    /// What an account holds of an instrument, and what it is worth. A figure that cannot be known is absent, and `missing` says why.
    PositionItem {
        /// What it is called on the day of the view; null where that is not known
        symbol: Any<Option<String>>,
        /// The instrument
        instrument: Instrument,
        /// The account
        account: Account,
        /// What the owner calls the account; its id where the key is erased
        account_name: String,
        /// Units, signed
        quantity: Option<Exact>,
        /// Units of the underlying in one unit
        multiplier: Exact,
        /// What was paid for a long position, what was received for a short one (then negative)
        basis: Option<Exact>,
        /// The currency of basis, price and value
        currency: CurrencyCode,
        /// The price of one unit of the underlying, in units of today
        price: Option<Exact>,
        /// When that price was seen
        price_at: Option<Time>,
        /// Where it comes from: `market`, or `trade` for the portfolio's own last one
        price_source: Option<String>,
        /// Whether it is older than five days
        stale: bool,
        /// Quantity × price × multiplier
        market_value: Option<Exact>,
        /// Market value less basis
        unrealised: Option<Exact>,
        /// Gains realised on this instrument in this account since the beginning
        realised: Option<Exact>,
        /// Whether some of its basis is not known or only provisional
        unknown_basis: bool,
        /// Figure by figure, why it is absent
        missing: Option<BTreeMap<String, String>>,
    }
}

record! {
    /// Units acquired together.
    LotItem {
        /// The event that opened the lot, and which of its lots it is
        id: String,
        /// The event that opened the lot
        sequence: Sequence,
        /// What the instrument is called; absent where that is not known
        symbol: Option<String>,
        /// The instrument
        instrument: Instrument,
        /// The account
        account: Account,
        /// What the owner calls the account
        account_name: String,
        /// Units, signed: negative for a short lot
        quantity: Exact,
        /// Total basis of a long lot, total proceeds of a short one
        basis: Option<Exact>,
        /// The basis's currency
        currency: CurrencyCode,
        /// When it was acquired: the order in which lots are relieved
        acquired_at: Time,
        /// The day on which its holding period starts
        acquired_on: Date,
        /// Whether the basis is not known or only provisional
        unknown_basis: bool,
        /// Figure by figure, why it is absent
        missing: Option<BTreeMap<String, String>>,
    }
}

/// The routes of holdings.
pub(super) struct Holdings(pub(super) Service);

#[OpenApi(tag = "Tag::Portfolios")]
#[expect(clippy::too_many_arguments, reason = "they are the routes' parameters, as the document lists them")]
impl Holdings {
    /// List positions
    #[oai(path = "/portfolios/:id/positions", method = "get", operation_id = "listPositions")]
    async fn positions(
        &self,
        caller: Caller,
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
    ) -> Result<Shown<List<PositionItem>, List<PositionWeight>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let in_proportions = caller.percentages_only();
        let found = seen::list(&self.0, question, id.0.0, moment, page, move |_, view, pin, page| {
            if in_proportions {
                let key = |part: &daybook_projections::PositionWeight| part.instrument.to_string();
                let list = page.cut(pin, proportions::positions(view), key, |part| {
                    Ok(serde_json::to_value(&part).unwrap_or_default())
                })?;
                return Ok(list.written());
            }
            let positions = view.positions();
            let key = |position: &daybook_projections::Position| {
                format!("{}/{}/{}", position.account, position.instrument, position.currency)
            };
            let list = page.cut(pin, positions, key, |position| {
                let mut json = serde_json::to_value(&position).unwrap_or_default();
                json["account_name"] = view.account_name(position.account).into();
                Ok(json)
            });
            list.map(List::written)
        })
        .await?;
        Ok(Shown::to(&caller, found))
    }

    /// List lots
    #[oai(path = "/portfolios/:id/lots", method = "get", operation_id = "listLots")]
    async fn lots(
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
    ) -> Result<Found<List<LotItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        seen::list(&self.0, question, id.0.0, moment, page, |_, view, pin, page| {
            let lots = view.holdings().flat_map(|(account, instrument, holding)| {
                holding.lots.iter().map(move |lot| (account, instrument, holding, lot))
            });
            let key = |(account, instrument, holding, lot): &(AccountId, InstrumentId, &Holding, &Lot)| {
                format!("{account}/{instrument}/{}/{}.{}", holding.currency, lot.opened, lot.part)
            };
            let list = page.cut(pin, lots, key, |(account, instrument, holding, lot)| {
                let item = LotItem {
                    id: format!("{}.{}", lot.opened, lot.part),
                    sequence: Sequence(lot.opened),
                    symbol: view.symbol(instrument).map(str::to_owned),
                    instrument: instrument.into(),
                    account: account.into(),
                    account_name: view.account_name(account),
                    quantity: lot.quantity.into(),
                    basis: (lot.basis_state != BasisState::Missing).then_some(lot.basis.into()),
                    currency: holding.currency.into(),
                    acquired_at: lot.acquired_at.into(),
                    acquired_on: lot.acquired_on.into(),
                    unknown_basis: lot.basis_state != BasisState::Known,
                    missing: (lot.basis_state == BasisState::Missing).then(|| {
                        let why = "the units came without a basis and without a value: supply their basis";
                        BTreeMap::from([("basis".to_owned(), why.to_owned())])
                    }),
                };
                Ok(item.to_json().unwrap_or_default())
            });
            list.map(List::written)
        })
        .await
    }
}
