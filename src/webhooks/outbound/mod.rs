//! Sending events to receivers: one task for each, in the order of the log, at least once.
//!
//! A delivery that is not taken is sent again after a wait that doubles, and the events after it wait in the log. After a
//! set time it is given up: it is *dead*, kept by its sequence with the reason, and the next one is sent. So an event that a
//! receiver cannot digest holds the others up for that time and no longer, and of a receiver that is down at most one
//! delivery dies in each such time, while all others wait in the log without costing memory. Dead deliveries are sent again
//! when somebody asks for it; they then come late, and are recognised by their sequence.

pub(crate) mod post;
mod queue;
mod state;
mod task;

pub(crate) use state::State;
pub(crate) use task::Deliverers;

use crate::config::OutboundWebhook;
use daybook_schemas::{EventType, Timestamp};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The family of a type of event: what its number begins with.
pub(crate) const fn family(event_type: EventType) -> &'static str {
    match event_type.id() / 100 {
        1 => "reference",
        2 => "market",
        3 => "portfolio",
        4 => "cash",
        5 => "securities",
        6 => "corporate",
        7 => "journal",
        8 => "firm",
        9 => "advice",
        10 => "orders",
        11 => "correction",
        _ => "synchronisation",
    }
}

/// What a receiver's task is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Doing {
    /// It has not begun.
    #[default]
    Starting,
    /// Everything was sent.
    Current,
    /// Something is being sent.
    Sending,
    /// Something was not taken, and is sent again.
    Retrying,
    /// The receiver said that it wants no more.
    Disabled,
    /// Somebody must act: the last error says how.
    Halted,
}

impl Doing {
    /// The word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Current => "current",
            Self::Sending => "sending",
            Self::Retrying => "retrying",
            Self::Disabled => "disabled",
            Self::Halted => "halted",
        }
    }
}

/// How a receiver is doing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    /// What its task is doing.
    pub(crate) doing: Doing,
    /// What is remembered of it.
    pub(crate) state: State,
    /// Deliveries that it took since the service started.
    pub(crate) taken: u64,
    /// When it took one last.
    pub(crate) last_success: Option<Timestamp>,
    /// What went wrong last, if it did since.
    pub(crate) last_error: Option<String>,
    /// When something will be sent again.
    pub(crate) next_attempt: Option<Timestamp>,
}

/// A receiver.
#[derive(Debug)]
pub(crate) struct Outbound {
    /// What is configured.
    pub(crate) config: OutboundWebhook,
    sent: Mutex<Sent>,
    /// Whether somebody asked for what was given up to be sent again.
    asked: Mutex<bool>,
    bell: Notify,
}

impl Outbound {
    /// A receiver of which nothing is known yet.
    pub(crate) fn new(config: OutboundWebhook) -> Self {
        Self { config, sent: Mutex::default(), asked: Mutex::default(), bell: Notify::new() }
    }

    /// How it is doing.
    pub(crate) fn sent(&self) -> Sent {
        self.status().clone()
    }

    /// Asks for it to be tried now: what was given up, and a receiver that wanted no more.
    pub(crate) fn retry(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_one();
    }

    fn status(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody asked since this was called last.
    fn was_asked(&self) -> bool {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
