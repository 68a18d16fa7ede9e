//! The seam: the four calls over commits that every store answers, and what can go wrong with them.
//!
//! Nothing above the seam knows which store it has.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use crate::frame::{BodyBuilder, BodyError, CommitPart, open_frame};
use crate::index::IndexError;
use crate::reading::{pick_bodies, show_part, visit_bodies};
use crate::record::RecordView;

/// Commits ready to be stored together: a body with room for a frame's header before it.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    pub(crate) bytes: Vec<u8>,
    pub(crate) body_bytes: usize,
    pub(crate) first_sequence: u64,
    pub(crate) count: u32,
}

impl Prepared {
    /// Encodes what the builder holds.
    #[must_use]
    pub fn from_builder(builder: &BodyBuilder, first_sequence: u64) -> Prepared {
        let mut prepared = Prepared::default();
        prepared.fill(builder, first_sequence);
        prepared
    }

    /// Encodes what the builder holds into memory used before.
    pub(crate) fn fill(&mut self, builder: &BodyBuilder, first_sequence: u64) {
        open_frame(&mut self.bytes);
        let header = self.bytes.len();
        builder.encode(&mut self.bytes);
        self.body_bytes = self.bytes.len() - header;
        self.first_sequence = first_sequence;
        self.count = builder.count();
    }

    /// The encoded body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        let start = crate::frame::FRAME_HEADER_BYTES;
        self.bytes.get(start..start + self.body_bytes).unwrap_or_default()
    }

    /// The sequence of the last record.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.first_sequence + u64::from(self.count) - 1
    }
}

/// Where the log is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sequence {sequence}: {what}{}", place(file, *offset))]
pub struct Fault {
    /// The first sequence that is damaged or missing.
    pub sequence: u64,
    /// The file it lies in, or should; empty where records contradict each other and every file is sound.
    pub file: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

fn place(file: &Path, offset: u64) -> String {
    if file.as_os_str().is_empty() {
        return String::new();
    }
    format!(" ({} at byte {offset})", file.display())
}

/// Why a commit was not put.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PutError {
    /// Another writer moved the head. Nothing was written.
    #[error("the head is {head}, not the one seen")]
    HeadMoved {
        /// Where it stands.
        head: u64,
    },
    /// The commit is larger than the store takes. Nothing was written.
    #[error("the commit takes {bytes} bytes; at most {bytes_max} fit")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The disk is full. Nothing was written; reads go on.
    #[error("the disk is full")]
    NoSpace,
    /// The store refuses to write. Nothing was written.
    #[error("the log takes no more commits: {reason}")]
    Refused {
        /// Why.
        reason: Arc<str>,
    },
    /// The write or its sync failed: the commit may or may not be there when the store is opened again.
    #[error("whether the commit was stored is not known: {reason}")]
    Indefinite {
        /// What failed.
        reason: Arc<str>,
    },
}

/// Why records could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The log is damaged.
    #[error("the log is damaged at {0}")]
    Damaged(#[from] Fault),
    /// The disk did not answer.
    #[error("the log could not be read: {0}")]
    Io(Arc<io::Error>),
    /// The index did not answer.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        ReadError::Io(Arc::new(error))
    }
}

impl ReadError {
    pub(crate) fn body(error: &BodyError, file: PathBuf, offset: u64, sequence: u64) -> ReadError {
        ReadError::Damaged(Fault { sequence, file, offset, what: error.to_string() })
    }
}

/// A stored body, shown to a scan.
pub type Body<'a> = crate::frame::Body<'a>;

/// Keeps commits. There is one writer; readers are many and never see what is not durable.
pub trait CommitStore: Send + Sync {
    /// The last durable sequence; 0 when empty.
    fn head(&self) -> u64;

    /// Stores commits if the head is still `seen`, and returns the new head once they are durable.
    ///
    /// # Errors
    ///
    /// [`PutError::Indefinite`] if the commit may have been stored all the same; every other error says
    /// that it was not.
    fn put(&self, seen: u64, commit: &mut Prepared) -> Result<u64, PutError>;

    /// Shows bodies in order, from the one that holds sequence `from` (or the first one, for 0) up to the
    /// head, until `visit` breaks. A body may begin before `from`.
    ///
    /// # Errors
    ///
    /// The log is damaged, or the disk does not answer.
    fn scan(&self, from: u64, visit: &mut dyn FnMut(&Body<'_>) -> ControlFlow<()>) -> Result<(), ReadError>;

    /// Is woken when the head moves.
    fn wake(&self) -> watch::Receiver<u64>;

    /// Shows the records from `from` to `to`, both inclusive, in order, until `visit` breaks. The same as a
    /// scan of bodies; a store that has records at hand in another form may do it faster.
    ///
    /// # Errors
    ///
    /// As [`scan`](Self::scan).
    fn records(
        &self,
        from: u64,
        to: u64,
        visit: &mut dyn FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        visit_bodies(from, to, visit, &mut |visit| self.scan(from, visit)).map(drop)
    }

    /// Shows the part of a commit that holds a sequence, with the sequence of the part's first record. The
    /// same as a scan of bodies; a store may do it faster. Nothing is shown above the head.
    ///
    /// # Errors
    ///
    /// As [`scan`](Self::scan).
    fn part_of(&self, sequence: u64, show: &mut dyn FnMut(u64, &CommitPart<'_>)) -> Result<(), ReadError> {
        self.scan(sequence, &mut |body| {
            show_part(body, sequence, show);
            ControlFlow::Break(())
        })
    }

    /// Shows the records with these sequences, which ascend and may repeat, each once, until `visit` breaks.
    /// The same as scans of bodies; a store may do it faster.
    ///
    /// # Errors
    ///
    /// As [`scan`](Self::scan), or [`ReadError::Index`] if the log has no such sequence: only an index can
    /// have named it.
    fn pick(
        &self,
        sequences: &[u64],
        visit: &mut dyn FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        pick_bodies(sequences, visit, &mut |from, visit| self.scan(from, visit)).map(drop)
    }
}
