//! The command line: one file for each subcommand.
//!
//! Results go to stdout and everything else to stderr. A command ends with 0 when it is done, with 1 when the
//! answer is no, and with 2 when it could not use its input.

mod advisor;
mod check_proof;
mod client;
mod config;
mod export;
mod import;
mod openapi;
mod portfolio;
mod prove;
mod replay;
mod serve;
mod sync;
mod terminal;
mod token;
mod verify;
mod view;

use crate::config::{Config, ConfigFaults, Flags, Loaded, ServiceFlags};
use crate::journal::{Access, Journal, JournalError, Opening};
use crate::remote::{Remote, RemoteError};
use clap::{Parser, Subcommand};
use daybook_schemas::PortfolioId;
use serde_json::Value;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// A trade journal ledger: every entry kept, every figure provable.
#[derive(Parser, Debug)]
#[command(name = "daybook", version, about, propagate_version = true)]
pub(crate) struct Arguments {
    /// The directory that holds the ledger.
    #[arg(long, value_name = "DIR", env = "DAYBOOK_DATA", default_value = "./daybook-data", global = true)]
    data: PathBuf,

    /// Go through the service at this address, with the token in DAYBOOK_TOKEN, instead of opening the directory.
    #[arg(long, value_name = "URL", env = "DAYBOOK_SERVER", global = true)]
    server: Option<String>,

    /// How log lines are written.
    #[arg(long, value_enum, env = "DAYBOOK_LOG_FORMAT", default_value = "text", global = true)]
    log_format: TextOrJson,

    /// The older way to say `--log-format json`.
    #[arg(long, global = true, hide = true)]
    log_json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the service.
    Serve(serve::Serve),
    /// Open a portfolio, or list them.
    #[command(subcommand)]
    Portfolio(portfolio::Portfolio),
    /// Register advisors, or list them.
    #[command(subcommand)]
    Advisor(advisor::Advisor),
    /// Onboard clients, list them, or say who serves them.
    #[command(subcommand)]
    Client(client::Client),
    /// Import a broker's export, a generic CSV or prices; list and revert imports.
    Import(import::Import),
    /// Rebuild from the log alone and print the statement.
    Replay(replay::Replay),
    /// Check every byte and every hash; change nothing.
    Verify(verify::Verify),
    /// Write evidence for one event that anybody checks offline.
    Prove(prove::Prove),
    /// Check evidence for one event; needs no ledger.
    CheckProof(check_proof::CheckProof),
    /// Write everything out.
    Export(export::Export),
    /// Issue, list and revoke bearer tokens.
    #[command(subcommand)]
    Token(token::Token),
    /// Show what an advisor, the firm or a client sees.
    View(view::View),
    /// Keep the ledger in step with brokers and feeds of prices.
    #[command(subcommand)]
    Sync(sync::Sync),
    /// Print the effective configuration and where each value came from.
    Config(config::Configuration),
    /// Print the service's OpenAPI document.
    Openapi(openapi::Openapi),
}

/// How a list is printed.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TextOrJson {
    /// A table for people.
    Text,
    /// JSON for programs.
    Json,
}

/// Which configuration a command goes by.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Configured {
    /// The configuration file; else DAYBOOK_CONFIG names it, else it is daybook.toml in the data directory, if that exists.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Configured {
    /// Reads the file and the environment; `portfolio` is what `--portfolio` says.
    pub(crate) fn load(
        &self,
        context: &Context,
        portfolio: Option<PortfolioId>,
    ) -> Result<Loaded, CommandError> {
        self.load_with(context, portfolio, ServiceFlags::default())
    }

    /// The same, where the command line says something of the service.
    pub(crate) fn load_with(
        &self,
        context: &Context,
        portfolio: Option<PortfolioId>,
        service: ServiceFlags,
    ) -> Result<Loaded, CommandError> {
        let flags = Flags { config: self.config.clone(), portfolio, service };
        Ok(Config::load(&context.data, &|name| std::env::var(name).ok(), &flags)?)
    }
}

/// What the command line may say of the service.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Edges {
    /// The address to listen on [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// An address of this machine where /metrics is read without a token.
    #[arg(long, value_name = "ADDR")]
    metrics_listen: Option<SocketAddr>,
    /// Encrypt connections with the certificate in this file (PEM); it is read again when it changes.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// An origin whose pages may call from a browser, such as https://example.org; may be repeated.
    #[arg(long, value_name = "ORIGIN")]
    cors_origin: Vec<String>,
    /// How many requests a token may make in how long, such as 600/1m; `off` for no limit.
    #[arg(long, value_name = "RATE")]
    rate_limit: Option<String>,
}

impl From<Edges> for ServiceFlags {
    fn from(said: Edges) -> Self {
        Self {
            listen: said.listen,
            metrics_listen: said.metrics_listen,
            tls_cert: said.tls_cert,
            tls_key: said.tls_key,
            cors_origins: said.cors_origin,
            rate_limit: said.rate_limit,
        }
    }
}

/// Of each item that a service lists, what a list at the directory says, so that both print the same: a service says
/// more, and leaves out what is absent.
fn as_listed_here(items: Vec<Value>, keys: &[&str]) -> Vec<Value> {
    let trim = |mut item: Value| keys.iter().map(|key| ((*key).to_owned(), item[*key].take())).collect();
    items.into_iter().map(trim).collect()
}

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It did what it was asked.
    Done,
    /// The answer is no.
    No,
}

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The service refused, or did not answer.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// Output could not be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigFaults),
    /// The input cannot be used.
    #[error("{0}")]
    Unusable(String),
}

/// Where a command works: at the directory, or through a service.
pub(crate) enum Place {
    /// The directory itself.
    Here(Box<Journal>),
    /// A service that holds it.
    There(Remote),
}

/// What commands have in common.
pub(crate) struct Context {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The service's address, if one was given.
    pub(crate) server: Option<String>,
}

impl Context {
    /// Opens the directory, or connects to the service.
    fn place(&self, access: Access) -> Result<Place, CommandError> {
        Ok(match &self.server {
            Some(url) => Place::There(Remote::connect(url)?),
            None => Place::Here(Box::new(self.open(access)?)),
        })
    }

    /// Opens the directory, with a progress bar where that takes long.
    fn open(&self, access: Access) -> Result<Journal, CommandError> {
        let bar = terminal::Bar::new("opening the ledger");
        let opening = Opening { access, progress: Some(bar.callback()) };
        let opened = Journal::open(&self.data, &opening);
        bar.finish();
        opened.map_err(|error| explain_held(error, &self.data))
    }

    /// For a command that only works at the directory.
    fn refuse_server(&self, command: &str) -> Result<(), CommandError> {
        match &self.server {
            Some(_) => Err(CommandError::Unusable(format!(
                "`{command}` works at the directory only: leave out --server"
            ))),
            None => Ok(()),
        }
    }
}

fn explain_held(error: JournalError, data: &Path) -> CommandError {
    if error.is_held() {
        return CommandError::Unusable(format!(
            "{} is held by a running service: stop it, or go through it with --server URL (and DAYBOOK_TOKEN)",
            data.display()
        ));
    }
    CommandError::Journal(error)
}

/// Spans on their way to a collector, where one is named and this build can reach it.
pub(crate) struct Traced {
    /// Held for what it does at its end.
    #[cfg(feature = "otlp")]
    _telemetry: Option<crate::telemetry::Telemetry>,
}

/// Sets up tracing to stderr: warnings for commands, more for the service; `RUST_LOG` overrides.
#[must_use = "what it gives sends the last spans when it is dropped"]
pub(crate) fn set_up_tracing(arguments: &Arguments) -> Traced {
    let usual = if matches!(arguments.command, Command::Serve(_)) { "info,sled=warn" } else { "warn" };
    let mut filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    // These would write addresses and messages that hold keys.
    for quiet in [
        "ureq=warn",
        "ureq_proto=warn",
        "tungstenite=warn",
        "tokio_tungstenite=warn",
        "websocket_util=warn",
        "apca=info",
        "hyper=info",
        "hyper_util=info",
    ] {
        filter = filter.add_directive(quiet.parse().expect("a constant directive parses"));
    }
    let lines =
        tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let lines = if arguments.log_json || arguments.log_format == TextOrJson::Json {
        lines.json().boxed()
    } else {
        lines.with_target(false).boxed()
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    take_on(subscriber)
}

/// Takes spans to a collector besides, where the environment names one; what this gives sends the rest when dropped.
#[cfg(feature = "otlp")]
fn take_on<S>(subscriber: S) -> Traced
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    match crate::telemetry::layer() {
        Ok(Some((layer, telemetry))) => {
            subscriber.with(layer).init();
            Traced { _telemetry: Some(telemetry) }
        }
        Ok(None) => {
            subscriber.init();
            Traced { _telemetry: None }
        }
        Err(why) => {
            subscriber.init();
            tracing::error!("{why}");
            Traced { _telemetry: None }
        }
    }
}

/// Says that no spans are taken anywhere, where the environment names a collector.
#[cfg(not(feature = "otlp"))]
fn take_on<S>(subscriber: S) -> Traced
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    subscriber.init();
    if std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_some() {
        tracing::warn!(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and this daybook was built without the feature `otlp`"
        );
    }
    Traced {}
}

/// Runs the command and says how it ended.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    // An empty DAYBOOK_SERVER is none.
    let server = arguments.server.filter(|url| !url.is_empty());
    let context = Context { data: arguments.data, server };
    let ended = match arguments.command {
        Command::Serve(command) => command.run(&context),
        Command::Portfolio(command) => command.run(&context),
        Command::Advisor(command) => command.run(&context),
        Command::Client(command) => command.run(&context),
        Command::Import(command) => command.run(&context),
        Command::Replay(command) => command.run(&context),
        Command::Verify(command) => command.run(&context),
        Command::Prove(command) => command.run(&context),
        Command::CheckProof(command) => command.run(),
        Command::Export(command) => command.run(&context),
        Command::Token(command) => command.run(&context),
        Command::View(command) => command.run(&context),
        Command::Sync(command) => command.run(&context),
        Command::Config(command) => command.run(&context),
        Command::Openapi(command) => command.run(&context),
    };
    match ended {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        // Who reads our output has seen enough.
        Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(&error);
            ExitCode::from(2)
        }
    }
}
