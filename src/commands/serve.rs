//! `daybook serve`: the service, until it is told to stop; then everything that was accepted is finished first.

use super::{CommandError, Configured, Context, Outcome, terminal};
use crate::api;
use crate::demo;
use crate::journal::{Access, Author, Draft, Journal, Terms, now};
use crate::sync::daemons::{Daemons, Shared};
use clap::Args;
use daybook_ledger::{IndexOpened, Opened};
use daybook_schemas::{PortfolioId, Zone};
use poem::listener::{Acceptor, TcpAcceptor};
use poem::web::{LocalAddr, RemoteAddr};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long requests that are under way may still take after the service was told to stop.
const GRACE: Duration = Duration::from_secs(20);
/// How long a connection may say nothing before it is closed.
const IDLE: Duration = Duration::from_secs(75);
/// The seed of the made-up firm.
const DEMO_SEED: u64 = 2_024;

/// Run the service.
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// The address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Fill an empty directory with a made-up firm first.
    #[arg(long)]
    demo: bool,
    /// The same with a live desk: somebody trades on a made-up market, and the fills trickle in.
    #[arg(long)]
    demo_live: bool,
    #[command(flatten)]
    configured: Configured,
}

impl Serve {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, CommandError> {
        context.refuse_server("serve")?;
        let loaded = self.configured.load(context, None)?;
        for remark in &loaded.provenance.remarks {
            tracing::warn!("{remark}");
        }
        // The address is taken before the directory, so that a port in use leaves no new directory behind.
        let listener = std::net::TcpListener::bind(self.listen)
            .map_err(|error| CommandError::Unusable(format!("cannot listen on {}: {error}", self.listen)))?;
        listener.set_nonblocking(true)?;
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
            let served = serve(listener, &journal, &shared).await;
            daemons.stop().await;
            served
        })?;
        drop(live);
        runtime.shutdown_timeout(GRACE);
        match Arc::try_unwrap(journal) {
            Ok(journal) => journal.close()?,
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

async fn serve(
    listener: std::net::TcpListener,
    journal: &Arc<Journal>,
    shared: &Arc<Shared>,
) -> Result<(), CommandError> {
    let address = listener.local_addr()?;
    let acceptor = NoDelay(TcpAcceptor::from_std(listener)?);
    // Whoever reads that it listens may already tell it to stop.
    let told_to_stop = told_to_stop()?;
    terminal::remark(format_args!("daybook listens on http://{address}"));
    poem::Server::new_with_acceptor(acceptor)
        .idle_timeout(IDLE)
        .run_with_graceful_shutdown(api::routes(journal.clone(), shared.clone()), told_to_stop, Some(GRACE))
        .await?;
    Ok(())
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

/// Accepts connections that send what they have at once: an answer is one small write, and waiting to fill a
/// packet would add tens of milliseconds to it.
struct NoDelay(TcpAcceptor);

impl Acceptor for NoDelay {
    type Io = TcpStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.0.local_addr()
    }

    async fn accept(
        &mut self,
    ) -> std::io::Result<(TcpStream, LocalAddr, RemoteAddr, poem::http::uri::Scheme)> {
        let accepted = self.0.accept().await?;
        accepted.0.set_nodelay(true)?;
        Ok(accepted)
    }
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
