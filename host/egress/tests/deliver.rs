//! Webhooks and traces to their receivers: what each kind of answer comes to, where they may go, and over
//! how many connections.

use std::sync::Arc;

use crate::common::{FakeTimers, Reply, Server, answer, gate};
use bytes::Bytes;
use futures::future::{join, join_all};
use tidegate_egress::{Answer, EgressError, Missing, Receiver};
use tidegate_engine::limits::WEBHOOK_RESPONSE_BYTES;
use tidegate_engine::webhook::EndpointId;

fn receiver(url: &str, private: &[&str]) -> Receiver {
    let gate = gate(&Arc::new(FakeTimers::default()));
    let private = private.iter().map(|range| range.parse().unwrap()).collect();
    let id = EndpointId::from_bytes([7; 16]);
    Receiver::of_webhooks(&gate, id, &url.parse().unwrap(), private).unwrap()
}

fn collector(url: &str) -> Receiver {
    let gate = gate(&Arc::new(FakeTimers::default()));
    Receiver::of_traces(&gate, &url.parse().unwrap()).unwrap()
}

async fn post(receiver: &Receiver) -> Result<Answer, EgressError> {
    let headers = [("webhook-id".to_owned(), "evt_1".to_owned())];
    receiver.post(&headers, Bytes::from_static(b"{}")).await
}

#[tokio::test]
async fn the_status_decides_whatever_the_body_is_like() {
    let server = Server::start(|seen, _| match seen.target.as_str() {
        "/ok" => Reply::Send(answer(200, &[], "fine")),
        "/none" => Reply::Send(answer(204, &[], "")),
        "/moved" => Reply::Send(answer(301, &[("location", "/ok")], "there")),
        "/slow-down" => Reply::Send(answer(429, &[("retry-after", "7")], "")),
        "/flood" => Reply::Flood(
            b"HTTP/1.1 200 Some\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
            [&b"1000\r\n"[..], &[b'x'; 0x1000], b"\r\n"].concat(),
        ),
        "/huge" => Reply::Send(answer(500, &[], vec![b'x'; 3_000_000])),
        "/cut" => Reply::Cut(b"HTTP/1.1 200 Some\r\ncontent-length: 99\r\n\r\nhalf".to_vec()),
        other => panic!("{other}"),
    })
    .await;
    let most = usize::try_from(WEBHOOK_RESPONSE_BYTES).unwrap();
    let rows = [
        ("/ok", 200, None, 4),
        ("/none", 204, None, 0),
        ("/moved", 301, None, 5),
        ("/slow-down", 429, Some(7), 0),
        ("/flood", 200, None, most),
        ("/huge", 500, None, most),
        ("/cut", 200, None, 4),
    ];
    for (path, status, retry_after, bytes) in rows {
        let receiver = receiver(&server.url(path), &["127.0.0.0/8"]);
        let got = post(&receiver).await.unwrap();
        let after = got.retry_after.map(|after| after.as_secs());
        assert_eq!(
            (got.status, after, got.body.len()),
            (status, retry_after, bytes),
            "{path}"
        );
    }
    let seen = &server.seen()[0];
    assert_eq!(
        (seen.method.as_str(), seen.header("webhook-id")),
        ("POST", Some("evt_1"))
    );
    assert_eq!(seen.body, b"{}");
    // The redirect was not followed.
    assert_eq!(
        server
            .seen()
            .iter()
            .filter(|seen| seen.target == "/ok")
            .count(),
        1
    );
}

#[tokio::test]
async fn no_status_is_an_error() {
    let server = Server::start(|seen, _| match seen.target.as_str() {
        "/reset" => Reply::Cut(Vec::new()),
        "/nonsense" => Reply::Cut(b"what?\r\n\r\n".to_vec()),
        other => panic!("{other}"),
    })
    .await;
    for path in ["/reset", "/nonsense"] {
        let error = post(&receiver(&server.url(path), &["127.0.0.0/8"])).await;
        assert!(
            matches!(error, Err(EgressError::Connect { .. })),
            "{path}: {error:?}"
        );
    }
    // Nobody there speaks TLS.
    let tls = server.url("/reset").replace("http://", "https://");
    let error = post(&receiver(&tls, &["127.0.0.0/8"])).await;
    assert!(
        matches!(
            error,
            Err(EgressError::Connect { .. } | EgressError::Timeout { .. })
        ),
        "{error:?}"
    );
    // Nobody listens.
    let error = post(&receiver("http://127.0.0.1:1/", &["127.0.0.0/8"])).await;
    assert!(
        matches!(error, Err(EgressError::Connect { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn who_hangs_is_given_up_on_and_who_drips_has_answered() {
    let server = Server::start(|seen, _| match seen.target.as_str() {
        "/hang" => Reply::Hang,
        "/drip-head" => Reply::Drip(b"HTTP/1.1 2".to_vec()),
        "/drip" => Reply::Drip(b"HTTP/1.1 200 Some\r\ncontent-length: 9999\r\n\r\n".to_vec()),
        other => panic!("{other}"),
    })
    .await;
    // All at once: each takes as long as the limit.
    let rows = [("/hang", false), ("/drip-head", false), ("/drip", true)];
    let posts = rows.map(|(path, _)| {
        let receiver = receiver(&server.url(path), &["127.0.0.0/8"]);
        async move { post(&receiver).await }
    });
    let (posted, traced) = join(join_all(posts), post(&collector(&server.url("/hang")))).await;
    let traced = traced.unwrap_err().to_string();
    assert!(traced.contains("otlp_timeout_ms"), "{traced}");
    for ((path, answered), got) in rows.into_iter().zip(posted) {
        match got {
            Ok(got) => assert!(answered && got.status == 200, "{path}: {got:?}"),
            Err(EgressError::Timeout { message }) => {
                assert!(
                    !answered && message.contains("webhook_timeout_ms"),
                    "{path}: {message}"
                );
            }
            Err(other) => panic!("{path}: {other}"),
        }
    }
}

#[tokio::test]
async fn private_addresses_are_the_operators_to_open_and_metadata_is_nobodys() {
    let server = Server::always(answer(200, &[], "")).await;
    let rows: [(&str, &[&str], Missing); 5] = [
        (&server.url("/"), &[], Missing::Private),
        (&server.url("/"), &["10.0.0.0/8"], Missing::Private),
        (
            "http://169.254.169.254/latest",
            &["0.0.0.0/0"],
            Missing::Nothing,
        ),
        (
            "http://[::ffff:169.254.169.254]/",
            &["0.0.0.0/0", "::/0"],
            Missing::Nothing,
        ),
        // In clear only where the operator opened it.
        ("http://93.184.216.34/", &["127.0.0.0/8"], Missing::Nothing),
    ];
    for (url, private, want) in rows {
        let error = post(&receiver(url, private)).await;
        assert!(
            matches!(error, Err(EgressError::Denied { missing, .. }) if missing == want),
            "{url}: {error:?}"
        );
    }
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn naming_a_collector_opens_the_way_to_it_but_not_to_metadata() {
    let server = Server::always(answer(200, &[], "")).await;
    assert_eq!(
        post(&collector(&server.url("/"))).await.unwrap().status,
        200
    );
    for url in [
        "http://169.254.169.254/v1/traces",
        "https://[::ffff:169.254.169.254]/v1/traces",
        // In clear only within the operator's own networks.
        "http://93.184.216.34/v1/traces",
    ] {
        let error = post(&collector(url)).await;
        let nobodys = |error: &EgressError| matches!(error, EgressError::Denied { missing, .. } if *missing == Missing::Nothing);
        assert!(error.as_ref().is_err_and(nobodys), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = Server::always(answer(500, &[], vec![b'x'; 10_000])).await;
    let receiver = receiver(&server.url("/"), &["127.0.0.0/8"]);
    for _ in 0..3 {
        assert_eq!(post(&receiver).await.unwrap().status, 500);
    }
    assert_eq!(
        (
            server.count(),
            server.connections.load(std::sync::atomic::Ordering::SeqCst)
        ),
        (3, 1)
    );
}
