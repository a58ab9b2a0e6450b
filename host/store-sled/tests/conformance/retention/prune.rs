//! What pruning keeps, what it counts, and who is told.

use super::*;

/// Save records by (id, body) at `now`, delete others.
async fn change(
    store: &dyn Store,
    (run, fence): (RunId, Fence),
    save: &[(&str, &str)],
    delete: &[&str],
    now: u64,
) -> Counts {
    let page = page("Contact", save, delete);
    let counts = store.commit_page(run, fence, commit(vec![page], now)).await;
    counts.unwrap()[0]
}

async fn bodies(store: &dyn Store) -> Vec<(String, Action, Option<String>)> {
    let changes = next(store, &model("acme", "Contact"), None, 1000).await;
    let records = changes.unwrap().records;
    records
        .into_iter()
        .map(|record| (record.id, record.action, record.body))
        .collect()
}

#[test]
fn pruned_records_keep_everything_but_the_body() {
    on_both(async |store| {
        let contact = model("acme", "Contact");
        // No feed as yet, and no connection.
        let nothing = store.prune(&contact, Timestamp(99)).await.unwrap();
        assert_eq!(nothing, Pruned::default());
        let error = store.prune(&model("nobody", "Contact"), Timestamp(9)).await;
        assert!(
            matches!(error, Err(StoreError::NotFound { .. })),
            "{error:?}"
        );

        let run = start(store, 1).await;
        change(
            store,
            run,
            &[("a", "{\"v\":1}"), ("b", "{\"v\":22}"), ("c", "{}")],
            &[],
            10,
        )
        .await;
        change(store, run, &[("d", "{\"v\":4}")], &["c"], 11).await;
        change(store, run, &[("e", "{\"v\":5}")], &[], 20).await;
        let ids: Vec<String> = ["a", "b", "c", "d", "e", "f"].map(String::from).to_vec();
        let records = store.records(&contact, &ids).await.unwrap();
        let hashes = store.hashes(&contact, &ids).await.unwrap();
        assert_eq!(hashes[1].unwrap().1, 8);
        assert_eq!(hashes[5], None);

        let pruned = store.prune(&contact, Timestamp(20)).await.unwrap();
        let want = Pruned {
            records: 4,
            bytes: 7 + 8 + 2 + 7,
        };
        assert_eq!(pruned, want);
        let again = store.prune(&contact, Timestamp(20)).await.unwrap();
        assert_eq!(again, Pruned::default());
        assert_eq!(store.hashes(&contact, &ids).await.unwrap(), hashes);
        for (old, new) in records
            .iter()
            .zip(store.records(&contact, &ids).await.unwrap())
        {
            let mut old = old.clone();
            if let Some(old) = old.as_mut().filter(|old| old.id != "e") {
                old.body = None;
            }
            assert_eq!(new, old);
        }
        let counted = |live, deleted, live_bytes, pruned| ModelStats {
            live,
            deleted,
            live_bytes,
            pruned,
        };
        assert_eq!(stats(store, "acme", "Contact").await, counted(4, 1, 7, 4));

        // Change detection goes on: spelled otherwise, the body is the same.
        let counts = change(
            store,
            run,
            &[("a", "{ \"v\": 1.0 }"), ("e", "{\"v\":5}")],
            &[],
            30,
        )
        .await;
        assert_eq!((counts.unchanged, counts.total()), (2, 2));
        assert_eq!(stats(store, "acme", "Contact").await, counted(4, 1, 7, 4));
        let rows = [
            // (save, delete, its action, its body, stats)
            (
                "a",
                "{\"v\":10}",
                Action::Updated,
                Some("{\"v\":10}"),
                counted(4, 1, 15, 3),
            ),
            ("b", "", Action::Deleted, None, counted(3, 2, 15, 3)),
            ("c", "{}", Action::Added, Some("{}"), counted(4, 1, 17, 2)),
            (
                "b",
                "{\"v\":22}",
                Action::Added,
                Some("{\"v\":22}"),
                counted(5, 0, 25, 1),
            ),
            ("d", "", Action::Deleted, None, counted(4, 1, 25, 1)),
            (
                "a",
                "",
                Action::Deleted,
                Some("{\"v\":10}"),
                counted(3, 2, 17, 1),
            ),
        ];
        for (index, (id, body, action, kept, stats_then)) in rows.into_iter().enumerate() {
            let save = [(id, body)];
            let (save, delete): (&[_], &[_]) = if body.is_empty() {
                (&[], &[id])
            } else {
                (&save, &[])
            };
            change(store, run, save, delete, 40 + index as u64).await;
            let last = bodies(store).await.pop().unwrap();
            assert_eq!(
                last,
                (id.into(), action, kept.map(String::from)),
                "row {index}"
            );
            assert_eq!(
                stats(store, "acme", "Contact").await,
                stats_then,
                "row {index}"
            );
        }
        // Deleted and saved by one commit, with and without a body before.
        let both = vec![
            page("Contact", &[], &["d", "e"]),
            page("Contact", &[("e", "{}")], &[]),
        ];
        store
            .commit_page(run.0, run.1, commit(both, 60))
            .await
            .unwrap();
        assert_eq!(stats(store, "acme", "Contact").await, counted(3, 2, 12, 1));
    });
}

#[test]
fn a_cursor_that_pruning_passed_expires() {
    on_both(async |store| {
        let contact = model("acme", "Contact");
        let run = start(store, 1).await;
        // Sequences 1 to 6 at times 11 to 16; 6 is a deletion.
        for number in 1..=5 {
            change(
                store,
                run,
                &[(&format!("r{number}"), "{\"v\":1}")],
                &[],
                10 + number,
            )
            .await;
        }
        change(store, run, &[], &["r1"], 16).await;
        let from_start = next(store, &contact, None, 2).await.unwrap().next;
        assert_eq!((from_start.seq, from_start.pruned), (3, 0));
        store.prune(&contact, Timestamp(15)).await.unwrap();

        let at = |seq, pruned| Cursor {
            seq,
            pruned,
            ..from_start
        };
        let expired = Some(StoreError::Cursor(CursorError::Expired));
        // (cursor, what it says now, and once everything is pruned)
        let rows = [
            (at(0, 0), None, None),
            (at(1, 0), expired.clone(), expired.clone()),
            (at(3, 0), expired.clone(), expired.clone()),
            (at(3, 3), expired.clone(), expired.clone()),
            (at(3, 4), None, expired.clone()),
            (at(4, 0), None, expired.clone()),
            (at(4, 4), None, expired.clone()),
            (at(5, 0), None, None),
            (at(6, 4), None, None),
        ];
        for (cursor, now, _) in &rows {
            let error = next(store, &contact, Some(*cursor), 9).await.err();
            assert_eq!(error, *now, "{cursor:?}");
        }
        // Who begins at the start reads all, as it is, in pages of any size, and never expires.
        for limit in 1..7 {
            let mut after = None;
            let mut found = Vec::new();
            loop {
                let changes = next(store, &contact, after, limit).await.unwrap();
                found.extend(changes.records.iter().map(|r| (r.seq, r.body.is_some())));
                // In the middle of a page too.
                for record in &changes.records {
                    let cursor = changes.cursor_after(record);
                    next(store, &contact, Some(cursor), limit).await.unwrap();
                }
                after = Some(changes.next);
                if !changes.more {
                    break;
                }
            }
            assert_eq!(
                found,
                [(2, false), (3, false), (4, false), (5, true), (6, true)]
            );
        }
        store.prune(&contact, Timestamp(99)).await.unwrap();
        for (cursor, _, then) in &rows {
            let error = next(store, &contact, Some(*cursor), 9).await.err();
            assert_eq!(error, *then, "{cursor:?}");
        }
        // A deletion without a body is no loss: its cursor is as good as before.
        let end = next(store, &contact, None, 9).await.unwrap().next;
        assert_eq!((end.seq, end.pruned), (6, 5));
    });
}

#[test]
fn pruning_goes_by_steps_and_survives_reopening() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        set_up(&store).await;
        let run = start(&store, 1).await;
        let contact = model("acme", "Contact");
        load(&store, run, "Contact", 12_000, 1, 10).await;
        load(&store, run, "Contact", 3_000, 2, 20).await;
        let behind = next(&store, &contact, None, 100).await.unwrap().next;
        let before = stats(&store, "acme", "Contact").await;
        let pruned = store.prune(&contact, Timestamp(20)).await.unwrap();
        assert_eq!(pruned.records, 9_000);
        let after = ModelStats {
            live_bytes: before.live_bytes - pruned.bytes,
            pruned: 9_000,
            ..before
        };
        let mut store = store;
        for reopened in [false, true] {
            if reopened {
                store.close().await.unwrap();
                std::mem::drop(store);
                store = open(dir.path());
            }
            assert_eq!(stats(&store, "acme", "Contact").await, after);
            assert_eq!(store.check().await.unwrap().findings, []);
            let error = next(&store, &contact, Some(behind), 10).await.unwrap_err();
            assert_eq!(error, StoreError::Cursor(CursorError::Expired));
            let all = next(&store, &contact, None, 100_000).await.unwrap().records;
            let without = all.iter().filter(|r| r.body.is_none()).count();
            assert_eq!((all.len(), without), (12_000, 9_000));
        }
    });
}

/// Readers that were there before hear of every body that they miss.
#[test]
fn nobody_misses_a_body_beside_a_pruning() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        set_up(&store).await;
        let run = start(&store, 1).await;
        let contact = model("acme", "Contact");
        let (mut expired, mut met) = (0, 0);
        for round in 0..5 {
            load(&store, run, "Contact", 10_000, round, 10).await;
            let behind = next(&store, &contact, None, 1).await.unwrap().next;
            let last = stats(&store, "acme", "Contact").await.live * (round + 1);
            let reader = async {
                // Stands right before what is pruned, so it must get bodies or be told. Not at the
                // start, where it would take what there is.
                let mut after = Cursor {
                    seq: last - 9_999,
                    pruned: last - 10_000,
                    ..behind
                };
                loop {
                    match next(&store, &contact, Some(after), 50).await {
                        Ok(changes) => {
                            assert!(changes.records.iter().all(|r| r.body.is_some()));
                            after = changes.next;
                            if !changes.more {
                                break 0;
                            }
                        }
                        Err(error) => {
                            assert_eq!(error, StoreError::Cursor(CursorError::Expired));
                            break 1;
                        }
                    }
                }
            };
            let from_start = async {
                let changes = next(&store, &contact, None, 20_000).await.unwrap();
                assert_eq!(changes.records.len(), 10_000);
                let missing = changes.records.iter().filter(|r| r.body.is_none());
                let highest = missing.map(|r| r.seq).max().unwrap_or(0);
                assert!(
                    changes.next.pruned >= highest,
                    "{:?} {highest}",
                    changes.next
                );
                u64::from(highest > 0)
            };
            let (pruned, was_told, saw) =
                tokio::join!(store.prune(&contact, Timestamp(11)), reader, from_start);
            assert_eq!(pruned.unwrap().records, 10_000);
            expired += was_told;
            met += saw;
        }
        println!("{expired} of 5 readers expired, {met} of 5 from the start met pruned entries");
        assert!(expired > 0, "no reader was beside a pruning");
    });
}
