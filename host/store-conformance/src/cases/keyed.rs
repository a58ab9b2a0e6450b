//! Idempotency keys: who gets what under one, when it is let go of, and when it is forgotten.

use tidegate_engine::idempotency::{KEPT_MS, KeyUse, Keyed, StoredResult};
use tidegate_engine::run::{Blame, Failure, FailureClass, Fence, NewRun, Outcome, RunEnd, Target};
use tidegate_engine::upkeep::Scope;

use super::*;

fn action(connection_name: &str, action: &str) -> Target {
    Target::Action {
        connection: connection(connection_name),
        action: name(action),
    }
}

pub fn used(key: &str, input: &str) -> KeyUse {
    KeyUse::new(key.parse().unwrap(), input).unwrap()
}

/// Start a run of `acme`'s action `create`, at the time of its number.
pub async fn start_keyed(store: &dyn Store, number: u64, key: KeyUse) -> Result<Keyed, StoreError> {
    let run = new_run(number, action("acme", "create"));
    store.start_keyed_run(run, key).await
}

#[track_caller]
pub fn fence(started: Result<Keyed, StoreError>) -> Fence {
    match started {
        Ok(Keyed::Started(started)) => started.fence,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub fn kept(started: Result<Keyed, StoreError>) -> StoredResult {
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

pub fn a_key_has_one_run_at_a_time_and_one_input<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
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

pub fn results_are_kept_for_a_day_and_failures_are_not<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
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

pub fn a_dropped_connection_takes_its_keys_along<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
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
