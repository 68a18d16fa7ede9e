//! Many portfolios in one answer, and of each no more than a page shows.

use super::access::Caller;
use super::answer::{Found, Question, Shown};
use super::page::Pin;
use super::portfolios::summary_under;
use super::problem::{Fault, Kind, Problem};
use super::record::schema;
use super::scalar::{CurrencyCode, Exact, Portfolio, Sequence, TimeOrDate};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use crate::importers::nearest;
use daybook_projections::AsOf;
use daybook_schemas::PortfolioId;
use poem_openapi::OpenApi;
use poem_openapi::param::Query;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most portfolios of one answer.
const IDS_MAX: usize = 200;

schema! {
    /// A portfolio and those of its figures that were asked for. A figure that cannot be known is absent, and `missing` says why.
    PortfolioFigures {
        /// The portfolio
        id: Portfolio,
        /// Its name; absent where its key is erased
        name: Option<String>,
        /// The currency of its figures
        currency: CurrencyCode,
        /// The moment: a day is meant to its end in the portfolio's zone
        as_of: String,
        /// Cash by currency
        cash: Option<BTreeMap<String, Exact>>,
        /// The worth of all positions
        market_value: Option<Exact>,
        /// Cash and market value
        equity: Option<Exact>,
        /// Gains on what was disposed of
        realised: Option<Exact>,
        /// Gains on what is held
        unrealised: Option<Exact>,
        /// Dividends, credit interest, rewards
        income: Option<Exact>,
        /// Standalone fees, margin and borrow interest, taxes
        costs: Option<Exact>,
        /// The effect of currencies
        fx: Option<Exact>,
        /// The gain that came with transferred securities
        transferred_gain: Option<Exact>,
        /// What crossed the portfolio's edge, in less out
        net_contributions: Option<Exact>,
        /// Memo: charges on trades
        trade_fees: Option<Exact>,
        /// Memo: taxes, which are among the costs
        taxes: Option<Exact>,
        /// The cash of the events that the figures do not account for
        unaccounted_cash: Option<Exact>,
        /// Whether nothing is unpriced, of unknown basis, unaccounted, missing or without history
        complete: bool,
        /// Figure by figure, why it is absent
        missing: BTreeMap<String, String>,
    }
}

schema! {
    /// A portfolio and those of its fractions that were asked for. A fraction that cannot be known is absent, and `missing` says why.
    PortfolioFractions {
        /// The portfolio
        id: Portfolio,
        /// Its name; absent where its key is erased
        name: Option<String>,
        /// The currency of the figures behind the fractions
        currency: CurrencyCode,
        /// The moment: a day is meant to its end in the portfolio's zone
        as_of: String,
        /// Cash, as a part of equity
        cash_weight: Option<Exact>,
        /// The worth of all positions, as a part of equity
        invested_weight: Option<Exact>,
        /// Equity less net contributions, as a part of net contributions
        gain: Option<Exact>,
        /// Gains on what was disposed of, as a part of net contributions
        realised_gain: Option<Exact>,
        /// Gains on what is held, as a part of net contributions
        unrealised_gain: Option<Exact>,
        /// Dividends, credit interest and rewards, as a part of net contributions
        income_yield: Option<Exact>,
        /// Fees, interest paid and taxes, as a part of net contributions
        cost_ratio: Option<Exact>,
        /// How many instruments are held
        positions: Option<u64>,
        /// Whether nothing is unpriced, of unknown basis, unaccounted, missing or without history
        complete: bool,
        /// Fraction by fraction, why it is absent
        missing: BTreeMap<String, String>,
    }
}

macro_rules! batch {
    ($(#[doc = $about:literal])+ $name:ident of $item:ident) => {
        schema! {
            $(#[doc = $about])+
            $name {
                /// The portfolios, in the order in which they were asked for
                items: Vec<$item>,
                /// The ids of which there is no portfolio, as far as the caller may know
                not_found: Vec<Portfolio>,
                /// The ledger's head that all of it reflects
                sequence: Sequence,
            }
        }
    };
}

batch! {
    /// Many portfolios as they stand at one head of the ledger.
    SummaryBatch of PortfolioFigures
}
batch! {
    /// Many portfolios in proportions, as they stand at one head of the ledger.
    ProportionBatch of PortfolioFractions
}

/// The figures that can be asked for.
pub(super) const FIGURES: &[&str] = &[
    "cash",
    "market_value",
    "equity",
    "realised",
    "unrealised",
    "income",
    "costs",
    "fx",
    "transferred_gain",
    "net_contributions",
    "trade_fees",
    "taxes",
    "unaccounted_cash",
];
/// The fractions that can be asked for.
pub(super) const FRACTIONS: &[&str] = &[
    "cash_weight",
    "invested_weight",
    "gain",
    "realised_gain",
    "unrealised_gain",
    "income_yield",
    "cost_ratio",
    "positions",
];
/// What each item has, whatever was asked for.
const ALWAYS: &[&str] = &["id", "name", "currency", "as_of", "complete"];

/// The ids of a list, each once.
fn ids(text: &str) -> Result<Vec<PortfolioId>, Problem> {
    let mut ids: Vec<PortfolioId> = Vec::new();
    for id in text.split(',').map(str::trim).filter(|id| !id.is_empty()) {
        let shown: String = id.chars().take(100).collect();
        let id = id.parse().map_err(|_| {
            Problem::parameter(
                "ids",
                format!("`{shown}` is no portfolio's id: write ids, separated by commas"),
            )
        })?;
        if !ids.contains(&id) {
            ids.push(id);
        }
        if ids.len() > IDS_MAX {
            return Err(Problem::parameter("ids", format!("ask for at most {IDS_MAX} portfolios at once")));
        }
    }
    if ids.is_empty() {
        return Err(Problem::parameter("ids", "write the ids of portfolios, separated by commas"));
    }
    Ok(ids)
}

/// The figures of a list; all where there is none. A caller who sees fractions alone is shown no figure by asking for it.
fn figures(text: Option<&str>, caller: &Caller) -> Result<Vec<&'static str>, Problem> {
    let known = if caller.percentages_only() { FRACTIONS } else { FIGURES };
    let Some(text) = text else { return Ok(known.to_vec()) };
    let (mut wanted, mut faults) = (Vec::new(), Vec::new());
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match FIGURES.iter().chain(FRACTIONS).find(|figure| **figure == name) {
            // A page asks for what it shows, whichever kind of token it has.
            Some(figure) => wanted.push(*figure),
            None => {
                let near = nearest::of(name, known);
                let meant = near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
                let name: String = name.chars().take(100).collect();
                let detail = format!("there is no figure `{name}`{meant}; there is {}", known.join(", "));
                faults.push(Fault::new("figures", detail));
            }
        }
    }
    if faults.is_empty() { Ok(wanted) } else { Err(Problem::faulty(Kind::InvalidParameter, faults)) }
}

/// The members of a summary that were asked for.
fn chosen(summary: Value, wanted: &[&'static str]) -> Value {
    let Value::Object(mut all) = summary else { return summary };
    let mut item = Map::new();
    for name in ALWAYS.iter().chain(wanted) {
        if let Some(value) = all.remove(*name) {
            item.insert((*name).to_owned(), value);
        }
    }
    let mut missing =
        all.remove("missing").and_then(|missing| missing.as_object().cloned()).unwrap_or_default();
    missing.retain(|figure, _| wanted.contains(&figure.as_str()));
    item.insert("missing".to_owned(), Value::Object(missing));
    Value::Object(item)
}

/// The route of many summaries.
pub(super) struct Summaries(pub(super) Service);

#[OpenApi(tag = "Tag::Portfolios")]
impl Summaries {
    /// Read figures of many portfolios at once
    ///
    /// All of them reflect one head of the ledger, under one `ETag`. What there is no portfolio of, as far as the caller
    /// may know, stands under `not_found`, and the others are answered all the same. A token that shows percentages alone
    /// is answered in proportions: `gain`, `cash_weight` and the like; figures of the other kind are left out.
    #[oai(path = "/portfolios/summaries", method = "get", operation_id = "listSummaries")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn list(
        &self,
        caller: Caller,
        question: Question,
        /// The ids of up to 200 portfolios, separated by commas
        ids: Query<String>,
        /// The figures to answer with, separated by commas, such as `equity,realised`; all if not said
        figures: Query<Option<String>>,
        /// Only what had occurred by then; a date means the end of that day in each portfolio's zone; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Shown<SummaryBatch, ProportionBatch>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let ids = self::ids(&ids.0)?;
        let wanted = self::figures(figures.0.as_deref(), &caller)?;
        let published = Arc::clone(&self.0.published);
        self.0
            .blocking(move |journal| {
                let (there, known, tag) =
                    seen::several(journal, &question, &moment, &ids, |id| caller.knows(id))?;
                let found = Found::written(tag, || {
                    let pin = Pin { known, as_of: moment.as_of.unwrap_or(AsOf::ALWAYS) };
                    let mut items = Vec::with_capacity(there.len());
                    for id in &there {
                        let summary = summary_under(&published, journal, &caller, *id, pin)?;
                        let summary = serde_json::from_str(&summary).map_err(Problem::internal)?;
                        items.push(chosen(summary, &wanted));
                    }
                    let missing: Vec<String> =
                        ids.iter().filter(|id| !there.contains(id)).map(ToString::to_string).collect();
                    let body = json!({ "items": items, "not_found": missing, "sequence": known });
                    Ok(body.to_string().into_bytes())
                })?;
                Ok(Shown::to(&caller, found))
            })
            .await
    }
}
