//! The sweep: the whole log checked in pieces on all processors, and what the pieces say joined in order.
//!
//! It tells only whether anything is wrong. Where that is so, the log is read again from its start, record by record, to
//! name the first fault.

mod piece;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::index::Index;
use crate::index::digest::{Digest, Mixer};
use crate::ledger::{Options, Phase};
use crate::merkle::tree::Tree;
use crate::segments::Segment;
use piece::{Part, Piece, check, pieces};

/// Pieces that may be done ahead of the one that is joined next, for each thread.
const AHEAD: usize = 4;
/// The most threads.
const THREADS_MAX: usize = 8;
/// Keys whose hashes are held at a time; with more, the log is read record by record to look for one that comes twice.
const KEYS_MAX: usize = 32 << 20;

/// Something is wrong; what, is for somebody else to say.
pub(super) struct Suspicion;

/// A log in which nothing is wrong.
pub(super) struct Swept {
    pub(super) streams: u64,
    pub(super) keys: u64,
    /// Whether it holds so many keys that nobody looked for one that comes twice.
    pub(super) keys_unseen: bool,
}

/// Parts that are done and wait for those before them.
struct Desk {
    done: Mutex<HashMap<usize, Result<Option<Part>, Suspicion>>>,
    changed: Condvar,
    joined: AtomicUsize,
    stopped: AtomicBool,
}

impl Desk {
    fn done(&self) -> MutexGuard<'_, HashMap<usize, Result<Option<Part>, Suspicion>>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(
        &self,
        pieces: &[Piece<'_>],
        taken: &AtomicUsize,
        ahead: usize,
        mixer: Mixer,
        applied: u64,
    ) -> Vec<u64> {
        let mut keys = Vec::new();
        loop {
            let number = taken.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(number) else { break };
            let done = self.done();
            drop(
                self.changed
                    .wait_while(done, |_| {
                        number >= self.joined.load(Ordering::Acquire) + ahead
                            && !self.stopped.load(Ordering::Acquire)
                    })
                    .unwrap_or_else(PoisonError::into_inner),
            );
            if self.stopped.load(Ordering::Acquire) {
                break;
            }
            let part = check(piece, mixer, applied, &mut keys);
            self.done().insert(number, part);
            self.changed.notify_all();
        }
        // Sorted here, so that nobody sorts alone in the end.
        keys.sort_unstable();
        keys
    }

    fn take(&self, number: usize) -> Result<Option<Part>, Suspicion> {
        let done = self.done();
        let mut done = self
            .changed
            .wait_while(done, |done| !done.contains_key(&number))
            .unwrap_or_else(PoisonError::into_inner);
        let part = done.remove(&number).unwrap_or(Err(Suspicion));
        self.joined.store(number + 1, Ordering::Release);
        drop(done);
        self.changed.notify_all();
        part
    }
}

/// What was joined so far.
#[derive(Default)]
struct Joined {
    last: u64,
    recorded_at: Option<i64>,
    /// Of each stream the last version, and whether the index has come to it.
    streams: HashMap<Box<str>, (u64, bool)>,
    commit: (u32, u32),
    cursors: HashMap<Box<str>, Box<[u8]>>,
    digest: Digest,
    keys: u64,
    commit_keys: Vec<u64>,
}

impl Joined {
    fn join(&mut self, mut part: Part, tree: &Tree) -> Result<(), Suspicion> {
        if part.first != self.last + 1 {
            return Err(Suspicion);
        }
        self.last = part.last;
        if let Some((first, last)) = part.recorded {
            if self.recorded_at.is_some_and(|before| first < before) {
                return Err(Suspicion);
            }
            self.recorded_at = Some(last);
        }
        for (name, stream) in part.streams {
            match self.streams.entry(name) {
                Entry::Occupied(mut known) if known.get().0 + 1 == stream.first_version => {
                    let (version, applied) = known.get_mut();
                    *version = stream.last_version;
                    *applied |= stream.applied;
                }
                Entry::Vacant(new) if stream.first_version == 1 => {
                    new.insert((stream.last_version, stream.applied));
                }
                _ => return Err(Suspicion),
            }
        }
        if let Some((first, left)) = part.commits {
            if !first.follows(self.commit) {
                return Err(Suspicion);
            }
            self.commit = left;
        }
        self.cursors.extend(part.cursors);
        self.digest.add(&part.digest);
        self.keys += part.keys;
        self.commit_keys.append(&mut part.commit_keys);
        tree.take(part.run).map_err(|_| Suspicion)
    }
}

/// Whether anything comes twice in lists that are sorted.
fn repeated(lists: &[Vec<u64>]) -> bool {
    let mut places: Vec<_> = lists.iter().map(|list| list.iter().copied().peekable()).collect();
    let mut before = None;
    loop {
        let least = places.iter_mut().filter_map(|place| place.peek().copied()).min();
        let Some(least) = least else { return false };
        if before == Some(least) {
            return true;
        }
        before = Some(least);
        // Of equal ones in several lists the second comes up again, and is met then.
        for place in &mut places {
            if place.next_if_eq(&least).is_some() {
                break;
            }
        }
    }
}

/// Checks the records of segments up to `head`, the commits they came in, and that an index says the same; and grows
/// `tree`, which is empty, over them.
pub(super) fn sweep(
    segments: &[Segment],
    head: u64,
    index: Option<&dyn Index>,
    tree: &Tree,
    options: &Options,
) -> Result<Swept, Suspicion> {
    let pieces = pieces(segments);
    let mixer = Mixer::of(getrandom::u64().map_err(|_| Suspicion)?);
    let applied = index.map_or(0, Index::applied);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let desk = Desk {
        done: Mutex::default(),
        changed: Condvar::new(),
        joined: AtomicUsize::new(0),
        stopped: AtomicBool::new(false),
    };
    let taken = AtomicUsize::new(0);
    let (joined, mut keys) = std::thread::scope(|scope| {
        let work = || desk.work(&pieces, &taken, AHEAD * threads, mixer, applied);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut joined = Joined::default();
        let mut outcome = Ok(());
        for number in 0..pieces.len() {
            outcome = desk.take(number).and_then(|part| match part {
                Some(part) => joined.join(part, tree),
                None => Ok(()),
            });
            if outcome.is_err() {
                break;
            }
            options.report(Phase::Checking, joined.last, head);
        }
        desk.stopped.store(true, Ordering::Release);
        drop(desk.done());
        desk.changed.notify_all();
        let keys: Result<Vec<_>, _> = threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        outcome.and_then(|()| Ok((joined, keys.map_err(|_| Suspicion)?)))
    })?;
    if joined.last != head {
        return Err(Suspicion);
    }
    let keys_unseen = keys.iter().map(Vec::len).sum::<usize>() > KEYS_MAX;
    if !keys_unseen && repeated(&keys) {
        return Err(Suspicion);
    }
    keys.clear();
    let mut commit_keys = joined.commit_keys;
    commit_keys.sort_unstable();
    if repeated(&[commit_keys]) {
        return Err(Suspicion);
    }
    if let Some(index) = index {
        let mut expected = joined.digest;
        expected.streams = joined.streams.values().filter(|(_, applied)| *applied).count() as u64;
        let cursors = joined.cursors.iter();
        expected.cursors = cursors.fold(0, |sum, (source, to)| sum.wrapping_add(mixer.cursor(source, to)));
        if index.digest(mixer).map_err(|_| Suspicion)? != expected {
            return Err(Suspicion);
        }
    }
    Ok(Swept { streams: joined.streams.len() as u64, keys: joined.keys, keys_unseen })
}
