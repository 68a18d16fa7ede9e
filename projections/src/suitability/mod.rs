//! Whether a portfolio suits who owns it: its risk, its weights and its limits, as it is and as trades would leave it.
//!
//! Amounts and weights are exact decimals. Statistics (volatility, intervals) are computed in binary floating point, in a
//! fixed order, and rounded before anything is compared with them: the same events give the same figures everywhere.

mod advised;
mod allocation;
mod drift;
mod outcome;
mod risk;
mod screening;
mod words;

pub use advised::{outcome_of, record_of};
pub use allocation::{Allocation, Line, PlannedTrade, Rates, Size, SizedTrade, TradeFault};
pub use drift::{
    ALERT_POINTS, ALERT_SHARE, Drift, DriftLine, Mending, Proposal, Target, Way as MendingWay, drift, mend,
};
pub use outcome::{
    Advised, HORIZON_DAYS, MeanDifference, Outcome, OutcomeState, Paying, Record, Span, TradedOn,
    mean_difference, outcome, record, total_return,
};
pub use risk::{
    Effective, Risk, RiskClass, WEEKS_MAX, WEEKS_MIN, WeeklyReturns, class_of_horizon, class_of_level,
    effective_class, instrument_risk, portfolio_risk, weekly_returns, years_of_class,
};
pub use screening::{COST_SHARE_BLOCK, COST_SHARE_WARN, Overall, Screening, Unit, overall, screen, unit};
