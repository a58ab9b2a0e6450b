//! Webhooks: what is written with what, what is due when, and what is lost never.

use tidegate_engine::store::{DeliveryFilter, Due, DueDeliveries, Replay};
use tidegate_engine::webhook::{Attempt, Disabled, EndpointId, Event, EventType, WhyDisabled};

use super::*;

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;

pub fn attempt(at: u64, status: u16) -> Attempt {
    Attempt {
        at: Timestamp(at),
        latency_ms: 0,
        status: Some(status),
        no_answer: None,
        response: String::new(),
        retry_after_ms: None,
    }
}

pub async fn due(store: &dyn Store, now: u64) -> Due {
    let wanted = DueDeliveries {
        now: Timestamp(now),
        per_endpoint: 100,
        limit: 100,
        ..DueDeliveries::default()
    };
    store.due_deliveries(wanted).await.unwrap()
}

/// What is due, as event numbers by endpoint.
pub async fn due_seqs(store: &dyn Store, now: u64) -> Vec<(EndpointId, u64)> {
    let due = due(store, now).await.deliveries;
    due.iter()
        .map(|due| (due.endpoint.id, due.event.seq))
        .collect()
}

/// A run of a connection that saves a record and ends at `at`, or fails.
pub async fn run_once(store: &dyn Store, connection_name: &str, at: u64, outcome: Outcome) {
    let run = new_run(at, Target::Sync(sync(connection_name, "contacts")));
    let started = store.start_run(run).await.unwrap();
    let body = format!("{{\"at\":{at}}}");
    let mut commit = commit(vec![page("Contact", &[("1", &body)], &[])], at);
    commit.checkpoint = Some(at.to_string());
    store
        .commit_page(run_id(at), started.fence, commit)
        .await
        .unwrap();
    let end = tidegate_engine::run::RunEnd { outcome, ..end(at) };
    store
        .finish_run(run_id(at), started.fence, end)
        .await
        .unwrap();
}

pub fn data(event: &Event) -> serde_json::Value {
    serde_json::from_str(&event.data).unwrap()
}

pub fn nothing_is_written_when_nobody_listens<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        run_once(store, "acme", 10, Outcome::Success).await;
        store.add_endpoint(new_endpoint(1)).await.unwrap();
        let replay = Replay {
            endpoint: endpoint_id(1),
            since: Timestamp(0),
            all: true,
            after: None,
            limit: 10,
            now: Timestamp(20),
        };
        assert_eq!(store.replay_deliveries(replay).await.unwrap().deliveries, 0);
    });
}

pub fn a_runs_cursor_gives_all_that_it_changed<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        store.add_endpoint(new_endpoint(1)).await.unwrap();
        run_once(store, "acme", 10, Outcome::Success).await;
        let run = new_run(20, Target::Sync(sync("acme", "contacts")));
        let fence = store.start_run(run).await.unwrap().fence;
        for (at, id) in [(21, "2"), (22, "3"), (23, "2")] {
            let body = format!("{{\"at\":{at}}}");
            let pages = vec![page("Contact", &[(id, &body), ("1", "{\"at\":10}")], &[])];
            store
                .commit_page(run_id(20), fence, commit(pages, at))
                .await
                .unwrap();
        }
        // A snapshot that sees "2" only deletes the others, and is of the same run.
        let contact = name("Contact");
        store
            .begin_snapshot(run_id(20), fence, &contact, false)
            .await
            .unwrap();
        let seen = vec![page("Contact", &[("2", "{\"at\":23}")], &[])];
        store
            .commit_page(run_id(20), fence, commit(seen, 24))
            .await
            .unwrap();
        let guard = SnapshotGuard {
            max_share_percent: 100,
            allow_all: true,
        };
        let ended = store.end_snapshot(
            run_id(20),
            fence,
            &contact,
            EndSnapshot {
                proof: Proof::OneAnswer,
                guard,
                checkpoint: None,
                now: Timestamp(25),
            },
        );
        assert_eq!(ended.await.unwrap().deleted, 2);
        store.finish_run(run_id(20), fence, end(26)).await.unwrap();

        let first = due(store, 26).await.deliveries.remove(0);
        let first_data = data(&first.event);
        assert_eq!(first_data["sync_type"], "initial");
        assert_eq!(
            first_data["checkpoint"],
            serde_json::json!({"from": null, "to": 10})
        );
        let delivered = attempt(26, 200);
        let settled = store.settle_delivery(first.endpoint.id, first.event.seq, 0, delivered);
        assert_eq!(settled.await.unwrap().unwrap().as_str(), "delivered");
        let second = due(store, 26).await.deliveries.remove(0);
        let told = data(&second.event);
        assert_eq!(
            (second.event.kind, told["sync_type"].as_str()),
            (EventType::RunFinished, Some("incremental"))
        );
        assert_eq!(
            told["checkpoint"],
            serde_json::json!({"from": 10, "to": 10})
        );
        let model_told = &told["models"][0];
        assert_eq!(
            (
                &model_told["added"],
                &model_told["updated"],
                &model_told["deleted"]
            ),
            (&2.into(), &1.into(), &2.into())
        );
        let after: Cursor = model_told["cursor"].as_str().unwrap().parse().unwrap();
        let mut read = read(model("acme", "Contact"));
        read.after = Some(after);
        let changes = store.read_changes(read.clone()).await.unwrap();
        let mut ids: Vec<String> = changes
            .records
            .into_iter()
            .map(|record| record.id)
            .collect();
        ids.sort();
        assert_eq!(ids, ["1", "2", "3"]);
        // The first run's, too: it gives everything.
        read.after = Some(
            first_data["models"][0]["cursor"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap(),
        );
        assert_eq!(store.read_changes(read).await.unwrap().records.len(), 3);
    });
}

pub fn every_end_is_told_of<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        store.add_endpoint(new_endpoint(1)).await.unwrap();
        run_once(store, "acme", 10, Outcome::Failed).await;
        // One that a dead process left, and one whose connection is removed.
        start(store, 20).await;
        let why = Failure::new(FailureClass::Internal, Blame::Host, "died");
        store.recover_runs(why, Timestamp(21)).await.unwrap();
        let bolt = new_run(30, Target::Sync(sync("bolt", "contacts")));
        store.start_run(bolt).await.unwrap();
        store
            .remove_connection(&connection("bolt"), Timestamp(31))
            .await
            .unwrap();
        // Rejected credentials are told of once, and not again until they were accepted.
        for (failed, at) in [(true, 40), (true, 41), (false, 42), (true, 43)] {
            let mut acme = store.connection(&connection("acme")).await.unwrap();
            acme.auth_failed = failed.then(|| {
                Box::new(tidegate_engine::integration::AuthFailed {
                    at: Timestamp(at),
                    message: "no".into(),
                })
            });
            assert_eq!(store.update_connections(vec![acme]).await, Ok(vec![true]));
        }
        // An action answers its caller.
        let action = Target::Action {
            connection: connection("acme"),
            action: name("push"),
        };
        let started = store.start_run(new_run(50, action)).await.unwrap();
        store
            .finish_run(run_id(50), started.fence, end(51))
            .await
            .unwrap();

        let filter = DeliveryFilter {
            endpoint: endpoint_id(1),
            state: Some("pending".into()),
            before: None,
            limit: 100,
        };
        let told = store.deliveries(filter).await.unwrap();
        let mut told: Vec<(&str, u64)> = told
            .iter()
            .map(|d| (d.kind.as_str(), d.event_at.0))
            .collect();
        told.reverse();
        let want = [
            ("run.failed", 10),
            ("run.finished", 21),
            ("run.finished", 31),
            ("connection.auth_failed", 40),
            ("connection.auth_failed", 43),
        ];
        assert_eq!(told, want);
    });
}

pub fn a_disabled_endpoint_waits_and_the_others_hear_of_it<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        for number in [1, 2] {
            store.add_endpoint(new_endpoint(number)).await.unwrap();
        }
        let (one, two) = (endpoint_id(1), endpoint_id(2));
        run_once(store, "acme", 10, Outcome::Success).await;
        store
            .settle_delivery(one, 1, 0, attempt(20, 410))
            .await
            .unwrap();
        let gone = store.endpoint(one).await.unwrap();
        let why = Disabled {
            at: Timestamp(20),
            why: WhyDisabled::Gone,
        };
        assert_eq!((gone.disabled, gone.revision), (Some(why), 1));
        // It gets no more; what happens is kept for a replay.
        run_once(store, "acme", 30, Outcome::Success).await;
        assert_eq!(due_seqs(store, DAY_MS).await, [(two, 1), (two, 2)]);
        store
            .settle_delivery(two, 1, 0, attempt(31, 200))
            .await
            .unwrap();
        let told = due(store, DAY_MS).await.deliveries;
        let disabled = told.iter().find(|due| due.event.seq == 2).unwrap();
        assert_eq!(disabled.event.kind, EventType::EndpointDisabled);
        assert_eq!(data(&disabled.event)["endpoint"], one.to_string());
        assert!(told.iter().any(|due| due.event.seq == 3));
        // Enabled again it goes on where it was, and a replay brings the rest.
        let mut well = gone;
        well.disabled = None;
        assert_eq!(store.update_endpoint(well.clone()).await, Ok(true));
        assert_eq!(store.update_endpoint(well).await, Ok(false));
        let replay = Replay {
            endpoint: one,
            since: Timestamp(0),
            all: true,
            after: None,
            limit: 1,
            now: Timestamp(DAY_MS),
        };
        let done = store.replay_deliveries(replay).await.unwrap();
        // The first one waits for another attempt, which is now.
        assert_eq!((done.deliveries, done.more_after), (1, Some(1)));
        let rest = Replay {
            after: done.more_after,
            ..replay
        };
        let done = store.replay_deliveries(rest).await.unwrap();
        assert_eq!((done.deliveries, done.more_after), (1, Some(2)));
        let rest = Replay {
            after: done.more_after,
            ..replay
        };
        let done = store.replay_deliveries(rest).await.unwrap();
        assert_eq!(done.deliveries, 1);
        store
            .settle_delivery(one, 1, 1, attempt(DAY_MS, 200))
            .await
            .unwrap();
        let own = due_seqs(store, DAY_MS).await;
        let own: Vec<u64> = own
            .iter()
            .filter(|(id, _)| *id == one)
            .map(|(_, seq)| *seq)
            .collect();
        assert_eq!(own, [2, 3]);
        // A replay of what failed leaves alone what was delivered.
        let failed = Replay {
            all: false,
            ..replay
        };
        assert_eq!(store.replay_deliveries(failed).await.unwrap().deliveries, 0);
    });
}

pub fn retention_forgets_what_is_old_and_done<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        for number in [1, 2] {
            store.add_endpoint(new_endpoint(number)).await.unwrap();
        }
        let (one, two) = (endpoint_id(1), endpoint_id(2));
        for at in [10, 20, 30] {
            run_once(store, "acme", at, Outcome::Success).await;
        }
        store
            .settle_delivery(one, 1, 0, attempt(40, 200))
            .await
            .unwrap();
        // The other one still waits.
        assert_eq!(store.forget_events(Timestamp(30), 10).await, Ok(0));
        store
            .settle_delivery(two, 1, 0, attempt(40, 200))
            .await
            .unwrap();
        assert_eq!(store.forget_events(Timestamp(30), 10).await, Ok(1));
        // Nobody will deliver it to one that is disabled.
        store.remove_endpoint(two).await.unwrap();
        store
            .settle_delivery(one, 2, 0, attempt(40, 410))
            .await
            .unwrap();
        assert_eq!(store.forget_events(Timestamp(30), 10).await, Ok(1));
        let filter = DeliveryFilter {
            endpoint: one,
            state: None,
            before: None,
            limit: 10,
        };
        let left = store.deliveries(filter.clone()).await.unwrap();
        assert_eq!(left.iter().map(|d| d.seq).collect::<Vec<_>>(), [3]);
        let gone = DeliveryFilter {
            endpoint: two,
            ..filter
        };
        assert!(matches!(
            store.deliveries(gone).await,
            Err(StoreError::NotFound { .. })
        ));
    });
}

pub fn there_is_room_for_so_many_endpoints<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        for number in 1..=100 {
            store.add_endpoint(new_endpoint(number)).await.unwrap();
        }
        let full = store.add_endpoint(new_endpoint(101)).await;
        assert!(
            matches!(full, Err(StoreError::Full { most: 100, .. })),
            "{full:?}"
        );
        assert_eq!(store.add_endpoint(new_endpoint(100)).await, Ok(()));
        let mut other = new_endpoint(100);
        other.description = "other".into();
        assert!(matches!(
            store.add_endpoint(other).await,
            Err(StoreError::Exists { .. })
        ));
    });
}

pub fn whoever_waits_hears_of_it<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        store.add_endpoint(new_endpoint(1)).await.unwrap();
        let heard = store.deliveries_changed(0);
        let waiting = async {
            run_once(store, "acme", 10, Outcome::Success).await;
        };
        let (heard, ()) = tokio::join!(heard, waiting);
        assert!(heard.unwrap() >= 1);
    });
}
