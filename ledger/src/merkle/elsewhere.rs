//! Proving from tiles that are fetched from wherever a log is served, with nothing of the log at hand.

use std::collections::HashMap;
use std::ops::Range;

use super::hash::Hash;
use super::proof::{self, ProofError, root_of};
use super::tile::{TILE_LEVELS, TILE_WIDTH, TilePath, Tiled};

/// Why nothing could be proven from tiles.
#[derive(Debug, thiserror::Error)]
pub enum TiledError<E> {
    /// The tree does not go that far.
    #[error(transparent)]
    Beyond(#[from] ProofError),
    /// A tile was not fetched.
    #[error(transparent)]
    Fetch(E),
    /// A tile is not as wide as it was asked for.
    #[error("tile {0} is not {width} hashes wide", width = .0.width)]
    Width(TilePath),
}

/// The tree of a size, seen through its tiles. What it gives is not believed before a proof of it was checked against
/// a root that is.
pub struct TiledTree<F> {
    size: u64,
    fetch: F,
    read: HashMap<(u8, u64), Vec<Hash>>,
}

impl<E, F: FnMut(TilePath) -> Result<Vec<u8>, E>> TiledTree<F> {
    /// The tree of `size` records, whose tiles `fetch` gives.
    pub fn new(size: u64, fetch: F) -> TiledTree<F> {
        TiledTree { size, fetch, read: HashMap::new() }
    }

    fn tile(&mut self, level: u8, index: u64) -> Result<&[Hash], TiledError<E>> {
        if !self.read.contains_key(&(level, index)) {
            let path = TilePath::within(Tiled::Hashes(level), index, self.size)
                .ok_or(ProofError::Beyond { index, size: self.size })?;
            let bytes = (self.fetch)(path).map_err(TiledError::Fetch)?;
            let (hashes, rest) = bytes.as_chunks();
            if hashes.len() as u64 != path.width || !rest.is_empty() {
                return Err(TiledError::Width(path));
            }
            self.read.insert((level, index), hashes.iter().copied().map(Hash).collect());
        }
        Ok(self.read.get(&(level, index)).map_or(&[], Vec::as_slice))
    }

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, TiledError<E>> {
        let size = self.size;
        let row = u8::try_from(level / TILE_LEVELS).unwrap_or(u8::MAX);
        let first = index << (level % TILE_LEVELS);
        let start = usize::try_from(first % TILE_WIDTH).unwrap_or(0);
        let count = 1_usize << (level % TILE_LEVELS);
        let hashes = self.tile(row, first / TILE_WIDTH)?;
        let hashes = hashes.get(start..start + count).ok_or(ProofError::Beyond { index, size })?;
        Ok(Hash::fold(hashes))
    }

    fn ranges(&mut self, ranges: Vec<Range<u64>>) -> Result<Vec<Hash>, TiledError<E>> {
        ranges.into_iter().map(|range| root_of(range, &mut |level, index| self.node(level, index))).collect()
    }

    /// The way from an entry to the root.
    ///
    /// # Errors
    ///
    /// The entry is beyond the tree, or a tile was not fetched.
    pub fn inclusion(&mut self, index: u64) -> Result<Vec<Hash>, TiledError<E>> {
        self.ranges(proof::inclusion(index, self.size)?)
    }

    /// What shows that the tree begins with that of `from` entries.
    ///
    /// # Errors
    ///
    /// The tree is smaller, or a tile was not fetched.
    pub fn consistency(&mut self, from: u64) -> Result<Vec<Hash>, TiledError<E>> {
        self.ranges(proof::consistency(from, self.size)?)
    }

    /// What the tree of `size` entries, a part of this one, goes on from.
    ///
    /// # Errors
    ///
    /// The tree is smaller, or a tile was not fetched.
    pub fn peaks(&mut self, size: u64) -> Result<Peaks, TiledError<E>> {
        if size > self.size {
            return Err(ProofError::Shrunk { from: size, to: self.size }.into());
        }
        Ok(Peaks { size, roots: self.ranges(peaks(size))? })
    }
}

/// The whole subtrees that a tree of this size consists of, largest first.
fn peaks(size: u64) -> Vec<Range<u64>> {
    let (mut ranges, mut from) = (Vec::new(), 0);
    while from < size {
        let count = 1 << (u64::BITS - 1 - (size - from).leading_zeros());
        ranges.push(from..from + count);
        from += count;
    }
    ranges
}

/// The roots of the whole subtrees that a tree consists of: all that is needed to go on from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    size: u64,
    roots: Vec<Hash>,
}

impl Peaks {
    /// Entries in the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.roots.push(leaf);
        // As many subtrees join as the old size has ones at its end.
        for _ in 0..self.size.trailing_ones() {
            if let (Some(right), Some(left)) = (self.roots.pop(), self.roots.pop()) {
                self.roots.push(Hash::node(&left, &right));
            }
        }
        self.size += 1;
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(last) = roots.next() else { return Hash::empty() };
        roots.fold(*last, |right, left| Hash::node(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::proof::{check_consistency, check_inclusion};

    #[test]
    fn what_is_proven_from_fetched_tiles_holds_for_the_root_that_grows_leaf_by_leaf() {
        const MOST: u64 = 66_000;
        let leaves: Vec<Hash> = (0..MOST).map(|number| Hash::leaf(&number.to_le_bytes())).collect();
        let mut levels = vec![leaves.clone()];
        while let Some(below) = levels.last().filter(|level| level.len() >= 256) {
            let above = below.chunks_exact(256).map(Hash::fold).collect();
            levels.push(above);
        }
        let fetch = |path: TilePath| -> Result<Vec<u8>, ()> {
            let Tiled::Hashes(level) = path.of else { return Err(()) };
            let from = usize::try_from(path.index * 256).unwrap();
            let hashes = &levels[usize::from(level)][from..from + usize::try_from(path.width).unwrap()];
            Ok(hashes.iter().flat_map(|hash| hash.0).collect())
        };
        let (mut peaks, mut earlier) = (Peaks::default(), Vec::new());
        for size in 0..=MOST {
            if [0, 1, 2, 255, 256, 257, 300, 65_535, 65_536, 65_537, MOST].contains(&size) {
                let (mut tree, root) = (TiledTree::new(size, fetch), peaks.root());
                assert_eq!(tree.peaks(size).unwrap(), peaks, "of {size}");
                for index in [0, size / 2, size.saturating_sub(1)].into_iter().filter(|index| *index < size) {
                    let leaf = &leaves[usize::try_from(index).unwrap()];
                    check_inclusion(leaf, index, size, &tree.inclusion(index).unwrap(), &root).unwrap();
                }
                for (from, before) in &earlier {
                    let path = tree.consistency(*from).unwrap();
                    check_consistency(*from, before, size, &root, &path).unwrap();
                }
                earlier.push((size, root));
                assert!(matches!(tree.inclusion(size), Err(TiledError::Beyond(_))));
            }
            if let Some(leaf) = leaves.get(usize::try_from(size).unwrap()) {
                peaks.push(*leaf);
            }
        }
        let mut short = TiledTree::new(9, |path: TilePath| fetch(path).map(|bytes| bytes[1..].to_vec()));
        assert!(matches!(short.inclusion(3), Err(TiledError::Width(_))));
    }
}
