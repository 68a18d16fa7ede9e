//! A service that runs as a process of its own.

use super::{Client, Directory};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a service may take to start or to stop before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running service; one that is still running when the test ends is killed.
pub(crate) struct Service {
    child: Child,
    /// Where it listens.
    pub(crate) url: String,
    /// The administrator's token.
    pub(crate) token: String,
    said: Arc<Mutex<String>>,
    printed: Receiver<String>,
    readers: Vec<JoinHandle<()>>,
}

impl Service {
    /// Serves a directory on a port that is free.
    pub(crate) fn start(directory: &Directory) -> Self {
        Self::start_with(directory, &[])
    }

    /// Serves a directory, with more arguments.
    pub(crate) fn start_with(directory: &Directory, more: &[&str]) -> Self {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"], more].concat();
        Self::run(directory, directory.command(&arguments))
    }

    /// Serves by a command that ends in a service.
    pub(crate) fn run(directory: &Directory, command: Command) -> Self {
        Self::try_run(directory, command).unwrap_or_else(|said| panic!("the service did not start: {said}"))
    }

    /// Serves, or says what the process said before it ended.
    pub(crate) fn try_run(directory: &Directory, mut command: Command) -> Result<Self, String> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (printer, printed) = mpsc::channel();
        let (listener, listens) = mpsc::channel();
        let said = Arc::new(Mutex::new(String::new()));
        let heard = said.clone();
        let readers = vec![
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let _ = printer.send(line);
                }
            }),
            thread::spawn(move || {
                let mut stderr = BufReader::new(stderr);
                let mut line = String::new();
                while stderr.read_line(&mut line).is_ok_and(|read| read > 0) {
                    if let Some((_, url)) = line.split_once("listens on ") {
                        let _ = listener.send(url.trim().to_owned());
                    }
                    heard.lock().unwrap().push_str(&line);
                    line.clear();
                }
                let _ = stderr.read_to_end(&mut Vec::new());
            }),
        ];
        let mut service = Self { child, url: String::new(), token: String::new(), said, printed, readers };
        // The sender is dropped when the process ends, so that this does not wait for one that died.
        let Ok(url) = listens.recv_timeout(PATIENCE) else {
            let _ = service.child.kill();
            service.finish();
            return Err(service.said());
        };
        service.url = url;
        if service.said().contains("administrator's token") {
            directory.keep_token(service.printed.recv_timeout(PATIENCE).unwrap());
        }
        service.token = directory.token().unwrap_or_default();
        Ok(service)
    }

    /// What it has written to stderr so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// The lines that it has printed on stdout since this was last asked, the first token excepted.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.printed.try_iter().collect()
    }

    /// The process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// A client that shows the administrator's token.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url, &self.token)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Asks it to stop, by the signal that an operator's tools send.
    pub(crate) fn ask_to_stop(&self) {
        self.signal("TERM");
    }

    /// Waits until it has stopped; gives its exit code and all that it said.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let code = self.finish();
        let said = self.said();
        assert!(!said.contains("panicked"), "the service panicked: {said}");
        (code, said)
    }

    /// Stops it as an operator does; it must end well.
    pub(crate) fn stop(self) -> String {
        self.ask_to_stop();
        let (code, said) = self.wait();
        assert_eq!(code, Some(0), "the service did not stop well: {said}");
        said
    }

    /// Kills it where it stands.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.wait();
    }

    fn finish(&mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        code
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
