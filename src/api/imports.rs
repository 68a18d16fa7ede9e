//! Files: imported into a portfolio, listed, taken back whole.

use super::access::Caller;
use super::answer::{Found, Made, Question};
use super::attempt::{self, Attempt};
use super::body::{Fields, Form, Input};
use super::page::{Limit, List, Page, Pin};
use super::precondition::{Precondition, Standing};
use super::problem::{Fault, Problem};
use super::record::record;
use super::scalar::{Import as ImportKey, Portfolio, Sequence, Time};
use super::service::Service;
use super::tags::Tag;
use super::upload::{Part, Texts, Upload};
use crate::importers::{Format, PriceOptions};
use crate::journal::{ImportReport, ImportRequest, Journal, JournalError, Terms};
use daybook_ledger::{Appended, CommitKey, Direction};
use daybook_projections::{Import, ImportState, Library};
use daybook_schemas::{EventType, ImportId, PortfolioId, stream};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use std::collections::BTreeMap;

record! {
    /// An import of a file.
    ImportItem {
        /// The import
        id: ImportKey,
        /// The file's format; absent, as all that is said of the file, if the import was interrupted
        format: Option<String>,
        /// The file's name; absent where its key is erased, and of prices
        file: Option<String>,
        /// BLAKE3 of the file's bytes, in hexadecimal
        file_hash: Option<String>,
        /// The portfolio it went into; absent for prices
        portfolio: Option<Portfolio>,
        /// Rows of data in the file
        rows: Option<u64>,
        /// Events that it brought, those of reference and quarantine not counted
        events: u64,
        /// Rows that the ledger held already
        known: Option<u64>,
        /// Rows kept aside
        quarantined: u64,
        /// What the reader should know
        warnings: Vec<String>,
        /// When it was recorded
        recorded_at: Option<Time>,
        /// `visible`, `reverted`, or `interrupted`: then none of its events counts
        state: String,
        /// The event from which on its rows count
        sequence: Option<Sequence>,
        /// The event that took it back
        reverted_by: Option<Sequence>,
    }
}

record! {
    /// A row that was kept aside.
    KeptAside {
        /// The row's line in the file, from 1
        line: u64,
        /// Why it was kept aside
        reason: String,
    }
}

record! {
    /// What an import did, or would do.
    ImportAnswer {
        /// The import that holds the rows; absent if there is nothing to hold
        import: Option<ImportKey>,
        /// Rows of data in the file
        rows: u64,
        /// New events by type, those of reference data and quarantine among them
        events: BTreeMap<String, u64>,
        /// Rows that the ledger held already
        known: u64,
        /// Rows newly kept aside
        quarantined: Vec<KeptAside>,
        /// What the reader should know
        warnings: Vec<String>,
        /// Whether nothing was recorded because that was asked for
        dry_run: bool,
    }
}

record! {
    /// An import that was taken back.
    Reversion {
        /// The import
        import: ImportKey,
        /// The event that took it back
        sequence: Sequence,
    }
}

record! {
    /// Why an import is taken back.
    ReversionRequest {
        /// Why
        reason: Option<String>,
    }
}

impl Form for ReversionRequest {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields) -> Self {
        Self { reason: fields.text("reason") }
    }
}

/// What may come beside a file of transactions.
pub(super) struct TransactionFile;

impl Texts for TransactionFile {
    const NAME: &'static str = "TransactionFile";
    const PARTS: &'static [Part] = &[
        ("format", "The file's format: `csv`, `schwab`, `robinhood` or `alpaca`"),
        ("dry_run", "`true` to say what would be recorded, and to record nothing"),
    ];
    const REQUIRED: &'static [&'static str] = &["format"];
}

/// The routes of imports.
pub(super) struct Imports(pub(super) Service);

#[OpenApi(tag = "Tag::Imports")]
impl Imports {
    /// Import a file into a portfolio
    ///
    /// Each row is recorded once, however often its file comes. A row of the generic CSV that cannot be used
    /// refuses the whole file; a broker's row that cannot be understood is kept aside.
    #[oai(path = "/portfolios/:id/imports", method = "post", operation_id = "importFile")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn import(
        &self,
        caller: Caller,
        attempt: Attempt,
        precondition: Precondition,
        /// The portfolio
        id: Path<Portfolio>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        /// The ETag of a read of the portfolio: the write is refused if it changed since
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        upload: Upload<TransactionFile>,
    ) -> Result<Made<ImportAnswer>, Problem> {
        let format: Format = upload
            .text("format")
            .unwrap_or_default()
            .parse()
            .map_err(|detail: String| Problem::from(vec![Fault::new("format", detail)]))?;
        let errand =
            Errand { format, portfolio: Some(id.0.0), prices: PriceOptions::default(), precondition };
        errand.run(&self.0, caller, &attempt, upload).await
    }

    /// List the imports of a portfolio
    #[oai(path = "/portfolios/:id/imports", method = "get", operation_id = "listPortfolioImports")]
    async fn list_of_portfolio(
        &self,
        caller: Caller,
        question: Question,
        /// The portfolio
        id: Path<Portfolio>,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<ImportItem>>, Problem> {
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        list(&self.0, caller, question, page, Some(id.0.0)).await
    }

    /// List imports
    #[oai(path = "/imports", method = "get", operation_id = "listImports")]
    async fn list(
        &self,
        caller: Caller,
        question: Question,
        /// Where the page begins, as `next` gave it
        cursor: Query<Option<String>>,
        /// How many items the page has at most
        limit: Query<Option<Limit>>,
    ) -> Result<Found<List<ImportItem>>, Problem> {
        let page = Page::read(&question, cursor.0.as_deref(), limit.0)?;
        list(&self.0, caller, question, page, None).await
    }

    /// Read an import
    #[oai(path = "/imports/:id", method = "get", operation_id = "readImport")]
    async fn read(
        &self,
        caller: Caller,
        question: Question,
        /// The import
        id: Path<ImportKey>,
    ) -> Result<Found<ImportItem>, Problem> {
        let id = id.0.0;
        self.0
            .blocking(move |journal| {
                let library = journal.library()?;
                let import = library.imports.get(id).filter(|import| knows(&caller, import));
                let import = import.ok_or_else(|| Problem::not_found("import", id))?;
                let tag = question.tag(&[library.imports.changed_at(), import.events]);
                Found::new(tag, || Ok(item(journal, import, library.applied())))
            })
            .await
    }

    /// Declare that nothing an import brought ever happened
    ///
    /// The same file can be imported again afterwards.
    #[oai(path = "/imports/:id/revert", method = "post", operation_id = "revertImport")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the route's parameters, as the document lists them"
    )]
    async fn revert(
        &self,
        caller: Caller,
        attempt: Attempt,
        precondition: Precondition,
        /// The import
        id: Path<ImportKey>,
        /// Which attempt it is: the same request sent again under one key is done once
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        /// The ETag of a read of the portfolio that the import went into: the write is refused if it changed since
        #[oai(name = "If-Match")]
        _if_match: Header<Option<String>>,
        input: Input<ReversionRequest>,
    ) -> Result<Made<Reversion>, Problem> {
        let key = attempt.commit_key(&caller, &input.canonical);
        let (id, reason) = (id.0.0, input.value.reason);
        self.0
            .blocking(move |journal| {
                if !journal.library()?.imports.get(id).is_none_or(|import| knows(&caller, import)) {
                    return Err(Problem::not_found("import", id));
                }
                let earlier = attempt::earlier(journal, key.as_ref())?;
                let replayed = earlier.is_some();
                let sequence = match earlier {
                    Some(commit) => commit.sequences.last().copied().unwrap_or(commit.head),
                    None => {
                        let into = {
                            let library = journal.library()?;
                            let import = library.imports.get(id).and_then(|import| import.file.as_ref());
                            import.and_then(|file| file.portfolio)
                        };
                        let written = precondition.guard(
                            || match into {
                                Some(portfolio) => Standing::of_portfolio(journal, portfolio),
                                None => Standing::of_stream(journal, &stream::import(id)),
                            },
                            |expected| {
                                let terms = Terms { commit_key: key.clone(), expected, ..Terms::default() };
                                journal.revert_import(&caller.author(), id, reason.as_deref(), terms)
                            },
                        );
                        attempt::done(journal, key.as_ref(), written)?
                    }
                };
                let body = Reversion { import: id.into(), sequence: Sequence(sequence) };
                Ok(Made::new(&body).at(&format!("/events/{sequence}")).replayed(replayed))
            })
            .await
    }
}

/// Whether the caller may know of an import.
fn knows(caller: &Caller, import: &Import) -> bool {
    caller.knows_of(import.file.as_ref().and_then(|file| file.portfolio))
}

async fn list(
    service: &Service,
    caller: Caller,
    question: Question,
    page: Page,
    portfolio: Option<PortfolioId>,
) -> Result<Found<List<ImportItem>>, Problem> {
    service
        .blocking(move |journal| {
            let library = journal.library()?;
            if let Some(id) = portfolio {
                known_portfolio(&library, id)?;
            }
            let pin = page.pinned(library.applied(), Pin::known(library.applied()))?;
            let interrupted: u64 = library.imports.interrupted().map(|import| import.events).sum();
            Found::new(question.tag(&[library.imports.changed_at(), interrupted]), || {
                let mut imports: Vec<&Import> = library
                    .imports
                    .list()
                    .filter(|import| import.first_sequence <= pin.known)
                    .filter(|import| knows(&caller, import))
                    .filter(|import| {
                        portfolio.is_none()
                            || import.file.as_ref().and_then(|file| file.portfolio) == portfolio
                    })
                    .collect();
                // The ids of imports are derived from their files; the order is that of the log.
                imports.sort_by_key(|import| import.first_sequence);
                page.cut(
                    pin,
                    imports,
                    |import| import.id.to_string(),
                    |import| Ok(item(journal, import, pin.known)),
                )
            })
        })
        .await
}

/// Refuses a portfolio that there is none of.
fn known_portfolio(library: &Library, id: PortfolioId) -> Result<(), Problem> {
    match library.directory.get(id) {
        Some(_) => Ok(()),
        None => Err(Problem::not_found("portfolio", id)),
    }
}

fn item(journal: &Journal, import: &Import, known: u64) -> ImportItem {
    let state = import.state(known);
    let file = import.file.as_ref().filter(|_| state != ImportState::Pending);
    ImportItem {
        id: import.id.into(),
        format: file.map(|file| file.format.to_string()),
        file: file.and_then(|file| file.file_name.as_ref()).and_then(|name| name.open(&journal.keys()).ok()),
        file_hash: file.map(|file| file.file_hash.to_string()),
        portfolio: file.and_then(|file| file.portfolio).map(Portfolio),
        rows: file.map(|file| file.rows),
        events: file.map_or(import.events, |file| file.events),
        known: file.map(|file| file.known),
        quarantined: file.map_or(0, |file| file.quarantined),
        warnings: file
            .iter()
            .flat_map(|file| &file.warnings)
            .filter_map(|words| words.read(&journal.keys()))
            .collect(),
        recorded_at: import.imported_at.filter(|_| file.is_some()).map(Time),
        state: match state {
            ImportState::Visible => "visible",
            ImportState::Reverted => "reverted",
            ImportState::Pending => "interrupted",
        }
        .to_owned(),
        sequence: import.visible_from.filter(|sequence| *sequence <= known).map(Sequence),
        reverted_by: import.reverted_from.filter(|sequence| *sequence <= known).map(Sequence),
    }
}

/// A file to be imported.
pub(super) struct Errand {
    /// Its format.
    pub(super) format: Format,
    /// The portfolio it goes into; none for prices.
    pub(super) portfolio: Option<PortfolioId>,
    /// How prices are read.
    pub(super) prices: PriceOptions,
    /// What must hold for it to be done; nothing for prices.
    pub(super) precondition: Precondition,
}

impl Errand {
    /// Imports what was uploaded.
    pub(super) async fn run<T: Texts>(
        self,
        service: &Service,
        caller: Caller,
        attempt: &Attempt,
        upload: Upload<T>,
    ) -> Result<Made<ImportAnswer>, Problem> {
        let dry_run = upload.flag("dry_run")?;
        let attempt = attempt.clone();
        // Half a gigabyte is not hashed on a thread that answers others.
        let (key, caller, upload) = service
            .blocking(move |_| Ok((attempt.commit_key(&caller, &upload.canonical()), caller, upload)))
            .await?;
        self.import(service, caller, key, upload.file_name, upload.bytes, dry_run).await
    }

    /// Imports a file's bytes.
    pub(super) async fn import(
        self,
        service: &Service,
        caller: Caller,
        key: Option<CommitKey>,
        file_name: String,
        bytes: Vec<u8>,
        dry_run: bool,
    ) -> Result<Made<ImportAnswer>, Problem> {
        // What records nothing can be asked for again and again.
        let key = key.filter(|_| !dry_run);
        service
            .blocking(move |journal| {
                if let Some(commit) = attempt::earlier(journal, key.as_ref())?
                    && let Some(answer) = answered_before(journal, &commit)?
                {
                    return Ok(made(&answer).replayed(true));
                }
                let request = ImportRequest {
                    format: self.format,
                    file_name: &file_name,
                    bytes: &bytes,
                    portfolio: self.portfolio,
                    prices: self.prices,
                    dry_run,
                };
                let report = self.precondition.guard(
                    || match self.portfolio {
                        Some(portfolio) => Standing::for_import(journal, portfolio),
                        None => Err(Problem::parameter("If-Match", "prices have no ETag to hold it against")),
                    },
                    |expected| {
                        let terms = Terms { commit_key: key.clone(), expected, ..Terms::default() };
                        journal.import(&caller.author(), &request, terms, &|_, _| {})
                    },
                );
                let report = attempt::done(journal, key.as_ref(), report)?;
                // Of two attempts at once, the one that came second finds all rows known.
                if report.events.is_empty()
                    && let Some(commit) = attempt::earlier(journal, key.as_ref())?
                    && let Some(answer) = answered_before(journal, &commit)?
                {
                    return Ok(made(&answer).replayed(true));
                }
                Ok(made(&answer(report, dry_run)))
            })
            .await
    }
}

/// The answer to an import: it made something if it brought events.
fn made(answer: &ImportAnswer) -> Made<ImportAnswer> {
    let new = !answer.dry_run && answer.events.values().any(|count| *count > 0);
    let place = answer.import.map(|id| format!("/imports/{}", id.0)).filter(|_| !answer.dry_run);
    let mut made = Made::new(answer);
    if let Some(place) = place {
        made = made.at(&place);
    }
    if new { made } else { made.unchanged() }
}

/// What an import did, as it is answered.
fn answer(report: ImportReport, dry_run: bool) -> ImportAnswer {
    ImportAnswer {
        import: report.import.map(ImportKey),
        rows: report.rows,
        events: report.events.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
        known: report.known,
        quarantined: report
            .quarantined
            .into_iter()
            .map(|(line, reason)| KeptAside { line, reason })
            .collect(),
        warnings: report.warnings,
        dry_run,
    }
}

/// The answer that an import gave when it was sent first, out of what it recorded: all records of that request.
fn answered_before(journal: &Journal, commit: &Appended) -> Result<Option<ImportAnswer>, JournalError> {
    let Some(last) = commit.sequences.last().copied() else { return Ok(None) };
    let record = journal.event(last)?;
    let (Some(import), Some(correlation)) = (record.import.map(ImportId::from_bytes), record.correlation)
    else {
        return Ok(None);
    };
    let library = journal.library()?;
    let Some((import, file)) =
        library.imports.get(import).and_then(|import| Some((import, import.file.as_ref()?)))
    else {
        return Ok(None);
    };
    let mut answer = ImportAnswer {
        import: Some(import.id.into()),
        rows: file.rows,
        events: BTreeMap::new(),
        known: file.known,
        quarantined: Vec::new(),
        warnings: file.warnings.iter().filter_map(|words| words.read(&journal.keys())).collect(),
        dry_run: false,
    };
    // Reference data stands before the first row that needs it, in the same commit or the one before.
    let mut next = last - 1;
    let mut missing = import.events;
    'log: while next > 0 {
        let records = journal.ledger().read(next, 1_000, Direction::Backward)?;
        for record in records {
            next = record.sequence - 1;
            if record.correlation != Some(correlation) {
                if missing == 0 {
                    break 'log;
                }
                continue;
            }
            if record.type_id == EventType::ImportReverted.id() {
                continue;
            }
            let name = EventType::from_id(record.type_id).map_or("unknown", EventType::name);
            *answer.events.entry(name.to_owned()).or_default() += 1;
            if record.import.map(ImportId::from_bytes) == Some(import.id) {
                missing = missing.saturating_sub(1);
            }
        }
    }
    let items = library.quarantine.list(&library.imports).filter(|item| item.meta.import == Some(import.id));
    let keys = journal.keys();
    answer.quarantined = items
        .map(|item| KeptAside {
            line: item.record.line.unwrap_or(0),
            // Where the key was erased, what is left is the code.
            reason: item.record.detail.open(&keys).unwrap_or_else(|_| item.record.reason.to_string()),
        })
        .collect();
    Ok(Some(answer))
}
