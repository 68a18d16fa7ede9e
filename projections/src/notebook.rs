//! What traders write of their trades: plans and the fills that follow them, annotations and the fills they hang on.
//!
//! An annotation hangs on a fill, not on a trade: where trades begin and end may change with a late fill, and the
//! annotation goes with its fill. A fill that was replaced hands its annotations on to what replaced it; one that was only
//! reversed leaves them orphaned.

use crate::library::Imports;
use crate::view::{AsOf, Meta};
use daybook_schemas::events::{Reference, TradeAnnotated, TradePlanned};
use daybook_schemas::{Event, EventType, PlanId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What somebody wrote, and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Noted<T> {
    /// What was written.
    pub said: T,
    /// The event.
    pub meta: Meta,
    /// Who wrote it.
    pub actor: Box<str>,
}

impl<T> Noted<T> {
    /// Whether it had been written by a moment, as far as was known at a sequence.
    #[must_use]
    pub fn is_seen(&self, as_of: AsOf, zone: daybook_schemas::Zone, known: u64) -> bool {
        self.meta.sequence <= known && self.meta.occurred_at <= as_of.instant(zone)
    }
}

/// A fill that follows a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Following {
    plan: PlanId,
    meta: Meta,
}

/// A reversal of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Reversed {
    /// The reversal.
    sequence: u64,
    /// What stands in the place of what was reversed.
    replaced_by: Option<Reference>,
}

/// Everything that was written of a portfolio's trades.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Notebook {
    annotations: Vec<Arc<Noted<TradeAnnotated>>>,
    plans: Vec<Arc<Noted<TradePlanned>>>,
    following: Vec<Following>,
    reversed: BTreeMap<u64, Vec<Reversed>>,
}

impl Notebook {
    /// Whether events of a type are of any use to a notebook; others need not be decoded.
    #[must_use]
    pub fn takes(event: EventType) -> bool {
        matches!(
            event,
            EventType::TradePlanned
                | EventType::TradeAnnotated
                | EventType::TradeExecuted
                | EventType::EventReversed
        )
    }

    /// Takes in an event of the portfolio's stream, in the order of the log.
    pub fn apply(&mut self, meta: &Meta, actor: &str, event: &Event) {
        match event {
            Event::TradeAnnotated(said) => {
                self.annotations.push(Arc::new(Noted {
                    said: said.clone(),
                    meta: *meta,
                    actor: actor.into(),
                }));
            }
            Event::TradePlanned(said) => {
                self.plans.push(Arc::new(Noted { said: said.clone(), meta: *meta, actor: actor.into() }));
            }
            Event::TradeExecuted(fill) => {
                if let Some(plan) = fill.plan {
                    self.following.push(Following { plan, meta: *meta });
                }
            }
            Event::EventReversed(reversed) => {
                let replaced_by = reversed.replaced_by.clone();
                self.reversed
                    .entry(reversed.target)
                    .or_default()
                    .push(Reversed { sequence: meta.sequence, replaced_by });
            }
            _ => {}
        }
    }

    /// How much it holds, in entries.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.annotations.len() + self.plans.len() + self.following.len() + self.reversed.len()
    }

    /// All annotations, in the order of the log.
    #[must_use]
    pub fn annotations(&self) -> &[Arc<Noted<TradeAnnotated>>] {
        &self.annotations
    }

    /// All plans, in the order of the log; of two with one id, the first.
    #[must_use]
    pub fn plans(&self) -> &[Arc<Noted<TradePlanned>>] {
        &self.plans
    }

    /// The fill that an annotation hangs on, as far as is known: what its reference names, or what replaced that since.
    /// `find` tells the sequence of what is recorded under a reference that is no sequence.
    pub fn anchor(
        &self,
        annotation: &TradeAnnotated,
        known: u64,
        find: &mut dyn FnMut(&Reference) -> Option<u64>,
    ) -> Option<u64> {
        let mut found = |reference: &Reference| match reference {
            Reference::Sequence(sequence) => Some(*sequence),
            other => find(other),
        };
        let mut anchor = found(&annotation.anchor).filter(|sequence| *sequence <= known)?;
        // A replacement is recorded after what it replaces, so that this ends.
        while let Some(next) = self
            .reversal(anchor, known)
            .and_then(|reversed| reversed.replaced_by.as_ref())
            .and_then(&mut found)
            .filter(|next| *next > anchor && *next <= known)
        {
            anchor = next;
        }
        Some(anchor)
    }

    /// The fills that follow a plan, of what counts as far as is known.
    pub fn fills(&self, plan: PlanId, imports: &Imports, known: u64) -> Vec<u64> {
        let counts = |following: &&Following| {
            let meta = &following.meta;
            following.plan == plan
                && meta.sequence <= known
                && imports.counts(meta.import, known)
                && self.reversal(meta.sequence, known).is_none()
        };
        self.following.iter().filter(counts).map(|following| following.meta.sequence).collect()
    }

    /// The reversal of an event that is in force: one that was itself reversed is not.
    fn reversal(&self, target: u64, known: u64) -> Option<&Reversed> {
        let reversals = self.reversed.get(&target)?;
        reversals
            .iter()
            .rev()
            .find(|reversed| reversed.sequence <= known && self.reversal(reversed.sequence, known).is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daybook_schemas::events::EventReversed;
    use daybook_schemas::{Timestamp, Zone};

    fn meta(sequence: u64) -> Meta {
        Meta {
            sequence,
            occurred_at: Timestamp::from_nanos(i64::try_from(sequence).unwrap()),
            recorded_at: Timestamp::from_nanos(0),
            import: None,
            source_rank: 0,
        }
    }

    fn annotated(anchor: Reference) -> TradeAnnotated {
        TradeAnnotated {
            anchor,
            tags: vec!["patient".into()],
            strategy: None,
            setup: None,
            mistakes: Vec::new(),
            rating: Some(4),
            note: None,
            attachments: Vec::new(),
        }
    }

    fn reversed(target: u64, replaced_by: Option<&str>) -> Event {
        let replaced_by = replaced_by.map(|key| Reference::Key(key.into()));
        EventReversed { target, reason: "busted".into(), replaced_by }.into()
    }

    #[test]
    fn an_annotation_goes_with_its_fill_to_what_replaces_it_and_no_further_than_is_known() {
        let mut notebook = Notebook::default();
        let note = annotated(Reference::Sequence(3));
        notebook.apply(&meta(5), "anna", &note.clone().into());
        notebook.apply(&meta(6), "anna", &reversed(3, Some("fill#1")));
        notebook.apply(&meta(8), "anna", &reversed(7, Some("fill#2")));
        let mut find = |reference: &Reference| match reference {
            Reference::Key(key) if **key == *"fill#1" => Some(7),
            Reference::Key(key) if **key == *"fill#2" => Some(9),
            _ => None,
        };
        for (known, anchor) in [(5, 3), (6, 3), (7, 7), (8, 7), (9, 9), (u64::MAX, 9)] {
            assert_eq!(notebook.anchor(&note, known, &mut find), Some(anchor), "known {known}");
        }
        // A reversal that was reversed itself leaves the fill where it was.
        notebook.apply(&meta(10), "anna", &reversed(6, None));
        assert_eq!(notebook.anchor(&note, 10, &mut find), Some(3));
        assert_eq!(notebook.anchor(&annotated(Reference::Key("none".into())), 9, &mut find), None);
    }

    #[test]
    fn what_was_written_later_is_not_seen_from_before_on_either_clock() {
        let noted = Noted { said: (), meta: meta(5), actor: "anna".into() };
        let at = |nanos| AsOf::Instant(Timestamp::from_nanos(nanos));
        assert!(noted.is_seen(at(5), Zone::UTC, 5));
        assert!(!noted.is_seen(at(4), Zone::UTC, 5));
        assert!(!noted.is_seen(at(5), Zone::UTC, 4));
    }
}
