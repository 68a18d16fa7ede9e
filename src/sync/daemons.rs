//! The daemons that run beside the service, or alone: started together, told to stop together.

use super::alpaca::orders::Counter;
use super::alpaca::{Books, Client, Engine};
use super::board::Board;
use super::pace::{MachineClock, WallClock};
use super::{expiry, folder, instruments, prices, robinhood};
use crate::config::{AlpacaAccount, Config};
use crate::journal::Journal;
use crate::webhooks::Webhooks;
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
    /// Who may send, and who is sent to.
    pub(crate) webhooks: Webhooks,
    counters: RwLock<Vec<Counter>>,
    stopping: watch::Sender<bool>,
}

impl Shared {
    /// Tells everything that goes on for as long as the service does, such as live streams, to end.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Becomes true when the service stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

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

/// Whether orders may be placed in an account: the service and the account must both say so.
const fn takes_orders(config: &Config, account: &AlpacaAccount) -> bool {
    config.orders && account.orders
}

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
            let source = shared.board.add(&account.name, "alpaca", Some(account.portfolio));
            if takes_orders(config, account) {
                shared.open_counter(Counter {
                    source: source.clone(),
                    portfolio: account.portfolio,
                    for_clients: config.client_orders,
                    broker: client.clone(),
                });
            }
            let books = Books::new(journal.clone());
            let engine = Engine::new(account.clone(), client, books, Arc::new(MachineClock), source);
            tasks.push(tokio::spawn(engine.run(stopped.clone())));
        }
        let clock: Arc<dyn WallClock> = Arc::new(MachineClock);
        tasks.extend(prices::start(&config.prices, journal, &shared.board, &clock, &stopped));
        tasks.extend(instruments::start(config, journal, &shared.board, &clock, &stopped));
        tasks.extend(robinhood::start(&config.robinhood, journal, &shared.board, &clock, &stopped));
        tasks.extend(folder::start(&config.folders, journal, &shared.board, &clock, &stopped));
        tasks.push(tokio::spawn(expiry::run(Arc::clone(journal), stopped.clone())));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use std::time::Duration;

    #[test]
    fn orders_are_placed_only_where_the_service_and_the_account_say_so() {
        let url: url::Url = "http://127.0.0.1:1".parse().unwrap();
        for (service, of_account) in [(false, false), (false, true), (true, false), (true, true)] {
            let account = AlpacaAccount {
                name: "main".to_owned(),
                portfolio: PortfolioId::from_bytes([1; 16]),
                key_id: Secret::new("id".to_owned()),
                secret_key: Secret::new("secret".to_owned()),
                base_url: url.clone(),
                stream_url: url.clone(),
                data_url: url.clone(),
                orders: of_account,
                requests_per_second: 3,
                sweep_fills: Duration::from_secs(60),
                sweep_activities: Duration::from_secs(60),
                sweep_deep: Duration::from_secs(60),
            };
            let config = Config { orders: service, ..Config::default() };
            assert_eq!(takes_orders(&config, &account), service && of_account);
        }
    }
}
