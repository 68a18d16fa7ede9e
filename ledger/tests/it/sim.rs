//! A disk in memory that fails on demand, and that forgets, tears and reorders what was not synced.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use daybook_ledger::disk::{Disk, DiskFile, Mode};

/// What goes wrong with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// EIO.
    Io,
    /// ENOSPC.
    Full,
    /// Half of a write arrives, then EIO.
    Short,
}

/// How many times the usual number of schedules and histories to try: `DAYBOOK_ROUNDS`, 1 if it is not set.
pub(crate) fn rounds() -> u64 {
    std::env::var("DAYBOOK_ROUNDS").map_or(1, |rounds| rounds.parse().expect("DAYBOOK_ROUNDS is a number"))
}

/// A generator that a seed determines.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

#[derive(Clone, Default)]
struct Inode {
    /// What a power failure leaves for certain.
    durable: Vec<u8>,
    /// What a reader sees now.
    current: Vec<u8>,
    /// Written since the last sync that succeeded.
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone)]
enum Entry {
    Create(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Clone, Default)]
struct State {
    inodes: Vec<Inode>,
    /// What a reader sees now.
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Directory changes not yet synced, in order.
    changes: Vec<Entry>,
    free: u64,
    operations: u64,
    fail_at: Option<(u64, Fault)>,
    /// Every operation from `fail_at` on fails, not just that one.
    fail_on: bool,
    image_at: Option<(u64, u64)>,
    image: Option<(Box<State>, u64)>,
    trace: Vec<String>,
}

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Counted up by the test as appends are acknowledged; read when an image is taken.
    pub(crate) acknowledged: Arc<AtomicU64>,
}

impl SimDisk {
    pub(crate) fn new() -> SimDisk {
        SimDisk::of(State { free: 1 << 40, ..State::default() })
    }

    fn of(state: State) -> SimDisk {
        SimDisk { state: Arc::new(Mutex::new(state)), acknowledged: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the disk")
    }

    /// Fails the operation with this number (counted from now, from 0), or all from it on.
    pub(crate) fn fail_at(&self, operation: u64, fault: Fault, and_on: bool) {
        let mut state = self.state();
        state.fail_at = Some((state.operations + operation, fault));
        state.fail_on = and_on;
    }

    pub(crate) fn heal(&self) {
        self.state().fail_at = None;
    }

    pub(crate) fn set_free(&self, free: u64) {
        self.state().free = free;
    }

    /// Operations done so far.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Takes an image of what a power failure would leave just before the operation with this number.
    pub(crate) fn image_at(&self, operation: u64, seed: u64) {
        let mut state = self.state();
        state.image_at = Some((state.operations + operation, seed));
    }

    /// The image, if its operation was reached, and how many appends were acknowledged when it was taken.
    pub(crate) fn image(&self) -> Option<(SimDisk, u64)> {
        let (state, acknowledged) = self.state().image.take()?;
        Some((SimDisk::of(*state), acknowledged))
    }

    /// What a power failure would leave now.
    pub(crate) fn crash(&self, seed: u64) -> SimDisk {
        SimDisk::of(self.state().crashed(&mut Random(seed)))
    }

    /// What the end of the process alone leaves: all that was written.
    pub(crate) fn killed(&self) -> SimDisk {
        let state = self.state();
        SimDisk::of(State {
            inodes: state.inodes.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            changes: state.changes.clone(),
            free: state.free,
            ..State::default()
        })
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.inodes[state.names[path]].current.clone()
    }

    pub(crate) fn set_bytes(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let inode = state.names[path];
        state.inodes[inode] =
            Inode { durable: bytes.to_vec(), current: bytes.to_vec(), unsynced: Vec::new() };
    }

    pub(crate) fn create(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        state.inodes.push(Inode { durable: bytes.to_vec(), current: bytes.to_vec(), unsynced: Vec::new() });
        let inode = state.inodes.len() - 1;
        state.names.insert(path.to_owned(), inode);
        state.durable_names.insert(path.to_owned(), inode);
    }

    pub(crate) fn flip(&self, path: &Path, bit: usize) {
        let mut bytes = self.bytes(path);
        bytes[bit / 8] ^= 1 << (bit % 8);
        self.set_bytes(path, &bytes);
    }

    pub(crate) fn delete(&self, path: &Path) {
        self.state().names.remove(path);
    }

    /// Everything that can be seen, to tell whether anything was changed.
    pub(crate) fn seen(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        state.names.iter().map(|(path, inode)| (path.clone(), state.inodes[*inode].current.clone())).collect()
    }

    fn step(&self, what: &str, path: &Path) -> io::Result<Option<Fault>> {
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        let mut state = self.state();
        let operation = state.operations;
        if let Some((at, seed)) = state.image_at
            && operation == at
        {
            let image = state.crashed(&mut Random(seed));
            state.image = Some((Box::new(image), acknowledged));
        }
        state.operations += 1;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        state.trace.push(format!("{operation}: {what} {name}"));
        let Some((at, fault)) = state.fail_at else { return Ok(None) };
        if operation == at || (state.fail_on && operation > at) {
            return match fault {
                Fault::Io => Err(io::Error::other("injected: EIO")),
                Fault::Full if what == "sync" => Ok(None),
                Fault::Full => Err(ErrorKind::StorageFull.into()),
                Fault::Short => Ok(Some(Fault::Short)),
            };
        }
        Ok(None)
    }
}

impl State {
    fn crashed(&self, random: &mut Random) -> State {
        let mut inodes = Vec::new();
        for inode in &self.inodes {
            let mut bytes = inode.durable.clone();
            let mut writes = inode.unsynced.clone();
            // Sectors of unsynced writes arrive or do not, in any order.
            if random.below(2) == 0 {
                writes.reverse();
            }
            let style = random.below(4);
            for (offset, written) in writes {
                let mut at = 0;
                while at < written.len() {
                    let to = (((offset + at) / 512 + 1) * 512 - offset).min(written.len());
                    let arrives = match style {
                        0 => false,
                        1 => true,
                        _ => random.below(2) == 0,
                    };
                    if arrives {
                        if bytes.len() < offset + to {
                            bytes.resize(offset + to, 0);
                        }
                        bytes[offset + at..offset + to].copy_from_slice(&written[at..to]);
                    }
                    at = to;
                }
            }
            inodes.push(Inode { current: bytes.clone(), durable: bytes, unsynced: Vec::new() });
        }
        let mut names = self.durable_names.clone();
        // A journal keeps directory changes in order: some first ones of them are there.
        let kept = usize::try_from(random.below(self.changes.len() as u64 + 1)).expect("small");
        for change in &self.changes[..kept] {
            apply(&mut names, change);
        }
        State { inodes, durable_names: names.clone(), names, free: self.free, ..State::default() }
    }
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, change: &Entry) {
    match change {
        Entry::Create(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        Entry::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        Entry::Remove(path) => {
            names.remove(path);
        }
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
    path: PathBuf,
}

impl DiskFile for SimFile {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let bytes = &state.inodes[self.inode].current;
        let start = usize::try_from(offset).expect("small").min(bytes.len());
        let len = out.len().min(bytes.len() - start);
        out[..len].copy_from_slice(&bytes[start..start + len]);
        Ok(len)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let short = self.disk.step("write", &self.path)? == Some(Fault::Short);
        let written = if short { &bytes[..bytes.len() / 2] } else { bytes };
        let mut state = self.disk.state();
        let inode = &mut state.inodes[self.inode];
        let start = usize::try_from(offset).expect("small");
        if inode.current.len() < start + written.len() {
            inode.current.resize(start + written.len(), 0);
        }
        inode.current[start..start + written.len()].copy_from_slice(written);
        inode.unsynced.push((start, written.to_vec()));
        if short { Err(io::Error::other("injected: short write")) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let step = self.disk.step("sync", &self.path);
        let mut state = self.disk.state();
        let inode = &mut state.inodes[self.inode];
        if let Err(error) = step {
            // As on Linux: the pages count as clean now, and a later sync does not write them.
            inode.unsynced.clear();
            return Err(error);
        }
        for (offset, written) in std::mem::take(&mut inode.unsynced) {
            if inode.durable.len() < offset + written.len() {
                inode.durable.resize(offset + written.len(), 0);
            }
            inode.durable[offset..offset + written.len()].copy_from_slice(&written);
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].current.len() as u64)
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>> {
        let creates = matches!(mode, Mode::Create | Mode::CreatePrivate);
        if creates {
            self.step("create", path)?;
        }
        let mut state = self.state();
        let inode = match (state.names.get(path).copied(), creates) {
            (Some(_), true) => return Err(ErrorKind::AlreadyExists.into()),
            (Some(inode), _) => inode,
            (None, true) => {
                state.inodes.push(Inode::default());
                let inode = state.inodes.len() - 1;
                state.names.insert(path.to_owned(), inode);
                state.changes.push(Entry::Create(path.to_owned(), inode));
                inode
            }
            (None, false) => return Err(ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(SimFile { disk: self.clone(), inode, path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename", to)?;
        let mut state = self.state();
        if !state.names.contains_key(from) {
            return Err(ErrorKind::NotFound.into());
        }
        let change = Entry::Rename(from.to_owned(), to.to_owned());
        apply(&mut state.names, &change);
        state.changes.push(change);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step("remove", path)?;
        let mut state = self.state();
        if state.names.remove(path).is_some() {
            state.changes.push(Entry::Remove(path.to_owned()));
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let here = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(here.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.step("sync_dir", dir)?;
        let mut state = self.state();
        state.changes.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn lock(&self, _dir: &Path, _writer: bool) -> io::Result<Box<dyn Send + Sync>> {
        Ok(Box::new(()))
    }

    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(self.state().free)
    }
}
