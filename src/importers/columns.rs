//! The columns of a transaction: what each is called, and how an event is written in them.

use super::transaction::UNITS_ADDED;
use daybook_schemas::events::{
    AdjustmentKind, CashTransferKind, Charge, ChargeKind, DistributionKind, DividendKind, Effect, Entry,
    Event, ExchangeKind, FeeKind, IdentifierAssigned, IdentifierScheme, InKind, InterestKind,
    OptionSettlement, RewardKind, Scope, SecuritiesTransferKind, SecuritiesTransferred, Side, TaxKind,
    TradeExecuted,
};
use daybook_schemas::{
    AccountId, Currency, Day, FxRate, InstrumentId, KeyRing, Money, Multiplier, Quantity, Ratio, When,
    decimal,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

macro_rules! columns {
    ($($(#[$doc:meta])* $field:ident $column:ident = $name:literal;)*) => {
        /// A column of the generic CSV, which is a field of a transaction in the API.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub(crate) enum Column {
            $($(#[$doc])* $column,)*
        }

        impl Column {
            /// Every column, in the order in which they are written.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$column,)*];

            /// The name in a header, and of the field.
            #[must_use]
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$column => $name,)*
                }
            }
        }

        /// The fields of a transaction as texts, named as the columns of the generic CSV are.
        #[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct TransactionFields {
            $($(#[$doc])* #[serde(rename = $name, skip_serializing_if = "Option::is_none")] pub(crate) $field: Option<String>,)*
        }

        impl TransactionFields {
            /// The text of a column; absent where it is empty.
            #[must_use]
            pub(crate) fn get(&self, column: Column) -> Option<&str> {
                match column {
                    $(Column::$column => self.$field.as_deref(),)*
                }
            }

            /// Sets the text of a column.
            pub(crate) fn set(&mut self, column: Column, text: Option<String>) {
                match column {
                    $(Column::$column => self.$field = text,)*
                }
            }
        }
    };
}

columns! {
    /// When: RFC 3339, or a date.
    time Time = "time";
    /// What happened: `buy`, `sell`, `deposit`…
    kind_of Type = "type";
    /// The instrument's symbol.
    symbol Symbol = "symbol";
    /// Units, positive; of a split the ratio, new for old.
    quantity Quantity = "quantity";
    /// The price of one unit; of an exchange the units received for one given up.
    price Price = "price";
    /// The signed effect on cash, net of the fee.
    amount Amount = "amount";
    /// What was charged: positive is a charge, negative a rebate.
    fee Fee = "fee";
    /// The currency of price and amount.
    currency Currency = "currency";
    /// Units of the underlying in one unit.
    multiplier Multiplier = "multiplier";
    /// The row's id at its source.
    id Id = "id";
    /// The trader's way of trading.
    strategy Strategy = "strategy";
    /// The person's own words.
    note Note = "note";
    /// The account's label.
    account Account = "account";
    /// Whether a trade opens or closes a position: `open`, `close`.
    effect Effect = "effect";
    /// The day on which money and securities change hands.
    settle Settle = "settle";
    /// The fee's currency.
    fee_currency FeeCurrency = "fee_currency";
    /// Units of the base currency for one unit of the row's.
    fx_rate FxRate = "fx_rate";
    /// The instrument's ISIN.
    isin Isin = "isin";
    /// The venue, by market identifier code.
    mic Mic = "mic";
    /// The total basis; of a spin-off the share of the parent's basis.
    basis Basis = "basis";
    /// The day of acquisition.
    acquired Acquired = "acquired";
    /// What kind of its type it is.
    kind Kind = "kind";
    /// What the rows of one happening have in common.
    group Group = "group";
    /// The instrument that takes the place of `symbol`, or comes from it.
    to_symbol ToSymbol = "to_symbol";
}

/// The names behind the ids of an event.
pub(crate) trait Names {
    /// The instrument's symbol on a day.
    fn symbol(&self, id: InstrumentId, day: Day) -> Option<String>;
    /// The account's label; empty for the default account.
    fn account_label(&self, id: AccountId) -> Option<String>;
    /// The keys under which notes are sealed.
    fn keys(&self) -> &KeyRing;
}

/// Writes an event in the columns of the generic CSV; absent for an event that is no transaction.
///
/// Reading the columns again gives the same economics. What the columns have no room for is left out: the kinds of
/// several charges on one trade, lots, ex dates and periods, and what a note says once its key is erased.
#[must_use]
pub(crate) fn to_columns(event: &Event, names: &dyn Names) -> Option<TransactionFields> {
    let mut writing = Writing { fields: TransactionFields::default(), names };
    if let Event::IdentifierAssigned(assigned) = event {
        return writing.rename(assigned);
    }
    let entry = event.entry()?;
    writing.entry(entry);
    let day = entry.trade_date;
    match event {
        Event::TradeExecuted(event) => writing.trade(event),
        Event::CashTransferred(event) => {
            let incoming = event.amount.amount() >= Decimal::ZERO;
            let internal = event.scope == Scope::Internal;
            writing.kind_of(match (internal, incoming) {
                (false, true) => "deposit",
                (false, false) => "withdrawal",
                (true, true) => "transfer_in",
                (true, false) => "transfer_out",
            });
            let unstated = event.kind == CashTransferKind::Unstated;
            writing.kind(&event.kind, unstated, internal);
            writing.amount(event.amount);
            if !internal {
                writing.rate(event.fx_rate);
            }
        }
        Event::DividendPosted(event) => {
            writing.kind_of("dividend");
            writing.instrument(event.instrument, day);
            writing.put(Column::Quantity, event.quantity);
            writing.put(Column::Price, event.per_unit);
            let unstated = event.kind == DividendKind::Unstated && event.instrument.is_some();
            writing.kind(&event.kind, unstated, false);
            writing.net(event.amount, &event.charges);
            writing.rate(event.fx_rate);
        }
        Event::InterestPosted(event) => {
            writing.kind_of("interest");
            writing.instrument(event.instrument, day);
            writing.kind(&event.kind, event.kind == InterestKind::Unstated, false);
            writing.net(event.amount, &event.charges);
            writing.rate(event.fx_rate);
        }
        Event::RewardPosted(event) => {
            writing.kind_of("reward");
            writing.kind(&event.kind, event.kind == RewardKind::Unstated, false);
            match (&event.in_kind, event.amount) {
                (Some(units), _) => {
                    writing.in_kind(units, day);
                    writing.fee(&event.charges);
                }
                (None, Some(amount)) => writing.net(amount, &event.charges),
                (None, None) => {}
            }
            writing.rate(event.fx_rate);
        }
        Event::FeePosted(event) => {
            writing.kind_of("fee");
            writing.kind(&event.kind, event.kind == FeeKind::Unstated, false);
            writing.charge(event.instrument, event.in_kind.as_ref(), event.amount, day);
        }
        Event::TaxPosted(event) => {
            writing.kind_of("tax");
            writing.kind(&event.kind, event.kind == TaxKind::Unstated, false);
            writing.charge(event.instrument, event.in_kind.as_ref(), event.amount, day);
        }
        Event::CashAdjusted(event) => {
            writing.kind_of("adjustment");
            writing.kind(&event.kind, event.kind == AdjustmentKind::Unstated, false);
            writing.amount(event.amount);
        }
        Event::CurrencyConverted(event) => {
            writing.kind_of("convert");
            writing.put(Column::Quantity, Some(event.bought.amount()));
            writing.put(Column::Symbol, Some(event.bought.currency()));
            writing.net(event.sold, &event.charges);
            writing.charge_kind(&event.charges, &ChargeKind::Conversion);
            writing.rate(event.fx_rate);
        }
        Event::SecuritiesTransferred(event) => writing.transfer(event),
        Event::OptionSettled(event) => {
            writing.kind_of(match event.settlement {
                OptionSettlement::Exercised | OptionSettlement::Cash => "exercise",
                OptionSettlement::Assigned => "assign",
                OptionSettlement::Expired | OptionSettlement::Other(_) => "expire",
            });
            writing.instrument(Some(event.instrument), day);
            writing.put(Column::Quantity, event.quantity);
            match event.amount {
                Some(amount) => writing.net(amount, &event.charges),
                None => writing.fee(&event.charges),
            }
        }
        Event::SplitApplied(event) => {
            writing.kind_of("split");
            writing.instrument(Some(event.instrument), day);
            writing.put(Column::Quantity, event.ratio);
            if event.ratio.is_none() {
                writing.put(Column::Quantity, event.added);
                writing.put(Column::Kind, Some(UNITS_ADDED));
            }
        }
        Event::HoldingDistributed(event) => {
            writing.kind_of("spin_off");
            let spun_off = event.kind == DistributionKind::SpinOff && event.parent.is_some();
            writing.kind(&event.kind, spun_off, false);
            writing.instrument(event.parent, day);
            writing.put(Column::ToSymbol, writing.names.symbol(event.child, day));
            writing.put(Column::Quantity, Some(event.quantity));
            writing.put(Column::Price, event.price);
            writing.put(Column::Basis, event.basis_share);
        }
        Event::PositionExchanged(event) => {
            writing.kind_of("exchange");
            let counted = event.gave.as_ref().or(event.received.as_ref()).and_then(|leg| leg.quantity);
            let unstated = event.kind == ExchangeKind::Unstated && counted.is_some();
            writing.kind(&event.kind, unstated, false);
            writing.instrument(event.gave.as_ref().map(|leg| leg.instrument), day);
            let received = event.received.as_ref();
            writing.put(Column::ToSymbol, received.and_then(|leg| writing.names.symbol(leg.instrument, day)));
            writing.put(Column::Quantity, counted);
            if event.gave.is_some() && received.is_some() {
                let ratio = event.ratio.or_else(|| {
                    let (received, gave) = (received?.quantity?, event.gave.as_ref()?.quantity?);
                    Ratio::new(received.get(), gave.get()).ok()
                });
                writing.put(Column::Price, ratio);
            }
            if let Some(cash) = event.cash {
                writing.net(cash, &event.charges);
            }
        }
        Event::CashInLieuPaid(event) => {
            writing.kind_of("cash_in_lieu");
            writing.instrument(Some(event.instrument), day);
            writing.put(Column::Quantity, event.fraction);
            writing.amount(event.amount);
        }
        Event::CapitalReturned(event) => {
            writing.kind_of("return_of_capital");
            writing.instrument(Some(event.instrument), day);
            writing.amount(event.amount);
        }
        // `BasisSupplied` and `LotsSelected` speak of other transactions; the rest have no entry.
        _ => return None,
    }
    Some(writing.fields)
}

/// A row while it is written.
struct Writing<'n> {
    fields: TransactionFields,
    names: &'n dyn Names,
}

impl Writing<'_> {
    fn put(&mut self, column: Column, value: Option<impl ToString>) {
        self.fields.set(column, value.map(|value| value.to_string()).filter(|text| !text.is_empty()));
    }

    fn kind_of(&mut self, name: &str) {
        self.put(Column::Type, Some(name));
    }

    fn entry(&mut self, entry: &Entry) {
        self.put(
            Column::Time,
            Some(match entry.when {
                When::At(time) => time.to_string(),
                When::On { day, .. } => day.to_string(),
            }),
        );
        self.put(Column::Account, self.names.account_label(entry.account));
        self.put(Column::Settle, entry.settles_on);
        self.put(Column::Group, entry.group.as_ref());
        self.put(Column::Id, entry.external_id.as_ref());
        let note = entry.note.as_ref().and_then(|note| note.open(self.names.keys()).ok());
        self.put(Column::Note, note);
    }

    fn instrument(&mut self, instrument: Option<InstrumentId>, day: Day) {
        // An instrument without a symbol is shown by its id, so that no row seems to be about nothing.
        let symbol = instrument.map(|id| self.names.symbol(id, day).unwrap_or_else(|| id.to_string()));
        self.put(Column::Symbol, symbol);
    }

    fn kind(&mut self, kind: &impl ToString, is_default: bool, internal: bool) {
        let name = kind.to_string();
        let name = name.strip_prefix("other:").map(ToOwned::to_owned).unwrap_or(name);
        self.put(
            Column::Kind,
            match (internal, is_default) {
                (true, _) if name == "journal" => Some("internal".to_owned()),
                (true, _) => Some(format!("internal:{name}")),
                (false, true) => None,
                (false, false) => Some(name),
            },
        );
    }

    fn amount(&mut self, amount: Money) {
        self.put(Column::Amount, Some(amount.amount()));
        self.put(Column::Currency, Some(amount.currency()));
    }

    fn rate(&mut self, rate: Option<FxRate>) {
        self.put(Column::FxRate, rate);
    }

    /// An amount before charges as the columns have it: net of them, with their sum as the fee.
    fn net(&mut self, gross: Money, charges: &[Charge]) {
        let charged = sum_in(gross.currency(), charges);
        self.amount(gross);
        if let Ok(net) = decimal::subtract(gross.amount(), charged) {
            self.put(Column::Amount, Some(Quantity::new(net)));
        }
        self.put(Column::Fee, Some(charged).filter(|fee| !fee.is_zero()));
    }

    /// Charges that stand beside no amount.
    fn fee(&mut self, charges: &[Charge]) {
        let Some(currency) = charges.first().map(|charge| charge.amount.currency()) else { return };
        self.put(Column::Fee, Some(sum_in(currency, charges)).filter(|fee| !fee.is_zero()));
        self.put(Column::Currency, Some(currency));
    }

    /// The kind of the only charge, where it is not what a row without a kind has.
    fn charge_kind(&mut self, charges: &[Charge], default: &ChargeKind) {
        if let [charge] = charges {
            self.kind(&charge.kind, charge.kind == *default, false);
        }
    }

    fn in_kind(&mut self, units: &InKind, day: Day) {
        self.instrument(Some(units.instrument), day);
        let out = units.quantity.get() < Decimal::ZERO;
        self.put(Column::Quantity, Some(units.quantity.get().abs()));
        self.put(Column::Price, units.price);
        let value = units.value.or_else(|| {
            // Only the amount can say that units went out, so it is worked out where the price allows.
            let worth = decimal::multiply(units.quantity.get().abs(), units.price?.get()).ok()?;
            out.then(|| Money::new(worth, Currency::USD))
        });
        if let Some(value) = value {
            self.put(Column::Amount, Some(if out { -value.amount() } else { value.amount() }));
            self.put(Column::Currency, units.value.map(Money::currency));
        }
    }

    fn charge(
        &mut self,
        instrument: Option<InstrumentId>,
        in_kind: Option<&InKind>,
        amount: Option<Money>,
        day: Day,
    ) {
        match (in_kind, amount) {
            (Some(units), _) => self.in_kind(units, day),
            (None, Some(amount)) => {
                self.instrument(instrument, day);
                self.amount(amount);
            }
            (None, None) => self.instrument(instrument, day),
        }
    }

    fn trade(&mut self, trade: &TradeExecuted) {
        self.kind_of(if trade.side == Side::Buy { "buy" } else { "sell" });
        self.instrument(Some(trade.instrument), trade.entry.trade_date);
        self.put(Column::Quantity, Some(trade.quantity));
        self.put(Column::Price, trade.price);
        self.put(Column::Currency, Some(trade.currency));
        self.put(
            Column::Multiplier,
            Some(trade.multiplier).filter(|multiplier| *multiplier != Multiplier::ONE),
        );
        self.put(
            Column::Effect,
            match trade.effect {
                Effect::Open => Some("open"),
                Effect::Close => Some("close"),
                Effect::Unstated | Effect::Other(_) => None,
            },
        );
        self.put(Column::Strategy, trade.strategy.as_ref());
        self.put(Column::Mic, trade.venue.as_ref());
        self.rate(trade.fx_rate);
        let own = sum_in(trade.currency, &trade.charges);
        let foreign =
            trade.charges.iter().map(|charge| charge.amount.currency()).find(|code| *code != trade.currency);
        let mut amount = trade.net_amount.map(Money::amount);
        match foreign {
            None => self.put(Column::Fee, Some(own).filter(|fee| !fee.is_zero())),
            Some(currency) => {
                // One row has one fee: that in the trade's own currency goes into the amount.
                self.put(Column::Fee, Some(sum_in(currency, &trade.charges)));
                self.put(Column::FeeCurrency, Some(currency));
                if !own.is_zero() {
                    amount = amount.or_else(|| exact_amount(trade, own));
                }
            }
        }
        if trade.accrued_interest.is_some() {
            amount = amount.or_else(|| exact_amount(trade, own));
        }
        self.put(Column::Amount, amount.map(Quantity::new));
        self.charge_kind(&trade.charges, &ChargeKind::Unstated);
    }

    fn transfer(&mut self, transfer: &SecuritiesTransferred) {
        let day = transfer.entry.trade_date;
        let quantity = transfer.quantity.get();
        let incoming = quantity >= Decimal::ZERO;
        self.instrument(Some(transfer.instrument), day);
        if transfer.kind == SecuritiesTransferKind::Adjustment
            && transfer.value.is_none()
            && transfer.price.is_none()
        {
            self.kind_of("adjustment");
            self.put(Column::Quantity, Some(transfer.quantity));
            return;
        }
        let internal = transfer.scope == Scope::Internal;
        self.kind_of(if incoming { "transfer_in" } else { "transfer_out" });
        self.kind(&transfer.kind, transfer.kind == SecuritiesTransferKind::Unstated, internal);
        self.put(Column::Quantity, Some(quantity.abs()));
        self.put(Column::Price, transfer.price);
        self.fee(&transfer.charges);
        let basis = transfer.basis.or_else(|| {
            let mut parts = transfer.lots.iter().map(|lot| lot.basis);
            let first = parts.next()??;
            parts.try_fold(first, |sum, part| sum.checked_add(part?).ok())
        });
        self.put(Column::Basis, basis.map(Money::amount));
        self.put(Column::Acquired, transfer.acquired);
        let currency = transfer.value.or(basis).map(Money::currency);
        if currency.is_some() {
            self.put(Column::Currency, currency);
        }
        self.put(
            Column::Amount,
            transfer.value.map(|value| if incoming { value.amount() } else { -value.amount() }),
        );
    }

    fn rename(mut self, assigned: &IdentifierAssigned) -> Option<TransactionFields> {
        let from = assigned.from.filter(|_| assigned.scheme == IdentifierScheme::Symbol)?;
        self.kind_of("rename");
        self.put(Column::Time, Some(from));
        self.instrument(Some(assigned.instrument), from.plus_days(-1));
        self.put(Column::ToSymbol, Some(&assigned.value));
        Some(self.fields)
    }
}

/// The cash effect of a trade whose source states none: quantity × price, charges and accrued interest.
fn exact_amount(trade: &TradeExecuted, charged: Decimal) -> Option<Decimal> {
    let units = decimal::multiply(trade.quantity.get(), trade.multiplier.get()).ok()?;
    let gross = decimal::multiply(units, trade.price?.get()).ok()?;
    let accrued = trade.accrued_interest.map_or(Decimal::ZERO, Money::amount);
    let gross = decimal::add(gross, accrued).ok()?;
    decimal::subtract(if trade.side == Side::Buy { -gross } else { gross }, charged).ok()
}

/// What was charged in one currency.
fn sum_in(currency: Currency, charges: &[Charge]) -> Decimal {
    let own = charges.iter().filter(|charge| charge.amount.currency() == currency);
    own.fold(Decimal::ZERO, |sum, charge| decimal::add(sum, charge.amount.amount()).unwrap_or(sum))
}
