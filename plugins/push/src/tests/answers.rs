//! What an answer acknowledges: of one record, of a list, with `responses` and `results`.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::Reply;

use super::{Bench, cursor};

fn page() -> Value {
    json!({ "method": "POST", "path": "/people/batch", "per": "page", "body": "{records: .}" })
}

/// `save` for a list with these keys, too.
fn lists(keys: Value) -> Value {
    let mut save = page();
    for (key, value) in keys.as_object().unwrap() {
        save[key] = value.clone();
    }
    json!({ "save": save })
}

fn three(keys: Value) -> Bench {
    let bench = Bench::new(keys);
    for id in ["a", "b", "c"] {
        bench.save(id, json!({ "id": id }));
    }
    bench
}

/// The ids that are stored as acknowledged.
fn known(bench: &Bench) -> Vec<String> {
    bench.known().as_object().unwrap().keys().cloned().collect()
}

/// What a run says of the answer `reply` to a list of `a`, `b` and `c`.
fn listed(keys: Value, reply: &Reply) -> (Bench, String) {
    let bench = three(lists(keys));
    bench.to.trouble("a", reply.clone());
    let outcome = bench.run();
    let said = match &outcome.result {
        Ok(()) => "ok".to_owned(),
        Err(failure) => format!(
            "{} {}",
            failure.kind,
            failure.code.as_deref().unwrap_or("-")
        ),
    };
    (bench, said)
}

#[test]
fn an_answer_to_a_record() {
    let html = "<!doctype html><title>Maintenance</title>";
    for (reply, said) in [
        (Reply::status(200), "ok"),
        (Reply::status(204), "ok"),
        (Reply::status(202).body(r#"{"job":1}"#), "ok"),
        (
            Reply::status(200)
                .header("Content-Type", "text/html")
                .body("ok"),
            "ok",
        ),
        (
            Reply::status(200).body(r#"{"id":"a","status":"rejected","error":"x"}"#),
            "ok",
        ),
        (
            Reply::status(200).body(r#"{"errors":[],"error":null}"#),
            "ok",
        ),
        (
            Reply::status(200).body(r#"{"status":"rejected"}"#),
            "rejected answer-failed",
        ),
        (
            Reply::status(200).body(r#"{"ok":false,"error":"invalid_email"}"#),
            "rejected answer-failed",
        ),
        (
            Reply::status(200).body(r#"{"ok":false,"error":"ratelimited"}"#),
            "transient answer-rate-limited",
        ),
        (
            Reply::status(200).body(r#"{"error":"invalid_auth"}"#),
            "auth answer-auth",
        ),
        (
            Reply::status(200).body(r#"{"data":{"save":null},"errors":[{"message":"no"}]}"#),
            "rejected answer-failed",
        ),
        (Reply::status(200).body(html), "transient answer-html"),
        (Reply::status(503).body(html), "transient http-503"),
        (
            Reply::status(207).body(r#"{"results":[{"status":422}]}"#),
            "rejected http-422",
        ),
        (
            Reply::status(207).body(r#"{"results":[{"status":201}]}"#),
            "ok",
        ),
        (Reply::status(207).body("{}"), "other outcome-unknown"),
        (
            Reply::status(302).header("Location", "https://login.example.com"),
            "config http-redirected",
        ),
        (
            Reply::status(303).header("Location", "/done"),
            "config http-redirected",
        ),
    ] {
        let bench = Bench::new(json!({}));
        bench.save("a", json!({ "id": "a" }));
        bench.to.trouble("a", reply.clone());
        let outcome = bench.run();
        let found = match &outcome.result {
            Ok(()) => "ok".to_owned(),
            Err(failure) => format!(
                "{} {}",
                failure.kind,
                failure.code.as_deref().unwrap_or("-")
            ),
        };
        assert_eq!(found, said, "{reply:?}");
        let is_known = !known(&bench).is_empty();
        assert_eq!(
            (is_known, cursor(&outcome).is_some()),
            (said == "ok", said == "ok"),
            "{reply:?}"
        );
    }
}

#[test]
fn each_record_of_a_list_by_its_own_result() {
    let results =
        |statuses: Value| Reply::status(207).body(json!({ "results": statuses }).to_string());
    let bulk = json!({ "errors": true, "items": [
        { "index": { "status": 201 } }, { "index": { "status": 429 } }, { "index": { "status": 400 } },
    ] });
    for (reply, ids, said) in [
        (
            results(json!([{ "status": 201 }, { "status": 200 }, { "status": 204 }])),
            "abc",
            "ok",
        ),
        (
            results(
                json!([{ "status": 201 }, { "status": 422, "error": "bad" }, { "status": 201 }]),
            ),
            "ac",
            "rejected http-422",
        ),
        (
            Reply::status(200).body(bulk.to_string()),
            "a",
            "transient http-429",
        ),
        // By their ids, whatever the order.
        (
            results(
                json!([{ "id": "c", "status": 422 }, { "id": "a", "status": 201 }, { "id": "b", "status": 201 }]),
            ),
            "ab",
            "rejected http-422",
        ),
        // Not one for each.
        (
            results(json!([{ "status": 201 }])),
            "",
            "other outcome-unknown",
        ),
        (
            Reply::status(207).body("<multistatus/>"),
            "",
            "other outcome-unknown",
        ),
        (
            Reply::status(200).body(r#"{"success":true,"requested_count":3,"saved_count":1}"#),
            "",
            "other outcome-unknown",
        ),
        (
            Reply::status(200).body(r#"{"created":["a"],"errors":[{"row":2}]}"#),
            "",
            "other outcome-unknown",
        ),
        (
            Reply::status(200).body(r#"{"summary":{"failed":1,"succeeded":2}}"#),
            "",
            "other outcome-unknown",
        ),
        (
            Reply::status(200).body(r#"{"FailedRecordCount":1,"Records":[{},{}]}"#),
            "",
            "other outcome-unknown",
        ),
        // None of it.
        (
            Reply::status(200).body(r#"{"success":false,"saved_count":0,"error":"no"}"#),
            "",
            "rejected answer-failed",
        ),
        // All of it.
        (
            Reply::status(200).body(r#"{"saved_count":3,"failed_count":0,"errors":[]}"#),
            "abc",
            "ok",
        ),
        (Reply::status(200).body("OK"), "abc", "ok"),
    ] {
        let (bench, found) = listed(json!({}), &reply);
        assert_eq!(
            (known(&bench).concat().as_str(), found.as_str()),
            (ids, said),
            "{reply:?}"
        );
        // What was acknowledged is not sent again; the rest is.
        let outcome = bench.run();
        outcome.assert_ok();
        let again: Vec<Value> = outcome
            .requests
            .iter()
            .map(|request| request.json()["records"].clone())
            .collect();
        let left: Vec<Value> = ["a", "b", "c"]
            .into_iter()
            .filter(|id| !ids.contains(id))
            .map(|id| json!({ "id": id }))
            .collect();
        let left = if left.is_empty() {
            vec![]
        } else {
            vec![json!(left)]
        };
        assert_eq!(again, left, "{reply:?}");
    }
}

#[test]
fn what_only_some_rejected_is_passed_over_alone() {
    let reply = Reply::status(207)
        .body(r#"[{"status":201},{"status":422,"detail":"no email"},{"status":201}]"#);
    let mut keys = lists(json!({}));
    keys["on_reject"] = json!("skip");
    let bench = three(keys);
    bench.to.trouble("a", reply);
    let outcome = bench.run();
    outcome.assert_ok();
    assert_eq!(
        (outcome.requests.len(), known(&bench).concat().as_str()),
        (1, "ac")
    );
    let warned = outcome
        .logs
        .iter()
        .find(|line| line.message.contains("passed over"))
        .unwrap();
    assert!(
        warned.message.contains("`b`") && warned.message.contains("422: no email"),
        "{}",
        warned.message
    );
}

#[test]
fn results_are_made_of_the_answer() {
    for (results, body, ids, said) in [
        (
            ".saved == .sent",
            json!({ "saved": 3, "sent": 3 }),
            "abc",
            "ok",
        ),
        (
            ".saved == .sent",
            json!({ "saved": 2, "sent": 3 }),
            "",
            "rejected answer-failed",
        ),
        (
            ".rows | map(.ok)",
            json!({ "rows": [{ "ok": true }, { "ok": false }, { "ok": true }] }),
            "ac",
            "rejected answer-failed",
        ),
        (
            ".rows | map({id, ok: (.e == null), message: .e})",
            json!({ "rows": [{ "id": "c" }, { "id": "b" }, { "id": "a", "e": "x" }] }),
            "bc",
            "rejected answer-failed",
        ),
        (
            "map({index: .at, status: .s})",
            json!([{ "at": 2, "s": "503" }, { "at": 0, "s": 200 }, { "at": 1, "s": 201 }]),
            "ab",
            "transient http-503",
        ),
        (
            "{failed: .bad}",
            json!({ "bad": ["b"] }),
            "ac",
            "rejected answer-failed",
        ),
        (
            "{failed: .bad}",
            json!({ "bad": [2] }),
            "ab",
            "rejected answer-failed",
        ),
        (
            "{failed: [.bad[] | {index: .row, message: .text}]}",
            json!({ "bad": [{ "row": 0, "text": "x" }] }),
            "bc",
            "rejected answer-failed",
        ),
        ("{failed: .bad}", json!({ "bad": [] }), "abc", "ok"),
        // What can't be read acknowledges nothing.
        ("{failed: .bad}", json!({}), "", "other outcome-unknown"),
        (
            "{failed: .bad}",
            json!({ "bad": ["x"] }),
            "",
            "other outcome-unknown",
        ),
        (
            "{failed: .bad}",
            json!({ "bad": [3] }),
            "",
            "other outcome-unknown",
        ),
        (".rows", json!({ "rows": [] }), "", "other outcome-unknown"),
        (
            ".rows",
            json!({ "rows": [200, 200] }),
            "",
            "other outcome-unknown",
        ),
        (
            ".rows",
            json!({ "rows": [200, 200, "x"] }),
            "",
            "other outcome-unknown",
        ),
        (
            ".rows",
            json!({ "rows": [{ "id": "a", "ok": true }, { "id": "a", "ok": true }, { "id": "b", "ok": true }] }),
            "",
            "other outcome-unknown",
        ),
        (
            ".rows[]",
            json!({ "rows": [true, true] }),
            "",
            "other outcome-unknown",
        ),
        ("empty", json!({}), "", "other outcome-unknown"),
        ("error(\"x\")", json!({}), "", "other outcome-unknown"),
    ] {
        let reply = Reply::status(200).body(body.to_string());
        let (bench, found) = listed(json!({ "results": results }), &reply);
        assert_eq!(
            (known(&bench).concat().as_str(), found.as_str()),
            (ids, said),
            "{results} of {body}"
        );
    }
    let (bench, found) = listed(json!({ "results": "true" }), &Reply::status(200).body("OK"));
    assert_eq!(
        (known(&bench).len(), found.as_str()),
        (0, "other outcome-unknown")
    );
}

#[test]
fn rules_of_the_config_come_first() {
    for (rules, reply, said) in [
        (
            json!([{ "status": 200, "pointer": "/state", "equals": "queued", "action": "retry" }]),
            Reply::status(200).body(r#"{"state":"queued"}"#),
            "transient answer-retry",
        ),
        (
            json!([{ "status": 303, "action": "success" }]),
            Reply::status(303).header("Location", "/x"),
            "ok",
        ),
        (
            json!([{ "contains": "We'll be back", "action": "success" }]),
            Reply::status(200).body("<html>We'll be back</html>"),
            "ok",
        ),
        (
            json!([{ "status": 207, "action": "success" }]),
            Reply::status(207),
            "ok",
        ),
        (
            json!([{ "status": 409, "action": "success" }]),
            Reply::status(409),
            "ok",
        ),
        (
            json!([{ "status": 404, "action": "gone" }]),
            Reply::status(404),
            "rejected gone",
        ),
        (
            json!([{ "status": "4xx", "action": "config" }]),
            Reply::status(400),
            "config answer-config",
        ),
    ] {
        let (_, found) = listed(json!({ "responses": rules }), &reply);
        assert_eq!(found, said, "{rules}");
    }
    let delete = json!({ "method": "DELETE", "path": "/people/{id}", "responses": [
        { "pointer": "/error", "equals": "unknown", "action": "gone" },
    ] });
    let bench = three(json!({ "delete": delete }));
    bench.run().assert_ok();
    bench.delete("a");
    bench
        .to
        .trouble("a", Reply::status(200).body(r#"{"error":"unknown"}"#));
    bench.run().assert_ok();
    assert_eq!(known(&bench), ["b", "c"]);
}
