//! Actions and the proxy by the API: what comes back, whose fault it is, and keys that act once.

use serde_json::{Value, json};

use super::{Served, expect_problem};
use crate::actions::Acts;
use crate::support::http::Request;
use crate::support::server::{Gate, Reply, Server};

const ACTIONS: &str = "/v1/integrations/acts/connections/acme/actions";

fn served(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (Served, Server) {
    let (tidegate, server) = Acts::new(answer).into_parts();
    (Served::start(tidegate), server)
}

#[test]
fn what_an_action_returns_comes_back_as_it_is() {
    let (served, _server) = served(|_| Reply::status(500));
    for input in ["1", "null", "\"é\"", "{\"n\":12345678901234567890.10}"] {
        let call = served
            .call("POST", &format!("{ACTIONS}/echo"))
            .body("application/json", input.as_bytes());
        let answer = call.send();
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 200, "{text}");
        let output = input.replace("12345678901234567890.10", "12345678901234567000");
        let said: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(said["outcome"], "success", "{text}");
        if !input.contains("12345") {
            assert!(text.contains(&format!("\"output\":{output}")), "{text}");
        }
    }
    let runs = served.get("/v1/runs?integration=acts&connection=acme");
    assert_eq!(runs["runs"].as_array().unwrap().len(), 4, "{runs}");
    assert_eq!(runs["runs"][0]["trigger"], "api", "{runs}");
}

#[test]
fn failures_say_whose_they_are() {
    let (served, _server) = served(|_| Reply::status(503));
    let rows = [
        ("fail", json!({"kind": "rejected"}), 422, "rejected"),
        ("fail", json!({"kind": "transient"}), 502, "upstream-failed"),
        ("fail", json!({"kind": "config"}), 409, "refused"),
        ("fail", json!({"kind": "other"}), 500, "run-failed"),
        ("panic", json!({}), 500, "run-failed"),
        ("misfit", json!({}), 500, "run-failed"),
        ("get", json!("/x"), 502, "upstream-failed"),
        ("create", json!({"qty": 1}), 400, "invalid-request"),
        ("nothing", json!({}), 404, "not-found"),
    ];
    for (action, input, status, slug) in rows {
        let answer = served
            .call("POST", &format!("{ACTIONS}/{action}"))
            .json(&input)
            .send();
        let problem = expect_problem(&answer, slug, status);
        if ![400, 404].contains(&status) {
            assert!(
                problem["run"].as_str().unwrap().starts_with("run_"),
                "{problem}"
            );
            assert!(problem["failure"]["class"].is_string(), "{problem}");
        }
        if input == json!({"kind": "transient"}) {
            assert_eq!(answer.header("retry-after"), Some("7"), "{problem}");
            assert_eq!(problem["failure"]["payload"], input, "{problem}");
        }
        if action == "create" {
            assert!(
                !problem["errors"].as_array().unwrap().is_empty(),
                "{problem}"
            );
        }
    }
}

#[test]
fn under_a_key_it_acts_once() {
    let (tidegate, server) = Acts::making_items().into_parts();
    let served = Served::start(tidegate);
    let create = |key: &str, name: &str| {
        let call = served
            .call("POST", &format!("{ACTIONS}/create"))
            .json(&json!({"name": name}));
        call.header("Idempotency-Key", key).send()
    };
    let first = create("k", "a").json();
    assert_eq!(
        (&first["repeated"], &first["output"]["id"]),
        (&json!(false), &json!("i1")),
        "{first}"
    );
    let again = create("k", "a").json();
    assert_eq!(
        (&again["repeated"], &again["output"]),
        (&json!(true), &first["output"]),
        "{again}"
    );
    assert_eq!(server.requests().len(), 1);
    expect_problem(&create("k", "b"), "conflict", 409);
    expect_problem(&create(&"k".repeat(256), "b"), "invalid-request", 400);
    assert_eq!(create("k2", "b").json()["output"]["id"], "i2");
}

/// Answered and killed at once: with a key its outcome is known, without one at least that it ran.
#[test]
fn what_was_answered_is_known_after_a_kill() {
    let (mut served, server) = served(|_| Reply::status(204));
    let mut calls = 0;
    for key in [None, Some("k-1"), None, Some("k-2"), None] {
        let call = served
            .call("POST", &format!("{ACTIONS}/hold"))
            .json(&json!({}));
        let answer = match key {
            Some(key) => call.header("Idempotency-Key", key).send(),
            None => call.send(),
        };
        served = served.killed();
        let answer = answer.json();
        calls += 1;
        assert_eq!(answer["outcome"], "success", "{answer}");
        assert_eq!(server.requests().len(), calls);
        let run = served.get(&format!("/v1/runs/{}", answer["run"].as_str().unwrap()));
        let outcome = run["outcome"].as_str().unwrap();
        match key {
            Some(_) => assert_eq!(outcome, "success", "{run}"),
            None => assert!(["success", "interrupted"].contains(&outcome), "{run}"),
        }
    }
}

#[test]
fn an_action_goes_on_when_its_client_is_gone() {
    let gate = Gate::default();
    let held = gate.clone();
    let (served, _server) = served(move |_| Reply::json(&json!({})).behind(&held));
    let call = served
        .call("POST", &format!("{ACTIONS}/hold"))
        .json(&json!({}));
    let gone = call.begin_and_leave();
    gate.arrived();
    drop(gone);
    gate.open();
    let outcome = || served.get("/v1/runs")["runs"][0]["outcome"].clone();
    crate::support::wait_until("the action to end", crate::support::PATIENCE, || {
        (outcome() == "success").then_some(())
    });
}

#[test]
fn the_proxy_passes_requests_with_credentials() {
    let (served, server) = served(|request| {
        let said = json!({
            "method": request.method, "target": request.target,
            "body": String::from_utf8_lossy(&request.body),
        });
        match request.path() {
            "/missing" => Reply::json(&said).with_status(404),
            _ => Reply::json(&said)
                .header("X-From", "upstream")
                .header("Set-Cookie", "a=b"),
        }
    });
    let proxy = "/v1/integrations/acts/connections/acme/proxy";
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let answer = served
            .call(method, &format!("{proxy}/a/b%2Fc?x=%20&y=1"))
            .header("X-Own", "1")
            .header("Cookie", "session=1")
            .body("text/plain", b"hello")
            .send();
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(answer.header("x-from"), Some("upstream"));
        assert_eq!(answer.header("tidegate-answered-by"), Some("upstream"));
        let said = answer.json();
        assert_eq!(said["method"], method);
        assert_eq!(said["target"], "/a/b%2Fc?x=%20&y=1");
        assert_eq!(said["body"], "hello");
    }
    let asked = server.requests();
    assert_eq!(asked[0].header("x-own"), Some("1"));
    // The key of the API stays here.
    assert!(
        asked
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    assert!(
        asked
            .iter()
            .all(|request| request.header("cookie").is_none())
    );
    let missing = served.call("GET", &format!("{proxy}/missing")).send();
    assert_eq!(
        (missing.status, missing.header("tidegate-answered-by")),
        (404, Some("upstream"))
    );
    let none = served
        .call("GET", "/v1/integrations/acts/connections/nobody/proxy/x")
        .send();
    let problem = expect_problem(&none, "not-found", 404);
    assert!(
        problem["hint"].as_str().unwrap().contains("acme"),
        "{problem}"
    );
    let elsewhere = served
        .call("GET", &format!("{proxy}//example.com/x"))
        .send();
    assert!(elsewhere.status >= 200);
}
