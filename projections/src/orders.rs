//! Orders and what became of them: what was submitted, folded with what the broker said since.

use crate::view::Meta;
use daybook_schemas::events::{OrderStatus, OrderSubmitted, OrderUpdated};
use daybook_schemas::{BrokerOrderId, Event, OrderId, Price, Quantity, Timestamp};
use std::collections::BTreeMap;

/// An order as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// What was sent.
    pub submitted: OrderSubmitted,
    /// The sequence of that.
    pub sequence: u64,
    /// When that was recorded.
    pub submitted_at: Timestamp,
    /// What the broker last said; absent until it said something.
    pub status: Option<OrderStatus>,
    /// The broker's id of it.
    pub broker_order: Option<BrokerOrderId>,
    /// Units filled so far.
    pub filled: Option<Quantity>,
    /// The average price of what is filled.
    pub average_price: Option<Price>,
    /// The broker's reason, for what was refused or cancelled.
    pub reason: Option<Box<str>>,
    /// When the broker says that it changed last.
    pub updated_at: Option<Timestamp>,
    /// The sequence of the last event about it.
    pub last_sequence: u64,
}

impl Order {
    /// Whether nothing more will become of it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(
            self.status,
            Some(
                OrderStatus::Filled
                    | OrderStatus::Cancelled
                    | OrderStatus::Replaced
                    | OrderStatus::Rejected
                    | OrderStatus::Expired
            )
        )
    }
}

/// The orders of a portfolio.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Orders {
    by_id: BTreeMap<OrderId, Order>,
    by_broker: BTreeMap<BrokerOrderId, OrderId>,
}

impl Orders {
    /// Takes in an event of the portfolio's stream. What is said of an order is the last word, in the order of the log.
    pub fn apply(&mut self, meta: &Meta, event: &Event) {
        match event {
            Event::OrderSubmitted(submitted) => {
                self.by_id.entry(submitted.order).or_insert_with(|| Order {
                    submitted: submitted.clone(),
                    sequence: meta.sequence,
                    submitted_at: meta.recorded_at,
                    status: None,
                    broker_order: None,
                    filled: None,
                    average_price: None,
                    reason: None,
                    updated_at: None,
                    last_sequence: meta.sequence,
                });
            }
            Event::OrderUpdated(updated) => self.update(meta, updated),
            _ => {}
        }
    }

    fn update(&mut self, meta: &Meta, updated: &OrderUpdated) {
        let by_broker = || self.by_broker.get(updated.broker_order.as_ref()?).copied();
        let Some(id) = updated.order.or_else(by_broker) else { return };
        let Some(order) = self.by_id.get_mut(&id) else { return };
        order.status = Some(updated.status.clone());
        if let Some(broker_order) = &updated.broker_order {
            self.by_broker.insert(broker_order.clone(), id);
            order.broker_order = Some(broker_order.clone());
        }
        order.filled = updated.filled.or(order.filled);
        order.average_price = updated.average_price.or(order.average_price);
        order.reason = updated.reason.clone().or_else(|| order.reason.take());
        order.updated_at = Some(updated.at);
        order.last_sequence = meta.sequence;
    }

    /// An order by its id.
    #[must_use]
    pub fn get(&self, id: OrderId) -> Option<&Order> {
        self.by_id.get(&id)
    }

    /// All orders, by id; ids sort by age.
    pub fn list(&self) -> impl DoubleEndedIterator<Item = &Order> {
        self.by_id.values()
    }
}
