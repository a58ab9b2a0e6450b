//! What events say, and that none of them is too long.

use serde_json::{Value, json};

use super::*;
use crate::SyncKey;
use crate::cursor::Cursor;
use crate::integration::{self, Digest};
use crate::record::Counts;
use crate::run::{Basis, Failure, Fence, Figures};
use crate::webhook::Event;

fn key(connection: &str) -> ConnectionKey {
    ConnectionKey {
        integration: "crm".parse().unwrap(),
        connection: connection.parse().unwrap(),
    }
}

fn cursor(seq: u64) -> Cursor {
    Cursor {
        store: u64::MAX,
        feed: u64::MAX,
        seq,
        pruned: 0,
    }
}

fn run(basis: Option<Basis>) -> Run {
    Run {
        id: RunId::from_parts(Timestamp(1_000), 7),
        target: Target::Sync(SyncKey {
            connection: key("acme"),
            sync: "contacts".parse().unwrap(),
            variant: "base".parse().unwrap(),
        }),
        plugin: Digest::of(b""),
        plugin_version: "1".into(),
        trigger: Trigger::Schedule,
        attempt: 2,
        job: None,
        reset: false,
        started_at: Timestamp(1_000),
        fence: Fence(1),
        basis,
        progress: Figures::default(),
        end: None,
    }
}

fn end(outcome: Outcome) -> RunEnd {
    RunEnd {
        at: Timestamp(2_000),
        outcome,
        failure: None,
        figures: Figures::default(),
    }
}

fn data(event: &NewEvent) -> Value {
    serde_json::from_str(&event.data).unwrap()
}

#[test]
fn a_finished_run_says_what_there_is_to_read() {
    let mut run = run(Some(Basis::of(Some(r#"{"at":1.50}"#))));
    run.note_start(&"Contact".parse().unwrap(), cursor(5));
    run.note_start(&"Contact".parse().unwrap(), cursor(9));
    let counts = Counts {
        added: 1,
        updated: 2,
        deleted: 3,
        unchanged: 4,
        skipped: 5,
    };
    run.progress
        .counts
        .insert("Contact".parse().unwrap(), counts);
    let event = run_ended(&run, &end(Outcome::Success), Some("[2]"), None).unwrap();
    assert_eq!(
        (event.kind, event.at, event.stream.clone()),
        (EventType::RunFinished, Timestamp(2_000), Some(key("acme")))
    );
    let want = json!({
        "run": run.id, "integration": "crm", "connection": "acme", "sync": "contacts", "variant": "base",
        "trigger": "schedule", "attempt": 2, "sync_type": "incremental",
        "started_at": "1970-01-01T00:00:01Z", "ended_at": "1970-01-01T00:00:02Z", "outcome": "success",
        "models": [{"model": "Contact", "added": 1, "updated": 2, "deleted": 3, "cursor": cursor(5).to_string()}],
        "checkpoint": {"from": {"at": 1.5}, "to": [2]},
    });
    assert_eq!(data(&event), want);
    assert!(
        event.data.contains("1.50"),
        "the plugin's own text: {}",
        event.data
    );
    // The same end again is the same event.
    assert_eq!(
        run_ended(&run, &end(Outcome::Success), Some("[2]"), None),
        Some(event)
    );
}

#[test]
fn outcomes_make_types() {
    let rows = [
        (Outcome::Success, Some("run.finished")),
        (Outcome::Interrupted, Some("run.finished")),
        (Outcome::Cancelled, Some("run.finished")),
        (Outcome::Failed, Some("run.failed")),
        (Outcome::Stalled, Some("run.failed")),
        (Outcome::Skipped, None),
    ];
    for (outcome, want) in rows {
        let event = run_ended(&run(None), &end(outcome), None, None);
        assert_eq!(event.map(|event| event.kind.as_str()), want, "{outcome:?}");
    }
    let goes_on = run_ended(
        &run(None),
        &end(Outcome::Failed),
        None,
        Some(Timestamp(5_000)),
    );
    assert_eq!(data(&goes_on.unwrap())["retry_at"], "1970-01-01T00:00:05Z");
    let mut action = run(None);
    action.target = Target::Action {
        connection: key("acme"),
        action: "push".parse().unwrap(),
    };
    assert_eq!(run_ended(&action, &end(Outcome::Failed), None, None), None);
}

#[test]
fn sync_type_and_checkpoints() {
    let long = format!("\"{}\"", "x".repeat(CHECKPOINT_KEPT_BYTES));
    let row = |from: Option<&str>, to: Option<&str>| {
        let event = run_ended(
            &run(Some(Basis::of(from))),
            &end(Outcome::Success),
            to,
            None,
        )
        .unwrap();
        let data = data(&event);
        (data["sync_type"].clone(), data["checkpoint"].clone())
    };
    assert_eq!(
        row(None, None),
        (json!("initial"), json!({"from": null, "to": null}))
    );
    assert_eq!(
        row(None, Some("1")),
        (json!("initial"), json!({"from": null, "to": 1}))
    );
    assert_eq!(
        row(Some(&long), Some(&long)),
        (
            json!("incremental"),
            json!({"from": null, "to": null, "from_left_out": true, "to_left_out": true})
        )
    );
    let old = run_ended(&run(None), &end(Outcome::Success), Some("1"), None).unwrap();
    assert_eq!(data(&old)["sync_type"], "incremental");
}

#[test]
fn no_body_reaches_20_kb() {
    let name = |n: u64| -> Name { format!("{n:064}").parse().unwrap() };
    let mut run = run(Some(Basis::of(Some(&format!(
        "\"{}\"",
        "x".repeat(CHECKPOINT_KEPT_BYTES - 2)
    )))));
    run.target = Target::Sync(SyncKey {
        connection: ConnectionKey {
            integration: name(1),
            connection: "c".repeat(128).parse().unwrap(),
        },
        sync: name(2),
        variant: name(3),
    });
    for number in 0..256 {
        run.note_start(&name(number), cursor(u64::MAX));
        let counts = Counts {
            added: u64::MAX,
            updated: u64::MAX,
            deleted: u64::MAX,
            unchanged: 0,
            skipped: 0,
        };
        run.progress.counts.insert(name(number), counts);
    }
    let mut failed = end(Outcome::Failed);
    let mut failure = Failure::limit("records_per_run", Blame::Upstream, "\u{1}".repeat(9_000));
    failure.code = Some("\u{1}".repeat(9_000));
    failed.failure = Some(failure);
    let checkpoint = format!("\"{}\"", "y".repeat(CHECKPOINT_KEPT_BYTES - 2));
    let event = run_ended(&run, &failed, Some(&checkpoint), None).unwrap();
    assert_eq!(data(&event)["models_left_out"], 256 - WEBHOOK_MODELS);
    let body = Event::numbered(event, u64::MAX).body();
    assert!((15_000..20_000).contains(&body.len()), "{}", body.len());
}

#[test]
fn credentials_that_fail_are_told_of_once() {
    let well = Connection {
        key: key("acme"),
        base_url: "https://api.example.com".parse().unwrap(),
        config: serde_json::Map::new(),
        metadata: serde_json::Map::new(),
        tags: [].into(),
        external_id: None,
        secret_names: vec![],
        sealed_secrets: vec![],
        created_at: Timestamp(5),
        updated_at: Timestamp(5),
        revision: 3,
        auth_failed: None,
        health: Default::default(),
    };
    let message = "x".repeat(9_000);
    let failed = Connection {
        auth_failed: Some(Box::new(integration::AuthFailed {
            at: Timestamp(9_000),
            message,
        })),
        ..well.clone()
    };
    let events = connection_failed(&well, &failed);
    let [event] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (event.kind, event.at),
        (EventType::AuthFailed, Timestamp(9_000))
    );
    assert_eq!(data(event)["failed_at"], "1970-01-01T00:00:09Z");
    assert!(event.data.len() < 700);
    for (old, new) in [(&failed, &failed), (&failed, &well), (&well, &well)] {
        assert_eq!(connection_failed(old, new), []);
    }
    // What the API and the config say is told of as well, each once.
    let sync = |name: &str| {
        Target::Sync(SyncKey {
            connection: key("acme"),
            sync: name.parse().unwrap(),
            variant: Name::base_variant(),
        })
    };
    let after = |old: &Connection, name: &str, class| {
        let end = RunEnd {
            at: Timestamp(9_000),
            outcome: Outcome::Failed,
            failure: Some(Failure::new(class, Blame::Operator, "no")),
            figures: Figures::default(),
        };
        let health = old.health.after(&sync(name), &end, false).unwrap();
        Connection {
            health,
            ..old.clone()
        }
    };
    let once = after(&well, "a", FailureClass::Auth);
    assert_eq!(connection_failed(&well, &once), []);
    let twice = after(&once, "a", FailureClass::Auth);
    let both = after(&twice, "b", FailureClass::Config);
    let kinds = |old, new| -> Vec<EventType> {
        let events = connection_failed(old, new);
        events.iter().map(|event| event.kind).collect()
    };
    assert_eq!(kinds(&once, &twice), [EventType::AuthFailed]);
    assert_eq!(kinds(&twice, &both), [EventType::ConfigFailed]);
    assert_eq!(kinds(&both, &after(&both, "c", FailureClass::Config)), []);
    let events = connection_failed(&twice, &both);
    assert_eq!(data(&events[0])["message"], "sync b: no");
}
