//! Rebuilding from records alone: what `replay` prints and checks, wherever the records come from.

use super::entry::{decode, meta};
use super::market::Market;
use super::{Journal, JournalError, Moment, PortfolioView};
use daybook_ledger::{Ledger, Options, RecordView, StoredSnapshots};
use daybook_projections::{AsOf, Book, CheckReport, Library, Meta, View, check};
use daybook_schemas::{Event, ImportId, KeyRing, PortfolioId, stream};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

/// Everything that records say, folded anew.
pub(crate) struct Rebuilt {
    library: Library,
    books: BTreeMap<PortfolioId, Book>,
    wanted: Option<PortfolioId>,
    /// The events of each portfolio and of its imports, in the order of the log, where a check needs them.
    events: Option<Events>,
    keys: KeyRing,
    recorded_at: Vec<(i64, u64)>,
}

#[derive(Default)]
struct Events {
    by_portfolio: BTreeMap<PortfolioId, Vec<(Meta, Event)>>,
    /// The portfolio that each import went into, as far as its entries have shown.
    imports: BTreeMap<ImportId, PortfolioId>,
}

/// What `replay --check` found for one portfolio.
pub(crate) struct Checked {
    /// The three ways and their digests.
    pub(crate) report: CheckReport,
    /// Whether there was a stored snapshot to compare with.
    pub(crate) stored: bool,
}

impl Rebuilt {
    /// Nothing yet. Only the portfolio that is wanted is folded; all of them, if none is named. A check needs their
    /// events as well.
    pub(crate) fn new(wanted: Option<PortfolioId>, check: bool, keys: KeyRing) -> Self {
        Self {
            library: Library::new(),
            books: BTreeMap::new(),
            wanted,
            events: check.then(Events::default),
            keys,
            recorded_at: Vec::new(),
        }
    }

    /// Takes in the next record of the log.
    pub(crate) fn take(&mut self, record: &RecordView<'_>) -> Result<(), JournalError> {
        let (meta, event) = (meta(record), decode(record)?);
        self.library.apply(&meta, record.stream, &event);
        if self.recorded_at.last().is_none_or(|(at, _)| *at < record.recorded_at) {
            self.recorded_at.push((record.recorded_at, record.sequence));
        } else if let Some(last) = self.recorded_at.last_mut() {
            last.1 = record.sequence;
        }
        let portfolio = stream::portfolio_of(record.stream);
        if let Some(id) = portfolio
            && self.wanted.is_none_or(|wanted| wanted == id)
        {
            self.books.entry(id).or_insert_with(|| Book::new(id)).take(&meta, &event);
        }
        if let Some(events) = &mut self.events {
            events.take(portfolio, self.wanted, meta, event);
        }
        Ok(())
    }

    /// Folds what was taken in.
    pub(crate) fn finish(&mut self) {
        for book in self.books.values_mut() {
            book.refresh(&self.library.imports);
        }
    }

    /// The last sequence taken in.
    pub(crate) fn head(&self) -> u64 {
        self.library.applied()
    }

    /// The portfolios, by age.
    pub(crate) fn portfolios(&self) -> Vec<PortfolioId> {
        self.library.directory.list().map(|portfolio| portfolio.id).collect()
    }

    /// The highest sequence that a moment knows of.
    pub(crate) fn known(&self, moment: &Moment) -> Result<u64, JournalError> {
        let head = self.head();
        if let Some(sequence) = moment.at_sequence {
            if sequence > head {
                return Err(JournalError::Unreachable(format!(
                    "sequence {sequence} is not recorded yet: the last one is {head}"
                )));
            }
            return Ok(sequence);
        }
        let Some(instant) = moment.known_at else { return Ok(head) };
        let end = self.recorded_at.partition_point(|(at, _)| *at <= instant.nanos());
        Ok(end.checked_sub(1).map_or(0, |last| self.recorded_at[last].1))
    }

    /// Shows a portfolio as it was at a moment. Ticks that are not resident are looked up in the ledger, if there is one.
    pub(crate) fn portfolio<T>(
        &self,
        id: PortfolioId,
        moment: &Moment,
        ledger: Option<&Ledger>,
        visit: impl FnOnce(&PortfolioView<'_>) -> T,
    ) -> Result<T, JournalError> {
        let known = self.known(moment)?;
        let not_found = || JournalError::not_found("portfolio", id);
        let portfolio =
            self.library.directory.get(id).filter(|found| found.opened <= known).ok_or_else(not_found)?;
        let book = self.books.get(&id).ok_or_else(not_found)?;
        let as_of = moment.as_of.unwrap_or_else(|| AsOf::Day(super::now().day_in(portfolio.zone)));
        let view = View { as_of, known };
        Ok(visit(&PortfolioView {
            library: &self.library,
            portfolio,
            book,
            view,
            state: book.state_at(&view, &self.library.imports),
            keys: &self.keys,
            market: Market { library: &self.library, ledger },
        }))
    }

    /// Folds a portfolio three ways and compares them.
    pub(crate) fn check(&self, id: PortfolioId, snapshot: Option<&[u8]>) -> Checked {
        let events = self.events.as_ref().and_then(|events| events.by_portfolio.get(&id));
        let report = check(id, events.map_or(&[], Vec::as_slice), snapshot);
        Checked { report, stored: snapshot.is_some() }
    }
}

impl Events {
    fn take(
        &mut self,
        portfolio: Option<PortfolioId>,
        wanted: Option<PortfolioId>,
        meta: Meta,
        event: Event,
    ) {
        if let (Some(id), Some(import)) = (portfolio, meta.import) {
            self.imports.insert(import, id);
        }
        let ended = match &event {
            Event::FileImported(file) => file.portfolio.or(self.imports.get(&file.import).copied()),
            Event::ImportReverted(revert) => self.imports.get(&revert.import).copied(),
            _ => None,
        };
        if let Some(id) = portfolio.or(ended)
            && wanted.is_none_or(|wanted| wanted == id)
        {
            self.by_portfolio.entry(id).or_default().push((meta, event));
        }
    }
}

/// The snapshots of books that the directory holds beside the log.
pub(crate) struct Stored(Option<StoredSnapshots>);

impl Stored {
    /// Nothing, for records that were fetched from elsewhere.
    pub(crate) const fn nothing() -> Self {
        Self(None)
    }

    /// What the directory holds. Nothing is no error: snapshots are derived.
    pub(crate) fn read(directory: &Path) -> Self {
        let stored = StoredSnapshots::read(directory, &Options::default());
        Self(stored.inspect_err(|why| tracing::info!(%why, "no stored snapshots to compare with")).ok())
    }

    /// The bytes of a portfolio's snapshot, if there is one.
    pub(crate) fn of(&self, id: PortfolioId) -> Option<Vec<u8>> {
        let found = self.0.as_ref()?.get(&super::shelf::snapshot_name(id)).ok().flatten();
        found.map(|(_, bytes)| bytes)
    }
}

impl Journal {
    /// Folds everything anew from the log alone.
    pub(crate) fn rebuild(
        &self,
        wanted: Option<PortfolioId>,
        check: bool,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Rebuilt, JournalError> {
        let mut rebuilt = Rebuilt::new(wanted, check, self.keys().clone());
        let (head, mut fault) = (self.ledger.head(), None);
        self.ledger.scan(1, head, &mut |record| {
            if record.sequence % 4_096 == 0 {
                progress(record.sequence, head);
            }
            match rebuilt.take(record) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    fault = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        rebuilt.finish();
        Ok(rebuilt)
    }
}
