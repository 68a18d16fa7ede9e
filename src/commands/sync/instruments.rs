//! `daybook sync instruments`: the registry kept in step with its list, once or until it is told to stop.

use super::super::serve::told_to_stop;
use super::super::{CommandError, Configured, Context, Outcome, terminal};
use super::{Bound, in_step, nothing};
use crate::config::{Config, InstrumentSource};
use crate::journal::Journal;
use crate::sync::board::Board;
use crate::sync::instruments::{self, refresh_once};
use crate::sync::pace::{MachineClock, WallClock};
use clap::Args;
use futures_util::future::OptionFuture;
use std::sync::Arc;
use tokio::sync::watch;

/// Keep the registry of instruments in step with its list.
#[derive(Args, Debug)]
pub(in crate::commands) struct Instruments {
    /// Read the list once, print what was new, and end: with 1 if it cannot be used.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    configured: Configured,
}

impl Instruments {
    pub(in crate::commands) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let Bound { config, journal } = Bound::open(context, "sync instruments", &self.configured)?;
        if matches!(config.instruments, InstrumentSource::None) {
            return Err(nothing("list of instruments", "[instruments]"));
        }
        in_step(journal, async |journal| {
            if self.once { once(&config, journal).await } else { until_stopped(&config, journal).await }
        })
    }
}

async fn once(config: &Config, journal: &Arc<Journal>) -> Result<Outcome, CommandError> {
    let clock: Arc<dyn WallClock> = Arc::new(MachineClock);
    match refresh_once(config, journal, &clock).await {
        Some(Err(error)) => {
            terminal::complain(&error);
            Ok(Outcome::No)
        }
        Some(Ok(refreshed)) => {
            terminal::line(format_args!("{refreshed}; {} events appended", refreshed.appended))?;
            Ok(Outcome::Done)
        }
        None => Ok(Outcome::Done),
    }
}

/// Nothing is synchronised of the account whose assets are listed.
async fn until_stopped(config: &Config, journal: &Arc<Journal>) -> Result<Outcome, CommandError> {
    let told_to_stop = told_to_stop()?;
    let (tell, stop) = watch::channel(false);
    let clock: Arc<dyn WallClock> = Arc::new(MachineClock);
    let board = Board::default();
    let task = instruments::start(config, journal, &board, &clock, &stop);
    told_to_stop.await;
    tell.send_replace(true);
    if let Some(Err(error)) = OptionFuture::from(task).await {
        tracing::error!(%error, "the list of instruments was not kept as it should be");
    }
    Ok(Outcome::Done)
}
