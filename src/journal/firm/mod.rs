//! Facts about the firm: decided by what is recorded, and recorded only while that still stands.
//!
//! A command reads the library, checks what is asked for against it, and appends what follows with the versions that the
//! streams had when it looked. If something else was recorded in between, it looks again and decides again, so that two
//! at once never overwrite each other. What changes a portfolio's terms is numbered by a key instead: fills may join the
//! portfolio's stream at any time, and only another change of its terms contradicts.

mod assignments;
mod countries;
mod history;
mod lists;
mod models;
mod ownership;
mod people;
mod profiles;
mod reversal;
mod texts;

pub(crate) use assignments::{NewAssignment, NewHousehold, NewTeam};
pub(crate) use countries::country;
pub(crate) use history::{HistoricFact, Subject};
pub(crate) use models::{NewModel, NewModelAssignment};
pub(super) use ownership::sole_owner;
pub(crate) use ownership::{NewBenchmark, NewMandate, NewOwners};
pub(crate) use people::{
    AmendedAdvisor, AmendedParty, Change, NewAdvisor, NewDeparture, NewOffboarding, NewParty,
};
pub(crate) use profiles::{NewProfile, NewReview, NewTarget, OneOf};

use super::{Author, Draft, Journal, JournalError, Recorded, Terms, decode, now};
use daybook_ledger::{AppendError, CommitKey, Direction, Expected};
use daybook_projections::{At, Library};
use daybook_schemas::{Day, Event, PortfolioId, Timestamp, Zone, stream};
use std::time::Duration;

/// Streams, and what their versions must be.
type Versions = Vec<(std::sync::Arc<str>, Expected)>;

/// How often a decision is made anew because something else was recorded in between.
const ATTEMPTS_MAX: u32 = 32;
/// How long the second attempt waits; each further one as much longer.
const PAUSE: Duration = Duration::from_micros(250);

/// After every day that can be written: what is known of the future, too.
pub(super) const EVER: At = At::on(Day::from_number(i32::MAX));

/// What a command came to.
pub(in crate::journal) struct Decision {
    /// What is to be recorded.
    drafts: Vec<Draft>,
    /// Streams that the decision rests on, beside those it writes to.
    rests_on: Vec<String>,
}

impl Decision {
    /// One fact.
    pub(super) fn one(draft: Draft) -> Self {
        Self::all(vec![draft])
    }

    /// Several facts, the one that was asked for first.
    pub(in crate::journal) const fn all(drafts: Vec<Draft>) -> Self {
        Self { drafts, rests_on: Vec::new() }
    }

    /// Also the streams of others, which must be as they were.
    pub(in crate::journal) fn resting_on(mut self, streams: impl IntoIterator<Item = String>) -> Self {
        self.rests_on.extend(streams);
        self
    }
}

/// A fact that was recorded.
#[derive(Clone, Debug)]
pub(crate) struct Stated {
    /// The sequence of its event; of several, the first.
    pub(crate) sequence: u64,
    /// What was recorded.
    pub(crate) event: Event,
    /// The sequences of what was recorded with it.
    pub(crate) rest: Vec<u64>,
    /// Whether the same request had recorded it before.
    pub(crate) already: bool,
}

/// The day on which the firm's facts hold when none is said: today, UTC.
pub(crate) fn today() -> Day {
    now().day_in(Zone::UTC)
}

/// When a fact that holds from a day happened: on that day, or now if that day is today or still to come.
pub(super) fn occurs(from: Day) -> Timestamp {
    if from < today() { from.start_in(Zone::UTC) } else { now() }
}

impl Journal {
    /// Decides by what is recorded, and records what follows unless that changed in between; then decides anew.
    pub(in crate::journal) fn state(
        &self,
        author: &Author,
        terms: &Terms,
        mut decide: impl FnMut(&Library) -> Result<Decision, JournalError>,
    ) -> Result<Stated, JournalError> {
        for attempt in 1..=ATTEMPTS_MAX {
            if let Some(stated) = self.stated_before(terms.commit_key.as_ref())? {
                return Ok(stated);
            }
            let (decision, known) = {
                let library = self.library()?;
                (decide(&library)?, library.applied())
            };
            let Some(mut expected) = self.unchanged(&decision, known)? else { continue };
            expected.extend(terms.expected.iter().cloned());
            let terms_now = Terms { commit_key: terms.commit_key.clone(), expected, ..Terms::default() };
            match self.record(author, decision.drafts, terms_now) {
                Ok(recorded) => return self.stated(&recorded),
                // What the caller said must not change has changed: there is nothing to decide anew.
                Err(JournalError::Append(AppendError::VersionConflict { stream, .. }))
                    if attempt < ATTEMPTS_MAX
                        && !terms.expected.iter().any(|(name, _)| **name == *stream) => {}
                Err(JournalError::Conflict { .. }) if attempt < ATTEMPTS_MAX => {}
                Err(error) => return Err(error),
            }
            // What was in the way may not be durable yet, and is not seen before it is.
            std::thread::sleep(PAUSE * attempt);
        }
        Err(JournalError::Conflict {
            detail: "too much was recorded at the same moment: send it again".to_owned(),
            sequence: None,
        })
    }

    /// The versions that the decision's streams had when it was made; none if one of them has changed since.
    fn unchanged(&self, decision: &Decision, known: u64) -> Result<Option<Versions>, JournalError> {
        let keyed = |draft: &&Draft| draft.key.is_none();
        let mut names: Vec<&str> =
            decision.drafts.iter().filter(keyed).map(|draft| draft.stream.as_str()).collect();
        names.extend(decision.rests_on.iter().map(String::as_str));
        names.sort_unstable();
        names.dedup();
        let mut expected = Vec::with_capacity(names.len());
        for name in names {
            let version = self.ledger().stream_version(name)?;
            if let Some(version) = version {
                let last = self.ledger().read_stream(name, version, 1, Direction::Forward)?;
                if last.first().is_none_or(|record| record.sequence > known) {
                    return Ok(None);
                }
            }
            let met_by = version.map_or(Expected::NoStream, Expected::Exactly);
            expected.push((name.into(), met_by));
        }
        Ok(Some(expected))
    }

    /// What the same request recorded before, if it did.
    pub(crate) fn stated_before(
        &self,
        commit_key: Option<&CommitKey>,
    ) -> Result<Option<Stated>, JournalError> {
        if self.done_before(commit_key)?.is_none() {
            return Ok(None);
        }
        let Some(key) = commit_key else { return Ok(None) };
        let Some((earlier, _)) = self.ledger().find_commit(&key.key)? else { return Ok(None) };
        let recorded = Recorded { sequences: earlier.sequences, already: true };
        self.stated(&recorded).map(Some)
    }

    fn stated(&self, recorded: &Recorded) -> Result<Stated, JournalError> {
        let (sequence, rest) = recorded
            .sequences
            .split_first()
            .ok_or_else(|| JournalError::Internal("an append without a sequence".to_owned()))?;
        let event = decode(&self.event(*sequence)?.view())?;
        Ok(Stated { sequence: *sequence, event, rest: rest.to_vec(), already: recorded.already })
    }
}

/// A fact about a portfolio's terms, numbered among all of them: of two at once that rest on the same ones, one is
/// decided anew.
pub(super) fn term(library: &Library, portfolio: PortfolioId, from: Day, fact: impl Into<Event>) -> Draft {
    let number = library.firm.portfolio_history(portfolio).len() + 1;
    let mut draft = Draft::new(stream::portfolio(portfolio), occurs(from), fact);
    draft.key = Some(format!("terms:{portfolio}:{number}#0"));
    draft
}
