//! The terms of a portfolio: whose it is, on whose decision it is traded, and what it is measured against.

use super::people::client;
use super::texts::{Faults, instrument_of};
use super::{Decision, Stated, term, today};
use crate::journal::{Author, Journal, JournalError, Terms};
use daybook_projections::Library;
use daybook_schemas::events::{BenchmarkChosen, Mandate, MandateSet, Ownership, PortfolioOwnersSet};
use daybook_schemas::{Day, Fraction, PartyId, PortfolioId, decimal, stream};
use rust_decimal::Decimal;
use std::collections::BTreeSet;

/// The most owners of a portfolio.
const OWNERS_MAX: usize = 100;

/// Who owns a portfolio from a day on.
#[derive(Clone, Debug)]
pub(crate) struct NewOwners {
    /// The owners and their shares, which sum to one.
    pub(crate) owners: Vec<(PartyId, Fraction)>,
    /// The first day; today if not said.
    pub(crate) from: Option<Day>,
}

/// On whose decision a portfolio is traded from a day on.
#[derive(Clone, Debug)]
pub(crate) struct NewMandate {
    /// The mandate.
    pub(crate) mandate: Mandate,
    /// The first day; today if not said.
    pub(crate) from: Option<Day>,
}

/// What a portfolio is measured against from a day on.
#[derive(Clone, Debug)]
pub(crate) struct NewBenchmark {
    /// The instrument's id or symbol; absent for none.
    pub(crate) instrument: Option<String>,
    /// The first day; today if not said.
    pub(crate) from: Option<Day>,
}

impl Journal {
    /// Records who owns a portfolio from a day on.
    pub(crate) fn set_owners(
        &self,
        author: &Author,
        portfolio: PortfolioId,
        new: &NewOwners,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        let from = new.from.unwrap_or_else(today);
        self.state(author, terms, |library| {
            opened(library, portfolio)?;
            let fact = owners_of(library, new, from)?;
            let streams: Vec<String> = fact.owners.iter().map(|owner| stream::party(owner.party)).collect();
            Ok(Decision::one(term(library, portfolio, from, fact)).resting_on(streams))
        })
    }

    /// Records on whose decision a portfolio is traded from a day on.
    pub(crate) fn set_mandate(
        &self,
        author: &Author,
        portfolio: PortfolioId,
        new: &NewMandate,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        let from = new.from.unwrap_or_else(today);
        self.state(author, terms, |library| {
            opened(library, portfolio)?;
            let fact = MandateSet { mandate: new.mandate.clone(), from };
            Ok(Decision::one(term(library, portfolio, from, fact)))
        })
    }

    /// Records what a portfolio is measured against from a day on.
    pub(crate) fn choose_benchmark(
        &self,
        author: &Author,
        portfolio: PortfolioId,
        new: &NewBenchmark,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        let from = new.from.unwrap_or_else(today);
        self.state(author, terms, |library| {
            opened(library, portfolio)?;
            let instrument = new
                .instrument
                .as_deref()
                .map(|text| instrument_of(library, text))
                .transpose()
                .map_err(|detail| JournalError::field("instrument", detail))?;
            let fact = BenchmarkChosen { instrument, from };
            Ok(Decision::one(term(library, portfolio, from, fact)))
        })
    }
}

fn opened(library: &Library, portfolio: PortfolioId) -> Result<(), JournalError> {
    match library.directory.get(portfolio) {
        Some(_) => Ok(()),
        None => Err(JournalError::not_found("portfolio", portfolio)),
    }
}

/// A client who owns the whole from today on.
pub(in crate::journal) fn sole_owner(
    library: &Library,
    party: PartyId,
) -> Result<PortfolioOwnersSet, JournalError> {
    let from = today();
    client(library, party, from, "client")?;
    Ok(PortfolioOwnersSet { owners: vec![Ownership { party, share: Fraction::new(Decimal::ONE) }], from })
}

/// The owners, each a client on the day, whose shares sum to one to the last decimal.
fn owners_of(library: &Library, new: &NewOwners, from: Day) -> Result<PortfolioOwnersSet, JournalError> {
    let mut faults = Faults::default();
    if new.owners.is_empty() || new.owners.len() > OWNERS_MAX {
        faults.note("owners", format!("name 1 to {OWNERS_MAX} owners"));
    }
    let mut named = BTreeSet::new();
    let mut sum = Some(Decimal::ZERO);
    for (at, (party, share)) in new.owners.iter().enumerate() {
        faults.share(format!("owners[{at}].share"), *share);
        if !named.insert(*party) {
            faults.note(format!("owners[{at}].party"), "it is named twice: name each owner once");
        }
        sum = sum.and_then(|sum| decimal::add(sum, share.get()).ok());
        let field = format!("owners[{at}].party");
        match client(library, *party, from, &field) {
            Ok(_) => {}
            Err(JournalError::Invalid(invalid)) => {
                for fault in invalid {
                    faults.note(field.clone(), fault.detail);
                }
            }
            Err(JournalError::NotFound { id, .. }) => {
                faults.note(field, format!("there is no party {id}: onboard it first"));
            }
            Err(other) => return Err(other),
        }
    }
    if !new.owners.is_empty() && sum != Some(Decimal::ONE) {
        let sum = sum.map_or_else(|| "no decimal".to_owned(), |sum| sum.normalize().to_string());
        faults.note(
            "owners",
            format!("the shares sum to {sum}, not 1: write parts of one whose sum is exactly 1"),
        );
    }
    faults.finish()?;
    let owners = new.owners.iter().map(|(party, share)| Ownership { party: *party, share: *share }).collect();
    Ok(PortfolioOwnersSet { owners, from })
}
