//! The service as a process: starting, stopping under load, what it prints, and what it serves to anybody.

use crate::support::{Directory, Service, d, decimal, strace, traced};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

fn deposit(id: &str) -> Value {
    json!({ "time": "2024-01-02", "type": "deposit", "amount": "1", "id": id })
}

#[test]
fn stopping_under_load_loses_nothing_that_was_acknowledged_and_answers_what_it_took() {
    let (directory, portfolio) = Directory::with_portfolio();
    let path = format!("/v1/portfolios/{portfolio}/transactions");
    let mut acknowledged = HashSet::new();
    for round in 0..3 {
        let service = Service::start(&directory);
        let running = Arc::new(AtomicBool::new(true));
        let threads: Vec<_> = (0..4)
            .map(|writer| {
                let (client, path, running) = (service.client(), path.clone(), running.clone());
                thread::spawn(move || {
                    let mut acknowledged = Vec::new();
                    for number in 0.. {
                        let id = format!("r{round}w{writer}n{number}x");
                        let body = deposit(&id).to_string();
                        let headers = [("Content-Type", "application/json")];
                        match client.try_send("POST", &path, &headers, Some(body.as_bytes())) {
                            Ok(answer) if answer.status == 201 => acknowledged.push(id),
                            // A service that is stopping may say so, but not that it failed.
                            Ok(answer) => assert_eq!(answer.status, 503, "{answer}"),
                            Err(_) => break,
                        }
                        if !running.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(200));
        service.ask_to_stop();
        let (code, said) = service.wait();
        running.store(false, Ordering::Relaxed);
        assert_eq!(code, Some(0), "{said}");
        for thread in threads {
            acknowledged.extend(thread.join().unwrap());
        }
    }
    assert!(acknowledged.len() > 20);
    let events = directory.events();
    let keys: Vec<&str> = events.iter().filter_map(|event| event["key"].as_str()).collect();
    for id in &acknowledged {
        assert_eq!(keys.iter().filter(|key| key.contains(id.as_str())).count(), 1, "{id} is not there once");
    }
    directory.is_sound();
}

#[test]
fn the_first_start_prints_one_administrators_token_and_no_later_one_does() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let token = service.token.clone();
    assert!(token.len() >= 40, "{token}");
    assert!(!service.said().contains(&token), "the token is among the messages");
    service.client().get("/v1/portfolios").ok();
    assert_eq!(service.printed(), Vec::<String>::new(), "more than the token on stdout");
    let said = service.stop();
    assert!(!said.contains(&token));
    let service = Service::start(&directory);
    assert_eq!(service.printed(), Vec::<String>::new(), "a later start prints a token");
    assert!(!service.said().contains("administrator's token"));
    service.client().get("/v1/portfolios").ok();
    let tokens = service.client().pages("/v1/tokens");
    assert_eq!(tokens.len(), 1);
    assert_eq!((&tokens[0]["role"], &tokens[0]["state"]), (&json!("administrator"), &json!("valid")));
    service.stop();
}

#[test]
fn health_needs_no_token_and_everything_else_does() {
    let (directory, portfolio) = Directory::with_portfolio();
    let service = Service::start(&directory);
    let nobody = service.client().showing(None);
    nobody.get("/health/live").has(200);
    nobody.get("/health/ready").has(200);
    for path in
        ["/v1/portfolios", &format!("/v1/portfolios/{portfolio}"), "/v1/events", "/v1/tokens", "/v1/imports"]
    {
        let answer = nobody.get(path);
        assert!(answer.header("www-authenticate").is_some_and(|kind| kind.contains("Bearer")), "{answer}");
        answer.refuses(401);
        service.client().showing(Some("daybook_wrong")).get(path).refuses(401);
    }
    service.stop();
}

#[test]
fn the_specification_that_is_served_is_the_one_that_is_committed() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let served = service.client().showing(None).get("/openapi.json").ok().json();
    service.stop();
    let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json")).unwrap();
    let committed: Value = serde_json::from_str(&committed).unwrap();
    let without_servers = |mut specification: Value| {
        specification.as_object_mut().unwrap().remove("servers");
        specification
    };
    assert_eq!(
        without_servers(served),
        without_servers(committed),
        "run `daybook openapi > openapi.json` and review it"
    );
}

#[test]
fn the_documentation_needs_nothing_from_elsewhere() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let page = service.client().showing(None).get("/docs").ok();
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{page}");
    let text = page.text();
    for tag in text
        .split('<')
        .filter(|tag| ["script", "link", "img", "iframe"].iter().any(|name| tag.starts_with(name)))
    {
        let tag = tag.split('>').next().unwrap();
        assert!(
            !tag.contains("://") && !tag.contains("src=\"//"),
            "the page fetches from elsewhere: <{tag}>"
        );
    }
    service.stop();
}

#[test]
fn what_was_acknowledged_is_read_back_at_once() {
    let (directory, portfolio) = Directory::with_portfolio();
    let service = Service::start(&directory);
    let client = service.client();
    for number in 1..=30 {
        let posted =
            client.post(&format!("/v1/portfolios/{portfolio}/transactions"), &deposit(&number.to_string()));
        let sequence = posted.has(201).json()["sequence"].as_u64().unwrap();
        let summary = client.get(&format!("/v1/portfolios/{portfolio}")).ok().json();
        assert!(summary["sequence"].as_u64().unwrap() >= sequence);
        assert_eq!(decimal(&summary["cash"]["USD"]), number.into());
    }
    service.stop();
}

#[test]
fn an_answer_is_sent_at_once_and_not_kept_to_fill_a_packet() {
    let directory = Directory::new();
    let trace = directory.path("trace");
    let arguments = ["serve", "--listen", "127.0.0.1:0"];
    let Some(command) = strace(&directory, &["-e", "trace=accept4,setsockopt"], &arguments, &trace) else {
        println!("skipped: strace cannot be used here");
        return;
    };
    let service = Service::run(&directory, command);
    let process = service.process();
    service.client().get("/health/live").ok();
    service.stop();
    let calls = traced(Path::new(&trace), process);
    assert!(calls.iter().any(|call| call.name == "accept4" && !call.result().starts_with('-')), "{calls:?}");
    let immediate = |call: &&crate::support::Call| {
        call.name == "setsockopt" && call.text.contains("TCP_NODELAY, [1]") && call.result() == "0"
    };
    assert!(calls.iter().any(|call| immediate(&call)), "no connection was told to send at once: {calls:?}");
}

#[test]
fn many_connections_that_say_nothing_keep_nobody_out() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let address = service.url.strip_prefix("http://").unwrap();
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut half = TcpStream::connect(address).unwrap();
    half.write_all(b"POST /v1/portfolios HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").unwrap();
    service.client().get("/v1/portfolios").ok();
    drop((silent, half));
    service.client().get("/v1/portfolios").ok();
    service.stop();
}

#[test]
fn what_is_not_http_is_answered_or_hung_up_on_and_the_service_goes_on() {
    let directory = Directory::new();
    let service = Service::start(&directory);
    let address = service.url.strip_prefix("http://").unwrap();
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(300_000));
    let headers = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(2_000_000));
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/portfolios HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/portfolios HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\0\0\0\0\r\n\r\n",
        long.as_bytes(),
        headers.as_bytes(),
    ] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // It may hang up before all of it was sent.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1."), "{answer}");
        assert!(!answer.starts_with("HTTP/1.1 5"), "{answer}");
    }
    service.client().get("/v1/portfolios").ok();
    service.stop();
}

#[test]
fn a_repeated_request_with_its_key_is_answered_as_the_first_was_also_after_a_restart() {
    let (directory, portfolio) = Directory::with_portfolio();
    let path = format!("/v1/portfolios/{portfolio}/transactions");
    let body = json!({ "time": "2024-01-02", "type": "deposit", "amount": "5" });
    let key = [("Idempotency-Key", "a-key-of-my-own")];
    let service = Service::start(&directory);
    let first = service.client().post_keyed(&path, &body, &key).ok().json();
    assert_eq!(service.client().post_keyed(&path, &body, &key).ok().json()["sequence"], first["sequence"]);
    service.kill();
    let service = Service::start(&directory);
    let client = service.client();
    assert_eq!(client.post_keyed(&path, &body, &key).ok().json()["sequence"], first["sequence"]);
    let other = json!({ "time": "2024-01-02", "type": "deposit", "amount": "6" });
    client.post_keyed(&path, &other, &key).refuses(409);
    let summary = client.get(&format!("/v1/portfolios/{portfolio}")).ok().json();
    assert_eq!(decimal(&summary["cash"]["USD"]), d("5"));
    // Without a key, equal transactions are two.
    client.post(&path, &body).has(201);
    client.post(&path, &body).has(201);
    let summary = client.get(&format!("/v1/portfolios/{portfolio}")).ok().json();
    assert_eq!(decimal(&summary["cash"]["USD"]), d("15"));
    service.stop();
}

#[test]
fn the_same_transaction_from_many_clients_at_once_is_recorded_once() {
    let (directory, portfolio) = Directory::with_portfolio();
    let service = Service::start(&directory);
    let path = format!("/v1/portfolios/{portfolio}/transactions");
    for round in 0..5 {
        let body = deposit(&format!("round-{round}"));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (client, path, body) = (service.client(), path.clone(), body.clone());
                thread::spawn(move || {
                    let answer = client.post(&path, &body).ok();
                    (answer.status, answer.json()["sequence"].as_u64().unwrap())
                })
            })
            .collect();
        let answers: Vec<(u16, u64)> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(answers.iter().filter(|(status, _)| *status == 201).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|(_, sequence)| *sequence == answers[0].1), "{answers:?}");
    }
    let summary = service.client().get(&format!("/v1/portfolios/{portfolio}")).ok().json();
    assert_eq!(decimal(&summary["cash"]["USD"]), d("5"));
    service.stop();
    directory.is_sound();
}

#[test]
fn the_same_file_from_many_clients_at_once_is_imported_once() {
    let (directory, portfolio) = Directory::with_portfolio();
    let service = Service::start(&directory);
    let rows: String = (0..200).map(|row| format!("2024-01-02,deposit,1,row-{row}\n")).collect();
    let file = format!("time,type,amount,id\n{rows}");
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let (client, file) = (service.client(), file.clone());
            let path = format!("/v1/portfolios/{portfolio}/imports");
            thread::spawn(move || {
                client.upload(&path, &[("format", "csv")], "a.csv", file.as_bytes()).ok().json()
            })
        })
        .collect();
    let answers: Vec<Value> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer["import"] == answers[0]["import"]), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer["known"] == 0).count(), 1, "{answers:?}");
    let summary = service.client().get(&format!("/v1/portfolios/{portfolio}")).ok().json();
    assert_eq!(decimal(&summary["cash"]["USD"]), d("200"));
    service.stop();
    directory.is_sound();
}

#[test]
fn every_read_among_writes_is_of_one_moment() {
    let (directory, portfolio) = Directory::with_portfolio();
    let service = Service::start(&directory);
    let path = format!("/v1/portfolios/{portfolio}");
    let running = Arc::new(AtomicBool::new(true));
    let writer = {
        let (client, path, running) = (service.client(), format!("{path}/transactions"), running.clone());
        thread::spawn(move || {
            for number in 0u32.. {
                let price = 10 + number % 7;
                let kind = if number % 3 == 2 { "sell" } else { "buy" };
                let body = json!({
                    "time": format!("2024-01-{:02}T10:00:00Z", 2 + number % 20), "type": kind, "symbol": "ACME",
                    "quantity": "3", "price": price.to_string(), "fee": "0.35",
                });
                client.post(&path, &body).has(201);
                if number >= 60 && !running.load(Ordering::Relaxed) {
                    break;
                }
            }
        })
    };
    let client = service.client();
    let mut before = 0;
    for _ in 0..40 {
        let summary = client.get(&path).ok().json();
        crate::support::identity_holds(&summary);
        let sequence = summary["sequence"].as_u64().unwrap();
        assert!(sequence >= before, "a read went back");
        before = sequence;
        // The same moment asked for again is the same, whatever was written in between.
        let again = client.get(&format!("{path}?at_sequence={sequence}")).ok().json();
        assert_eq!(again, summary);
    }
    running.store(false, Ordering::Relaxed);
    writer.join().unwrap();
    service.stop();
    directory.is_sound();
}

#[test]
fn what_joins_notes_to_trades_is_read_beside_writes_without_anybody_waiting_for_ever() {
    let (directory, portfolio) = Directory::with_portfolio();
    let service = Service::start(&directory);
    let client = service.client();
    let path = |rest: &str| format!("/v1/portfolios/{portfolio}{rest}");
    let deposit = json!({ "time": "2024-01-02", "type": "deposit", "amount": "100000" });
    client.post(&path("/transactions"), &deposit).has(201);
    let bought = json!({ "time": "2024-01-03T15:00:00Z", "type": "buy", "symbol": "ACME", "quantity": "1", "price": "10" });
    client.post(&path("/transactions"), &bought).has(201);
    let written = AtomicBool::new(false);
    let read = std::thread::scope(|scope| {
        let readers: Vec<_> = ["/trades", "/annotations", "/plans"]
            .into_iter()
            .map(|rest| {
                let (client, path, written) = (service.client(), path(rest), &written);
                scope.spawn(move || {
                    let mut read = 0;
                    while !written.load(Ordering::Acquire) {
                        client.get(&path).ok();
                        read += 1;
                    }
                    read
                })
            })
            .collect();
        for day in 0..1_500 {
            let time = format!("2024-02-{:02}", day % 28 + 1);
            let deposit = json!({ "time": time, "type": "deposit", "amount": "1" });
            client.post(&path("/transactions"), &deposit).has(201);
        }
        written.store(true, Ordering::Release);
        readers.into_iter().map(|reader| reader.join().unwrap()).min()
    });
    assert!(read > Some(10), "{read:?} reads beside the writes");
    service.stop();
    directory.is_sound();
}
