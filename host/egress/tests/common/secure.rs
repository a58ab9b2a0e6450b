//! A TLS server on loopback that counts its handshakes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{HandshakeKind, ServerConfig};

use super::{Reply, answer, serve};

/// A certificate for `api.example` and the settings of a server that has it.
pub(crate) fn certified() -> (Vec<u8>, ServerConfig) {
    let made = rcgen::generate_simple_self_signed(["api.example".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    (certificate.to_vec(), config)
}

/// A TLS server for `api.example`; it closes each connection after its first answer.
pub(crate) struct Secure {
    pub(crate) port: u16,
    pub(crate) certificate: Vec<u8>,
    pub(crate) full: Arc<AtomicUsize>,
    pub(crate) resumed: Arc<AtomicUsize>,
}

pub(crate) async fn start() -> Secure {
    let (certificate, config) = certified();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (full, resumed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&full), Arc::clone(&resumed));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            match stream.get_ref().1.handshake_kind() {
                Some(HandshakeKind::Resumed) => counts.1.fetch_add(1, Ordering::SeqCst),
                _ => counts.0.fetch_add(1, Ordering::SeqCst),
            };
            let seen = Mutex::new(Vec::new());
            let reply = answer(200, &[("connection", "close")], "secure");
            serve(stream, 0, &seen, &move |_, _| Reply::Cut(reply.clone())).await;
        }
    });
    Secure {
        port,
        certificate,
        full,
        resumed,
    }
}
