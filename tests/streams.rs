//! Live streams over real sockets: whole, resumable, at each reader's own pace, for as long as access lasts.

use crate::support::{Directory, Service};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long a stream may take to say what it must.
const PATIENCE: Duration = Duration::from_secs(30);

/// An event of a stream.
#[derive(Debug, Default, Clone)]
struct Heard {
    event: String,
    id: Option<u64>,
    data: String,
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A reader of a stream, by hand: what a browser does, without its mercy.
struct Reader {
    lines: BufReader<Chunks>,
}

/// The body of a chunked answer.
struct Chunks {
    socket: BufReader<TcpStream>,
    left: usize,
    ended: bool,
}

impl Read for Chunks {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        if self.left == 0 {
            let mut size = String::new();
            if self.socket.read_line(&mut size)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.left = usize::from_str_radix(size.trim(), 16).unwrap();
            if self.left == 0 {
                self.ended = true;
                return Ok(0);
            }
        }
        let most = out.len().min(self.left);
        let read = self.socket.read(&mut out[..most])?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read;
        if self.left == 0 {
            self.socket.read_line(&mut String::new())?;
        }
        Ok(read)
    }
}

/// Sends a request for a stream and reads the head of its answer.
fn request(url: &str, token: &str, path: &str, headers: &[(&str, &str)]) -> (u16, BufReader<TcpStream>) {
    let address = url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    socket.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    let mut socket = BufReader::new(socket);
    let mut status = String::new();
    socket.read_line(&mut status).unwrap();
    let status = status.split(' ').nth(1).unwrap_or_else(|| panic!("{status}")).parse().unwrap();
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        socket.read_line(&mut line).unwrap();
    }
    (status, socket)
}

impl Reader {
    fn open(service: &Service, token: &str, path: &str, headers: &[(&str, &str)]) -> Self {
        let (status, socket) = request(&service.url, token, path, headers);
        assert_eq!(status, 200, "{path}");
        Self { lines: BufReader::new(Chunks { socket, left: 0, ended: false }) }
    }

    /// The next event with data; none once the stream has ended.
    fn next(&mut self) -> Option<Heard> {
        let mut heard = Heard::default();
        let began = Instant::now();
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            assert!(began.elapsed() < PATIENCE, "nothing but signs of life came");
            match line.trim_end_matches('\n') {
                "" if heard.data.is_empty() => heard = Heard::default(),
                "" => return Some(heard),
                line => match line.split_once(": ") {
                    Some(("event", event)) => heard.event = event.to_owned(),
                    Some(("id", id)) => heard.id = Some(id.parse().unwrap()),
                    Some(("data", data)) => heard.data = data.to_owned(),
                    _ => {}
                },
            }
        }
    }

    fn expect(&mut self) -> Heard {
        self.next().expect("the stream goes on")
    }

    /// The event with an id, which comes next but for the references that it needed.
    fn until(&mut self, id: u64) -> Heard {
        let mut heard = self.expect();
        while heard.id < Some(id) {
            heard = self.expect();
        }
        assert_eq!(heard.id, Some(id));
        heard
    }

    /// The ids of the next events.
    fn ids(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.expect().id.unwrap()).collect()
    }
}

/// A portfolio to write to.
fn portfolio(service: &Service) -> String {
    let made = service.client().post("/v1/portfolios", &json!({ "name": "Live" }));
    made.json()["id"].as_str().unwrap().to_owned()
}

fn deposit(service: &Service, portfolio: &str, amount: &str) -> u64 {
    let body = json!({ "time": "2024-01-02", "type": "deposit", "amount": amount });
    let made = service.client().post(&format!("/v1/portfolios/{portfolio}/transactions"), &body);
    made.json()["sequence"].as_u64().unwrap()
}

/// A token of a role.
fn token(service: &Service, body: &Value) -> (String, String) {
    let issued = service.client().post("/v1/tokens", body).has(201).json();
    (issued["id"].as_str().unwrap().to_owned(), issued["token"].as_str().unwrap().to_owned())
}

#[test]
fn a_stream_of_the_log_catches_up_and_goes_on_live_without_a_gap_or_a_repetition() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let mine = portfolio(&service);
    for amount in ["1", "2", "3"] {
        deposit(&service, &mine, amount);
    }
    let head = service.client().head();
    let mut reader = Reader::open(&service, &service.token, "/v1/events/stream?from=1", &[]);
    assert_eq!(reader.ids(usize::try_from(head).unwrap()), (1..=head).collect::<Vec<_>>());
    let last = (0..40).map(|_| deposit(&service, &mine, "5")).next_back().unwrap();
    let heard = reader.ids(usize::try_from(last - head).unwrap());
    assert_eq!(heard, (head + 1..=last).collect::<Vec<_>>());
    // What a stream says of an event is what a read of it says.
    let sequence = deposit(&service, &mine, "7");
    assert_eq!(reader.expect().json(), service.client().get(&format!("/v1/events/{sequence}")).ok().json());
    service.stop();
}

#[test]
fn a_stream_goes_on_after_the_last_event_that_its_reader_saw_even_across_a_kill() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let mine = portfolio(&service);
    let mut reader = Reader::open(&service, &service.token, "/v1/events/stream?from=1", &[]);
    let head = service.client().head();
    let seen = *reader.ids(usize::try_from(head).unwrap()).last().unwrap();
    service.kill();
    assert!(reader.next().is_none(), "a killed service ends its streams");
    let service = Service::start(&directory);
    let written: Vec<u64> = (0..5).map(|_| deposit(&service, &mine, "1")).collect();
    let seen = seen.to_string();
    let headers = [("Last-Event-ID", seen.as_str())];
    // A browser that comes back sends the address it had, and the last id beside it.
    let mut reader = Reader::open(&service, &service.token, "/v1/events/stream?from=1", &headers);
    let first = head + 1;
    let all: Vec<u64> = (first..=*written.last().unwrap()).collect();
    assert_eq!(reader.ids(all.len()), all);
    let next = deposit(&service, &mine, "2");
    assert_eq!(reader.expect().id, Some(next));
    service.stop();
}

#[test]
fn a_stream_is_filtered_by_stream_type_and_portfolio() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let (mine, other) = (portfolio(&service), portfolio(&service));
    deposit(&service, &other, "1");
    let sequence = deposit(&service, &mine, "2");
    let open = |query: &str| {
        Reader::open(&service, &service.token, &format!("/v1/events/stream?from=1&{query}"), &[])
    };
    let mut by_portfolio = open(&format!("portfolio={mine}"));
    let mut by_type = open(&format!("type=CashTransferred&stream=portfolio-{mine}"));
    let events: Vec<String> =
        (0..3).map(|_| by_portfolio.expect().json()["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events.first().map(String::as_str), Some("PortfolioOpened"));
    assert_eq!(events.last().map(String::as_str), Some("CashTransferred"));
    assert_eq!(by_type.expect().id, Some(sequence));
    deposit(&service, &other, "3");
    let next = deposit(&service, &mine, "4");
    assert_eq!(by_portfolio.expect().id, Some(next));
    assert_eq!(by_type.expect().id, Some(next));
    let refused =
        |path: &str, headers: &[(&str, &str)]| request(&service.url, &service.token, path, headers).0;
    assert_eq!(refused("/v1/events/stream?type=Invented", &[]), 400);
    assert_eq!(refused("/v1/events/stream?from=999999", &[]), 400);
    assert_eq!(refused("/v1/events/stream", &[("Last-Event-ID", "x")]), 400);
    // A ledger that was put back to an earlier state has no such event.
    assert_eq!(refused("/v1/events/stream", &[("Last-Event-ID", "999999")]), 410);
    service.stop();
}

#[test]
fn a_reader_that_is_slow_delays_no_writer_and_misses_nothing() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let mine = portfolio(&service);
    let head = service.client().head();
    let mut slow = Reader::open(&service, &service.token, "/v1/events/stream", &[]);
    // Much more than sockets and the service's ring hold, while the reader reads nothing.
    let mut rows = String::from("time,type,amount,note\n");
    for row in 0..12_000 {
        rows.push_str(&format!("2024-01-02,deposit,{}.25,{}\n", row + 1, "n".repeat(400)));
    }
    let path = format!("/v1/portfolios/{mine}/imports");
    let began = Instant::now();
    service.client().upload(&path, &[("format", "csv")], "rows.csv", rows.as_bytes()).has(201);
    let after = (0..20).map(|_| deposit(&service, &mine, "1")).next_back().unwrap();
    assert!(began.elapsed() < PATIENCE, "writers waited for a reader");
    let expected: Vec<u64> = (head + 1..=after).collect();
    assert_eq!(slow.ids(expected.len()), expected);
    service.stop();
}

#[test]
fn a_revoked_token_ends_its_streams_before_another_event_is_sent() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let mine = portfolio(&service);
    let (id, secret) = token(&service, &json!({ "role": "auditor" }));
    let (other, other_secret) = token(&service, &json!({ "role": "service", "portfolios": [mine] }));
    let mut log = Reader::open(&service, &secret, "/v1/events/stream", &[]);
    let mut figures = Reader::open(&service, &other_secret, &format!("/v1/portfolios/{mine}/stream"), &[]);
    assert_eq!(figures.expect().event, "summary");
    let first = deposit(&service, &mine, "1");
    log.until(first);
    assert_eq!(figures.expect().json()["cash"]["USD"], "1");
    for id in [id, other] {
        service.client().delete(&format!("/v1/tokens/{id}")).has(204);
    }
    deposit(&service, &mine, "2");
    for reader in [&mut log, &mut figures] {
        let end = reader.expect();
        assert_eq!((end.event.as_str(), &end.json()["reason"]), ("end", &json!("access")), "{end:?}");
        assert!(reader.next().is_none());
    }
    service.stop();
}

#[test]
fn a_portfolio_streams_its_present_figures_first_and_then_whenever_they_change() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let (mine, other) = (portfolio(&service), portfolio(&service));
    deposit(&service, &mine, "1000");
    let client = service.client();
    let buy =
        json!({ "time": "2024-01-03", "type": "buy", "symbol": "ACME", "quantity": "10", "price": "10" });
    client.post(&format!("/v1/portfolios/{mine}/transactions"), &buy).has(201);
    let path = format!("/v1/portfolios/{mine}/stream");
    let mut reader = Reader::open(&service, &service.token, &path, &[]);
    let first = reader.expect();
    assert_eq!(first.event, "summary");
    // The figures are those of a read, to the byte.
    let read = client.get(&format!("/v1/portfolios/{mine}")).ok();
    assert_eq!((first.data.as_bytes(), first.id), (&read.bytes[..], read.json()["sequence"].as_u64()));
    // What happens elsewhere changes nothing here; a price of what is held does.
    deposit(&service, &other, "5");
    let price = |symbol: &str, close: &str| {
        let body = json!({ "items": [{ "symbol": symbol, "date": "2024-01-05", "close": close }] });
        client.post("/v1/prices", &body).has(201);
    };
    price("ZETA", "3");
    price("ACME", "12");
    let next = reader.expect();
    assert_eq!((&next.json()["market_value"], next.event.as_str()), (&json!("120"), "summary"));
    // Many changes at once are told as few; the last of them always is.
    for _ in 0..50 {
        deposit(&service, &mine, "1");
    }
    let (mut told, mut last) = (0, next);
    while last.json()["cash"]["USD"] != "950" {
        last = reader.expect();
        told += 1;
    }
    assert!(told < 50, "each change was told by itself");
    let now = client.get(&format!("/v1/portfolios/{mine}")).ok().json();
    assert_eq!(last.json()["equity"], now["equity"]);
    let resumed = [("Last-Event-ID", last.id.unwrap().to_string())];
    let headers = [(resumed[0].0, resumed[0].1.as_str())];
    let mut again = Reader::open(&service, &service.token, &path, &headers);
    assert_eq!(again.expect().json()["equity"], now["equity"]);
    service.stop();
}

#[test]
fn a_service_that_stops_ends_its_streams_at_once_and_says_so() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let mine = portfolio(&service);
    let mut log = Reader::open(&service, &service.token, "/v1/events/stream", &[]);
    let path = format!("/v1/portfolios/{mine}/stream");
    let mut figures = Reader::open(&service, &service.token, &path, &[]);
    figures.expect();
    let began = Instant::now();
    service.stop();
    assert!(began.elapsed() < Duration::from_secs(10), "stopping took {:?}", began.elapsed());
    for reader in [&mut log, &mut figures] {
        assert_eq!(reader.expect().json()["reason"], "stopping");
        assert!(reader.next().is_none());
    }
}

#[test]
fn hundreds_of_idle_streams_cost_no_thread_each_and_all_of_them_hear_what_happens() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let mine = portfolio(&service);
    let path = format!("/v1/portfolios/{mine}/stream");
    let mut readers: Vec<Reader> = (0..400)
        .map(|number| {
            let path = if number % 2 == 0 { "/v1/events/stream" } else { path.as_str() };
            Reader::open(&service, &service.token, path, &[])
        })
        .collect();
    for reader in readers.iter_mut().skip(1).step_by(2) {
        assert_eq!(reader.expect().event, "summary");
    }
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string(format!("/proc/{}/status", service.process())).unwrap();
        let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap();
        let threads: usize = threads.trim().parse().unwrap();
        assert!(threads < 100, "{threads} threads for 400 streams");
    }
    let sequence = deposit(&service, &mine, "9");
    for (number, reader) in readers.iter_mut().enumerate() {
        if number % 2 == 0 {
            reader.until(sequence);
        } else {
            assert_eq!(reader.expect().json()["cash"]["USD"], "9");
        }
    }
    service.stop();
}
