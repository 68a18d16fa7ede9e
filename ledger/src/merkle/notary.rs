//! Signing what the log was, and keeping what was signed, so that a log which loses or changes any of it is noticed.
//!
//! In the data directory, outside the log: `signing-key`, which only its owner may read; and the directory
//! `checkpoints` with the public `verifier-key`, with `latest`, the last checkpoint ever given out, and with one file
//! for each that is kept for good, named by its size. They are plain files, not part of the log or of the index: what
//! vouches for the log must not be lost with what it vouches for, whoever deletes the index must not delete it, and
//! any of them can be handed to a stranger as it is. A checkpoint is durable here before anybody is given it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::checkpoint::{CheckpointError, SignedCheckpoint};
use super::hash::Hash;
use super::note::{NOTE_BYTES_MAX, NoteError, SigningKey, VerifierKey};
use super::tree::{Tree, TreeError};
use crate::disk::{Disk, Mode, read_file, replace_file, replace_file_as};
use crate::segments::is_full;
use crate::store::Fault;

/// The file of the signing key.
const SIGNING_KEY: &str = "signing-key";
/// The directory of checkpoints.
const CHECKPOINTS: &str = "checkpoints";
/// The public key's file in it.
const VERIFIER_KEY: &str = "verifier-key";
/// The file of the last checkpoint in it.
const LATEST: &str = "latest";
/// What the names of logs begin with; random digits follow.
const ORIGIN: &str = "daybook/";

/// Why the log cannot be vouched for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotaryError {
    /// The signing key was made once and is gone.
    #[error(
        "{} is missing, and checkpoints were signed with it: put it back; without it, nobody can tell this log from \
         another that was put in its place",
        path.display()
    )]
    KeyMissing {
        /// The key's file.
        path: PathBuf,
    },
    /// Others may read the signing key.
    #[error("{} may be read by others than its owner: run `chmod 600` on it, and ask who may have copied it", path.display())]
    KeyExposed {
        /// The key's file.
        path: PathBuf,
    },
    /// The signing key cannot be read.
    #[error("{} cannot be read as a signing key: {why}", path.display())]
    KeyUnreadable {
        /// The key's file.
        path: PathBuf,
        /// Why not.
        why: Arc<str>,
    },
    /// The signing key is not the one whose public half is kept.
    #[error("{} is not the key that signed the checkpoints of this log: put the right one in its place", path.display())]
    KeyForeign {
        /// The key's file.
        path: PathBuf,
    },
    /// The public key is missing or cannot be read.
    #[error("{} cannot be read as a verifier key: {why}", path.display())]
    VerifierKey {
        /// The public key's file.
        path: PathBuf,
        /// Why not.
        why: Arc<str>,
    },
    /// A checkpoint that was kept cannot be believed.
    #[error("{} is not a checkpoint of this log: {why}", path.display())]
    Checkpoint {
        /// Its file.
        path: PathBuf,
        /// Why not.
        why: Arc<str>,
    },
    /// The last checkpoint was put back to an earlier one.
    #[error(
        "{} was rolled back: it is of {latest} records, and one of {kept} was signed; put the right one in its place",
        path.display()
    )]
    RolledBack {
        /// Its file.
        path: PathBuf,
        /// Its size.
        latest: u64,
        /// The size of a later one.
        kept: u64,
    },
    /// The log does not go on from what was signed last.
    #[error(
        "the log no longer has the root that was signed over its first {size} records: run `daybook verify`"
    )]
    Forked {
        /// The size of the last checkpoint.
        size: u64,
    },
    /// There is no key to sign with.
    #[error("there is no signing key yet: it is made when the ledger is next opened for writing")]
    NoKey,
    /// The tree did not answer.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The disk did not answer.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
}

fn at(path: &Path) -> impl Fn(io::Error) -> NotaryError {
    |source| NotaryError::Io { path: path.to_owned(), source: Arc::new(source) }
}

/// What is kept in a directory, read and not yet compared with the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// The directory of checkpoints.
    dir: PathBuf,
    pub(crate) verifier: Option<VerifierKey>,
    pub(crate) latest: Option<SignedCheckpoint>,
    /// The sizes of those that are kept for good, ascending.
    pub(crate) sizes: Vec<u64>,
}

impl Kept {
    /// Reads what the ledger in `dir` keeps, changing nothing.
    pub(crate) fn find(disk: &dyn Disk, ledger: &Path) -> Result<Kept, NotaryError> {
        let dir = ledger.join(CHECKPOINTS);
        let names = match disk.list(&dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            names => names.map_err(at(&dir))?,
        };
        let mut kept = Kept { dir, ..Kept::default() };
        kept.sizes = names.iter().filter_map(|name| parse_size(name)).collect();
        kept.sizes.sort_unstable();
        let path = kept.dir.join(VERIFIER_KEY);
        kept.verifier = match read_text(disk, &path, NOTE_BYTES_MAX) {
            Ok(text) => {
                let key = line(&text).map_err(NoteError::Key).and_then(str::parse::<VerifierKey>);
                Some(key.map_err(|why| NotaryError::VerifierKey { path, why: why.to_string().into() })?)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(at(&path)(error)),
        };
        let path = kept.dir.join(LATEST);
        kept.latest = match (read_text(disk, &path, NOTE_BYTES_MAX), &kept.verifier) {
            (Ok(note), Some(key)) => Some(open(&path, &note, key)?),
            (Ok(_), None) => {
                let why = "it is missing, and checkpoints were signed".into();
                return Err(NotaryError::VerifierKey { path: kept.dir.join(VERIFIER_KEY), why });
            }
            (Err(error), _) if error.kind() == ErrorKind::NotFound => None,
            (Err(error), _) => return Err(at(&path)(error)),
        };
        let (last, latest) = (kept.sizes.last().copied(), kept.latest.as_ref());
        match (last, latest.map_or(0, |latest| latest.checkpoint.size)) {
            (Some(kept), latest) if kept > latest => Err(NotaryError::RolledBack { path, latest, kept }),
            _ => Ok(kept),
        }
    }

    /// Reads the checkpoint of a size that is kept for good.
    pub(crate) fn read(&self, disk: &dyn Disk, size: u64) -> Result<SignedCheckpoint, NotaryError> {
        let path = self.dir.join(size_name(size));
        let Some(key) = &self.verifier else {
            let why = "it is missing, and checkpoints were signed".into();
            return Err(NotaryError::VerifierKey { path: self.dir.join(VERIFIER_KEY), why });
        };
        let note = read_text(disk, &path, NOTE_BYTES_MAX).map_err(at(&path))?;
        let signed = open(&path, &note, key)?;
        if signed.checkpoint.size != size {
            let why = format!("it is of {} records, and its name says {size}", signed.checkpoint.size).into();
            return Err(NotaryError::Checkpoint { path, why });
        }
        Ok(signed)
    }

    /// Every checkpoint that is kept, by ascending size.
    pub(crate) fn all(&self, disk: &dyn Disk) -> Result<Vec<SignedCheckpoint>, NotaryError> {
        let mut all = self.sizes.iter().map(|size| self.read(disk, *size)).collect::<Result<Vec<_>, _>>()?;
        all.extend(self.latest.clone());
        Ok(all)
    }

    /// Records that were signed for.
    pub(crate) fn signed(&self) -> u64 {
        self.latest.as_ref().map_or(0, |latest| latest.checkpoint.size)
    }

    /// Refuses a log that holds fewer records than were signed for.
    pub(crate) fn check_size(&self, head: u64) -> Result<(), Fault> {
        let signed = self.signed();
        if signed <= head {
            return Ok(());
        }
        let what = format!("a checkpoint of {signed} records was signed, and the log ends before");
        Err(Fault { sequence: head + 1, file: self.dir.join(LATEST), offset: 0, what })
    }

    /// Refuses a log whose tree does not have a root that was signed. `good` records are known to be as they were.
    pub(crate) fn wrong_root(&self, good: u64, size: u64, found: &Hash) -> Fault {
        let what = format!(
            "the records up to {size} have the root {found}, and another was signed: one of those from {} on was \
             changed",
            good + 1
        );
        Fault { sequence: good + 1, file: self.dir.join(size_name(size)), offset: 0, what }
    }
}

fn open(path: &Path, note: &str, key: &VerifierKey) -> Result<SignedCheckpoint, NotaryError> {
    SignedCheckpoint::open(note, key).map_err(|why: CheckpointError| NotaryError::Checkpoint {
        path: path.to_owned(),
        why: why.to_string().into(),
    })
}

fn size_name(size: u64) -> String {
    format!("{size:020}")
}

fn parse_size(name: &str) -> Option<u64> {
    let digits = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    if digits { name.parse().ok() } else { None }
}

fn read_text(disk: &dyn Disk, path: &Path, bytes_max: usize) -> io::Result<String> {
    let file = disk.open(path, Mode::Read)?;
    if file.size()? > bytes_max as u64 {
        return Err(ErrorKind::FileTooLarge.into());
    }
    drop(file);
    String::from_utf8(read_file(disk, path)?).map_err(|_| ErrorKind::InvalidData.into())
}

/// The only line of a text.
fn line(text: &str) -> Result<&str, &'static str> {
    text.strip_suffix('\n').filter(|line| !line.contains('\n')).ok_or("it is not one line")
}

/// Checks the signing key of the ledger in `dir`, if whoever asks may read it: to check what was signed, nobody needs it.
pub(crate) fn check_signing_key(disk: &dyn Disk, ledger: &Path, kept: &Kept) -> Result<(), NotaryError> {
    match disk.open(&ledger.join(SIGNING_KEY), Mode::Read) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => Ok(()),
        _ => signing_key(disk, ledger, kept).map(drop),
    }
}

/// Reads the signing key of the ledger in `dir` and holds it against what is kept; none if none was ever made.
/// Nothing is changed.
pub(crate) fn signing_key(
    disk: &dyn Disk,
    ledger: &Path,
    kept: &Kept,
) -> Result<Option<SigningKey>, NotaryError> {
    let path = ledger.join(SIGNING_KEY);
    let unreadable = |why: String| NotaryError::KeyUnreadable { path: path.clone(), why: why.into() };
    let file = match disk.open(&path, Mode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound && kept.verifier.is_none() => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(NotaryError::KeyMissing { path }),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    if file.is_open_to_others().map_err(|error| unreadable(error.to_string()))? {
        return Err(NotaryError::KeyExposed { path });
    }
    drop(file);
    let text = read_text(disk, &path, 1 << 10).map_err(|error| unreadable(error.to_string()))?;
    let key = line(&text).map_err(NoteError::SigningKey).and_then(SigningKey::from_secret_text);
    let key = key.map_err(|why| unreadable(why.to_string()))?;
    if kept.verifier.as_ref().is_some_and(|kept| kept != key.verifier()) {
        return Err(NotaryError::KeyForeign { path });
    }
    Ok(Some(key))
}

/// Draws a key, and with it the name of the log that it signs for.
pub(crate) fn draw_key() -> io::Result<SigningKey> {
    let (mut name, mut secret) = ([0; 16], [0; 32]);
    getrandom::fill(&mut name).map_err(io::Error::from)?;
    getrandom::fill(&mut secret).map_err(io::Error::from)?;
    let digits: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    SigningKey::from_secret(&format!("{ORIGIN}{digits}"), &secret).map_err(io::Error::other)
}

/// Signs checkpoints, and keeps them.
pub(crate) struct Notary {
    key: SigningKey,
    /// Where they are kept; nowhere for a ledger in memory.
    place: Option<(Arc<dyn Disk>, PathBuf)>,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    latest: Option<SignedCheckpoint>,
    /// The size of the last that is kept for good.
    kept: u64,
}

impl Notary {
    /// Signs for a ledger in memory.
    pub(crate) fn in_memory() -> io::Result<Notary> {
        Ok(Notary { key: draw_key()?, place: None, last: Mutex::default() })
    }

    /// Signs for the ledger in a directory; makes and keeps a key if there was none. On a full disk there is no
    /// notary: the ledger can be read all the same.
    pub(crate) fn start(
        disk: &Arc<dyn Disk>,
        ledger: &Path,
        kept: &Kept,
        key: Option<SigningKey>,
    ) -> Result<Option<Notary>, NotaryError> {
        let made = Notary::make(disk, ledger, kept, key);
        match made {
            Err(NotaryError::Io { source, .. }) if is_full(&source) => {
                tracing::warn!(
                    "the disk is full: no signing key is made, and nothing is signed until there is room"
                );
                Ok(None)
            }
            made => made.map(Some),
        }
    }

    fn make(
        disk: &Arc<dyn Disk>,
        ledger: &Path,
        kept: &Kept,
        key: Option<SigningKey>,
    ) -> Result<Notary, NotaryError> {
        let path = ledger.join(SIGNING_KEY);
        let key = match key {
            Some(key) => key,
            None => {
                let key = draw_key().map_err(at(&path))?;
                let text = key.secret_text() + "\n";
                replace_file_as(&**disk, &path, text.as_bytes(), Mode::CreatePrivate).map_err(at(&path))?;
                key
            }
        };
        // The public half comes second: with it, the key counts as made.
        if kept.verifier.is_none() {
            disk.create_dir(&kept.dir).map_err(at(&kept.dir))?;
            let path = kept.dir.join(VERIFIER_KEY);
            replace_file(&**disk, &path, format!("{}\n", key.verifier()).as_bytes()).map_err(at(&path))?;
        }
        let last = Last { latest: kept.latest.clone(), kept: kept.sizes.last().copied().unwrap_or(0) };
        Ok(Notary { key, place: Some((Arc::clone(disk), kept.dir.clone())), last: Mutex::new(last) })
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn verifier(&self) -> &VerifierKey {
        self.key.verifier()
    }

    /// The last checkpoint that was signed.
    pub(crate) fn latest(&self) -> Option<SignedCheckpoint> {
        self.last().latest.clone()
    }

    /// The size of the last checkpoint that is kept for good.
    pub(crate) fn kept(&self) -> u64 {
        self.last().kept
    }

    /// A checkpoint over the durable head, signed now unless the last one is of that head; `for_good` keeps it beside
    /// those that come after it.
    pub(crate) fn checkpoint(
        &self,
        tree: &Tree,
        head: u64,
        for_good: bool,
    ) -> Result<SignedCheckpoint, NotaryError> {
        let mut last = self.last();
        let signed = match &last.latest {
            Some(latest) if latest.checkpoint.size >= head => latest.clone(),
            latest => {
                let mut view = tree.view(head)?;
                if let Some(before) = latest.as_ref().map(|latest| &latest.checkpoint)
                    && view.root(before.size)? != before.root
                {
                    return Err(NotaryError::Forked { size: before.size });
                }
                let signed = SignedCheckpoint::sign(&self.key, head, view.root(head)?);
                self.write(LATEST, &signed)?;
                last.latest = Some(signed.clone());
                signed
            }
        };
        let size = signed.checkpoint.size;
        if for_good && size > last.kept {
            self.write(&size_name(size), &signed)?;
            last.kept = size;
        }
        Ok(signed)
    }

    fn write(&self, name: &str, signed: &SignedCheckpoint) -> Result<(), NotaryError> {
        let Some((disk, dir)) = &self.place else { return Ok(()) };
        let path = dir.join(name);
        replace_file(&**disk, &path, signed.note.as_bytes()).map_err(at(&path))
    }
}
