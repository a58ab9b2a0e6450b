//! One row for each invariant: what is broken in a healthy store, and the finding that names it.

use std::path::Path;

use tidegate_engine::StoreError;
use tidegate_engine::cursor::Cursor;
use tidegate_engine::store::ReadChanges;
use tidegate_store_sled::{OpenError, Options, SledStore};

use super::raw::{Raw, number, of_feed, put};
use super::{check, fill, hook_rows, index_rows, key_rows, set_rows, small_rows, work_rows};
use crate::common::*;

/// Feeds of [`fill`].
pub const CONTACT: u64 = 1;
pub const DEAL: u64 = 2;
/// Connections: `acme`, and `bolt` without data.
pub const ACME: &[u8] = &[1, 1];

pub type Break = fn(&Raw);

/// What is broken; how; where the finding is; what it says.
pub type Row = (&'static str, Break, &'static str, &'static str);

pub fn flip_a_bit(raw: &Raw) {
    raw.change(&nth(raw, b'g', 0), |value| value[40] ^= 4);
}

pub fn late() -> Vec<u8> {
    let mut value = vec![1];
    put(&mut value, 9999);
    value.push(0);
    value
}

pub fn sync_key(sync: &str) -> Vec<u8> {
    [b"y", ACME, sync.as_bytes(), b"\0base\0"].concat()
}

pub fn run_key(prefix: &[u8], run: u64) -> Vec<u8> {
    [prefix, &run_id(run).to_bytes()].concat()
}

/// A key of the feed of contacts.
pub fn nth(raw: &Raw, tag: u8, index: usize) -> Vec<u8> {
    raw.keys(&of_feed(tag, CONTACT, &[]))[index].clone()
}

pub fn remove_nth(raw: &Raw, tag: u8, index: usize) {
    raw.remove(&nth(raw, tag, index));
}

pub fn copy(raw: &Raw, from: &[u8], to: &[u8]) {
    let value = raw.db.get(from).unwrap().unwrap();
    raw.db.insert(to, value).unwrap();
}

pub fn move_key(raw: &Raw, from: &[u8], to: &[u8]) {
    copy(raw, from, to);
    raw.remove(from);
}

fn copy_file(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
}

/// A copy of a directory that holds files and folders.
fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_dir(&entry.path(), &to),
            false => copy_file(&entry.path(), &to),
        }
    }
}

/// A filled store that is closed.
fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let store = open(dir.path());
        fill(&store).await;
        store.close().await.unwrap();
    });
    dir
}

#[test]
fn each_damage_is_named() {
    let healthy = filled();
    let mut wrong = Vec::new();
    let rows = [
        small_rows::ROWS,
        key_rows::ROWS,
        hook_rows::ROWS,
        index_rows::ROWS,
        set_rows::ROWS,
        work_rows::ROWS,
    ]
    .concat();
    for (what, damage, place, says) in &rows {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(healthy.path(), dir.path());
        let raw = Raw::open(dir.path());
        damage(&raw);
        raw.close();
        let report = check(dir.path());
        let found = report
            .findings
            .iter()
            .any(|finding| finding.place.contains(place) && finding.what.contains(says));
        if !found {
            wrong.push(format!(
                "{what}: wanted {place:?}: {says:?}, found {:#?}",
                report.findings
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_flipped_bit_is_named_and_never_served() {
    let dir = filled();
    let raw = Raw::open(dir.path());
    let key = nth(&raw, b'g', 0).escape_ascii().to_string();
    flip_a_bit(&raw);
    raw.close();
    let report = check(dir.path());
    assert!(report.findings[0].place.ends_with(&key), "{report:?}");

    block_on(async {
        let store = open(dir.path());
        let contacts = model("acme", "Contact");
        let damaged = |error: StoreError| match error {
            StoreError::Damaged { place, reason } => (place, reason),
            other => panic!("{other}"),
        };
        let reason = "a segment does not have its checksum".to_owned();
        let feed = store
            .read_changes(read(contacts.clone()))
            .await
            .unwrap_err();
        assert_eq!(damaged(feed), (key.clone(), reason.clone()));
        let ids = ["id-030".to_owned()];
        let record = store.records(&contacts, &ids).await.unwrap_err();
        assert_eq!(damaged(record), (key.clone(), reason));

        // What lies behind it is served, to whoever has come so far.
        let ids = ["id-120".to_owned()];
        let behind = store.records(&contacts, &ids).await.unwrap();
        let deals = store
            .read_changes(read(model("acme", "Deal")))
            .await
            .unwrap();
        let after = Cursor {
            feed: CONTACT,
            seq: behind[0].as_ref().unwrap().seq - 1,
            pruned: u64::MAX,
            ..deals.next
        };
        let read = ReadChanges {
            after: Some(after),
            ..read(contacts)
        };
        let rest = store.read_changes(read).await.unwrap();
        assert_eq!(rest.records[0].id, ids[0]);
    });
}

/// What opening itself needs is named by the opening.
#[test]
fn damage_that_keeps_a_store_shut_is_named() {
    let rows: &[(&str, Break, &str)] = &[
        ("counters", |raw| raw.put(b"acounters\0", b"{"), "acounters"),
        ("the store's id", |raw| raw.put(b"aid\0", b"1"), "aid"),
        (
            "a running run that is gone",
            |raw| raw.remove(&run_key(b"r", 500)),
            "run_",
        ),
        (
            "a delivery that waits and is gone",
            |raw| raw.remove(&hook_rows::delivery_key(1)),
            "should be pending",
        ),
        (
            "a snapshot",
            |raw| raw.put(&of_feed(b'v', CONTACT, &number(1)), b"{"),
            "not the JSON",
        ),
    ];
    let healthy = filled();
    for (what, damage, says) in rows {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(healthy.path(), dir.path());
        let raw = Raw::open(dir.path());
        damage(&raw);
        raw.close();
        let error = SledStore::open(dir.path(), Options::default()).unwrap_err();
        assert!(
            matches!(error, OpenError::Damaged { .. }),
            "{what}: {error:?}"
        );
        assert!(error.to_string().contains(says), "{what}: {error}");
    }
}

type BreakFile = fn(&Path);

#[test]
fn component_files() {
    let rows: &[(&str, BreakFile, u64, &str)] = &[
        (
            "gone",
            |file| std::fs::remove_file(file).unwrap(),
            1,
            "is not there",
        ),
        (
            "changed",
            |file| std::fs::write(file, b"else").unwrap(),
            1,
            "sha256 is not its name",
        ),
        (
            "one that nobody uses",
            |file| {
                copy_file(
                    file,
                    &file.with_file_name(format!("{}.wasm", "0".repeat(64))),
                );
            },
            0,
            "1 component files that no deployment",
        ),
        (
            "left by a crash",
            |file| copy_file(file, &file.with_extension("tmp")),
            0,
            "is no component",
        ),
    ];
    for (what, damage, wrong, says) in rows {
        let dir = filled();
        let files = std::fs::read_dir(dir.path().join("components")).unwrap();
        damage(&files.map(|file| file.unwrap().path()).next().unwrap());
        let report = check(dir.path());
        assert_eq!(report.wrong, *wrong, "{what}: {report:?}");
        let said: Vec<&String> = report
            .findings
            .iter()
            .map(|finding| &finding.what)
            .chain(&report.notes)
            .collect();
        assert!(
            said.iter().any(|said| said.contains(says)),
            "{what}: {said:?}"
        );
    }
}
