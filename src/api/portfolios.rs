//! Portfolios: opened, listed, summed up as of any moment.

use super::access::Caller;
use super::answer::{Found, Made, Question, Shown};
use super::attempt::{self, Attempt};
use super::body::{Fields, Form, Input};
use super::page::{Limit, List, Page, Pin};
use super::precondition::Standing;
use super::problem::{Fault, Problem};
use super::proportions::{self, PortfolioProportions};
use super::published::{Figures, Published, Wanted};
use super::record::{record, schema};
use super::scalar::{Account, CurrencyCode, Exact, Instrument, Portfolio, Sequence, Time, TimeOrDate};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use crate::journal::{Journal, JournalError, Moment, NewPortfolio, PortfolioView};
use daybook_projections::{AsOf, Summary};
use daybook_schemas::PortfolioId;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::types::Any;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

schema! {
    /// A portfolio and its figures at a moment, in its own currency. A figure that cannot be known is absent, and `missing` says why.
    PortfolioSummary {
        /// The portfolio
        id: Portfolio,
        /// Its name; absent where its key is erased
        name: Option<String>,
        /// The currency of its figures
        currency: CurrencyCode,
        /// The time zone that bounds its days
        zone: String,
        /// The days of its series: `weekdays`, `daily` or `xnys`
        calendar: String,
        /// How disposals relieve lots
        lots: String,
        /// When it was opened
        opened_at: Time,
        /// The moment: a day is meant to its end in the portfolio's zone
        as_of: String,
        /// The ledger's head that the figures reflect
        sequence: Sequence,
        /// Cash by currency
        cash: BTreeMap<String, Exact>,
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
        /// The cash of the events in `unaccounted`
        unaccounted_cash: Option<Exact>,
        /// Whether nothing is unpriced, of unknown basis, unaccounted, missing or without history
        complete: bool,
        /// Positions without any price
        unpriced: Vec<NamedPosition>,
        /// Positions whose price is older than five days; they are valued all the same
        stale: Vec<NamedPosition>,
        /// Units whose basis nobody stated
        unknown_basis: Vec<NamedPosition>,
        /// Events that the figures do not account for, except for their cash
        unaccounted: Vec<UnaccountedEvent>,
        /// Disposals beyond what was held
        incomplete_history: Vec<NamedPosition>,
        /// What the reader should look at
        warnings: Vec<String>,
        /// Figure by figure, why it is absent
        missing: BTreeMap<String, String>,
    }
}

schema! {
    /// A position that the summary names.
    NamedPosition {
        /// What it is called; null where that is not known
        symbol: Any<Option<String>>,
        /// The instrument
        instrument: Instrument,
        /// The account
        account: Account,
        /// When its price was seen, for a stale one
        price_at: Option<Time>,
        /// The event, for units of unknown basis and for missing history
        sequence: Option<Sequence>,
        /// Units, for units of unknown basis and for missing history
        quantity: Option<Exact>,
    }
}

schema! {
    /// An event that the figures do not account for.
    UnaccountedEvent {
        /// The event
        sequence: Sequence,
        /// What kind of event it is
        type_name = "type": String,
        /// Why it is not accounted for
        reason: String,
        /// Its cash, which moved at once
        cash: Option<Vec<MoneyAmount>>,
    }
}

schema! {
    /// An amount of one currency.
    MoneyAmount {
        /// The amount, signed
        amount: Exact,
        /// The currency
        currency: CurrencyCode,
    }
}

record! {
    /// A portfolio to be opened.
    PortfolioRequest {
        /// Its name
        name: String,
        /// The currency of its figures; `USD` if not said
        currency: Option<String>,
        /// How disposals relieve lots; `fifo` if not said
        lots: Option<String>,
        /// The time zone that bounds its days; `America/New_York` if not said
        zone: Option<String>,
        /// The days of its series: `weekdays` (if not said), `daily` or `xnys`
        calendar: Option<String>,
        /// The client who owns it from today (UTC) on, by the id of the party; nobody yet, if not said. An advisor names one of their own
        client: Option<String>,
    }
}

impl Form for PortfolioRequest {
    fn read(fields: &mut Fields) -> Self {
        Self {
            name: fields.required_text("name"),
            currency: fields.text("currency"),
            lots: fields.text("lots"),
            zone: fields.text("zone"),
            calendar: fields.text("calendar"),
            client: fields.text("client"),
        }
    }
}

record! {
    /// A portfolio that was opened.
    OpenedPortfolio {
        /// The portfolio
        id: Portfolio,
        /// Its name
        name: String,
        /// The currency of its figures
        currency: CurrencyCode,
        /// How disposals relieve lots
        lots: String,
        /// The time zone that bounds its days
        zone: String,
        /// The days of its series
        calendar: String,
        /// The event that opened it
        sequence: Sequence,
    }
}

/// The routes of portfolios.
pub(super) struct Portfolios(pub(super) Service);

#[OpenApi(tag = "Tag::Portfolios")]
impl Portfolios {
    /// List portfolios with their figures
    #[oai(path = "/portfolios", method = "get", operation_id = "listPortfolios")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn list(
        &self,
        caller: Caller,
        question: Question,
        /// Only what had occurred by then; a date means the end of that day in each portfolio's zone; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Shown<List<PortfolioSummary>, List<PortfolioProportions>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let published = Arc::clone(&self.0.published);
        self.0
            .blocking(move |journal| {
                let (ids, pin, tag) =
                    seen::portfolios(journal, &question, &moment, &page, |id| caller.knows(id))?;
                let found = Found::written(tag, || {
                    let shown = page.cut(pin, ids, ToString::to_string, |id| {
                        summary_under(&published, journal, &caller, id, pin)
                    })?;
                    Ok(shown.joined())
                })?;
                Ok(Shown::to(&caller, found))
            })
            .await
    }

    /// Open a portfolio
    #[oai(path = "/portfolios", method = "post", operation_id = "openPortfolio")]
    async fn open(
        &self,
        caller: Caller,
        attempt: Attempt,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        input: Input<PortfolioRequest>,
    ) -> Result<Made<OpenedPortfolio>, Problem> {
        let key = attempt.commit_key(&caller, &input.canonical);
        let asked = input.value;
        if asked.client.is_none() && !caller.knows_of(None) {
            let detail = "an advisor opens portfolios for clients: say for which of your own";
            return Err(vec![Fault::new("client", detail)].into());
        }
        self.0
            .blocking(move |journal| {
                let replayed = attempt::earlier(journal, key.as_ref())?.is_some();
                let or =
                    |text: &Option<String>, usual: &str| text.clone().unwrap_or_else(|| usual.to_owned());
                let new = NewPortfolio::parse(
                    &asked.name,
                    &or(&asked.currency, "USD"),
                    &or(&asked.lots, "fifo"),
                    &or(&asked.zone, "America/New_York"),
                    &or(&asked.calendar, "weekdays"),
                )?
                .owned_by(asked.client.as_deref())?;
                let id = journal.open_portfolio(&caller.author(), &new, key)?;
                let opened = journal.library()?.directory.get(id).map_or(0, |portfolio| portfolio.opened);
                let body = OpenedPortfolio {
                    id: id.into(),
                    name: new.name.trim().to_owned(),
                    currency: new.currency.into(),
                    lots: new.lots.to_string(),
                    zone: new.zone.to_string(),
                    calendar: new.calendar.to_string(),
                    sequence: Sequence(opened),
                };
                Ok(Made::new(&body).at(&format!("/portfolios/{id}")).replayed(replayed))
            })
            .await
    }

    /// Read a portfolio's figures
    ///
    /// The present figures reflect whatever was recorded when they were asked for. Where they take longer than a
    /// quarter of a second to work out, as after a late entry into a very large portfolio, the last ones are answered at
    /// once; `sequence` says which head they reflect.
    #[oai(path = "/portfolios/:id", method = "get", operation_id = "readPortfolio")]
    async fn read(
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
    ) -> Result<Shown<PortfolioSummary, PortfolioProportions>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        if moment == Moment::default() {
            let shown = self.0.published.summary(&self.0, Wanted::by(&caller, id.0.0)).await?;
            let found = Found::written(shown.tag(&question), || Ok(shown.json().into_bytes()))?;
            return Ok(Shown::to(&caller, found));
        }
        let asking = caller.clone();
        let found = seen::one(&self.0, question, id.0.0, moment, move |_, view, pin| {
            Ok(summary_for(&asking, view, pin).to_string().into_bytes())
        })
        .await?;
        Ok(Shown::to(&caller, found))
    }
}

/// The summary of a portfolio under a pin as a caller may see it, as JSON: the published one, where the pin sees the
/// present.
pub(super) fn summary_under(
    published: &Published,
    journal: &Journal,
    caller: &Caller,
    id: PortfolioId,
    pin: Pin,
) -> Result<String, Problem> {
    // A pin without a day means each portfolio's own today, and so does what is published.
    if pin.as_of == AsOf::ALWAYS
        && let Some(summary) = published.under(journal, Wanted::by(caller, id), pin.known)?
    {
        return Ok(summary.json());
    }
    seen::visit(journal, id, pin, |view| Ok(summary_for(caller, view, pin).to_string()))
}

/// The summary of a portfolio as a caller may see it.
fn summary_for(caller: &Caller, view: &PortfolioView<'_>, pin: Pin) -> Value {
    if caller.percentages_only() { proportions::summary(view, pin) } else { summary(view, pin) }
}

/// The summary of a portfolio under the head that it reflects, as JSON.
fn summary(view: &PortfolioView<'_>, pin: Pin) -> Value {
    let mut json = described(view, view.summary());
    json["sequence"] = pin.known.into();
    json
}

/// A summary and what is known of its portfolio, as JSON; all but the head that it reflects.
pub(super) fn described(view: &PortfolioView<'_>, summary: Summary) -> Value {
    let mut json = serde_json::to_value(summary).unwrap_or_default();
    let portfolio = view.portfolio;
    json["id"] = portfolio.id.to_string().into();
    if let Ok(name) = portfolio.name.open(view.keys) {
        json["name"] = name.into();
    }
    json["zone"] = portfolio.zone.name().into();
    json["calendar"] = portfolio.calendar.to_string().into();
    json["lots"] = portfolio.lot_method.to_string().into();
    json["opened_at"] = portfolio.opened_at.to_string().into();
    json
}

/// A portfolio's present figures, and what they are worked out from.
pub(super) fn figures(journal: &Journal, wanted: Wanted) -> Result<Figures, JournalError> {
    let id = wanted.portfolio;
    journal.portfolio(id, &Moment::default(), |view| {
        let (summary, basis) = view.summary_with_basis();
        let library = view.library;
        // The library goes on while a book is folded. What competes with the events that the figures lack must fail.
        let lacks_nothing = library.directory.last_sequence(id) <= basis.reflects
            && library.imports.changed_at() <= basis.reflects;
        let standing =
            if lacks_nothing { Standing::seen(library, id) } else { Standing::fixed(basis.reflects) };
        // Proportions rest on the prices of the same positions as the summary.
        let members = if wanted.in_proportions {
            proportions::described(view, &summary)
        } else {
            described(view, summary)
        };
        let members = members.to_string().into();
        Ok(Figures { members, standing, basis })
    })
}

/// The JSON of a summary under a head that it reflects.
pub(super) fn with_head(members: &str, sequence: u64) -> String {
    let members = members.strip_prefix('{').unwrap_or(members);
    format!("{{\"sequence\":{sequence},{members}")
}
