//! The last check, on the open connection: is the peer an address that may be connected to?
//!
//! The gate has judged it before. This holds even if the client connects to something else than
//! the gate judged, as it did with IP literals and `dns_resolver`. Over plain HTTP nothing has been
//! sent yet; over TLS the handshake has.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use tower_layer::Layer;
use tower_service::Service;

use crate::proxy::Route;
use crate::resolve::Guard;
use tidegate_rules::address::{AddressPolicy, Refused};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Puts [`PeerCheck`] around reqwest's connector.
#[derive(Debug, Clone)]
pub(crate) struct PeerCheckLayer {
    addresses: Arc<AddressPolicy>,
    /// With a proxy the peer is the proxy, and nothing else.
    route: Option<Arc<Route>>,
}

impl PeerCheckLayer {
    pub(crate) fn of(guard: &Guard) -> Self {
        Self {
            addresses: Arc::clone(&guard.addresses),
            route: guard.route.clone(),
        }
    }

    fn judge(&self, info: &HttpInfo) -> Result<(), Refused> {
        match &self.route {
            Some(route) => route.judge_peer(info.remote_addr()),
            None => self
                .addresses
                .judge_peer(info.remote_addr(), info.local_addr()),
        }
    }
}

impl<S> Layer<S> for PeerCheckLayer {
    type Service = PeerCheck<S>;

    fn layer(&self, inner: S) -> PeerCheck<S> {
        PeerCheck {
            inner,
            check: self.clone(),
        }
    }
}

/// A connector whose connections are closed at once when the peer is refused.
#[derive(Debug, Clone)]
pub(crate) struct PeerCheck<S> {
    inner: S,
    check: PeerCheckLayer,
}

impl<S, R> Service<R> for PeerCheck<S>
where
    S: Service<R, Error = BoxError>,
    S::Response: Connection,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let connecting = self.inner.call(request);
        let check = self.check.clone();
        Box::pin(async move {
            let connection = connecting.await?;
            let mut extensions = http::Extensions::new();
            connection.connected().get_extras(&mut extensions);
            let info = extensions
                .get::<HttpInfo>()
                .ok_or("the connection doesn't say where it leads")?;
            check.judge(info)?;
            Ok(connection)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::net::IpAddr;

    use futures::future::BoxFuture;
    use tidegate_engine::limits::Limits;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use crate::client;
    use crate::resolve::Resolve;

    #[derive(Debug)]
    struct Nobody;

    impl Resolve for Nobody {
        fn resolve(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            Box::pin(std::future::ready(Err(io::Error::other(
                "not asked for literals",
            ))))
        }
    }

    /// Without the gate: what the client does on its own with a literal address.
    #[tokio::test]
    async fn a_refused_peer_gets_no_byte() {
        for (granted, reaches) in [(None, false), (Some("127.0.0.0/8"), true)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            let private = granted.map(|range| range.parse().unwrap());
            let addresses = AddressPolicy::new(private.into_iter().collect(), Vec::new());
            let guard = Guard {
                resolver: Arc::new(Nobody),
                addresses: Arc::new(addresses),
                route: None,
            };
            let tls = client::trusting_nobody().unwrap();
            let client = client::client(&tls, guard, &Limits::default()).unwrap();
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = [0; 64];
                stream.read(&mut bytes).await.unwrap()
            });
            let error = client.get(&url).send().await.unwrap_err();
            assert_eq!(server.await.unwrap() > 0, reaches);
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            let mut refused = false;
            while let Some(error) = cause {
                refused |= error.downcast_ref::<Refused>().is_some();
                cause = error.source();
            }
            assert_eq!(refused, !reaches, "{error:?}");
        }
    }
}
