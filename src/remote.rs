//! A running service, as commands reach it with `--server`: JSON over HTTP, and the canonical records in bundles.

use daybook_ledger::Record;
use serde_json::Value;
use std::time::Duration;
use ureq::Agent;
use ureq::http::Response;
use ureq::{Body, RequestBuilder};

/// Records in a full bundle.
const BUNDLE: u64 = 256;
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

    /// Fetches all records up to a sequence, in order, as their canonical bytes.
    pub(crate) fn records(
        &self,
        head: u64,
        visit: &mut dyn FnMut(Record) -> Result<(), RemoteError>,
    ) -> Result<(), RemoteError> {
        let mut next = 0;
        while next < head {
            let width = (head - next).min(BUNDLE);
            let mut route = format!("tile/entries/{}", bundle_path(next / BUNDLE));
            if width < BUNDLE {
                route.push_str(&format!(".p/{width}"));
            }
            let bytes = self.bytes(&route, self.prepared(self.agent.get(self.url(&route))).call())?;
            let mut rest = &bytes[..];
            for _ in 0..width {
                let (record, after) =
                    take_entry(rest).ok_or_else(|| self.strange(&route, "a bundle that breaks off"))?;
                let record = Record::decode_canonical(record)
                    .map_err(|error| self.strange(&route, error.to_string()))?;
                next += 1;
                if record.sequence != next {
                    return Err(
                        self.strange(&route, format!("record {} where {next} should be", record.sequence))
                    );
                }
                visit(record)?;
                rest = after;
            }
            if !rest.is_empty() {
                return Err(self.strange(&route, "a bundle with bytes after its last record"));
            }
        }
        Ok(())
    }
}

fn take_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// The path of a bundle: groups of three digits, `x` before all but the last.
fn bundle_path(index: u64) -> String {
    let mut groups = vec![format!("{:03}", index % 1000)];
    let mut rest = index / 1000;
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    groups.reverse();
    groups.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_are_found_under_groups_of_three_digits() {
        assert_eq!(bundle_path(0), "000");
        assert_eq!(bundle_path(67), "067");
        assert_eq!(bundle_path(1_234_067), "x001/x234/067");
    }

    #[test]
    fn a_bundle_that_breaks_off_is_noticed() {
        assert_eq!(take_entry(&[0, 2, 7, 8, 9]), Some((&[7, 8][..], &[9][..])));
        assert_eq!(take_entry(&[0, 3, 7, 8]), None);
        assert_eq!(take_entry(&[0]), None);
    }
}
