//! Daybook: an event-sourced trade journal ledger.
//!
//! This binary parses arguments, sets up tracing and calls a command. What talks to the outside lives in its
//! modules; what decides lives in the crates below it.

mod api;
mod checkpoints;
mod commands;
mod config;
mod demo;
mod importers;
mod journal;
mod metrics;
mod remote;
mod serving;
mod sync;
#[cfg(feature = "otlp")]
mod telemetry;
mod webhooks;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = commands::Arguments::parse();
    // Kept to the end: what is still to be sent is sent then.
    let _traced = commands::set_up_tracing(&arguments);
    commands::run(arguments)
}
