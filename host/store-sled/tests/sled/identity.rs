//! A database that was lost, emptied, exchanged or put back is not taken for the one that was left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate_store_sled::{OpenError, Options, SledStore};

use crate::common::*;

fn error(path: &Path) -> OpenError {
    SledStore::open(path, Options::default()).unwrap_err()
}

/// Runs this test program again, for one test, as a child that knows it by the variable.
fn child(test: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([&format!("identity::{test}"), "--exact", "--nocapture"])
        .env("TIDEGATE_TEST_DIR", path);
    command
}

fn child_dir() -> Option<String> {
    std::env::var("TIDEGATE_TEST_DIR").ok()
}

fn deploy(store: &SledStore, version: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let deployment = deployment(store, version, 5).await;
        store.deploy(deployment).await.unwrap();
        store.close().await.unwrap();
    });
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-rT").args([from, to]).status();
    assert!(copied.unwrap().success());
}

/// A store that has come some way; where there is a copy of its database from half way.
fn used(path: &Path) -> PathBuf {
    let earlier = path.join("../earlier");
    deploy(&open(path), "1.0.0");
    copy(&path.join("db"), &earlier);
    deploy(&open(path), "1.0.1");
    earlier
}

#[test]
fn a_database_that_was_lost_or_put_back_is_no_new_one() {
    type Change = fn(&Path, &Path);
    let cases: [(&str, Change, &str); 6] = [
        (
            "both files are emptied",
            |db, _| {
                ["db", "wal"]
                    .iter()
                    .for_each(|file| fs::write(db.join(file), "").unwrap());
            },
            "it is empty",
        ),
        (
            "all is gone",
            |db, _| fs::remove_dir_all(db).unwrap(),
            "it is gone",
        ),
        (
            "the database is gone, and its log is there",
            |db, _| fs::remove_file(db.join("db")).unwrap(),
            "it is gone",
        ),
        (
            "an earlier database is put back, whole",
            |db, earlier| {
                fs::remove_dir_all(db).unwrap();
                fs::rename(earlier, db).unwrap();
            },
            "ends with write",
        ),
        (
            "another store's database lies there",
            |db, _| {
                let other = tempfile::tempdir().unwrap();
                drop(open(other.path()));
                fs::remove_dir_all(db).unwrap();
                copy(&other.path().join("db"), db);
            },
            "another store",
        ),
        (
            "the file that says which store it is is cut",
            |db, _| fs::write(db.join("../identity"), "tidegate store").unwrap(),
            "it should say which store this is",
        ),
    ];
    for (name, change, says) in cases {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let earlier = used(&path);
        change(&path.join("db"), &earlier);
        for _ in 0..2 {
            let error = error(&path);
            assert!(
                matches!(error, OpenError::Damaged { .. }),
                "{name}: {error}"
            );
            assert!(error.to_string().contains(says), "{name}: {error}");
        }
    }
}

#[test]
fn a_log_that_was_emptied_after_a_kill_is_missed() {
    if let Some(dir) = child_dir() {
        let store = open(dir.as_ref());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let deployment = deployment(&store, "1.0.0", 5).await;
            store.deploy(deployment).await.unwrap();
        });
        std::process::abort();
    }
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let test = "a_log_that_was_emptied_after_a_kill_is_missed";
    child(test, dir.path()).output().unwrap();
    fs::write(dir.path().join("db/wal"), "").unwrap();
    let error = error(dir.path()).to_string();
    assert!(error.contains("ends with write"), "{error}");
}

#[test]
fn a_directory_that_is_put_back_whole_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (path, whole) = (dir.path().join("data"), dir.path().join("whole"));
    deploy(&open(&path), "1.0.0");
    copy(&path, &whole);
    deploy(&open(&path), "1.0.1");
    drop(open(&whole));
    // And one whose database was written anew.
    tidegate_store_sled::rewrite(&path, &Options::default()).unwrap();
    deploy(&open(&path), "1.0.2");
    drop(open(&path));
}
