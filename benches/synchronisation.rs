//! From a fill at the broker to its event in the log, and a backfill of a hundred thousand activities: the real
//! executable against the stand-in broker, beside what the broker's own rate limit allows.
//!
//! `cargo bench --bench synchronisation`; about two minutes.

use daybook_simulator::world::Event;
use daybook_simulator::{Hours, Keys, Limits, Running, StandIn, SystemClock, World};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const KEY: &str = "PKBENCH";
/// Fills whose way to the log is timed, one every half second.
const FILLS: usize = 200;
/// Fills of the backfill.
const BACKFILL: u32 = 100_000;

fn now() -> daybook_schemas::Timestamp {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("it is after 1970")
        .as_nanos();
    daybook_schemas::Timestamp::from_nanos(i64::try_from(nanos).expect("it is before 2262"))
}

fn world() -> World {
    let mut world = World::new(5, now().plus_nanos(-3_600_000_000_000));
    world.set_hours(Hours::Always);
    world.limits = Limits { per_minute: None, ..Limits::default() };
    world.open(&Keys::new(KEY, "secret"), true, 1_000_000_000.into());
    world
}

fn daybook(data: &Path, broker: Option<&Running>, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybook"));
    command.args(arguments).arg("--data").arg(data).stderr(Stdio::piped()).stdout(Stdio::piped());
    if let Some(broker) = broker {
        command
            .env("APCA_API_KEY_ID", KEY)
            .env("APCA_API_SECRET_KEY", "secret")
            .env("APCA_API_BASE_URL", broker.base_url())
            .env("APCA_API_STREAM_URL", broker.stream_url());
    }
    command
}

fn output(mut command: Command) -> String {
    let output = command.output().expect("the executable runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}

/// Milliseconds from a fill at the broker to its record, smallest first.
fn latencies(directory: &Path) -> Vec<f64> {
    let data = directory.join("live");
    let portfolio = output(daybook(&data, None, &["portfolio", "open", "Bench"]));
    let broker = StandIn::start("127.0.0.1:0", world(), SystemClock).expect("a port is free");
    let mut service = daybook(&data, Some(&broker), &["sync", "alpaca", "--portfolio", portfolio.trim()])
        .spawn()
        .expect("the executable runs");
    let mut said = BufReader::new(service.stderr.take().expect("it is piped")).lines();
    // It says what it keeps in step once it runs; the socket takes a moment longer.
    let _ = said.next();
    std::thread::sleep(Duration::from_secs(3));
    for _ in 0..FILLS {
        broker.world().happen(KEY, &Event::Trade).expect("the account is there");
        std::thread::sleep(Duration::from_millis(500));
    }
    std::thread::sleep(Duration::from_secs(3));
    let _ = Command::new("kill").args(["-TERM", &service.id().to_string()]).status();
    let _ = service.wait();
    let instant = |value: &Value| {
        let text = value.as_str().expect("an instant is a string");
        daybook_schemas::Timestamp::parse(text).expect("an instant").nanos()
    };
    let mut waits: Vec<f64> = output(daybook(&data, None, &["export", "jsonl"]))
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["type"] == "TradeExecuted")
        .map(|event| {
            let wait = instant(&event["recorded_at"]) - instant(&event["occurred_at"]);
            let wait = u64::try_from(wait)
                .expect("both sides read one clock, and a fill is recorded after it happened");
            Duration::from_nanos(wait).as_secs_f64() * 1_000.0
        })
        .collect();
    waits.sort_by(f64::total_cmp);
    assert_eq!(waits.len(), FILLS, "every fill is recorded, once");
    waits
}

/// Seconds of a whole backfill, seconds of it that went into understanding and recording rows, and the rows.
fn backfill(directory: &Path) -> (f64, f64, u64) {
    let data = directory.join("backfill");
    let portfolio = output(daybook(&data, None, &["portfolio", "open", "Bench"]));
    let mut world = world();
    for _ in 0..BACKFILL / 100 {
        world.happen(KEY, &Event::Burst(100)).expect("the account is there");
    }
    let broker = StandIn::start("127.0.0.1:0", world, SystemClock).expect("a port is free");
    let config = directory.join("bench.toml");
    let account = format!(
        "[[alpaca]]\nname = \"bench\"\nportfolio = \"{}\"\nkey_id_env = \"BENCH_KEY\"\nsecret_key_env = \"BENCH_SECRET\"\nbase_url = \"{}\"\nrequests_per_second = 1000\n",
        portfolio.trim(),
        broker.base_url()
    );
    std::fs::write(&config, account).expect("the directory can be written to");
    let file = config.to_str().expect("a plain path");
    let mut command =
        daybook(&data, None, &["sync", "alpaca", "--once", "--format", "json", "--config", file]);
    command.env("BENCH_KEY", KEY).env("BENCH_SECRET", "secret");
    let began = Instant::now();
    let printed = output(command);
    let took = began.elapsed().as_secs_f64();
    let report: Value = serde_json::from_str(&printed).expect("it prints JSON");
    let fills = report[0]["events"]["TradeExecuted"].as_u64().unwrap_or(0);
    assert_eq!(fills, u64::from(BACKFILL), "the backfill is whole: {report}");
    assert_eq!(report[0]["breaks"], serde_json::json!([]), "and the books agree");
    let recording = report[0]["recording_seconds"].as_f64().expect("it says how long it recorded");
    (took, recording, fills)
}

fn main() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut out = io::stdout().lock();
    let (took, recording, rows) = backfill(directory.path());
    // 200 requests a minute of a hundred rows each.
    let allowed = f64::from(BACKFILL) / 100.0 / 200.0 * 60.0;
    writeln!(
        out,
        "backfill of {rows} fills: {took:.2} s against a broker without a limit, of which {recording:.2} s understanding and recording; a limit of 200 requests a minute allows it in {allowed:.0} s"
    )?;
    let waits = latencies(directory.path());
    let at = |share: usize| {
        waits.get((waits.len() * share / 100).min(waits.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    };
    writeln!(
        out,
        "from a fill to its event, {} fills: median {:.0} ms, 90th percentile {:.0} ms, 99th {:.0} ms, longest {:.0} ms",
        waits.len(),
        at(50),
        at(90),
        at(99),
        at(100)
    )
}
