//! Orders: what was asked for, how far it got, and how it is shown.

use crate::market::{Class, asset_id};
use crate::wire::{iso, plain};
use daybook_schemas::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// Bought or sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Shares in, cash out.
    Buy,
    /// Cash in, shares out.
    Sell,
    /// As sell, for shares that are not there; activities tell it apart, orders do not.
    SellShort,
}

impl Side {
    /// As activities write it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
            Self::SellShort => "sell_short",
        }
    }

    /// As orders write it.
    #[must_use]
    pub const fn order_code(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell | Self::SellShort => "sell",
        }
    }

    /// The quantity with its sign: + in.
    #[must_use]
    pub fn signed(self, quantity: Decimal) -> Decimal {
        if self == Self::Buy { quantity } else { -quantity }
    }
}

/// At which price an order may trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terms {
    /// At any.
    Market,
    /// At this or a better one.
    Limit(Decimal),
    /// At any, once this was reached.
    Stop(Decimal),
    /// At the second or a better one, once the first was reached.
    StopLimit(Decimal, Decimal),
}

impl Terms {
    /// As Alpaca writes it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Market => "market",
            Self::Limit(_) => "limit",
            Self::Stop(_) => "stop",
            Self::StopLimit(..) => "stop_limit",
        }
    }

    /// Limit price and stop price, where there are such.
    #[must_use]
    pub const fn prices(self) -> (Option<Decimal>, Option<Decimal>) {
        match self {
            Self::Market => (None, None),
            Self::Limit(limit) => (Some(limit), None),
            Self::Stop(stop) => (None, Some(stop)),
            Self::StopLimit(stop, limit) => (Some(limit), Some(stop)),
        }
    }
}

/// How long an order lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeInForce {
    /// Until the session's close.
    Day,
    /// Until cancelled.
    Gtc,
    /// At the opening auction.
    Opg,
    /// At the closing auction.
    Cls,
    /// What can be filled at once.
    Ioc,
    /// All at once or nothing.
    Fok,
}

impl TimeInForce {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Day, Self::Gtc, Self::Opg, Self::Cls, Self::Ioc, Self::Fok];

    /// As Alpaca writes it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Gtc => "gtc",
            Self::Opg => "opg",
            Self::Cls => "cls",
            Self::Ioc => "ioc",
            Self::Fok => "fok",
        }
    }
}

/// How much an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Shares or coins.
    Quantity(Decimal),
    /// Dollars' worth.
    Notional(Decimal),
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// The ticker.
    pub symbol: String,
    /// Bought or sold.
    pub side: Side,
    /// How much.
    pub size: Size,
    /// At which price.
    pub terms: Terms,
    /// For how long.
    pub time_in_force: TimeInForce,
    /// The client's own id; made up where there is none.
    pub client_order_id: Option<String>,
    /// Whether it may trade outside the session.
    pub extended_hours: bool,
}

impl NewOrder {
    /// A market order for the day.
    #[must_use]
    pub fn market(symbol: &str, side: Side, quantity: Decimal) -> Self {
        Self {
            symbol: symbol.to_owned(),
            side,
            size: Size::Quantity(quantity),
            terms: Terms::Market,
            time_in_force: TimeInForce::Day,
            client_order_id: None,
            extended_hours: false,
        }
    }

    /// The same with the client's own id.
    #[must_use]
    pub fn called(mut self, client_order_id: &str) -> Self {
        self.client_order_id = Some(client_order_id.to_owned());
        self
    }
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderStatus {
    /// Taken, not yet at the exchange.
    Accepted,
    /// At the exchange.
    New,
    /// Filled in part.
    PartiallyFilled,
    /// Filled.
    Filled,
    /// Taken back, with what was filled until then.
    Canceled,
    /// Over with its time.
    Expired,
}

impl OrderStatus {
    /// As Alpaca writes it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::New => "new",
            Self::PartiallyFilled => "partially_filled",
            Self::Filled => "filled",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
        }
    }

    /// Whether it can still be filled.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Accepted | Self::New | Self::PartiallyFilled)
    }
}

/// An order on the broker's books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The broker's id.
    pub id: String,
    /// The client's id.
    pub client_order_id: String,
    /// What was asked for.
    pub asked: NewOrder,
    /// Share or coin.
    pub class: Class,
    /// Opens or closes, as the broker works it out.
    pub intent: &'static str,
    /// When it came in.
    pub submitted_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was filled whole.
    pub filled_at: Option<Timestamp>,
    /// When it was taken back.
    pub canceled_at: Option<Timestamp>,
    /// When its time was over.
    pub expired_at: Option<Timestamp>,
    /// How much was filled.
    pub filled: Decimal,
    /// Dollars that the fills came to.
    pub filled_value: Decimal,
    /// Where it stands.
    pub status: OrderStatus,
    /// Whether the stop price was reached.
    pub triggered: bool,
}

impl Order {
    /// The quantity asked for, where it was not asked for in dollars.
    #[must_use]
    pub const fn quantity(&self) -> Option<Decimal> {
        match self.asked.size {
            Size::Quantity(quantity) => Some(quantity),
            Size::Notional(_) => None,
        }
    }

    /// The average price of its fills.
    #[must_use]
    pub fn average_price(&self) -> Option<Decimal> {
        self.filled_value.checked_div(self.filled).map(|average| average.round_dp(6))
    }

    /// As the trading API shows it.
    #[must_use]
    pub fn shown(&self) -> Value {
        let time = |at: Option<Timestamp>| at.map(iso);
        let (limit, stop) = self.asked.terms.prices();
        let notional = match self.asked.size {
            Size::Notional(dollars) => Some(plain(dollars)),
            Size::Quantity(_) => None,
        };
        json!({
            "id": self.id,
            "client_order_id": self.client_order_id,
            "created_at": iso(self.submitted_at),
            "updated_at": iso(self.updated_at),
            "submitted_at": iso(self.submitted_at),
            "filled_at": time(self.filled_at),
            "expired_at": time(self.expired_at),
            "canceled_at": time(self.canceled_at),
            "failed_at": null,
            "replaced_at": null,
            "replaced_by": null,
            "replaces": null,
            "asset_id": asset_id(&self.asked.symbol),
            "symbol": self.asked.symbol,
            "asset_class": self.class.code(),
            "notional": notional,
            "qty": self.quantity().map(plain),
            "filled_qty": plain(self.filled),
            "filled_avg_price": self.average_price().map(plain),
            "order_class": if self.class == Class::Crypto { "" } else { "simple" },
            "order_type": self.asked.terms.code(),
            "type": self.asked.terms.code(),
            "side": self.asked.side.order_code(),
            "position_intent": self.intent,
            "time_in_force": self.asked.time_in_force.code(),
            "limit_price": limit.map(plain),
            "stop_price": stop.map(plain),
            "status": self.status.code(),
            "extended_hours": self.asked.extended_hours,
            "legs": null,
            "trail_percent": null,
            "trail_price": null,
            "hwm": null,
        })
    }
}
