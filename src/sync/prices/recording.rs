//! From what a feed says to what is recorded: bars as traded, each under one identity, and how far the feed was read.

use super::due;
use super::feed::{Action, Aside, FeedBar, Latest, LatestOf, Market, Moment, Page, Series};
use super::symbols::{Subject, Target};
use crate::config::BarSize;
use crate::importers::identity;
use crate::importers::prices::{Factor, priced};
use crate::importers::{Draft, Role};
use crate::journal::{Author, FeedBatch, FeedRow, Journal, JournalError, Statement, now};
use daybook_ledger::CursorMove;
use daybook_schemas::decimal::ArithmeticError;
use daybook_schemas::events::{
    BarClosed, ContentHash, CorporateActionAnnounced, CorporateActionKind, Event, FxRateObserved,
    IdentifierScheme, PriceTick, QuarantineReason, RawRow, RecordQuarantined, TickKind,
};
use daybook_schemas::{
    Currency, Day, ExternalId, FxRate, KeyId, Money, PortfolioId, Price, Quantity, Ratio, Sealed, Timestamp,
    Zone, stream,
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was newly recorded of one symbol.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    /// Bars, ticks and rates.
    pub(crate) prices: u64,
    /// Of all these, those that restate an earlier one.
    pub(crate) restated: u64,
    /// Corporate actions.
    pub(crate) actions: u64,
    /// Statements kept aside.
    pub(crate) quarantined: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.prices += other.prices;
        self.restated += other.restated;
        self.actions += other.actions;
        self.quarantined += other.quarantined;
    }
}

/// A page with what it was asked for.
pub(super) struct Work {
    pub(super) page: Page,
    pub(super) size: BarSize,
    pub(super) market: Market,
    /// Of bars and actions up to then nothing was asked.
    pub(super) after: Timestamp,
    /// No bar that closes later is settled.
    pub(super) until: Timestamp,
    /// What was asked for, by the feed's symbols.
    pub(super) targets: Arc<BTreeMap<String, Target>>,
    /// The close of the last bar of each symbol on earlier pages.
    pub(super) last: BTreeMap<String, Timestamp>,
    /// Whether no further page follows.
    pub(super) whole: bool,
    /// Where cursors stand that had nothing to move with so far.
    pub(super) cursors: BTreeMap<String, String>,
}

/// What became of a page.
#[derive(Default)]
pub(super) struct Done {
    /// What is new, by the symbol as it is known here.
    pub(super) tallies: BTreeMap<String, Tally>,
    /// The close of the last bar of each symbol, by the feed's symbols.
    pub(super) last: BTreeMap<String, Timestamp>,
    /// Where cursors stand now.
    pub(super) cursors: BTreeMap<String, String>,
    /// Whether they are recorded: they are only with something new.
    pub(super) moved: bool,
    /// All that is new, instruments that were listed among it.
    pub(super) appended: u64,
}

/// Writes down what one feed says.
#[derive(Clone)]
pub(super) struct Scribe {
    pub(super) journal: Arc<Journal>,
    pub(super) feed: Arc<str>,
}

/// Who records what feeds say.
pub(super) fn author() -> Author {
    Author { actor: "sync".into(), source: "prices".into(), correlation: None, reaches_all: true }
}

/// The cursor of a feed for one subject and size.
pub(super) fn cursor_name(feed: &str, subject: Subject, size: BarSize) -> String {
    format!("prices:{feed}:{subject}:{}", due::code(size))
}

/// The key that seals what feeds said and nobody understood; it is about nobody.
fn key_of_feeds() -> KeyId {
    KeyId::Portfolio(PortfolioId::derive(&[b"feeds of prices"]))
}

impl Scribe {
    /// Records a page of bars or of corporate actions.
    pub(super) fn page(&self, work: Work) -> Result<Done, JournalError> {
        let mut batch = FeedBatch::default();
        let mut names: Vec<String> = Vec::new();
        let mut done = Done { last: work.last, cursors: work.cursors, ..Done::default() };
        let mut subjects: BTreeMap<String, Subject> = BTreeMap::new();
        for series in work.page.series {
            let target = work.targets.get(&series.symbol);
            let name = target.map_or_else(|| series.symbol.clone(), |target| target.symbol.text.clone());
            let says_something = !series.bars.is_empty() || !series.actions.is_empty();
            let subject = match target {
                Some(target) if says_something => match self.subject(target, series.currency, &mut batch)? {
                    Ok(subject) => Some(subject),
                    Err(text) => {
                        tracing::warn!(feed = %self.feed, symbol = %name, "not recorded: {text}");
                        continue;
                    }
                },
                Some(target) => target.subject,
                None => None,
            };
            let mut scratch =
                Rows { scribe: self, subject, size: work.size, market: work.market, rows: Vec::new() };
            if let Some(subject) = subject {
                let last = scratch.series(&series, subject, work.after, work.until)?;
                if let Some(last) = last {
                    let known = done.last.entry(series.symbol.clone()).or_insert(last);
                    *known = (*known).max(last);
                }
                subjects.insert(series.symbol.clone(), subject);
            }
            for aside in series.asides {
                let closes = aside.moment.map(|moment| due::closes(moment, work.size, work.market));
                if closes.is_none_or(|closes| work.after < closes && closes <= work.until) {
                    scratch.aside(&aside)?;
                }
            }
            names.extend(std::iter::repeat_n(name, scratch.rows.len()));
            batch.rows.append(&mut scratch.rows);
        }
        if work.whole {
            for (symbol, target) in work.targets.iter() {
                let Some(subject) = subjects.get(symbol).copied().or(target.subject) else { continue };
                let last = done.last.get(symbol).copied();
                if let Some(read) = due::read_until(last, work.until, work.size) {
                    done.cursors.insert(cursor_name(&self.feed, subject, work.size), read.to_string());
                }
            }
        } else {
            for (symbol, subject) in &subjects {
                if let Some(last) = done.last.get(symbol) {
                    done.cursors.insert(cursor_name(&self.feed, *subject, work.size), last.to_string());
                }
            }
        }
        self.commit(batch, &names, &mut done)?;
        Ok(done)
    }

    /// Records prices as of now.
    pub(super) fn latest(
        &self,
        latest: &[LatestOf],
        market: Market,
        targets: &BTreeMap<String, Target>,
        cursors: BTreeMap<String, String>,
    ) -> Result<Done, JournalError> {
        let mut batch = FeedBatch::default();
        let mut names = Vec::new();
        for one in latest {
            let Some(target) = targets.get(&one.symbol) else { continue };
            let subject = match self.subject(target, one.currency, &mut batch)? {
                Ok(subject) => subject,
                Err(text) => {
                    tracing::warn!(feed = %self.feed, symbol = %target.symbol.text, "not recorded: {text}");
                    continue;
                }
            };
            let size = BarSize::Minute;
            let mut rows = Rows { scribe: self, subject: Some(subject), size, market, rows: Vec::new() };
            match &one.latest {
                Latest::Bar(bar) => rows.bar(bar, subject, one.currency, Factor::ONE),
                Latest::Price { price, at } => rows.tick(*price, *at, subject, one.currency),
            }
            names.extend(std::iter::repeat_n(target.symbol.text.clone(), rows.rows.len()));
            batch.rows.append(&mut rows.rows);
        }
        let mut done = Done { cursors, ..Done::default() };
        self.commit(batch, &names, &mut done)?;
        Ok(done)
    }

    fn commit(&self, mut batch: FeedBatch, names: &[String], done: &mut Done) -> Result<(), JournalError> {
        batch.cursors = done
            .cursors
            .iter()
            .map(|(source, to)| CursorMove { source: source.as_str().into(), to: to.as_bytes().into() })
            .collect();
        let report = self.journal.record_batch(&author(), &batch)?;
        for ((row, name), revision) in batch.rows.iter().zip(names).zip(&report.revisions) {
            let tally = done.tallies.entry(name.clone()).or_default();
            let Some(revision) = revision else { continue };
            tally.restated += u64::from(*revision > 0);
            match &row.statement {
                Statement::Aside(_) => tally.quarantined += 1,
                Statement::Event(Draft { event: Event::CorporateActionAnnounced(_), .. }) => {
                    tally.actions += 1;
                }
                _ => tally.prices += 1,
            }
        }
        done.appended = report.appended();
        done.moved = done.appended > 0;
        Ok(())
    }

    /// What a target is; one that nobody listed yet is listed, now that a feed prices it.
    fn subject(
        &self,
        target: &Target,
        currency: Option<Currency>,
        batch: &mut FeedBatch,
    ) -> Result<Result<Subject, String>, JournalError> {
        if let Some(subject) = target.subject {
            return Ok(Ok(subject));
        }
        let context = self.journal.import_context()?;
        let today = now().day_in(Zone::NEW_YORK);
        Ok(priced(&context, &target.symbol, currency, today).map(|priced| {
            batch.references.extend(priced.references);
            Subject::Instrument(priced.id, priced.facts.currency)
        }))
    }

    /// Seals what nobody understood.
    fn sealed<T: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        value: &T,
    ) -> Result<Sealed<T>, JournalError> {
        let key = key_of_feeds();
        if !self.journal.keys().contains(key) {
            let mut bytes = [0; 64];
            getrandom::fill(&mut bytes).map_err(|error| JournalError::Internal(error.to_string()))?;
            self.journal.add_keys(&[(key, bytes)])?;
        }
        Sealed::seal(&self.journal.keys(), key, value)
            .map_err(|error| JournalError::Internal(error.to_string()))
    }
}

/// The rows of one symbol while they are made.
struct Rows<'s> {
    scribe: &'s Scribe,
    subject: Option<Subject>,
    size: BarSize,
    market: Market,
    rows: Vec<FeedRow>,
}

impl Rows<'_> {
    /// Makes rows of a series; gives the close of its last bar that is settled.
    fn series(
        &mut self,
        series: &Series,
        subject: Subject,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Timestamp>, JournalError> {
        let splits: Vec<&Action> = series
            .actions
            .iter()
            .filter(|action| series.adjusted && action.kind == CorporateActionKind::Split)
            .collect();
        // By what prices of a day are multiplied to be as traded.
        let factor = |day: Day| {
            splits
                .iter()
                .filter(|split| split.effective > day)
                .filter_map(|split| split.ratio)
                .try_fold(Factor::ONE, Factor::times)
        };
        let mut bars: Vec<&FeedBar> = series.bars.iter().collect();
        bars.sort_by_key(|bar| bar.moment);
        let mut last = None;
        for (index, bar) in bars.iter().enumerate() {
            let closes = due::closes(bar.moment, self.size, self.market);
            // Of two statements of one bar the later one is meant.
            if closes > until || bars.get(index + 1).is_some_and(|next| next.moment == bar.moment) {
                continue;
            }
            last = Some(closes);
            let day = match bar.moment {
                Moment::Day(day) | Moment::DayUntil(day, _) => day,
                Moment::From(opens) => opens.day_in(Zone::NEW_YORK),
            };
            let undone = match factor(day) {
                Ok(factor) if factor == Factor::ONE => Ok((factor, None)),
                Ok(factor) => {
                    // What was recorded before the split is as traded; what comes back is rounded.
                    let key = format!("{}#0", self.identity(bar.moment));
                    if self.scribe.journal.ledger().find_key(&key)?.is_some() {
                        continue;
                    }
                    undo(bar, factor).map(|bar| (factor, Some(bar)))
                }
                Err(error) => Err(error),
            };
            match undone {
                Ok((factor, undone)) => {
                    self.bar(undone.as_ref().unwrap_or(bar), subject, series.currency, factor);
                }
                Err(error) => self.aside(&Aside {
                    moment: Some(bar.moment),
                    reason: QuarantineReason::BadField,
                    detail: format!("undoing the adjustment for splits: {error}"),
                    raw: format!("{bar:?}"),
                })?,
            }
        }
        if let Subject::Instrument(..) = subject {
            let first = after.day_in(Zone::NEW_YORK);
            for action in series.actions.iter().filter(|action| action.effective >= first) {
                let cash = match (action.cash, factor(action.effective)) {
                    (Some(cash), Ok(factor)) => factor.apply(cash).map(Some),
                    (None, _) => Ok(None),
                    (_, Err(error)) => Err(error),
                };
                match cash {
                    Ok(cash) => self.action(action, cash, subject, series.currency)?,
                    Err(error) => self.aside(&Aside {
                        moment: None,
                        reason: QuarantineReason::BadField,
                        detail: format!("undoing the adjustment for splits: {error}"),
                        raw: format!("{action:?}"),
                    })?,
                }
            }
        }
        Ok(last)
    }

    fn identity(&self, moment: Moment) -> String {
        let subject = self.subject.map_or_else(|| "-".to_owned(), |subject| subject.to_string());
        let feed = &self.scribe.feed;
        match moment {
            Moment::Day(day) | Moment::DayUntil(day, _) => format!("prices:{feed}:{subject}:{day}"),
            Moment::From(opens) => format!("prices:{feed}:{subject}:{}:{opens}", due::code(self.size)),
        }
    }

    fn push(&mut self, identity: String, content_hash: [u8; 32], statement: Statement) {
        self.rows.push(FeedRow { identity, aliases: Vec::new(), content_hash, statement });
    }

    fn price(
        &mut self,
        event: impl Into<Event>,
        stream: String,
        at: Timestamp,
        identity: String,
        content: [u8; 32],
    ) {
        let draft = Draft {
            event: event.into(),
            stream,
            occurred_at: at,
            identity: None,
            content_hash: content,
            line: 0,
            role: Role::Price,
        };
        self.push(identity, content, Statement::Event(draft));
    }

    fn bar(&mut self, bar: &FeedBar, subject: Subject, currency: Option<Currency>, factor: Factor) {
        let identity = self.identity(bar.moment);
        let closes = due::closes(bar.moment, self.size, self.market);
        let (opens, day) = match bar.moment {
            Moment::Day(day) | Moment::DayUntil(day, _) => (None, Some(day)),
            Moment::From(opens) => (Some(opens), None),
        };
        let feed = self.scribe.feed.clone();
        match subject {
            Subject::Pair(base, quote) => {
                let event = FxRateObserved { base, quote, rate: FxRate::new(bar.close), day, revision: 0 };
                let content = identity::content([("rate", event.rate.to_string().as_str())].into_iter());
                self.price(event, stream::pair(&feed, base, quote), closes, identity, content);
            }
            Subject::Instrument(instrument, listed) => {
                let event = BarClosed {
                    instrument,
                    opens,
                    closes,
                    day,
                    open: bar.open.map(Price::new),
                    high: bar.high.map(Price::new),
                    low: bar.low.map(Price::new),
                    close: Price::new(bar.close),
                    volume: bar.volume.map(Quantity::new),
                    average: bar.average.map(Price::new),
                    trades: bar.trades,
                    currency: currency.unwrap_or(listed),
                    revision: 0,
                    unadjusted_by: factor.ratio(),
                };
                let content = content(&event);
                self.price(event, stream::market(&feed, instrument), closes, identity, content);
            }
        }
    }

    fn tick(&mut self, price: Decimal, at: Timestamp, subject: Subject, currency: Option<Currency>) {
        let feed = self.scribe.feed.clone();
        let identity = format!("prices:{feed}:{subject}:tick:{at}");
        let content = identity::content([("price", Price::new(price).to_string().as_str())].into_iter());
        match subject {
            Subject::Pair(base, quote) => {
                let event = FxRateObserved { base, quote, rate: FxRate::new(price), day: None, revision: 0 };
                self.price(event, stream::pair(&feed, base, quote), at, identity, content);
            }
            Subject::Instrument(instrument, listed) => {
                let event = PriceTick {
                    instrument,
                    price: Price::new(price),
                    currency: currency.unwrap_or(listed),
                    size: None,
                    kind: TickKind::Trade,
                };
                self.price(event, stream::market(&feed, instrument), at, identity, content);
            }
        }
    }

    /// Announces a corporate action, with its cash as traded. It moves no position.
    fn action(
        &mut self,
        action: &Action,
        cash: Option<Decimal>,
        subject: Subject,
        currency: Option<Currency>,
    ) -> Result<(), JournalError> {
        let Subject::Instrument(instrument, listed) = subject else { return Ok(()) };
        let day = action.effective;
        let other = match &action.other {
            Some(symbol) => {
                let library = self.scribe.journal.library()?;
                let scheme = IdentifierScheme::Symbol;
                match library.instruments.resolve(&scheme, symbol, Some(day), None, None) {
                    daybook_projections::Resolution::One(id) => Some(id),
                    _ => None,
                }
            }
            None => None,
        };
        let event = CorporateActionAnnounced {
            instrument,
            kind: action.kind.clone(),
            effective: day,
            ratio: action.ratio,
            cash: cash.map(|cash| Money::new(cash, currency.unwrap_or(listed))),
            other,
            basis_share: None,
            declared: action.declared,
            record_date: action.record_date,
            pays: action.pays,
            external_id: action.id.as_deref().map(ExternalId::new),
            revision: 0,
        };
        let feed = self.scribe.feed.clone();
        let identity = match &action.id {
            Some(id) => format!("prices:{feed}:{subject}:action:{}", identity::of_id(id)),
            None => format!("prices:{feed}:{subject}:{day}:{}", action.kind),
        };
        let text = |value: Option<String>| value.unwrap_or_default();
        let day_text = |day: Option<Day>| text(day.map(|day| day.to_string()));
        let columns = [
            ("kind", event.kind.to_string()),
            ("effective", day.to_string()),
            ("ratio", text(event.ratio.map(|ratio| ratio.to_string()))),
            ("cash", text(event.cash.map(|cash| cash.to_string()))),
            ("other", text(action.other.clone())),
            ("declared", day_text(event.declared)),
            ("record_date", day_text(event.record_date)),
            ("pays", day_text(event.pays)),
        ];
        let content = identity::content(columns.iter().map(|(name, text)| (*name, text.as_str())));
        // It was announced before it takes effect: when, only some feeds say.
        let announced = action.declared.unwrap_or(day).start_in(Zone::NEW_YORK).min(now());
        self.price(event, stream::market(&feed, instrument), announced, identity, content);
        Ok(())
    }

    /// Keeps a statement aside.
    fn aside(&mut self, aside: &Aside) -> Result<(), JournalError> {
        let content = ContentHash::of(aside.raw.as_bytes());
        let identity = match aside.moment {
            Some(moment) if self.subject.is_some() => self.identity(moment),
            _ => format!("prices:{}:aside:{content}", self.scribe.feed),
        };
        let day = match aside.moment {
            Some(Moment::Day(day) | Moment::DayUntil(day, _)) => Some(day),
            Some(Moment::From(opens)) => Some(opens.day_in(Zone::NEW_YORK)),
            None => None,
        };
        let event = RecordQuarantined {
            format: (&*self.scribe.feed).into(),
            portfolio: None,
            account: None,
            line: None,
            column: None,
            reason: aside.reason.clone(),
            detail: self.scribe.sealed(&aside.detail)?,
            day,
            raw: self.scribe.sealed(&RawRow::keep(&aside.raw))?,
        };
        let draft = Draft {
            event: event.into(),
            stream: format!("sync-{}", self.scribe.feed),
            occurred_at: now(),
            identity: None,
            content_hash: content.0,
            line: 0,
            role: Role::Quarantine,
        };
        self.push(identity, content.0, Statement::Aside(draft));
        Ok(())
    }
}

/// A bar before the splits after it.
fn undo(bar: &FeedBar, factor: Factor) -> Result<FeedBar, ArithmeticError> {
    let price = |price: Option<Decimal>| price.map(|price| factor.apply(price)).transpose();
    Ok(FeedBar {
        moment: bar.moment,
        open: price(bar.open)?,
        high: price(bar.high)?,
        low: price(bar.low)?,
        close: factor.apply(bar.close)?,
        volume: bar.volume.map(|volume| factor.undo(volume)).transpose()?,
        average: price(bar.average)?,
        trades: bar.trades,
    })
}

/// The hash of what a bar says, by which it is told from a restated one.
fn content(bar: &BarClosed) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut number = |value: Option<Decimal>| match value {
        // Prices and quantities have one form for each value.
        Some(value) => {
            hasher.update(&[1]);
            hasher.update(&value.mantissa().to_le_bytes());
            hasher.update(&value.scale().to_le_bytes());
        }
        None => {
            hasher.update(&[0]);
        }
    };
    for price in [bar.open, bar.high, bar.low, Some(bar.close), bar.average] {
        number(price.map(Price::get));
    }
    number(bar.volume.map(Quantity::get));
    number(bar.trades.map(Decimal::from));
    number(bar.unadjusted_by.map(Ratio::numerator));
    number(bar.unadjusted_by.map(Ratio::denominator));
    hasher.update(bar.currency.as_str().as_bytes());
    *hasher.finalize().as_bytes()
}
