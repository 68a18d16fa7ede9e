//! What every request passes before a route sees it, and every answer on its way out.
//!
//! In: an id for the request, the token, the role, the parameters by name, the size and the speed of the body. Out:
//! whatever went wrong becomes a problem, and every answer carries the request's id.

use super::access::{self, Caller};
use super::answer;
use super::metered::{Ending, Metered, Trouble, read_out};
use super::metrics;
use super::operations::{Found, Operation, Operations};
use super::problem::{self, Kind, Problem};
use super::rates::{Allowance, Rates};
use super::service::Service;
use crate::metrics::Metrics;
use daybook_schemas::CorrelationId;
use daybook_schemas::events::Role;
use poem::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, EXPECT, HeaderName, HeaderValue, REFERRER_POLICY, RETRY_AFTER, STRICT_TRANSPORT_SECURITY,
    TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
};
use poem::http::{HeaderMap, Method, StatusCode, Uri, Version};
use poem::{Body, Endpoint, IntoResponse, Request, Response};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

/// The header with which a request and its answer carry an id.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header with which a write says which attempt it is.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Where the routes that need a token live.
pub(super) const PREFIX: &str = "/v1";
/// The longest request id and Idempotency-Key, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// Where a request was sent, before the router took its path apart.
#[derive(Clone, Debug)]
pub(super) struct Target(Uri);

impl Target {
    /// The target of a request that passed the gate.
    pub(super) fn of(request: &Request) -> &Uri {
        request.extensions().get::<Self>().map_or(request.original_uri(), |target| &target.0)
    }
}

/// The gate before all routes.
pub(super) struct Gate<E> {
    inner: E,
    service: Service,
    operations: Arc<Operations>,
    metrics: Arc<Metrics>,
    rates: Option<Rates>,
}

/// What is noted of a request on its way.
#[derive(Default)]
struct Noted<'g> {
    operation: Option<&'g Operation>,
    allowance: Option<Allowance>,
    /// How the reading of the body ended, once somebody was given it.
    body: Option<Ending>,
}

impl<E: Endpoint<Output = Response>> Gate<E> {
    /// Puts a gate before the routes.
    pub(super) fn new(
        inner: E,
        service: Service,
        operations: Arc<Operations>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let rates = service.config.rate.map(Rates::new);
        Self { inner, service, operations, metrics, rates }
    }

    async fn pass<'g>(
        &'g self,
        request: &mut Request,
        correlation: CorrelationId,
        noted: &mut Noted<'g>,
    ) -> Result<Response, Problem> {
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix(PREFIX).filter(|rest| rest.is_empty() || rest.starts_with('/'))
        else {
            if path == metrics::PATH {
                access::may_watch(&self.authenticate(request, correlation, noted).await?)?;
            }
            let request = std::mem::take(request);
            return self.inner.call(request).await.map_err(|error| problem::from_poem(&error, &[]));
        };
        let found = self.operations.find(request.method(), path);
        // A source that signs what it sends has no token; its route tells whether it may. Others ask for what anyone may.
        let open = matches!(&found, Found::Operation(operation, _) if access::needs_no_token(&operation.id));
        let caller = if open { None } else { Some(self.authenticate(request, correlation, noted).await?) };
        if let Some(caller) = &caller {
            tracing::Span::current().record("subject", caller.subject());
        }
        let (operation, values) = match found {
            Found::Operation(operation, values) => {
                noted.operation = Some(operation);
                (operation, values)
            }
            Found::OtherMethods(allowed) => return Err(Problem::method(request.method().as_str(), &allowed)),
            Found::Nothing => {
                return Err(Problem::new(
                    Kind::NoSuchRoute,
                    format!(
                        "there is no route {}: see /docs for those there are",
                        written(request.uri().path())
                    ),
                ));
            }
        };
        let query = request.uri().query().unwrap_or_default();
        if let Some(caller) = &caller {
            permit(caller, operation, &values, query)?;
        }
        check_query(query, operation)?;
        if operation.writes() {
            check_key(request)?;
            check_encoding(request)?;
        }
        let limit = if operation.uploads {
            self.service.config.upload_bytes_max
        } else {
            self.service.config.json_bytes_max
        };
        let length = content_length(request);
        if length.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let _room = if operation.uploads {
            Some(self.service.room_for(length.unwrap_or(limit)).await?)
        } else {
            None
        };
        let (body, ending) = Metered::new(request.take_body(), limit, self.service.config.body_pause_max);
        request.set_body(Body::from_async_read(body));
        noted.body = Some(ending.clone());
        let target = Target(request.uri().clone());
        request.extensions_mut().insert(target);
        request.extensions_mut().insert(correlation);
        if let Some(caller) = &caller {
            request.extensions_mut().insert(caller.clone());
        }
        let request = std::mem::take(request);
        let answering = async {
            match &caller {
                Some(caller) => access::within(caller, self.inner.call(request)).await,
                None => Ok(self.inner.call(request).await),
            }
        };
        let time = self.service.config.time_for(operation.uploads);
        let Ok(answered) = tokio::time::timeout(time, answering).await else {
            self.metrics.requests.timed_out();
            return Err(timed_out(time, operation));
        };
        let mut answered = answered?;
        if let (Some(Role::Display), Ok(response)) = (caller.as_ref().map(Caller::role), &mut answered) {
            let config = &self.service.config;
            answer::keep(response, config.display_fresh, config.display_stale);
        }
        match ending.trouble() {
            Some(Trouble::TooLarge) => Err(too_large(limit)),
            Some(Trouble::TooSlow) => {
                let seconds = self.service.config.body_pause_max.as_secs();
                Err(Problem::new(
                    Kind::TooSlow,
                    format!("the body paused for {seconds} s, or came drop by drop: send it again"),
                ))
            }
            None => answered.map_err(|error| problem::from_poem(&error, &operation.path_names)),
        }
    }

    async fn authenticate(
        &self,
        request: &Request,
        correlation: CorrelationId,
        noted: &mut Noted<'_>,
    ) -> Result<Caller, Problem> {
        let presented = request.headers().get(AUTHORIZATION).ok_or_else(|| Problem::unauthorized(false))?;
        let secret = presented
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, secret)| secret.trim())
            .filter(|secret| !secret.is_empty())
            .ok_or_else(|| Problem::unauthorized(false))?;
        let principal = match self.service.journal().authenticate_at_once(secret) {
            Some(principal) => principal,
            None => {
                let secret = secret.to_owned();
                let principal =
                    self.service.blocking(move |journal| Ok(journal.authenticate(&secret)?)).await?;
                principal.ok_or_else(|| Problem::unauthorized(true))?
            }
        };
        self.service.note_use(principal.token);
        if let Some(rates) = &self.rates {
            let (allowance, taken) = rates.take(principal.token);
            noted.allowance = Some(allowance);
            taken.inspect_err(|_| self.metrics.requests.limited())?;
        }
        Ok(Caller::new(principal, correlation))
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Gate<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let (shown, correlation) = match request_id(&request) {
            Ok(id) => id,
            Err(problem) => return Ok(problem.into_response()),
        };
        let method = request.method().clone();
        let carries = carries_body(&request);
        let waits = request.headers().contains_key(EXPECT);
        let span = tracing::info_span!(
            "request",
            id = %shown,
            method = %method,
            path = &*written(request.uri().path()),
            subject = tracing::field::Empty,
            status = tracing::field::Empty,
        );
        let began = std::time::Instant::now();
        let _in_flight = self.metrics.requests.begin();
        let mut noted = Noted::default();
        let mut response = async {
            let response = match self.pass(&mut request, correlation, &mut noted).await {
                Ok(response)
                    if response.status().is_client_error() || response.status().is_server_error() =>
                {
                    ensure_problem(response)
                }
                Ok(response) => response,
                Err(problem) => problem.into_response(),
            };
            tracing::Span::current().record("status", response.status().as_u16());
            tracing::debug!(microseconds = began.elapsed().as_micros(), "answered");
            response
        }
        .instrument(span)
        .await;
        if carries {
            let rest = match noted.body {
                Some(ending) => ending.rest(),
                None => Some(Box::pin(request.take_body().into_async_read()) as _),
            };
            // Whoever waits to be asked for the body is not asked.
            if let Some(rest) = rest
                && (waits || !read_out(rest).await)
            {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        if method == Method::HEAD {
            response.set_body(());
        }
        let operation = noted.operation.map(|operation| operation.id.as_str());
        self.metrics.requests.answered(operation, response.status().as_u16(), began.elapsed());
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&shown) {
            headers.insert(REQUEST_ID, id);
        }
        if let Some(allowance) = noted.allowance {
            allowance.tell(headers);
        }
        guard(headers, self.service.config.encrypted);
        Ok(response)
    }
}

/// Tells browsers what not to do with an answer, unless the route has said so itself.
fn guard(headers: &mut HeaderMap, encrypted: bool) {
    headers.entry(X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-store"));
    headers.entry(REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    if encrypted {
        headers.entry(STRICT_TRANSPORT_SECURITY).or_insert(HeaderValue::from_static("max-age=31536000"));
    }
}

/// The problem of an answer that took too long.
fn timed_out(time: Duration, operation: &Operation) -> Problem {
    let seconds = time.as_secs_f64();
    let detail = if operation.writes() {
        format!(
            "it was not done within {seconds} s and may yet be recorded: send it again with the same Idempotency-Key, \
             under which it is recorded once"
        )
    } else {
        format!("it was not answered within {seconds} s: ask for less, or again later")
    };
    Problem::new(Kind::TimedOut, detail).with(RETRY_AFTER, "5")
}

/// A path as it may be written down: what follows a webhook's name may be a secret, also where no route is meant.
pub(super) fn written(path: &str) -> Cow<'_, str> {
    let segments: Vec<&str> = path.split('/').collect();
    let spelt = |segment: &str| {
        let mut decoded = url::form_urlencoded::parse(segment.as_bytes());
        decoded.next().is_some_and(|(name, _)| name.eq_ignore_ascii_case("webhooks"))
    };
    let Some(at) = segments.iter().position(|segment| spelt(segment)) else { return path.into() };
    match segments.get(at + 2..) {
        None | Some([] | ["retry"]) => path.into(),
        Some(_) => format!("{}/…", segments[..at + 2].join("/")).into(),
    }
}

/// Makes a problem of an error answer that is none yet.
fn ensure_problem(response: Response) -> Response {
    let is_problem = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|media| media.starts_with(problem::MEDIA_TYPE));
    if is_problem {
        return response;
    }
    match response.status() {
        StatusCode::NOT_FOUND => Problem::new(Kind::NoSuchRoute, "see /docs for the routes there are"),
        status if status.is_client_error() => Problem::new(Kind::InvalidRequest, status.to_string()),
        status => Problem::internal(format!("an answer with status {status}")),
    }
    .into_response()
}

/// The request's id as it is shown, and as it is recorded.
fn request_id(request: &Request) -> Result<(String, CorrelationId), Problem> {
    match request.headers().get(REQUEST_ID) {
        Some(given) => {
            let text = visible(given).ok_or_else(|| {
                Problem::parameter(
                    "X-Request-Id",
                    format!("write 1 to {NAME_BYTES_MAX} visible ASCII characters"),
                )
            })?;
            let id = text.parse().unwrap_or_else(|_| CorrelationId::derive(&[text.as_bytes()]));
            Ok((text.to_owned(), id))
        }
        None => {
            let mut bytes = [0; 10];
            getrandom::fill(&mut bytes)
                .map_err(|error| Problem::internal(format!("no random bytes: {error}")))?;
            let milliseconds = u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or(0);
            let id = CorrelationId::new(milliseconds, bytes);
            Ok((id.to_string(), id))
        }
    }
}

/// The text of a header that holds a name.
pub(super) fn visible(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len());
    (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
}

fn check_key(request: &Request) -> Result<(), Problem> {
    let mut keys = request.headers().get_all(IDEMPOTENCY_KEY).iter();
    match (keys.next(), keys.next()) {
        (None, _) => Ok(()),
        (Some(key), None) if visible(key).is_some() => Ok(()),
        _ => Err(Problem::parameter(
            "Idempotency-Key",
            format!("send one key of 1 to {NAME_BYTES_MAX} visible ASCII characters"),
        )),
    }
}

/// Refuses a body that is compressed: its size would not be known before it is unpacked.
fn check_encoding(request: &Request) -> Result<(), Problem> {
    match request.headers().get(CONTENT_ENCODING) {
        Some(encoding) if encoding.as_bytes() != b"identity" => {
            Err(Problem::new(Kind::UnsupportedMediaType, "send the body as it is, without Content-Encoding"))
        }
        _ => Ok(()),
    }
}

/// Whether the caller may call the operation at all, and may know of what its path and its query are about.
fn permit(caller: &Caller, operation: &Operation, values: &[String], query: &str) -> Result<(), Problem> {
    if let Some((noun, id)) = operation.about(values) {
        caller.check(noun, id)?;
    }
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        caller.check(&name, &value)?;
    }
    if caller.percentages_only() && !access::answers_in_percentages(&operation.id) {
        return Err(Problem::forbidden("the token shows percentages alone, and this answers with amounts"));
    }
    match access::callers(&operation.id) {
        Some(callers) if access::permits(caller.role(), callers) => Ok(()),
        _ => Err(Problem::forbidden(format!(
            "a token with the role {} may not do this: ask an administrator",
            caller.role()
        ))),
    }
}

/// Refuses query parameters that the operation does not take, and those given twice.
fn check_query(query: &str, operation: &Operation) -> Result<(), Problem> {
    let mut seen: Vec<String> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        if !operation.query_names.iter().any(|known| known == name) {
            let takes = if operation.query_names.is_empty() {
                "it takes none".to_owned()
            } else {
                format!("it takes {}", operation.query_names.join(", "))
            };
            let name: String = name.chars().take(100).collect();
            return Err(Problem::faulty(
                Kind::UnknownParameter,
                vec![problem::Fault::new(name, format!("the route does not take this parameter; {takes}"))],
            ));
        }
        if seen.iter().any(|known| known == name) {
            return Err(Problem::parameter(name, "it is given twice: give it once"));
        }
        seen.push(name.to_owned());
    }
    Ok(())
}

/// Whether a body comes that must be read before its connection can carry another request.
fn carries_body(request: &Request) -> bool {
    let chunked = request.headers().contains_key(TRANSFER_ENCODING);
    request.version() < Version::HTTP_2
        && (chunked || content_length(request).is_some_and(|length| length > 0))
}

fn content_length(request: &Request) -> Option<u64> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(limit: u64) -> Problem {
    Problem::new(Kind::TooLarge, format!("the route takes at most {limit} bytes: send it in parts"))
}
