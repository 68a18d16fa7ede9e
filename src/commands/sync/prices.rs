//! `daybook sync prices`: feeds of prices kept current, once or until it is told to stop.

use super::super::serve::told_to_stop;
use super::super::{CommandError, Configured, Context, Outcome, terminal};
use crate::config;
use crate::journal::{Access, Journal};
use crate::sync::board::Board;
use crate::sync::pace::{MachineClock, WallClock};
use crate::sync::prices::{self as feeds, OnceOf};
use clap::Args;
use std::sync::Arc;
use tokio::sync::watch;

/// Keep prices current: ask each feed for what is missing, when it is due.
#[derive(Args, Debug)]
pub(in crate::commands) struct Prices {
    /// Ask for everything that is missing once, print what was appended, and end: with 1 if a feed failed.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    configured: Configured,
}

impl Prices {
    pub(in crate::commands) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        context.refuse_server("sync prices")?;
        let loaded = self.configured.load(context, None)?;
        for remark in &loaded.provenance.remarks {
            tracing::warn!("{remark}");
        }
        // Prices go into no portfolio: whether the accounts beside them are bound to one is nothing to them.
        let (config, _) = loaded.bound(&[]);
        let prices = config.prices;
        if prices.feeds.is_empty() && (self.once || prices.ticks.is_none()) {
            return Err(CommandError::Unusable(
                "no feed of prices is configured: write a [[prices.feed]] into the configuration file (`daybook config --example` shows how), or set APCA_API_KEY_ID and APCA_API_SECRET_KEY".to_owned(),
            ));
        }
        let journal = Arc::new(context.open(Access::Create)?);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let ended = if self.once {
            runtime.block_on(once(&prices, &journal))
        } else {
            runtime.block_on(until_stopped(&prices, &journal))
        };
        drop(runtime);
        if let Ok(journal) = Arc::try_unwrap(journal) {
            journal.close()?;
        }
        ended
    }
}

async fn once(prices: &config::Prices, journal: &Arc<Journal>) -> Result<Outcome, CommandError> {
    let clock: Arc<dyn WallClock> = Arc::new(MachineClock);
    let all = feeds::run_once(prices, journal, &clock).await;
    let rows: Vec<Vec<String>> = all.feeds.iter().flat_map(rows).collect();
    if rows.is_empty() {
        terminal::line("nothing new")?;
    } else {
        let columns = ["FEED", "SYMBOL", ">PRICES", ">RESTATED", ">ACTIONS", ">KEPT ASIDE"];
        terminal::line(terminal::lines(&terminal::table(&columns, rows)))?;
    }
    for once in &all.feeds {
        for (name, why) in &once.unknown {
            terminal::remark(format_args!("{}: {name} is not priced: {why}", once.feed));
        }
        for text in &once.remarks {
            terminal::remark(format_args!("{}: {text}", once.feed));
        }
        if let Some(text) = &once.failure {
            terminal::complain(&format_args!("{}: {text}", once.feed));
        }
    }
    for difference in &all.checked.open {
        terminal::line(format_args!("differs: {difference}"))?;
    }
    if let Some(text) = &all.unchecked {
        terminal::complain(&format_args!("corporate actions cannot be compared: {text}"));
    }
    let failed = all.unchecked.is_some() || all.feeds.iter().any(|once| once.failure.is_some());
    Ok(if failed { Outcome::No } else { Outcome::Done })
}

/// What is new of a feed, by symbol.
fn rows(once: &OnceOf) -> Vec<Vec<String>> {
    let new = once.tallies.iter().filter(|(_, tally)| tally.prices + tally.actions + tally.quarantined > 0);
    new.map(|(symbol, tally)| {
        let mut row = vec![once.feed.clone(), symbol.clone()];
        row.extend(
            [tally.prices, tally.restated, tally.actions, tally.quarantined].map(|count| count.to_string()),
        );
        row
    })
    .collect()
}

async fn until_stopped(prices: &config::Prices, journal: &Arc<Journal>) -> Result<Outcome, CommandError> {
    let told = told_to_stop()?;
    let (tell, stop) = watch::channel(false);
    let clock: Arc<dyn WallClock> = Arc::new(MachineClock);
    let board = Board::default();
    let tasks = feeds::start(prices, journal, &board, &clock, &stop);
    for source in board.list() {
        terminal::remark(format_args!("keeping {} current ({})", source.name, source.kind));
    }
    told.await;
    tell.send_replace(true);
    for task in tasks {
        if let Err(error) = task.await {
            tracing::error!(%error, "a feed did not end as it should");
        }
    }
    Ok(Outcome::Done)
}
