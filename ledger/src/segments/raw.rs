//! A raw segment: a preallocated, zero-filled file that frames are written into, one `pwrite` each.
//!
//! The layout is written down in `schemas/formats/segment.md`.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::bytes::Reader;
use crate::disk::{Disk, DiskFile, Mode, read_exact_at};
use crate::frame::{FRAME_ALIGNMENT, FRAME_HEADER_BYTES, FrameHeader};
use crate::store::{Body, Fault, ReadError};

/// Bytes before the first frame: a page of their own, so that writing frames never rewrites the header.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 4_096;
const SEGMENT_MAGIC: [u8; 8] = *b"DBSEG\0\0\x01";
/// Bytes of the header that mean something.
const HEADER_USED: usize = 36;
/// Bytes that a scan asks for at once.
const SCAN_BYTES: usize = 1 << 20;
/// Bytes written at once when a file is filled with zeros.
const FILL_BYTES: usize = 1 << 20;

/// What the first bytes of a segment say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// A random number that tells this use of the file from every other.
    pub(crate) generation: u64,
    pub(crate) first_sequence: u64,
    /// The size of the file.
    pub(crate) bytes: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_USED);
        out.extend_from_slice(&SEGMENT_MAGIC);
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    fn parse(bytes: &[u8]) -> Result<SegmentHeader, &'static str> {
        let mut reader = Reader::new(bytes);
        let cut = |_| "it is cut off";
        if *reader.array::<8>().map_err(cut)? != SEGMENT_MAGIC {
            return Err("it does not begin as one of format 1 does");
        }
        let generation = reader.u64().map_err(cut)?;
        let first_sequence = reader.u64().map_err(cut)?;
        let size = reader.u64().map_err(cut)?;
        let crc = reader.u32().map_err(cut)?;
        if crc32c::crc32c(&bytes[..HEADER_USED - 4]) != crc {
            return Err("its checksum is wrong");
        }
        Ok(SegmentHeader { generation, first_sequence, bytes: size })
    }
}

/// The name of the raw segment that begins at a sequence.
pub(crate) fn raw_name(first_sequence: u64) -> String {
    format!("{first_sequence:020}.log")
}

/// The first sequence that the name of a raw segment says.
pub(crate) fn parse_raw_name(name: &str) -> Option<u64> {
    parse_name(name, ".log")
}

pub(crate) fn parse_name(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let decimal = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if decimal { digits.parse().ok().filter(|first| *first > 0) } else { None }
}

/// Creates a file of zeros, synced; its name is not yet durable.
pub(crate) fn create_zeroed(disk: &dyn Disk, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
    disk.remove(path)?;
    let file = disk.open(path, Mode::Create)?;
    let fill = || -> io::Result<()> {
        let zeros = vec![0; FILL_BYTES];
        let mut at = 0;
        while at < bytes {
            let some = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(FILL_BYTES);
            file.write_all_at(&zeros[..some], at)?;
            at += some as u64;
        }
        file.sync_data()
    };
    match fill() {
        Ok(()) => Ok(file),
        Err(error) => {
            // A half-filled file holds space that the disk may not have; nothing refers to it.
            drop(disk.remove(path));
            Err(error)
        }
    }
}

/// Where the first byte from `from` on lies that is not zero.
pub(crate) fn first_not_zero(file: &dyn DiskFile, from: u64) -> io::Result<Option<u64>> {
    let mut bytes = vec![0; SCAN_BYTES];
    let mut at = from;
    loop {
        let read = file.read_at(&mut bytes, at)?;
        if read == 0 {
            return Ok(None);
        }
        if let Some(found) = bytes[..read].iter().position(|byte| *byte != 0) {
            return Ok(Some(at + found as u64));
        }
        at += read as u64;
    }
}

/// Where a frame begins.
#[derive(Clone, Copy, Debug)]
struct FrameAt {
    first_sequence: u64,
    offset: u64,
}

/// An open raw segment. Only what was synced is ever entered in `frames`, so readers cannot meet more.
pub(crate) struct RawSegment {
    pub(crate) path: PathBuf,
    pub(crate) header: SegmentHeader,
    file: Arc<dyn DiskFile>,
    frames: RwLock<Vec<FrameAt>>,
    /// Where the next frame goes.
    end: AtomicU64,
    last: AtomicU64,
}

/// What stands behind the last whole frame of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// No frame was begun.
    Nothing,
    /// Bytes of a frame that was not written to its end.
    Torn,
    /// A whole frame that does not follow on: what lies before it is damaged.
    Frame {
        /// Where.
        offset: u64,
    },
}

impl RawSegment {
    /// Opens a segment and reads all of its frames.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: PathBuf,
        mode: Mode,
    ) -> Result<(RawSegment, Behind), ReadError> {
        let named = path.file_name().and_then(|name| name.to_str()).and_then(parse_raw_name).unwrap_or(0);
        let fault = |what: String| Fault { sequence: named, file: path.clone(), offset: 0, what };
        let file = disk.open(&path, mode)?;
        let mut bytes = [0; HEADER_USED];
        if file.read_at(&mut bytes, 0)? < HEADER_USED {
            return Err(fault("the segment's header is cut off".into()).into());
        }
        let header = SegmentHeader::parse(&bytes)
            .map_err(|what| fault(format!("the segment's header is damaged: {what}")))?;
        if header.first_sequence != named {
            return Err(fault(format!("the segment says it begins at {}", header.first_sequence)).into());
        }
        if file.size()? < header.bytes {
            return Err(
                fault(format!("the segment is shorter than the {} bytes it had", header.bytes)).into()
            );
        }
        let segment = RawSegment {
            header,
            file,
            frames: RwLock::default(),
            end: AtomicU64::new(SEGMENT_HEADER_BYTES),
            last: AtomicU64::new(header.first_sequence - 1),
            path,
        };
        let behind = segment.find_frames()?;
        Ok((segment, behind))
    }

    /// Makes a zero-filled file a segment. The caller names and syncs it.
    pub(crate) fn begin(
        file: Arc<dyn DiskFile>,
        path: PathBuf,
        header: SegmentHeader,
    ) -> io::Result<RawSegment> {
        file.write_all_at(&header.encode(), 0)?;
        file.sync_data()?;
        Ok(RawSegment {
            path,
            header,
            file,
            frames: RwLock::default(),
            end: AtomicU64::new(SEGMENT_HEADER_BYTES),
            last: AtomicU64::new(header.first_sequence - 1),
        })
    }

    /// The last sequence it holds; one below its first if it is empty.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// The first sequence of every frame.
    pub(crate) fn starts(&self) -> Vec<u64> {
        let frames = self.frames.read().unwrap_or_else(PoisonError::into_inner);
        frames.iter().map(|frame| frame.first_sequence).collect()
    }

    /// Where the next frame goes.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Bytes left for frames.
    pub(crate) fn room(&self) -> u64 {
        self.header.bytes.saturating_sub(self.end())
    }

    /// Writes a closed frame behind the last one. It is not yet durable, nor seen by anyone.
    pub(crate) fn write(&self, frame: &[u8]) -> io::Result<()> {
        self.file.write_all_at(frame, self.end())
    }

    /// Overwrites what [`write`](Self::write) may have left behind with the zeros that were there.
    pub(crate) fn unwrite(&self, len: usize) -> io::Result<()> {
        self.file.write_all_at(&vec![0; len], self.end())?;
        self.file.sync_data()
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Shows readers the frame that was written and synced.
    pub(crate) fn enter(&self, first_sequence: u64, last_sequence: u64, frame_bytes: u64) {
        let offset = self.end();
        self.frames.write().unwrap_or_else(PoisonError::into_inner).push(FrameAt { first_sequence, offset });
        self.end.store(offset + frame_bytes, Ordering::Release);
        self.last.store(last_sequence, Ordering::Release);
    }

    /// Reads the frames from the start, entering each that follows on, and looks at what stands behind.
    fn find_frames(&self) -> Result<Behind, ReadError> {
        let mut window = Window::new(self);
        let mut offset = SEGMENT_HEADER_BYTES;
        let mut next = self.header.first_sequence;
        while let Some((header, _)) = window.frame_at(offset)? {
            if header.first_sequence != next {
                break;
            }
            self.enter(next, header.last_sequence(), header.frame_bytes() as u64);
            next = header.last_sequence() + 1;
            offset = self.end();
        }
        self.behind(offset, next)
    }

    /// What stands from `offset` on, where the frame beginning at sequence `next` should be.
    fn behind(&self, offset: u64, next: u64) -> Result<Behind, ReadError> {
        let mut window = Window::new(self);
        // A frame found further on must begin at or above `next`: a copy of an earlier one inside a payload
        // does not.
        let mut at = offset;
        while at + FRAME_HEADER_BYTES as u64 <= self.header.bytes {
            let found = window.next_magic(at)?;
            let Some(found) = found else { break };
            if let Some((header, _)) = window.frame_at(found)?
                && header.first_sequence >= next
            {
                return Ok(Behind::Frame { offset: found });
            }
            at = found + FRAME_ALIGNMENT as u64;
        }
        let mut head = [0; FRAME_HEADER_BYTES];
        let len = self.file.read_at(&mut head, offset)?;
        let torn = head[..len].iter().any(|byte| *byte != 0);
        Ok(if torn { Behind::Torn } else { Behind::Nothing })
    }

    /// Shows bodies from the one that holds `from` on.
    pub(crate) fn scan(
        &self,
        from: u64,
        visit: &mut dyn FnMut(&Body<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let (start, first_bytes, mut next, end) = {
            let frames = self.frames.read().unwrap_or_else(PoisonError::into_inner);
            let place = frames.partition_point(|frame| frame.first_sequence <= from).saturating_sub(1);
            let Some(frame) = frames.get(place).copied() else { return Ok(ControlFlow::Continue(())) };
            let end = self.end();
            let behind = frames.get(place + 1).map_or(end, |frame| frame.offset);
            (frame.offset, behind - frame.offset, frame.first_sequence, end)
        };
        if from > self.last() {
            return Ok(ControlFlow::Continue(()));
        }
        let mut window = Window::new(self);
        // Most reads want one record: the first read brings its frame alone.
        window.ask = usize::try_from(first_bytes).unwrap_or(SCAN_BYTES);
        window.end = end;
        let mut offset = start;
        while offset < end {
            let damaged =
                |what: &str| Fault { sequence: next, file: self.path.clone(), offset, what: what.to_owned() };
            let Some((header, body)) = window.frame_at(offset)? else {
                return Err(damaged("a stored frame does not have its checksum any more").into());
            };
            if header.first_sequence != next {
                return Err(damaged("a stored frame does not follow the one before it").into());
            }
            let body = Body::parse(body).map_err(|error| damaged(&error.to_string()))?;
            if body.first_sequence() != header.first_sequence || body.count() != header.count {
                return Err(damaged("a frame and its body count differently").into());
            }
            if visit(&body).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            next = header.last_sequence() + 1;
            offset += header.frame_bytes() as u64;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads anew what is not frames: that the header is what it was when the segment was opened, and that
    /// nothing but zeros stands around the frames. Returns where that is not so.
    pub(crate) fn check_around(&self, end: u64) -> Result<(), ReadError> {
        let fault = |sequence, offset, what: &str| Fault {
            sequence,
            file: self.path.clone(),
            offset,
            what: what.to_owned(),
        };
        let mut page = vec![0; usize::try_from(SEGMENT_HEADER_BYTES).unwrap_or(HEADER_USED)];
        read_exact_at(&*self.file, &mut page, 0)?;
        let first = self.header.first_sequence;
        let (used, unused) = page.split_at(HEADER_USED);
        if SegmentHeader::parse(used) != Ok(self.header) {
            return Err(fault(first, 0, "the segment's header is damaged").into());
        }
        if let Some(at) = unused.iter().position(|byte| *byte != 0) {
            let what = "a byte behind the segment's header is not zero";
            return Err(fault(first, (HEADER_USED + at) as u64, what).into());
        }
        if let Some(at) = first_not_zero(&*self.file, end)? {
            let what = "a byte behind the last frame is not zero";
            return Err(fault(self.last() + 1, at, what).into());
        }
        Ok(())
    }

    /// Shows every frame as it lies in the file, whole and checked.
    pub(crate) fn frames(
        &self,
        visit: &mut dyn FnMut(FrameHeader, &[u8]) -> io::Result<()>,
    ) -> Result<(), ReadError> {
        let mut window = Window::new(self);
        let mut offset = SEGMENT_HEADER_BYTES;
        let mut next = self.header.first_sequence;
        while offset < self.end() {
            let Some((header, body)) = window.frame_at(offset)? else {
                return Err(Fault {
                    sequence: next,
                    file: self.path.clone(),
                    offset,
                    what: "a stored frame does not have its checksum any more".into(),
                }
                .into());
            };
            visit(header, body)?;
            next = header.last_sequence() + 1;
            offset += header.frame_bytes() as u64;
        }
        Ok(())
    }

    /// Writes the frames over themselves and clears what follows, so that a page whose write failed once
    /// is written again.
    pub(crate) fn rewrite_in_place(&self) -> Result<(), ReadError> {
        let mut at = 0;
        let mut bytes = vec![0; SCAN_BYTES];
        while at < self.end() {
            let some = usize::try_from(self.end() - at).unwrap_or(SCAN_BYTES).min(SCAN_BYTES);
            read_exact_at(&*self.file, &mut bytes[..some], at)?;
            self.file.write_all_at(&bytes[..some], at)?;
            at += some as u64;
        }
        bytes.fill(0);
        while at < self.header.bytes {
            let some = usize::try_from(self.header.bytes - at).unwrap_or(SCAN_BYTES).min(SCAN_BYTES);
            self.file.write_all_at(&bytes[..some], at)?;
            at += some as u64;
        }
        self.file.sync_data()?;
        Ok(())
    }
}

/// A sliding view of a segment's bytes.
struct Window<'a> {
    segment: &'a RawSegment,
    bytes: Vec<u8>,
    start: u64,
    ask: usize,
    end: u64,
}

impl<'a> Window<'a> {
    fn new(segment: &'a RawSegment) -> Window<'a> {
        Window { segment, bytes: Vec::new(), start: 0, ask: SCAN_BYTES, end: segment.header.bytes }
    }

    /// Makes at least `len` bytes from `offset` readable, or as many as the segment has.
    fn fill(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let have = self.start + self.bytes.len() as u64;
        if offset < self.start || offset + len as u64 > have {
            let left = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
            let want = len.max(self.ask).min(left);
            self.bytes.resize(want, 0);
            let read = self.segment.file.read_at(&mut self.bytes, offset)?;
            self.bytes.truncate(read);
            self.start = offset;
            self.ask = (self.ask * 8).clamp(16 << 10, SCAN_BYTES);
        }
        let skip = usize::try_from(offset - self.start).unwrap_or(usize::MAX).min(self.bytes.len());
        Ok(&self.bytes[skip..])
    }

    /// The frame at `offset`, if a whole one of this generation stands there.
    fn frame_at(&mut self, offset: u64) -> io::Result<Option<(FrameHeader, &[u8])>> {
        if offset + FRAME_HEADER_BYTES as u64 > self.end {
            return Ok(None);
        }
        let generation = self.segment.header.generation;
        let end = self.end;
        let Some(header) = FrameHeader::parse(self.fill(offset, FRAME_HEADER_BYTES)?) else {
            return Ok(None);
        };
        let len = header.frame_bytes();
        if header.generation != generation || offset + len as u64 > end {
            return Ok(None);
        }
        let bytes = self.fill(offset, len)?;
        Ok(bytes.get(..len).and_then(|frame| header.check(frame)).map(|body| (header, body)))
    }

    /// The first aligned place from `offset` on where a frame of this generation may begin.
    fn next_magic(&mut self, mut offset: u64) -> io::Result<Option<u64>> {
        let generation = self.segment.header.generation;
        while offset + FRAME_HEADER_BYTES as u64 <= self.end {
            let bytes = self.fill(offset, FRAME_HEADER_BYTES)?;
            if bytes.len() < FRAME_HEADER_BYTES {
                return Ok(None);
            }
            let mut at = 0;
            while at + FRAME_HEADER_BYTES <= bytes.len() {
                if FrameHeader::parse(&bytes[at..]).is_some_and(|header| header.generation == generation) {
                    return Ok(Some(offset + at as u64));
                }
                at += FRAME_ALIGNMENT;
            }
            offset += at as u64;
        }
        Ok(None)
    }
}
