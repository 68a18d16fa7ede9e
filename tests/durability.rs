//! What was acknowledged is there: after `kill -9` under load, after failed syncs, whatever becomes of the index.

use crate::support::{Call, Client, Directory, Service, files_below, flip, strace, traced};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Clients that write at the same time.
const WRITERS: usize = 4;
/// Prices in one request.
const PRICES: u32 = 5;

/// One request of a writer: what it sends, and how it is found again in the log.
#[derive(Clone, Debug)]
struct Request {
    path: String,
    body: Value,
    /// Its `Idempotency-Key`; a transaction has it as its id as well.
    key: String,
}

/// What a writer keeps outside the ledger: every acknowledgement, synced before the next request is sent.
struct Witness {
    path: PathBuf,
    file: File,
}

impl Witness {
    fn new(directory: &Directory, writer: usize) -> Self {
        let path = PathBuf::from(directory.path(&format!("witness-{writer}")));
        let file = File::options().create(true).append(true).open(&path).unwrap();
        Self { path, file }
    }

    /// Writes down what was acknowledged: the event of a transaction, or the import of a batch of prices.
    fn saw(&mut self, key: &str, answer: &Value) {
        let seen = json!({ "key": key, "sequence": answer["sequence"], "import": answer["import"] });
        writeln!(self.file, "{seen}").unwrap();
        self.file.sync_data().unwrap();
    }

    fn read(path: &Path) -> Vec<Value> {
        fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A writer: a portfolio's transactions and batches of prices, one request after the other.
struct Writer {
    name: String,
    portfolio: String,
    random: ChaCha8Rng,
    sent: u32,
    witness: Witness,
    /// What was sent and not answered when the service was killed.
    open: Option<Request>,
}

impl Writer {
    fn next(&mut self) -> Request {
        self.sent += 1;
        let mark = format!("{}-{}x", self.name, self.sent);
        let cents = self.random.random_range(1..100_000);
        if self.random.random_ratio(1, 4) {
            let symbol = format!("{}{}", self.name, self.sent).to_uppercase();
            let items: Vec<Value> = (1..=PRICES)
                .map(|day| json!({ "symbol": symbol, "date": format!("2024-02-{day:02}"), "close": format!("{cents}.{day}") }))
                .collect();
            return Request { path: "/v1/prices".to_owned(), body: json!({ "items": items }), key: mark };
        }
        Request {
            path: format!("/v1/portfolios/{}/transactions", self.portfolio),
            body: json!({
                "time": "2024-01-02", "type": "deposit", "amount": format!("{}.{:02}", cents / 100 + 1, cents % 100),
                "id": mark,
            }),
            key: mark,
        }
    }

    /// Sends a request; false if the service is gone.
    fn send(&mut self, client: &Client, request: &Request) -> bool {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", request.key.as_str())];
        let body = request.body.to_string();
        self.open = Some(request.clone());
        let Ok(answer) = client.try_send("POST", &request.path, &headers, Some(body.as_bytes())) else {
            return false;
        };
        // A service that is being killed may break off an answer, but never gives a wrong one.
        assert!(matches!(answer.status, 200 | 201), "{answer}");
        self.open = None;
        self.witness.saw(&request.key, &answer.json());
        true
    }
}

/// What the log says, held against what must be so of any log.
fn dense(events: &[Value]) {
    let mut versions: HashMap<&str, u64> = HashMap::new();
    let (mut keys, mut recorded) = (HashSet::new(), "");
    for (place, event) in events.iter().enumerate() {
        assert_eq!(event["sequence"], place + 1, "a sequence is missing or stands twice");
        let version = versions.entry(event["stream"].as_str().unwrap()).or_insert(0);
        *version += 1;
        assert_eq!(event["version"], *version, "a version is missing or stands twice: {event}");
        if let Some(key) = event["key"].as_str() {
            assert!(keys.insert(key), "{key} stands twice");
        }
        let at = event["recorded_at"].as_str().unwrap();
        assert!(at.get(..19) >= recorded.get(..19), "the ledger's clock went back");
        recorded = at;
    }
}

/// Every acknowledgement of every writer is in the log, once, and in the order in which it was given.
fn acknowledged(events: &[Value], witnesses: &[PathBuf]) -> usize {
    let mut imports: HashMap<&str, (usize, u64)> = HashMap::new();
    for event in events {
        if let Some(import) = event["import"].as_str() {
            let found = imports.entry(import).or_insert((0, 0));
            found.0 += usize::from(event["type"] == "BarClosed");
            if event["type"] == "FileImported" {
                found.1 = event["sequence"].as_u64().unwrap();
            }
        }
    }
    let mut count = 0;
    for path in witnesses {
        let mut before = 0;
        for seen in Witness::read(path) {
            let key = seen["key"].as_str().unwrap();
            let sequence = match seen["import"].as_str() {
                Some(import) => {
                    let (bars, sequence) = imports.get(import).copied().unwrap_or_default();
                    assert_eq!(bars, PRICES as usize, "acknowledged prices {key} are not all there");
                    assert!(sequence > 0, "acknowledged prices {key} are not visible");
                    sequence
                }
                None => {
                    let sequence = seen["sequence"].as_u64().unwrap();
                    let event = usize::try_from(sequence).ok().and_then(|sequence| events.get(sequence - 1));
                    let event =
                        event.unwrap_or_else(|| panic!("acknowledged event {sequence} ({key}) is gone"));
                    let told = event["key"].as_str().unwrap_or_default();
                    assert!(
                        told.contains(key),
                        "event {sequence} is {event}, and {key} was acknowledged there"
                    );
                    sequence
                }
            };
            assert!(sequence > before, "{key} was acknowledged out of order");
            before = sequence;
            count += 1;
        }
    }
    count
}

/// What happens to the index between two runs.
fn harm_index(directory: &Directory, random: &mut ChaCha8Rng) -> &'static str {
    let index = directory.data().join("index");
    if !index.exists() {
        return "there is none";
    }
    let files: Vec<PathBuf> =
        files_below(&index).into_iter().filter(|path| fs::metadata(path).unwrap().len() > 0).collect();
    match random.random_range(0..6) {
        0 => {
            fs::remove_dir_all(&index).unwrap();
            "deleted"
        }
        1 if !files.is_empty() => {
            for _ in 0..20 {
                let path = &files[random.random_range(0..files.len())];
                let length = fs::metadata(path).unwrap().len();
                flip(path, random.random_range(0..length), random.random_range(0..8));
            }
            "bits flipped"
        }
        2 if !files.is_empty() => {
            let path = &files[random.random_range(0..files.len())];
            let length = fs::metadata(path).unwrap().len();
            File::options().write(true).open(path).unwrap().set_len(length / 2).unwrap();
            "cut short"
        }
        3 if !files.is_empty() => {
            let path = &files[random.random_range(0..files.len())];
            fs::write(path, b"not an index at all").unwrap();
            "overwritten"
        }
        _ => "left alone",
    }
}

/// Loads a service, kills it, and looks; so many times over on one directory. In small segments, kills also fall
/// between one segment and the next, and into the sealing of those that are full.
///
/// `DAYBOOK_IT_SEED` is a number that is added to the seed, for another run.
fn killed(cycles: usize, usual: u64, segment_bytes: u64) {
    let other = std::env::var("DAYBOOK_IT_SEED").ok().map(|seed| usual.wrapping_add(seed.parse().unwrap()));
    let seed = other.unwrap_or(usual);
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let directory = Directory::new().with_segments(segment_bytes);
    let mut writers: Vec<Writer> = (0..WRITERS)
        .map(|writer| Writer {
            name: format!("w{writer}"),
            portfolio: directory.open_portfolio(&format!("Portfolio {writer}")),
            random: ChaCha8Rng::seed_from_u64(seed.wrapping_add(1 + writer as u64)),
            sent: 0,
            witness: Witness::new(&directory, writer),
            open: None,
        })
        .collect();
    let witnesses: Vec<PathBuf> = writers.iter().map(|writer| writer.witness.path.clone()).collect();
    let mut seen = 0;
    for cycle in 0..cycles {
        let service = Service::start(&directory);
        let client = service.client();
        let running = Arc::new(AtomicBool::new(true));
        let answered = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = writers
            .drain(..)
            .map(|mut writer| {
                let (client, running, answered) = (client.clone(), running.clone(), answered.clone());
                thread::spawn(move || {
                    // What was not answered is sent again with its key, as a careful client does.
                    if let Some(open) = writer.open.take()
                        && !writer.send(&client, &open)
                    {
                        return writer;
                    }
                    while running.load(Ordering::Relaxed) {
                        let request = writer.next();
                        if !writer.send(&client, &request) {
                            break;
                        }
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    writer
                })
            })
            .collect();
        // So many answers, however long they take on this machine; then at whatever it is doing.
        let enough = random.random_range(1..60);
        let began = Instant::now();
        while answered.load(Ordering::Relaxed) < enough {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "the service answers nobody: {}",
                service.said()
            );
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(random.random_range(0..20_000)));
        service.kill();
        running.store(false, Ordering::Relaxed);
        writers = threads.into_iter().map(|thread| thread.join().unwrap()).collect();

        let harm = harm_index(&directory, &mut random);
        println!("cycle {cycle}: index {harm}");
        let events = directory.events();
        dense(&events);
        let now = acknowledged(&events, &witnesses);
        assert!(now > seen, "nothing was written in cycle {cycle}");
        seen = now;
    }
    // The last word: a start that recovers, a clean stop, and a ledger that is sound from end to end.
    let service = Service::start(&directory);
    for writer in &mut writers {
        if let Some(open) = writer.open.take() {
            assert!(writer.send(&service.client(), &open));
        }
    }
    service.stop();
    let events = directory.events();
    dense(&events);
    let acknowledgements = acknowledged(&events, &witnesses);
    println!("{acknowledgements} acknowledgements, {} events", events.len());
    // What was sent is there once, whether its answer came or not.
    let mut sent = 0;
    for writer in &writers {
        sent += writer.sent as usize;
        let stream = format!("portfolio-{}", writer.portfolio);
        let keys: Vec<&str> = events
            .iter()
            .filter(|event| event["stream"] == *stream && event["type"] == "CashTransferred")
            .map(|event| event["key"].as_str().unwrap())
            .collect();
        assert_eq!(keys.len(), keys.iter().collect::<HashSet<_>>().len());
    }
    assert_eq!(acknowledgements, sent, "a request was lost, or answered twice");
    let mut bars: HashMap<&str, usize> = HashMap::new();
    for event in events.iter().filter(|event| event["type"] == "BarClosed") {
        *bars.entry(event["stream"].as_str().unwrap()).or_insert(0) += 1;
    }
    for (stream, count) in bars {
        assert_eq!(count, PRICES as usize, "a batch of prices is there in part, or twice: {stream}");
    }
    directory.is_sound();
}

#[test]
fn acknowledged_events_outlive_ten_kills_under_load() {
    killed(10, 11, 1 << 20);
}

#[test]
fn acknowledged_events_outlive_ten_more_kills_under_load() {
    killed(10, 2_222, 64 << 10);
}

#[test]
fn acknowledged_events_outlive_another_ten_kills_under_load() {
    killed(10, 333_333, 64 << 10);
}

#[test]
fn acknowledged_events_outlive_yet_another_ten_kills_under_load() {
    killed(10, 44_444_444, 128 << 10);
}

#[test]
fn acknowledged_events_outlive_the_last_ten_kills_under_load() {
    killed(10, 5_555_555_555, 1 << 20);
}

#[test]
fn each_entry_is_synced_before_it_is_acknowledged() {
    const REQUESTS: usize = 25;
    let (directory, portfolio) = Directory::with_portfolio();
    let trace = directory.path("trace");
    let options = ["-e", "trace=pwrite64,pwritev,write,writev,sendto,sendmsg,fdatasync,fsync"];
    let Some(command) = strace(&directory, &options, &["serve", "--listen", "127.0.0.1:0"], &trace) else {
        println!("skipped: strace cannot be used here");
        return;
    };
    let service = Service::run(&directory, command);
    let process = service.process();
    for request in 0..REQUESTS {
        let body =
            json!({ "time": "2024-01-02", "type": "deposit", "amount": "1", "id": request.to_string() });
        service.client().post(&format!("/v1/portfolios/{portfolio}/transactions"), &body).has(201);
    }
    service.stop();
    let calls = traced(Path::new(&trace), process);
    let sends = ["sendto", "write", "writev", "sendmsg"];
    let answers: Vec<&Call> = calls
        .iter()
        .filter(|call| sends.contains(&&*call.name) && call.text.contains("HTTP/1.1 201"))
        .collect();
    assert_eq!(answers.len(), REQUESTS, "the answers could not all be found in the trace");
    let log = |call: &&Call| call.target().ends_with(".log");
    let mut since = 0;
    for (number, answer) in answers.iter().enumerate() {
        let written = calls
            .iter()
            .filter(log)
            .filter(|call| call.name == "pwrite64" && call.entered >= since && call.returned < answer.entered)
            .max_by_key(|call| call.returned)
            .unwrap_or_else(|| {
                panic!("answer {number} was sent and nothing was written to the log before it")
            });
        let synced = calls.iter().filter(log).any(|call| {
            call.name == "fdatasync"
                && call.target() == written.target()
                && call.entered > written.returned
                && call.returned < answer.entered
                && call.result() == "0"
        });
        assert!(synced, "answer {number} was sent before {} was synced", written.target());
        since = answer.returned;
    }
}

#[test]
fn a_failed_sync_is_never_acknowledged_and_never_tried_again() {
    let (directory, portfolio) = Directory::with_portfolio();
    let path = format!("/v1/portfolios/{portfolio}/transactions");
    let body =
        |id: u32| json!({ "time": "2024-01-02", "type": "deposit", "amount": "1", "id": id.to_string() });
    // The first syncs are those of the start; from the tenth on they fail.
    let options = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=10+"];
    let arguments = ["serve", "--listen", "127.0.0.1:0"];
    let Some(command) = strace(&directory, &options, &arguments, &directory.path("trace")) else {
        println!("skipped: strace cannot be used here");
        return;
    };
    let service = Service::run(&directory, command);
    let client = service.client();
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for id in 0..40 {
        let answer = client.post(&path, &body(id));
        if answer.status == 201 {
            assert_eq!(refused, 0, "an entry was taken after a sync had failed");
            acknowledged.push((answer.json()["sequence"].as_u64().unwrap(), id));
        } else {
            assert!((500..600).contains(&answer.status), "{answer}");
            let status = answer.status;
            answer.refuses(status);
            refused += 1;
        }
    }
    assert!(!acknowledged.is_empty() && refused > 0, "{acknowledged:?} acknowledged, {refused} refused");
    // Reading goes on, and shows nothing that was not acknowledged.
    let head = acknowledged.last().unwrap().0;
    assert_eq!(client.head(), head);
    client.get(&format!("/v1/portfolios/{portfolio}")).ok();
    service.ask_to_stop();
    service.wait();
    let service = Service::start(&directory);
    let events = service.client().pages("/v1/events?limit=1000");
    for (sequence, id) in &acknowledged {
        let event = &events[usize::try_from(*sequence).unwrap() - 1];
        assert!(event["key"].as_str().unwrap().contains(&format!(":{id}#")), "{event}");
    }
    service.client().post(&path, &body(1_000)).has(201);
    service.stop();
    directory.is_sound();
}

#[test]
fn a_write_that_finds_no_space_is_refused_and_nothing_of_it_is_there_afterwards() {
    let (directory, portfolio) = Directory::with_portfolio();
    let path = format!("/v1/portfolios/{portfolio}/transactions");
    let body =
        |id: u32| json!({ "time": "2024-01-02", "type": "deposit", "amount": "1", "id": format!("d{id}x") });
    let options = ["-e", "trace=pwrite64", "-e", "inject=pwrite64:error=ENOSPC:when=25+"];
    let arguments = ["serve", "--listen", "127.0.0.1:0"];
    let Some(command) = strace(&directory, &options, &arguments, &directory.path("trace")) else {
        println!("skipped: strace cannot be used here");
        return;
    };
    let service = Service::run(&directory, command);
    let client = service.client();
    let (mut taken, mut unknown, mut refused) = (Vec::new(), None, 0);
    for id in 0..60 {
        let answer = client.post(&path, &body(id));
        match answer.status {
            201 => {
                assert_eq!(refused, 0, "an entry was taken after a write had failed");
                taken.push(id);
            }
            // Of the write that failed it cannot be said whether any of it is there; of none after it is.
            500 if refused == 0 && unknown.is_none() => {
                answer.refuses(500);
                unknown = Some(id);
            }
            status => {
                assert!(matches!(status, 503 | 507), "{answer}");
                answer.refuses(status);
                refused += 1;
            }
        }
    }
    assert!(!taken.is_empty() && refused > 0, "{taken:?} taken, {refused} refused");
    client.get(&format!("/v1/portfolios/{portfolio}")).ok();
    service.ask_to_stop();
    service.wait();
    let service = Service::start(&directory);
    let events = service.client().pages("/v1/events?limit=1000");
    let keys: Vec<&str> = events.iter().filter_map(|event| event["key"].as_str()).collect();
    for id in 0..60 {
        let there = keys.iter().filter(|key| key.contains(&format!("d{id}x"))).count();
        let right = there == usize::from(taken.contains(&id)) || (unknown == Some(id) && there <= 1);
        assert!(right, "d{id}x stands {there} times");
    }
    service.client().post(&path, &body(1_000)).has(201);
    service.stop();
    directory.is_sound();
}

#[test]
fn a_command_that_dies_at_any_of_its_syncs_leaves_a_sound_ledger() {
    let (directory, portfolio) = Directory::with_portfolio();
    let rows =
        "time,type,amount,id\n2024-01-02,deposit,1,a\n2024-01-02,deposit,2,b\n2024-01-02,deposit,3,c\n";
    let file = directory.write("rows.csv", rows);
    let arguments = ["import", "csv", &file, "--portfolio", &portfolio];
    let mut deaths = 0;
    for call in ["fdatasync", "pwrite64", "rename"] {
        for nth in 1..30 {
            let traced = format!("trace={call}");
            let kill = format!("inject={call}:signal=KILL:when={nth}");
            let trace = directory.path("trace");
            let Some(mut command) = strace(&directory, &["-e", &traced, "-e", &kill], &arguments, &trace)
            else {
                println!("skipped: strace cannot be used here");
                return;
            };
            let ended = command.output().unwrap();
            directory.run(&["verify"]).ok();
            let events = directory.events();
            dense(&events);
            let brought = events.iter().filter(|event| event["type"] == "CashTransferred").count();
            assert_eq!(brought % 3, 0, "after dying at {call} {nth}, some of 3 rows are there");
            if ended.status.success() {
                break;
            }
            deaths += 1;
        }
        // Whatever it died of, it can be done again: taken back first, so that there is something to do.
        let import = directory.run(&arguments).ok().import_id();
        directory.run(&["import", "revert", &import]).ok();
        let file = fs::read_to_string(&file).unwrap();
        assert_eq!(file, rows);
    }
    assert!(deaths > 0, "no command died");
    directory.is_sound();
}
