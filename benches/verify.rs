//! Verifying, and hashing the tree anew, beside SHA-256 alone over the same bytes.

#![allow(missing_docs, reason = "criterion's macros define public functions")]

mod lifelike;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use daybook_ledger::{Ledger, NewRecord, Options, verify};
use lifelike::{Broker, Market, Took, directory, filled, note, print_sizes, print_table};
use sha2::{Digest, Sha256};

const SHA: &str = "SHA-256 of the same leaves and nodes";

/// The canonical records one behind the other, and where each ends.
struct Leaves {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Leaves {
    fn of(ledger: &Ledger) -> Leaves {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        ledger
            .scan(1, u64::MAX, &mut |record| {
                record.encode_canonical(&mut bytes);
                ends.push(bytes.len());
                ControlFlow::Continue(())
            })
            .expect("the log is sound");
        Leaves { bytes, ends }
    }

    /// Hashes every leaf and one node for each on every processor, and says how long that took.
    fn hash(&self) -> Duration {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for part in 0..threads {
                scope.spawn(move || {
                    let at = |part: usize| self.ends.len() * part / threads;
                    let mut from = at(part).checked_sub(1).map_or(0, |last| self.ends[last]);
                    let mut node = [1; 65];
                    for end in &self.ends[at(part)..at(part + 1)] {
                        let leaf =
                            Sha256::new_with_prefix([0]).chain_update(&self.bytes[from..*end]).finalize();
                        node[33..].copy_from_slice(&leaf);
                        let above = Sha256::digest(node);
                        node[1..33].copy_from_slice(&above);
                        from = *end;
                    }
                    std::hint::black_box(node);
                });
            }
        });
        begun.elapsed()
    }
}

fn verifying(criterion: &mut Criterion) {
    const TICKS: usize = 3_000_000;
    const FILLS: usize = 1_000_000;
    let mut market = Market::open();
    ledger_of(criterion, "ticks", TICKS, |count| market.ticks(count));
    let mut broker = Broker::new(1_000);
    ledger_of(criterion, "keyed fills", FILLS, |count| broker.fills(count));
    print_table();
}

fn ledger_of(criterion: &mut Criterion, of: &str, count: usize, next: impl FnMut(usize) -> Vec<NewRecord>) {
    let dir = directory();
    let ledger = filled(dir.path(), count, next);
    let leaves = Leaves::of(&ledger);
    ledger.close().expect("the disk has room");
    let mut group = criterion.benchmark_group("verify");
    group.throughput(Throughput::Elements(count as u64));
    let mut run = |name: String, pass: &dyn Fn(&Path)| {
        group.bench_function(&name, |bencher| {
            bencher.iter_custom(|times| {
                let (mut own, mut limit) = (Took::default(), Duration::ZERO);
                for _ in 0..times {
                    own.add(Took::by(|| pass(dir.path())).0);
                    limit += leaves.hash();
                }
                note(&name, "an event", times * count as u64, own, Some((SHA, limit)));
                own.wall
            });
        });
    };
    run(format!("verify {of}"), &|path| {
        let verified = verify(path, &Options::default()).expect("nothing is wrong");
        assert_eq!(verified.head, count as u64);
    });
    run(format!("the tree over {of}, hashed anew"), &|path| {
        let options = Options { read_only: true, ..Options::default() };
        let (ledger, _) = Ledger::open(path, options).expect("nothing is wrong");
        std::hint::black_box(ledger.root(count as u64).expect("the tree is in the records"));
    });
    group.finish();
    print_sizes(dir.path(), count);
}

criterion_group! {
    name = checking;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5));
    targets = verifying
}
criterion_main!(checking);
