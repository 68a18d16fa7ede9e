//! One TCP connection: requests in turn, until one of them makes a WebSocket of it.

use super::Shared;
use super::http::{self, Received};
use crate::socket::{Incoming, Outgoing, Socket, SocketKind};
use crate::wire::{Answer, Request, Response};
use futures_util::{SinkExt, StreamExt};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

/// How long a connection may say nothing, hang or be silent.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a client may take to read a message.
const SLOWEST_READER: Duration = Duration::from_secs(10);

pub(super) async fn attend(shared: Arc<Shared>, mut stream: TcpStream) {
    let mut stopping = shared.stopping.subscribe();
    // A message that waits for the one before to be acknowledged is late.
    drop(stream.set_nodelay(true));
    let talk = async {
        let mut buffer = Vec::new();
        loop {
            let received = tokio::time::timeout(PATIENCE, http::read(&mut stream, &mut buffer)).await;
            let Received { request, keep_alive } = match received {
                Ok(Ok(Some(received))) => received,
                Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    let refusal = Response::error(400, 40_010_000, &error.to_string());
                    return send(&shared, &mut stream, &refusal, refusal.body.len(), false).await;
                }
                // The end, a broken stream, or nothing for too long.
                Ok(Ok(None) | Err(_)) | Err(_) => return Ok(()),
            };
            if let Some(kind) = wants_socket(&request) {
                return converse(&shared, stream, buffer, &request, kind).await;
            }
            if !answer(&shared, &mut stream, &request, keep_alive).await? || !keep_alive {
                return Ok(());
            }
        }
    };
    tokio::select! {
        done = talk => {
            if let Err(error) = done {
                // A client that went away in the middle is everyday.
                tracing::debug!(%error, "a connection to the stand-in ended");
            }
        }
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}

/// Whether the connection can be used again.
async fn answer(
    shared: &Shared,
    stream: &mut TcpStream,
    request: &Request,
    keep_alive: bool,
) -> io::Result<bool> {
    match shared.act(|world, now| world.handle(request, now)) {
        Answer::Whole(response) => {
            send(shared, stream, &response, response.body.len(), keep_alive).await.map(|()| true)
        }
        Answer::Slow(response, by) => {
            tokio::time::sleep(shared.clock.here(by)).await;
            send(shared, stream, &response, response.body.len(), keep_alive).await.map(|()| true)
        }
        Answer::Truncated(response, kept) => {
            send(shared, stream, &response, kept, keep_alive).await?;
            stream.shutdown().await?;
            Ok(false)
        }
        Answer::Hang(begun) => {
            if let Some((response, kept)) = begun {
                send(shared, stream, &response, kept, keep_alive).await?;
            }
            hang(stream).await;
            Ok(false)
        }
        Answer::Reset => {
            stream.set_zero_linger()?;
            Ok(false)
        }
    }
}

async fn send(
    shared: &Shared,
    stream: &mut TcpStream,
    response: &Response,
    kept: usize,
    keep_alive: bool,
) -> io::Result<()> {
    let now = shared.act(|world, _| world.broker_now());
    let mut bytes = http::head(response, now, keep_alive);
    bytes.extend_from_slice(response.body.get(..kept).unwrap_or(&response.body));
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Until the client gives up.
async fn hang(stream: &mut TcpStream) {
    let mut ignored = [0; 1024];
    let given_up = async { while stream.read(&mut ignored).await.is_ok_and(|count| count > 0) {} };
    drop(tokio::time::timeout(PATIENCE, given_up).await);
}

fn wants_socket(request: &Request) -> Option<SocketKind> {
    let upgrades = request.header("Upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    match request.path.as_str() {
        _ if !upgrades => None,
        "/stream" => Some(SocketKind::Trading),
        "/v2/iex" | "/v2/sip" | "/v2/delayed_sip" | "/v1beta3/crypto/us" => Some(SocketKind::Data),
        _ => None,
    }
}

async fn converse(
    shared: &Shared,
    mut stream: TcpStream,
    read_ahead: Vec<u8>,
    request: &Request,
    kind: SocketKind,
) -> io::Result<()> {
    let Some(key) = request.header("Sec-WebSocket-Key") else {
        let refusal = Response::error(400, 40_010_000, "Sec-WebSocket-Key is missing");
        return send(shared, &mut stream, &refusal, refusal.body.len(), false).await;
    };
    let accept = derive_accept_key(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut frames = WebSocketStream::from_partially_read(stream, read_ahead, Role::Server, None).await;
    let mut happened = shared.happened.subscribe();
    let mut socket = shared.act(|world, now| Socket::connect(world, kind, now));
    loop {
        for message in shared.act(|world, now| socket.poll(world, now)) {
            match tokio::time::timeout(SLOWEST_READER, tell(&mut frames, message)).await {
                Ok(Ok(true)) => {}
                // Closed, reset, broken, or not read.
                Ok(Ok(false) | Err(_)) | Err(_) => return Ok(()),
            }
        }
        if socket.is_silent() {
            // Not even a ping is read any more.
            tokio::time::sleep(PATIENCE).await;
            return Ok(());
        }
        let wait = socket.next_due().map_or(PATIENCE, |due| shared.until(due));
        tokio::select! {
            frame = frames.next() => {
                let Some(Ok(message)) = frame else { return Ok(()) };
                let incoming = match &message {
                    Message::Text(text) => Incoming::Text(text),
                    Message::Binary(bytes) => Incoming::Binary(bytes),
                    Message::Ping(payload) => Incoming::Ping(payload),
                    Message::Pong(_) | Message::Frame(_) => continue,
                    Message::Close(_) => return Ok(()),
                };
                shared.act(|world, now| socket.receive(world, incoming, now));
            }
            // The sender lives in `shared`.
            _ = happened.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// False where nothing can follow.
async fn tell(
    frames: &mut WebSocketStream<TcpStream>,
    message: Outgoing,
) -> Result<bool, tokio_tungstenite::tungstenite::Error> {
    match message {
        Outgoing::Text(text) => frames.send(Message::text(text)).await.map(|()| true),
        Outgoing::Binary(bytes) => frames.send(Message::binary(bytes)).await.map(|()| true),
        // Reading a ping has queued its pong; it goes out with the next flush.
        Outgoing::Pong(_) => frames.flush().await.map(|()| true),
        Outgoing::Close(code, reason) => {
            frames.close(Some(CloseFrame { code: code.into(), reason: reason.into() })).await?;
            Ok(false)
        }
        Outgoing::Reset => {
            drop(frames.get_ref().set_zero_linger());
            Ok(false)
        }
    }
}
