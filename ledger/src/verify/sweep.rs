//! The sweep: the whole log checked in pieces on all processors, and what the pieces say joined in order.
//!
//! It tells only whether anything is wrong. Where that is so, the log is read again from its start, record by record, to
//! name the first fault.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::frame::CommitPart;
use crate::index::digest::{Digest, Mixer};
use crate::index::{Index, KeyHash};
use crate::ledger::{Options, Phase};
use crate::merkle::group::{Hashing, Run};
use crate::merkle::tree::Tree;
use crate::record::RecordView;
use crate::sealed::{Sealed, Seeing};
use crate::segments::Segment;
use crate::segments::raw::RawSegment;

/// Records in a piece, or a few more: as many as end with a frame or a stretch.
const PIECE_RECORDS: u64 = 65_536;
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

/// Something that one thread checks at a time.
enum Piece<'s> {
    /// A sealed file's hash.
    Bytes(&'s Sealed),
    /// Records of a sealed segment.
    Stretches(&'s Sealed, u64, u64),
    /// Records of a segment that is not sealed.
    Frames(&'s RawSegment, u64, u64),
}

fn pieces(segments: &[Segment]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    for segment in segments {
        let (starts, last) = match segment {
            Segment::Sealed(sealed) => {
                pieces.push(Piece::Bytes(sealed));
                (sealed.starts().collect::<Vec<u64>>(), sealed.last())
            }
            Segment::Raw(raw) => (raw.starts(), raw.last()),
        };
        let mut starts = starts.into_iter().peekable();
        while let Some(first) = starts.next() {
            while starts.next_if(|start| *start < first + PIECE_RECORDS).is_some() {}
            let to = starts.peek().map_or(last, |start| start - 1);
            pieces.push(match segment {
                Segment::Sealed(sealed) => Piece::Stretches(sealed, first, to),
                Segment::Raw(raw) => Piece::Frames(raw, first, to),
            });
        }
    }
    pieces
}

/// Hashes names that are many times the same, a word at a time.
#[derive(Clone, Copy, Default)]
struct NameHasher(u64);

impl NameHasher {
    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, byte: u8) {
        self.word(u64::from(byte));
    }
}

type ByName<T> = HashMap<Box<str>, T, BuildHasherDefault<NameHasher>>;

/// What a piece says of a stream.
struct Stretch {
    first_version: u64,
    last_version: u64,
    /// What stands for the stream.
    name: u64,
    /// Whether a record of it lies where the index has come.
    applied: bool,
}

/// What is to be joined of a piece.
struct Part {
    first: u64,
    last: u64,
    recorded: Option<(i64, i64)>,
    run: Run,
    streams: ByName<Stretch>,
    /// Of the commit that goes on in it, what its first part says; and what its last part leaves.
    commits: Option<(CommitCounts, (u32, u32))>,
    cursors: HashMap<Box<str>, Box<[u8]>>,
    digest: Digest,
    keys: u64,
    commit_keys: Vec<u64>,
}

#[derive(Clone, Copy)]
struct CommitCounts {
    records: u32,
    before: u32,
    after: u32,
}

impl CommitCounts {
    /// Whether it goes on from a part after which so many records had come and so many were still to come.
    fn follows(self, (came, to_come): (u32, u32)) -> bool {
        let whole = self.before + self.records + self.after;
        if to_come == 0 { self.before == 0 } else { self.before == came && whole == came + to_come }
    }

    fn leaves(self) -> (u32, u32) {
        (self.before + self.records, self.after)
    }
}

/// Checks a piece record by record.
struct Checking<'k> {
    mixer: Mixer,
    /// How far the index has come.
    applied: u64,
    hashing: Hashing,
    part: Part,
    next: u64,
    keys: &'k mut Vec<u64>,
    sound: bool,
}

impl Checking<'_> {
    fn fail(&mut self) {
        self.sound = false;
    }
}

impl Seeing for Checking<'_> {
    #[inline]
    fn record(&mut self, record: &RecordView<'_>) {
        let sequence = record.sequence;
        if sequence != self.next || record.check().is_err() {
            return self.fail();
        }
        self.next += 1;
        let part = &mut self.part;
        match &mut part.recorded {
            Some((_, last)) if *last <= record.recorded_at => *last = record.recorded_at,
            Some(_) => return self.fail(),
            none => *none = Some((record.recorded_at, record.recorded_at)),
        }
        let applied = sequence <= self.applied;
        let stream = match part.streams.get_mut(record.stream) {
            Some(stream) if stream.last_version + 1 == record.version => stream,
            Some(_) => return self.fail(),
            None => part.streams.entry(record.stream.into()).or_insert_with(|| Stretch {
                first_version: record.version,
                last_version: record.version,
                name: self.mixer.name(record.stream),
                applied,
            }),
        };
        stream.last_version = record.version;
        let digest = &mut part.digest;
        if applied {
            let posting = self.mixer.posting(stream.name, record.version, sequence);
            digest.postings = digest.postings.wrapping_add(posting);
        }
        if let Some(key) = record.key {
            let hash = KeyHash::of(key);
            part.keys += 1;
            self.keys.push(half(hash));
            if applied {
                digest.keys = digest.keys.wrapping_add(self.mixer.key(hash, sequence));
            }
        }
        self.hashing.push(record);
    }

    fn part(&mut self, first: u64, part: &CommitPart<'_>) {
        let counts = CommitCounts { records: part.records, before: part.before, after: part.after };
        let last = first + u64::from(part.records) - 1;
        match &mut self.part.commits {
            Some((_, left)) if counts.follows(*left) => *left = counts.leaves(),
            Some(_) => return self.fail(),
            none => *none = Some((counts, counts.leaves())),
        }
        let Some(tail) = &part.tail else { return };
        let applied = last <= self.applied;
        if applied {
            for (source, to) in &tail.cursors {
                self.part.cursors.insert(Box::from(*source), Box::from(*to));
            }
        }
        if let Some((key, _)) = tail.key {
            let hash = KeyHash::of(key);
            self.part.commit_keys.push(half(hash));
            if applied {
                let digest = &mut self.part.digest;
                digest.commit_keys = digest.commit_keys.wrapping_add(self.mixer.key(hash, last));
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half of the hash is meant")]
fn half(KeyHash(hash): KeyHash) -> u64 {
    (hash >> 64) as u64
}

fn check(
    piece: &Piece<'_>,
    mixer: Mixer,
    applied: u64,
    keys: &mut Vec<u64>,
) -> Result<Option<Part>, Suspicion> {
    let (first, last) = match piece {
        Piece::Bytes(sealed) => return sealed.check_hash().map(|()| None).map_err(|_| Suspicion),
        Piece::Stretches(_, first, last) | Piece::Frames(_, first, last) => (*first, *last),
    };
    let part = Part {
        first,
        last,
        recorded: None,
        run: Run::default(),
        streams: ByName::default(),
        commits: None,
        cursors: HashMap::new(),
        digest: Digest::default(),
        keys: 0,
        commit_keys: Vec::new(),
    };
    let mut checking =
        Checking { mixer, applied, hashing: Hashing::from(first), part, next: first, keys, sound: true };
    match piece {
        Piece::Bytes(_) => {}
        Piece::Stretches(sealed, ..) => {
            sealed.check_stretches(first, last, &mut checking).map_err(|_| Suspicion)?;
        }
        Piece::Frames(raw, ..) => {
            let mut readable = true;
            let flow = raw.scan(first, &mut |body| {
                let shown = body.visit(body.first_sequence(), body.last_sequence(), |record| {
                    checking.record(record);
                    ControlFlow::Continue(())
                });
                let mut begins = body.first_sequence();
                for part in body.parts() {
                    checking.part(begins, part);
                    begins += u64::from(part.records);
                }
                readable &= shown.is_ok();
                if readable && body.last_sequence() < last {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
            if !readable || flow.is_err() {
                return Err(Suspicion);
            }
        }
    }
    let Checking { hashing, mut part, next, sound, .. } = checking;
    if !sound || next != last + 1 {
        return Err(Suspicion);
    }
    part.run = hashing.finish();
    Ok(Some(part))
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
