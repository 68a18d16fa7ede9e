//! What the tests share: records to write, and ledgers to write them to.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use daybook_ledger::{Append, Clock, IndexKind, Ledger, NewRecord, Opened, Options};

/// A clock that goes where it is told.
#[derive(Default)]
pub(crate) struct TestClock(pub(crate) AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) fn record(stream: &str, payload: &[u8]) -> NewRecord {
    NewRecord {
        stream: Arc::from(stream),
        type_id: 7,
        schema_version: 1,
        codec: 1,
        occurred_at: 1_700_000_000_000_000_000,
        actor: Arc::from("tester"),
        source: Arc::from("test"),
        key: None,
        content_hash: None,
        import: None,
        correlation: None,
        payload: Box::from(payload),
    }
}

pub(crate) fn keyed(stream: &str, key: &str, payload: &[u8]) -> NewRecord {
    NewRecord { key: Some(key.into()), ..record(stream, payload) }
}

pub(crate) fn append_one(ledger: &Ledger, stream: &str, payload: &[u8]) -> u64 {
    let appended = ledger.append(Append::of(vec![record(stream, payload)])).expect("nothing is in the way");
    appended.sequences[0]
}

pub(crate) fn options(index: IndexKind) -> Options {
    Options { segment_bytes: 64 << 10, reserve_bytes: 0, create: true, index, ..Options::default() }
}

pub(crate) fn open(dir: &Path, index: IndexKind) -> (Ledger, Opened) {
    Ledger::open(dir, options(index)).expect("the directory is sound")
}
