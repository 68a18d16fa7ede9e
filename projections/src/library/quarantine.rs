//! Which records were kept aside and still wait.

use super::Imports;
use crate::view::Meta;
use daybook_schemas::events::{QuarantineResolved, RecordQuarantined};
use daybook_schemas::{Event, PortfolioId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A record that was kept aside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QuarantinedItem {
    /// Sequence, times and import.
    pub meta: Meta,
    /// What was kept, and why.
    pub record: RecordQuarantined,
    /// How it was dealt with, and the sequence that says so.
    pub resolved: Option<(u64, QuarantineResolved)>,
}

/// All records that were kept aside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    items: BTreeMap<u64, QuarantinedItem>,
    reversals: BTreeMap<u64, u64>,
}

impl Quarantine {
    pub(super) fn apply(&mut self, meta: &Meta, event: &Event) {
        match event {
            Event::RecordQuarantined(record) => {
                let item = QuarantinedItem { meta: *meta, record: record.clone(), resolved: None };
                self.items.insert(meta.sequence, item);
            }
            Event::QuarantineResolved(resolved) => {
                if let Some(item) = self.items.get_mut(&resolved.target)
                    && item.resolved.is_none()
                {
                    item.resolved = Some((meta.sequence, resolved.clone()));
                    self.reversals.insert(meta.sequence, resolved.target);
                }
            }
            // A resolution that never happened leaves the record waiting.
            Event::EventReversed(reversed) => {
                if let Some(target) = self.reversals.remove(&reversed.target)
                    && let Some(item) = self.items.get_mut(&target)
                {
                    item.resolved = None;
                }
                self.items.remove(&reversed.target);
            }
            _ => {}
        }
    }

    /// A record by the sequence of its quarantine.
    #[must_use]
    pub fn get(&self, sequence: u64) -> Option<&QuarantinedItem> {
        self.items.get(&sequence)
    }

    /// Every record whose import counts, in the order of the log.
    pub fn list<'a>(&'a self, imports: &'a Imports) -> impl DoubleEndedIterator<Item = &'a QuarantinedItem> {
        self.items.values().filter(|item| imports.counts(item.meta.import, u64::MAX))
    }

    /// The records that still wait, of one portfolio or of all.
    pub fn open<'a>(
        &'a self,
        imports: &'a Imports,
        portfolio: Option<PortfolioId>,
    ) -> impl DoubleEndedIterator<Item = &'a QuarantinedItem> {
        self.list(imports).filter(move |item| {
            item.resolved.is_none() && portfolio.is_none_or(|id| item.record.portfolio == Some(id))
        })
    }
}
