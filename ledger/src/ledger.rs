//! The ledger itself: opening, appending, reading and following.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::append::{Append, AppendError, Appended, Pending};
use crate::clock::{Clock, SystemClock};
use crate::decide::{Decider, Limits};
use crate::disk::{Disk, OsDisk};
use crate::index::lazy::LazyIndex;
use crate::index::plain::PlainIndex;
use crate::index::sled::{IndexFound, SledIndex};
use crate::index::{Direction, Index, IndexBatch, IndexError, KeyHash, Snapshots};
use crate::memory::MemoryStore;
use crate::merkle::NotaryError;
use crate::merkle::grower::Grower;
use crate::merkle::notary::{Kept, Notary, signing_key};
use crate::merkle::tree::{Tree, TreeError};
use crate::reading::find_commit;
use crate::record::{Record, RecordView};
use crate::segments::{self, FormatProblem, Found, Identity, Layout, Segment, SegmentStore};
use crate::stats::Stats;
use crate::store::{CommitStore, Fault, PutError, ReadError};
use crate::tail::Finder;
use crate::writer::{Published, Writer};

/// The directory of the index, inside the ledger's.
pub(crate) const INDEX: &str = "index";
/// The smallest segment that can be asked for.
pub const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// The largest segment that can be asked for.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// Records that catching up applies to the index at a time.
const CATCH_UP_RECORDS: u64 = 65_536;

/// Which index finds the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexKind {
    /// In memory, filled from the log at every opening.
    Plain,
    /// In sled, beside the log.
    Sled,
}

/// What opening or checking is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Filling the index from the log.
    Indexing,
    /// Hashing the records into the tree over the log.
    Hashing,
    /// Checking the log's bytes and its records, and that the index agrees with them.
    Checking,
}

/// How far a long step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Records done.
    pub done: u64,
    /// Records in all.
    pub total: u64,
}

/// Is told how far a long step has come, now and then.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// How to open a ledger.
#[derive(Clone)]
pub struct Options {
    /// Size of a segment in bytes, from [`SEGMENT_BYTES_MIN`] to [`SEGMENT_BYTES_MAX`]; others are brought
    /// into that range. 64 MiB by default.
    pub segment_bytes: u64,
    /// Make a ledger where there is none.
    pub create: bool,
    /// Change nothing on the disk; appends are refused. The index is then built in memory, when it is first
    /// asked: scanning does without.
    pub read_only: bool,
    /// Is told how far long steps have come.
    pub progress: Option<OnProgress>,
    /// Says when a record was taken.
    pub clock: Arc<dyn Clock>,
    /// Which index finds the records.
    pub index: IndexKind,
    /// Memory that the index may use as a cache, in bytes.
    pub index_cache_bytes: u64,
    /// Memory for blocks of sealed segments read by stream or key, in bytes.
    pub block_cache_bytes: usize,
    /// Free disk space that is never used for a new segment, in bytes.
    pub reserve_bytes: u64,
    /// Repack full segments into compressed ones.
    pub seal: bool,
    /// Records that a commit may have.
    pub commit_records_max: usize,
    /// Bytes that a commit may have, before it is packed; never more than half a segment.
    pub commit_bytes_max: usize,
    /// Records that may wait in memory for the index. Appends wait above that.
    pub tail_records_max: u64,
    /// Where the files are.
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_bytes: 64 << 20,
            create: false,
            read_only: false,
            progress: None,
            clock: Arc::new(SystemClock),
            index: IndexKind::Sled,
            index_cache_bytes: 64 << 20,
            block_cache_bytes: 16 << 20,
            reserve_bytes: 32 << 20,
            seal: true,
            commit_records_max: 65_536,
            commit_bytes_max: 24 << 20,
            tail_records_max: 1 << 20,
            disk: Arc::new(OsDisk),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Options")
            .field("segment_bytes", &self.segment_bytes)
            .field("create", &self.create)
            .field("read_only", &self.read_only)
            .field("index", &self.index)
            .field("seal", &self.seal)
            .finish_non_exhaustive()
    }
}

impl Options {
    pub(crate) fn layout(&self) -> Layout {
        Layout {
            segment_bytes: self.segment_bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX) & !7,
            reserve_bytes: self.reserve_bytes,
            seal: self.seal,
        }
    }

    fn limits(&self) -> Limits {
        let half = usize::try_from(self.layout().segment_bytes / 2).unwrap_or(usize::MAX);
        Limits {
            records_max: self.commit_records_max.max(1),
            bytes_max: self.commit_bytes_max.min(half.saturating_sub(8 << 10)),
        }
    }

    pub(crate) fn report(&self, phase: Phase, done: u64, total: u64) {
        if let Some(progress) = &self.progress {
            progress(Progress { phase, done, total });
        }
    }
}

/// A torn commit that was cut off the end of the log. It was never acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The sequence that its first record would have had.
    pub sequence: u64,
    /// The segment it lay in.
    pub file: PathBuf,
    /// Where in the segment.
    pub offset: u64,
}

/// What had to be done about the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexOpened {
    /// It was up to date; or the ledger is open for reading alone, and it is filled when first asked.
    Current,
    /// It lagged behind the log and took in this many records.
    CaughtUp {
        /// Records taken in.
        records: u64,
    },
    /// It was filled from the log from the start.
    Rebuilt {
        /// Why.
        reason: String,
        /// Records taken in.
        records: u64,
    },
}

/// What opening found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The last sequence.
    pub head: u64,
    /// The ledger was made just now.
    pub created: bool,
    /// The last close was a clean one.
    pub clean: bool,
    /// A torn commit was cut off.
    pub cut: Option<Cut>,
    /// What had to be done about the index.
    pub index: IndexOpened,
}

/// How much room a ledger takes on the disk and in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Segments not yet sealed, the one being written included.
    pub raw_segments: u64,
    /// Their bytes on the disk, the part not yet written included.
    pub raw_bytes: u64,
    /// Sealed segments.
    pub sealed_segments: u64,
    /// Their bytes on the disk.
    pub sealed_bytes: u64,
    /// Records that the index has not taken in yet.
    pub tail_records: u64,
    /// Memory that the index holds, the cache it was given aside.
    pub index_memory_bytes: usize,
    /// Memory held by blocks of sealed segments.
    pub block_cache_bytes: usize,
}

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by another process", dir.display())]
    Held {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no ledger, and none was to be made.
    #[error("there is no ledger in {}", dir.display())]
    Absent {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory has another format than this build reads.
    #[error(
        "{} holds format \"{found}\"; this build reads \"daybook-ledger {}\": use the version that wrote it",
        dir.display(),
        segments::DIRECTORY_FORMAT
    )]
    Format {
        /// The directory.
        dir: PathBuf,
        /// What it says.
        found: String,
    },
    /// The log is damaged. Nothing was changed.
    #[error("the log is damaged at {0}; restore it from a backup")]
    Damaged(#[from] Fault),
    /// The log cannot be vouched for: its signing key or its checkpoints are missing or wrong. Nothing was changed.
    #[error(transparent)]
    Notary(#[from] NotaryError),
    /// The index could not be opened nor rebuilt.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The disk did not answer.
    #[error("{}: {source}", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
}

impl OpenError {
    pub(crate) fn io(dir: &Path) -> impl Fn(io::Error) -> OpenError {
        |source| OpenError::Io { dir: dir.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn read(dir: &Path) -> impl Fn(ReadError) -> OpenError {
        |error| match error {
            ReadError::Damaged(fault) => OpenError::Damaged(fault),
            ReadError::Index(error) => OpenError::Index(error),
            ReadError::Io(source) => OpenError::Io { dir: dir.to_owned(), source },
        }
    }

    fn tree(dir: &Path) -> impl Fn(TreeError) -> OpenError {
        |error| match error {
            TreeError::Read(error) => OpenError::read(dir)(error),
            beyond @ TreeError::Beyond(_) => NotaryError::Tree(beyond).into(),
        }
    }
}

/// Why a ledger did not close cleanly. Everything acknowledged is durable all the same.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// The head could not be recorded.
    #[error("the head could not be recorded: {0}")]
    Io(#[from] io::Error),
    /// No checkpoint could be kept of what the log holds now; the last one stands.
    #[error("no checkpoint was kept: {0}")]
    Notary(#[from] NotaryError),
    /// The index could not be written out; it catches up at the next opening.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// An open ledger. Shared between threads by reference or `Arc`; all calls block unless said otherwise.
pub struct Ledger {
    store: Arc<dyn CommitStore>,
    segments: Option<Arc<SegmentStore>>,
    finder: Arc<Finder>,
    published: Arc<Published>,
    snapshots: GuardedSnapshots,
    tree: Arc<Tree>,
    notary: Option<Arc<Notary>>,
    /// The public key of a ledger that is open for reading alone, and what is kept of it.
    kept: Kept,
    writer: Option<Writer>,
    applier: Option<JoinHandle<()>>,
    grower: Option<Grower>,
    /// Dropped last: until then the directory is ours.
    _lock: Box<dyn Send + Sync>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Ledger").field("head", &self.head()).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens the ledger in `dir`: finds the end of the log, cuts a torn commit, brings the index up to date.
    ///
    /// # Errors
    ///
    /// Another process holds it, it has another format, or it is damaged: then nothing was changed.
    #[expect(clippy::needless_pass_by_value, reason = "callers make options for one opening")]
    pub fn open(dir: &Path, options: Options) -> Result<(Ledger, Opened), OpenError> {
        let io = OpenError::io(dir);
        let read = OpenError::read(dir);
        let disk = Arc::clone(&options.disk);
        let write = !options.read_only;
        let absent = matches!(segments::read_format(&*disk, dir).map_err(&io)?, Err(FormatProblem::Absent));
        if absent && !(write && options.create) {
            return Err(OpenError::Absent { dir: dir.to_owned() });
        }
        if absent {
            disk.create_dir(dir).map_err(&io)?;
        }
        let lock = disk.lock(dir, write).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::Held { dir: dir.to_owned() },
            _ => io(error),
        })?;
        // Read again: another process may have made the ledger in the meantime.
        let (identity, created) = match segments::read_format(&*disk, dir).map_err(&io)? {
            Ok(identity) => (identity, false),
            Err(FormatProblem::Other(found)) => {
                return Err(OpenError::Format { dir: dir.to_owned(), found });
            }
            Err(FormatProblem::Absent) => {
                // Segments without a FORMAT file are not a new ledger.
                if !segments::find(&disk, dir, write).map_err(&read)?.is_empty() {
                    let found = "no FORMAT file, but segments".to_owned();
                    return Err(OpenError::Format { dir: dir.to_owned(), found });
                }
                (segments::write_format(&*disk, dir).map_err(&io)?, true)
            }
        };
        let found = segments::find(&disk, dir, write).map_err(&read)?;
        found.check(0)?;
        let kept = Kept::find(&*disk, dir)?;
        kept.check_size(found.head())?;
        let key = if write { signing_key(&*disk, dir, &kept)? } else { None };
        let recovered = found.recovered();
        let (index, broken, store, tree): (Arc<dyn Index>, _, _, _) = if write {
            let (index, broken) = open_index(dir, &options, identity, &found)?;
            let reading = Arc::new(found.read_only(options.layout(), options.block_cache_bytes));
            let tree = Tree::open(reading, Arc::clone(&index))?;
            check_signed(dir, &tree, &kept, &options)?;
            let store = found.writable(options.layout(), options.block_cache_bytes).map_err(&read)?;
            let store = Arc::new(store);
            (index, broken, Arc::clone(&store), tree.over(store))
        } else {
            let store = Arc::new(found.read_only(options.layout(), options.block_cache_bytes));
            let index: Arc<dyn Index> = Arc::new(lazy_index(&store, &options));
            (Arc::clone(&index), None, Arc::clone(&store), Tree::open(store, index)?)
        };
        let caught_up = catch_up(&*store, &*index, &options).map_err(&read)?;
        let head = store.head();
        let index_opened = match (broken, caught_up) {
            (Some(reason), records) if records > 0 => IndexOpened::Rebuilt { reason, records },
            (_, 0) => IndexOpened::Current,
            (_, records) => IndexOpened::CaughtUp { records },
        };
        let opened = Opened {
            head,
            created,
            clean: recovered.clean || created,
            cut: recovered.cut.map(|(sequence, file, offset)| Cut { sequence, file, offset }),
            index: index_opened,
        };
        let notary = if write { Notary::start(&disk, dir, &kept, key)? } else { None };
        let as_store: Arc<dyn CommitStore> = Arc::clone(&store) as _;
        let parts = Parts { store: as_store, segments: Some(store), index, tree, notary, kept };
        let ledger = Ledger::start(parts, &options, lock).map_err(&read)?;
        Ok((ledger, opened))
    }

    /// A ledger that keeps everything in memory, for tests. Only clock, limits and `read_only` of the options
    /// matter.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "the same shape as open, whose options are given away")]
    pub fn in_memory(options: Options) -> Ledger {
        Ledger::with_store(Arc::new(MemoryStore::new()), &options)
            .expect("an empty store in memory has nothing that could fail to be read")
    }

    /// A ledger over another store, its index in memory, filled from the store. Only clock, limits and
    /// `read_only` of the options matter.
    ///
    /// # Errors
    ///
    /// The store could not be read, or the writer's threads not be started.
    pub fn with_store(store: Arc<dyn CommitStore>, options: &Options) -> Result<Ledger, ReadError> {
        let index: Arc<dyn Index> = Arc::new(PlainIndex::new());
        catch_up(&*store, &*index, options)?;
        let tree = Tree::open(Arc::clone(&store), Arc::clone(&index))?;
        let notary = if options.read_only { None } else { Some(Notary::in_memory()?) };
        let parts = Parts { store, segments: None, index, tree, notary, kept: Kept::default() };
        Ledger::start(parts, options, Box::new(()))
    }

    fn start(parts: Parts, options: &Options, lock: Box<dyn Send + Sync>) -> Result<Ledger, ReadError> {
        let Parts { store, segments, index, tree, notary, kept } = parts;
        let (tree, notary) = (Arc::new(tree), notary.map(Arc::new));
        let head = store.head();
        let mut last_recorded_at = i64::MIN;
        if head > 0 {
            store.pick(&[head], &mut |record| {
                last_recorded_at = record.recorded_at;
                ControlFlow::Break(())
            })?;
        }
        let finder = Arc::new(Finder::new(Arc::clone(&index)));
        let published = Arc::new(Published::new(head));
        let (mut writer, mut applier, mut grower) = (None, None, None);
        if !options.read_only {
            let decider = Decider::new(
                Arc::clone(&store),
                Arc::clone(&finder),
                Arc::clone(&options.clock),
                last_recorded_at,
            );
            writer = Some(Writer::start(
                Arc::clone(&store),
                Arc::clone(&finder),
                Arc::clone(&published),
                decider,
                options.limits(),
                options.tail_records_max.max(1),
            )?);
            let growing =
                Grower::start(Arc::clone(&store), segments.clone(), Arc::clone(&tree), notary.clone())?;
            let (finder, ring) = (Arc::clone(&finder), growing.ringer());
            grower = Some(growing);
            applier = Some(
                std::thread::Builder::new()
                    .name("ledger-index".into())
                    .spawn(move || finder.apply_until_closed(&ring))?,
            );
        }
        let snapshots = GuardedSnapshots { index, published: Arc::clone(&published) };
        Ok(Ledger {
            store,
            segments,
            finder,
            published,
            snapshots,
            tree,
            notary,
            kept,
            writer,
            applier,
            grower,
            _lock: lock,
        })
    }

    /// Appends, and returns when it is durable.
    ///
    /// # Errors
    ///
    /// Why it was not acknowledged; [`AppendError::is_definite`] says whether nothing was written for
    /// certain.
    pub fn append(&self, append: Append) -> Result<Appended, AppendError> {
        match &self.writer {
            Some(writer) => writer.submit(append, true).wait(),
            None => Err(AppendError::ReadOnly),
        }
    }

    /// Sends an append off without waiting: await the answer, or wait for it. Never blocks; if too many
    /// appends wait already the answer is [`AppendError::Overloaded`].
    pub fn submit(&self, append: Append) -> Pending {
        match &self.writer {
            Some(writer) => writer.submit(append, false),
            None => Pending::answered(Err(AppendError::ReadOnly)),
        }
    }

    /// The last durable sequence; 0 when empty.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.published.head()
    }

    /// The durable head as it moves. Never blocks.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// Why the ledger takes no more appends until it is opened again, if so.
    #[must_use]
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.writer.as_ref().and_then(Writer::poisoned)
    }

    /// What the writer has done since the ledger was opened, and what waits for it; nothing where the ledger is open for
    /// reading alone. Never blocks for longer than an append takes to be queued.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.writer.as_ref().map(Writer::stats).unwrap_or_default()
    }

    /// Shows the records from `from` to `to`, both inclusive, in order, until `visit` breaks.
    ///
    /// # Errors
    ///
    /// The log is damaged, or the disk does not answer.
    pub fn scan(
        &self,
        from: u64,
        to: u64,
        visit: &mut dyn FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let to = to.min(self.head());
        if from > to {
            return Ok(());
        }
        self.store.records(from.max(1), to, visit)
    }

    /// Splits the records from `from` to `to`, both inclusive, into at most `parts` ranges of about the same
    /// length, ascending, to be scanned side by side.
    #[must_use]
    pub fn scan_parts(&self, from: u64, to: u64, parts: usize) -> Vec<(u64, u64)> {
        let (from, to) = (from.max(1), to.min(self.head()));
        if from > to {
            return Vec::new();
        }
        let count = to - from + 1;
        let parts = (parts.max(1) as u64).min(count);
        (0..parts)
            .map(|part| {
                let at = |part: u64| {
                    let share = u128::from(count) * u128::from(part) / u128::from(parts);
                    from + u64::try_from(share).unwrap_or(count)
                };
                (at(part), at(part + 1) - 1)
            })
            .collect()
    }

    /// Up to `limit` records from sequence `from` on (inclusive), in the direction given. Backward, a `from`
    /// above the head means the head.
    ///
    /// # Errors
    ///
    /// The log is damaged, or the disk does not answer.
    pub fn read(&self, from: u64, limit: usize, direction: Direction) -> Result<Vec<Record>, ReadError> {
        let head = self.head();
        let most = u64::try_from(limit).unwrap_or(u64::MAX);
        let (first, last) = match direction {
            Direction::Forward => (from.max(1), head.min(from.max(1).saturating_add(most).saturating_sub(1))),
            Direction::Backward => {
                let last = from.min(head);
                (last.saturating_sub(most).saturating_add(1), last)
            }
        };
        let mut records = Vec::new();
        if limit == 0 || first > last {
            return Ok(records);
        }
        self.store.records(first, last, &mut |record| {
            records.push(record.to_owned());
            ControlFlow::Continue(())
        })?;
        if direction == Direction::Backward {
            records.reverse();
        }
        Ok(records)
    }

    /// The record at a sequence; `None` above the head and for 0.
    ///
    /// # Errors
    ///
    /// The log is damaged, or the disk does not answer.
    pub fn get(&self, sequence: u64) -> Result<Option<Record>, ReadError> {
        if sequence == 0 || sequence > self.head() {
            return Ok(None);
        }
        let mut found = None;
        self.store.pick(&[sequence], &mut |record| {
            found = Some(record.to_owned());
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Shows the records with these sequences, which ascend and may repeat, each once, until `visit` breaks; 0
    /// and those above the head are left out. Records that lie together are read together.
    ///
    /// # Errors
    ///
    /// The log is damaged, or the disk does not answer.
    pub fn pick(
        &self,
        sequences: &[u64],
        visit: &mut dyn FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let first = sequences.partition_point(|sequence| *sequence == 0);
        let end = sequences.partition_point(|sequence| *sequence <= self.head());
        self.store.pick(&sequences[first..end], visit)
    }

    /// Up to `limit` records of a stream from a version on (inclusive), in the direction given. Backward, a
    /// version above the stream's means its last.
    ///
    /// # Errors
    ///
    /// The log is damaged, or the disk or the index does not answer.
    pub fn read_stream(
        &self,
        stream: &str,
        from_version: u64,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<Record>, ReadError> {
        let mut records = Vec::new();
        self.scan_stream(stream, from_version, limit, direction, &mut |record| {
            records.push(record.to_owned());
            ControlFlow::Continue(())
        })?;
        Ok(records)
    }

    /// Shows up to `limit` records of a stream from a version on (inclusive), in the direction given, until
    /// `visit` breaks.
    ///
    /// # Errors
    ///
    /// The log is damaged, or the disk or the index does not answer.
    pub fn scan_stream(
        &self,
        stream: &str,
        from_version: u64,
        limit: usize,
        direction: Direction,
        visit: &mut dyn FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        /// Positions looked up at a time.
        const PAGE: usize = 4_096;
        let head = self.head();
        let mut from = match direction {
            Direction::Forward => from_version.max(1),
            Direction::Backward => from_version,
        };
        let mut left = limit;
        while left > 0 {
            let page = left.min(PAGE);
            let found = self.finder.stream_sequences(stream, from, page, direction)?;
            if found.is_empty() {
                return Ok(());
            }
            let (count, mut stopped) = (found.len(), false);
            match direction {
                Direction::Forward => {
                    self.store.pick(&found, &mut |record| {
                        // The tail may already hold what the head that was read does not.
                        stopped = record.sequence > head || visit(record).is_break();
                        if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                    })?;
                    from += count as u64;
                }
                Direction::Backward => {
                    let mut ascending = found;
                    ascending.reverse();
                    let mut records = Vec::with_capacity(count);
                    self.store.pick(&ascending, &mut |record| {
                        records.push(record.to_owned());
                        ControlFlow::Continue(())
                    })?;
                    let lowest = records.first().map_or(0, |record| record.version);
                    stopped = records.iter().rev().any(|record| visit(&record.view()).is_break());
                    from = lowest.saturating_sub(1);
                    stopped |= from == 0;
                }
            }
            if stopped || count < page {
                return Ok(());
            }
            left -= count;
        }
        Ok(())
    }

    /// The version of a stream's last record; `None` if it has none.
    ///
    /// # Errors
    ///
    /// The index does not answer.
    pub fn stream_version(&self, stream: &str) -> Result<Option<u64>, ReadError> {
        Ok(self.finder.stream_version(stream)?)
    }

    /// The sequence of the record that carries this key; the record was read to be sure.
    ///
    /// # Errors
    ///
    /// The log is damaged, or the disk or the index does not answer.
    pub fn find_key(&self, key: &str) -> Result<Option<u64>, ReadError> {
        let candidates = self.finder.key_candidates(KeyHash::of(key))?;
        let mut found = None;
        self.store.pick(&candidates, &mut |record| {
            if record.key == Some(key) {
                found = Some(record.sequence);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Shows the records that carry these keys, each with the place of its key among them, by ascending sequence;
    /// keys that no record carries are left out. Records that lie together are read together, so that asking for
    /// many keys at once costs a part of asking for them one by one.
    ///
    /// # Errors
    ///
    /// The log is damaged, or the disk or the index does not answer.
    pub fn pick_keys(
        &self,
        keys: &[&str],
        visit: &mut dyn FnMut(usize, &RecordView<'_>),
    ) -> Result<(), ReadError> {
        let mut wanted = Vec::with_capacity(keys.len());
        for (place, key) in keys.iter().enumerate() {
            let candidates = self.finder.key_candidates(KeyHash::of(key))?;
            wanted.extend(candidates.iter().map(|sequence| (*sequence, place)));
        }
        wanted.sort_unstable();
        let sequences: Vec<u64> = wanted.iter().map(|(sequence, _)| *sequence).collect();
        let mut at = 0;
        self.pick(&sequences, &mut |record| {
            while let Some((sequence, place)) = wanted.get(at).copied() {
                if sequence > record.sequence {
                    break;
                }
                if sequence == record.sequence && record.key == Some(keys[place]) {
                    visit(place, record);
                }
                at += 1;
            }
            ControlFlow::Continue(())
        })
    }

    /// The commit that carries this commit key: its answer, with `already` set, and the hash of its content.
    ///
    /// # Errors
    ///
    /// The log is damaged, or the disk or the index does not answer.
    pub fn find_commit(&self, key: &str) -> Result<Option<(Appended, [u8; 32])>, ReadError> {
        find_commit(&*self.store, &self.finder, key)
    }

    /// Where a source's cursor stands; `None` if it never moved.
    ///
    /// # Errors
    ///
    /// The index does not answer.
    pub fn cursor(&self, source: &str) -> Result<Option<Box<[u8]>>, ReadError> {
        Ok(self.finder.cursor(source)?)
    }

    /// The last sequence recorded at or before a time (nanoseconds since 1970-01-01T00:00:00Z): what was known
    /// then. 0 if nothing was.
    ///
    /// # Errors
    ///
    /// The log is damaged, or the disk does not answer.
    pub fn sequence_recorded_by(&self, time: i64) -> Result<u64, ReadError> {
        let (mut known, mut unknown) = (0, self.head() + 1);
        while known + 1 < unknown {
            let middle = known + (unknown - known) / 2;
            let mut by_then = false;
            self.store.pick(&[middle], &mut |record| {
                by_then = record.recorded_at <= time;
                ControlFlow::Break(())
            })?;
            if by_then {
                known = middle;
            } else {
                unknown = middle;
            }
        }
        Ok(known)
    }

    /// How much room the ledger takes.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut usage = Usage {
            tail_records: self.finder.tail_records(),
            index_memory_bytes: self.finder.index().memory_bytes(),
            ..Usage::default()
        };
        if let Some(store) = &self.segments {
            usage.block_cache_bytes = store.files.cache.bytes();
            for segment in store.files.segments() {
                match segment {
                    Segment::Raw(raw) => {
                        usage.raw_segments += 1;
                        usage.raw_bytes += raw.header.bytes;
                    }
                    Segment::Sealed(sealed) => {
                        usage.sealed_segments += 1;
                        usage.sealed_bytes += sealed.bytes();
                    }
                }
            }
        }
        usage
    }

    /// Follows the log from a sequence on (inclusive).
    #[must_use]
    pub fn follow(&self, from: u64) -> Follow<'_> {
        Follow { ledger: self, next: from.max(1) }
    }

    /// Derived data kept beside the index. What claims to have applied more than the durable head is not
    /// shown.
    #[must_use]
    pub fn snapshots(&self) -> &dyn Snapshots {
        &self.snapshots
    }

    /// Seals all that has been written so far and returns when that is done. A store without segments has
    /// nothing to seal.
    ///
    /// # Errors
    ///
    /// The next segment could not be begun.
    pub fn seal_now(&self) -> Result<(), AppendError> {
        let Some(segments) = &self.segments else { return Ok(()) };
        let sealed = segments.seal_now();
        if let Some(grower) = &self.grower {
            grower.ringer()();
        }
        sealed.map_err(|error| match error {
            PutError::NoSpace => AppendError::NoSpace,
            PutError::Refused { reason } | PutError::Indefinite { reason } => {
                AppendError::Poisoned { reason }
            }
            other => AppendError::Poisoned { reason: other.to_string().into() },
        })
    }

    /// Waits until the index holds everything durable; false if it takes nothing in.
    pub fn flush_index(&self) -> bool {
        self.finder.flush()
    }

    pub(crate) fn index(&self) -> &Arc<dyn Index> {
        self.finder.index()
    }

    pub(crate) fn store(&self) -> &Arc<dyn CommitStore> {
        &self.store
    }

    pub(crate) fn merkle_tree(&self) -> &Tree {
        &self.tree
    }

    pub(crate) fn notary(&self) -> Option<&Notary> {
        self.notary.as_deref()
    }

    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    pub(crate) fn segment_store(&self) -> Option<&Arc<SegmentStore>> {
        self.segments.as_ref()
    }

    /// Writes what waits, brings the index up to date, and records the head. Dropping a ledger does the same
    /// but says nothing of what fails.
    ///
    /// # Errors
    ///
    /// What could not be written; everything acknowledged is durable all the same.
    pub fn close(mut self) -> Result<(), CloseError> {
        self.shut()
    }

    fn shut(&mut self) -> Result<(), CloseError> {
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        writer.close();
        self.finder.close();
        if let Some(applier) = self.applier.take() {
            let _ = applier.join();
        }
        if let Some(mut grower) = self.grower.take() {
            grower.close();
        }
        let signed = self.sign_off();
        let flushed = self.finder.index().flush();
        if let Some(segments) = &self.segments {
            segments.close()?;
        }
        flushed?;
        signed
    }

    /// Keeps the tree and a checkpoint of all that is durable.
    fn sign_off(&self) -> Result<(), CloseError> {
        let head = self.head();
        let kept = self.tree.grow(head, None).map(|()| self.tree.keep_edge());
        let signed = match &self.notary {
            Some(notary) if head > 0 => notary.checkpoint(&self.tree, head, true).map(drop),
            _ => Ok(()),
        };
        match signed {
            // Closing needs no room: the last checkpoint stands.
            Err(NotaryError::Io { source, .. }) if segments::is_full(&source) => {
                tracing::warn!("the disk is full: no checkpoint is kept of this closing");
            }
            signed => signed?,
        }
        if let Ok(Err(error)) = kept {
            return Err(error.into());
        }
        Ok(())
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Err(error) = self.shut() {
            tracing::warn!(%error, "the ledger was not closed cleanly");
        }
    }
}

/// What a ledger is made of.
struct Parts {
    store: Arc<dyn CommitStore>,
    segments: Option<Arc<SegmentStore>>,
    index: Arc<dyn Index>,
    tree: Tree,
    notary: Option<Notary>,
    kept: Kept,
}

/// Brings the tree up to date and refuses a log that is not what was signed last.
fn check_signed(dir: &Path, tree: &Tree, kept: &Kept, options: &Options) -> Result<(), OpenError> {
    let grow = || tree.grow(tree.store().head(), options.progress.as_ref()).map_err(OpenError::read(dir));
    grow()?;
    let Some(latest) = kept.latest.as_ref().map(|latest| &latest.checkpoint) else { return Ok(()) };
    let root = |size| tree.view(size)?.root(size);
    if root(latest.size).is_ok_and(|root| root == latest.root) {
        return Ok(());
    }
    // The tiles may be what is wrong: only the records themselves tell.
    tree.start_over()?;
    grow()?;
    let found = root(latest.size).map_err(OpenError::tree(dir))?;
    if found == latest.root {
        tracing::warn!("the tiles of the tree contradicted the log, and were made anew");
        return Ok(());
    }
    let mut good = 0;
    for size in &kept.sizes {
        let stated = kept.read(&*options.disk, *size)?.checkpoint;
        if root(*size).map_err(OpenError::tree(dir))? != stated.root {
            return Err(kept.wrong_root(good, *size, &found).into());
        }
        good = *size;
    }
    Err(kept.wrong_root(good, latest.size, &found).into())
}

/// The entry beside the snapshots that says whose index it is.
const IDENTITY: &str = "ledger";

/// Opens the index and decides whether it belongs to this log. With a reason, it is empty and must be filled.
fn open_index(
    dir: &Path,
    options: &Options,
    identity: Identity,
    found: &Found,
) -> Result<(Arc<dyn Index>, Option<String>), OpenError> {
    if options.index == IndexKind::Plain {
        return Ok((Arc::new(PlainIndex::new()), Some("it is kept in memory".into())));
    }
    let (mut index, state) = match SledIndex::open(&dir.join(INDEX), options.index_cache_bytes) {
        // A full disk must not keep the ledger shut: reading is what makes room possible.
        Err(IndexError::Io(error)) if segments::is_full(&error) => {
            let reason = "the disk is full, so it is kept in memory".to_owned();
            return Ok((Arc::new(PlainIndex::new()), Some(reason)));
        }
        other => other?,
    };
    let mut reason = match state {
        IndexFound::Index => None,
        IndexFound::Nothing => Some("there was none".to_owned()),
        IndexFound::Broken { moved_to, why } => {
            Some(format!("it was broken ({why}) and lies in {} now", moved_to.display()))
        }
    };
    let seen = index.applied().max(index.tiles().size()?);
    if seen > 0 {
        if is_of(&index, identity) {
            // What the index has seen was durable: a log that ends below has lost something.
            found.check(seen)?;
        } else {
            let (empty, moved_to) = index.start_over()?;
            index = empty;
            reason = Some(format!("it was of another ledger and lies in {} now", moved_to.display()));
        }
    }
    if index.applied() == 0 {
        index.snapshots().put(IDENTITY, 0, &identity.0)?;
    }
    Ok((Arc::new(index), reason))
}

/// The index of a ledger that nobody writes to, filled from its log when first asked.
fn lazy_index(store: &Arc<SegmentStore>, options: &Options) -> LazyIndex {
    let (log, options) = (Arc::clone(store), options.clone());
    LazyIndex::new(
        store.head(),
        Box::new(move |index| match catch_up(&*log, index, &options) {
            Ok(_) => Ok(()),
            Err(ReadError::Index(error)) => Err(error),
            Err(ReadError::Io(error)) => Err(IndexError::Io(error)),
            Err(ReadError::Damaged(fault)) => {
                Err(IndexError::Broken(format!("it cannot be filled, the log is damaged at {fault}")))
            }
        }),
    )
}

/// Whether an index was filled from the ledger with this identity.
pub(crate) fn is_of(index: &dyn Index, identity: Identity) -> bool {
    matches!(index.snapshots().get(IDENTITY), Ok(Some((_, bytes))) if bytes == identity.0)
}

/// Applies to the index what it lacks; returns how many records that was.
fn catch_up(store: &dyn CommitStore, index: &dyn Index, options: &Options) -> Result<u64, ReadError> {
    let (start, head) = (index.applied(), store.head());
    if start >= head {
        return Ok(0);
    }
    options.report(Phase::Indexing, 0, head - start);
    let mut batch = IndexBatch::default();
    let mut next = start + 1;
    let mut failed: Option<ReadError> = None;
    store.scan(next, &mut |body| {
        let mut step = || -> Result<(), ReadError> {
            batch.absorb(body, next).map_err(|error| crate::reading::damaged(&error, body))?;
            next = body.last_sequence() + 1;
            if batch.count() >= CATCH_UP_RECORDS {
                index.apply(&std::mem::take(&mut batch))?;
                options.report(Phase::Indexing, next - 1 - start, head - start);
            }
            Ok(())
        };
        match step() {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    index.apply(&batch)?;
    options.report(Phase::Indexing, head - start, head - start);
    Ok(head - start)
}

/// Shows snapshots only as far as the log goes.
struct GuardedSnapshots {
    index: Arc<dyn Index>,
    published: Arc<Published>,
}

/// Before the names of snapshots, so that the ledger's own entries have room beside them.
pub(crate) const SNAPSHOT: &str = "snapshot/";

impl Snapshots for GuardedSnapshots {
    fn put(&self, name: &str, applied: u64, bytes: &[u8]) -> Result<(), IndexError> {
        self.index.snapshots().put(&format!("{SNAPSHOT}{name}"), applied, bytes)
    }

    fn get(&self, name: &str) -> Result<Option<(u64, Vec<u8>)>, IndexError> {
        let found = self.index.snapshots().get(&format!("{SNAPSHOT}{name}"))?;
        Ok(found.filter(|(applied, _)| *applied <= self.published.head()))
    }

    fn remove(&self, name: &str) -> Result<(), IndexError> {
        self.index.snapshots().remove(&format!("{SNAPSHOT}{name}"))
    }

    fn names(&self, prefix: &str) -> Result<Vec<String>, IndexError> {
        let names = self.index.snapshots().names(&format!("{SNAPSHOT}{prefix}"))?;
        Ok(names.into_iter().filter_map(|name| name.strip_prefix(SNAPSHOT).map(str::to_owned)).collect())
    }
}

/// Reads the log as it grows.
#[derive(Debug)]
pub struct Follow<'a> {
    ledger: &'a Ledger,
    next: u64,
}

impl Follow<'_> {
    /// The sequence that comes next.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// The next records, up to `limit` and in order, none skipped; waits up to `timeout` for the first, and
    /// returns none if it does not come.
    ///
    /// # Errors
    ///
    /// The log is damaged, or the disk does not answer.
    pub fn next_batch(&mut self, limit: usize, timeout: Duration) -> Result<Vec<Record>, ReadError> {
        if self.ledger.published.wait_above(self.next - 1, timeout) < self.next {
            return Ok(Vec::new());
        }
        let records = self.ledger.read(self.next, limit, Direction::Forward)?;
        self.next += records.len() as u64;
        Ok(records)
    }
}
