//! `daybook sync robinhood`: accounts for crypto assets kept in step, once or until it is told to stop.

use super::super::{CommandError, Configured, Context, Outcome, terminal};
use super::alpaca::until_stopped;
use super::{Bound, in_step, nothing};
use crate::config::Config;
use crate::journal::Journal;
use crate::sync::pace::{MachineClock, WallClock};
use crate::sync::robinhood::run_once;
use clap::Args;
use std::sync::Arc;

/// Keep accounts for crypto assets at Robinhood in step.
#[derive(Args, Debug)]
pub(in crate::commands) struct Robinhood {
    /// Read everything once, compare the holdings, print what was appended, and end: with 1 if the books differ.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    configured: Configured,
}

impl Robinhood {
    pub(in crate::commands) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let Bound { config, journal } = Bound::open(context, "sync robinhood", &self.configured)?;
        if config.robinhood.is_empty() {
            return Err(nothing("account at Robinhood", "[[robinhood]]"));
        }
        let config = Config { robinhood: config.robinhood, ..Config::default() };
        in_step(journal, async |journal| {
            if self.once { once(&config, journal).await } else { until_stopped(&config, journal).await }
        })
    }
}

async fn once(config: &Config, journal: &Arc<Journal>) -> Result<Outcome, CommandError> {
    let clock: Arc<dyn WallClock> = Arc::new(MachineClock);
    let (mut outcome, mut failed) = (Outcome::Done, false);
    for (name, swept) in run_once(&config.robinhood, journal, &clock).await {
        match swept {
            Ok(swept) => {
                terminal::line(format_args!(
                    "{name}: {} orders read, {} events appended",
                    swept.orders,
                    swept.report.appended()
                ))?;
                for (event, count) in &swept.report.events {
                    terminal::line(format_args!("  {count:>8}  {event}"))?;
                }
                if let Some(clocks) = &swept.clocks {
                    terminal::remark(clocks);
                }
                if swept.breaks.is_empty() {
                    terminal::line("  the books agree: holdings, orders")?;
                } else {
                    outcome = Outcome::No;
                }
                for difference in &swept.breaks {
                    terminal::line(format_args!("  differs: {difference}"))?;
                }
            }
            // The accounts after it were read as well, and say what came of that.
            Err(why) => {
                terminal::complain(&format_args!("{name}: {why}"));
                failed = true;
            }
        }
    }
    if failed {
        return Err(CommandError::Unusable("not every account was synchronised".to_owned()));
    }
    Ok(outcome)
}
