//! Where one portfolio stands at a moment: its worth, its period, its drawdown, and by which rules it is off its profile
//! since when.

use super::terms::InForce;
use crate::book::Book;
use crate::exact;
use crate::library::{At, Library, PriceSource};
use crate::series::{RETURN_SCALE, SeriesDay, equity_series};
use crate::state::{State, Totals};
use crate::suitability::{
    Allocation, Drift, Risk, Unit, WeeklyReturns, drift, effective_class, portfolio_risk, unit,
};
use crate::view::{AsOf, View};
use daybook_schemas::decimal::{self, ArithmeticError, QUOTIENT_SCALE};
use daybook_schemas::events::{Mandate, RuleFinding, Verdict};
use daybook_schemas::{Currency, Day, InstrumentId, ModelId, PartyId, PortfolioId, Timestamp};
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How far back it is looked for the day since which something holds: a year and a day.
pub const LOOKBACK_DAYS: i32 = 366;

/// Whoever can say the weekly returns of an instrument up to a day, in a currency, as far as a view knows.
pub type Returns<'a> = &'a dyn Fn(InstrumentId, Day, Currency) -> Arc<WeeklyReturns>;

/// A portfolio and all that its standing is told from.
pub struct Looked<'a> {
    /// The portfolio.
    pub portfolio: PortfolioId,
    /// Its entries.
    pub book: &'a Book,
    /// Prices.
    pub source: &'a dyn PriceSource,
    /// What is known across portfolios.
    pub library: &'a Library,
    /// From where it is seen.
    pub view: View,
    /// The first day of the period, which ends with the view.
    pub from: Day,
    /// Weekly returns.
    pub returns: Returns<'a>,
}

/// A rate of exchange that was used.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct RateUsed {
    /// The currency that was converted.
    pub from: Currency,
    /// The currency it was stated in.
    pub to: Currency,
    /// Units of the second for one of the first.
    #[serde(with = "exact")]
    pub rate: Decimal,
    /// When it was observed.
    pub at: Timestamp,
}

/// Since when something holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Since {
    /// The first of the days on which it held without a break.
    pub since: Day,
    /// Days from then to the day of the view; 0 for today.
    pub days: i32,
    /// Whether it may have held for longer: nobody looked further back.
    pub at_least: bool,
}

/// A rule that a portfolio does not keep, or that cannot be measured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OffRule {
    /// The rule.
    pub rule: Box<str>,
    /// What was measured.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub measured: Option<Decimal>,
    /// The limit.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub limit: Option<Decimal>,
    /// What these figures are: `class`, `part`, `amount` or `years`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    /// In words, of the portfolio as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<str>>,
    /// Since when.
    #[serde(flatten)]
    pub since: Since,
}

/// How deep a portfolio's return index is below its peak, and how deep it may be.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Drawdown {
    /// At the moment of the view, as a part of one; never positive.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub now: Option<Decimal>,
    /// The deepest so far; absent where a day since the beginning cannot be valued, as it may have been deeper then.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub worst: Option<Decimal>,
    /// The day of the deepest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst_on: Option<Day>,
    /// The largest that the profile in force allows, as a positive part of one.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub limit: Option<Decimal>,
    /// Since when it is deeper than the profile allowed on each of the days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breach: Option<Since>,
}

/// What happened from the first day of a period to the moment of the view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Period {
    /// What came in across the edge less what went out, by currency; or why it is not known.
    pub net_flows: Result<BTreeMap<Currency, Decimal>, String>,
    /// The linked return, as a part of one.
    pub total_return: Result<Decimal, String>,
    /// Whether the portfolio had begun before the period.
    pub whole: bool,
    /// The mean of the daily equities that are known; absent for none.
    pub equity_mean: Option<Decimal>,
    /// Charges on trades and standalone costs, taxes left out, in the base currency; or why they are not known.
    pub costs: Result<Decimal, String>,
}

/// Where one portfolio stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The portfolio.
    pub portfolio: PortfolioId,
    /// Its base currency.
    pub currency: Currency,
    /// The day of the view in its zone.
    pub day: Day,
    /// What it consists of.
    pub allocation: Allocation,
    /// The rates at which other currencies were stated in the base currency.
    pub rates: Vec<RateUsed>,
    /// Its risk.
    pub risk: Risk,
    /// The highest class that the profile allows.
    pub class_max: Option<u8>,
    /// Whose profile it is judged by, and which version.
    pub profile: Option<(PartyId, u32)>,
    /// When it is to be looked at again.
    pub review_due: Option<Day>,
    /// Under which mandate it is run.
    pub mandate: Option<Mandate>,
    /// The model it follows, and its name.
    pub model: Option<(ModelId, Box<str>)>,
    /// Rules that are not kept.
    pub off_profile: Vec<OffRule>,
    /// Rules that cannot be measured.
    pub unmeasured: Vec<OffRule>,
    /// How far it is from its targets; absent without targets.
    pub drift: Option<Result<Drift, String>>,
    /// Its drawdown.
    pub drawdown: Drawdown,
    /// Why a figure of the drawdown is absent.
    pub drawdown_missing: Option<String>,
    /// The period.
    pub period: Period,
    /// Returns of the index by day in the period, for a curve: the index over its value before the period.
    pub curve: Vec<Option<Decimal>>,
}

/// Whether a finding is about the portfolio as it is, not about advising or reviewing.
fn is_about_holding(rule: &str) -> bool {
    matches!(rule, "profile" | "risk_class" | "horizon" | "liquidity_reserve" | "cash")
        || rule.starts_with("cap:")
        || rule.starts_with("exclusion:")
}

const fn word(unit: Unit) -> Option<&'static str> {
    match unit {
        Unit::Class => Some("class"),
        Unit::Part => Some("part"),
        Unit::Amount => Some("amount"),
        Unit::Years => Some("years"),
        Unit::None => None,
    }
}

impl Looked<'_> {
    fn at(&self, day: Day) -> At {
        At { day, known: self.view.known }
    }

    /// A state's worth by instrument and currency, with the rates that it took.
    fn allocation(&self, state: &State, as_of: AsOf, used: &mut BTreeSet<RateUsed>) -> Allocation {
        let base = state.settings.base_currency;
        let at = as_of.instant(state.settings.zone);
        let seen = std::cell::RefCell::new(used);
        let rates = |currency: Currency| {
            let rate = self.library.prices.rate(currency, base, at, self.view.known)?;
            let used = RateUsed { from: currency, to: base, rate: rate.rate, at: rate.occurred_at };
            seen.borrow_mut().insert(used);
            Some(rate.rate)
        };
        let instruments = &self.library.instruments;
        Allocation::of(state, self.source, instruments, &rates, as_of, self.view.known)
    }

    fn screen(&self, allocation: &Allocation, risk: &Risk, day: Day) -> Vec<RuleFinding> {
        let in_force = InForce::of(&self.library.firm, self.portfolio, self.at(day));
        let side = (allocation, risk);
        in_force.screen(self.library, self.at(day), [side, side], &[], None)
    }

    /// Tells where the portfolio stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let imports = &self.library.imports;
        let state = self.book.state_at(&self.view, imports);
        let (zone, base) = (state.settings.zone, state.settings.base_currency);
        let day = self.view.as_of.day(zone);
        let at = self.at(day);
        let firm = &self.library.firm;
        let mut used = BTreeSet::new();
        let allocation = self.allocation(&state, self.view.as_of, &mut used);
        let mut histories = Histories::default();
        let risk = portfolio_risk(&allocation, histories.of(self.returns, &allocation, day));
        let findings = self.screen(&allocation, &risk, day);
        let in_force = InForce::of(firm, self.portfolio, at);
        let (off_profile, mut unmeasured) = self.since(&findings, day, &mut histories);
        let classify = |id| self.library.instruments.classification(id, day, self.view.known);
        let canonical = |id| self.library.instruments.canonical(id);
        let drift = (!in_force.targets.is_empty())
            .then(|| drift(&allocation, in_force.targets, &classify, &canonical));
        let series =
            equity_series(self.book, self.source, &self.library.instruments, imports, &self.view, None, None);
        let (drawdown, drawdown_missing) = self.drawdown(&series.days, day);
        unmeasured.extend(unmeasured_drawdown(&series.days, day, drawdown.limit));
        Standing {
            portfolio: self.portfolio,
            currency: base,
            day,
            rates: used.into_iter().collect(),
            class_max: in_force
                .profile
                .and_then(|profile| effective_class(profile).ok())
                .map(|effective| effective.class.get()),
            profile: in_force.party.zip(in_force.profile.map(|profile| profile.version)),
            review_due: in_force.review_due,
            mandate: in_force.mandate.cloned(),
            model: firm.model_of(self.portfolio, at).map(|said| (said.fact.model, said.fact.name.clone())),
            risk,
            off_profile,
            unmeasured,
            drift,
            drawdown,
            drawdown_missing,
            period: self.period(&series.days, day),
            curve: curve(&series.days, self.from),
            allocation,
        }
    }

    /// Of rules that are not kept or not measured on the day: since when, looked for day by day.
    fn since(
        &self,
        findings: &[RuleFinding],
        day: Day,
        histories: &mut Histories,
    ) -> (Vec<OffRule>, Vec<OffRule>) {
        let is_unknown = |finding: &RuleFinding| matches!(finding.verdict, Verdict::Unknown);
        let mut open: Vec<(&RuleFinding, Since, bool)> = findings
            .iter()
            .filter(|finding| is_about_holding(&finding.rule))
            .filter(|finding| finding.verdict == Verdict::Block || is_unknown(finding))
            .map(|finding| (finding, Since { since: day, days: 0, at_least: true }, true))
            .collect();
        if !open.is_empty() {
            for (earlier, allocation) in self.days_before(day).iter().rev() {
                let risk = portfolio_risk(allocation, histories.of(self.returns, allocation, *earlier));
                let then = self.screen(allocation, &risk, *earlier);
                for (finding, since, runs) in open.iter_mut().filter(|(.., runs)| *runs) {
                    let same = then.iter().find(|other| other.rule == finding.rule);
                    if same.is_some_and(|other| other.verdict == finding.verdict) {
                        since.since = *earlier;
                        since.days = day.number() - earlier.number();
                    } else {
                        *runs = false;
                        since.at_least = false;
                    }
                }
                if open.iter().all(|(.., runs)| !runs) {
                    break;
                }
            }
            // What held since the first day of all held since then, and no longer.
            let first = self.book.span(&self.view, &self.library.imports).map(|(first, _)| first);
            for (_, since, _) in &mut open {
                since.at_least &= first.is_some_and(|first| first < since.since);
            }
        }
        let told = |(finding, since, _): (&RuleFinding, Since, bool)| OffRule {
            rule: finding.rule.clone(),
            measured: finding.measured.map(daybook_schemas::Fraction::get),
            limit: finding.limit.map(daybook_schemas::Fraction::get),
            unit: word(unit(&finding.rule)),
            evidence: finding.evidence.clone(),
            since,
        };
        let (unknown, off): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|(finding, ..)| is_unknown(finding));
        (off.into_iter().map(told).collect(), unknown.into_iter().map(told).collect())
    }

    /// What the portfolio consisted of at the end of each day before one, as far back as is looked.
    fn days_before(&self, day: Day) -> Vec<(Day, Allocation)> {
        let Some((first, _)) = self.book.span(&self.view, &self.library.imports) else { return Vec::new() };
        let from = first.max(day.plus_days(-LOOKBACK_DAYS));
        let days = (from.number()..day.number()).map(Day::from_number);
        let mut found = Vec::new();
        self.book.visit_days(&self.view, &self.library.imports, days, |day, state| {
            found.push((day, self.allocation(state, AsOf::Day(day), &mut BTreeSet::new())));
        });
        found
    }

    fn drawdown(&self, days: &[SeriesDay], day: Day) -> (Drawdown, Option<String>) {
        let limit_on = |day: Day| {
            let (_, said) = self.library.firm.governing_profile(self.portfolio, self.at(day))?;
            said.fact.drawdown_max.map(daybook_schemas::Fraction::get)
        };
        let last = days.last();
        let unvalued = unvalued(days);
        let worst = days
            .iter()
            .filter(|_| unvalued.is_none())
            .filter_map(|day| Some((day.drawdown?, day.date)))
            .min_by_key(|(drawdown, date)| (*drawdown, *date));
        let mut drawdown = Drawdown {
            now: last.and_then(|last| last.drawdown),
            worst: worst.map(|(drawdown, _)| drawdown),
            worst_on: worst.filter(|(drawdown, _)| !drawdown.is_zero()).map(|(_, date)| date),
            limit: limit_on(day),
            breach: None,
        };
        let is_beyond = |drawdown: Decimal, limit: Decimal| -drawdown > limit;
        if let (Some(now), Some(limit)) = (drawdown.now, drawdown.limit)
            && is_beyond(now, limit)
        {
            let mut breach = Since { since: last.map_or(day, |last| last.date), days: 0, at_least: false };
            for earlier in days.iter().rev().skip(1) {
                if day.number() - earlier.date.number() > LOOKBACK_DAYS {
                    breach.at_least = true;
                    break;
                }
                match (earlier.drawdown, limit_on(earlier.date)) {
                    (Some(then), Some(limit)) if is_beyond(then, limit) => breach.since = earlier.date,
                    _ => break,
                }
            }
            breach.days = day.number() - breach.since.number();
            drawdown.breach = Some(breach);
        }
        let missing = match unvalued {
            _ if last.is_none() => Some("the portfolio has no entry yet".to_owned()),
            Some((_, words)) => Some(words),
            None => None,
        };
        (drawdown, missing)
    }

    fn period(&self, days: &[SeriesDay], day: Day) -> Period {
        let eve = self.from.plus_days(-1);
        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        let visited = [eve, day].into_iter();
        self.book.visit_days(&self.view, &self.library.imports, visited, |visited, state| {
            let end = if visited == eve { &mut before } else { &mut after };
            end.clone_from(&state.totals);
        });
        let base = self.book.settings_at(&self.view, &self.library.imports).base_currency;
        let within = days.iter().filter(|day| self.from <= day.date);
        let equities: Vec<Decimal> = within.clone().filter_map(|day| day.equity).collect();
        let count = Decimal::from(equities.len());
        let sum = equities.iter().try_fold(Decimal::ZERO, |sum, one| decimal::add(sum, *one));
        Period {
            net_flows: net_flows(&before, &after),
            total_return: total_return(days, self.from),
            whole: days.first().is_some_and(|first| first.date < self.from),
            equity_mean: sum.and_then(|sum| decimal::divide(sum, count, QUOTIENT_SCALE)).ok(),
            costs: costs(&before, &after, base),
        }
    }
}

/// The first of the days whose drawdown is not known, and why it is not.
fn unvalued(days: &[SeriesDay]) -> Option<(Day, String)> {
    let first = days.iter().find(|day| day.drawdown.is_none())?;
    let reason = first.missing.as_deref().unwrap_or("the return index is not known");
    Some((first.date, format!("it is not known on {}: {reason}", first.date)))
}

/// The drawdown, where it has a limit and there are days of which nobody can say whether it was kept.
fn unmeasured_drawdown(days: &[SeriesDay], day: Day, limit: Option<Decimal>) -> Option<OffRule> {
    let (limit, (since, reason)) = (limit?, unvalued(days)?);
    Some(OffRule {
        rule: "drawdown".into(),
        measured: None,
        limit: Some(limit),
        unit: word(Unit::Part),
        evidence: Some(
            format!("whether the drawdown stayed within its limit cannot be told: {reason}").into(),
        ),
        since: Since { since, days: day.number() - since.number(), at_least: false },
    })
}

/// Weekly returns of what is held, by week.
#[derive(Default)]
struct Histories {
    week: Option<i32>,
    returns: BTreeMap<InstrumentId, WeeklyReturns>,
}

impl Histories {
    fn of(
        &mut self,
        returns: Returns<'_>,
        allocation: &Allocation,
        day: Day,
    ) -> &BTreeMap<InstrumentId, WeeklyReturns> {
        // Between a Friday and the next no further week is whole.
        let week = (day.number() - 1).div_euclid(7);
        if self.week != Some(week) {
            self.week = Some(week);
            self.returns.clear();
        }
        for instrument in allocation.lines.keys() {
            self.returns
                .entry(*instrument)
                .or_insert_with(|| returns(*instrument, day, allocation.currency).as_ref().clone());
        }
        &self.returns
    }
}

fn net_flows(
    before: &BTreeMap<Currency, Totals>,
    after: &BTreeMap<Currency, Totals>,
) -> Result<BTreeMap<Currency, Decimal>, String> {
    let mut flows = BTreeMap::new();
    for (currency, late) in after {
        let early = before.get(currency).copied().unwrap_or_default();
        if late.flows_unknown > early.flows_unknown {
            return Err("securities crossed a portfolio's edge with no value and no price".to_owned());
        }
        if late.flows_lost > early.flows_lost {
            return Err("an event that may have crossed a portfolio's edge cannot be computed".to_owned());
        }
        let net = |totals: &Totals| decimal::subtract(totals.contributed, totals.withdrawn);
        let change = || decimal::subtract(net(late)?, net(&early)?);
        let change = change().map_err(|error: ArithmeticError| error.to_string())?;
        if !change.is_zero() {
            flows.insert(*currency, change);
        }
    }
    Ok(flows)
}

fn costs(
    before: &BTreeMap<Currency, Totals>,
    after: &BTreeMap<Currency, Totals>,
    base: Currency,
) -> Result<Decimal, String> {
    let spent =
        |totals: &Totals| decimal::subtract(decimal::add(totals.costs, totals.trade_fees)?, totals.taxes);
    let mut sum = Decimal::ZERO;
    for (currency, late) in after {
        let early = before.get(currency).copied().unwrap_or_default();
        let change = || decimal::subtract(spent(late)?, spent(&early)?);
        let change = change().map_err(|error: ArithmeticError| error.to_string())?;
        if *currency != base && !change.is_zero() {
            return Err(format!(
                "some were paid in {currency}, and rates of exchange are not applied to them"
            ));
        }
        sum = decimal::add(sum, change).map_err(|error| error.to_string())?;
    }
    Ok(sum)
}

/// The index at the end of the last day before the period; 1 where the series begins within it.
fn index_before(days: &[SeriesDay], from: Day) -> Result<Decimal, String> {
    match days.iter().rev().find(|day| day.date < from) {
        None => Ok(Decimal::ONE),
        Some(before) => {
            let known = days.iter().rev().filter(|day| day.date <= before.date).find_map(|day| day.index);
            known.ok_or_else(|| {
                before.missing.clone().unwrap_or_else(|| "no earlier return is known".to_owned())
            })
        }
    }
}

fn total_return(days: &[SeriesDay], from: Day) -> Result<Decimal, String> {
    let last = days.last().filter(|day| from <= day.date).ok_or("the portfolio has no day in the period")?;
    let end = last
        .index
        .ok_or_else(|| last.missing.clone().unwrap_or_else(|| "the return index is not known".to_owned()))?;
    let start = index_before(days, from)?;
    let grown = decimal::divide(end, start, RETURN_SCALE).map_err(|error| error.to_string())?;
    decimal::subtract(grown, Decimal::ONE).map_err(|error| error.to_string())
}

fn curve(days: &[SeriesDay], from: Day) -> Vec<Option<Decimal>> {
    let Ok(start) = index_before(days, from) else { return Vec::new() };
    days.iter().filter(|day| from <= day.date).map(|day| decimal::divide(day.index?, start, 6).ok()).collect()
}
