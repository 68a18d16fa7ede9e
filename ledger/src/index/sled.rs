//! The index in sled: stream postings, key hashes in sorted runs, cursors, snapshots and tiles of hashes.
//!
//! All of it is derived from the log. A batch and the applied head that goes with it are one sled batch; nothing
//! stands under a sled key of its own for each event. What cannot be opened or contradicts itself is moved aside
//! and said so, and the ledger fills a new one from the segments.

mod filter;
mod keys;
mod postings;
mod snapshots;
mod store;
#[cfg(test)]
mod tests;
mod tiles;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use sled::Batch;

use super::digest::{Digest, Mixer};
use super::plain::window;
use super::{Direction, Index, IndexBatch, IndexError, KeyHash, Snapshots, Tile, Tiles, Totals};
use crate::bytes::{Reader, Short};
use keys::{CHUNK_ENTRIES, Keys, Kind, Limits, Merging, remove_some};
use postings::{Posting, block_of};
use snapshots::Generations;
use store::{Found, Of, Store};

const FORMAT: u8 = 1;

const MANIFEST: &[u8] = &[0];
const STREAM: u8 = 4;
const POSTING: u8 = 5;
const CURSOR: u8 = 6;

/// Streams whose entries are kept in memory; beyond that the memory starts over.
const STREAMS_KEPT_MAX: usize = 65_536;

/// At most so many entries wait in memory to become a run.
const YOUNG_MAX: usize = 65_536;

/// Memory for the filters of all runs: ten bits a key up to 50 million keys, fewer beyond.
const FILTER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What was found where the index should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IndexFound {
    /// Nothing: it is new and empty.
    Nothing,
    /// One that goes on from its applied head.
    Index,
    /// One that could not be used. It was moved aside, and the new one is empty.
    Broken {
        /// Where it lies now.
        moved_to: PathBuf,
        /// What was wrong.
        why: String,
    },
}

/// An index in a directory of its own.
///
/// Memory: sled's page cache and its buffers, a map of up to 65,536 young keys, the filters (up to
/// 64 MiB) and eight bytes for each 340 keys of the runs, and the entries of up to 65,536 streams.
#[derive(Debug)]
pub(crate) struct SledIndex {
    shared: RwLock<Shared>,
    /// Held by the one that applies a batch.
    applying: Mutex<Work>,
    /// Entries of streams asked for lately. Filled by readers, so behind a lock of its own, always taken within
    /// `shared`'s.
    streams: Mutex<HashMap<Arc<str>, StreamEntry>>,
    generations: Generations,
    limits: Limits,
    store: Store,
}

/// What readers see: changes all at once with the sled batch that it goes with.
#[derive(Debug)]
struct Shared {
    applied: u64,
    keys: Keys,
}

/// What the manifest holds besides the applied head.
#[derive(Clone, Debug, Default)]
struct Applying {
    stream_next: u32,
    keys: keys::Ledger,
}

/// What is stored under a stream's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StreamEntry {
    id: u32,
    /// The version of its last record.
    version: u64,
    /// The version of the first record in its last posting, which is that posting's key.
    posting: u64,
}

impl StreamEntry {
    fn write(self) -> [u8; 20] {
        let mut out = [0; 20];
        out[..4].copy_from_slice(&self.id.to_le_bytes());
        out[4..12].copy_from_slice(&self.version.to_le_bytes());
        out[12..].copy_from_slice(&self.posting.to_le_bytes());
        out
    }

    fn read(bytes: &[u8]) -> Result<StreamEntry, Short> {
        let mut reader = Reader::new(bytes);
        Ok(StreamEntry { id: reader.u32()?, version: reader.u64()?, posting: reader.u64()? })
    }
}

fn named(kind: u8, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(kind);
    key.extend_from_slice(name.as_bytes());
    key
}

fn posting_key(stream: u32, first_version: u64) -> [u8; 13] {
    let mut key = [POSTING; 13];
    key[1..5].copy_from_slice(&stream.to_be_bytes());
    key[5..].copy_from_slice(&first_version.to_be_bytes());
    key
}

/// The first version of the posting under a key.
fn posting_version(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.get(5..)?.first_chunk()?))
}

/// What the one that applies batches has at hand.
#[derive(Debug, Default)]
struct Work {
    applying: Applying,
    merging: Vec<Merging>,
    /// Runs that were merged into another and whose values are being removed.
    removing: Vec<u32>,
}

fn manifest(applied: u64, applying: &Applying) -> Vec<u8> {
    let mut out = vec![FORMAT];
    out.extend_from_slice(&applied.to_le_bytes());
    out.extend_from_slice(&applying.stream_next.to_le_bytes());
    applying.keys.write(&mut out);
    out
}

fn read_manifest(bytes: &[u8]) -> Result<(u64, Applying), Short> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != FORMAT {
        return Err(Short);
    }
    let applied = reader.u64()?;
    let stream_next = reader.u32()?;
    let keys = keys::Ledger::read(&mut reader)?;
    if reader.left() == 0 { Ok((applied, Applying { stream_next, keys })) } else { Err(Short) }
}

impl SledIndex {
    /// Opens the index in `dir`, which is made if there is none. sled's page cache takes `cache_bytes` of memory.
    ///
    /// # Errors
    ///
    /// The directory cannot be written. What cannot be used is no error, but moved aside and said so.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<(SledIndex, IndexFound), IndexError> {
        let limits = Limits { young_max: YOUNG_MAX, filter_bytes_max: FILTER_BYTES_MAX };
        SledIndex::open_with(dir, cache_bytes, limits)
    }

    fn open_with(
        dir: &Path,
        cache_bytes: u64,
        limits: Limits,
    ) -> Result<(SledIndex, IndexFound), IndexError> {
        let (store, found) = Store::open(dir, cache_bytes)?;
        let found = match found {
            Found::Nothing => IndexFound::Nothing,
            Found::Broken { moved_to, why } => IndexFound::Broken { moved_to, why },
            Found::Index => match load(&store) {
                Ok(loaded) => return Ok((SledIndex::with(store, limits, loaded), IndexFound::Index)),
                Err(error) => {
                    let why = error.to_string();
                    let (store, moved_to) = store.start_over()?;
                    let loaded = load(&store)?;
                    return Ok((
                        SledIndex::with(store, limits, loaded),
                        IndexFound::Broken { moved_to, why },
                    ));
                }
            },
        };
        let loaded = load(&store)?;
        Ok((SledIndex::with(store, limits, loaded), found))
    }

    fn with(store: Store, limits: Limits, loaded: Loaded) -> SledIndex {
        SledIndex {
            shared: RwLock::new(loaded.shared),
            applying: Mutex::new(Work { applying: loaded.applying, ..Work::default() }),
            streams: Mutex::default(),
            generations: loaded.generations,
            limits,
            store,
        }
    }

    /// Gives up what this index holds, because the log contradicts it, for an empty one. Snapshots go with it.
    /// Also where it lies now.
    ///
    /// # Errors
    ///
    /// The directory cannot be written.
    pub(crate) fn start_over(self) -> Result<(SledIndex, PathBuf), IndexError> {
        let limits = self.limits;
        let (store, moved_to) = self.store.start_over()?;
        let loaded = load(&store)?;
        Ok((SledIndex::with(store, limits, loaded), moved_to))
    }

    /// Bytes that it holds in memory, sled's own aside.
    pub(crate) fn memory(&self) -> usize {
        let streams = self.streams().capacity() * (size_of::<(Arc<str>, StreamEntry)>() + 48);
        self.shared().keys.memory() + streams
    }

    fn shared(&self) -> RwLockReadGuard<'_, Shared> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<Arc<str>, StreamEntry>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stream(&self, name: &str) -> Result<Option<StreamEntry>, IndexError> {
        if let Some(entry) = self.streams().get(name) {
            return Ok(Some(*entry));
        }
        let Some(bytes) = self.store.get(Of::Index, &named(STREAM, name))? else { return Ok(None) };
        let entry =
            StreamEntry::read(&bytes).map_err(|_| self.store.broken("a stream's entry ends early"))?;
        keep(&mut self.streams(), Arc::from(name), entry);
        Ok(Some(entry))
    }

    fn posting(&self, bytes: &[u8]) -> Result<Posting, IndexError> {
        Posting::read(bytes).map_err(|_| self.store.broken("a posting is none that a writer writes"))
    }

    /// Puts into `batch` what a stream gained, and its entry then.
    fn extend(
        &self,
        name: &str,
        gained: &super::Postings,
        stream_next: &mut u32,
        batch: &mut Batch,
    ) -> Result<Option<StreamEntry>, IndexError> {
        let Some(first) = gained.sequences.first() else { return Ok(None) };
        let known = self.stream(name)?;
        let have = known.map_or(0, |entry| entry.version);
        if have + 1 != gained.first_version {
            return Err(self.store.broken(format!(
                "stream {name} has {have} records and a batch goes on at version {}",
                gained.first_version
            )));
        }
        let mut entry = known.unwrap_or_else(|| {
            *stream_next += 1;
            StreamEntry { id: *stream_next - 1, version: 0, posting: 1 }
        });
        let mut posting = match known {
            None => Posting::new(block_of(*first)),
            Some(entry) => {
                let bytes = self.store.get(Of::Index, &posting_key(entry.id, entry.posting))?;
                self.posting(&bytes.ok_or_else(|| self.store.broken("a stream's last posting is missing"))?)?
            }
        };
        let mut write = |entry: StreamEntry, posting: &Posting| {
            if posting.count() > 0 {
                batch.insert(&posting_key(entry.id, entry.posting), posting.write());
            }
        };
        for sequence in &gained.sequences {
            if block_of(*sequence) != posting.block {
                write(entry, &posting);
                posting = Posting::new(block_of(*sequence));
                entry.posting = entry.version + 1;
            }
            if !posting.push(*sequence) {
                return Err(self
                    .store
                    .broken(format!("a batch gives stream {name} a sequence it has passed")));
            }
            entry.version += 1;
        }
        write(entry, &posting);
        batch.insert(named(STREAM, name), &entry.write());
        Ok(Some(entry))
    }

    /// Goes on with merging runs of keys, in proportion to the entries that were added: by twice as many in every
    /// tier, so that a merge ends before the next is due, and no batch waits for all of one.
    fn tend(&self, work: &mut Work, added: usize) -> Result<(), IndexError> {
        let Work { applying, merging, removing } = work;
        let entries = 2 * added + CHUNK_ENTRIES;
        let due = |merging: &[Merging]| self.shared().keys.due(self.limits, merging);
        while let Some(due) = due(merging) {
            // Until the manifest knows the merged run, it must know that its values are to be removed.
            let id = applying.keys.run_next;
            applying.keys.run_next += 1;
            applying.keys.doomed.push(id);
            let mut batch = Batch::default();
            batch.insert(MANIFEST, manifest(self.shared().applied, applying));
            self.store.apply(Of::Index, batch)?;
            merging.push(Merging::begin(due, &self.store, id, self.limits)?);
        }
        for number in (0..merging.len()).rev() {
            if merging[number].step(&self.store, entries)? {
                let merged = merging.swap_remove(number);
                let (id, gone) = (merged.id(), merged.gone().collect::<Vec<u32>>());
                let (head, run, mut batch) = merged.finish();
                let keys = &mut applying.keys;
                keys.doomed.retain(|doomed| *doomed != id);
                keys.runs.retain(|run| !gone.contains(&run.id));
                keys.runs.push(head);
                keys.doomed.extend(&gone);
                let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
                batch.insert(MANIFEST, manifest(shared.applied, applying));
                self.store.apply(Of::Index, batch)?;
                shared.keys.replace(&gone, run);
                removing.extend(gone);
            }
        }
        // The manifest forgets them with the next batch.
        let mut left = 4 + entries.div_ceil(CHUNK_ENTRIES);
        while left > 0
            && let Some(run) = removing.last()
        {
            if remove_some(&self.store, *run, left)? {
                applying.keys.doomed.retain(|doomed| doomed != run);
                removing.pop();
            } else {
                left = 0;
            }
        }
        Ok(())
    }
}

fn keep(streams: &mut HashMap<Arc<str>, StreamEntry>, name: Arc<str>, entry: StreamEntry) {
    if streams.len() >= STREAMS_KEPT_MAX && !streams.contains_key(&name) {
        streams.clear();
    }
    streams.insert(name, entry);
}

struct Loaded {
    shared: Shared,
    applying: Applying,
    generations: Generations,
}

fn load(store: &Store) -> Result<Loaded, IndexError> {
    let (applied, mut applying) = match store.get(Of::Index, MANIFEST)? {
        Some(bytes) => {
            read_manifest(&bytes).map_err(|_| store.broken("its manifest is of another format"))?
        }
        None => (0, Applying::default()),
    };
    let keys = Keys::open(store, &mut applying.keys)?;
    let generations = Generations::open(store)?;
    // That it can be told how far the tiles go is part of being usable.
    tiles::size(store)?;
    Ok(Loaded { shared: Shared { applied, keys }, applying, generations })
}

impl Index for SledIndex {
    fn applied(&self) -> u64 {
        self.shared().applied
    }

    fn apply(&self, added: &IndexBatch) -> Result<(), IndexError> {
        if added.is_empty() {
            return Ok(());
        }
        let mut work = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let mut applying = work.applying.clone();
        let mut batch = Batch::default();
        let mut streams = Vec::with_capacity(added.streams.len());
        let change = {
            let shared = self.shared();
            if added.from != shared.applied + 1 {
                return Err(IndexError::Broken(format!(
                    "a batch from {} does not follow the applied head {}",
                    added.from, shared.applied
                )));
            }
            for (name, gained) in &added.streams {
                if let Some(entry) = self.extend(name, gained, &mut applying.stream_next, &mut batch)? {
                    streams.push((Arc::clone(name), entry));
                }
            }
            shared.keys.prepare(added, self.limits, &mut applying.keys, &mut batch)
        };
        for (source, to) in &added.cursors {
            batch.insert(named(CURSOR, source), &**to);
        }
        batch.insert(MANIFEST, manifest(added.to, &applying));
        {
            let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
            self.store.apply(Of::Index, batch)?;
            shared.applied = added.to;
            if let Some(change) = change {
                shared.keys.change(change);
            }
            let mut kept = self.streams();
            for (name, entry) in streams {
                keep(&mut kept, name, entry);
            }
        }
        work.applying = applying;
        self.tend(&mut work, added.all_keys().count() + added.all_commit_keys().count())
    }

    fn stream_version(&self, stream: &str) -> Result<Option<u64>, IndexError> {
        let _unchanged = self.shared();
        Ok(self.stream(stream)?.map(|entry| entry.version))
    }

    fn stream_sequences(
        &self,
        stream: &str,
        from_version: u64,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<u64>, IndexError> {
        let _unchanged = self.shared();
        let Some(entry) = self.stream(stream)? else { return Ok(Vec::new()) };
        let (least, greatest) = (posting_key(entry.id, 0), posting_key(entry.id, u64::MAX));
        let holding = posting_key(entry.id, from_version);
        // The posting that holds the version is the last that begins at or before it.
        let (from, to) = match direction {
            Direction::Backward => (least, holding),
            Direction::Forward => match self.store.last(Of::Index, &least, &holding)? {
                Some((key, _)) => (posting_key(entry.id, posting_version(&key).unwrap_or(0)), greatest),
                None => (least, greatest),
            },
        };
        let mut found = Vec::new();
        self.store.each(Of::Index, &from, &to, direction == Direction::Backward, |key, bytes| {
            let first =
                posting_version(key).ok_or_else(|| self.store.broken("a posting's key ends early"))?;
            let sequences: Vec<u64> = self.posting(bytes)?.sequences().collect();
            found.extend(window(&sequences, first, from_version, limit - found.len(), direction));
            Ok(found.len() < limit)
        })?;
        Ok(found)
    }

    fn key_candidates(&self, hash: KeyHash, out: &mut Vec<u64>) -> Result<(), IndexError> {
        self.shared().keys.find(&self.store, hash, Kind::Record, out)
    }

    fn commit_candidates(&self, hash: KeyHash, out: &mut Vec<u64>) -> Result<(), IndexError> {
        self.shared().keys.find(&self.store, hash, Kind::Commit, out)
    }

    fn cursor(&self, source: &str) -> Result<Option<Box<[u8]>>, IndexError> {
        let _unchanged = self.shared();
        Ok(self.store.get(Of::Index, &named(CURSOR, source))?.map(|to| Box::from(&*to)))
    }

    fn totals(&self) -> Result<Totals, IndexError> {
        let shared = self.shared();
        let mut totals = Totals::default();
        let store = &self.store;
        store.each(Of::Index, &[STREAM], &[STREAM + 1], false, |key, _| {
            totals.streams += u64::from(key[0] == STREAM);
            Ok(true)
        })?;
        store.each(Of::Index, &[POSTING], &[POSTING + 1], false, |key, bytes| {
            if key[0] == POSTING {
                totals.postings +=
                    Posting::stored_count(bytes).map_err(|_| store.broken("a posting ends early"))?;
            }
            Ok(true)
        })?;
        store.each(Of::Index, &[CURSOR], &[CURSOR + 1], false, |key, _| {
            totals.cursors += u64::from(key[0] == CURSOR);
            Ok(true)
        })?;
        (totals.keys, totals.commit_keys) = shared.keys.count(store)?;
        Ok(totals)
    }

    fn digest(&self, mixer: Mixer) -> Result<Digest, IndexError> {
        let shared = self.shared();
        let (mut digest, store) = (Digest::default(), &self.store);
        // By id: what stands for the stream, its last version, and the versions met so far.
        let mut streams: HashMap<u32, (u64, u64, u64)> = HashMap::new();
        store.each(Of::Index, &[STREAM], &[STREAM + 1], false, |key, bytes| {
            if key[0] == STREAM {
                let entry =
                    StreamEntry::read(bytes).map_err(|_| store.broken("a stream's entry ends early"))?;
                let name =
                    std::str::from_utf8(&key[1..]).map_err(|_| store.broken("a stream has no name"))?;
                streams.insert(entry.id, (mixer.name(name), entry.version, 0));
            }
            Ok(true)
        })?;
        digest.streams = streams.len() as u64;
        store.each(Of::Index, &[POSTING], &[POSTING + 1], false, |key, bytes| {
            if key[0] != POSTING {
                return Ok(true);
            }
            let id = key.get(1..).and_then(|rest| rest.first_chunk()).map_or(0, |id| u32::from_be_bytes(*id));
            let first = posting_version(key).unwrap_or(0);
            let Some((name, _, seen)) = streams.get_mut(&id).filter(|(.., seen)| seen + 1 == first) else {
                return Err(store.broken("a posting does not follow on in its stream"));
            };
            for sequence in self.posting(bytes)?.sequences() {
                *seen += 1;
                digest.postings = digest.postings.wrapping_add(mixer.posting(*name, *seen, sequence));
            }
            Ok(true)
        })?;
        if streams.values().any(|(_, version, seen)| version != seen) {
            return Err(store.broken("a stream's entry is not that of its last posting"));
        }
        store.each(Of::Index, &[CURSOR], &[CURSOR + 1], false, |key, bytes| {
            if key[0] == CURSOR {
                let source = String::from_utf8_lossy(&key[1..]);
                digest.cursors = digest.cursors.wrapping_add(mixer.cursor(&source, bytes));
            }
            Ok(true)
        })?;
        shared.keys.each(store, |hash, sequence, kind| {
            let sum = match kind {
                Kind::Record => &mut digest.keys,
                Kind::Commit => &mut digest.commit_keys,
            };
            *sum = sum.wrapping_add(mixer.key(hash, sequence));
        })?;
        Ok(digest)
    }

    fn memory_bytes(&self) -> usize {
        self.memory()
    }

    fn snapshots(&self) -> &dyn Snapshots {
        self
    }

    fn tiles(&self) -> &dyn Tiles {
        self
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.store.flush()
    }
}

impl Tiles for SledIndex {
    fn size(&self) -> Result<u64, IndexError> {
        tiles::size(&self.store)
    }

    fn put(&self, size: u64, tiles: &[Tile]) -> Result<(), IndexError> {
        tiles::put(&self.store, size, tiles)
    }

    fn get(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, IndexError> {
        tiles::get(&self.store, level, index)
    }

    fn clear(&self) -> Result<(), IndexError> {
        tiles::clear(&self.store)
    }
}

impl Snapshots for SledIndex {
    fn put(&self, name: &str, applied: u64, bytes: &[u8]) -> Result<(), IndexError> {
        self.generations.put(&self.store, name, applied, bytes)
    }

    fn get(&self, name: &str) -> Result<Option<(u64, Vec<u8>)>, IndexError> {
        self.generations.get(&self.store, name)
    }

    fn remove(&self, name: &str) -> Result<(), IndexError> {
        self.generations.remove(&self.store, name)
    }

    fn names(&self, prefix: &str) -> Result<Vec<String>, IndexError> {
        Generations::names(&self.store, prefix)
    }
}
