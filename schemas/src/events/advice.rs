//! Recommendations and what became of them.

use super::{Reference, Side};
use crate::codes::codes;
use crate::{
    AdvisorId, Fraction, InstrumentId, ModelId, Money, PartyId, PortfolioId, Price, Quantity,
    RecommendationId, Sealed, Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A trade that is recommended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProposedTrade {
    /// The instrument.
    pub instrument: InstrumentId,
    /// Which way.
    pub side: Side,
    /// Units, where it is stated in units.
    pub quantity: Option<Quantity>,
    /// The amount, where it is stated in money.
    pub amount: Option<Money>,
    /// The weight to reach, where it is stated so.
    pub weight: Option<Fraction>,
    /// The price not to go beyond.
    pub limit: Option<Price>,
    /// The price of that day, on which the reasons rest.
    pub reference_price: Option<Price>,
}

codes! {
    /// What a rule said.
    Verdict {
        /// It is kept.
        Pass = 1, "pass";
        /// Somebody should look.
        Warn = 2, "warn";
        /// It is broken.
        Block = 3, "block";
        /// It could not be measured; the evidence says why.
        Unknown = 4, "unknown";
    }
    /// Why a recommendation was declined.
    DeclineReason {
        /// Not stated.
        Unstated = 1, "unstated";
        /// Too risky.
        TooRisky = 2, "too_risky";
        /// Too costly.
        TooCostly = 3, "too_costly";
        /// The money is needed elsewhere.
        Liquidity = 4, "liquidity";
        /// The client sees it otherwise.
        Disagrees = 5, "disagrees";
        /// Not now.
        Timing = 6, "timing";
    }
}

/// What one rule measured on the day of a recommendation, frozen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RuleFinding {
    /// The rule's name.
    pub rule: Box<str>,
    /// What it said.
    pub verdict: Verdict,
    /// What was measured.
    pub measured: Option<Fraction>,
    /// The limit.
    pub limit: Option<Fraction>,
    /// The evidence in words.
    pub evidence: Option<Box<str>>,
}

/// A recommendation was issued.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RecommendationIssued {
    /// The recommendation.
    pub recommendation: RecommendationId,
    /// For which portfolio.
    pub portfolio: PortfolioId,
    /// To whom.
    pub party: PartyId,
    /// By whom.
    pub advisor: AdvisorId,
    /// The version of the investment profile it was screened against.
    pub profile_version: Option<u32>,
    /// The model it follows.
    pub model: Option<ModelId>,
    /// What is recommended; empty for holding still.
    pub trades: Vec<ProposedTrade>,
    /// Why.
    pub rationale: Sealed<String>,
    /// What the rules said.
    pub screening: Vec<RuleFinding>,
    /// The head of the ledger that the screening saw.
    pub seen_sequence: u64,
    /// The equity that the screening saw.
    pub seen_equity: Option<Money>,
    /// Expected cost of following it.
    pub expected_cost: Option<Money>,
    /// When it runs out.
    pub expires: Option<Timestamp>,
    /// The recommendation it replaces.
    pub replaces: Option<RecommendationId>,
}

/// A recommendation was accepted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RecommendationAccepted {
    /// The recommendation.
    pub recommendation: RecommendationId,
    /// The client's words.
    pub note: Option<Sealed<String>>,
}

/// A recommendation was declined.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RecommendationDeclined {
    /// The recommendation.
    pub recommendation: RecommendationId,
    /// Why.
    pub reason: DeclineReason,
    /// The client's words.
    pub note: Option<Sealed<String>>,
}

/// A recommendation ran out unanswered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RecommendationExpired {
    /// The recommendation.
    pub recommendation: RecommendationId,
}

/// A recommendation was withdrawn.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RecommendationWithdrawn {
    /// The recommendation.
    pub recommendation: RecommendationId,
    /// Why.
    pub reason: Option<Sealed<String>>,
}

/// A recommendation was carried out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RecommendationExecuted {
    /// The recommendation.
    pub recommendation: RecommendationId,
    /// The fills that carried it out.
    pub fills: Vec<Reference>,
}

/// An exception from a rule was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OverrideRequested {
    /// The recommendation.
    pub recommendation: RecommendationId,
    /// The rules it breaks.
    pub rules: Vec<Box<str>>,
    /// Why it should be allowed.
    pub reason: Sealed<String>,
    /// Who asks.
    pub requested_by: AdvisorId,
}

/// An exception was approved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OverrideApproved {
    /// The recommendation.
    pub recommendation: RecommendationId,
    /// Who approved it: the name that the grant carries.
    pub approved_by: Box<str>,
    /// The approver's words.
    pub note: Option<Sealed<String>>,
}

/// An exception was refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OverrideRefused {
    /// The recommendation.
    pub recommendation: RecommendationId,
    /// Who refused it: the name that the grant carries.
    pub refused_by: Box<str>,
    /// The refuser's words.
    pub note: Option<Sealed<String>>,
}
