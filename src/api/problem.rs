//! Errors as every route answers them: `application/problem+json`, with a type that never changes and what to do.

use super::precondition::Standing;
use crate::journal::{Invalid, JournalError};
use daybook_ledger::{AppendError, NotaryError};
use poem::http::StatusCode;
use poem::http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use poem::{Endpoint, IntoResponse, Request, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use serde_json::{Value, json};
use std::fmt;

/// The media type of a problem.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// The most faults that one answer names.
const ERRORS_MAX: usize = 100;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $status:ident, $slug:literal, $title:literal;)*) => {
        /// What kind of problem it is.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Kind {
            $($(#[doc = $doc])+ $kind,)*
        }

        impl Kind {
            /// Every kind.
            pub(super) const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The last part of the type's URI.
            pub(super) const fn slug(self) -> &'static str {
                match self {
                    $(Self::$kind => $slug,)*
                }
            }

            /// What it means.
            pub(super) const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$kind => concat!($($doc),+),)*
                }
            }

            /// The title, the same for every problem of the kind.
            pub(super) const fn title(self) -> &'static str {
                match self {
                    $(Self::$kind => $title,)*
                }
            }

            /// The status.
            pub(super) const fn status(self) -> StatusCode {
                match self {
                    $(Self::$kind => StatusCode::$status,)*
                }
            }
        }
    };
}

kinds! {
    /// No valid token came with the request.
    Unauthorized = UNAUTHORIZED, "unauthorized", "A valid token is needed";
    /// A webhook's delivery is not signed as its source must sign, is late, or names no source that there is.
    SignatureRefused = UNAUTHORIZED, "signature-refused", "The delivery is not signed as it should be";
    /// The token's role may not do this.
    Forbidden = FORBIDDEN, "forbidden", "The token's role may not do this";
    /// There is no such thing, or the caller may not know of it.
    NotFound = NOT_FOUND, "not-found", "There is no such thing";
    /// There is no such route.
    NoSuchRoute = NOT_FOUND, "no-such-route", "There is no such route";
    /// The route takes other methods.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "The route does not take this method";
    /// A parameter of the path, of the query or in a header cannot be used.
    InvalidParameter = BAD_REQUEST, "invalid-parameter", "A parameter cannot be used";
    /// The query names a parameter that the route does not take.
    UnknownParameter = BAD_REQUEST, "unknown-parameter", "The route does not take this parameter";
    /// The cursor is not one of this list's.
    InvalidCursor = BAD_REQUEST, "invalid-cursor", "The cursor does not belong to this list";
    /// The cursor was good once and can be served no more.
    CursorGone = GONE, "cursor-gone", "The cursor can no longer be served";
    /// The body is not JSON.
    MalformedJson = BAD_REQUEST, "malformed-json", "The body is not JSON";
    /// The body names a field that the route does not take.
    UnknownField = BAD_REQUEST, "unknown-field", "The body names an unknown field";
    /// The multipart body cannot be read.
    InvalidMultipart = BAD_REQUEST, "invalid-multipart", "The upload cannot be read";
    /// The request as a whole cannot be read.
    InvalidRequest = BAD_REQUEST, "invalid-request", "The request cannot be read";
    /// Fields or rows cannot be used; nothing was recorded.
    InvalidInput = UNPROCESSABLE_ENTITY, "invalid-input", "The input cannot be used";
    /// The input contradicts what the ledger holds.
    Conflict = CONFLICT, "conflict", "It contradicts what the ledger holds";
    /// The Idempotency-Key was used for another request. `earlier` and `present` show both.
    KeyReused = CONFLICT, "idempotency-key-reused", "The Idempotency-Key was used for another request";
    /// What is written to changed since the read whose ETag came as `If-Match`. `current` has its present ETag and the last event that changed it.
    PreconditionFailed = PRECONDITION_FAILED, "precondition-failed", "It changed since it was read";
    /// The body is larger than the route takes.
    TooLarge = PAYLOAD_TOO_LARGE, "too-large", "The body is too large";
    /// The body came too slowly.
    TooSlow = REQUEST_TIMEOUT, "too-slow", "The body came too slowly";
    /// The token made more requests than it may.
    RateLimited = TOO_MANY_REQUESTS, "rate-limited", "Too many requests";
    /// The answer took too long.
    TimedOut = SERVICE_UNAVAILABLE, "timed-out", "The answer took too long";
    /// The body is of another media type than the route takes.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body's media type is not taken";
    /// The disk is full.
    NoSpace = INSUFFICIENT_STORAGE, "no-space", "The disk is full";
    /// The service cannot do this now.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "The service cannot do this now";
    /// The service failed.
    Internal = INTERNAL_SERVER_ERROR, "internal", "The service failed";
}

/// One thing that is wrong with the input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    /// The field, parameter or column; none if it is about the whole.
    pub(super) field: Option<String>,
    /// The line in an uploaded file, from 1.
    pub(super) line: Option<u64>,
    /// What is wrong, and what to do.
    pub(super) detail: String,
}

impl Fault {
    /// A fault of a field.
    pub(super) fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: Some(field.into()), line: None, detail: detail.into() }
    }

    fn to_json(&self) -> Value {
        let mut json = json!({ "detail": self.detail });
        if let Some(field) = &self.field {
            json["field"] = Value::from(field.as_str());
        }
        if let Some(line) = self.line {
            json["line"] = Value::from(line);
        }
        json
    }
}

/// Why a request was not done.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<Fault>,
    sequence: Option<u64>,
    shown: Vec<(&'static str, Value)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem and what to do about it.
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            sequence: None,
            shown: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// Input of which each fault is named. There is at least one.
    pub(super) fn faulty(kind: Kind, mut errors: Vec<Fault>) -> Self {
        let detail = match errors.as_slice() {
            [only] => match &only.field {
                Some(field) => format!("`{field}`: {}", only.detail),
                None => only.detail.clone(),
            },
            more => format!("{} faults were found: correct each one named in `errors`", more.len()),
        };
        errors.truncate(ERRORS_MAX);
        Self { errors, ..Self::new(kind, detail) }
    }

    /// A parameter of path, query or header that cannot be used.
    pub(super) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::faulty(Kind::InvalidParameter, vec![Fault::new(name, detail)])
    }

    /// There is no such thing, as far as the caller may know.
    pub(super) fn not_found(what: &str, id: impl fmt::Display) -> Self {
        Self::new(Kind::NotFound, format!("there is no {what} {id}: look it up in the list"))
    }

    /// No token came, or one that is not valid.
    pub(super) fn unauthorized(presented: bool) -> Self {
        let (detail, challenge) = if presented {
            (
                "the token is unknown, revoked or has ended: ask an administrator for another",
                r#"Bearer realm="daybook", error="invalid_token""#,
            )
        } else {
            ("send a token in the header `Authorization: Bearer TOKEN`", r#"Bearer realm="daybook""#)
        };
        Self::new(Kind::Unauthorized, detail).with(WWW_AUTHENTICATE, challenge)
    }

    /// A webhook's delivery that is not signed as it should be.
    pub(super) fn signature(detail: impl Into<String>) -> Self {
        Self::new(Kind::SignatureRefused, detail)
            .with(WWW_AUTHENTICATE, r#"Daybook-Signature realm="daybook""#)
    }

    /// The role may not do this.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, detail)
    }

    /// The route takes only these methods.
    pub(super) fn method(method: &str, allowed: &str) -> Self {
        Self::new(Kind::MethodNotAllowed, format!("the route takes {allowed}, not {method}"))
            .with(ALLOW, allowed)
    }

    /// The service failed; what happened stands in its log.
    pub(super) fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(
            Kind::Internal,
            "the service failed, and its log says why under the request's id: send the request again, with the same Idempotency-Key if it writes",
        )
    }

    /// The service cannot do this now.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, detail).with(RETRY_AFTER, "5")
    }

    /// What is written to changed since it was read.
    pub(super) fn precondition_failed(present: &Standing) -> Self {
        let etag = format!("W/\"{}\"", present.mark());
        Self {
            sequence: Some(present.sequence),
            ..Self::new(
                Kind::PreconditionFailed,
                format!(
                    "it changed since the read whose ETag came as If-Match, last by event {}: read it again and decide again",
                    present.sequence
                ),
            )
        }
        .showing("current", json!({ "etag": etag, "sequence": present.sequence }))
    }

    /// With another member.
    pub(super) fn showing(mut self, name: &'static str, value: Value) -> Self {
        self.shown.push((name, value));
        self
    }

    /// With a header.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// What kind it is.
    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// The same with other words for what is wrong.
    pub(super) fn saying(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// With other names for the fields of its faults.
    pub(super) fn rename(mut self, name: impl Fn(&mut Fault)) -> Self {
        if self.errors.is_empty() {
            return self;
        }
        self.errors.iter_mut().for_each(name);
        Self { sequence: self.sequence, headers: self.headers, ..Self::faulty(self.kind, self.errors) }
    }

    fn to_json(&self) -> Value {
        let mut json = json!({
            "type": format!("/problems/{}", self.kind.slug()),
            "title": self.kind.title(),
            "status": self.kind.status().as_u16(),
            "detail": self.detail,
        });
        if !self.errors.is_empty() {
            json["errors"] = self.errors.iter().map(Fault::to_json).collect();
        }
        if let Some(sequence) = self.sequence {
            json["sequence"] = Value::from(sequence);
        }
        for (name, value) in &self.shown {
            json[*name] = value.clone();
        }
        json
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.title(), self.detail)
    }
}

impl std::error::Error for Problem {}

impl poem::error::ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.kind.status()
    }

    fn as_response(&self) -> Response {
        self.clone().into_response()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::builder()
            .status(self.kind.status())
            .content_type(MEDIA_TYPE)
            .header("cache-control", "no-store")
            .body(self.to_json().to_string());
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "What is wrong, and what to do",
                status: None,
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: MEDIA_TYPE,
                    schema: MetaSchemaRef::Reference("Problem".to_owned()),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        fn member(ty: &'static str, description: &'static str) -> MetaSchema {
            MetaSchema { description: Some(description), ..MetaSchema::new(ty) }
        }
        let inline = |schema| MetaSchemaRef::Inline(Box::new(schema));
        let request = |description| MetaSchema {
            properties: vec![
                ("operation", inline(member("string", "The operation's id"))),
                ("request", inline(member("string", "Method and path"))),
                (
                    "content_hash",
                    inline(member(
                        "string",
                        "What tells its path and its content from others, in hexadecimal",
                    )),
                ),
                ("sequence", inline(member("integer", "The event that it recorded"))),
                ("type", inline(member("string", "What kind of event that is"))),
                ("stream", inline(member("string", "The stream that it belongs to"))),
                ("recorded_at", inline(member("string", "When it was recorded"))),
            ],
            required: vec!["content_hash"],
            ..member("object", description)
        };
        registry.create_schema::<Fault, _>("Fault".to_owned(), |_| MetaSchema {
            description: Some("One thing that is wrong with the input."),
            required: vec!["detail"],
            properties: vec![
                ("field", inline(member("string", "The field, parameter or column"))),
                ("line", inline(member("integer", "The line in an uploaded file, from 1"))),
                ("detail", inline(member("string", "What is wrong, and what to do"))),
            ],
            ..MetaSchema::new("object")
        });
        registry.create_schema::<Self, _>("Problem".to_owned(), |_| MetaSchema {
            description: Some("Why a request was not done (RFC 9457)."),
            required: vec!["type", "title", "status", "detail"],
            properties: vec![
                (
                    "type",
                    inline(MetaSchema {
                        enum_items: Kind::ALL
                            .iter()
                            .map(|kind| format!("/problems/{}", kind.slug()).into())
                            .collect(),
                        ..member("string", "The kind of problem; it never changes its meaning")
                    }),
                ),
                ("title", inline(member("string", "The kind in words"))),
                ("status", inline(member("integer", "The status"))),
                ("detail", inline(member("string", "What is wrong with this request, and what to do"))),
                (
                    "errors",
                    inline(MetaSchema {
                        items: Some(Box::new(MetaSchemaRef::Reference("Fault".to_owned()))),
                        ..member("array", "Each thing that is wrong with the input")
                    }),
                ),
                ("sequence", inline(member("integer", "The event that the request contradicts"))),
                (
                    "current",
                    inline(MetaSchema {
                        properties: vec![
                            ("etag", inline(member("string", "What `If-Match` would have to say now"))),
                            ("sequence", inline(member("integer", "The last event that changed it"))),
                        ],
                        required: vec!["etag", "sequence"],
                        ..member("object", "What is written to, as it stands")
                    }),
                ),
                (
                    "earlier",
                    inline(request(
                        "The request for which the Idempotency-Key was used, and what it recorded",
                    )),
                ),
                ("present", inline(request("The request that came now"))),
            ],
            ..MetaSchema::new("object")
        });
    }
}

impl From<Vec<Fault>> for Problem {
    fn from(errors: Vec<Fault>) -> Self {
        Self::faulty(Kind::InvalidInput, errors)
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::NotFound { what, id } => Self::not_found(what, id),
            JournalError::Invalid(faults) => {
                Self::faulty(Kind::InvalidInput, faults.into_iter().map(fault).collect())
            }
            JournalError::Conflict { detail, sequence } => {
                Self { sequence, ..Self::new(Kind::Conflict, detail) }
            }
            JournalError::KeyReused { sequence } => Self::key_reused(sequence),
            JournalError::Forbidden(detail) => Self::forbidden(detail),
            JournalError::Unreachable(detail) => Self::new(Kind::InvalidParameter, detail),
            JournalError::Append(error) => from_append(error),
            JournalError::Unfinished(AppendError::NoSpace) => Problem::new(
                Kind::NoSpace,
                "the disk became full and nothing of this counts: make room and send it again",
            ),
            JournalError::Unfinished(error) => from_append(error),
            JournalError::Notary(error @ NotaryError::NoKey) => Self::unavailable(error.to_string()),
            JournalError::ReadOnly => Self::unavailable("the ledger is open for reading alone"),
            error @ (JournalError::Read(_)
            | JournalError::Open(_)
            | JournalError::Close(_)
            | JournalError::Notary(_)
            | JournalError::Tree(_)
            | JournalError::Event { .. }
            | JournalError::KeyFile { .. }
            | JournalError::File { .. }
            | JournalError::Internal(_)) => Self::internal(error),
        }
    }
}

fn fault(invalid: Invalid) -> Fault {
    Fault { field: invalid.field, line: invalid.line, detail: invalid.detail }
}

fn from_append(error: AppendError) -> Problem {
    match error {
        AppendError::VersionConflict { .. } => Problem::new(
            Kind::Conflict,
            "something else was recorded at the same moment: read again and decide again",
        ),
        AppendError::KeyConflict { sequence, .. } => Problem {
            sequence: Some(sequence),
            ..Problem::new(Kind::Conflict, "another content is recorded under this id: use another id")
        },
        AppendError::CommitKeyConflict { sequence, .. } => Problem::key_reused(sequence),
        AppendError::PartlyKnown { sequence, .. } => Problem {
            sequence: Some(sequence),
            ..Problem::new(Kind::Conflict, "a part of it is recorded already: send only what is missing")
        },
        AppendError::TooLarge { .. } => {
            Problem::new(Kind::TooLarge, "it is more than one commit takes: send it in parts")
        }
        AppendError::Empty => Problem::new(Kind::InvalidInput, "there is nothing in it to record"),
        AppendError::Invalid { why, .. } => Problem::new(Kind::InvalidInput, why),
        AppendError::NoSpace => Problem::new(
            Kind::NoSpace,
            "the disk is full and nothing was recorded: make room and send it again",
        ),
        AppendError::Overloaded => {
            Problem::unavailable("too many writes are waiting and this one was not recorded: send it again")
        }
        AppendError::Stalled { .. }
        | AppendError::ReadOnly
        | AppendError::Closed
        | AppendError::Poisoned { .. } => {
            tracing::error!(%error, "the ledger takes no writes");
            Problem::unavailable("the ledger takes no writes until the service is started again; reads go on")
        }
        error @ (AppendError::Undecided(_) | AppendError::Indefinite { .. }) => Problem::internal(error),
    }
}

impl Problem {
    /// The Idempotency-Key was used for another request, which ended in this event.
    pub(super) fn key_reused(sequence: u64) -> Self {
        Self {
            sequence: Some(sequence),
            ..Self::new(
                Kind::KeyReused,
                format!(
                    "this Idempotency-Key was used for another request, which ended in event {sequence}: use a new key"
                ),
            )
        }
    }
}

/// What a kind of problem means, at the address that is its type.
pub(super) struct Meanings;

impl Endpoint for Meanings {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let slug = request.raw_path_param("kind").unwrap_or_default();
        let kind = Kind::ALL.iter().find(|kind| kind.slug() == slug);
        let kind =
            kind.ok_or_else(|| Problem::new(Kind::NotFound, "there is no such kind of problem: see /docs"))?;
        let meaning = json!({
            "type": format!("/problems/{}", kind.slug()),
            "title": kind.title(),
            "status": kind.status().as_u16(),
            "meaning": kind.meaning().trim(),
        });
        Ok(Response::builder().content_type("application/json").body(meaning.to_string()))
    }
}

/// The problem of an error that poem or an extractor raised. `path_names` are the names of the route's path
/// parameters, in order: the router only counts them.
pub(super) fn from_poem(error: &poem::Error, path_names: &[String]) -> Problem {
    use poem::error::{MethodNotAllowedError, NotFoundError, ParseMultipartError, ReadBodyError};
    use poem_openapi::error::{ContentTypeError, ParseParamError, ParsePathError, ParseRequestPayloadError};
    if let Some(problem) = error.downcast_ref::<Problem>() {
        return problem.clone();
    }
    if let Some(error) = error.downcast_ref::<ParsePathError>() {
        let number = error.name.strip_prefix("param").and_then(|number| number.parse::<usize>().ok());
        let name = number.and_then(|number| path_names.get(number)).map_or(error.name, String::as_str);
        return Problem::parameter(name, plain(&error.reason));
    }
    if let Some(error) = error.downcast_ref::<ParseParamError>() {
        return Problem::parameter(error.name, plain(&error.reason));
    }
    if let Some(error) = error.downcast_ref::<ParseRequestPayloadError>() {
        return Problem::new(Kind::InvalidRequest, error.reason.clone());
    }
    if let Some(error) = error.downcast_ref::<ContentTypeError>() {
        return Problem::new(Kind::UnsupportedMediaType, error.to_string());
    }
    if let Some(error) = error.downcast_ref::<ParseMultipartError>() {
        return from_multipart(error);
    }
    if let Some(error) = error.downcast_ref::<ReadBodyError>() {
        return Problem::new(Kind::InvalidRequest, format!("the body broke off ({error}): send it again"));
    }
    if error.is::<NotFoundError>() {
        return Problem::new(Kind::NoSuchRoute, "see /docs for the routes there are");
    }
    if error.is::<MethodNotAllowedError>() {
        return Problem::new(Kind::MethodNotAllowed, "see /docs for the methods that the route takes");
    }
    match error.status() {
        status if status.is_client_error() => Problem::new(Kind::InvalidRequest, error.to_string()),
        _ => Problem::internal(error),
    }
}

/// The problem of a multipart body that cannot be read.
pub(super) fn from_multipart(error: &poem::error::ParseMultipartError) -> Problem {
    use poem::error::ParseMultipartError as Error;
    match error {
        Error::InvalidContentType(_) | Error::ContentTypeRequired => {
            Problem::new(Kind::UnsupportedMediaType, "send the upload as multipart/form-data")
        }
        Error::Multipart(error) => {
            Problem::new(Kind::InvalidMultipart, format!("{error}: send every part whole, with its name"))
        }
        Error::Utf8(_) => Problem::new(Kind::InvalidMultipart, "a part that should be text is not UTF-8"),
        Error::Io(error) => {
            Problem::new(Kind::InvalidRequest, format!("the body broke off ({error}): send it again"))
        }
    }
}

/// The words of a parameter's own type, without the frame that poem puts around them.
fn plain(reason: &str) -> &str {
    let framed = reason.strip_prefix("failed to parse \"").and_then(|rest| rest.split_once("\": "));
    let words = framed.map_or(reason, |(_, words)| words);
    words.rsplit_once(" (occurred while parsing \"").map_or(words, |(words, _)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_kinds_share_a_type_and_every_status_is_an_error() {
        let mut slugs: Vec<_> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!(kind.status().is_client_error() || kind.status().is_server_error(), "{kind:?}");
        }
    }

    #[test]
    fn a_fault_under_another_name_has_that_name_everywhere() {
        let problem = Problem::from(vec![Fault::new("portfolio", "there is none")]);
        let renamed = problem.rename(|fault| fault.field = Some("portfolios".to_owned())).to_json();
        assert_eq!(renamed["detail"], "`portfolios`: there is none");
        assert_eq!(renamed["errors"][0]["field"], "portfolios");
    }

    #[test]
    fn a_parameter_is_refused_in_the_words_of_its_own_type() {
        let framed = r#"failed to parse "string_date": `x` is not a date (occurred while parsing "optional_string_date")"#;
        assert_eq!(plain(framed), "`x` is not a date");
        assert_eq!(plain("too short"), "too short");
    }

    #[test]
    fn one_fault_is_told_in_the_detail_and_many_are_counted() {
        let one = Problem::from(vec![Fault::new("price", "it is negative")]);
        assert_eq!(one.to_json()["detail"], "`price`: it is negative");
        let many = Problem::from(vec![Fault::new("a", "x"), Fault::new("b", "y")]);
        assert_eq!(many.to_json()["errors"][1], json!({ "field": "b", "detail": "y" }));
    }
}
