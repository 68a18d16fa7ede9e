//! The broker: accounts behind keys, and everything that can be done to them.

pub mod account;
pub mod activity;
pub mod order;

use crate::market::{Class, Market};
use crate::random::{Dice, hash};
use account::{Account, Execution, Update};
use activity::{Activity, Content, Fill, NonTrade, Status, activity_id};
use daybook_schemas::{Timestamp, Zone};
use order::{NewOrder, Order, OrderStatus, Side, Size, Terms};
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An account of the broker, for as long as the world lasts: it goes on naming the same one after a reset or a swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountNo(usize);

/// What a client proves itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Public part.
    pub id: String,
    /// Secret part.
    pub secret: String,
}

impl Keys {
    /// Keys of one's own choice.
    #[must_use]
    pub fn new(id: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), secret: secret.to_owned() }
    }
}

/// Why the broker did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The key belongs to no account.
    #[error("no account has the key `{0}`: open one with it first")]
    NoSuchKey(String),
    /// The account has no such order.
    #[error("the account has no order `{0}`")]
    NoSuchOrder(String),
    /// The account has no such row, or not one to which this can be done.
    #[error("the account has no row `{0}` to which this can be done")]
    NoSuchActivity(String),
    /// The order was refused, as it would be at Alpaca: with a status and a code.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Alpaca's code.
        code: u64,
        /// What is wrong and what to do.
        message: String,
    },
}

impl BrokerError {
    /// 422, as for parameters that make no sense.
    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::Refused { status: 422, code: 42_210_000, message: message.into() }
    }

    /// 403, as for what the account cannot afford.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::Refused { status: 403, code: 40_310_000, message: message.into() }
    }
}

/// A fill on the broker's books, for comparing a journal with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookedFill {
    /// The row's id.
    pub id: Arc<str>,
    /// When it happened.
    pub at: Timestamp,
    /// What it says.
    pub fill: Fill,
}

/// Any other row on the broker's books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookedNonTrade {
    /// The row's id.
    pub id: Arc<str>,
    /// When it was written down.
    pub created_at: Timestamp,
    /// What it says now.
    pub row: NonTrade,
}

/// What the broker holds to be true of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Books {
    /// The account's id.
    pub account: String,
    /// Dollars.
    pub cash: Decimal,
    /// Quantity by symbol, signed; nothing that is zero.
    pub positions: BTreeMap<String, Decimal>,
    /// Filled quantity by order id; nothing that is zero.
    pub filled: BTreeMap<String, Decimal>,
    /// Fills as they were written down, busted ones included.
    pub fills: Vec<BookedFill>,
    /// Other rows as they were written down, canceled ones included.
    pub non_trades: Vec<BookedNonTrade>,
}

#[derive(Clone, Debug)]
struct Key {
    secret: String,
    account: AccountNo,
    revoked: bool,
}

/// Whether a client is who it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The account behind the key.
    Granted(AccountNo),
    /// Nobody has this key, or no longer.
    Unknown,
    /// Somebody has this key and another secret.
    WrongSecret,
}

/// The broker.
#[derive(Clone, Debug)]
pub struct Broker {
    seed: u64,
    dice: Dice,
    accounts: Vec<Account>,
    keys: BTreeMap<String, Key>,
    made: u64,
    revision: u64,
}

impl Broker {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            dice: Dice::new(seed, "broker"),
            accounts: Vec::new(),
            keys: BTreeMap::new(),
            made: 0,
            revision: 0,
        }
    }

    /// Grows with every change, so that one who waits can see whether there was any.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Opens an account with a key and a first deposit (written as `JNLC` on paper, else as `CSD`; none where it is zero).
    pub fn open(&mut self, keys: &Keys, paper: bool, deposit: Decimal, now: Timestamp) -> AccountNo {
        let account = self.new_account(paper, deposit, now);
        self.keys.insert(keys.id.clone(), Key { secret: keys.secret.clone(), account, revoked: false });
        account
    }

    fn new_account(&mut self, paper: bool, deposit: Decimal, now: Timestamp) -> AccountNo {
        let account = AccountNo(self.accounts.len());
        let id = self.dice.uuid();
        let number = format!("{}{:09}", if paper { "PA" } else { "" }, self.dice.below(1_000_000_000));
        self.accounts.push(Account::new(id, number, paper, now));
        if !deposit.is_zero() {
            let kind = if paper { "JNLC" } else { "CSD" };
            self.book(account, NonTrade::cash(kind, now.day_in(Zone::NEW_YORK), deposit), now);
        }
        account
    }

    /// The account behind a key, dead or alive.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchKey`].
    pub fn account_of(&self, key_id: &str) -> Result<AccountNo, BrokerError> {
        self.keys.get(key_id).map(|key| key.account).ok_or_else(|| BrokerError::NoSuchKey(key_id.to_owned()))
    }

    /// Whether a client may see an account.
    #[must_use]
    pub fn admit(&self, key_id: &str, secret: &str) -> Admission {
        match self.keys.get(key_id) {
            Some(key) if !key.revoked && !self.account(key.account).closed => {
                if key.secret == secret {
                    Admission::Granted(key.account)
                } else {
                    Admission::WrongSecret
                }
            }
            _ => Admission::Unknown,
        }
    }

    /// Whether a key still opens anything.
    pub(crate) fn is_live(&self, key_id: &str) -> bool {
        self.keys.get(key_id).is_some_and(|key| !key.revoked && !self.account(key.account).closed)
    }

    /// An account.
    #[must_use]
    pub fn account(&self, account: AccountNo) -> &Account {
        &self.accounts[account.0]
    }

    /// All accounts, closed ones included.
    pub fn accounts(&self) -> impl Iterator<Item = (AccountNo, &Account)> {
        self.accounts.iter().enumerate().map(|(index, account)| (AccountNo(index), account))
    }

    fn account_mut(&mut self, account: AccountNo) -> &mut Account {
        self.revision += 1;
        &mut self.accounts[account.0]
    }

    fn unique(&mut self) -> String {
        self.made += 1;
        crate::random::uuid(hash(&[self.seed, self.made, 1]), hash(&[self.seed, self.made, 2]))
    }

    /// What the broker holds to be true of an account.
    #[must_use]
    pub fn books(&self, account: AccountNo) -> Books {
        let account = self.account(account);
        let mut books = Books {
            account: account.id.clone(),
            cash: account.cash(),
            positions: account
                .holdings()
                .map(|(symbol, holding)| (symbol.to_owned(), holding.quantity))
                .collect(),
            filled: BTreeMap::new(),
            fills: Vec::new(),
            non_trades: Vec::new(),
        };
        for order in account.orders().iter().filter(|order| !order.filled.is_zero()) {
            books.filled.insert(order.id.clone(), order.filled);
        }
        for row in account.activities() {
            match &row.content {
                Content::Fill(fill) => {
                    books.fills.push(BookedFill { id: row.id.clone(), at: row.at, fill: fill.clone() });
                }
                Content::NonTrade(content) => books.non_trades.push(BookedNonTrade {
                    id: row.id.clone(),
                    created_at: row.created_at,
                    row: content.clone(),
                }),
            }
        }
        books
    }

    /// Takes an order as a client would place it, after the checks that Alpaca makes.
    ///
    /// # Errors
    /// [`BrokerError::Refused`].
    pub fn submit(
        &mut self,
        account: AccountNo,
        asked: NewOrder,
        market: &Market,
        now: Timestamp,
    ) -> Result<String, BrokerError> {
        let listing = market.listing(&asked.symbol).filter(|listing| listing.active).ok_or_else(|| {
            BrokerError::unprocessable(format!("asset \"{}\" not found or not active", asked.symbol))
        })?;
        let asked = NewOrder { symbol: listing.symbol.clone(), ..asked };
        self.check(account, &asked, listing.class, market, now)?;
        Ok(self.place(account, asked, listing.class, now))
    }

    fn check(
        &self,
        account: AccountNo,
        asked: &NewOrder,
        class: Class,
        market: &Market,
        now: Timestamp,
    ) -> Result<(), BrokerError> {
        let account = self.account(account);
        let amount = match asked.size {
            Size::Quantity(amount) | Size::Notional(amount) => amount,
        };
        if amount <= Decimal::ZERO {
            return Err(BrokerError::unprocessable("qty and notional must be > 0"));
        }
        if amount.normalize().scale() > 9 || amount > Decimal::from(1_000_000_000) {
            return Err(BrokerError::unprocessable(
                "qty must have at most 9 decimals and be below a billion",
            ));
        }
        let (limit, stop) = asked.terms.prices();
        if [limit, stop].into_iter().flatten().any(|price| {
            price <= Decimal::ZERO || price.normalize().scale() > 9 || price > Decimal::from(1_000_000_000)
        }) {
            return Err(BrokerError::unprocessable(
                "limit_price and stop_price must be > 0, below a billion, with at most 9 decimals",
            ));
        }
        if asked.client_order_id.as_ref().is_some_and(|id| id.chars().count() > 128) {
            return Err(BrokerError::unprocessable("client_order_id must be at most 128 characters"));
        }
        if asked.client_order_id.as_ref().is_some_and(|id| account.order_by_client_id(id).is_some()) {
            return Err(BrokerError::Refused {
                status: 422,
                code: 40_010_001,
                message: "client_order_id must be unique".to_owned(),
            });
        }
        let price = limit.or(stop).or_else(|| market.price(&asked.symbol, now)).unwrap_or_default();
        let (quantity, value) = match asked.size {
            Size::Quantity(quantity) => (quantity, quantity * price),
            Size::Notional(dollars) => (dollars.checked_div(price).unwrap_or_default(), dollars),
        };
        let held = account.quantity(&asked.symbol);
        // From long to short, or back, takes two orders; parts of shares and coins cannot be sold short at all.
        let opposes = (asked.side == Side::Buy) == held.is_sign_negative() && !held.is_zero();
        let crosses = opposes && quantity > held.abs();
        let opens = if asked.side == Side::Buy { held >= Decimal::ZERO } else { held <= Decimal::ZERO };
        let short = opens && asked.side != Side::Buy;
        if crosses || short && (class == Class::Crypto || !quantity.fract().is_zero()) {
            return Err(BrokerError::forbidden(format!(
                "insufficient qty available for order (requested: {}, available: {})",
                quantity.round_dp(9).normalize(),
                held.abs().normalize()
            )));
        }
        if opens && value > buying_power(account, market, now) {
            return Err(BrokerError::forbidden("insufficient buying power"));
        }
        Ok(())
    }

    /// Places an order without asking whether it makes sense: tests fill what no listing has.
    pub fn place(&mut self, account: AccountNo, asked: NewOrder, class: Class, now: Timestamp) -> String {
        let id = self.unique();
        let client_order_id = asked.client_order_id.clone().unwrap_or_else(|| self.unique());
        let account = self.account_mut(account);
        let held = account.quantity(&asked.symbol);
        let intent = match asked.side {
            Side::Buy if held < Decimal::ZERO => "buy_to_close",
            Side::Buy => "buy_to_open",
            Side::Sell | Side::SellShort if held > Decimal::ZERO => "sell_to_close",
            Side::Sell | Side::SellShort => "sell_to_open",
        };
        let order = Order {
            id: id.clone(),
            client_order_id: client_order_id.clone(),
            asked,
            class,
            intent,
            submitted_at: now,
            updated_at: now,
            filled_at: None,
            canceled_at: None,
            expired_at: None,
            filled: Decimal::ZERO,
            filled_value: Decimal::ZERO,
            status: OrderStatus::New,
            triggered: false,
        };
        let index = account.orders.len();
        account.orders_by_id.insert(id.clone(), index);
        account.orders_by_client_id.insert(client_order_id, index);
        account.open_orders.insert(index);
        account.tell(Update { event: "new", at: now, order: order.clone(), execution: None });
        account.orders.push(order);
        id
    }

    /// Fills an order or a part of it now.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchOrder`]: also where the order is no longer open.
    pub fn fill(
        &mut self,
        account: AccountNo,
        order_id: &str,
        quantity: Decimal,
        price: Decimal,
        now: Timestamp,
    ) -> Result<Arc<str>, BrokerError> {
        self.fill_at(account, order_id, quantity, price, now, now)
    }

    /// Fills an order or a part of it, with a transaction time of its own: within an order these need not ascend.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchOrder`]: also where the order is no longer open.
    pub fn fill_at(
        &mut self,
        account: AccountNo,
        order_id: &str,
        quantity: Decimal,
        price: Decimal,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<Arc<str>, BrokerError> {
        let unique = self.unique();
        let execution_id = self.unique();
        let no_such_order = || BrokerError::NoSuchOrder(order_id.to_owned());
        let account = self.account_mut(account);
        let index = *account.orders_by_id.get(order_id).ok_or_else(no_such_order)?;
        let order = &mut account.orders[index];
        if !order.status.is_open() {
            return Err(no_such_order());
        }
        let held =
            account.holdings.get(&order.asked.symbol).map_or(Decimal::ZERO, |holding| holding.quantity);
        order.filled += quantity;
        order.filled_value += quantity * price;
        order.updated_at = now;
        let leaves = match order.asked.size {
            Size::Quantity(asked) => (asked - order.filled).max(Decimal::ZERO),
            // Dollars are filled by one execution.
            Size::Notional(_) => Decimal::ZERO,
        };
        let whole = leaves.is_zero();
        order.status = if whole { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
        if whole {
            order.filled_at = Some(now);
            account.open_orders.remove(&index);
        }
        let side = match order.asked.side {
            Side::Buy => Side::Buy,
            _ if held <= Decimal::ZERO => Side::SellShort,
            _ => Side::Sell,
        };
        let fill = Fill {
            order_id: order.id.clone(),
            client_order_id: order.client_order_id.clone(),
            execution_id: execution_id.clone(),
            symbol: order.asked.symbol.clone(),
            side,
            quantity,
            price,
            cumulative: order.filled,
            leaves,
            order_status: order.status.code(),
            busted: false,
        };
        let order = order.clone();
        let id = activity_id(at, &unique);
        let position = held + side.signed(quantity);
        account.write(Activity { id: id.clone(), at, created_at: now, content: Content::Fill(fill) });
        account.tell(Update {
            event: if whole { "fill" } else { "partial_fill" },
            at,
            order,
            execution: Some(Execution { id: execution_id, price, quantity, position }),
        });
        Ok(id)
    }

    /// Places a market order and fills it whole, unchecked: any symbol, any price.
    pub fn trade(
        &mut self,
        account: AccountNo,
        symbol: &str,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        now: Timestamp,
    ) -> Arc<str> {
        self.trade_in_parts(account, NewOrder::market(symbol, side, quantity), &[(quantity, price, now)], now)
            .pop()
            .expect("one part gives one fill")
    }

    /// Places an order and fills it part by part, each with its transaction time, all written down now. The order's
    /// quantity is the parts' sum.
    pub fn trade_in_parts(
        &mut self,
        account: AccountNo,
        order: NewOrder,
        parts: &[(Decimal, Decimal, Timestamp)],
        now: Timestamp,
    ) -> Vec<Arc<str>> {
        let size = Size::Quantity(parts.iter().map(|(quantity, ..)| *quantity).sum());
        let class = if order.symbol.contains('/') { Class::Crypto } else { Class::Equity };
        let order_id = self.place(account, NewOrder { size, ..order }, class, now);
        parts
            .iter()
            .filter_map(|(quantity, price, at)| {
                self.fill_at(account, &order_id, *quantity, *price, *at, now).ok()
            })
            .collect()
    }

    /// Takes an order back. What was filled stays filled.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchOrder`], or [`BrokerError::Refused`] where it is no longer open.
    pub fn cancel(&mut self, account: AccountNo, order_id: &str, now: Timestamp) -> Result<(), BrokerError> {
        self.end(account, order_id, OrderStatus::Canceled, now)
    }

    pub(crate) fn end(
        &mut self,
        account: AccountNo,
        order_id: &str,
        status: OrderStatus,
        now: Timestamp,
    ) -> Result<(), BrokerError> {
        let account = self.account_mut(account);
        let index = *account
            .orders_by_id
            .get(order_id)
            .ok_or_else(|| BrokerError::NoSuchOrder(order_id.to_owned()))?;
        let order = &mut account.orders[index];
        if !order.status.is_open() {
            return Err(BrokerError::unprocessable(format!(
                "order is already in \"{}\" state",
                order.status.code()
            )));
        }
        order.status = status;
        order.updated_at = now;
        let expired = status == OrderStatus::Expired;
        if expired {
            order.expired_at = Some(now);
        } else {
            order.canceled_at = Some(now);
        }
        let order = order.clone();
        account.open_orders.remove(&index);
        account.tell(Update {
            event: if expired { "expired" } else { "canceled" },
            at: now,
            order,
            execution: None,
        });
        Ok(())
    }

    pub(crate) fn trigger(&mut self, account: AccountNo, order_id: &str) {
        let account = self.account_mut(account);
        if let Some(order) =
            account.orders_by_id.get(order_id).and_then(|index| account.orders.get_mut(*index))
        {
            order.triggered = true;
        }
    }

    /// Writes down any row that is no fill. Its day may lie in the past: then it is late.
    pub fn book(&mut self, account: AccountNo, row: NonTrade, now: Timestamp) -> Arc<str> {
        self.book_backdated(account, row, now)
    }

    /// The same, saying that it was written down at another time than now: such a row turns up behind a client's
    /// watermark.
    pub fn book_backdated(&mut self, account: AccountNo, row: NonTrade, created_at: Timestamp) -> Arc<str> {
        let at = row.date.start_in(Zone::NEW_YORK);
        let unique = self.unique();
        let id = activity_id(at, &unique);
        self.account_mut(account).write(Activity {
            id: id.clone(),
            at,
            created_at,
            content: Content::NonTrade(row),
        });
        id
    }

    /// Writes something else under the same id. The row's status becomes `correct` unless the change says otherwise;
    /// when it was written down does not change, as at Alpaca.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchActivity`].
    pub fn amend(
        &mut self,
        account: AccountNo,
        id: &str,
        change: impl FnOnce(&mut NonTrade),
    ) -> Result<(), BrokerError> {
        let rewritten = self.account_mut(account).rewrite(id, |row| {
            row.status = Status::Correct;
            change(row);
        });
        if rewritten { Ok(()) } else { Err(BrokerError::NoSuchActivity(id.to_owned())) }
    }

    /// Cancels a row that is no fill: its status says so and its effect is gone.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchActivity`].
    pub fn cancel_activity(&mut self, account: AccountNo, id: &str) -> Result<(), BrokerError> {
        self.amend(account, id, |row| row.status = Status::Canceled)
    }

    /// Undoes a fill: the row stays and gets `"status":"canceled"`, order, position and cash lose it, and the
    /// stream says `trade_bust`.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchActivity`]: also where it was undone before.
    pub fn bust(&mut self, account: AccountNo, id: &str, now: Timestamp) -> Result<(), BrokerError> {
        let account = self.account_mut(account);
        let fill = account.bust(id, now).ok_or_else(|| BrokerError::NoSuchActivity(id.to_owned()))?;
        let position = account.quantity(&fill.symbol);
        if let Some(order) = account.order(&fill.order_id).cloned() {
            account.tell(Update {
                event: "trade_bust",
                at: now,
                order,
                execution: Some(Execution {
                    id: fill.execution_id,
                    price: fill.price,
                    quantity: fill.quantity,
                    position,
                }),
            });
        }
        Ok(())
    }

    /// Resets a paper account: a new account with new keys and a new deposit; the old keys die.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchKey`].
    pub fn reset(
        &mut self,
        key_id: &str,
        deposit: Decimal,
        now: Timestamp,
    ) -> Result<(AccountNo, Keys), BrokerError> {
        let old = self.account_of(key_id)?;
        let paper = self.account(old).paper;
        self.account_mut(old).closed = true;
        let keys = Keys {
            id: format!("PK{}", self.unique().replace('-', "").to_uppercase()),
            secret: self.unique(),
        };
        Ok((self.open(&keys, paper, deposit, now), keys))
    }

    /// Makes a key worthless. The account stays.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchKey`].
    pub fn revoke(&mut self, key_id: &str) -> Result<(), BrokerError> {
        self.revision += 1;
        let key = self.keys.get_mut(key_id).ok_or_else(|| BrokerError::NoSuchKey(key_id.to_owned()))?;
        key.revoked = true;
        Ok(())
    }

    /// Puts another, new account under the same key. The old one stays as it is, with no key.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchKey`].
    pub fn swap(&mut self, key_id: &str, deposit: Decimal, now: Timestamp) -> Result<AccountNo, BrokerError> {
        let paper = self.account(self.account_of(key_id)?).paper;
        let account = self.new_account(paper, deposit, now);
        let key = self.keys.get_mut(key_id).ok_or_else(|| BrokerError::NoSuchKey(key_id.to_owned()))?;
        key.account = account;
        Ok(account)
    }
}

/// What can be bought with: twice the equity less what is invested, as on a margin account.
pub(crate) fn buying_power(account: &Account, market: &Market, now: Timestamp) -> Decimal {
    let (long, short) = market_values(account, market, now);
    let equity = account.cash() + long + short;
    (equity * Decimal::TWO - long + short).max(Decimal::ZERO)
}

/// What longs and shorts are worth; shorts below zero. What the market does not know counts at its cost.
pub(crate) fn market_values(account: &Account, market: &Market, now: Timestamp) -> (Decimal, Decimal) {
    account.holdings().fold((Decimal::ZERO, Decimal::ZERO), |(long, short), (symbol, holding)| {
        let value = market.price(symbol, now).map_or(holding.cost, |price| holding.quantity * price);
        if holding.quantity.is_sign_negative() { (long, short + value) } else { (long + value, short) }
    })
}

/// Whether an order may trade at a price, given that its stop (if any) was reached.
pub(crate) fn is_marketable(order: &Order, price: Decimal) -> bool {
    let buys = order.asked.side == Side::Buy;
    let better = |limit: Decimal| if buys { price <= limit } else { price >= limit };
    match order.asked.terms {
        Terms::Market => true,
        Terms::Limit(limit) => better(limit),
        Terms::Stop(_) => order.triggered,
        Terms::StopLimit(_, limit) => order.triggered && better(limit),
    }
}

/// Whether a price reaches an order's stop.
pub(crate) fn reaches_stop(order: &Order, price: Decimal) -> bool {
    match order.asked.terms {
        Terms::Stop(stop) | Terms::StopLimit(stop, _) => {
            if order.asked.side == Side::Buy {
                price >= stop
            } else {
                price <= stop
            }
        }
        Terms::Market | Terms::Limit(_) => false,
    }
}
