//! Recommendations and what became of them.
//!
//! What was measured and why it was recommended stands in the event alone; what is kept here is what lists, transitions
//! and outcomes need.

use crate::suitability::overall;
use crate::view::{Meta, View};
use daybook_schemas::events::{ProposedTrade, RecommendationIssued, Reference};
use daybook_schemas::{
    AdvisorId, Event, ModelId, Money, PartyId, PortfolioId, RecommendationId, Timestamp, Zone, stream,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a recommendation stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AdviceState {
    /// A rule is broken or could not be measured, and nobody allowed it: the client does not see it.
    Blocked,
    /// Somebody was asked to allow it: the client does not see it.
    AwaitingOverride,
    /// The client has it and may answer.
    Issued,
    /// The client took it.
    Accepted,
    /// The client did not take it.
    Declined,
    /// It ran out unanswered.
    Expired,
    /// The firm took it back.
    Withdrawn,
    /// It was carried out.
    Executed,
    /// Another took its place.
    Replaced,
}

impl AdviceState {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Blocked,
        Self::AwaitingOverride,
        Self::Issued,
        Self::Accepted,
        Self::Declined,
        Self::Expired,
        Self::Withdrawn,
        Self::Executed,
        Self::Replaced,
    ];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::AwaitingOverride => "awaiting_override",
            Self::Issued => "issued",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Executed => "executed",
            Self::Replaced => "replaced",
        }
    }

    /// The state of a word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether it still waits for somebody's word, and so can run out.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Blocked | Self::AwaitingOverride | Self::Issued)
    }

    /// Where a step leads from here; nowhere for one that cannot be taken.
    #[must_use]
    pub const fn after(self, step: AdviceStep) -> Option<Self> {
        match (self, step) {
            (Self::Blocked, AdviceStep::OverrideRequested) => Some(Self::AwaitingOverride),
            (Self::AwaitingOverride, AdviceStep::OverrideApproved) => Some(Self::Issued),
            (Self::AwaitingOverride, AdviceStep::OverrideRefused) => Some(Self::Blocked),
            (Self::Issued, AdviceStep::Accepted) => Some(Self::Accepted),
            (Self::Issued, AdviceStep::Declined) => Some(Self::Declined),
            (Self::Accepted, AdviceStep::Executed) => Some(Self::Executed),
            (Self::Executed, AdviceStep::FillReversed) => Some(Self::Accepted),
            (Self::Blocked | Self::AwaitingOverride | Self::Issued, AdviceStep::Expired) => {
                Some(Self::Expired)
            }
            (
                Self::Blocked | Self::AwaitingOverride | Self::Issued | Self::Accepted,
                AdviceStep::Withdrawn,
            ) => Some(Self::Withdrawn),
            _ => None,
        }
    }
}

impl std::fmt::Display for AdviceState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What was done with a recommendation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AdviceStep {
    /// Somebody asked that it be allowed all the same.
    OverrideRequested,
    /// It was allowed.
    OverrideApproved,
    /// It was not allowed.
    OverrideRefused,
    /// The client took it.
    Accepted,
    /// The client did not take it.
    Declined,
    /// It ran out.
    Expired,
    /// The firm took it back.
    Withdrawn,
    /// It was carried out.
    Executed,
    /// A fill that carried it out never was: it stands as before, and can be carried out again.
    FillReversed,
}

impl AdviceStep {
    /// Every step.
    pub const ALL: [Self; 9] = [
        Self::OverrideRequested,
        Self::OverrideApproved,
        Self::OverrideRefused,
        Self::Accepted,
        Self::Declined,
        Self::Expired,
        Self::Withdrawn,
        Self::Executed,
        Self::FillReversed,
    ];

    fn of(event: &Event) -> Option<(RecommendationId, Self)> {
        Some(match event {
            Event::OverrideRequested(event) => (event.recommendation, Self::OverrideRequested),
            Event::OverrideApproved(event) => (event.recommendation, Self::OverrideApproved),
            Event::OverrideRefused(event) => (event.recommendation, Self::OverrideRefused),
            Event::RecommendationAccepted(event) => (event.recommendation, Self::Accepted),
            Event::RecommendationDeclined(event) => (event.recommendation, Self::Declined),
            Event::RecommendationExpired(event) => (event.recommendation, Self::Expired),
            Event::RecommendationWithdrawn(event) => (event.recommendation, Self::Withdrawn),
            Event::RecommendationExecuted(event) => (event.recommendation, Self::Executed),
            _ => return None,
        })
    }
}

/// A trade that carried a recommendation out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fill {
    /// The event of the trade.
    pub sequence: u64,
    /// The event that said so.
    pub named_by: u64,
    /// The event by which the trade never was.
    pub reversed_by: Option<u64>,
}

/// A recommendation, and what was done with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recommendation {
    /// The recommendation.
    pub id: RecommendationId,
    /// For which portfolio.
    pub portfolio: PortfolioId,
    /// To whom.
    pub party: PartyId,
    /// By whom.
    pub advisor: AdvisorId,
    /// The version of the profile that it was screened against.
    pub profile_version: Option<u32>,
    /// The model that it follows.
    pub model: Option<ModelId>,
    /// What is recommended.
    pub trades: Vec<ProposedTrade>,
    /// The equity that its screening saw.
    pub seen_equity: Option<Money>,
    /// When it runs out.
    pub expires: Option<Timestamp>,
    /// The recommendation that it replaces.
    pub replaces: Option<RecommendationId>,
    /// Whether its screening held it back.
    pub held_back: bool,
    /// The event that issued it.
    pub issued: Meta,
    /// What was done with it, in the order of the log; what could not be done is left out.
    pub steps: Vec<(Meta, AdviceStep)>,
    /// The trades that carried it out, in the order in which they were named.
    pub fills: Vec<Fill>,
    /// The event that issued the one in its place, and which that is.
    pub replaced_by: Option<(Meta, RecommendationId)>,
    /// The sequence of the last event about it.
    pub last_sequence: u64,
    /// How many events its stream holds.
    pub version: u64,
}

impl Recommendation {
    /// Where it stood at an instant, of what was recorded up to `known`. One whose time has run out is expired from that
    /// instant on, whether or not the event that says so is recorded yet.
    #[must_use]
    pub fn state(&self, at: Timestamp, known: u64) -> AdviceState {
        let is_seen = |meta: &Meta| meta.sequence <= known && meta.occurred_at <= at;
        // What never was acts on what is known, whenever it is asked about.
        let is_taken = |meta: &Meta, step: AdviceStep| match step {
            AdviceStep::FillReversed => meta.sequence <= known,
            _ => is_seen(meta),
        };
        let mut state = if self.held_back { AdviceState::Blocked } else { AdviceState::Issued };
        let mut last = self.issued.sequence;
        for (meta, step) in self.steps.iter().filter(|(meta, step)| is_taken(meta, *step)) {
            if let Some(next) = state.after(*step) {
                state = next;
                last = meta.sequence;
            }
        }
        let replaced =
            self.replaced_by.as_ref().filter(|(meta, _)| is_seen(meta)).map(|(meta, _)| meta.sequence);
        match replaced {
            Some(_) if state.is_open() => return AdviceState::Replaced,
            Some(by) if state == AdviceState::Withdrawn && last > by => return AdviceState::Replaced,
            _ => {}
        }
        if state.is_open() && self.has_run_out(at) { AdviceState::Expired } else { state }
    }

    /// Where it stood in a view; `None` where it was not known or not issued yet.
    #[must_use]
    pub fn seen(&self, view: &View, zone: Zone) -> Option<AdviceState> {
        let at = view.as_of.instant(zone);
        let is_issued = self.issued.sequence <= view.known && self.issued.occurred_at <= at;
        is_issued.then(|| self.state(at, view.known))
    }

    /// Whether its time has run out at an instant.
    #[must_use]
    pub fn has_run_out(&self, at: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= at)
    }

    /// Whether the client accepted it, whatever was done since.
    #[must_use]
    pub fn was_accepted(&self, at: Timestamp, known: u64) -> bool {
        self.steps.iter().any(|(meta, step)| {
            *step == AdviceStep::Accepted && meta.sequence <= known && meta.occurred_at <= at
        })
    }

    /// The trades that carried it out, of what was recorded up to `known`: those that count, and those that never were.
    #[must_use]
    pub fn fills(&self, known: u64) -> (Vec<u64>, Vec<u64>) {
        let named = self.fills.iter().filter(|fill| fill.named_by <= known);
        let (reversed, counting): (Vec<&Fill>, Vec<&Fill>) =
            named.partition(|fill| fill.reversed_by.is_some_and(|by| by <= known));
        let sequences = |fills: Vec<&Fill>| fills.into_iter().map(|fill| fill.sequence).collect();
        (sequences(counting), sequences(reversed))
    }

    /// Whether the client ever got to see it: nothing held it back, or somebody allowed it.
    #[must_use]
    pub fn reached_client(&self, at: Timestamp, known: u64) -> bool {
        !self.held_back
            || self.steps.iter().any(|(meta, step)| {
                *step == AdviceStep::OverrideApproved && meta.sequence <= known && meta.occurred_at <= at
            })
    }
}

/// All recommendations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recommendations {
    all: BTreeMap<RecommendationId, Recommendation>,
    /// What each trade carried out.
    by_fill: BTreeMap<u64, Vec<RecommendationId>>,
    changed_at: u64,
}

impl Recommendations {
    pub(super) fn apply(&mut self, meta: &Meta, stream_name: &str, event: &Event) {
        if let Event::RecommendationIssued(issued) = event {
            self.issued(meta, stream_name, issued);
        } else if let Event::EventReversed(reversed) = event {
            let Some(ids) = self.by_fill.get(&reversed.target) else { return };
            for id in ids {
                let Some(known) = self.all.get_mut(id) else { continue };
                known.without(meta, reversed.target);
            }
        } else if let Some((id, step)) = AdviceStep::of(event) {
            let Some(known) = self.all.get_mut(&id) else { return };
            if stream_name == stream::advice(id) {
                known.version += 1;
            }
            // Its time may have run out by then without anybody having said so.
            if known.state_recorded().after(step).is_some() {
                known.steps.push((*meta, step));
                if let Event::RecommendationExecuted(executed) = event {
                    for fill in known.executed(meta, &executed.fills) {
                        self.by_fill.entry(fill).or_default().push(id);
                    }
                }
            }
            known.last_sequence = meta.sequence;
        } else {
            return;
        }
        self.changed_at = meta.sequence;
    }

    fn issued(&mut self, meta: &Meta, stream_name: &str, issued: &RecommendationIssued) {
        let id = issued.recommendation;
        if let Some(known) = self.all.get_mut(&id) {
            // What was issued stands; a second statement under its id changes nothing.
            known.version += u64::from(stream_name == stream::advice(id));
            return;
        }
        if let Some(replaced) = issued.replaces.and_then(|id| self.all.get_mut(&id))
            && replaced.replaced_by.is_none()
        {
            replaced.replaced_by = Some((*meta, id));
            replaced.last_sequence = meta.sequence;
        }
        let recommendation = Recommendation {
            id,
            portfolio: issued.portfolio,
            party: issued.party,
            advisor: issued.advisor,
            profile_version: issued.profile_version,
            model: issued.model,
            trades: issued.trades.clone(),
            seen_equity: issued.seen_equity,
            expires: issued.expires,
            replaces: issued.replaces,
            held_back: overall(&issued.screening).holds_back(),
            issued: *meta,
            steps: Vec::new(),
            fills: Vec::new(),
            replaced_by: None,
            last_sequence: meta.sequence,
            version: u64::from(stream_name == stream::advice(id)),
        };
        self.all.insert(id, recommendation);
    }

    /// A recommendation by its id.
    #[must_use]
    pub fn get(&self, id: RecommendationId) -> Option<&Recommendation> {
        self.all.get(&id)
    }

    /// The recommendation that a trade carried out, if the trade still counts.
    #[must_use]
    pub fn carried_out_by(&self, fill: u64) -> Option<&Recommendation> {
        let counts = |one: &&Recommendation| {
            one.fills.iter().any(|known| known.sequence == fill && known.reversed_by.is_none())
        };
        self.by_fill.get(&fill)?.iter().filter_map(|id| self.all.get(id)).find(counts)
    }

    /// All recommendations, by id; ids sort by age.
    pub fn list(&self) -> impl DoubleEndedIterator<Item = &Recommendation> {
        self.all.values()
    }

    /// The sequence of the last event about any recommendation; 0 for none.
    #[must_use]
    pub fn changed_at(&self) -> u64 {
        self.changed_at
    }
}

impl Recommendation {
    /// Notes the trades that carried it out, and gives those that were not noted before.
    fn executed(&mut self, meta: &Meta, fills: &[Reference]) -> Vec<u64> {
        let mut new = Vec::new();
        for fill in fills {
            let Reference::Sequence(sequence) = fill else { continue };
            if self.fills.iter().all(|known| known.sequence != *sequence) {
                let named_by = meta.sequence;
                self.fills.push(Fill { sequence: *sequence, named_by, reversed_by: None });
                new.push(*sequence);
            }
        }
        new
    }

    /// Notes that a trade never was.
    fn without(&mut self, meta: &Meta, trade: u64) {
        for fill in self.fills.iter_mut().filter(|fill| fill.sequence == trade) {
            fill.reversed_by.get_or_insert(meta.sequence);
        }
        if self.state_recorded().after(AdviceStep::FillReversed).is_some() {
            self.steps.push((*meta, AdviceStep::FillReversed));
        }
        self.last_sequence = meta.sequence;
    }

    /// Where it stands by what is recorded alone, time left aside.
    fn state_recorded(&self) -> AdviceState {
        let first = if self.held_back { AdviceState::Blocked } else { AdviceState::Issued };
        self.steps.iter().fold(first, |state, (_, step)| state.after(*step).unwrap_or(state))
    }
}
