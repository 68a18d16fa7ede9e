//! Which imports of files there are, and from when until when their events count.

use crate::view::Meta;
use daybook_schemas::events::FileImported;
use daybook_schemas::{Event, ImportId, PortfolioId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where an import stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ImportState {
    /// Some of its events are recorded, its end is not: none of them counts.
    Pending,
    /// Its events count.
    Visible,
    /// Its events never happened.
    Reverted,
}

/// An import of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Import {
    /// The import.
    pub id: ImportId,
    /// The first event that carries its id.
    pub first_sequence: u64,
    /// How many events carry its id.
    pub events: u64,
    /// The sequence from which on its events count.
    pub visible_from: Option<u64>,
    /// When that was recorded.
    pub imported_at: Option<Timestamp>,
    /// The sequence from which on they count no more.
    pub reverted_from: Option<u64>,
    /// What was said of the file.
    pub file: Option<FileImported>,
}

impl Import {
    /// Where it stands, of what is recorded up to `known`.
    #[must_use]
    pub fn state(&self, known: u64) -> ImportState {
        if self.reverted_from.is_some_and(|sequence| sequence <= known) {
            ImportState::Reverted
        } else if self.visible_from.is_some_and(|sequence| sequence <= known) {
            ImportState::Visible
        } else {
            ImportState::Pending
        }
    }
}

/// All imports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imports {
    imports: BTreeMap<ImportId, Import>,
    /// Of each portfolio, the last event that made one of its files visible or reverted it.
    changed: BTreeMap<PortfolioId, u64>,
    reverts: u64,
    changed_at: u64,
}

impl Imports {
    /// Whether an event concerns an import: the others need not be taken in.
    pub(super) fn concerns(meta: &Meta, event: &Event) -> bool {
        meta.import.is_some() || matches!(event, Event::FileImported(_) | Event::ImportReverted(_))
    }

    /// Takes in an event: one that carries an import's id, one that ends an import, one that reverts it.
    pub fn apply(&mut self, meta: &Meta, event: &Event) {
        match event {
            Event::FileImported(file) => {
                let import = self.touch(file.import, meta.sequence);
                if import.visible_from.is_none() {
                    import.visible_from = Some(meta.sequence);
                    import.imported_at = Some(meta.recorded_at);
                    import.file = Some(file.clone());
                    self.changed_at = meta.sequence;
                    self.changed.extend(file.portfolio.map(|portfolio| (portfolio, meta.sequence)));
                }
            }
            Event::ImportReverted(revert) => {
                let import = self.touch(revert.import, meta.sequence);
                if import.reverted_from.is_none() {
                    import.reverted_from = Some(meta.sequence);
                    let portfolio = import.file.as_ref().and_then(|file| file.portfolio);
                    self.reverts += 1;
                    self.changed_at = meta.sequence;
                    self.changed.extend(portfolio.map(|portfolio| (portfolio, meta.sequence)));
                }
            }
            _ => {
                if let Some(id) = meta.import {
                    self.touch(id, meta.sequence).events += 1;
                }
            }
        }
    }

    fn touch(&mut self, id: ImportId, sequence: u64) -> &mut Import {
        self.imports.entry(id).or_insert_with(|| Import {
            id,
            first_sequence: sequence,
            events: 0,
            visible_from: None,
            imported_at: None,
            reverted_from: None,
            file: None,
        })
    }

    /// An import by its id.
    #[must_use]
    pub fn get(&self, id: ImportId) -> Option<&Import> {
        self.imports.get(&id)
    }

    /// All imports, by id; ids sort by age.
    pub fn list(&self) -> impl DoubleEndedIterator<Item = &Import> {
        self.imports.values()
    }

    /// Whether the events of an import count, of what is recorded up to `known`.
    #[must_use]
    pub fn visible(&self, id: ImportId, known: u64) -> bool {
        self.imports.get(&id).is_some_and(|import| import.state(known) == ImportState::Visible)
    }

    /// Whether an event counts: it came with no import, or with one whose events count.
    #[must_use]
    pub fn counts(&self, import: Option<ImportId>, known: u64) -> bool {
        import.is_none_or(|id| self.visible(id, known))
    }

    /// Imports that began and neither ended nor were reverted: a crash or a failure cut them short.
    pub fn interrupted(&self) -> impl Iterator<Item = &Import> {
        self.imports.values().filter(|import| import.state(u64::MAX) == ImportState::Pending)
    }

    /// How many imports were ever reverted.
    #[must_use]
    pub fn reverts(&self) -> u64 {
        self.reverts
    }

    /// The sequence of the last event that made a file of a portfolio visible or reverted it; 0 for none.
    #[must_use]
    pub fn changed_at_of(&self, portfolio: PortfolioId) -> u64 {
        self.changed.get(&portfolio).copied().unwrap_or(0)
    }

    /// The sequence of the last event that made an import visible or reverted it; 0 for none.
    #[must_use]
    pub fn changed_at(&self) -> u64 {
        self.changed_at
    }
}
