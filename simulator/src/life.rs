//! Somebody who trades on an account, and the back office that books what comes of it.

use crate::broker::AccountNo;
use crate::broker::account::Account;
use crate::broker::activity::{Content, NonTrade};
use crate::broker::order::{NewOrder, Side, Size, Terms, TimeInForce};
use crate::market::{Class, CorporateAction, Market};
use crate::random::{Dice, PerMillion, hash, hash_text};
use daybook_schemas::{Day, Timestamp, Zone};
use rust_decimal::{Decimal, RoundingStrategy};
use std::collections::BTreeMap;

/// Somebody's habits, from a seed.
#[derive(Clone, Debug)]
pub struct Life {
    /// On whose account.
    pub key_id: String,
    /// What is traded.
    pub symbols: Vec<String>,
    /// The mean time between two orders.
    interval_nanos: i64,
    dice: Dice,
    orders: u64,
    charged: bool,
    /// Of which account, and how many of its rows, fees were taken.
    seen: (Option<AccountNo>, usize),
    /// Until which day splits and dividends were looked at.
    nights: Option<Day>,
    /// Dividends on their way: to whom, when, for what, on how many, how much.
    promised: Vec<(AccountNo, Day, String, Decimal, Decimal)>,
}

/// Half of all orders carry one of these in front of their id.
const STRATEGIES: [&str; 3] = ["momentum", "value", "news"];

impl Life {
    /// Somebody who places so many orders an hour, on average, on the account behind a key.
    #[must_use]
    pub fn new(seed: u64, key_id: &str, orders_per_hour: u32) -> Self {
        Self {
            key_id: key_id.to_owned(),
            symbols: [
                "AAPL", "AMD", "BRK.B", "F", "KO", "MSFT", "NVDA", "SPY", "T", "TSLA", "BTC/USD", "ETH/USD",
            ]
            .map(str::to_owned)
            .to_vec(),
            interval_nanos: 3_600_000_000_000 / i64::from(orders_per_hour.max(1)),
            dice: Dice::new(hash(&[seed, hash_text(key_id)]), "life"),
            orders: 0,
            charged: true,
            seen: (None, 0),
            nights: None,
            promised: Vec::new(),
        }
    }

    /// The same with other symbols.
    #[must_use]
    pub fn trading(mut self, symbols: &[&str]) -> Self {
        self.symbols = symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
        self
    }

    /// The same where nobody takes fees, as at Robinhood.
    #[must_use]
    pub const fn without_fees(mut self) -> Self {
        self.charged = false;
        self
    }

    pub(crate) const fn first(&self, now: Timestamp) -> Timestamp {
        now.plus_nanos(self.interval_nanos / 4)
    }

    /// When to think again: not before anything trades.
    pub(crate) fn next(&mut self, market: &Market, now: Timestamp) -> Timestamp {
        let wait = self.dice.between(self.interval_nanos / 5, self.interval_nanos * 9 / 5).max(1_000_000);
        let at = now.plus_nanos(wait);
        // Asking the calendar costs more than asking whether a coin is among them, which always trades.
        if self.symbols.iter().any(|symbol| symbol.contains('/')) {
            return at;
        }
        self.symbols.first().map_or(at, |symbol| market.opens(symbol, at))
    }

    pub(crate) fn think(&mut self, account: &Account, market: &Market, now: Timestamp) -> Option<NewOrder> {
        let symbol = self.dice.pick(&self.symbols)?.clone();
        let listing = market.listing(&symbol).filter(|listing| listing.active)?;
        if !market.is_open(&symbol, now) {
            return None;
        }
        let price = market.price(&symbol, now)?;
        let held = account.quantity(&symbol);
        let sells = held > Decimal::ZERO && self.dice.chance(PerMillion::percent(50));
        let size = if sells {
            if self.dice.chance(PerMillion::percent(60)) { held } else { self.part_of(held, listing.class) }
        } else {
            self.affordable(account, price, listing.class)?
        };
        self.orders += 1;
        let number = self.orders;
        let strategy = self.dice.pick(&STRATEGIES).copied().filter(|_| number.is_multiple_of(2));
        // A coin's limit would rest until it is taken back.
        let limit = self.dice.chance(PerMillion::percent(8)) && listing.class == Class::Equity;
        let side = if sells { Side::Sell } else { Side::Buy };
        let away = if sells { Decimal::new(1_002, 3) } else { Decimal::new(998, 3) };
        Some(NewOrder {
            terms: if limit { Terms::Limit((price * away).round_dp(2)) } else { Terms::Market },
            size: Size::Quantity(size),
            time_in_force: if listing.class == Class::Crypto { TimeInForce::Gtc } else { TimeInForce::Day },
            client_order_id: strategy.map(|strategy| format!("{strategy}:{number:06}")),
            ..NewOrder::market(&symbol, side, size)
        })
    }

    fn part_of(&mut self, held: Decimal, class: Class) -> Decimal {
        let part = held * Decimal::from(self.dice.between(1, 9)) / Decimal::TEN;
        let places = if class == Class::Crypto || !held.fract().is_zero() { 6 } else { 0 };
        let part = part.trunc_with_scale(places);
        if part.is_zero() { held } else { part }
    }

    /// A twentieth of what is there at most; a tenth of share orders is for parts of shares.
    fn affordable(&mut self, account: &Account, price: Decimal, class: Class) -> Option<Decimal> {
        let most = (account.cash() / Decimal::from(20)).checked_div(price)?;
        let want = most * Decimal::from(self.dice.between(10, 100)) / Decimal::ONE_HUNDRED;
        let fractional = class == Class::Crypto || self.dice.chance(PerMillion::percent(10));
        let want = want.trunc_with_scale(if fractional { 6 } else { 0 });
        (want > Decimal::ZERO).then_some(want)
    }

    /// The rows that the back office writes in a night, in their order. Each is applied before the next night.
    pub(crate) fn night(
        &mut self,
        number: AccountNo,
        account: &Account,
        market: &Market,
        now: Timestamp,
    ) -> Vec<NonTrade> {
        let today = now.day_in(Zone::NEW_YORK);
        let mut rows =
            if self.charged { self.fees(number, account, today.plus_days(-1)) } else { Vec::new() };
        let since = self.nights.map_or(today, |day| day.plus_days(1));
        self.nights = Some(today);
        for (symbol, holding) in account.holdings() {
            for action in market.corporate_actions_of(symbol, since, today) {
                match action {
                    CorporateAction::Split { new, old, ex, .. } => {
                        rows.extend(split(symbol, holding.quantity, new, old, ex));
                    }
                    // Paper money earns no dividends.
                    CorporateAction::Dividend { payable, rate, .. } if !account.paper => {
                        self.promised.push((number, payable, symbol.to_owned(), holding.quantity, rate));
                    }
                    CorporateAction::Dividend { .. } => {}
                }
            }
        }
        // What was promised to an account that is no longer here went with it.
        self.promised.retain(|(to, ..)| *to == number);
        let (due, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.promised).into_iter().partition(|(_, day, ..)| *day <= today);
        self.promised = waiting;
        for (_, day, symbol, quantity, rate) in due {
            rows.push(NonTrade::dividend(day, &symbol, quantity, rate));
        }
        if !account.paper && self.dice.chance(PerMillion::percent(10)) {
            rows.push(NonTrade::cash("CSD", today, Decimal::from(self.dice.between(1, 20) * 100)));
        }
        rows
    }

    /// Fees on what was traded since the last night: regulators' on sold shares, the broker's on coins, taken from what was
    /// received.
    fn fees(&mut self, number: AccountNo, account: &Account, date: Day) -> Vec<NonTrade> {
        let from = if self.seen.0 == Some(number) { self.seen.1 } else { 0 };
        self.seen = (Some(number), account.activities().len());
        let (mut shares, mut proceeds, mut coin_dollars) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
        let mut coins: BTreeMap<&str, (Decimal, Decimal)> = BTreeMap::new();
        for row in account.activities().get(from..).unwrap_or_default() {
            let Content::Fill(fill) = &row.content else { continue };
            let value = fill.quantity * fill.price;
            match (fill.symbol.contains('/'), fill.side) {
                (true, Side::Buy) => {
                    let (quantity, price) = coins.entry(&fill.symbol).or_default();
                    *quantity += fill.quantity;
                    *price = fill.price;
                }
                (true, _) => coin_dollars += value,
                (false, Side::Sell | Side::SellShort) => {
                    shares += fill.quantity;
                    proceeds += value;
                }
                (false, Side::Buy) => {}
            }
        }
        let up = |dollars: Decimal| dollars.round_dp_with_strategy(2, RoundingStrategy::AwayFromZero);
        let mut rows = Vec::new();
        let mut charge = |kind: &str, dollars: Decimal, words: String| {
            if dollars > Decimal::ZERO {
                let mut row = NonTrade::cash(kind, date, -dollars);
                row.description = Some(words);
                rows.push(row);
            }
        };
        charge(
            "FEE",
            up(proceeds * Decimal::new(278, 7)),
            format!("REG fee for proceed of {} shares on {date}", shares.normalize()),
        );
        charge(
            "FEE",
            up(shares * Decimal::new(166, 6)),
            format!("TAF fee for proceed of {} shares on {date}", shares.normalize()),
        );
        charge(
            "CFEE",
            (coin_dollars * Decimal::new(25, 4)).round_dp(4),
            "Coin Pair Transaction Fee".to_owned(),
        );
        for (symbol, (quantity, price)) in coins {
            let fee = (quantity * Decimal::new(25, 4)).trunc_with_scale(9);
            if !fee.is_zero() {
                let mut row = NonTrade::shares("CFEE", date, &symbol.replace('/', ""), -fee);
                row.price = Some(price);
                row.description = Some("Coin Pair Transaction Fee (Non USD)".to_owned());
                rows.push(row);
            }
        }
        rows
    }
}

/// Two rows of one group: the new shares come, the old ones go (in this order, so that the cost has somewhere to stay);
/// parts of shares are kept.
fn split(symbol: &str, held: Decimal, new: u32, old: u32, ex: Day) -> [NonTrade; 2] {
    let after = (held * Decimal::from(new) / Decimal::from(old)).round_dp(9);
    [after, -held].map(|quantity| {
        let mut row = NonTrade::shares("SPLIT", ex, symbol, quantity);
        row.group_id = Some(format!("{symbol}-{ex}"));
        row.description = Some(format!("{new} for {old}"));
        row
    })
}
