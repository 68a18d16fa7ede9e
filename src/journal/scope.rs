//! What the work under way may know of: the last door, behind which no route can forget to ask.
//!
//! A request's work is done within the reach of its caller. Whatever portfolio it then opens outside of that reach is
//! not there, whichever way it came to the id. Work without a caller (the command line, the daemons) reaches all.

use daybook_projections::Reach;
use daybook_schemas::{PortfolioId, stream};
use std::cell::RefCell;
use std::sync::Arc;

thread_local! {
    static REACH: RefCell<Option<Arc<Reach>>> = const { RefCell::new(None) };
}

/// Gives a thread back what it reached before, also when its work panics.
struct Restored(Option<Arc<Reach>>);

impl Drop for Restored {
    fn drop(&mut self) {
        REACH.with(|reach| reach.replace(self.0.take()));
    }
}

/// Does blocking work on this thread within a reach; without one, with all there is.
pub(crate) fn within<T>(reach: Option<Arc<Reach>>, work: impl FnOnce() -> T) -> T {
    let _before = Restored(REACH.with(|current| current.replace(reach)));
    work()
}

/// What the work on this thread may know of; all there is, if nothing is said.
pub(super) fn current() -> Option<Arc<Reach>> {
    REACH.with(|reach| reach.borrow().clone())
}

/// Whether the work on this thread may know of a portfolio.
pub(super) fn reaches(portfolio: PortfolioId) -> bool {
    REACH.with(|reach| reach.borrow().as_ref().is_none_or(|reach| reach.portfolio(portfolio)))
}

/// Whether the work on this thread may write to a stream that there is already.
pub(super) fn reaches_stream(stream: &str) -> bool {
    if let Some(portfolio) = stream::portfolio_of(stream) {
        return reaches(portfolio);
    }
    let party = stream.strip_prefix("party-").and_then(|id| id.parse().ok());
    party.is_none_or(|party| {
        REACH.with(|reach| reach.borrow().as_ref().is_none_or(|reach| reach.party(party)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use daybook_projections::NamedReach;

    #[test]
    fn work_reaches_what_its_caller_does_and_the_next_work_does_not_inherit_it() {
        let (mine, other) = (PortfolioId::from_bytes([1; 16]), PortfolioId::from_bytes([2; 16]));
        let named = NamedReach { portfolios: [mine].into(), ..NamedReach::default() };
        let reach = Arc::new(Reach::Named(named));
        assert!(within(Some(Arc::clone(&reach)), || reaches(mine) && !reaches(other)));
        assert!(reaches(other));
        let panicked = std::panic::catch_unwind(|| within(Some(reach), || panic!("half-way")));
        assert!(panicked.is_err() && reaches(other));
    }
}
