//! The importer of the generic CSV: every row counts, or none.

use super::{Context, Fault, Parsed, PortfolioFacts};
use std::io::Read;

pub(super) fn read(
    file_name: &str,
    input: impl Read,
    portfolio: &PortfolioFacts,
    context: &dyn Context,
    progress: &mut dyn FnMut(u64),
) -> Result<Parsed, Vec<Fault>> {
    let _ = (input, portfolio, context, progress);
    Err(vec![Fault::of_file(file_name, "cannot be read yet")])
}
