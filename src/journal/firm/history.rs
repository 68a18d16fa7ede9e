//! What was recorded about somebody or something of the firm, in the order of the log, opened where the keys are at hand.

use crate::journal::{Journal, JournalError, decode};
use daybook_ledger::Record;
use daybook_projections::{Firm, Library};
use daybook_schemas::{
    AdvisorId, Day, Event, HouseholdId, KeyRing, ModelId, PartyId, PortfolioId, Sealed, TeamId, Timestamp,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Whose history is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Subject {
    /// An advisor's.
    Advisor(AdvisorId),
    /// A party's.
    Party(PartyId),
    /// That of a portfolio's terms.
    Portfolio(PortfolioId),
    /// A team's.
    Team(TeamId),
    /// A household's.
    Household(HouseholdId),
    /// A model's.
    Model(ModelId),
}

/// Who recorded something, and when.
#[derive(Clone, Debug)]
pub(crate) struct Entered {
    /// Its place in the log.
    pub(crate) sequence: u64,
    /// When it was recorded.
    pub(crate) recorded_at: Timestamp,
    /// Who recorded it.
    pub(crate) actor: String,
}

/// A fact as it was recorded.
#[derive(Clone, Debug)]
pub(crate) struct HistoricFact {
    /// Who recorded it, and when.
    pub(crate) entered: Entered,
    /// When it happened in the world.
    pub(crate) occurred_at: Timestamp,
    /// The fact.
    pub(crate) event: Event,
    /// The day from which it holds.
    pub(crate) from: Day,
    /// Who declared that it never happened, where somebody did.
    pub(crate) reversed: Option<Entered>,
    /// Why.
    pub(crate) reason: Option<String>,
}

impl Subject {
    /// Whom or what a fact is about that is told in the firm's own stream, shared by all of them.
    pub(crate) const fn sharing(event: &Event) -> Option<Self> {
        match event {
            Event::TeamFormed(fact) => Some(Self::Team(fact.team)),
            Event::HouseholdFormed(fact) => Some(Self::Household(fact.household)),
            Event::ModelPublished(fact) => Some(Self::Model(fact.model)),
            _ => None,
        }
    }

    fn places(self, firm: &Firm) -> Vec<u64> {
        let metas = match self {
            Self::Advisor(id) => firm.advisor_history(id),
            Self::Party(id) => firm.party_history(id),
            Self::Portfolio(id) => firm.portfolio_history(id),
            Self::Team(id) => firm.team_history(id),
            Self::Household(id) => firm.household_history(id),
            Self::Model(id) => firm.model_history(id),
        };
        metas.into_iter().map(|meta| meta.sequence).collect()
    }

    /// The last sequence at which something was said about the subject or taken back, as far as is known; 0 for none.
    pub(crate) fn changed_at(self, firm: &Firm, known: u64) -> u64 {
        let places = self.places(firm);
        let reversals = places.iter().filter_map(|sequence| firm.reversed_by(*sequence));
        places.iter().copied().chain(reversals).filter(|sequence| *sequence <= known).max().unwrap_or(0)
    }
}

impl Journal {
    /// What was recorded about a subject up to a sequence, reversed facts among it, the oldest first.
    pub(crate) fn firm_history(
        &self,
        library: &Library,
        keys: &KeyRing,
        subject: Subject,
        known: u64,
    ) -> Result<Vec<HistoricFact>, JournalError> {
        let firm = &library.firm;
        let mut places = subject.places(firm);
        places.retain(|sequence| *sequence <= known);
        let reversals: BTreeMap<u64, u64> = places
            .iter()
            .filter_map(|sequence| Some((*sequence, firm.reversed_by(*sequence)?)))
            .filter(|(_, reversal)| *reversal <= known)
            .collect();
        let mut wanted: Vec<u64> = places.iter().chain(reversals.values()).copied().collect();
        wanted.sort_unstable();
        let mut records: BTreeMap<u64, Record> = BTreeMap::new();
        self.ledger().pick(&wanted, &mut |record| {
            records.insert(record.sequence, record.to_owned());
            ControlFlow::Continue(())
        })?;
        let mut history = Vec::with_capacity(places.len());
        for sequence in places {
            let Some(record) = records.get(&sequence) else { continue };
            let event = decode(&record.view())?;
            let Some(from) = holds_from(&event) else { continue };
            let reversal = reversals.get(&sequence).and_then(|by| records.get(by));
            let reason = match reversal.map(|record| decode(&record.view())).transpose()? {
                Some(Event::EventReversed(reversed)) => reversed.reason.read(keys),
                _ => None,
            };
            history.push(HistoricFact {
                entered: entered(record),
                occurred_at: Timestamp::from_nanos(record.occurred_at),
                event,
                from,
                reversed: reversal.map(entered),
                reason,
            });
        }
        Ok(history)
    }
}

fn entered(record: &Record) -> Entered {
    Entered {
        sequence: record.sequence,
        recorded_at: Timestamp::from_nanos(record.recorded_at),
        actor: record.actor.to_string(),
    }
}

/// The first day on which a fact about the firm holds; none for any other event.
fn holds_from(event: &Event) -> Option<Day> {
    Some(match event {
        Event::AdvisorRegistered(fact) => fact.from,
        Event::AdvisorAmended(fact) => fact.from,
        Event::AdvisorDeparted(fact) => fact.on,
        Event::PartyOnboarded(fact) => fact.on,
        Event::PartyAmended(fact) => fact.from,
        Event::PartyOffboarded(fact) => fact.on,
        Event::ClientAssigned(fact) => fact.from,
        Event::TeamFormed(fact) => fact.from,
        Event::HouseholdFormed(fact) => fact.from,
        Event::InvestmentProfileSet(fact) => fact.from,
        Event::ModelPublished(fact) => fact.from,
        Event::ModelAssigned(fact) => fact.from,
        Event::ReviewHeld(fact) => fact.on,
        Event::PortfolioOwnersSet(fact) => fact.from,
        Event::MandateSet(fact) => fact.from,
        Event::BenchmarkChosen(fact) => fact.from,
        _ => return None,
    })
}

impl HistoricFact {
    /// What the fact says, with its personal part opened where the key is at hand, and left out where it is not.
    pub(crate) fn opened(&self, keys: &KeyRing) -> Value {
        let mut json = self.event.to_json().unwrap_or_default();
        match &self.event {
            Event::AdvisorRegistered(fact) => {
                open(&mut json, "name", Some(&fact.name), keys);
                open(&mut json, "contact", fact.contact.as_ref(), keys);
                open(&mut json, "licence", fact.licence.as_ref(), keys);
            }
            Event::AdvisorAmended(fact) => {
                open(&mut json, "name", Some(&fact.name), keys);
                open(&mut json, "contact", fact.contact.as_ref(), keys);
                open(&mut json, "licence", fact.licence.as_ref(), keys);
            }
            Event::PartyOnboarded(fact) => {
                open(&mut json, "name", Some(&fact.name), keys);
                open(&mut json, "contact", fact.contact.as_ref(), keys);
            }
            Event::PartyAmended(fact) => {
                open(&mut json, "name", Some(&fact.name), keys);
                open(&mut json, "contact", fact.contact.as_ref(), keys);
            }
            Event::PartyOffboarded(fact) => {
                let reason = fact.reason.as_ref().and_then(|words| words.read(keys));
                put(&mut json, "reason", reason.map(Value::from));
            }
            Event::HouseholdFormed(fact) => open(&mut json, "name", Some(&fact.name), keys),
            Event::InvestmentProfileSet(fact) => open(&mut json, "details", fact.details.as_ref(), keys),
            Event::ReviewHeld(fact) => open(&mut json, "note", fact.note.as_ref(), keys),
            _ => {}
        }
        if let Value::Object(members) = &mut json {
            members.retain(|_, member| !member.is_null());
        }
        json
    }
}

fn open<T: Serialize + DeserializeOwned>(
    json: &mut Value,
    name: &str,
    sealed: Option<&Sealed<T>>,
    keys: &KeyRing,
) {
    let opened = sealed.and_then(|sealed| sealed.open(keys).ok());
    put(json, name, opened.and_then(|value| serde_json::to_value(value).ok()));
}

fn put(json: &mut Value, name: &str, value: Option<Value>) {
    if let Value::Object(members) = json {
        match value {
            Some(value) => members.insert(name.to_owned(), value),
            None => members.remove(name),
        };
    }
}
