//! Summaries as they were answered last: served again for as long as nothing that they depend on changes, and worked
//! out once for everybody who waits.
//!
//! An answer is kept as bytes with a gap for the ledger's head, because the head moves with every event and the figures
//! with few of them. Whether it still stands is asked of the journal, which answers without waiting for anybody; so a
//! read neither leaves its thread nor waits for a lock. Where figures take longer to work out than a reader has
//! patience, the last ones are answered, under the head that they are known to reflect.

use super::answer::{Question, Tag};
use super::portfolios;
use super::precondition::Standing;
use super::problem::Problem;
use super::service::Service;
use crate::journal::Basis;
use daybook_schemas::PortfolioId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// The most bytes of all answers that are kept; beyond it those unused for longest are given up.
const BYTES_MAX: usize = 64 << 20;
/// What is kept beside an answer's bytes, about.
const OVERHEAD: usize = 512;

/// A portfolio's present summary, under a head that it reflects.
pub(super) struct Summary {
    answer: Arc<Answer>,
    sequence: u64,
}

impl Summary {
    /// Its tag. The figures tell it from others, and what `If-Match` compares; the ledger's head does not count.
    pub(super) fn tag(&self, question: &Question) -> Tag {
        question.tag_of(&self.answer.figures.standing, &self.answer.digest)
    }

    /// The JSON, as it is sent.
    pub(super) fn json(&self) -> Vec<u8> {
        portfolios::with_head(&self.answer.figures.members, self.sequence)
    }
}

/// A portfolio's present figures, and what they are worked out from.
pub(super) struct Figures {
    /// The summary as JSON, but for the head that it reflects.
    pub(super) members: Box<[u8]>,
    /// What writes to the portfolio compete for, as the figures saw it.
    pub(super) standing: Standing,
    /// What the figures depend on.
    pub(super) basis: Basis,
}

/// Figures with a gap for the ledger's head.
struct Answer {
    figures: Figures,
    digest: [u64; 4],
    /// The highest sequence at which it was seen to stand.
    stood: AtomicU64,
}

/// How the work on an answer stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    UnderWay,
    Done,
    Failed,
}

/// The place of one portfolio's answer.
#[derive(Default)]
struct Slot {
    answer: RwLock<Option<Arc<Answer>>>,
    work: Mutex<Option<watch::Receiver<Work>>>,
    used: AtomicU64,
}

/// The answers of portfolios.
#[derive(Default)]
pub(super) struct Published {
    held: RwLock<Held>,
    uses: AtomicU64,
}

#[derive(Default)]
struct Held {
    slots: HashMap<PortfolioId, Arc<Slot>>,
    bytes: usize,
}

impl Answer {
    fn new(figures: Figures) -> Self {
        let mut digest = [0; 4];
        let hash = blake3::hash(&figures.members);
        for (word, bytes) in digest.iter_mut().zip(hash.as_bytes().as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let stood = AtomicU64::new(figures.basis.reflects);
        Self { figures, digest, stood }
    }

    /// The answer under a head that it reflects.
    fn under(self: Arc<Self>, sequence: u64) -> Summary {
        self.stood.fetch_max(sequence, Ordering::Relaxed);
        Summary { answer: self, sequence }
    }

    fn size(&self) -> usize {
        self.figures.members.len() + OVERHEAD
    }
}

impl Slot {
    fn answer(&self) -> Option<Arc<Answer>> {
        self.answer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Published {
    /// A portfolio's present summary.
    ///
    /// It reflects whatever was recorded when it was asked for; where that takes too long to work out, it is the last one.
    pub(super) async fn summary(
        self: &Arc<Self>,
        service: &Service,
        id: PortfolioId,
    ) -> Result<Summary, Problem> {
        let asked = service.journal().acknowledged();
        let slot = self.held.read().unwrap_or_else(PoisonError::into_inner).slots.get(&id).cloned();
        if let Some(slot) = slot
            && let Some(answer) = slot.answer()
            && let Some(sequence) = service.journal().stands(id, &answer.figures.basis)
        {
            slot.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
            return Ok(answer.under(sequence));
        }
        self.awaited(service, id, asked).await
    }

    async fn awaited(
        self: &Arc<Self>,
        service: &Service,
        id: PortfolioId,
        asked: u64,
    ) -> Result<Summary, Problem> {
        let deadline = Instant::now() + service.config.patience;
        let slot = {
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(held.slots.entry(id).or_default())
        };
        slot.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        loop {
            let last = slot.answer();
            let mut work = self.work(&slot, service, id);
            let ended = work.wait_for(|work| *work != Work::UnderWay);
            let ended = match &last {
                None => ended.await,
                Some(last) => match timeout_at(deadline, ended).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        let stood = last.stood.load(Ordering::Relaxed);
                        return Ok(Arc::clone(last).under(stood));
                    }
                },
            };
            let is_done = ended.is_ok_and(|work| *work == Work::Done);
            match slot.answer().filter(|_| is_done) {
                // It may be superseded already, but by nothing that was recorded when the reader asked.
                Some(answer) if answer.figures.basis.reflects >= asked => {
                    let reflects = answer.figures.basis.reflects;
                    return Ok(answer.under(reflects));
                }
                Some(answer) => {
                    if let Some(sequence) = service.journal().stands(id, &answer.figures.basis) {
                        return Ok(answer.under(sequence));
                    }
                }
                None => {
                    self.give_up(id, &slot);
                    let figures =
                        service.blocking(move |journal| Ok(portfolios::figures(journal, id)?)).await?;
                    let reflects = figures.basis.reflects;
                    return Ok(Arc::new(Answer::new(figures)).under(reflects));
                }
            }
        }
    }

    /// Starts to work an answer out anew, unless that is under way already.
    fn work(self: &Arc<Self>, slot: &Arc<Slot>, service: &Service, id: PortfolioId) -> watch::Receiver<Work> {
        let mut work = slot.work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(work) = work.as_ref()
            && *work.borrow() == Work::UnderWay
            && work.has_changed().is_ok()
        {
            return work.clone();
        }
        let (tell, told) = watch::channel(Work::UnderWay);
        *work = Some(told.clone());
        let (published, slot, service) = (Arc::clone(self), Arc::clone(slot), service.clone());
        // It is for all who wait, so it has no caller's reach; each of them was asked for theirs.
        tokio::task::spawn_blocking(move || {
            let made = portfolios::figures(service.journal(), id);
            tell.send_replace(match made {
                Ok(figures) => {
                    published.keep(id, &slot, Answer::new(figures));
                    Work::Done
                }
                Err(_) => Work::Failed,
            });
        });
        told
    }

    /// Keeps an answer, and gives up those unused for longest while all of them together are over the bound.
    fn keep(&self, id: PortfolioId, slot: &Arc<Slot>, answer: Answer) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let size = answer.size();
        let before = slot.answer.write().unwrap_or_else(PoisonError::into_inner).replace(Arc::new(answer));
        // It may have been given up while it was worked out.
        if !held.slots.get(&id).is_some_and(|held| Arc::ptr_eq(held, slot)) {
            return;
        }
        held.bytes = held.bytes + size - before.map_or(0, |before| before.size());
        if held.bytes <= BYTES_MAX {
            return;
        }
        let mut oldest: Vec<(u64, PortfolioId)> =
            held.slots.iter().map(|(id, slot)| (slot.used.load(Ordering::Relaxed), *id)).collect();
        oldest.sort_unstable();
        for (_, old) in oldest {
            if held.bytes <= BYTES_MAX / 4 * 3 {
                break;
            }
            if old != id {
                held.remove(old);
            }
        }
    }

    /// Gives up an answer that cannot be worked out.
    fn give_up(&self, id: PortfolioId, slot: &Arc<Slot>) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.slots.get(&id).is_some_and(|held| Arc::ptr_eq(held, slot)) {
            held.remove(id);
        }
    }
}

impl Held {
    fn remove(&mut self, id: PortfolioId) {
        if let Some(slot) = self.slots.remove(&id) {
            self.bytes -= slot.answer().map_or(0, |answer| answer.size());
        }
    }
}
