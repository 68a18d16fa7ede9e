//! Damage is found and named, never cut away in silence; what is derived is made again; a full disk loses nothing.

use crate::support::{Client, Directory, Service, d, decimal, files_below, flip, tree};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A ledger of a few commits, and where in its segment each of them lies.
struct Stages {
    directory: Directory,
    portfolio: String,
    segment: PathBuf,
    /// For each commit: its first and last sequence, and the bytes it fills.
    commits: Vec<(u64, u64, std::ops::Range<u64>)>,
}

/// The log file with the highest name.
fn last_segment(directory: &Directory) -> PathBuf {
    files_below(directory.data()).into_iter().rfind(|path| is_log(path)).unwrap()
}

fn is_log(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    name.ends_with(".log") && name.starts_with('0')
}

/// Where the bytes of a segment that mean something end.
fn used(segment: &Path) -> u64 {
    let bytes = fs::read(segment).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

fn deposit(id: &str) -> String {
    format!("time,type,amount,id\n2024-01-02,deposit,1,{id}-a\n2024-01-03,deposit,2,{id}-b\n")
}

impl Stages {
    /// A ledger that was closed cleanly after each of its commits.
    fn new() -> Self {
        let (directory, portfolio) = Directory::with_portfolio();
        let segment = last_segment(&directory);
        let mut commits = Vec::new();
        let (mut head, mut end) = (1, used(&segment));
        commits.push((1, 1, 4_096..end));
        for step in 0..5 {
            directory.import("csv", &portfolio, deposit(&format!("s{step}"))).ok();
            let (next, after) = (directory.head(), used(&segment));
            commits.push((head + 1, next, end..after));
            (head, end) = (next, after);
        }
        assert_eq!(last_segment(&directory), segment);
        Self { directory, portfolio, segment, commits }
    }

    /// Every command that needs the log refuses, names the sequence, and changes nothing.
    fn is_refused(&self, sequences: std::ops::RangeInclusive<u64>) {
        let before = tree(self.directory.data());
        let rows = self.directory.write("more.csv", deposit("more"));
        let verify = self.directory.run(&["verify"]).exits(1);
        let named = verify.stdout.strip_prefix("fault at event ").and_then(|rest| rest.split(':').next());
        let named: u64 =
            named.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no event named: {verify}"));
        assert!(sequences.contains(&named), "{named} is named, and {sequences:?} is damaged: {verify}");
        for arguments in [
            &["portfolio", "list"][..],
            &["export", "jsonl"],
            &["replay", "--portfolio", &self.portfolio],
            &["import", "csv", &rows, "--portfolio", &self.portfolio],
            &["portfolio", "open", "Another"],
            &["token", "issue", "--role", "auditor"],
            &["serve", "--listen", "127.0.0.1:0"],
        ] {
            self.directory.run(arguments).refuses(&["damaged", &format!("sequence {named}"), "backup"]);
        }
        assert!(tree(self.directory.data()) == before, "something was changed on disk");
    }
}

#[test]
fn a_bit_flipped_in_the_middle_is_refused_and_its_sequence_named() {
    let seed = 99;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let stages = Stages::new();
    for (first, last, bytes) in &stages.commits {
        let (offset, bit) = (random.random_range(bytes.clone()), random.random_range(0..8));
        flip(&stages.segment, offset, bit);
        stages.is_refused(*first..=*last);
        flip(&stages.segment, offset, bit);
        stages.directory.is_sound();
    }
}

#[test]
fn a_log_that_is_shorter_than_what_was_recorded_is_refused() {
    let stages = Stages::new();
    let whole = fs::read(&stages.segment).unwrap();
    let (first, last, bytes) = stages.commits.last().unwrap().clone();
    // The last commit zeroed, in whole and in part; the file cut there; the file gone.
    for from in [bytes.start, bytes.start + (bytes.end - bytes.start) / 2] {
        let mut cut = whole.clone();
        cut[usize::try_from(from).unwrap()..].fill(0);
        fs::write(&stages.segment, &cut).unwrap();
        stages.is_refused(first..=last);
        // A file that was cut is not read for what is left of it.
        cut.truncate(usize::try_from(from).unwrap());
        fs::write(&stages.segment, &cut).unwrap();
        stages.is_refused(1..=last);
    }
    fs::remove_file(&stages.segment).unwrap();
    stages.is_refused(1..=last);
    fs::write(&stages.segment, &whole).unwrap();
    stages.directory.is_sound();
}

#[test]
fn a_torn_tail_is_cut_back_to_the_last_whole_commit_and_all_before_it_stays() {
    let (directory, portfolio) = Directory::with_portfolio();
    let path = format!("/v1/portfolios/{portfolio}/transactions");
    let body =
        |id: u32| json!({ "time": "2024-01-02", "type": "deposit", "amount": "1", "id": id.to_string() });
    let mut expected = directory.events();
    for (round, part) in [0.0, 0.3, 0.6, 0.99].into_iter().enumerate() {
        let round = u32::try_from(round).unwrap() * 10;
        let service = Service::start(&directory);
        let client = service.client();
        expected = client.pages("/v1/events?limit=1000");
        for id in 0..3 {
            client.post(&path, &body(round + id)).has(201);
        }
        let after = client.pages("/v1/events?limit=1000");
        let segment = last_segment(&directory);
        let before_last = used(&segment);
        client.post(&path, &body(round + 9)).has(201);
        service.kill();
        // As a crash would have left it that came before the last commit was synced: a part of it is there.
        let end = used(&segment);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a small file")]
        let kept = before_last + ((end - before_last) as f64 * part) as u64;
        let file = File::options().write(true).open(&segment).unwrap();
        file.write_all_at(&vec![0; usize::try_from(end - kept).unwrap()], kept).unwrap();
        drop(file);
        fs::remove_dir_all(directory.data().join("index")).unwrap();
        assert_eq!(directory.events(), after, "reading shows the torn commit, or hides another");
        directory.run(&["verify"]).ok();
        let service = Service::start(&directory);
        assert_eq!(service.client().pages("/v1/events?limit=1000"), after);
        if part > 0.0 {
            assert!(service.said().contains("cut"), "a tail was cut in silence: {}", service.said());
        }
        // What was never acknowledged can come again.
        service.client().post(&path, &body(round + 9)).has(201);
        service.stop();
        assert!(after.len() >= expected.len() + 3);
        directory.is_sound();
    }
    assert!(!expected.is_empty());
}

#[test]
fn a_damaged_commit_with_whole_ones_behind_it_is_no_torn_tail() {
    let (directory, portfolio) = Directory::with_portfolio();
    let path = format!("/v1/portfolios/{portfolio}/transactions");
    let service = Service::start(&directory);
    let client = service.client();
    let segment = last_segment(&directory);
    let head = client.head();
    let start = used(&segment);
    for id in 0..3 {
        let body = json!({ "time": "2024-01-02", "type": "deposit", "amount": "1", "id": id.to_string() });
        client.post(&path, &body).has(201);
    }
    service.kill();
    fs::remove_dir_all(directory.data().join("index")).unwrap();
    flip(&segment, start + 40, 3);
    let before = tree(directory.data());
    directory.run(&["verify"]).exits(1);
    let said = format!("sequence {}", head + 1);
    directory.run(&["serve", "--listen", "127.0.0.1:0"]).refuses(&["damaged", &said]);
    directory.run(&["portfolio", "open", "Another"]).refuses(&["damaged", &said]);
    assert!(tree(directory.data()) == before, "something was changed on disk");
}

#[test]
fn a_directory_of_another_format_is_left_alone() {
    let stages = Stages::new();
    let format = stages.directory.data().join("FORMAT");
    let right = fs::read_to_string(&format).unwrap();
    let refuses = |parts: &[&str]| {
        let before = tree(stages.directory.data());
        for arguments in [
            &["portfolio", "list"][..],
            &["portfolio", "open", "Another"],
            &["export", "jsonl"],
            &["replay"],
            &["verify"],
            &["serve", "--listen", "127.0.0.1:0"],
        ] {
            stages.directory.run(arguments).refuses(parts);
        }
        assert!(tree(stages.directory.data()) == before, "something was changed on disk");
    };
    fs::write(&format, right.replace("daybook-ledger 1", "daybook-ledger 2")).unwrap();
    refuses(&["daybook-ledger 2", "daybook-ledger 1", "version"]);
    fs::write(&format, "a shopping list\n").unwrap();
    refuses(&["shopping list"]);
    fs::write(&format, b"").unwrap();
    refuses(&["format"]);
    fs::remove_file(&format).unwrap();
    let before = tree(stages.directory.data());
    stages.directory.run(&["portfolio", "open", "Another"]).refuses(&["FORMAT"]);
    stages.directory.run(&["serve", "--listen", "127.0.0.1:0"]).refuses(&["FORMAT"]);
    assert!(tree(stages.directory.data()) == before, "a new ledger was made over an old one");
    fs::write(&format, right).unwrap();
    stages.directory.is_sound();
}

#[test]
fn an_index_that_is_gone_or_broken_is_made_again_from_the_log() {
    let seed = 7;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let stages = Stages::new();
    let directory = &stages.directory;
    let events = directory.events();
    let statement = directory.statement(&stages.portfolio, &["--as-of", "2024-12-31"]);
    let index = directory.data().join("index");
    let harms: [(&str, &mut dyn FnMut()); 5] = [
        ("gone", &mut || fs::remove_dir_all(&index).unwrap()),
        ("half of it", &mut || {
            for path in files_below(&index).into_iter().step_by(2) {
                fs::remove_file(path).unwrap();
            }
        }),
        ("empty files", &mut || {
            for path in files_below(&index) {
                fs::write(path, b"").unwrap();
            }
        }),
        ("garbage", &mut || {
            for path in files_below(&index) {
                let garbage: Vec<u8> = (0..5_000).map(|_| random.random()).collect();
                fs::write(path, garbage).unwrap();
            }
        }),
        ("another ledger's", &mut || {
            let other = Stages::new();
            fs::remove_dir_all(&index).unwrap();
            fs::rename(other.directory.data().join("index"), &index).unwrap();
        }),
    ];
    for (name, harm) in harms {
        println!("{name}");
        Service::start(directory).stop();
        harm();
        let before = directory.events();
        assert_eq!(before[..events.len()], events, "an index that is {name} changes what is read");
        assert_eq!(
            crate::support::figures(directory.statement(&stages.portfolio, &["--as-of", "2024-12-31"])),
            crate::support::figures(statement.clone())
        );
        let service = Service::start(directory);
        let said = service.said();
        assert!(said.contains("index"), "an index that is {name} was made again in silence: {said}");
        assert_eq!(service.client().pages("/v1/events?limit=1000"), before);
        let stream = format!("/v1/events?stream=portfolio-{}&limit=1000", stages.portfolio);
        assert_eq!(service.client().pages(&stream).len(), 12);
        service.stop();
        // What was known is still known.
        directory.import("csv", &stages.portfolio, deposit("s2")).ok().says(&["nothing new"]);
        directory.is_sound();
    }
}

#[test]
fn a_key_file_that_is_gone_hides_names_and_nothing_else() {
    let (directory, portfolio) = Directory::with_portfolio();
    directory.import("csv", &portfolio, deposit("a")).ok();
    let keys = directory.data().join("keys");
    assert_eq!(fs::metadata(&keys).unwrap().permissions().mode() & 0o077, 0, "others may read the keys");
    let kept = directory.path("kept");
    fs::rename(&keys, &kept).unwrap();
    let list = directory.run(&["portfolio", "list", "--format", "json"]).ok().json();
    assert_eq!(list["items"][0]["id"], portfolio);
    assert!(!list.to_string().contains("Trading"), "a name without its key: {list}");
    let statement = directory.statement(&portfolio, &[]);
    assert_eq!(decimal(&statement["cash"]["USD"]), d("3"));
    directory.is_sound();
    // With the keys somewhere else everything is as it was.
    let mut command = directory.command(&["portfolio", "list", "--format", "json"]);
    command.env("DAYBOOK_KEYS", &kept);
    assert_eq!(crate::support::Ran::of(command).ok().json()["items"][0]["name"], "Trading");
}

#[test]
fn a_key_file_that_is_garbled_is_named_and_left_alone() {
    let (directory, portfolio) = Directory::with_portfolio();
    let keys = directory.data().join("keys");
    let right = fs::read(&keys).unwrap();
    let mut cut = right.clone();
    cut.truncate(right.len() - 20);
    cut.push(b'\n');
    let binary: Vec<u8> = (0..=255).chain(*b"\n").collect();
    for garbled in [b"not keys\n".to_vec(), cut, binary] {
        fs::write(&keys, &garbled).unwrap();
        let before = tree(directory.data());
        directory.run(&["portfolio", "list"]).refuses(&["keys"]);
        directory.run(&["portfolio", "open", "Another"]).refuses(&["keys"]);
        directory.run(&["serve", "--listen", "127.0.0.1:0"]).refuses(&["keys"]);
        assert!(tree(directory.data()) == before || fs::read(&keys).unwrap() == garbled);
        assert_eq!(fs::read(&keys).unwrap(), garbled, "the key file was changed");
    }
    fs::write(&keys, right).unwrap();
    assert_eq!(directory.statement(&portfolio, &[])["cash"], json!({ "USD": "0" }));
    directory.is_sound();
}

/// A ledger with sealed segments, and its sealed files.
fn sealed() -> (Directory, String, Vec<PathBuf>) {
    let directory = Directory::new().with_segments(128 << 10);
    let portfolio = directory.open_portfolio("Trading");
    let mut rows = String::from("time,type,amount,id\n");
    for row in 0..3_000 {
        writeln!(rows, "2024-01-02T10:00:00Z,deposit,{}.{:02},row-{row}", row * 7 % 9_001 + 1, row % 100)
            .unwrap();
    }
    directory.import("csv", &portfolio, rows).ok();
    let sealed = |directory: &Directory| -> Vec<PathBuf> {
        files_below(directory.data())
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "sealed"))
            .collect()
    };
    // Sealing goes on behind what is appended: a service is given the time for what an import left.
    for _ in 0..20 {
        let found = sealed(&directory);
        if found.len() >= 2 {
            return (directory, portfolio, found);
        }
        Service::start(&directory).stop();
    }
    panic!("no two segments were sealed: {:?}", files_below(directory.data()));
}

#[test]
fn a_bit_flipped_in_a_sealed_segment_is_found_and_its_sequence_named() {
    let seed = 2_718;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (directory, portfolio, sealed) = sealed();
    directory.is_sound();
    let events = directory.events();
    let first = |path: &Path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    for place in 0..12 {
        let path = &sealed[place % sealed.len()];
        let follower = sealed.iter().map(|path| first(path)).find(|next| *next > first(path));
        let range = first(path)..follower.unwrap_or(events.len() as u64 + 1);
        let length = fs::metadata(path).unwrap().len();
        let (offset, bit) = (random.random_range(0..length), random.random_range(0..8));
        println!("bit {bit} of byte {offset} of {}", path.display());
        flip(path, offset, bit);
        let before = tree(directory.data());
        let verify = directory.run(&["verify"]).exits(1);
        let named = verify.stdout.strip_prefix("fault at event ").and_then(|rest| rest.split(':').next());
        let named: u64 =
            named.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no event named: {verify}"));
        assert!(range.contains(&named), "{named} is named, and {range:?} is damaged: {verify}");
        // Whoever reads it is told, or reads what was written, where the bit lies beside the records.
        let export = directory.run(&["export", "jsonl"]);
        match export.code {
            Some(0) => assert!(export.lines_of_json() == events, "a flipped bit changed what is read"),
            _ => drop(export.exits(2).says(&["damaged"])),
        }
        let replay = directory.run(&["replay", "--portfolio", &portfolio]);
        assert!(matches!(replay.code, Some(0 | 2)), "{replay}");
        assert!(tree(directory.data()) == before, "something was changed on disk");
        flip(path, offset, bit);
    }
    directory.run(&["verify"]).ok();
}

#[test]
fn no_flipped_bit_in_any_file_panics_or_changes_what_is_read() {
    let seed = 31_415;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let stages = Stages::new();
    let directory = &stages.directory;
    let events = directory.events();
    let files: Vec<PathBuf> = files_below(directory.data())
        .into_iter()
        .filter(|path| fs::metadata(path).unwrap().len() > 0)
        .collect();
    for round in 0..40 {
        let path = &files[round % files.len()];
        let length = fs::metadata(path).unwrap().len();
        let end = if *path == stages.segment { used(path) } else { length };
        let (offset, bit) = (random.random_range(0..end), random.random_range(0..8));
        println!("bit {bit} of byte {offset} of {}", path.display());
        flip(path, offset, bit);
        let export = directory.run(&["export", "jsonl"]);
        match export.code {
            Some(0) => assert!(export.lines_of_json() == events, "a flipped bit changed what is read"),
            _ => drop(export.exits(2)),
        }
        let verify = directory.run(&["verify"]);
        assert!(matches!(verify.code, Some(0..=2)), "{verify}");
        if *path == stages.segment {
            assert_ne!(verify.code, Some(0), "a flipped bit in the log was not found");
        }
        flip(path, offset, bit);
    }
    directory.is_sound();
}

#[test]
fn a_directory_that_may_only_be_read_is_read_and_writing_to_it_is_refused() {
    const NOBODY: u32 = 65_534;
    let stages = Stages::new();
    let directory = &stages.directory;
    let expected = directory.events();
    Service::start(directory).stop();
    let events = directory.events();
    let root = fs::metadata(directory.data()).unwrap().uid() == 0;
    for path in files_below(directory.data()) {
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    }
    // But the key: nobody else may read that, and nobody who only checks needs it.
    fs::set_permissions(directory.data().join("signing-key"), Permissions::from_mode(0o400)).unwrap();
    let mut directories = vec![directory.data().to_owned()];
    for path in files_below(directory.data()) {
        directories.push(path.parent().unwrap().to_owned());
    }
    for path in &directories {
        fs::set_permissions(path, Permissions::from_mode(0o555)).unwrap();
    }
    fs::set_permissions(directory.data().parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
    // Permissions do not hold root back, so the command is run as somebody else.
    let command = |arguments: &[&str]| {
        let mut command = directory.command(arguments);
        if root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    };
    if let Err(error) = command(&["--version"]).output() {
        println!("skipped: the executable cannot be run as nobody here: {error}");
        return;
    }
    let run = |arguments: &[&str]| crate::support::Ran::of(command(arguments));
    assert_eq!(run(&["export", "jsonl"]).ok().lines_of_json(), events);
    assert!(events.len() >= expected.len());
    run(&["portfolio", "list"]).ok();
    run(&["replay", "--portfolio", &stages.portfolio]).ok();
    run(&["replay", "--check"]).ok();
    run(&["verify"]).ok();
    let data = directory.data().to_str().unwrap();
    run(&["portfolio", "open", "Another"]).refuses(&[data]);
    run(&["token", "issue", "--role", "auditor"]).refuses(&[data]);
    run(&["serve", "--listen", "127.0.0.1:0"]).refuses(&[data]);
    for path in &directories {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
}

/// A small file system of its own, gone when the test ends.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one where this process may; none where it may not.
    fn mount(at: &str, mebibytes: u32) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs", at]).output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        mounted.then(|| Self { at: PathBuf::from(at) })
    }

    /// Fills it up, but for so many bytes.
    fn fill(&self, but: usize) {
        let mut ballast = File::create(self.at.join("ballast")).unwrap();
        let block = vec![1; 64 << 10];
        while ballast.write_all(&block).is_ok() {}
        ballast.sync_all().unwrap();
        let length = ballast.metadata().unwrap().len();
        ballast.set_len(length.saturating_sub(but as u64)).unwrap();
    }

    /// Makes room again.
    fn clear(&self) {
        fs::remove_file(self.at.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
    }
}

/// Posts transactions until one is refused; gives the ids that were taken.
fn post_until_refused(client: &Client, portfolio: &str, from: u32, most: u32) -> (Vec<u32>, Option<Value>) {
    let path = format!("/v1/portfolios/{portfolio}/transactions");
    let mut taken = Vec::new();
    let note = "n".repeat(15_000);
    for id in from..from + most {
        let body = json!({
            "time": "2024-01-02", "type": "deposit", "amount": "1", "id": format!("d{id}x"), "note": note,
        });
        let answer = client.post(&path, &body);
        if answer.status != 201 {
            let status = answer.status;
            assert!(matches!(status, 503 | 507), "{answer}");
            return (taken, Some(answer.refuses(status)));
        }
        taken.push(id);
    }
    (taken, None)
}

#[test]
fn a_full_disk_refuses_writes_with_a_reason_and_goes_on_reading() {
    let directory = Directory::new();
    let Some(disk) = SmallDisk::mount(&directory.path("small"), 96) else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let data = disk.at.join("data");
    let directory = directory.with_data_in(data);
    let portfolio = directory.open_portfolio("Trading");
    let service = Service::start(&directory);
    let client = service.client();
    let (first, refused) = post_until_refused(&client, &portfolio, 0, 10);
    assert_eq!((first.len(), refused), (10, None));
    disk.fill(64 << 10);
    // The segment at hand may still have room; then no more is taken.
    let (taken, refused) = post_until_refused(&client, &portfolio, 10, 400);
    let problem = refused.expect("a full disk refused nothing");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("disk") || detail.contains("space"), "{problem:#}");
    let last = 10 + u32::try_from(taken.len()).unwrap();
    let held = |client: &Client| {
        let events = client.pages("/v1/events?limit=1000");
        let keys: Vec<String> =
            events.iter().filter_map(|event| event["key"].as_str().map(str::to_owned)).collect();
        (0..1_000).filter(|id| keys.iter().any(|key| key.contains(&format!("d{id}x")))).collect::<Vec<u32>>()
    };
    assert_eq!(held(&client), (0..last).collect::<Vec<u32>>(), "what is there is not what was taken");
    let cash = |client: &Client| {
        decimal(&client.get(&format!("/v1/portfolios/{portfolio}")).ok().json()["cash"]["USD"])
    };
    assert_eq!(cash(&client), last.into());
    // An import of several commits is there in no part.
    let mut rows = String::from("time,type,amount,id,note\n");
    for row in 0..11_000 {
        writeln!(rows, "2024-01-02,deposit,1,big-{row},{row:040}").unwrap();
    }
    let answer = client.upload(
        &format!("/v1/portfolios/{portfolio}/imports"),
        &[("format", "csv")],
        "big.csv",
        rows.as_bytes(),
    );
    let status = answer.status;
    assert!(matches!(status, 503 | 507), "{answer}");
    answer.refuses(status);
    assert_eq!(cash(&client), last.into());
    service.stop();

    // A disk that is full keeps nobody from starting, and reading.
    directory.run(&["verify"]).ok();
    let service = Service::start(&directory);
    assert_eq!(held(&service.client()), (0..last).collect::<Vec<u32>>());
    assert_eq!(cash(&service.client()), last.into());
    service.kill();
    let service = Service::start(&directory);
    assert_eq!(cash(&service.client()), last.into());

    // With room again it goes on, without a new start.
    disk.clear();
    let (again, refused) = post_until_refused(&service.client(), &portfolio, last, 10);
    assert_eq!((again.len(), refused), (10, None));
    service.stop();
    directory.is_sound();
    drop(disk);
}
