//! The log: canonical records around opaque payloads, appended durably, read back and proven.
//!
//! Knows records, streams, keys, cursors and commits. Knows no trade, no portfolio and no JSON, and nothing of
//! what a payload means.

mod append;
mod bytes;
mod clock;
mod decide;
pub mod disk;
pub mod frame;
pub mod index;
mod ledger;
mod memory;
pub mod merkle;
mod proving;
mod reading;
pub mod record;
mod sealed;
mod segments;
mod stats;
pub mod store;
mod tail;
mod verify;
mod writer;

pub use append::{Append, AppendError, Appended, CommitKey, CursorMove, Expected, OnKnown, Pending};
pub use clock::{Clock, SystemClock};
pub use index::{Direction, IndexError, Snapshots};
pub use ledger::{
    CloseError, Cut, Follow, IndexKind, IndexOpened, Ledger, OnProgress, OpenError, Opened, Options, Phase,
    Progress, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, Usage,
};
pub use memory::{FaultyStore, MemoryStore, PutFault};
pub use merkle::{
    Checkpoint, Evidence, EvidenceError, NotaryError, Proven, SignedCheckpoint, TilePath, Tiled, TreeError,
    VerifierKey,
};
pub use record::{Content, NewRecord, Record, RecordError, RecordView};
pub use stats::{Stats, WRITE_MICROSECONDS};
pub use store::{CommitStore, Fault, PutError, ReadError};
pub use verify::{IndexVerified, StoredSnapshots, Verified, VerifyError, verify, verify_since};
