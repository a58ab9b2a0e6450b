//! Actions recorded and replayed: input, key and output are part of a cassette.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Acts, REJECTED, acts};
use crate::support::cli::{Finished, OK, RUN_FAILED, tidegate};
use crate::support::server::Reply;

/// Record an action; its cassette.
#[track_caller]
fn record(acts: &Acts, action: &str, input: &Value, code: i32) -> PathBuf {
    let file = acts.tidegate.data().join(format!("../{action}.jsonl"));
    let cmd = acts
        .cmd(action, input)
        .words("--idempotency-key k --record");
    cmd.arg(&file).finish().expect_code(code);
    file
}

fn replay(cassette: &Path) -> Finished {
    let cmd = tidegate("replay --json --plugin").arg(acts());
    cmd.arg(cassette).finish()
}

#[test]
fn an_action_replays_byte_for_byte() {
    let acts = Acts::making_items();
    for (action, input, code) in [
        ("create", json!({"name": "Ada", "qty": 1}), OK),
        ("context", json!({}), OK),
        ("twice", json!({}), OK),
        ("count", json!({}), OK),
        ("fail", json!({"kind": "rejected"}), REJECTED),
        ("misfit", json!({}), RUN_FAILED),
        ("no-json", json!({}), RUN_FAILED),
    ] {
        let cassette = record(&acts, action, &input, code);
        let report = replay(&cassette);
        report.expect_code(OK);
        assert_eq!(report.json()["equal"], true, "{action}: {}", report.stdout);
    }
}

#[test]
fn what_differs_is_named() {
    let acts = Acts::making_items();
    let created = record(&acts, "create", &json!({"name": "Ada"}), OK);
    let failed = record(&acts, "fail", &json!({"kind": "rejected"}), REJECTED);
    let context = record(&acts, "context", &json!({}), OK);
    // (cassette, what is changed in it, what the replay then says)
    let rows: &[(&PathBuf, &str, &str, &[&str])] = &[
        (
            &created,
            r#""output":"{\"id\":\"i1\""#,
            r#""output":"{\"id\":\"i9\""#,
            &["the output", "/id"],
        ),
        (
            &created,
            r#""input":"{\"name\":\"Ada\""#,
            r#""input":"{\"name\":\"Eve\""#,
            &["a request"],
        ),
        (
            &failed,
            r#""payload":{"kind":"rejected"#,
            r#""payload":{"kind":"rejekted"#,
            &["the failure's payload", "/kind"],
        ),
        (
            &context,
            r#""idempotency_key":"k""#,
            r#""idempotency_key":"j""#,
            &["the output", "/idempotency_key"],
        ),
    ];
    let file = acts.tidegate.data().join("../changed.jsonl");
    for (cassette, old, new, parts) in rows {
        let text = fs::read_to_string(cassette).unwrap();
        assert!(text.contains(old), "{old} is not in\n{text}");
        fs::write(&file, text.replacen(old, new, 1)).unwrap();
        let report = replay(&file);
        report.expect_code(RUN_FAILED);
        for part in *parts {
            assert!(
                report.stdout.contains(part),
                "wanted {part} in {}",
                report.stdout
            );
        }
    }
}

/// A connection's ring holds its actions too.
#[test]
fn a_ring_keeps_actions() {
    let acts = Acts::new(|_| Reply::status(204));
    acts.tidegate.cmd("cassettes on acts acme --runs 2").ok();
    for _ in 0..3 {
        acts.invoke_ok("twice", &json!({}));
    }
    let kept = acts.tidegate.cmd("cassettes list --json").ok().lines();
    assert_eq!(kept.len(), 2, "{kept:#?}");
    let run = kept[0]["run"].as_str().unwrap();
    let replayed = acts.tidegate.cmd(&format!("replay {run} --json")).ok();
    assert_eq!(replayed.json()["requests"], 2);
}
