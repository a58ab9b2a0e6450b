//! What APIs do that nobody asked for, and what becomes of it: a failure that says what to do,
//! with everything stored before it in place.

use tidegate_sdk::FailureKind;
use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Reply, get};

use super::{host, model, pages, records, stored};
use crate::plugin;

#[test]
fn answers_that_are_not_what_they_should_be() {
    for (reply, kind, code, says) in [
        (
            Reply::status(200).body("<html>"),
            FailureKind::Transient,
            "response-not-json",
            "<html>",
        ),
        (
            Reply::status(200).body("{\"data\":[{\"id\":1}"),
            FailureKind::Transient,
            "response-not-json",
            "EOF",
        ),
        (
            Reply::json(json!({ "other": "no" })),
            FailureKind::Other,
            "response-invalid",
            "`models.M.records`",
        ),
        (
            Reply::json(json!({ "error": "no" })),
            FailureKind::Transient,
            "answer-failed",
            "no",
        ),
        (
            Reply::json(json!({ "data": [], "errors": [{ "message": "shard 2" }] })),
            FailureKind::Transient,
            "answer-failed",
            "shard 2",
        ),
        (
            Reply::json(json!({ "data": [{ "id": 1 }], "errors": [{ "message": "shard 2" }] })),
            FailureKind::Transient,
            "answer-failed",
            "shard 2",
        ),
        (
            Reply::json(json!({ "ok": false, "data": null, "error": "ratelimited" })),
            FailureKind::Transient,
            "answer-rate-limited",
            "ratelimited",
        ),
        (
            Reply::json(json!({ "data": {} })),
            FailureKind::Other,
            "response-invalid",
            "an array of records",
        ),
        (
            Reply::status(304),
            FailureKind::Transient,
            "response-not-json",
            "304",
        ),
        (Reply::status(401), FailureKind::Auth, "http-401", "/m"),
        (Reply::status(429), FailureKind::Transient, "http-429", "/m"),
        (Reply::status(404), FailureKind::Rejected, "http-404", "/m"),
        (
            Reply::timeout(),
            FailureKind::Transient,
            "http-timeout",
            "/m",
        ),
    ] {
        let host = model(json!({ "records": "/data" })).respond(get("/m"), reply);
        let outcome = host.run_sync(plugin(), "M");
        let failure = outcome.failure();
        assert_eq!(
            (failure.kind, failure.code.as_deref()),
            (kind, Some(code)),
            "{failure}"
        );
        assert!(failure.message.contains(says), "{says}: {failure}");
        assert!(outcome.commits.is_empty() && outcome.checkpoint().is_none());
    }
}

#[test]
fn lists_that_are_empty() {
    let absent = json!({ "records": "/data", "records_may_be_absent": true });
    for (keys, reply) in [
        (json!({}), json!([])),
        (json!({ "records": "/data" }), json!({ "data": null })),
        (absent, json!({})),
    ] {
        let host = model(keys).respond(get("/m"), reply);
        host.run_sync(plugin(), "M").assert_ok();
    }
}

#[test]
fn apis_that_lead_in_circles() {
    let cursor = json!({ "style": "cursor", "parameter": "c", "cursor_pointer": "/next" });
    let record = |id: u32, next: &str| json!({ "data": [{ "id": id }], "next": next });
    let circle = model(json!({ "records": "/data", "pagination": cursor }))
        .respond(get("/m").without_query("c"), record(1, "a"))
        .respond_always(get("/m").query("c", "a"), record(2, "b"))
        .respond_always(get("/m").query("c", "b"), record(3, "a"));
    let ignored = model(json!({ "pagination": pages() })).respond_always(get("/m"), records(1..=2));
    for (host, stored_ids) in [(circle, 3), (ignored, 2)] {
        let outcome = host.run_sync(plugin(), "M");
        let failure = outcome.failure();
        assert_eq!(
            failure.code.as_deref(),
            Some("pagination-loop"),
            "{failure}"
        );
        assert!(
            failure.message.contains("`models.M.pagination`"),
            "{failure}"
        );
        assert_eq!(
            stored(&host).len(),
            stored_ids,
            "what came before is stored"
        );
    }
}

#[test]
fn how_counted_pages_end() {
    // A server that caps the page size at 2, asked for 5: a page of 2 is a full one.
    let capped = json!({ "style": "page", "page_size": 5, "page_size_parameter": "size" });
    let host = model(json!({ "pagination": capped }))
        .respond(get("/m").query("page", 1).query("size", 5), records(1..=2))
        .respond(get("/m").query("page", 2), records(3..=4))
        .respond(get("/m").query("page", 3), records(5..=5))
        .respond(get("/m").query("page", 4), json!([]));
    host.run_sync(plugin(), "M").assert_ok();
    host.assert_all_used();

    // Without a size, or with a full last page, an empty page ends; or a status, if told so.
    for end in [Reply::json(json!([])), Reply::status(404)] {
        let open = json!({ "style": "offset", "end_statuses": [404] });
        let host = model(json!({ "pagination": open }))
            .respond(get("/m").query("offset", 0), records(1..=3))
            .respond(get("/m").query("offset", 3), end);
        host.run_sync(plugin(), "M").assert_ok();
        assert_eq!(stored(&host).len(), 3);
    }

    // The API's own word counts more than the length of a page.
    let more = json!({ "style": "page", "first": 0, "more_pointer": "/more", "page_size": 2 });
    let host = model(json!({ "records": "/d", "pagination": more }))
        .respond(
            get("/m").query("page", 0),
            json!({ "d": [{ "id": 1 }], "more": true }),
        )
        .respond(get("/m").query("page", 1), json!({ "d": [], "more": true }))
        .respond(
            get("/m").query("page", 2),
            json!({ "d": [{ "id": 2 }, { "id": 3 }], "more": false }),
        );
    host.run_sync(plugin(), "M").assert_ok();
    host.assert_all_used();
}

#[test]
fn a_cursor_that_has_grown_too_old_starts_the_pull_over() {
    let cursor = json!({ "style": "cursor", "parameter": "c", "cursor_header": "X-Next", "stable_order": true });
    let page = |id: u32, next: &str| Reply::json(json!([{ "id": id }])).header("x-next", next);
    let host = model(json!({ "pagination": cursor, "full_pull_with_deletes": true }))
        .record("M", "old", json!({ "id": "old" }))
        .respond_always(get("/m").without_query("c"), page(1, "a"))
        .respond(get("/m").query("c", "a"), Reply::status(410))
        .respond_always(get("/m").query("c", "a"), page(2, ""))
        .kill_after_commits(1);
    host.run_sync(plugin(), "M");
    let outcome = host.run_sync(plugin(), "M");
    outcome.assert_ok();
    assert_eq!(stored(&host), ["1", "2"]);
    assert!(
        outcome
            .logs
            .iter()
            .any(|line| line.message.contains("starts over"))
    );

    // The same answer in the middle of a run is what it is.
    let host = model(json!({ "pagination": cursor }))
        .respond_always(get("/m").without_query("c"), page(1, "a"))
        .respond(get("/m").query("c", "a"), Reply::status(410));
    let outcome = host.run_sync(plugin(), "M");
    assert_eq!(outcome.failure().code.as_deref(), Some("http-410"));
}

#[test]
fn a_config_that_changes_between_runs() {
    let since =
        json!({ "parameter": "since", "field": "/at", "format": "epoch_ms", "ordered": true });
    for (checkpoint, query) in [
        // Another pagination style: the pull starts over, from the mark.
        (
            json!({ "mark": 5000, "pull": { "at": { "cursor": "x" }, "full": false } }),
            Some("4000"),
        ),
        // Another kind of mark: everything is pulled.
        (json!({ "mark": "\"etag\"" }), None),
    ] {
        let host = model(json!({ "pagination": pages(), "incremental": since }))
            .checkpoint("M", checkpoint)
            .respond(get("/m"), json!([]));
        let outcome = host.run_sync(plugin(), "M");
        assert_eq!(outcome.requests[0].query("since"), query);
        assert_eq!(outcome.requests[0].query("page"), Some("1"));
        assert!(
            outcome.logs[0].message.contains("has changed"),
            "it is said"
        );
    }
}

#[test]
fn marks_that_can_not_be() {
    for (keys, reply, key) in [
        (
            json!({ "field": "/at" }),
            json!([{ "id": 1, "at": "soon" }]),
            "models.M.incremental.format",
        ),
        (
            json!({ "field": "/at" }),
            json!([{ "id": 1, "at": { "x": 1 } }]),
            "models.M.incremental.format",
        ),
        (
            json!({ "header": "ETag" }),
            json!([]),
            "models.M.incremental.header",
        ),
        (
            json!({ "field": "/at", "format": "epoch_s", "ordered": true }),
            json!([{ "id": 1, "at": 2 }, { "id": 2, "at": 1 }]),
            "models.M.incremental.ordered",
        ),
    ] {
        let mut incremental = keys;
        incremental["parameter"] = json!("since");
        let host = model(json!({ "incremental": incremental })).respond(get("/m"), reply);
        let outcome = host.run_sync(plugin(), "M");
        assert_eq!(outcome.failure().kind, FailureKind::Config);
        assert!(
            outcome.failure().message.contains(key),
            "{}",
            outcome.failure()
        );
        assert!(outcome.commits.is_empty());
    }
}

#[test]
fn a_next_url_that_leaves_the_granted_host() {
    let host = model(json!({ "pagination": { "style": "link" } })).respond(
        get("/m"),
        Reply::json(records(1..=1)).header("Link", "<https://evil.example/m?page=2>; rel=next"),
    );
    let outcome = host.run_sync(plugin(), "M");
    assert_eq!(outcome.failure().code.as_deref(), Some("http-denied"));
    assert_eq!(stored(&host), ["1"]);
}

#[test]
fn an_etag_counts_only_for_a_list_of_one_page() {
    let page = |id: u32| Reply::json(records(id..=id)).header("ETag", "\"same\"");
    let keys = json!({ "conditional": true, "pagination": { "style": "link" } });
    let host = model(keys)
        .respond(get("/m"), page(1).header("Link", "</base/m2>; rel=next"))
        .respond(get("/m2"), page(2))
        // The first page is the same as before, the second is not.
        .respond(
            get("/m").header("If-None-Match", "\"same\""),
            Reply::status(304),
        )
        .respond(get("/m"), page(1).header("Link", "</base/m2>; rel=next"))
        .respond(get("/m2"), page(3));
    host.run_sync(plugin(), "M").assert_ok();
    host.run_sync(plugin(), "M").assert_ok();
    assert_eq!(stored(&host), ["1", "2", "3"]);

    let host = model(json!({ "conditional": true }))
        .respond(get("/m"), page(1))
        .respond(
            get("/m").header("If-None-Match", "\"same\""),
            Reply::status(304),
        );
    host.run_sync(plugin(), "M").assert_ok();
    let outcome = host.run_sync(plugin(), "M");
    outcome.assert_ok();
    assert!(outcome.commits.is_empty());
    host.assert_all_used();
}

#[test]
fn a_check_asks_once() {
    let host = model(json!({ "query": { "q": 1 } })).respond(get("/m").query("q", 1), json!([]));
    host.run_check(plugin()).assert_ok();
    let config = json!({ "check": "/me", "models": { "M": { "path": "/m" } } });
    let host = self::host(config).respond(get("/me"), Reply::status(403));
    assert_eq!(host.run_check(plugin()).failure().kind, FailureKind::Auth);
}
