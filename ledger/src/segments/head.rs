//! The recorded head: what a closing (or a new segment) says the log held, so that losing it is noticed.
//!
//! Two slots in a file that never grows are written in turn, so that one is whole whatever happens to the
//! other, and a full disk does not matter.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::bytes::Reader;
use crate::disk::{Disk, DiskFile, Mode, read_file, replace_file};
use crate::store::{Fault, ReadError};

/// The file's name.
pub(crate) const HEAD: &str = "HEAD";
const SLOT_BYTES: u64 = 4_096;
const SLOT_USED: usize = 45;
const MAGIC: [u8; 8] = *b"DBHEAD\0\x01";

/// What a slot says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// How often the file was written.
    turn: u64,
    /// A sequence that was durable then.
    pub(crate) head: u64,
    /// Of the segment that was written last, its generation and where its frames ended; 0 unless closed
    /// cleanly.
    pub(crate) generation: u64,
    pub(crate) end: u64,
    /// Whether this was written by a clean close.
    pub(crate) clean: bool,
}

impl Recorded {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SLOT_USED);
        out.extend_from_slice(&MAGIC);
        for value in [self.turn, self.head, self.generation, self.end] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.push(u8::from(self.clean));
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    fn parse(bytes: &[u8]) -> Option<Recorded> {
        let used = bytes.get(..SLOT_USED)?;
        let mut reader = Reader::new(used);
        if *reader.array::<8>().ok()? != MAGIC {
            return None;
        }
        let mut next = || reader.u64().ok();
        let (turn, head, generation, end) = (next()?, next()?, next()?, next()?);
        let clean = reader.u8().ok()?;
        let crc = reader.u32().ok()?;
        if crc32c::crc32c(&used[..SLOT_USED - 4]) != crc || clean > 1 {
            return None;
        }
        Some(Recorded { turn, head, generation, end, clean: clean == 1 })
    }
}

/// The open file.
pub(crate) struct HeadFile {
    file: Arc<dyn DiskFile>,
    last: Recorded,
}

/// What the file says: the slot written last, or nothing if there is no file or no whole slot.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> io::Result<Option<Recorded>> {
    let file = match disk.open(&dir.join(HEAD), Mode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut best: Option<Recorded> = None;
    for slot in 0..2 {
        let mut bytes = [0; SLOT_USED];
        let len = file.read_at(&mut bytes, slot * SLOT_BYTES)?;
        if let Some(found) = Recorded::parse(&bytes[..len])
            && best.is_none_or(|best| found.turn > best.turn)
        {
            best = Some(found);
        }
    }
    Ok(best)
}

/// Reads every byte of the file: whole slots, one of which may never have been written, and zeros. A slot lies
/// within one sector, so that a power failure does not leave half of one. Without the file nobody can tell whether
/// events are missing behind the last one, `found`.
pub(crate) fn check(disk: &dyn Disk, dir: &Path, found: u64) -> Result<(), ReadError> {
    let path = dir.join(HEAD);
    let bytes = match read_file(disk, &path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && found == 0 => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = "the record of the last head is missing, so that events missing at the end would not be noticed";
            return Err(Fault { sequence: found + 1, file: path, offset: 0, what: what.to_owned() }.into());
        }
        read => read?,
    };
    for slot in 0..2 {
        let start = usize::try_from(slot * SLOT_BYTES).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(SLOT_BYTES).unwrap_or(usize::MAX));
        let whole = bytes.get(start..end);
        let sound = whole.is_some_and(|whole| {
            let unused = if Recorded::parse(whole).is_some() { SLOT_USED } else { 0 };
            whole[unused..].iter().all(|byte| *byte == 0)
        });
        if !sound {
            let what = "the record of the last head is damaged".to_owned();
            return Err(Fault { sequence: 1, file: path, offset: slot * SLOT_BYTES, what }.into());
        }
    }
    Ok(())
}

impl HeadFile {
    /// Opens the file for writing, creating it if need be.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path) -> io::Result<HeadFile> {
        let last = read(disk, dir)?;
        let path = dir.join(HEAD);
        if last.is_none() {
            let bytes = usize::try_from(2 * SLOT_BYTES).unwrap_or(usize::MAX);
            replace_file(disk, &path, &vec![0; bytes])?;
        }
        Ok(HeadFile { file: disk.open(&path, Mode::Write)?, last: last.unwrap_or_default() })
    }

    /// Records a durable head, durably.
    pub(crate) fn record(&mut self, head: u64, closed: Option<(u64, u64)>) -> io::Result<()> {
        let (generation, end) = closed.unwrap_or_default();
        let next = Recorded { turn: self.last.turn + 1, head, generation, end, clean: closed.is_some() };
        self.file.write_all_at(&next.encode(), (next.turn % 2) * SLOT_BYTES)?;
        self.file.sync_data()?;
        self.last = next;
        Ok(())
    }
}
