//! A folder into which price files are dropped: each is imported as `import prices` would, once it is whole.

use super::recording::Tally;
use crate::importers::{Format, PriceOptions};
use crate::journal::{ImportRequest, Journal, JournalError};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The largest file that is imported, in bytes.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// How a file looked: it is whole once it looks the same twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Look {
    bytes: u64,
    changed: Option<SystemTime>,
}

/// What one look into the folder brought.
#[derive(Clone, Default, Debug)]
pub(super) struct Gathered {
    /// What is new, by file.
    pub(super) tallies: BTreeMap<String, Tally>,
    /// Files that cannot be imported, and why.
    pub(super) faults: BTreeMap<String, String>,
    /// Of these, what was not said at an earlier look.
    pub(super) fresh: Vec<String>,
    /// All new events.
    pub(super) appended: u64,
}

/// A folder, and what was seen in it.
#[derive(Debug)]
pub(super) struct PriceFolder {
    path: PathBuf,
    seen: BTreeMap<PathBuf, Look>,
    /// Files that were imported, or refused, as they looked then.
    dealt_with: BTreeMap<PathBuf, (Look, Option<String>)>,
}

impl PriceFolder {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, seen: BTreeMap::new(), dealt_with: BTreeMap::new() }
    }

    /// Looks into the folder and imports what is whole. With `at_once` files are taken as they are.
    ///
    /// # Errors
    /// That the folder cannot be read, or that the ledger takes nothing.
    pub(super) fn gather(&mut self, journal: &Journal, at_once: bool) -> Result<Gathered, String> {
        let unreadable = |error: io::Error| {
            format!(
                "{} cannot be read: {error}; create it, or correct `folder` of the feed",
                self.path.display()
            )
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let is_table = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv"));
            if is_table
                && let Ok(meta) = std::fs::metadata(&path)
                && meta.is_file()
            {
                files.push((path, Look { bytes: meta.len(), changed: meta.modified().ok() }));
            }
        }
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut gathered = Gathered::default();
        for (path, look) in files {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if let Some((before, fault)) = self.dealt_with.get(&path)
                && *before == look
            {
                if let Some(fault) = fault {
                    gathered.faults.insert(name, fault.clone());
                }
                continue;
            }
            if !at_once && self.seen.insert(path.clone(), look) != Some(look) {
                continue;
            }
            let fault = match import(journal, &path, &name, look.bytes) {
                Ok(tally) => {
                    gathered.appended += tally.prices + tally.actions;
                    gathered.tallies.insert(name, tally);
                    None
                }
                Err(Unusable::File(fault)) => {
                    gathered.fresh.push(fault.clone());
                    gathered.faults.insert(name, fault.clone());
                    Some(fault)
                }
                Err(Unusable::Ledger(error)) => return Err(error),
            };
            self.seen.remove(&path);
            self.dealt_with.insert(path, (look, fault));
        }
        Ok(gathered)
    }
}

enum Unusable {
    /// The file is at fault: the others go on.
    File(String),
    /// The ledger is.
    Ledger(String),
}

fn import(journal: &Journal, path: &Path, name: &str, bytes: u64) -> Result<Tally, Unusable> {
    if bytes > FILE_BYTES_MAX {
        return Err(Unusable::File(format!("{name}: has more than {} MB: split it", FILE_BYTES_MAX >> 20)));
    }
    let content = std::fs::read(path).map_err(|error| Unusable::File(format!("{name}: {error}")))?;
    // A file of one symbol is called by it.
    let symbol = (!names_symbols(&content))
        .then(|| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .flatten();
    let request = ImportRequest {
        format: Format::Prices,
        file_name: name,
        bytes: &content,
        portfolio: None,
        prices: PriceOptions { symbol, ..PriceOptions::default() },
        dry_run: false,
    };
    let author = super::recording::author();
    match journal.import(&author, &request, None, &|_, _| {}) {
        Ok(report) => {
            for warning in &report.warnings {
                tracing::warn!("{warning}");
            }
            let count = |name: &str| report.events.get(name).copied().unwrap_or(0);
            Ok(Tally {
                prices: count("BarClosed") + count("PriceTick") + count("FxRateObserved"),
                actions: count("CorporateActionAnnounced"),
                ..Tally::default()
            })
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
