//! The plugin against a small GitHub of our own.

mod server;

use tidegate_sdk::FailureKind;
use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{FakeHost, Reply, get};

use self::server::{GitHub, second};
use crate::plugin;

fn host() -> FakeHost {
    FakeHost::new()
        .base_url("https://api.github.com")
        .config(json!({ "owner": "ocean", "repo": "tide" }))
}

/// Issues 1, 2, …, one updated each second.
fn github_with(issues: u64) -> GitHub {
    let github = GitHub::default();
    for id in 1..=issues {
        github.put(id, i64::try_from(id).unwrap(), "first");
    }
    github
}

#[test]
fn the_first_run_reads_all_issues_and_no_pull_requests() {
    let github = github_with(250);
    github.put_pull_request(1000, 50);
    let host = host().on(github.handler());
    let outcome = host.run_sync(plugin(), "issues");
    outcome.assert_ok();
    assert_eq!(outcome.records("Issue"), github.issues());
    assert_eq!(outcome.requests.len(), 3);
}

#[test]
fn later_runs_read_changes() {
    let github = github_with(150);
    let host = host().on(github.handler());
    host.run_sync(plugin(), "issues").assert_ok();
    github.statuses();

    let quiet = host.run_sync(plugin(), "issues");
    quiet.assert_ok();
    assert_eq!(github.statuses(), [304], "nothing has changed");
    assert!(quiet.commits.is_empty());

    github.put(3, 1_000, "changed");
    github.put(151, 1_000, "new");
    let outcome = host.run_sync(plugin(), "issues");
    let totals = outcome.totals("Issue");
    assert_eq!((totals.added, totals.updated, totals.deleted), (1, 1, 0));
    assert_eq!(outcome.records("Issue"), github.issues());
    assert_eq!(github.statuses(), [200]);
    host.run_sync(plugin(), "issues").assert_ok();
    assert_eq!(github.statuses(), [304], "nothing has changed since");
}

#[test]
fn changes_of_the_same_second_are_not_lost() {
    let github = github_with(10);
    let host = host().on(github.handler());
    host.run_sync(plugin(), "issues").assert_ok();
    // In the second of the last change that was seen.
    github.put(2, 10, "changed");
    host.run_sync(plugin(), "issues").assert_ok();
    assert_eq!(host.records("Issue"), github.issues());
}

#[test]
fn a_bulk_edit_of_more_than_a_page_is_read_through_link() {
    let github = github_with(50);
    for id in 51..=400 {
        github.put(id, 60, "edited with many others");
    }
    let host = host().on(github.handler()).kill_after_commits(3);
    host.run_sync(plugin(), "issues");
    let outcome = host.run_sync(plugin(), "issues");
    outcome.assert_ok();
    assert_eq!(outcome.records("Issue"), github.issues());
    github.statuses();
    host.run_sync(plugin(), "issues").assert_ok();
    assert_eq!(host.records("Issue"), github.issues());
}

#[test]
fn what_changes_while_it_is_read_is_not_lost() {
    let github = github_with(300);
    let host = host().on(github.handler());
    // Before each page but the first, issues of the first page move to the end, and all the
    // others up: by number, the second page would begin behind issue 101.
    let changing = github.clone();
    let mut page = 0;
    github.before_each_answer(move || {
        page += 1;
        if page > 1 {
            for n in 1..4 {
                changing.put(page * 4 + n, i64::try_from(1_000 + page).unwrap(), "moved");
            }
        }
    });
    host.run_sync(plugin(), "issues").assert_ok();
    assert_eq!(host.records("Issue"), github.issues());
}

#[test]
fn a_killed_run_goes_on_at_the_page_in_flight() {
    let github = github_with(500);
    let host = host().on(github.handler()).kill_after_commits(2);
    let killed = host.run_sync(plugin(), "issues");
    assert_eq!(killed.failure().code.as_deref(), Some("killed"));
    github.put(1, 1_000, "changed between the runs");
    let outcome = host.run_sync(plugin(), "issues");
    outcome.assert_ok();
    assert_eq!(
        outcome.requests[0].query("since"),
        Some(second(198).to_string().as_str())
    );
    assert_eq!(outcome.records("Issue"), github.issues());
}

#[test]
fn a_reset_finds_deleted_issues_also_when_it_is_interrupted() {
    let github = github_with(250);
    let host = host().on(github.handler());
    host.run_sync(plugin(), "issues").assert_ok();
    github.remove(7);
    github.remove(240);
    host.run_sync(plugin(), "issues").assert_ok();
    assert!(
        host.records("Issue").contains_key("7"),
        "GitHub does not tell"
    );

    // What `--reset` does: the records stay, the checkpoint goes.
    let stored = host.records("Issue").into_iter();
    let host = stored.fold(self::host(), |host, (id, body)| {
        host.record("Issue", id, body)
    });
    let host = host.on(github.handler()).kill_after_commits(3);
    assert!(
        host.run_sync(plugin(), "issues").result.is_err(),
        "killed before the snapshot ends"
    );
    host.run_sync(plugin(), "issues").assert_ok();
    assert_eq!(host.records("Issue"), github.issues());
}

#[test]
fn what_is_wrong_is_said() {
    let limited = json!({ "message": "API rate limit exceeded for user ID 1." });
    for (reply, kind) in [
        (Reply::status(401).body("{}"), FailureKind::Auth),
        (Reply::status(403).body("{}"), FailureKind::Auth),
        (
            Reply::status(403).body(limited.to_string()),
            FailureKind::Transient,
        ),
        (Reply::status(404).body("{}"), FailureKind::Rejected),
        (
            Reply::json(json!({ "message": "Moved" })),
            FailureKind::Other,
        ),
        (Reply::json(json!([{ "id": 1 }])), FailureKind::Other),
    ] {
        let host = host().respond(get("/repos/ocean/tide/issues"), reply);
        let outcome = host.run_sync(plugin(), "issues");
        assert_eq!(outcome.failure().kind, kind, "{}", outcome.failure());
        assert!(outcome.commits.is_empty());
    }
}

#[test]
fn the_check_asks_for_the_repository() {
    let host = host().respond(get("/repos/ocean/tide"), json!({ "id": 1 }));
    host.run_check(plugin()).assert_ok();
    host.assert_all_used();
}
