//! Schedules from a seed: fills, late rows, amendments, faults of every kind, and the daemon killed again and again. In
//! the end the ledger says what the broker's books say, fill for fill.

use super::stage::{Disk, KEY, Stage};
use crate::journal::{Journal, Moment, decode};
use crate::sync::alpaca::engine::Flaw;
use crate::sync::board::State;
use daybook_ledger::{Direction, PutFault};
use daybook_projections::AsOf;
use daybook_schemas::events::{Side, TradeExecuted};
use daybook_schemas::{Day, Event, Timestamp, stream};
use daybook_simulator::{Books, Hours, Keys, Life, PerMillion, Rates, World};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How many schedules are run, unless `DAYBOOK_SCHEDULES` says otherwise.
const SCHEDULES: u64 = 300;

fn schedules() -> std::ops::Range<u64> {
    let number = |name: &str, usual| {
        std::env::var(name).map_or(usual, |text| text.parse().expect("a number of schedules"))
    };
    let first = number("DAYBOOK_SCHEDULE", 0);
    first..first + number("DAYBOOK_SCHEDULES", SCHEDULES)
}

/// What a schedule came to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// What is wrong with the ledger, in words; empty where nothing is.
    wrong: Vec<String>,
    /// The hash of all records.
    digest: [u8; 32],
    fills: usize,
}

/// Plays a schedule to its end. What changes of rows that are older than a week is found by reading the last ninety days
/// alone; `deep` says whether that is waited for.
fn play(seed: u64, flaw: Flaw, deep: bool) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(perform(seed, flaw, deep))
}

async fn perform(seed: u64, flaw: Flaw, deep: bool) -> Outcome {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    // Some schedules play across the hour that the autumn gives twice.
    let start = if dice.random_bool(0.2) { "2025-11-02T05:40:00Z" } else { "2025-03-12T15:00:00Z" };
    let start = Timestamp::parse(start).unwrap();
    // Some accounts have a history before the daemon is first started.
    let history = dice.random_bool(0.3);
    let opened = if history { start.plus_nanos(-30 * 86_400 * 1_000_000_000) } else { start };
    let mut world = World::new(seed, opened);
    world.set_hours(Hours::Always);
    let keys = Keys::new(KEY, "secret");
    world.open(&keys, dice.random_bool(0.5), Decimal::from(100_000));
    if history {
        world.scatter(KEY, opened, start, dice.random_range(5..40));
        world.advance(start);
    }
    let minutes = dice.random_range(2..6);
    let length = Duration::from_secs(60 * minutes);
    let end = start.plus_nanos(i64::try_from(length.as_nanos()).unwrap());
    world.animate(Life::new(seed, KEY, dice.random_range(120..720)));
    world.scatter(KEY, start, end, dice.random_range(0..8));
    world.faults.rates = match dice.random_range(0..4) {
        0 => Rates::default(),
        1 => Rates::all(PerMillion(5_000)),
        2 => Rates::all(PerMillion(30_000)),
        _ => {
            let mut rate =
                || PerMillion(if dice.random_bool(0.3) { dice.random_range(0..200_000) } else { 0 });
            Rates {
                too_many_requests: rate(),
                server_error: rate(),
                error_with_200: rate(),
                truncated: rate(),
                hang: rate(),
                slow: rate(),
                reset: rate(),
                dropped: rate(),
                replayed: rate(),
                duplicated: rate(),
                reordered: rate(),
                garbage: rate(),
                silent: rate(),
                closed: rate(),
                socket_reset: rate(),
            }
        }
    };
    let stage = Stage::new(world, keys, seed);
    let mut disk = Disk::new(stage.clone());
    let kills = dice.random_range(0..5);
    let mut left = length;
    for _ in 0..kills {
        let time = left.mul_f64(dice.random_range(0.0..0.6));
        disk.run_for(flaw, time, failing(&mut dice)).await;
        left = left.saturating_sub(time);
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..30_000))).await;
    }
    disk.run_for(flaw, left, failing(&mut dice)).await;
    // Whatever still went wrong on the way is over; the daemon has a few minutes to find what it missed, and
    // looks for it more often than usual.
    {
        let mut world = stage.world();
        world.rest();
        world.faults.rates = Rates::default();
    }
    disk.sweeps.0 = Duration::from_secs(150);
    if deep {
        disk.sweeps.1 = Duration::from_secs(150);
    }
    let status = disk.run_for(flaw, Duration::from_secs(240), Vec::new()).await;
    let books = stage.world().books(KEY).unwrap();
    let journal = disk.open();
    let mut wrong = compare(&journal, &disk, &books);
    if status.state == State::Halted {
        wrong.push(format!("halted: {:?}", status.detail));
    }
    Outcome { wrong, digest: digest(&journal), fills: books.fills.len() }
}

/// A disk that is full for a while, or that fails in the middle of a commit, which is then there or not.
fn failing(dice: &mut ChaCha8Rng) -> Vec<PutFault> {
    if dice.random_bool(0.6) {
        return Vec::new();
    }
    let mut plan = vec![PutFault::None; dice.random_range(0..6)];
    match dice.random_range(0..3) {
        0 => plan.extend(vec![PutFault::NoSpace; dice.random_range(1..4)]),
        1 => plan.push(PutFault::LostWrite),
        _ => plan.push(PutFault::StoredAnyway),
    }
    plan
}

/// The fills that stand in the ledger, by the broker's id, and every other thing that is wrong with the books.
fn compare(journal: &Journal, disk: &Disk, books: &Books) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut trades: BTreeMap<u64, TradeExecuted> = BTreeMap::new();
    let mut reversed = BTreeSet::new();
    let name = stream::portfolio(disk.portfolio);
    journal
        .ledger()
        .scan_stream(&name, 1, usize::MAX, Direction::Forward, &mut |record| {
            match decode(record).unwrap() {
                Event::TradeExecuted(trade) => {
                    trades.insert(record.sequence, trade);
                }
                Event::EventReversed(event) => {
                    reversed.insert(event.target);
                }
                _ => {}
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    trades.retain(|sequence, _| !reversed.contains(sequence));
    let mut by_id: BTreeMap<String, Vec<&TradeExecuted>> = BTreeMap::new();
    for trade in trades.values() {
        let id = trade.entry.external_id.as_ref().map(ToString::to_string).unwrap_or_default();
        by_id.entry(id).or_default().push(trade);
    }
    for booked in &books.fills {
        let found = by_id.remove(&*booked.id).unwrap_or_default();
        match (found.as_slice(), booked.fill.busted) {
            ([], true) => {}
            ([trade], false) => {
                let fill = &booked.fill;
                let side = if trade.side == Side::Sell { "sell" } else { "buy" };
                let same = trade.quantity.get() == fill.quantity
                    && trade.price.map(daybook_schemas::Price::get) == Some(fill.price)
                    && fill.side.code().starts_with(side)
                    && trade.order.as_ref().map(daybook_schemas::BrokerOrderId::as_str)
                        == Some(&*fill.order_id);
                if !same {
                    wrong.push(format!("fill {} is another one here: {trade:?}", booked.id));
                }
            }
            ([], false) => wrong.push(format!("fill {} is lost", booked.id)),
            ([_], true) => wrong.push(format!("fill {} was taken back and stands", booked.id)),
            (several, _) => wrong.push(format!("fill {} is there {} times", booked.id, several.len())),
        }
    }
    for id in by_id.keys() {
        wrong.push(format!("fill {id} is none of the broker's"));
    }
    wrong.extend(misordered(journal, disk, &trades));
    wrong.extend(differing(journal, disk, books));
    wrong
}

/// Orders whose fills do not stand in the order in which they were filled.
fn misordered(journal: &Journal, disk: &Disk, trades: &BTreeMap<u64, TradeExecuted>) -> Vec<String> {
    let mut reached: BTreeMap<String, Decimal> = BTreeMap::new();
    let mut wrong = Vec::new();
    let entries = journal.portfolio(disk.portfolio, &all(), |view| Ok(view.entries())).unwrap();
    for entry in entries {
        let Some(trade) = trades.get(&entry.meta.sequence) else { continue };
        let (Some(order), Some(cumulative)) = (&trade.order, trade.cumulative_quantity) else { continue };
        let reached = reached.entry(order.to_string()).or_default();
        if cumulative.get() < *reached {
            wrong.push(format!("order {order} goes back from {reached} to {cumulative}"));
        }
        *reached = cumulative.get();
    }
    wrong
}

/// Cash and units that are not what the broker has. What could not be understood is known to be missing.
fn differing(journal: &Journal, disk: &Disk, books: &Books) -> Vec<String> {
    let aside: Decimal = books
        .non_trades
        .iter()
        .filter(|booked| booked.row.activity_type == "XQZ")
        .map(|booked| booked.row.cash_effect())
        .sum();
    journal
        .portfolio(disk.portfolio, &all(), |view| {
            let mut wrong = Vec::new();
            let cash: Decimal = view.state.cash.values().map(|amount| amount.0).sum();
            if cash != books.cash - aside {
                wrong.push(format!("cash is {cash} here and {} at the broker, {aside} aside", books.cash));
            }
            let mut ours: BTreeMap<String, Decimal> = BTreeMap::new();
            for (_, instrument, holding) in view.holdings() {
                let symbol = view.symbol(instrument).unwrap_or("?").to_owned();
                *ours.entry(symbol).or_default() += holding.quantity;
            }
            let theirs: BTreeMap<String, Decimal> =
                books.positions.iter().map(|(symbol, quantity)| (symbol.clone(), *quantity)).collect();
            if ours != theirs {
                wrong.push(format!("units are {ours:?} here and {theirs:?} at the broker"));
            }
            Ok(wrong)
        })
        .unwrap()
}

fn all() -> Moment {
    Moment { as_of: Some(AsOf::Day(Day::parse("2026-06-01").unwrap())), ..Moment::default() }
}

/// The hash of all records, with everything that stands in them.
fn digest(journal: &Arc<Journal>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    journal
        .ledger()
        .scan(1, journal.ledger().head(), &mut |record| {
            hasher.update(&record.sequence.to_le_bytes());
            hasher.update(&record.recorded_at.to_le_bytes());
            hasher.update(&record.occurred_at.to_le_bytes());
            hasher.update(record.stream.as_bytes());
            hasher.update(record.key.unwrap_or_default().as_bytes());
            hasher.update(record.payload);
            ControlFlow::Continue(())
        })
        .unwrap();
    *hasher.finalize().as_bytes()
}

#[test]
fn whatever_happens_on_the_way_the_ledger_ends_with_the_brokers_books() {
    let (next, fills) = (AtomicU64::new(schedules().start), AtomicUsize::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| schedules().contains(seed))
                {
                    let outcome = play(seed, Flaw::None, true);
                    assert!(outcome.wrong.is_empty(), "seed {seed}: {:#?}", outcome.wrong);
                    fills.fetch_add(outcome.fills, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(fills.into_inner() > 0, "there was nothing to record");
}

#[test]
fn the_same_seed_gives_the_same_log() {
    for seed in 0..5 {
        let (one, other) = (play(seed, Flaw::None, true), play(seed, Flaw::None, true));
        assert_eq!(one, other, "seed {seed}");
    }
    assert_ne!(play(0, Flaw::None, true).digest, play(1, Flaw::None, true).digest);
}

/// The first of the schedules that shows a flaw.
fn caught(flaw: Flaw) -> u64 {
    // Without the flaw the same schedule is right as far as it goes.
    let shows = |seed: &u64| {
        !play(*seed, flaw, false).wrong.is_empty() && play(*seed, Flaw::None, false).wrong.is_empty()
    };
    let caught = (0..400).find(shows);
    caught.unwrap_or_else(|| panic!("{flaw:?} went unnoticed"))
}

#[test]
fn a_page_token_kept_across_runs_is_noticed() {
    caught(Flaw::TokenKept);
}

#[test]
fn forgotten_keys_are_noticed() {
    caught(Flaw::KeysForgotten);
}

#[test]
fn money_booked_from_the_stream_is_noticed() {
    caught(Flaw::BookedFromSocket);
}

#[test]
fn a_cursor_that_moves_before_its_rows_is_noticed() {
    caught(Flaw::CursorFirst);
}
