//! Who serves which client, by assignment, team and succession.

use super::{At, Firm, Said};
use daybook_schemas::events::{Assignee, AssignmentRole, ClientAssigned};
use daybook_schemas::{AdvisorId, Day, PartyId};
use std::collections::{BTreeMap, BTreeSet};

/// One who serves a client at a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Serving {
    /// The advisor or the team, as it was assigned; the successor of one who left.
    pub to: Assignee,
    /// In what role.
    pub role: AssignmentRole,
    /// The first day of the assignment.
    pub from: Day,
    /// The last day, where one was said.
    pub until: Option<Day>,
    /// The event that says so.
    pub sequence: u64,
}

impl Firm {
    /// Who serves a party at a moment, the one who answers for it first.
    ///
    /// One advisor or team leads at a time: whoever was made lead last, by the day from which. Others serve beside the
    /// lead until the day that their assignment names; the same assignment said again replaces what it said of its end.
    /// The clients of an advisor who left are served by the successor. A client that is one no more is served by nobody,
    /// and one that comes back by those whom it is assigned to from then on.
    #[must_use]
    pub fn serving(&self, party: PartyId, at: At) -> Vec<Serving> {
        let client = self.party(party, at);
        let client = client.filter(|client| client.until.is_none_or(|until| at.day <= until));
        let (Some(record), Some(client)) = (self.parties.get(&party), client) else {
            return Vec::new();
        };
        let mut counting = self.counting(&record.assigned, at);
        counting.retain(|said| said.fact.from >= client.from);
        let mut newest: BTreeMap<(u8, String, Day), &Said<ClientAssigned>> = BTreeMap::new();
        for said in counting {
            let place = (place(&said.fact.role), name(&said.fact.to), said.fact.from);
            // They come by day and sequence, so that the last one of a place is the newest.
            newest.insert(place, said);
        }
        let lead = newest
            .values()
            .filter(|said| said.fact.role == AssignmentRole::Lead)
            .max_by_key(|said| (said.fact.from, said.meta.sequence))
            .map(|said| said.meta.sequence);
        let mut serving: Vec<Serving> = newest
            .into_values()
            .filter(|said| said.fact.role != AssignmentRole::Lead || Some(said.meta.sequence) == lead)
            .filter(|said| said.fact.until.is_none_or(|until| at.day <= until))
            .filter_map(|said| {
                Some(Serving {
                    to: self.succeeded(&said.fact.to, at)?,
                    role: said.fact.role.clone(),
                    from: said.fact.from,
                    until: said.fact.until,
                    sequence: said.meta.sequence,
                })
            })
            .collect();
        serving.sort_by_key(|serving| (place(&serving.role), serving.from, serving.sequence));
        serving
    }

    /// The advisor who answers for a party at a moment; of a team that leads, nobody in particular.
    #[must_use]
    pub fn lead(&self, party: PartyId, at: At) -> Option<AdvisorId> {
        match self.serving(party, at).into_iter().find(|serving| serving.role == AssignmentRole::Lead)?.to {
            Assignee::Advisor(id) => Some(id),
            Assignee::Team(_) => None,
        }
    }

    /// Whoever an assignment means at a moment: the successor for an advisor who left; nobody where there is none.
    fn succeeded(&self, to: &Assignee, at: At) -> Option<Assignee> {
        let Assignee::Advisor(first) = to else { return Some(to.clone()) };
        let (mut id, mut seen) = (*first, BTreeSet::new());
        while !self.is_at_work(id, at) {
            if !seen.insert(id) {
                return None;
            }
            id = self.advisor(id, at)?.successor?;
        }
        Some(Assignee::Advisor(id))
    }

    /// The advisors who serve a party at a moment, by name or as members of a team.
    #[must_use]
    pub fn advisors_of(&self, party: PartyId, at: At) -> BTreeSet<AdvisorId> {
        let mut advisors = BTreeSet::new();
        for serving in self.serving(party, at) {
            match serving.to {
                Assignee::Advisor(id) => {
                    advisors.insert(id);
                }
                Assignee::Team(team) => {
                    let members = self.team(team, at).map(|said| said.fact.members.as_slice());
                    let members = members.unwrap_or_default().iter().copied();
                    advisors.extend(members.filter(|id| self.is_at_work(*id, at)));
                }
            }
        }
        advisors
    }

    /// The parties whom an advisor serves at a moment, in whatever role; by id.
    #[must_use]
    pub fn clients_of(&self, advisor: AdvisorId, at: At) -> BTreeSet<PartyId> {
        if !self.is_at_work(advisor, at) {
            return BTreeSet::new();
        }
        self.parties.keys().copied().filter(|party| self.advisors_of(*party, at).contains(&advisor)).collect()
    }

    /// The advisors with whom an advisor is in a team at a moment, and the advisor.
    #[must_use]
    pub fn colleagues(&self, advisor: AdvisorId, at: At) -> BTreeSet<AdvisorId> {
        let mut all = BTreeSet::from([advisor]);
        for team in self.teams(at).filter(|said| said.fact.members.contains(&advisor)) {
            all.extend(team.fact.members.iter().copied());
        }
        all
    }
}

/// The order of roles: who answers for a client comes first.
fn place(role: &AssignmentRole) -> u8 {
    match role {
        AssignmentRole::Lead => 0,
        AssignmentRole::Support => 1,
        AssignmentRole::Deputy => 2,
        AssignmentRole::Other(_) => 3,
    }
}

fn name(to: &Assignee) -> String {
    match to {
        Assignee::Advisor(id) => format!("advisor {id}"),
        Assignee::Team(id) => format!("team {id}"),
    }
}
