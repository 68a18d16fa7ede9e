//! A store that keeps commits in memory, for tests, and that can be told to fail.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::watch;

use crate::store::{Body, CommitStore, Prepared, PutError, ReadError};

/// Bodies in memory.
#[derive(Debug)]
pub struct MemoryStore {
    bodies: RwLock<Vec<(u64, Arc<[u8]>)>>,
    head: watch::Sender<u64>,
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore { bodies: RwLock::default(), head: watch::Sender::new(0) }
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }
}

impl CommitStore for MemoryStore {
    fn head(&self) -> u64 {
        *self.head.borrow()
    }

    fn put(&self, seen: u64, commit: &mut Prepared) -> Result<u64, PutError> {
        let mut bodies = self.bodies.write().unwrap_or_else(PoisonError::into_inner);
        let head = self.head();
        if seen != head || commit.first_sequence != head + 1 {
            return Err(PutError::HeadMoved { head });
        }
        bodies.push((commit.first_sequence, Arc::from(commit.body())));
        self.head.send_replace(commit.last_sequence());
        Ok(commit.last_sequence())
    }

    fn scan(&self, from: u64, visit: &mut dyn FnMut(&Body<'_>) -> ControlFlow<()>) -> Result<(), ReadError> {
        let start = {
            let bodies = self.bodies.read().unwrap_or_else(PoisonError::into_inner);
            bodies.partition_point(|(first, _)| *first <= from).saturating_sub(1)
        };
        for place in start.. {
            let next = self.bodies.read().unwrap_or_else(PoisonError::into_inner).get(place).cloned();
            let Some((first, bytes)) = next else { return Ok(()) };
            let body = Body::parse(&bytes)
                .map_err(|error| ReadError::body(&error, PathBuf::from("memory"), place as u64, first))?;
            if body.last_sequence() >= from && visit(&body).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }
}

/// What a [`FaultyStore`] does with one put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutFault {
    /// Nothing is wrong.
    None,
    /// The disk is full: refused, nothing stored.
    NoSpace,
    /// The sync failed, and the commit was lost.
    LostWrite,
    /// The sync failed, but the commit was stored.
    StoredAnyway,
}

/// A store whose puts fail on a plan, in order; behind the plan's end nothing fails.
pub struct FaultyStore {
    inner: Arc<dyn CommitStore>,
    plan: Mutex<VecDeque<PutFault>>,
}

impl FaultyStore {
    /// Wraps a store.
    #[must_use]
    pub fn new(inner: Arc<dyn CommitStore>, plan: impl IntoIterator<Item = PutFault>) -> FaultyStore {
        FaultyStore { inner, plan: Mutex::new(plan.into_iter().collect()) }
    }
}

impl CommitStore for FaultyStore {
    fn head(&self) -> u64 {
        self.inner.head()
    }

    fn put(&self, seen: u64, commit: &mut Prepared) -> Result<u64, PutError> {
        let fault = self.plan.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match fault.unwrap_or(PutFault::None) {
            PutFault::None => self.inner.put(seen, commit),
            PutFault::NoSpace => Err(PutError::NoSpace),
            PutFault::LostWrite => Err(PutError::Indefinite { reason: "injected: write lost".into() }),
            PutFault::StoredAnyway => {
                self.inner.put(seen, commit)?;
                Err(PutError::Indefinite { reason: "injected: sync failed".into() })
            }
        }
    }

    fn scan(&self, from: u64, visit: &mut dyn FnMut(&Body<'_>) -> ControlFlow<()>) -> Result<(), ReadError> {
        self.inner.scan(from, visit)
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.inner.wake()
    }
}
