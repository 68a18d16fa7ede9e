//! A temporary directory, and the executable run on the ledger in it.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use tempfile::TempDir;

/// The usual size of segments here: small, or filling them with zeros would take longer than the tests.
const SEGMENT_BYTES: u64 = 1 << 20;

/// A directory that is gone when the test ends; the ledger is in `data` below it.
pub(crate) struct Directory {
    temporary: TempDir,
    data: PathBuf,
    segment_bytes: u64,
    token: Mutex<Option<String>>,
}

impl Directory {
    /// A directory without a ledger.
    pub(crate) fn new() -> Self {
        let temporary = tempfile::Builder::new().prefix("daybook-it-").tempdir().unwrap();
        let data = temporary.path().join("data");
        Self { temporary, data, segment_bytes: SEGMENT_BYTES, token: Mutex::new(None) }
    }

    /// A directory with a ledger that holds one portfolio, and that portfolio's id.
    pub(crate) fn with_portfolio() -> (Self, String) {
        let directory = Self::new();
        let portfolio = directory.open_portfolio("Trading");
        (directory, portfolio)
    }

    /// The same directory with its ledger somewhere else.
    pub(crate) fn with_data_in(mut self, data: PathBuf) -> Self {
        self.data = data;
        self
    }

    /// The same directory with segments of another size.
    pub(crate) fn with_segments(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Where the ledger is.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Where a file beside the ledger is.
    pub(crate) fn path(&self, name: &str) -> String {
        self.temporary.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file beside the ledger and says where it is.
    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, contents).unwrap();
        path
    }

    /// The executable, with nothing of this process's environment that could change what it does.
    pub(crate) fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daybook"));
        command.args(arguments);
        self.prepare(&mut command);
        command
    }

    /// Gives a command this directory and a clean environment.
    pub(crate) fn prepare(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("DAYBOOK") || name.starts_with("APCA") || name.starts_with("RUST_") {
                command.env_remove(&*name);
            }
        }
        command
            .env("DAYBOOK_SEGMENT_BYTES", self.segment_bytes.to_string())
            .current_dir(self.temporary.path())
            .stdin(Stdio::null());
    }

    /// The executable on this directory's ledger.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.arg("--data").arg(&self.data);
        command
    }

    /// Runs a command on this directory's ledger.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments))
    }

    /// Runs a command through the service at `url`.
    pub(crate) fn run_through(&self, url: &str, token: &str, arguments: &[&str]) -> Ran {
        let mut command = self.bare(arguments);
        // A directory that is not there, so that nothing can come from anywhere but the service.
        command.args(["--server", url, "--data", &self.path("nothing")]).env("DAYBOOK_TOKEN", token);
        Ran::of(command)
    }

    /// Opens a portfolio and gives its id.
    pub(crate) fn open_portfolio(&self, name: &str) -> String {
        self.run(&["portfolio", "open", name]).ok().line().to_owned()
    }

    /// Imports a file of a format into a portfolio.
    pub(crate) fn import(&self, format: &str, portfolio: &str, contents: impl AsRef<[u8]>) -> Ran {
        let file = self.write(&format!("{format}.csv"), contents);
        self.run(&["import", format, &file, "--portfolio", portfolio])
    }

    /// Imports a file of prices.
    pub(crate) fn import_prices(&self, contents: impl AsRef<[u8]>, more: &[&str]) -> Ran {
        let file = self.write("prices.csv", contents);
        self.run(&[&["import", "prices", &file], more].concat())
    }

    /// All events of the ledger, as they are exported.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.run(&["export", "jsonl"]).ok().lines_of_json()
    }

    /// The last sequence of the ledger.
    pub(crate) fn head(&self) -> u64 {
        self.events().last().map_or(0, |event| event["sequence"].as_u64().unwrap())
    }

    /// What `replay` says of a portfolio.
    pub(crate) fn statement(&self, portfolio: &str, more: &[&str]) -> Value {
        let arguments = [&["replay", "--portfolio", portfolio, "--format", "json"], more].concat();
        self.run(&arguments).ok().json()
    }

    /// The ledger is sound and its projections agree with one another.
    pub(crate) fn is_sound(&self) {
        self.run(&["verify"]).ok();
        self.run(&["replay", "--check"]).ok();
    }

    /// The administrator's token that a service printed here.
    pub(crate) fn token(&self) -> Option<String> {
        self.token.lock().unwrap().clone()
    }

    /// Remembers the administrator's token.
    pub(crate) fn keep_token(&self, token: String) {
        *self.token.lock().unwrap() = Some(token);
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The command line.
    command: String,
    /// Its exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it wrote as its result.
    pub(crate) stdout: String,
    /// What it wrote beside it.
    pub(crate) stderr: String,
}

impl Ran {
    /// Runs a command to its end.
    pub(crate) fn of(mut command: Command) -> Self {
        let shown = format!("{command:?}");
        Self::ended(shown, command.output().unwrap())
    }

    /// What a command left.
    pub(crate) fn ended(command: String, output: Output) -> Self {
        let ran = Self {
            command,
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!ran.stderr.contains("panicked"), "it panicked: {ran}");
        ran
    }

    /// It did what it was asked.
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    /// It ended with this code.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// It could not use its input: exit 2, nothing on stdout, and all of this on stderr.
    pub(crate) fn refuses(self, parts: &[&str]) -> Self {
        let ran = self.exits(2).says(parts);
        assert_eq!(ran.stdout, "", "{ran}");
        ran
    }

    /// All of this is on stderr.
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "stderr does not say `{part}`: {self}");
        }
        self
    }

    /// The only line on stdout.
    pub(crate) fn line(&self) -> &str {
        let mut lines = self.stdout.lines();
        let line = lines.next().unwrap_or_else(|| panic!("nothing on stdout: {self}"));
        assert!(lines.next().is_none() && self.stdout.ends_with('\n'), "not one line: {self}");
        line
    }

    /// The JSON on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// The JSON on each line of stdout.
    pub(crate) fn lines_of_json(&self) -> Vec<Value> {
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(read).collect()
    }

    /// The import's id, which an import prints last on stdout.
    pub(crate) fn import_id(&self) -> String {
        let last = self.stdout.lines().last().unwrap_or_else(|| panic!("nothing on stdout: {self}"));
        let id = last.strip_prefix("import ").unwrap_or_else(|| panic!("no import on the last line: {self}"));
        assert_eq!(id.len(), 26, "not an id: {self}");
        id.to_owned()
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut = |text: &str| text.chars().take(6_000).collect::<String>();
        let (stdout, stderr) = (cut(&self.stdout), cut(&self.stderr));
        write!(f, "{}\nended with {:?}\nstdout: {stdout}\nstderr: {stderr}", self.command, self.code)
    }
}
