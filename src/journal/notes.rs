//! What is written of trades: plans and annotations, recorded and read back.

use super::access::id_parts;
use super::entry::{decode, meta};
use super::{Author, Draft, Journal, JournalError, Terms, now};
use daybook_ledger::Direction;
use daybook_projections::{AsOf, Notebook, Noted};
use daybook_schemas::events::{Reference, TradeAnnotated, TradePlanned};
use daybook_schemas::{EventType, PlanId, PortfolioId, Sealed, stream};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Entries that all notebooks at hand may hold together; beyond it they are read anew.
const ENTRIES_MAX: usize = 200_000;

/// The notebooks that were asked for, each brought up to date from its portfolio's stream.
#[derive(Default)]
pub(super) struct Notebooks {
    slots: Mutex<HashMap<PortfolioId, Arc<Mutex<Kept>>>>,
    entries: AtomicUsize,
}

impl Notebooks {
    fn slot(&self, portfolio: PortfolioId) -> Arc<Mutex<Kept>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(portfolio).or_default().clone()
    }

    /// Counts entries that were read, and puts all notebooks away where they became too many.
    fn grown(&self, entries: usize) {
        if self.entries.fetch_add(entries, Ordering::Relaxed) + entries > ENTRIES_MAX {
            self.slots.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.entries.store(0, Ordering::Relaxed);
        }
    }
}

#[derive(Clone, Default)]
struct Kept {
    version: u64,
    notebook: Arc<Notebook>,
    /// What the keys that annotations name stand for.
    keys: BTreeMap<Box<str>, u64>,
}

/// An annotation and the fill that it hangs on now.
#[derive(Clone, Debug)]
pub(crate) struct Annotation {
    /// What was written.
    pub(crate) noted: Arc<Noted<TradeAnnotated>>,
    /// The fill; none if nothing is recorded under what it names.
    pub(crate) anchor: Option<u64>,
}

/// A plan and the fills that follow it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// What was planned.
    pub(crate) noted: Arc<Noted<TradePlanned>>,
    /// The fills.
    pub(crate) fills: Vec<u64>,
}

/// What is to be written of a trade.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewAnnotation {
    /// Tags to have from now on.
    pub(crate) tags: Vec<String>,
    /// The way of trading.
    pub(crate) strategy: Option<String>,
    /// The setup.
    pub(crate) setup: Option<String>,
    /// Mistakes, in the trader's words.
    pub(crate) mistakes: Vec<String>,
    /// 1 to 5.
    pub(crate) rating: Option<u8>,
    /// The trader's words; they are sealed.
    pub(crate) note: Option<String>,
}

impl Journal {
    fn notebook(&self, portfolio: PortfolioId) -> Result<Kept, JournalError> {
        let slot = self.notebooks.slot(portfolio);
        let mut kept = slot.lock().unwrap_or_else(PoisonError::into_inner);
        // What meets an error half-way is read anew.
        let mut current = std::mem::take(&mut *kept);
        let held = current.notebook.entries();
        let notebook = Arc::make_mut(&mut current.notebook);
        let (mut fault, version) = (None, &mut current.version);
        self.ledger.scan_stream(
            &stream::portfolio(portfolio),
            *version + 1,
            usize::MAX,
            Direction::Forward,
            &mut |record| {
                if EventType::from_id(record.type_id).is_some_and(Notebook::takes) {
                    match decode(record) {
                        Ok(event) => notebook.apply(&meta(record), record.actor, &event),
                        Err(error) => {
                            fault = Some(error);
                            return ControlFlow::Break(());
                        }
                    }
                }
                *version = record.version;
                ControlFlow::Continue(())
            },
        )?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        *kept = current.clone();
        drop(kept);
        self.notebooks.grown(current.notebook.entries().saturating_sub(held));
        Ok(current)
    }

    /// What was written of a portfolio's trades by a moment, as far as was known at a sequence, in the order of the log.
    pub(crate) fn annotations(
        &self,
        portfolio: PortfolioId,
        as_of: AsOf,
        known: u64,
    ) -> Result<Vec<Annotation>, JournalError> {
        let zone = self.portfolio_facts(portfolio)?.zone;
        let mut kept = self.notebook(portfolio)?;
        let mut fault = None;
        let looked_up = kept.keys.len();
        let mut find = |reference: &Reference| {
            let Reference::Key(key) = reference else { return None };
            if let Some(sequence) = kept.keys.get(key) {
                return Some(*sequence);
            }
            let found = self.ledger.find_key(key).unwrap_or_else(|error| {
                fault = Some(error);
                None
            })?;
            kept.keys.insert(key.clone(), found);
            Some(found)
        };
        let seen = kept.notebook.annotations().iter().filter(|noted| noted.is_seen(as_of, zone, known));
        let all = seen
            .map(|noted| Annotation {
                noted: Arc::clone(noted),
                anchor: kept.notebook.anchor(&noted.said, known, &mut find),
            })
            .collect();
        if let Some(fault) = fault {
            return Err(fault.into());
        }
        if kept.keys.len() > looked_up {
            let slot = self.notebooks.slot(portfolio);
            slot.lock().unwrap_or_else(PoisonError::into_inner).keys.append(&mut kept.keys);
        }
        Ok(all)
    }

    /// The plans of a portfolio by a moment, as far as was known at a sequence, in the order of the log.
    pub(crate) fn plans(
        &self,
        portfolio: PortfolioId,
        as_of: AsOf,
        known: u64,
    ) -> Result<Vec<Plan>, JournalError> {
        let zone = self.portfolio_facts(portfolio)?.zone;
        let kept = self.notebook(portfolio)?;
        let library = self.library()?;
        let seen = kept.notebook.plans().iter().filter(|noted| noted.is_seen(as_of, zone, known));
        Ok(seen
            .map(|noted| Plan {
                noted: Arc::clone(noted),
                fills: kept.notebook.fills(noted.said.plan, &library.imports, known),
            })
            .collect())
    }

    /// Records what somebody writes of a trade, by one of its fills.
    pub(crate) fn annotate(
        &self,
        author: &Author,
        portfolio: PortfolioId,
        fill: u64,
        new: NewAnnotation,
        terms: Terms,
    ) -> Result<u64, JournalError> {
        if let Some(sequence) = self.done_before(terms.commit_key.as_ref())? {
            return Ok(sequence);
        }
        let annotated = TradeAnnotated {
            anchor: Reference::Sequence(fill),
            tags: new.tags.into_iter().map(Into::into).collect(),
            strategy: new.strategy.map(daybook_schemas::Strategy::new),
            setup: new.setup.map(Into::into),
            mistakes: new.mistakes.into_iter().map(Into::into).collect(),
            rating: new.rating,
            note: self.sealed_note(portfolio, new.note)?,
            attachments: Vec::new(),
        };
        let draft = Draft::new(stream::portfolio(portfolio), now(), annotated);
        let recorded = self.record(author, vec![draft], terms)?;
        Ok(recorded.sequences.first().copied().unwrap_or(0))
    }

    /// A new plan's id.
    pub(crate) fn new_plan_id() -> Result<PlanId, JournalError> {
        let (milliseconds, bytes) = id_parts()?;
        Ok(PlanId::new(milliseconds, bytes))
    }

    /// Records what somebody plans to trade.
    pub(crate) fn plan(
        &self,
        author: &Author,
        portfolio: PortfolioId,
        mut planned: TradePlanned,
        note: Option<String>,
        terms: Terms,
    ) -> Result<u64, JournalError> {
        if let Some(sequence) = self.done_before(terms.commit_key.as_ref())? {
            return Ok(sequence);
        }
        planned.note = self.sealed_note(portfolio, note)?;
        let draft = Draft::new(stream::portfolio(portfolio), now(), planned);
        let recorded = self.record(author, vec![draft], terms)?;
        Ok(recorded.sequences.first().copied().unwrap_or(0))
    }

    fn sealed_note(
        &self,
        portfolio: PortfolioId,
        note: Option<String>,
    ) -> Result<Option<Sealed<String>>, JournalError> {
        let Some(note) = note else { return Ok(None) };
        let key = self.portfolio_facts(portfolio)?.key;
        Sealed::seal(&self.keys(), key, &note)
            .map(Some)
            .map_err(|error| JournalError::field("note", error.to_string()))
    }
}
