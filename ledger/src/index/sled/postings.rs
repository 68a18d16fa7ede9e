//! Where a stream's records are: one posting for each block of 65,536 sequences in which it has any.

use crate::bytes::{Reader, Short, put_varint};

/// Sequences of one block, as the power of two.
const BLOCK_BITS: u32 = 16;

/// Bytes of a bitmap over one block.
const BITMAP_BYTES: usize = 1 << (BLOCK_BITS - 3);

/// Up to here two bytes for each position are fewer than a bitmap takes.
const LISTED_MAX: usize = BITMAP_BYTES / 2;

const LIST: u8 = 0;
const BITMAP: u8 = 1;

/// The block of sequences that `sequence` lies in.
pub(super) fn block_of(sequence: u64) -> u64 {
    sequence >> BLOCK_BITS
}

fn position_of(sequence: u64) -> u16 {
    let [low, high, ..] = sequence.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// The positions of one stream's records within one block, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Posting {
    pub(super) block: u64,
    positions: Vec<u16>,
}

impl Posting {
    pub(super) fn new(block: u64) -> Posting {
        Posting { block, positions: Vec::new() }
    }

    /// How many records it stands for.
    pub(super) fn count(&self) -> usize {
        self.positions.len()
    }

    /// Adds a sequence of its block, which must lie above all before it.
    pub(super) fn push(&mut self, sequence: u64) -> bool {
        let position = position_of(sequence);
        let follows =
            block_of(sequence) == self.block && self.positions.last().is_none_or(|last| *last < position);
        if follows {
            self.positions.push(position);
        }
        follows
    }

    /// The sequences, ascending.
    pub(super) fn sequences(&self) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator {
        let base = self.block << BLOCK_BITS;
        self.positions.iter().map(move |position| base | u64::from(*position))
    }

    /// The stored form: the block as a varint, then a list of 16-bit positions or a bitmap.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + (self.positions.len() * 2).min(BITMAP_BYTES));
        put_varint(&mut out, self.block);
        if self.positions.len() <= LISTED_MAX {
            out.push(LIST);
            out.extend(self.positions.iter().flat_map(|position| position.to_le_bytes()));
        } else {
            out.push(BITMAP);
            let start = out.len();
            out.resize(start + BITMAP_BYTES, 0);
            for position in &self.positions {
                out[start + usize::from(position / 8)] |= 1 << (position % 8);
            }
        }
        out
    }

    /// How many records a stored posting stands for, and the bytes of its positions.
    fn open(bytes: &[u8]) -> Result<(u64, u8, &[u8]), Short> {
        let mut reader = Reader::new(bytes);
        let (block, form) = (reader.varint()?, reader.u8()?);
        match (form, reader.left()) {
            (LIST, left) if left > 0 && left % 2 == 0 => {}
            (BITMAP, BITMAP_BYTES) => {}
            _ => return Err(Short),
        }
        Ok((block, form, reader.rest()))
    }

    /// How many records a stored posting stands for, without reading each.
    pub(super) fn stored_count(bytes: &[u8]) -> Result<u64, Short> {
        let (_, form, positions) = Posting::open(bytes)?;
        Ok(match form {
            LIST => positions.len() as u64 / 2,
            _ => positions.iter().map(|byte| u64::from(byte.count_ones())).sum(),
        })
    }

    /// Reads the stored form.
    pub(super) fn read(bytes: &[u8]) -> Result<Posting, Short> {
        let (block, form, stored) = Posting::open(bytes)?;
        if block > u64::MAX >> BLOCK_BITS {
            return Err(Short);
        }
        let mut positions = Vec::new();
        if form == LIST {
            positions.extend(stored.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes)));
            if !positions.is_sorted_by(|a, b| a < b) {
                return Err(Short);
            }
        } else {
            for (at, byte) in (0u16..).zip(stored) {
                let mut left = *byte;
                while left != 0 {
                    let bit = left.trailing_zeros();
                    positions.push(at * 8 + u16::try_from(bit).map_err(|_| Short)?);
                    left &= left - 1;
                }
            }
        }
        Ok(Posting { block, positions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_sequences_come_back(
            block in 0..1u64 << 40,
            positions in prop::collection::btree_set(any::<u16>(), 1..6_000),
        ) {
            let sequences: BTreeSet<u64> = positions.iter().map(|at| block << 16 | u64::from(*at)).collect();
            let mut posting = Posting::new(block);
            for sequence in &sequences {
                prop_assert!(posting.push(*sequence));
            }
            let stored = posting.write();
            prop_assert!(stored.len() <= BITMAP_BYTES + 16);
            prop_assert_eq!(Posting::stored_count(&stored), Ok(sequences.len() as u64));
            let back = Posting::read(&stored).unwrap();
            prop_assert!(back.sequences().eq(sequences.iter().copied()));
            prop_assert_eq!(back, posting);
        }
    }

    #[test]
    fn only_a_later_sequence_of_the_same_block_is_taken() {
        let mut posting = Posting::new(1);
        assert!(posting.push((1 << 16) + 5));
        assert!(!posting.push((1 << 16) + 5));
        assert!(!posting.push((1 << 16) + 4));
        assert!(!posting.push(2 << 16));
        assert_eq!(posting.count(), 1);
    }

    #[test]
    fn bytes_no_writer_wrote_are_refused() {
        for bytes in
            [&[][..], &[1], &[1, LIST], &[1, LIST, 0], &[1, BITMAP, 0], &[1, 7, 0, 0], &[1, LIST, 5, 0, 5, 0]]
        {
            assert!(Posting::read(bytes).is_err(), "{bytes:?}");
        }
    }
}
