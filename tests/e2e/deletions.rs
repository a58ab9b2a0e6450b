//! Full pulls that find deletions: how many one of them may delete, and who may say otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use crate::support::cli::{OK, RUN_FAILED, Tidegate};
use crate::support::crm::{MODEL, contacts, reply};
use crate::support::plugins;
use crate::support::server::Server;

/// What the source has at a pull, what the operator says, and how many records are left.
struct Row {
    there: u32,
    /// `deploy --limit snapshot_delete_percent=`
    percent: Option<u32>,
    allow_deletes: bool,
    /// Parts of what is said when it is refused.
    refused: Option<&'static [&'static str]>,
    left: usize,
}

const ROWS: &[Row] = &[
    Row {
        there: 10,
        percent: None,
        allow_deletes: false,
        refused: None,
        left: 10,
    },
    // Half is fine, more is not.
    Row {
        there: 4,
        percent: None,
        allow_deletes: false,
        refused: Some(&[
            "saw 4 of 10",
            "delete 6",
            "snapshot_delete_percent",
            "--allow-deletes",
        ]),
        left: 10,
    },
    Row {
        there: 5,
        percent: None,
        allow_deletes: false,
        refused: None,
        left: 5,
    },
    Row {
        there: 4,
        percent: Some(10),
        allow_deletes: false,
        refused: Some(&["is 10"]),
        left: 5,
    },
    Row {
        there: 1,
        percent: Some(80),
        allow_deletes: false,
        refused: None,
        left: 1,
    },
    // Everything is never fine but for this.
    Row {
        there: 0,
        percent: Some(100),
        allow_deletes: false,
        refused: Some(&["never everything"]),
        left: 1,
    },
    Row {
        there: 0,
        percent: None,
        allow_deletes: true,
        refused: None,
        left: 0,
    },
];

#[test]
fn a_full_pull_deletes_no_more_than_it_may() {
    let there = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&there);
    let server = Server::start(move |_| reply(&contacts(0..count.load(Ordering::SeqCst), 1), None));
    let tidegate = Tidegate::new();
    let origin = server.origin();
    tidegate.deploy(&plugins::rest(), "crm", &origin);
    let models = json!({"Contact": {
        "path": "/contacts", "records": "/items", "id": "/id", "full_pull_with_deletes": true,
    }});
    tidegate
        .cmd(&format!(
            "connections add crm acme --base-url {origin} --config"
        ))
        .arg(format!("models={models}"))
        .ok();
    for (number, row) in ROWS.iter().enumerate() {
        there.store(row.there, Ordering::SeqCst);
        if let Some(percent) = row.percent {
            tidegate
                .cmd("deploy")
                .arg(plugins::rest())
                .words(&format!(
                    "--as crm --yes --limit snapshot_delete_percent={percent}"
                ))
                .ok();
        }
        let run = tidegate.cmd("run crm/Contact -c acme --json");
        let run = if row.allow_deletes {
            run.words("--allow-deletes")
        } else {
            run
        };
        let run = run.finish();
        run.expect_code(if row.refused.is_some() {
            RUN_FAILED
        } else {
            OK
        });
        let shown = run.json();
        if row.refused.is_some() {
            assert_eq!(
                shown["failure"]["limit"], "snapshot_delete_percent",
                "{shown}"
            );
        }
        for part in row.refused.unwrap_or_default() {
            let message = shown["failure"]["message"].as_str().unwrap();
            assert!(
                message.contains(part),
                "row {number}: wanted {part:?} in {message}"
            );
        }
        let feed = tidegate.feed(MODEL, "acme", None);
        let live = feed.iter().filter(|record| record["action"] != "deleted");
        assert_eq!(live.count(), row.left, "row {number}: {shown}");
    }
}
