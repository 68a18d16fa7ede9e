//! The daemon of one account: when it asks, what it asks, and what it does with the answers.

use super::books::{self, BROKER, Books, Fills, OpenBreak};
use super::broker::{Broker, Call, Deaf, Heard};
use super::marks::{Kind, Marks};
use super::reconcile::{Difference, differences};
use super::{Bound, Fault, orders, translate, wire};
use crate::config::AlpacaAccount;
use crate::journal::{Author, FeedBatch, FeedReport, JournalError};
use crate::sync::alpaca_http::{Answer, Unreachable};
use crate::sync::board::{Source, State};
use crate::sync::breaks;
use crate::sync::client_order;
use crate::sync::pace::{Backoff, Bucket, WallClock};
use daybook_schemas::Timestamp;
use rust_decimal::Decimal;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Rows in a page, at most.
const PAGE_ROWS: usize = 100;
/// Rows in a page that the bell asks for: few, so that it is soon there.
const PULL_ROWS: usize = 25;
/// Rows that are recorded together, at most, while much is read.
const COMMIT_ROWS: usize = 5_000;
/// Pages that a ring of the bell reads back, at most, before everything is read in order instead.
const PULL_PAGES: usize = 6;
/// How far before the mark fills are read again.
const FILLS_OVERLAP: Duration = Duration::from_secs(86_400);
/// How far before the mark everything else is read again.
const OTHERS_OVERLAP: Duration = Duration::from_secs(7 * 86_400);
/// How far back the deep sweep reads.
const DEEP: Duration = Duration::from_secs(90 * 86_400);
/// How long the bell is left alone after it was answered.
const DEBOUNCE: Duration = Duration::from_millis(250);
/// When it is looked once more after the bell rang without saying what for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a fill that was heard of may take to show before somebody is told.
const AWAITED_WARN: Duration = Duration::from_secs(120);
/// How long it is asked for at all; the sweeps go on.
const AWAITED_MOST: Duration = Duration::from_secs(600);
/// A difference must still be there after so long, and after everything was read again, to be one.
const CONFIRM_AFTER: Duration = Duration::from_secs(4);
/// How long the first reading waits for the bell to be listened to.
const SUBSCRIBE_FIRST: Duration = Duration::from_secs(10);
/// How often a reading that takes long may be begun: one part in so many of the time.
const DUTY: u32 = 6;
/// Requests that stay in the bucket for the bell.
const SPARE_REQUESTS: u32 = 4;
/// Requests that may be made at once after a quiet time.
const BURST: u32 = 8;
/// How often a reading is done again before differences are believed, when it is done once.
const ONCE_ATTEMPTS: u32 = 4;
/// Rows that are remembered as recorded.
const SEEN_MAX: usize = 200_000;
/// Pages of orders that are read back, at most, for the strategies of one batch of fills.
const ORDER_PAGES: usize = 200;
/// Orders whose strategies are remembered.
const STRATEGIES_MAX: usize = 100_000;

/// Ways in which the daemon is broken on purpose, so that the simulation can show that it would be noticed.
#[cfg(test)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Flaw {
    #[default]
    None,
    /// The page token of the last reading is where the next one begins.
    TokenKept,
    /// Rows are recorded without looking whether they were before.
    KeysForgotten,
    /// Money is booked from the stream.
    BookedFromSocket,
    /// The cursor moves before the rows are recorded.
    CursorFirst,
}

/// What a single synchronisation did.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnceReport {
    /// What was recorded.
    pub(crate) report: FeedReport,
    /// Rows that were read.
    pub(crate) rows: u64,
    /// How long it took to understand and record the rows, without the waiting for them.
    pub(crate) recording: Duration,
    /// Where the books differ, in words.
    pub(crate) breaks: Vec<String>,
}

/// What the listener tells the daemon.
enum Notice {
    Listening,
    Heard(Heard),
    Lost(String),
}

/// A reading in order, page by page.
struct Sweep {
    kind: Kind,
    after: Option<Timestamp>,
    token: Option<String>,
    tokens: BTreeSet<String>,
    rows: BTreeMap<String, Box<RawValue>>,
    read: u64,
    began: Instant,
}

/// A fill that was heard of and not seen yet.
struct Awaited {
    cumulative: Decimal,
    since: Instant,
    warned: bool,
}

/// The daemon of one account.
pub(crate) struct Engine<B> {
    config: AlpacaAccount,
    broker: Arc<B>,
    books: Books,
    clock: Arc<dyn WallClock>,
    source: Arc<Source>,
    author: Author,
    bucket: Bucket,
    backoff: Backoff,
    bound: Option<Bound>,
    marks: Marks,
    fills: Fills,
    open: Vec<OpenBreak>,
    /// Rows that were recorded since the start, by id, so that reading them again costs nothing.
    seen: HashMap<String, u64>,
    strategies: BTreeMap<String, Option<String>>,
    awaited: BTreeMap<String, Awaited>,
    suspected: Vec<Difference>,
    /// What of our own books cannot be told, and so not compared.
    unclear: Vec<String>,
    agenda: Agenda,
    sweeps: VecDeque<Sweep>,
    total: FeedReport,
    rows: u64,
    recording: Duration,
    #[cfg(test)]
    pub(crate) flaw: Flaw,
    #[cfg(test)]
    kept_token: Option<String>,
}

/// When what is due.
struct Agenda {
    fills_at: Instant,
    others_at: Instant,
    deep_at: Instant,
    pull_at: Option<Instant>,
    pull_wait: Duration,
    /// Whether to look once more a little later: what rang did not say what for.
    again: bool,
    reconcile_at: Option<Instant>,
    /// Nothing is asked before.
    not_before: Instant,
    last_pull: Instant,
}

impl Agenda {
    fn new(deep: Duration) -> Self {
        let now = Instant::now();
        Self {
            fills_at: now,
            others_at: now,
            deep_at: now + deep,
            pull_at: None,
            pull_wait: DEBOUNCE,
            again: false,
            reconcile_at: None,
            not_before: now,
            last_pull: now.checked_sub(DEBOUNCE).unwrap_or(now),
        }
    }
}

/// What is done next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Pull,
    Page,
    Begin(Kind),
    BeginDeep,
    Reconcile,
}

impl<B: Broker + 'static> Engine<B> {
    /// The daemon of an account; nothing is asked yet.
    pub(crate) fn new(
        config: AlpacaAccount,
        broker: Arc<B>,
        books: Books,
        clock: Arc<dyn WallClock>,
        source: Arc<Source>,
    ) -> Self {
        let deep = config.sweep_deep;
        let seed = seed(&config.name);
        Self {
            bucket: Bucket::new(config.requests_per_second, BURST),
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60), seed),
            author: Author {
                actor: format!("{BROKER}/{}", config.name).into(),
                source: BROKER.into(),
                correlation: None,
                reaches_all: true,
            },
            config,
            broker,
            books,
            clock,
            source,
            bound: None,
            marks: Marks::default(),
            fills: Fills::default(),
            open: Vec::new(),
            seen: HashMap::new(),
            strategies: BTreeMap::new(),
            awaited: BTreeMap::new(),
            suspected: Vec::new(),
            unclear: Vec::new(),
            agenda: Agenda::new(deep),
            sweeps: VecDeque::new(),
            total: FeedReport::default(),
            rows: 0,
            recording: Duration::ZERO,
            #[cfg(test)]
            flaw: Flaw::None,
            #[cfg(test)]
            kept_token: None,
        }
    }

    /// Keeps the ledger current until it is told to stop.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let (notices, mut heard) = mpsc::channel(1_024);
        let listener = tokio::spawn(listen(self.broker.clone(), notices, seed(&self.config.name)));
        // What happens while the bell is not listened to yet must be read after it is.
        let first = Instant::now() + SUBSCRIBE_FIRST;
        (self.agenda.fills_at, self.agenda.others_at) = (first, first);
        let source = self.source.clone();
        while !*stop.borrow() {
            let halted = source.status().state == State::Halted;
            let next = (!halted).then(|| self.next());
            let due = next.map_or_else(|| Instant::now() + DEEP, |(at, _)| at);
            self.tell_next(due, halted);
            tokio::select! {
                biased;
                changed = stop.changed() => if changed.is_err() { break },
                () = source.rung() => self.everything_now(),
                notice = heard.recv() => match notice {
                    Some(notice) => self.notice(notice).await,
                    None => break,
                },
                () = tokio::time::sleep_until(due), if !halted => {
                    if let Some((_, step)) = next {
                        let done = self.step(step).await;
                        self.after(done);
                    }
                }
            }
        }
        listener.abort();
    }

    /// Reads everything once, holds the books against the broker's, and says what it did.
    pub(crate) async fn once(&mut self) -> Result<OnceReport, Fault> {
        let mut standing = Vec::new();
        let mut found = Vec::new();
        for attempt in 1..=ONCE_ATTEMPTS {
            self.begin(Kind::Fills);
            self.begin(Kind::Others);
            while !self.sweeps.is_empty() {
                self.step_patiently(Step::Page).await?;
            }
            let before = std::mem::replace(&mut found, self.patiently_compare().await?);
            standing = breaks::standing(&found, &before, &self.open);
            if standing.len() == found.len() {
                break;
            }
            if attempt < ONCE_ATTEMPTS {
                tokio::time::sleep(Duration::from_millis(500) * attempt).await;
            }
        }
        self.record_differences(standing).await?;
        let breaks = self.source.status().breaks;
        Ok(OnceReport { report: self.total.clone(), rows: self.rows, recording: self.recording, breaks })
    }

    /// Does a step; what may succeed later is tried again for some minutes.
    async fn step_patiently(&mut self, step: Step) -> Result<(), Fault> {
        loop {
            let failed = match self.step(step).await {
                Ok(()) => {
                    self.backoff.succeed();
                    return Ok(());
                }
                Err(failed) => failed,
            };
            self.wait_patiently(failed).await?;
        }
    }

    async fn patiently_compare(&mut self) -> Result<Vec<Difference>, Fault> {
        loop {
            match self.compare().await {
                Ok(found) => return Ok(found),
                Err(failed) => self.wait_patiently(failed).await?,
            }
        }
    }

    async fn wait_patiently(&mut self, failed: Fault) -> Result<(), Fault> {
        let Fault::Later { why, limited } = failed else { return Err(failed) };
        if self.backoff.failures() >= 8 {
            return Err(Fault::Later { why, limited });
        }
        let wait = self.wait_after(limited);
        tracing::warn!(source = %self.config.name, "{why}; asking again in {:.1} s", wait.as_secs_f64());
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn wait_after(&mut self, limited: bool) -> Duration {
        let wait = self.backoff.fail();
        // The limit is counted by the minute, and the answer's own hint does not come through the client.
        if limited { wait.max(Duration::from_secs(5)) } else { wait }
    }

    /// What is done next, and when.
    fn next(&self) -> (Instant, Step) {
        let agenda = &self.agenda;
        let page = self.bucket.ready_at(SPARE_REQUESTS);
        let mut steps: Vec<(Instant, Step)> = Vec::with_capacity(6);
        if let Some(at) = agenda.pull_at {
            steps.push((at.max(self.bucket.ready_at(0)), Step::Pull));
        }
        if self.sweeps.is_empty() {
            steps.push((agenda.deep_at, Step::BeginDeep));
            steps.push((agenda.fills_at, Step::Begin(Kind::Fills)));
            steps.push((agenda.others_at, Step::Begin(Kind::Others)));
            if let Some(at) = agenda.reconcile_at {
                steps.push((at.max(page), Step::Reconcile));
            }
        } else {
            steps.push((page, Step::Page));
        }
        // Of what is due already the first is done: the bell before everything else.
        let now = Instant::now();
        let (at, step) = steps
            .into_iter()
            .min_by_key(|(at, _)| (*at).max(now))
            .unwrap_or((agenda.fills_at, Step::Begin(Kind::Fills)));
        (at.max(agenda.not_before), step)
    }

    async fn step(&mut self, step: Step) -> Result<(), Fault> {
        match step {
            Step::Pull => self.pull().await,
            Step::Page => self.page().await,
            Step::Begin(kind) => {
                self.begin(kind);
                Ok(())
            }
            Step::BeginDeep => {
                self.begin_deep();
                Ok(())
            }
            Step::Reconcile => self.reconcile().await,
        }
    }

    /// Sets the state by how a step went.
    fn after(&mut self, done: Result<(), Fault>) {
        let now = self.clock.now();
        match done {
            Ok(()) => {
                self.backoff.succeed();
                let current = self.sweeps.is_empty() && self.bound.is_some();
                self.source.update(|status| {
                    status.failures = 0;
                    status.detail = None;
                    status.state = if current { State::Current } else { State::Syncing };
                    if current {
                        status.last_success = Some(now);
                    }
                });
            }
            Err(Fault::Halt(why)) => {
                tracing::error!(source = %self.config.name, "halted: {why}");
                self.sweeps.clear();
                self.source.update(|status| {
                    status.state = State::Halted;
                    status.detail = Some(why);
                });
            }
            Err(fault) => {
                let limited = matches!(fault, Fault::Later { limited: true, .. });
                let wait = self.wait_after(limited);
                tracing::warn!(source = %self.config.name, "{fault}; asking again in {:.1} s", wait.as_secs_f64());
                self.agenda.not_before = Instant::now() + wait;
                let failures = self.backoff.failures();
                self.source.update(|status| {
                    status.state = State::Retrying;
                    status.failures = failures;
                    status.detail = Some(fault.to_string());
                });
            }
        }
    }

    fn tell_next(&self, due: Instant, halted: bool) {
        let wait = due.saturating_duration_since(Instant::now());
        let nanos = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX);
        let at = (!halted).then(|| self.clock.now().plus_nanos(nanos));
        self.source.update(|status| status.next_attempt = at);
    }

    /// Somebody asked for everything to be read now, halted or not.
    fn everything_now(&mut self) {
        let now = Instant::now();
        self.agenda.not_before = now;
        (self.agenda.fills_at, self.agenda.others_at) = (now, now);
        self.agenda.reconcile_at = Some(now);
        // What was taken back here in the meantime, with a whole import say, is recorded anew.
        self.seen.clear();
        self.source.update(|status| {
            if status.state == State::Halted {
                status.state = State::Syncing;
                status.detail = None;
            }
        });
    }

    async fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Listening => {
                // What happened before the bell was listened to is read anew, after what is being read now.
                let now = Instant::now();
                (self.agenda.fills_at, self.agenda.others_at) = (now, now);
                self.source.update(|status| status.listening = Some(true));
            }
            Notice::Lost(why) => {
                tracing::warn!(source = %self.config.name, "the stream of order updates is lost: {why}");
                self.source.update(|status| status.listening = Some(false));
            }
            Notice::Heard(heard) => self.heard(heard).await,
        }
    }

    async fn heard(&mut self, heard: Heard) {
        let now = Instant::now();
        match heard {
            Heard::Filled { order, cumulative, client_order_id } => {
                if let Some(id) = client_order_id {
                    self.strategies.insert(order.clone(), client_order::strategy(&id).map(str::to_owned));
                }
                self.await_fill(order, cumulative);
            }
            // An order that was placed or ended says nothing of money: it is soon enough with the next fill.
            Heard::Noted => {
                let at = now + LOOK_AGAIN;
                self.agenda.pull_at = Some(self.agenda.pull_at.map_or(at, |pull| pull.min(at)));
                return;
            }
            Heard::Something => self.agenda.again = true,
            #[cfg(test)]
            Heard::Raw(message) => {
                self.book_from_socket(&message).await;
                if let Some((order, cumulative)) = super::tests::order_of(&message) {
                    self.await_fill(order, cumulative);
                }
            }
        }
        self.agenda.pull_wait = DEBOUNCE;
        let at = (self.agenda.last_pull + DEBOUNCE).max(now);
        self.agenda.pull_at = Some(self.agenda.pull_at.map_or(at, |pull| pull.min(at)));
    }

    /// Expects a fill that was heard of, unless it is recorded already.
    fn await_fill(&mut self, order: String, cumulative: Decimal) {
        if self.fills.reaches(&order, cumulative) {
            return;
        }
        let new = Awaited { cumulative, since: Instant::now(), warned: false };
        let awaited = self.awaited.entry(order).or_insert(new);
        awaited.cumulative = awaited.cumulative.max(cumulative);
    }

    fn begin(&mut self, kind: Kind) {
        let now = Instant::now();
        let (overlap, every) = match kind {
            Kind::Fills => (FILLS_OVERLAP, self.config.sweep_fills),
            Kind::Others => (OTHERS_OVERLAP, self.config.sweep_activities),
        };
        match kind {
            Kind::Fills => self.agenda.fills_at = now + every,
            Kind::Others => self.agenda.others_at = now + every,
        }
        self.sweep(kind, self.marks.of(kind).map(|mark| back(mark, overlap)));
    }

    fn begin_deep(&mut self) {
        self.agenda.deep_at = Instant::now() + self.config.sweep_deep;
        let after = back(self.clock.now(), DEEP);
        self.seen.clear();
        self.sweep(Kind::Fills, Some(after));
        self.sweep(Kind::Others, Some(after));
    }

    fn sweep(&mut self, kind: Kind, after: Option<Timestamp>) {
        let token = None;
        #[cfg(test)]
        let token = if self.flaw == Flaw::TokenKept { self.kept_token.clone().or(token) } else { token };
        self.sweeps.push_back(Sweep {
            kind,
            after,
            token,
            tokens: BTreeSet::new(),
            rows: BTreeMap::new(),
            read: 0,
            began: Instant::now(),
        });
    }

    /// Reads the next page of the reading that is under way; at its end, or when enough was read, records it.
    async fn page(&mut self) -> Result<(), Fault> {
        let Some(mut sweep) = self.sweeps.pop_front() else { return Ok(()) };
        let read = self.read_page(&mut sweep).await;
        let (kind, ended) = (sweep.kind, matches!(read, Ok(true)));
        if let Err(fault) = read {
            self.sweeps.push_front(sweep);
            return Err(fault);
        }
        if ended || sweep.rows.len() >= COMMIT_ROWS {
            let rows: Vec<Box<RawValue>> = sweep.rows.values().cloned().collect();
            if let Err(fault) = self.commit(rows, Some(kind)).await {
                // The page was read; recording it is tried again at the end of the next one.
                self.sweeps.push_front(sweep);
                return Err(fault);
            }
            sweep.rows.clear();
        }
        if !ended {
            self.sweeps.push_front(sweep);
            return Ok(());
        }
        let took = sweep.began.elapsed();
        if kind == Kind::Fills {
            self.agenda.fills_at = self.agenda.fills_at.max(Instant::now() + took * DUTY);
            let confirm = (!self.suspected.is_empty()).then_some(CONFIRM_AFTER);
            self.agenda.reconcile_at = Some(Instant::now() + confirm.unwrap_or_default());
        }
        tracing::debug!(source = %self.config.name, ?kind, rows = sweep.read, "read to the end in {took:?}");
        Ok(())
    }

    /// Whether the reading came to its end.
    async fn read_page(&mut self, sweep: &mut Sweep) -> Result<bool, Fault> {
        self.identify().await?;
        if sweep.token.is_none() && self.taken_back().await? {
            sweep.after = None;
        } else if sweep.after.is_none() {
            // The mark was not known when the reading was begun.
            let overlap = if sweep.kind == Kind::Fills { FILLS_OVERLAP } else { OTHERS_OVERLAP };
            sweep.after = self.marks.of(sweep.kind).map(|mark| back(mark, overlap));
        }
        let rows = self.activities(sweep.kind, "asc", PAGE_ROWS, sweep.after, sweep.token.as_deref()).await?;
        let last = rows.last().and_then(|row| id_of(row));
        sweep.read += rows.len() as u64;
        self.rows += rows.len() as u64;
        let empty = rows.is_empty();
        for (index, row) in rows.into_iter().enumerate() {
            // One that comes again on a later page, because something was inserted before it, is read as it is then.
            let key = named(&row).unwrap_or_else(|| format!("{}/{index}", sweep.read));
            sweep.rows.insert(key, row);
        }
        #[cfg(test)]
        if last.is_some() {
            self.kept_token.clone_from(&last);
        }
        // A short page is not the end: the broker may cut pages short. An empty one is, and so is a token that repeats.
        match last {
            _ if empty => Ok(true),
            None => Ok(true),
            Some(last) if !sweep.tokens.insert(last.clone()) => Ok(true),
            Some(last) => {
                sweep.token = Some(last);
                Ok(false)
            }
        }
    }

    /// Whether an import of this account's activities was taken back since the marks were set: what it brought counted as
    /// known, and lies before them.
    async fn taken_back(&mut self) -> Result<bool, Fault> {
        let portfolio = self.config.portfolio;
        let latest = self.books.ask(move |journal| Ok(books::taken_back(journal, portfolio)?)).await?;
        if latest <= self.marks.taken_back {
            return Ok(false);
        }
        self.marks = Marks { taken_back: latest, ..Marks::default() };
        self.seen.clear();
        // Both kinds are read from the beginning, whichever is read now.
        (self.agenda.fills_at, self.agenda.others_at) = (Instant::now(), Instant::now());
        Ok(true)
    }

    /// Reads the latest fills back to what is known, because the bell rang.
    async fn pull(&mut self) -> Result<(), Fault> {
        self.identify().await?;
        self.agenda.pull_at = None;
        self.agenda.last_pull = Instant::now();
        let pulled = self.pull_pages().await;
        if pulled.is_err() {
            self.agenda.pull_at = Some(Instant::now());
        }
        pulled
    }

    async fn pull_pages(&mut self) -> Result<(), Fault> {
        let (mut rows, mut token, mut met) = (Vec::new(), None, false);
        for _ in 0..PULL_PAGES {
            let page = self.activities(Kind::Fills, "desc", PULL_ROWS, None, token.as_deref()).await?;
            self.rows += page.len() as u64;
            let Some(last) = page.last().and_then(|row| id_of(row)) else {
                met = true;
                break;
            };
            met = self.any_of_ours(&page).await?;
            rows.extend(page);
            if met {
                break;
            }
            token = Some(last);
        }
        if !met {
            // Much happened at once: it is read in order, from the mark.
            self.agenda.fills_at = Instant::now();
        }
        rows.reverse();
        self.commit(rows, None).await?;
        self.look_for_awaited();
        Ok(())
    }

    /// Goes on asking while a fill that was heard of does not show.
    fn look_for_awaited(&mut self) {
        let now = Instant::now();
        let fills = &self.fills;
        self.awaited.retain(|order, awaited| {
            !fills.reaches(order, awaited.cumulative) && now.duration_since(awaited.since) < AWAITED_MOST
        });
        for (order, awaited) in &mut self.awaited {
            if !awaited.warned && now.duration_since(awaited.since) >= AWAITED_WARN {
                awaited.warned = true;
                tracing::warn!(
                    source = %self.config.name,
                    "the stream told of a fill of order {order} two minutes ago, and the broker does not list it yet"
                );
            }
        }
        if self.awaited.is_empty() {
            self.agenda.pull_wait = DEBOUNCE;
            if std::mem::take(&mut self.agenda.again) {
                self.agenda.pull_at = Some(now + LOOK_AGAIN);
            }
        } else {
            self.agenda.pull_at = Some(now + self.agenda.pull_wait);
            self.agenda.pull_wait = (self.agenda.pull_wait * 2).min(Duration::from_secs(15));
        }
    }

    /// Records rows. `kind` says whose mark moves: rows that were read in order, from the mark on.
    async fn commit(&mut self, rows: Vec<Box<RawValue>>, kind: Option<Kind>) -> Result<(), Fault> {
        if rows.is_empty() {
            return Ok(());
        }
        // The key may have been given to another account since the rows were asked for. A row that is known as this
        // account's shows that it was not.
        let given = rows.len();
        let rows: Vec<Box<RawValue>> = rows.into_iter().filter(|row| !self.is_seen(row)).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let ours = kind.is_none() && (rows.len() < given || self.any_of_ours(&rows).await?);
        if !ours {
            self.verify().await?;
        }
        let seen: Vec<(String, u64)> =
            rows.iter().filter_map(|row| Some((named(row)?, fingerprint(row)))).collect();
        let strategies = self.strategies_of(&rows).await;
        let Some(bound) = self.bound.clone() else { return Ok(()) };
        let (marks, portfolio, author) = (self.marks, self.config.portfolio, self.author.clone());
        let now = self.clock.now();
        #[cfg(test)]
        let flaw = self.flaw;
        let mut fills = std::mem::take(&mut self.fills);
        let began = std::time::Instant::now();
        let ((report, marks), fills) = self
            .books
            .ask(move |journal| {
                let facts = journal.portfolio_facts(portfolio)?;
                let context = journal.import_context()?;
                let imported = books::imported(journal, portfolio)?;
                let (mut batch, latest) =
                    translate::batch(&rows, &bound, &facts, &context, &strategies, imported, now)?;
                let marks = kind.map_or(marks, |kind| marks.advanced(kind, latest));
                if kind.is_some() {
                    batch.cursors = vec![marks.to_move(&bound.alpaca)];
                }
                #[cfg(test)]
                super::tests::flaws::spoil(flaw, journal, &author, &mut batch)?;
                let report = journal.record_batch(&author, &batch)?;
                fills.refresh(journal, portfolio, bound.account)?;
                Ok(((report, marks), fills))
            })
            .await?;
        self.recording += began.elapsed();
        self.fills = fills;
        self.marks = marks;
        // What takes back a row that is not there yet is looked at again.
        if report.unmatched.is_empty() {
            if self.seen.len() > SEEN_MAX {
                self.seen.clear();
            }
            self.seen.extend(seen);
        }
        self.tell(&report);
        self.total.add(report);
        Ok(())
    }

    /// Whether the row was recorded by this daemon, and says the same still.
    fn is_seen(&self, row: &RawValue) -> bool {
        named(row).is_some_and(|name| self.seen.get(&name) == Some(&fingerprint(row)))
    }

    fn tell(&self, report: &FeedReport) {
        let now = self.clock.now();
        for identity in &report.unmatched {
            tracing::warn!(source = %self.config.name, "{identity} is taken back by the broker and was never recorded");
        }
        if report.appended() > 0 {
            tracing::info!(
                source = %self.config.name,
                events = report.appended(),
                amended = report.amended,
                quarantined = report.quarantined,
                "recorded"
            );
        }
        let cursor = self.marks.to_string();
        self.source.update(|status| {
            status.appended += report.appended();
            status.quarantined += report.quarantined;
            status.cursor = Some(cursor);
            status.last_attempt = Some(now);
        });
    }

    /// Whether one of the rows is recorded as this account's.
    async fn any_of_ours(&self, rows: &[Box<RawValue>]) -> Result<bool, Fault> {
        let identities = self.identities(rows);
        self.books.ask(move |journal| any_known(journal, &identities)).await
    }

    fn identities(&self, rows: &[Box<RawValue>]) -> Vec<String> {
        let Some(bound) = &self.bound else { return Vec::new() };
        rows.iter().filter_map(|row| translate::identity(self.config.portfolio, &bound.alpaca, row)).collect()
    }

    /// Learns whose keys these are, once.
    async fn identify(&mut self) -> Result<(), Fault> {
        if self.bound.is_some() {
            return Ok(());
        }
        let theirs: wire::Account = self.fetch(&Call::get("/v2/account", Vec::new())).await?;
        let (author, name, portfolio) =
            (self.author.clone(), self.config.name.clone(), self.config.portfolio);
        let (mut fills, now) = (Fills::default(), self.clock.now());
        let (bound, marks, open, fills) = self
            .books
            .ask(move |journal| {
                let bound = books::bind(journal, &author, &name, portfolio, &theirs, now)?;
                let cursor = journal
                    .ledger()
                    .cursor(&Marks::cursor_name(&bound.alpaca))
                    .map_err(JournalError::from)?;
                let marks = cursor.map_or_else(Marks::default, |bytes| Marks::parse(&bytes));
                let open = books::open_breaks(journal, &bound.alpaca)?;
                fills.refresh(journal, portfolio, bound.account)?;
                Ok((bound, marks, open, fills))
            })
            .await?;
        self.source.update(|status| {
            status.account = Some(bound.alpaca.clone());
            status.cursor = Some(marks.to_string());
        });
        (self.bound, self.marks, self.open, self.fills) = (Some(bound), marks, open, fills);
        Ok(())
    }

    /// Makes sure that the keys are still those of the account.
    async fn verify(&mut self) -> Result<wire::Account, Fault> {
        let theirs: wire::Account = self.fetch(&Call::get("/v2/account", Vec::new())).await?;
        match &self.bound {
            Some(bound) if bound.alpaca != theirs.id => Err(Fault::Halt(format!(
                "the keys of `{}` answered for account {} until now and answer for {} (a paper reset, or swapped keys): nothing of it is recorded; put back the keys, or give the new account another `name`",
                self.config.name, bound.alpaca, theirs.id
            ))),
            _ => Ok(theirs),
        }
    }

    /// The strategies that the orders of these fills carry. What cannot be learnt now is left out: money does not wait
    /// for a tag.
    async fn strategies_of(&mut self, rows: &[Box<RawValue>]) -> BTreeMap<String, String> {
        let orders: BTreeSet<String> = rows.iter().filter_map(|row| translate::order_of(row)).collect();
        let unknown = |engine: &Self| orders.iter().any(|order| !engine.strategies.contains_key(order));
        if self.strategies.len() > STRATEGIES_MAX {
            self.strategies.clear();
        }
        // Backwards from the newest, as far as these orders go: one page for what just happened, many for a backfill.
        let mut until: Option<String> = None;
        for _ in 0..ORDER_PAGES {
            if !unknown(self) {
                break;
            }
            let mut query = all_orders(false);
            query.extend(until.take().map(|until| ("until", until)));
            match self.fetch::<Vec<Box<RawValue>>>(&Call::get("/v2/orders", query)).await {
                Ok(listed) => {
                    let listed: Vec<wire::Order> =
                        listed.iter().filter_map(|raw| serde_json::from_str(raw.get()).ok()).collect();
                    listed.iter().for_each(|order| self.learn(order));
                    until = listed.last().and_then(|order| order.submitted_at.clone());
                }
                Err(fault) => tracing::debug!(source = %self.config.name, "orders were not listed: {fault}"),
            }
            if until.is_none() {
                break;
            }
        }
        // Older ones are asked for one by one, but not by the hundred.
        let older: Vec<String> =
            orders.iter().filter(|order| !self.strategies.contains_key(*order)).take(5).cloned().collect();
        if orders.len() <= 20 {
            for order in older {
                match self.fetch::<wire::Order>(&Call::get(&format!("/v2/orders/{order}"), Vec::new())).await
                {
                    Ok(found) => self.learn(&found),
                    Err(fault) => {
                        tracing::debug!(source = %self.config.name, "order {order} was not told: {fault}");
                        self.strategies.insert(order, None);
                    }
                }
            }
        }
        orders
            .into_iter()
            .filter_map(|order| {
                let strategy = self.strategies.get(&order)?.clone()?;
                Some((order, strategy))
            })
            .collect()
    }

    fn learn(&mut self, order: &wire::Order) {
        let strategy = order.client_order_id.as_deref().and_then(client_order::strategy).map(str::to_owned);
        for leg in order.legs.iter().flatten() {
            self.strategies.insert(leg.id.clone(), strategy.clone());
        }
        self.strategies.insert(order.id.clone(), strategy);
    }

    /// Holds the books against the broker's. What differs now and differed after the last full reading is recorded.
    async fn reconcile(&mut self) -> Result<(), Fault> {
        self.agenda.reconcile_at = None;
        self.follow_up().await?;
        let found = self.compare().await?;
        if !found.iter().all(|difference| self.suspected.contains(difference)) {
            // It may be a fill that happened between two answers: read again, and look again.
            self.agenda.fills_at = self.agenda.fills_at.min(Instant::now() + CONFIRM_AFTER);
        }
        tracing::debug!(source = %self.config.name, ?found, "compared");
        let standing = breaks::standing(&found, &self.suspected, &self.open);
        self.suspected = found;
        self.record_differences(standing).await
    }

    /// Finds out what became of orders that were sent and not answered.
    async fn follow_up(&mut self) -> Result<(), Fault> {
        self.identify().await?;
        let Some(bound) = self.bound.clone() else { return Ok(()) };
        let (portfolio, now) = (self.config.portfolio, self.clock.now());
        let unanswered = self
            .books
            .ask(move |journal| Ok(orders::unanswered(journal, portfolio, bound.account, now)?))
            .await?;
        for order in unanswered {
            let Some(call) = orders::asking_for(&order) else { continue };
            self.wait_for_turn().await;
            let answer = self.broker.call(&call).await;
            let answer = answer.map_err(|error| Fault::Later { why: error.to_string(), limited: false })?;
            let Some(update) = orders::found_out(&order, &answer, now) else {
                read::<serde::de::IgnoredAny>(Ok(answer))?;
                continue;
            };
            let author = self.author.clone();
            self.books.ask(move |journal| Ok(journal.update_order(&author, portfolio, update)?)).await?;
        }
        Ok(())
    }

    async fn wait_for_turn(&mut self) {
        tokio::time::sleep_until(self.bucket.ready_at(0)).await;
        self.bucket.take();
    }

    async fn compare(&mut self) -> Result<Vec<Difference>, Fault> {
        self.identify().await?;
        let account = self.verify().await?;
        let positions: Vec<wire::Position> = self.fetch(&Call::get("/v2/positions", Vec::new())).await?;
        let query = all_orders(true);
        let listed: Vec<wire::Order> = self.fetch(&Call::get("/v2/orders", query)).await?;
        for order in &listed {
            self.learn(order);
        }
        let Some(bound) = self.bound.clone() else { return Ok(Vec::new()) };
        let (portfolio, now, author) = (self.config.portfolio, self.clock.now(), self.author.clone());
        let (mut fills, open) = (std::mem::take(&mut self.fills), self.open.clone());
        let (found, fills) = self
            .books
            .ask(move |journal| {
                let remarks = orders::news(journal, portfolio, &listed, now)?;
                if !remarks.is_empty() {
                    let batch = FeedBatch { portfolio: Some(portfolio), remarks, ..FeedBatch::default() };
                    journal.record_batch(&author, &batch)?;
                }
                let (ours, most, unclear) = books::ours(journal, portfolio, bound.account, &mut fills, now)?;
                let (theirs, mut lag) = books::theirs(journal, &account, &positions, &listed, &open, now)?;
                lag.most = most;
                Ok(((differences(&ours, &theirs, &lag), unclear), fills))
            })
            .await?;
        self.fills = fills;
        let (found, unclear) = found;
        self.unclear = unclear;
        Ok(found)
    }

    async fn record_differences(&mut self, standing: Vec<Difference>) -> Result<(), Fault> {
        let Some(bound) = self.bound.clone() else { return Ok(()) };
        let (open, now) = (self.open.clone(), self.clock.now());
        let (author, portfolio) = (self.author.clone(), self.config.portfolio);
        let (open, words) = self
            .books
            .ask(move |journal| {
                let remarks = books::settle(&bound, &open, &standing, now);
                if !remarks.is_empty() {
                    let batch = FeedBatch { portfolio: Some(portfolio), remarks, ..FeedBatch::default() };
                    journal.record_batch(&author, &batch)?;
                }
                let words = standing.iter().map(|found| books::in_words(journal, found)).collect();
                Ok((books::open_breaks(journal, &bound.alpaca)?, words))
            })
            .await?;
        let mut words: Vec<String> = words;
        words.extend(self.unclear.iter().cloned());
        for difference in &words {
            tracing::warn!(source = %self.config.name, "the books differ: {difference}");
        }
        self.open = open;
        self.source.update(|status| status.breaks = words);
        Ok(())
    }

    /// One page of activities.
    async fn activities(
        &mut self,
        kind: Kind,
        direction: &str,
        page_rows: usize,
        after: Option<Timestamp>,
        token: Option<&str>,
    ) -> Result<Vec<Box<RawValue>>, Fault> {
        let mut query = vec![("direction", direction.to_owned()), ("page_size", page_rows.to_string())];
        if let Some(after) = after {
            query.push(("after", after.to_string()));
        }
        if let Some(token) = token {
            query.push(("page_token", token.to_owned()));
        }
        let path = match kind {
            Kind::Fills => "/v2/account/activities/FILL",
            Kind::Others => {
                query.push(("category", "non_trade_activity".to_owned()));
                "/v2/account/activities"
            }
        };
        self.fetch(&Call::get(path, query)).await
    }

    /// Asks, within the limits, and reads the answer.
    async fn fetch<T: serde::de::DeserializeOwned>(&mut self, call: &Call) -> Result<T, Fault> {
        let now = self.clock.now();
        self.source.update(|status| status.last_attempt = Some(now));
        self.wait_for_turn().await;
        let answer = self.broker.call(call).await;
        read(answer)
    }

    /// Books what the stream says, as the daemon must not.
    #[cfg(test)]
    async fn book_from_socket(&mut self, message: &str) {
        if self.flaw != Flaw::BookedFromSocket {
            return;
        }
        let Some(row) = super::tests::flaws::fill_of(message) else { return };
        let _ = self.commit(vec![row], None).await;
    }
}

/// What an answer says, or why it says nothing.
fn read<T: serde::de::DeserializeOwned>(answer: Result<Answer, Unreachable>) -> Result<T, Fault> {
    let later = |why: String, limited| Fault::Later { why, limited };
    let answer = answer.map_err(|error| later(format!("the broker cannot be reached: {error}"), false))?;
    let said = || answer.excerpt();
    match answer.status {
        200..=299 => serde_json::from_slice(&answer.body)
            .map_err(|error| Fault::nonsense(format!("{error} in `{}`", said()))),
        401 | 403 => Err(Fault::Halt(format!(
            "the broker refuses the keys ({}: {}): correct them, then restart or ask for a synchronisation",
            answer.status,
            said()
        ))),
        429 => Err(later("the broker asks for fewer requests".to_owned(), true)),
        status => Err(later(format!("the broker answers {status}: {}", said()), false)),
    }
}

/// Orders of every status, the newest first; the parts of an order within it or beside it.
fn all_orders(nested: bool) -> Vec<(&'static str, String)> {
    vec![
        ("status", "all".to_owned()),
        ("limit", "500".to_owned()),
        ("direction", "desc".to_owned()),
        ("nested", nested.to_string()),
    ]
}

/// What makes an account's jitter its own, and repeatable.
fn seed(name: &str) -> u64 {
    name.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

/// The instant so much earlier.
fn back(from: Timestamp, by: Duration) -> Timestamp {
    from.plus_nanos(-i64::try_from(by.as_nanos()).unwrap_or(i64::MAX))
}

/// What tells whether a row says the same still.
fn fingerprint(row: &RawValue) -> u64 {
    let mut hasher = DefaultHasher::new();
    row.get().hash(&mut hasher);
    hasher.finish()
}

/// What a row is known by among an account's.
fn named(row: &RawValue) -> Option<String> {
    let wire::Identified { activity_type, id } = serde_json::from_str(row.get()).ok()?;
    Some(format!("{} {}", activity_type.unwrap_or_default(), id?))
}

fn id_of(row: &RawValue) -> Option<String> {
    serde_json::from_str::<wire::Identified>(row.get()).ok()?.id
}

/// Whether the ledger holds one of these.
fn any_known(journal: &crate::journal::Journal, identities: &[String]) -> Result<bool, Fault> {
    for identity in identities {
        if journal.ledger().find_key(&format!("{identity}#0")).map_err(JournalError::from)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Keeps the bell listened to, and passes on what it says.
async fn listen<B: Broker>(broker: Arc<B>, notices: mpsc::Sender<Notice>, seed: u64) {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60), seed);
    loop {
        let lost = match broker.listen().await {
            Err(Deaf(why)) => why,
            Ok(mut ear) => {
                let since = Instant::now();
                if notices.send(Notice::Listening).await.is_err() {
                    return;
                }
                let lost = loop {
                    match ear.hear().await {
                        Ok(heard) => {
                            if notices.send(Notice::Heard(heard)).await.is_err() {
                                return;
                            }
                        }
                        Err(Deaf(why)) => break why,
                    }
                };
                if since.elapsed() > Duration::from_secs(60) {
                    backoff.succeed();
                }
                lost
            }
        };
        if notices.send(Notice::Lost(lost)).await.is_err() {
            return;
        }
        tokio::time::sleep(backoff.fail()).await;
    }
}
