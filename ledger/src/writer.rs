//! The writer: draining what waits, deciding and staging it, and group commit.
//!
//! One thread decides; a second one writes and syncs. While a frame is being synced the next is prepared, and
//! at most one is ever unsynced. A lone small append skips the second thread: nothing waits behind it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::watch;

use crate::append::{Append, AppendError, Pending};
use crate::decide::{Answer, Decider, Limits, Request, Staged};
use crate::stats::{Counters, Stats};
use crate::store::{CommitStore, Prepared, PutError};
use crate::tail::Finder;

/// Appends that may wait before the next is refused.
const WAITING_MAX: usize = 16_384;
/// Bytes that may wait before the next append is refused.
const WAITING_BYTES_MAX: usize = 256 << 20;
/// A frame takes no more appends above this many bytes, so that the first in it does not wait for the last.
const GROUP_BYTES: usize = 4 << 20;
/// Up to this many records a lone append is written by the deciding thread itself.
const LONE_RECORDS_MAX: u32 = 64;

/// The head that readers see, and what wakes them when it moves.
pub(crate) struct Published {
    head: watch::Sender<u64>,
    lock: Mutex<()>,
    moved: Condvar,
}

impl Published {
    pub(crate) fn new(head: u64) -> Published {
        Published { head: watch::Sender::new(head), lock: Mutex::default(), moved: Condvar::new() }
    }

    pub(crate) fn head(&self) -> u64 {
        *self.head.borrow()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    fn publish(&self, head: u64) {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.head.send_replace(head);
        drop(guard);
        self.moved.notify_all();
    }

    /// Waits until the head is above `seen` or the time is up; returns the head.
    pub(crate) fn wait_above(&self, seen: u64, timeout: std::time::Duration) -> u64 {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(
            self.moved
                .wait_timeout_while(guard, timeout, |()| self.head() <= seen)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard),
        );
        self.head()
    }
}

struct Waiting {
    requests: VecDeque<(Request, Answer)>,
    bytes: usize,
    /// What became of the frame that was given away.
    synced: Option<Result<u64, PutError>>,
    /// Memory to encode the next frame into.
    spare: Prepared,
    closed: bool,
    poisoned: Option<Arc<str>>,
}

struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    room: Condvar,
}

impl Inbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the syncing thread picks up a frame.
struct Handover {
    frame: Mutex<(Option<(u64, Prepared)>, bool)>,
    given: Condvar,
}

/// The running writer.
pub(crate) struct Writer {
    inbox: Arc<Inbox>,
    counters: Arc<Counters>,
    limits: Limits,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(
        store: Arc<dyn CommitStore>,
        finder: Arc<Finder>,
        published: Arc<Published>,
        decider: Decider,
        limits: Limits,
        tail_records_max: u64,
    ) -> std::io::Result<Writer> {
        let inbox = Arc::new(Inbox {
            waiting: Mutex::new(Waiting {
                requests: VecDeque::new(),
                bytes: 0,
                synced: None,
                spare: Prepared::default(),
                closed: false,
                poisoned: None,
            }),
            arrived: Condvar::new(),
            room: Condvar::new(),
        });
        let handover = Arc::new(Handover { frame: Mutex::default(), given: Condvar::new() });
        let counters = Arc::new(Counters::default());
        let syncer = {
            let (inbox, handover, store) = (Arc::clone(&inbox), Arc::clone(&handover), Arc::clone(&store));
            let counters = Arc::clone(&counters);
            std::thread::Builder::new()
                .name("ledger-sync".into())
                .spawn(move || sync_until_closed(&inbox, &handover, &*store, &counters))?
        };
        let head = store.head();
        let run = Run {
            store,
            finder,
            published,
            decider,
            limits,
            tail_records_max,
            inbox: Arc::clone(&inbox),
            counters: Arc::clone(&counters),
            handover,
            carry: VecDeque::new(),
            staged: Staged::new(head + 1),
            in_flight: None,
            poisoned: None,
        };
        let thread = std::thread::Builder::new().name("ledger-write".into()).spawn(move || {
            let inbox = Arc::clone(&run.inbox);
            let _last_word = LastWord { inbox: &inbox, syncing: false };
            run.until_closed();
            let _ = syncer.join();
        })?;
        Ok(Writer { inbox, counters, limits, thread: Some(thread) })
    }

    /// Queues an append; a caller that may block waits for room, any other is told.
    pub(crate) fn submit(&self, append: Append, may_block: bool) -> Pending {
        let (answer, pending) = Pending::new();
        match Request::check(append, self.limits) {
            Err(error) => drop(answer.send(Err(error))),
            Ok(request) => self.queue(request, answer, may_block),
        }
        pending
    }

    fn queue(&self, request: Request, answer: Answer, may_block: bool) {
        let mut waiting = self.inbox.waiting();
        loop {
            if waiting.closed {
                drop(answer.send(Err(AppendError::Closed)));
                return;
            }
            if let Some(reason) = &waiting.poisoned {
                drop(answer.send(Err(AppendError::Poisoned { reason: Arc::clone(reason) })));
                return;
            }
            let full = waiting.requests.len() >= WAITING_MAX
                || (waiting.bytes + request.bytes > WAITING_BYTES_MAX && !waiting.requests.is_empty());
            if !full {
                break;
            }
            if !may_block {
                drop(answer.send(Err(AppendError::Overloaded)));
                return;
            }
            waiting = self.inbox.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.bytes += request.bytes;
        waiting.requests.push_back((request, answer));
        let first = waiting.requests.len() == 1;
        drop(waiting);
        if first {
            self.inbox.arrived.notify_one();
        }
    }

    /// Writes what waits, and stops.
    pub(crate) fn close(&mut self) {
        self.inbox.waiting().closed = true;
        self.inbox.arrived.notify_one();
        self.inbox.room.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// What was done so far, and what waits.
    pub(crate) fn stats(&self) -> Stats {
        let waiting = self.inbox.waiting();
        let (appends, bytes) = (waiting.requests.len(), waiting.bytes);
        drop(waiting);
        Stats { waiting: appends, waiting_bytes: bytes, ..self.counters.read() }
    }

    /// Why the writer stopped, if it did.
    pub(crate) fn poisoned(&self) -> Option<Arc<str>> {
        self.inbox.waiting().poisoned.clone()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Tells those who wait when a thread ends by a panic, so that nobody waits for ever.
struct LastWord<'a> {
    inbox: &'a Inbox,
    syncing: bool,
}

impl Drop for LastWord<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let reason: Arc<str> = "a thread of the writer ended by a panic".into();
        let mut waiting = self.inbox.waiting();
        if self.syncing {
            waiting.synced = Some(Err(PutError::Indefinite { reason }));
        } else {
            waiting.poisoned = Some(reason);
            waiting.requests.clear();
        }
        drop(waiting);
        self.inbox.arrived.notify_all();
        self.inbox.room.notify_all();
    }
}

/// Writes a frame, and counts it.
fn put(
    store: &dyn CommitStore,
    counters: &Counters,
    seen: u64,
    prepared: &mut Prepared,
) -> Result<u64, PutError> {
    let (records, bytes) = (prepared.count, prepared.bytes.len());
    let began = Instant::now();
    let outcome = store.put(seen, prepared);
    counters.written(began.elapsed(), records, bytes, outcome.is_ok());
    outcome
}

fn sync_until_closed(inbox: &Inbox, handover: &Handover, store: &dyn CommitStore, counters: &Counters) {
    let _last_word = LastWord { inbox, syncing: true };
    loop {
        let taken = {
            let mut frame = handover.frame.lock().unwrap_or_else(PoisonError::into_inner);
            while frame.0.is_none() && !frame.1 {
                frame = handover.given.wait(frame).unwrap_or_else(PoisonError::into_inner);
            }
            frame.0.take()
        };
        let Some((seen, mut prepared)) = taken else { return };
        let outcome = put(store, counters, seen, &mut prepared);
        let mut waiting = inbox.waiting();
        waiting.synced = Some(outcome);
        waiting.spare = prepared;
        drop(waiting);
        inbox.arrived.notify_one();
    }
}

/// The deciding thread's own state.
struct Run {
    store: Arc<dyn CommitStore>,
    finder: Arc<Finder>,
    published: Arc<Published>,
    decider: Decider,
    limits: Limits,
    tail_records_max: u64,
    inbox: Arc<Inbox>,
    counters: Arc<Counters>,
    handover: Arc<Handover>,
    /// Requests taken from the inbox that did not fit the frame being staged.
    carry: VecDeque<(Request, Answer)>,
    staged: Staged,
    in_flight: Option<Staged>,
    poisoned: Option<Arc<str>>,
}

impl Run {
    fn until_closed(mut self) {
        while self.wait() {
            self.stage();
            if self.in_flight.is_none() && !self.staged.is_empty() {
                self.dispatch();
            }
        }
        let mut frame = self.handover.frame.lock().unwrap_or_else(PoisonError::into_inner);
        frame.1 = true;
        drop(frame);
        self.handover.given.notify_one();
    }

    /// Waits for a request or the end of a sync; false when closed and everything has been answered.
    fn wait(&mut self) -> bool {
        let inbox = Arc::clone(&self.inbox);
        let mut waiting = inbox.waiting();
        loop {
            if waiting.synced.is_some() {
                break;
            }
            // While the frame being staged is full there is nothing to do with more requests.
            let stuck = self.in_flight.is_some() && !self.carry.is_empty();
            if !stuck && (!waiting.requests.is_empty() || !self.carry.is_empty()) {
                break;
            }
            if waiting.closed && self.in_flight.is_none() && waiting.requests.is_empty() {
                return false;
            }
            waiting = inbox.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let synced = waiting.synced.take();
        if self.carry.is_empty() {
            std::mem::swap(&mut self.carry, &mut waiting.requests);
            waiting.bytes = 0;
            inbox.room.notify_all();
        }
        drop(waiting);
        if let Some(outcome) = synced {
            self.finish(outcome);
        }
        true
    }

    /// Decides what was taken, until the frame is full.
    fn stage(&mut self) {
        while let Some((request, _)) = self.carry.front() {
            if !self.staged.is_empty()
                && (!self.staged.has_room(request, self.limits)
                    || self.staged.builder.bytes_max() > GROUP_BYTES)
            {
                return;
            }
            let Some((request, answer)) = self.carry.pop_front() else { return };
            if let Some(reason) = &self.poisoned {
                drop(answer.send(Err(AppendError::Poisoned { reason: Arc::clone(reason) })));
                continue;
            }
            if let Err(reason) = self.finder.wait_for_room(self.tail_records_max) {
                drop(answer.send(Err(AppendError::Stalled { reason })));
                continue;
            }
            self.decider.stage(request, answer, &mut self.staged, self.in_flight.as_mut());
        }
    }

    /// Gives the staged frame away to be written, or writes it here.
    fn dispatch(&mut self) {
        let lone = self.staged.appends() == 1 && self.staged.builder.count() <= LONE_RECORDS_MAX;
        if !lone || !self.carry.is_empty() {
            self.hand_over();
            return;
        }
        let (seen, mut prepared) = self.prepare();
        let outcome = put(&*self.store, &self.counters, seen, &mut prepared);
        self.inbox.waiting().spare = prepared;
        self.finish(outcome);
    }

    /// Publishes the frame that was in flight, or fails it and what was decided on top of it.
    fn finish(&mut self, outcome: Result<u64, PutError>) {
        let Some(mut frame) = self.in_flight.take() else { return };
        let error = match outcome {
            Ok(head) => {
                debug_assert_eq!(head, frame.builder.next_sequence() - 1, "the store put what it was given");
                // The next frame is sent off first: its sync need not wait for these answers.
                if !self.staged.is_empty() {
                    self.hand_over();
                }
                self.publish(&mut frame, head);
                frame.answer(&Ok(()));
                return;
            }
            Err(error) => error,
        };
        let (own, behind) = match error {
            PutError::NoSpace => (AppendError::NoSpace, AppendError::NoSpace),
            PutError::TooLarge { bytes, bytes_max } => {
                let size = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
                let error = AppendError::TooLarge {
                    records: frame.builder.count() as usize,
                    bytes: size(bytes),
                    records_max: self.limits.records_max,
                    bytes_max: size(bytes_max),
                };
                (error, AppendError::Overloaded)
            }
            PutError::HeadMoved { head } => {
                let reason: Arc<str> = format!("another writer moved the head to {head}").into();
                (self.poison(&reason), AppendError::Poisoned { reason })
            }
            PutError::Refused { reason } => (self.poison(&reason), AppendError::Poisoned { reason }),
            PutError::Indefinite { reason } => {
                self.poison(&reason);
                (AppendError::Indefinite { reason: Arc::clone(&reason) }, AppendError::Poisoned { reason })
            }
        };
        let head = self.store.head();
        let staged = std::mem::replace(&mut self.staged, Staged::new(head + 1));
        frame.answer(&Err(own));
        staged.answer(&Err(behind));
    }

    /// Gives the staged frame to the syncing thread, which is idle.
    fn hand_over(&mut self) {
        let (seen, prepared) = self.prepare();
        let mut given = self.handover.frame.lock().unwrap_or_else(PoisonError::into_inner);
        given.0 = Some((seen, prepared));
        drop(given);
        self.handover.given.notify_one();
    }

    /// Encodes the staged frame and puts it in flight.
    fn prepare(&mut self) -> (u64, Prepared) {
        let mut prepared = std::mem::take(&mut self.inbox.waiting().spare);
        prepared.fill(&self.staged.builder, self.staged.first_sequence);
        let next = Staged::new(self.staged.builder.next_sequence());
        let frame = std::mem::replace(&mut self.staged, next);
        let seen = frame.first_sequence - 1;
        self.in_flight = Some(frame);
        (seen, prepared)
    }

    fn publish(&mut self, frame: &mut Staged, head: u64) {
        self.decider.remember(frame);
        self.finder.extend(frame.batch());
        self.published.publish(head);
    }

    fn poison(&mut self, reason: &Arc<str>) -> AppendError {
        tracing::error!(%reason, "the writer stops");
        self.poisoned = Some(Arc::clone(reason));
        let mut waiting = self.inbox.waiting();
        waiting.poisoned = Some(Arc::clone(reason));
        drop(waiting);
        self.inbox.room.notify_all();
        AppendError::Poisoned { reason: Arc::clone(reason) }
    }
}
