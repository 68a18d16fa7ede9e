//! The round of one feed: what is due is asked for page by page, and written down while the next page is on its way.

use super::due::{self, Depth};
use super::feed::{BarAsk, Feed, FeedError, Market, Page};
use super::recording::{Done, Scribe, Tally, Work, cursor_name};
use super::rota::Rota;
use super::symbols::{self, Target, Wanted};
use crate::config::{BarSize, Cadence, PriceFeed};
use crate::journal::{Journal, JournalError};
use crate::sync::board::{Source, State};
use crate::sync::pace::{Backoff, Bucket, WallClock};
use daybook_schemas::{Day, Timestamp, Zone, calendar};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often one question is asked before it is given up for this round.
const ATTEMPTS: u32 = 3;
/// Questions in a row that may fail before the round is given up.
const FAILED_MAX: u32 = 3;
/// The most pages of one answer.
const PAGES_MAX: u32 = 10_000;
/// A feed that wants to be left alone for longer ends the round.
const WAIT_MAX: Duration = Duration::from_secs(90);
/// A symbol that the feed does not know is asked for again after so long.
const STRANGER_AGAIN: Duration = Duration::from_secs(24 * 3600);
/// Corporate actions are looked for so many days back and ahead.
const ACTION_DAYS: i32 = 45;
/// So long after a close its bar is looked for that was not there yet; after that, when the next one is.
const LATE_MAX: Duration = Duration::from_secs(12 * 3600);
/// No sleep is longer, so that a clock that is set is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(600);

/// Why a round ended before its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// It is of no use to ask again before somebody acts.
    Halt(String),
    /// It is asked again later: after so long, where that is known.
    Later(String, Option<Duration>),
}

impl Failure {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Halt(text) | Self::Later(text, _) => text,
        }
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        Self::Later(format!("the ledger does not take it: {error}"), None)
    }
}

/// What a round brought.
#[derive(Clone, Default, Debug)]
pub(super) struct Round {
    /// What is new, by symbol.
    pub(super) tallies: BTreeMap<String, Tally>,
    /// All new events.
    pub(super) appended: u64,
    /// Symbols that cannot be asked for, or that the feed does not know, and why.
    pub(super) unknown: BTreeMap<String, String>,
    /// Questions that were not answered, while others were.
    pub(super) failed: Vec<String>,
    /// Why it ended early.
    pub(super) failure: Option<Failure>,
}

impl Round {
    fn take(&mut self, done: &Done) {
        for (name, tally) in &done.tallies {
            self.tallies.entry(name.clone()).or_default().add(*tally);
        }
        self.appended += done.appended;
    }
}

/// A question that was answered, and how long its answer is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Answered {
    after: Timestamp,
    until: Timestamp,
    fresh_until: Timestamp,
    /// Whether the last bar that was asked for was not there, and may still come.
    late: bool,
}

/// How many requests the day has left.
#[derive(Clone, Copy, Debug)]
struct DayQuota {
    most: u32,
    day: Day,
    used: u32,
}

/// One feed and all that is remembered of it between its rounds.
pub(super) struct Keeper {
    pub(super) feed: Arc<dyn Feed>,
    pub(super) config: PriceFeed,
    /// Which of the feeds it is.
    pub(super) place: usize,
    pub(super) rota: Arc<Rota>,
    pub(super) scribe: Scribe,
    pub(super) clock: Arc<dyn WallClock>,
    pub(super) source: Arc<Source>,
    pub(super) stop: watch::Receiver<bool>,
    bucket: Bucket,
    quota: Option<DayQuota>,
    backoff: Backoff,
    /// By symbol and size.
    answered: BTreeMap<(String, BarSize), Answered>,
    /// When each symbol that the feed does not know is asked for again, and what it said.
    strangers: BTreeMap<(String, BarSize), (Timestamp, String)>,
    /// Cursors that had nothing to move with so far.
    pending: BTreeMap<String, String>,
}

impl Keeper {
    #[expect(clippy::too_many_arguments, reason = "each is a part of what a feed stands in")]
    pub(super) fn new(
        feed: Arc<dyn Feed>,
        config: PriceFeed,
        place: usize,
        rota: Arc<Rota>,
        journal: Arc<Journal>,
        clock: Arc<dyn WallClock>,
        source: Arc<Source>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let seed =
            config.name.bytes().fold(7u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let today = clock.now().day_in(Zone::UTC);
        Self {
            bucket: Bucket::per_minute(config.requests_per_minute),
            quota: config.requests_per_day.map(|most| DayQuota { most, day: today, used: 0 }),
            backoff: Backoff::new(Duration::from_secs(10), Duration::from_secs(1800), seed),
            scribe: Scribe { journal, feed: config.name.as_str().into() },
            feed,
            config,
            place,
            rota,
            clock,
            source,
            stop,
            answered: BTreeMap::new(),
            strangers: BTreeMap::new(),
            pending: BTreeMap::new(),
        }
    }

    fn depth(&self) -> Depth {
        Depth { backfill_days: self.config.backfill_days, restated_days: self.config.restated_days }
    }

    /// Runs until it is told to stop.
    pub(super) async fn run(mut self) {
        while !*self.stop.borrow() {
            let round = self.round().await;
            let now = self.clock.now();
            for text in round.failure.iter().map(Failure::text).chain(round.failed.iter().map(String::as_str))
            {
                tracing::warn!(feed = %self.config.name, "{text}");
            }
            let next = match &round.failure {
                Some(Failure::Halt(_)) => None,
                Some(Failure::Later(_, wait)) => {
                    let backoff = self.backoff.fail();
                    Some(due::after(now, wait.map_or(backoff, |wait| wait.max(backoff))))
                }
                None => {
                    self.backoff.succeed();
                    Some(self.next_look(now))
                }
            };
            self.source.update(|status| status.next_attempt = next);
            self.wait_until(next).await;
        }
    }

    fn next_look(&self, now: Timestamp) -> Timestamp {
        let delay = self.config.bars.iter().map(|size| self.feed.delay(*size)).max().unwrap_or_default();
        let next = due::next_look(self.config.cadence, now, delay);
        // A day's bar that was not there yet is looked for again before that.
        let late = self.answered.values().filter(|answered| answered.late);
        let again = late.map(|answered| answered.fresh_until).filter(|again| *again > now).min();
        again.map_or(next, |again| again.min(next))
    }

    /// Waits for an instant, for the bell, or for the end.
    async fn wait_until(&mut self, at: Option<Timestamp>) {
        let source = self.source.clone();
        loop {
            let nap = match at {
                Some(at) => {
                    let left = at.nanos().saturating_sub(self.clock.now().nanos());
                    let Ok(left) = u64::try_from(left) else { return };
                    if left == 0 {
                        return;
                    }
                    Duration::from_nanos(left).min(SLEEP_MAX)
                }
                None => SLEEP_MAX,
            };
            tokio::select! {
                () = tokio::time::sleep(nap) => {}
                () = source.rung() => return,
                _ = self.stop.changed() => return,
            }
        }
    }

    /// Asks for everything that is due, once, and says on the board how it went.
    pub(super) async fn round(&mut self) -> Round {
        let now = self.clock.now();
        self.source.update(|status| {
            status.state = State::Syncing;
            status.last_attempt = Some(now);
        });
        let mut round = Round::default();
        if let Err(failure) = self.ask_all(&mut round).await {
            round.failure = Some(failure);
        }
        self.rota.report(self.place, round.failure.is_none());
        if round.tallies.values().any(|tally| tally.actions > 0) {
            self.rota.announced.notify_one();
        }
        self.tell(&round);
        round
    }

    fn tell(&self, round: &Round) {
        let now = self.clock.now();
        let mut details: Vec<String> =
            round.failure.iter().map(|failure| failure.text().to_owned()).collect();
        details.extend(round.failed.iter().cloned());
        if !round.unknown.is_empty() {
            let some: Vec<String> =
                round.unknown.iter().take(8).map(|(name, why)| format!("{name} ({why})")).collect();
            let more = round.unknown.len().saturating_sub(some.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            details.push(format!("not priced here: {}{more}", some.join(", ")));
        }
        let quarantined = round.tallies.values().map(|tally| tally.quarantined).sum::<u64>();
        let earliest = self.earliest();
        self.source.update(|status| {
            status.detail = (!details.is_empty()).then(|| details.join("; "));
            status.appended += round.appended;
            status.quarantined += quarantined;
            status.cursor = earliest;
            match &round.failure {
                None => {
                    status.state = State::Current;
                    status.last_success = Some(now);
                    status.failures = 0;
                }
                Some(Failure::Halt(_)) => {
                    status.state = State::Halted;
                    status.failures += 1;
                }
                Some(Failure::Later(..)) => {
                    status.state = State::Retrying;
                    status.failures += 1;
                }
            }
        });
    }

    /// Up to where everything was asked for.
    fn earliest(&self) -> Option<String> {
        self.answered.values().map(|answered| answered.until).min().map(|until| until.to_string())
    }

    async fn ask_all(&mut self, round: &mut Round) -> Result<(), Failure> {
        let wanted = self.wanted().await?;
        // What nobody wants of this feed any more would be the earliest for ever.
        self.answered.retain(|(name, _), _| wanted.targets.contains_key(name));
        round.unknown.extend(wanted.refused.clone());
        if self.feed.has_actions() {
            self.ask_actions(&wanted, round).await?;
        }
        let mut failed = 0;
        for size in self.config.bars.clone() {
            for ask in self.plan(&wanted, size, round).await? {
                match self.ask_bars(&wanted, ask, round).await {
                    Ok(()) => failed = 0,
                    Err(failure @ Failure::Halt(_)) => return Err(failure),
                    Err(failure @ Failure::Later(_, Some(_))) => return Err(failure),
                    Err(Failure::Later(text, None)) => {
                        failed += 1;
                        if failed >= FAILED_MAX || self.feed.symbols_max() > 1 {
                            return Err(Failure::Later(text, None));
                        }
                        round.failed.push(text);
                    }
                }
            }
        }
        if !round.failed.is_empty() {
            // What was not answered is asked for again soon, though the rest is there.
            return Err(Failure::Later(round.failed.remove(0), None));
        }
        self.ask_latest(&wanted, round).await
    }

    /// What this feed is to be asked for now.
    async fn wanted(&self) -> Result<Wanted, Failure> {
        let (journal, rota, place) = (self.scribe.journal.clone(), self.rota.clone(), self.place);
        let today = self.clock.now().day_in(Zone::NEW_YORK);
        let wanted = blocking(move || {
            let mut wanted = if rota.is_own(place) {
                symbols::wanted(&journal, rota.names(place), &Default::default(), today)?
            } else {
                symbols::wanted(&journal, rota.names(place), &symbols::held(&journal)?, today)?
            };
            wanted.targets.retain(|name, _| rota.is_its_turn(place, name));
            Ok(wanted)
        });
        wanted.await
    }

    /// The questions that are due for a size: what lags most comes first, so that a day's limit starves nothing.
    async fn plan(
        &mut self,
        wanted: &Wanted,
        size: BarSize,
        round: &mut Round,
    ) -> Result<Vec<BarAsk>, Failure> {
        let now = self.clock.now();
        let delay = self.feed.delay(size);
        self.strangers.retain(|_, (again, _)| *again > now);
        let mut asked: Vec<(String, Target, String)> = Vec::new();
        for (name, target) in &wanted.targets {
            if let Some((_, said)) = self.strangers.get(&(name.clone(), size)) {
                round.unknown.insert(name.clone(), said.clone());
                continue;
            }
            match self.feed.spell(&target.symbol, target.market, size) {
                Some(spelled) => asked.push((name.clone(), target.clone(), spelled)),
                None => {
                    let text = format!("this feed has no {} of it", described(size));
                    self.rota.stranger(self.place, name, size, true);
                    round.unknown.insert(name.clone(), text);
                }
            }
        }
        let cursors = self.cursors(&asked, size).await?;
        // By market, and by the day from which on is asked, so that one long gap does not make all of them long.
        let mut groups: BTreeMap<(Market, Timestamp, Day), Vec<(Timestamp, String)>> = BTreeMap::new();
        for ((name, target, spelled), read) in asked.into_iter().zip(cursors) {
            let settled = due::settled(target.market, size, now, delay);
            let Some((after, until)) = due::window(read, settled, target.market, self.depth()) else {
                continue;
            };
            let is_fresh = self.answered.get(&(name, size)).is_some_and(|answered| {
                now < answered.fresh_until && answered.after <= after && until <= answered.until
            });
            if !is_fresh {
                let day = after.day_in(Zone::NEW_YORK);
                groups.entry((target.market, until, day)).or_default().push((after, spelled));
            }
        }
        let mut asks = Vec::new();
        for ((market, until, _), symbols) in groups {
            for part in symbols.chunks(self.feed.symbols_max()) {
                let after = part.iter().map(|(after, _)| *after).min().unwrap_or(until);
                let symbols = part.iter().map(|(_, symbol)| symbol.clone()).collect();
                asks.push(BarAsk { symbols, market, size, after, until });
            }
        }
        asks.sort_by_key(|ask| ask.after);
        Ok(asks)
    }

    /// Up to where each was read.
    async fn cursors(
        &self,
        asked: &[(String, Target, String)],
        size: BarSize,
    ) -> Result<Vec<Option<Timestamp>>, Failure> {
        let names: Vec<Option<String>> = asked
            .iter()
            .map(|(_, target, _)| target.subject.map(|subject| cursor_name(&self.scribe.feed, subject, size)))
            .collect();
        let texts = self.read_cursors(names).await?;
        Ok(texts.into_iter().map(|text| text.and_then(|text| Timestamp::parse(&text).ok())).collect())
    }

    /// What cursors say, those that had nothing to move with so far among them.
    async fn read_cursors(&self, names: Vec<Option<String>>) -> Result<Vec<Option<String>>, Failure> {
        let (journal, pending) = (self.scribe.journal.clone(), self.pending.clone());
        blocking(move || {
            let read = |name: Option<String>| {
                let Some(name) = name else { return Ok(None) };
                if let Some(text) = pending.get(&name) {
                    return Ok(Some(text.clone()));
                }
                let bytes = journal.ledger().cursor(&name)?;
                Ok(bytes.and_then(|bytes| String::from_utf8(bytes.into()).ok()))
            };
            names.into_iter().map(read).collect()
        })
        .await
    }

    /// Asks one question to the end of its pages, and records each page while the next is on its way.
    async fn ask_bars(&mut self, wanted: &Wanted, mut ask: BarAsk, round: &mut Round) -> Result<(), Failure> {
        let mut targets = self.by_spelling(wanted, &ask);
        let (mut token, mut recording): (Option<String>, Option<JoinHandle<Result<Done, JournalError>>>) =
            (None, None);
        let mut last = BTreeMap::new();
        for _ in 0..PAGES_MAX {
            let page = loop {
                let feed = self.feed.clone();
                match self.patiently(|| feed.bars(&ask, token.as_deref())).await {
                    Ok(page) => break page,
                    Err(Trouble::Unknown { symbol, said }) => {
                        let Some(name) = targets.get(&symbol).map(|target| target.symbol.text.clone()) else {
                            return Err(Failure::Later(said, None));
                        };
                        self.is_stranger(&name, ask.size, said, round);
                        ask.symbols.retain(|asked| *asked != symbol);
                        if ask.symbols.is_empty() {
                            self.finish(recording.take(), &mut last, round).await?;
                            return Ok(());
                        }
                        targets = self.by_spelling(wanted, &ask);
                        // Pages are those of another question now.
                        token = None;
                    }
                    Err(Trouble::Failed(failure)) => {
                        self.finish(recording.take(), &mut last, round).await?;
                        return Err(failure);
                    }
                }
            };
            self.finish(recording.take(), &mut last, round).await?;
            let next = page.next.clone();
            let repeats = next.is_some() && next == token;
            let work = Work {
                page,
                size: ask.size,
                market: ask.market,
                after: ask.after,
                until: ask.until,
                targets: targets.clone(),
                last: last.clone(),
                whole: next.is_none(),
                cursors: self.pending.clone(),
            };
            let scribe = self.scribe.clone();
            recording = Some(tokio::task::spawn_blocking(move || scribe.page(work)));
            match next {
                None => {
                    self.finish(recording.take(), &mut last, round).await?;
                    self.note_answered(&ask, &targets, &last, round);
                    return Ok(());
                }
                Some(_) if repeats => {
                    self.finish(recording.take(), &mut last, round).await?;
                    return Err(Failure::Later(
                        "the feed names the same page as the next again".to_owned(),
                        None,
                    ));
                }
                Some(next) => token = Some(next),
            }
        }
        Err(Failure::Later("the answer has no end".to_owned(), None))
    }

    fn by_spelling(&self, wanted: &Wanted, ask: &BarAsk) -> Arc<BTreeMap<String, Target>> {
        let asked = wanted.targets.values().filter(|target| target.market == ask.market);
        Arc::new(
            asked
                .filter_map(|target| {
                    let spelled = self.feed.spell(&target.symbol, target.market, ask.size)?;
                    ask.symbols.contains(&spelled).then(|| (spelled, target.clone()))
                })
                .collect(),
        )
    }

    /// Waits for a page to be recorded, and takes over what became of it.
    async fn finish(
        &mut self,
        recording: Option<JoinHandle<Result<Done, JournalError>>>,
        last: &mut BTreeMap<String, Timestamp>,
        round: &mut Round,
    ) -> Result<(), Failure> {
        let Some(recording) = recording else { return Ok(()) };
        let done = recording
            .await
            .map_err(|error| Failure::Later(format!("internal error while recording: {error}"), None))??;
        round.take(&done);
        *last = done.last;
        self.pending = if done.moved { BTreeMap::new() } else { done.cursors };
        Ok(())
    }

    /// Remembers that a question was answered, and which of its symbols never had an answer.
    fn note_answered(
        &mut self,
        ask: &BarAsk,
        targets: &BTreeMap<String, Target>,
        last: &BTreeMap<String, Timestamp>,
        round: &mut Round,
    ) {
        let now = self.clock.now();
        let fresh_until = due::after(now, self.feed.freshness(ask.size));
        for (spelled, target) in targets {
            let name = &target.symbol.text;
            if !last.contains_key(spelled) && target.subject.is_none() {
                // Nobody listed it, and the feed has nothing of it.
                self.is_stranger(name, ask.size, "the feed has no prices of it".to_owned(), round);
                continue;
            }
            self.rota.stranger(self.place, name, ask.size, false);
            let late = ask.size == BarSize::Day
                && last.get(spelled).is_none_or(|last| *last < ask.until)
                && now <= due::after(ask.until, LATE_MAX);
            let answered = Answered { after: ask.after, until: ask.until, fresh_until, late };
            self.answered.insert((name.clone(), ask.size), answered);
        }
    }

    fn is_stranger(&mut self, name: &str, size: BarSize, said: String, round: &mut Round) {
        let again = due::after(self.clock.now(), STRANGER_AGAIN);
        tracing::info!(feed = %self.config.name, symbol = name, "not known to the feed: {said}");
        self.rota.stranger(self.place, name, size, true);
        round.unknown.insert(name.to_owned(), said.clone());
        self.strangers.insert((name.to_owned(), size), (again, said));
    }

    /// Corporate actions around today, once a day; of a symbol that is new, as far back as its bars.
    async fn ask_actions(&mut self, wanted: &Wanted, round: &mut Round) -> Result<(), Failure> {
        let today = self.clock.now().day_in(Zone::NEW_YORK);
        let depth = i32::try_from(self.config.backfill_days).unwrap_or(i32::MAX);
        let of_new = today.plus_days(-depth.max(ACTION_DAYS));
        let stocks: Vec<(String, Target)> = wanted
            .targets
            .values()
            .filter(|target| target.market == Market::Stocks)
            .filter(|target| !self.strangers.contains_key(&(target.symbol.text.clone(), BarSize::Day)))
            .filter_map(|target| {
                let spelled = self.feed.spell(&target.symbol, target.market, BarSize::Day)?;
                Some((spelled, target.clone()))
            })
            .collect();
        let name = |target: &Target| format!("prices:{}:actions:{}", self.config.name, target.symbol.text);
        let names = stocks.iter().map(|(_, target)| Some(name(target))).collect();
        let asked = self.read_cursors(names).await?;
        let mut groups: BTreeMap<Day, Vec<(String, Target)>> = BTreeMap::new();
        for (stock, asked) in stocks.into_iter().zip(asked) {
            let asked = asked.and_then(|text| Day::parse(&text).ok());
            if asked.is_none_or(|asked| asked < today) {
                let first = asked.map_or(of_new, |asked| asked.plus_days(-ACTION_DAYS));
                groups.entry(first).or_default().push(stock);
            }
        }
        for (first, stocks) in groups {
            for part in stocks.chunks(self.feed.symbols_max()) {
                self.ask_actions_of(part, first, today, round).await?;
            }
        }
        Ok(())
    }

    async fn ask_actions_of(
        &mut self,
        stocks: &[(String, Target)],
        first: Day,
        today: Day,
        round: &mut Round,
    ) -> Result<(), Failure> {
        let symbols: Vec<String> = stocks.iter().map(|(spelled, _)| spelled.clone()).collect();
        let targets: Arc<BTreeMap<String, Target>> = Arc::new(stocks.iter().cloned().collect());
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let feed = self.feed.clone();
            let asked = self
                .patiently(|| feed.actions(&symbols, first, today.plus_days(ACTION_DAYS), token.as_deref()));
            let page = match asked.await {
                Ok(page) => page,
                // Bars name the symbol too, and are asked without it then.
                Err(Trouble::Unknown { .. }) => return Ok(()),
                Err(Trouble::Failed(failure)) => return Err(failure),
            };
            let next = page.next.clone().filter(|next| Some(next) != token.as_ref());
            self.record_actions(page, &targets, round).await?;
            match next {
                Some(next) => token = Some(next),
                None => break,
            }
        }
        for (_, target) in stocks {
            let name = format!("prices:{}:actions:{}", self.config.name, target.symbol.text);
            self.pending.insert(name, today.to_string());
        }
        Ok(())
    }

    async fn record_actions(
        &mut self,
        page: Page,
        targets: &Arc<BTreeMap<String, Target>>,
        round: &mut Round,
    ) -> Result<(), Failure> {
        let work = Work {
            page,
            size: BarSize::Day,
            market: Market::Stocks,
            after: Timestamp::from_nanos(i64::MIN),
            until: Timestamp::from_nanos(i64::MIN),
            targets: targets.clone(),
            last: BTreeMap::new(),
            whole: false,
            cursors: self.pending.clone(),
        };
        let scribe = self.scribe.clone();
        let recording = tokio::task::spawn_blocking(move || scribe.page(work));
        self.finish(Some(recording), &mut BTreeMap::new(), round).await
    }

    /// Prices as of now, while there is a market, of feeds that are asked several times a day.
    async fn ask_latest(&mut self, wanted: &Wanted, round: &mut Round) -> Result<(), Failure> {
        let now = self.clock.now();
        if self.config.cadence == Cadence::Daily || !self.feed.has_latest() {
            return Ok(());
        }
        for market in [Market::Stocks, Market::Crypto, Market::Rates] {
            if market == Market::Stocks && !calendar::is_open(now) {
                continue;
            }
            let targets: BTreeMap<String, Target> = wanted
                .targets
                .iter()
                .filter(|(name, target)| {
                    let strange = |size: &BarSize| self.strangers.contains_key(&((*name).clone(), *size));
                    target.market == market && !self.config.bars.iter().any(strange)
                })
                .filter_map(|(_, target)| {
                    let spelled = self.feed.spell(&target.symbol, market, BarSize::Day)?;
                    Some((spelled, target.clone()))
                })
                .collect();
            let symbols: Vec<String> = targets.keys().cloned().collect();
            for part in symbols.chunks(self.feed.symbols_max()) {
                let feed = self.feed.clone();
                let latest = match self.patiently(|| feed.latest(part, market)).await {
                    Ok(latest) => latest,
                    Err(Trouble::Unknown { .. }) => continue,
                    // Whoever has the bars has what was asked for; the price of now is asked for again soon.
                    Err(Trouble::Failed(Failure::Later(text, None))) => {
                        round.failed.push(format!("no price of now: {text}"));
                        break;
                    }
                    Err(Trouble::Failed(failure)) => return Err(failure),
                };
                let (scribe, targets) = (self.scribe.clone(), targets.clone());
                let cursors = self.pending.clone();
                let recording =
                    tokio::task::spawn_blocking(move || scribe.latest(&latest, market, &targets, cursors));
                self.finish(Some(recording), &mut BTreeMap::new(), round).await?;
            }
        }
        Ok(())
    }

    /// Asks as the feed allows, and again where that may help.
    async fn patiently<T, F>(&mut self, mut ask: impl FnMut() -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, FeedError>>,
    {
        let mut waits = Backoff::new(
            Duration::from_secs(1),
            Duration::from_secs(30),
            u64::from(self.config.requests_per_minute),
        );
        loop {
            self.permit().await?;
            let error = tokio::select! {
                answer = ask() => match answer {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                },
                _ = self.stop.changed() => return Err(stopped()),
            };
            let wait = match error {
                FeedError::UnknownSymbol { symbol, said } => return Err(Trouble::Unknown { symbol, said }),
                FeedError::Refused(text) => return Err(Trouble::Failed(Failure::Halt(text))),
                FeedError::RateLimited { retry_after, .. } => {
                    let backoff = waits.fail();
                    let wait = retry_after.unwrap_or(Duration::from_secs(20)).max(backoff);
                    if wait > WAIT_MAX || waits.failures() > ATTEMPTS {
                        return Err(Trouble::Failed(Failure::Later(error.to_string(), Some(wait))));
                    }
                    wait
                }
                FeedError::Unavailable(text) | FeedError::Nonsense(text) => {
                    let wait = waits.fail();
                    if waits.failures() >= ATTEMPTS {
                        return Err(Trouble::Failed(Failure::Later(text, None)));
                    }
                    wait
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = self.stop.changed() => return Err(stopped()),
            }
        }
    }

    /// Waits until the feed may be asked once more.
    async fn permit(&mut self) -> Result<(), Trouble> {
        if *self.stop.borrow() {
            return Err(stopped());
        }
        if let Some(quota) = &mut self.quota {
            let now = self.clock.now();
            let today = now.day_in(Zone::UTC);
            if quota.day != today {
                *quota = DayQuota { day: today, used: 0, ..*quota };
            }
            if quota.used >= quota.most {
                let again = today.plus_days(1).start_in(Zone::UTC);
                let wait = u64::try_from(again.nanos().saturating_sub(now.nanos())).unwrap_or(0);
                let text =
                    format!("the {} requests of this day are used up: it goes on at {again}", quota.most);
                return Err(Trouble::Failed(Failure::Later(text, Some(Duration::from_nanos(wait)))));
            }
            quota.used += 1;
        }
        tokio::select! {
            () = tokio::time::sleep_until(self.bucket.ready_at(0)) => {}
            _ = self.stop.changed() => return Err(stopped()),
        }
        self.bucket.take();
        Ok(())
    }
}

/// Why a question has no answer.
enum Trouble {
    Unknown { symbol: String, said: String },
    Failed(Failure),
}

fn stopped() -> Trouble {
    Trouble::Failed(Failure::Later("it was told to stop".to_owned(), None))
}

fn described(size: BarSize) -> &'static str {
    match size {
        BarSize::Day => "daily bars",
        BarSize::Hour => "hourly bars",
        BarSize::Minute => "minute bars",
    }
}

/// Does what blocks on a thread for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::Later(format!("internal error: {error}"), None))?
        .map_err(Failure::from)
}
