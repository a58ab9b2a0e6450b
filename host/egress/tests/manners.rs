//! Shared manners: one pace for all runs of a connection at an origin, upstreams heard before they
//! bite, and retries that can't multiply load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{FakeTimers, Reply, Server, also, answer, gate, get, key, policy};
use futures::future::join_all;
use tidegate_egress::{EgressError, Gate, GateOptions, Policy, Request, Retry, Session};
use tidegate_engine::limits::Limits;
use tidegate_engine::run::Blame;

/// A run of this connection at `server`.
fn run(gate: &Gate, server: &Server, integration: &str, connection: &str) -> Session {
    gate.session(Policy {
        connection: key(integration, connection),
        ..policy(&server.url(""))
    })
}

fn once(url: &str) -> Request {
    Request {
        retry: Retry::Never,
        ..get(url)
    }
}

#[tokio::test]
async fn runs_of_a_connection_share_its_rate_at_an_origin() {
    let server = Server::always(answer(200, &[], "ok")).await;
    let other = Server::always(answer(200, &[], "other")).await;
    let timers = Arc::new(FakeTimers::default());
    let gate = gate(&timers);
    let run = |integration: &str, connection: &str| {
        let policy = also(policy(&server.url("")), &[&other.url("")]);
        gate.session(Policy {
            connection: key(integration, connection),
            rate_limit: Some("2/1s burst 2".parse().unwrap()),
            ..policy
        })
    };
    let (first, second) = (run("crm", "acme"), run("crm", "acme"));
    for _ in 0..5 {
        first.send(get("/")).await.unwrap();
        second.send(get("/")).await.unwrap();
    }
    // Two at once, and eight more, half a second apart.
    assert_eq!(timers.elapsed(), Duration::from_secs(4));
    // Another customer, another integration and another origin have a pace of their own.
    for (session, url) in [
        (run("crm", "globex"), server.url("/")),
        (run("mail", "acme"), server.url("/")),
        (first, other.url("/")),
    ] {
        session.send(get(&url)).await.unwrap();
    }
    assert_eq!(timers.elapsed(), Duration::from_secs(4));
}

#[tokio::test]
async fn retries_and_redirects_take_their_turn_too() {
    let server = Server::start(|seen, before| match (seen.target.as_str(), before) {
        ("/moved", 0) => Reply::Send(answer(500, &[], "")),
        ("/moved", _) => Reply::Send(answer(302, &[("location", "/here")], "")),
        _ => Reply::Send(answer(200, &[], "ok")),
    })
    .await;
    let timers = Arc::new(FakeTimers::default());
    let session = gate(&timers).session(Policy {
        rate_limit: Some("1/10s".parse().unwrap()),
        ..policy(&server.url(""))
    });
    assert_eq!(session.send(get("/moved")).await.unwrap().status, 200);
    assert_eq!(server.count(), 3);
    assert_eq!(timers.elapsed(), Duration::from_secs(20));
}

#[tokio::test]
async fn the_upstreams_word_to_one_run_holds_for_all() {
    // (status, header, value, seconds that the next request waits; none when it is refused)
    let rows = [
        (429, "Retry-After", "7", Some(7)),
        (
            503,
            "Retry-After",
            "Sun, 06 Nov 1994 08:49:57 GMT",
            Some(20),
        ),
        (403, "Retry-After", "60", Some(60)),
        (429, "Retry-After", "61", None),
        (429, "Retry-After", "Sun, 06 Nov 1994 09:49:37 GMT", None),
        (500, "Retry-After", "7", Some(0)),
        (200, "Retry-After", "7", Some(0)),
        (200, "RateLimit", "\"a\";r=0;t=9", Some(9)),
        (200, "RateLimit", "\"a\";r=0;t=99", None),
        (200, "RateLimit", "\"a\";r=1;t=9", Some(0)),
        (200, "RateLimit", "limit=9, remaining=0, reset=9", Some(9)),
    ];
    for (status, name, value, want) in rows {
        let server = Server::start(move |_, before| match before {
            0 => Reply::Send(answer(status, &[(name, value)], "first")),
            _ => Reply::Send(answer(200, &[], "second")),
        })
        .await;
        let timers = Arc::new(FakeTimers::default());
        let gate = gate(&timers);
        let shown = format!("{status} {name}: {value}");
        let first = run(&gate, &server, "crm", "acme")
            .send(once("/"))
            .await
            .unwrap();
        assert_eq!(first.status, status, "{shown}");
        // Another customer isn't held up.
        run(&gate, &server, "crm", "globex")
            .send(once("/"))
            .await
            .unwrap();
        assert_eq!(timers.elapsed(), Duration::ZERO, "{shown}");
        let second = run(&gate, &server, "crm", "acme").send(once("/")).await;
        match (second, want) {
            (Ok(_), Some(seconds)) => {
                // Up to a tenth later, and a second at most, so that not all come back at once.
                let least = Duration::from_secs(seconds);
                let spread = (least / 10).min(Duration::from_secs(1));
                assert_eq!(timers.elapsed(), least + spread, "{shown}");
                assert_eq!(server.count(), 3, "{shown}");
            }
            (Err(error @ EgressError::Throttled { .. }), None) => {
                assert!(
                    error.retry_after().unwrap() > Duration::from_secs(60),
                    "{shown}"
                );
                assert_eq!(error.blame(), Blame::Upstream);
                assert_eq!(server.count(), 2, "{shown}: nothing is sent");
                assert_eq!(timers.elapsed(), Duration::ZERO, "{shown}: nobody waits");
            }
            (got, want) => panic!("{shown}: wanted {want:?}, got {got:?}"),
        }
    }
}

#[tokio::test]
async fn a_quota_is_used_up_and_never_exceeded() {
    // A server that counts in windows of 10 s and refuses whoever asks too often.
    const QUOTA: u64 = 5;
    let timers = Arc::new(FakeTimers::default());
    let clock = Arc::clone(&timers);
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refused);
    let window = std::sync::Mutex::new((0, 0));
    let server = Server::start(move |_, _| {
        let now = clock.elapsed().as_millis() as u64;
        let mut window = window.lock().unwrap();
        if window.0 != now / 10_000 {
            *window = (now / 10_000, 0);
        }
        window.1 += 1;
        let left = QUOTA.checked_sub(window.1);
        let reset = (10_000 - now % 10_000).div_ceil(1000).to_string();
        let headers = [
            ("X-RateLimit-Remaining", left.unwrap_or(0).to_string()),
            ("X-RateLimit-Reset", reset),
        ];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        if left.is_none() {
            counted.fetch_add(1, Ordering::SeqCst);
            return Reply::Send(answer(429, &headers, ""));
        }
        Reply::Send(answer(200, &headers, ""))
    })
    .await;
    let gate = gate(&timers);
    let runs: Vec<Session> = (0..3).map(|_| run(&gate, &server, "crm", "acme")).collect();
    runs[0].send(once("/")).await.unwrap();
    let calls = (0..51).map(|n| runs[n % 3].send(once("/")));
    let answers = join_all(calls).await;
    assert_eq!(refused.load(Ordering::SeqCst), 0);
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap().status == 200)
    );
    // 52 requests at 5 a window take ten windows and more: the made-up clock jumps to the next one
    // while requests are under way.
    let windows = timers.elapsed().as_secs() / 10;
    assert!((10..=52).contains(&windows), "{windows} windows");
}

#[tokio::test]
async fn waiting_for_a_turn_is_not_waiting_for_an_answer_and_ends_with_the_call() {
    let server = Server::always(answer(200, &[], "ok")).await;
    let gate = Gate::new(GateOptions::default());
    let session = gate.session(Policy {
        rate_limit: Some("1/300ms".parse().unwrap()),
        limits: Limits {
            http_timeout_ms: 150,
            http_in_flight: 1,
            ..Limits::default()
        },
        ..policy(&server.url(""))
    });
    // The first goes at once, the second after twice the time that an answer may take.
    session.send(get("/")).await.unwrap();
    session.send(get("/")).await.unwrap();
    // A call that is dropped while it waits leaves its place to the next.
    let cancelled = tokio::time::timeout(Duration::from_millis(10), session.send(get("/"))).await;
    assert!(cancelled.is_err());
    session.send(get("/")).await.unwrap();
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn retries_cannot_multiply_load() {
    let server = Server::always(answer(503, &[], "down")).await;
    let timers = Arc::new(FakeTimers::default());
    let gate = gate(&timers);
    // Fifty requests of five customers at once, each of which would be tried four times.
    let runs: Vec<Session> = (0..5)
        .map(|n| run(&gate, &server, "crm", &format!("customer-{n}")))
        .collect();
    let calls = (0..50).map(|n| runs[n % 5].send(get("/")));
    let answers = join_all(calls).await;
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap().status == 503)
    );
    // Ten for free, a tenth of fifty, and one for each second that back-off has taken.
    let most = 50 + 10 + 5 + timers.elapsed().as_secs() as usize + 1;
    let count = server.count();
    assert!(
        count > 50 && count <= most,
        "{count} requests, at most {most}"
    );
    // Now that nothing is left, a request is sent once.
    let before = server.count();
    let retries = |session: &Session| session.figures().retries;
    let last = run(&gate, &server, "crm", "acme");
    while last.send(get("/")).await.is_ok() && retries(&last) > 0 && server.count() < 1000 {}
    assert!(server.count() - before < 30, "{}", server.count() - before);
    // Another integration has a budget of its own.
    let other = run(&gate, &server, "mail", "acme");
    other.send(get("/")).await.unwrap();
    assert_eq!(retries(&other), 3);
}
