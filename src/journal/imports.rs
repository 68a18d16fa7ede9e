//! Importing files: each row is recorded once, however often its file comes, and an import can be taken back whole.

use super::{Author, Draft, Invalid, Journal, JournalError, Terms, now};
use crate::importers::{self, Format, InstrumentFacts, LinkedAccount, Parsed, PriceOptions, Role};
use daybook_ledger::RecordView;
use daybook_projections::{Directory, ImportState, Instruments, Library, PriceSource, Resolution};
use daybook_schemas::events::{ContentHash, FileImported, IdentifierScheme, ImportReverted, Words};
use daybook_schemas::{
    AccountId, Currency, Day, Event, EventType, ImportId, InstrumentId, KeyId, KeyRing, PortfolioId, Ratio,
    Sealed, stream,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;

/// Warnings that are kept with an import.
const WARNINGS_KEPT_MAX: usize = 100;

/// A file to be imported.
pub(crate) struct ImportRequest<'a> {
    /// Its format.
    pub(crate) format: Format,
    /// Its name, for messages.
    pub(crate) file_name: &'a str,
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
    /// The portfolio it goes into; none for prices.
    pub(crate) portfolio: Option<PortfolioId>,
    /// How prices are read.
    pub(crate) prices: PriceOptions,
    /// Only say what would happen.
    pub(crate) dry_run: bool,
}

/// What an import did, or would do.
#[derive(Debug, Clone, Default)]
pub(crate) struct ImportReport {
    /// The import that holds the rows; none if there is nothing to hold.
    pub(crate) import: Option<ImportId>,
    /// Rows of data in the file.
    pub(crate) rows: u64,
    /// New events by type, those of reference data and quarantine among them.
    pub(crate) events: BTreeMap<&'static str, u64>,
    /// Rows that the ledger held already.
    pub(crate) known: u64,
    /// Rows newly kept aside, with line and reason.
    pub(crate) quarantined: Vec<(u64, String)>,
    /// What the reader should know.
    pub(crate) warnings: Vec<String>,
}

/// Who says something that may have been recorded before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Said {
    /// A file: its row is the same row for ever, also after it was reversed.
    Row,
    /// A person or a program, one transaction at a time.
    Typed,
    /// A feed, whose last statement stands.
    Price,
}

/// Refuses a row that would change what others see, of an author who may not.
pub(super) fn check_reach(author: &Author, draft: &importers::Draft) -> Result<(), JournalError> {
    if author.reaches_all || draft.role != Role::Entry || !matches!(draft.event, Event::IdentifierAssigned(_))
    {
        return Ok(());
    }
    let detail =
        "a rename changes what an instrument is called in every portfolio: ask an administrator to record it";
    let line = Some(draft.line).filter(|line| *line > 0);
    Err(JournalError::Invalid(vec![Invalid {
        file: None,
        line,
        field: Some("type".to_owned()),
        detail: detail.to_owned(),
    }]))
}

/// The key of the reversal of an event.
pub(super) fn reversal_key(target: u64) -> String {
    format!("reversal:{target}#0")
}

/// Where a row stands in the ledger.
pub(super) enum Placement {
    /// It is not there; this is its revision.
    New(u32),
    /// It is there, under this revision and sequence.
    Known(u32, u64),
    /// The import that is under way recorded it before it was interrupted.
    Own(u32),
    /// Another content is there under its id.
    Conflict(u32, u64),
}

impl Placement {
    /// The record key.
    pub(super) fn key(&self, identity: &str) -> String {
        let (Self::New(revision)
        | Self::Known(revision, _)
        | Self::Own(revision)
        | Self::Conflict(revision, _)) = self;
        format!("{identity}#{revision}")
    }
}

/// What the ledger holds under the first revisions of identities, or that it holds nothing, read together: records of one
/// commit lie together, and asked for one by one, each would cost the reading of them all.
#[derive(Default)]
pub(super) struct Held(HashMap<Box<str>, Option<Holds>>);

/// What a record says of itself.
#[derive(Clone, Copy)]
struct Holds {
    sequence: u64,
    content_hash: [u8; 32],
    import: Option<ImportId>,
    /// Whether it is something that could not be understood.
    aside: bool,
}

impl Holds {
    fn of(record: &RecordView<'_>) -> Self {
        Self {
            sequence: record.sequence,
            content_hash: record.content_hash(),
            import: record.import.copied().map(ImportId::from_bytes),
            aside: record.type_id == EventType::RecordQuarantined.id(),
        }
    }
}

/// What importers may ask: a copy of the registry, so that a long file holds nobody up.
pub(crate) struct ImportContext {
    instruments: Instruments,
    directory: Directory,
    splits: BTreeMap<InstrumentId, Vec<(Day, Ratio)>>,
    keys: KeyRing,
}

/// What an importer may ask of one transaction: the registry itself, which nobody changes meanwhile.
pub(super) struct PresentContext<'a> {
    pub(super) library: &'a Library,
    pub(super) keys: &'a KeyRing,
}

/// The registry, wherever it is kept.
struct Registry<'a> {
    instruments: &'a Instruments,
    directory: &'a Directory,
    keys: &'a KeyRing,
}

impl Registry<'_> {
    fn instrument(&self, id: InstrumentId) -> Option<InstrumentFacts> {
        self.instruments.get(id).map(|instrument| InstrumentFacts {
            class: instrument.class.clone(),
            currency: instrument.currency,
            multiplier: instrument.contract.as_ref().map(|contract| contract.multiplier),
            provisional: instrument.provisional,
            isin: instrument
                .identifiers
                .iter()
                .find(|identifier| identifier.scheme == IdentifierScheme::Isin)
                .map(|identifier| identifier.value.clone()),
        })
    }

    fn account(&self, portfolio: PortfolioId, label: &str) -> Option<AccountId> {
        let portfolio = self.directory.get(portfolio)?;
        let id =
            importers::accounts::account_id(self.keys, portfolio.name.key(), portfolio.id, label).ok()?;
        portfolio.accounts.contains_key(&id).then_some(id)
    }

    fn linked(&self, portfolio: PortfolioId) -> Vec<LinkedAccount> {
        let accounts = self.directory.get(portfolio).into_iter().flat_map(|entry| entry.accounts.values());
        let linked = |account: &daybook_projections::Account| LinkedAccount {
            id: account.linked.account,
            broker: account.linked.broker.clone(),
            external_id: account.linked.external_id.as_ref().map(|id| id.as_str().into()),
            unlinked: account.unlinked,
        };
        accounts.map(linked).collect()
    }
}

impl ImportContext {
    fn registry(&self) -> Registry<'_> {
        Registry { instruments: &self.instruments, directory: &self.directory, keys: &self.keys }
    }
}

impl<'a> PresentContext<'a> {
    fn registry(&self) -> Registry<'a> {
        let library = self.library;
        Registry { instruments: &library.instruments, directory: &library.directory, keys: self.keys }
    }
}

impl importers::Context for ImportContext {
    fn resolve(
        &self,
        scheme: &IdentifierScheme,
        value: &str,
        day: Option<Day>,
        currency: Option<Currency>,
        venue: Option<&str>,
    ) -> Resolution {
        self.instruments.resolve(scheme, value, day, currency, venue)
    }

    fn instrument(&self, id: InstrumentId) -> Option<InstrumentFacts> {
        self.registry().instrument(id)
    }

    fn provisional_count(&self, symbol: &str) -> u32 {
        self.instruments.provisional_count(symbol)
    }

    fn account(&self, portfolio: PortfolioId, label: &str) -> Option<AccountId> {
        self.registry().account(portfolio, label)
    }

    fn linked(&self, portfolio: PortfolioId) -> Vec<LinkedAccount> {
        self.registry().linked(portfolio)
    }

    fn announced_splits(&self, id: InstrumentId) -> Vec<(Day, Ratio)> {
        self.splits.get(&id).cloned().unwrap_or_default()
    }

    fn keys(&self) -> &KeyRing {
        &self.keys
    }
}

impl importers::Context for PresentContext<'_> {
    fn resolve(
        &self,
        scheme: &IdentifierScheme,
        value: &str,
        day: Option<Day>,
        currency: Option<Currency>,
        venue: Option<&str>,
    ) -> Resolution {
        self.library.instruments.resolve(scheme, value, day, currency, venue)
    }

    fn instrument(&self, id: InstrumentId) -> Option<InstrumentFacts> {
        self.registry().instrument(id)
    }

    fn provisional_count(&self, symbol: &str) -> u32 {
        self.library.instruments.provisional_count(symbol)
    }

    fn account(&self, portfolio: PortfolioId, label: &str) -> Option<AccountId> {
        self.registry().account(portfolio, label)
    }

    fn linked(&self, portfolio: PortfolioId) -> Vec<LinkedAccount> {
        self.registry().linked(portfolio)
    }

    fn announced_splits(&self, id: InstrumentId) -> Vec<(Day, Ratio)> {
        splits_of(self.library, id)
    }

    fn keys(&self) -> &KeyRing {
        self.keys
    }
}

fn splits_of(library: &Library, id: InstrumentId) -> Vec<(Day, Ratio)> {
    let splits = library.prices.announced_splits(id, library.applied());
    splits.into_iter().map(|split| (split.effective, split.ratio)).collect()
}

fn announced_splits(library: &Library) -> BTreeMap<InstrumentId, Vec<(Day, Ratio)>> {
    let all = library.instruments.list().map(|instrument| (instrument.id, splits_of(library, instrument.id)));
    all.filter(|(_, splits)| !splits.is_empty()).collect()
}

impl Journal {
    /// What importers may ask, as it is known now.
    pub(crate) fn import_context(&self) -> Result<ImportContext, JournalError> {
        let keys = self.keys().clone();
        let library = self.library()?;
        Ok(ImportContext {
            instruments: library.instruments.clone(),
            directory: library.directory.clone(),
            splits: announced_splits(&library),
            keys,
        })
    }

    /// What the ledger holds of these identities by now.
    fn held<'i>(&self, identities: impl Iterator<Item = &'i str>) -> Result<Held, JournalError> {
        let identities: Vec<&str> = identities.collect();
        let keys: Vec<String> = identities.iter().map(|identity| format!("{identity}#0")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let mut held = Held(identities.iter().map(|identity| ((*identity).into(), None)).collect());
        self.ledger().pick_keys(&keys, &mut |place, record| {
            held.0.insert(identities[place].into(), Some(Holds::of(record)));
        })?;
        Ok(held)
    }

    /// Where something stands that may have been recorded before, by its identity and its content.
    pub(super) fn placement(
        &self,
        identity: &str,
        content: &[u8; 32],
        own: Option<ImportId>,
        said: Said,
    ) -> Result<Placement, JournalError> {
        self.placement_among(&Held::default(), identity, content, own, said)
    }

    /// The same, where some of what the ledger holds was read before.
    fn placement_among(
        &self,
        held: &Held,
        identity: &str,
        content: &[u8; 32],
        own: Option<ImportId>,
        said: Said,
    ) -> Result<Placement, JournalError> {
        let mut standing = None;
        for revision in 0u32.. {
            let holds = match held.0.get(identity) {
                Some(known) if revision == 0 => *known,
                _ => self.holds(&format!("{identity}#{revision}"))?,
            };
            let Some(Holds { sequence, content_hash, import, aside }) = holds else {
                // Of a price the last statement stands: one that says the same again adds nothing.
                return Ok(match standing {
                    Some((revision, sequence, true)) => Placement::Known(revision, sequence),
                    _ => Placement::New(revision),
                });
            };
            if import.is_some() && import == own {
                return Ok(Placement::Own(revision));
            }
            let gone = import.is_some_and(|import| {
                let library = self.library.read();
                !library.imports.visible(import, library.applied())
            });
            // What a feed kept aside under the row's own identity stands for nothing; what a file kept aside has an
            // identity of its own.
            if gone || aside && !identity.starts_with("quarantine:") {
                continue;
            }
            let same = content_hash == *content;
            if said == Said::Price {
                standing = Some((revision, sequence, same));
                continue;
            }
            let reversed = self.ledger().find_key(&reversal_key(sequence))?.is_some();
            match (said, same, reversed) {
                // What a person took back, the same person may state again; a file that still has the row may not.
                (Said::Typed, _, true) | (Said::Row, false, true) => {}
                (_, true, _) => return Ok(Placement::Known(revision, sequence)),
                // What has a later revision was superseded or withdrawn by its source.
                (_, false, _) if self.holds(&format!("{identity}#{}", revision + 1))?.is_some() => {}
                (_, false, _) => return Ok(Placement::Conflict(revision, sequence)),
            }
        }
        Err(JournalError::Internal("no revision is left".to_owned()))
    }

    /// What the ledger holds under a key.
    fn holds(&self, key: &str) -> Result<Option<Holds>, JournalError> {
        let mut holds = None;
        self.ledger().pick_keys(&[key], &mut |_, record| {
            holds = Some(Holds::of(record));
        })?;
        Ok(holds)
    }

    /// Where a draft stands, and the identity under which it stands there: its own, or an alias of its row.
    fn place(
        &self,
        held: &Held,
        draft: &importers::Draft,
        aliases: Option<&[String]>,
        own: ImportId,
        said: Said,
    ) -> Result<Option<(Placement, String)>, JournalError> {
        let Some(identity) = &draft.identity else { return Ok(None) };
        let placement = self.placement_among(held, identity, &draft.content_hash, Some(own), said)?;
        if matches!(placement, Placement::New(_)) {
            for alias in aliases.unwrap_or_default() {
                let elsewhere = self.placement_among(held, alias, &draft.content_hash, Some(own), said)?;
                if !matches!(elsewhere, Placement::New(_)) {
                    return Ok(Some((elsewhere, alias.clone())));
                }
            }
        }
        Ok(Some((placement, identity.clone())))
    }

    /// Of the rows that take back others those whose target the ledger holds, kept aside.
    fn taken_back(
        &self,
        withdrawn: &[importers::Withdrawn],
        own: ImportId,
    ) -> Result<Vec<importers::Draft>, JournalError> {
        let mut asides = Vec::new();
        for row in withdrawn {
            let Some(restated) = &row.restated else { continue };
            let mut draft = restated.aside.clone();
            draft.identity = Some(row.identity.clone());
            draft.content_hash = row.content_hash;
            let placed = self.place(&Held::default(), &draft, Some(&restated.aliases), own, Said::Row)?;
            if matches!(placed, Some((Placement::Conflict(..), _))) {
                asides.push(restated.aside.clone());
            }
        }
        Ok(asides)
    }

    /// Imports a file, or says what importing it would do.
    pub(crate) fn import(
        &self,
        author: &Author,
        request: &ImportRequest<'_>,
        terms: impl Into<Terms>,
        progress: &dyn Fn(u64, u64),
    ) -> Result<ImportReport, JournalError> {
        let terms = terms.into();
        let _one_at_a_time = self.importing.lock().unwrap_or_else(PoisonError::into_inner);
        // A key that belongs to another request is refused before anything is appended. The same request again finds
        // all its rows known.
        self.done_before(terms.commit_key.as_ref())?;
        let context = self.import_context()?;
        let parsed = self.parse(request, &context, progress)?;
        let file_hash = ContentHash::of(request.bytes);
        let id = self.import_id(request, file_hash)?;
        if !request.dry_run {
            self.revert_interrupted(author, id)?;
        }
        self.append_import(author, request, parsed, id, file_hash, terms)
    }

    fn parse(
        &self,
        request: &ImportRequest<'_>,
        context: &ImportContext,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Parsed, JournalError> {
        let whole = request.bytes.len() as u64;
        let progress = &mut |read: u64| progress(read, whole);
        let parsed = match request.portfolio {
            None => {
                importers::read_prices(request.file_name, request.bytes, &request.prices, context, progress)
            }
            Some(portfolio) => {
                let facts = self.portfolio_facts(portfolio)?;
                importers::read(request.format, request.file_name, request.bytes, &facts, context, progress)
            }
        };
        parsed.map_err(|faults| {
            JournalError::Invalid(
                faults
                    .into_iter()
                    .map(|fault| Invalid {
                        file: Some(fault.file),
                        line: fault.line,
                        field: fault.column,
                        detail: fault.text,
                    })
                    .collect(),
            )
        })
    }

    /// How the imports of this very file stand: visible, if one of them is; else reverted, if one was. Another version of
    /// the importer may read more out of a file, and what was reverted stays so in every version.
    pub(crate) fn standing_import(
        &self,
        request: &ImportRequest<'_>,
    ) -> Result<Option<ImportState>, JournalError> {
        let file_hash = ContentHash::of(request.bytes);
        let library = self.library()?;
        let present = request.format.importer_version();
        let mut reverted = false;
        for version in 1..=present {
            let ids = (0u32..).map(|attempt| attempt_id(request, version, file_hash, attempt));
            // What was interrupted, and taken back for that, never came to its end.
            let ended = ids.map_while(|id| library.imports.get(id)).filter(|import| import.file.is_some());
            for import in ended {
                match import.state(library.applied()) {
                    ImportState::Visible if version == present => return Ok(Some(ImportState::Visible)),
                    ImportState::Reverted => reverted = true,
                    ImportState::Visible | ImportState::Pending => {}
                }
            }
        }
        Ok(reverted.then_some(ImportState::Reverted))
    }

    /// The id that this import of this file has: the same again after an interruption, another after a reversion.
    fn import_id(
        &self,
        request: &ImportRequest<'_>,
        file_hash: ContentHash,
    ) -> Result<ImportId, JournalError> {
        let library = self.library()?;
        let version = request.format.importer_version();
        for attempt in 0u32.. {
            let id = attempt_id(request, version, file_hash, attempt);
            let state = library.imports.get(id).map(|import| import.state(library.applied()));
            if matches!(state, None | Some(ImportState::Pending)) {
                return Ok(id);
            }
        }
        Err(JournalError::Internal("no import id is left".to_owned()))
    }

    /// Takes back what other imports left behind when they were interrupted: it was never visible, and its rows
    /// must be free to come again.
    fn revert_interrupted(&self, author: &Author, own: ImportId) -> Result<(), JournalError> {
        let interrupted: Vec<ImportId> =
            self.library()?.imports.interrupted().map(|import| import.id).filter(|id| *id != own).collect();
        for id in interrupted {
            tracing::warn!(import = %id, "taking back an import that was interrupted");
            let reverted = ImportReverted { import: id, reason: Some(Words::from("interrupted")) };
            self.record(author, vec![Draft::new(stream::import(id), now(), reverted)], Terms::default())?;
        }
        self.catch_up(None)
    }

    fn append_import(
        &self,
        author: &Author,
        request: &ImportRequest<'_>,
        parsed: Parsed,
        id: ImportId,
        file_hash: ContentHash,
        terms: Terms,
    ) -> Result<ImportReport, JournalError> {
        let warned: Vec<String> = parsed.warnings.iter().take(WARNINGS_KEPT_MAX).map(without_file).collect();
        let mut report = ImportReport {
            rows: parsed.rows,
            warnings: parsed.warnings.iter().map(ToString::to_string).collect(),
            ..ImportReport::default()
        };
        let mut drafts: Vec<Draft> = Vec::new();
        let mut conflicts = Vec::new();
        let (mut entries, mut revision_max, mut holder) = (0u64, 0, None);
        let rows = parsed.drafts.iter().filter_map(|draft| draft.identity.as_deref());
        let aliases =
            parsed.restated.values().flat_map(|restated| restated.aliases.iter().map(String::as_str));
        let held = self.held(rows.chain(aliases))?;
        let taken_back = self.taken_back(&parsed.withdrawn, id)?;
        report.known += parsed.withdrawn.len() as u64 - taken_back.len() as u64;
        for draft in parsed.drafts.into_iter().chain(taken_back) {
            check_reach(author, &draft)?;
            let (mut draft, mut key) = (draft, None);
            let said = if draft.role == Role::Price { Said::Price } else { Said::Row };
            let restated = draft.identity.as_ref().and_then(|identity| parsed.restated.get(identity));
            let mut placed =
                self.place(&held, &draft, restated.map(|restated| &*restated.aliases), id, said)?;
            if let (Some((Placement::Conflict(..), _)), Some(restated)) = (&placed, restated) {
                // Its source restates its rows: that is for a person to settle, and no fault of the file.
                draft = restated.aside.clone();
                placed = self.place(&held, &draft, None, id, said)?;
            }
            match placed {
                None => {}
                Some((Placement::Known(_, sequence), _)) => {
                    if draft.role != Role::Reference {
                        report.known += 1;
                        if holder.is_none() {
                            holder = self.event(sequence)?.import.map(ImportId::from_bytes);
                        }
                    }
                    continue;
                }
                Some((Placement::Conflict(_, sequence), _)) if draft.role != Role::Reference => {
                    conflicts.push(Invalid {
                        file: Some(request.file_name.to_owned()),
                        line: Some(draft.line),
                        field: Some("id".to_owned()),
                        detail: format!(
                            "the ledger holds another content under this id, as event {sequence}: correct the row, or reverse that event and give this one a new id"
                        ),
                    });
                    continue;
                }
                // Reference data that is known otherwise stands; a row says nothing new of it.
                Some((Placement::Conflict(..), _)) => continue,
                Some((placement @ (Placement::New(revision) | Placement::Own(revision)), identity)) => {
                    revision_max = revision_max.max(revision);
                    restate(&mut draft.event, revision);
                    key = Some(placement.key(&identity));
                }
            }
            let event = draft.event;
            *report.events.entry(event.event_type().name()).or_insert(0) += 1;
            if let Event::RecordQuarantined(quarantined) = &event {
                let detail = quarantined.detail.open(&self.keys());
                let detail = detail.unwrap_or_else(|_| quarantined.reason.to_string());
                report.quarantined.push((draft.line, detail));
            }
            entries += u64::from(matches!(draft.role, Role::Entry | Role::Price));
            let visible_at_once = draft.role == Role::Reference;
            drafts.push(Draft {
                stream: if draft.role == Role::Quarantine { stream::import(id) } else { draft.stream },
                occurred_at: draft.occurred_at,
                event,
                content_hash: key.is_some().then_some(draft.content_hash),
                key,
                import: (!visible_at_once).then_some(id),
            });
        }
        if !conflicts.is_empty() {
            return Err(JournalError::Invalid(conflicts));
        }
        if drafts.iter().all(|draft| draft.import.is_none()) {
            report.import = holder;
            report.events.clear();
            return Ok(report);
        }
        report.import = Some(id);
        if request.dry_run {
            return Ok(report);
        }
        let file_name = match request.portfolio {
            Some(portfolio) => {
                let key = self.portfolio_facts(portfolio)?.key;
                seal_name(&self.keys(), key, request.file_name)
            }
            None => None,
        };
        let warnings = self.kept_warnings(request.portfolio, &warned)?;
        let imported = FileImported {
            import: id,
            format: request.format.name().into(),
            importer_version: request.format.importer_version(),
            file_name,
            file_hash,
            file_bytes: request.bytes.len() as u64,
            portfolio: request.portfolio,
            rows: report.rows,
            events: entries,
            known: report.known,
            quarantined: report.quarantined.len() as u64,
            warnings,
            revision: revision_max,
        };
        let mut last = Draft::new(stream::import(id), now(), imported);
        last.import = Some(id);
        last.key = Some(format!("import:{id}#0"));
        drafts.push(last);
        let author = author.through(request.format.name());
        self.record_in_parts(&author, drafts, terms, &|_| {})?;
        Ok(report)
    }

    /// Warnings as they are kept with the import: sealed where they are about somebody's portfolio.
    fn kept_warnings(
        &self,
        portfolio: Option<PortfolioId>,
        warnings: &[String],
    ) -> Result<Vec<Words>, JournalError> {
        warnings.iter().map(|text| self.words(portfolio, "file", &shorten(text))).collect()
    }

    /// Declares that nothing an import brought ever happened.
    pub(crate) fn revert_import(
        &self,
        author: &Author,
        id: ImportId,
        reason: Option<&str>,
        terms: impl Into<Terms>,
    ) -> Result<u64, JournalError> {
        let terms = terms.into();
        let _one_at_a_time = self.importing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sequence) = self.done_before(terms.commit_key.as_ref())? {
            return Ok(sequence);
        }
        let state = {
            let library = self.library()?;
            let import = library.imports.get(id);
            let portfolio = import.and_then(|import| import.file.as_ref()).and_then(|file| file.portfolio);
            import.map(|import| (import.state(library.applied()), portfolio))
        };
        let portfolio = match state {
            None => return Err(JournalError::not_found("import", id)),
            Some((ImportState::Reverted, _)) => {
                return Err(JournalError::Conflict {
                    detail: format!("import {id} is reverted already"),
                    sequence: None,
                });
            }
            Some((ImportState::Pending | ImportState::Visible, portfolio)) => portfolio,
        };
        let reason = reason.map(|text| self.words(portfolio, "reason", text)).transpose()?;
        let mut draft = Draft::new(stream::import(id), now(), ImportReverted { import: id, reason });
        draft.key = Some(format!("reversion:{id}#0"));
        let recorded = self.record(author, vec![draft], terms)?;
        Ok(recorded.sequences.first().copied().unwrap_or(0))
    }
}

/// The id of an attempt at importing a file by a version of its importer, each after the one before it was reverted.
fn attempt_id(request: &ImportRequest<'_>, version: u16, file_hash: ContentHash, attempt: u32) -> ImportId {
    ImportId::derive(&[
        &request.portfolio.map_or([0; 16], |id| *id.as_bytes()),
        request.format.name().as_bytes(),
        &version.to_le_bytes(),
        format!("{:?}", request.prices).as_bytes(),
        &file_hash.0,
        &attempt.to_le_bytes(),
    ])
}

/// A warning as it is kept: its file's name is kept once, sealed.
fn without_file(warning: &importers::Warning) -> String {
    let line = warning.line.map(|line| format!("line {line}: ")).unwrap_or_default();
    let column = warning.column.as_ref().map(|column| format!("`{column}`: ")).unwrap_or_default();
    format!("{line}{column}{}", warning.text)
}

/// A price that is stated again says that it is.
pub(super) fn restate(event: &mut Event, revision: u32) {
    match event {
        Event::BarClosed(bar) => bar.revision = revision,
        Event::FxRateObserved(rate) => rate.revision = revision,
        Event::CorporateActionAnnounced(action) => action.revision = revision,
        _ => {}
    }
}

fn seal_name(keys: &KeyRing, key: KeyId, name: &str) -> Option<Sealed<String>> {
    Sealed::seal(keys, key, &shorten(name)).ok()
}

fn shorten(text: &str) -> String {
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Access, FeedBatch, FeedRow, Moment, NewPortfolio, Opening, PortfolioView, Statement};
    use super::*;
    use crate::importers::alpaca::{Binding, Extras, Row, What, activities};
    use daybook_schemas::events::{Calendar, FxRateObserved, LotMethod};
    use daybook_schemas::{FxRate, Zone};
    use serde_json::{Value, json};

    const ACCOUNT: &str = "c0ffee00-0000-4000-8000-000000000001";

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

        fn file(&self, rows: &[Value]) -> ImportReport {
            let bytes = Value::from(rows.to_vec()).to_string();
            let request = ImportRequest {
                format: Format::Alpaca,
                file_name: "a.json",
                bytes: bytes.as_bytes(),
                portfolio: Some(self.portfolio),
                prices: PriceOptions::default(),
                dry_run: false,
            };
            self.journal.import(&Author::operator(), &request, None, &|_, _| {}).unwrap()
        }

        /// What the synchronisation does with the same rows: how many events are new.
        fn feed(&self, rows: &[Value]) -> u64 {
            let facts = self.journal.portfolio_facts(self.portfolio).unwrap();
            let context = self.journal.import_context().unwrap();
            let texts: Vec<String> = rows.iter().map(ToString::to_string).collect();
            let rows: Vec<Row<'_>> = texts.iter().map(|text| Row { text, line: 0 }).collect();
            let today = Day::parse("2024-06-03").unwrap();
            let binding = Binding { account: Some(ACCOUNT.to_owned()), label: "alpaca".to_owned(), today };
            let translated = activities(&rows, &binding, &facts, &context, &Extras::NONE).unwrap();
            let rows = translated.rows.into_iter().map(|row| FeedRow {
                identity: row.identity,
                aliases: row.aliases,
                content_hash: row.content_hash,
                statement: match row.what {
                    What::Event(draft) => Statement::Event(draft),
                    What::Cancel => Statement::Withdrawn,
                    What::CancelOf(identity) => Statement::Withdraws(vec![identity]),
                    What::Quarantine(draft) => Statement::Aside(draft),
                },
            });
            let batch = FeedBatch {
                portfolio: Some(self.portfolio),
                references: translated.references,
                rows: rows.collect(),
                ..FeedBatch::default()
            };
            let author = Author::operator().through("alpaca");
            self.journal.record_batch(&author, &batch).unwrap().appended()
        }

        fn cash(&self) -> String {
            let cash = |view: &PortfolioView<'_>| Ok(format!("{:?}", view.summary().cash));
            self.journal.portfolio(self.portfolio, &Moment::default(), cash).unwrap()
        }
    }

    fn row(id: &str, more: &Value) -> Value {
        let mut row = json!({
            "activity_type": "CSD", "id": format!("20240603000000000::{id}"), "date": "2024-06-03",
            "net_amount": "5", "status": "executed",
        });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    }

    #[test]
    fn a_file_whose_import_was_interrupted_is_not_taken_for_one_that_somebody_took_back() {
        let stage = Stage::new();
        let bytes = json!([row("a", &json!({}))]).to_string();
        let request = ImportRequest {
            format: Format::Alpaca,
            file_name: "a.json",
            bytes: bytes.as_bytes(),
            portfolio: Some(stage.portfolio),
            prices: PriceOptions::default(),
            dry_run: false,
        };
        let standing = || stage.journal.standing_import(&request).unwrap();
        let own = attempt_id(&request, request.format.importer_version(), ContentHash::of(request.bytes), 0);
        // One row of it was recorded, and the import of another file took it back.
        let rate = FxRateObserved {
            base: Currency::parse("EUR").unwrap(),
            quote: Currency::USD,
            rate: FxRate::new(2.into()),
            day: None,
            revision: 0,
        };
        let mut draft = Draft::new("market-test-EURUSD".to_owned(), now(), rate);
        draft.import = Some(own);
        stage.journal.record(&Author::operator(), vec![draft], Terms::default()).unwrap();
        assert_eq!(standing(), None);
        stage.file(&[row("b", &json!({}))]);
        assert_eq!(stage.journal.library().unwrap().imports.interrupted().count(), 0);
        assert_eq!(standing(), None);
        let import = stage.file(&[row("a", &json!({}))]).import.unwrap();
        assert_eq!(standing(), Some(ImportState::Visible));
        stage.journal.revert_import(&Author::operator(), import, None, None).unwrap();
        assert_eq!(standing(), Some(ImportState::Reverted));
        stage.file(&[row("a", &json!({}))]);
        assert_eq!(standing(), Some(ImportState::Visible), "somebody brought it in again");
    }

    #[test]
    fn a_file_and_a_synchronisation_never_book_a_row_twice() {
        let plain = [row("a", &json!({})), row("b", &json!({}))];
        let stated: Vec<Value> = plain
            .iter()
            .map(|row| {
                let mut row = row.clone();
                row["account_id"] = json!(ACCOUNT);
                row
            })
            .collect();
        for file in [&plain[..], &stated] {
            let stage = Stage::new();
            stage.file(file);
            assert_eq!(stage.feed(&plain[..0]), 0);
            let before = stage.cash();
            stage.feed(&plain);
            assert_eq!(stage.cash(), before, "the file came first");

            let stage = Stage::new();
            stage.feed(&plain);
            assert_eq!(stage.cash(), before);
            assert_eq!(stage.file(file).known, 2, "the synchronisation came first");
            assert_eq!(stage.cash(), before);
        }
    }

    #[test]
    fn a_file_agrees_with_what_a_synchronisation_amended_or_withdrew() {
        let old = [row("a", &json!({})), row("b", &json!({}))];
        let new = [
            row("a", &json!({ "net_amount": "7", "status": "correct" })),
            row("b", &json!({ "status": "canceled" })),
        ];
        let stage = Stage::new();
        stage.feed(&old);
        assert!(stage.feed(&new) > 0);
        let cash = stage.cash();
        for rows in [&old, &new] {
            let report = stage.file(rows);
            assert_eq!((report.known, report.quarantined.len()), (2, 0), "{rows:?}");
            assert_eq!(stage.cash(), cash);
        }
        assert_eq!(stage.feed(&new), 0);
    }

    #[test]
    fn what_a_synchronisation_kept_aside_does_not_keep_a_file_from_understanding_it() {
        let stage = Stage::new();
        assert!(stage.feed(&[row("a", &json!({ "net_amount": null }))]) > 0);
        let nothing = stage.cash();
        let report = stage.file(&[row("a", &json!({}))]);
        assert_eq!((report.known, report.quarantined.len()), (0, 0));
        assert_ne!(stage.cash(), nothing);
        let cash = stage.cash();
        stage.feed(&[row("a", &json!({}))]);
        assert_eq!(stage.cash(), cash);
    }
}
