//! Reading a sealed segment: one record, a range of records, its commits, or every byte of it.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{Block, Malformed};
use super::cache::BlockCache;
use super::parts::Parts;
use super::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, BlockHeader, CODEC_LZ4, CODEC_NONE, ENTRY_BYTES, ENTRY_HAS_CURSORS,
    ENTRY_HAS_KEYS, Entry, HEADER_BYTES, HEADER_MAGIC, SEALED_FORMAT, SealedError, TRAILER_BYTES,
    TRAILER_MAGIC,
};
use crate::bytes::{Reader, Short};
use crate::disk::{Disk, DiskFile, Mode, read_exact_at};
use crate::frame::{Body, BodyBuilder, BodyError, CommitPart};
use crate::record::RecordView;

/// An open sealed segment. Holds the footer in memory: 44 bytes for each block.
pub(crate) struct Sealed {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    pub(super) entries: Vec<Entry>,
    first: u64,
    last: u64,
    commits: u64,
    content_hash: [u8; 32],
    bytes: u64,
    footer_at: u64,
}

/// The memory that reading block after block needs, kept from one to the next.
#[derive(Debug, Default)]
struct Buffers {
    stored: Vec<u8>,
    block: Block,
}

impl Sealed {
    /// Opens the segment at `path`: reads and checks its header, trailer and footer, not its blocks.
    ///
    /// # Errors
    ///
    /// [`SealedError::Io`], [`SealedError::Format`], or [`SealedError::Damaged`] if one of the three does not hold.
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<Sealed, SealedError> {
        let io = |doing, source| SealedError::Io { path: path.to_owned(), doing, source };
        let file = disk.open(path, Mode::Read).map_err(|source| io("open a sealed segment", source))?;
        let bytes = file.size().map_err(|source| io("read the size of a sealed segment", source))?;
        let damaged =
            |offset, what| SealedError::Damaged { path: path.to_owned(), offset, first: 0, last: 0, what };
        let least = (HEADER_BYTES + ENTRY_BYTES + TRAILER_BYTES) as u64;
        if bytes < least {
            return Err(damaged(bytes, "the file is shorter than a header, a block and a trailer"));
        }

        let mut header = [0; HEADER_BYTES];
        read_exact_at(&*file, &mut header, 0)
            .map_err(|source| io("read a sealed segment's header", source))?;
        if header[..8] != HEADER_MAGIC {
            return Err(damaged(0, "it does not begin as a sealed segment does"));
        }
        let mut reader = Reader::new(&header[8..]);
        let short = |_: Short| damaged(0, "the header ends early");
        let found = reader.u16().map_err(short)?;
        let reserved = *reader.array::<6>().map_err(short)?;
        let header_first = reader.u64().map_err(short)?;
        if reader.u32().map_err(short)? != crc32c::crc32c(&header[..HEADER_BYTES - 4]) {
            return Err(damaged(0, "the header's checksum does not match"));
        }
        if found != SEALED_FORMAT {
            return Err(SealedError::Format { path: path.to_owned(), found });
        }
        if reserved != [0; 6] {
            return Err(damaged(0, "the header's reserved bytes are not zero"));
        }

        let mut trailer = [0; TRAILER_BYTES];
        let at = bytes - TRAILER_BYTES as u64;
        read_exact_at(&*file, &mut trailer, at)
            .map_err(|source| io("read a sealed segment's trailer", source))?;
        if trailer[TRAILER_BYTES - 8..] != TRAILER_MAGIC {
            return Err(damaged(at, "it does not end as a sealed segment does: it was cut or added to"));
        }
        let short = |_: Short| damaged(at, "the trailer ends early");
        let mut reader = Reader::new(&trailer);
        let footer_at = reader.u64().map_err(short)?;
        let footer_length = reader.u32().map_err(short)?;
        let footer_crc = reader.u32().map_err(short)?;
        let format = reader.u16().map_err(short)?;
        let reserved = *reader.array::<6>().map_err(short)?;
        let (first, last) = (reader.u64().map_err(short)?, reader.u64().map_err(short)?);
        let commits = reader.u64().map_err(short)?;
        let content_hash = *reader.array::<32>().map_err(short)?;
        if reader.u32().map_err(short)? != crc32c::crc32c(&trailer[..TRAILER_BYTES - 12]) {
            return Err(damaged(at, "the trailer's checksum does not match"));
        }
        if format != SEALED_FORMAT
            || reserved != [0; 6]
            || first != header_first
            || first == 0
            || last < first
        {
            return Err(damaged(at, "the trailer contradicts the header"));
        }
        if footer_at.checked_add(u64::from(footer_length)) != Some(at) || footer_length == 0 {
            return Err(damaged(at, "the footer does not lie before the trailer"));
        }

        let damaged =
            |offset, what| SealedError::Damaged { path: path.to_owned(), offset, first, last, what };
        let mut footer = vec![0; footer_length as usize];
        read_exact_at(&*file, &mut footer, footer_at)
            .map_err(|source| io("read a sealed segment's footer", source))?;
        if footer_crc != crc32c::crc32c(&footer) {
            return Err(damaged(footer_at, "the footer's checksum does not match"));
        }
        let mut entries = Vec::with_capacity(footer.len() / ENTRY_BYTES);
        let mut reader = Reader::new(&footer);
        let (mut offset, mut next, mut counted) = (HEADER_BYTES as u64, first, 0u64);
        while reader.left() > 0 {
            let entry = Entry::read(&mut reader).map_err(|_| damaged(footer_at, "the footer ends early"))?;
            let sizes = entry.stored as usize >= BLOCK_HEADER_BYTES
                && entry.stored as usize <= BLOCK_BYTES_MAX
                && entry.raw as usize <= BLOCK_BYTES_MAX;
            if entry.offset != offset || entry.first != next || entry.records == 0 || !sizes {
                return Err(damaged(footer_at, "the footer's blocks do not follow one another"));
            }
            if entry.flags & !(ENTRY_HAS_KEYS | ENTRY_HAS_CURSORS) != 0 {
                return Err(damaged(footer_at, "the footer has a flag that no writer sets"));
            }
            let end = (offset.checked_add(entry.stored.into()), next.checked_add(entry.records.into()));
            let (Some(end), Some(after)) = end else {
                return Err(damaged(footer_at, "the footer's blocks do not add up to the segment"));
            };
            (offset, next) = (end, after);
            counted += u64::from(entry.commits);
            entries.push(entry);
        }
        if offset != footer_at || next.checked_sub(1) != Some(last) || counted != commits {
            return Err(damaged(footer_at, "the footer's blocks do not add up to the segment"));
        }
        Ok(Sealed {
            path: path.to_owned(),
            file,
            entries,
            first,
            last,
            commits,
            content_hash,
            bytes,
            footer_at,
        })
    }

    /// First sequence.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Last sequence.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Number of commits.
    #[cfg(test)]
    pub(crate) fn commit_count(&self) -> u64 {
        self.commits
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Shows the records from `from` to `to`, both included, in order, as far as they lie in this segment.
    ///
    /// # Errors
    ///
    /// [`SealedError::Io`], or [`SealedError::Damaged`] naming the block's sequences.
    pub(crate) fn scan(
        &self,
        from: u64,
        to: u64,
        visit: &mut dyn FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, SealedError> {
        let mut buffers = Buffers::default();
        let start = self.entries.partition_point(|entry| entry.last() < from);
        for entry in self.entries[start..].iter().take_while(|entry| entry.first <= to) {
            self.load(entry, &mut buffers.stored, &mut buffers.block)?;
            let block = &buffers.block;
            let malformed = |what: Malformed| self.malformed(entry, what);
            let skip =
                usize::try_from(from.saturating_sub(entry.first)).unwrap_or(usize::MAX).min(block.count());
            let mut heap = block.heap_offset(skip).map_err(malformed)?;
            for position in skip..block.count() {
                let (view, next) = block.view(position, heap).map_err(malformed)?;
                if view.sequence > to {
                    return Ok(ControlFlow::Continue(()));
                }
                heap = next;
                if visit(&view).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Shows one record; `None` if it lies in another segment. Only its block is read, and only its own part of
    /// the block looked at.
    ///
    /// # Errors
    ///
    /// [`SealedError::Io`], or [`SealedError::Damaged`] naming the block's sequences.
    pub(crate) fn get<R>(
        &self,
        sequence: u64,
        cache: &BlockCache,
        show: impl FnOnce(&RecordView<'_>) -> R,
    ) -> Result<Option<R>, SealedError> {
        let Some(entry) = self.entry_of(sequence) else { return Ok(None) };
        let block = self.block(entry, cache)?;
        let malformed = |what| self.malformed(entry, what);
        let position = usize::try_from(sequence - entry.first).unwrap_or(usize::MAX);
        let heap = block.heap_offset(position).map_err(malformed)?;
        let (view, _) = block.view(position, heap).map_err(malformed)?;
        Ok(Some(show(&view)))
    }

    /// Gives the records from the block that holds `from` to the one that holds `to`, block by block, each as a
    /// body with the parts of the commits in it. Slower than [`Sealed::scan`] by an encoding of every record.
    ///
    /// # Errors
    ///
    /// [`SealedError::Io`], or [`SealedError::Damaged`] naming the block's sequences.
    pub(crate) fn bodies(
        &self,
        from: u64,
        to: u64,
        visit: &mut dyn FnMut(&Body<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, SealedError> {
        let mut buffers = Buffers::default();
        let (mut builder, mut bytes) = (BodyBuilder::new(self.first), Vec::new());
        let start = self.entries.partition_point(|entry| entry.last() < from);
        for entry in self.entries[start..].iter().take_while(|entry| entry.first <= to) {
            self.load(entry, &mut buffers.stored, &mut buffers.block)?;
            let block = &buffers.block;
            let malformed = |what: Malformed| self.malformed(entry, what);
            let unfit = |_: BodyError| self.damaged(entry, "a record does not follow on in its stream");
            builder.reset(entry.first);
            let mut parts = Parts::new(entry.first, block.part_bytes());
            let (mut position, mut heap) = (0, 0);
            while let Some((_, part)) = parts.next().map_err(|short| malformed(short.into()))? {
                let mut recorded_at = 0;
                for _ in 0..part.records {
                    let (view, next) = block.view(position, heap).map_err(malformed)?;
                    builder.push(&view).map_err(unfit)?;
                    recorded_at = view.recorded_at;
                    position += 1;
                    heap = next;
                }
                builder.end_part(part.before, part.after, recorded_at, &part.tail.unwrap_or_default());
            }
            if position != block.count() {
                return Err(self.damaged(entry, "it holds records of no commit"));
            }
            bytes.clear();
            builder.encode(&mut bytes);
            let body = Body::parse(&bytes).map_err(unfit)?;
            if visit(&body).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Shows the part of a commit that holds `sequence`, with the sequence of the part's first record; `None` if
    /// it lies in another segment.
    ///
    /// # Errors
    ///
    /// [`SealedError::Io`], or [`SealedError::Damaged`] naming the block's sequences.
    pub(crate) fn part_of<R>(
        &self,
        sequence: u64,
        cache: &BlockCache,
        show: impl FnOnce(u64, &CommitPart<'_>) -> R,
    ) -> Result<Option<R>, SealedError> {
        let Some(entry) = self.entry_of(sequence) else { return Ok(None) };
        let block = self.block(entry, cache)?;
        let malformed = |what: Malformed| self.malformed(entry, what);
        let mut parts = Parts::new(entry.first, block.part_bytes());
        while let Some((first, mut part)) = parts.next().map_err(|short| malformed(short.into()))? {
            if sequence >= first + u64::from(part.records) {
                continue;
            }
            let position = usize::try_from(first - entry.first).unwrap_or(usize::MAX);
            let heap = block.heap_offset(position).map_err(malformed)?;
            part.recorded_at = block.view(position, heap).map_err(malformed)?.0.recorded_at;
            return Ok(Some(show(first, &part)));
        }
        Err(self.damaged(entry, "no commit holds its records"))
    }

    /// Reads every byte and checks every checksum, the content hash, that every record can be read and that the
    /// commits cover the records exactly. Nothing is changed.
    ///
    /// # Errors
    ///
    /// The first thing that does not hold, with its sequences and its place in the file.
    pub(crate) fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<(), SealedError> {
        let mut hasher = blake3::Hasher::new();
        let mut buffers = Buffers::default();
        let mut header = [0; HEADER_BYTES];
        self.read(0, &mut header)?;
        hasher.update(&header);
        // Of the commit that the block before did not end: its records so far, and those still to come.
        let (mut had, mut owed) = (0, 0);
        let mut commits = 0;
        for entry in &self.entries {
            self.load(entry, &mut buffers.stored, &mut buffers.block)?;
            hasher.update(&buffers.stored);
            let block = &buffers.block;
            let malformed = |what: Malformed| self.malformed(entry, what);
            let mut heap = 0;
            for position in 0..block.count() {
                if block.heap_offset(position).map_err(malformed)? != heap {
                    return Err(self.damaged(entry, "a stored offset is not where the record begins"));
                }
                let (view, next) = block.view(position, heap).map_err(malformed)?;
                if position == 0 && view.recorded_at != entry.recorded_at {
                    return Err(self.damaged(entry, "the footer states another time than the block"));
                }
                heap = next;
            }
            if heap != block.heap_bytes() {
                return Err(self.damaged(entry, "the records do not fill the block"));
            }
            let (mut count, mut flags) = (0, 0);
            let mut parts = Parts::new(entry.first, block.part_bytes());
            let mut next = entry.first;
            while let Some((first, part)) = parts.next().map_err(|short| malformed(short.into()))? {
                let follows = match owed {
                    0 => part.before == 0,
                    _ => part.before == had && part.records + part.after == owed,
                };
                if !follows || (part.after > 0 && first + u64::from(part.records) <= entry.last()) {
                    return Err(self.damaged(entry, "its commits do not follow one another"));
                }
                had = part.before + part.records;
                owed = part.after;
                next = first + u64::from(part.records);
                if let Some(tail) = part.tail {
                    count += 1;
                    flags |= tail.key.map_or(0, |_| ENTRY_HAS_KEYS);
                    flags |= if tail.cursors.is_empty() { 0 } else { ENTRY_HAS_CURSORS };
                }
            }
            if count != entry.commits || flags != entry.flags {
                return Err(self.damaged(entry, "the footer lists other commits than the block"));
            }
            if next != entry.last() + 1 {
                return Err(self.damaged(entry, "its commits do not hold exactly its records"));
            }
            commits += u64::from(entry.commits);
            progress(u64::from(entry.stored));
        }
        if owed != 0 {
            return Err(self.damaged_at(self.footer_at, "the last commit is not whole"));
        }
        if commits != self.commits {
            return Err(self.damaged_at(self.footer_at, "the trailer counts other commits than there are"));
        }
        let length = self.bytes - TRAILER_BYTES as u64 - self.footer_at;
        buffers.stored.resize(usize::try_from(length).unwrap_or(0), 0);
        self.read(self.footer_at, &mut buffers.stored)?;
        hasher.update(&buffers.stored);
        if *hasher.finalize().as_bytes() != self.content_hash {
            return Err(self.damaged_at(0, "the file's hash is not the one its trailer states"));
        }
        Ok(())
    }

    fn entry_of(&self, sequence: u64) -> Option<&Entry> {
        let at = self.entries.partition_point(|entry| entry.last() < sequence);
        self.entries.get(at).filter(|entry| entry.first <= sequence)
    }

    fn block(&self, entry: &Entry, cache: &BlockCache) -> Result<Arc<Block>, SealedError> {
        let name = (self.first, entry.first);
        if let Some(block) = cache.get(name) {
            return Ok(block);
        }
        let mut stored = Vec::new();
        let mut block = Block::default();
        self.load(entry, &mut stored, &mut block)?;
        let block = Arc::new(block);
        cache.keep(name, &block);
        Ok(block)
    }

    fn load(&self, entry: &Entry, stored: &mut Vec<u8>, block: &mut Block) -> Result<(), SealedError> {
        stored.resize(entry.stored as usize, 0);
        self.read_of(entry, stored)?;
        let (header, compressed) = BlockHeader::read(stored).map_err(|what| self.damaged(entry, what))?;
        if header.first != entry.first || header.records != entry.records || header.raw != entry.raw {
            return Err(self.damaged(entry, "it is another block than the footer says"));
        }
        let buffer = block.buffer();
        match header.codec {
            CODEC_NONE => {
                buffer.clear();
                buffer.extend_from_slice(compressed);
            }
            CODEC_LZ4 => {
                buffer.resize(header.raw as usize, 0);
                let length = lz4_flex::block::decompress_into(compressed, buffer)
                    .map_err(|_| self.damaged(entry, "it does not decompress"))?;
                buffer.truncate(length);
            }
            _ => return Err(self.damaged(entry, "it is compressed in a way this build does not know")),
        }
        if buffer.len() != header.raw as usize {
            return Err(self.damaged(entry, "it decompresses to another length than its header says"));
        }
        block.parse(entry.first, entry.records as usize).map_err(|what| self.malformed(entry, what))
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SealedError> {
        read_exact_at(&*self.file, buffer, offset).map_err(|source| SealedError::Io {
            path: self.path.clone(),
            doing: "read a sealed segment",
            source,
        })
    }

    /// Reads a block's bytes; that the file ends within them is damage, since the footer was whole.
    fn read_of(&self, entry: &Entry, buffer: &mut [u8]) -> Result<(), SealedError> {
        match read_exact_at(&*self.file, buffer, entry.offset) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged(entry, "the file ends within the block"))
            }
            Err(source) => Err(SealedError::Io {
                path: self.path.clone(),
                doing: "read a block of a sealed segment",
                source,
            }),
        }
    }

    fn malformed(&self, entry: &Entry, Malformed(what): Malformed) -> SealedError {
        self.damaged(entry, what)
    }

    fn damaged(&self, entry: &Entry, what: &'static str) -> SealedError {
        SealedError::Damaged {
            path: self.path.clone(),
            offset: entry.offset,
            first: entry.first,
            last: entry.last(),
            what,
        }
    }

    fn damaged_at(&self, offset: u64, what: &'static str) -> SealedError {
        SealedError::Damaged { path: self.path.clone(), offset, first: self.first, last: self.last, what }
    }
}
