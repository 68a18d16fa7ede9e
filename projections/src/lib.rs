//! Daybook's projections: pure folds from events to read models.
//!
//! Nothing here reads a file, a socket, a clock or a source of randomness. The same events, given in the order of the
//! log, give the same state and the same bytes everywhere; a late event or a reversal leaves the state that would
//! stand had the log held the truth in order from the start.

pub mod book;
pub mod check;
mod effect;
pub mod exact;
pub mod firm_views;
mod fold;
pub mod library;
pub mod notebook;
pub mod orders;
pub mod proportions;
pub mod series;
pub mod state;
pub mod suitability;
pub mod valuation;
pub mod view;

pub use book::{Book, BookError, EntryRow, FOLD_NAME, FOLD_VERSION};
pub use check::{CheckReport, Difference, Way, check};
pub use library::{
    Access, Account, AdviceState, AdviceStep, Advisor, AnnouncedDividend, AnnouncedSplit, At, Bar,
    Classification, Classified, Directory, Fill, Firm, Grant, Identifier, Import, ImportState, Imports,
    Instrument, InstrumentChange, InstrumentChangeKind, Instruments, Library, Listing, Named as NamedReach,
    NeedsDisk, Observation, ObservationKind, Party, PortfolioEntry, PriceSource, Prices, Quarantine,
    QuarantinedItem, Reach, Recommendation, Recommendations, Resolution, Said, Serving, normalise_symbol,
};
pub use notebook::{Notebook, Noted};
pub use orders::{Order, Orders};
pub use proportions::{PositionWeight, Proportions, ReturnDay};
pub use series::{Series, SeriesDay, equity_series};
pub use state::{Holding, Lot, State, Totals, Trip, Unaccounted};
pub use valuation::{Named, Position, PriceBasis, Summary, UnaccountedItem, positions, summary};
pub use view::{AsOf, Meta, View};
