//! A portfolio's figures as a stream: the present ones first, then the latest whenever they changed.

use super::admission::Admission;
use super::hub::Listener;
use super::text::{self, End, HEARTBEAT, Woken};
use crate::api::access::Caller;
use crate::api::problem::Problem;
use crate::api::published::{Digest, Summary, Wanted};
use crate::api::service::Service;
use daybook_schemas::PortfolioId;
use futures_util::Stream;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The least time between two publications to one reader.
const PACE: Duration = Duration::from_millis(300);

/// A reader of a portfolio's figures.
pub(super) struct Figures {
    service: Service,
    admission: Admission,
    wanted: Wanted,
    listener: Listener,
    stopping: watch::Receiver<bool>,
    /// What tells the figures that were sent last from others.
    sent: Option<Digest>,
    /// When figures were sent or had to be worked out last.
    paced_from: Instant,
    ended: bool,
}

impl Figures {
    /// A reader of a portfolio; the first figures are worked out before it is answered.
    pub(super) async fn begin(
        service: Service,
        caller: Caller,
        portfolio: PortfolioId,
    ) -> Result<Self, Problem> {
        let listener = service.hub.listen(&service);
        let stopping = service.shared.stopping();
        let mut figures = Self {
            wanted: Wanted::by(&caller, portfolio),
            service,
            admission: Admission::new(caller, Some(portfolio)),
            listener,
            stopping,
            sent: None,
            paced_from: Instant::now(),
            ended: false,
        };
        figures.current().await?;
        Ok(figures)
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

    /// The figures as a read of the portfolio answers them, and as far at least as the log was seen to go.
    async fn current(&mut self) -> Result<Summary, Problem> {
        let (service, asked) = (&self.service, self.listener.seen());
        if let Some(kept) = service.published.kept(service, self.wanted, asked) {
            return Ok(kept);
        }
        // Figures that come out the same count as sent: they cost as much to work out.
        self.paced_from = Instant::now();
        service.published.watched(service, self.wanted, asked, &service.hub.reads).await
    }

    async fn more(&mut self) -> Result<String, End> {
        let heartbeat = Instant::now() + HEARTBEAT;
        loop {
            if *self.stopping.borrow() {
                return Err(End::Stopping);
            }
            let current = self.current().await.map_err(|_| End::Failed)?;
            if self.sent != Some(current.digest()) {
                self.admission.check(&self.service).await?;
                let mut text = if self.sent.is_none() { text::opening() } else { String::new() };
                text::write(&mut text, Some("summary"), current.sequence(), &current.json());
                self.sent = Some(current.digest());
                self.paced_from = Instant::now();
                return Ok(text);
            }
            let paced = self.paced_from + PACE;
            let moved = async {
                self.listener.moved().await;
                tokio::time::sleep_until(paced).await;
            };
            if text::wait(moved, heartbeat, &mut self.stopping).await? == Woken::Silent {
                self.admission.check(&self.service).await?;
                return Ok(text::heartbeat(None));
            }
        }
    }
}
