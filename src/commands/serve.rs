//! `daybook serve`: the service, until it is told to stop; then everything that was accepted is finished first.

use super::{CommandError, Configured, Context, Edges, Outcome, terminal};
use crate::api;
use crate::config;
use crate::demo;
use crate::journal::{Access, Author, Draft, Journal, Terms, now};
use crate::serving::{self, Connections, Limits, Server, Tls};
use crate::sync::daemons::{Daemons, Shared};
use crate::webhooks::outbound::Deliverers;
use clap::Args;
use daybook_ledger::{IndexOpened, Opened};
use daybook_schemas::{PortfolioId, Zone};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How long requests that are under way may still take after the service was told to stop.
const GRACE: Duration = Duration::from_secs(20);
/// How often it is recorded on which days tokens were used.
const USES: Duration = Duration::from_secs(60);
/// Connections at a time to the address where metrics are read without a token.
const METRICS_CONNECTIONS_MAX: u32 = 16;
/// The seed of the made-up firm.
const DEMO_SEED: u64 = 2_024;

/// Run the service.
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// Fill an empty directory with a made-up firm first.
    #[arg(long)]
    demo: bool,
    /// The same with a live desk: somebody trades on a made-up market, and the fills trickle in.
    #[arg(long)]
    demo_live: bool,
    #[command(flatten)]
    edges: Edges,
    #[command(flatten)]
    configured: Configured,
}

impl Serve {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        context.refuse_server("serve")?;
        let loaded = self.configured.load_with(context, None, self.edges.into())?;
        for remark in &loaded.provenance.remarks {
            tracing::warn!("{remark}");
        }
        // The address is taken before the directory, so that a port in use leaves no new directory behind.
        let service = loaded.service().clone();
        let listeners = Listeners::bind(&service)?;
        let tls = service.tls.clone().map(Tls::load).transpose();
        let tls = tls.map_err(|fault| CommandError::Unusable(fault.to_string()))?.map(Arc::new);
        let journal = Arc::new(context.open(Access::Create)?);
        tell(journal.opened());
        if self.demo || self.demo_live {
            fill(&journal)?;
        }
        if let Some(first) = journal.first_token()? {
            terminal::remark("the administrator's token, shown this once:");
            terminal::line(&first.secret)?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let portfolios: Vec<PortfolioId> =
            journal.library()?.directory.list().map(|entry| entry.id).collect();
        let (mut config, faults) = loaded.bound(&portfolios);
        for fault in faults {
            tracing::error!("left out: {fault}");
        }
        let live = self
            .demo_live
            .then(|| demo::live::start(&journal, &mut config))
            .transpose()
            .map_err(|error| CommandError::Unusable(error.to_string()))?;
        let shared = Arc::new(Shared::default());
        runtime.block_on(async {
            let daemons = Daemons::start(&config, &journal, &shared);
            let deliverers = Deliverers::start(&config.webhooks, &journal, &shared.webhooks, &context.data);
            let sending = config
                .checkpoints
                .clone()
                .map(|checkpoints| tokio::spawn(crate::checkpoints::send(checkpoints, journal.clone())));
            let served = serve(listeners, tls, &service, &journal, &shared).await;
            if let Some(sending) = sending {
                sending.abort();
                let _ = sending.await;
            }
            daemons.stop().await;
            // Last, so that what the daemons recorded on their way out is still sent where that is quick.
            deliverers.stop().await;
            served
        })?;
        drop(live);
        runtime.shutdown_timeout(GRACE);
        match Arc::try_unwrap(journal) {
            Ok(journal) => {
                record_uses(&journal);
                journal.close()?;
            }
            Err(_) => tracing::warn!(
                "a request did not end in time; the ledger is left to recover at the next start"
            ),
        }
        Ok(Outcome::Done)
    }
}

/// Says what opening found and mended.
fn tell(opened: &Opened) {
    if let Some(cut) = &opened.cut {
        tracing::warn!(
            "a commit that was never acknowledged was torn by a crash: cut off at event {}, {} byte {}",
            cut.sequence,
            cut.file.display(),
            cut.offset
        );
    }
    match &opened.index {
        IndexOpened::Current => {}
        IndexOpened::CaughtUp { records } => {
            tracing::info!("the index took in {records} records that it lacked");
        }
        IndexOpened::Rebuilt { reason, records } => {
            if !opened.created {
                tracing::warn!("the index was rebuilt from {records} records: {reason}");
            }
        }
    }
    tracing::info!(head = opened.head, clean = opened.clean, "the ledger is open");
}

/// The addresses that were taken.
struct Listeners {
    service: std::net::TcpListener,
    metrics: Option<std::net::TcpListener>,
}

impl Listeners {
    fn bind(service: &config::Service) -> Result<Self, CommandError> {
        Ok(Self { service: bind(service.listen)?, metrics: service.metrics_listen.map(bind).transpose()? })
    }
}

fn bind(address: SocketAddr) -> Result<std::net::TcpListener, CommandError> {
    let listener = std::net::TcpListener::bind(address)
        .map_err(|error| CommandError::Unusable(format!("cannot listen on {address}: {error}")))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(
    listeners: Listeners,
    tls: Option<Arc<Tls>>,
    service: &config::Service,
    journal: &Arc<Journal>,
    shared: &Arc<Shared>,
) -> Result<(), CommandError> {
    let address = listeners.service.local_addr()?;
    let listener = TcpListener::from_std(listeners.service)?;
    // Whoever reads that it listens may already tell it to stop.
    let told_to_stop = told_to_stop()?;
    let ending = shared.clone();
    let told_to_stop = async move {
        told_to_stop.await;
        ending.stop();
    };
    let reloading = reload_when_told(tls.clone())?;
    let limits = Limits {
        connections_max: serving::make_room(service.connections_max),
        header_timeout: service.header_timeout,
        header_bytes_max: service.header_bytes_max as usize,
        keep_alive: service.keep_alive,
        write_timeout: service.write_timeout,
        grace: GRACE,
    };
    let connections = Arc::new(Connections::default());
    let (routes, metrics) = api::routes(journal.clone(), shared.clone(), connections.clone(), service.into());
    let mut beside = JoinSet::new();
    beside.spawn(reloading);
    if let Some(tls) = &tls {
        beside.spawn(tls.clone().keep_current());
    }
    beside.spawn(keep_uses(journal.clone()));
    if let Some(listener) = listeners.metrics {
        let address = listener.local_addr()?;
        let limits = Limits { connections_max: METRICS_CONNECTIONS_MAX, ..limits.clone() };
        let server = Server { endpoint: Arc::new(metrics), limits, tls: None, connections: Arc::default() };
        beside.spawn(server.run(TcpListener::from_std(listener)?, std::future::pending()));
        terminal::remark(format_args!("metrics are read at http://{address}/metrics"));
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    terminal::remark(format_args!("daybook listens on {scheme}://{address}"));
    let server = Server { endpoint: Arc::new(routes), limits, tls, connections };
    server.run(listener, told_to_stop).await;
    beside.shutdown().await;
    Ok(())
}

/// Records now and then on which days tokens were used.
async fn keep_uses(journal: Arc<Journal>) {
    loop {
        tokio::time::sleep(USES).await;
        let journal = journal.clone();
        // Begun once, it is finished also when the service stops meanwhile.
        let _ = tokio::task::spawn_blocking(move || record_uses(&journal)).await;
    }
}

fn record_uses(journal: &Journal) {
    if let Err(error) = journal.record_uses() {
        tracing::warn!(%error, "the last uses of tokens are not recorded yet");
    }
}

/// Listens for the signal that asks for files to be read again; what it gives reads them whenever it comes.
#[cfg(unix)]
fn reload_when_told(tls: Option<Arc<Tls>>) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut told = signal(SignalKind::hangup())?;
    Ok(async move {
        while told.recv().await.is_some() {
            match tls.clone() {
                Some(tls) => {
                    let _ = tokio::task::spawn_blocking(move || tls.reload()).await;
                }
                None => tracing::info!("told to read files again: there is no certificate to read"),
            }
        }
    })
}

/// Nobody asks for files to be read again.
#[cfg(not(unix))]
fn reload_when_told(_tls: Option<Arc<Tls>>) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(std::future::pending())
}

/// Listens for signals from now on; what it gives ends when one interrupts the process or asks it to terminate.
#[cfg(unix)]
pub(super) fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        tracing::info!("stopping: requests that are under way are finished first");
    })
}

/// What it gives ends when the process is interrupted.
#[cfg(not(unix))]
pub(super) fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
        tracing::info!("stopping: requests that are under way are finished first");
    })
}

/// Fills an empty ledger with the made-up firm.
fn fill(journal: &Journal) -> Result<(), CommandError> {
    if journal.ledger().head() > 0 {
        terminal::remark("the directory holds a ledger already: it is served as it is");
        return Ok(());
    }
    let bar = terminal::Bar::new("making up a firm");
    let progress = bar.callback();
    let firm = demo::firm(now().day_in(Zone::NEW_YORK), DEMO_SEED);
    journal.add_keys(&firm.keys)?;
    let author = Author { actor: "demo".into(), source: "demo".into(), correlation: None, reaches_all: true };
    let drafts: Vec<Draft> = firm
        .commits
        .into_iter()
        .flatten()
        .map(|record| Draft {
            key: record.key,
            ..Draft::new(record.stream, record.occurred_at, record.event)
        })
        .collect();
    let whole = drafts.len() as u64;
    journal.record_in_parts(&author, drafts, Terms::default(), &|done| progress(done, whole))?;
    journal.keep_snapshots()?;
    bar.finish();
    Ok(())
}
