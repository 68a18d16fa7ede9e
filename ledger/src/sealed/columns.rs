//! Integer columns of a block: each value as its distance from the column's least, in as few whole bytes as
//! the greatest distance needs, so that any position is reached without reading those before it.

/// Zero bytes that follow the last column, so that a value of any width can be loaded as eight bytes.
pub(super) const PADDING: usize = 8;

/// Bytes of one column's entry in a block's directory.
pub(super) const ENTRY_BYTES: usize = 9;

/// Where a column's values lie within a block, and how they are read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Column {
    /// Offset of the first value from the start of the block.
    at: usize,
    width: usize,
    base: u64,
    mask: u64,
}

impl Column {
    /// The column whose values begin at `at`; `None` when the width is none that a writer chooses.
    pub(super) fn new(at: usize, width: u8, base: u64) -> Option<Column> {
        let mask = match width {
            0 => 0,
            1..=7 => (1u64 << (8 * u32::from(width))) - 1,
            8 => u64::MAX,
            _ => return None,
        };
        Some(Column { at, width: usize::from(width), base, mask })
    }

    /// Bytes that `count` values take.
    pub(super) fn bytes(self, count: usize) -> usize {
        self.width * count
    }

    /// The value at `index`; `None` beyond the end of the block.
    #[inline]
    pub(super) fn get(self, block: &[u8], index: usize) -> Option<u64> {
        if self.width == 0 {
            return Some(self.base);
        }
        let at = self.at + index * self.width;
        let bytes: [u8; 8] = block.get(at..at + 8)?.try_into().ok()?;
        Some(self.base.wrapping_add(u64::from_le_bytes(bytes) & self.mask))
    }
}

/// Appends unsigned `values` to `body` and their directory entry to `directory`.
pub(super) fn write(values: &[u64], directory: &mut Vec<u8>, body: &mut Vec<u8>) {
    let base = values.iter().copied().min().unwrap_or(0);
    write_from(base, values, directory, body);
}

/// Appends `values` that are signed integers in two's complement.
pub(super) fn write_signed(values: &[u64], directory: &mut Vec<u8>, body: &mut Vec<u8>) {
    let base = values.iter().copied().min_by_key(|value| value.cast_signed()).unwrap_or(0);
    write_from(base, values, directory, body);
}

fn write_from(base: u64, values: &[u64], directory: &mut Vec<u8>, body: &mut Vec<u8>) {
    let greatest = values.iter().map(|value| value.wrapping_sub(base)).max().unwrap_or(0);
    let width: u8 = match greatest {
        0 => 0,
        0x1..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        0x100_0000..=0xffff_ffff => 4,
        0x1_0000_0000..=0xff_ffff_ffff => 5,
        0x100_0000_0000..=0xffff_ffff_ffff => 6,
        0x1_0000_0000_0000..=0xff_ffff_ffff_ffff => 7,
        _ => 8,
    };
    directory.push(width);
    directory.extend_from_slice(&base.to_le_bytes());
    for value in values {
        body.extend_from_slice(&value.wrapping_sub(base).to_le_bytes()[..usize::from(width)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[u64], signed: bool) {
        let (mut directory, mut body) = (Vec::new(), Vec::new());
        if signed {
            write_signed(values, &mut directory, &mut body);
        } else {
            write(values, &mut directory, &mut body);
        }
        body.extend_from_slice(&[0; PADDING]);
        let base = u64::from_le_bytes(directory[1..9].try_into().unwrap());
        let column = Column::new(0, directory[0], base).unwrap();
        assert_eq!(column.bytes(values.len()) + PADDING, body.len());
        for (index, value) in values.iter().enumerate() {
            assert_eq!(column.get(&body, index), Some(*value));
        }
    }

    proptest! {
        #[test]
        fn every_value_comes_back_from_its_position(values in prop::collection::vec(any::<u64>(), 0..50)) {
            round_trip(&values, false);
            round_trip(&values, true);
        }

        #[test]
        fn close_values_come_back_whatever_their_base(base in any::<u64>(), near in prop::collection::vec(any::<u16>(), 1..50)) {
            let values: Vec<u64> = near.iter().map(|by| base.wrapping_add(u64::from(*by))).collect();
            round_trip(&values, false);
            round_trip(&values, true);
        }
    }

    #[test]
    fn a_constant_column_takes_no_bytes() {
        let (mut directory, mut body) = (Vec::new(), Vec::new());
        write(&[7; 100], &mut directory, &mut body);
        assert!(body.is_empty());
    }

    #[test]
    fn a_width_no_writer_chooses_is_refused() {
        assert!(Column::new(0, 9, 0).is_none());
    }
}
