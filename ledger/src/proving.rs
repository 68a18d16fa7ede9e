//! Proving from an open ledger: checkpoints, tiles, and evidence for single records.

use crate::ledger::Ledger;
use crate::merkle::tile::TILE_WIDTH;
use crate::merkle::{
    Checkpoint, Evidence, Hash, NotaryError, ProofError, SignedCheckpoint, TilePath, Tiled, TreeError,
    VerifierKey,
};
use std::ops::ControlFlow;

impl Ledger {
    /// The public key that the log's checkpoints are signed under; none before the first opening for writing.
    #[must_use]
    pub fn verifier_key(&self) -> Option<&VerifierKey> {
        self.notary().map(crate::merkle::notary::Notary::verifier).or(self.kept().verifier.as_ref())
    }

    /// The last checkpoint that was signed; none if none was.
    #[must_use]
    pub fn latest_checkpoint(&self) -> Option<SignedCheckpoint> {
        match self.notary() {
            Some(notary) => notary.latest(),
            None => self.kept().latest.clone(),
        }
    }

    /// A checkpoint of all that is durable now. It is kept on disk before it is given, in place of the one before;
    /// with `for_good` also beside those that come later.
    ///
    /// # Errors
    ///
    /// The ledger is open for reading alone, the log is not what was signed before, or the disk failed.
    pub fn checkpoint(&self, for_good: bool) -> Result<SignedCheckpoint, NotaryError> {
        let notary = self.notary().ok_or(NotaryError::NoKey)?;
        notary.checkpoint(self.merkle_tree(), self.head(), for_good)
    }

    /// The root over the first `size` records.
    ///
    /// # Errors
    ///
    /// There are fewer, or the log or the index does not answer.
    pub fn root(&self, size: u64) -> Result<Hash, TreeError> {
        self.merkle_tree().view(size)?.root(size)
    }

    /// The way from the record at `index` (its sequence less one) to the root over the first `size` records.
    ///
    /// # Errors
    ///
    /// There are fewer, or the log or the index does not answer.
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, TreeError> {
        self.merkle_tree().view(size)?.inclusion(index, size)
    }

    /// What shows that the tree over the first `to` records begins with the one over the first `from`.
    ///
    /// # Errors
    ///
    /// There are fewer, or the log or the index does not answer.
    pub fn consistency_proof(&self, from: u64, to: u64) -> Result<Vec<Hash>, TreeError> {
        self.merkle_tree().view(to)?.consistency(from, to)
    }

    /// The bytes of a tile as C2SP's tlog-tiles has them: hashes, or records each after its length as two bytes,
    /// big-endian. None if the durable log does not fill it that far.
    ///
    /// # Errors
    ///
    /// The log or the index does not answer.
    pub fn tile(&self, path: TilePath) -> Result<Option<Vec<u8>>, TreeError> {
        let head = self.head();
        let whole = TilePath::within(path.of, path.index, head);
        if whole.is_none_or(|whole| whole.width < path.width) {
            return Ok(None);
        }
        match path.of {
            Tiled::Hashes(_) => self.merkle_tree().view(head)?.hashes(path),
            Tiled::Entries => {
                let (first, mut bytes) = (path.index * TILE_WIDTH + 1, Vec::new());
                self.scan(first, first + path.width - 1, &mut |record| {
                    let at = bytes.len();
                    bytes.extend_from_slice(&[0, 0]);
                    record.encode_canonical(&mut bytes);
                    let length = u16::try_from(bytes.len() - at - 2);
                    let length = length.expect("an accepted record is at most 65,535 bytes");
                    bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
                    ControlFlow::Continue(())
                })?;
                Ok(Some(bytes))
            }
        }
    }

    /// Evidence for one record under a checkpoint of this log that covers it.
    ///
    /// # Errors
    ///
    /// The checkpoint does not cover it, or the log or the index does not answer.
    pub fn evidence(&self, sequence: u64, under: &SignedCheckpoint) -> Result<Evidence, TreeError> {
        let Checkpoint { size, .. } = under.checkpoint;
        let beyond = ProofError::Beyond { index: sequence.wrapping_sub(1), size };
        let index = sequence.checked_sub(1).filter(|index| *index < size).ok_or(beyond)?;
        let path = self.inclusion_proof(index, size)?;
        let mut record = Vec::new();
        self.scan(sequence, sequence, &mut |found| {
            found.encode_canonical(&mut record);
            ControlFlow::Break(())
        })?;
        Ok(Evidence { record, index, path, checkpoint: under.note.clone() })
    }
}
