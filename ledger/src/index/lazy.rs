//! The index of a ledger opened for reading alone: in memory, and filled only when it is first asked, so that
//! whoever merely scans pays nothing for it.

use std::sync::{Arc, OnceLock};

use super::digest::{Digest, Mixer};
use super::plain::PlainIndex;
use super::{Direction, Index, IndexBatch, IndexError, KeyHash, Snapshots, Tiles, Totals};

/// Brings an empty index up to date with the log.
type Fill = Box<dyn Fn(&PlainIndex) -> Result<(), IndexError> + Send + Sync>;

/// Filled when first asked; memory then grows with the ledger.
pub(crate) struct LazyIndex {
    head: u64,
    fill: Fill,
    filled: OnceLock<Result<(), IndexError>>,
    index: Arc<PlainIndex>,
}

impl LazyIndex {
    /// An index of a log that ends at `head` and is not written to.
    pub(crate) fn new(head: u64, fill: Fill) -> LazyIndex {
        LazyIndex { head, fill, filled: OnceLock::new(), index: Arc::default() }
    }

    fn index(&self) -> Result<&PlainIndex, IndexError> {
        self.filled.get_or_init(|| (self.fill)(&self.index)).clone()?;
        Ok(&self.index)
    }
}

impl Index for LazyIndex {
    fn applied(&self) -> u64 {
        self.head
    }

    fn apply(&self, batch: &IndexBatch) -> Result<(), IndexError> {
        if batch.is_empty() {
            return Ok(());
        }
        Err(IndexError::Broken("the ledger is open for reading alone".into()))
    }

    fn stream_version(&self, stream: &str) -> Result<Option<u64>, IndexError> {
        self.index()?.stream_version(stream)
    }

    fn stream_sequences(
        &self,
        stream: &str,
        from_version: u64,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<u64>, IndexError> {
        self.index()?.stream_sequences(stream, from_version, limit, direction)
    }

    fn key_candidates(&self, hash: KeyHash, out: &mut Vec<u64>) -> Result<(), IndexError> {
        self.index()?.key_candidates(hash, out)
    }

    fn commit_candidates(&self, hash: KeyHash, out: &mut Vec<u64>) -> Result<(), IndexError> {
        self.index()?.commit_candidates(hash, out)
    }

    fn cursor(&self, source: &str) -> Result<Option<Box<[u8]>>, IndexError> {
        self.index()?.cursor(source)
    }

    fn totals(&self) -> Result<Totals, IndexError> {
        self.index()?.totals()
    }

    fn digest(&self, mixer: Mixer) -> Result<Digest, IndexError> {
        self.index()?.digest(mixer)
    }

    fn memory_bytes(&self) -> usize {
        self.index.memory_bytes()
    }

    fn snapshots(&self) -> &dyn Snapshots {
        self.index.snapshots()
    }

    fn tiles(&self) -> &dyn Tiles {
        self.index.tiles()
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }
}
