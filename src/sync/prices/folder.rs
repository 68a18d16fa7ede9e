//! A folder into which price files are dropped: each is imported as `import prices` would, once it is whole.

use super::recording::Tally;
use crate::importers::{Format, PriceOptions};
use crate::journal::{ImportRequest, Journal, JournalError};
use crate::sync::dropped::{Dropped, Kind};
use daybook_projections::ImportState;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What one look into the folder brought.
#[derive(Clone, Default, Debug)]
pub(super) struct Gathered {
    /// What is new, by file.
    pub(super) tallies: BTreeMap<String, Tally>,
    /// Files that cannot be imported, and why.
    pub(super) faults: BTreeMap<String, String>,
    /// Of these, what was not said at an earlier look.
    pub(super) fresh: Vec<String>,
    /// Files that may still be written.
    pub(super) unfinished: Vec<String>,
    /// All new events.
    pub(super) appended: u64,
}

/// A folder of prices, and what was seen in it.
#[derive(Debug)]
pub(super) struct PriceFolder(Dropped);

impl PriceFolder {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self(Dropped::new(path, Kind { key: "`folder` of the feed", tables: true, ending: Some("csv") }))
    }

    /// Looks into the folder and imports what is whole. With `at_once` files are taken as they are.
    ///
    /// # Errors
    /// That the folder cannot be read, or that the ledger takes nothing.
    pub(super) fn gather(&mut self, journal: &Journal, at_once: bool) -> Result<Gathered, String> {
        let mut tallies = BTreeMap::new();
        let found = self.0.gather(at_once, &mut |name, bytes| match import(journal, name, bytes) {
            Ok(tally) => {
                tallies.extend(tally.map(|tally| (name.to_owned(), tally)));
                Ok(None)
            }
            Err(Unusable::File(fault)) => Ok(Some(fault)),
            Err(Unusable::Ledger(error)) => Err(error),
        })?;
        let fresh = found.fresh.iter().filter_map(|name| found.refused.get(name).cloned()).collect();
        let appended = tallies.values().map(|tally: &Tally| tally.prices + tally.actions).sum();
        Ok(Gathered { tallies, faults: found.refused, fresh, unfinished: found.unfinished, appended })
    }
}

enum Unusable {
    /// The file is at fault: the others go on.
    File(String),
    /// The ledger is.
    Ledger(String),
}

/// Imports a file; nothing comes of one whose import was reverted, which is not imported again unasked.
fn import(journal: &Journal, name: &str, bytes: &[u8]) -> Result<Option<Tally>, Unusable> {
    // A file of one symbol is called by it.
    let symbol = (!names_symbols(bytes))
        .then(|| Path::new(name).file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .flatten();
    let request = ImportRequest {
        format: Format::Prices,
        file_name: name,
        bytes,
        portfolio: None,
        prices: PriceOptions { symbol, ..PriceOptions::default() },
        dry_run: false,
    };
    let standing = journal.standing_import(&request).map_err(|error| Unusable::Ledger(error.to_string()))?;
    match standing {
        Some(ImportState::Reverted) => {
            tracing::warn!("{name}: its import was reverted: `daybook import prices` brings it in again");
            return Ok(None);
        }
        Some(ImportState::Visible) => return Ok(Some(Tally::default())),
        Some(ImportState::Pending) | None => {}
    }
    let author = super::recording::author();
    match journal.import(&author, &request, None, &|_, _| {}) {
        Ok(report) => {
            for warning in &report.warnings {
                tracing::warn!("{warning}");
            }
            let count = |name: &str| report.events.get(name).copied().unwrap_or(0);
            Ok(Some(Tally {
                prices: count("BarClosed") + count("PriceTick") + count("FxRateObserved"),
                actions: count("CorporateActionAnnounced"),
                ..Tally::default()
            }))
        }
        Err(error @ (JournalError::Invalid(_) | JournalError::Conflict { .. })) => {
            Err(Unusable::File(error.to_string()))
        }
        Err(error) => Err(Unusable::Ledger(error.to_string())),
    }
}

/// Whether the header has a column for symbols.
fn names_symbols(content: &[u8]) -> bool {
    let header = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let header = String::from_utf8_lossy(header);
    header
        .trim_start_matches('\u{feff}')
        .split(',')
        .any(|cell| cell.trim().trim_matches('"').eq_ignore_ascii_case("symbol"))
}
