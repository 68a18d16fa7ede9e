//! One account: cash, positions, orders, and its history in the two orders in which it is asked for.

use super::activity::{Activity, Content, Fill, NonTrade};
use super::order::{Order, OrderStatus};
use daybook_schemas::Timestamp;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

/// The stream remembers this many messages; a socket that lags further behind misses some.
const UPDATES_KEPT: usize = 4_096;

/// What is held of one symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Signed: below zero for a short.
    pub quantity: Decimal,
    /// What it cost, with the quantity's sign.
    pub cost: Decimal,
}

impl Holding {
    /// Adds shares at a price, or takes some away at the average cost.
    fn trade(&mut self, quantity: Decimal, price: Decimal) {
        let after = self.quantity + quantity;
        let grows =
            self.quantity.is_zero() || self.quantity.is_sign_negative() == quantity.is_sign_negative();
        self.cost = if after.is_zero() {
            Decimal::ZERO
        } else if grows {
            self.cost + quantity * price
        } else if after.is_sign_negative() == self.quantity.is_sign_negative() {
            (self.cost * after / self.quantity).round_dp(8)
        } else {
            // It went through zero: what is left was all bought at this price.
            after * price
        };
        self.quantity = after;
    }

    /// Shares that come or go without a price: the cost stays, spread over what is there.
    fn move_shares(&mut self, quantity: Decimal) {
        self.quantity += quantity;
        if self.quantity.is_zero() {
            self.cost = Decimal::ZERO;
        }
    }
}

/// A message for the `trade_updates` stream.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    pub(crate) event: &'static str,
    pub(crate) at: Timestamp,
    pub(crate) order: Order,
    pub(crate) execution: Option<Execution>,
}

/// What a message says about one execution.
#[derive(Clone, Debug)]
pub(crate) struct Execution {
    pub(crate) id: String,
    pub(crate) price: Decimal,
    pub(crate) quantity: Decimal,
    pub(crate) position: Decimal,
}

/// Where a row stands in the order of happening.
type Place = (Timestamp, Arc<str>);

/// Which rows of an account's history are wanted.
#[derive(Clone, Debug, Default)]
pub struct HistoryQuery {
    /// Only fills (`Some(true)`), only others (`Some(false)`).
    pub fills: Option<bool>,
    /// Only rows of these types; empty for all.
    pub types: Vec<String>,
    /// Only an order's fills.
    pub order_id: Option<String>,
    /// Only rows written down after this.
    pub after: Option<Timestamp>,
    /// Only rows written down before this.
    pub until: Option<Timestamp>,
    /// Only rows written down until then, included: later ones do not show yet.
    pub shown_until: Option<Timestamp>,
    /// Newest first.
    pub descending: bool,
    /// Only rows behind the one with this id.
    pub page_token: Option<String>,
    /// At most so many.
    pub page_size: usize,
}

/// An account as the broker keeps it.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its id, a UUID.
    pub id: String,
    /// Its number, as on statements.
    pub number: String,
    /// Play money.
    pub paper: bool,
    /// When it was opened.
    pub opened: Timestamp,
    /// Closed by a reset: its keys are dead.
    pub closed: bool,
    pub(crate) cash: Decimal,
    pub(crate) holdings: BTreeMap<String, Holding>,
    pub(crate) orders: Vec<Order>,
    pub(crate) orders_by_id: BTreeMap<String, usize>,
    pub(crate) orders_by_client_id: BTreeMap<String, usize>,
    pub(crate) open_orders: std::collections::BTreeSet<usize>,
    activities: Vec<Activity>,
    /// Fills written down when they happened: here a span of writing is a span of happening.
    prompt: BTreeMap<Place, usize>,
    /// All others.
    late: BTreeMap<Place, usize>,
    by_id: BTreeMap<Arc<str>, usize>,
    updates: VecDeque<Update>,
    updates_forgotten: u64,
}

impl Account {
    pub(crate) fn new(id: String, number: String, paper: bool, opened: Timestamp) -> Self {
        Self {
            id,
            number,
            paper,
            opened,
            closed: false,
            cash: Decimal::ZERO,
            holdings: BTreeMap::new(),
            orders: Vec::new(),
            orders_by_id: BTreeMap::new(),
            orders_by_client_id: BTreeMap::new(),
            open_orders: std::collections::BTreeSet::new(),
            activities: Vec::new(),
            prompt: BTreeMap::new(),
            late: BTreeMap::new(),
            by_id: BTreeMap::new(),
            updates: VecDeque::new(),
            updates_forgotten: 0,
        }
    }

    /// Dollars.
    #[must_use]
    pub const fn cash(&self) -> Decimal {
        self.cash
    }

    /// What is held, by symbol; nothing that is zero.
    pub fn holdings(&self) -> impl Iterator<Item = (&str, Holding)> {
        self.holdings
            .iter()
            .filter(|(_, holding)| !holding.quantity.is_zero())
            .map(|(symbol, holding)| (symbol.as_str(), *holding))
    }

    /// How much is held of a symbol, signed.
    #[must_use]
    pub fn quantity(&self, symbol: &str) -> Decimal {
        self.holdings.get(symbol).map_or(Decimal::ZERO, |holding| holding.quantity)
    }

    /// An order by the broker's id.
    #[must_use]
    pub fn order(&self, id: &str) -> Option<&Order> {
        self.orders_by_id.get(id).map(|index| &self.orders[*index])
    }

    /// An order by the client's id.
    #[must_use]
    pub fn order_by_client_id(&self, id: &str) -> Option<&Order> {
        self.orders_by_client_id.get(id).map(|index| &self.orders[*index])
    }

    /// All orders as they came in.
    #[must_use]
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// All rows in the order in which they were written down.
    #[must_use]
    pub fn activities(&self) -> &[Activity] {
        &self.activities
    }

    /// A row by its id.
    #[must_use]
    pub fn activity(&self, id: &str) -> Option<&Activity> {
        self.by_id.get(id).map(|index| &self.activities[*index])
    }

    /// One page of history: in order of happening, selected by when it was written down. Without `after` and `until` it
    /// costs the page; with them also the rows that were written down late. `None`: the page token is no row's id.
    #[must_use]
    pub fn history(&self, query: &HistoryQuery) -> Option<Vec<&Activity>> {
        let start = match &query.page_token {
            None => None,
            Some(token) => Some(self.place(self.by_id.get(token.as_str())?)),
        };
        // What was written down when it happened is found by its time alone.
        let first =
            (query.after.map_or(Timestamp::from_nanos(i64::MIN), |after| after.plus_nanos(1)), Arc::from(""));
        let last = (query.until.unwrap_or(Timestamp::from_nanos(i64::MAX)), Arc::from(""));
        if first > last {
            return Some(Vec::new());
        }
        let (mut low, mut high) = (Bound::Included(first), Bound::Excluded(last));
        let (mut late_low, mut late_high) = (Bound::Unbounded, Bound::Unbounded);
        if let Some(start) = start {
            if query.descending {
                high = Bound::Excluded(start.clone().min(bound(&high)));
                late_high = Bound::Excluded(start);
            } else {
                if bound(&low) <= start {
                    low = Bound::Excluded(start.clone());
                }
                late_low = Bound::Excluded(start);
            }
        }
        if bound(&low) >= bound(&high) {
            // Nothing prompt is left; an empty span that `range` accepts.
            (low, high) = (Bound::Excluded(bound(&high)), Bound::Included(bound(&high)));
        }
        let wanted = |index: &usize| self.is_wanted(&self.activities[*index], query);
        if query.fills == Some(false) {
            (low, high) = (Bound::Excluded(bound(&high)), Bound::Included(bound(&high)));
        }
        let prompt = self.prompt.range((low, high)).filter(|(_, index)| wanted(index));
        let late = self.late.range((late_low, late_high)).filter(|(_, index)| wanted(index));
        let merged: Vec<&Activity> = if query.descending {
            merge(prompt.rev(), late.rev(), query.page_size, |a, b| a > b)
        } else {
            merge(prompt, late, query.page_size, |a, b| a < b)
        }
        .into_iter()
        .map(|index| &self.activities[index])
        .collect();
        Some(merged)
    }

    fn place(&self, index: &usize) -> Place {
        let row = &self.activities[*index];
        (row.at, row.id.clone())
    }

    fn is_wanted(&self, row: &Activity, query: &HistoryQuery) -> bool {
        let is_fill = matches!(row.content, Content::Fill(_));
        let order = match &row.content {
            Content::Fill(fill) => Some(&fill.order_id),
            Content::NonTrade(_) => None,
        };
        query.fills.is_none_or(|fills| fills == is_fill)
            && (query.types.is_empty()
                || query.types.iter().any(|wanted| is_of_type(row.activity_type(), wanted)))
            && query.order_id.as_ref().is_none_or(|wanted| order == Some(wanted))
            && query.after.is_none_or(|after| row.created_at > after)
            && query.until.is_none_or(|until| row.created_at < until)
            && query.shown_until.is_none_or(|shown| row.created_at <= shown)
    }

    pub(crate) fn write(&mut self, row: Activity) {
        let index = self.activities.len();
        let place = (row.at, row.id.clone());
        let is_prompt = matches!(row.content, Content::Fill(_)) && row.created_at == row.at;
        if is_prompt {
            self.prompt.insert(place, index)
        } else {
            self.late.insert(place, index)
        };
        self.by_id.insert(row.id.clone(), index);
        match &row.content {
            Content::Fill(fill) => self.apply_fill(fill),
            Content::NonTrade(non_trade) => self.apply_non_trade(non_trade, Decimal::ONE),
        }
        self.activities.push(row);
    }

    fn apply_fill(&mut self, fill: &Fill) {
        let quantity = fill.side.signed(fill.quantity);
        self.cash -= quantity * fill.price;
        self.holdings.entry(fill.symbol.clone()).or_default().trade(quantity, fill.price);
    }

    fn apply_non_trade(&mut self, row: &NonTrade, sign: Decimal) {
        self.cash += sign * row.cash_effect();
        if let Some((symbol, quantity)) = row.share_effect() {
            let symbol = self.held_as(symbol);
            self.holdings.entry(symbol).or_default().move_shares(sign * quantity);
        }
    }

    /// Fees on coins name the pair without its slash.
    fn held_as(&self, symbol: &str) -> String {
        let pair = self.holdings.keys().find(|held| held.contains('/') && held.replace('/', "") == symbol);
        pair.cloned().unwrap_or_else(|| symbol.to_owned())
    }

    /// Puts another content under the same id. False where there is no such row, or it is a fill.
    pub(crate) fn rewrite(&mut self, id: &str, change: impl FnOnce(&mut NonTrade)) -> bool {
        let Some(index) = self.by_id.get(id).copied() else { return false };
        let Content::NonTrade(before) = self.activities[index].content.clone() else { return false };
        let mut after = before.clone();
        change(&mut after);
        self.apply_non_trade(&before, Decimal::NEGATIVE_ONE);
        self.apply_non_trade(&after, Decimal::ONE);
        self.activities[index].content = Content::NonTrade(after);
        true
    }

    /// Undoes a fill: the row stays and says so. None where there is no such fill, or it was undone before.
    pub(crate) fn bust(&mut self, id: &str, now: Timestamp) -> Option<Fill> {
        let index = self.by_id.get(id).copied()?;
        let Content::Fill(fill) = &mut self.activities[index].content else { return None };
        if fill.busted {
            return None;
        }
        fill.busted = true;
        let fill = fill.clone();
        if let Some(index) = self.orders_by_id.get(&fill.order_id).copied() {
            let order = &mut self.orders[index];
            order.filled -= fill.quantity;
            order.filled_value -= fill.quantity * fill.price;
            order.updated_at = now;
            if order.status == OrderStatus::Filled || order.status == OrderStatus::PartiallyFilled {
                // What an exchange took back is not offered again.
                order.status = OrderStatus::Canceled;
                order.filled_at = None;
                order.canceled_at = Some(now);
            }
            self.open_orders.remove(&index);
        }
        self.cash += fill.side.signed(fill.quantity) * fill.price;
        self.count_again(&fill.symbol);
        Some(fill)
    }

    /// Works a symbol's holding out from its whole history: what a bust leaves of the average cost is not to be had
    /// from the last state.
    fn count_again(&mut self, symbol: &str) {
        let mut holding = Holding::default();
        for row in &self.activities {
            match &row.content {
                Content::Fill(fill) if fill.symbol == symbol && !fill.busted => {
                    holding.trade(fill.side.signed(fill.quantity), fill.price);
                }
                Content::NonTrade(row) => {
                    let moved = row.share_effect().filter(|(moved, _)| self.held_as(moved) == symbol);
                    if let Some((_, quantity)) = moved {
                        holding.move_shares(quantity);
                    }
                }
                Content::Fill(_) => {}
            }
        }
        self.holdings.insert(symbol.to_owned(), holding);
    }

    pub(crate) fn tell(&mut self, update: Update) {
        if self.updates.len() == UPDATES_KEPT {
            self.updates.pop_front();
            self.updates_forgotten += 1;
        }
        self.updates.push_back(update);
    }

    /// The number that the next message will have.
    pub(crate) fn updates_end(&self) -> u64 {
        self.updates_forgotten + self.updates.len() as u64
    }

    /// A message by its number; none where it was forgotten or is not there yet.
    pub(crate) fn update(&self, number: u64) -> Option<&Update> {
        let index = number.checked_sub(self.updates_forgotten)?;
        self.updates.get(usize::try_from(index).ok()?)
    }
}

/// Alpaca's names for groups stand beside the types themselves.
fn is_of_type(activity_type: &str, wanted: &str) -> bool {
    match wanted {
        "TRANS" => matches!(activity_type, "CSD" | "CSW" | "TRANS"),
        "MISC" => {
            !matches!(activity_type, "CSD" | "CSW" | "TRANS" | "FILL") && !activity_type.starts_with("DIV")
        }
        _ => activity_type == wanted,
    }
}

fn bound(bound: &Bound<Place>) -> Place {
    match bound {
        Bound::Included(place) | Bound::Excluded(place) => place.clone(),
        Bound::Unbounded => (Timestamp::from_nanos(i64::MIN), Arc::from("")),
    }
}

/// The first `limit` of two sorted runs together.
fn merge<'a>(
    a: impl Iterator<Item = (&'a Place, &'a usize)>,
    b: impl Iterator<Item = (&'a Place, &'a usize)>,
    limit: usize,
    comes_first: impl Fn(&Place, &Place) -> bool,
) -> Vec<usize> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    let mut merged = Vec::with_capacity(limit.min(100));
    while merged.len() < limit {
        let next = match (a.peek(), b.peek()) {
            (Some((x, _)), Some((y, _))) => {
                if comes_first(x, y) {
                    a.next()
                } else {
                    b.next()
                }
            }
            (Some(_), None) => a.next(),
            (None, _) => b.next(),
        };
        let Some((_, index)) = next else { break };
        merged.push(*index);
    }
    merged
}
