//! What each source is doing: its state, its last success, its cursor, and a bell that says "now".

use daybook_schemas::{PortfolioId, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::Notify;

/// What a source is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It has not been asked yet.
    #[default]
    Starting,
    /// It is being asked.
    Syncing,
    /// All that it says is recorded; it is waited for, or asked again at its time.
    Current,
    /// It does not answer as it should; it is asked again.
    Retrying,
    /// It will not be asked again until somebody acts: the detail says what to do.
    Halted,
}

impl State {
    /// The word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Syncing => "syncing",
            Self::Current => "current",
            Self::Retrying => "retrying",
            Self::Halted => "halted",
        }
    }
}

/// How a source is doing.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Status {
    /// What it is doing.
    pub(crate) state: State,
    /// Why, where something is wrong, and what to do.
    pub(crate) detail: Option<String>,
    /// The source's own id of the account, once it is known.
    pub(crate) account: Option<String>,
    /// Whether its socket, if it has one, is listened to.
    pub(crate) listening: Option<bool>,
    /// When it was asked last.
    pub(crate) last_attempt: Option<Timestamp>,
    /// When all that it said was recorded last.
    pub(crate) last_success: Option<Timestamp>,
    /// When it will be asked next.
    pub(crate) next_attempt: Option<Timestamp>,
    /// Up to where it was read.
    pub(crate) cursor: Option<String>,
    /// Events appended since the start.
    pub(crate) appended: u64,
    /// Records kept aside since the start.
    pub(crate) quarantined: u64,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Where the ledger and the source differ now, in words.
    pub(crate) breaks: Vec<String>,
}

/// A source that is kept in step.
#[derive(Debug)]
pub(crate) struct Source {
    /// What it is called, unique among all sources.
    pub(crate) name: String,
    /// `alpaca`, `robinhood`, `prices`, `folder`, `instruments`, `ticks`.
    pub(crate) kind: &'static str,
    /// The portfolio that it feeds, where it is one's.
    pub(crate) portfolio: Option<PortfolioId>,
    status: Mutex<Status>,
    bell: Notify,
}

impl Source {
    /// How it is doing.
    pub(crate) fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says how it is doing.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Asks for it to be looked at now.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Waits until somebody rings; one ring while nobody waits is kept.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }
}

/// All sources.
#[derive(Debug, Default)]
pub(crate) struct Board {
    sources: RwLock<BTreeMap<String, Arc<Source>>>,
}

impl Board {
    /// Adds a source; one of the same name is replaced.
    pub(crate) fn add(&self, name: &str, kind: &'static str, portfolio: Option<PortfolioId>) -> Arc<Source> {
        let source = Arc::new(Source {
            name: name.to_owned(),
            kind,
            portfolio,
            status: Mutex::default(),
            bell: Notify::new(),
        });
        self.sources.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), source.clone());
        source
    }

    /// A source by its name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Source>> {
        self.sources.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All of them, by name.
    pub(crate) fn list(&self) -> Vec<Arc<Source>> {
        self.sources.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
