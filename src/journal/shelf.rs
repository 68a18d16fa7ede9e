//! The books of portfolios that were asked for, each brought up to date from its own stream, within a bound.

use super::entry::{decode, meta};
use super::{Journal, JournalError};
use daybook_ledger::{Direction, Ledger};
use daybook_projections::library::LIBRARY_NAME;
use daybook_projections::{Book, Library, Meta};
use daybook_schemas::{Event, PortfolioId, stream};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Entries that all books on the shelf may hold together; beyond it the books unused for longest are put away.
///
/// An entry takes at most 384 bytes and its texts, which a test of the projections asserts.
const ENTRIES_MAX: u64 = 1_000_000;
/// A book that grew by so many events is written down again, so that the next start need not fold it anew.
const SNAPSHOT_EVENTS: u64 = 2_000;
/// The library is written down again when the ledger grew by so many events.
const LIBRARY_EVENTS: u64 = 20_000;

/// More events than this are taken in together and folded once.
const SINGLE_EVENTS_MAX: usize = 32;

/// The name under which a book is kept between runs.
pub(super) fn snapshot_name(id: PortfolioId) -> String {
    format!("{}/{id}", daybook_projections::FOLD_NAME)
}

/// A book and how much of its stream it holds.
pub(super) struct Slot {
    pub(super) book: Book,
    version: u64,
    kept_version: u64,
    imports_seen: u64,
    used: u64,
}

/// The books at hand.
#[derive(Default)]
pub(super) struct Shelf {
    slots: Mutex<Slots>,
    /// Books that were folded from the first event of their stream.
    pub(super) folds: AtomicU64,
}

impl Shelf {
    /// Portfolios whose books are at hand.
    pub(super) fn books(&self) -> usize {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).by_portfolio.len()
    }
}

#[derive(Default)]
struct Slots {
    by_portfolio: HashMap<PortfolioId, Arc<Mutex<Option<Slot>>>>,
    uses: u64,
}

impl Journal {
    /// Calls `visit` with a portfolio's book, brought up to the library's head.
    pub(super) fn with_book<T>(
        &self,
        id: PortfolioId,
        library: &Library,
        visit: impl FnOnce(&Book) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let (slot, uses) = {
            let mut slots = self.shelf.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.uses += 1;
            (slots.by_portfolio.entry(id).or_default().clone(), slots.uses)
        };
        let mut held = slot.lock().unwrap_or_else(PoisonError::into_inner);
        // A book that met an error half-way is not kept: the next reader starts anew.
        let mut current = match held.take() {
            Some(slot) => slot,
            None => self.take_from_snapshot(id, library)?,
        };
        self.advance(id, &mut current, library)?;
        current.used = uses;
        let answer = visit(&current.book);
        *held = Some(current);
        drop(held);
        self.put_away();
        answer
    }

    fn take_from_snapshot(&self, id: PortfolioId, library: &Library) -> Result<Slot, JournalError> {
        if let Some(book) = self.stored_book(id, library)
            && let Some(version) = self.version_at(id, book.applied())?
            && book.applied() <= library.applied()
        {
            return Ok(Slot {
                book,
                version,
                kept_version: version,
                imports_seen: library.imports.changed_at(),
                used: 0,
            });
        }
        Ok(Slot { book: Book::new(id), version: 0, kept_version: 0, imports_seen: 0, used: 0 })
    }

    /// The book as it was written down last, if it can be used.
    pub(super) fn stored_book(&self, id: PortfolioId, library: &Library) -> Option<Book> {
        let (_, bytes) = self.ledger.snapshots().get(&snapshot_name(id)).ok().flatten()?;
        Book::restore(&bytes, &library.imports)
            .inspect_err(|error| tracing::info!(portfolio = %id, %error, "folding anew"))
            .ok()
    }

    /// The version of a portfolio's stream at a sequence; `None` where the sequence is not its own.
    fn version_at(&self, id: PortfolioId, sequence: u64) -> Result<Option<u64>, JournalError> {
        let record = self.ledger.get(sequence)?;
        Ok(record.filter(|record| *record.stream == *stream::portfolio(id)).map(|record| record.version))
    }

    fn advance(&self, id: PortfolioId, slot: &mut Slot, library: &Library) -> Result<(), JournalError> {
        let head = library.applied();
        let mut fault = None;
        let mut events: Vec<(Meta, Event)> = Vec::new();
        let version = &mut slot.version;
        self.ledger.scan_stream(
            &stream::portfolio(id),
            *version + 1,
            usize::MAX,
            Direction::Forward,
            &mut |record| {
                if record.sequence > head {
                    return ControlFlow::Break(());
                }
                match decode(record) {
                    Ok(event) => events.push((meta(record), event)),
                    Err(error) => {
                        fault = Some(error);
                        return ControlFlow::Break(());
                    }
                }
                *version = record.version;
                ControlFlow::Continue(())
            },
        )?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let imports = &library.imports;
        if slot.book.applied() == 0 {
            self.shelf.folds.fetch_add(1, Ordering::Relaxed);
            slot.book = Book::from_events(id, events, imports);
        } else if events.len() > SINGLE_EVENTS_MAX {
            slot.book.apply_all(events.iter().map(|(meta, event)| (meta, event)), imports);
        } else {
            for (meta, event) in &events {
                slot.book.apply(meta, event, imports);
            }
            if slot.imports_seen < imports.changed_at() {
                slot.book.refresh(imports);
            }
        }
        slot.imports_seen = imports.changed_at();
        if slot.version >= slot.kept_version + SNAPSHOT_EVENTS {
            self.keep(id, slot);
        }
        Ok(())
    }

    fn keep(&self, id: PortfolioId, slot: &mut Slot) {
        if !self.writable || slot.version == slot.kept_version {
            return;
        }
        let kept =
            self.ledger.snapshots().put(&snapshot_name(id), slot.book.applied(), &slot.book.snapshot());
        match kept {
            Ok(()) => slot.kept_version = slot.version,
            // It is derived: without it the next start folds the stream again.
            Err(error) => tracing::warn!(portfolio = %id, %error, "a snapshot was not kept"),
        }
    }

    /// Writes down the books that were written to or asked for, and the library, for the next start.
    pub(crate) fn keep_snapshots(&self) -> Result<(), JournalError> {
        if !self.writable {
            return Ok(());
        }
        let touched = std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner));
        {
            let library = self.library()?;
            for id in touched.into_iter().filter(|id| library.directory.get(*id).is_some()) {
                self.with_book(id, &library, |_| Ok(()))?;
            }
            self.keep_library(&library);
        }
        let slots = self.shelf.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, slot) in &slots.by_portfolio {
            if let Some(slot) = slot.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                self.keep(*id, slot);
            }
        }
        Ok(())
    }

    /// Writes down the library, if it grew enough since it was kept last that the next start would feel it.
    fn keep_library(&self, library: &Library) {
        let snapshots = self.ledger.snapshots();
        let kept = snapshots.get(LIBRARY_NAME).ok().flatten().map_or(0, |(applied, _)| applied);
        if library.applied() < kept + LIBRARY_EVENTS {
            return;
        }
        if let Err(error) = snapshots.put(LIBRARY_NAME, library.applied(), &library.snapshot()) {
            tracing::warn!(%error, "a snapshot of the library was not kept");
        }
    }

    /// The library as it was written down last, if it can be used; else an empty one.
    pub(super) fn stored_library(ledger: &Ledger) -> Library {
        let stored = ledger.snapshots().get(LIBRARY_NAME).ok().flatten();
        let restored = stored.and_then(|(_, bytes)| {
            Library::restore(&bytes)
                .inspect_err(|error| tracing::info!(%error, "folding the library anew"))
                .ok()
        });
        restored.filter(|library| library.applied() <= ledger.head()).unwrap_or_default()
    }

    /// Puts away the books that were unused for longest while all of them together are over the bound.
    fn put_away(&self) {
        let mut slots = self.shelf.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held: Vec<(u64, u64, PortfolioId)> = Vec::with_capacity(slots.by_portfolio.len());
        for (id, slot) in &slots.by_portfolio {
            // One that is in use right now is not the one to put away.
            if let Ok(slot) = slot.try_lock()
                && let Some(slot) = slot.as_ref()
            {
                held.push((slot.used, slot.version, *id));
            }
        }
        let mut entries: u64 = held.iter().map(|(_, version, _)| version).sum();
        if entries <= ENTRIES_MAX {
            return;
        }
        held.sort_unstable();
        let newest = held.len().saturating_sub(1);
        for (_, version, id) in held.into_iter().take(newest) {
            if entries <= ENTRIES_MAX {
                break;
            }
            if let Some(slot) = slots.by_portfolio.remove(&id)
                && let Ok(mut slot) = slot.try_lock()
                && let Some(slot) = slot.as_mut()
            {
                self.keep(id, slot);
            }
            entries -= version;
        }
    }
}
