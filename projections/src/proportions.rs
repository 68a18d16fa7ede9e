//! A portfolio in proportions: weights and gains as fractions, for those who may know no amount.
//!
//! A fraction of amounts is cut half-even at three places, and a day's return at four. With six, the weights of a few
//! listed shares and their published closes gave the equity away: numbers of shares are whole, and few equities make all
//! of them so. At three places all do. Free texts stay out, for they may name amounts.

use crate::exact;
use crate::series::Series;
use crate::valuation::{Position, Summary};
use daybook_schemas::decimal::{self, subtract};
use daybook_schemas::{Day, InstrumentId};
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::BTreeMap;

/// Places after the point of a fraction of amounts.
pub const PROPORTION_SCALE: u32 = 3;
/// Places after the point of a day's return and drawdown, which are the same for a portfolio of any size.
pub const RETURN_SCALE: u32 = 4;

/// Why a proportion is absent, in words that name no amount.
const UNKNOWN: &str = "a figure that it is made of is not known";
const NO_EQUITY: &str = "there is no equity that it could be a part of";
const NO_CONTRIBUTIONS: &str = "nothing was contributed on balance";

/// A portfolio's figures as fractions.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Proportions {
    /// Cash, as a part of equity.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub cash_weight: Option<Decimal>,
    /// The worth of all positions, as a part of equity.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub invested_weight: Option<Decimal>,
    /// Equity less net contributions, as a part of net contributions.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub gain: Option<Decimal>,
    /// Gains on what was disposed of, as a part of net contributions.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub realised_gain: Option<Decimal>,
    /// Gains on what is held, as a part of net contributions.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub unrealised_gain: Option<Decimal>,
    /// Dividends, credit interest and rewards, as a part of net contributions.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub income_yield: Option<Decimal>,
    /// Fees, interest paid and taxes, as a part of net contributions.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub cost_ratio: Option<Decimal>,
    /// How many instruments are held.
    pub positions: u64,
    /// Whether nothing is unpriced, of unknown basis, unaccounted, missing or without history.
    pub complete: bool,
    /// Fraction by fraction, why it is absent.
    pub missing: BTreeMap<&'static str, &'static str>,
}

/// An instrument's part of a portfolio.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PositionWeight {
    /// What it is called on the day of the view, where that is known.
    pub symbol: Option<String>,
    /// The instrument.
    pub instrument: InstrumentId,
    /// Its worth in all accounts, as a part of equity; negative for what is owed.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub weight: Option<Decimal>,
    /// The gain on what is held of it, as a part of its basis.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub gain: Option<Decimal>,
    /// Whether its price is older than five days.
    pub stale: bool,
    /// Fraction by fraction, why it is absent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<&'static str, &'static str>,
}

/// A day of a series of returns.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ReturnDay {
    /// The day.
    pub date: Day,
    /// The day's return, as a fraction.
    #[serde(rename = "return", with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub daily_return: Option<Decimal>,
    /// How far the return index stands below its peak, as a fraction; never positive.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub drawdown: Option<Decimal>,
    /// Why a fraction of the day is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<&'static str>,
}

type Fraction = Result<Decimal, &'static str>;

/// A part of a positive whole, cut at three places.
fn part(of: Option<Decimal>, whole: Option<Decimal>, empty: &'static str) -> Fraction {
    let (Some(of), Some(whole)) = (of, whole) else { return Err(UNKNOWN) };
    if whole <= Decimal::ZERO {
        return Err(empty);
    }
    decimal::divide(of, whole, PROPORTION_SCALE).map_err(|_| UNKNOWN)
}

fn noted(
    missing: &mut BTreeMap<&'static str, &'static str>,
    name: &'static str,
    fraction: Fraction,
) -> Option<Decimal> {
    fraction.map_err(|why| missing.insert(name, why)).ok()
}

/// The portfolio in proportions.
#[must_use]
pub fn proportions(summary: &Summary, positions: &[Position]) -> Proportions {
    let (equity, contributed) = (summary.equity, summary.net_contributions);
    let cash = equity.zip(summary.market_value).and_then(|(equity, held)| subtract(equity, held).ok());
    let gained = equity.zip(contributed).and_then(|(equity, put_in)| subtract(equity, put_in).ok());
    let mut missing = BTreeMap::new();
    let mut of_equity = |name, figure| noted(&mut missing, name, part(figure, equity, NO_EQUITY));
    let cash_weight = of_equity("cash_weight", cash);
    let invested_weight = of_equity("invested_weight", summary.market_value);
    let mut of_contributions =
        |name, figure| noted(&mut missing, name, part(figure, contributed, NO_CONTRIBUTIONS));
    let mut instruments: Vec<InstrumentId> = positions.iter().map(|position| position.instrument).collect();
    instruments.sort_unstable();
    instruments.dedup();
    Proportions {
        cash_weight,
        invested_weight,
        gain: of_contributions("gain", gained),
        realised_gain: of_contributions("realised_gain", summary.realised),
        unrealised_gain: of_contributions("unrealised_gain", summary.unrealised),
        income_yield: of_contributions("income_yield", summary.income),
        cost_ratio: of_contributions("cost_ratio", summary.costs),
        positions: instruments.len() as u64,
        complete: summary.complete,
        missing,
    }
}

/// What each instrument is of the portfolio, all accounts together, by instrument.
#[must_use]
pub fn weights(summary: &Summary, positions: &[Position]) -> Vec<PositionWeight> {
    let mut by_instrument: BTreeMap<InstrumentId, Vec<&Position>> = BTreeMap::new();
    for position in positions {
        by_instrument.entry(position.instrument).or_default().push(position);
    }
    by_instrument
        .into_iter()
        .map(|(instrument, held)| {
            // Amounts of other currencies are no part of an equity in the base currency.
            let base = held.iter().all(|position| position.currency == summary.currency);
            let value = total(&held, |position| position.market_value).filter(|_| base);
            let (gain, basis) =
                (total(&held, |position| position.unrealised), total(&held, |position| position.basis));
            let mut missing = BTreeMap::new();
            PositionWeight {
                symbol: held.iter().find_map(|position| position.symbol.clone()),
                instrument,
                weight: noted(&mut missing, "weight", part(value, summary.equity, NO_EQUITY)),
                gain: noted(&mut missing, "gain", part(gain, basis.map(|basis| basis.abs()), UNKNOWN)),
                stale: held.iter().any(|position| position.stale),
                missing,
            }
        })
        .collect()
}

fn total(positions: &[&Position], figure: impl Fn(&Position) -> Option<Decimal>) -> Option<Decimal> {
    positions.iter().try_fold(Decimal::ZERO, |sum, position| decimal::add(sum, figure(position)?).ok())
}

/// The days of a series without their amounts.
#[must_use]
pub fn returns(series: &Series) -> Vec<ReturnDay> {
    let cut = |fraction: Option<Decimal>| fraction.map(|fraction| decimal::round(fraction, RETURN_SCALE));
    series
        .days
        .iter()
        .map(|day| ReturnDay {
            date: day.date,
            daily_return: cut(day.daily_return),
            drawdown: cut(day.drawdown),
            missing: day.missing.as_ref().map(|_| UNKNOWN),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use daybook_schemas::AccountId;
    use daybook_schemas::{Currency, Timestamp};

    fn dec(text: &str) -> Decimal {
        decimal::parse(text).unwrap()
    }

    fn position(instrument: u8, account: u8, value: Option<&str>, basis: &str) -> Position {
        let value = value.map(dec);
        Position {
            symbol: Some(format!("S{instrument}")),
            instrument: InstrumentId::from_bytes([instrument; 16]),
            account: AccountId::from_bytes([account; 16]),
            quantity: Some(dec("7")),
            multiplier: Decimal::ONE,
            basis: Some(dec(basis)),
            currency: Currency::USD,
            price: None,
            price_at: Some(Timestamp::from_nanos(0)),
            price_source: None,
            stale: false,
            market_value: value,
            unrealised: value.map(|value| value - dec(basis)),
            realised: None,
            unknown_basis: false,
            missing: BTreeMap::new(),
        }
    }

    fn summary_of(equity: Option<&str>, held: Option<&str>, contributed: &str) -> Summary {
        Summary {
            currency: Currency::USD,
            as_of: crate::view::AsOf::ALWAYS,
            cash: BTreeMap::new(),
            market_value: held.map(dec),
            equity: equity.map(dec),
            realised: Some(dec("50")),
            unrealised: Some(dec("-25")),
            income: Some(Decimal::ZERO),
            costs: Some(dec("1")),
            fx: None,
            transferred_gain: None,
            net_contributions: Some(dec(contributed)),
            trade_fees: None,
            taxes: None,
            unaccounted_cash: None,
            complete: true,
            unpriced: Vec::new(),
            stale: Vec::new(),
            unknown_basis: Vec::new(),
            unaccounted: Vec::new(),
            incomplete_history: Vec::new(),
            warnings: Vec::new(),
            missing: BTreeMap::new(),
        }
    }

    #[test]
    fn weights_and_gains_are_parts_of_equity_and_of_contributions() {
        let held = [
            position(1, 1, Some("300"), "240"),
            position(1, 2, Some("100"), "160"),
            position(2, 1, Some("-50"), "-40"),
        ];
        let summary = summary_of(Some("1050"), Some("350"), "1000");
        let shown = proportions(&summary, &held);
        assert_eq!(shown.cash_weight, Some(dec("0.667")));
        assert_eq!(shown.invested_weight, Some(dec("0.333")));
        assert_eq!((shown.gain, shown.realised_gain), (Some(dec("0.05")), Some(dec("0.05"))));
        assert_eq!((shown.unrealised_gain, shown.cost_ratio), (Some(dec("-0.025")), Some(dec("0.001"))));
        assert_eq!(shown.positions, 2);
        let weights = weights(&summary, &held);
        assert_eq!(weights.len(), 2);
        assert_eq!((weights[0].weight, weights[0].gain), (Some(dec("0.381")), Some(Decimal::ZERO)));
        // A short position that costs more to close than it brought.
        assert_eq!((weights[1].weight, weights[1].gain), (Some(dec("-0.048")), Some(dec("-0.25"))));
    }

    #[test]
    fn a_fraction_of_nothing_or_of_what_is_not_known_is_absent_with_a_reason() {
        let shown = proportions(&summary_of(Some("0"), Some("0"), "0"), &[]);
        assert_eq!((shown.cash_weight, shown.gain), (None, None));
        assert_eq!(shown.missing["cash_weight"], NO_EQUITY);
        assert_eq!(shown.missing["gain"], NO_CONTRIBUTIONS);
        let unpriced = [position(1, 1, None, "5")];
        let summary = summary_of(None, None, "10");
        assert_eq!(proportions(&summary, &unpriced).missing["invested_weight"], UNKNOWN);
        assert_eq!(
            weights(&summary, &unpriced)[0].missing,
            BTreeMap::from([("gain", UNKNOWN), ("weight", UNKNOWN)])
        );
    }
}
