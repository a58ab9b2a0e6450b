//! What a server leaves on a connection is nobody's answer, and what it asks us to keep is not kept.

use crate::common;
use std::sync::Arc;

use crate::common::{FakeTimers, Reply, Server, answer, get, session};
use tidegate_egress::EgressError;
use tidegate_engine::limits::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::test]
async fn bytes_after_an_answer_are_not_the_next_one() {
    let smuggled = answer(200, &[], "smuggled");
    let leftovers: [Vec<u8>; 4] = [
        smuggled.clone(),
        [b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), smuggled].concat(),
        b"0\r\n\r\n".to_vec(),
        vec![0; 70_000],
    ];
    for leftover in leftovers {
        let shown = String::from_utf8_lossy(&leftover[..leftover.len().min(30)]).into_owned();
        let server = Server::start(move |_, before| match before {
            0 => Reply::Send([answer(200, &[], "first"), leftover.clone()].concat()),
            _ => Reply::Send(answer(200, &[], "second")),
        })
        .await;
        let timers = Arc::new(FakeTimers::default());
        let run = session(&server, &timers, Limits::default());
        assert_eq!(
            &run.send(get("/")).await.unwrap().body[..],
            b"first",
            "{shown}"
        );
        assert_eq!(
            &run.send(get("/")).await.unwrap().body[..],
            b"second",
            "{shown}"
        );
        let seen = server.seen();
        assert_ne!(seen[0].connection, seen[1].connection, "{shown}");
    }
}

#[tokio::test]
async fn the_next_run_of_a_connection_finds_it_open_and_nobody_elses_does() {
    let server = Server::always(answer(200, &[], "ok")).await;
    let timers = Arc::new(FakeTimers::default());
    let gate = common::gate(&timers);
    let acme = common::policy(&server.url(""));
    let mut globex = acme.clone();
    globex.connection.connection = "globex".parse().unwrap();
    let mut elsewhere = acme.clone();
    elsewhere.connection.integration = "elsewhere".parse().unwrap();
    let mut less = acme.clone();
    less.limits.http_headers -= 1;
    let mut added_again = acme.clone();
    added_again.since.0 += 1;
    let mut opened = acme.clone();
    opened.private.push("10.0.0.0/8".parse().unwrap());
    let policies = [
        &acme,
        &acme,
        &globex,
        &elsewhere,
        &less,
        &opened,
        &acme,
        &globex,
        &added_again,
    ];
    for policy in policies {
        let run = gate.session(policy.clone());
        run.send(get("/")).await.unwrap();
    }
    let seen = server.seen();
    let same = |one: usize, other: usize| seen[one].connection == seen[other].connection;
    assert!(same(0, 1) && same(0, 6), "acme's");
    assert!(same(2, 7), "globex's");
    let all: std::collections::BTreeSet<_> = seen.iter().map(|seen| seen.connection).collect();
    assert_eq!(all.len(), 6, "one for each that may do something else");
}

#[tokio::test]
async fn cookies_and_hints_are_not_kept_and_only_gzip_is_asked_for() {
    let headers = [
        ("set-cookie", "id=canary; Path=/"),
        ("alt-svc", "h3=\":443\"; ma=86400"),
        ("strict-transport-security", "max-age=31536000"),
        ("etag", "\"canary\""),
        ("refresh", "0; url=/canary"),
        ("link", "</canary>; rel=preload"),
    ];
    let server = Server::always(answer(200, &headers, "ok")).await;
    let timers = Arc::new(FakeTimers::default());
    let run = session(&server, &timers, Limits::default());
    for _ in 0..3 {
        let response = run.send(get("/")).await.unwrap();
        assert_eq!(response.header("set-cookie"), Some("id=canary; Path=/"));
    }
    assert_eq!(server.count(), 3);
    for seen in server.seen() {
        assert!(!format!("{seen:?}").contains("canary"), "{seen:?}");
        assert_eq!(seen.header("accept-encoding"), Some("gzip"));
        let mut names: Vec<&str> = seen.headers.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
    }
}

#[tokio::test]
async fn a_reset_in_a_body_is_an_error_and_the_session_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // What is left unread when it is closed makes the kernel send a reset.
            stream.read_u8().await.unwrap();
            let half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
            stream.write_all(half).await.unwrap();
        }
    });
    let timers = Arc::new(FakeTimers::default());
    let policy = common::policy(&format!("http://{address}"));
    let healthy = Server::always(answer(200, &[], "healthy")).await;
    let policy = common::also(policy, &[&healthy.url("")]);
    let run = common::gate(&timers).session(policy);
    let error = run.send(get("/")).await.unwrap_err();
    assert!(matches!(error, EgressError::Connect { .. }), "{error}");
    assert!(error.to_string().contains("4 attempts"), "{error}");
    let beside = run.send(get(&healthy.url("/"))).await.unwrap();
    assert_eq!(&beside.body[..], b"healthy");
}
