//! Evidence for one record (C2SP `tlog-proof`): the record, its way to a root, and the checkpoint that signs the root,
//! in one text that needs nothing else but the log's public key.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{CheckpointError, SignedCheckpoint};
use super::hash::Hash;
use super::note::{NOTE_BYTES_MAX, VerifierKey};
use super::proof::{ProofError, check_inclusion};
use super::tile::number;
use crate::record::{RECORD_BYTES_MAX, Record, RecordError};

/// The first line.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// No way to a root is longer.
const PATH_MAX: usize = 64;
/// The most bytes that evidence may have: the largest record in base64, the longest way and note.
pub const EVIDENCE_BYTES_MAX: usize = (RECORD_BYTES_MAX / 3 + 1) * 4 + 64 * PATH_MAX + NOTE_BYTES_MAX;

/// A record's canonical bytes, where it stands, and what shows that. Nothing of it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The canonical bytes.
    pub record: Vec<u8>,
    /// The record's place in the tree: its sequence less one.
    pub index: u64,
    /// The way to the root.
    pub path: Vec<Hash>,
    /// The note that signs the root.
    pub checkpoint: Box<str>,
}

/// What evidence has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The record.
    pub record: Record,
    /// Its leaf.
    pub leaf: Hash,
    /// The checkpoint that it was shown under.
    pub checkpoint: SignedCheckpoint,
}

/// Why evidence shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// It does not begin as evidence does.
    #[error("it is no proof: its first line is not `{HEADER}`")]
    Foreign,
    /// A part of it is missing, or is not what it should be.
    #[error("the proof is damaged: {0}")]
    Malformed(&'static str),
    /// Its checkpoint cannot be believed.
    #[error("its checkpoint is refused: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The record is not shown to be in the log.
    #[error("the record is not shown to be in the log: {0}")]
    Proof(#[from] ProofError),
    /// What is shown to be in the log is not a record.
    #[error("what it proves is no record: {0}")]
    Record(#[from] RecordError),
    /// The record says that it stands elsewhere.
    #[error("the record says that it is number {sequence}, and the proof is of number {proven}")]
    Sequence {
        /// What the record says.
        sequence: u64,
        /// What the proof shows.
        proven: u64,
    },
}

impl Evidence {
    /// The text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\nextra {}\nindex {}\n", STANDARD.encode(&self.record), self.index);
        for hash in &self.path {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{hash}");
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Reads the text; all of it must be the evidence.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Evidence, EvidenceError> {
        let bad = EvidenceError::Malformed;
        let rest = text.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('\n'));
        let rest = rest.ok_or(EvidenceError::Foreign)?;
        if text.len() > EVIDENCE_BYTES_MAX {
            return Err(bad("it is longer than any proof of a record"));
        }
        let line = |rest| str::split_once(rest, '\n').ok_or(bad("it ends early"));
        let (extra, rest) = line(rest)?;
        let record = extra
            .strip_prefix("extra ")
            .ok_or(bad("its `extra` line, which holds the record, is missing"))?;
        let record = STANDARD.decode(record).map_err(|_| bad("its `extra` line is not base64"))?;
        let (index, mut rest) = line(rest)?;
        let index = index.strip_prefix("index ").ok_or(bad("its `index` line is missing"))?;
        let index = number(index).ok_or(bad("its index is not a number"))?;
        let mut path = Vec::new();
        loop {
            let (hash, after) = line(rest)?;
            rest = after;
            if hash.is_empty() {
                break;
            }
            if path.len() == PATH_MAX {
                return Err(bad("it has more hashes than any tree is high"));
            }
            path.push(hash.parse().map_err(|_| bad("a line of its path is not a hash"))?);
        }
        Ok(Evidence { record, index, path, checkpoint: rest.into() })
    }

    /// Checks everything with nothing but the log's public key.
    ///
    /// # Errors
    ///
    /// Why the record is not shown to be in that log.
    pub fn check(&self, key: &VerifierKey) -> Result<Proven, EvidenceError> {
        let checkpoint = SignedCheckpoint::open(&self.checkpoint, key)?;
        let leaf = Hash::leaf(&self.record);
        let stated = &checkpoint.checkpoint;
        check_inclusion(&leaf, self.index, stated.size, &self.path, &stated.root)?;
        let record = Record::decode_canonical(&self.record)?;
        if record.sequence - 1 != self.index {
            return Err(EvidenceError::Sequence {
                sequence: record.sequence,
                proven: self.index.saturating_add(1),
            });
        }
        Ok(Proven { record, leaf, checkpoint })
    }
}
