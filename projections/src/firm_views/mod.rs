//! What each person of the firm sees: the advisor, the firm itself, the client.
//!
//! A view is told from where each portfolio stands ([`Standing`]), which depends on that portfolio alone and can be kept,
//! and from the firm at the moment ([`Office`]). Sums never mix currencies without a rate, and say which they used.

mod advising;
mod advisor;
mod client;
mod firm;
mod items;
mod office;
mod spread;
mod standing;
mod terms;

pub use advising::{AdviceSummary, MeanOutcome, OutcomeItem, OutcomeSummary, PendingException};
pub use advisor::{AdvisorView, Counts, advisor_portfolios, advisor_view};
pub use client::{ClientView, Offered, Served, client_portfolios, client_recommendations, client_view};
pub use firm::{FirmView, OverrideSaid, Traded, firm_portfolios, firm_view};
pub use items::{Attention, AttentionKind, ClientItem, PortfolioItem};
pub use office::{Asked, Called, Folded, LookedUp, Names, Office, Seen, Sum};
pub use spread::{GROUP_MIN, Spread};
pub use standing::{Drawdown, LOOKBACK_DAYS, Looked, OffRule, Period, RateUsed, Returns, Since, Standing};
pub use terms::InForce;
