//! What became of recommendations: the return of what was recommended against the benchmark, a fixed time after.
//!
//! A purchase returns what the instrument returned; a sale returns the opposite, because it is good if the instrument fell.
//! Returns are those of a holder, dividends that were announced included and not reinvested, each in the currency of its
//! price. Several trades count by what is traded. The benchmark is held, or not held, for the same days on the same side.

use crate::library::{AnnouncedDividend, PriceSource};
use daybook_schemas::decimal::{self, ArithmeticError, QUOTIENT_SCALE};
use daybook_schemas::events::Side;
use daybook_schemas::{Currency, Day, InstrumentId, Timestamp, Zone};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// How many days after its issue a recommendation is judged.
pub const HORIZON_DAYS: i32 = 90;
/// A price that is older than this at the horizon says nothing: five days, in nanoseconds.
const OLD_NANOS: i64 = crate::valuation::STALE_AFTER_NANOS;
/// Places after the point of means and intervals.
const MEAN_SCALE: usize = 10;

/// A recommended trade with its price and its size on the day of the recommendation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TradedOn {
    /// The instrument.
    pub instrument: InstrumentId,
    /// Which way.
    pub side: Side,
    /// The price of the day, and its currency; absent where none was known.
    pub price: Option<(Decimal, Currency)>,
    /// What was to be traded, positive, in the portfolio's currency; absent where it was not known.
    pub amount: Option<Decimal>,
}

/// Whether an outcome can be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OutcomeState {
    /// It can.
    Known {
        /// What the trades returned, as a part of what was traded.
        trades: Decimal,
        /// What the benchmark returned on the same sides.
        benchmark: Decimal,
        /// The first less the second.
        difference: Decimal,
    },
    /// The horizon lies in the future.
    Pending,
    /// It cannot, and this is why.
    Absent(String),
}

/// What became of a recommendation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The day on which it is judged.
    pub judged_on: Day,
    /// What it came to.
    pub state: OutcomeState,
}

/// Whoever can say what instruments were worth and paid.
pub trait Paying: PriceSource {
    /// The dividends in cash of an instrument, of what is recorded up to `known`, by effective day.
    fn dividends(&self, instrument: InstrumentId, known: u64) -> Vec<AnnouncedDividend>;
}

impl Paying for crate::library::Prices {
    fn dividends(&self, instrument: InstrumentId, known: u64) -> Vec<AnnouncedDividend> {
        self.announced_dividends(instrument, known)
    }
}

/// The days over which something is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The moment of the first price.
    pub from: Timestamp,
    /// The moment of the last price.
    pub to: Timestamp,
    /// The zone that bounds days.
    pub zone: Zone,
    /// The highest sequence known.
    pub known: u64,
}

/// What a holder of an instrument gained on a price over a span, as a part of the price, at twelve places.
///
/// # Errors
/// Why it is not known.
pub fn total_return(
    source: &dyn Paying,
    instrument: InstrumentId,
    price: (Decimal, Currency),
    span: &Span,
) -> Result<Decimal, String> {
    let (start, currency) = price;
    let seen = source
        .latest(instrument, span.to, span.known)
        .map_err(|error| error.to_string())?
        .filter(|seen| span.to.nanos().saturating_sub(seen.occurred_at.nanos()) <= OLD_NANOS)
        .ok_or_else(|| format!("no price of the five days before {} is known", span.to.day_in(span.zone)))?;
    if seen.currency != currency {
        return Err(format!("it was priced in {currency} and is priced in {}", seen.currency));
    }
    if start <= Decimal::ZERO {
        return Err("its price was not positive".to_owned());
    }
    let first = span.from.day_in(span.zone);
    let last = seen.day.unwrap_or_else(|| seen.occurred_at.day_in(span.zone));
    let between = |day: Day| first < day && day <= last;
    let computed = || -> Result<Decimal, ArithmeticError> {
        // One unit of the first day, as numerator and denominator of units of the last.
        let (mut numerator, mut denominator) = (Decimal::ONE, Decimal::ONE);
        let mut cash = Decimal::ZERO;
        let splits = source.announced_splits(instrument, span.known);
        let mut splits = splits.iter().filter(|split| between(split.effective)).peekable();
        let mut split_until = |day: Day| -> Result<(Decimal, Decimal), ArithmeticError> {
            while let Some(split) = splits.next_if(|split| split.effective <= day) {
                numerator = decimal::multiply(numerator, split.ratio.numerator())?;
                denominator = decimal::multiply(denominator, split.ratio.denominator())?;
            }
            Ok((numerator, denominator))
        };
        for dividend in source.dividends(instrument, span.known) {
            if between(dividend.effective) && dividend.cash.currency() == currency {
                let (numerator, denominator) = split_until(dividend.effective)?;
                let paid =
                    decimal::multiply_divide(dividend.cash.amount(), numerator, denominator, QUOTIENT_SCALE)?;
                cash = decimal::add(cash, paid)?;
            }
        }
        let (numerator, denominator) = split_until(last)?;
        let end = decimal::multiply_divide(seen.price, numerator, denominator, QUOTIENT_SCALE)?;
        let gained = decimal::subtract(decimal::add(end, cash)?, start)?;
        decimal::divide(gained, start, QUOTIENT_SCALE)
    };
    computed().map_err(|error| error.to_string())
}

/// What was recommended, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advised {
    /// The trades.
    pub trades: Vec<TradedOn>,
    /// What the portfolio is measured against, where that was chosen.
    pub benchmark: Option<InstrumentId>,
    /// When it was recommended.
    pub at: Timestamp,
    /// The zone that bounds days.
    pub zone: Zone,
}

/// What became of a recommendation so many days after its issue, as far as `now` has come and of what is recorded up to
/// `known`.
#[must_use]
pub fn outcome(source: &dyn Paying, advised: &Advised, days: i32, now: Timestamp, known: u64) -> Outcome {
    let Advised { trades, benchmark, at: from, zone } = advised;
    let (from, zone) = (*from, *zone);
    let judged_on = from.day_in(zone).plus_days(days);
    let to = judged_on.end_in(zone);
    if trades.is_empty() {
        let state = OutcomeState::Absent("no trade was recommended".to_owned());
        return Outcome { judged_on, state };
    }
    if now < to {
        return Outcome { judged_on, state: OutcomeState::Pending };
    }
    let span = Span { from, to, zone, known };
    let state = judged(source, trades, *benchmark, &span).unwrap_or_else(OutcomeState::Absent);
    Outcome { judged_on, state }
}

fn judged(
    source: &dyn Paying,
    trades: &[TradedOn],
    benchmark: Option<InstrumentId>,
    span: &Span,
) -> Result<OutcomeState, String> {
    let benchmark = benchmark.ok_or("the portfolio has no benchmark")?;
    let start = source
        .latest(benchmark, span.from, span.known)
        .map_err(|error| error.to_string())?
        .filter(|seen| span.from.nanos().saturating_sub(seen.occurred_at.nanos()) <= OLD_NANOS)
        .ok_or("no price of the benchmark is known for the day of the recommendation")?;
    let against = total_return(source, benchmark, (start.price, start.currency), span)
        .map_err(|reason| format!("the benchmark: {reason}"))?;
    let digits = |error: ArithmeticError| error.to_string();
    let (mut gained, mut compared, mut traded) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
    for trade in trades {
        let name = trade.instrument;
        let price = trade.price.ok_or_else(|| format!("{name} had no price on the day"))?;
        let amount =
            trade.amount.ok_or_else(|| format!("how much of {name} was to be traded is not known"))?;
        let returned = total_return(source, trade.instrument, price, span)
            .map_err(|reason| format!("{name}: {reason}"))?;
        let signed = if trade.side == Side::Sell { -amount } else { amount };
        let weighed = |value: Decimal| decimal::multiply_divide(value, signed, Decimal::ONE, QUOTIENT_SCALE);
        gained = decimal::add(gained, weighed(returned).map_err(digits)?).map_err(digits)?;
        compared = decimal::add(compared, weighed(against).map_err(digits)?).map_err(digits)?;
        traded = decimal::add(traded, amount).map_err(digits)?;
    }
    if traded <= Decimal::ZERO {
        return Err("nothing of any worth was to be traded".to_owned());
    }
    let trades = decimal::divide(gained, traded, QUOTIENT_SCALE).map_err(digits)?;
    let benchmark = decimal::divide(compared, traded, QUOTIENT_SCALE).map_err(digits)?;
    let difference = decimal::subtract(trades, benchmark).map_err(digits)?;
    Ok(OutcomeState::Known { trades, benchmark, difference })
}

/// The mean of differences, and between which bounds the true one lies with a confidence of 95 %.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MeanDifference {
    /// How many outcomes are known.
    pub count: u32,
    /// Their mean, at ten places; absent for none.
    pub mean: Option<Decimal>,
    /// The bounds, by Student's distribution; absent for fewer than two.
    pub interval: Option<(Decimal, Decimal)>,
    /// Why a figure is absent.
    pub reason: Option<String>,
}

/// The outcomes of several recommendations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Over all that were issued.
    pub issued: MeanDifference,
    /// Over those that were accepted.
    pub accepted: MeanDifference,
    /// How many wait for their horizon.
    pub pending: u32,
    /// How many cannot be judged.
    pub absent: u32,
}

/// Sums up outcomes; each says whether its recommendation was accepted.
#[must_use]
pub fn record(outcomes: &[(Outcome, bool)]) -> Record {
    let known = |only_accepted: bool| -> Vec<Decimal> {
        outcomes
            .iter()
            .filter(|(_, accepted)| *accepted || !only_accepted)
            .filter_map(|(outcome, _)| match outcome.state {
                OutcomeState::Known { difference, .. } => Some(difference),
                _ => None,
            })
            .collect()
    };
    let count = |is: fn(&OutcomeState) -> bool| {
        u32::try_from(outcomes.iter().filter(|(outcome, _)| is(&outcome.state)).count()).unwrap_or(u32::MAX)
    };
    Record {
        issued: mean_difference(&known(false)),
        accepted: mean_difference(&known(true)),
        pending: count(|state| matches!(state, OutcomeState::Pending)),
        absent: count(|state| matches!(state, OutcomeState::Absent(_))),
    }
}

/// The mean of differences with its interval: mean ± t · s / √n, t of Student's distribution at 97.5 % with n − 1 degrees
/// of freedom, s the sample standard deviation.
#[must_use]
pub fn mean_difference(differences: &[Decimal]) -> MeanDifference {
    let count = u32::try_from(differences.len()).unwrap_or(u32::MAX);
    let values: Vec<f64> = differences.iter().filter_map(ToPrimitive::to_f64).collect();
    let n = f64::from(count);
    let absent =
        |mean, reason: &str| MeanDifference { count, mean, interval: None, reason: Some(reason.to_owned()) };
    if values.is_empty() {
        return absent(None, "no outcome is known yet");
    }
    let mean = values.iter().sum::<f64>() / n;
    let rounded = |value: f64| decimal::parse(&format!("{value:.MEAN_SCALE$}")).ok();
    if count < 2 {
        return absent(rounded(mean), "an interval takes two outcomes");
    }
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    let half = student(count - 1) * (squares / (n - 1.0)).sqrt() / n.sqrt();
    match rounded(mean - half).zip(rounded(mean + half)) {
        Some(interval) => {
            MeanDifference { count, mean: rounded(mean), interval: Some(interval), reason: None }
        }
        None => absent(rounded(mean), "the differences are too large to be measured"),
    }
}

/// Student's t at 97.5 %, by degrees of freedom from 1 to 30.
const STUDENT: [f64; 30] = [
    12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582, 2.446_912, 2.364_624, 2.306_004, 2.262_157,
    2.228_139, 2.200_985, 2.178_813, 2.160_369, 2.144_787, 2.131_450, 2.119_905, 2.109_816, 2.100_922,
    2.093_024, 2.085_963, 2.079_614, 2.073_873, 2.068_658, 2.063_899, 2.059_539, 2.055_529, 2.051_831,
    2.048_407, 2.045_230, 2.042_272,
];
/// The normal distribution at 97.5 %.
const NORMAL: f64 = 1.959_963_984_540_054;

/// Student's t at 97.5 %. Beyond thirty degrees of freedom by the expansion of Cornish and Fisher (Abramowitz and Stegun
/// 26.7.5), whose error is then below a millionth.
fn student(freedom: u32) -> f64 {
    let tabled = usize::try_from(freedom).ok().and_then(|freedom| STUDENT.get(freedom.saturating_sub(1)));
    if let Some(t) = tabled {
        return *t;
    }
    let (v, z) = (f64::from(freedom), NORMAL);
    // Products, not powi, whose precision nobody promises.
    let z3 = z * z * z;
    let (z5, z7) = (z3 * z * z, z3 * z * z * z * z);
    z + (z3 + z) / (4.0 * v)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * v * v)
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / (384.0 * v * v * v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_expansion_meet() {
        // Published values: 40, 60 and 120 degrees of freedom.
        for (freedom, t) in [(40, 2.021_075), (60, 2.000_298), (120, 1.979_930)] {
            assert!((student(freedom) - t).abs() < 2e-6, "{freedom}: {}", student(freedom));
        }
        assert!((student(31) - 2.039_513).abs() < 2e-6);
    }

    #[test]
    fn an_interval_by_hand_and_none_for_one() {
        let d = |text: &str| decimal::parse(text).unwrap();
        // Mean 0.02, s = 0.01, n = 3: 0.02 ± 4.302653 · 0.01 / √3.
        let mean = mean_difference(&[d("0.01"), d("0.02"), d("0.03")]);
        assert_eq!(mean.mean, Some(d("0.02")));
        let (low, high) = mean.interval.unwrap();
        assert_eq!((decimal::round(low, 6), decimal::round(high, 6)), (d("-0.004841"), d("0.044841")));
        let one = mean_difference(&[d("0.01")]);
        assert_eq!((one.count, one.mean, one.interval), (1, Some(d("0.01")), None));
        assert!(one.reason.is_some());
        assert_eq!(mean_difference(&[]).mean, None);
    }
}
