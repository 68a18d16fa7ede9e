//! Checking a log record by record, front to back, so that the first thing that is wrong is named.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::{IndexVerified, Verified, VerifyError};
use crate::frame::BodyError;
use crate::index::{Direction, Index, IndexBatch, KeyHash, Totals};
use crate::ledger::{Cut, Options, Phase};
use crate::segments::Segment;
use crate::store::{Body, CommitStore, Fault, ReadError};

/// Key hashes held in memory at a time while looking for one that comes twice; more keys mean more passes.
const KEYS_HELD: usize = 4 << 20;
/// Records compared with the index at a time.
const COMPARED_AT_ONCE: u64 = 65_536;
/// Records between two reports of progress.
const REPORT_EVERY: u64 = 65_536;

/// What is remembered of the records seen so far.
#[derive(Default)]
struct Seen {
    /// Records that a checkpoint covers: of what they say, nothing is known.
    after: u64,
    next: u64,
    recorded_at: Option<i64>,
    versions: HashMap<Box<str>, u64>,
    cursors: HashMap<Box<str>, Box<[u8]>>,
    keys: u64,
    commit_keys: u64,
    /// Records of a commit that still have to come, and how many came.
    commit: (u32, u32),
}

/// The records behind `after`, up to `head`.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    pub(super) after: u64,
    pub(super) head: u64,
}

pub(super) fn check_log(
    store: &dyn CommitStore,
    stretch: Stretch,
    index: Result<&dyn Index, String>,
    options: &Options,
    segments: &[Segment],
    torn: Option<Cut>,
) -> Result<Verified, VerifyError> {
    let Stretch { after, head } = stretch;
    let mut seen = Seen { next: after + 1, after, ..Seen::default() };
    let applied = index.as_ref().map_or(0, |index| index.applied());
    let mut keys = KeySieve::new(None);
    let mut commit_keys = KeySieve::new(None);
    let mut batch = IndexBatch::default();
    scan(store, stretch, |body| {
        check_body(body, &mut seen, &mut keys, &mut commit_keys)?;
        if let Ok(index) = &index {
            batch.absorb(body, after + 1).map_err(|error| crate::reading::damaged(&error, body))?;
            if batch.count() >= COMPARED_AT_ONCE {
                agree(*index, &std::mem::take(&mut batch), applied)?;
            }
        }
        if seen.next % REPORT_EVERY < u64::from(body.count()) {
            options.report(Phase::Checking, seen.next - 1, head);
        }
        Ok(())
    })?;
    if let Ok(index) = &index {
        agree(*index, &batch, applied)?;
    }
    if seen.next <= head {
        let what = format!("the log ends here; it should hold {head} records");
        return Err(Fault { sequence: seen.next, file: PathBuf::new(), offset: 0, what }.into());
    }
    find_repeated(store, stretch, keys, |body, visit| {
        let _ = body.visit(after + 1, body.last_sequence(), |record| {
            if let Some(key) = record.key {
                visit(KeyHash::of(key), record.sequence);
            }
            ControlFlow::Continue(())
        });
    })?;
    find_repeated(store, stretch, commit_keys, |body, visit| {
        let mut last = body.first_sequence() - 1;
        for part in body.parts() {
            last += u64::from(part.records);
            if let Some((key, _)) = part.tail.as_ref().and_then(|tail| tail.key) {
                visit(KeyHash::of(key), last);
            }
        }
    })?;
    options.report(Phase::Checking, head, head);
    let index = match index {
        Err(reason) => IndexVerified::Unusable { reason },
        // A ledger in use may have gone on meanwhile; then only what was compared above is known. What a checkpoint
        // covers was not counted.
        Ok(index) if applied == head && after == 0 && index.applied() == head => {
            agree_in_total(index, &seen, head)?;
            IndexVerified::Agrees
        }
        Ok(_) if applied >= head => IndexVerified::Agrees,
        Ok(_) => IndexVerified::Lags { applied },
    };
    Ok(Verified {
        head,
        after,
        streams: seen.versions.len() as u64,
        keys: seen.keys,
        torn,
        index,
        ..Verified::of(segments)
    })
}

/// Shows bodies from the one that holds the first record of a stretch up to the one that holds its last.
fn scan(
    store: &dyn CommitStore,
    Stretch { after, head }: Stretch,
    mut visit: impl FnMut(&Body<'_>) -> Result<(), VerifyError>,
) -> Result<(), VerifyError> {
    if head == after {
        return Ok(());
    }
    let mut failed = None;
    store.scan(after + 1, &mut |body| match visit(body) {
        Ok(()) if body.last_sequence() < head => ControlFlow::Continue(()),
        Ok(()) => ControlFlow::Break(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}

fn check_body(
    body: &Body<'_>,
    seen: &mut Seen,
    keys: &mut KeySieve,
    commit_keys: &mut KeySieve,
) -> Result<(), VerifyError> {
    let fault = |sequence, what: String| Fault { sequence, file: PathBuf::new(), offset: 0, what };
    let mut wrong: Option<Fault> = None;
    let visited = body.visit(seen.after + 1, body.last_sequence(), |record| {
        let sequence = record.sequence;
        let mut step = || -> Result<(), Fault> {
            if sequence != seen.next {
                return Err(fault(seen.next, format!("sequence {sequence} stands where it should")));
            }
            seen.next += 1;
            if seen.recorded_at.is_some_and(|before| record.recorded_at < before) {
                return Err(fault(sequence, "recorded_at goes backwards".into()));
            }
            seen.recorded_at = Some(record.recorded_at);
            record.check().map_err(|error| fault(sequence, error.to_string()))?;
            let version = match seen.versions.get_mut(record.stream) {
                Some(version) => version,
                None => {
                    let before = if seen.after == 0 { 0 } else { record.version.saturating_sub(1) };
                    seen.versions.entry(Box::from(record.stream)).or_insert(before)
                }
            };
            *version += 1;
            if *version != record.version {
                return Err(fault(
                    sequence,
                    format!("stream {} goes on at version {}, not {version}", record.stream, record.version),
                ));
            }
            if let Some(key) = record.key {
                seen.keys += 1;
                keys.add(KeyHash::of(key), sequence);
            }
            Ok(())
        };
        match step() {
            Ok(()) => ControlFlow::Continue(()),
            Err(found) => {
                wrong = Some(found);
                ControlFlow::Break(())
            }
        }
    });
    if let Some(wrong) = wrong {
        return Err(wrong.into());
    }
    let _ = visited.map_err(|error: BodyError| fault(body.first_sequence(), error.to_string()))?;
    let mut last = body.first_sequence() - 1;
    for part in body.parts() {
        let begins = last + 1;
        last += u64::from(part.records);
        if last <= seen.after {
            continue;
        }
        // The commit in which a checkpoint ends may have begun before.
        let known = begins > seen.after + 1 || seen.after == 0;
        if known && (part.before, part.before + part.records + part.after) != follow(seen.commit, part) {
            return Err(fault(begins, "a commit is not whole".into()).into());
        }
        seen.commit = (part.before + part.records, part.after);
        let Some(tail) = &part.tail else { continue };
        for (source, to) in &tail.cursors {
            seen.cursors.insert(Box::from(*source), Box::from(*to));
        }
        if let Some((key, _)) = tail.key {
            seen.commit_keys += 1;
            commit_keys.add(KeyHash::of(key), last);
        }
    }
    Ok(())
}

/// What a part must say of the records before it and of its whole commit, after a part that left `(came,
/// to_come)`.
fn follow((came, to_come): (u32, u32), part: &crate::frame::CommitPart<'_>) -> (u32, u32) {
    if to_come == 0 { (0, part.records + part.after) } else { (came, came + to_come) }
}

/// Compares what the log says of a run of records with what the index does, record by record.
fn agree(index: &dyn Index, batch: &IndexBatch, applied: u64) -> Result<(), VerifyError> {
    if batch.from > applied {
        return Ok(());
    }
    let disagrees = |sequence, what: String| VerifyError::IndexDisagrees { sequence, what };
    let read = |error| VerifyError::Read(ReadError::Index(error));
    for (stream, postings) in &batch.streams {
        let mut expected = postings.sequences.clone();
        expected.retain(|sequence| *sequence <= applied);
        let found = index
            .stream_sequences(stream, postings.first_version, expected.len(), Direction::Forward)
            .map_err(read)?;
        if found != expected {
            let differ = expected.iter().zip(&found).find(|(one, other)| one != other);
            let sequence = differ.map_or(expected.get(found.len()), |(one, _)| Some(one));
            let sequence = sequence.copied().unwrap_or(batch.from);
            return Err(disagrees(sequence, format!("stream {stream} is listed otherwise")));
        }
    }
    let mut candidates = Vec::new();
    for (hash, sequence) in batch.all_keys().filter(|(_, sequence)| *sequence <= applied) {
        candidates.clear();
        index.key_candidates(hash, &mut candidates).map_err(read)?;
        if !candidates.contains(&sequence) {
            return Err(disagrees(sequence, "its key is not found".into()));
        }
    }
    for (hash, sequence) in batch.all_commit_keys().filter(|(_, sequence)| *sequence <= applied) {
        candidates.clear();
        index.commit_candidates(hash, &mut candidates).map_err(read)?;
        if !candidates.contains(&sequence) {
            return Err(disagrees(sequence, "the key of its commit is not found".into()));
        }
    }
    Ok(())
}

/// Checks that the index holds nothing besides what was compared.
fn agree_in_total(index: &dyn Index, seen: &Seen, head: u64) -> Result<(), VerifyError> {
    let read = |error| VerifyError::Read(ReadError::Index(error));
    let disagrees = |what: String| VerifyError::IndexDisagrees { sequence: head, what };
    let expected = Totals {
        streams: seen.versions.len() as u64,
        postings: head,
        keys: seen.keys,
        commit_keys: seen.commit_keys,
        cursors: seen.cursors.len() as u64,
    };
    let found = index.totals().map_err(read)?;
    if found != expected {
        return Err(disagrees(format!("it holds {found:?}, the log {expected:?}")));
    }
    for (stream, version) in &seen.versions {
        if index.stream_version(stream).map_err(read)? != Some(*version) {
            return Err(disagrees(format!("stream {stream} does not end at version {version}")));
        }
    }
    for (source, to) in &seen.cursors {
        if index.cursor(source).map_err(read)?.as_ref() != Some(to) {
            return Err(disagrees(format!("the cursor of {source} stands elsewhere")));
        }
    }
    Ok(())
}

/// Holds the lowest key hashes above a bound, as many as there is room for.
struct KeySieve {
    above: Option<u128>,
    held: Vec<(u128, u64)>,
    /// Hashes above this one were left for the next pass.
    cut: Option<u128>,
}

impl KeySieve {
    fn new(above: Option<u128>) -> KeySieve {
        KeySieve { above, held: Vec::new(), cut: None }
    }

    fn add(&mut self, KeyHash(hash): KeyHash, sequence: u64) {
        if self.above.is_some_and(|above| hash <= above) || self.cut.is_some_and(|cut| hash > cut) {
            return;
        }
        self.held.push((hash, sequence));
        if self.held.len() >= 2 * KEYS_HELD {
            // All with one hash stay together: none is cut off from its like.
            let (_, middle, _) = self.held.select_nth_unstable(KEYS_HELD);
            let cut = middle.0;
            self.held.retain(|(hash, _)| *hash <= cut);
            self.cut = Some(cut);
        }
    }
}

/// Looks for a key that comes twice, in as many passes as memory asks for.
fn find_repeated(
    store: &dyn CommitStore,
    stretch: Stretch,
    first: KeySieve,
    mut keys_of: impl FnMut(&Body<'_>, &mut dyn FnMut(KeyHash, u64)),
) -> Result<(), VerifyError> {
    let mut sieve = first;
    loop {
        sieve.held.sort_unstable();
        let mut twice = sieve.held.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        if let Some(pair) = twice.next() {
            let what = format!("its key stands at sequence {} already", pair[0].1);
            return Err(Fault { sequence: pair[1].1, file: PathBuf::new(), offset: 0, what }.into());
        }
        let Some(cut) = sieve.cut else { return Ok(()) };
        let mut next = KeySieve::new(Some(cut));
        scan(store, stretch, |body| {
            keys_of(body, &mut |hash, sequence| next.add(hash, sequence));
            Ok(())
        })?;
        sieve = next;
    }
}
