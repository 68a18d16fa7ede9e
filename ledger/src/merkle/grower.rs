//! The thread that grows the tree behind the durable head, and has a checkpoint kept whenever a segment was sealed.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::notary::Notary;
use super::tree::Tree;
use crate::segments::SegmentStore;
use crate::store::CommitStore;

/// How much the thread yields to others: hashing can wait, whoever appends should not.
const NICENESS: i32 = 10;

#[derive(Default)]
struct Bell {
    rung: Mutex<Rung>,
    heard: Condvar,
}

#[derive(Default)]
struct Rung {
    again: bool,
    closing: bool,
}

/// The running thread.
pub(crate) struct Grower {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Grower {
    pub(crate) fn start(
        store: Arc<dyn CommitStore>,
        segments: Option<Arc<SegmentStore>>,
        tree: Arc<Tree>,
        notary: Option<Arc<Notary>>,
    ) -> io::Result<Grower> {
        let bell = Arc::new(Bell::default());
        let heard = Arc::clone(&bell);
        let thread = std::thread::Builder::new().name("ledger-tree".into()).spawn(move || {
            yield_to_others();
            grow_until_closed(&heard, &*store, segments.as_deref(), &tree, notary.as_deref());
        })?;
        Ok(Grower { bell, thread: Some(thread) })
    }

    /// What tells the thread that there is more to hash. Never waits.
    pub(crate) fn ringer(&self) -> impl Fn() + Send + use<> {
        let bell = Arc::clone(&self.bell);
        move || bell.ring(false)
    }

    /// Stops after the step at hand.
    pub(crate) fn close(&mut self) {
        self.bell.ring(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Grower {
    fn drop(&mut self) {
        self.close();
    }
}

impl Bell {
    fn ring(&self, closing: bool) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        rung.again = true;
        rung.closing |= closing;
        drop(rung);
        self.heard.notify_one();
    }

    /// Waits for the next ring; false when closing.
    fn wait(&self) -> bool {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rung =
            self.heard.wait_while(rung, |rung| !rung.again).unwrap_or_else(PoisonError::into_inner);
        rung.again = false;
        !rung.closing
    }
}

/// Lets this thread, on Linux it alone, run only while others leave time.
fn yield_to_others() {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "the tree grows with the priority of all else");
    }
}

fn grow_until_closed(
    bell: &Bell,
    store: &dyn CommitStore,
    segments: Option<&SegmentStore>,
    tree: &Tree,
    notary: Option<&Notary>,
) {
    while bell.wait() {
        let head = store.head();
        if let Err(error) = tree.grow(head, None) {
            tracing::error!(%error, "the tree over the log does not grow");
            continue;
        }
        let sealed = segments.map_or(0, SegmentStore::sealed_to);
        if let Some(notary) = notary.filter(|notary| notary.kept() < sealed)
            && let Err(error) = notary.checkpoint(tree, head, true)
        {
            tracing::warn!(%error, "no checkpoint is kept of what was sealed");
        }
    }
}
