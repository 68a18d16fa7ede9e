//! Who serves whom, in which teams, and which clients belong together.

use super::people::{MEMBERS_MAX, at_work, client};
use super::texts::Faults;
use super::{Decision, EVER, Stated, occurs, today};
use crate::journal::access::id_parts;
use crate::journal::{Author, Draft, Journal, JournalError, Terms};
use daybook_projections::{At, Library};
use daybook_schemas::events::{Assignee, AssignmentRole, ClientAssigned, HouseholdFormed, TeamFormed};
use daybook_schemas::{AdvisorId, Day, HouseholdId, KeyId, PartyId, TeamId, stream};
use std::collections::BTreeSet;

/// A client who is to be served by somebody.
#[derive(Clone, Debug)]
pub(crate) struct NewAssignment {
    /// By whom.
    pub(crate) to: Assignee,
    /// In what role.
    pub(crate) role: AssignmentRole,
    /// The first day; today if not said.
    pub(crate) from: Option<Day>,
    /// The last day, where it has one.
    pub(crate) until: Option<Day>,
}

/// A team as it is from a day on. What is not said stays as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewTeam {
    /// Its name.
    pub(crate) name: Option<String>,
    /// All its members.
    pub(crate) members: Option<Vec<AdvisorId>>,
    /// The first day; today if not said.
    pub(crate) from: Option<Day>,
}

/// A household as it is from a day on. What is not said stays as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewHousehold {
    /// Its name.
    pub(crate) name: Option<String>,
    /// All its members.
    pub(crate) members: Option<Vec<PartyId>>,
    /// The first day; today if not said.
    pub(crate) from: Option<Day>,
}

impl Journal {
    /// Assigns a client to an advisor or a team.
    pub(crate) fn assign_client(
        &self,
        author: &Author,
        party: PartyId,
        new: &NewAssignment,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        let from = new.from.unwrap_or_else(today);
        if new.until.is_some_and(|until| until < from) {
            return Err(JournalError::field(
                "until",
                format!("it is before the first day, {from}: write a later one"),
            ));
        }
        self.state(author, terms, |library| {
            client(library, party, from, "from")?;
            let rests_on = match &new.to {
                Assignee::Advisor(id) => {
                    at_work(library, *id, from, "advisor")?;
                    stream::advisor(*id)
                }
                Assignee::Team(id) => {
                    let team = library.firm.team(*id, At::on(from));
                    if team.is_none_or(|said| said.fact.members.is_empty()) {
                        return Err(JournalError::field(
                            "team",
                            format!("there is no team {id} with members on {from}: look it up in /teams"),
                        ));
                    }
                    stream::FIRM.to_owned()
                }
            };
            let fact =
                ClientAssigned { party, to: new.to.clone(), role: new.role.clone(), from, until: new.until };
            Ok(Decision::one(Draft::new(stream::party(party), occurs(from), fact)).resting_on([rests_on]))
        })
    }

    /// Forms a team, or says how one is from a day on.
    pub(crate) fn form_team(
        &self,
        author: &Author,
        id: Option<TeamId>,
        new: &NewTeam,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        let mut faults = Faults::default();
        let name = new.name.as_deref().map(|name| faults.name("name", name));
        check_stated(&mut faults, id.is_some(), name.is_some(), new.members.as_deref());
        faults.finish()?;
        let from = new.from.unwrap_or_else(today);
        let fresh = TeamId::from_parts()?;
        self.state(author, terms, |library| {
            let before = id.map(|id| team_before(library, id, from)).transpose()?;
            let members = match &new.members {
                Some(members) => members.clone(),
                None => before.map(|said| said.members.clone()).unwrap_or_default(),
            };
            let mut rests_on = Vec::new();
            if new.members.is_some() {
                for member in &members {
                    at_work(library, *member, from, "members")?;
                    rests_on.push(stream::advisor(*member));
                }
            }
            let name = name.as_deref().or(before.map(|said| &*said.name)).unwrap_or_default();
            let fact = TeamFormed { team: id.unwrap_or(fresh), name: name.into(), members, from };
            Ok(Decision::one(Draft::new(stream::FIRM.to_owned(), occurs(from), fact)).resting_on(rests_on))
        })
    }

    /// Forms a household, or says how one is from a day on.
    ///
    /// Its name is sealed under the key of its first member.
    pub(crate) fn form_household(
        &self,
        author: &Author,
        id: Option<HouseholdId>,
        new: &NewHousehold,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        let mut faults = Faults::default();
        let name = new.name.as_deref().map(|name| faults.name("name", name));
        check_stated(&mut faults, id.is_some(), name.is_some(), new.members.as_deref());
        faults.finish()?;
        let from = new.from.unwrap_or_else(today);
        let fresh = HouseholdId::from_parts()?;
        self.state(author, terms, |library| {
            let before = id.map(|id| household_before(library, id, from)).transpose()?;
            let id = id.unwrap_or(fresh);
            let members = match &new.members {
                Some(members) => members.clone(),
                None => before.map(|said| said.members.clone()).unwrap_or_default(),
            };
            if new.members.is_some() {
                check_household(library, id, &members, from)?;
            }
            let sealed = match (&name, before, members.first()) {
                (Some(name), _, Some(first)) => self.seal(KeyId::Party(*first), "name", name)?,
                (Some(name), Some(before), None) => self.seal(before.name.key(), "name", name)?,
                (None, Some(before), Some(first)) => {
                    // The name moves to the key of whoever comes first now, as long as it can be read.
                    let readable = before.name.open(&self.keys()).ok();
                    match readable {
                        Some(name) => self.seal(KeyId::Party(*first), "name", &name)?,
                        None => before.name.clone(),
                    }
                }
                (None, Some(before), None) => before.name.clone(),
                (_, None, _) => {
                    return Err(JournalError::field(
                        "members",
                        "a household has at least one member: name each",
                    ));
                }
            };
            let rests_on: Vec<String> = members.iter().copied().map(stream::party).collect();
            let fact = HouseholdFormed { household: id, name: sealed, members, from };
            Ok(Decision::one(Draft::new(stream::FIRM.to_owned(), occurs(from), fact)).resting_on(rests_on))
        })
    }
}

/// Checks what is said of a team or a household: all of a new one, something of one there is.
fn check_stated<T: Ord>(faults: &mut Faults, known: bool, named: bool, members: Option<&[T]>) {
    if !known && !named {
        faults.note("name", "it is required");
    }
    match members {
        None if !known => faults.note("members", "it is required: name each by its id"),
        None if !named => faults.note("name", "nothing changes: say what does, of name and members"),
        Some([]) if !known => faults.note("members", "name at least one"),
        Some(members) if members.len() > MEMBERS_MAX => {
            faults.note("members", format!("there are at most {MEMBERS_MAX} members"));
        }
        Some(members) if members.iter().collect::<BTreeSet<_>>().len() < members.len() => {
            faults.note("members", "one is named twice: name each once");
        }
        _ => {}
    }
}

fn team_before(library: &Library, id: TeamId, from: Day) -> Result<&TeamFormed, JournalError> {
    match (library.firm.team(id, At::on(from)), library.firm.team(id, EVER)) {
        (Some(said), _) => Ok(&said.fact),
        (None, Some(_)) => Err(before_it_was("team", from)),
        (None, None) => Err(JournalError::not_found("team", id)),
    }
}

fn household_before(library: &Library, id: HouseholdId, from: Day) -> Result<&HouseholdFormed, JournalError> {
    match (library.firm.household(id, At::on(from)), library.firm.household(id, EVER)) {
        (Some(said), _) => Ok(&said.fact),
        (None, Some(_)) => Err(before_it_was("household", from)),
        (None, None) => Err(JournalError::not_found("household", id)),
    }
}

pub(super) fn before_it_was(what: &str, from: Day) -> JournalError {
    JournalError::field("from", format!("there was no such {what} yet on {from}: write a later day"))
}

/// A household's members are parties, each in one household at a time.
fn check_household(
    library: &Library,
    id: HouseholdId,
    members: &[PartyId],
    from: Day,
) -> Result<(), JournalError> {
    let mut faults = Faults::default();
    for member in members {
        if library.firm.party(*member, At::on(from)).is_none() {
            faults.note("members", format!("{member} is no party on {from}: onboard it first"));
        }
        let other = library
            .firm
            .households(At::on(from))
            .find(|said| said.fact.household != id && said.fact.members.contains(member));
        if let Some(other) = other {
            faults.note(
                "members",
                format!("{member} belongs to household {}: take it out there first", other.fact.household),
            );
        }
    }
    faults.finish()
}

/// New ids, which sort by age.
trait FromParts: Sized {
    fn from_parts() -> Result<Self, JournalError>;
}

macro_rules! from_parts {
    ($($id:ident),*) => {$(
        impl FromParts for $id {
            fn from_parts() -> Result<Self, JournalError> {
                let (milliseconds, bytes) = id_parts()?;
                Ok(Self::new(milliseconds, bytes))
            }
        }
    )*};
}

from_parts!(TeamId, HouseholdId);
