//! What a state is worth: positions at the latest price, and the summary of a portfolio.

use crate::exact;
use crate::library::{Instruments, Jump, Observation, PriceSource, check_adjustment};
use crate::state::{BasisState, Figure, Holding, HoldingKey, Lost, State, Totals, Unknown};
use crate::view::AsOf;
use daybook_schemas::decimal::{self, ArithmeticError, QUOTIENT_SCALE};
use daybook_schemas::{AccountId, Currency, Day, InstrumentId, Money, Phase, Quantity, Timestamp, Zone};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// A price older than this is stale: five days, in nanoseconds.
pub const STALE_AFTER_NANOS: i64 = 5 * 86_400_000_000_000;

/// Where a position's price comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceBasis {
    /// A feed or a file of prices.
    Market,
    /// The portfolio's own last entry that states a price.
    Trade,
}

/// What an account holds of an instrument, and what it is worth.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Position {
    /// What it is called on the day of the view, where that is known.
    pub symbol: Option<String>,
    /// The instrument.
    pub instrument: InstrumentId,
    /// The account.
    pub account: AccountId,
    /// Units, signed; absent where they cannot be known.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Decimal>,
    /// Units of the underlying in one unit.
    #[serde(with = "exact")]
    pub multiplier: Decimal,
    /// What was paid for a long position, what was received for a short one (then negative).
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub basis: Option<Decimal>,
    /// The currency of basis, price and value.
    pub currency: Currency,
    /// The price of one unit of the underlying, in units of today.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub price: Option<Decimal>,
    /// When that price was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_at: Option<Timestamp>,
    /// Where it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_source: Option<PriceBasis>,
    /// Whether it is older than five days.
    pub stale: bool,
    /// Quantity × price × multiplier.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub market_value: Option<Decimal>,
    /// Market value less basis.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub unrealised: Option<Decimal>,
    /// Gains realised on this instrument in this account since the beginning. Where `missing` names them, those up to
    /// the event that it names.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub realised: Option<Decimal>,
    /// Whether some of its basis is not known or only provisional.
    pub unknown_basis: bool,
    /// Why a figure is absent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<&'static str, String>,
}

/// A position that a list of the summary names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Named {
    /// What it is called on the day of the view, where that is known.
    pub symbol: Option<String>,
    /// The instrument.
    pub instrument: InstrumentId,
    /// The account.
    pub account: AccountId,
    /// When its price was seen, for a stale one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_at: Option<Timestamp>,
    /// The event, for units of unknown basis and for missing history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Units, for units of unknown basis and for missing history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
}

/// An event that the fold does not account for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct UnaccountedItem {
    /// The event.
    pub sequence: u64,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: &'static str,
    /// Why.
    pub reason: String,
    /// Its cash, which moved at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cash: Vec<Money>,
}

/// A portfolio's figures at a moment, in its base currency. A figure that cannot be known is absent, and `missing`
/// says why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Summary {
    /// The base currency.
    pub currency: Currency,
    /// The moment.
    #[serde(serialize_with = "write_as_of")]
    pub as_of: AsOf,
    /// Cash by currency.
    #[serde(serialize_with = "write_amounts")]
    pub cash: BTreeMap<Currency, Decimal>,
    /// The worth of all positions.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub market_value: Option<Decimal>,
    /// Cash and market value.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub equity: Option<Decimal>,
    /// Gains on what was disposed of.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub realised: Option<Decimal>,
    /// Gains on what is held.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub unrealised: Option<Decimal>,
    /// Dividends, credit interest, rewards.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub income: Option<Decimal>,
    /// Standalone fees, margin and borrow interest, taxes.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub costs: Option<Decimal>,
    /// The effect of currencies.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub fx: Option<Decimal>,
    /// The gain that came with transferred securities.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub transferred_gain: Option<Decimal>,
    /// What crossed the portfolio's edge, in less out.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub net_contributions: Option<Decimal>,
    /// Memo: charges on trades.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub trade_fees: Option<Decimal>,
    /// Memo: taxes, which are among the costs.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub taxes: Option<Decimal>,
    /// The cash of the events in `unaccounted`.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub unaccounted_cash: Option<Decimal>,
    /// Whether nothing is unpriced, of unknown basis, unaccounted, missing or without history.
    pub complete: bool,
    /// Positions without a price that can be used.
    pub unpriced: Vec<Named>,
    /// Positions whose price is older than five days; they are valued all the same.
    pub stale: Vec<Named>,
    /// Units whose basis nobody stated.
    pub unknown_basis: Vec<Named>,
    /// Events that are not accounted for.
    pub unaccounted: Vec<UnaccountedItem>,
    /// Disposals beyond what was held.
    pub incomplete_history: Vec<Named>,
    /// What the reader should look at.
    pub warnings: Vec<String>,
    /// Figure by figure, why it is absent.
    pub missing: BTreeMap<&'static str, String>,
}

fn write_as_of<S: Serializer>(as_of: &AsOf, serializer: S) -> Result<S::Ok, S::Error> {
    match as_of {
        AsOf::Day(day) => serializer.collect_str(day),
        AsOf::Instant(instant) => serializer.collect_str(instant),
    }
}

fn write_amounts<S: Serializer>(
    amounts: &BTreeMap<Currency, Decimal>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(amounts.iter().map(|(currency, amount)| (currency, amount.to_string())))
}

/// A price in units of today, and the value it gives.
struct Priced {
    price: Decimal,
    at: Timestamp,
    source: PriceBasis,
    value: Decimal,
}

enum NoValue {
    /// No price was ever seen.
    Unpriced,
    /// There is one that cannot be used.
    Unusable(String),
}

/// Values a holding at the latest price, rescaled by the splits that were applied since it was seen.
fn price(
    state: &State,
    key: &HoldingKey,
    holding: &Holding,
    canonical: InstrumentId,
    source: &dyn PriceSource,
    at: Timestamp,
    known: u64,
) -> Result<Priced, NoValue> {
    let unusable =
        |error: ArithmeticError| NoValue::Unusable(format!("its value cannot be computed: {error}"));
    let observed = latest(source, key.1, canonical, at, known)?;
    if let Some(seen) = observed {
        if seen.currency != holding.currency {
            return Err(NoValue::Unusable(format!(
                "its price is in {} and its basis in {}: rates of exchange are not applied yet",
                seen.currency, holding.currency
            )));
        }
        let (price, value) = rescale(holding, &seen).map_err(unusable)?;
        return Ok(Priced { price, at: seen.occurred_at, source: PriceBasis::Market, value });
    }
    // The portfolio's own last fill, whichever of its accounts made it.
    let own = state
        .holdings
        .iter()
        .filter(|((_, instrument, currency), _)| *instrument == key.1 && *currency == key.2)
        .filter_map(|(_, other)| other.last_price)
        .max_by_key(|last| (last.at, last.sequence));
    let Some(own) = own else { return Err(NoValue::Unpriced) };
    let units = decimal::multiply(holding.quantity, holding.multiplier).map_err(unusable)?;
    let value = decimal::multiply(units, own.price).map_err(unusable)?;
    Ok(Priced { price: own.price, at: own.at, source: PriceBasis::Trade, value })
}

/// The latest price under either of an instrument's ids.
fn latest(
    source: &dyn PriceSource,
    instrument: InstrumentId,
    canonical: InstrumentId,
    at: Timestamp,
    known: u64,
) -> Result<Option<Observation>, NoValue> {
    let ask = |id| source.latest(id, at, known).map_err(|error| NoValue::Unusable(error.to_string()));
    let own = ask(instrument)?;
    if canonical == instrument {
        return Ok(own);
    }
    let merged = ask(canonical)?;
    Ok(match (own, merged) {
        (Some(own), Some(merged)) => Some(if own.occurred_at > merged.occurred_at { own } else { merged }),
        (own, merged) => own.or(merged),
    })
}

/// Price and value in units of today: a price seen before a split is divided by its ratio.
/// The splits of a holding are those that had occurred at the moment of its state.
fn rescale(holding: &Holding, seen: &Observation) -> Result<(Decimal, Decimal), ArithmeticError> {
    let units = decimal::multiply(holding.quantity, holding.multiplier)?;
    let mut price = seen.price;
    let (mut numerator, mut denominator) = (Decimal::ONE, Decimal::ONE);
    for split in holding.splits.iter().filter(|split| split.is_after(seen)) {
        price = split.ratio.inverse().apply(price, QUOTIENT_SCALE)?;
        numerator = decimal::multiply(numerator, split.ratio.numerator())?;
        denominator = decimal::multiply(denominator, split.ratio.denominator())?;
    }
    let value = decimal::multiply(units, seen.price)?;
    if numerator == denominator {
        return Ok((price, value));
    }
    Ok((price, decimal::multiply_divide(value, denominator, numerator, QUOTIENT_SCALE)?))
}

/// The signed worth of a holding in the books: basis of a long one, less the proceeds of a short one.
fn book_value(holding: &Holding) -> Result<Decimal, ArithmeticError> {
    let basis = holding.basis()?;
    Ok(if holding.quantity.is_sign_negative() { -basis } else { basis })
}

fn basis_unknown(holding: &Holding, state: BasisState) -> bool {
    holding.lots.iter().any(|lot| lot.basis_state >= state)
}

fn symbol_of(instruments: &Instruments, id: InstrumentId, day: Day) -> Option<String> {
    instruments.symbol(id, Some(day)).map(str::to_owned)
}

/// The open positions of a state with their values, by account and instrument.
#[must_use]
pub fn positions(
    state: &State,
    source: &dyn PriceSource,
    instruments: &Instruments,
    as_of: AsOf,
    known: u64,
) -> Vec<Position> {
    let at = as_of.instant(state.settings.zone);
    let day = as_of.day(state.settings.zone);
    let mut positions: Vec<Position> = state
        .holdings
        .iter()
        .filter(|(_, holding)| holding.is_open())
        .map(|(key, holding)| {
            let mut missing = BTreeMap::new();
            let mut absent = |figures: &[&'static str], reason: &str| {
                for figure in figures {
                    missing.entry(*figure).or_insert_with(|| reason.to_owned());
                }
            };
            let priced = match price(state, key, holding, instruments.canonical(key.1), source, at, known) {
                Ok(priced) => Some(priced),
                Err(NoValue::Unpriced) => {
                    absent(&["price", "market_value", "unrealised"], "no price was ever seen");
                    None
                }
                Err(NoValue::Unusable(reason)) => {
                    absent(&["price", "market_value", "unrealised"], &reason);
                    None
                }
            };
            let basis = if basis_unknown(holding, BasisState::Missing) {
                absent(&["basis", "unrealised"], "units came in with neither basis nor value");
                None
            } else {
                book_value(holding).map_err(|error| absent(&["basis", "unrealised"], &error.to_string())).ok()
            };
            if let Some(unknown) = state.unknowns.get(&(key.2, Figure::Unrealised)) {
                absent(&["unrealised"], &unknown.sentence());
            }
            let unrealised = match (&priced, basis) {
                (Some(priced), Some(basis)) => decimal::subtract(priced.value, basis)
                    .map_err(|error| absent(&["unrealised"], &error.to_string()))
                    .ok(),
                _ => None,
            };
            let unrealised = unrealised.filter(|_| !missing.contains_key("unrealised"));
            Position {
                symbol: symbol_of(instruments, key.1, day),
                instrument: key.1,
                account: key.0,
                quantity: Some(holding.quantity),
                multiplier: holding.multiplier,
                basis,
                currency: holding.currency,
                price: priced.as_ref().map(|priced| priced.price),
                price_at: priced.as_ref().map(|priced| priced.at),
                price_source: priced.as_ref().map(|priced| priced.source),
                stale: priced.as_ref().is_some_and(|priced| is_stale(priced.at, at)),
                market_value: priced.as_ref().map(|priced| priced.value),
                unrealised,
                realised: Some(holding.realised),
                unknown_basis: basis_unknown(holding, BasisState::Provisional),
                missing,
            }
        })
        .chain(state.lost.iter().map(|((account, instrument), lost)| {
            lost_position(*account, *instrument, lost, instruments, day)
        }))
        .collect();
    positions.sort_by_key(|position| (position.account, position.instrument, position.currency));
    positions
}

/// A position of which no more is known than that it was lost.
fn lost_position(
    account: AccountId,
    instrument: InstrumentId,
    lost: &Lost,
    instruments: &Instruments,
    day: Day,
) -> Position {
    let reason = lost.unknown.sentence();
    let figures = ["quantity", "basis", "price", "market_value", "unrealised", "realised"];
    Position {
        symbol: symbol_of(instruments, instrument, day),
        instrument,
        account,
        quantity: None,
        multiplier: lost.multiplier,
        basis: None,
        currency: lost.currency,
        price: None,
        price_at: None,
        price_source: None,
        stale: false,
        market_value: None,
        unrealised: None,
        realised: None,
        unknown_basis: false,
        missing: figures.into_iter().map(|figure| (figure, reason.clone())).collect(),
    }
}

fn is_stale(seen: Timestamp, at: Timestamp) -> bool {
    at.nanos().saturating_sub(seen.nanos()) > STALE_AFTER_NANOS
}

/// The worth of everything in the base currency, or why it cannot be known.
///
/// # Errors
/// A sentence.
pub(crate) fn equity(
    state: &State,
    source: &dyn PriceSource,
    instruments: &Instruments,
    as_of: AsOf,
    known: u64,
) -> Result<Decimal, String> {
    let base = state.settings.base_currency;
    let at = as_of.instant(state.settings.zone);
    let mut equity = Decimal::ZERO;
    for (currency, amount) in state.cash_by_currency() {
        match amount {
            Err(reason) => return Err(cash_unknown(currency, &reason)),
            Ok(amount) if currency == base => equity = amount,
            Ok(amount) if amount.is_zero() => {}
            Ok(_) => return Err(foreign(currency)),
        }
    }
    if let Some(unknown) = unknown(state, Figure::MarketValue) {
        return Err(unknown.sentence());
    }
    for (key, holding) in state.holdings.iter().filter(|(_, holding)| holding.is_open()) {
        if holding.currency != base {
            return Err(foreign(holding.currency));
        }
        let value = price(state, key, holding, instruments.canonical(key.1), source, at, known);
        let value = match value {
            Ok(priced) => priced.value,
            Err(reason) => {
                let day = as_of.day(state.settings.zone);
                let name = symbol_of(instruments, key.1, day).unwrap_or_else(|| key.1.to_string());
                return Err(match reason {
                    NoValue::Unpriced => format!("no price of {name} was ever seen"),
                    NoValue::Unusable(reason) => format!("{name}: {reason}"),
                });
            }
        };
        equity = decimal::add(equity, value).map_err(|error| error.to_string())?;
    }
    Ok(equity)
}

fn cash_unknown(currency: Currency, reason: &str) -> String {
    format!("the cash in {currency} is not known: {reason}")
}

/// Why a figure is not known, where one of the currencies makes it so.
fn unknown(state: &State, figure: Figure) -> Option<&Unknown> {
    state.unknowns.iter().find(|((_, of), _)| *of == figure).map(|(_, unknown)| unknown)
}

fn foreign(currency: Currency) -> String {
    format!("{currency} contributes to it, and rates of exchange are not applied yet")
}

/// A figure in the base currency, as long as no other currency contributes.
struct Figures<'a> {
    state: &'a State,
    missing: BTreeMap<&'static str, String>,
}

impl Figures<'_> {
    fn sum(&mut self, name: &'static str, of: impl Fn(&Totals) -> Decimal) -> Option<Decimal> {
        let base = self.state.settings.base_currency;
        let other =
            self.state.totals.iter().find(|(currency, totals)| **currency != base && !of(totals).is_zero());
        if let Some((currency, _)) = other {
            self.absent(name, foreign(*currency));
        }
        let unknown = self.state.unknowns.iter().find(|((_, figure), _)| figure.name() == name);
        if let Some((_, unknown)) = unknown {
            self.absent(name, unknown.sentence());
        }
        let value = self.state.totals.get(&base).map_or(Decimal::ZERO, of);
        (!self.missing.contains_key(name)).then_some(value)
    }

    fn absent(&mut self, name: &'static str, reason: String) {
        self.missing.entry(name).or_insert(reason);
    }

    fn computed(&mut self, name: &'static str, value: Result<Decimal, ArithmeticError>) -> Option<Decimal> {
        value.map_err(|error| self.absent(name, error.to_string())).ok()
    }

    /// What conversions brought, once nothing but the base currency is left in play.
    fn fx(&mut self) -> Option<Decimal> {
        let base = self.state.settings.base_currency;
        let unknown = self.state.unknowns.iter().find(|((currency, figure), _)| {
            *figure == Figure::Fx
                || (*currency != base && matches!(figure, Figure::Cash | Figure::MarketValue))
        });
        if let Some((_, unknown)) = unknown {
            self.absent("fx", unknown.sentence());
            return None;
        }
        let in_play = self.state.totals.iter().find(|(currency, totals)| {
            let untouched =
                Totals { converted: Decimal::ZERO, flows_unknown: 0, ..**totals } == Totals::default();
            let empty =
                self.state.cash.iter().all(|((_, other), amount)| other != *currency || amount.0.is_zero());
            let flat = self.state.open_holdings().all(|(_, _, holding)| holding.currency != **currency);
            **currency != base && !(untouched && empty && flat)
        });
        match in_play {
            Some((currency, _)) => {
                self.absent("fx", foreign(*currency));
                None
            }
            None => Some(self.state.totals.get(&base).map_or(Decimal::ZERO, |totals| totals.converted)),
        }
    }
}

/// A portfolio's figures at a moment; `state` is the state of that moment.
#[must_use]
pub fn summary(
    state: &State,
    source: &dyn PriceSource,
    instruments: &Instruments,
    as_of: AsOf,
    known: u64,
) -> Summary {
    let positions = positions(state, source, instruments, as_of, known);
    let base = state.settings.base_currency;
    let day = as_of.day(state.settings.zone);
    let mut figures = Figures { state, missing: BTreeMap::new() };

    let mut cash = BTreeMap::from([(base, Decimal::ZERO)]);
    for (currency, amount) in state.cash_by_currency() {
        match amount {
            Ok(amount) => {
                cash.insert(currency, amount);
            }
            Err(reason) => {
                cash.remove(&currency);
                figures.absent("cash", cash_unknown(currency, &reason));
            }
        }
    }
    cash.retain(|currency, amount| *currency == base || !amount.is_zero());

    let (market_value, unrealised) = values(&mut figures, &positions);
    let foreign_cash = cash.keys().find(|currency| **currency != base);
    let equity = match (figures.missing.get("cash").cloned(), foreign_cash) {
        (Some(reason), _) => {
            figures.absent("equity", reason);
            None
        }
        (None, Some(currency)) => {
            figures.absent("equity", foreign(*currency));
            None
        }
        (None, None) => match (market_value, cash.get(&base)) {
            (Some(value), Some(cash)) => figures.computed("equity", decimal::add(value, *cash)),
            _ => {
                let reason = figures.missing.get("market_value").cloned().unwrap_or_default();
                figures.absent("equity", reason);
                None
            }
        },
    };
    let realised = figures.sum("realised", |totals| totals.realised);
    let income = figures.sum("income", |totals| totals.income);
    let costs = figures.sum("costs", |totals| totals.costs);
    let transferred_gain = figures.sum("transferred_gain", |totals| totals.transferred_gain);
    let contributed = figures.sum("net_contributions", |totals| totals.contributed);
    let withdrawn = figures.sum("net_contributions", |totals| totals.withdrawn);
    let net_contributions = match (contributed, withdrawn) {
        (Some(contributed), Some(withdrawn)) => {
            figures.computed("net_contributions", decimal::subtract(contributed, withdrawn))
        }
        _ => None,
    };
    let trade_fees = figures.sum("trade_fees", |totals| totals.trade_fees);
    let taxes = figures.sum("taxes", |totals| totals.taxes);
    let unaccounted_cash = figures.sum("unaccounted_cash", |totals| totals.unaccounted_cash);
    let fx = figures.fx();

    let named = |instrument: InstrumentId, account: AccountId| Named {
        symbol: symbol_of(instruments, instrument, day),
        instrument,
        account,
        price_at: None,
        sequence: None,
        quantity: None,
    };
    let unpriced: Vec<Named> = positions
        .iter()
        .filter(|position| position.price.is_none() && !position.missing.contains_key("quantity"))
        .map(|position| named(position.instrument, position.account))
        .collect();
    let stale = positions
        .iter()
        .filter(|position| position.stale)
        .map(|position| Named { price_at: position.price_at, ..named(position.instrument, position.account) })
        .collect();
    let unknown_basis: Vec<Named> = state
        .unknown_basis
        .iter()
        .map(|units| Named {
            sequence: Some(units.sequence),
            quantity: Some(units.quantity),
            ..named(units.instrument, units.account)
        })
        .collect();
    let incomplete_history: Vec<Named> = state
        .incomplete_history
        .iter()
        .map(|units| Named {
            sequence: Some(units.sequence),
            quantity: Some(units.quantity),
            ..named(units.instrument, units.account)
        })
        .collect();
    let unaccounted = unaccounted(state);
    let warnings = warnings(state, source, instruments, as_of, known);
    let missing = figures.missing;
    Summary {
        currency: base,
        as_of,
        cash,
        market_value,
        equity,
        realised,
        unrealised,
        income,
        costs,
        fx,
        transferred_gain,
        net_contributions,
        trade_fees,
        taxes,
        unaccounted_cash,
        complete: unpriced.is_empty()
            && unknown_basis.is_empty()
            && unaccounted.is_empty()
            && incomplete_history.is_empty()
            && missing.is_empty(),
        unpriced,
        stale,
        unknown_basis,
        unaccounted,
        incomplete_history,
        warnings,
        missing,
    }
}

/// Market value and unrealised gain of the positions.
fn values(figures: &mut Figures<'_>, positions: &[Position]) -> (Option<Decimal>, Option<Decimal>) {
    let base = figures.state.settings.base_currency;
    let (mut market_value, mut unrealised) = (Ok(Decimal::ZERO), Ok(Decimal::ZERO));
    for position in positions {
        let name = position.symbol.clone().unwrap_or_else(|| position.instrument.to_string());
        if position.currency != base {
            figures.absent("market_value", foreign(position.currency));
            figures.absent("unrealised", foreign(position.currency));
            continue;
        }
        match position.market_value {
            Some(value) => market_value = market_value.and_then(|sum| decimal::add(sum, value)),
            None => figures.absent("market_value", reason_for(position, "market_value", &name)),
        }
        match position.unrealised {
            Some(value) => unrealised = unrealised.and_then(|sum| decimal::add(sum, value)),
            None => figures.absent("unrealised", reason_for(position, "unrealised", &name)),
        }
    }
    for figure in [Figure::MarketValue, Figure::Unrealised] {
        if let Some(unknown) = unknown(figures.state, figure) {
            figures.absent(figure.name(), unknown.sentence());
        }
    }
    let market_value = figures.computed("market_value", market_value);
    let unrealised = figures.computed("unrealised", unrealised);
    (
        market_value.filter(|_| !figures.missing.contains_key("market_value")),
        unrealised.filter(|_| !figures.missing.contains_key("unrealised")),
    )
}

fn reason_for(position: &Position, figure: &str, name: &str) -> String {
    let reason = position.missing.get(figure).map_or("it is not known", String::as_str);
    format!("{name}: {reason}")
}

fn unaccounted(state: &State) -> Vec<UnaccountedItem> {
    let listed = state.unaccounted.iter().map(|event| UnaccountedItem {
        sequence: event.sequence,
        event_type: event.event_type(),
        reason: event.reason.to_string(),
        cash: event.cash.clone(),
    });
    let legs = state.open_legs.values().flatten().map(|leg| UnaccountedItem {
        sequence: leg.sequence,
        event_type: "SecuritiesTransferred",
        reason: "it is one leg of a move between two accounts, and the other leg is not recorded".to_owned(),
        cash: Vec::new(),
    });
    let supplies = state.settings.supplies_unmatched.iter().map(|sequence| UnaccountedItem {
        sequence: *sequence,
        event_type: "BasisSupplied",
        reason: "the transfer that it is for is not found".to_owned(),
        cash: Vec::new(),
    });
    let mut items: Vec<UnaccountedItem> = listed.chain(legs).chain(supplies).collect();
    items.sort_by_key(|item| item.sequence);
    items
}

/// How many days apart a feed's and a broker's record of one split may lie.
const SPLIT_DAYS_APART_MAX: u32 = 7;

/// What the reader should look at: splits that were announced and not applied, prices that were adjusted already,
/// cash on its way, lots that were named and not followed.
fn warnings(
    state: &State,
    source: &dyn PriceSource,
    instruments: &Instruments,
    as_of: AsOf,
    known: u64,
) -> Vec<String> {
    let zone = state.settings.zone;
    let today = as_of.day(zone);
    let at = as_of.instant(zone);
    let mut warnings = Vec::new();
    for (account, instrument, holding) in state.open_holdings() {
        let name = symbol_of(instruments, instrument, today).unwrap_or_else(|| instrument.to_string());
        for split in source.announced_splits(instrument, known) {
            let while_held = holding.held_from < split.effective && split.effective <= today;
            let applied = holding.splits.iter().any(|applied| {
                applied.day.number().abs_diff(split.effective.number()) <= SPLIT_DAYS_APART_MAX
                    && applied.ratio == split.ratio
            });
            if while_held && !applied {
                warnings.push(format!(
                    "{name}: a split of {} was announced for {} and is not recorded in account {account}: record a split, or its quantity and value are wrong",
                    split.ratio, split.effective
                ));
            }
        }
        for split in &holding.splits {
            let seen = |instant: Timestamp| source.latest(instrument, instant, known).ok().flatten();
            // The day before has closed everywhere but in the far west when the split's day begins in UTC, though in
            // the portfolio's own zone that day may have begun long before.
            let eve = match split.phase {
                Some(Phase::Open) => split.at.plus_nanos(-1).max(split.day.start_in(Zone::UTC)),
                Some(Phase::Close) | None => split.at.plus_nanos(-1),
            };
            let is_before = |price: &Observation| split.is_after(price);
            let before = seen(eve.min(at))
                .filter(is_before)
                .or_else(|| seen(split.at.plus_nanos(-1)).filter(is_before));
            let after = seen(split.day.plus_days(4).end_in(zone).min(at));
            if let (Some(before), Some(after)) = (before, after)
                && !is_before(&after)
                && split.at.nanos().saturating_sub(before.occurred_at.nanos()) <= STALE_AFTER_NANOS
                && check_adjustment(before.price, after.price, split.ratio) == Ok(Jump::AlreadyAdjusted)
            {
                warnings.push(format!(
                    "{name}: its prices show no jump at the split of {} on {}: they were adjusted already; import them with `--adjusted splits`",
                    split.ratio, split.day
                ));
            }
        }
    }
    for (currency, totals) in &state.totals {
        if !totals.in_transit.is_zero() {
            warnings.push(format!(
                "{} {currency} is on its way between accounts: one leg of an internal transfer is not recorded",
                totals.in_transit
            ));
        }
    }
    for sequence in &state.lots_not_followed {
        warnings.push(format!(
            "the trade at sequence {sequence} names its lots; the portfolio's lot method does not follow them"
        ));
    }
    warnings
}
