//! Saving, changing and deleting records; what a bad page leaves behind.

use super::*;

pub fn a_bad_page_leaves_nothing<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let (run, fence) = start(store, 1).await;
        let mut bad = commit(
            vec![
                page("Contact", &[("a", "{}")], &[]),
                page("Deal", &[("b", "{}"), ("c", "{\"k\":01}")], &[]),
            ],
            9,
        );
        bad.checkpoint = Some("1".into());
        let error = store.commit_page(run, fence, bad).await.unwrap_err();
        let StoreError::Page(PageError::Body {
            model: at,
            id,
            reason,
        }) = error
        else {
            panic!("{error}");
        };
        assert_eq!((at, id.as_str()), (name("Deal"), "c"));
        assert!(reason.to_string().contains("number"), "{reason}");
        assert_eq!(feed(store).await, []);
        assert_eq!(store.checkpoint(&sync("acme", "contacts")).await, Ok(None));
        assert_eq!(store.models(&connection("acme")).await, Ok(vec![]));
        assert_eq!(store.run(run).await.unwrap().progress.commits, 0);
    });
}

pub fn records_live_and_die<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let (run, fence) = start(store, 1).await;
        let counts = |added, updated, deleted, unchanged| Counts {
            added,
            updated,
            deleted,
            unchanged,
            skipped: 0,
        };
        // (save, delete, counts, the feed afterwards)
        type Row = (
            &'static [(&'static str, &'static str)],
            &'static [&'static str],
            Counts,
            &'static [(&'static str, Action, u64)],
        );
        let rows: &[Row] = &[
            (
                &[("a", "{\"v\":1}"), ("b", "{}")],
                &["nobody"],
                counts(2, 0, 0, 1),
                &[("a", Action::Added, 1), ("b", Action::Added, 2)],
            ),
            (
                &[("a", "{ \"v\": 1.0 }")],
                &[],
                counts(0, 0, 0, 1),
                &[("a", Action::Added, 1), ("b", Action::Added, 2)],
            ),
            (
                &[("a", "{\"v\":2}")],
                &[],
                counts(0, 1, 0, 0),
                &[("b", Action::Added, 2), ("a", Action::Updated, 3)],
            ),
            (
                &[],
                &["a", "a"],
                counts(0, 0, 1, 1),
                &[("b", Action::Added, 2), ("a", Action::Deleted, 4)],
            ),
            // The same body again: it was gone, so it is new.
            (
                &[("a", "{\"v\":2}")],
                &[],
                counts(1, 0, 0, 0),
                &[("b", Action::Added, 2), ("a", Action::Added, 5)],
            ),
            (
                &[("c", "{}")],
                &["b"],
                counts(1, 0, 1, 0),
                &[
                    ("a", Action::Added, 5),
                    ("b", Action::Deleted, 6),
                    ("c", Action::Added, 7),
                ],
            ),
        ];
        for (number, (save, delete, want, want_feed)) in rows.iter().enumerate() {
            let commit = commit(vec![page("Contact", save, delete)], 100 + number as u64);
            assert_eq!(
                store.commit_page(run, fence, commit).await.unwrap(),
                [*want],
                "{number}"
            );
            let feed = feed(store).await;
            let feed: Vec<_> = feed
                .iter()
                .map(|(id, a, s)| (id.as_str(), *a, *s))
                .collect();
            assert_eq!(feed, *want_feed, "{number}");
        }
        let ids = ["b", "nobody", "a"].map(String::from);
        let found = store
            .records(&model("acme", "Contact"), &ids)
            .await
            .unwrap();
        let gone = found[0].as_ref().unwrap();
        // A deleted record keeps its last body.
        assert_eq!(gone.body.as_deref(), Some("{}"));
        assert_eq!(gone.deleted_at, Some(Timestamp(105)));
        assert_eq!(
            (gone.first_seen_at, gone.last_modified_at),
            (Timestamp(100), Timestamp(105))
        );
        assert_eq!(found[1], None);
        let back = found[2].as_ref().unwrap();
        assert_eq!(
            (back.first_seen_at, back.last_modified_at),
            (Timestamp(100), Timestamp(104))
        );
        assert_eq!(back.deleted_at, None);
        let stats = ModelStats {
            live: 2,
            deleted: 1,
            live_bytes: 9,
            pruned: 0,
        };
        assert_eq!(
            store.models(&connection("acme")).await,
            Ok(vec![(name("Contact"), stats)])
        );
        // Nothing of it is anybody else's.
        assert_eq!(store.models(&connection("bolt")).await, Ok(vec![]));
        let progress = store.run(run).await.unwrap().progress;
        assert_eq!(progress.commits, 6);
        assert_eq!(progress.counts[&name("Contact")], counts(4, 1, 2, 3));
    });
}
