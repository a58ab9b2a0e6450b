//! The plugin against a small Kinto of our own, which answers as Kinto 26 does.

mod actions;
mod server;

use tidegate_sdk::FailureKind;
use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{FakeHost, Reply, get};

use self::server::Kinto;
use crate::plugin;

const RECORDS: &str = "/buckets/crm/collections/contacts/records";

fn host() -> FakeHost {
    FakeHost::new()
        .base_url("http://127.0.0.1:8888/v1")
        .config(json!({ "bucket": "crm", "collection": "contacts" }))
}

fn kinto_with(records: u64) -> Kinto {
    let kinto = Kinto::default();
    for n in 0..records {
        kinto.put(&format!("r{n:04}"), json!({ "n": n }));
    }
    kinto
}

#[test]
fn the_first_run_reads_all_pages() {
    let kinto = kinto_with(250);
    let host = host().on(kinto.handler());
    let outcome = host.run_sync(plugin(), "records");
    outcome.assert_ok();
    assert_eq!(outcome.records("Record"), kinto.records());
    assert_eq!(outcome.requests.len(), 3);
    assert_eq!(outcome.totals("Record").added, 250);
    assert_eq!(
        outcome.checkpoint(),
        Some(&json!({ "since": kinto.timestamp() }))
    );
}

#[test]
fn later_runs_read_changes_and_tombstones() {
    let kinto = kinto_with(20);
    let host = host().on(kinto.handler());
    host.run_sync(plugin(), "records").assert_ok();

    kinto.put("r0003", json!({ "n": "three" }));
    kinto.put("new", json!({ "deleted": "a field of its own" }));
    kinto.delete("r0007");
    let outcome = host.run_sync(plugin(), "records");
    let totals = outcome.totals("Record");
    assert_eq!(
        (
            totals.added,
            totals.updated,
            totals.deleted,
            totals.unchanged
        ),
        (1, 1, 1, 0)
    );
    assert_eq!(outcome.records("Record"), kinto.records());

    let outcome = host.run_sync(plugin(), "records");
    outcome.assert_ok();
    assert_eq!(kinto.statuses(), [200, 200, 304], "nothing has changed");
    assert!(outcome.commits.is_empty());
}

#[test]
fn a_killed_run_goes_on_at_the_page_in_flight() {
    let kinto = kinto_with(500);
    let host = host().on(kinto.handler()).kill_after_commits(2);
    let killed = host.run_sync(plugin(), "records");
    assert_eq!(killed.failure().code.as_deref(), Some("killed"));
    // Between the runs: of a page that is stored, of one that is not, and a deletion of each.
    kinto.put("r0001", json!({ "n": "changed" }));
    kinto.put("r0301", json!({ "n": "changed" }));
    kinto.delete("r0002");
    kinto.delete("r0302");

    let outcome = host.run_sync(plugin(), "records");
    outcome.assert_ok();
    assert_eq!(outcome.records("Record"), kinto.records());
    assert_eq!(
        outcome.totals("Record").unchanged,
        1,
        "nothing was fetched again; one tombstone is of what was not stored"
    );
    assert_eq!(
        outcome.requests.len(),
        4,
        "300 records, two of them later, and two tombstones"
    );
}

#[test]
fn what_changes_while_it_is_read_is_not_lost() {
    let kinto = kinto_with(300);
    let host = host().on(kinto.handler());
    // Before each page but the first: a record of the first page changes, another goes.
    let changing = kinto.clone();
    let mut page = 0;
    kinto.before_each_answer(move || {
        page += 1;
        if page > 1 {
            changing.put(&format!("r{page:04}"), json!({ "page": page }));
            changing.delete(&format!("r{:04}", 10 + page));
        }
    });
    host.run_sync(plugin(), "records").assert_ok();
    kinto.before_each_answer(|| ());
    host.run_sync(plugin(), "records").assert_ok();
    assert_eq!(host.records("Record"), kinto.records());
}

#[test]
fn what_is_wrong_is_said() {
    let page = |data: Value| Reply::json(json!({ "data": data })).header("Next-Page", "http://h/");
    for (reply, kind, code) in [
        (Reply::status(401).body("{}"), FailureKind::Auth, "http-401"),
        (
            Reply::status(404).body("{}"),
            FailureKind::Rejected,
            "http-404",
        ),
        (Reply::status(503), FailureKind::Transient, "http-503"),
        (
            Reply::status(200).body("<html>"),
            FailureKind::Transient,
            "response-not-json",
        ),
        (
            Reply::json(json!({})),
            FailureKind::Other,
            "response-invalid",
        ),
        (page(json!([])), FailureKind::Other, "pagination-loop"),
        (
            page(json!([{ "id": "a", "last_modified": 0 }])),
            FailureKind::Other,
            "pagination-loop",
        ),
    ] {
        let host = host().respond(get(RECORDS), reply);
        let outcome = host.run_sync(plugin(), "records");
        let failure = outcome.failure();
        assert_eq!(
            (failure.kind, failure.code.as_deref()),
            (kind, Some(code)),
            "{failure}"
        );
        assert!(
            outcome
                .checkpoint()
                .is_none_or(|checkpoint| *checkpoint == json!({ "since": 0 }))
        );
    }
    let host = host().respond(get(RECORDS), json!({ "data": [{ "last_modified": 1 }] }));
    let outcome = host.run_sync(plugin(), "records");
    assert!(
        outcome.failure().message.contains("missing field `id`"),
        "{}",
        outcome.failure()
    );
}

#[test]
fn the_config_is_used_and_checked() {
    let config = json!({ "bucket": "a/b", "collection": "c d", "page_size": 5 });
    let host = FakeHost::new()
        .base_url("http://127.0.0.1:8888/v1")
        .config(config)
        .respond(
            get("/buckets/a%2Fb/collections/c%20d/records")
                .query("_limit", 5)
                .query("_since", "\"0\"")
                .query("_sort", "last_modified"),
            json!({ "data": [] }),
        );
    host.run_sync(plugin(), "records").assert_ok();
    host.assert_all_used();

    let host = FakeHost::new().config(json!({ "bucket": "b", "collection": "c", "page_siz": 5 }));
    let outcome = host.run_sync(plugin(), "records");
    assert_eq!(outcome.failure().kind, FailureKind::Config);
    assert!(
        outcome.failure().message.contains("page_siz"),
        "{}",
        outcome.failure()
    );
}

#[test]
fn the_check_asks_for_the_collection() {
    let host = host().respond(
        get("/buckets/crm/collections/contacts"),
        json!({ "data": {} }),
    );
    host.run_check(plugin()).assert_ok();
    let refused = host.respond(get("/buckets/crm/collections/contacts"), Reply::status(403));
    assert_eq!(
        refused.run_check(plugin()).failure().kind,
        FailureKind::Auth
    );
}
