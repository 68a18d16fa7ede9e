//! `daybook sync prices`: feeds of prices kept current, once or until it is told to stop.

use super::super::{CommandError, Configured, Context, Outcome, terminal};
use super::alpaca::until_stopped;
use super::in_step;
use crate::config::{self, Config};
use crate::journal::{Access, Journal};
use crate::sync::pace::{MachineClock, WallClock};
use crate::sync::prices::{self as feeds, OnceOf};
use clap::Args;
use std::sync::Arc;

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
        let (Config { prices, .. }, _) = loaded.bound(&[]);
        if prices.feeds.is_empty() && (self.once || prices.ticks.is_none()) {
            return Err(CommandError::Unusable(
                "no feed of prices is configured: write a [[prices.feed]] into the configuration file (`daybook config --example` shows how), or set APCA_API_KEY_ID and APCA_API_SECRET_KEY".to_owned(),
            ));
        }
        let config = Config { prices, ..Config::default() };
        in_step(Arc::new(context.open(Access::Create)?), async |journal| {
            if self.once {
                once(&config.prices, journal).await
            } else {
                until_stopped(&config, journal).await
            }
        })
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
