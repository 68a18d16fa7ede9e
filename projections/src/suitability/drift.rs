//! How far a portfolio is from the weights it aims for, and what brings it back: cash that flows first, then trades.

use super::allocation::{Allocation, Line};
use crate::library::Classification;
use daybook_schemas::InstrumentId;
use daybook_schemas::decimal::{self, ArithmeticError, QUOTIENT_SCALE};
use daybook_schemas::events::{Side, TargetWeight};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// A weight may be off by so much of equity: five points.
pub const ALERT_POINTS: Decimal = Decimal::from_parts(5, 0, 0, false, 2);
/// A weight may be off by so much of its target, where that is less: a quarter.
pub const ALERT_SHARE: Decimal = Decimal::from_parts(25, 0, 0, false, 2);
/// Proposals are stated to this many places, cut toward zero.
const AMOUNT_SCALE: u32 = 2;

/// What a weight is aimed at.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Target {
    /// One instrument.
    Instrument(InstrumentId),
    /// What a class or a sector holds together, by its name.
    Sleeve(Box<str>),
    /// Cash.
    Cash,
}

/// One weight beside its target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DriftLine {
    /// What it is about.
    pub target: Target,
    /// What it is called.
    pub name: String,
    /// The weight to aim for; 0 for what is held and aimed at by nothing, and for cash what the targets leave.
    pub aimed: Decimal,
    /// The weight as it is.
    pub weight: Decimal,
    /// Its worth in the base currency.
    pub value: Decimal,
    /// How far it may be off.
    pub band: Decimal,
    /// Whether it is off by more.
    pub alert: bool,
    /// The instruments that it holds, the most valuable first.
    pub instruments: Vec<InstrumentId>,
}

/// All weights beside their targets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drift {
    /// Each target, then what is held beside them, then cash.
    pub lines: Vec<DriftLine>,
    /// Half the sum of all differences: the part of equity that would have to move.
    pub distance: Decimal,
}

impl Drift {
    /// Whether any weight is off by more than it may be.
    #[must_use]
    pub fn alerts(&self) -> bool {
        self.lines.iter().any(|line| line.alert)
    }
}

fn is_cash(name: &str) -> bool {
    name.eq_ignore_ascii_case("cash")
}

fn is_in(sleeve: &str, classification: &Classification) -> Option<bool> {
    let class = classification.class.as_ref().map(ToString::to_string);
    let is = |name: Option<&str>| name.is_some_and(|name| name.eq_ignore_ascii_case(sleeve));
    if is(class.as_deref()) || is(classification.sector.as_deref()) {
        Some(true)
    } else if class.is_some() && classification.sector.is_some() {
        Some(false)
    } else {
        None
    }
}

/// How far a weight may be off that nobody set a band for: the smaller of five points and a quarter of what is aimed at.
fn usual_band(aimed: Decimal) -> Result<Decimal, ArithmeticError> {
    Ok(ALERT_POINTS.min(decimal::multiply(aimed, ALERT_SHARE)?))
}

/// How far a target's weight may be off: its own band, else the usual one.
fn band(target: &TargetWeight) -> Result<Decimal, ArithmeticError> {
    target.band.map_or_else(|| usual_band(target.weight.get()), |band| Ok(band.get()))
}

/// How far a portfolio is from its targets. An instrument with a target of its own counts in no sleeve; of sleeves, in the
/// first that names its class or sector. What no target names is aimed at with nothing. Cash that no target names is
/// aimed at with what the others leave, and has the usual band of that.
///
/// # Errors
/// Why it cannot be told: equity that is not known, or an instrument of which nobody said whether it is in a sleeve.
pub fn drift(
    allocation: &Allocation,
    targets: &[TargetWeight],
    classify: &dyn Fn(InstrumentId) -> Classification,
    canonical: &dyn Fn(InstrumentId) -> InstrumentId,
) -> Result<Drift, String> {
    let digits = |error: ArithmeticError| error.to_string();
    let own: BTreeSet<InstrumentId> =
        targets.iter().filter_map(|target| target.instrument).map(canonical).collect();
    let sleeves: Vec<&str> = targets
        .iter()
        .filter(|target| target.instrument.is_none())
        .filter_map(|target| target.sleeve.as_deref())
        .filter(|sleeve| !is_cash(sleeve))
        .collect();
    let mut groups: BTreeMap<Target, Vec<&Line>> = BTreeMap::new();
    let mut beside: Vec<&Line> = Vec::new();
    for line in allocation.lines.values().filter(|line| line.is_held()) {
        if own.contains(&line.instrument) {
            groups.entry(Target::Instrument(line.instrument)).or_default().push(line);
            continue;
        }
        let classification = classify(line.instrument);
        let mut unknown = false;
        let found = sleeves.iter().find(|sleeve| match is_in(sleeve, &classification) {
            Some(is) => is,
            None => {
                unknown = true;
                false
            }
        });
        match found {
            Some(sleeve) => groups.entry(Target::Sleeve((*sleeve).into())).or_default().push(line),
            None if unknown => {
                return Err(format!(
                    "{} is not classified, so that nobody knows which target it belongs to",
                    line.symbol
                ));
            }
            None => beside.push(line),
        }
    }
    let cash = allocation.cash_value()?;
    let mut lines = Vec::with_capacity(targets.len() + beside.len() + 1);
    let (mut aimed_at, mut with_cash) = (Decimal::ZERO, false);
    for target in targets {
        let aimed = target.weight.get();
        aimed_at = decimal::add(aimed_at, aimed).map_err(digits)?;
        let key = match (target.instrument, target.sleeve.as_deref()) {
            (Some(id), _) => Target::Instrument(canonical(id)),
            (None, Some(sleeve)) if !is_cash(sleeve) => Target::Sleeve(sleeve.into()),
            _ => Target::Cash,
        };
        let held = groups.remove(&key).unwrap_or_default();
        let value = if key == Target::Cash { cash } else { worth(&held)? };
        with_cash |= key == Target::Cash;
        let name = match &key {
            Target::Instrument(id) => held.first().map_or_else(|| id.to_string(), |line| line.symbol.clone()),
            Target::Sleeve(sleeve) => sleeve.to_string(),
            Target::Cash => "cash".to_owned(),
        };
        lines.push(compared(allocation, key, name, aimed, value, band(target).map_err(digits)?, held)?);
    }
    for line in beside {
        let (key, value) = (Target::Instrument(line.instrument), line.value.clone()?);
        let name = line.symbol.clone();
        lines.push(compared(allocation, key, name, Decimal::ZERO, value, Decimal::ZERO, vec![line])?);
    }
    if !with_cash {
        let left = decimal::subtract(Decimal::ONE, aimed_at).map_err(digits)?.max(Decimal::ZERO);
        let (name, band) = ("cash".to_owned(), usual_band(left).map_err(digits)?);
        lines.push(compared(allocation, Target::Cash, name, left, cash, band, Vec::new())?);
    }
    let off = lines.iter().try_fold(Decimal::ZERO, |sum, line| {
        decimal::add(sum, decimal::subtract(line.weight, line.aimed)?.abs())
    });
    let distance = off.and_then(|off| decimal::divide(off, Decimal::TWO, QUOTIENT_SCALE)).map_err(digits)?;
    Ok(Drift { lines, distance })
}

fn worth(held: &[&Line]) -> Result<Decimal, String> {
    held.iter().try_fold(Decimal::ZERO, |sum, line| {
        decimal::add(sum, line.value.clone()?).map_err(|error| error.to_string())
    })
}

fn compared(
    allocation: &Allocation,
    target: Target,
    name: String,
    aimed: Decimal,
    value: Decimal,
    band: Decimal,
    mut held: Vec<&Line>,
) -> Result<DriftLine, String> {
    let weight = allocation.part(value)?;
    let off = decimal::subtract(weight, aimed).map_err(|error| error.to_string())?.abs();
    let value_of = |line: &Line| line.value.clone().unwrap_or_default();
    held.sort_by(|a, b| value_of(b).cmp(&value_of(a)).then(a.instrument.cmp(&b.instrument)));
    let instruments = held.iter().map(|line| line.instrument).collect();
    Ok(DriftLine { target, name, aimed, weight, value, band, alert: off > band, instruments })
}

/// How something is brought back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// With cash that flows in or out, or lies idle.
    CashFlow,
    /// By a trade that nothing but the drift calls for.
    Trade,
}

/// Something to buy or to sell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal {
    /// What.
    pub target: Target,
    /// What it is called.
    pub name: String,
    /// Which way.
    pub side: Side,
    /// For how much, in the base currency, positive, cut to two places.
    pub amount: Decimal,
    /// With what.
    pub way: Way,
}

/// What brings a portfolio back to its targets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mending {
    /// What to do, in this order.
    pub proposals: Vec<Proposal>,
    /// Whether weights would still be off by more than they may be.
    pub leaves_alerts: bool,
    /// What a withdrawal still lacks once all that is held beyond its target is sold; 0 for nothing.
    pub lacking: Decimal,
}

/// What brings a portfolio back: first what flows in (`contribution`, negative for what is to flow out) and what lies idle
/// beyond the cash to be kept are put where most is lacking, in proportion to what is lacking; an outflow is taken from
/// what is held beyond its target. Only where a weight is still off by more than it may be, it is traded to its target,
/// sales before purchases.
///
/// # Errors
/// Why it cannot be told: figures with too many digits.
pub fn mend(
    drift: &Drift,
    equity: Decimal,
    contribution: Decimal,
    cash_min: Decimal,
) -> Result<Mending, ArithmeticError> {
    let equity = decimal::add(equity, contribution)?;
    let mut mending = Mending { proposals: Vec::new(), leaves_alerts: false, lacking: Decimal::ZERO };
    if equity <= Decimal::ZERO {
        mending.lacking = -equity;
        mending.leaves_alerts = drift.alerts();
        return Ok(mending);
    }
    let goal = |line: &DriftLine| decimal::multiply(line.aimed, equity);
    let mut values = Vec::with_capacity(drift.lines.len());
    let (mut cash, mut kept) = (contribution, cash_min.max(Decimal::ZERO));
    for line in &drift.lines {
        if line.target == Target::Cash {
            cash = decimal::add(cash, line.value)?;
            kept = kept.max(goal(line)?);
        } else {
            values.push((line, line.value));
        }
    }
    let mut idle = decimal::subtract(cash, kept)?;
    // What flows goes where most is lacking, or comes from where most is too much.
    let gaps = |values: &[(&DriftLine, Decimal)], buys: bool| -> Result<Vec<Decimal>, ArithmeticError> {
        values
            .iter()
            .map(|(line, value)| {
                let gap = decimal::subtract(goal(line)?, *value)?;
                Ok(if buys { gap } else { -gap }.max(Decimal::ZERO))
            })
            .collect()
    };
    let flows_in = idle > Decimal::ZERO;
    let parts = shared(idle.abs(), &gaps(&values, flows_in)?)?;
    for ((line, value), part) in values.iter_mut().zip(parts) {
        let (side, signed) = if flows_in { (Side::Buy, part) } else { (Side::Sell, -part) };
        *value = decimal::add(*value, signed)?;
        idle = decimal::subtract(idle, signed)?;
        propose(&mut mending.proposals, line, side, part, Way::CashFlow);
    }
    if idle < Decimal::ZERO {
        mending.lacking = -idle;
    }
    // What is off all the same is traded, sales first.
    let off = |line: &DriftLine, value: Decimal| -> Result<bool, ArithmeticError> {
        let weight = decimal::divide(value, equity, QUOTIENT_SCALE)?;
        Ok(decimal::subtract(weight, line.aimed)?.abs() > line.band)
    };
    for (line, value) in &mut values {
        let too_much = decimal::subtract(*value, goal(line)?)?;
        if too_much > Decimal::ZERO && off(line, *value)? {
            let part = cut(too_much);
            *value = decimal::subtract(*value, part)?;
            idle = decimal::add(idle, part)?;
            propose(&mut mending.proposals, line, Side::Sell, part, Way::Trade);
        }
    }
    let mut lacking = Vec::with_capacity(values.len());
    for (line, value) in &values {
        let gap = decimal::subtract(goal(line)?, *value)?;
        lacking.push(if gap > Decimal::ZERO && off(line, *value)? { gap } else { Decimal::ZERO });
    }
    let parts = shared(idle.max(Decimal::ZERO), &lacking)?;
    for ((line, value), part) in values.iter_mut().zip(parts) {
        *value = decimal::add(*value, part)?;
        propose(&mut mending.proposals, line, Side::Buy, part, Way::Trade);
    }
    for (line, value) in &values {
        mending.leaves_alerts |= off(line, *value)?;
    }
    Ok(mending)
}

fn cut(amount: Decimal) -> Decimal {
    amount.trunc_with_scale(AMOUNT_SCALE).normalize()
}

/// A sum given out in proportion to gaps, none of which is filled beyond its size; each part cut to two places.
fn shared(sum: Decimal, gaps: &[Decimal]) -> Result<Vec<Decimal>, ArithmeticError> {
    let whole = gaps.iter().try_fold(Decimal::ZERO, |all, gap| decimal::add(all, *gap))?;
    if whole.is_zero() || sum.is_zero() {
        return Ok(vec![Decimal::ZERO; gaps.len()]);
    }
    let given = sum.min(whole);
    gaps.iter()
        .map(|gap| Ok(cut(decimal::multiply_divide(given, *gap, whole, QUOTIENT_SCALE)?.min(*gap))))
        .collect()
}

fn propose(proposals: &mut Vec<Proposal>, line: &DriftLine, side: Side, amount: Decimal, way: Way) {
    if !amount.is_zero() {
        let (target, name) = (line.target.clone(), line.name.clone());
        proposals.push(Proposal { target, name, side, amount, way });
    }
}
