//! Recommendations: screened, issued, answered by the client, allowed by a second person, carried out.

use super::access::Caller;
use super::advice::{self, RecommendationItem, ScreeningItem, TradeRequest, trades};
use super::answer::{Found, Made, Question};
use super::attempt::{self, Attempt};
use super::body::{Fields, Form, Input};
use super::page::{Limit, List, Page, Pin};
use super::precondition::{Precondition, Standing};
use super::problem::Problem;
use super::record::{record, schema};
use super::scalar::{
    Advisor, Party, Portfolio, Recommendation as RecommendationKey, Sequence, Time, TimeOrDate,
};
use super::seen::{self, records};
use super::service::Service;
use super::tags::Tag;
use crate::journal::{
    AskedTrade, Author, Journal, JournalError, Moment, NewAdvice, Terms, decode, instant, now,
};
use daybook_ledger::{Direction, Record};
use daybook_projections::{AdviceState, AsOf, Recommendation};
use daybook_schemas::events::{DeclineReason, RecommendationIssued, Reference, Role};
use daybook_schemas::{
    AdvisorId, Event, PartyId, PortfolioId, RecommendationId, Sealed, Timestamp, Zone, stream,
};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use rust_decimal::Decimal;
use std::cmp::Reverse;
use std::fmt::Display;
use std::ops::ControlFlow;
use std::str::FromStr;

/// Trades to be screened, as they were read.
pub(super) struct ScreeningRequest {
    portfolio: Option<PortfolioId>,
    trades: Vec<AskedTrade>,
    cost: Option<Decimal>,
}

schema!(
    @type ScreeningRequest, "Trades to be screened.",
    "The portfolio", portfolio, String;
    "The trades; an empty list for the portfolio as it is", trades, Vec<TradeRequest>;
    "What they are expected to cost, in the portfolio's base currency", expected_cost, Option<String>;
);

/// A recommendation to be issued, as it was read.
pub(super) struct RecommendationRequest {
    screening: ScreeningRequest,
    party: Option<PartyId>,
    advisor: Option<AdvisorId>,
    profile_version: Option<u32>,
    rationale: String,
    expires: Option<Timestamp>,
    replaces: Option<RecommendationId>,
}

schema!(
    @type RecommendationRequest, "A recommendation to be issued.",
    "The portfolio", portfolio, String;
    "To which of its owners; the one by whose profile it is judged, if not said", party, Option<String>;
    "The advisor, where an administrator issues it; an advisor issues in their own name", advisor, Option<String>;
    "What is recommended; an empty list for holding still", trades, Vec<TradeRequest>;
    "The version of the profile that it rests on; left out only while no profile is in force", profile_version, Option<u32>;
    "Why, in words for the client", rationale, String;
    "What following it is expected to cost, in the portfolio's base currency", expected_cost, Option<String>;
    "When it runs out: RFC 3339, or a date for the end of that day in UTC; in thirty days if not said", expires, Option<String>;
    "The recommendation that it replaces, one that waits for an answer", replaces, Option<String>;
);

record! {
    /// The client's word, or that it was given.
    AcceptanceRequest {
        /// The client's words
        note: Option<String>,
    }
}

record! {
    /// The client's word against it.
    DeclineRequest {
        /// Why: `unstated` (if not said), `too_risky`, `too_costly`, `liquidity`, `disagrees` or `timing`
        reason: Option<String>,
        /// The client's words
        note: Option<String>,
    }
}

record! {
    /// Why it is taken back.
    WithdrawalRequest {
        /// Why
        reason: Option<String>,
    }
}

record! {
    /// Why it should be allowed all the same.
    OverrideRequest {
        /// Why
        reason: String,
        /// The advisor who asks, where an administrator records it; the one who issued it, if not said
        advisor: Option<String>,
    }
}

record! {
    /// A second person's decision.
    DecisionRequest {
        /// The approver's or refuser's words
        note: Option<String>,
    }
}

record! {
    /// By what it was carried out.
    ExecutionRequest {
        /// The events of the fills; if not said, the fills since it was accepted that match its trades
        fills: Option<Vec<u64>>,
    }
}

record! {
    /// Something that happened to a recommendation.
    RecommendationEvent {
        /// The event
        sequence: Sequence,
        /// Its type
        event = "type": String,
        /// When it happened
        occurred_at: Time,
        /// When it was recorded
        recorded_at: Time,
        /// Who recorded it: an advisor's or a party's id, or a name
        actor: String,
        /// `client` if the client's own token recorded it, else `firm`: a client's word that the firm recorded is marked so
        by: String,
        /// The words that came with it; absent where there are none, or where the key was erased
        words: Option<String>,
        /// Why it was declined
        reason: Option<String>,
        /// The rules that an exception is asked from
        rules: Option<Vec<String>>,
        /// The fills that carried it out
        fills: Option<Vec<Sequence>>,
    }
}

/// An id, or a fault of its field.
fn id<T: FromStr<Err: Display>>(fields: &mut Fields, name: &str) -> Option<T> {
    let text = fields.text(name)?;
    text.parse().map_err(|error: T::Err| fields.fault(name, error.to_string())).ok()
}

impl Form for ScreeningRequest {
    fn read(fields: &mut Fields) -> Self {
        let text = fields.required_text("portfolio");
        let portfolio = match text.parse::<PortfolioId>() {
            Ok(id) => Some(id),
            Err(_) if text.is_empty() => None,
            Err(error) => {
                fields.fault("portfolio", error.to_string());
                None
            }
        };
        let cost = advice::number(fields, "expected_cost");
        if cost.is_some_and(|cost| cost < Decimal::ZERO) {
            fields.fault("expected_cost", "a cost is not negative");
        }
        Self { portfolio, trades: trades(fields), cost }
    }
}

impl ScreeningRequest {
    /// The portfolio; a form that names none is refused before it comes to this.
    fn portfolio(&self) -> Result<PortfolioId, Problem> {
        self.portfolio.ok_or_else(|| Problem::internal("a request was read that names no portfolio"))
    }
}

impl Form for RecommendationRequest {
    fn read(fields: &mut Fields) -> Self {
        let screening = ScreeningRequest::read(fields);
        let version = fields.whole_number("profile_version");
        let profile_version = version.and_then(|version| u32::try_from(version).ok());
        if version.is_some() && profile_version.is_none() {
            fields.fault("profile_version", "there is no such version");
        }
        let expires = fields.text("expires").map(|text| instant("expires", &text));
        let expires = match expires {
            Some(Err(_)) => {
                fields.fault("expires", "write RFC 3339, such as 2024-03-01T15:30:00Z, or a date");
                None
            }
            Some(Ok(expires)) => Some(expires),
            None => None,
        };
        Self {
            screening,
            party: id(fields, "party"),
            advisor: id(fields, "advisor"),
            profile_version,
            rationale: fields.required_text("rationale"),
            expires,
            replaces: id(fields, "replaces"),
        }
    }
}

impl Form for AcceptanceRequest {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields) -> Self {
        Self { note: fields.text("note") }
    }
}

impl Form for DeclineRequest {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields) -> Self {
        let reason = fields.text("reason");
        if reason.as_deref().is_some_and(|reason| DeclineReason::from_name(reason).is_none()) {
            fields.fault(
                "reason",
                "write unstated, too_risky, too_costly, liquidity, disagrees, timing, or other: and a word",
            );
        }
        Self { reason, note: fields.text("note") }
    }
}

impl Form for WithdrawalRequest {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields) -> Self {
        Self { reason: fields.text("reason") }
    }
}

impl Form for OverrideRequest {
    fn read(fields: &mut Fields) -> Self {
        let reason = fields.required_text("reason");
        let advisor: Option<AdvisorId> = id(fields, "advisor");
        Self { reason, advisor: advisor.map(|id| id.to_string()) }
    }
}

impl Form for DecisionRequest {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields) -> Self {
        Self { note: fields.text("note") }
    }
}

impl Form for ExecutionRequest {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields) -> Self {
        Self { fills: Some(fields.wholes("fills")) }
    }
}

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
                    let keys = journal.keys();
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
                            Ok(advice::recommendation(&library, &keys, advice, &issued, at, pin.known))
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
                        let keys = journal.keys();
                        advice::recommendation(&library, &keys, &advice, &issued, at, known)
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

    /// Accept a recommendation
    ///
    /// By the client, or by the firm that records the client's word: the history says who. Only while it is `issued`.
    #[oai(path = "/recommendations/:id/accept", method = "post", operation_id = "acceptRecommendation")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn accept(
        &self,
        caller: Caller,
        attempt: Attempt,
        precondition: Precondition,
        /// The recommendation
        id: Path<RecommendationKey>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        /// The ETag of a read of the recommendation: the write is refused if it changed since
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        input: Input<AcceptanceRequest>,
    ) -> Result<Made<RecommendationItem>, Problem> {
        let (id, note) = (id.0.0, input.value.note);
        let may = (Who::Client, attempt, precondition);
        self.step(caller, may, id, &input.canonical, move |journal, author, _, terms| {
            journal.accept_recommendation(author, id, note.as_deref(), terms)
        })
        .await
    }

    /// Decline a recommendation
    ///
    /// By the client, or by the firm that records the client's word: the history says who. Only while it is `issued`.
    #[oai(path = "/recommendations/:id/decline", method = "post", operation_id = "declineRecommendation")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn decline(
        &self,
        caller: Caller,
        attempt: Attempt,
        precondition: Precondition,
        /// The recommendation
        id: Path<RecommendationKey>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        /// The ETag of a read of the recommendation: the write is refused if it changed since
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        input: Input<DeclineRequest>,
    ) -> Result<Made<RecommendationItem>, Problem> {
        let (id, asked) = (id.0.0, input.value);
        let may = (Who::Client, attempt, precondition);
        self.step(caller, may, id, &input.canonical, move |journal, author, _, terms| {
            let reason = asked.reason.as_deref().and_then(DeclineReason::from_name);
            let reason = reason.unwrap_or(DeclineReason::Unstated);
            journal.decline_recommendation(author, id, reason, asked.note.as_deref(), terms)
        })
        .await
    }

    /// Withdraw a recommendation
    ///
    /// As long as it was neither declined nor carried out.
    #[oai(path = "/recommendations/:id/withdraw", method = "post", operation_id = "withdrawRecommendation")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn withdraw(
        &self,
        caller: Caller,
        attempt: Attempt,
        precondition: Precondition,
        /// The recommendation
        id: Path<RecommendationKey>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        /// The ETag of a read of the recommendation: the write is refused if it changed since
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        input: Input<WithdrawalRequest>,
    ) -> Result<Made<RecommendationItem>, Problem> {
        let (id, reason) = (id.0.0, input.value.reason);
        let may = (Who::Firm, attempt, precondition);
        self.step(caller, may, id, &input.canonical, move |journal, author, _, terms| {
            journal.withdraw_recommendation(author, id, reason.as_deref(), terms)
        })
        .await
    }

    /// Record that a recommendation was carried out
    ///
    /// By the fills that are named; without names, by the fills since it was accepted that match its trades in instrument
    /// and side, of which each trade must have one. Only once it is `accepted`.
    #[oai(path = "/recommendations/:id/execute", method = "post", operation_id = "executeRecommendation")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn execute(
        &self,
        caller: Caller,
        attempt: Attempt,
        precondition: Precondition,
        /// The recommendation
        id: Path<RecommendationKey>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        /// The ETag of a read of the recommendation: the write is refused if it changed since
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        input: Input<ExecutionRequest>,
    ) -> Result<Made<RecommendationItem>, Problem> {
        let (id, fills) = (id.0.0, input.value.fills.unwrap_or_default());
        let may = (Who::Firm, attempt, precondition);
        self.step(caller, may, id, &input.canonical, move |journal, author, _, terms| {
            journal.execute_recommendation(author, id, &fills, terms)
        })
        .await
    }

    /// Ask that a blocked recommendation be allowed
    ///
    /// A second person decides: an administrator who neither issued it nor asks.
    #[oai(path = "/recommendations/:id/override", method = "post", operation_id = "requestOverride")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn request_override(
        &self,
        caller: Caller,
        attempt: Attempt,
        precondition: Precondition,
        /// The recommendation
        id: Path<RecommendationKey>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        /// The ETag of a read of the recommendation: the write is refused if it changed since
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        input: Input<OverrideRequest>,
    ) -> Result<Made<RecommendationItem>, Problem> {
        let (id, asked) = (id.0.0, input.value);
        let named: Option<AdvisorId> = asked.advisor.as_deref().and_then(|id| id.parse().ok());
        let own = caller.advisor();
        if own.is_some() && named.is_some() && own != named {
            return Err(Problem::forbidden("an advisor asks in their own name"));
        }
        let may = (Who::Firm, attempt, precondition);
        self.step(caller, may, id, &input.canonical, move |journal, author, advice, terms| {
            let by = own.or(named).unwrap_or(advice.advisor);
            journal.request_override(author, id, &asked.reason, by, terms)
        })
        .await
    }

    /// Allow a blocked recommendation
    ///
    /// It is `issued` from then on, and the client sees it. Whoever issued it or asked does not decide.
    #[oai(path = "/recommendations/:id/override/approve", method = "post", operation_id = "approveOverride")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn approve(
        &self,
        caller: Caller,
        attempt: Attempt,
        precondition: Precondition,
        /// The recommendation
        id: Path<RecommendationKey>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        /// The ETag of a read of the recommendation: the write is refused if it changed since
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        input: Input<DecisionRequest>,
    ) -> Result<Made<RecommendationItem>, Problem> {
        let (id, note) = (id.0.0, input.value.note);
        let may = (Who::Firm, attempt, precondition);
        self.step(caller, may, id, &input.canonical, move |journal, author, _, terms| {
            journal.decide_override(author, id, true, note.as_deref(), terms)
        })
        .await
    }

    /// Refuse to allow a blocked recommendation
    ///
    /// It stays `blocked`. Whoever issued it or asked does not decide.
    #[oai(path = "/recommendations/:id/override/refuse", method = "post", operation_id = "refuseOverride")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn refuse(
        &self,
        caller: Caller,
        attempt: Attempt,
        precondition: Precondition,
        /// The recommendation
        id: Path<RecommendationKey>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        /// The ETag of a read of the recommendation: the write is refused if it changed since
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        input: Input<DecisionRequest>,
    ) -> Result<Made<RecommendationItem>, Problem> {
        let (id, note) = (id.0.0, input.value.note);
        let may = (Who::Firm, attempt, precondition);
        self.step(caller, may, id, &input.canonical, move |journal, author, _, terms| {
            journal.decide_override(author, id, false, note.as_deref(), terms)
        })
        .await
    }
}

/// Whose word a step is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    /// The client's, or that of whoever records it.
    Client,
    /// The firm's.
    Firm,
}

impl Recommendations {
    /// Takes a step with a recommendation, and shows what it is then.
    async fn step(
        &self,
        caller: Caller,
        (who, attempt, precondition): (Who, Attempt, Precondition),
        id: RecommendationId,
        canonical: &[u8],
        take: impl Fn(&Journal, &Author, &Recommendation, Terms) -> Result<bool, JournalError> + Send + 'static,
    ) -> Result<Made<RecommendationItem>, Problem> {
        let key = attempt.commit_key(&caller, canonical);
        self.0
            .blocking(move |journal| {
                let advice = visible(journal, &caller, id, now(), u64::MAX)?;
                if who == Who::Client && caller.party().is_some() && !caller.knows_party(advice.party) {
                    return Err(Problem::forbidden(
                        "it was recommended to another owner of the portfolio, who answers it",
                    ));
                }
                if attempt::earlier(journal, key.as_ref())?.is_some() {
                    return shown(journal, &caller, id, true);
                }
                let taken = precondition.guard(
                    || Standing::of_stream(journal, &stream::advice(id)),
                    |expected| {
                        let terms = Terms { commit_key: key.clone(), expected, ..Terms::default() };
                        take(journal, &caller.author(), &advice, terms)
                    },
                );
                let replayed = attempt::done(journal, key.as_ref(), taken)?;
                shown(journal, &caller, id, replayed)
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
    let item = advice::recommendation(&library, &journal.keys(), &advice, &issued, at, known);
    Ok(Made::new(&item).at(&format!("/recommendations/{id}")).replayed(replayed))
}

/// What the rules would say today of the trades of a recommendation.
fn screened_again(journal: &Journal, advice: &Recommendation) -> Result<ScreeningItem, Problem> {
    let trades: Vec<AskedTrade> = advice
        .trades
        .iter()
        .map(|trade| AskedTrade {
            symbol: trade.instrument.to_string(),
            side: trade.side.clone(),
            quantity: trade.quantity.map(daybook_schemas::Quantity::get),
            amount: trade.amount.filter(|_| trade.weight.is_none()).map(daybook_schemas::Money::amount),
            weight: trade.weight.map(daybook_schemas::Fraction::get),
            limit: trade.limit.map(daybook_schemas::Price::get),
        })
        .collect();
    let cost =
        journal.issued_event(advice.issued.sequence)?.expected_cost.map(daybook_schemas::Money::amount);
    let screened = journal.screen(advice.portfolio, &trades, cost, &Moment::default())?;
    Ok(advice::screening(advice.portfolio, &screened))
}

fn issued_in(record: &Record) -> Result<RecommendationIssued, Problem> {
    match decode(&record.view())? {
        Event::RecommendationIssued(issued) => Ok(issued),
        _ => Err(Problem::internal("an event that issued a recommendation is another")),
    }
}

/// What happened to a recommendation. The client is told what followed after it was shown.
fn told(
    journal: &Journal,
    advice: &Recommendation,
    known: u64,
    to_client: bool,
) -> Result<Vec<RecommendationEvent>, Problem> {
    let mut kept = Vec::new();
    let name = stream::advice(advice.id);
    journal
        .ledger()
        .scan_stream(&name, 1, usize::MAX, Direction::Forward, &mut |record| {
            if record.sequence > known {
                return ControlFlow::Break(());
            }
            kept.push(record.to_owned());
            ControlFlow::Continue(())
        })
        .map_err(JournalError::from)?;
    let library = journal.library()?;
    let keys = journal.keys();
    let read = |sealed: &Option<Sealed<String>>| sealed.as_ref().and_then(|sealed| sealed.open(&keys).ok());
    let mut told = Vec::with_capacity(kept.len());
    for record in kept {
        let event = decode(&record.view())?;
        let of_the_firm = matches!(
            event,
            Event::OverrideRequested(_) | Event::OverrideApproved(_) | Event::OverrideRefused(_)
        );
        if to_client && of_the_firm {
            continue;
        }
        let is_client = record.actor.parse().is_ok_and(|party: PartyId| library.firm.knows_party(party));
        let (words, reason, rules, fills) = match &event {
            Event::RecommendationIssued(issued) => (issued.rationale.open(&keys).ok(), None, None, None),
            Event::RecommendationAccepted(event) => (read(&event.note), None, None, None),
            Event::RecommendationDeclined(event) => {
                (read(&event.note), Some(event.reason.to_string()), None, None)
            }
            Event::RecommendationWithdrawn(event) => (read(&event.reason), None, None, None),
            Event::OverrideRequested(event) => {
                let rules = event.rules.iter().map(ToString::to_string).collect();
                (event.reason.open(&keys).ok(), None, Some(rules), None)
            }
            Event::OverrideApproved(event) => (read(&event.note), None, None, None),
            Event::OverrideRefused(event) => (read(&event.note), None, None, None),
            Event::RecommendationExecuted(event) => {
                let fills = event.fills.iter().filter_map(|fill| match fill {
                    Reference::Sequence(sequence) => Some(Sequence(*sequence)),
                    Reference::External(_) | Reference::Key(_) => None,
                });
                (None, None, None, Some(fills.collect()))
            }
            _ => (None, None, None, None),
        };
        told.push(RecommendationEvent {
            sequence: Sequence(record.sequence),
            event: event.event_type().name().to_owned(),
            occurred_at: Timestamp::from_nanos(record.occurred_at).into(),
            recorded_at: Timestamp::from_nanos(record.recorded_at).into(),
            actor: record.actor.to_string(),
            by: if is_client { "client".to_owned() } else { "firm".to_owned() },
            words,
            reason,
            rules,
            fills,
        });
    }
    Ok(told)
}
