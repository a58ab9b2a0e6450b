//! Idempotency keys: who gets what under one, when it is let go of, and when it is forgotten.

use std::path::Path;

use tidegate_engine::api_key::ApiKeyId;
use tidegate_engine::idempotency::{KEPT_MS, KeyUse, Keyed, StoredResult};
use tidegate_engine::request::{Fingerprint, NewRequest, RequestKey, RequestStart, StoredAnswer};
use tidegate_engine::run::{Blame, Failure, FailureClass, Fence, NewRun, Outcome, RunEnd, Target};
use tidegate_engine::store::parts::*;
use tidegate_engine::upkeep::Scope;
use tidegate_store_sled::{Options, SledStore, Tuning};

use super::*;

fn action(connection_name: &str, action: &str) -> Target {
    Target::Action {
        connection: connection(connection_name),
        action: name(action),
    }
}

fn used(key: &str, input: &str) -> KeyUse {
    KeyUse::new(key.parse().unwrap(), input).unwrap()
}

/// Start a run of `acme`'s action `create`, at the time of its number.
async fn start_keyed(store: &dyn Store, number: u64, key: KeyUse) -> Result<Keyed, StoreError> {
    let run = new_run(number, action("acme", "create"));
    store.start_keyed_run(run, key).await
}

#[track_caller]
fn fence(started: Result<Keyed, StoreError>) -> Fence {
    match started {
        Ok(Keyed::Started(started)) => started.fence,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn kept(started: Result<Keyed, StoreError>) -> StoredResult {
    match started {
        Ok(Keyed::Kept(kept)) => *kept,
        other => panic!("{other:?}"),
    }
}

fn failed(at: u64, class: FailureClass) -> RunEnd {
    RunEnd {
        outcome: Outcome::Failed,
        failure: Some(Failure::new(class, Blame::Upstream, "no")),
        ..end(at)
    }
}

#[test]
fn a_key_has_one_run_at_a_time_and_one_input() {
    on_both(async |store| {
        let first = fence(start_keyed(store, 1, used("k", "{\"a\": 1}")).await);
        let busy = start_keyed(store, 2, used("k", "{\"a\":1.0}")).await;
        assert!(matches!(busy, Err(StoreError::Busy { .. })), "{busy:?}");
        let other = start_keyed(store, 2, used("k", "{\"a\": 2}")).await;
        assert!(
            matches!(other, Err(StoreError::KeyConflict { by, .. }) if by == run_id(1).to_string())
        );
        // Nothing of that was stored.
        assert!(store.run(run_id(2)).await.is_err());
        // Another key, action or connection is nothing to it; nor is a run without a key.
        let others: [NewRun; 3] = [
            new_run(3, action("acme", "close")),
            new_run(4, action("bolt", "create")),
            new_run(5, action("acme", "create")),
        ];
        for run in others {
            let key = if run.id == run_id(5) { "k2" } else { "k" };
            fence(store.start_keyed_run(run, used(key, "1")).await);
        }
        store
            .start_run(new_run(6, action("acme", "create")))
            .await
            .unwrap();
        // A run that has lost its fence lets go of nothing.
        let stale = Fence(first.0 + 100);
        let fenced = store.finish_run(run_id(1), stale, end(10)).await;
        assert!(
            matches!(fenced, Err(StoreError::Fenced { .. })),
            "{fenced:?}"
        );
        let busy = start_keyed(store, 7, used("k", "{\"a\": 1}")).await;
        assert!(matches!(busy, Err(StoreError::Busy { .. })), "{busy:?}");
        let unknown = store
            .start_keyed_run(new_run(8, action("nobody", "create")), used("k", "1"))
            .await;
        assert!(matches!(unknown, Err(StoreError::NotFound { .. })));
        let sync = new_run(8, Target::Sync(sync("acme", "contacts")));
        let no_action = store.start_keyed_run(sync, used("k", "1")).await;
        assert!(matches!(no_action, Err(StoreError::NotFound { .. })));
    });
}

#[test]
fn results_are_kept_for_a_day_and_failures_are_not() {
    on_both(async |store| {
        let input = || used("k", "1");
        // A transient failure lets go of the key, but not of its input.
        let held = fence(start_keyed(store, 1, input()).await);
        let transient = failed(10, FailureClass::Transient);
        store.finish_run(run_id(1), held, transient).await.unwrap();
        let other = start_keyed(store, 11, used("k", "2")).await;
        assert!(
            matches!(other, Err(StoreError::KeyConflict { .. })),
            "{other:?}"
        );
        // So does a dead process.
        fence(start_keyed(store, 12, input()).await);
        let why = Failure::new(FailureClass::Internal, Blame::Host, "it died");
        store.recover_runs(why, Timestamp(13)).await.unwrap();
        // A success is kept with its output.
        let held = fence(start_keyed(store, 14, input()).await);
        let output = format!("\"{}\"", "x".repeat(50_000));
        let finished = store.finish_keyed_run(run_id(14), held, end(100), output.clone());
        finished.await.unwrap();
        for number in [101, 100 + KEPT_MS - 1] {
            let kept = kept(start_keyed(store, number, input()).await);
            assert_eq!(
                (kept.run.id, kept.output.as_ref()),
                (run_id(14), Some(&output))
            );
        }
        // A day later it is as if it had never been, with another input too.
        let held = fence(start_keyed(store, 100 + KEPT_MS, used("k", "2")).await);
        let rejected = failed(100 + KEPT_MS, FailureClass::Rejected);
        let run = run_id(100 + KEPT_MS);
        store.finish_run(run, held, rejected).await.unwrap();
        // A rejection is kept too.
        let kept = kept(start_keyed(store, 101 + KEPT_MS, used("k", "2")).await);
        assert_eq!((kept.run.id, kept.output), (run, None));
        let failure = kept.run.end.unwrap().failure.unwrap();
        assert_eq!(failure.class, FailureClass::Rejected);
    });
}

#[test]
fn a_dropped_connection_takes_its_keys_along() {
    on_both(async |store| {
        let held = fence(start_keyed(store, 1, used("k", "1")).await);
        store
            .finish_keyed_run(run_id(1), held, end(2), "7".to_owned())
            .await
            .unwrap();
        store
            .drop_scope(&Scope::Connection(connection("acme")))
            .await
            .unwrap();
        store.settle().await.unwrap();
        store.add_connection(new_connection("acme")).await.unwrap();
        fence(start_keyed(store, 3, used("k", "2")).await);
        let report = store.check().await.unwrap();
        assert_eq!(report.findings, []);
    });
}

/// A store with bounds that a test reaches.
fn open_small(dir: &Path) -> SledStore {
    let tuning = Tuning {
        keys_max: 20,
        requests_max: 20,
        step_keys: 7,
        ..Tuning::default()
    };
    let options = Options {
        tuning,
        ..Options::default()
    };
    SledStore::open(dir, options).unwrap()
}

/// Only the sled store has files to be opened again, and a bound that a test reaches.
#[test]
fn keys_outlive_a_restart_are_bounded_and_leave_nothing() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let open = || open_small(dir.path());
        let store = open();
        set_up(&store).await;
        for number in 1..=20 {
            let held = fence(start_keyed(&store, number, used(&format!("k{number}"), "1")).await);
            let ended = end(1000);
            store
                .finish_keyed_run(run_id(number), held, ended, "7".to_owned())
                .await
                .unwrap();
        }
        drop(store);
        let store = open();
        let many = start_keyed(&store, 21, used("k21", "1")).await;
        assert!(
            matches!(many, Err(StoreError::ManyKeys { keys: 20, .. })),
            "{many:?}"
        );
        // Those that are there are no further ones.
        assert_eq!(
            kept(start_keyed(&store, 21, used("k3", "1")).await)
                .output
                .unwrap(),
            "7"
        );
        let before = store.check().await.unwrap();
        assert_eq!(before.findings, []);

        // A day later there is room, and nothing is left of them: no key, expiry or output.
        let held = fence(start_keyed(&store, 1000 + KEPT_MS, used("k21", "1")).await);
        store.settle().await.unwrap();
        let after = store.check().await.unwrap();
        assert_eq!(after.findings, []);
        // Three rows of each key went; of the new one there are its own, and four of its run.
        assert_eq!(after.keys, before.keys - 3 * 20 + 5);

        // Held over a restart, let go of by recovery.
        drop(store);
        let store = open();
        let again = 1001 + KEPT_MS;
        let busy = start_keyed(&store, again, used("k21", "1")).await;
        assert!(matches!(busy, Err(StoreError::Busy { .. })), "{busy:?}");
        assert_eq!(store.check().await.unwrap().findings, []);
        let why = Failure::new(FailureClass::Internal, Blame::Host, "it died");
        store.recover_runs(why, Timestamp(again)).await.unwrap();
        fence(start_keyed(&store, again, used("k21", "1")).await);
        let run = run_id(1000 + KEPT_MS);
        let fenced = store
            .finish_keyed_run(run, held, end(again), "8".to_owned())
            .await;
        assert!(
            matches!(fenced, Err(StoreError::Fenced { .. })),
            "{fenced:?}"
        );
        assert_eq!(store.check().await.unwrap().findings, []);
    });
}

/// Requests of an API key: as many as there may be, a restart, and a day later.
#[test]
fn requests_are_bounded_and_forgotten_after_a_day() {
    let wanted = |key: u8, number: u32, at: u64| NewRequest {
        key: RequestKey {
            api_key: ApiKeyId::from_parts(Timestamp(1), u128::from(key)),
            key: format!("r{number}").parse().unwrap(),
        },
        print: Fingerprint::of(&[&number.to_le_bytes()]),
        now: Timestamp(at),
    };
    let answer = StoredAnswer {
        status: 201,
        location: Some("/v1/x".into()),
        body: Some("x".repeat(20_000)),
    };
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let open = || open_small(dir.path());
        let store = open();
        let empty = store.check().await.unwrap().keys;
        for number in 0..20 {
            let new = wanted(1, number, 1000);
            assert_eq!(
                store.begin_request(new.clone()).await,
                Ok(RequestStart::First)
            );
            if number > 0 {
                let kept = Some(answer.clone());
                store.end_request(new.key, kept).await.unwrap();
            }
        }
        drop(store);
        let store = open();
        let begin = |key, number, at| store.begin_request(wanted(key, number, at));
        let full = begin(1, 20, 1000).await;
        assert!(
            matches!(
                full,
                Err(StoreError::Full {
                    limit: "api_idempotency_keys",
                    ..
                })
            ),
            "{full:?}"
        );
        // Those that are there are no further ones, and others have room of their own.
        assert_eq!(begin(1, 0, 1000).await, Ok(RequestStart::Unanswered));
        assert_eq!(
            begin(1, 7, 1000).await,
            Ok(RequestStart::Again(answer.clone()))
        );
        let mut other = wanted(1, 7, 1000);
        other.print = Fingerprint::of(&[b"else"]);
        assert_eq!(store.begin_request(other).await, Ok(RequestStart::Other));
        assert_eq!(begin(2, 0, 1000).await, Ok(RequestStart::First));
        // One that failed makes room.
        let failed = wanted(1, 3, 1000).key;
        store.end_request(failed, None).await.unwrap();
        assert_eq!(store.check().await.unwrap().findings, []);
        assert_eq!(begin(1, 20, 2000).await, Ok(RequestStart::First));
        assert!(begin(1, 21, 2000).await.is_err());

        // A day later the others of the first are gone; the last one is not yet.
        let later = 1000 + KEPT_MS;
        assert_eq!(begin(1, 22, later).await, Ok(RequestStart::First));
        assert_eq!(begin(1, 20, later).await, Ok(RequestStart::Unanswered));
        store.settle().await.unwrap();
        let report = store.check().await.unwrap();
        assert_eq!(report.findings, []);
        // Two rows each.
        assert_eq!(report.keys, empty + 2 * 2);
        store
            .forget_ended(Timestamp(later + KEPT_MS), 1000)
            .await
            .unwrap();
        store.settle().await.unwrap();
        let report = store.check().await.unwrap();
        assert_eq!((report.findings, report.keys), (Vec::new(), empty));
    });
}
