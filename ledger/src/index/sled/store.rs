//! The one place that talks to sled: opening, reading, writing in batches, and containing its panics.
//!
//! sled neither syncs metadata nor waits for the disk, and reuses space on the strength of writes that may not
//! have reached it. So after the machine went down with the index open, its content is not trusted whatever it
//! looks like: a file beside it says under which boot it was opened and whether it was closed.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sled::{Batch, Db, IVec, Tree};

use crate::disk::{OsDisk, replace_file};
use crate::index::IndexError;

/// The least that sled's page cache is given, in bytes: a few pages of large values.
const CACHE_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// sled's unit of allocation. Pages of more than a quarter of it would go to files of their own; a page holds up
/// to 16 values, ours have at most [`VALUE_BYTES_MAX`].
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

/// No value put into sled is larger than this.
pub(super) const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Beside sled's directory: `open <boot>` while the index is in use, `closed` after all of it was synced.
const STATE: &str = "STATE";

/// The first of the kernel's statements that tells one boot from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What was found where the index should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// An index that can be used.
    Index,
    /// One that cannot, moved to the path given so that a new one can take its place.
    Broken { moved_to: PathBuf, why: String },
}

/// An open sled database in its directory.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    cache_bytes: u64,
    db: Db,
    index: Tree,
    snapshots: Tree,
    tiles: Tree,
    broken: AtomicBool,
}

/// The three trees: all that finds records, snapshots of what is derived from them, and tiles of hashes over them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    Index,
    Snapshots,
    Tiles,
}

impl Store {
    /// Opens the index in `dir`, moving aside what cannot be used.
    ///
    /// # Errors
    ///
    /// The directory cannot be written, or sled does not open even an empty one.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<(Store, Found), IndexError> {
        fs::create_dir_all(dir).map_err(IndexError::from)?;
        let path = dir.join("sled");
        if !path.exists() {
            return Ok((Store::start(dir, cache_bytes)?, Found::Nothing));
        }
        let why = match trusted(dir) {
            Ok(()) => match Store::start(dir, cache_bytes) {
                Ok(store) => return Ok((store, Found::Index)),
                Err(IndexError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(IndexError::Io(error));
                }
                Err(error) => error.to_string(),
            },
            Err(why) => why,
        };
        let moved_to = move_aside(dir)?;
        Ok((Store::start(dir, cache_bytes)?, Found::Broken { moved_to, why }))
    }

    /// Gives up this index for being broken and begins an empty one in its place.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub(super) fn start_over(self) -> Result<(Store, PathBuf), IndexError> {
        let (dir, cache_bytes) = (self.dir.clone(), self.cache_bytes);
        self.broken.store(true, Ordering::Release);
        drop(self);
        let moved_to = move_aside(&dir)?;
        Ok((Store::start(&dir, cache_bytes)?, moved_to))
    }

    fn start(dir: &Path, cache_bytes: u64) -> Result<Store, IndexError> {
        let state = format!("open {}\n", boot_id());
        replace_file(&OsDisk, &dir.join(STATE), state.as_bytes())?;
        let broken = AtomicBool::new(false);
        let (db, snapshots, tiles) = contain(&broken, || {
            let db = sled::Config::new()
                .path(dir.join("sled"))
                .cache_capacity(cache_bytes.max(CACHE_BYTES_MIN))
                .segment_size(SEGMENT_BYTES)
                .mode(sled::Mode::HighThroughput)
                .flush_every_ms(None)
                .open()?;
            let (snapshots, tiles) = (db.open_tree("snapshots")?, db.open_tree("tiles")?);
            Ok((db, snapshots, tiles))
        })?;
        let index = Tree::clone(&db);
        Ok(Store { dir: dir.to_owned(), cache_bytes, db, index, snapshots, tiles, broken })
    }

    fn tree(&self, of: Of) -> &Tree {
        match of {
            Of::Index => &self.index,
            Of::Snapshots => &self.snapshots,
            Of::Tiles => &self.tiles,
        }
    }

    pub(super) fn get(&self, of: Of, key: &[u8]) -> Result<Option<IVec>, IndexError> {
        contain(&self.broken, || self.tree(of).get(key))
    }

    /// Applies a batch. One that fails may stand half in sled's memory, so that nothing more is asked of it.
    pub(super) fn apply(&self, of: Of, batch: Batch) -> Result<(), IndexError> {
        let applied = contain(&self.broken, || self.tree(of).apply_batch(batch));
        if applied.is_err() {
            self.broken.store(true, Ordering::Release);
        }
        applied
    }

    /// The greatest key from `from` to `to`, both included, with its value.
    pub(super) fn last(&self, of: Of, from: &[u8], to: &[u8]) -> Result<Option<(IVec, IVec)>, IndexError> {
        contain(&self.broken, || self.tree(of).range(from..=to).next_back().transpose())
    }

    /// Shows the entries from `from` to `to`, both included, ascending or descending, until `visit` answers no.
    pub(super) fn each(
        &self,
        of: Of,
        from: &[u8],
        to: &[u8],
        descending: bool,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, IndexError>,
    ) -> Result<(), IndexError> {
        let mut answered = Ok(true);
        contain(&self.broken, || {
            let mut range = self.tree(of).range(from..=to);
            while let Some(entry) = if descending { range.next_back() } else { range.next() } {
                let (key, value) = entry?;
                answered = visit(&key, &value);
                if !matches!(answered, Ok(true)) {
                    break;
                }
            }
            Ok(())
        })?;
        answered.map(|_| ())
    }

    /// Removes up to `keys_max` keys that begin with `prefix`; true when none is left.
    pub(super) fn remove_some(&self, of: Of, prefix: &[u8], keys_max: usize) -> Result<bool, IndexError> {
        let (mut batch, mut found) = (Batch::default(), 0);
        contain(&self.broken, || {
            for key in self.tree(of).scan_prefix(prefix).keys().take(keys_max) {
                batch.remove(key?);
                found += 1;
            }
            Ok(())
        })?;
        if found > 0 {
            self.apply(of, batch)?;
        }
        Ok(found < keys_max)
    }

    /// Removes every key that begins with `prefix`.
    pub(super) fn remove_all(&self, of: Of, prefix: &[u8]) -> Result<(), IndexError> {
        const STEP: usize = 256;
        while !self.remove_some(of, prefix, STEP)? {}
        Ok(())
    }

    /// Number of sled keys, and bytes on disk.
    #[cfg(test)]
    pub(super) fn size(&self) -> Result<(usize, u64), IndexError> {
        contain(&self.broken, || {
            Ok((self.index.len() + self.snapshots.len() + self.tiles.len(), self.db.size_on_disk()?))
        })
    }

    /// Writes out what sled holds back and syncs its files.
    ///
    /// # Errors
    ///
    /// sled or the disk failed.
    pub(super) fn flush(&self) -> Result<(), IndexError> {
        contain(&self.broken, || self.db.flush())?;
        sync_below(&self.dir.join("sled"))?;
        Ok(())
    }

    /// Notes that an answer contradicts itself: nothing is asked of this index any more.
    pub(super) fn broken(&self, what: impl Into<String>) -> IndexError {
        self.broken.store(true, Ordering::Release);
        IndexError::Broken(what.into())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.broken.load(Ordering::Acquire) {
            return;
        }
        // Without the statement the index is used again after a crash of the process, and rebuilt after one of
        // the machine; nothing is lost but time.
        let closed = self.flush().and_then(|()| {
            replace_file(&OsDisk, &self.dir.join(STATE), b"closed\n").map_err(IndexError::from)
        });
        if let Err(error) = closed {
            tracing::warn!(%error, "the index was not closed cleanly");
        }
    }
}

impl From<io::Error> for IndexError {
    fn from(error: io::Error) -> IndexError {
        IndexError::Io(Arc::new(error))
    }
}

/// Calls sled, which may panic where a file is not what it wrote. Every call goes through here.
fn contain<T>(broken: &AtomicBool, call: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
    if broken.load(Ordering::Acquire) {
        return Err(IndexError::Broken("it failed before".to_owned()));
    }
    let failed = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(sled::Error::Io(error))) if error.kind() != io::ErrorKind::Other => return Err(error.into()),
        Ok(Err(error)) => error.to_string(),
        Err(panicked) => {
            let said = panicked.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panicked.downcast_ref::<&str>().map(|&text| text.to_owned()));
            format!("sled panicked: {}", said.unwrap_or_default())
        }
    };
    broken.store(true, Ordering::Release);
    Err(IndexError::Broken(failed))
}

/// Whether what lies in `dir` was closed, or was opened under the boot that still runs; else why not.
fn trusted(dir: &Path) -> Result<(), String> {
    let state = fs::read_to_string(dir.join(STATE)).unwrap_or_default();
    let boot = boot_id();
    match state.trim_end().split_once(' ') {
        None if state.trim_end() == "closed" => Ok(()),
        Some(("open", then)) if then == boot && !boot.is_empty() => Ok(()),
        Some(("open", _)) => Err("the machine went down while the index was open".to_owned()),
        _ => Err("nothing says that the index was closed".to_owned()),
    }
}

/// What distinguishes this boot of the machine from others; empty where the system does not tell.
fn boot_id() -> String {
    fs::read_to_string(BOOT_ID).map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Moves the sled directory aside, in place of one moved aside before.
fn move_aside(dir: &Path) -> Result<PathBuf, IndexError> {
    let moved_to = dir.join("sled.broken");
    if moved_to.exists() {
        fs::remove_dir_all(&moved_to)?;
    }
    fs::rename(dir.join("sled"), &moved_to)?;
    File::open(dir)?.sync_all()?;
    Ok(moved_to)
}

fn sync_below(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_below(&entry.path())?;
        } else {
            match File::open(entry.path()) {
                Ok(file) => file.sync_data()?,
                // sled removes its older snapshot files when it likes.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    File::open(dir)?.sync_all()
}
