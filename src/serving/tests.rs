//! Connections over real sockets, held to limits so short that a test can wait for them.

use super::{Connections, Ended, Limits, Server, Tls, TlsFiles};
use futures_util::stream;
use poem::endpoint::make;
use poem::{Body, Request, Response};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const HEAD: Duration = Duration::from_millis(300);
const IDLE: Duration = Duration::from_millis(600);
const STALL: Duration = Duration::from_millis(400);
/// Longer than any limit here, and short enough to wait for.
const PATIENCE: Duration = Duration::from_secs(20);

fn limits() -> Limits {
    Limits {
        connections_max: 50,
        header_timeout: HEAD,
        header_bytes_max: 16 << 10,
        keep_alive: IDLE,
        write_timeout: STALL,
        grace: Duration::from_secs(2),
    }
}

/// A server that runs.
struct Running {
    address: SocketAddr,
    connections: Arc<Connections>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    async fn within(limits: Limits) -> Self {
        Self::start(limits, None).await
    }

    async fn start(limits: Limits, tls: Option<Arc<Tls>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Connections::default());
        let server =
            Server { endpoint: Arc::new(make(answer)), limits, tls, connections: connections.clone() };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(listener, async {
            let _ = stopped.await;
        }));
        Self { address, connections, stop: Some(stop), task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    fn ended(&self, how: Ended) -> u64 {
        self.connections.ended_so_far().find(|(ended, _)| *ended == how).unwrap().1
    }

    /// Waits until so many connections have ended in a way.
    async fn until_ended(&self, how: Ended, count: u64) {
        let began = Instant::now();
        while self.ended(how) < count {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.connections);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn stop(mut self) -> Duration {
        let began = Instant::now();
        self.stop.take().unwrap().send(()).unwrap();
        self.task.await.unwrap();
        began.elapsed()
    }
}

/// Answers by the path.
async fn answer(request: Request) -> poem::Result<Response> {
    Ok(match request.uri().path() {
        "/slow" => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            "slow".into()
        }
        "/large" => Response::builder().body(vec![b'x'; 64 << 20]),
        "/events" => {
            let one = stream::once(async { Ok::<_, std::io::Error>("data: one\n\n") });
            let events = futures_util::StreamExt::chain(one, stream::pending());
            Response::builder().content_type("text/event-stream").body(Body::from_bytes_stream(events))
        }
        "/echo" => Response::builder().body(request.into_body().into_vec().await?),
        path => path.to_owned().into(),
    })
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    // A reset is an end as well.
    let _ = read.expect("the connection is closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn get(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    until(stream, path).await
}

/// What comes up to these words, behind which there is nothing yet.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).ends_with(end) {
        let mut part = [0; 1024];
        let count = tokio::time::timeout(PATIENCE, stream.read(&mut part)).await.unwrap().unwrap();
        assert!(count > 0, "closed after {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&part[..count]);
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_connection_that_does_not_finish_the_head_of_a_request_is_closed() {
    let running = Running::within(limits()).await;
    let began = Instant::now();
    let mut silent = running.connect().await;
    let mut half = running.connect().await;
    half.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    assert_eq!(read_all(&mut silent).await, "");
    assert_eq!(read_all(&mut half).await, "");
    assert!(began.elapsed() >= HEAD);
    running.until_ended(Ended::SlowHead, 2).await;
}

#[tokio::test]
async fn a_head_that_comes_drop_by_drop_gains_no_time() {
    let running = Running::within(limits()).await;
    let mut stream = running.connect().await;
    let began = Instant::now();
    let dripped = async {
        stream.write_all(b"GET /a HTTP/1.1\r\n").await?;
        loop {
            stream.write_all(b"X-Drop: drip\r\n").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let broken: Result<(), std::io::Error> = tokio::time::timeout(PATIENCE, dripped).await.unwrap();
    assert!(broken.is_err() && began.elapsed() >= HEAD);
    running.until_ended(Ended::SlowHead, 1).await;
    // Neither does one that follows a request that was answered.
    let mut stream = running.connect().await;
    get(&mut stream, "/first").await;
    stream.write_all(b"GET /second HTTP/1.1\r\n").await.unwrap();
    read_all(&mut stream).await;
    running.until_ended(Ended::SlowHead, 2).await;
}

#[tokio::test]
async fn a_connection_is_kept_between_requests_for_a_time_and_then_closed() {
    let running = Running::within(limits()).await;
    let mut stream = running.connect().await;
    for path in ["/one", "/two", "/three"] {
        assert!(get(&mut stream, path).await.starts_with("HTTP/1.1 200"));
        // Longer than a head may take, shorter than the silence that is borne.
        tokio::time::sleep(HEAD + Duration::from_millis(100)).await;
    }
    let began = Instant::now();
    assert_eq!(read_all(&mut stream).await, "");
    assert!(began.elapsed() < IDLE);
    running.until_ended(Ended::Idle, 1).await;
}

#[tokio::test]
async fn an_answer_may_take_longer_than_a_head_or_a_silence() {
    let running = Running::within(limits()).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("slow"));
    running.until_ended(Ended::Closed, 1).await;
}

#[tokio::test]
async fn a_body_may_take_longer_than_a_head() {
    let running = Running::within(limits()).await;
    let mut stream = running.connect().await;
    let head = b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\n";
    stream.write_all(head).await.unwrap();
    for byte in b"body" {
        tokio::time::sleep(HEAD).await;
        stream.write_all(&[*byte]).await.unwrap();
    }
    assert!(read_all(&mut stream).await.ends_with("body"));
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_hung_up_on() {
    let running = Running::within(limits()).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    running.until_ended(Ended::Stalled, 1).await;
    // One that takes it slowly gets all of it.
    let mut stream = running.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let (mut bytes, mut taken) = (vec![0; 4 << 20], 0);
    loop {
        let count = stream.read(&mut bytes).await.unwrap();
        if count == 0 {
            break;
        }
        taken += count;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(taken > 64 << 20);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so_and_those_within_go_on() {
    let running = Running::within(Limits { connections_max: 2, keep_alive: PATIENCE, ..limits() }).await;
    let (mut first, mut second) = (running.connect().await, running.connect().await);
    get(&mut first, "/a").await;
    get(&mut second, "/b").await;
    let mut third = running.connect().await;
    third.write_all(b"GET /c HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let refused = read_all(&mut third).await;
    assert!(refused.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{refused}");
    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("retry-after: 5") && head.contains(&format!("content-length: {}", body.len())));
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["status"], 503);
    get(&mut first, "/d").await;
    drop(second);
    running.until_ended(Ended::Closed, 1).await;
    get(&mut running.connect().await, "/e").await;
    assert_eq!((running.connections.refused_so_far(), running.connections.taken_so_far()), (1, 3));
}

#[tokio::test]
async fn what_is_no_http_is_answered_with_a_plain_refusal() {
    let running = Running::within(Limits { header_timeout: PATIENCE, ..limits() }).await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000));
    let wide = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(70_000));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(200));
    // Far more than anybody reads before it is refused: the refusal waits until it is said.
    let endless = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(32 << 20));
    for (bytes, statuses) in [
        (long.as_bytes(), &["414", "431"][..]),
        (wide.as_bytes(), &["431"]),
        (many.as_bytes(), &["431"]),
        (endless.as_bytes(), &["431"]),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", &["400"]),
        (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", &["400"]),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", &["400", "200"]),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", &["400"]),
        (b"nonsense\r\n\r\n", &["400"]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", &["400"]),
    ] {
        let mut stream = running.connect().await;
        let shown: String = String::from_utf8_lossy(bytes).chars().take(40).collect();
        stream.write_all(bytes).await.unwrap_or_else(|error| panic!("{shown}: {error}"));
        let answer = read_all(&mut stream).await;
        let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or("none");
        assert!(statuses.contains(&status), "{shown}: {answer}");
        // One that is answered as a request is may go on.
        assert!(status == "200" || answer.contains("connection: close"), "{shown}: {answer}");
    }
}

#[tokio::test]
async fn a_peer_that_never_stops_speaking_is_not_listened_to_for_long() {
    let running = Running::within(Limits { header_timeout: PATIENCE, ..limits() }).await;
    let mut stream = running.connect().await;
    let began = Instant::now();
    let spoken = async { while stream.write_all(&[b'a'; 4096]).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, spoken).await.expect("it is hung up on");
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    running.until_ended(Ended::Broken, 1).await;
}

#[tokio::test]
async fn older_and_pipelined_requests_are_answered_in_order() {
    let running = Running::within(limits()).await;
    let mut old = running.connect().await;
    old.write_all(b"GET /old HTTP/1.0\r\n\r\n").await.unwrap();
    let answer = read_all(&mut old).await;
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("/old"), "{answer}");
    let mut stream = running.connect().await;
    let mut requests = String::new();
    for number in 0..50 {
        requests.push_str(&format!("GET /n{number}; HTTP/1.1\r\nHost: x\r\n\r\n"));
    }
    requests.push_str("GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(requests.as_bytes()).await.unwrap();
    let answers = read_all(&mut stream).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 51);
    let places: Vec<usize> = (0..50).map(|number| answers.find(&format!("/n{number};")).unwrap()).collect();
    assert!(places.is_sorted() && answers.ends_with("/last"));
}

#[tokio::test]
async fn an_answer_does_not_wait_for_what_comes_after_its_request() {
    let running = Running::within(Limits { header_timeout: PATIENCE, ..limits() }).await;
    let post = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody";
    // Half of the next request: it is answered when the rest of it is there.
    let mut stream = running.connect().await;
    stream.write_all(format!("{post}GET /next HT").as_bytes()).await.unwrap();
    assert!(until(&mut stream, "body").await.starts_with("HTTP/1.1 200"));
    stream.write_all(b"TP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(until(&mut stream, "/next").await.starts_with("HTTP/1.1 200"));
    // A line's end after a body, as old clients send it, is no request.
    let mut stream = running.connect().await;
    for _ in 0..3 {
        stream.write_all(format!("{post}\r\n").as_bytes()).await.unwrap();
        assert!(until(&mut stream, "body").await.starts_with("HTTP/1.1 200"));
    }
    // What is no request is refused behind the answer to the one before it.
    for after in ["nonsense\r\n\r\n", "body\r\n\r\n", "{}\r\n\r\n"] {
        let mut stream = running.connect().await;
        stream.write_all(format!("{post}{after}").as_bytes()).await.unwrap();
        let answers = read_all(&mut stream).await;
        let (answer, refusal) = answers.split_once("body").unwrap_or_else(|| panic!("{after}: {answers}"));
        assert!(answer.starts_with("HTTP/1.1 200") && refusal.starts_with("HTTP/1.1 400"), "{answers}");
    }
    // Nothing of it is read where the connection ends with the answer.
    let close = post.replace("Host: x", "Host: x\r\nConnection: close");
    for after in ["\r\n", "nonsense\r\n\r\n", "body"] {
        let mut stream = running.connect().await;
        stream.write_all(format!("{close}{after}").as_bytes()).await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nbody"), "{after}: {answer}");
    }
}

#[tokio::test]
async fn stopping_ends_streams_and_lets_requests_finish() {
    let running = Running::within(limits()).await;
    let (mut events, mut slow) = (running.connect().await, running.connect().await);
    events.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let idle = running.connect().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let address = running.address;
    let stopped = tokio::spawn(running.stop());
    let streamed = read_all(&mut events).await;
    assert!(streamed.contains("data: one") && streamed.ends_with("0\r\n\r\n"), "{streamed}");
    assert!(read_all(&mut slow).await.ends_with("slow"));
    assert!(stopped.await.unwrap() < Duration::from_secs(2));
    assert!(TcpStream::connect(address).await.is_err());
    drop(idle);
}

#[tokio::test]
async fn stopping_gives_up_what_does_not_end_in_time() {
    let running = Running::within(Limits {
        grace: Duration::from_millis(300),
        header_timeout: PATIENCE,
        write_timeout: PATIENCE,
        ..limits()
    })
    .await;
    let mut stuck = running.connect().await;
    stuck.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(running.stop().await < Duration::from_secs(2));
}

/// Writes a certificate for `localhost` and its key.
fn certify(directory: &Path) -> (TlsFiles, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = TlsFiles { certificate: directory.join("certificate.pem"), key: directory.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (files, made.cert.pem())
}

/// Asks over an encrypted connection by a client that trusts one certificate alone.
async fn ask(address: SocketAddr, trusted: &str, protocol: &[u8]) -> std::io::Result<String> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    if protocol == b"h2" {
        return Ok("h2".to_owned());
    }
    stream.write_all(b"GET /secret HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text).await;
    Ok(text)
}

#[tokio::test]
async fn connections_are_encrypted_with_the_certificate_and_with_a_new_one_once_it_is_there() {
    let directory = TempDir::new().unwrap();
    let (files, first) = certify(directory.path());
    let tls = Arc::new(Tls::load(files).unwrap());
    let running = Running::start(limits(), Some(tls.clone())).await;
    let answer = ask(running.address, &first, b"http/1.1").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("/secret"), "{answer}");
    assert_eq!(ask(running.address, &first, b"h2").await.unwrap(), "h2");
    assert!(!tls.reload(), "nothing is new");
    let (_, second) = certify(directory.path());
    assert!(tls.reload());
    assert!(ask(running.address, &first, b"http/1.1").await.is_err());
    assert!(ask(running.address, &second, b"http/1.1").await.unwrap().ends_with("/secret"));
    // A broken file leaves the certificate that is in use.
    std::fs::write(directory.path().join("key.pem"), "nonsense").unwrap();
    assert!(!tls.reload());
    assert!(ask(running.address, &second, b"http/1.1").await.unwrap().ends_with("/secret"));
}

#[tokio::test]
async fn who_does_not_encrypt_or_takes_too_long_to_is_hung_up_on() {
    let directory = TempDir::new().unwrap();
    let tls = Arc::new(Tls::load(certify(directory.path()).0).unwrap());
    let running = Running::start(limits(), Some(tls)).await;
    let mut plain = running.connect().await;
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(!read_all(&mut plain).await.contains("200"));
    running.until_ended(Ended::Unencrypted, 1).await;
    let mut silent = running.connect().await;
    assert_eq!(read_all(&mut silent).await, "");
    running.until_ended(Ended::SlowHead, 1).await;
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_with_its_file_and_without_its_key() {
    let directory = TempDir::new().unwrap();
    let (files, _) = certify(directory.path());
    let key = std::fs::read_to_string(&files.key).unwrap();
    let certificate = std::fs::read_to_string(&files.certificate).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let refused = |certificate: &str, key: &str| {
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        Tls::load(files.clone()).err().unwrap().to_string()
    };
    for (certificate, key, parts) in [
        ("", key.as_str(), ["certificate.pem", "holds no certificate"]),
        (key.as_str(), key.as_str(), ["certificate.pem", "holds no certificate"]),
        (certificate.as_str(), "", ["key.pem", "holds no private key"]),
        (certificate.as_str(), certificate.as_str(), ["key.pem", "holds no private key"]),
        (certificate.as_str(), &other.signing_key.serialize_pem(), ["key.pem", "another certificate's"]),
    ] {
        let fault = refused(certificate, key);
        assert!(parts.iter().all(|part| fault.contains(part)), "{fault}");
        assert!(!fault.contains("PRIVATE KEY-----\nM"), "{fault}");
    }
    std::fs::remove_file(&files.key).unwrap();
    let fault = Tls::load(files.clone()).err().unwrap().to_string();
    assert!(fault.contains("key.pem cannot be read"), "{fault}");
}
