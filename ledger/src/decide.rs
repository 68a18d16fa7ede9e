//! Deciding an append: keys before versions, against the index, the tail, and what is staged.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::append::{Append, AppendError, Appended, Expected, OnKnown};
use crate::clock::Clock;
use crate::frame::{BodyBuilder, CommitTail};
use crate::index::{IndexBatch, KeyHash, Postings};
use crate::record::{KEY_BYTES_MAX, NAME_BYTES_MAX};
use crate::store::{CommitStore, ReadError};
use crate::tail::Finder;

pub(crate) type Answer = oneshot::Sender<Result<Appended, AppendError>>;

/// The longest cursor, in bytes.
const CURSOR_BYTES_MAX: usize = 4_096;
/// The most streams whose last version is remembered: twice this, in two halves.
const TIPS_MAX: usize = 32_768;

/// What a commit may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) records_max: usize,
    pub(crate) bytes_max: usize,
}

/// An append that passed every check that needs no state, made on the caller's thread.
pub(crate) struct Request {
    append: Append,
    /// One for each record, or none at all if no record has a key.
    key_hashes: Vec<Option<KeyHash>>,
    commit_hash: Option<KeyHash>,
    /// An upper bound of what it takes in a body.
    pub(crate) bytes: usize,
}

impl Request {
    pub(crate) fn check(append: Append, limits: Limits) -> Result<Request, AppendError> {
        if append.records.is_empty() {
            return Err(AppendError::Empty);
        }
        let invalid = |record, why: String| AppendError::Invalid { record, why };
        let mut bytes = 256;
        let mut keyed = false;
        for (place, record) in append.records.iter().enumerate() {
            let view = record.view(0, 0, 0);
            view.check().map_err(|error| invalid(Some(place), error.to_string()))?;
            // What a row takes beyond the canonical bytes: its varints and its entries in the dictionaries.
            bytes += view.canonical_bytes() + 32;
            keyed |= record.key.is_some();
        }
        for (stream, _) in &append.expected {
            if stream.is_empty() || stream.len() > NAME_BYTES_MAX {
                return Err(invalid(
                    None,
                    "an expected stream's name is empty or longer than 255 bytes".into(),
                ));
            }
        }
        for moved in &append.cursors {
            if moved.source.is_empty() || moved.source.len() > NAME_BYTES_MAX {
                return Err(invalid(None, "a cursor's source is empty or longer than 255 bytes".into()));
            }
            if moved.to.len() > CURSOR_BYTES_MAX {
                return Err(invalid(None, format!("cursor {} is longer than 4,096 bytes", moved.source)));
            }
            bytes += moved.source.len() + moved.to.len() + 8;
        }
        if let Some(commit) = &append.commit_key {
            if commit.key.is_empty() || commit.key.len() > KEY_BYTES_MAX {
                return Err(invalid(None, "the commit key is empty or longer than 1,024 bytes".into()));
            }
            // A commit key keeps the sequences of the records that were known.
            bytes += commit.key.len() + 48 + 16 * append.records.len();
        }
        if append.records.len() > limits.records_max || bytes > limits.bytes_max {
            return Err(AppendError::TooLarge {
                records: append.records.len(),
                bytes,
                records_max: limits.records_max,
                bytes_max: limits.bytes_max,
            });
        }
        let key_hashes = if keyed {
            append.records.iter().map(|record| record.key.as_deref().map(KeyHash::of)).collect()
        } else {
            Vec::new()
        };
        let commit_hash = append.commit_key.as_ref().map(|commit| KeyHash::of(&commit.key));
        Ok(Request { append, key_hashes, commit_hash, bytes })
    }

    pub(crate) fn records(&self) -> usize {
        self.append.records.len()
    }
}

/// The commits of one frame: decided, encoded record by record, not yet durable.
#[derive(Default)]
pub(crate) struct Staged {
    pub(crate) builder: BodyBuilder,
    pub(crate) first_sequence: u64,
    appends: Vec<StagedAppend>,
    /// Appends that were known from this frame: answered with it.
    followers: Vec<(Answer, Appended)>,
    /// By stream id, the sequences it gained.
    gained: Vec<Vec<u64>>,
    keys: HashMap<KeyHash, StagedKey>,
    commit_keys: HashMap<KeyHash, usize>,
}

struct StagedAppend {
    request: Request,
    answer: Answer,
    appended: Appended,
}

#[derive(Clone, Copy)]
struct StagedKey {
    sequence: u64,
    append: usize,
    record: usize,
}

impl Staged {
    pub(crate) fn new(first_sequence: u64) -> Staged {
        Staged { builder: BodyBuilder::new(first_sequence), first_sequence, ..Staged::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.builder.count() == 0
    }

    pub(crate) fn appends(&self) -> usize {
        self.appends.len()
    }

    /// Whether the request can join this frame without making it larger than a commit may be.
    pub(crate) fn has_room(&self, request: &Request, limits: Limits) -> bool {
        self.is_empty()
            || (self.builder.bytes_max() + request.bytes <= limits.bytes_max
                && self.builder.count() as usize + request.records() <= limits.records_max)
    }

    /// What the frame adds to the index.
    pub(crate) fn batch(&mut self) -> IndexBatch {
        let mut batch = IndexBatch {
            from: self.first_sequence,
            to: self.builder.next_sequence() - 1,
            ..IndexBatch::default()
        };
        let gained = std::mem::take(&mut self.gained);
        for ((stream, first_version, _), sequences) in self.builder.streams().zip(gained) {
            if !sequences.is_empty() {
                batch.streams.insert(Arc::clone(stream), Postings { first_version, sequences });
            }
        }
        let keys = self.keys.iter().filter(|_| !cfg!(seeded_bug = "forget_key"));
        for (hash, key) in keys {
            batch.note_key(*hash, key.sequence);
        }
        for staged in &self.appends {
            for moved in &staged.request.append.cursors {
                batch.cursors.insert(moved.source.clone(), moved.to.clone());
            }
            if let Some(hash) = staged.request.commit_hash {
                batch.note_commit_key(hash, staged.appended.head);
            }
        }
        batch
    }

    /// Answers every append of the frame.
    pub(crate) fn answer(self, outcome: &Result<(), AppendError>) {
        let own = self.appends.into_iter().map(|staged| (staged.answer, staged.appended));
        for (answer, appended) in own.chain(self.followers) {
            // Nobody may be waiting any more; the append is durable all the same.
            let _ = answer.send(outcome.clone().map(|()| appended));
        }
    }

    fn find_key(&self, hash: KeyHash, key: &str) -> Option<(u64, [u8; 32])> {
        let found = self.keys.get(&hash)?;
        let record = self.appends.get(found.append)?.request.append.records.get(found.record)?;
        (record.key.as_deref() == Some(key)).then(|| (found.sequence, record.content_hash()))
    }

    fn find_commit(&self, hash: KeyHash, key: &str) -> Option<(&Appended, [u8; 32])> {
        let staged = self.appends.get(*self.commit_keys.get(&hash)?)?;
        let commit = staged.request.append.commit_key.as_ref()?;
        (&*commit.key == key).then_some((&staged.appended, commit.content_hash))
    }
}

/// The last versions of streams written lately, so that a busy stream is not looked up for every frame.
#[derive(Default)]
struct Tips {
    young: HashMap<Arc<str>, u64>,
    old: HashMap<Arc<str>, u64>,
}

impl Tips {
    fn get(&self, stream: &str) -> Option<u64> {
        self.young.get(stream).or_else(|| self.old.get(stream)).copied()
    }

    fn set(&mut self, stream: &Arc<str>, version: u64) {
        if let Some(have) = self.young.get_mut(stream) {
            *have = version;
            return;
        }
        if self.young.len() >= TIPS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(Arc::clone(stream), version);
    }
}

/// Decides appends one after the other.
pub(crate) struct Decider {
    store: Arc<dyn CommitStore>,
    finder: Arc<Finder>,
    clock: Arc<dyn Clock>,
    last_recorded_at: i64,
    tips: Tips,
}

/// How far an answer has to wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Until {
    Durable,
    InFlight,
    Staged,
}

enum Decision {
    Known(Appended, Until),
    Write { known: Vec<(u32, u64)> },
}

impl Decider {
    pub(crate) fn new(
        store: Arc<dyn CommitStore>,
        finder: Arc<Finder>,
        clock: Arc<dyn Clock>,
        last_recorded_at: i64,
    ) -> Decider {
        Decider { store, finder, clock, last_recorded_at, tips: Tips::default() }
    }

    /// Remembers what a frame that is now durable did to its streams.
    pub(crate) fn remember(&mut self, durable: &Staged) {
        for (stream, first, next) in durable.builder.streams() {
            if next > first {
                self.tips.set(stream, next - 1);
            }
        }
    }

    /// Decides a request and stages it, or answers it.
    pub(crate) fn stage(
        &mut self,
        request: Request,
        answer: Answer,
        staged: &mut Staged,
        in_flight: Option<&mut Staged>,
    ) {
        let decision = self.decide(&request, staged, in_flight.as_deref());
        match decision {
            Err(error) => drop(answer.send(Err(error))),
            Ok(Decision::Known(appended, until)) => match (until, in_flight) {
                (Until::Staged, _) => staged.followers.push((answer, appended)),
                (Until::InFlight, Some(in_flight)) => in_flight.followers.push((answer, appended)),
                _ => drop(answer.send(Ok(appended))),
            },
            Ok(Decision::Write { known }) => {
                if let Err((answer, error)) =
                    self.write(request, answer, &known, staged, in_flight.as_deref())
                {
                    drop(answer.send(Err(error)));
                }
            }
        }
    }

    fn decide(
        &self,
        request: &Request,
        staged: &Staged,
        in_flight: Option<&Staged>,
    ) -> Result<Decision, AppendError> {
        if let Some(known) = self.decide_commit_key(request, staged, in_flight)? {
            return Ok(known);
        }
        let (known, until) = self.decide_keys(request, staged, in_flight)?;
        let given = request.append.records.len();
        if known.len() == given {
            let sequences: Vec<u64> = known.iter().map(|(_, sequence)| *sequence).collect();
            let last = sequences.iter().copied().max().unwrap_or(0);
            let recorded_at = self.recorded_at(last, staged, in_flight)?;
            let head = last.max(self.store.head());
            return Ok(Decision::Known(
                Appended { sequences, new: 0, head, recorded_at, already: true },
                until,
            ));
        }
        if request.append.on_known == OnKnown::AllOrNothing
            && let Some((place, sequence)) = known.first()
        {
            let key = request.append.records[*place as usize].key.clone().unwrap_or_default();
            return Err(AppendError::PartlyKnown { known: known.len(), given, key, sequence: *sequence });
        }
        for (stream, expected) in &request.append.expected {
            if *expected == Expected::Any {
                continue;
            }
            let actual = self.version(stream, staged, in_flight)?;
            if !expected.met_by(actual) {
                return Err(AppendError::VersionConflict {
                    stream: Arc::clone(stream),
                    expected: *expected,
                    actual,
                });
            }
        }
        Ok(Decision::Write { known })
    }

    fn decide_commit_key(
        &self,
        request: &Request,
        staged: &Staged,
        in_flight: Option<&Staged>,
    ) -> Result<Option<Decision>, AppendError> {
        let (Some(commit), Some(hash)) = (&request.append.commit_key, request.commit_hash) else {
            return Ok(None);
        };
        let found = [(Some(staged), Until::Staged), (in_flight, Until::InFlight)].into_iter().find_map(
            |(frame, until)| {
                let (appended, content) = frame?.find_commit(hash, &commit.key)?;
                Some((appended.clone(), content, until))
            },
        );
        let found = match found {
            Some(found) => Some(found),
            None => crate::reading::find_commit(&*self.store, &self.finder, &commit.key)?
                .map(|(appended, content)| (appended, content, Until::Durable)),
        };
        match found {
            None => Ok(None),
            Some((appended, content, until)) if content == commit.content_hash => {
                Ok(Some(Decision::Known(Appended { already: true, ..appended }, until)))
            }
            Some((appended, ..)) => {
                Err(AppendError::CommitKeyConflict { key: commit.key.clone(), sequence: appended.head })
            }
        }
    }

    /// Which records are known, by place and ascending, and how far away the last of them is from durable.
    fn decide_keys(
        &self,
        request: &Request,
        staged: &Staged,
        in_flight: Option<&Staged>,
    ) -> Result<(Vec<(u32, u64)>, Until), AppendError> {
        let mut known: Vec<(u32, u64)> = Vec::new();
        let mut until = Until::Durable;
        // The conflict told is the first in the append, however far its original has come by now.
        let mut conflict = None;
        let first =
            |one: Option<(u32, u64)>, other: (u32, u64)| Some(one.map_or(other, |one| one.min(other)));
        // Records met below the frames, to be read from the store: sequence and place.
        let mut met: Vec<(u64, u32)> = Vec::new();
        let mut within: HashMap<KeyHash, usize> = HashMap::new();
        let several = request.append.records.len() > 1;
        let keyed = request.append.records.iter().zip(&request.key_hashes).enumerate();
        for (place, (record, hash)) in keyed {
            let (Some(key), Some(hash)) = (record.key.as_deref(), *hash) else { continue };
            if several {
                match within.entry(hash) {
                    Entry::Occupied(_) => {
                        return Err(AppendError::Invalid {
                            record: Some(place),
                            why: format!("its key {key} stands in the append before"),
                        });
                    }
                    Entry::Vacant(entry) => drop(entry.insert(place)),
                }
            }
            let place = u32::try_from(place).expect("a commit's records are limited far below 2^32");
            let found = match (staged.find_key(hash, key), in_flight) {
                (Some(found), _) => Some((found, Until::Staged)),
                (None, Some(frame)) => frame.find_key(hash, key).map(|found| (found, Until::InFlight)),
                (None, None) => None,
            };
            if let Some(((sequence, content), depth)) = found {
                if content == record.content_hash() {
                    until = until.max(depth);
                    known.push((place, sequence));
                } else {
                    conflict = first(conflict, (place, sequence));
                }
            } else {
                let candidates = self.finder.key_candidates(hash).map_err(ReadError::from)?;
                met.extend(candidates.into_iter().map(|sequence| (sequence, place)));
            }
        }
        if !met.is_empty() {
            met.sort_unstable();
            let sequences: Vec<u64> = met.iter().map(|(sequence, _)| *sequence).collect();
            let mut at = 0;
            self.store.pick(&sequences, &mut |stored| {
                while let Some((sequence, place)) = met.get(at)
                    && *sequence == stored.sequence
                {
                    at += 1;
                    let record = &request.append.records[*place as usize];
                    if record.key.as_deref() == stored.key {
                        if record.content_hash() == stored.content_hash() {
                            known.push((*place, *sequence));
                        } else {
                            conflict = first(conflict, (*place, *sequence));
                        }
                    }
                }
                ControlFlow::Continue(())
            })?;
            known.sort_unstable();
        }
        if let Some((place, sequence)) = conflict {
            let key = request.append.records[place as usize].key.clone().unwrap_or_default();
            return Err(AppendError::KeyConflict { key, sequence });
        }
        Ok((known, until))
    }

    /// When a known record was recorded.
    fn recorded_at(
        &self,
        sequence: u64,
        staged: &Staged,
        in_flight: Option<&Staged>,
    ) -> Result<i64, AppendError> {
        for frame in [Some(staged), in_flight].into_iter().flatten() {
            if sequence >= frame.first_sequence {
                let of = frame.appends.iter().find(|append| append.appended.head >= sequence);
                return Ok(of.map_or(self.last_recorded_at, |append| append.appended.recorded_at));
            }
        }
        let mut recorded_at = self.last_recorded_at;
        self.store.pick(&[sequence], &mut |record| {
            recorded_at = record.recorded_at;
            ControlFlow::Break(())
        })?;
        Ok(recorded_at)
    }

    fn version(
        &self,
        stream: &str,
        staged: &Staged,
        in_flight: Option<&Staged>,
    ) -> Result<Option<u64>, ReadError> {
        for frame in [Some(staged), in_flight].into_iter().flatten() {
            if let Some(next) = frame.builder.next_version(stream) {
                return Ok((next > 1).then(|| next - 1));
            }
        }
        if let Some(version) = self.tips.get(stream) {
            return Ok(Some(version));
        }
        Ok(self.finder.stream_version(stream)?)
    }

    /// Puts the new records of a decided request into the frame.
    fn write(
        &mut self,
        request: Request,
        answer: Answer,
        known: &[(u32, u64)],
        staged: &mut Staged,
        in_flight: Option<&Staged>,
    ) -> Result<(), (Answer, AppendError)> {
        // All streams are found before the first record is pushed: that is the last thing that can fail.
        let mut ids = Vec::with_capacity(request.append.records.len());
        let mut skip = known.iter().map(|(place, _)| *place as usize).peekable();
        for (place, record) in request.append.records.iter().enumerate() {
            if skip.next_if_eq(&place).is_some() {
                ids.push(None);
                continue;
            }
            let (tips, finder) = (&self.tips, &self.finder);
            let id = staged.builder.stream_id(&record.stream, || {
                let next = in_flight.and_then(|frame| frame.builder.next_version(&record.stream));
                match next.or_else(|| tips.get(&record.stream).map(|version| version + 1)) {
                    Some(next) => Ok(next),
                    None => Ok(finder.stream_version(&record.stream)?.unwrap_or(0) + 1),
                }
            });
            match id {
                Ok(id) => ids.push(Some(id)),
                Err(error) => return Err((answer, AppendError::Undecided(error))),
            }
        }
        let recorded_at = self.clock.now().max(self.last_recorded_at);
        self.last_recorded_at = recorded_at;
        let append_place = staged.appends.len();
        let mut sequences = Vec::with_capacity(ids.len());
        let mut known_sequences = known.iter().map(|(_, sequence)| *sequence);
        for (place, (record, id)) in request.append.records.iter().zip(ids).enumerate() {
            let Some(id) = id else {
                sequences.push(known_sequences.next().expect("every record without a stream id is known"));
                continue;
            };
            let sequence = staged.builder.push_new(id, record, recorded_at);
            sequences.push(sequence);
            let slot = id.0 as usize;
            if staged.gained.len() <= slot {
                staged.gained.resize_with(slot + 1, Vec::new);
            }
            staged.gained[slot].push(sequence);
            if let Some(Some(hash)) = request.key_hashes.get(place) {
                staged.keys.insert(*hash, StagedKey { sequence, append: append_place, record: place });
            }
        }
        let append = &request.append;
        if cfg!(seeded_bug = "move_cursor_early") {
            self.finder.move_cursors(append.cursors.iter().map(|moved| (&*moved.source, &*moved.to)));
        }
        let tail = CommitTail {
            cursors: append.cursors.iter().map(|moved| (&*moved.source, &*moved.to)).collect(),
            key: append.commit_key.as_ref().map(|commit| (&*commit.key, &commit.content_hash)),
            known: if append.commit_key.is_some() { known.to_vec() } else { Vec::new() },
        };
        staged.builder.end_part(0, 0, recorded_at, &tail);
        if let Some(hash) = request.commit_hash {
            staged.commit_keys.insert(hash, append_place);
        }
        let new = sequences.len() - known.len();
        let head = staged.builder.next_sequence() - 1;
        let appended = Appended { sequences, new, head, recorded_at, already: false };
        staged.appends.push(StagedAppend { request, answer, appended });
        Ok(())
    }
}
