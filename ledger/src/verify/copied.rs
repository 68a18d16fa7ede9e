//! The index of a directory, copied so that it can be read: sled writes even to be read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::create_private_dir;
use crate::index::sled::{IndexFound, SledIndex};
use crate::index::{Index, IndexError};
use crate::ledger::{INDEX, Options, SNAPSHOT, is_of};
use crate::segments::{self, Identity};

/// The index of a directory, copied elsewhere: opening sled where it lies would change it.
pub(super) struct CopiedIndex {
    pub(super) index: Arc<SledIndex>,
    /// Removed with this.
    _copy: RemovedOnDrop,
}

/// The snapshots that a ledger's index keeps, read from a copy of it so that nothing on disk changes.
///
/// A ledger that is opened for reading alone does not open its index, because sled writes even to be read; this is
/// how such a reader compares what is stored with what the log says.
pub struct StoredSnapshots(CopiedIndex);

impl StoredSnapshots {
    /// Copies the index of the ledger in `dir`, which no writer may have open.
    ///
    /// # Errors
    ///
    /// In words, why there is nothing to compare with.
    pub fn read(dir: &Path, options: &Options) -> Result<StoredSnapshots, String> {
        let io = |error: io::Error| error.to_string();
        let identity =
            segments::read_format(&*options.disk, dir).map_err(io)?.map_err(|_| "there is no ledger")?;
        CopiedIndex::open(dir, identity, options.index_cache_bytes).map(StoredSnapshots)
    }

    /// What stands under `name`: the applied sequence and the bytes, whole, or nothing.
    ///
    /// # Errors
    ///
    /// The index cannot answer.
    pub fn get(&self, name: &str) -> Result<Option<(u64, Vec<u8>)>, IndexError> {
        self.0.index.snapshots().get(&format!("{SNAPSHOT}{name}"))
    }
}

struct RemovedOnDrop(PathBuf);

impl Drop for RemovedOnDrop {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "a temporary copy of the index is left behind");
        }
    }
}

impl CopiedIndex {
    pub(super) fn open(dir: &Path, identity: Identity, cache_bytes: u64) -> Result<CopiedIndex, String> {
        let from = dir.join(INDEX);
        if !from.is_dir() {
            return Err("there is none".into());
        }
        let random = getrandom::u64().map_err(|error| error.to_string())?;
        let to = std::env::temp_dir().join(format!("daybook-verify-{random:016x}"));
        let copy = RemovedOnDrop(to.clone());
        copy_dir(&from, &to).map_err(|error| format!("it could not be copied to be read: {error}"))?;
        let (index, found) = SledIndex::open(&to, cache_bytes).map_err(|error| error.to_string())?;
        match found {
            IndexFound::Index if is_of(&index, identity) => {
                Ok(CopiedIndex { index: Arc::new(index), _copy: copy })
            }
            IndexFound::Index if index.applied() == 0 => Err("it is empty".into()),
            IndexFound::Index => Err("it is of another ledger".into()),
            IndexFound::Nothing => Err("there is none".into()),
            IndexFound::Broken { why, .. } => Err(why),
        }
    }
}

fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    create_private_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
