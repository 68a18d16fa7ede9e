//! What is done with a recommendation: each step is taken from the state that it needs, and by one alone.

use super::issue::unsealed;
use super::words;
use crate::journal::access::canonical;
use crate::journal::{Author, Draft, Journal, JournalError, Moment, Terms, now};
use daybook_ledger::Expected;
use daybook_projections::{AdviceState, AdviceStep, Recommendation};
use daybook_schemas::events::{
    DeclineReason, OverrideApproved, OverrideRefused, OverrideRequested, RecommendationAccepted,
    RecommendationDeclined, RecommendationExecuted, RecommendationExpired, RecommendationWithdrawn,
    Reference, Verdict,
};
use daybook_schemas::{AdvisorId, Event, KeyId, RecommendationId, Sealed, Timestamp, stream};
use std::sync::Arc;

/// A stream, and what it must look like.
type Watched = (Arc<str>, Expected);

impl Journal {
    /// A recommendation as it stands now.
    pub(crate) fn recommendation(&self, id: RecommendationId) -> Result<Recommendation, JournalError> {
        let library = self.library()?;
        let found = library.recommendations.get(id).cloned();
        found.ok_or_else(|| JournalError::not_found("recommendation", id))
    }

    /// Records that the client takes it.
    pub(crate) fn accept_recommendation(
        &self,
        author: &Author,
        id: RecommendationId,
        note: Option<&str>,
        terms: Terms,
    ) -> Result<bool, JournalError> {
        self.step_beside(author, id, AdviceStep::Accepted, terms, |advice| {
            let streams = self.answered_by(advice)?;
            let beside = streams.into_iter().map(|name| self.watched(name)).collect::<Result<_, _>>()?;
            if let Some(detail) = self.refused_acceptance(advice, &Moment::default())? {
                return Err(JournalError::Conflict { detail, sequence: Some(advice.issued.sequence) });
            }
            let note = self.sealed(advice, "note", note)?;
            Ok((RecommendationAccepted { recommendation: id, note }.into(), beside))
        })
    }

    /// Records that the client does not take it.
    pub(crate) fn decline_recommendation(
        &self,
        author: &Author,
        id: RecommendationId,
        reason: DeclineReason,
        note: Option<&str>,
        terms: Terms,
    ) -> Result<bool, JournalError> {
        self.step(author, id, AdviceStep::Declined, terms, |advice| {
            let note = self.sealed(advice, "note", note)?;
            Ok(RecommendationDeclined { recommendation: id, reason, note }.into())
        })
    }

    /// Takes it back.
    pub(crate) fn withdraw_recommendation(
        &self,
        author: &Author,
        id: RecommendationId,
        reason: Option<&str>,
        terms: Terms,
    ) -> Result<bool, JournalError> {
        self.step(author, id, AdviceStep::Withdrawn, terms, |advice| {
            let reason = self.sealed(advice, "reason", reason)?;
            Ok(RecommendationWithdrawn { recommendation: id, reason }.into())
        })
    }

    /// Asks that it be allowed all the same.
    pub(crate) fn request_override(
        &self,
        author: &Author,
        id: RecommendationId,
        reason: &str,
        requested_by: AdvisorId,
        terms: Terms,
    ) -> Result<bool, JournalError> {
        self.step(author, id, AdviceStep::OverrideRequested, terms, |advice| {
            let reason = words("reason", reason)?;
            let reason = Sealed::seal(&self.keys(), KeyId::Party(advice.party), &reason.to_owned())
                .map_err(unsealed)?;
            let issued = self.issued_event(advice.issued.sequence)?;
            let held = |verdict: &Verdict| !matches!(verdict, Verdict::Pass | Verdict::Warn);
            let rules = issued.screening.into_iter().filter(|finding| held(&finding.verdict));
            let rules = rules.map(|finding| finding.rule).collect();
            Ok(OverrideRequested { recommendation: id, rules, reason, requested_by }.into())
        })
    }

    /// Allows it, or does not: a second person's decision, neither the issuer's nor the requester's.
    pub(crate) fn decide_override(
        &self,
        author: &Author,
        id: RecommendationId,
        allow: bool,
        note: Option<&str>,
        terms: Terms,
    ) -> Result<bool, JournalError> {
        let step = if allow { AdviceStep::OverrideApproved } else { AdviceStep::OverrideRefused };
        self.step(author, id, step, terms, |advice| {
            self.check_second_person(author, advice)?;
            let note = self.sealed(advice, "note", note)?;
            let by: Box<str> = (&*author.actor).into();
            Ok(if allow {
                OverrideApproved { recommendation: id, approved_by: by, note }.into()
            } else {
                OverrideRefused { recommendation: id, refused_by: by, note }.into()
            })
        })
    }

    /// Whoever issued it or asked for the exception does not decide on it.
    fn check_second_person(&self, author: &Author, advice: &Recommendation) -> Result<(), JournalError> {
        let mut involved =
            vec![advice.advisor.to_string(), self.event(advice.issued.sequence)?.actor.to_string()];
        let asked = advice.steps.iter().filter(|(_, step)| *step == AdviceStep::OverrideRequested);
        for (meta, _) in asked {
            let record = self.event(meta.sequence)?;
            involved.push(record.actor.to_string());
            if let Event::OverrideRequested(requested) = crate::journal::decode(&record.view())? {
                involved.push(requested.requested_by.to_string());
            }
        }
        // Whoever hands out a second token of their own is no second person.
        let own: Vec<u64> = {
            let library = self.library()?;
            let grants =
                library.access.list().filter(|grant| canonical(&grant.granted.subject) == *author.actor);
            grants.map(|grant| grant.sequence).collect()
        };
        for sequence in own {
            let granter = canonical(&self.event(sequence)?.actor);
            if involved.iter().any(|subject| canonical(subject) == granter) {
                return Err(JournalError::Forbidden(
                    "the token was issued by whoever issued the recommendation or asked for the exception: ask another administrator"
                        .to_owned(),
                ));
            }
        }
        if involved.iter().any(|subject| canonical(subject) == *author.actor) {
            return Err(JournalError::Forbidden(
                "whoever issued the recommendation or asked for the exception does not decide on it: ask another administrator"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Records by which fills it was carried out: those named, else those that match its trades since it was accepted.
    pub(crate) fn execute_recommendation(
        &self,
        author: &Author,
        id: RecommendationId,
        fills: &[u64],
        terms: Terms,
    ) -> Result<bool, JournalError> {
        self.step_beside(author, id, AdviceStep::Executed, terms, |advice| {
            // No other may be carried out by the same fills at the same moment.
            let beside = {
                let library = self.library()?;
                let all = library.recommendations.list().filter(|other| other.id != id);
                let others = all.filter(|other| {
                    other.portfolio == advice.portfolio
                        && other.state(now(), u64::MAX) == AdviceState::Accepted
                });
                others.map(|one| (stream::advice(one.id).into(), Expected::Exactly(one.version))).collect()
            };
            let fills = self.fills_of(advice, fills)?.into_iter().map(Reference::Sequence).collect();
            Ok((RecommendationExecuted { recommendation: id, fills }.into(), beside))
        })
    }

    /// Records of every recommendation whose time has run out that it has. Gives how many.
    pub(crate) fn expire_recommendations(
        &self,
        author: &Author,
        at: Timestamp,
    ) -> Result<usize, JournalError> {
        let over: Vec<(RecommendationId, u64, Timestamp)> = {
            let library = self.library()?;
            library
                .recommendations
                .list()
                .filter(|advice| advice.state(at, u64::MAX) == AdviceState::Expired)
                .filter(|advice| !advice.steps.iter().any(|(_, step)| *step == AdviceStep::Expired))
                .filter_map(|advice| Some((advice.id, advice.version, advice.expires?)))
                .collect()
        };
        let mut recorded = 0;
        for (id, version, expires) in over {
            let name = stream::advice(id);
            let expected = vec![(name.as_str().into(), Expected::Exactly(version))];
            let draft = Draft::new(name, expires, RecommendationExpired { recommendation: id });
            match self.record(author, vec![draft], Terms { expected, ..Terms::default() }) {
                Ok(_) => recorded += 1,
                // Somebody took it back at this moment; the next round looks again.
                Err(JournalError::Append(daybook_ledger::AppendError::VersionConflict { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(recorded)
    }

    /// Takes a step, if the recommendation stands where it can be taken and nobody else takes one meanwhile. Says
    /// whether the same request took it before, as all that stand on it do.
    fn step(
        &self,
        author: &Author,
        id: RecommendationId,
        step: AdviceStep,
        terms: Terms,
        event: impl FnOnce(&Recommendation) -> Result<Event, JournalError>,
    ) -> Result<bool, JournalError> {
        self.step_beside(author, id, step, terms, |advice| Ok((event(advice)?, Vec::new())))
    }

    /// Takes a step that rests on other streams as well, which must not grow meanwhile.
    fn step_beside(
        &self,
        author: &Author,
        id: RecommendationId,
        step: AdviceStep,
        terms: Terms,
        event: impl FnOnce(&Recommendation) -> Result<(Event, Vec<Watched>), JournalError>,
    ) -> Result<bool, JournalError> {
        if self.done_before(terms.commit_key.as_ref())?.is_some() {
            return Ok(true);
        }
        let advice = self.recommendation(id)?;
        let now = now();
        let state = advice.state(now, u64::MAX);
        if state.after(step).is_none() {
            return Err(JournalError::Conflict {
                detail: format!("the recommendation is {state}: {}", instead(state, step)),
                sequence: Some(advice.last_sequence),
            });
        }
        let (event, beside) = event(&advice)?;
        let draft = Draft::new(stream::advice(id), now, event);
        let mut terms = terms;
        // Whoever named what must hold is told so; everybody else, that somebody was faster.
        let named = !terms.expected.is_empty();
        terms.expected.push((draft.stream.as_str().into(), Expected::Exactly(advice.version)));
        terms.expected.extend(beside);
        match self.record(author, vec![draft], terms) {
            Ok(recorded) => Ok(recorded.already),
            Err(JournalError::Append(daybook_ledger::AppendError::VersionConflict { .. })) if !named => {
                Err(JournalError::Conflict {
                    detail: "somebody else did something with the recommendation, or with what it rests on, at the same moment: read it again"
                        .to_owned(),
                    sequence: None,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Words under the key of the party that they are about.
    fn sealed(
        &self,
        advice: &Recommendation,
        field: &str,
        text: Option<&str>,
    ) -> Result<Option<Sealed<String>>, JournalError> {
        let Some(text) = text else { return Ok(None) };
        let text = words(field, text)?.to_owned();
        Sealed::seal(&self.keys(), KeyId::Party(advice.party), &text).map(Some).map_err(unsealed)
    }
}

/// What to do in the place of a step that cannot be taken.
const fn instead(state: AdviceState, step: AdviceStep) -> &'static str {
    match (state, step) {
        (AdviceState::Blocked, AdviceStep::Accepted | AdviceStep::Declined) => {
            "ask for an exception first, or issue another"
        }
        (AdviceState::AwaitingOverride, AdviceStep::Accepted | AdviceStep::Declined) => {
            "an administrator has to allow it first"
        }
        (AdviceState::Expired, _) => "its time has run out; issue another",
        (AdviceState::Executed, AdviceStep::Executed) => {
            "it was carried out already; take back a fill that never was, and it can be carried out again"
        }
        (AdviceState::Replaced, _) => "another took its place; go on with that one",
        (AdviceState::Issued | AdviceState::Accepted, AdviceStep::OverrideRequested) => {
            "nothing holds it back"
        }
        (AdviceState::Issued, AdviceStep::Executed) => "the client has to accept it first",
        (AdviceState::Blocked, AdviceStep::OverrideApproved | AdviceStep::OverrideRefused) => {
            "nobody asked for an exception"
        }
        _ => "nothing of this kind can be done with it any more",
    }
}
