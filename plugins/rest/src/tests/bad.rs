//! Records that can't be stored, and what becomes of the rest.

use tidegate_sdk::FailureKind;
use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Outcome, Reply, get};

use super::{host, model, pages, records, stored};
use crate::plugin;

fn warnings<T>(outcome: &Outcome<T>) -> Vec<&str> {
    let lines = outcome.logs.iter();
    let lines = lines.filter(|line| line.level == tidegate_sdk::log::Level::Warn);
    lines.map(|line| line.message.as_str()).collect()
}

/// The answer with these JSON texts as its records, as they are.
fn list(records: &[&str]) -> Reply {
    Reply::status(200).body(format!("[{}]", records.join(",")))
}

#[test]
fn one_bad_record_does_not_stop_the_rest() {
    let deep = format!(
        r#"{{"id":"x","deep":{}{}}}"#,
        "[".repeat(70),
        "]".repeat(70)
    );
    let large = format!(r#"{{"id":"x","large":"{}"}}"#, "x".repeat(1 << 20));
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(513));
    for (bad, says) in [
        (
            r#"{"name":"x"}"#,
            "record 1 of its page): it has no text or number that is its id at /id",
        ),
        (r#"{"id":""}"#, "it has no text or number that is its id"),
        (r#"{"id":null}"#, "it begins: {\"id\":null}"),
        (r#"{"id":true}"#, "it has no text"),
        (r#"{"id":{"a":1}}"#, "it has no text"),
        (r#"["id"]"#, "it has no text"),
        ("7", "it has no text"),
        ("null", "it begins: null"),
        (r#"{"id":"a\nb"}"#, "control character"),
        (r#"{"id":"x","n":1e400}"#, "out of range"),
        (long.as_str(), "the limit record_id_bytes is 512"),
        (large.as_str(), "the limit record_bytes is 1048576"),
        (deep.as_str(), "the limit json_depth, 64"),
    ] {
        let api = |config: Value| {
            model(config)
                .respond(get("/m").query("page", 1), records(1..=2))
                .respond(
                    get("/m").query("page", 2),
                    list(&[r#"{"id":3}"#, bad, r#"{"id":4}"#]),
                )
                .respond(get("/m").query("page", 3), json!([]))
        };
        let api = |on_bad: Option<&str>| match on_bad {
            Some(on_bad) => api(json!({ "pagination": pages(), "on_bad_record": on_bad })),
            None => api(json!({ "pagination": pages() })),
        };
        let skips = api(None);
        let outcome = skips.run_sync(plugin(), "M");
        outcome.assert_ok();
        assert_eq!(stored(&skips), ["1", "2", "3", "4"], "{bad:.80}");
        assert_eq!(outcome.totals("M").skipped, 1, "{bad:.80}");
        let told = warnings(&outcome);
        assert!(
            told.iter().any(|line| line.contains(says)),
            "{says}: {told:?}"
        );

        let fails = api(Some("fail"));
        let outcome = fails.run_sync(plugin(), "M");
        let code = outcome.failure().code.as_deref();
        assert!(
            matches!(code, Some("record-invalid" | "store-invalid")),
            "{code:?}"
        );
        assert_eq!(
            stored(&fails),
            ["1", "2"],
            "the page before stays, this one is not half stored"
        );
    }
}

#[test]
fn half_of_a_surrogate_pair_is_read_as_the_replacement_character() {
    let host = model(json!({ "tombstone": { "field": "/gone" } })).respond(
        get("/m"),
        list(&[
            r#"{"id":"a\ud83d"}"#,
            r#"{"id":"b","text":"cut \ud83d"}"#,
            r#"{"\udc00":1,"id":"c"}"#,
            r#"{"\udc00":1,"id":"d","gone":true}"#,
        ]),
    );
    let outcome = host.run_sync(plugin(), "M");
    assert_eq!(outcome.assert_ok().totals("M").skipped, 0);
    assert_eq!(stored(&host), ["a\u{fffd}", "b", "c"]);
    assert_eq!(host.records("M")["b"]["text"], "cut \u{fffd}");

    let merge = json!({ "detail": { "path": "/m/{id}", "mode": "merge" } });
    let host = model(merge)
        .respond(get("/m"), list(&[r#"{"id":1,"\ud83d":1}"#]))
        .respond(
            get("/m/1"),
            Reply::status(200).body(r#"{"\ud83d":2,"x":3}"#),
        );
    host.run_sync(plugin(), "M").assert_ok();
    assert_eq!(
        host.records("M")["1"],
        json!({ "id": 1, "x": 3, "\u{fffd}": 2 })
    );
}

#[test]
fn too_many_bad_records_fail() {
    for (count, fails) in [(10, false), (11, true)] {
        let mut all = vec![r#"{"id":1}"#];
        all.extend(std::iter::repeat_n(r#"{"id":null}"#, count));
        let host = model(json!({})).respond(get("/m"), list(&all));
        let outcome = host.run_sync(plugin(), "M");
        assert_eq!(outcome.result.is_err(), fails, "{count}");
        assert_eq!(
            stored(&host).is_empty(),
            fails,
            "nothing of that page is stored"
        );
        assert!(!fails || outcome.checkpoint().is_none());
    }
    // A model's own word counts more than that of the whole config.
    for (all, own, fails) in [("fail", "skip", false), ("skip", "fail", true)] {
        let models = json!({ "M": { "path": "/m", "on_bad_record": own } });
        let host = host(json!({ "on_bad_record": all, "models": models }))
            .respond(get("/m"), json!([{ "id": 1 }, {}]));
        assert_eq!(host.run_sync(plugin(), "M").result.is_err(), fails);
    }
}

#[test]
fn an_id_that_no_record_has_is_the_configs_fault() {
    let unnamed = json!([{ "key": 1 }, { "key": 2 }]);
    let host = model(json!({})).respond(get("/m"), unnamed.clone());
    let outcome = host.run_sync(plugin(), "M");
    let failure = outcome.failure();
    assert_eq!(failure.kind, FailureKind::Config, "{failure}");
    assert!(failure.message.contains("`models.M.id`"), "{failure}");

    // The page before had ids: it is these records that are bad.
    let host = model(json!({ "pagination": pages() }))
        .respond(get("/m").query("page", 1), records(1..=2))
        .respond(get("/m").query("page", 2), unnamed)
        .respond(get("/m").query("page", 3), json!([]));
    let outcome = host.run_sync(plugin(), "M");
    assert_eq!(outcome.assert_ok().totals("M").skipped, 2);
}

#[test]
fn bad_records_are_never_taken_for_deleted() {
    for bad in [r#"{"id":2,"n":1e400}"#, r#"{"id":null}"#] {
        let host = model(json!({ "full_pull_with_deletes": true }))
            .record("M", "1", json!({ "id": 1 }))
            .record("M", "2", json!({ "id": 2 }))
            .respond_always(get("/m"), list(&[r#"{"id":1}"#, bad]));
        host.run_sync(plugin(), "M").assert_ok();
        assert_eq!(stored(&host), ["1", "2"], "{bad}");
    }
}

/// A list of five whose third record has this detail.
fn five(detail: Value, third: Reply) -> tidegate_sdk::test::FakeHost {
    let mut host = model(json!({ "detail": detail })).respond(get("/m"), records(1..=5));
    for id in [1, 2, 4, 5] {
        host = host.respond_always(get(format!("/m/{id}")), json!({ "id": id, "full": true }));
    }
    host.respond_always(get("/m/3"), third)
}

#[test]
fn the_detail_of_one_record_may_be_missing() {
    let path = json!({ "path": "/m/{id}" });
    let others = ["1", "2", "4", "5"];
    for status in [400, 403, 409, 422, 500, 503, 204] {
        let host = five(path.clone(), Reply::status(status)).record(
            "M",
            "3",
            json!({ "id": 3, "old": true }),
        );
        let outcome = host.run_sync(plugin(), "M");
        assert_eq!(outcome.assert_ok().totals("M").skipped, 1, "{status}");
        assert_eq!(host.records("M")["3"]["old"], true, "what is stored stays");
        assert_eq!(stored(&host).len(), 5);
    }
    for status in [401, 429] {
        let host = five(path.clone(), Reply::status(status));
        let outcome = host.run_sync(plugin(), "M");
        let code = format!("http-{status}");
        assert_eq!(
            outcome.failure().code,
            Some(code),
            "it is about all of them"
        );
        assert!(outcome.commits.is_empty());
    }
    // Which statuses say that there is no detail, and what then.
    let own = |on_skip| json!({ "path": "/m/{id}", "skip_statuses": [403], "on_skip": on_skip });
    for (detail, status, kept) in [
        (path, 404, false),
        (own("leave_out"), 403, false),
        (own("keep"), 403, true),
    ] {
        let host = five(detail, Reply::status(status));
        let outcome = host.run_sync(plugin(), "M");
        assert_eq!(outcome.assert_ok().totals("M").skipped, 0);
        let mut expected: Vec<&str> = others.to_vec();
        if kept {
            expected.insert(2, "3");
            assert_eq!(host.records("M")["3"], json!({ "id": 3 }));
        }
        assert_eq!(stored(&host), expected);
    }
}

#[test]
fn details_that_are_all_missing_are_no_bad_records() {
    for (status, kind) in [(403, FailureKind::Auth), (500, FailureKind::Transient)] {
        let host = model(json!({ "detail": { "path": "/m/{id}" } }))
            .respond(get("/m"), records(1..=3))
            .respond_always(get("/m/1"), Reply::status(status))
            .respond_always(get("/m/2"), Reply::status(status))
            .respond_always(get("/m/3"), Reply::status(status));
        let outcome = host.run_sync(plugin(), "M");
        assert_eq!(outcome.failure().kind, kind);
        assert!(stored(&host).is_empty());
    }
    // Of the only record no more is known than what its status says: an outage passes.
    for (status, fails) in [(403, false), (502, true)] {
        let host = model(json!({ "detail": { "path": "/m/{id}" } }))
            .respond(get("/m"), records(1..=1))
            .respond_always(get("/m/1"), Reply::status(status));
        assert_eq!(
            host.run_sync(plugin(), "M").result.is_err(),
            fails,
            "{status}"
        );
    }
}

#[test]
fn times_that_some_records_lack_or_can_not_be_read() {
    for time in [
        "null",
        r#""""#,
        r#""0000-00-00 00:00:00""#,
        r#""soon""#,
        "{}",
    ] {
        let host = model(json!({ "incremental": { "parameter": "since", "field": "/at" } }))
            .respond(
                get("/m"),
                list(&[
                    &format!(r#"{{"id":1,"at":{time}}}"#),
                    r#"{"id":2,"at":"2025-12-31 12:00:00 UTC"}"#,
                    r#"{"id":3}"#,
                ]),
            )
            .respond(get("/m").query("since", "2025-12-31T11:59:59Z"), json!([]));
        let outcome = host.run_sync(plugin(), "M");
        outcome.assert_ok();
        assert_eq!(stored(&host), ["1", "2", "3"], "{time}");
        let is_told = warnings(&outcome)
            .iter()
            .any(|line| line.contains("could not be read"));
        assert_eq!(is_told, matches!(time, r#""soon""# | "{}"), "{time}");
        host.run_sync(plugin(), "M").assert_ok();
    }
}

#[test]
fn local_times_and_their_zone() {
    let host = |zone: Value| {
        let mut incremental =
            json!({ "parameter": "since", "field": "/at", "parameter_format": "local" });
        if zone.is_null() {
            incremental = json!({ "parameter": "since", "field": "/at" });
        } else {
            incremental["zone"] = zone;
        }
        model(json!({ "incremental": incremental }))
            .respond_always(get("/m"), json!([{ "id": 1, "at": "2025-12-31 12:00:00" }]))
    };
    for (zone, since, is_told) in [
        (json!("Europe/Berlin"), "2025-12-31T11:59:59", false),
        (json!("-05:00"), "2025-12-31T11:59:59", false),
        (json!(null), "2025-12-31T11:59:59Z", true),
    ] {
        let host = host(zone);
        let outcome = host.run_sync(plugin(), "M");
        let told = warnings(outcome.assert_ok());
        let named = told
            .iter()
            .any(|line| line.contains("`models.M.incremental.zone`"));
        assert_eq!(named, is_told, "{told:?}");
        let outcome = host.run_sync(plugin(), "M");
        assert_eq!(outcome.requests[0].query("since"), Some(since));
    }
}

#[test]
fn what_the_config_points_at_and_nothing_has() {
    let keys = json!({
        "id": ["/id", "/part"],
        "tombstone": { "field": "/gone" },
        "incremental": { "parameter": "since", "field": ["/updated_at", "/at"] },
    });
    let host = model(keys)
        .respond(
            get("/m"),
            json!([{ "id": 1, "part": 2, "at": "2025-12-31T12:00:00Z" }]),
        )
        .respond(
            get("/m"),
            json!([{ "id": 1, "part": 2, "at": "2025-12-31T12:00:00Z" }]),
        )
        .respond(get("/m"), json!([]));
    let outcome = host.run_sync(plugin(), "M");
    let told = warnings(outcome.assert_ok());
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains(
            "`models.M.incremental.field`: none of 1 records has anything at `/updated_at`"
        ),
        "{told:?}"
    );
    assert!(told[1].contains("`models.M.tombstone.field`"), "{told:?}");
    // Deleted records may be the only ones that say so, and changes often have none.
    let outcome = host.run_sync(plugin(), "M");
    assert_eq!(warnings(outcome.assert_ok()).len(), 1);
    // Nothing was there to have anything; only what changed last is missed.
    let outcome = host.run_sync(plugin(), "M");
    let told = warnings(outcome.assert_ok());
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("did not come again"), "{told:?}");
}
