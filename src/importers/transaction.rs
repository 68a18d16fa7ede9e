//! From the columns of one transaction to its events: what each type takes, with which signs, and what it becomes.

use super::columns::{Column, TransactionFields};
use super::desk::{Desk, Found, Sought};
use super::symbols::{self, Symbol};
use super::{Context, Draft, FieldFault, InstrumentFacts, PortfolioFacts, Role, identity};
use daybook_schemas::events::{
    AdjustmentKind, CapitalReturned, CashAdjusted, CashInLieuPaid, CashTransferKind, CashTransferred, Charge,
    ChargeKind, CurrencyConverted, DistributionKind, DividendKind, DividendPosted, Effect, Entry, Event,
    ExchangeKind, ExchangeLeg, FeeKind, FeePosted, HoldingDistributed, IdentifierAssigned, IdentifierScheme,
    InKind, InstrumentClass, InstrumentsMerged, InterestKind, InterestPosted, OptionSettled,
    OptionSettlement, PositionExchanged, RewardKind, RewardPosted, Scope, SecuritiesTransferKind,
    SecuritiesTransferred, Side, SplitApplied, TaxKind, TaxPosted, TradeExecuted,
};
use daybook_schemas::{
    AccountId, Currency, Day, ExternalId, Fraction, FxRate, Group, InstrumentId, Money, Multiplier, Phase,
    Price, Quantity, Ratio, Sealed, Strategy, Timestamp, When, decimal, stream,
};
use rust_decimal::Decimal;

/// The most bytes of a note.
const NOTE_BYTES_MAX: usize = 16_384;
/// The most bytes of any other text.
const TEXT_BYTES_MAX: usize = 512;

/// Where a transaction stands among others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// The line on which it begins; 0 for a transaction that is in no file.
    pub line: u64,
    /// Its order among the rows without a time of the same day and phase, from 0.
    pub rank: u32,
    /// Its number among equal rows, from 0. Absent outside files, where a transaction without an `id` is a new one each time.
    pub ordinal: Option<u64>,
}

/// What a transaction comes to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Recorded {
    /// The events: references before the entries that need them.
    pub drafts: Vec<Draft>,
    /// What its owner should know.
    pub warnings: Vec<FieldFault>,
}

/// Reads one transaction, by the same rules as a row of the generic CSV.
///
/// # Errors
/// Every fault that was found, by field.
pub fn transaction(
    fields: &TransactionFields,
    portfolio: &PortfolioFacts,
    context: &dyn Context,
    place: Place,
) -> Result<Recorded, Vec<FieldFault>> {
    if !context.keys().contains(portfolio.key) {
        let text = format!("the key {} is not in the key file, so nothing can be sealed", portfolio.key);
        return Err(vec![FieldFault::new(Column::Account.name(), text)]);
    }
    let mut cells = Cells::default();
    for column in Column::ALL {
        cells.set(*column, fields.get(*column).unwrap_or_default());
    }
    let mut desk = Desk::new(context, Some(portfolio), None);
    record(&cells, place, portfolio, &mut desk)
}

/// The texts of one row by column, without the space around them.
#[derive(Clone, Copy, Default)]
pub(super) struct Cells<'a>([&'a str; Column::ALL.len()]);

impl<'a> Cells<'a> {
    pub(super) fn set(&mut self, column: Column, text: &'a str) {
        self.0[column as usize] = text.trim();
    }

    /// The text of a column that is not empty.
    pub(super) fn get(&self, column: Column) -> Option<&'a str> {
        Some(self.0[column as usize]).filter(|text| !text.is_empty())
    }
}

macro_rules! types {
    ($($variant:ident = $name:literal;)*) => {
        /// What happened, as the column `type` says.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Type {
            $($variant,)*
        }

        impl Type {
            pub(super) const NAMES: &'static [&'static str] = &[$($name,)*];

            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            pub(super) fn parse(text: &str) -> Result<Self, String> {
                match text.to_ascii_lowercase().as_str() {
                    $($name => Ok(Self::$variant),)*
                    _ => {
                        let meant = super::nearest::of(text, Self::NAMES);
                        let meant = meant.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
                        let text = decimal::shorten(text);
                        Err(format!("`{text}` is not a type{meant}: write one of {}", Self::NAMES.join(", ")))
                    }
                }
            }
        }
    };
}

types! {
    Buy = "buy";
    Sell = "sell";
    Deposit = "deposit";
    Withdrawal = "withdrawal";
    Dividend = "dividend";
    Interest = "interest";
    Fee = "fee";
    Tax = "tax";
    Split = "split";
    TransferIn = "transfer_in";
    TransferOut = "transfer_out";
    Convert = "convert";
    Reward = "reward";
    ReturnOfCapital = "return_of_capital";
    CashInLieu = "cash_in_lieu";
    SpinOff = "spin_off";
    Exchange = "exchange";
    Rename = "rename";
    Expire = "expire";
    Exercise = "exercise";
    Assign = "assign";
    Adjustment = "adjustment";
}

impl Type {
    /// The columns that a row of this type must fill, and those that it may.
    const fn takes(self) -> (&'static [Column], &'static [Column]) {
        use Column::*;
        match self {
            Self::Buy | Self::Sell => (
                &[Symbol, Quantity],
                &[Price, Amount, Fee, Currency, Multiplier, Effect, FeeCurrency, FxRate],
            ),
            Self::Deposit | Self::Withdrawal => (&[Amount], &[Currency, FxRate]),
            Self::Dividend => (&[Symbol, Amount], &[Quantity, Price, Fee, Currency, FxRate]),
            Self::Interest => (&[Amount], &[Symbol, Quantity, Price, Fee, Currency, FxRate]),
            Self::Reward => (&[], &[Symbol, Quantity, Price, Amount, Fee, Currency, FxRate]),
            Self::Fee | Self::Tax => (&[Amount], &[Symbol, Quantity, Price, Currency]),
            Self::Split => (&[Symbol, Quantity], &[]),
            Self::TransferIn | Self::TransferOut => {
                (&[], &[Symbol, Quantity, Price, Amount, Fee, Currency, Basis, Acquired])
            }
            Self::Convert => (&[Symbol, Quantity, Amount, Currency], &[Fee, FxRate]),
            Self::ReturnOfCapital => (&[Symbol, Amount], &[Currency]),
            Self::CashInLieu => (&[Symbol, Amount], &[Quantity, Currency]),
            Self::SpinOff => (&[Symbol, Quantity, ToSymbol], &[Price, Currency, Basis]),
            Self::Exchange => (&[Quantity], &[Symbol, Amount, Currency, ToSymbol, Price]),
            Self::Rename => (&[Symbol, ToSymbol], &[]),
            Self::Expire | Self::Exercise | Self::Assign => (&[Symbol, Quantity], &[Fee, Currency]),
            Self::Adjustment => (&[Note], &[Symbol, Quantity, Amount, Currency]),
        }
    }

    /// Where in its day a row without a time of day counts.
    pub(super) const fn phase(self) -> Phase {
        match self {
            Self::Split | Self::Exchange => Phase::Open,
            _ => Phase::Close,
        }
    }
}

/// Columns that every type takes.
const ALWAYS: &[Column] = &[
    Column::Time,
    Column::Type,
    Column::Account,
    Column::Id,
    Column::Strategy,
    Column::Note,
    Column::Group,
    Column::Kind,
    Column::Settle,
    Column::Isin,
    Column::Mic,
];

/// Columns that say nothing of what happened economically, so that a row is the same row when they change.
const UNECONOMIC: &[Column] = &[Column::Id, Column::Note, Column::Strategy, Column::Kind, Column::Group];

/// When a row says that it happened: an instant, or a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stated {
    At(Timestamp),
    On(Day),
}

impl Stated {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() == 10 {
            return Day::parse(text).map(Self::On).map_err(|error| error.to_string());
        }
        Timestamp::parse(text).map(Self::At).map_err(|error| error.to_string())
    }

    pub(super) fn day(self, portfolio: &PortfolioFacts) -> Day {
        match self {
            Self::At(time) => time.day_in(portfolio.zone),
            Self::On(day) => day,
        }
    }
}

/// The hash of a row's economic columns, each in its normal form: the same whatever the order of the columns, the
/// number of zeros after the point and the case of codes.
pub(super) fn content(cells: &Cells<'_>) -> [u8; 32] {
    let normal: Vec<(&str, String)> = Column::ALL
        .iter()
        .filter(|column| !UNECONOMIC.contains(column))
        .filter_map(|column| Some((column.name(), normal(*column, cells.get(*column)?))))
        .collect();
    identity::content(normal.iter().map(|(name, text)| (*name, text.as_str())))
}

fn normal(column: Column, text: &str) -> String {
    let read = match column {
        Column::Time => Timestamp::parse(text).ok().map(|time| time.to_string()),
        Column::Symbol | Column::ToSymbol => symbols::read(text).ok().map(|symbol| symbol.text),
        Column::Type | Column::Effect => Some(text.to_ascii_lowercase()),
        Column::Currency | Column::FeeCurrency | Column::Isin | Column::Mic => {
            Some(text.to_ascii_uppercase())
        }
        Column::Quantity | Column::Price if text.contains([':', '/']) => {
            Ratio::parse(text).ok().map(|ratio| ratio.to_string())
        }
        Column::Quantity
        | Column::Price
        | Column::Amount
        | Column::Fee
        | Column::Multiplier
        | Column::FxRate
        | Column::Basis => decimal::parse(text).ok().map(|value| Quantity::new(value).to_string()),
        _ => None,
    };
    read.unwrap_or_else(|| text.to_owned())
}

/// A row as it is read: faults are collected, so that its owner sees all of them at once.
struct Reading<'a, 'd, 'c> {
    kind: Type,
    cells: &'a Cells<'a>,
    portfolio: &'a PortfolioFacts,
    desk: &'d mut Desk<'c>,
    faults: Vec<FieldFault>,
    warnings: Vec<FieldFault>,
    line: u64,
}

/// Reads one row with what the rows before it added.
pub(super) fn record(
    cells: &Cells<'_>,
    place: Place,
    portfolio: &PortfolioFacts,
    desk: &mut Desk<'_>,
) -> Result<Recorded, Vec<FieldFault>> {
    let mut faults = Vec::new();
    let stated = match cells.get(Column::Time) {
        None => Err("every row needs a time: RFC 3339 or a date".to_owned()),
        Some(text) => Stated::parse(text),
    };
    let stated = stated.map_err(|text| faults.push(FieldFault::new(Column::Time.name(), text))).ok();
    let kind = match cells.get(Column::Type) {
        None => Err(format!("every row needs a type: one of {}", Type::NAMES.join(", "))),
        Some(text) => Type::parse(text),
    };
    let kind = kind.map_err(|text| faults.push(FieldFault::new(Column::Type.name(), text))).ok();
    let (Some(kind), stated) = (kind, stated) else { return Err(faults) };
    let mut reading =
        Reading { kind, cells, portfolio, desk, faults, warnings: Vec::new(), line: place.line };
    reading.check_columns();
    let values = reading.values();
    let Some(stated) = stated.filter(|_| reading.faults.is_empty()) else { return Err(reading.faults) };
    let when = match stated {
        Stated::At(time) => When::At(time),
        Stated::On(day) => When::On { day, phase: kind.phase(), rank: place.rank },
    };
    let content = content(cells);
    let identity = match (cells.get(Column::Id), place.ordinal) {
        (Some(id), _) => Some(identity::of_id(id)),
        (None, Some(ordinal)) => Some(identity::of_content(&content, ordinal)),
        (None, None) => None,
    };
    let events = reading.events(&values, when);
    let mut drafts = reading.desk.take_drafts();
    let (faults, warnings) = (reading.faults, reading.warnings);
    let Some(events) = events.filter(|_| faults.is_empty()) else { return Err(faults) };
    for (suffix, event) in events {
        let stream = match &event {
            Event::IdentifierAssigned(assigned) => stream::instrument(assigned.instrument),
            Event::InstrumentsMerged(merged) => stream::instrument(merged.kept),
            _ => stream::portfolio(portfolio.id),
        };
        drafts.push(Draft {
            event,
            stream,
            occurred_at: when.occurs(portfolio.zone),
            identity: identity.as_ref().map(|identity| format!("csv:{}:{identity}{suffix}", portfolio.id)),
            content_hash: content,
            line: place.line,
            role: Role::Entry,
        });
    }
    Ok(Recorded { drafts, warnings })
}

/// The typed values of a row; which of them are there, its type has decided.
#[derive(Default)]
struct Values {
    quantity: Option<Decimal>,
    price: Option<Decimal>,
    ratio: Option<Ratio>,
    amount: Option<Decimal>,
    fee: Option<Decimal>,
    currency: Option<Currency>,
    fee_currency: Option<Currency>,
    multiplier: Option<Multiplier>,
    fx_rate: Option<FxRate>,
    basis: Option<Decimal>,
    acquired: Option<Day>,
    effect: Option<Effect>,
    symbol: Option<Symbol>,
    to_symbol: Option<Symbol>,
    isin: Option<String>,
    mic: Option<String>,
    settle: Option<Day>,
}

/// What the events of a row share.
struct Base {
    entry: Entry,
    occurred_at: Timestamp,
    day: Day,
}

/// The events of a row; the text after each sets its identity apart from the first one's.
type Events = Vec<(&'static str, Event)>;

impl Reading<'_, '_, '_> {
    fn fault(&mut self, column: Column, text: impl Into<String>) {
        self.faults.push(FieldFault::new(column.name(), text));
    }

    fn warn(&mut self, column: Column, text: impl Into<String>) {
        self.warnings.push(FieldFault::new(column.name(), text));
    }

    fn check_columns(&mut self) {
        let name = self.kind.name();
        let (required, optional) = self.kind.takes();
        for column in Column::ALL {
            let filled = self.cells.get(*column).is_some();
            let taken = required.contains(column) || optional.contains(column) || ALWAYS.contains(column);
            if filled && !taken {
                self.fault(*column, format!("a `{name}` row takes no `{}`: leave it empty", column.name()));
            } else if !filled && required.contains(column) {
                let what = self.meaning(*column);
                self.fault(*column, format!("a `{name}` row needs `{}`: {what}", column.name()));
            }
        }
        let has = |column| self.cells.get(column).is_some();
        let mut missing = Vec::new();
        let mut refused = Vec::new();
        match self.kind {
            Type::Buy | Type::Sell if !has(Column::Price) && !has(Column::Amount) => {
                missing.push((Column::Price, "`price`, or `amount`, the cash effect net of the fee"));
            }
            Type::Reward if !has(Column::Quantity) && !has(Column::Amount) => {
                missing.push((
                    Column::Amount,
                    "`amount` for a reward in cash, or `symbol` and `quantity` in kind",
                ));
            }
            Type::Reward | Type::Fee | Type::Tax if has(Column::Quantity) && !has(Column::Symbol) => {
                missing.push((Column::Symbol, "`symbol` where `quantity` says that it is in kind"));
            }
            Type::TransferIn | Type::TransferOut if has(Column::Symbol) && !has(Column::Quantity) => {
                missing.push((Column::Quantity, "`quantity`, the units of `symbol` transferred"));
            }
            Type::TransferIn | Type::TransferOut if !has(Column::Symbol) => {
                if !has(Column::Amount) {
                    missing.push((
                        Column::Amount,
                        "`amount` for cash, or `symbol` and `quantity` for securities",
                    ));
                }
                for column in [Column::Quantity, Column::Price, Column::Basis, Column::Acquired] {
                    if has(column) {
                        refused.push((column, "no `symbol` says what was transferred, so it is cash"));
                    }
                }
            }
            Type::Exchange if !(has(Column::Symbol) || has(Column::ToSymbol) && has(Column::Group)) => {
                missing.push((
                    Column::Symbol,
                    "`symbol`, what was given up (or `to_symbol` and `group`, where that is another row)",
                ));
            }
            Type::Exchange if has(Column::Symbol) && has(Column::ToSymbol) != has(Column::Price) => {
                missing.push(if has(Column::Price) {
                    (
                        Column::ToSymbol,
                        "`to_symbol`, of which `price` says how many units came for one given up",
                    )
                } else {
                    (
                        Column::Price,
                        "`price`, the units of `to_symbol` received for one given up, such as 1:3",
                    )
                });
            }
            Type::Exchange if !has(Column::Symbol) && has(Column::Price) => {
                refused.push((
                    Column::Price,
                    "`quantity` is what was received, and `symbol` does not say for what",
                ));
            }
            Type::Adjustment => {
                if !has(Column::Amount) && !has(Column::Quantity) {
                    missing.push((
                        Column::Amount,
                        "`amount` for cash, or `symbol` and `quantity` for securities",
                    ));
                }
                if has(Column::Quantity) != has(Column::Symbol) {
                    missing.push(if has(Column::Symbol) {
                        (Column::Quantity, "`quantity`, the units of `symbol` that came (or went, negative)")
                    } else {
                        (Column::Symbol, "`symbol`, of which `quantity` units came or went")
                    });
                }
            }
            _ => {}
        }
        if has(Column::FeeCurrency) && !has(Column::Fee) {
            refused.push((Column::FeeCurrency, "no `fee` is given"));
        }
        for (column, what) in missing {
            self.fault(column, format!("a `{name}` row needs {what}"));
        }
        for (column, why) in refused {
            self.fault(column, format!("{why}: leave `{}` empty", column.name()));
        }
    }

    /// What a required column is to hold, for the message that it is missing.
    const fn meaning(&self, column: Column) -> &'static str {
        match (self.kind, column) {
            (Type::Deposit, Column::Amount) => "the cash that came in, greater than 0",
            (Type::Withdrawal, Column::Amount) => "the cash that went out, less than 0",
            (Type::Fee | Type::Tax, Column::Amount) => {
                "less than 0 for a charge, greater than 0 for a rebate"
            }
            (Type::Convert, Column::Amount) => "the cash that was sold, less than 0",
            (Type::Convert, Column::Quantity) => "the cash that was bought, greater than 0",
            (Type::Convert, Column::Symbol) => "the currency that was bought",
            (Type::Convert, Column::Currency) => "the currency that was sold",
            (_, Column::Amount) => "the signed effect on cash",
            (Type::Split, Column::Quantity) => "the ratio new for old, such as 7, 1/3 or 1:3",
            (Type::SpinOff, Column::Quantity) => "the units of `to_symbol` that came",
            (Type::SpinOff, Column::ToSymbol) => "the instrument that was spun off",
            (Type::Rename, Column::ToSymbol) => "the new symbol",
            (Type::Expire | Type::Exercise | Type::Assign, Column::Symbol) => {
                "the option's symbol, such as AAPL240119C00150000"
            }
            (Type::Expire | Type::Exercise | Type::Assign, Column::Quantity) => {
                "the contracts, greater than 0"
            }
            (_, Column::Quantity) => "the units, greater than 0",
            (_, Column::Symbol) => "the instrument's symbol",
            (_, Column::Note) => "why the books were adjusted",
            _ => "fill it in",
        }
    }

    fn read<T>(&mut self, column: Column, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match parse(self.cells.get(column)?) {
            Ok(value) => Some(value),
            Err(text) => {
                self.fault(column, text);
                None
            }
        }
    }

    /// A number greater than zero.
    fn positive(&mut self, column: Column) -> Option<Decimal> {
        let name = column.name();
        self.read(column, |text| {
            let value = decimal::parse(text)?;
            if value > Decimal::ZERO {
                return Ok(value);
            }
            Err(format!("`{name}` must be greater than 0, not {value}: the type says which way it goes"))
        })
    }

    /// A number that is not negative.
    fn not_negative(&mut self, column: Column) -> Option<Decimal> {
        let name = column.name();
        self.read(column, |text| {
            let value = decimal::parse(text)?;
            if value >= Decimal::ZERO {
                Ok(value)
            } else {
                Err(format!("`{name}` must not be negative, not {value}"))
            }
        })
    }

    fn values(&mut self) -> Values {
        let mut values = Values::default();
        match self.kind {
            Type::Split => values.ratio = self.read(Column::Quantity, Ratio::parse),
            Type::Adjustment => {
                values.quantity = self.read(Column::Quantity, |text| {
                    let value = decimal::parse(text)?;
                    if value.is_zero() {
                        Err("an adjustment by 0 units adjusts nothing".to_owned())
                    } else {
                        Ok(value)
                    }
                });
            }
            _ => values.quantity = self.positive(Column::Quantity),
        }
        if self.kind == Type::Exchange {
            values.ratio = self.read(Column::Price, Ratio::parse);
        } else {
            values.price = self.not_negative(Column::Price);
        }
        values.amount = self.read(Column::Amount, decimal::parse);
        values.fee = self.read(Column::Fee, decimal::parse);
        values.currency = self.read(Column::Currency, Currency::parse);
        values.fee_currency = self.read(Column::FeeCurrency, Currency::parse);
        values.multiplier = self.positive(Column::Multiplier).map(Multiplier::new);
        values.fx_rate = self.positive(Column::FxRate).map(FxRate::new);
        values.basis = self.not_negative(Column::Basis);
        if self.kind == Type::SpinOff && values.basis.is_some_and(|share| share > Decimal::ONE) {
            self.fault(
                Column::Basis,
                "`basis` of a spin-off is the share of the parent's basis, from 0 to 1",
            );
        }
        let day = |text: &str| Day::parse(text).map_err(|error| error.to_string());
        values.acquired = self.read(Column::Acquired, day);
        values.settle = self.read(Column::Settle, day);
        values.effect = self.read(Column::Effect, |text| match text.to_ascii_lowercase().as_str() {
            "open" => Ok(Effect::Open),
            "close" => Ok(Effect::Close),
            _ => Err(format!(
                "`{}` is not an effect: write open or close, or leave it empty",
                decimal::shorten(text)
            )),
        });
        if self.kind != Type::Convert {
            values.symbol = self.read(Column::Symbol, symbols::read);
        }
        values.to_symbol = self.read(Column::ToSymbol, symbols::read);
        values.isin = self.read(Column::Isin, symbols::isin);
        values.mic = self.read(Column::Mic, symbols::mic);
        for column in [Column::Id, Column::Strategy, Column::Account, Column::Kind, Column::Group] {
            self.read(column, |text| {
                if text.len() > TEXT_BYTES_MAX {
                    return Err(format!("it has {} bytes; at most {TEXT_BYTES_MAX} are kept", text.len()));
                }
                if text.chars().any(char::is_control) {
                    Err("it spans lines or holds control characters".to_owned())
                } else {
                    Ok(())
                }
            });
        }
        self.read(Column::Note, |text| {
            if text.len() > NOTE_BYTES_MAX {
                return Err(format!("it has {} bytes; at most {NOTE_BYTES_MAX} are kept", text.len()));
            }
            Ok(())
        });
        self.check_signs(&values);
        values
    }

    /// The signs of amounts that depend on nothing but the type.
    fn check_signs(&mut self, values: &Values) {
        let Some(amount) = values.amount else { return };
        let (zero, securities) = (Decimal::ZERO, values.symbol.is_some());
        let rule = match self.kind {
            Type::Deposit if amount <= zero => "a deposit brings cash in: `amount` must be greater than 0",
            Type::Withdrawal if amount >= zero => "a withdrawal takes cash out: `amount` must be less than 0",
            Type::Fee | Type::Tax if amount.is_zero() => {
                "a charge is less than 0 and a rebate greater than 0: `amount` must not be 0"
            }
            Type::TransferIn if securities && amount < zero => {
                "the market value of what came in must not be negative"
            }
            Type::TransferIn if !securities && amount <= zero => {
                "a transfer in brings cash in: `amount` must be greater than 0"
            }
            Type::TransferOut if !securities && amount >= zero => {
                "a transfer out takes cash out: `amount` must be less than 0"
            }
            Type::Convert if amount >= zero => "what was sold goes out: `amount` must be less than 0",
            Type::ReturnOfCapital | Type::CashInLieu if amount <= zero => {
                "it is paid to the holder: `amount` must be greater than 0"
            }
            Type::Exchange if amount < zero => "it is the cash received: `amount` must be greater than 0",
            _ => return,
        };
        self.fault(Column::Amount, format!("{rule}, not {amount}"));
    }

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
                    self.warn(Column::Isin, warning.clone());
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

    fn events(&mut self, values: &Values, when: When) -> Option<Events> {
        let base = self.base(values, when)?;
        if let Some(acquired) = values.acquired
            && acquired > base.day
        {
            self.fault(Column::Acquired, format!("{acquired} is after the transfer on {}", base.day));
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
                added: None,
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
            (Type::SpinOff, Some(found)) => self.spin_off(values, base, &found),
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
            let gross = decimal::multiply(units?, price)?;
            decimal::subtract(if *side == Side::Buy { -gross } else { gross }, fee)
        });
        let expected = match expected.transpose() {
            Ok(expected) => expected,
            Err(error) => {
                if values.amount.is_none() {
                    self.fault(
                        Column::Price,
                        format!("quantity × price: {error}; state `amount`, the cash effect"),
                    );
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

    fn spin_off(&mut self, values: &Values, base: Base, parent: &Found) -> Option<Events> {
        let symbol = values.to_symbol.as_ref()?;
        let child = self.find(Column::ToSymbol, symbol, values, &base, parent.facts.currency)?;
        let kind = self.kind(DistributionKind::from_name, DistributionKind::CODED, DistributionKind::Other);
        one(HoldingDistributed {
            entry: base.entry,
            kind: kind.unwrap_or(DistributionKind::SpinOff),
            parent: Some(parent.id),
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
        let quantity = values.quantity?;
        let received = match &values.to_symbol {
            Some(symbol) => Some(self.find(Column::ToSymbol, symbol, values, &base, currency)?),
            None => None,
        };
        // What was received follows from the ratio; where that has no finite decimal, the ratio says it alone.
        let received_quantity = match (gave, values.ratio) {
            (None, _) => Some(quantity),
            (Some(_), Some(ratio)) => exactly(ratio, quantity),
            (Some(_), None) => None,
        };
        let kind = self.kind(ExchangeKind::from_name, ExchangeKind::CODED, ExchangeKind::Other);
        one(PositionExchanged {
            entry: base.entry,
            kind: kind.unwrap_or(ExchangeKind::Unstated),
            gave: gave
                .map(|gave| ExchangeLeg { instrument: gave.id, quantity: Some(Quantity::new(quantity)) }),
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
        if let super::Resolution::One(other) = other
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

/// Units of the underlying in one unit of an instrument; one where no contract says otherwise.
pub(super) fn multiplier_of(facts: &InstrumentFacts) -> Multiplier {
    facts.multiplier.unwrap_or(Multiplier::ONE)
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
