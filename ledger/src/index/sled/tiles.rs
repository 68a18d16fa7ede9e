//! Tiles of hashes in a tree of their own, each under its level and place; the size that they stand for changes in the
//! batch that brings them.

use sled::Batch;

use super::store::{Of, Store};
use crate::index::{IndexError, Tile};

/// Above the keys of all tiles.
const SIZE: &[u8] = &[u8::MAX];

fn key(level: u8, index: u64) -> [u8; 9] {
    let mut key = [level; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

pub(super) fn size(store: &Store) -> Result<u64, IndexError> {
    let Some(bytes) = store.get(Of::Tiles, SIZE)? else { return Ok(0) };
    let bytes = <[u8; 8]>::try_from(&*bytes).map_err(|_| store.broken("the size of the tiles is none"))?;
    Ok(u64::from_le_bytes(bytes))
}

pub(super) fn put(store: &Store, size: u64, tiles: &[Tile]) -> Result<(), IndexError> {
    let mut batch = Batch::default();
    for tile in tiles {
        batch.insert(&key(tile.level, tile.index), &*tile.hashes);
    }
    batch.insert(SIZE, &size.to_le_bytes());
    store.apply(Of::Tiles, batch)
}

pub(super) fn get(store: &Store, level: u8, index: u64) -> Result<Option<Vec<u8>>, IndexError> {
    Ok(store.get(Of::Tiles, &key(level, index))?.map(|bytes| bytes.to_vec()))
}

pub(super) fn clear(store: &Store) -> Result<(), IndexError> {
    store.remove_all(Of::Tiles, &[])
}
