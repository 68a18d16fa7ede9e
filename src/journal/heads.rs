//! What changed when: kept beside the library, for readers that may wait for nobody.
//!
//! Whoever takes events into the library notes here what they change. A reader that keeps an answer asks whether it still
//! stands, and asks no more than a few numbers under a lock that nobody holds for longer than it takes to write them.

use daybook_projections::Library;
use daybook_schemas::{Event, InstrumentId, PortfolioId, Timestamp, stream};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// What the present figures of a portfolio depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Basis {
    /// The highest sequence that the figures reflect.
    pub(crate) reflects: u64,
    /// The last instant before the portfolio's day, and the last one of it.
    pub(crate) day: (Timestamp, Timestamp),
    /// The instruments whose prices were asked for.
    pub(crate) priced: Box<[InstrumentId]>,
}

/// The sequences at which the firm and the tokens changed last: what anybody may reach depends on both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) firm: u64,
    pub(super) access: u64,
}

impl Standing {
    pub(super) fn of(library: &Library) -> Self {
        Self { firm: library.firm.changed_at(), access: library.access.changed_at() }
    }
}

/// The sequences of the last changes since the journal was opened.
#[derive(Default)]
pub(super) struct Heads(RwLock<Numbers>);

#[derive(Default)]
struct Numbers {
    applied: u64,
    standing: Standing,
    /// What may concern every portfolio: names of instruments, imports, rates of exchange, announcements.
    shared: u64,
    portfolios: HashMap<PortfolioId, u64>,
    prices: HashMap<InstrumentId, u64>,
}

/// What some events changed.
#[derive(Default)]
pub(super) struct Changes {
    shared: u64,
    portfolios: Vec<(PortfolioId, u64)>,
    prices: Vec<(InstrumentId, u64)>,
}

impl Changes {
    /// Notes what an event changes.
    pub(super) fn note(&mut self, sequence: u64, stream: &str, event: &Event) {
        if let Some(portfolio) = stream::portfolio_of(stream) {
            self.portfolios.push((portfolio, sequence));
        }
        match event {
            Event::BarClosed(bar) => self.prices.push((bar.instrument, sequence)),
            Event::PriceTick(tick) => self.prices.push((tick.instrument, sequence)),
            Event::FxRateObserved(_) | Event::CorporateActionAnnounced(_) | Event::PersonForgotten(_) => {
                self.shared = sequence;
            }
            _ => {}
        }
    }
}

impl Heads {
    /// Takes in what events changed, once the library has taken them in and before anybody reads it.
    pub(super) fn take(&self, changes: Changes, library: &Library) {
        let mut numbers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        numbers.portfolios.extend(changes.portfolios);
        numbers.prices.extend(changes.prices);
        let shared = [changes.shared, library.instruments.changed_at(), library.imports.changed_at()];
        numbers.shared = shared.into_iter().fold(numbers.shared, u64::max);
        numbers.standing = Standing::of(library);
        numbers.applied = library.applied();
    }

    /// The highest sequence that the library has taken in.
    pub(super) fn applied(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).applied
    }

    /// When what anybody may reach changed last.
    pub(super) fn standing(&self) -> Standing {
        self.0.read().unwrap_or_else(PoisonError::into_inner).standing
    }

    /// The highest sequence that figures reflect: the library's, if nothing that they depend on has changed since they
    /// were worked out; else nothing.
    pub(super) fn stands(&self, portfolio: PortfolioId, basis: &Basis, now: Timestamp) -> Option<u64> {
        if now <= basis.day.0 || now > basis.day.1 {
            return None;
        }
        let numbers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_before = |changed: Option<&u64>| changed.is_none_or(|changed| *changed <= basis.reflects);
        let stands = numbers.shared <= basis.reflects
            && is_before(numbers.portfolios.get(&portfolio))
            && basis.priced.iter().all(|instrument| is_before(numbers.prices.get(instrument)));
        stands.then_some(numbers.applied)
    }
}
