//! What all views stand on: the firm at a moment, where its portfolios stand, and sums that never mix currencies.

use super::standing::{RateUsed, Standing};
use crate::exact;
use crate::library::{AdviceState, At, Directory, Firm, Instruments, Reach, Recommendation, Recommendations};
use crate::suitability::Outcome;
use crate::view::AsOf;
use daybook_schemas::decimal::{self, QUOTIENT_SCALE};
use daybook_schemas::events::{Assignee, AssignmentRole};
use daybook_schemas::{
    AdvisorId, Currency, Day, InstrumentId, PartyId, PortfolioId, RecommendationId, TeamId, Timestamp, Zone,
};
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What ids are called; absent where a key was erased.
pub trait Names {
    /// An advisor's name.
    fn advisor(&self, id: AdvisorId) -> Option<String>;
    /// A party's name.
    fn party(&self, id: PartyId) -> Option<String>;
    /// A portfolio's name.
    fn portfolio(&self, id: PortfolioId) -> Option<String>;
    /// A team's name.
    fn team(&self, id: TeamId) -> Option<String>;
    /// An instrument's symbol.
    fn instrument(&self, id: InstrumentId) -> Option<String>;
}

/// What is folded of the firm, of which a view is told.
#[derive(Clone, Copy)]
pub struct Folded<'a> {
    /// Who advises, who is advised, who owns what.
    pub firm: &'a Firm,
    /// Recommendations.
    pub recommendations: &'a Recommendations,
    /// What can be held.
    pub instruments: &'a Instruments,
    /// Portfolios.
    pub directory: &'a Directory,
}

/// From where the firm is seen.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// The day, in the firm's zone, and the knowledge.
    pub at: At,
    /// The instant.
    pub instant: Timestamp,
    /// The first day of the period, which ends with `at`.
    pub from: Day,
    /// The zone that bounds the firm's days.
    pub zone: Zone,
    /// The currency in which sums over several currencies are stated.
    pub currency: Currency,
    /// What the caller may know of now.
    pub reach: &'a Reach,
}

/// What was looked up for a view.
#[derive(Default)]
pub struct LookedUp {
    /// Where each portfolio stands that is needed, or why that is not known.
    pub standings: BTreeMap<PortfolioId, Result<Arc<Standing>, String>>,
    /// What became of recommendations.
    pub outcomes: BTreeMap<RecommendationId, Outcome>,
    /// Rates into the currency of the view.
    pub rates: BTreeMap<Currency, RateUsed>,
}

/// The firm as somebody sees it at a moment.
pub struct Office<'a> {
    pub(super) firm: &'a Firm,
    pub(super) recommendations: &'a Recommendations,
    pub(super) instruments: &'a Instruments,
    pub(super) directory: &'a Directory,
    pub(super) names: &'a dyn Names,
    pub(super) at: At,
    pub(super) instant: Timestamp,
    pub(super) from: Day,
    pub(super) zone: Zone,
    pub(super) currency: Currency,
    pub(super) reach: &'a Reach,
    pub(super) looked_up: LookedUp,
    /// Open portfolios by owner, of those that the caller may know of, each with the owner's part.
    owned: BTreeMap<PartyId, BTreeMap<PortfolioId, Decimal>>,
    /// Clients by whoever serves them, in the first of that advisor's roles.
    served: BTreeMap<AdvisorId, BTreeMap<PartyId, AssignmentRole>>,
    /// Recommendations that wait for an exception, by portfolio.
    waiting: BTreeMap<PortfolioId, Vec<&'a Recommendation>>,
}

impl<'a> Office<'a> {
    /// The firm at a moment, before anything was looked up.
    #[must_use]
    pub fn new(folded: Folded<'a>, seen: Seen<'a>, names: &'a dyn Names) -> Self {
        let Folded { firm, recommendations, instruments, directory } = folded;
        let Seen { at, instant, from, zone, currency, reach } = seen;
        let mut office = Self {
            firm,
            recommendations,
            instruments,
            directory,
            names,
            at,
            instant,
            from,
            zone,
            currency,
            reach,
            looked_up: LookedUp::default(),
            owned: BTreeMap::new(),
            served: BTreeMap::new(),
            waiting: BTreeMap::new(),
        };
        for entry in directory.list() {
            let Some(said) = firm.owners(entry.id, at) else { continue };
            if reach.portfolio(entry.id) && office.is_open(entry.id) {
                for owner in &said.fact.owners {
                    office.owned.entry(owner.party).or_default().insert(entry.id, owner.share.get());
                }
            }
        }
        for party in firm.parties(at).map(|party| party.id).filter(|id| reach.party(*id)) {
            // Those who answer for the party come first.
            for serving in firm.serving(party, at) {
                let advisors = match serving.to {
                    Assignee::Advisor(id) => vec![id],
                    Assignee::Team(team) => {
                        let members = firm.team(team, at).map(|said| said.fact.members.clone());
                        members
                            .unwrap_or_default()
                            .into_iter()
                            .filter(|id| firm.is_at_work(*id, at))
                            .collect()
                    }
                };
                for advisor in advisors {
                    let roles = office.served.entry(advisor).or_default();
                    roles.entry(party).or_insert_with(|| serving.role.clone());
                }
            }
        }
        for advice in recommendations.list() {
            let is_issued = advice.issued.sequence <= at.known && advice.issued.occurred_at <= instant;
            if is_issued && advice.state(instant, at.known) == AdviceState::AwaitingOverride {
                office.waiting.entry(advice.portfolio).or_default().push(advice);
            }
        }
        office
    }

    /// The same, with what was looked up.
    #[must_use]
    pub fn with(mut self, looked_up: LookedUp) -> Self {
        self.looked_up = looked_up;
        self
    }

    /// Sets the rates that sums may need.
    pub fn set_rates(&mut self, rates: BTreeMap<Currency, RateUsed>) {
        self.looked_up.rates = rates;
    }

    /// The currencies that sums may need a rate for.
    #[must_use]
    pub fn currencies(&self) -> BTreeSet<Currency> {
        let of = |standing: &Result<Arc<Standing>, String>| -> BTreeSet<Currency> {
            let Ok(standing) = standing else { return BTreeSet::new() };
            let flows = standing.period.net_flows.iter().flat_map(|flows| flows.keys().copied());
            flows.chain([standing.currency]).collect()
        };
        let all = self.looked_up.standings.values().flat_map(of);
        all.filter(|currency| *currency != self.currency).collect()
    }

    /// Clients whom an advisor serves, each with the first of the advisor's roles.
    pub(super) fn served_by(&self, advisor: AdvisorId) -> BTreeMap<PartyId, AssignmentRole> {
        self.served.get(&advisor).cloned().unwrap_or_default()
    }

    /// Recommendations for a portfolio that wait for an exception.
    pub(super) fn waiting_for(&self, portfolio: PortfolioId) -> &[&'a Recommendation] {
        self.waiting.get(&portfolio).map(Vec::as_slice).unwrap_or_default()
    }
}

/// A sum of money: by currency, and all of it in one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Sum {
    /// The currency of `total`.
    pub currency: Currency,
    /// All of it; absent where a part is not known or has no rate.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub total: Option<Decimal>,
    /// What is known, by currency, nothing converted.
    #[serde(serialize_with = "by_currency")]
    pub by_currency: BTreeMap<Currency, Decimal>,
    /// The rates at which `total` was converted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RateUsed>,
    /// Why `total` is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

fn by_currency<S: serde::Serializer>(
    amounts: &BTreeMap<Currency, Decimal>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(amounts.iter().map(|(currency, amount)| (currency, amount.to_string())))
}

/// What is added up.
#[derive(Default)]
pub(super) struct Adding {
    by_currency: BTreeMap<Currency, Decimal>,
    missing: Vec<String>,
}

impl Adding {
    /// Adds a part of an amount.
    pub(super) fn add(&mut self, currency: Currency, amount: Decimal, share: Decimal) {
        let sum = self.by_currency.entry(currency).or_default();
        match part(amount, share).and_then(|amount| decimal::add(*sum, amount).map_err(|e| e.to_string())) {
            Ok(added) => *sum = added,
            Err(reason) => self.missing.push(reason),
        }
    }

    /// Takes note that something cannot be added.
    pub(super) fn lacks(&mut self, reason: String) {
        self.missing.push(reason);
    }

    /// The sum, in the office's currency.
    pub(super) fn sum(mut self, office: &Office<'_>) -> Sum {
        self.by_currency.retain(|_, amount| !amount.is_zero());
        let mut rates = Vec::new();
        let mut total = Decimal::ZERO;
        for (currency, amount) in &self.by_currency {
            let converted = if *currency == office.currency {
                Ok(*amount)
            } else {
                office.rate(*currency).and_then(|rate| {
                    rates.push(rate);
                    part(*amount, rates.last().map_or(Decimal::ONE, |rate| rate.rate))
                })
            };
            match converted.and_then(|one| decimal::add(total, one).map_err(|error| error.to_string())) {
                Ok(sum) => total = sum,
                Err(reason) => self.missing.push(reason),
            }
        }
        let missing = match self.missing.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            [first, rest @ ..] => Some(format!("{first}; and {} more", rest.len())),
        };
        Sum {
            currency: office.currency,
            total: missing.is_none().then_some(total),
            by_currency: self.by_currency,
            rates,
            missing,
        }
    }
}

/// A part of an amount: exactly, or cut half-even at twelve places where that has too many digits.
pub(super) fn part(amount: Decimal, share: Decimal) -> Result<Decimal, String> {
    decimal::multiply(amount, share)
        .or_else(|_| decimal::multiply_divide(amount, share, Decimal::ONE, QUOTIENT_SCALE))
        .map_err(|error| error.to_string())
}

impl Office<'_> {
    /// The rate from a currency into the office's.
    fn rate(&self, from: Currency) -> Result<RateUsed, String> {
        let found = self.looked_up.rates.get(&from).cloned();
        found.ok_or_else(|| format!("no rate from {from} to {} is known", self.currency))
    }

    /// Units of the office's currency for one of another.
    pub(super) fn rate_into(&self, from: Currency) -> Result<Decimal, String> {
        if from == self.currency { Ok(Decimal::ONE) } else { Ok(self.rate(from)?.rate) }
    }

    /// What a portfolio is called, for a sentence.
    pub(super) fn called(&self, id: PortfolioId) -> String {
        self.names.portfolio(id).unwrap_or_else(|| id.to_string())
    }

    /// The part of a portfolio that a party owns; 0 for none.
    pub(super) fn share(&self, portfolio: PortfolioId, party: PartyId) -> Decimal {
        let owned = self.owned.get(&party).and_then(|owned| owned.get(&portfolio));
        owned.copied().unwrap_or_default()
    }

    /// The portfolios of a party that the caller may know of, by id.
    pub(super) fn portfolios_of(&self, party: PartyId) -> Vec<PortfolioId> {
        self.owned.get(&party).map(|owned| owned.keys().copied().collect()).unwrap_or_default()
    }

    /// Whether a portfolio was there at the moment: one that has owners from a later day was not yet.
    pub(super) fn is_open(&self, id: PortfolioId) -> bool {
        let Some(entry) = self.directory.get(id) else { return false };
        let ever = At { day: Day::from_number(i32::MAX), known: self.at.known };
        let firm = self.firm;
        entry.opened <= self.at.known
            && entry.closed.is_none_or(|closed| self.at.day <= closed)
            && (firm.owners(id, self.at).is_some() || firm.owners(id, ever).is_none())
    }

    /// The equity of a portfolio with its currency, or why it is not known.
    pub(super) fn equity(&self, id: PortfolioId) -> Result<(Currency, Decimal), String> {
        let standing = self.standing(id)?;
        let equity = standing.allocation.equity();
        let equity = equity.map_err(|reason| format!("the equity of {}: {reason}", self.called(id)))?;
        Ok((standing.currency, equity))
    }

    /// Where a portfolio stands, or why that is not known.
    pub(super) fn standing(&self, id: PortfolioId) -> Result<&Arc<Standing>, String> {
        match self.looked_up.standings.get(&id) {
            Some(Ok(standing)) => Ok(standing),
            Some(Err(reason)) => Err(format!("{}: {reason}", self.called(id))),
            None => Err(format!("{} was not looked at", self.called(id))),
        }
    }

    /// Adds a part of a portfolio's equity.
    pub(super) fn add_equity(&self, assets: &mut Adding, id: PortfolioId, share: Decimal) {
        match self.equity(id) {
            Ok((currency, equity)) => assets.add(currency, equity, share),
            Err(reason) => assets.lacks(reason),
        }
    }

    /// Adds a part of a portfolio's net flows in the period.
    pub(super) fn add_flows(&self, flows: &mut Adding, id: PortfolioId, share: Decimal) {
        match self.standing(id).map(|standing| &standing.period.net_flows) {
            Ok(Ok(by_currency)) => {
                for (currency, amount) in by_currency {
                    flows.add(*currency, *amount, share);
                }
            }
            Ok(Err(reason)) => flows.lacks(format!("the flows of {}: {reason}", self.called(id))),
            Err(reason) => flows.lacks(reason),
        }
    }
}

/// Somebody or something, by id and name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Called<Id> {
    /// The id.
    pub id: Id,
    /// The name; absent where its key was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The two clocks of a view, as they are written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Asked {
    /// The moment: a day is meant to its end.
    pub as_of: String,
    /// The first day of the period.
    pub from: Day,
    /// Its last day: that of the view.
    pub to: Day,
}

impl Asked {
    /// What was asked.
    #[must_use]
    pub fn of(as_of: AsOf, from: Day, to: Day) -> Self {
        let as_of = match as_of {
            AsOf::Day(day) => day.to_string(),
            AsOf::Instant(instant) => instant.to_string(),
        };
        Self { as_of, from, to }
    }
}
