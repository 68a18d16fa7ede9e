//! Snapshots of derived data in a tree of their own: cut into parts, replaced whole.

use std::sync::{PoisonError, RwLock};

use sled::Batch;

use super::store::{Of, Store, VALUE_BYTES_MAX};
use crate::bytes::{Reader, Short};
use crate::index::IndexError;

/// Parts written or removed in one batch.
const BATCH_PARTS: usize = 64;

const HEAD: u8 = b'h';
const PART: u8 = b'p';
/// A generation whose parts are to be removed when the index is next opened, unless a head came to refer to it.
const LEFT: u8 = b'x';

/// Numbers the generations: each put writes its parts under a new one, so that what stood before stays whole
/// until the head refers to the new.
#[derive(Debug)]
pub(super) struct Generations {
    next: RwLock<u64>,
}

struct Head {
    applied: u64,
    generation: u64,
    bytes: u64,
    hash: [u8; 32],
}

impl Head {
    fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(56);
        for number in [self.applied, self.generation, self.bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.hash);
        out
    }

    fn read(bytes: &[u8]) -> Result<Head, Short> {
        let mut reader = Reader::new(bytes);
        let (applied, generation, bytes) = (reader.u64()?, reader.u64()?, reader.u64()?);
        Ok(Head { applied, generation, bytes, hash: *reader.array()? })
    }
}

fn head_key(name: &str) -> Vec<u8> {
    let mut key = vec![HEAD];
    key.extend_from_slice(name.as_bytes());
    key
}

fn generation_key(kind: u8, generation: u64) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&generation.to_be_bytes());
    key
}

fn part_key(generation: u64, part: u32) -> Vec<u8> {
    let mut key = generation_key(PART, generation);
    key.extend_from_slice(&part.to_be_bytes());
    key
}

impl Generations {
    /// Finds the next generation and removes what interrupted replacements left.
    pub(super) fn open(store: &Store) -> Result<Generations, IndexError> {
        let mut left = Vec::new();
        store.each(Of::Snapshots, &[LEFT], &generation_key(LEFT, u64::MAX), false, |key, _| {
            left.extend(key[1..].first_chunk().map(|generation| u64::from_be_bytes(*generation)));
            Ok(true)
        })?;
        for generation in &left {
            remove_parts(store, *generation)?;
        }
        let (least, greatest) = (part_key(0, 0), part_key(u64::MAX, u32::MAX));
        let last = store.last(Of::Snapshots, &least, &greatest)?;
        let last = last.and_then(|(key, _)| Some(u64::from_be_bytes(*key.get(1..)?.first_chunk()?)));
        let next = last.into_iter().chain(left).max().map_or(1, |last| last + 1);
        Ok(Generations { next: RwLock::new(next) })
    }

    pub(super) fn put(
        &self,
        store: &Store,
        name: &str,
        applied: u64,
        bytes: &[u8],
    ) -> Result<(), IndexError> {
        let mut next = self.next.write().unwrap_or_else(PoisonError::into_inner);
        let generation = *next;
        *next += 1;
        let mut batch = Batch::default();
        batch.insert(generation_key(LEFT, generation), &[]);
        for (number, part) in (0u32..).zip(bytes.chunks(VALUE_BYTES_MAX)) {
            batch.insert(part_key(generation, number), part);
            if number as usize % BATCH_PARTS == BATCH_PARTS - 1 {
                store.apply(Of::Snapshots, std::mem::take(&mut batch))?;
            }
        }
        let head =
            Head { applied, generation, bytes: bytes.len() as u64, hash: *blake3::hash(bytes).as_bytes() };
        let before = store.get(Of::Snapshots, &head_key(name))?.and_then(|bytes| Head::read(&bytes).ok());
        batch.insert(head_key(name), head.write());
        batch.remove(generation_key(LEFT, generation));
        if let Some(before) = &before {
            batch.insert(generation_key(LEFT, before.generation), &[]);
        }
        store.apply(Of::Snapshots, batch)?;
        before.map_or(Ok(()), |before| remove_parts(store, before.generation))
    }

    pub(super) fn get(&self, store: &Store, name: &str) -> Result<Option<(u64, Vec<u8>)>, IndexError> {
        let _unchanged = self.next.read().unwrap_or_else(PoisonError::into_inner);
        let Some(head) = store.get(Of::Snapshots, &head_key(name))? else { return Ok(None) };
        let Ok(head) = Head::read(&head) else { return Ok(None) };
        let mut bytes = Vec::new();
        let (first, last) = (part_key(head.generation, 0), part_key(head.generation, u32::MAX));
        store.each(Of::Snapshots, &first, &last, false, |_, part| {
            bytes.extend_from_slice(part);
            Ok(bytes.len() as u64 <= head.bytes)
        })?;
        // What is not whole is as good as lost, and losing a snapshot costs time only.
        let whole = bytes.len() as u64 == head.bytes && *blake3::hash(&bytes).as_bytes() == head.hash;
        Ok(whole.then_some((head.applied, bytes)))
    }

    pub(super) fn remove(&self, store: &Store, name: &str) -> Result<(), IndexError> {
        let _alone = self.next.write().unwrap_or_else(PoisonError::into_inner);
        let Some(head) = store.get(Of::Snapshots, &head_key(name))? else { return Ok(()) };
        let mut batch = Batch::default();
        batch.remove(head_key(name));
        let generation = Head::read(&head).ok().map(|head| head.generation);
        if let Some(generation) = generation {
            batch.insert(generation_key(LEFT, generation), &[]);
        }
        store.apply(Of::Snapshots, batch)?;
        generation.map_or(Ok(()), |generation| remove_parts(store, generation))
    }

    pub(super) fn names(store: &Store, prefix: &str) -> Result<Vec<String>, IndexError> {
        let (from, mut names) = (head_key(prefix), Vec::new());
        store.each(Of::Snapshots, &from, &[HEAD + 1], false, |key, _| {
            let within = key.starts_with(&from);
            if within {
                names.extend(std::str::from_utf8(&key[1..]).map(str::to_owned));
            }
            Ok(within)
        })?;
        Ok(names)
    }
}

fn remove_parts(store: &Store, generation: u64) -> Result<(), IndexError> {
    store.remove_all(Of::Snapshots, &generation_key(PART, generation))?;
    let mut batch = Batch::default();
    batch.remove(generation_key(LEFT, generation));
    store.apply(Of::Snapshots, batch)
}
