//! Writing a sealed segment: gathering commits into blocks, compressing them, and the footer.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{Block, Builder, RECORDS_MAX};
use super::parts::{write_part, write_tail};
use super::{
    BLOCK_BYTES, BLOCK_HEADER_BYTES, BlockHeader, CODEC_LZ4, CODEC_NONE, ENTRY_BYTES, ENTRY_HAS_CURSORS,
    ENTRY_HAS_KEYS, Entry, HEADER_BYTES, HEADER_MAGIC, LARGE_RECORD_BLOCK_BYTES, LARGE_RECORD_BYTES,
    SEALED_FORMAT, SealedError, TRAILER_BYTES, TRAILER_MAGIC,
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
    builder: Builder,
    /// Checksum over the records of the block in progress, compared with what the finished block gives back.
    digest: u32,
    block_commits: u32,
    block_flags: u32,
    block_recorded_at: i64,
    entries: Vec<Entry>,
    raw: Vec<u8>,
    stored: Vec<u8>,
    read_back: Block,
}

/// The commit in progress.
#[derive(Debug, Default)]
struct Commit {
    /// Its records in blocks that are closed.
    before: u32,
    /// Its records in the block in progress.
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
            builder: Builder::new(first),
            digest: 0,
            block_commits: 0,
            block_flags: 0,
            block_recorded_at: 0,
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
        let tail = if self.commit.after == 1 { self.commit.tail.len() } else { 0 };
        let size = record.key.map_or(0, str::len) + record.payload.len() + tail;
        if self.builder.count() > 0 && self.is_full(size) {
            self.close_block()?;
        }
        if self.builder.count() == 0 {
            self.block_recorded_at = record.recorded_at;
        }
        self.digest = digest(self.digest, record);
        self.builder.push(record);
        self.next += 1;
        self.commit.here += 1;
        self.commit.after -= 1;
        if self.commit.after == 0 {
            let Commit { before, here, flags, tail, .. } = &self.commit;
            write_part(*here, *before, 0, tail, self.builder.parts());
            self.block_flags |= flags;
            self.block_commits += 1;
            self.commits += 1;
            self.commit.here = 0;
        }
        Ok(())
    }

    /// Whether the block in progress is better closed than grown by `more` bytes.
    fn is_full(&self, more: usize) -> bool {
        let count = self.builder.count();
        let large_records = self.builder.heap_bytes() >= count * LARGE_RECORD_BYTES;
        let bytes_max = if large_records { LARGE_RECORD_BLOCK_BYTES } else { BLOCK_BYTES };
        self.builder.estimate() + more > bytes_max || count == RECORDS_MAX
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
        self.close_block()?;
        let mut footer = Vec::with_capacity(self.entries.len() * ENTRY_BYTES);
        for entry in &self.entries {
            entry.write(&mut footer);
        }
        let offset = self.offset();
        self.write(&footer)?;
        let mut trailer = Vec::with_capacity(TRAILER_BYTES);
        trailer.extend_from_slice(&offset.to_le_bytes());
        let length = u32::try_from(footer.len()).map_err(|_| self.refused("it has too many blocks"))?;
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

    fn close_block(&mut self) -> Result<(), SealedError> {
        let first = self.builder.first();
        if self.commit.here > 0 {
            let Commit { before, here, after, .. } = self.commit;
            write_part(here, before, after, &[], self.builder.parts());
            self.commit.before += here;
            self.commit.here = 0;
        }
        self.builder.encode(&mut self.raw);
        self.stored.resize(lz4_flex::block::get_maximum_output_size(self.raw.len()), 0);
        let length = lz4_flex::block::compress_into(&self.raw, &mut self.stored)
            .map_err(|_| self.refused("its block does not compress into the room for it"))?;
        // A block that shrinks by less than a sixteenth is not worth decompressing at every read.
        let codec = if length + self.raw.len() / 16 < self.raw.len() {
            self.stored.truncate(length);
            CODEC_LZ4
        } else {
            self.stored.clear();
            self.stored.extend_from_slice(&self.raw);
            CODEC_NONE
        };
        self.check_block(codec)?;
        let too_large = |_| SealedError::Refused { sequence: first, what: "its block is larger than 4 GiB" };
        let header = BlockHeader {
            codec,
            first,
            records: u32::try_from(self.builder.count()).map_err(too_large)?,
            raw: u32::try_from(self.raw.len()).map_err(too_large)?,
            stored: u32::try_from(self.stored.len()).map_err(too_large)?,
        };
        let stored_bytes = self.stored.len() + BLOCK_HEADER_BYTES;
        self.entries.push(Entry {
            offset: self.offset(),
            stored: u32::try_from(stored_bytes).map_err(too_large)?,
            raw: header.raw,
            first,
            records: header.records,
            commits: self.block_commits,
            flags: self.block_flags,
            recorded_at: self.block_recorded_at,
        });
        let stored = std::mem::take(&mut self.stored);
        self.write(&header.write(&stored))?;
        self.write(&stored)?;
        self.stored = stored;
        self.builder.restart(self.next);
        self.digest = 0;
        self.block_commits = 0;
        self.block_flags = 0;
        Ok(())
    }

    /// Reads the finished block as a reader will and compares it with what went in: the raw segment is deleted on
    /// the strength of the sealed one, so a mistake here must show while both exist.
    fn check_block(&mut self, codec: u8) -> Result<(), SealedError> {
        let first = self.builder.first();
        let refused = |what| SealedError::Refused { sequence: first, what };
        let buffer = self.read_back.buffer();
        if codec == CODEC_NONE {
            buffer.clone_from(&self.stored);
        } else {
            buffer.resize(self.raw.len(), 0);
            let length = lz4_flex::block::decompress_into(&self.stored, buffer)
                .map_err(|_| refused("its block does not decompress"))?;
            buffer.truncate(length);
        }
        let unlike = "its block does not give back the records that went in";
        self.read_back.parse(first, self.builder.count()).map_err(|_| refused(unlike))?;
        let (mut back, mut heap) = (0, 0);
        for position in 0..self.builder.count() {
            let (view, next) = self.read_back.view(position, heap).map_err(|_| refused(unlike))?;
            back = digest(back, &view);
            heap = next;
        }
        if back != self.digest || self.read_back.part_bytes() != self.builder.parts().as_slice() {
            return Err(refused(unlike));
        }
        Ok(())
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
