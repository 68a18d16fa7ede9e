//! The firm: who advises, who is advised, who owns what, and by which rules; with all of its history.
//!
//! Every fact holds from a day and was recorded at a sequence. A question names both ([`At`]): of the facts recorded by
//! then and holding by then, the one that holds from the latest day counts, and of several from one day the one that
//! was recorded last. A fact that was reversed by then counts no more.

mod heads;
mod history;
mod people;
mod reach;
mod serving;
#[cfg(test)]
mod tests;

pub use people::{Advisor, Party};
pub use reach::{Named, Reach};
pub use serving::Serving;

use crate::view::{Meta, View};
use daybook_schemas::events::{
    AdvisorAmended, AdvisorDeparted, AdvisorRegistered, BenchmarkChosen, ClientAssigned, HouseholdFormed,
    InvestmentProfileSet, MandateSet, ModelAssigned, ModelPublished, PartyAmended, PartyOffboarded,
    PartyOnboarded, PortfolioOwnersSet, ReviewHeld, TeamFormed,
};
use daybook_schemas::{
    AdvisorId, Day, Event, HouseholdId, ModelId, PartyId, PortfolioId, TeamId, Zone, stream,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A day in the world and a sequence in the ledger: what had come into force by the one and was recorded by the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At {
    /// The day on which facts must hold.
    pub day: Day,
    /// The highest sequence known.
    pub known: u64,
}

impl At {
    /// A day, with all that is recorded.
    #[must_use]
    pub const fn on(day: Day) -> Self {
        Self { day, known: u64::MAX }
    }

    /// A view's day in a zone, with what the view knows.
    #[must_use]
    pub fn of(view: &View, zone: Zone) -> Self {
        Self { day: view.as_of.day(zone), known: view.known }
    }
}

/// Something that was said, and where it stands in the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Said<T> {
    /// Its place in the log and its two times.
    pub meta: Meta,
    /// What was said.
    pub fact: T,
}

/// A fact that holds from a day.
trait Dated {
    fn from(&self) -> Day;
}

macro_rules! dated {
    ($($name:ident . $field:ident),* $(,)?) => {
        $(impl Dated for $name {
            fn from(&self) -> Day {
                self.$field
            }
        })*
    };
}

dated!(
    AdvisorRegistered.from,
    AdvisorAmended.from,
    AdvisorDeparted.on,
    PartyOnboarded.on,
    PartyAmended.from,
    PartyOffboarded.on,
    ClientAssigned.from,
    TeamFormed.from,
    HouseholdFormed.from,
    InvestmentProfileSet.from,
    ModelPublished.from,
    ModelAssigned.from,
    ReviewHeld.on,
    PortfolioOwnersSet.from,
    MandateSet.from,
    BenchmarkChosen.from,
);

/// All that was said of one advisor.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct AdvisorRecord {
    registered: Vec<Said<AdvisorRegistered>>,
    amended: Vec<Said<AdvisorAmended>>,
    departed: Vec<Said<AdvisorDeparted>>,
}

/// All that was said of one party.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct PartyRecord {
    onboarded: Vec<Said<PartyOnboarded>>,
    amended: Vec<Said<PartyAmended>>,
    offboarded: Vec<Said<PartyOffboarded>>,
    assigned: Vec<Said<ClientAssigned>>,
    profiles: Vec<Said<InvestmentProfileSet>>,
    reviews: Vec<Said<ReviewHeld>>,
}

/// All that was said of one portfolio's place in the firm.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct PortfolioRecord {
    owners: Vec<Said<PortfolioOwnersSet>>,
    mandates: Vec<Said<MandateSet>>,
    benchmarks: Vec<Said<BenchmarkChosen>>,
    models: Vec<Said<ModelAssigned>>,
}

/// The firm.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Firm {
    advisors: BTreeMap<AdvisorId, AdvisorRecord>,
    parties: BTreeMap<PartyId, PartyRecord>,
    portfolios: BTreeMap<PortfolioId, PortfolioRecord>,
    teams: BTreeMap<TeamId, Vec<Said<TeamFormed>>>,
    households: BTreeMap<HouseholdId, Vec<Said<HouseholdFormed>>>,
    models: BTreeMap<ModelId, Vec<Said<ModelPublished>>>,
    /// The sequences of all facts above.
    facts: BTreeSet<u64>,
    /// Facts that were reversed, and by which event.
    reversed: BTreeMap<u64, u64>,
    changed_at: u64,
}

impl Firm {
    pub(super) fn apply(&mut self, meta: &Meta, stream_name: &str, event: &Event) {
        let meta = *meta;
        macro_rules! push {
            ($list:expr, $fact:expr) => {
                $list.push(Said { meta, fact: $fact.clone() })
            };
        }
        match event {
            Event::AdvisorRegistered(fact) => {
                push!(self.advisors.entry(fact.advisor).or_default().registered, fact);
            }
            Event::AdvisorAmended(fact) => {
                push!(self.advisors.entry(fact.advisor).or_default().amended, fact);
            }
            Event::AdvisorDeparted(fact) => {
                push!(self.advisors.entry(fact.advisor).or_default().departed, fact);
            }
            Event::PartyOnboarded(fact) => {
                push!(self.parties.entry(fact.party).or_default().onboarded, fact);
            }
            Event::PartyAmended(fact) => push!(self.parties.entry(fact.party).or_default().amended, fact),
            Event::PartyOffboarded(fact) => {
                push!(self.parties.entry(fact.party).or_default().offboarded, fact);
            }
            Event::ClientAssigned(fact) => {
                push!(self.parties.entry(fact.party).or_default().assigned, fact);
            }
            Event::InvestmentProfileSet(fact) => {
                push!(self.parties.entry(fact.party).or_default().profiles, fact);
            }
            Event::ReviewHeld(fact) => push!(self.parties.entry(fact.party).or_default().reviews, fact),
            Event::TeamFormed(fact) => push!(self.teams.entry(fact.team).or_default(), fact),
            Event::HouseholdFormed(fact) => {
                push!(self.households.entry(fact.household).or_default(), fact);
            }
            Event::ModelPublished(fact) => push!(self.models.entry(fact.model).or_default(), fact),
            Event::ModelAssigned(fact) => {
                push!(self.portfolios.entry(fact.portfolio).or_default().models, fact);
            }
            Event::PortfolioOwnersSet(fact) => {
                let Some(id) = stream::portfolio_of(stream_name) else { return };
                push!(self.portfolios.entry(id).or_default().owners, fact);
            }
            Event::MandateSet(fact) => {
                let Some(id) = stream::portfolio_of(stream_name) else { return };
                push!(self.portfolios.entry(id).or_default().mandates, fact);
            }
            Event::BenchmarkChosen(fact) => {
                let Some(id) = stream::portfolio_of(stream_name) else { return };
                push!(self.portfolios.entry(id).or_default().benchmarks, fact);
            }
            Event::EventReversed(reversed) if self.facts.contains(&reversed.target) => {
                self.reversed.entry(reversed.target).or_insert(meta.sequence);
                self.changed_at = meta.sequence;
                return;
            }
            _ => return,
        }
        self.facts.insert(meta.sequence);
        self.changed_at = meta.sequence;
    }

    /// The sequence of the last fact about the firm; 0 for none.
    #[must_use]
    pub fn changed_at(&self) -> u64 {
        self.changed_at
    }

    /// Whether the event at a sequence is a fact about the firm, which can be reversed.
    #[must_use]
    pub fn is_fact(&self, sequence: u64) -> bool {
        self.facts.contains(&sequence)
    }

    /// The event that reversed a fact, if one did.
    #[must_use]
    pub fn reversed_by(&self, sequence: u64) -> Option<u64> {
        self.reversed.get(&sequence).copied()
    }

    /// Whether a fact was recorded, and not taken back, by a sequence.
    fn counts<T>(&self, said: &Said<T>, known: u64) -> bool {
        said.meta.sequence <= known
            && self.reversed.get(&said.meta.sequence).is_none_or(|reversal| *reversal > known)
    }

    /// The facts that count, oldest day first.
    fn counting<'a, T: Dated>(&self, list: &'a [Said<T>], at: At) -> Vec<&'a Said<T>> {
        let mut counting: Vec<_> =
            list.iter().filter(|said| said.fact.from() <= at.day && self.counts(said, at.known)).collect();
        counting.sort_by_key(|said| (said.fact.from(), said.meta.sequence));
        counting
    }

    /// The fact that holds.
    fn holding<'a, T: Dated>(&self, list: &'a [Said<T>], at: At) -> Option<&'a Said<T>> {
        list.iter()
            .filter(|said| said.fact.from() <= at.day && self.counts(said, at.known))
            .max_by_key(|said| (said.fact.from(), said.meta.sequence))
    }

    /// A team as it is formed at a moment.
    #[must_use]
    pub fn team(&self, id: TeamId, at: At) -> Option<&Said<TeamFormed>> {
        self.holding(self.teams.get(&id)?, at)
    }

    /// All teams at a moment, by id.
    pub fn teams(&self, at: At) -> impl Iterator<Item = &Said<TeamFormed>> {
        self.teams.values().filter_map(move |list| self.holding(list, at))
    }

    /// A household as it is formed at a moment.
    #[must_use]
    pub fn household(&self, id: HouseholdId, at: At) -> Option<&Said<HouseholdFormed>> {
        self.holding(self.households.get(&id)?, at)
    }

    /// All households at a moment, by id.
    pub fn households(&self, at: At) -> impl Iterator<Item = &Said<HouseholdFormed>> {
        self.households.values().filter_map(move |list| self.holding(list, at))
    }

    /// A model as it was published last by a moment.
    #[must_use]
    pub fn model(&self, id: ModelId, at: At) -> Option<&Said<ModelPublished>> {
        self.holding(self.models.get(&id)?, at)
    }

    /// A version of a model.
    #[must_use]
    pub fn model_version(&self, id: ModelId, version: u32, known: u64) -> Option<&Said<ModelPublished>> {
        let list = self.models.get(&id)?;
        list.iter().rev().find(|said| said.fact.version == version && self.counts(said, known))
    }

    /// All models at a moment, by id.
    pub fn models(&self, at: At) -> impl Iterator<Item = &Said<ModelPublished>> {
        self.models.values().filter_map(move |list| self.holding(list, at))
    }

    /// The model that a portfolio follows at a moment: the version that was assigned, or the newest.
    #[must_use]
    pub fn model_of(&self, portfolio: PortfolioId, at: At) -> Option<&Said<ModelPublished>> {
        let assigned = &self.holding(&self.portfolios.get(&portfolio)?.models, at)?.fact;
        let model = assigned.model?;
        match assigned.version {
            Some(version) => self.model_version(model, version, at.known),
            None => self.model(model, at),
        }
    }

    /// Who owns a portfolio at a moment, and how much of it.
    #[must_use]
    pub fn owners(&self, portfolio: PortfolioId, at: At) -> Option<&Said<PortfolioOwnersSet>> {
        self.holding(&self.portfolios.get(&portfolio)?.owners, at)
    }

    /// The portfolios that a party owns, whole or in part, at a moment; by id.
    #[must_use]
    pub fn owned(&self, party: PartyId, at: At) -> Vec<PortfolioId> {
        self.portfolios
            .iter()
            .filter(|(_, record)| {
                let owners = self.holding(&record.owners, at);
                owners.is_some_and(|said| said.fact.owners.iter().any(|owner| owner.party == party))
            })
            .map(|(id, _)| *id)
            .collect()
    }

    /// Under which mandate a portfolio is run at a moment.
    #[must_use]
    pub fn mandate(&self, portfolio: PortfolioId, at: At) -> Option<&Said<MandateSet>> {
        self.holding(&self.portfolios.get(&portfolio)?.mandates, at)
    }

    /// What a portfolio is measured against at a moment.
    #[must_use]
    pub fn benchmark(&self, portfolio: PortfolioId, at: At) -> Option<&Said<BenchmarkChosen>> {
        self.holding(&self.portfolios.get(&portfolio)?.benchmarks, at)
    }

    /// The investment profile by which a party's portfolio is judged at a moment: the one set for that portfolio, else
    /// the one set for all of the party's.
    #[must_use]
    pub fn profile(
        &self,
        party: PartyId,
        portfolio: Option<PortfolioId>,
        at: At,
    ) -> Option<&Said<InvestmentProfileSet>> {
        let profiles = self.profiles(party, at);
        let of = |portfolio: Option<PortfolioId>| {
            profiles.iter().rev().find(|said| said.fact.portfolio == portfolio).copied()
        };
        portfolio.and_then(|id| of(Some(id))).or_else(|| of(None))
    }

    /// All profiles of a party that had come into force by a moment, oldest first.
    #[must_use]
    pub fn profiles(&self, party: PartyId, at: At) -> Vec<&Said<InvestmentProfileSet>> {
        self.parties.get(&party).map(|record| self.counting(&record.profiles, at)).unwrap_or_default()
    }

    /// The party by whose profile a portfolio is judged, and that profile: one that was set for this portfolio by any
    /// owner (the newest), else the owner's with the largest share (of equal shares the lowest id).
    #[must_use]
    pub fn governing_profile(
        &self,
        portfolio: PortfolioId,
        at: At,
    ) -> Option<(PartyId, &Said<InvestmentProfileSet>)> {
        let owners = &self.owners(portfolio, at)?.fact.owners;
        let own = owners.iter().filter_map(|owner| {
            let said = self.profile(owner.party, Some(portfolio), at)?;
            said.fact.portfolio.is_some().then_some((owner.party, said))
        });
        if let Some(found) = own.max_by_key(|(_, said)| (said.fact.from, said.meta.sequence)) {
            return Some(found);
        }
        let mut by_share: Vec<_> = owners.iter().collect();
        by_share.sort_by(|a, b| b.share.cmp(&a.share).then(a.party.cmp(&b.party)));
        by_share.into_iter().find_map(|owner| Some((owner.party, self.profile(owner.party, None, at)?)))
    }

    /// The highest version that any profile of a party has among those recorded; 0 for none.
    #[must_use]
    pub fn last_profile_version(&self, party: PartyId) -> u32 {
        let profiles = self.parties.get(&party).map(|record| record.profiles.as_slice()).unwrap_or_default();
        profiles.iter().map(|said| said.fact.version).max().unwrap_or(0)
    }

    /// The reviews held with a party by a moment, oldest first.
    #[must_use]
    pub fn reviews(&self, party: PartyId, at: At) -> Vec<&Said<ReviewHeld>> {
        self.parties.get(&party).map(|record| self.counting(&record.reviews, at)).unwrap_or_default()
    }

    /// When a party is to be looked at again: as the last review or the profile in force says, whichever is newer.
    #[must_use]
    pub fn review_due(&self, party: PartyId, at: At) -> Option<Day> {
        let review = self
            .reviews(party, at)
            .into_iter()
            .rev()
            .find_map(|said| Some((said.fact.on, said.meta.sequence, said.fact.next_due?)));
        let profile = self
            .profile(party, None, at)
            .and_then(|said| Some((said.fact.from, said.meta.sequence, said.fact.review_due?)));
        review.max(profile).map(|(_, _, due)| due)
    }
}
