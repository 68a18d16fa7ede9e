//! The page of metrics: for the tokens of administrators and auditors, or for this machine alone at an address of its own.

use super::problem::{Kind, Problem};
use crate::metrics::{MEDIA_TYPE, Metrics};
use poem::http::Method;
use poem::{Endpoint, IntoResponse, Request, Response};
use std::sync::Arc;

/// Where the page is.
pub(super) const PATH: &str = "/metrics";

/// The page.
#[derive(Clone)]
pub(super) struct Page(pub(super) Arc<Metrics>);

impl Endpoint for Page {
    type Output = Response;

    async fn call(&self, _request: Request) -> poem::Result<Response> {
        let metrics = Arc::clone(&self.0);
        let page = tokio::task::spawn_blocking(move || metrics.page()).await;
        let page = page.map_err(Problem::internal)?;
        Ok(Response::builder().content_type(MEDIA_TYPE).header("cache-control", "no-store").body(page))
    }
}

/// The page and nothing else, for a listener of its own.
pub(super) struct Alone(pub(super) Page);

impl Endpoint for Alone {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let answer = match (request.method(), request.uri().path()) {
            (&Method::GET, PATH) => self.0.call(request).await?,
            (method, PATH) => Problem::method(method.as_str(), "GET").into_response(),
            _ => Problem::new(Kind::NoSuchRoute, "only /metrics is read here").into_response(),
        };
        Ok(answer)
    }
}
