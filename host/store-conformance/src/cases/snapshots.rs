//! Snapshots: what a full pull did not see, and what becomes of it.

use super::*;

pub fn snapshots_delete_what_they_did_not_see<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let contact = name("Contact");
        let (run, fence) = start(store, 1).await;
        let save = |ids: &[&str], body: &str| {
            let save: Vec<(&str, &str)> = ids.iter().map(|id| (*id, body)).collect();
            commit(vec![page("Contact", &save, &[])], 9)
        };
        store
            .commit_page(run, fence, save(&["a", "b", "c", "d", "e"], "{}"))
            .await
            .unwrap();
        store
            .begin_snapshot(run, fence, &contact, false)
            .await
            .unwrap();
        // Unchanged, changed and new all count as seen; an interruption does not matter.
        store
            .commit_page(run, fence, save(&["a"], "{}"))
            .await
            .unwrap();
        store.finish_run(run, fence, end(9)).await.unwrap();
        let (run, fence) = start(store, 2).await;
        store
            .begin_snapshot(run, fence, &contact, false)
            .await
            .unwrap();
        store
            .commit_page(run, fence, save(&["b", "f"], "{\"v\":2}"))
            .await
            .unwrap();

        let guard = SnapshotGuard {
            max_share_percent: 49,
            allow_all: false,
        };
        let refused = store
            .end_snapshot(
                run,
                fence,
                &contact,
                EndSnapshot {
                    proof: Proof::OneAnswer,
                    guard,
                    checkpoint: Some("1".into()),
                    now: Timestamp(20),
                },
            )
            .await;
        let refusal = SnapshotRefusal {
            model: contact.clone(),
            live: 6,
            seen: 3,
            would_delete: 3,
            max_share_percent: 49,
        };
        assert_eq!(refused, Err(StoreError::Guard(refusal)));
        assert_eq!(store.checkpoint(&sync("acme", "contacts")).await, Ok(None));
        // The refusal closed it, so that the next pull finds what is there then.
        let guard = SnapshotGuard::default();
        let none = store
            .end_snapshot(
                run,
                fence,
                &contact,
                EndSnapshot {
                    proof: Proof::OneAnswer,
                    guard,
                    checkpoint: None,
                    now: Timestamp(20),
                },
            )
            .await;
        let model = contact.clone();
        assert_eq!(none, Err(StoreError::NoSnapshot { model }));
        let open = store.begin_snapshot(run, fence, &contact, false).await;
        assert_eq!(open, Ok(false));
        for (ids, body) in [(&["a"][..], "{}"), (&["b", "f"], "{\"v\":2}")] {
            let unchanged = store.commit_page(run, fence, save(ids, body)).await;
            assert_eq!(unchanged.unwrap()[0].unchanged, ids.len() as u64);
        }
        let ended = store
            .end_snapshot(
                run,
                fence,
                &contact,
                EndSnapshot {
                    proof: Proof::OneAnswer,
                    guard,
                    checkpoint: Some("2".into()),
                    now: Timestamp(21),
                },
            )
            .await;
        assert_eq!(ended.map(|end| end.deleted), Ok(3));
        assert_eq!(
            store.checkpoint(&sync("acme", "contacts")).await,
            Ok(Some("2".into()))
        );
        let deleted: Vec<_> = feed(store).await.into_iter().skip(3).collect();
        let gone = |id: &str, seq| (id.to_owned(), Action::Deleted, seq);
        assert_eq!(deleted, [gone("c", 8), gone("d", 9), gone("e", 10)]);
        assert_eq!(
            store.run(run).await.unwrap().progress.counts[&contact].deleted,
            3
        );
        let again = store
            .end_snapshot(
                run,
                fence,
                &contact,
                EndSnapshot {
                    proof: Proof::OneAnswer,
                    guard,
                    checkpoint: None,
                    now: Timestamp(22),
                },
            )
            .await;
        assert_eq!(
            again,
            Err(StoreError::NoSnapshot {
                model: contact.clone()
            })
        );

        // An empty pull would delete everything: only when the operator says so.
        store
            .begin_snapshot(run, fence, &contact, false)
            .await
            .unwrap();
        let guard = SnapshotGuard {
            max_share_percent: 100,
            allow_all: false,
        };
        let all = store
            .end_snapshot(
                run,
                fence,
                &contact,
                EndSnapshot {
                    proof: Proof::OneAnswer,
                    guard,
                    checkpoint: None,
                    now: Timestamp(23),
                },
            )
            .await;
        assert!(matches!(all, Err(StoreError::Guard(_))), "{all:?}");
        let guard = SnapshotGuard {
            allow_all: true,
            ..guard
        };
        let open = store.begin_snapshot(run, fence, &contact, false).await;
        assert_eq!(open, Ok(false));
        assert_eq!(
            store
                .end_snapshot(
                    run,
                    fence,
                    &contact,
                    EndSnapshot {
                        proof: Proof::OneAnswer,
                        guard,
                        checkpoint: None,
                        now: Timestamp(24)
                    }
                )
                .await,
            Ok(Ended {
                deleted: 3,
                kept: 0
            })
        );
    });
}
