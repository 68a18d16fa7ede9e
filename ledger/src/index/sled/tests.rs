//! The index in sled answers as the plain one does, in bounded memory, and never stands in the way of opening.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::keys::Limits;
use super::{IndexFound, SledIndex};
use crate::index::plain::PlainIndex;
use crate::index::{Direction, Index, IndexBatch, IndexError, KeyHash, Postings, Snapshots};

fn open_with(dir: &Path, limits: Limits) -> Result<(SledIndex, IndexFound), IndexError> {
    SledIndex::open_with(dir, 8 << 20, limits)
}

fn small() -> Limits {
    Limits { young_max: 16, filter_bytes_max: 1 << 20 }
}

/// What a test adds: by record its stream and whether it has a key, then commit keys and cursors.
#[derive(Clone, Debug)]
struct Step {
    records: Vec<(u8, bool)>,
    commit_key: bool,
    cursor: Option<(u8, u8)>,
    skip: u32,
}

fn step() -> impl Strategy<Value = Step> {
    (
        prop::collection::vec((any::<u8>().prop_map(|stream| stream % 6), any::<bool>()), 1..30),
        any::<bool>(),
        prop::option::of(any::<(u8, u8)>()),
        0u32..40_000,
    )
        .prop_map(|(records, commit_key, cursor, skip)| Step { records, commit_key, cursor, skip })
}

fn note_key(batch: &mut IndexBatch, hash: KeyHash, sequence: u64) {
    if let Some(earlier) = batch.keys.insert(hash, sequence) {
        batch.keys_met.push((hash, earlier));
    }
}

fn fill_key(sequence: u64) -> KeyHash {
    KeyHash(u128::from_le_bytes(*blake3::hash(&sequence.to_be_bytes()).as_bytes().first_chunk().unwrap()))
}

fn stream_name(stream: u8) -> String {
    format!("portfolio-{stream}")
}

/// Turns steps into batches. Between two records of a step the sequence may jump, as it does when the records
/// between them belong to a stream that is not looked at.
struct Batches {
    next: u64,
    versions: [u64; 6],
}

impl Batches {
    fn new() -> Batches {
        Batches { next: 1, versions: [0; 6] }
    }

    fn batch(&mut self, step: &Step) -> IndexBatch {
        let mut batch = IndexBatch { from: self.next, ..IndexBatch::default() };
        for (stream, keyed) in &step.records {
            self.next += u64::from(step.skip);
            let sequence = self.next;
            self.next += 1;
            let version = &mut self.versions[usize::from(*stream)];
            *version += 1;
            let name: Arc<str> = stream_name(*stream).into();
            let fresh = || Postings { first_version: *version, sequences: Vec::new() };
            batch.streams.entry(name).or_insert_with(fresh).sequences.push(sequence);
            if *keyed {
                note_key(&mut batch, KeyHash::of(&format!("key {sequence}")), sequence);
            }
            batch.to = sequence;
        }
        if step.commit_key {
            batch.commit_keys.insert(KeyHash::of(&format!("commit {}", batch.to)), batch.to);
        }
        if let Some((source, to)) = step.cursor {
            batch.cursors.insert(format!("source {}", source % 3).into(), vec![to].into());
        }
        batch
    }
}

fn alike(sled: &SledIndex, plain: &PlainIndex, probe: u64) {
    assert_eq!(sled.applied(), plain.applied());
    assert_eq!(sled.totals().unwrap(), plain.totals().unwrap());
    for stream in 0..7 {
        let name = stream_name(stream);
        let version = plain.stream_version(&name).unwrap();
        assert_eq!(sled.stream_version(&name).unwrap(), version);
        for direction in [Direction::Forward, Direction::Backward] {
            for from in [0, 1, probe % (version.unwrap_or(1) + 2), version.unwrap_or(0), u64::MAX] {
                for limit in [0, 1, 7, usize::MAX] {
                    assert_eq!(
                        sled.stream_sequences(&name, from, limit, direction).unwrap(),
                        plain.stream_sequences(&name, from, limit, direction).unwrap(),
                        "{name} from {from}, at most {limit}, {direction:?}"
                    );
                }
            }
        }
    }
    for source in 0..4 {
        let source = format!("source {source}");
        assert_eq!(sled.cursor(&source).unwrap(), plain.cursor(&source).unwrap());
    }
}

fn candidates(index: &dyn Index, key: &str) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let (mut records, mut commits) = (Vec::new(), Vec::new());
    index.key_candidates(KeyHash::of(key), &mut records).unwrap();
    index.commit_candidates(KeyHash::of(key), &mut commits).unwrap();
    (records.into_iter().collect(), commits.into_iter().collect())
}

fn keys_alike(sled: &SledIndex, plain: &PlainIndex, to: u64) {
    for at in (1..=to).filter(|at| to < 3_000 || at % 997 == 0).chain(to.saturating_sub(200)..to + 3) {
        for key in [format!("key {at}"), format!("commit {at}")] {
            assert_eq!(candidates(sled, &key), candidates(plain, &key), "{key}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn it_answers_as_the_plain_index_does(
        steps in prop::collection::vec(step(), 1..25),
        reopen_at in 0usize..25,
        probe in any::<u64>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut sled, found) = open_with(dir.path(), small()).unwrap();
        prop_assert_eq!(found, IndexFound::Nothing);
        let (plain, mut batches) = (PlainIndex::new(), Batches::new());
        for (at, step) in steps.iter().enumerate() {
            let batch = batches.batch(step);
            sled.apply(&batch).unwrap();
            plain.apply(&batch).unwrap();
            if at == reopen_at {
                drop(sled);
                let (again, found) = open_with(dir.path(), small()).unwrap();
                prop_assert_eq!(found, IndexFound::Index);
                sled = again;
            }
        }
        alike(&sled, &plain, probe);
        keys_alike(&sled, &plain, plain.applied());
    }
}

#[test]
fn keys_are_found_through_runs_and_merges_and_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let (mut sled, _) = open_with(dir.path(), small()).unwrap();
    let (plain, mut batches) = (PlainIndex::new(), Batches::new());
    for round in 0..120u8 {
        let records = (0..round % 23 + 1).map(|at| (at % 6, true)).collect();
        let batch = batches.batch(&Step { records, commit_key: true, cursor: None, skip: 0 });
        sled.apply(&batch).unwrap();
        plain.apply(&batch).unwrap();
        if round % 40 == 39 {
            keys_alike(&sled, &plain, plain.applied());
            drop(sled);
            sled = open_with(dir.path(), small()).unwrap().0;
        }
    }
    let runs = sled.applying.lock().unwrap().applying.keys.runs.len();
    assert!((2..20).contains(&runs), "{runs} runs: merging keeps them few");
    keys_alike(&sled, &plain, plain.applied());
    assert_eq!(sled.totals().unwrap(), plain.totals().unwrap());
}

#[test]
fn runs_are_merged_step_by_step_and_nothing_is_left_of_merges_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { young_max: 1_000, filter_bytes_max: 1 << 20 };
    let mut sled = open_with(dir.path(), limits).unwrap().0;
    let (mut next, mut most_under_way, mut most_runs) = (1, 0, 0);
    for round in 0..150 {
        let mut batch = IndexBatch { from: next, to: next + 999, ..IndexBatch::default() };
        for sequence in next..next + 1_000 {
            note_key(&mut batch, fill_key(sequence), sequence);
        }
        next += 1_000;
        sled.apply(&batch).unwrap();
        {
            let work = sled.applying.lock().unwrap();
            most_under_way = most_under_way.max(work.merging.len());
            most_runs = most_runs.max(work.applying.keys.runs.len());
        }
        if round % 29 == 28 {
            drop(sled);
            sled = open_with(dir.path(), limits).unwrap().0;
        }
    }
    assert!(most_under_way > 0, "some merges take several batches");
    assert!(most_runs <= 28, "{most_runs} runs: at most seven of each size");
    let mut found = Vec::new();
    for sequence in (1..next).step_by(37) {
        found.clear();
        sled.key_candidates(fill_key(sequence), &mut found).unwrap();
        assert_eq!(found, [sequence]);
    }
    drop(sled);
    let sled = open_with(dir.path(), limits).unwrap().0;
    assert_eq!(sled.totals().unwrap().keys, 150_000);
    let (sled_keys, _) = sled.store.size().unwrap();
    assert!(sled_keys < 150_000 / 340 + 200, "{sled_keys} sled keys: values of runs that are gone are left");
}

#[test]
fn one_hash_may_stand_for_several_sequences() {
    let dir = tempfile::tempdir().unwrap();
    let (sled, _) = open_with(dir.path(), small()).unwrap();
    let hash = KeyHash(7);
    for sequence in 1..=900 {
        let mut batch = IndexBatch { from: sequence, to: sequence, ..IndexBatch::default() };
        note_key(&mut batch, hash, sequence);
        sled.apply(&batch).unwrap();
    }
    let mut found = Vec::new();
    sled.key_candidates(hash, &mut found).unwrap();
    found.sort_unstable();
    assert_eq!(found, (1..=900).collect::<Vec<u64>>());
}

#[test]
fn a_batch_that_does_not_follow_on_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (sled, _) = open_with(dir.path(), small()).unwrap();
    let mut batches = Batches::new();
    let first =
        batches.batch(&Step { records: vec![(0, true); 5], commit_key: false, cursor: None, skip: 0 });
    let second =
        batches.batch(&Step { records: vec![(0, true); 5], commit_key: false, cursor: None, skip: 0 });
    assert!(sled.apply(&second).is_err());
    sled.apply(&first).unwrap();
    assert!(sled.apply(&first).is_err());
    sled.apply(&second).unwrap();
    assert_eq!(sled.stream_version("portfolio-0").unwrap(), Some(10));
    assert_eq!(sled.applied(), 10);
}

/// Keyed fills over a thousand portfolios, in batches as they come from an import.
fn fills(index: &SledIndex, batches: u64, size: u64) {
    for batch in 0..batches {
        let from = batch * size + 1;
        let mut added = IndexBatch { from, to: from + size - 1, ..IndexBatch::default() };
        for sequence in from..from + size {
            let stream = blake3::hash(&sequence.to_le_bytes()).as_bytes()[0];
            let name: Arc<str> = format!("portfolio-{stream:04}").into();
            let have = index.stream_version(&name).unwrap().unwrap_or(0);
            let fresh = || Postings { first_version: have + 1, sequences: Vec::new() };
            added.streams.entry(name).or_insert_with(fresh).sequences.push(sequence);
            note_key(&mut added, fill_key(sequence), sequence);
        }
        index.apply(&added).unwrap();
    }
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn memory_disk_and_sled_keys_stay_bounded() {
    const EVENTS: u64 = 400_000;
    let dir = tempfile::tempdir().unwrap();
    let (sled, _) = open_with(dir.path(), Limits { young_max: 8_192, filter_bytes_max: 1 << 20 }).unwrap();
    let before = resident_bytes();
    fills(&sled, EVENTS / 10_000, 10_000);
    let (sled_keys, disk) = sled.store.size().unwrap();
    let memory = sled.memory() as u64;
    let grown = resident_bytes().saturating_sub(before);
    assert_eq!(sled.totals().unwrap().keys, EVENTS);
    assert!(sled_keys as u64 <= EVENTS / 50, "{sled_keys} sled keys for {EVENTS} events");
    assert!(disk <= EVENTS * 160, "{disk} bytes on disk: {} an event", disk / EVENTS);
    assert!(memory <= 4 << 20, "{memory} bytes held by the index itself");
    // Other tests run beside this one; what must not happen is gigabytes.
    assert!(grown <= 500 << 20, "the process grew by {grown} bytes");
}

#[test]
fn filters_never_take_more_memory_than_they_may() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { young_max: 1_000, filter_bytes_max: 8 * 1024 };
    let (sled, _) = open_with(dir.path(), limits).unwrap();
    fills(&sled, 30, 1_000);
    assert!(sled.memory() < 200 * 1024, "{} bytes", sled.memory());
    let mut found = Vec::new();
    for sequence in [1u64, 15_000, 30_000] {
        sled.key_candidates(fill_key(sequence), &mut found).unwrap();
    }
    assert_eq!(found, [1, 15_000, 30_000]);
}

fn filled(dir: &Path) {
    let (sled, _) = open_with(dir, small()).unwrap();
    fills(&sled, 4, 500);
    sled.put("books", 9, b"state").unwrap();
}

#[test]
fn an_index_not_known_to_be_whole_is_moved_aside() {
    for state in [None, Some(""), Some("open 00000000-0000-0000-0000-000000000000\n"), Some("closing\n")] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        match state {
            None => fs::remove_file(dir.path().join("STATE")).unwrap(),
            Some(state) => fs::write(dir.path().join("STATE"), state).unwrap(),
        }
        let (sled, found) = open_with(dir.path(), small()).unwrap();
        let IndexFound::Broken { moved_to, .. } = found else { panic!("{state:?} was trusted") };
        assert!(moved_to.exists());
        assert_eq!(sled.applied(), 0);
        assert_eq!(sled.get("books").unwrap(), None);
        fills(&sled, 1, 100);
    }
}

#[test]
fn an_index_left_open_by_a_process_that_died_is_used_under_the_same_boot() {
    let dir = tempfile::tempdir().unwrap();
    let aside = tempfile::tempdir().unwrap();
    let (sled, _) = open_with(dir.path(), small()).unwrap();
    fills(&sled, 4, 500);
    sled.flush().unwrap();
    // As the files stand while it is open.
    copy(dir.path(), aside.path());
    let (again, found) = open_with(aside.path(), small()).unwrap();
    assert_eq!(found, IndexFound::Index);
    assert_eq!(again.applied(), 2_000);
    assert_eq!(again.totals().unwrap(), sled.totals().unwrap());
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What answers after damage must be right; where it cannot be, the index says that it is broken.
#[test]
fn a_damaged_file_is_noticed_or_does_no_harm() {
    let whole = tempfile::tempdir().unwrap();
    filled(whole.path());
    let plain = {
        let (sled, _) = open_with(whole.path(), small()).unwrap();
        (sled.applied(), sled.totals().unwrap())
    };
    let mut seed = 0x1234_5678_9abc_def0u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut moved = 0;
    for round in 0..60 {
        let dir = tempfile::tempdir().unwrap();
        copy(whole.path(), dir.path());
        let files: Vec<_> = fs::read_dir(dir.path().join("sled"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file() && fs::metadata(path).unwrap().len() > 0)
            .collect();
        let path = &files[usize::try_from(random(files.len() as u64)).unwrap()];
        let mut bytes = fs::read(path).unwrap();
        match round % 3 {
            0 => {
                let at = random(bytes.len() as u64 * 8);
                bytes[usize::try_from(at / 8).unwrap()] ^= 1 << (at % 8);
            }
            1 => bytes.truncate(usize::try_from(random(bytes.len() as u64)).unwrap()),
            _ => {
                let at = usize::try_from(random(bytes.len() as u64)).unwrap();
                let end = bytes.len().min(at + 4_096);
                bytes[at..end].fill(0xa5);
            }
        }
        fs::write(path, bytes).unwrap();
        let (sled, found) = open_with(dir.path(), small()).unwrap();
        if let IndexFound::Broken { .. } = found {
            moved += 1;
            assert_eq!(sled.applied(), 0);
        } else if let Ok(totals) = sled.totals() {
            let older = sled.applied() < plain.0;
            assert!(older || totals == plain.1, "round {round}: {totals:?} where {:?} was stored", plain.1);
        }
    }
    std::panic::set_hook(hook);
    assert!(moved > 0, "no damage was ever noticed on opening");
}

#[test]
fn snapshots_are_replaced_whole_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..3_000_000u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    {
        let (sled, _) = open_with(dir.path(), small()).unwrap();
        let snapshots = sled.snapshots();
        snapshots.put("books/1", 5, b"one").unwrap();
        snapshots.put("books/2", 6, &large).unwrap();
        snapshots.put("books/2", 7, &large[1..]).unwrap();
        snapshots.put("views", 8, b"").unwrap();
        snapshots.put("gone", 8, b"gone").unwrap();
        snapshots.remove("gone").unwrap();
        snapshots.remove("never").unwrap();
    }
    let (sled, _) = open_with(dir.path(), small()).unwrap();
    let snapshots = sled.snapshots();
    assert_eq!(snapshots.get("books/1").unwrap(), Some((5, b"one".to_vec())));
    assert_eq!(snapshots.get("books/2").unwrap(), Some((7, large[1..].to_vec())));
    assert_eq!(snapshots.get("views").unwrap(), Some((8, Vec::new())));
    assert_eq!(snapshots.get("gone").unwrap(), None);
    assert_eq!(snapshots.names("books/").unwrap(), ["books/1", "books/2"]);
    assert_eq!(snapshots.names("").unwrap(), ["books/1", "books/2", "views"]);
    let parts = sled.store.size().unwrap().0;
    assert!(parts < 3_000_000 / 16_384 + 20, "{parts} sled keys: what was replaced is gone");
}

#[test]
fn starting_over_leaves_an_empty_index_and_the_old_one_aside() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let (sled, _) = open_with(dir.path(), small()).unwrap();
    let (sled, moved_to) = sled.start_over().unwrap();
    assert!(moved_to.exists());
    assert_eq!((sled.applied(), sled.totals().unwrap().keys), (0, 0));
    fills(&sled, 1, 100);
    drop(sled);
    let (sled, found) = open_with(dir.path(), small()).unwrap();
    assert_eq!((found, sled.applied()), (IndexFound::Index, 100));
}
