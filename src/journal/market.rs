//! Prices for valuation: resident ones first, and the log for ticks that are on disk alone.

use super::entry::{decode, meta};
use daybook_ledger::Ledger;
use daybook_projections::{AnnouncedSplit, Library, NeedsDisk, Observation, ObservationKind, PriceSource};
use daybook_schemas::events::TickKind;
use daybook_schemas::{Event, InstrumentId, Timestamp};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Whoever can say what an instrument was worth, at this ledger.
pub(crate) struct Market<'a> {
    pub(super) library: &'a Library,
    /// Where thinned ticks can be looked up; absent for records that were fetched from elsewhere.
    pub(super) ledger: Option<&'a Ledger>,
}

/// A market that remembers which instruments it was asked about.
pub(super) struct Asked<'m, 'a> {
    market: &'m Market<'a>,
    instruments: RefCell<BTreeSet<InstrumentId>>,
}

impl<'m, 'a> Asked<'m, 'a> {
    pub(super) fn new(market: &'m Market<'a>) -> Self {
        Self { market, instruments: RefCell::default() }
    }

    /// The instruments that it was asked about.
    pub(super) fn into_instruments(self) -> Box<[InstrumentId]> {
        self.instruments.into_inner().into_iter().collect()
    }
}

impl PriceSource for Asked<'_, '_> {
    fn latest(
        &self,
        instrument: InstrumentId,
        at: Timestamp,
        known: u64,
    ) -> Result<Option<Observation>, NeedsDisk> {
        self.instruments.borrow_mut().insert(instrument);
        self.market.latest(instrument, at, known)
    }

    fn announced_splits(&self, instrument: InstrumentId, known: u64) -> Vec<AnnouncedSplit> {
        self.instruments.borrow_mut().insert(instrument);
        self.market.announced_splits(instrument, known)
    }
}

impl PriceSource for Market<'_> {
    fn latest(
        &self,
        instrument: InstrumentId,
        at: Timestamp,
        known: u64,
    ) -> Result<Option<Observation>, NeedsDisk> {
        self.library
            .prices
            .latest_reading(instrument, at, known, &mut |needed| self.on_disk(needed, instrument, at, known))
    }

    fn announced_splits(&self, instrument: InstrumentId, known: u64) -> Vec<AnnouncedSplit> {
        self.library.prices.announced_splits(instrument, known)
    }
}

impl Market<'_> {
    /// Looks through the ticks that were thinned out. What cannot be read stays a price that is not known.
    fn on_disk(
        &self,
        needed: &NeedsDisk,
        instrument: InstrumentId,
        at: Timestamp,
        known: u64,
    ) -> Result<Option<Observation>, NeedsDisk> {
        let mut best: Option<Observation> = None;
        let feed = needed
            .stream
            .strip_prefix("market-")
            .and_then(|rest| rest.rsplit_once('-'))
            .map_or("", |(feed, _)| feed);
        let Some(ledger) = self.ledger else { return Err(needed.clone()) };
        let read = ledger.scan(needed.from_sequence, needed.to_sequence.min(known), &mut |record| {
            let later = best.as_ref().is_none_or(|best| record.occurred_at >= best.occurred_at.nanos());
            if record.stream == needed.stream && record.occurred_at <= at.nanos() && later {
                let meta = meta(record);
                if self.library.imports.counts(meta.import, known)
                    && let Ok(Event::PriceTick(tick)) = decode(record)
                    && tick.instrument == instrument
                    && !matches!(tick.kind, TickKind::Bid | TickKind::Ask)
                {
                    best = Some(Observation {
                        price: tick.price.get(),
                        currency: tick.currency,
                        occurred_at: meta.occurred_at,
                        sequence: meta.sequence,
                        feed: feed.into(),
                        kind: ObservationKind::Tick,
                        day: None,
                    });
                }
            }
            ControlFlow::Continue(())
        });
        match read {
            Ok(()) => Ok(best),
            Err(error) => {
                tracing::error!(%error, "a price could not be read");
                Err(needed.clone())
            }
        }
    }
}
