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
use std::collections::{BTreeMap, BTreeSet};

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

/// What a batch comes to.
struct Decided {
    drafts: Vec<Draft>,
    report: FeedReport,
    /// Rows that withdraw what the batch itself brings, with their places: they are decided once that is recorded.
    afterwards: Vec<(usize, FeedRow)>,
}

/// What rows came to while those after them are decided.
struct SoFar<'d> {
    drafts: &'d mut Vec<Draft>,
    /// The events that the batch reverses.
    reversed: &'d mut BTreeSet<u64>,
    report: &'d mut FeedReport,
}

/// What a batch is about, and when it is recorded.
#[derive(Clone, Copy)]
struct About {
    portfolio: Option<PortfolioId>,
    at: Timestamp,
}

impl Journal {
    /// Records a batch: what is new of it, with the cursors, in one commit, or in several if it is very large, the
    /// cursors in the last. A row that withdraws another one of the same batch names its event, which is recorded before
    /// it, in a commit of its own.
    pub(crate) fn record_batch(
        &self,
        author: &Author,
        batch: &FeedBatch,
    ) -> Result<FeedReport, JournalError> {
        let mut attempt = 1;
        loop {
            let Decided { drafts, mut report, afterwards } = self.decide(batch)?;
            if drafts.is_empty() {
                return Ok(report);
            }
            let last = afterwards.is_empty();
            let cursors = if last { batch.cursors.clone() } else { Vec::new() };
            let terms = Terms { cursors, ..Terms::default() };
            match self.record_in_parts(author, drafts, terms, &|_| {}) {
                Ok(()) if last => return Ok(report),
                Ok(()) => {
                    let rest = FeedBatch {
                        portfolio: batch.portfolio,
                        at: batch.at,
                        rows: afterwards.iter().map(|(_, row)| row.clone()).collect(),
                        cursors: batch.cursors.clone(),
                        ..FeedBatch::default()
                    };
                    let mut withdrawn = self.record_batch(author, &rest)?;
                    let revisions = std::mem::take(&mut withdrawn.revisions);
                    for ((place, _), revision) in afterwards.into_iter().zip(revisions) {
                        report.revisions[place] = revision;
                    }
                    report.add(withdrawn);
                    return Ok(report);
                }
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

    fn decide(&self, batch: &FeedBatch) -> Result<Decided, JournalError> {
        let mut report = FeedReport::default();
        let mut drafts = Vec::with_capacity(batch.rows.len() + batch.references.len());
        let mut reversed = BTreeSet::new();
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
        // What names another row may name one further down: it is decided once those are.
        let (mut naming, mut place) = (Vec::new(), 0);
        for rows in batch.rows.chunks(TOGETHER) {
            let identities = rows.iter().flat_map(|row| std::iter::once(&row.identity).chain(&row.aliases));
            let known = self.read_together(identities.map(String::as_str))?;
            for row in rows {
                if matches!(row.statement, Statement::Withdraws(_)) {
                    naming.push(place);
                    report.revisions.push(None);
                } else {
                    let before = drafts.len();
                    let mut so_far =
                        SoFar { drafts: &mut drafts, reversed: &mut reversed, report: &mut report };
                    let revision = self.decide_row(about, row, &known, &mut so_far)?;
                    report.revisions.push((drafts.len() > before).then_some(revision));
                }
                place += 1;
            }
        }
        let mut afterwards = Vec::new();
        if !naming.is_empty() {
            let new = batch.rows.iter().zip(&report.revisions).filter(|(_, revision)| revision.is_some());
            // By everything that it may be called: the identity under which it is recorded.
            let new: BTreeMap<&str, &str> = new
                .filter(|(row, _)| matches!(row.statement, Statement::Event(_)))
                .flat_map(|(row, _)| {
                    let names = std::iter::once(&row.identity).chain(&row.aliases);
                    names.map(|name| (name.as_str(), row.identity.as_str()))
                })
                .collect();
            for place in naming {
                let row = &batch.rows[place];
                if let Statement::Withdraws(others) = &row.statement
                    && let Some(identity) = others.iter().find_map(|other| new.get(other.as_str()))
                {
                    let statement = Statement::Withdraws(vec![(*identity).to_owned()]);
                    afterwards.push((place, FeedRow { statement, ..row.clone() }));
                    continue;
                }
                let identities = std::iter::once(&row.identity).chain(&row.aliases);
                let known = self.read_together(identities.map(String::as_str))?;
                let before = drafts.len();
                let mut so_far = SoFar { drafts: &mut drafts, reversed: &mut reversed, report: &mut report };
                let revision = self.decide_row(about, row, &known, &mut so_far)?;
                report.revisions[place] = (drafts.len() > before).then_some(revision);
            }
        }
        drafts.extend(batch.remarks.iter().cloned());
        for draft in &drafts {
            *report.events.entry(draft.event.event_type().name()).or_insert(0) += 1;
        }
        Ok(Decided { drafts, report, afterwards })
    }

    fn decide_row(
        &self,
        about: About,
        row: &FeedRow,
        known: &BTreeMap<&str, Vec<Record>>,
        so_far: &mut SoFar<'_>,
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
            so_far.report.known += 1;
            return Ok(next);
        }
        let own = |draft: &importers::Draft| of(draft, Some((&row.identity, next, row.content_hash)));
        match &row.statement {
            Statement::Event(draft) => {
                let mut draft = own(draft);
                restate(&mut draft.event, next);
                if let Some(aside) = aside {
                    so_far.drafts.push(understood(aside, about.at, draft.key.as_deref()));
                }
                if let Some(entry) = &entry
                    && let Some(reversal) = self.reversal(
                        about,
                        so_far.reversed,
                        entry,
                        "restated by its source",
                        draft.key.as_deref(),
                    )?
                {
                    so_far.drafts.push(Draft { key: Some(reversal_key(entry.sequence)), ..reversal });
                    so_far.report.amended += 1;
                }
                so_far.drafts.push(draft);
            }
            Statement::Aside(draft) => {
                so_far.report.quarantined += 1;
                so_far.drafts.push(own(draft));
            }
            Statement::Withdrawn => {
                let reversal = match &entry {
                    Some(entry) => {
                        self.reversal(about, so_far.reversed, entry, "withdrawn by its source", None)?
                    }
                    None => None,
                };
                Self::withdraw(row, next, reversal, so_far);
            }
            Statement::Withdraws(others) => {
                let mut entry = None;
                for other in others {
                    entry = entry.or(self.standing(other)?.entry);
                }
                let reversal = match entry {
                    Some(entry) => {
                        self.reversal(about, so_far.reversed, &entry, "withdrawn by its source", None)?
                    }
                    None => None,
                };
                if reversal.is_none() {
                    so_far.report.unmatched.extend(others.first().cloned());
                }
                Self::withdraw(row, next, reversal, so_far);
            }
        }
        Ok(next)
    }

    fn withdraw(row: &FeedRow, next: u32, reversal: Option<Draft>, so_far: &mut SoFar<'_>) {
        let Some(reversal) = reversal else {
            so_far.report.known += 1;
            return;
        };
        so_far.report.amended += 1;
        so_far.drafts.push(Draft {
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
        // Most of what a source brings came with no import, and asks nothing of the library.
        let imported = revisions.iter().any(|record| record.import.is_some());
        let library = imported.then(|| self.library.read());
        for record in revisions {
            let import = record.import.map(ImportId::from_bytes);
            let gone = import
                .zip(library.as_ref())
                .is_some_and(|(import, library)| !library.imports.visible(import, library.applied()));
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

    /// The reversal of an entry; none if it is no entry, or reversed already, under whichever key, or by this batch.
    fn reversal(
        &self,
        about: About,
        reversed: &mut BTreeSet<u64>,
        target: &Record,
        reason: &str,
        replaced_by: Option<&str>,
    ) -> Result<Option<Draft>, JournalError> {
        let view = target.view();
        let own = stream::portfolio_of(&target.stream);
        if super::decode(&view)?.entry().is_none()
            || self.ledger.find_key(&reversal_key(target.sequence))?.is_some()
            || own.map(|own| self.reversed_by(own, target.sequence)).transpose()?.flatten().is_some()
            || !reversed.insert(target.sequence)
        {
            return Ok(None);
        }
        let portfolio = own.or(about.portfolio);
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

#[cfg(test)]
mod tests {
    use super::super::{Access, Moment, NewPortfolio, Opening};
    use super::*;
    use crate::importers::{Place, TransactionFields, transaction};
    use daybook_ledger::Direction;
    use daybook_schemas::events::{Calendar, LotMethod};
    use daybook_schemas::{Currency, Zone};

    struct Stage {
        _directory: tempfile::TempDir,
        journal: Journal,
        portfolio: PortfolioId,
    }

    impl Stage {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let opening = Opening { access: Access::Create, progress: None };
            let journal = Journal::open(directory.path(), &opening).unwrap();
            let new = NewPortfolio {
                name: "Trading".to_owned(),
                currency: Currency::USD,
                lots: LotMethod::Fifo,
                zone: Zone::NEW_YORK,
                calendar: Calendar::Weekdays,
                client: None,
            };
            let portfolio = journal.open_portfolio(&Author::operator(), &new, None).unwrap();
            Self { _directory: directory, journal, portfolio }
        }

        /// A deposit of so much under an identity, and the account that it refers to.
        fn deposit(
            &self,
            identity: &str,
            amount: &str,
            aliases: &[&str],
        ) -> (Vec<importers::Draft>, FeedRow) {
            let fields = TransactionFields {
                time: Some("2024-01-02".to_owned()),
                kind_of: Some("deposit".to_owned()),
                amount: Some(amount.to_owned()),
                ..TransactionFields::default()
            };
            let facts = self.journal.portfolio_facts(self.portfolio).unwrap();
            let context = self.journal.import_context().unwrap();
            let mut drafts = transaction(&fields, &facts, &context, Place::default()).unwrap().drafts;
            let entry = drafts.pop().unwrap();
            let row = FeedRow {
                identity: identity.to_owned(),
                aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
                content_hash: ContentHash::of(amount.as_bytes()).0,
                statement: Statement::Event(entry),
            };
            (drafts, row)
        }

        fn record(&self, references: Vec<importers::Draft>, rows: Vec<FeedRow>) -> FeedReport {
            let cursors = vec![CursorMove { source: "feed".into(), to: b"there".to_vec().into() }];
            let batch = FeedBatch {
                portfolio: Some(self.portfolio),
                references,
                rows,
                cursors,
                ..FeedBatch::default()
            };
            self.journal.record_batch(&Author::operator().through("feed"), &batch).unwrap()
        }

        fn cash(&self) -> String {
            let cash = self.journal.portfolio(self.portfolio, &Moment::default(), |view| {
                Ok(view.summary().cash.values().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            });
            cash.unwrap()
        }

        /// How often each event was reversed.
        fn reversals(&self) -> Vec<u64> {
            let records = self.journal.ledger().read(1, 1_000, Direction::Forward).unwrap();
            let reversed =
                records.iter().filter_map(|record| match super::super::decode(&record.view()).unwrap() {
                    Event::EventReversed(reversed) => Some(reversed.target),
                    _ => None,
                });
            reversed.collect()
        }
    }

    fn bust(identity: &str, others: &[&str]) -> FeedRow {
        FeedRow {
            identity: identity.to_owned(),
            aliases: Vec::new(),
            content_hash: ContentHash::of(identity.as_bytes()).0,
            statement: Statement::Withdraws(others.iter().map(|other| (*other).to_owned()).collect()),
        }
    }

    #[test]
    fn a_row_withdraws_what_stands_in_the_same_batch_before_it_or_after_it() {
        for bust_first in [false, true] {
            for named in ["fill", "alias"] {
                let stage = Stage::new();
                let (references, fill) = stage.deposit("fill", "5", &["alias"]);
                let (_, kept) = stage.deposit("kept", "7", &[]);
                let withdrawal = bust("bust", &["elsewhere", named]);
                let rows =
                    if bust_first { vec![withdrawal, fill, kept] } else { vec![fill, kept, withdrawal] };
                let report = stage.record(references.clone(), rows.clone());
                assert_eq!(report.unmatched, [""; 0], "{named}");
                assert_eq!((report.amended, report.events["EventReversed"]), (1, 1));
                assert!(report.revisions.iter().all(|revision| *revision == Some(0)), "{report:?}");
                assert_eq!(stage.cash(), "7");
                assert_eq!(stage.journal.ledger().cursor("feed").unwrap().as_deref(), Some(&b"there"[..]));
                let head = stage.journal.ledger().head();
                let again = stage.record(references, rows);
                assert_eq!((again.known, stage.journal.ledger().head()), (3, head), "{again:?}");
            }
        }
    }

    #[test]
    fn what_one_row_withdrew_no_other_reverses_again() {
        let stage = Stage::new();
        let (references, fill) = stage.deposit("fill", "5", &[]);
        stage.record(references, vec![fill]);
        stage.record(Vec::new(), vec![bust("bust", &["fill"])]);
        assert_eq!((stage.reversals().len(), stage.cash().as_str()), (1, "0"));
        // Withdrawn once more, by a second notice; and restated, which is a new statement.
        stage.record(Vec::new(), vec![bust("second", &["fill"])]);
        assert_eq!(stage.reversals().len(), 1);
        let (_, restated) = stage.deposit("fill", "6", &[]);
        stage.record(Vec::new(), vec![restated]);
        assert_eq!((stage.reversals().len(), stage.cash().as_str()), (1, "6"));
    }

    #[test]
    fn two_rows_of_one_batch_that_withdraw_the_same_reverse_it_once() {
        let stage = Stage::new();
        let (references, fill) = stage.deposit("fill", "5", &[]);
        stage.record(references, vec![fill]);
        let report = stage.record(Vec::new(), vec![bust("one", &["fill"]), bust("two", &["fill"])]);
        assert_eq!((report.amended, stage.reversals().len(), stage.cash().as_str()), (1, 1, "0"));
    }
}
