//! What the ledger knows at every moment of the two years beside the portfolios' own entries: instruments, prices, people
//! and profiles, as the projections fold them.

use super::log::Log;
use daybook_projections::suitability::{WeeklyReturns, weekly_returns};
use daybook_projections::{Library, Meta};
use daybook_schemas::{Currency, Day, InstrumentId, Timestamp};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The library that is folded from what was noted, with the time of each of its events.
pub(super) struct Known {
    pub(super) library: Library,
    times: Vec<Timestamp>,
    /// Weekly returns by instrument and week, each of which many screenings ask for.
    returns: RefCell<BTreeMap<(InstrumentId, i32), WeeklyReturns>>,
}

impl Known {
    /// Folds what was noted so far.
    pub(super) fn of(log: &Log) -> Self {
        let mut library = Library::new();
        let mut times = Vec::new();
        for (sequence, (recorded_at, record)) in (1..).zip(log.in_order()) {
            let meta =
                Meta { sequence, occurred_at: record.occurred_at, recorded_at, import: None, source_rank: 0 };
            library.apply(&meta, &record.stream, &record.event);
            times.push(recorded_at);
        }
        Self { library, times, returns: RefCell::default() }
    }

    /// The last of these events that is recorded by an instant.
    pub(super) fn sequence_at(&self, instant: Timestamp) -> u64 {
        self.times.partition_point(|recorded_at| *recorded_at <= instant) as u64
    }

    /// The weekly returns of an instrument in dollars up to a day.
    pub(super) fn returns(&self, instrument: InstrumentId, day: Day, known: u64) -> WeeklyReturns {
        // From Saturday to Friday no more weeks are whole than on the Friday before.
        let week = (day.number() - 1).div_euclid(7);
        let mut kept = self.returns.borrow_mut();
        kept.entry((instrument, week))
            .or_insert_with(|| {
                weekly_returns(&self.library.prices, instrument, day, known, Some(Currency::USD))
            })
            .clone()
    }
}
