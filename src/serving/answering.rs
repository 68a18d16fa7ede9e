//! The body of an answer on its way out: its connection is busy while it lasts, and a stream ends when the service does.

use super::Stage;
use super::pulse::Beat;
use hyper::body::{Body, Frame, SizeHint};
use poem::http::HeaderMap;
use poem::http::header::CONTENT_TYPE;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::watch;

/// The media type of streams that have no end of their own.
const EVENTS: &str = "text/event-stream";

/// Resolves when the service stops.
type Stopping = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// The body of an answer.
pub(super) struct Answering<B> {
    body: B,
    /// Where the body has no end of its own.
    stopping: Option<Stopping>,
    ended: bool,
    _beat: Beat,
}

impl<B> Answering<B> {
    /// A body of an answer with these headers.
    pub(super) fn new(body: B, headers: &HeaderMap, beat: Beat, stages: &watch::Receiver<Stage>) -> Self {
        let endless = headers
            .get(CONTENT_TYPE)
            .and_then(|media| media.to_str().ok())
            .is_some_and(|media| media.starts_with(EVENTS));
        let stopping = endless.then(|| {
            let mut stages = stages.clone();
            Box::pin(async move {
                // A sender that is gone has stopped as well.
                let _ = stages.wait_for(|stage| *stage > Stage::Open).await;
            }) as Stopping
        });
        Self { body, stopping, ended: false, _beat: beat }
    }
}

impl<B: Body + Unpin> Body for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // A stream that knows that the service stops says so, and ends by itself.
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_pending()
            && let Some(stopping) = &mut self.stopping
            && stopping.as_mut().poll(context).is_ready()
        {
            self.ended = true;
            return Poll::Ready(None);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
