//! Market, broker and faults together, driven by the instants that they are told.

use crate::broker::account::Account;
use crate::broker::activity::{Content, NonTrade, Status, autumn_half_past_one};
use crate::broker::order::{NewOrder, Order, OrderStatus, Side, Size, TimeInForce};
use crate::broker::{AccountNo, Books, Broker, BrokerError, Keys, is_marketable, reaches_stop};
use crate::calendar;
use crate::faults::Faults;
use crate::life::Life;
use crate::market::{Hours, Market};
use crate::random::{Dice, PerMillion};
use crate::routes;
use crate::wire::{Answer, Request};
use daybook_schemas::{Timestamp, Zone};
use rust_decimal::Decimal;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// How orders that come in over the wire are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// Not at all: the test fills them.
    Manual,
    /// At the market's price while it is open, after 20 to 80 milliseconds, sometimes in parts.
    Automatic {
        /// How many orders are filled in parts.
        partial: PerMillion,
    },
}

/// How many requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests a minute and key, by the trading and the data API each; none is no limit.
    pub per_minute: Option<u32>,
    /// Alpha Vantage's requests a day and key.
    pub alpha_vantage_per_day: Option<u32>,
    /// Robinhood's requests a minute and key.
    pub robinhood_per_minute: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_minute: Some(200), alpha_vantage_per_day: Some(25), robinhood_per_minute: Some(100) }
    }
}

/// Something that happens to an account, at a time or after a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// So many fills of one order whose times agree to the millisecond (to the nanosecond even).
    Burst(u32),
    /// A dividend of a day in the past, written down so many hours ago: it was not there when it was asked for.
    LateNonTrade {
        /// How many days its date lies back.
        days_ago: u32,
        /// How many hours its `created_at` lies back; zero is now.
        created_hours_ago: u32,
    },
    /// A row of another amount under the id of one that was there.
    Amend,
    /// A row that was there becomes `canceled`.
    CancelNonTrade,
    /// A fill is taken back by the exchange.
    Bust,
    /// A row of a type that nobody knows.
    UnknownType,
    /// A row with a number of thirty digits.
    LongNumber,
    /// A row that is no activity: an array.
    BadRow,
    /// Two fills of a coin, an hour apart, at the 01:30 that the last autumn gave twice.
    Autumn,
    /// Another account under the same key.
    Swap,
    /// A paper reset: another account under other keys (see [`World::resets`]).
    Reset,
    /// The key is worthless from now on.
    Revoke,
    /// The broker's clock is so many milliseconds ahead of everybody else's.
    Skew(i64),
    /// One order as the account's life places them, filled at once.
    Trade,
}

impl Event {
    /// Those after which a client goes on as if nothing had been.
    fn thrown(dice: &mut Dice) -> Self {
        let small = |dice: &mut Dice, end: u64| u32::try_from(dice.below(end)).unwrap_or(0);
        match dice.below(12) {
            0 => Self::Burst(2 + small(dice, 5)),
            1 => Self::LateNonTrade { days_ago: 1 + small(dice, 20), created_hours_ago: 0 },
            2 => Self::LateNonTrade { days_ago: 1 + small(dice, 20), created_hours_ago: small(dice, 100) },
            3 => Self::Amend,
            4 => Self::CancelNonTrade,
            5 => Self::Bust,
            6 => Self::UnknownType,
            7 => Self::Autumn,
            8 => Self::Skew(dice.between(-3_000, 3_000)),
            _ => Self::Trade,
        }
    }
}

#[derive(Clone, Debug)]
enum Due {
    Match(AccountNo, String),
    Live(usize),
    Night(usize),
    Event(String, Event),
}

/// A world from a seed. It knows no clock: every call says what time it is, and no call may say less than one before.
#[derive(Debug)]
pub struct World {
    /// Prices, bars, splits and dividends.
    pub market: Market,
    /// Accounts, orders, activities.
    pub broker: Broker,
    /// What goes wrong.
    pub faults: Faults,
    /// How many requests are answered.
    pub limits: Limits,
    /// How orders that come in over the wire are filled.
    pub matching: Matching,
    /// How long a row that was written down does not show in the activities yet; the socket has told of it by then.
    pub lag: Duration,
    now: Timestamp,
    skew: i64,
    queue: BTreeMap<(Timestamp, u64), Due>,
    queued: u64,
    lives: Vec<Life>,
    armed: Vec<(u32, String, Event)>,
    resets: Vec<Keys>,
    dice: Dice,
    pub(crate) counters: routes::Counters,
    pub(crate) listeners: BTreeMap<String, u64>,
    pub(crate) sockets: u64,
    pub(crate) signers: BTreeMap<String, ed25519_dalek::VerifyingKey>,
}

impl World {
    /// A world with the usual symbols and no account, at an instant. Orders are filled by themselves, nothing goes wrong.
    #[must_use]
    pub fn new(seed: u64, start: Timestamp) -> Self {
        Self {
            market: Market::new(seed),
            broker: Broker::new(seed),
            faults: Faults::new(seed),
            limits: Limits::default(),
            matching: Matching::Automatic { partial: PerMillion::percent(10) },
            lag: Duration::ZERO,
            now: start,
            skew: 0,
            queue: BTreeMap::new(),
            queued: 0,
            lives: Vec::new(),
            armed: Vec::new(),
            resets: Vec::new(),
            dice: Dice::new(seed, "world"),
            counters: routes::Counters::default(),
            listeners: BTreeMap::new(),
            sockets: 0,
            signers: BTreeMap::new(),
        }
    }

    /// The last instant that the world was told.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The time by the broker's clock.
    #[must_use]
    pub const fn broker_now(&self) -> Timestamp {
        self.now.plus_nanos(self.skew)
    }

    /// Lets shares trade always, or in New York's hours only.
    pub const fn set_hours(&mut self, hours: Hours) {
        self.market.set_hours(hours);
    }

    /// Opens an account with a key and a first deposit.
    pub fn open(&mut self, keys: &Keys, paper: bool, deposit: Decimal) -> AccountNo {
        let now = self.broker_now();
        self.broker.open(keys, paper, deposit, now)
    }

    /// Opens an account at Robinhood for coins: whoever signs with the private part of the key may ask about it. The API
    /// key names the account as other accounts' key ids do.
    pub fn open_robinhood(
        &mut self,
        api_key: &str,
        public_key: ed25519_dalek::VerifyingKey,
        deposit: Decimal,
    ) -> AccountNo {
        self.signers.insert(api_key.to_owned(), public_key);
        // Nobody can ask Alpaca's API about it: its secret is nobody's.
        let secret = format!("{:016x}{:016x}", self.dice.next(), self.dice.next());
        self.open(&Keys::new(api_key, &secret), false, deposit)
    }

    /// What the broker holds to be true of the account that is now behind a key.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchKey`].
    pub fn books(&self, key_id: &str) -> Result<Books, BrokerError> {
        self.broker.account_of(key_id).map(|account| self.broker.books(account))
    }

    /// Keys of the accounts that resets have made, oldest first.
    #[must_use]
    pub fn resets(&self) -> &[Keys] {
        &self.resets
    }

    /// Lets somebody trade on the account behind a key from now on.
    pub fn animate(&mut self, life: Life) {
        let index = self.lives.len();
        let first = life.first(self.now);
        self.lives.push(life);
        self.enqueue(first, Due::Live(index));
        self.enqueue(night_after(self.now), Due::Night(index));
    }

    /// Lets nobody trade any more, and nothing of what was to happen by itself; orders that stand are still filled.
    pub fn rest(&mut self) {
        self.queue.retain(|_, due| matches!(due, Due::Match(..)));
        self.armed.clear();
    }

    /// Lets something happen at an instant.
    pub fn at(&mut self, when: Timestamp, key_id: &str, event: Event) {
        self.enqueue(when.max(self.now), Due::Event(key_id.to_owned(), event));
    }

    /// Lets something happen right after so many more answers to requests for activities: between one page and the next.
    pub fn after_pages(&mut self, pages: u32, key_id: &str, event: Event) {
        self.armed.push((pages.max(1), key_id.to_owned(), event));
    }

    /// Spreads so many happenings over a span, at times and of kinds that the seed chooses. The account and its key stay.
    pub fn scatter(&mut self, key_id: &str, from: Timestamp, until: Timestamp, count: u32) {
        for _ in 0..count {
            let when = Timestamp::from_nanos(self.dice.between(from.nanos(), until.nanos()));
            let event = Event::thrown(&mut self.dice);
            if self.dice.chance(PerMillion::percent(20)) {
                let pages = 1 + u32::try_from(self.dice.below(20)).unwrap_or(0);
                self.after_pages(pages, key_id, event);
            } else {
                self.at(when, key_id, event);
            }
        }
    }

    /// When the world will next do something by itself.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.queue.first_key_value().map(|((when, _), _)| *when)
    }

    /// Does everything that is due until an instant, each at its own time.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((when, _), due) = entry.remove_entry();
            self.now = self.now.max(when);
            match due {
                Due::Match(account, order) => self.try_to_fill(account, &order),
                Due::Live(index) => self.live(index),
                Due::Night(index) => self.night(index),
                // What cannot happen (nothing to amend, a key long gone) does not.
                Due::Event(key, event) => drop(self.happen(&key, &event)),
            }
        }
        self.now = self.now.max(now);
    }

    /// Answers a request at an instant: REST of the trading and the data API, Alpha Vantage, Yahoo, Robinhood.
    pub fn handle(&mut self, request: &Request, now: Timestamp) -> Answer {
        self.advance(now);
        let answer = routes::answer(self, request);
        if request.path.starts_with("/v2/account/activities") {
            self.page_was_answered();
        }
        answer
    }

    fn page_was_answered(&mut self) {
        if self.armed.is_empty() {
            return;
        }
        for (pages, ..) in &mut self.armed {
            *pages -= 1;
        }
        let (happening, waiting) =
            std::mem::take(&mut self.armed).into_iter().partition(|(pages, ..)| *pages == 0);
        self.armed = waiting;
        let happening: Vec<(u32, String, Event)> = happening;
        for (_, key, event) in happening {
            drop(self.happen(&key, &event));
        }
    }

    fn enqueue(&mut self, when: Timestamp, due: Due) {
        self.queued += 1;
        self.queue.insert((when, self.queued), due);
    }

    /// Lets something happen now.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchKey`], or what the event needs is not there (nothing to amend or to take back).
    pub fn happen(&mut self, key_id: &str, event: &Event) -> Result<(), BrokerError> {
        let account = self.broker.account_of(key_id)?;
        let now = self.broker_now();
        let today = now.day_in(Zone::NEW_YORK);
        match event {
            Event::Burst(fills) => {
                let price = self.market.price("AAPL", self.now).unwrap_or(Decimal::ONE_HUNDRED);
                let parts: Vec<_> = (1..=*fills).map(|part| (Decimal::from(part), price, now)).collect();
                self.broker.trade_in_parts(
                    account,
                    NewOrder::market("AAPL", Side::Buy, Decimal::ONE),
                    &parts,
                    now,
                );
            }
            Event::LateNonTrade { days_ago, created_hours_ago } => {
                let date = today.plus_days(-i32::try_from(*days_ago).unwrap_or(1));
                let row = NonTrade::dividend(date, "KO", Decimal::TEN, Decimal::new(485, 3));
                let created = now.plus_nanos(-i64::from(*created_hours_ago) * 3_600 * SECOND);
                self.broker.book_backdated(account, row, created);
            }
            Event::Amend => {
                let id = self.some_non_trade(account)?;
                self.broker.amend(account, &id, |row| {
                    row.net_amount = Some(row.net_amount.unwrap_or_default() + Decimal::new(1, 2));
                })?;
            }
            Event::CancelNonTrade => {
                let id = self.some_non_trade(account)?;
                self.broker.cancel_activity(account, &id)?;
            }
            Event::Bust => {
                let id = self
                    .some_row(account, |row| matches!(&row.content, Content::Fill(fill) if !fill.busted))?;
                self.broker.bust(account, &id, now)?;
            }
            Event::UnknownType => {
                let mut row = NonTrade::cash("XQZ", today, Decimal::new(-123, 2));
                row.description = Some("Of a kind yet to be named".to_owned());
                self.broker.book(account, row, now);
            }
            Event::LongNumber => {
                let mut row = NonTrade::cash("FEE", today, Decimal::ZERO);
                row.extra.insert("net_amount".to_owned(), json!("-0.123456789012345678901234567891"));
                self.broker.book(account, row, now);
            }
            Event::BadRow => {
                let mut row = NonTrade::cash("MISC", today, Decimal::ZERO);
                row.raw = Some("[\"not\",\"an\",\"activity\"]".to_owned());
                self.broker.book(account, row, now);
            }
            Event::Autumn => {
                let price = self.market.price("BTC/USD", self.now).unwrap_or(Decimal::ONE_HUNDRED);
                let (first, second) = autumn_half_past_one(now).unwrap_or((now, now));
                let half = Decimal::new(5, 3);
                let parts = [(half, price, first), (half, price, second)];
                self.broker.trade_in_parts(
                    account,
                    NewOrder::market("BTC/USD", Side::Buy, Decimal::ONE),
                    &parts,
                    now,
                );
            }
            Event::Swap => drop(self.broker.swap(key_id, Decimal::from(50_000), now)?),
            Event::Reset => {
                let (_, keys) = self.broker.reset(key_id, Decimal::from(100_000), now)?;
                for life in self.lives.iter_mut().filter(|life| life.key_id == key_id) {
                    life.key_id.clone_from(&keys.id);
                }
                self.resets.push(keys);
            }
            Event::Revoke => self.broker.revoke(key_id)?,
            Event::Skew(milliseconds) => self.skew = milliseconds.saturating_mul(MILLISECOND),
            Event::Trade => {
                let cents = self.dice.between(1, 999);
                let quantity = Decimal::from(self.dice.between(1, 20));
                let symbol = self.dice.pick(&["AAPL", "KO", "MSFT", "TSLA"]).copied().unwrap_or("AAPL");
                let price = self.market.price(symbol, self.now).unwrap_or(Decimal::ONE_HUNDRED)
                    + Decimal::new(cents, 4);
                let side = if self.broker.account(account).quantity(symbol) >= quantity {
                    Side::Sell
                } else {
                    Side::Buy
                };
                self.broker.trade(account, symbol, side, quantity, price, now);
            }
        }
        Ok(())
    }

    fn some_non_trade(&mut self, account: AccountNo) -> Result<Arc<str>, BrokerError> {
        self.some_row(account, |row| match &row.content {
            // The first deposit stays: an account that never had money tells nothing.
            Content::NonTrade(content) => {
                content.status != Status::Canceled && content.raw.is_none() && content.activity_type != "JNLC"
            }
            Content::Fill(_) => false,
        })
    }

    /// One of the last fifty rows that will do.
    fn some_row(
        &mut self,
        account: AccountNo,
        will_do: impl Fn(&crate::broker::activity::Activity) -> bool,
    ) -> Result<Arc<str>, BrokerError> {
        let rows = self.broker.account(account).activities();
        let candidates: Vec<Arc<str>> =
            rows.iter().rev().filter(|row| will_do(row)).take(50).map(|row| row.id.clone()).collect();
        self.dice.pick(&candidates).cloned().ok_or_else(|| BrokerError::NoSuchActivity("any".to_owned()))
    }

    /// Takes an order that came in over the wire.
    ///
    /// # Errors
    /// [`BrokerError::Refused`].
    pub fn submit(&mut self, account: AccountNo, order: NewOrder) -> Result<String, BrokerError> {
        let now = self.broker_now();
        let symbol = order.symbol.clone();
        let id = self.broker.submit(account, order, &self.market, now)?;
        if matches!(self.matching, Matching::Automatic { .. }) {
            let wait = self.dice.between(20, 80) * MILLISECOND;
            self.enqueue(
                self.market.opens(&symbol, self.now).plus_nanos(wait),
                Due::Match(account, id.clone()),
            );
        }
        Ok(id)
    }

    fn try_to_fill(&mut self, account: AccountNo, order_id: &str) {
        let Some(order) =
            self.broker.account(account).order(order_id).filter(|order| order.status.is_open()).cloned()
        else {
            return;
        };
        let symbol = order.asked.symbol.clone();
        let now = self.broker_now();
        // An order that is no longer open is nothing to end.
        if order.asked.time_in_force == TimeInForce::Day && self.now >= self.end_of_day(&order) {
            drop(self.broker.end(account, order_id, OrderStatus::Expired, now));
            return;
        }
        let Some(price) = self.market.price(&symbol, self.now).filter(|price| !price.is_zero()) else {
            return;
        };
        let mut order = order;
        if !order.triggered && reaches_stop(&order, price) {
            self.broker.trigger(account, order_id);
            order.triggered = true;
        }
        let open = self.market.is_open(&symbol, self.now);
        if open && is_marketable(&order, price) {
            self.execute(account, &order, price);
        } else if open && matches!(order.asked.time_in_force, TimeInForce::Ioc | TimeInForce::Fok) {
            drop(self.broker.end(account, order_id, OrderStatus::Canceled, now));
        } else {
            // The longer it rests, the less often it is looked at.
            let rested = self.now.nanos() - order.submitted_at.nanos();
            let wait = (rested / 20).clamp(5 * SECOND, 600 * SECOND);
            let mut next = self.market.opens(&symbol, self.now.plus_nanos(wait));
            if order.asked.time_in_force == TimeInForce::Day {
                next = next.min(self.end_of_day(&order).max(self.now));
            }
            self.enqueue(next, Due::Match(account, order_id.to_owned()));
        }
    }

    /// When an order for the day is over: at the first close after it came in.
    fn end_of_day(&self, order: &Order) -> Timestamp {
        let submitted = order.submitted_at.plus_nanos(-self.skew);
        if self.market.is_open(&order.asked.symbol, calendar::session_after(submitted).close) {
            submitted.day_in(Zone::NEW_YORK).plus_days(1).start_in(Zone::NEW_YORK)
        } else {
            calendar::session_after(submitted).close
        }
    }

    fn execute(&mut self, account: AccountNo, order: &Order, price: Decimal) {
        let now = self.broker_now();
        let left = match order.asked.size {
            Size::Quantity(quantity) => quantity - order.filled,
            Size::Notional(dollars) => dollars.checked_div(price).unwrap_or_default().trunc_with_scale(9),
        };
        let Matching::Automatic { partial } = self.matching else { return };
        let whole =
            matches!(order.asked.size, Size::Notional(_)) || order.asked.time_in_force == TimeInForce::Fok;
        let fill = |broker: &mut Broker, quantity: Decimal, at: Timestamp| {
            if quantity > Decimal::ZERO {
                // It was open a moment ago; a fill that finds it ended is none.
                drop(broker.fill_at(account, &order.id, quantity, price, at, now));
            }
        };
        if whole || !self.dice.chance(partial) {
            fill(&mut self.broker, left, now);
            return;
        }
        let share = Decimal::from(self.dice.between(1, 9));
        let places = left.normalize().scale().max(u32::from(left < Decimal::TEN) * 4);
        let part = (left * share / Decimal::TEN).trunc_with_scale(places.min(9));
        if self.dice.chance(PerMillion::percent(50)) {
            // Both at once, and the exchange's times may run against the counting.
            let jitter = self.dice.between(-5_000, 5_000) * 1_000;
            fill(&mut self.broker, part, now);
            fill(&mut self.broker, left - part, now.plus_nanos(jitter));
        } else {
            fill(&mut self.broker, part, now);
            let later = self
                .market
                .opens(&order.asked.symbol, self.now.plus_nanos(self.dice.between(50, 5_000) * MILLISECOND));
            self.enqueue(later, Due::Match(account, order.id.clone()));
        }
    }

    /// One step of somebody's life.
    fn live(&mut self, index: usize) {
        let Some(life) = self.lives.get_mut(index) else { return };
        let Ok(account) = self.broker.account_of(&life.key_id) else { return };
        let asked = life.think(self.broker.account(account), &self.market, self.now);
        let next = life.next(&self.market, self.now);
        if let Some(order) = asked {
            // An order beyond the account's means is refused like anybody's.
            drop(self.submit(account, order));
        }
        self.enqueue(next, Due::Live(index));
    }

    /// What a night brings to the account of somebody who lives: splits, dividends, fees, deposits.
    fn night(&mut self, index: usize) {
        let now = self.broker_now();
        let Some(life) = self.lives.get_mut(index) else { return };
        let Ok(account) = self.broker.account_of(&life.key_id) else { return };
        let rows = life.night(account, self.broker.account(account), &self.market, self.now);
        for row in rows {
            self.broker.book(account, row, now);
        }
        self.enqueue(night_after(self.now), Due::Night(index));
    }

    pub(crate) fn account(&self, account: AccountNo) -> &Account {
        self.broker.account(account)
    }
}

/// Four in the morning in New York, when everybody sleeps and the back office writes.
fn night_after(at: Timestamp) -> Timestamp {
    let today = at.day_in(Zone::NEW_YORK);
    let night = today.at_in(4, 0, Zone::NEW_YORK);
    if night > at {
        night
    } else {
        today.plus_days(1).at_in(4, 0, Zone::NEW_YORK).max(at.plus_nanos(DAY / 2))
    }
}
