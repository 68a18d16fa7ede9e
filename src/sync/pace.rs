//! How fast a source is asked: a bucket of requests, a wait that grows with failures, and the clock on the wall.

use daybook_schemas::Timestamp;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;
use tokio::time::Instant;

/// Tells the time of day. Waiting goes by tokio's clock, which simulated time can move.
pub(crate) trait WallClock: Send + Sync {
    /// The present.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MachineClock;

impl WallClock for MachineClock {
    fn now(&self) -> Timestamp {
        crate::journal::now()
    }
}

/// A bucket of requests that fills at an even rate.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    interval: Duration,
    capacity: u32,
    /// When the bucket was, or will be, empty: every interval since then is a request that may be made.
    empty_at: Instant,
}

impl Bucket {
    /// A full bucket of so many requests a second, of which so many may be made at once.
    pub(crate) fn new(per_second: u32, capacity: u32) -> Self {
        Self::every(Duration::from_secs(1) / per_second.max(1), capacity)
    }

    /// A full bucket of requests of which no more than so many are made in any minute.
    pub(crate) fn per_minute(requests: u32) -> Self {
        // What may be made at once counts within the minute too.
        let capacity = (requests / 10).max(1);
        Self::every(Duration::from_secs(60) / requests.saturating_sub(capacity).max(1), capacity)
    }

    /// A full bucket into which a request comes at every interval.
    fn every(interval: Duration, capacity: u32) -> Self {
        let capacity = capacity.max(1);
        let now = Instant::now();
        Self { interval, capacity, empty_at: now.checked_sub(interval * capacity).unwrap_or(now) }
    }

    /// The instant at which a request may be made that leaves `spare` others in the bucket.
    pub(crate) fn ready_at(&self, spare: u32) -> Instant {
        self.empty_at + self.interval * (1 + spare.min(self.capacity - 1))
    }

    /// Takes a request out of the bucket; the bucket may owe some.
    pub(crate) fn take(&mut self) {
        let full = Instant::now().checked_sub(self.interval * self.capacity);
        self.empty_at = full.map_or(self.empty_at, |full| full.max(self.empty_at)) + self.interval;
    }
}

/// A wait that doubles with every failure in a row, up to a bound, with jitter so that many do not knock together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
    jitter: ChaCha8Rng,
}

impl Backoff {
    /// A wait between these bounds; the seed makes its jitter repeatable.
    pub(crate) fn new(first: Duration, most: Duration, seed: u64) -> Self {
        Self { first, most, failures: 0, jitter: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Counts a failure and says how long to wait.
    pub(crate) fn fail(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1 << self.failures.min(16)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        whole.mul_f64(self.jitter.random_range(0.5..1.0))
    }

    /// Forgets the failures.
    pub(crate) fn succeed(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_what_it_holds_at_once_and_then_no_faster_than_its_rate() {
        let mut bucket = Bucket::new(3, 10);
        let start = Instant::now();
        for _ in 0..100 {
            tokio::time::sleep_until(bucket.ready_at(0)).await;
            bucket.take();
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(29_900) && took <= Duration::from_millis(30_300), "{took:?}");
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(bucket.ready_at(9) <= Instant::now(), "it is full again, and not fuller");
        for _ in 0..10 {
            bucket.take();
        }
        assert!(bucket.ready_at(0) > Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn in_no_minute_are_more_requests_made_than_were_allowed() {
        for allowed in [1u32, 5, 60, 200] {
            let mut bucket = Bucket::per_minute(allowed);
            let mut made: Vec<Instant> = Vec::new();
            for _ in 0..3 * allowed {
                tokio::time::sleep_until(bucket.ready_at(0)).await;
                bucket.take();
                made.push(Instant::now());
            }
            let within = |from: &Instant| {
                made.iter().filter(|at| *at >= from && **at - *from < Duration::from_secs(60)).count()
            };
            let most = made.iter().map(within).max().unwrap_or(0);
            assert!(most <= usize::try_from(allowed).unwrap(), "{most} of {allowed}");
        }
    }

    #[test]
    fn waits_grow_to_their_bound_and_start_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60), 7);
        let waits: Vec<Duration> = (0..10).map(|_| backoff.fail()).collect();
        assert!(waits[0] <= Duration::from_secs(1) && waits[0] >= Duration::from_millis(500));
        assert!(waits[9] <= Duration::from_secs(60) && waits[9] >= Duration::from_secs(30));
        backoff.succeed();
        assert!(backoff.fail() <= Duration::from_secs(1));
    }
}
