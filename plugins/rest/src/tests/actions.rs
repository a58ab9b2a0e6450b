//! Configured actions: the request that an input makes, and what its answer does to the record.

use tidegate_sdk::FailureKind;
use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{FakeHost, Reply, delete, patch, post, put};

use super::host;
use crate::plugin;

/// A host with one model, `M`, and the action `act` with these keys.
fn acting(keys: Value) -> FakeHost {
    host(json!({ "models": { "M": { "path": "/m" } }, "actions": { "act": keys } }))
}

#[test]
fn an_answer_becomes_the_record() {
    let keys = json!({ "method": "POST", "path": "/m", "model": "M", "record": "/data" });
    let made = json!({ "data": { "id": 7, "name": "Ada" } });
    let host = acting(keys).respond(post("/m"), made);
    let outcome = host.run_action(plugin(), "act", json!({ "body": { "name": "Ada" } }));
    assert_eq!(outcome.result, Ok(json!({ "id": 7, "name": "Ada" })));
    assert_eq!(host.records("M")["7"]["name"], "Ada");
    let body = outcome.requests[0].body.as_deref();
    assert_eq!(body, Some(&br#"{"name":"Ada"}"#[..]));
}

#[test]
fn paths_and_bodies_come_from_the_input() {
    let keys = json!({
        "method": "PUT", "path": "/a/{/account}/m/{id}", "body": "", "headers": { "X-Own": "1" }
    });
    let host = acting(keys).respond(put("/a/x%2Fy/m/7"), Reply::status(204));
    let input = json!({ "id": 7, "account": "x/y" });
    let outcome = host.run_action(plugin(), "act", &input);
    assert_eq!(outcome.result, Ok(Value::Null));
    let request = &outcome.requests[0];
    let body: Value = serde_json::from_slice(request.body.as_deref().unwrap()).unwrap();
    assert_eq!((request.header("X-Own"), body), (Some("1"), input));
    assert!(outcome.commits.is_empty());
    for (input, missing) in [
        (json!({ "account": "x" }), "/id"),
        (json!({ "id": 7 }), "/account"),
    ] {
        let outcome = host.run_action(plugin(), "act", input);
        let failure = outcome.failure();
        assert_eq!(failure.code.as_deref(), Some("invalid-input"));
        assert!(failure.message.contains(missing), "{failure}");
    }
}

/// A segment of `..` is taken away, so the request would be one about all of `/a`.
#[test]
fn an_id_leads_to_no_other_path() {
    let keys = json!({ "method": "DELETE", "path": "/a/{/account}/m/{id}" });
    for (account, id) in [("x", ".."), ("..", "7"), ("x", "."), ("", "7")] {
        let host = acting(keys.clone());
        let outcome = host.run_action(plugin(), "act", json!({ "id": id, "account": account }));
        let failure = outcome.failure();
        assert_eq!(failure.code.as_deref(), Some("invalid-input"), "{id}");
        assert!(failure.message.contains("path"), "{failure}");
        assert!(outcome.requests.is_empty());
    }
}

#[test]
fn a_condition_is_of_the_record_stored_here() {
    let keys = json!({
        "method": "PATCH", "path": "/m/{id}", "model": "M", "if_match": "\"{/rev}\""
    });
    let stored = |host: FakeHost| host.record("M", "7", json!({ "id": 7, "rev": 3 }));
    let conflict = Reply::status(412).body(r#"{"current":{"rev":4}}"#);
    let host = stored(acting(keys.clone())).respond(patch("/m/7"), conflict);
    let outcome = host.run_action(plugin(), "act", json!({ "id": 7, "body": {} }));
    let failure = outcome.failure();
    assert_eq!(failure.kind, FailureKind::Rejected);
    assert_eq!(failure.code.as_deref(), Some("conflict"));
    assert_eq!(failure.payload.as_deref(), Some(r#"{"current":{"rev":4}}"#));
    assert_eq!(outcome.requests[0].header("If-Match"), Some("\"3\""));
    assert_eq!(host.records("M")["7"]["rev"], 3);

    // Of a record that is not here nothing is known: then a 412 is any status.
    let host = acting(keys).respond(patch("/m/8"), Reply::status(412));
    let outcome = host.run_action(plugin(), "act", json!({ "id": 8 }));
    assert_eq!(outcome.requests[0].header("If-Match"), None);
    assert_eq!(outcome.failure().code.as_deref(), Some("http-412"));
}

#[test]
fn a_deletion_and_a_tombstone_delete_here() {
    let stored = |host: FakeHost| host.record("M", "7", json!({ "id": 7 }));
    let keys = json!({ "method": "DELETE", "path": "/m/{id}", "model": "M", "deletes": true });
    let host = stored(acting(keys)).respond(delete("/m/7"), Reply::status(204));
    host.run_action(plugin(), "act", json!({ "id": "7" }))
        .assert_ok();
    assert!(host.records("M").is_empty());

    let host = stored(super::host(json!({
        "models": { "M": { "path": "/m", "tombstone": { "field": "/gone" } } },
        "actions": { "act": { "method": "POST", "path": "/m/{id}/archive", "model": "M" } }
    })));
    let host = host.respond(post("/m/7/archive"), json!({ "id": 7, "gone": true }));
    host.run_action(plugin(), "act", json!({ "id": 7 }))
        .assert_ok();
    assert!(host.records("M").is_empty());
}

#[test]
fn what_is_wrong_with_an_action_is_named() {
    for (keys, expected) in [
        (
            json!({ "method": "GET", "path": "/m" }),
            "actions.act.method",
        ),
        (
            json!({ "method": "POST", "path": "/m/{name}" }),
            "`actions.act.path`",
        ),
        (
            json!({ "method": "POST", "path": "/m", "body": "body" }),
            "`actions.act.body`",
        ),
        (
            json!({ "method": "POST", "path": "/m", "model": "N" }),
            "has no `N`",
        ),
        (
            json!({ "method": "POST", "path": "/m", "if_match": "x" }),
            "`actions.act.if_match`",
        ),
        (
            json!({ "method": "DELETE", "path": "/m", "model": "M", "deletes": true }),
            "`actions.act.deletes`",
        ),
    ] {
        for outcome in [
            acting(keys.clone()).run_action(plugin(), "act", json!({})),
            acting(keys).run_check(plugin()),
        ] {
            let failure = outcome.failure();
            assert_eq!(failure.kind, FailureKind::Config, "{failure}");
            assert!(failure.message.contains(expected), "{expected}: {failure}");
        }
    }
}

/// What an action comes to: its output, or the kind and the code of its failure.
fn came_to(keys: &Value, reply: &Reply) -> (FakeHost, String) {
    let host = acting(keys.clone()).respond(post("/m"), reply.clone());
    let outcome = host.run_action(plugin(), "act", json!({ "body": { "name": "Ada" } }));
    let said = match &outcome.result {
        Ok(output) => output.to_string(),
        Err(failure) => format!(
            "{} {}",
            failure.kind,
            failure.code.as_deref().unwrap_or("-")
        ),
    };
    (host, said)
}

#[test]
fn a_success_is_done_whatever_its_answer_is() {
    let keys = json!({ "method": "POST", "path": "/m", "model": "M" });
    for (reply, output, stored) in [
        (
            Reply::status(201).body(r#"{"id":"n1"}"#),
            r#"{"id":"n1"}"#,
            1,
        ),
        (
            Reply::status(201).body("\u{feff}{\"id\":\"n1\"}"),
            r#"{"id":"n1"}"#,
            1,
        ),
        (Reply::status(201).header("Location", "/m/n1"), "null", 0),
        (Reply::status(204), "null", 0),
        (
            Reply::status(200)
                .header("Content-Type", "text/html")
                .body("OK"),
            r#""OK""#,
            0,
        ),
        (
            Reply::status(200).body("{\"id\": \"n"),
            r#""{\"id\": \"n""#,
            0,
        ),
        (Reply::status(200).body(&b"\xff\xfe"[..]), "null", 0),
        (
            Reply::status(200).body(r#"{"status":"created"}"#),
            r#"{"status":"created"}"#,
            0,
        ),
        (
            Reply::status(202).body(r#"{"job":"1"}"#),
            r#"{"job":"1"}"#,
            0,
        ),
        (Reply::status(200).body("[]"), "[]", 0),
        (Reply::status(200).body("7"), "7", 0),
        (
            Reply::status(207).body(r#"{"results":[{"status":201},{"status":200}]}"#),
            r#"{"results":[{"status":201},{"status":200}]}"#,
            0,
        ),
    ] {
        let (host, said) = came_to(&keys, &reply);
        assert_eq!(
            (said.as_str(), host.records("M").len()),
            (output, stored),
            "{reply:?}"
        );
    }
}

#[test]
fn an_answer_that_says_no_is_no_success() {
    let keys = json!({ "method": "POST", "path": "/m" });
    let html = "<!DOCTYPE html><html>We'll be back</html>";
    for (reply, said) in [
        (
            Reply::status(200).body(r#"{"ok":false,"error":"invalid_email"}"#),
            "rejected answer-failed",
        ),
        (
            Reply::status(200).body(r#"{"status":"rejected"}"#),
            "rejected answer-failed",
        ),
        (
            Reply::status(200).body(r#"{"errors":[{"message":"no"}],"data":null}"#),
            "rejected answer-failed",
        ),
        (
            Reply::status(200).body(r#"{"ok":false,"error":"ratelimited"}"#),
            "transient answer-rate-limited",
        ),
        (Reply::status(200).body(html), "other outcome-unknown"),
        (Reply::status(207).body("{}"), "other outcome-unknown"),
        (
            Reply::status(207).body(r#"[{"status":201},{"status":422}]"#),
            "rejected http-207",
        ),
        (
            Reply::status(301).header("Location", "https://www.example.com/m"),
            "config http-redirected",
        ),
        (
            Reply::status(303).header("Location", "/m/1"),
            "config http-redirected",
        ),
        (Reply::status(429), "transient http-429"),
    ] {
        let (_, found) = came_to(&keys, &reply);
        assert_eq!(found, said, "{reply:?}");
    }
}

#[test]
fn rules_say_what_an_answer_means() {
    for (rules, reply, said) in [
        (
            json!([{ "status": 303, "action": "success" }]),
            Reply::status(303).header("Location", "/m/1"),
            "null",
        ),
        (
            json!([{ "contains": "be back", "action": "retry" }]),
            Reply::status(200).body("<html>We'll be back"),
            "transient answer-retry",
        ),
        (
            json!([{ "pointer": "/result/code", "in": ["E1", "E2"], "action": "fail", "message": "/result/text" }]),
            Reply::status(200).body(r#"{"result":{"code":"E2","text":"no stock"}}"#),
            "rejected answer-failed",
        ),
        (
            json!([{ "pointer": "/ok", "equals": false, "action": "success" }]),
            Reply::status(200).body(r#"{"ok":false}"#),
            r#"{"ok":false}"#,
        ),
        (
            json!([{ "status": 207, "action": "success" }]),
            Reply::status(207),
            "null",
        ),
        (
            json!([{ "status": 404, "action": "gone" }]),
            Reply::status(404),
            "rejected gone",
        ),
    ] {
        let keys = json!({ "method": "POST", "path": "/m", "responses": rules });
        let (_, found) = came_to(&keys, &reply);
        assert_eq!(found, said, "{rules}");
    }
    let keys = json!({
        "method": "DELETE", "path": "/m/{id}", "model": "M", "deletes": true,
        "responses": [{ "status": 404, "action": "gone" }]
    });
    let host = acting(keys).record("M", "7", json!({ "id": 7 }));
    let host = host.respond(delete("/m/7"), Reply::status(404));
    host.run_action(plugin(), "act", json!({ "id": 7 }))
        .assert_ok();
    assert!(host.records("M").is_empty());
    let wrong = json!({ "method": "POST", "path": "/m", "responses": [{ "action": "fail" }] });
    let failure = acting(wrong)
        .run_action(plugin(), "act", json!({}))
        .failure()
        .clone();
    assert!(
        failure.message.contains("actions.act.responses[0]"),
        "{failure}"
    );
}
