//! The log: canonical records around opaque payloads, appended durably, read back and proven.
//!
//! Knows records, streams, keys, cursors and commits. Knows no trade, no portfolio and no JSON, and nothing of
//! what a payload means.

mod bytes;
pub mod disk;
pub mod frame;
pub mod index;
pub mod record;
mod sealed;

pub use index::{Direction, Snapshots};
pub use record::{Content, NewRecord, Record, RecordError, RecordView};
