//! Writing the database anew: it becomes smaller, holds the same, and a kill at any moment of it
//! leaves a store that opens by itself.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tidegate_engine::StoreError;
use tidegate_engine::record::{Page, Save};
use tidegate_engine::store::{Changes, ReadChanges};
use tidegate_store_sled::{OpenError, Options, rewrite};

use crate::common::*;

const RECORDS: u64 = 20_000;
const KILLS: u64 = 25;

/// Records that were all overwritten twice, in another order.
async fn fill(root: &Path, records: u64) {
    let store = open(root);
    set_up(&store).await;
    let (run, fence) = start(&store, 1).await;
    for version in 0..3u64 {
        for page in 0..records / 1000 {
            let save = (0..1000).map(|n| {
                let number = (page * 1000 + n) * (7919 * version + 1) % records;
                Save {
                    id: format!("id-{number:06}"),
                    body: format!(r#"{{"version":{version},"text":"{}"}}"#, number * 7_777_777),
                    hash: None,
                }
            });
            let page = Page {
                save: save.collect(),
                delete: vec![],
                ..Page::of(name("Contact"))
            };
            let mut all = commit(vec![page], 10 + version);
            all.checkpoint = Some(format!(r#"{{"version":{version}}}"#));
            store.commit_page(run, fence, all).await.unwrap();
        }
    }
    store.finish_run(run, fence, end(20)).await.unwrap();
    store.settle().await.unwrap();
    store.close().await.unwrap();
}

/// All there is to read, and that the check finds nothing.
async fn contents(root: &Path) -> (Vec<Changes>, Option<String>) {
    let store = open(root);
    assert_eq!(store.check().await.unwrap().findings, []);
    let (mut after, mut pages) = (None, Vec::new());
    loop {
        let wanted = ReadChanges {
            after,
            ..read(model("acme", "Contact"))
        };
        let changes = store.read_changes(wanted).await.unwrap();
        after = Some(changes.next);
        let more = changes.more;
        pages.push(changes);
        if !more {
            break;
        }
    }
    let checkpoints = store.checkpoints(&connection("acme")).await.unwrap();
    (pages, Some(format!("{checkpoints:?}")))
}

#[test]
fn it_becomes_smaller_and_holds_the_same() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 3 * RECORDS).await;
        let before = contents(dir.path()).await;
        let rewritten = rewrite(dir.path(), &Options::default()).unwrap();
        assert!(rewritten.after * 3 < rewritten.before * 2, "{rewritten:?}");
        assert_eq!(contents(dir.path()).await, before);
        for gone in ["db.next", "db.old"] {
            assert!(!dir.path().join(gone).exists(), "{gone} is there");
        }
        // A cursor of before goes on.
        let store = open(dir.path());
        let (run, fence) = start(&store, 2).await;
        let page = page("Contact", &[("new", r#"{"a":1}"#)], &[]);
        store
            .commit_page(run, fence, commit(vec![page], 20))
            .await
            .unwrap();
        let after = before.0.last().map(|page| page.next);
        let wanted = ReadChanges {
            after,
            ..read(model("acme", "Contact"))
        };
        let changes = store.read_changes(wanted).await.unwrap();
        assert_eq!(changes.records.len(), 1);
        assert_eq!(changes.records[0].id, "new");
    });
}

#[test]
fn a_store_that_is_open_is_left_alone() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let refused = rewrite(dir.path(), &Options::default()).unwrap_err();
        assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
        set_up(&store).await;
        let missing = store.connection(&connection("nobody")).await.unwrap_err();
        assert!(matches!(missing, StoreError::NotFound { .. }));
    });
}

/// What a kill leaves: directories to be made of a good database, and those of them that are
/// damaged.
struct KillRemains {
    there: &'static [&'static str],
    broken: &'static [&'static str],
    note: &'static str,
}

#[test]
fn each_state_that_a_kill_leaves_heals() {
    let rows = [
        KillRemains {
            there: &["db", "db.next"],
            broken: &["db.next"],
            note: "removed the unfinished copy",
        },
        KillRemains {
            there: &["db.old", "db.next"],
            broken: &["db.old"],
            note: "finished an interrupted compaction",
        },
        KillRemains {
            there: &["db", "db.old"],
            broken: &["db.old"],
            note: "removed what an interrupted compaction",
        },
        // Somebody removed the copy by hand.
        KillRemains {
            there: &["db.old"],
            broken: &[],
            note: "removed what an interrupted compaction",
        },
    ];
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 1000).await;
        let before = contents(dir.path()).await;
        for row in rows {
            let good = dir.path().join("good");
            fs::rename(dir.path().join("db"), &good).unwrap();
            for name in row.there {
                let place = dir.path().join(name);
                if row.broken.contains(name) {
                    fs::create_dir(&place).unwrap();
                    fs::write(place.join("db"), b"half of it").unwrap();
                } else {
                    copy(&good, &place);
                }
            }
            fs::remove_dir_all(&good).unwrap();
            let store = open(dir.path());
            let notes = store.notes().join("\n");
            assert!(notes.contains(row.note), "{notes}");
            drop(store);
            assert_eq!(contents(dir.path()).await, before, "{:?}", row.there);
            for gone in ["db.next", "db.old"] {
                assert!(!dir.path().join(gone).exists(), "{gone} is there");
            }
        }
    });
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// The child: write anew without end, and say when each begins.
#[test]
fn kills_lose_nothing() {
    if let Ok(dir) = std::env::var("TIDEGATE_TEST_DIR") {
        for _ in 0..1000 {
            println!("begins");
            rewrite(dir.as_ref(), &Options::default()).unwrap();
        }
        return;
    }
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), RECORDS).await;
        let before = contents(dir.path()).await;
        let mut healed = 0;
        for kill in 0..KILLS {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["rewrite::kills_lose_nothing", "--exact", "--nocapture"])
                .env("TIDEGATE_TEST_DIR", dir.path())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert!(lines.any(|line| line.unwrap().ends_with("begins")));
            // Anywhere within the first two rewritings; a time is what a random moment is.
            let wait = Duration::from_millis(kill * 37 % 900);
            std::thread::sleep(wait);
            assert!(child.try_wait().unwrap().is_none(), "the child ended");
            child.kill().unwrap();
            child.wait().unwrap();
            let store = open(dir.path());
            healed += u64::from(!store.notes().is_empty());
            drop(store);
            assert_eq!(contents(dir.path()).await, before, "after kill {kill}");
        }
        println!("{healed} of {KILLS} kills left something to heal");
        assert!(healed > 0);
    });
}
