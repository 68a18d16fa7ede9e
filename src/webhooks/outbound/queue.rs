//! What a receiver is sent next, read from the log: nothing of it waits in memory.
//!
//! The order is that of the log, with one exception: the events of an import count from the moment at which its end is
//! recorded, and are sent then, in their own order, right before the event that says so. An import that was interrupted
//! is never sent.

use super::state::Position;
use crate::config::OutboundWebhook;
use crate::journal::{Journal, JournalError, decode, to_json};
use daybook_ledger::RecordView;
use daybook_schemas::{EventType, ImportId, PortfolioId, stream};
use std::ops::ControlFlow;

/// The most events that are read from the log ahead of their delivery.
const AHEAD_MAX: usize = 64;
/// The most records that are looked through at a time.
const LOOKED_THROUGH_MAX: u64 = 16_384;

/// An event that is due.
#[derive(Clone, Debug)]
pub(super) struct Due {
    /// Its sequence.
    pub(super) sequence: u64,
    /// Its type.
    pub(super) kind: String,
    /// What is sent: what `GET /events/{sequence}` answers.
    pub(super) body: Vec<u8>,
    /// Where the receiver stands once it has it.
    pub(super) after: Position,
}

/// What comes next.
#[derive(Debug, Default)]
pub(super) struct Next {
    /// The events that are due, in order.
    pub(super) due: Vec<Due>,
    /// Where the receiver stands once it has all of them.
    pub(super) reached: Position,
    /// Whether the log holds no more.
    pub(super) exhausted: bool,
}

/// Which events a receiver is sent.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    types: Vec<u16>,
    portfolios: Vec<PortfolioId>,
}

impl Choice {
    /// What a receiver chose.
    pub(super) fn of(config: &OutboundWebhook) -> Self {
        Self {
            types: config.events.iter().map(|event_type| event_type.id()).collect(),
            portfolios: config.portfolios.clone(),
        }
    }

    fn chooses(&self, journal: &Journal, record: &RecordView<'_>) -> Result<bool, JournalError> {
        if !self.types.contains(&record.type_id) {
            return Ok(false);
        }
        if self.portfolios.is_empty() {
            return Ok(true);
        }
        Ok(portfolio_of(journal, record)?.is_some_and(|portfolio| self.portfolios.contains(&portfolio)))
    }
}

/// The portfolio that an event is about: the one whose stream it is in, the one that it names, or the one that its
/// import goes into.
fn portfolio_of(journal: &Journal, record: &RecordView<'_>) -> Result<Option<PortfolioId>, JournalError> {
    if let Some(portfolio) = stream::portfolio_of(record.stream) {
        return Ok(Some(portfolio));
    }
    let payload = decode(record)?.to_json().unwrap_or_default();
    if let Some(portfolio) = payload["portfolio"].as_str().and_then(|id| id.parse().ok()) {
        return Ok(Some(portfolio));
    }
    let import = record.import.copied().map(ImportId::from_bytes);
    let import = import.or_else(|| record.stream.strip_prefix("import-")?.parse().ok());
    let Some(import) = import else { return Ok(None) };
    let library = journal.library()?;
    let file = library.imports.get(import).and_then(|import| import.file.as_ref());
    Ok(file.and_then(|file| file.portfolio))
}

/// Reads what comes next for a receiver that stands here.
pub(super) fn next(journal: &Journal, choice: &Choice, from: Position) -> Result<Next, JournalError> {
    let head = journal.ledger().head();
    let mut next = Next { reached: from, ..Next::default() };
    let mut end = None;
    let last = head.min(from.cursor.saturating_add(LOOKED_THROUGH_MAX));
    scan(journal, from.cursor + 1, last, &mut |record| {
        if let Some(import) = record.import.copied().map(ImportId::from_bytes) {
            if record.type_id == EventType::FileImported.id() {
                end = Some((record.sequence, import));
                return Ok(ControlFlow::Break(()));
            }
            // It is sent when its import ends.
        } else if choice.chooses(journal, record)? {
            next.due.push(due(record, Position { cursor: record.sequence, within: 0 }));
        }
        next.reached = Position { cursor: record.sequence, within: 0 };
        Ok(if next.due.len() >= AHEAD_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    match end {
        // What stands before the end is sent first.
        Some((sequence, import)) if next.due.is_empty() => {
            let within = if next.reached == from { from.within } else { 0 };
            of_import(journal, choice, import, within, sequence, &mut next)?;
        }
        _ => {}
    }
    next.exhausted = next.reached.cursor >= head;
    Ok(next)
}

/// The events of an import, after the one that was sent last, and the one that ends it.
fn of_import(
    journal: &Journal,
    choice: &Choice,
    import: ImportId,
    within: u64,
    end: u64,
    next: &mut Next,
) -> Result<(), JournalError> {
    let first = journal.library()?.imports.get(import).map_or(end, |import| import.first_sequence);
    scan(journal, first.max(within + 1), end, &mut |record| {
        let own = record.import.copied().map(ImportId::from_bytes) == Some(import);
        let ends = record.sequence == end;
        let after = if ends {
            Position { cursor: end, within: 0 }
        } else {
            Position { cursor: end - 1, within: record.sequence }
        };
        if own && choice.chooses(journal, record)? {
            next.due.push(due(record, after));
        }
        next.reached = after;
        let enough = next.due.len() >= AHEAD_MAX || ends;
        Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
}

fn due(record: &RecordView<'_>, after: Position) -> Due {
    let record = record.to_owned();
    let kind = EventType::from_id(record.type_id).map_or("", EventType::name).to_owned();
    Due { sequence: record.sequence, kind, body: to_json(&record).to_string().into_bytes(), after }
}

/// An event that was given up, to be sent again.
pub(super) fn again(journal: &Journal, sequence: u64, at: Position) -> Result<Option<Due>, JournalError> {
    Ok(journal.ledger().get(sequence)?.map(|record| due(&record.view(), at)))
}

/// What tells an event from any other at its place.
pub(super) fn hash(journal: &Journal, sequence: u64) -> Result<Option<String>, JournalError> {
    let Some(record) = journal.ledger().get(sequence)? else { return Ok(None) };
    let mut canonical = Vec::new();
    record.encode_canonical(&mut canonical);
    Ok(Some(blake3::hash(&canonical).to_hex()[..32].to_owned()))
}

fn scan(
    journal: &Journal,
    from: u64,
    to: u64,
    visit: &mut dyn FnMut(&RecordView<'_>) -> Result<ControlFlow<()>, JournalError>,
) -> Result<(), JournalError> {
    let mut fault = None;
    journal.ledger().scan(from, to, &mut |record| match visit(record) {
        Ok(flow) => flow,
        Err(error) => {
            fault = Some(error);
            ControlFlow::Break(())
        }
    })?;
    fault.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Author, Draft, Terms};
    use daybook_ledger::{Ledger, Options};
    use daybook_schemas::events::{ContentHash, FileImported, FxRateObserved};
    use daybook_schemas::{Currency, Event, FxRate, KeyRing, Timestamp};

    fn record(journal: &Journal, import: Option<ImportId>, event: impl Into<Event>) {
        let mut draft = Draft::new("market-test-EURUSD".to_owned(), Timestamp::from_nanos(1), event);
        draft.import = import;
        journal.record(&Author::operator(), vec![draft], Terms::default()).unwrap();
    }

    fn rate() -> FxRateObserved {
        FxRateObserved {
            base: Currency::parse("EUR").unwrap(),
            quote: Currency::USD,
            rate: FxRate::new(2.into()),
            day: None,
            revision: 0,
        }
    }

    fn end(import: ImportId) -> FileImported {
        FileImported {
            import,
            format: "prices".into(),
            importer_version: 1,
            file_name: None,
            file_hash: ContentHash::of(b"file"),
            file_bytes: 4,
            portfolio: None,
            rows: 1,
            events: 1,
            known: 0,
            quarantined: 0,
            warnings: Vec::new(),
            revision: 0,
        }
    }

    fn choice(types: &[EventType]) -> Choice {
        Choice { types: types.iter().map(|event_type| event_type.id()).collect(), portfolios: Vec::new() }
    }

    /// What is due from the beginning on, read anew after each delivery, as after a kill.
    fn one_by_one(journal: &Journal, choice: &Choice) -> Vec<u64> {
        let (mut at, mut sent) = (Position::default(), Vec::new());
        loop {
            let next = next(journal, choice, at).unwrap();
            match next.due.into_iter().next() {
                Some(due) => {
                    sent.push(due.sequence);
                    at = due.after;
                }
                None if next.exhausted => return sent,
                None => at = next.reached,
            }
        }
    }

    /// The same, with everything that is read ahead delivered first.
    fn at_a_stretch(journal: &Journal, choice: &Choice) -> Vec<u64> {
        let (mut at, mut sent) = (Position::default(), Vec::new());
        loop {
            let next = next(journal, choice, at).unwrap();
            sent.extend(next.due.iter().map(|due| due.sequence));
            at = next.reached;
            if next.exhausted {
                return sent;
            }
        }
    }

    #[test]
    fn the_events_of_an_import_come_when_it_ends_and_those_of_an_interrupted_one_never() {
        let journal = Journal::over(Ledger::in_memory(Options::default()), KeyRing::default()).unwrap();
        let [long, short, torn] = [1, 2, 3].map(|byte| ImportId::from_bytes([byte; 16]));
        for import in [None, Some(long), Some(torn), None, Some(long), Some(short)] {
            record(&journal, import, rate());
        }
        record(&journal, Some(short), end(short));
        record(&journal, Some(long), rate());
        record(&journal, Some(long), end(long));
        record(&journal, None, rate());
        let all = choice(&[EventType::FxRateObserved, EventType::FileImported]);
        let expected = [1, 4, 6, 7, 2, 5, 8, 9, 10];
        assert_eq!(one_by_one(&journal, &all), expected);
        assert_eq!(at_a_stretch(&journal, &all), expected);
        let ends = choice(&[EventType::FileImported]);
        assert_eq!(one_by_one(&journal, &ends), [7, 9]);
        assert_eq!(at_a_stretch(&journal, &choice(&[EventType::PriceTick])), [0; 0]);
    }

    #[test]
    fn a_long_import_is_read_in_parts_that_fit_together() {
        let journal = Journal::over(Ledger::in_memory(Options::default()), KeyRing::default()).unwrap();
        let import = ImportId::from_bytes([1; 16]);
        for _ in 0..3 * AHEAD_MAX {
            record(&journal, Some(import), rate());
        }
        record(&journal, Some(import), end(import));
        let all = choice(&[EventType::FxRateObserved, EventType::FileImported]);
        let expected: Vec<u64> = (1..=journal.ledger().head()).collect();
        assert_eq!(at_a_stretch(&journal, &all), expected);
        assert_eq!(one_by_one(&journal, &all), expected);
    }
}
