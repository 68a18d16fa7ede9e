//! Verifying: every byte of every file is read and every promise about the records checked; nothing is changed.

mod copied;
mod records;
mod sweep;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::index::Index;
use crate::index::plain::PlainIndex;
use crate::ledger::{Cut, Ledger, OpenError, Options};
use crate::merkle::notary::{Kept, check_signing_key};
use crate::merkle::tree::Tree;
use crate::merkle::{
    Checkpoint, CheckpointError, Hash, NotaryError, SignedCheckpoint, TreeError, VerifierKey,
};
use crate::segments::{self, FormatProblem, Segment, SegmentStore};
use crate::store::{CommitStore, Fault, ReadError};
use copied::CopiedIndex;
pub use copied::StoredSnapshots;
use records::{Stretch, check_log};
use sweep::sweep;

/// A ledger in which nothing is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The last sequence, and as many records.
    pub head: u64,
    /// Records that a trusted checkpoint covers, which were not looked at; 0 if there was none. Counts are of the
    /// records behind.
    pub after: u64,
    /// Streams.
    pub streams: u64,
    /// Records that carry a key.
    pub keys: u64,
    /// Segments, sealed ones included.
    pub segments: usize,
    /// Sealed segments.
    pub sealed: usize,
    /// A torn commit, never acknowledged, that the next opening will cut off.
    pub torn: Option<Cut>,
    /// What became of the index.
    pub index: IndexVerified,
    /// The root of the tree over all records.
    pub root: Hash,
    /// The key that the checkpoints are signed with; none before the first opening for writing.
    pub key: Option<VerifierKey>,
    /// Checkpoints that were kept, all of which the tree has the root of.
    pub checkpoints: usize,
}

impl Verified {
    /// So many segments, of whose records nothing is said yet.
    fn of(segments: &[Segment]) -> Verified {
        Verified {
            head: 0,
            after: 0,
            streams: 0,
            keys: 0,
            segments: segments.len(),
            sealed: segments.iter().filter(|segment| matches!(segment, Segment::Sealed(_))).count(),
            torn: None,
            index: IndexVerified::Agrees,
            root: Hash::empty(),
            key: None,
            checkpoints: 0,
        }
    }
}

/// Whether the index agrees with the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexVerified {
    /// It does, in full.
    Agrees,
    /// It does as far as it goes; the rest is added at the next opening.
    Lags {
        /// The last sequence it describes.
        applied: u64,
    },
    /// There is none, or it cannot be used; the next opening rebuilds it.
    Unusable {
        /// Why.
        reason: String,
    },
}

/// Why a ledger did not verify.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log is damaged.
    #[error("the log is damaged at {0}")]
    Damaged(#[from] Fault),
    /// The index says something else than the log. Delete it: the next opening rebuilds it.
    #[error(
        "the index disagrees with the log at sequence {sequence}: {what}; delete the directory \"index\" to \
         have it rebuilt"
    )]
    IndexDisagrees {
        /// The first sequence about which they disagree.
        sequence: u64,
        /// How.
        what: String,
    },
    /// The signing key or a checkpoint is not what it should be.
    #[error(transparent)]
    Notary(#[from] NotaryError),
    /// The checkpoint that was to be trusted is none of this ledger.
    #[error("the checkpoint given is refused: {0}")]
    Since(CheckpointError),
    /// It could not be opened for reading.
    #[error(transparent)]
    Open(OpenError),
    /// The disk or the index did not answer.
    #[error(transparent)]
    Read(ReadError),
}

impl From<ReadError> for VerifyError {
    fn from(error: ReadError) -> VerifyError {
        match error {
            ReadError::Damaged(fault) => VerifyError::Damaged(fault),
            other => VerifyError::Read(other),
        }
    }
}

impl From<OpenError> for VerifyError {
    fn from(error: OpenError) -> VerifyError {
        match error {
            OpenError::Damaged(fault) => VerifyError::Damaged(fault),
            OpenError::Notary(error) => VerifyError::Notary(error),
            other => VerifyError::Open(other),
        }
    }
}

impl From<TreeError> for VerifyError {
    fn from(error: TreeError) -> VerifyError {
        match error {
            TreeError::Read(error) => error.into(),
            beyond @ TreeError::Beyond(_) => VerifyError::Notary(beyond.into()),
        }
    }
}

/// Verifies the ledger in a directory that no writer has open, without changing it. Of the options, the disk
/// and the progress matter.
///
/// # Errors
///
/// The first fault, with its sequence; or what kept the ledger from being read.
pub fn verify(dir: &Path, options: &Options) -> Result<Verified, VerifyError> {
    verify_behind(dir, options, None)
}

/// Verifies what follows a checkpoint of the ledger, which is trusted: that the log goes on from it, and every byte
/// and record behind it. Of what it covers, only its root is compared.
///
/// # Errors
///
/// As for [`verify`]; or the note is not a checkpoint of this ledger.
pub fn verify_since(dir: &Path, options: &Options, checkpoint: &str) -> Result<Verified, VerifyError> {
    verify_behind(dir, options, Some(checkpoint))
}

fn verify_behind(dir: &Path, options: &Options, since: Option<&str>) -> Result<Verified, VerifyError> {
    let io = OpenError::io(dir);
    let disk = &options.disk;
    let format = segments::read_format(&**disk, dir).map_err(&io)?;
    let identity = match format {
        Ok(identity) => identity,
        Err(FormatProblem::Absent) => return Err(OpenError::Absent { dir: dir.to_owned() }.into()),
        Err(FormatProblem::Other(found)) => {
            return Err(OpenError::Format { dir: dir.to_owned(), found }.into());
        }
    };
    let _lock = disk.lock(dir, false).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Held { dir: dir.to_owned() },
        _ => io(error),
    })?;
    let found = segments::find(disk, dir, false)?;
    found.check(0)?;
    found.check_around()?;
    let torn = found.recovered().cut.map(|(sequence, file, offset)| Cut { sequence, file, offset });
    let copy = CopiedIndex::open(dir, identity, options.index_cache_bytes);
    if let Ok(copy) = &copy {
        found.check(copy.index.applied())?;
    }
    let kept = Kept::find(&**disk, dir)?;
    kept.check_size(found.head())?;
    check_signing_key(&**disk, dir, &kept)?;
    let since = since.map(|note| trusted(note, &kept, found.head())).transpose()?;
    let after = since.as_ref().map_or(0, |since| since.size);
    let store = Arc::new(found.read_only(options.layout(), 0));
    let mut segments = store.files.segments();
    segments.retain(|segment| segment.last() > after);
    let index = copy.as_ref().map(|copy| &*copy.index as &dyn Index);
    let tree = match &since {
        None => Tree::open(Arc::clone(&store) as _, Arc::new(PlainIndex::new())).map_err(ReadError::from)?,
        Some(since) => tree_since(&store, copy.as_ref().ok(), since, &kept, options)?,
    };
    let stretch = Stretch { after, head: store.head() };
    let index_or_why = index.map_err(Clone::clone);
    let swept = match &since {
        None => sweep(&segments, stretch.head, index.ok(), &tree, options).ok(),
        Some(_) => None,
    };
    let log = match swept.filter(|swept| !swept.keys_unseen) {
        Some(swept) => Verified {
            head: stretch.head,
            after,
            streams: swept.streams,
            keys: swept.keys,
            torn,
            index: match &index_or_why {
                Err(reason) => IndexVerified::Unusable { reason: reason.clone() },
                Ok(index) if index.applied() >= stretch.head => IndexVerified::Agrees,
                Ok(index) => IndexVerified::Lags { applied: index.applied() },
            },
            ..Verified::of(&segments)
        },
        // Something is wrong, or there is more to look at: what, is found record by record.
        None => {
            check_segments(&segments)?;
            check_log(&*store, stretch, index_or_why, options, &segments, torn)?
        }
    };
    let mut signed = kept.all(&**disk)?;
    signed.retain(|signed| signed.checkpoint.size >= after);
    let tiles = index.ok().filter(|_| since.is_none());
    let root = check_tree(&tree, log.head, tiles, &kept, &signed, options)?;
    Ok(Verified { root, checkpoints: signed.len(), key: kept.verifier, ..log })
}

impl Ledger {
    /// Verifies what is durable when called, while the ledger goes on. Of the options, the progress matters.
    ///
    /// # Errors
    ///
    /// The first fault, with its sequence; or what kept the ledger from being read.
    pub fn verify(&self, options: &Options) -> Result<Verified, VerifyError> {
        let head = self.head();
        let segments = self.segment_store().map(|store| store.files.segments()).unwrap_or_default();
        check_segments(&segments)?;
        let index =
            if self.flush_index() { Ok(&**self.index()) } else { Err("it takes nothing in".to_owned()) };
        let all = Stretch { after: 0, head };
        let log = check_log(&**self.store(), all, index.clone(), options, &segments, None)?;
        let signed: Vec<SignedCheckpoint> = self.latest_checkpoint().into_iter().collect();
        let tree =
            Tree::open(Arc::clone(self.store()), Arc::new(PlainIndex::new())).map_err(ReadError::from)?;
        // What was signed since the head was read is checked as far as that goes.
        let reached: Vec<_> = signed.into_iter().filter(|signed| signed.checkpoint.size <= head).collect();
        let root = check_tree(&tree, head, index.ok(), self.kept(), &reached, options)?;
        Ok(Verified { root, checkpoints: reached.len(), key: self.verifier_key().cloned(), ..log })
    }
}

/// What a checkpoint states that whoever verifies trusts.
fn trusted(note: &str, kept: &Kept, head: u64) -> Result<Checkpoint, VerifyError> {
    let key = kept.verifier.as_ref().ok_or(NotaryError::NoKey)?;
    let since = SignedCheckpoint::open(note, key).map_err(VerifyError::Since)?.checkpoint;
    if since.size > head {
        let what = format!("the checkpoint given is of {} records, and the log ends before", since.size);
        return Err(Fault { sequence: head + 1, file: PathBuf::new(), offset: 0, what }.into());
    }
    Ok(since)
}

/// The tree up to a checkpoint: out of the tiles where they lead to its root, else out of the records.
fn tree_since(
    store: &Arc<SegmentStore>,
    copy: Option<&CopiedIndex>,
    since: &Checkpoint,
    kept: &Kept,
    options: &Options,
) -> Result<Tree, VerifyError> {
    let root = |tree: &Tree| tree.view(since.size)?.root(since.size);
    let store = || Arc::clone(store) as Arc<dyn CommitStore>;
    if let Some(copy) = copy
        && let Ok(tree) = Tree::up_to(store(), Arc::clone(&copy.index) as _, since.size)
        && root(&tree).is_ok_and(|root| root == since.root)
    {
        return Ok(tree);
    }
    let tree = Tree::open(store(), Arc::new(PlainIndex::new())).map_err(ReadError::from)?;
    tree.grow(since.size, options.progress.as_ref())?;
    let root = root(&tree)?;
    if root == since.root { Ok(tree) } else { Err(kept.wrong_root(0, since.size, &root).into()) }
}

/// Reads what belongs to segments as files: every block and checksum of the sealed ones.
fn check_segments(segments: &[Segment]) -> Result<(), VerifyError> {
    for segment in segments {
        if let Segment::Sealed(sealed) = segment {
            sealed.verify(&mut |_| ()).map_err(ReadError::from)?;
        }
    }
    Ok(())
}

/// Hashes every record anew and compares the tree with what was signed and with the tiles beside the index; gives its
/// root.
fn check_tree(
    tree: &Tree,
    head: u64,
    index: Option<&dyn Index>,
    kept: &Kept,
    signed: &[SignedCheckpoint],
    options: &Options,
) -> Result<Hash, VerifyError> {
    let read = |error| VerifyError::Read(ReadError::Index(error));
    tree.grow(head, options.progress.as_ref())?;
    let mut view = tree.view(head)?;
    let mut good = 0;
    for stated in signed.iter().map(|signed| &signed.checkpoint) {
        let root = view.root(stated.size)?;
        if root != stated.root {
            return Err(kept.wrong_root(good, stated.size, &root).into());
        }
        good = stated.size;
    }
    if let Some(index) = index
        && let Some(sequence) = view.differs_from(index.tiles()).map_err(read)?
    {
        let what = "a tile of hashes is not that of its records".to_owned();
        return Err(VerifyError::IndexDisagrees { sequence, what });
    }
    Ok(view.root(head)?)
}
