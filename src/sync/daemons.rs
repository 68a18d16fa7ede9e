//! The daemons that run beside the service, or alone: started together, told to stop together.

use super::alpaca::orders::Counter;
use super::alpaca::{Books, Client, Engine};
use super::board::Board;
use super::pace::{MachineClock, WallClock};
use super::{folder, instruments, prices, robinhood};
use crate::config::Config;
use crate::journal::Journal;
use daybook_schemas::PortfolioId;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What the daemons share with the service.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// How each source is doing.
    pub(crate) board: Board,
    counters: RwLock<Vec<Counter>>,
}

impl Shared {
    /// Lets orders be placed in an account.
    pub(crate) fn open_counter(&self, counter: Counter) {
        self.counters.write().unwrap_or_else(PoisonError::into_inner).push(counter);
    }

    /// The accounts of a portfolio in which orders may be placed.
    pub(crate) fn counters(&self, portfolio: PortfolioId) -> Vec<Counter> {
        let counters = self.counters.read().unwrap_or_else(PoisonError::into_inner);
        counters.iter().filter(|counter| counter.portfolio == portfolio).cloned().collect()
    }
}

/// How long daemons may take to end what they are doing.
const GRACE: Duration = Duration::from_secs(10);

/// Daemons that run.
pub(crate) struct Daemons {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Daemons {
    /// Starts a task for everything that is configured.
    pub(crate) fn start(config: &Config, journal: &Arc<Journal>, shared: &Shared) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        for account in &config.alpaca {
            let client = Arc::new(Client::new(account));
            if config.orders && account.orders {
                let counter = Counter {
                    name: account.name.clone(),
                    portfolio: account.portfolio,
                    broker: client.clone(),
                };
                shared.open_counter(counter);
            }
            let source = shared.board.add(&account.name, "alpaca", Some(account.portfolio));
            let books = Books::new(journal.clone());
            let engine = Engine::new(account.clone(), client, books, Arc::new(MachineClock), source);
            tasks.push(tokio::spawn(engine.run(stopped.clone())));
        }
        let clock: Arc<dyn WallClock> = Arc::new(MachineClock);
        tasks.extend(prices::start(&config.prices, journal, &shared.board, &clock, &stopped));
        tasks.extend(instruments::start(config, journal, &shared.board, &clock, &stopped));
        tasks.extend(robinhood::start(&config.robinhood, journal, &shared.board, &clock, &stopped));
        tasks.extend(folder::start(&config.folders, journal, &shared.board, &clock, &stopped));
        Self { stop, tasks }
    }

    /// Tells all of them to stop, and waits until what they were recording is recorded. One that waits for an answer is
    /// not waited for much longer: what it did not record, it asks for again.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        let until = Instant::now() + GRACE;
        for mut task in self.tasks {
            match tokio::time::timeout_at(until, &mut task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a daemon did not end as it should"),
                Err(_) => task.abort(),
            }
        }
    }
}
