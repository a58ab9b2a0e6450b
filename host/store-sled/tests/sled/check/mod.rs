//! `check`: finds nothing in healthy stores, and names what is wrong in damaged ones.

mod by_state;
mod damage;
mod dead_jobs;
mod hook_rows;
mod index_rows;
mod key_rows;
mod raw;
mod set_rows;
mod small_rows;
mod work_rows;

use std::path::Path;

use tidegate_engine::Timestamp;
use tidegate_engine::run::{Level, LogLine, LogSource, Target};
use tidegate_engine::store::parts::*;
use tidegate_engine::store::{EndSnapshot, Proof, SnapshotGuard};
use tidegate_engine::upkeep::{CheckReport, Scope};
use tidegate_store_sled::{Options, SledStore, Tuning};

use crate::common::*;

fn open_busy(root: &Path) -> SledStore {
    // Sets are folded and segments rewritten often.
    let tuning = Tuning {
        compact_slack: 40,
        fold_after: 5,
        ending_step: 7,
        ..Tuning::default()
    };
    let options = Options {
        tuning,
        ..Options::default()
    };
    SledStore::open(root, options).unwrap()
}

fn line(index: u64) -> LogLine {
    LogLine {
        index,
        at: Timestamp(index),
        level: Level::Info,
        source: LogSource::Plugin,
        message: "hello".into(),
        fields: None,
    }
}

/// A store with something of everything: feed 1 (`Contact`) with updates, deletions, pruned and long
/// bodies and an open snapshot; feed 2 (`Deal`), small; a run that ended and one that has not; logs;
/// a schedule with a fire and its job, and a job of its own; two webhook endpoints that wait.
pub async fn fill(store: &SledStore) {
    set_up(store).await;
    for number in [1, 2] {
        store.add_endpoint(new_endpoint(number)).await.unwrap();
    }
    let body = |n: u64, round: u64| {
        format!(
            r#"{{"n": {n}, "round": {round}, "pad": "{}"}}"#,
            "x".repeat(400)
        )
    };
    let (id, fence) = start(store, 1).await;
    store.append_logs(id, vec![line(0), line(1)]).await.unwrap();
    let save = |numbers: std::ops::Range<u64>, round: u64| {
        let saved: Vec<(String, String)> = numbers
            .map(|n| (format!("id-{n:03}"), body(n, round)))
            .collect();
        let saved: Vec<(&str, &str)> = saved
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        page("Contact", &saved, &[])
    };
    for round in 0..4 {
        for first in (0..200).step_by(50) {
            // Later rounds change half of the records.
            let last = if round == 0 { first + 50 } else { first + 25 };
            let mut commit = commit(vec![save(first..last, round)], 100 + round);
            commit.checkpoint = Some(format!("{{\"round\": {round}}}"));
            store.commit_page(id, fence, commit).await.unwrap();
        }
    }
    let long = format!(
        r#"{{"long": "{}"}}"#,
        (0..9000).map(|n| format!("{n} ")).collect::<String>()
    );
    let pages = vec![
        page(
            "Contact",
            &[("long", &long)],
            &["id-003", "id-004", "id-190"],
        ),
        page("Deal", &[("d-1", "{}"), ("d-2", r#"{"a": 1}"#)], &[]),
    ];
    store
        .commit_page(id, fence, commit(pages, 200))
        .await
        .unwrap();
    store
        .prune(&model("acme", "Contact"), Timestamp(101))
        .await
        .unwrap();
    let model = name("Contact");
    store
        .begin_snapshot(id, fence, &model, false)
        .await
        .unwrap();
    for first in (0..120).step_by(20) {
        let seen = save(first..first + 10, 3);
        store
            .commit_page(id, fence, commit(vec![seen], 300))
            .await
            .unwrap();
    }
    store.finish_run(id, fence, end(400)).await.unwrap();

    let target = Target::Sync(sync("acme", "deals"));
    let started = store.start_run(new_run(500, target)).await.unwrap();
    let deals = page("Deal", &[("d-3", "{}")], &["d-1"]);
    let mut deals = commit(vec![deals], 501);
    deals.checkpoint = Some(format!("\"{}\"", "c".repeat(9000)));
    store
        .commit_page(run_id(500), started.fence, deals)
        .await
        .unwrap();
    store.append_logs(run_id(500), vec![line(0)]).await.unwrap();
    work_rows::fill(store).await;
}

pub fn check(root: &Path) -> CheckReport {
    block_on(async {
        let store = SledStore::open(root, Options::default()).unwrap();
        let report = store.check().await.unwrap();
        store.close().await.unwrap();
        report
    })
}

pub fn expect_clean(report: &CheckReport) {
    assert_eq!(report.findings, []);
    assert_eq!(report.wrong, 0);
}

#[test]
fn an_empty_store_is_healthy() {
    let dir = tempfile::tempdir().unwrap();
    expect_clean(&check(dir.path()));
}

#[test]
fn a_full_store_is_healthy_before_and_after_it_was_closed() {
    for busy in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let open = |root| if busy { open_busy(root) } else { open(root) };
        let before = block_on(async {
            let store = open(dir.path());
            fill(&store).await;
            let report = store.check().await.unwrap();
            store.close().await.unwrap();
            report
        });
        expect_clean(&before);
        assert_eq!(
            (
                before.models,
                before.records,
                before.runs,
                before.components
            ),
            (2, 204, 2, 1)
        );
        let raw = raw::Raw::open(dir.path());
        // Every row is looked at.
        assert_eq!(before.keys, raw.db.len() as u64);
        raw.close();
        let after = check(dir.path());
        expect_clean(&after);
        assert_eq!(after.records, before.records);
    }
}

#[test]
fn a_store_is_healthy_after_each_kind_of_upkeep() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let store = open_busy(dir.path());
        fill(&store).await;
        let deals = sync("acme", "deals");
        let run = store.run(run_id(500)).await.unwrap();
        store.finish_run(run.id, run.fence, end(600)).await.unwrap();
        store.settle().await.unwrap();
        expect_clean(&store.check().await.unwrap());

        let (id, fence) = start(&store, 700).await;
        let guard = SnapshotGuard {
            allow_all: true,
            ..SnapshotGuard::default()
        };
        let deleted = store
            .end_snapshot(
                id,
                fence,
                &name("Contact"),
                EndSnapshot {
                    proof: Proof::OneAnswer,
                    guard,
                    checkpoint: None,
                    now: Timestamp(700),
                },
            )
            .await
            .unwrap()
            .deleted;
        assert!(deleted > 50, "{deleted}");
        store.finish_run(id, fence, end(701)).await.unwrap();
        expect_clean(&store.check().await.unwrap());

        store
            .prune(&model("acme", "Contact"), Timestamp(10_000))
            .await
            .unwrap();
        expect_clean(&store.check().await.unwrap());
        store
            .drop_scope(&Scope::Model(model("acme", "Deal")))
            .await
            .unwrap();
        expect_clean(&store.check().await.unwrap());
        store
            .drop_scope(&Scope::Connection(deals.connection))
            .await
            .unwrap();
        let report = store.check().await.unwrap();
        expect_clean(&report);
        assert_eq!((report.models, report.runs), (0, 0));
        store
            .drop_scope(&Scope::Integration(name("crm")))
            .await
            .unwrap();
        expect_clean(&store.check().await.unwrap());
    });
}
