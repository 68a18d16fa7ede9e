//! Bodies that are too large or too slow, and uploads that would take too much memory.

use super::{BOUNDARY, Daybook, deposit, form};
use crate::api::service::Config;
use poem::http::Method;
use poem::{Body, Request};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};

fn tight() -> Config {
    Config {
        json_bytes_max: 1_000,
        upload_bytes_max: 4_000,
        uploads_bytes_max: 4_000,
        body_pause_max: Duration::from_millis(100),
        room_wait_max: Duration::from_millis(100),
        ..Config::default()
    }
}

/// A body that repeats a byte for ever, and counts how often it was read.
struct Endless(std::sync::Arc<std::sync::atomic::AtomicU64>);

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let bytes = [b' '; 512];
        let count = bytes.len().min(out.remaining());
        out.put_slice(&bytes[..count]);
        self.0.fetch_add(count as u64, std::sync::atomic::Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

/// A body that says something and then nothing more.
struct Stuck(Option<&'static [u8]>);

impl AsyncRead for Stuck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.0.take() {
            Some(bytes) => {
                out.put_slice(bytes);
                Poll::Ready(Ok(()))
            }
            None => Poll::Pending,
        }
    }
}

/// A body that says one byte at a time, each well before the pause is over.
struct Dripping(Pin<Box<tokio::time::Sleep>>);

impl AsyncRead for Dripping {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        std::task::ready!(self.0.as_mut().poll(context));
        out.put_slice(b" ");
        self.0 = Box::pin(tokio::time::sleep(Duration::from_millis(20)));
        Poll::Ready(Ok(()))
    }
}

fn request(daybook: &Daybook, path: &str, kind: &str, body: Body) -> Request {
    Request::builder()
        .method(Method::POST)
        .uri_str(path)
        .header("authorization", format!("Bearer {}", daybook.administrator))
        .header("content-type", kind)
        .body(body)
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_all_of_it_is_read() {
    let daybook = Daybook::within(tight());
    let mine = daybook.portfolio("Mine").await;
    let path = format!("/v1/portfolios/{mine}/transactions");
    let read = std::sync::Arc::default();
    let endless = Body::from_async_read(Endless(std::sync::Arc::clone(&read)));
    daybook.call(request(&daybook, &path, "application/json", endless)).await.is(413, "too-large");
    assert!(read.load(std::sync::atomic::Ordering::Relaxed) < 20_000);
    let imports = format!("/v1/portfolios/{mine}/imports");
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let large = form(&[("format", "csv")], &"x".repeat(5_000));
    daybook.call(request(&daybook, &imports, &kind, large.into())).await.is(413, "too-large");
    // What the header announces is refused without reading at all.
    let stuck = Body::from_async_read(Stuck(None));
    let mut announced = request(&daybook, &path, "application/json", stuck);
    announced.headers_mut().insert("content-length", "1001".parse().unwrap());
    daybook.call(announced).await.is(413, "too-large");
    // A body of exactly the limit is read.
    let mut whole = deposit("2024-01-02", "5").to_string();
    whole.push_str(&" ".repeat(1_000 - whole.len()));
    daybook.call(request(&daybook, &path, "application/json", whole.into())).await.has(201);
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let daybook = Daybook::within(tight());
    let mine = daybook.portfolio("Mine").await;
    let began = std::time::Instant::now();
    let body = Body::from_async_read(Stuck(Some(b"{\"time\":")));
    let path = format!("/v1/portfolios/{mine}/transactions");
    daybook.call(request(&daybook, &path, "application/json", body)).await.is(408, "too-slow");
    let body = Body::from_async_read(Stuck(Some(b"--daybook-api-tests\r\n")));
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let path = format!("/v1/portfolios/{mine}/imports");
    daybook.call(request(&daybook, &path, &kind, body)).await.is(408, "too-slow");
    let body = Body::from_async_read(Dripping(Box::pin(tokio::time::sleep(Duration::ZERO))));
    let path = format!("/v1/portfolios/{mine}/transactions");
    daybook.call(request(&daybook, &path, "application/json", body)).await.is(408, "too-slow");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn uploads_that_together_take_too_much_memory_wait_and_are_then_refused() {
    let config = Config { body_pause_max: Duration::from_secs(30), ..tight() };
    let daybook = std::sync::Arc::new(Daybook::within(config));
    let mine = daybook.portfolio("Mine").await;
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let path = format!("/v1/portfolios/{mine}/imports");
    let held = {
        let (daybook, path, kind) = (daybook.clone(), path.clone(), kind.clone());
        tokio::spawn(async move {
            let body = Body::from_async_read(Stuck(Some(b"--daybook-api-tests\r\n")));
            daybook.call(request(&daybook, &path, &kind, body)).await
        })
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    let rows = "time,type,amount\n2024-01-02,deposit,5\n";
    let waiting = request(&daybook, &path, &kind, form(&[("format", "csv")], rows).into());
    let refused = daybook.call(waiting).await;
    assert_eq!(refused.header("retry-after"), "5", "{refused}");
    refused.is(503, "unavailable");
    held.abort();
    assert!(held.await.unwrap_err().is_cancelled());
    daybook.upload(&path, &[("format", "csv")], rows, &[]).await.has(201);
}
