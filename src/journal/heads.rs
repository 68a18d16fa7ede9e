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
pub(crate) struct Standing {
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
    /// The highest sequence that was acknowledged before the library had taken it in.
    owed: u64,
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

    /// The highest sequence that anybody was told is recorded, as far as this is known here.
    pub(super) fn acknowledged(&self) -> u64 {
        let numbers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        numbers.applied.max(numbers.owed)
    }

    /// Notes that a sequence is acknowledged though the library has not taken it in.
    pub(super) fn owe(&self, sequence: u64) {
        let mut numbers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        numbers.owed = numbers.owed.max(sequence);
    }

    /// When what anybody may reach changed last.
    pub(super) fn standing(&self) -> Standing {
        self.0.read().unwrap_or_else(PoisonError::into_inner).standing
    }

    /// The highest sequence that figures reflect: the library's, if nothing that they depend on has changed since they
    /// were worked out; nothing, if something has or may have.
    pub(super) fn stands(&self, portfolio: PortfolioId, basis: &Basis, now: Timestamp) -> Option<u64> {
        if now <= basis.day.0 || now > basis.day.1 {
            return None;
        }
        let numbers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_before = |changed: Option<&u64>| changed.is_none_or(|changed| *changed <= basis.reflects);
        let stands = numbers.owed <= numbers.applied
            && numbers.shared <= basis.reflects
            && is_before(numbers.portfolios.get(&portfolio))
            && basis.priced.iter().all(|instrument| is_before(numbers.prices.get(instrument)));
        stands.then_some(numbers.applied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: (Timestamp, Timestamp) = (Timestamp::from_nanos(100), Timestamp::from_nanos(200));

    fn basis(reflects: u64, priced: &[u8]) -> Basis {
        let priced = priced.iter().map(|number| InstrumentId::from_bytes([*number; 16])).collect();
        Basis { reflects, day: DAY, priced }
    }

    fn stands(heads: &Heads, basis: &Basis, nanos: i64) -> Option<u64> {
        heads.stands(PortfolioId::from_bytes([1; 16]), basis, Timestamp::from_nanos(nanos))
    }

    #[test]
    fn figures_stand_for_their_day_alone() {
        let heads = Heads::default();
        let basis = basis(0, &[]);
        let stood: Vec<bool> =
            [100, 101, 200, 201].map(|nanos| stands(&heads, &basis, nanos).is_some()).to_vec();
        assert_eq!(stood, [false, true, true, false]);
    }

    #[test]
    fn figures_stand_until_their_own_portfolio_a_price_that_they_asked_for_or_something_shared_changes() {
        let heads = Heads::default();
        let change = |change: fn(&mut Changes)| {
            let mut changes = Changes::default();
            change(&mut changes);
            heads.take(changes, &Library::new());
        };
        let basis = basis(5, &[7]);
        change(|changes| changes.portfolios.push((PortfolioId::from_bytes([1; 16]), 5)));
        change(|changes| changes.portfolios.push((PortfolioId::from_bytes([2; 16]), 9)));
        change(|changes| changes.prices.push((InstrumentId::from_bytes([8; 16]), 9)));
        assert!(stands(&heads, &basis, 150).is_some());
        change(|changes| changes.prices.push((InstrumentId::from_bytes([7; 16]), 6)));
        assert!(stands(&heads, &basis, 150).is_none());
        let basis = Basis { reflects: 6, ..basis };
        assert!(stands(&heads, &basis, 150).is_some());
        change(|changes| changes.portfolios.push((PortfolioId::from_bytes([1; 16]), 7)));
        assert!(stands(&heads, &basis, 150).is_none());
        let basis = Basis { reflects: 7, ..basis };
        change(|changes| changes.shared = 8);
        assert!(stands(&heads, &basis, 150).is_none());
    }

    #[test]
    fn nothing_stands_for_certain_while_something_acknowledged_was_not_taken_in() {
        let heads = Heads::default();
        let basis = basis(5, &[]);
        assert_eq!(stands(&heads, &basis, 150), Some(0));
        heads.owe(3);
        assert_eq!((stands(&heads, &basis, 150), heads.acknowledged()), (None, 3));
    }
}
