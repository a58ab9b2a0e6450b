//! Opening a data directory that is in use, newer, foreign, read-only, damaged or left by a crash.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use tidegate_engine::StoreError;
use tidegate_store_sled::{OpenError, Options, SledStore};

use crate::common::*;

fn error(path: &Path) -> OpenError {
    SledStore::open(path, Options::default()).unwrap_err()
}

/// Runs this test program again, for one test, as a child that knows it by the variable.
fn child(test: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([&format!("directory::{test}"), "--exact", "--nocapture"])
        .env("TIDEGATE_TEST_DIR", path);
    command
}

fn child_dir() -> Option<String> {
    std::env::var("TIDEGATE_TEST_DIR").ok()
}

#[test]
fn a_second_process_is_told_who_has_it() {
    if let Some(dir) = child_dir() {
        let OpenError::InUse { pid } = error(dir.as_ref()) else {
            panic!("not in use")
        };
        println!("pid {pid:?}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let output = child("a_second_process_is_told_who_has_it", dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains(&format!("pid Some({})", std::process::id())),
        "{said}"
    );
    // In this process too.
    let again = error(dir.path()).to_string();
    assert!(
        again.contains(&format!("(pid {})", std::process::id())),
        "{again}"
    );
    drop(store);
    open(dir.path());
}

#[test]
fn another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let format = dir.path().join("format");
    assert_eq!(
        fs::read_to_string(&format).unwrap(),
        "tidegate data directory, format 1\n"
    );
    // 7 is the last one before the first release.
    for other in [2, 7, u32::MAX] {
        let text = format!("tidegate data directory, format {other}\n");
        fs::write(&format, &text).unwrap();
        let refused = error(dir.path());
        assert!(matches!(
            refused,
            OpenError::OtherFormat { found, supported: 1 } if found == other
        ));
        let said = refused.to_string();
        for part in [
            format!("format {other},"),
            "format 1 only".into(),
            "export its data".into(),
        ] {
            assert!(said.contains(&part), "{said}");
        }
        assert_eq!(fs::read_to_string(&format).unwrap(), text);
    }
    for text in ["something else\n", "tidegate data directory, format 0\n"] {
        fs::write(&format, text).unwrap();
        assert!(matches!(error(dir.path()), OpenError::Damaged { .. }));
    }
}

#[test]
fn a_foreign_directory_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "precious").unwrap();
    assert!(matches!(
        error(dir.path()),
        OpenError::NotADataDirectory { .. }
    ));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    // What an opening that was cut short leaves is no reason to refuse.
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("lock"), "").unwrap();
    fs::write(dir.path().join("format.1.tmp"), "").unwrap();
    open(dir.path());
    // Nor is a directory that is not there yet.
    open(&dir.path().join("new/deeper"));
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(error(&file), OpenError::Io { .. }));
}

#[test]
fn a_read_only_directory_is_said_to_be_one() {
    if let Some(dir) = child_dir() {
        let error = error(dir.as_ref());
        println!("{error}");
        assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
        return;
    }
    // Somewhere that another user can reach.
    let dir = tempfile::tempdir_in(std::env::temp_dir()).unwrap();
    drop(open(dir.path()));
    let program = dir.path().join("test-program");
    // Not by this process: a child that another test starts meanwhile would hold the file open for writing,
    // and such a file can't be executed.
    let mut copy = Command::new("cp");
    copy.arg(std::env::current_exe().unwrap()).arg(&program);
    assert!(copy.status().unwrap().success());
    for path in [dir.path(), &dir.path().join("lock"), &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o555)).unwrap();
    }
    let mut command = Command::new(&program);
    command.args([
        "directory::a_read_only_directory_is_said_to_be_one",
        "--exact",
        "--nocapture",
    ]);
    command.env("TIDEGATE_TEST_DIR", dir.path());
    if rustix::process::getuid().is_root() {
        // Root may write anywhere.
        command.uid(65534);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("can't write to the data directory"), "{said}");
}

#[test]
fn what_a_kill_during_open_leaves_heals_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    // sled finds its newest snapshot by name, and would take this one.
    fs::write(dir.path().join("db/snap.00000000000FFFFF.generating"), "").unwrap();
    let store = open(dir.path());
    assert_eq!(store.notes().len(), 1);
    assert!(
        store.notes()[0].contains("snap.00000000000FFFFF.generating"),
        "{:?}",
        store.notes()
    );
    drop(store);
    assert!(open(dir.path()).notes().is_empty());
}

/// Change a stored value behind the store's back.
fn damage(root: &Path, tag: u8, change: impl Fn(&mut Vec<u8>)) -> String {
    let db = sled_of(root);
    let (key, value) = db.scan_prefix([tag]).next().unwrap().unwrap();
    let mut value = value.to_vec();
    change(&mut value);
    db.insert(&key, value).unwrap();
    db.flush().unwrap();
    key.escape_ascii().to_string()
}

#[test]
fn a_flipped_bit_is_reported_and_never_served() {
    block_on(async {
        for (tag, what) in [(b'g', "segment"), (b'x', "pack")] {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path());
            set_up(&store).await;
            let (run, fence) = start(&store, 1).await;
            let page = page("Contact", &[("a", "{\"k\":\"a body\"}")], &[]);
            store
                .commit_page(run, fence, commit(vec![page], 9))
                .await
                .unwrap();
            store.close().await.unwrap();
            drop(store);
            let place = damage(dir.path(), tag, |value| value[1] ^= 1);
            let store = open(dir.path());
            let contact = model("acme", "Contact");
            let error = store.records(&contact, &["a".into()]).await.unwrap_err();
            assert!(
                matches!(&error, StoreError::Damaged { place: at, .. } if *at == place),
                "{what}: {error}"
            );
            if tag == b'g' {
                let error = store.read_changes(read(contact)).await.unwrap_err();
                assert!(
                    matches!(&error, StoreError::Damaged { place: at, .. } if *at == place),
                    "{error}"
                );
            }
        }
    });
}

#[test]
fn damage_in_one_feed_stops_neither_the_others_nor_its_removal() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let tuning = tidegate_store_sled::Tuning {
            compact_slack: 3,
            ..Default::default()
        };
        let options = Options {
            tuning,
            ..Options::default()
        };
        let store = SledStore::open(dir.path(), options).unwrap();
        set_up(&store).await;
        let (run, fence) = start(&store, 1).await;
        let page_of = |model, n| page(model, &[("a", &format!("{{\"n\":{n}}}"))], &[]);
        let first = vec![page_of("Contact", 0)];
        store
            .commit_page(run, fence, commit(first, 9))
            .await
            .unwrap();
        store.close().await.unwrap();
        drop(store);
        let place = damage(dir.path(), b'g', |value| value[5] ^= 1);
        let store = SledStore::open(dir.path(), options).unwrap();
        // Rewriting and pruning the feed come upon the damage.
        for n in 1..40 {
            let pages = vec![page_of("Contact", n), page_of("Deal", n)];
            store
                .commit_page(run, fence, commit(pages, 10))
                .await
                .unwrap();
        }
        let contact = model("acme", "Contact");
        let error = store.prune(&contact, tidegate_engine::Timestamp(99)).await;
        assert!(
            matches!(&error, Err(StoreError::Damaged { place: at, .. }) if *at == place),
            "{error:?}"
        );
        store.settle().await.unwrap();
        let pages = vec![page_of("Deal", 40)];
        store
            .commit_page(run, fence, commit(pages, 11))
            .await
            .unwrap();
        store.finish_run(run, fence, end(12)).await.unwrap();
        let report = store.check().await.unwrap();
        assert!(
            report
                .findings
                .iter()
                .any(|finding| finding.place.contains(&place)),
            "{report:?}"
        );
        // Without the model, everything is well again.
        let scope = tidegate_engine::upkeep::Scope::Model(contact);
        store.drop_scope(&scope).await.unwrap();
        assert_eq!(store.check().await.unwrap().findings, []);
    });
}

#[test]
fn a_lost_segment_is_damage_and_not_a_gap() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        set_up(&store).await;
        let (run, fence) = start(&store, 1).await;
        for number in 0..3 {
            let (id, body) = (format!("r{number}"), format!("{{\"n\":{number}}}"));
            let page = page("Contact", &[(&id, &body)], &[]);
            store
                .commit_page(run, fence, commit(vec![page], 9))
                .await
                .unwrap();
        }
        store.close().await.unwrap();
        drop(store);
        let db = sled_of(dir.path());
        let (key, _) = db.scan_prefix(b"g").nth(1).unwrap().unwrap();
        db.remove(&key).unwrap();
        db.flush().unwrap();
        drop(db);
        let store = open(dir.path());
        let error = store
            .read_changes(read(model("acme", "Contact")))
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    });
}

#[test]
fn components_are_files_that_are_checked() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let digest = store.put_component(b"bytes".to_vec()).await.unwrap();
        assert_eq!(store.component(digest).await.unwrap(), b"bytes");
        let file = dir.path().join(format!("components/{digest}.wasm"));
        fs::write(&file, "byteZ").unwrap();
        let error = store.component(digest).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        // Storing it again heals the file, and leaves no other behind.
        store.put_component(b"bytes".to_vec()).await.unwrap();
        assert_eq!(store.component(digest).await.unwrap(), b"bytes");
        assert_eq!(
            fs::read_dir(dir.path().join("components")).unwrap().count(),
            1
        );
        let missing = tidegate_engine::integration::Digest::of(b"other");
        let error = store.component(missing).await.unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::NotFound {
                    what: "component",
                    ..
                }
            ),
            "{error}"
        );
    });
}

#[test]
fn long_values_are_stored_in_parts() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        set_up(&store).await;
        let (run, fence) = start(&store, 1).await;
        // Text that LZ4 can't make shorter.
        let mut noise = 1u64;
        let long: String = std::iter::from_fn(|| {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            Some(char::from(b'0' + (noise >> 58) as u8))
        })
        .filter(|c| *c != '\\' && *c != '"')
        .take(900_000)
        .collect();
        let body = format!("{{\"k\":\"{long}\"}}");
        for (number, body) in ["{}", &body, "{\"v\":2}", &body].into_iter().enumerate() {
            let mut commit = commit(vec![page("Contact", &[("a", body)], &[])], number as u64);
            commit.checkpoint = Some(format!("\"{}\"", &long[..20_000 * (4 - number)]));
            store.commit_page(run, fence, commit.clone()).await.unwrap();
            let found = store
                .records(&model("acme", "Contact"), &["a".into()])
                .await
                .unwrap();
            assert_eq!(found[0].as_ref().unwrap().body.as_deref(), Some(body));
            assert_eq!(
                store.checkpoint(&sync("acme", "contacts")).await.unwrap(),
                commit.checkpoint
            );
        }
        store.close().await.unwrap();
        drop(store);
        // sled would put a long page into a file here.
        assert_eq!(
            fs::read_dir(dir.path().join("db/blobs")).unwrap().count(),
            0
        );
        // What was overwritten left no parts: two bodies, and the last checkpoint.
        let db = sled_of(dir.path());
        let parts = db.scan_prefix(b"z").count();
        assert!((300..=320).contains(&parts), "{parts}");
    });
}
