//! Many writers, followers and readers at once; and a process that is killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daybook_ledger::{
    Append, AppendError, CommitStore, CursorMove, Direction, Expected, FaultyStore, IndexKind, Ledger,
    MemoryStore, Options, PutFault, verify,
};

use crate::common::{keyed, open, options, record};

#[test]
fn many_writers_get_dense_sequences_and_a_follower_skips_none() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    const WRITERS: usize = 16;
    const EACH: usize = 60;
    let total = (WRITERS * EACH * 2) as u64;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (ledger, done) = (&ledger, &done);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let mut got = Vec::new();
                    for number in 0..EACH {
                        let own = record(&format!("own-{writer}"), b"payload of some length");
                        let shared = keyed("shared", &format!("key-{writer}-{number}"), b"payload");
                        let append = Append {
                            expected: vec![(own.stream.clone(), Expected::Exactly(number as u64))],
                            ..Append::of(vec![own, shared])
                        };
                        let appended = ledger.append(append).expect("nothing is in the way");
                        assert!(ledger.head() >= appended.head, "acknowledged is visible");
                        got.extend(appended.sequences);
                    }
                    got
                })
            })
            .collect();
        let follower = scope.spawn(move || {
            let mut follow = ledger.follow(1);
            let mut next = 1;
            while next <= total {
                for record in follow.next_batch(100, Duration::from_secs(20)).expect("the log is sound") {
                    assert_eq!(record.sequence, next);
                    next += 1;
                }
            }
        });
        let reader = scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let head = ledger.head();
                let of_stream =
                    ledger.read_stream("shared", 1, usize::MAX, Direction::Forward).expect("reads");
                for (place, record) in of_stream.iter().enumerate() {
                    assert_eq!(record.version, place as u64 + 1);
                }
                let back = ledger.read_stream("shared", u64::MAX, 10, Direction::Backward).expect("reads");
                assert!(back.windows(2).all(|pair| pair[0].version == pair[1].version + 1));
                let mut count = 0;
                ledger
                    .scan(1, head, &mut |_| {
                        count += 1;
                        ControlFlow::Continue(())
                    })
                    .expect("the log is sound");
                assert_eq!(count, head);
            }
        });
        let mut all = BTreeSet::new();
        for writer in writers {
            all.extend(writer.join().expect("no writer panics"));
        }
        assert_eq!(all, (1..=total).collect());
        follower.join().expect("the follower does not panic");
        done.store(true, Ordering::Relaxed);
        reader.join().expect("the reader does not panic");
    });
    ledger.close().expect("the disk works");
    let verified = verify(dir.path(), &options(IndexKind::Sled)).expect("nothing is wrong");
    assert_eq!((verified.head, verified.streams), (total, WRITERS as u64 + 1));
}

#[test]
fn of_many_that_expect_the_same_version_one_wins() {
    let ledger = Ledger::in_memory(Options::default());
    for round in 0..50 {
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8)
                .map(|_| {
                    let ledger = &ledger;
                    scope.spawn(move || {
                        ledger.append(Append {
                            expected: vec![("contested".into(), Expected::Exactly(round))],
                            ..Append::of(vec![record("contested", b"mine")])
                        })
                    })
                })
                .collect();
            tries.into_iter().map(|one| one.join().expect("no panic")).collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        for outcome in outcomes {
            if let Err(error) = outcome {
                let AppendError::VersionConflict { actual, .. } = error else { panic!("{error}") };
                assert_eq!(actual, Some(round + 1));
            }
        }
    }
}

#[test]
fn one_key_appended_by_many_at_once_is_there_once() {
    let ledger = Ledger::in_memory(Options::default());
    for round in 0..50 {
        let pending: Vec<_> = (0..20)
            .map(|_| ledger.submit(Append::of(vec![keyed("a", &format!("key-{round}"), b"same")])))
            .collect();
        let answers: Vec<_> = pending.into_iter().map(|one| one.wait().expect("equal content")).collect();
        assert_eq!(answers.iter().filter(|answer| !answer.already).count(), 1);
        assert!(answers.iter().all(|answer| answer.sequences == [round + 1]));
    }
    assert_eq!(ledger.head(), 50);
}

#[test]
fn what_was_decided_on_a_lost_commit_is_refused_with_it() {
    for fault in [PutFault::LostWrite, PutFault::StoredAnyway] {
        let inner: Arc<dyn CommitStore> = Arc::new(MemoryStore::new());
        let store = Arc::new(FaultyStore::new(Arc::clone(&inner), [PutFault::None, fault]));
        let ledger = Ledger::with_store(store, &Options::default()).expect("it is empty");
        ledger.append(Append::of(vec![keyed("a", "first", b"1")])).expect("no fault yet");
        let pending: Vec<_> = (0..30)
            .map(|_| {
                ledger.submit(Append {
                    cursors: vec![CursorMove { source: "feed".into(), to: b"second".as_slice().into() }],
                    ..Append::of(vec![keyed("a", "second", b"2"), record("b", b"more")])
                })
            })
            .collect();
        let answers: Vec<_> = pending.into_iter().map(daybook_ledger::Pending::wait).collect();
        assert!(answers.iter().all(Result::is_err), "nothing behind a failed sync is acknowledged");
        assert!(answers.iter().any(|answer| matches!(answer, Err(AppendError::Indefinite { .. }))));
        assert_eq!(ledger.head(), 1);
        assert_eq!(ledger.find_key("second").expect("reads"), None);
        assert_eq!(ledger.cursor("feed").expect("reads"), None, "a cursor moves with what is durable");
        drop(ledger);
        let ledger = Ledger::with_store(inner, &Options::default()).expect("it can be read");
        let known = ledger.find_key("second").expect("reads");
        assert_eq!(known.is_some(), fault == PutFault::StoredAnyway);
        assert_eq!(ledger.cursor("feed").expect("reads").is_some(), known.is_some());
    }
}

#[test]
fn a_store_that_is_full_for_a_while_takes_the_next_append() {
    let plan = [PutFault::None, PutFault::NoSpace, PutFault::NoSpace, PutFault::None];
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new()), plan));
    let ledger = Ledger::with_store(store, &Options::default()).expect("it is empty");
    let append = |number: u64| ledger.append(Append::of(vec![keyed("a", &format!("key-{number}"), b"x")]));
    append(0).expect("there is room");
    for number in 1..3 {
        let error = append(number).expect_err("there is no room");
        assert!(matches!(error, AppendError::NoSpace), "{error}");
        assert_eq!(ledger.find_key(&format!("key-{number}")).expect("reads"), None);
    }
    assert_eq!(append(1).expect("there is room again").sequences, [2]);
    assert_eq!(ledger.stream_version("a").expect("reads"), Some(2));
}

/// The environment variable that makes this test binary a writer to be killed.
const WRITE_TO: &str = "LEDGER_TEST_WRITE_TO";

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    if let Ok(dir) = std::env::var(WRITE_TO) {
        write_until_killed(Path::new(&dir));
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let seed = u64::from(std::process::id());
    let mut random = crate::sim::Random(seed);
    let mut acknowledged = 0;
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().expect("this is a file"))
            .args(["--exact", "together::a_killed_process_loses_nothing_that_it_acknowledged", "--nocapture"])
            .env(WRITE_TO, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("this binary runs");
        // The pipe outlives the child: what it wrote there is what it acknowledged.
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        let wanted = 1 + random.below(60);
        let mut seen = 0;
        let mut lines = out.lines();
        for line in lines.by_ref() {
            if let Some(number) = line.expect("text").strip_prefix("acknowledged ") {
                acknowledged = number.parse().expect("a number");
                seen += 1;
                if seen == wanted {
                    break;
                }
            }
        }
        std::thread::sleep(Duration::from_micros(random.below(3_000)));
        child.kill().expect("it runs until it is killed");
        for line in lines {
            if let Some(number) = line.expect("text").strip_prefix("acknowledged ") {
                acknowledged = number.parse().expect("a number");
            }
        }
        child.wait().expect("it was killed");
        if round % 4 == 3 {
            let _ = std::fs::remove_dir_all(dir.path().join("index"));
        }
        let (ledger, _) = open(dir.path(), IndexKind::Sled);
        for number in 1..=acknowledged {
            let found = ledger.find_key(&format!("append-{number}")).expect("the index answers");
            assert!(found.is_some(), "append {number} was acknowledged (round {round}, seed {seed})");
        }
        assert!(ledger.head() >= 2 * acknowledged && ledger.head() % 2 == 0, "appends are whole");
        let known = ledger.head() / 2;
        drop(ledger);
        acknowledged = known;
        verify(dir.path(), &options(IndexKind::Sled)).expect("nothing is wrong");
    }
    assert!(acknowledged > 100, "the writers wrote: {acknowledged}");
}

fn write_until_killed(dir: &Path) {
    let (ledger, opened) = open(dir, IndexKind::Sled);
    let mut out = std::io::stdout().lock();
    for number in opened.head / 2 + 1.. {
        let append = Append::of(vec![
            keyed("killed", &format!("append-{number}"), b"some payload that takes room in the segment"),
            record(&format!("other-{}", number % 5), &vec![3; 700]),
        ]);
        ledger.append(append).expect("nothing is in the way");
        writeln!(out, "acknowledged {number}").and_then(|()| out.flush()).expect("someone listens");
    }
}

/// A store that panics at its second put.
struct Panicking(MemoryStore);

impl CommitStore for Panicking {
    fn head(&self) -> u64 {
        self.0.head()
    }

    fn put(
        &self,
        seen: u64,
        commit: &mut daybook_ledger::store::Prepared,
    ) -> Result<u64, daybook_ledger::PutError> {
        assert_eq!(seen, 0, "the panic that the test wants");
        self.0.put(seen, commit)
    }

    fn scan(
        &self,
        from: u64,
        visit: &mut dyn FnMut(&daybook_ledger::store::Body<'_>) -> ControlFlow<()>,
    ) -> Result<(), daybook_ledger::ReadError> {
        self.0.scan(from, visit)
    }

    fn wake(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.wake()
    }
}

#[test]
fn a_panic_in_the_writer_leaves_nobody_waiting() {
    for records in [1, 200] {
        let ledger = Ledger::with_store(Arc::new(Panicking(MemoryStore::new())), &Options::default())
            .expect("it is empty");
        ledger.append(Append::of(vec![record("a", b"1")])).expect("the first put is sound");
        let append = || Append::of((0..records).map(|_| record("a", b"2")).collect());
        let error = ledger.append(append()).expect_err("the store panicked");
        assert!(!error.is_definite(), "{error}");
        let error = ledger.append(append()).expect_err("nobody writes any more");
        assert!(matches!(error, AppendError::Poisoned { .. } | AppendError::Indefinite { .. }), "{error}");
        assert_eq!(ledger.read(1, 10, Direction::Forward).expect("reads go on").len(), 1);
    }
}

#[test]
fn the_writer_counts_what_became_durable_and_what_did_not() {
    let plan = [PutFault::None; 5].into_iter().chain([PutFault::NoSpace]);
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new()), plan));
    let ledger = Ledger::with_store(store, &Options::default()).expect("an empty store");
    assert_eq!(ledger.stats(), daybook_ledger::Stats::default());
    for number in 0..5u8 {
        let append = Append::of(vec![record("a", &[number]), record("b", &[number])]);
        ledger.append(append).expect("nothing is in the way");
    }
    ledger.append(Append::of(vec![record("a", b"x")])).expect_err("the disk is full");
    let stats = ledger.stats();
    assert_eq!((stats.commits, stats.records, stats.failures), (5, 10, 1));
    assert_eq!(stats.write_times.iter().sum::<u64>(), 6);
    assert!(stats.bytes > 0 && stats.write_time > Duration::ZERO);
    assert_eq!((stats.waiting, stats.waiting_bytes), (0, 0));
}
