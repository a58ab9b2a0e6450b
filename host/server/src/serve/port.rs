//! One port: accepting connections, as many as may be, and serving HTTP/1.1 on each.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tidegate_engine::limits::API_HEADER_BYTES;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::stall::Stall;
use crate::api::Bounds;

/// How long to wait when no connection can be accepted, as when there are no file descriptors left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
/// Most bytes of a connection's read and write buffers, each.
const BUFFER_BYTES: usize = 128 * 1024;

/// A port and what is served there.
pub(super) struct Port {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) router: Router,
    pub(super) bounds: Bounds,
    pub(super) stopping: watch::Receiver<bool>,
}

impl Port {
    /// Serve until the server is to stop and all connections have ended. Dropping it ends them.
    pub(super) async fn serve(self) {
        let Self {
            listener,
            tls,
            router,
            bounds,
            mut stopping,
        } = self;
        let most = usize::try_from(bounds.connections).unwrap_or(usize::MAX);
        let slots = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &slots) => accepted,
                () = stopped(&mut stopping) => break,
            };
            let Some((stream, slot)) = accepted else {
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            };
            while connections.try_join_next().is_some() {}
            let connection = Connection {
                tls: tls.clone(),
                router: router.clone(),
                bounds,
                stopping: stopping.clone(),
                _slot: slot,
            };
            connections.spawn(connection.serve(stream));
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }
}

/// The next connection, once there is room for it. What waits is in the system's own queue.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            tracing::warn!(%error, "a connection can't be accepted");
            None
        }
    }
}

/// Resolves when the server is to stop, or is gone.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

struct Connection {
    tls: Option<TlsAcceptor>,
    router: Router,
    bounds: Bounds,
    stopping: watch::Receiver<bool>,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Answers are written whole; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls.clone() else {
            return self.speak(stream).await;
        };
        match tokio::time::timeout(self.bounds.header, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.speak(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn speak(mut self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let io = TokioIo::new(Stall::new(stream, self.bounds.stall));
        let service = TowerToHyperService::new(self.router);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.bounds.header)
            .max_header_size(usize::try_from(API_HEADER_BYTES).unwrap_or(usize::MAX))
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(io, service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(&mut self.stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
