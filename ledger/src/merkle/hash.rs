//! Hashing as RFC 6962 has it: leaves and nodes apart, so that neither can pass for the other.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// A SHA-256 hash in the tree. As text it is base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Bytes of a hash.
    pub const BYTES: usize = 32;

    /// The root of a tree without leaves.
    #[must_use]
    pub fn empty() -> Hash {
        Hash(Sha256::digest([]).into())
    }

    /// The leaf of an entry.
    #[must_use]
    pub fn leaf(entry: &[u8]) -> Hash {
        Hash(Sha256::new_with_prefix([LEAF]).chain_update(entry).finalize().into())
    }

    /// The node above two.
    #[must_use]
    pub fn node(left: &Hash, right: &Hash) -> Hash {
        let mut bytes = [NODE; 1 + 2 * Hash::BYTES];
        bytes[1..=Hash::BYTES].copy_from_slice(&left.0);
        bytes[1 + Hash::BYTES..].copy_from_slice(&right.0);
        Hash(Sha256::digest(bytes).into())
    }

    /// The root of a subtree whose leaves or nodes of one level are `hashes`, a power of two of them.
    #[must_use]
    pub(crate) fn fold(hashes: &[Hash]) -> Hash {
        Hash::fold_in(&mut hashes.to_vec())
    }

    /// The same, in the memory of the hashes; what they were is lost.
    #[must_use]
    pub(crate) fn fold_in(hashes: &mut [Hash]) -> Hash {
        debug_assert!(hashes.len().is_power_of_two(), "only whole subtrees are folded");
        let mut count = hashes.len();
        while count > 1 {
            count /= 2;
            for at in 0..count {
                hashes[at] = Hash::node(&hashes[2 * at], &hashes[2 * at + 1]);
            }
        }
        hashes.first().copied().unwrap_or_else(Hash::empty)
    }
}

/// What is no hash in base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not the base64 of 32 bytes")]
pub struct NoHash;

impl FromStr for Hash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Hash, NoHash> {
        let bytes = STANDARD.decode(text).map_err(|_| NoHash)?;
        bytes.try_into().map(Hash).map_err(|_| NoHash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}
