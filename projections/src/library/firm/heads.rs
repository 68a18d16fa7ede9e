//! How far what a portfolio is judged by goes in the log.

use super::{Dated, Firm, Said};
use daybook_schemas::PortfolioId;

impl Firm {
    /// The sequence of the last event that bears on how a portfolio is judged, on any day: its owners, mandate,
    /// benchmark and model, the profiles and reviews of whoever ever owned it, and all models; 0 for none.
    #[must_use]
    pub fn last_sequence_of(&self, portfolio: PortfolioId) -> u64 {
        let Some(record) = self.portfolios.get(&portfolio) else { return 0 };
        let owners = record.owners.iter().flat_map(|said| said.fact.owners.iter());
        let parties = owners.filter_map(|owner| self.parties.get(&owner.party));
        let of_parties =
            parties.map(|party| self.last_of(&party.profiles).max(self.last_of(&party.reviews))).max();
        let of_models = self.models.values().map(|list| self.last_of(list)).max();
        [
            self.last_of(&record.owners),
            self.last_of(&record.mandates),
            self.last_of(&record.benchmarks),
            self.last_of(&record.models),
            of_parties.unwrap_or(0),
            of_models.unwrap_or(0),
        ]
        .into_iter()
        .max()
        .unwrap_or(0)
    }

    /// The last of some facts, or of what reversed one of them.
    fn last_of<T: Dated>(&self, list: &[Said<T>]) -> u64 {
        let last = |said: &Said<T>| {
            self.reversed.get(&said.meta.sequence).copied().unwrap_or(0).max(said.meta.sequence)
        };
        list.iter().map(last).max().unwrap_or(0)
    }
}
