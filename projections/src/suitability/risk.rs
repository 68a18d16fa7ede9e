//! The risk class of an instrument and of a portfolio, and the highest that a profile allows.
//!
//! The class is that of the synthetic risk and reward indicator (CESR/10-673): the annualised volatility of weekly returns
//! over five years, 1 below 0.5 %, 2 below 2 %, 3 below 5 %, 4 below 10 %, 5 below 15 %, 6 below 25 %, 7 from there on.

use crate::library::{AnnouncedDividend, AnnouncedSplit, Bar, PriceSource, Prices};
use crate::suitability::{Allocation, Line};
use daybook_schemas::decimal;
use daybook_schemas::events::{InvestmentProfileSet, RiskLevel};
use daybook_schemas::{Currency, Day, InstrumentId};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use std::collections::BTreeMap;

/// With fewer weekly returns than these there is no risk class: a year.
pub const WEEKS_MIN: u32 = 52;
/// At most so many weekly returns count, the latest ones: five years.
pub const WEEKS_MAX: u32 = 260;
/// Places after the point of a volatility, to which it is rounded before it is compared with a bound.
const VOLATILITY_SCALE: usize = 10;
/// Weeks in a year, as the annualisation has it.
const WEEKS_IN_YEAR: f64 = 52.0;
/// Below each of these, in thousandths, lies the class of its place: 0.5, 2, 5, 10, 15 and 25 %.
const BOUNDS: [(i64, u8); 6] = [(5, 1), (20, 2), (50, 3), (100, 4), (150, 5), (250, 6)];

/// A risk class, from 1 (low) to 7 (high).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RiskClass(u8);

impl RiskClass {
    /// The highest class: no limit.
    pub const HIGHEST: Self = Self(7);

    /// The class of an annualised volatility, as a part of one. A bound belongs to the class above it.
    #[must_use]
    pub fn of(volatility: Decimal) -> Self {
        let below = BOUNDS.iter().find(|(thousandths, _)| volatility < Decimal::new(*thousandths, 3));
        below.map_or(Self::HIGHEST, |(_, class)| Self(*class))
    }

    /// The number, 1 to 7.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl std::fmt::Display for RiskClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The risk of an instrument or a portfolio.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Risk {
    /// The class; absent where the history is too short.
    pub class: Option<RiskClass>,
    /// The annualised volatility as a part of one, at ten places; absent with the class.
    pub volatility: Option<Decimal>,
    /// How many weekly returns it rests on.
    pub weeks: u32,
    /// Why there is no class.
    pub reason: Option<String>,
}

impl Risk {
    fn absent(weeks: u32, reason: String) -> Self {
        Self { class: None, volatility: None, weeks, reason: Some(reason) }
    }
}

/// Returns by week. A week runs from Saturday to Friday and is named by its number since 1970.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct WeeklyReturns {
    by_week: BTreeMap<i32, f64>,
}

impl WeeklyReturns {
    /// How many there are; at most [`WEEKS_MAX`].
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.by_week.len()).unwrap_or(u32::MAX)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_week.is_empty()
    }

    /// The returns themselves, oldest first.
    pub fn returns(&self) -> impl Iterator<Item = f64> {
        self.by_week.values().copied()
    }
}

fn week(day: Day) -> i32 {
    // The second day of 1970 was a Friday, the end of week −1.
    (day.number() - 2).div_euclid(7)
}

fn friday(week: i32) -> Day {
    Day::from_number(week * 7 + 8)
}

/// The weekly returns of an instrument over the five years before a day, of what is recorded up to `known`.
///
/// The last close of each week counts, of weeks whose Friday is not after `until`. A return is that of a holder: splits
/// that were announced are undone, and dividends in the price's currency are added. Between weeks that do not follow
/// each other there is no return. With `into`, closes are stated in that currency at the rate of their moment, and weeks
/// without a rate are left out.
#[must_use]
pub fn weekly_returns(
    prices: &Prices,
    instrument: InstrumentId,
    until: Day,
    known: u64,
    into: Option<Currency>,
) -> WeeklyReturns {
    let last = week(until.plus_days(1)) - 1;
    let weeks = i32::try_from(WEEKS_MAX).unwrap_or(i32::MAX);
    let from = friday(last - weeks - 1).plus_days(1);
    let mut closes: BTreeMap<i32, Bar> = BTreeMap::new();
    for bar in prices.bars(instrument, Some(from), Some(friday(last)), known) {
        // They come by day, and within a day the one that counts comes last.
        closes.insert(week(bar.day), bar);
    }
    let splits = prices.announced_splits(instrument, known);
    let dividends = prices.announced_dividends(instrument, known);
    let rate = |bar: &Bar| match into {
        Some(base) if base != bar.currency => {
            prices.rate(bar.currency, base, bar.occurred_at, known)?.rate.to_f64()
        }
        _ => Some(1.0),
    };
    let mut returns = WeeklyReturns::default();
    for (number, bar) in &closes {
        let Some(before) = closes.get(&(number - 1)).filter(|before| before.currency == bar.currency) else {
            continue;
        };
        let factor = || {
            let grown = growth(before, bar, &splits, &dividends)?;
            Some(grown * rate(bar)? / rate(before).filter(|rate| *rate > 0.0)?)
        };
        if let Some(factor) = factor() {
            returns.by_week.insert(*number, factor - 1.0);
        }
    }
    returns
}

/// What one unit of value at the earlier close had become by the later one.
fn growth(
    before: &Bar,
    after: &Bar,
    splits: &[AnnouncedSplit],
    dividends: &[AnnouncedDividend],
) -> Option<f64> {
    let start = before.close.to_f64().filter(|start| *start > 0.0)?;
    let end = after.close.to_f64()?;
    let between = |day: Day| before.day < day && day <= after.day;
    let mut happened: Vec<(Day, f64, bool)> = Vec::new();
    for split in splits.iter().filter(|split| between(split.effective)) {
        let ratio = split.ratio.numerator().to_f64()? / split.ratio.denominator().to_f64()?;
        happened.push((split.effective, ratio, true));
    }
    for dividend in dividends.iter().filter(|dividend| between(dividend.effective)) {
        if dividend.cash.currency() == after.currency {
            happened.push((dividend.effective, dividend.cash.amount().to_f64()?, false));
        }
    }
    // On one day a split comes first: a dividend is stated for the units of its day.
    happened.sort_by_key(|(day, _, is_split)| (*day, !*is_split));
    let (mut units, mut cash) = (1.0, 0.0);
    for (_, value, is_split) in happened {
        if is_split {
            units *= value;
        } else {
            cash += units * value;
        }
    }
    Some((units * end + cash) / start)
}

/// The annualised volatility of weekly returns: their sample standard deviation times the square root of 52.
fn annualised(returns: &[f64]) -> Option<Decimal> {
    let count = f64::from(u32::try_from(returns.len()).ok()?);
    if count < 2.0 {
        return None;
    }
    let mean = returns.iter().sum::<f64>() / count;
    let squares: f64 = returns.iter().map(|one| (one - mean) * (one - mean)).sum();
    let volatility = (squares / (count - 1.0)).sqrt() * WEEKS_IN_YEAR.sqrt();
    if !volatility.is_finite() {
        return None;
    }
    decimal::parse(&format!("{volatility:.VOLATILITY_SCALE$}")).ok()
}

fn classed(returns: &[f64], too_few: impl FnOnce(u32) -> String) -> Risk {
    let weeks = u32::try_from(returns.len()).unwrap_or(u32::MAX);
    if weeks < WEEKS_MIN {
        return Risk::absent(weeks, too_few(weeks));
    }
    match annualised(returns) {
        Some(volatility) => {
            Risk { class: Some(RiskClass::of(volatility)), volatility: Some(volatility), weeks, reason: None }
        }
        None => Risk::absent(weeks, "the returns are too large to be measured".to_owned()),
    }
}

/// The risk of an instrument.
#[must_use]
pub fn instrument_risk(returns: &WeeklyReturns) -> Risk {
    let returns: Vec<f64> = returns.returns().collect();
    classed(&returns, |weeks| format!("{weeks} weekly returns are known, and a class takes {WEEKS_MIN}"))
}

/// The risk of a portfolio: its weights as they are, applied to the histories of what it holds, over the weeks for which
/// all of them are known. It is the risk of holding this from now on, not that of what was held in the past. Cash, of
/// whatever currency, does not move.
#[must_use]
pub fn portfolio_risk(allocation: &Allocation, histories: &BTreeMap<InstrumentId, WeeklyReturns>) -> Risk {
    let held: Vec<&Line> = allocation.lines.values().filter(|line| line.is_held()).collect();
    if held.is_empty() {
        return Risk {
            class: Some(RiskClass::of(Decimal::ZERO)),
            volatility: Some(Decimal::ZERO),
            weeks: 0,
            reason: None,
        };
    }
    let none = WeeklyReturns::default();
    let mut weighted: Vec<(f64, &WeeklyReturns)> = Vec::with_capacity(held.len());
    for line in &held {
        let history = histories.get(&line.instrument).unwrap_or(&none);
        match allocation.share(line) {
            Ok(share) => weighted.push((share.to_f64().unwrap_or_default(), history)),
            Err(reason) => return Risk::absent(0, format!("the weights are not known: {reason}")),
        }
    }
    // The shortest history first: what it lacks, the portfolio lacks.
    let shortest = held
        .iter()
        .zip(&weighted)
        .min_by_key(|(line, (_, history))| (history.len(), line.instrument))
        .map(|(line, (_, history))| (&line.symbol, &history.by_week));
    let Some((symbol, weeks)) = shortest else { return Risk::absent(0, "nothing is held".to_owned()) };
    let returns: Vec<f64> = weeks
        .keys()
        .filter_map(|week| {
            weighted
                .iter()
                .try_fold(0.0, |sum, (share, history)| Some(sum + share * history.by_week.get(week)?))
        })
        .collect();
    classed(&returns, |common| {
        format!(
            "{common} weekly returns of all that is held are known, and a class takes {WEEKS_MIN} (the shortest history is that of {symbol}, with {})",
            weeks.len()
        )
    })
}

/// The highest class for how much risk somebody will bear, or can: very low 2, low 3, medium 5, high 6, very high 7.
#[must_use]
pub fn class_of_level(level: &RiskLevel) -> Option<RiskClass> {
    Some(RiskClass(match level {
        RiskLevel::VeryLow => 2,
        RiskLevel::Low => 3,
        RiskLevel::Medium => 5,
        RiskLevel::High => 6,
        RiskLevel::VeryHigh => 7,
        RiskLevel::Other(_) => return None,
    }))
}

/// The years for which money in a class should not be needed, by class.
const YEARS: [(u8, u16); 7] = [(1, 0), (2, 1), (3, 2), (4, 3), (5, 5), (6, 7), (7, 10)];

/// The highest class for a horizon: below 1 year 1, from 1 year 2, from 2 years 3, from 3 years 4, from 5 years 5, from 7
/// years 6, from 10 years 7.
#[must_use]
pub fn class_of_horizon(years: u16) -> RiskClass {
    let class = YEARS.iter().rev().find(|(_, least)| *least <= years).map_or(1, |(class, _)| *class);
    RiskClass(class)
}

/// The years for which money in a class should not be needed.
#[must_use]
pub fn years_of_class(class: RiskClass) -> u16 {
    YEARS.iter().find(|(of, _)| *of == class.0).map_or(0, |(_, years)| *years)
}

/// The highest class that a profile allows, and what sets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effective {
    /// The lowest of those below.
    pub class: RiskClass,
    /// What the party will bear.
    pub tolerance: RiskClass,
    /// What it can bear, where that was said.
    pub capacity: Option<RiskClass>,
    /// What the horizon allows, where one was said.
    pub horizon: Option<RiskClass>,
}

/// The highest class that a profile allows: the lowest of what the party will bear, what it can bear, and what its
/// horizon allows.
///
/// # Errors
/// A sentence, where the profile names a level that has no class.
pub fn effective_class(profile: &InvestmentProfileSet) -> Result<Effective, String> {
    let classed = |level: &RiskLevel| {
        class_of_level(level).ok_or_else(|| format!("the level of risk `{level}` has no class"))
    };
    let tolerance = classed(&profile.risk_tolerance)?;
    let capacity = profile.loss_capacity.as_ref().map(classed).transpose()?;
    let horizon = profile.horizon_years.map(class_of_horizon);
    let class = [Some(tolerance), capacity, horizon].into_iter().flatten().min().unwrap_or(tolerance);
    Ok(Effective { class, tolerance, capacity, horizon })
}
