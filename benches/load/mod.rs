//! A load tool: keep-alive HTTP/1.1 over blocking sockets, with requests written beforehand and answers read whole.

use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Threads that read.
const THREADS: usize = 2;
/// How often a paced reader looks for what is due.
const TICK: Duration = Duration::from_micros(250);

/// A request as it is sent.
#[derive(Clone)]
pub(crate) struct Target(Vec<u8>);

impl Target {
    /// A read with a token.
    pub(crate) fn get(path: &str, token: &str) -> Self {
        Self(
            format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n")
                .into_bytes(),
        )
    }
}

/// A connection that is kept.
pub(crate) struct Client {
    stream: TcpStream,
    token: String,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(crate) fn new(address: SocketAddr, token: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream, token: token.to_owned(), buffer: vec![0; 256 << 10] })
    }

    /// Sends a JSON body and gives the answer's.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> io::Result<Value> {
        self.send(path, "application/json", body.to_string().as_bytes())
    }

    /// Uploads a file.
    pub(crate) fn upload(&mut self, path: &str, format: &str, file: &str) -> io::Result<Value> {
        const EDGE: &str = "the-edge-of-a-part";
        let body = format!(
            "--{EDGE}\r\nContent-Disposition: form-data; name=\"format\"\r\n\r\n{format}\r\n--{EDGE}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"rows.csv\"\r\n\r\n{file}\r\n--{EDGE}--\r\n"
        );
        self.send(path, &format!("multipart/form-data; boundary={EDGE}"), body.as_bytes())
    }

    fn send(&mut self, path: &str, kind: &str, body: &[u8]) -> io::Result<Value> {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            self.token,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request)?;
        let (status, body) = self.answer()?;
        if !(200..300).contains(&status) {
            let text = String::from_utf8_lossy(&self.buffer[body.0..body.1]).into_owned();
            return Err(io::Error::other(format!("{path} was answered with {status}: {text}")));
        }
        serde_json::from_slice(&self.buffer[body.0..body.1]).map_err(io::Error::other)
    }

    /// Reads one answer whole: its status, and where its body lies in the buffer.
    fn answer(&mut self) -> io::Result<(u16, (usize, usize))> {
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            if read == 0 {
                return Err(io::Error::other("the connection was closed"));
            }
            filled += read;
            let Some(head) = self.buffer[..filled].windows(4).position(|end| end == b"\r\n\r\n") else {
                continue;
            };
            let (status, length) = head_of(&self.buffer[..head])?;
            let end = head + 4 + length;
            if end > self.buffer.len() {
                self.buffer.resize(end, 0);
            }
            while filled < end {
                let read = self.stream.read(&mut self.buffer[filled..])?;
                if read == 0 {
                    return Err(io::Error::other("the connection was closed within an answer"));
                }
                filled += read;
            }
            if filled > end {
                return Err(io::Error::other("an answer is longer than it says"));
            }
            return Ok((status, (head + 4, end)));
        }
    }

    /// Reads an answer that must be one with a body.
    fn found(&mut self) -> io::Result<u64> {
        let (status, (from, to)) = self.answer()?;
        if status == 200 && to > from && matches!(self.buffer[from], b'{' | b' ') {
            return Ok((to - from) as u64);
        }
        let text = String::from_utf8_lossy(&self.buffer[from..to]).into_owned();
        Err(io::Error::other(format!("a read was answered with {status}: {text}")))
    }
}

/// Status and length, as the head of an answer says them.
fn head_of(head: &[u8]) -> io::Result<(u16, usize)> {
    let text = std::str::from_utf8(head).map_err(io::Error::other)?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    status.zip(length).ok_or_else(|| io::Error::other(format!("an answer without status or length: {text}")))
}

/// What was measured.
#[derive(Default)]
pub(crate) struct Shown {
    /// Nanoseconds of each read, from when it was due.
    waits: Vec<u64>,
    took: Duration,
    /// Bytes of all bodies.
    pub(crate) bytes: u64,
    /// Microseconds of the server's processor time for each read, writes included.
    pub(crate) processor_micros: f64,
    /// What was written meanwhile.
    pub(crate) written: u64,
}

impl Shown {
    /// Reads a second.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.waits.len()).unwrap_or(u32::MAX)) / self.took.as_secs_f64()
    }

    /// Reads.
    pub(crate) fn count(&self) -> u64 {
        self.waits.len() as u64
    }

    /// The wait in milliseconds that a share of all reads does not exceed.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank among fewer reads than a float counts exactly"
    )]
    pub(crate) fn at(&self, share: f64) -> f64 {
        let rank = ((self.waits.len() as f64 * share).ceil() as usize).clamp(1, self.waits.len().max(1)) - 1;
        self.waits.get(rank).map_or(f64::NAN, |nanos| Duration::from_nanos(*nanos).as_secs_f64() * 1e3)
    }
}

/// Reads of some targets in turn, over some connections.
pub(crate) struct Load<'t> {
    address: SocketAddr,
    targets: &'t [Target],
    connections: usize,
    /// Reads a second; as many as there can be, if not said.
    rate: Option<f64>,
}

impl<'t> Load<'t> {
    /// A load.
    pub(crate) fn new(
        address: SocketAddr,
        targets: &'t [Target],
        connections: usize,
        rate: Option<f64>,
    ) -> Self {
        Self { address, targets, connections, rate }
    }

    /// Reads each target once.
    pub(crate) fn once(&self) -> io::Result<Shown> {
        self.read(None)
    }

    /// Reads for so long.
    pub(crate) fn run(&self, took: Duration) -> io::Result<Shown> {
        self.read(Some(took))
    }

    fn read(&self, took: Option<Duration>) -> io::Result<Shown> {
        let threads = THREADS.min(self.connections);
        let began = Instant::now();
        let mut shown = Shown::default();
        let parts = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads)
                .map(|thread| scope.spawn(move || self.part(thread, threads, began, took)))
                .collect();
            handles
                .into_iter()
                .map(|handle| handle.join().expect("a reader does not panic"))
                .collect::<Vec<_>>()
        });
        for part in parts {
            let part = part?;
            shown.waits.extend(part.waits);
            shown.bytes += part.bytes;
            shown.took = shown.took.max(part.took);
        }
        shown.waits.sort_unstable();
        Ok(shown)
    }

    /// What one thread reads: each round it sends what is due on its connections, then reads the answers in turn. A
    /// wait counts from when the read was due, so that a slow answer makes those behind it slow as well.
    fn part(
        &self,
        thread: usize,
        threads: usize,
        began: Instant,
        took: Option<Duration>,
    ) -> io::Result<Shown> {
        let mut clients = (0..self.connections / threads)
            .map(|_| Client::new(self.address, ""))
            .collect::<io::Result<Vec<_>>>()?;
        let share = self.targets.len().div_ceil(threads);
        let mut next = thread * share;
        let last = if took.is_none() { (next + share).min(self.targets.len()) } else { usize::MAX };
        let gap = self.rate.map(|rate| Duration::from_secs_f64(threads as f64 / rate));
        let mut due = Instant::now();
        let mut shown = Shown::default();
        loop {
            let mut sent = Vec::with_capacity(clients.len());
            for client in &mut clients {
                let now = Instant::now();
                if next >= last || gap.is_some() && due > now {
                    break;
                }
                client.stream.write_all(&self.targets[next % self.targets.len()].0)?;
                next += 1;
                match gap {
                    Some(gap) => {
                        sent.push(due);
                        due += gap;
                    }
                    None => sent.push(now),
                }
            }
            for (client, since) in clients.iter_mut().zip(&sent) {
                shown.bytes += client.found()?;
                shown.waits.push(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
            shown.took = began.elapsed();
            if took.is_some_and(|took| shown.took >= took) || next >= last {
                return Ok(shown);
            }
            if sent.is_empty() {
                std::thread::sleep(TICK.min(due.saturating_duration_since(Instant::now())));
            }
        }
    }
}

/// Fills that are written while something else is measured, each by a request of its own.
pub(crate) struct Fills(Vec<std::thread::JoinHandle<io::Result<u64>>>);

/// Connections that write.
const WRITERS: usize = 8;

impl Fills {
    /// Starts to write so many a second to portfolios in turn.
    pub(crate) fn start(
        address: SocketAddr,
        token: &str,
        portfolios: &[String],
        rate: f64,
        took: Duration,
        fill: impl Fn(usize) -> Value + Clone + Send + 'static,
    ) -> Self {
        let gap = Duration::from_secs_f64(WRITERS as f64 / rate);
        let writers = (0..WRITERS).map(|writer| {
            let (token, fill) = (token.to_owned(), fill.clone());
            let paths: Vec<String> =
                portfolios.iter().map(|id| format!("/v1/portfolios/{id}/transactions")).collect();
            std::thread::spawn(move || {
                let mut client = Client::new(address, &token)?;
                let (began, mut due, mut written) = (Instant::now(), Instant::now(), 0);
                let mut number = writer;
                while began.elapsed() < took {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    client.post(&paths[number % paths.len()], &fill(number))?;
                    written += 1;
                    number += WRITERS;
                    due += gap;
                }
                Ok(written)
            })
        });
        Self(writers.collect())
    }

    /// Waits for the last, and says how many there were.
    pub(crate) fn finish(self) -> io::Result<u64> {
        let mut all = 0;
        for writer in self.0 {
            all += writer.join().expect("a writer does not panic")?;
        }
        Ok(all)
    }
}

/// Processor time of a process so far, user and system, in seconds; 0 where the system does not tell.
pub(crate) fn processor_seconds(process: u32) -> f64 {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return 0.0 };
    let Some((_, fields)) = text.rsplit_once(')') else { return 0.0 };
    let ticks: f64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    // The kernel counts in hundredths of a second wherever this runs.
    ticks / 100.0
}
