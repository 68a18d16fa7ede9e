//! What views keep between two questions, each with the heads that it rests on, within a bound.

use super::Volumes;
use crate::journal::{Journal, JournalError};
use daybook_projections::firm_views::Standing;
use daybook_projections::suitability::{Outcome, WeeklyReturns};
use daybook_projections::{Directory, Firm, Instruments, Library, Recommendations};
use daybook_schemas::{Currency, InstrumentId, PortfolioId, RecommendationId};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// The most standings that are kept: one takes some kilobytes.
const STANDINGS_MAX: usize = 8_192;
/// The most weekly histories that are kept: one takes up to twelve kilobytes.
const HISTORIES_MAX: usize = 8_192;
/// The most outcomes that are kept: one takes a hundred bytes.
const OUTCOMES_MAX: usize = 200_000;

/// Values by key, the older half of which is dropped when there are too many.
pub(super) struct Kept<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    most: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Kept<K, V> {
    fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        // What is asked for stays.
        let value = self.old.remove(key)?;
        self.put(key.clone(), value.clone());
        Some(value)
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.most / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

/// Where a portfolio stands, and what was traded in the period.
#[derive(Debug)]
pub(super) struct Stood {
    pub(super) standing: Arc<Standing>,
    pub(super) traded: Result<Volumes, String>,
}

/// What a standing is kept under: the portfolio, and a hash over the question and all heads that it rests on.
pub(super) type StandingKey = (PortfolioId, [u8; 32]);
/// Weekly returns by instrument, week and currency, and the head that they rest on.
pub(super) type HistoryKey = (InstrumentId, i32, Currency, u64);
/// An outcome, and the head that it rests on.
pub(super) type OutcomeKey = (RecommendationId, u64);

/// What is folded of the firm, copied so that a view is told without a lock.
#[derive(Clone)]
pub(super) struct Copied {
    pub(super) firm: Arc<Firm>,
    pub(super) recommendations: Arc<Recommendations>,
    pub(super) instruments: Arc<Instruments>,
    pub(super) directory: Arc<Directory>,
    applied: u64,
}

/// What views keep.
pub(in crate::journal) struct Desk {
    pub(super) standings: Mutex<Kept<StandingKey, Arc<Stood>>>,
    pub(super) histories: Mutex<Kept<HistoryKey, Arc<WeeklyReturns>>>,
    pub(super) outcomes: Mutex<Kept<OutcomeKey, Outcome>>,
    copied: Mutex<Option<Copied>>,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            standings: Mutex::new(Kept::new(STANDINGS_MAX)),
            histories: Mutex::new(Kept::new(HISTORIES_MAX)),
            outcomes: Mutex::new(Kept::new(OUTCOMES_MAX)),
            copied: Mutex::default(),
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Kept<K, V> {
    /// What is kept under a key, else what `make` gives, which is kept if it is to be; nobody waits while it is made.
    pub(super) fn or_make<E>(
        kept: &Mutex<Self>,
        key: K,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        let found = kept.lock().unwrap_or_else(PoisonError::into_inner).get(&key);
        if let Some(found) = found {
            return Ok(found);
        }
        let made = make()?;
        kept.lock().unwrap_or_else(PoisonError::into_inner).put(key, made.clone());
        Ok(made)
    }
}

impl Journal {
    /// What is folded of the firm, as it is now; copied anew only in those parts that changed.
    pub(super) fn copied(&self) -> Result<Copied, JournalError> {
        let kept = self.desk.copied.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let library = self.library()?;
        if let Some(kept) = &kept
            && kept.applied == library.applied()
        {
            return Ok(kept.clone());
        }
        let copied = copy(&library, kept.as_ref());
        drop(library);
        *self.desk.copied.lock().unwrap_or_else(PoisonError::into_inner) = Some(copied.clone());
        Ok(copied)
    }
}

fn copy(library: &Library, kept: Option<&Copied>) -> Copied {
    fn or_copy<T: Clone>(kept: Option<&Arc<T>>, head: impl Fn(&T) -> u64, now: &T) -> Arc<T> {
        let same = kept.filter(|kept| head(kept) == head(now));
        same.map_or_else(|| Arc::new(now.clone()), Arc::clone)
    }
    Copied {
        firm: or_copy(kept.map(|kept| &kept.firm), Firm::changed_at, &library.firm),
        recommendations: or_copy(
            kept.map(|kept| &kept.recommendations),
            Recommendations::changed_at,
            &library.recommendations,
        ),
        instruments: or_copy(
            kept.map(|kept| &kept.instruments),
            Instruments::changed_at,
            &library.instruments,
        ),
        directory: Arc::new(library.directory.clone()),
        applied: library.applied(),
    }
}
