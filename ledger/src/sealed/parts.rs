//! The parts of commits that lie in a block: how many records each has here, before and after, and, where the
//! commit ends, its key, cursor moves and known records.

use crate::bytes::{Reader, Short, put_counted, put_size, put_varint};
use crate::frame::{CommitPart, CommitTail};

const HAS_KEY: u8 = 1;
const HAS_CURSORS: u8 = 2;
const HAS_KNOWN: u8 = 4;

/// Appends what a commit carries besides its records.
pub(super) fn write_tail(tail: &CommitTail<'_>, out: &mut Vec<u8>) {
    let mut flags = 0;
    for (flag, set) in [
        (HAS_KEY, tail.key.is_some()),
        (HAS_CURSORS, !tail.cursors.is_empty()),
        (HAS_KNOWN, !tail.known.is_empty()),
    ] {
        if set {
            flags |= flag;
        }
    }
    out.push(flags);
    if let Some((key, hash)) = tail.key {
        put_counted(out, key.as_bytes());
        out.extend_from_slice(hash);
    }
    if !tail.cursors.is_empty() {
        put_size(out, tail.cursors.len());
        for (source, to) in &tail.cursors {
            put_counted(out, source.as_bytes());
            put_counted(out, to);
        }
    }
    if !tail.known.is_empty() {
        put_size(out, tail.known.len());
        for (position, sequence) in &tail.known {
            put_varint(out, u64::from(*position));
            put_varint(out, *sequence);
        }
    }
}

/// Appends one part; `tail`, as [`write_tail`] wrote it, only where the commit ends.
pub(super) fn write_part(records: u32, before: u32, after: u32, tail: &[u8], out: &mut Vec<u8>) {
    for count in [records, before, after] {
        put_varint(out, u64::from(count));
    }
    if after == 0 {
        out.extend_from_slice(tail);
    }
}

fn read_tail<'a>(reader: &mut Reader<'a>) -> Result<CommitTail<'a>, Short> {
    let flags = reader.u8()?;
    if flags & !(HAS_KEY | HAS_CURSORS | HAS_KNOWN) != 0 {
        return Err(Short);
    }
    let mut tail = CommitTail::default();
    if flags & HAS_KEY != 0 {
        let key = std::str::from_utf8(reader.counted()?).map_err(|_| Short)?;
        tail.key = Some((key, reader.array()?));
    }
    if flags & HAS_CURSORS != 0 {
        for _ in 0..reader.size()? {
            let source = std::str::from_utf8(reader.counted()?).map_err(|_| Short)?;
            tail.cursors.push((source, reader.counted()?));
        }
    }
    if flags & HAS_KNOWN != 0 {
        for _ in 0..reader.size()? {
            let position = u32::try_from(reader.varint()?).map_err(|_| Short)?;
            tail.known.push((position, reader.varint()?));
        }
    }
    Ok(tail)
}

/// Reads the parts of a block front to back, each with the sequence of its first record here.
pub(super) struct Parts<'a> {
    next: u64,
    reader: Reader<'a>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(first: u64, bytes: &'a [u8]) -> Parts<'a> {
        Parts { next: first, reader: Reader::new(bytes) }
    }

    /// The next part, with `recorded_at` still to be taken from its first record. `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<(u64, CommitPart<'a>)>, Short> {
        if self.reader.left() == 0 {
            return Ok(None);
        }
        let mut counts = [0; 3];
        for count in &mut counts {
            *count = u32::try_from(self.reader.varint()?).map_err(|_| Short)?;
        }
        let [records, before, after] = counts;
        before.checked_add(records).and_then(|sum| sum.checked_add(after)).ok_or(Short)?;
        if records == 0 {
            return Err(Short);
        }
        let tail = if after == 0 { Some(read_tail(&mut self.reader)?) } else { None };
        let first = self.next;
        self.next = first.checked_add(u64::from(records)).ok_or(Short)?;
        Ok(Some((first, CommitPart { records, before, after, recorded_at: 0, tail })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_comes_back_with_its_key_cursors_and_known_records() {
        let tail = CommitTail {
            key: Some(("post-17", &[9; 32])),
            cursors: vec![("alpaca", b"page 3"), ("ibkr", b"")],
            known: vec![(0, 7), (4, 1 << 40)],
        };
        let (mut tail_bytes, mut out) = (Vec::new(), Vec::new());
        write_tail(&tail, &mut tail_bytes);
        write_part(3, 0, 5, &tail_bytes, &mut out);
        write_part(5, 3, 0, &tail_bytes, &mut out);
        let mut parts = Parts::new(100, &out);
        let (first, part) = parts.next().unwrap().unwrap();
        assert_eq!((first, part.records, part.before, part.after, part.tail), (100, 3, 0, 5, None));
        let (first, part) = parts.next().unwrap().unwrap();
        assert_eq!((first, part.records, part.before, part.after), (103, 5, 3, 0));
        assert_eq!(part.tail, Some(tail));
        assert_eq!(parts.next(), Ok(None));
        for cut in 1..out.len() {
            let mut parts = Parts::new(100, &out[..cut]);
            let whole = std::iter::from_fn(|| parts.next().transpose()).take_while(Result::is_ok).count();
            assert!(whole < 2, "a cut at {cut} of {} leaves at most the first part", out.len());
        }
    }
}
