//! The stand-in on a real port: what is on the wire when things go wrong, and how soon a fill is told.

use crate::support::{d, keys};
use daybook_simulator::broker::order::Side;
use daybook_simulator::{
    Clock, Event, FastClock, Hours, Life, MessageFault, RestFault, Running, StandIn, SystemClock, World,
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;

fn serve(prepare: impl FnOnce(&mut World)) -> Running {
    let mut world = World::new(1, SystemClock.now());
    world.set_hours(Hours::Always);
    world.open(&keys(), true, d("100000"));
    prepare(&mut world);
    StandIn::start("127.0.0.1:0", world, SystemClock).unwrap()
}

fn connect(running: &Running) -> TcpStream {
    let stream = TcpStream::connect(running.base_url().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, target: &str) {
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: x\r\nAPCA-API-KEY-ID: PKTEST\r\nAPCA-API-SECRET-KEY: secret\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
}

/// Head and body as far as they came, and how reading ended.
fn receive(stream: &mut TcpStream) -> (String, Vec<u8>, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = whole_length(&bytes);
        if length.is_some_and(|length| bytes.len() >= length) {
            break (split(&bytes).0, split(&bytes).1, None);
        }
        match stream.read(&mut buffer) {
            Ok(0) => break (split(&bytes).0, split(&bytes).1, Some(ErrorKind::UnexpectedEof)),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) => break (split(&bytes).0, split(&bytes).1, Some(error.kind())),
        }
    }
}

fn split(bytes: &[u8]) -> (String, Vec<u8>) {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    (String::from_utf8_lossy(&bytes[..end]).into_owned(), bytes[end..].to_vec())
}

fn whole_length(bytes: &[u8]) -> Option<usize> {
    let (head, _) = split(bytes);
    head.ends_with("\r\n\r\n").then(|| head.len() + content_length(&head))
}

fn content_length(head: &str) -> usize {
    head.lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |length| length.parse().unwrap())
}

#[test]
fn one_connection_carries_many_requests_and_each_url_answers() {
    let running = serve(|_| {});
    let mut stream = connect(&running);
    for target in
        ["/v2/account", "/v2/account/activities", "/v2/orders", "/v2/positions", "/v2/assets", "/v2/clock"]
    {
        ask(&mut stream, target);
        let (head, body, ended) = receive(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{target} {head}");
        assert!(head.contains("X-RateLimit-Limit: 200"), "{head}");
        assert_eq!(ended, None);
        assert!(serde_json::from_slice::<Value>(&body).is_ok(), "{target}");
    }
    stream.write_all(b"nonsense\r\n\r\n").unwrap();
    assert!(receive(&mut stream).0.starts_with("HTTP/1.1 400"));
    running.stop();
}

#[test]
fn a_truncated_body_is_shorter_than_it_said_and_the_connection_ends() {
    let running = serve(|world| world.faults.next_answers([Some(RestFault::Truncated)]));
    let mut stream = connect(&running);
    ask(&mut stream, "/v2/account");
    let (head, body, ended) = receive(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200"));
    assert!(body.len() < content_length(&head), "{} of {}", body.len(), content_length(&head));
    assert_eq!(ended, Some(ErrorKind::UnexpectedEof));
}

#[test]
fn a_hanging_answer_neither_comes_nor_ends_and_others_are_served_meanwhile() {
    let running = serve(|world| world.faults.next_answers([Some(RestFault::Hang)]));
    let mut stream = connect(&running);
    ask(&mut stream, "/v2/account");
    let (_, _, ended) = receive(&mut stream);
    assert!(matches!(ended, Some(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "{ended:?}");
    let mut other = connect(&running);
    ask(&mut other, "/v2/account");
    assert!(receive(&mut other).0.starts_with("HTTP/1.1 200"));
    let began = Instant::now();
    running.stop();
    assert!(began.elapsed() < Duration::from_secs(5), "it stops although somebody hangs");
}

#[test]
fn a_reset_is_a_reset_and_no_end() {
    let running = serve(|world| world.faults.next_answers([Some(RestFault::Reset)]));
    let mut stream = connect(&running);
    ask(&mut stream, "/v2/account");
    assert_eq!(receive(&mut stream).2, Some(ErrorKind::ConnectionReset));
}

#[test]
fn time_can_run_faster_than_here() {
    let start = crate::support::at("2024-06-03T13:00:00Z");
    let mut world = World::new(1, start);
    world.open(&keys(), true, d("100000"));
    world.animate(Life::new(1, &keys().id, 60));
    // A day takes under a second.
    let running = StandIn::start("127.0.0.1:0", world, FastClock::new(start, 100_000)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while running.world().books("PKTEST").unwrap().fills.len() < 20 {
        assert!(Instant::now() < deadline, "nobody trades");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(running.world().now() > start.plus_nanos(600 * crate::support::SECOND));
}

type Frames = tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>;

async fn listen(running: &Running) -> Frames {
    let stream =
        tokio::net::TcpStream::connect(running.base_url().trim_start_matches("http://")).await.unwrap();
    let (mut frames, _) = tokio_tungstenite::client_async(running.stream_url(), stream).await.unwrap();
    for message in [
        json!({ "action": "auth", "key": "PKTEST", "secret": "secret" }),
        json!({ "action": "listen", "data": { "streams": ["trade_updates"] } }),
    ] {
        frames.send(Message::text(message.to_string())).await.unwrap();
        assert!(
            matches!(frames.next().await, Some(Ok(Message::Binary(_)))),
            "paper answers in binary frames"
        );
    }
    frames
}

fn trade(running: &Running) {
    let mut world = running.world();
    let account = world.broker.account_of("PKTEST").unwrap();
    let now = world.now();
    world.broker.trade(account, "AAPL", Side::Buy, d("1"), d("100"), now);
}

async fn next(frames: &mut Frames) -> Option<Result<Message, tokio_tungstenite::tungstenite::Error>> {
    tokio::time::timeout(Duration::from_secs(5), frames.next()).await.expect("something comes")
}

#[tokio::test]
async fn a_fill_is_told_at_once() {
    let running = serve(|_| {});
    let mut frames = listen(&running).await;
    let mut waits = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        trade(&running);
        for event in ["new", "fill"] {
            let Some(Ok(Message::Binary(bytes))) = next(&mut frames).await else { panic!("no message") };
            let message: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(message["data"]["event"], event);
        }
        waits.push(began.elapsed());
    }
    waits.sort();
    println!("from trade to message: median {:?}, slowest {:?}", waits[25], waits[49]);
    // Far above what it takes; below what polling would.
    assert!(waits[25] < Duration::from_millis(250), "{:?}", waits[25]);
}

#[tokio::test]
async fn a_socket_pongs_until_it_is_silent_and_a_reset_is_an_error() {
    let running = serve(|_| {});
    let mut frames = listen(&running).await;
    frames.send(Message::Ping("x".into())).await.unwrap();
    assert!(matches!(next(&mut frames).await, Some(Ok(Message::Pong(_)))));
    running.world().faults.next_messages([Some(MessageFault::Silent)]);
    trade(&running);
    tokio::time::sleep(Duration::from_millis(100)).await;
    frames.send(Message::Ping("x".into())).await.unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(300), frames.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    let mut frames = listen(&running).await;
    running.world().faults.next_messages([Some(MessageFault::Reset)]);
    trade(&running);
    assert!(matches!(next(&mut frames).await, Some(Err(_))));
    let mut frames = listen(&running).await;
    running.world().happen("PKTEST", &Event::Revoke).unwrap();
    assert!(matches!(next(&mut frames).await, Some(Ok(Message::Close(Some(_))))));
}
