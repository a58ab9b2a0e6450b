//! A power cut takes back nothing that was acknowledged, and half of nothing.
//!
//! sled's file is put back to what it was when it was last synced, the write-ahead log is cut off at any
//! byte: what a disk may have when the power goes, whatever it had not been told to keep.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tidegate_store_conformance::power::{
    acknowledged_is_on_disk, early_answers, last_commit,
    what_is_relaxed_reaches_the_disk_by_itself, write,
};
use tidegate_store_sled::{OpenError, Options, SledStore, Tuning};

use super::Sled;
use crate::common::*;

#[test]
fn acknowledged_is_on_disk_whatever_sled_had_written() {
    // Rounds of a few commits.
    let sled = Sled::with(options(20_000));
    acknowledged_is_on_disk(&sled);
    let (rounds, large) = sled.syncs();
    assert!(rounds > 3 && large > 3, "{rounds} rounds, {large} large");
}

#[test]
fn relaxed_commits_reach_the_disk_by_themselves() {
    what_is_relaxed_reaches_the_disk_by_itself(&Sled::with(options(1 << 20)));
}

#[test]
fn an_early_start_is_on_disk_when_it_says_so_and_an_early_end_by_itself() {
    early_answers(&Sled::with(options(1 << 20)));
}

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
