//! Retries against real servers: what is repeated, what is waited for, what comes back in the end.

use crate::common;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{FakeTimers, Reply, Server, answer, get, post, session};
use tidegate_egress::{EgressError, Request, Retry};
use tidegate_engine::limits::Limits;
use tokio::net::TcpListener;

/// Request, status of all answers but the 4th, their `Retry-After`, the sleeps, the last status.
type Row = (Request, u16, Option<&'static str>, &'static [f64], u16);

fn seconds(list: &[f64]) -> Vec<Duration> {
    list.iter().map(|s| Duration::from_secs_f64(*s)).collect()
}

#[tokio::test]
async fn answers_are_asked_for_again_as_the_contract_says() {
    let backoff: &[f64] = &[0.5, 1.0, 2.0];
    let rows: Vec<Row> = vec![
        (get("/"), 503, None, backoff, 200),
        (get("/"), 429, Some("0"), backoff, 200),
        (get("/"), 429, Some("2.0"), &[2.0, 2.0, 2.0], 200),
        (get("/"), 429, Some("3, 3"), &[3.0, 3.0, 3.0], 200),
        (get("/"), 403, Some("7"), &[7.0, 7.0, 7.0], 200),
        (get("/"), 423, Some("7"), &[7.0, 7.0, 7.0], 200),
        (get("/"), 430, None, backoff, 200),
        (get("/"), 403, None, &[], 403),
        (get("/"), 429, Some("7"), &[7.0, 7.0, 7.0], 200),
        (
            get("/"),
            429,
            Some("Sun, 06 Nov 1994 08:49:57 GMT"),
            &[20.0, 1.0, 2.0], // the date passes while it is waited for
            200,
        ),
        (get("/"), 503, Some(common::NOW), backoff, 200),
        (get("/"), 503, Some("nonsense"), backoff, 200),
        (get("/"), 429, Some("61"), &[], 429),
        (
            get("/"),
            429,
            Some("Sun, 06 Nov 1994 09:49:57 GMT"),
            &[],
            429,
        ),
        (get("/"), 400, None, &[], 400),
        (get("/"), 401, Some("1"), &[], 401),
        (get("/"), 501, None, &[], 501),
        (post("/", "x"), 503, None, &[], 503),
        (
            Request {
                idempotency_key: Some("k".to_owned()),
                ..post("/", "x")
            },
            503,
            None,
            backoff,
            200,
        ),
        (
            Request {
                retry: Retry::Never,
                ..get("/")
            },
            503,
            None,
            &[],
            503,
        ),
        (
            Request {
                retry: Retry::Never,
                idempotency_key: Some("k".to_owned()),
                ..post("/", "x")
            },
            503,
            Some("0"),
            &[],
            503,
        ),
        (
            Request {
                method: "PUT".to_owned(),
                ..post("/", "x")
            },
            408,
            None,
            backoff,
            200,
        ),
        (
            Request {
                method: "DELETE".to_owned(),
                ..get("/")
            },
            425,
            None,
            backoff,
            200,
        ),
        (
            Request {
                method: "PATCH".to_owned(),
                ..post("/", "x")
            },
            500,
            None,
            &[],
            500,
        ),
    ];
    for (request, status, retry_after, sleeps, last) in rows {
        let name = format!("{} {status} {retry_after:?}", request.method);
        let bad = answer(
            status,
            &retry_after
                .map(|v| ("Retry-After", v))
                .into_iter()
                .collect::<Vec<_>>(),
            "bad",
        );
        let server = Server::start(move |_, before| {
            Reply::Send(if before < 3 {
                bad.clone()
            } else {
                answer(200, &[], "good")
            })
        })
        .await;
        let timers = Arc::new(FakeTimers::default());
        let run = session(&server, &timers, Limits::default());
        let response = run.send(request.clone()).await.unwrap();
        assert_eq!(response.status, last, "{name}");
        assert_eq!(*timers.sleeps.lock().unwrap(), seconds(sleeps), "{name}");
        let figures = run.figures();
        assert_eq!(figures.retries, sleeps.len() as u64, "{name}");
        assert_eq!(figures.requests, sleeps.len() as u64 + 1, "{name}");
        // Each attempt is the same request, and none costs a new connection.
        for seen in server.seen() {
            assert_eq!(
                seen.header("idempotency-key"),
                request.idempotency_key.as_deref(),
                "{name}"
            );
            assert_eq!(
                seen.body,
                request.body.clone().unwrap_or_default(),
                "{name}"
            );
            assert_eq!(seen.connection, 0, "{name}");
        }
    }
}

#[tokio::test]
async fn the_last_answer_is_returned_after_four_attempts() {
    let server = Server::always(answer(503, &[], "still bad")).await;
    let timers = Arc::new(FakeTimers::default());
    let run = session(&server, &timers, Limits::default());
    let response = run.send(get("/")).await.unwrap();
    assert_eq!(
        (response.status, &response.body[..]),
        (503, &b"still bad"[..])
    );
    assert_eq!(server.count(), 4);
    // The budget counts what the guest asked for.
    let limits = Limits {
        http_requests: 1,
        ..Limits::default()
    };
    let run = session(&server, &timers, limits);
    assert_eq!(run.send(get("/")).await.unwrap().status, 503);
}

#[tokio::test]
async fn a_cut_answer_is_asked_for_again() {
    let server = Server::start(|_, before| match before {
        0 => Reply::Cut(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec()),
        _ => Reply::Send(answer(200, &[], "whole")),
    })
    .await;
    let timers = Arc::new(FakeTimers::default());
    let run = session(&server, &timers, Limits::default());
    assert_eq!(&run.send(get("/")).await.unwrap().body[..], b"whole");
    assert_eq!(run.figures().retries, 1);
    // A POST could have been carried out already.
    let server = Server::start(|_, _| Reply::Cut(Vec::new())).await;
    let run = session(&server, &timers, Limits::default());
    let error = run.send(post("/", "x")).await.unwrap_err();
    assert!(matches!(error, EgressError::Connect { .. }), "{error}");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_refused_connection_is_tried_four_times() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let timers = Arc::new(FakeTimers::default());
    let run = common::gate(&timers).session(common::policy(&format!("http://{address}")));
    let error = run.send(get("/")).await.unwrap_err();
    assert!(matches!(error, EgressError::Connect { .. }), "{error}");
    assert!(
        error.to_string().contains("refused") && error.to_string().contains("4 attempts"),
        "{error}"
    );
    assert_eq!(timers.sleeps.lock().unwrap().len(), 3);
}
