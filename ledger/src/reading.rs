//! Reading records one by one and by key, above the seam.

use std::ops::ControlFlow;

use crate::append::Appended;
use crate::frame::{BodyError, CommitPart, CommitTail};
use crate::index::{IndexError, KeyHash};
use crate::record::RecordView;
use crate::store::{Body, CommitStore, Fault, ReadError};
use crate::tail::Finder;

/// Up to this many records between two that are wanted, the scan goes on; above, it starts anew.
const NEAR: u64 = 512;

pub(crate) fn damaged(error: &BodyError, body: &Body<'_>) -> ReadError {
    ReadError::Damaged(Fault {
        sequence: body.first_sequence(),
        file: std::path::PathBuf::new(),
        offset: 0,
        what: error.to_string(),
    })
}

/// Sees records, and says whether to go on.
pub(crate) type Visit<'v> = dyn FnMut(&RecordView<'_>) -> ControlFlow<()> + 'v;
/// Sees bodies, and says whether to go on.
pub(crate) type VisitBody<'v> = dyn FnMut(&Body<'_>) -> ControlFlow<()> + 'v;

/// Shows the records from `from` to `to`, both inclusive, out of the bodies that `scan` shows.
pub(crate) fn visit_bodies(
    from: u64,
    to: u64,
    visit: &mut Visit<'_>,
    scan: &mut dyn FnMut(&mut VisitBody<'_>) -> Result<(), ReadError>,
) -> Result<ControlFlow<()>, ReadError> {
    if from > to {
        return Ok(ControlFlow::Continue(()));
    }
    let (mut failed, mut stopped) = (None, false);
    scan(&mut |body| match body.visit(from, to, &mut *visit) {
        Ok(ControlFlow::Continue(())) if body.last_sequence() < to => ControlFlow::Continue(()),
        Ok(flow) => {
            stopped = flow.is_break();
            ControlFlow::Break(())
        }
        Err(error) => {
            failed = Some(damaged(&error, body));
            ControlFlow::Break(())
        }
    })?;
    match failed {
        Some(failed) => Err(failed),
        None if stopped => Ok(ControlFlow::Break(())),
        None => Ok(ControlFlow::Continue(())),
    }
}

/// Shows the records with these sequences, which ascend and may repeat, each once, out of the bodies that
/// `scan` shows from a sequence on.
pub(crate) fn pick_bodies(
    sequences: &[u64],
    visit: &mut Visit<'_>,
    scan: &mut dyn FnMut(u64, &mut VisitBody<'_>) -> Result<(), ReadError>,
) -> Result<ControlFlow<()>, ReadError> {
    let mut at = 0;
    while let Some(&start) = sequences.get(at) {
        let (mut stopped, mut failed) = (false, None);
        let begun = at;
        scan(start, &mut |body| {
            let Some(&from) = sequences.get(at) else { return ControlFlow::Break(()) };
            if from > body.last_sequence() {
                let near = from - body.last_sequence() < NEAR;
                return if near { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
            }
            let within = sequences[at..].partition_point(|sequence| *sequence <= body.last_sequence());
            let to = sequences[at + within - 1];
            let seen = body.visit(from, to, |record| {
                if sequences.get(at) == Some(&record.sequence) {
                    while sequences.get(at) == Some(&record.sequence) {
                        at += 1;
                    }
                    if visit(record).is_break() {
                        stopped = true;
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            });
            if let Err(error) = seen {
                failed = Some(damaged(&error, body));
            }
            if stopped || failed.is_some() {
                return ControlFlow::Break(());
            }
            // What is wanted next lies in a later body: everything wanted of this one has been shown.
            let near = |next: &u64| next.saturating_sub(body.last_sequence()) < NEAR;
            if sequences.get(at).is_some_and(near) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if let Some(failed) = failed {
            return Err(failed);
        }
        if stopped {
            return Ok(ControlFlow::Break(()));
        }
        if at == begun {
            return Err(unknown(start));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The error for a sequence that only an index can have named.
pub(crate) fn unknown(sequence: u64) -> ReadError {
    ReadError::Index(IndexError::Broken(format!("it names sequence {sequence}, which is not in the log")))
}

/// The commit that carries this key, as it was answered, and the hash of its content.
pub(crate) fn find_commit(
    store: &dyn CommitStore,
    finder: &Finder,
    key: &str,
) -> Result<Option<(Appended, [u8; 32])>, ReadError> {
    for last in finder.commit_candidates(KeyHash::of(key))? {
        let mut found = None;
        store.part_of(last, &mut |first, part| {
            let ends = first + u64::from(part.records) == last + 1;
            let tail = part.tail.as_ref().filter(|_| ends);
            if let Some(tail) = tail
                && let Some((commit_key, content)) = tail.key
                && commit_key == key
            {
                found = Some((answer_again(last, part, tail), *content));
            }
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Shows the part of a body that holds a sequence, if it is the body's.
pub(crate) fn show_part(body: &Body<'_>, sequence: u64, show: &mut dyn FnMut(u64, &CommitPart<'_>)) {
    let mut first = body.first_sequence();
    for part in body.parts() {
        let next = first + u64::from(part.records);
        if (first..next).contains(&sequence) {
            show(first, part);
            return;
        }
        first = next;
    }
}

/// The answer that the commit ending at `last` was given, out of its last part.
fn answer_again(last: u64, part: &CommitPart<'_>, tail: &CommitTail<'_>) -> Appended {
    let new = part.before as usize + part.records as usize;
    let mut next = (last + 1).saturating_sub(new as u64);
    let mut known = tail.known.iter().peekable();
    let mut sequences = Vec::with_capacity(new + tail.known.len());
    for place in 0..new + tail.known.len() {
        if let Some((_, sequence)) = known.next_if(|(at, _)| *at as usize == place) {
            sequences.push(*sequence);
        } else {
            sequences.push(next);
            next += 1;
        }
    }
    Appended { sequences, new, head: last, recorded_at: part.recorded_at, already: true }
}
