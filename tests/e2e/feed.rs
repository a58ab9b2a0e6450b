//! The change feed: by cursor, filter and limit, followed, and into a pipe that closes.

use std::path::Path;

use serde_json::Value;

use crate::support::cli::{Cmd, OK, Tidegate};
use crate::support::crm::{MODEL, Source, changing, contact, contacts, reply, synced_twice};
use crate::support::server::Server;
use crate::support::{PATIENCE, wait_until};

fn ids(records: &[Value]) -> Vec<&str> {
    records
        .iter()
        .map(|record| record["id"].as_str().unwrap())
        .collect()
}

#[test]
fn records_by_cursor_filter_and_limit() {
    let server = changing();
    let tidegate = synced_twice(&server);
    let all = tidegate.feed(MODEL, "acme", None);
    // Oldest change first, each record once, in its latest state.
    assert_eq!(ids(&all)[0], "c2");
    let mut sorted = ids(&all);
    sorted.sort_unstable();
    assert_eq!(sorted, ["c1", "c2", "c3", "c4"]);
    let record = |id: &str| all.iter().find(|record| record["id"] == id).unwrap();
    assert_eq!(record("c1")["action"], "updated");
    assert_eq!(record("c1")["body"], contact(1, 2));
    assert_eq!(record("c2")["action"], "added");
    assert_eq!(record("c3")["action"], "deleted");
    assert!(record("c3")["deleted_at"].is_string() && record("c2")["deleted_at"].is_null());
    assert!(record("c1")["first_seen_at"].as_str() < record("c1")["last_modified_at"].as_str());

    let read = |words: &str| {
        tidegate
            .cmd("records crm Contact --connection acme --json")
            .words(words)
            .ok()
            .lines()
    };
    for (filter, want) in [
        ("added", 2),
        ("updated", 1),
        ("deleted", 1),
        ("added,deleted", 3),
    ] {
        let found = read(&format!("--filter {filter}"));
        assert_eq!(found.len(), want, "{filter}");
        assert!(
            found
                .iter()
                .all(|r| filter.contains(r["action"].as_str().unwrap())),
            "{found:#?}"
        );
    }
    // Page by page, with the cursor of each record as the place to go on from.
    let mut paged: Vec<Value> = Vec::new();
    let mut words = "--limit 1".to_owned();
    loop {
        let page = read(&words);
        let Some(last) = page.last() else { break };
        words = format!("--limit 1 --cursor {}", last["cursor"].as_str().unwrap());
        paged.extend(page);
    }
    assert_eq!(paged, all);
    // For people, the place to go on from is said beside the records.
    let shown = tidegate
        .cmd("records crm Contact --connection acme --limit 2")
        .ok();
    assert_eq!(shown.stdout.lines().count(), 2);
    assert!(
        shown.stderr.contains(all[1]["cursor"].as_str().unwrap()),
        "{}",
        shown.stderr
    );
}

#[test]
fn follow_prints_what_comes() {
    let server = changing();
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    let following = tidegate
        .cmd("records crm Contact --connection acme --follow --json")
        .start();
    following.wait_for_lines(3);
    // Between its looks the directory is free: a run gets through, sooner or later.
    let run = wait_until("the directory to be free", PATIENCE, || {
        let finished = tidegate.sync("crm/contacts", "acme");
        (finished.code == Some(OK)).then_some(finished)
    });
    assert_eq!(run.json()["outcome"], "success");
    following.wait_for_lines(6);
    following.signal(rustix::process::Signal::INT);
    let finished = following.finish();
    finished.expect_code(OK);
    let lines = finished.lines();
    assert_eq!(ids(&lines[..3]), ["c1", "c2", "c3"]);
    let mut later = ids(&lines[3..]);
    later.sort_unstable();
    assert_eq!(later, ["c1", "c3", "c4"]);
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let server = Server::start(|_| reply(&contacts(0..2000, 1), None));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    let binary = Path::new(env!("CARGO_BIN_EXE_tidegate")).display();
    let script =
        format!("'{binary}' records crm Contact -c acme --limit 100000 --json | head -n 1");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]);
    let data = tidegate.data();
    let finished = Cmd::new(shell).env("TIDEGATE_DATA", data).ok();
    assert_eq!(finished.lines().len(), 1);
    assert_eq!(finished.stderr, "");
}
