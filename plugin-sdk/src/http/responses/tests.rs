//! Answers of real shapes, and what they mean to a list, a record and a write.

use serde_json::{Value, json};

use super::{Expected, Responses, Verdict, default_at};
use crate::FailureKind;
use crate::host::Answer;
use crate::http::Response;

const NOW: u64 = 784_111_777_000;

fn answer(method: &str, status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let answer = Answer {
        status,
        headers: headers.collect(),
        body: body.as_bytes().to_vec(),
        url: "https://api.example.com/x".to_owned(),
    };
    Response::new(method.to_owned(), false, answer, None)
}

/// `ok`, or the kind and the code of the failure.
fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Success => "ok".to_owned(),
        Verdict::Empty => "empty".to_owned(),
        Verdict::Gone => "gone".to_owned(),
        Verdict::Failed(failure) => {
            format!(
                "{} {}",
                failure.kind,
                failure.code.as_deref().unwrap_or("-")
            )
        }
    }
}

#[test]
fn bodies_speak_for_themselves() {
    const FAILED: &str = "rejected answer-failed";
    // A list's answer to the same is transient: reading it again is safe.
    const LIST: &str = "transient answer-failed";
    const RATE: &str = "transient answer-rate-limited";
    const AUTH: &str = "auth answer-auth";
    for (body, list, write) in [
        // Honest answers, some of which speak of errors.
        (json!({}), "ok", "ok"),
        (json!({ "data": [], "errors": [] }), "ok", "ok"),
        (
            json!({ "items": [], "error": null, "success": true }),
            "ok",
            "ok",
        ),
        (json!({ "errors": {}, "error": "", "ok": true }), "ok", "ok"),
        (
            json!({ "error": 0, "errors": 0, "error_message": "" }),
            "ok",
            "ok",
        ),
        (
            json!({ "error": "none", "errors": [null], "count": 3 }),
            "ok",
            "ok",
        ),
        (json!({ "errors": false, "items": [] }), "ok", "ok"),
        (json!({ "status": "created" }), "ok", "ok"),
        (json!({ "status": 200, "message": "rejected" }), "ok", "ok"),
        (json!([{ "ok": false, "error": "x" }]), "ok", "ok"),
        (json!("error"), "ok", "ok"),
        // Records whose members are called so.
        (json!({ "id": 7, "status": "rejected" }), "ok", "ok"),
        (
            json!({ "id": 7, "success": false, "error": "timed out" }),
            LIST,
            "ok",
        ),
        (json!({ "uuid": "u", "ok": false }), LIST, "ok"),
        (
            json!({ "id": 1, "errors": ["row 3"], "state": "done" }),
            LIST,
            "ok",
        ),
        (json!({ "status": "failed", "started_at": 5 }), "ok", "ok"),
        // Failures, as APIs say them.
        (
            json!({ "ok": false, "error": "invalid_email" }),
            LIST,
            FAILED,
        ),
        (
            json!({ "ok": false, "error": "missing_scope", "needed": "a", "provided": "b" }),
            LIST,
            FAILED,
        ),
        (json!({ "ok": false, "error": "ratelimited" }), RATE, RATE),
        (json!({ "ok": false, "error": "token_revoked" }), AUTH, AUTH),
        (json!({ "success": false, "records": [] }), LIST, FAILED),
        (json!({ "success": 0, "error": "no" }), LIST, FAILED),
        (json!({ "isSuccess": false, "Message": "no" }), LIST, FAILED),
        (json!({ "status": "rejected" }), LIST, FAILED),
        (
            json!({ "status": "error", "message": "down", "code": 5 }),
            LIST,
            FAILED,
        ),
        (
            json!({ "status": "fail", "data": { "title": "is required" } }),
            LIST,
            FAILED,
        ),
        (
            json!({ "error": { "code": 400, "message": "bad", "status": "INVALID_ARGUMENT" } }),
            LIST,
            FAILED,
        ),
        (
            json!({ "error": { "status": "RESOURCE_EXHAUSTED" } }),
            RATE,
            RATE,
        ),
        (
            json!({ "error": "unauthorized", "error_description": "no" }),
            AUTH,
            AUTH,
        ),
        (
            json!({ "errors": [{ "message": "Throttled", "extensions": { "code": "THROTTLED" } }], "data": null }),
            RATE,
            RATE,
        ),
        (
            json!({ "data": { "items": null }, "errors": [{ "message": "internal" }] }),
            LIST,
            FAILED,
        ),
        (
            json!({ "data": { "items": [] }, "errors": [{ "message": "internal" }] }),
            LIST,
            FAILED,
        ),
        (
            json!({ "data": { "items": [{ "id": "a" }] }, "errors": [{ "message": "shard 2" }] }),
            LIST,
            FAILED,
        ),
        (
            json!({ "errors": true, "items": [{ "status": 429 }], "took": 3 }),
            LIST,
            FAILED,
        ),
        (json!({ "hasErrors": true, "items": [1] }), LIST, FAILED),
        (json!({ "errors": { "email": ["is taken"] } }), LIST, FAILED),
        (
            json!({ "errors": "no", "request_id": "r1", "timestamp": 5 }),
            LIST,
            FAILED,
        ),
    ] {
        let text = body.to_string();
        for (method, expected, want) in [
            ("GET", Expected::List, list),
            ("POST", Expected::Write, write),
        ] {
            let with_mark = format!("\u{feff} {text}");
            for text in [&text, &with_mark] {
                let verdict = default_at(NOW, &answer(method, 200, &[], text), expected);
                assert_eq!(word(&verdict), want, "{expected:?} {text}");
            }
        }
        let record = default_at(NOW, &answer("GET", 200, &[], &text), Expected::Record);
        assert_eq!(word(&record) == "ok", write == "ok", "a record {text}");
    }
}

#[test]
fn what_is_repeated_to_a_write_is_no_word_of_the_api() {
    let stored =
        json!({ "name": "nightly", "success": false, "error": "timed out", "status": "failed" });
    for (sent, fine) in [
        (stored.clone(), true),
        (
            json!({ "error": "timed out", "name": "nightly", "success": false, "status": "failed" }),
            true,
        ),
        (
            json!({ "name": "nightly", "success": true, "status": "failed" }),
            false,
        ),
    ] {
        let mut response = answer("PUT", 200, &[], &stored.to_string());
        response.sent = Some(sent.to_string().into_bytes());
        let verdict = default_at(NOW, &response, Expected::Write);
        assert_eq!(verdict == Verdict::Success, fine, "{sent}");
    }
}

#[test]
fn statuses_texts_and_pages() {
    let html = "\n <!DOCTYPE html><html><body>We'll be back</body></html>";
    let location: &[(&str, &str)] = &[("location", "https://login.example.com/")];
    for (status, headers, body, read, write) in [
        (200, &[] as &[(&str, &str)], "", "ok", "ok"),
        (204, &[], "", "ok", "ok"),
        (200, &[("content-type", "text/html")], "ok", "ok", "ok"),
        (202, &[], "<Result>done</Result>", "ok", "ok"),
        (200, &[], "{\"ok\": fal", "ok", "ok"),
        (200, &[], html, "ok", "other outcome-unknown"),
        (
            200,
            &[("content-type", "text/html; charset=utf-8")],
            "<p>no</p>",
            "ok",
            "other outcome-unknown",
        ),
        (302, location, "", "ok", "config http-redirected"),
        (303, location, "", "ok", "config http-redirected"),
        (304, &[], "", "ok", "rejected http-304"),
        (401, &[], "", "auth http-401", "auth http-401"),
        (422, &[], "{}", "rejected http-422", "rejected http-422"),
        (
            503,
            &[("retry-after", "3")],
            "",
            "transient http-503",
            "transient http-503",
        ),
    ] {
        for (method, expected, want) in [
            ("GET", Expected::List, read),
            ("PATCH", Expected::Write, write),
        ] {
            let verdict = default_at(NOW, &answer(method, status, headers, body), expected);
            assert_eq!(word(&verdict), want, "{expected:?} {status} {body}");
        }
    }
    let Verdict::Failed(failure) =
        default_at(NOW, &answer("POST", 302, location, ""), Expected::Write)
    else {
        panic!("a redirect is no success");
    };
    assert!(
        failure.message.contains("https://login.example.com/"),
        "{failure}"
    );
}

#[test]
fn rules_come_first() {
    let body = json!({
        "ok": false, "error": { "code": 1.0, "text": "not today" }, "wait": "2.5", "n": null, "list": ["a"]
    });
    for (rule, want) in [
        (json!({ "status": 200, "action": "success" }), "ok"),
        (json!({ "status": "2xx", "action": "empty" }), "empty"),
        (json!({ "status": [404, "2xx"], "action": "gone" }), "gone"),
        (
            json!({ "status": 201, "action": "success" }),
            "rejected answer-failed",
        ),
        (
            json!({ "pointer": "/ok", "equals": false, "action": "success" }),
            "ok",
        ),
        (
            json!({ "pointer": "/ok", "equals": true, "action": "success" }),
            "rejected answer-failed",
        ),
        (
            json!({ "pointer": "/error/code", "equals": 1, "action": "config" }),
            "config answer-config",
        ),
        (
            json!({ "pointer": "/error/code", "in": [7, 1], "action": "retry" }),
            "transient answer-retry",
        ),
        (
            json!({ "pointer": "/error/text", "contains": "today", "action": "auth" }),
            "auth answer-auth",
        ),
        (
            json!({ "contains": "not today", "action": "rate_limited" }),
            "transient answer-rate-limited",
        ),
        (json!({ "pointer": "/list/0", "action": "success" }), "ok"),
        (
            json!({ "pointer": "/list/1", "action": "success" }),
            "rejected answer-failed",
        ),
        (
            json!({ "pointer": "/n", "present": false, "action": "success" }),
            "ok",
        ),
        (
            json!({ "pointer": "/n", "equals": null, "action": "success" }),
            "ok",
        ),
        (
            json!({ "pointer": "/list", "contains": "a", "action": "success" }),
            "ok",
        ),
        // Of several conditions each has to hold.
        (
            json!({ "status": 200, "pointer": "/ok", "present": true, "in": [true], "action": "success" }),
            "rejected answer-failed",
        ),
    ] {
        let rules: Responses = serde_json::from_value(json!([rule])).unwrap();
        let response = answer("POST", 200, &[], &body.to_string());
        let ruled = rules.ruled_at(NOW, &response);
        let verdict = ruled.unwrap_or_else(|| default_at(NOW, &response, Expected::Write));
        assert_eq!(word(&verdict), want, "{rule}");
    }
    let rules: Responses = serde_json::from_value(json!([
        { "status": 503, "action": "success" },
        { "status": "2xx", "action": "rate_limited", "message": "/error/text", "retry_after": "/wait" },
        { "status": 200, "action": "success" },
    ]))
    .unwrap();
    let response = answer("GET", 200, &[("retry-after", "9")], &body.to_string());
    let Some(Verdict::Failed(failure)) = rules.ruled_at(NOW, &response) else {
        panic!("the second rule matches first");
    };
    assert_eq!(
        (failure.kind, failure.retry_after_ms),
        (FailureKind::Transient, Some(2_500))
    );
    assert!(failure.message.ends_with("not today"), "{failure}");
    assert_eq!(failure.upstream.unwrap().status, 200);
    let down = answer("GET", 503, &[], "");
    assert_eq!(rules.ruled_at(NOW, &down), Some(Verdict::Success));
}

#[test]
fn rules_that_are_none_say_why() {
    for (rule, problem) in [
        (json!({ "action": "success" }), "a rule needs a `status`"),
        (json!({ "status": 200 }), "missing field `action`"),
        (
            json!({ "status": 200, "action": "ignore" }),
            "unknown variant `ignore`",
        ),
        (json!({ "status": 99, "action": "fail" }), "99 is no status"),
        (
            json!({ "status": "40x", "action": "fail" }),
            "no class of statuses",
        ),
        (
            json!({ "status": "6xx", "action": "fail" }),
            "no class of statuses",
        ),
        (
            json!({ "status": true, "action": "fail" }),
            "expected a status",
        ),
        (
            json!({ "pointer": "ok", "action": "fail" }),
            "no JSON pointer",
        ),
        (
            json!({ "status": 200, "message": "error", "action": "fail" }),
            "no JSON pointer",
        ),
        (json!({ "equals": 1, "action": "fail" }), "at a `pointer`"),
        (
            json!({ "status": 200, "when": 1, "action": "fail" }),
            "unknown field `when`",
        ),
    ] {
        let error = serde_json::from_value::<Responses>(json!([rule])).unwrap_err();
        assert!(error.to_string().contains(problem), "{rule}: {error}");
    }
}

#[test]
fn the_schema_is_json() {
    let schema: Value = serde_json::from_str(Responses::SCHEMA).unwrap();
    let actions = schema["items"]["properties"]["action"]["enum"]
        .as_array()
        .unwrap();
    for action in actions {
        let rule = json!([{ "status": 200, "action": action }]);
        assert!(
            serde_json::from_value::<Responses>(rule).is_ok(),
            "{action}"
        );
    }
    assert_eq!(actions.len(), 8);
}

#[test]
fn items_have_results() {
    for (body, want) in [
        (
            json!([{ "status": 201 }, { "status": 422 }]),
            Some(vec![201, 422]),
        ),
        (
            json!({ "results": [{ "status": "201" }, { "statusCode": 404 }] }),
            Some(vec![201, 404]),
        ),
        (
            json!({ "took": 3, "errors": true, "items": [{ "index": { "status": 201 } }, { "create": { "status": 429 } }] }),
            Some(vec![201, 429]),
        ),
        (
            json!({ "Operations": [{ "method": "POST", "status": { "code": "201" } }] }),
            Some(vec![201]),
        ),
        (
            json!({ "responses": [{ "id": "1", "http_status": 200 }] }),
            Some(vec![200]),
        ),
        (
            json!({ "ids": [1, 2], "results": [{ "code": 200 }] }),
            Some(vec![200]),
        ),
        // Not results of that kind.
        (json!({ "results": [{ "status": "created" }] }), None),
        (json!({ "results": [{ "status": 201 }, {}] }), None),
        (json!({ "results": [{ "status": 7 }] }), None),
        (json!({ "results": [] }), None),
        (json!([1, 2]), None),
        (json!("201"), None),
    ] {
        let response = answer("POST", 207, &[], &body.to_string());
        let found = response.item_results();
        let found = found.map(|items| items.iter().map(|item| item.status).collect::<Vec<_>>());
        assert_eq!(found, want, "{body}");
    }
    let body = json!({ "items": [{ "index": { "_id": "a", "status": 400, "error": { "type": "x", "reason": "no" } } }] });
    let items = answer("POST", 200, &[], &body.to_string())
        .item_results()
        .unwrap();
    assert_eq!(
        (items[0].id.as_deref(), items[0].message.as_deref()),
        (Some("a"), Some("no"))
    );
}
