//! Robinhood's crypto API: every execution of an order recorded once, and the holdings held against Robinhood's.
//!
//! Orders are asked for by when they changed, always from well before what was read last, so that nothing is missed; what
//! is known already is recognised by its identity. There is no socket: how soon a fill is seen is how often it is asked.

mod books;
mod client;
mod orders;
#[cfg(test)]
mod tests;

use super::board::{Board, Source, State};
use super::breaks;
use super::pace::{Backoff, WallClock};
use crate::config::RobinhoodAccount;
use crate::journal::{Author, FeedReport, Journal, JournalError};
use books::{Found, Holding};
use client::Client;
use daybook_schemas::{AccountId, Timestamp, stream};
use orders::Page;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use url::Url;

/// What the source is called in accounts, streams and keys.
const NAME: &str = "robinhood";
const ORDERS: &str = "/api/v1/crypto/trading/orders/";
const HOLDINGS: &str = "/api/v1/crypto/trading/holdings/";
const ACCOUNTS: &str = "/api/v1/crypto/trading/accounts/";
/// How far before what was read last orders are asked for, in days: at each sweep, and once a day.
const OVERLAP_DAYS: [i64; 2] = [2, 90];
/// How often the longer overlap is read.
const DEEP_EVERY: Duration = Duration::from_secs(86_400);
/// The most pages of one list: more of them is a circle.
const PAGES_MAX: usize = 20_000;
/// The least time between two requests: Robinhood allows a hundred a minute.
const PAUSE: Duration = Duration::from_millis(650);
/// How long a difference is given to settle before it is looked at again, and only then recorded.
const SETTLING: Duration = Duration::from_secs(3);
/// The shortest and the longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
const DAY_NANOS: i64 = 86_400 * 1_000_000_000;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It will not succeed until somebody acts.
    #[error("{0}")]
    Halt(String),
    /// It may succeed later, after this wait where Robinhood states one.
    #[error("{0}")]
    Later(String, Option<Duration>),
    /// The journal did not take it, or could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Fault {
    fn nonsense(why: impl std::fmt::Display) -> Self {
        Self::Later(format!("Robinhood's answer makes no sense: {why}"), None)
    }
}

/// The account in the ledger that stands for Robinhood's.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    /// Our id of it.
    account: AccountId,
    /// Its label in the portfolio.
    label: String,
    /// Robinhood's number of it.
    number: String,
}

/// What one sweep did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Swept {
    /// Orders that were read.
    pub(crate) orders: u64,
    /// What was recorded.
    pub(crate) report: FeedReport,
    /// Where the books differ, in words.
    pub(crate) breaks: Vec<String>,
    /// What should be known of the clocks.
    pub(crate) clocks: Option<String>,
}

/// An account that is kept in step.
struct Engine {
    config: RobinhoodAccount,
    client: Client,
    journal: Arc<Journal>,
    clock: Arc<dyn WallClock>,
    bound: Option<Bound>,
    found: Found,
    /// When the longer overlap was read last.
    deep: Option<Instant>,
    last_request: Option<Instant>,
    /// By how many seconds Robinhood's clock is ahead, where that is worth telling.
    ahead: Option<i64>,
    /// The least time between two requests.
    pause: Duration,
    /// How long a difference is given to settle.
    settling: Duration,
}

impl Engine {
    fn new(
        config: &RobinhoodAccount,
        journal: &Arc<Journal>,
        clock: &Arc<dyn WallClock>,
    ) -> Result<Self, String> {
        Ok(Self {
            client: Client::new(config, clock.clone())?,
            config: config.clone(),
            journal: journal.clone(),
            clock: clock.clone(),
            bound: None,
            found: Found::default(),
            deep: None,
            last_request: None,
            ahead: None,
            pause: PAUSE,
            settling: SETTLING,
        })
    }

    /// Asks the journal, on a thread where it may block.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Journal) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let journal = self.journal.clone();
        tokio::task::spawn_blocking(move || question(&journal))
            .await
            .map_err(|error| JournalError::Internal(error.to_string()))?
    }

    /// Asks Robinhood, no faster than it allows.
    async fn get(&mut self, target: &str) -> Result<Vec<u8>, Fault> {
        if let Some(last) = self.last_request {
            tokio::time::sleep_until(last + self.pause).await;
        }
        self.last_request = Some(Instant::now());
        let answer = self.client.get(target).await?;
        self.ahead = answer.ahead;
        Ok(answer.body)
    }

    /// All rows of a list, page after page.
    async fn all(&mut self, path: &str, query: &str) -> Result<Vec<Box<RawValue>>, Fault> {
        let mut target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let (mut rows, mut asked) = (Vec::new(), BTreeSet::new());
        loop {
            if asked.len() >= PAGES_MAX || !asked.insert(target.clone()) {
                return Err(Fault::nonsense("its pages run in a circle"));
            }
            let body = self.get(&target).await?;
            let page: Page = serde_json::from_slice(&body).map_err(Fault::nonsense)?;
            rows.extend(page.results);
            match page.next.filter(|next| !next.is_empty()) {
                None => return Ok(rows),
                Some(next) => target = target_of(&next, path)?,
            }
        }
    }

    /// Finds out whose keys these are, and which account of the portfolio stands for it.
    async fn bind(&mut self) -> Result<Bound, Fault> {
        #[derive(Deserialize)]
        struct Account {
            account_number: String,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Accounts {
            One(Account),
            Several { results: Vec<Account> },
        }
        let body = self.get(ACCOUNTS).await?;
        let number = match serde_json::from_slice(&body).map_err(Fault::nonsense)? {
            Accounts::One(account) => account.account_number,
            Accounts::Several { mut results } => match (results.pop(), results.is_empty()) {
                (Some(account), true) => account.account_number,
                _ => return Err(Fault::nonsense("these keys are not for exactly one account")),
            },
        };
        if let Some(bound) = &self.bound
            && bound.number == number
        {
            return Ok(bound.clone());
        }
        let (name, portfolio, now, author) =
            (self.config.name.clone(), self.config.portfolio, self.clock.now(), self.author());
        let bound =
            self.ask(move |journal| books::bind(journal, &author, &name, portfolio, number, now)).await?;
        self.bound = Some(bound.clone());
        Ok(bound)
    }

    fn author(&self) -> Author {
        Author { actor: "sync".into(), source: NAME.into(), correlation: None, reaches_all: true }
    }

    /// Reads what changed, records what is new, and compares the books.
    async fn sweep(&mut self) -> Result<Swept, Fault> {
        let bound = self.bind().await?;
        let mut swept = self.pull(&bound).await?;
        let name = stream::sync(NAME, &bound.account.to_string());
        let open = {
            let name = name.clone();
            self.ask(move |journal| Ok(breaks::open_breaks(journal, &name)?)).await?
        };
        let found = self.compare(&bound, &open).await?;
        let mut standing = breaks::standing(&found, &[], &open);
        if standing.len() < found.len() {
            // An order may have been filled between the two questions.
            tokio::time::sleep(self.settling).await;
            swept.add(self.pull(&bound).await?);
            let again = self.compare(&bound, &open).await?;
            standing = breaks::standing(&again, &found, &open);
        }
        let (author, portfolio, now) = (self.author(), self.config.portfolio, self.clock.now());
        let (report, breaks) = self
            .ask(move |journal| {
                let remarks = breaks::settle(&name, bound.account, &open, &standing, now);
                let words = standing.iter().map(|found| breaks::in_words(journal, found)).collect();
                Ok((books::record(journal, &author, portfolio, remarks, now)?, words))
            })
            .await?;
        swept.report.add(report);
        swept.breaks = breaks;
        swept.clocks = self.ahead.map(client::skewed);
        Ok(swept)
    }

    /// Reads the orders that changed, and records what is new of them.
    async fn pull(&mut self, bound: &Bound) -> Result<Swept, Fault> {
        let deep = self.deep.is_none_or(|deep| deep.elapsed() >= DEEP_EVERY);
        let cursor = books::cursor(bound.account);
        let known = {
            let cursor = cursor.clone();
            self.ask(move |journal| Ok(journal.ledger().cursor(&cursor).map_err(JournalError::from)?)).await?
        };
        let mark = known.and_then(|bytes| Timestamp::parse(std::str::from_utf8(&bytes).ok()?).ok());
        let query = mark.map(|mark| {
            let from = mark.plus_nanos(-OVERLAP_DAYS[usize::from(deep)] * DAY_NANOS);
            format!("updated_at_start={}", encoded(&from.to_string()))
        });
        let rows = self.all(ORDERS, &query.unwrap_or_default()).await?;
        let (config, author, now) = (self.config.clone(), self.author(), self.clock.now());
        let (bound, mut found) = (bound.clone(), std::mem::take(&mut self.found));
        let count = rows.len() as u64;
        // What was found comes back also where the rest fails.
        let (report, found) = self
            .ask(move |journal| {
                let report = books::take_in(journal, &author, &config, &bound, &rows, &mut found, mark, now);
                Ok((report, found))
            })
            .await?;
        self.found = found;
        let report = report?;
        if deep {
            self.deep = Some(Instant::now());
        }
        Ok(Swept { orders: count, report, ..Swept::default() })
    }

    /// Where the ledger and Robinhood differ now.
    async fn compare(
        &mut self,
        bound: &Bound,
        open: &[breaks::OpenBreak],
    ) -> Result<Vec<breaks::Difference>, Fault> {
        let rows = self.all(HOLDINGS, "").await?;
        let holdings = rows
            .iter()
            .map(|row| Holding::read(row.get()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(Fault::nonsense)?;
        if holdings
            .iter()
            .any(|holding| holding.account_number.as_ref().is_some_and(|number| *number != bound.number))
        {
            return Err(Fault::Halt(
                "Robinhood lists holdings of another account: check the keys".to_owned(),
            ));
        }
        let (portfolio, bound, now) = (self.config.portfolio, bound.clone(), self.clock.now());
        let (mut found, open) = (std::mem::take(&mut self.found), open.to_vec());
        let (differences, found) = self
            .ask(move |journal| {
                let differences =
                    books::differences(journal, portfolio, &bound, &holdings, &mut found, &open, now);
                Ok((differences, found))
            })
            .await?;
        self.found = found;
        differences
    }

    /// Keeps the account in step until it is told to stop.
    async fn run(mut self, source: Arc<Source>, mut stop: watch::Receiver<bool>) {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1, self.clock.now().nanos().unsigned_abs());
        loop {
            let now = self.clock.now();
            source.update(|status| {
                status.state = State::Syncing;
                status.last_attempt = Some(now);
                status.next_attempt = None;
            });
            // What is being recorded is recorded whole, whenever it is told to stop.
            let swept = tokio::select! {
                swept = self.sweep() => swept,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let wait = self.tell(&source, swept, &mut backoff);
            let due = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = source.rung() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Says how the sweep went, and how long to wait for the next; none where somebody must act.
    fn tell(&self, source: &Source, swept: Result<Swept, Fault>, backoff: &mut Backoff) -> Option<Duration> {
        let (now, name) = (self.clock.now(), &self.config.name);
        match swept {
            Ok(swept) => {
                backoff.succeed();
                for difference in &swept.breaks {
                    tracing::warn!(source = %name, "the books differ: {difference}");
                }
                source.update(|status| {
                    status.state = State::Current;
                    status.detail = swept.clocks;
                    status.account = self.bound.as_ref().map(|bound| bound.account.to_string());
                    status.last_success = Some(now);
                    status.next_attempt = Some(later(now, self.config.sweep));
                    status.appended += swept.report.appended();
                    status.quarantined += swept.report.quarantined;
                    status.failures = 0;
                    status.breaks = swept.breaks;
                });
                Some(self.config.sweep)
            }
            Err(Fault::Halt(why)) => {
                tracing::error!(source = %name, "halted: {why}");
                source.update(|status| {
                    status.state = State::Halted;
                    status.detail = Some(why);
                    status.failures = status.failures.saturating_add(1);
                });
                None
            }
            Err(fault) => {
                let stated = if let Fault::Later(_, stated) = &fault { *stated } else { None };
                let wait = stated.unwrap_or(Duration::ZERO).max(backoff.fail());
                tracing::warn!(source = %name, "{fault}");
                source.update(|status| {
                    status.state = State::Retrying;
                    status.detail = Some(fault.to_string());
                    status.failures = backoff.failures();
                    status.next_attempt = Some(later(now, wait));
                });
                Some(wait)
            }
        }
    }
}

impl Swept {
    fn add(&mut self, later: Self) {
        self.orders += later.orders;
        self.report.add(later.report);
    }
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    Timestamp::from_nanos(now.nanos().saturating_add(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX)))
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// What is asked for the next page: of its address only the path and the query count, so that no signature goes to
/// another host; and the path is the list's own.
fn target_of(next: &str, path: &str) -> Result<String, Fault> {
    let url = Url::parse(next).map_err(|_| Fault::nonsense("the address of its next page is none"))?;
    let at = url.path().find(path).filter(|at| url.path().len() == at + path.len());
    let query = url.query();
    match (at, query) {
        (Some(_), Some(query)) => Ok(format!("{path}?{query}")),
        _ => Err(Fault::nonsense("its next page is not one of the same list")),
    }
}

/// Starts a task for each account. They end when they are told to stop.
pub(crate) fn start(
    accounts: &[RobinhoodAccount],
    journal: &Arc<Journal>,
    board: &Board,
    clock: &Arc<dyn WallClock>,
    stop: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    for account in accounts {
        let source = board.add(&account.name, "robinhood", Some(account.portfolio));
        match Engine::new(account, journal, clock) {
            Ok(engine) => tasks.push(tokio::spawn(engine.run(source, stop.clone()))),
            Err(why) => {
                tracing::error!(source = %account.name, "halted: {why}");
                source.update(|status| {
                    status.state = State::Halted;
                    status.detail = Some(why);
                });
            }
        }
    }
    tasks
}

/// Reads each account once, records what is new and compares the books; by the account's name.
pub(crate) async fn run_once(
    accounts: &[RobinhoodAccount],
    journal: &Arc<Journal>,
    clock: &Arc<dyn WallClock>,
) -> Vec<(String, Result<Swept, String>)> {
    let mut all = Vec::new();
    for account in accounts {
        let swept = match Engine::new(account, journal, clock) {
            Ok(mut engine) => engine.sweep().await.map_err(|fault| fault.to_string()),
            Err(why) => Err(why),
        };
        all.push((account.name.clone(), swept));
    }
    all
}
