//! Records of recommendations that ran out that they did: a reader sees it at once, the log a moment later.

use crate::journal::{Author, Journal, JournalError, now};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(30);

/// Looks until it is told to stop.
pub(super) async fn run(journal: Arc<Journal>, mut stopped: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        let journal = Arc::clone(&journal);
        let swept = tokio::task::spawn_blocking(move || {
            let author = Author {
                actor: "sync".into(),
                source: "expiry".into(),
                correlation: None,
                reaches_all: true,
            };
            journal.expire_recommendations(&author, now())
        });
        match swept.await {
            Ok(Ok(0) | Err(JournalError::ReadOnly)) => {}
            Ok(Ok(count)) => tracing::info!(count, "recommendations ran out"),
            Ok(Err(error)) => tracing::error!(%error, "recommendations that ran out could not be recorded"),
            Err(error) => tracing::error!(%error, "looking for recommendations that ran out failed"),
        }
    }
}
