//! What a transaction comes to: the event of each type.

use super::content::Resolved;
use super::rules::Type;
use super::values::Values;
use super::{Reading, multiplier_of, worth};
use crate::importers::Resolution;
use crate::importers::columns::Column;
use crate::importers::desk::{Found, Sought};
use crate::importers::symbols::{self, Symbol};
use daybook_schemas::events::{
    AdjustmentKind, CapitalReturned, CashAdjusted, CashInLieuPaid, CashTransferKind, CashTransferred, Charge,
    ChargeKind, CurrencyConverted, DistributionKind, DividendKind, DividendPosted, Effect, Entry, Event,
    ExchangeKind, ExchangeLeg, FeeKind, FeePosted, HoldingDistributed, IdentifierAssigned, IdentifierScheme,
    InKind, InstrumentClass, InstrumentsMerged, InterestKind, InterestPosted, OptionSettled,
    OptionSettlement, PositionExchanged, RewardKind, RewardPosted, Scope, SecuritiesTransferKind,
    SecuritiesTransferred, Side, SplitApplied, TaxKind, TaxPosted, TradeExecuted,
};
use daybook_schemas::{
    AccountId, Currency, Day, ExternalId, Fraction, Group, InstrumentId, Money, Multiplier, Price, Quantity,
    Ratio, Sealed, Strategy, Timestamp, When, decimal,
};
use rust_decimal::Decimal;

/// What the events of a row share.
struct Base {
    entry: Entry,
    occurred_at: Timestamp,
    day: Day,
}

/// The events of a row; the text after each sets its identity apart from the first one's.
pub(super) type Events = Vec<(&'static str, Event)>;

impl Reading<'_, '_, '_> {
    fn base(&mut self, values: &Values, when: When) -> Option<Base> {
        let occurred_at = when.occurs(self.portfolio.zone);
        let day = when.day(self.portfolio.zone);
        let label = self.cells.get(Column::Account).unwrap_or_default();
        let account: AccountId = match self.desk.account(label, None, occurred_at, self.line) {
            Ok(account) => account,
            Err(text) => {
                self.fault(Column::Account, text);
                return None;
            }
        };
        let mut entry = Entry::new(account, when, day);
        entry.settles_on = values.settle;
        entry.group = self.cells.get(Column::Group).map(Group::new);
        entry.external_id = self.cells.get(Column::Id).map(ExternalId::new);
        if let Some(note) = self.cells.get(Column::Note) {
            match Sealed::seal(self.desk.context.keys(), self.portfolio.key, &note.to_owned()) {
                Ok(note) => entry.note = Some(note),
                Err(error) => self.fault(Column::Note, error.to_string()),
            }
        }
        Some(Base { entry, occurred_at, day })
    }

    /// The instrument of `symbol` or `to_symbol`.
    fn find(
        &mut self,
        column: Column,
        symbol: &Symbol,
        values: &Values,
        base: &Base,
        default_currency: Currency,
    ) -> Option<Found> {
        let main = column == Column::Symbol;
        let quoted =
            main && matches!(self.kind, Type::Buy | Type::Sell | Type::TransferIn | Type::TransferOut);
        let quote = match symbol.form {
            symbols::Form::Crypto { quote } => Some(quote),
            _ => None,
        };
        if let (Some(stated), Some(quote)) = (values.currency, quote)
            && quoted
            && stated != quote
        {
            self.fault(Column::Currency, format!("`{}` is quoted in {quote}, not in {stated}", symbol.text));
            return None;
        }
        let sought = Sought {
            symbol,
            isin: values.isin.as_deref().filter(|_| main),
            mic: values.mic.as_deref().filter(|_| main),
            currency: values.currency,
            quoted,
            default_currency,
            multiplier: values.multiplier.filter(|_| main),
            class: None,
            name: None,
            day: base.day,
            occurred_at: base.occurred_at,
            line: self.line,
        };
        match self.desk.instrument(&sought) {
            Ok(found) => {
                if let Some(warning) = &found.warning {
                    let column = if sought.isin.is_some() { Column::Isin } else { Column::Currency };
                    self.warn(column, warning.clone());
                }
                Some(found)
            }
            Err(unclear) => {
                let column = if unclear.multiplier { Column::Multiplier } else { column };
                self.fault(column, unclear.text);
                None
            }
        }
    }

    /// A kind by its name; what has no name is kept in its own words, and said.
    fn kind<T: std::fmt::Display>(
        &mut self,
        from_name: fn(&str) -> Option<T>,
        coded: &[T],
        other: fn(Box<str>) -> T,
    ) -> Option<T> {
        let text = self.cells.get(Column::Kind)?;
        let name = text.to_lowercase().replace([' ', '-'], "_");
        if let Some(kind) = from_name(&name) {
            return Some(kind);
        }
        let names: Vec<_> = coded.iter().map(ToString::to_string).collect();
        self.warn(
            Column::Kind,
            format!(
                "`{}` is no kind with a name (those are {}): it is kept in its own words",
                decimal::shorten(text),
                names.join(", ")
            ),
        );
        Some(other(text.into()))
    }

    fn charges(&mut self, fee: Option<Decimal>, currency: Currency, kind: ChargeKind) -> Vec<Charge> {
        let fee = fee.filter(|fee| !fee.is_zero());
        fee.map(|fee| Charge { kind, amount: Money::new(fee, currency) }).into_iter().collect()
    }

    fn sum(&mut self, column: Column, a: Decimal, b: Decimal) -> Option<Decimal> {
        self.exact(column, decimal::add(a, b))
    }

    fn exact(
        &mut self,
        column: Column,
        result: Result<Decimal, decimal::ArithmeticError>,
    ) -> Option<Decimal> {
        result.map_err(|error| self.fault(column, format!("{error}: write it with fewer digits"))).ok()
    }

    /// The hash of what the row says, and its events.
    pub(super) fn told(&mut self, values: &Values, when: When) -> Option<([u8; 32], Events)> {
        let base = self.base(values, when)?;
        if let Some(acquired) = values.acquired
            && acquired > base.day
        {
            self.fault(Column::Acquired, format!("{acquired} is after the transfer on {}", base.day));
        }
        if let Some(settle) = values.settle
            && settle < base.day
        {
            self.warn(Column::Settle, format!("{settle} is before {}, the day it happened", base.day));
        }
        if self.cells.get(Column::Strategy).is_some() && !matches!(self.kind, Type::Buy | Type::Sell) {
            self.warn(Column::Strategy, "a strategy is kept of a `buy` or `sell` only");
        }
        let found = match &values.symbol {
            Some(symbol) => {
                Some(self.find(Column::Symbol, symbol, values, &base, self.portfolio.base_currency)?)
            }
            None => None,
        };
        let listing = found.as_ref().map(|found| found.facts.currency);
        let currency = values.currency.or(listing).unwrap_or(self.portfolio.base_currency);
        let multiplier = found.as_ref().and_then(|found| found.contract).unwrap_or(Multiplier::ONE);
        let content = self.content(values, when, &Resolved { currency, multiplier });
        Some((content, self.events(values, base, currency, found)?))
    }

    fn events(
        &mut self,
        values: &Values,
        base: Base,
        currency: Currency,
        found: Option<Found>,
    ) -> Option<Events> {
        let instrument = found.as_ref().map(|found| found.id);
        match (self.kind, found) {
            (Type::Buy | Type::Sell, Some(found)) => self.trade(values, base, currency, &found),
            (Type::Deposit | Type::Withdrawal, _) => self.cash_transfer(values, base, currency),
            (Type::TransferIn | Type::TransferOut, None) => self.cash_transfer(values, base, currency),
            (Type::TransferIn | Type::TransferOut, Some(found)) => {
                self.transfer(values, base, currency, &found)
            }
            (Type::Dividend, _) => self.dividend(values, base, currency, instrument),
            (Type::Interest, _) => self.interest(values, base, currency, instrument),
            (Type::Reward, _) => self.reward(values, base, currency, instrument),
            (Type::Fee | Type::Tax, _) => self.fee(values, base, currency, instrument),
            (Type::Convert, _) => self.convert(values, base),
            (Type::Split, Some(found)) => one(SplitApplied {
                entry: base.entry,
                instrument: found.id,
                ratio: values.ratio,
                added: values.quantity.map(Quantity::new),
                price: None,
            }),
            (Type::ReturnOfCapital, Some(found)) => one(CapitalReturned {
                entry: base.entry,
                instrument: found.id,
                amount: Money::new(values.amount?, currency),
                quantity: None,
            }),
            (Type::CashInLieu, Some(found)) => one(CashInLieuPaid {
                entry: base.entry,
                instrument: found.id,
                fraction: values.quantity.map(Quantity::new),
                amount: Money::new(values.amount?, currency),
            }),
            (Type::SpinOff, found) => self.spin_off(values, base, found.as_ref()),
            (Type::Exchange, found) => self.exchange(values, base, currency, found.as_ref()),
            (Type::Rename, Some(found)) => self.rename(values, &base, &found),
            (Type::Expire | Type::Exercise | Type::Assign, Some(found)) => {
                self.settlement(values, base, currency, &found)
            }
            (Type::Adjustment, found) => self.adjustment(values, base, currency, found.as_ref()),
            // The columns were checked: a type that needs a symbol has one.
            (_, None) => None,
        }
    }

    fn trade(&mut self, values: &Values, base: Base, currency: Currency, found: &Found) -> Option<Events> {
        let quantity = values.quantity?;
        let multiplier = values.multiplier.or(found.facts.multiplier).unwrap_or(Multiplier::ONE);
        let side = if self.kind == Type::Buy { Side::Buy } else { Side::Sell };
        let kind = match values.fee {
            Some(_) => self.kind(ChargeKind::from_name, ChargeKind::CODED, ChargeKind::Other),
            None if self.cells.get(Column::Kind).is_some() => {
                self.warn(Column::Kind, "a trade's kind is that of its fee, and no `fee` is given");
                None
            }
            None => None,
        };
        let fee_currency = values.fee_currency.unwrap_or(currency);
        let charges = self.charges(values.fee, fee_currency, kind.unwrap_or(ChargeKind::Unstated));
        let included = values.fee.filter(|_| fee_currency == currency).unwrap_or_default();
        self.check_amount(values, quantity, multiplier, &side, currency, included);
        one(TradeExecuted {
            entry: base.entry,
            instrument: found.id,
            side,
            effect: values.effect.clone().unwrap_or(Effect::Unstated),
            quantity: Quantity::new(quantity),
            price: values.price.map(Price::new),
            currency,
            multiplier,
            net_amount: values.amount.map(|amount| Money::new(amount, currency)),
            charges,
            accrued_interest: None,
            order: None,
            execution: None,
            cumulative_quantity: None,
            lots: Vec::new(),
            strategy: self.cells.get(Column::Strategy).map(Strategy::new),
            plan: None,
            recommendation: None,
            venue: values.mic.as_deref().map(Into::into),
            fx_rate: values.fx_rate,
        })
    }

    /// The sign of a trade's amount, and whether it agrees with quantity × price within the price's rounding.
    fn check_amount(
        &mut self,
        values: &Values,
        quantity: Decimal,
        multiplier: Multiplier,
        side: &Side,
        currency: Currency,
        fee: Decimal,
    ) {
        let units = decimal::multiply(quantity, multiplier.get());
        let expected = values.price.map(|price| {
            let gross = worth(quantity, price, multiplier)?;
            decimal::subtract(if *side == Side::Buy { -gross } else { gross }, fee)
        });
        let expected = match expected.transpose() {
            Ok(expected) => expected,
            Err(_) => {
                if values.amount.is_none() {
                    let text = "quantity × price needs more than 28 digits: state `amount`, the effect on cash net of the fee";
                    self.fault(Column::Amount, text);
                }
                None
            }
        };
        let Some(amount) = values.amount else { return };
        let expected_sign = expected.is_some_and(|expected| sign(expected) == sign(amount));
        let right_sign = if *side == Side::Buy { amount < Decimal::ZERO } else { amount > Decimal::ZERO };
        if !right_sign && !expected_sign {
            let rule = match side {
                Side::Buy => "a buy takes cash out: `amount` must be less than 0",
                _ => "a sell brings cash in: `amount` must be greater than 0",
            };
            self.fault(Column::Amount, format!("{rule}, not {amount}"));
            return;
        }
        let Some(expected) = expected else { return };
        let written = self
            .cells
            .get(Column::Price)
            .and_then(|text| text.split_once('.'))
            .map_or(0, |(_, rest)| rest.len());
        let places = u32::try_from(written).unwrap_or(28).clamp(currency.places().min(28), 28);
        let half = |places: u32| decimal::from_parts(5, (places + 1).min(28));
        let slack = units
            .and_then(|units| decimal::multiply(units, half(places)?))
            .and_then(|slack| decimal::add(slack, half(currency.places())?));
        let off = decimal::subtract(amount, expected).map(|off| off.abs());
        if let (Ok(slack), Ok(off)) = (slack, off)
            && off > slack
        {
            self.warn(
                Column::Amount,
                format!("{amount} differs by {off} from {expected}, which quantity × price and fee come to: the amount stands"),
            );
        }
    }

    fn cash_transfer(&mut self, values: &Values, base: Base, currency: Currency) -> Option<Events> {
        let transfer = matches!(self.kind, Type::TransferIn | Type::TransferOut);
        let (scope, kind) = match self.internal().filter(|_| transfer) {
            Some(rest) => {
                (Scope::Internal, CashTransferKind::from_name(&rest).unwrap_or(CashTransferKind::Journal))
            }
            None => {
                let kind =
                    self.kind(CashTransferKind::from_name, CashTransferKind::CODED, CashTransferKind::Other);
                (Scope::External, kind.unwrap_or(CashTransferKind::Unstated))
            }
        };
        let fee = values.fee.filter(|fee| !fee.is_zero());
        let gross = self.sum(Column::Amount, values.amount?, fee.unwrap_or_default())?;
        let mut events = one(CashTransferred {
            entry: base.entry.clone(),
            scope,
            kind,
            amount: Money::new(gross, currency),
            counter_account: None,
            counterparty: None,
            fx_rate: values.fx_rate,
        })?;
        if let Some(fee) = fee {
            let fee = FeePosted {
                entry: base.entry,
                kind: FeeKind::Transfer,
                amount: Some(Money::new(-fee, currency)),
                in_kind: None,
                instrument: None,
                fx_rate: None,
            };
            events.push(("+fee", fee.into()));
        }
        Some(events)
    }

    /// What follows `internal` in `kind`: the transfer stays within the portfolio.
    fn internal(&self) -> Option<String> {
        let text = self.cells.get(Column::Kind)?.to_lowercase();
        let rest = text.strip_prefix("internal")?;
        (rest.is_empty() || rest.starts_with(':')).then(|| rest.trim_start_matches(':').to_owned())
    }

    fn transfer(&mut self, values: &Values, base: Base, currency: Currency, found: &Found) -> Option<Events> {
        let (scope, kind) = match self.internal() {
            Some(rest) => (
                Scope::Internal,
                SecuritiesTransferKind::from_name(&rest).unwrap_or(SecuritiesTransferKind::Journal),
            ),
            None => {
                let kind = self.kind(
                    SecuritiesTransferKind::from_name,
                    SecuritiesTransferKind::CODED,
                    SecuritiesTransferKind::Other,
                );
                (Scope::External, kind.unwrap_or(SecuritiesTransferKind::Unstated))
            }
        };
        let quantity = values.quantity?;
        let quantity = if self.kind == Type::TransferIn { quantity } else { -quantity };
        one(SecuritiesTransferred {
            entry: base.entry,
            scope,
            kind,
            instrument: found.id,
            quantity: Quantity::new(quantity),
            price: values.price.map(Price::new),
            multiplier: found.facts.multiplier.unwrap_or(Multiplier::ONE),
            value: values.amount.map(|value| Money::new(value.abs(), currency)),
            basis: values.basis.map(|basis| Money::new(basis, currency)),
            acquired: values.acquired,
            lots: Vec::new(),
            counter_account: None,
            counterparty: None,
            charges: self.charges(values.fee, currency, ChargeKind::Unstated),
            fx_rate: None,
        })
    }

    fn dividend(
        &mut self,
        values: &Values,
        base: Base,
        currency: Currency,
        instrument: Option<InstrumentId>,
    ) -> Option<Events> {
        let gross = self.sum(Column::Amount, values.amount?, values.fee.unwrap_or_default())?;
        let kind = self.kind(DividendKind::from_name, DividendKind::CODED, DividendKind::Other);
        one(DividendPosted {
            entry: base.entry,
            instrument,
            kind: kind.unwrap_or(DividendKind::Unstated),
            amount: Money::new(gross, currency),
            quantity: values.quantity.map(Quantity::new),
            per_unit: values.price.map(Price::new),
            ex_date: None,
            charges: self.charges(values.fee, currency, ChargeKind::Unstated),
            reinvested: false,
            fx_rate: values.fx_rate,
        })
    }

    fn interest(
        &mut self,
        values: &Values,
        base: Base,
        currency: Currency,
        instrument: Option<InstrumentId>,
    ) -> Option<Events> {
        for column in [Column::Quantity, Column::Price] {
            if self.cells.get(column).is_some() {
                self.warn(column, "of interest only the amount is kept");
            }
        }
        let gross = self.sum(Column::Amount, values.amount?, values.fee.unwrap_or_default())?;
        let kind = self.kind(InterestKind::from_name, InterestKind::CODED, InterestKind::Other);
        one(InterestPosted {
            entry: base.entry,
            kind: kind.unwrap_or(InterestKind::Unstated),
            instrument,
            amount: Money::new(gross, currency),
            period_from: None,
            period_to: None,
            charges: self.charges(values.fee, currency, ChargeKind::Unstated),
            fx_rate: values.fx_rate,
        })
    }

    /// Units in place of cash: `amount`, where stated, is what they were worth and says which way they went.
    fn in_kind(
        &self,
        values: &Values,
        instrument: InstrumentId,
        quantity: Decimal,
        currency: Currency,
    ) -> InKind {
        let out = values.amount.is_some_and(|amount| amount < Decimal::ZERO);
        InKind {
            instrument,
            quantity: Quantity::new(if out { -quantity } else { quantity }),
            price: values.price.map(Price::new),
            value: values.amount.map(|amount| Money::new(amount.abs(), currency)),
        }
    }

    fn reward(
        &mut self,
        values: &Values,
        base: Base,
        currency: Currency,
        instrument: Option<InstrumentId>,
    ) -> Option<Events> {
        let kind = self.kind(RewardKind::from_name, RewardKind::CODED, RewardKind::Other);
        let in_kind = match (values.quantity, instrument) {
            (Some(quantity), Some(instrument)) => Some(self.in_kind(values, instrument, quantity, currency)),
            _ => None,
        };
        let amount = match (&in_kind, values.amount) {
            (None, Some(amount)) => {
                if instrument.is_some() {
                    self.warn(Column::Symbol, "of a reward in cash the symbol is not kept");
                }
                let gross = self.sum(Column::Amount, amount, values.fee.unwrap_or_default())?;
                Some(Money::new(gross, currency))
            }
            _ => None,
        };
        one(RewardPosted {
            entry: base.entry,
            kind: kind.unwrap_or(RewardKind::Unstated),
            amount,
            in_kind,
            charges: self.charges(values.fee, currency, ChargeKind::Unstated),
            fx_rate: values.fx_rate,
        })
    }

    fn fee(
        &mut self,
        values: &Values,
        base: Base,
        currency: Currency,
        instrument: Option<InstrumentId>,
    ) -> Option<Events> {
        let in_kind = match (values.quantity, instrument) {
            (Some(quantity), Some(instrument)) => Some(self.in_kind(values, instrument, quantity, currency)),
            _ => None,
        };
        if in_kind.is_none() && self.cells.get(Column::Price).is_some() {
            self.warn(Column::Price, "of a charge in cash the price is not kept");
        }
        let amount = match &in_kind {
            Some(_) => None,
            None => values.amount.map(|amount| Money::new(amount, currency)),
        };
        if self.kind == Type::Fee {
            let kind =
                self.kind(FeeKind::from_name, FeeKind::CODED, FeeKind::Other).unwrap_or(FeeKind::Unstated);
            return one(FeePosted { entry: base.entry, kind, amount, in_kind, instrument, fx_rate: None });
        }
        let kind = self.kind(TaxKind::from_name, TaxKind::CODED, TaxKind::Other).unwrap_or(TaxKind::Unstated);
        one(TaxPosted { entry: base.entry, kind, amount, in_kind, instrument, country: None, fx_rate: None })
    }

    fn convert(&mut self, values: &Values, base: Base) -> Option<Events> {
        let bought = self.read(Column::Symbol, Currency::parse)?;
        let sold = values.currency?;
        if sold == bought {
            self.fault(Column::Symbol, format!("{sold} was sold and bought: the two currencies must differ"));
        }
        let gross = self.sum(Column::Amount, values.amount?, values.fee.unwrap_or_default())?;
        if gross >= Decimal::ZERO {
            self.fault(Column::Fee, "the fee is as great as the amount that was sold: correct one of them");
        }
        let kind = self.kind(ChargeKind::from_name, ChargeKind::CODED, ChargeKind::Other);
        one(CurrencyConverted {
            entry: base.entry,
            sold: Money::new(gross, sold),
            bought: Money::new(values.quantity?, bought),
            charges: self.charges(values.fee, sold, kind.unwrap_or(ChargeKind::Conversion)),
            fx_rate: values.fx_rate,
        })
    }

    fn spin_off(&mut self, values: &Values, base: Base, parent: Option<&Found>) -> Option<Events> {
        let symbol = values.to_symbol.as_ref()?;
        let currency = parent.map_or(self.portfolio.base_currency, |parent| parent.facts.currency);
        let child = self.find(Column::ToSymbol, symbol, values, &base, currency)?;
        let kind = self.kind(DistributionKind::from_name, DistributionKind::CODED, DistributionKind::Other);
        one(HoldingDistributed {
            entry: base.entry,
            kind: kind.unwrap_or(DistributionKind::SpinOff),
            parent: parent.map(|parent| parent.id),
            child: child.id,
            quantity: Quantity::new(values.quantity?),
            price: values.price.map(Price::new),
            basis_share: values.basis.map(Fraction::new),
        })
    }

    fn exchange(
        &mut self,
        values: &Values,
        base: Base,
        currency: Currency,
        gave: Option<&Found>,
    ) -> Option<Events> {
        let received = match &values.to_symbol {
            Some(symbol) => Some(self.find(Column::ToSymbol, symbol, values, &base, currency)?),
            None => None,
        };
        // What was received follows from the ratio; where that has no finite decimal, the ratio says it alone.
        let received_quantity = match (gave, values.ratio) {
            (None, _) => values.quantity,
            (Some(_), Some(ratio)) => values.quantity.and_then(|quantity| exactly(ratio, quantity)),
            (Some(_), None) => None,
        };
        let kind = self.kind(ExchangeKind::from_name, ExchangeKind::CODED, ExchangeKind::Other);
        one(PositionExchanged {
            entry: base.entry,
            kind: kind.unwrap_or(ExchangeKind::Unstated),
            gave: gave.map(|gave| ExchangeLeg {
                instrument: gave.id,
                quantity: values.quantity.map(Quantity::new),
            }),
            received: received.map(|received| ExchangeLeg {
                instrument: received.id,
                quantity: received_quantity.map(Quantity::new),
            }),
            ratio: values.ratio,
            cash: values.amount.filter(|amount| !amount.is_zero()).map(|amount| Money::new(amount, currency)),
            charges: Vec::new(),
        })
    }

    fn rename(&mut self, values: &Values, base: &Base, found: &Found) -> Option<Events> {
        let symbol = values.to_symbol.as_ref()?;
        if values.symbol.as_ref() == Some(symbol) {
            self.fault(Column::ToSymbol, "the new symbol is the old one");
            return None;
        }
        let mut events = one(IdentifierAssigned {
            instrument: found.id,
            scheme: IdentifierScheme::Symbol,
            value: symbol.text.as_str().into(),
            venue: None,
            from: Some(base.day),
            to: None,
        })?;
        let scheme = IdentifierScheme::Symbol;
        let other = self.desk.context.resolve(
            &scheme,
            &symbol.text,
            Some(base.day),
            Some(found.facts.currency),
            None,
        );
        if let Resolution::One(other) = other
            && other != found.id
        {
            // Somebody used the new symbol before anyone said that it is the old one's: the two are one.
            if self.desk.facts(other).is_none_or(|facts| !facts.provisional) {
                let text = format!(
                    "`{}` names another instrument on {} already: correct the day or the symbol",
                    symbol.text, base.day
                );
                self.fault(Column::ToSymbol, text);
                return None;
            }
            let reason = Some(format!("renamed to {}", symbol.text).into());
            events.push(("+merged", InstrumentsMerged { kept: found.id, merged: other, reason }.into()));
        }
        self.desk.call(found.id, symbol, found.facts.currency, base.day);
        Some(events)
    }

    fn settlement(
        &mut self,
        values: &Values,
        base: Base,
        currency: Currency,
        found: &Found,
    ) -> Option<Events> {
        if found.facts.class != InstrumentClass::Option {
            let symbol = values.symbol.as_ref().map_or("", |symbol| symbol.text.as_str());
            let text =
                format!("`{symbol}` is no option: write the option's symbol, such as AAPL240119C00150000");
            self.fault(Column::Symbol, text);
            return None;
        }
        let settlement = match self.kind {
            Type::Expire => OptionSettlement::Expired,
            Type::Exercise => OptionSettlement::Exercised,
            _ => OptionSettlement::Assigned,
        };
        if self.kind != Type::Expire && self.cells.get(Column::Group).is_none() {
            let name = self.kind.name();
            self.warn(
                Column::Group,
                format!("without a `group` nothing joins the `{name}` to its trade at the strike"),
            );
        }
        one(OptionSettled {
            entry: base.entry,
            settlement,
            instrument: found.id,
            quantity: values.quantity.map(Quantity::new),
            amount: None,
            charges: self.charges(values.fee, currency, ChargeKind::Unstated),
        })
    }

    fn adjustment(
        &mut self,
        values: &Values,
        base: Base,
        currency: Currency,
        found: Option<&Found>,
    ) -> Option<Events> {
        let mut events = Vec::new();
        if let Some(amount) = values.amount {
            let kind = self.kind(AdjustmentKind::from_name, AdjustmentKind::CODED, AdjustmentKind::Other);
            let kind = kind.unwrap_or(AdjustmentKind::Unstated);
            let adjusted =
                CashAdjusted { entry: base.entry.clone(), kind, amount: Money::new(amount, currency) };
            events.push(("", adjusted.into()));
        }
        if let (Some(found), Some(quantity)) = (found, values.quantity) {
            let transferred = SecuritiesTransferred {
                entry: base.entry,
                scope: Scope::External,
                kind: SecuritiesTransferKind::Adjustment,
                instrument: found.id,
                quantity: Quantity::new(quantity),
                price: None,
                multiplier: multiplier_of(&found.facts),
                value: None,
                basis: None,
                acquired: None,
                lots: Vec::new(),
                counter_account: None,
                counterparty: None,
                charges: Vec::new(),
                fx_rate: None,
            };
            events.push((if events.is_empty() { "" } else { "+units" }, transferred.into()));
        }
        Some(events)
    }
}
fn one(event: impl Into<Event>) -> Option<Events> {
    Some(vec![("", event.into())])
}

fn sign(value: Decimal) -> i8 {
    i8::from(value > Decimal::ZERO) - i8::from(value < Decimal::ZERO)
}

/// `quantity` times the ratio, where that is a finite decimal.
fn exactly(ratio: Ratio, quantity: Decimal) -> Option<Decimal> {
    let product = decimal::multiply(quantity, ratio.numerator()).ok()?;
    let cut = decimal::divide(product, ratio.denominator(), decimal::QUOTIENT_SCALE).ok()?;
    (decimal::multiply(cut, ratio.denominator()).ok()? == product).then_some(cut)
}
