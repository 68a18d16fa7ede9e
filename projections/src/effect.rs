//! What an event asks of the books: the compact form in which a portfolio's entries are kept and folded.

use crate::exact;
use crate::view::Meta;
use daybook_schemas::decimal;
use daybook_schemas::events::{
    Charge, Effect as TradeEffect, InKind, InterestKind, OptionSettled, OptionSettlement, Reference, Scope,
    SecuritiesTransferred, Side, SplitApplied, TradeExecuted, TransferredLot,
};
use daybook_schemas::{
    AccountId, BrokerOrderId, Currency, Day, Event, ExternalId, Group, InstrumentId, Money, Phase, Quantity,
    Ratio, Strategy, When,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// An entry as a book keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) meta: Meta,
    pub(crate) account: AccountId,
    pub(crate) trade_date: Day,
    pub(crate) place: Place,
    pub(crate) event_type: u16,
    pub(crate) effect: Effect,
    /// Whether it counts, of all that is known: its import counts and it was not reversed.
    pub(crate) counts: bool,
}

/// Where in its day an entry stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    /// 0 at the open, 1 at an instant, 2 at the close.
    pub(crate) phase: u8,
    /// 1 for what comes in from another account of ours, so that it went out there before; else 0.
    pub(crate) leg: u8,
    /// The instant in nanoseconds, for an entry at an instant; else 0.
    pub(crate) instant: i64,
    pub(crate) rank: u32,
    pub(crate) order: Option<BrokerOrderId>,
    pub(crate) cumulative: Option<Quantity>,
}

impl Place {
    /// The phase of the day, for an entry that states no instant.
    pub(crate) const fn day_phase(&self) -> Option<Phase> {
        match self.phase {
            0 => Some(Phase::Open),
            1 => None,
            _ => Some(Phase::Close),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Effect {
    Trade(Trade),
    /// A trade whose amount a decimal does not hold.
    TradeTooLong(Box<TradeTooLong>),
    /// Cash across the portfolio's edge.
    Contribution(Money),
    /// Cash between accounts of the portfolio.
    Internal(Money),
    Income(Money, Vec<Money>),
    /// The amount's effect on cash; a cost is negative.
    Cost {
        amount: Money,
        tax: bool,
        charges: Vec<Money>,
    },
    InKind(Box<Given>),
    Conversion {
        sold: Money,
        bought: Money,
        charges: Vec<Money>,
    },
    Transfer(Box<Transfer>),
    Split(Box<Split>),
    Expiry {
        instrument: InstrumentId,
        quantity: Option<Quantity>,
        charges: Vec<Money>,
    },
    /// What the fold does not account for yet; its cash moves all the same.
    Unaccounted {
        cash: Vec<Money>,
        reason: Box<str>,
    },
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Trade {
    pub(crate) instrument: InstrumentId,
    pub(crate) currency: Currency,
    pub(crate) incoming: bool,
    pub(crate) closing_only: bool,
    #[serde(with = "exact")]
    pub(crate) quantity: Decimal,
    /// Cash for the units, charges inside, accrued interest not: positive for what the buyer pays and the seller gets.
    #[serde(with = "exact")]
    pub(crate) amount: Decimal,
    /// Charges in the trade's currency.
    #[serde(with = "exact")]
    pub(crate) charges: Decimal,
    /// Accrued interest as the buyer pays it.
    #[serde(with = "exact")]
    pub(crate) accrued: Decimal,
    #[serde(with = "exact::option")]
    pub(crate) price: Option<Decimal>,
    #[serde(with = "exact")]
    pub(crate) multiplier: Decimal,
    pub(crate) strategy: Option<Strategy>,
    /// Charges in other currencies.
    pub(crate) foreign_charges: Vec<Money>,
    pub(crate) names_lots: bool,
}

/// Units that an entry moves: of what, and what the entry says of their price.
pub(crate) struct Moves {
    pub(crate) instrument: InstrumentId,
    /// Absent where the entry goes by what is held.
    pub(crate) currency: Option<Currency>,
    pub(crate) multiplier: Decimal,
}

/// What is known of a trade whose amount needs more digits than a decimal holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TradeTooLong {
    pub(crate) instrument: InstrumentId,
    pub(crate) currency: Currency,
    pub(crate) incoming: bool,
    pub(crate) closing_only: bool,
    pub(crate) quantity: Quantity,
    #[serde(with = "exact")]
    pub(crate) multiplier: Decimal,
    pub(crate) charged: bool,
    pub(crate) accrued: bool,
    /// The cash as it was stated; without it the trade's cash is not known.
    pub(crate) net_amount: Option<Money>,
    pub(crate) foreign_charges: Vec<Money>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Purpose {
    Income,
    Cost,
    Tax,
}

/// A reward, fee or tax in kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Given {
    pub(crate) purpose: Purpose,
    pub(crate) instrument: InstrumentId,
    /// Signed; in is positive.
    pub(crate) quantity: Quantity,
    #[serde(with = "exact::option")]
    pub(crate) price: Option<Decimal>,
    pub(crate) value: Option<Money>,
    pub(crate) cash: Option<Money>,
    pub(crate) charges: Vec<Money>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Transfer {
    pub(crate) internal: bool,
    pub(crate) instrument: InstrumentId,
    pub(crate) quantity: Quantity,
    #[serde(with = "exact::option")]
    pub(crate) price: Option<Decimal>,
    #[serde(with = "exact")]
    pub(crate) multiplier: Decimal,
    pub(crate) value: Option<Money>,
    pub(crate) lots: Vec<ArrivedLot>,
    pub(crate) counter_account: Option<AccountId>,
    pub(crate) group: Option<Group>,
    pub(crate) external_id: Option<ExternalId>,
    pub(crate) charges: Vec<Money>,
}

/// A lot as it came with a transfer, or as its basis was supplied later.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ArrivedLot {
    pub(crate) quantity: Quantity,
    pub(crate) basis: Option<Money>,
    pub(crate) acquired: Option<Day>,
}

impl From<&TransferredLot> for ArrivedLot {
    fn from(lot: &TransferredLot) -> Self {
        Self { quantity: lot.quantity, basis: lot.basis, acquired: lot.acquired }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Split {
    pub(crate) instrument: InstrumentId,
    pub(crate) ratio: Option<Ratio>,
    pub(crate) added: Option<Quantity>,
}

fn charges_of(charges: &[Charge]) -> Vec<Money> {
    charges.iter().map(|charge| charge.amount).filter(|amount| !amount.amount().is_zero()).collect()
}

fn unaccounted(cash: Vec<Money>, reason: &str) -> Effect {
    Effect::Unaccounted { cash, reason: reason.into() }
}

fn amount_less_charges(amount: Option<Money>, charges: &[Charge]) -> Vec<Money> {
    amount.into_iter().chain(charges.iter().map(|charge| -charge.amount)).collect()
}

impl Row {
    /// The row of an event, if the event is an entry in an account.
    pub(crate) fn of(meta: &Meta, event: &Event) -> Option<Self> {
        let entry = event.entry()?;
        let (phase, instant, rank) = match entry.when {
            When::On { phase: Phase::Open, rank, .. } => (0, 0, rank),
            When::At(instant) => (1, instant.nanos(), 0),
            When::On { phase: Phase::Close, rank, .. } => (2, 0, rank),
        };
        let mut place = Place { phase, leg: 0, instant, rank, order: None, cumulative: None };
        match event {
            // Fills without an instant stand in the order of their file.
            Event::TradeExecuted(trade) if phase == 1 => {
                place.order.clone_from(&trade.order);
                place.cumulative = trade.cumulative_quantity;
            }
            Event::SecuritiesTransferred(transfer)
                if transfer.scope == Scope::Internal && transfer.quantity.get() > Decimal::ZERO =>
            {
                place.leg = 1;
            }
            _ => {}
        }
        Some(Self {
            meta: *meta,
            account: entry.account,
            trade_date: entry.trade_date,
            place,
            event_type: event.event_type().id(),
            effect: Effect::of(event)?,
            counts: false,
        })
    }
}

impl Effect {
    /// What the event asks of the books; nothing for an event that no account is touched by.
    fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::TradeExecuted(event) => trade(event),
            Event::CashTransferred(event) => match event.scope {
                Scope::External => Self::Contribution(event.amount),
                Scope::Internal => Self::Internal(event.amount),
                Scope::Other(_) => unaccounted(
                    vec![event.amount],
                    "it is not known whether the cash crossed the portfolio's edge",
                ),
            },
            Event::DividendPosted(event) => Self::Income(event.amount, charges_of(&event.charges)),
            Event::InterestPosted(event) => match event.kind {
                InterestKind::Margin | InterestKind::Borrow => {
                    Self::Cost { amount: event.amount, tax: false, charges: charges_of(&event.charges) }
                }
                _ => Self::Income(event.amount, charges_of(&event.charges)),
            },
            Event::RewardPosted(event) => match (&event.in_kind, event.amount) {
                (Some(units), cash) => given(Purpose::Income, units, cash, charges_of(&event.charges)),
                (None, Some(amount)) => Self::Income(amount, charges_of(&event.charges)),
                (None, None) => {
                    unaccounted(amount_less_charges(None, &event.charges), "neither cash nor units")
                }
            },
            Event::FeePosted(event) => cost(Purpose::Cost, event.in_kind.as_ref(), event.amount),
            Event::TaxPosted(event) => cost(Purpose::Tax, event.in_kind.as_ref(), event.amount),
            Event::CashAdjusted(event) => {
                unaccounted(vec![event.amount], "an adjustment of cash, which says no more than that")
            }
            Event::CurrencyConverted(event) => Self::Conversion {
                sold: event.sold,
                bought: event.bought,
                charges: charges_of(&event.charges),
            },
            Event::SecuritiesTransferred(event) => transfer(event),
            Event::OptionSettled(event) => option(event),
            Event::SplitApplied(event) => split(event),
            Event::HoldingDistributed(_) => {
                unaccounted(Vec::new(), "distributions of holdings are not accounted for yet")
            }
            Event::PositionExchanged(event) => unaccounted(
                amount_less_charges(event.cash, &event.charges),
                "exchanges of positions are not accounted for yet",
            ),
            Event::CashInLieuPaid(event) => {
                unaccounted(vec![event.amount], "cash in lieu of fractions is not accounted for yet")
            }
            Event::CapitalReturned(event) => {
                unaccounted(vec![event.amount], "returns of capital are not accounted for yet")
            }
            Event::LotsSelected(_) => {
                unaccounted(Vec::new(), "the choice of lots after the trade is not accounted for yet")
            }
            _ => return None,
        })
    }

    /// The units that the entry moves in its account, as far as the fold accounts for them.
    pub(crate) fn moves(&self) -> Option<Moves> {
        let of = |instrument, currency, multiplier| Some(Moves { instrument, currency, multiplier });
        match self {
            Self::Trade(trade) => of(trade.instrument, Some(trade.currency), trade.multiplier),
            Self::TradeTooLong(trade) => of(trade.instrument, Some(trade.currency), trade.multiplier),
            Self::InKind(given) => of(given.instrument, given.value.map(Money::currency), Decimal::ONE),
            Self::Transfer(transfer) => {
                let stated = transfer.value.or_else(|| transfer.lots.iter().find_map(|lot| lot.basis));
                of(transfer.instrument, stated.map(Money::currency), transfer.multiplier)
            }
            Self::Split(split) => of(split.instrument, None, Decimal::ONE),
            Self::Expiry { instrument, .. } => of(*instrument, None, Decimal::ONE),
            Self::Contribution(_)
            | Self::Internal(_)
            | Self::Income(..)
            | Self::Cost { .. }
            | Self::Conversion { .. }
            | Self::Unaccounted { .. } => None,
        }
    }

    /// Charges that are costs of their own.
    pub(crate) fn charges(&self) -> &[Money] {
        match self {
            Self::Trade(trade) => &trade.foreign_charges,
            Self::TradeTooLong(trade) => &trade.foreign_charges,
            Self::Income(_, charges)
            | Self::Cost { charges, .. }
            | Self::Conversion { charges, .. }
            | Self::Expiry { charges, .. } => charges,
            Self::InKind(given) => &given.charges,
            Self::Transfer(transfer) => &transfer.charges,
            Self::Contribution(_) | Self::Internal(_) | Self::Split(_) | Self::Unaccounted { .. } => &[],
        }
    }

    /// The cash that moves whether or not the fold can account for the rest.
    pub(crate) fn cash(&self) -> Vec<Money> {
        let less = |amounts: &[Money]| amounts.iter().map(|amount| -*amount).collect::<Vec<_>>();
        match self {
            Self::Trade(trade) => {
                let units = if trade.incoming { -trade.amount } else { trade.amount };
                let accrued = if trade.incoming { -trade.accrued } else { trade.accrued };
                let mut cash = vec![Money::new(units, trade.currency)];
                if !accrued.is_zero() {
                    cash.push(Money::new(accrued, trade.currency));
                }
                cash.extend(less(&trade.foreign_charges));
                cash
            }
            Self::TradeTooLong(trade) => {
                trade.net_amount.into_iter().chain(less(&trade.foreign_charges)).collect()
            }
            Self::Contribution(amount) | Self::Internal(amount) => vec![*amount],
            Self::Income(amount, charges) | Self::Cost { amount, charges, .. } => {
                let mut cash = vec![*amount];
                cash.extend(less(charges));
                cash
            }
            Self::InKind(given) => given.cash.into_iter().chain(less(&given.charges)).collect(),
            Self::Conversion { sold, bought, charges } => {
                let mut cash = vec![*sold, *bought];
                cash.extend(less(charges));
                cash
            }
            Self::Transfer(transfer) => less(&transfer.charges),
            Self::Split(_) => Vec::new(),
            Self::Expiry { charges, .. } => less(charges),
            Self::Unaccounted { cash, .. } => cash.clone(),
        }
    }
}

fn given(purpose: Purpose, units: &InKind, cash: Option<Money>, charges: Vec<Money>) -> Effect {
    Effect::InKind(Box::new(Given {
        purpose,
        instrument: units.instrument,
        quantity: units.quantity,
        price: units.price.map(daybook_schemas::Price::get),
        value: units.value,
        cash,
        charges,
    }))
}

fn cost(purpose: Purpose, units: Option<&InKind>, amount: Option<Money>) -> Effect {
    match (units, amount) {
        (Some(units), cash) => given(purpose, units, cash, Vec::new()),
        (None, Some(amount)) => Effect::Cost { amount, tax: purpose == Purpose::Tax, charges: Vec::new() },
        (None, None) => unaccounted(Vec::new(), "neither cash nor units"),
    }
}

fn trade(event: &TradeExecuted) -> Effect {
    let incoming = match event.side {
        Side::Buy => true,
        Side::Sell => false,
        Side::Other(_) => return refused_trade(event, "it is neither a purchase nor a sale"),
    };
    if event.quantity.get() <= Decimal::ZERO {
        return refused_trade(event, "its quantity is not positive");
    }
    if event.multiplier.get() <= Decimal::ZERO {
        return refused_trade(event, "its multiplier is not positive");
    }
    if event.net_amount.is_some_and(|amount| amount.currency() != event.currency)
        || event.accrued_interest.is_some_and(|amount| amount.currency() != event.currency)
    {
        return refused_trade(event, "its amount is in another currency than its price");
    }
    match posted(event, incoming) {
        Ok(Some((amount, charges, accrued))) => Effect::Trade(Trade {
            instrument: event.instrument,
            currency: event.currency,
            incoming,
            closing_only: event.effect == TradeEffect::Close,
            quantity: event.quantity.get(),
            amount,
            charges,
            accrued,
            price: event.price.map(daybook_schemas::Price::get),
            multiplier: event.multiplier.get(),
            strategy: event.strategy.clone(),
            foreign_charges: foreign(event),
            names_lots: !event.lots.is_empty(),
        }),
        Ok(None) => refused_trade(event, "it states neither a price nor an amount"),
        Err(_) => Effect::TradeTooLong(Box::new(TradeTooLong {
            instrument: event.instrument,
            currency: event.currency,
            incoming,
            closing_only: event.effect == TradeEffect::Close,
            quantity: event.quantity,
            multiplier: event.multiplier.get(),
            charged: event.charges.iter().any(|charge| charge.amount.currency() == event.currency),
            accrued: event.accrued_interest.is_some(),
            net_amount: event.net_amount,
            foreign_charges: foreign(event),
        })),
    }
}

fn foreign(event: &TradeExecuted) -> Vec<Money> {
    event
        .charges
        .iter()
        .map(|charge| charge.amount)
        .filter(|amount| amount.currency() != event.currency && !amount.amount().is_zero())
        .collect()
}

/// Cash for the units, charges, accrued interest: all as the buyer pays them and the seller gets them.
fn posted(
    event: &TradeExecuted,
    incoming: bool,
) -> Result<Option<(Decimal, Decimal, Decimal)>, decimal::ArithmeticError> {
    let mut charges = Decimal::ZERO;
    for charge in event.charges.iter().filter(|charge| charge.amount.currency() == event.currency) {
        charges = decimal::add(charges, charge.amount.amount())?;
    }
    let accrued = event.accrued_interest.map_or(Decimal::ZERO, Money::amount);
    if let Some(net) = event.net_amount {
        let amount = if incoming { -net.amount() } else { net.amount() };
        return Ok(Some((decimal::subtract(amount, accrued)?, charges, accrued)));
    }
    let Some(price) = event.price else { return Ok(None) };
    let mut gross = decimal::multiply(event.quantity.get(), price.get())?;
    if event.multiplier.get() != Decimal::ONE {
        gross = decimal::multiply(gross, event.multiplier.get())?;
    }
    let amount = if charges.is_zero() {
        gross
    } else if incoming {
        decimal::add(gross, charges)?
    } else {
        decimal::subtract(gross, charges)?
    };
    Ok(Some((amount, charges, accrued)))
}

fn refused_trade(event: &TradeExecuted, reason: &str) -> Effect {
    let charges = match event.net_amount {
        Some(_) => foreign(event),
        None => charges_of(&event.charges),
    };
    let cash = event.net_amount.into_iter().chain(charges.into_iter().map(|amount| -amount)).collect();
    unaccounted(cash, reason)
}

fn transfer(event: &SecuritiesTransferred) -> Effect {
    let charges = charges_of(&event.charges);
    let refused = |reason: &str| unaccounted(charges.iter().map(|amount| -*amount).collect(), reason);
    let internal = match event.scope {
        Scope::External => false,
        Scope::Internal => true,
        Scope::Other(_) => return refused("it is not known whether the units crossed the portfolio's edge"),
    };
    if event.quantity.is_zero() {
        return refused("its quantity is zero");
    }
    let lots = if event.lots.is_empty() {
        vec![ArrivedLot { quantity: event.quantity, basis: event.basis, acquired: event.acquired }]
    } else {
        event.lots.iter().map(ArrivedLot::from).collect()
    };
    Effect::Transfer(Box::new(Transfer {
        internal,
        instrument: event.instrument,
        quantity: event.quantity,
        price: event.price.map(daybook_schemas::Price::get),
        multiplier: event.multiplier.get(),
        value: event.value,
        lots,
        counter_account: event.counter_account,
        group: event.entry.group.clone(),
        external_id: event.entry.external_id.clone(),
        charges,
    }))
}

fn option(event: &OptionSettled) -> Effect {
    let cash = || amount_less_charges(event.amount, &event.charges);
    match event.settlement {
        OptionSettlement::Expired if event.amount.is_none_or(|amount| amount.amount().is_zero()) => {
            Effect::Expiry {
                instrument: event.instrument,
                quantity: event.quantity,
                charges: charges_of(&event.charges),
            }
        }
        OptionSettlement::Expired => {
            unaccounted(cash(), "an expiry that moves cash is not accounted for yet")
        }
        _ => unaccounted(cash(), "exercise, assignment and settlement in cash are not accounted for yet"),
    }
}

fn split(event: &SplitApplied) -> Effect {
    Effect::Split(Box::new(Split { instrument: event.instrument, ratio: event.ratio, added: event.added }))
}

/// A basis that was supplied later for a transfer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Supply {
    pub(crate) meta: Meta,
    pub(crate) transfer: Reference,
    pub(crate) lots: Vec<ArrivedLot>,
}
