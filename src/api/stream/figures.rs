//! A portfolio's figures as a stream: the present ones first, then the latest whenever they changed.

use super::admission::Admission;
use super::feed::{Feed, Published};
use super::hub::Listener;
use super::text::{self, End, HEARTBEAT, Woken};
use crate::api::access::Caller;
use crate::api::problem::Problem;
use crate::api::service::Service;
use daybook_schemas::PortfolioId;
use futures_util::Stream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The least time between two publications to one reader.
const PACE: Duration = Duration::from_millis(300);

/// A reader of a portfolio's figures.
pub(super) struct Figures {
    service: Service,
    admission: Admission,
    feed: Arc<Feed>,
    touched: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    /// What the log gains is read for as long as this lives.
    _listener: Listener,
    sent: Option<Arc<Published>>,
    sent_at: Instant,
    ended: bool,
}

impl Figures {
    /// A reader of a portfolio; the first figures are computed before it is answered.
    pub(super) async fn begin(
        service: Service,
        caller: Caller,
        portfolio: PortfolioId,
    ) -> Result<Self, Problem> {
        let listener = service.hub.listen(&service);
        let feed = service.hub.feed(portfolio);
        let touched = feed.subscribe();
        feed.current(&service, &service.hub).await?;
        let stopping = service.shared.stopping();
        Ok(Self {
            service,
            admission: Admission::new(caller, Some(portfolio)),
            feed,
            touched,
            stopping,
            _listener: listener,
            sent: None,
            sent_at: Instant::now(),
            ended: false,
        })
    }

    /// The texts of the stream.
    pub(super) fn run(self) -> impl Stream<Item = String> + Send {
        futures_util::stream::unfold(self, async |mut figures| {
            if figures.ended {
                return None;
            }
            let text = figures.more().await.unwrap_or_else(|end| {
                figures.ended = true;
                end.text()
            });
            Some((text, figures))
        })
    }

    async fn more(&mut self) -> Result<String, End> {
        let heartbeat = Instant::now() + HEARTBEAT;
        loop {
            if *self.stopping.borrow() {
                return Err(End::Stopping);
            }
            self.touched.borrow_and_update();
            let looked_at = Instant::now();
            let current =
                self.feed.current(&self.service, &self.service.hub).await.map_err(|_| End::Failed)?;
            let new = self.sent.as_ref().is_none_or(|sent| sent.figures != current.figures);
            if new {
                self.admission.check(&self.service).await?;
                let mut text = if self.sent.is_none() { text::opening() } else { String::new() };
                let shown = if self.admission.caller().percentages_only() {
                    &current.proportions
                } else {
                    &current.full
                };
                text::write(&mut text, Some("summary"), current.sequence, shown);
                self.sent = Some(current);
                self.sent_at = Instant::now();
                return Ok(text);
            }
            // Figures that came out the same count as sent: they cost as much to compute.
            let paced = self.sent_at.max(looked_at) + PACE;
            let moved = async {
                if self.touched.changed().await.is_err() {
                    // The sender lives in the feed, which this holds.
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep_until(paced).await;
            };
            if text::wait(moved, heartbeat, &mut self.stopping).await? == Woken::Silent {
                self.admission.check(&self.service).await?;
                return Ok(text::heartbeat(None));
            }
        }
    }
}
