//! What clients want and can bear, version by version, and the reviews held with them.

use super::people::{at_work, client, onboarded};
use super::texts::{Faults, instrument_of};
use super::{Decision, EVER, Stated, country, occurs, today};
use crate::journal::access::id_parts;
use crate::journal::{Author, Draft, Journal, JournalError, Terms};
use daybook_projections::{At, Library};
use daybook_schemas::events::{
    Cap, Dimension, Exclusion, InstrumentClass, InvestmentProfileSet, Objective, ProfileDetails, ReviewHeld,
    ReviewOutcome, RiskLevel, TargetWeight,
};
use daybook_schemas::{
    AdvisorId, Currency, Day, Fraction, KeyId, Money, PartyId, PortfolioId, ReviewId, decimal, stream,
};
use rust_decimal::Decimal;
use std::collections::BTreeSet;

/// The most entries of a list in a profile or a model.
const LIST_MAX: usize = 200;
/// The longest horizon, in years.
const HORIZON_YEARS_MAX: u16 = 100;

/// What a cap, an exclusion or a target names, as it was written.
#[derive(Clone, Debug)]
pub(crate) struct OneOf {
    /// What it is about.
    pub(crate) dimension: Dimension,
    /// Which one; absent for each.
    pub(crate) value: Option<String>,
    /// The most, for a cap.
    pub(crate) share_max: Option<Fraction>,
}

/// A weight to aim for, as it was written: of an instrument or of a sleeve.
#[derive(Clone, Debug)]
pub(crate) struct NewTarget {
    /// The instrument's id or symbol.
    pub(crate) instrument: Option<String>,
    /// The sleeve, where it is no instrument.
    pub(crate) sleeve: Option<String>,
    /// The part of equity to aim for.
    pub(crate) weight: Fraction,
    /// How far it may be off before somebody is told.
    pub(crate) band: Option<Fraction>,
}

/// An investment profile. It says all of it anew: nothing of an earlier version stays.
#[derive(Clone, Debug)]
pub(crate) struct NewProfile {
    /// The version that whoever decided had seen last; 0 for none. Not checked if not said.
    pub(crate) expects_version: Option<u32>,
    /// The portfolio it is for; absent for all of the party's.
    pub(crate) portfolio: Option<PortfolioId>,
    /// What the party wants.
    pub(crate) objectives: Vec<Objective>,
    /// How much risk it will bear.
    pub(crate) risk_tolerance: RiskLevel,
    /// How much loss it can bear.
    pub(crate) loss_capacity: Option<RiskLevel>,
    /// For how many years the money is not needed.
    pub(crate) horizon_years: Option<u16>,
    /// Cash to be kept at hand.
    pub(crate) liquidity_reserve: Option<Money>,
    /// The largest drawdown to be borne.
    pub(crate) drawdown_max: Option<Fraction>,
    /// The personal part.
    pub(crate) details: Option<ProfileDetails>,
    /// What is not to be held.
    pub(crate) exclusions: Vec<OneOf>,
    /// Limits on parts of the portfolio.
    pub(crate) caps: Vec<OneOf>,
    /// Weights to aim for.
    pub(crate) targets: Vec<NewTarget>,
    /// When it is to be looked at again.
    pub(crate) review_due: Option<Day>,
    /// The first day on which it holds; today if not said.
    pub(crate) from: Option<Day>,
}

/// A review that was held.
#[derive(Clone, Debug)]
pub(crate) struct NewReview {
    /// The portfolios that were looked at; empty for all.
    pub(crate) portfolios: Vec<PortfolioId>,
    /// Who held it.
    pub(crate) advisor: Option<AdvisorId>,
    /// The day; today if not said.
    pub(crate) on: Option<Day>,
    /// What it came to.
    pub(crate) outcome: ReviewOutcome,
    /// When the next is due.
    pub(crate) next_due: Option<Day>,
    /// What was said.
    pub(crate) note: Option<String>,
}

impl Journal {
    /// Sets a new version of a party's investment profile.
    pub(crate) fn set_profile(
        &self,
        author: &Author,
        party: PartyId,
        new: &NewProfile,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        let from = new.from.unwrap_or_else(today);
        // Whoever says nothing of the version they saw has seen the one there is when they ask.
        let mut seen = new.expects_version;
        self.state(author, terms, |library| {
            client(library, party, from, "from")?;
            let last = library.firm.last_profile_version(party);
            let expected = *seen.get_or_insert(last);
            if expected != last {
                return Err(JournalError::Conflict {
                    detail: format!(
                        "the profile's newest version is {last}, not {expected}: read that one and decide again"
                    ),
                    sequence: library.firm.profiles(party, EVER).last().map(|said| said.meta.sequence),
                });
            }
            let fact = self.profile_of(library, party, last + 1, new, from)?;
            Ok(Decision::one(Draft::new(stream::party(party), occurs(from), fact)))
        })
    }

    fn profile_of(
        &self,
        library: &Library,
        party: PartyId,
        version: u32,
        new: &NewProfile,
        from: Day,
    ) -> Result<InvestmentProfileSet, JournalError> {
        let mut faults = Faults::default();
        if new.objectives.is_empty() {
            faults.note(
                "objectives",
                "say at least one of preservation, income, balanced, growth, speculation",
            );
        }
        if new.objectives.iter().enumerate().any(|(at, one)| new.objectives[..at].contains(one)) {
            faults.note("objectives", "one is named twice: name each once");
        }
        if let Some(years) = new.horizon_years
            && years > HORIZON_YEARS_MAX
        {
            faults.note("horizon_years", format!("write 0 to {HORIZON_YEARS_MAX} years"));
        }
        if let Some(reserve) = new.liquidity_reserve
            && reserve.amount() < Decimal::ZERO
        {
            faults.note("liquidity_reserve.amount", "a reserve is not negative: write 0 or more");
        }
        if let Some(most) = new.drawdown_max {
            faults.share("drawdown_max", most);
        }
        if let Some(due) = new.review_due
            && due <= from
        {
            faults.note("review_due", format!("it is not after the first day, {from}: write a later one"));
        }
        if let Some(id) = new.portfolio {
            check_owned(library, &mut faults, "portfolio", party, &[id], from);
        }
        let details = details(&mut faults, new.details.as_ref(), from);
        let exclusions = exclusions(library, &mut faults, &new.exclusions);
        let caps = caps(library, &mut faults, &new.caps);
        let targets = targets(library, &mut faults, &new.targets);
        faults.finish()?;
        let details =
            details.map(|details| self.seal(KeyId::Party(party), "details", &details)).transpose()?;
        Ok(InvestmentProfileSet {
            party,
            version,
            portfolio: new.portfolio,
            objectives: new.objectives.clone(),
            risk_tolerance: new.risk_tolerance.clone(),
            loss_capacity: new.loss_capacity.clone(),
            horizon_years: new.horizon_years,
            liquidity_reserve: new.liquidity_reserve,
            drawdown_max: new.drawdown_max,
            details,
            exclusions,
            caps,
            targets,
            review_due: new.review_due,
            from,
        })
    }

    /// Records a review that was held with a party.
    pub(crate) fn hold_review(
        &self,
        author: &Author,
        party: PartyId,
        new: &NewReview,
        terms: &Terms,
    ) -> Result<Stated, JournalError> {
        let on = new.on.unwrap_or_else(today);
        let mut faults = Faults::default();
        if on > today() {
            faults
                .note("on", format!("it is still to come on {}: record a review when it was held", today()));
        }
        if new.next_due.is_some_and(|due| due <= on) {
            faults.note("next_due", format!("it is not after the review, {on}: write a later day"));
        }
        let note = faults.words("note", new.note.as_deref());
        faults.finish()?;
        let (milliseconds, bytes) = id_parts()?;
        let review = ReviewId::new(milliseconds, bytes);
        self.state(author, terms, |library| {
            onboarded(library, party, on, "on")?;
            let mut faults = Faults::default();
            check_owned(library, &mut faults, "portfolios", party, &new.portfolios, on);
            faults.finish()?;
            if let Some(advisor) = new.advisor {
                at_work(library, advisor, on, "advisor")?;
            }
            let note = note.as_ref().map(|note| self.seal(KeyId::Party(party), "note", note)).transpose()?;
            let fact = ReviewHeld {
                review,
                party,
                portfolios: new.portfolios.clone(),
                advisor: new.advisor,
                on,
                outcome: new.outcome.clone(),
                next_due: new.next_due,
                note,
            };
            Ok(Decision::one(Draft::new(stream::party(party), occurs(on), fact)))
        })
    }
}

/// Notes the portfolios that a party does not own, whole or in part, on a day.
fn check_owned(
    library: &Library,
    faults: &mut Faults,
    field: &str,
    party: PartyId,
    portfolios: &[PortfolioId],
    day: Day,
) {
    for (at, id) in portfolios.iter().enumerate() {
        let owners = library.firm.owners(*id, At::on(day));
        if owners.is_none_or(|said| said.fact.owners.iter().all(|owner| owner.party != party)) {
            faults.note(field, format!("the party does not own {id} on {day}: name one of its portfolios"));
        }
        if portfolios[..at].contains(id) {
            faults.note(field, format!("{id} is named twice: name it once"));
        }
    }
}

fn details(faults: &mut Faults, details: Option<&ProfileDetails>, from: Day) -> Option<ProfileDetails> {
    let details = details?;
    if let Some(born) = details.born
        && born >= from
    {
        faults.note("details.born", format!("it is not before {from}: write the day of birth"));
    }
    let mut words =
        |field: &str, text: &Option<String>| faults.words(&format!("details.{field}"), text.as_deref());
    Some(ProfileDetails {
        born: details.born,
        other_investments: words("other_investments", &details.other_investments),
        financial_situation: words("financial_situation", &details.financial_situation),
        needs: words("needs", &details.needs),
        tax_status: words("tax_status", &details.tax_status),
        experience: words("experience", &details.experience),
    })
}

/// What a dimension's value is recorded as: an instrument by its id, a currency, a country and a class by their codes.
fn value_of(library: &Library, dimension: &Dimension, text: &str) -> Result<Box<str>, String> {
    let text = text.trim();
    match dimension {
        Dimension::Instrument => instrument_of(library, text).map(|id| id.to_string().into()),
        Dimension::Currency => Currency::parse(text).map(|currency| currency.as_str().into()),
        Dimension::Country => country(text),
        Dimension::Class => match InstrumentClass::from_name(text) {
            Some(class) if class.code() != 0 => Ok(class.to_string().into()),
            _ => {
                let known: Vec<String> = InstrumentClass::CODED.iter().map(ToString::to_string).collect();
                Err(format!("there is no such class: write one of {}", known.join(", ")))
            }
        },
        Dimension::Issuer | Dimension::Sector => {
            let mut faults = Faults::default();
            let name = faults.name("value", text);
            faults.finish().map(|()| name.into()).map_err(|_| "write its name, of 1 to 200 bytes".to_owned())
        }
        Dimension::Other(_) => {
            Err("write one of instrument, issuer, sector, currency, class, country as dimension".to_owned())
        }
    }
}

fn exclusions(library: &Library, faults: &mut Faults, asked: &[OneOf]) -> Vec<Exclusion> {
    check_length(faults, "exclusions", asked.len());
    let mut exclusions: Vec<Exclusion> = Vec::new();
    for (at, one) in asked.iter().enumerate().take(LIST_MAX) {
        let field = format!("exclusions[{at}].value");
        let Some(text) = &one.value else {
            faults.note(field, "say which one is not to be held");
            continue;
        };
        let read = value_of(library, &one.dimension, text);
        let Some(value) = faults.taken(field.clone(), read) else { continue };
        let exclusion = Exclusion { dimension: one.dimension.clone(), value };
        if exclusions.contains(&exclusion) {
            faults.note(field, "it is excluded already: name it once");
        }
        exclusions.push(exclusion);
    }
    exclusions
}

fn caps(library: &Library, faults: &mut Faults, asked: &[OneOf]) -> Vec<Cap> {
    check_length(faults, "caps", asked.len());
    let mut caps: Vec<Cap> = Vec::new();
    for (at, one) in asked.iter().enumerate().take(LIST_MAX) {
        let field = |name: &str| format!("caps[{at}].{name}");
        let share_max = one.share_max.unwrap_or_default();
        faults.fraction(field("share_max"), share_max);
        let value = match &one.value {
            None if matches!(one.dimension, Dimension::Other(_)) => {
                faults.note(
                    field("dimension"),
                    "write one of instrument, issuer, sector, currency, class, country",
                );
                continue;
            }
            None => None,
            Some(text) => {
                let read = value_of(library, &one.dimension, text);
                let Some(value) = faults.taken(field("value"), read) else { continue };
                Some(value)
            }
        };
        if caps.iter().any(|cap| cap.dimension == one.dimension && cap.value == value) {
            faults.note(field("dimension"), "it is capped already: say one limit for each");
        }
        caps.push(Cap { dimension: one.dimension.clone(), value, share_max });
    }
    caps
}

/// Weights to aim for: each of one thing, and all of them at most one.
pub(super) fn targets(library: &Library, faults: &mut Faults, asked: &[NewTarget]) -> Vec<TargetWeight> {
    check_length(faults, "targets", asked.len());
    let mut targets: Vec<TargetWeight> = Vec::new();
    let mut named = BTreeSet::new();
    let mut sum = Some(Decimal::ZERO);
    for (at, one) in asked.iter().enumerate().take(LIST_MAX) {
        let field = |name: &str| format!("targets[{at}].{name}");
        faults.fraction(field("weight"), one.weight);
        if let Some(band) = one.band {
            faults.share(field("band"), band);
        }
        sum = sum.and_then(|sum| decimal::add(sum, one.weight.get()).ok());
        let (instrument, sleeve) = match (&one.instrument, &one.sleeve) {
            (Some(text), None) => {
                let read = instrument_of(library, text);
                let Some(id) = faults.taken(field("instrument"), read) else { continue };
                (Some(id), None)
            }
            (None, Some(sleeve)) => (None, Some(faults.name(&field("sleeve"), sleeve).into_boxed_str())),
            _ => {
                faults.note(field("instrument"), "say either instrument or sleeve");
                continue;
            }
        };
        let name = (instrument, sleeve.as_deref().map(str::to_lowercase));
        if !named.insert(name) {
            faults.note(field("weight"), "it has a target already: say one weight for each");
        }
        targets.push(TargetWeight { instrument, sleeve, weight: one.weight, band: one.band });
    }
    match sum {
        Some(sum) if sum <= Decimal::ONE => {}
        Some(sum) => faults.note(
            "targets",
            format!(
                "the weights sum to {}, more than 1: lower them; what is missing to 1 is cash",
                sum.normalize()
            ),
        ),
        None => faults.note("targets", "the weights have more digits than can be summed: write fewer"),
    }
    targets
}

fn check_length(faults: &mut Faults, field: &str, length: usize) {
    if length > LIST_MAX {
        faults.note(field, format!("there are {length}: name at most {LIST_MAX}"));
    }
}
