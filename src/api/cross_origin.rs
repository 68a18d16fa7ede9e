//! Pages of other origins: which of them may call from a browser, and what a browser is told before it does.
//!
//! No answer ever allows credentials: a token is sent by the page itself, never by the browser on its own, so that a page
//! that holds none can do nothing in anybody's name.

use poem::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue,
    ORIGIN, VARY,
};
use poem::http::{HeaderMap, Method, StatusCode};
use poem::{Endpoint, Request, Response};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// What a page may send.
const SENT: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, x-request-id",
);
/// What a page may read beside the body.
const READ: HeaderValue =
    HeaderValue::from_static("etag, location, ratelimit, ratelimit-policy, retry-after, x-request-id");
/// How long a browser may remember what it was told, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("7200");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Answers for other origins, before the routes.
pub(super) struct CrossOrigin<E> {
    inner: E,
    origins: Vec<HeaderValue>,
}

impl<E> CrossOrigin<E> {
    /// Lets pages of these origins call; `*` is any. None at all changes nothing.
    pub(super) fn new(inner: E, origins: &[String]) -> Self {
        let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
        Self { inner, origins }
    }

    /// What a page of the request's origin is told of whom it may call; none if it may not.
    fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut said = headers.get_all(ORIGIN).iter();
        let (Some(origin), None) = (said.next(), said.next()) else { return None };
        if self.origins.contains(&ANY) {
            return Some(ANY);
        }
        self.origins.contains(origin).then(|| origin.clone())
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for CrossOrigin<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        if self.origins.is_empty() {
            return self.inner.call(request).await;
        }
        let allowed = self.allowed(request.headers());
        let asks_first = request.method() == Method::OPTIONS
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let mut response = match &allowed {
            Some(_) if asks_first => Response::builder().status(StatusCode::NO_CONTENT).finish(),
            _ => self.inner.call(request).await?,
        };
        let headers = response.headers_mut();
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            if asks_first {
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, SENT);
                headers.insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED);
            } else {
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, READ);
            }
        }
        Ok(response)
    }
}
