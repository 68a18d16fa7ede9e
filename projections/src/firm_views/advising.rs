//! What was recommended, what became of it, and how it did against the benchmark.

use super::office::{Called, Office};
use crate::exact;
use crate::library::{AdviceState, AdviceStep, Recommendation};
use crate::suitability::{HORIZON_DAYS, MeanDifference, Outcome, OutcomeState, record_of};
use daybook_schemas::{AdvisorId, Day, PartyId, PortfolioId, RecommendationId, Timestamp};
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::BTreeMap;

/// How recommendations did on the average.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct MeanOutcome {
    /// How many outcomes are known.
    pub count: u32,
    /// The mean of what the recommended trades returned beyond the benchmark, as a part of what was traded.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub mean: Option<Decimal>,
    /// The lower bound of the mean, with a confidence of 95 %.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub low: Option<Decimal>,
    /// The upper bound.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub high: Option<Decimal>,
    /// Why a figure is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

impl From<MeanDifference> for MeanOutcome {
    fn from(mean: MeanDifference) -> Self {
        Self {
            count: mean.count,
            mean: mean.mean,
            low: mean.interval.map(|(low, _)| low),
            high: mean.interval.map(|(_, high)| high),
            missing: mean.reason,
        }
    }
}

/// How all recommendations did that ever reached a client, a fixed time after their issue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OutcomeSummary {
    /// After how many days.
    pub horizon_days: i32,
    /// Over all that were issued.
    pub issued: MeanOutcome,
    /// Over those that were accepted.
    pub accepted: MeanOutcome,
    /// How many wait for their horizon.
    pub pending: u32,
    /// How many cannot be judged.
    pub absent: u32,
}

/// Recommendations of a period, by where they stand at its end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AdviceSummary {
    /// How many were issued in the period, those that were held back among them.
    pub issued: usize,
    /// Of these: by where they stand at the moment of the view.
    pub by_state: BTreeMap<&'static str, usize>,
    /// Of these: how many the client accepted, whatever was done since.
    pub accepted: usize,
    /// How many the client declined.
    pub declined: usize,
    /// How many ran out unanswered.
    pub expired: usize,
    /// How many of all that were ever issued wait for the client's answer.
    pub open: usize,
    /// How all of them did, whenever they were issued.
    pub outcome: OutcomeSummary,
}

/// An exception that waits for a decision, or a recommendation that is held back without one being asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PendingException {
    /// The recommendation.
    pub recommendation: RecommendationId,
    /// Where it stands: `awaiting_override` or `blocked`.
    pub state: &'static str,
    /// For which portfolio.
    pub portfolio: Called<PortfolioId>,
    /// To whom.
    pub party: Called<PartyId>,
    /// By whom.
    pub advisor: Called<AdvisorId>,
    /// When the exception was asked for; for one that is blocked, when it was issued.
    pub since: Timestamp,
    /// For how many days.
    pub days: i32,
    /// When it runs out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

impl Office<'_> {
    /// Days from an instant to the day of the view, both in the same zone as days elsewhere in it.
    pub(super) fn days_since(&self, instant: Timestamp) -> i32 {
        self.at.day.number() - self.day_of(instant).number()
    }

    /// Recommendations that were issued by the moment, for portfolios that the caller may know of.
    pub(super) fn recommendations(&self) -> impl Iterator<Item = &Recommendation> {
        self.recommendations
            .list()
            .filter(|advice| {
                advice.issued.sequence <= self.at.known && advice.issued.occurred_at <= self.instant
            })
            .filter(|advice| self.reach.portfolio(advice.portfolio))
    }

    pub(super) fn state_of(&self, advice: &Recommendation) -> AdviceState {
        advice.state(self.instant, self.at.known)
    }

    /// Sums up some recommendations.
    pub(super) fn advised(&self, advisor: Option<AdvisorId>) -> AdviceSummary {
        let of = |advice: &&Recommendation| advisor.is_none_or(|advisor| advice.advisor == advisor);
        let all: Vec<&Recommendation> = self.recommendations().filter(of).collect();
        let from = self.from;
        let in_period: Vec<&&Recommendation> =
            all.iter().filter(|advice| from <= self.day_of(advice.issued.occurred_at)).collect();
        let mut by_state = BTreeMap::new();
        for advice in &in_period {
            *by_state.entry(self.state_of(advice).name()).or_insert(0) += 1;
        }
        let count = |state: AdviceState| by_state.get(state.name()).copied().unwrap_or(0);
        let accepted = in_period.iter().filter(|advice| advice.was_accepted(self.instant, self.at.known));
        let outcome = record_of(all.iter().copied(), self.instant, self.at.known, |advice| {
            self.looked_up.outcomes.get(&advice.id).cloned()
        });
        AdviceSummary {
            issued: in_period.len(),
            accepted: accepted.count(),
            declined: count(AdviceState::Declined),
            expired: count(AdviceState::Expired),
            by_state,
            open: all.iter().filter(|advice| self.state_of(advice) == AdviceState::Issued).count(),
            outcome: OutcomeSummary {
                horizon_days: HORIZON_DAYS,
                issued: outcome.issued.into(),
                accepted: outcome.accepted.into(),
                pending: outcome.pending,
                absent: outcome.absent,
            },
        }
    }

    /// What is held back, the longest-waiting first.
    pub(super) fn exceptions(&self, advisor: Option<AdvisorId>) -> Vec<PendingException> {
        let mut pending: Vec<PendingException> = self
            .recommendations()
            .filter(|advice| advisor.is_none_or(|advisor| advice.advisor == advisor))
            .filter_map(|advice| {
                let state = self.state_of(advice);
                if !matches!(state, AdviceState::AwaitingOverride | AdviceState::Blocked) {
                    return None;
                }
                let asked = advice.steps.iter().rev().find(|(meta, step)| {
                    *step == AdviceStep::OverrideRequested
                        && meta.sequence <= self.at.known
                        && meta.occurred_at <= self.instant
                });
                let asked = asked.filter(|_| state == AdviceState::AwaitingOverride);
                let since = asked.map_or(advice.issued.occurred_at, |(meta, _)| meta.occurred_at);
                Some(PendingException {
                    recommendation: advice.id,
                    state: state.name(),
                    portfolio: Called { id: advice.portfolio, name: self.names.portfolio(advice.portfolio) },
                    party: Called { id: advice.party, name: self.names.party(advice.party) },
                    advisor: Called { id: advice.advisor, name: self.names.advisor(advice.advisor) },
                    since,
                    days: self.days_since(since),
                    expires: advice.expires,
                })
            })
            .collect();
        pending.sort_by_key(|one| (one.state, one.since, one.recommendation));
        pending
    }

    fn day_of(&self, instant: Timestamp) -> Day {
        instant.day_in(self.zone)
    }
}

/// An outcome as a list shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OutcomeItem {
    /// The day on which it is judged.
    pub judged_on: Day,
    /// `known`, `pending` or `absent`.
    pub state: &'static str,
    /// What the trades returned, as a part of what was traded.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub trades: Option<Decimal>,
    /// What the benchmark returned on the same sides.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub benchmark: Option<Decimal>,
    /// The first less the second.
    #[serde(with = "exact::option", skip_serializing_if = "Option::is_none")]
    pub difference: Option<Decimal>,
    /// Why it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

impl From<&Outcome> for OutcomeItem {
    fn from(outcome: &Outcome) -> Self {
        let empty = Self {
            judged_on: outcome.judged_on,
            state: "pending",
            trades: None,
            benchmark: None,
            difference: None,
            missing: None,
        };
        match &outcome.state {
            OutcomeState::Known { trades, benchmark, difference } => Self {
                state: "known",
                trades: Some(*trades),
                benchmark: Some(*benchmark),
                difference: Some(*difference),
                ..empty
            },
            OutcomeState::Pending => empty,
            OutcomeState::Absent(reason) => Self { state: "absent", missing: Some(reason.clone()), ..empty },
        }
    }
}
