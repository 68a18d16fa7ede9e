//! What was said of somebody or something, in the order of the log, and the places where people belong.

use super::{At, Firm, Said};
use crate::view::Meta;
use daybook_schemas::events::{HouseholdFormed, TeamFormed};
use daybook_schemas::{AdvisorId, HouseholdId, ModelId, PartyId, PortfolioId, TeamId};

/// The places in the log of some facts.
fn places<T>(list: &[Said<T>]) -> impl Iterator<Item = Meta> {
    list.iter().map(|said| said.meta)
}

fn in_order(mut all: Vec<Meta>) -> Vec<Meta> {
    all.sort_by_key(|meta| meta.sequence);
    all
}

impl Firm {
    /// Where in the log facts about an advisor stand, reversed ones among them; by sequence.
    #[must_use]
    pub fn advisor_history(&self, id: AdvisorId) -> Vec<Meta> {
        let Some(record) = self.advisors.get(&id) else { return Vec::new() };
        let all = places(&record.registered).chain(places(&record.amended)).chain(places(&record.departed));
        in_order(all.collect())
    }

    /// Where in the log facts about a party stand, reversed ones among them: what it is, who serves it, its profiles and
    /// its reviews; by sequence.
    #[must_use]
    pub fn party_history(&self, id: PartyId) -> Vec<Meta> {
        let Some(record) = self.parties.get(&id) else { return Vec::new() };
        let all = places(&record.onboarded)
            .chain(places(&record.amended))
            .chain(places(&record.offboarded))
            .chain(places(&record.assigned))
            .chain(places(&record.profiles))
            .chain(places(&record.reviews));
        in_order(all.collect())
    }

    /// Where in the log facts about a portfolio's owners, mandate, benchmark and model stand, reversed ones among them; by
    /// sequence.
    #[must_use]
    pub fn portfolio_history(&self, id: PortfolioId) -> Vec<Meta> {
        let Some(record) = self.portfolios.get(&id) else { return Vec::new() };
        let all = places(&record.owners)
            .chain(places(&record.mandates))
            .chain(places(&record.benchmarks))
            .chain(places(&record.models));
        in_order(all.collect())
    }

    /// Where in the log facts about a team stand, reversed ones among them; by sequence.
    #[must_use]
    pub fn team_history(&self, id: TeamId) -> Vec<Meta> {
        self.teams.get(&id).map(|list| places(list).collect()).unwrap_or_default()
    }

    /// Where in the log facts about a household stand, reversed ones among them; by sequence.
    #[must_use]
    pub fn household_history(&self, id: HouseholdId) -> Vec<Meta> {
        self.households.get(&id).map(|list| places(list).collect()).unwrap_or_default()
    }

    /// Where in the log a model's versions stand, reversed ones among them; by sequence.
    #[must_use]
    pub fn model_history(&self, id: ModelId) -> Vec<Meta> {
        self.models.get(&id).map(|list| places(list).collect()).unwrap_or_default()
    }

    /// The highest version of a model among those recorded, reversed ones too: a number is given once. 0 for none.
    #[must_use]
    pub fn last_model_version(&self, id: ModelId) -> u32 {
        let versions = self.models.get(&id).into_iter().flatten().map(|said| said.fact.version);
        versions.max().unwrap_or(0)
    }

    /// The teams that an advisor is in at a moment, by id.
    pub fn teams_of(&self, advisor: AdvisorId, at: At) -> impl Iterator<Item = &Said<TeamFormed>> {
        self.teams(at).filter(move |said| said.fact.members.contains(&advisor))
    }

    /// The household that a party belongs to at a moment; of several, the one with the lowest id.
    #[must_use]
    pub fn household_of(&self, party: PartyId, at: At) -> Option<&Said<HouseholdFormed>> {
        self.households(at).find(|said| said.fact.members.contains(&party))
    }

    /// The parties that have a party among their members at a moment, by id.
    #[must_use]
    pub fn behind(&self, party: PartyId, at: At) -> Vec<PartyId> {
        self.parties(at).filter(|other| other.members.contains(&party)).map(|other| other.id).collect()
    }
}
