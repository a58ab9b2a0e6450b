//! An action's start and end, answered before they are on disk.

use super::*;

fn action(number: u64) -> tidegate_engine::run::NewRun {
    let target = Target::Action {
        connection: connection("acme"),
        action: name("create"),
    };
    new_run(number, target)
}

pub fn what_is_answered_early_is_seen_by_all<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let (started, stored) = store.start_run_early(action(1)).await.unwrap();
        let run = store.run(run_id(1)).await.unwrap();
        assert_eq!((run.fence, run.end), (started.fence, None));
        stored.wait().await.unwrap();
        stored.clone().wait().await.unwrap();

        let stale = Fence(started.fence.0 + 1);
        let fenced = Err(StoreError::Fenced { run: run_id(1) });
        let early = store.finish_run_early(run_id(1), stale, end(9)).await;
        assert_eq!(early.map(drop), fenced);
        let ended = store
            .finish_run_early(run_id(1), started.fence, end(9))
            .await
            .unwrap();
        assert_eq!(ended.end, Some(end(9)));
        assert_eq!(store.run(run_id(1)).await.unwrap(), ended);
        let again = store.finish_run(run_id(1), started.fence, end(10)).await;
        assert_eq!(again.map(drop), fenced);
    });
}

pub fn an_early_start_is_refused_as_any_other<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let nowhere = Target::Action {
            connection: connection("nowhere"),
            action: name("create"),
        };
        let refused = store.start_run_early(new_run(1, nowhere)).await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })));
        // The same again is the same run.
        let (first, _) = store.start_run_early(action(2)).await.unwrap();
        let (again, stored) = store.start_run_early(action(2)).await.unwrap();
        assert_eq!(first, again);
        stored.wait().await.unwrap();
    });
}
