//! What the log vouches for: a key, checkpoints, and evidence for one event that a stranger checks offline.

use crate::support::{Directory, Ran, Service};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A ledger of some deposits, one commit after the other.
fn ledger(deposits: u32) -> (Directory, String) {
    let (directory, portfolio) = Directory::with_portfolio();
    let mut rows = String::from("time,type,amount,id,note\n");
    for number in 0..deposits {
        rows.push_str(&format!("2024-01-02,deposit,{}.5,d{number},to be kept private\n", number + 1));
    }
    directory.import("csv", &portfolio, rows).ok();
    (directory, portfolio)
}

/// The public key that `verify` prints.
fn key_of(directory: &Directory) -> String {
    let verify = directory.run(&["verify"]).ok();
    let key = verify.stdout.lines().find_map(|line| line.strip_prefix("key "));
    key.unwrap_or_else(|| panic!("no key is printed: {verify}")).to_owned()
}

fn check(directory: &Directory, file: &str, key: &str) -> Ran {
    // Where there is no ledger at all.
    Ran::of(directory.bare(&["check-proof", file, "--key", key, "--data", &directory.path("nowhere")]))
}

#[test]
fn an_event_is_proven_to_whoever_has_the_file_and_the_key() {
    let (directory, _) = ledger(300);
    let key = key_of(&directory);
    let events = directory.events();
    for sequence in [1, 2, 255, 256, 257, events.len()] {
        let file = directory.path(&format!("{sequence}.tlog-proof"));
        let told = directory.run(&["prove", &sequence.to_string(), "--output", &file]).ok();
        assert_eq!(told.stdout, "");
        assert!(told.stderr.contains(&key), "{told}");
        let printed = directory.run(&["prove", &sequence.to_string()]).ok().stdout;
        assert_eq!(printed, fs::read_to_string(&file).unwrap());
        assert!(printed.starts_with("c2sp.org/tlog-proof@v1\nextra "));
        assert!(printed.contains(&format!("\nindex {}\n", sequence - 1)));
        let shown = check(&directory, &file, &key).ok().stdout;
        let event = &events[sequence - 1];
        for name in ["stream", "type", "occurred_at", "recorded_at", "content_hash", "actor"] {
            let line = format!("{name:<13} {}\n", event[name].as_str().unwrap());
            assert!(shown.contains(&line), "`{line}` is not in {shown}");
        }
        assert!(shown.contains(&format!("sequence      {sequence}\n")));
        assert!(shown.contains(&format!("payload       {}\n", event["payload"])), "{shown}");
        assert!(!shown.contains("to be kept private"), "what is sealed was shown");
    }
}

#[test]
fn evidence_that_was_changed_is_refused_with_the_reason() {
    let (directory, _) = ledger(20);
    let (other, _) = ledger(20);
    let (key, foreign) = (key_of(&directory), key_of(&other));
    let text = directory.run(&["prove", "7"]).ok().stdout;
    let lines: Vec<&str> = text.lines().collect();
    let refuses = |changed: &str, key: &str, why: &str| {
        let file = directory.write("changed.tlog-proof", changed);
        let ran = check(&directory, &file, key).exits(1);
        assert!(ran.stdout.starts_with("not proven: ") && ran.stdout.contains(why), "`{why}`: {ran}");
    };
    let flipped = |line: &str| {
        let first = if line.starts_with('A') { 'B' } else { 'A' };
        text.replace(line, &format!("{first}{}", &line[1..]))
    };
    refuses(&flipped(lines[3]), &key, "lead to the root");
    refuses(&flipped(lines[lines.len() - 3]), &key, "the text or the signature was changed");
    refuses(&text.replace("index 6", "index 7"), &key, "lead to the root");
    refuses(&text.replace("index 6", "index 900"), &key, "beyond a tree of");
    refuses(&text.replace("index 6", "index x"), &key, "index is not a number");
    let record = lines[1].strip_prefix("extra ").unwrap();
    refuses(&text.replace(&record[60..64], "AAAA"), &key, "lead to the root");
    refuses(&text.replace(record, "AAAA"), &key, "lead to the root");
    refuses(&text.replace(&format!("{}\n", lines[1]), ""), &key, "`extra` line");
    refuses(&text.replace(&format!("{}\n", lines[4]), ""), &key, "hashes where");
    refuses(&format!("{text}more\n"), &key, "a line is not a signature");
    refuses(&text[..text.len() - 1], &key, "does not end");
    refuses(&text[..40], &key, "it ends early");
    refuses(&text, &foreign, "the log");
    // A key of this log's name that is another key.
    let name = key.split('+').next().unwrap();
    let renamed = daybook_like_key(name);
    refuses(&text, &renamed, "not signed by");

    for (file, parts) in [
        (directory.write("shopping", "milk\n"), &["c2sp.org/tlog-proof@v1"][..]),
        (directory.write("noise", [0xff, 0xfe, 0]), &["no text"]),
        (directory.path("absent"), &["absent"]),
    ] {
        check(&directory, &file, &key).refuses(parts);
    }
    let file = directory.write("right.tlog-proof", &text);
    check(&directory, &file, &key).ok();
    for bad in ["", "key", &key[..key.len() - 4], &key.replace('+', "-"), &key.to_uppercase()] {
        check(&directory, &file, bad).refuses(&["--key", "verifier key"]);
    }
}

/// A verifier key of this name that signed nothing.
fn daybook_like_key(name: &str) -> String {
    daybook_ledger::merkle::SigningKey::from_secret(name, &[9; 32]).unwrap().verifier().to_string()
}

#[test]
fn what_is_not_there_is_not_proven() {
    let (directory, _) = ledger(3);
    for sequence in ["0", "999"] {
        directory.run(&["prove", sequence]).refuses(&["no event", sequence]);
    }
    directory.run(&["prove", "one"]).refuses(&["one"]);
    let file = directory.path("no/such/directory/x");
    directory.run(&["prove", "1", "--output", &file]).refuses(&[&file]);
    let empty = Directory::new();
    empty.run(&["prove", "1"]).refuses(&["no ledger"]);
    assert!(!empty.data().exists());
}

#[test]
fn a_service_lets_anyone_watch_and_proves_to_who_may_read() {
    let (directory, portfolio) = ledger(400);
    let service = Service::start(&directory);
    let client = service.client();
    let path = format!("/v1/portfolios/{portfolio}/transactions");
    for id in 0..3 {
        let body = json!({ "time": "2024-01-02", "type": "deposit", "amount": "1", "id": format!("s{id}") });
        client.post(&path, &body).has(201);
    }
    let (url, token) = (service.url.clone(), directory.token().unwrap());
    let head = client.head();
    let through = |arguments: &[&str]| directory.run_through(&url, &token, arguments);
    let verify = through(&["verify"]).ok();
    let key = verify.stdout.lines().find_map(|line| line.strip_prefix("key ")).unwrap().to_owned();
    for sequence in [1, 256, 300, head] {
        let file = directory.path("through.tlog-proof");
        through(&["prove", &sequence.to_string(), "--output", &file]).ok();
        check(&directory, &file, &key).ok();
        let given = client.get(&format!("/v1/events/{sequence}/proof")).has(200);
        let file = directory.write("given.tlog-proof", given.text());
        check(&directory, &file, &key).ok();
    }
    through(&["prove", &(head + 1).to_string()]).refuses(&["no event"]);
    // Without a token at all.
    let stranger = client.showing(None);
    assert_eq!(stranger.get("/v1/checkpoint/key").has(200).text(), format!("{key}\n"));
    let note = stranger.get("/v1/checkpoint").has(200).text();
    stranger.get("/v1/events/1/proof").has(401);
    stranger.get("/v1/tile/0/000.p/1").has(401);
    let since = directory.write("since", note);
    service.stop();
    assert_eq!(key_of(&directory), key);
    let trusted = directory.run(&["verify", "--since", &since]).ok();
    assert!(trusted.stdout.contains(&format!(" behind event {head} ")), "{trusted}");
    directory.is_sound();
}

#[test]
fn verify_trusts_what_a_checkpoint_covers_and_checks_what_follows() {
    let (directory, portfolio) = ledger(60);
    let since = directory.write("since", fs::read(directory.data().join("checkpoints/latest")).unwrap());
    let covered = directory.head();
    directory.import("csv", &portfolio, "time,type,amount,id\n2024-02-02,deposit,1,later\n").ok();
    let (other, _) = ledger(60);
    let foreign = other.data().join("checkpoints/latest").to_str().unwrap().to_owned();
    let service = Service::start(&directory);
    let (url, token) = (service.url.clone(), directory.token().unwrap());
    let through = |since: &str| directory.run_through(&url, &token, &["verify", "--since", since]);
    let checked = through(&since).ok();
    assert!(checked.stdout.contains(&format!("behind event {covered}")), "{checked}");
    assert!(through(&foreign).exits(1).stdout.contains("the checkpoint given is refused"));
    service.stop();
    let checked = directory.run(&["verify", "--since", &since]).ok();
    assert!(checked.stdout.contains(&format!("behind event {covered}")), "{checked}");
    let refused = directory.run(&["verify", "--since", &foreign]).exits(1);
    assert!(refused.stdout.contains("the checkpoint given is refused"), "{refused}");
    for (name, contents) in [("empty", ""), ("noise", "milk\n")] {
        let file = directory.write(name, contents);
        assert!(directory.run(&["verify", "--since", &file]).exits(1).stdout.contains("no signed note"));
    }
    directory.run(&["verify", "--since", &directory.path("absent")]).refuses(&["absent"]);
    // The index gone, the prefix is hashed from the records.
    fs::remove_dir_all(directory.data().join("index")).unwrap();
    directory.run(&["verify", "--since", &since]).ok();
}

#[test]
fn a_directory_without_a_key_gains_one_and_one_that_lost_it_is_refused() {
    let (directory, _) = ledger(5);
    let (key, secret) = (key_of(&directory), directory.data().join("signing-key"));
    let kept = fs::read(&secret).unwrap();
    let is_refused = |parts: &[&str]| {
        let before = crate::support::tree(directory.data());
        for arguments in [&["portfolio", "open", "Another"][..], &["serve", "--listen", "127.0.0.1:0"]] {
            directory.run(arguments).refuses(parts);
        }
        assert!(crate::support::tree(directory.data()) == before, "something was changed on disk");
    };
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    is_refused(&["signing-key", "chmod 600"]);
    fs::write(&secret, "nothing").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    is_refused(&["signing-key", "cannot be read as a signing key"]);
    fs::remove_file(&secret).unwrap();
    is_refused(&["signing-key", "is missing"]);
    // What is public is enough to check, and to prove what was signed.
    assert_eq!(key_of(&directory), key);
    let file = directory.path("without");
    directory.run(&["prove", "2", "--output", &file]).ok();
    check(&directory, &file, &key).ok();
    fs::write(&secret, kept).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    directory.run(&["portfolio", "open", "Another"]).ok();
    directory.is_sound();

    // As a version left it that knew of no keys.
    fs::remove_file(&secret).unwrap();
    fs::remove_dir_all(directory.data().join("checkpoints")).unwrap();
    let verify = directory.run(&["verify"]).ok();
    assert!(!verify.stdout.contains("key "), "{verify}");
    let file = directory.path("gained");
    directory.run(&["prove", "3", "--output", &file]).ok();
    assert_ne!(key_of(&directory), key);
    check(&directory, &file, &key_of(&directory)).ok();
    check(&directory, &file, &key).exits(1);
}

#[test]
fn a_log_put_back_to_an_earlier_state_is_noticed() {
    let (directory, portfolio) = ledger(10);
    let earlier = directory.path("earlier");
    copy(directory.data(), Path::new(&earlier));
    directory.import("csv", &portfolio, "time,type,amount,id\n2024-02-02,deposit,1,later\n").ok();
    for name in ["checkpoints", "signing-key"] {
        let to = Path::new(&earlier).join(name);
        if to.is_dir() {
            fs::remove_dir_all(&to).unwrap();
        }
        copy(&directory.data().join(name), &to);
    }
    let put_back = Directory::new().with_data_in(earlier.into());
    let ran = put_back.run(&["verify"]).exits(1);
    assert!(ran.stdout.contains("fault at event") && ran.stdout.contains("a checkpoint of"), "{ran}");
    put_back.run(&["portfolio", "open", "Another"]).refuses(&["damaged", "checkpoint"]);
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

#[test]
fn a_script_that_shares_nothing_with_daybook_comes_to_the_same_answer() {
    // `.ci/run` puts an interpreter that has the package first.
    let python = std::env::var("DAYBOOK_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has = Command::new(&python).args(["-c", "import cryptography"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "SKIPPED: {python} has no package `cryptography`; nothing else was compared with another program"
        );
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/check_proof.py");
    let run = |file: &str, key: &str| {
        let mut command = Command::new(&python);
        command.args([script, file, key]);
        Ran::of(command)
    };
    let (directory, _) = ledger(300);
    let (key, foreign) = (key_of(&directory), key_of(&ledger(1).0));
    for sequence in [1, 2, 100, 256, 257, directory.head()] {
        let text = directory.run(&["prove", &sequence.to_string()]).ok().stdout;
        let file = directory.write("proof", &text);
        let said = run(&file, &key).ok();
        assert!(said.stdout.starts_with(&format!("event {sequence} is in daybook/")), "{said}");
        run(&file, &foreign).exits(1);
        for (from, to) in [("index ", "index 1"), ("\n\n", "\n"), ("extra A", "extra B"), ("— ", "- ")] {
            run(&directory.write("changed", text.replacen(from, to, 1)), &key).exits(1);
        }
    }
}

/// A receiver of checkpoints on a socket of this machine: answers the first with a redirect, the second not at all, and
/// takes the others.
fn receiver() -> (std::net::SocketAddr, std::sync::mpsc::Receiver<(String, String)>) {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (came, comes) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for (number, socket) in listener.incoming().enumerate() {
            let mut socket = socket.unwrap();
            let mut reader = BufReader::new(socket.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            while reader.read_line(&mut head).unwrap() > 2 {
                let last = head.lines().next_back().unwrap_or_default().to_ascii_lowercase();
                length = last.strip_prefix("content-length: ").map_or(length, |text| text.parse().unwrap());
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = match number {
                0 => {
                    "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                }
                1 => "",
                _ => "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
            };
            socket.write_all(answer.as_bytes()).unwrap();
            if came.send((head, String::from_utf8(body).unwrap())).is_err() {
                return;
            }
        }
    });
    (address, comes)
}

#[test]
fn checkpoints_leave_the_machine_on_a_schedule_and_no_redirect_is_followed() {
    let (directory, portfolio) = ledger(3);
    let (address, comes) = receiver();
    let outside = directory.path("outside");
    fs::create_dir(&outside).unwrap();
    let config = directory.write(
        "daybook.toml",
        format!(
            "[checkpoints]\ndirectory = \"{outside}\"\nurl = \"http://{address}/the-secret-path\"\nevery = \"200ms\"\n"
        ),
    );
    let service = Service::start_with(&directory, &["--config", &config]);
    let mut came: Vec<(String, String)> = Vec::new();
    let path = format!("/v1/portfolios/{portfolio}/transactions");
    for id in 0..4 {
        came.push(comes.recv_timeout(std::time::Duration::from_secs(20)).unwrap());
        let body = json!({ "time": "2024-01-02", "type": "deposit", "amount": "1", "id": format!("s{id}") });
        service.client().post(&path, &body).has(201);
    }
    let said = service.said();
    assert!(said.contains("redirects are not followed"), "{said}");
    assert!(!said.contains("the-secret-path"), "the address was written down: {said}");
    service.stop();
    assert!(came.iter().all(|(head, _)| head.starts_with("POST /the-secret-path ")), "{came:?}");
    let key: daybook_ledger::VerifierKey = key_of(&directory).parse().unwrap();
    let sizes: Vec<u64> = came
        .iter()
        .map(|(_, note)| daybook_ledger::SignedCheckpoint::open(note, &key).unwrap().checkpoint.size)
        .collect();
    assert!(sizes.is_sorted() && sizes[0] < sizes[3], "{sizes:?}");
    let mut files = crate::support::files_below(Path::new(&outside));
    files.sort();
    assert!(!files.is_empty());
    for file in &files {
        let note = fs::read_to_string(file).unwrap();
        let size = daybook_ledger::SignedCheckpoint::open(&note, &key).unwrap().checkpoint.size;
        assert!(file.to_str().unwrap().ends_with(&format!("-{size:020}.checkpoint")), "{}", file.display());
    }
    let since = files[0].to_str().unwrap();
    directory.run(&["verify", "--since", since]).ok();
    for (bad, part) in [
        ("every = \"1h\"", "nowhere"),
        ("url = \"http://example.org/x\"", "in clear"),
        ("directroy = \"x\"", "directory"),
    ] {
        let config = directory.write("bad.toml", format!("[checkpoints]\n{bad}\n"));
        directory.run(&["config", "--config", &config]).refuses(&["bad.toml", part]);
    }
}
