//! What was acknowledged, and what is not sent again, when something fails.

use tidegate_sdk::FailureKind;
use tidegate_sdk::prelude::*;
use tidegate_sdk::test::Reply;

use super::{Bench, cursor, plugin};

fn five(keys: Value) -> Bench {
    let bench = Bench::new(keys);
    for id in ["a", "b", "c", "d", "e"] {
        bench.save(id, json!({ "id": id }));
    }
    bench
}

#[test]
fn what_was_acknowledged_beyond_a_failure_is_not_sent_again() {
    for (reply, kind, code) in [
        (Reply::status(429), FailureKind::Transient, "http-429"),
        (Reply::status(500), FailureKind::Transient, "http-500"),
        (Reply::timeout(), FailureKind::Transient, "http-timeout"),
        (
            Reply::connect_error(),
            FailureKind::Transient,
            "http-connect",
        ),
        (Reply::status(401), FailureKind::Auth, "http-401"),
        (Reply::status(422), FailureKind::Rejected, "http-422"),
        (Reply::status(304), FailureKind::Rejected, "http-304"),
    ] {
        let bench = five(json!({ "concurrency": 3 }));
        // `b` fails while `a` and `c` are in flight; `d` and `e` are not begun.
        bench
            .to
            .trouble("b", reply.delay(std::time::Duration::from_millis(5)));
        for id in ["a", "c"] {
            let later = Reply::status(200).delay(std::time::Duration::from_millis(9));
            bench.to.trouble(id, later);
        }
        let outcome = bench.run();
        let failure = outcome.failure();
        assert_eq!((failure.kind, failure.code.as_deref()), (kind, Some(code)));
        assert!(
            failure
                .message
                .starts_with("the record `b` of crm/Contact: "),
            "{failure}"
        );
        let asked: Vec<&str> = outcome
            .requests
            .iter()
            .map(|request| request.path.as_str())
            .collect();
        assert_eq!(asked, ["/people/a", "/people/b", "/people/c"], "{code}");
        assert_eq!(cursor(&outcome), Some("cursor-1"), "{code}");
        assert_eq!(
            bench.known(),
            json!({ "a": { "id": "a" }, "c": { "id": "c" } })
        );
        bench.run().assert_ok();
        assert_eq!(
            bench.to.acknowledged(),
            ["PUT b", "PUT d", "PUT e"],
            "{code}"
        );
    }
}

#[test]
fn the_first_of_a_feed_may_fail_too() {
    let bench = five(json!({ "concurrency": 5 }));
    bench
        .to
        .trouble("a", Reply::status(500).header("Retry-After", "7"));
    let outcome = bench.run();
    assert_eq!(outcome.failure().retry_after_ms, Some(7_000));
    assert_eq!(cursor(&outcome), None);
    assert_eq!(
        bench.to.acknowledged(),
        ["PUT b", "PUT c", "PUT d", "PUT e"]
    );
    // What has changed meanwhile is sent, deletions of what had gone ahead too.
    bench.delete("b").save("c", json!({ "id": "c", "v": 2 }));
    let outcome = bench.run();
    outcome.assert_ok();
    assert_eq!(
        bench.to.people(),
        json!({
            "a": { "id": "a" }, "c": { "id": "c", "v": 2 }, "d": { "id": "d" }, "e": { "id": "e" },
        })
    );
    assert_eq!(bench.known(), bench.to.people());
}

#[test]
fn rejected_records_can_be_passed_over() {
    let bench = five(json!({ "on_reject": "skip", "concurrency": 1 }));
    bench.to.trouble("b", Reply::status(400).body("no email"));
    let outcome = bench.run();
    outcome.assert_ok();
    assert_eq!(
        bench.to.acknowledged(),
        ["PUT a", "PUT c", "PUT d", "PUT e"]
    );
    assert_eq!(cursor(&outcome), Some("cursor-5"));
    let line = outcome
        .logs
        .iter()
        .find(|line| line.message.contains("passed over"));
    let message = &line.unwrap().message;
    assert!(
        message.contains("`b`") && message.contains("400: no email"),
        "{message}"
    );
    // Not so credentials that are not accepted, and what may pass.
    for status in [401, 403, 429, 503] {
        bench.save("f", json!({ "status": status }));
        bench.to.trouble("f", Reply::status(status));
        assert!(bench.run().result.is_err(), "{status}");
    }
}

#[test]
fn gone_is_deleted() {
    for (gone, status, deleted) in [
        (json!([404, 410]), 404, true),
        (json!([404, 410]), 410, true),
        (json!([]), 404, false),
        (json!([409]), 409, true),
    ] {
        let delete = json!({ "method": "DELETE", "path": "/people/{id}", "gone": gone });
        let bench = five(json!({ "delete": delete }));
        bench.run().assert_ok();
        bench.delete("a");
        bench.to.trouble("a", Reply::status(status));
        let outcome = bench.run();
        assert_eq!(outcome.result.is_ok(), deleted, "{status}");
        assert_eq!(bench.known()["a"].is_null(), deleted, "{status}");
    }
}

#[test]
fn a_transform_that_fails_on_a_record_stops_before_it() {
    let long = "{id, pad: (\"x\" * 1100000)}";
    let deep = "def nest($n): if $n == 0 then 0 else [nest($n - 1)] end; {deep: nest(64)}";
    for (broken, problem) in [
        ("error(\"no such currency\")", "no such currency"),
        (".id + 1", "cannot calculate \"c\" + 1"),
        (".id", "it makes no object of it, but \"c\""),
        ("[.]", "it makes no object of it, but [{"),
        ("., .", "it makes more than one value"),
        ("{a: nan}", "it is not JSON"),
        ("{(1): 2}", "it is not JSON"),
        (long, "it makes 1100"),
        (deep, "it nests deeper than 63 levels"),
    ] {
        let transform = format!("if .id == \"c\" then ({broken}) else . end");
        let bench = five(json!({ "transform": transform }));
        let outcome = bench.run();
        let failure = outcome.failure();
        assert_eq!(
            (failure.kind, failure.code.as_deref()),
            (FailureKind::Config, Some("transform-failed"))
        );
        let begins = "the record `c` of crm/Contact: `pushes.people.transform` can't be used: ";
        let found = failure.message.strip_prefix(begins);
        assert!(
            found.is_some_and(|found| found.contains(problem)),
            "{failure}"
        );
        assert_eq!(bench.to.acknowledged(), ["PUT a", "PUT b"], "{broken}");
        assert_eq!(cursor(&outcome), Some("cursor-2"), "{broken}");
        // It stays there until the config or the record changes.
        let outcome = bench.run();
        assert!(
            outcome.result.is_err() && outcome.requests.is_empty(),
            "{broken}"
        );
    }
}

#[test]
fn a_record_that_has_no_place_at_the_destination() {
    let save = |path: &str| json!({ "save": { "method": "PUT", "path": path } });
    for (keys, id, body, problem) in [
        (
            save("/people/{/email}"),
            "x",
            json!({}),
            "no text or number at /email",
        ),
        (
            save("/people/{/email}"),
            "x",
            json!({ "email": "" }),
            "no text or number at /email",
        ),
        (
            save("/people/{/a/0}"),
            "x",
            json!({ "a": [[]] }),
            "no text or number at /a/0",
        ),
        // Such a segment would be taken away, and the record sent to `/people` or above.
        (
            save("/people/{id}"),
            "..",
            json!({}),
            "would be another path",
        ),
        (
            save("/people/{id}?v=1"),
            ".",
            json!({}),
            "would be another path",
        ),
        (
            json!({ "save": { "method": "PUT", "path": "/people/{id}", "body": "empty" } }),
            "x",
            json!({}),
            "it makes nothing of it",
        ),
        (
            json!({ "save": { "method": "PUT", "path": "/people/{id}", "body": "1, 2" } }),
            "x",
            json!({}),
            "it makes more than one value",
        ),
    ] {
        let bench = Bench::new(keys);
        bench.save(id, body);
        let outcome = bench.run();
        let failure = outcome.failure();
        assert_eq!(
            (failure.kind, failure.code.as_deref()),
            (FailureKind::Config, Some("transform-failed"))
        );
        assert!(
            failure.message.contains(problem) && failure.message.contains(&format!("`{id}`")),
            "{failure}"
        );
        assert!(outcome.requests.is_empty() && cursor(&outcome).is_none());
    }
}

#[test]
fn another_feed_is_not_gone_on_with() {
    let bench = five(json!({}));
    bench.run().assert_ok();
    let mut keys = super::push(json!({}));
    keys["from"]["connection"] = json!("globex");
    let host = bench
        .host
        .clone()
        .config(json!({ "pushes": { "people": keys } }));
    let outcome = host.run_sync(plugin(), "people");
    let failure = outcome.failure();
    assert_eq!(failure.kind, FailureKind::Config);
    for part in [
        "`pushes.people.from`",
        "crm/test/Contact",
        "crm/globex/Contact",
        "--reset",
    ] {
        assert!(failure.message.contains(part), "{failure}");
    }
}

#[test]
fn a_cursor_that_the_feed_does_not_know() {
    let bench = five(json!({}));
    let checkpoint = json!({ "from": "crm/test/Contact", "cursor": "long-gone" });
    let host = bench.host.clone().checkpoint("people", checkpoint);
    let outcome = host.run_sync(plugin(), "people");
    let failure = outcome.failure();
    assert_eq!(
        (failure.kind, failure.code.as_deref()),
        (FailureKind::Config, Some("cursor-unusable"))
    );
    assert!(failure.message.contains("--reset"), "{failure}");
}

#[test]
fn a_run_that_may_no_longer_write_ends() {
    let bench = five(json!({ "page_size": 2 }));
    let host = bench.host.clone().fence_after_commits(2);
    let outcome = host.run_sync(plugin(), "people");
    assert_eq!(outcome.failure().code.as_deref(), Some("fenced"));
    assert_eq!(bench.to.acknowledged().len(), 2);
}

#[test]
fn what_may_be_there_is_deleted_too() {
    // `a` was sent, and nobody heard what became of it: no answer, or killed before it was stored.
    let lost = five(json!({ "page_size": 2, "concurrency": 1 }));
    lost.to.trouble("a", Reply::timeout());
    assert!(lost.run().result.is_err());
    let killed = five(json!({ "page_size": 2 }));
    let host = killed.host.clone().kill_after_commits(1);
    assert!(host.run_sync(plugin(), "people").result.is_err());
    for bench in [lost, killed] {
        let known = bench.host.records("people");
        assert_eq!(known["a"], json!({ "tidegate/sending": { "id": "a" } }));
        // A real feed has only the latest state of a record, so its save is passed by here.
        let after = json!({ "from": "crm/test/Contact", "cursor": "cursor-5" });
        let host = bench.host.clone().checkpoint("people", after);
        bench.delete("a");
        let outcome = host.run_sync(plugin(), "people");
        outcome.assert_ok();
        let asked = &outcome.requests[0];
        assert_eq!(
            (asked.method.as_str(), asked.path.as_str()),
            ("DELETE", "/people/a")
        );
        assert!(!host.records("people").contains_key("a"));
    }
}
