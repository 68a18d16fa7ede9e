//! Writes that are sent again: the Idempotency-Key of a request, scoped to who sends it.

use super::access::Caller;
use super::gate;
use super::operations::{Found, Operations};
use super::problem::{Kind, Problem};
use crate::journal::{Journal, JournalError, is_same_request, type_name};
use daybook_ledger::{Appended, CommitKey};
use daybook_schemas::Timestamp;
use daybook_schemas::events::ContentHash;
use poem::http::Method;
use poem::{FromRequest, Request, RequestBody};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// The operations that there are: by them a hash tells which request a key was used for.
static OPERATIONS: LazyLock<Operations> =
    LazyLock::new(|| Operations::of(&serde_json::from_str(&super::specification()).unwrap_or_default()));

/// The bytes of a request's hash that tell which operation it was.
const OPERATION_BYTES: usize = 8;

/// One attempt at a write.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    key: Option<String>,
    method: Method,
    path: String,
}

impl<'a> FromRequest<'a> for Attempt {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let key = request.headers().get(gate::IDEMPOTENCY_KEY).and_then(gate::visible).map(str::to_owned);
        let path = gate::Target::of(request).path().to_owned();
        Ok(Self { key, method: request.method().clone(), path })
    }
}

impl Attempt {
    /// The key of the commit that the write makes, if the caller gave one.
    ///
    /// The scope is the caller's subject. A key has no spaces, so that no two scopes share a commit key. Of the hash,
    /// the first bytes tell the operation, so that a key that was used for another can name it; the others tell the
    /// path and the content.
    pub(super) fn commit_key(&self, caller: &Caller, content: &[u8]) -> Option<CommitKey> {
        let key = self.key.as_ref()?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{} {}\n", self.method, self.path).as_bytes());
        hasher.update(content);
        let mut content_hash = [0; 32];
        let path = self.path.strip_prefix(gate::PREFIX).unwrap_or(&self.path);
        if let Found::Operation(operation, _) = OPERATIONS.find(&self.method, path) {
            content_hash[..OPERATION_BYTES].copy_from_slice(&told_by(&operation.id));
        }
        content_hash[OPERATION_BYTES..]
            .copy_from_slice(&hasher.finalize().as_bytes()[..32 - OPERATION_BYTES]);
        Some(CommitKey { key: format!("{} {key}", caller.subject()).into(), content_hash })
    }
}

/// The bytes that stand for an operation.
fn told_by(operation: &str) -> [u8; OPERATION_BYTES] {
    let mut bytes = [0; OPERATION_BYTES];
    bytes.copy_from_slice(&blake3::hash(operation.as_bytes()).as_bytes()[..OPERATION_BYTES]);
    bytes
}

/// A request as far as its hash tells it.
fn told(content_hash: &[u8; 32]) -> Value {
    let operation = OPERATIONS.iter().find(|operation| content_hash.starts_with(&told_by(&operation.id)));
    let mut json = json!({ "content_hash": ContentHash(*content_hash).to_string() });
    if let Some(operation) = operation {
        json["operation"] = operation.id.as_str().into();
        json["request"] = format!("{} {}{}", operation.method(), gate::PREFIX, operation.path()).into();
    }
    json
}

/// The commit that the same request made before; a problem that shows both if the key was used for another.
pub(super) fn earlier(journal: &Journal, key: Option<&CommitKey>) -> Result<Option<Appended>, Problem> {
    let Some(key) = key else { return Ok(None) };
    match journal.ledger().find_commit(&key.key).map_err(JournalError::from)? {
        Some((appended, content)) if is_same_request(&content, &key.content_hash) => Ok(Some(appended)),
        Some((appended, content)) => Err(reused(journal, &appended, &content, key)?),
        None => Ok(None),
    }
}

/// What became of a write under a key; where another request took the key in the meantime, a problem that shows both.
pub(super) fn done<T>(
    journal: &Journal,
    key: Option<&CommitKey>,
    result: Result<T, Problem>,
) -> Result<T, Problem> {
    match result {
        Err(problem) if problem.kind() == Kind::KeyReused => {
            earlier(journal, key)?;
            Err(problem)
        }
        other => other,
    }
}

fn reused(
    journal: &Journal,
    appended: &Appended,
    content: &[u8; 32],
    key: &CommitKey,
) -> Result<Problem, Problem> {
    // References come first, what was asked for last.
    let sequence = appended.sequences.last().copied().unwrap_or(appended.head);
    let mut earlier = told(content);
    let record = journal.event(sequence)?;
    earlier["sequence"] = sequence.into();
    earlier["type"] = type_name(&record).into();
    earlier["stream"] = (*record.stream).into();
    earlier["recorded_at"] = Timestamp::from_nanos(record.recorded_at).to_string().into();
    Ok(Problem::key_reused(sequence).showing("earlier", earlier).showing("present", told(&key.content_hash)))
}
