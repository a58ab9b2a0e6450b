//! Data directories that earlier versions wrote are read, migrated and written on.
//!
//! `N.tar.gz` is a directory of format N, made by the version that wrote it by the same commands
//! ([`fill`]) that fill a memory store here; `N.cursor` is a cursor that it gave out. To add one
//! before the format changes: `TIDEGATE_MAKE_FIXTURE=N cargo test -p tidegate-store --test formats`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test ends by panicking, helpers included"
)]

#[path = "../common/mod.rs"]
mod common;
#[macro_use]
mod same;
mod work;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate_engine::cursor::Cursor;
use tidegate_engine::idempotency::{KeyUse, Keyed};
use tidegate_engine::memory::MemoryStore;
use tidegate_engine::run::{Level, LogLine, LogSource, Run, Target};
use tidegate_engine::store::{EndSnapshot, Proof, ReadChanges, RunFilter, SnapshotGuard};
use tidegate_engine::{Store, Timestamp};
use tidegate_store::{Options, SledStore, Tuning};

use common::*;

/// Formats that there is a fixture of.
const EARLIER: [u32; 5] = [1, 2, 3, 4, 5];

const MODELS: [&str; 2] = ["Contact", "Deal"];

/// Records of about 100 bytes, and one that is stored in parts.
fn body(number: u64, version: u64) -> String {
    let mut noise = number + 1;
    let length = if number == 13 { 14_000 } else { 40 };
    let text: String = std::iter::repeat_with(|| {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'a' + (noise >> 59) as u8 % 26)
    })
    .take(length)
    .collect();
    format!("{{\"number\":{number},\"version\":{version},\"text\":\"{text}\"}}")
}

/// Save the records `numbers` of a model in one commit, and delete others.
async fn write(
    store: &dyn Store,
    run: (tidegate_engine::run::RunId, tidegate_engine::run::Fence),
    model: &str,
    numbers: std::ops::Range<u64>,
    version: u64,
    delete: &[&str],
    now: u64,
) {
    let save: Vec<(String, String)> = numbers
        .map(|number| (format!("id-{number:03}"), body(number, version)))
        .collect();
    let save: Vec<(&str, &str)> = save
        .iter()
        .map(|(id, body)| (id.as_str(), body.as_str()))
        .collect();
    let mut commit = commit(vec![page(model, &save, delete)], now);
    commit.checkpoint = Some(format!("{{\"at\":{now}}}"));
    store.commit_page(run.0, run.1, commit).await.unwrap();
}

fn line(index: u64) -> LogLine {
    LogLine {
        index,
        at: Timestamp(index),
        level: Level::Info,
        source: LogSource::Plugin,
        message: format!("line {index}"),
        fields: None,
    }
}

/// What every fixture has: records of two models with updates and deletions, checkpoints, ended
/// runs with logs, and a snapshot that is open.
async fn fill(store: &dyn Store) {
    set_up(store).await;
    let run = start(store, 1).await;
    for (number, first) in (0..40).step_by(8).enumerate() {
        let now = 100 + number as u64;
        write(store, run, "Contact", first..first + 8, 1, &[], now).await;
    }
    write(store, run, "Deal", 0..20, 1, &[], 200).await;
    write(store, run, "Contact", 10..20, 2, &["id-001", "id-002"], 300).await;
    write(store, run, "Contact", 1..2, 3, &["id-030"], 301).await;
    store
        .append_logs(run.0, (0..5).map(line).collect())
        .await
        .unwrap();
    store
        .begin_snapshot(run.0, run.1, &name("Deal"), false)
        .await
        .unwrap();
    write(store, run, "Deal", 0..12, 1, &[], 400).await;
    write(store, run, "Deal", 12..14, 2, &[], 401).await;
    store.finish_run(run.0, run.1, end(500)).await.unwrap();

    let action = Target::Action {
        connection: connection("bolt"),
        action: name("push"),
    };
    let started = store.start_run(new_run(2, action)).await.unwrap();
    let run = (run_id(2), started.fence);
    let page = page("Contact", &[("b", "{}"), ("a", "{\"a\":1}")], &[]);
    store
        .commit_page(run.0, run.1, commit(vec![page], 600))
        .await
        .unwrap();
    store.finish_run(run.0, run.1, end(601)).await.unwrap();
}

/// What fixtures of format 2 and later have as well: pruned bodies, and a run under an idempotency key.
async fn fill_more(store: &dyn Store) {
    let contact = model("bolt", "Contact");
    store.prune(&contact, Timestamp(700)).await.unwrap();
    let action = Target::Action {
        connection: connection("bolt"),
        action: name("push"),
    };
    let used = KeyUse::new("k".parse().unwrap(), "1").unwrap();
    let started = store.start_keyed_run(new_run(4, action), used);
    let Ok(Keyed::Started(started)) = started.await else {
        panic!("the key is new");
    };
    let finished = store.finish_keyed_run(run_id(4), started.fence, end(701), "7".into());
    finished.await.unwrap();
}

async fn fill_format(store: &dyn Store, format: u32) {
    fill(store).await;
    if format >= 2 {
        fill_more(store).await;
    }
    if format >= 3 {
        work::fill(store).await;
    }
}

/// Work that goes on where [`fill`] stopped: the snapshot ends, records change.
async fn go_on(store: &dyn Store) -> u64 {
    let run = start(store, 3).await;
    assert!(
        store
            .begin_snapshot(run.0, run.1, &name("Deal"), false)
            .await
            .unwrap()
    );
    let guard = SnapshotGuard {
        max_share_percent: 50,
        allow_all: false,
    };
    let deal = name("Deal");
    let end = store.end_snapshot(
        run.0,
        run.1,
        &deal,
        EndSnapshot {
            proof: Proof::OneAnswer,
            guard,
            checkpoint: None,
            now: Timestamp(700),
        },
    );
    let deleted = end.await.unwrap().deleted;
    for now in 0..10 {
        write(
            store,
            run,
            "Contact",
            now..now + 20,
            4 + now % 3,
            &["id-039"],
            800 + now,
        )
        .await;
    }
    store
        .finish_run(run.0, run.1, common::end(900))
        .await
        .unwrap();
    deleted
}

/// Everything that can be read is the same in both.
async fn compare(sled: &dyn Store, memory: &dyn Store) {
    let crm = name("crm");
    same!(sled, memory, store => store.integrations(None, 10));
    same!(sled, memory, store => store.connections(&crm, None, 10));
    let all = RunFilter {
        limit: 100,
        ..RunFilter::default()
    };
    // What runs started from is known of those that this version started.
    let known = |runs: Vec<Run>| -> Vec<Run> {
        let forget = |run: Run| Run {
            basis: run.basis.filter(|_| run.id == run_id(3)),
            ..run
        };
        runs.into_iter().map(forget).collect()
    };
    let runs = (sled.runs(all.clone()).await, memory.runs(all).await);
    assert_eq!(known(runs.0.unwrap()), known(runs.1.unwrap()));
    work::compare(sled, memory).await;
    for number in 1..=5 {
        same!(sled, memory, store => store.logs(run_id(number), 0, 100));
    }
    let ids: Vec<String> = (0..50).map(|number| format!("id-{number:03}")).collect();
    for connection_name in ["acme", "bolt"] {
        let key = connection(connection_name);
        same!(sled, memory, store => store.models(&key));
        same!(sled, memory, store => store.checkpoint(&sync(connection_name, "contacts")));
        for model_name in MODELS {
            let key = model(connection_name, model_name);
            same!(sled, memory, store => store.records(&key, &ids));
            let sled = sled.read_changes(read(key.clone())).await.unwrap();
            let memory = memory.read_changes(read(key)).await.unwrap();
            assert_eq!(sled.records, memory.records);
        }
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/formats")
        .join(name)
}

fn tar(arguments: &[&str], archive: &Path, dir: &Path) {
    let mut tar = Command::new("tar");
    tar.args(arguments).arg(archive).arg("-C").arg(dir);
    if arguments.contains(&"-czf") {
        tar.arg(".");
    }
    assert!(tar.status().unwrap().success(), "tar {arguments:?}");
}

/// A cursor after the first ten contacts.
async fn early_cursor(store: &dyn Store) -> Cursor {
    let read = ReadChanges {
        limit: 10,
        ..read(model("acme", "Contact"))
    };
    store.read_changes(read).await.unwrap().next
}

#[test]
fn make_a_fixture() {
    let Ok(format) = std::env::var("TIDEGATE_MAKE_FIXTURE") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    // Sets are folded on the way, so that there are chunks and a journal.
    let tuning = Tuning {
        fold_after: 3,
        ..Tuning::default()
    };
    let options = Options {
        tuning,
        ..Options::default()
    };
    let store = SledStore::open(dir.path(), options).unwrap();
    block_on(fill_format(&store, format.parse().unwrap()));
    let cursor = block_on(early_cursor(&store));
    block_on(store.close()).unwrap();
    drop(store);
    fs::write(fixture(&format!("{format}.cursor")), cursor.to_string()).unwrap();
    let archive = fixture(&format!("{format}.tar.gz"));
    tar(&["-czf"], &archive, dir.path());
    let bytes = fs::metadata(archive).unwrap().len();
    assert!(
        bytes < 100 * 1024,
        "{bytes} bytes are too many to keep in the repository"
    );
}

#[test]
fn earlier_formats_are_migrated_and_written_on() {
    for format in EARLIER {
        let dir = tempfile::tempdir().unwrap();
        tar(&["-xzf"], &fixture(&format!("{format}.tar.gz")), dir.path());
        let cursor = fs::read_to_string(fixture(&format!("{format}.cursor"))).unwrap();
        let cursor: Cursor = cursor.parse().unwrap();
        let memory = MemoryStore::new(cursor.store);
        block_on(async {
            fill_format(&memory, format).await;
            let store = open(dir.path());
            let note = format!("the data directory was format {format} and is now format 6");
            assert_eq!(store.notes(), [note]);
            compare(&store, &memory).await;
            // A cursor from then still fits.
            let read = ReadChanges {
                after: Some(cursor),
                ..read(model("acme", "Contact"))
            };
            same!(&store, &memory, store => store.read_changes(read.clone()));
            assert_eq!(store.check().await.unwrap().findings, []);

            // The snapshot that was open goes on and deletes what the pull did not see.
            let deleted = go_on(&memory).await;
            assert_eq!(go_on(&store).await, deleted);
            assert_eq!(deleted, 6);
            let contact = model("acme", "Contact");
            same!(&store, &memory, store => store.prune(&contact, Timestamp(805)));
            compare(&store, &memory).await;
            store.close().await.unwrap();
            drop(store);
            let store = open(dir.path());
            assert_eq!(store.notes(), [""; 0]);
            compare(&store, &memory).await;
            assert_eq!(store.check().await.unwrap().findings, []);
        });
    }
}
