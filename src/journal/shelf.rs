//! The books of portfolios that were asked for, each brought up to date from its own stream, within a bound.

use super::entry::{decode, meta};
use super::{Journal, JournalError};
use daybook_ledger::{Direction, Ledger};
use daybook_projections::library::LIBRARY_NAME;
use daybook_projections::{Book, Imports, Library, Meta};
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

/// How often a book is brought up to date before it is shown although its stream went on meanwhile.
const ATTEMPTS: u32 = 3;

/// A book and how much of its stream it holds.
pub(super) struct Slot {
    book: Book,
    version: u64,
    kept_version: u64,
    imports_seen: u64,
}

/// The books at hand.
#[derive(Default)]
pub(super) struct Shelf {
    places: Mutex<Places>,
    /// Books that were folded from the first event of their stream.
    pub(super) folds: AtomicU64,
}

impl Shelf {
    /// Portfolios whose books are at hand.
    pub(super) fn books(&self) -> usize {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).by_portfolio.len()
    }
}

#[derive(Default)]
struct Places {
    by_portfolio: HashMap<PortfolioId, Place>,
    uses: u64,
    /// Of all places together.
    entries: u64,
}

/// Where a book stands, what it counts for, and when it was used last.
#[derive(Default)]
struct Place {
    slot: Arc<Mutex<Option<Slot>>>,
    entries: u64,
    used: u64,
}

/// A book that is up to date, and how far that reaches.
pub(super) struct Current<'s> {
    pub(super) book: &'s Book,
    /// The highest sequence that the book reflects.
    pub(super) reaches: u64,
    /// The imports that it was folded with.
    pub(super) imports: Arc<Imports>,
}

impl Journal {
    /// Calls `visit` with a portfolio's book, brought up to the library's head.
    ///
    /// The library is not held while the book is folded, so that a long fold keeps nobody waiting but those who ask for
    /// the same book; nor may a caller hold it.
    pub(super) fn with_book<T>(
        &self,
        id: PortfolioId,
        visit: impl FnOnce(&Current<'_>) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let slot = {
            let mut places = self.shelf.places.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&places.by_portfolio.entry(id).or_default().slot)
        };
        let mut held = slot.lock().unwrap_or_else(PoisonError::into_inner);
        // A book that met an error half-way is not kept: the next reader starts anew.
        let mut slot = match held.take() {
            Some(slot) => slot,
            None => self.take_from_snapshot(id)?,
        };
        let mut attempt = 1;
        let (reaches, imports) = loop {
            let (applied, imports) = {
                let library = self.library()?;
                (library.applied(), Arc::clone(&library.imports))
            };
            self.advance(id, &mut slot, applied, &imports)?;
            let library = self.library_as_it_is();
            let same_imports = library.imports.changed_at() <= slot.imports_seen;
            if same_imports && library.directory.last_sequence(id) <= slot.book.applied() {
                break (library.applied(), Arc::clone(&library.imports));
            }
            if attempt == ATTEMPTS {
                break (applied, imports);
            }
            attempt += 1;
        };
        let entries = slot.version;
        let answer = visit(&Current { book: &slot.book, reaches, imports });
        *held = Some(slot);
        drop(held);
        self.put_away(id, entries);
        answer
    }

    fn take_from_snapshot(&self, id: PortfolioId) -> Result<Slot, JournalError> {
        let (applied, imports) = {
            let library = self.library()?;
            (library.applied(), Arc::clone(&library.imports))
        };
        if let Some(book) = self.stored_book(id, &imports)
            && let Some(version) = self.version_at(id, book.applied())?
            && book.applied() <= applied
        {
            return Ok(Slot { book, version, kept_version: version, imports_seen: imports.changed_at() });
        }
        Ok(Slot { book: Book::new(id), version: 0, kept_version: 0, imports_seen: 0 })
    }

    /// The book as it was written down last, if it can be used.
    pub(super) fn stored_book(&self, id: PortfolioId, imports: &Imports) -> Option<Book> {
        let (_, bytes) = self.ledger.snapshots().get(&snapshot_name(id)).ok().flatten()?;
        Book::restore(&bytes, imports)
            .inspect_err(|error| tracing::info!(portfolio = %id, %error, "folding anew"))
            .ok()
    }

    /// The version of a portfolio's stream at a sequence; `None` where the sequence is not its own.
    fn version_at(&self, id: PortfolioId, sequence: u64) -> Result<Option<u64>, JournalError> {
        let record = self.ledger.get(sequence)?;
        Ok(record.filter(|record| *record.stream == *stream::portfolio(id)).map(|record| record.version))
    }

    fn advance(
        &self,
        id: PortfolioId,
        slot: &mut Slot,
        head: u64,
        imports: &Imports,
    ) -> Result<(), JournalError> {
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
        for id in touched {
            if self.library()?.directory.get(id).is_some() {
                self.with_book(id, |_| Ok(()))?;
            }
        }
        self.keep_library(&*self.library()?);
        let slots: Vec<(PortfolioId, Arc<Mutex<Option<Slot>>>)> = {
            let places = self.shelf.places.lock().unwrap_or_else(PoisonError::into_inner);
            places.by_portfolio.iter().map(|(id, place)| (*id, Arc::clone(&place.slot))).collect()
        };
        for (id, slot) in slots {
            if let Some(slot) = slot.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                self.keep(id, slot);
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

    /// Notes that a book was used and what it counts for; while all of them together are over the bound, the books that
    /// were unused for longest are put away.
    fn put_away(&self, used: PortfolioId, entries: u64) {
        let mut places = self.shelf.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.uses += 1;
        let uses = places.uses;
        // It may have been put away while it was in use.
        let Some(place) = places.by_portfolio.get_mut(&used) else { return };
        let before = std::mem::replace(&mut place.entries, entries);
        place.used = uses;
        places.entries = places.entries - before + entries;
        if places.entries <= ENTRIES_MAX {
            return;
        }
        let mut oldest: Vec<(u64, PortfolioId)> = places
            .by_portfolio
            .iter()
            .map(|(id, place)| (place.used, *id))
            .filter(|(_, id)| *id != used)
            .collect();
        oldest.sort_unstable();
        let mut away = Vec::new();
        for (_, id) in oldest {
            if places.entries <= ENTRIES_MAX {
                break;
            }
            // One that is in use right now is not the one to put away.
            let in_use = |place: &Place| place.slot.try_lock().is_err();
            if places.by_portfolio.get(&id).is_none_or(in_use) {
                continue;
            }
            if let Some(place) = places.by_portfolio.remove(&id) {
                places.entries -= place.entries;
                away.push((id, place.slot));
            }
        }
        drop(places);
        for (id, slot) in away {
            if let Ok(mut slot) = slot.try_lock()
                && let Some(slot) = slot.as_mut()
            {
                self.keep(id, slot);
            }
        }
    }
}
