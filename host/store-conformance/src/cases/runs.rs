//! Runs: fences, resets, listing, recovery, deployments.

use super::*;

pub fn fences_keep_old_runs_out<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let (run, fence) = start(store, 1).await;
        let target = Target::Sync(sync("acme", "contacts"));
        let busy = store
            .start_run(new_run(2, target.clone()))
            .await
            .unwrap_err();
        assert_eq!(
            busy,
            StoreError::Busy {
                what: "crm/contacts (acme)".into(),
                by: run.to_string()
            }
        );
        // Another sync, another connection and an action are free.
        for (number, free) in [
            (3, Target::Sync(sync("acme", "deals"))),
            (4, Target::Sync(sync("bolt", "contacts"))),
            (
                5,
                Target::Action {
                    connection: connection("acme"),
                    action: name("push"),
                },
            ),
        ] {
            store.start_run(new_run(number, free)).await.unwrap();
        }
        let fenced = Err(StoreError::Fenced { run });
        let stale = Fence(fence.0 - 1);
        let mut page = commit(vec![page("Contact", &[("a", "{}")], &[])], 9);
        assert_eq!(
            store.commit_page(run, stale, page.clone()).await,
            fenced.clone().map(|()| vec![])
        );
        assert_eq!(
            store.finish_run(run, stale, end(9)).await.map(drop),
            fenced.clone()
        );
        store.finish_run(run, fence, end(9)).await.unwrap();
        assert_eq!(
            store.finish_run(run, fence, end(10)).await.map(drop),
            fenced
        );
        assert_eq!(
            store.commit_page(run, fence, page.clone()).await,
            fenced.clone().map(|()| vec![])
        );
        assert_eq!(
            store
                .begin_snapshot(run, fence, &name("Contact"), false)
                .await,
            fenced.clone().map(|()| true)
        );
        assert_eq!(store.run(run).await.unwrap().end.unwrap().at, Timestamp(9));
        assert_eq!(feed(store).await, []);

        // An action saves records, but has no checkpoint.
        let action = store.run(run_id(5)).await.unwrap();
        store
            .commit_page(action.id, action.fence, page.clone())
            .await
            .unwrap();
        page.checkpoint = Some("1".into());
        let error = store
            .commit_page(action.id, action.fence, page)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
        let (_, second) = start(store, 6).await;
        assert!(second > fence);
    });
}

pub fn a_reset_forgets_the_checkpoint_and_the_snapshot<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let (run, fence) = start(store, 1).await;
        let mut commit = commit(vec![page("Contact", &[("a", "{}")], &[])], 9);
        commit.checkpoint = Some("{\"at\":1}".into());
        store.commit_page(run, fence, commit).await.unwrap();
        assert_eq!(
            store
                .begin_snapshot(run, fence, &name("Contact"), false)
                .await,
            Ok(false)
        );
        assert_eq!(
            store
                .begin_snapshot(run, fence, &name("Contact"), false)
                .await,
            Ok(true)
        );
        store.finish_run(run, fence, end(9)).await.unwrap();

        let mut again = new_run(2, Target::Sync(sync("acme", "contacts")));
        let started = store.start_run(again.clone()).await.unwrap();
        assert_eq!(started.checkpoint.as_deref(), Some("{\"at\":1}"));
        let contact = name("Contact");
        assert_eq!(
            store
                .begin_snapshot(again.id, started.fence, &contact, false)
                .await,
            Ok(true)
        );
        store
            .finish_run(again.id, started.fence, end(9))
            .await
            .unwrap();

        (again.id, again.reset) = (run_id(3), true);
        let started = store.start_run(again.clone()).await.unwrap();
        assert_eq!(started.checkpoint, None);
        let guard = SnapshotGuard::default();
        let ended = store
            .end_snapshot(
                again.id,
                started.fence,
                &contact,
                EndSnapshot {
                    proof: Proof::OneAnswer,
                    guard,
                    checkpoint: None,
                    now: Timestamp(9),
                },
            )
            .await;
        assert_eq!(ended, Err(StoreError::NoSnapshot { model: contact }));
        assert_eq!(feed(store).await.len(), 1);
    });
}

pub fn runs_are_listed_recovered_and_logged<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let targets = [
            Target::Sync(sync("acme", "contacts")),
            Target::Sync(sync("acme", "deals")),
            Target::Sync(sync("bolt", "contacts")),
            Target::Action {
                connection: connection("bolt"),
                action: name("push"),
            },
        ];
        for (number, target) in (1..).zip(targets) {
            store.start_run(new_run(number, target)).await.unwrap();
        }
        let ended = store.run(run_id(2)).await.unwrap();
        store
            .finish_run(ended.id, ended.fence, end(50))
            .await
            .unwrap();

        let filter = |limit| RunFilter {
            limit,
            ..RunFilter::default()
        };
        let by = |outcome: &str| RunFilter {
            outcome: Some(outcome.into()),
            ..filter(10)
        };
        let rows = [
            (by("success"), vec![2]),
            (by("running"), vec![4, 3, 1]),
            (by("failed"), vec![]),
            (by("nonsense"), vec![]),
            (
                RunFilter {
                    connection: Some(connection("acme")),
                    ..by("running")
                },
                vec![1],
            ),
            (filter(10), vec![4, 3, 2, 1]),
            (filter(2), vec![4, 3]),
            (
                RunFilter {
                    before: Some(run_id(3)),
                    ..filter(10)
                },
                vec![2, 1],
            ),
            (
                RunFilter {
                    connection: Some(connection("acme")),
                    ..filter(10)
                },
                vec![2, 1],
            ),
            (
                RunFilter {
                    integration: Some(name("crm")),
                    ..filter(3)
                },
                vec![4, 3, 2],
            ),
            (
                RunFilter {
                    integration: Some(name("other")),
                    ..filter(3)
                },
                vec![],
            ),
            (
                RunFilter {
                    connection: Some(connection("nobody")),
                    ..filter(3)
                },
                vec![],
            ),
        ];
        for (filter, want) in rows {
            let runs = store.runs(filter.clone()).await.unwrap();
            let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
            assert_eq!(
                ids,
                want.into_iter().map(run_id).collect::<Vec<_>>(),
                "{filter:?}"
            );
        }

        let why = Failure::new(FailureClass::Internal, Blame::Host, "the process ended");
        let recovered = store
            .recover_runs(why.clone(), Timestamp(60))
            .await
            .unwrap();
        assert_eq!(recovered, [1, 3, 4].map(run_id));
        assert_eq!(
            store.recover_runs(why.clone(), Timestamp(61)).await,
            Ok(vec![])
        );
        let run = store.run(run_id(1)).await.unwrap().end.unwrap();
        assert_eq!(
            (run.outcome, run.failure),
            (Outcome::Interrupted, Some(why))
        );
        start(store, 9).await;

        let line = |index| LogLine {
            index,
            at: Timestamp(index),
            level: Level::Warn,
            source: LogSource::Stdout,
            message: format!("line {index}"),
            fields: None,
        };
        for indexes in [0..3, 3..5, 3..5, 7..400] {
            store
                .append_logs(run_id(9), indexes.map(line).collect())
                .await
                .unwrap();
        }
        for (from, limit, want) in [
            (0, 2, vec![0, 1]),
            (2, 4, vec![2, 3, 4, 7]),
            (398, 9, vec![398, 399]),
            (500, 9, vec![]),
        ] {
            let lines = store.logs(run_id(9), from, limit).await.unwrap();
            assert_eq!(lines, want.into_iter().map(line).collect::<Vec<_>>());
        }
        for missing in [
            store.append_logs(run_id(99), vec![line(0)]).await,
            store.logs(run_id(99), 0, 1).await.map(drop),
        ] {
            assert!(
                matches!(missing, Err(StoreError::NotFound { what: "run", .. })),
                "{missing:?}"
            );
        }
    });
}

pub fn deploying_again_keeps_the_data<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let (run, fence) = start(store, 1).await;
        let mut commit = commit(vec![page("Contact", &[("a", "{}")], &[])], 9);
        commit.checkpoint = Some("7".into());
        commit.progress = Figures {
            requests: 3,
            ..Figures::default()
        };
        store.commit_page(run, fence, commit).await.unwrap();
        let metadata = serde_json::json!({ "x": "y".repeat(50) })
            .as_object()
            .unwrap()
            .clone();
        store
            .merge_metadata(run, fence, metadata.clone(), 100, Timestamp(7))
            .await
            .unwrap();
        let long = store
            .merge_metadata(run, fence, metadata, 50, Timestamp(8))
            .await;
        assert!(long.unwrap_err().to_string().contains("limit is 50"));

        for number in 2..15 {
            let new = deployment(store, &format!("{number}.0.0"), number).await;
            let deployed = store.deploy(new.clone()).await.unwrap();
            assert_eq!(u64::from(deployed.current.number), number);
            // The same again, as after a lost answer.
            assert_eq!(store.deploy(new).await.unwrap(), deployed);
        }
        let integration = store.integration(&name("crm")).await.unwrap();
        let earlier: Vec<u32> = integration.earlier.iter().map(|d| d.number).collect();
        assert_eq!(earlier, (4..14).rev().collect::<Vec<u32>>());
        assert_eq!(
            store.checkpoint(&sync("acme", "contacts")).await,
            Ok(Some("7".into()))
        );
        assert_eq!(feed(store).await.len(), 1);
        let connection = store.connection(&connection("acme")).await.unwrap();
        assert_eq!(
            (connection.metadata.len(), connection.updated_at),
            (1, Timestamp(7))
        );
        assert_eq!(connection.sealed_secrets, [1, 2, 3]);

        let same = store.add_connection(new_connection("bolt")).await;
        assert_eq!(same, Ok(()));
        let mut other = new_connection("bolt");
        other.secret_names.clear();
        let exists = store.add_connection(other).await.unwrap_err();
        assert!(
            matches!(
                exists,
                StoreError::Exists {
                    what: "connection",
                    ..
                }
            ),
            "{exists}"
        );
        let mut nowhere = new_connection("acme");
        nowhere.key.integration = name("other");
        let missing = store.add_connection(nowhere).await.unwrap_err();
        assert!(
            matches!(
                missing,
                StoreError::NotFound {
                    what: "integration",
                    ..
                }
            ),
            "{missing}"
        );
        let mut unknown = deployment(store, "9.9.9", 1).await;
        unknown.digest = tidegate_engine::integration::Digest::of(b"never stored");
        let missing = store.deploy(unknown).await.unwrap_err();
        assert!(
            matches!(
                missing,
                StoreError::NotFound {
                    what: "component",
                    ..
                }
            ),
            "{missing}"
        );
    });
}
