//! What APIs say about the pace and about credentials, through a real plugin: rate limits in every form, what
//! a run waited for, silence, and credentials that stop what would repeat them.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::cli::{RUN_FAILED, Tidegate};
use crate::support::http::Request;
use crate::support::plugins;
use crate::support::server::{Listener, Reply, Server};

const SYNC: &str = "api/Item";

/// The configured plugin, for one connection to `origin` with a static token.
fn connected(origin: &str) -> Tidegate {
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::rest(), "api", origin);
    let words =
        format!("connections add api acme --base-url {origin} --secret token=env:TIDE_TOKEN");
    tidegate
        .cmd(&words)
        .words(r#"--config models={"Item":{"path":"items"}}"#)
        .env("TIDE_TOKEN", "token-of-acme")
        .ok();
    tidegate
}

/// A server that answers so first, and then with what it has.
fn first(reply: Reply) -> Server {
    let asked = AtomicUsize::new(0);
    Server::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => reply.clone(),
        _ => Reply::json(&json!([{"id": "a"}])),
    })
}

#[test]
fn a_rate_limit_is_waited_for_in_whatever_form() {
    let limited = |status, name: &str, value: &str| Reply::status(status).header(name, value);
    let spent = Reply::status(403)
        .header("X-RateLimit-Remaining", "0")
        .header("X-RateLimit-Reset", "1");
    // (the first answer, for what the run waits, and how long at least)
    for (reply, why, least) in [
        (limited(403, "Retry-After", "1"), "retry_after_ms", 1_000),
        (limited(423, "Retry-After", "1.2"), "retry_after_ms", 1_200),
        (limited(430, "Retry-After", "1, 1"), "retry_after_ms", 1_000),
        (limited(400, "Retry-After-Ms", "800"), "retry_after_ms", 800),
        (limited(429, "Retry-After", "0"), "backoff_ms", 250),
        (spent, "retry_after_ms", 1_000),
    ] {
        let server = first(reply);
        let tidegate = connected(&server.origin());
        let run = tidegate.sync_ok(SYNC, "acme");
        let figures = &run["figures"];
        let waited = figures["waited"][why].as_u64().unwrap();
        assert!(
            waited >= least && waited < least + 1_500,
            "{why}: {figures}"
        );
        assert_eq!(figures["statuses"]["200"], 1, "{figures}");
        assert_eq!(figures["requests"], 2, "{figures}");
        let id = run["run"].as_str().unwrap();
        let shown = tidegate.cmd(&format!("runs {id}")).ok().stdout;
        assert!(shown.contains("answers    1 × 200, 1 × 4"), "{shown}");
        assert!(shown.contains("\nwaited     "), "{shown}");
    }
}

#[test]
fn a_limit_that_is_too_long_to_wait_for_is_transient_and_says_when() {
    let google = json!({"error": {"errors": [{"reason": "rateLimitExceeded"}], "code": 403}});
    // (the answer, the class, when to ask again)
    for (reply, class, retry_after) in [
        (
            Reply::status(403).header("Retry-After", "120"),
            "transient",
            json!(120_000),
        ),
        (
            Reply::status(400).header("Retry-After", "2 minutes"),
            "transient",
            json!(120_000),
        ),
        (
            Reply::json(&google).with_status(403),
            "transient",
            Value::Null,
        ),
        (
            Reply::json(&json!({"message": "Forbidden"})).with_status(403),
            "auth",
            Value::Null,
        ),
    ] {
        let server = Server::start(move |_| reply.clone());
        let tidegate = connected(&server.origin());
        let run = tidegate.sync(SYNC, "acme");
        run.expect_code(RUN_FAILED);
        let failure = &run.json()["failure"];
        assert_eq!(failure["class"], class, "{failure}");
        assert_eq!(failure["retry_after_ms"], retry_after, "{failure}");
        assert_eq!(server.requests().len(), 1);
    }
}

/// The names of the connections that a listing with these words has.
fn listed(tidegate: &Tidegate, words: &str) -> usize {
    let words = format!("connections list api --json {words}");
    tidegate.cmd(&words).ok().lines().len()
}

#[test]
fn a_static_key_that_is_refused_is_told_of_and_lifted_by_another() {
    let server = Server::start(|request| match request.header("authorization") {
        Some("Bearer the-new-one") => Reply::json(&json!([{"id": "a"}])),
        _ => Reply::json(&json!({"message": "who are you?"})).with_status(401),
    });
    let tidegate = connected(&server.origin());
    // Once may be a moment's; twice is not.
    for (runs, held) in [(1, 0), (2, 1)] {
        tidegate.sync(SYNC, "acme").expect_code(RUN_FAILED);
        assert_eq!(listed(&tidegate, "--auth-failed"), held, "after {runs}");
        assert_eq!(listed(&tidegate, "--unhealthy"), 1, "after {runs}");
    }
    let shown = tidegate.cmd("connections show api acme --json").ok().json();
    assert_eq!(shown["failing"][0]["target"], "sync Item", "{shown}");
    assert_eq!(shown["failing"][0]["held"], "auth_failed", "{shown}");
    let text = tidegate.cmd("connections show api acme").ok().stdout;
    assert!(
        text.contains("auth-failed  2") && text.contains("401"),
        "{text}"
    );
    // Other changes lift nothing; other credentials do, before anything has been run.
    let update = |words: &str| {
        let cmd = tidegate.cmd(&format!("connections update api acme {words}"));
        cmd.env("TIDE_NEW", "the-new-one").ok();
    };
    update("--tag plan=pro");
    assert_eq!(listed(&tidegate, "--auth-failed"), 1);
    update("--secret token=env:TIDE_NEW");
    assert_eq!(listed(&tidegate, "--auth-failed"), 0);
    tidegate.sync_ok(SYNC, "acme");
    assert_eq!(listed(&tidegate, "--unhealthy"), 0);
}

#[test]
fn a_missing_grant_is_config_until_it_is_given() {
    let server = Server::start(|_| Reply::json(&json!([{"id": "a"}])));
    let tidegate = connected("http://127.0.0.1:9");
    let words = format!(
        "connections update api acme --keep-secrets --base-url {}",
        server.origin()
    );
    tidegate.cmd(&words).ok();
    let run = tidegate.sync(SYNC, "acme");
    run.expect_code(RUN_FAILED);
    assert_eq!(run.json()["failure"]["class"], "config");
    let shown = || tidegate.cmd("connections show api acme --json").ok().json();
    let failed = shown();
    assert!(failed["auth_failed"].is_null(), "{failed}");
    assert_eq!(failed["failing"][0]["held"], "config_failed", "{failed}");
    let said = failed["config_failed"]["message"].as_str().unwrap();
    assert!(said.contains("--allow-host"), "{said}");
    tidegate.deploy(&plugins::rest(), "api", &server.origin());
    assert!(shown()["config_failed"].is_null());
    tidegate.sync_ok(SYNC, "acme");
}

/// An API that answers a request with a head, and then with its body as it likes.
fn answering(body: impl Fn(&TcpStream) + Send + Sync + 'static) -> Listener {
    Listener::start(move |stream| {
        let _ = Request::read(&stream);
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n";
        let _ = (&stream).write_all(head.as_bytes());
        body(&stream);
        // Until the client has enough of it.
        let _ = std::io::copy(&mut &stream, &mut std::io::sink());
    })
}

#[test]
fn an_answer_that_trickles_or_stalls_is_given_up() {
    let trickles = |mut stream: &TcpStream| {
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let stalls = |mut stream: &TcpStream| {
        let _ = stream.write_all(&[b' '; 50_000]);
    };
    for listener in [answering(trickles), answering(stalls)] {
        let tidegate = connected(&format!("http://{}", listener.address));
        let limited = tidegate.cmd("deploy").arg(plugins::rest());
        limited
            .words("--as api --yes --limit http_idle_timeout_ms=300")
            .ok();
        let run = tidegate.sync(SYNC, "acme");
        run.expect_code(RUN_FAILED);
        let failure = &run.json()["failure"];
        assert_eq!(failure["class"], "transient", "{failure}");
        assert_eq!(failure["blame"], "upstream", "{failure}");
        let said = failure["message"].as_str().unwrap();
        assert!(
            said.contains("300 ms (limit http_idle_timeout_ms)"),
            "{said}"
        );
        let tested = tidegate.cmd("connections test api acme --json").finish();
        let parts = ["can't be reached", "http_idle_timeout_ms", "300 ms"];
        tested.expect_refusal(RUN_FAILED, &parts);
        assert_eq!(tested.json()["result"], "unreachable");
    }
}

#[test]
fn a_check_of_a_silent_api_says_unreachable_soon() {
    let arrived = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&arrived);
    let listener = Listener::start(move |stream| {
        seen.fetch_add(1, Ordering::SeqCst);
        // Until the client has enough of it.
        let _ = std::io::copy(&mut &stream, &mut std::io::sink());
    });
    let tidegate = connected(&format!("http://{}", listener.address));
    let tested = tidegate.cmd("connections test api acme --json").finish();
    let parts = ["can't be reached", "http_idle_timeout_ms", "5000 ms"];
    tested.expect_refusal(RUN_FAILED, &parts);
    assert_eq!(tested.json()["result"], "unreachable");
    assert_eq!(arrived.load(Ordering::SeqCst), 4, "as often as any request");
}
