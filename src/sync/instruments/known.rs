//! Whether a symbol is one that the list of instruments has; if not, which ones it is nearest to.

use super::CURSOR;
use crate::importers::nearest;
use crate::journal::{Journal, JournalError};
use daybook_projections::{Instrument, Library, Resolution};
use daybook_schemas::InstrumentId;
use daybook_schemas::events::IdentifierScheme;

/// How many near names are told.
const NEAREST_MAX: usize = 5;

/// A symbol that no list has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{symbol}` is in no list of instruments{}", said(.nearest).map(|near| format!(" ({near})")).unwrap_or_default())]
pub(crate) struct UnknownInstrument {
    /// What was asked for.
    pub(crate) symbol: String,
    /// The nearest known symbols, the nearest first.
    pub(crate) nearest: Vec<String>,
}

/// Why a symbol cannot be told to be known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SymbolError {
    /// No list has it.
    #[error(transparent)]
    Unknown(#[from] UnknownInstrument),
    /// The ledger cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The symbols that are nearest to a text, the nearest first: of what is traded, as it is called now, and of what may be
/// told. Where no list ever said what is traded, everything that was seen in an import or a feed counts.
fn nearest_symbols(library: &Library, text: &str, told: impl Fn(&Instrument) -> bool) -> Vec<String> {
    let registry = &library.instruments;
    let near = |provisional: bool| -> Vec<String> {
        let traded = registry.list().filter(|instrument| {
            instrument.delisted.is_none() && instrument.provisional == provisional && told(instrument)
        });
        let names = traded.filter_map(|instrument| registry.symbol(instrument.id, None));
        nearest::several(text, names, NEAREST_MAX).into_iter().map(str::to_owned).collect()
    };
    let listed = near(false);
    if listed.is_empty() { near(true) } else { listed }
}

/// The symbols that are nearest to a text, in words, of what may be told; none where none is near.
pub(crate) fn nearest_said(
    library: &Library,
    text: &str,
    told: impl Fn(&Instrument) -> bool,
) -> Option<String> {
    said(&nearest_symbols(library, text, told))
}

fn said(nearest: &[String]) -> Option<String> {
    match nearest {
        [] => None,
        [one] => Some(format!("the nearest is {one}")),
        several => Some(format!("the nearest are {}", several.join(", "))),
    }
}

/// The instrument that a symbol names, where a list says so. As long as no list was ever taken in, any symbol passes.
///
/// `held` says whether what is known from an import alone passes as well: what is held may be priced, though the list
/// does not have it; an order needs the list.
///
/// # Errors
/// [`UnknownInstrument`] with the nearest symbols; or the ledger cannot be read.
pub(crate) fn known_symbol(
    journal: &Journal,
    library: &Library,
    text: &str,
    held: bool,
) -> Result<Option<InstrumentId>, SymbolError> {
    let registry = &library.instruments;
    let found = registry.resolve(&IdentifierScheme::Symbol, text, None, None, None);
    let one = match &found {
        Resolution::One(id) => Some(*id),
        _ => None,
    };
    let listed = |id: InstrumentId| {
        registry
            .get(id)
            .is_some_and(|instrument| instrument.delisted.is_none() && (held || !instrument.provisional))
    };
    let passes = match &found {
        Resolution::One(id) => listed(*id),
        Resolution::Ambiguous(ids) => ids.iter().any(|id| listed(*id)),
        Resolution::Unknown => false,
    };
    if passes || journal.ledger().cursor(CURSOR).map_err(JournalError::from)?.is_none() {
        return Ok(one);
    }
    let symbol = daybook_schemas::decimal::shorten(text);
    Err(UnknownInstrument { symbol, nearest: nearest_symbols(library, text, |_| true) }.into())
}
