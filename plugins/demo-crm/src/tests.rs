//! The plugin against a CRM of canned pages.

use serde_json::json;
use tidegate_sdk::FailureKind;
use tidegate_sdk::prelude::Value;
use tidegate_sdk::test::{FakeHost, Outcome, Reply, get};

use crate::plugin;

fn crm() -> FakeHost {
    FakeHost::new().base_url("https://crm.example/api")
}

fn contact(id: &str, name: &str) -> Value {
    json!({ "id": id, "name": name, "email": null, "updated_at": "2026-01-01T00:00:00Z" })
}

fn gone(id: &str) -> Value {
    json!({ "id": id, "deleted": true, "updated_at": "2026-01-02T00:00:00Z" })
}

fn page(items: &[Value], next: Option<&str>, as_of: &str) -> Value {
    json!({ "items": items, "next_cursor": next, "as_of": as_of })
}

/// Two pages, of two contacts and one.
fn two_pages(host: FakeHost) -> FakeHost {
    let first = [contact("c_1", "Ada"), contact("c_2", "Grace")];
    host.respond(
        get("/contacts").query("limit", 100).without_query("cursor"),
        page(&first, Some("c2"), "T1"),
    )
    .respond(
        get("/contacts").query("cursor", "c2"),
        page(&[contact("c_3", "Edsger")], None, "T2"),
    )
}

fn ids(outcome: &Outcome<()>) -> Vec<String> {
    outcome.records("Contact").into_keys().collect()
}

#[test]
fn the_first_run_reads_everything() {
    let host = two_pages(crm());
    let outcome = host.run_sync(plugin(), "contacts");
    outcome.assert_ok();
    assert_eq!(ids(&outcome), ["c_1", "c_2", "c_3"]);
    assert_eq!(outcome.records("Contact")["c_2"], contact("c_2", "Grace"));

    let checkpoints: Vec<_> = outcome
        .commits
        .iter()
        .map(|c| c.checkpoint.clone())
        .collect();
    let position = json!({ "cursor": "c2" });
    assert_eq!(
        checkpoints,
        [
            Some(json!({ "position": position, "as_of": "T1" })),
            Some(json!({ "since": "T1" }))
        ],
        "the next run starts from the clock of the first page"
    );
    host.assert_all_used();
}

#[test]
fn later_runs_read_changes_and_deletions() {
    let host = two_pages(crm());
    host.run_sync(plugin(), "contacts").assert_ok();

    let changes = [
        contact("c_2", "Grace Hopper"),
        gone("c_1"),
        gone("c_9"),
        contact("c_3", "Edsger"),
    ];
    let host = host.respond(
        get("/contacts")
            .query("updated_since", "T1")
            .without_query("cursor"),
        page(&changes, None, "T3"),
    );
    let outcome = host.run_sync(plugin(), "contacts");
    outcome.assert_ok();
    let totals = outcome.totals("Contact");
    assert_eq!(
        (
            totals.added,
            totals.updated,
            totals.deleted,
            totals.unchanged
        ),
        (0, 1, 1, 2),
        "c_9 was not stored"
    );
    assert_eq!(ids(&outcome), ["c_2", "c_3"]);
    assert_eq!(outcome.checkpoint(), Some(&json!({ "since": "T3" })));
    host.assert_all_used();
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let host = two_pages(crm().checkpoint("contacts", json!({ "since": "T0" })));
    let killed = host
        .clone()
        .kill_after_commits(1)
        .run_sync(plugin(), "contacts");
    assert_eq!(killed.failure().code.as_deref(), Some("killed"));
    assert_eq!(ids(&killed), ["c_1", "c_2"]);

    let outcome = host.run_sync(plugin(), "contacts");
    outcome.assert_ok();
    let [request] = outcome.requests.as_slice() else {
        panic!("one request is enough: {:?}", outcome.requests);
    };
    assert_eq!(request.query("cursor"), Some("c2"));
    assert_eq!(request.query("updated_since"), Some("T0"));
    assert_eq!(ids(&outcome), ["c_1", "c_2", "c_3"]);
    assert_eq!(outcome.checkpoint(), Some(&json!({ "since": "T1" })));
}

#[test]
fn a_cursor_that_comes_again_is_a_failure() {
    let host = crm()
        .respond(
            get("/contacts").without_query("cursor"),
            page(&[contact("c_1", "Ada")], Some("c2"), "T1"),
        )
        .respond(
            get("/contacts").query("cursor", "c2"),
            page(&[contact("c_2", "Grace")], Some("c2"), "T1"),
        );
    let outcome = host.run_sync(plugin(), "contacts");
    let failure = outcome.failure();
    assert_eq!(failure.code.as_deref(), Some("pagination-loop"));
    assert!(
        failure.message.contains("the cursor `c2` comes again"),
        "{failure}"
    );
    assert_eq!(ids(&outcome), ["c_1"]);
}

#[test]
fn answers_that_are_failures() {
    for (reply, kind, retry_after_ms) in [
        (
            Reply::status(429).header("retry-after", "7"),
            FailureKind::Transient,
            Some(7_000),
        ),
        (Reply::status(503), FailureKind::Transient, None),
        (Reply::timeout(), FailureKind::Transient, None),
        (Reply::status(401), FailureKind::Auth, None),
        (
            Reply::status(200).body("<html>"),
            FailureKind::Transient,
            None,
        ),
        (
            Reply::json(json!({ "contacts": [] })),
            FailureKind::Other,
            None,
        ),
    ] {
        let host = crm().respond(get("/contacts"), reply);
        let outcome = host.run_sync(plugin(), "contacts");
        let failure = outcome.failure();
        assert_eq!(
            (failure.kind, failure.retry_after_ms),
            (kind, retry_after_ms),
            "{failure}"
        );
        assert!(outcome.commits.is_empty());
    }
}

#[test]
fn a_few_contacts_without_an_id_do_not_stop_the_others() {
    let unnamed = json!({ "name": "no id" });
    // Ten may be skipped; one more is no accident, and nothing of its page is stored.
    for (bad, stored) in [(1, true), (10, true), (11, false)] {
        let mut items = vec![contact("c_1", "Ada")];
        items.resize(1 + bad, unnamed.clone());
        items.push(contact("c_2", "Grace"));
        let host = crm().respond(get("/contacts"), page(&items, None, "T1"));
        let outcome = host.run_sync(plugin(), "contacts");
        if stored {
            let totals = outcome.assert_ok().totals("Contact");
            assert_eq!((totals.added, totals.skipped as usize), (2, bad));
            assert_eq!(ids(&outcome), ["c_1", "c_2"]);
            let told = outcome.logs.iter().map(|line| line.message.as_str());
            let told = told.filter(|line| line.contains("no id"));
            assert_eq!(told.count(), bad);
        } else {
            let failure = outcome.failure();
            assert_eq!(failure.code.as_deref(), Some("record-invalid"));
            assert_eq!(failure.kind, FailureKind::Other, "{failure}");
            assert!(outcome.commits.is_empty());
        }
    }
}

#[test]
fn companies_and_the_page_size_of_the_config() {
    let company = json!({ "id": "o_1", "name": "Acme", "updated_at": "2026-01-01T00:00:00Z" });
    let host = crm().config(json!({ "page_size": 2 })).respond(
        get("/companies").query("limit", 2),
        page(&[company], None, "T1"),
    );
    let outcome = host.run_sync(plugin(), "companies");
    outcome.assert_ok();
    assert_eq!(outcome.records("Company")["o_1"]["name"], "Acme");
}

#[test]
fn a_page_size_that_is_no_number() {
    let outcome = crm()
        .config(json!({ "page_size": "many" }))
        .run_sync(plugin(), "contacts");
    let failure = outcome.failure();
    assert_eq!(failure.kind, FailureKind::Config);
    assert!(failure.message.contains("`page_size`"), "{failure}");
}

#[test]
fn the_check_tells_whether_the_connection_works() {
    let works = crm().respond(get("/contacts").query("limit", 1), page(&[], None, "T1"));
    works.run_check(plugin()).assert_ok();
    let refused = crm().respond_status(get("/contacts"), 403, json!({ "error": "no such token" }));
    assert_eq!(
        refused.run_check(plugin()).failure().kind,
        FailureKind::Auth
    );
}
