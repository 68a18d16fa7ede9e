//! Taking back a fact about the firm that never was.

use super::{Decision, EVER, Stated};
use crate::journal::imports::reversal_key;
use crate::journal::{Author, Draft, Journal, JournalError, Terms, decode, now};
use daybook_projections::Library;
use daybook_schemas::events::{ContentHash, EventReversed, Words};
use daybook_schemas::{Event, KeyId, stream};

impl Journal {
    /// Declares that a fact about the firm never was. What else rests on it is taken back first.
    pub(in crate::journal) fn reverse_fact(
        &self,
        author: &Author,
        target: u64,
        reason: &str,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        let record = self.event(target)?;
        let event = decode(&record.view())?;
        let name = record.stream.to_string();
        let key = match &event {
            Event::AdvisorRegistered(fact) => Some(KeyId::Advisor(fact.advisor)),
            Event::AdvisorAmended(fact) => Some(KeyId::Advisor(fact.advisor)),
            Event::AdvisorDeparted(fact) => Some(KeyId::Advisor(fact.advisor)),
            Event::PartyOnboarded(fact) => Some(KeyId::Party(fact.party)),
            Event::PartyAmended(fact) => Some(KeyId::Party(fact.party)),
            Event::PartyOffboarded(fact) => Some(KeyId::Party(fact.party)),
            Event::ClientAssigned(fact) => Some(KeyId::Party(fact.party)),
            Event::InvestmentProfileSet(fact) => Some(KeyId::Party(fact.party)),
            Event::ReviewHeld(fact) => Some(KeyId::Party(fact.party)),
            _ => match stream::portfolio_of(&name) {
                Some(id) => Some(self.portfolio_facts(id)?.key),
                None => None,
            },
        };
        let words = match key {
            // Where the key is erased the reason is kept in nobody's words.
            Some(key) if self.keys().contains(key) => {
                Words::Sealed(self.seal(key, "reason", &reason.to_owned())?)
            }
            Some(_) => Words::from("the reason was about somebody whose key is erased"),
            None => Words::from(reason),
        };
        self.state(author, terms, |library| {
            if let Some(by) = library.firm.reversed_by(target) {
                return Err(JournalError::Conflict {
                    detail: format!("event {target} is reversed already, by event {by}"),
                    sequence: Some(by),
                });
            }
            if let Some(what) = resting_on(library, &event) {
                return Err(JournalError::Conflict {
                    detail: format!("event {target} cannot be taken back while {what}: change that first"),
                    sequence: None,
                });
            }
            let reversed = EventReversed { target, reason: words.clone(), replaced_by: None };
            let mut draft = Draft::new(name.clone(), now(), reversed);
            draft.key = Some(reversal_key(target));
            draft.content_hash = Some(ContentHash::of(&target.to_le_bytes()).0);
            let mut decision = Decision::one(draft);
            if stream::portfolio_of(&name).is_none() {
                decision = decision.resting_on([name.clone()]);
            }
            Ok(decision)
        })
    }
}

/// What would be left hanging if somebody had never come.
fn resting_on(library: &Library, event: &Event) -> Option<String> {
    let firm = &library.firm;
    match event {
        Event::AdvisorRegistered(fact) => {
            let client = firm.clients_of(fact.advisor, EVER).into_iter().next();
            let team = firm.teams_of(fact.advisor, EVER).next().map(|said| said.fact.team);
            client
                .map(|client| format!("the advisor serves {client}"))
                .or_else(|| team.map(|team| format!("the advisor is in team {team}")))
        }
        Event::PartyOnboarded(fact) => {
            let portfolio = firm.owned(fact.party, EVER).into_iter().next();
            let behind = firm.behind(fact.party, EVER).into_iter().next();
            let household = firm.household_of(fact.party, EVER).map(|said| said.fact.household);
            portfolio
                .map(|id| format!("the party owns portfolio {id}"))
                .or_else(|| behind.map(|id| format!("the party stands behind {id}")))
                .or_else(|| household.map(|id| format!("the party belongs to household {id}")))
        }
        _ => None,
    }
}
