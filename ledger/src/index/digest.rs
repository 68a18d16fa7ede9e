//! What an index says, summed up: each statement is mixed into a number, and two that say the same have the same sums.
//!
//! This is how a whole log is compared with its index without asking the index for each record. It is no cryptography:
//! the index is derived, and whoever doubts it deletes it. The mixing is drawn anew each time, so that what differs does
//! not agree by the same chance twice.

use super::KeyHash;

const ODD: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

/// The sums over all that an index says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Streams that have a record.
    pub streams: u64,
    /// Each record with its stream and version.
    pub postings: u128,
    /// Each key of a record with its sequence.
    pub keys: u128,
    /// Each key of a commit with the sequence of its last record.
    pub commit_keys: u128,
    /// Each source with where its cursor stands.
    pub cursors: u128,
}

impl Digest {
    /// Adds what another part of the same whole says; streams are counted by whoever knows them all.
    pub(crate) fn add(&mut self, other: &Digest) {
        self.postings = self.postings.wrapping_add(other.postings);
        self.keys = self.keys.wrapping_add(other.keys);
        self.commit_keys = self.commit_keys.wrapping_add(other.commit_keys);
        self.cursors = self.cursors.wrapping_add(other.cursors);
    }
}

/// How statements are mixed.
#[derive(Clone, Copy, Debug)]
pub struct Mixer {
    seed: u64,
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of the product are what is mixed")]
fn multiply(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Mixer {
    /// Mixing that a number determines.
    #[must_use]
    pub fn of(seed: u64) -> Mixer {
        Mixer { seed: seed | 1 }
    }

    /// What stands for a stream or a source.
    #[must_use]
    pub fn name(self, name: &str) -> u64 {
        let KeyHash(hash) = KeyHash::of(name);
        self.wide(hash)
    }

    fn wide(self, hash: u128) -> u64 {
        let bytes = hash.to_le_bytes();
        let half = |at: usize| bytes[at..].first_chunk().map_or(0, |half| u64::from_le_bytes(*half));
        multiply(half(0) ^ self.seed, half(8) ^ ODD[0])
    }

    /// That a stream's record of a version has a sequence.
    #[must_use]
    #[inline]
    pub fn posting(self, stream: u64, version: u64, sequence: u64) -> u128 {
        let place = multiply(stream ^ self.seed, version.wrapping_mul(ODD[0]) ^ ODD[1]);
        u128::from(multiply(place ^ ODD[2], sequence.wrapping_mul(ODD[1]) ^ self.seed))
    }

    /// That a key has a sequence.
    #[must_use]
    #[inline]
    pub fn key(self, KeyHash(hash): KeyHash, sequence: u64) -> u128 {
        u128::from(multiply(self.wide(hash) ^ ODD[1], sequence.wrapping_mul(ODD[2]) ^ self.seed))
    }

    /// That a source's cursor stands somewhere.
    #[must_use]
    pub fn cursor(self, source: &str, to: &[u8]) -> u128 {
        let to = blake3::hash(to);
        let to = to.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        u128::from(multiply(self.name(source), to ^ ODD[2]))
    }
}
