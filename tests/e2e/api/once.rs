//! `Idempotency-Key` on what changes something: done once, answered as before, also after a kill.

use serde_json::{Value, json};

use super::client::Call;
use super::{Served, expect_problem, make_key};
use crate::support::cli::Tidegate;
use crate::support::crm::{Source, contacts, reply};
use crate::support::http::Response;
use crate::support::server::{Gate, Server};

const SCHEDULES: &str = "/v1/schedules";
const CONNECTIONS: &str = "/v1/integrations/crm/connections";

/// A server with `crm` and its connection `acme`, whose source waits for the gate.
fn served() -> (Served, Server, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let source = Server::start(move |_| reply(&contacts(1..4, 1), None).behind(&held));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    (Served::start(tidegate), source, gate)
}

fn schedule(hours: u32) -> Value {
    json!({
        "integration": "crm", "connection": "acme", "sync": "contacts",
        "when": [{"every": format!("{hours}h")}],
    })
}

fn under(call: Call, key: &str) -> Call {
    call.header("Idempotency-Key", key)
}

/// Whether it was answered before.
fn is_repeated(response: &Response) -> bool {
    response.header("tidegate-repeated") == Some("true")
}

fn said(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

impl Served {
    fn count(&self, list: &str, member: &str) -> usize {
        self.get(list)[member].as_array().unwrap().len()
    }
}

#[test]
fn a_repeat_gets_the_first_answer_and_changes_nothing() {
    let (served, _source, _gate) = served();
    let before = served.count(SCHEDULES, "schedules");
    let make = under(served.call("POST", SCHEDULES).json(&schedule(3)), "one");
    let first = make.send();
    assert_eq!(first.status, 201, "{}", said(&first));
    assert!(!is_repeated(&first));
    for _ in 0..2 {
        let again = make.send();
        assert!(is_repeated(&again), "{}", said(&again));
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        for name in ["content-type", "location"] {
            assert_eq!(again.header(name), first.header(name), "{name}");
        }
    }
    assert_eq!(served.count(SCHEDULES, "schedules"), before + 1);

    // It is as it was answered, whatever became of it since; a key of somebody else is another one.
    let id = first.json()["schedule"].as_str().unwrap().to_owned();
    let remove = under(served.call("DELETE", &format!("{SCHEDULES}/{id}")), "two");
    let removed = remove.send();
    let again = remove.send();
    assert!(is_repeated(&again), "{}", said(&again));
    assert_eq!((again.status, &again.body), (removed.status, &removed.body));
    assert!(removed.status < 300, "{}", said(&removed));
    let served = served.killed();
    let make = |key: &str| {
        let call = Call::new(served.address, "POST", SCHEDULES).key(key);
        under(call.json(&schedule(3)), "one").send()
    };
    let again = make(&served.manage);
    assert!(is_repeated(&again), "{}", said(&again));
    assert_eq!(again.body, first.body);
    assert_eq!(served.count(SCHEDULES, "schedules"), before);
    let other = make_key(&served.tidegate, "trigger", "");
    let others = make(&other);
    assert_eq!((others.status, is_repeated(&others)), (201, false));
    assert_eq!(served.count(SCHEDULES, "schedules"), before + 1);
    let report = served.post("/v1/data/check", &Value::Null, 200);
    assert_eq!(report["wrong"], 0, "{report}");
}

#[test]
fn a_key_is_for_one_request_and_failures_leave_it_free() {
    let (served, _source, _gate) = served();
    let make = |body: &Value| under(served.call("POST", SCHEDULES).json(body), "k").send();
    for (body, status) in [
        (json!({"when": []}), 400),
        (json!({"sync": 7}), 400),
        (schedule(3), 201),
    ] {
        assert_eq!(make(&body).status, status, "{body}");
    }
    // (method, target, body): each differs in one thing from what was done.
    let other = format!("{SCHEDULES}?x=1");
    for (method, target, body) in [
        ("POST", SCHEDULES, schedule(4)),
        ("POST", other.as_str(), schedule(3)),
        (
            "PUT",
            "/v1/schedules/sch_01JD3A80000000000000000000",
            schedule(3),
        ),
    ] {
        let response = under(served.call(method, target).json(&body), "k").send();
        let problem = expect_problem(&response, "conflict", 409);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("another request"), "{problem}");
    }
    // No keys: none, one that is too long, two.
    let call = || served.call("POST", SCHEDULES).json(&schedule(5));
    for bad in [
        under(call(), ""),
        under(call(), &"k".repeat(256)),
        under(call(), "a b"),
        under(under(call(), "a"), "b"),
    ] {
        expect_problem(&bad.send(), "invalid-request", 400);
    }
    // What changes nothing takes none.
    assert_eq!(under(served.call("GET", SCHEDULES), "k").send().status, 200);
}

#[test]
fn answers_with_secrets_are_not_kept() {
    let (served, _source, _gate) = served();
    let endpoint = json!({"url": "https://hooks.example.com/x"});
    let made = served.post("/v1/webhooks", &endpoint, 201);
    let rotate = format!(
        "/v1/webhooks/{}/rotate-secret",
        made["id"].as_str().unwrap()
    );
    // (target, body, list, its member, more of them after)
    let rows = [
        (
            "/v1/api-keys",
            json!({"name": "x", "scopes": ["read"]}),
            ("/v1/api-keys", "api_keys"),
            1,
        ),
        ("/v1/webhooks", endpoint, ("/v1/webhooks", "endpoints"), 1),
        (rotate.as_str(), json!({}), ("/v1/webhooks", "endpoints"), 0),
    ];
    for (number, (target, body, (list, member), more)) in rows.iter().enumerate() {
        let before = served.count(list, member);
        let call = under(
            served.call("POST", target).json(body),
            &format!("secret-{number}"),
        );
        let first = call.send();
        assert!(first.status < 300, "{target}: {}", said(&first));
        let problem = expect_problem(&call.send(), "conflict", 409);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("not kept"), "{problem}");
        assert_eq!(served.count(list, member), before + more, "{target}");
    }
}

#[test]
fn what_is_being_done_or_was_cut_off_is_not_done_again() {
    let (served, _source, gate) = served();
    let test = format!("{CONNECTIONS}/acme/test");
    let first = under(served.call("POST", &test), "slow").begin_and_leave();
    gate.arrived();
    let busy = under(served.call("POST", &test), "slow").send();
    let problem = expect_problem(&busy, "conflict", 409);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("being done"), "{problem}");
    assert_eq!(busy.header("retry-after"), Some("1"));
    drop(first);
    let served = served.killed();
    let cut = under(served.call("POST", &test), "slow").send();
    let problem = expect_problem(&cut, "conflict", 409);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("stopped before"), "{problem}");
    gate.open();
    let fresh = under(served.call("POST", &test), "fresh");
    let checked = fresh.send();
    assert_eq!(checked.status, 200, "{}", said(&checked));
    assert!(is_repeated(&fresh.send()));
}

#[test]
fn of_a_long_answer_only_that_there_was_one_is_kept() {
    let (served, _source, _gate) = served();
    let made = served.post(SCHEDULES, &schedule(1), 201);
    let backfill = format!(
        "{SCHEDULES}/{}/backfill",
        made["schedule"].as_str().unwrap()
    );
    // (since when, whether its answer is kept)
    for (from, is_kept) in [
        ("2026-01-01T00:00:00Z", true),
        ("2025-12-05T00:00:00Z", false),
    ] {
        let range = json!({"from": from, "until": "2026-01-01T02:30:00Z", "again": "always"});
        let call = under(served.call("POST", &backfill).json(&range), from);
        let first = call.send();
        assert_eq!(first.status, 202, "{}", said(&first));
        assert_eq!(
            first.body.len() <= 64 * 1024,
            is_kept,
            "{}",
            first.body.len()
        );
        let again = call.send();
        match is_kept {
            true => assert_eq!(again.body, first.body),
            false => assert_eq!(again.status, 409, "{}", said(&again)),
        }
        assert_eq!(is_repeated(&again), is_kept);
    }
}
