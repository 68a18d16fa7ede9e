//! Recording what a feed states: each statement once, however often it is made; the last one stands, and what it
//! supersedes is reversed in the same commit.

use super::imports::{restate, reversal_key};
use super::{Author, Draft, Journal, JournalError, Terms, now};
use crate::importers;
use daybook_ledger::{AppendError, CursorMove, Record};
use daybook_schemas::events::{
    ContentHash, EventReversed, QuarantineResolution, QuarantineResolved, Reference, Words,
};
use daybook_schemas::{Event, EventType, ImportId, PortfolioId, Timestamp, stream};
use std::collections::BTreeMap;
use std::sync::PoisonError;

/// How often a batch is decided anew because somebody else recorded the same in between.
const ATTEMPTS: u32 = 4;
/// So many rows are looked up together.
const TOGETHER: usize = 10_000;

/// What a feed says under one identity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Statement {
    /// Something happened.
    Event(importers::Draft),
    /// What was said under this identity never happened.
    Withdrawn,
    /// What was said under another identity, or under one of its aliases, never happened.
    Withdraws(Vec<String>),
    /// It says something that cannot be understood.
    Aside(importers::Draft),
}

/// One row of a feed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FeedRow {
    /// What identifies it, without the revision.
    pub(crate) identity: String,
    /// Other identities under which the same row may have been recorded.
    pub(crate) aliases: Vec<String>,
    /// The hash of what it says.
    pub(crate) content_hash: [u8; 32],
    /// What it says.
    pub(crate) statement: Statement,
}

/// What a feed says at one time, to be recorded together with how far it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct FeedBatch {
    /// The portfolio it is about, whose key seals the reasons of reversals.
    pub(crate) portfolio: Option<PortfolioId>,
    /// The present, by the feed's clock; the machine's, if not said.
    pub(crate) at: Option<Timestamp>,
    /// What rows refer to: instruments, accounts. Known ones stand.
    pub(crate) references: Vec<importers::Draft>,
    /// The rows, in the order in which they are to be recorded.
    pub(crate) rows: Vec<FeedRow>,
    /// Events of the synchronisation itself, recorded as they are.
    pub(crate) remarks: Vec<Draft>,
    /// How far the feed was read, once all of this is recorded. They move only with something new.
    pub(crate) cursors: Vec<CursorMove>,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FeedReport {
    /// New events by type.
    pub(crate) events: BTreeMap<&'static str, u64>,
    /// Rows that were known already.
    pub(crate) known: u64,
    /// Rows that superseded or withdrew an earlier statement.
    pub(crate) amended: u64,
    /// Rows newly kept aside.
    pub(crate) quarantined: u64,
    /// Identities that a row withdraws and that are not recorded.
    pub(crate) unmatched: Vec<String>,
    /// Of each row, the revision under which it is new: 0 for what was never said before, none for what was known.
    pub(crate) revisions: Vec<Option<u32>>,
}

impl FeedReport {
    /// All new events.
    pub(crate) fn appended(&self) -> u64 {
        self.events.values().sum()
    }

    /// Adds what became of a later batch.
    pub(crate) fn add(&mut self, other: Self) {
        for (name, count) in other.events {
            *self.events.entry(name).or_insert(0) += count;
        }
        self.known += other.known;
        self.amended += other.amended;
        self.quarantined += other.quarantined;
        self.unmatched.extend(other.unmatched);
        self.revisions.extend(other.revisions);
    }
}

/// What the ledger holds under an identity.
struct Standing {
    /// The next free revision.
    next: u32,
    /// The latest revision that was not taken back with its import.
    latest: Option<Record>,
    /// The event that stands, whatever was said of it since that could not be understood.
    entry: Option<Record>,
}

/// What a batch is about, and when it is recorded.
#[derive(Clone, Copy)]
struct About {
    portfolio: Option<PortfolioId>,
    at: Timestamp,
}

impl Journal {
    /// Records a batch: what is new of it, with the cursors, in one commit, or in several if it is very large, the
    /// cursors in the last.
    pub(crate) fn record_batch(
        &self,
        author: &Author,
        batch: &FeedBatch,
    ) -> Result<FeedReport, JournalError> {
        let mut attempt = 1;
        loop {
            let (drafts, report) = self.decide(batch)?;
            if drafts.is_empty() {
                return Ok(report);
            }
            let terms = Terms { cursors: batch.cursors.clone(), ..Terms::default() };
            match self.record_in_parts(author, drafts, terms, &|_| {}) {
                Ok(()) => return Ok(report),
                // An import of the same rows was faster: decided anew, they are known.
                Err(
                    JournalError::Conflict { .. } | JournalError::Unfinished(AppendError::KeyConflict { .. }),
                ) if attempt < ATTEMPTS => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn decide(&self, batch: &FeedBatch) -> Result<(Vec<Draft>, FeedReport), JournalError> {
        let mut report = FeedReport::default();
        let mut drafts = Vec::with_capacity(batch.rows.len() + batch.references.len());
        for references in batch.references.chunks(TOGETHER) {
            let known =
                self.read_together(references.iter().filter_map(|draft| draft.identity.as_deref()))?;
            for draft in references {
                let identity = draft.identity.as_deref().unwrap_or_default();
                if identity.is_empty() {
                    drafts.push(of(draft, None));
                    continue;
                }
                let standing = self.standing_of(known.get(identity).map_or(&[], Vec::as_slice));
                if standing.latest.is_none() {
                    drafts.push(of(draft, Some((identity, standing.next, draft.content_hash))));
                }
            }
        }
        let about = About { portfolio: batch.portfolio, at: batch.at.unwrap_or_else(now) };
        for rows in batch.rows.chunks(TOGETHER) {
            let identities = rows.iter().flat_map(|row| std::iter::once(&row.identity).chain(&row.aliases));
            let known = self.read_together(identities.map(String::as_str))?;
            for row in rows {
                let before = drafts.len();
                let revision = self.decide_row(about, row, &known, &mut drafts, &mut report)?;
                report.revisions.push((drafts.len() > before).then_some(revision));
            }
        }
        drafts.extend(batch.remarks.iter().cloned());
        for draft in &drafts {
            *report.events.entry(draft.event.event_type().name()).or_insert(0) += 1;
        }
        Ok((drafts, report))
    }

    fn decide_row(
        &self,
        about: About,
        row: &FeedRow,
        known: &BTreeMap<&str, Vec<Record>>,
        drafts: &mut Vec<Draft>,
        report: &mut FeedReport,
    ) -> Result<u32, JournalError> {
        let revisions = |identity: &str| known.get(identity).map_or(&[][..], Vec::as_slice);
        let Standing { next, mut latest, mut entry } = self.standing_of(revisions(&row.identity));
        for alias in &row.aliases {
            if latest.is_none() {
                Standing { latest, entry, .. } = self.standing_of(revisions(alias));
            }
        }
        let same = latest.as_ref().is_some_and(|record| record.content_hash == row.content_hash);
        let aside = latest.as_ref().filter(|record| record.type_id == EventType::RecordQuarantined.id());
        // What was kept aside may be understood by now, though it says the same.
        if same && !(aside.is_some() && matches!(row.statement, Statement::Event(_))) {
            report.known += 1;
            return Ok(next);
        }
        let own = |draft: &importers::Draft| of(draft, Some((&row.identity, next, row.content_hash)));
        match &row.statement {
            Statement::Event(draft) => {
                let mut draft = own(draft);
                restate(&mut draft.event, next);
                if let Some(aside) = aside {
                    drafts.push(understood(aside, about.at, draft.key.as_deref()));
                }
                if let Some(entry) = &entry
                    && let Some(reversal) =
                        self.reversal(about, entry, "restated by its source", draft.key.as_deref())?
                {
                    drafts.push(Draft { key: Some(reversal_key(entry.sequence)), ..reversal });
                    report.amended += 1;
                }
                drafts.push(draft);
            }
            Statement::Aside(draft) => {
                report.quarantined += 1;
                drafts.push(own(draft));
            }
            Statement::Withdrawn => {
                let reversal = match &entry {
                    Some(entry) => self.reversal(about, entry, "withdrawn by its source", None)?,
                    None => None,
                };
                Self::withdraw(row, next, reversal, drafts, report);
            }
            Statement::Withdraws(others) => {
                let mut entry = None;
                for other in others {
                    entry = entry.or(self.standing(other)?.entry);
                }
                let reversal = match entry {
                    Some(entry) => self.reversal(about, &entry, "withdrawn by its source", None)?,
                    None => None,
                };
                if reversal.is_none() {
                    report.unmatched.extend(others.first().cloned());
                }
                Self::withdraw(row, next, reversal, drafts, report);
            }
        }
        Ok(next)
    }

    fn withdraw(
        row: &FeedRow,
        next: u32,
        reversal: Option<Draft>,
        drafts: &mut Vec<Draft>,
        report: &mut FeedReport,
    ) {
        let Some(reversal) = reversal else {
            report.known += 1;
            return;
        };
        report.amended += 1;
        drafts.push(Draft {
            key: Some(format!("{}#{next}", row.identity)),
            content_hash: Some(row.content_hash),
            ..reversal
        });
    }

    /// What the ledger holds under each of some identities, asked for together.
    fn read_together<'r>(
        &self,
        identities: impl Iterator<Item = &'r str>,
    ) -> Result<BTreeMap<&'r str, Vec<Record>>, JournalError> {
        let mut known: BTreeMap<&str, Vec<Record>> = identities.map(|one| (one, Vec::new())).collect();
        let mut asked: Vec<&str> = known.keys().copied().collect();
        for revision in 0u32.. {
            let keys: Vec<String> = asked.iter().map(|identity| format!("{identity}#{revision}")).collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let mut found: Vec<(usize, Record)> = Vec::new();
            self.ledger.pick_keys(&keys, &mut |place, record| found.push((place, record.to_owned())))?;
            // Only what has this revision may have the next.
            let places: Vec<usize> = found.iter().map(|(place, _)| *place).collect();
            for (place, record) in found {
                known.entry(asked[place]).or_default().push(record);
            }
            asked = places.into_iter().map(|place| asked[place]).collect();
            if asked.is_empty() {
                return Ok(known);
            }
        }
        Err(JournalError::Internal("no revision is left".to_owned()))
    }

    /// What the ledger holds under an identity.
    fn standing(&self, identity: &str) -> Result<Standing, JournalError> {
        let revisions = self.read_together(std::iter::once(identity))?;
        Ok(self.standing_of(revisions.get(identity).map_or(&[], Vec::as_slice)))
    }

    /// What stands of all revisions under an identity.
    fn standing_of(&self, revisions: &[Record]) -> Standing {
        let (mut latest, mut entry) = (None, None);
        for record in revisions {
            let gone = record.import.map(ImportId::from_bytes).is_some_and(|import| {
                let library = self.library.read().unwrap_or_else(PoisonError::into_inner);
                !library.imports.visible(import, library.applied())
            });
            if !gone {
                match record.type_id {
                    id if id == EventType::EventReversed.id() => entry = None,
                    id if id == EventType::RecordQuarantined.id() => {}
                    _ => entry = Some(record.clone()),
                }
                latest = Some(record.clone());
            }
        }
        let next = u32::try_from(revisions.len()).expect("each revision is a number of 32 bits");
        Standing { next, latest, entry }
    }

    /// The reversal of an entry; none if it is no entry, or reversed already.
    fn reversal(
        &self,
        about: About,
        target: &Record,
        reason: &str,
        replaced_by: Option<&str>,
    ) -> Result<Option<Draft>, JournalError> {
        let view = target.view();
        if super::decode(&view)?.entry().is_none()
            || self.ledger.find_key(&reversal_key(target.sequence))?.is_some()
        {
            return Ok(None);
        }
        let portfolio = stream::portfolio_of(&target.stream).or(about.portfolio);
        let reversed = EventReversed {
            target: target.sequence,
            reason: if portfolio.is_some() {
                self.words(portfolio, "reason", reason)?
            } else {
                Words::from(reason)
            },
            replaced_by: replaced_by.map(|key| Reference::Key(key.into())),
        };
        let mut draft = Draft::new(target.stream.to_string(), about.at, reversed);
        draft.content_hash = Some(ContentHash::of(&target.sequence.to_le_bytes()).0);
        Ok(Some(draft))
    }
}

/// A draft under its key.
fn of(draft: &importers::Draft, key: Option<(&str, u32, [u8; 32])>) -> Draft {
    Draft {
        stream: draft.stream.clone(),
        occurred_at: draft.occurred_at,
        event: draft.event.clone(),
        key: key.map(|(identity, revision, _)| format!("{identity}#{revision}")),
        content_hash: key.map(|(_, _, hash)| hash),
        import: None,
    }
}

/// A row that was kept aside, and that is understood by now.
fn understood(aside: &Record, at: Timestamp, key: Option<&str>) -> Draft {
    let resolved = QuarantineResolved {
        target: aside.sequence,
        resolution: QuarantineResolution::Understood,
        replaced_by: key.map(|key| Reference::Key(key.into())).into_iter().collect(),
        note: None,
    };
    let mut draft = Draft::new(aside.stream.to_string(), at, Event::QuarantineResolved(resolved));
    draft.key = Some(format!("resolution:{}#0", aside.sequence));
    draft
}
