//! Advisors and parties: joined, changed, left.

use super::texts::Faults;
use super::{Decision, EVER, Stated, country, occurs, today};
use crate::journal::access::id_parts;
use crate::journal::advice::Leaver;
use crate::journal::{Author, Draft, Journal, JournalError, Terms};
use daybook_projections::{At, Library};
use daybook_schemas::events::{
    AdvisorAmended, AdvisorDeparted, AdvisorRegistered, Assignee, AssignmentRole, ClientAssigned, Contact,
    PartyAmended, PartyKind, PartyOffboarded, PartyOnboarded, Words,
};
use daybook_schemas::{AdvisorId, Day, KeyId, PartyId, Sealed, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

/// The most members of a party, a team or a household.
pub(super) const MEMBERS_MAX: usize = 100;

/// What becomes of something that is known of somebody.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is known no more.
    Clear,
    /// It is this from now on.
    To(T),
}

impl<T> Change<T> {
    const fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }
}

/// An advisor who joins.
#[derive(Clone, Debug)]
pub(crate) struct NewAdvisor {
    /// The name.
    pub(crate) name: String,
    /// How to reach the advisor.
    pub(crate) contact: Option<Contact>,
    /// The number with the regulator.
    pub(crate) licence: Option<String>,
    /// The first day; today if not said.
    pub(crate) from: Option<Day>,
}

/// What changes about an advisor.
#[derive(Clone, Debug, Default)]
pub(crate) struct AmendedAdvisor {
    /// The name, if it changes.
    pub(crate) name: Option<String>,
    /// How to reach the advisor.
    pub(crate) contact: Change<Contact>,
    /// The number with the regulator.
    pub(crate) licence: Change<String>,
    /// The first day on which this holds; today if not said.
    pub(crate) from: Option<Day>,
}

/// An advisor who leaves.
#[derive(Clone, Debug)]
pub(crate) struct NewDeparture {
    /// The last day.
    pub(crate) on: Day,
    /// Who takes over the clients.
    pub(crate) successor: Option<AdvisorId>,
}

/// A party that becomes a client.
#[derive(Clone, Debug)]
pub(crate) struct NewParty {
    /// The party that comes back, under the id that it has had; a new one if not said.
    pub(crate) party: Option<PartyId>,
    /// What it is.
    pub(crate) kind: PartyKind,
    /// Its name.
    pub(crate) name: String,
    /// How to reach it.
    pub(crate) contact: Option<Contact>,
    /// The parties behind it.
    pub(crate) members: Vec<PartyId>,
    /// The country it pays taxes in, ISO 3166.
    pub(crate) tax_country: Option<String>,
    /// The first day; today if not said.
    pub(crate) on: Option<Day>,
    /// Who answers for it from that day on.
    pub(crate) advisor: Option<AdvisorId>,
}

/// What changes about a party.
#[derive(Clone, Debug, Default)]
pub(crate) struct AmendedParty {
    /// Its name, if it changes.
    pub(crate) name: Option<String>,
    /// How to reach it.
    pub(crate) contact: Change<Contact>,
    /// The parties behind it, if they change.
    pub(crate) members: Option<Vec<PartyId>>,
    /// The country it pays taxes in, ISO 3166.
    pub(crate) tax_country: Change<String>,
    /// The first day on which this holds; today if not said.
    pub(crate) from: Option<Day>,
}

/// A party that is a client no more.
#[derive(Clone, Debug)]
pub(crate) struct NewOffboarding {
    /// The last day.
    pub(crate) on: Day,
    /// Why.
    pub(crate) reason: Option<String>,
}

impl Journal {
    /// Seals something under a key that exists.
    pub(in crate::journal) fn seal<T: Serialize + DeserializeOwned>(
        &self,
        key: KeyId,
        field: &str,
        value: &T,
    ) -> Result<Sealed<T>, JournalError> {
        Sealed::seal(&self.keys(), key, value).map_err(|error| JournalError::field(field, error.to_string()))
    }

    /// What becomes of something that is kept sealed.
    fn resealed<T: Serialize + DeserializeOwned + Clone>(
        &self,
        key: KeyId,
        field: &str,
        before: Option<&Sealed<T>>,
        change: &Change<T>,
    ) -> Result<Option<Sealed<T>>, JournalError> {
        match change {
            Change::Keep => Ok(before.cloned()),
            Change::Clear => Ok(None),
            Change::To(value) => self.seal(key, field, value).map(Some),
        }
    }

    /// Registers an advisor who joins the firm.
    pub(crate) fn register_advisor(
        &self,
        author: &Author,
        new: &NewAdvisor,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        if let Some(stated) = self.stated_before(terms.commit_key.as_ref())? {
            return Ok(stated);
        }
        let mut faults = Faults::default();
        let name = faults.name("name", &new.name);
        let contact = faults.contact(new.contact.as_ref());
        let licence = new.licence.as_deref().map(|licence| faults.name("licence", licence));
        faults.finish()?;
        let from = new.from.unwrap_or_else(today);
        let (milliseconds, bytes) = id_parts()?;
        let id = AdvisorId::new(milliseconds, bytes);
        let key = KeyId::Advisor(id);
        self.keys.ensure(key)?;
        let registered = AdvisorRegistered {
            advisor: id,
            name: self.seal(key, "name", &name)?,
            contact: contact.map(|contact| self.seal(key, "contact", &contact)).transpose()?,
            licence: licence.map(|licence| self.seal(key, "licence", &licence)).transpose()?,
            from,
        };
        self.state(author, terms, |_| {
            Ok(Decision::one(Draft::new(stream::advisor(id), occurs(from), registered.clone())))
        })
    }

    /// Changes what is known of an advisor, from a day on.
    pub(crate) fn amend_advisor(
        &self,
        author: &Author,
        id: AdvisorId,
        amended: &AmendedAdvisor,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        let mut faults = Faults::default();
        let name = amended.name.as_deref().map(|name| faults.name("name", name));
        let contact = checked_contact(&mut faults, &amended.contact);
        let licence = match &amended.licence {
            Change::To(licence) => Change::To(faults.name("licence", licence)),
            other => other.clone(),
        };
        if name.is_none() && contact.is_keep() && licence.is_keep() {
            faults.note("name", "nothing changes: say what does, of name, contact and licence");
        }
        faults.finish()?;
        let from = amended.from.unwrap_or_else(today);
        let key = KeyId::Advisor(id);
        self.state(author, terms, |library| {
            let advisor = joined(library, id, from, "from")?;
            let sealed_name = match &name {
                Some(name) => self.seal(key, "name", name)?,
                None => advisor.name.clone(),
            };
            let fact = AdvisorAmended {
                advisor: id,
                name: sealed_name,
                contact: self.resealed(key, "contact", advisor.contact, &contact)?,
                licence: self.resealed(key, "licence", advisor.licence, &licence)?,
                from,
            };
            Ok(Decision::one(Draft::new(stream::advisor(id), occurs(from), fact)))
        })
    }

    /// Records that an advisor leaves the firm, and takes back what nobody would answer for any more.
    pub(crate) fn depart_advisor(
        &self,
        author: &Author,
        id: AdvisorId,
        new: &NewDeparture,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        self.state(author, terms, |library| {
            let advisor = joined(library, id, new.on, "on")?;
            if let Some(until) = advisor.until {
                return Err(JournalError::Conflict {
                    detail: format!(
                        "the advisor leaves on {until} already, as event {} says: reverse that event first",
                        advisor.sequence
                    ),
                    sequence: Some(advisor.sequence),
                });
            }
            if let Some(successor) = new.successor {
                let next = At::on(new.on.plus_days(1));
                if successor == id {
                    return Err(JournalError::field(
                        "successor",
                        "nobody is their own successor: name another",
                    ));
                }
                if library.firm.advisor(successor, EVER).is_none() {
                    return Err(JournalError::field("successor", format!("there is no advisor {successor}")));
                }
                if !library.firm.is_at_work(successor, next) {
                    return Err(JournalError::field(
                        "successor",
                        format!("{successor} does not work for the firm on {}: name one who does", next.day),
                    ));
                }
            }
            let fact = AdvisorDeparted { advisor: id, on: new.on, successor: new.successor };
            let mut drafts = vec![Draft::new(stream::advisor(id), occurs(new.on), fact)];
            if new.successor.is_none() {
                drafts.extend(self.withdrawn_with(library, Leaver::Advisor(id), new.on));
            }
            Ok(Decision::all(drafts).resting_on(new.successor.map(stream::advisor)))
        })
    }

    /// Records that a party became a client, or is one again, and who answers for it.
    pub(crate) fn onboard_party(
        &self,
        author: &Author,
        new: &NewParty,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        if let Some(stated) = self.stated_before(terms.commit_key.as_ref())? {
            return Ok(stated);
        }
        let on = new.on.unwrap_or_else(today);
        let mut faults = Faults::default();
        let name = faults.name("name", &new.name);
        let contact = faults.contact(new.contact.as_ref());
        let tax_country =
            new.tax_country.as_deref().and_then(|text| faults.taken("tax_country", country(text)));
        let id = match new.party {
            Some(id) => id,
            None => {
                let (milliseconds, bytes) = id_parts()?;
                PartyId::new(milliseconds, bytes)
            }
        };
        let key = KeyId::Party(id);
        if new.party.is_some() {
            returning(&*self.library()?, id, &new.kind, on)?;
            if !self.keys().contains(key) {
                return Err(JournalError::field(
                    "party",
                    "its key is erased, so that nothing personal can be recorded of it: leave the field out, and it is a new party",
                ));
            }
        }
        check_members(&*self.library()?, &mut faults, id, &new.kind, &new.members, on);
        faults.finish()?;
        if let Some(advisor) = new.advisor {
            at_work(&*self.library()?, advisor, on, "advisor")?;
        }
        self.keys.ensure(key)?;
        let onboarded = PartyOnboarded {
            party: id,
            kind: new.kind.clone(),
            name: self.seal(key, "name", &name)?,
            contact: contact.map(|contact| self.seal(key, "contact", &contact)).transpose()?,
            members: new.members.clone(),
            tax_country,
            on,
        };
        self.state(author, terms, |library| {
            if new.party.is_some() {
                returning(library, id, &new.kind, on)?;
            }
            let mut faults = Faults::default();
            let visited = check_members(library, &mut faults, id, &new.kind, &new.members, on);
            faults.finish()?;
            let own = stream::party(id);
            let mut drafts = vec![Draft::new(own.clone(), occurs(on), onboarded.clone())];
            let mut rests_on: Vec<String> = visited.into_iter().map(stream::party).collect();
            if let Some(advisor) = new.advisor {
                at_work(library, advisor, on, "advisor")?;
                let assigned = ClientAssigned {
                    party: id,
                    to: Assignee::Advisor(advisor),
                    role: AssignmentRole::Lead,
                    from: on,
                    until: None,
                };
                drafts.push(Draft::new(own, occurs(on), assigned));
                rests_on.push(stream::advisor(advisor));
            }
            Ok(Decision::all(drafts).resting_on(rests_on))
        })
    }

    /// Changes what is known of a party, from a day on.
    pub(crate) fn amend_party(
        &self,
        author: &Author,
        id: PartyId,
        amended: &AmendedParty,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        let mut faults = Faults::default();
        let name = amended.name.as_deref().map(|name| faults.name("name", name));
        let contact = checked_contact(&mut faults, &amended.contact);
        let tax_country = match &amended.tax_country {
            Change::To(text) => faults.taken("tax_country", country(text)).map_or(Change::Keep, Change::To),
            Change::Clear => Change::Clear,
            Change::Keep => Change::Keep,
        };
        faults.finish()?;
        if name.is_none() && contact.is_keep() && tax_country.is_keep() && amended.members.is_none() {
            return Err(JournalError::field(
                "name",
                "nothing changes: say what does, of name, contact, members and tax_country",
            ));
        }
        let from = amended.from.unwrap_or_else(today);
        let key = KeyId::Party(id);
        self.state(author, terms, |library| {
            let party = onboarded(library, id, from, "from")?;
            let members = amended.members.clone().unwrap_or_else(|| party.members.to_vec());
            let visited = if amended.members.is_some() {
                let mut faults = Faults::default();
                let visited = check_members(library, &mut faults, id, party.kind, &members, from);
                faults.finish()?;
                visited
            } else {
                BTreeSet::new()
            };
            let sealed_name = match &name {
                Some(name) => self.seal(key, "name", name)?,
                None => party.name.clone(),
            };
            let fact = PartyAmended {
                party: id,
                name: sealed_name,
                contact: self.resealed(key, "contact", party.contact, &contact)?,
                members,
                tax_country: match &tax_country {
                    Change::Keep => party.tax_country.map(Into::into),
                    Change::Clear => None,
                    Change::To(code) => Some(code.clone()),
                },
                from,
            };
            let draft = Draft::new(stream::party(id), occurs(from), fact);
            Ok(Decision::one(draft).resting_on(visited.into_iter().map(stream::party)))
        })
    }

    /// Records that a party is a client no more, and takes back what nobody would answer any more.
    pub(crate) fn offboard_party(
        &self,
        author: &Author,
        id: PartyId,
        new: &NewOffboarding,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        let mut faults = Faults::default();
        let reason = faults.words("reason", new.reason.as_deref());
        faults.finish()?;
        self.state(author, terms, |library| {
            let party = onboarded(library, id, new.on, "on")?;
            if let Some(until) = party.until {
                return Err(JournalError::Conflict {
                    detail: format!(
                        "the party ceases to be a client on {until} already, as event {} says: reverse that event first",
                        party.sequence
                    ),
                    sequence: Some(party.sequence),
                });
            }
            let reason = reason
                .as_ref()
                .map(|reason| self.seal(KeyId::Party(id), "reason", reason).map(Words::Sealed))
                .transpose()?;
            let fact = PartyOffboarded { party: id, on: new.on, reason };
            let mut drafts = vec![Draft::new(stream::party(id), occurs(new.on), fact)];
            drafts.extend(self.withdrawn_with(library, Leaver::Client(id), new.on));
            Ok(Decision::all(drafts))
        })
    }
}

fn checked_contact(faults: &mut Faults, change: &Change<Contact>) -> Change<Contact> {
    match change {
        Change::To(contact) => faults.contact(Some(contact)).map_or(Change::Clear, Change::To),
        other => other.clone(),
    }
}

/// An advisor who had joined by a day.
pub(super) fn joined<'l>(
    library: &'l Library,
    id: AdvisorId,
    day: Day,
    field: &str,
) -> Result<daybook_projections::Advisor<'l>, JournalError> {
    library.firm.advisor(id, At::on(day)).ok_or_else(|| match library.firm.advisor(id, EVER) {
        Some(later) => JournalError::field(
            field,
            format!("the advisor joins on {}, after {day}: write a later day", later.from),
        ),
        None => JournalError::not_found("advisor", id),
    })
}

/// Refuses an advisor who does not work for the firm on a day.
pub(super) fn at_work(library: &Library, id: AdvisorId, day: Day, field: &str) -> Result<(), JournalError> {
    let Some(ever) = library.firm.advisor(id, EVER) else {
        return Err(JournalError::field(field, format!("there is no advisor {id}: look it up in /advisors")));
    };
    if library.firm.is_at_work(id, At::on(day)) {
        return Ok(());
    }
    let until = ever.until.map(|until| format!(" to {until}")).unwrap_or_default();
    Err(JournalError::field(
        field,
        format!("{id} works for the firm from {}{until}, not on {day}: name one who does", ever.from),
    ))
}

/// A party that had been onboarded by a day.
pub(super) fn onboarded<'l>(
    library: &'l Library,
    id: PartyId,
    day: Day,
    field: &str,
) -> Result<daybook_projections::Party<'l>, JournalError> {
    library.firm.party(id, At::on(day)).ok_or_else(|| match library.firm.party(id, EVER) {
        Some(later) => JournalError::field(
            field,
            format!("the party becomes a client on {}, after {day}: write a later day", later.from),
        ),
        None => JournalError::not_found("party", id),
    })
}

/// Refuses a party that cannot come back on a day: one that never was a client, still is one, or was something else.
fn returning(library: &Library, id: PartyId, kind: &PartyKind, on: Day) -> Result<(), JournalError> {
    let Some(party) = library.firm.party(id, EVER) else {
        let detail = format!("there is no party {id}: leave the field out for one that never was a client");
        return Err(JournalError::field("party", detail));
    };
    let Some(until) = party.until else {
        return Err(JournalError::Conflict {
            detail: format!(
                "the party is a client from {} on, as event {} says: change what is known of it instead",
                party.from, party.sequence
            ),
            sequence: Some(party.sequence),
        });
    };
    if on <= until {
        let detail = format!("the party is a client to {until}: write a later day");
        return Err(JournalError::field("on", detail));
    }
    if party.kind != kind {
        let detail = format!("the party was a {}, and comes back as what it was: write that", party.kind);
        return Err(JournalError::field("kind", detail));
    }
    Ok(())
}

/// A party that is a client on a day.
pub(super) fn client<'l>(
    library: &'l Library,
    id: PartyId,
    day: Day,
    field: &str,
) -> Result<daybook_projections::Party<'l>, JournalError> {
    let party = onboarded(library, id, day, field)?;
    match party.until {
        Some(until) if until < day => Err(JournalError::field(
            field,
            format!(
                "the party was a client to {until} and is none on {day}: write an earlier day, or onboard it again"
            ),
        )),
        _ => Ok(party),
    }
}

/// Checks the parties behind one, and names all of them that were looked at: whatever changes about one of these may
/// change the answer.
fn check_members(
    library: &Library,
    faults: &mut Faults,
    id: PartyId,
    kind: &PartyKind,
    members: &[PartyId],
    from: Day,
) -> BTreeSet<PartyId> {
    let firm = &library.firm;
    let at = At::on(from);
    let distinct: BTreeSet<PartyId> = members.iter().copied().collect();
    if distinct.len() < members.len() {
        faults.note("members", "a party is named twice: name each once");
    }
    if members.len() > MEMBERS_MAX {
        faults.note("members", format!("a party has at most {MEMBERS_MAX} members"));
        return BTreeSet::new();
    }
    match kind {
        PartyKind::Person if !members.is_empty() => {
            faults.note("members", "a person has no members: leave the field out");
        }
        PartyKind::Joint if distinct.len() < 2 => {
            faults.note("members", "joint holders are two persons at least: name each");
        }
        PartyKind::Other(_) => {
            faults.note("kind", format!("`{kind}` is not one of person, joint, trust, entity"));
        }
        _ => {}
    }
    for member in &distinct {
        match firm.party(*member, at) {
            None if firm.party(*member, EVER).is_some() => {
                faults.note("members", format!("{member} is no party yet on {from}"));
            }
            None => faults.note("members", format!("there is no party {member}: onboard it first")),
            Some(party) if *kind == PartyKind::Joint && *party.kind != PartyKind::Person => {
                faults.note("members", format!("{member} is a {}: joint holders are persons", party.kind));
            }
            Some(_) => {}
        }
    }
    let mut visited = distinct;
    // What is known of that day, and of the time after the last change that is known.
    for at in [at, EVER] {
        let mut open: Vec<PartyId> = visited.iter().copied().collect();
        while let Some(next) = open.pop() {
            let below = firm.party(next, at).map(|party| party.members.to_vec()).unwrap_or_default();
            open.extend(below.into_iter().filter(|party| visited.insert(*party)));
        }
    }
    if visited.contains(&id) {
        faults.note("members", "the party would be behind itself: leave out whoever it is behind");
    }
    visited
}
