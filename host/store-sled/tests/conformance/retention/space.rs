//! Space comes back: what dropped and pruned data took is used again, so files stop growing.

use super::*;

const RECORDS: u64 = 40_000;

#[test]
fn dropped_and_pruned_space_is_used_again() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        set_up(&store).await;
        let mut sizes = Vec::new();
        for round in 0..6 {
            let run = start(&store, 1 + round).await;
            load(&store, run, "Contact", RECORDS, round, 10 + round).await;
            let full = store.stats().await.unwrap();
            sizes.push(store.size_on_disk().unwrap());
            store.finish_run(run.0, run.1, end(1)).await.unwrap();
            if round % 2 == 0 {
                let contact = model("acme", "Contact");
                let pruned = store.prune(&contact, Timestamp(11 + round)).await.unwrap();
                assert_eq!(pruned.records, RECORDS);
                store.settle().await.unwrap();
                let stats = store.stats().await.unwrap();
                let (before, after) = (full.total.segment_bytes, stats.total.segment_bytes);
                assert!(
                    after * 5 < before,
                    "{before} bytes of segments became {after}"
                );
                assert_eq!(stats.total.entries, RECORDS);
            } else {
                let scope = Scope::Model(model("acme", "Contact"));
                assert_eq!(store.drop_scope(&scope).await.unwrap().records, RECORDS);
                store.settle().await.unwrap();
                assert_eq!(store.stats().await.unwrap().total.entries, 0);
            }
        }
        println!("bytes on disk when full: {sizes:?}");
        // Six times as much has been written as fits.
        let most = sizes.iter().max().unwrap();
        assert!(*most < sizes[0] * 2, "{sizes:?}");
    });
}

#[test]
fn settling_compacts_feeds_that_nobody_uses() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let with_slack = |compact_slack| {
            let tuning = tidegate_store_sled::Tuning {
                compact_slack,
                ..Default::default()
            };
            let options = tidegate_store_sled::Options {
                tuning,
                ..Default::default()
            };
            tidegate_store_sled::SledStore::open(dir.path(), options).unwrap()
        };
        let store = with_slack(1_000_000);
        set_up(&store).await;
        let run = start(&store, 1).await;
        for version in 0..4 {
            load(&store, run, "Contact", 5_000, version, 10).await;
            load(&store, run, "Deal", 300, version, 10).await;
        }
        store.settle().await.unwrap();
        assert_eq!(store.stats().await.unwrap().total.entries, 4 * 5_300);
        store.close().await.unwrap();
        drop(store);

        // Nothing was loaded since it was opened.
        let store = with_slack(100);
        store.settle().await.unwrap();
        let stats = store.stats().await.unwrap();
        assert_eq!(stats.total.entries, 5_300);
        assert_eq!(store.check().await.unwrap().findings, []);
        let all = next(&store, &model("acme", "Contact"), None, 10_000)
            .await
            .unwrap();
        assert_eq!(all.records.len(), 5_000);
    });
}
