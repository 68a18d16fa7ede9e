//! Figures in the words of evidence: percentages at two places, amounts with their currency.

use daybook_schemas::{Currency, decimal};
use rust_decimal::Decimal;

/// A part of one as a percentage, at two places.
pub(super) fn percent(share: Decimal) -> String {
    let hundredfold = decimal::multiply(decimal::round(share, 6), Decimal::ONE_HUNDRED).unwrap_or(share);
    format!("{} %", decimal::round(hundredfold, 2))
}

/// An amount at two places, with its currency.
pub(super) fn amount(value: Decimal, currency: Currency) -> String {
    format!("{} {currency}", decimal::round(value, 2))
}
