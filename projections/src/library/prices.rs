//! What instruments and currencies were worth when, as far as was recorded by when.
//!
//! Closes of daily bars stay resident, 64 bytes each. Of ticks and of bars within a day, at least the latest
//! [`TICKS_RECENT_MAX`] of an instrument stay; of older ones the last of each feed and quarter of an hour. Every time
//! zone's midnight falls on a quarter of an hour, so that values at the ends of days and the latest values are always
//! exact; a question that falls inside a thinned quarter is answered with [`NeedsDisk`], never with a wrong price.

use crate::view::Meta;
use daybook_schemas::decimal::{self, ArithmeticError};
use daybook_schemas::events::{CorporateActionAnnounced, CorporateActionKind, TickKind};
use daybook_schemas::{Currency, Day, Event, ImportId, InstrumentId, Money, Ratio, Timestamp, stream};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// At least so many of an instrument's latest ticks stay resident; at most twice as many.
pub const TICKS_RECENT_MAX: usize = 10_000;

/// Places after the point of a rate that had to be inverted or crossed.
const RATE_SCALE: u32 = 16;
/// How far apart two statements of one daily bar may say that it closed.
const NEAR_NANOS: i64 = 4 * 86_400_000_000_000;
/// Feeds may date one split so many days apart.
const SAME_SPLIT_DAYS: u32 = 7;
/// Feeds may date one dividend so many days apart; some are paid every week.
const SAME_DIVIDEND_DAYS: u32 = 4;
const QUARTER_NANOS: i64 = 15 * 60 * 1_000_000_000;

/// Where an observation comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ObservationKind {
    /// The close of a daily bar.
    DailyBar,
    /// The close of a bar within a day.
    Bar,
    /// A tick.
    Tick,
}

/// A price that was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observation {
    /// The price of one unit, as traded.
    pub price: Decimal,
    /// Its currency.
    pub currency: Currency,
    /// When it was seen.
    pub occurred_at: Timestamp,
    /// The sequence of the event.
    pub sequence: u64,
    /// The feed that saw it.
    pub feed: Box<str>,
    /// Where it comes from.
    pub kind: ObservationKind,
    /// The trading day whose close it is; absent for what is not the close of a daily bar.
    pub day: Option<Day>,
}

/// The answer lies among ticks that are no longer resident: the caller finds it in the log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the price lies among ticks that are on disk only, in sequences {from_sequence} to {to_sequence}")]
pub struct NeedsDisk {
    /// The stream to read.
    pub stream: String,
    /// The first sequence that may hold it.
    pub from_sequence: u64,
    /// The last sequence that may hold it.
    pub to_sequence: u64,
}

/// Whoever can say what an instrument was worth.
pub trait PriceSource {
    /// The latest price that had occurred at `at`, among those that count of what is recorded up to `known`.
    ///
    /// # Errors
    /// [`NeedsDisk`] when only the log can tell.
    fn latest(
        &self,
        instrument: InstrumentId,
        at: Timestamp,
        known: u64,
    ) -> Result<Option<Observation>, NeedsDisk>;

    /// The splits of an instrument that were announced, of what is recorded up to `known`, by effective day.
    fn announced_splits(&self, instrument: InstrumentId, known: u64) -> Vec<AnnouncedSplit>;
}

/// A split that was announced.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AnnouncedSplit {
    /// The first day on which prices are after it.
    pub effective: Day,
    /// New units for old ones.
    pub ratio: Ratio,
    /// The sequence of the announcement.
    pub sequence: u64,
}

/// A dividend in cash that was announced.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AnnouncedDividend {
    /// The first day on which a buyer does not receive it.
    pub effective: Day,
    /// When it is paid, where that was said.
    pub pays: Option<Day>,
    /// Cash for one unit.
    pub cash: Money,
    /// The sequence of the announcement.
    pub sequence: u64,
}

/// How a rate of exchange was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RatePath {
    /// It was observed.
    Direct,
    /// The pair was observed the other way round.
    Inverse,
    /// Through a third currency.
    Cross(Currency),
}

/// A rate of exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Units of the quote currency for one unit of the base.
    pub rate: Decimal,
    /// When the older of its observations was made.
    pub occurred_at: Timestamp,
    /// How it was found.
    pub path: RatePath,
}

/// A daily close for a listing of prices; the rest of the bar is in the log under its sequence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bar {
    /// The trading day.
    pub day: Day,
    /// The last price.
    pub close: Decimal,
    /// Its currency.
    pub currency: Currency,
    /// When the bar closed.
    pub occurred_at: Timestamp,
    /// The sequence of the event.
    pub sequence: u64,
    /// The feed.
    pub feed: Box<str>,
    /// 0 for the first statement, then one more for each restatement.
    pub revision: u32,
}

/// An index into a list of names.
type Index = u32;

/// One observation as it is kept. `day` is the lowest number for a tick and the one above it for a bar within a day, `import` is 0 for none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Seen {
    at: i64,
    sequence: u64,
    /// The first statement's sequence: between feeds that speak of one moment, it says which of them counts, so
    /// that a restatement takes its own feed's place and no other.
    stated_first: u64,
    #[serde(with = "crate::exact")]
    price: Decimal,
    day: i32,
    revision: u32,
    import: u32,
    feed: Index,
    currency: Index,
}

/// In place of a day: a tick, and a bar within a day.
const NO_DAY: i32 = i32::MIN;
const WITHIN_DAY: i32 = i32::MIN + 1;

impl Seen {
    /// Whether it states a whole day.
    fn is_daily(&self) -> bool {
        self.day > WITHIN_DAY
    }

    fn kind(&self) -> ObservationKind {
        match self.day {
            NO_DAY => ObservationKind::Tick,
            WITHIN_DAY => ObservationKind::Bar,
            _ => ObservationKind::DailyBar,
        }
    }

    fn place(&self) -> (i64, u64, u32, u64) {
        (self.at, self.stated_first, self.revision, self.sequence)
    }
}

/// The last tick of a feed in a quarter of an hour, and what was dropped beside it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Thinned {
    seen: Seen,
    dropped: u32,
    sequence_min: u64,
    sequence_max: u64,
}

/// All that is kept of one instrument or one pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Track {
    /// Daily bars by place.
    daily: Vec<Seen>,
    /// Ticks and bars within a day, by place.
    recent: Vec<Seen>,
    /// Older ones, by place of what was kept.
    thinned: Vec<Thinned>,
    last_sequence: u64,
}

fn insert_by_place(list: &mut Vec<Seen>, seen: Seen) {
    if list.last().is_none_or(|last| last.place() <= seen.place()) {
        list.push(seen);
    } else {
        let at = list.partition_point(|known| known.place() <= seen.place());
        list.insert(at, seen);
    }
}

/// From when until when the events of an import count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Span {
    from: Option<u64>,
    until: Option<u64>,
}

/// Prices, rates of exchange, and announced splits and dividends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    tracks: BTreeMap<InstrumentId, Track>,
    pairs: BTreeMap<(Currency, Currency), Track>,
    splits: BTreeMap<InstrumentId, Vec<Announced<AnnouncedSplit>>>,
    dividends: BTreeMap<InstrumentId, Vec<Announced<AnnouncedDividend>>>,
    feeds: Vec<Box<str>>,
    currencies: Vec<Currency>,
    import_ids: BTreeMap<ImportId, u32>,
    /// By the number that `import_ids` gives, less one.
    spans: Vec<Span>,
    last_sequence: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Announced<T> {
    what: T,
    sequence: u64,
    effective: Day,
    feed: Box<str>,
    /// What a restatement has in common with what it restates.
    identity: Box<str>,
    revision: u32,
    import: u32,
}

impl<T> Announced<T> {
    fn days_apart(&self, other: &Self) -> u32 {
        self.effective.number().abs_diff(other.effective.number())
    }
}

/// The feed of a stream `market-<feed>-<rest>`; the stream's whole name where it has another form.
fn feed_of(stream_name: &str) -> &str {
    stream_name
        .strip_prefix("market-")
        .and_then(|rest| rest.rsplit_once('-'))
        .map_or(stream_name, |(feed, _)| feed)
}

impl Prices {
    pub(super) fn apply(&mut self, meta: &Meta, stream_name: &str, event: &Event) {
        match event {
            Event::BarClosed(bar) => {
                let day = bar.day.map_or(WITHIN_DAY, Day::number);
                let seen = self.seen(
                    meta,
                    stream_name,
                    bar.close.get(),
                    bar.currency,
                    day,
                    bar.revision,
                    bar.closes,
                );
                self.keep(&Key::Instrument(bar.instrument), seen);
            }
            // An offer is not a value.
            Event::PriceTick(tick) if !matches!(tick.kind, TickKind::Bid | TickKind::Ask) => {
                let price = tick.price.get();
                let seen = self.seen(meta, stream_name, price, tick.currency, NO_DAY, 0, meta.occurred_at);
                self.keep(&Key::Instrument(tick.instrument), seen);
            }
            Event::FxRateObserved(rate) if rate.rate.get() > Decimal::ZERO => {
                let day = rate.day.map_or(NO_DAY, Day::number);
                let value = rate.rate.get();
                let seen =
                    self.seen(meta, stream_name, value, rate.quote, day, rate.revision, meta.occurred_at);
                self.keep(&Key::Pair(rate.base, rate.quote), seen);
            }
            Event::CorporateActionAnnounced(action) => self.announced(meta, stream_name, action),
            Event::FileImported(file) => {
                let span = self.span_of(file.import, meta.sequence);
                span.from = span.from.or(Some(meta.sequence));
            }
            Event::ImportReverted(reverted) => {
                let span = self.span_of(reverted.import, meta.sequence);
                span.until = span.until.or(Some(meta.sequence));
            }
            _ => {}
        }
    }

    /// The span of an import that ends or is reverted; where it brought prices, they change with it.
    fn span_of(&mut self, import: ImportId, sequence: u64) -> &mut Span {
        if self.import_ids.contains_key(&import) {
            self.last_sequence = sequence;
        }
        let number = self.import_number(Some(import));
        &mut self.spans[number as usize - 1]
    }

    fn import_number(&mut self, import: Option<ImportId>) -> u32 {
        let Some(id) = import else { return 0 };
        if let Some(number) = self.import_ids.get(&id) {
            return *number;
        }
        self.spans.push(Span::default());
        let number = u32::try_from(self.spans.len()).expect("fewer than four thousand million imports");
        self.import_ids.insert(id, number);
        number
    }

    #[expect(clippy::too_many_arguments, reason = "three events with the same parts meet here")]
    fn seen(
        &mut self,
        meta: &Meta,
        stream_name: &str,
        price: Decimal,
        currency: Currency,
        day: i32,
        revision: u32,
        at: Timestamp,
    ) -> Seen {
        let feed = feed_of(stream_name);
        let feed = index_of(&mut self.feeds, |known| &**known == feed, || feed.into());
        let currency = index_of(&mut self.currencies, |known| *known == currency, || currency);
        let import = self.import_number(meta.import);
        Seen {
            at: at.nanos(),
            sequence: meta.sequence,
            stated_first: meta.sequence,
            price,
            day,
            revision,
            import,
            feed,
            currency,
        }
    }

    fn keep(&mut self, key: &Key, mut seen: Seen) {
        let track = match key {
            Key::Instrument(id) => self.tracks.entry(*id).or_default(),
            Key::Pair(base, quote) => self.pairs.entry((*base, *quote)).or_default(),
        };
        track.last_sequence = seen.sequence;
        self.last_sequence = seen.sequence;
        let list = if seen.is_daily() { &mut track.daily } else { &mut track.recent };
        if seen.revision > 0 {
            let from = list.partition_point(|known| known.at < seen.at.saturating_sub(NEAR_NANOS));
            let first = list[from..]
                .iter()
                .take_while(|known| known.at <= seen.at.saturating_add(NEAR_NANOS))
                .filter(|known| is_same_statement(known, &seen))
                .map(|known| known.stated_first)
                .min();
            seen.stated_first = first.unwrap_or(seen.sequence);
        }
        insert_by_place(list, seen);
        if track.recent.len() >= 2 * TICKS_RECENT_MAX {
            track.thin();
        }
    }

    fn announced(&mut self, meta: &Meta, stream_name: &str, action: &CorporateActionAnnounced) {
        let import = self.import_number(meta.import);
        let (sequence, effective) = (meta.sequence, action.effective);
        let identity =
            action.external_id.as_ref().map_or_else(|| effective.to_string().into(), |id| id.as_str().into());
        let feed: Box<str> = stream_name.into();
        let revision = action.revision;
        match (&action.kind, action.ratio, action.cash) {
            (CorporateActionKind::Split, Some(ratio), _) => {
                let what = AnnouncedSplit { effective, ratio, sequence };
                let announced = Announced { what, sequence, effective, feed, identity, revision, import };
                self.splits.entry(action.instrument).or_default().push(announced);
            }
            (CorporateActionKind::CashDividend, _, Some(cash)) => {
                let what = AnnouncedDividend { effective, pays: action.pays, cash, sequence };
                let announced = Announced { what, sequence, effective, feed, identity, revision, import };
                self.dividends.entry(action.instrument).or_default().push(announced);
            }
            _ => return,
        }
        self.last_sequence = sequence;
    }

    /// What was announced of one instrument and counts, by day. Several feeds announce one action, some of them days
    /// apart: the first that did so speaks for all.
    fn spoken_for<T: Clone>(
        &self,
        all: Option<&Vec<Announced<T>>>,
        known: u64,
        is_same: impl Fn(&Announced<T>, &Announced<T>) -> bool,
    ) -> Vec<T> {
        let counting: Vec<&Announced<T>> =
            all.into_iter().flatten().filter(|one| self.counts(one.import, one.sequence, known)).collect();
        let mut spoken: Vec<&Announced<T>> = Vec::new();
        for one in &counting {
            let superseded = counting.iter().any(|other| {
                other.feed == one.feed
                    && other.identity == one.identity
                    && (other.revision, other.sequence) > (one.revision, one.sequence)
            });
            if !superseded && !spoken.iter().any(|said| is_same(said, one)) {
                spoken.push(one);
            }
        }
        spoken.sort_by_key(|one| one.effective);
        spoken.into_iter().map(|one| one.what.clone()).collect()
    }

    /// The dividends in cash of an instrument that were announced, of what is recorded up to `known`, by effective day.
    #[must_use]
    pub fn announced_dividends(&self, instrument: InstrumentId, known: u64) -> Vec<AnnouncedDividend> {
        self.spoken_for(self.dividends.get(&instrument), known, |a, b| {
            a.feed != b.feed
                && a.days_apart(b) <= SAME_DIVIDEND_DAYS
                && is_same_cash(a.what.cash, b.what.cash)
        })
    }

    fn counts(&self, import: u32, sequence: u64, known: u64) -> bool {
        if sequence > known {
            return false;
        }
        if import == 0 {
            return true;
        }
        let span = &self.spans[import as usize - 1];
        span.from.is_some_and(|from| from <= known) && span.until.is_none_or(|until| until > known)
    }

    fn observation(&self, seen: &Seen) -> Observation {
        Observation {
            price: seen.price,
            currency: self.currencies[seen.currency as usize],
            occurred_at: Timestamp::from_nanos(seen.at),
            sequence: seen.sequence,
            feed: self.feeds[seen.feed as usize].clone(),
            kind: seen.kind(),
            day: seen.is_daily().then(|| Day::from_number(seen.day)),
        }
    }

    /// The latest observation of a list that counts and that no restatement of its own feed supersedes.
    fn latest_in<'a>(&self, list: &'a [Seen], at: i64, known: u64) -> Option<&'a Seen> {
        let end = list.partition_point(|seen| seen.at <= at);
        (0..end).rev().map(|index| (index, &list[index])).find_map(|(index, seen)| {
            (self.counts(seen.import, seen.sequence, known) && !self.is_superseded(list, index, known))
                .then_some(seen)
        })
    }

    fn is_superseded(&self, list: &[Seen], index: usize, known: u64) -> bool {
        let seen = &list[index];
        // Statements within a day are the same only at the same instant: ticks are many, so look no further.
        let reach = if seen.is_daily() { NEAR_NANOS } else { 0 };
        let near = |other: &&Seen| other.at.saturating_sub(seen.at).saturating_abs() <= reach;
        let supersedes = |other: &Seen| {
            is_same_statement(other, seen)
                && (other.revision, other.sequence) > (seen.revision, seen.sequence)
                && self.counts(other.import, other.sequence, known)
        };
        list[index + 1..].iter().take_while(near).any(supersedes)
            || list[..index].iter().rev().take_while(near).any(supersedes)
    }

    /// The latest of a track. What lies among dropped ticks is asked of `read`, which looks them up in the log.
    fn latest_of<'a>(
        &'a self,
        track: &'a Track,
        at: Timestamp,
        known: u64,
        stream_name: impl Fn(&str) -> String,
        read: &mut dyn FnMut(&NeedsDisk) -> Result<Option<Observation>, NeedsDisk>,
    ) -> Result<Option<Found<'a>>, NeedsDisk> {
        let instant = at.nanos();
        let daily = self.latest_in(&track.daily, instant, known);
        let recent = self.latest_in(&track.recent, instant, known);
        let mut best = daily.map(Found::Resident);
        if let Some(seen) = recent {
            best = Some(later(best, Found::Resident(seen)));
        }
        // Thinned quarters from the latest on, as long as they could hold something later than what was found.
        let end = track.thinned.partition_point(|thinned| quarter(thinned.seen.at) <= quarter(instant));
        for thinned in track.thinned[..end].iter().rev() {
            let kept = &thinned.seen;
            if best.as_ref().is_some_and(|best| quarter(best.at()) > quarter(kept.at)) {
                break;
            }
            if kept.at <= instant && self.counts(kept.import, kept.sequence, known) {
                best = Some(later(best, Found::Resident(kept)));
            } else if thinned.dropped > 0
                && thinned.sequence_min <= known
                && best.as_ref().is_none_or(|best| best.at() < kept.at.min(instant))
            {
                let needed = NeedsDisk {
                    stream: stream_name(&self.feeds[kept.feed as usize]),
                    from_sequence: thinned.sequence_min,
                    to_sequence: thinned.sequence_max.min(known),
                };
                if let Some(observation) = read(&needed)? {
                    best = Some(later(best, Found::Read(observation)));
                }
            }
        }
        Ok(best)
    }

    /// The latest price of an instrument, as [`PriceSource::latest`] gives it, with what lies among dropped ticks
    /// looked up by `read`: the latest tick in the stream and the sequences asked for that had occurred at `at`,
    /// that counts, and that is no offer.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn latest_reading(
        &self,
        instrument: InstrumentId,
        at: Timestamp,
        known: u64,
        read: &mut dyn FnMut(&NeedsDisk) -> Result<Option<Observation>, NeedsDisk>,
    ) -> Result<Option<Observation>, NeedsDisk> {
        let Some(track) = self.tracks.get(&instrument) else { return Ok(None) };
        let found = self.latest_of(track, at, known, |feed| stream::market(feed, instrument), read)?;
        Ok(found.map(|found| match found {
            Found::Resident(seen) => self.observation(seen),
            Found::Read(observation) => observation,
        }))
    }

    /// The latest rate between two currencies that had occurred at `at`, of what is recorded up to `known`: observed
    /// directly, else the other way round, else through one third currency. Inverted and crossed rates are cut
    /// half-even at 16 places.
    #[must_use]
    pub fn rate(&self, base: Currency, quote: Currency, at: Timestamp, known: u64) -> Option<Rate> {
        if base == quote {
            return Some(Rate { rate: Decimal::ONE, occurred_at: at, path: RatePath::Direct });
        }
        if let Some(rate) = self.rate_of_pair(base, quote, at, known) {
            return Some(rate);
        }
        let neighbours = |currency: Currency| -> BTreeSet<Currency> {
            self.pairs
                .keys()
                .filter_map(|(a, b)| match (*a == currency, *b == currency) {
                    (true, _) => Some(*b),
                    (_, true) => Some(*a),
                    _ => None,
                })
                .collect()
        };
        // Of several ways the freshest counts, then the currency that comes first.
        neighbours(base)
            .intersection(&neighbours(quote))
            .filter_map(|via| {
                let first = self.rate_of_pair(base, *via, at, known)?;
                let second = self.rate_of_pair(*via, quote, at, known)?;
                let rate =
                    decimal::multiply_divide(first.rate, second.rate, Decimal::ONE, RATE_SCALE).ok()?;
                let occurred_at = first.occurred_at.min(second.occurred_at);
                Some(Rate { rate, occurred_at, path: RatePath::Cross(*via) })
            })
            .max_by(|a, b| match (a.path, b.path) {
                (RatePath::Cross(x), RatePath::Cross(y)) => a.occurred_at.cmp(&b.occurred_at).then(y.cmp(&x)),
                _ => a.occurred_at.cmp(&b.occurred_at),
            })
    }

    fn rate_of_pair(&self, base: Currency, quote: Currency, at: Timestamp, known: u64) -> Option<Rate> {
        let observed = |a: Currency, b: Currency| {
            let name = |feed: &str| stream::pair(feed, a, b);
            let found = self
                .latest_of(self.pairs.get(&(a, b))?, at, known, name, &mut |needed| Err(needed.clone()))
                .ok()?;
            found.and_then(|found| match found {
                Found::Resident(seen) => Some(seen),
                Found::Read(_) => None,
            })
        };
        let direct = observed(base, quote).map(|seen| Rate {
            rate: seen.price,
            occurred_at: Timestamp::from_nanos(seen.at),
            path: RatePath::Direct,
        });
        direct.or_else(|| {
            let seen = observed(quote, base)?;
            let rate = decimal::divide(Decimal::ONE, seen.price, RATE_SCALE).ok()?;
            Some(Rate { rate, occurred_at: Timestamp::from_nanos(seen.at), path: RatePath::Inverse })
        })
    }

    /// The daily bars of an instrument from one day to another, those that count and are not superseded, of what is
    /// recorded up to `known`; by day, then by feed as first stated.
    #[must_use]
    pub fn bars(&self, instrument: InstrumentId, from: Option<Day>, to: Option<Day>, known: u64) -> Vec<Bar> {
        let Some(track) = self.tracks.get(&instrument) else { return Vec::new() };
        let mut bars: Vec<Bar> = track
            .daily
            .iter()
            .enumerate()
            .filter(|(_, seen)| {
                from.is_none_or(|from| from.number() <= seen.day)
                    && to.is_none_or(|to| seen.day <= to.number())
            })
            .filter(|(index, seen)| {
                self.counts(seen.import, seen.sequence, known)
                    && !self.is_superseded(&track.daily, *index, known)
            })
            .map(|(_, seen)| Bar {
                day: Day::from_number(seen.day),
                close: seen.price,
                currency: self.currencies[seen.currency as usize],
                occurred_at: Timestamp::from_nanos(seen.at),
                sequence: seen.sequence,
                feed: self.feeds[seen.feed as usize].clone(),
                revision: seen.revision,
            })
            .collect();
        bars.sort_by_key(|bar| bar.day);
        bars
    }

    /// The highest revision of an instrument's daily bar by a feed, and its close, whether it counts or not.
    #[must_use]
    pub fn revision(&self, feed: &str, instrument: InstrumentId, day: Day) -> Option<(u32, Decimal)> {
        let track = self.tracks.get(&instrument)?;
        track
            .daily
            .iter()
            .filter(|seen| seen.day == day.number() && &*self.feeds[seen.feed as usize] == feed)
            .map(|seen| (seen.revision, seen.price))
            .max_by_key(|(revision, _)| *revision)
    }

    /// The feeds that stated a price or a rate, in the order in which they first did.
    pub fn feeds(&self) -> impl Iterator<Item = &str> {
        self.feeds.iter().map(|feed| &**feed)
    }

    /// The sequence of the last event about any price, or about an import that brought prices; 0 for none.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// The sequence of the last price of an instrument; 0 for none.
    #[must_use]
    pub fn last_sequence_of(&self, instrument: InstrumentId) -> u64 {
        self.tracks.get(&instrument).map_or(0, |track| track.last_sequence)
    }

    /// The sequence of the last price of an instrument or announcement about it; 0 for none. Imports that end or are
    /// reverted change prices besides.
    #[must_use]
    pub fn head_of(&self, instrument: InstrumentId) -> u64 {
        fn last<T>(all: Option<&Vec<Announced<T>>>) -> u64 {
            all.into_iter().flatten().map(|one| one.sequence).max().unwrap_or(0)
        }
        let announced = last(self.splits.get(&instrument)).max(last(self.dividends.get(&instrument)));
        self.last_sequence_of(instrument).max(announced)
    }

    /// How many observations are resident.
    #[must_use]
    pub fn resident(&self) -> usize {
        self.tracks
            .values()
            .chain(self.pairs.values())
            .map(|track| track.daily.len() + track.recent.len() + track.thinned.len())
            .sum()
    }
}

impl PriceSource for Prices {
    fn latest(
        &self,
        instrument: InstrumentId,
        at: Timestamp,
        known: u64,
    ) -> Result<Option<Observation>, NeedsDisk> {
        self.latest_reading(instrument, at, known, &mut |needed| Err(needed.clone()))
    }

    fn announced_splits(&self, instrument: InstrumentId, known: u64) -> Vec<AnnouncedSplit> {
        self.spoken_for(self.splits.get(&instrument), known, |a, b| {
            let days = a.days_apart(b);
            days == 0
                || a.feed != b.feed && days <= SAME_SPLIT_DAYS && is_same_ratio(a.what.ratio, b.what.ratio)
        })
    }
}

/// Whether two amounts are one, of which one may be told with fewer digits.
fn is_same_cash(a: Money, b: Money) -> bool {
    let places = a.amount().scale().min(b.amount().scale());
    a.currency() == b.currency() && decimal::round(a.amount(), places) == decimal::round(b.amount(), places)
}

/// Whether two ratios are one, however they are written: 2:1 is 4:2.
fn is_same_ratio(a: Ratio, b: Ratio) -> bool {
    let cross = |x: Ratio, y: Ratio| decimal::multiply(x.numerator(), y.denominator());
    matches!((cross(a, b), cross(b, a)), (Ok(x), Ok(y)) if x == y)
}

/// What was found for a question: among what is resident, or in the log.
enum Found<'a> {
    Resident(&'a Seen),
    Read(Observation),
}

impl Found<'_> {
    fn at(&self) -> i64 {
        self.place().0
    }

    fn place(&self) -> (i64, u64, u32, u64) {
        match self {
            Self::Resident(seen) => seen.place(),
            Self::Read(observation) => {
                (observation.occurred_at.nanos(), observation.sequence, 0, observation.sequence)
            }
        }
    }
}

/// The later of what was found before and what is found now.
fn later<'a>(before: Option<Found<'a>>, now: Found<'a>) -> Found<'a> {
    match before {
        Some(before) if before.place() >= now.place() => before,
        _ => now,
    }
}

enum Key {
    Instrument(InstrumentId),
    Pair(Currency, Currency),
}

fn quarter(nanos: i64) -> i64 {
    nanos.div_euclid(QUARTER_NANOS)
}

/// Whether two observations state the same bar of the same feed, or the same rate.
fn is_same_statement(a: &Seen, b: &Seen) -> bool {
    a.feed == b.feed && a.day == b.day && (a.is_daily() || a.at == b.at) && (a.revision > 0 || b.revision > 0)
}

fn index_of<T>(list: &mut Vec<T>, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> Index {
    let at = list.iter().position(is).unwrap_or_else(|| {
        list.push(make());
        list.len() - 1
    });
    Index::try_from(at).expect("fewer than four thousand million feeds and currencies")
}

impl Track {
    /// Moves the older half of the recent ticks out, keeping the last of each feed and quarter of an hour.
    fn thin(&mut self) {
        let older: Vec<Seen> = self.recent.drain(..TICKS_RECENT_MAX).collect();
        for seen in older {
            let slot = (quarter(seen.at), seen.feed);
            let from = self.thinned.partition_point(|kept| quarter(kept.seen.at) < slot.0);
            let found = self.thinned[from..]
                .iter_mut()
                .take_while(|kept| quarter(kept.seen.at) == slot.0)
                .find(|kept| kept.seen.feed == slot.1);
            if let Some(kept) = found {
                kept.dropped += 1;
                kept.sequence_min = kept.sequence_min.min(seen.sequence);
                kept.sequence_max = kept.sequence_max.max(seen.sequence);
                if seen.place() > kept.seen.place() {
                    kept.seen = seen;
                }
            } else {
                let at = self.thinned.partition_point(|kept| quarter(kept.seen.at) <= slot.0);
                let (sequence_min, sequence_max) = (seen.sequence, seen.sequence);
                self.thinned.insert(at, Thinned { seen, dropped: 0, sequence_min, sequence_max });
            }
        }
    }
}

/// What the closes around a split say of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Jump {
    /// They jump by the ratio, as prices as traded do.
    AsTraded,
    /// They do not jump: the series was already adjusted for the split.
    AlreadyAdjusted,
    /// They do something else, or there are none.
    Unclear,
}

/// Whether the closes before and on a split's day show its jump. Only splits of at least 3:2 or 2:3 can be told from
/// a day's ordinary move.
///
/// # Errors
/// [`ArithmeticError`] when the quotient of the closes has too many digits.
pub fn check_adjustment(before: Decimal, after: Decimal, ratio: Ratio) -> Result<Jump, ArithmeticError> {
    if before <= Decimal::ZERO || after <= Decimal::ZERO {
        return Ok(Jump::Unclear);
    }
    let observed = decimal::divide(before, after, 8)?;
    let expected = decimal::divide(ratio.numerator(), ratio.denominator(), 8)?;
    let spread = |a: Decimal, b: Decimal| decimal::divide(a.max(b), a.min(b), 8);
    if observed.is_zero() || expected.is_zero() || spread(expected, Decimal::ONE)? < Decimal::new(145, 2) {
        return Ok(Jump::Unclear);
    }
    // Nearer to the ratio than to one, as ratios go, and within a fifth of it.
    let (to_ratio, to_one) = (spread(observed, expected)?, spread(observed, Decimal::ONE)?);
    let near = Decimal::new(12, 1);
    Ok(if to_ratio < to_one && to_ratio <= near {
        Jump::AsTraded
    } else if to_one < to_ratio && to_one <= near {
        Jump::AlreadyAdjusted
    } else {
        Jump::Unclear
    })
}
