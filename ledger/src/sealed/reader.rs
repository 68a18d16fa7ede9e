//! Reading a sealed segment: one record, a range of records, its commits, or every byte of it.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{Block, Malformed};
use super::cache::{BlockCache, Kept};
use super::parts::Parts;
use super::stretch::Stretch;
use super::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockHeader, ENTRY_BYTES, ENTRY_HAS_CURSORS,
    ENTRY_HAS_KEYS, Entry, HEADER_BYTES, HEADER_MAGIC, LANES_MAX, SEALED_FORMAT, STRETCH_MAGIC, SealedError,
    TRAILER_BYTES, TRAILER_MAGIC, decompress,
};
use crate::bytes::{Reader, Short};
use crate::disk::{Disk, DiskFile, Mode, read_exact_at};
use crate::frame::{Body, BodyBuilder, BodyError, CommitPart};
use crate::record::RecordView;

/// An open sealed segment. Holds the footer in memory: 48 bytes for each stretch of about a mebibyte.
pub(crate) struct Sealed {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    pub(super) entries: Vec<Entry>,
    first: u64,
    last: u64,
    pub(super) content_hash: [u8; 32],
    bytes: u64,
    footer_at: u64,
}

/// The memory that reading stretch after stretch needs, kept from one to the next.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) stored: Vec<u8>,
    pub(super) raw: Vec<u8>,
    pub(super) stretch: Stretch,
    cursors: [Cursor; LANES_MAX],
}

/// Where a walk through a stretch stands in one lane.
#[derive(Default)]
struct Cursor {
    block: Block,
    /// Index of the block among the stretch's.
    number: usize,
    position: usize,
    heap: usize,
    /// Records of the lane up to here; `None` before the walk has met one.
    rank: Option<usize>,
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
                return Err(damaged(footer_at, "the footer's stretches do not follow one another"));
            }
            if entry.flags & !(ENTRY_HAS_KEYS | ENTRY_HAS_CURSORS) != 0 {
                return Err(damaged(footer_at, "the footer has a flag that no writer sets"));
            }
            let bytes = u64::from(entry.blocks) + u64::from(entry.stored);
            let end = (offset.checked_add(bytes), next.checked_add(entry.records.into()));
            let (Some(end), Some(after)) = end else {
                return Err(damaged(footer_at, "the footer's stretches do not add up to the segment"));
            };
            (offset, next) = (end, after);
            counted += u64::from(entry.commits);
            entries.push(entry);
        }
        if offset != footer_at || next.checked_sub(1) != Some(last) || counted != commits {
            return Err(damaged(footer_at, "the footer's stretches do not add up to the segment"));
        }
        Ok(Sealed { path: path.to_owned(), file, entries, first, last, content_hash, bytes, footer_at })
    }

    /// First sequence.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Last sequence.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Shows the records from `from` to `to`, both included, in order, as far as they lie in this segment.
    ///
    /// # Errors
    ///
    /// [`SealedError::Io`], or [`SealedError::Damaged`] naming the sequences.
    pub(crate) fn scan(
        &self,
        from: u64,
        to: u64,
        visit: &mut dyn FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, SealedError> {
        let mut buffers = Buffers::default();
        let start = self.entries.partition_point(|entry| entry.last() < from);
        for entry in self.entries[start..].iter().take_while(|entry| entry.first <= to) {
            self.load_stretch(entry, &mut buffers.stored, &mut buffers.raw, &mut buffers.stretch)?;
            let flow =
                self.walk::<false>(&mut buffers, from.max(entry.first), to.min(entry.last()), &mut *visit)?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Shows the records of a loaded stretch from `from` to `to`, both included and both within it.
    ///
    /// With `WHOLE`, which takes whole stretches alone, every block must hold exactly the records that are read out of it,
    /// each where the block says.
    #[inline]
    pub(super) fn walk<const WHOLE: bool>(
        &self,
        buffers: &mut Buffers,
        from: u64,
        to: u64,
        mut visit: impl FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, SealedError> {
        let Buffers { stored, stretch, cursors, .. } = buffers;
        let stretch = &*stretch;
        for cursor in cursors.iter_mut() {
            cursor.rank = None;
        }
        let within = |sequence: u64| usize::try_from(sequence - stretch.first).unwrap_or(usize::MAX);
        let start = within(from);
        for (sequence, lane) in (from..=to).zip(stretch.lanes.get(start..).unwrap_or_default()) {
            // Every lane number was checked to be one that has blocks when the stretch was read.
            let Some(cursor) = cursors.get_mut(usize::from(*lane)) else { break };
            let left = match cursor.rank {
                Some(_) => cursor.position < cursor.block.count(),
                None => false,
            };
            if !left {
                let rank = cursor.rank.unwrap_or_else(|| stretch.rank(*lane, start));
                let lost = || self.damaged_record(sequence, "no block of its lane holds it");
                let place = stretch.place(*lane, rank).ok_or_else(lost)?;
                self.load_block(stretch, place.block, stored, &mut cursor.block)?;
                cursor.number = place.block;
                cursor.position = place.position;
                let heap = cursor.block.heap_offset(place.position);
                cursor.heap = heap.map_err(|what| self.malformed(stretch, place.block, what))?;
                cursor.rank = Some(rank);
            }
            let malformed = |what| self.malformed(stretch, cursor.number, what);
            if WHOLE && cursor.block.heap_offset(cursor.position).map_err(malformed)? != cursor.heap {
                return Err(malformed(Malformed("a stored offset is not where the record begins")));
            }
            let (view, heap) =
                cursor.block.view(sequence, cursor.position, cursor.heap).map_err(malformed)?;
            let ends = cursor.position + 1 == cursor.block.count();
            if WHOLE && ends && heap != cursor.block.heap_bytes() {
                return Err(malformed(Malformed("the records do not fill the block")));
            }
            cursor.heap = heap;
            cursor.position += 1;
            cursor.rank = cursor.rank.map(|rank| rank + 1);
            if visit(&view).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Shows the records with these sequences, which ascend and may repeat, each once, as far as they lie in this
    /// segment. Only their blocks are read, and only their own parts of the blocks looked at.
    ///
    /// # Errors
    ///
    /// [`SealedError::Io`], or [`SealedError::Damaged`] naming the sequences.
    pub(crate) fn pick(
        &self,
        sequences: &[u64],
        cache: &BlockCache,
        visit: &mut dyn FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, SealedError> {
        let mut left = sequences;
        while let Some(first) = left.first() {
            let Some(entry) = self.entry_of(*first) else {
                left = &left[1..];
                continue;
            };
            let here = left.partition_point(|sequence| *sequence <= entry.last());
            let stretch = self.stretch(entry, cache)?;
            let flow = self.pick_within(&stretch, &left[..here], cache, visit)?;
            if flow.is_break() {
                return Ok(flow);
            }
            left = &left[here..];
        }
        Ok(ControlFlow::Continue(()))
    }

    fn pick_within(
        &self,
        stretch: &Stretch,
        sequences: &[u64],
        cache: &BlockCache,
        visit: &mut dyn FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, SealedError> {
        // Of each lane met: up to which record its records were counted, how many they were, and its block.
        let mut known: [(usize, usize); LANES_MAX] = Default::default();
        let mut held: [Option<(usize, Arc<Block>)>; LANES_MAX] = Default::default();
        let mut before = None;
        for sequence in sequences {
            if before == Some(*sequence) {
                continue;
            }
            before = Some(*sequence);
            let lost = || self.damaged_record(*sequence, "no block of its lane holds it");
            let index = usize::try_from(*sequence - stretch.first).unwrap_or(usize::MAX);
            let lane = *stretch.lanes.get(index).ok_or_else(lost)?;
            let (counted, rank) = known.get_mut(usize::from(lane)).ok_or_else(lost)?;
            *rank += stretch.between(lane, *counted, index);
            *counted = index;
            let place = stretch.place(lane, *rank).ok_or_else(lost)?;
            let block = &mut held[usize::from(lane)];
            let block = match block {
                Some((number, block)) if *number == place.block => block,
                _ => &mut block.insert((place.block, self.block(stretch, place.block, cache)?)).1,
            };
            let malformed = |what| self.malformed(stretch, place.block, what);
            let heap = block.heap_offset(place.position).map_err(malformed)?;
            let (view, _) = block.view(*sequence, place.position, heap).map_err(malformed)?;
            if visit(&view).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Gives the records from the stretch that holds `from` to the one that holds `to`, stretch by stretch, each as
    /// a body with the parts of the commits in it. Slower than [`Sealed::scan`] by an encoding of every record.
    ///
    /// # Errors
    ///
    /// [`SealedError::Io`], or [`SealedError::Damaged`] naming the sequences.
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
            self.load_stretch(entry, &mut buffers.stored, &mut buffers.raw, &mut buffers.stretch)?;
            let unfit = |_: BodyError| self.damaged(entry, "a record does not follow on in its stream");
            let short = |_: Short| self.damaged(entry, "its commits end early");
            let part_bytes = std::mem::take(&mut buffers.stretch.parts);
            let mut parts = Parts::new(entry.first, &part_bytes);
            builder.reset(entry.first);
            let mut part = parts.next().map_err(short)?;
            let mut failed = Ok(());
            let mut step = |record: &RecordView<'_>| -> Result<(), SealedError> {
                builder.push(record).map_err(unfit)?;
                let Some((first, of)) = &mut part else {
                    return Err(self.damaged(entry, "it holds records of no commit"));
                };
                if record.sequence + 1 == *first + u64::from(of.records) {
                    let tail = of.tail.take().unwrap_or_default();
                    builder.end_part(of.before, of.after, record.recorded_at, &tail);
                    part = parts.next().map_err(short)?;
                }
                Ok(())
            };
            let flow = self.walk::<false>(&mut buffers, entry.first, entry.last(), |record| {
                failed = step(record);
                if failed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            failed?;
            let _ = flow?;
            if part.is_some() || builder.next_sequence() != entry.last() + 1 {
                return Err(self.damaged(entry, "its commits hold more records than it has"));
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
    /// [`SealedError::Io`], or [`SealedError::Damaged`] naming the sequences.
    pub(crate) fn part_of<R>(
        &self,
        sequence: u64,
        cache: &BlockCache,
        show: impl FnOnce(u64, &CommitPart<'_>) -> R,
    ) -> Result<Option<R>, SealedError> {
        let Some(entry) = self.entry_of(sequence) else { return Ok(None) };
        let stretch = self.stretch(entry, cache)?;
        let mut parts = Parts::new(entry.first, &stretch.parts);
        let short = |_: Short| self.damaged(entry, "its commits end early");
        while let Some((first, mut part)) = parts.next().map_err(short)? {
            if sequence < first + u64::from(part.records) {
                let _ = self.pick_within(&stretch, &[sequence], cache, &mut |record| {
                    part.recorded_at = record.recorded_at;
                    ControlFlow::Break(())
                })?;
                return Ok(Some(show(first, &part)));
            }
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
        // Of the commit that the stretch before did not end: its records so far, and those still to come.
        let (mut had, mut owed) = (0, 0);
        for entry in &self.entries {
            self.load_stretch(entry, &mut buffers.stored, &mut buffers.raw, &mut buffers.stretch)?;
            let head = std::mem::take(&mut buffers.stored);
            self.verify_blocks(entry, &mut buffers, &mut hasher)?;
            hasher.update(&head);
            self.verify_commits(entry, &buffers.stretch, &mut had, &mut owed)?;
            progress(u64::from(entry.blocks) + u64::from(entry.stored));
        }
        if owed != 0 {
            return Err(self.damaged_at(self.footer_at, "the last commit is not whole"));
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

    /// Checks that the records fill each block exactly and can all be read.
    fn verify_blocks(
        &self,
        entry: &Entry,
        buffers: &mut Buffers,
        hasher: &mut blake3::Hasher,
    ) -> Result<(), SealedError> {
        let Buffers { stored, stretch, cursors, .. } = buffers;
        let block = &mut cursors[0].block;
        for number in 0..stretch.blocks.len() {
            self.load_block(stretch, number, stored, block)?;
            hasher.update(stored);
            let malformed = |what: Malformed| self.malformed(stretch, number, what);
            let (first, _) = stretch.span(number).unwrap_or((entry.first, 0));
            let mut heap = 0;
            for position in 0..block.count() {
                if block.heap_offset(position).map_err(malformed)? != heap {
                    return Err(malformed(Malformed("a stored offset is not where the record begins")));
                }
                let (view, next) = block.view(first, position, heap).map_err(malformed)?;
                let begins = position == 0 && first == entry.first;
                if begins && view.recorded_at != entry.recorded_at {
                    return Err(malformed(Malformed("the footer states another time than the block")));
                }
                heap = next;
            }
            if heap != block.heap_bytes() {
                return Err(malformed(Malformed("the records do not fill the block")));
            }
        }
        Ok(())
    }

    /// Checks that the commits hold exactly the stretch's records, each following on the one before.
    fn verify_commits(
        &self,
        entry: &Entry,
        stretch: &Stretch,
        had: &mut u32,
        owed: &mut u32,
    ) -> Result<(), SealedError> {
        let (mut count, mut flags, mut next) = (0, 0, entry.first);
        let mut parts = Parts::new(entry.first, &stretch.parts);
        let short = |_: Short| self.damaged(entry, "its commits end early");
        while let Some((first, part)) = parts.next().map_err(short)? {
            let follows = match *owed {
                0 => part.before == 0,
                _ => part.before == *had && part.records + part.after == *owed,
            };
            if !follows || (part.after > 0 && first + u64::from(part.records) <= entry.last()) {
                return Err(self.damaged(entry, "its commits do not follow one another"));
            }
            *had = part.before + part.records;
            *owed = part.after;
            next = first + u64::from(part.records);
            if let Some(tail) = part.tail {
                count += 1;
                flags |= tail.key.map_or(0, |_| ENTRY_HAS_KEYS);
                flags |= if tail.cursors.is_empty() { 0 } else { ENTRY_HAS_CURSORS };
            }
        }
        if count != entry.commits || flags != entry.flags {
            return Err(self.damaged(entry, "the footer lists other commits than the stretch"));
        }
        if next != entry.last() + 1 {
            return Err(self.damaged(entry, "its commits do not hold exactly its records"));
        }
        Ok(())
    }

    fn entry_of(&self, sequence: u64) -> Option<&Entry> {
        let at = self.entries.partition_point(|entry| entry.last() < sequence);
        self.entries.get(at).filter(|entry| entry.first <= sequence)
    }

    pub(super) fn stretch(&self, entry: &Entry, cache: &BlockCache) -> Result<Arc<Stretch>, SealedError> {
        let name = (self.first, entry.head_at());
        if let Some(Kept::Stretch(stretch)) = cache.get(name) {
            return Ok(stretch);
        }
        let (mut stored, mut raw, mut stretch) = (Vec::new(), Vec::new(), Stretch::default());
        self.load_stretch(entry, &mut stored, &mut raw, &mut stretch)?;
        let stretch = Arc::new(stretch);
        cache.keep(name, Kept::Stretch(Arc::clone(&stretch)));
        Ok(stretch)
    }

    fn block(&self, stretch: &Stretch, number: usize, cache: &BlockCache) -> Result<Arc<Block>, SealedError> {
        let name = (self.first, stretch.blocks[number].offset);
        if let Some(Kept::Block(block)) = cache.get(name) {
            return Ok(block);
        }
        let (mut stored, mut block) = (Vec::new(), Block::default());
        self.load_block(stretch, number, &mut stored, &mut block)?;
        let block = Arc::new(block);
        cache.keep(name, Kept::Block(Arc::clone(&block)));
        Ok(block)
    }

    pub(super) fn load_stretch(
        &self,
        entry: &Entry,
        stored: &mut Vec<u8>,
        raw: &mut Vec<u8>,
        stretch: &mut Stretch,
    ) -> Result<(), SealedError> {
        let damaged = |what| self.damaged(entry, what);
        stored.resize(entry.stored as usize, 0);
        self.read_of(entry.head_at(), stored, || damaged("the file ends within the head of the stretch"))?;
        let (header, compressed) = BlockHeader::read(stored).map_err(damaged)?;
        let said = (header.magic, header.first, header.records, header.raw);
        if said != (STRETCH_MAGIC, entry.first, entry.records, entry.raw) {
            return Err(damaged("the head of the stretch is another than the footer says"));
        }
        decompress(header.codec, compressed, entry.raw as usize, raw).map_err(damaged)?;
        stretch
            .read(raw, entry.first, entry.records, entry.offset, entry.blocks)
            .map_err(|Malformed(what)| damaged(what))
    }

    fn load_block(
        &self,
        stretch: &Stretch,
        number: usize,
        stored: &mut Vec<u8>,
        block: &mut Block,
    ) -> Result<(), SealedError> {
        let entry = &stretch.blocks[number];
        let damaged = |what| self.malformed(stretch, number, Malformed(what));
        stored.resize(entry.stored as usize, 0);
        self.read_of(entry.offset, stored, || damaged("the file ends within the block"))?;
        let (header, compressed) = BlockHeader::read(stored).map_err(damaged)?;
        let said = (header.magic, header.records, header.raw);
        if said != (BLOCK_MAGIC, entry.records, entry.raw) || !stretch.begins(number, header.first) {
            return Err(damaged("it is another block than its stretch says"));
        }
        decompress(header.codec, compressed, entry.raw as usize, block.buffer()).map_err(damaged)?;
        block.parse(entry.records as usize).map_err(|Malformed(what)| damaged(what))
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SealedError> {
        read_exact_at(&*self.file, buffer, offset).map_err(|source| SealedError::Io {
            path: self.path.clone(),
            doing: "read a sealed segment",
            source,
        })
    }

    /// Reads what the footer or a head lists; that the file ends within it is damage, since the footer was whole.
    fn read_of(
        &self,
        offset: u64,
        buffer: &mut [u8],
        ends_early: impl FnOnce() -> SealedError,
    ) -> Result<(), SealedError> {
        match read_exact_at(&*self.file, buffer, offset) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ends_early()),
            Err(source) => Err(SealedError::Io {
                path: self.path.clone(),
                doing: "read a block of a sealed segment",
                source,
            }),
        }
    }

    /// Damage to a block, named with the sequences of its own records.
    fn malformed(&self, stretch: &Stretch, number: usize, Malformed(what): Malformed) -> SealedError {
        let offset = stretch.blocks.get(number).map_or(0, |block| block.offset);
        let (first, last) = stretch.span(number).unwrap_or((stretch.first, stretch.first));
        SealedError::Damaged { path: self.path.clone(), offset, first, last, what }
    }

    fn damaged_record(&self, sequence: u64, what: &'static str) -> SealedError {
        let offset = self.entry_of(sequence).map_or(0, Entry::head_at);
        SealedError::Damaged { path: self.path.clone(), offset, first: sequence, last: sequence, what }
    }

    /// Damage to the head of a stretch, without which none of its records is found.
    pub(super) fn damaged(&self, entry: &Entry, what: &'static str) -> SealedError {
        SealedError::Damaged {
            path: self.path.clone(),
            offset: entry.head_at(),
            first: entry.first,
            last: entry.last(),
            what,
        }
    }

    pub(super) fn damaged_at(&self, offset: u64, what: &'static str) -> SealedError {
        SealedError::Damaged { path: self.path.clone(), offset, first: self.first, last: self.last, what }
    }
}
