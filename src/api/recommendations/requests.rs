//! What is asked for when trades are screened or recommended.

use crate::api::advice::{self, TradeRequest, trades};
use crate::api::body::{Fields, Form};
use crate::api::problem::Problem;
use crate::api::record::schema;
use crate::journal::{AskedTrade, instant};
use daybook_schemas::{AdvisorId, PartyId, PortfolioId, RecommendationId, Timestamp};
use rust_decimal::Decimal;
use std::fmt::Display;
use std::str::FromStr;

/// Trades to be screened, as they were read.
pub(super) struct ScreeningRequest {
    portfolio: Option<PortfolioId>,
    pub(super) trades: Vec<AskedTrade>,
    pub(super) cost: Option<Decimal>,
}

schema!(
    @type ScreeningRequest, "Trades to be screened.",
    "The portfolio", portfolio, String;
    "The trades; an empty list for the portfolio as it is", trades, Vec<TradeRequest>;
    "What they are expected to cost, in the portfolio's base currency", expected_cost, Option<String>;
);

/// A recommendation to be issued, as it was read.
pub(super) struct RecommendationRequest {
    pub(super) screening: ScreeningRequest,
    pub(super) party: Option<PartyId>,
    pub(super) advisor: Option<AdvisorId>,
    pub(super) profile_version: Option<u32>,
    pub(super) rationale: String,
    pub(super) expires: Option<Timestamp>,
    pub(super) replaces: Option<RecommendationId>,
}

schema!(
    @type RecommendationRequest, "A recommendation to be issued.",
    "The portfolio", portfolio, String;
    "To which of its owners; the one by whose profile it is judged, if not said. Of owners with equal shares one is named", party, Option<String>;
    "The advisor, where an administrator issues it; an advisor issues in their own name", advisor, Option<String>;
    "What is recommended; an empty list for holding still", trades, Vec<TradeRequest>;
    "The version of the profile that it rests on; left out only while no profile is in force", profile_version, Option<u32>;
    "Why, in words for the client", rationale, String;
    "What following it is expected to cost, in the portfolio's base currency", expected_cost, Option<String>;
    "When it runs out: RFC 3339, or a date for the end of that day in UTC; in thirty days if not said", expires, Option<String>;
    "The recommendation that it replaces, one that waits for an answer", replaces, Option<String>;
);

/// An id, or a fault of its field.
pub(super) fn id<T: FromStr<Err: Display>>(fields: &mut Fields, name: &str) -> Option<T> {
    let text = fields.text(name)?;
    text.parse().map_err(|error: T::Err| fields.fault(name, error.to_string())).ok()
}

impl Form for ScreeningRequest {
    fn read(fields: &mut Fields) -> Self {
        let text = fields.required_text("portfolio");
        let portfolio = match text.parse::<PortfolioId>() {
            Ok(id) => Some(id),
            Err(_) if text.is_empty() => None,
            Err(error) => {
                fields.fault("portfolio", error.to_string());
                None
            }
        };
        let cost = advice::number(fields, "expected_cost");
        if cost.is_some_and(|cost| cost < Decimal::ZERO) {
            fields.fault("expected_cost", "a cost is not negative");
        }
        Self { portfolio, trades: trades(fields), cost }
    }
}

impl ScreeningRequest {
    /// The portfolio; a form that names none is refused before it comes to this.
    pub(super) fn portfolio(&self) -> Result<PortfolioId, Problem> {
        self.portfolio.ok_or_else(|| Problem::internal("a request was read that names no portfolio"))
    }
}

impl Form for RecommendationRequest {
    fn read(fields: &mut Fields) -> Self {
        let screening = ScreeningRequest::read(fields);
        let version = fields.whole_number("profile_version");
        let profile_version = version.and_then(|version| u32::try_from(version).ok());
        if version.is_some() && profile_version.is_none() {
            fields.fault("profile_version", "there is no such version");
        }
        let expires = fields.text("expires").map(|text| instant("expires", &text));
        let expires = match expires {
            Some(Err(_)) => {
                fields.fault("expires", "write RFC 3339, such as 2024-03-01T15:30:00Z, or a date");
                None
            }
            Some(Ok(expires)) => Some(expires),
            None => None,
        };
        Self {
            screening,
            party: id(fields, "party"),
            advisor: id(fields, "advisor"),
            profile_version,
            rationale: fields.required_text("rationale"),
            expires,
            replaces: id(fields, "replaces"),
        }
    }
}
