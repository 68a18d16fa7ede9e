//! Advisors and parties as they are at a moment.

use super::{At, Firm};
use daybook_schemas::events::{Contact, PartyKind};
use daybook_schemas::{AdvisorId, Day, PartyId, Sealed};
use std::collections::BTreeSet;

/// An advisor at a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advisor<'a> {
    /// The advisor.
    pub id: AdvisorId,
    /// The advisor's name.
    pub name: &'a Sealed<String>,
    /// How to reach the advisor.
    pub contact: Option<&'a Sealed<Contact>>,
    /// The advisor's number with the regulator.
    pub licence: Option<&'a Sealed<String>>,
    /// The first day.
    pub from: Day,
    /// The last day, where the advisor left or is known to leave.
    pub until: Option<Day>,
    /// Who took over the clients.
    pub successor: Option<AdvisorId>,
    /// The sequence of what was said of the advisor last.
    pub sequence: u64,
}

/// A party at a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Party<'a> {
    /// The party.
    pub id: PartyId,
    /// What it is.
    pub kind: &'a PartyKind,
    /// Its name.
    pub name: &'a Sealed<String>,
    /// How to reach it.
    pub contact: Option<&'a Sealed<Contact>>,
    /// The persons behind it.
    pub members: &'a [PartyId],
    /// The country it pays taxes in, ISO 3166.
    pub tax_country: Option<&'a str>,
    /// The first day as a client; of one that came back, the day of that.
    pub from: Day,
    /// The last day as a client, where it is one no more.
    pub until: Option<Day>,
    /// The sequence of what was said of the party last.
    pub sequence: u64,
}

impl Firm {
    /// An advisor at a moment; `None` for one who had not joined by then.
    #[must_use]
    pub fn advisor(&self, id: AdvisorId, at: At) -> Option<Advisor<'_>> {
        let record = self.advisors.get(&id)?;
        let registered = self.holding(&record.registered, at)?;
        let amended = self.holding(&record.amended, at).filter(|said| {
            (said.fact.from, said.meta.sequence) > (registered.fact.from, registered.meta.sequence)
        });
        // Somebody whose last day is known is somebody who leaves, also before that day.
        let departed = record
            .departed
            .iter()
            .filter(|said| self.counts(said, at.known))
            .filter(|said| said.meta.sequence > registered.meta.sequence)
            .max_by_key(|said| said.meta.sequence);
        let fact = &registered.fact;
        let (name, contact, licence) = amended.map_or((&fact.name, &fact.contact, &fact.licence), |said| {
            (&said.fact.name, &said.fact.contact, &said.fact.licence)
        });
        let sequences = [
            Some(registered.meta.sequence),
            amended.map(|said| said.meta.sequence),
            departed.map(|said| said.meta.sequence),
        ];
        Some(Advisor {
            id,
            name,
            contact: contact.as_ref(),
            licence: licence.as_ref(),
            from: fact.from,
            until: departed.map(|said| said.fact.on),
            successor: departed.and_then(|said| said.fact.successor),
            sequence: sequences.into_iter().flatten().max().unwrap_or(0),
        })
    }

    /// All advisors who had joined by a moment, by id.
    pub fn advisors(&self, at: At) -> impl Iterator<Item = Advisor<'_>> {
        self.advisors.keys().filter_map(move |id| self.advisor(*id, at))
    }

    /// Whether an advisor works for the firm on the day.
    #[must_use]
    pub fn is_at_work(&self, id: AdvisorId, at: At) -> bool {
        self.advisor(id, at).is_some_and(|advisor| advisor.until.is_none_or(|until| at.day <= until))
    }

    /// Whether an id is that of a party that was ever a client.
    #[must_use]
    pub fn knows_party(&self, id: PartyId) -> bool {
        self.parties.contains_key(&id)
    }

    /// A party at a moment; `None` for one that was no client yet.
    #[must_use]
    pub fn party(&self, id: PartyId, at: At) -> Option<Party<'_>> {
        let record = self.parties.get(&id)?;
        let onboarded = self.holding(&record.onboarded, at)?;
        let fact = &onboarded.fact;
        let amended = self
            .holding(&record.amended, at)
            .filter(|said| (said.fact.from, said.meta.sequence) > (fact.on, onboarded.meta.sequence));
        // A party may leave and come back: each leaving ends the time that it falls into.
        let is_of_this_time = |on: Day| {
            let then = self.holding(&record.onboarded, At { day: on, ..at });
            then.is_some_and(|then| then.meta.sequence == onboarded.meta.sequence)
        };
        let offboarded = record
            .offboarded
            .iter()
            .filter(|said| self.counts(said, at.known) && is_of_this_time(said.fact.on))
            .max_by_key(|said| said.meta.sequence);
        let (name, contact, members, tax_country) = amended
            .map_or((&fact.name, &fact.contact, &fact.members, &fact.tax_country), |said| {
                (&said.fact.name, &said.fact.contact, &said.fact.members, &said.fact.tax_country)
            });
        let sequences = [
            Some(onboarded.meta.sequence),
            amended.map(|said| said.meta.sequence),
            offboarded.map(|said| said.meta.sequence),
        ];
        Some(Party {
            id,
            kind: &fact.kind,
            name,
            contact: contact.as_ref(),
            members,
            tax_country: tax_country.as_deref(),
            from: fact.on,
            until: offboarded.map(|said| said.fact.on),
            sequence: sequences.into_iter().flatten().max().unwrap_or(0),
        })
    }

    /// All parties that had become clients by a moment, by id.
    pub fn parties(&self, at: At) -> impl Iterator<Item = Party<'_>> {
        self.parties.keys().filter_map(move |id| self.party(*id, at))
    }

    /// Whether a party is a client on the day.
    #[must_use]
    pub fn is_client(&self, id: PartyId, at: At) -> bool {
        self.party(id, at).is_some_and(|party| party.until.is_none_or(|until| at.day <= until))
    }

    /// A party and all those that it stands behind: the joint holders it is one of, its trusts and companies.
    #[must_use]
    pub fn stands_for(&self, party: PartyId, at: At) -> BTreeSet<PartyId> {
        let mut all = BTreeSet::from([party]);
        loop {
            let before = all.len();
            let more: Vec<PartyId> = self
                .parties(at)
                .filter(|candidate| candidate.members.iter().any(|member| all.contains(member)))
                .map(|candidate| candidate.id)
                .collect();
            all.extend(more);
            if all.len() == before {
                return all;
            }
        }
    }
}
