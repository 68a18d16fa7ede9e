//! The key file: read when the ledger is opened, a line added and synced before a key is first used.

use super::JournalError;
use super::shared::{Reading, Shared};
use daybook_schemas::{KeyId, KeyRing};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The name of the key file in the data directory, unless `DAYBOOK_KEYS` says otherwise.
pub(crate) const FILE_NAME: &str = "keys";
/// The most bytes that a key file may have: about half a million keys.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The keys of a ledger and the file that holds them.
pub(crate) struct KeyFile {
    path: PathBuf,
    ring: Shared<KeyRing>,
    writable: bool,
    /// Whether the file's last line has no end: torn by a crash before its key was used, or by a bad copy.
    torn: bool,
}

impl KeyFile {
    /// Reads a key file; one that is not there yet is empty.
    pub(crate) fn open(path: PathBuf, writable: bool) -> Result<Self, JournalError> {
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(JournalError::file(&path, error)),
        }
        if text.len() as u64 > FILE_BYTES_MAX {
            let detail = format!("it is larger than {} MiB, so it is no key file", FILE_BYTES_MAX >> 20);
            return Err(JournalError::KeyFile { path, detail });
        }
        let torn = whole_lines(&text).len() < text.len();
        let ring = KeyRing::parse(whole_lines(&text))
            .map_err(|error| JournalError::KeyFile { path: path.clone(), detail: error.to_string() })?;
        Ok(Self { path, ring: Shared::new(ring), writable, torn })
    }

    /// Keys that no file holds.
    #[cfg(test)]
    pub(crate) fn in_memory(ring: KeyRing) -> Self {
        Self { path: PathBuf::new(), ring: Shared::new(ring), writable: true, torn: false }
    }

    /// Holds the file against the keys that the ledger names. A torn line whose key was in use is refused, because the
    /// next key would be written over what is left of it; keys that are missing otherwise are told of.
    pub(crate) fn compare(&self, named: impl Iterator<Item = KeyId>) -> Result<(), JournalError> {
        let ring = self.ring();
        let missing: BTreeSet<KeyId> = named.filter(|id| !ring.contains(*id)).collect();
        let Some(first) = missing.first() else { return Ok(()) };
        let detail = format!(
            "{} of the keys that the ledger names are not in it ({first} is the first): what they seal cannot be read; put the right file in its place",
            missing.len()
        );
        if self.torn && self.writable {
            let detail = format!("its last line is cut off, and {detail}");
            return Err(JournalError::KeyFile { path: self.path.clone(), detail });
        }
        tracing::warn!("{}: {detail}", self.path.display());
        Ok(())
    }

    /// The keys as they are now.
    pub(crate) fn ring(&self) -> Reading<'_, KeyRing> {
        self.ring.read()
    }

    /// Makes sure that a key exists, drawing it at random if it does not. The file is synced before this returns.
    pub(crate) fn ensure(&self, id: KeyId) -> Result<(), JournalError> {
        if self.ring().contains(id) {
            return Ok(());
        }
        let mut key = [0; 64];
        getrandom::fill(&mut key)
            .map_err(|error| JournalError::Internal(format!("no random bytes: {error}")))?;
        self.insert(&[(id, key)])
    }

    /// Adds keys that do not exist yet. The file is synced before this returns.
    pub(crate) fn insert(&self, keys: &[(KeyId, [u8; 64])]) -> Result<(), JournalError> {
        let mut ring = self.ring.write();
        let new: Vec<_> = keys.iter().filter(|(id, _)| !ring.contains(*id)).collect();
        if new.is_empty() {
            return Ok(());
        }
        if !self.writable {
            return Err(JournalError::ReadOnly);
        }
        let lines: Vec<String> = new.iter().map(|(id, key)| KeyRing::line(*id, key)).collect();
        if !self.path.as_os_str().is_empty() {
            append(&self.path, &lines).map_err(|error| JournalError::file(&self.path, error))?;
        }
        for (id, key) in new {
            ring.insert(*id, *key);
        }
        Ok(())
    }
}

/// The text up to its last line end: what follows was torn off by a crash before its key was ever used.
fn whole_lines(text: &str) -> &str {
    text.rfind('\n').map_or("", |end| &text[..=end])
}

fn append(path: &Path, lines: &[String]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let kept = whole_lines(&io::read_to_string(&file)?).len() as u64;
    file.set_len(kept)?;
    let mut text = String::new();
    if kept == 0 {
        text.push_str(KeyRing::HEADER);
        text.push('\n');
    }
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    if kept == 0
        && let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty())
    {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use daybook_schemas::PortfolioId;

    #[test]
    fn a_line_torn_by_a_crash_is_cut_and_the_keys_before_it_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let id = |byte| KeyId::Portfolio(PortfolioId::from_bytes([byte; 16]));
        KeyFile::open(path.clone(), true).unwrap().ensure(id(1)).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"portfolio-0000").unwrap();
        let file = KeyFile::open(path.clone(), true).unwrap();
        assert!(file.ring().contains(id(1)));
        file.compare(std::iter::once(id(1))).unwrap();
        assert!(matches!(file.compare(std::iter::once(id(9))), Err(JournalError::KeyFile { .. })));
        file.ensure(id(2)).unwrap();
        let ring = KeyFile::open(path, false).unwrap();
        assert!(ring.ring().contains(id(1)) && ring.ring().contains(id(2)));
        assert!(matches!(ring.ensure(id(3)), Err(JournalError::ReadOnly)));
    }
}
