//! HTTP/1.1 as bytes: requests read, heads written.

use crate::wire::{Request, Response};
use daybook_schemas::Timestamp;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A request's head must fit.
const HEAD_MAX: usize = 64 * 1024;
/// So must its body.
const BODY_MAX: usize = 1024 * 1024;
const HEADERS_MAX: usize = 100;

/// A request, and whether the connection may be used again.
pub(super) struct Received {
    pub(super) request: Request,
    pub(super) keep_alive: bool,
}

/// Reads one request; none at the end of the stream. What was read beyond it stays in the buffer.
///
/// # Errors
/// What came is no request, or the stream broke.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Received>> {
    let wrong = |message: &str| io::Error::new(io::ErrorKind::InvalidData, message.to_owned());
    let (mut received, head) = loop {
        if let Some(parsed) = parse(buffer)? {
            break parsed;
        }
        if buffer.len() > HEAD_MAX {
            return Err(wrong("the request's head is too long"));
        }
        if stream.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(wrong("the request ends in its head")) };
        }
    };
    let length = match received.request.header("Content-Length") {
        Some(text) => text.trim().parse::<usize>().map_err(|_| wrong("Content-Length is no number"))?,
        None if received.request.header("Transfer-Encoding").is_some() => {
            return Err(wrong("send the body with its Content-Length"));
        }
        None => 0,
    };
    if length > BODY_MAX {
        return Err(wrong("the body is too long"));
    }
    if received.request.header("Expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    while buffer.len() < head + length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(wrong("the request ends in its body"));
        }
    }
    received.request.body = buffer[head..head + length].to_vec();
    buffer.drain(..head + length);
    Ok(Some(received))
}

/// A request without its body and the head's length; none where the head is not whole.
fn parse(buffer: &[u8]) -> io::Result<Option<(Received, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let head = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
    };
    let mut request = Request::to(parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    request.headers = parsed
        .headers
        .iter()
        .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()))
        .collect();
    let closes = request.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(Some((Received { request, keep_alive: parsed.version == Some(1) && !closes }, head)))
}

/// Status line and headers, with the whole body's length however much of it will be sent.
pub(super) fn head(response: &Response, now: Timestamp, keep_alive: bool) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 {} {}\r\nDate: {}\r\n",
        response.status,
        reason(response.status),
        now.to_utc().format("%a, %d %b %Y %H:%M:%S GMT")
    );
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if response.status != 204 {
        head.push_str(&format!("Content-Length: {}\r\n", response.body.len()));
    }
    head.push_str(if keep_alive { "\r\n" } else { "Connection: close\r\n\r\n" });
    head.into_bytes()
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        207 => "Multi-Status",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
