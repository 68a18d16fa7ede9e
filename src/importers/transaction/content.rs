//! What a row says economically, whatever it writes out and whatever it leaves to be resolved.

use super::Reading;
use super::rules::Type;
use super::values::Values;
use crate::importers::columns::Column;
use crate::importers::identity;
use daybook_schemas::{Currency, Multiplier, Quantity, When};
use rust_decimal::Decimal;

/// What a row leaves out, as it was resolved.
pub(super) struct Resolved {
    /// The currency of its price and amount.
    pub(super) currency: Currency,
    /// The units of one, where the row states none: those of the contract, else one.
    pub(super) multiplier: Multiplier,
}

impl Reading<'_, '_, '_> {
    /// The hash of what the row says economically. It is the same whatever the order of the columns, the number of zeros
    /// after the point and the case of codes, and whether what goes without saying is written out: the currency, the
    /// multiplier of the contract, a fee of zero, the fee's currency where it is the row's.
    pub(super) fn content(&self, values: &Values, when: When, resolved: &Resolved) -> [u8; 32] {
        let texts: Vec<(&str, String)> = Column::ALL
            .iter()
            .filter_map(|column| Some((column.name(), self.economic(*column, values, when, resolved)?)))
            .collect();
        let content = identity::content(texts.iter().map(|(name, text)| (*name, text.as_str())));
        identity::under_key(content, self.desk.context.keys(), self.portfolio)
            .expect("that the key is there was asked before the first row")
    }

    /// What a column adds to what is said economically; nothing where it goes without saying.
    fn economic(&self, column: Column, values: &Values, when: When, resolved: &Resolved) -> Option<String> {
        let number = |value: Option<Decimal>| value.map(|value| Quantity::new(value).to_string());
        match column {
            // A name counts from a day on, and belongs to no account.
            Column::Time if self.kind == Type::Rename => Some(when.day(self.portfolio.zone).to_string()),
            Column::Account if self.kind == Type::Rename => None,
            Column::Time => Some(match when {
                When::At(time) => time.to_string(),
                When::On { day, .. } => day.to_string(),
            }),
            Column::Type => Some(self.kind.name().to_owned()),
            Column::Symbol if self.kind == Type::Convert => {
                self.cells.get(column).map(str::to_ascii_uppercase)
            }
            Column::Symbol => values.symbol.as_ref().map(|symbol| symbol.text.clone()),
            Column::ToSymbol => values.to_symbol.as_ref().map(|symbol| symbol.text.clone()),
            Column::Quantity if self.kind == Type::Split && values.ratio.is_some() => {
                values.ratio.map(|ratio| ratio.to_string())
            }
            Column::Quantity => number(values.quantity),
            Column::Price if self.kind == Type::Exchange => values.ratio.map(|ratio| ratio.to_string()),
            Column::Price => number(values.price),
            Column::Amount if self.kind == Type::Exchange => {
                number(values.amount.filter(|amount| !amount.is_zero()))
            }
            Column::Amount => number(values.amount),
            Column::Fee => number(charged(values)),
            Column::Currency => self.kind.has(column).then(|| resolved.currency.to_string()),
            Column::FeeCurrency => charged(values)
                .and(values.fee_currency)
                .filter(|currency| *currency != resolved.currency)
                .map(|currency| currency.to_string()),
            Column::Multiplier => values
                .multiplier
                .filter(|multiplier| *multiplier != resolved.multiplier)
                .map(|multiplier| multiplier.to_string()),
            Column::FxRate => values.fx_rate.map(|rate| rate.to_string()),
            Column::Basis => number(values.basis),
            Column::Acquired => values.acquired.map(|day| day.to_string()),
            Column::Settle => values.settle.map(|day| day.to_string()),
            Column::Effect => values.effect.as_ref().map(ToString::to_string),
            Column::Isin => values.isin.clone(),
            Column::Mic => values.mic.clone(),
            Column::Account => self.cells.get(column).map(str::to_owned),
            // They say nothing of what happened economically: a row is the same row when they change.
            Column::Id | Column::Note | Column::Strategy | Column::Kind | Column::Group => None,
        }
    }
}

/// The fee, where there is one.
fn charged(values: &Values) -> Option<Decimal> {
    values.fee.filter(|fee| !fee.is_zero())
}
