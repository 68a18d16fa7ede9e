//! Folding one portfolio three ways and comparing the digests: stored snapshot and the rest, arrival order, sorted.

use crate::book::{Book, BookError};
use crate::library::Imports;
use crate::view::Meta;
use daybook_schemas::{Event, PortfolioId};

/// A way of folding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// The stored snapshot, then what was recorded since.
    Snapshot,
    /// Event by event, as they were recorded.
    Arrival,
    /// All at once, sorted.
    Sorted,
}

/// Where two ways part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The way that differs from the sorted fold.
    pub way: Way,
    /// The first event, in the order of the log, after which the digests differ; for a snapshot that differs by
    /// itself, the last event that it holds.
    pub sequence: u64,
}

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckReport {
    /// The portfolio.
    pub portfolio: PortfolioId,
    /// How many events were folded.
    pub events: usize,
    /// The digest of each way's state.
    pub digests: Vec<(Way, [u8; 32])>,
    /// Why the snapshot could not be used, where there is one; that alone is no difference.
    pub snapshot_refused: Option<BookError>,
    /// Where ways part; empty when all agree.
    pub differences: Vec<Difference>,
}

impl CheckReport {
    /// Whether all ways agree.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Folds event by event, taking notice of imports as they end or are reverted.
struct Arrival {
    book: Book,
    imports: Imports,
}

impl Arrival {
    fn apply(&mut self, meta: &Meta, event: &Event) {
        self.imports.apply(meta, event);
        match event {
            Event::FileImported(file) => self.book.import_changed(file.import, &self.imports),
            Event::ImportReverted(reverted) => self.book.import_changed(reverted.import, &self.imports),
            _ => self.book.apply(meta, event, &self.imports),
        }
    }
}

fn arrival(portfolio: PortfolioId, records: &[(Meta, Event)]) -> [u8; 32] {
    let mut arrival = Arrival { book: Book::new(portfolio), imports: Imports::default() };
    for (meta, event) in records {
        arrival.apply(meta, event);
    }
    arrival.book.state().digest()
}

fn imports_of(records: &[(Meta, Event)]) -> Imports {
    let mut imports = Imports::default();
    for (meta, event) in records {
        imports.apply(meta, event);
    }
    imports
}

fn is_of_import(event: &Event) -> bool {
    matches!(event, Event::FileImported(_) | Event::ImportReverted(_))
}

fn sorted(portfolio: PortfolioId, records: &[(Meta, Event)]) -> [u8; 32] {
    let imports = imports_of(records);
    let own =
        records.iter().filter(|(_, event)| !is_of_import(event)).map(|(meta, event)| (*meta, event.clone()));
    Book::from_events(portfolio, own, &imports).state().digest()
}

/// The state of a snapshot with the rest of the records applied to it, or why there is none.
fn resumed(snapshot: &[u8], records: &[(Meta, Event)]) -> Result<(u64, [u8; 32]), BookError> {
    let whole = imports_of(records);
    let applied = Book::restore(snapshot, &whole)?.applied();
    let held = records.partition_point(|(meta, _)| meta.sequence <= applied);
    let imports = imports_of(&records[..held]);
    let mut arrival = Arrival { book: Book::restore(snapshot, &imports)?, imports };
    for (meta, event) in &records[held..] {
        arrival.apply(meta, event);
    }
    Ok((applied, arrival.book.state().digest()))
}

/// The shortest prefix, in records, after which a way differs; bisected, so that of several differences that come
/// and go it is one of them.
fn first_difference(lowest: usize, highest: usize, differs: impl Fn(usize) -> bool) -> usize {
    let (mut same, mut other) = (lowest, highest);
    while other - same > 1 {
        let middle = same + (other - same) / 2;
        if differs(middle) {
            other = middle;
        } else {
            same = middle;
        }
    }
    other
}

/// Folds a portfolio three ways. `records` are the events of its stream and the `FileImported` and `ImportReverted` of
/// the imports that went into it, in the order of the log.
#[must_use]
pub fn check(portfolio: PortfolioId, records: &[(Meta, Event)], snapshot: Option<&[u8]>) -> CheckReport {
    let truth = sorted(portfolio, records);
    let mut report = CheckReport {
        portfolio,
        events: records.len(),
        digests: vec![(Way::Sorted, truth)],
        snapshot_refused: None,
        differences: Vec::new(),
    };
    let arrived = arrival(portfolio, records);
    report.digests.push((Way::Arrival, arrived));
    if arrived != truth {
        let prefix = first_difference(0, records.len(), |length| {
            arrival(portfolio, &records[..length]) != sorted(portfolio, &records[..length])
        });
        report.differences.push(Difference { way: Way::Arrival, sequence: records[prefix - 1].0.sequence });
    }
    let Some(snapshot) = snapshot else { return report };
    match resumed(snapshot, records) {
        Err(error) => report.snapshot_refused = Some(error),
        Ok((applied, digest)) => {
            report.digests.push((Way::Snapshot, digest));
            if digest != truth {
                let held = records.partition_point(|(meta, _)| meta.sequence <= applied);
                let differs = |length: usize| {
                    resumed(snapshot, &records[..length]).map(|(_, digest)| digest)
                        != Ok(sorted(portfolio, &records[..length]))
                };
                let sequence = if held == records.len() || differs(held) {
                    applied
                } else {
                    records[first_difference(held, records.len(), differs) - 1].0.sequence
                };
                report.differences.push(Difference { way: Way::Snapshot, sequence });
            }
        }
    }
    report
}
