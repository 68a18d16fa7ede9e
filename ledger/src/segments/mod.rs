//! The embedded store: commits as frames in segments, synced before anyone sees them.

mod head;
mod open;
pub(crate) mod raw;
mod sealing;

use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::watch;

pub(crate) use open::{DIRECTORY_FORMAT, FormatProblem, Found, Identity, find, read_format, write_format};

use crate::disk::{Disk, Mode, beside};
use crate::frame::{CommitPart, close_frame};
use crate::reading::{pick_bodies, show_part, unknown, visit_bodies};
use crate::record::RecordView;
use crate::sealed::{BlockCache, Sealed};
use crate::store::{Body, CommitStore, Prepared, PutError, ReadError};
use head::HeadFile;
use raw::{RawSegment, SEGMENT_HEADER_BYTES, SegmentHeader, create_zeroed, raw_name};
use sealing::Housekeeper;

/// How the store lays out its files.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Size of a raw segment.
    pub(crate) segment_bytes: u64,
    /// Free space that is never used for a new segment, so that closing and opening work on a full disk.
    pub(crate) reserve_bytes: u64,
    /// Whether full segments are sealed.
    pub(crate) seal: bool,
}

#[derive(Clone)]
pub(crate) enum Segment {
    Raw(Arc<RawSegment>),
    Sealed(Arc<Sealed>),
}

impl Segment {
    pub(crate) fn first(&self) -> u64 {
        match self {
            Segment::Raw(raw) => raw.header.first_sequence,
            Segment::Sealed(sealed) => sealed.first(),
        }
    }

    pub(crate) fn last(&self) -> u64 {
        match self {
            Segment::Raw(raw) => raw.last(),
            Segment::Sealed(sealed) => sealed.last(),
        }
    }
}

/// Files in use, shared by the writer, the readers and the housekeeper.
pub(crate) struct Files {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) layout: Layout,
    /// Ascending and dense; the last is raw and is being written, unless the store is read-only.
    segments: RwLock<Vec<Segment>>,
    /// Files of zeros that the next segment can be written into.
    spares: Mutex<Vec<PathBuf>>,
    pub(crate) cache: BlockCache,
}

impl Files {
    pub(crate) fn segments(&self) -> Vec<Segment> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn active(&self) -> Option<Arc<RawSegment>> {
        match self.segments.read().unwrap_or_else(PoisonError::into_inner).last() {
            Some(Segment::Raw(raw)) => Some(Arc::clone(raw)),
            _ => None,
        }
    }

    fn spares(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Segments from the one that holds `from` on.
    fn segments_from(&self, from: u64) -> Vec<Segment> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let place = segments.partition_point(|segment| segment.first() <= from).saturating_sub(1);
        segments.get(place..).unwrap_or_default().to_vec()
    }

    fn segment_of(&self, sequence: u64) -> Option<Segment> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let place = segments.partition_point(|segment| segment.first() <= sequence).checked_sub(1)?;
        segments.get(place).cloned()
    }

    /// Whether the disk has room for a new file of segment size, the reserve untouched.
    fn has_room(&self) -> io::Result<()> {
        let free = self.disk.free_bytes(&self.dir)?;
        if free < self.layout.segment_bytes.saturating_add(self.layout.reserve_bytes) {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// Makes the segment that begins at `first_sequence`, durably named, from a spare file if there is one.
    fn new_segment(&self, first_sequence: u64) -> io::Result<RawSegment> {
        let path = self.dir.join(raw_name(first_sequence));
        let spare = self.spares().pop();
        let (from, file, bytes) = if let Some(spare) = spare {
            let file = self.disk.open(&spare, Mode::Write)?;
            let bytes = file.size()?;
            (spare, file, bytes)
        } else {
            self.has_room()?;
            let from = beside(&path);
            let file = create_zeroed(&*self.disk, &from, self.layout.segment_bytes)?;
            (from, file, self.layout.segment_bytes)
        };
        let header = SegmentHeader { generation: generation()?, first_sequence, bytes };
        let segment = RawSegment::begin(file, path.clone(), header)?;
        self.disk.rename(&from, &path)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(segment)
    }
}

/// A number that no other segment has had.
fn generation() -> io::Result<u64> {
    Ok(getrandom::u64()? | 1)
}

/// The embedded store.
pub(crate) struct SegmentStore {
    pub(crate) files: Arc<Files>,
    head: watch::Sender<u64>,
    writing: Mutex<Writing>,
    housekeeper: Option<Housekeeper>,
}

struct Writing {
    head_file: Option<HeadFile>,
    /// Why nothing more may be written.
    stopped: Option<Arc<str>>,
}

impl SegmentStore {
    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the active segment and goes on in a new one.
    fn roll(&self, writing: &mut Writing, head: u64) -> io::Result<Arc<RawSegment>> {
        if let Some(file) = &mut writing.head_file {
            file.record(head, None)?;
        }
        let next = Arc::new(self.files.new_segment(head + 1)?);
        self.files
            .segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Segment::Raw(Arc::clone(&next)));
        if let Some(housekeeper) = &self.housekeeper {
            housekeeper.wake();
        }
        Ok(next)
    }

    /// The last sequence in a sealed segment; 0 if there is none.
    pub(crate) fn sealed_to(&self) -> u64 {
        let segments = self.files.segments.read().unwrap_or_else(PoisonError::into_inner);
        let sealed = segments.iter().rev().find(|segment| matches!(segment, Segment::Sealed(_)));
        sealed.map_or(0, Segment::last)
    }

    /// Has the active segment, unless it is empty, closed and sealed with all that wait, and returns when
    /// that is done or has failed.
    pub(crate) fn seal_now(&self) -> Result<(), PutError> {
        {
            let mut writing = self.writing();
            if let Some(reason) = &writing.stopped {
                return Err(PutError::Refused { reason: Arc::clone(reason) });
            }
            let head = *self.head.borrow();
            if self.files.active().is_some_and(|active| active.end() > SEGMENT_HEADER_BYTES) {
                self.roll(&mut writing, head).map_err(|error| refused(&error))?;
            }
        }
        if let Some(housekeeper) = &self.housekeeper {
            housekeeper.wait_idle();
        }
        Ok(())
    }

    /// Stops the housekeeper and records the head. What is open for reading stays readable.
    pub(crate) fn close(&self) -> io::Result<()> {
        if let Some(housekeeper) = &self.housekeeper {
            housekeeper.stop();
        }
        let mut writing = self.writing();
        let stopped = writing.stopped.get_or_insert_with(|| "it is closed".into());
        let clean = &**stopped == "it is closed";
        let head = *self.head.borrow();
        let closed = self.files.active().filter(|_| clean).map(|raw| (raw.header.generation, raw.end()));
        match &mut writing.head_file {
            Some(file) => file.record(head, closed),
            None => Ok(()),
        }
    }
}

/// What an error before anything was written means.
fn refused(error: &io::Error) -> PutError {
    if is_full(error) { PutError::NoSpace } else { PutError::Refused { reason: error.to_string().into() } }
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl CommitStore for SegmentStore {
    fn head(&self) -> u64 {
        *self.head.borrow()
    }

    fn put(&self, seen: u64, commit: &mut Prepared) -> Result<u64, PutError> {
        let mut writing = self.writing();
        if let Some(reason) = &writing.stopped {
            return Err(PutError::Refused { reason: Arc::clone(reason) });
        }
        let head = *self.head.borrow();
        if seen != head || commit.first_sequence != head + 1 {
            return Err(PutError::HeadMoved { head });
        }
        let mut active = self
            .files
            .active()
            .ok_or_else(|| PutError::Refused { reason: "the store is open for reading alone".into() })?;
        let too_large = |bytes: usize, segment: &RawSegment| PutError::TooLarge {
            bytes: bytes as u64,
            bytes_max: segment.header.bytes - SEGMENT_HEADER_BYTES,
        };
        let close = |commit: &mut Prepared, segment: &RawSegment| {
            close_frame(&mut commit.bytes, segment.header.generation, commit.first_sequence, commit.count)
                .map_err(|_| too_large(commit.bytes.len(), segment))
        };
        close(commit, &active)?;
        let bytes = commit.bytes.len() as u64;
        if bytes > active.room() {
            if bytes > self.files.layout.segment_bytes - SEGMENT_HEADER_BYTES {
                return Err(too_large(commit.bytes.len(), &active));
            }
            active = match self.roll(&mut writing, head) {
                Ok(next) => next,
                Err(error) => return Err(refused(&error)),
            };
            commit.bytes.truncate(crate::frame::FRAME_HEADER_BYTES + commit.body_bytes);
            close(commit, &active)?;
        }
        if let Err(error) = active.write(&commit.bytes) {
            // Room was allocated for the frame; a disk that finds none all the same must not leave half of
            // one.
            if is_full(&error) && active.unwrite(commit.bytes.len()).is_ok() {
                return Err(PutError::NoSpace);
            }
            let reason: Arc<str> = format!("writing {}: {error}", active.path.display()).into();
            writing.stopped = Some(Arc::clone(&reason));
            return Err(PutError::Indefinite { reason });
        }
        let synced = if cfg!(seeded_bug = "acknowledge_before_sync") { Ok(()) } else { active.sync() };
        if let Err(error) = synced {
            // Never tried again: the second sync would succeed without having written what the first lost.
            let reason: Arc<str> = format!("syncing {}: {error}", active.path.display()).into();
            writing.stopped = Some(Arc::clone(&reason));
            return Err(PutError::Indefinite { reason });
        }
        let half = self.files.layout.segment_bytes / 2;
        let was_below = active.end() < half;
        active.enter(commit.first_sequence, commit.last_sequence(), bytes);
        self.head.send_replace(commit.last_sequence());
        if was_below
            && active.end() >= half
            && let Some(housekeeper) = &self.housekeeper
        {
            housekeeper.wake();
        }
        Ok(commit.last_sequence())
    }

    fn scan(&self, from: u64, visit: &mut dyn FnMut(&Body<'_>) -> ControlFlow<()>) -> Result<(), ReadError> {
        let mut from = from.max(1);
        loop {
            // The list is taken anew at its end: a segment may have been added meanwhile.
            let before = from;
            for segment in self.files.segments_from(from) {
                if segment.last() < from {
                    continue;
                }
                let mut seen = from;
                let mut track = |body: &Body<'_>| {
                    seen = body.last_sequence() + 1;
                    visit(body)
                };
                let flow = match &segment {
                    Segment::Raw(raw) => raw.scan(from, &mut track)?,
                    Segment::Sealed(sealed) => sealed.bodies(from, u64::MAX, &mut track)?,
                };
                if flow.is_break() {
                    return Ok(());
                }
                from = seen;
            }
            if from == before || from > self.head() {
                return Ok(());
            }
        }
    }

    fn records(
        &self,
        from: u64,
        to: u64,
        visit: &mut dyn FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let mut from = from.max(1);
        while from <= to {
            let Some(segment) = self.files.segment_of(from) else { return Ok(()) };
            let last = segment.last().min(to);
            if last < from {
                return Ok(());
            }
            let flow = match &segment {
                Segment::Sealed(sealed) => sealed.scan(from, last, visit)?,
                Segment::Raw(raw) => {
                    visit_bodies(from, last, visit, &mut |visit| raw.scan(from, visit).map(drop))?
                }
            };
            if flow.is_break() {
                return Ok(());
            }
            from = last + 1;
        }
        Ok(())
    }

    fn part_of(&self, sequence: u64, show: &mut dyn FnMut(u64, &CommitPart<'_>)) -> Result<(), ReadError> {
        match self.files.segment_of(sequence) {
            Some(Segment::Sealed(sealed)) => {
                sealed.part_of(sequence, &self.files.cache, show)?;
            }
            Some(Segment::Raw(raw)) => {
                let _ = raw.scan(sequence, &mut |body| {
                    show_part(body, sequence, show);
                    ControlFlow::Break(())
                })?;
            }
            None => {}
        }
        Ok(())
    }

    fn pick(
        &self,
        sequences: &[u64],
        visit: &mut dyn FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let mut left = sequences;
        while let Some(&first) = left.first() {
            let segment = self.files.segment_of(first).ok_or_else(|| unknown(first))?;
            let last = segment.last();
            let (here, above) = left.split_at(left.partition_point(|sequence| *sequence <= last));
            if here.is_empty() {
                return Err(unknown(first));
            }
            let flow = match &segment {
                Segment::Raw(raw) => {
                    pick_bodies(here, visit, &mut |from, visit| raw.scan(from, visit).map(drop))?
                }
                Segment::Sealed(sealed) => sealed.pick(here, &self.files.cache, visit)?,
            };
            if flow.is_break() {
                return Ok(());
            }
            left = above;
        }
        Ok(())
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }
}

impl Drop for SegmentStore {
    fn drop(&mut self) {
        if let Some(housekeeper) = &self.housekeeper {
            housekeeper.stop();
        }
    }
}
