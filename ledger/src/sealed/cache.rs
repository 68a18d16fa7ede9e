//! The few decompressed blocks and heads of stretches that are kept because reads by stream come back to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::block::Block;
use super::stretch::Stretch;

/// Which block or head: its segment's first sequence, and where it lies in the file.
type Name = (u64, u64);

/// What is kept.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    Block(Arc<Block>),
    Stretch(Arc<Stretch>),
}

impl Kept {
    fn memory(&self) -> usize {
        match self {
            Kept::Block(block) => block.memory(),
            Kept::Stretch(stretch) => stretch.memory(),
        }
    }
}

/// Decompressed blocks and heads of all sealed segments, the least recently used given up first.
///
/// Holds at most the bytes it was made for; what is larger than that is not kept at all.
#[derive(Debug)]
pub(crate) struct BlockCache {
    bytes_max: usize,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    kept: HashMap<Name, (Kept, u64)>,
    bytes: usize,
    /// Counts uses: a block's last one is its age.
    clock: u64,
}

impl BlockCache {
    /// A cache of at most `bytes_max` bytes of memory.
    pub(crate) fn new(bytes_max: usize) -> BlockCache {
        BlockCache { bytes_max, shelf: Mutex::default() }
    }

    /// Bytes held now.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(super) fn get(&self, name: Name) -> Option<Kept> {
        let mut shelf = self.lock();
        shelf.clock += 1;
        let now = shelf.clock;
        let (kept, used) = shelf.kept.get_mut(&name)?;
        *used = now;
        Some(kept.clone())
    }

    pub(super) fn keep(&self, name: Name, kept: Kept) {
        let size = kept.memory();
        if size > self.bytes_max {
            return;
        }
        let mut shelf = self.lock();
        shelf.clock += 1;
        let now = shelf.clock;
        if let Some((former, _)) = shelf.kept.insert(name, (kept, now)) {
            shelf.bytes -= former.memory();
        }
        shelf.bytes += size;
        while shelf.bytes > self.bytes_max {
            // A few hundred at most: looking at each costs less than decompressing one.
            let oldest = shelf.kept.iter().min_by_key(|(_, (_, used))| *used).map(|(name, _)| *name);
            let Some((former, _)) = oldest.and_then(|name| shelf.kept.remove(&name)) else { break };
            shelf.bytes -= former.memory();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        // Nothing panics between the changes that belong together, so a poisoned lock guards whole data.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(bytes: usize) -> Kept {
        let mut block = Block::default();
        *block.buffer() = Vec::with_capacity(bytes);
        Kept::Block(Arc::new(block))
    }

    #[test]
    fn the_cache_never_holds_more_than_its_bound_and_gives_up_the_least_used() {
        let cache = BlockCache::new(10_000);
        for name in 0..100 {
            cache.keep((1, name), block(2_000));
            assert!(cache.bytes() <= 10_000);
            cache.get((1, 0));
        }
        assert!(cache.get((1, 0)).is_some());
        assert!(cache.get((1, 99)).is_some());
        assert!(cache.get((1, 50)).is_none());
    }

    #[test]
    fn a_block_larger_than_the_cache_is_not_kept() {
        let cache = BlockCache::new(1_000);
        cache.keep((1, 1), block(2_000));
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn keeping_a_block_twice_counts_it_once() {
        let cache = BlockCache::new(10_000);
        cache.keep((1, 1), block(2_000));
        let once = cache.bytes();
        cache.keep((1, 1), block(2_000));
        assert_eq!(cache.bytes(), once);
    }
}
