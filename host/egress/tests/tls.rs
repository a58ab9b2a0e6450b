//! TLS: an unknown certificate is refused, an operator's own root is trusted, tickets stay apart.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::common::secure::start;
use crate::common::{FakeResolver, FakeTimers, get, key, policy};
use tidegate_egress::{EgressError, Gate, GateOptions, Missing};

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
async fn customers_share_neither_connections_nor_tls_sessions() {
    let server = start().await;
    let gate = gate(vec![server.certificate]);
    let base = format!("https://api.example:{}", server.port);
    // All live at the same time, at the same API, with the same grants.
    let owners = [
        ("crm", "acme"),
        ("crm", "globex"),
        ("mail", "acme"),
        ("crm", "acme"),
    ];
    let sessions = owners.map(|(integration, connection)| {
        let mut policy = policy(&base);
        policy.connection = key(integration, connection);
        gate.session(policy)
    });
    for round in 1..=2 {
        for session in &sessions {
            session.send(get("/")).await.unwrap();
        }
        let counts = (
            server.full.load(Ordering::SeqCst),
            server.resumed.load(Ordering::SeqCst),
        );
        // The fourth is the first's connection again.
        assert_eq!(counts, (3, 4 * round - 3), "round {round}");
    }
}

#[tokio::test]
async fn runs_of_one_connection_resume_its_tls_sessions() {
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
            (1, 2 * run - 1),
            "only the first handshake is whole"
        );
    }
}
