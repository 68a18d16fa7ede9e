//! Orders that were sent to a broker.

use super::{Effect, Side};
use crate::codes::codes;
use crate::{
    AccountId, BrokerOrderId, InstrumentId, Money, OrderId, PlanId, Price, Quantity, RecommendationId,
    Strategy, Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

codes! {
    /// On what terms an order trades.
    OrderKind {
        /// At once, at any price.
        Market = 1, "market";
        /// At a price or better.
        Limit = 2, "limit";
        /// At once when a price is reached.
        Stop = 3, "stop";
        /// At a limit when a price is reached.
        StopLimit = 4, "stop_limit";
        /// At once when the price turns back by so much.
        TrailingStop = 5, "trailing_stop";
    }
    /// For how long an order stands.
    TimeInForce {
        /// The day.
        Day = 1, "day";
        /// Until cancelled.
        GoodTillCancelled = 2, "gtc";
        /// Only at the opening.
        AtOpen = 3, "opg";
        /// Only at the close.
        AtClose = 4, "cls";
        /// At once, the rest cancelled.
        ImmediateOrCancel = 5, "ioc";
        /// At once and whole, or not at all.
        FillOrKill = 6, "fok";
    }
    /// What the broker last said of an order.
    OrderStatus {
        /// Received.
        Accepted = 1, "accepted";
        /// Working.
        Working = 2, "working";
        /// Filled in part.
        PartiallyFilled = 3, "partially_filled";
        /// Filled.
        Filled = 4, "filled";
        /// Cancelled.
        Cancelled = 5, "cancelled";
        /// Replaced by another.
        Replaced = 6, "replaced";
        /// Refused.
        Rejected = 7, "rejected";
        /// Ran out.
        Expired = 8, "expired";
    }
}

/// An order was sent to the broker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OrderSubmitted {
    /// The order.
    pub order: OrderId,
    /// The account it trades in.
    pub account: AccountId,
    /// The instrument.
    pub instrument: InstrumentId,
    /// Which way.
    pub side: Side,
    /// Whether it opens or closes.
    pub effect: Effect,
    /// On what terms.
    pub kind: OrderKind,
    /// For how long.
    pub time_in_force: TimeInForce,
    /// Units, where it is stated in units.
    pub quantity: Option<Quantity>,
    /// The amount, where it is stated in money.
    pub amount: Option<Money>,
    /// The limit price.
    pub limit: Option<Price>,
    /// The stop price.
    pub stop: Option<Price>,
    /// The id that we gave it at the broker.
    pub client_order_id: Option<Box<str>>,
    /// The way of trading.
    pub strategy: Option<Strategy>,
    /// The plan it follows.
    pub plan: Option<PlanId>,
    /// The recommendation it carries out.
    pub recommendation: Option<RecommendationId>,
    /// Whether it may trade outside regular hours.
    pub extended_hours: bool,
}

/// The broker said something new of an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OrderUpdated {
    /// The order, where it is one of ours.
    pub order: Option<OrderId>,
    /// The broker's id of it.
    pub broker_order: Option<BrokerOrderId>,
    /// What the broker says.
    pub status: OrderStatus,
    /// Units filled so far.
    pub filled: Option<Quantity>,
    /// The average price of what is filled.
    pub average_price: Option<Price>,
    /// The broker's reason.
    pub reason: Option<Box<str>>,
    /// When the broker says it happened.
    pub at: Timestamp,
}
