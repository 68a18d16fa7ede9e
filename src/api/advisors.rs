//! Advisors: who joined the firm, what is known of them, who left and what they left behind.

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::attempt::Attempt;
use super::body::{Fields, Input};
use super::changes::{Asked, changes};
use super::firm::{self, About, ContactItem, PartyRef, Seen, ServingItem, TeamRef};
use super::page::{Limit, List, Page};
use super::precondition::Standing;
use super::problem::Problem;
use super::record::{record, schema};
use super::scalar::{Advisor as AdvisorKey, Date, Recommendation, Sequence, TimeOrDate, Token};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use super::typed::{As, Read};
use crate::journal::{AmendedAdvisor, Change, Journal, NewAdvisor, NewDeparture, Stated};
use daybook_projections::At;
use daybook_schemas::events::{AdvisorDeparted, Contact};
use daybook_schemas::{AdvisorId, Day, Event, PartyId, stream};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

record! {
    /// An advisor at a moment.
    AdvisorItem {
        /// The advisor
        id: AdvisorKey,
        /// The name; absent where its key is erased
        name: Option<String>,
        /// How to reach the advisor
        contact: Option<ContactItem>,
        /// The number with the regulator
        licence: Option<String>,
        /// The first day
        from: Date,
        /// The last day, where the advisor left or is known to leave
        until: Option<Date>,
        /// Who takes over the clients
        successor: Option<AdvisorKey>,
        /// `active` or `departed`
        state: String,
        /// The clients served, by name or in a team, as far as the caller may know of them
        clients: Vec<PartyRef>,
        /// The teams that the advisor is in
        teams: Vec<TeamRef>,
        /// The event that was recorded last about the advisor's person
        last_event: Sequence,
        /// The day for which this holds
        as_of: Date,
        /// The ledger's head that this reflects
        sequence: Sequence,
    }
}

schema! {
    /// An advisor who joins.
    AdvisorRequest {
        /// The name
        name: String,
        /// How to reach the advisor
        contact: Option<ContactItem>,
        /// The number with the regulator
        licence: Option<String>,
        /// The first day; today (UTC) if not said
        from: Option<Date>,
    }
}

schema! {
    /// What changes about an advisor. A field that is left out stays as it is; `contact` or `licence` of null is known no more.
    AdvisorAmendment {
        /// The name
        name: Option<String>,
        /// How to reach the advisor, all of it
        contact: Option<ContactItem>,
        /// The number with the regulator
        licence: Option<String>,
        /// The first day on which this holds; today (UTC) if not said
        from: Option<Date>,
    }
}

schema! {
    /// An advisor who leaves.
    DepartureRequest {
        /// The last day
        on: Date,
        /// Who takes over the clients; they are left without one if not said
        successor: Option<AdvisorKey>,
    }
}

record! {
    /// A client whom an advisor leaves behind.
    LeftClient {
        /// The client
        client: PartyRef,
        /// Who serves it on the day after; empty for nobody
        served_by: Vec<ServingItem>,
    }
}

record! {
    /// An advisor's departure, and everything that is left behind.
    Departure {
        /// The advisor
        advisor: AdvisorKey,
        /// The last day
        on: Date,
        /// Who takes over the clients
        successor: Option<AdvisorKey>,
        /// The clients served on the last day, and who serves them on the next
        clients: Vec<LeftClient>,
        /// The teams that name the advisor on the day after
        teams: Vec<TeamRef>,
        /// The advisor's tokens, which open nothing from the day after on: revoke them
        tokens: Vec<Token>,
        /// The recommendations that were withdrawn with it: they waited for an answer and would have outlived the last day
        withdrawn: Vec<Recommendation>,
        /// The event that says so
        sequence: Sequence,
    }
}

/// Reads how somebody can be reached.
pub(super) fn read_contact(fields: &mut Fields) -> Contact {
    Contact {
        email: fields.text("email"),
        telephone: fields.text("telephone"),
        address: fields.text("address"),
    }
}

/// Reads what becomes of something that is known of somebody: left out, null, or said.
pub(super) fn change<T>(
    fields: &mut Fields,
    name: &str,
    read: impl FnOnce(&mut Fields) -> Option<T>,
) -> Change<T> {
    if fields.is_null(name) {
        fields.says(name);
        return Change::Clear;
    }
    read(fields).map_or(Change::Keep, Change::To)
}

impl Read<AdvisorRequest> for NewAdvisor {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            name: fields.required_text("name"),
            contact: fields.object("contact", read_contact),
            licence: fields.text("licence"),
            from: fields.day("from"),
        })
    }
}

impl Read<AdvisorAmendment> for AmendedAdvisor {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            name: fields.text("name"),
            contact: change(fields, "contact", |fields| fields.object("contact", read_contact)),
            licence: change(fields, "licence", |fields| fields.text("licence")),
            from: fields.day("from"),
        })
    }
}

impl Read<DepartureRequest> for NewDeparture {
    fn read(fields: &mut Fields) -> Option<Self> {
        let on = fields.required("on", |text| Day::parse(text).map_err(|error| error.to_string()));
        let successor = fields.id("successor");
        Some(Self { on: on?, successor })
    }
}

/// The routes of advisors.
pub(super) struct Advisors(pub(super) Service);

#[OpenApi(tag = "Tag::Advisors")]
impl Advisors {
    /// List advisors
    ///
    /// An advisor sees the colleagues in the same teams; a client sees who serves them.
    #[oai(path = "/advisors", method = "get", operation_id = "listAdvisors")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn list(
        &self,
        caller: Caller,
        question: Question,
        /// `active` (the default), `departed` or `all`
        state: Query<Option<String>>,
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
    ) -> Result<Found<List<AdvisorItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let wanted = firm::Wanted::read(state.0.as_deref(), "active", "departed")?;
        let known = caller.clone();
        firm::list(
            &self.0,
            question,
            moment,
            page,
            About::Many,
            move |seen| {
                let all = seen.library.firm.advisors(seen.at);
                Ok(all
                    .filter(|advisor| known.knows_advisor(advisor.id))
                    .filter(|advisor| wanted.takes(seen, advisor.until))
                    .map(|advisor| advisor.id)
                    .collect())
            },
            ToString::to_string,
            move |seen, id| item(seen, &caller, id),
        )
        .await
    }

    /// Register an advisor who joins
    #[oai(path = "/advisors", method = "post", operation_id = "registerAdvisor")]
    async fn register(
        &self,
        caller: Caller,
        attempt: Attempt,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        input: Input<As<AdvisorRequest, NewAdvisor>>,
    ) -> Result<Made<AdvisorItem>, Problem> {
        let key = attempt.commit_key(&caller, &input.canonical);
        let new = input.value.said()?;
        self.0
            .blocking(move |journal| {
                let stated = firm::create(journal, key, |terms| {
                    journal.register_advisor(&caller.author(), &new, terms)
                })?;
                made(journal, &caller, &stated)
            })
            .await
    }

    /// Read an advisor
    #[oai(path = "/advisors/:id", method = "get", operation_id = "readAdvisor")]
    async fn read(
        &self,
        caller: Caller,
        question: Question,
        /// The advisor
        id: Path<AdvisorKey>,
        /// Only what held by then; a date or an instant, whose day in UTC counts; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Found<AdvisorItem>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let id = id.0.0;
        firm::one(
            &self.0,
            question,
            moment,
            About::Stream(stream::advisor(id)),
            move |seen| match seen.library.firm.advisor(id, seen.at) {
                Some(_) => Ok(vec![seen.library.firm.changed_at()]),
                None => Err(Problem::not_found("advisor", id)),
            },
            move |seen| item(seen, &caller, id),
        )
        .await
    }
}

changes! {
    /// The routes that change what is known of an advisor.
    Changes, "Tag::Advisors", id: AdvisorKey, "The advisor",
    "The ETag of a read of the advisor: the write is refused if anything was recorded about the advisor since";

    /// Change what is known of an advisor
    ///
    /// What is changed holds from a day on; what was known before stays in the history.
    amend(As<AdvisorAmendment, AmendedAdvisor>) -> AdvisorItem = "patch" "/advisors/:id" "amendAdvisor";

    /// Record that an advisor leaves
    ///
    /// The answer names everything that is left behind: the clients and who serves them from the day after on, the
    /// teams that still name the advisor, and the advisor's tokens. Clients pass to the successor, where one is named.
    /// Without one, the advisor's recommendations that wait for somebody's word and would outlive the last day are
    /// withdrawn with it, for that reason: nobody would answer for them.
    depart(As<DepartureRequest, NewDeparture>) -> Departure = "post" "/advisors/:id/departure" "departAdvisor";
}

async fn amend(
    service: &Service,
    asked: Asked<AdvisorId>,
    said: As<AdvisorAmendment, AmendedAdvisor>,
) -> Result<Made<AdvisorItem>, Problem> {
    asked.record(service, said.said()?, standing, Journal::amend_advisor, made).await
}

async fn depart(
    service: &Service,
    asked: Asked<AdvisorId>,
    said: As<DepartureRequest, NewDeparture>,
) -> Result<Made<Departure>, Problem> {
    asked.record(service, said.said()?, standing, Journal::depart_advisor, made_departure).await
}

fn standing(journal: &Journal, id: AdvisorId) -> Result<Standing, Problem> {
    Standing::of_stream(journal, &stream::advisor(id))
}

/// Refuses an advisor of whom nothing was recorded.
pub(super) fn exists(seen: &Seen<'_>, id: AdvisorId) -> Result<(), Problem> {
    match seen.library.firm.advisor_history(id).first() {
        Some(first) if first.sequence <= seen.pin.known => Ok(()),
        _ => Err(Problem::not_found("advisor", id)),
    }
}

/// What was recorded about an advisor, as it holds from its day on.
fn made(journal: &Journal, caller: &Caller, stated: &Stated) -> Result<Made<AdvisorItem>, Problem> {
    let (id, day) = match &stated.event {
        Event::AdvisorRegistered(fact) => (fact.advisor, fact.from),
        Event::AdvisorAmended(fact) => (fact.advisor, fact.from),
        _ => return Err(Problem::key_reused(stated.sequence)),
    };
    let body = firm::recorded(journal, day, stated.sequence, |seen| item(seen, caller, id))?;
    Ok(Made::new(&body).at(&format!("/advisors/{id}")).replayed(stated.already))
}

fn item(seen: &Seen<'_>, caller: &Caller, id: AdvisorId) -> Result<AdvisorItem, Problem> {
    let firm = &seen.library.firm;
    let advisor = firm.advisor(id, seen.at).ok_or_else(|| Problem::not_found("advisor", id))?;
    let at_work = seen.is_there(advisor.until);
    let clients = firm.clients_of(id, seen.at).into_iter().filter(|party| caller.knows_party(*party));
    Ok(AdvisorItem {
        id: id.into(),
        name: advisor.name.open(seen.keys).ok(),
        contact: firm::contact(advisor.contact.and_then(|contact| contact.open(seen.keys).ok())),
        licence: advisor.licence.and_then(|licence| licence.open(seen.keys).ok()),
        from: advisor.from.into(),
        until: advisor.until.map(Date),
        successor: advisor.successor.map(AdvisorKey),
        state: if at_work { "active" } else { "departed" }.to_owned(),
        clients: clients.map(|party| seen.party_ref(party)).collect(),
        teams: teams(seen, id, seen.at),
        last_event: Sequence(advisor.sequence),
        as_of: seen.as_of(),
        sequence: seen.sequence(),
    })
}

fn teams(seen: &Seen<'_>, id: AdvisorId, at: At) -> Vec<TeamRef> {
    let teams = seen.library.firm.teams_of(id, at);
    teams.map(|said| TeamRef { team: said.fact.team.into(), name: said.fact.name.to_string() }).collect()
}

fn made_departure(journal: &Journal, _caller: &Caller, stated: &Stated) -> Result<Made<Departure>, Problem> {
    let Event::AdvisorDeparted(fact) = &stated.event else {
        return Err(Problem::key_reused(stated.sequence));
    };
    let body = departure(journal, fact, stated)?;
    Ok(Made::new(&body).at(&format!("/advisors/{}", fact.advisor)).replayed(stated.already))
}

/// What an advisor leaves behind, as it is known now.
fn departure(journal: &Journal, fact: &AdvisorDeparted, stated: &Stated) -> Result<Departure, Problem> {
    let (id, sequence) = (fact.advisor, stated.sequence);
    let withdrawn = firm::withdrawn(journal, stated)?;
    let next = fact.on.plus_days(1);
    let clients: Vec<PartyId> = firm::recorded(journal, fact.on, sequence, |seen| {
        Ok(seen.library.firm.clients_of(id, seen.at).into_iter().collect())
    })?;
    firm::recorded(journal, next, sequence, |seen| {
        let tokens = seen.library.access.list().filter(|grant| {
            grant.sequence <= sequence
                && grant.is_valid_at(crate::journal::now())
                && grant.granted.subject.parse() == Ok(id)
        });
        Ok(Departure {
            advisor: id.into(),
            on: fact.on.into(),
            successor: fact.successor.map(AdvisorKey),
            clients: clients
                .iter()
                .map(|party| LeftClient { client: seen.party_ref(*party), served_by: seen.serving(*party) })
                .collect(),
            teams: teams(seen, id, seen.at),
            tokens: tokens.map(|grant| grant.granted.token.into()).collect(),
            withdrawn,
            sequence: Sequence(sequence),
        })
    })
}
