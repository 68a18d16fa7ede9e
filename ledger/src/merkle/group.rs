//! Hashing a run of neighbouring records: whole groups of 256 down to one hash each, and what stands around them
//! leaf by leaf.

use std::ops::ControlFlow;

use super::hash::Hash;
use super::tile::TILE_WIDTH;
use crate::record::RecordView;
use crate::store::{CommitStore, ReadError};

/// Records in a group.
const GROUP: usize = 1 << super::tile::TILE_LEVELS;

/// The hashes of a run of records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    /// Leaves before the first group that begins in the run.
    pub(crate) before: Vec<Hash>,
    /// The roots of whole groups.
    pub(crate) groups: Vec<Hash>,
    /// Leaves behind the last whole group.
    pub(crate) after: Vec<Hash>,
}

/// Takes the records of a run one after the other.
pub(crate) struct Hashing {
    run: Run,
    /// Leaves that still belong to a group begun before the run.
    owed: usize,
    leaves: Vec<Hash>,
    bytes: Vec<u8>,
}

impl Hashing {
    /// A run that begins at this sequence.
    pub(crate) fn from(sequence: u64) -> Hashing {
        let index = sequence.saturating_sub(1);
        let owed = usize::try_from(index.next_multiple_of(TILE_WIDTH) - index).unwrap_or(0);
        Hashing { run: Run::default(), owed, leaves: Vec::with_capacity(GROUP), bytes: Vec::new() }
    }

    /// Takes the next record.
    pub(crate) fn push(&mut self, record: &RecordView<'_>) {
        self.bytes.clear();
        record.encode_canonical(&mut self.bytes);
        let leaf = Hash::leaf(&self.bytes);
        if self.owed > 0 {
            self.owed -= 1;
            self.run.before.push(leaf);
            return;
        }
        self.leaves.push(leaf);
        if self.leaves.len() == GROUP {
            self.run.groups.push(Hash::fold_in(&mut self.leaves));
            self.leaves.clear();
        }
    }

    /// What was taken.
    pub(crate) fn finish(mut self) -> Run {
        self.run.after = self.leaves;
        self.run
    }
}

/// Hashes the records from `from` to `to`, both inclusive.
pub(crate) fn hash_records(store: &dyn CommitStore, from: u64, to: u64) -> Result<Run, ReadError> {
    let mut hashing = Hashing::from(from);
    store.records(from, to, &mut |record| {
        hashing.push(record);
        ControlFlow::Continue(())
    })?;
    Ok(hashing.finish())
}
