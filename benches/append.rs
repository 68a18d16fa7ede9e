//! Appending: one writer, many at once, and batches, each beside the same bytes written and synced bare.

#![allow(missing_docs, reason = "criterion's macros define public functions")]

mod lifelike;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use daybook_ledger::{Append, Expected, Ledger, NewRecord, Pending};
use lifelike::{BareDisk, Broker, Market, Took, directory, frame_bytes, ledger, note, print_table};

const BARE: &str = "bare pwrite + fdatasync";

/// Batches that a producer has ready or under way.
const AHEAD: usize = 16;

/// Appends one fill that must be the next of its stream, as a request of the API does.
fn checked(ledger: &Ledger, fill: NewRecord) -> Append {
    let version = ledger.stream_version(&fill.stream).expect("the index answers").unwrap_or(0);
    Append { expected: vec![(fill.stream.clone(), Expected::Exactly(version))], ..Append::of(vec![fill]) }
}

fn one_writer(criterion: &mut Criterion) {
    let dir = directory();
    let (ledger, mut bare) = (ledger(&dir.path().join("ledger")), BareDisk::new(dir.path()));
    let mut broker = Broker::new(1_000);
    criterion.benchmark_group("append").throughput(Throughput::Elements(1)).bench_function(
        "one fill at a time",
        |bencher| {
            bencher.iter_custom(|count| {
                let (mut own, mut limit) = (Duration::ZERO, Duration::ZERO);
                for _ in 0..count {
                    let append = checked(&ledger, broker.fill());
                    let bytes = frame_bytes(&append.records);
                    let begun = Instant::now();
                    ledger.append(append).expect("the disk has room");
                    own += begun.elapsed();
                    let begun = Instant::now();
                    bare.write_and_sync(&bytes);
                    limit += begun.elapsed();
                }
                note("one writer", "an event", count, Took::wall(own), Some((BARE, limit)));
                own
            });
        },
    );
}

fn many_writers(criterion: &mut Criterion) {
    const WRITERS: usize = 64;
    let dir = directory();
    let (ledger, mut bare) = (ledger(&dir.path().join("ledger")), BareDisk::new(dir.path()));
    let mut broker = Broker::new(1_000);
    criterion.benchmark_group("append").throughput(Throughput::Elements(1)).bench_function(
        "64 writers, one fill at a time each",
        |bencher| {
            bencher.iter_custom(|count| {
                let each = usize::try_from(count.div_ceil(WRITERS as u64)).expect("a sample fits memory");
                let work: Vec<Vec<NewRecord>> = (0..WRITERS).map(|_| broker.fills(each)).collect();
                let bytes = frame_bytes(&work[0][..1]);
                let begun = Instant::now();
                std::thread::scope(|scope| {
                    for fills in work {
                        scope.spawn(|| {
                            for fill in fills {
                                ledger.append(Append::of(vec![fill])).expect("the disk has room");
                            }
                        });
                    }
                });
                let own = begun.elapsed();
                let begun = Instant::now();
                let syncs = u32::try_from(each.clamp(1, 200)).expect("at most 200");
                for _ in 0..syncs {
                    bare.write_and_sync(&bytes);
                }
                let units = (each * WRITERS) as u64;
                let limit = begun.elapsed().mul_f64(units as f64 / f64::from(syncs));
                note("64 writers", "an event", units, Took::wall(own), Some((BARE, limit)));
                own.mul_f64(count as f64 / units as f64)
            });
        },
    );
}

fn batches(criterion: &mut Criterion) {
    let mut market = Market::open();
    for size in [1_000, 10_000] {
        let name = format!("batches of {size} ticks");
        batch(criterion, &name, size, &mut |count| market.ticks(count));
    }
    let mut broker = Broker::new(1_000);
    for size in [1_000, 10_000] {
        let name = format!("batches of {size} keyed fills");
        batch(criterion, &name, size, &mut |count| broker.fills(count));
    }
}

fn batch(criterion: &mut Criterion, name: &str, size: usize, next: &mut dyn FnMut(usize) -> Vec<NewRecord>) {
    let dir = directory();
    let (ledger, mut bare) = (ledger(&dir.path().join("ledger")), BareDisk::new(dir.path()));
    criterion.benchmark_group("append").throughput(Throughput::Elements(size as u64)).bench_function(
        name,
        |bencher| {
            bencher.iter_custom(|count| {
                let (mut own, mut limit) = (Duration::ZERO, Duration::ZERO);
                let mut left = count;
                while left > 0 {
                    // A producer keeps the next batches ready, as a feed or an import does; the last one's
                    // acknowledgement ends the clock.
                    let some = left.min(AHEAD as u64);
                    let work: Vec<Vec<NewRecord>> = (0..some).map(|_| next(size)).collect();
                    let bytes: Vec<Vec<u8>> = work.iter().map(|records| frame_bytes(records)).collect();
                    let begun = Instant::now();
                    let pending: Vec<_> =
                        work.into_iter().map(|records| ledger.submit(Append::of(records))).collect();
                    for pending in pending {
                        pending.wait().expect("the disk has room");
                    }
                    own += begun.elapsed();
                    let begun = Instant::now();
                    bytes.iter().for_each(|bytes| bare.write_and_sync(bytes));
                    limit += begun.elapsed();
                    left -= some;
                }
                note(name, "an event", count * size as u64, Took::wall(own), Some((BARE, limit)));
                own
            });
        },
    );
}

/// Batches until the index and sealing have caught up with the last of them: what can be kept up.
fn sustained(criterion: &mut Criterion) {
    let mut market = Market::open();
    let mut broker = Broker::new(1_000);
    keep_up(criterion, "2 M ticks, sealed and indexed", 2_000_000, &mut |count| market.ticks(count));
    keep_up(criterion, "500 k keyed fills, sealed and indexed", 500_000, &mut |count| broker.fills(count));
    print_table();
}

fn keep_up(
    criterion: &mut Criterion,
    name: &str,
    total: usize,
    next: &mut dyn FnMut(usize) -> Vec<NewRecord>,
) {
    criterion.benchmark_group("append").throughput(Throughput::Elements(total as u64)).bench_function(
        name,
        |bencher| {
            bencher.iter_custom(|count| {
                let mut own = Took::default();
                for _ in 0..count {
                    let dir = directory();
                    let ledger = ledger(dir.path());
                    let work: Vec<Vec<NewRecord>> = (0..total / 10_000).map(|_| next(10_000)).collect();
                    let (took, ()) = Took::by(|| {
                        let mut pending = VecDeque::new();
                        for records in work {
                            if pending.len() == AHEAD {
                                pending
                                    .pop_front()
                                    .map(Pending::wait)
                                    .transpose()
                                    .expect("the disk has room");
                            }
                            pending.push_back(ledger.submit(Append::of(records)));
                        }
                        for pending in pending {
                            pending.wait().expect("the disk has room");
                        }
                        ledger.seal_now().expect("the disk has room");
                        assert!(ledger.flush_index());
                    });
                    own.add(took);
                }
                note(name, "an event", count * total as u64, own, None);
                own.wall
            });
        },
    );
}

criterion_group! {
    name = append;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5));
    targets = one_writer, many_writers, batches, sustained
}
criterion_main!(append);
