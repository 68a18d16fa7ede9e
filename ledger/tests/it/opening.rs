//! Opening again, whatever became of the index; and who may open at all.

use std::path::Path;

use daybook_ledger::{
    Append, Direction, IndexKind, IndexOpened, IndexVerified, Ledger, OpenError, Options, VerifyError, verify,
};

use crate::common::{append_one, keyed, open, options};

fn fill(ledger: &Ledger, from: u64, to: u64) {
    for number in from..to {
        let record = keyed(&format!("stream-{}", number % 7), &format!("key-{number}"), b"payload");
        let appended = ledger.append(Append::of(vec![record])).expect("nothing is in the way");
        assert_eq!(appended.sequences, [number]);
    }
}

fn check(ledger: &Ledger, head: u64) {
    assert_eq!(ledger.head(), head);
    for number in 1..=head {
        assert_eq!(ledger.find_key(&format!("key-{number}")).expect("the index answers"), Some(number));
    }
    let of_stream = ledger.read_stream("stream-3", 1, usize::MAX, Direction::Forward).expect("reads");
    assert_eq!(of_stream.len() as u64, (1..=head).filter(|number| number % 7 == 3).count() as u64);
}

#[test]
fn a_clean_close_leaves_nothing_to_do() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (ledger, opened) = open(dir.path(), IndexKind::Sled);
    assert!(opened.created);
    fill(&ledger, 1, 101);
    ledger.close().expect("the disk works");
    let (ledger, opened) = open(dir.path(), IndexKind::Sled);
    assert!(opened.clean && !opened.created);
    assert_eq!((opened.head, opened.index), (100, IndexOpened::Current));
    check(&ledger, 100);
}

#[test]
fn a_deleted_index_is_rebuilt_and_that_is_told() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    fill(&ledger, 1, 301);
    ledger.seal_now().expect("the disk works");
    fill(&ledger, 301, 401);
    ledger.close().expect("the disk works");
    std::fs::remove_dir_all(dir.path().join("index")).expect("it is there");
    let (ledger, opened) = open(dir.path(), IndexKind::Sled);
    assert!(matches!(opened.index, IndexOpened::Rebuilt { records: 400, .. }), "{opened:?}");
    check(&ledger, 400);
}

#[test]
fn an_index_that_lags_catches_up() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    fill(&ledger, 1, 201);
    ledger.close().expect("the disk works");
    // Opened with another index, the one in sled is left behind.
    let (ledger, _) = open(dir.path(), IndexKind::Plain);
    fill(&ledger, 201, 301);
    ledger.close().expect("the disk works");
    let verified = verify(dir.path(), &options(IndexKind::Sled)).expect("nothing is wrong");
    assert_eq!(verified.index, IndexVerified::Lags { applied: 200 });
    let (ledger, opened) = open(dir.path(), IndexKind::Sled);
    assert_eq!(opened.index, IndexOpened::CaughtUp { records: 100 });
    check(&ledger, 300);
    ledger.close().expect("the disk works");
    let verified = verify(dir.path(), &options(IndexKind::Sled)).expect("nothing is wrong");
    assert_eq!(verified.index, IndexVerified::Agrees);
}

#[test]
fn an_index_that_has_seen_more_than_the_log_holds_tells_of_damage() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    fill(&ledger, 1, 11);
    assert!(ledger.flush_index());
    drop(ledger);
    // The log loses its last frame, and HEAD with it.
    let log = dir.path().join("00000000000000000001.log");
    let mut bytes = std::fs::read(&log).expect("it is there");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("it is not empty");
    bytes[end - 3..=end].fill(0);
    std::fs::write(&log, bytes).expect("the disk works");
    std::fs::remove_file(dir.path().join("HEAD")).expect("it is there");
    let error = Ledger::open(dir.path(), options(IndexKind::Sled)).expect_err("sequence 10 was acknowledged");
    let OpenError::Damaged(fault) = error else { panic!("{error}") };
    assert_eq!(fault.sequence, 10);
}

#[test]
fn without_the_record_of_the_last_head_a_ledger_does_not_verify_and_the_next_writer_makes_it_anew() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    fill(&ledger, 1, 11);
    ledger.close().expect("the disk works");
    std::fs::remove_file(dir.path().join("HEAD")).expect("it is there");
    let error = verify(dir.path(), &options(IndexKind::Sled)).expect_err("the end cannot be vouched for");
    let VerifyError::Damaged(fault) = error else { panic!("{error}") };
    assert_eq!((fault.sequence, fault.file.file_name()), (11, Some("HEAD".as_ref())));
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    check(&ledger, 10);
    ledger.close().expect("the disk works");
    verify(dir.path(), &options(IndexKind::Sled)).expect("nothing is wrong");
}

#[test]
fn an_index_of_another_ledger_is_not_believed() {
    let (one, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (ledger, _) = open(one.path(), IndexKind::Sled);
    fill(&ledger, 1, 51);
    ledger.close().expect("the disk works");
    let (ledger, _) = open(other.path(), IndexKind::Sled);
    append_one(&ledger, "elsewhere", b"payload");
    ledger.close().expect("the disk works");
    std::fs::remove_dir_all(other.path().join("index")).expect("it is there");
    std::fs::rename(one.path().join("index"), other.path().join("index")).expect("the disk works");
    let (ledger, opened) = open(other.path(), IndexKind::Sled);
    assert!(matches!(opened.index, IndexOpened::Rebuilt { records: 1, .. }), "{opened:?}");
    assert_eq!(ledger.find_key("key-1").expect("the index answers"), None);
    assert_eq!(ledger.stream_version("elsewhere").expect("the index answers"), Some(1));
}

#[test]
fn an_index_full_of_noise_is_moved_aside_and_rebuilt() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    fill(&ledger, 1, 201);
    ledger.close().expect("the disk works");
    let mut stack = vec![dir.path().join("index")];
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(std::fs::read_dir(&path).expect("reads").map(|entry| entry.expect("reads").path()));
        } else {
            let len = std::fs::metadata(&path).expect("reads").len();
            let noise: Vec<u8> =
                (0..len).map(|at| (at.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()[0]).collect();
            std::fs::write(&path, noise).expect("the disk works");
        }
    }
    let (ledger, opened) = open(dir.path(), IndexKind::Sled);
    assert!(matches!(opened.index, IndexOpened::Rebuilt { records: 200, .. }), "{opened:?}");
    check(&ledger, 200);
}

#[test]
fn a_second_process_is_told_that_the_directory_is_held() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (ledger, _) = open(dir.path(), IndexKind::Plain);
    let error = Ledger::open(dir.path(), options(IndexKind::Plain)).expect_err("it is held");
    assert!(matches!(error, OpenError::Held { .. }), "{error}");
    let error = verify(dir.path(), &options(IndexKind::Plain)).expect_err("it is held");
    assert!(matches!(error, VerifyError::Open(OpenError::Held { .. })), "{error}");
    drop(ledger);
    open(dir.path(), IndexKind::Plain);
}

fn all_files(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut files = Vec::new();
    let mut stack = vec![dir.to_owned()];
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(std::fs::read_dir(&path).expect("reads").map(|entry| entry.expect("reads").path()));
        } else {
            let changed = std::fs::metadata(&path).and_then(|meta| meta.modified()).expect("reads");
            files.push((path.clone(), std::fs::read(&path).expect("reads"), changed));
        }
    }
    files.sort();
    files
}

#[test]
fn reading_alone_and_verifying_change_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    fill(&ledger, 1, 301);
    ledger.seal_now().expect("the disk works");
    fill(&ledger, 301, 321);
    ledger.close().expect("the disk works");
    // Torn: a reader does not cut it either.
    let log = dir.path().join("00000000000000000301.log");
    let mut bytes = std::fs::read(&log).expect("it is there");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("it is not empty").next_multiple_of(8);
    bytes[end..end + 20].copy_from_slice(b"DBFR and not a frame");
    std::fs::write(&log, bytes).expect("the disk works");
    let before = all_files(dir.path());
    let read_only = Options { read_only: true, create: false, ..options(IndexKind::Sled) };
    let (ledger, opened) = Ledger::open(dir.path(), read_only).expect("it can be read");
    assert_eq!(opened.cut.map(|cut| cut.sequence), Some(321));
    check(&ledger, 320);
    let refused = ledger.append(Append::of(vec![keyed("a", "b", b"c")])).expect_err("reading alone");
    assert!(refused.is_definite());
    drop(ledger);
    let verified = verify(dir.path(), &options(IndexKind::Sled)).expect("nothing is wrong");
    assert_eq!((verified.head, verified.index), (320, IndexVerified::Agrees));
    assert_eq!(verified.torn.map(|torn| torn.sequence), Some(321));
    assert_eq!(all_files(dir.path()), before);
}

#[test]
fn snapshots_come_back_unless_they_claim_more_than_the_log_holds() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    append_one(&ledger, "a", b"b");
    let large = vec![7; 3 << 20];
    ledger.snapshots().put("books/one", 1, &large).expect("the disk works");
    ledger.snapshots().put("books/two", 2, b"of the future").expect("the disk works");
    ledger.close().expect("the disk works");
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    let snapshots = ledger.snapshots();
    assert_eq!(snapshots.get("books/one").expect("reads"), Some((1, large)));
    assert_eq!(snapshots.get("books/two").expect("reads"), None);
    assert_eq!(snapshots.names("books/").expect("reads"), ["books/one", "books/two"]);
    assert_eq!(snapshots.names("").expect("reads").len(), 2);
    snapshots.remove("books/one").expect("the disk works");
    assert_eq!(snapshots.get("books/one").expect("reads"), None);
}

#[test]
fn what_was_known_at_a_time_is_found() {
    use crate::common::TestClock;
    use std::sync::atomic::Ordering;
    let clock = std::sync::Arc::new(TestClock::default());
    let ledger = Ledger::in_memory(Options { clock: clock.clone(), ..Options::default() });
    assert_eq!(ledger.sequence_recorded_by(i64::MAX).expect("reads"), 0);
    for time in [10, 20, 20, 15, 40] {
        clock.0.store(time, Ordering::Relaxed);
        append_one(&ledger, "a", b"b");
    }
    let known = |time| ledger.sequence_recorded_by(time).expect("reads");
    assert_eq!([9, 10, 19, 20, 39, 40, 99].map(known), [0, 1, 1, 4, 4, 5, 5]);
    assert_eq!(ledger.get(4).expect("reads").map(|record| record.recorded_at), Some(20), "never backwards");
}
