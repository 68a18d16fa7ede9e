//! Whatever is appended, however it is interleaved with closing and opening, the ledger says what a plain
//! list of records would.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use daybook_ledger::{
    Append, AppendError, Appended, CommitKey, CursorMove, Direction, Expected, IndexKind, Ledger, NewRecord,
    OnKnown, Options, Record,
};
use proptest::prelude::*;

use crate::common::{TestClock, options};

#[derive(Clone, Debug)]
enum Step {
    Append(AppendPlan),
    /// Sent off one behind the other without waiting: decided while others are staged or in flight.
    Burst(Vec<AppendPlan>),
    Tick(i64),
    Flush,
    Seal,
    Reopen,
    /// Lose the index, and open again.
    LoseIndex,
}

#[derive(Clone, Debug)]
struct AppendPlan {
    records: Vec<RecordPlan>,
    expected: Vec<(u8, ExpectedPlan)>,
    cursor: Option<(u8, u8)>,
    commit_key: Option<(u8, u8)>,
    append_missing: bool,
    /// How many records more, to fill segments.
    bulk: usize,
}

#[derive(Clone, Debug)]
struct RecordPlan {
    stream: u8,
    key: Option<u8>,
    content: u8,
    own_hash: bool,
    payload: Vec<u8>,
    import: bool,
    correlation: Option<u8>,
    occurred_at: i64,
}

#[derive(Clone, Debug)]
enum ExpectedPlan {
    Any,
    NoStream,
    Exists,
    Exactly,
    /// Off by so much.
    Wrong(u64),
}

fn record_plan() -> impl Strategy<Value = RecordPlan> {
    (
        0..6_u8,
        prop::option::weighted(0.5, 0..40_u8),
        0..3_u8,
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..60),
        any::<bool>(),
        prop::option::of(0..3_u8),
        any::<i64>(),
    )
        .prop_map(|(stream, key, content, own_hash, payload, import, correlation, occurred_at)| {
            RecordPlan { stream, key, content, own_hash, payload, import, correlation, occurred_at }
        })
}

fn expected_plan() -> impl Strategy<Value = ExpectedPlan> {
    prop_oneof![
        1 => Just(ExpectedPlan::Any),
        1 => Just(ExpectedPlan::NoStream),
        1 => Just(ExpectedPlan::Exists),
        4 => Just(ExpectedPlan::Exactly),
        1 => (1..4_u64).prop_map(ExpectedPlan::Wrong),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let append = (
        prop::collection::vec(record_plan(), 0..5),
        prop::collection::vec((0..7_u8, expected_plan()), 0..2),
        prop::option::of((0..3_u8, any::<u8>())),
        prop::option::weighted(0.3, (0..6_u8, 0..2_u8)),
        any::<bool>(),
        prop_oneof![8 => Just(0_usize), 1 => 20..140_usize],
    )
        .prop_map(|(records, expected, cursor, commit_key, append_missing, bulk)| AppendPlan {
            records,
            expected,
            cursor,
            commit_key,
            append_missing,
            bulk,
        })
        .boxed();
    prop_oneof![
        20 => append.clone().prop_map(Step::Append),
        6 => prop::collection::vec(append, 2..25).prop_map(Step::Burst),
        2 => (-5..20_i64).prop_map(Step::Tick),
        1 => Just(Step::Flush),
        1 => Just(Step::Seal),
        2 => Just(Step::Reopen),
        1 => Just(Step::LoseIndex),
    ]
}

#[derive(Default)]
struct Model {
    records: Vec<Record>,
    versions: BTreeMap<String, u64>,
    cursors: BTreeMap<String, Vec<u8>>,
    commits: BTreeMap<String, (Appended, [u8; 32])>,
    now: i64,
    last_recorded_at: i64,
}

fn stream_name(stream: u8) -> String {
    format!("stream-{stream}")
}

impl Model {
    fn build(&self, plan: &AppendPlan) -> Append {
        let mut records: Vec<NewRecord> = plan
            .records
            .iter()
            .map(|plan| {
                let mut payload = plan.payload.clone();
                payload.push(plan.content);
                // The content of a keyed record is what its key says, so that equal content comes up at all.
                if plan.key.is_some() {
                    payload = vec![plan.content];
                }
                NewRecord {
                    stream: stream_name(plan.stream).into(),
                    type_id: u16::from(plan.stream),
                    schema_version: 1,
                    codec: 1,
                    occurred_at: plan.occurred_at,
                    actor: format!("actor-{}", plan.stream % 2).into(),
                    source: "model".into(),
                    key: plan.key.map(|key| format!("key-{key}").into()),
                    content_hash: plan.own_hash.then_some([plan.content; 32]),
                    import: plan.import.then_some([9; 16]),
                    correlation: plan.correlation.map(|id| [id; 16]),
                    payload: payload.into(),
                }
            })
            .collect();
        for place in 0..plan.bulk {
            records.push(crate::common::record("bulk", format!("bulk payload number {place}").as_bytes()));
        }
        let expected = plan
            .expected
            .iter()
            .map(|(stream, expected)| {
                let name = stream_name(*stream);
                let actual = self.versions.get(&name).copied().unwrap_or(0);
                let expected = match expected {
                    ExpectedPlan::Any => Expected::Any,
                    ExpectedPlan::NoStream => Expected::NoStream,
                    ExpectedPlan::Exists => Expected::StreamExists,
                    ExpectedPlan::Exactly => Expected::Exactly(actual),
                    ExpectedPlan::Wrong(off) => Expected::Exactly(actual + off),
                };
                (Arc::from(name), expected)
            })
            .collect();
        Append {
            records,
            expected,
            cursors: plan
                .cursor
                .map(|(source, to)| CursorMove {
                    source: format!("source-{source}").into(),
                    to: vec![to].into(),
                })
                .into_iter()
                .collect(),
            commit_key: plan.commit_key.map(|(key, content)| CommitKey {
                key: format!("commit-{key}").into(),
                content_hash: [content; 32],
            }),
            on_known: if plan.append_missing { OnKnown::AppendMissing } else { OnKnown::AllOrNothing },
        }
    }

    /// What the ledger must answer, as text; success changes the model.
    fn append(&mut self, append: &Append) -> Result<Appended, String> {
        if append.records.is_empty() {
            return Err("Empty".into());
        }
        if let Some(commit) = &append.commit_key
            && let Some((appended, content)) = self.commits.get(&*commit.key)
        {
            return if *content == commit.content_hash {
                Ok(Appended { already: true, ..appended.clone() })
            } else {
                Err(format!("CommitKeyConflict {}", appended.head))
            };
        }
        let mut known: BTreeMap<usize, u64> = BTreeMap::new();
        let mut conflicts = Vec::new();
        for (place, record) in append.records.iter().enumerate() {
            let Some(key) = record.key.as_deref() else { continue };
            if append.records[..place].iter().any(|earlier| earlier.key.as_deref() == Some(key)) {
                return Err(format!("Invalid {place}"));
            }
            if let Some(original) = self.records.iter().find(|record| record.key.as_deref() == Some(key)) {
                if original.content_hash == record.content_hash() {
                    known.insert(place, original.sequence);
                } else {
                    conflicts.push(original.sequence);
                }
            }
        }
        if let Some(first) = conflicts.first() {
            return Err(format!("KeyConflict {first}"));
        }
        if known.len() == append.records.len() {
            let sequences: Vec<u64> = known.values().copied().collect();
            let last = sequences.iter().max().expect("there is a record");
            let recorded_at = self.records[usize::try_from(*last).expect("small") - 1].recorded_at;
            let head = self.records.len() as u64;
            return Ok(Appended { sequences, new: 0, head, recorded_at, already: true });
        }
        if append.on_known == OnKnown::AllOrNothing && !known.is_empty() {
            return Err(format!("PartlyKnown {}", known.len()));
        }
        for (stream, expected) in &append.expected {
            let actual = self.versions.get(&**stream).copied();
            let met = match expected {
                Expected::Any => true,
                Expected::NoStream => actual.is_none(),
                Expected::StreamExists => actual.is_some(),
                Expected::Exactly(version) => actual.unwrap_or(0) == *version,
            };
            if !met {
                return Err(format!("VersionConflict {stream} {actual:?}"));
            }
        }
        self.last_recorded_at = self.last_recorded_at.max(self.now);
        let mut sequences = Vec::new();
        for (place, record) in append.records.iter().enumerate() {
            if let Some(sequence) = known.get(&place) {
                sequences.push(*sequence);
                continue;
            }
            let version = self.versions.entry(record.stream.to_string()).or_default();
            *version += 1;
            let sequence = self.records.len() as u64 + 1;
            self.records.push(record.view(sequence, *version, self.last_recorded_at).to_owned());
            sequences.push(sequence);
        }
        for moved in &append.cursors {
            self.cursors.insert(moved.source.to_string(), moved.to.to_vec());
        }
        let appended = Appended {
            new: sequences.len() - known.len(),
            sequences,
            head: self.records.len() as u64,
            recorded_at: self.last_recorded_at,
            already: false,
        };
        if let Some(commit) = &append.commit_key {
            self.commits.insert(commit.key.to_string(), (appended.clone(), commit.content_hash));
        }
        Ok(appended)
    }

    fn check(&self, ledger: &Ledger) {
        let head = self.records.len() as u64;
        assert_eq!(ledger.head(), head);
        let mut scanned = Vec::new();
        ledger
            .scan(1, u64::MAX, &mut |record| {
                let (mut of_view, mut of_model) = (Vec::new(), Vec::new());
                record.encode_canonical(&mut of_view);
                self.records[scanned.len()].encode_canonical(&mut of_model);
                assert_eq!(of_view, of_model, "canonical bytes of sequence {}", record.sequence);
                scanned.push(record.to_owned());
                ControlFlow::Continue(())
            })
            .expect("the log is sound");
        assert_eq!(scanned, self.records);
        for (stream, version) in &self.versions {
            assert_eq!(ledger.stream_version(stream).expect("the index answers"), Some(*version), "{stream}");
            let of_model: Vec<Record> =
                self.records.iter().filter(|record| *record.stream == **stream).cloned().collect();
            let all = ledger.read_stream(stream, 0, usize::MAX, Direction::Forward).expect("reads");
            assert_eq!(all, of_model, "{stream} forward");
            let middle = version / 2 + 1;
            let some = ledger.read_stream(stream, middle, 3, Direction::Forward).expect("reads");
            let from = usize::try_from(middle).expect("small") - 1;
            assert_eq!(some, of_model[from..].iter().take(3).cloned().collect::<Vec<_>>());
            let back = ledger.read_stream(stream, u64::MAX, usize::MAX, Direction::Backward).expect("reads");
            assert_eq!(back, of_model.iter().rev().cloned().collect::<Vec<_>>(), "{stream} backward");
            let back = ledger.read_stream(stream, middle, 2, Direction::Backward).expect("reads");
            assert_eq!(back, of_model[..=from].iter().rev().take(2).cloned().collect::<Vec<_>>());
        }
        assert_eq!(ledger.stream_version("never").expect("the index answers"), None);
        for key in 0..40_u8 {
            let key = format!("key-{key}");
            let of_model = self.records.iter().find(|record| record.key.as_deref() == Some(&*key));
            assert_eq!(
                ledger.find_key(&key).expect("the index answers"),
                of_model.map(|record| record.sequence),
                "{key}"
            );
        }
        // Asked for together, also twice and in any order, they are what they are one by one.
        let keys: Vec<String> = (0..45_u32).map(|key| format!("key-{}", key * 7 % 43)).collect();
        let asked: Vec<&str> = keys.iter().map(String::as_str).collect();
        let mut together = vec![None; asked.len()];
        let mut before = 0;
        ledger
            .pick_keys(&asked, &mut |place, record| {
                assert_eq!(record.key, Some(asked[place]));
                assert!(record.sequence >= before, "by ascending sequence");
                before = record.sequence;
                assert_eq!(together[place].replace(record.sequence), None, "each once");
            })
            .expect("the index answers");
        let single: Vec<_> =
            asked.iter().map(|key| ledger.find_key(key).expect("the index answers")).collect();
        assert_eq!(together, single);
        for commit in 0..6_u8 {
            let key = format!("commit-{commit}");
            let found = ledger.find_commit(&key).expect("the index answers");
            let of_model = self
                .commits
                .get(&key)
                .map(|(appended, content)| (Appended { already: true, ..appended.clone() }, *content));
            assert_eq!(found, of_model, "{key}");
        }
        for source in 0..3_u8 {
            let source = format!("source-{source}");
            let found = ledger.cursor(&source).expect("the index answers");
            assert_eq!(found.map(|to| to.to_vec()), self.cursors.get(&source).cloned(), "{source}");
        }
        let middle = head / 2;
        let got = ledger.get(middle).expect("reads");
        assert_eq!(
            got.as_ref(),
            middle.checked_sub(1).map(|at| &self.records[usize::try_from(at).expect("small")])
        );
        assert_eq!(ledger.get(head + 1).expect("reads"), None);
        let back: Vec<u64> = ledger
            .read(u64::MAX, 5, Direction::Backward)
            .expect("reads")
            .iter()
            .map(|record| record.sequence)
            .collect();
        assert_eq!(back, (1..=head).rev().take(5).collect::<Vec<_>>());
    }
}

fn told(error: &AppendError) -> String {
    match error {
        AppendError::Empty => "Empty".into(),
        AppendError::CommitKeyConflict { sequence, .. } => format!("CommitKeyConflict {sequence}"),
        AppendError::KeyConflict { sequence, .. } => format!("KeyConflict {sequence}"),
        AppendError::PartlyKnown { known, .. } => format!("PartlyKnown {known}"),
        AppendError::Invalid { record: Some(place), .. } => format!("Invalid {place}"),
        AppendError::VersionConflict { stream, actual, .. } => format!("VersionConflict {stream} {actual:?}"),
        other => format!("unexpected: {other}"),
    }
}

/// An answer without the head of one that wrote nothing: how far the log had come by then is a matter of time.
fn timeless(appended: Appended) -> Appended {
    if appended.already { Appended { head: 0, ..appended } } else { appended }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Memory,
    Segments(IndexKind),
}

fn run(kind: Kind, steps: Vec<Step>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = Arc::new(TestClock::default());
    let open = || match kind {
        Kind::Memory => Ledger::in_memory(Options { clock: clock.clone(), ..Options::default() }),
        Kind::Segments(index) => {
            let options = Options { clock: clock.clone(), ..options(index) };
            Ledger::open(dir.path(), options).expect("the directory is sound").0
        }
    };
    let mut ledger = open();
    let mut model = Model { last_recorded_at: i64::MIN, ..Model::default() };
    for step in steps {
        match (step, kind) {
            (Step::Append(plan), _) => {
                let append = model.build(&plan);
                let of_model = model.append(&append);
                let answer = ledger.append(append).map_err(|error| told(&error));
                assert_eq!(answer, of_model, "{plan:?}");
            }
            (Step::Burst(plans), _) => {
                let mut answers = Vec::new();
                for plan in plans {
                    let append = model.build(&plan);
                    let of_model = model.append(&append);
                    answers.push((ledger.submit(append), of_model, plan));
                }
                for (pending, of_model, plan) in answers {
                    let answer = pending.wait().map_err(|error| told(&error));
                    assert_eq!(answer.map(timeless), of_model.map(timeless), "{plan:?}");
                }
            }
            (Step::Tick(by), _) => {
                model.now += by;
                clock.0.store(model.now, Ordering::Relaxed);
            }
            (Step::Flush, _) => assert!(ledger.flush_index()),
            (Step::Seal, _) => ledger.seal_now().expect("the disk has room"),
            (Step::Reopen | Step::LoseIndex, Kind::Memory) => {}
            (Step::Reopen, _) => {
                ledger.close().expect("the disk has room");
                ledger = open();
            }
            (Step::LoseIndex, _) => {
                drop(ledger);
                let _ = std::fs::remove_dir_all(dir.path().join("index"));
                ledger = open();
            }
        }
        assert_eq!(ledger.head(), model.records.len() as u64);
    }
    model.check(&ledger);
    if let Kind::Segments(_) = kind {
        drop(ledger);
        let ledger = open();
        model.check(&ledger);
        ledger.seal_now().expect("the disk has room");
        model.check(&ledger);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40 * u32::try_from(crate::sim::rounds()).unwrap(), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_ledger_in_memory_says_what_a_list_would(steps in prop::collection::vec(step(), 1..60)) {
        run(Kind::Memory, steps);
    }

    #[test]
    fn a_ledger_of_segments_says_what_a_list_would(steps in prop::collection::vec(step(), 1..60)) {
        run(Kind::Segments(IndexKind::Plain), steps);
    }

    #[test]
    fn a_ledger_found_through_sled_says_what_a_list_would(steps in prop::collection::vec(step(), 1..60)) {
        run(Kind::Segments(IndexKind::Sled), steps);
    }
}
