//! How one entry changes the state: cash, lots, totals and round trips, all of it or none.
//!
//! Each entry is first computed against the state as it stands and then written, so that an entry whose figures do not
//! fit leaves nothing half done: it is listed as not accounted for, with the reason, and only its cash moves. What it
//! would have changed is then not known from there on: figures are marked, and the position it moves is lost.

use crate::effect::{ArrivedLot, Effect, Given, Moves, Purpose, Row, Split, Trade, TradeTooLong, Transfer};
use crate::state::{
    Amount, AppliedSplit, BasisState, Direction, Figure, Holding, HoldingKey, IncompleteHistory, LastPrice,
    Lost, Lot, MoveKey, OpenLeg, State, Totals, Trip, TripSums, Unaccounted, Unknown, UnknownBasis,
    Unrounded,
};
use daybook_schemas::decimal::{ArithmeticError, QUOTIENT_SCALE, add, multiply, multiply_divide, subtract};
use daybook_schemas::events::LotMethod;
use daybook_schemas::{AccountId, Currency, InstrumentId, Money, Quantity, Ratio, Strategy, Timestamp};
use rust_decimal::Decimal;
use std::borrow::Cow;
use std::collections::VecDeque;

/// Why an entry cannot be accounted for.
#[derive(Debug)]
enum Fault {
    Arithmetic(ArithmeticError),
    Says(Cow<'static, str>),
}

impl From<ArithmeticError> for Fault {
    fn from(error: ArithmeticError) -> Self {
        Self::Arithmetic(error)
    }
}

fn says<T>(reason: impl Into<Cow<'static, str>>) -> Result<T, Fault> {
    Err(Fault::Says(reason.into()))
}

/// An entry, the instant that counts for it among the fills of its order, and a basis that was supplied later.
#[derive(Clone, Copy)]
pub(crate) struct Posting<'a> {
    pub(crate) row: &'a Row,
    pub(crate) at: Timestamp,
    pub(crate) supply: Option<&'a [ArrivedLot]>,
}

/// The balances that an entry changes, as they will be.
#[derive(Default)]
struct Balances {
    cash: Vec<((AccountId, Currency), Decimal)>,
    totals: Vec<(Currency, Totals)>,
}

impl Balances {
    fn totals(&mut self, state: &State, currency: Currency) -> &mut Totals {
        let at = self.totals.iter().position(|(known, _)| *known == currency).unwrap_or_else(|| {
            self.totals.push((currency, state.totals.get(&currency).copied().unwrap_or_default()));
            self.totals.len() - 1
        });
        &mut self.totals[at].1
    }

    fn post(&mut self, state: &State, account: AccountId, amount: Money) -> Result<(), ArithmeticError> {
        let key = (account, amount.currency());
        let at = self.cash.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            self.cash.push((key, state.cash.get(&key).map_or(Decimal::ZERO, |balance| balance.0)));
            self.cash.len() - 1
        });
        self.cash[at].1 = add(self.cash[at].1, amount.amount())?;
        Ok(())
    }

    /// Charges that are costs of their own: cash goes out, costs go up.
    fn charge(
        &mut self,
        state: &State,
        account: AccountId,
        charges: &[Money],
    ) -> Result<(), ArithmeticError> {
        for charge in charges {
            self.post(state, account, -*charge)?;
            let totals = self.totals(state, charge.currency());
            totals.costs = add(totals.costs, charge.amount())?;
        }
        Ok(())
    }

    fn write(self, state: &mut State) {
        for (key, balance) in self.cash {
            match state.cash.get_mut(&key) {
                Some(known) => known.0 = balance,
                None => {
                    state.cash.insert(key, Amount(balance));
                }
            }
        }
        for (currency, sums) in self.totals {
            match state.totals.get_mut(&currency) {
                Some(known) => *known = sums,
                None => {
                    state.totals.insert(currency, sums);
                }
            }
        }
    }
}

/// Why an entry in a position that was lost is not accounted for.
const POSITION_LOST: &str =
    "what is held is not known since an earlier event whose figures cannot be computed";

impl Unknown {
    /// What is not known because the figures of an entry cannot be computed, and what to do about it.
    fn of(row: &Row, error: ArithmeticError) -> Self {
        let remedy = match &row.effect {
            Effect::Trade(_) | Effect::TradeTooLong(_) => "state its `amount`, rounded as it was paid",
            Effect::InKind(_) | Effect::Transfer(_) | Effect::Split(_) | Effect::Expiry { .. } => {
                "state it with fewer digits"
            }
            _ => "state its `amount` with fewer digits",
        };
        let reason = match error {
            ArithmeticError::TooManyDigits => {
                format!("needs more digits than a decimal holds: reverse it and {remedy}")
            }
            other => format!("cannot be computed ({other}): reverse it and {remedy}"),
        };
        Self { sequence: row.meta.sequence, reason: reason.into() }
    }
}

/// What decides which figures a trade changes.
struct Touch<'a> {
    instrument: InstrumentId,
    currency: Currency,
    incoming: bool,
    closing_only: bool,
    quantity: Decimal,
    charged: bool,
    accrued: bool,
    foreign_charges: &'a [Money],
}

impl<'a> From<&'a Trade> for Touch<'a> {
    fn from(trade: &'a Trade) -> Self {
        Self {
            instrument: trade.instrument,
            currency: trade.currency,
            incoming: trade.incoming,
            closing_only: trade.closing_only,
            quantity: trade.quantity,
            charged: !trade.charges.is_zero(),
            accrued: !trade.accrued.is_zero(),
            foreign_charges: &trade.foreign_charges,
        }
    }
}

impl<'a> From<&'a TradeTooLong> for Touch<'a> {
    fn from(trade: &'a TradeTooLong) -> Self {
        Self {
            instrument: trade.instrument,
            currency: trade.currency,
            incoming: trade.incoming,
            closing_only: trade.closing_only,
            quantity: trade.quantity.get(),
            charged: trade.charged,
            accrued: trade.accrued,
            foreign_charges: &trade.foreign_charges,
        }
    }
}

/// What happens to units beyond those that close a position.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beyond {
    /// They open a position on their own side.
    Opens,
    /// They were held all along: their history is missing.
    Missing,
}

/// Units that come or go, and what they cost or bring.
struct Movement<'a> {
    account: AccountId,
    instrument: InstrumentId,
    currency: Currency,
    multiplier: Decimal,
    incoming: bool,
    quantity: Decimal,
    /// What is paid for units that come, or got for units that go, charges inside.
    amount: Decimal,
    /// The same without charges.
    gross: Decimal,
    charges: Decimal,
    beyond: Beyond,
    /// Whether a gain on the units that go is realised; it is not when they leave by transfer.
    realises: bool,
    strategy: Option<&'a Strategy>,
}

/// A lot that is relieved, in whole or in part.
struct Relief {
    index: usize,
    quantity: Decimal,
    basis: Decimal,
    /// What remains of the lot: quantity (signed) and basis; nothing when it is used up.
    rest: Option<(Decimal, Decimal)>,
}

/// One side of a movement.
#[derive(Clone, Copy, Default)]
struct Part {
    quantity: Decimal,
    amount: Decimal,
    gross: Decimal,
    charges: Decimal,
}

/// All that a movement will change, computed before anything is written.
struct Plan {
    reliefs: Vec<Relief>,
    relieved: Decimal,
    closed: Part,
    opened: Part,
    missing: Part,
    realised: Decimal,
    realised_sum: Decimal,
    quantity: Decimal,
    /// Sums of the trip that was open, or that opens and closes with missing history.
    trip: Option<TripSums>,
    /// Sums of the trip that the opened units belong to.
    trip_opened: Option<TripSums>,
    ends_trip: bool,
    basis_missing: bool,
    method_unsupported: bool,
}

/// The order in which a disposal relieves lots, which stand by acquisition.
enum Order {
    Oldest,
    Newest,
    Listed(Vec<usize>),
}

impl Order {
    fn lot(&self, step: usize, lots: usize) -> usize {
        match self {
            Self::Oldest => step,
            Self::Newest => lots - 1 - step,
            Self::Listed(order) => order[step],
        }
    }
}

/// The order of a method, and whether the method is supported; one that is not relieves the oldest, so that units
/// stay right, and the figures that depend on it are marked.
fn relief_order(method: &LotMethod, lots: &VecDeque<Lot>) -> (Order, bool) {
    match method {
        LotMethod::Fifo => (Order::Oldest, true),
        LotMethod::Lifo => (Order::Newest, true),
        LotMethod::Hifo => {
            let mut order: Vec<usize> = (0..lots.len()).collect();
            // The highest basis of one unit, at 12 places; of equals the earlier lot.
            let unit = |index: &usize| {
                let lot = &lots[*index];
                multiply_divide(lot.basis, Decimal::ONE, lot.quantity.abs(), QUOTIENT_SCALE)
                    .unwrap_or(lot.basis)
            };
            order.sort_by(|a, b| unit(b).cmp(&unit(a)).then(a.cmp(b)));
            (Order::Listed(order), true)
        }
        LotMethod::Average | LotMethod::Specific | LotMethod::Other(_) => (Order::Oldest, false),
    }
}

/// Relieves `quantity` units in the order given; the last slice of a lot takes what is left of its basis.
fn relieve(
    lots: &VecDeque<Lot>,
    order: &Order,
    quantity: Decimal,
) -> Result<(Vec<Relief>, Decimal), ArithmeticError> {
    let mut reliefs = Vec::new();
    let mut relieved = Decimal::ZERO;
    let mut left = quantity;
    for step in 0..lots.len() {
        if left.is_zero() {
            break;
        }
        let index = order.lot(step, lots.len());
        let lot = &lots[index];
        let held = lot.quantity.abs();
        let relief = if held <= left {
            left = subtract(left, held)?;
            Relief { index, quantity: held, basis: lot.basis, rest: None }
        } else {
            let basis = multiply_divide(lot.basis, left, held, QUOTIENT_SCALE)?;
            let signed = if lot.quantity.is_sign_negative() { -left } else { left };
            let rest = (subtract(lot.quantity, signed)?, subtract(lot.basis, basis)?);
            let quantity = left;
            left = Decimal::ZERO;
            Relief { index, quantity, basis, rest: Some(rest) }
        };
        relieved = add(relieved, relief.basis)?;
        reliefs.push(relief);
    }
    Ok((reliefs, relieved))
}

/// The part of a movement that `quantity` units of it make up, and the rest; they sum to the whole.
fn divide(whole: Part, quantity: Decimal) -> Result<(Part, Part), ArithmeticError> {
    if quantity == whole.quantity {
        return Ok((whole, Part::default()));
    }
    if quantity.is_zero() {
        return Ok((Part::default(), whole));
    }
    let share = |amount: Decimal| {
        if amount.is_zero() {
            Ok(amount)
        } else {
            multiply_divide(amount, quantity, whole.quantity, QUOTIENT_SCALE)
        }
    };
    let amount = share(whole.amount)?;
    let charges = share(whole.charges)?;
    let gross = share(whole.gross)?;
    let part = Part { quantity, amount, gross, charges };
    let rest = Part {
        quantity: subtract(whole.quantity, quantity)?,
        amount: subtract(whole.amount, amount)?,
        gross: subtract(whole.gross, gross)?,
        charges: subtract(whole.charges, charges)?,
    };
    Ok((part, rest))
}

impl State {
    /// Takes in one entry. An entry that cannot be accounted for is listed, and its cash moves.
    pub(crate) fn fold(&mut self, posting: &Posting<'_>) {
        let row = posting.row;
        self.entries += 1;
        if self.first_day.is_none_or(|first| row.trade_date < first) {
            self.first_day = Some(row.trade_date);
        }
        if let Some(unknown) = self.position_lost(row) {
            self.leave_unaccounted(row, POSITION_LOST);
            self.mark_touched(row, &unknown);
            return;
        }
        let done = match &row.effect {
            Effect::Trade(trade) => self.trade(posting, trade),
            Effect::TradeTooLong(_) => Err(Fault::Arithmetic(ArithmeticError::TooManyDigits)),
            Effect::Transfer(transfer) => self.transfer(posting, transfer),
            Effect::Split(split) => self.split(posting, split),
            Effect::InKind(given) => self.in_kind(posting, given),
            Effect::Expiry { instrument, quantity, charges } => {
                self.expiry(posting, *instrument, *quantity, charges)
            }
            Effect::Unaccounted { reason, .. } => says(reason.to_string()),
            other => self.cash_effect(row, other),
        };
        match done {
            Ok(()) => {}
            Err(Fault::Says(reason)) => self.leave_unaccounted(row, &reason),
            Err(Fault::Arithmetic(error)) => {
                let unknown = Unknown::of(row, error);
                self.leave_unaccounted(row, &format!("its figures cannot be computed: {error}"));
                self.mark_touched(row, &unknown);
                if let Some(moves) = row.effect.moves() {
                    self.lose(row.account, &moves, &unknown);
                }
            }
        }
    }

    /// Lists an entry that cannot be accounted for and moves its cash. Where a balance cannot take the amount in, the
    /// balance is not known from here on.
    fn leave_unaccounted(&mut self, row: &Row, reason: &str) {
        let mut reason = reason.to_owned();
        let mut moved = Vec::new();
        let mut overflow = None;
        for amount in row.effect.cash() {
            match self.post_unaccounted(row.account, amount) {
                Ok(()) => moved.push(amount),
                Err(error) => {
                    let unknown = Unknown::of(row, error);
                    self.mark_unknown(amount.currency(), Figure::Cash, &unknown);
                    self.mark_unknown(amount.currency(), Figure::UnaccountedCash, &unknown);
                    overflow = Some(error);
                }
            }
        }
        if let Some(error) = overflow {
            reason = format!("{reason}; nor can its cash be added: {error}");
        }
        self.unaccounted.push(Unaccounted::new(
            row.meta.sequence,
            row.event_type,
            row.account,
            row.trade_date,
            reason.into(),
            moved,
        ));
    }

    fn post_unaccounted(&mut self, account: AccountId, amount: Money) -> Result<(), ArithmeticError> {
        let mut balances = Balances::default();
        balances.post(self, account, amount)?;
        let totals = balances.totals(self, amount.currency());
        totals.unaccounted_cash = add(totals.unaccounted_cash, amount.amount())?;
        balances.write(self);
        Ok(())
    }

    fn mark(&mut self, currency: Currency, figure: Figure, sequence: u64, reason: &str) {
        self.unknowns
            .entry((currency, figure))
            .or_insert_with(|| Unknown { sequence, reason: reason.into() });
    }

    fn mark_unknown(&mut self, currency: Currency, figure: Figure, unknown: &Unknown) {
        self.unknowns.entry((currency, figure)).or_insert_with(|| unknown.clone());
    }

    /// Why the position that an entry moves is not known, where it is not. A move between accounts of ours is told
    /// once both legs are there.
    fn position_lost(&self, row: &Row) -> Option<Unknown> {
        if self.lost.is_empty() || matches!(&row.effect, Effect::Transfer(transfer) if transfer.internal) {
            return None;
        }
        let moves = row.effect.moves()?;
        self.lost.get(&(row.account, moves.instrument)).map(|lost| lost.unknown.clone())
    }

    /// From here on the position is not known: what was held is no basis for anything that follows.
    fn lose(&mut self, account: AccountId, moves: &Moves, unknown: &Unknown) {
        let instrument = moves.instrument;
        let stated = moves.currency.unwrap_or(self.settings.base_currency);
        let currency = self.currency_held(account, instrument).unwrap_or(stated);
        for currency in [currency, stated] {
            // Not the unrealised gain, which other positions of the currency still have.
            self.mark_unknown(currency, Figure::MarketValue, unknown);
        }
        if self.lost.contains_key(&(account, instrument)) {
            return;
        }
        let mut lost = Lost {
            unknown: unknown.clone(),
            currency,
            multiplier: moves.multiplier,
            quantity: Decimal::ZERO,
            realised: Decimal::ZERO,
        };
        if let Some(holding) = self.holdings.get_mut(&(account, instrument, currency)) {
            lost.multiplier = holding.multiplier;
            lost.quantity = holding.quantity;
            lost.realised = holding.realised;
            holding.quantity = Decimal::ZERO;
            holding.lots.clear();
            holding.trip = None;
            holding.last_price = None;
            holding.unrounded = None;
        }
        self.lost.insert((account, instrument), lost);
    }

    /// The currency of what an account holds, or held until the position was lost.
    fn currency_held(&self, account: AccountId, instrument: InstrumentId) -> Option<Currency> {
        let lost = || self.lost.get(&(account, instrument)).map(|lost| lost.currency);
        self.open_holding(account, instrument).map(|((_, _, currency), _)| currency).or_else(lost)
    }

    /// Marks the figures that an entry would have changed, had it been possible to compute it.
    fn mark_touched(&mut self, row: &Row, unknown: &Unknown) {
        for (currency, figure) in self.touched(row) {
            self.mark_unknown(currency, figure, unknown);
            if figure == Figure::NetContributions {
                self.totals.entry(currency).or_default().flows_lost += 1;
            }
        }
        if let Effect::TradeTooLong(trade) = &row.effect
            && trade.net_amount.is_none()
        {
            let own = Unknown::of(row, ArithmeticError::TooManyDigits);
            self.mark_unknown(trade.currency, Figure::Cash, &own);
            self.mark_unknown(trade.currency, Figure::UnaccountedCash, &own);
        }
    }

    /// The figures that an entry changes, by currency; cash and the worth of positions left out.
    fn touched(&self, row: &Row) -> Vec<(Currency, Figure)> {
        let held = |instrument| self.currency_held(row.account, instrument);
        let base = self.settings.base_currency;
        let mut touched: Vec<(Currency, Figure)> =
            row.effect.charges().iter().map(|charge| (charge.currency(), Figure::Costs)).collect();
        match &row.effect {
            Effect::Trade(trade) => self.touched_by_trade(row.account, &Touch::from(trade), &mut touched),
            Effect::TradeTooLong(trade) => {
                self.touched_by_trade(row.account, &Touch::from(&**trade), &mut touched);
            }
            Effect::Contribution(amount) => touched.push((amount.currency(), Figure::NetContributions)),
            // What is on its way between accounts counts as cash.
            Effect::Internal(amount) => touched.push((amount.currency(), Figure::Cash)),
            Effect::Income(amount, _) => touched.push((amount.currency(), Figure::Income)),
            Effect::Cost { amount, tax, .. } => {
                touched.push((amount.currency(), Figure::Costs));
                touched.extend(tax.then_some((amount.currency(), Figure::Taxes)));
            }
            Effect::Conversion { sold, bought, .. } => {
                touched.extend([sold, bought].map(|amount| (amount.currency(), Figure::Fx)));
            }
            Effect::InKind(given) => {
                let currency =
                    given.value.map(Money::currency).or_else(|| held(given.instrument)).unwrap_or(base);
                let incoming = given.quantity.get() > Decimal::ZERO;
                let (closes, beyond) =
                    self.closes(row.account, given.instrument, incoming, given.quantity.get().abs());
                touched.extend(closes.then_some((currency, Figure::Realised)));
                touched.extend((beyond && !incoming).then_some((currency, Figure::NetContributions)));
                for currency in [Some(currency), given.cash.map(Money::currency)].into_iter().flatten() {
                    match given.purpose {
                        Purpose::Income => touched.push((currency, Figure::Income)),
                        Purpose::Cost => touched.push((currency, Figure::Costs)),
                        Purpose::Tax => {
                            touched.extend([(currency, Figure::Costs), (currency, Figure::Taxes)]);
                        }
                    }
                }
            }
            Effect::Transfer(transfer) if !transfer.internal => {
                let stated = transfer.value.or_else(|| transfer.lots.iter().find_map(|lot| lot.basis));
                let currency =
                    stated.map(Money::currency).or_else(|| held(transfer.instrument)).unwrap_or(base);
                touched.extend([(currency, Figure::NetContributions), (currency, Figure::TransferredGain)]);
            }
            Effect::Expiry { instrument, .. } => {
                touched.push((held(*instrument).unwrap_or(base), Figure::Realised));
            }
            Effect::Transfer(_) | Effect::Split(_) | Effect::Unaccounted { .. } => {}
        }
        touched
    }

    fn touched_by_trade(&self, account: AccountId, trade: &Touch<'_>, touched: &mut Vec<(Currency, Figure)>) {
        let currency = trade.currency;
        let (closes, beyond) = self.closes(account, trade.instrument, trade.incoming, trade.quantity);
        touched.extend(closes.then_some((currency, Figure::Realised)));
        touched.extend((beyond && trade.closing_only).then_some((currency, Figure::NetContributions)));
        touched.extend(trade.charged.then_some((currency, Figure::TradeFees)));
        touched.extend(trade.accrued.then_some((currency, Figure::Income)));
        touched.extend(trade.foreign_charges.iter().map(|charge| (charge.currency(), Figure::TradeFees)));
    }

    /// Whether units that come or go close something, and whether they go beyond what is held; both may be, where it
    /// is not known what is held.
    fn closes(
        &self,
        account: AccountId,
        instrument: InstrumentId,
        incoming: bool,
        quantity: Decimal,
    ) -> (bool, bool) {
        if self.lost.contains_key(&(account, instrument)) {
            return (true, true);
        }
        let held =
            self.open_holding(account, instrument).map_or(Decimal::ZERO, |(_, holding)| holding.quantity);
        let closes = !held.is_zero() && (held > Decimal::ZERO) != incoming;
        (closes, !closes || quantity > held.abs())
    }

    fn cash_effect(&mut self, row: &Row, effect: &Effect) -> Result<(), Fault> {
        let mut balances = Balances::default();
        match effect {
            Effect::Contribution(amount) => {
                balances.post(self, row.account, *amount)?;
                let totals = balances.totals(self, amount.currency());
                if amount.amount().is_sign_negative() {
                    totals.withdrawn = subtract(totals.withdrawn, amount.amount())?;
                } else {
                    totals.contributed = add(totals.contributed, amount.amount())?;
                }
            }
            Effect::Internal(amount) => {
                balances.post(self, row.account, *amount)?;
                let totals = balances.totals(self, amount.currency());
                totals.in_transit = subtract(totals.in_transit, amount.amount())?;
            }
            Effect::Income(amount, charges) => {
                balances.post(self, row.account, *amount)?;
                let totals = balances.totals(self, amount.currency());
                totals.income = add(totals.income, amount.amount())?;
                balances.charge(self, row.account, charges)?;
            }
            Effect::Cost { amount, tax, charges } => {
                balances.post(self, row.account, *amount)?;
                let totals = balances.totals(self, amount.currency());
                totals.costs = subtract(totals.costs, amount.amount())?;
                if *tax {
                    totals.taxes = subtract(totals.taxes, amount.amount())?;
                }
                balances.charge(self, row.account, charges)?;
            }
            Effect::Conversion { sold, bought, charges } => {
                for amount in [sold, bought] {
                    balances.post(self, row.account, *amount)?;
                    let totals = balances.totals(self, amount.currency());
                    totals.converted = add(totals.converted, amount.amount())?;
                }
                balances.charge(self, row.account, charges)?;
            }
            _ => return says("it is of a kind that moves no cash"),
        }
        balances.write(self);
        Ok(())
    }

    /// The open holding of an instrument in an account, whatever its currency; at most one is open at a time.
    fn open_holding(&self, account: AccountId, instrument: InstrumentId) -> Option<(HoldingKey, &Holding)> {
        let lowest = Currency::from_code("00").expect("two digits have the form of a code");
        let from = (account, instrument, lowest);
        self.holdings
            .range(from..)
            .take_while(|((a, i, _), _)| *a == account && *i == instrument)
            .find(|(_, holding)| holding.is_open())
            .map(|(key, holding)| (*key, holding))
    }

    /// Computes what a movement of units will change.
    fn plan(&self, posting: &Posting<'_>, movement: &Movement<'_>) -> Result<Plan, Fault> {
        let key = (movement.account, movement.instrument, movement.currency);
        let holding = self.holdings.get(&key);
        let held = holding.map_or(Decimal::ZERO, |holding| holding.quantity);
        if held.is_zero() {
            if let Some(((_, _, other), _)) = self.open_holding(movement.account, movement.instrument) {
                return says(format!(
                    "its lots are in {other} and this is in {}: prices in two currencies are not accounted for yet",
                    movement.currency
                ));
            }
        } else if let Some(holding) = holding
            && holding.multiplier != movement.multiplier
        {
            return says(format!(
                "its multiplier {} contradicts that of the position, {}",
                movement.multiplier, holding.multiplier
            ));
        }
        let whole = Part {
            quantity: movement.quantity,
            amount: movement.amount,
            gross: movement.gross,
            charges: movement.charges,
        };
        let is_long = held > Decimal::ZERO;
        let opposite = !held.is_zero() && is_long != movement.incoming;
        let closes = if opposite { held.abs().min(movement.quantity) } else { Decimal::ZERO };
        let (closed, rest) = divide(whole, closes)?;
        let (opened, missing) = match movement.beyond {
            Beyond::Opens => (rest, Part::default()),
            Beyond::Missing => (Part::default(), rest),
        };

        let mut plan = Plan {
            reliefs: Vec::new(),
            relieved: Decimal::ZERO,
            closed,
            opened,
            missing,
            realised: Decimal::ZERO,
            realised_sum: holding.map_or(Decimal::ZERO, |holding| holding.realised),
            quantity: held,
            trip: None,
            trip_opened: None,
            ends_trip: false,
            basis_missing: false,
            method_unsupported: false,
        };
        if let Some(holding) = holding
            && !closes.is_zero()
        {
            let method = self.settings.method(movement.account, posting.row.trade_date);
            let (order, supported) = relief_order(method, &holding.lots);
            let (reliefs, relieved) = relieve(&holding.lots, &order, closes)?;
            plan.basis_missing =
                reliefs.iter().any(|relief| holding.lots[relief.index].basis_state == BasisState::Missing);
            plan.method_unsupported = !supported;
            if movement.realises {
                plan.realised = if is_long {
                    subtract(closed.amount, relieved)?
                } else {
                    subtract(relieved, closed.amount)?
                };
                plan.realised_sum = add(holding.realised, plan.realised)?;
            }
            plan.reliefs = reliefs;
            plan.relieved = relieved;
            plan.quantity = if is_long { subtract(held, closes)? } else { add(held, closes)? };
        }
        plan.ends_trip = !closes.is_zero() && plan.quantity.is_zero();
        if !opened.quantity.is_zero() {
            plan.quantity = if movement.incoming {
                add(plan.quantity, opened.quantity)?
            } else {
                subtract(plan.quantity, opened.quantity)?
            };
        }
        Self::plan_trip(holding, held, opposite, &mut plan)?;
        Ok(plan)
    }

    fn plan_trip(
        holding: Option<&Holding>,
        held: Decimal,
        opposite: bool,
        plan: &mut Plan,
    ) -> Result<(), ArithmeticError> {
        let open_sums = holding.and_then(|holding| holding.trip.as_ref()).map(|trip| trip.sums);
        let (closed, missing, opened) = (plan.closed, plan.missing, plan.opened);
        let touches_open_trip = opposite || (held.is_zero() && !missing.quantity.is_zero());
        if touches_open_trip {
            let mut sums = open_sums.unwrap_or_default();
            if !closed.quantity.is_zero() {
                sums.exit_quantity = add(sums.exit_quantity, closed.quantity)?;
                sums.exit_value = add(sums.exit_value, closed.gross)?;
                sums.fees = add(sums.fees, closed.charges)?;
                sums.net = add(sums.net, plan.realised)?;
            }
            if !missing.quantity.is_zero() {
                sums.quantity_max = sums.quantity_max.max(add(held.abs(), missing.quantity)?);
                sums.entry_quantity = add(sums.entry_quantity, missing.quantity)?;
                sums.entry_value = add(sums.entry_value, missing.amount)?;
                sums.exit_quantity = add(sums.exit_quantity, missing.quantity)?;
                sums.exit_value = add(sums.exit_value, missing.gross)?;
                sums.fees = add(sums.fees, missing.charges)?;
                plan.ends_trip = true;
            }
            plan.trip = Some(sums);
        }
        if !opened.quantity.is_zero() {
            let mut sums = if opposite { TripSums::default() } else { open_sums.unwrap_or_default() };
            sums.quantity_max = sums.quantity_max.max(plan.quantity.abs());
            sums.entry_quantity = add(sums.entry_quantity, opened.quantity)?;
            sums.entry_value = add(sums.entry_value, opened.gross)?;
            sums.fees = add(sums.fees, opened.charges)?;
            plan.trip_opened = Some(sums);
        }
        Ok(())
    }

    /// Writes a plan. `lots` are the units it opens, where they are not one lot at the movement's own amount.
    fn write(&mut self, posting: &Posting<'_>, movement: &Movement<'_>, plan: &Plan, lots: Option<Vec<Lot>>) {
        let row = posting.row;
        let sequence = row.meta.sequence;
        let key = (movement.account, movement.instrument, movement.currency);
        let holding = self.holdings.entry(key).or_insert_with(|| Holding {
            currency: movement.currency,
            multiplier: movement.multiplier,
            quantity: Decimal::ZERO,
            lots: VecDeque::new(),
            realised: Decimal::ZERO,
            trip: None,
            last_price: None,
            splits: Vec::new(),
            held_from: row.trade_date,
            unrounded: None,
        });
        let was_long = if holding.quantity.is_zero() {
            // With nothing held, what is missing was on the side that the movement closes.
            !movement.incoming
        } else {
            holding.quantity > Decimal::ZERO
        };
        if holding.quantity.is_zero() {
            holding.multiplier = movement.multiplier;
            holding.held_from = row.trade_date;
        }
        take_out(&mut holding.lots, &plan.reliefs);
        holding.quantity = plan.quantity;
        holding.realised = plan.realised_sum;

        if let Some(sums) = plan.trip {
            let mut trip = holding.trip.take().unwrap_or_else(|| new_trip(posting, movement, was_long));
            trip.sums = sums;
            if trip.fills.last() != Some(&sequence) {
                trip.fills.push(sequence);
            }
            trip.transferred |= !movement.realises;
            trip.incomplete |= !plan.missing.quantity.is_zero();
            if plan.ends_trip {
                trip.closed_at = Some(row.meta.occurred_at);
                trip.closed_on = Some(row.trade_date);
                self.closed_trips.push(*trip);
            } else {
                holding.trip = Some(trip);
            }
        }
        if let Some(sums) = plan.trip_opened {
            let trip = holding.trip.get_or_insert_with(|| new_trip(posting, movement, movement.incoming));
            trip.sums = sums;
            trip.transferred |= !movement.realises;
            if trip.fills.last() != Some(&sequence) {
                trip.fills.push(sequence);
            }
            match lots {
                Some(lots) => lots.into_iter().for_each(|lot| put_in(&mut holding.lots, lot)),
                None => {
                    let opened = plan.opened;
                    let quantity = if movement.incoming { opened.quantity } else { -opened.quantity };
                    let lot = Lot {
                        opened: sequence,
                        part: 0,
                        acquired_at: posting.at,
                        acquired_on: row.trade_date,
                        quantity,
                        basis: opened.amount,
                        basis_state: BasisState::Known,
                    };
                    put_in(&mut holding.lots, lot);
                }
            }
        }
        if !plan.missing.quantity.is_zero() {
            self.incomplete_history.push(IncompleteHistory {
                sequence,
                account: movement.account,
                instrument: movement.instrument,
                quantity: Quantity::new(plan.missing.quantity),
                value: Some(Money::new(plan.missing.amount, movement.currency)),
            });
        }
        if plan.basis_missing && movement.realises {
            let reason = "disposed of units whose basis and value are not known";
            self.mark(movement.currency, Figure::Realised, sequence, reason);
        }
        if plan.method_unsupported {
            let reason = "fell under a lot method that is not supported yet: choose fifo, lifo or hifo";
            self.mark(movement.currency, Figure::Realised, sequence, reason);
            self.mark(movement.currency, Figure::Unrealised, sequence, reason);
        }
    }

    fn trade(&mut self, posting: &Posting<'_>, trade: &Trade) -> Result<(), Fault> {
        let row = posting.row;
        let gross = match (trade.charges.is_zero(), trade.incoming) {
            (true, _) => trade.amount,
            (false, true) => subtract(trade.amount, trade.charges)?,
            (false, false) => add(trade.amount, trade.charges)?,
        };
        let movement = Movement {
            account: row.account,
            instrument: trade.instrument,
            currency: trade.currency,
            multiplier: trade.multiplier,
            incoming: trade.incoming,
            quantity: trade.quantity,
            amount: trade.amount,
            gross,
            charges: trade.charges,
            beyond: if trade.closing_only { Beyond::Missing } else { Beyond::Opens },
            realises: true,
            strategy: trade.strategy.as_ref(),
        };
        let plan = self.plan(posting, &movement)?;

        let mut balances = Balances::default();
        let cash = if trade.incoming { -trade.amount } else { trade.amount };
        balances.post(self, row.account, Money::new(cash, trade.currency))?;
        let totals = balances.totals(self, trade.currency);
        if !plan.realised.is_zero() {
            totals.realised = add(totals.realised, plan.realised)?;
        }
        if !trade.charges.is_zero() {
            totals.trade_fees = add(totals.trade_fees, trade.charges)?;
        }
        if !plan.missing.quantity.is_zero() {
            // Units that were held all along came in before, worth what they bring now.
            let value = if trade.incoming { -plan.missing.amount } else { plan.missing.amount };
            contribute(totals, value)?;
        }
        if !trade.accrued.is_zero() {
            let accrued = if trade.incoming { -trade.accrued } else { trade.accrued };
            totals.income = add(totals.income, accrued)?;
            balances.post(self, row.account, Money::new(accrued, trade.currency))?;
        }
        balances.charge(self, row.account, &trade.foreign_charges)?;
        for charge in &trade.foreign_charges {
            let totals = balances.totals(self, charge.currency());
            totals.trade_fees = add(totals.trade_fees, charge.amount())?;
        }
        let price = match trade.price {
            Some(price) => price,
            None => multiply_divide(
                gross,
                Decimal::ONE,
                multiply(trade.quantity, trade.multiplier)?,
                QUOTIENT_SCALE,
            )?,
        };

        balances.write(self);
        self.write(posting, &movement, &plan, None);
        self.remember_price((row.account, trade.instrument, trade.currency), posting, Some(price));
        if trade.names_lots && *self.settings.method(row.account, row.trade_date) != LotMethod::Specific {
            self.lots_not_followed.push(row.meta.sequence);
        }
        Ok(())
    }

    /// The price that an entry states stands in for a market price until one is seen.
    fn remember_price(&mut self, key: HoldingKey, posting: &Posting<'_>, price: Option<Decimal>) {
        if let (Some(price), Some(holding)) = (price, self.holdings.get_mut(&key)) {
            let meta = &posting.row.meta;
            holding.last_price = Some(LastPrice { price, at: meta.occurred_at, sequence: meta.sequence });
        }
    }

    fn in_kind(&mut self, posting: &Posting<'_>, given: &Given) -> Result<(), Fault> {
        let row = posting.row;
        let open = self.open_holding(row.account, given.instrument);
        let multiplier = open.map_or(Decimal::ONE, |(_, holding)| holding.multiplier);
        let currency = given
            .value
            .map(Money::currency)
            .or_else(|| open.map(|((_, _, currency), _)| currency))
            .unwrap_or(self.settings.base_currency);
        let quantity = given.quantity.get().abs();
        if quantity.is_zero() {
            return says("its quantity is zero");
        }
        let incoming = given.quantity.get() > Decimal::ZERO;
        let stated = match (given.value, given.price) {
            (Some(value), _) => Some(value.amount().abs()),
            (None, Some(price)) => Some(multiply(multiply(quantity, price)?, multiplier)?),
            (None, None) => None,
        };
        let mut movement = Movement {
            account: row.account,
            instrument: given.instrument,
            currency,
            multiplier,
            incoming,
            quantity,
            amount: stated.unwrap_or_default(),
            gross: stated.unwrap_or_default(),
            charges: Decimal::ZERO,
            beyond: if incoming { Beyond::Opens } else { Beyond::Missing },
            realises: true,
            strategy: None,
        };
        let mut plan = self.plan(posting, &movement)?;
        if stated.is_none() && !plan.relieved.is_zero() {
            // Without a value the units go at their basis: no gain is claimed, and the figures are marked.
            movement.amount = plan.relieved;
            movement.gross = plan.relieved;
            plan = self.plan(posting, &movement)?;
        }
        let value = movement.amount;
        let signed = if incoming { value } else { -value };
        let price = unit_price(stated, given.price, quantity, multiplier)?;

        let mut balances = Balances::default();
        let totals = balances.totals(self, currency);
        totals.realised = add(totals.realised, plan.realised)?;
        let figure = match given.purpose {
            Purpose::Income => {
                totals.income = add(totals.income, signed)?;
                Figure::Income
            }
            Purpose::Cost | Purpose::Tax => {
                totals.costs = subtract(totals.costs, signed)?;
                if given.purpose == Purpose::Tax {
                    totals.taxes = subtract(totals.taxes, signed)?;
                }
                Figure::Costs
            }
        };
        if !plan.missing.quantity.is_zero() {
            contribute(totals, plan.missing.amount)?;
        }
        if let Some(cash) = given.cash {
            balances.post(self, row.account, cash)?;
            let totals = balances.totals(self, cash.currency());
            match given.purpose {
                Purpose::Income => totals.income = add(totals.income, cash.amount())?,
                Purpose::Cost => totals.costs = subtract(totals.costs, cash.amount())?,
                Purpose::Tax => {
                    totals.costs = subtract(totals.costs, cash.amount())?;
                    totals.taxes = subtract(totals.taxes, cash.amount())?;
                }
            }
        }
        balances.charge(self, row.account, &given.charges)?;

        let sequence = row.meta.sequence;
        balances.write(self);
        let lots = stated.is_none().then(|| {
            let quantity = if incoming { plan.opened.quantity } else { -plan.opened.quantity };
            vec![Lot {
                opened: sequence,
                part: 0,
                acquired_at: posting.at,
                acquired_on: row.trade_date,
                quantity,
                basis: plan.opened.amount,
                basis_state: BasisState::Missing,
            }]
        });
        self.write(posting, &movement, &plan, lots);
        self.remember_price((row.account, given.instrument, currency), posting, price);
        if stated.is_none() {
            let reason = "gave or took units with neither value nor price";
            self.mark(currency, figure, sequence, reason);
            if !plan.closed.quantity.is_zero() {
                self.mark(currency, Figure::Realised, sequence, reason);
            }
            if !plan.opened.quantity.is_zero() {
                self.unknown_basis.push(UnknownBasis {
                    sequence,
                    account: row.account,
                    instrument: given.instrument,
                    quantity: given.quantity,
                    value_missing: true,
                });
            }
        }
        Ok(())
    }

    fn expiry(
        &mut self,
        posting: &Posting<'_>,
        instrument: InstrumentId,
        quantity: Option<Quantity>,
        charges: &[Money],
    ) -> Result<(), Fault> {
        let row = posting.row;
        let Some(((_, _, currency), holding)) = self.open_holding(row.account, instrument) else {
            return says(
                "none is held on that day, so that its direction cannot be told: history is missing",
            );
        };
        let quantity = quantity.map_or(holding.quantity.abs(), Quantity::get);
        if quantity <= Decimal::ZERO {
            return says("its quantity is not positive");
        }
        let movement = Movement {
            account: row.account,
            instrument,
            currency,
            multiplier: holding.multiplier,
            incoming: holding.quantity < Decimal::ZERO,
            quantity,
            amount: Decimal::ZERO,
            gross: Decimal::ZERO,
            charges: Decimal::ZERO,
            beyond: Beyond::Missing,
            realises: true,
            strategy: None,
        };
        let plan = self.plan(posting, &movement)?;
        let mut balances = Balances::default();
        let totals = balances.totals(self, currency);
        totals.realised = add(totals.realised, plan.realised)?;
        balances.charge(self, row.account, charges)?;
        balances.write(self);
        self.write(posting, &movement, &plan, None);
        Ok(())
    }

    fn split(&mut self, posting: &Posting<'_>, split: &Split) -> Result<(), Fault> {
        let row = posting.row;
        let Some((key, holding)) = self.open_holding(row.account, split.instrument) else {
            return says("none is held on that day, so that there is nothing to split: history is missing");
        };
        let (ratio, mut after) = split_of(holding.quantity, split)?;
        let applied = ratio;
        // A holding that nothing but splits has moved since its units were cut is split from what it was before.
        let before = holding
            .unrounded
            .as_deref()
            .filter(|before| before.lots_after == holding.lots && split.added.is_none())
            .and_then(|before| Some((before, combined(before.ratio, ratio)?)));
        let (ratio, held, mut lots, trip_sums, price_before) = match before {
            Some((before, ratio)) => {
                after = ratio.apply(before.quantity, QUOTIENT_SCALE)?;
                (ratio, before.quantity, before.lots.clone(), before.sums, before.last_price)
            }
            None => {
                let sums = holding.trip.as_ref().map(|trip| trip.sums);
                (ratio, holding.quantity, holding.lots.clone(), sums, holding.last_price)
            }
        };
        let scale = |quantity: Decimal| ratio.apply(quantity, QUOTIENT_SCALE);
        let (lots_before, sums_before) = (lots.clone(), trip_sums);
        let mut sum = Decimal::ZERO;
        let last = lots.len().saturating_sub(1);
        for (index, lot) in lots.iter_mut().enumerate() {
            lot.quantity = if index == last { subtract(after, sum)? } else { scale(lot.quantity)? };
            sum = add(sum, lot.quantity)?;
            if lot.quantity.is_zero() || (lot.quantity > Decimal::ZERO) != (after > Decimal::ZERO) {
                return says("it would leave nothing of a lot");
            }
        }
        let sums = match trip_sums {
            Some(sums) => Some(TripSums {
                quantity_max: scale(sums.quantity_max)?,
                entry_quantity: scale(sums.entry_quantity)?,
                exit_quantity: scale(sums.exit_quantity)?,
                ..sums
            }),
            None => None,
        };
        let last_price = match price_before {
            Some(last) => {
                Some(LastPrice { price: ratio.inverse().apply(last.price, QUOTIENT_SCALE)?, ..last })
            }
            None => None,
        };

        let is_cut = |before: Decimal, after: Decimal| {
            Ok::<_, ArithmeticError>(
                multiply(after, ratio.denominator())? != multiply(before, ratio.numerator())?,
            )
        };
        let mut cut = is_cut(held, after)?;
        for (before, after) in lots_before.iter().zip(&lots) {
            cut |= is_cut(before.quantity, after.quantity)?;
        }
        if let (Some(before), Some(after)) = (price_before, last_price) {
            cut |= is_cut(after.price, before.price)?;
        }
        let unrounded = (cut && split.added.is_none()).then(|| {
            Box::new(Unrounded {
                ratio,
                quantity: held,
                lots: lots_before,
                lots_after: lots.clone(),
                sums: sums_before,
                last_price: price_before,
            })
        });

        let holding = self.holdings.get_mut(&key).expect("it was found above");
        holding.quantity = after;
        holding.lots = lots;
        holding.last_price = last_price;
        holding.unrounded = unrounded;
        if let (Some(trip), Some(sums)) = (&mut holding.trip, sums) {
            trip.sums = sums;
        }
        holding.splits.push(AppliedSplit {
            at: row.meta.occurred_at,
            day: row.trade_date,
            phase: row.place.day_phase(),
            ratio: applied,
            sequence: row.meta.sequence,
        });
        Ok(())
    }

    fn transfer(&mut self, posting: &Posting<'_>, transfer: &Transfer) -> Result<(), Fault> {
        if transfer.internal {
            self.internal_transfer(posting, transfer)
        } else if transfer.quantity.get() > Decimal::ZERO {
            self.transfer_in(posting, transfer)
        } else {
            self.transfer_out(posting, transfer)
        }
    }

    /// The value of a transfer, where it can be known: as stated, else at the stated price.
    fn value_of(transfer: &Transfer, multiplier: Decimal) -> Result<Option<Decimal>, ArithmeticError> {
        Ok(match (transfer.value, transfer.price) {
            (Some(value), _) => Some(value.amount().abs()),
            (None, Some(price)) => {
                Some(multiply(multiply(transfer.quantity.get().abs(), price)?, multiplier)?)
            }
            (None, None) => None,
        })
    }

    fn currency_of(
        &self,
        account: AccountId,
        transfer: &Transfer,
        lots: &[ArrivedLot],
    ) -> Result<Currency, Fault> {
        let stated: Vec<Currency> = transfer
            .value
            .into_iter()
            .chain(lots.iter().filter_map(|lot| lot.basis))
            .map(Money::currency)
            .collect();
        if stated.windows(2).any(|pair| pair[0] != pair[1]) {
            return says(
                "its value and its basis are in different currencies, which is not accounted for yet",
            );
        }
        Ok(stated.first().copied().unwrap_or_else(|| {
            self.open_holding(account, transfer.instrument)
                .map_or(self.settings.base_currency, |((_, _, currency), _)| currency)
        }))
    }

    fn transfer_in(&mut self, posting: &Posting<'_>, transfer: &Transfer) -> Result<(), Fault> {
        let row = posting.row;
        let arrived = posting.supply.unwrap_or(&transfer.lots);
        let quantity = transfer.quantity.get();
        let mut sum = Decimal::ZERO;
        for lot in arrived {
            if lot.quantity.get() <= Decimal::ZERO {
                return says("one of its lots has no units");
            }
            sum = add(sum, lot.quantity.get())?;
        }
        if sum != quantity {
            return says(format!("its lots sum to {sum} units, not to {quantity}"));
        }
        let currency = self.currency_of(row.account, transfer, arrived)?;
        if let Some((_, holding)) = self.open_holding(row.account, transfer.instrument)
            && holding.quantity < Decimal::ZERO
        {
            return says("units that come in against a short position are not accounted for yet");
        }
        let value = Self::value_of(transfer, transfer.multiplier)?;

        let mut lots = Vec::with_capacity(arrived.len());
        let (mut basis_sum, mut gain, mut value_left, mut units_left) =
            (Decimal::ZERO, Decimal::ZERO, value.unwrap_or_default(), quantity);
        for (part, lot) in (0u32..).zip(arrived) {
            let worth = if lot.quantity.get() == units_left {
                value_left
            } else {
                multiply_divide(value_left, lot.quantity.get(), units_left, QUOTIENT_SCALE)?
            };
            value_left = subtract(value_left, worth)?;
            units_left = subtract(units_left, lot.quantity.get())?;
            let (basis, basis_state) = match (lot.basis, value) {
                (Some(basis), _) => (basis.amount().abs(), BasisState::Known),
                (None, Some(_)) => (worth, BasisState::Provisional),
                (None, None) => (Decimal::ZERO, BasisState::Missing),
            };
            basis_sum = add(basis_sum, basis)?;
            gain = add(gain, subtract(worth, basis)?)?;
            lots.push(Lot {
                opened: row.meta.sequence,
                part,
                acquired_at: lot.acquired.map_or(posting.at, |day| day.start_in(self.settings.zone)),
                acquired_on: lot.acquired.unwrap_or(row.trade_date),
                quantity: lot.quantity.get(),
                basis,
                basis_state,
            });
        }
        let movement = Movement {
            account: row.account,
            instrument: transfer.instrument,
            currency,
            multiplier: transfer.multiplier,
            incoming: true,
            quantity,
            amount: basis_sum,
            gross: basis_sum,
            charges: Decimal::ZERO,
            beyond: Beyond::Opens,
            realises: false,
            strategy: None,
        };
        let plan = self.plan(posting, &movement)?;
        let price = unit_price(value, transfer.price, quantity, transfer.multiplier)?;
        let mut balances = Balances::default();
        let totals = balances.totals(self, currency);
        if value.is_some() {
            contribute(totals, value.unwrap_or_default())?;
            totals.transferred_gain = add(totals.transferred_gain, gain)?;
        } else {
            // The books must balance inside; outside both figures are absent.
            contribute(totals, basis_sum)?;
            totals.flows_unknown += 1;
        }
        balances.charge(self, row.account, &transfer.charges)?;

        balances.write(self);
        let sequence = row.meta.sequence;
        for lot in lots.iter().filter(|lot| lot.basis_state != BasisState::Known) {
            self.unknown_basis.push(UnknownBasis {
                sequence,
                account: row.account,
                instrument: transfer.instrument,
                quantity: Quantity::new(lot.quantity),
                value_missing: lot.basis_state == BasisState::Missing,
            });
        }
        self.write(posting, &movement, &plan, Some(lots));
        if value.is_none() {
            self.mark_flow_unknown(currency, sequence);
        }
        self.remember_price((row.account, transfer.instrument, currency), posting, price);
        Ok(())
    }

    fn mark_flow_unknown(&mut self, currency: Currency, sequence: u64) {
        let reason = "moved securities across the portfolio's edge with no value and no price";
        self.mark(currency, Figure::NetContributions, sequence, reason);
        self.mark(currency, Figure::TransferredGain, sequence, reason);
    }

    fn transfer_out(&mut self, posting: &Posting<'_>, transfer: &Transfer) -> Result<(), Fault> {
        let row = posting.row;
        let open = self.open_holding(row.account, transfer.instrument);
        if open.is_some_and(|(_, holding)| holding.quantity < Decimal::ZERO) {
            return says("units that go out of a short position are not accounted for yet");
        }
        let multiplier = open.map_or(transfer.multiplier, |(_, holding)| holding.multiplier);
        let currency = match (open, transfer.value) {
            (Some(((_, _, currency), _)), Some(value)) if value.currency() != currency => {
                return says(format!(
                    "its value is in {} and its lots are in {currency}, which is not accounted for yet",
                    value.currency()
                ));
            }
            (Some(((_, _, currency), _)), _) => currency,
            (None, Some(value)) => value.currency(),
            (None, None) => self.settings.base_currency,
        };
        let value = Self::value_of(transfer, multiplier)?;
        let movement = Movement {
            account: row.account,
            instrument: transfer.instrument,
            currency,
            multiplier,
            incoming: false,
            quantity: transfer.quantity.get().abs(),
            amount: value.unwrap_or_default(),
            gross: value.unwrap_or_default(),
            charges: Decimal::ZERO,
            beyond: Beyond::Missing,
            realises: false,
            strategy: None,
        };
        let plan = self.plan(posting, &movement)?;
        let mut balances = Balances::default();
        let totals = balances.totals(self, currency);
        // What was missing came in and went out at one value: only the rest crosses the edge.
        let flow = if value.is_some() { plan.closed.amount } else { plan.relieved };
        contribute(totals, -flow)?;
        totals.transferred_gain = subtract(totals.transferred_gain, subtract(flow, plan.relieved)?)?;
        if value.is_none() && !plan.closed.quantity.is_zero() {
            totals.flows_unknown += 1;
        }
        balances.charge(self, row.account, &transfer.charges)?;

        balances.write(self);
        self.write(posting, &movement, &plan, None);
        if value.is_none() && !plan.closed.quantity.is_zero() {
            self.mark_flow_unknown(currency, row.meta.sequence);
        } else if plan.basis_missing {
            let reason = "moved out units whose basis and value are not known";
            self.mark(currency, Figure::TransferredGain, row.meta.sequence, reason);
        }
        Ok(())
    }

    /// Moves lots, basis and all, from one account of ours to another, once both legs are there.
    fn internal_transfer(&mut self, posting: &Posting<'_>, transfer: &Transfer) -> Result<(), Fault> {
        let row = posting.row;
        let group = match (&transfer.group, transfer.counter_account) {
            (Some(group), _) => group.as_str().to_owned(),
            (None, Some(other)) => {
                format!("{} {}", row.account.min(other), row.account.max(other))
            }
            (None, None) => {
                return says(
                    "it stays within the portfolio but names neither its group nor the other account",
                );
            }
        };
        let incoming = transfer.quantity.get() > Decimal::ZERO;
        let key = MoveKey {
            instrument: transfer.instrument,
            quantity: Quantity::new(transfer.quantity.get().abs()),
            group: group.into(),
        };
        let mut balances = Balances::default();
        balances.charge(self, row.account, &transfer.charges)?;
        let other = self.open_legs.get(&key).and_then(|legs| {
            legs.iter().position(|leg| leg.incoming != incoming && leg.account != row.account)
        });
        let Some(other) = other else {
            balances.write(self);
            self.open_legs.entry(key).or_default().push(OpenLeg {
                sequence: row.meta.sequence,
                event_type: row.event_type,
                account: row.account,
                day: row.trade_date,
                incoming,
            });
            return Ok(());
        };
        let other_account = self.open_legs[&key][other].account;
        let (from, to) = if incoming { (other_account, row.account) } else { (row.account, other_account) };
        let moves = row.effect.moves().expect("a transfer moves units");
        let lost = |state: &Self, account| {
            state.lost.get(&(account, transfer.instrument)).map(|lost| lost.unknown.clone())
        };
        // Units that come from a position that is not known, or go to one, leave neither side known.
        if let Some(unknown) = lost(self, from).or_else(|| lost(self, to)) {
            self.close_leg(&key, other);
            self.lose(from, &moves, &unknown);
            self.lose(to, &moves, &unknown);
            return says(POSITION_LOST);
        }
        match self.move_lots(posting, transfer.instrument, key.quantity.get(), from, to) {
            Err(Fault::Arithmetic(error)) => {
                self.close_leg(&key, other);
                self.lose(other_account, &moves, &Unknown::of(row, error));
                return Err(Fault::Arithmetic(error));
            }
            moved => moved?,
        }
        balances.write(self);
        self.close_leg(&key, other);
        Ok(())
    }

    fn close_leg(&mut self, key: &MoveKey, leg: usize) {
        if let Some(legs) = self.open_legs.get_mut(key) {
            legs.remove(leg);
            if legs.is_empty() {
                self.open_legs.remove(key);
            }
        }
    }

    fn move_lots(
        &mut self,
        posting: &Posting<'_>,
        instrument: InstrumentId,
        quantity: Decimal,
        from: AccountId,
        to: AccountId,
    ) -> Result<(), Fault> {
        let Some(((_, _, currency), source)) = self.open_holding(from, instrument) else {
            return says("the account that they leave holds none");
        };
        if source.quantity < quantity {
            return says(format!(
                "the account that they leave holds {} units, fewer than {quantity}",
                source.quantity
            ));
        }
        let multiplier = source.multiplier;
        let out = Movement {
            account: from,
            instrument,
            currency,
            multiplier,
            incoming: false,
            quantity,
            amount: Decimal::ZERO,
            gross: Decimal::ZERO,
            charges: Decimal::ZERO,
            beyond: Beyond::Missing,
            realises: false,
            strategy: None,
        };
        let mut plan_out = self.plan(posting, &out)?;
        if let Some(sums) = &mut plan_out.trip {
            sums.exit_value = add(sums.exit_value, plan_out.relieved)?;
        }
        let lots: Vec<Lot> = plan_out
            .reliefs
            .iter()
            .map(|relief| {
                let lot = &source.lots[relief.index];
                Lot { quantity: relief.quantity, basis: relief.basis, ..lot.clone() }
            })
            .collect();
        let last_price = source.last_price;
        if self.open_holding(to, instrument).is_some_and(|(_, holding)| holding.quantity < Decimal::ZERO) {
            return says("the account that they reach is short of them, which is not accounted for yet");
        }
        let arriving = Movement {
            account: to,
            incoming: true,
            amount: plan_out.relieved,
            gross: plan_out.relieved,
            beyond: Beyond::Opens,
            ..out
        };
        let plan_in = self.plan(posting, &arriving)?;
        let out = Movement { account: from, incoming: false, beyond: Beyond::Missing, ..arriving };
        self.write(posting, &out, &plan_out, None);
        let arriving = Movement { account: to, incoming: true, beyond: Beyond::Opens, ..out };
        self.write(posting, &arriving, &plan_in, Some(lots));
        let holding =
            self.holdings.get_mut(&(to, instrument, currency)).expect("the lots were written to it");
        holding.last_price = holding.last_price.or(last_price);
        Ok(())
    }
}

/// The price of one unit of the underlying: as stated, else what follows from the value.
fn unit_price(
    value: Option<Decimal>,
    price: Option<Decimal>,
    quantity: Decimal,
    multiplier: Decimal,
) -> Result<Option<Decimal>, ArithmeticError> {
    match (price, value) {
        (Some(price), _) => Ok(Some(price)),
        (None, Some(value)) => {
            let units = multiply(quantity, multiplier)?;
            multiply_divide(value, Decimal::ONE, units, QUOTIENT_SCALE).map(Some)
        }
        (None, None) => Ok(None),
    }
}

fn contribute(totals: &mut Totals, value: Decimal) -> Result<(), ArithmeticError> {
    if value.is_sign_negative() {
        totals.withdrawn = subtract(totals.withdrawn, value)?;
    } else {
        totals.contributed = add(totals.contributed, value)?;
    }
    Ok(())
}

/// The ratio of a split and the units after it.
/// Two splits after each other, as one.
fn combined(first: Ratio, second: Ratio) -> Option<Ratio> {
    let numerator = multiply(first.numerator(), second.numerator()).ok()?;
    let denominator = multiply(first.denominator(), second.denominator()).ok()?;
    Ratio::new(numerator, denominator).ok()
}

fn split_of(held: Decimal, split: &Split) -> Result<(Ratio, Decimal), Fault> {
    let stated = match split.added {
        Some(added) => Some(add(held, added.get())?),
        None => None,
    };
    match (split.ratio, stated) {
        (Some(ratio), None) => Ok((ratio, ratio.apply(held, QUOTIENT_SCALE)?)),
        (Some(ratio), Some(after)) => {
            let computed = ratio.apply(held, QUOTIENT_SCALE)?;
            // A fraction of a unit is paid out in cash; more than that is a contradiction.
            if subtract(computed, after)?.abs() < Decimal::ONE {
                Ok((ratio, after))
            } else {
                says(format!(
                    "its ratio {ratio} makes {computed} units of {held}, its added units make {after}"
                ))
            }
        }
        (None, Some(after)) => {
            let ratio =
                if held.is_sign_negative() { Ratio::new(-after, -held) } else { Ratio::new(after, held) };
            match ratio {
                Ok(ratio) => Ok((ratio, after)),
                Err(_) => says(format!("its added units would leave {after} of {held}")),
            }
        }
        (None, None) => says("it states neither a ratio nor the units added"),
    }
}

fn new_trip(posting: &Posting<'_>, movement: &Movement<'_>, long: bool) -> Box<Trip> {
    let row = posting.row;
    Box::new(Trip {
        id: row.meta.sequence,
        account: movement.account,
        instrument: movement.instrument,
        currency: movement.currency,
        multiplier: movement.multiplier,
        direction: if long { Direction::Long } else { Direction::Short },
        opened_at: row.meta.occurred_at,
        opened_on: row.trade_date,
        closed_at: None,
        closed_on: None,
        sums: TripSums::default(),
        fills: Vec::new(),
        strategy: movement.strategy.cloned(),
        transferred: false,
        incomplete: false,
    })
}

/// Takes relieved units out of the lots.
fn take_out(lots: &mut VecDeque<Lot>, reliefs: &[Relief]) {
    let mut used_up = Vec::new();
    for relief in reliefs {
        match relief.rest {
            Some((quantity, basis)) => {
                let lot = &mut lots[relief.index];
                lot.quantity = quantity;
                lot.basis = basis;
            }
            None => used_up.push(relief.index),
        }
    }
    used_up.sort_unstable();
    let (Some(first), Some(last)) = (used_up.first(), used_up.last()) else { return };
    let together = last - first + 1 == used_up.len();
    if together && *first == 0 {
        lots.drain(..used_up.len());
    } else if together && *last + 1 == lots.len() {
        lots.truncate(*first);
    } else {
        let mut index = 0;
        lots.retain(|_| {
            index += 1;
            used_up.binary_search(&(index - 1)).is_err()
        });
    }
}

/// Puts a lot among the others by acquisition; of equals the one that was folded first stands first.
fn put_in(lots: &mut VecDeque<Lot>, lot: Lot) {
    if lots.back().is_none_or(|last| last.acquired_at <= lot.acquired_at) {
        lots.push_back(lot);
    } else {
        let at = lots.partition_point(|known| known.acquired_at <= lot.acquired_at);
        lots.insert(at, lot);
    }
}
