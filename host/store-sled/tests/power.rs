//! A power cut takes back nothing that was acknowledged, and half of nothing.
//!
//! sled's file is put back to what it was when it was last synced, the write-ahead log is cut off at any
//! byte: what a disk may have when the power goes, whatever it had not been told to keep.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test ends by panicking, helpers included"
)]

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidegate_engine::record::{Page, Save};
use tidegate_engine::run::{Blame, Failure, FailureClass, Fence, Outcome, RunId, Target};
use tidegate_engine::store::Durability;
use tidegate_engine::store::parts::*;
use tidegate_engine::{StoreError, Timestamp};
use tidegate_store_sled::{OpenError, Options, SledStore, Tuning};

use common::*;

/// Records that commits write, a few of them each.
const IDS: u64 = 10;

fn options(wal_bytes: u64) -> Options {
    let tuning = Tuning {
        wal_bytes,
        ..Tuning::default()
    };
    Options {
        tuning,
        ..Options::default()
    }
}

/// What commit `number` writes; large ones go around the log.
fn page_of(number: u64, is_large: bool) -> Page {
    let mut noise = number + 1;
    let mut text = |length: usize| -> String {
        let chars = std::iter::repeat_with(|| {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + (noise >> 58) as u8 % 26)
        });
        chars.take(length).collect()
    };
    let length = if is_large { 40_000 } else { 100 };
    let save = (number..number + 3).map(|n| Save {
        id: format!("id-{}", n % IDS),
        body: format!("{{\"commit\":{number},\"text\":\"{}\"}}", text(length)),
        hash: None,
    });
    Page {
        save: save.collect(),
        delete: vec![],
        ..Page::of(name("Contact"))
    }
}

async fn write(store: &SledStore, run: (RunId, Fence), number: u64, is_large: bool) {
    let mut commit = commit(vec![page_of(number, is_large)], number);
    commit.checkpoint = Some(number.to_string());
    store.commit_page(run.0, run.1, commit).await.unwrap();
}

/// The number of the last commit in the store, in which everything must be as of that one.
async fn last_commit(store: &SledStore) -> u64 {
    let checkpoint = store.checkpoint(&sync("acme", "contacts")).await.unwrap();
    let last: u64 = checkpoint.map_or(0, |text| text.parse().unwrap());
    let ids: Vec<String> = (0..IDS).map(|n| format!("id-{n}")).collect();
    let contact = model("acme", "Contact");
    let found = store.records(&contact, &ids).await.unwrap();
    for (n, record) in (0..IDS).zip(found) {
        let written = (1..=last)
            .rev()
            .find(|c| (c % IDS + IDS..).take(3).any(|id| id % IDS == n));
        let commit = record.map(|record| {
            let body: serde_json::Value = serde_json::from_str(&record.body.unwrap()).unwrap();
            body["commit"].as_u64().unwrap()
        });
        assert_eq!(commit, written, "id-{n} after commit {last}");
    }
    assert_eq!(store.check().await.unwrap().findings, []);
    last
}

/// Fill a store and close it, so that sled has everything.
fn closed_store(wal_bytes: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path(), options(wal_bytes)).unwrap();
    block_on(async {
        set_up(&store).await;
        store.close().await.unwrap();
    });
    drop(store);
    // Its threads may still be writing: their lock says when they are done.
    drop(sled_of(dir.path()));
    dir
}

fn copied(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_files(from, to.path());
    to
}

/// `synced`, with another log.
fn with_log(synced: &Path, log: &[u8]) -> TempDir {
    let left = copied(synced);
    fs::write(left.path().join("db/wal"), log).unwrap();
    left
}

fn log_of(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("db/wal")).unwrap()
}

#[test]
fn acknowledged_is_on_disk_whatever_sled_had_written() {
    // Rounds of a few commits.
    let wal_bytes = 20_000;
    let dir = closed_store(wal_bytes);
    let store = SledStore::open(dir.path(), options(wal_bytes)).unwrap();
    // What sled's file was when it was last synced.
    let mut synced = copied(dir.path());
    let (mut rounds, mut large) = (0, 0);
    block_on(async {
        let run = start(&store, 1).await;
        for number in 1..=60 {
            let is_large = number % 13 == 0;
            let begin = log_of(dir.path())[..28].to_vec();
            write(&store, run, number, is_large).await;
            if is_large || begin != log_of(dir.path())[..28] {
                synced = copied(dir.path());
                large += u32::from(is_large);
                rounds += u32::from(!is_large);
            }
            let left = with_log(synced.path(), &log_of(dir.path()));
            let again = SledStore::open(left.path(), options(wal_bytes)).unwrap();
            assert_eq!(last_commit(&again).await, number);
            // It goes on from there, and the next opening finds that, too.
            write(&again, run, number + 1, false).await;
            let killed = copied(left.path());
            drop(again);
            for dir in [left, killed] {
                let again = SledStore::open(dir.path(), options(wal_bytes)).unwrap();
                assert_eq!(last_commit(&again).await, number + 1);
            }
        }
    });
    assert!(rounds > 3 && large > 3, "{rounds} rounds, {large} large");
}

#[test]
fn what_is_relaxed_reaches_the_disk_by_itself() {
    let dir = closed_store(1 << 20);
    let synced = copied(dir.path());
    let store = open(dir.path());
    block_on(async {
        let run = start(&store, 1).await;
        let mut commit = commit(vec![page_of(1, false)], 1);
        commit.checkpoint = Some("1".into());
        commit.durability = Durability::Relaxed;
        store.commit_page(run.0, run.1, commit).await.unwrap();
    });
    let begun = Instant::now();
    loop {
        let left = with_log(synced.path(), &log_of(dir.path()));
        if block_on(last_commit(&open(left.path()))) == 1 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not");
    }
}

/// What is known of an action's run after a power cut now.
async fn run_after_a_cut(synced: &Path, log: &[u8], number: u64) -> Option<Option<Outcome>> {
    let left = with_log(synced, log);
    let store = open(left.path());
    let found = store.run(run_id(number)).await.ok()?;
    let Some(end) = found.end else {
        let why = Failure::new(FailureClass::Internal, Blame::Host, "the process ended");
        let recovered = store.recover_runs(why, Timestamp(99)).await.unwrap();
        assert_eq!(recovered, [run_id(number)]);
        let late = store
            .finish_run(run_id(number), found.fence, end(99))
            .await
            .map(drop);
        let id = run_id(number);
        assert_eq!(late, Err(StoreError::Fenced { run: id }));
        return Some(None);
    };
    Some(Some(end.outcome))
}

#[test]
fn an_early_start_is_on_disk_when_it_says_so_and_an_early_end_by_itself() {
    let dir = closed_store(1 << 20);
    let synced = copied(dir.path());
    let store = open(dir.path());
    block_on(async {
        for number in 1..=20 {
            let target = Target::Action {
                connection: connection("acme"),
                action: name("create"),
            };
            let new = new_run(number, target);
            let (started, stored) = store.start_run_early(new).await.unwrap();
            stored.wait().await.unwrap();
            let log = log_of(dir.path());
            let found = run_after_a_cut(synced.path(), &log, number).await;
            assert_eq!(found, Some(None), "run {number} after its start");

            let id = run_id(number);
            let ended = store.finish_run_early(id, started.fence, end(number)).await;
            ended.unwrap();
            let begun = Instant::now();
            loop {
                let log = log_of(dir.path());
                match run_after_a_cut(synced.path(), &log, number).await.unwrap() {
                    None => assert!(begun.elapsed() < Duration::from_secs(30), "it does not"),
                    outcome => break assert_eq!(outcome, Some(Outcome::Success)),
                }
            }
        }
    });
}

#[test]
fn a_torn_write_is_as_if_it_had_never_been() {
    let dir = closed_store(1 << 20);
    let synced = copied(dir.path());
    let store = open(dir.path());
    block_on(async {
        let run = start(&store, 1).await;
        for number in 1..=12 {
            write(&store, run, number, false).await;
        }
    });
    let log = log_of(dir.path());
    let length = log.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut before = 0;
    for cut in (0..length).step_by(61).chain([length]) {
        let mut torn = log.clone();
        torn[cut..].fill(0);
        let left = with_log(synced.path(), &torn);
        let store = open(left.path());
        let last = block_on(last_commit(&store));
        assert!(last >= before, "{last} after {before}");
        before = last;
    }
    assert_eq!(before, 12);
}

#[test]
fn a_log_that_cannot_be_right_is_refused_and_left_alone() {
    let dir = closed_store(20_000);
    let earlier = copied(dir.path());
    let store = SledStore::open(dir.path(), options(20_000)).unwrap();
    let run = block_on(async {
        let run = start(&store, 1).await;
        for number in 1..=8 {
            write(&store, run, number, false).await;
        }
        run
    });
    let mut damaged = log_of(dir.path());
    damaged[2000] ^= 1;
    block_on(async {
        for number in 9..=40 {
            write(&store, run, number, false).await;
        }
    });
    let later = log_of(dir.path());
    let cases = [
        (&damaged, "a record is damaged that is not the last one"),
        (
            &later,
            "the database lacks what it had when this log was begun",
        ),
    ];
    for (log, why) in cases {
        let left = with_log(earlier.path(), log);
        let before = fs::read(left.path().join("db/db")).unwrap();
        for _ in 0..2 {
            let error = SledStore::open(left.path(), options(20_000)).unwrap_err();
            let OpenError::Damaged { path, reason } = &error else {
                panic!("{error:?}")
            };
            assert!(path.ends_with("db/wal") && reason.contains(why), "{error}");
            assert!(error.to_string().contains("Nothing was changed"), "{error}");
        }
        assert!(log_of(left.path()) == *log, "the log was changed");
        let after = fs::read(left.path().join("db/db")).unwrap();
        let same = after.iter().zip(&before).take_while(|(a, b)| a == b);
        let (same, lengths) = (same.count(), (after.len(), before.len()));
        assert!(
            after == before,
            "sled's file was changed at {same}, {lengths:?} bytes"
        );
    }
    drop(store);
    let left = copied(dir.path());
    fs::remove_file(left.path().join("db/wal")).unwrap();
    for _ in 0..2 {
        let error = SledStore::open(left.path(), options(20_000)).unwrap_err();
        assert!(error.to_string().contains("it is not there"), "{error}");
    }
    // The same log belongs to the database that it was written with.
    let store = open(dir.path());
    assert_eq!(block_on(last_commit(&store)), 40);
}
