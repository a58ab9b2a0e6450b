//! The actions against canned answers, as measured on Kinto 26.5.

use tidegate_sdk::FailureKind;
use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{FakeHost, Outcome, Reply, Retry, delete, patch, post, put};

use super::{RECORDS, host};
use crate::plugin;

fn path(id: &str) -> String {
    format!("{RECORDS}/{id}")
}

/// A host that has the record `r1` as of 5.
fn stored() -> FakeHost {
    host().record(
        "Record",
        "r1",
        json!({ "id": "r1", "last_modified": 5, "n": 1 }),
    )
}

fn data(record: Value) -> Value {
    json!({ "data": record })
}

/// The body of the only request, and its condition.
#[track_caller]
fn sent(outcome: &Outcome<Value>) -> (Value, Option<&str>) {
    assert_eq!(outcome.requests.len(), 1);
    let request = &outcome.requests[0];
    let body = request.body.as_deref().unwrap_or(b"null");
    let condition = request.header("If-Match");
    let body = serde_json::from_slice(body).unwrap();
    (body, condition.or(request.header("If-None-Match")))
}

#[test]
fn a_new_record_is_here_at_once() {
    let made = json!({ "id": "r9", "last_modified": 9, "n": 9 });
    let host = host().respond(post(RECORDS), data(made.clone()));
    let outcome = host.run_action(plugin(), "create", json!({ "record": { "n": 9 } }));
    assert_eq!(outcome.result, Ok(made.clone()));
    assert_eq!(sent(&outcome), (data(json!({ "n": 9 })), None));
    assert_eq!(host.records("Record")["r9"], made);
}

#[test]
fn an_id_of_ones_own_must_be_new() {
    let existing = json!({ "details": { "existing": { "id": "r1", "last_modified": 5 } } });
    let reply = Reply::status(412).body(existing.to_string());
    let host = host().respond(put(path("r1")), reply);
    let outcome = host.run_action(plugin(), "create", json!({ "record": { "id": "r1" } }));
    let failure = outcome.failure();
    assert_eq!(failure.code.as_deref(), Some("exists"));
    let current = r#"{"current":{"id":"r1","last_modified":5}}"#;
    assert_eq!(failure.payload.as_deref(), Some(current));
    assert_eq!(sent(&outcome).1, Some("*"));
    assert_eq!(outcome.requests[0].retry, Retry::Never);
}

#[test]
fn an_update_is_on_the_condition_that_nothing_has_changed() {
    let updated = json!({ "id": "r1", "last_modified": 8, "n": 2 });
    // (input, what answers, the body, the condition)
    let rows = [
        (
            json!({ "id": "r1", "changes": { "n": 2 } }),
            patch(path("r1")),
            "\"5\"",
        ),
        (
            json!({ "id": "r1", "record": { "n": 2 } }),
            put(path("r1")),
            "\"5\"",
        ),
        (
            json!({ "id": "r1", "changes": { "n": 2 }, "last_modified": 4 }),
            patch(path("r1")),
            "\"4\"",
        ),
    ];
    for (input, matcher, condition) in rows {
        let host = stored().respond(matcher, data(updated.clone()));
        let outcome = host.run_action(plugin(), "update", input);
        outcome.assert_ok();
        assert_eq!(sent(&outcome), (data(json!({ "n": 2 })), Some(condition)));
        assert_eq!(outcome.requests[0].retry, Retry::Never);
        assert_eq!(host.records("Record")["r1"], updated);
    }
    // Of one that is not here nothing is known.
    let host = host().respond(patch(path("r1")), data(updated));
    let outcome = host.run_action(plugin(), "update", json!({ "id": "r1", "changes": {} }));
    assert_eq!(sent(&outcome).1, None);
}

#[test]
fn a_conflict_changes_nothing_here() {
    let existing = json!({ "details": { "existing": { "id": "r1", "last_modified": 7 } } });
    for (action, matcher, input) in [
        (
            "update",
            patch(path("r1")),
            json!({ "id": "r1", "changes": {} }),
        ),
        ("delete", delete(path("r1")), json!({ "id": "r1" })),
    ] {
        let reply = Reply::status(412).body(existing.to_string());
        let host = stored().respond(matcher, reply);
        let outcome = host.run_action(plugin(), action, input);
        let failure = outcome.failure();
        assert_eq!(failure.kind, FailureKind::Rejected);
        assert_eq!(failure.code.as_deref(), Some("conflict"));
        let current = r#"{"current":{"id":"r1","last_modified":7}}"#;
        assert_eq!(failure.payload.as_deref(), Some(current));
        assert_eq!(host.records("Record")["r1"]["last_modified"], 5);
    }
}

#[test]
fn a_deletion_is_here_at_once_and_so_is_that_it_was_gone() {
    let gone = json!({ "id": "r1", "last_modified": 8, "deleted": true });
    let host = stored().respond(delete(path("r1")), data(gone.clone()));
    let outcome = host.run_action(plugin(), "delete", json!({ "id": "r1" }));
    assert_eq!(outcome.result, Ok(gone));
    assert_eq!(sent(&outcome).1, Some("\"5\""));
    assert!(host.records("Record").is_empty());

    let host = stored().respond_status(delete(path("r1")), 404, json!({}));
    let outcome = host.run_action(plugin(), "delete", json!({ "id": "r1" }));
    assert_eq!(outcome.failure().code.as_deref(), Some("not-found"));
    assert!(host.records("Record").is_empty());
}

#[test]
fn other_statuses_mean_what_they_always_do() {
    for (status, kind) in [
        (400, FailureKind::Rejected),
        (401, FailureKind::Auth),
        (503, FailureKind::Transient),
    ] {
        let host = stored().respond_status(patch(path("r1")), status, json!({}));
        let outcome = host.run_action(plugin(), "update", json!({ "id": "r1", "changes": {} }));
        assert_eq!(outcome.failure().kind, kind);
        assert_eq!(host.records("Record")["r1"]["n"], 1);
    }
}
