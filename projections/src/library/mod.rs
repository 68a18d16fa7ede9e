//! What is resident across portfolios: instruments, directory, imports, quarantine, access and prices.

mod access;
mod advice;
mod directory;
mod firm;
mod imports;
mod instruments;
mod prices;
mod quarantine;

pub use access::{Access, Grant};
pub use advice::{AdviceState, AdviceStep, Fill, Recommendation, Recommendations};
pub use directory::{Account, Directory, PortfolioEntry};
pub use firm::{Advisor, At, Firm, Named, Party, Reach, Said, Serving};
pub use imports::{Import, ImportState, Imports};
pub use instruments::{
    Classification, Classified, Identifier, Instrument, InstrumentChange, InstrumentChangeKind, Instruments,
    Listing, Osi, Resolution, normalise_symbol, parse_osi,
};
pub use prices::{
    AnnouncedDividend, AnnouncedSplit, Bar, Jump, NeedsDisk, Observation, ObservationKind, PriceSource,
    Prices, Rate, RatePath, TICKS_RECENT_MAX, check_adjustment,
};
pub use quarantine::{Quarantine, QuarantinedItem};

use crate::view::Meta;
use daybook_schemas::{Event, codec};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The name under which a snapshot of the library is kept.
pub const LIBRARY_NAME: &str = "library";
/// Grows whenever the same events give other bytes.
pub const LIBRARY_VERSION: u32 = 8;

/// Everything that is resident across portfolios, folded in the order of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Library {
    applied: u64,
    /// What can be held, and under which names.
    pub instruments: Instruments,
    /// Portfolios and their accounts.
    pub directory: Directory,
    /// Imports of files and whether their events count; shared with books that are folded meanwhile.
    pub imports: Arc<Imports>,
    /// Records that could not be understood.
    pub quarantine: Quarantine,
    /// Advisors, parties, and who serves and owns what.
    pub firm: Firm,
    /// Recommendations.
    pub recommendations: Recommendations,
    /// Tokens.
    pub access: Access,
    /// Prices, rates of exchange and announced splits.
    pub prices: Prices,
}

impl Library {
    /// An empty library.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next event of the log. An event at or below [`Library::applied`] changes nothing.
    pub fn apply(&mut self, meta: &Meta, stream: &str, event: &Event) {
        if meta.sequence <= self.applied {
            return;
        }
        self.applied = meta.sequence;
        if Imports::concerns(meta, event) {
            Arc::make_mut(&mut self.imports).apply(meta, event);
        }
        self.prices.apply(meta, stream, event);
        self.instruments.apply(meta, event);
        self.directory.apply(meta, stream, event);
        self.firm.apply(meta, stream, event);
        self.quarantine.apply(meta, event);
        self.access.apply(meta, event);
        self.recommendations.apply(meta, stream, event);
    }

    /// The sequence of the last event taken in; 0 for none.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// BLAKE3 over the canonical bytes.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(&codec::encode_unbounded(self).expect("a library holds nothing that cannot be written"))
            .as_bytes()
    }

    /// Everything as bytes, to be restored by the same version of the fold.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        crate::book::seal_snapshot(LIBRARY_NAME, LIBRARY_VERSION, self)
    }

    /// What [`Library::snapshot`] wrote.
    ///
    /// # Errors
    /// [`crate::book::BookError`] for another version's bytes and for damaged ones: rebuild from the log.
    pub fn restore(bytes: &[u8]) -> Result<Self, crate::book::BookError> {
        crate::book::open_snapshot(LIBRARY_NAME, LIBRARY_VERSION, bytes)
    }
}
