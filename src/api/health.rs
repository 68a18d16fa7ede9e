//! Whether the service lives, and whether it can serve: for whoever watches it, without a token.

use super::problem::{Kind, Problem};
use super::service::Service;
use poem::{Endpoint, IntoResponse, Request, Response};
use serde_json::json;

/// The process answers.
pub(super) struct Live;

impl Endpoint for Live {
    type Output = Response;

    async fn call(&self, _request: Request) -> poem::Result<Response> {
        Ok(json_of(&json!({ "status": "live" })))
    }
}

/// The ledger takes writes and its views are current.
pub(super) struct Ready(pub(super) Service);

impl Endpoint for Ready {
    type Output = Response;

    async fn call(&self, _request: Request) -> poem::Result<Response> {
        let ready = self
            .0
            .blocking(|journal| {
                if let Some(reason) = journal.ledger().poisoned() {
                    tracing::error!(%reason, "the ledger takes no writes");
                    return Err(Problem::unavailable("the ledger takes no writes: start the service again"));
                }
                journal.library().map(drop).map_err(Problem::from)
            })
            .await;
        Ok(match ready {
            Ok(()) => json_of(&json!({ "status": "ready" })),
            Err(problem) if problem.kind() == Kind::Internal => {
                Problem::unavailable("the ledger cannot be read: run `daybook verify`").into_response()
            }
            Err(problem) => problem.into_response(),
        })
    }
}

fn json_of(value: &serde_json::Value) -> Response {
    Response::builder()
        .content_type("application/json")
        .header("cache-control", "no-store")
        .body(value.to_string())
}
