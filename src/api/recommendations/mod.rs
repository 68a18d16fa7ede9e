//! Recommendations: screened, issued, answered by the client, allowed by a second person, carried out.

mod requests;
mod steps;
mod told;

pub(super) use steps::Steps;

use super::access::Caller;
use super::advice::{self, RecommendationItem, ScreeningItem};
use super::answer::{Found, Made, Question};
use super::attempt::{self, Attempt};
use super::body::Input;
use super::page::{Limit, List, Page, Pin};
use super::precondition::Standing;
use super::problem::Problem;
use super::scalar::{Advisor, Party, Portfolio, Recommendation as RecommendationKey, Sequence, TimeOrDate};
use super::seen::{self, records};
use super::service::Service;
use super::tags::Tag;
use crate::journal::{Journal, JournalError, Moment, NewAdvice, decode, now};
use daybook_ledger::Record;
use daybook_projections::{AdviceState, AsOf, Library, Recommendation};
use daybook_schemas::events::{RecommendationIssued, Role};
use daybook_schemas::{AdvisorId, Event, RecommendationId, Timestamp, Zone, stream};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use requests::{RecommendationRequest, ScreeningRequest};
use std::cmp::Reverse;
use told::{RecommendationEvent, told};

/// The routes of recommendations.
pub(super) struct Recommendations(pub(super) Service);

#[OpenApi(tag = "Tag::Recommendations")]
impl Recommendations {
    /// Screen trades against the rules
    ///
    /// Holds the portfolio, as the trades would leave it at today's prices, against the investment profile in force.
    /// Nothing is recorded.
    #[oai(path = "/recommendations/screen", method = "post", operation_id = "screenRecommendation")]
    async fn screen(
        &self,
        _caller: Caller,
        /// Nothing is recorded, so that a repetition changes nothing
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        input: Input<ScreeningRequest>,
    ) -> Result<Made<ScreeningItem>, Problem> {
        let asked = input.value;
        self.0
            .blocking(move |journal| {
                let portfolio = asked.portfolio()?;
                let screened = journal.screen(portfolio, &asked.trades, asked.cost, &Moment::default())?;
                Ok(Made::new(&advice::screening(portfolio, &screened)).unchanged())
            })
            .await
    }

    /// Issue a recommendation
    ///
    /// It is screened, and what was seen is kept in the event. Where a rule is broken, or could not be measured, it is
    /// `blocked`: the client does not see it until a second person allowed it.
    #[oai(path = "/recommendations", method = "post", operation_id = "issueRecommendation")]
    async fn issue(
        &self,
        caller: Caller,
        attempt: Attempt,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        input: Input<RecommendationRequest>,
    ) -> Result<Made<RecommendationItem>, Problem> {
        let key = attempt.commit_key(&caller, &input.canonical);
        let asked = input.value;
        self.0
            .blocking(move |journal| {
                if let Some(commit) = attempt::earlier(journal, key.as_ref())? {
                    let id = journal.issued_by(commit.sequences.first().copied().unwrap_or(commit.head))?;
                    return shown(journal, &caller, id, true);
                }
                let new = NewAdvice {
                    portfolio: asked.screening.portfolio()?,
                    party: asked.party,
                    advisor: advisor_of(&caller, asked.advisor)?,
                    trades: asked.screening.trades,
                    profile_version: asked.profile_version,
                    rationale: asked.rationale,
                    cost: asked.screening.cost,
                    expires: asked.expires,
                    replaces: asked.replaces,
                };
                let issued = journal.issue_recommendation(&caller.author(), &new, key.clone());
                let (id, _) = attempt::done(journal, key.as_ref(), issued.map_err(Problem::from))?;
                shown(journal, &caller, id, false)
            })
            .await
    }

    /// List recommendations, newest first
    #[oai(path = "/recommendations", method = "get", operation_id = "listRecommendations")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn list(
        &self,
        caller: Caller,
        question: Question,
        /// Only those for this portfolio
        portfolio: Query<Option<Portfolio>>,
        /// Only those to this party
        party: Query<Option<Party>>,
        /// Only those by this advisor
        advisor: Query<Option<Advisor>>,
        /// Only those that stand so: `blocked`, `awaiting_override`, `issued`, `accepted`, `declined`, `expired`, `withdrawn`, `executed` or `replaced`
        state: Query<Option<String>>,
        /// As they stood then: only what had occurred by then; a date means the end of that day in UTC; now if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<RecommendationItem>>, Problem> {
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let state = state.0.as_deref().map(state_of).transpose()?;
        self.0
            .blocking(move |journal| {
                let known = journal.known(&moment)?;
                let library = journal.library()?;
                // The pages of a list show it as it stood when the first was made.
                let at = moment.as_of.map_or_else(now, |as_of| as_of.instant(Zone::UTC));
                let present = Pin { known, as_of: AsOf::Instant(at) };
                let pin = page.pinned(library.applied(), present)?;
                let at = pin.as_of.instant(Zone::UTC);
                let mut listed: Vec<&Recommendation> = library
                    .recommendations
                    .list()
                    .rev()
                    .filter(|advice| is_visible(&caller, advice, at, pin.known))
                    .filter(|advice| portfolio.0.is_none_or(|id| id.0 == advice.portfolio))
                    .filter(|advice| party.0.is_none_or(|id| id.0 == advice.party))
                    .filter(|advice| advisor.0.is_none_or(|id| id.0 == advice.advisor))
                    .filter(|advice| state.is_none_or(|state| advice.state(at, pin.known) == state))
                    .collect();
                listed.sort_by_key(|advice| (Reverse(advice.issued.occurred_at), Reverse(advice.id)));
                let stands = listed.iter().map(|advice| advice.state(at, pin.known) as u64);
                let mut depends: Vec<u64> = stands.collect();
                depends.extend([
                    pin.known.min(library.recommendations.changed_at()),
                    library.prices.last_sequence(),
                    library.firm.changed_at(),
                    library.instruments.changed_at(),
                    u64::from_le_bytes(i64::from(at.day_in(Zone::UTC).number()).to_le_bytes()),
                ]);
                Found::new(question.tag(&depends), || {
                    let key = |advice: &&Recommendation| advice.id.to_string();
                    let mut cut = page.cut(pin, listed, key, Ok)?;
                    let sequences = cut.items.iter().map(|advice| advice.issued.sequence).collect();
                    let events = records(journal, sequences)?;
                    let items = std::mem::take(&mut cut.items);
                    let items = items
                        .into_iter()
                        .filter_map(|advice| Some((advice, events.get(&advice.issued.sequence)?)))
                        .map(|(advice, record)| {
                            let issued = issued_in(record)?;
                            item(journal, &library, &caller, advice, &issued, (at, pin.known))
                        })
                        .collect::<Result<_, Problem>>()?;
                    Ok(List { items, next: cut.next, sequence: cut.sequence })
                })
            })
            .await
    }

    /// Read a recommendation
    ///
    /// Its screening is that of the day of issue, frozen. With `rescreen=true`, what the rules would say today of the same
    /// trades stands beside it, as `today`.
    #[oai(path = "/recommendations/:id", method = "get", operation_id = "readRecommendation")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn read(
        &self,
        caller: Caller,
        question: Question,
        /// The recommendation
        id: Path<RecommendationKey>,
        /// `true` for what the rules would say today as well
        rescreen: Query<Option<bool>>,
        /// As it stood then: only what had occurred by then; a date means the end of that day in UTC; now if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Found<RecommendationItem>, Problem> {
        let (id, rescreen) = (id.0.0, rescreen.0.unwrap_or(false));
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        self.0
            .blocking(move |journal| {
                let known = journal.known(&moment)?;
                let at = moment.as_of.map_or_else(now, |as_of| as_of.instant(Zone::UTC));
                let advice = visible(journal, &caller, id, at, known)?;
                let is_fixed =
                    moment.as_of.is_some() || moment.known_at.is_some() || moment.at_sequence.is_some();
                let standing = if is_fixed {
                    Standing::fixed(known)
                } else {
                    Standing::of_stream(journal, &stream::advice(id))?
                };
                let tag = {
                    let library = journal.library()?;
                    let depends = [
                        advice.last_sequence.min(known),
                        advice.state(at, known) as u64,
                        library.prices.last_sequence(),
                        library.firm.changed_at(),
                        library.instruments.changed_at(),
                        u64::from_le_bytes(i64::from(at.day_in(Zone::UTC).number()).to_le_bytes()),
                        if rescreen { library.applied() } else { 0 },
                    ];
                    question.tag_of(&standing, &depends)
                };
                Found::new(tag, || {
                    let today = if rescreen { Some(screened_again(journal, &advice)?) } else { None };
                    let issued = journal.issued_event(advice.issued.sequence)?;
                    let item = {
                        let library = journal.library()?;
                        item(journal, &library, &caller, &advice, &issued, (at, known))?
                    };
                    Ok(RecommendationItem { today, ..item })
                })
            })
            .await
    }

    /// List what happened to a recommendation, oldest first
    #[oai(path = "/recommendations/:id/history", method = "get", operation_id = "listRecommendationHistory")]
    async fn history(
        &self,
        caller: Caller,
        question: Question,
        /// The recommendation
        id: Path<RecommendationKey>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<RecommendationEvent>>, Problem> {
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let id = id.0.0;
        self.0
            .blocking(move |journal| {
                let advice = visible(journal, &caller, id, now(), u64::MAX)?;
                let head = journal.library()?.applied();
                let pin = page.pinned(head, Pin::known(head))?;
                Found::new(question.tag(&[advice.last_sequence, pin.known.min(advice.last_sequence)]), || {
                    let events = told(journal, &advice, pin.known, *caller.role() == Role::Client)?;
                    page.cut(pin, events, |event| event.sequence.0.to_string(), Ok)
                })
            })
            .await
    }
}

fn state_of(name: &str) -> Result<AdviceState, Problem> {
    AdviceState::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = AdviceState::ALL.iter().map(|state| state.name()).collect();
        Problem::parameter("state", format!("write one of {}", names.join(", ")))
    })
}

/// In whose name a recommendation is issued.
fn advisor_of(caller: &Caller, named: Option<AdvisorId>) -> Result<AdvisorId, Problem> {
    match (caller.advisor(), named) {
        (Some(own), None) => Ok(own),
        (Some(own), Some(named)) if own == named => Ok(own),
        (Some(_), Some(_)) => Err(Problem::forbidden("an advisor issues recommendations in their own name")),
        (None, Some(named)) => Ok(named),
        (None, None) => Err(Problem::from(JournalError::field("advisor", "say which advisor recommends it"))),
    }
}

/// Whether the caller may know of a recommendation: of the portfolio's, those that reached the client; the firm sees all.
fn is_visible(caller: &Caller, advice: &Recommendation, at: Timestamp, known: u64) -> bool {
    let is_issued = advice.issued.sequence <= known && advice.issued.occurred_at <= at;
    let of_the_firm = matches!(caller.role(), Role::Administrator | Role::Auditor | Role::Advisor);
    is_issued && caller.knows(advice.portfolio) && (of_the_firm || advice.reached_client(at, known))
}

/// A recommendation that the caller may know of.
fn visible(
    journal: &Journal,
    caller: &Caller,
    id: RecommendationId,
    at: Timestamp,
    known: u64,
) -> Result<Recommendation, Problem> {
    let unknown = || Problem::not_found("recommendation", id);
    let advice = journal.recommendation(id).map_err(|error| match error {
        JournalError::NotFound { .. } => unknown(),
        other => other.into(),
    })?;
    if is_visible(caller, &advice, at, known) { Ok(advice) } else { Err(unknown()) }
}

/// A recommendation as it stands now, for whoever changed it.
fn shown(
    journal: &Journal,
    caller: &Caller,
    id: RecommendationId,
    replayed: bool,
) -> Result<Made<RecommendationItem>, Problem> {
    let (at, known) = (now(), u64::MAX);
    let advice = visible(journal, caller, id, at, known)?;
    let issued = journal.issued_event(advice.issued.sequence)?;
    let library = journal.library()?;
    let item = item(journal, &library, caller, &advice, &issued, (at, known))?;
    Ok(Made::new(&item).at(&format!("/recommendations/{id}")).replayed(replayed))
}

/// A recommendation as the caller may see it, at an instant and by what was recorded up to a sequence.
fn item(
    journal: &Journal,
    library: &Library,
    caller: &Caller,
    advice: &Recommendation,
    issued: &RecommendationIssued,
    (at, known): (Timestamp, u64),
) -> Result<RecommendationItem, Problem> {
    let base = library.directory.get(advice.portfolio).map(|portfolio| portfolio.base_currency);
    let base = base.or(issued.seen_equity.map(daybook_schemas::Money::currency));
    let carried_out = match base.filter(|_| !advice.fills.is_empty()) {
        Some(base) => journal.carried_out(advice, base, known)?,
        None => Vec::new(),
    };
    let keys = journal.keys();
    let mut item = advice::recommendation(library, &keys, advice, issued, &carried_out, (at, known));
    // Of one that never reached the client not even the id is told.
    let follower = item.replaced_by.as_ref().and_then(|id| library.recommendations.get(id.0));
    if follower.is_some_and(|follower| !is_visible(caller, follower, at, known)) {
        item.replaced_by = None;
    }
    Ok(item)
}

/// What the rules would say today of the trades of a recommendation.
fn screened_again(journal: &Journal, advice: &Recommendation) -> Result<ScreeningItem, Problem> {
    let screened = journal.screen_again(advice, &Moment::default())?;
    Ok(advice::screening(advice.portfolio, &screened))
}

fn issued_in(record: &Record) -> Result<RecommendationIssued, Problem> {
    match decode(&record.view())? {
        Event::RecommendationIssued(issued) => Ok(issued),
        _ => Err(Problem::internal("an event that issued a recommendation is another")),
    }
}
