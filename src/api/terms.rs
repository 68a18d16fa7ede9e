//! The terms of a portfolio: whose it is, on whose decision it is traded, what it is measured against, which model it
//! follows and by which profile it is judged.

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::body::Fields;
use super::changes::{Asked, changes};
use super::firm::{self, About, ReversedItem, Seen, ServingItem};
use super::page::{Limit, List, Page};
use super::precondition::Standing;
use super::problem::Problem;
use super::profiles;
use super::record::{record, schema};
use super::scalar::{
    Date, Exact, Instrument as InstrumentKey, Model as ModelKey, Party as PartyKey,
    Portfolio as PortfolioKey, Sequence, Time, TimeOrDate,
};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use super::typed::{As, Read, choice, id};
use crate::journal::{
    Author, Journal, JournalError, NewBenchmark, NewMandate, NewModelAssignment, NewOwners, Stated, Subject,
    Terms as Recording,
};
use daybook_schemas::events::{Mandate, Ownership};
use daybook_schemas::{Event, Fraction, PartyId, PortfolioId};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

record! {
    /// One owner of a portfolio.
    OwnerItem {
        /// The party
        party: PartyKey,
        /// Its name; absent where its key is erased, or where the caller may not know of it
        name: Option<String>,
        /// Its share of the whole
        share: Exact,
    }
}

record! {
    /// Who owns a portfolio from a day on.
    OwnershipItem {
        /// The owners; their shares sum to one. Of owners whom the caller may not know of, nothing is said
        owners: Vec<OwnerItem>,
        /// The first day
        from: Date,
        /// Whether they own it on the day for which this holds
        in_force: bool,
        /// When it was recorded
        recorded_at: Time,
        /// Who recorded it
        actor: String,
        /// The event that took it back, where one did
        reversed: Option<ReversedItem>,
        /// The event that says so
        event: Sequence,
    }
}

record! {
    /// A mandate.
    MandateItem {
        /// `discretionary`: the firm decides; `advisory`: the firm advises, the client decides; `execution_only`: the firm executes
        mandate: String,
        /// The first day
        from: Date,
        /// The event that says so
        event: Sequence,
    }
}

record! {
    /// What a portfolio is measured against.
    BenchmarkItem {
        /// The instrument
        instrument: InstrumentKey,
        /// What it is called
        symbol: Option<String>,
        /// The first day
        from: Date,
        /// The event that says so
        event: Sequence,
    }
}

record! {
    /// The model that a portfolio follows.
    FollowedModel {
        /// The model
        model: ModelKey,
        /// Its name
        name: String,
        /// The version in force
        version: u32,
    }
}

record! {
    /// The profile by which a portfolio is judged.
    GoverningProfile {
        /// The party whose profile it is
        party: PartyKey,
        /// Its version
        version: u32,
    }
}

record! {
    /// One who serves an owner of a portfolio.
    OwnerServing {
        /// The owner
        party: PartyKey,
        /// Who serves it, whoever answers for it first
        advisors: Vec<ServingItem>,
    }
}

record! {
    /// The terms of a portfolio at a moment. What nobody set is absent.
    PortfolioTerms {
        /// The portfolio
        portfolio: PortfolioKey,
        /// Its owners and their shares, which sum to one; empty while nobody owns it. Of owners whom the caller may not know of, nothing is said
        owners: Vec<OwnerItem>,
        /// The first day of this ownership
        owned_from: Option<Date>,
        /// On whose decision it is traded
        mandate: Option<MandateItem>,
        /// What it is measured against
        benchmark: Option<BenchmarkItem>,
        /// The model that it follows
        model: Option<FollowedModel>,
        /// The profile by which it is judged: one for this portfolio alone, else that of the owner with the largest share
        profile: Option<GoverningProfile>,
        /// Who serves its owners
        serving: Vec<OwnerServing>,
        /// The day for which this holds
        as_of: Date,
        /// The ledger's head that this reflects
        sequence: Sequence,
    }
}

schema! {
    /// One owner's share.
    OwnershipRequest {
        /// The party, which is a client on the first day
        party: PartyKey,
        /// Its share of the whole, such as 0.5
        share: Exact,
    }
}

schema! {
    /// Who owns a portfolio from a day on.
    OwnersRequest {
        /// All owners; their shares sum to exactly one
        owners: Vec<OwnershipRequest>,
        /// The first day; today (UTC) if not said
        from: Option<Date>,
    }
}

schema! {
    /// On whose decision a portfolio is traded from a day on.
    MandateRequest {
        /// `discretionary`, `advisory` or `execution_only`
        mandate: String,
        /// The first day; today (UTC) if not said
        from: Option<Date>,
    }
}

schema! {
    /// What a portfolio is measured against from a day on.
    BenchmarkRequest {
        /// The instrument's symbol or id; nothing if not said
        instrument: Option<String>,
        /// The first day; today (UTC) if not said
        from: Option<Date>,
    }
}

schema! {
    /// Which model a portfolio follows from a day on.
    ModelAssignmentRequest {
        /// The model; none if not said
        model: Option<ModelKey>,
        /// The version; the newest at any time if not said
        version: Option<u32>,
        /// The first day; today (UTC) if not said
        from: Option<Date>,
    }
}

impl Read<OwnersRequest> for NewOwners {
    fn read(fields: &mut Fields) -> Option<Self> {
        let owners = fields.objects("owners", |fields| {
            let party = fields.required("party", id::<PartyId>);
            let share = fields.required("share", Fraction::parse);
            Some((party?, share?))
        });
        Some(Self { owners: owners.into_iter().flatten().collect(), from: fields.day("from") })
    }
}

impl Read<MandateRequest> for NewMandate {
    fn read(fields: &mut Fields) -> Option<Self> {
        let mandate = fields.required("mandate", |text| choice(text, Mandate::CODED));
        let from = fields.day("from");
        Some(Self { mandate: mandate?, from })
    }
}

impl Read<BenchmarkRequest> for NewBenchmark {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { instrument: fields.text("instrument"), from: fields.day("from") })
    }
}

impl Read<ModelAssignmentRequest> for NewModelAssignment {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { model: fields.id("model"), version: fields.integer("version"), from: fields.day("from") })
    }
}

/// The routes of portfolios' terms.
pub(super) struct Terms(pub(super) Service);

#[OpenApi(tag = "Tag::Portfolios")]
impl Terms {
    /// Read a portfolio's terms
    ///
    /// Its owners, its mandate, its benchmark, the model it follows, the profile it is judged by, and who serves its owners.
    #[oai(path = "/portfolios/:id/terms", method = "get", operation_id = "readTerms")]
    async fn read(
        &self,
        caller: Caller,
        question: Question,
        /// The portfolio
        id: Path<PortfolioKey>,
        /// Only what held by then; a date or an instant, whose day in UTC counts; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Found<PortfolioTerms>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let id = id.0.0;
        firm::one(
            &self.0,
            question,
            moment,
            About::Portfolio(id),
            move |seen| {
                exists(seen, id)?;
                Ok(vec![seen.library.firm.changed_at()])
            },
            move |seen| Ok(terms(seen, &caller, id)),
        )
        .await
    }

    /// List who owned a portfolio
    ///
    /// All ownerships, the oldest first, those that were taken back and those that begin on a day to come among them.
    #[oai(path = "/portfolios/:id/owners", method = "get", operation_id = "listOwners")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn owners(
        &self,
        caller: Caller,
        question: Question,
        /// The portfolio
        id: Path<PortfolioKey>,
        /// Only what held by then; a date or an instant, whose day in UTC counts; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<OwnershipItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let id = id.0.0;
        firm::list(
            &self.0,
            question,
            moment,
            page,
            About::Portfolio(id),
            move |seen| {
                exists(seen, id)?;
                let subject = Subject::Portfolio(id);
                let facts = seen.journal.firm_history(seen.library, seen.keys, subject, seen.pin.known)?;
                Ok(facts
                    .into_iter()
                    .filter(|fact| matches!(fact.event, Event::PortfolioOwnersSet(_)))
                    .collect())
            },
            |fact| fact.entered.sequence.to_string(),
            move |seen, fact| {
                let owners = match &fact.event {
                    Event::PortfolioOwnersSet(set) => set.owners.as_slice(),
                    _ => &[],
                };
                let present = seen.library.firm.owners(id, seen.at);
                Ok(OwnershipItem {
                    owners: shown_owners(seen, &caller, owners),
                    from: fact.from.into(),
                    in_force: present.is_some_and(|said| said.meta.sequence == fact.entered.sequence),
                    recorded_at: fact.entered.recorded_at.into(),
                    actor: fact.entered.actor.clone(),
                    reversed: firm::reversed(&fact),
                    event: Sequence(fact.entered.sequence),
                })
            },
        )
        .await
    }
}

changes! {
    /// The routes that change a portfolio's terms.
    Changes, "Tag::Portfolios", id: PortfolioKey, "The portfolio",
    "The ETag of a read of the portfolio: the write is refused if it changed since";

    /// Say who owns a portfolio
    set_owners(As<OwnersRequest, NewOwners>) -> PortfolioTerms = "post" "/portfolios/:id/owners" "setOwners";

    /// Say on whose decision a portfolio is traded
    set_mandate(As<MandateRequest, NewMandate>) -> PortfolioTerms = "post" "/portfolios/:id/mandate" "setMandate";

    /// Say what a portfolio is measured against
    choose_benchmark(As<BenchmarkRequest, NewBenchmark>) -> PortfolioTerms = "post" "/portfolios/:id/benchmark" "chooseBenchmark";

    /// Say which model a portfolio follows
    assign_model(As<ModelAssignmentRequest, NewModelAssignment>) -> PortfolioTerms = "post" "/portfolios/:id/model" "assignModel";
}

/// The terms as they are from the day of what was set on.
type Set = Result<Made<PortfolioTerms>, Problem>;

async fn set_owners(service: &Service, asked: Asked<PortfolioId>, said: As<OwnersRequest, NewOwners>) -> Set {
    set(service, asked, said.said()?, Journal::set_owners).await
}

async fn set_mandate(
    service: &Service,
    asked: Asked<PortfolioId>,
    said: As<MandateRequest, NewMandate>,
) -> Set {
    set(service, asked, said.said()?, Journal::set_mandate).await
}

async fn choose_benchmark(
    service: &Service,
    asked: Asked<PortfolioId>,
    said: As<BenchmarkRequest, NewBenchmark>,
) -> Set {
    set(service, asked, said.said()?, Journal::choose_benchmark).await
}

async fn assign_model(
    service: &Service,
    asked: Asked<PortfolioId>,
    said: As<ModelAssignmentRequest, NewModelAssignment>,
) -> Set {
    set(service, asked, said.said()?, Journal::assign_model).await
}

/// Sets one of a portfolio's terms.
async fn set<N: Send + 'static>(
    service: &Service,
    asked: Asked<PortfolioId>,
    new: N,
    set: impl Fn(&Journal, &Author, PortfolioId, &N, &Recording) -> Result<Stated, JournalError> + Send + 'static,
) -> Set {
    let id = asked.id;
    let show = move |journal: &Journal, caller: &Caller, stated: &Stated| made(journal, caller, id, stated);
    asked.record(service, new, Standing::of_portfolio, set, show).await
}

/// Refuses a portfolio that was not opened by then.
pub(super) fn exists(seen: &Seen<'_>, id: PortfolioId) -> Result<(), Problem> {
    match seen.library.directory.get(id) {
        Some(entry) if entry.opened <= seen.pin.known => Ok(()),
        _ => Err(Problem::not_found("portfolio", id)),
    }
}

fn made(journal: &Journal, caller: &Caller, id: PortfolioId, stated: &Stated) -> Set {
    let day = match &stated.event {
        Event::PortfolioOwnersSet(fact) => fact.from,
        Event::MandateSet(fact) => fact.from,
        Event::BenchmarkChosen(fact) => fact.from,
        Event::ModelAssigned(fact) => fact.from,
        _ => return Err(Problem::key_reused(stated.sequence)),
    };
    let body = firm::recorded(journal, day, stated.sequence, |seen| Ok(terms(seen, caller, id)))?;
    Ok(Made::new(&body).at(&format!("/portfolios/{id}/terms")).replayed(stated.already))
}

fn shown_owners(seen: &Seen<'_>, caller: &Caller, owners: &[Ownership]) -> Vec<OwnerItem> {
    let known = owners.iter().filter(|owner| caller.knows_party(owner.party));
    known
        .map(|owner| OwnerItem {
            party: owner.party.into(),
            name: seen.party_name(owner.party),
            share: owner.share.get().into(),
        })
        .collect()
}

fn terms(seen: &Seen<'_>, caller: &Caller, id: PortfolioId) -> PortfolioTerms {
    let firm = &seen.library.firm;
    let owners = firm.owners(id, seen.at);
    let shown = shown_owners(seen, caller, owners.map_or(&[], |said| said.fact.owners.as_slice()));
    let benchmark = firm.benchmark(id, seen.at).and_then(|said| {
        let instrument = said.fact.instrument?;
        Some(BenchmarkItem {
            instrument: instrument.into(),
            symbol: profiles::symbol(seen, instrument),
            from: said.fact.from.into(),
            event: Sequence(said.meta.sequence),
        })
    });
    PortfolioTerms {
        portfolio: id.into(),
        serving: shown
            .iter()
            .map(|owner| OwnerServing { party: owner.party, advisors: seen.serving(owner.party.0) })
            .collect(),
        owners: shown,
        owned_from: owners.map(|said| said.fact.from.into()),
        mandate: firm.mandate(id, seen.at).map(|said| MandateItem {
            mandate: said.fact.mandate.to_string(),
            from: said.fact.from.into(),
            event: Sequence(said.meta.sequence),
        }),
        benchmark,
        model: firm.model_of(id, seen.at).map(|said| FollowedModel {
            model: said.fact.model.into(),
            name: said.fact.name.to_string(),
            version: said.fact.version,
        }),
        profile: firm
            .governing_profile(id, seen.at)
            .filter(|(party, _)| caller.knows_party(*party))
            .map(|(party, said)| GoverningProfile { party: party.into(), version: said.fact.version }),
        as_of: seen.as_of(),
        sequence: seen.sequence(),
    }
}
