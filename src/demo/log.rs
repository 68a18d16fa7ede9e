//! The order in which the firm's events are recorded, and the references that only that order settles.

use daybook_schemas::{Event, Timestamp, Zone};
use std::collections::BTreeMap;

/// An event of the made-up firm, ready to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DemoRecord {
    /// The stream it joins.
    pub(crate) stream: String,
    /// The event.
    pub(crate) event: Event,
    /// When it happened in the world.
    pub(crate) occurred_at: Timestamp,
    /// Its idempotency key.
    pub(crate) key: Option<String>,
}

/// Events as they are made up, each with the time at which it is recorded.
#[derive(Default)]
pub(super) struct Log {
    noted: Vec<(Timestamp, DemoRecord)>,
    /// Reversals by their own key, each with the key of what it takes back.
    reversals: BTreeMap<String, String>,
}

impl Log {
    /// Notes an event that is recorded as it happens.
    pub(super) fn note(&mut self, stream: String, occurred_at: Timestamp, event: impl Into<Event>) {
        self.keep(occurred_at, DemoRecord { stream, event: event.into(), occurred_at, key: None });
    }

    /// Notes an event with a key, recorded at a time of its own.
    pub(super) fn keep(&mut self, recorded_at: Timestamp, record: DemoRecord) {
        self.noted.push((recorded_at, record));
    }

    /// What was noted so far, in the order of its recording.
    pub(super) fn in_order(&self) -> Vec<(Timestamp, &DemoRecord)> {
        let mut noted: Vec<_> =
            self.noted.iter().map(|(recorded_at, record)| (*recorded_at, record)).collect();
        noted.sort_by_key(|(recorded_at, _)| *recorded_at);
        noted
    }

    /// Says which record a reversal takes back; its sequence is known only once all are in order.
    pub(super) fn reverses(&mut self, reversal: &str, target: &str) {
        self.reversals.insert(reversal.to_owned(), target.to_owned());
    }

    /// All records in the order of their recording, in commits of a day each, for a ledger that is empty: the first takes sequence 1.
    pub(super) fn into_commits(mut self) -> Vec<Vec<DemoRecord>> {
        self.noted.sort_by_key(|(recorded_at, _)| *recorded_at);
        let sequences: BTreeMap<String, u64> = (1..)
            .zip(&self.noted)
            .filter_map(|(sequence, (_, record))| Some((record.key.clone()?, sequence)))
            .collect();
        let mut commits: Vec<Vec<DemoRecord>> = Vec::new();
        let mut latest = None;
        for (sequence, (recorded_at, mut record)) in (1..).zip(self.noted) {
            match &mut record.event {
                Event::EventReversed(reversal) => {
                    let target = record.key.as_ref().and_then(|key| self.reversals.get(key));
                    let target = target.and_then(|target| sequences.get(target));
                    reversal.target = *target.expect("a reversal names a record that was noted");
                }
                Event::RecommendationIssued(issued) => issued.seen_sequence = sequence - 1,
                _ => {}
            }
            let day = recorded_at.day_in(Zone::NEW_YORK);
            if latest != Some(day) {
                commits.push(Vec::new());
                latest = Some(day);
            }
            if let Some(commit) = commits.last_mut() {
                commit.push(record);
            }
        }
        commits
    }
}
