//! The few file operations that the log is made of, so that tests can stand a failing disk in their place.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// An existing file, for reading alone.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A file that does not exist yet, for reading and writing; an existing one is an error.
    Create,
    /// The same, to be read by its owner alone.
    CreatePrivate,
}

/// An open file, read and written at offsets.
pub trait DiskFile: Send + Sync {
    /// Reads up to `out.len()` bytes; fewer only at the end of the file.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes`. After an error any part of them may have been written.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written durable (`fdatasync`).
    ///
    /// # Errors
    ///
    /// What the operating system says; what was written since the last success may then be lost.
    fn sync_data(&self) -> io::Result<()>;

    /// The file's size in bytes.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn size(&self) -> io::Result<u64>;

    /// Whether others than its owner may read or write it; a disk without owners knows of none.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn is_open_to_others(&self) -> io::Result<bool> {
        Ok(false)
    }
}

/// A directory tree.
pub trait Disk: Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>>;

    /// Names `from` as `to`, replacing what stood there. Durable after [`sync_dir`](Self::sync_dir).
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; that there is none is no error.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The names of what is directly in `dir`, ascending; not UTF-8 ones are left out.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes creations, renames and removals in `dir` durable.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Holds `dir` until what is returned is dropped: alone for a writer, together with other readers for a
    /// reader. A reader changes nothing on the disk.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if another process holds it, else what the operating system says.
    fn lock(&self, dir: &Path, writer: bool) -> io::Result<Box<dyn Send + Sync>>;

    /// Creates `dir` and what leads to it, durably; that it exists is no error.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Bytes that can still be written below `dir`.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// Reads exactly `out.len()` bytes.
///
/// # Errors
///
/// What the disk says; `UnexpectedEof` if the file ends before.
pub fn read_exact_at(file: &dyn DiskFile, out: &mut [u8], offset: u64) -> io::Result<()> {
    if file.read_at(out, offset)? == out.len() { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// Reads a whole file.
///
/// # Errors
///
/// What the disk says.
pub fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Mode::Read)?;
    let len = usize::try_from(file.size()?).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
    let mut bytes = vec![0; len];
    read_exact_at(&*file, &mut bytes, 0)?;
    Ok(bytes)
}

/// Puts `bytes` under a name whole or not at all: written beside it, synced, renamed, directory synced.
///
/// # Errors
///
/// What the disk says; the name then holds what it held before, or `bytes`.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_file_as(disk, path, bytes, Mode::Create)
}

/// The same, made in a mode that creates.
///
/// # Errors
///
/// As for [`replace_file`].
pub fn replace_file_as(disk: &dyn Disk, path: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
    let beside = beside(path);
    disk.remove(&beside)?;
    let file = disk.open(&beside, mode)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    drop(file);
    disk.rename(&beside, path)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// The name under which a file is written before it takes its own.
#[must_use]
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

/// The file whose lock says that a process has the directory open.
pub const LOCK: &str = "LOCK";

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

struct OsFile(File);

impl DiskFile for OsFile {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            match self.0.read_at(&mut out[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn is_open_to_others(&self) -> io::Result<bool> {
        Ok(self.0.metadata()?.permissions().mode() & 0o077 != 0)
    }
}

impl Disk for OsDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            Mode::Read => {}
            Mode::Write => {
                options.write(true);
            }
            Mode::Create => {
                options.write(true).create_new(true);
            }
            Mode::CreatePrivate => {
                options.write(true).create_new(true).mode(0o600);
            }
        }
        Ok(Arc::new(OsFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, dir: &Path, writer: bool) -> io::Result<Box<dyn Send + Sync>> {
        let path = dir.join(LOCK);
        if writer {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
            lock_soon(|| file.try_lock())?;
            return Ok(Box::new(file));
        }
        match File::open(path) {
            Ok(file) => {
                lock_soon(|| file.try_lock_shared())?;
                Ok(Box::new(file))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Box::new(())),
            Err(error) => Err(error),
        }
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        create_private_dir(dir)?;
        if let Some(parent) = dir.canonicalize()?.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// How long to wait for whoever is just letting go of a lock.
const LOCK_WAIT: Duration = Duration::from_millis(250);

/// Takes a lock, waiting a moment for whoever is just letting go: a process that ends, or a child that was forked while
/// the file was open and has not started its own program yet.
fn lock_soon(try_lock: impl Fn() -> Result<(), TryLockError>) -> io::Result<()> {
    let began = Instant::now();
    loop {
        match try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_WAIT => thread::sleep(LOCK_WAIT / 50),
            Err(TryLockError::WouldBlock) => return Err(ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Makes a directory that only its owner may enter: what a ledger holds is nobody else's business on a shared machine.
pub(crate) fn create_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)
}
