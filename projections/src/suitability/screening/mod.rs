//! A recommendation held against a profile, rule by rule, on the portfolio as the trades would leave it.
//!
//! A rule that is broken blocks. One that is broken by less than before the trades warns instead, because a step back
//! within limits must be possible. What cannot be measured is unknown, and unknown is not passed: as long as nobody
//! knows whether a limit is kept, somebody else has to allow it. Long and short positions both count by their size.

mod concentration;
mod money;
mod profile;

use super::allocation::{Allocation, Line, SizedTrade};
use super::risk::Risk;
use crate::library::Classification;
use daybook_schemas::events::{InvestmentProfileSet, Mandate, RuleFinding, TargetWeight, Verdict};
use daybook_schemas::{Day, Fraction, InstrumentId};
use rust_decimal::Decimal;

/// Expected cost above this part of what is traded warns: one percent.
pub const COST_SHARE_WARN: Decimal = Decimal::from_parts(1, 0, 0, false, 2);
/// Expected cost above this part of what is traded blocks: three percent.
pub const COST_SHARE_BLOCK: Decimal = Decimal::from_parts(3, 0, 0, false, 2);
/// At most so many names stand in one sentence of evidence.
const NAMES_MAX: usize = 5;

/// What a screening looks at.
pub struct Screening<'a> {
    /// The portfolio as it is.
    pub before: &'a Allocation,
    /// The portfolio as the trades would leave it.
    pub after: &'a Allocation,
    /// The trades; none for holding still.
    pub trades: &'a [SizedTrade],
    /// The expected cost in the base currency, where it was said.
    pub cost: Option<Decimal>,
    /// The profile by which the portfolio is judged.
    pub profile: Option<&'a InvestmentProfileSet>,
    /// When the party or the portfolio is to be looked at again.
    pub review_due: Option<Day>,
    /// Weights to aim for: those of the model that the portfolio follows, else the profile's.
    pub targets: &'a [TargetWeight],
    /// On whose decision trades are made.
    pub mandate: Option<&'a Mandate>,
    /// The day.
    pub on: Day,
    /// The risk of the portfolio as it is.
    pub risk_before: &'a Risk,
    /// The risk of the portfolio as the trades would leave it.
    pub risk_after: &'a Risk,
    /// What an instrument counts as on the day.
    pub classify: &'a dyn Fn(InstrumentId) -> Classification,
    /// The id that an id means, after merges.
    pub canonical: &'a dyn Fn(InstrumentId) -> InstrumentId,
}

/// What all rules together come to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Overall {
    /// Every rule is kept.
    Pass,
    /// Somebody should look.
    Warn,
    /// A rule could not be measured.
    Unknown,
    /// A rule is broken.
    Block,
}

impl Overall {
    /// Whether a second person has to allow it.
    #[must_use]
    pub fn holds_back(self) -> bool {
        self >= Self::Unknown
    }

    /// The word for it, that of a single rule.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Pass => Verdict::Pass,
            Self::Warn => Verdict::Warn,
            Self::Unknown => Verdict::Unknown,
            Self::Block => Verdict::Block,
        }
    }
}

/// The worst of all findings; a verdict that this version does not know is unknown.
#[must_use]
pub fn overall(findings: &[RuleFinding]) -> Overall {
    let of = |finding: &RuleFinding| match finding.verdict {
        Verdict::Pass => Overall::Pass,
        Verdict::Warn => Overall::Warn,
        Verdict::Block => Overall::Block,
        Verdict::Unknown | Verdict::Other(_) => Overall::Unknown,
    };
    findings.iter().map(of).max().unwrap_or(Overall::Pass)
}

/// What the figures of a rule are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// A risk class, 1 to 7.
    Class,
    /// A part of one.
    Part,
    /// Money in the portfolio's base currency.
    Amount,
    /// Years.
    Years,
    /// The rule has no figures.
    None,
}

/// What the figures of a rule are, by the rule's name.
#[must_use]
pub fn unit(rule: &str) -> Unit {
    match rule {
        "risk_class" => Unit::Class,
        "liquidity_reserve" | "cash" => Unit::Amount,
        "horizon" => Unit::Years,
        "cost" | "drift" => Unit::Part,
        _ if rule.starts_with("cap:") || rule.starts_with("exclusion:") => Unit::Part,
        _ => Unit::None,
    }
}

/// Holds trades against every rule that applies. Rules that nothing was said about (no cap, no reserve, no targets) are not
/// listed; that there is no profile is.
#[must_use]
pub fn screen(screening: &Screening<'_>) -> Vec<RuleFinding> {
    let mut findings = vec![screening.profile_rule()];
    if let Some(profile) = screening.profile {
        findings.extend(screening.review(profile));
        findings.push(screening.risk_class(profile));
        findings.push(screening.horizon(profile));
        findings.extend(profile.exclusions.iter().map(|exclusion| screening.exclusion(profile, exclusion)));
        findings.extend(profile.caps.iter().map(|cap| screening.cap(profile, cap)));
        findings.extend(screening.liquidity(profile));
    }
    findings.push(screening.cash());
    findings.extend(screening.short_sale());
    findings.extend(screening.cost());
    findings.extend(screening.drift());
    findings.push(screening.mandate());
    findings
}

fn finding(
    rule: impl Into<Box<str>>,
    verdict: Verdict,
    measured: Option<Decimal>,
    limit: Option<Decimal>,
    evidence: String,
) -> RuleFinding {
    RuleFinding {
        rule: rule.into(),
        verdict,
        measured: measured.map(Fraction::new),
        limit: limit.map(Fraction::new),
        evidence: Some(evidence.into()),
    }
}

/// The verdict on a figure that must not be above a limit.
fn at_most(after: Decimal, before: Option<Decimal>, limit: Decimal) -> Verdict {
    if after <= limit {
        Verdict::Pass
    } else if before.is_some_and(|before| after < before) {
        Verdict::Warn
    } else {
        Verdict::Block
    }
}

fn named(lines: &[&Line]) -> String {
    let mut names: Vec<&str> = lines.iter().take(NAMES_MAX).map(|line| line.symbol.as_str()).collect();
    let more;
    if lines.len() > NAMES_MAX {
        more = format!("{} more", lines.len() - NAMES_MAX);
        names.push(&more);
    }
    names.join(", ")
}
