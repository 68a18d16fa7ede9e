//! What is dropped into a folder: which of its files may be taken, which are still written, and which were dealt with.
//! What lies in a folder is its owner's: nothing is moved, renamed or deleted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The largest file that is imported, in bytes.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// The most files of a folder that are looked at.
const FILES_MAX: usize = 10_000;
/// What programs call a file while they still write it.
const UNFINISHED: [&str; 5] = ["part", "partial", "crdownload", "download", "tmp"];
/// How long a table whose last line has no end is taken for one that is still written.
const BROKEN_OFF: Duration = Duration::from_secs(60);

/// How a file looked: it is whole once it looks the same twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Look {
    bytes: u64,
    changed: Option<SystemTime>,
}

/// Which files of a folder are meant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// The key of the configuration that names the folder, for a message.
    pub(crate) key: &'static str,
    /// Whether they are tables, which end with the end of a line.
    pub(crate) tables: bool,
    /// How their names end; any way, where none is said.
    pub(crate) ending: Option<&'static str>,
}

/// What one look into a folder found.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// Files that lie there and cannot be taken, and why; those of earlier looks among them.
    pub(crate) refused: BTreeMap<String, String>,
    /// The names of those that were refused just now.
    pub(crate) fresh: Vec<String>,
    /// The names of files that may still be written.
    pub(crate) unfinished: Vec<String>,
}

/// What is done with a file, by its name and its content: what is wrong with it, if anything is.
///
/// It fails where nothing can be taken now, whatever the file.
type Take<'t> = dyn FnMut(&str, &[u8]) -> Result<Option<String>, String> + 't;

/// A folder, and what was seen in it.
#[derive(Debug)]
pub(crate) struct Dropped {
    path: PathBuf,
    kind: Kind,
    seen: BTreeMap<PathBuf, Look>,
    /// Files that were dealt with, as they looked then, and what was wrong with them.
    dealt_with: BTreeMap<PathBuf, (Look, Option<String>)>,
}

impl Dropped {
    /// A folder that nobody looked into yet.
    pub(crate) const fn new(path: PathBuf, kind: Kind) -> Self {
        Self { path, kind, seen: BTreeMap::new(), dealt_with: BTreeMap::new() }
    }

    /// Looks into the folder and hands over what is whole, by name and content; `take` says what is wrong with it. With
    /// `at_once` files are taken as they are, unless they break off in the middle of a line.
    ///
    /// # Errors
    /// That the folder cannot be read, or why nothing can be taken now.
    pub(crate) fn gather(&mut self, at_once: bool, take: &mut Take<'_>) -> Result<Found, String> {
        let files = self.files()?;
        let (mut found, mut seen) = (Found::default(), BTreeMap::new());
        self.dealt_with.retain(|path, _| files.iter().any(|(there, _)| there == path));
        for (path, look) in files {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if let Some((before, refusal)) = self.dealt_with.get(&path)
                && *before == look
            {
                found.refused.extend(refusal.clone().map(|why| (name, why)));
                continue;
            }
            let settled = at_once || self.seen.get(&path) == Some(&look);
            if !settled || self.kind.tables && breaks_off(&path, look) {
                found.unfinished.push(name);
                seen.insert(path, look);
                continue;
            }
            let refusal = match read(&path, &name, look) {
                Ok(bytes) => take(&name, &bytes)?,
                Err(why) => Some(why),
            };
            if let Some(why) = &refusal {
                found.fresh.push(name.clone());
                found.refused.insert(name, why.clone());
            }
            self.dealt_with.insert(path, (look, refusal));
        }
        self.seen = seen;
        Ok(found)
    }

    /// The files that may be meant, by name.
    fn files(&self) -> Result<Vec<(PathBuf, Look)>, String> {
        let unreadable = |error: std::io::Error| {
            let (path, key) = (self.path.display(), self.kind.key);
            format!("{path} cannot be read: {error}; create it, or correct {key}")
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if !self.may_be_meant(&path) {
                continue;
            }
            // What went away in between is looked for the next time; a link may lead out of the folder, to what nobody
            // dropped here.
            if let Ok(meta) = std::fs::symlink_metadata(&path)
                && meta.is_file()
            {
                files.push((path, Look { bytes: meta.len(), changed: meta.modified().ok() }));
            }
        }
        if files.len() > FILES_MAX {
            return Err(format!(
                "{} holds {} files, of which {FILES_MAX} at most are looked at: move away those that are imported",
                self.path.display(),
                files.len()
            ));
        }
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(files)
    }

    fn may_be_meant(&self, path: &Path) -> bool {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let ends_in = |ending: &str| path.extension().is_some_and(|end| end.eq_ignore_ascii_case(ending));
        let unfinished = UNFINISHED.into_iter().any(ends_in);
        !name.starts_with('.') && !name.ends_with('~') && !unfinished && self.kind.ending.is_none_or(ends_in)
    }
}

/// What is said of a file that was not taken because it may still be written.
pub(crate) fn unfinished(name: &str) -> String {
    format!(
        "{name}: it ends in the middle of a line and was written to less than {} s ago: end its last line, or come again when it is whole",
        BROKEN_OFF.as_secs()
    )
}

/// Whether a table ends in the middle of a line and was written to a moment ago: the line may be half a row, and half a
/// number is a number too.
fn breaks_off(path: &Path, look: Look) -> bool {
    let age = look.changed.and_then(|changed| changed.elapsed().ok());
    if age.is_none_or(|age| age >= BROKEN_OFF) {
        return false;
    }
    let mut last = [b'\n'];
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)
    });
    read.is_ok() && last != [b'\n']
}

fn read(path: &Path, name: &str, look: Look) -> Result<Vec<u8>, String> {
    if look.bytes > FILE_BYTES_MAX {
        return Err(format!("{name}: it has more than {} MB: split it", FILE_BYTES_MAX >> 20));
    }
    std::fs::read(path).map_err(|error| format!("{name}: it cannot be read: {error}"))
}
