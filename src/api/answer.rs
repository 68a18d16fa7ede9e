//! Answers: what was found, with its ETag, and what was made, with its place.

use super::access::Caller;
use super::gate::Target;
use super::precondition::Standing;
use super::problem::Problem;
use poem::http::StatusCode;
use poem::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION, VARY,
};
use poem::{FromRequest, IntoResponse, Request, RequestBody, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::{ToJSON, Type};
use std::marker::PhantomData;
use std::time::Duration;

/// The media type of an answer.
const JSON: &str = "application/json";
/// Reads may be kept by whoever asked, and are asked for again each time.
const REVALIDATED: &str = "private, no-cache";

/// What a read asks for, and what the caller has of it already.
#[derive(Clone, Debug)]
pub(super) struct Question {
    none_match: Vec<String>,
    path: String,
    query: String,
    view: String,
}

impl<'a> FromRequest<'a> for Question {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let none_match = request
            .headers()
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim().to_owned())
            .collect();
        let uri = Target::of(request);
        let mut query: Vec<&str> = uri.query().unwrap_or_default().split('&').collect();
        query.sort_unstable();
        let view = request.extensions().get::<Caller>().map(Caller::view).unwrap_or_default();
        Ok(Self { none_match, path: uri.path().to_owned(), query: query.join("&"), view })
    }
}

impl Question {
    /// The tag of the answer: a hash over the question, who asks, and all that the answer depends on.
    ///
    /// The tag is weak: two answers with one tag say the same of the same moment, and may differ in the ledger's
    /// head alone, which moves with entries that do not concern them.
    pub(super) fn tag(&self, dependencies: &[u64]) -> Tag {
        self.tagged(None, dependencies)
    }

    /// The tag of an answer about what can be written to: it begins with the mark that `If-Match` compares.
    pub(super) fn tag_of(&self, standing: &Standing, dependencies: &[u64]) -> Tag {
        self.tagged(Some(standing), dependencies)
    }

    fn tagged(&self, standing: Option<&Standing>, dependencies: &[u64]) -> Tag {
        let mut hasher = self.hasher(&self.query);
        for dependency in dependencies {
            hasher.update(&dependency.to_le_bytes());
        }
        let hash = &hasher.finalize().to_hex()[..32];
        let text = match standing {
            Some(standing) => format!("W/\"{}.{hash}\"", standing.mark()),
            None => format!("W/\"{hash}\""),
        };
        Tag { unchanged: self.knows(&text), text }
    }

    /// What the pages of one list have in common.
    pub(super) fn list(&self) -> String {
        let filters = self.query.split('&').filter(|pair| {
            let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
            name != "cursor" && name != "limit"
        });
        let filters = filters.collect::<Vec<_>>().join("&");
        self.hasher(&filters).finalize().to_hex()[..16].to_owned()
    }

    fn hasher(&self, query: &str) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new();
        for part in [env!("CARGO_PKG_VERSION"), &self.path, query, &self.view] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.update(&daybook_projections::FOLD_VERSION.to_le_bytes());
        hasher
    }

    /// Whether the caller has the answer with this tag already.
    fn knows(&self, tag: &str) -> bool {
        let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
        self.none_match.iter().any(|known| known == "*" || opaque(known) == opaque(tag))
    }
}

/// The tag of an answer.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    text: String,
    unchanged: bool,
}

/// An answer to a read.
pub(super) struct Found<T> {
    tag: Tag,
    body: Option<Vec<u8>>,
    of: PhantomData<fn() -> T>,
}

impl<T: ToJSON> Found<T> {
    /// The answer under a tag; made only if the caller does not have it already.
    pub(super) fn new(tag: Tag, make: impl FnOnce() -> Result<T, Problem>) -> Result<Self, Problem> {
        let body = if tag.unchanged { None } else { Some(make()?.to_json_string().into_bytes()) };
        Ok(Self { tag, body, of: PhantomData })
    }
}

impl<T> Found<T> {
    /// The answer whose JSON is written already.
    pub(super) fn written(
        tag: Tag,
        make: impl FnOnce() -> Result<Vec<u8>, Problem>,
    ) -> Result<Self, Problem> {
        let body = if tag.unchanged { None } else { Some(make()?) };
        Ok(Self { tag, body, of: PhantomData })
    }
}

impl<T: Send> IntoResponse for Found<T> {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Some(body) => Response::builder().content_type(JSON).body(body),
            None => Response::builder().status(StatusCode::NOT_MODIFIED).finish(),
        };
        set(&mut response, ETAG, &self.tag.text);
        set(&mut response, CACHE_CONTROL, REVALIDATED);
        set(&mut response, VARY, "authorization");
        response
    }
}

impl<T: Type> ApiResponse for Found<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![
                MetaResponse {
                    headers: vec![header("ETag", "Changes when anything that the answer depends on does")],
                    ..answer::<T>(200, "The answer")
                },
                MetaResponse {
                    content: Vec::new(),
                    ..answer::<T>(304, "The caller has the answer already (`If-None-Match`)")
                },
            ],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// The media type of what those are answered who may know no amount.
pub(super) const PROPORTIONS: &str = "application/vnd.daybook.proportions+json";

/// An answer to a read: in amounts, or in proportions for a token that shows percentages alone.
pub(super) struct Shown<T, P> {
    found: Found<T>,
    in_proportions: bool,
    of: PhantomData<fn() -> P>,
}

impl<T, P> Shown<T, P> {
    /// The answer as it is found for a caller.
    pub(super) fn to(caller: &Caller, found: Found<T>) -> Self {
        Self { found, in_proportions: caller.percentages_only(), of: PhantomData }
    }
}

impl<T: Send, P: Send> IntoResponse for Shown<T, P> {
    fn into_response(self) -> Response {
        let mut response = self.found.into_response();
        if self.in_proportions && response.status() == StatusCode::OK {
            set(&mut response, CONTENT_TYPE, PROPORTIONS);
        }
        response
    }
}

impl<T: Type, P: Type> ApiResponse for Shown<T, P> {
    fn meta() -> MetaResponses {
        let mut meta = Found::<T>::meta();
        for response in meta.responses.iter_mut().filter(|response| response.status == Some(200)) {
            response.description = "The answer; in proportions, for a token that shows percentages alone";
            response.content.push(MetaMediaType { content_type: PROPORTIONS, schema: P::schema_ref() });
        }
        meta
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
        P::register(registry);
    }
}

/// An answer to a write.
pub(super) struct Made<T> {
    status: StatusCode,
    location: Option<String>,
    replayed: bool,
    body: Vec<u8>,
    of: PhantomData<fn() -> T>,
}

impl<T: ToJSON> Made<T> {
    /// It was recorded now.
    pub(super) fn new(body: &T) -> Self {
        Self {
            status: StatusCode::CREATED,
            location: None,
            replayed: false,
            body: body.to_json_string().into_bytes(),
            of: PhantomData,
        }
    }

    /// It was there before, or nothing had to be recorded.
    pub(super) fn unchanged(self) -> Self {
        Self { status: StatusCode::OK, ..self }
    }

    /// Where to find it, below `/v1`.
    pub(super) fn at(self, path: &str) -> Self {
        Self { location: Some(format!("/v1{path}")), ..self }
    }

    /// Whether the same request was answered before, under the same Idempotency-Key.
    pub(super) fn replayed(self, replayed: bool) -> Self {
        Self { replayed, ..self }
    }
}

impl<T: Send> IntoResponse for Made<T> {
    fn into_response(self) -> Response {
        let mut response = Response::builder().status(self.status).content_type(JSON).body(self.body);
        if let Some(location) = &self.location {
            set(&mut response, LOCATION, location);
        }
        if self.replayed {
            set(&mut response, HeaderName::from_static("idempotent-replayed"), "true");
        }
        set(&mut response, CACHE_CONTROL, "private, no-store");
        response
    }
}

impl<T: Type> ApiResponse for Made<T> {
    fn meta() -> MetaResponses {
        let replayed = || header("Idempotent-Replayed", "`true` if the same request was answered before");
        MetaResponses {
            responses: vec![
                MetaResponse {
                    headers: vec![header("Location", "Where to find it"), replayed()],
                    ..answer::<T>(201, "It was recorded")
                },
                MetaResponse {
                    headers: vec![replayed()],
                    ..answer::<T>(200, "It was there before, or nothing had to be recorded")
                },
            ],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// An answer without a body.
pub(super) struct Done;

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        Response::builder().status(StatusCode::NO_CONTENT).finish()
    }
}

impl ApiResponse for Done {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse { content: Vec::new(), ..answer::<String>(204, "It is done") }],
        }
    }

    fn register(_registry: &mut Registry) {}
}

fn answer<T: Type>(status: u16, description: &'static str) -> MetaResponse {
    MetaResponse {
        description,
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType { content_type: JSON, schema: T::schema_ref() }],
        headers: Vec::new(),
    }
}

fn header(name: &str, description: &str) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: false,
        deprecated: false,
        schema: <String as Type>::schema_ref(),
    }
}

/// Lets an answer to a read be shown for a while without asking again, and for a while more while asking.
pub(super) fn keep(response: &mut Response, fresh: Duration, stale: Duration) {
    if response.headers().contains_key(ETAG) {
        let (fresh, stale) = (fresh.as_secs(), stale.as_secs());
        set(response, CACHE_CONTROL, &format!("private, max-age={fresh}, stale-while-revalidate={stale}"));
    }
}

/// Sets a header whose value is made of ASCII.
pub(super) fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
