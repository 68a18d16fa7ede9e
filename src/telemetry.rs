//! Traces sent to a collector by OTLP over HTTP, where `OTEL_EXPORTER_OTLP_ENDPOINT` names one.
//!
//! The standard variables say everything: the endpoint, headers (`OTEL_EXPORTER_OTLP_HEADERS`), the name of the service
//! (`OTEL_SERVICE_NAME`) and the sampling (`OTEL_TRACES_SAMPLER`). Spans hold what the log holds: the id, method, path and
//! status of a request and on whose behalf it came; no secret. They are sent in batches by a thread of their own, and
//! dropped when the collector does not keep up: no request waits for it.

use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::time::Duration;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

/// How long a batch may take to be sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// The name under which spans are sent, where nobody gives another.
const NAME: &str = "daybook";

/// Sends what is left when it is dropped.
pub(crate) struct Telemetry(SdkTracerProvider);

impl Drop for Telemetry {
    fn drop(&mut self) {
        // What could not be sent is lost, as it would have been a moment before.
        let _ = self.0.shutdown_with_timeout(PATIENCE);
    }
}

/// The layer that takes spans to the collector, if one is named.
///
/// # Errors
/// The endpoint cannot be used, and why.
pub(crate) fn layer<S>() -> Result<Option<(impl Layer<S>, Telemetry)>, String>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let named = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !named("OTEL_EXPORTER_OTLP_ENDPOINT") && !named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        return Ok(None);
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender::new())
        .build()
        .map_err(|error| format!("traces cannot be sent: {error}"))?;
    let mut resource = Resource::builder();
    if !named("OTEL_SERVICE_NAME") {
        resource = resource.with_service_name(NAME);
    }
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(NAME));
    Ok(Some((layer, Telemetry(provider))))
}

/// Sends batches with the client that everything else here is asked with.
#[derive(Debug)]
struct Sender(ureq::Agent);

impl Sender {
    fn new() -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        Self(config.build().new_agent())
    }
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The thread that calls does nothing else; it may block.
        let response = self.0.run(request.map(|body| body.to_vec()))?;
        let (head, mut body) = response.into_parts();
        let body = body.read_to_vec()?;
        Ok(Response::from_parts(head, Bytes::from(body)))
    }
}
