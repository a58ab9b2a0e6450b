//! Snapshots in passes: what is unseen, and what proves that it is gone.

use tidegate_engine::run::RunId;
use tidegate_engine::store::Unseen;

use super::*;

/// Records that are saved in a pass, as they are stored already.
async fn pull(store: &dyn Store, run: RunId, fence: Fence, ids: &[&str]) {
    let save: Vec<(&str, &str)> = ids.iter().map(|id| (*id, "{}")).collect();
    let commit = commit(vec![page("Contact", &save, &[])], 9);
    store.commit_page(run, fence, commit).await.unwrap();
}

fn ending(proof: Proof) -> EndSnapshot {
    EndSnapshot {
        proof,
        guard: SnapshotGuard::default(),
        checkpoint: Some("\"end\"".into()),
        now: Timestamp(20),
    }
}

const ALL: &[&str] = &["a", "b", "c", "d", "e", "f"];

pub fn the_end_deletes_only_what_is_proven<B: Backend>(backend: &B) {
    // What each pass sees, how it ends, what is left.
    type Row<'a> = (&'a [&'a [&'a str]], Proof, &'a [&'a str]);
    let rows: &[Row<'_>] = &[
        (&[&["a", "b", "c", "d"]], Proof::None, ALL),
        (
            &[&["a", "b", "c", "d"]],
            Proof::OneAnswer,
            &["a", "b", "c", "d"],
        ),
        // There was no pass before.
        (&[&["a", "b", "c", "d"]], Proof::TwoPasses, ALL),
        (
            &[&["a", "b", "c", "d"], &["a", "b", "c", "d"]],
            Proof::TwoPasses,
            &["a", "b", "c", "d"],
        ),
        // What came back, lives; the other is gone.
        (
            &[&["a", "b", "c", "d"], &["a", "b", "c", "d", "e"]],
            Proof::TwoPasses,
            &["a", "b", "c", "d", "e"],
        ),
        // The second misses what the first saw: the list was another.
        (
            &[&["a", "b", "c", "d"], &["a", "b", "c", "e"]],
            Proof::TwoPasses,
            ALL,
        ),
        // Only the last two count.
        (
            &[
                &["a", "b", "c"],
                &["a", "b", "d", "e"],
                &["a", "b", "d", "e"],
            ],
            Proof::TwoPasses,
            &["a", "b", "d", "e"],
        ),
        (&[&["a", "b", "c"], &["a", "b", "c"]], Proof::None, ALL),
    ];
    for (passes, proof, left) in rows {
        on_both(backend, async |store| {
            let contact = name("Contact");
            let (run, fence) = start(store, 1).await;
            pull(store, run, fence, ALL).await;
            store
                .begin_snapshot(run, fence, &contact, true)
                .await
                .unwrap();
            for (number, ids) in passes.iter().enumerate() {
                if number > 0 {
                    let missed = ALL.len() - passes[number - 1].len();
                    let repeated = store
                        .repeat_snapshot(run, fence, &contact, Some(number.to_string()))
                        .await;
                    assert_eq!(repeated, Ok(missed as u64));
                    assert_eq!(
                        store.checkpoint(&sync("acme", "contacts")).await,
                        Ok(Some(number.to_string()))
                    );
                }
                pull(store, run, fence, ids).await;
            }
            let ended = store
                .end_snapshot(run, fence, &contact, ending(*proof))
                .await
                .unwrap();
            let last = passes.last().unwrap().len();
            assert_eq!(ended.deleted as usize, ALL.len() - left.len(), "{passes:?}");
            let unseen = ALL.len() - last;
            let kept = if ended.deleted > 0 { 0 } else { unseen };
            assert_eq!(ended.kept as usize, kept, "{passes:?}");
            let live = feed(store).await.into_iter();
            let mut live: Vec<String> = live
                .filter(|(_, action, _)| *action != Action::Deleted)
                .map(|(id, ..)| id)
                .collect();
            live.sort();
            assert_eq!(live, *left, "{passes:?} {proof:?}");
            assert_eq!(
                store.checkpoint(&sync("acme", "contacts")).await,
                Ok(Some("\"end\"".into()))
            );
            // It is closed in any case.
            let again = store
                .end_snapshot(run, fence, &contact, ending(Proof::None))
                .await;
            assert!(matches!(again, Err(StoreError::NoSnapshot { .. })));
        });
    }
}

pub fn what_is_unseen_is_listed_in_steps_and_guarded<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let contact = name("Contact");
        let (run, fence) = start(store, 1).await;
        pull(store, run, fence, ALL).await;
        let guard = SnapshotGuard::default();
        let none = store.unseen(run, fence, &contact, guard, 0, 10).await;
        assert!(matches!(none, Err(StoreError::NoSnapshot { .. })));
        store
            .begin_snapshot(run, fence, &contact, true)
            .await
            .unwrap();
        pull(store, run, fence, &["a", "c", "e"]).await;
        let (mut ids, mut after) = (Vec::new(), Some(0));
        while let Some(from) = after {
            let found = store.unseen(run, fence, &contact, guard, from, 2).await;
            let Unseen {
                ids: found,
                next,
                unseen,
                seen,
            } = found.unwrap();
            assert_eq!((unseen, seen), (3, 3));
            assert!(found.len() <= 2);
            ids.extend(found);
            after = next;
        }
        assert_eq!(ids, ["b", "d", "f"]);
        // More than the guard allows closes it.
        let strict = SnapshotGuard {
            max_share_percent: 49,
            allow_all: false,
        };
        let refused = store.unseen(run, fence, &contact, strict, 0, 2).await;
        assert!(matches!(refused, Err(StoreError::Guard(_))), "{refused:?}");
        let closed = store.unseen(run, fence, &contact, guard, 0, 2).await;
        assert!(matches!(closed, Err(StoreError::NoSnapshot { .. })));
    });
}

pub fn a_pass_goes_on_after_the_store_was_opened_again<B: Backend>(backend: &B) {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let contact = name("Contact");
        let store = backend.open(dir.path());
        set_up(&store).await;
        let (run, fence) = start(&store, 1).await;
        pull(&store, run, fence, ALL).await;
        store
            .begin_snapshot(run, fence, &contact, true)
            .await
            .unwrap();
        pull(&store, run, fence, &["a", "b", "c", "d"]).await;
        store
            .repeat_snapshot(run, fence, &contact, None)
            .await
            .unwrap();
        pull(&store, run, fence, &["a", "b"]).await;
        store.close().await.unwrap();
        drop(store);
        let store = backend.open(dir.path());
        assert_eq!(store.check().await.unwrap().findings, []);
        pull(&store, run, fence, &["c", "d"]).await;
        let ended = store
            .end_snapshot(run, fence, &contact, ending(Proof::TwoPasses))
            .await;
        assert_eq!(
            ended,
            Ok(Ended {
                deleted: 2,
                kept: 0
            })
        );
        assert_eq!(store.check().await.unwrap().findings, []);
        store.close().await.unwrap();
    });
}
