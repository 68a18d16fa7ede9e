//! Replaying: every portfolio's book folded anew from the log alone.

#![allow(missing_docs, reason = "criterion's macros define public functions")]

mod lifelike;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use daybook_ledger::{Ledger, RecordView};
use daybook_projections::{Book, Imports, Meta};
use daybook_schemas::{Event, PortfolioId, Timestamp, stream};
use lifelike::{Broker, Took, directory, filled, note, print_table};

const FILLS: usize = 1_000_000;
const PORTFOLIOS: usize = 1_000;
const SCAN: &str = "a scan of the same records";

fn meta(record: &RecordView<'_>) -> Meta {
    Meta {
        sequence: record.sequence,
        occurred_at: Timestamp::from_nanos(record.occurred_at),
        recorded_at: Timestamp::from_nanos(record.recorded_at),
        import: None,
        source_rank: 0,
    }
}

/// Folds the portfolios of one share: of `shares`, the one whose turn their ids' last bytes say it is.
fn replay(ledger: &Ledger, share: u8, shares: u8) -> HashMap<PortfolioId, Book> {
    let mut books: HashMap<PortfolioId, Book> = HashMap::with_capacity(PORTFOLIOS);
    let mut ids: HashMap<Box<str>, Option<PortfolioId>> = HashMap::with_capacity(PORTFOLIOS);
    ledger
        .scan(1, ledger.head(), &mut |record| {
            let id = match ids.get(record.stream) {
                Some(id) => *id,
                None => {
                    let id =
                        stream::portfolio_of(record.stream).filter(|id| id.as_bytes()[15] % shares == share);
                    ids.insert(record.stream.into(), id);
                    id
                }
            };
            if let Some(id) = id {
                let event =
                    Event::decode(record.type_id, record.schema_version, record.codec, record.payload)
                        .expect("fills are decoded");
                books.entry(id).or_insert_with(|| Book::new(id)).take(&meta(record), &event);
            }
            ControlFlow::Continue(())
        })
        .expect("the log is sound");
    let imports = Imports::default();
    for book in books.values_mut() {
        book.refresh(&imports);
    }
    books
}

/// Folds all portfolios, a thread for each share of them.
fn replay_all(ledger: &Ledger, shares: u8) -> Vec<HashMap<PortfolioId, Book>> {
    std::thread::scope(|scope| {
        let shares: Vec<_> =
            (0..shares).map(|share| scope.spawn(move || replay(ledger, share, shares))).collect();
        shares.into_iter().map(|share| share.join().expect("a fold does not panic")).collect()
    })
}

fn scan(ledger: &Ledger) -> Duration {
    let begun = Instant::now();
    let mut bytes = 0;
    ledger
        .scan(1, ledger.head(), &mut |record| {
            bytes += record.payload.len();
            ControlFlow::Continue(())
        })
        .expect("the log is sound");
    assert!(std::hint::black_box(bytes) > FILLS);
    begun.elapsed()
}

fn replays(criterion: &mut Criterion) {
    let dir = directory();
    let mut broker = Broker::new(PORTFOLIOS);
    let ledger = filled(dir.path(), FILLS, |count| broker.fills(count));
    let mut group = criterion.benchmark_group("replay");
    group.throughput(Throughput::Elements(FILLS as u64));
    for (name, shares) in [
        ("1 M fills over 1,000 portfolios, one thread", 1),
        ("1 M fills over 1,000 portfolios, two threads", 2),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let (mut own, mut limit) = (Took::default(), Duration::ZERO);
                for _ in 0..count {
                    let (took, books) = Took::by(|| replay_all(&ledger, shares));
                    own.add(took);
                    assert_eq!(books.iter().map(HashMap::len).sum::<usize>(), PORTFOLIOS);
                    let entries: usize = books.iter().flat_map(HashMap::values).map(Book::len).sum();
                    assert_eq!(entries, FILLS);
                    limit += scan(&ledger);
                }
                note(name, "a fill", count * FILLS as u64, own, Some((SCAN, limit)));
                own.wall
            });
        });
    }
    group.finish();
    print_table();
}

criterion_group! {
    name = replaying;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(10));
    targets = replays
}
criterion_main!(replaying);
