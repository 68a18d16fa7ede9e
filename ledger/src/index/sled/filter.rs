//! A Bloom filter over hashes, each looked up within one cache line.

/// Bits of one line.
const LINE_BITS: u64 = 512;

/// Bits set for each hash: near the best for ten bits a hash.
const PROBES: u32 = 6;

/// Words of one line.
const LINE_WORDS: usize = 8;

/// Says of a hash that it is certainly not there, or that it may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    lines: Vec<[u64; LINE_WORDS]>,
}

impl Filter {
    /// A filter for `count` hashes with about `bits` bits for each.
    pub(super) fn new(count: u64, bits: u64) -> Filter {
        let lines = (count.saturating_mul(bits)).div_ceil(LINE_BITS).max(1);
        Filter { lines: vec![[0; LINE_WORDS]; usize::try_from(lines).unwrap_or(1)] }
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.lines.len() * LINE_WORDS * 8
    }

    fn line(&self, hash: u128) -> usize {
        // The upper half, scaled to the number of lines; the lower half chooses the bits.
        let scaled = ((hash >> 64) * (self.lines.len() as u128)) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }

    fn probes(hash: u128) -> impl Iterator<Item = (usize, u64)> {
        let low = hash.to_le_bytes();
        let bits = u64::from_le_bytes([low[0], low[1], low[2], low[3], low[4], low[5], low[6], low[7]]);
        (0..PROBES).map(move |probe| {
            let bit = bits >> (probe * 9) & (LINE_BITS - 1);
            (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
        })
    }

    pub(super) fn insert(&mut self, hash: u128) {
        let line = self.line(hash);
        if let Some(line) = self.lines.get_mut(line) {
            for (word, bit) in Filter::probes(hash) {
                line[word] |= bit;
            }
        }
    }

    /// Whether the hash may be there.
    pub(super) fn may_hold(&self, hash: u128) -> bool {
        match self.lines.get(self.line(hash)) {
            Some(line) => Filter::probes(hash).all(|(word, bit)| line[word] & bit != 0),
            None => true,
        }
    }

    /// The stored form: the words, little-endian.
    pub(super) fn write(&self) -> Vec<u8> {
        self.lines.iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Reads the stored form; `None` if it is not one.
    pub(super) fn read(bytes: &[u8]) -> Option<Filter> {
        let (chunks, rest) = bytes.as_chunks::<{ LINE_WORDS * 8 }>();
        if chunks.is_empty() || !rest.is_empty() {
            return None;
        }
        let lines = chunks.iter().map(|line| {
            let mut words = [0; LINE_WORDS];
            for (word, bytes) in words.iter_mut().zip(line.as_chunks().0) {
                *word = u64::from_le_bytes(*bytes);
            }
            words
        });
        Some(Filter { lines: lines.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::KeyHash;

    #[test]
    fn nothing_inserted_is_denied_and_little_else_is_granted() {
        let mut filter = Filter::new(20_000, 10);
        let hash = |at: u32| KeyHash::of(&at.to_string()).0;
        for at in 0..20_000 {
            filter.insert(hash(at));
        }
        assert!((0..20_000).all(|at| filter.may_hold(hash(at))));
        let wrong = (20_000..120_000).filter(|at| filter.may_hold(hash(*at))).count();
        assert!(wrong < 3_000, "{wrong} of 100,000 granted wrongly; 3 % is the most that is bearable");
        assert_eq!(Filter::read(&filter.write()), Some(filter));
    }

    #[test]
    fn bytes_no_writer_wrote_are_refused() {
        assert_eq!(Filter::read(&[]), None);
        assert_eq!(Filter::read(&[0; 65]), None);
    }
}
