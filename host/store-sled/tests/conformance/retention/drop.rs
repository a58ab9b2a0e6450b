//! What dropping removes, what refuses it, and that nobody sees it half done.

use super::*;

use tidegate_engine::run::{Level, LogLine, LogSource, Target};
use tidegate_engine::store::RunFilter;

fn scopes() -> [Scope; 3] {
    [
        Scope::Model(model("acme", "Contact")),
        Scope::Connection(connection("acme")),
        Scope::Integration(name("crm")),
    ]
}

/// Two ended runs with logs, records of two connections, a checkpoint, an open snapshot.
async fn fill(store: &dyn Store, first_run: u64) {
    for (number, connection_name) in [(first_run, "acme"), (first_run + 1, "bolt")] {
        let target = Target::Sync(sync(connection_name, "contacts"));
        let started = store.start_run(new_run(number, target)).await.unwrap();
        let (run, fence) = (run_id(number), started.fence);
        store
            .begin_snapshot(run, fence, &name("Contact"), true)
            .await
            .unwrap();
        let pages = vec![
            page("Contact", &[("a", "{}"), ("b", "{\"v\":1}")], &[]),
            page("Deal", &[("a", "{}")], &[]),
        ];
        let mut saved = commit(pages, number);
        saved.checkpoint = Some(format!("\"{connection_name}\""));
        store.commit_page(run, fence, saved).await.unwrap();
        let gone = commit(vec![page("Contact", &[], &["a"])], number);
        store.commit_page(run, fence, gone).await.unwrap();
        store.append_logs(run, vec![line(0)]).await.unwrap();
        store.finish_run(run, fence, end(number)).await.unwrap();
    }
}

/// A long line of a log.
fn line(index: u64) -> LogLine {
    LogLine {
        index,
        at: Timestamp(index),
        level: Level::Info,
        source: LogSource::Host,
        message: "x".repeat(30_000),
        fields: None,
    }
}

async fn runs(store: &dyn Store) -> usize {
    let all = RunFilter {
        limit: 100,
        ..RunFilter::default()
    };
    store.runs(all).await.unwrap().len()
}

#[test]
fn a_scope_goes_with_all_that_is_its_and_nothing_else() {
    on_both(async |store| {
        let contact = model("acme", "Contact");
        let dropped = |connections, models, records, runs| Dropped {
            connections,
            models,
            records,
            runs,
        };
        // (what is dropped, what is counted, runs that are left, what bolt's first model has then)
        let rows = [
            (dropped(0, 1, 2, 0), 2, Some(2)),
            (dropped(1, 2, 3, 1), 1, Some(2)),
            (dropped(2, 4, 6, 2), 0, None),
        ];
        let mut runs_left = 0;
        for (number, (scope, (want, left, of_bolt))) in scopes().iter().zip(rows).enumerate() {
            let first_run = 10 * (number as u64 + 1);
            if number > 0 {
                // Without what the round before has left.
                store
                    .drop_scope(&Scope::Integration(name("crm")))
                    .await
                    .unwrap();
                set_up(store).await;
                runs_left = 0;
            }
            fill(store, first_run).await;
            let cursor = next(store, &contact, None, 10).await.unwrap().next;
            let digest = store
                .integration(&name("crm"))
                .await
                .unwrap()
                .current
                .digest;
            let deal = model("acme", "Deal");
            assert_eq!(store.drop_scope(scope).await.unwrap(), want, "{scope}");

            assert_eq!(runs(store).await, runs_left + left, "{scope}");
            let found = next(store, &contact, Some(cursor), 10).await.unwrap_err();
            let known = store.checkpoints(&connection("acme")).await;
            if number == 0 {
                assert_eq!(found, StoreError::Cursor(CursorError::OtherFeed));
                assert_eq!(known.unwrap().len(), 1);
                assert_eq!(next(store, &deal, None, 9).await.unwrap().records.len(), 1);
                let ids = ["b".to_owned()];
                assert_eq!(store.records(&contact, &ids).await.unwrap(), [None]);
                assert_eq!(stats(store, "acme", "Contact").await, ModelStats::default());
            } else {
                assert!(matches!(
                    found,
                    StoreError::NotFound {
                        what: "connection",
                        ..
                    }
                ));
                assert!(matches!(known, Err(StoreError::NotFound { .. })));
                let error = store.run(run_id(first_run)).await.unwrap_err();
                assert!(matches!(error, StoreError::NotFound { what: "run", .. }));
                let error = store.logs(run_id(first_run), 0, 1).await.unwrap_err();
                assert!(matches!(error, StoreError::NotFound { what: "run", .. }));
            }
            let bolt = store.models(&connection("bolt")).await.ok();
            assert_eq!(bolt.map(|models| models.len()), of_bolt);
            assert_eq!(store.component(digest).await.is_ok(), number < 2);
            assert_eq!(store.check().await.unwrap().findings, []);
            let error = store.drop_scope(scope).await.unwrap_err();
            let what = ["model", "connection", "integration"][number];
            assert!(
                matches!(&error, StoreError::NotFound { what: it, .. } if *it == what),
                "{error}"
            );

            // Made anew, it is another feed.
            if number == 2 {
                set_up(store).await;
            } else if number == 1 {
                store.add_connection(new_connection("acme")).await.unwrap();
            }
            assert_eq!(next(store, &contact, None, 9).await.unwrap().records, []);
            fill(store, first_run + 5).await;
            let found = next(store, &contact, Some(cursor), 10).await.unwrap_err();
            assert_eq!(found, StoreError::Cursor(CursorError::OtherFeed));
            assert_eq!(stats(store, "acme", "Contact").await.live, 1);
        }
    });
}

#[test]
fn a_run_that_has_not_ended_keeps_what_it_works_on() {
    on_both(async |store| {
        fill(store, 1).await;
        let action = Target::Action {
            connection: connection("acme"),
            action: name("push"),
        };
        let started = store.start_run(new_run(9, action)).await.unwrap();
        for scope in scopes() {
            let error = store.drop_scope(&scope).await.unwrap_err();
            let want = StoreError::Busy {
                what: scope.to_string(),
                by: run_id(9).to_string(),
            };
            assert_eq!(error, want);
        }
        // Another connection is nobody's business.
        store
            .drop_scope(&Scope::Connection(connection("bolt")))
            .await
            .unwrap();
        store
            .finish_run(run_id(9), started.fence, end(9))
            .await
            .unwrap();
        for scope in scopes() {
            store.drop_scope(&scope).await.unwrap();
        }
    });
}

#[test]
fn components_that_another_deployment_uses_stay() {
    on_both(async |store| {
        let mut other = deployment(store, "1.0.0", 6).await;
        other.integration = name("shop");
        let shared = other.digest;
        store.deploy(other).await.unwrap();
        let newer = deployment(store, "2.0.0", 7).await;
        let own = newer.digest;
        store.deploy(newer).await.unwrap();
        store
            .drop_scope(&Scope::Integration(name("crm")))
            .await
            .unwrap();
        assert!(store.component(shared).await.is_ok());
        let error = store.component(own).await.unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
        // An earlier deployment counts as well.
        store
            .drop_scope(&Scope::Integration(name("shop")))
            .await
            .unwrap();
        assert!(store.component(shared).await.is_err());
    });
}

/// A store that was closed while what `removal` took the names of was purged: rows of the kind
/// `still` were there yet. It is closed once `is_gone` finds the names gone; how far the purge is by then is up to the
/// threads, so it is tried until some is left.
pub(super) fn closed_within<T>(
    still: char,
    prepared: impl AsyncFn(&SledStore),
    removal: impl AsyncFn(&SledStore) -> Result<T, StoreError>,
    is_gone: impl AsyncFn(&SledStore) -> bool,
) -> (tempfile::TempDir, std::collections::BTreeMap<char, usize>) {
    for _ in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let cut_short = block_on(async {
            let store = open(dir.path());
            prepared(&store).await;
            let is_over = std::cell::Cell::new(false);
            let removing = async {
                let removed = removal(&store).await;
                is_over.set(true);
                removed
            };
            let closing = async {
                while !is_over.get() && !is_gone(&store).await {
                    tokio::task::yield_now().await;
                }
                store.close().await
            };
            let (removed, closed) = tokio::join!(removing, closing);
            closed.unwrap();
            removed.is_err()
        });
        let left = keys(dir.path());
        // `d` says what is to be purged: the names are gone.
        if cut_short && left.contains_key(&'d') && left.contains_key(&still) {
            return (dir, left);
        }
    }
    panic!("each removal was done before the store was closed")
}

/// Nothing but the store's own three rows is left; each scope is dropped, the store closed
/// while it is purged, and opened again.
#[test]
fn a_purge_that_was_interrupted_goes_on() {
    for scope in scopes() {
        let prepared = async |store: &SledStore| {
            set_up(store).await;
            let run = start(store, 1).await;
            load(store, run, "Contact", 30_000, 1, 10).await;
            store.finish_run(run.0, run.1, end(1)).await.unwrap();
            fill(store, 2).await;
        };
        let removal = async |store: &SledStore| store.drop_scope(&scope).await;
        let is_gone = async |store: &SledStore| {
            // An error says that the connection is.
            let models = store.models(&connection("acme")).await;
            !models.is_ok_and(|all| all.iter().any(|(own, _)| own.as_str() == "Contact"))
        };
        let (dir, _) = closed_within('g', prepared, removal, is_gone);
        let store = open(dir.path());
        block_on(async {
            // Whatever is left of it is seen by nobody.
            let found = next(&store, &model("acme", "Contact"), None, 9).await;
            assert!(found.is_err() || found.unwrap().records.is_empty());
            let left = match scope {
                Scope::Model(_) => 3,
                Scope::Connection(_) => 1,
                Scope::Integration(_) => 0,
            };
            assert_eq!(runs(&store).await, left);
            assert_eq!(store.run(run_id(1)).await.is_ok(), left == 3);
            assert_eq!(store.logs(run_id(2), 0, 9).await.is_ok(), left == 3);
            assert_eq!(store.check().await.unwrap().findings, []);
            store.settle().await.unwrap();
            assert_eq!(store.check().await.unwrap().findings, []);
            if !matches!(scope, Scope::Integration(_)) {
                store
                    .drop_scope(&Scope::Integration(name("crm")))
                    .await
                    .unwrap();
            }
            store.close().await.unwrap();
        });
        drop(store);
        let left = keys(dir.path());
        assert_eq!(left, [('a', 3)].into(), "{scope}");
    }
}

/// A run had not ended, and the store was closed before the purge was done: nothing of either stands
/// in the way of opening it.
#[test]
fn a_removal_under_a_run_that_was_interrupted_goes_on() {
    let prepared = async |store: &SledStore| {
        set_up(store).await;
        let run = start(store, 1).await;
        load(store, run, "Contact", 1_000, 1, 10).await;
        // The run goes with the last of its log, which takes several steps.
        let lines = (0..400).map(line).collect();
        store.append_logs(run.0, lines).await.unwrap();
    };
    let acme = connection("acme");
    let removal = async |store: &SledStore| store.remove_connection(&acme, Timestamp(9)).await;
    let is_gone = async |store: &SledStore| store.connection(&acme).await.is_err();
    let (dir, left) = closed_within('r', prepared, removal, is_gone);
    assert!(!left.contains_key(&'s'), "{left:?}");
    let store = open(dir.path());
    block_on(async {
        assert_eq!(runs(&store).await, 0);
        assert!(store.connection(&connection("acme")).await.is_err());
        assert_eq!(store.check().await.unwrap().findings, []);
        store.settle().await.unwrap();
        assert_eq!(store.check().await.unwrap().findings, []);
        store.close().await.unwrap();
    });
    drop(store);
    assert!(!keys(dir.path()).contains_key(&'r'));
}

#[test]
fn readers_beside_a_drop_find_it_or_not() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        set_up(&store).await;
        let contact = model("acme", "Contact");
        for round in 0..4 {
            let run = start(&store, 1 + round).await;
            load(&store, run, "Contact", 10_000, round, 10).await;
            store.finish_run(run.0, run.1, end(1)).await.unwrap();
            let reader = async {
                let mut after = None;
                loop {
                    let changes = match next(&store, &contact, after, 500).await {
                        Ok(changes) => changes,
                        Err(StoreError::Cursor(CursorError::OtherFeed)) => break,
                        Err(error) => panic!("{error}"),
                    };
                    after = Some(changes.next).filter(|_| changes.more);
                    if changes.records.is_empty() && after.is_none() {
                        break;
                    }
                }
            };
            // Reads that take long enough for the purge to overtake them.
            let long_reader = async {
                while !next(&store, &contact, None, 100_000)
                    .await
                    .unwrap()
                    .records
                    .is_empty()
                {}
            };
            let getter = async {
                let ids: Vec<String> = (0..10_000)
                    .step_by(37)
                    .map(|n| format!("id-{n:07}"))
                    .collect();
                loop {
                    let found = store.records(&contact, &ids).await.unwrap();
                    let found = found.iter().flatten().count();
                    assert!(found == 0 || found == ids.len(), "{found} of {}", ids.len());
                    let live = stats(&store, "acme", "Contact").await.live;
                    assert!(live == 0 || live == 10_000, "{live}");
                    if found == 0 {
                        break;
                    }
                }
            };
            let drop = async {
                tokio::task::yield_now().await;
                store.drop_scope(&Scope::Model(contact.clone())).await
            };
            let ((), (), (), dropped) = tokio::join!(reader, long_reader, getter, drop);
            assert_eq!(dropped.unwrap().records, 10_000);
        }
    });
}
