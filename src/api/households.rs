//! Households: which clients belong together, from which day on.

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::attempt::Attempt;
use super::body::{Fields, Input};
use super::changes::{Asked, changes};
use super::firm::{self, About, PartyRef, Seen};
use super::page::{Limit, List, Page};
use super::precondition::Standing;
use super::problem::Problem;
use super::record::{record, schema};
use super::scalar::{Date, Household as HouseholdKey, Party as PartyKey, Sequence, TimeOrDate};
use super::seen;
use super::service::Service;
use super::tags::Tag;
use super::typed::{As, Read};
use crate::journal::{Author, Journal, NewHousehold, Stated, Subject, Terms};
use daybook_schemas::{Event, HouseholdId};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

record! {
    /// A household at a moment.
    HouseholdItem {
        /// The household
        id: HouseholdKey,
        /// Its name; absent where its key is erased
        name: Option<String>,
        /// Its members, as far as the caller may know of them; none if it was dissolved
        members: Vec<PartyRef>,
        /// The day from which it is so
        from: Date,
        /// The event that says so
        last_event: Sequence,
        /// The day for which this holds
        as_of: Date,
        /// The ledger's head that this reflects
        sequence: Sequence,
    }
}

schema! {
    /// A household that is formed.
    HouseholdRequest {
        /// Its name
        name: String,
        /// All its members; a party is in one household at a time
        members: Vec<PartyKey>,
        /// The first day; today (UTC) if not said
        from: Option<Date>,
    }
}

schema! {
    /// How a household is from a day on. A field that is left out stays as it is.
    HouseholdAmendment {
        /// Its name
        name: Option<String>,
        /// All its members from then on; none dissolves it
        members: Option<Vec<PartyKey>>,
        /// The first day on which this holds; today (UTC) if not said
        from: Option<Date>,
    }
}

fn read(fields: &mut Fields) -> NewHousehold {
    NewHousehold { name: fields.text("name"), members: fields.ids("members"), from: fields.day("from") }
}

impl Read<HouseholdRequest> for NewHousehold {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(read(fields))
    }
}

impl Read<HouseholdAmendment> for NewHousehold {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(read(fields))
    }
}

/// The routes of households.
pub(super) struct Households(pub(super) Service);

#[OpenApi(tag = "Tag::Clients")]
impl Households {
    /// List households
    ///
    /// A caller sees the households of the parties they may know of, and of the members only those parties.
    #[oai(path = "/households", method = "get", operation_id = "listHouseholds")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn list(
        &self,
        caller: Caller,
        question: Question,
        /// Only that of this party
        party: Query<Option<PartyKey>>,
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
    ) -> Result<Found<List<HouseholdItem>>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let known = caller.clone();
        firm::list(
            &self.0,
            question,
            moment,
            page,
            About::Many,
            move |seen| {
                let all = seen.library.firm.households(seen.at);
                Ok(all
                    .filter(|said| party.0.is_none_or(|party| said.fact.members.contains(&party.0)))
                    .map(|said| said.fact.household)
                    .filter(|id| knows(seen, &known, *id))
                    .collect())
            },
            ToString::to_string,
            move |seen, id| item(seen, &caller, id),
        )
        .await
    }

    /// Form a household
    #[oai(path = "/households", method = "post", operation_id = "formHousehold")]
    async fn form(
        &self,
        caller: Caller,
        attempt: Attempt,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        input: Input<As<HouseholdRequest, NewHousehold>>,
    ) -> Result<Made<HouseholdItem>, Problem> {
        let key = attempt.commit_key(&caller, &input.canonical);
        let new = input.value.said()?;
        self.0
            .blocking(move |journal| {
                let stated = firm::create(journal, key, |terms| {
                    journal.form_household(&caller.author(), None, &new, terms)
                })?;
                made(journal, &caller, &stated)
            })
            .await
    }

    /// Read a household
    #[oai(path = "/households/:id", method = "get", operation_id = "readHousehold")]
    async fn read(
        &self,
        caller: Caller,
        question: Question,
        /// The household
        id: Path<HouseholdKey>,
        /// Only what held by then; a date or an instant, whose day in UTC counts; today if not said
        as_of: Query<Option<TimeOrDate>>,
        /// Only what had been recorded by then; a date means the end of that day, UTC
        known_at: Query<Option<TimeOrDate>>,
        /// Only what had been recorded up to this event
        at_sequence: Query<Option<Sequence>>,
    ) -> Result<Found<HouseholdItem>, Problem> {
        let moment = seen::moment(as_of.0, known_at.0, at_sequence.0)?;
        let id = id.0.0;
        let known = caller.clone();
        firm::one(
            &self.0,
            question,
            moment,
            About::Subject(Subject::Household(id)),
            move |seen| match seen.library.firm.household(id, seen.at) {
                Some(_) if knows(seen, &known, id) => Ok(vec![seen.library.firm.changed_at()]),
                _ => Err(Problem::not_found("household", id)),
            },
            move |seen| item(seen, &caller, id),
        )
        .await
    }
}

changes! {
    /// The routes that change a household.
    Changes, "Tag::Clients", id: HouseholdKey, "The household",
    "The ETag of a read of the household: the write is refused if anything was recorded about the household since";

    /// Change a household
    ///
    /// What is changed holds from a day on. A household without members is dissolved.
    amend(As<HouseholdAmendment, NewHousehold>) -> HouseholdItem = "patch" "/households/:id" "amendHousehold";
}

async fn amend(
    service: &Service,
    asked: Asked<HouseholdId>,
    said: As<HouseholdAmendment, NewHousehold>,
) -> Result<Made<HouseholdItem>, Problem> {
    let standing = |journal: &Journal, id| Standing::of_subject(journal, Subject::Household(id));
    let write = |journal: &Journal, author: &Author, id, new: &_, terms: &Terms| {
        journal.form_household(author, Some(id), new, terms)
    };
    asked.record(service, said.said()?, standing, write, made).await
}

/// Refuses a household of which nothing was recorded that the caller may know of.
pub(super) fn exists(seen: &Seen<'_>, caller: &Caller, id: HouseholdId) -> Result<(), Problem> {
    match seen.library.firm.household_history(id).first() {
        Some(first) if first.sequence <= seen.pin.known && knows(seen, caller, id) => Ok(()),
        _ => Err(Problem::not_found("household", id)),
    }
}

/// Whether a caller may know of a household: of one that holds somebody they may know of.
fn knows(seen: &Seen<'_>, caller: &Caller, id: HouseholdId) -> bool {
    let of = |at| {
        let household = seen.library.firm.household(id, at);
        household.is_some_and(|said| said.fact.members.iter().any(|member| caller.knows_party(*member)))
    };
    caller.knows_of(None) || of(seen.at) || of(seen.ever())
}

fn made(journal: &Journal, caller: &Caller, stated: &Stated) -> Result<Made<HouseholdItem>, Problem> {
    let Event::HouseholdFormed(fact) = &stated.event else {
        return Err(Problem::key_reused(stated.sequence));
    };
    let body =
        firm::recorded(journal, fact.from, stated.sequence, |seen| item(seen, caller, fact.household))?;
    Ok(Made::new(&body).at(&format!("/households/{}", fact.household)).replayed(stated.already))
}

fn item(seen: &Seen<'_>, caller: &Caller, id: HouseholdId) -> Result<HouseholdItem, Problem> {
    let said = seen.library.firm.household(id, seen.at).ok_or_else(|| Problem::not_found("household", id))?;
    let members = said.fact.members.iter().copied().filter(|member| caller.knows_party(*member));
    Ok(HouseholdItem {
        id: id.into(),
        name: said.fact.name.open(seen.keys).ok(),
        members: members.map(|member| seen.party_ref(member)).collect(),
        from: said.fact.from.into(),
        last_event: Sequence(said.meta.sequence),
        as_of: seen.as_of(),
        sequence: seen.sequence(),
    })
}
