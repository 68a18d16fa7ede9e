//! Which sequence a key's hash belongs to: a small map of young entries, and sorted runs of older ones, each with
//! a filter, merged as they grow.
//!
//! An entry is 24 bytes and stands in a value of a few kilobytes with many others: sled never sees a single key.

use std::collections::HashMap;
use std::sync::Arc;

use sled::{Batch, IVec};

use super::filter::Filter;
use super::store::{Of, Store};
use crate::bytes::{Reader, Short};
use crate::index::{IndexBatch, IndexError, KeyHash, KeyMap};

/// Bytes of a stored entry: the hash, then the sequence doubled, plus one for the key of a commit; big-endian.
const ENTRY_BYTES: usize = 16 + 8;

/// Entries in one value of a run.
pub(super) const CHUNK_ENTRIES: usize = 340;

/// A value of young entries is extended by the next batch until it holds this many.
const YOUNG_VALUE_ENTRIES: usize = 170;

/// Bytes in one value of a run's guide.
const GUIDE_BYTES: usize = 8 * 1024;

/// Values written in one batch while runs are merged.
const MERGE_BATCH_VALUES: usize = 64;

/// Values removed in one batch when the index is opened.
const REMOVED_AT_ONCE: usize = 256;

/// So many runs of about one size are merged into one of the next.
const FAN_IN: usize = 4;

/// Filter bits for each entry, while the filters' memory allows.
const FILTER_BITS: u64 = 10;

const YOUNG: u8 = 1;
const RUN: u8 = 2;
const GUIDE: u8 = 3;

/// What the set is allowed to hold in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Entries that are kept in a map before they become a run.
    pub(super) young_max: usize,
    /// Bytes of all filters together. Runs that would exceed them get fewer bits an entry.
    pub(super) filter_bytes_max: u64,
}

/// Which keys an entry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Record,
    Commit,
}

fn tagged(sequence: u64, kind: Kind) -> u64 {
    sequence << 1 | u64::from(kind == Kind::Commit)
}

fn untagged(tagged: u64) -> (u64, Kind) {
    (tagged >> 1, if tagged & 1 == 0 { Kind::Record } else { Kind::Commit })
}

type Entry = (u128, u64);

fn write_entry((hash, tagged): Entry, out: &mut Vec<u8>) {
    out.extend_from_slice(&hash.to_be_bytes());
    out.extend_from_slice(&tagged.to_be_bytes());
}

fn entries(bytes: &[u8]) -> Result<impl ExactSizeIterator<Item = Entry>, Short> {
    let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() {
        return Err(Short);
    }
    Ok(entries.iter().map(|entry| {
        let (hash, tagged) = entry.split_at(16);
        let hash = hash.first_chunk().map_or(0, |hash| u128::from_be_bytes(*hash));
        (hash, tagged.first_chunk().map_or(0, |tagged| u64::from_be_bytes(*tagged)))
    }))
}

fn upper(hash: u128) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash.to_be_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// What the manifest says of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunHead {
    pub(super) id: u32,
    pub(super) entries: u64,
    pub(super) chunks: u32,
    pub(super) guide_values: u32,
}

/// Sorted entries in sled, and what is held in memory to find one of them: the first hash of each value, and the
/// filter.
#[derive(Debug)]
struct Run {
    head: RunHead,
    /// Upper halves of the first hashes.
    fences: Vec<u64>,
    filter: Filter,
}

impl Run {
    fn memory(&self) -> usize {
        self.fences.capacity() * 8 + self.filter.bytes()
    }

    /// The runs of one tier are of about one size, and each tier's `FAN_IN` times that of the one before.
    fn tier(&self, young_max: usize) -> u32 {
        (self.head.entries / young_max.max(1) as u64).max(1).ilog(FAN_IN as u64)
    }
}

fn value_key(kind: u8, run: u32, number: u32) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..5].copy_from_slice(&run.to_be_bytes());
    key[5..].copy_from_slice(&number.to_be_bytes());
    key
}

fn young_key(number: u32) -> [u8; 5] {
    let mut key = [YOUNG; 5];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// What readers see of the set.
#[derive(Debug, Default)]
pub(super) struct Keys {
    young: KeyMap,
    /// Entries whose hash stands in `young` already.
    young_met: Vec<(KeyHash, u64)>,
    runs: Vec<Arc<Run>>,
}

/// What the one that applies batches knows besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// Numbers of the values that hold young entries: from the first up to, not including, the next.
    pub(super) young_first: u32,
    pub(super) young_next: u32,
    pub(super) run_next: u32,
    pub(super) runs: Vec<RunHead>,
    /// Runs whose values are still to be removed: half-made, or merged into another.
    pub(super) doomed: Vec<u32>,
    /// The last value of young entries, as far as it may be extended.
    last_young: Vec<u8>,
}

/// What becomes of the set once the batch prepared for it has been applied.
pub(super) enum Change {
    /// These were added to the young entries.
    Young(Vec<Entry>),
    /// The young entries became a run.
    Run(Box<RunInMemory>),
}

/// A run just prepared.
pub(super) struct RunInMemory(Arc<Run>);

fn all_entries(batch: &IndexBatch) -> Vec<Entry> {
    let records = batch.all_keys().map(|(hash, sequence)| (hash.0, tagged(sequence, Kind::Record)));
    let commits = batch.all_commit_keys().map(|(hash, sequence)| (hash.0, tagged(sequence, Kind::Commit)));
    records.chain(commits).collect()
}

impl Keys {
    /// Reads the set as the manifest describes it, and removes what an interrupted merge left.
    pub(super) fn open(store: &Store, ledger: &mut Ledger) -> Result<Keys, IndexError> {
        for run in std::mem::take(&mut ledger.doomed) {
            while !remove_some(store, run, REMOVED_AT_ONCE)? {}
        }
        let mut keys = Keys::default();
        for number in ledger.young_first..ledger.young_next {
            let value = store.get(Of::Index, &young_key(number))?;
            let value = value.ok_or_else(|| store.broken("young keys are missing"))?;
            for entry in entries(&value).map_err(|_| store.broken("young keys end within one"))? {
                keys.add_young(entry);
            }
            let extendable =
                number + 1 == ledger.young_next && value.len() < YOUNG_VALUE_ENTRIES * ENTRY_BYTES;
            if extendable {
                ledger.last_young = value.to_vec();
            }
        }
        for head in &ledger.runs {
            let mut guide = Vec::new();
            for number in 0..head.guide_values {
                let value = store.get(Of::Index, &value_key(GUIDE, head.id, number))?;
                guide.extend_from_slice(&value.ok_or_else(|| store.broken("a run's guide is missing"))?);
            }
            let fences = guide.get(..head.chunks as usize * 8).map(|fences| {
                fences.as_chunks().0.iter().map(|fence| u64::from_be_bytes(*fence)).collect::<Vec<u64>>()
            });
            let filter = guide.get(head.chunks as usize * 8..).and_then(Filter::read);
            match (fences, filter) {
                (Some(fences), Some(filter)) if head.chunks > 0 => {
                    keys.runs.push(Arc::new(Run { head: *head, fences, filter }));
                }
                _ => return Err(store.broken("a run's guide is not whole")),
            }
        }
        Ok(keys)
    }

    fn add_young(&mut self, (hash, tagged): Entry) {
        if let Some(earlier) = self.young.insert(KeyHash(hash), tagged) {
            self.young_met.push((KeyHash(hash), earlier));
        }
    }

    fn young_entries(&self) -> impl Iterator<Item = Entry> {
        let met = self.young_met.iter().copied();
        self.young
            .iter()
            .map(|(hash, tagged)| (*hash, *tagged))
            .chain(met)
            .map(|(hash, tagged)| (hash.0, tagged))
    }

    fn young_count(&self) -> usize {
        self.young.len() + self.young_met.len()
    }

    /// Bytes in memory, nearly.
    pub(super) fn memory(&self) -> usize {
        let maps =
            self.young.capacity() * (size_of::<Entry>() + 1) + self.young_met.capacity() * size_of::<Entry>();
        maps + self.runs.iter().map(|run| run.memory()).sum::<usize>()
    }

    fn filter_bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.filter.bytes() as u64).sum()
    }

    /// Adds to `out` the sequences under `hash`.
    pub(super) fn find(
        &self,
        store: &Store,
        hash: KeyHash,
        kind: Kind,
        out: &mut Vec<u64>,
    ) -> Result<(), IndexError> {
        let mut take = |entry: u64| {
            let (sequence, of) = untagged(entry);
            if of == kind {
                out.push(sequence);
            }
        };
        self.young.get(&hash).copied().into_iter().for_each(&mut take);
        self.young_met.iter().filter(|(other, _)| *other == hash).for_each(|(_, entry)| take(*entry));
        for run in &self.runs {
            if !run.filter.may_hold(hash.0) {
                continue;
            }
            // Entries of one hash may lie across the border of two values.
            let half = upper(hash.0);
            let start = run.fences.partition_point(|fence| *fence < half).saturating_sub(1);
            for (number, fence) in (0u32..).zip(&run.fences).skip(start) {
                if *fence > half {
                    break;
                }
                let value = chunk(store, run.head.id, number)?;
                for entry in
                    matching(&value, hash.0).map_err(|_| store.broken("a run's keys end within one"))?
                {
                    take(entry);
                }
            }
        }
        Ok(())
    }

    /// Puts into `batch` all that the keys of `added` change, and the change that then has to be made here.
    pub(super) fn prepare(
        &self,
        added: &IndexBatch,
        limits: Limits,
        ledger: &mut Ledger,
        batch: &mut Batch,
    ) -> Option<Change> {
        let mut new = all_entries(added);
        if new.is_empty() {
            return None;
        }
        if self.young_count() + new.len() < limits.young_max {
            for entry in &new {
                if ledger.last_young.is_empty() {
                    ledger.young_next += 1;
                }
                write_entry(*entry, &mut ledger.last_young);
                if ledger.last_young.len() >= YOUNG_VALUE_ENTRIES * ENTRY_BYTES {
                    batch.insert(&young_key(ledger.young_next - 1), std::mem::take(&mut ledger.last_young));
                }
            }
            if !ledger.last_young.is_empty() {
                batch.insert(&young_key(ledger.young_next - 1), ledger.last_young.clone());
            }
            return Some(Change::Young(new));
        }
        new.extend(self.young_entries());
        new.sort_unstable();
        for number in ledger.young_first..ledger.young_next {
            batch.remove(&young_key(number));
        }
        ledger.young_first = ledger.young_next;
        ledger.last_young.clear();
        let mut maker = RunMaker::new(ledger.run_next, new.len() as u64, limits, self.filter_bytes());
        ledger.run_next += 1;
        for entry in new {
            maker.push(entry);
            if maker.is_chunk_full() {
                maker.close_chunk(batch);
            }
        }
        let run = maker.finish(batch);
        ledger.runs.push(run.head);
        Some(Change::Run(Box::new(RunInMemory(Arc::new(run)))))
    }

    /// Makes a change whose batch has been applied.
    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::Young(entries) => entries.into_iter().for_each(|entry| self.add_young(entry)),
            Change::Run(run) => {
                self.young.clear();
                self.young_met.clear();
                self.runs.push(run.0);
            }
        }
    }

    /// Runs that are to be merged into one, if any tier has as many as that beside those under way.
    pub(super) fn due(&self, limits: Limits, under_way: &[Merging]) -> Option<Due> {
        let taken =
            |run: &Run| under_way.iter().any(|merging| merging.gone().any(|gone| gone == run.head.id));
        let mut tiers: HashMap<u32, Vec<Arc<Run>>> = HashMap::new();
        for run in self.runs.iter().filter(|run| !taken(run)) {
            tiers.entry(run.tier(limits.young_max)).or_default().push(Arc::clone(run));
        }
        let mut runs = tiers.into_values().find(|runs| runs.len() >= FAN_IN)?;
        runs.truncate(FAN_IN);
        let going: u64 = runs.iter().map(|run| run.filter.bytes() as u64).sum();
        Some(Due { runs, filter_bytes_others: self.filter_bytes() - going })
    }

    /// Puts a merged run in the place of those it was made of.
    pub(super) fn replace(&mut self, gone: &[u32], merged: RunInMemory) {
        self.runs.retain(|run| !gone.contains(&run.head.id));
        self.runs.push(merged.0);
    }

    /// Counts the entries of both kinds by reading all of them.
    pub(super) fn count(&self, store: &Store) -> Result<(u64, u64), IndexError> {
        let mut counts = (0, 0);
        self.each(store, |_, _, kind| match kind {
            Kind::Record => counts.0 += 1,
            Kind::Commit => counts.1 += 1,
        })?;
        Ok(counts)
    }

    /// Shows every entry, in no order.
    pub(super) fn each(
        &self,
        store: &Store,
        mut visit: impl FnMut(KeyHash, u64, Kind),
    ) -> Result<(), IndexError> {
        let mut show = |(hash, tagged): Entry| {
            let (sequence, kind) = untagged(tagged);
            visit(KeyHash(hash), sequence, kind);
        };
        self.young_entries().for_each(&mut show);
        for run in &self.runs {
            for number in 0..run.head.chunks {
                let value = chunk(store, run.head.id, number)?;
                let entries = entries(&value).map_err(|_| store.broken("a run's keys end within one"))?;
                entries.for_each(&mut show);
            }
        }
        Ok(())
    }
}

fn chunk(store: &Store, run: u32, number: u32) -> Result<IVec, IndexError> {
    let value = store.get(Of::Index, &value_key(RUN, run, number))?;
    value.ok_or_else(|| store.broken("a run's keys are missing"))
}

/// The tagged sequences under `hash` in a run's value.
fn matching(value: &[u8], hash: u128) -> Result<impl Iterator<Item = u64>, Short> {
    let (entries, rest) = value.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() {
        return Err(Short);
    }
    let wanted = hash.to_be_bytes();
    let start = entries.partition_point(|entry| entry[..16] < wanted[..]);
    let found = entries[start..].iter().take_while(move |entry| entry[..16] == wanted[..]);
    Ok(found.map(|entry| entry[16..].first_chunk().map_or(0, |tagged| u64::from_be_bytes(*tagged))))
}

/// Removes up to `values_max` values of a run to which nothing refers; true when none is left.
pub(super) fn remove_some(store: &Store, run: u32, values_max: usize) -> Result<bool, IndexError> {
    for kind in [RUN, GUIDE] {
        if !store.remove_some(Of::Index, &value_key(kind, run, 0)[..5], values_max)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Cuts sorted entries into values and builds their fences and filter.
#[derive(Debug)]
struct RunMaker {
    run: Run,
    chunk: Vec<u8>,
}

impl RunMaker {
    fn new(id: u32, entries: u64, limits: Limits, filter_bytes_others: u64) -> RunMaker {
        let room = limits.filter_bytes_max.saturating_sub(filter_bytes_others).saturating_mul(8);
        let bits = (room / entries.max(1)).min(FILTER_BITS);
        let head = RunHead { id, entries: 0, chunks: 0, guide_values: 0 };
        let run = Run { head, fences: Vec::new(), filter: Filter::new(entries, bits) };
        RunMaker { run, chunk: Vec::with_capacity(CHUNK_ENTRIES * ENTRY_BYTES) }
    }

    fn push(&mut self, entry: Entry) {
        if self.chunk.is_empty() {
            self.run.fences.push(upper(entry.0));
        }
        write_entry(entry, &mut self.chunk);
        self.run.filter.insert(entry.0);
        self.run.head.entries += 1;
    }

    fn is_chunk_full(&self) -> bool {
        self.chunk.len() >= CHUNK_ENTRIES * ENTRY_BYTES
    }

    fn close_chunk(&mut self, batch: &mut Batch) {
        batch.insert(&value_key(RUN, self.run.head.id, self.run.head.chunks), self.chunk.as_slice());
        self.run.head.chunks += 1;
        self.chunk.clear();
    }

    fn finish(mut self, batch: &mut Batch) -> Run {
        if !self.chunk.is_empty() {
            self.close_chunk(batch);
        }
        let mut guide: Vec<u8> = self.run.fences.iter().flat_map(|fence| fence.to_be_bytes()).collect();
        guide.extend(self.run.filter.write());
        for part in guide.chunks(GUIDE_BYTES) {
            batch.insert(&value_key(GUIDE, self.run.head.id, self.run.head.guide_values), part);
            self.run.head.guide_values += 1;
        }
        self.run
    }
}

/// Several runs that are to become one.
pub(super) struct Due {
    runs: Vec<Arc<Run>>,
    filter_bytes_others: u64,
}

/// Several runs becoming one, a step at a time, so that no batch has to wait for all of it. Nothing refers to the
/// new run before it is whole.
#[derive(Debug)]
pub(super) struct Merging {
    runs: Vec<Arc<Run>>,
    sources: Vec<Source>,
    maker: RunMaker,
}

impl Merging {
    pub(super) fn begin(due: Due, store: &Store, id: u32, limits: Limits) -> Result<Merging, IndexError> {
        let count = due.runs.iter().map(|run| run.head.entries).sum();
        let maker = RunMaker::new(id, count, limits, due.filter_bytes_others);
        let sources = due.runs.iter().map(|run| Source::open(store, run.head)).collect::<Result<_, _>>()?;
        Ok(Merging { runs: due.runs, sources, maker })
    }

    /// Numbers of the runs that are merged.
    pub(super) fn gone(&self) -> impl Iterator<Item = u32> {
        self.runs.iter().map(|run| run.head.id)
    }

    /// Number of the run that they become.
    pub(super) fn id(&self) -> u32 {
        self.maker.run.head.id
    }

    /// Merges about so many entries more, a bounded number of values in memory at a time; true when that was all.
    pub(super) fn step(&mut self, store: &Store, entries: usize) -> Result<bool, IndexError> {
        let (mut batch, mut values) = (Batch::default(), 0);
        for _ in 0..entries {
            let sources = self.sources.iter().enumerate();
            let least = sources.filter_map(|(at, source)| Some((source.next?, at))).min();
            let Some((entry, at)) = least else {
                if values > 0 {
                    store.apply(Of::Index, batch)?;
                }
                return Ok(true);
            };
            self.sources[at].advance(store)?;
            self.maker.push(entry);
            if self.maker.is_chunk_full() {
                self.maker.close_chunk(&mut batch);
                values += 1;
                if values == MERGE_BATCH_VALUES {
                    store.apply(Of::Index, std::mem::take(&mut batch))?;
                    values = 0;
                }
            }
        }
        if values > 0 {
            store.apply(Of::Index, batch)?;
        }
        Ok(false)
    }

    /// The merged run, with the batch that makes it whole, for the manifest to go with it.
    pub(super) fn finish(self) -> (RunHead, RunInMemory, Batch) {
        let mut batch = Batch::default();
        let run = self.maker.finish(&mut batch);
        (run.head, RunInMemory(Arc::new(run)), batch)
    }
}

/// One run being merged: its entries, value by value.
#[derive(Debug)]
struct Source {
    head: RunHead,
    number: u32,
    value: std::vec::IntoIter<Entry>,
    next: Option<Entry>,
}

impl Source {
    fn open(store: &Store, head: RunHead) -> Result<Source, IndexError> {
        let mut source = Source { head, number: 0, value: Vec::new().into_iter(), next: None };
        source.advance(store)?;
        Ok(source)
    }

    fn advance(&mut self, store: &Store) -> Result<(), IndexError> {
        self.next = self.value.next();
        while self.next.is_none() && self.number < self.head.chunks {
            let value = chunk(store, self.head.id, self.number)?;
            let read = entries(&value).map_err(|_| store.broken("a run's keys end within one"))?;
            self.value = read.collect::<Vec<_>>().into_iter();
            self.number += 1;
            self.next = self.value.next();
        }
        Ok(())
    }
}

/// Reads and writes what the manifest holds of the set.
impl Ledger {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for number in [self.young_first, self.young_next, self.run_next] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        out.extend_from_slice(&count(self.runs.len()));
        for run in &self.runs {
            out.extend_from_slice(&run.id.to_be_bytes());
            out.extend_from_slice(&run.entries.to_be_bytes());
            out.extend_from_slice(&run.chunks.to_be_bytes());
            out.extend_from_slice(&run.guide_values.to_be_bytes());
        }
        out.extend_from_slice(&count(self.doomed.len()));
        for run in &self.doomed {
            out.extend_from_slice(&run.to_be_bytes());
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Ledger, Short> {
        let mut ledger = Ledger::default();
        let mut next = || reader.array::<4>().map(|bytes| u32::from_be_bytes(*bytes));
        (ledger.young_first, ledger.young_next, ledger.run_next) = (next()?, next()?, next()?);
        for _ in 0..next()? {
            let id = next()?;
            let entries = u64::from(next()?) << 32 | u64::from(next()?);
            ledger.runs.push(RunHead { id, entries, chunks: next()?, guide_values: next()? });
        }
        for _ in 0..next()? {
            ledger.doomed.push(next()?);
        }
        Ok(ledger)
    }
}
