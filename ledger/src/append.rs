//! What a caller asks the ledger to write, and how it answers.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use tokio::sync::oneshot;

use crate::record::NewRecord;
use crate::store::ReadError;

/// What a stream must look like for an append to go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything.
    Any,
    /// It has no record.
    NoStream,
    /// Its last record has this version; 0 says the same as [`Expected::NoStream`].
    Exactly(u64),
    /// It has a record.
    StreamExists,
}

impl Expected {
    /// Whether a stream whose last version is `actual` is as expected.
    #[must_use]
    pub fn met_by(self, actual: Option<u64>) -> bool {
        match self {
            Expected::Any => true,
            Expected::NoStream => actual.is_none(),
            Expected::Exactly(version) => actual.unwrap_or(0) == version,
            Expected::StreamExists => actual.is_some(),
        }
    }
}

/// What to do when only some records of an append are in the ledger already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnKnown {
    /// Refuse the append.
    AllOrNothing,
    /// Append those that are missing.
    AppendMissing,
}

/// Moves a source's cursor in the same commit as the records it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorMove {
    /// The source's name; 1 to 255 bytes.
    pub source: Box<str>,
    /// Where it stands afterwards, opaque to the ledger; up to 4,096 bytes.
    pub to: Box<[u8]>,
}

/// The commit's own key, as an API's `Idempotency-Key`, scoped by the caller. It is kept with the records that
/// the commit brings: an append of known records alone keeps none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitKey {
    /// The key; 1 to 1,024 bytes.
    pub key: Box<str>,
    /// The hash of what was asked for, compared when keys meet.
    pub content_hash: [u8; 32],
}

/// Records to append together: all of them, in one commit, or none.
#[derive(Clone, Debug)]
pub struct Append {
    /// At least one.
    pub records: Vec<NewRecord>,
    /// What streams must look like before.
    pub expected: Vec<(Arc<str>, Expected)>,
    /// Cursors that move with the records. They do not move if no record is new.
    pub cursors: Vec<CursorMove>,
    /// The commit's own key.
    pub commit_key: Option<CommitKey>,
    /// What to do when only some records are new.
    pub on_known: OnKnown,
}

impl Append {
    /// An append of records alone, all or nothing.
    #[must_use]
    pub fn of(records: Vec<NewRecord>) -> Append {
        Append {
            records,
            expected: Vec::new(),
            cursors: Vec::new(),
            commit_key: None,
            on_known: OnKnown::AllOrNothing,
        }
    }
}

/// A durable append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// One for each record given; the original's for a known one.
    pub sequences: Vec<u64>,
    /// How many records were new.
    pub new: usize,
    /// The sequence of the last record when this was decided, this append's included: where a reader finds
    /// all of it.
    pub head: u64,
    /// When the ledger took it, in nanoseconds since 1970-01-01T00:00:00Z; of a known one, when the original
    /// was taken.
    pub recorded_at: i64,
    /// Nothing was written: the commit key, or every record, was in the ledger already.
    pub already: bool,
}

/// Why an append was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// A stream is not as expected.
    #[error("stream {stream} is not as expected ({expected:?}): its last version is {}", shown(*actual))]
    VersionConflict {
        /// The stream.
        stream: Arc<str>,
        /// What was expected.
        expected: Expected,
        /// The version of its last record; `None` if it has none.
        actual: Option<u64>,
    },
    /// A record's key is in the ledger with other content.
    #[error("key {key} belongs to sequence {sequence}, which has other content")]
    KeyConflict {
        /// The key.
        key: Box<str>,
        /// The original's sequence.
        sequence: u64,
    },
    /// The commit key is in the ledger with other content.
    #[error(
        "commit key {key} belongs to the commit that ends at sequence {sequence}, which asked for something else"
    )]
    CommitKeyConflict {
        /// The key.
        key: Box<str>,
        /// The last sequence of the original commit.
        sequence: u64,
    },
    /// Some records are known and some are new, and the caller asked for all or nothing.
    #[error(
        "{known} of the {given} records are in the ledger already; append only the missing ones, or none"
    )]
    PartlyKnown {
        /// How many are known.
        known: usize,
        /// How many were given.
        given: usize,
        /// The first known record's key.
        key: Box<str>,
        /// Its sequence.
        sequence: u64,
    },
    /// The append is larger than a commit may be. Split it.
    #[error(
        "the append has {records} records of {bytes} bytes; a commit takes {records_max} records and {bytes_max} bytes"
    )]
    TooLarge {
        /// Records given.
        records: usize,
        /// Their bytes.
        bytes: usize,
        /// Records that fit.
        records_max: usize,
        /// Bytes that fit.
        bytes_max: usize,
    },
    /// There is no record in it.
    #[error("an append needs at least one record: a cursor never moves alone")]
    Empty,
    /// Something in it can never be stored.
    #[error("{}: {why}", place(*record))]
    Invalid {
        /// Which record, counted from 0; `None` if it is not about a record.
        record: Option<usize>,
        /// What is wrong with it.
        why: String,
    },
    /// The disk is full; reads go on. Make room and try again.
    #[error("the disk is full; nothing was written")]
    NoSpace,
    /// Too many appends wait already. Try again later.
    #[error("too many appends are waiting; nothing was written")]
    Overloaded,
    /// The index takes nothing in and the memory kept for it is used up; reads go on.
    #[error("the index takes nothing in ({reason}); make room on the disk, or open the ledger again")]
    Stalled {
        /// What the index said.
        reason: Arc<str>,
    },
    /// The ledger was opened for reading alone.
    #[error("the ledger is open for reading alone")]
    ReadOnly,
    /// The ledger is being closed.
    #[error("the ledger is closed")]
    Closed,
    /// An earlier failure stopped the writer. Open the ledger again.
    #[error("the ledger takes no more appends until it is opened again: {reason}")]
    Poisoned {
        /// What failed.
        reason: Arc<str>,
    },
    /// What must be read to decide could not be read.
    #[error("the append could not be decided: {0}")]
    Undecided(#[from] ReadError),
    /// It was written, but whether it is durable is not known. Open the ledger again and look it up by its
    /// keys.
    #[error("whether the append is stored is not known: {reason}")]
    Indefinite {
        /// What failed.
        reason: Arc<str>,
    },
}

fn shown(version: Option<u64>) -> String {
    version.map_or_else(|| "none, it has no record".to_owned(), |version| version.to_string())
}

fn place(record: Option<usize>) -> String {
    record.map_or_else(|| "the append".to_owned(), |record| format!("record {record} of the append"))
}

impl AppendError {
    /// Whether nothing was written for certain. If not, it may be there after the next opening: read back
    /// by key.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        !matches!(self, AppendError::Indefinite { .. })
    }
}

/// An append on its way: a future, or something to wait for.
#[derive(Debug)]
pub struct Pending {
    answer: oneshot::Receiver<Result<Appended, AppendError>>,
}

impl Pending {
    pub(crate) fn new() -> (oneshot::Sender<Result<Appended, AppendError>>, Pending) {
        let (sender, answer) = oneshot::channel();
        (sender, Pending { answer })
    }

    pub(crate) fn answered(answer: Result<Appended, AppendError>) -> Pending {
        let (sender, pending) = Pending::new();
        drop(sender.send(answer));
        pending
    }

    /// Blocks until the append is durable or refused. Not for async code: await the value there.
    ///
    /// # Errors
    ///
    /// Why the append was not acknowledged.
    pub fn wait(self) -> Result<Appended, AppendError> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut pending = pin!(self);
        loop {
            match pending.as_mut().poll(&mut context) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Future for Pending {
    type Output = Result<Appended, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A writer that is gone without an answer may have written: only a reader of the log can say.
        Pin::new(&mut self.answer).poll(context).map(|answer| {
            answer.unwrap_or_else(|_| {
                Err(AppendError::Indefinite { reason: "the writer stopped without an answer".into() })
            })
        })
    }
}
