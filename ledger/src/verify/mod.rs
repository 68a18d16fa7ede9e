//! Verifying: every byte of every file is read and every promise about the records checked; nothing is changed.

mod sweep;

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::create_private_dir;
use crate::frame::BodyError;
use crate::index::plain::PlainIndex;
use crate::index::sled::{IndexFound, SledIndex};
use crate::index::{Direction, Index, IndexBatch, IndexError, KeyHash, Totals};
use crate::ledger::{Cut, INDEX, Ledger, OpenError, Options, Phase, SNAPSHOT, is_of};
use crate::merkle::notary::{Kept, check_signing_key};
use crate::merkle::tree::Tree;
use crate::merkle::{
    Checkpoint, CheckpointError, Hash, NotaryError, SignedCheckpoint, TreeError, VerifierKey,
};
use crate::segments::{self, FormatProblem, Identity, Segment, SegmentStore};
use crate::store::{Body, CommitStore, Fault, ReadError};
use sweep::sweep;

/// Key hashes held in memory at a time while looking for one that comes twice; more keys mean more passes.
const KEYS_HELD: usize = 4 << 20;
/// Records compared with the index at a time.
const COMPARED_AT_ONCE: u64 = 65_536;
/// Records between two reports of progress.
const REPORT_EVERY: u64 = 65_536;

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
    let index_or_why = index.clone().map_err(Clone::clone);
    let swept = match &since {
        None => sweep(&segments, stretch.head, index.clone().ok(), &tree, options).ok(),
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

/// What is remembered of the records seen so far.
#[derive(Default)]
struct Seen {
    /// Records that a checkpoint covers: of what they say, nothing is known.
    after: u64,
    next: u64,
    recorded_at: Option<i64>,
    versions: HashMap<Box<str>, u64>,
    cursors: HashMap<Box<str>, Box<[u8]>>,
    keys: u64,
    commit_keys: u64,
    /// Records of a commit that still have to come, and how many came.
    commit: (u32, u32),
}

/// The records behind `after`, up to `head`.
#[derive(Clone, Copy)]
struct Stretch {
    after: u64,
    head: u64,
}

fn check_log(
    store: &dyn CommitStore,
    stretch: Stretch,
    index: Result<&dyn Index, String>,
    options: &Options,
    segments: &[Segment],
    torn: Option<Cut>,
) -> Result<Verified, VerifyError> {
    let Stretch { after, head } = stretch;
    let mut seen = Seen { next: after + 1, after, ..Seen::default() };
    let applied = index.as_ref().map_or(0, |index| index.applied());
    let mut keys = KeySieve::new(None);
    let mut commit_keys = KeySieve::new(None);
    let mut batch = IndexBatch::default();
    scan(store, stretch, |body| {
        check_body(body, &mut seen, &mut keys, &mut commit_keys)?;
        if let Ok(index) = &index {
            batch.absorb(body, after + 1).map_err(|error| crate::reading::damaged(&error, body))?;
            if batch.count() >= COMPARED_AT_ONCE {
                agree(*index, &std::mem::take(&mut batch), applied)?;
            }
        }
        if seen.next % REPORT_EVERY < u64::from(body.count()) {
            options.report(Phase::Checking, seen.next - 1, head);
        }
        Ok(())
    })?;
    if let Ok(index) = &index {
        agree(*index, &batch, applied)?;
    }
    if seen.next <= head {
        let what = format!("the log ends here; it should hold {head} records");
        return Err(Fault { sequence: seen.next, file: PathBuf::new(), offset: 0, what }.into());
    }
    find_repeated(store, stretch, keys, |body, visit| {
        let _ = body.visit(after + 1, body.last_sequence(), |record| {
            if let Some(key) = record.key {
                visit(KeyHash::of(key), record.sequence);
            }
            ControlFlow::Continue(())
        });
    })?;
    find_repeated(store, stretch, commit_keys, |body, visit| {
        let mut last = body.first_sequence() - 1;
        for part in body.parts() {
            last += u64::from(part.records);
            if let Some((key, _)) = part.tail.as_ref().and_then(|tail| tail.key) {
                visit(KeyHash::of(key), last);
            }
        }
    })?;
    options.report(Phase::Checking, head, head);
    let index = match index {
        Err(reason) => IndexVerified::Unusable { reason },
        // A ledger in use may have gone on meanwhile; then only what was compared above is known. What a checkpoint
        // covers was not counted.
        Ok(index) if applied == head && after == 0 && index.applied() == head => {
            agree_in_total(index, &seen, head)?;
            IndexVerified::Agrees
        }
        Ok(_) if applied >= head => IndexVerified::Agrees,
        Ok(_) => IndexVerified::Lags { applied },
    };
    Ok(Verified {
        head,
        after,
        streams: seen.versions.len() as u64,
        keys: seen.keys,
        torn,
        index,
        ..Verified::of(segments)
    })
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

/// Shows bodies from the one that holds the first record of a stretch up to the one that holds its last.
fn scan(
    store: &dyn CommitStore,
    Stretch { after, head }: Stretch,
    mut visit: impl FnMut(&Body<'_>) -> Result<(), VerifyError>,
) -> Result<(), VerifyError> {
    if head == after {
        return Ok(());
    }
    let mut failed = None;
    store.scan(after + 1, &mut |body| match visit(body) {
        Ok(()) if body.last_sequence() < head => ControlFlow::Continue(()),
        Ok(()) => ControlFlow::Break(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}

fn check_body(
    body: &Body<'_>,
    seen: &mut Seen,
    keys: &mut KeySieve,
    commit_keys: &mut KeySieve,
) -> Result<(), VerifyError> {
    let fault = |sequence, what: String| Fault { sequence, file: PathBuf::new(), offset: 0, what };
    let mut wrong: Option<Fault> = None;
    let visited = body.visit(seen.after + 1, body.last_sequence(), |record| {
        let sequence = record.sequence;
        let mut step = || -> Result<(), Fault> {
            if sequence != seen.next {
                return Err(fault(seen.next, format!("sequence {sequence} stands where it should")));
            }
            seen.next += 1;
            if seen.recorded_at.is_some_and(|before| record.recorded_at < before) {
                return Err(fault(sequence, "recorded_at goes backwards".into()));
            }
            seen.recorded_at = Some(record.recorded_at);
            record.check().map_err(|error| fault(sequence, error.to_string()))?;
            let version = match seen.versions.get_mut(record.stream) {
                Some(version) => version,
                None => {
                    let before = if seen.after == 0 { 0 } else { record.version.saturating_sub(1) };
                    seen.versions.entry(Box::from(record.stream)).or_insert(before)
                }
            };
            *version += 1;
            if *version != record.version {
                return Err(fault(
                    sequence,
                    format!("stream {} goes on at version {}, not {version}", record.stream, record.version),
                ));
            }
            if let Some(key) = record.key {
                seen.keys += 1;
                keys.add(KeyHash::of(key), sequence);
            }
            Ok(())
        };
        match step() {
            Ok(()) => ControlFlow::Continue(()),
            Err(found) => {
                wrong = Some(found);
                ControlFlow::Break(())
            }
        }
    });
    if let Some(wrong) = wrong {
        return Err(wrong.into());
    }
    let _ = visited.map_err(|error: BodyError| fault(body.first_sequence(), error.to_string()))?;
    let mut last = body.first_sequence() - 1;
    for part in body.parts() {
        let begins = last + 1;
        last += u64::from(part.records);
        if last <= seen.after {
            continue;
        }
        // The commit in which a checkpoint ends may have begun before.
        let known = begins > seen.after + 1 || seen.after == 0;
        if known && (part.before, part.before + part.records + part.after) != follow(seen.commit, part) {
            return Err(fault(begins, "a commit is not whole".into()).into());
        }
        seen.commit = (part.before + part.records, part.after);
        let Some(tail) = &part.tail else { continue };
        for (source, to) in &tail.cursors {
            seen.cursors.insert(Box::from(*source), Box::from(*to));
        }
        if let Some((key, _)) = tail.key {
            seen.commit_keys += 1;
            commit_keys.add(KeyHash::of(key), last);
        }
    }
    Ok(())
}

/// What a part must say of the records before it and of its whole commit, after a part that left `(came,
/// to_come)`.
fn follow((came, to_come): (u32, u32), part: &crate::frame::CommitPart<'_>) -> (u32, u32) {
    if to_come == 0 { (0, part.records + part.after) } else { (came, came + to_come) }
}

/// Compares what the log says of a run of records with what the index does, record by record.
fn agree(index: &dyn Index, batch: &IndexBatch, applied: u64) -> Result<(), VerifyError> {
    if batch.from > applied {
        return Ok(());
    }
    let disagrees = |sequence, what: String| VerifyError::IndexDisagrees { sequence, what };
    let read = |error| VerifyError::Read(ReadError::Index(error));
    for (stream, postings) in &batch.streams {
        let mut expected = postings.sequences.clone();
        expected.retain(|sequence| *sequence <= applied);
        let found = index
            .stream_sequences(stream, postings.first_version, expected.len(), Direction::Forward)
            .map_err(read)?;
        if found != expected {
            let differ = expected.iter().zip(&found).find(|(one, other)| one != other);
            let sequence = differ.map_or(expected.get(found.len()), |(one, _)| Some(one));
            let sequence = sequence.copied().unwrap_or(batch.from);
            return Err(disagrees(sequence, format!("stream {stream} is listed otherwise")));
        }
    }
    let mut candidates = Vec::new();
    for (hash, sequence) in batch.all_keys().filter(|(_, sequence)| *sequence <= applied) {
        candidates.clear();
        index.key_candidates(hash, &mut candidates).map_err(read)?;
        if !candidates.contains(&sequence) {
            return Err(disagrees(sequence, "its key is not found".into()));
        }
    }
    for (hash, sequence) in batch.all_commit_keys().filter(|(_, sequence)| *sequence <= applied) {
        candidates.clear();
        index.commit_candidates(hash, &mut candidates).map_err(read)?;
        if !candidates.contains(&sequence) {
            return Err(disagrees(sequence, "the key of its commit is not found".into()));
        }
    }
    Ok(())
}

/// Checks that the index holds nothing besides what was compared.
fn agree_in_total(index: &dyn Index, seen: &Seen, head: u64) -> Result<(), VerifyError> {
    let read = |error| VerifyError::Read(ReadError::Index(error));
    let disagrees = |what: String| VerifyError::IndexDisagrees { sequence: head, what };
    let expected = Totals {
        streams: seen.versions.len() as u64,
        postings: head,
        keys: seen.keys,
        commit_keys: seen.commit_keys,
        cursors: seen.cursors.len() as u64,
    };
    let found = index.totals().map_err(read)?;
    if found != expected {
        return Err(disagrees(format!("it holds {found:?}, the log {expected:?}")));
    }
    for (stream, version) in &seen.versions {
        if index.stream_version(stream).map_err(read)? != Some(*version) {
            return Err(disagrees(format!("stream {stream} does not end at version {version}")));
        }
    }
    for (source, to) in &seen.cursors {
        if index.cursor(source).map_err(read)?.as_ref() != Some(to) {
            return Err(disagrees(format!("the cursor of {source} stands elsewhere")));
        }
    }
    Ok(())
}

/// Holds the lowest key hashes above a bound, as many as there is room for.
struct KeySieve {
    above: Option<u128>,
    held: Vec<(u128, u64)>,
    /// Hashes above this one were left for the next pass.
    cut: Option<u128>,
}

impl KeySieve {
    fn new(above: Option<u128>) -> KeySieve {
        KeySieve { above, held: Vec::new(), cut: None }
    }

    fn add(&mut self, KeyHash(hash): KeyHash, sequence: u64) {
        if self.above.is_some_and(|above| hash <= above) || self.cut.is_some_and(|cut| hash > cut) {
            return;
        }
        self.held.push((hash, sequence));
        if self.held.len() >= 2 * KEYS_HELD {
            // All with one hash stay together: none is cut off from its like.
            let (_, middle, _) = self.held.select_nth_unstable(KEYS_HELD);
            let cut = middle.0;
            self.held.retain(|(hash, _)| *hash <= cut);
            self.cut = Some(cut);
        }
    }
}

/// Looks for a key that comes twice, in as many passes as memory asks for.
fn find_repeated(
    store: &dyn CommitStore,
    stretch: Stretch,
    first: KeySieve,
    mut keys_of: impl FnMut(&Body<'_>, &mut dyn FnMut(KeyHash, u64)),
) -> Result<(), VerifyError> {
    let mut sieve = first;
    loop {
        sieve.held.sort_unstable();
        let mut twice = sieve.held.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        if let Some(pair) = twice.next() {
            let what = format!("its key stands at sequence {} already", pair[0].1);
            return Err(Fault { sequence: pair[1].1, file: PathBuf::new(), offset: 0, what }.into());
        }
        let Some(cut) = sieve.cut else { return Ok(()) };
        let mut next = KeySieve::new(Some(cut));
        scan(store, stretch, |body| {
            keys_of(body, &mut |hash, sequence| next.add(hash, sequence));
            Ok(())
        })?;
        sieve = next;
    }
}

/// The index of a directory, copied elsewhere: opening sled where it lies would change it.
struct CopiedIndex {
    index: Arc<SledIndex>,
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
    fn open(dir: &Path, identity: Identity, cache_bytes: u64) -> Result<CopiedIndex, String> {
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
