//! Clients: the parties that the firm serves, by whom, and under which profile.

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::body::Fields;
use super::changes::{Asked, changes};
use super::firm::{self, About, HouseholdRef, PartyRef, ReversedItem, Seen, ServingItem};
use super::page::{Limit, List, Page};
use super::parties;
use super::problem::Problem;
use super::profiles::{self, ProfileItem};
use super::record::{record, schema};
use super::scalar::{
    Advisor as AdvisorKey, Date, Exact, Household as HouseholdKey, Party as PartyKey,
    Portfolio as PortfolioKey, Sequence, Team as TeamKey, Time, TimeOrDate,
};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use super::typed::{As, Read, choice};
use crate::journal::{HistoricFact, Journal, NewAssignment, Stated, Subject};
use daybook_schemas::events::{Assignee, AssignmentRole, ClientAssigned};
use daybook_schemas::{Event, PartyId, stream};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

record! {
    /// A client at a moment.
    ClientItem {
        /// The party that it is
        party: PartyKey,
        /// `person`, `joint`, `trust` or `entity`
        kind: String,
        /// Its name; absent where its key is erased
        name: Option<String>,
        /// `client` or `former`
        state: String,
        /// Who serves it, whoever answers for it first
        advisors: Vec<ServingItem>,
        /// The household that it belongs to
        household: Option<HouseholdRef>,
        /// The portfolios that it owns, whole or in part
        portfolios: Vec<PortfolioKey>,
        /// The version of the profile in force for all of its portfolios
        profile_version: Option<u32>,
        /// When it is to be looked at again
        review_due: Option<Date>,
        /// Whether that day is past
        review_overdue: bool,
        /// The day for which this holds
        as_of: Date,
        /// The ledger's head that this reflects
        sequence: Sequence,
    }
}

record! {
    /// A portfolio and how much of it a client owns.
    OwnedPortfolio {
        /// The portfolio
        portfolio: PortfolioKey,
        /// Its name; absent where its key is erased
        name: Option<String>,
        /// The client's share of the whole
        share: Exact,
    }
}

record! {
    /// A client at a moment, with all that belongs to it.
    ClientDetail {
        /// The party that it is
        party: PartyKey,
        /// `person`, `joint`, `trust` or `entity`
        kind: String,
        /// Its name; absent where its key is erased
        name: Option<String>,
        /// `client` or `former`
        state: String,
        /// The first day as a client
        from: Date,
        /// The last day as a client, where it is one no more or is known to leave
        until: Option<Date>,
        /// The parties behind it, as far as the caller may know of them
        members: Vec<PartyRef>,
        /// The parties that it stands behind, as far as the caller may know of them
        behind: Vec<PartyRef>,
        /// Who serves it, whoever answers for it first
        advisors: Vec<ServingItem>,
        /// The household that it belongs to
        household: Option<HouseholdRef>,
        /// The portfolios that it owns, whole or in part
        portfolios: Vec<OwnedPortfolio>,
        /// The profile in force for all of its portfolios
        profile: Option<ProfileItem>,
        /// The profiles in force for single portfolios
        portfolio_profiles: Vec<ProfileItem>,
        /// When it is to be looked at again
        review_due: Option<Date>,
        /// Whether that day is past
        review_overdue: bool,
        /// The day for which this holds
        as_of: Date,
        /// The ledger's head that this reflects
        sequence: Sequence,
    }
}

record! {
    /// An assignment as it was recorded.
    AssignmentItem {
        /// The client
        party: PartyKey,
        /// The advisor that it names
        advisor: Option<AdvisorKey>,
        /// The team that it names
        team: Option<TeamKey>,
        /// The name; absent where its key is erased
        name: Option<String>,
        /// `lead`, `support` or `deputy`
        role: String,
        /// The first day
        from: Date,
        /// The last day, where it has one
        until: Option<Date>,
        /// Whether it is in force on the day for which this holds: whoever was made lead later has replaced it
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

schema! {
    /// By whom a client is to be served: by an advisor or by a team.
    AssignmentRequest {
        /// The advisor
        advisor: Option<AdvisorKey>,
        /// The team, in the place of an advisor
        team: Option<TeamKey>,
        /// `lead` (the default), `support` or `deputy`
        role: Option<String>,
        /// The first day; today (UTC) if not said
        from: Option<Date>,
        /// The last day, where it has one; the same assignment said again with another last day replaces it
        until: Option<Date>,
    }
}

impl Read<AssignmentRequest> for NewAssignment {
    fn read(fields: &mut Fields) -> Option<Self> {
        let to = match (fields.id("advisor"), fields.id("team")) {
            (Some(advisor), None) => Some(Assignee::Advisor(advisor)),
            (None, Some(team)) => Some(Assignee::Team(team)),
            (Some(_), Some(_)) => {
                fields.fault("team", "say either advisor or team: one assignment names one");
                None
            }
            (None, None) => {
                if fields.is_sound() {
                    fields.fault("advisor", "it is required, or team in its place");
                }
                None
            }
        };
        let role = fields.one_of("role", AssignmentRole::CODED).unwrap_or(AssignmentRole::Lead);
        let (from, until) = (fields.day("from"), fields.day("until"));
        Some(Self { to: to?, role, from, until })
    }
}

/// The routes of clients.
pub(super) struct Clients(pub(super) Service);

#[OpenApi(tag = "Tag::Clients")]
impl Clients {
    /// List clients
    ///
    /// An advisor sees the clients they serve now, a client those that it stands for.
    #[oai(path = "/clients", method = "get", operation_id = "listClients")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn list(
        &self,
        caller: Caller,
        question: Question,
        /// Only those whom this advisor serves, by name or in a team
        advisor: Query<Option<AdvisorKey>>,
        /// Only those of this household
        household: Query<Option<HouseholdKey>>,
        /// Only those of this kind: `person`, `joint`, `trust` or `entity`
        kind: Query<Option<String>>,
        /// `client` (the default), `former` or `all`
        state: Query<Option<String>>,
        /// Only those whose review is overdue (`true`), or is not (`false`)
        review_overdue: Query<Option<bool>>,
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
    ) -> Result<Found<List<ClientItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let wanted = firm::Wanted::read(state.0.as_deref(), "client", "former")?;
        let kind = kind.0.as_deref().map(|kind| choice(kind, daybook_schemas::events::PartyKind::CODED));
        let kind = kind.transpose().map_err(|detail| Problem::parameter("kind", detail))?;
        let known = caller.clone();
        firm::list(
            &self.0,
            question,
            moment,
            page,
            About::Many,
            move |seen| {
                let firm = &seen.library.firm;
                let members = household.0.map(|household| {
                    let said = firm.household(household.0, seen.at);
                    said.map(|said| said.fact.members.clone()).unwrap_or_default()
                });
                let served = advisor.0.map(|advisor| firm.clients_of(advisor.0, seen.at));
                Ok(firm
                    .parties(seen.at)
                    .filter(|party| known.knows_party(party.id))
                    .filter(|party| members.as_ref().is_none_or(|members| members.contains(&party.id)))
                    .filter(|party| served.as_ref().is_none_or(|served| served.contains(&party.id)))
                    .filter(|party| kind.as_ref().is_none_or(|kind| party.kind == kind))
                    .filter(|party| {
                        review_overdue.0.is_none_or(|wanted| is_overdue(seen, party.id) == wanted)
                    })
                    .filter(|party| wanted.takes(seen, party.until))
                    .map(|party| party.id)
                    .collect())
            },
            ToString::to_string,
            move |seen, id| item(seen, &caller, id),
        )
        .await
    }

    /// Read a client
    #[oai(path = "/clients/:party", method = "get", operation_id = "readClient")]
    async fn read(
        &self,
        caller: Caller,
        question: Question,
        /// The party that it is
        party: Path<PartyKey>,
        /// Only what held by then; a date or an instant, whose day in UTC counts; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Found<ClientDetail>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let id = party.0.0;
        firm::one(
            &self.0,
            question,
            moment,
            About::Stream(stream::party(id)),
            move |seen| match seen.library.firm.party(id, seen.at) {
                // A portfolio's name changes in its own stream.
                Some(_) => {
                    let portfolios = seen.library.firm.owned(id, seen.at).into_iter();
                    let heads = portfolios.map(|id| seen.library.directory.last_sequence(id));
                    Ok([seen.library.firm.changed_at()].into_iter().chain(heads).collect())
                }
                None => Err(Problem::not_found("party", id)),
            },
            move |seen| detail(seen, &caller, id),
        )
        .await
    }

    /// List a client's assignments
    ///
    /// All of them, the oldest first, those that were taken back and those that begin on a day to come among them.
    #[oai(path = "/clients/:party/assignments", method = "get", operation_id = "listAssignments")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn assignments(
        &self,
        _caller: Caller,
        question: Question,
        /// The client
        party: Path<PartyKey>,
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
    ) -> Result<Found<List<AssignmentItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let id = party.0.0;
        firm::list(
            &self.0,
            question,
            moment,
            page,
            About::Stream(stream::party(id)),
            move |seen| {
                parties::exists(seen, id)?;
                let facts =
                    seen.journal.firm_history(seen.library, seen.keys, Subject::Party(id), seen.pin.known)?;
                Ok(facts
                    .into_iter()
                    .filter(|fact| matches!(fact.event, Event::ClientAssigned(_)))
                    .collect::<Vec<HistoricFact>>())
            },
            |fact| fact.entered.sequence.to_string(),
            |seen, fact| match &fact.event {
                Event::ClientAssigned(assigned) => Ok(assignment(seen, &fact, assigned)),
                _ => Err(Problem::internal("an assignment that is none")),
            },
        )
        .await
    }
}

changes! {
    /// The routes that change who serves a client.
    Changes, "Tag::Clients", party: PartyKey, "The client",
    "The ETag of a read of the client or of its assignments: the write is refused if anything was recorded about the party since";

    /// Assign a client to an advisor or a team
    ///
    /// One leads at a time: whoever is made lead replaces the one before, from the first day on. Others serve beside the
    /// lead until their last day.
    assign(As<AssignmentRequest, NewAssignment>) -> AssignmentItem = "post" "/clients/:party/assignments" "assignClient";
}

async fn assign(
    service: &Service,
    asked: Asked<PartyId>,
    said: As<AssignmentRequest, NewAssignment>,
) -> Result<Made<AssignmentItem>, Problem> {
    asked.record(service, said.said()?, parties::standing, Journal::assign_client, made).await
}

/// Whether a client's review is overdue.
fn is_overdue(seen: &Seen<'_>, id: PartyId) -> bool {
    seen.library.firm.review_due(id, seen.at).is_some_and(|due| due < seen.at.day)
}

fn made(journal: &Journal, _caller: &Caller, stated: &Stated) -> Result<Made<AssignmentItem>, Problem> {
    let Event::ClientAssigned(assigned) = &stated.event else {
        return Err(Problem::key_reused(stated.sequence));
    };
    let body = firm::recorded(journal, assigned.from, stated.sequence, |seen| {
        let subject = Subject::Party(assigned.party);
        let facts = seen.journal.firm_history(seen.library, seen.keys, subject, stated.sequence)?;
        let fact = facts.iter().find(|fact| fact.entered.sequence == stated.sequence);
        let fact = fact.ok_or_else(|| Problem::internal("an assignment that its history does not hold"))?;
        Ok(assignment(seen, fact, assigned))
    })?;
    let at = format!("/clients/{}/assignments", assigned.party);
    Ok(Made::new(&body).at(&at).replayed(stated.already))
}

fn assignment(seen: &Seen<'_>, fact: &HistoricFact, assigned: &ClientAssigned) -> AssignmentItem {
    let (advisor, team, name) = match &assigned.to {
        Assignee::Advisor(id) => (Some(*id), None, seen.advisor_name(*id)),
        Assignee::Team(id) => {
            let firm = &seen.library.firm;
            let team = firm.team(*id, seen.at).or_else(|| firm.team(*id, seen.ever()));
            (None, Some(*id), team.map(|said| said.fact.name.to_string()))
        }
    };
    let serving = seen.library.firm.serving(assigned.party, seen.at);
    AssignmentItem {
        party: assigned.party.into(),
        advisor: advisor.map(AdvisorKey),
        team: team.map(TeamKey),
        name,
        role: assigned.role.to_string(),
        from: assigned.from.into(),
        until: assigned.until.map(Date),
        in_force: serving.iter().any(|serving| serving.sequence == fact.entered.sequence),
        recorded_at: fact.entered.recorded_at.into(),
        actor: fact.entered.actor.clone(),
        reversed: firm::reversed(fact),
        event: Sequence(fact.entered.sequence),
    }
}

fn item(seen: &Seen<'_>, caller: &Caller, id: PartyId) -> Result<ClientItem, Problem> {
    let firm = &seen.library.firm;
    let party = firm.party(id, seen.at).ok_or_else(|| Problem::not_found("party", id))?;
    let is_client = seen.is_there(party.until);
    let portfolios = firm.owned(id, seen.at).into_iter().filter(|portfolio| caller.knows(*portfolio));
    Ok(ClientItem {
        party: id.into(),
        kind: party.kind.to_string(),
        name: party.name.open(seen.keys).ok(),
        state: if is_client { "client" } else { "former" }.to_owned(),
        advisors: seen.serving(id),
        household: seen.household_ref(id),
        portfolios: portfolios.map(PortfolioKey).collect(),
        profile_version: firm.profile(id, None, seen.at).map(|said| said.fact.version),
        review_due: firm.review_due(id, seen.at).map(Date),
        review_overdue: is_overdue(seen, id),
        as_of: seen.as_of(),
        sequence: seen.sequence(),
    })
}

fn detail(seen: &Seen<'_>, caller: &Caller, id: PartyId) -> Result<ClientDetail, Problem> {
    let firm = &seen.library.firm;
    let party = firm.party(id, seen.at).ok_or_else(|| Problem::not_found("party", id))?;
    let shown = item(seen, caller, id)?;
    let known = |parties: Vec<PartyId>| -> Vec<PartyRef> {
        let known = parties.into_iter().filter(|party| caller.knows_party(*party));
        known.map(|party| seen.party_ref(party)).collect()
    };
    let portfolios = shown.portfolios.iter().map(|portfolio| portfolio.0);
    let owned = portfolios.clone().filter_map(|portfolio| {
        let owners = firm.owners(portfolio, seen.at)?;
        let owner = owners.fact.owners.iter().find(|owner| owner.party == id)?;
        let entry = seen.library.directory.get(portfolio);
        Some(OwnedPortfolio {
            portfolio: portfolio.into(),
            name: entry.and_then(|entry| entry.name.open(seen.keys).ok()),
            share: owner.share.get().into(),
        })
    });
    let own = portfolios.filter_map(|portfolio| {
        firm.profile(id, Some(portfolio), seen.at).filter(|said| said.fact.portfolio.is_some())
    });
    Ok(ClientDetail {
        party: shown.party,
        kind: shown.kind,
        name: shown.name,
        state: shown.state,
        from: party.from.into(),
        until: party.until.map(Date),
        members: known(party.members.to_vec()),
        behind: known(firm.behind(id, seen.at)),
        advisors: shown.advisors,
        household: shown.household,
        portfolios: owned.collect(),
        profile: firm.profile(id, None, seen.at).map(|said| profiles::item(seen, said)),
        portfolio_profiles: own.map(|said| profiles::item(seen, said)).collect(),
        review_due: shown.review_due,
        review_overdue: shown.review_overdue,
        as_of: shown.as_of,
        sequence: shown.sequence,
    })
}
