//! What the writer has done since the ledger was opened, counted where it happens and read by whoever watches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the classes into which writes are sorted by the time they took, in microseconds. What took longer
/// than the last falls into one more class.
pub const WRITE_MICROSECONDS: [u64; 14] =
    [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000];

/// The classes of write times, the open one included.
const CLASSES: usize = WRITE_MICROSECONDS.len() + 1;

/// What the writer has done since the ledger was opened, and what waits for it.
///
/// The counters are read one after the other while the writer goes on, so that they may differ by the commit that is
/// just being counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames that are durable. Appends that waited together share one.
    pub commits: u64,
    /// Records in them.
    pub records: u64,
    /// Their bytes in the log.
    pub bytes: u64,
    /// Frames that could not be written.
    pub failures: u64,
    /// How many frames took how long from the first byte given to the disk until it said that all are durable: one
    /// count for each of [`WRITE_MICROSECONDS`], and one for what took longer. Frames that failed count too.
    pub write_times: [u64; CLASSES],
    /// The sum of those times.
    pub write_time: Duration,
    /// Appends that wait to be decided.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    failures: AtomicU64,
    write_times: [AtomicU64; CLASSES],
    write_nanos: AtomicU64,
}

impl Counters {
    /// Counts a frame that was given to the disk.
    pub(crate) fn written(&self, taken: Duration, records: u32, bytes: usize, durable: bool) {
        let microseconds = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
        let class = WRITE_MICROSECONDS.partition_point(|bound| *bound < microseconds);
        self.write_times[class].fetch_add(1, Ordering::Relaxed);
        self.write_nanos.fetch_add(u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if durable {
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.records.fetch_add(u64::from(records), Ordering::Relaxed);
            self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        } else {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted so far; nothing waits.
    pub(crate) fn read(&self) -> Stats {
        let mut stats = Stats {
            commits: self.commits.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            write_time: Duration::from_nanos(self.write_nanos.load(Ordering::Relaxed)),
            ..Stats::default()
        };
        for (read, counted) in stats.write_times.iter_mut().zip(&self.write_times) {
            *read = counted.load(Ordering::Relaxed);
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_falls_into_the_first_class_whose_bound_it_does_not_exceed() {
        let counters = Counters::default();
        for microseconds in [0, 50, 51, 1_000_000, 1_000_001] {
            counters.written(Duration::from_micros(microseconds), 2, 100, true);
        }
        counters.written(Duration::from_micros(60), 2, 100, false);
        let stats = counters.read();
        let mut expected = [0; CLASSES];
        expected[0] = 2;
        expected[1] = 2;
        expected[CLASSES - 2] = 1;
        expected[CLASSES - 1] = 1;
        assert_eq!(stats.write_times, expected);
        assert_eq!((stats.commits, stats.records, stats.bytes, stats.failures), (5, 10, 500, 1));
        assert_eq!(stats.write_time, Duration::from_micros(2_000_162));
    }
}
