//! The API as its callers see it: over a ledger in a directory of its own, without a socket.

mod conformance;
mod edges;
mod firm;
mod instruments;
mod kinds;
mod limits;
mod matrix;
mod noise;
mod notes;
mod orders;
mod pages;
mod preconditions;
mod problems;
mod proportions;
mod published;
mod reach;
mod recommendations;
mod repetition;
mod streams;
mod tags;
mod views;
mod webhooks;

use super::service::Config;
use super::{routes, specification};
use crate::journal::{Access, Author, Journal, NewToken, Opening};
use crate::sync::daemons::Shared;
use daybook_schemas::PortfolioId;
use daybook_schemas::events::Role;
use poem::endpoint::BoxEndpoint;
use poem::http::{HeaderMap, Method, StatusCode};
use poem::{Body, Endpoint, EndpointExt, Request, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A service over a ledger of its own.
pub(super) struct Daybook {
    pub(super) journal: Arc<Journal>,
    /// What daemons share with the service.
    pub(super) shared: Arc<Shared>,
    endpoint: BoxEndpoint<'static, Response>,
    /// The page of metrics that asks for no token.
    pub(super) metrics: BoxEndpoint<'static, Response>,
    /// An administrator's token.
    pub(super) administrator: String,
    _directory: TempDir,
}

/// What the service answered.
#[derive(Debug)]
pub(super) struct Answer {
    request: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
}

impl Daybook {
    /// A service whose readers have the patience that a busy machine asks for.
    pub(super) fn new() -> Self {
        Self::within(Config { patience: Duration::from_secs(60), ..Config::default() })
    }

    pub(super) fn within(config: Config) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let journal =
            Journal::open(directory.path(), &Opening { access: Access::Create, progress: None }).unwrap();
        let journal = Arc::new(journal);
        let shared = Arc::new(Shared::default());
        let (endpoint, metrics) = routes(journal.clone(), shared.clone(), Arc::default(), config);
        let (endpoint, metrics) = (endpoint.boxed(), metrics.boxed());
        let administrator = journal.first_token().unwrap().unwrap().secret;
        Self { journal, shared, endpoint, metrics, administrator, _directory: directory }
    }

    /// The same ledger, served within other limits.
    pub(super) fn served_within(self, config: Config) -> Self {
        let (endpoint, metrics) = routes(self.journal.clone(), self.shared.clone(), Arc::default(), config);
        Self { endpoint: endpoint.boxed(), metrics: metrics.boxed(), ..self }
    }

    /// Issues a token.
    pub(super) fn token(&self, role: Role, portfolios: &[&str]) -> String {
        let portfolios = portfolios.iter().map(|id| id.parse().unwrap()).collect();
        self.token_of(role, None, portfolios)
    }

    pub(super) fn token_of(&self, role: Role, subject: Option<&str>, portfolios: Vec<PortfolioId>) -> String {
        let new = NewToken {
            role,
            subject: subject.map(str::to_owned),
            portfolios,
            expires: None,
            percentages_only: false,
        };
        self.journal.issue_token(&Author::operator(), new, None).unwrap().secret
    }

    /// The service's own answer, its body not yet read.
    pub(super) async fn answer(&self, request: Request) -> Response {
        self.endpoint.call(request).await.expect("the gate answers every error itself")
    }

    pub(super) async fn call(&self, request: Request) -> Answer {
        let shown = format!("{} {}", request.method(), request.uri());
        let response = self.answer(request).await;
        let (status, headers) = (response.status(), response.headers().clone());
        // A stream has no end to wait for.
        let streams = headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let bytes = if streams { Vec::new() } else { response.into_body().into_vec().await.unwrap() };
        Answer { request: shown, status, headers, bytes }
    }

    /// Sends a request with a token, if one is given.
    pub(super) async fn send(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri_str(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.call(request.body(body)).await
    }

    /// Reads as the administrator.
    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(Some(&self.administrator), Method::GET, path, &[], ()).await
    }

    /// Reads as the administrator, knowing a tag.
    pub(super) async fn get_knowing(&self, path: &str, tag: &str) -> Answer {
        self.send(Some(&self.administrator), Method::GET, path, &[("if-none-match", tag)], ()).await
    }

    /// Writes as the administrator.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_keyed(path, body, &[]).await
    }

    /// Writes as the administrator, with more headers.
    pub(super) async fn post_keyed(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send(Some(&self.administrator), Method::POST, path, &headers, body.to_string()).await
    }

    /// Uploads as the administrator.
    pub(super) async fn upload(
        &self,
        path: &str,
        parts: &[(&str, &str)],
        file: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let headers = [&[("content-type", kind.as_str())], headers].concat();
        self.send(Some(&self.administrator), Method::POST, path, &headers, form(parts, file)).await
    }

    /// Opens a portfolio and gives its id.
    pub(super) async fn portfolio(&self, name: &str) -> String {
        let opened = self.post("/v1/portfolios", &json!({ "name": name })).await.has(201).json();
        opened["id"].as_str().unwrap().to_owned()
    }

    /// Records a transaction and gives its sequence.
    pub(super) async fn transact(&self, portfolio: &str, transaction: Value) -> u64 {
        let path = format!("/v1/portfolios/{portfolio}/transactions");
        self.post(&path, &transaction).await.has(201).json()["sequence"].as_u64().unwrap()
    }

    /// Records a daily close.
    pub(super) async fn price(&self, symbol: &str, date: &str, close: &str) {
        let body = json!({ "items": [{ "symbol": symbol, "date": date, "close": close }] });
        self.post("/v1/prices", &body).await.has(201);
    }

    pub(super) fn head(&self) -> u64 {
        self.journal.ledger().head()
    }
}

const BOUNDARY: &str = "daybook-api-tests";

/// A multipart body: the parts, then the file.
pub(super) fn form(parts: &[(&str, &str)], file: &str) -> String {
    let mut body = String::new();
    for (name, text) in parts {
        body.push_str(&format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"
        ));
    }
    body.push_str(&format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"rows.csv\"\r\n\r\n{file}\r\n--{BOUNDARY}--\r\n"
    ));
    body
}

impl Answer {
    #[track_caller]
    pub(super) fn has(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self}");
        self
    }

    /// It is a problem of this kind.
    #[track_caller]
    pub(super) fn is(self, status: u16, slug: &str) -> Value {
        let answer = self.has(status);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{answer}");
        let problem = answer.json();
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{answer}");
        assert_eq!(problem["status"], status, "{answer}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{answer}");
        problem
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// A header; empty if it is not there.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} was answered with {}: {}",
            self.request,
            self.status,
            String::from_utf8_lossy(&self.bytes)
        )
    }
}

/// A deposit on a day.
pub(super) fn deposit(date: &str, amount: &str) -> Value {
    json!({ "time": date, "type": "deposit", "amount": amount })
}

/// A purchase on a day.
pub(super) fn buy(date: &str, symbol: &str, quantity: &str, price: &str) -> Value {
    json!({ "time": date, "type": "buy", "symbol": symbol, "quantity": quantity, "price": price })
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let served = specification();
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(committed == served, "run `daybook openapi > openapi.json` and review the difference");
}
