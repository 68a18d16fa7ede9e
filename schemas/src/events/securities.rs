//! Trades, transfers of securities, and the settlement of options.

use super::{Charge, Effect, Entry, Reference, Scope, Side};
use crate::codes::codes;
use crate::{
    AccountId, BrokerOrderId, Currency, Day, ExecutionId, FxRate, InstrumentId, Money, Multiplier, PlanId,
    Price, Quantity, RecommendationId, Sealed, Strategy,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An order was filled, in whole or in part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TradeExecuted {
    /// Account, time and source.
    pub entry: Entry,
    /// What was traded.
    pub instrument: InstrumentId,
    /// Which way.
    pub side: Side,
    /// Whether it opens or closes a position.
    pub effect: Effect,
    /// Units, positive.
    pub quantity: Quantity,
    /// What one unit of the underlying cost; absent where only the amount is known.
    pub price: Option<Price>,
    /// The currency of price and amount.
    pub currency: Currency,
    /// Units of the underlying in one unit.
    pub multiplier: Multiplier,
    /// The effect on the account's cash, net of charges in that currency, where the source states it: it stands over quantity × price.
    pub net_amount: Option<Money>,
    /// What was charged, by kind.
    pub charges: Vec<Charge>,
    /// A bond's interest since its last coupon, paid to the seller; positive for what the buyer pays.
    pub accrued_interest: Option<Money>,
    /// The broker's order; its fills share it.
    pub order: Option<BrokerOrderId>,
    /// The broker's id of this fill.
    pub execution: Option<ExecutionId>,
    /// Units of the order filled so far, this fill included: the order of the fills of one order.
    pub cumulative_quantity: Option<Quantity>,
    /// The lots that a closing trade names.
    pub lots: Vec<LotSelection>,
    /// The trader's way of trading.
    pub strategy: Option<Strategy>,
    /// The plan it follows.
    pub plan: Option<PlanId>,
    /// The recommendation it carries out.
    pub recommendation: Option<RecommendationId>,
    /// Where it was executed, by market identifier code.
    pub venue: Option<Box<str>>,
    /// Units of the base currency for one unit of the trade's, where stated.
    pub fx_rate: Option<FxRate>,
}

/// Units of one lot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LotSelection {
    /// The event that opened the lot.
    pub opened_by: Reference,
    /// Units, positive.
    pub quantity: Quantity,
}

codes! {
    /// Why securities came in or went out without a trade.
    SecuritiesTransferKind {
        /// Not stated.
        Unstated = 1, "unstated";
        /// From or to another broker.
        Broker = 2, "broker";
        /// A journal between accounts at one broker.
        Journal = 3, "journal";
        /// A gift.
        Gift = 4, "gift";
        /// An inheritance.
        Inheritance = 5, "inheritance";
        /// A holding that stood when the journal began.
        OpeningBalance = 6, "opening_balance";
        /// To meet the broker's books.
        Adjustment = 7, "adjustment";
        /// A crypto network.
        Network = 8, "network";
    }
    /// How an option ended.
    OptionSettlement {
        /// It expired worthless.
        Expired = 1, "expired";
        /// Its holder exercised it.
        Exercised = 2, "exercised";
        /// Its writer was assigned.
        Assigned = 3, "assigned";
        /// It was settled in cash.
        Cash = 4, "cash";
    }
}

/// Securities came in or went out without a trade.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SecuritiesTransferred {
    /// Account, time and source.
    pub entry: Entry,
    /// Whether they cross the portfolio's edge.
    pub scope: Scope,
    /// Why.
    pub kind: SecuritiesTransferKind,
    /// What was transferred.
    pub instrument: InstrumentId,
    /// Units; in is positive.
    pub quantity: Quantity,
    /// The price that day, where stated.
    pub price: Option<Price>,
    /// Units of the underlying in one unit.
    pub multiplier: Multiplier,
    /// The market value that day, unsigned, frozen when the event is recorded: the flow across the portfolio's edge.
    pub value: Option<Money>,
    /// The total basis of all units, unsigned, where known.
    pub basis: Option<Money>,
    /// The day of acquisition, where all units have one.
    pub acquired: Option<Day>,
    /// The lots, where they are known one by one; they stand over `basis` and `acquired`.
    pub lots: Vec<TransferredLot>,
    /// The account at the other end, where it is one of ours.
    pub counter_account: Option<AccountId>,
    /// Who is at the other end.
    pub counterparty: Option<Sealed<String>>,
    /// What was charged for it.
    pub charges: Vec<Charge>,
    /// Units of the base currency for one unit of the value's, where stated.
    pub fx_rate: Option<FxRate>,
}

/// A lot as it came with a transfer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TransferredLot {
    /// Units; of the transfer's sign.
    pub quantity: Quantity,
    /// Total basis, unsigned; absent while unknown.
    pub basis: Option<Money>,
    /// The day of acquisition; absent while unknown.
    pub acquired: Option<Day>,
}

/// The basis of securities that came without one became known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BasisSupplied {
    /// Account, time and source.
    pub entry: Entry,
    /// The transfer.
    pub transfer: Reference,
    /// Its lots, summing to its quantity.
    pub lots: Vec<TransferredLot>,
}

/// A disposal relieves these lots.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LotsSelected {
    /// Account, time and source.
    pub entry: Entry,
    /// The disposal.
    pub disposal: Reference,
    /// The lots it relieves.
    pub lots: Vec<LotSelection>,
}

/// An option expired, or was exercised, assigned or settled in cash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OptionSettled {
    /// Account, time and source. The trade at the strike, if any, is in the same group.
    pub entry: Entry,
    /// How.
    pub settlement: OptionSettlement,
    /// The option.
    pub instrument: InstrumentId,
    /// Contracts, positive; the running position says which way. Absent for all of them.
    pub quantity: Option<Quantity>,
    /// The effect on the account's cash before charges, for a settlement in cash.
    pub amount: Option<Money>,
    /// What was charged for it.
    pub charges: Vec<Charge>,
}
