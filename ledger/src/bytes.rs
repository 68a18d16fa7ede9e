//! Reading and writing the integers, varints and lengths that every stored format is made of.

/// The bytes ended before the value did, or a varint ran past 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short;

/// Takes values off the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Short> {
        let (head, tail) = self.bytes.split_at_checked(len).ok_or(Short)?;
        self.bytes = tail;
        Ok(head)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Short> {
        let (head, tail) = self.bytes.split_first_chunk::<N>().ok_or(Short)?;
        self.bytes = tail;
        Ok(head)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Short> {
        let (first, tail) = self.bytes.split_first().ok_or(Short)?;
        self.bytes = tail;
        Ok(*first)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(|bytes| u16::from_le_bytes(*bytes))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(|bytes| u32::from_le_bytes(*bytes))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Short> {
        self.array().map(|bytes| i64::from_le_bytes(*bytes))
    }

    /// An unsigned LEB128 of at most 64 bits.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Short> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                return Err(Short);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
            if shift > 63 {
                return Err(Short);
            }
        }
    }

    /// A varint that counts or measures something held in memory.
    #[inline]
    pub(crate) fn size(&mut self) -> Result<usize, Short> {
        usize::try_from(self.varint()?).map_err(|_| Short)
    }

    /// A signed difference, zigzag-coded.
    #[inline]
    pub(crate) fn delta(&mut self) -> Result<i64, Short> {
        self.varint().map(unzigzag)
    }

    /// Bytes with a varint length before them.
    #[inline]
    pub(crate) fn counted(&mut self) -> Result<&'a [u8], Short> {
        let len = self.size()?;
        self.take(len)
    }
}

#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

pub(crate) fn put_size(out: &mut Vec<u8>, value: usize) {
    put_varint(out, value as u64);
}

pub(crate) fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    put_size(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// A difference is taken modulo 2^64, so that any two times have one.
#[inline]
pub(crate) fn put_delta(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

#[inline]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::{Reader, Short, put_delta, put_varint};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_and_deltas_come_back(value: u64, delta: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_delta(&mut out, delta);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert_eq!(reader.delta(), Ok(delta));
            prop_assert_eq!(reader.left(), 0);
        }
    }

    #[test]
    fn a_varint_past_64_bits_is_refused() {
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(Short));
        let mut too_big = [0xff; 10];
        too_big[9] = 2;
        assert_eq!(Reader::new(&too_big).varint(), Err(Short));
    }
}
