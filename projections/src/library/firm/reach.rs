//! What the bearer of a token may know of, by role and present assignments.

use super::{At, Firm};
use daybook_schemas::events::{AccessGranted, Role};
use daybook_schemas::{AdvisorId, PartyId, PortfolioId};
use std::collections::BTreeSet;

/// What somebody may know of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reach {
    /// All there is.
    Everything,
    /// What is named, and nothing else.
    Named(Named),
}

/// What may be known of, by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Named {
    /// Portfolios.
    pub portfolios: BTreeSet<PortfolioId>,
    /// Parties.
    pub parties: BTreeSet<PartyId>,
    /// Advisors.
    pub advisors: BTreeSet<AdvisorId>,
}

impl Reach {
    /// Whether a portfolio may be known of.
    #[must_use]
    pub fn portfolio(&self, id: PortfolioId) -> bool {
        match self {
            Self::Everything => true,
            Self::Named(named) => named.portfolios.contains(&id),
        }
    }

    /// Whether a party may be known of.
    #[must_use]
    pub fn party(&self, id: PartyId) -> bool {
        match self {
            Self::Everything => true,
            Self::Named(named) => named.parties.contains(&id),
        }
    }

    /// Whether an advisor may be known of.
    #[must_use]
    pub fn advisor(&self, id: AdvisorId) -> bool {
        match self {
            Self::Everything => true,
            Self::Named(named) => named.advisors.contains(&id),
        }
    }
}

impl Firm {
    /// What the bearer of a token may know of at a moment.
    ///
    /// An administrator and an auditor: everything. An advisor: the clients served now, by name or in a team, the
    /// portfolios they own, and colleagues in the same teams. A client: the party itself, those it stands behind
    /// (joint holders, its trust, its company), the portfolios that these own, and who serves them. A service and a
    /// display: the portfolios that the token names. Where an advisor's or a client's token names portfolios, it
    /// reaches those of its portfolios alone. A role or a subject that nobody knows reaches nothing.
    #[must_use]
    pub fn reach(&self, granted: &AccessGranted, at: At) -> Reach {
        let mut named = match granted.role {
            Role::Administrator | Role::Auditor => return Reach::Everything,
            Role::Advisor => self.advisors_reach(&granted.subject, at),
            Role::Client => self.clients_reach(&granted.subject, at),
            Role::Service | Role::Display => {
                let portfolios = granted.portfolios.iter().copied().collect();
                return Reach::Named(Named { portfolios, ..Named::default() });
            }
            Role::Other(_) => Named::default(),
        };
        if !granted.portfolios.is_empty() {
            named.portfolios.retain(|id| granted.portfolios.contains(id));
        }
        Reach::Named(named)
    }

    fn advisors_reach(&self, subject: &str, at: At) -> Named {
        let Ok(advisor) = subject.parse::<AdvisorId>() else { return Named::default() };
        if !self.is_at_work(advisor, at) {
            return Named::default();
        }
        let parties = self.clients_of(advisor, at);
        Named { portfolios: self.owned_by_any(&parties, at), advisors: self.colleagues(advisor, at), parties }
    }

    fn clients_reach(&self, subject: &str, at: At) -> Named {
        let Ok(party) = subject.parse::<PartyId>() else { return Named::default() };
        if self.party(party, at).is_none() {
            return Named::default();
        }
        let parties = self.stands_for(party, at);
        Named {
            portfolios: self.owned_by_any(&parties, at),
            advisors: parties.iter().flat_map(|party| self.advisors_of(*party, at)).collect(),
            parties,
        }
    }

    /// The portfolios that any of some parties owns, whole or in part, at a moment.
    #[must_use]
    pub fn owned_by_any(&self, parties: &BTreeSet<PartyId>, at: At) -> BTreeSet<PortfolioId> {
        self.portfolios
            .iter()
            .filter(|(_, record)| {
                let owners = self.holding(&record.owners, at);
                owners.is_some_and(|said| said.fact.owners.iter().any(|owner| parties.contains(&owner.party)))
            })
            .map(|(id, _)| *id)
            .collect()
    }
}
