//! Bounds that a store's options lower, so that a test reaches them, over restarts.

use std::path::Path;

use tidegate_engine::api_key::ApiKeyId;
use tidegate_engine::idempotency::KEPT_MS;
use tidegate_engine::request::{Fingerprint, NewRequest, RequestKey, RequestStart, StoredAnswer};
use tidegate_engine::run::{Blame, Failure, FailureClass, Outcome};
use tidegate_engine::webhook::{EventType, WhyDisabled};
use tidegate_engine::{StoreError, Timestamp};
use tidegate_store_conformance::cases::keyed::{fence, kept, start_keyed, used};
use tidegate_store_conformance::cases::webhooks::{due_seqs, run_once};
use tidegate_store_sled::{Options, SledStore, Tuning};

use crate::common::*;

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

#[test]
fn an_endpoint_without_room_is_disabled_loudly() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            tuning: Tuning {
                pending_max: 3,
                ..Tuning::default()
            },
            ..Options::default()
        };
        let mut store = SledStore::open(dir.path(), options).unwrap();
        set_up(&store).await;
        let mut picky = new_endpoint(2);
        picky.events = [EventType::EndpointDisabled].into();
        store.add_endpoint(new_endpoint(1)).await.unwrap();
        store.add_endpoint(picky).await.unwrap();
        for at in 10..16 {
            if at == 12 {
                // How many wait is counted anew.
                store.close().await.unwrap();
                drop(store);
                store = SledStore::open(dir.path(), options).unwrap();
            }
            run_once(&store, "acme", at, Outcome::Success).await;
        }
        let full = store
            .endpoint(endpoint_id(1))
            .await
            .unwrap()
            .disabled
            .unwrap();
        assert_eq!((full.why, full.at), (WhyDisabled::Full, Timestamp(13)));
        assert_eq!(due_seqs(&store, 20).await, [(endpoint_id(2), 5)]);
        assert_eq!(store.check().await.unwrap().findings, []);
    });
}
