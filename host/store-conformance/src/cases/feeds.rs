//! Reading change feeds by cursor, and cursors that are wrong.

use super::*;

pub fn reads_go_on_where_they_stopped<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let contact = model("acme", "Contact");
        // Before anything was saved there is a cursor already, and it works later.
        let early = store.read_changes(read(contact.clone())).await.unwrap();
        assert!(early.records.is_empty() && !early.more);
        let (run, fence) = start(store, 1).await;
        let bodies: Vec<(String, String)> = (0..10)
            .map(|n| (format!("r{n}"), format!("{{\"n\":{n}}}")))
            .collect();
        let save: Vec<(&str, &str)> = bodies
            .iter()
            .map(|(i, b)| (i.as_str(), b.as_str()))
            .collect();
        let page_of = |delete: &[&str]| commit(vec![page("Contact", &save, delete)], 9);
        store.commit_page(run, fence, page_of(&[])).await.unwrap();
        let gone = commit(vec![page("Contact", &[], &["r3", "r7"])], 10);
        store.commit_page(run, fence, gone).await.unwrap();

        // (limit, bytes, filter, ids of each page)
        let deleted = ActionFilter {
            added: false,
            updated: false,
            deleted: true,
        };
        type Row = (
            usize,
            usize,
            ActionFilter,
            &'static [&'static [&'static str]],
        );
        let rows: &[Row] = &[
            (
                4,
                usize::MAX,
                ActionFilter::ALL,
                &[
                    &["r0", "r1", "r2", "r4"],
                    &["r5", "r6", "r8", "r9"],
                    &["r3", "r7"],
                ],
            ),
            (0, usize::MAX, deleted, &[&["r3"], &["r7"]]),
            (
                9,
                14,
                ActionFilter::ALL,
                &[
                    &["r0", "r1"],
                    &["r2", "r4"],
                    &["r5", "r6"],
                    &["r8", "r9"],
                    &["r3", "r7"],
                ],
            ),
            (9, 1, deleted, &[&["r3"], &["r7"]]),
        ];
        for (limit, bytes_max, filter, want) in rows {
            let mut after = Some(early.next);
            for (number, ids) in want.iter().enumerate() {
                let mut read = read(contact.clone());
                (read.after, read.limit, read.bytes_max, read.filter) =
                    (after, *limit, *bytes_max, *filter);
                let changes = store.read_changes(read).await.unwrap();
                let found: Vec<&str> = changes.records.iter().map(|r| r.id.as_str()).collect();
                assert_eq!(found, *ids);
                assert_eq!(changes.more, number + 1 < want.len());
                after = Some(changes.next);
            }
        }
    });
}

pub fn wrong_cursors_are_told_apart<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let (run, fence) = start(store, 1).await;
        for number in 0..3 {
            let body = format!("{{\"n\":{number}}}");
            let pages = vec![
                page("Contact", &[("a", &body)], &[]),
                page("Deal", &[("b", &body)], &[]),
            ];
            store
                .commit_page(run, fence, commit(pages, 9))
                .await
                .unwrap();
        }
        let contact = store
            .read_changes(read(model("acme", "Contact")))
            .await
            .unwrap()
            .next;
        let deal = store
            .read_changes(read(model("acme", "Deal")))
            .await
            .unwrap()
            .next;
        let rows = [
            (contact, None),
            (Cursor { seq: 0, ..contact }, None),
            (
                Cursor {
                    store: contact.store ^ 1,
                    ..contact
                },
                Some(CursorError::OtherStore),
            ),
            (deal, Some(CursorError::OtherFeed)),
            (
                Cursor {
                    feed: 999,
                    ..contact
                },
                Some(CursorError::OtherFeed),
            ),
            (Cursor { feed: 0, ..contact }, Some(CursorError::OtherFeed)),
            (Cursor { seq: 4, ..contact }, Some(CursorError::Ahead)),
            (
                Cursor {
                    seq: u64::MAX,
                    ..contact
                },
                Some(CursorError::Ahead),
            ),
        ];
        for (cursor, want) in rows {
            let mut read = read(model("acme", "Contact"));
            read.after = Some(cursor);
            let error = store.read_changes(read).await.err();
            assert_eq!(error, want.map(StoreError::Cursor), "{cursor:?}");
        }
        let error = store
            .read_changes(read(model("nobody", "Contact")))
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::NotFound {
                    what: "connection",
                    ..
                }
            ),
            "{error}"
        );
    });
}
