//! Checking a sealed segment piece by piece, so that several threads share one: its bytes as a whole, and the stretches,
//! whose records and commits are shown as they are checked.

use std::ops::ControlFlow;

use super::parts::Parts;
use super::reader::{Buffers, Sealed};
use super::{ENTRY_HAS_CURSORS, ENTRY_HAS_KEYS, SealedError, TRAILER_BYTES};
use crate::bytes::Short;
use crate::frame::CommitPart;
use crate::record::RecordView;

/// Bytes hashed at a time.
const HASHED_AT_ONCE: usize = 1 << 20;

impl Sealed {
    /// The first sequence of every stretch.
    pub(crate) fn starts(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().map(|entry| entry.first)
    }

    /// Checks the hash over all that stands before the trailer.
    ///
    /// # Errors
    ///
    /// [`SealedError::Io`], or [`SealedError::Damaged`].
    pub(crate) fn check_hash(&self) -> Result<(), SealedError> {
        let (mut hasher, mut bytes) = (blake3::Hasher::new(), vec![0; HASHED_AT_ONCE]);
        let (mut at, end) = (0, self.bytes() - TRAILER_BYTES as u64);
        while at < end {
            let some = usize::try_from(end - at).unwrap_or(HASHED_AT_ONCE).min(HASHED_AT_ONCE);
            self.read(at, &mut bytes[..some])?;
            hasher.update(&bytes[..some]);
            at += some as u64;
        }
        if *hasher.finalize().as_bytes() != self.content_hash {
            return Err(self.damaged_at(0, "the file's hash is not the one its trailer states"));
        }
        Ok(())
    }

    /// Checks the stretches whose first sequence lies from `from` to `to`: every checksum, that the records fill their
    /// blocks and the commits the records. Shows the records, and behind those of a stretch the parts of its commits.
    /// How commits go on from one stretch to the next is left to whoever sees them.
    ///
    /// # Errors
    ///
    /// [`SealedError::Io`], or [`SealedError::Damaged`] naming the sequences.
    pub(crate) fn check_stretches(
        &self,
        from: u64,
        to: u64,
        seen: &mut impl Seeing,
    ) -> Result<(), SealedError> {
        let mut buffers = Buffers::default();
        let start = self.entries.partition_point(|entry| entry.first < from);
        for entry in self.entries[start..].iter().take_while(|entry| entry.first <= to) {
            self.load_stretch(entry, &mut buffers.stored, &mut buffers.raw, &mut buffers.stretch)?;
            let parts = std::mem::take(&mut buffers.stretch.parts);
            let mut began = None;
            let _ = self.walk::<true>(&mut buffers, entry.first, entry.last(), |record| {
                began.get_or_insert(record.recorded_at);
                seen.record(record);
                ControlFlow::Continue(())
            })?;
            if began != Some(entry.recorded_at) {
                return Err(self.damaged(entry, "the footer states another time than the block"));
            }
            let short = |_: Short| self.damaged(entry, "its commits end early");
            let (mut count, mut flags, mut next) = (0, 0, entry.first);
            let mut parts = Parts::new(entry.first, &parts);
            while let Some((first, part)) = parts.next().map_err(short)? {
                next = first + u64::from(part.records);
                if part.after > 0 && next <= entry.last() {
                    return Err(self.damaged(entry, "its commits do not follow one another"));
                }
                if let Some(tail) = &part.tail {
                    count += 1;
                    flags |= tail.key.map_or(0, |_| ENTRY_HAS_KEYS);
                    flags |= if tail.cursors.is_empty() { 0 } else { ENTRY_HAS_CURSORS };
                }
                seen.part(first, &part);
            }
            if count != entry.commits || flags != entry.flags {
                return Err(self.damaged(entry, "the footer lists other commits than the stretch"));
            }
            if next != entry.last() + 1 {
                return Err(self.damaged(entry, "its commits do not hold exactly its records"));
            }
        }
        Ok(())
    }
}

/// Sees what is in a log while it is checked.
pub(crate) trait Seeing {
    /// The next record.
    fn record(&mut self, record: &RecordView<'_>);

    /// The next part of a commit, which begins at a sequence; its records were shown before.
    fn part(&mut self, first: u64, part: &CommitPart<'_>);
}
