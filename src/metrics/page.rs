//! The page: requests, connections, the log, the projections and the sources, as they are when it is read.

use super::exposition::{Exposition, Of};
use super::process;
use super::requests::{MICROSECONDS, Requests, STATUSES};
use crate::journal::{Journal, now};
use crate::serving::Connections;
use crate::sync::daemons::Shared;
use daybook_ledger::WRITE_MICROSECONDS;
use daybook_schemas::Timestamp;
use std::sync::Arc;

/// The media type of the page.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that can be read of the service's working.
pub(crate) struct Metrics {
    /// Requests.
    pub(crate) requests: Requests,
    /// Connections.
    pub(crate) connections: Arc<Connections>,
    /// The log and its projections.
    pub(crate) journal: Arc<Journal>,
    /// The sources.
    pub(crate) shared: Arc<Shared>,
}

/// Bounds in microseconds as bounds in seconds.
#[expect(clippy::cast_precision_loss, reason = "a bound of a class is a small round number")]
fn seconds(microseconds: &[u64]) -> impl Iterator<Item = f64> {
    microseconds.iter().map(|bound| *bound as f64 / 1e6)
}

impl Metrics {
    /// The page, in the text format of Prometheus. It blocks while the projections are being brought up to date.
    pub(crate) fn page(&self) -> String {
        let mut page = Exposition::default();
        page.family("daybook_build_info", Of::Gauge, "The version that runs; always 1.")
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        self.requests(&mut page);
        self.connections(&mut page);
        self.ledger(&mut page);
        self.projections(&mut page);
        self.sources(&mut page);
        self.webhooks(&mut page);
        process(&mut page);
        page.finish()
    }

    fn requests(&self, page: &mut Exposition) {
        let requests = &self.requests;
        page.family(
            "daybook_http_requests_total",
            Of::Counter,
            "Requests answered, by operation and class of status.",
        );
        for route in requests.called() {
            for (status, count) in STATUSES.iter().zip(route.statuses()).filter(|(_, count)| *count > 0) {
                page.sample(&[("operation", &route.operation), ("status", status)], count);
            }
        }
        page.family(
            "daybook_http_request_duration_seconds",
            Of::Histogram,
            "Time until the head of the answer.",
        );
        for route in requests.called() {
            let labels = [("operation", route.operation.as_str())];
            page.histogram(&labels, seconds(&MICROSECONDS), &route.times(), route.time().as_secs_f64());
        }
        page.family("daybook_http_requests_in_flight", Of::Gauge, "Requests that are not answered yet.")
            .sample(&[], requests.in_flight());
        page.family(
            "daybook_http_requests_limited_total",
            Of::Counter,
            "Requests refused by the rate limit.",
        )
        .sample(&[], requests.limited_so_far());
        page.family(
            "daybook_http_requests_timed_out_total",
            Of::Counter,
            "Requests given up by the time limit.",
        )
        .sample(&[], requests.timed_out_so_far());
    }

    fn connections(&self, page: &mut Exposition) {
        let connections = &self.connections;
        page.family("daybook_connections", Of::Gauge, "Connections that are open.")
            .sample(&[], connections.open_now());
        page.family("daybook_connections_accepted_total", Of::Counter, "Connections taken.")
            .sample(&[], connections.taken_so_far());
        page.family(
            "daybook_connections_refused_total",
            Of::Counter,
            "Connections refused: there were too many.",
        )
        .sample(&[], connections.refused_so_far());
        page.family(
            "daybook_connections_failed_total",
            Of::Counter,
            "Times that the system gave no connection.",
        )
        .sample(&[], connections.failed_so_far());
        page.family("daybook_connections_closed_total", Of::Counter, "Connections that ended, by how.");
        for (how, count) in connections.ended_so_far() {
            page.sample(&[("how", how.name())], count);
        }
    }

    fn ledger(&self, page: &mut Exposition) {
        let ledger = self.journal.ledger();
        let (stats, usage) = (ledger.stats(), ledger.usage());
        page.family("daybook_ledger_head", Of::Gauge, "The last durable sequence.")
            .sample(&[], ledger.head());
        page.family("daybook_ledger_writable", Of::Gauge, "1 while the log takes appends.")
            .sample(&[], u8::from(ledger.poisoned().is_none()));
        page.family("daybook_ledger_commits_total", Of::Counter, "Commits made durable.")
            .sample(&[], stats.commits);
        page.family("daybook_ledger_records_total", Of::Counter, "Records made durable.")
            .sample(&[], stats.records);
        page.family("daybook_ledger_bytes_total", Of::Counter, "Bytes made durable.")
            .sample(&[], stats.bytes);
        page.family("daybook_ledger_failed_commits_total", Of::Counter, "Commits that could not be written.")
            .sample(&[], stats.failures);
        page.family(
            "daybook_ledger_sync_seconds",
            Of::Histogram,
            "Time to write a commit and make it durable.",
        )
        .histogram(
            &[],
            seconds(&WRITE_MICROSECONDS),
            &stats.write_times,
            stats.write_time.as_secs_f64(),
        );
        page.family("daybook_ledger_appends_waiting", Of::Gauge, "Appends that wait for the writer.")
            .sample(&[], stats.waiting);
        page.family("daybook_ledger_appends_waiting_bytes", Of::Gauge, "Their bytes.")
            .sample(&[], stats.waiting_bytes);
        page.family("daybook_ledger_index_lag_records", Of::Gauge, "Records that wait for the index.")
            .sample(&[], usage.tail_records);
        page.family("daybook_ledger_segments", Of::Gauge, "Segments on the disk.")
            .sample(&[("kind", "raw")], usage.raw_segments)
            .sample(&[("kind", "sealed")], usage.sealed_segments);
        page.family("daybook_ledger_segment_bytes", Of::Gauge, "Their bytes on the disk.")
            .sample(&[("kind", "raw")], usage.raw_bytes)
            .sample(&[("kind", "sealed")], usage.sealed_bytes);
    }

    fn projections(&self, page: &mut Exposition) {
        let head = self.journal.ledger().head();
        let progress = self.journal.progress();
        page.family(
            "daybook_projection_lag_records",
            Of::Gauge,
            "Records of the log that are not folded yet.",
        )
        .sample(&[("projection", "library")], head.saturating_sub(progress.applied));
        page.family("daybook_books", Of::Gauge, "Portfolios whose books are at hand.")
            .sample(&[], progress.books);
        page.family(
            "daybook_book_folds_total",
            Of::Counter,
            "Books folded from the first event of their stream.",
        )
        .sample(&[], progress.folds);
    }

    fn sources(&self, page: &mut Exposition) {
        let now = now();
        let sources: Vec<_> =
            self.shared.board.list().into_iter().map(|source| (source.status(), source)).collect();
        page.family(
            "daybook_source_up",
            Of::Gauge,
            "1 while a source is asked or current, 0 while it is not.",
        );
        for (status, source) in &sources {
            use crate::sync::board::State;
            let up = matches!(status.state, State::Current | State::Syncing);
            page.sample(&[("source", &source.name), ("kind", source.kind)], u8::from(up));
        }
        page.family(
            "daybook_source_last_success_age_seconds",
            Of::Gauge,
            "Time since all that a source said was recorded; absent until it was.",
        );
        for (status, source) in &sources {
            if let Some(success) = status.last_success {
                page.sample(&[("source", &source.name), ("kind", source.kind)], age(now, success));
            }
        }
        page.family("daybook_source_breaks_open", Of::Gauge, "Differences between the ledger and a source.");
        for (status, source) in &sources {
            page.sample(&[("source", &source.name), ("kind", source.kind)], status.breaks.len());
        }
        page.family("daybook_source_failures", Of::Gauge, "Failures of a source in a row.");
        for (status, source) in &sources {
            page.sample(&[("source", &source.name), ("kind", source.kind)], status.failures);
        }
        page.family("daybook_source_events_total", Of::Counter, "Events appended from a source.");
        for (status, source) in &sources {
            page.sample(&[("source", &source.name), ("kind", source.kind)], status.appended);
        }
        page.family(
            "daybook_source_quarantined_total",
            Of::Counter,
            "Rows of a source that were kept aside.",
        );
        for (status, source) in &sources {
            page.sample(&[("source", &source.name), ("kind", source.kind)], status.quarantined);
        }
    }
}

impl Metrics {
    fn webhooks(&self, page: &mut Exposition) {
        let head = self.journal.ledger().head();
        let receivers: Vec<_> = self
            .shared
            .webhooks
            .receivers()
            .into_iter()
            .map(|receiver| (receiver.sent(), receiver))
            .collect();
        page.family(
            "daybook_webhook_lag_records",
            Of::Gauge,
            "Records of the log that a receiver was not taken past.",
        );
        for (sent, receiver) in &receivers {
            let lag = head.saturating_sub(sent.state.position.cursor);
            page.sample(&[("webhook", &receiver.config.name)], lag);
        }
        page.family("daybook_webhook_dead", Of::Gauge, "Deliveries that were given up and are kept.");
        for (sent, receiver) in &receivers {
            page.sample(&[("webhook", &receiver.config.name)], sent.state.dead.len());
        }
        page.family(
            "daybook_webhook_up",
            Of::Gauge,
            "1 while a receiver takes what it is sent, 0 while it does not.",
        );
        for (sent, receiver) in &receivers {
            use crate::webhooks::outbound::Doing;
            let up = matches!(sent.doing, Doing::Current | Doing::Sending);
            page.sample(&[("webhook", &receiver.config.name)], u8::from(up));
        }
    }
}

/// Whole seconds between two instants; none if the clock went back.
fn age(now: Timestamp, then: Timestamp) -> i64 {
    now.nanos().saturating_sub(then.nanos()).max(0) / 1_000_000_000
}

fn process(page: &mut Exposition) {
    let process = process::now();
    let values = [
        ("process_resident_memory_bytes", "Memory in use.", process.resident_bytes),
        ("process_open_fds", "File descriptors in use.", process.descriptors),
        ("process_threads", "Threads.", process.threads),
    ];
    for (name, meaning, value) in values {
        if let Some(value) = value {
            page.family(name, Of::Gauge, meaning).sample(&[], value);
        }
    }
}
