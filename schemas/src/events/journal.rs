//! What traders write about their trades: plans, annotations, baselines.

use super::{ContentHash, Reference, Side};
use crate::{Day, Fraction, InstrumentId, Money, PlanId, Price, Quantity, Sealed, Strategy, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A trade was planned. The plan counts as made when it was recorded, whatever it says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TradePlanned {
    /// The plan.
    pub plan: PlanId,
    /// What is to be traded.
    pub instrument: InstrumentId,
    /// Which way.
    pub side: Side,
    /// The way of trading.
    pub strategy: Option<Strategy>,
    /// The setup, in the trader's words.
    pub setup: Option<Box<str>>,
    /// Units.
    pub quantity: Option<Quantity>,
    /// The price to enter at.
    pub entry_price: Option<Price>,
    /// The price at which the idea is wrong.
    pub stop: Option<Price>,
    /// The price at which it is done.
    pub target: Option<Price>,
    /// What may be lost.
    pub risk: Option<Money>,
    /// When the plan lapses.
    pub expires: Option<Timestamp>,
    /// The trader's words.
    pub note: Option<Sealed<String>>,
}

/// A trade was annotated. The annotation is anchored to a fill and follows it into whatever trade that fill belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TradeAnnotated {
    /// A fill of the trade.
    pub anchor: Reference,
    /// Tags to have from now on.
    pub tags: Vec<Box<str>>,
    /// The way of trading.
    pub strategy: Option<Strategy>,
    /// The setup.
    pub setup: Option<Box<str>>,
    /// Mistakes, in the trader's words.
    pub mistakes: Vec<Box<str>>,
    /// 1 to 5.
    pub rating: Option<u8>,
    /// The trader's words.
    pub note: Option<Sealed<String>>,
    /// Pictures and files, by hash; they are kept outside the log.
    pub attachments: Vec<Attachment>,
}

/// A file that belongs to an annotation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Attachment {
    /// ContentHash of its bytes.
    pub hash: ContentHash,
    /// Its media type.
    pub media_type: Box<str>,
    /// Its name.
    pub name: Option<Sealed<String>>,
}

/// A way of trading was given a baseline to be measured against.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StrategyBaselineSet {
    /// The way of trading.
    pub strategy: Strategy,
    /// 1 for the first baseline, then one more each time.
    pub version: u32,
    /// The first day on which it holds.
    pub from: Day,
    /// Expected share of winners.
    pub win_rate: Option<Fraction>,
    /// Expected mean result, in multiples of the planned risk.
    pub mean_r: Option<Fraction>,
    /// Expected median time in a trade, in minutes.
    pub hold_minutes: Option<u64>,
    /// The most that one trade may risk.
    pub risk_max: Option<Money>,
    /// The most that one trade may risk, as a part of equity.
    pub risk_share_max: Option<Fraction>,
    /// The most trades in a day.
    pub trades_per_day_max: Option<u32>,
    /// Setups that belong to it; empty for any.
    pub setups: Vec<Box<str>>,
    /// Hours in which it trades, as minutes after midnight in the portfolio's zone: from, to.
    pub hours: Vec<(u16, u16)>,
    /// Whether a stop must be recorded before entry.
    pub stop_required: bool,
}
