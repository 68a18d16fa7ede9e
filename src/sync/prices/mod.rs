//! Prices on schedule: each feed is asked for what is missing, when it is due and no faster than it allows, and what it
//! says is recorded once.

mod actions;
mod alpaca;
mod alpha_vantage;
mod due;
mod feed;
pub(super) mod figure;
mod folder;
mod recording;
mod rota;
mod schedule;
mod symbols;
mod ticks;
mod web;
mod yahoo;

#[cfg(test)]
mod tests;

pub(crate) use actions::Checked;
pub(crate) use recording::Tally;

use crate::config::{self, FeedKind, PriceFeed, Secret};
use crate::journal::Journal;
use crate::sync::alpaca_http::Http;
use crate::sync::board::{Board, Source, State};
use crate::sync::dropped;
use crate::sync::pace::WallClock;
use feed::Feed;
use folder::PriceFolder;
use rota::Rota;
use schedule::{Failure, Keeper};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

/// How often a folder is looked into, at least.
const FOLDER_LOOK_MAX: Duration = Duration::from_secs(30);

/// How often what was announced is held against what was posted, at least.
const ACTIONS_EVERY: Duration = Duration::from_secs(6 * 3600);
/// The name under which that is shown.
const ACTIONS: &str = "corporate-actions";

/// What the feeds brought when they were asked once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Once {
    /// Each feed, the most trusted first.
    pub(crate) feeds: Vec<OnceOf>,
    /// How the corporate actions that they announced compare with those that brokers posted.
    pub(crate) checked: Checked,
    /// Why that could not be told.
    pub(crate) unchecked: Option<String>,
}

/// What one feed brought when it was asked once.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnceOf {
    /// The feed.
    pub(crate) feed: String,
    /// What is new, by symbol; of a folder, by file.
    pub(crate) tallies: BTreeMap<String, Tally>,
    /// What it does not price, and why.
    pub(crate) unknown: BTreeMap<String, String>,
    /// What it did not answer, though it has what was missing.
    pub(crate) remarks: Vec<String>,
    /// Why it failed, if it did.
    pub(crate) failure: Option<String>,
}

/// What a feed is made of.
enum Made {
    Asked(Arc<dyn Feed>),
    Folder(PriceFolder),
}

/// Makes the client of a feed.
///
/// # Errors
/// What its configuration lacks.
fn make(config: &PriceFeed, clock: &Arc<dyn WallClock>) -> Result<Made, String> {
    let lacks =
        |what: &str| format!("the feed `{}` needs `{what}`: add it to its configuration", config.name);
    let base = || config.base_url.clone().ok_or_else(|| lacks("base_url"));
    let secret = |secret: &Option<Secret>, what| secret.clone().ok_or_else(|| lacks(what));
    Ok(match config.kind {
        FeedKind::Alpaca => {
            let key_id = secret(&config.key_id, "key_id")?;
            let secret_key = secret(&config.secret_key, "secret_key")?;
            let base: Url = base()?;
            Made::Asked(Arc::new(alpaca::Alpaca::new(Http::new(&base, &base, &key_id, &secret_key))))
        }
        FeedKind::AlphaVantage => {
            let key = secret(&config.key_id, "key_id")?;
            Made::Asked(Arc::new(alpha_vantage::AlphaVantage::new(base()?, key, clock.clone())))
        }
        FeedKind::Yahoo => Made::Asked(Arc::new(yahoo::Yahoo::new(base()?, clock.clone()))),
        FeedKind::Folder => {
            Made::Folder(PriceFolder::new(config.folder.clone().ok_or_else(|| lacks("folder"))?))
        }
    })
}

/// Starts a task for each feed, and for the live ticks. They end when they are told to stop, at the end of what they are recording.
pub(crate) fn start(
    prices: &config::Prices,
    journal: &Arc<Journal>,
    board: &Board,
    clock: &Arc<dyn WallClock>,
    stop: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let rota = Arc::new(Rota::new(&prices.symbols, &prices.feeds));
    let mut tasks = Vec::new();
    for (place, config) in prices.feeds.iter().enumerate() {
        let source = board.add(&config.name, "prices", None);
        match make(config, clock) {
            Ok(Made::Asked(feed)) => {
                let keeper = Keeper::new(
                    feed,
                    config.clone(),
                    place,
                    rota.clone(),
                    journal.clone(),
                    clock.clone(),
                    source,
                    stop.clone(),
                );
                tasks.push(tokio::spawn(keeper.run()));
            }
            Ok(Made::Folder(folder)) => {
                let watching = watch_folder(
                    folder,
                    config.clone(),
                    journal.clone(),
                    clock.clone(),
                    source,
                    stop.clone(),
                );
                tasks.push(tokio::spawn(watching));
            }
            Err(text) => {
                rota.report(place, false);
                tracing::error!("{text}");
                source.update(|status| {
                    status.state = State::Halted;
                    status.detail = Some(text);
                });
            }
        }
    }
    if let Some(ticks) = &prices.ticks {
        let listener = ticks::Listener {
            ticks: ticks.clone(),
            followed: prices.symbols.clone(),
            journal: journal.clone(),
            clock: clock.clone(),
            source: board.add(ticks::FEED, "ticks", None),
            stop: stop.clone(),
        };
        tasks.push(tokio::spawn(listener.run()));
    }
    if announces(prices) {
        let source = board.add(ACTIONS, "prices", None);
        let (journal, clock) = (journal.clone(), clock.clone());
        tasks.push(tokio::spawn(watch_actions(prices.clone(), journal, clock, rota, source, stop.clone())));
    }
    tasks
}

/// Asks each feed once for all that is missing, the most trusted first, so that the others fill in for it.
pub(crate) async fn run_once(
    prices: &config::Prices,
    journal: &Arc<Journal>,
    clock: &Arc<dyn WallClock>,
) -> Once {
    let rota = Arc::new(Rota::new(&prices.symbols, &prices.feeds));
    let board = Board::default();
    // Nobody tells it to stop; the sender lives as long as the feeds are asked.
    let (_tell, stop) = watch::channel(false);
    let mut all = Vec::new();
    for (place, config) in prices.feeds.iter().enumerate() {
        let mut once = OnceOf { feed: config.name.clone(), ..OnceOf::default() };
        match make(config, clock) {
            Ok(Made::Asked(feed)) => {
                let source = board.add(&config.name, "prices", None);
                let mut keeper = Keeper::new(
                    feed,
                    config.clone(),
                    place,
                    rota.clone(),
                    journal.clone(),
                    clock.clone(),
                    source,
                    stop.clone(),
                );
                let round = keeper.round().await;
                once.tallies = round.tallies;
                once.unknown = round.unknown;
                once.remarks = round.failed;
                once.failure = round.failure.map(|failure| match failure {
                    Failure::Halt(text) | Failure::Later(text, _) => text,
                });
            }
            Ok(Made::Folder(mut folder)) => {
                let journal = journal.clone();
                let gathered = tokio::task::spawn_blocking(move || folder.gather(&journal, true)).await;
                match gathered.unwrap_or_else(|error| Err(format!("internal error: {error}"))) {
                    Ok(gathered) => {
                        once.tallies = gathered.tallies;
                        let unfinished = gathered.unfinished.iter().map(|name| dropped::unfinished(name));
                        let faults: Vec<String> = gathered.faults.into_values().chain(unfinished).collect();
                        once.failure = (!faults.is_empty()).then(|| faults.join("\n"));
                    }
                    Err(text) => once.failure = Some(text),
                }
            }
            Err(text) => {
                rota.report(place, false);
                once.failure = Some(text);
            }
        }
        all.push(once);
    }
    let mut once = Once { feeds: all, ..Once::default() };
    if announces(prices) {
        match compare(prices, journal, clock).await {
            Ok(checked) => once.checked = checked,
            Err(text) => once.unchecked = Some(text),
        }
    }
    once
}

/// Whether a feed among these announces all corporate actions of what it prices.
fn announces_all(feed: &PriceFeed) -> bool {
    matches!(feed.kind, FeedKind::Alpaca | FeedKind::Yahoo)
}

/// Whether any feed is asked that may announce corporate actions.
fn announces(prices: &config::Prices) -> bool {
    prices.feeds.iter().any(|feed| feed.kind != FeedKind::Folder)
}

/// Holds what was announced against what was posted.
async fn compare(
    prices: &config::Prices,
    journal: &Arc<Journal>,
    clock: &Arc<dyn WallClock>,
) -> Result<Checked, String> {
    let feeds: Vec<String> =
        prices.feeds.iter().filter(|feed| announces_all(feed)).map(|feed| feed.name.clone()).collect();
    let (journal, now) = (journal.clone(), clock.now());
    let compared = tokio::task::spawn_blocking(move || {
        actions::check(
            &journal,
            &recording::author(),
            &feeds,
            now,
            now.day_in(daybook_schemas::Zone::NEW_YORK),
        )
    });
    match compared.await {
        Ok(checked) => checked.map_err(|error| error.to_string()),
        Err(error) => Err(format!("internal error: {error}")),
    }
}

/// Compares again and again: when something was announced, and now and then, since brokers post in their own time.
async fn watch_actions(
    prices: config::Prices,
    journal: Arc<Journal>,
    clock: Arc<dyn WallClock>,
    rota: Arc<Rota>,
    source: Arc<Source>,
    mut stop: watch::Receiver<bool>,
) {
    while !*stop.borrow() {
        let now = clock.now();
        let compared = compare(&prices, &journal, &clock).await;
        if let Err(text) = &compared {
            tracing::warn!("corporate actions cannot be compared: {text}");
        }
        source.update(|status| {
            status.last_attempt = Some(now);
            status.next_attempt = Some(due::after(now, ACTIONS_EVERY));
            match compared {
                Ok(checked) => {
                    status.state = State::Current;
                    status.detail = None;
                    status.last_success = Some(now);
                    status.failures = 0;
                    status.appended += checked.found + checked.resolved;
                    status.breaks = checked.open;
                }
                Err(text) => {
                    status.state = State::Retrying;
                    status.detail = Some(text);
                    status.failures += 1;
                }
            }
        });
        tokio::select! {
            () = tokio::time::sleep(ACTIONS_EVERY) => {}
            () = rota.announced.notified() => {}
            () = source.rung() => {}
            _ = stop.changed() => {}
        }
    }
}

/// Looks into a folder again and again.
async fn watch_folder(
    mut folder: PriceFolder,
    config: PriceFeed,
    journal: Arc<Journal>,
    clock: Arc<dyn WallClock>,
    source: Arc<Source>,
    mut stop: watch::Receiver<bool>,
) {
    let every = match config.cadence {
        config::Cadence::Every(every) | config::Cadence::MarketHours(every) => every.min(FOLDER_LOOK_MAX),
        config::Cadence::Daily | config::Cadence::Hourly => FOLDER_LOOK_MAX,
    };
    let every = every.max(Duration::from_secs(1));
    while !*stop.borrow() {
        let now = clock.now();
        source.update(|status| status.last_attempt = Some(now));
        let ledger = journal.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let gathered = folder.gather(&ledger, false);
            (folder, gathered)
        });
        let Ok((back, gathered)) = looked.await else {
            tracing::error!(feed = %config.name, "looking into the folder failed");
            source.update(|status| status.state = State::Halted);
            return;
        };
        folder = back;
        for fault in gathered.iter().flat_map(|gathered| &gathered.fresh) {
            tracing::warn!(feed = %config.name, "{fault}");
        }
        source.update(|status| {
            status.next_attempt = Some(due::after(now, every));
            match &gathered {
                Ok(gathered) if gathered.faults.is_empty() => {
                    status.state = State::Current;
                    status.detail = None;
                    status.failures = 0;
                    status.last_success = Some(now);
                    status.appended += gathered.appended;
                }
                Ok(gathered) => {
                    let faults: Vec<String> = gathered.faults.values().cloned().collect();
                    status.state = State::Retrying;
                    status.detail = Some(faults.join("; "));
                    status.appended += gathered.appended;
                    status.failures += 1;
                }
                Err(text) => {
                    status.state = State::Retrying;
                    status.detail = Some(text.clone());
                    status.failures += 1;
                }
            }
        });
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = source.rung() => {}
            _ = stop.changed() => {}
        }
    }
}
