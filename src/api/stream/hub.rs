//! What the log gained lately: read once, for all streams that wait for it.
//!
//! A task reads the log as it grows while anybody listens, keeps the latest records in a ring of bounded size, and wakes
//! who waits for them. A stream that falls behind the ring reads on from the log itself, so that a slow reader delays
//! nobody, and costs no more memory than one that keeps up.

use crate::api::service::Service;
use crate::journal::{JournalError, to_json};
use daybook_ledger::{Direction, Record};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// The most records of the ring.
const RING_RECORDS: usize = 1_024;
/// The most payload bytes of the ring's records.
const RING_BYTES: usize = 4 << 20;
/// Records that are read at once.
const READ_RECORDS: usize = 256;
/// The least time between two rounds of waking: what comes in between is told together.
const ROUND: Duration = Duration::from_millis(20);
/// How long the task waits after the log could not be read.
const AFTER_FAULT: Duration = Duration::from_secs(1);
/// Reads of the log and computations of figures that streams may have under way at once.
const READS_MAX: usize = 2;

/// A record of the ring, with its JSON once somebody asked for it.
pub(super) struct Item {
    /// The record.
    pub(super) record: Record,
    json: OnceLock<Box<str>>,
}

impl Item {
    /// A record that was read for one stream or for all.
    pub(super) fn new(record: Record) -> Self {
        Self { record, json: OnceLock::new() }
    }

    /// The record as programs read it.
    pub(super) fn json(&self) -> &str {
        self.json.get_or_init(|| to_json(&self.record).to_string().into())
    }
}

#[derive(Default)]
struct Ring {
    items: VecDeque<Arc<Item>>,
    bytes: usize,
    listeners: usize,
    running: bool,
}

impl Ring {
    fn push(&mut self, item: Item) {
        self.bytes += item.record.payload.len();
        self.items.push_back(Arc::new(item));
        while self.items.len() > RING_RECORDS || self.bytes > RING_BYTES {
            let Some(oldest) = self.items.pop_front() else { break };
            self.bytes -= oldest.record.payload.len();
        }
    }

    fn clear(&mut self) {
        self.items.clear();
        self.bytes = 0;
    }
}

/// What all streams share.
pub(in crate::api) struct Hub {
    ring: Mutex<Ring>,
    /// How far the task has read the log.
    seen: watch::Sender<u64>,
    /// What bounds the threads that read for streams.
    pub(super) reads: Arc<Semaphore>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            ring: Mutex::default(),
            seen: watch::Sender::new(0),
            reads: Arc::new(Semaphore::new(READS_MAX)),
        }
    }
}

/// Somebody who waits for what the log gains. The log is read for as long as there is one.
pub(super) struct Listener {
    hub: Arc<Hub>,
    seen: watch::Receiver<u64>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.hub.ring().listeners -= 1;
    }
}

impl Listener {
    /// Waits until the log was read further than when this was last asked.
    pub(super) async fn moved(&mut self) {
        if self.seen.changed().await.is_err() {
            // The sender lives in the hub, which this holds.
            std::future::pending::<()>().await;
        }
    }

    /// How far the log is read.
    pub(super) fn seen(&self) -> u64 {
        *self.seen.borrow()
    }
}

impl Hub {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to listen; what is recorded from now on will be seen.
    pub(super) fn listen(self: &Arc<Self>, service: &Service) -> Listener {
        let mut ring = self.ring();
        ring.listeners += 1;
        if !ring.running {
            ring.running = true;
            ring.clear();
            let head = service.journal().ledger().subscribe();
            self.seen.send_replace(*head.borrow());
            tokio::spawn(follow(Arc::clone(self), service.clone(), head));
        }
        let seen = self.seen.subscribe();
        drop(ring);
        Listener { hub: Arc::clone(self), seen }
    }

    /// The records from a sequence on, as far as the ring holds all of them; none if it does not reach back so far.
    pub(super) fn since(&self, from: u64, limit: usize) -> Option<Vec<Arc<Item>>> {
        let ring = self.ring();
        let first = ring.items.front()?.record.sequence;
        let skip = usize::try_from(from.checked_sub(first)?).ok()?;
        Some(ring.items.iter().skip(skip).take(limit).cloned().collect())
    }

    /// Takes in records that the log gained, and wakes who waits for them.
    fn take_in(&self, records: Vec<Record>) {
        let Some(last) = records.last().map(|record| record.sequence) else { return };
        let mut ring = self.ring();
        for record in records {
            ring.push(Item::new(record));
        }
        drop(ring);
        self.seen.send_replace(last);
    }

    /// Goes on at a sequence without having read what is before it: whoever waits reads that from the log.
    fn skip_to(&self, sequence: u64) {
        self.ring().clear();
        self.seen.send_replace(sequence);
    }

    /// Whether the task may end because nobody listens; who comes later starts another.
    fn may_rest(&self) -> bool {
        let mut ring = self.ring();
        if ring.listeners > 0 {
            return false;
        }
        ring.running = false;
        ring.clear();
        true
    }
}

/// Reads the log as it grows, until nobody listens or the service stops.
async fn follow(hub: Arc<Hub>, service: Service, mut head: watch::Receiver<u64>) {
    let mut stopping = service.shared.stopping();
    let mut next = hub.seen.borrow().saturating_add(1);
    loop {
        let durable = *head.borrow_and_update();
        if durable >= next + RING_RECORDS as u64 * 4 {
            // A large import: each stream goes through it at its own pace.
            next = durable + 1;
            hub.skip_to(durable);
        }
        while next <= durable {
            let read = service
                .blocking(move |journal| {
                    // Whoever is woken finds it taken in.
                    drop(journal.library()?);
                    let read = journal.ledger().read(next, READ_RECORDS, Direction::Forward);
                    Ok(read.map_err(JournalError::from)?)
                })
                .await;
            match read {
                Ok(records) if !records.is_empty() => {
                    next += records.len() as u64;
                    hub.take_in(records);
                }
                // The fault stands in the log of the service; the streams meet it too.
                _ => tokio::time::sleep(AFTER_FAULT).await,
            }
            if *stopping.borrow() {
                return;
            }
        }
        tokio::time::sleep(ROUND).await;
        if hub.may_rest() {
            return;
        }
        tokio::select! {
            changed = head.changed() => if changed.is_err() { return },
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
        }
    }
}
