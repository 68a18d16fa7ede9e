//! Writing a sealed segment: gathering commits into stretches and their records into blocks, compressing them, and
//! the footer.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{Block, Builder, RECORDS_MAX};
use super::parts::{write_part, write_tail};
use super::stretch::{BlockEntry, Stretch};
use super::{
    BLOCK_BYTES, BLOCK_MAGIC, BlockHeader, ENTRY_BYTES, ENTRY_HAS_CURSORS, ENTRY_HAS_KEYS, Entry,
    HEADER_BYTES, HEADER_MAGIC, LANES_MAX, LARGE_RECORD_BLOCK_BYTES, LARGE_RECORD_BYTES, SEALED_FORMAT,
    STRETCH_BYTES, STRETCH_MAGIC, STRETCH_RECORDS_MAX, SealedError, TRAILER_BYTES, TRAILER_MAGIC, compress,
    decompress,
};
use crate::disk::{Disk, DiskFile, Mode, beside};
use crate::frame::{Body, CommitTail};
use crate::record::{Content, RecordView};

/// Bytes gathered before they are written to the file.
const WRITE_BYTES: usize = 1024 * 1024;

/// A sealed segment in the making. Dropped before [`Writer::finish`], it leaves only a temporary file, which the
/// next writer of the same segment replaces.
pub(crate) struct Writer<'d> {
    disk: &'d dyn Disk,
    path: PathBuf,
    temporary: PathBuf,
    file: Arc<dyn DiskFile>,
    hasher: blake3::Hasher,
    /// Bytes made but not yet written, and how many were written before them.
    pending: Vec<u8>,
    written: u64,
    first: u64,
    next: u64,
    commit: Commit,
    commits: u64,
    categories: HashMap<Box<str>, u8>,
    lanes: Vec<Lane>,
    stretch: Stretch,
    /// Where the stretch begins in the file, and bytes of its closed blocks before compression.
    stretch_at: u64,
    stretch_raw: usize,
    stretch_commits: u32,
    stretch_flags: u32,
    stretch_recorded_at: i64,
    entries: Vec<Entry>,
    raw: Vec<u8>,
    stored: Vec<u8>,
    read_back: Block,
}

/// The block in progress of one lane.
struct Lane {
    builder: Builder,
    /// Sequences of the block's records.
    sequences: Vec<u64>,
    /// Checksum over the block's records, compared with what the finished block gives back.
    digest: u32,
}

impl Lane {
    fn new() -> Lane {
        Lane { builder: Builder::new(), sequences: Vec::new(), digest: 0 }
    }

    /// Whether the block in progress is better closed than grown by `more` bytes.
    fn is_full(&self, more: usize) -> bool {
        let count = self.builder.count();
        let large_records = self.builder.heap_bytes() >= count * LARGE_RECORD_BYTES;
        let bytes_max = if large_records { LARGE_RECORD_BLOCK_BYTES } else { BLOCK_BYTES };
        count > 0 && (self.builder.estimate() + more > bytes_max || count == RECORDS_MAX)
    }
}

/// The category of a stream: its name up to the first hyphen.
fn category(stream: &str) -> &str {
    stream.split_once('-').map_or(stream, |(category, _)| category)
}

/// The commit in progress.
#[derive(Debug, Default)]
struct Commit {
    /// Its records in stretches that are closed.
    before: u32,
    /// Its records in the stretch in progress.
    here: u32,
    /// Its records still to come.
    after: u32,
    flags: u32,
    tail: Vec<u8>,
}

impl<'d> Writer<'d> {
    /// Begins the segment that will be called `path` and whose first record has the sequence `first`.
    ///
    /// # Errors
    ///
    /// [`SealedError::Io`] if the temporary file cannot be created.
    pub(crate) fn create(disk: &'d dyn Disk, path: &Path, first: u64) -> Result<Writer<'d>, SealedError> {
        let temporary = beside(path);
        let file = disk.remove(&temporary).and_then(|()| disk.open(&temporary, Mode::Create));
        let file = file.map_err(|source| SealedError::Io {
            path: temporary.clone(),
            doing: "create the file of a segment to be sealed",
            source,
        })?;
        let mut writer = Writer {
            disk,
            path: path.to_owned(),
            temporary,
            file,
            hasher: blake3::Hasher::new(),
            pending: Vec::with_capacity(WRITE_BYTES + BLOCK_BYTES),
            written: 0,
            first,
            next: first,
            commit: Commit::default(),
            commits: 0,
            categories: HashMap::new(),
            lanes: Vec::new(),
            stretch: Stretch { first, ..Stretch::default() },
            stretch_at: HEADER_BYTES as u64,
            stretch_raw: 0,
            stretch_commits: 0,
            stretch_flags: 0,
            stretch_recorded_at: 0,
            entries: Vec::new(),
            raw: Vec::new(),
            stored: Vec::new(),
            read_back: Block::default(),
        };
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&HEADER_MAGIC);
        header.extend_from_slice(&SEALED_FORMAT.to_le_bytes());
        header.extend_from_slice(&[0; 6]);
        header.extend_from_slice(&first.to_le_bytes());
        header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        writer.write(&header)?;
        Ok(writer)
    }

    /// Adds the commits and records of a frame's body, which must follow on and hold whole commits.
    ///
    /// # Errors
    ///
    /// [`SealedError::Refused`] if the body does not follow on or cannot be read, [`SealedError::Io`].
    pub(crate) fn push_body(&mut self, body: &Body<'_>) -> Result<(), SealedError> {
        let mut parts = body.parts().iter();
        let mut failed = Ok(());
        let visited = body.visit(body.first_sequence(), body.last_sequence(), |record| {
            if self.commit.after == 0 {
                failed = match parts.next() {
                    Some(part) if part.before == 0 && part.after == 0 => {
                        self.begin_commit(part.records, part.tail.as_ref().unwrap_or(&CommitTail::default()))
                    }
                    _ => Err(self.refused("a frame holds whole commits")),
                };
            }
            if failed.is_ok() {
                failed = self.push(record);
            }
            if failed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        failed?;
        if visited.is_err() {
            return Err(self.refused("its frame cannot be read"));
        }
        Ok(())
    }

    /// Begins the next commit, whose `records` records are pushed next.
    ///
    /// # Errors
    ///
    /// [`SealedError::Refused`] if the commit before is not complete or this one is empty.
    pub(crate) fn begin_commit(&mut self, records: u32, tail: &CommitTail<'_>) -> Result<(), SealedError> {
        if self.commit.after != 0 || records == 0 {
            return Err(self.refused("a commit has as many records as it says, and at least one"));
        }
        self.commit.before = 0;
        self.commit.here = 0;
        self.commit.after = records;
        self.commit.tail.clear();
        write_tail(tail, &mut self.commit.tail);
        self.commit.flags = if tail.key.is_some() { ENTRY_HAS_KEYS } else { 0 }
            | if tail.cursors.is_empty() { 0 } else { ENTRY_HAS_CURSORS };
        Ok(())
    }

    /// Adds the next record of the commit in progress.
    ///
    /// # Errors
    ///
    /// [`SealedError::Refused`] if it is not the next one or belongs to no commit, [`SealedError::Io`].
    pub(crate) fn push(&mut self, record: &RecordView<'_>) -> Result<(), SealedError> {
        if record.sequence != self.next {
            return Err(self.refused("a segment's sequences are dense"));
        }
        if self.commit.after == 0 {
            return Err(self.refused("a record belongs to a commit"));
        }
        let lane = self.lane(category(record.stream));
        let size = record.key.map_or(0, str::len) + record.payload.len();
        if self.lanes[usize::from(lane)].is_full(size) {
            self.close_block(lane)?;
        }
        if self.stretch_raw >= STRETCH_BYTES || self.stretch.count() == STRETCH_RECORDS_MAX {
            self.close_stretch()?;
        }
        if self.stretch.count() == 0 {
            self.stretch_recorded_at = record.recorded_at;
        }
        self.stretch.lanes.push(lane);
        let lane = &mut self.lanes[usize::from(lane)];
        lane.sequences.push(record.sequence);
        lane.digest = digest(lane.digest, record);
        lane.builder.push(record);
        self.next += 1;
        self.commit.here += 1;
        self.commit.after -= 1;
        if self.commit.after == 0 {
            let Commit { before, here, flags, tail, .. } = &self.commit;
            write_part(*here, *before, 0, tail, &mut self.stretch.parts);
            self.stretch_flags |= flags;
            self.stretch_commits += 1;
            self.commits += 1;
            self.commit.here = 0;
        }
        Ok(())
    }

    /// The lane of a category, a new one if it has none and there is one left.
    fn lane(&mut self, category: &str) -> u8 {
        if let Some(lane) = self.categories.get(category) {
            return *lane;
        }
        if self.lanes.len() < LANES_MAX {
            self.lanes.push(Lane::new());
        }
        let lane = u8::try_from(self.lanes.len() - 1).expect("there are few lanes");
        if self.categories.len() < LANES_MAX {
            self.categories.insert(category.into(), lane);
        }
        lane
    }

    /// Writes the footer, syncs the file and gives it its name. When this returns, the segment is durable.
    ///
    /// # Errors
    ///
    /// [`SealedError::Refused`] if the last commit is not complete or there is none, [`SealedError::Io`].
    pub(crate) fn finish(mut self) -> Result<(), SealedError> {
        if self.commit.after != 0 || self.next == self.first {
            return Err(self.refused("a segment holds whole commits, and at least one"));
        }
        self.close_stretch()?;
        let mut footer = Vec::with_capacity(self.entries.len() * ENTRY_BYTES);
        for entry in &self.entries {
            entry.write(&mut footer);
        }
        let offset = self.offset();
        self.write(&footer)?;
        let mut trailer = Vec::with_capacity(TRAILER_BYTES);
        trailer.extend_from_slice(&offset.to_le_bytes());
        let length = u32::try_from(footer.len()).map_err(|_| self.refused("it has too many stretches"))?;
        trailer.extend_from_slice(&length.to_le_bytes());
        trailer.extend_from_slice(&crc32c::crc32c(&footer).to_le_bytes());
        trailer.extend_from_slice(&SEALED_FORMAT.to_le_bytes());
        trailer.extend_from_slice(&[0; 6]);
        trailer.extend_from_slice(&self.first.to_le_bytes());
        trailer.extend_from_slice(&(self.next - 1).to_le_bytes());
        trailer.extend_from_slice(&self.commits.to_le_bytes());
        trailer.extend_from_slice(self.hasher.finalize().as_bytes());
        trailer.extend_from_slice(&crc32c::crc32c(&trailer).to_le_bytes());
        trailer.extend_from_slice(&TRAILER_MAGIC);
        self.write(&trailer)?;
        self.write_pending()?;
        self.file.sync_data().map_err(|source| self.io("sync a sealed segment", source))?;
        let parent = self.path.parent().unwrap_or(Path::new("."));
        self.disk
            .rename(&self.temporary, &self.path)
            .and_then(|()| self.disk.sync_dir(parent))
            .map_err(|source| self.io("give a sealed segment its name", source))
    }

    fn close_block(&mut self, number: u8) -> Result<(), SealedError> {
        let lane = &mut self.lanes[usize::from(number)];
        lane.builder.encode(&mut self.raw);
        let codec = compress(&self.raw, &mut self.stored);
        check_block(codec, &self.raw, &self.stored, lane, &mut self.read_back)?;
        let first = lane.sequences.first().copied().unwrap_or(0);
        let records = lane.builder.count();
        lane.builder.restart();
        lane.sequences.clear();
        lane.digest = 0;
        let offset = self.offset();
        let header = self.write_block(BLOCK_MAGIC, codec, first, records)?;
        self.stretch_raw += header.raw as usize;
        self.stretch.blocks.push(BlockEntry {
            lane: number,
            offset,
            stored: header.bytes(),
            raw: header.raw,
            records: header.records,
        });
        Ok(())
    }

    /// Closes the blocks of all lanes and writes the head that says what lies in them.
    fn close_stretch(&mut self) -> Result<(), SealedError> {
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].builder.count() > 0 {
                self.close_block(u8::try_from(lane).expect("there are few lanes"))?;
            }
        }
        if self.commit.here > 0 {
            let Commit { before, here, after, .. } = self.commit;
            write_part(here, before, after, &[], &mut self.stretch.parts);
            self.commit.before += here;
            self.commit.here = 0;
        }
        let (first, records, head_at) = (self.stretch.first, self.stretch.count(), self.offset());
        let too_large =
            |_| SealedError::Refused { sequence: first, what: "its stretch is larger than 4 GiB" };
        let blocks = u32::try_from(head_at - self.stretch_at).map_err(too_large)?;
        self.stretch.write(&mut self.raw);
        let codec = compress(&self.raw, &mut self.stored);
        let header = self.write_block(STRETCH_MAGIC, codec, first, records)?;
        // As for blocks: what was written must be what is read, while the segment it replaces still exists.
        let (mut back, mut raw) = (Stretch::default(), Vec::new());
        let read = decompress(codec, &self.stored, header.raw as usize, &mut raw).is_ok()
            && back.read(&raw, first, header.records, self.stretch_at, blocks).is_ok();
        if !read || back != self.stretch {
            let what = "the head of its stretch does not give back what went in";
            return Err(SealedError::Refused { sequence: first, what });
        }
        self.entries.push(Entry {
            offset: self.stretch_at,
            blocks,
            stored: header.bytes(),
            raw: header.raw,
            first,
            records: header.records,
            commits: self.stretch_commits,
            flags: self.stretch_flags,
            recorded_at: self.stretch_recorded_at,
        });
        self.stretch.restart(self.next);
        self.stretch_at = self.offset();
        self.stretch_raw = 0;
        self.stretch_commits = 0;
        self.stretch_flags = 0;
        Ok(())
    }

    /// Writes what was compressed from `raw` into `stored`, with its header.
    fn write_block(
        &mut self,
        magic: u32,
        codec: u8,
        first: u64,
        records: usize,
    ) -> Result<BlockHeader, SealedError> {
        let too_large = |_| SealedError::Refused { sequence: first, what: "its block is larger than 4 GiB" };
        let header = BlockHeader {
            magic,
            codec,
            first,
            records: u32::try_from(records).map_err(too_large)?,
            raw: u32::try_from(self.raw.len()).map_err(too_large)?,
            stored: u32::try_from(self.stored.len()).map_err(too_large)?,
        };
        let stored = std::mem::take(&mut self.stored);
        self.write(&header.write(&stored))?;
        self.write(&stored)?;
        self.stored = stored;
        Ok(header)
    }

    fn offset(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SealedError> {
        self.hasher.update(bytes);
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= WRITE_BYTES { self.write_pending() } else { Ok(()) }
    }

    fn write_pending(&mut self) -> Result<(), SealedError> {
        self.file
            .write_all_at(&self.pending, self.written)
            .map_err(|source| self.io("write a sealed segment", source))?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    fn io(&self, doing: &'static str, source: io::Error) -> SealedError {
        SealedError::Io { path: self.temporary.clone(), doing, source }
    }

    fn refused(&self, what: &'static str) -> SealedError {
        SealedError::Refused { sequence: self.next, what }
    }
}

/// Reads a finished block as a reader will and compares it with what went in: the raw segment is deleted on the
/// strength of the sealed one, so a mistake here must show while both exist.
fn check_block(
    codec: u8,
    raw: &[u8],
    stored: &[u8],
    lane: &Lane,
    read_back: &mut Block,
) -> Result<(), SealedError> {
    let sequence = lane.sequences.first().copied().unwrap_or(0);
    let refused =
        |_| SealedError::Refused { sequence, what: "its block does not give back the records that went in" };
    decompress(codec, stored, raw.len(), read_back.buffer()).map_err(|_| refused(()))?;
    read_back.parse(lane.builder.count()).map_err(|_| refused(()))?;
    let (mut back, mut heap) = (0, 0);
    for (position, sequence) in lane.sequences.iter().enumerate() {
        let (view, next) = read_back.view(*sequence, position, heap).map_err(|_| refused(()))?;
        back = digest(back, &view);
        heap = next;
    }
    if back == lane.digest { Ok(()) } else { Err(refused(())) }
}

/// A checksum over everything that a record's canonical bytes are made of.
fn digest(before: u32, record: &RecordView<'_>) -> u32 {
    let mut head = [0u8; 64];
    let lengths = (record.stream.len() << 32) ^ (record.actor.len() << 16) ^ record.source.len();
    let (key, kind) = (record.key.unwrap_or_default(), u64::from(record.type_id) << 32);
    let kind = kind | u64::from(record.schema_version) << 16 | u64::from(record.codec) << 8;
    let kind = kind | u64::from(record.key.is_some()) | u64::from(record.import.is_some()) << 1;
    let kind = kind | u64::from(record.correlation.is_some()) << 2;
    head[0..8].copy_from_slice(&record.sequence.to_le_bytes());
    head[8..16].copy_from_slice(&record.version.to_le_bytes());
    head[16..24].copy_from_slice(&record.occurred_at.to_le_bytes());
    head[24..32].copy_from_slice(&record.recorded_at.to_le_bytes());
    head[32..40].copy_from_slice(&kind.to_le_bytes());
    head[40..48].copy_from_slice(&(lengths as u64).to_le_bytes());
    head[48..56].copy_from_slice(&(key.len() as u64).to_le_bytes());
    head[56..64].copy_from_slice(&(record.payload.len() as u64).to_le_bytes());
    let mut crc = crc32c::crc32c_append(before, &head);
    for text in [record.stream, record.actor, record.source, key] {
        crc = crc32c::crc32c_append(crc, text.as_bytes());
    }
    match record.content {
        Content::Stored(hash) => crc = crc32c::crc32c_append(crc32c::crc32c_append(crc, b"S"), hash),
        Content::Derived => crc = crc32c::crc32c_append(crc, b"D"),
    }
    for id in [record.import, record.correlation].into_iter().flatten() {
        crc = crc32c::crc32c_append(crc, id);
    }
    crc32c::crc32c_append(crc, record.payload)
}
