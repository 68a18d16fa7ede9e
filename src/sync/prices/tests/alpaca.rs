//! Alpaca's bars over a real connection: fetched page by page, each once, and appended once.

use super::*;
use crate::sync::prices::run_once;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

/// Minutes of a whole session.
const MINUTES: usize = 390;

/// The pages of a day of minute bars, as Alpaca writes them.
fn pages(symbols: usize, per_page: usize) -> Vec<String> {
    let opens = at("2024-01-05T14:30:00Z");
    let rows: Vec<(usize, usize)> =
        (0..symbols).flat_map(|symbol| (0..MINUTES).map(move |minute| (symbol, minute))).collect();
    let chunks: Vec<&[(usize, usize)]> = rows.chunks(per_page).collect();
    let count = chunks.len();
    let page = |(number, chunk): (usize, &&[(usize, usize)])| {
        let mut body = String::from("{\"bars\":{");
        for (place, (symbol, minute)) in chunk.iter().enumerate() {
            if place == 0 || chunk[place - 1].0 != *symbol {
                let end = if place == 0 { "" } else { "]," };
                write!(body, "{end}\"S{symbol:03}\":[").unwrap();
            } else {
                body.push(',');
            }
            let t = opens.plus_nanos(i64::try_from(*minute).unwrap() * 60_000_000_000);
            let cents = 10_000 + (symbol * 37 + minute * 13) % 900;
            let (c, v) = (format!("{}.{:02}", cents / 100, cents % 100), minute * 7 + symbol);
            write!(
                body,
                "{{\"t\":\"{t}\",\"o\":{c},\"h\":{c}1,\"l\":{c},\"c\":{c},\"v\":{v},\"n\":12,\"vw\":{c}0417}}"
            )
            .unwrap();
        }
        let next = if number + 1 < count { format!("\"{}\"", number + 1) } else { "null".to_owned() };
        write!(body, "]}},\"next_page_token\":{next}}}").unwrap();
        body
    };
    chunks.iter().enumerate().map(page).collect()
}

/// Serves pages of bars, and no corporate actions; gives the lines of all requests.
pub(super) fn serve(pages: Vec<String>) -> (Url, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (heard, pages) = (Arc::new(Mutex::new(Vec::new())), Arc::new(pages));
    let log = heard.clone();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (socket, pages, log) = (socket.unwrap(), pages.clone(), log.clone());
            std::thread::spawn(move || answer(&socket, &pages, &log));
        }
    });
    (url, heard)
}

fn answer(socket: &TcpStream, pages: &[String], log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(socket).lines();
    while let Some(Ok(request)) = lines.next() {
        // The headers end with an empty line.
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let body = if request.contains("/v2/stocks/bars") {
            let token = request.split_once("page_token=").map_or("0", |(_, rest)| rest);
            let token: String = token.chars().take_while(char::is_ascii_digit).collect();
            pages[token.parse::<usize>().unwrap()].as_str()
        } else {
            "{\"corporate_actions\":{},\"next_page_token\":null}"
        };
        log.lock().unwrap().push(request);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if (&*socket).write_all(head.as_bytes()).and_then(|()| (&*socket).write_all(body.as_bytes())).is_err()
        {
            return;
        }
    }
}

/// A time at which the clock stands.
struct Standing(&'static str);

impl WallClock for Standing {
    fn now(&self) -> Timestamp {
        at(self.0)
    }
}

fn minutes(url: &Url, symbols: usize) -> config::Prices {
    let key = |text: &str| Some(Secret::new(text.to_owned()));
    let feed = PriceFeed {
        kind: FeedKind::Alpaca,
        base_url: Some(url.clone()),
        key_id: key("key"),
        secret_key: key("secret"),
        bars: vec![BarSize::Minute],
        requests_per_minute: 200,
        backfill_days: 0,
        ..super::config("alpaca", &[])
    };
    let symbols = (0..symbols).map(|symbol| format!("S{symbol:03}")).collect();
    config::Prices { symbols, feeds: vec![feed], ticks: None }
}

/// Fetches a day of minute bars, asks again, and reads the day again on the next; gives what each took.
async fn fetch(symbols: usize, per_page: usize) -> [Duration; 3] {
    let pages = pages(symbols, per_page);
    let count = pages.len();
    let (url, heard) = serve(pages);
    let prices = minutes(&url, symbols);
    let directory = tempfile::tempdir().unwrap();
    let opening = Opening { access: Access::Create, progress: None };
    let journal = Arc::new(Journal::open(directory.path(), &opening).unwrap());
    let clock: Arc<dyn WallClock> = Arc::new(Standing(FRIDAY));
    let bars = |once: &OnceOf| once.tallies.values().map(|tally| tally.prices).sum::<u64>();

    let began = std::time::Instant::now();
    let first = run_once(&prices, &journal, &clock).await;
    let took = began.elapsed();
    assert_eq!(first.feeds[0].failure, None);
    assert_eq!(bars(&first.feeds[0]), u64::try_from(symbols * MINUTES).unwrap());
    let asked = |what: &str| heard.lock().unwrap().iter().filter(|line| line.contains(what)).count();
    assert_eq!(asked("/v2/stocks/bars"), count, "each page was fetched once");
    assert!(heard.lock().unwrap()[1].contains("timeframe=1Min"), "{:?}", heard.lock().unwrap());

    let head = journal.ledger().head();
    let requests = heard.lock().unwrap().len();
    let began = std::time::Instant::now();
    let second = run_once(&prices, &journal, &clock).await;
    let took_again = began.elapsed();
    assert_eq!((bars(&second.feeds[0]), &second.feeds[0].failure), (0, &None));
    assert_eq!(journal.ledger().head(), head, "nothing is appended twice");
    assert_eq!(heard.lock().unwrap().len(), requests, "nothing is fetched twice");

    // The next trading day the day before is read again, lest it was restated.
    let monday: Arc<dyn WallClock> = Arc::new(Standing("2024-01-08T15:30:00Z"));
    let began = std::time::Instant::now();
    let third = run_once(&prices, &journal, &monday).await;
    let took_on_monday = began.elapsed();
    assert_eq!((bars(&third.feeds[0]), &third.feeds[0].failure), (0, &None));
    assert_eq!(journal.ledger().head(), head, "what is said again is known");
    assert!(heard.lock().unwrap().len() >= requests + count);
    [took, took_again, took_on_monday]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_minute_bars_is_fetched_once_and_appended_once() {
    fetch(5, 400).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures a full day of 500 symbols: run it in release, alone, with --nocapture"]
async fn a_day_of_minute_bars_for_500_symbols_takes() {
    let [took, again, monday] = fetch(500, 10_000).await;
    eprintln!(
        "195,000 bars fetched and appended in {took:?}; asked again, nothing to do in {again:?}; read again the next day and found known in {monday:?}"
    );
}
