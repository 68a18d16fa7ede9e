//! `daybook sync`: the daemons by themselves, until they are told to stop, or once.

mod alpaca;
mod prices;

use super::{CommandError, Context, Outcome};
use clap::Subcommand;

/// Keep the ledger in step with brokers and feeds of prices.
#[derive(Subcommand, Debug)]
pub(super) enum Sync {
    /// Keep accounts at Alpaca in step: fills, every other activity, and the books held against the broker's.
    Alpaca(alpaca::Alpaca),
    /// Keep prices current: ask each feed for what is missing, when it is due.
    Prices(prices::Prices),
}

impl Sync {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        match self {
            Self::Alpaca(alpaca) => alpaca.run(context),
            Self::Prices(prices) => prices.run(context),
        }
    }
}
