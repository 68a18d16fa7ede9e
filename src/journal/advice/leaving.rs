//! What becomes of recommendations when a client or an advisor leaves the firm.

use super::issue::NewAdvice;
use crate::journal::{Draft, Journal, JournalError, now};
use daybook_projections::{At, Library, Recommendation};
use daybook_schemas::events::RecommendationWithdrawn;
use daybook_schemas::{AdvisorId, Day, KeyId, PartyId, Sealed, Timestamp, Zone, stream};

/// Who leaves the firm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::journal) enum Leaver {
    /// A client.
    Client(PartyId),
    /// An advisor whom nobody succeeds.
    Advisor(AdvisorId),
}

impl Leaver {
    fn is_behind(self, advice: &Recommendation) -> bool {
        match self {
            Self::Client(party) => advice.party == party,
            Self::Advisor(advisor) => advice.advisor == advisor,
        }
    }

    fn reason(self, on: Day) -> String {
        match self {
            Self::Client(_) => format!("the client's last day with the firm is {on}"),
            Self::Advisor(_) => format!("the advisor's last day with the firm is {on}, and nobody succeeds"),
        }
    }
}

impl Journal {
    /// Takes back the recommendations that wait for somebody's word and would outlive the last day of their client, or of
    /// an advisor whom nobody succeeds: nobody would be left to answer them, or to answer for them.
    ///
    /// They are taken back with the leaving instead of standing in its way, because what has happened is recorded when
    /// it is known, and the tokens of whoever left must open nothing meanwhile. What was accepted is left to be carried
    /// out.
    pub(in crate::journal) fn withdrawn_with(
        &self,
        library: &Library,
        leaver: Leaver,
        on: Day,
    ) -> Vec<Draft> {
        let (now, last) = (now(), on.end_in(Zone::UTC));
        library
            .recommendations
            .list()
            .filter(|advice| leaver.is_behind(advice))
            .filter(|advice| advice.state(now, u64::MAX).is_open())
            .filter(|advice| advice.expires.is_none_or(|expires| expires > last))
            .map(|advice| {
                // Of somebody whose key is erased nothing personal is recorded, the reason neither.
                let reason = Sealed::seal(&self.keys(), KeyId::Party(advice.party), &leaver.reason(on)).ok();
                let withdrawn = RecommendationWithdrawn { recommendation: advice.id, reason };
                Draft::new(stream::advice(advice.id), now, withdrawn)
            })
            .collect()
    }

    /// When a recommendation runs out: as it says, but with the last day of its client, or of an advisor whom nobody
    /// succeeds, at the latest.
    pub(super) fn runs_out(
        &self,
        new: &NewAdvice,
        party: PartyId,
        on: Day,
        usual: Timestamp,
    ) -> Result<Timestamp, JournalError> {
        let library = self.library()?;
        let at = At::on(on);
        let client = library.firm.party(party, at).and_then(|client| client.until);
        if let Some(until) = client.filter(|until| *until < on) {
            let detail = format!("{party} was a client to {until}: name an owner who is one");
            return Err(JournalError::field("party", detail));
        }
        let advisor = library.firm.advisor(new.advisor, at).filter(|advisor| advisor.successor.is_none());
        let advisor = advisor.and_then(|advisor| advisor.until);
        let Some(day) = client.into_iter().chain(advisor).min() else { return Ok(usual) };
        let last = day.end_in(Zone::UTC);
        match new.expires {
            Some(expires) if expires > last => {
                let who = if client == Some(day) { "client" } else { "advisor" };
                let detail =
                    format!("the {who}'s last day with the firm is {day}: write an instant on it or before");
                Err(JournalError::field("expires", detail))
            }
            Some(expires) => Ok(expires),
            None => Ok(usual.min(last)),
        }
    }
}
