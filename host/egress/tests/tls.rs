//! TLS: an unknown certificate is refused, an operator's own root is trusted, tickets stay apart.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{FakeResolver, FakeTimers, Reply, answer, get, policy, serve};
use tidegate_egress::{EgressError, Gate, GateOptions, Missing};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{HandshakeKind, ServerConfig};

/// A TLS server for `api.example`; it closes each connection after its first answer.
struct Secure {
    port: u16,
    certificate: Vec<u8>,
    full: Arc<AtomicUsize>,
    resumed: Arc<AtomicUsize>,
}

async fn start() -> Secure {
    let made = rcgen::generate_simple_self_signed(["api.example".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
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
        certificate: certificate.to_vec(),
        full,
        resumed,
    }
}

fn gate(roots: Vec<Vec<u8>>) -> Gate {
    Gate::new(GateOptions {
        resolver: FakeResolver::new(&[
            ("api.example", &[&["127.0.0.1"]]),
            ("other.example", &[&["127.0.0.1"]]),
        ]),
        timers: Arc::new(FakeTimers::default()),
        extra_roots: roots,
        ..GateOptions::default()
    })
}

#[tokio::test]
async fn certificates_are_verified() {
    let server = start().await;
    let base = format!("https://api.example:{}", server.port);
    let trusting = gate(vec![server.certificate.clone()]);
    let response = trusting
        .session(policy(&base))
        .send(get("/"))
        .await
        .unwrap();
    assert_eq!(&response.body[..], b"secure");
    // (gate, host): an unknown issuer, and another name than the certificate's
    for (gate, host) in [
        (gate(Vec::new()), "api.example"),
        (trusting, "other.example"),
    ] {
        let base = format!("https://{host}:{}", server.port);
        let error = gate
            .session(policy(&base))
            .send(get("/"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, EgressError::Connect { .. }),
            "{host}: {error}"
        );
        assert!(error.to_string().contains("certificate"), "{host}: {error}");
    }
}

#[tokio::test]
async fn the_address_policy_holds_for_tls() {
    let server = start().await;
    let mut closed = policy(&format!("https://api.example:{}", server.port));
    closed.private.clear();
    let error = gate(vec![server.certificate])
        .session(closed)
        .send(get("/"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            EgressError::Denied {
                missing: Missing::Private,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_session_resumes_its_own_tls_sessions_only() {
    let server = start().await;
    let gate = gate(vec![server.certificate]);
    for run in 1..=3 {
        let session = gate.session(policy(&format!("https://api.example:{}", server.port)));
        for _ in 0..2 {
            session.send(get("/")).await.unwrap();
        }
        let counts = (
            server.full.load(Ordering::SeqCst),
            server.resumed.load(Ordering::SeqCst),
        );
        assert_eq!(
            counts,
            (run, run),
            "each run's first handshake is whole, its second resumed"
        );
    }
}
