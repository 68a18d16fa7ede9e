//! A portfolio's figures for all who watch it: computed once when something changed that may concern them.

use super::concern::{Concerned, Held};
use super::hub::Hub;
use crate::api::page::Pin;
use crate::api::portfolios::summary;
use crate::api::problem::Problem;
use crate::api::proportions;
use crate::api::seen;
use crate::api::service::Service;
use crate::journal::{Journal, now};
use daybook_projections::AsOf;
use daybook_schemas::{Day, PortfolioId, Zone};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// How often the portfolio had been touched before the figures were computed.
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
    /// How often something happened that may concern the portfolio.
    touched: watch::Sender<u64>,
    /// What the portfolio holds: its prices concern it.
    held: Mutex<Held>,
    published: tokio::sync::Mutex<Option<Arc<Published>>>,
}

impl Feed {
    /// A feed of which nothing is computed yet.
    pub(super) fn new(portfolio: PortfolioId) -> Self {
        Self {
            portfolio,
            touched: watch::Sender::new(0),
            held: Mutex::default(),
            published: tokio::sync::Mutex::new(None),
        }
    }

    /// Whether any of some events may change the portfolio's figures.
    pub(super) fn is_touched_by(&self, concerned: &Concerned) -> bool {
        concerned.touches(self.portfolio, &self.held())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an event may concern the portfolio.
    pub(super) fn touch(&self) {
        self.touched.send_modify(|touches| *touches += 1);
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
        let computed = Arc::new(computed);
        *published = Some(Arc::clone(&computed));
        let mut before = self.held();
        let more = !held.instruments.is_subset(&before.instruments) || (held.foreign && !before.foreign);
        *before = held;
        drop(before);
        if more {
            // What happened to it while the figures were computed was nobody's concern yet.
            self.touch();
        }
        Ok(computed)
    }
}

fn compute(journal: &Journal, portfolio: PortfolioId, touched: u64) -> Result<(Published, Held), Problem> {
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
        let held = Held {
            instruments: view
                .holdings()
                .flat_map(|(_, instrument, _)| [instrument, view.library.instruments.canonical(instrument)])
                .collect(),
            foreign: view.holdings().any(|(.., holding)| holding.currency != view.portfolio.base_currency)
                || view.summary().cash.keys().any(|currency| *currency != view.portfolio.base_currency),
        };
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
