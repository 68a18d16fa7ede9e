//! The rules of profile and mandate: that there are any, risk class, horizon, review.

use super::{Screening, at_most, finding};
use crate::suitability::risk::{effective_class, years_of_class};
use crate::suitability::words::percent;
use daybook_schemas::events::{InvestmentProfileSet, Mandate, RuleFinding, Verdict};
use rust_decimal::Decimal;

impl Screening<'_> {
    pub(super) fn profile_rule(&self) -> RuleFinding {
        match self.profile {
            None => finding(
                "profile",
                Verdict::Block,
                None,
                None,
                "no investment profile is in force for the portfolio: set one before anything is recommended"
                    .to_owned(),
            ),
            Some(profile) => finding(
                "profile",
                Verdict::Pass,
                None,
                None,
                format!(
                    "screened against version {} of the profile, in force since {}",
                    profile.version, profile.from
                ),
            ),
        }
    }

    pub(super) fn review(&self, profile: &InvestmentProfileSet) -> Option<RuleFinding> {
        let due = self.review_due?;
        let version = profile.version;
        let (verdict, words) = if due < self.on {
            (
                Verdict::Warn,
                format!(
                    "the review of profile version {version} was due on {due} and is overdue on {}",
                    self.on
                ),
            )
        } else {
            (Verdict::Pass, format!("the review of profile version {version} is due on {due}"))
        };
        Some(finding("review", verdict, None, None, words))
    }

    pub(super) fn risk_class(&self, profile: &InvestmentProfileSet) -> RuleFinding {
        let version = profile.version;
        let effective = match effective_class(profile) {
            Ok(effective) => effective,
            Err(reason) => return finding("risk_class", Verdict::Unknown, None, None, reason),
        };
        let limit = Decimal::from(effective.class.get());
        let mut parts = vec![format!("tolerance {}", effective.tolerance)];
        parts.extend(effective.capacity.map(|class| format!("capacity for loss {class}")));
        parts.extend(effective.horizon.map(|class| format!("horizon {class}")));
        let allowed = format!(
            "profile version {version} allows class {} (the lowest of {})",
            effective.class,
            parts.join(", ")
        );
        let (Some(class), Some(volatility)) = (self.risk_after.class, self.risk_after.volatility) else {
            let reason = self.risk_after.reason.as_deref().unwrap_or("no history");
            let words = format!("the risk class after the trades is not known: {reason}; {allowed}");
            return finding("risk_class", Verdict::Unknown, None, Some(limit), words);
        };
        let measured = Decimal::from(class.get());
        // A step down within a class is a step as well.
        let verdict = if class <= effective.class {
            Verdict::Pass
        } else if self.risk_before.volatility.is_some_and(|before| volatility < before) {
            Verdict::Warn
        } else {
            Verdict::Block
        };
        let before = self.risk_before.volatility.map_or_else(|| "not known".to_owned(), percent);
        let words = format!(
            "class {class} after the trades: today's weights moved by {} a year over {} weekly returns (before the trades {before}); {allowed}",
            percent(volatility),
            self.risk_after.weeks
        );
        finding("risk_class", verdict, Some(measured), Some(limit), words)
    }

    pub(super) fn horizon(&self, profile: &InvestmentProfileSet) -> RuleFinding {
        let version = profile.version;
        let Some(years) = profile.horizon_years else {
            let words = format!(
                "profile version {version} states no horizon: ask for how long the money is not needed"
            );
            return finding("horizon", Verdict::Warn, None, None, words);
        };
        let limit = Decimal::from(years);
        let Some(class) = self.risk_after.class else {
            let reason = self.risk_after.reason.as_deref().unwrap_or("no history");
            let words = format!("which horizon the portfolio needs after the trades is not known: {reason}");
            return finding("horizon", Verdict::Unknown, None, Some(limit), words);
        };
        let needed = years_of_class(class);
        let before = self.risk_before.class.map(|class| Decimal::from(years_of_class(class)));
        let measured = Decimal::from(needed);
        let words = format!(
            "a portfolio of class {class} should not be needed for {needed} years; by profile version {version} the money is not needed for {years}"
        );
        finding("horizon", at_most(measured, before, limit), Some(measured), Some(limit), words)
    }

    pub(super) fn mandate(&self) -> RuleFinding {
        let (verdict, words) = match self.mandate {
            Some(Mandate::Advisory) => (Verdict::Pass, "the firm advises and the client decides".to_owned()),
            Some(Mandate::Discretionary) => {
                (Verdict::Pass, "the firm decides by mandate; the client is told and may object".to_owned())
            }
            Some(Mandate::ExecutionOnly) => {
                (Verdict::Block, "the mandate is execution only: nothing is recommended under it".to_owned())
            }
            Some(other @ Mandate::Other(_)) => (
                Verdict::Unknown,
                format!("whether anything may be recommended under the mandate `{other}` is not known"),
            ),
            None => (Verdict::Warn, "no mandate is recorded for the portfolio".to_owned()),
        };
        finding("mandate", verdict, None, None, words)
    }
}
