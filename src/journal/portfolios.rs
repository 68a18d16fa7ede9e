//! Writing to portfolios: opening them, recording what a person states, and taking back what never happened.

use super::access::id_parts;
use super::firm::{Decision, Stated, sole_owner};
use super::imports::{Placement, PresentContext, Said, check_reach, reversal_key};
use super::{Author, Draft, Invalid, Journal, JournalError, Moment, Terms, decode, now};
use crate::importers::{self, Place, PortfolioFacts, Role, TransactionFields, invisible};
use daybook_ledger::CommitKey;
use daybook_schemas::events::{
    Calendar, ContentHash, EventReversed, LotMethod, PortfolioOpened, QuarantineResolution,
    QuarantineResolved, Words,
};
use daybook_schemas::{Currency, Event, KeyId, PartyId, PortfolioId, Sealed, Zone, stream};

/// The rank of what a person types without a time of day: after the rows of files on that day, and among each other in
/// the order they were recorded.
pub(super) const TYPED_RANK: u32 = u32::MAX;

/// A portfolio to be opened.
#[derive(Debug, Clone)]
pub(crate) struct NewPortfolio {
    /// Its name.
    pub(crate) name: String,
    /// The currency its figures are stated in.
    pub(crate) currency: Currency,
    /// How disposals relieve lots.
    pub(crate) lots: LotMethod,
    /// The zone that bounds its days.
    pub(crate) zone: Zone,
    /// The days of its series.
    pub(crate) calendar: Calendar,
    /// The client who owns it from today on; nobody yet, if not said.
    pub(crate) client: Option<PartyId>,
}

/// What became of a transaction.
#[derive(Debug, Clone)]
pub(crate) struct Transacted {
    /// The sequence of its event.
    pub(crate) sequence: u64,
    /// Whether it was recorded before.
    pub(crate) already: bool,
    /// What the writer should know.
    pub(crate) warnings: Vec<String>,
}

/// Whether a hash that is kept with a commit key is that of a request. Keys are kept for ever: those from before a
/// hash began with the operation's own eight bytes are compared by the bytes that both have.
pub(crate) fn is_same_request(kept: &[u8; 32], asked: &[u8; 32]) -> bool {
    kept == asked || kept[..24] == asked[8..]
}

/// The portfolio that a request opened.
fn opened_by(stated: &Stated) -> Result<PortfolioId, JournalError> {
    match &stated.event {
        Event::PortfolioOpened(opened) => Ok(opened.portfolio),
        _ => Err(JournalError::KeyReused { sequence: stated.sequence }),
    }
}

impl Journal {
    /// Opens a portfolio.
    #[expect(clippy::needless_pass_by_value, reason = "every write is handed the key of its commit")]
    pub(crate) fn open_portfolio(
        &self,
        author: &Author,
        new: &NewPortfolio,
        commit_key: Option<CommitKey>,
    ) -> Result<PortfolioId, JournalError> {
        let name = new.name.trim();
        if name.is_empty() || name.len() > 200 || name.chars().any(invisible::is) {
            return Err(JournalError::field("name", "a name has 1 to 200 bytes, all of them printable"));
        }
        if new.lots != LotMethod::Fifo {
            return Err(JournalError::field(
                "lots",
                format!("`{}` cannot be computed yet: use fifo", new.lots),
            ));
        }
        // The same request sent again must not draw a second key, so what it recorded is looked up before anything is made.
        if let Some(stated) = self.stated_before(commit_key.as_ref())? {
            return opened_by(&stated);
        }
        let (milliseconds, bytes) = id_parts()?;
        let id = PortfolioId::new(milliseconds, bytes);
        // What somebody owns is kept under their key; a portfolio that nobody owns yet has a key of its own.
        let key = new.client.map_or(KeyId::Portfolio(id), KeyId::Party);
        if new.client.is_none() {
            self.keys.ensure(key)?;
        }
        let stated = self.state(author, &Terms::from(commit_key.clone()), |library| {
            let owners = new.client.map(|client| sole_owner(library, client)).transpose()?;
            let opened = PortfolioOpened {
                portfolio: id,
                name: self.seal(key, "name", &name.to_owned())?,
                base_currency: new.currency,
                zone: new.zone,
                lot_method: new.lots.clone(),
                calendar: new.calendar.clone(),
            };
            let own = stream::portfolio(id);
            let mut drafts = vec![Draft::new(own.clone(), now(), opened)];
            drafts.extend(owners.map(|owners| Draft::new(own, now(), owners)));
            Ok(Decision::all(drafts).resting_on(new.client.map(stream::party)))
        })?;
        opened_by(&stated)
    }

    /// What importers need to know of a portfolio.
    pub(crate) fn portfolio_facts(&self, id: PortfolioId) -> Result<PortfolioFacts, JournalError> {
        let library = self.library()?;
        let portfolio = library.directory.get(id).ok_or_else(|| JournalError::not_found("portfolio", id))?;
        Ok(PortfolioFacts {
            id,
            base_currency: portfolio.base_currency,
            zone: portfolio.zone,
            key: portfolio.name.key(),
        })
    }

    /// Records a transaction that a person or a program states, by the generic CSV's rules.
    pub(crate) fn transact(
        &self,
        author: &Author,
        portfolio: PortfolioId,
        fields: &TransactionFields,
        terms: impl Into<Terms>,
    ) -> Result<Transacted, JournalError> {
        let terms = terms.into();
        if let Some(sequence) = self.done_before(terms.commit_key.as_ref())? {
            return Ok(Transacted { sequence, already: true, warnings: Vec::new() });
        }
        let facts = self.portfolio_facts(portfolio)?;
        let parsed = {
            let library = self.library()?;
            let keys = self.keys();
            let context = PresentContext { library: &library, keys: &keys };
            importers::transaction(fields, &facts, &context, Place { rank: TYPED_RANK, ..Place::default() })
        };
        let parsed = parsed.map_err(|faults| {
            JournalError::Invalid(
                faults
                    .into_iter()
                    .map(|fault| Invalid {
                        file: None,
                        line: None,
                        field: Some(fault.field.to_owned()),
                        detail: fault.text,
                    })
                    .collect(),
            )
        })?;
        let warnings = parsed.warnings.iter().map(ToString::to_string).collect();
        let mut drafts = Vec::with_capacity(parsed.drafts.len());
        for draft in parsed.drafts {
            check_reach(author, &draft)?;
            // Without an id of its own, equal transactions are two, and the Idempotency-Key tells a repetition.
            let placement = draft
                .identity
                .as_deref()
                .map(|identity| self.placement(identity, &draft.content_hash, None, Said::Typed))
                .transpose()?;
            // Reference data that is known stands; a transaction says nothing new of it.
            let known = placement.as_ref().is_some_and(|placement| !matches!(placement, Placement::New(_)));
            if draft.role == Role::Reference && known {
                continue;
            }
            let key =
                draft.identity.as_deref().zip(placement).map(|(identity, placement)| placement.key(identity));
            drafts.push(Draft {
                stream: draft.stream,
                occurred_at: draft.occurred_at,
                event: draft.event,
                content_hash: key.as_ref().map(|_| draft.content_hash),
                key,
                import: None,
            });
        }
        let recorded = self.record(author, drafts, terms)?;
        // References come first, the entry last.
        let sequence = recorded
            .sequences
            .last()
            .copied()
            .ok_or_else(|| JournalError::Internal("an append without a sequence".to_owned()))?;
        Ok(Transacted { sequence, already: recorded.already, warnings })
    }

    /// The last event of the commit that the same request made before; an error if the key belongs to another request.
    pub(super) fn done_before(&self, commit_key: Option<&CommitKey>) -> Result<Option<u64>, JournalError> {
        let Some(key) = commit_key else { return Ok(None) };
        let Some((earlier, content_hash)) = self.ledger().find_commit(&key.key)? else { return Ok(None) };
        let sequence = earlier.sequences.last().copied();
        if !is_same_request(&content_hash, &key.content_hash) {
            return Err(JournalError::KeyReused { sequence: sequence.unwrap_or(earlier.head) });
        }
        Ok(sequence)
    }

    /// Declares that an event never happened.
    pub(crate) fn reverse(
        &self,
        author: &Author,
        target: u64,
        reason: &str,
        terms: impl Into<Terms>,
    ) -> Result<u64, JournalError> {
        let terms = terms.into();
        let reason = reason.trim();
        if reason.is_empty() || reason.len() > 1_000 {
            return Err(JournalError::field("reason", "a reversal says why, in 1 to 1,000 bytes"));
        }
        if let Some(sequence) = self.done_before(terms.commit_key.as_ref())? {
            return Ok(sequence);
        }
        if self.library()?.firm.is_fact(target) {
            return Ok(self.reverse_fact(author, target, reason, &terms)?.sequence);
        }
        let record = self.event(target)?;
        let event = decode(&record.view())?;
        if event.entry().is_none() {
            return Err(JournalError::Invalid(vec![Invalid {
                file: None,
                line: None,
                field: None,
                detail: format!(
                    "event {target} is {}, which is neither an entry of an account nor a fact about the firm: only these can be reversed",
                    event.event_type().name()
                ),
            }]));
        }
        if let Some(import) = record.import {
            let import = daybook_schemas::ImportId::from_bytes(import);
            let library = self.library()?;
            if !library.imports.visible(import, library.applied()) {
                return Err(JournalError::Conflict {
                    detail: format!("event {target} is taken back already, with the whole import {import}"),
                    sequence: None,
                });
            }
        }
        let portfolio = stream::portfolio_of(&record.stream);
        if let Some(id) = portfolio
            && let Some(sequence) = self.reversed_by(id, target)?
        {
            return Err(JournalError::Conflict {
                detail: format!("event {target} is reversed already, by event {sequence}"),
                sequence: Some(sequence),
            });
        }
        let reason = self.words(portfolio, "reason", reason)?;
        let reversed = EventReversed { target, reason, replaced_by: None };
        let mut draft = Draft::new(record.stream.to_string(), now(), reversed);
        draft.key = Some(reversal_key(target));
        draft.content_hash = Some(ContentHash::of(&target.to_le_bytes()).0);
        let recorded = self.record(author, vec![draft], terms)?;
        let sequence = recorded.sequences.first().copied().unwrap_or(0);
        if recorded.already {
            return Err(JournalError::Conflict {
                detail: format!("event {target} is reversed already, by event {sequence}"),
                sequence: Some(sequence),
            });
        }
        Ok(sequence)
    }

    /// The event that reversed an entry of a portfolio, if one did.
    pub(super) fn reversed_by(
        &self,
        portfolio: PortfolioId,
        target: u64,
    ) -> Result<Option<u64>, JournalError> {
        self.portfolio(portfolio, &Moment::default(), |view| {
            let aside = view.book.entries_set_aside(&view.view, &view.library.imports);
            Ok(aside
                .into_iter()
                .find(|entry| entry.meta.sequence == target)
                .and_then(|entry| entry.reversed_by))
        })
    }

    /// Words sealed under the key of the portfolio that they are about; in clear where they are about none.
    pub(super) fn words(
        &self,
        portfolio: Option<PortfolioId>,
        field: &str,
        text: &str,
    ) -> Result<Words, JournalError> {
        let Some(id) = portfolio else { return Ok(Words::from(text)) };
        let key = self.portfolio_facts(id)?.key;
        Sealed::seal(&self.keys(), key, &text.to_owned())
            .map(Words::Sealed)
            .map_err(|error| JournalError::field(field, error.to_string()))
    }

    /// Says how a quarantined record was dealt with.
    pub(crate) fn resolve_quarantined(
        &self,
        author: &Author,
        target: u64,
        resolution: QuarantineResolution,
        note: Option<&str>,
        commit_key: Option<CommitKey>,
    ) -> Result<u64, JournalError> {
        if let Some(sequence) = self.done_before(commit_key.as_ref())? {
            return Ok(sequence);
        }
        let record = self.event(target)?;
        let Event::RecordQuarantined(quarantined) = decode(&record.view())? else {
            return Err(JournalError::not_found("quarantined record", target));
        };
        let note = note
            .map(|note| Sealed::seal(&self.keys(), quarantined.raw.key(), &note.to_owned()))
            .transpose()
            .map_err(|error| JournalError::field("note", error.to_string()))?;
        let resolved = QuarantineResolved { target, resolution, replaced_by: Vec::new(), note };
        let mut draft = Draft::new(record.stream.to_string(), now(), resolved);
        if self.library()?.quarantine.get(target).is_none_or(|item| item.resolved.is_some()) {
            return Err(JournalError::Conflict {
                detail: format!(
                    "the quarantined record {target} is dealt with already, or its import is reverted"
                ),
                sequence: None,
            });
        }
        draft.key = Some(format!("resolution:{target}#0"));
        let recorded = self.record(author, vec![draft], Terms { commit_key, ..Terms::default() })?;
        Ok(recorded.sequences.first().copied().unwrap_or(0))
    }
}
