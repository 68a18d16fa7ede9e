//! Whether a caller may still read what is streamed to it: checked before whatever is sent, as cheaply as can be.

use super::text::{End, HEARTBEAT};
use crate::api::access::Caller;
use crate::api::service::Service;
use crate::journal::Standing;
use daybook_schemas::PortfolioId;
use tokio::time::Instant;

/// A caller who was let in to a stream.
pub(super) struct Admission {
    caller: Caller,
    portfolio: Option<PortfolioId>,
    /// What anybody could reach when this was checked, and when that was.
    checked: Option<(Standing, Instant)>,
}

impl Admission {
    /// Lets a caller in to what is streamed of a portfolio, or of the whole log.
    pub(super) const fn new(caller: Caller, portfolio: Option<PortfolioId>) -> Self {
        Self { caller, portfolio, checked: None }
    }

    /// Ends the stream where the caller may not read it any more: the token was revoked or has ended, or it no longer
    /// reaches the portfolio. Reach may end with the day, without any event, so that it is looked at now and then.
    pub(super) async fn check(&mut self, service: &Service) -> Result<(), End> {
        if self.caller.has_ended() {
            return Err(End::Access);
        }
        let standing = service.journal().standing_of_reach();
        if let Some((checked, at)) = self.checked
            && checked == standing
            && at.elapsed() < HEARTBEAT
        {
            return Ok(());
        }
        let looked_at = Instant::now();
        let _turn = service.hub.reads.acquire().await;
        let (caller, portfolio) = (self.caller.clone(), self.portfolio);
        match service.blocking(move |journal| caller.still_reaches(journal, portfolio)).await {
            Ok(true) => {
                self.checked = Some((standing, looked_at));
                Ok(())
            }
            Ok(false) => Err(End::Access),
            Err(_) => Err(End::Failed),
        }
    }
}
