//! `daybook sync alpaca`: accounts at Alpaca kept in step, once or until it is told to stop.

use super::super::{CommandError, Configured, Context, Outcome, TextOrJson, terminal};
use crate::config::{AlpacaAccount, Config, ConfigFaults};
use crate::journal::{Access, Journal};
use crate::sync::alpaca::{Books, Client, Engine, OnceReport};
use crate::sync::daemons::{Daemons, Shared};
use crate::sync::pace::MachineClock;
use clap::Args;
use daybook_schemas::PortfolioId;
use serde_json::json;
use std::sync::Arc;

/// Keep accounts at Alpaca in step.
#[derive(Args, Debug)]
pub(in crate::commands) struct Alpaca {
    /// Only the accounts of this portfolio; the portfolio of the account that the environment names.
    #[arg(long, value_name = "ID")]
    portfolio: Option<PortfolioId>,
    /// Read everything once, compare the books, print what was appended, and end: with 1 if the books differ.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    configured: Configured,
    /// How `--once` prints what it did.
    #[arg(long, value_enum, default_value = "text", requires = "once")]
    format: TextOrJson,
}

impl Alpaca {
    pub(in crate::commands) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        context.refuse_server("sync alpaca")?;
        let journal = Arc::new(context.open(Access::Write)?);
        let loaded = self.configured.load(context, self.portfolio)?;
        let portfolios: Vec<PortfolioId> =
            journal.library()?.directory.list().map(|entry| entry.id).collect();
        let (config, faults) = loaded.bound(&portfolios);
        if !faults.is_empty() {
            return Err(ConfigFaults(faults).into());
        }
        let accounts: Vec<AlpacaAccount> = config
            .alpaca
            .into_iter()
            .filter(|account| self.portfolio.is_none_or(|portfolio| account.portfolio == portfolio))
            .collect();
        if accounts.is_empty() {
            return Err(CommandError::Unusable(
                "no account at Alpaca is configured: set APCA_API_KEY_ID and APCA_API_SECRET_KEY, or write one into the configuration file (`daybook config --example` shows how)".to_owned(),
            ));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = if self.once {
            runtime.block_on(once(&journal, accounts, self.format))
        } else {
            let config = Config { alpaca: accounts, orders: false, ..Config::default() };
            runtime.block_on(until_stopped(&config, &journal))
        };
        drop(runtime);
        if let Ok(journal) = Arc::try_unwrap(journal) {
            journal.close()?;
        }
        outcome
    }
}

/// Runs the daemons until the process is told to stop.
pub(in crate::commands) async fn until_stopped(
    config: &Config,
    journal: &Arc<Journal>,
) -> Result<Outcome, CommandError> {
    let told_to_stop = super::super::serve::told_to_stop()?;
    let shared = Arc::new(Shared::default());
    let daemons = Daemons::start(config, journal, &shared);
    for source in shared.board.list() {
        terminal::remark(format_args!("keeping {} in step ({})", source.name, source.kind));
    }
    told_to_stop.await;
    daemons.stop().await;
    Ok(Outcome::Done)
}

async fn once(
    journal: &Arc<Journal>,
    accounts: Vec<AlpacaAccount>,
    format: TextOrJson,
) -> Result<Outcome, CommandError> {
    let shared = Shared::default();
    let mut reports: Vec<(String, Result<OnceReport, String>)> = Vec::new();
    for account in accounts {
        let name = account.name.clone();
        let source = shared.board.add(&name, "alpaca", Some(account.portfolio));
        let client = Arc::new(Client::new(&account));
        let bar = terminal::Bar::new("asking Alpaca");
        let books = Books::new(journal.clone());
        let mut engine = Engine::new(account, client, books, Arc::new(MachineClock), source);
        let report = engine.once().await.map_err(|fault| fault.to_string());
        bar.finish();
        reports.push((name, report));
    }
    match format {
        TextOrJson::Json => {
            let accounts: Vec<_> = reports.iter().map(|(name, report)| shown(name, report)).collect();
            terminal::line(serde_json::to_string_pretty(&accounts).unwrap_or_default())?;
        }
        TextOrJson::Text => {
            for (name, report) in &reports {
                print(name, report)?;
            }
        }
    }
    if reports.iter().any(|(_, report)| report.is_err()) {
        return Err(CommandError::Unusable("not every account was synchronised".to_owned()));
    }
    let differ =
        reports.iter().any(|(_, report)| report.as_ref().is_ok_and(|report| !report.breaks.is_empty()));
    Ok(if differ { Outcome::No } else { Outcome::Done })
}

fn shown(name: &str, report: &Result<OnceReport, String>) -> serde_json::Value {
    match report {
        Ok(done) => json!({
            "name": name,
            "rows": done.rows,
            "events": done.report.events,
            "appended": done.report.appended(),
            "amended": done.report.amended,
            "quarantined": done.report.quarantined,
            "recording_seconds": done.recording.as_secs_f64(),
            "breaks": done.breaks,
        }),
        Err(fault) => json!({ "name": name, "fault": fault }),
    }
}

fn print(name: &str, report: &Result<OnceReport, String>) -> Result<(), CommandError> {
    let done = match report {
        Ok(done) => done,
        Err(fault) => {
            terminal::line(format!("{name}: {fault}"))?;
            return Ok(());
        }
    };
    let counted =
        |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    terminal::line(format!(
        "{name}: {} read, {} appended",
        counted(done.rows, "row", "rows"),
        counted(done.report.appended(), "event", "events")
    ))?;
    for (event, count) in &done.report.events {
        terminal::line(format!("  {count:>8}  {event}"))?;
    }
    if done.report.quarantined > 0 {
        terminal::line(format!("  {} kept aside: see /quarantine", done.report.quarantined))?;
    }
    if done.breaks.is_empty() {
        terminal::line("  the books agree: positions, cash, orders")?;
    }
    for difference in &done.breaks {
        terminal::line(format!("  differs: {difference}"))?;
    }
    Ok(())
}
