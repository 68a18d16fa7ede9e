//! The system calls of a process, in the order in which they were made, as strace wrote them down.

use super::Directory;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A system call that returned.
#[derive(Debug)]
pub(crate) struct Call {
    /// Its name.
    pub(crate) name: String,
    /// Its arguments and its result, as strace wrote them.
    pub(crate) text: String,
    /// The line on which it was entered.
    pub(crate) entered: usize,
    /// The line on which it returned.
    pub(crate) returned: usize,
}

impl Call {
    /// The file or socket of its first argument.
    pub(crate) fn target(&self) -> &str {
        let after = self.text.split_once('<').map_or("", |(_, after)| after);
        after.split_once('>').map_or("", |(target, _)| target)
    }

    /// What it returned.
    pub(crate) fn result(&self) -> &str {
        self.text.rsplit_once(" = ").map_or("", |(_, result)| result)
    }
}

/// The executable on a directory's ledger under strace, which traces and injects as its options say; none where
/// strace is not installed or may not trace.
pub(crate) fn strace(
    directory: &Directory,
    options: &[&str],
    arguments: &[&str],
    into: &str,
) -> Option<Command> {
    let tried = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new("strace");
    // With -D the process that is started is the executable itself, which is then stopped as ever.
    command.args(["-D", "-f", "-y", "-s", "32", "-o", into]).args(options);
    command.arg(env!("CARGO_BIN_EXE_daybook")).args(arguments).arg("--data").arg(directory.data());
    directory.prepare(&mut command);
    Some(command)
}

/// Reads what strace wrote about a process that has ended.
pub(crate) fn traced(path: &Path, process: u32) -> Vec<Call> {
    let ended = format!("{process} +++ exited");
    let began = Instant::now();
    let mut text = fs::read_to_string(path).unwrap();
    // The tracer writes its last lines after the process that it traced is gone.
    while !text.lines().any(|line| squeezed(line).starts_with(&ended))
        && began.elapsed() < Duration::from_secs(30)
    {
        thread::sleep(Duration::from_millis(20));
        text = fs::read_to_string(path).unwrap();
    }
    parse(&text)
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn parse(text: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut unfinished: HashMap<&str, (String, String, usize)> = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((name, begun, entered)) = unfinished.remove(thread) else { continue };
            let rest = resumed.split_once(" resumed>").map_or("", |(_, rest)| rest);
            calls.push(Call { name, text: format!("{begun}{rest}"), entered, returned: number });
        } else if let Some((name, rest)) = rest.split_once('(') {
            match rest.strip_suffix("<unfinished ...>") {
                Some(begun) => {
                    unfinished.insert(thread, (name.to_owned(), begun.to_owned(), number));
                }
                None => calls.push(Call {
                    name: name.to_owned(),
                    text: rest.to_owned(),
                    entered: number,
                    returned: number,
                }),
            }
        }
    }
    calls
}

#[test]
fn calls_that_were_interrupted_in_the_trace_are_put_together_again() {
    let text = "7  pwrite64(3</d/1.log>, \"a\", 1, 0) = 1\n\
                7  fdatasync(3</d/1.log> <unfinished ...>\n\
                8  sendto(9<TCP:[1->2]>, \"HTTP/1.1 200\", 12, 0, NULL, 0) = 12\n\
                7  <... fdatasync resumed>)        = 0\n";
    let calls = parse(text);
    let names: Vec<_> = calls.iter().map(|call| (&*call.name, call.entered, call.returned)).collect();
    assert_eq!(names, [("pwrite64", 0, 0), ("sendto", 2, 2), ("fdatasync", 1, 3)]);
    assert_eq!((calls[2].target(), calls[2].result()), ("/d/1.log", "0"));
}
