//! What each person of the firm sees: portfolios are looked at one by one and kept, then the view is told from them.
//!
//! Where a portfolio stands takes milliseconds to tell and depends on that portfolio, its owners' profiles and the prices
//! of what it ever held; it is told anew when one of these changed. No lock is held while several are looked at.

mod desk;
mod looking;

pub(super) use desk::Desk;
pub(super) use looking::volume;

use super::{Journal, JournalError, Moment, decode, now};
use daybook_projections::firm_views::{
    Asked, Folded, LookedUp, Names, Office, OverrideSaid, Seen, advisor_portfolios, advisor_view,
    client_portfolios, client_recommendations, client_view, firm_portfolios, firm_view,
};
use daybook_projections::{AdviceState, AdviceStep, AsOf, At, Firm, Reach};
use daybook_schemas::{
    AdvisorId, Currency, Day, Event, InstrumentId, KeyRing, PartyId, PortfolioId, TeamId, Timestamp, Zone,
};
use desk::Copied;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Whose view is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Viewer {
    /// An advisor's.
    Advisor(AdvisorId),
    /// The firm's.
    Firm,
    /// A client's.
    Client(PartyId),
}

/// What is asked of a view.
#[derive(Clone, Debug)]
pub(crate) struct ViewRequest {
    /// Whose.
    pub(crate) viewer: Viewer,
    /// The moment.
    pub(crate) moment: Moment,
    /// The first day of the period; that of the quarter if not said.
    pub(crate) from: Option<Day>,
    /// The currency of sums; that of most portfolios if not said.
    pub(crate) currency: Option<Currency>,
    /// What the caller may know of now.
    pub(crate) reach: Reach,
}

/// A view, and the head that it reflects.
#[derive(Clone, Debug)]
pub(crate) struct Viewed {
    /// The view, but for the head.
    pub(crate) body: Map<String, Value>,
    /// The head.
    pub(crate) sequence: u64,
}

/// The first day of a day's quarter.
fn quarter(day: Day) -> Day {
    let text = day.to_string();
    let month: u32 = text.get(5..7).and_then(|month| month.parse().ok()).unwrap_or(1);
    let year = text.get(..4).and_then(|year| year.parse().ok()).unwrap_or(1970);
    Day::from_ymd(year, (month - 1) / 3 * 3 + 1, 1).unwrap_or(day)
}

/// What most of some things are; of several the first.
fn most<T: Ord + Copy>(all: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(one, _)| one)
}

impl Journal {
    /// Tells what somebody of the firm sees at a moment.
    pub(crate) fn firm_view(&self, request: &ViewRequest) -> Result<Viewed, JournalError> {
        let known = self.known(&request.moment)?;
        let copied = self.copied()?;
        let zones = copied.directory.list().map(|entry| entry.zone.name());
        let zone = most(zones).and_then(|name| Zone::parse(name).ok()).unwrap_or(Zone::UTC);
        let as_of = request.moment.as_of.unwrap_or_else(|| AsOf::Day(now().day_in(zone)));
        let day = as_of.day(zone);
        // A recommendation runs out in the course of today, not at its end.
        let instant = as_of.instant(zone).min(now().max(Timestamp::from_nanos(0)));
        let instant = if request.moment.as_of.is_some() { as_of.instant(zone) } else { instant };
        let from = request.from.unwrap_or_else(|| quarter(day));
        if from > day {
            let detail = format!("it is after the day of the view, {day}: write that day or an earlier one");
            return Err(JournalError::field("from", detail));
        }
        let currency =
            request.currency.or_else(|| most(copied.directory.list().map(|entry| entry.base_currency)));
        let seen = Seen {
            at: At { day, known },
            instant,
            from,
            zone,
            currency: currency.unwrap_or(Currency::USD),
            reach: &request.reach,
        };
        let keys = self.keys();
        let names = NamesOf { copied: &copied, keys: &keys, at: seen.at };
        let folded = Folded {
            firm: &copied.firm,
            recommendations: &copied.recommendations,
            instruments: &copied.instruments,
            directory: &copied.directory,
        };
        exists(&copied.firm, request.viewer, seen.at)?;
        let office = Office::new(folded, seen, &names);
        let portfolios = match request.viewer {
            Viewer::Advisor(id) => advisor_portfolios(&office, id),
            Viewer::Firm => firm_portfolios(&office),
            Viewer::Client(id) => client_portfolios(&office, id),
        };
        let looked_at = self.look_at(&portfolios, request.moment.as_of, known, from)?;
        let mut looked_up = LookedUp { standings: looked_at.standings, ..LookedUp::default() };
        looked_up.outcomes = self.outcomes(&copied, &portfolios, instant, known)?;
        let mut office = office.with(looked_up);
        let rates = self.rates(&office.currencies(), seen.currency, instant, known)?;
        office.set_rates(rates);
        let body = match request.viewer {
            Viewer::Advisor(id) => written(&advisor_view(&office, id)),
            Viewer::Firm => {
                let said = self.overrides_said(&copied, instant, known, &request.reach, &keys)?;
                written(&firm_view(&office, &looked_at.traded, &said))
            }
            Viewer::Client(id) => {
                let shown = client_recommendations(&office, id);
                let mut offered = self.offered(&shown, &keys)?;
                let moment = Moment { as_of: request.moment.as_of, known_at: None, at_sequence: Some(known) };
                for advice in shown {
                    if advice.state(instant, known) == AdviceState::Issued {
                        offered.entry(advice.id).or_default().refused =
                            self.refused_acceptance(advice, &moment)?;
                    }
                }
                written(&client_view(&office, id, &offered))
            }
        };
        Ok(Viewed { body: with_moment(body, &Asked::of(as_of, from, day)), sequence: known })
    }

    /// Requests for exceptions and decisions on them, by whom.
    fn overrides_said(
        &self,
        copied: &Copied,
        instant: Timestamp,
        known: u64,
        reach: &Reach,
        keys: &KeyRing,
    ) -> Result<Vec<OverrideSaid>, JournalError> {
        let mut wanted: BTreeMap<u64, AdviceStep> = BTreeMap::new();
        for advice in copied.recommendations.list().filter(|advice| reach.portfolio(advice.portfolio)) {
            for (meta, step) in &advice.steps {
                let decides = matches!(
                    step,
                    AdviceStep::OverrideRequested
                        | AdviceStep::OverrideApproved
                        | AdviceStep::OverrideRefused
                );
                if decides && meta.sequence <= known && meta.occurred_at <= instant {
                    wanted.insert(meta.sequence, *step);
                }
            }
        }
        let names = |id: AdvisorId| {
            let at = At { day: instant.day_in(Zone::UTC), known };
            copied.firm.advisor(id, at).and_then(|advisor| advisor.name.open(keys).ok())
        };
        let mut said = Vec::with_capacity(wanted.len());
        let sequences: Vec<u64> = wanted.keys().copied().collect();
        let mut fault = None;
        self.ledger.pick(&sequences, &mut |record| match decode(record) {
            Ok(event) => {
                let (recommendation, by) = match event {
                    Event::OverrideRequested(event) => {
                        let by = event.requested_by;
                        (event.recommendation, names(by).unwrap_or_else(|| by.to_string()))
                    }
                    Event::OverrideApproved(event) => (event.recommendation, event.approved_by.to_string()),
                    Event::OverrideRefused(event) => (event.recommendation, event.refused_by.to_string()),
                    _ => return ControlFlow::Continue(()),
                };
                if let Some(step) = wanted.get(&record.sequence) {
                    let at = Timestamp::from_nanos(record.occurred_at);
                    said.push(OverrideSaid { recommendation, step: *step, at, by });
                }
                ControlFlow::Continue(())
            }
            Err(error) => {
                fault = Some(error);
                ControlFlow::Break(())
            }
        })?;
        fault.map_or(Ok(said), Err)
    }
}

/// Whoever is asked about must be there at the moment.
fn exists(firm: &Firm, viewer: Viewer, at: At) -> Result<(), JournalError> {
    match viewer {
        Viewer::Firm => Ok(()),
        Viewer::Advisor(id) if firm.advisor(id, at).is_some() => Ok(()),
        Viewer::Advisor(id) => Err(JournalError::not_found("advisor", id)),
        Viewer::Client(id) if firm.party(id, at).is_some() => Ok(()),
        Viewer::Client(id) => Err(JournalError::not_found("party", id)),
    }
}

fn written(view: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(view) {
        Ok(Value::Object(body)) => body,
        _ => Map::new(),
    }
}

/// Adds from where it is seen, and which figures of the whole are absent.
fn with_moment(mut body: Map<String, Value>, asked: &Asked) -> Map<String, Value> {
    if let Ok(Value::Object(asked)) = serde_json::to_value(asked) {
        body.extend(asked);
    }
    let figures = ["assets", "assets_together", "net_flow", "turnover", "costs", "concentration"];
    let missing: Map<String, Value> = figures
        .into_iter()
        .filter_map(|figure| Some((figure.to_owned(), json!(body.get(figure)?.get("missing")?.as_str()?))))
        .collect();
    body.insert("missing".to_owned(), Value::Object(missing));
    body
}

/// What ids are called at a moment.
struct NamesOf<'a> {
    copied: &'a Copied,
    keys: &'a KeyRing,
    at: At,
}

impl Names for NamesOf<'_> {
    fn advisor(&self, id: AdvisorId) -> Option<String> {
        self.copied.firm.advisor(id, self.at)?.name.open(self.keys).ok()
    }

    fn party(&self, id: PartyId) -> Option<String> {
        self.copied.firm.party(id, self.at)?.name.open(self.keys).ok()
    }

    fn portfolio(&self, id: PortfolioId) -> Option<String> {
        self.copied.directory.get(id)?.name.open(self.keys).ok()
    }

    fn team(&self, id: TeamId) -> Option<String> {
        self.copied.firm.team(id, self.at).map(|said| said.fact.name.to_string())
    }

    fn instrument(&self, id: InstrumentId) -> Option<String> {
        let symbol = self.copied.instruments.symbol(id, Some(self.at.day));
        symbol.or_else(|| self.copied.instruments.symbol(id, None)).map(str::to_owned)
    }
}

/// Portfolios by id.
type Wanted = BTreeSet<PortfolioId>;
/// What was bought and what was sold.
type Volumes = (Decimal, Decimal);
