//! Torn tails are cut; flipped bits are refused and named; nothing in between.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use daybook_ledger::{
    Append, Direction, IndexKind, Ledger, OpenError, Opened, Options, ReadError, VerifyError, verify,
};

use crate::common::{append_one, keyed, options, record};
use crate::sim::{Random, SimDisk};

const DIR: &str = "/ledger";

fn on(disk: &SimDisk) -> Options {
    Options { disk: Arc::new(disk.clone()), ..options(IndexKind::Plain) }
}

fn open(disk: &SimDisk) -> Result<(Ledger, Opened), OpenError> {
    Ledger::open(Path::new(DIR), on(disk))
}

fn active(disk: &SimDisk) -> PathBuf {
    let mut logs: Vec<PathBuf> = disk.files();
    logs.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".log") && !name.starts_with("spare")
    });
    logs.pop().expect("there is always an active segment")
}

/// Where the bytes of a file end that are not zero.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1)
}

#[test]
fn a_last_frame_torn_at_any_byte_is_cut_back_to_the_commit_before() {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk).expect("a new ledger");
    append_one(&ledger, "a", b"first");
    let before = used(&disk.bytes(&active(&disk))).next_multiple_of(8);
    append_one(&ledger, "a", b"second, and the last");
    let whole = disk.killed();
    drop(ledger);
    let path = active(&whole);
    let bytes = whole.bytes(&path);
    let end = used(&bytes);
    assert!(end > before);
    for cut in before..end {
        let torn = whole.killed();
        let mut left = bytes.clone();
        left[cut..].fill(0);
        torn.set_bytes(&path, &left);
        let (ledger, opened) = open(&torn).unwrap_or_else(|error| panic!("torn at {cut}: {error}"));
        assert_eq!(opened.head, 1, "torn at {cut}");
        assert!(!opened.clean);
        if cut > before + 8 {
            let told = opened.cut.unwrap_or_else(|| panic!("torn at {cut}: the cut is told"));
            assert_eq!((told.sequence, told.offset), (2, before as u64));
            assert_eq!(told.file, path);
        }
        assert_eq!(append_one(&ledger, "a", b"another second"), 2);
        let read = ledger.read(1, 9, Direction::Forward).expect("the log is sound");
        assert_eq!(read.len(), 2);
        assert_eq!(&*read[1].payload, b"another second");
        ledger.close().expect("the disk works");
        verify(Path::new(DIR), &on(&torn)).unwrap_or_else(|error| panic!("torn at {cut}: {error}"));
    }
}

#[test]
fn a_flip_below_a_recorded_head_is_refused_and_named() {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk).expect("a new ledger");
    append_one(&ledger, "a", b"first");
    let before = used(&disk.bytes(&active(&disk))).next_multiple_of(8);
    append_one(&ledger, "a", b"last");
    ledger.close().expect("a clean close records the head");
    let path = active(&disk);
    for bit in before * 8..used(&disk.bytes(&path)) * 8 {
        let flipped = disk.killed();
        flipped.flip(&path, bit);
        let seen = flipped.seen();
        let error = open(&flipped).expect_err("a recorded head reaches the frame");
        let OpenError::Damaged(fault) = error else { panic!("bit {bit}: {error}") };
        assert_eq!((fault.sequence, fault.offset), (2, before as u64), "bit {bit}");
        assert_eq!(fault.file, path);
        assert!(flipped.seen() == seen, "bit {bit}: a refused directory is not changed");
    }
}

#[test]
fn a_flip_with_a_whole_frame_behind_it_is_refused_and_named() {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk).expect("a new ledger");
    append_one(&ledger, "a", b"first");
    let from = used(&disk.bytes(&active(&disk))).next_multiple_of(8);
    append_one(&ledger, "a", b"second");
    let to = used(&disk.bytes(&active(&disk)));
    append_one(&ledger, "a", b"third");
    // No clean close: nothing but the frame behind tells.
    let left = disk.killed();
    drop(ledger);
    let path = active(&left);
    for bit in from * 8..to * 8 {
        let flipped = left.killed();
        flipped.flip(&path, bit);
        let error = open(&flipped).expect_err("a whole frame stands behind it");
        let OpenError::Damaged(fault) = error else { panic!("bit {bit}: {error}") };
        assert_eq!((fault.sequence, fault.offset), (2, from as u64), "bit {bit}");
    }
}

#[test]
fn a_frame_copied_into_a_payload_does_not_look_like_a_later_one() {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk).expect("a new ledger");
    append_one(&ledger, "a", b"first");
    let bytes = disk.bytes(&active(&disk));
    let frame = bytes[4_096..used(&bytes).next_multiple_of(8)].to_vec();
    // Every alignment of the copy occurs.
    let mut payload = Vec::new();
    for pad in 0..8 {
        payload.extend_from_slice(&vec![0; pad]);
        payload.extend_from_slice(&frame);
    }
    append_one(&ledger, "a", &payload);
    let left = disk.killed();
    drop(ledger);
    let path = active(&left);
    let mut torn = left.bytes(&path);
    let end = used(&torn);
    torn[end - 4..].fill(0);
    left.set_bytes(&path, &torn);
    let (_, opened) = open(&left).expect("a torn tail, no damage");
    assert_eq!(opened.head, 1);
}

/// A closed ledger with sealed segments, a raw one, keys, cursors and commit keys.
fn lifelike() -> SimDisk {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk).expect("a new ledger");
    for round in 0..40_u64 {
        let records = (0..30)
            .map(|place| {
                let payload = format!("payload {round} {place}");
                keyed(&format!("stream-{}", place % 5), &format!("key-{round}-{place}"), payload.as_bytes())
            })
            .collect();
        ledger.append(Append::of(records)).expect("the disk works");
        if round == 30 {
            ledger.seal_now().expect("the disk works");
        }
    }
    ledger.append(Append::of(vec![record("tail", b"alone")])).expect("the disk works");
    ledger.close().expect("the disk works");
    disk
}

#[test]
fn any_flipped_bit_of_any_file_is_found_by_verify_which_changes_nothing() {
    let disk = lifelike();
    let verified = verify(Path::new(DIR), &on(&disk)).expect("nothing is wrong yet");
    assert_eq!(verified.head, 1_201);
    assert!(verified.sealed >= 1 && verified.segments > verified.sealed, "{verified:?}");
    let files = disk.files();
    let seed = 20_240_101;
    let mut random = Random(seed);
    for path in &files {
        let bytes = disk.bytes(path);
        for round in 0..250 {
            // Half of the flips where the file holds something, half anywhere.
            let range = if round % 2 == 0 { used(&bytes) } else { bytes.len() };
            if range == 0 {
                continue;
            }
            let bit = usize::try_from(random.below(range as u64 * 8)).expect("small");
            let flipped = disk.killed();
            flipped.flip(path, bit);
            let seen = flipped.seen();
            let found = verify(Path::new(DIR), &on(&flipped));
            assert!(found.is_err(), "bit {bit} of {} (seed {seed}) was not found", path.display());
            assert!(flipped.seen() == seen, "verifying changed something");
        }
    }
}

#[test]
fn a_damaged_record_is_named_when_it_is_read() {
    let disk = lifelike();
    let path = active(&disk);
    let (ledger, _) = open(&disk).expect("the directory is sound");
    let first: u64 = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).expect("as named");
    let bytes = disk.bytes(&path);
    let mut damaged = bytes.clone();
    damaged[4_096 + 60] ^= 1;
    disk.set_bytes(&path, &damaged);
    let error = ledger.get(first).expect_err("its frame is damaged");
    let ReadError::Damaged(fault) = error else { panic!("{error}") };
    assert_eq!((fault.sequence, fault.file), (first, path));
    assert!(ledger.get(first - 1).expect("another segment").is_some());
}

#[test]
fn a_missing_segment_is_named() {
    let disk = lifelike();
    let mut files = disk.files();
    files.retain(|path| path.extension().is_some_and(|kind| kind == "log" || kind == "sealed"));
    for path in files {
        let less = disk.killed();
        less.delete(&path);
        let first: u64 = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).expect("as named");
        let error = open(&less).expect_err("a segment is missing");
        let OpenError::Damaged(fault) = error else { panic!("{error}") };
        assert_eq!(fault.sequence, first, "{fault}");
        let error = verify(Path::new(DIR), &on(&less)).expect_err("a segment is missing");
        assert!(matches!(error, VerifyError::Damaged(found) if found.sequence == first));
    }
}

#[test]
fn a_directory_of_another_format_is_refused_by_name() {
    let disk = lifelike();
    disk.set_bytes(&Path::new(DIR).join("FORMAT"), b"daybook-ledger 2\nsomething new\n");
    let error = open(&disk).expect_err("another format");
    let OpenError::Format { found, .. } = error else { panic!("{error}") };
    assert_eq!(found, "daybook-ledger 2");
}

#[test]
fn where_there_is_no_ledger_none_is_made_unless_asked() {
    let disk = SimDisk::new();
    let error = Ledger::open(Path::new(DIR), Options { create: false, ..on(&disk) }).expect_err("none there");
    assert!(matches!(error, OpenError::Absent { .. }), "{error}");
    assert!(disk.files().is_empty());
}

#[test]
fn a_crash_between_sealing_and_removing_leaves_one_that_counts() {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk).expect("a new ledger");
    for number in 0..50 {
        ledger.append(Append::of(vec![keyed("a", &format!("key-{number}"), b"payload")])).expect("works");
    }
    let raw = Path::new(DIR).join("00000000000000000001.log");
    let before = disk.bytes(&raw);
    ledger.seal_now().expect("the disk works");
    append_one(&ledger, "a", b"behind");
    ledger.close().expect("the disk works");
    let sealed = Path::new(DIR).join("00000000000000000001.sealed");
    for damage in [false, true] {
        let both = disk.killed();
        both.create(&raw, &before);
        if damage {
            both.flip(&sealed, 8 * 100);
        }
        let (ledger, opened) = open(&both).expect("one of them is whole");
        assert_eq!(opened.head, 51);
        assert_eq!(ledger.read(1, 99, Direction::Forward).expect("reads").len(), 51);
        ledger.seal_now().expect("the disk works");
        ledger.close().expect("the disk works");
        let verified = verify(Path::new(DIR), &on(&both)).expect("nothing is wrong");
        assert_eq!(verified.head, 51);
        assert!(!both.files().contains(&raw), "the raw one is gone in the end");
    }
}
