//! One connection: HTTP/1.1 or HTTP/2 spoken over it, each request answered, and the whole hung up on when it takes
//! too long.

use super::answering::Answering;
use super::pulse::{Felt, Pulse, Verdict};
use super::{Ended, Limits, Stage};
use hyper::Version;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, Response};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// Header fields in the head of a request.
const HEADERS_MAX: usize = 100;
/// Requests at a time on one connection of HTTP/2.
const STREAMS_MAX: u32 = 100;
/// How often a peer on HTTP/2 is asked whether it is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);
/// How long closing in order may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// Who talks to whom.
pub(super) struct About {
    pub(super) local: LocalAddr,
    pub(super) remote: RemoteAddr,
    pub(super) scheme: Scheme,
}

/// Serves a connection to its end.
pub(super) async fn serve<Io, E>(
    io: Io,
    about: About,
    endpoint: Arc<E>,
    limits: &Limits,
    mut stages: watch::Receiver<Stage>,
) -> Ended
where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    E: Endpoint<Output = Response> + 'static,
{
    let pulse = Pulse::new();
    let service = {
        let (pulse, stages) = (pulse.clone(), stages.clone());
        service_fn(move |request: hyper::Request<Incoming>| {
            let beat = pulse.request(request.version() == Version::HTTP_2);
            let (endpoint, stages) = (endpoint.clone(), stages.clone());
            let whole = (request, about.local.clone(), about.remote.clone(), about.scheme.clone());
            async move {
                let response = endpoint.get_response(whole.into()).await;
                let (head, body) = hyper::Response::from(response).into_parts();
                let body = Answering::new(body, &head.headers, beat, &stages);
                Ok::<_, Infallible>(hyper::Response::from_parts(head, body))
            }
        })
    };
    let builder = speaking(limits);
    let connection = builder.serve_connection(TokioIo::new(Felt::new(io, pulse.clone())), service);
    tokio::pin!(connection);
    let alarm = tokio::time::sleep(Duration::ZERO);
    tokio::pin!(alarm);
    let mut stage = Stage::Open;
    let mut ended = Ended::Closed;
    loop {
        tokio::select! {
            biased;
            done = &mut connection => {
                return match done {
                    Ok(()) => ended,
                    Err(error) => {
                        tracing::debug!(%error, "a connection broke");
                        Ended::Broken
                    }
                };
            }
            next = after(&mut stages, stage) => {
                if next == Stage::Closed {
                    return Ended::Stopped;
                }
                stage = next;
                ended = Ended::Stopped;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut alarm => match pulse.verdict(limits) {
                Verdict::Until(next) => alarm.as_mut().reset(next),
                Verdict::Over(Ended::Idle) => {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(FAREWELL, &mut connection).await;
                    return Ended::Idle;
                }
                Verdict::Over(how) => return how,
            },
        }
    }
}

/// The next stage after one.
async fn after(stages: &mut watch::Receiver<Stage>, stage: Stage) -> Stage {
    // Whoever would say so is gone: it is over.
    stages.wait_for(|next| *next > stage).await.map_or(Stage::Closed, |next| *next)
}

fn speaking(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Its time would also be that of a connection that is silent between requests; the pulse tells the two apart.
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        // No flushing only once all that was read is answered: half a request, or a stray line's end, would hold back the
        // answer to the one before it.
        .max_buf_size(limits.header_bytes_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}
