//! What an operator sees of plugins that misbehave: one of each kind. All of them are in
//! `tests/hostile`.

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
fn what_is_printed_is_readable() {
    let server = Server::start(|_| Reply::json(&json!({})));
    let tidegate = set_up(&server, "");
    let run = tidegate.sync_ok("hostile/print-bytes", "acme");
    // A guest's escape codes don't reach the operator's terminal.
    let shown = tidegate
        .cmd(&format!("logs {}", run["run"].as_str().unwrap()))
        .ok()
        .stdout;
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}
