//! What happened to a recommendation, as it is told.

use crate::api::problem::Problem;
use crate::api::record::record;
use crate::api::scalar::{Sequence, Time};
use crate::journal::{Journal, JournalError, decode};
use daybook_ledger::Direction;
use daybook_projections::Recommendation;
use daybook_schemas::events::Reference;
use daybook_schemas::{Event, PartyId, Sealed, Timestamp, stream};
use std::ops::ControlFlow;

record! {
    /// Something that happened to a recommendation.
    RecommendationEvent {
        /// The event
        sequence: Sequence,
        /// Its type
        event = "type": String,
        /// When it happened
        occurred_at: Time,
        /// When it was recorded
        recorded_at: Time,
        /// Who recorded it: an advisor's or a party's id, or a name
        actor: String,
        /// `client` if the client's own token recorded it, else `firm`: a client's word that the firm recorded is marked so
        by: String,
        /// The words that came with it; absent where there are none, or where the key was erased
        words: Option<String>,
        /// Why it was declined
        reason: Option<String>,
        /// The rules that an exception is asked from
        rules: Option<Vec<String>>,
        /// The fills that carried it out
        fills: Option<Vec<Sequence>>,
        /// Those of the fills that never were: they were reversed since
        reversed_fills: Option<Vec<Sequence>>,
    }
}

/// What happened to a recommendation. The client is told what followed after it was shown.
pub(super) fn told(
    journal: &Journal,
    advice: &Recommendation,
    known: u64,
    to_client: bool,
) -> Result<Vec<RecommendationEvent>, Problem> {
    let mut kept = Vec::new();
    let name = stream::advice(advice.id);
    journal
        .ledger()
        .scan_stream(&name, 1, usize::MAX, Direction::Forward, &mut |record| {
            if record.sequence > known {
                return ControlFlow::Break(());
            }
            kept.push(record.to_owned());
            ControlFlow::Continue(())
        })
        .map_err(JournalError::from)?;
    let reversed = advice.fills(known).1;
    let library = journal.library()?;
    let keys = journal.keys();
    let read = |sealed: &Option<Sealed<String>>| sealed.as_ref().and_then(|sealed| sealed.open(&keys).ok());
    let mut told = Vec::with_capacity(kept.len());
    for record in kept {
        let event = decode(&record.view())?;
        let of_the_firm = matches!(
            event,
            Event::OverrideRequested(_) | Event::OverrideApproved(_) | Event::OverrideRefused(_)
        );
        if to_client && of_the_firm {
            continue;
        }
        let is_client = record.actor.parse().is_ok_and(|party: PartyId| library.firm.knows_party(party));
        let (words, reason, rules, fills) = match &event {
            Event::RecommendationIssued(issued) => (issued.rationale.open(&keys).ok(), None, None, None),
            Event::RecommendationAccepted(event) => (read(&event.note), None, None, None),
            Event::RecommendationDeclined(event) => {
                (read(&event.note), Some(event.reason.to_string()), None, None)
            }
            Event::RecommendationWithdrawn(event) => (read(&event.reason), None, None, None),
            Event::OverrideRequested(event) => {
                let rules = event.rules.iter().map(ToString::to_string).collect();
                (event.reason.open(&keys).ok(), None, Some(rules), None)
            }
            Event::OverrideApproved(event) => (read(&event.note), None, None, None),
            Event::OverrideRefused(event) => (read(&event.note), None, None, None),
            Event::RecommendationExecuted(event) => {
                let fills = event.fills.iter().filter_map(|fill| match fill {
                    Reference::Sequence(sequence) => Some(Sequence(*sequence)),
                    Reference::External(_) | Reference::Key(_) => None,
                });
                (None, None, None, Some(fills.collect()))
            }
            _ => (None, None, None, None),
        };
        told.push(RecommendationEvent {
            sequence: Sequence(record.sequence),
            event: event.event_type().name().to_owned(),
            occurred_at: Timestamp::from_nanos(record.occurred_at).into(),
            recorded_at: Timestamp::from_nanos(record.recorded_at).into(),
            actor: record.actor.to_string(),
            by: if is_client { "client".to_owned() } else { "firm".to_owned() },
            words,
            reason,
            rules,
            reversed_fills: fills.as_ref().map(|fills: &Vec<Sequence>| {
                fills.iter().filter(|fill| reversed.contains(&fill.0)).map(|fill| Sequence(fill.0)).collect()
            }),
            fills,
        });
    }
    Ok(told)
}
