//! Power failures and failing disks, at every operation: what was acknowledged stays, what was refused is not
//! there, and the ledger goes on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use daybook_ledger::{
    Append, AppendError, CursorMove, Direction, IndexKind, Ledger, OnKnown, OpenError, Options, verify,
};

use crate::common::{keyed, options};
use crate::sim::{Fault, Random, SimDisk, rounds};

const DIR: &str = "/ledger";

fn on(disk: &SimDisk, seal: bool) -> Options {
    Options { disk: Arc::new(disk.clone()), seal, ..options(IndexKind::Plain) }
}

fn open(disk: &SimDisk, seal: bool) -> Result<Ledger, OpenError> {
    Ledger::open(Path::new(DIR), on(disk, seal)).map(|(ledger, _)| ledger)
}

/// The append with this number: its key tells which it is, and its cursor moves to it.
fn nth(number: u64) -> Append {
    let mut random = Random(number);
    let payload: Vec<u8> = (0..random.below(6_000)).map(|_| random.next().to_le_bytes()[0]).collect();
    let records = (0..1 + random.below(3))
        .map(|part| {
            let stream = format!("stream-{}", random.below(4));
            keyed(&stream, &format!("append-{number}-{part}"), &payload)
        })
        .collect();
    Append {
        cursors: vec![CursorMove { source: "feed".into(), to: number.to_le_bytes().into() }],
        on_known: OnKnown::AllOrNothing,
        ..Append::of(records)
    }
}

fn has(ledger: &Ledger, number: u64) -> bool {
    ledger.find_key(&format!("append-{number}-0")).expect("the ledger answers").is_some()
}

/// Checks that a ledger holds whole appends only, in order, `must` of them being there for certain, and that
/// it goes on.
fn check_whole(disk: &SimDisk, acknowledged: &[u64], refused: &[u64], told: &str) {
    let ledger = open(disk, true).unwrap_or_else(|error| panic!("{told}: {error}"));
    for number in acknowledged {
        assert!(has(&ledger, *number), "{told}: append {number} was acknowledged and is gone");
        let answer = ledger.append(nth(*number)).expect("it is known");
        assert!(answer.already, "{told}: append {number} is known");
    }
    for number in refused {
        assert!(!has(&ledger, *number), "{told}: append {number} was refused and is there");
    }
    let records = ledger.read(1, usize::MAX, Direction::Forward).expect("the log is sound");
    let mut at = 0;
    let mut last = None;
    while let Some(record) = records.get(at) {
        let key = record.key.as_deref().expect("every record has a key");
        let number: u64 = key.split('-').nth(1).and_then(|text| text.parse().ok()).expect("as written");
        for given in nth(number).records {
            let found = records.get(at).unwrap_or_else(|| panic!("{told}: append {number} is not whole"));
            assert_eq!(found.key, given.key, "{told}: append {number} is whole and in order");
            assert_eq!(found.payload, given.payload, "{told}");
            at += 1;
        }
        last = Some(number);
    }
    let cursor = ledger.cursor("feed").expect("the index answers");
    assert_eq!(
        cursor.as_deref(),
        last.map(u64::to_le_bytes).as_ref().map(|to| &to[..]),
        "{told}: the cursor"
    );
    ledger.append(nth(1_000_000)).unwrap_or_else(|error| panic!("{told}: it does not go on: {error}"));
    ledger.close().unwrap_or_else(|error| panic!("{told}: {error}"));
    let verified = verify(Path::new(DIR), &on(disk, true)).unwrap_or_else(|error| panic!("{told}: {error}"));
    assert_eq!(verified.head, records.len() as u64 + nth(1_000_000).records.len() as u64);
}

/// Appends until one fails, and tells what was acknowledged, refused, and neither.
fn work(disk: &SimDisk, seal: bool, appends: u64) -> (Vec<u64>, Vec<u64>) {
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    let Ok(ledger) = open(disk, seal) else { return (acknowledged, refused) };
    for number in 0..appends {
        match ledger.append(nth(number)) {
            Ok(_) => {
                disk.acknowledged.fetch_add(1, Ordering::SeqCst);
                acknowledged.push(number);
            }
            Err(error) if error.is_definite() => refused.push(number),
            Err(_) => {}
        }
    }
    drop(ledger);
    (acknowledged, refused)
}

const APPENDS: u64 = 30;

#[test]
fn a_power_failure_before_any_operation_loses_nothing_acknowledged() {
    let dry = SimDisk::new();
    work(&dry, true, APPENDS);
    let operations = dry.operations();
    assert!(operations > 80, "the work is long enough to roll over segments: {operations}");
    for operation in 0..operations {
        for seed in 0..3 * rounds() {
            let disk = SimDisk::new();
            disk.image_at(operation, seed);
            work(&disk, true, APPENDS);
            let Some((image, acknowledged)) = disk.image() else { continue };
            let acknowledged: Vec<u64> = (0..acknowledged).collect();
            check_whole(&image, &acknowledged, &[], &format!("operation {operation}, seed {seed}"));
        }
    }
}

#[test]
fn an_operation_that_fails_once_loses_nothing_acknowledged_and_keeps_nothing_refused() {
    let dry = SimDisk::new();
    work(&dry, true, APPENDS);
    let operations = dry.operations();
    for operation in 0..operations {
        for fault in [Fault::Io, Fault::Full, Fault::Short] {
            let disk = SimDisk::new();
            disk.fail_at(operation, fault, false);
            let (acknowledged, refused) = work(&disk, true, APPENDS);
            disk.heal();
            let told = format!("operation {operation} fails with {fault:?}");
            // The process ends and starts again, or the power fails.
            check_whole(&disk.killed(), &acknowledged, &refused, &told);
            check_whole(&disk.crash(operation), &acknowledged, &refused, &format!("{told}, then power"));
        }
    }
}

#[test]
fn a_disk_that_fails_for_good_loses_nothing_acknowledged() {
    let dry = SimDisk::new();
    work(&dry, false, APPENDS);
    for operation in 0..dry.operations() {
        for fault in [Fault::Io, Fault::Full] {
            let disk = SimDisk::new();
            disk.fail_at(operation, fault, true);
            let (acknowledged, refused) = work(&disk, false, APPENDS);
            disk.heal();
            let told = format!("all from operation {operation} on fail with {fault:?}");
            check_whole(&disk.killed(), &acknowledged, &refused, &told);
            check_whole(&disk.crash(operation), &acknowledged, &refused, &format!("{told}, then power"));
        }
    }
}

#[test]
fn a_power_failure_while_recovering_loses_nothing_acknowledged() {
    let disk = SimDisk::new();
    let (acknowledged, _) = work(&disk, true, APPENDS);
    let torn = disk.crash(7);
    // Append once more without a clean close behind it.
    let ledger = open(&torn, true).expect("the directory is sound");
    ledger.append(nth(APPENDS)).expect("the disk works");
    let left = torn.killed();
    drop(ledger);
    let probe = left.killed();
    drop(open(&probe, true).expect("the directory is sound"));
    let expected: Vec<u64> = acknowledged.iter().copied().chain([APPENDS]).collect();
    for operation in 0..probe.operations() {
        for seed in 0..4 * rounds() {
            let again = left.killed();
            again.image_at(operation, seed);
            drop(open(&again, true));
            if let Some((image, _)) = again.image() {
                check_whole(&image, &expected, &[], &format!("recovery, operation {operation}, seed {seed}"));
            }
        }
    }
}

#[test]
fn a_failed_sync_is_never_retried_and_the_next_opening_writes_anew() {
    let disk = SimDisk::new();
    let ledger = open(&disk, false).expect("a new ledger");
    ledger.append(nth(0)).expect("the disk works");
    // The next append writes, then syncs.
    disk.fail_at(1, Fault::Io, false);
    let error = ledger.append(nth(1)).expect_err("its sync failed");
    assert!(!error.is_definite(), "{error}");
    let later = ledger.append(nth(2)).expect_err("the writer stopped");
    assert!(matches!(later, AppendError::Poisoned { .. }), "{later}");
    assert!(later.is_definite());
    assert!(ledger.poisoned().is_some());
    assert_eq!(ledger.head(), nth(0).records.len() as u64, "readers do not see what may be lost");
    assert!(has(&ledger, 0), "reads go on");
    let left = disk.killed();
    drop(ledger);
    // The page cache still shows the frame; opened again and acknowledged as known, it must be durable.
    let ledger = open(&left, false).expect("the directory is sound");
    let answer = ledger.append(nth(1)).expect("known or new");
    assert!(answer.already, "the frame was whole in the page cache");
    let after = left.crash(3);
    check_whole(&after, &[0, 1], &[2], "after the failed sync");
}

#[test]
fn a_full_disk_refuses_appends_keeps_reads_and_closes_cleanly() {
    let disk = SimDisk::new();
    let ledger = open(&disk, false).expect("a new ledger");
    disk.set_free(1 << 10);
    let mut taken = 0;
    let error = loop {
        match ledger.append(nth(taken)) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::NoSpace), "{error}");
    assert!(error.is_definite());
    assert!((0..taken).all(|number| has(&ledger, number)), "reads go on");
    ledger.close().expect("closing needs no room");
    // It also opens, whether closed cleanly or not, and goes on once there is room.
    for left in [disk.killed(), disk.crash(1)] {
        left.set_free(1 << 10);
        let ledger = open(&left, false).expect("opening needs no room");
        assert!((0..taken).all(|number| has(&ledger, number)));
        left.set_free(1 << 40);
        ledger.append(nth(taken)).expect("there is room again");
    }
}

#[test]
fn an_unclean_ledger_opens_on_a_full_disk() {
    let disk = SimDisk::new();
    let ledger = open(&disk, false).expect("a new ledger");
    ledger.append(nth(0)).expect("the disk works");
    let left = disk.killed();
    drop(ledger);
    left.set_free(0);
    drop(open(&left, false).expect("opening needs no room"));
    check_whole(&left.crash(5), &[0], &[], "renewed in place");
}
