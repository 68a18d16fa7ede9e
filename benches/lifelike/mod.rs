//! What the benchmarks share: lifelike ticks and fills, the bare disk to compare with, and the table at the end.

#![allow(dead_code, reason = "each benchmark uses its part")]
#![allow(clippy::print_stdout, reason = "a benchmark shows what it measured")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "random numbers below a small end fit whatever they are used for"
)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use daybook_ledger::{Append, Ledger, NewRecord, Options};
use daybook_schemas::events::{PriceTick, Side, TickKind, TradeExecuted};
use daybook_schemas::{
    AccountId, BrokerOrderId, Currency, Day, Event, ExecutionId, InstrumentId, Multiplier, PortfolioId,
    Price, Quantity, When, stream,
};
use rust_decimal::Decimal;
use tempfile::TempDir;

/// Symbols that tick.
pub(crate) const SYMBOLS: usize = 500;

/// 2026-01-05T14:30:00Z in nanoseconds: a Monday's opening bell.
const OPENING: i64 = 1_767_623_400_000_000_000;

/// A small generator of random numbers (xorshift*), so that every run sees the same data.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    fn bytes(&mut self) -> [u8; 16] {
        (u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes()
    }
}

/// A market of [`SYMBOLS`] random walks whose prices are seen at jittered times, some symbols far more often.
pub(crate) struct Market {
    random: Random,
    now: i64,
    symbols: Vec<(InstrumentId, Arc<str>, i64)>,
    actor: Arc<str>,
    source: Arc<str>,
}

impl Market {
    pub(crate) fn open() -> Market {
        let mut random = Random::new(7);
        let symbols = (0..SYMBOLS)
            .map(|_| {
                let id = InstrumentId::from_bytes(random.bytes());
                (id, stream::market("alpaca", id).into(), 1_000 + random.below(60_000) as i64)
            })
            .collect();
        Market { random, now: OPENING, symbols, actor: "daemon".into(), source: "alpaca".into() }
    }

    pub(crate) fn tick(&mut self) -> NewRecord {
        let random = &mut self.random;
        let rank = random.below(SYMBOLS as u64).min(random.below(SYMBOLS as u64)) as usize;
        self.now += random.below(400_000) as i64;
        let (instrument, stream, cents) = &mut self.symbols[rank];
        *cents = (*cents + random.below(21) as i64 - 10).max(1);
        let size = 1 + random.below(10) * random.below(60);
        let tick = PriceTick {
            instrument: *instrument,
            price: Price::new(Decimal::new(*cents, 2)),
            currency: Currency::from_code("USD").expect("a known code"),
            size: Some(Quantity::new(Decimal::from(size))),
            kind: TickKind::Trade,
        };
        let event = Event::PriceTick(tick);
        NewRecord {
            stream: Arc::clone(stream),
            type_id: event.event_type().id(),
            schema_version: event.event_type().schema_version(),
            codec: daybook_schemas::CODEC_BINCODE,
            occurred_at: self.now,
            actor: Arc::clone(&self.actor),
            source: Arc::clone(&self.source),
            key: None,
            content_hash: None,
            import: None,
            correlation: None,
            payload: event.encode().expect("a tick is short").into(),
        }
    }

    pub(crate) fn ticks(&mut self, count: usize) -> Vec<NewRecord> {
        (0..count).map(|_| self.tick()).collect()
    }
}

/// Portfolios that trade at a broker, each fill with its idempotency key and the hash of its source row.
pub(crate) struct Broker {
    random: Random,
    now: i64,
    portfolios: Vec<(Arc<str>, AccountId)>,
    instruments: Vec<(InstrumentId, i64)>,
    actor: Arc<str>,
    source: Arc<str>,
    fills: u64,
}

impl Broker {
    pub(crate) fn new(portfolios: usize) -> Broker {
        let mut random = Random::new(11);
        let portfolios = (0..portfolios)
            .map(|_| {
                let id = PortfolioId::from_bytes(random.bytes());
                (stream::portfolio(id).into(), AccountId::from_bytes(random.bytes()))
            })
            .collect();
        let instruments = (0..SYMBOLS)
            .map(|_| (InstrumentId::from_bytes(random.bytes()), 1_000 + random.below(60_000) as i64))
            .collect();
        Broker {
            random,
            now: OPENING,
            portfolios,
            instruments,
            actor: "importer".into(),
            source: "alpaca".into(),
            fills: 0,
        }
    }

    pub(crate) fn fill(&mut self) -> NewRecord {
        let random = &mut self.random;
        let (stream, account) = &self.portfolios[random.below(self.portfolios.len() as u64) as usize];
        let (instrument, cents) = &mut self.instruments[random.below(SYMBOLS as u64) as usize];
        *cents = (*cents + random.below(21) as i64 - 10).max(1);
        self.now += random.below(2_000_000_000) as i64;
        self.fills += 1;
        let order = random.bytes();
        let execution = format!("20260105{:09}::{:016x}", self.fills, random.next());
        let side = if random.below(5) < 3 { Side::Buy } else { Side::Sell };
        let quantity = Decimal::from(1 + random.below(20) * random.below(50));
        let trade = TradeExecuted {
            entry: daybook_schemas::events::Entry::new(
                *account,
                When::At(daybook_schemas::Timestamp::from_nanos(self.now)),
                Day::from_ymd(2026, 1, 5).expect("a day"),
            ),
            instrument: *instrument,
            side,
            effect: daybook_schemas::events::Effect::Unstated,
            quantity: Quantity::new(quantity),
            price: Some(Price::new(Decimal::new(*cents, 2))),
            currency: Currency::from_code("USD").expect("a known code"),
            multiplier: Multiplier::new(Decimal::ONE),
            net_amount: None,
            charges: Vec::new(),
            accrued_interest: None,
            order: Some(BrokerOrderId::new(format!("{:032x}", u128::from_be_bytes(order)))),
            execution: Some(ExecutionId::new(execution.as_str())),
            cumulative_quantity: None,
            lots: Vec::new(),
            strategy: None,
            plan: None,
            recommendation: None,
            venue: None,
            fx_rate: None,
        };
        let event = Event::TradeExecuted(trade);
        let payload = event.encode().expect("a fill is short");
        NewRecord {
            stream: Arc::clone(stream),
            type_id: event.event_type().id(),
            schema_version: event.event_type().schema_version(),
            codec: daybook_schemas::CODEC_BINCODE,
            occurred_at: self.now,
            actor: Arc::clone(&self.actor),
            source: Arc::clone(&self.source),
            key: Some(format!("alpaca:fill:{execution}").into()),
            content_hash: Some(*blake3::hash(&payload).as_bytes()),
            import: None,
            correlation: None,
            payload: payload.into(),
        }
    }

    pub(crate) fn fills(&mut self, count: usize) -> Vec<NewRecord> {
        (0..count).map(|_| self.fill()).collect()
    }
}

/// A directory on the disk under test: `DAYBOOK_BENCH_DIR`, else beside the build.
pub(crate) fn directory() -> TempDir {
    let parent = std::env::var_os("DAYBOOK_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    fs::create_dir_all(&parent).expect("the directory for the benchmarks can be made");
    tempfile::Builder::new().prefix("daybook-bench-").tempdir_in(parent).expect("a temporary directory")
}

/// A new ledger as a service opens it.
pub(crate) fn ledger(dir: &Path) -> Ledger {
    Ledger::open(dir, Options { create: true, ..Options::default() }).expect("a new ledger").0
}

/// Fills a new ledger with `count` records in batches of 10,000, then seals it.
pub(crate) fn filled(dir: &Path, count: usize, mut next: impl FnMut(usize) -> Vec<NewRecord>) -> Ledger {
    let ledger = ledger(dir);
    let mut left = count;
    while left > 0 {
        let size = left.min(10_000);
        ledger.append(Append::of(next(size))).expect("the disk has room");
        left -= size;
    }
    ledger.seal_now().expect("the disk has room");
    assert!(ledger.flush_index(), "the index takes everything in");
    ledger
}

/// The bare disk: bytes written into a preallocated, zero-filled file and synced.
pub(crate) struct BareDisk {
    file: File,
    at: u64,
    room: u64,
}

impl BareDisk {
    pub(crate) fn new(dir: &Path) -> BareDisk {
        const ROOM: u64 = 64 << 20;
        let path = dir.join("bare");
        fs::write(&path, vec![0; ROOM as usize]).expect("the disk has room");
        let file = File::options().read(true).write(true).open(&path).expect("the file was just made");
        file.sync_all().expect("the disk answers");
        BareDisk { file, at: 0, room: ROOM }
    }

    pub(crate) fn write_and_sync(&mut self, bytes: &[u8]) {
        if self.at + bytes.len() as u64 > self.room {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at).expect("the disk answers");
        self.file.sync_data().expect("the disk answers");
        self.at += bytes.len() as u64;
    }
}

/// The bytes that a frame of these records takes.
pub(crate) fn frame_bytes(records: &[NewRecord]) -> Vec<u8> {
    use daybook_ledger::frame::{BodyBuilder, CommitTail, FRAME_HEADER_BYTES};
    let mut builder = BodyBuilder::new(1);
    for record in records {
        let id = builder.stream_id(&record.stream, || Ok::<u64, ()>(1)).expect("versions are given");
        builder.push_new(id, record, OPENING);
    }
    builder.end_part(0, 0, OPENING, &CommitTail::default());
    let mut bytes = vec![0; FRAME_HEADER_BYTES];
    builder.encode(&mut bytes);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// Resident memory of this process now and at its most, in MiB.
pub(crate) fn resident_mib() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name| {
        let line = status.lines().find(|line: &&str| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// How long something took: by the clock, and in processor time of all threads.
///
/// The kernel counts processor time in hundredths of a second, so that only long spans have any that means much.
#[derive(Clone, Copy, Default)]
pub(crate) struct Took {
    pub(crate) wall: Duration,
    processor: Option<Duration>,
}

impl Took {
    /// Times something that takes a good part of a second.
    pub(crate) fn by<T>(work: impl FnOnce() -> T) -> (Took, T) {
        let before = processor_time();
        let begun = Instant::now();
        let result = work();
        let wall = begun.elapsed();
        let processor = processor_time().zip(before).map(|(after, before)| after.saturating_sub(before));
        (Took { wall, processor }, result)
    }

    pub(crate) fn wall(wall: Duration) -> Took {
        Took { wall, processor: None }
    }

    pub(crate) fn add(&mut self, other: Took) {
        self.wall += other.wall;
        self.processor = match (self.processor, other.processor) {
            (Some(sum), Some(more)) => Some(sum + more),
            (sum, more) => sum.or(more),
        };
    }
}

/// User and system time of this process, threads that ended included.
fn processor_time() -> Option<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u32 = fields.next()?.parse::<u32>().ok()? + fields.next()?.parse::<u32>().ok()?;
    Some(TICK * ticks)
}

/// Rows of the table: what was measured, seconds a unit, and the same of what it is compared with.
static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

struct Row {
    name: String,
    unit: &'static str,
    /// Seconds a unit, one value a sample.
    own: Vec<f64>,
    processor: Vec<f64>,
    limit: Vec<f64>,
    limit_name: &'static str,
}

/// Notes one sample: how long `units` took, and how long the peer or physical limit took for as many.
pub(crate) fn note(
    name: &str,
    unit: &'static str,
    units: u64,
    own: Took,
    limit: Option<(&'static str, Duration)>,
) {
    let mut rows = ROWS.lock().expect("no benchmark panics");
    let at = rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
        let limit_name = limit.map_or("", |(name, _)| name);
        rows.push(Row {
            name: name.to_owned(),
            unit,
            own: Vec::new(),
            processor: Vec::new(),
            limit: Vec::new(),
            limit_name,
        });
        rows.len() - 1
    });
    let row = &mut rows[at];
    row.own.push(own.wall.as_secs_f64() / units as f64);
    row.processor.extend(own.processor.map(|took| took.as_secs_f64() / units as f64));
    row.limit.extend(limit.map(|(_, took)| took.as_secs_f64() / units as f64));
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn shown(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.1} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.1} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

fn rate(seconds: f64) -> String {
    match 1.0 / seconds {
        r if r >= 1e6 => format!("{:.2} M/s", r / 1e6),
        r if r >= 1e3 => format!("{:.1} k/s", r / 1e3),
        r => format!("{r:.1} /s"),
    }
}

/// Prints the table: medians of the samples, and the ratio to what ran beside it in the same samples.
pub(crate) fn print_table() {
    let rows = ROWS.lock().expect("no benchmark panics");
    println!("\n| | a unit takes | that is | processor time | beside it | it takes | ratio |");
    println!("|---|---|---|---|---|---|---|");
    for row in rows.iter() {
        let own = median(&row.own);
        let (limit, ratio) = if row.limit.is_empty() {
            (String::new(), String::new())
        } else {
            // The two of one sample saw the same moment of the machine.
            let ratios: Vec<f64> = row.own.iter().zip(&row.limit).map(|(own, limit)| own / limit).collect();
            (shown(median(&row.limit)), format!("{:.2}", median(&ratios)))
        };
        println!(
            "| {}, {} | {} | {} | {} | {} | {limit} | {ratio} |",
            row.name,
            row.unit,
            shown(own),
            rate(own),
            if row.processor.is_empty() { String::new() } else { shown(median(&row.processor)) },
            row.limit_name
        );
    }
    let (now, most) = resident_mib();
    println!("\nresident memory: {now} MiB at the end, {most} MiB at most\n");
}

/// Prints what a ledger of `events` takes on the disk.
pub(crate) fn print_sizes(dir: &Path, events: usize) {
    let [log, index] = [dir.to_owned(), dir.join("index")].map(|dir| bytes_below(&dir));
    let each = |bytes: u64| bytes as f64 / events as f64;
    println!(
        "on disk: {:.0} bytes an event in the log, {:.0} in the index\n",
        each(log - index),
        each(index)
    );
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
            _ => entry.metadata().map_or(0, |metadata| metadata.len()),
        })
        .sum()
}
