//! Whether what was offered can still be taken: by an owner, and by the profile in force.

use super::AskedTrade;
use super::screening::Screened;
use crate::journal::{Journal, JournalError, Moment, now};
use daybook_projections::suitability::overall;
use daybook_projections::{At, Recommendation};
use daybook_schemas::events::{RuleFinding, Verdict};
use daybook_schemas::{Zone, stream};

impl Journal {
    /// What the rules say at a moment of the trades of a recommendation.
    pub(crate) fn screen_again(
        &self,
        advice: &Recommendation,
        moment: &Moment,
    ) -> Result<Screened, JournalError> {
        let trades: Vec<AskedTrade> = advice
            .trades
            .iter()
            .map(|trade| AskedTrade {
                symbol: trade.instrument.to_string(),
                side: trade.side.clone(),
                quantity: trade.quantity.map(daybook_schemas::Quantity::get),
                amount: trade.amount.filter(|_| trade.weight.is_none()).map(daybook_schemas::Money::amount),
                weight: trade.weight.map(daybook_schemas::Fraction::get),
                limit: trade.limit.map(daybook_schemas::Price::get),
            })
            .collect();
        let cost = self.issued_event(advice.issued.sequence)?.expected_cost;
        self.screen(advice.portfolio, &trades, cost.map(daybook_schemas::Money::amount), moment)
    }

    /// Why a recommendation that is issued cannot be accepted at a moment: to somebody who owns the portfolio no longer,
    /// or on a profile that is in force no longer where the one in force would hold it back.
    ///
    /// A profile that did not change is not asked again: what it said stands in the recommendation, and the prices of
    /// every day would make an offer that nobody can rely on.
    pub(in crate::journal) fn refused_acceptance(
        &self,
        advice: &Recommendation,
        moment: &Moment,
    ) -> Result<Option<String>, JournalError> {
        let known = self.known(moment)?;
        let present = {
            let library = self.library()?;
            let firm = &library.firm;
            let zone = library.directory.get(advice.portfolio).map_or(Zone::UTC, |entry| entry.zone);
            let day = moment.as_of.map_or_else(|| now().day_in(zone), |as_of| as_of.day(zone));
            let at = At { day, known };
            let owners = firm.owners(advice.portfolio, at);
            let owns =
                owners.is_some_and(|said| said.fact.owners.iter().any(|owner| owner.party == advice.party));
            if !owns {
                return Ok(Some(format!(
                    "{} does not own the portfolio on {day}: withdraw it, and issue one to an owner",
                    advice.party
                )));
            }
            let issued = &advice.issued;
            let then = At { day: issued.occurred_at.day_in(zone), known: issued.sequence };
            let then = firm.governing_profile(advice.portfolio, then).map(|(_, said)| said.meta.sequence);
            let present = firm.governing_profile(advice.portfolio, at);
            if present.map(|(_, said)| said.meta.sequence) == then {
                return Ok(None);
            }
            present.map(|(_, said)| said.fact.version)
        };
        let rests_on = match (advice.profile_version, present) {
            (_, None) => "the profile that it rests on is in force no longer".to_owned(),
            (None, Some(now)) => format!("it rests on no profile, and version {now} is in force"),
            (Some(then), Some(now)) => {
                format!("it rests on version {then} of the profile, and version {now} is in force")
            }
        };
        let screened = match self.screen_again(advice, moment) {
            Ok(screened) => screened,
            Err(fault @ JournalError::Invalid(_)) => {
                return Ok(Some(format!(
                    "{rests_on}, by which it cannot be screened ({fault}): issue it anew"
                )));
            }
            Err(error) => return Err(error),
        };
        if !overall(&screened.findings).holds_back() {
            return Ok(None);
        }
        let held = |finding: &&RuleFinding| !matches!(finding.verdict, Verdict::Pass | Verdict::Warn);
        let rules: Vec<&str> = screened.findings.iter().filter(held).map(|finding| &*finding.rule).collect();
        Ok(Some(format!("{rests_on}, which holds it back ({}): issue it anew", rules.join(", "))))
    }

    /// The streams by which it is told whether a recommendation can still be accepted.
    pub(super) fn answered_by(&self, advice: &Recommendation) -> Result<Vec<String>, JournalError> {
        let library = self.library()?;
        let zone = library.directory.get(advice.portfolio).map_or(Zone::UTC, |entry| entry.zone);
        let judge = library.firm.governing_profile(advice.portfolio, At::on(now().day_in(zone)));
        let mut streams = vec![stream::portfolio(advice.portfolio), stream::party(advice.party)];
        streams.extend(judge.map(|(party, _)| stream::party(party)));
        streams.sort_unstable();
        streams.dedup();
        Ok(streams)
    }
}
