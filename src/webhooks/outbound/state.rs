//! What is remembered of a receiver: how far it was sent to, what is being tried, and what was given up.
//!
//! It lies in a small file for each receiver, `webhooks/NAME.json` in the data directory, which is replaced whole: written
//! beside, synced, renamed, and the directory synced. So a kill at any moment leaves the state before or after a delivery,
//! never a mixture; a delivery that was answered and not yet written down is sent again, which is what "at least once"
//! says. The ledger's own cursors were turned down, because they move only with an event that is appended, and an event
//! for each delivery would itself be delivered; the index was, because it is derived and may be deleted.
//!
//! Beside the cursor stand marks: hashes of events that were passed, closer together the nearer they are. A ledger that was
//! put back to an earlier state no longer holds the last ones; the state then begins anew after the last mark that holds,
//! so that nothing which was recorded since is skipped.

use daybook_schemas::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The directory of these files, below the data directory.
const DIRECTORY: &str = "webhooks";
/// The version of the file's form.
const VERSION: u32 = 1;
/// The most deliveries that are kept after they were given up; with so many the receiver is left alone.
pub(super) const DEAD_MAX: usize = 1_000;
/// The largest such file, in bytes.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// How far a receiver was sent to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Everything up to this event was sent, given up, or not asked for.
    pub(crate) cursor: u64,
    /// Where the next event makes an import visible: the last event of that import that was sent. Else 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) within: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes by reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A delivery that was not taken so far.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Trying {
    /// The event.
    pub(crate) sequence: u64,
    /// When it was first not taken.
    pub(crate) since: Timestamp,
    /// How often it was sent.
    pub(crate) attempts: u32,
    /// Why it was not taken last.
    pub(crate) error: String,
}

/// A delivery that was given up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Dead {
    /// The event.
    pub(crate) sequence: u64,
    /// Its type.
    pub(crate) kind: String,
    /// How often it was sent.
    pub(crate) attempts: u32,
    /// When it was given up.
    pub(crate) since: Timestamp,
    /// Why it was not taken last.
    pub(crate) error: String,
}

/// A receiver that wants no more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Disabled {
    /// When it said so.
    pub(crate) at: Timestamp,
    /// What it said.
    pub(crate) reason: String,
}

/// An event that was passed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) sequence: u64,
    pub(super) hash: String,
}

/// All that is remembered.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    version: u32,
    #[serde(flatten)]
    pub(crate) position: Position,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trying: Option<Trying>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) disabled: Option<Disabled>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) dead: Vec<Dead>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) marks: Vec<Mark>,
}

impl State {
    /// A receiver that is sent everything after this event.
    pub(super) fn after(cursor: u64) -> Self {
        Self { version: VERSION, position: Position { cursor, within: 0 }, ..Self::default() }
    }

    /// Notes the event at the cursor, and forgets marks so that those left lie twice as far apart the farther back they are.
    pub(super) fn mark(&mut self, hash: String) {
        let cursor = self.position.cursor;
        self.marks.retain(|mark| mark.sequence < cursor);
        self.marks.push(Mark { sequence: cursor, hash });
        let mut kept: Vec<Mark> = Vec::new();
        let mut reach = None;
        for mark in self.marks.drain(..).rev() {
            let distance = (cursor - mark.sequence + 1).ilog2();
            if reach != Some(distance) {
                kept.push(mark);
            } else if let Some(last) = kept.last_mut().filter(|last| last.sequence != cursor) {
                // The oldest of each stretch stays, so that marks grow old instead of being renewed.
                *last = mark;
            }
            reach = Some(distance);
        }
        kept.reverse();
        self.marks = kept;
    }
}

/// The file of one receiver.
#[derive(Clone, Debug)]
pub(super) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// The file of a receiver in a data directory.
    pub(super) fn new(data: &Path, name: &str) -> Self {
        Self { path: data.join(DIRECTORY).join(format!("{name}.json")) }
    }

    /// What is remembered; none for a receiver that is new.
    pub(super) fn read(&self) -> io::Result<Option<State>> {
        let mut text = String::new();
        match File::open(&self.path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.named(&error)),
        }
        let state: State = serde_json::from_str(&text).map_err(|error| {
            self.named(&format!(
                "it cannot be read ({error}): put it right, or remove it to begin at the present"
            ))
        })?;
        if state.version != VERSION {
            let text = format!("it has the form {}, and this version reads {VERSION}", state.version);
            return Err(self.named(&text));
        }
        Ok(Some(state))
    }

    /// Writes it down; it is on the disk when this returns.
    pub(super) fn write(&self, state: &State) -> io::Result<()> {
        self.replace(state).map_err(|error| self.named(&error))
    }

    fn replace(&self, state: &State) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        if !directory.exists() {
            fs::create_dir_all(directory)?;
            if let Some(above) = directory.parent() {
                File::open(above)?.sync_all()?;
            }
        }
        let beside = self.path.with_extension("json.new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        let mut text = serde_json::to_vec(state)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        File::open(directory)?.sync_all()
    }

    fn named(&self, error: &dyn std::fmt::Display) -> io::Error {
        io::Error::other(format!("{}: {error}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written_and_a_torn_one_beside_it_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::new(directory.path(), "crm");
        assert_eq!(file.read().unwrap(), None);
        let mut state = State::after(7);
        state.mark("aa".to_owned());
        state.dead.push(Dead {
            sequence: 3,
            kind: "TradeExecuted".to_owned(),
            attempts: 9,
            since: Timestamp::from_nanos(5),
            error: "it answered 500".to_owned(),
        });
        file.write(&state).unwrap();
        fs::write(directory.path().join("webhooks/crm.json.new"), "{\"vers").unwrap();
        assert_eq!(file.read().unwrap(), Some(state.clone()));
        state.position = Position { cursor: 8, within: 4 };
        file.write(&state).unwrap();
        assert_eq!(file.read().unwrap(), Some(state));
        fs::write(directory.path().join("webhooks/crm.json"), "{\"version\":1").unwrap();
        assert!(file.read().unwrap_err().to_string().contains("crm.json"));
    }

    #[test]
    fn marks_are_few_and_reach_back_to_the_beginning() {
        let mut state = State::after(0);
        for sequence in 1..=10_000u64 {
            state.position.cursor = sequence;
            state.mark(sequence.to_string());
        }
        assert!(state.marks.len() <= 40, "{}", state.marks.len());
        assert_eq!(state.marks.last().map(|mark| mark.sequence), Some(10_000));
        for back in [1u64, 10, 100, 1_000, 5_000] {
            let nearest = state
                .marks
                .iter()
                .rev()
                .find(|mark| mark.sequence <= 10_000 - back)
                .map(|mark| mark.sequence);
            assert!(nearest.is_some_and(|at| 10_000 - at <= back * 4 + 4), "{back}: {nearest:?}");
        }
    }
}
