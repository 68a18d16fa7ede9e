//! What finds records: stream postings, keys, cursors and snapshots, all derived from the log.
//!
//! An index may lag behind the log; its [`applied`](Index::applied) head says how far it goes, and what
//! lies above is held in memory until it has been applied.

pub mod digest;
pub(crate) mod lazy;
pub mod plain;
pub(crate) mod sled;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::frame::{Body, BodyError};
use digest::{Digest, Mixer};

/// The first 128 bits of a key's BLAKE3 hash. A hit is confirmed by reading the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub u128);

impl KeyHash {
    /// The hash of a key.
    #[must_use]
    pub fn of(key: &str) -> KeyHash {
        let hash = blake3::hash(key.as_bytes());
        let head = hash.as_bytes().first_chunk::<16>().expect("a BLAKE3 hash has 32 bytes");
        KeyHash(u128::from_be_bytes(*head))
    }
}

/// Takes the low bits of what is a hash already.
#[derive(Clone, Copy, Debug, Default)]
pub struct HashedAlready(u64);

impl Hasher for HashedAlready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, value: u128) {
        let [a, b, c, d, e, f, g, h, ..] = value.to_le_bytes();
        self.0 = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    }
}

/// Sequences by key hash.
pub type KeyMap = HashMap<KeyHash, u64, BuildHasherDefault<HashedAlready>>;

/// Which way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending.
    Forward,
    /// Descending.
    Backward,
}

/// An index that cannot answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IndexError {
    /// What it holds contradicts itself or the log. It can be rebuilt from the log.
    #[error("the index is broken ({0}); it is rebuilt when the ledger is next opened")]
    Broken(String),
    /// The disk did not answer, or is full.
    #[error("the index could not be read or written: {0}")]
    Io(Arc<std::io::Error>),
}

/// The records of one stream in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postings {
    /// The version of the first.
    pub first_version: u64,
    /// Their sequences, ascending; versions count up from `first_version` without a gap.
    pub sequences: Vec<u64>,
}

/// All that a run of whole commits adds to an index.
#[derive(Clone, Debug, Default)]
pub struct IndexBatch {
    /// The first sequence described; 0 in an empty batch.
    pub from: u64,
    /// The last sequence described; 0 in an empty batch.
    pub to: u64,
    /// By stream, what it gained.
    pub streams: HashMap<Arc<str>, Postings>,
    /// Keys of records.
    pub keys: KeyMap,
    /// Keys whose hash was in `keys` already: never seen, but never lost either.
    pub keys_met: Vec<(KeyHash, u64)>,
    /// Commit keys, each with the sequence of the commit's *last* record.
    pub commit_keys: KeyMap,
    /// As `keys_met`, for commit keys.
    pub commit_keys_met: Vec<(KeyHash, u64)>,
    /// Where source cursors stand after the batch.
    pub cursors: HashMap<Box<str>, Box<[u8]>>,
}

impl IndexBatch {
    /// Whether it describes no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to == 0
    }

    /// How many records it describes.
    #[must_use]
    pub fn count(&self) -> u64 {
        if self.is_empty() { 0 } else { self.to - self.from + 1 }
    }

    /// Adds the records of a body from sequence `from` on, which must follow on, and the commits that end
    /// among them.
    ///
    /// # Errors
    ///
    /// What is wrong with the body; the batch is then not to be used.
    pub fn absorb(&mut self, body: &Body<'_>, from: u64) -> Result<(), BodyError> {
        let from = from.max(body.first_sequence());
        if from > body.last_sequence() {
            return Ok(());
        }
        if !self.is_empty() && from != self.to + 1 {
            return Err(BodyError::Part { part: "first sequence", why: "it does not follow on" });
        }
        let mut gained: Vec<Postings> = Vec::new();
        gained.resize_with(body.streams().len(), || Postings { first_version: 0, sequences: Vec::new() });
        let _ = body.visit_ids(from, body.last_sequence(), |stream, record| {
            if let Some(postings) = gained.get_mut(stream) {
                if postings.sequences.is_empty() {
                    postings.first_version = record.version;
                }
                postings.sequences.push(record.sequence);
            }
            if let Some(key) = record.key {
                self.note_key(KeyHash::of(key), record.sequence);
            }
            ControlFlow::Continue(())
        })?;
        for ((name, _), postings) in body.streams().iter().zip(gained) {
            if postings.sequences.is_empty() {
                continue;
            }
            match self.streams.get_mut(*name) {
                None => {
                    self.streams.insert(Arc::from(*name), postings);
                }
                Some(have) => {
                    if have.first_version + have.sequences.len() as u64 != postings.first_version {
                        return Err(BodyError::Part { part: "stream version", why: "it does not follow on" });
                    }
                    have.sequences.extend_from_slice(&postings.sequences);
                }
            }
        }
        let mut last = body.first_sequence() - 1;
        for part in body.parts() {
            last += u64::from(part.records);
            let Some(tail) = part.tail.as_ref().filter(|_| last >= from) else { continue };
            for (source, to) in &tail.cursors {
                self.cursors.insert(Box::from(*source), Box::from(*to));
            }
            if let Some((key, _)) = tail.key {
                self.note_commit_key(KeyHash::of(key), last);
            }
        }
        if self.is_empty() {
            self.from = from;
        }
        self.to = body.last_sequence();
        Ok(())
    }

    /// Adds a batch that follows on.
    pub(crate) fn merge(&mut self, next: IndexBatch) {
        if next.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = next;
            return;
        }
        debug_assert_eq!(self.to + 1, next.from, "batches follow on");
        for (stream, postings) in next.streams {
            match self.streams.get_mut(&stream) {
                None => {
                    self.streams.insert(stream, postings);
                }
                Some(have) => {
                    debug_assert_eq!(
                        have.first_version + have.sequences.len() as u64,
                        postings.first_version
                    );
                    have.sequences.extend_from_slice(&postings.sequences);
                }
            }
        }
        for (hash, sequence) in next.keys {
            note(&mut self.keys, &mut self.keys_met, hash, sequence);
        }
        self.keys_met.extend(next.keys_met);
        for (hash, sequence) in next.commit_keys {
            note(&mut self.commit_keys, &mut self.commit_keys_met, hash, sequence);
        }
        self.commit_keys_met.extend(next.commit_keys_met);
        self.cursors.extend(next.cursors);
        self.to = next.to;
    }

    /// Enters a record's key.
    pub(crate) fn note_key(&mut self, hash: KeyHash, sequence: u64) {
        note(&mut self.keys, &mut self.keys_met, hash, sequence);
    }

    /// Enters a commit's key, under the commit's last sequence.
    pub(crate) fn note_commit_key(&mut self, hash: KeyHash, last_sequence: u64) {
        note(&mut self.commit_keys, &mut self.commit_keys_met, hash, last_sequence);
    }

    /// Every key hash with its sequence.
    pub fn all_keys(&self) -> impl Iterator<Item = (KeyHash, u64)> {
        self.keys.iter().map(|(hash, sequence)| (*hash, *sequence)).chain(self.keys_met.iter().copied())
    }

    /// Every commit key hash with the sequence of its commit's last record.
    pub fn all_commit_keys(&self) -> impl Iterator<Item = (KeyHash, u64)> {
        self.commit_keys
            .iter()
            .map(|(hash, sequence)| (*hash, *sequence))
            .chain(self.commit_keys_met.iter().copied())
    }
}

fn note(map: &mut KeyMap, met: &mut Vec<(KeyHash, u64)>, hash: KeyHash, sequence: u64) {
    if let Some(earlier) = map.insert(hash, sequence) {
        met.push((hash, earlier));
    }
}

/// How much an index holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Streams that have a record.
    pub streams: u64,
    /// Records, counted through their streams.
    pub postings: u64,
    /// Keys of records.
    pub keys: u64,
    /// Keys of commits.
    pub commit_keys: u64,
    /// Source cursors.
    pub cursors: u64,
}

/// Finds records by stream and key, up to its applied head.
pub trait Index: Send + Sync {
    /// The last sequence it describes; 0 when empty.
    fn applied(&self) -> u64;

    /// Takes in a batch that starts right above [`applied`](Self::applied). All of it, the new applied head
    /// included, becomes visible and is stored together, or nothing.
    ///
    /// # Errors
    ///
    /// The index is broken, or the disk failed; the applied head has not moved.
    fn apply(&self, batch: &IndexBatch) -> Result<(), IndexError>;

    /// The version of the stream's last record; `None` for a stream without one.
    ///
    /// # Errors
    ///
    /// The index cannot answer.
    fn stream_version(&self, stream: &str) -> Result<Option<u64>, IndexError>;

    /// The sequences of a stream's records from `from_version` on (inclusive), in the direction given, at
    /// most `limit` of them.
    ///
    /// # Errors
    ///
    /// The index cannot answer.
    fn stream_sequences(
        &self,
        stream: &str,
        from_version: u64,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<u64>, IndexError>;

    /// Adds the sequences of all records whose key has this hash.
    ///
    /// # Errors
    ///
    /// The index cannot answer.
    fn key_candidates(&self, hash: KeyHash, out: &mut Vec<u64>) -> Result<(), IndexError>;

    /// Adds the sequences of the last record of all commits whose key has this hash.
    ///
    /// # Errors
    ///
    /// The index cannot answer.
    fn commit_candidates(&self, hash: KeyHash, out: &mut Vec<u64>) -> Result<(), IndexError>;

    /// Where a source's cursor stands.
    ///
    /// # Errors
    ///
    /// The index cannot answer.
    fn cursor(&self, source: &str) -> Result<Option<Box<[u8]>>, IndexError>;

    /// How much it holds, counted in full: it takes as long as reading all of it.
    ///
    /// # Errors
    ///
    /// The index cannot answer.
    fn totals(&self) -> Result<Totals, IndexError>;

    /// Everything it says, summed up: it takes as long as reading all of it.
    ///
    /// # Errors
    ///
    /// The index cannot answer.
    fn digest(&self, mixer: Mixer) -> Result<Digest, IndexError>;

    /// Memory that it holds, in bytes, about; a cache whose size it was given does not count.
    fn memory_bytes(&self) -> usize;

    /// Derived data kept beside the index.
    fn snapshots(&self) -> &dyn Snapshots;

    /// Hashes of the tree over the records, kept beside the index with a size of their own.
    fn tiles(&self) -> &dyn Tiles;

    /// Writes out what is still in memory, as far as the index promises that.
    ///
    /// # Errors
    ///
    /// The disk failed.
    fn flush(&self) -> Result<(), IndexError>;
}

/// A tile of hashes, full or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Its level: 1 and above.
    pub level: u8,
    /// Its place in its row, from 0.
    pub index: u64,
    /// Up to 256 hashes of 32 bytes.
    pub hashes: Vec<u8>,
}

/// Tiles of hashes from level 1 on. Losing them costs time only.
pub trait Tiles: Send + Sync {
    /// Records that they stand for; 0 when there are none.
    ///
    /// # Errors
    ///
    /// The index cannot answer.
    fn size(&self) -> Result<u64, IndexError>;

    /// Keeps tiles, replacing what stood in their places, together with the records that all now stand for.
    ///
    /// # Errors
    ///
    /// The disk failed.
    fn put(&self, size: u64, tiles: &[Tile]) -> Result<(), IndexError>;

    /// The hashes of a tile, as it was kept last.
    ///
    /// # Errors
    ///
    /// The index cannot answer.
    fn get(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, IndexError>;

    /// Forgets them all.
    ///
    /// # Errors
    ///
    /// The disk failed.
    fn clear(&self) -> Result<(), IndexError>;
}

/// Derived data kept under a name, with the sequence that it has applied. Losing it costs time only.
pub trait Snapshots: Send + Sync {
    /// Replaces what stands under `name`.
    ///
    /// # Errors
    ///
    /// The disk failed.
    fn put(&self, name: &str, applied: u64, bytes: &[u8]) -> Result<(), IndexError>;

    /// What stands under `name`: the applied sequence and the bytes, whole, or nothing.
    ///
    /// # Errors
    ///
    /// The index cannot answer.
    fn get(&self, name: &str) -> Result<Option<(u64, Vec<u8>)>, IndexError>;

    /// Removes what stands under `name`, if anything does.
    ///
    /// # Errors
    ///
    /// The disk failed.
    fn remove(&self, name: &str) -> Result<(), IndexError>;

    /// All names that start with `prefix`, ascending.
    ///
    /// # Errors
    ///
    /// The index cannot answer.
    fn names(&self, prefix: &str) -> Result<Vec<String>, IndexError>;
}
