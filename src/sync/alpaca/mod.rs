//! Alpaca: fills and every other activity, recorded once each whatever fails in between, and the books held against the
//! broker's.
//!
//! The stream of order updates is a doorbell: whatever it says means "ask now". Money is booked from what the broker
//! answers when asked, never from the stream.

mod books;
mod broker;
mod client;
mod engine;
mod marks;
pub(crate) mod orders;
mod reconcile;
#[cfg(test)]
mod tests;
mod translate;
mod wire;

pub(crate) use books::Books;
#[cfg(test)]
pub(crate) use broker::{Broker, Call, Deaf, Ear};
pub(crate) use client::Client;
pub(crate) use engine::{Engine, OnceReport};

use crate::journal::JournalError;
use daybook_schemas::AccountId;

/// An account of a portfolio and the broker's account that it stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bound {
    /// The broker's technical id.
    pub(crate) alpaca: String,
    /// Ours.
    pub(crate) account: AccountId,
    /// What the owner calls it.
    pub(crate) label: String,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It will not succeed until somebody acts.
    #[error("{0}")]
    Halt(String),
    /// It may succeed later.
    #[error("{why}")]
    Later {
        /// Why not now.
        why: String,
        /// Whether the broker asked for fewer requests.
        limited: bool,
    },
    /// The journal did not take it, or could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Fault {
    /// An answer that makes no sense, and that may be better the next time.
    pub(crate) fn nonsense(why: impl std::fmt::Display) -> Self {
        Self::Later { why: format!("the answer makes no sense: {why}"), limited: false }
    }
}
