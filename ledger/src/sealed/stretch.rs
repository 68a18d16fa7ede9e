//! The head of a stretch: which lane each of its records lies in, the blocks of every lane, and its commits.

use super::block::Malformed;
use super::{BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, LANES_MAX, STRETCH_RECORDS_MAX};
use crate::bytes::{Reader, Short};

/// One block, as its stretch lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockEntry {
    pub(super) lane: u8,
    /// Where its header begins in the file.
    pub(super) offset: u64,
    /// Bytes in the file, header included.
    pub(super) stored: u32,
    /// Bytes before compression.
    pub(super) raw: u32,
    pub(super) records: u32,
}

/// A stretch: consecutive records, spread over the blocks of their lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) first: u64,
    /// The lane of each record.
    pub(super) lanes: Vec<u8>,
    /// In the order in which they lie in the file.
    pub(super) blocks: Vec<BlockEntry>,
    /// The parts of its commits.
    pub(super) parts: Vec<u8>,
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Index of its block among the stretch's.
    pub(super) block: usize,
    /// Its position in the block.
    pub(super) position: usize,
}

fn occurrences(lanes: &[u8], lane: u8) -> usize {
    // In steps that fit a byte's worth of hits, which the compiler turns into vector instructions.
    let count = |step: &[u8]| usize::from(step.iter().map(|other| u8::from(*other == lane)).sum::<u8>());
    lanes.chunks(255).map(count).sum()
}

impl Stretch {
    /// Empties it for the stretch that begins with `first`.
    pub(super) fn restart(&mut self, first: u64) {
        self.first = first;
        self.lanes.clear();
        self.blocks.clear();
        self.parts.clear();
    }

    pub(super) fn count(&self) -> usize {
        self.lanes.len()
    }

    /// Bytes held in memory.
    pub(super) fn memory(&self) -> usize {
        self.lanes.capacity()
            + self.blocks.capacity() * size_of::<BlockEntry>()
            + self.parts.capacity()
            + size_of::<Stretch>()
    }

    /// How many records of `lane` lie before the one at `index`.
    pub(super) fn rank(&self, lane: u8, index: usize) -> usize {
        occurrences(self.lanes.get(..index).unwrap_or(&self.lanes), lane)
    }

    /// How many records of `lane` lie from the one at `from` on, up to and without the one at `to`.
    pub(super) fn between(&self, lane: u8, from: usize, to: usize) -> usize {
        occurrences(self.lanes.get(from..to).unwrap_or_default(), lane)
    }

    /// Whether the block begins with the record `sequence`.
    pub(super) fn begins(&self, block: usize, sequence: u64) -> bool {
        let Some(entry) = self.blocks.get(block) else { return false };
        let Some(index) = sequence.checked_sub(self.first).and_then(|index| usize::try_from(index).ok())
        else {
            return false;
        };
        let of_lane = self.blocks[..block].iter().filter(|other| other.lane == entry.lane);
        let before: usize = of_lane.map(|other| other.records as usize).sum();
        self.lanes.get(index) == Some(&entry.lane) && self.rank(entry.lane, index) == before
    }

    /// Where the record of `lane` is that has `rank` others of the lane before it.
    pub(super) fn place(&self, lane: u8, rank: usize) -> Option<Place> {
        let mut position = rank;
        for (block, entry) in self.blocks.iter().enumerate().filter(|(_, entry)| entry.lane == lane) {
            if position < entry.records as usize {
                return Some(Place { block, position });
            }
            position -= entry.records as usize;
        }
        None
    }

    /// The sequences of a block's first and last record.
    pub(super) fn span(&self, block: usize) -> Option<(u64, u64)> {
        let entry = self.blocks.get(block)?;
        let of_lane = self.blocks[..block].iter().filter(|other| other.lane == entry.lane);
        let before: usize = of_lane.map(|other| other.records as usize).sum();
        let mut of_lane =
            (self.first..).zip(&self.lanes).filter(|(_, lane)| **lane == entry.lane).skip(before);
        let (first, _) = of_lane.next()?;
        let (last, _) = of_lane.take((entry.records as usize).checked_sub(1)?).last().unwrap_or((first, &0));
        Some((first, last))
    }

    /// Writes the stored form to `out`, which is emptied first.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        for count in [self.blocks.len(), self.lanes.len(), self.parts.len()] {
            let count = u32::try_from(count).expect("a stretch's parts are far below 4 GiB");
            out.extend_from_slice(&count.to_le_bytes());
        }
        for block in &self.blocks {
            out.extend_from_slice(&[block.lane, 0, 0, 0]);
            out.extend_from_slice(&block.stored.to_le_bytes());
            out.extend_from_slice(&block.raw.to_le_bytes());
            out.extend_from_slice(&block.records.to_le_bytes());
        }
        out.extend_from_slice(&self.lanes);
        out.extend_from_slice(&self.parts);
    }

    /// Reads the stored form of the stretch that begins with `first`, has `records` and whose blocks fill the
    /// `blocks` bytes of the file from `offset` on.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        first: u64,
        records: u32,
        offset: u64,
        blocks: u32,
    ) -> Result<(), Malformed> {
        self.restart(first);
        let mut reader = Reader::new(bytes);
        let mut counts = [0usize; 3];
        for count in &mut counts {
            *count = reader.u32()? as usize;
        }
        let [block_count, lane_count, parts] = counts;
        if lane_count != records as usize || lane_count > STRETCH_RECORDS_MAX {
            return Err(Malformed("the number of records in the stretch is not the one in the footer"));
        }
        if block_count > lane_count {
            return Err(Malformed("the stretch has more blocks than records"));
        }
        let mut of_lane = [0usize; LANES_MAX];
        let mut at = offset;
        for _ in 0..block_count {
            let [lane, reserved @ ..] = *reader.array::<4>()?;
            let (stored, raw, records) = (reader.u32()?, reader.u32()?, reader.u32()?);
            let sizes = stored as usize >= BLOCK_HEADER_BYTES
                && stored as usize <= BLOCK_BYTES_MAX
                && raw as usize <= BLOCK_BYTES_MAX;
            let held = of_lane.get_mut(usize::from(lane)).ok_or(Malformed("a block's lane"))?;
            if !sizes || reserved != [0; 3] || records == 0 {
                return Err(Malformed("a block is listed as none that a writer writes"));
            }
            *held += records as usize;
            self.blocks.push(BlockEntry { lane, offset: at, stored, raw, records });
            at = at.checked_add(u64::from(stored)).ok_or(Malformed("a block's length"))?;
        }
        if at != offset + u64::from(blocks) {
            return Err(Malformed("the blocks do not fill the stretch"));
        }
        self.lanes.extend_from_slice(reader.take(lane_count)?);
        for (lane, held) in (0u8..).zip(of_lane) {
            if occurrences(&self.lanes, lane) != held {
                return Err(Malformed("a lane has another number of records than its blocks"));
            }
        }
        if of_lane.iter().sum::<usize>() != lane_count {
            return Err(Malformed("a record lies in no lane"));
        }
        self.parts.extend_from_slice(reader.take(parts)?);
        if reader.left() == 0 { Ok(()) } else { Err(Malformed("bytes follow the stretch's commits")) }
    }
}

impl From<Short> for Malformed {
    fn from(_: Short) -> Malformed {
        Malformed("it ends inside one of its parts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stretch(lanes: &[u8], per_block: usize) -> Stretch {
        let mut stretch = Stretch { first: 100, lanes: lanes.to_vec(), ..Stretch::default() };
        let mut offset = 64;
        for lane in 0..3 {
            let mut left = lanes.iter().filter(|other| **other == lane).count();
            while left > 0 {
                let some = left.min(per_block);
                let records = u32::try_from(some).unwrap();
                stretch.blocks.push(BlockEntry { lane, offset, stored: 50, raw: 70, records });
                offset += 50;
                left -= some;
            }
        }
        stretch.parts = vec![1, 2, 3];
        stretch
    }

    proptest! {
        #[test]
        fn every_record_is_found_in_the_block_it_was_put_in(
            lanes in prop::collection::vec(0u8..3, 1..900),
            per_block in 1usize..300,
        ) {
            let stretch = stretch(&lanes, per_block);
            let mut bytes = Vec::new();
            stretch.write(&mut bytes);
            let mut back = Stretch::default();
            let blocks = u32::try_from(stretch.blocks.len()).unwrap() * 50;
            let records = u32::try_from(lanes.len()).unwrap();
            prop_assert_eq!(back.read(&bytes, 100, records, 64, blocks), Ok(()));
            prop_assert_eq!(&back, &stretch);
            let mut met = vec![Vec::new(); stretch.blocks.len()];
            for (index, lane) in lanes.iter().enumerate() {
                let place = stretch.place(*lane, stretch.rank(*lane, index)).unwrap();
                prop_assert_eq!(stretch.blocks[place.block].lane, *lane);
                prop_assert_eq!(place.position, met[place.block].len());
                met[place.block].push(100 + index as u64);
            }
            for (block, sequences) in met.iter().enumerate() {
                let span = (sequences[0], sequences[sequences.len() - 1]);
                prop_assert!(stretch.begins(block, span.0));
                prop_assert!(sequences.len() == 1 || !stretch.begins(block, span.1));
                prop_assert!(!stretch.begins(block, span.0 + 1));
                prop_assert_eq!(stretch.span(block), Some(span));
            }
            prop_assert!(back.read(&bytes, 100, records + 1, 64, blocks).is_err());
            prop_assert!(back.read(&bytes, 100, records, 64, blocks + 1).is_err());
            prop_assert!(back.read(&bytes[..bytes.len() - 1], 100, records, 64, blocks).is_err());
        }
    }
}
