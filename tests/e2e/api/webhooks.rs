//! Webhooks by the API: endpoints and their secrets, what is delivered, replayed and logged, and who may what.

use serde_json::{Value, json};

use super::{Served, expect_problem, make_key};
use crate::support::cli::Tidegate;
use crate::support::crm::{Source, contacts, reply};
use crate::support::server::{Gate, Reply, Server};
use crate::support::{PATIENCE, wait_until};

const ENDPOINTS: &str = "/v1/webhooks";
const TRIGGER: &str = "/v1/integrations/crm/connections/acme/syncs/contacts/trigger";
/// An endpoint that is not there.
const NOBODY: &str = "/v1/webhooks/ep_01JD3A80000000000000000000";
const LONG_AGO: &str = "2026-01-01T00:00:00Z";

/// `crm` with a source of three contacts, which lives as long as what is returned with it.
fn crm() -> (Tidegate, Server) {
    let source = Server::start(|_| reply(&contacts(0..3, 1), None));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    (tidegate, source)
}

/// A server that may deliver to loopback.
fn served(tidegate: Tidegate) -> Served {
    Served::start_with(tidegate, "--webhook-allow-private 127.0.0.0/8")
}

fn receiver() -> Server {
    Server::start(|_| Reply::text("thanks"))
}

/// The place of an endpoint, by what it was made as.
fn place(made: &Value) -> String {
    format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap())
}

impl Served {
    /// The first delivery of the endpoint at `place`, once it is in this state after so many attempts.
    #[track_caller]
    fn delivered(&self, place: &str, attempts: u64) -> Value {
        wait_until(
            &format!("{attempts} attempts for {place}"),
            PATIENCE,
            || {
                let listed = self.get(&format!("{place}/deliveries?state=delivered"));
                let delivery = listed["deliveries"].get(0).cloned();
                delivery.filter(|delivery| delivery["attempts_made"] == attempts)
            },
        )
    }
}

#[test]
fn an_endpoint_hears_of_runs_and_hears_again() {
    let receiver = receiver();
    let (tidegate, _source) = crm();
    let served = served(tidegate);
    let url = format!("{}/hook?token=hunter2", receiver.origin());
    let body = json!({"url": url, "events": ["run.finished"], "integration": "crm", "description": "ours"});
    let answer = served.call("POST", ENDPOINTS).json(&body).send();
    assert_eq!(answer.status, 201);
    let made = answer.json();
    let place = place(&made);
    assert_eq!(answer.header("location"), Some(place.as_str()));
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    for member in ["url", "events", "integration", "description"] {
        assert_eq!(made[member], body[member], "{made}");
    }

    // What happens is delivered, signed, and logged without what is secret.
    served.post(TRIGGER, &json!({}), 202);
    let delivery = served.delivered(&place, 1);
    assert_eq!(
        (
            &delivery["type"],
            &delivery["integration"],
            &delivery["connection"]
        ),
        (&json!("run.finished"), &json!("crm"), &json!("acme"))
    );
    assert_eq!(
        (
            &delivery["attempts"][0]["status"],
            &delivery["attempts"][0]["response"]
        ),
        (&json!(200), &json!("thanks"))
    );
    let got = receiver.requests();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].header("webhook-id"), delivery["event"].as_str());
    assert!(
        got[0]
            .header("webhook-signature")
            .unwrap()
            .starts_with("v1,")
    );
    let listed = served.get(ENDPOINTS);
    let shown = served.get(&place);
    assert_eq!(listed["endpoints"], json!([shown]));
    for said in [
        &listed,
        &delivery,
        &served.get(&format!("{place}/deliveries")),
    ] {
        let said = said.to_string();
        assert!(
            !said.contains(&secret) && !said.contains("hunter2"),
            "{said}"
        );
    }

    // A replay of all delivers the same event again; one of what is exhausted finds nothing.
    let replay = format!("{place}/replay");
    let none = served.post(&replay, &json!({"since": LONG_AGO}), 202);
    assert_eq!(none, json!({"deliveries": 0, "more_after": null}));
    let all = served.post(&replay, &json!({"since": LONG_AGO, "all": true}), 202);
    assert_eq!(all, json!({"deliveries": 1, "more_after": null}));
    served.delivered(&place, 2);
    let got = receiver.requests();
    assert_eq!(got.len(), 2);
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
    assert_eq!(got[0].body, got[1].body);
    let after = json!({"since": LONG_AGO, "all": true, "after": delivery["seq"]});
    assert_eq!(served.post(&replay, &after, 202)["deliveries"], 0);

    // Pages: a second event, one delivery each.
    served.post(TRIGGER, &json!({}), 202);
    let pages = wait_until("a second delivery", PATIENCE, || {
        let first = served.get(&format!("{place}/deliveries?limit=1"));
        first["more"].as_bool().unwrap().then_some(first)
    });
    let cursor = pages["next_cursor"].as_str().unwrap();
    let second = served.get(&format!("{place}/deliveries?limit=1&cursor={cursor}"));
    assert_eq!(second["deliveries"][0]["event"], delivery["event"]);
    assert_eq!(
        (&second["more"], &second["next_cursor"]),
        (&json!(false), &Value::Null)
    );
}

#[test]
fn secrets_rotate_and_a_test_is_signed_with_all_that_are_valid() {
    let receiver = receiver();
    let served = served(Tidegate::new());
    let made = served.post(ENDPOINTS, &json!({"url": receiver.origin()}), 201);
    let place = place(&made);
    let signatures = || {
        let told = served.call("POST", &format!("{place}/test")).ok(200);
        assert_eq!(
            (&told["status"], &told["error"], &told["response"]),
            (&json!(200), &Value::Null, &json!("thanks"))
        );
        let last = receiver.requests().pop().unwrap();
        let body: Value = serde_json::from_slice(&last.body).unwrap();
        assert_eq!(body["data"], json!({"test": true}));
        last.header("webhook-signature").unwrap().split(' ').count()
    };
    assert_eq!(signatures(), 1);
    let rotate = format!("{place}/rotate-secret");
    let rotated = served.post(&rotate, &json!({}), 200);
    assert_ne!(rotated["secret"], made["secret"]);
    assert_eq!(rotated["secrets"][0]["expires_at"], Value::Null);
    assert!(rotated["secrets"][1]["expires_at"].is_string(), "{rotated}");
    assert_eq!(signatures(), 2);
    let rotated = served.post(&rotate, &json!({"now": true}), 200);
    assert_eq!(rotated["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(signatures(), 1);
    // A test is in no log.
    let logged = served.get(&format!("{place}/deliveries"));
    assert_eq!(logged["deliveries"], json!([]));
}

#[test]
fn an_endpoint_is_changed_disabled_enabled_and_removed() {
    let receiver = receiver();
    let (tidegate, _source) = crm();
    let served = served(tidegate);
    let body = json!({
        "url": receiver.origin(), "events": ["run.failed", "run.finished"],
        "integration": "crm", "connection": "acme",
    });
    let place = place(&served.post(ENDPOINTS, &body, 201));
    let patch = |body: Value| served.call("PATCH", &place).json(&body).ok(200);
    // What is not named stays.
    let changed = patch(json!({"events": ["run.finished"], "description": "new"}));
    assert_eq!(
        (
            &changed["events"],
            &changed["connection"],
            &changed["description"]
        ),
        (&json!(["run.finished"]), &json!("acme"), &json!("new"))
    );
    let changed = patch(json!({"connection": null}));
    assert_eq!(
        (
            &changed["integration"],
            &changed["connection"],
            &changed["revision"]
        ),
        (&json!("crm"), &Value::Null, &json!(2))
    );

    let disabled = patch(json!({"enabled": false}));
    assert_eq!(disabled["disabled"]["why"], "operator");
    let replay = json!({"since": LONG_AGO, "all": true});
    let early = served
        .call("POST", &format!("{place}/replay"))
        .json(&replay)
        .send();
    expect_problem(&early, "conflict", 409);
    assert_eq!(patch(json!({"enabled": true}))["disabled"], Value::Null);
    served.post(TRIGGER, &json!({}), 202);
    served.delivered(&place, 1);

    assert_eq!(served.call("DELETE", &place).send().status, 204);
    assert_eq!(served.get(ENDPOINTS)["endpoints"], json!([]));
    for (method, target) in [
        ("GET", place.clone()),
        ("DELETE", place.clone()),
        ("GET", format!("{place}/deliveries")),
        ("POST", format!("{place}/test")),
    ] {
        let gone = served.call(method, &target).send();
        expect_problem(&gone, "not-found", 404);
    }
}

#[test]
fn bad_bodies_are_refused() {
    let served = served(Tidegate::new());
    let url = "https://app.example/";
    let rows = [
        (json!({}), 400),
        (json!({"url": "no url"}), 400),
        (json!({"url": "ftp://app.example/"}), 400),
        (json!({"url": "https://u:p@app.example/"}), 400),
        (json!({"url": format!("{url}#part")}), 400),
        (json!({"url": format!("{url}{}", "x".repeat(2048))}), 400),
        (json!({"url": url, "events": ["run.ended"]}), 400),
        (json!({"url": url, "events": "run.failed"}), 400),
        (json!({"url": url, "description": "x".repeat(501)}), 400),
        (json!({"url": url, "connection": "acme"}), 400),
        (json!({"url": url, "integration": "crm"}), 404),
        (json!({"url": url, "secret": "whsec_mine"}), 400),
    ];
    for (body, status) in rows {
        let answer = served.call("POST", ENDPOINTS).json(&body).send();
        let said = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, status, "{body}: {said}");
    }
    assert_eq!(served.get(ENDPOINTS)["endpoints"], json!([]));

    let place = place(&served.post(ENDPOINTS, &json!({"url": url}), 201));
    let rows = [
        ("PATCH", "", json!({"url": null, "nothing": 1}), 400),
        ("PATCH", "", json!({"url": "ftp://app.example/"}), 400),
        ("PATCH", "", json!({"connection": "acme"}), 400),
        ("PATCH", "", json!({"enabled": "yes"}), 400),
        ("POST", "/rotate-secret", json!({"now": 1}), 400),
        ("POST", "/rotate-secret", json!({"at_once": true}), 400),
        ("POST", "/replay", json!({}), 400),
        ("POST", "/replay", json!({"since": "yesterday"}), 400),
        (
            "POST",
            "/replay",
            json!({"since": LONG_AGO, "after": -1}),
            400,
        ),
        (
            "POST",
            "/replay",
            json!({"since": LONG_AGO, "limit": 1}),
            400,
        ),
        ("GET", "/deliveries?state=lost", json!({}), 400),
        ("GET", "/deliveries?cursor=x", json!({}), 400),
        ("GET", "/deliveries?limit=0", json!({}), 400),
    ];
    for (method, rest, body, status) in rows {
        let answer = served
            .call(method, &format!("{place}{rest}"))
            .json(&body)
            .send();
        let said = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, status, "{method} {rest} {body}: {said}");
    }
    assert_eq!(served.get(&place)["revision"], 0);
}

#[test]
fn keys_that_may_only_read_change_nothing() {
    let tidegate = Tidegate::new();
    let read = make_key(&tidegate, "read", "");
    let trigger = make_key(&tidegate, "trigger", "");
    let served = served(tidegate);
    for (method, target) in [
        ("POST", ENDPOINTS.to_owned()),
        ("PATCH", NOBODY.to_owned()),
        ("DELETE", NOBODY.to_owned()),
        ("POST", format!("{NOBODY}/rotate-secret")),
        ("POST", format!("{NOBODY}/test")),
        ("POST", format!("{NOBODY}/replay")),
    ] {
        for key in [&read, &trigger] {
            let answer = served
                .bare(method, &target)
                .key(key)
                .json(&json!({}))
                .send();
            expect_problem(&answer, "narrow-scope", 403);
        }
    }
    served.bare("GET", ENDPOINTS).key(&read).ok(200);
    let missing = served.bare("GET", NOBODY).key(&read).send();
    expect_problem(&missing, "not-found", 404);
}

#[test]
fn a_request_that_takes_too_long_is_given_up() {
    let gate = Gate::default();
    let held = gate.clone();
    let receiver = Server::start(move |_| Reply::text("late").behind(&held));
    let options = "--webhook-allow-private 127.0.0.0/8 --limit api_request_ms=1000";
    let served = Served::start_with(Tidegate::new(), options);
    let made = served.post(ENDPOINTS, &json!({"url": receiver.origin()}), 201);
    let test = format!("{}/test", place(&made));
    let problem = expect_problem(&served.call("POST", &test).send(), "timeout", 504);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("api_request_ms, 1000 ms"), "{problem}");
    // It was on its way, and what is asked next is answered.
    gate.arrived();
    gate.open();
    served.get(ENDPOINTS);
}
