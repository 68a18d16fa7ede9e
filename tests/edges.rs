//! The service's edges over real sockets: slow, silent and broken clients, tokens of every wrong kind, encryption, metrics,
//! and what is never in a log.

use crate::support::{Client, Directory, Service};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

fn connect(service: &Service) -> TcpStream {
    let address = service.url.rsplit("//").next().unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything until the other side closes.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A service whose limits are said by variables of the environment.
fn with(directory: &Directory, variables: &[(&str, &str)], more: &[&str]) -> Service {
    let mut command = directory.command(&[&["serve", "--listen", "127.0.0.1:0"], more].concat());
    command.envs(variables.iter().copied());
    Service::run(directory, command)
}

#[test]
fn a_client_that_drips_its_request_is_hung_up_on_and_others_are_served() {
    let directory = Directory::new();
    let service = with(&directory, &[("DAYBOOK_HEADER_TIMEOUT", "500ms")], &[]);
    let began = Instant::now();
    let mut dripping: Vec<TcpStream> = (0..50).map(|_| connect(&service)).collect();
    for stream in &mut dripping {
        stream.write_all(b"GET /v1/portfolios HTTP/1.1\r\nHost: x\r\n").unwrap();
    }
    let mut broken = 0;
    while broken < dripping.len() {
        assert!(began.elapsed() < PATIENCE, "{broken} of {} were hung up on", dripping.len());
        std::thread::sleep(Duration::from_millis(100));
        broken = dripping
            .iter_mut()
            .map(|stream| stream.write_all(b"X-Drop: drip\r\n"))
            .filter(Result::is_err)
            .count();
        service.client().get("/v1/portfolios").ok();
    }
    assert!(began.elapsed() >= Duration::from_millis(500));
    service.stop();
}

#[test]
fn a_thousand_silent_connections_cost_no_thread_and_keep_nobody_out() {
    let directory = Directory::new();
    let metrics = ["--metrics-listen", "127.0.0.1:0"];
    let service = with(&directory, &[], &metrics);
    let threads = |service: &Service| {
        let page = service.client().get("/metrics").ok().text();
        sample(&page, "process_threads")
    };
    service.client().get("/v1/portfolios").ok();
    let before = threads(&service);
    let silent: Vec<TcpStream> = (0..1_000).map(|_| connect(&service)).collect();
    for _ in 0..20 {
        service.client().get("/v1/portfolios").ok();
    }
    let page = service.client().get("/metrics").ok().text();
    assert!(sample(&page, "daybook_connections") >= 1_000);
    assert!(threads(&service) <= before + 20, "{before} threads became {}", threads(&service));
    drop(silent);
    service.stop();
}

#[test]
fn connections_beyond_the_limit_are_refused_until_some_are_closed() {
    let directory = Directory::new();
    let service = with(&directory, &[("DAYBOOK_CONNECTIONS_MAX", "10")], &[]);
    let mut held: Vec<TcpStream> = (0..10).map(|_| connect(&service)).collect();
    for stream in &mut held {
        stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    let refused = rest(&mut connect(&service));
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("too many connections"), "{refused}");
    held.truncate(5);
    let began = Instant::now();
    while service.client().try_send("GET", "/health/live", &[], None).map_or(0, |answer| answer.status) != 200
    {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    service.stop();
}

#[test]
fn tokens_of_every_wrong_kind_open_nothing() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let client = service.client();
    let issued = client.post("/v1/tokens", &json!({ "role": "auditor" })).has(201).json();
    let (id, revoked) = (issued["id"].as_str().unwrap(), issued["token"].as_str().unwrap());
    client.showing(Some(revoked)).get("/v1/portfolios").ok();
    client.delete(&format!("/v1/tokens/{id}")).ok();
    let soon =
        client.post("/v1/tokens", &json!({ "role": "auditor", "expires": in_a_moment() })).has(201).json();
    let expired = soon["token"].as_str().unwrap();
    std::thread::sleep(Duration::from_millis(2_500));
    let elsewhere = Directory::new();
    let other = Service::start(&elsewhere);
    let of_another = other.token.clone();
    other.client().get("/v1/portfolios").ok();
    let long = "daybook_".to_owned() + &"x".repeat(20_000);
    let cut = &service.token[..service.token.len() - 1];
    for token in [revoked, expired, of_another.as_str(), "daybook_", "x", "not one word", long.as_str(), cut]
    {
        let answer = client.showing(Some(token)).get("/v1/portfolios");
        assert!(answer.header("www-authenticate").is_some_and(|kind| kind.starts_with("Bearer")), "{answer}");
        let problem = answer.refuses(401).to_string();
        assert!(!problem.contains(token) || token.len() < 10, "{problem}");
    }
    for header in ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "bearer\t", "Token x"] {
        client.showing(None).send("GET", "/v1/portfolios", &[("Authorization", header)], None).refuses(401);
    }
    client.showing(None).get("/v1/portfolios").refuses(401);
    // The scheme's case does not matter; the token's does.
    let lower = format!("bearer {}", service.token);
    client.showing(None).send("GET", "/v1/portfolios", &[("Authorization", &lower)], None).ok();
    other.stop();
    let said = service.stop();
    for secret in [revoked, expired, of_another.as_str()] {
        assert!(!said.contains(secret), "a token is in the log");
    }
}

/// Two seconds from now.
fn in_a_moment() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let at = now + 2;
    let (days, second) = (at / 86_400, at % 86_400);
    // Days since 1970 as a date, by the usual arithmetic of eras.
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

/// The value of a sample, which is whole.
fn sample(page: &str, name: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}

#[test]
fn secrets_are_in_no_log_however_much_is_logged() {
    let directory = Directory::new();
    for format in ["text", "json"] {
        let mut command = directory.command(&["--log-format", format, "serve", "--listen", "127.0.0.1:0"]);
        command.env("RUST_LOG", "trace");
        let service = Service::run(&directory, command);
        let client = service.client();
        client.get("/v1/portfolios").ok();
        client.post("/v1/portfolios", &json!({ "name": "Hidden Name" })).ok();
        let issued = client.post("/v1/tokens", &json!({ "role": "auditor" })).has(201).json();
        client.showing(Some("daybook_wrong-but-secret")).get("/v1/portfolios").refuses(401);
        let token = service.token.clone();
        let said = service.stop();
        assert!(said.contains("GET"), "requests are logged");
        for secret in [token.as_str(), issued["token"].as_str().unwrap(), "wrong-but-secret"] {
            assert!(!said.contains(secret), "{format}: a secret is in the log");
        }
        if format == "json" {
            let lines = said.lines().filter(|line| line.starts_with('{'));
            let requests: Vec<Value> = lines
                .map(|line| serde_json::from_str(line).unwrap())
                .filter(|line: &Value| line["span"]["name"] == "request")
                .collect();
            assert!(requests.iter().any(|line| line["span"]["id"].as_str().is_some_and(|id| id.len() == 26)));
        }
    }
}

#[test]
fn encrypted_connections_are_served_and_a_certificate_that_cannot_be_used_is_an_error_at_the_start() {
    let directory = Directory::new();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = directory.write("certificate.pem", made.cert.pem());
    let key = directory.write("key.pem", made.signing_key.serialize_pem());
    let tls = ["--tls-cert", certificate.as_str(), "--tls-key", key.as_str()];
    let service = Service::start_with(&directory, &tls);
    assert!(service.url.starts_with("https://127.0.0.1:"), "{}", service.url);
    let url = service.url.replace("127.0.0.1", "localhost");
    let client = Client::trusting(&url, &service.token, made.cert.pem().as_bytes());
    let answer = client.get("/v1/portfolios").ok();
    assert!(answer.header("strict-transport-security").is_some());
    let mut plain = connect(&service);
    plain.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(!rest(&mut plain).contains("200 OK"));
    // A new certificate is taken without a restart.
    let next = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    directory.write("certificate.pem", next.cert.pem());
    directory.write("key.pem", next.signing_key.serialize_pem());
    service.signal("HUP");
    let began = Instant::now();
    loop {
        let client = Client::trusting(&url, &service.token, next.cert.pem().as_bytes());
        if client.try_send("GET", "/health/live", &[], None).is_ok_and(|answer| answer.status == 200) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "the new certificate is not in use: {}", service.said());
        std::thread::sleep(Duration::from_millis(50));
    }
    service.stop();
    let broken = directory.write("broken.pem", "nonsense");
    let pem = made.cert.pem();
    let short = directory.write("short.pem", &pem[..pem.len() / 2]);
    for (arguments, parts) in [
        (vec!["--tls-cert", &certificate, "--tls-key", &broken], vec!["broken.pem", "no private key"]),
        (vec!["--tls-cert", &broken, "--tls-key", &key], vec!["broken.pem", "no certificate"]),
        (
            vec!["--tls-cert", &short, "--tls-key", &key],
            vec!["short.pem", "cut short", "-----END CERTIFICATE-----"],
        ),
        (
            vec!["--tls-cert", &certificate],
            vec!["daybook: --tls-cert: `tls_key`: ", "its key, say --tls-key"],
        ),
        (vec!["--tls-key", &key], vec!["daybook: --tls-key: `tls_cert`: ", "its key, say --tls-cert"]),
        (vec!["--tls-cert", "/nowhere", "--tls-key", &key], vec!["/nowhere", "cannot be read"]),
        (vec!["--metrics-listen", "0.0.0.0:0"], vec!["--metrics-listen", "other machines"]),
        (vec!["--cors-origin", "https://example.org/"], vec!["--cors-origin", "https://example.org"]),
        (vec!["--rate-limit", "many"], vec!["--rate-limit", "600/1m"]),
    ] {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"], &arguments[..]].concat();
        directory.run(&arguments).refuses(&parts);
    }
}

#[test]
fn a_write_is_answered_whatever_follows_it_in_the_same_breath() {
    let (directory, portfolio) = Directory::with_portfolio();
    let service = Service::start(&directory);
    let body = r#"{"time":"2024-01-02","type":"deposit","amount":"1"}"#;
    let head = format!(
        "POST /v1/portfolios/{portfolio}/transactions HTTP/1.1\r\nhost: d\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n",
        service.token,
        body.len()
    );
    let mut recorded = 0;
    for close in ["", "connection: close\r\n"] {
        for after in ["\r\n", "nonsense\r\n\r\n", body, "GET /v1/portfolios HT"] {
            let mut stream = connect(&service);
            stream.write_all(format!("{head}{close}\r\n{body}{after}").as_bytes()).unwrap();
            assert_eq!(answer(&mut stream).0, 201, "{close:?} {after:?}");
            recorded += 1;
        }
    }
    let shown = service.client().get(&format!("/v1/portfolios/{portfolio}")).ok().json();
    assert_eq!(shown["cash"]["USD"], recorded.to_string());
    service.stop();
}

#[test]
fn told_to_read_its_files_again_a_service_without_any_goes_on() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    service.signal("HUP");
    std::thread::sleep(Duration::from_millis(200));
    service.client().get("/v1/portfolios").ok();
    service.stop();
}

#[test]
fn metrics_are_read_without_a_token_only_where_the_operator_says_so() {
    let directory = Directory::new();
    let service = Service::start_with(&directory, &["--metrics-listen", "127.0.0.1:0"]);
    let nobody = service.client().showing(None);
    nobody.get("/metrics").refuses(401);
    let said = service.said();
    let (_, url) = said.split_once("metrics are read at ").unwrap();
    let url = url.split_whitespace().next().unwrap().trim_end_matches("/metrics");
    let alone = Client::new(url, "").showing(None);
    let page = alone.get("/metrics").ok().text();
    assert!(sample(&page, "daybook_ledger_head") >= 1);
    alone.get("/v1/portfolios").refuses(404);
    alone.get("/").refuses(404);
    service.stop();
}

#[test]
fn the_day_of_a_tokens_use_is_recorded_when_the_service_ends() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    service.client().get("/v1/portfolios").ok();
    service.stop();
    let used: Vec<Value> =
        directory.events().into_iter().filter(|event| event["type"] == "AccessUsed").collect();
    assert_eq!(used.len(), 1, "{used:?}");
    let listed = directory.run(&["token", "list", "--format", "json"]).ok().json();
    assert_eq!(listed["items"][0]["last_used"], used[0]["payload"]["on"]);
    // Another start on the same day, and another use, record nothing more.
    let service = Service::start(&directory);
    service.client().get("/v1/portfolios").ok();
    service.stop();
    assert_eq!(directory.events().iter().filter(|event| event["type"] == "AccessUsed").count(), 1);
    directory.is_sound();
}

#[test]
fn what_is_in_effect_at_the_edges_is_shown_with_where_it_came_from() {
    let directory = Directory::new();
    let file =
        "[service]\nkeep_alive = \"5s\"\nrate_limit = \"600/1m\"\ncors_origins = [\"https://a.example\"]\n";
    let config = directory.write("edges.toml", file);
    let mut command =
        directory.command(&["config", "--format", "json", "--config", &config, "--listen", "127.0.0.1:9999"]);
    command.env("DAYBOOK_RATE_LIMIT", "5/1s");
    let shown = crate::support::Ran::of(command).ok().json();
    let find = |key: &str| {
        shown["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap().clone()
    };
    for (key, value, kind) in [
        ("service.listen", json!("127.0.0.1:9999"), "flag"),
        ("service.rate_limit", json!("5/1s"), "variable"),
        ("service.keep_alive", json!("5s"), "file"),
        ("service.cors_origins", json!(["https://a.example"]), "file"),
        ("service.header_timeout", json!("10s"), "default"),
        ("service.connections_max", json!(16_384), "default"),
    ] {
        let setting = find(key);
        assert_eq!((&setting["value"], &setting["from"]["kind"]), (&value, &json!(kind)), "{key}");
    }
}

#[test]
fn a_connection_goes_on_after_a_refusal_whose_body_nobody_read() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let mut stream = connect(&service);
    let token = service.token.clone();
    // Without a token; on a route that takes no body; with a path that no route can read; all with a body behind.
    let refused = [
        ("POST", "/v1/portfolios", "nobody", 401),
        ("POST", "/v1/instruments/refresh", token.as_str(), 409),
        ("POST", "/v1/events/x/reverse", token.as_str(), 400),
        ("GET", "/v1/portfolios", token.as_str(), 200),
    ];
    for (method, path, token, status) in refused {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: d\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: 20000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&[b' '; 10_000]).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(&[b' '; 10_000]).unwrap();
        let (answered, head) = answer(&mut stream);
        assert_eq!(answered, status, "{method} {path}: {head}");
        assert!(!head.to_lowercase().contains("connection: close"), "{head}");
    }
    // More than anybody reads for nothing: the answer says that the connection ends.
    let head = "POST /v1/portfolios HTTP/1.1\r\nhost: d\r\ncontent-length: 900000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&[b' '; 100_000]).unwrap();
    let (answered, head) = answer(&mut stream);
    assert_eq!(answered, 401);
    assert!(head.to_lowercase().contains("connection: close"), "{head}");
    service.stop();
}

/// The next answer on a connection: its status and its head.
fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed after {:?}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length =
        head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (head[9..12].parse().unwrap(), head)
}
