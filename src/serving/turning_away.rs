//! A connection that there is no room for: told so in a few bytes, without waiting for what it wants.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What it is told.
const BODY: &str = r#"{"type":"/problems/unavailable","title":"The service cannot do this now","status":503,"detail":"too many connections are open: close some, or try again later"}"#;
/// Connections that are being told so at a time; more are hung up on without a word.
const AT_A_TIME: usize = 64;
/// How long telling it may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many are being told.
static TELLING: AtomicUsize = AtomicUsize::new(0);

/// Answers that there is no room, and hangs up.
pub(super) fn politely(mut stream: TcpStream) {
    if TELLING.fetch_add(1, Ordering::Relaxed) >= AT_A_TIME {
        TELLING.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    tokio::spawn(async move {
        let _ = tokio::time::timeout(PATIENCE, tell(&mut stream)).await;
        TELLING.fetch_sub(1, Ordering::Relaxed);
    });
}

async fn tell(stream: &mut TcpStream) -> std::io::Result<()> {
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n\
         retry-after: 5\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // What it says is read and dropped: closing with bytes unread would take the answer back.
    let mut dropped = [0; 1024];
    while stream.read(&mut dropped).await? > 0 {}
    Ok(())
}
