//! Bad input of every kind: a clear error that names the place and what to do, and a ledger that is as it was.

use crate::support::{Answer, Client, Directory, Ran, Service};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::process::Stdio;

/// A ledger with one trade, whose head must not move.
struct Unmoved {
    directory: Directory,
    portfolio: String,
    before: Vec<Value>,
}

impl Unmoved {
    fn new() -> Self {
        let (directory, portfolio) = Directory::with_portfolio();
        let rows = "time,type,symbol,quantity,price,amount,id\n\
                    2024-01-02,deposit,,,,10000,known\n\
                    2024-01-03,buy,ACME,100,10,,\n";
        directory.import("csv", &portfolio, rows).ok();
        let before = directory.events();
        Self { directory, portfolio, before }
    }

    /// Each of these files is refused with all of its words and the file's name.
    fn refuses_csv(&self, files: &[(&[u8], &[&str])]) {
        let told = |contents: &[u8]| self.directory.import("csv", &self.portfolio, contents);
        self.refuses("csv.csv", files, &told);
    }

    /// The same for files of prices.
    fn refuses_prices(&self, files: &[(&[u8], &[&str])]) {
        self.refuses("prices.csv", files, &|contents| self.directory.import_prices(contents, &[]));
    }

    /// All that is not as it should be is told at once.
    fn refuses(&self, file: &str, files: &[(&[u8], &[&str])], import: &dyn Fn(&[u8]) -> Ran) {
        let mut wrong = Vec::new();
        for (contents, words) in files {
            let ran = import(contents);
            let said = ran.stderr.to_lowercase();
            let missing: Vec<&str> = [file]
                .iter()
                .chain(*words)
                .copied()
                .filter(|word| !said.contains(&word.to_lowercase()))
                .collect();
            if ran.code != Some(2) || !ran.stdout.is_empty() || !missing.is_empty() {
                let shown = String::from_utf8_lossy(&contents[..contents.len().min(400)]).into_owned();
                let (code, stderr) = (ran.code, &ran.stderr);
                wrong.push(format!("{shown}\nended with {code:?}, without {missing:?}: {stderr}"));
            }
        }
        assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), files.len(), wrong.join("\n"));
        self.check();
    }

    /// Nothing of all that was recorded.
    fn check(&self) {
        assert_eq!(self.directory.events(), self.before, "bad input left something behind");
    }
}

/// The words, and those of line 2.
macro_rules! row {
    ($header:literal, $row:literal, $($word:literal),+) => {
        (concat!($header, "\n", $row, "\n").as_bytes(), &["csv.csv:2", $($word),+][..])
    };
}

#[test]
fn a_csv_whose_form_is_wrong_is_refused_with_the_place() {
    let long = format!("time,type,amount,note\n2024-01-02,deposit,1,\"{}\"\n", "x".repeat(2 << 20));
    Unmoved::new().refuses_csv(&[
        (b"", &["empty"]),
        (b"\n\n", &["first line"]),
        (b"\xef\xbb\xbf", &["empty"]),
        (b"time,type,amount\n", &["no row"]),
        (b"type,amount\ndeposit,1\n", &["time"]),
        (b"time,amount\n2024-01-02,1\n", &["type"]),
        (b"time,type,amuont\n2024-01-02,deposit,1\n", &["amuont", "amount"]),
        (b"time,type,amount,amount\n2024-01-02,deposit,1,1\n", &["amount", "twice"]),
        (b"time,type,amount,\n2024-01-02,deposit,1,\n", &["column", "4"]),
        (b"time,type,amount\n2024-01-02,deposit\n", &["csv.csv:2"]),
        (b"time,type,amount\n2024-01-02,deposit,1,2,3\n", &["csv.csv:2"]),
        (b"time,type,amount,note\n2024-01-02,deposit,1,ok\n2024-01-03,deposit,1,\"open\n2024-01-04,deposit,1,x\n", &["csv.csv:3", "quot"]),
        (b"time,type,amount,note\n2024-01-02,deposit,1,\xff\xfe\n", &["csv.csv:2", "utf-8"]),
        (b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00\n", &["csv.csv"]),
        (b"time;type;amount\n2024-01-02;deposit;1\n", &["comma"]),
        (long.as_bytes(), &["csv.csv:2", "long"]),
    ]);
}

#[test]
fn a_cell_that_is_no_number_or_date_is_refused_with_its_column() {
    Unmoved::new().refuses_csv(&[
        row!("time,type,amount", "2024-01-02,deposit,ten", "amount", "ten"),
        row!("time,type,amount", "2024-01-02,deposit,1e3", "amount", "1e3"),
        row!("time,type,amount", "2024-01-02,deposit,NaN", "amount", "nan"),
        row!("time,type,amount", "2024-01-02,deposit,inf", "amount", "inf"),
        row!("time,type,amount", "2024-01-02,deposit,\"1,000\"", "amount", "1,000"),
        row!("time,type,amount", "2024-01-02,deposit,$5", "amount", "$5"),
        row!("time,type,amount", "2024-01-02,deposit,0x10", "amount", "0x10"),
        row!("time,type,amount", "2024-01-02,deposit,1.", "amount"),
        row!("time,type,amount", "2024-01-02,deposit,--1", "amount", "--1"),
        row!("time,type,amount", "2024-01-02,deposit,\u{661}", "amount"),
        row!("time,type,amount", "2024-01-02,deposit,", "amount"),
        row!("time,type,amount", "2024-01-02,deposit,0.00000000000000000000000000001", "amount", "digits"),
        row!("time,type,amount", "2024-01-02,deposit,79228162514264337593543950336", "amount", "digits"),
        row!("time,type,amount", "2024-01-02,deposit,123456789012345678901234567890.5", "amount", "digits"),
        row!("time,type,amount", "yesterday,deposit,1", "time", "yesterday"),
        row!("time,type,amount", "2024-02-30,deposit,1", "time", "2024-02-30"),
        row!("time,type,amount", "2023-02-29,deposit,1", "time", "2023-02-29"),
        row!("time,type,amount", "01/02/2024,deposit,1", "time", "01/02/2024"),
        row!("time,type,amount", "2024-1-2,deposit,1", "time", "2024-1-2"),
        row!("time,type,amount", "20240102,deposit,1", "time", "20240102"),
        row!("time,type,amount", "2024-01-02T10:00:00,deposit,1", "time", "2024-01-02T10:00:00"),
        row!("time,type,amount", "2024-01-02T25:00:00Z,deposit,1", "time"),
        row!("time,type,amount", ",deposit,1", "time"),
        row!("time,type,amount", "1899-12-31,deposit,1", "time", "1900"),
        row!("time,type,amount", "2201-01-01,deposit,1", "time", "2200"),
        row!("time,type,amount", "0001-01-01T00:00:00Z,deposit,1", "time", "1900"),
        row!("time,type,amount", "9999-12-31T23:59:59Z,deposit,1", "time", "2200"),
        row!("time,type,amount", "-2024-01-02,deposit,1", "time"),
        row!("time,type,amount,settle", "2024-01-02,deposit,1,2024-13-01", "settle"),
        row!(
            "time,type,symbol,quantity,basis,price,acquired",
            "2024-01-02,transfer_in,ACME,1,1,1,then",
            "acquired"
        ),
    ]);
}

#[test]
fn a_type_or_a_code_that_does_not_exist_is_refused_with_the_known_ones() {
    Unmoved::new().refuses_csv(&[
        row!("time,type,amount", "2024-01-02,deposti,1", "type", "deposti", "deposit"),
        row!("time,type,amount", "2024-01-02,,1", "type"),
        row!("time,type,amount", "2024-01-02,Deposit ,1,", "csv.csv:2"),
        row!("time,type,amount,currency", "2024-01-02,deposit,1,XXY", "currency", "xxy"),
        row!("time,type,amount,currency", "2024-01-02,deposit,1,DOLLARS", "currency", "dollars"),
        row!(
            "time,type,symbol,quantity,price,effect",
            "2024-01-02,buy,ACME,1,1,maybe",
            "effect",
            "open",
            "close"
        ),
        row!(
            "time,type,symbol,quantity,price,fee,fee_currency",
            "2024-01-02,buy,ACME,1,1,1,ABCD",
            "fee_currency",
            "abcd"
        ),
        row!("time,type,symbol,quantity,price,isin", "2024-01-02,buy,NEWC,1,1,US0378331006", "isin"),
        row!("time,type,symbol,quantity,price,isin", "2024-01-02,buy,NEWC,1,1,apple", "isin", "apple"),
        row!("time,type,symbol,quantity,price,mic", "2024-01-02,buy,NEWC,1,1,NASDAQ", "mic", "nasdaq"),
        row!("time,type,symbol,quantity,price", "2024-01-02,buy,,1,1", "symbol"),
    ]);
}

#[test]
fn a_sign_or_a_column_that_a_type_does_not_take_is_refused_with_the_rule() {
    Unmoved::new().refuses_csv(&[
        // Trades.
        row!("time,type,symbol,quantity,price", "2024-01-02,buy,ACME,-1,10", "quantity", "greater than 0"),
        row!("time,type,symbol,quantity,price", "2024-01-02,buy,ACME,0,10", "quantity", "greater than 0"),
        row!("time,type,symbol,quantity,price", "2024-01-02,sell,ACME,-1,10", "quantity", "greater than 0"),
        row!("time,type,symbol,quantity,price", "2024-01-02,buy,ACME,1,-10", "price"),
        row!("time,type,symbol,quantity,price", "2024-01-02,buy,ACME,1,", "price", "amount"),
        row!("time,type,symbol,quantity,price", "2024-01-02,buy,ACME,,10", "quantity"),
        row!(
            "time,type,symbol,quantity,price,amount",
            "2024-01-02,buy,ACME,1,10,10",
            "amount",
            "less than 0"
        ),
        row!(
            "time,type,symbol,quantity,price,amount",
            "2024-01-02,sell,ACME,1,10,-10",
            "amount",
            "greater than 0"
        ),
        row!("time,type,symbol,quantity,price,multiplier", "2024-01-02,buy,ACME,1,10,0", "multiplier"),
        row!("time,type,symbol,quantity,price,multiplier", "2024-01-02,buy,ACME,1,10,-1", "multiplier"),
        row!(
            "time,type,symbol,quantity,price,to_symbol",
            "2024-01-02,buy,ACME,1,10,BOLT",
            "to_symbol",
            "buy"
        ),
        // Cash.
        row!("time,type,amount", "2024-01-02,deposit,-1", "amount", "greater than 0"),
        row!("time,type,amount", "2024-01-02,deposit,0", "amount"),
        row!("time,type,amount", "2024-01-02,withdrawal,1", "amount", "less than 0"),
        row!("time,type,amount,symbol", "2024-01-02,deposit,1,ACME", "symbol", "deposit"),
        row!("time,type,amount,quantity", "2024-01-02,withdrawal,-1,1", "quantity", "withdrawal"),
        row!("time,type,amount,fee", "2024-01-02,deposit,1,1", "fee", "deposit"),
        row!("time,type,amount", "2024-01-02,dividend,1", "symbol"),
        row!("time,type,symbol,amount", "2024-01-02,dividend,ACME,", "amount"),
        row!("time,type,amount", "2024-01-02,interest,", "amount"),
        row!("time,type,amount,price", "2024-01-02,interest,1,x", "price"),
        row!("time,type,amount", "2024-01-02,fee,", "amount"),
        row!("time,type,amount,fee", "2024-01-02,fee,-1,1", "fee"),
        row!("time,type,amount", "2024-01-02,tax,", "amount"),
        // Splits.
        row!("time,type,symbol,quantity", "2024-01-02,split,ACME,0", "quantity"),
        row!("time,type,symbol,quantity", "2024-01-02,split,ACME,-2", "quantity"),
        row!("time,type,symbol,quantity", "2024-01-02,split,ACME,1/0", "quantity"),
        row!("time,type,symbol,quantity", "2024-01-02,split,ACME,two", "quantity", "two"),
        row!("time,type,symbol,quantity", "2024-01-02,split,,2", "symbol"),
        row!("time,type,symbol,quantity,amount", "2024-01-02,split,ACME,2,5", "amount", "split"),
        // Transfers and conversions.
        row!("time,type,symbol,quantity", "2024-01-02,transfer_in,ACME,-5", "quantity"),
        row!("time,type,symbol,quantity", "2024-01-02,transfer_out,ACME,", "quantity"),
        row!("time,type,symbol,quantity", "2024-01-02,transfer_in,,", "amount"),
        row!(
            "time,type,amount,currency,symbol,quantity",
            "2024-01-02,convert,100,USD,EUR,90",
            "amount",
            "less than 0"
        ),
        row!("time,type,amount,currency,symbol,quantity", "2024-01-02,convert,-100,,EUR,90", "currency"),
        row!("time,type,amount,currency,symbol,quantity", "2024-01-02,convert,-100,USD,EUR,-90", "quantity"),
        row!(
            "time,type,amount,currency,symbol,quantity",
            "2024-01-02,convert,-100,USD,EURO,90",
            "symbol",
            "euro"
        ),
        row!(
            "time,type,amount,currency,symbol,quantity",
            "2024-01-02,convert,-100,USD,USD,90",
            "symbol",
            "usd"
        ),
        // Corporate actions and options.
        row!("time,type,symbol,amount", "2024-01-02,return_of_capital,ACME,-5", "amount", "greater than 0"),
        row!("time,type,symbol,amount", "2024-01-02,cash_in_lieu,ACME,0", "amount"),
        row!("time,type,symbol,quantity,to_symbol", "2024-01-02,spin_off,ACME,5,", "to_symbol"),
        row!("time,type,symbol,quantity,to_symbol,basis", "2024-01-02,spin_off,ACME,5,BOLT,1.5", "basis"),
        row!("time,type,symbol,quantity", "2024-01-02,exchange,ACME,", "quantity"),
        row!("time,type,symbol,to_symbol", "2024-01-02,rename,ACME,", "to_symbol"),
        row!("time,type,symbol,to_symbol,quantity", "2024-01-02,rename,ACME,BOLT,1", "quantity", "rename"),
        row!("time,type,symbol,quantity", "2024-01-02,expire,ACME,1", "symbol"),
        row!("time,type,symbol,quantity", "2024-01-02,assign,ACME  240119C00010000,0", "quantity"),
        row!("time,type,amount,note", "2024-01-02,adjustment,5,", "note"),
        row!("time,type,note", "2024-01-02,adjustment,why", "amount"),
    ]);
}

#[test]
fn one_id_with_two_contents_is_refused_with_both_places() {
    let unmoved = Unmoved::new();
    unmoved.refuses_csv(&[
        (
            b"time,type,amount,id\n2024-01-02,deposit,1,a\n2024-01-03,deposit,1,b\n2024-01-04,deposit,1,a\n",
            &["csv.csv:4", "id", "2"],
        ),
        (b"time,type,amount,id\n2024-01-02,deposit,9999,known\n", &["csv.csv:2", "id", "event"]),
    ]);
}

#[test]
fn every_fault_of_a_file_is_listed_at_once_up_to_a_limit() {
    let unmoved = Unmoved::new();
    let rows: String = (0..200).map(|row| format!("2024-01-02,deposit,x{row}\n")).collect();
    let ran =
        unmoved.directory.import("csv", &unmoved.portfolio, format!("time,type,amount\n{rows}")).exits(2);
    let lines = ran.stderr.lines().count();
    assert!((10..=60).contains(&lines), "{lines} lines: {ran}");
    ran.says(&["csv.csv:2", "csv.csv:3", "more"]);
    unmoved.check();
}

#[test]
fn a_file_of_prices_that_is_wrong_is_refused_with_the_place() {
    Unmoved::new().refuses_prices(&[
        (b"", &["empty"]),
        (b"date,symbol,close\n", &["no row"]),
        (b"symbol,close\nACME,1\n", &["date"]),
        (b"date,symbol\n2024-01-02,ACME\n", &["close"]),
        (b"date,close\n2024-01-02,1\n", &["symbol"]),
        (b"date,symbol,close,colour\n2024-01-02,ACME,1,red\n", &["colour"]),
        (b"date,symbol,close\n2024-01-02,ACME,x\n", &["prices.csv:2", "close", "x"]),
        (b"date,symbol,close\n2024-01-02,ACME,-1\n", &["prices.csv:2", "close"]),
        (b"date,symbol,close\n2024-13-02,ACME,1\n", &["prices.csv:2", "date", "2024-13-02"]),
        (b"date,symbol,close\n1850-01-02,ACME,1\n", &["prices.csv:2", "date"]),
        (b"date,symbol,close\n2024-01-02,ACME,1\n2024-01-02,ACME,2\n", &["prices.csv:3", "2024-01-02"]),
        (b"date,symbol,high,low,close\n2024-01-02,ACME,1,2,1.5\n", &["prices.csv:2", "high"]),
        (b"date,symbol,close,volume\n2024-01-02,ACME,1,-5\n", &["prices.csv:2", "volume"]),
        (b"date,symbol,close,split\n2024-01-02,ACME,1,-2\n", &["prices.csv:2", "split"]),
        (b"date,symbol,close,currency\n2024-01-02,ACME,1,BUCKS\n", &["prices.csv:2", "currency", "bucks"]),
        (b"date,symbol,close\n2024-01-02,,1\n", &["prices.csv:2", "symbol"]),
        (b"date,symbol,close\n2024-01-02,\"ACME,1\n", &["prices.csv:2", "quot"]),
    ]);
}

#[test]
fn a_brokers_file_that_is_not_that_brokers_is_refused() {
    let unmoved = Unmoved::new();
    let import = |contents: &[u8]| unmoved.directory.import("schwab", &unmoved.portfolio, contents);
    let files: [(&[u8], &[&str]); 4] = [
        (b"", &["columns"]),
        (b"a,b,c\n1,2,3\n", &["date"]),
        (b"\xff\xff\xff\xff", &[]),
        (b"\"Date\",\"Action\"\n", &[]),
    ];
    unmoved.refuses("schwab.csv", &files, &import);
    let import = |contents: &[u8]| unmoved.directory.import("robinhood", &unmoved.portfolio, contents);
    let files: [(&[u8], &[&str]); 4] = [
        (b"", &["empty"]),
        (b"a,b,c\n1,2,3\n", &["robinhood.csv:1", "activity date"]),
        (b"\xff\xff\xff\xff", &[]),
        (
            b"\"Activity Date\",\"Instrument\",\"Description\",\"Trans Code\",\"Quantity\",\"Price\"\n",
            &["amount", "missing"],
        ),
    ];
    unmoved.refuses("robinhood.csv", &files, &import);
    let import = |contents: &[u8]| unmoved.directory.import("alpaca", &unmoved.portfolio, contents);
    let files: [(&[u8], &[&str]); 6] = [
        (b"", &["activities"]),
        (b"a,b,c\n1,2,3\n", &["no json"]),
        (b"\xff\xfe[\0", &["no json"]),
        (b"[\n{\"activity_type\":\"CSD\xff\"}]", &["alpaca.csv:2", "utf-8"]),
        (b"[{}]", &["no activity"]),
        (b"[{\"activity_type\":\"CSD\"", &["alpaca.csv:1"]),
    ];
    unmoved.refuses("alpaca.csv", &files, &import);
}

#[test]
fn a_file_that_is_no_file_is_refused() {
    let unmoved = Unmoved::new();
    for path in ["/dev/null", "/", "nowhere.csv"] {
        let ran = unmoved.directory.run(&["import", "csv", path, "--portfolio", &unmoved.portfolio]);
        ran.refuses(&[path.rsplit('/').next().unwrap()]);
    }
    unmoved.check();
}

/// A file of `length` bytes that begins as given and goes on with zeros that take no room on the disk.
fn sparse(directory: &Directory, start: &[u8], length: u64) -> String {
    let path = directory.path("huge.csv");
    let mut file = File::create(&path).unwrap();
    file.write_all(start).unwrap();
    file.set_len(length).unwrap();
    // The last line ends, so that it is its length that is wrong with it.
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(b"\n").unwrap();
    path
}

#[test]
fn a_line_of_a_gigabyte_is_refused_without_being_read_into_memory() {
    let unmoved = Unmoved::new();
    let directory = &unmoved.directory;
    for (format, start) in [
        ("csv", &b"time,type,amount,note\n2024-01-02,deposit,1,"[..]),
        ("csv", b"time,type,amount,note\n2024-01-02,deposit,1,\""),
        ("csv", b""),
        ("schwab", b"\"Date\",\"Action\",\"Symbol\",\"Description\",\"Quantity\",\"Price\",\"Fees & Comm\",\"Amount\"\n\""),
        ("robinhood", b"\"Activity Date\",\"Instrument\",\"Description\",\"Trans Code\",\"Quantity\",\"Price\",\"Amount\"\n\""),
        ("prices", b"date,symbol,close\n2024-01-02,"),
        ("alpaca", b"[{\"activity_type\":\""),
    ] {
        let huge = sparse(directory, start, 1 << 30);
        let portfolio = ["--portfolio", &unmoved.portfolio];
        let arguments = [&["import", format, &huge][..], if format == "prices" { &[] } else { &portfolio }].concat();
        // The kernel, and not the clock, says whether it was read into memory: there is room for half of it.
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "ulimit -v 1048576; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_daybook")]);
        command.args(&arguments).arg("--data").arg(directory.data());
        directory.prepare(&mut command);
        // A list of JSON may be one line of any length, and holds no zeros.
        Ran::of(command).refuses(&["huge.csv", if format == "alpaca" { "no JSON" } else { "long" }]);
    }
    unmoved.check();
}

#[test]
fn a_line_without_end_from_a_pipe_is_refused_while_it_comes() {
    let unmoved = Unmoved::new();
    let mut command =
        unmoved.directory.command(&["import", "csv", "/dev/stdin", "--portfolio", &unmoved.portfolio]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let block = vec![b'x'; 1 << 16];
    let mut written = 0u64;
    // Far more than it may take; the pipe breaks when it has seen enough.
    while written < 256 << 20 && pipe.write_all(&block).is_ok() {
        written += block.len() as u64;
    }
    drop(pipe);
    let ran = Ran::ended("import from a pipe".to_owned(), child.wait_with_output().unwrap());
    ran.refuses(&["long"]);
    assert!(written < 64 << 20, "{written} bytes were taken");
    unmoved.check();
}

/// A service whose ledger must not move.
struct Requests {
    unmoved: Unmoved,
    service: Service,
    client: Client,
    head: u64,
}

impl Requests {
    fn new() -> Self {
        let unmoved = Unmoved::new();
        let service = Service::start(&unmoved.directory);
        let client = service.client();
        let head = client.head();
        Self { unmoved, service, client, head }
    }

    fn transactions(&self) -> String {
        format!("/v1/portfolios/{}/transactions", self.unmoved.portfolio)
    }

    fn raw(&self, path: &str, kind: Option<&str>, body: &[u8]) -> Answer {
        let headers: Vec<(&str, &str)> = kind.map(|kind| ("Content-Type", kind)).into_iter().collect();
        self.client.send("POST", path, &headers, Some(body))
    }

    fn done(self) {
        let since = self.client.pages(&format!("/v1/events?from={}", self.head + 1));
        // That the token was used today is recorded whatever it was used for.
        let left: Vec<_> = since.iter().filter(|event| event["type"] != "AccessUsed").collect();
        assert!(left.is_empty(), "a bad request left something behind: {left:?}");
        self.client.get("/v1/portfolios").ok();
        self.service.stop();
        assert_eq!(self.unmoved.directory.events()[..self.unmoved.before.len()], self.unmoved.before);
    }
}

#[test]
fn a_transaction_that_makes_no_sense_is_a_problem_that_names_its_fields() {
    let requests = Requests::new();
    let path = requests.transactions();
    let mut wrong = Vec::new();
    for (body, status, words) in [
        (json!({}), 422, &["time", "type"][..]),
        (json!({ "time": "2024-01-02", "type": "deposit" }), 422, &["amount"]),
        (
            json!({ "time": "2024-01-02", "type": "deposit", "amount": "-1" }),
            422,
            &["amount", "greater than 0"],
        ),
        (
            json!({ "time": "2024-01-02", "type": "deposit", "amount": "1", "colour": "red" }),
            400,
            &["colour"],
        ),
        (json!({ "time": "2024-01-02", "type": "deposit", "amount": 1 }), 400, &["amount", "quotes"]),
        (json!({ "time": "2024-01-02", "type": "deposit", "amount": 1.5 }), 400, &["quotes"]),
        (json!({ "time": "2024-01-02", "type": "deposit", "amount": null, "symbol": [] }), 400, &["symbol"]),
        (json!({ "time": "2024-02-30", "type": "deposit", "amount": "1" }), 422, &["time", "2024-02-30"]),
        (json!({ "time": "1850-01-01", "type": "deposit", "amount": "1" }), 422, &["time", "1900"]),
        (json!({ "time": "2024-01-02", "type": "steal", "amount": "1" }), 422, &["type", "steal"]),
        (
            json!({ "time": "2024-01-02", "type": "deposit", "amount": "1", "currency": "XXY" }),
            422,
            &["currency"],
        ),
        (
            json!({ "time": "2024-01-02", "type": "deposit", "amount": "0.00000000000000000000000000001" }),
            422,
            &["amount"],
        ),
        (
            json!({ "time": "2024-01-02", "type": "buy", "symbol": "ACME", "quantity": "-1", "price": "1" }),
            422,
            &["quantity"],
        ),
        (
            json!({ "time": "2024-01-02", "type": "deposit", "amount": "9999", "id": "known" }),
            409,
            &["event"],
        ),
        (
            json!({ "time": "2024-01-02", "type": "adjustment", "amount": "1", "note": "n".repeat(70_000) }),
            422,
            &["note"],
        ),
        (json!([]), 400, &[]),
        (json!("deposit"), 400, &[]),
    ] {
        let answer = requests.client.post(&path, &body);
        // A body that is malformed and one that makes no sense are told apart; both are the caller's to mend.
        let (found, malformed) = (answer.status, [400, 422]);
        if found != status && !(malformed.contains(&found) && malformed.contains(&status)) {
            wrong.push(format!("{body}: {answer}"));
            continue;
        }
        let problem = answer.refuses(found).to_string().to_lowercase();
        let missing: Vec<&&str> = words.iter().filter(|word| !problem.contains(**word)).collect();
        if !missing.is_empty() {
            wrong.push(format!("{body}: without {missing:?}: {problem}"));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    requests.done();
}

#[test]
fn a_body_that_is_no_json_or_too_large_is_a_problem() {
    let requests = Requests::new();
    let path = requests.transactions();
    let json = Some("application/json");
    for body in [
        &b""[..],
        b"{",
        b"{\"time\":",
        b"null",
        b"\xff\xfe",
        b"{\"time\":\"2024-01-02\"}garbage",
        &[b'['; 100_000],
    ] {
        requests.raw(&path, json, body).refuses(400);
    }
    requests.raw(&path, Some("text/plain"), b"{}").refuses(415);
    requests.raw(&path, Some("application/xml"), b"<a/>").refuses(415);
    requests.raw(&path, None, b"{}").refuses(415);
    // A careful client asks before it sends so much; one that does not may find the connection closed on it.
    let large = format!("{{\"note\":\"{}\"}}", "n".repeat(2 << 20));
    let headers = [("Content-Type", "application/json"), ("Expect", "100-continue")];
    requests.client.send("POST", &path, &headers, Some(large.as_bytes())).refuses(413);
    if let Ok(answer) = requests.client.try_send("POST", &path, &headers[..1], Some(large.as_bytes())) {
        answer.refuses(413);
    }
    requests.done();
}

#[test]
fn an_upload_that_is_wrong_is_a_problem_that_names_the_line() {
    let requests = Requests::new();
    let path = format!("/v1/portfolios/{}/imports", requests.unmoved.portfolio);
    let client = &requests.client;
    let bad = b"time,type,amount\n2024-01-02,deposit,1\n2024-01-03,deposit,x\n";
    let problem = client.upload(&path, &[("format", "csv")], "bad.csv", bad).refuses(422);
    assert_eq!(
        (&problem["errors"][0]["line"], &problem["errors"][0]["field"]),
        (&json!(3), &json!("amount"))
    );
    client.upload(&path, &[("format", "quicken")], "a.csv", b"x").refuses(422);
    client.upload(&path, &[("format", "robinhood")], "a.csv", b"x").refuses(422);
    client.upload(&path, &[], "a.csv", bad).refuses(422);
    client.upload(&path, &[("format", "csv"), ("colour", "red")], "a.csv", bad).refuses(422);
    client.upload(&path, &[("format", "csv"), ("dry_run", "perhaps")], "a.csv", bad).refuses(422);
    requests.raw(&path, Some("application/json"), b"{}").refuses(415);
    requests.raw(&path, Some("multipart/form-data"), b"{}").refuses(400);
    let broken = requests.raw(&path, Some("multipart/form-data; boundary=x"), b"--x\r\nbroken");
    assert!(matches!(broken.status, 400 | 422), "{broken}");
    let status = broken.status;
    broken.refuses(status);
    requests.done();
}

#[test]
fn prices_that_are_wrong_are_a_problem() {
    let requests = Requests::new();
    for items in [
        json!([{ "symbol": "ACME", "date": "2024-01-02" }]),
        json!([{ "symbol": "ACME", "date": "2024-01-02", "close": "x" }]),
        json!([{ "symbol": "ACME", "date": "2024-01-02", "close": 1 }]),
        json!([{ "symbol": "ACME", "date": "2024-01-02", "close": "1" }, { "symbol": "ACME", "date": "2024-01-99", "close": "1" }]),
        json!([{ "symbol": "ACME", "date": "2024-01-02", "close": "1", "mood": "bullish" }]),
        json!([]),
        json!({}),
    ] {
        let answer = requests.client.post("/v1/prices", &json!({ "items": items }));
        assert!(matches!(answer.status, 400 | 422), "{items}: {answer}");
        let status = answer.status;
        answer.refuses(status);
    }
    requests.done();
}

#[test]
fn a_path_a_method_or_a_query_that_is_not_known_is_a_problem() {
    let requests = Requests::new();
    let (client, portfolio) = (&requests.client, &requests.unmoved.portfolio);
    for path in [
        "/v1/nothing",
        "/nothing",
        "/v1/portfolios/00000000000000000000000001",
        "/v1/portfolios/00000000000000000000000001/positions",
        "/v1/events/999999",
        "/v1/imports/00000000000000000000000001",
        "/v1/prices/NOSUCH",
        &format!("/v1/portfolios/{portfolio}/trades/999999"),
    ] {
        client.get(path).refuses(404);
    }
    client.delete("/v1/portfolios").refuses(405);
    client.send("PUT", &format!("/v1/portfolios/{portfolio}"), &[], Some(b"{}")).refuses(405);
    for query in [
        "/v1/portfolios?colour=red",
        "/v1/portfolios?limit=0",
        "/v1/portfolios?limit=1001",
        "/v1/portfolios?limit=many",
        "/v1/portfolios?limit=-1",
        "/v1/portfolios?cursor=!!!",
        "/v1/portfolios?cursor=AAAA",
        "/v1/events?cursor=bm90aGluZw",
        "/v1/events?from=-1",
        "/v1/events?from=first",
        "/v1/events/first",
        "/v1/events/0",
        "/v1/events/-1",
        "/v1/events/99999999999999999999999",
        &format!("/v1/portfolios/{portfolio}?as_of=soon"),
        &format!("/v1/portfolios/{portfolio}?as_of=2024-02-30"),
        &format!("/v1/portfolios/{portfolio}?at_sequence=x"),
        &format!("/v1/portfolios/{portfolio}?at_sequence=999999"),
        &format!("/v1/portfolios/{portfolio}?known_at=2024"),
        &format!("/v1/portfolios/{portfolio}?at_sequence=1&known_at=2024-01-01T00:00:00Z"),
        &format!("/v1/portfolios/{portfolio}/equity?interval=century"),
        "/v1/portfolios/mine",
        "/v1/portfolios/%00",
        "/v1/portfolios/%ff%fe",
        "/v1/portfolios/..%2f..%2fkeys",
    ] {
        let answer = client.get(query);
        assert!(matches!(answer.status, 400 | 404 | 422), "{query}: {answer}");
        let status = answer.status;
        answer.refuses(status);
    }
    requests.done();
}

#[test]
fn a_token_or_a_key_that_is_malformed_is_a_problem_and_not_repeated() {
    let requests = Requests::new();
    for token in ["", "x", "daybook_", &"a".repeat(4_000)] {
        let answer = requests.client.showing(Some(token)).get("/v1/portfolios");
        let problem = answer.refuses(401).to_string();
        assert!(token.len() < 10 || !problem.contains(token), "a token in an answer: {problem}");
    }
    let nobody = requests.client.showing(None);
    for value in ["Bearer", "Basic dXNlcjpwYXNz", "Token x", "bearer  x"] {
        nobody.send("GET", "/v1/portfolios", &[("Authorization", value)], None).refuses(401);
    }
    let body = json!({ "time": "2024-01-02", "type": "deposit", "amount": "1" });
    for key in [String::new(), "k".repeat(300)] {
        let answer =
            requests.client.post_keyed(&requests.transactions(), &body, &[("Idempotency-Key", &key)]);
        answer.refuses(400);
    }
    requests.client.post("/v1/tokens", &json!({ "role": "king" })).refuses(422);
    requests.client.post("/v1/tokens", &json!({ "role": "service" })).refuses(422);
    requests.client.delete("/v1/tokens/00000000000000000000000001").refuses(404);
    requests.client.post("/v1/portfolios", &json!({ "name": "" })).refuses(422);
    requests.client.post("/v1/portfolios", &json!({ "name": "A", "currency": "XXY" })).refuses(422);
    requests.client.post("/v1/portfolios", &json!({ "name": "A", "colour": "red" })).refuses(400);
    requests.client.post("/v1/events/1/reverse", &json!({ "reason": "no entry" })).refuses(422);
    requests.client.post("/v1/events/999999/reverse", &json!({ "reason": "none" })).refuses(404);
    requests.client.post("/v1/events/5/reverse", &json!({ "reason": "" })).refuses(422);
    requests.done();
}
