//! The tree over the log: grown behind the durable head, kept as tiles beside the index, and read for roots, proofs
//! and tiles.
//!
//! Whoever needs the tree at a size grows it that far; otherwise a thread of low priority does, so that nothing is
//! hashed before a commit is acknowledged. Kept are the tiles from level 1 on. The leaves of a group of 256 are
//! hashed again from its records when they are asked for.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::group::{Run, hash_records};
use super::hash::Hash;
use super::proof::{self, ProofError, root_of};
use super::tile::{TILE_LEVELS, TILE_WIDTH, TilePath, Tiled};
use crate::index::{Index, IndexError, Tile, Tiles};
use crate::ledger::{OnProgress, Phase, Progress};
use crate::store::{CommitStore, ReadError};

/// Records hashed at a time while others may wait for the tree.
const STEP: u64 = 8_192;
/// Records that each thread hashes at a time when there are many: those of one tile of level 1.
const SHARE: u64 = TILE_WIDTH * TILE_WIDTH;
/// The most threads that hash.
const THREADS_MAX: usize = 8;

/// Why the tree did not give what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TreeError {
    /// It does not go that far, or never could.
    #[error(transparent)]
    Beyond(#[from] ProofError),
    /// The log or the index did not answer.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<IndexError> for TreeError {
    fn from(error: IndexError) -> TreeError {
        TreeError::Read(error.into())
    }
}

/// Where the tree ends: of each row of tiles, the hashes of the one that is not full.
#[derive(Clone, Debug, Default)]
struct Edge {
    size: u64,
    rows: Vec<Vec<Hash>>,
}

impl Edge {
    fn absorb(&mut self, run: Run, full: &mut Vec<Tile>) {
        for leaf in run.before {
            self.size += 1;
            self.push(0, leaf, full);
        }
        for group in run.groups {
            self.size += TILE_WIDTH;
            self.push(1, group, full);
        }
        for leaf in run.after {
            self.size += 1;
            self.push(0, leaf, full);
        }
    }

    fn push(&mut self, level: u8, hash: Hash, full: &mut Vec<Tile>) {
        let row = usize::from(level);
        if self.rows.len() <= row {
            self.rows.resize_with(row + 1, Vec::new);
        }
        self.rows[row].push(hash);
        if self.rows[row].len() as u64 == TILE_WIDTH {
            let hashes = std::mem::take(&mut self.rows[row]);
            let root = Hash::fold(&hashes);
            if level > 0 {
                let index = (self.size >> (TILE_LEVELS * (u32::from(level) + 1))) - 1;
                full.push(Tile { level, index, hashes: bytes_of(&hashes) });
            }
            self.push(level + 1, root, full);
        }
    }

    /// The tiles that are not full, from level 1 on.
    fn unfinished(&self) -> Vec<Tile> {
        (0_u8..)
            .zip(&self.rows)
            .skip(1)
            .filter(|(_, hashes)| !hashes.is_empty())
            .map(|(level, hashes)| {
                let index = self.size >> (TILE_LEVELS * (u32::from(level) + 1));
                Tile { level, index, hashes: bytes_of(hashes) }
            })
            .collect()
    }
}

fn bytes_of(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

fn hashes_of(bytes: &[u8]) -> Vec<Hash> {
    bytes.as_chunks().0.iter().copied().map(Hash).collect()
}

fn broken(what: &str) -> IndexError {
    IndexError::Broken(format!("a tile of hashes {what}"))
}

/// The tree over a store.
pub(crate) struct Tree {
    store: Arc<dyn CommitStore>,
    index: Arc<dyn Index>,
    edge: Mutex<Edge>,
}

impl Tree {
    /// The tree as far as its tiles are kept; what contradicts itself is given up, to be hashed again.
    pub(crate) fn open(store: Arc<dyn CommitStore>, index: Arc<dyn Index>) -> Result<Tree, IndexError> {
        let size = index.tiles().size()?;
        let edge = match edge_at(&*index, size) {
            Ok(edge) if size <= store.head() => edge,
            _ => {
                index.tiles().clear()?;
                Edge::default()
            }
        };
        Ok(Tree { store, index, edge: Mutex::new(edge) })
    }

    /// The tree up to `size` out of the tiles that an index keeps, its last group hashed from the records. Nothing of
    /// it is believed before its root was compared.
    pub(crate) fn up_to(
        store: Arc<dyn CommitStore>,
        index: Arc<dyn Index>,
        size: u64,
    ) -> Result<Tree, ReadError> {
        let groups = size - size % TILE_WIDTH;
        if index.tiles().size()? < groups {
            return Err(broken("is of a smaller tree").into());
        }
        let edge = Mutex::new(edge_at(&*index, groups)?);
        let tree = Tree { store, index, edge };
        tree.grow(size, None)?;
        Ok(tree)
    }

    /// The same tree, read from another store of the same log from now on.
    pub(crate) fn over(self, store: Arc<dyn CommitStore>) -> Tree {
        Tree { store, ..self }
    }

    pub(crate) fn store(&self) -> &dyn CommitStore {
        &*self.store
    }

    /// Forgets everything, to be hashed again from the records.
    pub(crate) fn start_over(&self) -> Result<(), IndexError> {
        let mut edge = self.edge();
        self.index.tiles().clear()?;
        *edge = Edge::default();
        Ok(())
    }

    fn edge(&self) -> MutexGuard<'_, Edge> {
        self.edge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records hashed so far.
    pub(crate) fn size(&self) -> u64 {
        self.edge().size
    }

    /// Hashes the records up to `to`, which are durable, with all processors where they are many.
    pub(crate) fn grow(&self, to: u64, progress: Option<&OnProgress>) -> Result<(), ReadError> {
        let begun = self.size();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let report = |done: u64| {
            if let Some(progress) = progress {
                progress(Progress { phase: Phase::Hashing, done: done - begun, total: to - begun });
            }
        };
        loop {
            let mut edge = self.edge();
            let from = edge.size;
            if from >= to {
                return Ok(());
            }
            let runs = if to - from >= 2 * SHARE && threads > 1 {
                self.hash_side_by_side(from, to, threads)?
            } else {
                vec![hash_records(&*self.store, from + 1, to.min(from + STEP))?]
            };
            let (mut next, mut full) = (edge.clone(), Vec::new());
            for run in runs {
                next.absorb(run, &mut full);
            }
            if next.size == from {
                // The store shows less than its head says.
                return Err(broken(&format!("is of records from {} on, which are missing", from + 1)).into());
            }
            if !full.is_empty() {
                self.keep(&next, full)?;
            }
            *edge = next;
            drop(edge);
            if to - begun > STEP {
                report(self.size().min(to));
            }
        }
    }

    /// Goes on with records that somebody else hashed.
    pub(crate) fn take(&self, run: Run) -> Result<(), IndexError> {
        let mut edge = self.edge();
        let (mut next, mut full) = (edge.clone(), Vec::new());
        next.absorb(run, &mut full);
        if !full.is_empty() {
            self.keep(&next, full)?;
        }
        *edge = next;
        Ok(())
    }

    /// Hashes a share of the records behind `from` on each of some threads.
    fn hash_side_by_side(&self, from: u64, to: u64, threads: usize) -> Result<Vec<Run>, ReadError> {
        std::thread::scope(|scope| {
            let (mut hashing, mut next) = (Vec::with_capacity(threads), from);
            for _ in 0..threads {
                let last = to.min((next + SHARE) / SHARE * SHARE);
                if next == last {
                    break;
                }
                let first = next + 1;
                hashing.push(scope.spawn(move || hash_records(&*self.store, first, last)));
                next = last;
            }
            // All are waited for before any error is told.
            let done: Vec<_> = hashing.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            let panicked = |_| std::io::Error::other("a thread that hashes ended by a panic");
            done.into_iter().map(|run| run.map_err(panicked)?).collect()
        })
    }

    fn keep(&self, edge: &Edge, mut tiles: Vec<Tile>) -> Result<(), IndexError> {
        tiles.extend(edge.unfinished());
        self.index.tiles().put(edge.size - edge.size % TILE_WIDTH, &tiles)
    }

    /// Keeps what is not full, so that the next opening need not hash it again.
    pub(crate) fn keep_edge(&self) -> Result<(), IndexError> {
        let edge = self.edge();
        if self.index.tiles().size()? == edge.size - edge.size % TILE_WIDTH {
            return Ok(());
        }
        self.keep(&edge, Vec::new())
    }

    /// The tree as it is at `size` or beyond, to be read while it grows on.
    pub(crate) fn view(&self, size: u64) -> Result<View<'_>, TreeError> {
        let head = self.store.head();
        if size > head {
            return Err(ProofError::Shrunk { from: size, to: head }.into());
        }
        self.grow(size, None)?;
        Ok(View { tree: self, edge: self.edge().clone(), read: HashMap::new() })
    }
}

/// The edge of the kept tiles at a size, of whole groups.
fn edge_at(index: &dyn Index, size: u64) -> Result<Edge, IndexError> {
    let mut edge = Edge { size, rows: vec![Vec::new()] };
    if !size.is_multiple_of(TILE_WIDTH) {
        return Err(broken("ends within a group"));
    }
    for level in 1_u8.. {
        let count = size.checked_shr(TILE_LEVELS * u32::from(level)).unwrap_or(0);
        if count == 0 {
            break;
        }
        let width = usize::try_from(count % TILE_WIDTH).unwrap_or(0);
        let mut hashes = match width {
            0 => Vec::new(),
            _ => {
                hashes_of(&index.tiles().get(level, count / TILE_WIDTH)?.ok_or_else(|| broken("is missing"))?)
            }
        };
        if hashes.len() < width {
            return Err(broken("is shorter than the tree needs"));
        }
        hashes.truncate(width);
        edge.rows.push(hashes);
    }
    Ok(edge)
}

/// The tree at one moment. Tiles that were read are held until it is dropped.
pub(crate) struct View<'t> {
    tree: &'t Tree,
    edge: Edge,
    read: HashMap<(u8, u64), Vec<Hash>>,
}

impl View<'_> {
    fn tile(&mut self, level: u8, index: u64) -> Result<&[Hash], TreeError> {
        let count = self.edge.size.checked_shr(TILE_LEVELS * u32::from(level)).unwrap_or(0);
        if index >= count / TILE_WIDTH {
            let row = self.edge.rows.get(usize::from(level)).map_or(&[][..], Vec::as_slice);
            return Ok(if index == count / TILE_WIDTH { row } else { &[] });
        }
        if !self.read.contains_key(&(level, index)) {
            let hashes = if level == 0 {
                self.leaves(index)?
            } else {
                let bytes = self.tree.index.tiles().get(level, index)?;
                hashes_of(&bytes.ok_or_else(|| broken("is missing"))?)
            };
            if hashes.len() as u64 != TILE_WIDTH {
                return Err(broken("is not full").into());
            }
            self.read.insert((level, index), hashes);
        }
        Ok(self.read.get(&(level, index)).map_or(&[], Vec::as_slice))
    }

    /// The leaves of a whole group, hashed anew from its records.
    fn leaves(&self, group: u64) -> Result<Vec<Hash>, ReadError> {
        let (first, mut bytes) = (group * TILE_WIDTH + 1, Vec::new());
        let mut leaves = Vec::new();
        self.tree.store.records(first, first + TILE_WIDTH - 1, &mut |record| {
            bytes.clear();
            record.encode_canonical(&mut bytes);
            leaves.push(Hash::leaf(&bytes));
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(leaves)
    }

    /// The root over the entries from `index << level` on, `1 << level` of them.
    fn node(&mut self, level: u32, index: u64) -> Result<Hash, TreeError> {
        let row = u8::try_from(level / TILE_LEVELS).unwrap_or(u8::MAX);
        let first = index << (level % TILE_LEVELS);
        let start = usize::try_from(first % TILE_WIDTH).unwrap_or(0);
        let count = 1_usize << (level % TILE_LEVELS);
        let hashes = self.tile(row, first / TILE_WIDTH)?;
        let hashes =
            hashes.get(start..start + count).ok_or_else(|| broken("is shorter than the tree needs"))?;
        Ok(Hash::fold(hashes))
    }

    fn range(&mut self, range: Range<u64>) -> Result<Hash, TreeError> {
        root_of(range, &mut |level, index| self.node(level, index))
    }

    fn ranges(&mut self, ranges: Vec<Range<u64>>) -> Result<Vec<Hash>, TreeError> {
        ranges.into_iter().map(|range| self.range(range)).collect()
    }

    /// The root of the tree when it had `size` entries.
    pub(crate) fn root(&mut self, size: u64) -> Result<Hash, TreeError> {
        self.range(0..size)
    }

    /// The way from an entry to the root of the tree of `size` entries.
    pub(crate) fn inclusion(&mut self, index: u64, size: u64) -> Result<Vec<Hash>, TreeError> {
        self.ranges(proof::inclusion(index, size)?)
    }

    /// What shows that the tree of `to` entries begins with that of `from`.
    pub(crate) fn consistency(&mut self, from: u64, to: u64) -> Result<Vec<Hash>, TreeError> {
        self.ranges(proof::consistency(from, to)?)
    }

    /// The first record whose hash stands otherwise in tiles that were kept, as far as both go.
    pub(crate) fn differs_from(&mut self, kept: &dyn Tiles) -> Result<Option<u64>, IndexError> {
        let size = kept.size()?.min(self.edge.size);
        for level in 1_u8.. {
            let count = size.checked_shr(TILE_LEVELS * u32::from(level)).unwrap_or(0);
            if count == 0 {
                break;
            }
            for index in 0..count.div_ceil(TILE_WIDTH) {
                let width = usize::try_from((count - index * TILE_WIDTH).min(TILE_WIDTH)).unwrap_or(0);
                let own = match self.tile(level, index) {
                    Ok(hashes) => bytes_of(hashes.get(..width).unwrap_or_default()),
                    Err(TreeError::Read(ReadError::Index(error))) => return Err(error),
                    Err(_) => Vec::new(),
                };
                let found = kept.get(level, index)?.unwrap_or_default();
                let found = found.get(..own.len()).unwrap_or_default();
                if let Some(at) = (0..width).find(|at| {
                    let range = at * Hash::BYTES..(at + 1) * Hash::BYTES;
                    own.get(range.clone()) != found.get(range)
                }) {
                    let place = index * TILE_WIDTH + at as u64;
                    return Ok(Some((place << (TILE_LEVELS * u32::from(level))) + 1));
                }
            }
        }
        Ok(None)
    }

    /// The hashes of a tile, as they are given out; none if the tree does not fill it that far.
    pub(crate) fn hashes(&mut self, path: TilePath) -> Result<Option<Vec<u8>>, TreeError> {
        let Tiled::Hashes(level) = path.of else { return Ok(None) };
        let width = usize::try_from(path.width).unwrap_or(usize::MAX);
        Ok(self.tile(level, path.index)?.get(..width).map(bytes_of))
    }
}
