//! The tail: what the log holds above the index's applied head, kept in memory until it has been applied.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use crate::index::plain::window;
use crate::index::{Direction, Index, IndexBatch, IndexError, KeyHash};

/// The index and the tail above it, read as one.
pub(crate) struct Finder {
    index: Arc<dyn Index>,
    tail: RwLock<Tail>,
    /// Why the index takes nothing in, while it does not.
    stalled: Mutex<Option<Arc<str>>>,
    /// Signalled when the tail grew, shrank, or is to be applied at once.
    moved: Condvar,
    signal: Mutex<Signal>,
}

#[derive(Default)]
struct Tail {
    /// Being applied; gone once the index has it.
    frozen: Option<Arc<IndexBatch>>,
    current: IndexBatch,
}

#[derive(Default)]
struct Signal {
    waiting: u64,
    closing: bool,
    flush: bool,
}

/// Tells those who wait for room when the applying thread ends by a panic.
struct LastWord<'a>(&'a Finder);

impl Drop for LastWord<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set_stalled(Some("its thread ended by a panic".into()));
            self.0.moved.notify_all();
        }
    }
}

/// Records after which the tail is applied without waiting longer.
const APPLY_RECORDS: u64 = 65_536;
/// How long a record may stay in the tail when little is written.
const APPLY_AFTER: Duration = Duration::from_millis(200);

impl Finder {
    pub(crate) fn new(index: Arc<dyn Index>) -> Finder {
        Finder {
            index,
            tail: RwLock::default(),
            stalled: Mutex::default(),
            moved: Condvar::new(),
            signal: Mutex::default(),
        }
    }

    pub(crate) fn index(&self) -> &Arc<dyn Index> {
        &self.index
    }

    /// Records that the index does not have yet.
    pub(crate) fn tail_records(&self) -> u64 {
        let tail = self.read();
        tail.current.count() + tail.frozen.as_deref().map_or(0, IndexBatch::count)
    }

    fn read(&self) -> RwLockReadGuard<'_, Tail> {
        self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tail> {
        self.tail.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self) -> MutexGuard<'_, Signal> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what has become durable.
    pub(crate) fn extend(&self, batch: IndexBatch) {
        let mut tail = self.write();
        tail.current.merge(batch);
        let count = tail.current.count();
        let mut signal = self.signal();
        let before = signal.waiting;
        signal.waiting = count;
        if before == 0 || (before < APPLY_RECORDS && count >= APPLY_RECORDS) {
            self.moved.notify_all();
        }
    }

    /// What the seeded bug `move_cursor_early` does: the cursor stands elsewhere before its records are
    /// durable.
    pub(crate) fn move_cursors<'c>(&self, moves: impl Iterator<Item = (&'c str, &'c [u8])>) {
        let mut tail = self.write();
        tail.current.cursors.extend(moves.map(|(source, to)| (Box::from(source), Box::from(to))));
    }

    /// Waits until the tail holds fewer than `records_max` records that nobody is applying. Gives up with the
    /// reason when the index takes nothing in.
    pub(crate) fn wait_for_room(&self, records_max: u64) -> Result<(), Arc<str>> {
        let mut signal = self.signal();
        while signal.waiting >= records_max {
            if let Some(reason) = self.stalled() {
                return Err(reason);
            }
            signal = self
                .moved
                .wait_timeout(signal, APPLY_AFTER)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard);
        }
        Ok(())
    }

    /// Why the index takes nothing in, while it does not.
    pub(crate) fn stalled(&self) -> Option<Arc<str>> {
        self.stalled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_stalled(&self, reason: Option<Arc<str>>) {
        *self.stalled.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Applies the tail to the index until closed, telling `applied` each time: the body of the applying thread.
    pub(crate) fn apply_until_closed(&self, applied: &dyn Fn()) {
        let _last_word = LastWord(self);
        let mut backoff = APPLY_AFTER;
        loop {
            let closing = {
                let mut signal = self.signal();
                while signal.waiting == 0 && !signal.closing {
                    signal = self.moved.wait(signal).unwrap_or_else(PoisonError::into_inner);
                }
                if signal.waiting < APPLY_RECORDS && !signal.closing && !signal.flush {
                    signal = self
                        .moved
                        .wait_timeout_while(signal, APPLY_AFTER, |signal| {
                            signal.waiting < APPLY_RECORDS && !signal.closing && !signal.flush
                        })
                        .map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard);
                }
                signal.closing
            };
            match self.apply_once() {
                Ok(()) => {
                    self.set_stalled(None);
                    applied();
                    backoff = APPLY_AFTER;
                    if closing && self.read().current.is_empty() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the index takes nothing in");
                    self.set_stalled(Some(error.to_string().into()));
                    if closing {
                        return;
                    }
                    std::thread::sleep(backoff);
                    backoff = (backoff * 2).min(Duration::from_secs(10));
                }
            }
        }
    }

    /// Freezes the current tail, applies it and lets it go.
    fn apply_once(&self) -> Result<(), IndexError> {
        let frozen = {
            let mut tail = self.write();
            if tail.frozen.is_none() {
                if !tail.current.is_empty() {
                    tail.frozen = Some(Arc::new(std::mem::take(&mut tail.current)));
                }
                self.signal().waiting = 0;
            }
            tail.frozen.clone()
        };
        if let Some(frozen) = frozen {
            self.index.apply(&frozen)?;
            self.write().frozen = None;
        }
        let mut signal = self.signal();
        signal.flush = false;
        self.moved.notify_all();
        Ok(())
    }

    /// Has the tail applied soon and ends the applying thread.
    pub(crate) fn close(&self) {
        self.signal().closing = true;
        self.moved.notify_all();
    }

    /// Waits until everything durable when called has been applied; false if the index takes nothing in.
    pub(crate) fn flush(&self) -> bool {
        loop {
            {
                let tail = self.read();
                if tail.current.is_empty() && tail.frozen.is_none() {
                    return true;
                }
            }
            let mut signal = self.signal();
            if self.stalled().is_some() || signal.closing {
                return false;
            }
            signal.flush = true;
            self.moved.notify_all();
            drop(
                self.moved
                    .wait_timeout(signal, Duration::from_millis(5))
                    .map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard),
            );
        }
    }

    pub(crate) fn stream_version(&self, stream: &str) -> Result<Option<u64>, IndexError> {
        {
            let tail = self.read();
            for batch in [Some(&tail.current), tail.frozen.as_deref()].into_iter().flatten() {
                if let Some(postings) = batch.streams.get(stream) {
                    return Ok(Some(postings.first_version + postings.sequences.len() as u64 - 1));
                }
            }
        }
        self.index.stream_version(stream)
    }

    pub(crate) fn stream_sequences(
        &self,
        stream: &str,
        from_version: u64,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<u64>, IndexError> {
        // The tail is read before the index: what moves from one to the other in between is then met
        // twice, never missed. `above` is the first version that the tail answers for.
        let (mut above, mut first) = (u64::MAX, Vec::new());
        {
            let tail = self.read();
            for batch in [tail.frozen.as_deref(), Some(&tail.current)].into_iter().flatten() {
                if let Some(postings) = batch.streams.get(stream) {
                    above = above.min(postings.first_version);
                    let found =
                        window(&postings.sequences, postings.first_version, from_version, limit, direction);
                    match direction {
                        Direction::Forward => first.extend(found),
                        Direction::Backward => first.splice(0..0, found).for_each(drop),
                    }
                }
            }
        }
        match direction {
            Direction::Forward => {
                let below = usize::try_from(above.saturating_sub(from_version)).unwrap_or(usize::MAX);
                let mut sequences = if below == 0 {
                    Vec::new()
                } else {
                    self.index.stream_sequences(stream, from_version, limit.min(below), direction)?
                };
                sequences.extend(first);
                sequences.truncate(limit);
                Ok(sequences)
            }
            Direction::Backward => {
                let mut sequences = first;
                sequences.truncate(limit);
                let from = from_version.min(above.saturating_sub(1));
                if sequences.len() < limit && from > 0 {
                    let left = limit - sequences.len();
                    sequences.extend(self.index.stream_sequences(stream, from, left, direction)?);
                }
                Ok(sequences)
            }
        }
    }

    /// Sequences of records whose key has this hash.
    pub(crate) fn key_candidates(&self, hash: KeyHash) -> Result<Vec<u64>, IndexError> {
        let mut out = Vec::new();
        {
            let tail = self.read();
            for batch in [Some(&tail.current), tail.frozen.as_deref()].into_iter().flatten() {
                out.extend(batch.keys.get(&hash));
                out.extend(batch.keys_met.iter().filter(|(other, _)| *other == hash).map(|(_, at)| *at));
            }
        }
        self.index.key_candidates(hash, &mut out)?;
        out.sort_unstable();
        out.dedup();
        Ok(out)
    }

    /// Sequences of the last record of commits whose key has this hash.
    pub(crate) fn commit_candidates(&self, hash: KeyHash) -> Result<Vec<u64>, IndexError> {
        let mut out = Vec::new();
        {
            let tail = self.read();
            for batch in [Some(&tail.current), tail.frozen.as_deref()].into_iter().flatten() {
                out.extend(batch.commit_keys.get(&hash));
                let met = batch.commit_keys_met.iter().filter(|(other, _)| *other == hash);
                out.extend(met.map(|(_, at)| *at));
            }
        }
        self.index.commit_candidates(hash, &mut out)?;
        out.sort_unstable();
        out.dedup();
        Ok(out)
    }

    pub(crate) fn cursor(&self, source: &str) -> Result<Option<Box<[u8]>>, IndexError> {
        {
            let tail = self.read();
            for batch in [Some(&tail.current), tail.frozen.as_deref()].into_iter().flatten() {
                if let Some(to) = batch.cursors.get(source) {
                    return Ok(Some(to.clone()));
                }
            }
        }
        self.index.cursor(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::digest::{Digest, Mixer};
    use crate::index::plain::PlainIndex;
    use crate::index::{Postings, Snapshots, Tiles, Totals};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// An index whose disk is full until told otherwise.
    #[derive(Default)]
    struct Stubborn {
        inner: PlainIndex,
        takes: AtomicBool,
    }

    impl Index for Stubborn {
        fn applied(&self) -> u64 {
            self.inner.applied()
        }

        fn apply(&self, batch: &IndexBatch) -> Result<(), IndexError> {
            if !self.takes.load(Ordering::SeqCst) {
                return Err(IndexError::Io(Arc::new(std::io::ErrorKind::StorageFull.into())));
            }
            self.inner.apply(batch)
        }

        fn stream_version(&self, stream: &str) -> Result<Option<u64>, IndexError> {
            self.inner.stream_version(stream)
        }

        fn stream_sequences(
            &self,
            stream: &str,
            from_version: u64,
            limit: usize,
            direction: Direction,
        ) -> Result<Vec<u64>, IndexError> {
            self.inner.stream_sequences(stream, from_version, limit, direction)
        }

        fn key_candidates(&self, hash: KeyHash, out: &mut Vec<u64>) -> Result<(), IndexError> {
            self.inner.key_candidates(hash, out)
        }

        fn commit_candidates(&self, hash: KeyHash, out: &mut Vec<u64>) -> Result<(), IndexError> {
            self.inner.commit_candidates(hash, out)
        }

        fn cursor(&self, source: &str) -> Result<Option<Box<[u8]>>, IndexError> {
            self.inner.cursor(source)
        }

        fn totals(&self) -> Result<Totals, IndexError> {
            self.inner.totals()
        }

        fn digest(&self, mixer: Mixer) -> Result<Digest, IndexError> {
            self.inner.digest(mixer)
        }

        fn memory_bytes(&self) -> usize {
            self.inner.memory_bytes()
        }

        fn snapshots(&self) -> &dyn Snapshots {
            self.inner.snapshots()
        }

        fn tiles(&self) -> &dyn Tiles {
            self.inner.tiles()
        }

        fn flush(&self) -> Result<(), IndexError> {
            Ok(())
        }
    }

    /// One record of the stream at a sequence that is also its version.
    fn one(sequence: u64) -> IndexBatch {
        let mut batch = IndexBatch { from: sequence, to: sequence, ..IndexBatch::default() };
        let postings = Postings { first_version: sequence, sequences: vec![sequence] };
        batch.streams.insert("stream".into(), postings);
        batch.note_key(KeyHash::of(&sequence.to_string()), sequence);
        batch.cursors.insert("source".into(), Box::from(sequence.to_le_bytes()));
        batch
    }

    /// What a reader sees of a ledger with this head.
    fn check(finder: &Finder, head: u64) {
        assert_eq!(finder.stream_version("stream").expect("it answers"), Some(head));
        for sequence in 1..=head {
            let hash = KeyHash::of(&sequence.to_string());
            assert_eq!(finder.key_candidates(hash).expect("it answers"), [sequence]);
            let forward = finder.stream_sequences("stream", sequence, 3, Direction::Forward);
            assert_eq!(forward.expect("it answers"), (sequence..=head).take(3).collect::<Vec<_>>());
            let backward = finder.stream_sequences("stream", sequence, 3, Direction::Backward);
            assert_eq!(backward.expect("it answers"), (1..=sequence).rev().take(3).collect::<Vec<_>>());
        }
        let cursor = finder.cursor("source").expect("it answers");
        assert_eq!(cursor.as_deref(), Some(&head.to_le_bytes()[..]));
    }

    #[test]
    fn readers_see_the_same_whether_the_index_takes_in_or_not() {
        let index = Arc::new(Stubborn::default());
        let finder = Finder::new(Arc::clone(&index) as _);
        for sequence in 1..=5 {
            finder.extend(one(sequence));
        }
        check(&finder, 5);
        assert!(finder.apply_once().is_err());
        check(&finder, 5);
        for sequence in 6..=9 {
            finder.extend(one(sequence));
        }
        // Some being applied, some above.
        check(&finder, 9);
        assert_eq!((index.applied(), finder.tail_records()), (0, 9));
        index.takes.store(true, Ordering::SeqCst);
        finder.apply_once().expect("it takes in again");
        assert_eq!((index.applied(), finder.tail_records()), (5, 4));
        check(&finder, 9);
        finder.apply_once().expect("it takes in again");
        assert_eq!((index.applied(), finder.tail_records()), (9, 0));
        check(&finder, 9);
    }

    #[test]
    fn an_index_that_takes_nothing_in_bounds_the_tail_and_says_why() {
        let index = Arc::new(Stubborn::default());
        let finder = Arc::new(Finder::new(Arc::clone(&index) as _));
        let applier = {
            let finder = Arc::clone(&finder);
            std::thread::spawn(move || finder.apply_until_closed(&|| ()))
        };
        finder.extend(one(1));
        while finder.stalled().is_none() {
            std::thread::yield_now();
        }
        finder.extend(one(2));
        assert!(finder.wait_for_room(2).is_ok(), "one record waits");
        let reason = finder.wait_for_room(1).expect_err("there is no room");
        assert!(!reason.is_empty());
        assert!(!finder.flush(), "it cannot be flushed");
        index.takes.store(true, Ordering::SeqCst);
        while finder.stalled().is_some() {
            std::thread::yield_now();
        }
        finder.wait_for_room(1).expect("it takes in again");
        finder.close();
        applier.join().expect("it ends");
        assert_eq!((index.applied(), finder.tail_records()), (2, 0));
    }
}
