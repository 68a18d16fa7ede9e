//! `daybook sync`: the daemons by themselves, until they are told to stop, or once.

mod alpaca;
mod folders;
mod instruments;
mod prices;
mod robinhood;

use super::{CommandError, Configured, Context, Outcome};
use crate::config::{Config, ConfigFaults};
use crate::journal::{Access, Journal};
use clap::Subcommand;
use daybook_schemas::PortfolioId;
use std::sync::Arc;

/// Keep the ledger in step with brokers and feeds of prices.
#[derive(Subcommand, Debug)]
pub(super) enum Sync {
    /// Keep accounts at Alpaca in step: fills, every other activity, and the books held against the broker's.
    Alpaca(alpaca::Alpaca),
    /// Keep prices current: ask each feed for what is missing, when it is due.
    Prices(prices::Prices),
    /// Keep accounts for crypto assets at Robinhood in step: every execution, and the holdings held against Robinhood's.
    Robinhood(robinhood::Robinhood),
    /// Import what is put into watched folders.
    Folders(folders::Folders),
    /// Keep the registry of instruments in step with its list.
    Instruments(instruments::Instruments),
}

impl Sync {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        match self {
            Self::Alpaca(alpaca) => alpaca.run(context),
            Self::Prices(prices) => prices.run(context),
            Self::Robinhood(robinhood) => robinhood.run(context),
            Self::Folders(folders) => folders.run(context),
            Self::Instruments(instruments) => instruments.run(context),
        }
    }
}

/// What is configured, bound to the portfolios of the ledger that is open.
struct Bound {
    config: Config,
    journal: Arc<Journal>,
}

impl Bound {
    fn open(context: &Context, command: &str, configured: &Configured) -> Result<Self, CommandError> {
        context.refuse_server(command)?;
        let loaded = configured.load(context, None)?;
        for remark in &loaded.provenance.remarks {
            tracing::warn!("{remark}");
        }
        let journal = Arc::new(context.open(Access::Write)?);
        let portfolios: Vec<PortfolioId> =
            journal.library()?.directory.list().map(|entry| entry.id).collect();
        let (config, mut faults) = loaded.bound(&portfolios);
        // Whether the environment's account is bound is nothing to what else is kept in step.
        faults.retain(|fault| fault.key.is_some());
        if !faults.is_empty() {
            return Err(ConfigFaults(faults).into());
        }
        Ok(Self { config, journal })
    }
}

/// What a command says whose sources nobody configured.
fn nothing(what: &str, section: &str) -> CommandError {
    CommandError::Unusable(format!(
        "no {what} is configured: write {section} into the configuration file (`daybook config --example` shows how)"
    ))
}

/// Keeps something in step, and closes the ledger afterwards.
fn in_step(
    journal: Arc<Journal>,
    work: impl AsyncFnOnce(&Arc<Journal>) -> Result<Outcome, CommandError>,
) -> Result<Outcome, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(work(&journal));
    drop(runtime);
    if let Ok(journal) = Arc::try_unwrap(journal) {
        journal.close()?;
    }
    ended
}
