//! Adding several connections, changing them and removing them under their runs.

use serde_json::json;
use tidegate_engine::board::ConcurrencyLimits;
use tidegate_engine::integration::Connection;
use tidegate_engine::job::{JobId, JobTarget, NewJob, Priority, Retry};
use tidegate_engine::run::{RunId, Trigger};
use tidegate_engine::store::{Claim, JobFilter};

use super::*;

async fn stored(store: &dyn Store, name: &str) -> Connection {
    store.connection(&connection(name)).await.unwrap()
}

pub fn several_are_added_together_or_not_at_all<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let news = |names: &[&str]| names.iter().map(|name| new_connection(name)).collect();
        store.add_connections(Vec::new(), Vec::new()).await.unwrap();
        store
            .add_connections(news(&["c1", "c2"]), Vec::new())
            .await
            .unwrap();
        // The same again, as when its answer was lost.
        store
            .add_connections(news(&["c1", "c2", "c3"]), Vec::new())
            .await
            .unwrap();
        let mut other = new_connection("c2");
        other.external_id = Some("42".into());
        let mut elsewhere = new_connection("c9");
        elsewhere.key.integration = name("erp");
        let twice = vec![new_connection("c8"), {
            let mut other = new_connection("c8");
            other.revision = 7;
            other
        }];
        for bad in [
            vec![new_connection("c7"), other],
            vec![new_connection("c7"), elsewhere],
            twice,
        ] {
            assert!(store.add_connections(bad, Vec::new()).await.is_err());
        }
        let listed = store.connections(&name("crm"), None, 100).await.unwrap();
        let names: Vec<&str> = listed.iter().map(|c| c.key.connection.as_str()).collect();
        assert_eq!(names, ["acme", "bolt", "c1", "c2", "c3"]);
    });
}

pub fn jobs_come_with_those_that_are_new_or_not_at_all<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let told = |names: &[&str]| -> Vec<NewJob> {
            let job = |at: &str| NewJob {
                id: JobId::derived(Timestamp(9), &[at.as_bytes()]),
                target: JobTarget::Event {
                    connection: connection(at),
                    event: name("connection-created"),
                },
                trigger: Trigger::Manual,
                fire: None,
                priority: Priority::Normal,
                concurrency: None,
                retry: Retry::default(),
                due_at: Timestamp(9),
                expires_at: None,
                idempotency_key: None,
                now: Timestamp(9),
            };
            names.iter().map(|name| job(name)).collect()
        };
        let news = |names: &[&str]| names.iter().map(|name| new_connection(name)).collect();
        let jobs = async |at: &str| {
            let filter = JobFilter {
                connection: Some(connection(at)),
                limit: 10,
                ..JobFilter::default()
            };
            store.jobs(filter).await.unwrap().len()
        };
        let names = ["c1", "c2"];
        store
            .add_connections(news(&names), told(&names))
            .await
            .unwrap();
        assert_eq!((jobs("c1").await, jobs("c2").await), (1, 1));
        // The same again, as when its answer was lost; one that was there before is not told of.
        let more = ["acme", "c1", "c3"];
        let added = store.add_connections(news(&["c1", "c3"]), told(&more));
        added.await.unwrap();
        let counts = (jobs("acme").await, jobs("c1").await, jobs("c3").await);
        assert_eq!(counts, (0, 1, 1));
        let mut other = new_connection("c2");
        other.external_id = Some("42".into());
        let bad = vec![new_connection("c7"), other];
        assert!(
            store
                .add_connections(bad, told(&["c7", "c2"]))
                .await
                .is_err()
        );
        assert!(store.connection(&connection("c7")).await.is_err());
        let claim = Claim {
            runs: (0..5)
                .map(|n| RunId::from_parts(Timestamp(10), n))
                .collect(),
            caps: ConcurrencyLimits::default(),
            now: Timestamp(10),
            lease_until: Timestamp(10_000),
        };
        let claimed = store.claim(claim).await.unwrap();
        assert_eq!(claimed.len(), 3, "{claimed:?}");
        assert_eq!(claimed[0].job.target.kind(), "event");
    });
}

pub fn an_update_that_has_not_seen_the_last_one_does_nothing<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let seen = stored(store, "acme").await;
        let tagged = |tag: &str, seen: &Connection| {
            let mut new = seen.clone();
            new.tags.insert(tag.into(), String::new());
            new.sealed_secrets = vec![9; 9000];
            new.created_at = Timestamp(77);
            new
        };
        let first = tagged("a", &seen);
        let update = |new: &Connection| store.update_connections(vec![new.clone()]);
        assert_eq!(update(&first).await.unwrap(), [true]);
        // The same again, as when its answer was lost; then another that has seen the same.
        assert_eq!(update(&first).await.unwrap(), [true]);
        assert_eq!(update(&tagged("b", &seen)).await.unwrap(), [false]);
        let now = stored(store, "acme").await;
        let want = Connection {
            revision: 1,
            created_at: seen.created_at,
            ..first.clone()
        };
        assert_eq!(now, want);

        // Metadata that a plugin merges counts as a change too.
        let patch = json!({"n": 1}).as_object().unwrap().clone();
        let (run, fence) = start(store, 1).await;
        store
            .merge_metadata(run, fence, patch, 1000, Timestamp(8))
            .await
            .unwrap();
        assert_eq!(update(&tagged("b", &now)).await.unwrap(), [false]);

        // Each for itself; one that is not there does nothing.
        let (acme, bolt) = (stored(store, "acme").await, stored(store, "bolt").await);
        let page = vec![
            tagged("x", &new_connection("nobody")),
            tagged("b", &acme),
            tagged("c", &acme),
            tagged("b", &bolt),
        ];
        let done = store.update_connections(page).await.unwrap();
        assert_eq!(done, [false, true, false, true]);
        let tags = |c: Connection| c.tags.into_keys().collect::<Vec<_>>();
        assert_eq!(tags(stored(store, "acme").await), ["a", "b"]);
        assert_eq!(tags(stored(store, "bolt").await), ["b"]);
        assert_eq!(stored(store, "acme").await.metadata["n"], 1);
    });
}

pub fn only_a_run_that_may_write_merges_metadata<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let merge = async |(run, fence): (RunId, Fence), n: u64| {
            let patch = json!({ "n": n }).as_object().unwrap().clone();
            store
                .merge_metadata(run, fence, patch, 1000, Timestamp(n))
                .await
        };
        let is_n = async |n: u64| stored(store, "acme").await.metadata["n"] == n;
        let (run, fence) = start(store, 1).await;
        let fenced = |run| Err(StoreError::Fenced { run });
        assert_eq!(merge((run_id(9), fence), 5).await, fenced(run_id(9)));
        assert_eq!(merge((run, fence), 6).await, Ok(()));
        assert!(is_n(6).await);
        let stale = (run, Fence(fence.0 - 1));
        assert_eq!(merge(stale, 7).await, fenced(run));
        store.finish_run(run, fence, end(8)).await.unwrap();
        assert_eq!(merge((run, fence), 9).await, fenced(run));
        assert!(is_n(6).await);

        // Its host was taken for dead, and another goes on.
        let lost = start(store, 2).await;
        let why = Failure::new(FailureClass::Internal, Blame::Host, "its lease ended");
        store.recover_runs(why, Timestamp(10)).await.unwrap();
        let next = start(store, 3).await;
        assert_eq!(merge(lost, 11).await, fenced(lost.0));
        assert!(is_n(6).await);
        assert_eq!(merge(next, 12).await, Ok(()));
        assert!(is_n(12).await);

        // Its connection was removed, and there is another one of the same name.
        store
            .remove_connection(&connection("acme"), Timestamp(13))
            .await
            .unwrap();
        store.add_connection(new_connection("acme")).await.unwrap();
        assert_eq!(merge(next, 14).await, fenced(next.0));
        assert_eq!(stored(store, "acme").await, new_connection("acme"));
    });
}

pub fn a_removed_connection_fences_its_runs<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let page = || vec![page("Contact", &[("1", r#"{"a":1}"#)], &[])];
        let (run, fence) = start(store, 1).await;
        store
            .commit_page(run, fence, commit(page(), 1))
            .await
            .unwrap();
        let other = new_run(2, Target::Sync(sync("bolt", "contacts")));
        let bolt = store.start_run(other).await.unwrap();

        let dropped = store
            .remove_connection(&connection("acme"), Timestamp(9))
            .await
            .unwrap();
        let counts = (
            dropped.connections,
            dropped.models,
            dropped.records,
            dropped.runs,
        );
        assert_eq!(counts, (1, 1, 1, 1));
        let fenced = Some(StoreError::Fenced { run });
        let late = store.commit_page(run, fence, commit(page(), 10)).await;
        assert_eq!(late.err(), fenced);
        assert_eq!(store.finish_run(run, fence, end(10)).await.err(), fenced);
        let model = name("Contact");
        let begun = store.begin_snapshot(run, fence, &model, false).await;
        assert_eq!(begun.err(), fenced);
        assert!(store.run(run).await.is_err());
        let again = store
            .remove_connection(&connection("acme"), Timestamp(9))
            .await;
        assert!(
            matches!(again, Err(StoreError::NotFound { .. })),
            "{again:?}"
        );

        // Others go on, and one of the same name begins anew.
        store
            .commit_page(run_id(2), bolt.fence, commit(page(), 11))
            .await
            .unwrap();
        store
            .add_connections(vec![new_connection("acme")], Vec::new())
            .await
            .unwrap();
        assert_eq!(feed(store).await, []);
        let (_, fence) = start(store, 3).await;
        assert_eq!(
            store
                .commit_page(run, fence, commit(page(), 12))
                .await
                .err(),
            fenced
        );
        store
            .commit_page(run_id(3), fence, commit(page(), 12))
            .await
            .unwrap();
        let report = store.check().await.unwrap();
        assert_eq!(report.findings, []);
    });
}
