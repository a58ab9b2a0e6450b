//! Pages: their size, their pauses, lists instead of single records, and several requests at once.

use std::time::Duration;

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::Reply;

use super::{Bench, cursor};

fn filled(bench: &Bench, ids: std::ops::RangeInclusive<u32>) {
    for id in ids {
        bench.save(&format!("p{id}"), json!({ "id": format!("p{id}") }));
    }
}

/// Lists, with deletions of their own kind.
fn lists(keys: Value) -> Bench {
    let mut all = json!({
        "save": { "method": "POST", "path": "/people/batch", "per": "page", "body": "{records: .}" },
        "delete": { "method": "POST", "path": "/people/forget", "per": "page" },
    });
    for (key, value) in keys.as_object().unwrap() {
        all[key] = value.clone();
    }
    Bench::new(all)
}

#[test]
fn a_page_is_stored_before_the_next_is_read() {
    let bench = Bench::new(json!({ "page_size": 2, "pause_ms": 500 }));
    filled(&bench, 1..=5);
    let outcome = bench.run();
    outcome.assert_ok();
    let cursors: Vec<_> = outcome
        .commits
        .iter()
        .filter_map(|commit| commit.checkpoint.as_ref())
        .map(|checkpoint| checkpoint["cursor"].as_str().unwrap())
        .collect();
    assert_eq!(cursors, ["cursor-2", "cursor-4", "cursor-5"]);
    // Killed after the second page, the next run sends the rest only.
    let bench = Bench::new(json!({ "page_size": 2 }));
    filled(&bench, 1..=5);
    let killed = bench.host.clone().kill_after_commits(4);
    assert_eq!(
        killed
            .run_sync(super::plugin(), "people")
            .failure()
            .code
            .as_deref(),
        Some("killed")
    );
    assert_eq!(bench.to.acknowledged().len(), 4);
    bench.run().assert_ok();
    assert_eq!(bench.to.acknowledged(), ["PUT p5"]);
}

#[test]
fn so_many_requests_at_once() {
    for concurrency in [1, 3, 16] {
        let bench = Bench::new(json!({ "concurrency": concurrency }));
        filled(&bench, 1..=20);
        for id in 1..=20 {
            let reply = Reply::status(201).delay(Duration::from_millis(10));
            bench.to.trouble(&format!("p{id}"), reply);
        }
        let outcome = bench.run();
        outcome.assert_ok();
        assert_eq!(outcome.in_flight_max, concurrency);
    }
}

#[test]
fn a_list_is_one_request() {
    let bench = lists(json!({ "page_size": 3 }));
    filled(&bench, 1..=4);
    let outcome = bench.run();
    outcome.assert_ok();
    let sizes: Vec<usize> = outcome
        .requests
        .iter()
        .map(|request| request.json()["records"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [3, 1]);
    assert!(outcome.requests[0].idempotency_key.is_some());
    bench
        .delete("p1")
        .save("p2", json!({ "id": "p2", "v": 2 }))
        .delete("p3");
    let outcome = bench.run();
    let bodies: Vec<Value> = outcome
        .requests
        .iter()
        .map(|request| request.json())
        .collect();
    assert_eq!(
        bodies,
        [
            json!({ "records": [{ "id": "p2", "v": 2 }] }),
            json!(["p1", "p3"])
        ]
    );
    let left = json!({ "p2": { "id": "p2", "v": 2 }, "p4": { "id": "p4" } });
    assert_eq!((bench.to.people(), bench.known()), (left.clone(), left));
}

#[test]
fn a_list_that_was_not_acknowledged_holds_the_cursor() {
    let bench = lists(json!({ "page_size": 2 }));
    filled(&bench, 1..=4);
    bench.to.trouble("p3", Reply::status(503));
    let outcome = bench.run();
    let failure = outcome.failure();
    assert_eq!(failure.kind, FailureKind::Transient);
    assert!(
        failure
            .message
            .starts_with("2 records of crm/Contact, `p3` to `p4`: "),
        "{failure}"
    );
    assert_eq!(cursor(&outcome), Some("cursor-2"));
    assert_eq!(bench.to.acknowledged(), ["PUT p1", "PUT p2"]);
    bench.run().assert_ok();
    assert_eq!(bench.to.acknowledged(), ["PUT p3", "PUT p4"]);
    // The saves of a page were acknowledged, its deletions not: only these come again.
    bench.delete("p1").save("p2", json!({ "id": "p2", "v": 2 }));
    bench.to.trouble("p1", Reply::timeout());
    let outcome = bench.run();
    assert_eq!(outcome.failure().code.as_deref(), Some("http-timeout"));
    assert_eq!(cursor(&outcome), Some("cursor-4"));
    assert_eq!(bench.to.acknowledged(), ["PUT p2"]);
    bench.run().assert_ok();
    assert_eq!(bench.to.acknowledged(), ["DELETE p1"]);
}

#[test]
fn of_a_rejected_list_only_the_bad_one_is_passed_over() {
    let bench = lists(json!({ "on_reject": "skip" }));
    filled(&bench, 1..=6);
    // Of six, of three, of two, alone: whatever list it is in is refused.
    for _ in 0..4 {
        bench.to.trouble("p2", Reply::status(422));
    }
    let outcome = bench.run();
    outcome.assert_ok();
    assert_eq!(
        bench.to.acknowledged(),
        ["PUT p1", "PUT p3", "PUT p4", "PUT p5", "PUT p6"]
    );
    assert_eq!(cursor(&outcome), Some("cursor-6"));
    assert_eq!(bench.known().as_object().unwrap().len(), 5);
    let warned = outcome
        .logs
        .iter()
        .filter(|line| line.message.contains("passed over"));
    assert_eq!(warned.count(), 1);
}

#[test]
fn a_page_ends_at_so_many_bytes() {
    let bench = lists(json!({ "page_size": 1000, "transform": ". + {pad: (\"x\" * 900000)}" }));
    filled(&bench, 1..=12);
    let outcome = bench.run();
    outcome.assert_ok();
    assert_eq!(outcome.requests.len(), 3);
    assert!(
        outcome
            .requests
            .iter()
            .all(|request| request.body.as_ref().unwrap().len() < 8 << 20)
    );
    assert_eq!(cursor(&outcome), Some("cursor-12"));
}
