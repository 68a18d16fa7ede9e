//! An index held in memory: for ledgers in memory and for reading without writing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::digest::{Digest, Mixer};
use super::{
    Direction, Index, IndexBatch, IndexError, KeyHash, KeyMap, Postings, Snapshots, Tile, Tiles, Totals,
};

/// Holds all of it in maps; memory grows with the ledger.
#[derive(Debug, Default)]
pub struct PlainIndex {
    held: Mutex<Held>,
    snapshots: PlainSnapshots,
    tiles: PlainTiles,
}

#[derive(Debug, Default)]
struct Held {
    applied: u64,
    streams: HashMap<Arc<str>, Vec<u64>>,
    keys: KeyMap,
    keys_met: Vec<(KeyHash, u64)>,
    commit_keys: KeyMap,
    commit_keys_met: Vec<(KeyHash, u64)>,
    cursors: HashMap<Box<str>, Box<[u8]>>,
}

impl PlainIndex {
    /// An empty index.
    #[must_use]
    pub fn new() -> PlainIndex {
        PlainIndex::default()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn merge(map: &mut KeyMap, met: &mut Vec<(KeyHash, u64)>, keys: impl Iterator<Item = (KeyHash, u64)>) {
    for (hash, sequence) in keys {
        if let Some(earlier) = map.insert(hash, sequence) {
            met.push((hash, earlier));
        }
    }
}

fn candidates(map: &KeyMap, met: &[(KeyHash, u64)], hash: KeyHash, out: &mut Vec<u64>) {
    out.extend(map.get(&hash));
    out.extend(met.iter().filter(|(other, _)| *other == hash).map(|(_, sequence)| *sequence));
}

/// The part of `sequences` (whose versions count up from `first_version`) that a reader asked for.
pub(crate) fn window(
    sequences: &[u64],
    first_version: u64,
    from_version: u64,
    limit: usize,
    direction: Direction,
) -> Vec<u64> {
    match direction {
        Direction::Forward => {
            let skip = usize::try_from(from_version.saturating_sub(first_version)).unwrap_or(usize::MAX);
            sequences.iter().skip(skip).take(limit).copied().collect()
        }
        Direction::Backward => {
            if from_version < first_version {
                return Vec::new();
            }
            let keep = usize::try_from(from_version - first_version).unwrap_or(usize::MAX).saturating_add(1);
            sequences.iter().take(keep).rev().take(limit).copied().collect()
        }
    }
}

impl Index for PlainIndex {
    fn applied(&self) -> u64 {
        self.held().applied
    }

    fn apply(&self, batch: &IndexBatch) -> Result<(), IndexError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut guard = self.held();
        let held = &mut *guard;
        if batch.from != held.applied + 1 {
            return Err(IndexError::Broken(format!(
                "a batch from {} does not follow the applied head {}",
                batch.from, held.applied
            )));
        }
        for (stream, Postings { first_version, sequences }) in &batch.streams {
            let have = held.streams.get(stream).map_or(0, Vec::len) as u64;
            if have + 1 != *first_version {
                return Err(IndexError::Broken(format!(
                    "stream {stream} has {have} records and a batch goes on at version {first_version}"
                )));
            }
            debug_assert!(!sequences.is_empty(), "a batch lists only streams that gained a record");
        }
        for (stream, postings) in &batch.streams {
            held.streams.entry(Arc::clone(stream)).or_default().extend_from_slice(&postings.sequences);
        }
        merge(&mut held.keys, &mut held.keys_met, batch.all_keys());
        merge(&mut held.commit_keys, &mut held.commit_keys_met, batch.all_commit_keys());
        for (source, to) in &batch.cursors {
            held.cursors.insert(source.clone(), to.clone());
        }
        held.applied = batch.to;
        Ok(())
    }

    fn stream_version(&self, stream: &str) -> Result<Option<u64>, IndexError> {
        Ok(self.held().streams.get(stream).map(|sequences| sequences.len() as u64))
    }

    fn stream_sequences(
        &self,
        stream: &str,
        from_version: u64,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<u64>, IndexError> {
        let held = self.held();
        let Some(sequences) = held.streams.get(stream) else { return Ok(Vec::new()) };
        Ok(window(sequences, 1, from_version, limit, direction))
    }

    fn key_candidates(&self, hash: KeyHash, out: &mut Vec<u64>) -> Result<(), IndexError> {
        let held = self.held();
        candidates(&held.keys, &held.keys_met, hash, out);
        Ok(())
    }

    fn commit_candidates(&self, hash: KeyHash, out: &mut Vec<u64>) -> Result<(), IndexError> {
        let held = self.held();
        candidates(&held.commit_keys, &held.commit_keys_met, hash, out);
        Ok(())
    }

    fn cursor(&self, source: &str) -> Result<Option<Box<[u8]>>, IndexError> {
        Ok(self.held().cursors.get(source).cloned())
    }

    fn totals(&self) -> Result<Totals, IndexError> {
        let held = self.held();
        Ok(Totals {
            streams: held.streams.len() as u64,
            postings: held.streams.values().map(|sequences| sequences.len() as u64).sum(),
            keys: (held.keys.len() + held.keys_met.len()) as u64,
            commit_keys: (held.commit_keys.len() + held.commit_keys_met.len()) as u64,
            cursors: held.cursors.len() as u64,
        })
    }

    fn digest(&self, mixer: Mixer) -> Result<Digest, IndexError> {
        let held = self.held();
        let mut digest = Digest { streams: held.streams.len() as u64, ..Digest::default() };
        for (name, sequences) in &held.streams {
            let stream = mixer.name(name);
            for (version, sequence) in (1..).zip(sequences) {
                digest.postings = digest.postings.wrapping_add(mixer.posting(stream, version, *sequence));
            }
        }
        let sum = |map: &KeyMap, met: &[(KeyHash, u64)]| {
            let all = map.iter().map(|(hash, sequence)| (*hash, *sequence)).chain(met.iter().copied());
            all.fold(0_u128, |sum, (hash, sequence)| sum.wrapping_add(mixer.key(hash, sequence)))
        };
        digest.keys = sum(&held.keys, &held.keys_met);
        digest.commit_keys = sum(&held.commit_keys, &held.commit_keys_met);
        digest.cursors =
            held.cursors.iter().fold(0, |sum, (source, to)| sum.wrapping_add(mixer.cursor(source, to)));
        Ok(digest)
    }

    fn memory_bytes(&self) -> usize {
        let held = self.held();
        let lists: usize = held.streams.iter().map(|(name, list)| name.len() + 8 * list.capacity()).sum();
        lists + held.streams.capacity() * 48 + (held.keys.capacity() + held.commit_keys.capacity()) * 33
    }

    fn snapshots(&self) -> &dyn Snapshots {
        &self.snapshots
    }

    fn tiles(&self) -> &dyn Tiles {
        &self.tiles
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }
}

/// The size of the tree, and its tiles by level and place.
type HeldTiles = (u64, BTreeMap<(u8, u64), Vec<u8>>);

#[derive(Debug, Default)]
struct PlainTiles {
    held: Mutex<HeldTiles>,
}

impl PlainTiles {
    fn held(&self) -> MutexGuard<'_, HeldTiles> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tiles for PlainTiles {
    fn size(&self) -> Result<u64, IndexError> {
        Ok(self.held().0)
    }

    fn put(&self, size: u64, tiles: &[Tile]) -> Result<(), IndexError> {
        let mut held = self.held();
        held.1.extend(tiles.iter().map(|tile| ((tile.level, tile.index), tile.hashes.clone())));
        held.0 = size;
        Ok(())
    }

    fn get(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.held().1.get(&(level, index)).cloned())
    }

    fn clear(&self) -> Result<(), IndexError> {
        *self.held() = Default::default();
        Ok(())
    }
}

#[derive(Debug, Default)]
struct PlainSnapshots {
    held: Mutex<BTreeMap<String, (u64, Vec<u8>)>>,
}

impl PlainSnapshots {
    fn held(&self) -> MutexGuard<'_, BTreeMap<String, (u64, Vec<u8>)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshots for PlainSnapshots {
    fn put(&self, name: &str, applied: u64, bytes: &[u8]) -> Result<(), IndexError> {
        self.held().insert(name.to_owned(), (applied, bytes.to_vec()));
        Ok(())
    }

    fn get(&self, name: &str) -> Result<Option<(u64, Vec<u8>)>, IndexError> {
        Ok(self.held().get(name).cloned())
    }

    fn remove(&self, name: &str) -> Result<(), IndexError> {
        self.held().remove(name);
        Ok(())
    }

    fn names(&self, prefix: &str) -> Result<Vec<String>, IndexError> {
        let held = self.held();
        let names = held.range(prefix.to_owned()..).map(|(name, _)| name);
        Ok(names.take_while(|name| name.starts_with(prefix)).cloned().collect())
    }
}
