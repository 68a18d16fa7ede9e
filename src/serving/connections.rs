//! How many connections there are, and what became of those that were.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// By either side, in order.
    Closed,
    /// What it said was no HTTP, or it broke.
    Broken,
    /// The head of a request did not come in time.
    SlowHead,
    /// It was silent for too long between requests.
    Idle,
    /// It took nothing of its answer for too long.
    Stalled,
    /// No encrypted connection came about.
    Unencrypted,
    /// The service ended.
    Stopped,
}

impl Ended {
    /// Every way, in the order of their numbers.
    const ALL: [Self; 7] = [
        Self::Closed,
        Self::Broken,
        Self::SlowHead,
        Self::Idle,
        Self::Stalled,
        Self::Unencrypted,
        Self::Stopped,
    ];

    /// The word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken => "broken",
            Self::SlowHead => "slow_head",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Unencrypted => "unencrypted",
            Self::Stopped => "stopped",
        }
    }
}

/// Counts connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: AtomicU64,
    taken: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    ended: [AtomicU64; Ended::ALL.len()],
}

impl Connections {
    /// A connection was taken; it is open until what this gives is dropped.
    pub(super) fn opened(self: &Arc<Self>) -> Open {
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// A connection was refused, because there were too many.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The system gave no connection where there should be one.
    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection ended.
    pub(super) fn ended(&self, how: Ended) {
        self.ended[how as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that are open.
    pub(crate) fn open_now(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections that were taken since the start.
    pub(crate) fn taken_so_far(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Connections that were refused since the start.
    pub(crate) fn refused_so_far(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How often the system gave no connection since the start.
    pub(crate) fn failed_so_far(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// How many connections ended in which way since the start.
    pub(crate) fn ended_so_far(&self) -> impl Iterator<Item = (Ended, u64)> {
        Ended::ALL.into_iter().map(|how| (how, self.ended[how as usize].load(Ordering::Relaxed)))
    }
}

/// A connection that is open.
pub(super) struct Open(Arc<Connections>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
