//! What a portfolio consists of, in its base currency; and what it would consist of after trades.

use super::words::amount;
use crate::library::Instruments;
use crate::library::PriceSource;
use crate::state::State;
use crate::valuation::{Position, positions};
use crate::view::AsOf;
use daybook_schemas::decimal::{self, ArithmeticError, QUOTIENT_SCALE};
use daybook_schemas::events::Side;
use daybook_schemas::{Currency, InstrumentId};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// Units of the base currency for one unit of another, at the moment at hand; absent where none is known.
pub type Rates<'a> = &'a dyn Fn(Currency) -> Option<Decimal>;

/// What is held of one instrument, in all accounts together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The instrument, merges followed.
    pub instrument: InstrumentId,
    /// What it is called; its id where it has no symbol.
    pub symbol: String,
    /// The currency it is priced in.
    pub currency: Currency,
    /// Units, signed; absent where they cannot be known.
    pub quantity: Option<Decimal>,
    /// The price of one unit of the underlying, in the line's currency.
    pub price: Option<Decimal>,
    /// Units of the underlying in one unit.
    pub multiplier: Decimal,
    /// The worth in the base currency, signed; or why it is not known.
    pub value: Result<Decimal, String>,
}

impl Line {
    /// Whether anything is held, as far as is known.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.quantity.is_none_or(|quantity| !quantity.is_zero())
            || self.value.as_ref().map_or(true, |value| !value.is_zero())
    }
}

/// What a portfolio consists of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Allocation {
    /// The base currency, in which all values are stated.
    pub currency: Currency,
    /// What is held, by instrument.
    pub lines: BTreeMap<InstrumentId, Line>,
    /// Cash by its own currency, valued in the base currency; or why it is not known.
    pub cash: Result<BTreeMap<Currency, Decimal>, String>,
}

/// How large a trade is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    /// Units, positive.
    Units(Decimal),
    /// Money in the base currency, positive.
    Amount(Decimal),
    /// The part of equity that the instrument is to have afterwards.
    Weight(Decimal),
}

/// A trade that is thought of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedTrade {
    /// The instrument, merges followed.
    pub instrument: InstrumentId,
    /// What it is called.
    pub symbol: String,
    /// Which way.
    pub side: Side,
    /// How large.
    pub size: Size,
    /// The price of the day for one unit of the underlying, where one is known.
    pub price: Option<Decimal>,
    /// The currency of that price.
    pub currency: Currency,
    /// Units of the underlying in one unit.
    pub multiplier: Decimal,
}

/// A trade with what it comes to at the price of the day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SizedTrade {
    /// The instrument.
    pub instrument: InstrumentId,
    /// What it is called.
    pub symbol: String,
    /// Which way.
    pub side: Side,
    /// Units, positive; cut half-even at twelve places where the trade is stated in money or as a weight.
    pub quantity: Option<Decimal>,
    /// What is traded in the base currency, positive; or why it is not known.
    pub amount: Result<Decimal, String>,
    /// The currency that it is paid out of or into.
    pub currency: Currency,
}

/// Why a trade cannot be thought through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TradeFault {
    /// Its place among the trades, from 0.
    pub index: usize,
    /// The field.
    pub field: &'static str,
    /// What is wrong, and what to do.
    pub detail: String,
}

/// A value in the base currency, cut half-even at twelve places where the exact product has too many digits.
fn in_base(value: Decimal, from: Currency, base: Currency, rates: Rates<'_>) -> Result<Decimal, String> {
    if from == base || value.is_zero() {
        return Ok(value);
    }
    let rate = rates(from).ok_or_else(|| format!("no rate from {from} to {base} is known"))?;
    decimal::multiply(value, rate)
        .or_else(|_| decimal::multiply_divide(value, rate, Decimal::ONE, QUOTIENT_SCALE))
        .map_err(said)
}

fn said(error: ArithmeticError) -> String {
    error.to_string()
}

fn sum(a: &Result<Decimal, String>, b: &Result<Decimal, String>) -> Result<Decimal, String> {
    match (a, b) {
        (Ok(a), Ok(b)) => decimal::add(*a, *b).map_err(said),
        (Err(reason), _) | (_, Err(reason)) => Err(reason.clone()),
    }
}

impl Allocation {
    /// What a portfolio consists of at a moment; `state` is the state of that moment.
    #[must_use]
    pub fn of(
        state: &State,
        source: &dyn PriceSource,
        instruments: &Instruments,
        rates: Rates<'_>,
        as_of: AsOf,
        known: u64,
    ) -> Self {
        let base = state.settings.base_currency;
        let mut allocation = Self { currency: base, lines: BTreeMap::new(), cash: Ok(BTreeMap::new()) };
        for position in positions(state, source, instruments, as_of, known) {
            allocation.hold(&position, instruments.canonical(position.instrument), rates);
        }
        for (currency, cash) in state.cash_by_currency() {
            let value = cash
                .map_err(|reason| format!("the cash in {currency} is not known: {reason}"))
                .and_then(|cash| in_base(cash, currency, base, rates));
            allocation.pay(currency, value);
        }
        allocation
    }

    fn hold(&mut self, position: &Position, instrument: InstrumentId, rates: Rates<'_>) {
        let symbol = position.symbol.clone().unwrap_or_else(|| instrument.to_string());
        let value = match position.market_value {
            Some(value) => in_base(value, position.currency, self.currency, rates),
            None => Err(position
                .missing
                .get("market_value")
                .map_or_else(|| format!("{symbol} has no price"), |reason| format!("{symbol}: {reason}"))),
        };
        let Some(line) = self.lines.get_mut(&instrument) else {
            let line = Line {
                instrument,
                symbol,
                currency: position.currency,
                quantity: position.quantity,
                price: position.price,
                multiplier: position.multiplier,
                value,
            };
            self.lines.insert(instrument, line);
            return;
        };
        line.quantity =
            line.quantity.zip(position.quantity).and_then(|(held, more)| decimal::add(held, more).ok());
        line.price = line.price.or(position.price);
        line.value = sum(&line.value, &value);
    }

    fn pay(&mut self, currency: Currency, value: Result<Decimal, String>) {
        let Ok(cash) = &mut self.cash else { return };
        let held = cash.get(&currency).copied().unwrap_or_default();
        match value.and_then(|value| decimal::add(held, value).map_err(said)) {
            Ok(sum) => {
                cash.insert(currency, sum);
            }
            Err(reason) => self.cash = Err(reason),
        }
    }

    /// All cash in the base currency.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn cash_value(&self) -> Result<Decimal, String> {
        let cash = self.cash.as_ref().map_err(Clone::clone)?;
        cash.values().try_fold(Decimal::ZERO, |all, one| decimal::add(all, *one).map_err(said))
    }

    /// Cash and all that is held, in the base currency.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn equity(&self) -> Result<Decimal, String> {
        let held = self.lines.values().try_fold(Decimal::ZERO, |all, line| {
            let value = line.value.as_ref().map_err(Clone::clone)?;
            decimal::add(all, *value).map_err(said)
        })?;
        decimal::add(held, self.cash_value()?).map_err(said)
    }

    /// A value as a part of equity, cut half-even at twelve places.
    ///
    /// # Errors
    /// Why it is not known: a value that is missing, or equity that is zero or negative.
    pub fn part(&self, value: Decimal) -> Result<Decimal, String> {
        let equity = self.equity()?;
        if equity <= Decimal::ZERO {
            return Err(format!("equity is {}, of which nothing is a part", amount(equity, self.currency)));
        }
        decimal::divide(value, equity, QUOTIENT_SCALE).map_err(said)
    }

    /// What is held of an instrument as a signed part of equity.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn share(&self, line: &Line) -> Result<Decimal, String> {
        self.part(line.value.clone()?)
    }

    /// The portfolio after trades, at the prices of the day, and what each trade comes to. Trades follow each other;
    /// each is paid out of and into cash in its own currency, as nothing is exchanged among them, and the expected cost is
    /// taken from cash in the base currency at the end.
    ///
    /// # Errors
    /// What cannot be thought through: a weight without equity, or one that the trade's side leads away from.
    pub fn after(
        &self,
        trades: &[PlannedTrade],
        cost: Decimal,
        rates: Rates<'_>,
    ) -> Result<(Self, Vec<SizedTrade>), Vec<TradeFault>> {
        let mut after = self.clone();
        let (mut sized, mut faults) = (Vec::with_capacity(trades.len()), Vec::new());
        for (index, trade) in trades.iter().enumerate() {
            match after.trade(trade, self, rates) {
                Ok(one) => sized.push(one),
                Err((field, detail)) => faults.push(TradeFault { index, field, detail }),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        after.pay(self.currency, Ok(-cost));
        after.lines.retain(|_, line| line.is_held());
        Ok((after, sized))
    }

    fn trade(
        &mut self,
        trade: &PlannedTrade,
        before: &Self,
        rates: Rates<'_>,
    ) -> Result<SizedTrade, (&'static str, String)> {
        let base = self.currency;
        let mut line = self.lines.get(&trade.instrument).cloned().unwrap_or_else(|| Line {
            instrument: trade.instrument,
            symbol: trade.symbol.clone(),
            currency: trade.currency,
            quantity: Some(Decimal::ZERO),
            price: None,
            multiplier: trade.multiplier,
            value: Ok(Decimal::ZERO),
        });
        line.price = trade.price.or(line.price);
        let of_unit = match line.price {
            None => Err(format!("no price of {} was ever seen", trade.symbol)),
            Some(price) => decimal::multiply(price, trade.multiplier)
                .map_err(said)
                .and_then(|value| in_base(value, trade.currency, base, rates)),
        };
        let buys = trade.side == Side::Buy;
        let (quantity, value) = match trade.size {
            Size::Units(units) => {
                let value = of_unit.and_then(|of_unit| decimal::multiply(units, of_unit).map_err(said));
                (Some(units), value)
            }
            Size::Amount(value) => (units(value, &of_unit), Ok(value)),
            Size::Weight(weight) => {
                let equity = before.equity().map_err(|reason| {
                    ("weight", format!("a weight cannot be reached while equity is not known ({reason}): state units or an amount"))
                })?;
                let held = line.value.clone().map_err(|reason| ("weight", reason))?;
                let goal = decimal::multiply(weight, equity).map_err(|error| ("weight", said(error)))?;
                let change = decimal::subtract(goal, held).map_err(|error| ("weight", said(error)))?;
                let change = if buys { change } else { -change };
                if change <= Decimal::ZERO {
                    let now = amount(held, base);
                    return Err((
                        "weight",
                        format!(
                            "{} is worth {now} and the weight would be {}: a {} does not lead there",
                            trade.symbol,
                            amount(goal, base),
                            trade.side
                        ),
                    ));
                }
                (units(change, &of_unit), Ok(change))
            }
        };
        let signed = |value: Decimal| if buys { value } else { -value };
        line.quantity =
            line.quantity.zip(quantity).and_then(|(held, more)| decimal::add(held, signed(more)).ok());
        line.value = sum(&line.value, &value.clone().map(signed));
        // Units that were cut at twelve places leave a crumb that is worth nothing.
        if !matches!(trade.size, Size::Units(_)) && line.value == Ok(Decimal::ZERO) {
            line.quantity = Some(Decimal::ZERO);
        }
        if line.quantity == Some(Decimal::ZERO) {
            line.value = Ok(Decimal::ZERO);
        }
        self.pay(trade.currency, value.clone().map(|value| -signed(value)));
        self.lines.insert(trade.instrument, line);
        Ok(SizedTrade {
            instrument: trade.instrument,
            symbol: trade.symbol.clone(),
            side: trade.side.clone(),
            quantity,
            amount: value,
            currency: trade.currency,
        })
    }
}

/// How many units a value buys.
fn units(value: Decimal, of_unit: &Result<Decimal, String>) -> Option<Decimal> {
    let of_unit = of_unit.as_ref().ok().filter(|of_unit| !of_unit.is_zero())?;
    decimal::divide(value, *of_unit, QUOTIENT_SCALE).ok()
}
