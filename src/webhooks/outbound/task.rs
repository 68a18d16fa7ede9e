//! The task of a receiver: what is due is sent, what is not taken is sent again, and what is settled is written down.

use super::post::{Answer, Post};
use super::queue::{self, Choice, Due, Next};
use super::state::{DEAD_MAX, Dead, Disabled, Position, State, StateFile, Trying};
use super::{Doing, Outbound};
use crate::config::{OutboundWebhook, Webhooks as Configured};
use crate::journal::{Journal, JournalError, now};
use crate::sync::pace::Backoff;
use crate::webhooks::Webhooks;
use crate::webhooks::inbound::Inbound;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long tasks may take to end what they are sending.
const GRACE: Duration = Duration::from_secs(10);
/// How long after a fault of this machine's own, such as a full disk, the same is tried again.
const FAULT_PAUSE: Duration = Duration::from_secs(5);
/// How many events that nobody chose may be passed before that is written down.
const PASSED_MAX: u64 = 10_000;

/// The tasks of all receivers.
pub(crate) struct Deliverers {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Deliverers {
    /// Opens the service to every source, and starts a task for every receiver, of the ledger in a directory.
    pub(crate) fn start(
        config: &Configured,
        journal: &Arc<Journal>,
        webhooks: &Webhooks,
        data: &Path,
    ) -> Self {
        for inbound in &config.inbound {
            webhooks.open(Inbound::new(inbound.clone()));
        }
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        for (seed, config) in (0u64..).zip(&config.outbound) {
            let outbound = Arc::new(Outbound::new(config.clone()));
            webhooks.show(outbound.clone());
            let task = Task {
                choice: Choice::of(config),
                post: Post::new(config),
                file: StateFile::new(data, &config.name),
                backoff: Backoff::new(config.retry_first, config.retry_most, seed_of(config) ^ seed),
                journal: journal.clone(),
                outbound,
                stopped: stopped.clone(),
                state: State::default(),
                written: 0,
            };
            tasks.push(tokio::spawn(task.run()));
        }
        Self { stop, tasks }
    }

    /// Tells all of them to stop, and waits until what they are sending is answered and written down. One whose receiver
    /// does not answer in time sends the same again at the next start.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        let until = Instant::now() + GRACE;
        for mut task in self.tasks {
            match tokio::time::timeout_at(until, &mut task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a task of a webhook did not end as it should"),
                Err(_) => task.abort(),
            }
        }
    }
}

/// Jitter that differs from start to start and from machine to machine.
fn seed_of(config: &OutboundWebhook) -> u64 {
    let nanos = u64::try_from(now().nanos()).unwrap_or(0);
    let name = blake3::hash(config.name.as_bytes());
    name.as_bytes().iter().fold(nanos, |seed, byte| seed.rotate_left(7) ^ u64::from(*byte))
}

/// That the service stops.
struct Stopped;

struct Task {
    outbound: Arc<Outbound>,
    journal: Arc<Journal>,
    choice: Choice,
    post: Post,
    file: StateFile,
    backoff: Backoff,
    stopped: watch::Receiver<bool>,
    state: State,
    /// The cursor that was written down last.
    written: u64,
}

impl Task {
    async fn run(mut self) {
        let name = self.outbound.config.name.clone();
        if self.deliver_all().await.is_err() {
            tracing::debug!(webhook = %name, cursor = self.state.position.cursor, "stopped");
        }
        if self.written != self.state.position.cursor {
            let (file, state) = (self.file.clone(), self.state.clone());
            let written = tokio::task::spawn_blocking(move || file.write(&state)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(webhook = %name, %error, "where it stands is not written down");
            }
        }
    }

    /// Sends for as long as the service runs.
    async fn deliver_all(&mut self) -> Result<(), Stopped> {
        self.remember().await?;
        let mut head = self.journal.ledger().subscribe();
        loop {
            if self.outbound.was_asked() {
                self.revive().await?;
            }
            if self.state.disabled.is_some() {
                self.show(Doing::Disabled);
                self.wait(None).await?;
                continue;
            }
            if self.state.dead.len() >= DEAD_MAX {
                let text = format!(
                    "{DEAD_MAX} deliveries were given up: mend the receiver, then ask for them to be sent again"
                );
                self.outbound.status().last_error = Some(text);
                self.show(Doing::Halted);
                self.wait(None).await?;
                continue;
            }
            head.borrow_and_update();
            let next = self.next().await?;
            let (exhausted, reached) = (next.exhausted, next.reached);
            if self.deliver(next.due).await?.is_break() {
                continue;
            }
            self.state.position = reached;
            if reached.cursor >= self.written + PASSED_MAX {
                self.write().await?;
            }
            self.show(if exhausted { Doing::Current } else { Doing::Sending });
            if exhausted {
                tokio::select! {
                    moved = head.changed() => {
                        if moved.is_err() {
                            return Err(Stopped);
                        }
                    }
                    waited = wait(&mut self.stopped, &self.outbound, None) => waited?,
                }
            } else if *self.stopped.borrow() {
                return Err(Stopped);
            }
        }
    }

    /// Reads what is remembered, and where the ledger and what is remembered part, begins anew from where they agree.
    async fn remember(&mut self) -> Result<(), Stopped> {
        loop {
            let (file, journal) = (self.file.clone(), self.journal.clone());
            let from_start = self.outbound.config.from_start;
            let read = blocking(move || recall(&file, &journal, from_start)).await;
            match read {
                Ok((state, is_new)) => {
                    self.state = state;
                    self.written = self.state.position.cursor;
                    if is_new {
                        self.write().await?;
                    }
                    self.show(Doing::Sending);
                    return Ok(());
                }
                Err(error) => self.complain(&error, Doing::Halted).await?,
            }
        }
    }

    async fn next(&mut self) -> Result<Next, Stopped> {
        loop {
            let (journal, choice) = (self.journal.clone(), self.choice.clone());
            let from = self.state.position;
            match blocking(move || queue::next(&journal, &choice, from).map_err(|error| error.to_string()))
                .await
            {
                Ok(next) => return Ok(next),
                Err(error) => self.complain(&error, Doing::Retrying).await?,
            }
        }
    }

    /// Sends what is due, in order; breaks off where the receiver wants no more, or somebody asked for something else.
    async fn deliver(&mut self, due: Vec<Due>) -> Result<ControlFlow<()>, Stopped> {
        for event in due {
            self.show(Doing::Sending);
            match self.settle(&event).await? {
                Settled::Taken | Settled::Dead => {}
                Settled::Disabled => return Ok(ControlFlow::Break(())),
            }
            self.state.position = event.after;
            self.state.trying = None;
            self.write().await?;
            if self.state.dead.len() >= DEAD_MAX {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Sends one event until it is taken or given up.
    async fn settle(&mut self, event: &Due) -> Result<Settled, Stopped> {
        loop {
            if *self.stopped.borrow() {
                return Err(Stopped);
            }
            let (error, asked_for) = match self.send(event).await {
                Answer::Taken => {
                    self.took();
                    return Ok(Settled::Taken);
                }
                Answer::Gone(reason) => {
                    tracing::warn!(webhook = %self.outbound.config.name, %reason, "a receiver is switched off");
                    self.outbound.status().last_error = Some(reason.clone());
                    self.state.disabled = Some(Disabled { at: now(), reason });
                    self.write().await?;
                    return Ok(Settled::Disabled);
                }
                Answer::NotTaken(error, asked_for) => (error, asked_for.unwrap_or_default()),
            };
            let most = self.outbound.config.retry_most;
            let error = bounded(error, asked_for, most);
            let earlier = self.state.trying.take().filter(|trying| trying.sequence == event.sequence);
            let trying = Trying {
                sequence: event.sequence,
                since: earlier.as_ref().map_or_else(now, |trying| trying.since),
                attempts: earlier.map_or(0, |trying| trying.attempts).saturating_add(1),
                error: error.clone(),
            };
            self.outbound.status().last_error = Some(error);
            if age(trying.since) >= self.outbound.config.give_up {
                self.bury(event, trying);
                return Ok(Settled::Dead);
            }
            let pause = self.backoff.fail().max(asked_for.min(most));
            tracing::info!(
                webhook = %self.outbound.config.name, sequence = event.sequence, attempts = trying.attempts,
                reason = %trying.error, "not taken: sent again in {pause:?}"
            );
            self.state.trying = Some(trying);
            self.write().await?;
            self.show(Doing::Retrying);
            self.wait(Some(pause)).await?;
        }
    }

    fn took(&mut self) {
        self.backoff.succeed();
        let mut status = self.outbound.status();
        status.taken += 1;
        status.last_success = Some(now());
        status.last_error = None;
    }

    /// Gives a delivery up.
    fn bury(&mut self, event: &Due, trying: Trying) {
        tracing::warn!(
            webhook = %self.outbound.config.name, sequence = event.sequence, attempts = trying.attempts,
            reason = %trying.error, "a delivery is given up"
        );
        // The next one begins with short waits of its own.
        self.backoff.succeed();
        self.state.dead.push(Dead {
            sequence: event.sequence,
            kind: event.kind.clone(),
            attempts: trying.attempts,
            since: now(),
            error: trying.error,
        });
    }

    /// Sends what was given up again, each once, the oldest first; what is not taken stays dead. A receiver that wanted no
    /// more is asked again.
    async fn revive(&mut self) -> Result<(), Stopped> {
        self.state.disabled = None;
        self.backoff.succeed();
        let mut dead = std::mem::take(&mut self.state.dead);
        dead.sort_by_key(|dead| dead.sequence);
        let mut rest = dead.into_iter();
        let mut left = Vec::new();
        let mut gone = None;
        for mut one in rest.by_ref() {
            let (journal, sequence, at) = (self.journal.clone(), one.sequence, self.state.position);
            let event = blocking(move || queue::again(&journal, sequence, at)).await;
            let event = match event {
                Ok(Some(event)) => event,
                // It was recorded in a future that this ledger no longer has.
                Ok(None) => continue,
                Err(error) => {
                    one.error = error.to_string();
                    left.push(one);
                    continue;
                }
            };
            match self.send(&event).await {
                Answer::Taken => self.took(),
                Answer::NotTaken(error, _) => {
                    one.attempts = one.attempts.saturating_add(1);
                    one.error = error;
                    left.push(one);
                }
                Answer::Gone(reason) => {
                    left.push(one);
                    gone = Some(Disabled { at: now(), reason });
                    break;
                }
            }
            if *self.stopped.borrow() {
                break;
            }
        }
        left.extend(rest);
        if let Some(last) = left.last() {
            self.outbound.status().last_error = Some(last.error.clone());
        }
        self.state.dead = left;
        self.state.disabled = gone;
        self.write().await
    }

    async fn send(&self, event: &Due) -> Answer {
        let (post, sequence, body) = (self.post.clone(), event.sequence, event.body.clone());
        let seconds = now().nanos().div_euclid(1_000_000_000);
        let sent = tokio::task::spawn_blocking(move || post.send(sequence, &body, seconds)).await;
        sent.unwrap_or_else(|_| Answer::NotTaken("the delivery was broken off".to_owned(), None))
    }

    /// Writes down where it stands; until that is done nothing else is sent.
    async fn write(&mut self) -> Result<(), Stopped> {
        loop {
            let (file, journal, mut state) = (self.file.clone(), self.journal.clone(), self.state.clone());
            let written = blocking(move || {
                let hash = queue::hash(&journal, state.position.cursor).map_err(|error| error.to_string())?;
                if let Some(hash) = hash {
                    state.mark(hash);
                }
                file.write(&state).map_err(|error| error.to_string())?;
                Ok(state)
            })
            .await;
            match written {
                Ok(state) => {
                    self.written = state.position.cursor;
                    self.state = state;
                    return Ok(());
                }
                Err(error) => self.complain(&error, Doing::Retrying).await?,
            }
        }
    }

    /// Tells of a fault of this machine's own, and waits a little.
    async fn complain(&mut self, error: &String, doing: Doing) -> Result<(), Stopped> {
        tracing::error!(webhook = %self.outbound.config.name, %error, "events cannot be sent");
        self.outbound.status().last_error = Some(error.clone());
        self.show(doing);
        self.wait(Some(FAULT_PAUSE)).await
    }

    fn show(&self, doing: Doing) {
        let mut status = self.outbound.status();
        status.doing = doing;
        status.state.clone_from(&self.state);
        if doing != Doing::Retrying {
            status.next_attempt = None;
        }
    }

    /// Waits until somebody asks for something, at most so long.
    async fn wait(&mut self, pause: Option<Duration>) -> Result<(), Stopped> {
        if let Some(pause) = pause {
            let nanos = i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX);
            let next = daybook_schemas::Timestamp::from_nanos(now().nanos().saturating_add(nanos));
            self.outbound.status().next_attempt = Some(next);
        }
        wait(&mut self.stopped, &self.outbound, pause).await
    }
}

/// What became of an event.
enum Settled {
    Taken,
    Dead,
    Disabled,
}

async fn wait(
    stopped: &mut watch::Receiver<bool>,
    outbound: &Outbound,
    pause: Option<Duration>,
) -> Result<(), Stopped> {
    if *stopped.borrow() {
        return Err(Stopped);
    }
    let pause = async {
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = pause => Ok(()),
        () = outbound.bell.notified() => Ok(()),
        _ = stopped.changed() => Err(Stopped),
    }
}

/// What went wrong, and where a receiver asks to be left alone for longer than anything waits, that as well.
fn bounded(error: String, asked_for: Duration, most: Duration) -> String {
    if asked_for <= most {
        return error;
    }
    let seconds = asked_for.as_secs();
    format!(
        "{error}; its Retry-After asks for {seconds} s, and it is left alone for {most:?}, which is the most (retry_most)"
    )
}

/// How long ago something was, by the clock on the wall.
fn age(since: daybook_schemas::Timestamp) -> Duration {
    Duration::from_nanos(u64::try_from(now().nanos().saturating_sub(since.nanos())).unwrap_or(0))
}

/// What is remembered of a receiver, held against the ledger; and whether it is new.
fn recall(file: &StateFile, journal: &Journal, from_start: bool) -> Result<(State, bool), String> {
    let text = |error: JournalError| error.to_string();
    let head = journal.ledger().head();
    let Some(mut state) = file.read().map_err(|error| error.to_string())? else {
        return Ok((State::after(if from_start { 0 } else { head }), true));
    };
    let cursor = state.position.cursor;
    let mut agreed = (state.marks.is_empty() && cursor <= head).then_some(cursor);
    for mark in state.marks.iter().rev() {
        if queue::hash(journal, mark.sequence).map_err(text)?.as_ref() == Some(&mark.hash) {
            agreed = Some(mark.sequence);
            break;
        }
    }
    let last = state.marks.last().map_or(cursor, |mark| mark.sequence);
    match agreed {
        // What was passed since the last mark was chosen by nobody, or the mark is the cursor itself.
        Some(sequence) if sequence == last && cursor <= head => {}
        agreed => {
            let from = agreed.unwrap_or(0);
            tracing::warn!(
                from,
                cursor,
                "the ledger was put back to an earlier state: what was recorded after event {from} is sent again"
            );
            state.position = Position { cursor: from, within: 0 };
            state.trying = None;
            state.marks.retain(|mark| mark.sequence <= from);
            return Ok((state, true));
        }
    }
    Ok((state, false))
}

/// Does blocking work; what panics there is a fault of its own.
async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    match tokio::task::spawn_blocking(work).await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // It is broken off only while the whole process ends.
        Err(Err(_)) => std::future::pending().await,
    }
}
