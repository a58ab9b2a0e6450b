//! What each command promises, case by case, on both backends.

mod common;

use tidegate_engine::cursor::{Cursor, CursorError};
use tidegate_engine::memory::MemoryStore;
use tidegate_engine::record::{Action, Counts, PageError};
use tidegate_engine::run::{
    Blame, Failure, FailureClass, Fence, Figures, Level, LogLine, LogSource, Outcome, Target,
};
use tidegate_engine::store::{ActionFilter, ModelStats, RunFilter, SnapshotGuard, SnapshotRefusal};
use tidegate_engine::{Store, StoreError, Timestamp};

use common::*;

/// Run a test on each backend.
fn on_both(test: impl AsyncFn(&dyn Store)) {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let stores: [Box<dyn Store>; 2] =
            [Box::new(MemoryStore::default()), Box::new(open(dir.path()))];
        for store in &stores {
            set_up(store.as_ref()).await;
            test(store.as_ref()).await;
        }
    });
}

async fn feed(store: &dyn Store) -> Vec<(String, Action, u64)> {
    let changes = store
        .read_changes(read(model("acme", "Contact")))
        .await
        .unwrap();
    changes
        .records
        .into_iter()
        .map(|r| (r.id, r.action, r.seq))
        .collect()
}

#[test]
fn a_bad_page_leaves_nothing() {
    on_both(async |store| {
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
        assert!(reason.contains("number"), "{reason}");
        assert_eq!(feed(store).await, []);
        assert_eq!(store.checkpoint(&sync("acme", "contacts")).await, Ok(None));
        assert_eq!(store.models(&connection("acme")).await, Ok(vec![]));
        assert_eq!(store.run(run).await.unwrap().progress.commits, 0);
    });
}

#[test]
fn records_live_and_die() {
    on_both(async |store| {
        let (run, fence) = start(store, 1).await;
        let counts = |added, updated, deleted, unchanged| Counts {
            added,
            updated,
            deleted,
            unchanged,
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

#[test]
fn reads_go_on_where_they_stopped() {
    on_both(async |store| {
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

#[test]
fn wrong_cursors_are_told_apart() {
    on_both(async |store| {
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

#[test]
fn fences_keep_old_runs_out() {
    on_both(async |store| {
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
        assert_eq!(store.finish_run(run, stale, end(9)).await, fenced.clone());
        store.finish_run(run, fence, end(9)).await.unwrap();
        assert_eq!(store.finish_run(run, fence, end(10)).await, fenced);
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

#[test]
fn a_reset_forgets_the_checkpoint_and_the_snapshot() {
    on_both(async |store| {
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
            .end_snapshot(again.id, started.fence, &contact, guard, None, Timestamp(9))
            .await;
        assert_eq!(ended, Err(StoreError::NoSnapshot { model: contact }));
        assert_eq!(feed(store).await.len(), 1);
    });
}

#[test]
fn snapshots_delete_what_they_did_not_see() {
    on_both(async |store| {
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
            .end_snapshot(run, fence, &contact, guard, Some("1".into()), Timestamp(20))
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
        // The refusal left it open.
        let guard = SnapshotGuard::default();
        let ended = store
            .end_snapshot(run, fence, &contact, guard, Some("2".into()), Timestamp(21))
            .await;
        assert_eq!(ended, Ok(3));
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
            .end_snapshot(run, fence, &contact, guard, None, Timestamp(22))
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
            .end_snapshot(run, fence, &contact, guard, None, Timestamp(23))
            .await;
        assert!(matches!(all, Err(StoreError::Guard(_))), "{all:?}");
        let guard = SnapshotGuard {
            allow_all: true,
            ..guard
        };
        assert_eq!(
            store
                .end_snapshot(run, fence, &contact, guard, None, Timestamp(24))
                .await,
            Ok(3)
        );
    });
}

#[test]
fn runs_are_listed_recovered_and_logged() {
    on_both(async |store| {
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
        let rows = [
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

#[test]
fn deploying_again_keeps_the_data() {
    on_both(async |store| {
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
            .merge_metadata(&connection("acme"), metadata.clone(), 100, Timestamp(7))
            .await
            .unwrap();
        let long = store
            .merge_metadata(&connection("acme"), metadata, 50, Timestamp(8))
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
