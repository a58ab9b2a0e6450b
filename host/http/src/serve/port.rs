//! One port: accepting connections, and serving HTTP/1.1 on each within its bounds.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::stall::Stall;
use crate::v1::{Answering, Bounds, Peer, Place, Places};

/// How long to wait when no connection can be accepted, as when there are no file descriptors left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// Most bytes of a connection's read and write buffers, each; a part of an answer comes on top.
const BUFFER_BYTES: usize = 64 * 1024;
const _: () = assert!(BUFFER_BYTES as u64 == 2 * tidegate_engine::limits::API_HEADER_BYTES);

/// Where connections come from.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    async fn accept(&self) -> std::io::Result<(Stream, Peer)> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                (Stream::Tcp(stream), address.ip().into())
            }
            Self::Unix(listener) => (Stream::Unix(listener.accept().await?.0), Peer::Own),
        })
    }
}

/// A port and what is served there.
pub(super) struct Port {
    pub(super) listener: Listener,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) router: Router,
    pub(super) bounds: Bounds,
    pub(super) places: Arc<Places>,
    pub(super) stopping: CancellationToken,
}

impl Port {
    /// Serve until the server is to stop and all connections have ended. Dropping it ends them.
    pub(super) async fn serve(self) {
        let Self {
            listener,
            tls,
            router,
            bounds,
            places,
            stopping,
        } = self;
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopping.cancelled() => break,
            };
            while connections.try_join_next().is_some() {}
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection can't be accepted");
                    places.make_room();
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let (place, ended) = places.enter(peer);
            let connection = Connection {
                tls: tls.clone(),
                router: router.clone(),
                bounds,
                place,
                stopping: stopping.clone(),
            };
            connections.spawn(connection.serve(stream, ended));
            // What it has to say is to be heard before many others have come.
            tokio::task::yield_now().await;
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }
}

struct Connection {
    tls: Option<TlsAcceptor>,
    router: Router,
    bounds: Bounds,
    place: Place,
    stopping: CancellationToken,
}

/// The connection has its place until this is dropped.
struct PlaceGuard(Place);

impl Drop for PlaceGuard {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Connection {
    /// Serve it until it ends, or has to make room for another one.
    async fn serve(self, stream: Stream, ended: oneshot::Receiver<()>) {
        let _seated = PlaceGuard(self.place.clone());
        let served = async {
            match stream {
                Stream::Tcp(stream) => self.serve_tcp(stream).await,
                Stream::Unix(stream) => self.speak(stream).await,
            }
        };
        tokio::select! {
            () = served => {}
            Ok(()) = ended => tracing::debug!("a connection had to make room"),
        }
    }

    async fn serve_tcp(self, stream: TcpStream) {
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

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let io = TokioIo::new(Stall::new(stream, self.bounds.stall));
        let (router, place) = (self.router, self.place);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(place.clone());
            let answering = place.answering();
            // A router is always ready.
            let answer = router.clone().call(request.map(Body::new));
            async move {
                let response = answer.await?;
                let carry = |body| Carried {
                    body,
                    _answering: answering,
                };
                Ok::<_, std::convert::Infallible>(response.map(carry))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.bounds.header)
            // Between the limit and this, the API says in words that it is too much (`v1/trace.rs`).
            .max_header_size(BUFFER_BYTES)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(io, service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// The body of an answer, which is being given until it has been read to its end.
struct Carried {
    body: Body,
    _answering: Answering,
}

impl HttpBody for Carried {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
