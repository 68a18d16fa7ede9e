//! On which days tokens were used: noted as requests come, written down together, at most once for a token and a day.
//!
//! Noting is a look at a map, so that no request waits for it. What was noted is recorded a minute later at the latest, and
//! when the service ends; a process that is killed forgets at most that minute, and notes the next use again.

use super::{Author, Draft, Journal, JournalError, Terms, now};
use daybook_schemas::events::{AccessUsed, ContentHash};
use daybook_schemas::{Day, TokenId, Zone, stream};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError, RwLock};

/// The most tokens of which a use waits to be recorded; there are as many as tokens that are valid.
const WAITING_MAX: usize = 100_000;

/// Uses of tokens.
#[derive(Default)]
pub(super) struct Uses {
    /// The last day that was noted of each token.
    noted: RwLock<HashMap<TokenId, Day>>,
    /// What is not recorded yet.
    waiting: Mutex<BTreeSet<(TokenId, Day)>>,
}

impl Journal {
    /// Notes that a token was used now. It never waits for the disk.
    pub(crate) fn note_use(&self, token: TokenId) {
        let today = now().day_in(Zone::UTC);
        let noted = self.uses.noted.read().unwrap_or_else(PoisonError::into_inner).get(&token).copied();
        if noted == Some(today) || !self.writable {
            return;
        }
        let mut waiting = self.uses.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            return;
        }
        waiting.insert((token, today));
        drop(waiting);
        self.uses.noted.write().unwrap_or_else(PoisonError::into_inner).insert(token, today);
    }

    /// Records the uses that were noted since the last time, in one commit. What could not be recorded is kept for the
    /// next time.
    ///
    /// # Errors
    /// The ledger takes no writes.
    pub(crate) fn record_uses(&self) -> Result<(), JournalError> {
        let waiting = std::mem::take(&mut *self.uses.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let drafts: Vec<Draft> = {
            let library = self.library()?;
            let is_new = |(token, day): &&(TokenId, Day)| {
                library.access.get(*token).is_some_and(|grant| grant.last_used.is_none_or(|last| last < *day))
            };
            waiting.iter().filter(is_new).map(|(token, day)| used(*token, *day)).collect()
        };
        if drafts.is_empty() {
            return Ok(());
        }
        let author =
            Author { actor: "daybook".into(), source: "api".into(), correlation: None, reaches_all: true };
        let recorded = self.record(&author, drafts, Terms::default());
        if recorded.is_err() {
            self.uses.waiting.lock().unwrap_or_else(PoisonError::into_inner).extend(waiting);
        }
        recorded.map(drop)
    }
}

fn used(token: TokenId, on: Day) -> Draft {
    let key = format!("used:{token}:{on}#0");
    let mut draft = Draft::new(stream::ACCESS.to_owned(), now(), AccessUsed { token, on });
    // The same use has the same content whenever it is recorded.
    draft.content_hash = Some(ContentHash::of(key.as_bytes()).0);
    draft.key = Some(key);
    draft
}
