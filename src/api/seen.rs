//! Portfolios seen from a moment: which moment is asked for, what an answer depends on, and the entries behind it.

use super::answer::{Found, Question, Tag};
use super::page::{Page, Pin};
use super::precondition::Standing;
use super::problem::{Fault, Kind, Problem};
use super::scalar::{Date, Sequence, TimeOrDate};
use super::service::Service;
use crate::importers::{Names, to_columns};
use crate::journal::{Journal, JournalError, Moment, PortfolioView, decode, now};
use daybook_ledger::Record;
use daybook_projections::{AsOf, Library, PortfolioEntry};
use daybook_schemas::{AccountId, Day, InstrumentId, KeyRing, PortfolioId, Timestamp, Zone};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The moment that the parameters name.
pub(super) fn moment(
    as_of: Option<TimeOrDate>,
    known_at: Option<TimeOrDate>,
    at_sequence: Option<Sequence>,
) -> Result<Moment, Problem> {
    if known_at.is_some() && at_sequence.is_some() {
        return Err(Problem::parameter("at_sequence", "say either known_at or at_sequence, not both"));
    }
    Ok(Moment {
        as_of: as_of.map(|as_of| match as_of {
            TimeOrDate::Instant(instant) => AsOf::Instant(instant),
            TimeOrDate::Day(day) => AsOf::Day(day),
        }),
        known_at: known_at.map(|known_at| match known_at {
            TimeOrDate::Instant(instant) => instant,
            TimeOrDate::Day(day) => day.end_in(Zone::UTC),
        }),
        at_sequence: at_sequence.map(|sequence| sequence.0),
    })
}

/// Whether a moment or a page says by itself how much is known.
fn is_fixed(moment: &Moment, page: Option<&Page>) -> bool {
    moment.known_at.is_some() || moment.at_sequence.is_some() || page.is_some_and(|page| page.pin.is_some())
}

/// The moment as it is now: how much is known, and the portfolio's own day where none was asked for.
fn pin(
    library: &Library,
    portfolio: &PortfolioEntry,
    moment: &Moment,
    known: u64,
    page: Option<&Page>,
) -> Result<Pin, Problem> {
    let today = || AsOf::Day(now().day_in(portfolio.zone));
    let present = Pin { known, as_of: moment.as_of.unwrap_or_else(today) };
    let pin = page.map_or(Ok(present), |page| page.pinned(library.applied(), present))?;
    if portfolio.opened > pin.known {
        return Err(Problem::not_found("portfolio", portfolio.id));
    }
    Ok(pin)
}

/// All that a portfolio's figures depend on, as numbers that change when it does.
fn dependencies(library: &Library, portfolio: &PortfolioEntry, pin: Pin, fixed: bool) -> Vec<u64> {
    let mut all = vec![library.instruments.changed_at()];
    let (kind, number) = match pin.as_of {
        AsOf::Day(day) => (0, i64::from(day.number())),
        AsOf::Instant(instant) => (1, instant.nanos()),
    };
    all.extend([kind, u64::from_le_bytes(number.to_le_bytes())]);
    if fixed {
        all.push(pin.known);
        return all;
    }
    all.extend([
        library.directory.last_sequence(portfolio.id),
        library.imports.changed_at_of(portfolio.id),
        library.prices.last_sequence(),
    ]);
    all
}

/// Answers a read of a portfolio at a moment, unless the caller has the answer already.
pub(super) async fn one<T: 'static>(
    service: &Service,
    question: Question,
    id: PortfolioId,
    moment: Moment,
    show: impl FnOnce(&Journal, &PortfolioView<'_>, Pin) -> Result<Vec<u8>, Problem> + Send + 'static,
) -> Result<Found<T>, Problem> {
    service
        .blocking(move |journal| {
            let (pin, tag) = pinned(journal, &question, id, &moment, None)?;
            Found::written(tag, || visit(journal, id, pin, |view| show(journal, view, pin)))
        })
        .await
}

/// Answers a page of a list of what a portfolio has at a moment, unless the caller has the answer already.
pub(super) async fn list<T: 'static>(
    service: &Service,
    question: Question,
    id: PortfolioId,
    moment: Moment,
    page: Page,
    show: impl FnOnce(&Journal, &PortfolioView<'_>, Pin, &Page) -> Result<Vec<u8>, Problem> + Send + 'static,
) -> Result<Found<T>, Problem> {
    service
        .blocking(move |journal| {
            let (pin, tag) = pinned(journal, &question, id, &moment, Some(&page))?;
            Found::written(tag, || visit(journal, id, pin, |view| show(journal, view, pin, &page)))
        })
        .await
}

fn pinned(
    journal: &Journal,
    question: &Question,
    id: PortfolioId,
    moment: &Moment,
    page: Option<&Page>,
) -> Result<(Pin, Tag), Problem> {
    let fixed = is_fixed(moment, page);
    let known = if fixed { Some(journal.known(moment)?) } else { None };
    let library = journal.library()?;
    let portfolio = library.directory.get(id).ok_or_else(|| Problem::not_found("portfolio", id))?;
    let pin = pin(&library, portfolio, moment, known.unwrap_or_else(|| library.applied()), page)?;
    let standing = if fixed { Standing::fixed(pin.known) } else { Standing::seen(&library, id) };
    let tag = question.tag_of(&standing, &dependencies(&library, portfolio, pin, fixed));
    Ok((pin, tag))
}

/// Shows a portfolio under a pin; one without a bound on what occurred means the portfolio's own today.
pub(super) fn visit<T>(
    journal: &Journal,
    id: PortfolioId,
    pin: Pin,
    show: impl FnOnce(&PortfolioView<'_>) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let as_of = Some(pin.as_of).filter(|as_of| *as_of != AsOf::ALWAYS);
    let moment = Moment { as_of, known_at: None, at_sequence: Some(pin.known) };
    journal.portfolio(id, &moment, |view| Ok(show(view)))?
}

/// Which portfolios there are under a pin, and the tag of a list of them.
pub(super) fn portfolios(
    journal: &Journal,
    question: &Question,
    moment: &Moment,
    page: &Page,
    may_know: impl Fn(PortfolioId) -> bool,
) -> Result<(Vec<PortfolioId>, Pin, Tag), Problem> {
    let fixed = is_fixed(moment, Some(page));
    let known = if fixed { Some(journal.known(moment)?) } else { None };
    let library = journal.library()?;
    // Each portfolio has its own today, so that the list is pinned to none.
    let known = known.unwrap_or_else(|| library.applied());
    let pin = page.pinned(library.applied(), Pin { known, as_of: moment.as_of.unwrap_or(AsOf::ALWAYS) })?;
    let mut ids = Vec::new();
    let mut all = vec![u64::from(fixed)];
    for portfolio in library.directory.list() {
        if portfolio.opened <= pin.known && may_know(portfolio.id) {
            ids.push(portfolio.id);
            let today = || AsOf::Day(now().day_in(portfolio.zone));
            let own = Pin { as_of: moment.as_of.unwrap_or_else(today), ..pin };
            all.extend(dependencies(&library, portfolio, own, fixed));
        }
    }
    Ok((ids, pin, question.tag(&all)))
}

/// Which of some portfolios there are, as far as a caller may know, the head that is seen, and the tag of an answer about
/// all of them.
pub(super) fn several(
    journal: &Journal,
    question: &Question,
    moment: &Moment,
    ids: &[PortfolioId],
    may_know: impl Fn(PortfolioId) -> bool,
) -> Result<(Vec<PortfolioId>, u64, Tag), Problem> {
    let fixed = is_fixed(moment, None);
    let known = if fixed { Some(journal.known(moment)?) } else { None };
    let library = journal.library()?;
    let known = known.unwrap_or_else(|| library.applied());
    let mut there = Vec::with_capacity(ids.len());
    let mut all = vec![u64::from(fixed)];
    for (place, id) in ids.iter().enumerate() {
        let entry = library.directory.get(*id).filter(|entry| entry.opened <= known && may_know(*id));
        let Some(entry) = entry else { continue };
        there.push(*id);
        let today = || AsOf::Day(now().day_in(entry.zone));
        let own = Pin { known, as_of: moment.as_of.unwrap_or_else(today) };
        all.push(place as u64);
        all.extend(dependencies(&library, entry, own, fixed));
    }
    Ok((there, known, question.tag(&all)))
}

/// The records of some sequences, by sequence.
pub(super) fn records(
    journal: &Journal,
    mut wanted: Vec<u64>,
) -> Result<BTreeMap<u64, Record>, JournalError> {
    wanted.sort_unstable();
    let mut found = BTreeMap::new();
    journal.ledger().pick(&wanted, &mut |record| {
        found.insert(record.sequence, record.to_owned());
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// The names behind the ids of a portfolio's events.
struct NamesOf<'v, 'a> {
    view: &'v PortfolioView<'a>,
}

impl Names for NamesOf<'_, '_> {
    fn symbol(&self, id: InstrumentId, day: Day) -> Option<String> {
        let symbol = self.view.library.instruments.symbol(id, Some(day));
        symbol.or_else(|| self.view.symbol(id)).map(str::to_owned)
    }

    fn account_label(&self, id: AccountId) -> Option<String> {
        let linked = &self.view.portfolio.accounts.get(&id)?.linked;
        linked.name.open(self.view.keys).ok()
    }

    fn keys(&self) -> &KeyRing {
        self.view.keys
    }
}

/// A transaction by the columns of the generic CSV, and where it stands in the ledger.
pub(super) fn transaction(view: &PortfolioView<'_>, record: &Record) -> Result<Value, JournalError> {
    let event = decode(&record.view())?;
    let mut json = match to_columns(&event, &NamesOf { view }) {
        Some(fields) => serde_json::to_value(fields)
            .ok()
            .and_then(|fields| fields.as_object().cloned())
            .unwrap_or_default(),
        None => Map::new(),
    };
    if let Some(entry) = event.entry() {
        json.insert("trade_date".to_owned(), entry.trade_date.to_string().into());
        json.entry("time").or_insert_with(|| Timestamp::from_nanos(record.occurred_at).to_string().into());
    }
    json.insert("sequence".to_owned(), record.sequence.into());
    json.insert("event".to_owned(), event.event_type().name().into());
    json.insert("occurred_at".to_owned(), Timestamp::from_nanos(record.occurred_at).to_string().into());
    json.insert("recorded_at".to_owned(), Timestamp::from_nanos(record.recorded_at).to_string().into());
    json.insert("source".to_owned(), record.source.as_ref().into());
    if let Some(import) = record.import {
        json.insert("import".to_owned(), daybook_schemas::ImportId::from_bytes(import).to_string().into());
    }
    Ok(Value::Object(json))
}

/// The days from one to another, which must not lie the wrong way round.
pub(super) fn span(from: Option<Date>, to: Option<Date>) -> Result<(Option<Day>, Option<Day>), Problem> {
    let (from, to) = (from.map(|date| date.0), to.map(|date| date.0));
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        let fault = Fault::new("from", format!("it is after `to`, {to}: write the earlier day first"));
        return Err(Problem::faulty(Kind::InvalidParameter, vec![fault]));
    }
    Ok((from, to))
}
