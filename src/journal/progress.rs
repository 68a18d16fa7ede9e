//! How far the projections have come, for whoever watches the service.

use super::Journal;
use std::sync::atomic::Ordering;

/// How far the projections have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    /// The last sequence that is folded into the library.
    pub(crate) applied: u64,
    /// Portfolios whose books are at hand.
    pub(crate) books: usize,
    /// Books that were folded from the first event of their stream since the start.
    pub(crate) folds: u64,
}

impl Journal {
    /// How far the projections have come. Unlike every other read it brings nothing up to date.
    pub(crate) fn progress(&self) -> Progress {
        let applied = self.library.read().applied();
        Progress { applied, books: self.shelf.books(), folds: self.shelf.folds.load(Ordering::Relaxed) }
    }
}
