//! Opening a directory: finding its segments, telling a torn tail from damage, and going on from there.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::watch;

use super::head::{self, HeadFile, Recorded};
use super::raw::{
    Behind, RawSegment, SEGMENT_HEADER_BYTES, SegmentHeader, create_zeroed, first_not_zero, parse_raw_name,
    raw_name,
};
use super::sealing::{Housekeeper, is_spare, parse_sealed_name, sealed_name};
use super::{Files, Layout, Segment, SegmentStore, Writing, generation, is_full};
use crate::disk::{Disk, Mode, beside, read_file, replace_file};
use crate::frame::{FRAME_HEADER_BYTES, close_frame, open_frame};
use crate::sealed::{BlockCache, Sealed};
use crate::store::{Fault, ReadError};

/// The file that says which format a directory has, and which ledger it is.
pub(crate) const FORMAT: &str = "FORMAT";
/// The format of directories that this build writes.
pub(crate) const DIRECTORY_FORMAT: u32 = 1;

/// A ledger's own random number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(pub(crate) [u8; 16]);

/// What became of the log when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// The commit at this sequence was torn and has been cut, at this file and offset.
    pub(crate) cut: Option<(u64, PathBuf, u64)>,
    /// Whether the last close was a clean one.
    pub(crate) clean: bool,
}

/// Why a directory's format does not let it be opened.
#[derive(Debug)]
pub(crate) enum FormatProblem {
    Absent,
    Other(String),
}

/// Reads the FORMAT file.
pub(crate) fn read_format(disk: &dyn Disk, dir: &Path) -> io::Result<Result<Identity, FormatProblem>> {
    let bytes = match read_file(disk, &dir.join(FORMAT)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Err(FormatProblem::Absent)),
        other => other?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let (body, check) = text.split_at(text.rfind("check ").unwrap_or(text.len()));
    let mut lines = body.lines();
    let first = lines.next().unwrap_or_default();
    if first != format!("daybook-ledger {DIRECTORY_FORMAT}") {
        return Ok(Err(FormatProblem::Other(first.chars().take(64).collect())));
    }
    if check != format!("check {:08x}\n", crc32c::crc32c(body.as_bytes())) {
        return Ok(Err(FormatProblem::Other("its checksum is wrong".into())));
    }
    let id = lines.next().and_then(|line| line.strip_prefix("id ")).and_then(parse_hex);
    Ok(id.map(Identity).ok_or_else(|| FormatProblem::Other("its id cannot be read".into())))
}

fn parse_hex(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    let mut id = [0; 16];
    for (place, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(id)
}

/// Writes the FORMAT file of a new ledger.
pub(crate) fn write_format(disk: &dyn Disk, dir: &Path) -> io::Result<Identity> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(io::Error::from)?;
    let id_text: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = format!("daybook-ledger {DIRECTORY_FORMAT}\nid {id_text}\n");
    text.push_str(&format!("check {:08x}\n", crc32c::crc32c(text.as_bytes())));
    replace_file(disk, &dir.join(FORMAT), text.as_bytes())?;
    Ok(Identity(id))
}

/// The segments of a directory, read and checked, and nothing changed yet.
pub(crate) struct Found {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segments: Vec<Segment>,
    /// What stands behind the last frame of the last segment, if that one is raw.
    behind: Behind,
    recorded: Option<Recorded>,
    spares: Vec<PathBuf>,
    /// Files that only a writer may remove: unfinished ones, and raw segments that have been sealed.
    leftovers: Vec<PathBuf>,
}

/// Finds the segments of `dir` and checks that they follow on, without changing anything.
pub(crate) fn find(disk: &Arc<dyn Disk>, dir: &Path, write: bool) -> Result<Found, ReadError> {
    let mode = if write { Mode::Write } else { Mode::Read };
    let (mut raw, mut sealed) = (Vec::new(), Vec::new());
    let (mut spares, mut leftovers) = (Vec::new(), Vec::new());
    for name in disk.list(dir)? {
        if let Some(first) = parse_raw_name(&name) {
            raw.push(first);
        } else if let Some(first) = parse_sealed_name(&name) {
            sealed.push(first);
        } else if is_spare(&name) {
            spares.push(dir.join(name));
        } else if is_leftover(&name) {
            leftovers.push(dir.join(name));
        }
    }
    // Where a crash came between sealing and removing the raw segment, the sealed one counts if it is sound.
    let twice: Vec<u64> = raw.iter().copied().filter(|first| sealed.contains(first)).collect();
    for first in twice {
        let path = dir.join(sealed_name(first));
        let sound = Sealed::open(&**disk, &path).and_then(|twin| twin.verify(&mut |_| ()));
        if let Err(error) = sound {
            tracing::warn!(%error, "a sealed segment is given up for the raw one it was made from");
            sealed.retain(|other| *other != first);
            leftovers.push(path);
        } else {
            raw.retain(|other| *other != first);
            leftovers.push(dir.join(raw_name(first)));
        }
    }
    let mut firsts: Vec<(u64, bool)> =
        raw.iter().map(|first| (*first, true)).chain(sealed.iter().map(|first| (*first, false))).collect();
    firsts.sort_unstable();
    let mut segments = Vec::with_capacity(firsts.len());
    let mut behind = Behind::Nothing;
    let mut next = 1;
    for (place, (first, is_raw)) in firsts.iter().copied().enumerate() {
        let path = dir.join(if is_raw { raw_name(first) } else { sealed_name(first) });
        if first != next {
            let what = if first > next {
                format!("sequences {next} to {} are missing before this segment", first - 1)
            } else {
                format!("this segment begins below {next}, where the one before it ends")
            };
            return Err(Fault { sequence: next.min(first), file: path, offset: 0, what }.into());
        }
        if is_raw {
            let (segment, found) = RawSegment::open(&**disk, path, mode)?;
            if let Some((follower, _)) = firsts.get(place + 1)
                && segment.last() + 1 != *follower
            {
                return Err(damaged_at_end(&segment, "a frame is damaged: later ones are there").into());
            }
            next = segment.last() + 1;
            behind = found;
            segments.push(Segment::Raw(Arc::new(segment)));
        } else {
            let segment = Sealed::open(&**disk, &path)?;
            next = segment.last() + 1;
            behind = Behind::Nothing;
            segments.push(Segment::Sealed(Arc::new(segment)));
        }
    }
    let recorded = head::read(&**disk, dir)?;
    Ok(Found { disk: Arc::clone(disk), dir: dir.to_owned(), segments, behind, recorded, spares, leftovers })
}

fn is_leftover(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some_and(|stem| {
        stem == FORMAT
            || stem == head::HEAD
            || is_spare(stem)
            || parse_raw_name(stem).is_some()
            || parse_sealed_name(stem).is_some()
    })
}

fn damaged_at_end(segment: &RawSegment, what: &str) -> Fault {
    Fault {
        sequence: segment.last() + 1,
        file: segment.path.clone(),
        offset: segment.end(),
        what: what.to_owned(),
    }
}

impl Found {
    /// The last sequence found.
    pub(crate) fn head(&self) -> u64 {
        self.segments.last().map_or(0, Segment::last)
    }

    /// Whether the directory holds no segment at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    fn active(&self) -> Option<&Arc<RawSegment>> {
        match self.segments.last() {
            Some(Segment::Raw(raw)) => Some(raw),
            _ => None,
        }
    }

    /// Whether nothing was written since the last clean close.
    fn is_clean(&self) -> bool {
        let Some(recorded) = self.recorded.filter(|recorded| recorded.clean) else { return false };
        self.behind == Behind::Nothing
            && recorded.head == self.head()
            && self
                .active()
                .is_some_and(|raw| raw.header.generation == recorded.generation && raw.end() == recorded.end)
    }

    /// Decides whether what is missing at the end was ever acknowledged. `others` is the highest head that
    /// anything else has recorded.
    ///
    /// # Errors
    ///
    /// It was, or later frames are there: damage, named.
    pub(crate) fn check(&self, others: u64) -> Result<(), Fault> {
        if cfg!(seeded_bug = "cut_at_corruption") {
            return Ok(());
        }
        let head = self.head();
        if let (Behind::Frame { offset }, Some(active)) = (&self.behind, self.active()) {
            let what = format!("a frame is damaged: a whole one stands behind it at byte {offset}");
            return Err(damaged_at_end(active, &what));
        }
        let recorded = self.recorded.map_or(0, |recorded| recorded.head).max(others);
        if recorded > head {
            let what = format!("records up to {recorded} were acknowledged, and are missing or damaged");
            return Err(match self.active() {
                Some(active) => damaged_at_end(active, &what),
                None => Fault { sequence: head + 1, file: self.dir.clone(), offset: 0, what },
            });
        }
        Ok(())
    }

    /// What opening has to say.
    pub(crate) fn recovered(&self) -> Recovered {
        let cut = match (&self.behind, self.active()) {
            (Behind::Torn, Some(active)) => Some((active.last() + 1, active.path.clone(), active.end())),
            _ => None,
        };
        Recovered { cut, clean: self.is_clean() }
    }

    /// Reads every byte that is not a record's: the headers, the recorded head, the zeros. Where a torn commit
    /// may lie, nothing is said of what stands behind the last frame.
    pub(crate) fn check_around(&self) -> Result<(), ReadError> {
        let clean = self.is_clean();
        head::check(&*self.disk, &self.dir, self.head())?;
        for (place, segment) in self.segments.iter().enumerate() {
            if let Segment::Raw(raw) = segment {
                let closed = place + 1 < self.segments.len();
                raw.check_around(if clean || closed { raw.end() } else { raw.header.bytes })?;
            }
        }
        for path in &self.spares {
            let file = self.disk.open(path, Mode::Read)?;
            if let Some(offset) = first_not_zero(&*file, 0)? {
                let what = "a spare file holds a byte that is not zero".to_owned();
                return Err(Fault { sequence: self.head() + 1, file: path.clone(), offset, what }.into());
            }
        }
        Ok(())
    }

    /// A store that reads what was found and writes nothing.
    pub(crate) fn read_only(&self, layout: Layout, cache_bytes: usize) -> SegmentStore {
        let head = self.head();
        SegmentStore {
            files: Arc::new(Files {
                disk: Arc::clone(&self.disk),
                dir: self.dir.clone(),
                layout,
                segments: RwLock::new(self.segments.clone()),
                spares: Mutex::default(),
                cache: BlockCache::new(cache_bytes),
            }),
            head: watch::Sender::new(head),
            writing: Mutex::new(Writing {
                head_file: None,
                stopped: Some("the store is open for reading alone".into()),
            }),
            housekeeper: None,
        }
    }

    /// A store that goes on behind what was found. What [`check`](Self::check) let pass as torn is cut; after
    /// anything but a clean close, the last segment's frames are written anew, since those that were never
    /// synced may so far be in memory only.
    ///
    /// # Errors
    ///
    /// The disk does not answer.
    pub(crate) fn writable(mut self, layout: Layout, cache_bytes: usize) -> Result<SegmentStore, ReadError> {
        for path in &self.leftovers {
            self.disk.remove(path)?;
        }
        let head = self.head();
        let clean = self.is_clean();
        let mut head_file = HeadFile::open(&*self.disk, &self.dir)?;
        // A spare of another size would make a segment of another size, and one with anything in it a
        // segment whose end is not zeros.
        let (keep, drop): (Vec<PathBuf>, Vec<PathBuf>) = self.spares.drain(..).partition(|path| {
            self.disk
                .open(path, Mode::Read)
                .and_then(|file| Ok((file.size()?, first_not_zero(&*file, 0)?)))
                .is_ok_and(|found| found == (layout.segment_bytes, None))
        });
        for path in drop.iter().chain(keep.iter().skip(1)) {
            self.disk.remove(path)?;
        }
        let files = Files {
            disk: Arc::clone(&self.disk),
            dir: self.dir.clone(),
            layout,
            segments: RwLock::default(),
            spares: Mutex::new(keep.into_iter().take(1).collect()),
            cache: BlockCache::new(cache_bytes),
        };
        let mut segments = self.segments;
        match segments.pop() {
            Some(Segment::Raw(active)) if clean => segments.push(Segment::Raw(active)),
            Some(Segment::Raw(active)) => {
                let renewed = renew(&files, active)?;
                segments.push(Segment::Raw(renewed));
            }
            other => {
                segments.extend(other);
                segments.push(Segment::Raw(Arc::new(files.new_segment(head + 1)?)));
            }
        }
        let head = segments.last().map_or(0, Segment::last);
        *files.segments.write().unwrap_or_else(std::sync::PoisonError::into_inner) = segments;
        head_file.record(head, None)?;
        let files = Arc::new(files);
        let housekeeper = Housekeeper::start(Arc::clone(&files))?;
        Ok(SegmentStore {
            files,
            head: watch::Sender::new(head),
            writing: Mutex::new(Writing { head_file: Some(head_file), stopped: None }),
            housekeeper: Some(housekeeper),
        })
    }
}

/// Writes a segment's frames into a fresh file and puts that in its place; on a disk too full for a second
/// file, writes them over themselves.
fn renew(files: &Files, active: Arc<RawSegment>) -> Result<Arc<RawSegment>, ReadError> {
    match copy(files, &active) {
        Ok(copied) => Ok(Arc::new(copied)),
        Err(ReadError::Io(error)) if is_full(&error) => {
            tracing::warn!("the disk is full: the last segment is renewed in place");
            active.rewrite_in_place()?;
            Ok(active)
        }
        Err(error) => Err(error),
    }
}

fn copy(files: &Files, active: &RawSegment) -> Result<RawSegment, ReadError> {
    let path = active.path.clone();
    let unfinished = beside(&path);
    let bytes = files.layout.segment_bytes.max(active.end());
    let free = files.disk.free_bytes(&files.dir)?;
    if free < bytes.saturating_add(files.layout.reserve_bytes) {
        return Err(io::Error::from(ErrorKind::StorageFull).into());
    }
    let file = create_zeroed(&*files.disk, &unfinished, bytes)?;
    let header =
        SegmentHeader { generation: generation()?, first_sequence: active.header.first_sequence, bytes };
    let copied = RawSegment::begin(file, path.clone(), header)?;
    let mut frame = Vec::new();
    active.frames(&mut |from, body| {
        if cfg!(seeded_bug = "reuse_sequence") && from.last_sequence() == active.last() {
            return Ok(());
        }
        open_frame(&mut frame);
        frame.extend_from_slice(body);
        debug_assert_eq!(frame.len(), FRAME_HEADER_BYTES + body.len());
        close_frame(&mut frame, header.generation, from.first_sequence, from.count)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        copied.write(&frame)?;
        copied.enter(from.first_sequence, from.last_sequence(), frame.len() as u64);
        Ok(())
    })?;
    copied.sync()?;
    let shorter = cfg!(seeded_bug = "reuse_sequence");
    if !shorter && (copied.last() != active.last() || copied.end() != active.end()) {
        let what = "the copy of the last segment does not end where it does".to_owned();
        return Err(Fault { sequence: copied.last(), file: path, offset: SEGMENT_HEADER_BYTES, what }.into());
    }
    files.disk.rename(&unfinished, &path)?;
    files.disk.sync_dir(&files.dir)?;
    Ok(copied)
}
