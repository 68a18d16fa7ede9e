//! The Merkle log: every record hashed into one tree (RFC 6962), signed statements of what the tree was, and proofs
//! that a stranger checks with nothing but bytes and a public key.
//!
//! A record's place in the tree is its sequence less one, and its leaf is its canonical bytes. The formats are those
//! of C2SP's transparency logs; how they are used here is written down in `schemas/formats/merkle.md`.

pub mod checkpoint;
pub mod elsewhere;
pub mod evidence;
pub(crate) mod group;
pub(crate) mod grower;
pub mod hash;
pub(crate) mod notary;
pub mod note;
pub mod proof;
pub mod tile;
pub(crate) mod tree;

pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
pub use elsewhere::{Peaks, TiledError, TiledTree};
pub use evidence::{Evidence, EvidenceError, Proven};
pub use hash::Hash;
pub use notary::NotaryError;
pub use note::{Note, NoteError, SigningKey, VerifierKey};
pub use proof::ProofError;
pub use tile::{TilePath, Tiled};
pub use tree::TreeError;
