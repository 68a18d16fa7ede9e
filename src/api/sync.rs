//! Sources that the ledger is kept current with: how each is doing, and a bell that says "now".

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::page::{Limit, List, Page, Pin};
use super::problem::Problem;
use super::record::record;
use super::scalar::{Portfolio, Time};
use super::service::Service;
use super::tags::Tag;
use crate::sync::board::Source;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

record! {
    /// A source that the ledger is kept current with.
    SourceItem {
        /// What it is called in the configuration
        name: String,
        /// `alpaca`, `robinhood`, `prices`, `ticks`, `folder` or `instruments`
        kind: String,
        /// The portfolio that it feeds
        portfolio: Option<Portfolio>,
        /// `starting`, `syncing`, `current`, `retrying` (it does not answer as it should, and is asked again) or `halted` (somebody must act: `detail` says how)
        state: String,
        /// Why, where something is wrong, and what to do
        detail: Option<String>,
        /// The source's own id of the account, once it is known
        account: Option<String>,
        /// Whether its live stream, if it has one, is listened to
        listening: Option<bool>,
        /// When it was asked last
        last_attempt: Option<Time>,
        /// When all that it said was recorded last
        last_success: Option<Time>,
        /// When it will be asked next
        next_attempt: Option<Time>,
        /// Up to where it was read
        cursor: Option<String>,
        /// Events appended since the service started
        appended: u64,
        /// Records kept aside since the service started; see `/quarantine`
        quarantined: u64,
        /// Failures in a row
        failures: u32,
        /// Where the ledger and the source differ, in words
        breaks: Vec<String>,
    }
}

record! {
    /// A synchronisation that was asked for.
    SyncRequested {
        /// The source
        name: String,
    }
}

/// The routes of synchronisation.
pub(super) struct Sync(pub(super) Service);

#[OpenApi(tag = "Tag::Synchronisation")]
impl Sync {
    /// List the sources and how they are doing
    #[oai(path = "/sync", method = "get", operation_id = "listSources")]
    async fn list(
        &self,
        _caller: Caller,
        question: Question,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<SourceItem>>, Problem> {
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        let service = self.0.clone();
        self.0
            .blocking(move |journal| {
                let head = journal.library()?.applied();
                let pin = page.pinned(head, Pin::known(head))?;
                let items: Vec<SourceItem> =
                    service.shared.board.list().iter().map(|source| shown(source)).collect();
                // It changes without the ledger: every answer is new.
                Found::new(question.tag(&[moment()]), || page.cut(pin, items, |item| item.name.clone(), Ok))
            })
            .await
    }

    /// Read how a source is doing
    #[oai(path = "/sync/:name", method = "get", operation_id = "readSource")]
    async fn read(
        &self,
        _caller: Caller,
        question: Question,
        /// What it is called in the configuration
        name: Path<String>,
    ) -> Result<Found<SourceItem>, Problem> {
        let source = self.source(&name.0)?;
        Found::new(question.tag(&[moment()]), || Ok(shown(&source)))
    }

    /// Ask for a source to be synchronised now
    ///
    /// One that is halted is tried again.
    #[oai(path = "/sync/:name/now", method = "post", operation_id = "synchroniseNow")]
    async fn now(
        &self,
        _caller: Caller,
        /// What it is called in the configuration
        name: Path<String>,
    ) -> Result<Made<SyncRequested>, Problem> {
        let source = self.source(&name.0)?;
        source.ring();
        let body = SyncRequested { name: source.name.clone() };
        Ok(Made::new(&body).at(&format!("/sync/{}", body.name)))
    }

    fn source(&self, name: &str) -> Result<std::sync::Arc<Source>, Problem> {
        self.0.shared.board.get(name).ok_or_else(|| Problem::not_found("source", name))
    }
}

/// A number that no other answer has.
fn moment() -> u64 {
    u64::try_from(crate::journal::now().nanos()).unwrap_or(0)
}

fn shown(source: &Source) -> SourceItem {
    let status = source.status();
    SourceItem {
        name: source.name.clone(),
        kind: source.kind.to_owned(),
        portfolio: source.portfolio.map(Portfolio),
        state: status.state.name().to_owned(),
        detail: status.detail,
        account: status.account,
        listening: status.listening,
        last_attempt: status.last_attempt.map(Time),
        last_success: status.last_success.map(Time),
        next_attempt: status.next_attempt.map(Time),
        cursor: status.cursor,
        appended: status.appended,
        quarantined: status.quarantined,
        failures: status.failures,
        breaks: status.breaks,
    }
}
