//! Vouching for the log: the checkpoint that is given out, and evidence for single events.

use super::{Journal, JournalError};
use daybook_ledger::{Evidence, NotaryError, SignedCheckpoint, VerifierKey};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For how long a checkpoint that is behind the log is still given to whoever asks: they may be many and unknown, and
/// each new one is synced to the disk.
const FRESH: Duration = Duration::from_secs(1);

/// When a checkpoint was last signed because somebody asked.
#[derive(Default)]
pub(super) struct Pace(Mutex<Option<Instant>>);

impl Journal {
    /// The last checkpoint, of the durable head unless one was signed a moment ago.
    pub(crate) fn published_checkpoint(&self) -> Result<SignedCheckpoint, JournalError> {
        let ledger = &self.ledger;
        let latest = ledger.latest_checkpoint();
        let mut asked = self.pace.0.lock().unwrap_or_else(PoisonError::into_inner);
        match latest {
            Some(latest) if latest.checkpoint.size == ledger.head() => return Ok(latest),
            Some(latest) if asked.is_some_and(|asked| asked.elapsed() < FRESH) => return Ok(latest),
            _ => {}
        }
        let signed = ledger.checkpoint(false)?;
        *asked = Some(Instant::now());
        Ok(signed)
    }

    /// The public key that the log is signed under.
    pub(crate) fn verifier_key(&self) -> Result<&VerifierKey, JournalError> {
        Ok(self.ledger.verifier_key().ok_or(NotaryError::NoKey)?)
    }

    /// Evidence for an event, under the last checkpoint or, where that does not cover it, a new one.
    pub(crate) fn evidence(&self, sequence: u64) -> Result<Evidence, JournalError> {
        let ledger = &self.ledger;
        if sequence == 0 || sequence > ledger.head() {
            return Err(JournalError::not_found("event", sequence));
        }
        let covers = |signed: &SignedCheckpoint| signed.checkpoint.size >= sequence;
        let signed = match ledger.latest_checkpoint().filter(covers) {
            Some(signed) => signed,
            None => ledger.checkpoint(false)?,
        };
        Ok(ledger.evidence(sequence, &signed)?)
    }
}
