//! Chance that is the same everywhere: ChaCha from a seed and a label, in whole numbers only.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A source of chance of its own for everything that is made up, so that a change to one leaves the others as they are.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    /// The source of one seed and one label.
    pub(super) fn new(seed: u64, label: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("daybook demo: chance");
        hasher.update(&seed.to_le_bytes()).update(label.as_bytes());
        Self(ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()))
    }

    /// A whole number from 0 to below the bound.
    pub(super) fn below(&mut self, bound: i64) -> i64 {
        (self.0.next_u64() >> 1).cast_signed() % bound.max(1)
    }

    /// A whole number from one end to the other, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(high - low + 1)
    }

    /// Whether something comes about that does so in so many of a thousand cases.
    pub(super) fn chance(&mut self, per_thousand: i64) -> bool {
        self.below(1_000) < per_thousand
    }

    /// One of several.
    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let count = i64::try_from(all.len()).ok().filter(|count| *count > 0)?;
        usize::try_from(self.below(count)).ok().and_then(|at| all.get(at))
    }

    /// A bell-shaped number around zero: the sum of twelve even ones, which no platform computes otherwise.
    pub(super) fn normal(&mut self, deviation: i64) -> i64 {
        let sum: i64 = (0..12).map(|_| self.below(2_001)).sum();
        deviation * (sum - 12_000) / 2_000
    }
}
