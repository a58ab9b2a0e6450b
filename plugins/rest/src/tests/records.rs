//! From records to what is stored: ids, tombstones, details, and the limits of a commit.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Reply, get};

use super::{model, records, stored};
use crate::plugin;

#[test]
fn a_list_of_one_page() {
    let config =
        json!({ "query": { "a": 1, "b": [true, "x y"] }, "headers": { "accept": "text/json" } });
    let host = model(config).respond(
        get("/m")
            .query("a", 1)
            .query("b", true)
            .header("Accept", "text/json"),
        Reply::status(200).body(r#"[{"id":1,  "price":1.50}, {"id":"b/\u00e9"}]"#),
    );
    let outcome = host.run_sync(plugin(), "M");
    outcome.assert_ok();
    assert_eq!(stored(&host), ["1", "b/é"]);
    let saved = &outcome.commits[0].batches[0].save;
    assert_eq!(
        saved[0].body, r#"{"id":1,  "price":1.50}"#,
        "stored as the text that came"
    );
    assert_eq!(
        outcome.requests[0].query[2],
        ("b".to_owned(), "x y".to_owned())
    );
    assert_eq!(
        outcome.requests[0].headers.len(),
        1,
        "the model's header replaces the default"
    );
}

#[test]
fn ids_of_several_values_can_not_be_confused() {
    let host = model(json!({ "id": ["/a", "/b"] })).respond(
        get("/m"),
        json!([{ "a": "x:y", "b": "z" }, { "a": "x", "b": "y:z" }, { "a": 1, "b": 2 }]),
    );
    host.run_sync(plugin(), "M").assert_ok();
    assert_eq!(stored(&host), ["1:2", "x%3Ay:z", "x:y%3Az"]);
}

#[test]
fn the_last_word_on_a_record_counts() {
    let host = model(json!({ "tombstone": { "field": "/gone" } }))
        .record("M", "c", json!({ "id": "c" }))
        .respond(
            get("/m"),
            json!([
                { "id": "a" }, { "id": "a", "gone": "2026-01-01" },
                { "id": "b", "gone": true }, { "id": "b", "gone": false },
                { "id": "c", "gone": 1 },
                { "id": "d", "gone": null }, { "id": "e", "gone": "" }, { "id": "f", "gone": 0 },
            ]),
        );
    host.run_sync(plugin(), "M").assert_ok();
    assert_eq!(stored(&host), ["b", "d", "e", "f"]);
}

#[test]
fn tombstones_with_a_value() {
    let host = model(json!({ "tombstone": { "field": "/state", "value": "trashed" } })).respond(
        get("/m"),
        json!([{ "id": 1, "state": "trashed" }, { "id": 2, "state": "open" }, { "id": 3 }]),
    );
    host.run_sync(plugin(), "M").assert_ok();
    assert_eq!(stored(&host), ["2", "3"]);
}

#[test]
fn a_page_beyond_the_limits_of_a_commit_is_stored_in_parts() {
    let host = model(json!({})).respond(get("/m"), records(1..=25_000));
    let outcome = host.run_sync(plugin(), "M");
    outcome.assert_ok();
    let sizes: Vec<_> = outcome
        .commits
        .iter()
        .map(|commit| commit.batches[0].save.len())
        .collect();
    assert_eq!(sizes, [10_000, 10_000, 5_000]);
    assert!(
        outcome.commits[0].checkpoint.is_none(),
        "only the last part has the checkpoint"
    );
}

#[test]
fn details_replace_or_are_left_out() {
    let detail = json!({ "path": "/org/{/org/id}/m/{id}", "record": "/data" });
    let host = model(json!({ "detail": detail }))
        .respond(
            get("/m"),
            json!([{ "id": "a b", "org": { "id": 7 } }, { "id": "c", "org": { "id": 8 } }]),
        )
        .respond(get("/org/7/m/a%20b"), json!({ "data": { "full": 1 } }))
        .respond(get("/org/8/m/c"), Reply::status(410));
    host.run_sync(plugin(), "M").assert_ok();
    assert_eq!(
        host.records("M"),
        [("a b".to_owned(), json!({ "full": 1 }))].into()
    );

    for (list, reply, says) in [
        (
            json!([{ "id": 1 }, { "id": 2 }]),
            json!({}),
            "has no text or number at /org/id",
        ),
        (
            json!([{ "id": 1, "org": { "id": 1 } }, { "id": 2, "org": { "id": 1 } }]),
            json!({}),
            "`models.M.detail.record`",
        ),
        // The segments would be taken away, and another record stored under their ids.
        (
            json!([{ "id": "..", "org": { "id": 1 } }, { "id": ".", "org": { "id": 1 } }]),
            json!({}),
            "`models.M.detail.path`: `/org/1/m/..` would be another path",
        ),
    ] {
        let detail = json!({ "path": "/org/{/org/id}/m/{id}", "record": "/data" });
        let host = model(json!({ "detail": detail }))
            .respond(get("/m"), list)
            .respond_always(get("/org/1/m/1"), reply.clone())
            .respond_always(get("/org/1/m/2"), reply);
        let outcome = host.run_sync(plugin(), "M");
        assert!(
            outcome.failure().message.contains(says),
            "{}",
            outcome.failure()
        );
        assert!(outcome.commits.is_empty());
    }
}
