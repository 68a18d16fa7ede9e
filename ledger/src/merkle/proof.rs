//! Proofs that an entry is in a tree and that one tree begins with another: which subtrees they need, and checking
//! them with nothing but hashes.

use std::ops::Range;

use super::hash::Hash;

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The entry would lie beyond the tree.
    #[error("index {index} is beyond a tree of {size} entries")]
    Beyond {
        /// The entry's index, from 0.
        index: u64,
        /// Entries in the tree.
        size: u64,
    },
    /// A smaller tree cannot begin with a larger one.
    #[error("a tree of {to} entries cannot go on from one of {from}")]
    Shrunk {
        /// Entries of the earlier tree.
        from: u64,
        /// Entries of the later one.
        to: u64,
    },
    /// The proof has too many or too few hashes for the sizes it is for.
    #[error("it has {found} hashes where {expected} are needed")]
    Length {
        /// How many it has.
        found: usize,
        /// How many it must have.
        expected: usize,
    },
    /// The hashes lead to another root.
    #[error("its hashes lead to the root {found}, not {expected}")]
    Root {
        /// Where they lead.
        found: Hash,
        /// Where they should.
        expected: Hash,
    },
    /// The hashes lead to another root of the earlier tree.
    #[error("its hashes lead to the earlier root {found}, not {expected}")]
    EarlierRoot {
        /// Where they lead.
        found: Hash,
        /// Where they should.
        expected: Hash,
    },
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

/// The subtrees whose roots lead from an entry to the root, the entry's sibling first. Each begins at a multiple of
/// the largest power of two in it.
///
/// # Errors
///
/// The entry is beyond the tree.
pub fn inclusion(index: u64, size: u64) -> Result<Vec<Range<u64>>, ProofError> {
    if index >= size {
        return Err(ProofError::Beyond { index, size });
    }
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push(middle..high);
            high = middle;
        } else {
            path.push(low..middle);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The subtrees whose roots show that a tree of `to` entries begins with one of `from`, lowest first.
///
/// # Errors
///
/// `from` is larger.
pub fn consistency(from: u64, to: u64) -> Result<Vec<Range<u64>>, ProofError> {
    if from > to {
        return Err(ProofError::Shrunk { from, to });
    }
    let mut path = Vec::new();
    if from == 0 {
        return Ok(path);
    }
    let (mut low, mut high) = (0, to);
    while high != from {
        let middle = low + split(high - low);
        if from <= middle {
            path.push(middle..high);
            high = middle;
        } else {
            path.push(low..middle);
            low = middle;
        }
    }
    // Where the earlier tree is itself a subtree, whoever checks has its root.
    if low > 0 {
        path.push(low..high);
    }
    path.reverse();
    Ok(path)
}

/// The root of the subtree over `range`, out of those of its whole parts: `node(level, index)` is the root over the
/// entries from `index << level` on, `1 << level` of them.
pub(crate) fn root_of<E>(
    range: Range<u64>,
    node: &mut dyn FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let count = range.end - range.start;
    if count == 0 {
        return Ok(Hash::empty());
    }
    if count.is_power_of_two() {
        return node(count.trailing_zeros(), range.start / count);
    }
    let middle = range.start + split(count);
    let left = root_of(range.start..middle, node)?;
    let right = root_of(middle..range.end, node)?;
    Ok(Hash::node(&left, &right))
}

/// Checks that the entry with this leaf stands at `index` of the tree with this size and root.
///
/// # Errors
///
/// Why that is not shown.
pub fn check_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    let expected = inclusion(index, size)?.len();
    if path.len() != expected {
        return Err(ProofError::Length { found: path.len(), expected });
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if at % 2 == 1 || at == last {
            hash = Hash::node(sibling, &hash);
            // A node without a sibling on its right moves up until it has one on its left.
            while at.is_multiple_of(2) && at != 0 {
                (at, last) = (at / 2, last / 2);
            }
        } else {
            hash = Hash::node(&hash, sibling);
        }
        (at, last) = (at / 2, last / 2);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root { found: hash, expected: *root }) }
}

/// Checks that the tree of `to` entries with one root begins with the tree of `from` entries with the other.
///
/// # Errors
///
/// Why that is not shown.
pub fn check_consistency(
    from: u64,
    from_root: &Hash,
    to: u64,
    to_root: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    let expected = consistency(from, to)?.len();
    if path.len() != expected {
        return Err(ProofError::Length { found: path.len(), expected });
    }
    let same = |found: Hash, expected: &Hash| match found == *expected {
        true => Ok(()),
        false => Err(ProofError::Root { found, expected: *expected }),
    };
    if from == 0 {
        // Every tree begins with the empty one; its root is known all the same.
        let empty = Hash::empty();
        let is_empty = *from_root == empty;
        return match is_empty {
            true if to == 0 => same(empty, to_root),
            true => Ok(()),
            false => Err(ProofError::EarlierRoot { found: empty, expected: *from_root }),
        };
    }
    if from == to {
        return same(*from_root, to_root);
    }
    let (mut at, mut last) = (from - 1, to - 1);
    while at % 2 == 1 {
        (at, last) = (at / 2, last / 2);
    }
    let mut siblings = path.iter();
    // Where the earlier tree is a whole subtree of the later, its root is the seed.
    let seed = if at == 0 { *from_root } else { siblings.next().copied().unwrap_or(*from_root) };
    let (mut earlier, mut later) = (seed, seed);
    for sibling in siblings {
        if at % 2 == 1 || at == last {
            earlier = Hash::node(sibling, &earlier);
            later = Hash::node(sibling, &later);
            while at.is_multiple_of(2) && at != 0 {
                (at, last) = (at / 2, last / 2);
            }
        } else {
            later = Hash::node(&later, sibling);
        }
        (at, last) = (at / 2, last / 2);
    }
    if earlier != *from_root {
        return Err(ProofError::EarlierRoot { found: earlier, expected: *from_root });
    }
    same(later, to_root)
}
