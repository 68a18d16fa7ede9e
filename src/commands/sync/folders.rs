//! `daybook sync folders`: what is put into watched folders imported, once or until it is told to stop.

use super::super::{CommandError, Configured, Context, Outcome, terminal};
use super::alpaca::until_stopped;
use super::{Bound, in_step, nothing};
use crate::config::Config;
use crate::journal::Journal;
use crate::sync::dropped::unfinished;
use crate::sync::folder::{self, Became, Gathered};
use clap::Args;
use std::sync::Arc;

/// Import what is put into watched folders.
#[derive(Args, Debug)]
pub(in crate::commands) struct Folders {
    /// Import what lies there now, print what became of each file, and end: with 1 if a file was not imported because it
    /// cannot be, or because it may still be written.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    configured: Configured,
}

impl Folders {
    pub(in crate::commands) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        let Bound { config, journal } = Bound::open(context, "sync folders", &self.configured)?;
        if config.folders.is_empty() {
            return Err(nothing("folder", "[[folder]]"));
        }
        let config = Config { folders: config.folders, ..Config::default() };
        in_step(journal, async |journal| {
            if self.once { once(&config, journal).await } else { until_stopped(&config, journal).await }
        })
    }
}

async fn once(config: &Config, journal: &Arc<Journal>) -> Result<Outcome, CommandError> {
    let mut outcome = Outcome::Done;
    for (name, gathered) in folder::run_once(&config.folders, journal).await {
        match gathered {
            Ok(gathered) => {
                print(&name, &gathered)?;
                if !gathered.refused.is_empty() || !gathered.unfinished.is_empty() {
                    outcome = Outcome::No;
                }
            }
            Err(why) => {
                terminal::complain(&format_args!("{name}: {why}"));
                outcome = Outcome::No;
            }
        }
    }
    Ok(outcome)
}

fn print(name: &str, gathered: &Gathered) -> Result<(), CommandError> {
    if gathered.files.is_empty() && gathered.unfinished.is_empty() {
        terminal::line(format_args!("{name}: no files"))?;
    }
    for (file, became) in &gathered.files {
        match became {
            Became::Imported { appended, quarantined } => {
                let aside =
                    if *quarantined > 0 { format!(", {quarantined} rows kept aside") } else { String::new() };
                terminal::line(format_args!("{name}: {file}: {appended} new events{aside}"))?;
            }
            Became::Known => terminal::line(format_args!("{name}: {file}: known already"))?,
            Became::Reverted => {
                terminal::line(format_args!(
                    "{name}: {file}: its import was reverted; `daybook import` brings it in again"
                ))?;
            }
            Became::Refused(why) => terminal::complain(why),
        }
    }
    for file in &gathered.unfinished {
        terminal::complain(&format_args!("{name}: {}", unfinished(file)));
    }
    Ok(())
}
