//! The few decompressed blocks that are kept because reads by stream come back to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::block::Block;

/// Which block: its segment's first sequence, and the block's own.
type Name = (u64, u64);

/// Decompressed blocks of all sealed segments, the least recently used given up first.
///
/// Holds at most the bytes it was made for; a block larger than that is not kept at all.
#[derive(Debug)]
pub(crate) struct BlockCache {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    blocks: HashMap<Name, (Arc<Block>, u64)>,
    bytes: usize,
    /// Counts uses: a block's last one is its age.
    clock: u64,
}

impl BlockCache {
    /// A cache of at most `bytes_max` bytes of memory.
    pub(crate) fn new(bytes_max: usize) -> BlockCache {
        BlockCache { bytes_max, kept: Mutex::default() }
    }

    /// Bytes held now.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(super) fn get(&self, name: Name) -> Option<Arc<Block>> {
        let mut kept = self.lock();
        kept.clock += 1;
        let now = kept.clock;
        let (block, used) = kept.blocks.get_mut(&name)?;
        *used = now;
        Some(Arc::clone(block))
    }

    pub(super) fn keep(&self, name: Name, block: &Arc<Block>) {
        let size = block.memory();
        if size > self.bytes_max {
            return;
        }
        let mut kept = self.lock();
        kept.clock += 1;
        let now = kept.clock;
        if let Some((former, _)) = kept.blocks.insert(name, (Arc::clone(block), now)) {
            kept.bytes -= former.memory();
        }
        kept.bytes += size;
        while kept.bytes > self.bytes_max {
            // A few hundred blocks at most: looking at each costs less than decompressing one.
            let oldest = kept.blocks.iter().min_by_key(|(_, (_, used))| *used).map(|(name, _)| *name);
            let Some((former, _)) = oldest.and_then(|name| kept.blocks.remove(&name)) else { break };
            kept.bytes -= former.memory();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics between the changes that belong together, so a poisoned lock guards whole data.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(bytes: usize) -> Arc<Block> {
        let mut block = Block::default();
        *block.buffer() = Vec::with_capacity(bytes);
        Arc::new(block)
    }

    #[test]
    fn the_cache_never_holds_more_than_its_bound_and_gives_up_the_least_used() {
        let cache = BlockCache::new(10_000);
        for name in 0..100 {
            cache.keep((1, name), &block(2_000));
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
        cache.keep((1, 1), &block(2_000));
        assert_eq!(cache.bytes(), 0);
    }

    #[test]
    fn keeping_a_block_twice_counts_it_once() {
        let cache = BlockCache::new(10_000);
        cache.keep((1, 1), &block(2_000));
        let once = cache.bytes();
        cache.keep((1, 1), &block(2_000));
        assert_eq!(cache.bytes(), once);
    }
}
