//! A market whose every price is a hash of seed, symbol and minute, so that any instant and any bar can be asked for directly.

use crate::calendar;
use crate::random::{hash, hash_text, uuid};
use chrono::{Datelike, Days, Months, NaiveDate};
use daybook_schemas::{Day, Timestamp, Zone};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
/// The path is a sum of straight-line noises, each four times as slow and twice as large as the one before.
const OCTAVES: usize = 11;
/// The slowest noise's reach in parts per billion: a fifth of the price, so that the sum stays under two fifths.
const LARGEST_PPB: i64 = 200_000_000;

/// Before 1990-01-01T00:00:00Z there are no bars: a request for all of time must not walk through centuries.
const HISTORY_BEGINS: Timestamp = Timestamp::from_nanos(631_152_000 * SECOND);

/// What kind of thing a symbol names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A share, traded in New York's hours.
    Equity,
    /// A coin pair such as BTC/USD, traded around the clock.
    Crypto,
}

impl Class {
    /// As Alpaca writes it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Equity => "us_equity",
            Self::Crypto => "crypto",
        }
    }
}

/// Something that can be traded.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The ticker, such as `AAPL` or `BTC/USD`.
    pub symbol: String,
    /// The issuer's or coin's name.
    pub name: String,
    /// Alpaca's code of the venue.
    pub exchange: &'static str,
    /// Share or coin.
    pub class: Class,
    /// Today's price around which the path moves, in ten-thousandths of a dollar.
    pub base_ticks: i64,
    /// Nine characters; empty for coins.
    pub cusip: String,
    /// False once delisted: it is shown as inactive and takes no order.
    pub active: bool,
    /// Whether parts of a share can be bought.
    pub fractionable: bool,
    /// Dividends a year in ten-thousandths of the price; zero pays none.
    pub yield_bp: u32,
}

impl Listing {
    /// The asset's id, the same for a symbol in every world.
    #[must_use]
    pub fn asset_id(&self) -> String {
        asset_id(&self.symbol)
    }
}

/// The id that Alpaca would know the symbol by.
#[must_use]
pub fn asset_id(symbol: &str) -> String {
    let name = hash_text(symbol);
    uuid(hash(&[name, 1]), hash(&[name, 2]))
}

/// What an issuer does to its shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorporateAction {
    /// Cash for each share held before the ex-day.
    Dividend {
        /// Who pays.
        symbol: String,
        /// First day without the dividend.
        ex: Day,
        /// When the cash arrives.
        payable: Day,
        /// Dollars for each share.
        rate: Decimal,
    },
    /// `new` shares for each `old`, at the open of the ex-day.
    Split {
        /// Whose shares.
        symbol: String,
        /// First day in new shares.
        ex: Day,
        /// Shares after.
        new: u32,
        /// Shares before.
        old: u32,
    },
}

impl CorporateAction {
    /// The first day on which it shows in prices.
    #[must_use]
    pub const fn ex(&self) -> Day {
        match self {
            Self::Dividend { ex, .. } | Self::Split { ex, .. } => *ex,
        }
    }

    /// Whose action it is.
    #[must_use]
    pub fn symbol(&self) -> &str {
        match self {
            Self::Dividend { symbol, .. } | Self::Split { symbol, .. } => symbol,
        }
    }
}

/// What a stretch of trading came to. Prices are dollars, volume is in shares or coins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// The first instant; for days, weeks and months midnight in New York.
    pub start: Timestamp,
    /// First price.
    pub open: Decimal,
    /// Highest price.
    pub high: Decimal,
    /// Lowest price.
    pub low: Decimal,
    /// Last price.
    pub close: Decimal,
    /// What changed hands.
    pub volume: Decimal,
    /// In how many trades.
    pub trades: u64,
    /// The average price by volume.
    pub vwap: Decimal,
}

/// How long a bar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timeframe {
    /// So many minutes (hours are sixty of them), counted from midnight in New York.
    Minutes(u32),
    /// A calendar day in New York (in UTC for coins).
    Day,
    /// Monday to Sunday.
    Week,
    /// So many calendar months, counted from January.
    Months(u32),
}

impl Timeframe {
    /// Reads Alpaca's spelling: `1Min`, `15T`, `4Hour`, `1D`, `1Week`, `3Month`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let split = text.find(|c: char| !c.is_ascii_digit())?;
        let (count, unit) = text.split_at(split);
        let count: u32 = if count.is_empty() { 1 } else { count.parse().ok()? };
        match (count, unit) {
            (1..=59, "Min" | "T") => Some(Self::Minutes(count)),
            (1..=23, "Hour" | "H") => Some(Self::Minutes(count * 60)),
            (1, "Day" | "D") => Some(Self::Day),
            (1, "Week" | "W") => Some(Self::Week),
            (1 | 2 | 3 | 4 | 6 | 12, "Month" | "M") => Some(Self::Months(count)),
            _ => None,
        }
    }
}

/// For what past prices are restated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adjustment {
    /// For splits that came after.
    pub splits: bool,
    /// For dividends that came after.
    pub dividends: bool,
}

/// Which bars are wanted.
#[derive(Clone, Copy, Debug)]
pub struct BarQuery {
    /// How long each is.
    pub timeframe: Timeframe,
    /// The first start, included.
    pub from: Timestamp,
    /// The last start, included.
    pub until: Timestamp,
    /// Nothing that happened later is shown; the day that runs is shown as far as it got.
    pub now: Timestamp,
    /// For what prices are restated.
    pub adjustment: Adjustment,
    /// Newest first.
    pub descending: bool,
}

/// When shares trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hours {
    /// The exchange's sessions, holidays and early closes.
    #[default]
    NewYork,
    /// Always: a demonstration at night is a demonstration too.
    Always,
}

/// Symbols, their prices at any instant, and what their issuers do.
#[derive(Clone, Debug)]
pub struct Market {
    seed: u64,
    hours: Hours,
    listings: BTreeMap<String, Listing>,
    splits: BTreeMap<String, Vec<(Day, u32, u32)>>,
    dividends: BTreeMap<String, Vec<(Day, Day, Decimal)>>,
    restated: BTreeMap<(String, Timeframe, Timestamp), Bar>,
}

/// A bar before it is put into dollars.
#[derive(Clone, Copy)]
struct Ticks {
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    volume: i64,
    trades: u64,
    /// Sum of price times volume.
    turnover: i128,
}

impl Ticks {
    fn join(self, later: Self) -> Self {
        Self {
            open: self.open,
            high: self.high.max(later.high),
            low: self.low.min(later.low),
            close: later.close,
            volume: self.volume + later.volume,
            trades: self.trades + later.trades,
            turnover: self.turnover + later.turnover,
        }
    }
}

const SHARES: [(&str, &str, &str, i64, u32); 22] = [
    ("AAPL", "Apple Inc. Common Stock", "NASDAQ", 225, 45),
    ("AMD", "Advanced Micro Devices, Inc. Common Stock", "NASDAQ", 140, 0),
    ("AMZN", "Amazon.com, Inc. Common Stock", "NASDAQ", 195, 0),
    ("BA", "The Boeing Company Common Stock", "NYSE", 170, 0),
    ("BRK.B", "Berkshire Hathaway Inc. Class B", "NYSE", 460, 0),
    ("DIS", "The Walt Disney Company Common Stock", "NYSE", 105, 90),
    ("F", "Ford Motor Company Common Stock", "NYSE", 11, 550),
    ("GOOGL", "Alphabet Inc. Class A Common Stock", "NASDAQ", 170, 48),
    ("IBM", "International Business Machines Corporation", "NYSE", 215, 310),
    ("INTC", "Intel Corporation Common Stock", "NASDAQ", 23, 0),
    ("JNJ", "Johnson & Johnson Common Stock", "NYSE", 155, 320),
    ("JPM", "JPMorgan Chase & Co. Common Stock", "NYSE", 235, 210),
    ("KO", "The Coca-Cola Company Common Stock", "NYSE", 64, 300),
    ("META", "Meta Platforms, Inc. Class A Common Stock", "NASDAQ", 560, 35),
    ("MSFT", "Microsoft Corporation Common Stock", "NASDAQ", 420, 75),
    ("NFLX", "Netflix, Inc. Common Stock", "NASDAQ", 780, 0),
    ("NVDA", "NVIDIA Corporation Common Stock", "NASDAQ", 135, 3),
    ("PFE", "Pfizer, Inc. Common Stock", "NYSE", 27, 620),
    ("SPY", "SPDR S&P 500 ETF Trust", "ARCA", 580, 120),
    ("T", "AT&T Inc. Common Stock", "NYSE", 22, 500),
    ("TSLA", "Tesla, Inc. Common Stock", "NASDAQ", 280, 0),
    ("XOM", "Exxon Mobil Corporation Common Stock", "NYSE", 118, 330),
];

const COINS: [(&str, &str, i64); 3] = [
    ("BTC/USD", "Bitcoin / US Dollar", 68_000),
    ("ETH/USD", "Ethereum / US Dollar", 2_600),
    ("SOL/USD", "Solana / US Dollar", 165),
];

impl Market {
    /// The usual symbols. The same seed gives the same prices.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut market = Self {
            seed,
            hours: Hours::NewYork,
            listings: BTreeMap::new(),
            splits: BTreeMap::new(),
            dividends: BTreeMap::new(),
            restated: BTreeMap::new(),
        };
        for (symbol, name, exchange, dollars, yield_bp) in SHARES {
            market.list(share(symbol, name, exchange, dollars * 10_000, yield_bp));
            market.split_some_day(symbol);
        }
        for (symbol, name, dollars) in COINS {
            market.list(Listing {
                symbol: symbol.to_owned(),
                name: name.to_owned(),
                exchange: "CRYPTO",
                class: Class::Crypto,
                base_ticks: dollars * 10_000,
                cusip: String::new(),
                active: true,
                fractionable: true,
                yield_bp: 0,
            });
        }
        market
    }

    /// The usual symbols and so many made-up shares more, `AAAA`, `AAAB` and so on.
    #[must_use]
    pub fn with_more_shares(seed: u64, count: u32) -> Self {
        let mut market = Self::new(seed);
        for index in 0..count {
            let letter =
                |place: u32| char::from(b'A' + u8::try_from(index / 26_u32.pow(place) % 26).unwrap_or(0));
            let symbol: String = ["Q".to_owned(), (0..3).rev().map(letter).collect()].concat();
            let dollars = 5 + i64::try_from(hash(&[seed, u64::from(index), 9]) % 400).unwrap_or(0);
            let name = format!("{symbol} Holdings Common Stock");
            market.list(share(&symbol, &name, "NYSE", dollars * 10_000, 0));
        }
        market
    }

    /// Adds a symbol, or replaces what it stands for.
    pub fn list(&mut self, listing: Listing) {
        self.listings.insert(listing.symbol.clone(), listing);
    }

    /// Takes a symbol off the exchange. It stays known, as inactive.
    pub fn delist(&mut self, symbol: &str) {
        if let Some(listing) = self.listings.get_mut(symbol) {
            listing.active = false;
        }
    }

    /// Decides when shares trade.
    pub const fn set_hours(&mut self, hours: Hours) {
        self.hours = hours;
    }

    /// What a symbol stands for. Coins are also found without their slash (`BTCUSD`).
    #[must_use]
    pub fn listing(&self, symbol: &str) -> Option<&Listing> {
        self.listings.get(symbol).or_else(|| {
            self.listings
                .values()
                .find(|listing| listing.class == Class::Crypto && listing.symbol.replace('/', "") == symbol)
        })
    }

    /// All symbols in alphabetical order.
    pub fn listings(&self) -> impl Iterator<Item = &Listing> {
        self.listings.values()
    }

    /// Announces a split.
    pub fn add_split(&mut self, symbol: &str, ex: Day, new: u32, old: u32) {
        self.splits.entry(symbol.to_owned()).or_default().push((ex, new, old));
    }

    /// Announces a dividend beside the regular ones.
    pub fn add_dividend(&mut self, symbol: &str, ex: Day, payable: Day, rate: Decimal) {
        self.dividends.entry(symbol.to_owned()).or_default().push((ex, payable, rate));
    }

    /// Says something else about a minute (`Timeframe::Minutes(1)`) or a day than the path does, as given and unchecked: this
    /// is how a feed restates a bar, or serves one whose high is below its low.
    pub fn restate(&mut self, symbol: &str, timeframe: Timeframe, bar: Bar) {
        self.restated.insert((symbol.to_owned(), timeframe, bar.start), bar);
    }

    /// Whether the symbol trades at the instant.
    #[must_use]
    pub fn is_open(&self, symbol: &str, at: Timestamp) -> bool {
        let around_the_clock = self.hours == Hours::Always
            || self.listing(symbol).is_some_and(|listing| listing.class == Class::Crypto);
        around_the_clock || {
            let session = calendar::session_after(at);
            session.open <= at
        }
    }

    /// The first instant from `at` on at which the symbol trades.
    #[must_use]
    pub fn opens(&self, symbol: &str, at: Timestamp) -> Timestamp {
        if self.is_open(symbol, at) { at } else { calendar::session_after(at).open }
    }

    /// The price in dollars at an instant, to the cent; outside trading hours that of the last close.
    #[must_use]
    pub fn price(&self, symbol: &str, at: Timestamp) -> Option<Decimal> {
        let listing = self.listing(symbol)?;
        let at = if self.is_open(&listing.symbol, at) {
            at
        } else {
            // The path at the close itself belongs to the last minute.
            calendar::session_before(at).close.min(at)
        };
        let minute = at.nanos().div_euclid(MINUTE);
        let within = at.nanos().rem_euclid(MINUTE);
        let mut path = Path::new(self.seed, listing);
        let (from, to) = (path.at(minute), path.at(minute + 1));
        let ticks = from
            + i64::try_from(i128::from(to - from) * i128::from(within) / i128::from(MINUTE)).unwrap_or(0);
        Some(dollars(ticks, self.split_factor(&listing.symbol, at), 2))
    }

    /// What happened to shares with an ex-day in the span, both ends included, by day and symbol.
    #[must_use]
    pub fn corporate_actions(&self, from: Day, until: Day) -> Vec<CorporateAction> {
        let mut found: Vec<CorporateAction> =
            self.listings.keys().flat_map(|symbol| self.corporate_actions_of(symbol, from, until)).collect();
        found.sort_by_key(CorporateAction::ex);
        found
    }

    /// What happened to one symbol's shares with an ex-day in the span, both ends included, by day.
    #[must_use]
    pub fn corporate_actions_of(&self, symbol: &str, from: Day, until: Day) -> Vec<CorporateAction> {
        let mut found = Vec::new();
        for (ex, new, old) in self.splits.get(symbol).into_iter().flatten() {
            found.push(CorporateAction::Split { symbol: symbol.to_owned(), ex: *ex, new: *new, old: *old });
        }
        for (ex, payable, rate) in self.dividends.get(symbol).into_iter().flatten() {
            found.push(CorporateAction::Dividend {
                symbol: symbol.to_owned(),
                ex: *ex,
                payable: *payable,
                rate: *rate,
            });
        }
        if let Some(listing) = self.listings.get(symbol).filter(|listing| listing.yield_bp > 0) {
            found.extend(self.regular_dividends(listing, from, until));
        }
        found.retain(|action| (from..=until).contains(&action.ex()));
        found.sort_by_key(CorporateAction::ex);
        found
    }

    /// Four a year, on days of the symbol's own.
    fn regular_dividends(&self, listing: &Listing, from: Day, until: Day) -> Vec<CorporateAction> {
        let name = hash_text(&listing.symbol);
        let phase = u32::try_from(name % 3).unwrap_or(0);
        let rate = (Decimal::new(listing.base_ticks, 4) * Decimal::new(i64::from(listing.yield_bp), 4)
            / Decimal::from(4))
        .round_dp(2)
        .max(Decimal::new(1, 2));
        let mut found = Vec::new();
        for year in from.to_date().year()..=until.to_date().year() {
            for quarter in 0..4 {
                let month = 1 + phase + quarter * 3;
                let day = 3 + u32::try_from(hash(&[self.seed, name, u64::from(month), 77]) % 20).unwrap_or(0);
                let Some(date) = Day::from_ymd(year, month, day) else { continue };
                let ex = calendar::session(date).unwrap_or_else(|| calendar::next_session_day(date)).day;
                let payable = calendar::next_session_day(ex.plus_days(13)).day;
                found.push(CorporateAction::Dividend { symbol: listing.symbol.clone(), ex, payable, rate });
            }
        }
        found
    }

    /// One share in four was split once, on a day of the seed's choosing between 2020 and 2024.
    fn split_some_day(&mut self, symbol: &str) {
        const RATIOS: [(u32, u32); 5] = [(2, 1), (3, 1), (4, 1), (3, 2), (1, 10)];
        let dice = hash(&[self.seed, hash_text(symbol), 31]);
        if !dice.is_multiple_of(4) {
            return;
        }
        let Some(first) = Day::from_ymd(2020, 1, 2) else { return };
        let day = first.plus_days(i32::try_from(dice / 4 % 1_700).unwrap_or(0));
        let ex = calendar::session(day).unwrap_or_else(|| calendar::next_session_day(day)).day;
        let (new, old) = RATIOS[usize::try_from(dice / 8_192 % 5).unwrap_or(0)];
        self.add_split(symbol, ex, new, old);
    }

    /// By what today's path is multiplied to give the price as it was then.
    fn split_factor(&self, symbol: &str, at: Timestamp) -> (u64, u64) {
        let Some(splits) = self.splits.get(symbol) else { return (1, 1) };
        let day = at.day_in(Zone::NEW_YORK);
        splits
            .iter()
            .filter(|(ex, ..)| *ex > day)
            .fold((1, 1), |(up, down), (_, new, old)| (up * u64::from(*new), down * u64::from(*old)))
    }

    /// Up to `limit` bars, in the order asked for. Unknown symbols have none.
    #[must_use]
    pub fn bars(&self, symbol: &str, query: &BarQuery, limit: usize) -> Vec<Bar> {
        let Some(listing) = self.listing(symbol) else { return Vec::new() };
        if query.until < query.from || limit == 0 {
            return Vec::new();
        }
        let zone = bar_zone(listing);
        let until = query.until.min(query.now);
        let query = &BarQuery { from: query.from.max(HISTORY_BEGINS), ..*query };
        if until < query.from {
            return Vec::new();
        }
        let (first, last) = (bucket_day(query.timeframe, query.from.day_in(zone)), until.day_in(zone));
        let mut found = Vec::new();
        let mut path = Path::new(self.seed, listing);
        let mut day = if query.descending { bucket_day(query.timeframe, last) } else { first };
        while found.len() < limit && (first..=last).contains(&day) {
            let mut some = self.bars_of(listing, &mut path, day, query, zone);
            if query.descending {
                some.reverse();
            }
            found.extend(some.into_iter().filter(|bar| (query.from..=until).contains(&bar.start)));
            day = next_bucket(query.timeframe, day, query.descending);
        }
        found.truncate(limit);
        found
    }

    /// The newest finished bar of a minute, or the newest day so far.
    #[must_use]
    pub fn latest_bar(&self, symbol: &str, timeframe: Timeframe, now: Timestamp) -> Option<Bar> {
        let query = BarQuery {
            timeframe,
            from: now.plus_nanos(-10 * 86_400 * SECOND),
            until: now,
            now,
            adjustment: Adjustment::default(),
            descending: true,
        };
        self.bars(symbol, &query, 1).pop()
    }

    /// The bars that start within a day (or the one of the week or the months that start with it).
    fn bars_of(
        &self,
        listing: &Listing,
        path: &mut Path,
        day: Day,
        query: &BarQuery,
        zone: Zone,
    ) -> Vec<Bar> {
        let now = query.now.nanos().div_euclid(MINUTE);
        let dollars = |start: Timestamp, ticks: Ticks| self.in_dollars(listing, start, ticks, query);
        match query.timeframe {
            Timeframe::Minutes(length) => {
                let Some((open, close)) = self.minutes(listing, day, zone) else { return Vec::new() };
                let midnight = day.start_in(zone).nanos().div_euclid(MINUTE);
                let length = i64::from(length);
                let mut bars: Vec<(i64, Ticks)> = Vec::new();
                for minute in open..close.min(now) {
                    let start = midnight + (minute - midnight).div_euclid(length) * length;
                    let ticks = path.minute(minute);
                    match bars.last_mut() {
                        Some((at, bar)) if *at == start => *bar = bar.join(ticks),
                        _ => bars.push((start, ticks)),
                    }
                }
                // Only what is complete is a bar.
                let close = close.min(now);
                bars.retain(|(start, _)| start + length <= now || close < now);
                bars.into_iter()
                    .map(|(start, ticks)| dollars(Timestamp::from_nanos(start * MINUTE), ticks))
                    .collect()
            }
            Timeframe::Day => self
                .day(listing, path, day, now, zone)
                .map(|ticks| dollars(day.start_in(zone), ticks))
                .into_iter()
                .collect(),
            Timeframe::Week | Timeframe::Months(_) => {
                let end = next_bucket(query.timeframe, day, false);
                let mut joined: Option<Ticks> = None;
                let mut at = day;
                while at < end {
                    if let Some(ticks) = self.day(listing, path, at, now, zone) {
                        joined = Some(joined.map_or(ticks, |before| before.join(ticks)));
                    }
                    at = at.plus_days(1);
                }
                joined.map(|ticks| dollars(day.start_in(zone), ticks)).into_iter().collect()
            }
        }
    }

    /// First and last minute (excluded) in which the symbol trades on the day.
    fn minutes(&self, listing: &Listing, day: Day, zone: Zone) -> Option<(i64, i64)> {
        let minute = |at: Timestamp| at.nanos().div_euclid(MINUTE);
        if listing.class == Class::Crypto || self.hours == Hours::Always {
            return Some((minute(day.start_in(zone)), minute(day.plus_days(1).start_in(zone))));
        }
        calendar::session(day).map(|session| (minute(session.open), minute(session.close)))
    }

    fn day(&self, listing: &Listing, path: &mut Path, day: Day, now: i64, zone: Zone) -> Option<Ticks> {
        let (open, close) = self.minutes(listing, day, zone)?;
        (open..close.min(now)).map(|minute| path.minute(minute)).reduce(Ticks::join)
    }

    fn in_dollars(&self, listing: &Listing, start: Timestamp, ticks: Ticks, query: &BarQuery) -> Bar {
        let symbol = &listing.symbol;
        if let Some(restated) = self.restated.get(&(symbol.clone(), query.timeframe, start)) {
            return restated.clone();
        }
        let (up, down) = self.split_factor(symbol, start);
        let factor = if query.adjustment.splits { (1, 1) } else { (up, down) };
        let paid = if query.adjustment.dividends {
            self.dividend_factor(listing, start, query.now)
        } else {
            Decimal::ONE
        };
        let price = |ticks: i64| {
            (dollars(ticks, factor, 2) * paid).round_dp(if paid == Decimal::ONE { 2 } else { 4 })
        };
        let average = i64::try_from(ticks.turnover.checked_div(i128::from(ticks.volume)).unwrap_or_default())
            .unwrap_or(0);
        let shares = Decimal::from(ticks.volume) * Decimal::from(factor.1) / Decimal::from(factor.0);
        Bar {
            start,
            open: price(ticks.open),
            high: price(ticks.high),
            low: price(ticks.low),
            close: price(ticks.close),
            volume: match listing.class {
                Class::Equity => shares.trunc(),
                Class::Crypto => Decimal::new(ticks.volume, 4),
            },
            trades: ticks.trades,
            vwap: (dollars(average, factor, 6) * paid).round_dp(6),
        }
    }

    /// What the dividends between the instant and now leave of a price: the product of one less each rate over the
    /// close before it.
    fn dividend_factor(&self, listing: &Listing, start: Timestamp, now: Timestamp) -> Decimal {
        let zone = Zone::NEW_YORK;
        let after = start.day_in(zone).plus_days(1);
        self.corporate_actions_of(&listing.symbol, after, now.day_in(zone))
            .iter()
            .filter_map(|action| match action {
                CorporateAction::Dividend { ex, rate, .. } => {
                    let close = self.price(&listing.symbol, ex.start_in(zone))?;
                    Some(Decimal::ONE - (*rate / close).round_dp(8))
                }
                CorporateAction::Split { .. } => None,
            })
            .fold(Decimal::ONE, |product, part| (product * part).round_dp(10))
    }
}

fn share(symbol: &str, name: &str, exchange: &'static str, base_ticks: i64, yield_bp: u32) -> Listing {
    Listing {
        symbol: symbol.to_owned(),
        name: name.to_owned(),
        exchange,
        class: Class::Equity,
        base_ticks,
        cusip: format!("{:09}", hash_text(symbol) % 1_000_000_000),
        active: true,
        fractionable: true,
        yield_bp,
    }
}

/// In whose midnights a symbol's days begin.
const fn bar_zone(listing: &Listing) -> Zone {
    match listing.class {
        Class::Equity => Zone::NEW_YORK,
        Class::Crypto => Zone::UTC,
    }
}

/// Ticks times a split factor in dollars; a price never falls below one cent.
fn dollars(ticks: i64, (up, down): (u64, u64), places: u32) -> Decimal {
    (Decimal::new(ticks, 4) * Decimal::from(up) / Decimal::from(down))
        .round_dp(places)
        .max(Decimal::new(1, 2))
        .normalize()
}

fn bucket_day(timeframe: Timeframe, day: Day) -> Day {
    let date = day.to_date();
    match timeframe {
        Timeframe::Minutes(_) | Timeframe::Day => day,
        Timeframe::Week => day.plus_days(-i32::try_from(date.weekday().num_days_from_monday()).unwrap_or(0)),
        Timeframe::Months(count) => {
            let first = date.month0() / count * count + 1;
            NaiveDate::from_ymd_opt(date.year(), first, 1).map_or(day, Day::from_date)
        }
    }
}

fn next_bucket(timeframe: Timeframe, day: Day, back: bool) -> Day {
    let date = day.to_date();
    let moved = match (timeframe, back) {
        (Timeframe::Minutes(_) | Timeframe::Day, false) => date.checked_add_days(Days::new(1)),
        (Timeframe::Minutes(_) | Timeframe::Day, true) => date.checked_sub_days(Days::new(1)),
        (Timeframe::Week, false) => date.checked_add_days(Days::new(7)),
        (Timeframe::Week, true) => date.checked_sub_days(Days::new(7)),
        (Timeframe::Months(count), false) => date.checked_add_months(Months::new(count)),
        (Timeframe::Months(count), true) => date.checked_sub_months(Months::new(count)),
    };
    moved.map_or(day.plus_days(1), Day::from_date)
}

/// One symbol's path, remembering each noise's last stretch so that walking on costs one hash a minute.
struct Path {
    name: u64,
    base: i64,
    stretches: [Option<(i64, i64, i64)>; OCTAVES],
    /// The last minute's end, which is the next one's beginning.
    end: Option<(i64, i64)>,
}

impl Path {
    fn new(seed: u64, listing: &Listing) -> Self {
        let name = hash(&[seed, hash_text(&listing.symbol)]);
        Self { name, base: listing.base_ticks, stretches: [None; OCTAVES], end: None }
    }

    /// The price at the beginning of a minute, in ticks.
    fn at(&mut self, minute: i64) -> i64 {
        let mut deviation_ppb: i64 = 0;
        for octave in 0..OCTAVES {
            let period = 1_i64 << (2 * octave);
            let index = minute.div_euclid(period);
            let (from, to) = match self.stretches[octave] {
                Some((at, from, to)) if at == index => (from, to),
                _ => {
                    let reach = LARGEST_PPB >> (OCTAVES - 1 - octave);
                    let (from, to) = (self.noise(octave, index, reach), self.noise(octave, index + 1, reach));
                    self.stretches[octave] = Some((index, from, to));
                    (from, to)
                }
            };
            deviation_ppb += from + (to - from) * minute.rem_euclid(period) / period;
        }
        let moved = i128::from(self.base) * i128::from(deviation_ppb) / 1_000_000_000;
        self.base + i64::try_from(moved).unwrap_or(0)
    }

    fn noise(&self, octave: usize, index: i64, reach: i64) -> i64 {
        let dice = hash(&[self.name, octave as u64, index.cast_unsigned()]);
        let reach = reach.unsigned_abs();
        i64::try_from(dice % (2 * reach + 1)).unwrap_or(0).saturating_sub_unsigned(reach)
    }

    fn minute(&mut self, minute: i64) -> Ticks {
        let open = match self.end {
            Some((at, price)) if at == minute => price,
            _ => self.at(minute),
        };
        let close = self.at(minute + 1);
        self.end = Some((minute + 1, close));
        let dice = hash(&[self.name, 99, minute.cast_unsigned()]);
        // A wick reaches up to 0.03 % beyond the line between open and close.
        let wick = |dice: u64| self.base.saturating_mul(i64::try_from(dice % 301).unwrap_or(0)) / 1_000_000;
        let high = open.max(close) + wick(dice);
        let low = (open.min(close) - wick(dice >> 16)).max(1);
        let volume = 200 + i64::try_from((dice >> 32) % 20_000).unwrap_or(0);
        let middle = (i128::from(open) + i128::from(close) + i128::from(high) + i128::from(low)) / 4;
        Ticks {
            open,
            high,
            low,
            close,
            volume,
            trades: 1 + (dice >> 48) % 200,
            turnover: middle * i128::from(volume),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn query(timeframe: Timeframe, from: &str, until: &str) -> BarQuery {
        BarQuery {
            timeframe,
            from: at(from),
            until: at(until),
            now: at("2024-12-31T23:00:00Z"),
            adjustment: Adjustment::default(),
            descending: false,
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bars_however_they_are_asked_for() {
        let market = Market::new(5);
        let whole = query(Timeframe::Minutes(1), "2024-06-03T00:00:00Z", "2024-06-07T23:00:00Z");
        let all = market.bars("AAPL", &whole, usize::MAX);
        assert_eq!(all.len(), 5 * 390);
        for bar in all.iter().step_by(97) {
            let one = BarQuery { from: bar.start, until: bar.start, ..whole };
            assert_eq!(Market::new(5).bars("AAPL", &one, 10), vec![bar.clone()]);
        }
        let mut backwards = market.bars("AAPL", &BarQuery { descending: true, ..whole }, usize::MAX);
        backwards.reverse();
        assert_eq!(backwards, all);
        assert_ne!(Market::new(6).bars("AAPL", &whole, 10), market.bars("AAPL", &whole, 10));
    }

    #[test]
    fn longer_bars_are_made_of_the_minutes_within_them() {
        let market = Market::new(5);
        let minutes = market.bars(
            "KO",
            &query(Timeframe::Minutes(1), "2024-07-03T00:00:00Z", "2024-07-03T23:00:00Z"),
            1_000,
        );
        assert_eq!(minutes.len(), 210, "a short day has three and a half hours");
        let days =
            market.bars("KO", &query(Timeframe::Day, "2024-07-03T00:00:00Z", "2024-07-05T23:00:00Z"), 10);
        assert_eq!(
            days.iter().map(|bar| bar.start.to_string()).collect::<Vec<_>>(),
            ["2024-07-03T04:00:00Z", "2024-07-05T04:00:00Z"]
        );
        assert_eq!(days[0].open, minutes[0].open);
        assert_eq!(days[0].close, minutes[209].close);
        assert_eq!(Some(days[0].high), minutes.iter().map(|bar| bar.high).max());
        assert_eq!(Some(days[0].low), minutes.iter().map(|bar| bar.low).min());
        assert_eq!(days[0].volume, minutes.iter().map(|bar| bar.volume).sum());
        let hours = market.bars(
            "KO",
            &query(Timeframe::Minutes(60), "2024-07-03T00:00:00Z", "2024-07-03T23:00:00Z"),
            10,
        );
        assert_eq!(hours.first().map(|bar| bar.start), Some(at("2024-07-03T13:00:00Z")));
        let weeks =
            market.bars("KO", &query(Timeframe::Week, "2024-07-01T00:00:00Z", "2024-07-12T00:00:00Z"), 10);
        assert_eq!(
            weeks.iter().map(|bar| bar.start).collect::<Vec<_>>(),
            [at("2024-07-01T04:00:00Z"), at("2024-07-08T04:00:00Z")]
        );
    }

    #[test]
    fn a_price_within_a_minute_lies_within_its_bar() {
        let market = Market::new(11);
        let bars = market.bars(
            "MSFT",
            &query(Timeframe::Minutes(1), "2024-06-03T00:00:00Z", "2024-06-03T23:00:00Z"),
            390,
        );
        for bar in bars {
            for seconds in [0, 17, 59] {
                let price = market.price("MSFT", bar.start.plus_nanos(seconds * SECOND)).unwrap();
                assert!((bar.low..=bar.high).contains(&price), "{price} in {bar:?}");
            }
        }
    }

    #[test]
    fn before_a_split_prices_are_higher_unless_they_are_adjusted() {
        let mut market = Market::new(5);
        market.list(share("SPLT", "Split", "NYSE", 1_000_000, 0));
        market.add_split("SPLT", Day::parse("2024-06-10").unwrap(), 4, 1);
        let raw = query(Timeframe::Day, "2024-06-06T12:00:00Z", "2024-06-11T00:00:00Z");
        let adjusted = BarQuery { adjustment: Adjustment { splits: true, dividends: false }, ..raw };
        let (raw, adjusted) = (market.bars("SPLT", &raw, 9), market.bars("SPLT", &adjusted, 9));
        assert_eq!(raw.len(), 2);
        assert!((raw[0].close / adjusted[0].close - Decimal::from(4)).abs() < Decimal::new(1, 2));
        assert_eq!(raw[1], adjusted[1]);
    }

    #[test]
    fn minutes_that_have_not_ended_are_not_shown_and_the_running_day_is_shown_so_far() {
        let market = Market::new(5);
        let now = at("2024-06-03T14:00:30Z");
        let minute = market.latest_bar("AAPL", Timeframe::Minutes(1), now).unwrap();
        assert_eq!(minute.start, at("2024-06-03T13:59:00Z"));
        let day = market.latest_bar("AAPL", Timeframe::Day, now).unwrap();
        assert_eq!((day.start, day.close), (at("2024-06-03T04:00:00Z"), minute.close));
        let five = market.latest_bar("AAPL", Timeframe::Minutes(5), at("2024-06-03T14:03:00Z")).unwrap();
        assert_eq!(five.start, at("2024-06-03T13:55:00Z"));
    }

    #[test]
    fn timeframes_are_read_as_alpaca_writes_them() {
        assert_eq!(Timeframe::parse("1Min"), Some(Timeframe::Minutes(1)));
        assert_eq!(Timeframe::parse("4H"), Some(Timeframe::Minutes(240)));
        assert_eq!(Timeframe::parse("1Day"), Some(Timeframe::Day));
        assert_eq!(Timeframe::parse("3Month"), Some(Timeframe::Months(3)));
        for wrong in ["", "60Min", "0Min", "5Month", "2Day", "1Fortnight", "é"] {
            assert_eq!(Timeframe::parse(wrong), None, "{wrong}");
        }
    }
}
