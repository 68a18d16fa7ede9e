//! Who may send, and what is known of what they sent.

use super::signature;
use crate::config::{InboundWebhook, Secret};
use daybook_schemas::Timestamp;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What became of the deliveries of a source since the service started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    /// Deliveries that were recorded.
    pub(crate) recorded: u64,
    /// Deliveries that had been recorded before.
    pub(crate) repeated: u64,
    /// Deliveries that were signed as they should be and could not be used.
    pub(crate) refused: u64,
    /// When the last one that could be used came.
    pub(crate) last_success: Option<Timestamp>,
    /// What was wrong with the last one that could not.
    pub(crate) last_error: Option<String>,
}

/// A source whose deliveries are taken.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// What is configured.
    pub(crate) config: InboundWebhook,
    received: Mutex<Received>,
    /// Deliveries of one source are recorded one after the other, so that of two equal ones the second finds the first.
    one_at_a_time: Mutex<()>,
}

impl Inbound {
    /// A source of which nothing came yet.
    pub(crate) fn new(config: InboundWebhook) -> Self {
        Self { config, received: Mutex::default(), one_at_a_time: Mutex::new(()) }
    }

    /// What records by this source are recorded as coming through, and what its prices are fed by.
    pub(crate) fn source(&self) -> String {
        format!("webhook-{}", self.config.name)
    }

    /// Whether a delivery is signed with a secret of this source.
    pub(crate) fn is_signed(&self, timestamp: &str, body: &[u8], header: &str) -> bool {
        self.config.map.is_none() && signature::is_signed(&self.config.secrets, timestamp, body, header)
    }

    /// Whether a text is a secret of this source, and such secrets open it.
    pub(crate) fn is_opened_by(&self, secret: &str) -> bool {
        signature::is_secret(&self.config.secrets, secret) && self.config.map.is_some()
    }

    /// What became of its deliveries.
    pub(crate) fn received(&self) -> Received {
        self.count().clone()
    }

    /// What became of its deliveries, to be told of one more.
    pub(crate) fn count(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other delivery of this source is being recorded.
    pub(crate) fn alone(&self) -> MutexGuard<'_, ()> {
        self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does for a source that is not there the work that one that is there would cause.
pub(crate) fn check_nobody(timestamp: &str, body: &[u8], header: &str) {
    let nobody = [Secret::new("nobody".to_owned())];
    let _ = signature::is_signed(&nobody, timestamp, body, header);
}
