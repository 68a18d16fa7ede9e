//! Checkpoints: a signed statement of how many entries a log had and what the root over them was.

use std::fmt::Write as _;

use super::hash::Hash;
use super::note::{Note, NoteError, SigningKey, VerifierKey};
use super::tile::number;

/// What a checkpoint states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the name of the key that signs for it.
    pub origin: Box<str>,
    /// Entries in the tree: the sequence of the last record.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// Why text is not a checkpoint that can be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is no note, or not signed by the key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Its text is not that of a checkpoint.
    #[error("it is no checkpoint: {0}")]
    Malformed(&'static str),
    /// It is of another log than the key.
    #[error("it is of the log {found}, and the key is of {expected}")]
    Origin {
        /// Whose it says it is.
        found: Box<str>,
        /// Whose it should be.
        expected: Box<str>,
    },
}

impl Checkpoint {
    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}\n{}\n{}", self.origin, self.size, self.root);
        text
    }

    /// Reads the text of a note as a checkpoint; extension lines are let be.
    fn parse(text: &str) -> Result<Checkpoint, CheckpointError> {
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let mut next =
            |what| lines.next().filter(|line| !line.is_empty()).ok_or(CheckpointError::Malformed(what));
        let origin = next("it has no origin")?;
        let size = next("it has no size")?;
        let root = next("it has no root")?;
        let size = number(size).ok_or(CheckpointError::Malformed("its size is not a number"))?;
        let root = root.parse().map_err(|_| CheckpointError::Malformed("its root is not a hash"))?;
        if lines.any(str::is_empty) {
            return Err(CheckpointError::Malformed("an empty line stands in it"));
        }
        Ok(Checkpoint { origin: origin.into(), size, root })
    }
}

/// A checkpoint with the note that states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it states.
    pub checkpoint: Checkpoint,
    /// The note, as it is given out.
    pub note: Box<str>,
}

impl SignedCheckpoint {
    /// Signs what a log was. The origin is the key's name.
    #[must_use]
    pub fn sign(key: &SigningKey, size: u64, root: Hash) -> SignedCheckpoint {
        let checkpoint = Checkpoint { origin: key.verifier().name().into(), size, root };
        let note = key.sign(&checkpoint.text()).into();
        SignedCheckpoint { checkpoint, note }
    }

    /// Reads a note as a checkpoint of the key's log, signed by the key.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub fn open(note: &str, key: &VerifierKey) -> Result<SignedCheckpoint, CheckpointError> {
        let parsed = Note::parse(note)?;
        let checkpoint = Checkpoint::parse(parsed.text)?;
        if *checkpoint.origin != *key.name() {
            return Err(CheckpointError::Origin { found: checkpoint.origin, expected: key.name().into() });
        }
        parsed.check(key)?;
        Ok(SignedCheckpoint { checkpoint, note: note.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_the_text_that_others_read() {
        let key = SigningKey::from_secret("daybook/test", &[1; 32]).unwrap();
        let signed = SignedCheckpoint::sign(&key, 12, Hash::empty());
        let begins = "daybook/test\n12\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— daybook/test ";
        assert!(signed.note.starts_with(begins), "{}", signed.note);
        assert_eq!(SignedCheckpoint::open(&signed.note, key.verifier()), Ok(signed));
    }

    #[test]
    fn a_note_that_states_something_else_is_refused() {
        let key = SigningKey::from_secret("a", &[1; 32]).unwrap();
        let root = Hash::empty();
        for text in [
            "a\n".to_owned(),
            "a\n1\n".to_owned(),
            format!("a\n01\n{root}\n"),
            format!("a\n-1\n{root}\n"),
            format!("a\n99999999999999999999\n{root}\n"),
            "a\n1\nAAAA\n".to_owned(),
            format!("a\n1\n{root}\n\nmore\n"),
            format!("\n1\n{root}\n"),
        ] {
            let opened = SignedCheckpoint::open(&key.sign(&text), key.verifier());
            assert!(matches!(opened, Err(CheckpointError::Malformed(_))), "{text}: {opened:?}");
        }
        let extended = key.sign(&format!("a\n1\n{root}\nmore\n"));
        assert!(SignedCheckpoint::open(&extended, key.verifier()).is_ok());
        let elsewhere = key.sign(&format!("b\n1\n{root}\n"));
        let opened = SignedCheckpoint::open(&elsewhere, key.verifier());
        assert!(matches!(opened, Err(CheckpointError::Origin { .. })), "{opened:?}");
    }
}
