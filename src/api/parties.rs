//! Parties: persons, joint holders, trusts and entities, from the day they come to the day they leave.

use super::access::Caller;
use super::advisors::{change, read_contact};
use super::answer::{Found, Made, Question};
use super::attempt::Attempt;
use super::body::{Fields, Input};
use super::changes::{Asked, changes};
use super::firm::{self, About, ContactItem, PartyRef, Seen};
use super::page::{Limit, List, Page};
use super::precondition::Standing;
use super::problem::Problem;
use super::record::{record, schema};
use super::scalar::{
    Advisor as AdvisorKey, Date, Party as PartyKey, Portfolio as PortfolioKey, Recommendation, Sequence,
    TimeOrDate,
};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use super::typed::{As, Read, choice};
use crate::journal::{AmendedParty, Journal, NewOffboarding, NewParty, Stated};
use daybook_schemas::events::{PartyKind, PartyOffboarded, Role};
use daybook_schemas::{Day, Event, PartyId, stream};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

record! {
    /// A party at a moment.
    PartyItem {
        /// The party
        id: PartyKey,
        /// `person`, `joint`, `trust` or `entity`
        kind: String,
        /// Its name; absent where its key is erased
        name: Option<String>,
        /// How to reach it
        contact: Option<ContactItem>,
        /// The parties behind it, as far as the caller may know of them
        members: Vec<PartyRef>,
        /// The country it pays taxes in, ISO 3166
        tax_country: Option<String>,
        /// The first day as a client
        from: Date,
        /// The last day as a client, where it is one no more or is known to leave
        until: Option<Date>,
        /// `client` or `former`
        state: String,
        /// The event that was recorded last about the party itself
        last_event: Sequence,
        /// The day for which this holds
        as_of: Date,
        /// The ledger's head that this reflects
        sequence: Sequence,
    }
}

schema! {
    /// A party that becomes a client.
    PartyRequest {
        /// `person`, `joint`, `trust` or `entity`
        kind: String,
        /// Its name
        name: String,
        /// How to reach it
        contact: Option<ContactItem>,
        /// The parties behind it: two persons at least for joint holders, none for a person
        members: Option<Vec<PartyKey>>,
        /// The country it pays taxes in, ISO 3166, such as `US`
        tax_country: Option<String>,
        /// The first day; today (UTC) if not said
        on: Option<Date>,
        /// Who answers for it from that day on; an advisor's token answers for those that it onboards
        advisor: Option<AdvisorKey>,
        /// The party that comes back, by the id under which it was a client before; a new id if not said
        party: Option<PartyKey>,
    }
}

schema! {
    /// What changes about a party. A field that is left out stays as it is; `contact` or `tax_country` of null is known no more.
    PartyAmendment {
        /// Its name
        name: Option<String>,
        /// How to reach it, all of it
        contact: Option<ContactItem>,
        /// All parties behind it
        members: Option<Vec<PartyKey>>,
        /// The country it pays taxes in, ISO 3166
        tax_country: Option<String>,
        /// The first day on which this holds; today (UTC) if not said
        from: Option<Date>,
    }
}

schema! {
    /// A party that is a client no more.
    OffboardingRequest {
        /// The last day
        on: Date,
        /// Why
        reason: Option<String>,
    }
}

record! {
    /// A party's offboarding, and what is left behind.
    Offboarding {
        /// The party
        party: PartyKey,
        /// The last day
        on: Date,
        /// The portfolios that it owns on the day after: close them, or give them other owners
        portfolios: Vec<PortfolioKey>,
        /// The parties that it stands behind
        behind: Vec<PartyRef>,
        /// The recommendations that were withdrawn with it: they waited for an answer and would have outlived the last day
        withdrawn: Vec<Recommendation>,
        /// The event that says so
        sequence: Sequence,
    }
}

impl Read<PartyRequest> for NewParty {
    fn read(fields: &mut Fields) -> Option<Self> {
        let kind = fields.required("kind", |text| choice(text, PartyKind::CODED));
        let name = fields.required_text("name");
        let contact = fields.object("contact", read_contact);
        let members = fields.ids("members").unwrap_or_default();
        let tax_country = fields.text("tax_country");
        let on = fields.day("on");
        let advisor = fields.id("advisor");
        let party = fields.id("party");
        Some(Self { party, kind: kind?, name, contact, members, tax_country, on, advisor })
    }
}

impl Read<PartyAmendment> for AmendedParty {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            name: fields.text("name"),
            contact: change(fields, "contact", |fields| fields.object("contact", read_contact)),
            members: fields.ids("members"),
            tax_country: change(fields, "tax_country", |fields| fields.text("tax_country")),
            from: fields.day("from"),
        })
    }
}

impl Read<OffboardingRequest> for NewOffboarding {
    fn read(fields: &mut Fields) -> Option<Self> {
        let on = fields.required("on", |text| Day::parse(text).map_err(|error| error.to_string()));
        let reason = fields.text("reason");
        Some(Self { on: on?, reason })
    }
}

/// The routes of parties.
pub(super) struct Parties(pub(super) Service);

#[OpenApi(tag = "Tag::Clients")]
impl Parties {
    /// List parties
    #[oai(path = "/parties", method = "get", operation_id = "listParties")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn list(
        &self,
        caller: Caller,
        question: Question,
        /// Only those of this kind: `person`, `joint`, `trust` or `entity`
        kind: Query<Option<String>>,
        /// `client` (the default), `former` or `all`
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
    ) -> Result<Found<List<PartyItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let wanted = firm::Wanted::read(state.0.as_deref(), "client", "former")?;
        let kind = kind.0.as_deref().map(|kind| choice(kind, PartyKind::CODED)).transpose();
        let kind = kind.map_err(|detail| Problem::parameter("kind", detail))?;
        let known = caller.clone();
        firm::list(
            &self.0,
            question,
            moment,
            page,
            About::Many,
            move |seen| {
                let all = seen.library.firm.parties(seen.at);
                Ok(all
                    .filter(|party| known.knows_party(party.id))
                    .filter(|party| kind.as_ref().is_none_or(|kind| party.kind == kind))
                    .filter(|party| wanted.takes(seen, party.until))
                    .map(|party| party.id)
                    .collect())
            },
            ToString::to_string,
            move |seen, id| item(seen, &caller, id),
        )
        .await
    }

    /// Onboard a party
    ///
    /// Whoever an advisor onboards is assigned to that advisor, who answers for it from the first day on. A party that left
    /// comes back under its id, with all that was recorded of it: `party` names it, and what is known of it is said anew.
    #[oai(path = "/parties", method = "post", operation_id = "onboardParty")]
    async fn onboard(
        &self,
        caller: Caller,
        attempt: Attempt,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        input: Input<As<PartyRequest, NewParty>>,
    ) -> Result<Made<PartyItem>, Problem> {
        let key = attempt.commit_key(&caller, &input.canonical);
        let mut new = input.value.said()?;
        check_members(&caller, &new.members)?;
        if *caller.role() == Role::Advisor {
            let own = caller.advisor();
            if new.advisor.is_some() && new.advisor != own {
                return Err(Problem::forbidden(
                    "an advisor onboards clients of their own: leave `advisor` out, or ask an administrator",
                ));
            }
            new.advisor = own;
        }
        self.0
            .blocking(move |journal| {
                let stated =
                    firm::create(journal, key, |terms| journal.onboard_party(&caller.author(), &new, terms))?;
                let Event::PartyOnboarded(fact) = &stated.event else {
                    return Err(Problem::key_reused(stated.sequence));
                };
                made(journal, &stated, &new.members, fact.party, fact.on)
            })
            .await
    }

    /// Read a party
    #[oai(path = "/parties/:id", method = "get", operation_id = "readParty")]
    async fn read(
        &self,
        caller: Caller,
        question: Question,
        /// The party
        id: Path<PartyKey>,
        /// Only what held by then; a date or an instant, whose day in UTC counts; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Found<PartyItem>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let id = id.0.0;
        firm::one(
            &self.0,
            question,
            moment,
            About::Stream(stream::party(id)),
            move |seen| match seen.library.firm.party(id, seen.at) {
                Some(_) => Ok(vec![seen.library.firm.changed_at()]),
                None => Err(Problem::not_found("party", id)),
            },
            move |seen| item(seen, &caller, id),
        )
        .await
    }
}

changes! {
    /// The routes that change what is known of a party.
    Changes, "Tag::Clients", id: PartyKey, "The party",
    "The ETag of a read of the party: the write is refused if anything was recorded about the party since";

    /// Change what is known of a party
    ///
    /// What is changed holds from a day on; what was known before stays in the history.
    amend(As<PartyAmendment, AmendedParty>) -> PartyItem = "patch" "/parties/:id" "amendParty";

    /// Record that a party is a client no more
    ///
    /// The answer names what is left behind: the portfolios that the party still owns, and those that it stands behind.
    /// Recommendations to it that wait for somebody's word and would outlive the last day are withdrawn with it, for that
    /// reason: nobody would answer them.
    offboard(As<OffboardingRequest, NewOffboarding>) -> Offboarding = "post" "/parties/:id/offboarding" "offboardParty";
}

async fn amend(
    service: &Service,
    asked: Asked<PartyId>,
    said: As<PartyAmendment, AmendedParty>,
) -> Result<Made<PartyItem>, Problem> {
    let amended = said.said()?;
    check_members(&asked.caller, amended.members.as_deref().unwrap_or_default())?;
    asked.record(service, amended, standing, Journal::amend_party, made_amendment).await
}

async fn offboard(
    service: &Service,
    asked: Asked<PartyId>,
    said: As<OffboardingRequest, NewOffboarding>,
) -> Result<Made<Offboarding>, Problem> {
    asked.record(service, said.said()?, standing, Journal::offboard_party, made_offboarding).await
}

/// What writes to a party compete for.
pub(super) fn standing(journal: &Journal, id: PartyId) -> Result<Standing, Problem> {
    Standing::of_stream(journal, &stream::party(id))
}

fn made_amendment(journal: &Journal, caller: &Caller, stated: &Stated) -> Result<Made<PartyItem>, Problem> {
    let Event::PartyAmended(fact) = &stated.event else {
        return Err(Problem::key_reused(stated.sequence));
    };
    let known: Vec<PartyId> =
        fact.members.iter().copied().filter(|member| caller.knows_party(*member)).collect();
    made(journal, stated, &known, fact.party, fact.from)
}

fn made_offboarding(
    journal: &Journal,
    _caller: &Caller,
    stated: &Stated,
) -> Result<Made<Offboarding>, Problem> {
    let Event::PartyOffboarded(fact) = &stated.event else {
        return Err(Problem::key_reused(stated.sequence));
    };
    let body = offboarding(journal, fact, stated)?;
    Ok(Made::new(&body).at(&format!("/parties/{}", fact.party)).replayed(stated.already))
}

/// Refuses a party of which nothing was recorded.
pub(super) fn exists(seen: &Seen<'_>, id: PartyId) -> Result<(), Problem> {
    match seen.library.firm.party_history(id).first() {
        Some(first) if first.sequence <= seen.pin.known => Ok(()),
        _ => Err(Problem::not_found("party", id)),
    }
}

/// Members are parties that the caller may know of.
fn check_members(caller: &Caller, members: &[PartyId]) -> Result<(), Problem> {
    members.iter().try_for_each(|member| firm::check_party(caller, *member))
}

/// What was recorded about a party, as it holds from its day on. Whoever onboards a party may know of it, also before the
/// token reaches it.
fn made(
    journal: &Journal,
    stated: &Stated,
    known: &[PartyId],
    id: PartyId,
    day: Day,
) -> Result<Made<PartyItem>, Problem> {
    let body = firm::recorded(journal, day, stated.sequence, |seen| {
        shown(seen, id, |party| known.contains(&party))
    })?;
    Ok(Made::new(&body).at(&format!("/parties/{id}")).replayed(stated.already))
}

fn item(seen: &Seen<'_>, caller: &Caller, id: PartyId) -> Result<PartyItem, Problem> {
    shown(seen, id, |party| caller.knows_party(party))
}

fn shown(seen: &Seen<'_>, id: PartyId, knows: impl Fn(PartyId) -> bool) -> Result<PartyItem, Problem> {
    let party = seen.library.firm.party(id, seen.at).ok_or_else(|| Problem::not_found("party", id))?;
    let is_client = seen.is_there(party.until);
    let members = party.members.iter().copied().filter(|member| knows(*member));
    Ok(PartyItem {
        id: id.into(),
        kind: party.kind.to_string(),
        name: party.name.open(seen.keys).ok(),
        contact: firm::contact(party.contact.and_then(|contact| contact.open(seen.keys).ok())),
        members: members.map(|member| seen.party_ref(member)).collect(),
        tax_country: party.tax_country.map(str::to_owned),
        from: party.from.into(),
        until: party.until.map(Date),
        state: if is_client { "client" } else { "former" }.to_owned(),
        last_event: Sequence(party.sequence),
        as_of: seen.as_of(),
        sequence: seen.sequence(),
    })
}

fn offboarding(journal: &Journal, fact: &PartyOffboarded, stated: &Stated) -> Result<Offboarding, Problem> {
    let withdrawn = firm::withdrawn(journal, stated)?;
    firm::recorded(journal, fact.on.plus_days(1), stated.sequence, |seen| {
        let firm = &seen.library.firm;
        let behind = firm.behind(fact.party, seen.at);
        Ok(Offboarding {
            party: fact.party.into(),
            on: fact.on.into(),
            portfolios: firm.owned(fact.party, seen.at).into_iter().map(PortfolioKey).collect(),
            behind: behind.into_iter().map(|party| seen.party_ref(party)).collect(),
            withdrawn,
            sequence: Sequence(stated.sequence),
        })
    })
}
