//! What each type of transaction takes: the columns it must fill, those it may, and those it refuses.

use super::Reading;
use crate::importers::columns::Column;
use crate::importers::nearest;
use daybook_schemas::{Phase, decimal};

/// The `kind` of a split whose `quantity` is the units that came (or went, negative) and not the ratio.
pub(in crate::importers) const UNITS_ADDED: &str = "added";

macro_rules! types {
    ($($variant:ident = $name:literal;)*) => {
        /// What happened, as the column `type` says.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(in crate::importers) enum Type {
            $($variant,)*
        }

        impl Type {
            pub(in crate::importers) const NAMES: &'static [&'static str] = &[$($name,)*];

            pub(in crate::importers) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            pub(in crate::importers) fn parse(text: &str) -> Result<Self, String> {
                match text.to_ascii_lowercase().as_str() {
                    $($name => Ok(Self::$variant),)*
                    _ => {
                        let meant = nearest::of(text, Self::NAMES);
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
    pub(super) const fn takes(self) -> (&'static [Column], &'static [Column]) {
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

    /// Whether a row of this type may fill a column beside those that every type takes.
    pub(super) fn has(self, column: Column) -> bool {
        let (required, optional) = self.takes();
        required.contains(&column) || optional.contains(&column)
    }

    /// Where in its day a row without a time of day counts.
    pub(in crate::importers) const fn phase(self) -> Phase {
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

impl Reading<'_, '_, '_> {
    /// Whether each column is filled or empty as the type wants it.
    pub(super) fn check_columns(&mut self) {
        let name = self.kind.name();
        let (required, optional) = self.kind.takes();
        for column in Column::ALL {
            let filled = self.cells.get(*column).is_some();
            let taken = required.contains(column) || optional.contains(column) || ALWAYS.contains(column);
            if filled && !taken {
                self.fault(*column, format!("a `{name}` row takes no `{}`: leave it empty", column.name()));
            } else if !filled && required.contains(column) && !self.is_waived(*column) {
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
            Type::Exchange
                if !(has(Column::Symbol)
                    || has(Column::Group) && (has(Column::ToSymbol) || has(Column::Amount))) =>
            {
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
            Type::Exchange if !has(Column::Symbol) && has(Column::ToSymbol) && !has(Column::Quantity) => {
                missing.push((Column::Quantity, "`quantity`, the units of `to_symbol` that came"));
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

    /// A column that need not be filled where `kind` says what happened: some sources name no payer of a dividend
    /// and no parent of a spin-off, and give up a whole holding without counting it.
    fn is_waived(&self, column: Column) -> bool {
        let waived = matches!(
            (self.kind, column),
            (Type::Dividend | Type::SpinOff, Column::Symbol) | (Type::Exchange, Column::Quantity)
        );
        waived && self.cells.get(Column::Kind).is_some()
    }

    /// Whether a split states the units that came instead of its ratio.
    pub(super) fn states_units(&self) -> bool {
        self.kind == Type::Split && self.cells.get(Column::Kind) == Some(UNITS_ADDED)
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
}
