//! The broker as the daemon sees it: requests that may go unanswered, and a bell that rings when something happened.
//!
//! Answers are raw bytes. What they mean is decided above this seam, so that whatever a network can do to them can be
//! done to them in a simulation too.

use crate::sync::alpaca_http::{Answer, Unreachable};
use async_trait::async_trait;
use rust_decimal::Decimal;

/// What is done at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    /// It is read.
    Get,
    /// Something is added to it.
    Post,
}

/// A request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    /// What is done.
    pub(crate) method: Method,
    /// The path, from the slash.
    pub(crate) path: String,
    /// What follows the question mark, in order.
    pub(crate) query: Vec<(&'static str, String)>,
    /// The body.
    pub(crate) body: Option<Vec<u8>>,
}

impl Call {
    /// Reads a path.
    pub(crate) fn get(path: &str, query: Vec<(&'static str, String)>) -> Self {
        Self { method: Method::Get, path: path.to_owned(), query, body: None }
    }
}

/// Why the stream of order updates cannot be listened to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Deaf(pub(crate) String);

/// What the stream of order updates said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// So much of an order is filled.
    Filled {
        /// The broker's id of the order.
        order: String,
        /// Units filled so far.
        cumulative: Decimal,
        /// The order's own id, which may carry a strategy.
        client_order_id: Option<String>,
    },
    /// Something else about an order.
    Noted,
    /// Something that cannot be read.
    Something,
    /// What a fault-finding variant of the daemon would book money from.
    #[cfg(test)]
    Raw(Box<str>),
}

/// A broker that can be asked.
#[async_trait]
pub(crate) trait Broker: Send + Sync {
    /// Makes a request; whatever happens, this ends in bounded time.
    async fn call(&self, call: &Call) -> Result<Answer, Unreachable>;

    /// Opens the stream of order updates; when this returns, it is listened to.
    async fn listen(&self) -> Result<Box<dyn Ear>, Deaf>;
}

/// A stream of order updates that is listened to.
#[async_trait]
pub(crate) trait Ear: Send {
    /// The next thing that is heard; an error when the stream ends or cannot be trusted any more.
    async fn hear(&mut self) -> Result<Heard, Deaf>;
}
