//! From the columns of one transaction to its events.

use super::columns::TransactionFields;
use super::{Context, Draft, FieldFault, PortfolioFacts};

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
    let _ = (fields, portfolio, context, place);
    Err(vec![FieldFault::new("type", "transactions cannot be read yet")])
}
