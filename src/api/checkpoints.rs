//! What the log vouches for: its last checkpoint, the key that signs it, and evidence for single events.
//!
//! The checkpoint and its key are given to whoever asks, without a token. They name no person, no portfolio and no
//! amount; what they tell is how many events there are. Whoever watches a log must be able to do so without being known
//! to its operator, who could otherwise show each watcher another history.

use super::access::Caller;
use super::problem::Problem;
use super::scalar::Sequence;
use super::service::Service;
use super::tags::Tag;
use poem::http::header::CACHE_CONTROL;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use poem_openapi::payload::{PlainText, Response};

/// The routes of checkpoints and proofs.
pub(super) struct Checkpoints(pub(super) Service);

/// A text that holds for a moment, or for ever.
fn text(text: String, caching: &str) -> Response<PlainText<String>> {
    Response::new(PlainText(text)).header(CACHE_CONTROL, caching)
}

#[OpenApi(tag = "Tag::Events")]
impl Checkpoints {
    /// Read the log's last checkpoint
    ///
    /// A signed note: the log's name, how many events it has, the root of the tree over them, and the signature. Needs
    /// no token. A new one is signed at most once a second.
    #[oai(path = "/checkpoint", method = "get", operation_id = "readCheckpoint")]
    async fn latest(&self) -> Result<Response<PlainText<String>>, Problem> {
        self.0
            .blocking(|journal| {
                let signed = journal.published_checkpoint()?;
                Ok(text(signed.note.into(), "no-cache"))
            })
            .await
    }

    /// Read the public key that checkpoints are signed under
    ///
    /// As `name+hash+key`. It does not change for as long as the log goes on. Needs no token.
    #[oai(path = "/checkpoint/key", method = "get", operation_id = "readCheckpointKey")]
    async fn key(&self) -> Result<Response<PlainText<String>>, Problem> {
        self.0.blocking(|journal| Ok(text(format!("{}\n", journal.verifier_key()?), "no-cache"))).await
    }

    /// Prove an event
    ///
    /// The event's canonical record, its way to the root of the tree, and the checkpoint that signs the root, in one
    /// text that `daybook check-proof` checks with nothing but the log's public key.
    #[oai(path = "/events/:sequence/proof", method = "get", operation_id = "proveEvent")]
    async fn prove(
        &self,
        _caller: Caller,
        /// Its sequence
        sequence: Path<Sequence>,
    ) -> Result<Response<PlainText<String>>, Problem> {
        self.0
            .blocking(move |journal| {
                let evidence = journal.evidence(sequence.0.0)?;
                Ok(text(evidence.to_text(), "private, no-cache"))
            })
            .await
    }
}
