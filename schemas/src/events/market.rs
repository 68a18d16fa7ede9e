//! Prices and rates as feeds observe them, always as traded.

use crate::codes::codes;
use crate::{Currency, Day, FxRate, InstrumentId, Price, Quantity, Ratio, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A price was seen. When it was seen is the record's `occurred_at`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PriceTick {
    /// The instrument.
    pub instrument: InstrumentId,
    /// The price of one unit.
    pub price: Price,
    /// The price's currency.
    pub currency: Currency,
    /// Units traded, where stated.
    pub size: Option<Quantity>,
    /// What kind of price.
    pub kind: TickKind,
}

codes! {
    /// What kind of price was seen.
    TickKind {
        /// The price of a trade.
        Trade = 1, "trade";
        /// The best offer to buy.
        Bid = 2, "bid";
        /// The best offer to sell.
        Ask = 3, "ask";
        /// Halfway between bid and ask.
        Mid = 4, "mid";
        /// A net asset value.
        NetAssetValue = 5, "net_asset_value";
        /// A settlement price.
        Settlement = 6, "settlement";
        /// Somebody's estimate.
        Appraisal = 7, "appraisal";
    }
}

/// A bar of prices was closed, or restated. It occurs when it closes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BarClosed {
    /// The instrument.
    pub instrument: InstrumentId,
    /// The first instant of the bar, where known.
    pub opens: Option<Timestamp>,
    /// The instant at which the bar closes.
    pub closes: Timestamp,
    /// The trading day of a daily bar; absent for bars within a day.
    pub day: Option<Day>,
    /// First price.
    pub open: Option<Price>,
    /// Highest price.
    pub high: Option<Price>,
    /// Lowest price.
    pub low: Option<Price>,
    /// Last price.
    pub close: Price,
    /// Units traded.
    pub volume: Option<Quantity>,
    /// Average price weighted by volume.
    pub average: Option<Price>,
    /// The number of trades.
    pub trades: Option<u64>,
    /// The prices' currency.
    pub currency: Currency,
    /// 0 for the first statement of this bar by its feed, then one more for each restatement.
    pub revision: u32,
    /// By what the source's figures were multiplied to undo an adjustment for splits.
    pub unadjusted_by: Option<Ratio>,
}

/// A rate of exchange was seen. When it was seen is the record's `occurred_at`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FxRateObserved {
    /// The currency that is priced.
    pub base: Currency,
    /// The currency that it is priced in.
    pub quote: Currency,
    /// Units of `quote` for one unit of `base`.
    pub rate: FxRate,
    /// The day of a daily fixing.
    pub day: Option<Day>,
    /// 0 for the first statement of this rate by its feed, then one more for each restatement.
    pub revision: u32,
}
