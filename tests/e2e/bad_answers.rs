//! What an outside API may answer, and what each answer leaves behind: a failed run that says why,
//! and everything stored before as it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::cli::{RUN_FAILED, Tidegate};
use crate::support::crm::{MODEL, Source, contact, contacts, reply};
use crate::support::http::Request;
use crate::support::plugins;
use crate::support::server::{Gate, Reply, Server};

/// An API that turns bad, and how a run on it must end.
struct Row {
    /// What it answers once it is bad.
    answer: fn(&Request) -> Reply,
    class: &'static str,
    blame: &'static str,
    /// What the failure's message says.
    says: &'static [&'static str],
    /// The status kept with the failure.
    status: Option<u16>,
    /// How often the API is asked: retries are the host's.
    requests: usize,
}

macro_rules! rows {
    ($($name:ident: $row:expr,)*) => {
        $(#[test] fn $name() { check(&$row); })*
    };
}

rows! {
    unauthorised: Row {
        answer: |_| Reply::json(&json!({"error": "bad token"})).with_status(401),
        class: "auth", blame: "operator", says: &["/contacts", "401", "bad token"], status: Some(401), requests: 1,
    },
    not_found: Row {
        answer: |_| Reply::status(404),
        class: "rejected", blame: "upstream", says: &["/contacts", "404"], status: Some(404), requests: 1,
    },
    too_many_requests_for_long: Row {
        // A wait that long is the scheduler's.
        answer: |_| Reply::status(429).header("Retry-After", "3600"),
        class: "transient", blame: "upstream", says: &["429"], status: Some(429), requests: 1,
    },
    too_many_requests_for_good: Row {
        answer: |_| Reply::status(429).header("Retry-After", "0"),
        class: "transient", blame: "upstream", says: &["429"], status: Some(429), requests: 4,
    },
    server_errors: Row {
        answer: |_| Reply::text("we are down").with_status(500),
        class: "transient", blame: "upstream", says: &["500", "we are down"], status: Some(500), requests: 4,
    },
    unavailable: Row {
        answer: |_| Reply::status(503).header("Retry-After", "0"),
        class: "transient", blame: "upstream", says: &["503"], status: Some(503), requests: 4,
    },
    not_json: Row {
        answer: |_| Reply::text("<html>maintenance</html>"),
        class: "transient", blame: "upstream", says: &["not JSON", "<html>maintenance"], status: Some(200), requests: 1,
    },
    json_of_another_shape: Row {
        answer: |_| Reply::json(&json!({"items": "none today"})),
        class: "other", blame: "upstream", says: &["/contacts", "none today"], status: None, requests: 1,
    },
    truncated_json: Row {
        // All that was promised came, and it is half a document.
        answer: |_| Reply::text(r#"{"items": [{"id": "c1", "na"#),
        class: "transient", blame: "upstream", says: &["not JSON", "/contacts"], status: Some(200), requests: 1,
    },
    truncated_body: Row {
        answer: |_| reply(&contacts(0..3, 2), None).cut(),
        class: "transient", blame: "upstream", says: &["/contacts"], status: None, requests: 4,
    },
    cursors_in_a_circle: Row {
        // The first page leads to a second, that to a third, and the third, which has nothing new, back.
        answer: |request| match request.query("cursor").as_deref() {
            None => reply(&contacts(0..3, 1), Some("two")),
            Some("two") => reply(&contacts(3..6, 1), Some("three")),
            Some(_) => reply(&contacts(3..6, 1), Some("two")),
        },
        class: "other", blame: "guest", says: &["/contacts", "comes again"], status: None, requests: 3,
    },
}

fn check(row: &Row) {
    for source in Source::ALL {
        let bad = Arc::new(AtomicBool::new(false));
        let (turned, answer) = (Arc::clone(&bad), row.answer);
        let server = Server::start(move |request| match turned.load(Ordering::SeqCst) {
            true => answer(request),
            false => reply(&contacts(0..3, 1), None),
        });
        let tidegate = Tidegate::new();
        source.set_up(&tidegate, &server.origin());
        tidegate.sync_ok(source.sync(), "acme");
        let stored = tidegate.feed(MODEL, "acme", None);
        assert_eq!(stored.len(), 3);
        let runs = tidegate.runs();

        bad.store(true, Ordering::SeqCst);
        let asked = server.requests().len();
        let finished = tidegate.sync(source.sync(), "acme");
        finished.expect_refusal(
            RUN_FAILED,
            &[
                "error: the run failed",
                row.class,
                row.blame,
                "tidegate logs run_",
            ],
        );
        let run = finished.json();
        let failure = &run["failure"];
        assert_eq!(run["outcome"], "failed", "{source:?}: {run}");
        assert_eq!(
            (&failure["class"], &failure["blame"]),
            (&json!(row.class), &json!(row.blame)),
            "{source:?}: {run}"
        );
        let message = failure["message"].as_str().unwrap();
        for part in row.says {
            assert!(
                message.contains(part),
                "{source:?}: wanted {part:?} in {message}"
            );
        }
        if let Some(status) = row.status {
            assert_eq!(failure["upstream"]["status"], status, "{source:?}: {run}");
        }
        assert_eq!(
            server.requests().len() - asked,
            row.requests,
            "{source:?}: {run}"
        );

        // What was stored is as it was, and the failed run is in the list.
        let kept: Vec<Value> = tidegate.feed(MODEL, "acme", None);
        assert_eq!(kept.get(..3), Some(&stored[..]), "{source:?}");
        let listed = tidegate.runs();
        assert_eq!(listed[..runs.len()], runs[..], "{source:?}");
        assert_eq!(listed.last(), Some(&run), "{source:?}");

        // And it goes on as if nothing had been.
        bad.store(false, Ordering::SeqCst);
        let run = tidegate.sync_ok(source.sync(), "acme");
        assert_eq!(
            run["figures"]["counts"]["Contact"]["updated"], 0,
            "{source:?}: {run}"
        );
    }
}

#[test]
fn a_page_that_names_itself() {
    // The first page leads to a second, and the second to itself. Whoever writes a plugin is told that
    // this is a loop. APIs that are only configured end their lists so: that is the end, with a warning.
    for source in Source::ALL {
        let server = Server::start(|request| match request.query("cursor") {
            None => reply(&contacts(0..3, 1), Some("two")),
            Some(_) => reply(&contacts(3..6, 1), Some("two")),
        });
        let tidegate = Tidegate::new();
        source.set_up(&tidegate, &server.origin());
        let run = tidegate.sync(source.sync(), "acme").json();
        match source {
            Source::DemoCrm => {
                assert_eq!(run["outcome"], "failed", "{run}");
                assert_eq!(run["failure"]["code"], "pagination-loop", "{run}");
            }
            Source::Rest => {
                assert_eq!(run["outcome"], "success", "{run}");
                assert_eq!(run["figures"]["counts"]["Contact"]["added"], 6, "{run}");
                let logged = tidegate.logs(&run);
                let told = |line: &Value| {
                    let message = line["message"].as_str().unwrap();
                    let says = ["the cursor \"two\"", "may have been missed"];
                    line["level"] == "warn" && says.iter().all(|says| message.contains(says))
                };
                assert!(logged.iter().any(told), "{logged:#?}");
            }
        }
        assert_eq!(server.requests().len(), 2, "{source:?}: {run}");
    }
}

#[test]
fn a_retry_after_is_waited_for() {
    for source in Source::ALL {
        let server = Server::start({
            let asked = AtomicBool::new(false);
            move |_| match asked.swap(true, Ordering::SeqCst) {
                true => reply(&contacts(0..2, 1), None),
                false => Reply::status(429).header("Retry-After", "1"),
            }
        });
        let tidegate = Tidegate::new();
        source.set_up(&tidegate, &server.origin());
        let run = tidegate.sync_ok(source.sync(), "acme");
        assert_eq!(run["figures"]["retries"], 1, "{run}");
        assert_eq!(run["figures"]["counts"]["Contact"]["added"], 2, "{run}");
        assert!(run["figures"]["wall_ms"].as_u64().unwrap() >= 1000, "{run}");
    }
}

#[test]
fn a_retry_after_beyond_a_minute_is_told() {
    let server = Server::start(|_| Reply::status(503).header("Retry-After", "3600"));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    let run = tidegate.sync("crm/contacts", "acme").json();
    assert_eq!(run["failure"]["retry_after_ms"], 3_600_000, "{run}");
}

#[test]
fn an_empty_page_is_no_failure() {
    for source in Source::ALL {
        // An empty first page that leads on, and an empty last one.
        let server = Server::start(|request| match request.query("cursor").as_deref() {
            None => reply(&[], Some("two")),
            Some("two") => reply(&[contact(1, 1)], Some("three")),
            Some(_) => reply(&[], None),
        });
        let tidegate = Tidegate::new();
        source.set_up(&tidegate, &server.origin());
        let run = tidegate.sync_ok(source.sync(), "acme");
        assert_eq!(
            run["figures"]["counts"]["Contact"]["added"], 1,
            "{source:?}: {run}"
        );
        assert_eq!(tidegate.feed(MODEL, "acme", None).len(), 1);
    }
}

#[test]
fn an_unreachable_host() {
    for source in Source::ALL {
        let server = Server::start(|_| reply(&contacts(0..3, 1), None));
        let tidegate = Tidegate::new();
        source.set_up(&tidegate, &server.origin());
        tidegate.sync_ok(source.sync(), "acme");
        let stored = tidegate.feed(MODEL, "acme", None);
        let origin = server.origin();
        drop(server);

        let finished = tidegate.sync(source.sync(), "acme");
        finished.expect_code(RUN_FAILED);
        let run = finished.json();
        assert_eq!(run["failure"]["class"], "transient", "{run}");
        assert_eq!(run["failure"]["blame"], "upstream", "{run}");
        let message = run["failure"]["message"].as_str().unwrap();
        assert!(message.contains(&origin), "{message}");
        assert_eq!(tidegate.feed(MODEL, "acme", None), stored);
    }
}

#[test]
fn an_api_that_hangs_is_given_up() {
    let gate = Gate::default();
    let closed = gate.clone();
    let server = Server::start(move |_| reply(&[], None).behind(&closed));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    let limit = "deploy --as crm --yes --limit http_timeout_ms=200";
    tidegate.cmd(limit).arg(plugins::demo_crm()).ok();
    let run = tidegate.sync("crm/contacts", "acme").json();
    gate.open();
    assert_eq!(run["failure"]["class"], "transient", "{run}");
    assert_eq!(run["failure"]["code"], "http-timeout", "{run}");
    assert_eq!(server.requests().len(), 4, "{run}");
}
