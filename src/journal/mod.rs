//! The journal: the open ledger, its keys, and its projections kept current. Commands and routes both stand on it.
//!
//! Calls block, so async code makes them on a blocking thread; those that wait for nobody say so. The library is
//! brought up to the durable head by whoever appends, and by whoever reads, so that whoever wrote something reads it
//! back; the sequence it reached is the one that an answer reflects.

mod access;
mod advice;
mod classification;
mod delivery;
mod entry;
mod error;
mod feed;
mod firm;
mod firm_views;
mod heads;
mod imports;
mod keys;
mod market;
mod notes;
mod orders;
mod portfolios;
mod progress;
mod proofs;
mod rebuild;
mod scope;
mod shared;
mod shelf;
mod uses;
mod views;

pub(crate) use access::{NewToken, Principal, ROLES};
pub(crate) use advice::{AskedTrade, CarriedOut, NewAdvice, Screened, ScreenedPortfolio};
pub(crate) use classification::NewClassification;
pub(crate) use delivery::{Delivered, Delivery};
pub(crate) use entry::{Author, Draft, decode, meta, to_json, type_name};
pub(crate) use error::{Invalid, JournalError};
pub(crate) use feed::{FeedBatch, FeedReport, FeedRow, Statement};
pub(crate) use firm::{
    AmendedAdvisor, AmendedParty, Change, HistoricFact, NewAdvisor, NewAssignment, NewBenchmark,
    NewDeparture, NewHousehold, NewMandate, NewModel, NewModelAssignment, NewOffboarding, NewOwners,
    NewParty, NewProfile, NewReview, NewTarget, NewTeam, OneOf, Stated, Subject, today,
};
pub(crate) use firm_views::{ViewRequest, Viewer};
pub(crate) use heads::{Basis, Standing};
pub(crate) use imports::{ImportReport, ImportRequest};
pub(crate) use notes::{Annotation, NewAnnotation, Plan};
pub(crate) use portfolios::{NewPortfolio, is_same_request};
pub(crate) use rebuild::{Checked, Rebuilt, Stored};
pub(crate) use scope::within;
pub(crate) use views::{Moment, PortfolioView, instant};

use daybook_ledger::{
    Append, CommitKey, CursorMove, Expected, Ledger, NewRecord, OnKnown, OpenError, Opened, Options, Record,
};
use daybook_projections::Library;
use daybook_schemas::{EventType, PortfolioId, Timestamp, stream};
use heads::{Changes, Heads};
use keys::KeyFile;
use parking_lot::RwLockWriteGuard;
use shared::{Reading, Shared};
use shelf::Shelf;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the journal is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// To read; nothing on disk changes.
    Read,
    /// To read and write an existing ledger.
    Write,
    /// To read and write, making the ledger if the directory holds none.
    Create,
}

/// How the journal is opened.
pub(crate) struct Opening {
    /// What for.
    pub(crate) access: Access,
    /// Told how far recovery and rebuilding have come.
    pub(crate) progress: Option<Arc<dyn Fn(u64, u64) + Send + Sync>>,
}

/// The open ledger with all that is known of it.
pub(crate) struct Journal {
    ledger: Ledger,
    keys: KeyFile,
    library: Shared<Library>,
    heads: Heads,
    shelf: Shelf,
    /// What views keep between two questions.
    desk: firm_views::Desk,
    reaches: access::Reaches,
    notebooks: notes::Notebooks,
    bearers: access::Bearers,
    importing: Mutex<()>,
    pace: proofs::Pace,
    /// Portfolios that were written to since their books were kept last.
    touched: Mutex<BTreeSet<PortfolioId>>,
    /// Uses of tokens that are not recorded yet.
    uses: uses::Uses,
    writable: bool,
    opened: Opened,
    /// The most bytes of one part of what is appended in parts.
    part_bytes: usize,
}

/// The most records of one part of what is appended in parts.
const PART_RECORDS: usize = 10_000;
/// The most bytes of one part, where segments are large enough.
const PART_BYTES: u64 = 8 << 20;
/// So many events are taken into the library before readers come in again: half a millisecond's work.
const TOGETHER: u64 = 512;
/// What changes who reaches a portfolio, of the events in its own stream.
const OPENING: [Option<EventType>; 2] = [Some(EventType::PortfolioOwnersSet), Some(EventType::EventReversed)];
/// How long an append waits for readers to let go of the library before it is acknowledged.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(5);
/// What a record takes beside its canonical bytes, at most.
const RECORD_BYTES: usize = 64;

/// How records are appended.
#[derive(Default)]
pub(crate) struct Terms {
    /// The commit's own key: scope and `Idempotency-Key`, with the hash of what was asked for.
    pub(crate) commit_key: Option<CommitKey>,
    /// What streams must look like.
    pub(crate) expected: Vec<(Arc<str>, Expected)>,
    /// Cursors that move with what is new.
    pub(crate) cursors: Vec<CursorMove>,
}

impl From<Option<CommitKey>> for Terms {
    fn from(commit_key: Option<CommitKey>) -> Self {
        Self { commit_key, ..Self::default() }
    }
}

/// What became of an append.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// One for each draft; the original's for what was recorded before.
    pub(crate) sequences: Vec<u64>,
    /// Whether all of it was recorded before.
    pub(crate) already: bool,
}

impl JournalError {
    /// Whether another process holds the directory.
    pub(crate) const fn is_held(&self) -> bool {
        matches!(self, Self::Open(OpenError::Held { .. }))
    }
}

/// The present, by the machine's clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_nanos(chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX))
}

/// The size of new segments, where `DAYBOOK_SEGMENT_BYTES` says one: small ones suit small disks and ledgers that are
/// made to be thrown away.
fn segment_bytes() -> Result<Option<u64>, JournalError> {
    let Some(text) = std::env::var_os("DAYBOOK_SEGMENT_BYTES") else { return Ok(None) };
    let bytes = text.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
        JournalError::field("DAYBOOK_SEGMENT_BYTES", format!("`{}` is not a number of bytes", text.display()))
    })?;
    Ok(Some(bytes))
}

impl Journal {
    /// Opens the ledger in a directory, recovering what a crash left and rebuilding what is derived.
    pub(crate) fn open(directory: &Path, opening: &Opening) -> Result<Self, JournalError> {
        let writable = opening.access != Access::Read;
        let mut options =
            Options { create: opening.access == Access::Create, read_only: !writable, ..Options::default() };
        if let Some(progress) = opening.progress.clone() {
            options.progress = Some(Arc::new(move |step| progress(step.done, step.total)));
        }
        if let Some(bytes) = segment_bytes()? {
            options.segment_bytes = bytes;
        }
        // A commit takes at most half a segment.
        let part_bytes = usize::try_from(PART_BYTES.min(options.segment_bytes / 4)).unwrap_or(usize::MAX);
        let (ledger, opened) = Ledger::open(directory, options)?;
        let keys =
            std::env::var_os("DAYBOOK_KEYS").map_or_else(|| directory.join(keys::FILE_NAME), PathBuf::from);
        let keys = KeyFile::open(keys, writable)?;
        let journal = Self {
            library: Shared::new(Self::stored_library(&ledger)),
            ledger,
            keys,
            heads: Heads::default(),
            shelf: Shelf::default(),
            desk: firm_views::Desk::default(),
            reaches: access::Reaches::default(),
            notebooks: notes::Notebooks::default(),
            bearers: access::Bearers::default(),
            importing: Mutex::new(()),
            pace: proofs::Pace::default(),
            touched: Mutex::default(),
            uses: uses::Uses::default(),
            writable,
            opened,
            part_bytes,
        };
        journal.catch_up(opening.progress.as_deref())?;
        journal.keys.compare(journal.library()?.directory.list().map(|portfolio| portfolio.name.key()))?;
        Ok(journal)
    }

    /// A journal over a ledger that is open already, with keys that no file holds.
    #[cfg(test)]
    pub(crate) fn over(ledger: Ledger, ring: daybook_schemas::KeyRing) -> Result<Self, JournalError> {
        let opened = Opened {
            head: ledger.head(),
            created: ledger.head() == 0,
            clean: true,
            cut: None,
            index: daybook_ledger::IndexOpened::Current,
        };
        let journal = Self {
            library: Shared::default(),
            ledger,
            keys: KeyFile::in_memory(ring),
            heads: Heads::default(),
            shelf: Shelf::default(),
            desk: firm_views::Desk::default(),
            reaches: access::Reaches::default(),
            notebooks: notes::Notebooks::default(),
            bearers: access::Bearers::default(),
            importing: Mutex::new(()),
            pace: proofs::Pace::default(),
            touched: Mutex::default(),
            uses: uses::Uses::default(),
            writable: true,
            opened,
            part_bytes: 1 << 20,
        };
        journal.catch_up(None)?;
        Ok(journal)
    }

    /// Writes down what a next opening can start from, and closes the ledger.
    pub(crate) fn close(self) -> Result<(), JournalError> {
        self.keep_snapshots()?;
        self.ledger.close().map_err(JournalError::from)
    }

    /// What opening found and mended.
    pub(crate) const fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The log itself.
    pub(crate) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The keys as they are now.
    pub(crate) fn keys(&self) -> Reading<'_, daybook_schemas::KeyRing> {
        self.keys.ring()
    }

    /// Adds keys that do not exist yet.
    pub(crate) fn add_keys(&self, keys: &[(daybook_schemas::KeyId, [u8; 64])]) -> Result<(), JournalError> {
        self.keys.insert(keys)
    }

    /// What is known across portfolios, up to the durable head.
    ///
    /// Who holds it on this thread already is given what it holds.
    pub(crate) fn library(&self) -> Result<Reading<'_, Library>, JournalError> {
        if !self.library.is_read_here() {
            self.catch_up(None)?;
        }
        Ok(self.library_as_it_is())
    }

    /// What is known across portfolios, as far as anybody took it in.
    fn library_as_it_is(&self) -> Reading<'_, Library> {
        self.library.read()
    }

    /// Brings the library up to the durable head, some events at a time, so that readers come in between.
    fn catch_up(&self, progress: Option<&(dyn Fn(u64, u64) + Send + Sync)>) -> Result<(), JournalError> {
        let head = self.ledger.head();
        while self.heads.applied() < head {
            let applied = self.take_in(self.library.write(), head)?;
            if let Some(progress) = progress {
                progress(applied, head);
            }
            if applied < head {
                std::thread::yield_now();
            }
        }
        Ok(())
    }

    /// Brings the library up to a sequence that is about to be acknowledged, unless readers hold it for too long:
    /// whoever reads next waits for them then.
    fn catch_up_before_acknowledging(&self, last: u64) -> Result<(), JournalError> {
        let began = Instant::now();
        while self.heads.applied() < last {
            match self.library.try_write() {
                Some(library) => {
                    self.take_in(library, last)?;
                }
                None if began.elapsed() < ACKNOWLEDGE_WITHIN => {
                    std::thread::sleep(Duration::from_micros(50));
                }
                None => {
                    self.heads.owe(last);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Takes some of the next events up to a head into the library, and says how far it came.
    fn take_in(&self, mut library: RwLockWriteGuard<'_, Library>, head: u64) -> Result<u64, JournalError> {
        let (from, to) = (library.applied() + 1, head.min(library.applied() + TOGETHER));
        let mut changes = Changes::default();
        let mut fault = None;
        let read = self.ledger.scan(from, to, &mut |record| {
            let applied = decode(record).map(|event| {
                library.apply(&meta(record), record.stream, &event);
                changes.note(record.sequence, record.stream, &event);
            });
            match applied {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    fault = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        self.heads.take(changes, &library);
        let applied = library.applied();
        drop(library);
        read?;
        match fault {
            Some(error) => Err(error),
            None if applied < to => {
                Err(JournalError::Internal(format!("event {} cannot be read", applied + 1)))
            }
            None => Ok(applied),
        }
    }

    /// The highest sequence that anybody was told is recorded: what a read has to reflect that is asked for now. Waits
    /// for nobody.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.heads.acknowledged()
    }

    /// The highest sequence that a portfolio's figures reflect, if nothing that they depend on changed since they were
    /// worked out. Waits for nobody.
    pub(crate) fn stands(&self, portfolio: PortfolioId, basis: &Basis) -> Option<u64> {
        self.heads.stands(portfolio, basis, now())
    }

    /// When what anybody may reach changed last. Waits for nobody.
    pub(crate) fn standing_of_reach(&self) -> Standing {
        self.heads.standing()
    }

    /// Appends events in one commit, durable when this returns. Records that are known already by key and content
    /// are not appended again.
    pub(crate) fn record(
        &self,
        author: &Author,
        drafts: Vec<Draft>,
        terms: Terms,
    ) -> Result<Recorded, JournalError> {
        self.admit(&drafts)?;
        let records =
            drafts.into_iter().map(|draft| draft.into_record(author)).collect::<Result<Vec<_>, _>>()?;
        self.append(records, terms)
    }

    /// Appends events in as many commits as they need; the terms are those of the last, but what streams must look like
    /// is a matter of the first: the others change it themselves.
    pub(crate) fn record_in_parts(
        &self,
        author: &Author,
        drafts: Vec<Draft>,
        mut terms: Terms,
        progress: &dyn Fn(u64),
    ) -> Result<(), JournalError> {
        // All of them can be encoded before the first is appended.
        self.admit(&drafts)?;
        let records =
            drafts.into_iter().map(|draft| draft.into_record(author)).collect::<Result<Vec<_>, _>>()?;
        let (mut part, mut bytes, mut done, mut begun) = (Vec::new(), 0, 0, false);
        for record in records {
            let size = record.view(0, 0, 0).canonical_bytes() + RECORD_BYTES;
            if !part.is_empty() && (part.len() == PART_RECORDS || bytes + size > self.part_bytes) {
                done += part.len() as u64;
                let first = Terms { expected: std::mem::take(&mut terms.expected), ..Terms::default() };
                let appended = self.append(std::mem::take(&mut part), first);
                appended.map_err(|error| unfinished(error, begun))?;
                begun = true;
                progress(done);
                bytes = 0;
            }
            bytes += size;
            part.push(record);
        }
        done += part.len() as u64;
        self.append(part, terms).map_err(|error| unfinished(error, begun))?;
        progress(done);
        Ok(())
    }

    /// Lets through what the work under way may write to, and notes which portfolios it touches.
    fn admit(&self, drafts: &[Draft]) -> Result<(), JournalError> {
        for draft in drafts {
            // What is not there yet belongs to nobody else.
            if !scope::reaches_stream(&draft.stream) && self.ledger.stream_version(&draft.stream)?.is_some() {
                return Err(JournalError::not_found("stream", &draft.stream));
            }
        }
        let portfolios = drafts.iter().filter_map(|draft| stream::portfolio_of(&draft.stream));
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).extend(portfolios);
        Ok(())
    }

    fn append(&self, records: Vec<NewRecord>, terms: Terms) -> Result<Recorded, JournalError> {
        // Entries and prices are many and may come later to a reader; whatever may change what a token opens may not.
        let opens = records.iter().any(|record| {
            let many = stream::portfolio_of(&record.stream).is_some() || record.stream.starts_with("market-");
            !many || OPENING.contains(&EventType::from_id(record.type_id))
        });
        let appended = self.ledger.append(Append {
            records,
            expected: terms.expected,
            cursors: terms.cursors,
            commit_key: terms.commit_key,
            on_known: OnKnown::AppendMissing,
        })?;
        // Whoever is told that it is recorded reads it back without waiting. An error is the next reader's: what was
        // appended is durable.
        let last = appended.sequences.iter().max().copied().unwrap_or(0);
        let caught_up = if opens { self.catch_up(None) } else { self.catch_up_before_acknowledging(last) };
        if let Err(error) = caught_up {
            tracing::error!(%error, "what was appended cannot be read back");
        }
        Ok(Recorded { sequences: appended.sequences, already: appended.already })
    }

    /// The record of a sequence.
    pub(crate) fn event(&self, sequence: u64) -> Result<Record, JournalError> {
        self.ledger.get(sequence)?.ok_or_else(|| JournalError::not_found("event", sequence))
    }

    /// The last sequence that was recorded by an instant; 0 if none was.
    pub(crate) fn sequence_at(&self, instant: Timestamp) -> Result<u64, JournalError> {
        Ok(self.ledger.sequence_recorded_by(instant.nanos())?)
    }
}

/// An error that stops a large append after some of its parts were taken.
fn unfinished(error: JournalError, begun: bool) -> JournalError {
    match error {
        JournalError::Append(cause) if begun => JournalError::Unfinished(cause),
        other => other,
    }
}
