//! Summaries as they were answered last: served again for as long as nothing that they depend on changes, and worked
//! out once for everybody who waits.
//!
//! An answer is kept as bytes with a gap for the ledger's head, because the head moves with every event and the figures
//! with few of them. Whether it still stands is asked of the journal, which answers without waiting for anybody; so a
//! read neither leaves its thread nor waits for a lock. Where figures take longer to work out than a reader has
//! patience, the last ones are answered, under the head that they are known to reflect.

use super::access::Caller;
use super::answer::{Question, Tag};
use super::portfolios;
use super::precondition::Standing;
use super::problem::Problem;
use super::service::Service;
use crate::journal::{Basis, Journal};
use daybook_schemas::PortfolioId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

/// The most bytes of all answers that are kept; beyond it those unused for longest are given up.
const BYTES_MAX: usize = 64 << 20;
/// What is kept beside an answer's bytes, about.
const OVERHEAD: usize = 512;

/// Which summary is meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Wanted {
    /// The portfolio.
    pub(super) portfolio: PortfolioId,
    /// Whether it is shown in proportions, and no amount of it.
    pub(super) in_proportions: bool,
}

impl Wanted {
    /// The summary of a portfolio that a caller may see.
    pub(super) fn by(caller: &Caller, portfolio: PortfolioId) -> Self {
        Self { portfolio, in_proportions: caller.percentages_only() }
    }
}

/// What tells figures from others: a hash over all but the head that they reflect.
pub(super) type Digest = [u64; 4];

/// A portfolio's present summary, under a head that it reflects.
pub(super) struct Summary {
    answer: Arc<Answer>,
    sequence: u64,
}

impl Summary {
    /// The ledger's head that it reflects.
    pub(super) const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What tells its figures from others.
    pub(super) fn digest(&self) -> Digest {
        self.answer.digest
    }

    /// Its tag. The figures tell it from others, and what `If-Match` compares; the ledger's head does not count.
    pub(super) fn tag(&self, question: &Question) -> Tag {
        question.tag_of(&self.answer.figures.standing, &self.answer.digest)
    }

    /// The JSON, as it is sent: one line.
    pub(super) fn json(&self) -> String {
        portfolios::with_head(&self.answer.figures.members, self.sequence)
    }
}

/// A portfolio's present figures, and what they are worked out from.
pub(super) struct Figures {
    /// The summary as JSON, but for the head that it reflects.
    pub(super) members: Box<str>,
    /// What writes to the portfolio compete for, as the figures saw it.
    pub(super) standing: Standing,
    /// What the figures depend on.
    pub(super) basis: Basis,
}

/// Figures with a gap for the ledger's head.
struct Answer {
    figures: Figures,
    digest: Digest,
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

/// How a reader waits for figures that have to be worked out.
#[derive(Clone, Copy)]
enum Waiting<'a> {
    /// No longer than so, where there are earlier ones.
    Until(Instant),
    /// As long as it takes. For those who wait so, no more figures are worked out at once than there are turns.
    InTurn(&'a Arc<Semaphore>),
}

/// The place of one answer.
#[derive(Default)]
struct Slot {
    answer: RwLock<Option<Arc<Answer>>>,
    work: Mutex<Option<watch::Receiver<Work>>>,
    used: AtomicU64,
}

/// The answers that are kept.
#[derive(Default)]
pub(super) struct Published {
    held: RwLock<Held>,
    uses: AtomicU64,
}

#[derive(Default)]
struct Held {
    slots: HashMap<Wanted, Arc<Slot>>,
    bytes: usize,
}

impl Answer {
    fn new(figures: Figures) -> Self {
        let mut digest = [0; 4];
        let hash = blake3::hash(figures.members.as_bytes());
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

    /// The answer, if it stands and reflects at least what was asked for.
    fn current(&self, journal: &Journal, portfolio: PortfolioId, asked: u64) -> Option<Summary> {
        let answer = self.answer()?;
        let sequence = journal.stands(portfolio, &answer.figures.basis).filter(|stood| *stood >= asked)?;
        Some(answer.under(sequence))
    }

    /// The answer under an earlier head than the present one, if its figures are those of that head, too.
    fn under(&self, journal: &Journal, portfolio: PortfolioId, known: u64) -> Option<Summary> {
        let current = self.current(journal, portfolio, known)?;
        (current.answer.figures.basis.reflects <= known).then_some(Summary { sequence: known, ..current })
    }

    /// Whether the answer is being worked out.
    fn is_under_way(&self) -> bool {
        under_way(self.work.lock().unwrap_or_else(PoisonError::into_inner).as_ref()).is_some()
    }
}

/// The work, if it goes on: what panicked has ended, too.
fn under_way(work: Option<&watch::Receiver<Work>>) -> Option<&watch::Receiver<Work>> {
    work.filter(|work| *work.borrow() == Work::UnderWay && work.has_changed().is_ok())
}

impl Published {
    /// A portfolio's present summary.
    ///
    /// It reflects whatever was recorded when it was asked for; where that takes too long to work out, it is the last one.
    pub(super) async fn summary(
        self: &Arc<Self>,
        service: &Service,
        wanted: Wanted,
    ) -> Result<Summary, Problem> {
        let asked = service.journal().acknowledged();
        if let Some(kept) = self.kept(service, wanted, asked) {
            return Ok(kept);
        }
        let patience = Waiting::Until(Instant::now() + service.config.patience);
        self.awaited(service, wanted, asked, patience).await
    }

    /// A portfolio's present summary, if it is at hand and reflects at least what was asked for. Waits for nobody.
    pub(super) fn kept(&self, service: &Service, wanted: Wanted, asked: u64) -> Option<Summary> {
        let slot = self.held.read().unwrap_or_else(PoisonError::into_inner).slots.get(&wanted).cloned()?;
        let current = slot.current(service.journal(), wanted.portfolio, asked)?;
        self.used(&slot);
        Some(current)
    }

    /// A portfolio's present summary for one of the many who watch it: however long it takes, it reflects at least what was
    /// asked for.
    pub(super) async fn watched(
        self: &Arc<Self>,
        service: &Service,
        wanted: Wanted,
        asked: u64,
        turns: &Arc<Semaphore>,
    ) -> Result<Summary, Problem> {
        self.awaited(service, wanted, asked, Waiting::InTurn(turns)).await
    }

    /// A portfolio's summary under a head that other answers reflect as well, if it is the present one. What is worked out
    /// for it is kept. Blocks.
    pub(super) fn under(
        &self,
        journal: &Journal,
        wanted: Wanted,
        known: u64,
    ) -> Result<Option<Summary>, Problem> {
        let slot = self.slot(wanted);
        let kept = slot.under(journal, wanted.portfolio, known);
        if kept.is_some() || known < journal.acknowledged() {
            return Ok(kept);
        }
        self.keep(wanted, &slot, Answer::new(portfolios::figures(journal, wanted)?));
        Ok(slot.under(journal, wanted.portfolio, known))
    }

    /// The place of an answer, made if there is none.
    fn slot(&self, wanted: Wanted) -> Arc<Slot> {
        let slot = {
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(held.slots.entry(wanted).or_default())
        };
        self.used(&slot);
        slot
    }

    fn used(&self, slot: &Slot) {
        slot.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    async fn awaited(
        self: &Arc<Self>,
        service: &Service,
        wanted: Wanted,
        asked: u64,
        waiting: Waiting<'_>,
    ) -> Result<Summary, Problem> {
        let slot = self.slot(wanted);
        loop {
            let turn = match waiting {
                Waiting::InTurn(turns) if !slot.is_under_way() => {
                    Arc::clone(turns).acquire_owned().await.ok()
                }
                _ => None,
            };
            // Somebody else may have worked it out meanwhile.
            if let Some(current) = slot.current(service.journal(), wanted.portfolio, asked) {
                return Ok(current);
            }
            let last = slot.answer();
            let mut work = self.work(&slot, service, wanted, turn);
            let ended = work.wait_for(|work| *work != Work::UnderWay);
            let ended = match (&last, waiting) {
                (Some(last), Waiting::Until(deadline)) => match timeout_at(deadline, ended).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        let stood = last.stood.load(Ordering::Relaxed);
                        return Ok(Arc::clone(last).under(stood));
                    }
                },
                _ => ended.await,
            };
            let is_done = ended.is_ok_and(|work| *work == Work::Done);
            match slot.answer().filter(|_| is_done) {
                // It may be superseded already, but by nothing that was recorded when the reader asked.
                Some(answer) if answer.figures.basis.reflects >= asked => {
                    let reflects = answer.figures.basis.reflects;
                    return Ok(answer.under(reflects));
                }
                // It was begun before the reader asked.
                Some(_) => {}
                None => {
                    self.give_up(wanted, &slot);
                    let figures =
                        service.blocking(move |journal| Ok(portfolios::figures(journal, wanted)?)).await?;
                    let reflects = figures.basis.reflects;
                    return Ok(Arc::new(Answer::new(figures)).under(reflects));
                }
            }
        }
    }

    /// Starts to work an answer out anew, unless that is under way already. The turn is kept until it is done.
    fn work(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        service: &Service,
        wanted: Wanted,
        turn: Option<OwnedSemaphorePermit>,
    ) -> watch::Receiver<Work> {
        let mut work = slot.work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(work) = under_way(work.as_ref()) {
            return work.clone();
        }
        let (tell, told) = watch::channel(Work::UnderWay);
        *work = Some(told.clone());
        let (published, slot, service) = (Arc::clone(self), Arc::clone(slot), service.clone());
        // It is for all who wait, so it has no caller's reach; each of them was asked for theirs.
        tokio::task::spawn_blocking(move || {
            let made = portfolios::figures(service.journal(), wanted);
            drop(turn);
            tell.send_replace(match made {
                Ok(figures) => {
                    published.keep(wanted, &slot, Answer::new(figures));
                    Work::Done
                }
                Err(_) => Work::Failed,
            });
        });
        told
    }

    /// Keeps an answer, and gives up those unused for longest while all of them together are over the bound.
    fn keep(&self, wanted: Wanted, slot: &Arc<Slot>, answer: Answer) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let size = answer.size();
        let before = {
            let mut kept = slot.answer.write().unwrap_or_else(PoisonError::into_inner);
            // Two who work it out at once may end in the other order.
            let is_older = |kept: &Arc<Answer>| answer.figures.basis.reflects < kept.figures.basis.reflects;
            if kept.as_ref().is_some_and(is_older) {
                return;
            }
            kept.replace(Arc::new(answer))
        };
        // It may have been given up while it was worked out.
        if !held.slots.get(&wanted).is_some_and(|held| Arc::ptr_eq(held, slot)) {
            return;
        }
        held.bytes = held.bytes + size - before.map_or(0, |before| before.size());
        if held.bytes <= BYTES_MAX {
            return;
        }
        let mut oldest: Vec<(u64, Wanted)> =
            held.slots.iter().map(|(wanted, slot)| (slot.used.load(Ordering::Relaxed), *wanted)).collect();
        oldest.sort_unstable();
        for (_, old) in oldest {
            if held.bytes <= BYTES_MAX / 4 * 3 {
                break;
            }
            if old != wanted {
                held.remove(old);
            }
        }
    }

    /// Gives up an answer that cannot be worked out.
    fn give_up(&self, wanted: Wanted, slot: &Arc<Slot>) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.slots.get(&wanted).is_some_and(|held| Arc::ptr_eq(held, slot)) {
            held.remove(wanted);
        }
    }
}

impl Held {
    fn remove(&mut self, wanted: Wanted) {
        if let Some(slot) = self.slots.remove(&wanted) {
            self.bytes -= slot.answer().map_or(0, |answer| answer.size());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::page::Pin;
    use crate::api::tests::{Daybook, deposit};
    use daybook_projections::AsOf;
    use daybook_schemas::CorrelationId;

    #[tokio::test]
    async fn a_list_shows_what_is_kept_where_that_is_what_its_pin_sees_and_folds_anew_elsewhere() {
        let daybook = Daybook::new();
        let mine = daybook.portfolio("Mine").await;
        let first = daybook.transact(&mine, deposit("2024-01-02", "1")).await;
        daybook.transact(&mine, deposit("2024-01-02", "2")).await;
        let (journal, portfolio) = (&daybook.journal, mine.parse().unwrap());
        let principal = journal.authenticate(&daybook.administrator).unwrap().unwrap();
        let caller = Caller::new(principal, CorrelationId::from_bytes([1; 16]));
        let wanted = Wanted::by(&caller, portfolio);
        let published = Published::default();
        let shown = |known: u64, as_of: AsOf| {
            portfolios::summary_under(&published, journal, &caller, portfolio, Pin { known, as_of }).unwrap()
        };
        // What nobody would work out.
        let marked =
            Figures { members: "{\"marked\":true}".into(), ..portfolios::figures(journal, wanted).unwrap() };
        published.keep(wanted, &published.slot(wanted), Answer::new(marked));
        let head = daybook.head();
        let kept = |sequence: u64| format!("{{\"sequence\":{sequence},\"marked\":true}}");
        assert_eq!(shown(head, AsOf::ALWAYS), kept(head));
        daybook.portfolio("Other").await;
        // A list that was pinned earlier and one that is pinned now see the same of it.
        assert_eq!(shown(head, AsOf::ALWAYS), kept(head));
        assert_eq!(shown(daybook.head(), AsOf::ALWAYS), kept(daybook.head()));
        let today = AsOf::Day(crate::journal::today());
        for folded in [shown(first, AsOf::ALWAYS), shown(daybook.head(), today)] {
            assert!(!folded.contains("marked"), "{folded}");
        }
        daybook.transact(&mine, deposit("2024-01-02", "4")).await;
        let now = shown(daybook.head(), AsOf::ALWAYS);
        assert!(now.contains("\"net_contributions\":\"7\""), "{now}");
        // What was worked out for a list is kept for whoever reads next.
        let answer = published.slot(wanted).answer().unwrap();
        assert_eq!(with_sequence(&answer, daybook.head()), now);
    }

    fn with_sequence(answer: &Answer, sequence: u64) -> String {
        portfolios::with_head(&answer.figures.members, sequence)
    }
}
