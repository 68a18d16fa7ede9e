//! A portfolio's figures for all who watch it: computed once when something changed that may concern them.

use super::hub::Hub;
use crate::api::page::Pin;
use crate::api::portfolios::summary;
use crate::api::problem::Problem;
use crate::api::proportions;
use crate::api::seen;
use crate::api::service::Service;
use crate::journal::{Journal, now};
use daybook_ledger::Record;
use daybook_projections::AsOf;
use daybook_schemas::{Day, InstrumentId, PortfolioId, Zone, stream};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The figures as they were computed last.
pub(super) struct Published {
    /// The ledger's head that they reflect.
    pub(super) sequence: u64,
    /// The figures, as `GET /portfolios/{id}` gives them.
    pub(super) full: String,
    /// The figures as those see them who may know no amount.
    pub(super) proportions: String,
    /// What tells two publications apart: the figures without the head that they reflect.
    pub(super) figures: [u8; 32],
    /// The portfolio's own day, which is the moment of the figures.
    day: Day,
    zone: Zone,
    /// The last event that was known to concern the portfolio before the figures were computed.
    touched: u64,
}

impl Published {
    /// Whether the figures may be others by now.
    fn is_stale(&self, touched: u64) -> bool {
        touched > self.touched || now().day_in(self.zone) != self.day
    }
}

/// What all who watch a portfolio share.
pub(super) struct Feed {
    portfolio: PortfolioId,
    stream: String,
    /// The last event that may concern the portfolio.
    touched: watch::Sender<u64>,
    /// What the portfolio holds: their prices concern it.
    held: Mutex<BTreeSet<InstrumentId>>,
    published: tokio::sync::Mutex<Option<Arc<Published>>>,
}

impl Feed {
    /// A feed of which nothing is computed yet.
    pub(super) fn new(portfolio: PortfolioId) -> Self {
        Self {
            portfolio,
            stream: stream::portfolio(portfolio),
            touched: watch::Sender::new(0),
            held: Mutex::default(),
            published: tokio::sync::Mutex::new(None),
        }
    }

    /// Whether a record may change the portfolio's figures.
    pub(super) fn concerns(&self, record: &Record) -> bool {
        match stream::category(&record.stream) {
            "portfolio" => *record.stream == *self.stream,
            "market" | "instrument" => match record.stream.rsplit('-').next().map(str::parse) {
                Some(Ok(instrument)) => {
                    self.held.lock().unwrap_or_else(PoisonError::into_inner).contains(&instrument)
                }
                // A rate between currencies.
                _ => true,
            },
            // An import becomes visible, or is taken back.
            "import" => true,
            _ => false,
        }
    }

    /// Notes that an event may concern the portfolio.
    pub(super) fn touch(&self, sequence: u64) {
        self.touched.send_replace(sequence);
    }

    /// Tells whenever something may have changed.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.touched.subscribe()
    }

    /// The figures as they are now; computed at most once for all who ask after the same change.
    pub(super) async fn current(&self, service: &Service, hub: &Hub) -> Result<Arc<Published>, Problem> {
        let mut published = self.published.lock().await;
        let touched = *self.touched.borrow();
        if let Some(published) = &*published
            && !published.is_stale(touched)
        {
            return Ok(Arc::clone(published));
        }
        let _turn = hub.reads.acquire().await;
        let portfolio = self.portfolio;
        let (computed, held) = service.blocking(move |journal| compute(journal, portfolio, touched)).await?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        let computed = Arc::new(computed);
        *published = Some(Arc::clone(&computed));
        Ok(computed)
    }
}

fn compute(
    journal: &Journal,
    portfolio: PortfolioId,
    touched: u64,
) -> Result<(Published, BTreeSet<InstrumentId>), Problem> {
    let (zone, known) = {
        let library = journal.library()?;
        let entry = library.directory.get(portfolio);
        let entry = entry.ok_or_else(|| Problem::not_found("portfolio", portfolio))?;
        (entry.zone, library.applied())
    };
    let day = now().day_in(zone);
    let pin = Pin { known, as_of: AsOf::Day(day) };
    seen::visit(journal, portfolio, pin, |view| {
        let mut full = summary(view, pin);
        let written = full.to_string();
        let mut proportions = proportions::summary(view, pin);
        let written_proportions = proportions.to_string();
        full["sequence"] = 0.into();
        proportions["sequence"] = 0.into();
        let mut hasher = blake3::Hasher::new();
        hasher.update(full.to_string().as_bytes());
        hasher.update(proportions.to_string().as_bytes());
        let held = view
            .holdings()
            .flat_map(|(_, instrument, _)| [instrument, view.library.instruments.canonical(instrument)])
            .collect();
        let published = Published {
            sequence: known,
            full: written,
            proportions: written_proportions,
            figures: *hasher.finalize().as_bytes(),
            day,
            zone,
            touched,
        };
        Ok((published, held))
    })
}
