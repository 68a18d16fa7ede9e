//! The housekeeper: seals full segments and keeps a file ready for the next one, behind the writer's back.
//!
//! A sealed file is complete, synced and read back in full before its raw segment goes, so whatever happens in
//! between leaves at least one of the two.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::raw::{RawSegment, create_zeroed, parse_name};
use super::{Files, Segment};
use crate::disk::beside;
use crate::sealed::{Sealed, SealedError, Writer};
use crate::store::{Fault, ReadError};

/// How long to wait after a failure, such as a full disk.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The name of the sealed segment that begins at a sequence.
pub(crate) fn sealed_name(first_sequence: u64) -> String {
    format!("{first_sequence:020}.sealed")
}

/// The first sequence that the name of a sealed segment says.
pub(crate) fn parse_sealed_name(name: &str) -> Option<u64> {
    parse_name(name, ".sealed")
}

/// Whether a name is that of a spare file.
pub(crate) fn is_spare(name: &str) -> bool {
    name.strip_prefix("spare-").and_then(|rest| parse_name(rest, ".log")).is_some()
}

impl From<SealedError> for ReadError {
    fn from(error: SealedError) -> ReadError {
        match error {
            SealedError::Io { source, .. } => source.into(),
            SealedError::Damaged { path, offset, first, what, .. } => {
                let named = path.file_name().and_then(|name| name.to_str()).and_then(parse_sealed_name);
                let sequence = if first == 0 { named.unwrap_or(0) } else { first };
                Fault { sequence, file: path, offset, what: what.to_owned() }.into()
            }
            SealedError::Format { ref path, .. } => {
                let named = path.file_name().and_then(|name| name.to_str()).and_then(parse_sealed_name);
                Fault { sequence: named.unwrap_or(0), file: path.clone(), offset: 0, what: error.to_string() }
                    .into()
            }
            SealedError::Refused { sequence, what } => {
                Fault { sequence, file: PathBuf::new(), offset: 0, what: what.to_owned() }.into()
            }
        }
    }
}

#[derive(Default)]
struct Work {
    wanted: bool,
    busy: bool,
}

struct Desk {
    work: Mutex<Work>,
    changed: Condvar,
    stop: AtomicBool,
}

impl Desk {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread.
pub(crate) struct Housekeeper {
    desk: Arc<Desk>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Housekeeper {
    pub(crate) fn start(files: Arc<Files>) -> io::Result<Housekeeper> {
        let desk = Arc::new(Desk {
            work: Mutex::new(Work { wanted: true, busy: false }),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let thread = {
            let desk = Arc::clone(&desk);
            std::thread::Builder::new().name("ledger-seal".into()).spawn(move || keep_house(&files, &desk))?
        };
        Ok(Housekeeper { desk, thread: Mutex::new(Some(thread)) })
    }

    /// Tells that a segment was closed, or that the active one is half full.
    pub(crate) fn wake(&self) {
        self.desk.work().wanted = true;
        self.desk.changed.notify_all();
    }

    /// Waits until there is nothing to do, or it failed.
    pub(crate) fn wait_idle(&self) {
        let work = self.desk.work();
        drop(
            self.desk
                .changed
                .wait_while(work, |work| {
                    (work.wanted || work.busy) && !self.desk.stop.load(Ordering::Acquire)
                })
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Stops after the step at hand.
    pub(crate) fn stop(&self) {
        self.desk.stop.store(true, Ordering::Release);
        drop(self.desk.work());
        self.desk.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn keep_house(files: &Files, desk: &Desk) {
    let mut failed = false;
    loop {
        {
            let mut work = desk.work();
            work.busy = false;
            desk.changed.notify_all();
            while !work.wanted && !desk.stop.load(Ordering::Acquire) {
                if failed {
                    let (guard, waited) =
                        desk.changed.wait_timeout(work, RETRY_AFTER).unwrap_or_else(PoisonError::into_inner);
                    work = guard;
                    work.wanted |= waited.timed_out();
                } else {
                    work = desk.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
                }
            }
            if desk.stop.load(Ordering::Acquire) {
                return;
            }
            work.wanted = false;
            work.busy = true;
        }
        failed = false;
        // The file for the next segment comes first: the writer may be about to need it.
        if let Err(error) = prepare_spare(files) {
            tracing::warn!(%error, "no file could be prepared for the next segment");
        }
        while files.layout.seal
            && !failed
            && let Some(raw) = oldest_full(files)
        {
            match seal(files, &raw, desk) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "a segment could not be sealed; it stays as it is");
                    failed = true;
                }
            }
        }
    }
}

/// Makes a spare file when the active segment is half full and the disk has room.
fn prepare_spare(files: &Files) -> io::Result<()> {
    let Some(active) = files.active() else { return Ok(()) };
    if active.room() > active.header.bytes / 2 || !files.spares().is_empty() {
        return Ok(());
    }
    files.has_room()?;
    let path = spare_path(files, active.header.first_sequence);
    let unfinished = beside(&path);
    drop(create_zeroed(&*files.disk, &unfinished, files.layout.segment_bytes)?);
    files.disk.rename(&unfinished, &path)?;
    files.spares().push(path);
    Ok(())
}

fn spare_path(files: &Files, first_sequence: u64) -> PathBuf {
    files.dir.join(format!("spare-{first_sequence:020}.log"))
}

fn oldest_full(files: &Files) -> Option<Arc<RawSegment>> {
    let segments = files.segments();
    let full = segments.split_last()?.1;
    full.iter().find_map(|segment| match segment {
        Segment::Raw(raw) => Some(Arc::clone(raw)),
        Segment::Sealed(_) => None,
    })
}

/// Seals one segment; false if told to stop.
fn seal(files: &Files, raw: &RawSegment, desk: &Desk) -> Result<bool, ReadError> {
    let first = raw.header.first_sequence;
    let path = files.dir.join(sealed_name(first));
    // A file that does not fit is not begun: its first half would take the room that the writer still has.
    if files.disk.free_bytes(&files.dir)? < raw.header.bytes {
        return Err(io::Error::from(io::ErrorKind::StorageFull).into());
    }
    let mut writer = Writer::create(&*files.disk, &path, first)?;
    let mut failed = None;
    let flow = raw.scan(first, &mut |body| {
        if desk.stop.load(Ordering::Acquire) {
            return ControlFlow::Break(());
        }
        match writer.push_body(body) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        drop(writer);
        drop(files.disk.remove(&beside(&path)));
        return Err(error.into());
    }
    if flow.is_break() {
        return Ok(false);
    }
    writer.finish()?;
    let sealed = Sealed::open(&*files.disk, &path)?;
    sealed.verify(&mut |_| ())?;
    if (sealed.first(), sealed.last()) != (first, raw.last()) {
        let what = "the sealed segment does not end where the raw one does".to_owned();
        return Err(Fault { sequence: sealed.last(), file: path, offset: 0, what }.into());
    }
    {
        let mut segments = files.segments.write().unwrap_or_else(PoisonError::into_inner);
        let place = segments.partition_point(|segment| segment.first() < first);
        if let Some(slot) = segments.get_mut(place) {
            *slot = Segment::Sealed(Arc::new(sealed));
        }
    }
    // A reader that is still at it keeps what it has open.
    files.disk.remove(&raw.path)?;
    Ok(true)
}
