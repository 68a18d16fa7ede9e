//! The log as a stream: caught up with from the log, then told of what the log gains.

use super::admission::Admission;
use super::hub::{Item, Listener};
use super::text::{self, End, HEARTBEAT, Woken};
use crate::api::access::Caller;
use crate::api::events::{of_stream, within};
use crate::api::page::gone;
use crate::api::problem::Problem;
use crate::api::service::Service;
use daybook_ledger::Record;
use daybook_schemas::{EventType, PortfolioId, stream};
use futures_util::Stream;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// Records that are read at once to catch up.
const READ_RECORDS: usize = 128;
/// A text is sent when it has so many bytes: what one stream holds in memory.
const TEXT_BYTES: usize = 64 << 10;

/// Which events of the log are streamed.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    stream: Option<String>,
    types: Vec<u16>,
}

impl Filter {
    /// Reads the parameters.
    pub(super) fn read(
        name: Option<String>,
        types: Option<&str>,
        portfolio: Option<PortfolioId>,
    ) -> Result<Self, Problem> {
        let own = portfolio.map(stream::portfolio);
        let stream = match (name, own) {
            (Some(name), Some(own)) if name != own => {
                return Err(Problem::parameter(
                    "portfolio",
                    "it is another stream than `stream` names: give one of them",
                ));
            }
            (name, own) => name.or(own),
        };
        let mut ids = Vec::new();
        for name in types.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let known = EventType::ALL.iter().find(|known| known.name() == name);
            let known = known.ok_or_else(|| {
                let shown: String = name.chars().take(100).collect();
                Problem::parameter(
                    "type",
                    format!("there is no event type `{shown}`: write names such as TradeExecuted, separated by commas"),
                )
            })?;
            ids.push(known.id());
        }
        if types.is_some() && ids.is_empty() {
            return Err(Problem::parameter("type", "write the name of an event type, such as TradeExecuted"));
        }
        Ok(Self { stream, types: ids })
    }

    fn takes(&self, record: &Record) -> bool {
        self.stream.as_ref().is_none_or(|name| *record.stream == **name)
            && (self.types.is_empty() || self.types.contains(&record.type_id))
    }
}

/// The first sequence of a stream: after the last that the reader has, else where it asks to begin, else after the head.
pub(super) fn beginning(last: Option<&str>, from: Option<u64>, head: u64) -> Result<u64, Problem> {
    if let Some(last) = last.map(str::trim).filter(|last| !last.is_empty()) {
        let digits = last.bytes().all(|byte| byte.is_ascii_digit());
        return match last.parse::<u64>() {
            Ok(last) if digits && last <= head => Ok(last + 1),
            Ok(_) if digits => {
                Err(gone("the log ends before this event: it was put back to an earlier state"))
            }
            _ => Err(Problem::parameter("Last-Event-ID", "send the last `id` of the stream: a whole number")),
        };
    }
    match from {
        Some(from) if from > head + 1 => Err(Problem::parameter(
            "from",
            format!(
                "it is not recorded yet: the last event is {head}, so begin at {} at the latest",
                head + 1
            ),
        )),
        Some(from) => Ok(from.max(1)),
        None => Ok(head + 1),
    }
}

/// A reader of the log.
pub(super) struct Log {
    service: Service,
    admission: Admission,
    filter: Filter,
    listener: Listener,
    stopping: watch::Receiver<bool>,
    /// What was not looked at yet begins here.
    next: u64,
    /// The last id that the reader was sent.
    sent: u64,
    opened: bool,
    ended: bool,
}

impl Log {
    /// A reader from a sequence on.
    pub(super) fn begin(service: Service, caller: Caller, filter: Filter, next: u64) -> Self {
        let listener = service.hub.listen(&service);
        let stopping = service.shared.stopping();
        Self {
            service,
            admission: Admission::new(caller, None),
            filter,
            listener,
            stopping,
            next,
            sent: next - 1,
            opened: false,
            ended: false,
        }
    }

    /// The texts of the stream.
    pub(super) fn run(self) -> impl Stream<Item = String> + Send {
        futures_util::stream::unfold(self, async |mut log| {
            let text = log.text().await?;
            Some((text, log))
        })
    }

    /// The next text; none after the last.
    async fn text(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        if !self.opened {
            self.opened = true;
            return Some(text::opening());
        }
        Some(match self.more().await {
            Ok(text) => text,
            Err(end) => {
                self.ended = true;
                end.text()
            }
        })
    }

    async fn more(&mut self) -> Result<String, End> {
        let heartbeat = Instant::now() + HEARTBEAT;
        loop {
            if *self.stopping.borrow() {
                return Err(End::Stopping);
            }
            let items = self.read().await?;
            if let Some(last) = items.last() {
                let last = last.record.sequence;
                self.admission.check(&self.service).await?;
                let (text, looked_at) = self.written(&items);
                self.next = looked_at.unwrap_or(last) + 1;
                if !text.is_empty() {
                    return Ok(text);
                }
                if Instant::now() < heartbeat {
                    continue;
                }
            }
            if text::wait(self.listener.moved(), heartbeat, &mut self.stopping).await? == Woken::Silent {
                self.admission.check(&self.service).await?;
                let passed = self.next - 1;
                let id = (passed > self.sent).then_some(passed);
                self.sent = passed;
                return Ok(text::heartbeat(id));
            }
        }
    }

    /// What comes next, up to what is durable: from what all streams share where that reaches back so far.
    async fn read(&mut self) -> Result<Vec<Arc<Item>>, End> {
        if self.next > self.listener.seen() {
            // What is durable already is read once, for all.
            return Ok(Vec::new());
        }
        if let Some(items) = self.service.hub.since(self.next, READ_RECORDS) {
            return Ok(items);
        }
        let head = self.service.journal().ledger().head();
        let (from, stream) = (self.next, self.filter.stream.clone());
        let _turn = self.service.hub.reads.acquire().await;
        let read = self
            .service
            .blocking(move |journal| match stream {
                None => Ok(within(journal, from, READ_RECORDS)?),
                Some(stream) => Ok(of_stream(journal, &stream, from, READ_RECORDS)?),
            })
            .await;
        let records = read.map_err(|_| End::Failed)?;
        if records.is_empty() && self.filter.stream.is_some() {
            // The stream has nothing more up to the head that was durable before it was read.
            self.next = head + 1;
        }
        Ok(records.into_iter().map(|record| Arc::new(Item::new(record))).collect())
    }

    /// The events as text, up to a bound, and the last that was looked at if not all were.
    fn written(&mut self, items: &[Arc<Item>]) -> (String, Option<u64>) {
        let mut text = String::new();
        for item in items {
            let sequence = item.record.sequence;
            if self.filter.takes(&item.record) {
                text::write(&mut text, None, sequence, item.json());
                self.sent = sequence;
            }
            if text.len() >= TEXT_BYTES {
                return (text, Some(sequence));
            }
        }
        (text, None)
    }
}
