//! Plugins that misbehave: each run fails with its reason, and the next one works.

use serde_json::{Value, json};

use crate::support::cli::{RUN_FAILED, Tidegate};
use crate::support::plugins;
use crate::support::server::{Reply, Server};

/// A sync of `tests/plugins/hostile`, and what must come of it.
#[derive(Default)]
struct Row {
    sync: &'static str,
    /// Given at the deploy, so that a test doesn't take as long as the default allows.
    limits: &'static str,
    outcome: &'static str,
    class: &'static str,
    blame: &'static str,
    /// The limit that stopped it.
    limit: Option<&'static str>,
    /// What the failure's message says.
    says: &'static [&'static str],
    /// What some line of the log says.
    logs: &'static [&'static str],
}

macro_rules! rows {
    ($($name:ident: { $($field:ident: $value:expr),* $(,)? })*) => {
        $(#[test] fn $name() {
            check(&Row { $($field: $value,)* ..Row::default() });
        })*
    };
}

rows! {
    panics: {
        sync: "panic", class: "trap", says: &["panicked or aborted", "log"],
        logs: &["the hostile plugin panics on purpose"],
    }
    exits: { sync: "exit", class: "trap", says: &["exit"] }
    returns_an_error: {
        sync: "error", class: "other", says: &["the hostile plugin gives up"], logs: &["about to give up"],
    }
    loops_forever: {
        sync: "loop", limits: "--limit cpu_ms=1000", class: "limit", limit: Some("cpu_ms"), says: &["cpu_ms, 1000 ms"],
    }
    loops_after_a_checkpoint: {
        // It got somewhere, so it may go on from there.
        sync: "loop-after-checkpoint", limits: "--limit cpu_ms=1000", outcome: "interrupted", class: "limit",
        limit: Some("cpu_ms"), says: &["cpu_ms"],
    }
    sleeps_forever: {
        sync: "sleep", limits: "--limit wall_ms=2000", class: "limit", limit: Some("wall_ms"), says: &["wall_ms, 2000 ms"],
    }
    allocates_without_end: {
        sync: "allocate", class: "limit", limit: Some("memory_bytes"), says: &["memory_bytes"],
        logs: &["memory allocation of"],
    }
    recurses_without_end: {
        sync: "recurse", class: "limit", limit: Some("stack_bytes"), says: &["call stack", "recursion"],
    }
    recurses_with_large_frames: {
        // Rust keeps what doesn't fit into registers on a stack in linear memory.
        sync: "recurse-in-memory", class: "trap", says: &["out of bounds", "recursion"],
    }
    commits_too_many_records: {
        sync: "many-records", class: "limit", limit: Some("records_per_commit"), says: &["10001", "records_per_commit"],
    }
    commits_a_large_record: {
        sync: "large-record", class: "limit", limit: Some("record_bytes"), says: &["record_bytes is 1048576"],
    }
    commits_too_many_bytes: {
        sync: "large-commit", class: "limit", limit: Some("commit_bytes"), says: &["commit_bytes is 16777216"],
    }
    calls_with_too_many_bytes: {
        sync: "large-call", class: "limit", limit: Some("host_call_bytes"), says: &["host_call_bytes"],
    }
    has_a_large_checkpoint: {
        sync: "large-checkpoint", class: "limit", limit: Some("checkpoint_bytes"), says: &["checkpoint_bytes is 65536"],
    }
    stores_what_is_no_object: { sync: "no-object", class: "other", says: &["list", "not a JSON object"] }
    writes_a_model_of_others: {
        sync: "undeclared-model", class: "config", blame: "operator", says: &["\"Other\"", "Thing"],
    }
    sends_too_many_requests: {
        sync: "many-requests", limits: "--limit http_requests=5", class: "limit", limit: Some("http_requests"),
        says: &["http_requests = 5"],
    }
    sends_a_large_request: {
        sync: "large-request", class: "limit", limit: Some("http_request_bytes"), says: &["http_request_bytes"],
    }
}

/// Deployed and connected, with one good run behind it.
fn set_up(server: &Server, limits: &str) -> Tidegate {
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::hostile(), "hostile", &server.origin());
    if !limits.is_empty() {
        tidegate
            .cmd(&format!("deploy --as hostile --yes {limits}"))
            .arg(plugins::hostile())
            .ok();
    }
    tidegate.connect("hostile", "acme", &server.origin());
    tidegate.sync_ok("hostile/well", "acme");
    tidegate
}

fn check(row: &Row) {
    let server = Server::start(|_| Reply::json(&json!({})));
    let tidegate = set_up(&server, row.limits);

    let finished = tidegate.sync(&format!("hostile/{}", row.sync), "acme");
    finished.expect_refusal(RUN_FAILED, row.says);
    let run = finished.json();
    let failure = &run["failure"];
    let or =
        |text: &'static str, default: &'static str| if text.is_empty() { default } else { text };
    assert_eq!(run["outcome"], or(row.outcome, "failed"), "{run}");
    assert_eq!(failure["class"], row.class, "{run}");
    assert_eq!(failure["blame"], or(row.blame, "guest"), "{run}");
    assert_eq!(failure["limit"], json!(row.limit), "{run}");
    let message = failure["message"].as_str().unwrap();
    for part in row.says {
        assert!(message.contains(part), "wanted {part:?} in {message}");
    }

    // `runs` and `logs` tell the same.
    assert_eq!(tidegate.runs().last(), Some(&run));
    let logs = tidegate.logs(&run);
    for part in row.logs {
        let says = |line: &Value| line["message"].as_str().unwrap().contains(part);
        assert!(logs.iter().any(says), "wanted {part:?} in {logs:#?}");
    }
    let id = run["run"].as_str().unwrap();
    let shown = tidegate.cmd(&format!("runs {id}")).ok().stdout;
    assert!(shown.contains(message.lines().next().unwrap()), "{shown}");

    still_well(&tidegate);
}

/// The next run works, from where the last good one was.
#[track_caller]
fn still_well(tidegate: &Tidegate) {
    let before = tidegate.feed("hostile/Thing", "acme", None);
    let well = |feed: &[Value]| {
        feed.iter().find(|record| record["id"] == "well").unwrap()["body"]["runs"].clone()
    };
    let runs = well(&before).as_u64().unwrap();
    tidegate.sync_ok("hostile/well", "acme");
    let after = tidegate.feed("hostile/Thing", "acme", None);
    assert_eq!(well(&after), runs + 1);
    assert_eq!(after.len(), before.len());
}

#[test]
fn what_was_committed_before_a_panic_stays() {
    let server = Server::start(|_| Reply::json(&json!({})));
    let tidegate = set_up(&server, "");
    let run = tidegate.sync("hostile/commit-and-panic", "acme").json();
    assert_eq!(run["outcome"], "failed", "{run}");
    assert_eq!(run["figures"]["counts"]["Thing"]["added"], 1, "{run}");
    let feed = tidegate.feed("hostile/Thing", "acme", None);
    assert!(
        feed.iter().any(|record| record["id"] == "before the panic"),
        "{feed:#?}"
    );
    still_well(&tidegate);
}

#[test]
fn floods_keep_their_first_and_last_lines() {
    let server = Server::start(|_| Reply::json(&json!({})));
    for (sync, source) in [("flood-log", "plugin"), ("flood-print", "stdout")] {
        let tidegate = set_up(&server, "--limit log_lines=100");
        let run = tidegate.sync_ok(&format!("hostile/{sync}"), "acme");
        assert_eq!(run["figures"]["log_lines_dropped"], 49_900, "{run}");
        let lines = tidegate.logs(&run);
        assert!(lines.len() <= 101, "{} lines", lines.len());
        let message = |line: Option<&Value>| line.unwrap()["message"].as_str().unwrap().to_owned();
        assert_eq!(message(lines.first()), "line 0");
        assert_eq!(message(lines.last()), "line 49999");
        let told = |line: &&Value| line["source"] == "host";
        assert!(
            message(lines.iter().find(told)).contains("49900 lines dropped"),
            "{lines:#?}"
        );
        assert_eq!(
            lines.iter().filter(|line| line["source"] == source).count(),
            100
        );
        still_well(&tidegate);
    }
}

#[test]
fn what_is_printed_is_bounded_and_readable() {
    let server = Server::start(|_| Reply::json(&json!({})));
    let tidegate = set_up(&server, "");
    let run = tidegate.sync_ok("hostile/print-bytes", "acme");
    let lines = tidegate.logs(&run);
    // 1 MiB without a line break, in pieces of the limit log_line_bytes.
    let errors: Vec<&Value> = lines
        .iter()
        .filter(|line| line["source"] == "stderr")
        .collect();
    assert_eq!(
        errors.len(),
        (1 << 20) / (16 << 10),
        "{} lines",
        errors.len()
    );
    let said: Vec<&Value> = lines
        .iter()
        .filter(|line| line["source"] == "stdout")
        .collect();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(
        said[0]["message"]
            .as_str()
            .unwrap()
            .starts_with("caf\u{fffd}"),
        "{said:#?}"
    );
    // A guest's escape codes don't reach the operator's terminal.
    let shown = tidegate
        .cmd(&format!("logs {}", run["run"].as_str().unwrap()))
        .ok()
        .stdout;
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}
