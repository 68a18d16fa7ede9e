//! The service under a dashboard's load: portfolio summaries over keep-alive connections while fills are appended, and
//! while a book of many entries is folded anew, beside a bare route that answers as many bytes from memory.
//!
//! `cargo bench --bench service`; about two minutes. The load tool runs on the machine that it measures.

#[path = "load/mod.rs"]
mod load;

use load::{Client, Fills, Load, Shown, Target, processor_seconds};
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Portfolios that are read in turn.
const PORTFOLIOS: usize = 1_000;
/// Entries that each of them has before the clock starts.
const ENTRIES: usize = 40;
/// Instruments that they hold.
const SYMBOLS: usize = 100;
/// Entries of the portfolio whose book is folded anew.
const LARGE: usize = 200_000;
/// Connections that read.
const CONNECTIONS: usize = 32;
/// The aim, in summaries a second.
const AIM: f64 = 20_000.0;
/// Fills a second while it is measured.
const FILLS: f64 = 1_000.0;
/// The word after which this program is the bare route.
const BARE: &str = "--bare-route";

/// A service that runs, and how to reach it.
struct Running {
    child: Child,
    address: SocketAddr,
    token: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Starts the real executable over a new ledger.
fn service(data: &Path) -> io::Result<Running> {
    let address = free_address()?;
    let mut child = Command::new(env!("CARGO_BIN_EXE_daybook"))
        .args(["serve", "--listen", &address.to_string(), "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut token = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut token)?;
    let mut said = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("listens on") {
        line.clear();
        if said.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the service did not start"));
        }
    }
    // What it says later must not fill the pipe.
    std::thread::spawn(move || io::copy(&mut said, &mut io::sink()));
    Ok(Running { child, address, token: token.trim().to_owned() })
}

/// Starts this program as the bare route.
fn bare(bytes: usize) -> io::Result<Running> {
    let address = free_address()?;
    let mut child = Command::new(std::env::current_exe()?)
        .args([BARE, &address.to_string(), &bytes.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line)?;
    Ok(Running { child, address, token: "none".to_owned() })
}

/// Answers every request with the same bytes, through the same server as the service's.
fn serve_bare(address: &str, bytes: usize) -> io::Result<()> {
    use poem::endpoint::make_sync;
    use poem::listener::TcpAcceptor;
    use poem::{Response, Route, Server, get};
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let body = vec![b' '; bytes];
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let answer =
            make_sync(move |_| Response::builder().content_type("application/json").body(body.clone()));
        let routes = Route::new().at("/*any", get(answer));
        let acceptor = TcpAcceptor::from_std(listener)?;
        // Whoever connects from now on is let in.
        writeln!(io::stdout(), "ready")?;
        Server::new_with_acceptor(acceptor).run(routes).await
    })
}

/// The day on which everything happened: yesterday, so that prices are fresh and nothing lies in the future.
fn yesterday() -> String {
    (chrono::Utc::now() - chrono::Duration::days(1)).format("%Y-%m-%d").to_string()
}

fn symbol(number: usize) -> String {
    format!("SYM{number:03}")
}

fn rows(portfolio: usize, entries: usize) -> String {
    let day = yesterday();
    let mut csv = format!("time,type,symbol,quantity,price,amount\n{day}T13:00:00Z,deposit,,,,1000000000\n");
    for entry in 1..entries {
        let second = entry % 3_600;
        let (instrument, price) = ((portfolio * 7 + entry % 12) % SYMBOLS, 100 + entry % 50);
        let side = if entry % 5 == 4 { "sell" } else { "buy" };
        csv.push_str(&format!(
            "{day}T14:{:02}:{:02}.{:06}Z,{side},{},{},{price}.25,\n",
            second / 60,
            second % 60,
            entry / 3_600,
            symbol(instrument),
            1 + entry % 3
        ));
    }
    csv
}

/// Opens the portfolios and fills them, through the API.
fn seed(running: &Running) -> io::Result<(Vec<String>, String)> {
    let mut client = Client::new(running.address, &running.token)?;
    let mut ids = Vec::new();
    let open = |client: &mut Client, name: &str, csv: &str| -> io::Result<String> {
        let opened: Value = client.post("/v1/portfolios", &json!({ "name": name }))?;
        let id = opened["id"].as_str().unwrap_or_default().to_owned();
        client.upload(&format!("/v1/portfolios/{id}/imports"), "csv", csv)?;
        Ok(id)
    };
    for number in 0..PORTFOLIOS {
        ids.push(open(&mut client, &format!("Portfolio {number}"), &rows(number, ENTRIES))?);
    }
    let large = open(&mut client, "Large", &rows(0, LARGE))?;
    let prices: Vec<Value> = (0..SYMBOLS)
        .map(|number| json!({ "symbol": symbol(number), "date": yesterday(), "close": format!("{}.5", 100 + number) }))
        .collect();
    client.post("/v1/prices", &json!({ "items": prices }))?;
    Ok((ids, large))
}

fn fill(now: chrono::DateTime<chrono::Utc>, number: usize) -> Value {
    json!({
        "time": now.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true),
        "type": "buy",
        "symbol": symbol(number % SYMBOLS),
        "quantity": "1",
        "price": "101.5",
    })
}

/// A row of the table.
fn row(out: &mut impl Write, what: &str, shown: &Shown) -> io::Result<()> {
    writeln!(
        out,
        "| {what} | {:.0}/s | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} ms | {:.1} µs | {} |",
        shown.rate(),
        shown.at(0.5),
        shown.at(0.99),
        shown.at(0.999),
        shown.at(1.0),
        shown.processor_micros,
        shown.written,
    )
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, address, bytes] = arguments.as_slice()
        && word == BARE
    {
        return serve_bare(address, bytes.parse().map_err(io::Error::other)?);
    }
    let seconds =
        std::env::var("DAYBOOK_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let took = Duration::from_secs(seconds);
    let directory = match std::env::var_os("DAYBOOK_BENCH_DIR") {
        Some(directory) => tempfile::tempdir_in(directory)?,
        None => tempfile::tempdir()?,
    };
    let running = service(&directory.path().join("data"))?;
    let (ids, large) = seed(&running)?;
    let targets: Vec<Target> =
        ids.iter().map(|id| Target::get(&format!("/v1/portfolios/{id}"), &running.token)).collect();
    let measured = |load: &Load, fills: f64| -> io::Result<Shown> {
        let before = processor_seconds(running.child.id());
        let writing = (fills > 0.0).then(|| {
            Fills::start(running.address, &running.token, &ids, fills, took, |number| {
                fill(chrono::Utc::now(), number)
            })
        });
        let mut shown = load.run(took)?;
        shown.written = writing.map_or(Ok(0), Fills::finish)?;
        shown.processor_micros = (processor_seconds(running.child.id()) - before) * 1e6
            / f64::from(u32::try_from(shown.count()).unwrap_or(u32::MAX));
        Ok(shown)
    };
    let paced = |rate| Load::new(running.address, &targets, CONNECTIONS, Some(rate));
    let greedy = Load::new(running.address, &targets, CONNECTIONS, None);
    // The first reading of each folds its book.
    let first = Load::new(running.address, &targets, 4, None).once()?;
    let bytes = first.bytes / first.count().max(1);
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{PORTFOLIOS} portfolios of {ENTRIES} entries, {bytes} bytes an answer, {CONNECTIONS} connections\n"
    )?;
    writeln!(out, "| | rate | median | 99 % | 99.9 % | longest | processor a read | fills written |")?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    row(&mut out, "first readings, four connections", &first)?;
    row(&mut out, "as fast as it goes, nothing written", &measured(&greedy, 0.0)?)?;
    row(&mut out, "as fast as it goes, 1,000 fills a second", &measured(&greedy, FILLS)?)?;
    row(&mut out, "20,000 a second, 1,000 fills a second", &measured(&paced(AIM), FILLS)?)?;
    // A book folded anew while it and the others are read.
    let one = [Target::get(&format!("/v1/portfolios/{large}"), &running.token)];
    Load::new(running.address, &one, 1, None).once()?;
    let (address, token, path) =
        (running.address, running.token.clone(), format!("/v1/portfolios/{large}/transactions"));
    let late = std::thread::spawn(move || -> io::Result<u64> {
        let mut client = Client::new(address, &token)?;
        let mut written = 0;
        let began = std::time::Instant::now();
        while began.elapsed() < took {
            let time = format!("{}T13:30:00.{written:09}Z", yesterday());
            client.post(&path, &json!({ "time": time, "type": "deposit", "amount": "1" }))?;
            written += 1;
            std::thread::sleep(Duration::from_millis(250));
        }
        Ok(written)
    });
    let others = paced(AIM / 2.0);
    let (of_large, of_others) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| Load::new(running.address, &one, CONNECTIONS, Some(100.0)).run(took));
        let others = measured(&others, 0.0);
        (reader.join().expect("the reader does not panic"), others)
    });
    let written = late.join().expect("the writer does not panic")?;
    row(&mut out, "10,000 a second while a book is folded anew", &of_others?)?;
    let mut of_large = of_large?;
    of_large.written = written;
    row(&mut out, "that book itself, 100 a second", &of_large)?;
    drop(running);
    let bare = bare(usize::try_from(bytes).unwrap_or(1_000))?;
    let before = processor_seconds(bare.child.id());
    let mut shown = Load::new(bare.address, &targets, CONNECTIONS, None).run(took)?;
    shown.processor_micros = (processor_seconds(bare.child.id()) - before) * 1e6
        / f64::from(u32::try_from(shown.count()).unwrap_or(u32::MAX));
    row(&mut out, "a bare route, as fast as it goes", &shown)?;
    Ok(())
}
