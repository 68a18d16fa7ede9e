//! Writes that are sent again: the Idempotency-Key of a request, scoped to who sends it.

use super::access::Caller;
use super::gate;
use super::problem::Problem;
use crate::journal::Journal;
use daybook_ledger::{Appended, CommitKey};
use poem::{FromRequest, Request, RequestBody};

/// One attempt at a write.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    key: Option<String>,
    request: String,
}

impl<'a> FromRequest<'a> for Attempt {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let key = request.headers().get(gate::IDEMPOTENCY_KEY).and_then(gate::visible).map(str::to_owned);
        Ok(Self { key, request: format!("{} {}", request.method(), gate::Target::of(request).path()) })
    }
}

impl Attempt {
    /// The key of the commit that the write makes, if the caller gave one.
    ///
    /// The scope is the caller's subject. A key has no spaces, so that no two scopes share a commit key.
    pub(super) fn commit_key(&self, caller: &Caller, content: &[u8]) -> Option<CommitKey> {
        let key = self.key.as_ref()?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.request.as_bytes());
        hasher.update(b"\n");
        hasher.update(content);
        Some(CommitKey {
            key: format!("{} {key}", caller.subject()).into(),
            content_hash: *hasher.finalize().as_bytes(),
        })
    }
}

/// The commit that the same request made before; a problem if the key was used for another.
pub(super) fn earlier(journal: &Journal, key: Option<&CommitKey>) -> Result<Option<Appended>, Problem> {
    let Some(key) = key else { return Ok(None) };
    match journal.ledger().find_commit(&key.key).map_err(crate::journal::JournalError::from)? {
        Some((appended, content)) if content == key.content_hash => Ok(Some(appended)),
        Some((appended, _)) => {
            Err(Problem::key_reused(appended.sequences.last().copied().unwrap_or(appended.head)))
        }
        None => Ok(None),
    }
}
