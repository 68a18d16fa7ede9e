//! The importer of prices: bars, ticks and rates from a CSV, as traded.

use super::{Context, Fault, Parsed};
use std::io::Read;

/// How the prices of a file were adjusted by its source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Adjustment {
    /// Not at all: they are as traded.
    #[default]
    None,
    /// For splits: prices and dividends before a split were divided by its ratio, volumes multiplied.
    Splits,
}

/// What is said of a file of prices beside its content.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PriceOptions {
    /// The symbol of every row, for a file without a column for it.
    pub symbol: Option<String>,
    /// How its source adjusted the prices.
    pub adjusted: Adjustment,
}

/// Reads a file of prices. `progress` is told the bytes read so far.
///
/// # Errors
/// Every fault that was found; nothing of the file may be appended then.
pub fn read_prices(
    file_name: &str,
    input: impl Read,
    options: &PriceOptions,
    context: &dyn Context,
    progress: &mut dyn FnMut(u64),
) -> Result<Parsed, Vec<Fault>> {
    let _ = (input, options, context, progress);
    Err(vec![Fault::of_file(file_name, "prices cannot be read yet")])
}
