//! Server-Sent Events as they are written, and the answer that carries them.

use futures_util::Stream;
use poem::http::header::{CACHE_CONTROL, HeaderName};
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use std::fmt::Write;
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The media type of a stream.
const MEDIA_TYPE: &str = "text/event-stream";
/// How long a stream may be silent: proxies close what says nothing for a minute, and so does the service.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a reader waits before it comes back, in milliseconds.
const RETRY_MS: u32 = 2_000;

/// Why a stream that waited goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Woken {
    /// Something may have changed.
    Moved,
    /// It was silent for long enough.
    Silent,
}

/// Waits for something to change, for the time to give a sign of life, or for the service to stop.
pub(super) async fn wait(
    moved: impl Future<Output = ()>,
    heartbeat: Instant,
    stopping: &mut watch::Receiver<bool>,
) -> Result<Woken, End> {
    tokio::select! {
        () = moved => Ok(Woken::Moved),
        () = tokio::time::sleep_until(heartbeat) => Ok(Woken::Silent),
        _ = stopping.wait_for(|stopping| *stopping) => Err(End::Stopping),
    }
}

/// Why the service ends a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The token no longer opens it.
    Access,
    /// The service stops.
    Stopping,
    /// What comes next could not be read.
    Failed,
}

impl End {
    /// The event that says so.
    pub(super) fn text(self) -> String {
        let (reason, detail) = match self {
            Self::Access => {
                ("access", "the token was revoked, has ended or no longer reaches what is streamed")
            }
            Self::Stopping => ("stopping", "the service stops: come back with Last-Event-ID"),
            Self::Failed => ("failed", "what comes next could not be read: come back with Last-Event-ID"),
        };
        format!("event: end\ndata: {{\"reason\":\"{reason}\",\"detail\":\"{detail}\"}}\n\n")
    }
}

/// What a stream begins with.
pub(super) fn opening() -> String {
    format!("retry: {RETRY_MS}\n\n")
}

/// A sign of life; with an id where the reader may go on after more than it was sent.
pub(super) fn heartbeat(id: Option<u64>) -> String {
    match id {
        Some(id) => format!(":\nid: {id}\n\n"),
        None => ":\n\n".to_owned(),
    }
}

/// Writes an event whose data is JSON on one line.
pub(super) fn write(out: &mut String, event: Option<&str>, id: u64, json: &str) {
    if let Some(event) = event {
        let _ = writeln!(out, "event: {event}");
    }
    let _ = write!(out, "id: {id}\ndata: {json}\n\n");
}

/// An answer that goes on.
pub(super) struct EventStream(Pin<Box<dyn Stream<Item = String> + Send>>);

impl EventStream {
    /// An answer of these texts, as they come.
    pub(super) fn new(texts: impl Stream<Item = String> + Send + 'static) -> Self {
        Self(Box::pin(texts))
    }
}

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        use futures_util::StreamExt;
        Response::builder()
            .content_type(MEDIA_TYPE)
            .header(CACHE_CONTROL, "private, no-store")
            // Proxies that would gather the answer pass it on instead.
            .header(HeaderName::from_static("x-accel-buffering"), "no")
            .body(Body::from_bytes_stream(self.0.map(Ok::<_, io::Error>)))
    }
}

impl ApiResponse for EventStream {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The stream, for as long as the reader stays",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: MEDIA_TYPE,
                    schema: MetaSchemaRef::Inline(Box::new(MetaSchema {
                        description: Some("Server-Sent Events, UTF-8"),
                        ..MetaSchema::new_with_format("string", "event-stream")
                    })),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}
