//! Serving: connections are taken up to a limit, served within limits of time and size, and at the end let finish.
//!
//! `poem` routes and answers requests. The connections below it are served here, because what protects a service that
//! anybody can reach is decided before there is a request: how many connections there may be, how long one may take to
//! say what it wants, how long it may be silent, and how long it may leave an answer untaken.

mod answering;
mod connection;
mod connections;
mod descriptors;
mod pulse;
#[cfg(test)]
mod tests;
mod tls;
mod turning_away;

pub(crate) use connections::{Connections, Ended};
pub(crate) use descriptors::make_room;
pub(crate) use tls::{Tls, TlsFiles};

use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Response};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How long taking connections rests after the system gave none, as it does when descriptors run out.
const REST: Duration = Duration::from_millis(100);

/// What a connection is held to.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Connections at a time.
    pub(crate) connections_max: u32,
    /// How long a connection may take to say the head of a request, the handshake of TLS apart.
    pub(crate) header_timeout: Duration,
    /// The largest head of a request, in bytes; at least 8 KiB.
    pub(crate) header_bytes_max: usize,
    /// How long a connection may be silent between requests.
    pub(crate) keep_alive: Duration,
    /// How long a connection may take nothing of an answer that waits for it.
    pub(crate) write_timeout: Duration,
    /// How long requests that are under way may still take after the service was told to stop.
    pub(crate) grace: Duration,
}

/// What the service is about to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Stage {
    /// It serves.
    Open,
    /// It takes no more requests and finishes those that are under way.
    Closing,
    /// It is over.
    Closed,
}

/// Serves what comes in at a listener.
pub(crate) struct Server<E> {
    /// What answers.
    pub(crate) endpoint: Arc<E>,
    /// What connections are held to.
    pub(crate) limits: Limits,
    /// The certificate, where connections are encrypted.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Counts them.
    pub(crate) connections: Arc<Connections>,
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    /// Takes connections until told to stop; then lets requests finish, for as long as the limits say. Streams that
    /// have no end of their own are ended at once.
    pub(crate) async fn run(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let server = Arc::new(self);
        let room = Arc::new(Semaphore::new(server.limits.connections_max as usize));
        let (stage, stages) = watch::channel(Stage::Open);
        tokio::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => server.clone().take(stream, peer, &room, &stages),
                Err(error) => {
                    server.connections.failed();
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(REST).await;
                }
            }
        }
        drop(listener);
        stage.send_replace(Stage::Closing);
        let all = room.acquire_many(server.limits.connections_max);
        if tokio::time::timeout(server.limits.grace, all).await.is_err() {
            tracing::warn!("requests did not end in time and are given up");
        }
        stage.send_replace(Stage::Closed);
    }

    /// Serves a connection if there is room for it, else says so and hangs up.
    fn take(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        room: &Arc<Semaphore>,
        stages: &watch::Receiver<Stage>,
    ) {
        let Ok(permit) = Arc::clone(room).try_acquire_owned() else {
            self.connections.refused();
            if self.tls.is_none() {
                turning_away::politely(stream);
            }
            return;
        };
        let stages = stages.clone();
        tokio::spawn(self.converse(stream, peer, permit, stages));
    }

    async fn converse(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
        stages: watch::Receiver<Stage>,
    ) {
        let _counted = self.connections.opened();
        // An answer is one small write, and waiting to fill a packet would add tens of milliseconds to it.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection that was gone already");
            return;
        }
        let local = stream
            .local_addr()
            .map_or(LocalAddr(Addr::Custom("tcp", "".into())), |local| LocalAddr(Addr::SocketAddr(local)));
        let remote = RemoteAddr(Addr::SocketAddr(peer));
        let ended = match &self.tls {
            None => {
                let about = connection::About { local, remote, scheme: Scheme::HTTP };
                connection::serve(stream, about, self.endpoint.clone(), &self.limits, stages).await
            }
            Some(tls) => {
                match tokio::time::timeout(self.limits.header_timeout, tls.acceptor().accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let about = connection::About { local, remote, scheme: Scheme::HTTPS };
                        connection::serve(stream, about, self.endpoint.clone(), &self.limits, stages).await
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "a connection was not encrypted as it should");
                        Ended::Unencrypted
                    }
                    Err(_) => Ended::SlowHead,
                }
            }
        };
        self.connections.ended(ended);
        drop(permit);
    }
}
