//! By what a portfolio is judged at a moment: the profile in force, its review, targets and mandate.

use crate::library::{At, Firm, Library};
use crate::suitability::{Allocation, Risk, Screening, SizedTrade, screen};
use daybook_schemas::events::{InvestmentProfileSet, Mandate, RuleFinding, TargetWeight};
use daybook_schemas::{Day, PartyId, PortfolioId};
use rust_decimal::Decimal;

/// By what a portfolio is judged at a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InForce<'a> {
    /// The party whose profile it is; absent without a profile.
    pub party: Option<PartyId>,
    /// The profile.
    pub profile: Option<&'a InvestmentProfileSet>,
    /// When it is to be looked at again: as a profile of this portfolio alone says, else as the party is.
    pub review_due: Option<Day>,
    /// Weights to aim for: those of the model that the portfolio follows, else the profile's.
    pub targets: &'a [TargetWeight],
    /// On whose decision trades are made.
    pub mandate: Option<&'a Mandate>,
}

impl<'a> InForce<'a> {
    /// What is in force for a portfolio at a moment.
    #[must_use]
    pub fn of(firm: &'a Firm, portfolio: PortfolioId, at: At) -> Self {
        let governing = firm.governing_profile(portfolio, at);
        let profile = governing.map(|(_, said)| &said.fact);
        let model = firm.model_of(portfolio, at).map(|said| said.fact.targets.as_slice());
        Self {
            party: governing.map(|(party, _)| party),
            profile,
            review_due: governing.and_then(|(party, said)| {
                let of_party = firm.review_due(party, at);
                let own = said.fact.review_due.filter(|_| said.fact.portfolio.is_some());
                own.or(of_party)
            }),
            targets: model.or_else(|| profile.map(|profile| profile.targets.as_slice())).unwrap_or_default(),
            mandate: firm.mandate(portfolio, at).map(|said| &said.fact.mandate),
        }
    }

    /// Holds trades against every rule in force; with none, the portfolio as it is.
    #[must_use]
    pub fn screen(
        &self,
        library: &Library,
        at: At,
        [before, after]: [(&Allocation, &Risk); 2],
        trades: &[SizedTrade],
        cost: Option<Decimal>,
    ) -> Vec<RuleFinding> {
        let classify = |id| library.instruments.classification(id, at.day, at.known);
        let canonical = |id| library.instruments.canonical(id);
        screen(&Screening {
            before: before.0,
            after: after.0,
            trades,
            cost,
            profile: self.profile,
            review_due: self.review_due,
            targets: self.targets,
            mandate: self.mandate,
            on: at.day,
            risk_before: before.1,
            risk_after: after.1,
            classify: &classify,
            canonical: &canonical,
        })
    }
}
