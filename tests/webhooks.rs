//! Events sent to receivers that fail in every way, by a service that is killed in between, and deliveries taken over a socket.

use crate::support::{Client, Directory, Service};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

const SECRET: &str = "the-secret-of-the-receiver";

/// What a receiver does with a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Takes,
    Fails,
    /// It says nothing at all.
    Hangs,
    /// It hangs up without an answer.
    Resets,
    /// It points to another path of its own.
    Redirects,
    /// It wants no more.
    Gone,
    /// It wants to be left alone for so many seconds.
    Busy(u64),
}

/// A delivery as it came.
#[derive(Clone, Debug)]
struct Came {
    sequence: u64,
    path: String,
    delivery: String,
    signed: bool,
    taken: bool,
    body: Value,
    at: Instant,
}

/// A receiver on a socket of this machine.
struct Receiver {
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    /// Events that it never takes.
    indigestible: Arc<Mutex<Vec<u64>>>,
    came: Arc<Mutex<Vec<Came>>>,
    alive: Arc<AtomicBool>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            mood: Arc::new(Mutex::new(Mood::Takes)),
            indigestible: Arc::default(),
            came: Arc::default(),
            alive: Arc::default(),
        };
        receiver.listen(listener);
        receiver
    }

    fn listen(&self, listener: TcpListener) {
        self.alive.store(true, Ordering::SeqCst);
        listener.set_nonblocking(true).unwrap();
        let (mood, indigestible) = (self.mood.clone(), self.indigestible.clone());
        let (came, alive) = (self.came.clone(), self.alive.clone());
        thread::spawn(move || {
            while alive.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((socket, _)) => {
                        let (mood, indigestible, came) = (mood.clone(), indigestible.clone(), came.clone());
                        thread::spawn(move || serve(socket, &mood, &indigestible, &came));
                    }
                    Err(_) => thread::sleep(Duration::from_millis(2)),
                }
            }
        });
    }

    /// Nobody listens any more.
    fn kill(&self) {
        self.alive.store(false, Ordering::SeqCst);
        let gone = || TcpListener::bind(self.address).ok();
        drop(comes("the socket is free", gone));
    }

    /// Somebody listens again, at the same address.
    fn revive(&self) {
        self.listen(comes("the socket is free", || TcpListener::bind(self.address).ok()));
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    /// The sequences that it took, in the order in which it did.
    fn took(&self) -> Vec<u64> {
        self.came().iter().filter(|came| came.taken).map(|came| came.sequence).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.alive.store(false, Ordering::SeqCst);
    }
}

/// Serves one connection.
fn serve(socket: TcpStream, mood: &Mutex<Mood>, indigestible: &Mutex<Vec<u64>>, came: &Mutex<Vec<Came>>) {
    // A socket inherits that its listener does not wait on some systems.
    socket.set_nonblocking(false).unwrap();
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    let mut socket = socket;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut length, mut timestamp, mut signature, mut delivery) =
            (0, String::new(), String::new(), String::new());
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 {
                return;
            }
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "daybook-timestamp" => timestamp = value.to_owned(),
                "daybook-signature" => signature = value.to_owned(),
                "daybook-delivery" => delivery = value.to_owned(),
                _ => {}
            }
        }
        let mut bytes = vec![0; length];
        if reader.read_exact(&mut bytes).is_err() {
            return;
        }
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let sequence = body["sequence"].as_u64().unwrap_or_default();
        let mood = *mood.lock().unwrap();
        let taken = mood == Mood::Takes && !indigestible.lock().unwrap().contains(&sequence);
        let signed = signature == sign(&timestamp, &bytes);
        came.lock().unwrap().push(Came { sequence, path, delivery, signed, taken, body, at: Instant::now() });
        let answer = match mood {
            Mood::Takes if taken => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            Mood::Takes => "HTTP/1.1 422 Unprocessable\r\nContent-Length: 9\r\n\r\nnot these".to_owned(),
            Mood::Fails => "HTTP/1.1 500 Failed\r\nContent-Length: 0\r\n\r\n".to_owned(),
            Mood::Redirects => {
                "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            Mood::Gone => "HTTP/1.1 410 Gone\r\nContent-Length: 5\r\n\r\nmoved".to_owned(),
            Mood::Busy(seconds) => {
                format!("HTTP/1.1 429 Busy\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n")
            }
            Mood::Hangs => {
                thread::sleep(Duration::from_secs(3));
                return;
            }
            Mood::Resets => return,
        };
        if socket.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn sign(timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().iter().fold("v1=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Waits until a question has an answer.
fn comes<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1_200 {
        if let Some(answer) = ask() {
            return answer;
        }
        thread::sleep(Duration::from_millis(25));
    }
    panic!("it never came: {what}")
}

/// The configuration of one receiver.
fn receiver_of(url: &str, more: &str) -> String {
    format!(
        "[webhooks.outbound.crm]\nurl = \"{url}\"\nsecret_env = \"CRM_SECRET\"\nevents = [\"cash\", \"FileImported\"]\n\
         timeout = \"400ms\"\nretry_first = \"50ms\"\nretry_most = \"200ms\"\n{more}\n"
    )
}

fn start(directory: &Directory, configuration: &str) -> Service {
    let file = directory.write("daybook.toml", configuration);
    let mut command: Command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--config", &file]);
    command.env("CRM_SECRET", SECRET);
    Service::run(directory, command)
}

/// Records a deposit and gives its sequence.
fn deposit(client: &Client, portfolio: &str, amount: u32) -> u64 {
    let body = json!({ "time": "2024-01-02", "type": "deposit", "amount": amount.to_string() });
    let answer = client.post(&format!("/v1/portfolios/{portfolio}/transactions"), &body);
    answer.has(201).json()["sequence"].as_u64().unwrap()
}

fn shown(service: &Service) -> Value {
    service.client().get("/v1/webhooks/crm").has(200).json()
}

fn state_is(service: &Service, state: &str) -> Value {
    comes(state, || Some(shown(service)).filter(|item| item["state"] == state))
}

/// In ascending order, where the same may come several times.
fn ascends(sequences: &[u64]) -> bool {
    sequences.windows(2).all(|pair| pair[0] <= pair[1])
}

fn without_repeats(mut sequences: Vec<u64>) -> Vec<u64> {
    sequences.dedup();
    sequences
}

#[test]
fn every_event_arrives_in_order_whatever_the_receiver_does_and_however_often_the_service_is_killed() {
    let (directory, portfolio) = Directory::with_portfolio();
    let receiver = Receiver::start();
    let configuration = receiver_of(&format!("http://{}/hook", receiver.address), "");
    let mut service = start(&directory, &configuration);
    let mut chosen = Vec::new();
    let moods =
        [Mood::Takes, Mood::Fails, Mood::Hangs, Mood::Resets, Mood::Redirects, Mood::Busy(1), Mood::Takes];
    for (round, mood) in moods.into_iter().enumerate() {
        receiver.is(mood);
        for amount in 1..=6 {
            chosen.push(deposit(&service.client(), &portfolio, amount));
        }
        // In the middle of what is being sent, or of a wait.
        thread::sleep(Duration::from_millis(60 * round as u64));
        service.kill();
        if round == 2 {
            std::fs::remove_dir_all(directory.data().join("index")).unwrap();
        }
        if round == 4 {
            receiver.kill();
        }
        service = start(&directory, &configuration);
        chosen.push(deposit(&service.client(), &portfolio, 7));
        if round == 4 {
            comes("the receiver is missed", || {
                let item = shown(&service);
                item["last_error"].as_str().is_some_and(|error| error.contains("connection")).then_some(())
            });
            receiver.revive();
        }
    }
    receiver.is(Mood::Takes);
    comes("all of them", || (receiver.took().last() == chosen.last()).then_some(()));
    assert!(ascends(&receiver.took()), "{:?}", receiver.took());
    assert_eq!(without_repeats(receiver.took()), chosen, "each at least once, none skipped");
    let item = state_is(&service, "current");
    assert_eq!((&item["lag"], &item["last_error"]), (&json!(0), &Value::Null), "{item}");
    service.stop();
    let came = receiver.came();
    assert!(came.iter().all(|came| came.signed && came.path == "/hook"), "no redirect is followed");
    assert!(came.iter().all(|came| came.delivery == format!("crm:{}", came.sequence)));
    // What is sent is what the log says.
    let events = directory.events();
    for came in came.iter().filter(|came| came.taken) {
        let event = events.iter().find(|event| event["sequence"] == came.sequence).unwrap();
        assert_eq!(event["payload"], came.body["payload"]);
        assert_eq!((&event["stream"], &event["type"]), (&came.body["stream"], &came.body["type"]));
    }
    // Nothing more is sent after a stop and a start.
    let took = receiver.took().len();
    let service = start(&directory, &configuration);
    chosen.push(deposit(&service.client(), &portfolio, 8));
    comes("the next one", || (receiver.took().last() == chosen.last()).then_some(()));
    assert_eq!(receiver.took().len(), took + 1);
    service.stop();
    directory.is_sound();
}

#[test]
fn a_new_receiver_is_sent_what_comes_or_everything_and_an_import_when_it_ends() {
    let (directory, portfolio) = Directory::with_portfolio();
    directory
        .import("csv", &portfolio, "time,type,amount\n2024-01-02,deposit,5\n2024-01-03,deposit,6\n")
        .ok();
    let (now, all) = (Receiver::start(), Receiver::start());
    let configuration = format!(
        "{}\n[webhooks.outbound.archive]\nurl = \"http://{}/\"\nsecret_env = \"CRM_SECRET\"\nfrom = \"start\"\n\
         events = [\"portfolio\", \"cash\", \"synchronisation\"]\nportfolios = [\"{portfolio}\"]\n",
        receiver_of(&format!("http://{}/", now.address), ""),
        all.address
    );
    let service = start(&directory, &configuration);
    let elsewhere = service.client().post("/v1/portfolios", &json!({ "name": "Other" })).has(201).json();
    deposit(&service.client(), elsewhere["id"].as_str().unwrap(), 9);
    let last = deposit(&service.client(), &portfolio, 7);
    comes("the last one", || (all.took().last() == Some(&last)).then_some(()));
    let types: Vec<String> =
        all.came().iter().map(|came| came.body["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        types,
        [
            "PortfolioOpened",
            "AccountLinked",
            "CashTransferred",
            "CashTransferred",
            "FileImported",
            "CashTransferred"
        ]
    );
    assert!(ascends(&all.took()));
    // A name stays sealed.
    assert!(!all.came()[0].body.to_string().contains("Trading"), "{:?}", all.came()[0]);
    comes("the last one", || (now.took().last() == Some(&last)).then_some(()));
    assert_eq!(now.took().len(), 2, "what was recorded before is not sent, and every portfolio is");
    service.stop();
}

#[test]
fn a_delivery_that_nobody_can_digest_dies_and_holds_no_other_up_and_can_be_sent_again() {
    let (directory, portfolio) = Directory::with_portfolio();
    let receiver = Receiver::start();
    let url = format!("http://{}/", receiver.address);
    let configuration = receiver_of(&url, "give_up = \"600ms\"");
    let service = start(&directory, &configuration);
    let client = service.client();
    let first = deposit(&client, &portfolio, 1);
    comes("the first one", || (receiver.took() == [first]).then_some(()));
    receiver.indigestible.lock().unwrap().push(first + 1);
    let (bad, good) = (deposit(&client, &portfolio, 2), deposit(&client, &portfolio, 3));
    comes("the one after it", || (receiver.took() == [first, good]).then_some(()));
    let item = state_is(&service, "current");
    let dead = &item["dead"][0];
    assert_eq!((&dead["sequence"], &dead["type"]), (&json!(bad), &json!("CashTransferred")), "{item}");
    assert!(dead["error"].as_str().unwrap().contains("422: not these"), "{item}");
    assert!(dead["attempts"].as_u64().unwrap() >= 2, "{item}");
    // It stays known after a kill, and what is still not taken stays dead.
    service.kill();
    let service = start(&directory, &configuration);
    assert_eq!(shown(&service)["dead_count"], 1);
    let tried = receiver.came().len();
    service.client().post("/v1/webhooks/crm/retry", &json!({})).has(201);
    comes("another attempt", || (receiver.came().len() > tried).then_some(()));
    assert_eq!(state_is(&service, "current")["dead_count"], 1);
    receiver.indigestible.lock().unwrap().clear();
    service.client().post("/v1/webhooks/crm/retry", &json!({})).has(201);
    comes("it is taken", || (receiver.took() == [first, good, bad]).then_some(()));
    comes("nothing is dead", || (shown(&service)["dead_count"] == 0).then_some(()));
    service.stop();
}

#[test]
fn a_receiver_that_is_gone_is_switched_off_until_somebody_asks() {
    let (directory, portfolio) = Directory::with_portfolio();
    let receiver = Receiver::start();
    let configuration = receiver_of(&format!("http://{}/", receiver.address), "");
    let service = start(&directory, &configuration);
    receiver.is(Mood::Gone);
    let first = deposit(&service.client(), &portfolio, 1);
    let item = state_is(&service, "disabled");
    assert!(item["last_error"].as_str().unwrap().contains("410"), "{item}");
    let second = deposit(&service.client(), &portfolio, 2);
    service.stop();
    receiver.is(Mood::Takes);
    let service = start(&directory, &configuration);
    let item = state_is(&service, "disabled");
    assert!(item["last_error"].as_str().unwrap().contains("moved"), "{item}");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(receiver.came().len(), 1, "it is left alone");
    service.client().post("/v1/webhooks/crm/retry", &json!({})).has(201);
    comes("both", || (receiver.took() == [first, second]).then_some(()));
    service.client().post("/v1/webhooks/nobody/retry", &json!({})).has(404);
    service.stop();
}

#[test]
fn a_receiver_that_asks_for_quiet_gets_it_and_a_silent_one_holds_up_no_stop() {
    let (directory, portfolio) = Directory::with_portfolio();
    let receiver = Receiver::start();
    let configuration = receiver_of(&format!("http://{}/", receiver.address), "");
    // A pause of a second is well within what it may ask for.
    let configuration = configuration.replace("retry_most = \"200ms\"", "retry_most = \"1m\"");
    let service = start(&directory, &configuration);
    receiver.is(Mood::Busy(1));
    deposit(&service.client(), &portfolio, 1);
    comes("two attempts", || (receiver.came().len() >= 2).then_some(()));
    let came = receiver.came();
    let pause = came[1].at.duration_since(came[0].at);
    assert!(pause >= Duration::from_millis(990), "{pause:?}");
    receiver.is(Mood::Hangs);
    let tried = receiver.came().len();
    comes("another attempt", || (receiver.came().len() > tried).then_some(()));
    let begun = Instant::now();
    service.stop();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn a_receiver_that_asks_for_more_quiet_than_any_wait_is_asked_again_after_the_longest() {
    let (directory, portfolio) = Directory::with_portfolio();
    let receiver = Receiver::start();
    let service = start(&directory, &receiver_of(&format!("http://{}/", receiver.address), ""));
    receiver.is(Mood::Busy(99_999_999_999));
    let sequence = deposit(&service.client(), &portfolio, 1);
    let error = comes("what went wrong", || shown(&service)["last_error"].as_str().map(str::to_owned));
    assert!(
        error.contains("429")
            && error.contains("Retry-After asks for 99999999999 s")
            && error.contains("200ms"),
        "{error}"
    );
    comes("more attempts", || (receiver.came().len() >= 3).then_some(()));
    receiver.is(Mood::Takes);
    comes("the delivery", || receiver.took().contains(&sequence).then_some(()));
    service.stop();
}

#[test]
fn a_link_local_address_is_never_connected_to() {
    let (directory, portfolio) = Directory::with_portfolio();
    let service = start(&directory, &receiver_of("https://169.254.169.254/latest/meta-data", ""));
    deposit(&service.client(), &portfolio, 1);
    let item = state_is(&service, "retrying");
    assert!(item["last_error"].as_str().unwrap().contains("link-local"), "{item}");
    assert_eq!(item["host"], "https://169.254.169.254");
    assert!(item["next_attempt"].as_str().is_some() && item["trying"]["attempts"].as_u64().is_some());
    let said = service.stop();
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn a_ledger_that_was_put_back_skips_nothing_that_is_recorded_afterwards() {
    let (directory, portfolio) = Directory::with_portfolio();
    let receiver = Receiver::start();
    let configuration = receiver_of(&format!("http://{}/", receiver.address), "");
    let service = start(&directory, &configuration);
    let mut last = deposit(&service.client(), &portfolio, 1);
    comes("it", || (receiver.took().last() == Some(&last)).then_some(()));
    service.stop();
    let (data, copy) = (directory.data().to_owned(), directory.path("copy"));
    let run = |arguments: &[&str]| assert!(Command::new("cp").args(arguments).status().unwrap().success());
    run(&["-a", data.to_str().unwrap(), &copy]);
    let service = start(&directory, &configuration);
    for amount in 2..=4 {
        last = deposit(&service.client(), &portfolio, amount);
    }
    comes("them", || (receiver.took().last() == Some(&last)).then_some(()));
    service.stop();
    // Everything but where the receiver stands is put back, and other things happen.
    std::fs::rename(data.join("webhooks"), directory.path("webhooks")).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    run(&["-a", &copy, data.to_str().unwrap()]);
    std::fs::remove_dir_all(data.join("webhooks")).unwrap();
    std::fs::rename(directory.path("webhooks"), data.join("webhooks")).unwrap();
    let before = receiver.took().len();
    let rows = "time,type,amount\n2024-01-02,deposit,50\n2024-01-02,deposit,60\n";
    directory.import("csv", &portfolio, rows).ok();
    let service = start(&directory, &configuration);
    let last = deposit(&service.client(), &portfolio, 9);
    comes("the last one", || {
        let again = receiver.took()[before..].to_vec();
        (again.last() == Some(&last)).then_some(())
    });
    let types: Vec<Value> = receiver.came()[before..].iter().map(|came| came.body["type"].clone()).collect();
    // What it had before may come once more, but nothing is skipped.
    let recorded = ["CashTransferred", "CashTransferred", "FileImported", "CashTransferred"];
    assert!(types.ends_with(&recorded.map(Value::from)), "{types:?}");
    service.stop();
}

#[test]
fn a_signed_delivery_is_taken_over_a_socket_and_survives_a_kill() {
    let (directory, portfolio) = Directory::with_portfolio();
    let configuration = format!(
        "[webhooks.inbound.desk]\nportfolio = \"{portfolio}\"\nsecret_env = \"CRM_SECRET\"\naccount = \"desk\"\n"
    );
    let service = start(&directory, &configuration);
    let body =
        json!({ "id": "d-1", "cash": [{ "time": "2024-01-02", "type": "deposit", "amount": "12.5" }] });
    let send = |service: &Service, body: &Value| {
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let (timestamp, body) = (seconds.to_string(), body.to_string());
        let signature = sign(&timestamp, body.as_bytes());
        let headers = [
            ("Content-Type", "application/json"),
            ("Daybook-Timestamp", timestamp.as_str()),
            ("Daybook-Signature", signature.as_str()),
        ];
        service.client().showing(None).send("POST", "/v1/webhooks/desk", &headers, Some(body.as_bytes()))
    };
    let first = send(&service, &body).has(201).json();
    service.kill();
    let service = start(&directory, &configuration);
    assert_eq!(send(&service, &body).has(200).json()["sequences"], first["sequences"]);
    let other = json!({ "id": "d-1", "cash": [{ "time": "2024-01-02", "type": "deposit", "amount": "13" }] });
    send(&service, &other).has(409);
    service.stop();
    assert_eq!(directory.statement(&portfolio, &[])["cash"], json!({ "USD": "12.5" }));
    directory.is_sound();
}
