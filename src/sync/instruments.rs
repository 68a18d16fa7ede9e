//! The list of instruments: Alpaca's assets or the user's own, read again and again, and what is new recorded.

mod alpaca;
mod diff;
mod known;
mod list;

#[expect(unused_imports, reason = "orders and feeds that ask for them are under way")]
pub(crate) use known::{SymbolError, UnknownInstrument, known_symbol, nearest_said};

use super::alpaca_http::Http;
use super::board::{Board, Source, State};
use super::pace::{Backoff, WallClock};
use crate::config::{Config, InstrumentSource};
use crate::journal::{Author, FeedBatch, Journal, JournalError};
use daybook_ledger::CursorMove;
use daybook_schemas::{Timestamp, Zone};
use diff::{Asset, Difference, Keeper, difference};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the source is called on the board.
pub(crate) const NAME: &str = "instruments";
/// The cursor that moves when something of a list was recorded.
const CURSOR: &str = "instruments";
/// The shortest and the longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3_600));

/// Why a list was not taken in. What was recorded before stands.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefreshError {
    /// It may come if it is asked for later.
    #[error("{0}")]
    Unavailable(String),
    /// It will not come until somebody does something.
    #[error("{0}")]
    Refused(String),
    /// It came, and cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// It could not be recorded.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What a list brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refreshed {
    /// Instruments on the list.
    pub(crate) assets: u64,
    /// Instruments that are new.
    pub(crate) listed: u64,
    /// Instruments that were known from a symbol alone.
    pub(crate) confirmed: u64,
    /// Instruments that are called otherwise.
    pub(crate) renamed: u64,
    /// Instruments that are traded no more.
    pub(crate) delisted: u64,
    /// Rows of the list that cannot be read.
    pub(crate) unread: u64,
    /// Symbols that several instruments have, so that none was confirmed.
    pub(crate) ambiguous: Vec<String>,
    /// Events that were appended.
    pub(crate) appended: u64,
}

impl fmt::Display for Refreshed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} on the list: {} new, {} confirmed, {} renamed, {} delisted",
            self.assets, self.listed, self.confirmed, self.renamed, self.delisted
        )?;
        if self.unread > 0 {
            write!(f, "; {} rows cannot be read", self.unread)?;
        }
        if !self.ambiguous.is_empty() {
            let some: Vec<&str> = self.ambiguous.iter().take(5).map(String::as_str).collect();
            write!(f, "; several instruments are called {}: merge them", some.join(", "))?;
        }
        Ok(())
    }
}

/// Where the list is.
#[derive(Clone, Debug)]
enum Place {
    Alpaca(Http),
    List(PathBuf),
}

/// Where the list is and how often it is read; none if no source is configured.
fn place(config: &Config) -> Option<(Result<Place, RefreshError>, Duration)> {
    match &config.instruments {
        InstrumentSource::None => None,
        InstrumentSource::List { path, every } => Some((Ok(Place::List(path.clone())), *every)),
        InstrumentSource::Alpaca { every } => {
            let place = config.alpaca.first().map(|account| {
                Place::Alpaca(Http::new(
                    &account.base_url,
                    &account.stream_url,
                    &account.key_id,
                    &account.secret_key,
                ))
            });
            let missing = || {
                let why = "instruments are listed from Alpaca, and no account there is bound to a portfolio";
                RefreshError::Refused(why.to_owned())
            };
            Some((place.ok_or_else(missing), *every))
        }
    }
}

/// Reads the list once and records what is new; none if no source is configured.
///
/// # Errors
/// [`RefreshError`].
pub(crate) async fn refresh_once(
    config: &Config,
    journal: &Arc<Journal>,
    clock: &Arc<dyn WallClock>,
) -> Option<Result<Refreshed, RefreshError>> {
    let (place, _) = place(config)?;
    Some(match place {
        Ok(place) => refresh(&place, journal, clock.now()).await,
        Err(error) => Err(error),
    })
}

/// Starts the task that keeps the registry in step with its list; none if no source is configured.
pub(crate) fn start(
    config: &Config,
    journal: &Arc<Journal>,
    board: &Board,
    clock: &Arc<dyn WallClock>,
    stop: &watch::Receiver<bool>,
) -> Option<JoinHandle<()>> {
    let (place, every) = place(config)?;
    let source = board.add(NAME, "instruments", None);
    match place {
        Ok(place) => {
            let (journal, clock, stop) = (journal.clone(), clock.clone(), stop.clone());
            Some(tokio::spawn(keep(place, every, journal, clock, source, stop)))
        }
        Err(error) => {
            halt(&source, &error);
            None
        }
    }
}

fn halt(source: &Source, error: &RefreshError) {
    tracing::error!("instruments: {error}");
    source.update(|status| {
        status.state = State::Halted;
        status.detail = Some(error.to_string());
        status.failures = status.failures.saturating_add(1);
        status.next_attempt = None;
    });
}

/// Reads the list when it is due, when somebody rings, and again after a failure, until it is told to stop.
async fn keep(
    place: Place,
    every: Duration,
    journal: Arc<Journal>,
    clock: Arc<dyn WallClock>,
    source: Arc<Source>,
    mut stop: watch::Receiver<bool>,
) {
    let seed = clock.now().nanos().unsigned_abs();
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1, seed);
    loop {
        let now = clock.now();
        source.update(|status| {
            status.state = State::Syncing;
            status.last_attempt = Some(now);
            status.next_attempt = None;
        });
        let refreshed = tokio::select! {
            refreshed = refresh(&place, &journal, now) => refreshed,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let wait = match refreshed {
            Ok(refreshed) => {
                if refreshed.appended > 0 {
                    tracing::info!("instruments: {refreshed}");
                }
                backoff.succeed();
                source.update(|status| {
                    status.state = State::Current;
                    status.detail = Some(refreshed.to_string());
                    status.last_success = Some(now);
                    status.appended += refreshed.appended;
                    status.failures = 0;
                    status.next_attempt = Some(later(now, every));
                });
                Some(every)
            }
            Err(error @ RefreshError::Refused(_)) => {
                halt(&source, &error);
                None
            }
            Err(error) => {
                let wait = backoff.fail();
                tracing::warn!("instruments: {error}");
                source.update(|status| {
                    status.state = State::Retrying;
                    status.detail = Some(error.to_string());
                    status.failures = backoff.failures();
                    status.next_attempt = Some(later(now, wait));
                });
                Some(wait)
            }
        };
        let due = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                // Whoever did something about it rings.
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

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    let nanos = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX);
    Timestamp::from_nanos(now.nanos().saturating_add(nanos))
}

async fn refresh(place: &Place, journal: &Arc<Journal>, now: Timestamp) -> Result<Refreshed, RefreshError> {
    let (keeper, assets, unread) = match place {
        Place::Alpaca(http) => {
            let (assets, unread) = alpaca::assets(http).await?;
            (Keeper::Alpaca, assets, unread)
        }
        Place::List(path) => {
            let path = path.clone();
            let assets = blocking(move || list::assets(&path)).await?;
            (Keeper::List, assets, 0)
        }
    };
    let journal = journal.clone();
    blocking(move || record(&journal, keeper, &assets, unread, now)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RefreshError> + Send + 'static,
) -> Result<T, RefreshError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(RefreshError::Unavailable(format!("internal error: {error}"))))
}

/// Records what a list says that the ledger does not know.
fn record(
    journal: &Journal,
    keeper: Keeper,
    assets: &[Asset],
    unread: u64,
    now: Timestamp,
) -> Result<Refreshed, RefreshError> {
    let Difference { rows, listed, confirmed, renamed, delisted, ambiguous } = {
        let library = journal.library()?;
        difference(keeper, &library.instruments, assets, now.day_in(Zone::NEW_YORK), now)
    };
    let author =
        Author { actor: "sync".into(), source: "instruments".into(), correlation: None, reaches_all: true };
    let cursor = CursorMove { source: CURSOR.into(), to: now.to_string().into_bytes().into() };
    let batch = FeedBatch { rows, cursors: vec![cursor], ..FeedBatch::default() };
    let report = journal.record_batch(&author, &batch)?;
    Ok(Refreshed {
        assets: assets.len() as u64,
        listed,
        confirmed,
        renamed,
        delisted,
        unread,
        ambiguous,
        appended: report.appended(),
    })
}

#[cfg(test)]
mod tests;
