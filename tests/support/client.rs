//! An HTTP client that says everything an answer says.

use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{HeaderMap, Request};

/// Who calls a service.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    url: String,
    token: Option<String>,
}

/// What a service answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The request, for messages.
    request: String,
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) bytes: Vec<u8>,
}

impl Client {
    /// A client with a token.
    pub(crate) fn new(url: &str, token: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Self { agent: config.new_agent(), url: url.to_owned(), token: Some(token.to_owned()) }
    }

    /// A client with a token that trusts one certificate alone.
    pub(crate) fn trusting(url: &str, token: &str, certificate: &[u8]) -> Self {
        let certificate = ureq::tls::Certificate::from_pem(certificate).unwrap();
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::Specific(Arc::new(vec![certificate])))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(60)))
            .tls_config(tls)
            .build();
        Self { agent: config.new_agent(), url: url.to_owned(), token: Some(token.to_owned()) }
    }

    /// The same client with another token, or none.
    pub(crate) fn showing(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// Sends a request; an error is a connection that broke.
    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = match body {
            Some(body) => self.agent.run(request.body(body)?)?,
            None => self.agent.run(request.body(())?)?,
        };
        Ok(Answer {
            request: format!("{method} {path}"),
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            bytes: response.body_mut().with_config().limit(1 << 28).read_to_vec()?,
        })
    }

    /// Sends a request that is answered.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Answer {
        self.try_send(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The status that a stream begins with; what comes after it is not waited for.
    pub(crate) fn first_of_stream(&self, path: &str) -> u16 {
        let mut request = Request::builder().method("GET").uri(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let response = self.agent.run(request.body(()).unwrap());
        response.unwrap_or_else(|error| panic!("GET {path}: {error}")).status().as_u16()
    }

    /// Reads a resource.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    /// Sends JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_keyed(path, body, &[])
    }

    /// Sends JSON with more headers.
    pub(crate) fn post_keyed(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let headers = [&[("Content-Type", "application/json")], headers].concat();
        self.send("POST", path, &headers, Some(body.to_string().as_bytes()))
    }

    /// Takes a resource away.
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None)
    }

    /// Sends a file in a form, with fields beside it.
    pub(crate) fn upload(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        file_name: &str,
        contents: &[u8],
    ) -> Answer {
        const BOUNDARY: &str = "daybook-it-0123456789";
        let mut body = Vec::new();
        for (name, value) in fields {
            let field =
                format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            body.extend_from_slice(field.as_bytes());
        }
        let file = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{file_name}\"\r\nContent-Type: text/csv\r\n\r\n"
        );
        body.extend_from_slice(file.as_bytes());
        body.extend_from_slice(contents);
        body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        self.send("POST", path, &[("Content-Type", &kind)], Some(&body))
    }

    /// All items of a list, page by page.
    pub(crate) fn pages(&self, path: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        let joint = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = match &cursor {
                None => self.get(path).ok().json(),
                Some(cursor) => self.get(&format!("{path}{joint}cursor={cursor}")).ok().json(),
            };
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return items,
            }
        }
    }

    /// The last sequence of the service's ledger.
    pub(crate) fn head(&self) -> u64 {
        self.get("/v1/events?limit=1").ok().json()["sequence"].as_u64().unwrap()
    }
}

impl Answer {
    /// It is a success.
    pub(crate) fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{self}");
        self
    }

    /// It has this status.
    pub(crate) fn has(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// It is a problem with this status, and says what is wrong and what to do.
    pub(crate) fn refuses(self, status: u16) -> Value {
        let answer = self.has(status);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer}");
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{answer}");
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "no {member}: {answer}");
        }
        problem
    }

    /// A header, if it is there and text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text: String = self.text().chars().take(4_000).collect();
        write!(f, "{} was answered with {}: {text}", self.request, self.status)
    }
}
