//! A running service, as commands reach it with `--server`: JSON over HTTP, and the canonical records in bundles.

use daybook_ledger::merkle::NoteError;
use daybook_ledger::merkle::tile::TILE_WIDTH;
use daybook_ledger::{Record, SignedCheckpoint, TilePath, Tiled, VerifierKey};
use serde_json::Value;
use std::time::Duration;
use ureq::Agent;
use ureq::http::Response;
use ureq::{Body, RequestBuilder};

/// The most bytes of one answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Why a service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// There is no token to show.
    #[error("set DAYBOOK_TOKEN to a token of the service (`daybook token issue` makes one)")]
    NoToken,
    /// It cannot be reached, or broke off.
    #[error("{url} does not answer: {detail}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What went wrong.
        detail: String,
    },
    /// It refused, and says why.
    #[error("{detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it says.
        detail: String,
    },
    /// What it answered is not what a daybook answers.
    #[error("{url} does not answer as a daybook: {detail}")]
    Strange {
        /// Where.
        url: String,
        /// What is strange.
        detail: String,
    },
}

/// A service and the token to show it.
pub(crate) struct Remote {
    agent: Agent,
    base: String,
    token: String,
}

impl Remote {
    /// Prepares to talk to a service; the token comes from `DAYBOOK_TOKEN`.
    pub(crate) fn connect(url: &str) -> Result<Self, RemoteError> {
        let token = std::env::var("DAYBOOK_TOKEN").map_err(|_| RemoteError::NoToken)?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(600)))
            .build();
        Ok(Self {
            agent: config.new_agent(),
            base: format!("{}/v1", url.trim_end_matches('/')),
            token: token.trim().to_owned(),
        })
    }

    fn url(&self, route: &str) -> String {
        format!("{}/{route}", self.base)
    }

    fn prepared<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        request.header("Authorization", format!("Bearer {}", self.token))
    }

    /// A write that is sent again by the connection below must not be done twice.
    fn keyed<B>(request: RequestBuilder<B>) -> Result<RequestBuilder<B>, RemoteError> {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(|error| RemoteError::Unreachable {
            url: String::new(),
            detail: format!("no random bytes: {error}"),
        })?;
        let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(request.header("Idempotency-Key", key))
    }

    fn bytes(
        &self,
        route: &str,
        answered: Result<Response<Body>, ureq::Error>,
    ) -> Result<Vec<u8>, RemoteError> {
        self.bytes_of(route, answered, None)
    }

    /// The answer's bytes; a refusal names the file that was sent.
    fn bytes_of(
        &self,
        route: &str,
        answered: Result<Response<Body>, ureq::Error>,
        file: Option<&str>,
    ) -> Result<Vec<u8>, RemoteError> {
        let url = self.url(route);
        let unreachable =
            |error: ureq::Error| RemoteError::Unreachable { url: url.clone(), detail: error.to_string() };
        let mut answer = answered.map_err(unreachable)?;
        let status = answer.status();
        let bytes =
            answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(unreachable)?;
        if status.is_success() {
            return Ok(bytes);
        }
        let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let errors = problem["errors"].as_array().map_or(&[][..], Vec::as_slice);
        if errors.is_empty() {
            let said = problem["detail"].as_str().or(problem["title"].as_str());
            let detail = said.map_or_else(|| format!("{url} answered {status}"), str::to_owned);
            return Err(RemoteError::Refused { status: status.as_u16(), detail });
        }
        let told = errors.iter().map(|error| {
            let place = match (file, error["line"].as_u64()) {
                (Some(file), Some(line)) => format!("{file}:{line}: "),
                (Some(file), None) => format!("{file}: "),
                (None, Some(line)) => format!("line {line}: "),
                (None, None) => String::new(),
            };
            let field = error["field"].as_str().map(|field| format!("`{field}`: ")).unwrap_or_default();
            format!("{place}{field}{}", error["detail"].as_str().unwrap_or_default())
        });
        let detail = told.collect::<Vec<_>>().join("\n");
        Err(RemoteError::Refused { status: status.as_u16(), detail })
    }

    fn json(&self, route: &str, answered: Result<Response<Body>, ureq::Error>) -> Result<Value, RemoteError> {
        let bytes = self.bytes(route, answered)?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| self.strange(route, error.to_string()))
    }

    fn strange(&self, route: &str, detail: impl Into<String>) -> RemoteError {
        RemoteError::Strange { url: self.url(route), detail: detail.into() }
    }

    /// Reads a resource.
    pub(crate) fn get(&self, route: &str) -> Result<Value, RemoteError> {
        self.json(route, self.prepared(self.agent.get(self.url(route))).call())
    }

    /// Reads a list, page by page.
    pub(crate) fn list(&self, route: &str) -> Result<Vec<Value>, RemoteError> {
        let mut items = Vec::new();
        let mut page = format!("{route}?limit=1000");
        loop {
            let mut answer = self.get(&page)?;
            match answer["items"].take() {
                Value::Array(more) => items.extend(more),
                _ => return Err(self.strange(route, "a list without items")),
            }
            match answer["next"].as_str() {
                Some(cursor) => page = format!("{route}?limit=1000&cursor={cursor}"),
                None => return Ok(items),
            }
        }
    }

    /// Writes a resource.
    pub(crate) fn post(&self, route: &str, body: &Value) -> Result<Value, RemoteError> {
        let request = Self::keyed(self.prepared(self.agent.post(self.url(route))))?;
        self.json(route, request.send_json(body))
    }

    /// Takes a resource away.
    pub(crate) fn delete(&self, route: &str) -> Result<(), RemoteError> {
        let request = Self::keyed(self.prepared(self.agent.delete(self.url(route))))?;
        self.bytes(route, request.call()).map(drop)
    }

    /// Sends a file with fields beside it.
    pub(crate) fn upload(
        &self,
        route: &str,
        fields: &[(&str, String)],
        file_name: &str,
        bytes: &[u8],
    ) -> Result<Value, RemoteError> {
        let mut form = ureq::unversioned::multipart::Form::new();
        for (name, value) in fields {
            form = form.text(name, value);
        }
        let part = ureq::unversioned::multipart::Part::bytes(bytes).file_name(file_name);
        let form = form.part("file", part);
        let request = Self::keyed(self.prepared(self.agent.post(self.url(route))))?;
        let bytes = self.bytes_of(route, request.send(form), Some(file_name))?;
        serde_json::from_slice(&bytes).map_err(|error| self.strange(route, error.to_string()))
    }

    /// The last sequence of the service's ledger.
    pub(crate) fn head(&self) -> Result<u64, RemoteError> {
        let answer = self.get("events?limit=1")?;
        answer["sequence"].as_u64().ok_or_else(|| self.strange("events", "a list without its sequence"))
    }

    /// The text that a resource is.
    fn text(&self, route: &str) -> Result<String, RemoteError> {
        let bytes = self.bytes(route, self.prepared(self.agent.get(self.url(route))).call())?;
        String::from_utf8(bytes).map_err(|_| self.strange(route, "an answer that is no text"))
    }

    /// The public key under which the service's log is signed.
    pub(crate) fn verifier_key(&self) -> Result<VerifierKey, RemoteError> {
        const ROUTE: &str = "checkpoint/key";
        let key = self.text(ROUTE)?;
        key.trim_end().parse().map_err(|error: NoteError| self.strange(ROUTE, error.to_string()))
    }

    /// The last checkpoint of the service's log, signed under the key.
    pub(crate) fn checkpoint(&self, key: &VerifierKey) -> Result<SignedCheckpoint, RemoteError> {
        const ROUTE: &str = "checkpoint";
        let note = self.text(ROUTE)?;
        SignedCheckpoint::open(&note, key).map_err(|error| self.strange(ROUTE, error.to_string()))
    }

    /// The hashes of a tile.
    pub(crate) fn tile(&self, path: TilePath) -> Result<Vec<u8>, RemoteError> {
        let route = format!("tile/{path}");
        self.bytes(&route, self.prepared(self.agent.get(self.url(&route))).call())
    }

    /// The canonical bytes of some records: a bundle of them.
    pub(crate) fn entries(&self, path: TilePath) -> Result<Vec<Vec<u8>>, RemoteError> {
        let bytes = self.tile(path)?;
        let (mut entries, mut rest) = (Vec::new(), &bytes[..]);
        let strange = |what| self.strange(&format!("tile/{path}"), what);
        for _ in 0..path.width {
            let (entry, after) = take_entry(rest).ok_or_else(|| strange("a bundle that breaks off"))?;
            entries.push(entry.to_vec());
            rest = after;
        }
        if rest.is_empty() { Ok(entries) } else { Err(strange("a bundle with bytes after its last record")) }
    }

    /// Fetches all records behind a sequence, up to another, in order, with their canonical bytes.
    pub(crate) fn records(&self, after: u64, head: u64, visit: &mut Visit<'_>) -> Result<(), RemoteError> {
        let mut next = after;
        while let Some(path) =
            TilePath::within(Tiled::Entries, next / TILE_WIDTH, head).filter(|_| next < head)
        {
            let skipped = usize::try_from(next % TILE_WIDTH).unwrap_or(0);
            for bytes in self.entries(path)?.iter().skip(skipped) {
                let strange = |detail: String| self.strange(&format!("tile/{path}"), detail);
                let record = Record::decode_canonical(bytes).map_err(|error| strange(error.to_string()))?;
                next += 1;
                if record.sequence != next {
                    return Err(strange(format!("record {} where {next} should be", record.sequence)));
                }
                visit(record, bytes)?;
            }
        }
        Ok(())
    }
}

/// What is done with a record and its canonical bytes.
type Visit<'v> = dyn FnMut(Record, &[u8]) -> Result<(), RemoteError> + 'v;

fn take_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_that_breaks_off_is_noticed() {
        assert_eq!(take_entry(&[0, 2, 7, 8, 9]), Some((&[7, 8][..], &[9][..])));
        assert_eq!(take_entry(&[0, 3, 7, 8]), None);
        assert_eq!(take_entry(&[0]), None);
    }
}
