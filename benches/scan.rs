//! Reading: scans with and without decoding, records by sequence, and one stream among many others.

#![allow(missing_docs, reason = "criterion's macros define public functions")]

mod lifelike;

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use daybook_ledger::{Append, Ledger, RecordView};
use daybook_schemas::events::PriceTick;
use daybook_schemas::{EventType, codec};
use lifelike::{Broker, Market, Random, Took, directory, filled, ledger, note, print_sizes, print_table};

const TICKS: usize = 5_000_000;
const TICK: (u16, u16) = (EventType::PriceTick.id(), EventType::PriceTick.schema_version());
const READ: &str = "read(2) of the same files";

/// Reads every sealed file once, as a copy would, and says how long that took.
fn read_files(dir: &Path) -> Duration {
    let mut buffer = vec![0; 1 << 20];
    let begun = Instant::now();
    for entry in std::fs::read_dir(dir).expect("the ledger's directory") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "sealed") {
            let mut file = File::open(path).expect("a sealed file");
            while file.read(&mut buffer).expect("the disk answers") > 0 {}
        }
    }
    begun.elapsed()
}

fn scan(ledger: &Ledger, from: u64, to: u64, see: &mut dyn FnMut(&RecordView<'_>)) {
    ledger
        .scan(from, to, &mut |record| {
            see(record);
            ControlFlow::Continue(())
        })
        .expect("the log is sound");
}

/// A sum that only a decoder can know.
fn decoded(record: &RecordView<'_>) -> i128 {
    assert_eq!((record.type_id, record.schema_version), TICK, "only ticks were written");
    let tick: PriceTick = codec::decode(record.payload).expect("ticks are decoded");
    tick.price.get().mantissa()
}

fn scans(criterion: &mut Criterion) {
    let dir = directory();
    let mut market = Market::open();
    let ledger = filled(dir.path(), TICKS, |count| market.ticks(count));
    let total = TICKS as u64;
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(total));
    let mut run = |name: &str, unit: &'static str, pass: &dyn Fn()| {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let (mut own, mut limit) = (Took::default(), Duration::ZERO);
                for _ in 0..count {
                    own.add(Took::by(pass).0);
                    limit += read_files(dir.path());
                }
                note(name, unit, count * total, own, Some((READ, limit)));
                own.wall
            });
        });
    };
    run("records", "an event", &|| {
        let mut sum = 0;
        scan(&ledger, 1, total, &mut |record| sum += record.payload.len());
        assert!(std::hint::black_box(sum) > TICKS);
    });
    run("records and typed ticks", "an event", &|| {
        let mut sum = 0;
        scan(&ledger, 1, total, &mut |record| sum += decoded(record));
        assert!(std::hint::black_box(sum) > 0);
    });
    run("records and typed ticks, two threads", "an event", &|| {
        let sum: i128 = std::thread::scope(|scope| {
            let halves = ledger.scan_parts(1, total, 2).into_iter().map(|(from, to)| {
                let ledger = &ledger;
                scope.spawn(move || {
                    let mut sum = 0;
                    scan(ledger, from, to, &mut |record| sum += decoded(record));
                    sum
                })
            });
            let halves: Vec<_> = halves.collect();
            halves.into_iter().map(|half| half.join().expect("a scan does not panic")).sum()
        });
        assert!(std::hint::black_box(sum) > 0);
    });
    let canonical = std::cell::RefCell::new(Vec::new());
    run("canonical bytes rebuilt", "an event", &|| {
        scan(&ledger, 1, total, &mut |record| {
            let mut bytes = canonical.borrow_mut();
            bytes.clear();
            record.encode_canonical(&mut bytes);
        });
    });
    group.finish();

    let mut random = Random::new(3);
    criterion.benchmark_group("read").bench_function("one record anywhere among 5 M ticks", |bencher| {
        bencher.iter_custom(|count| {
            let (own, ()) = Took::by(|| {
                for _ in 0..count {
                    let sequence = 1 + random.below(total);
                    assert!(ledger.get(sequence).expect("the log is sound").is_some());
                }
            });
            note("one record anywhere among 5 M ticks", "a record", count, own, None);
            own.wall
        });
    });
}

/// One portfolio's 100,000 records among 10 M ticks of others, scattered evenly.
fn stream_among_others(criterion: &mut Criterion) {
    const OTHERS: usize = 10_000_000;
    const OWN: usize = 100_000;
    let dir = directory();
    let ledger = ledger(dir.path());
    let (mut market, mut broker) = (Market::open(), Broker::new(1));
    let stream = broker.fill().stream;
    let per_fill = OTHERS / OWN;
    for _ in 0..OTHERS / 10_000 {
        let mut batch = Vec::with_capacity(10_000 + 10_000 / per_fill);
        for _ in 0..10_000 / per_fill {
            batch.push(broker.fill());
            batch.extend(market.ticks(per_fill));
        }
        ledger.append(Append::of(batch)).expect("the disk has room");
    }
    ledger.seal_now().expect("the disk has room");
    assert!(ledger.flush_index());
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(OWN as u64));
    let name = "a stream of 100,000 among 10 M others";
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|count| {
            let (own, ()) = Took::by(|| {
                for _ in 0..count {
                    let mut seen = 0;
                    ledger
                        .scan_stream(&stream, 1, usize::MAX, daybook_ledger::Direction::Forward, &mut |_| {
                            seen += 1;
                            ControlFlow::Continue(())
                        })
                        .expect("the log is sound");
                    assert_eq!(seen, OWN);
                }
            });
            note(name, "a record", count * OWN as u64, own, None);
            own.wall
        });
    });
    let last = ledger.stream_version(&stream).expect("the index answers").unwrap_or(0);
    let name = "the last 100 of that stream";
    group.throughput(Throughput::Elements(100));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|count| {
            let (own, ()) = Took::by(|| {
                for _ in 0..count {
                    let found = ledger.read_stream(&stream, last, 100, daybook_ledger::Direction::Backward);
                    assert_eq!(found.expect("the log is sound").len(), 100);
                }
            });
            note(name, "a record", count * 100, own, None);
            own.wall
        });
    });
    group.finish();
}

/// Keys looked up among those of 2 M fills: what every keyed append asks first.
fn keys(criterion: &mut Criterion) {
    const FILLS: usize = 2_000_000;
    let dir = directory();
    let mut broker = Broker::new(1_000);
    let mut known = Vec::new();
    let ledger = filled(dir.path(), FILLS, |count| {
        let fills = broker.fills(count);
        known.extend(fills.iter().step_by(100).filter_map(|fill| fill.key.clone()));
        fills
    });
    let mut random = Random::new(5);
    let mut group = criterion.benchmark_group("keys");
    for (name, is_known) in [("a key that is not known", false), ("a key that is, and its record", true)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let wanted: Vec<Box<str>> = (0..count)
                    .map(|_| {
                        let place = random.below(known.len() as u64);
                        let key = &known[usize::try_from(place).expect("a place in memory")];
                        if is_known { key.clone() } else { format!("{key}?").into() }
                    })
                    .collect();
                let (own, ()) = Took::by(|| {
                    for key in &wanted {
                        assert_eq!(ledger.find_key(key).expect("the log is sound").is_some(), is_known);
                    }
                });
                note(name, "a key", count, own, None);
                own.wall
            });
        });
    }
    group.finish();
    print_table();
    print_sizes(dir.path(), FILLS);
}

criterion_group! {
    name = reading;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5));
    targets = scans, stream_among_others, keys
}
criterion_main!(reading);
