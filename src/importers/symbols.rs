//! What a symbol says by its form: options, pairs, identifiers.

use daybook_schemas::{Currency, InstrumentId};

/// The id of an instrument that is listed from a symbol alone, so that everyone who lists it derives the same.
/// `ordinal` is the number of instruments that were listed so under the symbol before.
#[must_use]
pub fn provisional_id(symbol: &str, currency: Currency, ordinal: u32) -> InstrumentId {
    InstrumentId::derive(&[symbol.as_bytes(), currency.as_str().as_bytes(), &ordinal.to_le_bytes()])
}
