//! Requests as they are counted: by operation, how they ended and how long they took.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the classes into which requests are sorted by the time they took, in microseconds.
pub(super) const MICROSECONDS: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];
const CLASSES: usize = MICROSECONDS.len() + 1;

/// What is not one of the API's operations: documents, health, paths that lead nowhere, requests without a valid token.
const OTHER: &str = "other";

/// The classes of statuses: `1xx` to `5xx`.
pub(super) const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Counts requests.
#[derive(Debug)]
pub(crate) struct Requests {
    /// Where each operation's counters are. Looked up, never gone through.
    places: HashMap<String, usize>,
    routes: Vec<Route>,
    in_flight: AtomicU64,
    limited: AtomicU64,
    timed_out: AtomicU64,
}

/// An operation's counters.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) operation: String,
    statuses: [AtomicU64; STATUSES.len()],
    times: [AtomicU64; CLASSES],
    nanos: AtomicU64,
}

impl Route {
    fn new(operation: String) -> Self {
        Self { operation, statuses: Default::default(), times: Default::default(), nanos: AtomicU64::new(0) }
    }

    /// How many ended with each class of status.
    pub(super) fn statuses(&self) -> [u64; STATUSES.len()] {
        self.statuses.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// How many took how long.
    pub(super) fn times(&self) -> [u64; CLASSES] {
        self.times.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// How long all of them took together.
    pub(super) fn time(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}

impl Requests {
    /// Counters for each of the operations, and for what is none of them.
    pub(crate) fn of(operations: impl IntoIterator<Item = String>) -> Self {
        let routes: Vec<Route> =
            operations.into_iter().chain(std::iter::once(OTHER.to_owned())).map(Route::new).collect();
        let places = routes.iter().enumerate().map(|(at, route)| (route.operation.clone(), at)).collect();
        Self {
            places,
            routes,
            in_flight: AtomicU64::new(0),
            limited: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
        }
    }

    /// A request came; it is in flight until what this gives is dropped.
    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    /// A request was answered.
    pub(crate) fn answered(&self, operation: Option<&str>, status: u16, taken: Duration) {
        let place = operation.and_then(|id| self.places.get(id)).copied().unwrap_or(self.routes.len() - 1);
        let Some(route) = self.routes.get(place) else { return };
        let status = usize::from(status / 100).clamp(1, STATUSES.len()) - 1;
        route.statuses[status].fetch_add(1, Ordering::Relaxed);
        let microseconds = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
        let class = MICROSECONDS.partition_point(|bound| *bound < microseconds);
        route.times[class].fetch_add(1, Ordering::Relaxed);
        route.nanos.fetch_add(u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A request was refused, because its token made too many.
    pub(crate) fn limited(&self) {
        self.limited.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was given up, because it took too long.
    pub(crate) fn timed_out(&self) {
        self.timed_out.fetch_add(1, Ordering::Relaxed);
    }

    /// The operations that were called at least once.
    pub(super) fn called(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(|route| route.statuses().iter().any(|count| *count > 0))
    }

    /// Requests in flight.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Requests that were refused, because their token made too many.
    pub(super) fn limited_so_far(&self) -> u64 {
        self.limited.load(Ordering::Relaxed)
    }

    /// Requests that were given up, because they took too long.
    pub(super) fn timed_out_so_far(&self) -> u64 {
        self.timed_out.load(Ordering::Relaxed)
    }
}

/// A request in flight.
pub(crate) struct InFlight<'r>(&'r Requests);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_under_its_operation_its_status_and_its_time() {
        let requests = Requests::of(["readA".to_owned(), "readB".to_owned()]);
        requests.answered(Some("readB"), 200, Duration::from_micros(250));
        requests.answered(Some("readB"), 404, Duration::from_secs(60));
        requests.answered(Some("invented"), 200, Duration::ZERO);
        requests.answered(None, 503, Duration::ZERO);
        let called: Vec<&str> = requests.called().map(|route| route.operation.as_str()).collect();
        assert_eq!(called, ["readB", "other"]);
        let (b, other) = (&requests.routes[1], &requests.routes[2]);
        assert_eq!((b.statuses(), other.statuses()), ([0, 1, 0, 1, 0], [0, 1, 0, 0, 1]));
        assert_eq!((b.times()[0], b.times()[CLASSES - 1]), (1, 1));
        assert_eq!(b.time(), Duration::from_micros(60_000_250));
        let first = requests.begin();
        assert_eq!(requests.in_flight(), 1);
        drop(first);
        assert_eq!(requests.in_flight(), 0);
    }
}
