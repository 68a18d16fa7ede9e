//! Corporate actions as they were applied to an account's holdings.

use super::{Charge, Entry};
use crate::codes::codes;
use crate::{Fraction, InstrumentId, Money, Price, Quantity, Ratio};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A split or a reverse split was applied to a holding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SplitApplied {
    /// Account, time and source.
    pub entry: Entry,
    /// The instrument.
    pub instrument: InstrumentId,
    /// New units for old ones; absent where the source states only the units added.
    pub ratio: Option<Ratio>,
    /// Units that came (positive) or went (negative), where stated; the ratio follows from the holding.
    pub added: Option<Quantity>,
    /// The price after the split, where stated.
    pub price: Option<Price>,
}

codes! {
    /// Why a holding brought units of another.
    DistributionKind {
        /// Not stated.
        Unstated = 1, "unstated";
        /// A dividend in shares of the same instrument.
        StockDividend = 2, "stock_dividend";
        /// A spin-off.
        SpinOff = 3, "spin_off";
        /// Rights.
        Rights = 4, "rights";
    }
    /// Why a holding was exchanged.
    ExchangeKind {
        /// Not stated.
        Unstated = 1, "unstated";
        /// A merger.
        Merger = 2, "merger";
        /// A conversion.
        Conversion = 3, "conversion";
        /// A redemption.
        Redemption = 4, "redemption";
        /// It became worthless.
        Worthless = 5, "worthless";
        /// A change of name or of identifier.
        NameChange = 6, "name_change";
        /// A reverse split with a new identifier.
        ReverseSplit = 7, "reverse_split";
        /// A tender offer.
        Tender = 8, "tender";
    }
}

/// A holding brought units of another, or more of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HoldingDistributed {
    /// Account, time and source.
    pub entry: Entry,
    /// Why.
    pub kind: DistributionKind,
    /// What was held; absent where the source does not say.
    pub parent: Option<InstrumentId>,
    /// What it brought; the parent itself for a stock dividend.
    pub child: InstrumentId,
    /// Units of the child.
    pub quantity: Quantity,
    /// What one unit of the child was worth, where stated.
    pub price: Option<Price>,
    /// The share of the parent's basis that goes to the child, where stated.
    pub basis_share: Option<Fraction>,
}

/// Units of an instrument given or received.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExchangeLeg {
    /// The instrument.
    pub instrument: InstrumentId,
    /// Units, positive; absent for the whole holding.
    pub quantity: Option<Quantity>,
}

/// A holding was exchanged. Where the source states the two sides in rows of their own, each is an event and the group joins them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PositionExchanged {
    /// Account, time and source.
    pub entry: Entry,
    /// Why.
    pub kind: ExchangeKind,
    /// What was given up.
    pub gave: Option<ExchangeLeg>,
    /// What came in its place.
    pub received: Option<ExchangeLeg>,
    /// Units received for units given up.
    pub ratio: Option<Ratio>,
    /// Cash that came with it: the effect on the account's cash before charges.
    pub cash: Option<Money>,
    /// What was charged for it.
    pub charges: Vec<Charge>,
}

/// A fraction was paid out in cash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CashInLieuPaid {
    /// Account, time and source.
    pub entry: Entry,
    /// The instrument whose fraction it was.
    pub instrument: InstrumentId,
    /// The fraction of a unit, where stated.
    pub fraction: Option<Quantity>,
    /// The effect on the account's cash.
    pub amount: Money,
}

/// Capital was returned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CapitalReturned {
    /// Account, time and source.
    pub entry: Entry,
    /// The instrument whose issuer returned it.
    pub instrument: InstrumentId,
    /// The effect on the account's cash.
    pub amount: Money,
    /// Units it was paid on, where stated.
    pub quantity: Option<Quantity>,
}
