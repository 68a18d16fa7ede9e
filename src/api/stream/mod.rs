//! Live streams: the log as it grows, and a portfolio's figures whenever they change, as Server-Sent Events.

mod admission;
mod events;
mod figures;
mod hub;
mod text;

pub(super) use hub::Hub;

use super::access::Caller;
use super::problem::Problem;
use super::scalar::{Portfolio, Sequence};
use super::service::Service;
use super::tags::Tag;
use events::{Filter, Log};
use figures::Figures;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use text::EventStream;

/// The routes of live streams.
pub(super) struct Streams(pub(super) Service);

#[OpenApi]
impl Streams {
    /// Follow the log
    ///
    /// Server-Sent Events: each has the event as `GET /events/{sequence}` gives it as `data`, and its sequence as `id`.
    /// Without `from` and `Last-Event-ID` the stream begins with what is recorded from now on; with one of them it
    /// catches up first, in order, without a gap and without a repetition, and goes on live. A client that was
    /// interrupted sends the last `id` that it saw as `Last-Event-ID`, as browsers do by themselves. Comments come every
    /// fifteen seconds where nothing else does; an `id` may come without data where filters leave out what happened. A
    /// reader that is slow is served at its own pace. An event `end` says why the service ends a stream: the token was
    /// revoked or has ended (`access`), or the service stops (`stopping`).
    #[oai(path = "/events/stream", method = "get", operation_id = "followEvents", tag = "Tag::Events")]
    async fn events(
        &self,
        caller: Caller,
        /// The first sequence of the stream; `Last-Event-ID` goes before it
        from: Query<Option<Sequence>>,
        /// Only the events of this stream
        stream: Query<Option<String>>,
        /// Only events of these types, separated by commas
        #[oai(name = "type")]
        types: Query<Option<String>>,
        /// Only the events of this portfolio's stream
        portfolio: Query<Option<Portfolio>>,
        /// The last sequence that the reader has: the stream goes on after it
        #[oai(name = "Last-Event-ID")]
        last: Header<Option<String>>,
    ) -> Result<EventStream, Problem> {
        let filter = Filter::read(stream.0, types.0.as_deref(), portfolio.0.map(|id| id.0))?;
        let head = self.0.journal().ledger().head();
        let next = events::beginning(last.0.as_deref(), from.0.map(|from| from.0), head)?;
        Ok(EventStream::new(Log::begin(self.0.clone(), caller, filter, next).run()))
    }

    /// Follow a portfolio's figures
    ///
    /// Server-Sent Events: an event `summary` has the portfolio's figures as `GET /portfolios/{id}` gives them as `data`
    /// (in proportions, for a token that shows percentages only), and the ledger's head that they reflect as `id`. The
    /// present figures come first, whatever the reader has already; then they come whenever they change, at most about
    /// three times a second: a reader sees the latest, not each one in between. Comments come every fifteen seconds where
    /// nothing else does. An event `end` says why the service ends a stream: the token was revoked, has ended or no
    /// longer reaches the portfolio (`access`), or the service stops (`stopping`).
    #[oai(
        path = "/portfolios/:id/stream",
        method = "get",
        operation_id = "followPortfolio",
        tag = "Tag::Portfolios"
    )]
    async fn portfolio(
        &self,
        caller: Caller,
        /// The portfolio
        id: Path<Portfolio>,
        /// The last `id` that the reader has; the present figures are sent all the same
        #[oai(name = "Last-Event-ID")]
        last: Header<Option<String>>,
    ) -> Result<EventStream, Problem> {
        let head = self.0.journal().ledger().head();
        events::beginning(last.0.as_deref(), None, head)?;
        let figures = Figures::begin(self.0.clone(), caller, id.0.0).await?;
        Ok(EventStream::new(figures.run()))
    }
}
