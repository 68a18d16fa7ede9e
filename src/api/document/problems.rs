//! The problems that operations answer with: by status, with what each means and an example.

use crate::api::problem::{self, Kind};
use serde_json::{Map, Value, json};

/// The kinds of problem that one status answers with.
pub(super) type Kinds = &'static [Kind];

const INVALID: Kinds = &[
    Kind::InvalidParameter,
    Kind::UnknownParameter,
    Kind::InvalidCursor,
    Kind::MalformedJson,
    Kind::UnknownField,
    Kind::InvalidMultipart,
    Kind::InvalidRequest,
];
const UNAUTHORIZED: Kinds = &[Kind::Unauthorized];
const UNSIGNED: Kinds = &[Kind::SignatureRefused];
const FORBIDDEN: Kinds = &[Kind::Forbidden];
const NOT_FOUND: Kinds = &[Kind::NotFound, Kind::NoSuchRoute];
const GONE: Kinds = &[Kind::CursorGone];
const SLOW: Kinds = &[Kind::TooSlow];
const CONFLICT: Kinds = &[Kind::Conflict, Kind::KeyReused];
const STALE: Kinds = &[Kind::PreconditionFailed];
const LARGE: Kinds = &[Kind::TooLarge];
const MEDIA: Kinds = &[Kind::UnsupportedMediaType];
const INPUT: Kinds = &[Kind::InvalidInput];
const FULL: Kinds = &[Kind::NoSpace];
const LIMITED: Kinds = &[Kind::RateLimited];
const UNAVAILABLE: Kinds = &[Kind::Unavailable, Kind::TimedOut];
/// That the service failed: the answer with any status that no other says.
pub(super) const FAULTS: Kinds = &[Kind::Internal];

/// Every answer that is a problem, as the components of the document name them.
pub(super) const ANSWERS: &[Kinds] = &[
    INVALID,
    UNAUTHORIZED,
    UNSIGNED,
    FORBIDDEN,
    NOT_FOUND,
    GONE,
    SLOW,
    CONFLICT,
    STALE,
    LARGE,
    MEDIA,
    INPUT,
    FULL,
    LIMITED,
    UNAVAILABLE,
    FAULTS,
];

/// What an answer is called among the components.
pub(super) fn name(kinds: Kinds) -> &'static str {
    match kinds[0] {
        Kind::InvalidParameter => "Invalid",
        Kind::Unauthorized => "Unauthorized",
        Kind::SignatureRefused => "SignatureRefused",
        Kind::Forbidden => "Forbidden",
        Kind::NotFound => "NotFound",
        Kind::CursorGone => "Gone",
        Kind::TooSlow => "TooSlow",
        Kind::Conflict => "Conflict",
        Kind::PreconditionFailed => "PreconditionFailed",
        Kind::TooLarge => "TooLarge",
        Kind::UnsupportedMediaType => "UnsupportedMediaType",
        Kind::InvalidInput => "InvalidInput",
        Kind::NoSpace => "NoSpace",
        Kind::RateLimited => "RateLimited",
        Kind::Unavailable => "Unavailable",
        _ => "Failed",
    }
}

/// Where the components have the answer.
pub(super) fn reference(kinds: Kinds) -> String {
    format!("#/components/responses/{}", name(kinds))
}

/// The problems that an operation can answer with, by what it takes.
pub(super) fn problems_of(operation: &Value) -> Vec<Kinds> {
    let takes = |name: &str, place: &str| {
        let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        parameters.iter().any(|parameter| parameter["name"] == name && parameter["in"] == place)
    };
    // Who shows no token signs what it sends instead, and is told of nothing else; what anyone may read is refused to nobody.
    let mut all = match (operation.get("security"), operation.get("requestBody")) {
        (Some(_), _) => vec![INVALID, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, LIMITED, UNAVAILABLE],
        (None, Some(_)) => vec![INVALID, UNSIGNED, LIMITED, UNAVAILABLE],
        (None, None) => vec![INVALID, UNAVAILABLE],
    };
    if takes("cursor", "query") || takes("Last-Event-ID", "header") {
        all.push(GONE);
    }
    if takes("If-Match", "header") {
        all.push(STALE);
    }
    if takes("Idempotency-Key", "header") {
        all.extend([CONFLICT, FULL]);
    }
    if operation.get("requestBody").is_some() {
        all.extend([SLOW, LARGE, MEDIA, INPUT]);
    }
    all
}

/// An answer that is a problem: what it means, and an example of each kind.
pub(super) fn answer(kinds: Kinds) -> Value {
    let mut description = String::new();
    let mut examples = Map::new();
    for kind in kinds {
        if !description.is_empty() {
            description.push_str("\n\n");
        }
        description.push_str(&format!("`{}`: {}", kind.slug(), kind.meaning().trim()));
        let example = json!({
            "type": format!("/problems/{}", kind.slug()),
            "title": kind.title(),
            "status": kind.status().as_u16(),
            "detail": example_detail(*kind),
        });
        examples.insert(kind.slug().to_owned(), json!({ "summary": kind.title(), "value": example }));
    }
    let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/RequestId" } });
    if matches!(kinds[0], Kind::RateLimited | Kind::Unavailable | Kind::TooSlow) {
        headers["Retry-After"] = json!({ "$ref": "#/components/headers/RetryAfter" });
    }
    json!({
        "description": description,
        "headers": headers,
        "content": { problem::MEDIA_TYPE: {
            "schema": { "$ref": "#/components/schemas/Problem" },
            "examples": examples,
        } },
    })
}

/// What a problem of a kind says, for instance.
const fn example_detail(kind: Kind) -> &'static str {
    match kind {
        Kind::Unauthorized => "send a token as `Authorization: Bearer …`: `daybook token issue` makes one",
        Kind::SignatureRefused => {
            "no source of this name signs like this: check the name, the timestamp and the secret"
        }
        Kind::Forbidden => "a token with the role client may not do this: ask an administrator",
        Kind::NotFound => "there is no portfolio 01jd3p5s8m9v2x4c6b8n0q2w4e",
        Kind::NoSuchRoute => "there is no route /v1/portfolio: see /docs for those there are",
        Kind::MethodNotAllowed => "the route takes GET, HEAD and POST, not PUT",
        Kind::InvalidParameter => "`as_of`: write RFC 3339, such as 2024-03-05T14:30:00Z, or a date",
        Kind::UnknownParameter => {
            "`asof`: the route does not take this parameter; it takes as_of, at_sequence, known_at"
        }
        Kind::InvalidCursor => "`cursor`: it belongs to another list: send what `next` gave",
        Kind::CursorGone => "`cursor`: what it was pinned to can no longer be served: begin the list anew",
        Kind::MalformedJson => "expected `,` or `}` at line 1 column 17: correct the JSON",
        Kind::UnknownField => "`quantitty`: there is no such field: did you mean `quantity`?",
        Kind::InvalidMultipart => "the upload ends before its last boundary: send it again",
        Kind::InvalidRequest => "the request cannot be read",
        Kind::InvalidInput => {
            "`amount`: a deposit is positive: write 2500 instead of -2500, or use withdrawal"
        }
        Kind::Conflict => "event 4711 is reversed already, by event 4712",
        Kind::KeyReused => "this Idempotency-Key was used for another request: use a new key",
        Kind::PreconditionFailed => {
            "it changed since the read whose ETag came as If-Match, last by event 4711: read it again and decide again"
        }
        Kind::TooLarge => "the route takes at most 1048576 bytes: send it in parts",
        Kind::TooSlow => "the body paused for 20 s, or came drop by drop: send it again",
        Kind::UnsupportedMediaType => "send the body as JSON with `Content-Type: application/json`",
        Kind::NoSpace => "the disk is full: nothing was recorded; make room and send it again",
        Kind::RateLimited => "a token may make 600 requests in 60 s: go on in 2 s",
        Kind::TimedOut => "it was not answered within 60 s: ask for less, or again later",
        Kind::Unavailable => "other uploads take all the memory there is for them: send it again later",
        _ => "the service failed: its log has the reason under the request's id",
    }
}
